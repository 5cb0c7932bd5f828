"""Keys that are held elsewhere, in the JWK Set that is published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from banno_creds.jose.key_set import public_jwk

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.conftest import Cli


def test_a_held_key_is_built_added_checked_and_removed(
    cli: Cli, toy_rsa: str, toy_ec: str, tmp_path: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    file = tmp_path / "jwks.json"
    built = cli("jwks", "build", toy_rsa)
    assert built.code == 0, built.stderr
    assert json.loads(built.stdout) == {"keys": [public_jwk(rsa_key.public)]}
    file.write_text(built.stdout, newline="")
    assert cli("jwks", "add", file, toy_ec).code == 0
    assert json.loads(file.read_bytes())["keys"][1] == public_jwk(ec_key.public, "ES256")
    assert cli("jwks", "check", file, toy_rsa, toy_ec).code == 0
    assert cli("jwks", "remove", file, toy_rsa).stdout == f"removed: {toy_rsa}\n"
    assert cli("jwks", "check", file, toy_rsa).code == 4
