"""The section of docs/keys.md that tells which key it is: its scripts run, and what they print is as it says."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.jose import keys
from tests.conftest import CLIENT_ID, write_private
from tests.docs.scripts import needs_jq, needs_sh, run_script

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytestmark = pytest.mark.once

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")
SECTION = PAGE.partition("\n## Which key is it\n")[2].partition("\n## ")[0]
COMPARE, MATCH, LOOP, CI, AGE = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
[(SHOW, SHOWN)] = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(tmp_path: Path, rsa_key: keys.PrivateKey) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a folder with a key that a profile uses, its public half, and another key."""
    write_private(tmp_path / "private.pem", rsa_key.pem())
    write_private(tmp_path / "other.pem", keys.generate("rsa").pem())
    (tmp_path / "public.pem").write_bytes(rsa_key.public.pem())
    config = write_private(
        tmp_path / "config.toml",
        f'[profiles.garden]\nclient_id = "{CLIENT_ID}"\nprivate_key = "private.pem"\n'.encode(),
    )

    def script(text: str, **env: str) -> subprocess.CompletedProcess[str]:
        return run_script(tmp_path, text, {"BANNO_CREDS_CONFIG": str(config), **env})

    return script


@needs_sh
def test_what_is_shown(run: Callable[..., subprocess.CompletedProcess[str]], rsa_key: keys.PrivateKey) -> None:
    done = run(SHOW)
    varying = [
        (r"SHA256:[\w+/]{43}", "SHA256:F"),
        (r"sha256      [0-9a-f]{64}", "sha256      H"),
        (r"thumbprint  [\w-]{43}", "thumbprint  T"),
        (r", of [\w-]+", ", of ME"),
        (r"age  .* or more, by the time of its file \(\d{4}-\d\d-\d\d\)", "age  SOME"),
    ]
    told, expected = done.stdout, SHOWN
    for pattern, instead in varying:
        told, expected = re.sub(pattern, instead, told), re.sub(pattern, instead, expected)
    assert (done.returncode, told) == (0, expected)


@needs_sh
def test_administrator_and_integrator_see_the_same(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    first, second = run(COMPARE).stdout.splitlines()
    assert first == second
    assert first.rpartition("= ")[2] in run(SHOW).stdout


@needs_sh
def test_the_comparison_by_oneself_alone_in_a_loop_and_in_ci(
    run: Callable[..., subprocess.CompletedProcess[str]], rsa_key: keys.PrivateKey
) -> None:
    assert run(MATCH).returncode == 0
    assert run(MATCH.replace("private.pem", "other.pem")).returncode == 3
    assert run(LOOP).stdout == "the bank has private.pem\nthe bank has public.pem\n"


@needs_sh
@needs_jq
def test_ci_and_ages(
    run: Callable[..., subprocess.CompletedProcess[str]], rsa_key: keys.PrivateKey, tmp_path: Path
) -> None:
    assert run(CI, BANNO_CREDS_PRIVATE_KEY_PEM=rsa_key.pem().decode()).stdout == "true\n"
    private = tmp_path / "private.pem"
    assert not run(AGE).stdout.endswith("\ngarden\n")
    os.utime(private, (private.stat().st_atime, private.stat().st_mtime - 500 * 86400))
    assert run(AGE).stdout.endswith("\ngarden\n")
