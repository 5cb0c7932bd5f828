"""The token endpoint on this machine: who may ask, and one look for a token however many ask at once.

Any program of this machine can connect to it, and any web page can make the browser do so. It answers only a request
for this very host that no browser sent, from this user's own programs, with this endpoint's secret.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from banno_creds.errors import BannoCredsError, RefusedError, no_thread
from banno_creds.redirection.listeners import is_of_another_user
from banno_creds.redirection.loopback_server import Bounds, LoopbackServer, Unreadable, plain
from banno_creds.serve.answers import RefusedRequestError, document, failure_answer, refusal, token_answer
from banno_creds.serve.token_request import check_grant, read_token_request
from banno_creds.text import printable
from banno_creds.tokens.response import TokenResponse, bearer_token

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import TracebackType

    from banno_creds.redirection.loopback_server import Answer, Request
    from banno_creds.serve.clients import Client, Clients
    from banno_creds.serve.token_request import TokenRequest
    from banno_creds.times import Clock

TOKEN_PATH = "/token"  # noqa: S105 - a path
JWKS_PATH = "/jwks"
_DISCOVERY_PATHS = (
    "/.well-known/openid-configuration",  # OpenID Connect Discovery 1.0 section 4
    "/.well-known/oauth-authorization-server",  # RFC 8414 section 3
)
_HTTP_PORT = 80  # which no URL and no Host names
_MOST_BODY_BYTES = 16 * 1024
_MOST_CONNECTIONS = 200
_MOST_WAITING = 150  # of them, for a token; the others get their answer at once
_MOST_THREADS = 16
# So long an outcome is given again without another look: a program in a loop, an endpoint that is down, and a token
# that no cache can keep must not become a request to the bank each time.
_TOKEN_SECONDS = 1.0
_FAILURE_SECONDS = 5.0
# A refusal is given again for so long, and for twice as long each further time: a profile that the bank refuses must
# not use up the few refusals in a row that it bears from all of them.
_REFUSAL_SECONDS, _MOST_REFUSAL_SECONDS = 30.0, 120.0
_MOST_OUTCOMES = 1000
_HEADERS = (
    "Cache-Control: no-store",
    "Pragma: no-cache",
    "X-Content-Type-Options: nosniff",
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy: same-origin",
    "Referrer-Policy: no-referrer",
)
_UNREADABLE = {
    Unreadable.TLS: "https was spoken here, and this endpoint's URL begins with http://",
    Unreadable.NO_TLS: "http was spoken here, and this endpoint's URL begins with https://",
    Unreadable.TOO_LARGE: "a request was refused: its head is too large",
    Unreadable.NO_HTTP: "a request was refused: it is no HTTP/1.1",
}


class Allowance:
    """So many at once, and so many a second in the long run."""

    def __init__(self, most: int, a_second: float) -> None:
        self._most, self._a_second = float(most), a_second
        self._left, self._at = float(most), time.monotonic()

    def take(self) -> bool:
        """Take one; False if none is left."""
        now = time.monotonic()
        self._left, self._at = min(self._most, self._left + (now - self._at) * self._a_second), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Outcome(NamedTuple):
    """What came of a look for a client's token.

    Attributes:
        client: the client; None if there is none of this name, or it cannot be used.
        result: the token or the failure; None if there is no such client.
        version: the version of the clients that was looked at.
        seconds: for how long it is given again.
        until: when that ends, by a clock that nobody sets.
    """

    client: Client | None
    result: TokenResponse | BannoCredsError | None
    version: str
    seconds: float
    until: float

    def is_fresh(self, version: str, now: float) -> bool:
        """Return whether it may be given again; a token that has ended never is."""
        ends = self.result.expires_at if isinstance(self.result, TokenResponse) else None
        return version == self.version and time.monotonic() < self.until and (ends is None or now < ends)


class TokenServer:
    """Serves in threads, in a ``with`` statement.

    Args:
        listener: a non-blocking socket that listens, on loopback or at a path; it is closed at the end.
        secret: the secret that programs have to give.
        clients: whose tokens it gives.
        log: called with a line for each event, in the server's thread; a line has no secret.
        clock: the time, in seconds since the epoch.
        parting_seconds: for how long the programs that wait for a token still get it at the end.

    Attributes:
        token_endpoint: its URL.
    """

    def __init__(
        self,
        listener: socket.socket,
        secret: bytes,
        clients: Clients,
        log: Callable[[str], None] = lambda _: None,
        clock: Clock = time.time,
        parting_seconds: float = 0.0,
    ) -> None:
        self._digest = _digest(secret)
        self._clients = clients
        self._tell = log
        self._clock = clock
        address = listener.getsockname()
        self._authorities: tuple[str, ...] = ()  # at a path, no browser can be led here under another name
        self._issuer = "http://localhost"
        if isinstance(address, tuple):
            port = "" if address[1] == _HTTP_PORT else f":{address[1]}"
            self._authorities = (f"127.0.0.1{port}", f"localhost{port}")
            self._issuer = f"http://{self._authorities[0]}"
        self.token_endpoint = self._issuer + TOKEN_PATH
        self._outcomes: dict[str, Future[_Outcome]] = {}
        self._waiting = 0
        self._counting = threading.Lock()
        self._wrong = Allowance(10, 1.0)
        self._lines = Allowance(20, 0.5)  # for requests that are refused here
        self._untold = 0
        self._pool = ThreadPoolExecutor(_MOST_THREADS, "token")
        self._server = LoopbackServer(
            [listener],
            self._respond,
            lambda why: self._tell_of_refused(_UNREADABLE[why]),
            headers=_HEADERS,
            bounds=Bounds(_MOST_BODY_BYTES, _MOST_CONNECTIONS, parting_seconds),
        )

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def check(self) -> None:
        """Raise what ended the server's thread, if anything did."""
        if self._server.failure is not None:
            raise self._server.failure

    # The methods below run in the server's thread, unless they say otherwise.

    def _respond(self, request: Request) -> Answer | Future[Answer]:
        hosts = request.values("host")
        # Only this detects a foreign name that resolves to this machine (DNS rebinding).
        if len(hosts) != 1 or (self._authorities and hosts[0].lower() not in self._authorities):
            self._tell_of_refused(f"a request for the host {_shown(' '.join(hosts))} was refused")
            return plain(421, "This is not the host that you asked for.")
        if request.values("origin") or any(each != "none" for each in request.values("sec-fetch-site")):
            self._tell_of_refused("a request was refused: a browser sent it for a web page")
            return plain(403, "Web pages get nothing here.")
        path = request.target.partition("?")[0]
        if path in (*_DISCOVERY_PATHS, JWKS_PATH):
            if request.method not in ("GET", "HEAD"):
                return plain(405, "Only GET is allowed here.", "Allow: GET, HEAD")
            # This endpoint signs nothing; some libraries want the set all the same.
            return document({"keys": []} if path == JWKS_PATH else self._metadata())
        if path != TOKEN_PATH:
            self._tell_of_refused(f"a request for {_shown(path)} was refused: the path is {TOKEN_PATH}")
            return plain(404, f"There is nothing here: the token endpoint is {self.token_endpoint}")
        if request.method != "POST":
            self._tell_of_refused(f"a {_shown(request.method)} was refused: a token is asked for by POST")
            return plain(405, "Ask for a token by POST.", "Allow: POST")
        if is_of_another_user(request.connection):
            self._tell_of_refused("a request was refused: its program is of another user, or has ended")
            return plain(403, "This endpoint is for the programs of another user.")
        try:
            return self._token_request(request)
        except RefusedRequestError as refused:
            self._tell_of_refused(f"a request was refused: {refused.error}: {refused.description}")
            return refused.answer()

    def _metadata(self) -> dict[str, Any]:
        """Return the metadata of RFC 8414 section 2, with the members that OpenID Connect Discovery 1.0 requires."""
        return {
            "issuer": self._issuer,
            "token_endpoint": self.token_endpoint,
            "jwks_uri": self._issuer + JWKS_PATH,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [],
        }

    def _token_request(self, request: Request) -> Answer | Future[Answer]:
        asked = read_token_request(request)
        digests = [_digest(secret.encode("utf-8", "surrogatepass")) for secret in asked.secrets]
        if not any(hmac.compare_digest(digest, self._digest) for digest in digests):
            if not self._wrong.take():
                self._tell_of_refused("a request was refused: too many wrong secrets")
                return refusal(429, "invalid_client", "too many wrong secrets; try again later", "Retry-After: 1")
            raise RefusedRequestError("invalid_client", "the client_secret is not the one of this endpoint", 401)
        if hmac.compare_digest(_digest(asked.client_id.encode("utf-8", "surrogatepass")), self._digest):
            # The log names who asks.
            raise RefusedRequestError("invalid_client", "the client_id is the secret: it is a profile's name", 401)
        check_grant(request)
        outcome = self._outcome(asked.client_id)
        if outcome.done():
            return self._answer(asked, outcome.result())
        if self._waiting >= _MOST_WAITING:
            return refusal(503, "temporarily_unavailable", "too many programs wait for a token", "Retry-After: 1")
        with self._counting:
            self._waiting += 1
        answer: Future[Answer] = Future()
        outcome.add_done_callback(lambda done: self._pass_on(asked, done, answer))
        return answer

    def _outcome(self, name: str) -> Future[_Outcome]:
        """Return what came of the last look for a client's token, or of the one under way, or of a new one."""
        version, now = self._clients.version(), self._clock()
        known = self._outcomes.get(name)
        if known is not None and (not known.done() or known.result().is_fresh(version, now)):
            return known
        if len(self._outcomes) >= _MOST_OUTCOMES:
            kept = self._outcomes.items()
            self._outcomes = {
                each: one for each, one in kept if not one.done() or one.result().is_fresh(version, now)
            }
        before = None if known is None else known.result()
        try:
            looked = self._pool.submit(self._look, name, version, before)
        except RuntimeError:  # no thread, or the server stops
            looked = Future()
            looked.set_result(_outcome(None, no_thread(), version, 0.0))
        self._outcomes[name] = looked
        return looked

    def _look(self, name: str, version: str, before: _Outcome | None) -> _Outcome:
        """Look for a client's token, in a thread; no failure leaves it."""
        client = None
        try:
            client = self._clients.find(name)
            response = None if client is None else client.obtain()
            if response is not None:
                bearer_token(response)
            return _outcome(client, response, version, _TOKEN_SECONDS)
        except RefusedError as refused:
            seconds = _REFUSAL_SECONDS
            if before is not None and before.version == version and isinstance(before.result, RefusedError):
                seconds = min(2 * before.seconds, _MOST_REFUSAL_SECONDS)
            return _outcome(client, refused.with_traceback(None), version, seconds)
        except BannoCredsError as failure:
            return _outcome(client, failure.with_traceback(None), version, _FAILURE_SECONDS)
        except Exception as bug:  # noqa: BLE001 - the program would wait for ever; its words may hold a secret
            ours = BannoCredsError(f"this is a bug in banno-creds: {type(bug).__name__}")
            return _outcome(client, ours, version, _FAILURE_SECONDS)

    def _pass_on(self, asked: TokenRequest, outcome: Future[_Outcome], answer: Future[Answer]) -> None:
        """Answer a program that waits, in whichever thread the outcome came."""
        with self._counting:
            self._waiting -= 1
        if answer.set_running_or_notify_cancel():  # else it has gone, or the server has let go of all
            answer.set_result(self._answer(asked, outcome.result()))

    def _answer(self, asked: TokenRequest, outcome: _Outcome) -> Answer:
        """Answer a program that has the secret, and tell it."""
        name, result, now = _shown(asked.client_id), outcome.result, self._clock()
        refused = _refused(asked, outcome)
        if refused is not None:
            self._tell(f"{name}: refused: {refused.error}: {refused.description}")
            return refused.answer()
        if isinstance(result, TokenResponse):
            left = "" if result.expires_at is None else f", good for {result.expires_at - now:.0f} s"
            self._tell(f"{name}: a token{left}")
            return token_answer(result, now)
        assert result is not None  # noqa: S101 - then it was refused above
        what = "refused by the bank" if isinstance(result, RefusedError) else "no token"
        self._tell(f"{name}: {what}: {printable(result.message)}")
        return failure_answer(name, result, "" if outcome.client is None else outcome.client.doctor)

    def _tell_of_refused(self, line: str) -> None:
        """Tell of a request that is refused, but not of each: any program could fill a disk."""
        if not self._lines.take():
            self._untold += 1
            return
        more = f"; {self._untold} more were refused before, and not told" if self._untold else ""
        self._untold = 0
        self._tell(line + more)


