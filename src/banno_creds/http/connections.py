"""Connections that are kept open, for many clients of one program; one `Connections` for all its threads.

A connection that the server closed is not used. One that it closes at the very moment of a request is told from a
broken answer by what was heard on it: nothing; then, and only then, the request may be made once more.
"""

from __future__ import annotations

import math
import re
import select
import sys
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from banno_creds.errors import no_thread
from banno_creds.http.trust import Trust

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Hashable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import httpx

_MOST_IDLE_SECONDS = 4.0  # many servers close after 5
_MOST_IDLE = 64  # of all servers together: a system may allow a process 256 descriptors, and each takes two
_FRESH_SECONDS = 60.0  # for authorities and documents
_LINGERING_SECONDS = 1.0
# The answers with a status 1xx, which come before the real one.
_INTERIM = re.compile(rb"\A(?:HTTP/1\.1 1.*?\r\n\r\n)+", re.DOTALL)
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,20}")


class Turn(Protocol):
    """Holds a request back until its turn comes; `many.pacing` has one."""

    def __call__(self, url: str, *, counts: bool = True) -> AbstractContextManager[None]:
        """Return a context that is entered when a request to this URL may be made, and left when it is over.

        Args:
            url: where it goes.
            counts: whether it is a token request, whose refusal or success counts.
        """


class Connection:
    """A connection, or what will make one when it is first used.

    Attributes:
        transport: httpx's transport, with this one connection.
        socket: a duplicate of its socket, to break an exchange off; None if it is not connected yet.
        heard: whether anything came on it since the request that is under way.
    """

    def __init__(self, transport: httpx.HTTPTransport) -> None:
        self.transport = transport
        self.socket: socket.socket | None = None
        self.heard = False
        self._received: list[bytes] = []  # since the request that is under way
        self._idle_since = 0.0

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of a new connection; httpx calls this with each event."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._received = []  # a proxy's answer is none of the server
            self._listen(info["return_value"])
        if event.endswith("connect_tcp.complete"):
            if self.socket is not None:
                self.socket.close()
            self.socket = info["return_value"].get_extra_info("socket").dup()

    def _listen(self, stream: Any) -> None:
        read = stream.read

        def listening(max_bytes: int, timeout: float | None = None) -> bytes:
            content: bytes = read(max_bytes, timeout)
            self.heard = self.heard or content != b""
            self._received.append(content)
            return content

        stream.read = listening

    def has_ended(self) -> bool:
        """Return whether nothing came after the answer: it would be taken for the answer to the next request."""
        head, _, body = _INTERIM.sub(b"", b"".join(self._received)).partition(b"\r\n\r\n")
        fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
        headers = {name: value.strip(b" \t") for name, _, value in fields}
        if b"transfer-encoding" in headers:
            return _ends_with_its_last_chunk(body)
        return headers.get(b"content-length") == b"%d" % len(body)

    def begin(self) -> None:
        """Note that a request is made now."""
        self.heard = False
        self._received = []

    def rest(self) -> None:
        """Note that it is idle from now on."""
        self._received = []
        self._idle_since = time.monotonic()

    def is_usable(self) -> bool:
        """Return whether it is open still: on an idle connection the server says nothing but that it closes it."""
        if self.socket is None or time.monotonic() - self._idle_since > _MOST_IDLE_SECONDS:
            return False
        with suppress(OSError, ValueError):
            return not _is_readable(self.socket)
        return False

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            self.transport.close()
        if self.socket is not None:
            self.socket.close()


def _ends_with_its_last_chunk(body: bytes) -> bool:
    """Return whether a chunked body (RFC 9112 section 7.1) is whole, and nothing follows it."""
    place = 0
    while (end := body.find(b"\r\n", place)) >= 0:
        digits = body[place:end].partition(b";")[0].rstrip()
        if not _HEXADECIMAL.fullmatch(digits):
            return False
        size = int(digits, 16)
        if size == 0:
            return body[end:] == b"\r\n\r\n"
        place = end + size + 4
    return False


def _is_readable(idle: socket.socket) -> bool:
    if sys.platform == "win32":
        return bool(select.select([idle], [], [], 0)[0])
    poll = select.poll()  # which has no bound on the descriptor's number
    poll.register(idle, select.POLLIN)
    return bool(poll.poll(0))


