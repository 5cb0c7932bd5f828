"""Keys of real holders are changed: the new one is made at the holder, and the old one stays there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from banno_creds.key_holders.held_key import open_key

if TYPE_CHECKING:
    from tests.key_holders.ministack import MiniStack
    from tests.key_holders.softhsm import SoftHsm
    from tests.rotation.conftest import Desk

pytestmark = pytest.mark.once


def rotated(desk: Desk, old: str, pin: bytes | None) -> str:
    """Change a held key from the beginning to the end; return the new one's URI."""
    public = open_key(old, lambda: pin, 30).public
    desk.set.write_text(json.dumps({"keys": [{**public.jwk(), "kid": public.thumbprint(), "use": "sig"}]}))
    desk.publish()
    desk.config.write_text("")
    desk.profile("garden", private_key=old)
    assert desk.token().code == 0
    desk.to_the_switch()
    assert desk.token().code == 0
    assert desk.to_the_end()["step"] == "done"
    assert open_key(old, lambda: pin, 30).public.thumbprint() == public.thumbprint()
    assert desk.bank.refused == []
    new: str = desk.settings()["private_key"]
    assert desk.kids() == [open_key(new, lambda: pin, 30).public.thumbprint()]
    assert public.thumbprint() not in desk.kids()
    return new


def test_a_key_on_a_token_is_changed(desk: Desk, softhsm: SoftHsm) -> None:
    new = rotated(desk, "pkcs11:token=banno;object=signing-ec", softhsm.pin.encode())
    assert new.startswith("pkcs11:")
    assert softhsm.pin not in new + "".join(result.stdout + result.stderr for result in desk.said)


def test_a_key_of_kms_is_changed(desk: Desk, ministack: MiniStack) -> None:
    assert rotated(desk, f"awskms:{ministack.key('ECC_NIST_P256')}", None).startswith("awskms:")
