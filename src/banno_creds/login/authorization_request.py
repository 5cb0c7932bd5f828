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

from banno_creds.checks import check_names, check_scope, check_texts
from banno_creds.config import DEFAULT_LOGIN_SCOPE, DEFAULT_REDIRECT_URI, check_redirect_uri
from banno_creds.errors import ConfigurationError, RefusedError, TokenError
from banno_creds.jose.encoding import base64url, parse_json_object
from banno_creds.storage.secret_files import as_utf8
from banno_creds.text import printable, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

# Parameters that banno-creds sends itself, each with the setting that is for it, if there is one.
RESERVED_PARAMS: Mapping[str, str] = {
    **dict.fromkeys(("response_type", "response_mode", "state", "nonce", "request", "request_uri"), ""),
    **dict.fromkeys(("code_challenge", "code_challenge_method", "code_verifier", "client_secret"), ""),
    **dict.fromkeys(("client_assertion", "client_assertion_type", "grant_type", "code"), ""),
    **{name: name for name in ("client_id", "redirect_uri", "scope", "resource", "prompt", "login_hint", "max_age")},
    "claims": "claims_file",
}

OFFLINE = "offline_access"
"""The scope for a refresh token (OpenID Connect Core 1.0 section 11). The vendor's own one needs no consent."""

_SECRET_BYTES = 32  # 43 characters: the fewest that RFC 7636 section 4.1 allows for a verifier

_SILENT = f"nobody may be asked, because {setting('prompt')} is none: leave it out"
_HINTS = {
    "access_denied": "somebody pressed Cancel, or this user may not use the application or the values of "
    f"{setting('params')}",
    "login_required": f"nobody is signed in, and {_SILENT}",
    "interaction_required": f"the server has a question, and {_SILENT}",
    "consent_required": f"the user has to consent, and {_SILENT}",
    "account_selection_required": f"the user has to choose an account, and {_SILENT}",
    "invalid_scope": "ask the administrator which scopes the application was given, "
    f"and name them with {setting('scope')}",
    "unauthorized_client": "the application must be one for users' logins; ask the administrator",
    "unsupported_response_type": "the application must be one for users' logins; ask the administrator",
    "invalid_request": "look at the words of the server, and at your "
    f"{setting('params')}, {setting('prompt')} and other settings",
    "invalid_target": f"leave {setting('resource')} out, or name one that the application may use",
    "server_error": "try again later; the vendor asks for the date and the client ID in a support case",
    "temporarily_unavailable": "try again later",
}
_CLAIMS_HINT = (
    'it is a JSON object such as {"id_token": {"email": null}, "userinfo": {"address": {"essential": true}}}'
)


def _fresh() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One authorization request, good for one login.

    Attributes:
        client_id: the client ID.
        redirect_uri: the URI that the browser returns to, exactly as it was registered.
        scope: the scope values asked for; ``openid`` must be among them.
        resource: resource indicators (RFC 8707).
        params: further parameters, such as the vendor's for an institution.
        claims: the parameter ``claims`` of OpenID Connect Core 1.0 section 5.5.
        prompt: ``none``, ``login``, ``consent`` and the like, separated by blanks; empty to send none. None means
            ``consent`` for the scope ``offline_access``, which is ignored without it, and nothing for any other.
        login_hint: the user that the login page suggests.
        max_age: how long ago the person may have signed in, in seconds.
        state: the value that the answer must bring back.
        nonce: the value that the id_token must contain.
        code_verifier: the secret that proves, together with the code, who began the login.

    Raises:
        ConfigurationError: a value is invalid, or contradicts another.
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
        """Check the values here, because the server would refuse them later and less clearly."""
        check_redirect_uri(self.redirect_uri)
        check_scope(self.scope)
        if "openid" not in self.scope:
            raise ConfigurationError(
                "a login needs the scope openid: without it there is no id_token, and nobody knows who signed in",
                hint=f"add openid to {setting('scope')}",
            )
        check_names("params", [name for name, _ in self.params], RESERVED_PARAMS)
        check_texts("prompt", (self.prompt or "").split())
        check_texts("login_hint", [self.login_hint])
        check_texts("resource", self.resource)
        check_texts("params", [text for pair in self.params for text in pair])
        if "," in (self.prompt or ""):
            raise ConfigurationError(
                f"{setting('prompt')} has a comma in it, and blanks separate its values", hint="write: login consent"
            )
        if "none" in self.prompts and len(self.prompts) > 1:
            raise ConfigurationError(
                f"{setting('prompt')} has none and another value", hint="leave none out, or the others"
            )
        if self.max_age is not None and self.max_age < 0:
            raise ConfigurationError(
                f"{setting('max_age')} is {self.max_age}, and has to be 0 or more", hint="give seconds"
            )

    @property
    def prompts(self) -> tuple[str, ...]:
        """The values of ``prompt`` that are sent (OpenID Connect Core 1.0 sections 3.1.2.1 and 11)."""
        if self.prompt is None:
            return ("consent",) if OFFLINE in self.scope else ()
        return tuple(dict.fromkeys(self.prompt.split()))

    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Return all parameters in the order in which they are sent."""
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
        prompt = " ".join(self.prompts) or None
        for name, value in (("prompt", prompt), ("login_hint", self.login_hint), ("max_age", self.max_age)):
            if value is not None:
                parameters.append((name, str(value)))
        return (*parameters, *self.params)

    def token_form(self, code: str) -> tuple[tuple[str, str], ...]:
        """Return the form that redeems the code, without the client's proof (RFC 6749 section 4.1.3, RFC 7636)."""
        return (
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri),
            ("code_verifier", self.code_verifier),
        )

    def is_answered_by(self, answer: Mapping[str, str]) -> bool:
        """Return whether an answer brings back this request's ``state``."""
        return compare_digest(answer.get("state", "").encode("utf-8", "replace"), self.state.encode("ascii"))


