"""One connection to a Redis or Valkey server: commands out, answers in, each within its time.

It speaks RESP 2, which every version of both servers does. Nothing that comes from the server is trusted: answers are
bounded, and its words are made fit to be shown.
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from banno_creds import threads
from banno_creds.errors import ConfigurationError, NetworkError
from banno_creds.shared_cache.faults import ClosedError, ServerError, SlowError, StoreError, no_answer
from banno_creds.text import printable, setting, system_words

try:
    import hiredis
except ImportError:
    raise ConfigurationError(
        "a shared cache needs a package that is not installed", hint='pip install "banno-creds[redis]"'
    ) from None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from banno_creds.cache_address import CacheAddress
    from banno_creds.http.trust import Trust

    Command = Sequence[str | bytes | int]

_FIRST = 2.0  # seconds for the name, the connection, TLS and the first answers together
_ANSWERS = 1.5  # seconds for the answers to one batch of commands
_MOST_BYTES = 4 * 1024 * 1024  # of the answers to one batch
_HUGE = re.compile(rb"[*%~>][0-9]{5,}\r")  # the parser would make room for an array of any length at once


class Connection:
    """An open connection, which one thread uses at a time.

    Attributes:
        used_at: when it last brought an answer, by the monotonic clock.

    Raises:
        StoreError: the server cannot be reached, or does not let us in.
    """

    def __init__(self, address: CacheAddress, password: str, trust: Trust | None) -> None:
        self.used_at = time.monotonic()
        self._password = password
        self._reader = hiredis.Reader()
        self._first_ends: float | None = time.monotonic() + _FIRST
        try:
            self._socket = _connect(address, trust, self._first_ends)
        except TimeoutError:
            raise SlowError("no connection in time") from None
        except StoreError:
            raise
        except (OSError, UnicodeError) as failure:
            raise StoreError(system_words(failure) if isinstance(failure, OSError) else "no such host") from None
        # They go out with the first commands: a server may keep them waiting, and most have nothing to say.
        self._greeting: list[Command] = []
        if address.user or password:
            self._greeting.append(("AUTH", address.user, password) if address.user else ("AUTH", password))
        if address.database:
            self._greeting.append(("SELECT", address.database))

    def __del__(self) -> None:
        if hasattr(self, "_socket"):
            self.close()

    def close(self) -> None:
        """Close it; one that nobody needs any more closes itself."""
        with suppress(OSError):
            self._socket.close()

    def ask(self, *commands: Command) -> list[Any]:
        """Send commands together, and return their answers: bytes, numbers, None, lists, or a `ServerError`.

        Raises:
            StoreError: not all answers came in time, or one is no answer; the connection must not be used again. Or
                the server did not let us in.
        """
        greeting, self._greeting = self._greeting, []
        answers = self._exchange([*greeting, *commands])
        for answer in answers[: len(greeting)]:
            if isinstance(answer, ServerError):
                raise answer
        return answers[len(greeting) :]

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        ends, self._first_ends = self._first_ends or time.monotonic() + _ANSWERS, None
        answers: list[Any] = []
        received, last = 0, b""
        try:
            self._wait_until(ends)
            self._socket.sendall(b"".join(map(_packed, commands)))
            while len(answers) < len(commands):
                self._wait_until(ends)
                piece = self._socket.recv(65536)
                received += len(piece)
                _check_size(received, last + piece)
                if not piece:
                    break
                last = piece[-20:]
                self._reader.feed(piece)
                while len(answers) < len(commands) and (answer := self._reader.gets()) is not False:
                    is_error = isinstance(answer, hiredis.ReplyError)
                    answers.append(ServerError(str(answer), self._password) if is_error else answer)
        except TimeoutError:
            raise SlowError("no answer in time") from None
        except (hiredis.HiredisError, MemoryError, TypeError):  # the last: of RESP 3, a map whose key is a list
            raise no_answer() from None
        except StoreError:
            raise
        except OSError as failure:
            raise _broken(failure) from None
        if len(answers) < len(commands):
            said = [answer for answer in answers if isinstance(answer, ServerError)]
            raise said[0] if said else ClosedError("it closed the connection")
        self.used_at = time.monotonic()
        return answers

    def _wait_until(self, ends: float) -> None:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


def _check_size(received: int, said: bytes) -> None:
    if received > _MOST_BYTES or _HUGE.search(said):
        raise StoreError("its answer is too large", "cache.answer")


def _packed(command: Command) -> bytes:
    words = [word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape") for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _connect(address: CacheAddress, trust: Trust | None, ends: float) -> socket.socket:
    if address.path:
        return _open_unix(address.path, ends)
    open_ = _open_tcp(address, ends)
    try:
        open_.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if trust is not None:
            open_.settimeout(max(ends - time.monotonic(), 0.001))
            open_ = _secured(open_, address, trust)
    except BaseException:
        open_.close()
        raise
    return open_


def _secured(open_: socket.socket, address: CacheAddress, trust: Trust) -> socket.socket:
    import ssl  # only now: it takes as long as all the rest

    context = trust.context()
    try:
        if address.certificate:
            context.load_cert_chain(address.certificate, address.key or None, _no_password)
    except OSError as failure:
        raise ConfigurationError(
            f"the certificate that {setting('cache_url')} names by ssl_certfile cannot be used: {_reason(failure)}",
            hint="name a PEM file with the certificate, and its key by ssl_keyfile",
        ) from None
    try:
        return context.wrap_socket(open_, server_hostname=address.host)
    except ssl.SSLCertVerificationError as failure:
        raise StoreError(
            f"its certificate is not trusted: {printable(failure.verify_message, 80)}", "cache.tls"
        ) from None
    except ssl.SSLError as failure:
        raise _broken(failure) from None
    except TimeoutError:
        raise SlowError("no answer to TLS in time; the port may not speak it", "cache.tls") from None
    except ConnectionError as failure:
        raise ClosedError(f"TLS failed: {system_words(failure)}; the port may not speak it", "cache.tls") from None


def _broken(failure: OSError) -> StoreError:
    """Return the fault of a connection that broke; a server may end TLS only with its first answer."""
    if type(failure).__module__ == "ssl":
        import ssl

        kind = ClosedError if isinstance(failure, ssl.SSLEOFError | ssl.SSLZeroReturnError) else StoreError
        return kind(f"TLS failed: {_reason(failure)}", "cache.tls")
    return ClosedError(_reason(failure))


def _reason(failure: OSError) -> str:
    """Return OpenSSL's words for a failure, or the system's."""
    reason = getattr(failure, "reason", None)
    if type(failure).__module__ == "ssl":
        reason = reason or "the server ended it"
    return printable(str(reason).lower().replace("_", " "), 80) if reason else system_words(failure)


def _no_password() -> str:
    raise ConfigurationError(
        f"the key that {setting('cache_url')} names by ssl_keyfile is encrypted", hint="name one that is not"
    )


def _open_unix(path: str, ends: float) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError(
            f"{setting('cache_url')} names a Unix socket, and this system has none", hint="name a host: rediss://…"
        )
    open_ = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        open_.settimeout(max(ends - time.monotonic(), 0.001))
        open_.connect(path)
    except BaseException:
        open_.close()
        raise
    return open_


def _open_tcp(address: CacheAddress, ends: float) -> socket.socket:
    """Connect to the first of the host's addresses that answers; the resolver itself knows no time limit."""
    failure: OSError = TimeoutError()
    for family, kind, protocol, _, place in _resolve(address.host, address.port, ends):
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        open_ = socket.socket(family, kind, protocol)
        try:
            open_.settimeout(left)
            open_.connect(place)
        except OSError as fault:
            open_.close()
            failure = fault
        except BaseException:
            open_.close()
            raise
        else:
            return open_
    raise failure


def _resolve(host: str, port: int, ends: float) -> list[Any]:
    with suppress(OSError):  # an address needs no resolver
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)

    def look_up() -> list[Any]:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    try:
        return threads.run(look_up, lambda: ends - time.monotonic(), "banno-creds resolver")
    except threads.OutOfTimeError:
        raise TimeoutError from None
    except NetworkError as failure:  # no thread: this machine's cache may still have a token
        raise StoreError(failure.message) from None
