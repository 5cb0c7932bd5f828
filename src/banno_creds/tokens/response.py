"""A token response: the answer of a token endpoint that grants a token (RFC 6749 section 5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from banno_creds.checks import check_type
from banno_creds.errors import TokenError, UnusableAnswerError
from banno_creds.http.answers import exchange, present, read_object, words
from banno_creds.secrecy import without
from banno_creds.steps import Run, TokenReceived
from banno_creds.text import printable, setting

if TYPE_CHECKING:
    from banno_creds.http.exchange import Answer, Secrets

# RFC 6749 appendix A.12: access-token = 1*VSCHAR. A space or a line end would change the meaning of a header.
_TOKENS = ("access_token", "refresh_token", "id_token")
_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+")


_TYPES: Mapping[str, tuple[type | None, ...]] = {
    "access_token": (str,),
    "token_type": (str,),
    "expires_in": (int, None),
    "scope": (str, None),
    "requested_at": (int,),
    "raw": (Mapping,),
}


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A successful answer (RFC 6749 section 5.1).

    ``raw`` is the whole answer, ``secrets`` are those that its tokens' claims may echo. ``requested_at`` is when the
    request was sent, in seconds since the epoch: the token's life is counted from then, because the server's clock
    may differ from ours.
    """

    access_token: str = field(repr=False)
    token_type: str
    expires_in: int | None
    scope: str | None
    requested_at: int
    raw: Mapping[str, Any] = field(repr=False, hash=False)
    secrets: Secrets = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the types: tests of programs make such values themselves."""
        for name, kinds in _TYPES.items():
            check_type(name, getattr(self, name), *kinds)

    def __reduce__(self) -> tuple[object, ...]:
        """Leave the secrets of the request out of a copy and a pickle: its reader has no use for them."""
        return type(self), tuple(getattr(self, name) for name in _TYPES)

    @property
    def expires_at(self) -> int | None:
        """When the token ends, in seconds since the epoch."""
        return None if self.expires_in is None else self.requested_at + self.expires_in

    @property
    def members(self) -> dict[str, Any]:
        """The members of the answer that say something: one that is null or empty is absent."""
        return present(self.raw)


def is_bearer(response: TokenResponse) -> bool:
    """Return whether a token may be used as a Bearer token; one without a type may."""
    return response.token_type.lower() in ("bearer", "")


def bearer_token(response: TokenResponse) -> str:
    """Return the access token if it can be used as a Bearer token.

    Raises:
        UnusableAnswerError: it is of another type, and must not be used without understanding that (RFC 6749 section
            7.1).
    """
    if not is_bearer(response):
        raise UnusableAnswerError(
            f"the token is of the type {response.token_type}, which cannot be used as a Bearer token",
            hint="follow the specification of that type; banno-creds token -o json gives the whole answer",
            rule="token.type",
        )
    return response.access_token


def read_answer(answer: Answer, requested_at: int, hints: Mapping[str, str]) -> TokenResponse:
    """Read the answer of a token endpoint; ``hints`` say what to do about a refusal, by its error code."""
    body = read_object(answer, hints)
    try:
        # The tokens are what was asked for: they are no echoes.
        members: dict[str, Any] = {}
        for name, value in body.items():
            members |= {name: value} if name in _TOKENS else without_echoes({name: value}, answer.secrets)
        response = token_response(members, requested_at)
        return replace(response, secrets=answer.secrets)
    except ValueError as fault:
        raise UnusableAnswerError(
            f"the answer {fault} (its members: {answer.said(', '.join(sorted(body)) or 'none', 200)})",
            hint="see what the server says; if the URL is right, ask its operator"
            if words(answer)
            else "check that the URL is a token endpoint",
            details=exchange(answer) + words(answer),
            rule="network.answer",
        ) from None


def without_echoes(value: Any, secrets: Secrets) -> Any:
    """Return members of an answer, or claims, without what echoes a secret.

    What is kept of an answer is shown again when nobody knows the secret any more.
    """
    if isinstance(value, str):
        return without(value, secrets)
    if isinstance(value, list):
        return [without_echoes(each, secrets) for each in value]
    if isinstance(value, dict):
        return {without(name, secrets): without_echoes(each, secrets) for name, each in value.items()}
    return value


def token_response(members: Mapping[str, Any], requested_at: int) -> TokenResponse:
    """Read the members of a successful answer (RFC 6749 section 5.1), now or from the cache.

    Raises:
        ValueError: there is no access token, or an invalid one; the message says which.
    """
    access_token = members.get("access_token")
    if isinstance(access_token, str):
        # Some gateways write the header's value, or a line end.
        access_token = re.sub(r"\ABearer +(?=\S)", "", access_token.strip(), flags=re.IGNORECASE)
    if not isinstance(access_token, str) or not _ACCESS_TOKEN.fullmatch(access_token):
        raise ValueError("has an invalid access_token" if access_token else f"has no access_token{_wrapped(members)}")
    token_type = members.get("token_type")
    return TokenResponse(
        access_token=access_token,
        token_type=printable(token_type, 60) if isinstance(token_type, str) else "",
        expires_in=_seconds(members.get("expires_in")),
        scope=_scope(members.get("scope")),
        requested_at=requested_at,
        raw=members,
    )


def _wrapped(members: Mapping[str, Any]) -> str:
    """Return where there is an access token that is not where it belongs."""
    for name, value in members.items():
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict) and "access_token" in inner:
            return f" at the top, but inside {printable(name, 40)}"
        if value and re.sub("[_-]", "", name).lower() == "accesstoken":
            return f", but {printable(name, 40)}"
    return ""


def _scope(value: object) -> str | None:
    """Return ``scope`` as words; some servers send an array, and one that is empty says nothing."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = " ".join(value)
    return printable(value) or None if isinstance(value, str) else None


