"""A document's scripts, run as a reader's shell runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.sandbox.users import DEFAULT_PASSWORD
from banno_creds.storage import own_files
from tests.conftest import CLIENT_ID
from tests.person import sent_out
from tests.processes import bare_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

needs_sh = pytest.mark.posix("the document's script is for sh")
# Where nothing may be skipped it is missed.
needs_jq = pytest.mark.skipif(
    shutil.which("jq") is None and not os.environ.get("BANNO_CREDS_REQUIRE_INTEROP"), reason="jq is not installed"
)

# People sign in to this one.
WEB_CLIENT = "05166b79-4f61-484d-a4b4-2a225926bf4b"
VENDOR = "https://login.jackhenry.com/a/oidc-provider/api/v0"

# What differs from run to run, and what to write in its place.
VARYING = [
    (r"http://127\.0\.0\.1:\d+/a/oidc-provider/api/v0", VENDOR),
    (r"x-request-id [0-9a-f]{32}", "x-request-id ID"),
    (r"SHA256:[\w+/]{43}", "SHA256:FINGERPRINT"),
    (r"(thumbprint +|\"kid\": \")[\w-]{43}", r"\1THUMBPRINT"),
    (r"\"jti\": \"[^\"]+\"", '"jti": "JTI"'),
    (rf"(?!{CLIENT_ID})[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}", "UUID"),
    (r"eyJ[\w-]+…", "eyJ…"),
    (r"\d+ characters", "N characters"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "INSTANT"),
    (r"\"(exp|iat|auth_time)\": \d{10}", r'"\1": SECONDS'),
    (r"\"(nonce|at_hash)\": \"[\w-]+\"", r'"\1": "FRESH"'),
    (r"200 OK in \d+ ms", "200 OK in N ms"),
    (r"issued (\d+ s ago|now)", "issued N"),
    (r"expires in (9 min \d+ s|10 min)", "expires in N"),
]


def run_script(folder: Path, script: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script as a reader's shell would, with ``banno-creds`` on its path and both outputs in one.

    On Windows it is one line, for cmd.
    """
    shims = folder / "bin"
    if not shims.exists():
        shims.mkdir()
        if sys.platform == "win32":
            (shims / "banno-creds.cmd").write_text(f'@"{sys.executable}" -m banno_creds %*\n')
        else:
            (shims / "banno-creds").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m banno_creds "$@"\n')
            (shims / "banno-creds").chmod(0o755)
    home = {"HOME": str(folder), "USERPROFILE": str(folder), "APPDATA": str(folder), "LOCALAPPDATA": str(folder)}
    path = f"{shims}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["cmd", "/d", "/c", script] if sys.platform == "win32" else ["sh", "-euc", script],
        cwd=folder,
        env=bare_environment(**home) | {"PATH": path, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def run_login(
    folder: Path, script: str, env: Mapping[str, str], login: str = "riley"
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run a script in which a browser is opened, and somebody signs in there; gives what that browser saw too."""
    state = folder / ".local" / "state" / "banno-creds"
    errand = {"login": login, "password": DEFAULT_PASSWORD, "certificate": str(state / own_files.CERTIFICATE)}
    with sent_out("tests.person", folder, **errand) as sent:
        own = {
            "BROWSER": sent.variable,
            # The same folder on every system.
            "BANNO_CREDS_STATE_DIR": str(state),
            # Once is enough for who is sent out.
            "BANNO_CREDS_LOGOUT_NO_BROWSER": "1",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        done = run_script(folder, script, {**own, **env})
        assert done.returncode == 0, done.stdout
        return done, sent.report()
