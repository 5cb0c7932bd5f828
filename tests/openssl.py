"""OpenSSL's command line: another view of our keys and signatures, and the maker of users' keys."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from .conftest import is_wine

STDIN = "/dev/stdin"  # for options that know no other name of standard input


def openssl(*args: str | Path, stdin: bytes = b"") -> bytes:
    """Run OpenSSL; a failure of it is one of the test. A Windows may have none: the test is then left out."""
    with tempfile.TemporaryDirectory() as folder:
        if sys.platform == "win32":
            if is_wine():
                return _beneath_wine(folder, args, stdin)
            if shutil.which("openssl") is None:
                pytest.skip("openssl is not installed on this Windows")
            file = Path(folder, "stdin")
            file.write_bytes(stdin)
            args = tuple(file if arg == STDIN else arg for arg in args)
        done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


if sys.platform == "win32":
    import _winapi
    import ctypes

    _SCRIPT = """folder=$1; shift
openssl "$@" <"$folder/stdin" >"$folder/stdout" 2>"$folder/stderr"
echo $? >"$folder/code.new"; mv "$folder/code.new" "$folder/code"
"""

    def _beneath_wine(folder: str, args: tuple[str | Path, ...], stdin: bytes) -> bytes:
        """Run the OpenSSL of the Linux below: Wine starts its programs, but gives them no pipe, and does not wait."""
        unix_path = ctypes.CDLL("kernel32").wine_get_unix_file_name
        unix_path.argtypes, unix_path.restype = [ctypes.c_wchar_p], ctypes.c_char_p
        Path(folder, "stdin").write_bytes(stdin)
        words = [unix_path(str(each)).decode() if Path(each).drive else str(each) for each in (folder, *args)]
        line = subprocess.list2cmdline(["Z:\\bin\\sh", "-c", _SCRIPT, "sh", *words])
        _winapi.CreateProcess(None, line, None, None, False, 0, {}, None, None)
        code = Path(folder, "code")
        for _ in range(6000):
            if code.exists():
                break
            time.sleep(0.01)
        assert code.read_text().strip() == "0", Path(folder, "stderr").read_text("utf-8")
        return Path(folder, "stdout").read_bytes()
