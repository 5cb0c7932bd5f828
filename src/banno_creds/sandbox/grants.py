"""How a client comes to a token: the grants that the token endpoint serves, in the shape Authlib calls them.

Client credentials (RFC 6749 section 4.4), an authorization code with its PKCE verifier (section 4.1.3 and RFC 7636
section 4.6), a refresh token (section 6).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import ClientCredentialsGrant, OAuth2Request
from authlib.oauth2.rfc6749.grants import BaseGrant, TokenEndpointMixin

from banno_creds.rules.findings import Rule
from banno_creds.rules.request import judge_grant_type
from banno_creds.rules.shown import shown
from banno_creds.sandbox.authorizations import AccessToken, Authorization
from banno_creds.sandbox.client_authentication import refuse_the_first, reject_repeated
from banno_creds.sandbox.refusals import RefusalError, SignInRefusalError
from banno_creds.sandbox.request_at_hand import faults, machine_now, now, say

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from banno_creds.sandbox.authorizations import Authorizations
    from banno_creds.sandbox.clients import Client
    from banno_creds.sandbox.tokens import Tokens

AUTHENTICATION: Final = "authenticated"
"""The one name under which Authlib finds the client's authentication, whatever method the client uses."""

DEFAULT_SCOPE: Final = "openid"

# RFC 7636 section 4.1.
_CODE_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class ClientCredentials(ClientCredentialsGrant):  # type: ignore[misc]  # Authlib carries no types
    """The client credentials grant (RFC 6749 section 4.4)."""

    TOKEN_ENDPOINT_AUTH_METHODS = (AUTHENTICATION,)

    def validate_requested_scope(self) -> None:
        """Check what is asked for; Authlib calls this once the client has authenticated.

        Raises:
            RefusalError: a parameter is repeated, or a scope is not one the client was given.
        """
        parameters: MultiDict[str, str] = self.request.payload.data
        reject_repeated(parameters, ("grant_type", "scope"))
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
        tokens: Tokens = self.server.tokens
        client: Client = self.client.client
        scope: str = self.request.scope
        audience = read_audience(self.request.payload.data.getlist("resource")) or client.client_id
        token = tokens.access_token(client, scope, audience)
        say(f"issued an access token to {shown(client.client_id)}, scope {shown(scope)}")
        return 200, _token_response(token, tokens.lifetime, scope), self.TOKEN_RESPONSE_HEADER


def _token_response(access_token: str, lifetime: int, scope: str) -> dict[str, object]:
    body: dict[str, object] = {"access_token": access_token, "expires_in": lifetime}
    if "no-expires-in" in faults():
        del body["expires_in"]
    return body | {"token_type": "Bearer", "scope": scope}


def read_audience(resources: list[str]) -> str | list[str] | None:
    """Turn ``resource`` parameters, of which there may be several, into ``aud`` (RFC 8707 section 2).

    Args:
        resources: their values.

    Returns:
        The audience; None where there are none.

    Raises:
        RefusalError: one of them is no absolute URI, or has a fragment.
    """
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


class _PersonsGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # Authlib carries no types
    """What a code and a refresh token have in common: a user's authorization is behind them."""

    TOKEN_ENDPOINT_AUTH_METHODS = (AUTHENTICATION,)
    PARAMETERS: tuple[str, ...] = ()

    def validate_token_request(self) -> None:
        """Authenticate the client and find what it may have.

        Raises:
            RefusalError: the client is not authenticated, or a parameter is repeated.
            SignInRefusalError: the client may not use the grant, or what it presents is not good.
        """
        self.request.client = self.authenticate_token_endpoint_client()
        parameters: MultiDict[str, str] = self.request.payload.data
        reject_repeated(parameters, ("grant_type", "scope", *self.PARAMETERS))
        if not self.client.check_grant_type(self.GRANT_TYPE):
            raise SignInRefusalError(
                "unauthorized_client",
                "requested grant type is not allowed for this client",
                received=f"grant_type {shown(self.GRANT_TYPE)} from {shown(self.client.client.client_id)}",
                expected="client_credentials: no redirect URI is registered for this client",
                fix="register a redirect URI: --redirect-uri, or redirect_uris in the file of clients",
            )
        for name in self.PARAMETERS:
            if name not in parameters:
                raise SignInRefusalError(
                    "invalid_request",
                    f"missing required parameter '{name}'",
                    received=f"no {name}",
                    expected=f"{', '.join(self.PARAMETERS)} with the grant_type {self.GRANT_TYPE}",
                    fix=f"send the parameter {name}",
                )

    def give(self, authorization: Authorization, scopes: tuple[str, ...], *, nonce: str | None) -> dict[str, object]:
        """Make the tokens that an authorization is good for.

        Args:
            authorization: the user's yes.
            scopes: the scopes of the access token.
            nonce: the ID token's ``nonce``.

        Returns:
            The token response (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3).
        """
        tokens: Tokens = self.server.tokens
        authorizations: Authorizations = self.server.authorizations
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


