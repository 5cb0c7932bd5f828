"""The base of the tests' servers: HTTP on loopback in a thread of its own."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Says:
    """One answer; ``content_length`` may lie, and None leaves it out."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    content_length: int | None = -1
    reason: str | None = None


def says_json(status: int = 200, /, **members: Any) -> Says:
    """Return an answer whose body is a JSON object."""
    return Says(status, json.dumps(members).encode())


@dataclass
class Request:
    """One request; the names of its headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def form(self) -> dict[str, list[str]]:
        """The body as a form, each name with its values."""
        values: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.body.decode(), keep_blank_values=True):
            values.setdefault(name, []).append(value)
        return values

    @property
    def token(self) -> str:
        """The access token that it came with, or "" if there is none."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else ""


class Handler(BaseHTTPRequestHandler):
    """One connection with one request, of any method."""

    server: _Server

    def handle_one_request(self) -> None:
        """Take every method."""
        self.protocol_version = self.server.outer.protocol_version
        self.raw_requestline = self.rfile.readline(65537)
        self.close_connection = True
        if self.raw_requestline and self.parse_request():
            self.server.outer.serve(self)

    def read_request(self, body: bytes | None = None) -> Request:
        """Return the request; its body is read unless one is given."""
        headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
        return Request(self.command, self.path, headers, self.read_body() if body is None else body)

    def read_body(self, on_chunk: Callable[[], object] = lambda: None) -> bytes:
        """Read the whole body, of known length or chunked."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
            on_chunk()
        self.rfile.readline()
        return b"".join(pieces)

    def say(self, says: Says) -> None:
        """Send an answer."""
        self.send_response_only(says.status, says.reason)
        if self.server.outer.clock is not None:
            self.send_header("date", self.date_time_string(int(self.server.outer.clock())))
        for name, value in says.headers.items():
            self.send_header(name, value)
        if says.content_length is not None:
            length = len(says.body) if says.content_length < 0 else says.content_length
            self.send_header("content-length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(says.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing: a request is no news in a test's output."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    outer: LoopbackServer

    def get_request(self) -> Any:
        accepted = super().get_request()
        self.outer.on_connection()
        return accepted

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: in some tests a client hangs up early or is killed."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class LoopbackServer:
    """A server whose answers come from a function, or from a subclass that overrides `answer` or `serve`.

    Attributes:
        clock: the time that ``Date`` says; None sends none.
        on_connection: called for each connection, before its request is read.
        origin: where it is, such as ``http://127.0.0.1:40123``; it listens from the start.
    """

    protocol_version = "HTTP/1.0"  # no client keeps a connection that this server closes

    def __init__(
        self,
        answer: Callable[[Request], Says] | None = None,
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._function = answer
        self.clock: Callable[[], float] | None = time.time
        self.on_connection: Callable[[], object] = lambda: None
        self._server = (_Server6 if ":" in host else _Server)((host, 0), Handler)
        self._server.outer = self
        if context is not None:
            # Each connection's own thread shakes hands: a client that is slow, or gone, keeps nobody waiting.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self.origin = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The token endpoint, where it has one."""
        return f"{self.origin}/token"

    def answer(self, request: Request) -> Says:
        """Return the answer to a request."""
        assert self._function is not None
        return self._function(request)

    def serve(self, handler: Handler) -> None:
        """Read one request and answer it."""
        handler.say(self.answer(handler.read_request()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # shutdown() waits for a poll to end, which is why that is short.
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
