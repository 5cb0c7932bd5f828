"""The endpoints that a client calls itself: discovery, userinfo, revocation and pushed authorization requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Response, jsonify, request

from banno_creds.config import ALGORITHMS
from banno_creds.rules.shown import shown
from banno_creds.sandbox.authorization_endpoint import PUSHED_LIFETIME, AuthorizationEndpoint
from banno_creds.sandbox.authorization_request import PROMPTS, SIGN_IN_SCOPES
from banno_creds.sandbox.exchange import body_parameters, in_json, machine_now, now, reject_repeated, say
from banno_creds.sandbox.refusals import LoginError
from banno_creds.sandbox.users import INSTITUTION_CLAIM, SCOPE_CLAIMS

if TYPE_CHECKING:
    from banno_creds.sandbox.settings import State

_AUTHENTICATION_PARAMETERS: Final = ("client_assertion", "client_assertion_type", "client_secret")


def discovery(state: State) -> Response:
    """Answer with the provider's metadata (OpenID Connect Discovery section 3, RFC 8414)."""
    issuer, settings, methods = state.issuer, state.settings, list(state.authentication.methods)
    own_scopes = [scope for entry in state.clients.values() for scope in entry.client.scopes]
    claims = ["sub", *(name for names in SCOPE_CLAIMS.values() for name in names), INSTITUTION_CLAIM]
    claims += [name for user in settings.users for name in user.claims]
    return jsonify(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/auth",
        token_endpoint=f"{issuer}/token",
        userinfo_endpoint=f"{issuer}/me",
        jwks_uri=f"{issuer}/jwks",
        revocation_endpoint=f"{issuer}/token/revocation",
        end_session_endpoint=f"{issuer}/session/end",
        pushed_authorization_request_endpoint=f"{issuer}/request",
        require_pushed_authorization_requests=settings.require_pushed_authorization_requests,
        grant_types_supported=["client_credentials", "authorization_code", "refresh_token"],
        response_types_supported=["code"],
        response_modes_supported=["query"],
        code_challenge_methods_supported=["S256"],
        prompt_values_supported=list(PROMPTS),
        authorization_response_iss_parameter_supported=True,
        token_endpoint_auth_methods_supported=methods,
        token_endpoint_auth_signing_alg_values_supported=list(ALGORITHMS),
        revocation_endpoint_auth_methods_supported=methods,
        revocation_endpoint_auth_signing_alg_values_supported=list(ALGORITHMS),
        scopes_supported=list(dict.fromkeys([*SIGN_IN_SCOPES, *own_scopes])),
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=list(state.keys.algorithms),
        claims_supported=list(dict.fromkeys(claims)),
        claims_parameter_supported=True,
        request_parameter_supported=False,
        request_uri_parameter_supported=False,
    )


def userinfo(state: State) -> Response:
    """Answer with the claims about the token's user (OpenID Connect Core section 5.3)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise LoginError(
            "no access token provided",
            "no Bearer token in the Authorization header",
            "Authorization: Bearer and an access token (RFC 6750 section 2.1)",
            fix="send the header",
        )
    known = state.authorizations.access_tokens.find(token.strip(), machine_now())
    if known is None or not known.authorization.alive or now() >= known.exp:
        fault = "unknown here, or revoked" if known is None else "expired, revoked or of a login that has ended"
        raise LoginError(
            "invalid token provided",
            f"an access token that is {fault}",
            "a valid one of a user's login",
            error="invalid_token",
            fix="refresh it, or log in again",
            status_code=401,
        )
    if "openid" not in known.scopes:
        raise LoginError(
            "access token missing openid scope",
            f"a token with the scopes {shown(list(known.scopes))}",
            "a token with the scope openid",
            error="insufficient_scope",
            fix="ask for the scope openid",
            status_code=403,
        )
    user = known.authorization.session.user
    say(f"told {shown(known.authorization.client_id)} who {shown(user.username)} is")
    return in_json(known.authorization.told("userinfo", known.scopes))


def revocation(state: State) -> Response:
    """Revoke a token (RFC 7009): an access token only, or a refresh token with all tokens of its login."""
    client_id = state.authentication.at(f"{state.issuer}/token/revocation").client.client_id
    parameters = body_parameters()
    reject_repeated(parameters, ("token", "token_type_hint"))
    token = parameters.get("token")
    if token is None:
        raise LoginError(
            "missing required parameter 'token'",
            "no token",
            "token, form-encoded in the body",
            fix="send the token to revoke",
        )
    refresh_token = state.authorizations.refresh_tokens.find(token, machine_now())
    access_token = state.authorizations.access_tokens.find(token, machine_now())
    found = refresh_token or access_token
    if found is not None and found.authorization.client_id != client_id:
        raise LoginError(
            "this token does not belong to you",
            f"a token of {shown(found.authorization.client_id)}",
            f"a token of {shown(client_id)}",
            fix="let the client that holds the token revoke it",
        )
    if refresh_token is not None:
        refresh_token.authorization.revoked = True
        say(f"revoked a refresh token of {shown(client_id)}, and all tokens of its login")
    elif access_token is not None:
        state.authorizations.access_tokens.take(token, machine_now())
        say(f"revoked an access token of {shown(client_id)}")
    else:
        say(f"revoked nothing for {shown(client_id)}: there is no such token")
    response = Response("", mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def pushed_authorization_request(state: State, endpoint: AuthorizationEndpoint) -> Response:
    """Check and keep an authorization request, and answer with its ``request_uri`` (RFC 9126 section 2)."""
    client_id = state.authentication.at(f"{state.issuer}/request").client.client_id
    asked = body_parameters()
    for name in _AUTHENTICATION_PARAMETERS:
        asked.poplist(name)
    # RFC 9126 section 2.1: an authenticated client need not send its client_id again.
    asked.setdefault("client_id", client_id)
    request_uri = endpoint.push(client_id, asked)
    say(f"kept a pushed authorization request of {shown(client_id)}")
    return in_json({"request_uri": request_uri, "expires_in": PUSHED_LIFETIME}, 201)
