"""The server of a shared cache: who it is, how we get in, and the connections that are kept to it."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banno_creds.cache_address import read_cache_url
from banno_creds.errors import ConfigurationError
from banno_creds.shared_cache.connection import Connection
from banno_creds.shared_cache.faults import ClosedError, ServerError, SlowError, StoreError, no_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from banno_creds.http.trust import Trust
    from banno_creds.shared_cache.connection import Command

_MOST_KEPT = 8  # connections
_MOST_IDLE_SECONDS = 60.0  # a firewall may forget an idle one later, without a word to either end
_TRIES = 3  # if the server closes the connection: it restarts, or somebody closes those of all clients
_TRIED_FOR = 1.0  # seconds
_ON_A_PAGE = 500  # names
_MOST_PAGES = 10_000
_MOST_NAMES = 250_000
_LATEST = 10**11  # seconds since the epoch: more is no time


class Store:
    """A Redis or Valkey server.

    Args:
        url: see `cache_address.read_cache_url`; it may have the password.
        password_file: a file with the password; the URL's own comes second. Where the server refuses the password,
            the file is read again: somebody may have changed both.
        ca_bundle: the certificates to trust, unless the URL names some; None for the operating system's store.

    Attributes:
        address: the URL's parts.
        warnings: what is wrong with the password's file, each with what to do.

    Raises:
        ConfigurationError: the URL cannot be used, or the password's file cannot be read.
    """

    def __init__(self, url: str, password_file: Path | None = None, ca_bundle: Path | None = None) -> None:
        self.address = read_cache_url(url)
        self.warnings: tuple[tuple[str, str], ...] = ()
        self._password = self.address.password
        self._password_file = password_file
        if password_file is not None:
            self._password, self.warnings = read_password(password_file)
        self._ca_bundle = Path(self.address.authorities) if self.address.authorities else ca_bundle
        self._trust = None
        if self.address.scheme == "rediss":
            self._trust = self._new_trust()
            self._trust.context()  # a bundle that cannot be read is a mistake, and no fault of the server
        self._kept: list[Connection] = []
        self._was_reached = False
        self._process = os.getpid()

    @property
    def shown(self) -> str:
        """The server's place, for messages."""
        return self.address.shown

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands together, and return their answers; one of them may be a `ServerError`.

        If the server closes the connection, they are sent over another one. So they have to be such that it does no
        harm if they are done twice.

        Raises:
            StoreError: see `connection.Connection.ask`.
        """
        password = self._password
        try:
            return self._ask(commands)
        except ServerError as refused:
            if refused.rule != "cache.password" or not self._has_another_password(password):
                raise
        return self._ask(commands)

    def _has_another_password(self, refused: str) -> bool:
        """Read the password's file again, since the server refused what it had; True if it has another one by now."""
        file = self._password_file
        # Another thread may have read it since; and a pipe can be read once.
        with suppress(OSError, ConfigurationError):
            if self._password == refused and file is not None and file.is_file():
                self._password, _ = read_password(file)
        return self._password != refused

    def _ask(self, commands: Sequence[Command]) -> list[Any]:
        began, tries = time.monotonic(), 0
        while True:
            is_kept, tries = False, tries + 1
            try:
                with self._connection() as (connection, is_kept):
                    return connection.ask(*commands)
            except StoreError as failure:
                was_closed = isinstance(failure, ClosedError) or (
                    is_kept and not isinstance(failure, ServerError | SlowError)
                )
                if not was_closed or tries == _TRIES or time.monotonic() - began > _TRIED_FOR:
                    raise
            self.close()  # where one was closed, the others are too

    def get(self, *commands: Command) -> list[Any]:
        """Send commands together, and return their answers; raise the first of them that is an error."""
        answers = self.ask(*commands)
        for answer in answers:
            if isinstance(answer, ServerError):
                raise answer
        return answers

    def names(self, pattern: str) -> Iterator[Sequence[bytes]]:
        """Give the names in the server that match a pattern, some at a time; one may come twice."""
        cursor, count = b"0", 0
        for _ in range(_MOST_PAGES):
            answer = self.get(("SCAN", cursor, "MATCH", pattern, "COUNT", _ON_A_PAGE))[0]
            if not isinstance(answer, list) or len(answer) != 2 or not isinstance(answer[1], list):
                break
            cursor, found = answer
            if not all(isinstance(each, bytes) for each in (cursor, *found)):
                break
            count += len(found)
            if count > _MOST_NAMES:
                raise StoreError("it has too many entries", "cache.answer")
            yield found
            if cursor == b"0":
                return
        raise no_answer()

    @contextmanager
    def _connection(self) -> Iterator[tuple[Connection, bool]]:
        """Take a kept connection, or make one; keep it if nothing went wrong with it."""
        if self._process != os.getpid():  # after a fork they are the parent's
            self._kept, self._process = [], os.getpid()
        kept = self._take_kept()
        connection = self._made() if kept is None else kept
        try:
            yield connection, kept is not None
        except BaseException:
            connection.close()
            raise
        if len(self._kept) < _MOST_KEPT:
            self._kept.append(connection)
        else:
            connection.close()

    def _take_kept(self) -> Connection | None:
        """Take a kept connection; None if there is none that was in use a moment ago."""
        while True:
            try:
                connection = self._kept.pop()
            except IndexError:
                return None
            if time.monotonic() - connection.used_at < _MOST_IDLE_SECONDS:
                return connection
            connection.close()

    def _made(self) -> Connection:
        """Make a connection; files that were good before, and cannot be used now, are no mistake of the caller."""
        try:
            connection = self._new()
        except ConfigurationError:
            if not self._was_reached:
                raise
            raise StoreError("a certificate's file that it needs cannot be used now", "cache.tls") from None
        self._was_reached = True
        return connection

    def _new_trust(self) -> Trust:
        from banno_creds.http.trust import Trust

        return Trust(self._ca_bundle)

    def _new(self) -> Connection:
        # A certificate is read into it for each connection. If other threads used it then, OpenSSL would crash.
        trust = self._new_trust() if self.address.certificate else self._trust
        try:
            return Connection(self.address, self._password, trust)
        except StoreError as failure:
            # Somebody may have added the authority to the system's file by hand; nothing was sent.
            is_slow = isinstance(failure, SlowError)
            if is_slow or failure.rule != "cache.tls" or trust is None or not trust.widen():
                raise
            return Connection(self.address, self._password, trust)

    def close(self) -> None:
        """Close the kept connections; the next command makes a new one."""
        kept, self._kept = self._kept, []
        for connection in kept:
            connection.close()


def read_password(file: Path) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the password in a file, and the warnings about it.

    Raises:
        ConfigurationError: it cannot be read, or others can write it.
    """
    from banno_creds.storage.secret_files import read_secret_line

    read = read_secret_line(file, "password of the shared cache", "cache_password_file")
    return read.content.decode("utf-8", "surrogateescape"), read.warnings


def read_time(answer: object) -> float:
    """Return the seconds that the server's clock shows, of its answer to TIME; StoreError if it is none."""
    if isinstance(answer, ServerError):
        raise answer
    try:
        seconds, microseconds = map(int, answer if isinstance(answer, list) else ())
    except (TypeError, ValueError, OverflowError):
        raise no_answer() from None
    if not (0 <= seconds < _LATEST and 0 <= microseconds < 1_000_000):
        raise no_answer()
    return seconds + microseconds / 1_000_000
