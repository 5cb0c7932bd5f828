"""What may be shown to a person: text from outside made safe, secrets taken out, settings named.

Nothing here prints. Errors, steps and pages use it for every word that came from a server, a file or a user.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A server's longer words help nobody, and such a log line hurts.
_MOST_CHARACTERS = 500

# A server may echo the request. Its words are never shown with a JWT in them.
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}")

# Nor with a private key, which people give in the wrong place: PEM, the member d of a JWK, or the base64 of PEM, of
# DER or of a JWK.
_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)"
    r"|\"d\"\s*:\s*\"[^\"]*\"?"
    r"|(?:LS0tLS1CRUdJTi|MI[A-P]|MH[Y-d]|eyJ)[A-Za-z0-9+/_=\s-]{100,}",
    re.DOTALL,
)
_KEY_FILE = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|\A\s*[\[{](?=.*\"kty\"\s*:)(?=.*\"d\"\s*:\s*\")"
    rb"|\A\s*PuTTY-User-Key-File-[0-9]+:",
    re.DOTALL,
)
# An ASN.1 sequence that begins with a version: PKCS #8 (RFC 5958), PKCS #1 (RFC 8017), SEC 1 (RFC 5915).
_DER_KEY = re.compile(rb"0(?:[\x00-\x7f]|\x81.|\x82..)\x02\x01[\x00\x01][\x02\x040]", re.DOTALL)
# One that is encrypted begins with how: by PBES1, PBES2 (RFC 8018) or a scheme of PKCS #12. A PKCS #12 (RFC 7292), of
# version 3, begins with whether it is authenticated by a password or signed; its lengths may be left open, too.
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...)"
_DER_CONTAINER = re.compile(
    rb"0"
    + _LENGTH
    + rb"0"
    + _LENGTH
    + rb"\x06[\x09\x0a]\x2a\x86\x48\x86\xf7\x0d\x01(?:\x05[\x01-\x0e]|\x0c\x01[\x01-\x06])"
    rb"|0" + _LENGTH + rb"\x02\x01\x030" + _LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07[\x01\x02]",
    re.DOTALL,
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{100,}={0,2}")

_ECHOED = 16  # so many characters of a secret in a row are no accident


def is_private_key(text: str) -> bool:
    """Return whether a text that should be something else, such as a path, looks like a private key."""
    return _KEY.search(_JWT.sub("", text)) is not None


def is_private_key_file(head: bytes) -> bool:
    """Return whether a file is a private key: PEM, DER, PKCS #12, PuTTY's form, a JWK (Set), or the base64 of one.

    More exact than `is_private_key`, since a file may hold any data, and some looks like a key.

    Args:
        head: its beginning.
    """
    if _KEY_FILE.search(head.removeprefix(b"\xef\xbb\xbf")) or _DER_KEY.match(head) or _DER_CONTAINER.match(head):
        return True
    packed = b"".join(head.removeprefix(b"\xef\xbb\xbf").split()).strip(b"\"'")
    if not _BASE64.fullmatch(packed):
        return False
    from base64 import urlsafe_b64decode

    packed = packed.rstrip(b"=").translate(bytes.maketrans(b"+/", b"-_"))
    return is_private_key_file(urlsafe_b64decode(packed[: len(packed) // 4 * 4]))


def without(text: str, secret: str, what: str) -> str:
    """Replace a text that echoes a secret, wrapped to lines, shortened or not.

    Args:
        text: the words.
        secret: such as the signature of an assertion.
        what: the name of the secret in the words that replace the text.

    Returns:
        The text, or the words that replace it.
    """
    squeezed = "".join(text.split())
    runs = [secret[i : i + _ECHOED] for i in range(0, max(1, len(secret) - _ECHOED + 1), _ECHOED)]
    return f"(left out: the server echoes {what})" if any(run in squeezed for run in runs) else text


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
    source = _KEY.sub("(a key)", _JWT.sub("(a JWT)", str(text)[: most * 4 + 4096]))
    # Characters that can move a cursor, reorder a line or break an encoder are not printable: controls, format
    # characters (bidirectional overrides too), surrogates, line and paragraph separators.
    shown = " ".join("".join(c if c.isprintable() else " " for c in source).split())
    return shown if len(shown) <= most else f"{shown[:most]}… (shortened)"


# The first words of our messages, except for those that begin with the name of a file or setting.
_FIRST_WORDS = frozenset(
    (
        *("a", "an", "another", "both", "cannot", "it", "no", "nobody", "nothing", "others", "port", "standard"),
        *("the", "there", "this", "two", "what"),
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
