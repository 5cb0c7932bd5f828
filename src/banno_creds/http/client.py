"""One HTTP exchange at a time: bounded in time and size, never redirected, each fault named.

The time allowed covers everything a client does with it, retries included; only of a streamed exchange, whose
length nobody knows, it bounds each pause. Requests to loopback never go through a proxy: a proxy would read what
plain http carries.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import ssl
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from banno_creds import __version__
from banno_creds.config import is_loopback
from banno_creds.errors import (
    BannoCredsError,
    ConfigurationError,
    NetworkError,
    TimedOutError,
    UntrustedServerError,
    UnusableAnswerError,
)
from banno_creds.text import printable
from banno_creds.times import http_date

# httpx imports its own command line where click and rich are installed: 45 ms and 6 MiB for something we never
# call. Said to be missing, it is left out; that is httpx's own way of doing without.
_without_command_line = "httpx" not in sys.modules and "httpx._main" not in sys.modules
if _without_command_line:
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
import httpx  # noqa: E402

if _without_command_line:
    del sys.modules["httpx._main"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    _Trace = Callable[[str, Mapping[str, Any]], None]

T = TypeVar("T")

# A token response has a few kilobytes, a JWK Set rarely more than twenty.
MOST_ANSWER_BYTES = 1024 * 1024

# A SYN that is dropped on the way is noticed only by waiting; waiting longer than this seldom helps.
CONNECT_SECONDS = 10.0

# So much of a compressed answer is unfolded at a time.
_CHUNK_BYTES = 64 * 1024

# How long an exchange that was broken off gets to close what it opened.
_CLOSING_SECONDS = 0.2

_CERTIFICATE_HINTS = {  # OpenSSL's verify codes
    9: "the server's certificate is not valid yet: check this machine's clock",
    10: "the server's certificate has expired: check this machine's clock, then tell the server's operator",
    18: "a self-signed certificate: name it with --ca-bundle FILE if you trust it",
    19: "a certificate authority this machine does not know (an inspecting proxy?): add it to the operating "
    "system's trust store, or name it with --ca-bundle FILE",
    62: "the certificate is for another host: check the URL",
}
_CERTIFICATE_HINTS[20] = _CERTIFICATE_HINTS[21] = _CERTIFICATE_HINTS[19]
_CERTIFICATE_HINTS[64] = _CERTIFICATE_HINTS[62]
_CERTIFICATE_RULES = {
    9: "network.tls.expired",  # or not valid yet
    10: "network.tls.expired",
    62: "network.tls.host",
    64: "network.tls.host",
}

_PROXY_HINT = "look at HTTPS_PROXY, ALL_PROXY and NO_PROXY"

# The time was over: as we measured it, or a moment earlier as httpx did.
_OUT_OF_TIME = (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout)

# What was under way when the time ran out, by the end of httpx's name for it.
_NOT_BEGUN = "it had not begun"
NO_CONNECTION = "there was no connection yet"
NO_TLS = "TLS was not agreed on yet"
_PHASES = {
    "connect_tcp.started": NO_CONNECTION,
    "start_tls.started": NO_TLS,
    "send_request_headers.started": "the request was not sent yet",
    "receive_response_headers.started": "the server had not begun to answer",
    "receive_response_body.started": "the answer had begun, and was not whole",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, the headers, the whole body, and how long it took."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    seconds: float

    @property
    def request_id(self) -> str | None:
        """The vendor's name for this exchange, for a support case."""
        return _request_id(self.headers)

    @property
    def media_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return printable(self.headers.get("content-type", "").partition(";")[0], 80).lower()


