"""The checks of an id_token (OpenID Connect Core 1.0 section 3.1.3.7): algorithm, signature, claims.

The discovery document names the algorithms that the issuer uses.
"""

from __future__ import annotations

from hashlib import new as new_hash
from hmac import compare_digest
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.errors import BannoCredsError, ConfigurationError, TokenError
from banno_creds.jose.decode import DecodedToken, take_apart
from banno_creds.jose.encoding import base64url
from banno_creds.jose.jwks import EDWARDS_ALGORITHMS
from banno_creds.text import printable, setting
from banno_creds.times import looks_like_milliseconds, until, utc
from banno_creds.tokens.response import without_echoes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from banno_creds.http.client import HttpClient
    from banno_creds.jose.jwks import VerificationKey
    from banno_creds.login.session import Provider
    from banno_creds.steps import Run
    from banno_creds.tokens.response import TokenResponse

TOLERANCE = 300
"""The seconds by which clocks may differ, as in the vendor's own example."""

_HASHES: Mapping[str, str] = {
    **{f"{family}{size}": f"sha{size}" for size in (256, 384, 512) for family in ("RS", "PS", "ES")},
    **dict.fromkeys(EDWARDS_ALGORITHMS, "sha512"),
}
ALGORITHMS = tuple(_HASHES)
"""The algorithms that are accepted, if discovery names them too: those that `jose.verify` knows."""

_BEGIN_AGAIN = "nothing was kept; begin again, and if it stays so tell the server's operator"
_SUBJECT_CHARACTERS = 255  # OpenID Connect Core 1.0 section 2


class Expected(NamedTuple):
    """The values that an id_token must have.

    ``nonce`` is None if none was sent, as with a refresh token; ``subject`` is None if anybody may sign in.
    """

    issuer: str
    client_id: str
    nonce: str | None
    subject: str | None = None
    max_age: int | None = None


def algorithms_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of `ALGORITHMS` that a discovery document names; if it names none, RS256 is the default."""
    named = metadata.get("id_token_signing_alg_values_supported")
    if named is None:
        named = ["RS256"]
    if not isinstance(named, list):
        return ()
    if any(alg in named for alg in EDWARDS_ALGORITHMS):
        named = [*named, *EDWARDS_ALGORITHMS]
    return tuple(alg for alg in ALGORITHMS if alg in named)


def check_header(token: DecodedToken, algorithms: Sequence[str]) -> None:
    """Check, before any key is used, that the issuer names the algorithm (RFC 8725 section 3.1); else TokenError."""
    alg = token.header.get("alg")
    if alg in algorithms:
        return
    if alg == "none":
        message = "the id_token is not signed at all (alg none): anybody can have written it"
    elif isinstance(alg, str) and alg.startswith("HS"):
        message = (
            f"the id_token says it is signed with a shared secret ({printable(alg, 20)}), and a public key is not one"
        )
    else:
        message = (
            f"the id_token is signed with {printable(alg, 40)}, which the issuer's discovery document does not name"
        )
    raise TokenError(
        message,
        details=(f"expected alg: {' or '.join(algorithms) or '(discovery names none that is known here)'}",),
        hint=_BEGIN_AGAIN,
        rule="id_token.alg.unexpected",
    )


def check(token: DecodedToken, expected: Expected, access_token: str, now: int) -> None:
    """Check the claims of a verified id_token that came with this access token; TokenError if one is wrong."""
    claims = token.payload
    if claims.get("iss") != expected.issuer:
        raise _other("iss", "it is another issuer's", expected.issuer, claims)
    _check_audience(claims, expected.client_id)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _SUBJECT_CHARACTERS:
        raise _failed("sub", "it does not say who signed in (sub)")
    if expected.subject is not None and subject != expected.subject:
        raise _other("sub", "it is about another person than the one who signed in", expected.subject, claims)
    _check_times(claims, expected, now)
    if expected.nonce is not None:
        if "nonce" not in claims:
            raise _failed("nonce", "it has no nonce, and one was sent: it may belong to another login")
        if not _same(claims["nonce"], expected.nonce):
            raise _failed("nonce", "its nonce is not the one that was sent: it belongs to another login (a replay)")
    if claims.get("at_hash") is not None and not any(
        _same(claims["at_hash"], each) for each in _at_hashes(access_token, str(token.header.get("alg")))
    ):
        raise _failed("at_hash", "its at_hash is another access token's: the two do not belong together")


def at_hash(access_token: str, alg: str = "RS256") -> str:
    """Return half the hash of an access token, by the hash that an algorithm uses (section 3.1.3.6)."""
    digest = new_hash(_HASHES.get(alg, "sha256"), access_token.encode("ascii")).digest()
    return base64url(digest[: len(digest) // 2])


def _at_hashes(access_token: str, alg: str) -> tuple[str, ...]:
    """Return the hashes that are taken: the standard does not say which one EdDSA means, and some use SHA-256."""
    return (at_hash(access_token, alg), *([at_hash(access_token)] if alg in EDWARDS_ALGORITHMS else []))


def verified_claims(
    response: TokenResponse, expected: Expected, provider: Provider, http: HttpClient, run: Run
) -> Mapping[str, Any]:
    """Verify the id_token of a token response with the provider's current keys; return its claims, without echoes."""
    try:
        return _verified(response, expected, provider, http, run)
    except BannoCredsError as failure:
        raise failure.without(response.secrets) from None


