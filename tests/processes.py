"""Processes of the command line that start at once: each comes from one that has loaded all modules.

For tests of many processes, and of one that is killed: what they look at begins when a process has started, which
takes most of its time otherwise. They run `banno_creds.__main__.main`, as `python -m banno_creds` does.

Where processes fork, one forks the others. On Windows some wait, with all modules loaded, to be told what to run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def bare_environment(**variables: str) -> dict[str, str]:
    """Return these variables, and those without which a Windows cannot start Python."""
    needed = ("SYSTEMROOT", "PATH") if sys.platform == "win32" else ()
    return {name: os.environ[name] for name in needed} | variables


_LOADED = """\
import contextlib, gc, importlib, json, os, pkgutil, signal, sys, time
sys.modules.update(dict.fromkeys(("anyio", "trio")))  # as in `main`
import banno_creds, httpx, jwt, rich.console, cryptography.hazmat.primitives.serialization
for module in pkgutil.walk_packages(banno_creds.__path__, "banno_creds."):
    if ".sandbox" not in module.name and not module.name.endswith("__main__"):
        with contextlib.suppress(banno_creds.BannoCredsError, ModuleNotFoundError):  # of an extra
            importlib.import_module(module.name)
from banno_creds.__main__ import main
gc.freeze()

def run(order):
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    streams = [os.open(os.devnull, os.O_RDONLY), *(os.open(order[name], writing, 0o600) for name in ("out", "err"))]
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["banno-creds", *order["args"]]
    try:
        main()
    finally:
        os._exit(99)  # main does not return
