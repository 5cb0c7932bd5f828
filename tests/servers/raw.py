"""Servers below HTTP: one says exact bytes, the other is a proxy before one."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    Talk = Callable[[socket.socket, bytes], None]

GRANTED = {"access_token": "an-opaque-token", "token_type": "Bearer", "expires_in": 600, "scope": "openid"}


def reply(body: bytes = json.dumps(GRANTED).encode(), *headers: str, length: int | None = None) -> bytes:
    lines = ["HTTP/1.1 200 OK", "content-type: application/json", *headers]
    lines += [] if length == -1 else [f"content-length: {len(body) if length is None else length}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def sends(*pieces: bytes) -> Talk:
    """Read the request, send these bytes, hang up."""

    def talk(connection: socket.socket, request: bytes) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return talk


def request_from(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += (more := connection.recv(65536))
        if not more:
            return received
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


class RawServer:
    """A server on loopback that says exactly these bytes, over TLS if it is given a context."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None, *, at_once: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closing = threading.Event()
        self._talk, self._context, self._at_once = talk, context, at_once
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def url(self, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._context else 'http'}://{host}:{self.port}/token"

    def _accept(self) -> None:
        while not self.closing.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            connection.settimeout(20)
            if self._context and not self._at_once:
                connection = stack.enter_context(self._context.wrap_socket(connection, server_side=True))
            request = b"" if self._at_once else request_from(connection)
            if request or self._at_once:
                self.requests.append(request)
                self._talk(connection, request)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for thread in self._threads:
            thread.join(20)
        self._listener.close()

    def stall(self, connection: socket.socket, request: bytes) -> None:
        """Say nothing until the test is over or the client has gone."""
        del request
        connection.settimeout(0.02)
        while not self.closing.is_set():
            with contextlib.suppress(TimeoutError):
                if not connection.recv(4096):
                    return


class Proxy:
    """A CONNECT proxy that reaches one server under every name."""

    def __init__(
        self, target: int, status: str = "200 Connection established", context: ssl.SSLContext | None = None
    ):
        self._target, self._status = target, status
        self.server = RawServer(self._relay, context)
        self.port = self.server.port

    @property
    def requests(self) -> list[bytes]:
        return self.server.requests

    def _relay(self, connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
        if not self._status.startswith("200"):
            return
        with socket.create_connection(("127.0.0.1", self._target)) as target:
            self._pump({connection: target, target: connection})

    def _pump(self, ways: dict[socket.socket, socket.socket]) -> None:
        """Pass on what comes, both ways in one thread: a TLS socket is not for two at a time."""
        with contextlib.suppress(OSError):
            while ways:
                held = [source for source in ways if isinstance(source, ssl.SSLSocket) and source.pending()]
                for source in held or select.select(list(ways), [], [], 10)[0]:
                    data, sink = source.recv(65536), ways[source]
                    if data:
                        sink.sendall(data)
                        continue
                    del ways[source]
                    if not isinstance(sink, ssl.SSLSocket):
                        sink.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()
