"""The token endpoint, on Authlib's authorization server: client credentials, authorization code, refresh token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer as FlaskAuthorizationServer
from authlib.oauth2.rfc6749 import ClientCredentialsGrant, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.grants import BaseGrant, TokenEndpointMixin
from flask import Response, request

from banno_creds.rules.findings import Rule
from banno_creds.rules.request import judge_grant_type
from banno_creds.rules.shown import shown
from banno_creds.sandbox.client_authentication import refuse_the_first
from banno_creds.sandbox.exchange import body_parameters, faults, machine_now, now, reject_repeated, say
from banno_creds.sandbox.memory import AccessToken, Authorization
from banno_creds.sandbox.refusals import LoginError, RefusalError

if TYPE_CHECKING:
    from authlib.oauth2 import OAuth2Error
    from werkzeug.datastructures import MultiDict

    from banno_creds.sandbox.clients import Client
    from banno_creds.sandbox.settings import State

DEFAULT_SCOPE: Final = "openid"

# Authlib finds the client authentication under this name, whatever method the client uses.
_AUTHENTICATION: Final = "authenticated"
# RFC 7636 section 4.1.
_CODE_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")

_Answer = tuple[int, dict[str, object], list[tuple[str, str]]]


class _Form(OAuth2Payload):  # type: ignore[misc]  # Authlib carries no types
    """The parameters of a token request: those of the body only (RFC 6749 section 3.2).

    Authlib's own class for Flask also takes those in the URL, where secrets end up in logs.
    """

    def __init__(self) -> None:
        self._parameters = body_parameters()

    @property
    def data(self) -> MultiDict[str, str]:
        return self._parameters


class AuthorizationServer(FlaskAuthorizationServer):  # type: ignore[misc]  # Authlib carries no types
    """Authlib's authorization server for Flask, with the sandbox's clients, tokens and log."""

    def __init__(self, state: State) -> None:
        super().__init__(query_client=state.clients.get)
        self.state = state
        self.register_client_auth_method(_AUTHENTICATION, lambda *_: state.authentication.at(None))
        for grant in (ClientCredentials, AuthorizationCode, RefreshTokens, AnyOtherGrant):
            self.register_grant(grant)

    def create_oauth2_request(self, _request: object) -> OAuth2Request:
        """Wrap Flask's request for Authlib; its URI is the configured one, whatever the Host header says."""
        token_request = OAuth2Request(request.method, f"{self.state.issuer}/token", headers=request.headers)
        token_request.payload = _Form()
        return token_request

    def handle_error_response(self, token_request: OAuth2Request | None, error: OAuth2Error) -> Response:
        """Tell the operator which rule was broken, and the client only what the vendor tells, or `explain` allows."""
        say(error.log_line)
        if self.state.settings.explain:
            error.description = error.explanation
        response: Response = super().handle_error_response(token_request, error)
        return response


class ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]  # Authlib carries no types
    """The client credentials grant (RFC 6749 section 4.4)."""

    TOKEN_ENDPOINT_AUTH_METHODS = (_AUTHENTICATION,)

    def validate_requested_scope(self) -> None:
        """Check the requested scope; Authlib calls this once the client has authenticated."""
        parameters: MultiDict[str, str] = self.request.payload.data
        reject_repeated(parameters, ("grant_type", "scope"))
        # RFC 6749 section 3.3: without the parameter, a pre-defined default value.
        requested = parameters.get("scope", "").split() or [DEFAULT_SCOPE]
        allowed = self.client.client.scopes
        if refused := [scope for scope in requested if scope not in allowed]:
            raise RefusalError(Rule.SCOPE_NOT_ALLOWED, f"scope {shown(refused)}", f"some of {shown(list(allowed))}")
        self.request.scope = " ".join(dict.fromkeys(requested))

    def create_token_response(self) -> _Answer:
        """Answer with an access token (RFC 6749 section 5.1). Authlib's own method writes the token to its log."""
        state: State = self.server.state
        client: Client = self.client.client
        scope: str = self.request.scope
        audience = read_audience(self.request.payload.data.getlist("resource")) or client.client_id
        token = state.tokens.access_token(client, scope, audience)
        say(f"issued an access token to {shown(client.client_id)}, scope {shown(scope)}")
        return 200, _token_response(token, state.tokens.lifetime, scope), self.TOKEN_RESPONSE_HEADER


