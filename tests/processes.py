"""Processes of the command line that start at once: each is forked from one that has loaded all modules.

For tests of many processes, and of one that is killed: what they look at begins when a process has started, which
takes most of its time otherwise. They run `banno_creds.__main__.main`, as `python -m banno_creds` does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path


def bare_environment(**variables: str) -> dict[str, str]:
    """Return these variables, and those without which a Windows cannot start Python."""
    needed = ("SYSTEMROOT", "PATH") if sys.platform == "win32" else ()
    return {name: os.environ[name] for name in needed} | variables


# One order a line, and one answer: the number of a process that was started, or how one ended.
_NURSERY = """\
import gc, importlib, json, os, pkgutil, signal, sys, time
sys.modules.update(dict.fromkeys(("anyio", "trio")))  # as in `main`
import banno_creds, httpx, jwt, rich.console, cryptography.hazmat.primitives.serialization
for module in pkgutil.walk_packages(banno_creds.__path__, "banno_creds."):
    if ".sandbox" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from banno_creds.__main__ import main
gc.freeze()

def ended(number, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None

def start(order):
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    streams = [os.open(os.devnull, os.O_RDONLY), *(os.open(order[name], writing, 0o600) for name in ("out", "err"))]
    child = os.fork()
    for number, stream in enumerate(streams):
        if not child:
            os.dup2(stream, number)
        os.close(stream)
    if child:
        return child
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["banno-creds", *order["args"]]
    try:
        main()
    finally:
        os._exit(99)  # main does not return

for line in sys.stdin:
    order = json.loads(line)
    answer = ended(**order["wait"]) if "wait" in order else start(order)
    print(json.dumps(answer), flush=True)
"""


class Forked:
    """One process."""

    def __init__(self, nursery: Nursery, number: int) -> None:
        self._nursery = nursery
        self.pid = number
        self.returncode: int | None = None

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end; return its exit code, or the signal that killed it as a negative number."""
        if self.returncode is None:
            self.returncode = self._nursery.order(wait={"number": self.pid, "seconds": seconds})
        assert self.returncode is not None, "it does not end"
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; it has not been waited for, so its number is still its own."""
        assert self.returncode is None
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it has not been waited for."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """The process that forks the others."""

    def __init__(self) -> None:
        # Measuring coverage would make each of them slower, and is done elsewhere.
        env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def order(self, **order: Any) -> Any:
        """Send an order, and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, *args: str, out: Path, err: Path) -> Forked:
        """Start the command line in the current folder and environment, with its outputs in files."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        number = self.order(args=args, out=str(out), err=str(err), env=env, folder=os.getcwd())  # noqa: PTH109
        return Forked(self, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__(None, None, None)
