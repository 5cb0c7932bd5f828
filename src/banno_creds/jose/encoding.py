"""Base64url and JSON as the JOSE RFCs define them: strict and bounded; each error says what is wrong."""

from __future__ import annotations

import json
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from typing import Any, NoReturn

# A claim is a few levels deep. Programs that write the value as JSON again, here or later in a pipe, must not run
# out of stack.
_MOST_LEVELS = 100

# Python's own limit for turning digits into a number.
_MOST_DIGITS = 4300

_NOT_BASE64URL = re.compile(r"[^A-Za-z0-9_-]")


def base64url(data: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str) -> bytes:
    """Decode base64url without padding (RFC 7515 section 2); characters outside the alphabet are not ignored.

    Raises:
        ValueError: a character is outside the alphabet, or the length or the last character is impossible; the
            message says which.
    """
    stranger = _NOT_BASE64URL.search(text)
    if stranger:
        raise ValueError(f"character {stranger.start() + 1} is not base64url")
    if len(text) % 4 == 1:
        raise ValueError("its length is impossible: it was cut off, or a character is missing")
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # A token has one spelling (RFC 4648 section 3.5): otherwise a changed token could still verify.
    if base64url(data) != text:
        raise ValueError("its last character is impossible: it has bits that belong to no byte")
    return data


def parse_json_object(data: bytes | str, *, any_number: bool = False) -> dict[str, Any]:
    """Parse a JSON object as strictly as RFC 7519 section 4 and RFC 8259 allow.

    A repeated member is an error: parsers disagree on which of the two counts, and attackers have used that. So are
    ``NaN`` and ``Infinity``, which are not JSON. With ``any_number``, a number that is too large is null instead of
    an error.

    Raises:
        ValueError: it is no such object; the message says why.
    """
    value = parse_json(data, any_number=any_number)
    if not isinstance(value, dict):
        raise ValueError(f"it is JSON, but {_NAMES[type(value)]} and not an object")  # noqa: TRY004 - data, not types
    return value


def parse_json(data: bytes | str, *, any_number: bool = False) -> Any:
    """Parse any JSON value as strictly as `parse_json_object`, with the same arguments and errors."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_members,
            parse_constant=_no_constant,
            parse_float=_number_or_null if any_number else _finite,
            parse_int=_number_or_null if any_number else _bounded,
        )
    except json.JSONDecodeError as failure:
        raise ValueError(
            f"it is not JSON ({failure.msg.removesuffix(' at')} at character {failure.pos + 1})"
        ) from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(value)
    return value


_TOO_DEEP = f"it is JSON nested more than {_MOST_LEVELS} levels deep"


def _check_depth(value: object) -> None:
    """Refuse a value that is too deep. This goes level by level, without recursion."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        containers = (item for item in level if isinstance(item, dict | list))
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


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
        [(repeated, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it has the member {repeated!a} more than once")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is not JSON")


def _bounded(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError("it holds a number too large to be one")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it holds a number too large to be one")
    return number


def _number_or_null(text: str) -> float | None:
    try:
        return _bounded(text) if text.lstrip("-").isdigit() else _finite(text)
    except ValueError:
        return None
