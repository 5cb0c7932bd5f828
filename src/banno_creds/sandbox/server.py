"""The token endpoint and what belongs to it, served on loopback.

Read from the bottom up for the outside view: `Sandbox` binds a port, `create_app` makes the Flask application, the
classes above it are Authlib's authorization server with the vendor's rules put in.
"""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer as FlaskAuthorizationServer
from authlib.oauth2.rfc6749 import ClientCredentialsGrant, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.grants import BaseGrant, TokenEndpointMixin
from flask import Flask, Response, g, jsonify, request
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from banno_creds.config import ALGORITHMS
from banno_creds.errors import ConfigurationError
from banno_creds.findings import Finding, Rule, Verdict, shown
from banno_creds.presented import ClientAssertion
from banno_creds.rules import (
    CLOCK_TOLERANCE,
    Known,
    judge,
    judge_authentication,
    judge_client_parameters,
    judge_form,
    judge_grant_type,
)
from banno_creds.sandbox.clients import Client, RegisteredClient
from banno_creds.sandbox.faults import FAULT_HEADER, Faults
from banno_creds.sandbox.refusals import RefusalError, described, log_line
from banno_creds.sandbox.used_jtis import UsedJtis

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

ISSUER_PATH: Final = "/a/oidc-provider/api/v0"
TOKEN_LIFETIME: Final = 600
DEFAULT_SCOPE: Final = "openid"

_HOST: Final = "127.0.0.1"
_AUTHENTICATION_PARAMETERS: Final = ("client_id", "client_assertion", "client_assertion_type", "client_secret")
_GRANT_PARAMETERS: Final = ("grant_type", "scope")
# Far more than a token request needs; an upper bound on what one request may cost.
_MOST_BODY_BYTES: Final = 128 * 1024
_SOCKET_TIMEOUT: Final = 30
_BACKLOG: Final = 128

Clock = Callable[[], float]
Log = Callable[[str], None]
Sleep = Callable[[float], object]


def _log_to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")


class _Form(OAuth2Payload):  # type: ignore[misc]  # Authlib carries no types
    """The parameters of a token request: those of the body alone, as RFC 6749 section 3.2 has it.

    Authlib's own for Flask also takes what stands in the URL, where secrets end up in logs.
    """

    def __init__(self, parameters: MultiDict[str, str]) -> None:
        self._parameters = parameters

    @property
    def data(self) -> MultiDict[str, str]:
        return self._parameters


class _AccessTokens:
    """What signs access tokens: a key of the sandbox's own, made at start and never written anywhere."""

    def __init__(self, issuer: str, lifetime: int) -> None:
        self.lifetime = lifetime
        self._issuer = issuer
        self._key = _fresh_key()
        self._others: dict[str, RSAKey] = {}
        self._lock = threading.Lock()

    def issue(self, client: Client, scope: str, audience: str | list[str]) -> str:
        """Sign an access token with the vendor's claims.

        Args:
            client: whom it is for.
            scope: the granted scope.
            audience: the ``aud`` claim.

        Returns:
            The JWT.
        """
        now = _now()
        claims = {
            "authType": "e",
            "v": "0",
            "clientName": client.name,
            "institutionId": client.institution_id,
            "accountId": client.account_id,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + self.lifetime,
            "scope": scope,
            "iss": self._issuer,
            "aud": audience,
        }
        key = self._other("not published yet") if "expired-jwks" in _faults() else self._key
        # Not "at+jwt": that type promises RFC 9068, whose sub and client_id the vendor's tokens do not have.
        header = {"alg": "RS256", "typ": "JWT", "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=["RS256"])

    def jwks(self) -> dict[str, Any]:
        """Give the JWK Set that verifies the tokens (RFC 7517 section 5)."""
        key = self._other("no longer used") if "expired-jwks" in _faults() else self._key
        return {"keys": [key.as_dict(private=False, use="sig", alg="RS256")]}

    def _other(self, name: str) -> RSAKey:
        """A key that comes before or after a rotation, made when it is first wanted."""
        with self._lock:
            if name not in self._others:
                self._others[name] = _fresh_key()
            return self._others[name]


def _fresh_key() -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=True)


