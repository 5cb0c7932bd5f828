"""A small HTTP server for this machine: one request per connection, and every resource bounded.

A client that stays silent, sends a byte a second or never ends its request can hold one of a few connections for ten
seconds, or less if others come. The server runs in a thread, and prints nothing.

It parses the request itself: h11 would accept more (folded headers, bare LF, HTTP/2.0, a head above the limit that
arrives in one piece), and what it accepts we would have to refuse again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.errors import no_thread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

_MOST_HEAD_BYTES = 16 * 1024
_REQUEST_SECONDS = 10.0  # for the TLS handshake and the request
_ANSWER_SECONDS = 5.0  # for sending the answer
_CLOSING_SECONDS = 1.0  # for the client to close
_PAUSE_SECONDS = 0.01  # while no file descriptor is free

# RFC 9112 sections 2 to 5: a whole head, without anything that two parsers could read differently.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/1\.[01]\r\n((?:%b:[^\r\n\0]*\r\n)*)\r\n" % (_TOKEN, _TOKEN))
_END_OF_HEAD = b"\r\n\r\n"
_END_OF_LINE = b"\r\n"
_LENGTH = re.compile(r"[0-9]{1,9}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,6})[ \t]*(?:;[^\r\n]*)?\r\n")
_TLS_HANDSHAKE = b"\x16"  # RFC 8446 section 5.1: the first byte that a browser sends over TLS

_REASONS = {
    200: "OK",
    303: "See Other",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Unreadable(Enum):
    """Why a request cannot be read."""

    TLS = "https was spoken where http is"
    NO_TLS = "http was spoken where https is"
    TOO_LARGE = "its head is too large"
    NO_HTTP = "it is no HTTP/1.1"


class Request(NamedTuple):
    """A request (RFC 9112 section 3), with lower-case header names.

    Attributes:
        connection: the socket, for asking who is at its other end; do not read from it.
        body: the body, if the server takes one.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    connection: socket.socket
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """Return the values of all headers of a name."""
        return [value for each, value in self.headers if each == name]


class Answer(NamedTuple):
    """The answer to a request.

    Attributes:
        status: the HTTP status.
        body: the text.
        headers: additional header lines.
        media_type: the media type of the text, which is sent as UTF-8.
        then: called in the server's thread after sending, with True if the client took all of it; not after a HEAD.
    """

    status: int
    body: str = ""
    headers: tuple[str, ...] = ()
    media_type: str = "text/html"
    then: Callable[[bool], None] = lambda _taken: None


def plain(status: int, words: str, *headers: str) -> Answer:
    """Make an answer in plain text, for a program."""
    return Answer(status, words + "\n", headers, "text/plain")


class Bounds(NamedTuple):
    """How much a server takes.

    Attributes:
        body: the longest body that a request may have, in bytes; 0 for bodies that are not read.
        connections: how many connections may be open at a time.
        parting_seconds: how long `stop` waits for delayed answers.
    """

    body: int = 0
    connections: int = 64
    parting_seconds: float = 0.5