class Connections:
    """Open connections, by server and way to it, and what else clients share that ask the same servers.

    They belong to one process: one that it forks needs its own.

    Args:
        turn: holds each attempt back until its turn comes.

    Attributes:
        turn: the same.
        watch: breaks off exchanges whose time is over.
    """

    def __init__(self, turn: Turn | None = None) -> None:
        self.turn = turn
        self.watch = Watch()
        self._trusts: dict[Path | None, tuple[float, Trust]] = {}
        # By those who vouched for the server: a document tells where assertions go, and others may not trust them.
        self._documents: weakref.WeakKeyDictionary[Trust, dict[str, tuple[float, dict[str, Any]]]]
        self._documents = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._idle: list[tuple[Hashable, Connection]] = []  # those that have been idle for longest are first
        # Nobody has to close them: they go with the last one who shares them.
        weakref.finalize(self, _close, self._idle, self._lock).atexit = False

    def trust(self, ca_bundle: Path | None) -> Trust:
        """Return the certificate authorities, which are read anew from time to time: a bundle may be replaced."""
        with self._lock:
            at, trust = self._trusts.get(ca_bundle, (-math.inf, None))
            if trust is None or time.monotonic() - at >= _FRESH_SECONDS:
                trust = Trust(ca_bundle)
                self._trusts[ca_bundle] = (time.monotonic(), trust)
            return trust

    def document(self, url: str, trust: Trust) -> dict[str, Any] | None:
        """Return a document that was fetched a moment ago with the same trust; None if there is none."""
        with self._lock:
            at, document = self._documents.get(trust, {}).get(url, (0.0, None))
        return document if document is not None and time.monotonic() - at < _FRESH_SECONDS else None

    def keep_document(self, url: str, trust: Trust, document: dict[str, Any]) -> None:
        """Keep a document for a while."""
        with self._lock:
            self._documents.setdefault(trust, {})[url] = (time.monotonic(), document)

    def take(self, key: Hashable) -> Connection | None:
        """Return an open connection, which nobody else has then; None if there is none."""
        while True:
            with self._lock:
                number = next((n for n in range(len(self._idle) - 1, -1, -1) if self._idle[n][0] == key), None)
                if number is None:
                    return None
                _, connection = self._idle.pop(number)
            if connection.is_usable():
                return connection
            connection.close()

    def give_back(self, key: Hashable, connection: Connection) -> None:
        """Keep a connection for the next request."""
        connection.rest()
        closing = []
        with self._lock:
            self._idle.append((key, connection))
            while self._idle and (len(self._idle) > _MOST_IDLE or not self._idle[0][1].is_usable()):
                closing.append(self._idle.pop(0)[1])
        for old in closing:
            old.close()

    def close(self) -> None:
        """Close all that are idle."""
        _close(self._idle, self._lock)
        self.watch.rest()


def _close(connections: list[tuple[Hashable, Connection]], lock: threading.Lock) -> None:
    with lock:
        closing = connections.copy()
        connections.clear()
    for _, connection in closing:
        connection.close()


class Watch:
    """Calls functions at their time, unless they were called off, in a thread that ends when it has nothing to do."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[object, tuple[float, Callable[[], object]]] = {}
        self._runs = False
        self._wakes_at = 0.0

    @contextmanager
    def until(self, at: float, call: Callable[[], object]) -> Iterator[None]:
        """Call a function at a time of the monotonic clock, unless the context is left before.

        NetworkError if the system starts no thread.
        """
        mark = object()
        with self._changed:
            self._due[mark] = (at, call)
            if not self._runs:
                try:
                    threading.Thread(target=self._work, name="banno-creds watch", daemon=True).start()
                except RuntimeError:
                    del self._due[mark]
                    raise no_thread() from None
                self._runs = True
            elif at < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due.pop(mark, None)

    def rest(self) -> None:
        """End the thread, if it has nothing to do."""
        with self._changed:
            self._wakes_at = 0.0
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                over = [mark for mark, (at, _) in self._due.items() if at <= now]
                calls = [self._due.pop(mark)[1] for mark in over]
                if not calls:
                    if not self._due and now >= self._wakes_at:
                        self._runs = False
                        return
                    self._wakes_at = min((at for at, _ in self._due.values()), default=now + _LINGERING_SECONDS)
                    self._changed.wait(self._wakes_at - now)
            for call in calls:
                call()
