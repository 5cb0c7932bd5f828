"""What names a held key for the cache: its URI, and the variables that decide which holder answers."""

from __future__ import annotations

import os

from banno_creds.key_uri import KEY_SCHEMES
from banno_creds.recall import HOLDERS


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI, in lower case."""
    return uri.partition(":")[0].lower()


def name_of(uri: str) -> bytes:
    """Return bytes that name a key and its holder; another address of the holder names another key."""
    variables = [f"{name}={os.environ[name]}" for name in HOLDERS if os.environ.get(name)]
    # The first one is no key's content: a key in a file or a variable never has this name.
    return b"\0".join(os.fsencode(each) for each in ("held", uri, *variables))


def is_known(uri: str) -> bool:
    """Return whether all that decides which key a URI means is known: of another package's holder it is not."""
    return scheme_of(uri) in KEY_SCHEMES
