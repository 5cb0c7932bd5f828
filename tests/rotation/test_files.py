"""What a rotation keeps in files: its keys, its journal, the set that is published."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import Any

import pytest

from banno_creds.config import ClientConfig, KeySource
from banno_creds.errors import ConfigurationError, NetworkError, OutputError
from banno_creds.http.client import HttpClient
from banno_creds.http.exchange import Answer
from banno_creds.jose import keys
from banno_creds.jose.key_set import KeySet, read_key_set
from banno_creds.rotation import key_pair, published
from banno_creds.rotation.journal import Journal, Record
from banno_creds.rotation.published import Named
from banno_creds.storage import own_files
from banno_creds.storage.lock import Lock
from tests.conftest import has_mode, write_private

pytestmark = pytest.mark.once

OLD, NEW = keys.generate("ec"), keys.generate("ec")


# --- Keys ---


@pytest.mark.parametrize(
    ("old", "there", "new"),
    [
        ("private.pem", (), "private-2026-11-18.pem"),
        ("private-2025-01-31.pem", (), "private-2026-11-18.pem"),
        ("private-2025-01-31-2.key", (), "private-2026-11-18.pem"),
        ("private.pem", ("private-2026-11-18.pem",), "private-2026-11-18-2.pem"),
        ("private.pem", ("private-2026-11-18.pem", "private-2026-11-18-2.pem"), "private-2026-11-18-3.pem"),
    ],
)
def test_a_new_key_has_a_free_name_with_the_date(tmp_path: Path, old: str, there: tuple[str, ...], new: str) -> None:
    for name in there:
        (tmp_path / name).touch()
    assert key_pair.new_place(str(tmp_path / old), "2026-11-18") == str(tmp_path / new)


def test_the_keys_beside_one_are_told_apart_by_their_dates(tmp_path: Path) -> None:
    later = ["private-2026-11-18.pem", "private-2026-11-18-2.pem", "private-2026-11-18-10.pem"]
    archived = ["private-2026-11-20-archived-def.pem", "private-archived-abc.pem"]
    others = ["private.pem", "private.txt", "private-2026-11-20.txt", "other-2026-11-18.pem"]
    for name in (*reversed(later), *archived, *others):
        (tmp_path / name).touch()
    found = list(key_pair.siblings(str(tmp_path / "private.pem")))
    assert [Path(each.place).name for each in found if each.is_newer] == later
    assert [Path(each.place).name for each in found if each.is_archived] == archived
    newer = [each for each in key_pair.siblings(str(tmp_path / later[1])) if each.is_newer]
    assert [Path(each.place).name for each in newer] == later[2:]


def test_a_new_key_is_as_large_as_the_old_one(tmp_path: Path) -> None:
    large = keys.generate("rsa", 2304)
    place = tmp_path / "new.pem"
    key_pair.make_file(key_pair.Opened("old.pem", large, None), str(place))
    assert keys.load_private_key(place.read_bytes(), "new").description == "RSA 2304"


def test_a_new_key_replaces_no_file_that_came_in_between(tmp_path: Path) -> None:
    place = write_private(tmp_path / "new.pem", NEW.pem())
    with pytest.raises(OutputError, match="nothing was changed"):
        key_pair.make_file(key_pair.Opened("old.pem", OLD, None), str(place))
    assert place.read_bytes() == NEW.pem()
    assert [path.name for path in tmp_path.iterdir()] == ["new.pem"]


def test_an_archive_is_closed_to_others_and_replaces_no_other(tmp_path: Path) -> None:
    archived = []
    for key in (OLD, NEW):
        place = write_private(tmp_path / "private.pem", key.pem())
        place.chmod(0o640)
        archived.append(key_pair.archive(str(place), "abc"))
    first, second = tmp_path / "private-archived-abc.pem", tmp_path / "private-archived-abc.pem.1"
    assert archived == [str(first), str(second)]
    assert (first.read_bytes(), second.read_bytes()) == (OLD.pem(), NEW.pem())
    assert has_mode(first, 0o600)
    assert has_mode(second, 0o600)
    assert key_pair.archive(str(tmp_path / "private.pem"), "abc") == str(first)


@pytest.mark.posix("a link, and modes")
def test_what_a_link_leads_to_stays_as_it_is(tmp_path: Path) -> None:
    key = write_private(tmp_path / "elsewhere", b"key")
    key.chmod(0o640)
    (tmp_path / "private.pem").symlink_to(key)
    archived = Path(str(key_pair.archive(str(tmp_path / "private.pem"), "abc")))
    assert (archived.readlink(), has_mode(key, 0o640)) == (key, True)


@pytest.mark.posix("it is how a file is renamed there")
def test_an_archive_that_was_cut_off_between_its_two_names_has_one(tmp_path: Path) -> None:
    key = write_private(tmp_path / "private.pem", b"key")
    target = Path(key_pair.archive_name(str(key), "print"))
    os.link(key, target)
    assert key_pair.archive(str(key), "print") == str(target)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_key_of_another_type_in_a_journal_is_none() -> None:
    ed25519 = {"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    with pytest.raises(ValueError, match="no key that signs"):
        key_pair.public_key(ed25519)


# --- The journal ---


def record(began: float, **members: Any) -> Record:
    settings = {"garden": {"private_key": "private.pem"}}
    return Record(["garden"], dict(OLD.public.jwk()), settings, "2026-11-18", began, **members)


def test_a_journal_keeps_what_is_under_way_and_the_latest_that_ended(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"), str(tmp_path / "config.toml"))
    (tmp_path / "state").mkdir(mode=0o700)
    journal.write([record(1), *(record(began, ended=began) for began in range(2, 100)), record(100)])
    assert [each.began for each in journal.read()] == [1, *range(50, 100), 100]


def test_a_journal_is_safe_on_the_disk_when_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Any] = []
    monkeypatch.setattr(own_files, "sync_folder", synced.append)
    Journal(str(tmp_path), str(tmp_path / "config.toml")).write([record(1)])
    assert synced == [str(tmp_path)]


@pytest.mark.posix("a link needs a right on Windows")
def test_a_link_to_a_configuration_has_the_same_journal(tmp_path: Path) -> None:
    (tmp_path / "link.toml").symlink_to(tmp_path / "config.toml")
    paths = {Journal(str(tmp_path), str(tmp_path / name)).path for name in ("link.toml", "config.toml")}
    assert len(paths) == 1


@pytest.mark.posix("it is about modes")
def test_a_journal_in_a_folder_of_others_is_neither_read_nor_begun(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "theirs").touch()
    journal = Journal(str(tmp_path), str(tmp_path / "config.toml"))
    with pytest.raises(ConfigurationError, match="open to others") as raised:
        journal.read()
    assert "BANNO_CREDS_STATE_DIR" in str(raised.value.hint)
    with pytest.raises(ConfigurationError, match="cannot be locked"), journal.locked(lambda _: None):
        pytest.fail("it was locked")


def test_what_a_killed_run_left_beside_the_journal_is_removed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    journal = Journal(str(tmp_path), str(tmp_path / "config.toml"))
    write_private(Path(own_files.temporary_name(journal.path)), b"{")
    with journal.locked(lambda _: None):
        assert [path.suffix for path in tmp_path.iterdir()] == [own_files.LOCK]


def test_one_process_at_a_time_changes_keys(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), str(tmp_path / "config.toml"))
    tmp_path.chmod(0o700)
    with Lock(journal.path + own_files.LOCK) as other:
        assert other.take()
        busy = pytest.raises(ConfigurationError, match="another process has been changing keys")
        with busy, journal.locked(lambda _: None):
            pytest.fail("it was locked")


@pytest.mark.parametrize("odd", [{"profiles": "garden"}, {"old": None}, {"old_settings": []}, {"granted": None}])
def test_a_journal_of_another_kind_is_as_if_lost(tmp_path: Path, odd: dict[str, Any]) -> None:
    tmp_path.chmod(0o700)
    journal = Journal(str(tmp_path), str(tmp_path / "config.toml"))
    write_private(Path(journal.path), dumps({"rotations": [asdict(record(1)) | odd]}).encode())
    assert journal.read() == []
    assert journal.was_unreadable


def test_a_key_was_there_when_it_was_noted_first(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    journal = Journal(str(tmp_path), str(tmp_path / "config.toml"))
    new = dict(NEW.public.jwk())
    journal.write([record(5, new=new, both_since=7, switched=8, granted={"garden": 9}), record(20)])
    assert journal.known_since() == {OLD.public.thumbprint(): 5, NEW.public.thumbprint(): 7}


# --- The set ---


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),  # what node-oidc-provider takes at the least
        ({"cache-control": "max-age=5"}, 60),
        ({"cache-control": "no-store"}, 60),
        ({"cache-control": "max-age=300, s-maxage=900"}, 900),
        ({"cache-control": 'public, max-age = "900", s-maxage=300'}, 900),
        ({"cache-control": "max-age=900", "age": "1"}, 1800),
        ({"cache-control": "max-age=900", "via": "1.1 cdn"}, 1800),
        ({"cache-control": "max-age=900", "x-cache": "HIT"}, 1800),
        ({"date": "Wed, 18 Nov 2026 10:00:00 GMT", "expires": "Wed, 18 Nov 2026 11:00:00 GMT"}, 3600),
        ({"date": "Wed, 18 Nov 2026 11:00:00 GMT", "expires": "Wed, 18 Nov 2026 10:00:00 GMT"}, 60),
        ({"expires": "Wed, 18 Nov 2026 11:00:00 GMT"}, 3600),  # without a date, by the clock here
        ({"cache-control": "max-age=999999999999999999"}, 999_999_999),
    ],
)
def test_how_long_caches_may_keep_a_set(headers: dict[str, str], seconds: int) -> None:
    now = datetime(2026, 11, 18, 10, tzinfo=UTC).timestamp()
    assert published.cached_for(Answer("https://x.example/", 200, "OK", headers, b"", 0.1), now) == seconds


@pytest.mark.parametrize("status", [206, 302, 500])
def test_a_set_counts_only_as_a_whole_answer(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    url, content = "https://x.example/jwks.json", KeySet().add(OLD.public).text().encode()
    says = Answer(url, status, "Odd", {}, content, 0.1)
    monkeypatch.setattr(HttpClient, "get", lambda *_: says)
    with pytest.raises(NetworkError, match=f"does not send a JWK Set: {status} Odd"):
        published.look(url, ClientConfig("client", KeySource.at("private.pem")), 0)


@pytest.mark.parametrize("status", [404, 410])
def test_a_set_that_is_not_there_yet_is_empty(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://x.example/jwks.json"
    monkeypatch.setattr(HttpClient, "get", lambda *_: Answer(url, status, "No", {}, b"<html>", 0.1))
    assert published.look(url, ClientConfig("client", KeySource.at("private.pem")), 0).key_set.keys == ()


def test_a_set_has_a_key_under_the_kid_that_is_sent() -> None:
    key, thumbprint = OLD.public, OLD.public.thumbprint()
    key_set = KeySet().add(key)
    assert Named(key, thumbprint).is_in(key_set)
    assert Named(key, None).is_in(key_set)
    assert not Named(key, "ours").is_in(key_set)
    assert not Named(NEW.public, None).is_in(key_set)


def test_a_set_is_made_for_all_to_read_where_there_is_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    before = os.umask(0o022)
    try:
        published.write_set(file, add=(Named(OLD.public, OLD.public.thumbprint()),))
    finally:
        os.umask(before)
    assert has_mode(file, 0o644)
    assert len(read_key_set(file.read_bytes(), "it").keys) == 1
    with pytest.raises(ConfigurationError, match="there is no folder"):
        published.write_set(tmp_path / "none" / "jwks.json", add=(Named(OLD.public, None),))


def test_a_new_set_replaces_no_file_that_came_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "jwks.json"
    monkeypatch.setattr(published, "check_file_name", lambda _: file.write_bytes(b"theirs"))
    with pytest.raises(OutputError):
        published.write_set(file, add=(Named(OLD.public, OLD.public.thumbprint()),))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("jwks.json", b"theirs")]
