"""The authorization request, and the answer that the browser brings back (RFC 6749 section 4.1).

With PKCE, always S256 (RFC 7636), a fresh ``state`` and a fresh ``nonce`` (OpenID Connect Core 1.0 section 3.1.2.1).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from json import dumps
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from banno_creds.config import DEFAULT_LOGIN_SCOPE, DEFAULT_REDIRECT_URI, check_redirect_uri
from banno_creds.errors import ConfigurationError, RefusedError, TokenError
from banno_creds.jose.encoding import base64url, parse_json_object
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the request says by itself, and the option for it where there is one; a --param of the same name would
# contradict.
RESERVED_PARAMS: Mapping[str, str] = {
    **dict.fromkeys(("response_type", "response_mode", "state", "nonce", "request", "request_uri"), ""),
    **dict.fromkeys(("code_challenge", "code_challenge_method", "code_verifier", "client_secret"), ""),
    **dict.fromkeys(("client_assertion", "client_assertion_type", "grant_type", "code"), ""),
    "client_id": "--client-id",
    "redirect_uri": "--redirect-uri",
    "scope": "--scope",
    "resource": "--resource",
    "claims": "--claims or --claim-request",
    "prompt": "--prompt",
    "login_hint": "--login-hint",
    "max_age": "--max-age",
}

_SECRET_BYTES = 32  # 43 characters: the least that RFC 7636 section 4.1 takes of a verifier

_HINTS = {
    "access_denied": "somebody pressed Cancel, or this user may not use the application or what --param asks for",
    "login_required": "nobody is signed in, and --prompt none forbids to ask: leave it out",
    "interaction_required": "the server has something to ask, and --prompt none forbids it: leave it out",
    "consent_required": "the user has to consent, and --prompt none forbids to ask: leave it out",
    "account_selection_required": "the user has to choose an account, and --prompt none forbids it: leave it out",
    "invalid_scope": "ask the administrator which scopes the application was given, and name them with --scope",
    "unauthorized_client": "the application must be one for users' logins; ask the administrator",
    "unsupported_response_type": "the application must be one for users' logins; ask the administrator",
    "invalid_request": "look at the words of the server, and at your --param, --prompt and other options",
    "invalid_target": "leave --resource out, or name one the application may use",
    "server_error": "try again later; the vendor asks for the date and the client ID in a support case",
    "temporarily_unavailable": "try again later",
}


def _fresh() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One authorization request, good for one login.

    Attributes:
        client_id: as it was registered.
        redirect_uri: where the browser is to come back to, to the character as it was registered.
        scope: the scope values asked for; ``openid`` must be among them.
        resource: resource indicators (RFC 8707).
        params: further parameters, such as the vendor's for an institution.
        claims: the member ``claims`` of OpenID Connect Core 1.0 section 5.5.
        prompt: ``none``, ``login``, ``consent`` and the like, separated by blanks.
        login_hint: whom the login page is to suggest.
        max_age: how long ago the person may have signed in, in seconds.
        state: what the answer must bring back.
        nonce: what the id_token must have in it.
        code_verifier: what proves, with the code, that whoever redeems it began the login.

    Raises:
        ConfigurationError: a value cannot be meant.
    """

    client_id: str
    redirect_uri: str = DEFAULT_REDIRECT_URI
    scope: tuple[str, ...] = DEFAULT_LOGIN_SCOPE
    resource: tuple[str, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    claims: Mapping[str, Any] | None = None
    prompt: str | None = None
    login_hint: str | None = None
    max_age: int | None = None
    state: str = field(default_factory=_fresh, repr=False)
    nonce: str = field(default_factory=_fresh, repr=False)
    code_verifier: str = field(default_factory=_fresh, repr=False)

    def __post_init__(self) -> None:
        """Refuse what could only be refused later, less clearly, by the server."""
        check_redirect_uri(self.redirect_uri)
        if "openid" not in self.scope:
            raise ConfigurationError(
                "a login needs the scope openid: without it there is no id_token, and nobody knows who signed in",
                hint="add --scope openid",
            )
        for name, _ in self.params:
            if name in RESERVED_PARAMS:
                raise ConfigurationError(
                    f"--param {name}=… would contradict what this tool sends itself",
                    hint=f"use {RESERVED_PARAMS[name]}" if RESERVED_PARAMS[name] else "leave it out",
                )
        texts = [self.prompt, self.login_hint, *self.scope, *self.resource]
        texts += [text for pair in self.params for text in pair]
        if any(text is not None and not text.isprintable() for text in texts):
            raise ConfigurationError(
                "a control character, such as a line end, is in --scope, --resource, --param, --prompt or "
                "--login-hint",
                hint="take it out; in CI, look at the last character of a variable",
            )
        if self.prompt is not None and "none" in (words := self.prompt.split()) and len(words) > 1:
            raise ConfigurationError("--prompt none goes with no other", hint="leave the others out")
        if self.max_age is not None and self.max_age < 0:
            raise ConfigurationError(f"--max-age {self.max_age} cannot be", hint="give seconds, 0 or more")

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """All parameters, names and values, in the order they are sent."""
        challenge = base64url(sha256(self.code_verifier.encode("ascii")).digest())
        parameters = [
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("scope", " ".join(self.scope)),
            ("state", self.state),
            ("nonce", self.nonce),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ]
        parameters += [("resource", resource) for resource in self.resource]
        if self.claims is not None:
            parameters.append(("claims", dumps(self.claims, separators=(",", ":"))))
        for name, value in (("prompt", self.prompt), ("login_hint", self.login_hint), ("max_age", self.max_age)):
            if value is not None:
                parameters.append((name, str(value)))
        return (*parameters, *self.params)

    def token_form(self, code: str) -> tuple[tuple[str, str], ...]:
        """The form that redeems the code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

        Args:
            code: the authorization code.

        Returns:
            Names and values, without what proves who the client is.
        """
        return (
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri),
            ("code_verifier", self.code_verifier),
        )

    def is_answered_by(self, answer: Mapping[str, str]) -> bool:
        """Whether an answer brings back this request's ``state``."""
        return compare_digest(answer.get("state", "").encode("utf-8", "replace"), self.state.encode("ascii"))