def _token_response(access_token: str, lifetime: int, scope: str) -> dict[str, object]:
    body: dict[str, object] = {"access_token": access_token, "expires_in": lifetime}
    if "no-expires-in" in faults():
        del body["expires_in"]
    return body | {"token_type": "Bearer", "scope": scope}


def read_audience(resources: list[str]) -> str | list[str] | None:
    """Return the ``aud`` for ``resource`` parameters (RFC 8707 section 2); None if there are none."""
    for resource in resources:
        try:
            absolute = bool(urlsplit(resource).scheme)
        except ValueError:
            absolute = False
        if not absolute or "#" in resource:
            raise RefusalError(
                Rule.RESOURCE_MALFORMED,
                f"resource {shown(resource)}",
                "an absolute URI without a fragment (RFC 8707 section 2)",
            )
    distinct = list(dict.fromkeys(resources))
    return distinct[0] if len(distinct) == 1 else distinct or None


class _UsersGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # Authlib carries no types
    """The common part of the grants that use a user's authorization: by a code or by a refresh token."""

    TOKEN_ENDPOINT_AUTH_METHODS = (_AUTHENTICATION,)
    PARAMETERS: tuple[str, ...] = ()

    def validate_token_request(self) -> None:
        """Authenticate the client, and check that it may use the grant."""
        self.request.client = self.authenticate_token_endpoint_client()
        parameters: MultiDict[str, str] = self.request.payload.data
        reject_repeated(parameters, ("grant_type", "scope", *self.PARAMETERS))
        if not self.client.check_grant_type(self.GRANT_TYPE):
            raise LoginError(
                "requested grant type is not allowed for this client",
                f"grant_type {shown(self.GRANT_TYPE)} from {shown(self.client.client.client_id)}",
                "client_credentials: no redirect URI is registered for this client",
                error="unauthorized_client",
                fix="register a redirect URI: --redirect-uri, or redirect_uris in the file of clients",
            )
        for name in self.PARAMETERS:
            if name not in parameters:
                raise LoginError(
                    f"missing required parameter '{name}'",
                    f"no {name}",
                    f"{', '.join(self.PARAMETERS)} with the grant_type {self.GRANT_TYPE}",
                    fix=f"send the parameter {name}",
                )

    def give(self, authorization: Authorization, scopes: tuple[str, ...], *, nonce: str | None) -> dict[str, object]:
        """Make the tokens (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3)."""
        tokens, authorizations = self.server.state.tokens, self.server.state.authorizations
        client: Client = self.client.client
        user = authorization.session.user
        scope = " ".join(scopes)
        access_token = tokens.access_token(
            client, scope, authorization.audience, institution_id=authorization.institution_id, sub=user.sub
        )
        authorizations.access_tokens.keep(
            access_token, AccessToken(authorization, scopes, now() + tokens.lifetime), machine_now()
        )
        body = _token_response(access_token, tokens.lifetime, scope)
        if authorization.offline:
            body["refresh_token"] = authorizations.new_refresh_token(authorization, machine_now())
        if "openid" in scopes:
            body["id_token"] = tokens.id_token(
                client,
                authorization.told("id_token", scopes),
                auth_time=authorization.session.auth_time,
                nonce=nonce,
                access_token=access_token,
            )
        return body