class _PrivateKeyJwt:
    """Client authentication with a signed JWT (RFC 7523 section 2.2), in the shape Authlib calls it."""

    METHOD: Final = "private_key_jwt"

    def __init__(self, audiences: tuple[str, ...]) -> None:
        self._audiences = audiences
        self._used_jtis = UsedJtis()

    def __call__(
        self, query_client: Callable[[str], RegisteredClient | None], token_request: Any
    ) -> RegisteredClient:
        """Authenticate the client of a token request.

        Args:
            query_client: finds a client by its client ID.
            token_request: the request.

        Returns:
            The client.

        Raises:
            RefusalError: the first rule it breaks.
        """
        parameters: MultiDict[str, str] = token_request.payload.data
        _reject_repeated(parameters, _AUTHENTICATION_PARAMETERS)
        compact = parameters.get("client_assertion")
        if compact is None:
            raise RefusalError(
                Rule.CLIENT_ASSERTION_MISSING,
                received=_what_came_instead(parameters, token_request.headers),
                expected="client_assertion and client_assertion_type, form-encoded in the body",
            )
        sent = parameters.to_dict(flat=False)
        authenticating = {name: values for name, values in sent.items() if name in _AUTHENTICATION_PARAMETERS}
        _refuse_the_first(
            judge_authentication(authenticating, authorization="Authorization" in token_request.headers)
        )
        assertion = ClientAssertion.read(compact)
        _refuse_the_first(judge_form(assertion))
        sub: str = assertion.claims["sub"]
        _refuse_the_first(judge_client_parameters(sent, sub))
        client = query_client(sub)
        if client is None:
            raise RefusalError(
                Rule.CLIENT_UNKNOWN, received=f'"sub" {shown(sub)}', expected="the client ID of a registered client"
            )
        known = Known(
            now=_now(),
            client_id=client.client.client_id,
            audiences=self._audiences,
            keys=client.keys,
            use_jti=self._use_jti,
        )
        _refuse_the_first(judge(assertion, known))
        return client

    def _use_jti(self, claims: Mapping[str, Any]) -> bool:
        # By the clock that no fault has moved: it must go one way only.
        skew = _faults().clock_skew
        until = claims["exp"] + CLOCK_TOLERANCE - skew
        return self._used_jtis.use(claims["iss"], claims["jti"], until=until, now=_now() - skew)


def _refuse_the_first(findings: Iterable[Finding]) -> None:
    """Refuse for the first rule that is broken; what comes after it is not even judged."""
    for finding in findings:
        if finding.verdict is Verdict.FAIL:
            raise RefusalError(
                Rule(finding.rule), received=finding.received, expected=finding.expected, fix=finding.fix
            )


def _now() -> int:
    """The server's time as the request at hand finds it, in whole seconds."""
    now: float = g.clock()
    return int(now)


def _faults() -> Faults:
    """What shall go wrong with the request at hand."""
    faults: Faults = g.faults
    return faults


def _reject_repeated(parameters: MultiDict[str, str], names: Iterable[str]) -> None:
    for name in names:
        if len(parameters.getlist(name)) > 1:
            raise RefusalError(
                Rule.PARAMETER_REPEATED,
                received=f"{name} more than once",
                expected="each parameter once (RFC 6749 section 3.2)",
            )


def _what_came_instead(parameters: MultiDict[str, str], headers: Mapping[str, str]) -> str:
    content_type = headers.get("Content-Type", "")
    if not content_type.lower().startswith("application/x-www-form-urlencoded"):
        return f"a body of type {shown(content_type)}, which is not read"
    # Names, never values: what is misspelt may be the secret.
    came = f"the parameters {shown(list(parameters))}" if parameters else "no parameters"
    return f"{came} and an Authorization header" if "Authorization" in headers else came


class _ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]  # Authlib carries no types
    """The client credentials grant (RFC 6749 section 4.4)."""

    TOKEN_ENDPOINT_AUTH_METHODS = (_PrivateKeyJwt.METHOD,)

    def validate_requested_scope(self) -> None:
        """Check what is asked for; Authlib calls this once the client has authenticated.

        Raises:
            RefusalError: a parameter is repeated, or a scope is not one the client was given.
        """
        parameters: MultiDict[str, str] = self.request.payload.data
        _reject_repeated(parameters, _GRANT_PARAMETERS)
        # RFC 6749 section 3.3: without the parameter, a pre-defined default value.
        requested = parameters.get("scope", "").split() or [DEFAULT_SCOPE]
        allowed = self.client.client.scopes
        if refused := [scope for scope in requested if scope not in allowed]:
            raise RefusalError(
                Rule.SCOPE_NOT_ALLOWED,
                received=f"scope {shown(refused)}",
                expected=f"some of {shown(list(allowed))}",
            )
        self.request.scope = " ".join(dict.fromkeys(requested))

    def create_token_response(self) -> tuple[int, dict[str, object], list[tuple[str, str]]]:
        """Answer with an access token (RFC 6749 section 5.1).

        Authlib's own writes the whole token to its debug log.

        Returns:
            Status, body and headers.

        Raises:
            RefusalError: a ``resource`` is not what RFC 8707 takes for one.
        """
        server: _AuthorizationServer = self.server
        client: Client = self.client.client
        scope: str = self.request.scope
        audience = _audience(self.request.payload.data.getlist("resource")) or client.client_id
        token = server.access_tokens.issue(client, scope, audience)
        server.say(f"issued an access token to {shown(client.client_id)}, scope {shown(scope)}")
        body: dict[str, object] = {
            "access_token": secrets.token_urlsafe(32) if "opaque-token" in _faults() else token,
            "expires_in": server.access_tokens.lifetime,
            "token_type": "Bearer",
            "scope": scope,
        }
        if "no-expires-in" in _faults():
            del body["expires_in"]
        return 200, body, self.TOKEN_RESPONSE_HEADER


