"""A person's login from top to bottom: the authorization code grant with PKCE (RFC 6749 section 4.1, RFC 7636).

The caller opens the browser: it gets the URL, and returns the parameters that the browser brought back.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from banno_creds.client_authentication.methods import choose, prepare
from banno_creds.errors import BannoCredsError, ConfigurationError, OutputError, TimedOutError, UnusableAnswerError
from banno_creds.http import discovery
from banno_creds.http.client import HttpClient
from banno_creds.login.authorization_request import read_code, with_query
from banno_creds.login.id_token import Expected, verified_claims
from banno_creds.login.provider import HINTS, discover, post, provider_of, warn_of_other_hosts
from banno_creds.login.refresh_token import (
    but_offline,
    forget_in,
    refresh_token_of,
    warn_of_no_refresh_token,
    without_refresh_token,
)
from banno_creds.login.session import Session
from banno_creds.login.steps import AuthorizationRequested, BrowserReturned, LoginKept, RequestPushed
from banno_creds.steps import Run
from banno_creds.storage import own_files
from banno_creds.tokens.endpoint import Grant, send
from banno_creds.tokens.response import announce, without_echoes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.client_authentication.methods import Authentication, Client, Form
    from banno_creds.login.authorization_request import AuthorizationRequest
    from banno_creds.login.session_store import SessionStore
    from banno_creds.tokens.cache import TokenCache
    from banno_creds.tokens.response import TokenResponse

    Ask = Callable[[str], Mapping[str, str]]


def log_in(
    client: Client,
    request: AuthorizationRequest,
    ask: Ask,
    store: SessionStore | None,
    cache: TokenCache | None = None,
    run: Run = Run(),
    *,
    pushes: bool = False,
) -> tuple[Session, TokenResponse]:
    """Sign a person in; return the login, and the whole token response.

    Args:
        client: the client.
        request: the authorization request.
        ask: called with the authorization URL, where a person signs in. It compares the answer's ``state`` (see
            `authorization_request.AuthorizationRequest.is_answered_by`), and returns the answer's parameters.
        store: where to keep the login; None to keep nothing.
        cache: where the access tokens of the login before it may be; they are forgotten.
        run: how the run goes.
        pushes: whether to push the request (RFC 9126) even if discovery does not ask for it.

    Raises:
        KeyLoadError: the key cannot be read or used.
        ConfigurationError: a setting is invalid, or contradicts another.
        RefusedError: the server or the person refused.
        NetworkError: no usable answer within the time allowed.
        TokenError: the answer or the id_token is invalid; nothing is kept.
    """
    proof = prepare(client, run)
    if store is not None:
        with store.locked(client.timeout, run.sleep):
            pass  # before anybody signs in: can the login be kept?
    with HttpClient(client.timeout, client.ca_bundle) as http:
        metadata, issuer = discover(client, http, run)
        endpoint = discovery.endpoint(metadata, "authorization_endpoint")
        provider = provider_of(metadata, issuer, run)
        warn_of_other_hosts(endpoint, provider, metadata, run)
        offered = metadata.get("token_endpoint_auth_methods_supported")
        authentication = choose(client, proof, offered, issuer, provider.token_endpoint, run)
        provider = provider._replace(method=authentication.method)
        http.check(provider.token_endpoint)
        supported = metadata.get("prompt_values_supported")
        if request.prompt is None and isinstance(supported, list) and "consent" not in supported:
            request = replace(request, prompt="")
        parameters = request.parameters()
        url = with_query(endpoint, parameters)
        if pushes or metadata.get("require_pushed_authorization_requests") is True:
            url = _push(metadata, endpoint, parameters, authentication, http, run)
        run.emit(AuthorizationRequested(endpoint, parameters, url))
    answer = ask(url)
    # What it brings may echo a pushed request.
    brought: dict[str, str] = without_echoes({**answer}, http.sent)
    run.emit(BrowserReturned(tuple(brought), brought.get("iss")))
    names_issuer = metadata.get("authorization_response_iss_parameter_supported") is True
    try:
        form = request.token_form(read_code(answer, issuer, names_issuer=names_issuer))
    except BannoCredsError as failure:
        raise failure.without(http.sent) from None
    # A new client, because the time that the person took does not count.
    with HttpClient(client.timeout, client.ca_bundle) as http:
        up = own_files.uptime()
        grant = Grant(form, HINTS, is_good_once=True, after_login=True)
        response = send(provider.token_endpoint, grant, authentication, http, run)
        announce(response, but_offline(request.scope), run)
        warn_of_no_refresh_token(response, request.scope, request.prompts, run)
        expected = Expected(issuer, client.client_id, request.nonce, max_age=request.max_age)
        claims = verified_claims(response, expected, provider, http, run)
    session = Session(
        id=secrets.token_hex(16),
        provider=provider,
        scope=request.scope,
        claims=claims,
        response=without_refresh_token(response),
        requested_at=response.requested_at,
        up=up,
        signed_in_at=int(run.clock()),
    )
    if store is not None:
        try:
            session = _keep_first(store, session, response, client, cache, run)
        except (ConfigurationError, TimedOutError) as failure:
            # The code is used up, and the tokens were asked for: return them although they are not kept.
            message, hint, _ = failure.marked
            run.warn(message if isinstance(failure, OutputError) else f"the login is not kept: {message}", hint)
    return session, response


def _keep_first(
    store: SessionStore,
    session: Session,
    response: TokenResponse,
    client: Client,
    cache: TokenCache | None,
    run: Run,
) -> Session:
    """Keep a new login; it replaces the one before it."""
    with store.locked(client.timeout, run.sleep):
        before, earlier = None, store.read_any()
        try:
            before = store.read()
        except ConfigurationError:
            run.warn("the kept login is broken, or was made with other settings, and is replaced")
        session = store.keep(session, refresh_token_of(response), run)
    forget_in(cache, earlier, run)
    if before is not None and before.can_be_renewed:
        # Not revoked: a server may take the new tokens for a part of the same grant.
        run.warn(
            "the login before this one was replaced, and its tokens stay good at the server until they end",
            f"another time, sign out first: {store.owner.logout}",
        )
    run.emit(LoginKept(store.owner.words, session.places(store.path)))
    return session


def _push(
    metadata: dict[str, Any],
    endpoint: str,
    parameters: Form,
    authentication: Authentication,
    http: HttpClient,
    run: Run,
) -> str:
    """Push the request to the server (RFC 9126), and return the browser's URL, which only refers to it."""
    url = discovery.endpoint(metadata, "pushed_authorization_request_endpoint")
    pushed = post(url, parameters, authentication, http, run, "pushed authorization request endpoint")
    request_uri, expires_in = pushed.get("request_uri"), pushed.get("expires_in")
    if not (isinstance(request_uri, str) and re.fullmatch(r"[\x21-\x7e]+", request_uri)):
        raise UnusableAnswerError(
            "the answer to the pushed authorization request names no request_uri",
            hint="tell the server's operator",
            rule="network.answer",
        )
    run.emit(RequestPushed(url, expires_in if type(expires_in) is int else None))
    client_id = next(value for name, value in parameters if name == "client_id")
    return with_query(endpoint, (("client_id", client_id), ("request_uri", request_uri)))
