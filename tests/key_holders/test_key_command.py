"""``banno-creds key`` of keys that are held elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.key_holders.softhsm import SoftHsm


def test_a_held_key_is_shown_with_the_profiles_of_its_uri_and_of_its_public_half(
    cli: Cli, toy_rsa: str, rsa_pem: Path, rsa_key: keys.PrivateKey
) -> None:
    profiles = {"held": toy_rsa, "file": str(rsa_pem), "other": "toykey:elsewhere?lost"}
    text = "".join(f'[profiles.{name}]\nclient_id = "a"\nprivate_key = {key!r}\n' for name, key in profiles.items())
    config = write_private(rsa_pem.parent / "config.toml", text.encode())
    [found] = json.loads(cli("key", "show", "-o", "json", "--config", config, toy_rsa).stdout)["keys"]
    assert (found["kind"], found["file"], found["there_since"]) == ("held", None, None)
    assert found["fingerprint"] == rsa_key.public.fingerprint()
    assert found["profiles"] == ["held", "file"]  # and no holder was asked for the third
    assert found["compare"].startswith("banno-creds key show -o pem ")
    pem = cli("key", "show", "-o", "pem", toy_rsa)
    assert pem.stdout.encode() == rsa_key.public.pem()
    registered = rsa_pem.with_name("public.pem")
    registered.write_bytes(rsa_key.public.pem())
    assert cli("key", "match", "--registered", registered, toy_rsa).code == 0


def test_a_holder_that_fails_is_told_and_the_others_are_shown(cli: Cli, toy_rsa: str, toy_ec: str) -> None:
    done = cli("key", "show", "-o", "json", f"{toy_rsa}?lost", toy_ec)
    assert done.code == 3
    assert [each["place"] for each in json.loads(done.stdout)["keys"]] == [toy_ec]
    assert "the box is gone" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.once
def test_a_wrong_pin_is_tried_once_for_all_keys(softhsm: SoftHsm, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    uris = [f"pkcs11:token=banno;object={name}" for name in ("signing", "signing-ec")]
    good = cli("key", "show", "-o", "json", *uris)
    assert [each["type"] for each in json.loads(good.stdout)["keys"]] == ["RSA", "EC"]
    monkeypatch.setenv("BANNO_CREDS_PKCS11_PIN", "wrong-canary")
    from tests.key_holders.softhsm import forget

    forget()
    done = cli("key", "show", *uris)
    assert done.code == 3
    assert "wrong-canary" not in done.stdout + done.stderr
    assert f"{uris[1]} was not tried: a PIN has just been wrong" in done.stderr.replace("\n    ", " ")
