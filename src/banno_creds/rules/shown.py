"""Say values from requests, claims and keys in a finding: briefly, on one line, without secrets."""

from __future__ import annotations

import re
from typing import Any

from banno_creds.secrecy import without_jwts
from banno_creds.text import printable

_MOST_CHARACTERS = 200
_MOST_ITEMS = 8
_WORD = re.compile(r"\S+")


def without_secrets(text: str) -> str:
    """Replace JWTs, and the user and the password of URLs, by words in text from outside."""
    return _WORD.sub(_without_userinfo, without_jwts(text))


def _without_userinfo(word: re.Match[str]) -> str:
    scheme, separator, rest = word[0].partition("://")
    # Up to the last "@": a password may contain any character, encoded or not.
    _, at, host = rest.rpartition("@")
    return f"{scheme}{separator}(left out)@{host}" if separator and at else word[0]


def shown(value: Any) -> str:
    """Show a value from JSON or from a form, briefly, and as JSON if it is flat.

    Nested values are only named, because they may be nested deeper than Python's stack. JWTs and the passwords of
    URLs are never shown, not even in part: people swap shell variables.
    """
    if isinstance(value, str):
        return f'"{printable(without_secrets(value), most=_MOST_CHARACTERS)}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return printable(value, most=40)
    if isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            return "an array that holds more than strings"
        more = [f"{len(value) - _MOST_ITEMS} more"] if len(value) > _MOST_ITEMS else []
        return f"[{', '.join([shown(item) for item in value[:_MOST_ITEMS]] + more)}]"
    return "an object"