def _audience(resources: list[str]) -> str | list[str] | None:
    """Turn ``resource`` parameters, of which there may be several, into ``aud`` (RFC 8707 section 2)."""
    for resource in resources:
        try:
            absolute = bool(urlsplit(resource).scheme)
        except ValueError:
            absolute = False
        if not absolute or "#" in resource:
            raise RefusalError(
                Rule.RESOURCE_MALFORMED,
                received=f"resource {shown(resource)}",
                expected="an absolute URI without a fragment (RFC 8707 section 2)",
            )
    distinct = list(dict.fromkeys(resources))
    return distinct[0] if len(distinct) == 1 else distinct or None


class _AnyOtherGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # Authlib carries no types
    """Whatever grant is not served: registered last, it takes every request that is left.

    Authlib would refuse an unknown grant before it looks at the client; the vendor's server authenticates first.
    """

    TOKEN_ENDPOINT_AUTH_METHODS = (_PrivateKeyJwt.METHOD,)

    @classmethod
    def check_token_endpoint(cls, _request: OAuth2Request) -> bool:
        """Take any request."""
        return True

    def validate_token_request(self) -> None:
        """Authenticate the client, then refuse.

        Raises:
            RefusalError: always.
        """
        self.authenticate_token_endpoint_client()
        _refuse_the_first(judge_grant_type(self.request.payload.data.to_dict(flat=False)))


class _AuthorizationServer(FlaskAuthorizationServer):  # type: ignore[misc]  # Authlib carries no types
    """Authlib's authorization server for Flask, with the sandbox's clients, tokens and log."""

    def __init__(
        self,
        clients: Mapping[str, RegisteredClient],
        *,
        issuer: str,
        access_tokens: _AccessTokens,
        log: Log,
        explain: bool,
    ) -> None:
        super().__init__(query_client=clients.get)
        self._token_endpoint = f"{issuer}/token"
        self._log = log
        self._explain = explain
        self.access_tokens = access_tokens
        self.register_client_auth_method(_PrivateKeyJwt.METHOD, _PrivateKeyJwt((self._token_endpoint, issuer)))
        self.register_grant(_ClientCredentials)
        self.register_grant(_AnyOtherGrant)

    def say(self, text: str) -> None:
        """Write a line to the log, with the id of the request at hand."""
        self._log(f"{log_line(text)} (x-request-id {g.request_id})")

    def create_oauth2_request(self, _request: object) -> OAuth2Request:
        """Wrap Flask's request for Authlib.

        The URI is the configured one, whichever of its names the Host header says.
        """
        token_request = OAuth2Request(request.method, self._token_endpoint, headers=request.headers)
        form_encoded = request.mimetype == "application/x-www-form-urlencoded"
        sent = request.form.items(multi=True) if form_encoded else ()
        # RFC 6749 section 3.2: a parameter without a value counts as left out.
        token_request.payload = _Form(MultiDict([(name, value) for name, value in sent if value]))
        return token_request

    def handle_error_response(self, token_request: OAuth2Request, error: RefusalError) -> Response:
        """Tell the operator which rule was broken, and the client no more than the vendor tells, unless asked to."""
        self.say(f"refused by {error.rule}: {error.sentence}; more: banno-creds explain {error.rule}")
        if self._explain:
            error.description = error.explanation
        response: Response = super().handle_error_response(token_request, error)
        return response


