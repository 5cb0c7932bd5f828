"""Base64url and JSON as the JOSE RFCs want them: strict, bounded, and with words for what is wrong."""

from __future__ import annotations

import json
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, NoReturn

JsonObject = Mapping[str, Any]

_NOT_BASE64URL = re.compile(r"[^A-Za-z0-9_-]")


def base64url(data: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str) -> bytes:
    """Decode base64url without padding (RFC 7515 section 2).

    Args:
        text: the encoded text; nothing outside the alphabet is passed over.

    Returns:
        The bytes.

    Raises:
        ValueError: a character is not of the alphabet, or the length cannot be; the message says which.
    """
    stranger = _NOT_BASE64URL.search(text)
    if stranger:
        raise ValueError(f"character {stranger.start() + 1} is not base64url")
    if len(text) % 4 == 1:
        raise ValueError("its length cannot be: it was cut off, or a character is missing")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parse_json_object(data: bytes | str) -> dict[str, Any]:
    """Parse a JSON object as strictly as RFC 7519 section 4 and RFC 8259 allow.

    A repeated member is an error: which of the two counts differs from reader to reader, and that difference
    has been used to attack. So are ``NaN`` and ``Infinity``, which are not JSON.

    Args:
        data: UTF-8 bytes, or text.

    Returns:
        The object.

    Raises:
        ValueError: it is not such an object; the message says why in words.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    try:
        value = json.loads(text, object_pairs_hook=_unique_members, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as failure:
        raise ValueError(f"it is not JSON ({failure.msg} at character {failure.pos + 1})") from None
    except RecursionError:
        raise ValueError("it is JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it is JSON, but {_NAMES[type(value)]} and not an object")  # noqa: TRY004 - data, not types
    return value


_NAMES = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"it has the member {name!a} more than once")
            seen.add(name)
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it holds a number too large to be one")
    return number