"""


def with_closed(stream: Literal["stdin", "stdout", "stderr"], *args: str | Path) -> list[str]:
    """Return the command line of banno-creds that has a standard stream less.

    A shell closes it; on Windows, where none can, Python has None in its place, as in a program without a console.
    """
    if sys.platform == "win32":
        program = f"import sys; sys.{stream} = None; from banno_creds.__main__ import main; main()"
        return [sys.executable, "-c", program, *map(str, args)]
    number = ("stdin", "stdout", "stderr").index(stream)
    return ["sh", "-c", f'exec "$@" {number}>&-', "sh", sys.executable, "-m", "banno_creds", *map(str, args)]


# One order a line, and one answer: the number of a process that was started, or how one ended.
_FORKING = f"""\
{_LOADED}
def ended(number, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None

def start(order):
    return os.fork() or run(order)

for line in sys.stdin:
    order = json.loads(line)
    answer = ended(**order["wait"]) if "wait" in order else start(order)
    print(json.dumps(answer), flush=True)
"""

# A line says that it is ready; its one order is what to run.
_WAITING = f"""\
{_LOADED}
os.write(1, b"\\n")
run(json.loads(sys.stdin.readline()))
"""
_SPARES = 6  # that wait, on Windows; as many as a test starts at once


class Process:
    """One process."""

    pid: int

    def __init__(self) -> None:
        self.returncode: int | None = None

    def wait(self, seconds: float = 120) -> int:
        """Wait for its end; return its exit code, or the signal that killed it as a negative number."""
        if self.returncode is None:
            self.returncode = self._ended(seconds)
        assert self.returncode is not None, "it does not end"
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; it has not been waited for, so its number is still its own."""
        assert self.returncode is None
        os.kill(self.pid, number)

    def suspend(self) -> None:
        """Let it hang until `resume`."""
        _suspend(self.pid)

    def resume(self) -> None:
        """Let it go on."""
        _suspend(self.pid, ended=True)

    def kill(self) -> None:
        """Kill it, if it has not been waited for; `KILLED` is how it ends."""
        if self.returncode is None:
            self._kill()

    def _ended(self, seconds: float) -> int | None:
        raise NotImplementedError

    def _kill(self) -> None:
        raise NotImplementedError


class _Forked(Process):
    def __init__(self, nursery: _Forking, number: int) -> None:
        super().__init__()
        self._nursery = nursery
        self.pid = number

    def _ended(self, seconds: float) -> int | None:
        ended: int | None = self._nursery.order({"wait": {"number": self.pid, "seconds": seconds}})
        return ended

    def _kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class _Spawned(Process):
    def __init__(self) -> None:
        super().__init__()
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _WAITING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        self.pid = self._popen.pid

    def wait_until_ready(self) -> None:
        """Wait until it has loaded all modules."""
        assert self._popen.stdout is not None
        if not self._popen.stdout.closed:
            with self._popen.stdout as stdout:
                assert stdout.readline(), "it does not start"

    def run(self, order: dict[str, Any]) -> None:
        """Say what to run."""
        self.wait_until_ready()
        assert self._popen.stdin is not None
        with self._popen.stdin as stdin:
            stdin.write(json.dumps(order).encode() + b"\n")

    def _ended(self, seconds: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._popen.wait(seconds)
        return None

    def _kill(self) -> None:
        self._popen.kill()

    def discard(self) -> None:
        """End it before it has run anything."""
        with self._popen:
            self._popen.kill()


if sys.platform == "win32":
    import ctypes

    KILLED = 1

    def _suspend(number: int, *, ended: bool = False) -> None:
        kernel, ntdll = ctypes.WinDLL("kernel32"), ctypes.WinDLL("ntdll")
        kernel.OpenProcess.restype = ctypes.c_void_p
        handle = ctypes.c_void_p(kernel.OpenProcess(0x0800, False, number))  # PROCESS_SUSPEND_RESUME
        assert handle
        assert (ntdll.NtResumeProcess if ended else ntdll.NtSuspendProcess)(handle) == 0
        kernel.CloseHandle(handle)
else:
    KILLED = -signal.SIGKILL

    def _suspend(number: int, *, ended: bool = False) -> None:
        os.kill(number, signal.SIGCONT if ended else signal.SIGSTOP)


def _environment() -> dict[str, str]:
    """Return ours without what measures coverage: that would make each of them slower, and is done elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


class Nursery:
    """Where they come from."""

    def prepare(self) -> None:
        """Wait until as many as a test starts at once are ready."""

    def start(self, *args: str, out: Path, err: Path, env: Mapping[str, str] | None = None) -> Process:
        """Start the command line in the current folder and environment, with its outputs in files.

        Args:
            args: the command line.
            out: the file of its standard output.
            err: the file of its standard error.
            env: variables that are added to the environment.
        """
        for path in (out, err):
            path.touch()
        folder = os.getcwd()  # noqa: PTH109
        environment = {**_environment(), **(env or {})}
        return self._run({"args": args, "out": str(out), "err": str(err), "env": environment, "folder": folder})

    def _run(self, order: dict[str, Any]) -> Process:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError


class _Forking(Nursery):
    def __init__(self, *within: str) -> None:
        self._process = subprocess.Popen(
            [*within, sys.executable, "-c", _FORKING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
        )

    def order(self, order: dict[str, Any]) -> Any:
        """Send an order, and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def _run(self, order: dict[str, Any]) -> Process:
        return _Forked(self, self.order(order))

    def __exit__(self, *_: object) -> None:
        self._process.__exit__(None, None, None)


class _Spawning(Nursery):
    def __init__(self) -> None:
        self._spares: list[_Spawned] = []

    def prepare(self) -> None:
        self._spares += [_Spawned() for _ in range(_SPARES - len(self._spares))]
        for spare in self._spares:
            spare.wait_until_ready()

    def _run(self, order: dict[str, Any]) -> Process:
        process = self._spares.pop(0) if self._spares else _Spawned()
        process.run(order)
        return process

    def __exit__(self, *_: object) -> None:
        for spare in self._spares:
            spare.discard()


def open_nursery(*within: str) -> Nursery:
    """Return one for this system, to be used with `with`; it runs within a command, but not on Windows."""
    return _Spawning() if sys.platform == "win32" else _Forking(*within)
