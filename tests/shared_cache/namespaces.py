"""Machines that share no network, but for ways to some servers of the test's.

Each is a network namespace of Linux, with a loopback interface of its own. A way is a port of that loopback, which
leads to a Unix socket, which leads to a server of the test's own loopback. As a program, this module is the end of
such ways in a namespace.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import open_nursery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.processes import Nursery

ROOT = Path(__file__).parents[2]
# The ends of the ways say by a named pipe that they are there.
_WITHIN = """
ip link set lo up
mkfifo "$1"
"$2" -m tests.shared_cache.namespaces "$1" $3 &
read -r _ <"$1"
shift 3
exec "$@"
"""


def are_allowed() -> bool:
    """Return whether this system gives us namespaces; in many containers it does not."""
    try:
        done = subprocess.run(
            ["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, timeout=20, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


@contextmanager
def ways_to(folder: Path, *ports: int) -> Iterator[Mapping[int, Path]]:
    """Give the sockets that lead to ports of this machine, until the end of the block."""
    with ExitStack() as stack:
        places = {port: folder / f"{port}.sock" for port in ports}
        for port, place in places.items():
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(place))
            listener.listen(128)
            stack.enter_context(_forwarding(listener, ("127.0.0.1", port)))
        yield places


@contextmanager
def machine(ways: Mapping[int, Path], ready: Path) -> Iterator[Nursery]:
    """Give what starts processes on a machine that has these ways and no other; ``ready`` is a file's free place."""
    ends = [f"{port}={place}" for port, place in ways.items()]
    command = [
        "unshare",
        "-rn",
        "--kill-child",
        "sh",
        "-c",
        _WITHIN,
        "sh",
        str(ready),
        sys.executable,
        " ".join(ends),
    ]
    with open_nursery(*command) as nursery:
        yield nursery


@contextmanager
def _forwarding(listener: socket.socket, target: tuple[str, int] | str) -> Iterator[None]:
    """Lead each connection to a listener on to a target, until the end of the block."""
    closing = threading.Event()
    listener.settimeout(0.05)

    def accept() -> None:
        while not closing.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
        with connection, socket.socket(family) as further, contextlib.suppress(OSError):
            further.connect(target)
            ways = {connection: further, further: connection}
            while not closing.is_set():
                for source in select.select(list(ways), [], [], 0.5)[0]:
                    said = source.recv(65536)
                    if not said:
                        return
                    ways[source].sendall(said)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join(20)


def _main(ready: str, *ends: str) -> None:
    with ExitStack() as stack:
        for end in ends:
            port, _, place = end.partition("=")
            listener = stack.enter_context(socket.create_server(("127.0.0.1", int(port)), backlog=128))
            stack.enter_context(_forwarding(listener, place))
        parent = os.getppid()
        Path(ready).write_text("\n", "utf-8")
        while os.getppid() == parent:  # as long as there is who starts processes
            time.sleep(0.2)


if __name__ == "__main__":
    _main(*sys.argv[1:])