class LoopbackServer:
    """Serves in a thread from `start` to `stop`.

    Args:
        listeners: non-blocking sockets that listen; `stop` closes them.
        respond: called in the thread for each request. It may return a future; until that has the answer, the
            connection waits, and is not closed to make room for others.
        on_unreadable: called in the thread, with why a request could not be read.
        headers: header lines for every answer.
        tls: for https.
        bounds: how much it takes.

    Attributes:
        failure: the exception that ended the thread, if one did.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        respond: Callable[[Request], Answer | Future[Answer]],
        on_unreadable: Callable[[Unreadable], None] = lambda _: None,
        *,
        headers: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._listeners = listeners
        self._respond = respond
        self._on_unreadable = on_unreadable
        self._headers = headers
        self._bounds = bounds
        self._over: dict[str, Any] = {}
        if tls is not None:
            self._over = {
                "ssl": tls,
                "ssl_handshake_timeout": _REQUEST_SECONDS,
                "ssl_shutdown_timeout": _CLOSING_SECONDS,
            }
        self.failure: BaseException | None = None
        # The open connections, the oldest first, and whether each has sent a whole request.
        self._open: dict[asyncio.Task[None], bool] = {}
        self._waiting: set[asyncio.Task[None]] = set()  # for an answer that is not ready yet
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loopback server", daemon=True)

    def start(self) -> None:
        """Begin to serve, also the connections that came since the sockets began to listen."""
        try:
            self._thread.start()
        except RuntimeError:
            for listener in self._listeners:
                listener.close()
            raise no_thread() from None
        self._started.wait()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Close everything; delayed answers that are ready in time are sent first."""
        with contextlib.suppress(RuntimeError):  # the loop has already ended
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve_until_stopped(), debug=False)
        except BaseException as failure:  # noqa: BLE001 - the thread would print it; `start` or the endpoint raises it
            self.failure = failure
        finally:
            for listener in self._listeners:
                listener.close()
            self._started.set()

    async def _serve_until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _loop, _context: None)  # the default handler prints
        self._stopping = asyncio.Event()
        accepting = [asyncio.create_task(self._accept(listener)) for listener in self._listeners]
        self._started.set()
        await self._stopping.wait()
        for task in accepting:
            task.cancel()
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=self._bounds.parting_seconds)
        for task in self._open:
            task.cancel()
        await asyncio.gather(*accepting, *self._open, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(listener)
            except OSError:  # the client is gone, or no file descriptor is free
                if not await self._close_oldest():
                    await asyncio.sleep(_PAUSE_SECONDS)
                continue
            task = asyncio.create_task(self._serve(connection))
            self._open[task] = False
            task.add_done_callback(self._open.pop)
            # Let the task begin: one that is cancelled before that never closes its connection.
            await asyncio.sleep(0)
            while len(self._open) > self._bounds.connections and await self._close_oldest():
                pass

    async def _close_oldest(self) -> bool:
        """Make room: close the oldest connection without a whole request, or else the oldest, but not the newest."""
        others = [task for task in self._open if task not in self._waiting]
        if not others:
            return False
        oldest = min(others[:-1] or others, key=self._open.__getitem__)
        oldest.cancel()
        await asyncio.wait([oldest])
        return True

    async def _serve(self, connection: socket.socket) -> None:
        kind = asyncio.StreamReader if self._over else _PlainReader
        reader = kind(limit=_MOST_HEAD_BYTES - len(_END_OF_HEAD))
        protocol = asyncio.StreamReaderProtocol(reader)
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, connection, **self._over)
                try:
                    head = await reader.readuntil(_END_OF_HEAD)
                except asyncio.LimitOverrunError:
                    head = b""
                request = self._read(head, connection)
                if self._bounds.body and isinstance(request, Request):
                    request = await _with_body(request, reader, transport, self._bounds.body)
            answer = await self._answer(request)
            if head.startswith(b"HEAD "):
                answer = answer._replace(then=lambda _taken: None)
            # The client may have gone while it waited for a delayed answer.
            taken = not reader.at_eof() and await self._send(
                asyncio.StreamWriter(transport, protocol, reader, self._loop),
                reader,
                _on_the_wire(answer, self._headers, with_body=not head.startswith(b"HEAD ")),
                more_may_come=not head.startswith((b"GET ", b"HEAD ")),
            )
            answer.then(taken)
        except (OSError, EOFError) as failure:
            # The client went away, took too long, or did not speak TLS.
            if isinstance(failure, _SpokeTlsError):
                self._on_unreadable(Unreadable.TLS)
            elif getattr(failure, "reason", None) == "HTTP_REQUEST":
                self._on_unreadable(Unreadable.NO_TLS)
        finally:
            if transport is not None:
                transport.abort()
            await _closed(connection)

    def _read(self, head: bytes, connection: socket.socket) -> Request | Answer:
        """Read a request's head, which is empty if it was too large; return the answer if that is not possible."""
        if not head:
            self._on_unreadable(Unreadable.TOO_LARGE)
            return plain(431, "This request is too large: a browser may have too many cookies for localhost.")
        request = _read(head, connection)
        if request is None:
            self._on_unreadable(Unreadable.NO_HTTP)
            return plain(400, "This request cannot be read.")
        return request

    async def _answer(self, request: Request | Answer) -> Answer:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError
        self._open[task] = True
        answer = request if isinstance(request, Answer) else self._respond(request)
        if isinstance(answer, Answer):
            return answer
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return await asyncio.wrap_future(answer)

    async def _send(
        self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, content: bytes, *, more_may_come: bool
    ) -> bool:
        """Send an answer and close the connection; return False if the client did not take all of it."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                writer.write(content)
                await writer.drain()
                # Closing a connection with unread data resets it, and the answer could be lost. TLS waits for the
                # client to close, but not for a client that continues to send.
                without_tls = writer.can_write_eof()
                if without_tls:
                    writer.write_eof()
                if without_tls or more_may_come:
                    await _rest(reader)
                writer.close()
        except OSError:
            writer.transport.abort()  # an open writer would complain on standard error
            return False
        with contextlib.suppress(OSError):  # many clients close without TLS's goodbye
            await writer.wait_closed()
        return True


class _SpokeTlsError(OSError):
    """A client began with a TLS handshake where plain http is spoken; it would wait for the answer to that."""


class _PlainReader(asyncio.StreamReader):
    """Fails at the first byte of a TLS handshake."""

    _begun = False

    def feed_data(self, data: Any) -> None:  # bytes
        if not self._begun and bytes(data[:1]) == _TLS_HANDSHAKE:
            self.set_exception(_SpokeTlsError())
        self._begun = True
        super().feed_data(data)


def _read(head: bytes, connection: socket.socket) -> Request | None:
    parts = _HEAD.fullmatch(head)
    if parts is None:
        return None
    method, target, fields = (part.decode("latin-1") for part in parts.groups())
    lines = (line.partition(":") for line in fields.split("\r\n") if line)
    headers = tuple((name.lower(), value.strip(" \t")) for name, _, value in lines)
    return Request(method, target, headers, connection)


async def _with_body(
    request: Request, reader: asyncio.StreamReader, transport: asyncio.Transport, most: int
) -> Request | Answer:
    """Read a request's body (RFC 9112 section 6); return the answer if it is too large or cannot be read."""
    lengths, codings = request.values("content-length"), request.values("transfer-encoding")
    if len(lengths) + len(codings) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        return plain(400, "This request cannot be read: its length is not clear.")
    if any(coding.lower() != "chunked" for coding in codings):
        return plain(400, "This request cannot be read: its transfer coding is not known.")
    if lengths and int(lengths[0]) > most:
        return plain(413, "This request is too large.")
    if [value.lower() for value in request.values("expect")] == ["100-continue"]:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if not codings:
        return request._replace(body=await reader.readexactly(int(lengths[0]) if lengths else 0))
    body = b""
    try:
        while (size := await _size_of_chunk(reader)) > 0:
            if len(body) + size > most:
                return plain(413, "This request is too large.")
            body += await reader.readexactly(size)
            if await reader.readexactly(len(_END_OF_LINE)) != _END_OF_LINE:
                raise ValueError  # noqa: TRY301 - the same answer for all that is no chunk
        while await reader.readuntil(_END_OF_LINE) != _END_OF_LINE:
            pass  # a trailer says nothing here
    except (ValueError, asyncio.LimitOverrunError):
        return plain(400, "This request cannot be read: it is not chunked as it says.")
    return request._replace(body=body)


