"""Configuration files of the tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from banno_creds.config import find_config_file
from tests.conftest import write_private

NO_HOME = dict.fromkeys(("APPDATA", "USERPROFILE") if sys.platform == "win32" else ("HOME",), "")


def own_file() -> Path:
    file = find_config_file(None)
    assert file is not None
    return Path(file)


def quoted(path: str | Path) -> str:
    """Return a path as a string of TOML, which has JSON's."""
    return json.dumps(str(path))


def write(text: str | bytes, path: Path | None = None) -> Path:
    """Write a configuration file, the user's own if no other is named."""
    path = path or own_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_private(path, text if isinstance(text, bytes) else text.encode())


HAND_WRITTEN = """\
# Our banks. Ask Ines before changing this.

default = 'live'   # not test!

# For trying things.
[profiles.test]
client_id = "t"  # from the mail of May
scope = [
  "openid",   # always
]
lifetime = 50

# The real one.
[profiles.live]
client_id = 'l'

  [profiles.live.claims]
  n = 1

# The end.
"""
