"""What is read of a journal: rotations as they were written, or none at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.rotation.journal import Journal, Record

if TYPE_CHECKING:
    from banno_creds.jose import keys


@pytest.fixture
def journal(tmp_path: Path, ec_key: keys.PrivateKey) -> Journal:
    """A journal with one rotation."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    journal = Journal(str(folder), str(tmp_path / "config.toml"))
    jwk = dict(ec_key.public.jwk())
    settings = {"garden": {"private_key": "private.pem"}}
    journal.write([Record(["garden"], jwk, settings, "2026-11-29", 1.0, new_place="new.pem", new=jwk)])
    return journal


def test_a_rotation_is_read_as_it_was_written(journal: Journal) -> None:
    [record] = journal.read()
    assert (record.profiles, record.new_place, record.began) == (["garden"], "new.pem", 1.0)
    assert not journal.was_unreadable


@pytest.mark.parametrize(
    "other",
    [
        {"old": {}},
        {"old": {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}},
        {"new": {"kty": "oct", "k": "AAAA"}},
        {"new": [1]},
        {"both_since": "yesterday"},
        {"switched": 1e300},
        {"ended": True},
        {"until": -1},
        {"cached": None},
        {"profiles": [{}]},
        {"profiles": ["another"]},
        {"old_settings": {"garden": []}},
        {"old_settings": {"garden": {"private_key": 5}}},
        {"new_place": 7},
        {"new_place": "new\0.pem"},
        {"granted": {"garden": "now"}},
        {"archives": 5},
        {"is_compromised": "no"},
        None,
    ],
    ids=repr,
)
def test_what_no_rotation_would_write_is_taken_for_lost(journal: Journal, other: dict[str, Any] | None) -> None:
    file = Path(journal.path)
    members = json.loads(file.read_bytes())
    members["rotations"] = [members["rotations"][0] | other if other is not None else 5]
    file.write_text(json.dumps(members))
    assert (journal.read(), journal.was_unreadable) == ([], True)
