"""The names of profiles, and the known name that is nearest to an unknown one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from banno_creds.errors import ConfigurationError
from banno_creds.text import printable, unseen

if TYPE_CHECKING:
    from collections.abc import Collection

RULE = "a profile's name has letters, digits and . _ - in it, and does not start with -"


def check_name(name: str) -> None:
    """Check a profile's name; ConfigurationError if a profile cannot be called so."""
    if not is_name(name):
        odd, other = unseen(name), _like(name)
        raise ConfigurationError(
            f"{quoted(name)} cannot be a profile's name" + (f": {odd}" if odd else ""),
            hint=RULE + (f"; for example {other}" if other else ""),
        )


def is_name(name: str) -> bool:
    """Return whether a profile can be called so."""
    return name.isascii() and name.replace(".", "a").replace("_", "a").replace("-", "a").isalnum() and name[0] != "-"


def _like(name: str) -> str:
    """Return a name that is like one that cannot be; nothing if there is none, or if it is a secret."""
    import re
    from unicodedata import normalize

    from banno_creds.secrecy import without_keys

    if without_keys(name) != name:
        return ""
    plain = normalize("NFKD", name[:60]).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[\w.]+", plain))


def quoted(text: str) -> str:
    """Return a text from outside in quotes, fit for a message."""
    return f"'{printable(text, 60)}'"


def nearest(name: str, names: Collection[str]) -> str | None:
    """Return the known name that was probably meant; None if none is near."""
    from difflib import get_close_matches

    begun = [other for other in names if len(name) > 1 and other.startswith(name)]
    return next(iter([*get_close_matches(name, names, 1), *begun]), None)
