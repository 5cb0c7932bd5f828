"""A small HTTP server for this machine alone: one request a connection, and everything bounded.

Whoever holds connections open, sends a byte a second or never ends its head costs a place among sixty-four for ten
seconds at the most, and loses it sooner to whoever comes next. It runs in a thread, and prints nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

_MOST_HEAD_BYTES = 16 * 1024
_MOST_CONNECTIONS = 64
_REQUEST_SECONDS = 10.0  # for TLS and the request's head
_ANSWER_SECONDS = 5.0  # until the answer was taken
_CLOSING_SECONDS = 1.0  # for the other side to close
_PARTING_SECONDS = 0.5  # what those whose answer was kept back get when the server stops
_PAUSE_SECONDS = 0.01  # while there is no descriptor to be had

# RFC 9112 sections 2 to 5: a whole head, with nothing in it that two readers could read differently.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/1\.[01]\r\n((?:%b:[^\r\n\0]*\r\n)*)\r\n" % (_TOKEN, _TOKEN))
_END_OF_HEAD = b"\r\n\r\n"

_REASONS = {
    200: "OK",
    303: "See Other",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Request(NamedTuple):
    """A request's head (RFC 9112 section 3); the names of its headers in lower case.

    Attributes:
        connection: what it came by, for who is at its other end; not to be read from.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    connection: socket.socket

    def values(self, name: str) -> list[str]:
        """The values of all headers of that name."""
        return [value for each, value in self.headers if each == name]


class Answer(NamedTuple):
    """What a request gets.

    Attributes:
        status: the HTTP status.
        body: the text.
        headers: further header lines.
        media_type: of the text, which is UTF-8.
        then: called in the server's thread with whether all of it was taken; not after a HEAD.
    """

    status: int
    body: str = ""
    headers: tuple[str, ...] = ()
    media_type: str = "text/html"
    then: Callable[[bool], None] = lambda _taken: None


def plain(status: int, words: str, *headers: str) -> Answer:
    """An answer to a program rather than to a person."""
    return Answer(status, words + "\n", headers, "text/plain")


