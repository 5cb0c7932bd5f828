"""The token endpoint and what belongs to it, served on loopback.

Read from the bottom up for the outside view: `Sandbox` binds a port, `create_app` makes the Flask application, the
classes above it are Authlib's authorization server with the vendor's rules put in.
"""

from __future__ import annotations

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
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from flask import Flask, Response, g, jsonify, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from banno_creds.config import ALGORITHMS
from banno_creds.errors import ConfigurationError
from banno_creds.rules.shown import shown
from banno_creds.sandbox.authorization_request import PROMPTS, SIGN_IN_SCOPES
from banno_creds.sandbox.authorizations import Authorizations
from banno_creds.sandbox.back_channel import push, revoke, userinfo
from banno_creds.sandbox.client_authentication import ClientAuthentication
from banno_creds.sandbox.clients import Client, RegisteredClient
from banno_creds.sandbox.faults import FAULT_HEADER, FAULTS, Faults
from banno_creds.sandbox.grants import (
    AUTHENTICATION,
    AnyOtherGrant,
    AuthorizationCode,
    ClientCredentials,
    RefreshTokens,
)
from banno_creds.sandbox.refusals import described
from banno_creds.sandbox.request_at_hand import Clock, Log, now, say
from banno_creds.sandbox.request_at_hand import faults as faults_at_hand
from banno_creds.sandbox.sign_in import SignIn
from banno_creds.sandbox.tokens import SigningKeys, Tokens
from banno_creds.sandbox.users import DEFAULT_USERS, INSTITUTION_CLAIM, SCOPE_CLAIMS, User

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

ISSUER_PATH: Final = "/a/oidc-provider/api/v0"
TOKEN_LIFETIME: Final = 600

_HOST: Final = "127.0.0.1"
# Far more than a token request needs; an upper bound on what one request may cost.
_MOST_BODY_BYTES: Final = 128 * 1024
_SOCKET_TIMEOUT: Final = 30
_BACKLOG: Final = 128

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


class _AuthorizationServer(FlaskAuthorizationServer):  # type: ignore[misc]  # Authlib carries no types
    """Authlib's authorization server for Flask, with the sandbox's clients, tokens and log."""

    def __init__(
        self,
        clients: Mapping[str, RegisteredClient],
        *,
        issuer: str,
        authentication: ClientAuthentication,
        authorizations: Authorizations,
        tokens: Tokens,
        explain: bool,
    ) -> None:
        super().__init__(query_client=clients.get)
        self._token_endpoint = f"{issuer}/token"
        self._explain = explain
        self.authorizations = authorizations
        self.tokens = tokens
        self.register_client_auth_method(AUTHENTICATION, authentication)
        for grant in (ClientCredentials, AuthorizationCode, RefreshTokens, AnyOtherGrant):
            self.register_grant(grant)

    def create_oauth2_request(self, _request: object) -> OAuth2Request:
        """Wrap Flask's request for Authlib.

        The URI is the configured one, whichever of its names the Host header says.
        """
        token_request = OAuth2Request(request.method, self._token_endpoint, headers=request.headers)
        token_request.payload = _Form(parameters_of_the_body())
        return token_request

    def handle_error_response(self, token_request: OAuth2Request | None, error: OAuth2Error) -> Response:
        """Tell the operator which rule was broken, and the client no more than the vendor tells, unless asked to."""
        say(error.log_line)
        if self._explain:
            error.description = error.explanation
        response: Response = super().handle_error_response(token_request, error)
        return response


def parameters_of_the_body() -> MultiDict[str, str]:
    """The parameters of the request at hand; without a value they count as left out (RFC 6749 section 3.2)."""
    form_encoded = request.mimetype == "application/x-www-form-urlencoded"
    sent = request.form.items(multi=True) if form_encoded else ()
    return MultiDict([(name, value) for name, value in sent if value])