class AuthorizationCode(_PersonsGrant):
    """The authorization code's way to a token (RFC 6749 section 4.1.3), with PKCE (RFC 7636 section 4.6)."""

    GRANT_TYPE = "authorization_code"
    PARAMETERS = ("code", "redirect_uri", "code_verifier")

    def create_token_response(self) -> tuple[int, dict[str, object], list[tuple[str, str]]]:
        """Answer with the tokens.

        Returns:
            Status, body and headers.

        Raises:
            SignInRefusalError: the code is not good, or not with what came with it.
        """
        authorizations: Authorizations = self.server.authorizations
        parameters: MultiDict[str, str] = self.request.payload.data
        code = authorizations.codes.find(parameters["code"], machine_now())
        client_id = self.client.client.client_id
        if code is None:
            raise _invalid_grant(
                "a code that is not known, or no longer", "the code of the callback, within a minute"
            )
        if code.authorization.client_id != client_id:
            raise _invalid_grant(
                f"a code that was given to {shown(code.authorization.client_id)}", "a code of this client's"
            )
        if parameters["redirect_uri"] != code.redirect_uri:
            raise _invalid_grant(
                f"redirect_uri {shown(parameters['redirect_uri'])}",
                f"{shown(code.redirect_uri)}, as in the authorization request",
            )
        verifier = parameters["code_verifier"]
        if not _CODE_VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_s256(verifier), code.code_challenge):
            raise _invalid_grant(
                "a code_verifier that the code_challenge was not made of", "the one of the same login (RFC 7636)"
            )
        if not authorizations.use(code):
            raise _invalid_grant("a code that was used before; all that came of it is revoked", "each code once")
        if machine_now() >= code.until:
            raise _invalid_grant("a code that is more than a minute old", "the code at once")
        if not code.authorization.alive:
            raise _invalid_grant("a code of a login that is over", "a new login")
        body = self.give(code.authorization, code.authorization.scopes, nonce=code.authorization.nonce)
        say(
            f"gave {shown(client_id)} the tokens of {shown(code.authorization.session.user.username)}: {_named(body)}"
        )
        return 200, body, self.TOKEN_RESPONSE_HEADER


class RefreshTokens(_PersonsGrant):
    """The refresh token grant (RFC 6749 section 6), each token good once (RFC 9700 section 4.14.2)."""

    GRANT_TYPE = "refresh_token"
    PARAMETERS = ("refresh_token",)

    def create_token_response(self) -> tuple[int, dict[str, object], list[tuple[str, str]]]:
        """Answer with new tokens, a new refresh token among them.

        Returns:
            Status, body and headers.

        Raises:
            SignInRefusalError: the refresh token is not good, or a scope was not granted.
        """
        authorizations: Authorizations = self.server.authorizations
        parameters: MultiDict[str, str] = self.request.payload.data
        token = authorizations.refresh_tokens.find(parameters["refresh_token"], machine_now())
        client_id = self.client.client.client_id
        if token is None:
            raise _invalid_grant("a refresh token that is not known, or no longer", "the newest one of a login")
        authorization = token.authorization
        if authorization.client_id != client_id:
            raise _invalid_grant(f"a refresh token of {shown(authorization.client_id)}", "one of this client's")
        scopes = tuple(dict.fromkeys(parameters.get("scope", "").split())) or authorization.scopes
        if refused := [scope for scope in scopes if scope not in authorization.scopes]:
            raise SignInRefusalError(
                "invalid_scope",
                "refresh token missing requested scope",
                received=f"scope {shown(refused)}",
                expected=f"some of {shown(list(authorization.scopes))}, which were granted",
                fix="leave scope out, or ask for less; more needs a new login",
            )
        if not authorizations.use(token):
            raise _invalid_grant(
                "a refresh token that was used before; all that came of the login is revoked", "each one once"
            )
        if not authorization.alive:
            raise _invalid_grant("a refresh token that is revoked", "a new login")
        body = self.give(authorization, scopes, nonce=None)
        say(f"refreshed the tokens of {shown(authorization.session.user.username)} for {shown(client_id)}")
        return 200, body, self.TOKEN_RESPONSE_HEADER


def _invalid_grant(received: str, expected: str) -> SignInRefusalError:
    """One answer for all of them, as the vendor's: whoever guesses learns nothing."""
    return SignInRefusalError(
        "invalid_grant", "grant request is invalid", received=received, expected=expected, fix="log in again"
    )


def _s256(code_verifier: str) -> str:
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _named(body: dict[str, Any]) -> str:
    return ", ".join(name for name in body if name.endswith("_token"))


class AnyOtherGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # Authlib carries no types
    """Whatever grant is not served: registered last, it takes every request that is left.

    Authlib would refuse an unknown grant before it looks at the client; the vendor's server authenticates first.
    """

    TOKEN_ENDPOINT_AUTH_METHODS = (AUTHENTICATION,)

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
        refuse_the_first(judge_grant_type(self.request.payload.data.to_dict(flat=False)))
