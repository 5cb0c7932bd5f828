"""The redirection endpoint (RFC 6749 section 3.1.2): it listens on loopback for one authorization response.

Every program on this machine can connect to it, and every web page can make the browser do so. It accepts only a
request for the exact redirect URI with the right ``state``; any other request gets a page and changes nothing
(RFC 8252 sections 7.3, 8.3 and 8.9).
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
from banno_creds.redirection.loopback_server import Answer, LoopbackServer, Unreadable, plain
from banno_creds.steps import awaiting
from banno_creds.text import printable, setting
from banno_creds.times import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from banno_creds.redirection.certificate import LocalhostCertificate
    from banno_creds.redirection.loopback_server import Request

_PORTS = {"http": 80, "https": 443}
_MOST_PARAMETERS = 50
# So many refused requests are told in the terminal: any web page can send thousands of them.
_MOST_TOLD = 8
# Browsers ask for these by themselves.
_NOISE = re.compile(r"/(?:favicon\.ico|robots\.txt|apple-touch-icon[\w.-]*|\.well-known/.*)")
_OAUTH_NAMES = frozenset(
    ("code", "state", "iss", "error", "error_description", "error_uri", "session_state", "scope")
)
_SLICE_SECONDS = 0.2  # Windows notices Ctrl-C only between two waits
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


_UNREADABLE = {
    Unreadable.TLS: "a browser spoke https here, and the redirect URI begins with http://",
    Unreadable.NO_TLS: "a browser spoke plain http here, and the redirect URI begins with https://",
    Unreadable.TOO_LARGE: "a request was refused, because it is too large: too many cookies for localhost?",
    Unreadable.NO_HTTP: "a request was refused, because it cannot be read: it is no HTTP/1.1",
}
_ANOTHER_USER = (
    "This answer came from a program of another user of this machine, and was not used. If both that browser and "
    "banno-creds are yours, sign in with: banno-creds login --manual"
)


class RedirectUri(NamedTuple):
    """The parts of a redirect URI on loopback: the host without brackets, the path as the browser requests it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port, as a URL writes them (RFC 3986 section 3.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_redirect_uri(redirect_uri: str) -> RedirectUri:
    """Take a redirect URI apart, and check that a program can listen on it here.

    Raises:
        ConfigurationError: it is unsuitable; the message names all faults.
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
        faults.append("it has white space or characters outside ASCII")
    if parts.scheme not in _PORTS:
        faults.append("it starts with neither https:// nor http://")
    elif not host:
        faults.append("it names no host")
    elif host not in ADDRESSES:
        faults.append(
            "its host is neither localhost nor 127.0.0.1 nor [::1], and the browser would not find banno-creds there"
        )
        hint = f"sign in with {setting('manual')}, and paste the address at which the browser ends"
    if port == 0:
        faults.append("port 0 is not a port")
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
    """The page for the browser that signed in; no other browser gets it."""

    path: str
    cookie: str
    answer: Answer


class RedirectionEndpoint:
    """Waits on loopback until the browser comes back. Use it in a ``with`` statement.

    The constructor binds the port, so that a problem is known before a browser is opened.

    Args:
        redirect_uri: the redirect URI, exactly as it is registered.
        state: the ``state`` that the answer must have (RFC 6749 section 10.12).
        certificate: the certificate for https, see `certificate.localhost_certificate`.

    Attributes:
        url: ``scheme://host:port/`` of this endpoint.
        strangers: the number of answers with another ``state``, or without one.

    Raises:
        ConfigurationError: the redirect URI is unsuitable, or its port is not available.
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
        self._refused: list[str] = []  # what was refused, in words
        self._told = 0  # so many of them
        self._parameters: dict[str, str] | None = None
        self._answer: Future[Answer] = Future()  # for the browser that came back
        self._page: _Page | None = None
        self._fetched: bool | None = None  # whether the browser fetched the page; None until that is known
        self._news = threading.Event()
        self._server = LoopbackServer(
            listen(at.host, at.port),
            self._respond,
            lambda why: self._note(_UNREADABLE[why]),
            headers=_HEADERS,
            tls=tls,
        )

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._answer.done():
            page = pages.failed("The login was stopped before it was complete", hint="look at the terminal")
            self._answer.set_result(Answer(503, page))
        self._server.stop()

    def wait(self, seconds: float, on_refused: Callable[[str], None] = lambda _: None) -> dict[str, str]:
        """Wait for the authorization response (RFC 6749 section 4.1.2). Afterwards the browser waits for `finish`.

        ``on_refused`` is called with a sentence for each request that was refused, the same one only once. Return the
        query parameters from the server, of a success or a failure: the authorization code may be among them.

        Raises:
            TimedOutError: no browser came.
        """
        end = time.monotonic() + seconds
        while True:
            with awaiting("the browser"):
                in_time = self._wait_for_news(end)
                while in_time and self._parameters is None and self._told == len(self._refused):
                    in_time = self._wait_for_news(end)
            while self._told < len(self._refused):
                self._told += 1
                on_refused(self._refused[self._told - 1])
            if self._parameters is not None:
                return dict(self._parameters)
            if not in_time:
                raise self._nobody_came(seconds)

    def finish(self, page: str, path: str, *, status: int = 200, seconds: float = 5.0) -> bool:
        """Redirect the waiting browser to a page; True if it fetched all of it.

        The code and the state leave its address bar this way.

        Args:
            page: the HTML.
            path: the page's path, such as ``/me``; no other browser can see the page there.
            status: the page's HTTP status.
            seconds: the time to wait until the browser has fetched it.
        """
        if self._parameters is None or self._answer.done():
            return False
        if path == self._at.path:
            path = path.rstrip("/") + "/done"
        self._page = _Page(path, secrets.token_urlsafe(32), Answer(status, page, then=self._tell))
        # Lax: a Strict cookie is not sent after a redirect that began at another site, the authorization server.
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
        """Wait until something may have changed; return False if the time is over."""
        left = end - time.monotonic()
        if left > 0:
            self._news.wait(min(left, _SLICE_SECONDS))
        self._news.clear()
        if self._server.failure is not None:
            raise self._server.failure
        return left > 0

    def _nobody_came(self, seconds: float) -> TimedOutError:
        details = [f"the browser should have come back to {self._redirect_uri}"]
        if self.strangers:
            answers = "1 answer" if self.strangers == 1 else f"{self.strangers} answers"
            details.append(f"{answers} of other logins came, perhaps from older tabs")
        return TimedOutError(
            f"nobody signed in within {duration(seconds)}",
            hint="look at the browser: the redirect URI must be registered exactly, and the warning about the "
            f"certificate accepted; a larger {setting('wait')} allows more time",
            details=tuple(details),
        )

    # The methods below run in the server's thread.

    def _respond(self, request: Request) -> Answer | Future[Answer]:
        # Only this detects a foreign name that resolves to this machine (DNS rebinding).
        hosts = request.values("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._authorities:
            self._note(
                f"a request for the host {_shown(' '.join(hosts))} was refused: it has to be {self._at.authority}"
            )
            return plain(421, "This is not the host that you asked for.")
        path, _, query = request.target.partition("?")
        is_callback = path == self._at.path
        if request.method != "GET" and (request.method != "HEAD" or is_callback):
            form_post = " (response_mode form_post?)" if request.method == "POST" else ""
            self._note(f"a {_shown(request.method)} to {_shown(path)} was refused{form_post}: only GET is taken here")
            return plain(405, "Only GET is allowed here.", f"Allow: {'GET' if is_callback else 'GET, HEAD'}")
        if is_callback:
            return self._authorization_response(query, request)
        if self._page is not None and path == self._page.path and _has_cookie(request, self._page.cookie):
            return self._page.answer
        if not _NOISE.fullmatch(path):
            self._note(f"a request for {_shown(path)} was not used: the redirect URI's path is {self._at.path}")
        return Answer(404, pages.not_found())

    def _note(self, why: str) -> None:
        """Have `wait` tell of a refused request."""
        if why in self._refused or len(self._refused) > _MOST_TOLD:
            return
        self._refused.append(
            why if len(self._refused) < _MOST_TOLD else "more requests are refused, and nothing more is said of them"
        )
        self._news.set()

    def _authorization_response(self, query: str, request: Request) -> Answer | Future[Answer]:
        try:
            pairs = _parameters(query)
        except ValueError:
            self._note(f"an answer was not used: it has more than {_MOST_PARAMETERS} parameters")
            return Answer(400, pages.failed("The answer to the login cannot be read, and was not used"))
        parameters = dict(pairs)
        if len(parameters) < len(pairs):  # RFC 6749 section 3.1
            names = [name for name, _ in pairs]
            twice = next((name for name in names if names.count(name) > 1 and name in _OAUTH_NAMES), "a parameter")
            self._note(f"an answer was not used: it has {twice} twice; if it is the server's, tell its operator")
            return Answer(400, pages.failed("The answer to the login has a parameter twice, and was not used"))
        if not hmac.compare_digest(parameters.get("state", "").encode(), self._state):
            self.strangers += 1
            self._note(_stranger(parameters))
            return Answer(400, pages.not_ours())
        # Another user can read the state in our authorization request, in the list of processes, and could sign in
        # with an account of his own: the victim would then act with the attacker's account. This check comes after
        # that of the state, so that a flood of wrong states does not make us read the kernel's tables. The page needs
        # no such check: its cookie protects it.
        if is_of_another_user(request.connection):
            self._note(
                "an answer was not used: it came from a program of another user of this machine; if both are yours, "
                f"sign in with {setting('manual')}"
            )
            return plain(403, _ANOTHER_USER)
        if self._parameters is not None:
            return Answer(409, pages.used())
        self._parameters = parameters
        self._news.set()
        return self._answer

    def _tell(self, fetched: bool) -> None:  # noqa: FBT001 - an answer's `then` is called with it
        # The page stays fetched even if the browser breaks off a second request for it.
        self._fetched = self._fetched or fetched
        self._news.set()


def _parameters(query: str) -> list[tuple[str, str]]:
    """Return a query's parameters; ValueError if there are too many of them."""
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except UnicodeDecodeError:  # some servers write their words in Latin-1
        return parse_qsl(query, keep_blank_values=True, encoding="latin-1", max_num_fields=_MOST_PARAMETERS)


def _stranger(parameters: Mapping[str, str]) -> str:
    if parameters.get("state"):
        return "an answer to another login came, and was not used: its state is not this one's; use the newest tab"
    if parameters.keys() & {"code", "error"}:
        return "an answer without state was not used; if it is the server's, tell its operator"
    return (
        "the browser came back without an answer: without code, error and state; the server may have put them behind "
        "a # (response_mode fragment), where no program sees them"
    )


def _shown(text: str) -> str:
    return printable(text, 80) or "(none)"


def _tls(certificate: LocalhostCertificate | None) -> ssl.SSLContext:
    if certificate is None:
        raise ValueError("https needs a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # no browser will resume a session
    try:
        context.load_cert_chain(certificate.path)
    except OSError as failure:
        raise ConfigurationError(
            f"the certificate in {certificate.path} cannot be used: {printable(failure.strerror or failure)}",
            hint="remove that file: the next login makes a new one",
        ) from None
    return context


def _has_cookie(request: Request, expected: str) -> bool:
    cookies = (each.strip().partition("=") for value in request.values("cookie") for each in value.split(";"))
    values = [value.encode("latin-1") for name, _, value in cookies if name == _COOKIE]
    return any(hmac.compare_digest(value, expected.encode()) for value in values)