class _FaultsOnDemand:
    """The faults that were asked for at start, and those that a request asks for itself."""

    def __init__(self, faults: Faults, *, once: bool) -> None:
        self._faults = faults
        self._once = once
        self._lock = threading.Lock()

    def of(self, header: str, *, token_request: bool, login: bool = False) -> Faults:
        """Find what shall go wrong with a request.

        Args:
            header: the request's header ``Sandbox-Fault``; it is honoured always.
            token_request: whether it asks for a token.
            login: whether it belongs to a login, before there is a token to ask for.

        Returns:
            The faults.

        Raises:
            ConfigurationError: the header cannot be meant.
        """
        texts = [text for text in header.split(",") if text.strip()]
        own = Faults.read(texts, f"the header {FAULT_HEADER}")
        at_start = self._at_start(token_request=token_request, login=login)
        return own.over(at_start).met_by(token_request=token_request, login=login)

    def met(self, name: str) -> None:
        """Forget a fault that only now was met, if it shall be met once."""
        if self._once:
            with self._lock:
                self._faults = self._faults.without(name)

    def _at_start(self, *, token_request: bool, login: bool) -> Faults:
        if not self._once:
            return self._faults
        if login:  # a login has many requests; the one that meets it says so
            return Faults({name: value for name, value in self._faults.asked.items() if FAULTS[name].callback})
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
    users: Iterable[User] = DEFAULT_USERS,
    require_pushed_authorization_requests: bool = False,
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
        users: who may sign in.
        require_pushed_authorization_requests: whether every client must push them (RFC 9126 section 5).
        clock: gives the time in seconds since 1970.
        sleep: waits for so many seconds; for the fault ``slow``.
        log: takes one line for each thing the operator should know; no line holds a token, a code, a password or an
            assertion.

    Returns:
        The application.

    Raises:
        ConfigurationError: a client cannot be registered, or a client ID is registered twice.
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
    authentication = ClientAuthentication(registered, (f"{issuer}/token", issuer))
    authorizations = Authorizations(token_lifetime)
    keys = SigningKeys(entry.client.id_token_signed_response_alg for entry in registered.values())
    users = list(users)
    server = _AuthorizationServer(
        registered,
        issuer=issuer,
        authentication=authentication,
        authorizations=authorizations,
        tokens=Tokens(issuer, token_lifetime, keys),
        explain=explain,
    )
    sign_in = SignIn(
        registered,
        users,
        issuer,
        authorizations,
        keys,
        require_pushed=require_pushed_authorization_requests,
        explain=explain,
        met=on_demand.met,
    )
    own_scopes = [scope for entry in registered.values() for scope in entry.client.scopes]
    scopes = list(dict.fromkeys([*SIGN_IN_SCOPES, *own_scopes]))
    claims = ["sub", *(name for names in SCOPE_CLAIMS.values() for name in names), INSTITUTION_CLAIM]
    more_claims = [name for user in users for name in user.claims]
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
        g.log = log

    @app.before_request
    def refuse_other_hosts() -> Response | None:
        # A web page whose host name is made to mean 127.0.0.1 (DNS rebinding) sends that name.
        if request.host.lower() in hosts:
            return None
        say(f"answered 421 to the Host {shown(request.host)}; this server is {' or '.join(hosts)}")
        response = jsonify(error="invalid_request", error_description="misdirected request")
        response.status_code = 421
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.before_request
    def meet_faults() -> Response | None:
        token_request = request.endpoint == "token" and request.method == "POST"
        try:
            g.faults = on_demand.of(
                request.headers.get(FAULT_HEADER, ""),
                token_request=token_request,
                login=request.endpoint == "authorize",
            )
        except ConfigurationError as failure:
            fault = f"{FAULT_HEADER}: {failure.message}; {failure.hint}"
            say(f"answered 400 to the header {fault}")
            response = jsonify(error="invalid_request", error_description=described(fault))
            response.status_code = 400
            response.headers["Cache-Control"] = "no-store"
            return response
        g.clock = lambda: clock() + faults_at_hand().clock_skew
        if not g.faults:
            return None
        say(f"fault {g.faults}, asked for by {g.faults.by}")
        # Werkzeug waits for what was not read, and a client whose answer breaks off would wait for the rest of that.
        request.get_data()
        if g.faults.slow:
            sleep(g.faults.slow)
        return faults_at_hand().answer(explain=explain)

    @app.after_request
    def send_name_and_time(response: Response) -> Response:
        response.headers["x-request-id"] = g.request_id
        response.date = datetime.fromtimestamp(now(), UTC)
        return response

    @app.errorhandler(HTTPException)
    def answer_in_json(error: HTTPException) -> BaseResponse:
        say(f"answered {error.code} to {request.method} {shown(request.path)}")
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
            authorization_endpoint=f"{issuer}/auth",
            token_endpoint=f"{issuer}/token",
            userinfo_endpoint=f"{issuer}/me",
            jwks_uri=f"{issuer}/jwks",
            revocation_endpoint=f"{issuer}/token/revocation",
            end_session_endpoint=f"{issuer}/session/end",
            pushed_authorization_request_endpoint=f"{issuer}/request",
            require_pushed_authorization_requests=require_pushed_authorization_requests,
            grant_types_supported=["client_credentials", "authorization_code", "refresh_token"],
            response_types_supported=["code"],
            response_modes_supported=["query"],
            code_challenge_methods_supported=["S256"],
            prompt_values_supported=list(PROMPTS),
            authorization_response_iss_parameter_supported=True,
            token_endpoint_auth_methods_supported=list(authentication.methods),
            token_endpoint_auth_signing_alg_values_supported=list(ALGORITHMS),
            revocation_endpoint_auth_methods_supported=list(authentication.methods),
            revocation_endpoint_auth_signing_alg_values_supported=list(ALGORITHMS),
            scopes_supported=scopes,
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=list(keys.algorithms),
            claims_supported=list(dict.fromkeys([*claims, *more_claims])),
            claims_parameter_supported=True,
            request_parameter_supported=False,
            request_uri_parameter_supported=False,
        )

    @app.get(f"{path}/jwks")
    def jwks() -> Response:
        return jsonify(keys.jwks())

    @app.route(f"{path}/auth", methods=["GET", "POST"])
    def authorize() -> Response:
        return sign_in.authorize()

    @app.route(f"{path}/session/end", methods=["GET", "POST"])
    def end_session() -> Response:
        return sign_in.end_session()

    @app.route(f"{path}/me", methods=["GET", "POST"])
    def me() -> Response:
        return userinfo(authorizations)

    @app.post(f"{path}/token/revocation")
    def revocation() -> Response:
        sent = parameters_of_the_body()
        client = authentication.authenticate(sent, request.headers, endpoint=f"{issuer}/token/revocation")
        return revoke(sent, client, authorizations)

    @app.post(f"{path}/request")
    def pushed_authorization_request() -> Response:
        sent = parameters_of_the_body()
        client = authentication.authenticate(sent, request.headers, endpoint=f"{issuer}/request")
        return push(sent, client, sign_in)

    @app.get("/favicon.ico")
    def favicon() -> Response:
        # Every browser asks for it, and the log shall not tell of it.
        return Response("", 204)

    @app.errorhandler(OAuth2Error)
    def refuse(error: OAuth2Error) -> Response:
        response = server.handle_error_response(None, error)
        if request.endpoint == "me" and error.status_code != 400:
            response.headers["WWW-Authenticate"] = f'Bearer error="{error.error}"'  # RFC 6750 section 3
        return response

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
        users: who may sign in.
        require_pushed_authorization_requests: whether every client must push them (RFC 9126 section 5).
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
        users: Iterable[User] = DEFAULT_USERS,
        require_pushed_authorization_requests: bool = False,
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
                users=users,
                require_pushed_authorization_requests=require_pushed_authorization_requests,
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