class _FaultsOnDemand:
    """The faults that were asked for at start, and those that a request asks for itself."""

    def __init__(self, faults: Faults, *, once: bool) -> None:
        self._faults = faults
        self._once = once
        self._lock = threading.Lock()

    def of(self, header: str, *, token_request: bool) -> Faults:
        """Find what shall go wrong with a request.

        Args:
            header: the request's header ``Sandbox-Fault``; it is honoured always.
            token_request: whether it asks for a token.

        Returns:
            The faults.

        Raises:
            ConfigurationError: the header cannot be meant.
        """
        texts = [text for text in header.split(",") if text.strip()]
        own = Faults.read(texts, f"the header {FAULT_HEADER}")
        return own.over(self._at_start(token_request=token_request)).met_by(token_request=token_request)

    def _at_start(self, *, token_request: bool) -> Faults:
        if not self._once:
            return self._faults
        if not token_request:
            return Faults()
        with self._lock:
            met, self._faults = self._faults, Faults()
        return met


def create_app(
    clients: Iterable[Client],
    issuer: str,
    *,
    faults: Faults | None = None,
    once: bool = False,
    explain: bool = False,
    token_lifetime: int = TOKEN_LIFETIME,
    clock: Clock = time.time,
    sleep: Sleep = time.sleep,
    log: Log = _log_to_stderr,
) -> Flask:
    """Make the authorization server as a Flask application.

    Args:
        clients: the registered clients.
        issuer: the issuer identifier: a URL without a slash at its end, under whose path the endpoints stand.
        faults: what shall go wrong.
        once: whether it goes wrong with the first token request alone.
        explain: whether the client is told which rule it broke, as the log is.
        token_lifetime: how long an access token lives, in seconds.
        clock: gives the time in seconds since 1970.
        sleep: waits for so many seconds; for the fault ``slow``.
        log: takes one line for each thing the operator should know; no line holds a token or an assertion.

    Returns:
        The application.

    Raises:
        ConfigurationError: a client's public key cannot be used, or a client ID is registered twice.
    """
    registered: dict[str, RegisteredClient] = {}
    for client in clients:
        if client.client_id in registered:
            raise ConfigurationError(
                f"the client {client.client_id} is registered twice",
                hint="give each client a client ID of its own",
            )
        registered[client.client_id] = RegisteredClient.register(client)
    on_demand = _FaultsOnDemand(faults or Faults(), once=once)
    server = _AuthorizationServer(
        registered, issuer=issuer, access_tokens=_AccessTokens(issuer, token_lifetime), log=log, explain=explain
    )
    scopes = list(dict.fromkeys(scope for entry in registered.values() for scope in entry.client.scopes))
    address = urlsplit(issuer)
    path = address.path
    # As Werkzeug says it: without the port that HTTP has anyway.
    hosts = [host.removesuffix(":80") for host in (address.netloc, f"localhost:{address.port or 80}")]

    # No static folder, and no redirect from `//token` to `/token`: a token endpoint never redirects.
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES

    @app.before_request
    def name_the_request() -> None:
        g.request_id = uuid.uuid4().hex
        g.faults = Faults()
        g.clock = clock

    @app.before_request
    def refuse_other_hosts() -> Response | None:
        # A web page whose host name is made to mean 127.0.0.1 (DNS rebinding) sends that name.
        if request.host.lower() in hosts:
            return None
        server.say(f"answered 421 to the Host {shown(request.host)}; this server is {' or '.join(hosts)}")
        response = jsonify(error="invalid_request", error_description="misdirected request")
        response.status_code = 421
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.before_request
    def meet_faults() -> Response | None:
        token_request = request.endpoint == "token" and request.method == "POST"
        try:
            g.faults = on_demand.of(request.headers.get(FAULT_HEADER, ""), token_request=token_request)
        except ConfigurationError as failure:
            fault = f"{FAULT_HEADER}: {failure.message}; {failure.hint}"
            server.say(f"answered 400 to the header {fault}")
            response = jsonify(error="invalid_request", error_description=described(fault))
            response.status_code = 400
            response.headers["Cache-Control"] = "no-store"
            return response
        g.clock = lambda: clock() + _faults().clock_skew
        if not g.faults:
            return None
        server.say(f"fault {g.faults}, asked for by {g.faults.by}")
        # Werkzeug waits for what was not read, and a client whose answer breaks off would wait for the rest of that.
        request.get_data()
        if g.faults.slow:
            sleep(g.faults.slow)
        return _faults().answer(explain=explain)

    @app.after_request
    def send_name_and_time(response: Response) -> Response:
        response.headers["x-request-id"] = g.request_id
        response.date = datetime.fromtimestamp(_now(), UTC)
        return response

    @app.errorhandler(HTTPException)
    def answer_in_json(error: HTTPException) -> BaseResponse:
        server.say(f"answered {error.code} to {request.method} {shown(request.path)}")
        # The exception's own response carries headers that matter, such as Allow.
        response = error.get_response()
        code = "server_error" if error.code == 500 else "invalid_request"
        response.data = jsonify(error=code, error_description=error.name.lower()).data
        response.mimetype = "application/json"
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.post(f"{path}/token")
    def token() -> Response:
        response: Response = server.create_token_response()
        return response

    @app.get(f"{path}/.well-known/openid-configuration")
    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return jsonify(
            issuer=issuer,
            token_endpoint=f"{issuer}/token",
            jwks_uri=f"{issuer}/jwks",
            grant_types_supported=["client_credentials"],
            token_endpoint_auth_methods_supported=[_PrivateKeyJwt.METHOD],
            token_endpoint_auth_signing_alg_values_supported=list(ALGORITHMS),
            scopes_supported=scopes,
            # The three that OpenID Connect Discovery section 3 requires, though no user logs in here yet.
            response_types_supported=[],
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=["RS256"],
        )

    @app.get(f"{path}/jwks")
    def jwks() -> Response:
        return jsonify(server.access_tokens.jwks())

    return app


