"""One exchange: a request and its answer, bounded in time and size, and never redirected."""

from __future__ import annotations

import contextlib
import math
import re
import socket
import ssl
import threading
import time
import zlib
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast
from urllib.parse import unquote_plus

import httpx

from banno_creds import __version__, threads
from banno_creds.checks import is_loopback
from banno_creds.http import faults
from banno_creds.http.compression import GZIP, codings, inflate
from banno_creds.secrecy import Secret, unescaped, without
from banno_creds.text import printable
from banno_creds.threads import OutOfTimeError
from banno_creds.times import http_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from banno_creds.http.connections import Watch

    Trace = Callable[[str, Mapping[str, Any]], None]
    Secrets = Sequence[Secret]

T = TypeVar("T")

# A token response has a few kilobytes, a JWK Set rarely more than twenty.
MOST_ANSWER_BYTES = 1024 * 1024

# How far the exchange is, by the end of httpx's name for the event.
_PHASES = {
    "connect_tcp.started": faults.NO_CONNECTION,
    "start_tls.started": faults.NO_TLS,
    "send_request_headers.started": faults.NOT_SENT,
    "receive_response_headers.started": faults.NO_ANSWER,
    "receive_response_body.started": faults.PART_OF_ANSWER,
}


# The fields of a request whose values no message may repeat, and what messages call them.
_SECRETS = {
    "client_assertion": "the assertion",
    "client_secret": "the client secret",
    "code": "the code",
    "code_verifier": "the verifier",
    "refresh_token": "the token",
    "token": "the token",
}
_TOKENS = re.compile(
    rb"\b(?:access_token|refresh_token|id_token)(?:\\*\"\s*:\s*\\*\"|=)((?:[^\"\\&\s]++|\\.)++)", re.DOTALL
)
_MOST_TOKENS = 8
_SHORTEST_TOKEN = 12  # characters
_MOST_MISSING = 20  # characters of a code that somebody might guess
_MOST_TOKEN_BYTES = 64 * 1024


def secrets_sent(
    form: Iterable[tuple[str, str]], headers: Iterable[tuple[str, str]], proxy: httpx.Proxy | None
) -> Secrets:
    """Return each secret that a request has in it, and its name for messages: a server may echo any of them."""
    form = tuple(form)
    found = [(value, _SECRETS[name]) for name, value in form if name in _SECRETS]
    found += [(value.rpartition(".")[2], what) for value, what in found if what == "the assertion"]
    known = [value for name, value in form if name == "client_id"]
    for name, value in headers:
        scheme, _, credentials = value.partition(" ")
        if name == "x-vault-token":
            found.append((value, "the token"))
        if name != "authorization":
            continue
        if scheme == "Bearer":
            found.append((credentials, "the token"))
            continue
        client_id, _, secret = b64decode(credentials).decode("ascii").partition(":")
        known.append(unquote_plus(client_id))
        found += [(each, "the client secret") for each in (unquote_plus(secret), secret, credentials)]
    if proxy is not None and proxy.raw_auth is not None:
        found.append((proxy.raw_auth[1].decode("latin-1"), "the proxy's password"))
    return tuple(
        Secret(value, what, [*known, *(_parts(value) if what == "the code" else ())])
        for value, what in dict.fromkeys(found)
    )


def _parts(code: str) -> list[str]:
    """Return what a code consists of, such as a session's ID, which claims have too; no part is all that matters."""
    return [part for part in code.split(".") if len(code) - len(part) > _MOST_MISSING]


def _secrets_received(content: bytes) -> Secrets:
    """Return the tokens in an answer, whether or not it can be read: its status line may have them as well."""
    found = [each for each in _TOKENS.findall(content[:_MOST_TOKEN_BYTES]) if len(each) >= _SHORTEST_TOKEN]
    return tuple(Secret(unescaped(token.decode("latin-1")), "the token") for token in found[:_MOST_TOKENS])


