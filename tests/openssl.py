"""OpenSSL's command line: another view of our keys and signatures, and the maker of users' keys."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

STDIN = "/dev/stdin"  # for options that know no other name of standard input


def openssl(*args: str | Path, stdin: bytes = b"") -> bytes:
    """Run OpenSSL; a failure of it is one of the test. On Windows it may be missing: the test is left out."""
    if sys.platform == "win32" and shutil.which("openssl") is None:
        pytest.skip("openssl is not installed on this Windows")
    with tempfile.TemporaryDirectory() as folder:
        if STDIN in args and sys.platform == "win32":  # which has no such file
            file = Path(folder, "stdin")
            file.write_bytes(stdin)
            args = tuple(file if arg == STDIN else arg for arg in args)
        done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