class AuthorizationCode(_UsersGrant):
    """The authorization code grant (RFC 6749 section 4.1.3), with PKCE (RFC 7636 section 4.6)."""

    GRANT_TYPE = "authorization_code"
    PARAMETERS = ("code", "redirect_uri", "code_verifier")

    def create_token_response(self) -> _Answer:
        """Answer with the tokens."""
        state: State = self.server.state
        parameters: MultiDict[str, str] = self.request.payload.data
        code = state.authorizations.codes.find(parameters["code"], machine_now())
        client_id = self.client.client.client_id
        if code is None:
            raise _invalid_grant("an unknown or expired code", "the code of the callback, within a minute")
        if code.authorization.client_id != client_id:
            raise _invalid_grant(f"a code of {shown(code.authorization.client_id)}", "a code of this client")
        if parameters["redirect_uri"] != code.redirect_uri:
            raise _invalid_grant(
                f"redirect_uri {shown(parameters['redirect_uri'])}",
                f"{shown(code.redirect_uri)}, as in the authorization request",
            )
        verifier = parameters["code_verifier"]
        if not _CODE_VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_s256(verifier), code.code_challenge):
            raise _invalid_grant(
                "a code_verifier that does not match the code_challenge", "that of the same login (RFC 7636)"
            )
        if not state.authorizations.use(code):
            raise _invalid_grant("a code that was used before; all its tokens are now revoked", "each code once")
        if machine_now() >= code.until:
            raise _invalid_grant("a code that is more than a minute old", "the code within a minute")
        if not code.authorization.alive:
            raise _invalid_grant("a code of a login that has ended", "a new login")
        body = self.give(code.authorization, code.authorization.scopes, nonce=code.authorization.nonce)
        say(
            f"gave {shown(client_id)} the tokens of {shown(code.authorization.session.user.username)}: {_named(body)}"
        )
        return 200, body, self.TOKEN_RESPONSE_HEADER


class RefreshTokens(_UsersGrant):
    """The refresh token grant (RFC 6749 section 6); each token works once (RFC 9700 section 4.14.2)."""

    GRANT_TYPE = "refresh_token"
    PARAMETERS = ("refresh_token",)

    def create_token_response(self) -> _Answer:
        """Answer with new tokens, and with a new refresh token."""
        state: State = self.server.state
        parameters: MultiDict[str, str] = self.request.payload.data
        token = state.authorizations.refresh_tokens.find(parameters["refresh_token"], machine_now())
        client_id = self.client.client.client_id
        if token is None:
            raise _invalid_grant("an unknown or expired refresh token", "the newest one of a login")
        authorization = token.authorization
        if authorization.client_id != client_id:
            raise _invalid_grant(f"a refresh token of {shown(authorization.client_id)}", "one of this client")
        scopes = tuple(dict.fromkeys(parameters.get("scope", "").split())) or authorization.scopes
        if refused := [scope for scope in scopes if scope not in authorization.scopes]:
            raise LoginError(
                "refresh token missing requested scope",
                f"scope {shown(refused)}",
                f"some of {shown(list(authorization.scopes))}, which were granted",
                error="invalid_scope",
                fix="leave scope out, or ask for less; more scopes need a new login",
            )
        if not state.authorizations.use(token):
            raise _invalid_grant(
                "a refresh token that was used before; all tokens of the login are now revoked", "each one once"
            )
        if not authorization.alive:
            raise _invalid_grant("a revoked refresh token", "a new login")
        body = self.give(authorization, scopes, nonce=None)
        say(f"refreshed the tokens of {shown(authorization.session.user.username)} for {shown(client_id)}")
        return 200, body, self.TOKEN_RESPONSE_HEADER


def _invalid_grant(received: str, expected: str) -> LoginError:
    """Make the one refusal for all these cases: as at the vendor's, an attacker learns nothing from it."""
    return LoginError("grant request is invalid", received, expected, error="invalid_grant", fix="log in again")


def _s256(code_verifier: str) -> str:
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _named(body: dict[str, Any]) -> str:
    return ", ".join(name for name in body if name.endswith("_token"))


class AnyOtherGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # Authlib carries no types
    """Refuses every other grant; it is registered last.

    Authlib would refuse an unknown grant before it looks at the client; the vendor's server authenticates first.
    """

    TOKEN_ENDPOINT_AUTH_METHODS = (_AUTHENTICATION,)

    @classmethod
    def check_token_endpoint(cls, _request: OAuth2Request) -> bool:
        """Take any request."""
        return True

    def validate_token_request(self) -> None:
        """Authenticate the client, then refuse."""
        self.authenticate_token_endpoint_client()
        refuse_the_first(judge_grant_type(self.request.payload.data.to_dict(flat=False)))
