"""The section of docs/keys.md about PKCS #11 does what it says."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import import_key

from tests.docs.scripts import run_script
from tests.key_holders.softhsm import SoftHsm, module

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.key_holders.granted import Granted

pytestmark = [pytest.mark.once, pytest.mark.posix("the scripts are for sh")]

_PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")
_SECTION = _PAGE.partition("### PKCS #11: an HSM")[2].partition("\n### ")[0]
_MAKE, _USE, _JOB = re.findall(r"^```sh\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)


def test_the_scripts_of_the_page(has_softhsm: None, tmp_path: Path, granted: Granted, process: Cli) -> None:
    (tmp_path / "hsm").mkdir()
    hsm = SoftHsm(tmp_path / "hsm").start()
    env = {"SOFTHSM2_CONF": hsm.variables["SOFTHSM2_CONF"], "PIN": hsm.pin, "SO_PIN": secrets.token_hex(4)}

    def run(script: str, **more: str) -> list[str]:
        placed = script.replace("/usr/lib/softhsm/libsofthsm2.so", str(module()))
        done = run_script(tmp_path, placed, {**env, **more})
        assert done.returncode == 0, done.stdout
        assert hsm.pin not in done.stdout
        return done.stdout.splitlines()

    run(_MAKE)
    [keygen] = [line for line in _USE.splitlines() if "keygen" in line]
    exports = "\n".join(_USE.splitlines()[:2])
    run(f"{exports}\n{keygen}")
    jwk = import_key((tmp_path / "public.pem").read_text(), "RSA").as_dict(private=False)
    request = {
        "CLIENT_ID": granted.provider.register("PS256", {"jwks": {"keys": [jwk]}}),
        "BANNO_CREDS_TOKEN_ENDPOINT": granted.provider.token_endpoint,
    }
    (tmp_path / "public.pem").unlink()
    assert run(_USE, **request)[-1].count(".") == 2
    assert run(_JOB, **request)[-1].count(".") == 2
    # The key that pkcs11-tool had made there cannot leave.
    uri = f"pkcs11:token=banno;object=signing?module-path={module()}&pin-source={tmp_path}/banno.pin"
    words = ["doctor", "--offline", "--client-id", request["CLIENT_ID"], "--private-key", uri]
    done = process(*words, env={"SOFTHSM2_CONF": env["SOFTHSM2_CONF"]})
    assert "signs, and keeps it" in " ".join(done.stdout.split())


def test_each_attribute_of_the_table_is_known() -> None:
    from banno_creds.key_holders import pkcs11_uri

    table = [line.partition("|")[2].partition("|")[0] for line in _SECTION.splitlines() if line.startswith("| ")]
    named = re.findall(r"`[?&]?([a-z-]+)`", " ".join(table))
    assert sorted(named) == sorted((*pkcs11_uri._PATH, *pkcs11_uri._QUERY))
