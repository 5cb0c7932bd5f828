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

    Runs of control characters and white space become one space, JWTs and private keys are left out, and a cut after
    ``most`` characters is marked.
    """
    # Only a little more than is kept is read, so that a 50 MiB answer costs nothing.
    source = without_keys(str(text)[: most * 4 + 4096])
    # Characters that can move a cursor, reorder a line or break an encoder are not printable: controls, format
    # characters (bidirectional overrides too), surrogates, line and paragraph separators.
    shown = " ".join(on_one_line(source).split())
    return shown if len(shown) <= most else f"{shown[:most]}… (shortened)"


def on_one_line(text: str) -> str:
    """Return a text with a blank in the place of each character that is not printable."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


# What Linux says of these numbers of Windows. Windows has its own words in its user's language, or none.
_WINDOWS_WORDS = {
    64: "Connection reset by peer",  # ERROR_NETNAME_DELETED
    121: "Connection timed out",  # ERROR_SEM_TIMEOUT
    1225: "Connection refused",
    1231: "Network is unreachable",
    1232: "No route to host",
    1236: "Software caused connection abort",
    10013: "Permission denied",
    10022: "Invalid argument",
    10024: "Too many open files",
    10047: "Address family not supported by protocol",
    10048: "Address already in use",
    10049: "Cannot assign requested address",
    10050: "Network is down",
    10051: "Network is unreachable",
    10052: "Network dropped connection on reset",
    10053: "Software caused connection abort",
    10054: "Connection reset by peer",
    10055: "No buffer space available",
    10057: "Transport endpoint is not connected",
    10060: "Connection timed out",
    10061: "Connection refused",
    10064: "Host is down",
    10065: "No route to host",
    10091: "the network is not ready",
    11001: "Name or service not known",
    11002: "Temporary failure in name resolution",
    11003: "Non-recoverable failure in name resolution",
    11004: "No address associated with hostname",
}


def system_words(failure: OSError) -> str:
    """Return what the system says of a failure of the network, the same on each system; never an empty text."""
    number = getattr(failure, "winerror", None)
    if number is None and (failure.errno or 0) > _MOST_ERRNO:  # the resolver's have no other
        number = failure.errno
    return printable(_WINDOWS_WORDS.get(number or 0) or failure.strerror or type(failure).__name__, 80)


_MOST_ERRNO = 10000  # Windows' numbers of sockets are above it, and no other system's


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


# --- What cannot be seen, and what was never filled in --------------------------------------------------------------

_NAMES = {"\n": "a line end", "\r": "a carriage return (CR)", "\t": "a tab", " ": "a blank"}
# What text programs make of hyphens and quotation marks.
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\ufe58\ufe63\uff0d"
CURLY_QUOTES = "\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2032\u2033\u2039\u203a"
_QUOTES = "\"'`" + CURLY_QUOTES
_LOOK_LIKE_OTHERS = frozenset(DASHES + CURLY_QUOTES)


def unseen(text: str) -> str | None:
    """Say what a value has that nobody sees in it, or takes for something else; None if there is no such thing."""
    for verb, char in (("ends", text[-1:]), ("begins", text[:1])):
        if char.isspace() or not char.isprintable():
            return f"it {verb} with {_name(char)}"
    if len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        return "it has quotation marks around it"
    for verb, char in (("ends", text[-1:]), ("begins", text[:1])):
        if char and char in _QUOTES:
            return f"it {verb} with a quotation mark"
    if text.isprintable() and _LOOK_LIKE_OTHERS.isdisjoint(text):  # as nearly every text; this is quick
        return None
    odd = (char for char in text if not char.isprintable() or char in _LOOK_LIKE_OTHERS)
    return next((f"it has {_name(char)} in it" for char in odd), None)


def quoted(text: str) -> str:
    """Return a value in quotation marks: as it was typed, or with escapes for what cannot be seen in it."""
    if not text.isprintable() or not _LOOK_LIKE_OTHERS.isdisjoint(text):
        return f"{text!a}"
    mark = '"' if "'" in text and '"' not in text else "'"
    return f"{mark}{text}{mark}"


def _name(char: str) -> str:
    if char in _NAMES:
        return _NAMES[char]
    from unicodedata import name

    known = "byte order mark" if char == "\ufeff" else name(char, "control character").lower()
    return f"{'an' if known[0] in 'aeiou' else 'a'} {known} (U+{ord(char):04X})"


# What a person, a template or a CI job should have replaced by a value.
_NOT_FILLED_IN = (
    r"<.*>|\[.*\]|\(.*\)|\{.*\}|#\{.*\}#?|\$\w+|%\w+%|!\w+!|@\w+@|__+\w+__+"
    r"|.*(?:\$\{.*\}|\$\(.*\)|\{\{.*\}\}).*"
    r"|[*\u2022?]+|[_-]{3,}|\.{2,}|\u2026"
    r"|(?:(?:your|the|my|some|an?|insert|enter|put|paste|replace(?:[-_ ]?with)?|example|sample|dummy|test)[-_ ]?)*"
    r"(?:WHAT)(?:[-_ ]?(?:(?:goes[-_ ]?)?here|value|placeholder))*"
    r"|your[-_ ].*|(?:insert|enter|put|paste)[-_ ].*[-_ ]here|replace[-_ ]?with[-_ ].*"
    r"|(?:change|replace)[-_ ]?(?:me|this|it)"
    r"|todo|tbd|fixme|placeholder|example|undefined|null|none|nil|n/a|redacted"
    r"|x{3,}|(?:x+[-_ ])+x+|(.)\1{7}(?:-\1{4}){3}-\1{12}"
)


def is_placeholder(text: str, what: str) -> bool:
    """Return whether a value is one that somebody forgot to fill in, such as ``<client-id>`` or ``${CLIENT_ID}``.

    ``what`` is a regular expression for the setting's own name, which many examples have in the value's place.
    """
    bare = text.strip().strip(_QUOTES).strip()
    # Nearly every real value is one of these, and to compile the pattern takes a while.
    if len(bare) == 36 and bare.count("-") == 4 and not set(bare) - set("0123456789abcdef-"):
        return len(set(bare)) < 3 or bare.startswith("12345678-1234-1234-1234-1234567890")
    if bare == "openid" or (bare.startswith("https://") and not set(bare) & set("<{$[")):
        return False
    return re.fullmatch(_NOT_FILLED_IN.replace("WHAT", what), bare, re.IGNORECASE | re.DOTALL) is not None


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
