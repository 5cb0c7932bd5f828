"""The HTTP client: several exchanges within one budget of time, over connections that it trusts.

The time allowed covers everything that a client does with it, further attempts included. The length of a streamed
exchange is unknown: there, the time bounds each pause.
"""

from __future__ import annotations

import ssl
import sys
import threading
import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx

from banno_creds.errors import BannoCredsError, NetworkError, TimedOutError
from banno_creds.http import exchange, faults, proxies
from banno_creds.http.connections import Connection
from banno_creds.http.exchange import Exchange
from banno_creds.http.trust import Trust
from banno_creds.steps import awaiting
from banno_creds.threads import OutOfTimeError, no_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from banno_creds.http.connections import Connections, Watch
    from banno_creds.http.exchange import Answer, Secrets, StreamedAnswer

T = TypeVar("T")

# The time is over: by our clock, or a moment earlier by httpx's.
_OUT_OF_TIME = (OutOfTimeError, httpx.ReadTimeout, httpx.WriteTimeout)


class HttpClient:
    """Sends requests within one budget of time.

    Unless it shares connections, each request has one of its own.

    Args:
        timeout: how long everything together may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.
        trust: the trusted certificate authorities, if another client has read them.
        connections: connections that are kept open, and shared with others; None for a new one for each request.

    Attributes:
        trust: the trusted certificate authorities.
        sent: the secrets of all requests so far: a later answer may echo them as well.
    """

    def __init__(
        self,
        timeout: float,
        ca_bundle: Path | None = None,
        *,
        trust: Trust | None = None,
        connections: Connections | None = None,
    ) -> None:
        self.trust = trust or (connections.trust(ca_bundle) if connections else Trust(ca_bundle))
        self.connections = connections
        self.sent: Secrets = ()
        self._timeout = timeout
        self._is_stale = False  # whether a kept connection was closed under a request
        self._ends = time.monotonic() + timeout
        self._proxies: dict[str, httpx.Proxy | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.connections is None:
            self.trust.forget()

    def remaining(self) -> float:
        """Return how much of the time is left, in seconds."""
        return self._ends - time.monotonic()

    @contextmanager
    def turn(self, url: str, *, counts: bool = True) -> Iterator[None]:
        """Wait for the turn of a request, which is made inside; see `connections.Turn`. The time stands still."""
        if self.connections is None or self.connections.turn is None:
            yield
            return
        began = time.monotonic()
        with self.connections.turn(url, counts=counts):
            self._ends += time.monotonic() - began
            yield

    def check(self, url: str) -> None:
        """Read the settings that a request needs, before anything is signed for it.

        Nothing is sent, and no name is resolved. The settings are kept for the request.

        Raises:
            ConfigurationError: the proxy's settings or the CA bundle are invalid.
        """
        self.proxy_for(url)
        # Plain http does not use a CA bundle; but one that was named must be readable.
        if self.trust.is_bundle or _is_secure(url):
            self.trust.context()

    def proxy_for(self, url: str) -> httpx.Proxy | None:
        """Return the proxy that the environment (or, on macOS and Windows, the system) names for a URL.

        Loopback never has one. Its ``repr`` leaves its password out.

        Raises:
            ConfigurationError: the setting is invalid.
        """
        if url not in self._proxies:
            self._proxies[url] = proxies.proxy_for(url)
        return self._proxies[url]

    def timed_out(self, url: str, phase: str) -> TimedOutError:
        """Return the error for an exchange that was not over within the time allowed; `faults` has the phases."""
        return faults.timed_out(url, self._timeout, phase)

    def get(self, url: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Fetch a JSON document; return the answer, whatever its status.

        Raises:
            ConfigurationError: the proxy's settings, the CA bundle or the host name are invalid.
            NetworkError: no whole answer came back; its class says why.
        """
        return self._send("GET", url, None, headers, exchange.secrets_sent((), headers, self.proxy_for(url)))

    def post_form(self, url: str, form: Sequence[tuple[str, str]], headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Post a form (RFC 6749 section 4.4.2); see `get` for the rest."""
        form_type = ("content-type", "application/x-www-form-urlencoded")
        secrets = exchange.secrets_sent(form, headers, self.proxy_for(url))
        return self._send("POST", url, urlencode(form).encode("ascii"), (form_type, *headers), secrets)

    def post_json(self, url: str, value: object, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Post a JSON document; see `get` for the rest."""
        from json import dumps

        json_type = ("content-type", "application/json")
        secrets = exchange.secrets_sent((), headers, self.proxy_for(url))
        return self._send("POST", url, dumps(value).encode("ascii"), (json_type, *headers), secrets)

    def stream(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        content: Callable[[], Iterable[bytes]] | None = None,
    ) -> StreamedAnswer:
        """Send one request, and return its answer, whatever its status, when it begins.

        The time allowed is how long the answer may take to begin after the last piece of the request, and how long
        each pause in it may be.

        Args:
            method: such as ``GET``.
            url: the URL to ask.
            headers: headers in addition to those that every request has.
            content: returns the request's body, piece by piece, from its beginning each time it is called. Unless
                the headers have its length, it is sent chunked (RFC 9112 section 7.1).

        Raises:
            ConfigurationError: the proxy's settings, the CA bundle or the host name are invalid.
            NetworkError: no answer came back; its class says why.
        """
        self.check(url)

        def run(under_way: Exchange[StreamedAnswer], context: ssl.SSLContext, seconds: float) -> StreamedAnswer:
            body = under_way.noticing(content()) if content is not None else None
            request = exchange.make_request(method, url, body, seconds, under_way.trace, headers)
            return exchange.begin(request, url, context, self.proxy_for(url), secrets)

        secrets = exchange.secrets_sent((), headers, self.proxy_for(url))
        return self._within(lambda: self._timeout, url, run)

    def _send(
        self, method: str, url: str, content: bytes | None, headers: Sequence[tuple[str, str]], secrets: Secrets
    ) -> Answer:
        self.check(url)
        self.sent = (*self.sent, *secrets)

        if self.connections is not None:
            return self._send_on_kept(self.connections, method, url, content, headers)

        def run(under_way: Exchange[Answer], context: ssl.SSLContext, seconds: float) -> Answer:
            request = exchange.make_request(method, url, content, seconds, under_way.trace, headers)
            with exchange.open_transport(context, self.proxy_for(url)) as transport:
                return exchange.send(request, url, transport, self.sent)

        return self._within(self.remaining, url, run)

    def _send_on_kept(
        self,
        connections: Connections,
        method: str,
        url: str,
        content: bytes | None,
        headers: Sequence[tuple[str, str]],
    ) -> Answer:
        """Send a request on a connection that is open already, if there is one, and keep it open after the answer."""
        proxy = self.proxy_for(url)
        parts = urlsplit(url)
        # A context that trusts others is another way to the server.
        context = self.trust.context() if _is_secure(url) else None
        key = (parts.scheme, parts.netloc, None if proxy is None else (str(proxy.url), proxy.raw_auth), context)
        kept = None if self._is_stale else connections.take(key)

        def run(under_way: Exchange[Answer], context: ssl.SSLContext, seconds: float) -> Answer:
            used = kept or Connection(exchange.open_transport(context, proxy))
            used.begin()

            def trace(event: str, info: Mapping[str, Any]) -> None:
                under_way.trace(event, info)
                used.trace(event, info)

            try:
                request = exchange.make_request(method, url, content, seconds, trace, headers, keep=True)
                answer = exchange.send(request, url, used.transport, self.sent)
            except BaseException:
                used.close()
                raise
            if answer.may_be_followed and used.has_ended():
                connections.give_back(key, used)
            else:
                used.close()
            return answer

        try:
            return self._within(self.remaining, url, run, kept, connections.watch)
        except NetworkError as failure:
            if kept is None or kept.heard or not failure.retryable or isinstance(failure, TimedOutError):
                raise
            self._is_stale = True
            stale = failure.but()
            stale.on_closed_connection = True
            raise stale from None

    def _within(
        self,
        seconds: Callable[[], float],
        url: str,
        run: Callable[[Exchange[T], ssl.SSLContext, float], T],
        kept: Connection | None = None,
        watch: Watch | None = None,
    ) -> T:
        """Run an exchange, and raise our own errors for what breaks it: they have no words of the server."""
        proxy = self.proxy_for(url)
        secure = _is_secure(url)
        context = self.trust.context() if secure else _plain()
        left = seconds()
        if left <= 0:
            raise self.timed_out(url, "there was no time left to ask")
        under_way: Exchange[T] = Exchange(
            lambda under_way: run(under_way, context, left), only_loopback=None if secure else urlsplit(url).netloc
        )
        try:
            with awaiting(urlsplit(url).hostname or "the server"):
                if kept is not None and kept.socket is not None and watch is not None and _may_wait_here():
                    return under_way.here(left, kept.socket, watch)
                return under_way.within(left)
        except (httpx.HTTPError, OutOfTimeError) as failure:
            if isinstance(failure, _OUT_OF_TIME) or seconds() <= 0:
                error: BannoCredsError = self.timed_out(url, under_way.phase)
            elif isinstance(faults.cause_of(failure), ssl.SSLCertVerificationError) and self.trust.widen(context):
                # The whole store may have the authority. The handshake failed: nothing was sent.
                return self._within(seconds, url, run)  # a kept connection has no handshake
            else:
                handshakes, trust = under_way.handshakes + 2 * (kept is not None), self.trust
                in_tunnel = handshakes > 1
                error = faults.explain(
                    failure, url, proxy, under_way.phase, tls_begun=handshakes > 0, trust=trust, in_tunnel=in_tunnel
                )
            if isinstance(error, NetworkError):
                error.sent = faults.may_have_been_sent(under_way.phase)
            raise error from None
        except (httpx.InvalidURL, UnicodeError):  # a label too long for DNS is a UnicodeError
            raise faults.no_host(url) from None


def _may_wait_here() -> bool:
    """Return whether this thread may wait for the network: on Windows, Ctrl-C does not interrupt that."""
    return sys.platform != "win32" or threading.current_thread() is not threading.main_thread()


@cache
def _plain() -> ssl.SSLContext:
    """Return a context for plain http, where nothing uses it: to make one takes a millisecond."""
    with no_fork():
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme == "https"
