"""A key that is held elsewhere is followed by a new one at its holder, where that makes keys."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds.jose import keys
from banno_creds.rotation.subject import DAY
from tests.conftest import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rotation.conftest import Desk

# shelf:FOLDER/NAME signs with the key in the file FOLDER/NAME, and makes others beside it.
_SHELF = """
import os
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils


def open_key(uri, *, passphrase, timeout):
    assert passphrase() == b"1234"
    return Key(uri.partition(":")[2])


class Key:
    algorithms = ["ES256"]

    def __init__(self, file):
        with open(file, "rb") as opened:
            self._key = serialization.load_pem_private_key(opened.read(), None)
        public = self._key.public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public_key = public.public_bytes(serialization.Encoding.DER, form)

    def sign(self, alg, signing_input):
        r, s = utils.decode_dss_signature(self._key.sign(signing_input, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
"""
_MAKES = """

def make_key(uri, *, name, passphrase, timeout):
    assert passphrase() == b"1234"
    place = os.path.join(os.path.dirname(uri.partition(":")[2]), name)
    if not os.path.exists(place):
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with open(place, "xb") as file:
            file.write(pem)
    return f"shelf:{place}"
"""


def install(desk: Desk, code: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package that holds keys, and give the profile one of them; return the holder's folder."""
    place = desk.folder / "site-packages"
    info = place / "shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "shelf.py").write_text(code)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[banno_creds.signers]\nshelf = shelf:open_key\n")
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    monkeypatch.delitem(sys.modules, "shelf", raising=False)
    shelf = desk.folder / "shelf"
    shelf.mkdir()
    (desk.folder / "private.pem").rename(shelf / "old")
    write_private(desk.folder / "pin", b"1234\n")
    desk.config.write_text("")
    desk.profile("garden", private_key=f"shelf:{shelf / 'old'}", passphrase_file="pin")
    return shelf


def thumbprint(file: Path) -> str:
    return keys.load_private_key(file.read_bytes(), file.name).public.thumbprint()


def test_a_key_at_a_holder_is_followed_by_a_new_one_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = install(desk, _SHELF + _MAKES, monkeypatch)
    old = thumbprint(shelf / "old")
    desk.step()
    [made] = [path for path in shelf.iterdir() if path.name != "old"]
    assert made.name == f"banno-2026-11-18-{old[:8]}"
    assert desk.kids() == [old, thumbprint(made)]
    desk.publish()
    desk.step()
    desk.later(DAY)
    desk.step()
    assert desk.settings()["private_key"] == f"shelf:{made}"
    assert desk.token().code == 0
    both = desk.bank.published
    ended = desk.to_the_end()
    assert (ended["step"], ended["old_key"]["places"]) == ("done", [f"shelf:{shelf / 'old'}"])
    assert sorted(path.name for path in shelf.iterdir()) == sorted([made.name, "old"])  # it stays there
    assert desk.bank.refused == []
    desk.bank.published = both  # somebody has published an old file
    assert "has the old key no more" in desk.run("--back").stderr
    assert desk.settings()["private_key"] == f"shelf:{made}"
    assert "1234" not in "".join(result.stdout + result.stderr for result in desk.said)
    assert not [path.name for path in desk.folder.glob("private*")]


def test_where_a_holder_makes_no_key_it_says_how_to_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = install(desk, _SHELF, monkeypatch)
    refused = desk.run()
    assert (refused.code, refused.stdout) == (3, "")
    assert "banno-creds rotate --profile garden --new-key URI" in refused.stderr
    assert len(desk.kids()) == 1
    new = keys.generate("ec")
    write_private(shelf / "new", new.pem())
    assert desk.step("--new-key", f"shelf:{shelf / 'new'}")["did"] == ["make-key", "write-set"]
    assert desk.kids()[1] == new.public.thumbprint()


@pytest.mark.parametrize(
    ("error", "message", "hint", "by_hand"),
    [
        ("KeyLoadError", "the shelf is locked", "log in to the shelf again", True),
        ("PassphraseError", "the PIN of the shelf is wrong", "correct the PIN", False),
    ],
    ids=["locked", "a wrong PIN is no reason to make a key by hand"],
)
def test_what_a_holder_says_to_do_is_not_replaced(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: str, message: str, hint: str, by_hand: bool
) -> None:
    refuses = f"""

def make_key(uri, *, name, passphrase, timeout):
    from banno_creds.errors import {error}

    raise {error}("{message}", hint="{hint}")
"""
    install(desk, _SHELF + refuses, monkeypatch)
    refused = desk.run()
    assert refused.code == 3
    assert hint in refused.stderr
    assert ("--new-key" in refused.stderr) is by_hand
    assert ("--new-key URI" in refused.stderr) is by_hand


def test_a_holder_that_made_a_key_before_the_run_was_cut_off_is_not_asked_for_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = install(desk, _SHELF + _MAKES, monkeypatch)
    desk.step()
    [journal] = (desk.folder / "state").glob("*.rotation")
    members = json.loads(journal.read_text())
    members["rotations"][0] |= {"new_place": None, "new": None, "doing": "make-key"}
    journal.write_text(json.dumps(members))
    desk.later(3 * DAY)
    desk.step()
    assert len(list(shelf.iterdir())) == 2
    assert len(desk.kids()) == 2


def test_a_pin_in_the_uri_that_a_holder_returns_is_kept_nowhere(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (_SHELF + _MAKES).replace('return f"shelf:{place}"', 'return f"shelf:{place}?pin-value=1234"')
    install(desk, code, monkeypatch)
    refused = desk.run()
    assert refused.code == 2
    assert "has a PIN in it" in " ".join(refused.stderr.split())
    kept = "".join(path.read_text() for path in (desk.folder / "state").iterdir())
    assert "1234" not in kept + refused.stderr


def test_who_else_uses_the_key_is_found_without_opening_other_held_keys(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their tokens would be given no PIN, or a wrong one."""
    opens = "\n    return Key"
    code = (
        (_SHELF + _MAKES)
        .replace(opens, f"\n    opened.append(uri){opens}")
        .replace('    assert passphrase() == b"1234"\n', "")
    )
    shelf = install(desk, f"opened = []\n{code}", monkeypatch)
    desk.profile("granite", client_id="granite", private_key=f"shelf:{shelf / 'another'}")
    assert desk.step()["step"] == "publish"
    opened = sys.modules["shelf"].opened
    assert f"shelf:{shelf / 'old'}" in opened
    assert f"shelf:{shelf / 'another'}" not in opened
