"""Where a private key is that its holder keeps: a URI, told from a file's path, without a secret in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from banno_creds.errors import ConfigurationError
from banno_creds.text import setting

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


KEY_SCHEMES = ("pkcs11", "awskms", "vault", "ssh-agent")
"""The schemes of the URIs of keys that are held elsewhere; other packages add more (`SIGNERS`)."""

SIGNERS = "banno_creds.signers"
"""The group of entry points, each named by its scheme, that open keys which are held elsewhere."""


def is_key_uri(place: str) -> bool:
    """Return whether the place of a private key is the URI of a key that is held elsewhere, and no file's path.

    A file with such a name is given as ``./NAME``.
    """
    scheme, mark, _ = place.partition(":")
    # A file's path is no URI in most cases, and a pattern takes long to compile. One letter is a drive of Windows.
    if not mark or re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", scheme) is None:
        return False
    return scheme.lower() in KEY_SCHEMES or bool(plugged_in(scheme.lower()))


def plugged_in(scheme: str) -> list[EntryPoint]:
    """Return the entry points of other packages that open keys with a scheme; in most cases there is none."""
    from importlib.metadata import entry_points

    try:
        found = entry_points(group=SIGNERS)
    except Exception as failure:
        raise ConfigurationError(
            f"the entry points of the packages here cannot be read: {type(failure).__name__}",
            hint="a package's entry_points.txt is broken: look which, and install it again",
        ) from failure
    # The case of a scheme does not count (RFC 3986 section 3.1), nor that of the entry point's name.
    return [each for each in found if each.name.lower() == scheme]


def has_pin(text: str) -> bool:
    """Return whether a text has a PIN in it, as the URI of a PKCS #11 token may (RFC 7512 section 2.4).

    A ``pin-source`` that is no absolute path is taken for one, too: somebody wrote the PIN in the place of its file.
    """
    # A pattern takes long to compile, and most texts have no such word.
    if "pin-" not in (lower := text.lower()) and "pin%2d" not in lower:
        return False
    source = r"source\s*=(?!/|%2f|\||%7c|file:|[a-z]:[/\\]|[a-z]%3a)"
    return re.search(rf"pin(?:-|%2d)(?:value\s*=|{source})", lower) is not None


def check_key_uri(uri: str) -> str:
    """Check that the URI of a key has no PIN in it, which others could read in ``ps`` and in logs; return it.

    Raises:
        ConfigurationError: it has one (RFC 7512 section 2.4).
    """
    if has_pin(uri):
        raise ConfigurationError(
            "the URI of the private key has a PIN in it, as pin-value or pin-source (not shown here)",
            hint=f"put the PIN into a file, named by {setting('passphrase_file')}, or by pin-source=/PATH in the URI",
        )
    if not uri.isprintable():
        raise ConfigurationError(
            "the URI of the private key has a control character in it, such as a line end", hint="take it out"
        )
    return uri