def answer_skew(headers: Mapping[str, str], now: float, seconds: float) -> float | None:
    """How many seconds this machine's clock is ahead of the server's, as far as an answer tells.

    Args:
        headers: the answer's.
        now: the time when it had come, in seconds since the epoch.
        seconds: how long the exchange took.

    Returns:
        The seconds; None if it does not say when it was made.
    """
    date = http_date(headers.get("date", ""))
    if date is None:
        return None
    # What a cache kept was made so much earlier (RFC 9111 section 5.1).
    age = headers.get("age", "").strip()
    kept = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
    # It was made somewhere between the question and the answer, and its second had begun.
    return now - seconds / 2 - (date + kept + 0.5)


class StreamedAnswer:
    """An answer whose body is still to come: a status, the headers, and the body piece by piece.

    Close it, or use it in a ``with`` statement.

    Attributes:
        url: what was asked.
        version: such as ``HTTP/1.1``.
        status: the status code.
        reason: the server's word for it, fit to be shown.
        raw_reason: the same as it came.
        headers: the headers by name; the case of a name does not matter.
        raw_headers: all of them as they came.
        seconds: how long it took until the answer began.
    """

    def __init__(self, response: httpx.Response, transport: httpx.HTTPTransport, url: str, seconds: float) -> None:
        self.url = url
        self.version = response.extensions["http_version"].decode("ascii")
        self.status = response.status_code
        self.reason = printable(response.reason_phrase, 80)
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
        return _request_id(self.headers)

    @property
    def encoding(self) -> str:
        """How the body is compressed, although nobody asked for it; empty if it is not."""
        encoding = self.headers.get("content-encoding", "").strip().lower()
        return "" if encoding == "identity" else encoding

    def chunks(self) -> Iterator[bytes]:
        """The body, as it comes, and unfolded where it is compressed.

        Yields:
            Its pieces.

        Raises:
            NetworkError: it broke off, it paused for longer than the time allowed, or it cannot be unfolded.
        """
        chunks = self._read()
        return _inflate(chunks, self) if self.encoding else chunks

    def close(self) -> None:
        """Close the connection, whether or not the body was read."""
        try:
            self._response.close()
        finally:
            self._transport.close()

    def _read(self) -> Iterator[bytes]:
        host = urlsplit(self.url).netloc
        try:
            yield from self._response.iter_raw()
        except httpx.TimeoutException:
            seconds = self._response.request.extensions["timeout"]["read"]
            raise TimedOutError(
                f"nothing more of the answer from {host} came for {seconds:g} s",
                hint="try again later, or allow longer pauses with --timeout SECONDS",
                details=(_PHASES["receive_response_body.started"],),
                rule="network.timeout",
            ) from None
        except httpx.HTTPError as failure:
            raise _explain(failure, self.url, None, None) from None


def _request_id(headers: Mapping[str, str]) -> str | None:
    value = headers.get("x-request-id")
    return printable(value, 80) if value else None