def _verified(
    response: TokenResponse, expected: Expected, provider: Provider, http: HttpClient, run: Run
) -> Mapping[str, Any]:
    from banno_creds.login.steps import IdTokenVerified

    compact = response.members.get("id_token")
    check_header(read(compact), provider.algorithms)
    keys = _keys_of(provider, http, run)
    token, key = verify(str(compact), keys)
    now = int(run.clock())
    check(token, expected, response.access_token, now)
    claims: Mapping[str, Any] = without_echoes(token.payload, response.secrets)
    run.emit(IdTokenVerified(str(token.header["alg"]), key.description, claims, now))
    return claims


def _keys_of(provider: Provider, http: HttpClient, run: Run) -> Sequence[VerificationKey]:
    """Fetch the provider's current keys."""
    from banno_creds.http import discovery
    from banno_creds.http.attempts import persistently
    from banno_creds.jose.jwks import keys_of

    jwks = persistently(lambda _: discovery.fetch_json(provider.jwks_uri, http, "a JWK Set"), http, run)
    try:
        return keys_of(jwks, provider.jwks_uri)
    except ConfigurationError as failure:
        raise TokenError(
            f"the id_token cannot be verified: {failure.marked.message}",
            hint="nothing was kept; tell the server's operator",
            rule="id_token.signature.unverified",
        ) from None


def verified_userinfo(
    compact: str, provider: Provider, client_id: str, http: HttpClient, run: Run
) -> Mapping[str, Any]:
    """Verify a userinfo answer that is a JWT, and return its claims; ``iss`` and ``aud`` need not be there."""
    check_header(read(compact), ALGORITHMS)
    token, _ = verify(compact, _keys_of(provider, http, run))
    claims = token.payload
    if claims.get("iss") not in (None, provider.issuer):
        raise _other("iss", "it is another issuer's", provider.issuer, claims)
    if claims.get("aud") is not None:
        _check_audience(claims, client_id)
    return claims


def verify(compact: str, keys: Sequence[VerificationKey]) -> tuple[DecodedToken, VerificationKey]:
    """Take an id_token apart, and find which of the issuer's keys signed it; TokenError if none did."""
    from banno_creds.jose.verify import verify_signature

    token = read(compact)
    try:
        return token, verify_signature(token, keys)
    except TokenError as failure:
        raise failure.but(
            message=f"the id_token is not to be relied on: {failure.marked.message}",
            hint=_BEGIN_AGAIN,
            rule="id_token.signature.unverified",
        ) from None