def shown(words: object, secrets: Secrets, most: int) -> str:
    """Make words from outside fit to be shown; an echo is looked for in more of them than are shown."""
    return printable(without(printable(words, most * 10), secrets), most)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status, headers, body, how long it took, and the secrets that its words may echo."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    seconds: float
    secrets: Secrets = field(default=(), repr=False)
    may_be_followed: bool = False  # by another request on the same connection

    def said(self, words: object, most: int = 500) -> str:
        """Make the server's words fit to be shown: printable, and without a secret that they echo."""
        return shown(words, self.secrets, most)

    @property
    def request_id(self) -> str | None:
        """The vendor's name for this exchange, for a support case."""
        value = self.headers.get("x-request-id")
        return self.said(value, 80) if value else None

    @property
    def media_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.said(self.headers.get("content-type", "").partition(";")[0], 80).lower()


def answer_skew(headers: Mapping[str, str], now: float, seconds: float) -> float | None:
    """Return how many seconds this machine's clock is ahead of the server's, by an answer; None if it has no date.

    Args:
        headers: the answer's.
        now: when the answer had come, in seconds since the epoch.
        seconds: how long the exchange took.
    """
    date = http_date(headers.get("date", ""))
    if date is None:
        return None
    # An answer from a cache is so much older (RFC 9111 section 5.1).
    age = headers.get("age", "").strip()
    kept = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
    # It was made between the question and the answer, and within the second that it names.
    return now - seconds / 2 - (date + kept + 0.5)


