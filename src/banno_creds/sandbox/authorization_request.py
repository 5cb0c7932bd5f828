"""Reads and checks an authorization request (OpenID Connect Core section 3.1.2, RFC 7636, RFC 9126)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from banno_creds.rules.shown import shown
from banno_creds.sandbox.memory import OFFLINE_SCOPES
from banno_creds.sandbox.refusals import LoginError
from banno_creds.sandbox.token_endpoint import DEFAULT_SCOPE, read_audience
from banno_creds.sandbox.users import SCOPE_CLAIMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.datastructures import MultiDict

    from banno_creds.sandbox.clients import Client, RegisteredClient

SIGN_IN_SCOPES: Final = ("openid", *SCOPE_CLAIMS, *OFFLINE_SCOPES)
"""The scopes that every client may ask a user for, beside its own."""

PROMPTS: Final = ("none", "login", "consent")
REQUEST_URI_PREFIX: Final = "urn:ietf:params:oauth:request_uri:"

# RFC 7636 section 4.2: the base64url of a SHA-256.
_CODE_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_REPEATABLE: Final = frozenset({"resource"})


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A valid authorization request."""

    client: Client
    redirect_uri: str
    state: str | None = field(repr=False)
    nonce: str | None = field(repr=False)
    code_challenge: str = field(repr=False)  # of the method S256
    scopes: tuple[str, ...]
    audience: str | list[str] | None  # the aud of access tokens; None means the client
    claims: Mapping[str, tuple[str, ...]]  # the names of the requested claims, for id_token and for userinfo
    sub: str | None  # the one user that the claims parameter asks for
    prompts: tuple[str, ...]
    login_hint: str
    max_age: int | None
    institution_id: str | None  # None lets the user choose


def read_client(
    parameters: MultiDict[str, str], clients: Mapping[str, RegisteredClient]
) -> tuple[RegisteredClient, str]:
    """Return the client and the redirect URI. Without them nobody is redirected (RFC 6749 section 4.1.2.1)."""
    for name in ("client_id", "redirect_uri"):
        if len(parameters.getlist(name)) > 1:
            raise LoginError(
                f"'{name}' parameter must not be provided twice", f"{name} more than once", f"one {name}"
            )
    client_id = parameters.get("client_id")
    if client_id is None:
        raise LoginError("missing required parameter 'client_id'", "no client_id", "a client_id")
    client = clients.get(client_id)
    if client is None:
        raise LoginError(
            "client is invalid",
            f"client_id {shown(client_id)}",
            "the client ID of a registered client",
            error="invalid_client",
            fix="start the sandbox with this --client-id, or give the program the sandbox's",
        )
    redirect_uri = parameters.get("redirect_uri")
    if redirect_uri is None:
        raise LoginError("missing required parameter 'redirect_uri'", "no redirect_uri", "a registered redirect_uri")
    if redirect_uri not in client.client.redirect_uris:
        registered = list(client.client.redirect_uris)
        raise LoginError(
            "redirect_uri did not match any of the client's registered redirect_uris",
            f"redirect_uri {shown(redirect_uri)}",
            f"one of {shown(registered)}, to the character" if registered else "none: none is registered",
            error="invalid_redirect_uri",
            fix="register it: --redirect-uri, or redirect_uris in the file of clients",
        )
    return client, redirect_uri


