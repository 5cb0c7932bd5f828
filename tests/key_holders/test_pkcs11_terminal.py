"""The PIN of a token, typed at a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from tests.key_holders.softhsm import SoftHsm

if sys.platform != "win32":
    import pexpect

pytestmark = [
    pytest.mark.posix("pexpect has a terminal on POSIX alone"),
    # pexpect forks, and pytest-xdist has threads: from Python 3.12 on that is a warning.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
_SIGN = ["-m", "banno_creds", "sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key"]


def _at_terminal(softhsm: SoftHsm, typed: str | None) -> tuple[int, str]:
    """Run the command at a terminal without a PIN, and type one if it asks; return its exit code and its words."""
    env = {name: value for name, value in os.environ.items() if name != "BANNO_CREDS_PKCS11_PIN"}
    arguments = [*_SIGN, "pkcs11:token=banno;object=signing-ec"]
    with pexpect.spawn(sys.executable, arguments, env=env, encoding="utf-8", timeout=60) as child:
        if typed is not None:
            child.expect("PIN of the token: ")
            child.sendline(typed)
        child.expect(pexpect.EOF)
        said = child.before or ""
    return child.exitstatus or 0, said


def test_a_pin_that_a_person_types_is_tried_where_one_from_a_file_is_not(softhsm: SoftHsm) -> None:
    code, said = _at_terminal(softhsm, "wrong-1234")
    assert code == 3
    assert "The PIN of the token 'banno' is wrong" in said
    assert "wrong-1234" not in said
    code, said = _at_terminal(softhsm, softhsm.pin)
    assert code == 0
    assert said.strip().count(".") == 2


def test_nobody_is_asked_for_the_pin_of_a_locked_token(softhsm: SoftHsm) -> None:
    softhsm.set_flags(0x40000)
    code, said = _at_terminal(softhsm, None)
    assert code == 3
    assert "is locked" in said
    assert "PIN of the token:" not in said
