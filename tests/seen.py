"""What people see, compared with texts that are stored in tests/seen/, one file a case.

``RENEW_SEEN=1 pytest …`` writes them anew; git shows what has changed then, to be read before it is kept.
"""

from __future__ import annotations

import os
from difflib import unified_diff
from pathlib import Path

from tests.jwts import NOW

FOLDER = Path(__file__).parent / "seen"

# The clock stands before anything is imported, so that whoever takes it for a default takes this one.
_AT_THAT_TIME = """\
import os, sys, time
now = int(sys.argv[1])
time.time = lambda: now
os.chdir(sys.argv[2])
from banno_creds.__main__ import main
sys.argv = ["banno-creds", *sys.argv[3:]]
main()
"""


def compare(name: str, text: str) -> None:
    """Compare a text byte for byte with the stored one.

    Args:
        name: the name of its file in tests/seen/, without .txt; the command comes first, such as ``lint-correct``.
        text: what was seen; what differs from run to run is replaced already.
    """
    stored = FOLDER / f"{name}.txt"
    if os.environ.get("RENEW_SEEN"):
        stored.write_bytes(text.encode())
    expected = stored.read_bytes().decode()
    changes = unified_diff(expected.splitlines(), text.splitlines(), "stored", "seen", lineterm="")
    assert text == expected, "\n".join(changes)


def program(*args: str, folder: Path, now: int = NOW) -> list[str]:
    """The command line as arguments of Python: in a folder, so that files have short names, and at a fixed time.

    Args:
        args: the command and its options.
        folder: the current folder.
        now: the time, in seconds since the epoch; what measures a duration goes on.

    Returns:
        What `test_report.at_terminal` takes, or ``subprocess`` behind ``sys.executable``.
    """
    return ["-c", _AT_THAT_TIME, str(now), str(folder), *args]
