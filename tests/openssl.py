"""OpenSSL's command line: another view of our keys and signatures, and the maker of users' keys."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def openssl(*args: str | Path, stdin: bytes = b"") -> bytes:
    """Run OpenSSL; a failure of it is one of the test."""
    done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
