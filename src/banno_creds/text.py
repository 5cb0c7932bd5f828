"""What may be shown to a person: text from outside made safe, settings named; `secrecy` takes secrets out.

Nothing here prints. Errors, steps and pages use it for every word that came from a server, a file or a user.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from banno_creds.secrecy import without_keys

if TYPE_CHECKING:
    from collections.abc import Callable

# A server's longer words help nobody, and such a log line hurts.
_MOST_CHARACTERS = 500


def printable(text: object, most: int = _MOST_CHARACTERS) -> str:
    """Make text from outside fit for one line of a terminal or a log.

    Args:
        text: anything; it is turned into ``str`` first.
        most: the most characters to keep; a cut is marked.

    Returns:
        The text with each run of control characters and white space folded into one space, JWTs and private keys
        left out.
    """
    # Only a little more than is kept is read, so that a 50 MiB answer costs nothing.
    source = without_keys(str(text)[: most * 4 + 4096])
    # Characters that can move a cursor, reorder a line or break an encoder are not printable: controls, format
    # characters (bidirectional overrides too), surrogates, line and paragraph separators.
    shown = " ".join("".join(c if c.isprintable() else " " for c in source).split())
    return shown if len(shown) <= most else f"{shown[:most]}… (shortened)"


# The first words of our messages, except for those that begin with the name of a file or setting.
_FIRST_WORDS = frozenset(
    (
        *("a", "an", "another", "both", "cannot", "it", "no", "nobody", "nothing", "others", "port", "standard"),
        *("the", "there", "this", "two", "waiting", "what"),
    )
)


def sentence(message: str) -> str:
    """Start a message with a capital letter, unless it begins with the name of a file or setting."""
    return message[0].upper() + message[1:] if message.partition(" ")[0] in _FIRST_WORDS else message


# --- Settings by their names ----------------------------------------------------------------------------------------

# Private-use characters: `printable` removes them from all text that comes from outside, so only we write them.
_FIELD = re.compile("\ue000([a-z_]+)\ue001")


def setting(name: str) -> str:
    """Name a setting in a message, such as ``kid``.

    A Python program reads ``kid``; the command line replaces it by what its user wrote: the option, the variable or
    the profile's key.
    """
    return f"\ue000{name}\ue001"


def spelled(text: str, spell: Callable[[str], str] = str) -> str:
    """Spell each setting that a text names; by default as in Python."""
    return _FIELD.sub(lambda found: spell(found[1]), text)


def fields(text: str) -> tuple[str, ...]:
    """Return the names of the settings that a text names, in their order."""
    return tuple(dict.fromkeys(_FIELD.findall(text)))