class HttpClient:
    """Sends requests within one budget of time.

    Each has a connection of its own: one that was kept might have been closed by the other side meanwhile.

    Args:
        timeout: how long everything together may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.
    """

    def __init__(self, timeout: float, ca_bundle: Path | None = None) -> None:
        self._timeout = timeout
        self._ends = time.monotonic() + timeout
        self._ca_bundle = ca_bundle
        self._trusted: ssl.SSLContext | None = None
        self._is_part = False  # whether the operating system may trust more than that
        self._proxies: dict[str, httpx.Proxy | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._trusted = None

    def remaining(self) -> float:
        """How much of the time is left, in seconds."""
        return self._ends - time.monotonic()

    def check(self, url: str) -> None:
        """Make sure that everything needed to ask is there, before anything is made for the asking.

        Nothing is sent, and no name is resolved. What was found out is kept for the request.

        Args:
            url: what is going to be asked.

        Raises:
            ConfigurationError: the proxy's settings or the CA bundle cannot be meant.
        """
        self.proxy_for(url)
        # A CA bundle that plain http has no use for was named nevertheless: its faults are not passed over.
        if self._ca_bundle is not None or _is_secure(url):
            self.trust()

    def proxy_for(self, url: str) -> httpx.Proxy | None:
        """The proxy that the environment (or, on macOS and Windows, the system) names for a URL.

        Args:
            url: what is going to be asked; loopback never is through a proxy.

        Returns:
            The proxy, whose ``repr`` has its password left out.

        Raises:
            ConfigurationError: the setting cannot be meant.
        """
        if url not in self._proxies:
            self._proxies[url] = _proxy_for(url)
        return self._proxies[url]

    def trust(self) -> ssl.SSLContext:
        """Whom to trust: the CA bundle that was named, else the operating system's store.

        Raises:
            ConfigurationError: the CA bundle cannot be read.
        """
        if self._trusted is None:
            if self._ca_bundle is None:
                self._trusted, self._is_part = _system_trust()
            else:
                self._trusted = _bundle_trust(self._ca_bundle)
        return self._trusted

    def trust_more(self) -> bool:
        """Trust the operating system's whole store from now on, where so far it was only a part of it.

        Returns:
            Whether it was: a certificate that was not trusted may be now.
        """
        was_part = self._is_part
        if was_part:
            self._trusted, self._is_part = _whole_store(), False
        return was_part

    def trusted_by(self) -> str:
        """Whose word is taken for a server's certificate: the name and the place of the trust store."""
        if self._ca_bundle is not None:
            return f"--ca-bundle {printable(self._ca_bundle)}"
        if sys.platform in ("darwin", "win32"):  # they keep it in no file
            return "the operating system's trust store"
        paths = ssl.get_default_verify_paths()
        named = [(name, os.environ.get(name)) for name in (paths.openssl_cafile_env, paths.openssl_capath_env)]
        settings = [f"{name} {printable(value)}{_absence(value)}" for name, value in named if value]
        if settings:
            return " and ".join(settings)
        place = paths.cafile or paths.capath
        return f"the operating system's trust store{f' {printable(place)}' if place else ''}"

    def timed_out(self, url: str, phase: str) -> TimedOutError:
        """The error for an exchange that the time allowed has ended.

        Args:
            url: what was asked.
            phase: how far it was.
        """
        return TimedOutError(
            f"no whole answer from {urlsplit(url).netloc} within {self._timeout:g} s",
            hint="try again later, or allow more with --timeout SECONDS",
            details=(phase,),
            rule="network.connection" if phase == NO_CONNECTION else "network.timeout",
        )

    def get(self, url: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Fetch a JSON document; see `_send` for what it raises."""
        return self._send("GET", url, headers=headers)

    def post_form(self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Post a form (RFC 6749 section 4.4.2); see `_send` for what it raises."""
        return self._send("POST", url, urlencode(form).encode("ascii"), headers)

    def stream(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        content: Callable[[], Iterable[bytes]] | None = None,
    ) -> StreamedAnswer:
        """Send one request, and return when its answer begins.

        The time allowed is here how long the answer may take to begin after the last piece of the request, and how
        long each pause in it may be.

        Args:
            method: such as ``GET``.
            url: what to ask.
            headers: those of the request, besides the ones that every request has.
            content: gives the request's body, piece by piece, from its beginning each time it is called. Unless
                the headers have its length, it is sent chunked (RFC 9112 section 7.1).

        Returns:
            The answer, whatever its status.

        Raises:
            ConfigurationError: the proxy's settings, the CA bundle or the host name cannot be meant.
            NetworkError: no answer came back; which of its branches says why.
        """
        self.check(url)

        def run(exchange: _Exchange[StreamedAnswer], context: ssl.SSLContext, seconds: float) -> StreamedAnswer:
            body = exchange.noticing(content()) if content is not None else None
            request = _request(method, url, body, seconds, exchange.trace, headers)
            return _open(request, url, context, self.proxy_for(url))

        return self._within(lambda: self._timeout, url, run)

    def _send(
        self, method: str, url: str, content: bytes | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """Send one request and read the whole answer.

        Returns:
            The answer, whatever its status.

        Raises:
            ConfigurationError: the proxy's settings, the CA bundle or the host name cannot be meant.
            NetworkError: no whole answer came back; which of its branches says why.
        """
        self.check(url)
        form = () if content is None else (("content-type", "application/x-www-form-urlencoded"),)

        def run(exchange: _Exchange[Answer], context: ssl.SSLContext, seconds: float) -> Answer:
            request = _request(method, url, content, seconds, exchange.trace, (*form, *headers))
            return _run(request, url, context, self.proxy_for(url))

        return self._within(self.remaining, url, run)

    def _within(
        self, seconds: Callable[[], float], url: str, run: Callable[[_Exchange[T], ssl.SSLContext, float], T]
    ) -> T:
        """Run an exchange, and say in our words what broke it."""
        proxy = self.proxy_for(url)
        secure = _is_secure(url)
        context = self.trust() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        left = seconds()
        if left <= 0:
            raise self.timed_out(url, "there was no time left to ask")
        exchange: _Exchange[T] = _Exchange(
            lambda exchange: run(exchange, context, left), only_loopback=None if secure else urlsplit(url).netloc
        )
        try:
            return exchange.within(left)
        except (httpx.HTTPError, TimeoutError) as failure:
            if isinstance(failure, _OUT_OF_TIME) or seconds() <= 0:
                error: BannoCredsError = self.timed_out(url, exchange.phase)
            elif isinstance(_cause(failure), ssl.SSLCertVerificationError) and self.trust_more():
                # The folder has not the authority; the whole store may. The handshake failed: nothing was sent.
                return self._within(seconds, url, run)
            else:
                error = _explain(failure, url, proxy, exchange)
            if isinstance(error, NetworkError):
                error.sent = exchange.phase not in (_NOT_BEGUN, NO_CONNECTION, NO_TLS)
            raise error from None
        except (httpx.InvalidURL, UnicodeError):  # a label too long for DNS is the latter
            raise no_host(url) from None


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def _request(
    method: str,
    url: str,
    content: bytes | Iterable[bytes] | None,
    seconds: float,
    trace: _Trace,
    headers: Sequence[tuple[str, str]],
) -> httpx.Request:
    own = {
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": f"banno-creds/{__version__}",
    }
    given = {name.lower() for name, _ in headers}
    every = [*((name, value) for name, value in own.items() if name not in given), *headers]
    timeout = httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
    extensions = {"timeout": timeout.as_dict(), "trace": trace}
    return httpx.Request(method, url, headers=every, content=content, extensions=extensions)


def _run(request: httpx.Request, url: str, context: ssl.SSLContext, proxy: httpx.Proxy | None) -> Answer:
    """Send and receive. httpx's own client is passed by: it fails on a redirect whose target is no URL."""
    started = time.monotonic()
    with (
        _transport(context, proxy) as transport,
        contextlib.closing(transport.handle_request(request)) as response,
    ):
        content = _read(response, url)
    return Answer(
        url=url,
        status=response.status_code,
        reason=printable(response.reason_phrase, 80),
        headers=response.headers,
        content=content,
        seconds=time.monotonic() - started,
    )


def _open(request: httpx.Request, url: str, context: ssl.SSLContext, proxy: httpx.Proxy | None) -> StreamedAnswer:
    """Send, and receive the headers; the answer holds the connection."""
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        transport = stack.enter_context(_transport(context, proxy))
        response = transport.handle_request(request)
        response.request = request
        stack.pop_all()
    return StreamedAnswer(response, transport, url, time.monotonic() - started)


class _Exchange(Generic[T]):
    """Runs an exchange in a thread of its own, and breaks it off when its time is over.

    httpx bounds each single read, and a server that sends one byte a second passes every such bound; nothing
    bounds the resolving of a name, and each of a host's addresses is given the whole time to connect.

    Args:
        run: the exchange; it is given this object, whose `trace` httpx is to call with each event.
        only_loopback: how a message names a peer that has to be this very machine; None if it may be any.
    """

    def __init__(self, run: Callable[[_Exchange[T]], T], *, only_loopback: str | None = None) -> None:
        self.phase = _NOT_BEGUN
        self.tls_begun = False
        self._run = run
        self._only_loopback = only_loopback
        self._outcome: T | BaseException | None = None
        self._noticed = 0.0  # when something was last sent, by the monotonic clock
        self._broken_off = False
        self._socket: socket.socket | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()  # guards the socket and whether it is wanted any more
        self._thread = threading.Thread(target=self._work, name="banno-creds exchange", daemon=True)

    def within(self, seconds: float) -> T:
        """Wait for the outcome.

        Args:
            seconds: how long at the most; from the last piece on, if `noticing` sees any.

        Returns:
            The answer.

        Raises:
            TimeoutError: the time is over.
        """
        try:
            self._noticed = time.monotonic()
            self._thread.start()
            while (left := self._noticed + seconds - time.monotonic()) > 0:
                # Not join: interrupted by Ctrl-C, Python 3.11 and 3.12 take the thread for ended.
                if self._done.wait(min(left, seconds)):
                    break
        finally:
            if not self._done.is_set():
                self._break_off()
        self._thread.join(_CLOSING_SECONDS)
        outcome, self._outcome = self._outcome, None
        if self._broken_off or outcome is None:
            if isinstance(outcome, StreamedAnswer):  # it began just then
                outcome.close()
            raise TimeoutError
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def noticing(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass on what is sent. Each piece has the whole time anew, and whoever gives the pieces has any time."""
        source = iter(pieces)
        while True:
            self._noticed = math.inf
            piece = next(source, None)
            self._noticed = time.monotonic()
            if piece is None:
                return
            yield piece

    def _work(self) -> None:
        try:
            self._outcome = self._run(self)
        except BaseException as failure:  # noqa: BLE001 - it is raised again where the outcome is waited for
            self._outcome = failure
        finally:
            with self._lock:
                if self._socket is not None:
                    self._socket.close()
                    self._socket = None
            self._done.set()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn how far it is, and of the socket when there is one."""
        name = event.partition(".")[2]
        self.phase = _PHASES.get(name, self.phase)
        self.tls_begun = self.tls_begun or self.phase == NO_TLS
        if name != "connect_tcp.complete":
            return
        stream = info["return_value"]
        if self._only_loopback is not None:
            # The URL was checked by its name alone, and a name may lead anywhere. Nothing has been sent yet.
            address = stream.get_extra_info("server_addr")[0]
            if not is_loopback(address):
                stream.close()
                raise not_this_machine(self._only_loopback, address)
        with self._lock:
            if self._broken_off:
                stream.close()
            else:
                # A duplicate: TLS takes the first one's descriptor away as soon as its handshake begins.
                self._socket = stream.get_extra_info("socket").dup()

    def _break_off(self) -> None:
        with self._lock:
            self._broken_off = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # it may have ended by itself just now
                    self._socket.shutdown(socket.SHUT_RDWR)
        self._done.wait(_CLOSING_SECONDS)


def _transport(context: ssl.SSLContext, proxy: httpx.Proxy | None) -> httpx.HTTPTransport:
    if proxy is not None and proxy.url.scheme == "https":
        proxy.ssl_context = context  # httpx would trust other authorities than we do
    return httpx.HTTPTransport(verify=context, proxy=proxy)


def _proxy_for(url: str) -> httpx.Proxy | None:
    """The proxy that the environment (or, on macOS and Windows, the system) names for a URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    from importlib.util import find_spec
    from urllib.request import proxy_bypass

    _, chosen = _proxy_setting()
    if not chosen or proxy_bypass(host) or proxy_bypass(parts.netloc):
        return None
    # Its words may be a password's: the error quotes none of them.
    try:
        proxy = httpx.Proxy(chosen if "://" in chosen else f"http://{chosen}")
    except (ValueError, httpx.InvalidURL):
        proxy = None
    if proxy is None or not proxy.url.raw_host or proxy.url.raw_path not in (b"", b"/") or proxy.url.fragment:
        raise ConfigurationError(
            "the proxy from the environment cannot be used: it is no URL like http://host:port",
            hint=f"{_PROXY_HINT}; characters such as # / ? @ in its password have to be percent-encoded",
            rule="network.proxy",
        )
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            "the proxy from the environment is a SOCKS proxy, and what speaks to one is not installed",
            hint="pip install 'httpx[socks]'",
            rule="network.proxy",
        )
    return proxy


def proxy_named_by() -> str | None:
    """What names a proxy for https, whether or not a URL is excepted from it: a variable; None if nothing does."""
    return _proxy_setting()[0]


def _proxy_setting() -> tuple[str | None, str | None]:
    """What names a proxy for https, and what it says, which may hold a password."""
    from urllib.request import getproxies

    proxies = getproxies()
    for variable in ("https_proxy", "all_proxy"):
        if chosen := proxies.get(variable.removesuffix("_proxy")):
            spellings = (variable, *(name for name in os.environ if name.lower() == variable))
            named = (name for name in spellings if os.environ.get(name) == chosen)
            return next(named, "the system's settings"), chosen
    return None, None


def resolve(host: str, port: int, seconds: float) -> list[tuple[str, int]]:
    """The addresses of a host, in the order in which they are tried.

    Args:
        host: its name or an address.
        port: goes with each.
        seconds: how long it may take; the resolver knows no bound of its own.

    Returns:
        Addresses and ports, at least one, none twice.

    Raises:
        OSError: there are none; a TimeoutError if it took too long.
        UnicodeError: it cannot be a host's name.
    """

    def run(_: object) -> list[tuple[str, int]]:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        return list(dict.fromkeys((str(address[0]), int(address[1])) for *_, address in found))

    return _Exchange(run).within(seconds)


def _read(response: httpx.Response, url: str) -> bytes:
    """Read a body of bounded size, as it came and as it unfolds."""
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > MOST_ANSWER_BYTES:
            raise _too_large(response, url)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity") or not content:
        return bytes(content)
    # Nobody asked for it, but some gateways compress whatever passes.
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, whichever it is
    try:
        inflated = inflater.decompress(content, MOST_ANSWER_BYTES + 1)
    except zlib.error:
        inflated = b""
    if len(inflated) > MOST_ANSWER_BYTES:
        raise _too_large(response, url)
    if not inflater.eof:
        raise _unreadable(url, response.status_code, encoding)
    return inflated


def _inflate(chunks: Iterator[bytes], answer: StreamedAnswer) -> Iterator[bytes]:
    """Unfold gzip or zlib as it comes; a bomb is unfolded too, but never held in memory."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    begun = False
    for chunk in chunks:
        rest = chunk
        while rest:
            if inflater.eof:  # gzip may consist of several members (RFC 1952 section 2.2)
                inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
            try:
                yield inflater.decompress(rest, _CHUNK_BYTES)
            except zlib.error:
                raise _unreadable(answer.url, answer.status, answer.encoding) from None
            begun, rest = True, inflater.unconsumed_tail or inflater.unused_data
    if begun and not inflater.eof:
        raise _unreadable(answer.url, answer.status, answer.encoding)


def _unreadable(url: str, status: int, encoding: str) -> UnusableAnswerError:
    return UnusableAnswerError(
        f"the answer from {urlsplit(url).netloc} is compressed in a way that cannot be read",
        hint="look at what stands between this machine and the server: a proxy, a gateway",
        details=(f"{status}, content-encoding {printable(encoding, 40)}",),
        rule="network.answer",
    )


def _too_large(response: httpx.Response, url: str) -> UnusableAnswerError:
    return UnusableAnswerError(
        f"the answer from {url} is larger than {MOST_ANSWER_BYTES // 1024} KiB and was not read further",
        hint="check the URL: such an endpoint answers with a few kilobytes",
        details=(f"{response.status_code} {printable(response.reason_phrase, 80)}",),
        rule="network.answer",
    )


def _bundle_trust(ca_bundle: Path) -> ssl.SSLContext:
    context = _trusting_nobody()
    fault = None
    try:
        if not ca_bundle.is_dir():
            context.load_verify_locations(cafile=str(ca_bundle))
        elif _is_hashed(ca_bundle):
            context.load_verify_locations(capath=str(ca_bundle))
        else:
            fault = "it is a folder without hashed certificates"
    except ssl.SSLError:
        fault = "it holds no PEM certificate"
    except OSError as failure:
        fault = failure.strerror or str(failure)
    if fault:
        raise ConfigurationError(
            f"the CA bundle {ca_bundle} cannot be read: {fault}",
            hint="name a file of PEM certificates, or a folder made by: openssl rehash",
            rule="configuration.invalid",
        )
    return context


def _system_trust() -> tuple[ssl.SSLContext, bool]:
    """The operating system's trust store, and whether it may be only a part of it.

    Debian and Alpine keep the same certificates as one large file and, beside it, as a hashed folder. The folder
    is tried first, because it is read on demand: the file costs about 20 ms at every start. It is a part, for a
    file edited by hand may hold an authority the folder has not. Everywhere else, and where SSL_CERT_FILE or
    SSL_CERT_DIR say otherwise, truststore knows.
    """
    paths = ssl.get_default_verify_paths()
    named = os.environ.get(paths.openssl_cafile_env) or os.environ.get(paths.openssl_capath_env)
    if sys.platform == "linux" and not named and paths.cafile and paths.capath:
        folder = Path(paths.capath).resolve()
        if Path(paths.cafile).resolve().parent == folder and _is_hashed(folder):
            context = _trusting_nobody()
            context.load_verify_locations(capath=str(folder))
            return context, True
    return _whole_store(), False


def _whole_store() -> ssl.SSLContext:
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _trusting_nobody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_hashed(folder: Path) -> bool:
    """Whether a folder's certificates can be found by the hash of their subject."""
    return any(folder.glob("????????.[0-9]"))


def _absence(path: str) -> str:
    return "" if os.pathsep in path or Path(path).exists() else " (which is not there)"


def _explain(
    failure: httpx.HTTPError, url: str, proxy: httpx.Proxy | None, exchange: _Exchange[Any] | None
) -> BannoCredsError:
    """The error for an exchange that broke while there was time left."""
    host = urlsplit(url).netloc
    cause = _cause(failure)
    words = printable(failure) or type(failure).__name__
    before_tls = exchange is None or exchange.phase != NO_TLS
    if isinstance(failure, httpx.TimeoutException):
        error = unconnected(TimeoutError(), url, proxy, "")
        return error if before_tls else error.but(rule="network.timeout")
    if isinstance(failure, httpx.ProxyError):
        return refused_by_proxy(url, words)
    if isinstance(cause, ssl.SSLError):
        return untrusted(cause, host)
    if isinstance(cause, (socket.gaierror, ConnectionRefusedError)) or isinstance(failure, httpx.ConnectError):
        error = unconnected(cause, url, proxy, words)
        # Reset in the middle of the handshake: there are firewalls that read the host's name in it.
        return error if before_tls else error.but(rule="network.tls.handshake")
    # Until TLS begins, whatever is said through a proxy is said to the proxy.
    in_tunnel = proxy is None or exchange is None or exchange.tls_begun
    return NetworkError(
        f"the connection to {host} broke before the whole answer was there: {words}",
        retryable=True,
        hint="try again; if it stays so, look at what stands between this machine and the server",
        rule="network.connection" if in_tunnel else "network.proxy",
    )


def unconnected(cause: BaseException, url: str, proxy: httpx.Proxy | None, words: str) -> NetworkError:
    """The error for a connection that did not come about.

    Args:
        cause: the operating system's reason.
        url: what was to be asked.
        proxy: what was to be connected to in its place.
        words: the reason in words, for one that has none of its own.
    """
    # Through a proxy, it is the proxy that is connected to.
    peer, look = urlsplit(url).netloc, "check the host, the firewall, and whether a proxy is needed (HTTPS_PROXY)"
    if proxy is not None:
        peer, look = f"the proxy {proxy.url.netloc.decode()}", _PROXY_HINT
    rule = "network.connection"
    if isinstance(cause, TimeoutError) and cause.errno is None:  # else it is the operating system's, with its words
        message = f"no connection to {peer} within {CONNECT_SECONDS:g} s"
        return TimedOutError(message, retryable=True, hint=look, rule=rule)
    if isinstance(cause, socket.gaierror):
        message = f"{peer} cannot be resolved: {cause.strerror}"
        return NetworkError(message, retryable=True, hint=look, rule="network.dns")
    if isinstance(cause, ConnectionRefusedError):
        return NetworkError(
            f"{peer} refused the connection: nothing listens there",
            retryable=True,
            hint=_PROXY_HINT if proxy else "check the host and the port, and whether the server is running",
            rule=rule,
        )
    words = (isinstance(cause, OSError) and cause.strerror) or words
    return NetworkError(f"no connection to {peer}: {words}", retryable=True, hint=look, rule=rule)


def refused_by_proxy(url: str, words: str) -> NetworkError:
    """The error for a proxy that does not pass a request on.

    Args:
        url: what was to be asked.
        words: the status and its reason.
    """
    return NetworkError(
        f"the proxy would not connect to {urlsplit(url).netloc}: {words}",
        retryable=words.startswith("5"),  # such as 503: it could not reach the host just now
        hint=f"{_PROXY_HINT}, and at the proxy's user name and password",
        rule="network.proxy",
    )


def not_this_machine(named: str, address: str) -> NetworkError:
    """The error for plain http to a name that should be loopback's, and leads elsewhere.

    Args:
        named: the name.
        address: where it leads.
    """
    return NetworkError(
        f"{named} is not this machine: the name leads to {address}",
        hint="look at /etc/hosts and the resolver; nothing was sent, for plain http is for loopback only",
        rule="network.dns",
    )


def no_host(url: str) -> ConfigurationError:
    """The error for a URL whose host cannot be one."""
    return ConfigurationError(
        f"{urlsplit(url).netloc!a} cannot be a host's name",
        hint="check the URL's spelling",
        rule="configuration.endpoint",
    )


def untrusted(cause: OSError, host: str) -> UntrustedServerError:
    """The error for TLS that failed.

    Args:
        cause: the reason: OpenSSL's, truststore's or the operating system's.
        host: whom it was spoken with.
    """
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UntrustedServerError(
            f"the certificate of {host} is not trusted: {printable(cause.verify_message)}",
            hint=_CERTIFICATE_HINTS.get(cause.verify_code, _CERTIFICATE_HINTS[19]),
            rule=_CERTIFICATE_RULES.get(cause.verify_code, "network.tls.untrusted"),
        )
    return UntrustedServerError(
        f"TLS with {host} failed: {printable(getattr(cause, 'reason', None) or cause.strerror or cause)}",
        hint="check that the port speaks TLS (1.2 or later), and not plain http; and what stands between this "
        "machine and the server",
        rule="network.tls.handshake",
    )


def _cause(failure: BaseException) -> BaseException:
    """The operating system's or OpenSSL's own exception beneath httpx's and httpcore's."""
    while True:
        deeper = failure.__cause__ or failure.__context__
        if deeper is None:
            return failure
        failure = deeper