def read_authorization_request(
    parameters: MultiDict[str, str], client: RegisteredClient, redirect_uri: str
) -> AuthorizationRequest:
    """Check the rest of a request, pushed or not; from here on errors can go to the redirect URI."""
    for name in parameters:
        if name not in _REPEATABLE and len(parameters.getlist(name)) > 1:
            raise LoginError(
                "a parameter must not be provided twice", f"{shown(name)} more than once", "each parameter once"
            )
    if "request" in parameters:
        raise LoginError(
            "request parameter is not supported", "request", "plain parameters", error="request_not_supported"
        )
    _check_response(parameters)
    prompts = tuple(dict.fromkeys(parameters.get("prompt", "").split()))
    if unknown := [prompt for prompt in prompts if prompt not in PROMPTS]:
        raise LoginError(
            "unsupported prompt value requested", f"prompt {shown(unknown)}", f"some of {', '.join(PROMPTS)}"
        )
    if "none" in prompts and len(prompts) > 1:
        raise LoginError("prompt none must only be used alone", f"prompt {shown(list(prompts))}", "none alone")
    scopes = tuple(dict.fromkeys(parameters.get("scope", "").split())) or (DEFAULT_SCOPE,)
    allowed = dict.fromkeys((*SIGN_IN_SCOPES, *client.client.scopes))
    if refused := [scope for scope in scopes if scope not in allowed]:
        raise LoginError(
            "requested scope is not allowed",
            f"scope {shown(refused)}",
            f"some of {shown(list(allowed))}",
            error="invalid_scope",
            fix="ask for less, or give the client the scope: --scope, or scope in the file of clients",
        )
    claims, sub = _claims(parameters.get("claims"))
    return AuthorizationRequest(
        client=client.client,
        redirect_uri=redirect_uri,
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
        code_challenge=_code_challenge(parameters),
        scopes=scopes,
        audience=read_audience(parameters.getlist("resource")),
        claims=claims,
        sub=sub,
        prompts=prompts,
        login_hint=parameters.get("login_hint", "")[:200],
        max_age=_max_age(parameters.get("max_age")),
        institution_id=parameters.get("institutionId"),
    )


def _check_response(parameters: MultiDict[str, str]) -> None:
    response_type = parameters.get("response_type")
    if response_type is None:
        raise LoginError("missing required parameter 'response_type'", "no response_type", "response_type=code")
    if response_type != "code":
        raise LoginError(
            "unsupported response_type requested",
            f"response_type {shown(response_type)}",
            "code",
            error="unsupported_response_type",
        )
    if parameters.get("response_mode", "query") != "query":
        raise LoginError(
            "unsupported response_mode requested", f"response_mode {shown(parameters['response_mode'])}", "query"
        )


def _code_challenge(parameters: MultiDict[str, str]) -> str:
    challenge = parameters.get("code_challenge")
    if challenge is None:
        raise LoginError(
            "Authorization Server policy requires PKCE to be used for this request",
            "no code_challenge",
            "code_challenge and code_challenge_method=S256 (RFC 7636)",
        )
    method = parameters.get("code_challenge_method", "plain")  # RFC 7636 section 4.3
    if method != "S256":
        raise LoginError(
            "not supported value of code_challenge_method", f"code_challenge_method {shown(method)}", "S256"
        )
    if not _CODE_CHALLENGE.fullmatch(challenge):
        raise LoginError(
            "code_challenge must be the base64url of a SHA-256",
            f"a code_challenge of {len(challenge)} characters",
            "43 characters, without = at the end",
        )
    return challenge


def _max_age(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise LoginError("invalid max_age parameter value", f"max_age {shown(text)}", "seconds, as digits")
    return int(text)


def _claims(text: str | None) -> tuple[dict[str, tuple[str, ...]], str | None]:
    """Return the claim names of the ``claims`` parameter, and the ``sub`` it asks for (Core section 5.5).

    Other values and options are ignored. The vendor's examples send null for a claim, or an empty string.
    """
    if text is None:
        return {}, None
    try:
        asked: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise LoginError(
            "could not parse the claims parameter JSON", "claims that are not JSON", "a JSON object"
        ) from None
    if not isinstance(asked, dict) or not all(isinstance(members or {}, dict) for members in asked.values()):
        raise LoginError(
            "claims parameter should be a JSON object",
            "claims of another form",
            '{"id_token": {"email": null}, "userinfo": {}}',
        )
    names = {where: tuple(asked.get(where) or {}) for where in ("id_token", "userinfo")}
    subs = {
        member["value"]
        for where in names
        if isinstance(member := (asked.get(where) or {}).get("sub"), dict) and isinstance(member.get("value"), str)
    }
    if len(subs) > 1:
        raise LoginError("claims parameter asks for two users", "two values of sub", "one")
    return names, next(iter(subs), None)