async def _size_of_chunk(reader: asyncio.StreamReader) -> int:
    """Read a chunk's first line; ValueError if it is none."""
    line = _CHUNK.fullmatch(await reader.readuntil(_END_OF_LINE))
    if line is None:
        raise ValueError
    return int(line[1], 16)


def _on_the_wire(answer: Answer, headers: Sequence[str], *, with_body: bool) -> bytes:
    body = answer.body.encode("utf-8", "replace")
    lines = (
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, '')}",
        f"Content-Type: {answer.media_type}; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
        *answer.headers,
    )
    return "\r\n".join((*lines, "", "")).encode("ascii") + (body if with_body else b"")


async def _rest(reader: asyncio.StreamReader) -> None:
    """Discard further data until the client closes or its time is over."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_CLOSING_SECONDS):
            while await reader.read(_MOST_HEAD_BYTES):
                pass


async def _closed(connection: socket.socket) -> None:
    """Wait until the transport has closed its socket, which frees the file descriptor."""
    with contextlib.suppress(OSError):
        # A TLS transport that is aborted before it has begun does not close its socket; this makes it notice.
        connection.shutdown(socket.SHUT_RDWR)
    for _ in range(100):
        if connection.fileno() == -1:
            return
        await asyncio.sleep(0)
    connection.close()