def _seconds(value: object) -> int | None:
    """Return ``expires_in`` as a whole number of seconds; some servers send it as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = int(float(value.strip().removesuffix("s") if isinstance(value, str) else value))
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < 10**9 else None  # else it is a date, in seconds since the epoch


def announce(response: TokenResponse, asked: tuple[str, ...], run: Run) -> None:
    """Emit the step for a token response, and warn of a smaller scope, another type or an unknown life."""
    beside = {name: response.members.get(name) for name in ("refresh_token", "id_token")}
    run.emit(
        TokenReceived(
            token_type=response.token_type,
            expires_in=response.expires_in,
            expires_at=response.expires_at,
            scope=response.scope,
            claims=_claims_of(response),
            access_token=response.access_token,
            beside=tuple((name, value) for name, value in beside.items() if isinstance(value, str)),
        )
    )
    if less := not_granted(response, asked):
        # A server may silently drop scopes that it does not know (RFC 6749 section 3.3).
        run.warn(
            f"the server granted less than was asked for: not {' '.join(less)}",
            "check the spelling, and ask the administrator which scopes the application was given",
        )
    if response.token_type.lower() != "bearer":
        named = f"the type {response.token_type}" if response.token_type else "no token_type"
        run.warn(f"the answer names {named}, and Bearer was expected")
    if response.expires_in is None:
        run.warn("the answer does not say in expires_in how long the token lives")


def not_granted(response: TokenResponse, asked: tuple[str, ...]) -> list[str]:
    """Return the scopes that were asked for, and that the answer shows were not granted.

    An answer without a scope grants what was asked for (RFC 6749 section 5.1).
    """
    if response.scope is None:
        return []
    return [each for each in asked if each not in re.split(r"[\s,]+", response.scope)]


def warn_of_a_short_life(response: TokenResponse, min_ttl: int, run: Run) -> None:
    """Warn of a token that does not live for ``min_ttl``: the cache can never give it again."""
    life = response.expires_in
    if life is not None and life <= min_ttl:
        name = setting("min_ttl")
        run.warn(
            f"the token lives {life} s, and {name} asks for {min_ttl}: nothing can come from the cache",
            f"lower {name} below {life}" if life > 0 else None,
        )


def _claims_of(response: TokenResponse) -> Mapping[str, object]:
    """Return the claims of an access token that is a JWT; an opaque one has none, which is no fault."""
    from banno_creds.jose.decode import decode

    try:
        claims: Mapping[str, object] = without_echoes(decode(response.access_token).payload, response.secrets)
    except TokenError:
        return {}
    return claims