def with_query(endpoint: str, parameters: tuple[tuple[str, str], ...]) -> str:
    """Return an endpoint's URL with parameters added to its query, which is kept (RFC 6749 section 3.1)."""
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def claims_parameter(content: bytes | None, names: tuple[str, ...], origin: str = "") -> Mapping[str, Any] | None:
    """Return the request's parameter ``claims`` (OpenID Connect Core section 5.5); None if none are asked for.

    ``content`` is the JSON object to send, ``origin`` its name in messages; ``names`` are added to the id_token's
    claims.

    Raises:
        ConfigurationError: it is not such a JSON object.
    """
    if content is None and not names:
        return None
    claims: dict[str, Any] = {}
    if content is not None:
        try:
            claims = parse_json_object(as_utf8(content))
        except ValueError as failure:
            raise ConfigurationError(f"{origin} is not a claims parameter: {failure}", hint=_CLAIMS_HINT) from None
        wrong = [name for name in ("id_token", "userinfo") if not isinstance(claims.get(name, {}), dict)]
        if wrong or not claims.keys() & {"id_token", "userinfo"}:
            raise ConfigurationError(
                f"{origin} is not a claims parameter: "
                + (f"{wrong[0]} is not an object" if wrong else "it asks for nothing"),
                hint=_CLAIMS_HINT,
            )
    for name in names:
        claims["id_token"] = {**claims.get("id_token", {}), name: claims.get("id_token", {}).get(name)}
    return claims


def read_address(address: str, request: AuthorizationRequest) -> dict[str, str]:
    """Return the answer's parameters from a pasted address where the browser ended, or from its query alone.

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
            "the pasted text is not the address where a login ends: it has neither a code nor an error in it",
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
            hint="begin again, and use the newest browser tab; if nobody began another login, somebody may want you "
            "to use theirs",
            rule="authorization.state.unexpected",
        )
    return answer


def read_code(answer: Mapping[str, str], issuer: str, *, names_issuer: bool) -> str:
    """Take the code from an answer whose ``state`` was compared (RFC 6749 section 4.1.2).

    With ``names_issuer`` the issuer says that its answers name it (RFC 9207 section 3).
    """
    named = answer.get("iss")
    if named != issuer and (named is not None or names_issuer):
        raise TokenError(
            "the answer comes from another issuer than the request went to; its code was not used"
            if named is not None
            else "the answer does not say which issuer it comes from, as this one always does; its code was not used",
            details=(
                f"expected iss: {printable(issuer, 200)}",
                f"received iss: {'(none)' if named is None else printable(named, 200)}",
            ),
            hint="begin again in a fresh browser window; if it stays so, tell the server's operator (an attack?)",
            rule="authorization.iss.unexpected",
        )
    if error := answer.get("error"):
        code, description = printable(error, 80), printable(answer.get("error_description", ""))
        uri = answer.get("error_uri")
        hint = _HINTS.get(code, "look the error up in the vendor's documentation")
        if code == "invalid_request" and "pushed" in description.lower():
            hint = f"add {setting('par')}: this client has to push its authorization requests"
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
