"""Where the browser comes back to after signing in (RFC 6749 section 3.1.2): a listener on loopback, for one answer.

Anything on this machine can knock here, and any web page can have the browser do so. Nothing is believed but a
request for the very redirect URI with the very ``state``; everything else gets a page and changes nothing (RFC 8252
sections 7.3, 8.3 and 8.9).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import ssl
import threading
import time
from base64 import b64encode
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from banno_creds.errors import ConfigurationError, TimedOutError
from banno_creds.redirection import pages
from banno_creds.redirection.listeners import ADDRESSES, is_of_another_user, listen
from banno_creds.redirection.loopback_server import Answer, LoopbackServer, plain
from banno_creds.text import printable
from banno_creds.times import duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from banno_creds.redirection.certificate import LocalhostCertificate
    from banno_creds.redirection.loopback_server import Request

_PORTS = {"http": 80, "https": 443}
_MOST_PARAMETERS = 50
_SLICE_SECONDS = 0.2  # on Windows, Ctrl-C is noticed only between two waits
_COOKIE = "banno_creds_login"
_COOKIE_SECONDS = 300

_STYLE_HASH = b64encode(hashlib.sha256(pages.STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = (
    "Cache-Control: no-store",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    f"Content-Security-Policy: {_POLICY}",
    "X-Frame-Options: DENY",
    "Cross-Origin-Opener-Policy: same-origin",
    "Cross-Origin-Resource-Policy: same-origin",
)


_ANOTHER_USER = (
    "This answer came from a program of another user of this machine, and was not used. If both that browser and "
    "banno-creds are yours, sign in with --manual."
)


class RedirectUri(NamedTuple):
    """A redirect URI on loopback, taken apart; the host without brackets, the path as the browser will ask for it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as a URL has them (RFC 3986 section 3.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_redirect_uri(redirect_uri: str) -> RedirectUri:
    """Take a redirect URI apart for which there can be a listener here.

    Args:
        redirect_uri: exactly as it is registered; nothing in it is changed.

    Returns:
        Its parts.

    Raises:
        ConfigurationError: naming all its faults at once.
    """
    faults = []
    hint = "give it exactly as it is registered, such as https://localhost:8080/auth/cb"
    try:
        parts = urlsplit(redirect_uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        shown = "(not shown)" if "@" in redirect_uri else ascii(redirect_uri)
        raise ConfigurationError(f"the redirect URI {shown} is no URL", hint=hint) from None
    if re.search(r"[^\x21-\x7e]", redirect_uri):
        faults.append("it has white space or characters outside ASCII in it")
    if parts.scheme not in _PORTS:
        faults.append("it starts with neither https:// nor http://")
    elif not host:
        faults.append("it names no host")
    elif host not in ADDRESSES:
        faults.append(
            "its host is neither localhost nor 127.0.0.1 nor [::1], where the browser could find this command"
        )
        hint = "sign in with --manual, and paste the address that the browser ended on"
    if port == 0:
        faults.append("port 0 is none")
    if parts.username is not None or parts.password is not None:
        faults.append("it carries a user name or password")
    if parts.fragment or redirect_uri.endswith("#"):
        faults.append("it has a fragment (#…)")  # RFC 6749 section 3.1.2
    if re.search(r"/(?:\.|%2e){1,2}(?:/|\Z)|\\", parts.path, re.IGNORECASE):
        faults.append("a browser would change its path: it has ., .. or a backslash in it")
    if faults:
        shown = redirect_uri if parts.username is None and parts.password is None else "(not shown)"
        raise ConfigurationError(f"the redirect URI {shown!a} cannot be listened on: {'; '.join(faults)}", hint=hint)
    return RedirectUri(parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/")


class _Page(NamedTuple):
    """What is shown to the browser that signed in, and to no other."""

    path: str
    cookie: str
    answer: Answer


class RedirectionEndpoint:
    """Waits on loopback for the browser that comes back. Use it in a ``with`` statement.

    The port is taken at once, so that what stands in the way is known before a browser is opened.

    Args:
        redirect_uri: exactly as it is registered.
        state: what the answer must carry (RFC 6749 section 10.12).
        certificate: for https, see `certificate.localhost_certificate`.

    Attributes:
        url: ``scheme://host:port/`` of this endpoint.
        strangers: how many answers with another ``state``, or without one, came here.

    Raises:
        ConfigurationError: the redirect URI cannot be listened on, or its port is not to be had.
    """

    def __init__(self, redirect_uri: str, state: str, *, certificate: LocalhostCertificate | None = None) -> None:
        at = parse_redirect_uri(redirect_uri)
        tls = _tls(certificate) if at.scheme == "https" else None
        self._redirect_uri = redirect_uri
        self._at = at
        self._state = state.encode()
        self._authorities = {at.authority}
        if at.port == _PORTS[at.scheme]:
            self._authorities.add(at.authority.rpartition(":")[0])
        self.url = f"{at.scheme}://{at.authority}/"
        self.strangers = 0
        self._strangers_told = False
        self._parameters: dict[str, str] | None = None
        self._answer: Future[Answer] = Future()  # to the browser that came back
        self._page: _Page | None = None
        self._fetched: bool | None = None  # whether the page was, as soon as that is known
        self._news = threading.Event()
        self._server = LoopbackServer(listen(at.host, at.port), self._respond, headers=_HEADERS, tls=tls)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._answer.done():
            page = pages.failed("The login was broken off before it was complete", hint="look at the terminal")
            self._answer.set_result(Answer(503, page))
        self._server.stop()

    def wait(self, seconds: float, on_stranger: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Wait for the authorization response (RFC 6749 section 4.1.2). The browser then waits for `finish`.

        Args:
            seconds: how long.
            on_stranger: called when the first answer came that belongs to another login; `strangers` has them all.

        Returns:
            The query parameters as the server sent them, of a success or a failure. They hold the authorization code.

        Raises:
            TimedOutError: nobody came.
        """
        end = time.monotonic() + seconds
        while True:
            in_time = self._wait_for_news(end)
            if self.strangers and not self._strangers_told:
                self._strangers_told = True  # once: any web page can send thousands of them
                on_stranger()
            if self._parameters is not None:
                return dict(self._parameters)
            if not in_time:
                raise self._nobody_came(seconds)

    def finish(self, page: str, path: str, *, status: int = 200, seconds: float = 5.0) -> bool:
        """Send the browser that waits on to a page, so that what it came with leaves its address bar.

        Args:
            page: the HTML.
            path: where it is shown, such as ``/me``; nobody else sees it there.
            status: its HTTP status.
            seconds: how long to wait for the browser to fetch it.

        Returns:
            Whether it was fetched, whole.
        """
        if self._parameters is None or self._answer.done():
            return False
        if path == self._at.path:
            path = path.rstrip("/") + "/done"
        self._page = _Page(path, secrets.token_urlsafe(32), Answer(status, page, then=self._tell))
        # Lax, for a Strict one is not sent after a redirect that began at another site: the authorization server's.
        cookie = f"{_COOKIE}={self._page.cookie}; Path={path}; Max-Age={_COOKIE_SECONDS}; HttpOnly; SameSite=Lax"
        if self._at.scheme == "https":
            cookie += "; Secure"
        headers = (f"Location: {path}", f"Set-Cookie: {cookie}")
        self._answer.set_result(Answer(303, headers=headers, then=lambda taken: None if taken else self._tell(taken)))
        end = time.monotonic() + seconds
        while self._fetched is None and self._wait_for_news(end):
            pass
        return self._fetched is True

    def _wait_for_news(self, end: float) -> bool:
        """Wait until something may have changed; whether there was time left."""
        left = end - time.monotonic()
        if left > 0:
            self._news.wait(min(left, _SLICE_SECONDS))
        self._news.clear()
        if self._server.failure is not None:
            raise self._server.failure
        return left > 0

    def _nobody_came(self, seconds: float) -> TimedOutError:
        details = [f"the browser was to come back to {self._redirect_uri}"]
        if self.strangers:
            answers = "1 answer" if self.strangers == 1 else f"{self.strangers} answers"
            details.append(f"{answers} of other logins came, from older tabs perhaps")
        return TimedOutError(
            f"nobody signed in within {duration(seconds)}",
            hint="look at what the browser shows: the redirect URI must be registered exactly so, and its warning of "
            "the certificate accepted; --wait SECONDS allows more time",
            details=tuple(details),
        )

    # What follows runs in the server's thread.

    def _respond(self, request: Request) -> Answer | Future[Answer]:
        # A foreign name that was made to mean this machine (DNS rebinding) is told apart by this alone.
        hosts = request.values("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._authorities:
            return plain(421, "This is not the host that you asked for.")
        path, _, query = request.target.partition("?")
        is_callback = path == self._at.path
        if request.method != "GET" and (request.method != "HEAD" or is_callback):
            return plain(405, "Only GET is understood here.", f"Allow: {'GET' if is_callback else 'GET, HEAD'}")
        if is_callback:
            return self._authorization_response(query, request)
        if self._page is not None and path == self._page.path and _has_cookie(request, self._page.cookie):
            return self._page.answer
        return Answer(404, pages.not_found())

    def _authorization_response(self, query: str, request: Request) -> Answer | Future[Answer]:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            return Answer(400, pages.failed("The answer to the login cannot be read; nothing was done with it"))
        parameters = dict(pairs)
        if len(parameters) < len(pairs):  # RFC 6749 section 3.1
            return Answer(400, pages.failed("The answer to the login says something twice; nothing was done with it"))
        if not hmac.compare_digest(parameters.get("state", "").encode(), self._state):
            self.strangers += 1
            self._news.set()
            return Answer(400, pages.not_ours())
        # Whoever sees our authorization request in the list of processes knows the state, and could sign in as
        # himself: the victim would go on as the attacker. Looked up for the right state alone, so that no flood of
        # wrong ones makes us read the kernel's tables; the page is guarded by its cookie.
        if is_of_another_user(request.connection):
            return plain(403, _ANOTHER_USER)
        if self._parameters is not None:
            return Answer(409, pages.used())
        self._parameters = parameters
        self._news.set()
        return self._answer

    def _tell(self, fetched: bool) -> None:  # noqa: FBT001 - called by its place, as an answer's `then`
        # Looked at once more, it is still fetched, though the second look may be broken off.
        self._fetched = self._fetched or fetched
        self._news.set()


def _tls(certificate: LocalhostCertificate | None) -> ssl.SSLContext:
    if certificate is None:
        raise ValueError("https needs a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # nobody comes back with one
    try:
        context.load_cert_chain(certificate.path)
    except OSError as failure:
        raise ConfigurationError(
            f"the certificate in {certificate.path} cannot be used: {printable(failure.strerror or failure)}",
            hint="remove that file: another is made then",
        ) from None
    return context


def _has_cookie(request: Request, expected: str) -> bool:
    cookies = (each.strip().partition("=") for value in request.values("cookie") for each in value.split(";"))
    values = [value.encode("latin-1") for name, _, value in cookies if name == _COOKIE]
    return any(hmac.compare_digest(value, expected.encode()) for value in values)