def read(compact: object) -> DecodedToken:
    """Take the ``id_token`` of a token response apart, without verifying it; TokenError if it is not a JWT."""
    if not isinstance(compact, str):
        raise TokenError(
            "the token response has no id_token, so nobody knows who signed in"
            if compact is None
            else "the token response's id_token is not a text",
            hint="ask for the scope openid; if it was asked for, tell the server's operator",
            rule="id_token.missing",
        )
    try:
        return take_apart(compact)
    except TokenError as failure:
        raise TokenError(
            f"the id_token cannot be read: {failure.marked.message}", hint=_BEGIN_AGAIN, rule="id_token.missing"
        ) from None


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """Check that it is for us and, if it is for others too, issued to us (section 3.1.3.7, points 3 to 5)."""
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = audience if isinstance(audience, list) else [audience]
    if audience is None:
        raise _other("aud", "it does not say which client it is for (aud)", client_id, claims)
    if client_id not in audiences:
        raise _other("aud", "it is for another client", client_id, claims)
    if (len(audiences) > 1 or party is not None) and party != client_id:
        raise _other("azp", "it was issued to another client", client_id, claims, rule="aud")


def _check_times(claims: Mapping[str, Any], expected: Expected, now: int) -> None:
    ends = _seconds(claims, "exp")
    if now - TOLERANCE >= ends:
        raise _failed("exp", f"it expired {until(ends, now)}, at {utc(ends)}", _CLOCK)
    issued = _seconds(claims, "iat")
    if issued - TOLERANCE > now:
        raise _failed("iat", f"it says that it was issued {until(issued, now)}, at {utc(issued)}", _CLOCK)
    if claims.get("nbf") is not None and (begins := _seconds(claims, "nbf", "iat")) - TOLERANCE > now:
        raise _failed("iat", f"it is not valid before {utc(begins)}", _CLOCK)
    if expected.max_age is None:
        return
    if "auth_time" not in claims:
        asked = f"it does not say when the person signed in, and {setting('max_age')} asked for it"
        raise _failed("auth_time", asked)
    signed_in = _seconds(claims, "auth_time")
    if now - TOLERANCE - expected.max_age > signed_in:
        raise _failed(
            "auth_time",
            f"the person signed in {until(signed_in, now)}, and {setting('max_age')} allows {expected.max_age} s",
            f"sign in anew, with {setting('prompt')} login",
        )


_CLOCK = "compare this machine's clock with the server's; nothing was kept"


def _seconds(claims: Mapping[str, Any], name: str, rule: str = "") -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or looks_like_milliseconds(value):
        what = f"it has no {name}" if name not in claims else f"its {name} is no NumericDate: {_shown(value)}"
        raise _failed(rule or name, what)
    return value


def _same(received: object, expected: str) -> bool:
    return isinstance(received, str) and compare_digest(received.encode("utf-8", "replace"), expected.encode("ascii"))


_RULES = {
    **{claim: f"id_token.{claim}.unexpected" for claim in ("iss", "aud", "sub", "nonce", "at_hash")},
    "exp": "id_token.expired",
    "auth_time": "id_token.auth_time.too_old",
    "iat": "id_token.iat.future",
}


def _failed(claim: str, what: str, hint: str = _BEGIN_AGAIN, details: tuple[str, ...] = ()) -> TokenError:
    return TokenError(f"the id_token is not to be relied on: {what}", hint=hint, details=details, rule=_RULES[claim])


def _other(claim: str, what: str, wanted: str, claims: Mapping[str, Any], rule: str = "") -> TokenError:
    received = _shown(claims[claim]) if claim in claims else "(none)"
    details = (f"expected {claim}: {_shown(wanted)}", f"received {claim}: {received}")
    return _failed(rule or claim, what, details=details)


def _shown(value: object) -> str:
    """Show a value as JSON, in which a blank at an end and a letter of another alphabet can be seen."""
    return printable(dumps(value), 200)