class _QuietRequestHandler(WSGIRequestHandler):
    """Werkzeug's handler, HTTP/1.1, without its access log: the sandbox has a log of its own."""

    protocol_version = "HTTP/1.1"
    # A connection on which nothing is said must not hold its thread for ever.
    timeout = _SOCKET_TIMEOUT

    def send_response(self, code: int, message: str | None = None) -> None:
        """Leave ``Date`` to the application, whose clock need not be the machine's."""
        self.send_response_only(code, message)
        self.send_header("Server", self.version_string())

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name is Werkzeug's
        """Say nothing."""


class Sandbox:
    """The authorization server on a port of the loopback interface.

    The port is bound at once, so that its number is known before anything is served; connections wait until then.
    Call `serve_forever`, or use it as a context manager to have it served by a thread of its own.

    Args:
        clients: the registered clients.
        port: the port; 0 for any that is free.
        faults: what shall go wrong.
        once: whether it goes wrong with the first token request alone.
        explain: whether the client is told which rule it broke, as the log is.
        token_lifetime: how long an access token lives, in seconds.
        clock: gives the time in seconds since 1970.
        log: takes one line for each thing the operator should know.

    Raises:
        ConfigurationError: the port cannot be had, or a client cannot be registered.
    """

    def __init__(
        self,
        clients: Iterable[Client],
        *,
        port: int = 0,
        faults: Faults | None = None,
        once: bool = False,
        explain: bool = False,
        token_lifetime: int = TOKEN_LIFETIME,
        clock: Clock = time.time,
        log: Log = _log_to_stderr,
    ) -> None:
        # Werkzeug, left to bind, prints and exits where the port is taken; so it is given a bound socket.
        with closing(_bind(port)) as listener:
            self.port: int = listener.getsockname()[1]
            self.issuer = f"http://{_HOST}:{self.port}{ISSUER_PATH}"
            self.token_endpoint = f"{self.issuer}/token"
            # What waits for a fault's sake wakes up when the server stops.
            self._stopping = threading.Event()
            self.app = create_app(
                clients,
                self.issuer,
                faults=faults,
                once=once,
                explain=explain,
                token_lifetime=token_lifetime,
                clock=clock,
                sleep=self._stopping.wait,
                log=log,
            )
            self._server = make_server(
                _HOST,
                self.port,
                self.app,
                threaded=True,
                request_handler=_QuietRequestHandler,
                fd=listener.fileno(),  # duplicated by Werkzeug; ours is closed here
            )
        self._serving = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Sandbox(issuer={self.issuer!r})"

    def __enter__(self) -> Self:
        self._serving = True
        self._thread = threading.Thread(target=self.serve_forever, name="sandbox", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def serve_forever(self) -> None:
        """Serve until `shutdown` is called from another thread or the user presses Ctrl-C; then close the port."""
        self._serving = True
        try:
            self._server.serve_forever(poll_interval=0.05)
        finally:
            self._serving = False

    def shutdown(self) -> None:
        """Stop serving and close the port; may be called more than once, but not by a request."""
        self._stopping.set()
        # Waits for a loop to end: one that never began would be waited for without end.
        if self._serving:
            self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join()


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # pragma: no cover - SO_REUSEADDR there lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a port number"
        raise ConfigurationError(
            f"the port {port} on {_HOST} cannot be used: {reason}",
            hint="give --port 0, which takes any that is free",
        ) from error
    return listener