class LoopbackServer:
    """Serves in a thread from `start` to `stop`.

    Args:
        listeners: sockets that listen and do not block; closed in the end.
        respond: called in the thread; an answer that it gives as a future is kept back until it is there, and its
            connection is nobody's to take.
        headers: header lines of every answer.
        tls: for https.

    Attributes:
        failure: what ended the thread before its time.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        respond: Callable[[Request], Answer | Future[Answer]],
        *,
        headers: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listeners = listeners
        self._respond = respond
        self._headers = headers
        self._over: dict[str, Any] = {}
        if tls is not None:
            self._over = {
                "ssl": tls,
                "ssl_handshake_timeout": _REQUEST_SECONDS,
                "ssl_shutdown_timeout": _CLOSING_SECONDS,
            }
        self.failure: BaseException | None = None
        # Those that are open, the oldest first, and whether each has sent a whole request.
        self._open: dict[asyncio.Task[None], bool] = {}
        self._kept: set[asyncio.Task[None]] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loopback server", daemon=True)

    def start(self) -> None:
        """Begin to serve; who knocked since the sockets listen has waited."""
        self._thread.start()
        self._started.wait()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Close everything, at once but for answers that were kept back and have come now."""
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve_until_stopped(), debug=False)
        except BaseException as failure:  # noqa: BLE001 - a thread's own is printed; whoever waits raises this one
            self.failure = failure
        finally:
            for listener in self._listeners:
                listener.close()
            self._started.set()

    async def _serve_until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _loop, _context: None)  # the one that is there prints
        self._stopping = asyncio.Event()
        accepting = [asyncio.create_task(self._accept(listener)) for listener in self._listeners]
        self._started.set()
        await self._stopping.wait()
        for task in accepting:
            task.cancel()
        if self._kept:
            await asyncio.wait(self._kept, timeout=_PARTING_SECONDS)
        for task in self._open:
            task.cancel()
        await asyncio.gather(*accepting, *self._open, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(listener)
            except OSError:  # who knocked is gone, or this process has no descriptor left
                if not await self._close_oldest():
                    await asyncio.sleep(_PAUSE_SECONDS)
                continue
            task = asyncio.create_task(self._serve(connection))
            self._open[task] = False
            task.add_done_callback(self._open.pop)
            # So that it has begun: a task that is cancelled before that never closes what it was given.
            await asyncio.sleep(0)
            while len(self._open) > _MOST_CONNECTIONS:
                await self._close_oldest()

    async def _close_oldest(self) -> bool:
        """Make room: the oldest that has sent no whole request goes, else the oldest; the last to come may stay."""
        others = [task for task in self._open if task not in self._kept]
        if not others:
            return False
        oldest = min(others[:-1] or others, key=self._open.__getitem__)
        oldest.cancel()
        await asyncio.wait([oldest])
        return True

    async def _serve(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=_MOST_HEAD_BYTES - len(_END_OF_HEAD))
        protocol = asyncio.StreamReaderProtocol(reader)
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, connection, **self._over)
                try:
                    head = await reader.readuntil(_END_OF_HEAD)
                except asyncio.LimitOverrunError:
                    head = b""
            answer = await self._answer(head, connection)
            if head.startswith(b"HEAD "):
                answer = answer._replace(then=lambda _taken: None)
            # Only a kept one can have waited so long that the other side went.
            taken = not reader.at_eof() and await self._send(
                asyncio.StreamWriter(transport, protocol, reader, self._loop),
                reader,
                _on_the_wire(answer, self._headers, with_body=not head.startswith(b"HEAD ")),
                more_may_come=not head.startswith((b"GET ", b"HEAD ")),
            )
            answer.then(taken)
        except (OSError, EOFError):
            pass  # whoever it was went away, took too long, or spoke no TLS
        finally:
            if transport is not None:
                transport.abort()
            await _closed(connection)

    async def _answer(self, head: bytes, connection: socket.socket) -> Answer:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError
        self._open[task] = True
        if not head:
            return plain(431, "This request is too large: this browser may have too many cookies for localhost.")
        request = _read(head, connection)
        if request is None:
            return plain(400, "This request cannot be read.")
        answer = self._respond(request)
        if isinstance(answer, Answer):
            return answer
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return await asyncio.wrap_future(answer)

    async def _send(
        self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, content: bytes, *, more_may_come: bool
    ) -> bool:
        """Send all, and close when it was taken; whether it was."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                writer.write(content)
                await writer.drain()
                # Closed with something unread left, the connection would be reset, and what was sent be lost. TLS
                # waits by itself until the other side closes, though not for one that goes on sending.
                without_tls = writer.can_write_eof()
                if without_tls:
                    writer.write_eof()
                if without_tls or more_may_come:
                    await _rest(reader)
                writer.close()
        except OSError:
            writer.transport.abort()  # a writer that is left open says so on standard error
            return False
        with contextlib.suppress(OSError):  # it went without a word, as many do
            await writer.wait_closed()
        return True


def _read(head: bytes, connection: socket.socket) -> Request | None:
    parts = _HEAD.fullmatch(head)
    if parts is None:
        return None
    method, target, fields = (part.decode("latin-1") for part in parts.groups())
    lines = (line.partition(":") for line in fields.split("\r\n") if line)
    headers = tuple((name.lower(), value.strip(" \t")) for name, _, value in lines)
    return Request(method, target, headers, connection)


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
    """Drop what still comes, until the other side has closed or had its time."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_CLOSING_SECONDS):
            while await reader.read(_MOST_HEAD_BYTES):
                pass


async def _closed(connection: socket.socket) -> None:
    """Wait until the transport has closed its socket: only then is the descriptor free again."""
    with contextlib.suppress(OSError):
        # A TLS transport that is broken off before its first turn does not close; of this it learns.
        connection.shutdown(socket.SHUT_RDWR)
    for _ in range(100):
        if connection.fileno() == -1:
            return
        await asyncio.sleep(0)
    connection.close()
