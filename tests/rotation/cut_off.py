"""The command line in a process that kills itself, as kill -9 does, right before its n-th change or request.

A process that has loaded everything forks the others. A hook counts what they do to files and to the network; no
environment variable and no option of the program can do that.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

KILLED = -signal.SIGKILL if sys.platform != "win32" else 1

_PROGRAM = """\
import importlib, json, os, pkgutil, signal, sys
sys.modules.update(dict.fromkeys(("anyio", "trio")))
import banno_creds, httpx, jwt, rich.console, tomlkit, cryptography.hazmat.primitives.serialization
for module in pkgutil.walk_packages(banno_creds.__path__, "banno_creds."):
    if ".sandbox" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from banno_creds.cli.main import run

CHANGES = ("os.rename", "os.link", "os.remove", "os.chmod", "os.mkdir", "os.truncate", "socket.connect")
seen = 0

def happened(kill_at):
    global seen
    seen += 1
    if seen == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

def watch(kill_at, streams):
    def hook(event, arguments):
        if event in CHANGES or (event == "open" and arguments[2] is not None and arguments[2] & 3):
            happened(kill_at)
    def write(descriptor, content, write=os.write):
        if descriptor not in streams:
            write(descriptor, content[: len(content) // 2])
            happened(kill_at)  # with half of it written
            return write(descriptor, content[len(content) // 2 :]) + len(content) // 2
        return write(descriptor, content)
    os.write = write
    sys.addaudithook(hook)

def child(order):
    for number, name in enumerate(("in", "out", "err")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        stream = os.open(order.get(name, os.devnull), flags, 0o600)
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["env"])
    watch(order["kill_at"], (0, 1, 2))
    code = run(order["args"], clock=lambda: order["now"], sleep=lambda seconds: None)
    sys.stdout.flush()
    happened_until = seen
    with open(order["count"], "w") as file:
        file.write(str(happened_until))
    os._exit(code)

for line in sys.stdin:
    order = json.loads(line)
    number = os.fork() or child(order)
    _, status = os.waitpid(number, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Parent:
    """Runs one command line after the other, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def run(
        self, args: Sequence[str | Path], env: Mapping[str, str], now: float, kill_at: int = 0
    ) -> tuple[int, dict[str, Any], int]:
        """Run it; return its exit code, what it says as JSON, and how many changes it made (0 if it was killed)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = {name: str(self._folder / name) for name in ("out", "err", "count")}
        (self._folder / "count").write_text("0")
        order = {"args": [str(arg) for arg in args], "env": dict(env), "now": now, "kill_at": kill_at, **files}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        assert code in (0, KILLED), (self._folder / "err").read_text()
        said = json.loads((self._folder / "out").read_text()) if code == 0 else {}
        return code, said, int((self._folder / "count").read_text())


@contextmanager
def parent(folder: Path) -> Iterator[Parent]:
    """Start the process that forks the others."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Parent(process, folder)
        finally:
            assert process.stdin is not None
            process.stdin.close()