def with_query(endpoint: str, parameters: tuple[tuple[str, str], ...]) -> str:
    """An endpoint's URL with parameters added to its query, whatever it has already (RFC 6749 section 3.1)."""
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def claims_parameter(content: bytes | None, names: tuple[str, ...], origin: str = "") -> Mapping[str, Any] | None:
    """The member ``claims`` of the request (OpenID Connect Core 1.0 section 5.5).

    Args:
        content: a JSON object, as it is to be sent; None where there is none.
        names: claims that the id_token is to have, added to it.
        origin: how messages name where the JSON is from.

    Returns:
        What to send; None where nothing is asked for.

    Raises:
        ConfigurationError: it is no such JSON object.
    """
    if content is None and not names:
        return None
    claims: dict[str, Any] = {}
    if content is not None:
        try:
            claims = parse_json_object(content)
        except ValueError as failure:
            raise ConfigurationError(f"{origin} is no claims parameter: {failure}", hint=_CLAIMS_HINT) from None
        wrong = [name for name in ("id_token", "userinfo") if not isinstance(claims.get(name, {}), dict)]
        if wrong or not claims.keys() & {"id_token", "userinfo"}:
            raise ConfigurationError(
                f"{origin} is no claims parameter: "
                + (f"{wrong[0]} is no object" if wrong else "it asks for nothing"),
                hint=_CLAIMS_HINT,
            )
    for name in names:
        claims["id_token"] = {**claims.get("id_token", {}), name: claims.get("id_token", {}).get(name)}
    return claims


_CLAIMS_HINT = (
    'it is a JSON object such as {"id_token": {"email": null}, "userinfo": {"address": {"essential": true}}}'
)


def read_address(address: str, request: AuthorizationRequest) -> dict[str, str]:
    """Read the answer from an address that was pasted, where the browser ended.

    Args:
        address: the whole address, or the query of it.
        request: the request that it should answer.

    Returns:
        The answer's parameters.

    Raises:
        TokenError: it is the answer to another request, or no answer.
    """
    text = "".join(address.split()).strip("\"'<>")
    try:
        query = urlsplit(text).query if "://" in text else text.removeprefix("?")
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        pairs = []
    answer = dict(pairs)
    if not answer.keys() & {"code", "error"}:
        raise TokenError(
            "what was pasted is no address that a login ends on: there is neither a code nor an error in it",
            hint="after the login, copy the whole address from the browser's address bar, whatever the page says",
        )
    if len(answer) != len(pairs):
        raise TokenError(
            "the address has a parameter twice (RFC 6749 section 3.1)",
            hint="begin again",
            rule="authorization.state.unexpected",
        )
    if not request.is_answered_by(answer):
        raise TokenError(
            "the address is the answer to another login: its state is not this one's",
            hint="begin again, and use the newest browser tab; if nobody began another login, somebody tries to make "
            "you use theirs",
            rule="authorization.state.unexpected",
        )
    return answer


def read_code(answer: Mapping[str, str], issuer: str, *, names_issuer: bool) -> str:
    """Take the code from the answer to an authorization request (RFC 6749 section 4.1.2).

    Args:
        answer: the parameters, whose ``state`` was compared.
        issuer: whom the request was made to.
        names_issuer: whether this issuer says that its answers name it (RFC 9207 section 3).

    Returns:
        The authorization code.

    Raises:
        TokenError: the answer is another issuer's (RFC 9207 section 2.4), or has no code.
        RefusedError: the server refused, or the person did.
    """
    named = answer.get("iss")
    if named != issuer and (named is not None or names_issuer):
        raise TokenError(
            "the answer comes from another issuer than the one that was asked; its code was not used"
            if named is not None
            else "the answer does not say which issuer it comes from, as this one always does; its code was not used",
            details=(
                f"expected iss: {printable(issuer, 200)}",
                f"received iss: {'(none)' if named is None else printable(named, 200)}",
            ),
            hint="begin again in a fresh browser window; if it stays so, tell the server's operator (an attack?)",
            rule="authorization.iss.unexpected",
        )
    error = answer.get("error")
    if error is not None:
        code, description = printable(error, 80), printable(answer.get("error_description", ""))
        uri = answer.get("error_uri")
        hint = _HINTS.get(code, "look the error up in the vendor's documentation")
        if code == "invalid_request" and "pushed" in description.lower():
            hint = "add --par: this client has to push its authorization requests"
        raise RefusedError(
            f"the login was refused: {code}{f' — {description}' if description else ''}",
            error=code,
            status=0,
            hint=hint,
            details=() if uri is None else (f"the server's page on it: {printable(uri, 200)}",),
            rule=None if "." in code else code,
        )
    authorization_code = answer.get("code", "")
    # RFC 6749 appendix A.11: VSCHAR.
    if not authorization_code or not authorization_code.isascii() or not authorization_code.isprintable():
        raise TokenError(
            "the answer has neither a code nor an error in it", hint="begin again; tell the server's operator"
        )
    return authorization_code