class StreamedAnswer:
    """An answer whose body is still to come: status, headers, and the body piece by piece.

    Close it, or use it in a ``with`` statement.

    Attributes:
        url: the URL that was asked.
        version: such as ``HTTP/1.1``.
        status: the status code.
        reason: the server's word for it, printable.
        raw_reason: the same as it came.
        headers: the headers by name; the case of a name does not matter.
        raw_headers: all headers as they came.
        seconds: how long it took until the answer began.
        secrets: see `Answer`.
    """

    def __init__(
        self, response: httpx.Response, transport: httpx.HTTPTransport, url: str, seconds: float, secrets: Secrets
    ) -> None:
        self.url = url
        self.version = response.extensions["http_version"].decode("ascii")
        self.status = response.status_code
        self.secrets = secrets
        self.reason = shown(response.reason_phrase, secrets, 80)
        self.raw_reason = response.reason_phrase
        self.headers: Mapping[str, str] = response.headers
        self.raw_headers: Sequence[tuple[bytes, bytes]] = response.headers.raw
        self.seconds = seconds
        self._response = response
        self._transport = transport

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def request_id(self) -> str | None:
        """The vendor's name for this exchange, for a support case."""
        return self.whole(b"").request_id

    def whole(self, content: bytes) -> Answer:
        """Return it with its body, or as much of that as is known."""
        return Answer(self.url, self.status, self.reason, self.headers, content, self.seconds, self.secrets)

    @property
    def encoding(self) -> str:
        """How the body is compressed, although no compression was asked for; empty if it is not."""
        return ", ".join(codings(self.headers))

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes, decompressed.

        Raises:
            NetworkError: it broke off, it paused for longer than the time allowed, or it cannot be decompressed.
        """
        return self._readable(inflate(self._read(), codings(self.headers)))

    def close(self) -> None:
        """Close the connection, even if the body was not read."""
        try:
            self._response.close()
        finally:
            self._transport.close()

    def _readable(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except zlib.error:
            raise faults.unreadable(self.url, self.status, self.encoding) from None

    def _read(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_raw()
        except httpx.TimeoutException:
            raise faults.paused(self.url, self._response.request.extensions["timeout"]["read"]) from None
        except httpx.HTTPError as failure:
            raise faults.explain(failure, self.url, None, faults.PART_OF_ANSWER, tls_begun=True) from None


def make_request(
    method: str,
    url: str,
    content: bytes | Iterable[bytes] | None,
    seconds: float,
    trace: Trace,
    headers: Sequence[tuple[str, str]],
    *,
    keep: bool = False,
) -> httpx.Request:
    """Make a request, with the headers that every request has; ``keep`` asks to keep the connection open."""
    own = {
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "keep-alive" if keep else "close",
        "user-agent": f"banno-creds/{__version__}",
    }
    given = {name.lower() for name, _ in headers}
    every = [*((name, value) for name, value in own.items() if name not in given), *headers]
    timeout = httpx.Timeout(seconds, connect=min(seconds, faults.CONNECT_SECONDS))
    extensions = {"timeout": timeout.as_dict(), "trace": trace}
    return httpx.Request(method, url, headers=every, content=content, extensions=extensions)


def send(request: httpx.Request, url: str, transport: httpx.HTTPTransport, secrets: Secrets) -> Answer:
    """Send a request, and read the whole answer; ``secrets`` are those that were sent.

    httpx's own client is not used: it fails on a redirect whose target is no URL.
    """
    started = time.monotonic()
    with contextlib.closing(_handle(transport, request)) as response:
        content = _read(response, url)
    secrets = (*secrets, *_secrets_received(content))
    return Answer(
        url=url,
        status=response.status_code,
        reason=shown(response.reason_phrase, secrets, 80),
        headers=response.headers,
        content=content,
        seconds=time.monotonic() - started,
        secrets=secrets,
        # A server may say 408 (or a proxy 5xx) of its own accord, and the answer to the request come after it.
        may_be_followed=response.extensions.get("http_version") == b"HTTP/1.1"
        and "close" not in response.headers.get("connection", "").lower()
        and response.status_code < 500
        and response.status_code != 408,
    )


def begin(
    request: httpx.Request, url: str, context: ssl.SSLContext, proxy: httpx.Proxy | None, secrets: Secrets
) -> StreamedAnswer:
    """Send a request, and receive the headers; the answer holds the connection."""
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        transport = stack.enter_context(open_transport(context, proxy))
        response = _handle(transport, request)
        response.request = request
        stack.pop_all()
    return StreamedAnswer(response, transport, url, time.monotonic() - started, secrets)


# Some machines, containers above all, resolve the name to one of the two alone (RFC 6761 section 6.3).
_LOCALHOST = "localhost"
_LOOPBACK = ("127.0.0.1", "::1")


def _handle(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    """Send a request; to ``localhost`` at either address, whichever the name leads to."""
    try:
        return transport.handle_request(request)
    except httpx.ConnectError as failure:
        if request.url.host != _LOCALHOST or isinstance(faults.cause_of(failure), ssl.SSLError):
            raise
        request.extensions = {**request.extensions, "sni_hostname": _LOCALHOST}
        for address in _LOOPBACK:
            # The header Host stays.
            request.url = request.url.copy_with(host=address)
            try:
                return transport.handle_request(request)
            except httpx.ConnectError as other:
                if isinstance(faults.cause_of(other), ssl.SSLError):
                    raise
        raise


def open_transport(context: ssl.SSLContext, proxy: httpx.Proxy | None) -> httpx.HTTPTransport:
    """Return what connects when it is first used."""
    if proxy is not None and proxy.url.scheme == "https":
        proxy.ssl_context = context  # by default, httpx trusts other authorities for it
    return httpx.HTTPTransport(verify=context, proxy=proxy)


def resolve(host: str, port: int, seconds: float) -> list[tuple[str, int]]:
    """Return the addresses of a host, each with the port, in the order in which they are tried, none twice.

    It may take so many seconds; the resolver itself has no bound.

    Raises:
        OSError: there are none.
        OutOfTimeError: it took too long.
        UnicodeError: it is no valid host name.
    """

    def run(_: object) -> list[tuple[str, int]]:
        named = [] if host.lower() != _LOCALHOST else [(address, port) for address in _LOOPBACK]
        try:
            found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        except OSError:
            if not named:
                raise
            found = []
        return list(dict.fromkeys([*((str(address[0]), int(address[1])) for *_, address in found), *named]))

    return Exchange(run).within(seconds)


class Exchange(Generic[T]):
    """Runs an exchange in a thread of its own, and breaks it off when its time is over.

    httpx bounds each single read, and a server that sends one byte a second passes every such bound; nothing
    bounds the resolving of a name, and each of a host's addresses is given the whole time to connect.

    Args:
        run: the exchange; it is given this object, whose `trace` httpx is to call with each event.
        only_loopback: how a message names a peer that must be this machine; None if it may be any.

    Attributes:
        phase: how far it is; see `faults`.
        handshakes: how many TLS handshakes have begun.
    """

    def __init__(self, run: Callable[[Exchange[T]], T], *, only_loopback: str | None = None) -> None:
        self.phase = faults.NOT_BEGUN
        self.handshakes = 0
        self._run = run
        self._only_loopback = only_loopback
        self._noticed = 0.0  # when something was last sent, by the monotonic clock
        self._broken_off = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()  # guards the socket and `_broken_off`

    def within(self, seconds: float) -> T:
        """Wait so many seconds for the outcome; counted from the last piece sent, if `noticing` passes on any.

        OutOfTimeError if the time is over, NetworkError if the system starts no thread.
        """
        self._noticed = time.monotonic()  # before the thread starts, which may stop this time at once
        return threads.run(
            self._work,
            lambda: min(self._noticed + seconds - time.monotonic(), seconds),
            "banno-creds exchange",
            self._break_off,
        )

    def here(self, seconds: float, connected: socket.socket, watch: Watch) -> T:
        """Run it in this thread, on a connection that is open: no name is resolved, and ``watch`` breaks it off.

        OutOfTimeError if the time is over, NetworkError if the system starts no thread.
        """
        self._socket = connected.dup()
        with watch.until(time.monotonic() + seconds, self._break_off):
            return self._work()

    def noticing(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on the pieces that are sent: the time begins anew with each, and stands still while one is made."""
        source = iter(pieces)
        while True:
            self._noticed = math.inf
            piece = next(source, None)
            self._noticed = time.monotonic()
            if piece is None:
                return
            yield piece

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note how far the exchange is, and its socket as soon as there is one."""
        name = event.partition(".")[2]
        self.phase = _PHASES.get(name, self.phase)
        self.handshakes += name == "start_tls.started"
        if name != "connect_tcp.complete":
            return
        stream = info["return_value"]
        if self._only_loopback is not None:
            # Only the name in the URL was checked, and a name may lead anywhere. Nothing has been sent yet.
            address = stream.get_extra_info("server_addr")[0]
            if not is_loopback(address):
                stream.close()
                raise faults.not_this_machine(self._only_loopback, address)
        with self._lock:
            if self._broken_off:
                stream.close()
            else:
                # A duplicate: TLS takes the first one's descriptor away as soon as its handshake begins.
                self._socket = stream.get_extra_info("socket").dup()

    def _work(self) -> T:
        outcome = failure = None
        try:
            outcome = self._run(self)
        except BaseException as raised:  # noqa: BLE001 - raised again below, unless it was broken off
            failure = raised
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
        if self._broken_off:
            if isinstance(outcome, StreamedAnswer):  # it began at the last moment
                outcome.close()
            raise OutOfTimeError
        if failure is not None:
            raise failure
        return cast("T", outcome)

    def _break_off(self) -> None:
        with self._lock:
            self._broken_off = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # it may just have ended by itself
                    self._socket.shutdown(socket.SHUT_RDWR)


def _read(response: httpx.Response, url: str) -> bytes:
    """Read a body, bounded in its size as it comes and when decompressed."""
    status = response.status_code
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > MOST_ANSWER_BYTES:
            raise faults.too_large(url, status, MOST_ANSWER_BYTES)
    # No compression was asked for, but some gateways compress all answers, even compressed ones.
    whole = _unpacked(bytes(content), codings(response.headers), url, status)
    for _ in range(2):
        whole = _unpacked(whole, ["gzip"] if whole.startswith(GZIP) else [], url, status)
    return whole


def _unpacked(content: bytes, named: list[str], url: str, status: int) -> bytes:
    if not named:
        return content
    inflated = bytearray()
    try:
        for chunk in inflate(iter([content]), named):
            inflated += chunk
            if len(inflated) > MOST_ANSWER_BYTES:
                raise faults.too_large(url, status, MOST_ANSWER_BYTES)
    except zlib.error:
        raise faults.unreadable(url, status, ", ".join(named)) from None
    return bytes(inflated)