def _outcome(
    client: Client | None, result: TokenResponse | BannoCredsError | None, version: str, seconds: float
) -> _Outcome:
    return _Outcome(client, result, version, seconds, time.monotonic() + seconds)


def _refused(asked: TokenRequest, outcome: _Outcome) -> RefusedRequestError | None:
    """Return why a program with the secret gets nothing.

    Another scope or resource than the profile's would be a token of its own, and a request to the bank for each.
    """
    client = outcome.client
    if client is None:
        if outcome.result is not None:
            return None
        said = f"there is no profile {_shown(asked.client_id)} here: banno-creds profile list"
        return RefusedRequestError("invalid_client", said, 401)
    if more := [each for each in asked.scope if each not in client.scope]:
        has = " ".join(client.scope) or "none"
        said = f"the profile does not ask for the scope {_shown(' '.join(more))}, but for: {has}"
        return RefusedRequestError("invalid_scope", said)
    if more := [each for each in asked.resource if each not in client.resource]:
        return RefusedRequestError("invalid_target", f"the profile does not ask for the resource {_shown(more[0])}")
    return None


def _digest(secret: bytes) -> bytes:
    """Return what is compared in place of the secret: of one length, and no use to who reads our memory."""
    return hashlib.sha256(secret).digest()


def _shown(text: str) -> str:
    return printable(text, 80) or "(none)"
