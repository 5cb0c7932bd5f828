"""One JWK (RFC 7517), as its writer meant it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from banno_creds.jose.encoding import base64url, base64url_decode

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUIRED = frozenset(("kty", "crv", "n", "e", "d", "x", "y", "keys"))
_NUMBERS = frozenset(("n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y"))
_COORDINATES = {"P-256": 43, "P-384": 64, "P-521": 88}  # their characters in base64url


def mended(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JWK as its writer meant it: without members that say nothing, its numbers as RFC 7518 wants them.

    .NET's serializer writes members that are not there as null or empty; other programs write an exponent as a
    number, pad the numbers, use the other alphabet of base64, or leave a coordinate's leading zeros out.
    """
    members = {
        name: value
        for name, value in jwk.items()
        if value is not None and not (name not in _REQUIRED and value in ("", [], {}))
    }
    if isinstance(members.get("kty"), str):
        members["kty"] = members["kty"].upper() if members["kty"] != "oct" else "oct"
    for name in _NUMBERS & members.keys():
        members[name] = _number(members[name], _COORDINATES.get(str(members.get("crv"))) if name in "xyd" else None)
    return members


def _number(value: object, length: int | None) -> object:
    """Return a number of a JWK as Base64urlUInt (RFC 7518 section 2); of ``length`` characters, if that is known."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))
    if not isinstance(value, str):
        return value
    text = "".join(value.split()).rstrip("=").translate({ord("+"): "-", ord("/"): "_"})
    if length is None or not text or len(text) >= length:
        return text
    try:
        number = base64url_decode(text)
    except ValueError:
        return text
    return base64url(number.rjust(length * 3 // 4, b"\0"))
