"""Take a JWT apart, and check its times and claims. `verify` checks its signature."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from json import dumps
from typing import TYPE_CHECKING, Any

from banno_creds.errors import TokenError
from banno_creds.jose.encoding import base64url_decode, parse_json_object
from banno_creds.text import printable, setting
from banno_creds.times import duration, looks_like_milliseconds, until, utc

if TYPE_CHECKING:
    from collections.abc import Mapping

# A real token has a few kilobytes; a file that was given by mistake may have more.
MOST_CHARACTERS = 1024 * 1024

_PREFIX = re.compile(r"\s*(?:Authorization\s*:\s*)?(?:(?:Bearer|DPoP)\s+)?", re.IGNORECASE)
_QUOTES = "\"'"
# The line that ``client-assertion -o env`` prints.
_VARIABLE = re.compile(r"(?:export\s+)?BANNO_ACCESS_TOKEN=(\S+)")

_PEM_LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----|---- BEGIN SSH2 (PUBLIC KEY) ----")
_OPENSSH_PUBLIC = re.compile(r"(?:ssh-|ecdsa-sha2-|sk-)\S+ AAAA")
# The first characters of base64 of PEM, PKCS#8, PKCS#1, SEC1, SPKI and certificates.
_BASE64_KEY = re.compile(r"(?:LS0tLS1CRUdJTi|MI[A-P]|MFkw|MH[YZa-d])[A-Za-z0-9+/=\s]{80,}")

# RFC 6749 appendix A.12: the characters of an access token, whether it is a JWT or opaque.
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class DecodedToken:
    """The parts of a JWT in compact serialization (RFC 7515 section 7.1)."""

    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    compact: str = field(repr=False)


def decode(text: str) -> DecodedToken:
    """Find the JWT in pasted text, and take it apart. Nothing is verified.

    Args:
        text: a JWT, with or without ``Bearer`` before it; or a whole token response as JSON; or a line that
            exports it. White space inside it, as wrapped lines have it, is ignored.

    Raises:
        TokenError: there is no readable JWT; the message says what the text is instead.
    """
    return take_apart(extract_token(text))


def take_apart(compact: str) -> DecodedToken:
    """Take a compact JWS apart, with nothing around it (RFC 7515 section 7.1). Nothing is verified.

    Raises:
        TokenError: this is no readable JWT; the message says what it is instead.
    """
    parts = compact.split(".")
    if len(parts) == 5:
        raise TokenError(
            f"this token is encrypted (a JWE: five parts, {_encryption(parts[0])})",
            hint="only its recipient can read it; ask the issuer for a signed token (JWS)",
        )
    if len(parts) == 1 and not _TOKEN.fullmatch(compact):
        raise TokenError("this is no token: it holds characters that no token can have", hint=_COPY_AGAIN)
    if len(parts) == 1:
        raise TokenError(
            "this is no JWT: it has no dots, so it may be an opaque token, which only the server can read",
            hint="for the claims of an opaque token ask the provider's introspection or userinfo endpoint",
        )
    if len(parts) != 3:
        raise TokenError(
            f"this is no JWT: it has {len(parts)} parts between dots, and a signed one has 3",
            hint="copy the whole token; a terminal or a log may have cut it off",
        )
    header = _part(parts[0], "header")
    payload = _part(parts[1], "payload")
    try:
        base64url_decode(parts[2])
    except ValueError as failure:
        raise TokenError(f"the token's signature is broken: {failure}", hint=_COPY_AGAIN) from None
    return DecodedToken(header, payload, compact)


def what_else(text: str) -> str | None:
    """Name the key or certificate that was pasted instead of a token: "a private key"; None if it is neither."""
    label = _PEM_LABEL.search(text)
    if label is not None:
        name = label[1] or label[2]
        if "PRIVATE KEY" in name:
            return "a private key"
        if "PUBLIC KEY" in name:
            return "a public key"
        return "a certificate" if name.endswith("CERTIFICATE") else "PEM"
    text = text.strip().removeprefix("\ufeff").strip()
    if _OPENSSH_PUBLIC.match(text):
        return "a public key"
    if _BASE64_KEY.fullmatch(text):
        return "what looks like a key or a certificate in base64"
    if not text.startswith("{"):
        return None
    with suppress(ValueError):
        members = parse_json_object(text)
        if "access_token" not in members and "kty" in members:
            return "a private key" if "d" in members or members["kty"] == "oct" else "a public key"
    return None


NO_KEY = "give a token; never show a private key to anybody"
"""The hint if `what_else` recognises something."""

_COPY_AGAIN = "copy the whole token again; a terminal or a log may have changed it"
_TELL_ITS_MAKER = "copy the whole token again; if that does not help, tell its issuer"


def extract_token(text: str) -> str:
    """Return the token in pasted text, without white space; `decode` says which texts.

    Raises:
        TokenError: there is none.
    """
    if len(text) > MOST_CHARACTERS:
        raise TokenError(
            f"this is larger than {MOST_CHARACTERS // 1024} KiB: no token is that long",
            hint="check that this is the token that you want to decode",
        )
    if (what := what_else(text)) is not None:
        raise TokenError(f"this is {what}, not a token", hint=NO_KEY)
    text = text.strip().removeprefix("\ufeff").strip()
    if text.startswith("{"):
        text = _from_response(text)
    elif (variable := _VARIABLE.match(text)) is not None:
        text = variable[1]
    token = "".join(_PREFIX.sub("", text.strip(_QUOTES), count=1).strip(_QUOTES).split())
    if not token:
        raise TokenError(
            "there is nothing to decode",
            hint=f"give a token as argument, on standard input or with {setting('file')}",
        )
    return token


def _from_response(text: str) -> str:
    try:
        response = parse_json_object(text)
    except ValueError as failure:
        raise TokenError(f"this starts like a token response, but {failure}", hint=_COPY_AGAIN) from None
    for name in ("access_token", "id_token"):
        token = response.get(name)
        if isinstance(token, str):
            return token
    error = response.get("error")
    if isinstance(error, str):
        description = response.get("error_description")
        words = [error, description] if isinstance(description, str) else [error]
        raise TokenError(
            f"this is a refusal, not a token: {' — '.join(printable(word, 300) for word in words)}",
            hint="run banno-creds client-assertion again: it says what to do about it",
        )
    members = printable(", ".join(response) or "none", 200)
    raise TokenError(
        f"this is JSON without an access_token (its members: {members})",
        hint="give a whole token response, or the token alone",
    )


def _encryption(part: str) -> str:
    try:
        header = parse_json_object(base64url_decode(part))
    except ValueError as failure:
        return f"and its header is broken: {failure}"
    return f"alg {printable(header.get('alg'), 40)}, enc {printable(header.get('enc'), 40)}"


def _part(part: str, name: str) -> dict[str, Any]:
    try:
        return parse_json_object(base64url_decode(part))
    except ValueError as failure:
        raise TokenError(f"the token's {name} is broken: {failure}", hint=_TELL_ITS_MAKER) from None


def check_expiry(payload: Mapping[str, Any], now: int, leeway: int = 0) -> None:
    """Check that a token is valid now, give or take ``leeway`` seconds (RFC 7519 sections 4.1.4 and 4.1.5).

    Raises:
        TokenError: it has expired, or is not valid yet, or its times are missing or malformed.
    """
    if "exp" not in payload:
        raise TokenError("the token has no exp: it does not say when it ends", hint=_NOT_TO_BE_TRUSTED)
    expires = _numeric_date(payload, "exp")
    # `now` and `leeway` are integers, so this is exact; `expires` may be a float, however large.
    if now - leeway >= expires:
        raise TokenError(
            f"the token EXPIRED {until(expires, now)}, at {utc(expires)}",
            hint="get a fresh one; if it is fresh, compare this machine's clock with the server's",
        )
    if "nbf" in payload and now + leeway < (begins := _numeric_date(payload, "nbf")):
        raise TokenError(
            f"the token is not valid before {utc(begins)}, in {duration(begins - now)}",
            hint=f"compare this machine's clock with the server's, or allow a difference with {setting('leeway')}",
        )


_NOT_TO_BE_TRUSTED = "do not rely on this token; ask its issuer"


def _numeric_date(payload: Mapping[str, Any], name: str) -> float:
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenError(
            f"the token's {name} is no number: {printable(dumps(value), 80)}",
            hint="RFC 7519 wants seconds since 1970 as a JSON number; tell the token's issuer",
        )
    if looks_like_milliseconds(value):
        raise TokenError(
            f"the token's {name} is in milliseconds ({printable(value, 40)}), and RFC 7519 wants seconds",
            hint="tell the token's issuer: read as seconds, it never expires",
        )
    return value


def check_claims(payload: Mapping[str, Any], issuer: str | None, audience: str | None) -> None:
    """Check that a token has this issuer and this audience (RFC 7519 sections 4.1.1 and 4.1.3); None if any will do.

    Raises:
        TokenError: the token is from another issuer, or for another audience.
    """
    if issuer is not None and payload.get("iss") != issuer:
        raise TokenError(
            "the token is from another issuer",
            details=(f"expected iss: {dumps(issuer)}", f"received iss: {_received(payload, 'iss')}"),
            hint=f"check {setting('issuer')}: the two must be equal to the character",
        )
    if audience is not None:
        received = payload.get("aud")
        if audience not in (received if isinstance(received, list) else [received]):
            raise TokenError(
                "the token is for another audience",
                details=(f"expected aud: {dumps(audience)}", f"received aud: {_received(payload, 'aud')}"),
                hint=f"check {setting('audience')}: the two must be equal to the character",
            )


def _received(payload: Mapping[str, Any], name: str) -> str:
    """Show a claim as JSON, which makes spaces at its ends and letters of other alphabets visible."""
    return printable(dumps(payload[name]), 200) if name in payload else "(none)"
