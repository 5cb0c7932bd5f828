"""An OpenID provider for the tests of the login: it signs one person in without a question.

What it says can be changed for each test; what it was asked, and how often each refresh token was used, it tells.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlencode

import jwt

from tests.conftest import CLIENT_ID

from .loopback import LoopbackServer, Request, Says

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.jose.keys import PrivateKey

SUBJECT = "8a1c0a52-riley"
Claims = dict[str, Any]


class Received(NamedTuple):
    """One request."""

    path: str
    values: dict[str, str]
    headers: Mapping[str, str]


def signed(claims: Claims, key: PrivateKey, alg: str, **header: Any) -> str:
    """A JWS of claims."""
    return jwt.encode(claims, key.pem().decode(), algorithm=alg, headers=header or None)


def unsigned(claims: Claims, alg: str = "none") -> str:
    """A JWT without a signature."""
    parts = ({"alg": alg, "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def at_hash(access_token: str) -> str:
    """As OpenID Connect Core 1.0 section 3.1.3.6 has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest()[:16]).decode().rstrip("=")


class OpenIdProvider(LoopbackServer):
    """The provider. Each refresh token is good once, unless ``rotates`` is false.

    Attributes:
        metadata: the members of its discovery document; a test changes them.
        log: what it was asked, in order.
        uses: how often each refresh token was presented.
        issued: each access token that it gave, in order; ``refresh_tokens`` alike.
        next_refresh_tokens: those that it gives first.
        offline: whether it gives refresh tokens.
        id_token: makes an id_token of the right claims; None leaves it out.
        callback: makes the answer for the browser of the right one.
        changes: members of the token responses that are to be others than they are.
        userinfo, revocation, pushing: what those endpoints answer; of the last, None to take the request.
        revocations: what the second of them answers instead, by the kind of token.
        reason: the reason phrase of every answer.
        failures: what the token endpoint answers with instead, one after the other: a status and a body.
        gate: while it is closed (cleared) no token request is answered.
    """

    def __init__(self, key: PrivateKey, alg: str) -> None:
        super().__init__()
        self.key, self.alg = key, alg
        self.log: list[Received] = []
        self.uses: Counter[str] = Counter()
        self.issued: list[str] = []
        self.refresh_tokens: list[str] = []
        self.next_refresh_tokens: list[str] = []
        self.offline = True
        self.rotates = True
        self.expires_in: int | None = 600
        self.id_token: Callable[[Claims], str | None] = lambda claims: signed(claims, self.key, self.alg)
        self.renews_id_token = False
        self.subject = SUBJECT
        self.changes: Claims = {}
        self.userinfo: Claims | str = {"sub": SUBJECT, "email": "riley@example.com"}
        self.callback: Callable[[dict[str, str]], dict[str, str]] = dict
        self.failures: list[tuple[int, bytes]] = []
        self.revocation: tuple[int, bytes] = (200, b"")
        self.revocations: dict[str, tuple[int, bytes]] = {}
        self.pushing: tuple[int, bytes] | None = None
        self.reason: str | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._changed = threading.Condition()
        self._codes: dict[str, dict[str, str]] = {}
        self._pushed: dict[str, dict[str, str]] = {}
        self._dead: set[str] = set()
        self.issuer = self.origin
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/me",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "end_session_endpoint": f"{self.issuer}/end",
            "pushed_authorization_request_endpoint": f"{self.issuer}/par",
            "id_token_signing_alg_values_supported": [alg],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
        }
        self.jwks = {"keys": [{**key.public.jwk(), "use": "sig"}]}

    def forms(self, grant_type: str) -> list[dict[str, str]]:
        """The token requests of a kind."""
        return [each.values for each in self.log if each.values.get("grant_type") == grant_type]

    def asked(self, path: str) -> list[Received]:
        """What came to a path."""
        return [each for each in self.log if each.path == path]

    def wait_for(self, path: str, requests: int) -> None:
        """Wait until so many requests have come to a path."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked(path)) >= requests, timeout=60)

    def wait_for_failures(self) -> None:
        """Wait until all of them were used."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self.failures, timeout=60)

    def forgive(self) -> None:
        """Take each refresh token once more, as a server does that knows a lost answer by its being asked again."""
        self._dead.clear()

    def answer(self, request: Request) -> Says:
        headers = dict(request.headers)
        if request.method == "GET":
            status, body, more = self._answer_get(request.path, headers)
        else:
            form = {name: values[-1] for name, values in request.form.items() if values[-1]}
            status, body, more = self._answer_post(request.path, form, headers)
        return Says(status, body, {"content-type": "application/json", **more}, reason=self.reason)

    def _keep(self, path: str, values: dict[str, str], headers: Mapping[str, str]) -> None:
        with self._changed:
            self.log.append(Received(path, values, headers))
            self._changed.notify_all()

    def _answer_get(self, target: str, headers: Mapping[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
        path, _, query = target.partition("?")
        values = {name: each[-1] for name, each in parse_qs(query, keep_blank_values=True).items()}
        self._keep(path, values, headers)
        match path:
            case "/.well-known/openid-configuration":
                return 200, json.dumps(self.metadata).encode(), {}
            case "/jwks":
                return 200, json.dumps(self.jwks).encode(), {}
            case "/auth":
                request = self._pushed.get(values.get("request_uri", ""), values)
                code = secrets.token_urlsafe(24)
                self._codes[code] = request
                answer = self.callback({"code": code, "state": request["state"], "iss": self.issuer})
                return 302, b"", {"location": f"{request['redirect_uri']}?{urlencode(answer)}"}
            case "/me":
                if headers.get("authorization") != f"Bearer {self.issued[-1]}":
                    return 401, b'{"error": "invalid_token"}', {}
                if isinstance(self.userinfo, str):
                    return 200, self.userinfo.encode(), {"content-type": "application/jwt"}
                return 200, json.dumps(self.userinfo).encode(), {}
            case "/refuses":
                return 401, b'{"error": "invalid_token"}', {}
            case "/end":
                uri, state = values.get("post_logout_redirect_uri"), values.get("state", "")
                return (302, b"", {"location": f"{uri}?{urlencode({'state': state})}"}) if uri else (200, b"{}", {})
        return 404, b"{}", {}

    def _answer_post(
        self, path: str, form: dict[str, str], headers: Mapping[str, str]
    ) -> tuple[int, bytes, Mapping[str, str]]:
        if "refresh_token" in form:
            with self._changed:
                self.uses[form["refresh_token"]] += 1
        self._keep(path, form, headers)
        if path == "/revoke":
            return *self.revocations.get(form.get("token_type_hint", ""), self.revocation), {}
        if path == "/par" and self.pushing is not None:
            return *self.pushing, {}
        if path == "/par":
            uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_hex(8)}"
            self._pushed[uri] = form
            return 201, json.dumps({"request_uri": uri, "expires_in": 60}).encode(), {}
        self.gate.wait(60)
        if self.failures:
            with self._changed:
                status, body = self.failures.pop(0)
                self._changed.notify_all()
            return status, body, {}
        status, members = self._redeem(form) if "code" in form else self._renew(form)
        return status, json.dumps(members).encode(), {}

    def _redeem(self, form: dict[str, str]) -> tuple[int, Claims]:
        request = self._codes.pop(form["code"], None)
        verifier = form.get("code_verifier", "")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        if (
            request is None
            or request["code_challenge"] != challenge
            or request["code_challenge_method"] != "S256"
            or request["redirect_uri"] != form["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant", "error_description": "grant request is invalid"}
        return 200, self._grant(request["nonce"], request["scope"], with_id_token=True)

    def _renew(self, form: dict[str, str]) -> tuple[int, Claims]:
        if form.get("grant_type") != "refresh_token":
            return 400, {"error": "unauthorized_client"}
        token = form["refresh_token"]
        if token not in self.refresh_tokens or token in self._dead:
            return 400, {"error": "invalid_grant", "error_description": "grant request is invalid"}
        if self.rotates:
            self._dead.add(token)
        return 200, self._grant(None, None, with_id_token=self.renews_id_token)

    def _grant(self, nonce: str | None, scope: str | None, *, with_id_token: bool) -> Claims:
        access_token = f"access-{secrets.token_urlsafe(24)}"
        self.issued.append(access_token)
        granted: Claims = {"access_token": access_token, "token_type": "Bearer"}
        if self.expires_in is not None:
            granted["expires_in"] = self.expires_in
        if scope is not None:
            granted["scope"] = scope
        if self.offline and (nonce is not None or self.rotates):
            chosen = self.next_refresh_tokens.pop(0) if self.next_refresh_tokens else None
            self.refresh_tokens.append(chosen or f"refresh-{secrets.token_urlsafe(24)}")
            granted["refresh_token"] = self.refresh_tokens[-1]
        if with_id_token:
            now = int(time.time())
            claims = {
                "iss": self.issuer,
                "sub": self.subject,
                "aud": CLIENT_ID,
                "exp": now + 3600,
                "iat": now,
                "auth_time": now,
                "at_hash": at_hash(access_token),
                "name": "Riley Doe",
                **({} if nonce is None else {"nonce": nonce}),
            }
            compact = self.id_token(claims)
            if compact is not None:
                granted["id_token"] = compact
        return granted | self.changes

    def __exit__(self, *exception: object) -> None:
        self.gate.set()
        super().__exit__(*exception)
