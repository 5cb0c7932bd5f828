"""An agent of keys that says what no ssh-agent would."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def packed(content: bytes) -> bytes:
    """Return a string of RFC 4251 section 5."""
    return len(content).to_bytes(4, "big") + content


def listing(*keys: tuple[bytes, bytes]) -> bytes:
    """Return a list of keys, each with its comment."""
    return bytes([12]) + len(keys).to_bytes(4, "big") + b"".join(packed(part) for key in keys for part in key)


def signed(form: bytes, signature: bytes) -> bytes:
    """Return a signature."""
    return bytes([14]) + packed(packed(form) + packed(signature))


class Agent:
    """It listens on a socket of Unix.

    Attributes:
        asked: the messages that it was sent.
        says: makes the bytes to send of a message, in pieces if they are to come slowly; None sends nothing until the
            end.
    """

    def __init__(self, place: Path, says: Callable[[bytes], bytes | Iterator[bytes] | None]) -> None:
        self.place, self.says = place, says
        self.asked: list[bytes] = []
        self._closing = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(place))
        self._listener.listen()
        self._listener.settimeout(0.02)
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(20)
                    message = connection.recv(int.from_bytes(connection.recv(4), "big"), socket.MSG_WAITALL)
                    self.asked.append(message)
                    answer = self.says(message)
                    if answer is None:
                        self._closing.wait(20)
                    else:
                        for piece in [answer] if isinstance(answer, bytes) else answer:
                            connection.sendall(piece)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(20)
        self._listener.close()
