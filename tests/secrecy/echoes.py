"""How a secret may be echoed, and whether words tell one."""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable

# Each spelling of what is echoed.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda it: it,
    "lower case": str.lower,
    "upper case": str.upper,
    "percent": lambda it: quote(it, safe=""),
    "percent, lower case": lambda it: quote(it, safe="").lower(),
    "percent, all": lambda it: "".join(f"%{ord(c):02x}" for c in it),
    "percent, twice": lambda it: quote(quote(it, safe=""), safe=""),
    "base64": lambda it: b64encode(it.encode()).decode(),
    "base64 of more": lambda it: b64encode(f"x:{it}".encode()).decode(),
    "base64 of still more": lambda it: b64encode(f"id:{it}&".encode()).decode(),
    "base64url": lambda it: urlsafe_b64encode(it.encode()).rstrip(b"=").decode(),
    "standard alphabet": lambda it: it.replace("-", "+").replace("_", "/"),
    "hexadecimal": lambda it: it.encode().hex(),
    "blanks": lambda it: " ".join(it[i : i + 10] for i in range(0, len(it), 10)),
    "quotes": lambda it: "' '".join(it[i : i + 20] for i in range(0, len(it), 20)),
    "backslashes": lambda it: it.replace("/", "\\/").replace("+", "\\u002b").replace("-", "\\x2d"),
    "unicode escapes": lambda it: "".join(f"\\u{ord(c):04x}" for c in it),
    "HTML": lambda it: "".join(f"&#{ord(c)};" if c.isdigit() or not c.isalnum() else c for c in it),
    "HTML, hexadecimal": lambda it: "".join(f"&#x{ord(c):X};" for c in it),
    "beginning": lambda it: it[:20],
    "end": lambda it: it[-20:],
}


def _bare(text: str) -> str:
    return re.sub("[^0-9a-z]", "", text.lower())


def tells(said: str, secret: str, spelling: str = "as it is") -> str:
    """Return the part of a secret that is in what was said, in this spelling or bare; empty if none is."""
    for text, size in ((secret, 16), (SPELLINGS[spelling](secret), 20)):
        form, words = _bare(text), _bare(said)
        parts = [form[i : i + size] for i in range(max(1, len(form) - size + 1))]
        found = next((part for part in parts if part and part in words), "")
        if found:
            return found
    return ""
