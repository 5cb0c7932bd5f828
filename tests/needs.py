"""What the tests use besides Python: `make test` tells at its start what is missing, `.ci/run` installs it.

Runs with any Python 3, before anything is installed:
    python3 tests/needs.py              a list for people
    python3 tests/needs.py --packages   the Debian packages of what is missing
"""

from __future__ import annotations

import sys
from os.path import exists
from shutil import which
from typing import NamedTuple


class Need(NamedTuple):
    """Programs, any of which will do, the Debian package that has one, and the tests that are skipped without.

    `files` are further files of its packages, all of which are needed.
    """

    programs: tuple[str, ...]
    package: str
    skipped: str | None  # None: the tests fail without it
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.programs[0]

    def is_here(self) -> bool:
        return any(map(which, self.programs)) and all(map(exists, self.files))


SSH_AGENT = Need(("ssh-agent",), "openssh-client", "keys of an ssh-agent")
GLEWLWYD = Need(("glewlwyd",), "glewlwyd", "the provider glewlwyd")
LEMONLDAP = Need(
    ("plackup",),
    # The portal depends on some web server, and the first is the smallest. It only recommends the last two, which an
    # OpenID provider loads.
    "lemonldap-ng-fastcgi-server liblemonldap-ng-portal-perl libio-string-perl libstring-random-perl",
    "the provider LemonLDAP::NG",
    tuple(f"/usr/share/perl5/{module}.pm" for module in ("Lemonldap/NG/Portal", "IO/String", "String/Random")),
)
SOFTHSM = Need(("softhsm2-util",), "softhsm2 opensc", "keys on a PKCS #11 token", ("/usr/bin/pkcs11-tool",))
P11_KIT = Need(("p11-kit",), "p11-kit p11-kit-modules", "a PKCS #11 token in another process")
REDIS = Need(("redis-server",), "redis-server", "a cache that machines share")


NEEDS = (
    Need(("openssl",), "openssl", None),
    Need(("curl",), "curl", None),
    Need(("ps",), "procps", None),
    Need(("node",), "nodejs", "the provider from npm"),
    Need(("npm",), "npm", "the provider from npm"),
    Need(("chromium", "chromium-browser", "google-chrome"), "chromium", "a real browser"),
    Need(("zsh",), "zsh", "completion and passphrases in zsh"),
    Need(("fish",), "fish", "completion in fish"),
    Need(("jq",), "jq", "scripts of the documents that use jq"),
    Need(("dbus-run-session",), "dbus-daemon", "a real keyring"),
    Need(("gnome-keyring-daemon",), "gnome-keyring", "a real keyring"),
    SSH_AGENT,
    GLEWLWYD,
    LEMONLDAP,
    SOFTHSM,
    P11_KIT,
    REDIS,
)


def missing() -> list[Need]:
    """Return what is not on the path."""
    return [need for need in NEEDS if not need.is_here()]


def described() -> str:
    """Return the list for people."""
    gone = missing()
    lines = [
        "The tests take some 9 minutes on two idle cores, and up to half an hour on a busy machine; the first time,",
        "3 minutes more to install what they need from PyPI and npm. They take free ports. Besides Python they use:",
    ]
    for need in NEEDS:
        line = f"  {need.name:21}"
        if need not in gone:
            line += "here"
        elif need.skipped is None:
            line += f"MISSING: tests will fail (Debian: {need.package})"
        else:
            line += f"missing: tests of {need.skipped} are skipped (Debian: {need.package})"
        lines.append(line)
    if gone:
        lines.append(f"To have all of it: sudo apt-get install {' '.join(need.package for need in gone)}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(" ".join(need.package for need in missing()) if "--packages" in sys.argv else described(), flush=True)
