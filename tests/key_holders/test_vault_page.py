"""The section of docs/keys.md about Vault and OpenBao does what it says."""

from __future__ import annotations

import os
import re
import tempfile
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import import_key

from banno_creds import ClientConfig, KeySource
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.key_holders.vault import make_key
from tests.conftest import CLIENT_ID
from tests.docs.scripts import run_script
from tests.key_holders.openbao import program, running_openbao

if TYPE_CHECKING:
    from tests.key_holders.granted import Granted
    from tests.key_holders.openbao import OpenBao

pytestmark = [pytest.mark.once, pytest.mark.posix("the scripts are for sh")]

_PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")
_SECTION = _PAGE.partition("### Vault and OpenBao\n")[2].partition("\n### ")[0]
_MAKE, _USE, _APPROLE, _LOG_IN = re.findall(r"^```sh\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)
_AGENT, _ROTATE = re.findall(r"^```hcl\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)


# `vault login` asks for a token at the terminal.
_VAULT = """#!/bin/sh
test "$1" != login || exec bao login -no-print "$TYPED"
exec bao "$@"
"""


def test_the_scripts_of_the_page(has_openbao: None, tmp_path: Path, granted: Granted) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "bao").symlink_to(program())
    (programs / "vault").write_text(_VAULT)
    (programs / "vault").chmod(0o755)
    with running_openbao(tmp_path, mounts=()) as server:

        def run(script: str, **variables: str) -> list[str]:
            cache = tempfile.mkdtemp(dir=tmp_path)  # no token of the script before
            address = {} if "VAULT_ADDR=" in script else {"BAO_ADDR": server.address}
            env = {"BANNO_CREDS_CACHE_DIR": cache, **address, **variables}
            done = run_script(tmp_path, f'PATH="{programs}:$PATH"\n{script}', env)
            assert done.returncode == 0, done.stdout
            return done.stdout.splitlines()

        run(_MAKE, BAO_TOKEN=server.root)
        public = server.ask("GET", "transit/keys/banno")["keys"]["1"]["public_key"]
        jwk = import_key(public, "RSA").as_dict(private=False)
        request = {
            "CLIENT_ID": granted.provider.register("PS256", {"jwks": {"keys": [jwk]}}),
            "BANNO_CREDS_TOKEN_ENDPOINT": granted.provider.token_endpoint,
        }
        typed = server.ask("POST", "auth/token/create", policies=["banno-sign"])["client_token"]
        use = _USE.replace("https://vault.internal:8200", server.address)
        assert use != _USE
        assert run(use, TYPED=typed, **request)[-1].count(".") == 2
        assert (tmp_path / "public.pem").read_text().strip() == public.strip()

        run(_APPROLE, BAO_TOKEN=server.root)
        (tmp_path / ".vault-token").unlink()
        assert run(_LOG_IN, **request)[-1].count(".") == 2

        (tmp_path / "agent.hcl").write_text(_AGENT)
        run("bao agent -config=agent.hcl -exit-after-auth")
        token = _LOG_IN.splitlines()[-1]
        assert run(token, BAO_TOKEN_PATH="vault-token", **request)[-1].count(".") == 2


def test_the_policy_for_a_new_key_suffices_and_lets_nothing_be_changed(
    openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = openbao.key("ecdsa-p256")
    monkeypatch.setenv("VAULT_TOKEN", openbao.token(_ROTATE))
    uri = make_key(f"vault:transit/{old}", name=f"{old}-2", passphrase=lambda: None, timeout=20)
    assert load_signer(ClientConfig(CLIENT_ID, KeySource.at(uri))).sign(b"header.payload")
    limited = copy(openbao)
    limited.root = os.environ["VAULT_TOKEN"]
    with pytest.raises(AssertionError, match="permission denied"):
        limited.ask("POST", f"transit/keys/{old}/config", exportable=True)
