"""What the tests use besides Python: `make test` tells at its start what is missing, `.ci/run` installs it.

Runs with any Python 3, before anything is installed:
    python3 tests/needs.py              a list for people
    python3 tests/needs.py --packages   the Debian packages of what is missing
"""

from __future__ import annotations

import sys
from shutil import which
from typing import NamedTuple


class Need(NamedTuple):
    """Programs, any of which will do, the Debian package that has one, and the tests that are skipped without."""

    programs: tuple[str, ...]
    package: str
    skipped: str | None  # None: the tests fail without it


NEEDS = (
    Need(("openssl",), "openssl", None),
    Need(("curl",), "curl", None),
    Need(("ps",), "procps", None),
    Need(("node",), "nodejs", "the provider from npm"),
    Need(("npm",), "npm", "the provider from npm"),
    Need(("chromium", "chromium-browser", "google-chrome"), "chromium", "a real browser"),
    Need(("zsh",), "zsh", "completion in zsh"),
    Need(("fish",), "fish", "completion in fish"),
    Need(("jq",), "jq", "scripts of the documents that use jq"),
    Need(("dbus-run-session",), "dbus-daemon", "a real keyring"),
    Need(("gnome-keyring-daemon",), "gnome-keyring", "a real keyring"),
)


def missing() -> list[Need]:
    """Return what is not on the path."""
    return [need for need in NEEDS if not any(map(which, need.programs))]


def described() -> str:
    """Return the list for people."""
    gone = missing()
    lines = ["The tests take about 4 minutes on two cores. Besides Python they use:"]
    for need in NEEDS:
        line = f"  {need.programs[0]:21}"
        if need not in gone:
            line += "here"
        elif need.skipped is None:
            line += f"MISSING: tests will fail (Debian: {need.package})"
        else:
            line += f"missing: tests of {need.skipped} are skipped (Debian: {need.package})"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    print(" ".join(need.package for need in missing()) if "--packages" in sys.argv else described(), flush=True)
