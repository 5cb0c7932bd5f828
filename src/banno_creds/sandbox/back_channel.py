"""What a client does with its tokens: asks who the user is, revokes them, and pushes a request beforehand."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from flask import Response, jsonify, request

from banno_creds.rules.shown import shown
from banno_creds.sandbox.authorization_request import REQUEST_URI_PREFIX
from banno_creds.sandbox.client_authentication import reject_repeated
from banno_creds.sandbox.refusals import SignInRefusalError
from banno_creds.sandbox.request_at_hand import machine_now, now, say
from banno_creds.sandbox.sign_in import PUSHED_LIFETIME

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from banno_creds.sandbox.authorizations import Authorizations
    from banno_creds.sandbox.clients import RegisteredClient
    from banno_creds.sandbox.sign_in import SignIn

_NOT_OF_THE_REQUEST: Final = ("client_assertion", "client_assertion_type", "client_secret")


def userinfo(authorizations: Authorizations) -> Response:
    """Tell a token's holder of its user (OpenID Connect Core section 5.3).

    Args:
        authorizations: the memory of tokens.

    Returns:
        The claims.

    Raises:
        SignInRefusalError: the token is missing, not good, or not for this.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise SignInRefusalError(
            "invalid_request",
            "no access token provided",
            received="no Bearer token in the Authorization header",
            expected="Authorization: Bearer and an access token (RFC 6750 section 2.1)",
            fix="send the header",
        )
    known = authorizations.access_tokens.find(token.strip(), machine_now())
    if known is None or not known.authorization.alive or now() >= known.exp:
        raise SignInRefusalError(
            "invalid_token",
            "invalid token provided",
            received="an access token that is "
            + ("of no user here, or revoked" if known is None else "expired, revoked or of a login that is over"),
            expected="one that a login gave, and that lives",
            fix="refresh it, or log in again",
            status_code=401,
        )
    if "openid" not in known.scopes:
        raise SignInRefusalError(
            "insufficient_scope",
            "access token missing openid scope",
            received=f"a token with the scopes {shown(list(known.scopes))}",
            expected="openid among them",
            fix="ask for the scope openid",
            status_code=403,
        )
    user = known.authorization.session.user
    say(f"told {shown(known.authorization.client_id)} who {shown(user.username)} is")
    response = jsonify(known.authorization.told("userinfo", known.scopes))
    response.headers["Cache-Control"] = "no-store"
    return response


def revoke(parameters: MultiDict[str, str], client: RegisteredClient, authorizations: Authorizations) -> Response:
    """Revoke a token (RFC 7009): a refresh token with all that came of its login, an access token alone.

    Args:
        parameters: those of the request.
        client: who asks.
        authorizations: the memory of tokens.

    Returns:
        An empty answer, for a token that is not known too.

    Raises:
        SignInRefusalError: there is no token, or it is another client's.
    """
    reject_repeated(parameters, ("token", "token_type_hint"))
    token = parameters.get("token")
    if token is None:
        raise SignInRefusalError(
            "invalid_request",
            "missing required parameter 'token'",
            received="no token",
            expected="token, form-encoded in the body",
            fix="send the token that shall end",
        )
    client_id = client.client.client_id
    refresh_token = authorizations.refresh_tokens.find(token, machine_now())
    access_token = authorizations.access_tokens.find(token, machine_now())
    found = refresh_token or access_token
    if found is not None and found.authorization.client_id != client_id:
        raise SignInRefusalError(
            "invalid_request",
            "this token does not belong to you",
            received=f"a token of {shown(found.authorization.client_id)}",
            expected=f"one of {shown(client_id)}",
            fix="let the client that holds the token revoke it",
        )
    if refresh_token is not None:
        refresh_token.authorization.revoked = True
        say(f"revoked a refresh token of {shown(client_id)}, and all that came of the login")
    elif access_token is not None:
        authorizations.access_tokens.take(token, machine_now())
        say(f"revoked an access token of {shown(client_id)}")
    else:
        say(f"had nothing to revoke for {shown(client_id)}: no such token")
    response = Response("", mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def push(parameters: MultiDict[str, str], client: RegisteredClient, sign_in: SignIn) -> Response:
    """Take an authorization request beforehand (RFC 9126 section 2).

    Args:
        parameters: those of the request.
        client: who asks.
        sign_in: what will use it.

    Returns:
        The ``request_uri``.

    Raises:
        OAuth2Error: it would be refused.
    """
    asked = parameters.copy()
    for name in _NOT_OF_THE_REQUEST:
        asked.poplist(name)
    # RFC 9126 section 2.1: whoever authenticates otherwise need not name itself again, and is known all the same.
    asked.setdefault("client_id", client.client.client_id)
    sign_in.check_pushable(asked)
    request_uri = f"{REQUEST_URI_PREFIX}{secrets.token_urlsafe(24)}"
    sign_in.pushed.keep(request_uri, (client.client.client_id, asked), machine_now())
    say(f"took an authorization request of {shown(client.client.client_id)}")
    response = jsonify(request_uri=request_uri, expires_in=PUSHED_LIFETIME)
    response.status_code = 201
    response.headers["Cache-Control"] = "no-store"
    return response
