"""The Flask application: what every request passes through, and which endpoint answers it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from banno_creds.errors import ConfigurationError
from banno_creds.rules.shown import shown
from banno_creds.sandbox.authorization_endpoint import AuthorizationEndpoint
from banno_creds.sandbox.back_channel import discovery, pushed_authorization_request, revocation, userinfo
from banno_creds.sandbox.browsers import Browsers
from banno_creds.sandbox.end_session import EndSessionEndpoint
from banno_creds.sandbox.exchange import faults, in_json, now, say
from banno_creds.sandbox.faults import FAULT_HEADER, NO_FAULTS
from banno_creds.sandbox.home import home
from banno_creds.sandbox.pages import message
from banno_creds.sandbox.refusals import described
from banno_creds.sandbox.settings import Settings, State, register
from banno_creds.sandbox.token_endpoint import AuthorizationServer
from banno_creds.sandbox.user_search import USER_SEARCH_PATH, user_search

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.wrappers import Response as BaseResponse

    from banno_creds.sandbox.clients import Client

# An upper bound on the cost of one request; a token request needs far less.
_MOST_BODY_BYTES: Final = 128 * 1024


def create_app(clients: Iterable[Client], issuer: str, settings: Settings) -> Flask:
    """Make the authorization server as a Flask application; the issuer is a URL without a slash at its end."""
    return app_of(State.new(register(clients), issuer, settings))


def app_of(state: State) -> Flask:
    """Make the application of a state."""
    # No static folder, and no redirect from `//token` to `/token`: a token endpoint never redirects.
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BODY_BYTES
    app.extensions["sandbox"] = state
    server = AuthorizationServer(state)
    _pass_every_request_through(app, state)
    _route(app, state, server)
    _handle_errors(app, server)
    return app


def _pass_every_request_through(app: Flask, state: State) -> None:
    settings = state.settings
    address = urlsplit(state.issuer)
    # Werkzeug leaves out the default port of HTTP.
    hosts = [host.removesuffix(":80") for host in (address.netloc, f"localhost:{address.port or 80}")]

    @app.before_request
    def name_the_request() -> None:
        g.request_id = uuid.uuid4().hex
        g.faults = NO_FAULTS
        g.clock = settings.clock
        g.log = settings.log

    @app.before_request
    def refuse_other_hosts() -> Response | None:
        # With DNS rebinding, a web page makes its own host name mean 127.0.0.1; the browser then sends that name.
        if request.host.lower() in hosts:
            return None
        say(f"answered 421 to the Host {shown(request.host)}; this server is {' or '.join(hosts)}")
        return in_json({"error": "invalid_request", "error_description": "misdirected request"}, 421)

    @app.before_request
    def apply_faults() -> Response | None:
        where = "" if request.endpoint == "token" and request.method != "POST" else request.endpoint or ""
        header = request.headers.get(FAULT_HEADER, "")
        try:
            g.faults = state.faults.of(header, where)
        except ConfigurationError as failure:
            fault = f"{FAULT_HEADER}: {failure.message}; {failure.hint}"
            say(f"answered 400 to the header {fault}")
            return in_json({"error": "invalid_request", "error_description": described(fault)}, 400)
        g.clock = lambda: settings.clock() + faults().clock_skew
        if not g.faults:
            return None
        say(f"fault {g.faults}, asked for by {g.faults.by}")
        # The body must be read: Werkzeug waits for the unread rest, and delays the end of a broken-off answer.
        request.get_data()
        if g.faults.slow:
            settings.sleep(g.faults.slow)
        return faults().answer(explain=settings.explain)

    @app.after_request
    def send_name_and_time(response: Response) -> Response:
        response.headers["x-request-id"] = g.request_id
        response.date = datetime.fromtimestamp(now(), UTC)
        return response


def _route(app: Flask, state: State, server: AuthorizationServer) -> None:
    path = urlsplit(state.issuer).path
    browsers = Browsers(state.issuer)
    authorization, end_session = AuthorizationEndpoint(state, browsers), EndSessionEndpoint(state, browsers)
    browser = ["GET", "POST"]
    for rule, name, methods, view in (
        (f"{path}/.well-known/openid-configuration", "discovery", ["GET"], lambda: discovery(state)),
        ("/.well-known/openid-configuration", "discovery", ["GET"], None),
        (f"{path}/jwks", "jwks", ["GET"], lambda: jsonify(state.keys.jwks())),
        (f"{path}/token", "token", ["POST"], server.create_token_response),
        (f"{path}/auth", "authorize", browser, authorization.answer),
        (f"{path}/session/end", "end_session", browser, end_session.answer),
        (f"{path}/me", "me", browser, lambda: userinfo(state)),
        (f"{path}/token/revocation", "revocation", ["POST"], lambda: revocation(state)),
        (
            f"{path}/request",
            "pushed_authorization_request",
            ["POST"],
            lambda: pushed_authorization_request(state, authorization),
        ),
        (
            USER_SEARCH_PATH.replace("{institutionId}", "<institution_id>"),
            "user_search",
            ["GET"],
            lambda institution_id: user_search(state, institution_id),
        ),
        ("/", "home", ["GET"], lambda: home(state)),
        # Every browser asks for this; without an endpoint each time would be logged as a 404.
        ("/favicon.ico", "favicon", ["GET"], lambda: Response("", 204)),
    ):
        app.add_url_rule(rule, name, view, methods=methods)


def _handle_errors(app: Flask, server: AuthorizationServer) -> None:
    @app.errorhandler(OAuth2Error)
    def refuse(error: OAuth2Error) -> Response:
        response = server.handle_error_response(None, error)
        if request.endpoint in ("me", "user_search") and error.status_code != 400:
            # RFC 6750 section 3.1: no error for a request that has no token.
            named = f' error="{error.error}"' if request.headers.get("Authorization") else ""
            response.headers["WWW-Authenticate"] = f"Bearer{named}"
        return response

    @app.errorhandler(HTTPException)
    def answer_in_json(error: HTTPException) -> BaseResponse:
        say(f"answered {error.code} to {request.method} {shown(request.path)}")
        wanted = request.accept_mimetypes.best_match(["application/json", "text/html"])
        if error.code == 404 and wanted == "text/html":  # a browser; everything else gets JSON
            return message("Nothing is here", "The sandbox has no such page.", status=404, home="See what it has")
        # The exception's own response has headers that matter, such as Allow.
        response = error.get_response()
        code = "server_error" if error.code == 500 else "invalid_request"
        response.data = jsonify(error=code, error_description=error.name.lower()).data
        response.mimetype = "application/json"
        response.headers["Cache-Control"] = "no-store"
        return response
