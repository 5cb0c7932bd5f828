"""``banno-creds rotate``: from the old key to the new one, and what stands in the way."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.jose import keys
from banno_creds.profiles import edits
from banno_creds.rotation.rotate import _Rotation
from banno_creds.rotation.subject import DAY
from banno_creds.shells import quote
from tests.conftest import CLIENT_ID, has_mode, write_private
from tests.rotation.conftest import BEGIN

if TYPE_CHECKING:
    from tests.rotation.conftest import Desk


def test_a_rotation_from_its_beginning_to_its_end(desk: Desk) -> None:
    old = desk.key("private.pem")
    assert desk.token().code == 0

    begun = desk.step()
    assert (begun["step"], begun["did"]) == ("publish", ["make-key", "write-set"])
    assert begun["missing"] == ["new"]
    assert desk.settings()["private_key"] == "private.pem"
    new = desk.key("private-2026-11-18.pem")
    assert has_mode(desk.folder / "private-2026-11-18.pem", 0o600)
    assert desk.kids() == [old.public.thumbprint(), new.public.thumbprint()]

    desk.publish()
    waiting = desk.step()
    assert (waiting["step"], waiting["did"], waiting["until"]) == ("wait-for-caches", [], desk.now + DAY)
    desk.later(DAY - 1)
    assert desk.step()["step"] == "wait-for-caches"
    desk.later(1)

    granted = list(desk.bank.granted)
    switched = desk.step()
    assert (switched["step"], switched["did"]) == ("keep-old", ["try-key", "switch"])
    assert desk.bank.granted == [*granted, new.public.thumbprint()]
    assert desk.settings()["private_key"] == "private-2026-11-18.pem"
    assert switched["until"] == desk.now + 7 * DAY
    assert desk.token().code == 0

    desk.later(7 * DAY)
    removed = desk.step()
    assert (removed["step"], removed["did"]) == ("publish", ["remove-old"])
    assert desk.kids() == [new.public.thumbprint()]
    assert (desk.folder / "private.pem").exists()

    desk.publish()
    ended = desk.step()
    assert (ended["step"], ended["did"]) == ("done", ["archive"])
    archive = desk.folder / f"private-archived-{old.public.thumbprint()}.pem"
    assert ended["old_key"]["places"] == [str(archive)]
    assert has_mode(archive, 0o600)
    assert desk.key(archive.name).public.thumbprint() == old.public.thumbprint()
    assert not (desk.folder / "private.pem").exists()

    assert desk.step()["step"] == "done"
    assert desk.token().code == 0
    assert desk.bank.refused == []
    [journal] = (desk.folder / "state").glob("*.rotation")
    said = journal.read_text() + desk.set.read_text() + "".join(result.stdout + result.stderr for result in desk.said)
    for key in (old, new):
        assert not [line for line in key.pem().decode().splitlines()[1:-1] if line[:40] in said]
    comment, *_ = desk.config.read_text().splitlines()
    assert comment == "# Of garden."


def test_the_next_rotation_is_begun_only_if_it_is_asked_for(desk: Desk) -> None:
    desk.to_the_switch()
    desk.to_the_end()
    desk.later(400 * DAY)
    assert desk.step()["step"] == "done"
    assert desk.step("--again")["did"] == ["make-key", "write-set"]
    desk.publish()
    desk.step()
    desk.later(DAY)
    assert desk.step()["did"] == ["try-key", "switch"]
    assert desk.settings()["private_key"] == "private-2027-12-31.pem"


def test_the_next_rotation_begins_by_itself_when_the_key_is_older_than_the_profile_allows(desk: Desk) -> None:
    desk.config.write_text("")
    desk.profile("garden", key_max_age="400d")
    desk.to_the_switch()
    desk.to_the_end()
    desk.now = BEGIN + 400 * DAY
    assert desk.step()["step"] == "done"
    desk.later(1)
    assert desk.step()["did"] == ["make-key", "write-set"]


def test_a_key_that_is_refused_changes_nothing_and_is_not_tried_again_by_itself(desk: Desk) -> None:
    desk.step()
    desk.publish()
    desk.step()
    new = desk.key("private-2026-11-18.pem").public.thumbprint()
    desk.bank.refuses.add(new)
    desk.later(DAY)
    refused = desk.run()
    assert refused.code == 4
    assert refused.stdout == ""
    assert "banno-creds doctor --profile garden --private-key" in refused.stderr
    assert desk.bank.refused == [new]
    assert desk.settings()["private_key"] == "private.pem"
    assert desk.token().code == 0

    assert desk.run().code == 4
    assert desk.bank.refused == [new]
    desk.bank.refuses.clear()
    assert desk.step("--again")["did"] == ["try-key", "switch"]


def test_back_to_the_old_key_while_the_published_set_has_it(desk: Desk) -> None:
    desk.to_the_switch()
    assert desk.step("--back")["step"] == "went-back"
    assert desk.settings()["private_key"] == "private.pem"
    assert desk.token().code == 0
    assert desk.step()["step"] == "went-back"
    assert desk.step("--again")["did"] == ["try-key", "switch"]

    desk.to_the_end()
    refused = desk.run("--back")
    assert refused.code == 2
    assert "has the old key no more" in refused.stderr


def test_going_back_that_is_cut_off_does_not_go_forward_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.to_the_switch()
    with monkeypatch.context() as cut_off:
        change = edits.change_profiles

        def changes(*args: Any) -> None:
            change(*args)
            raise OSError("the machine is switched off")

        cut_off.setattr(edits, "change_profiles", changes)
        assert desk.run("--back").code == 1
    assert desk.settings()["private_key"] == "private.pem"
    assert desk.step()["step"] == "went-back"
    assert desk.settings()["private_key"] == "private.pem"


def test_the_way_back_leads_to_the_old_key_alone(desk: Desk, ec_key: keys.PrivateKey) -> None:
    """Another key in its file would be one that the published set lacks."""
    desk.to_the_switch()
    old = (desk.folder / "private.pem").read_bytes()
    (desk.folder / "private.pem").write_bytes(ec_key.pem())
    refused = desk.run("--back")
    assert (refused.code, desk.token().code) == (2, 0)
    assert "private.pem is not the old key any more" in " ".join(refused.stderr.split())
    (desk.folder / "private.pem").write_bytes(old)
    assert desk.step("--back")["step"] == "went-back"


def test_a_profile_is_switched_to_the_key_that_was_tried_alone(
    desk: Desk, ec_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.step()
    desk.publish()
    desk.step()
    desk.later(DAY)
    with monkeypatch.context() as cut_off:
        cut_off.setattr(_Rotation, "_switch", lambda _: 1 / 0)
        assert desk.run().code == 1
    [new] = desk.folder.glob("private-*.pem")
    new.write_bytes(ec_key.pem())
    refused = desk.run()
    assert (refused.code, desk.settings()["private_key"], desk.token().code) == (2, "private.pem", 0)
    assert "is not the new key any more" in " ".join(refused.stderr.split())


def test_a_set_whose_file_is_gone_is_not_begun_anew(desk: Desk) -> None:
    """Keys of others that were in it would leave the published set with it."""
    desk.step()
    desk.publish()
    desk.step()
    desk.set.unlink()
    refused = desk.run()
    assert (refused.code, desk.set.exists()) == (2, False)
    assert f"curl -fo {desk.set} {desk.bank.jwks_uri}" in refused.stderr.replace("\n", "")
    desk.set.write_bytes(desk.bank.published or b"")
    assert desk.step()["step"] == "wait-for-caches"


def test_status_looks_at_nothing(desk: Desk) -> None:
    assert json.loads(desk.run("--status", "-o", "json").stdout) == {"rotations": []}
    desk.step()
    looks = desk.bank.looks
    [status] = json.loads(desk.run("--status", "-o", "json").stdout)["rotations"]
    assert (status["profiles"], status["step"]) == (["garden"], "publish")
    assert desk.bank.looks == looks


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    before = {path.name: path.read_bytes() for path in desk.folder.iterdir()}
    assert desk.step("--dry-run")["step"] == "make-key"
    assert {path.name: path.read_bytes() for path in desk.folder.iterdir()} == before


@pytest.mark.parametrize("other", ["--back", "--letter=letter.txt", "--status"])
def test_a_dry_run_is_not_mixed_with_what_changes_something(desk: Desk, other: str) -> None:
    desk.to_the_switch()
    before = {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()}
    refused = desk.run("--dry-run", other)
    assert (refused.code, "exclude each other" in refused.stderr) == (2, True)
    assert {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()} == before


def test_a_url_that_does_not_answer_is_of_the_network_and_the_next_run_goes_on(desk: Desk) -> None:
    desk.step()
    desk.publish()
    config = desk.config.read_text()
    desk.config.write_text(config.replace(desk.bank.jwks_uri, "http://127.0.0.1:1/jwks.json"))
    lost = desk.run()
    assert (lost.code, lost.stdout) == (5, "")
    assert desk.settings()["private_key"] == "private.pem"
    desk.config.write_text(config)
    assert desk.step()["step"] == "wait-for-caches"


# --- Several profiles ---


def test_profiles_with_the_same_key_are_rotated_together_or_not_at_all(desk: Desk) -> None:
    desk.profile("granite", client_id="granite")
    refused = desk.run()
    assert (refused.code, refused.stdout) == (2, "")
    assert "granite uses the same key" in refused.stderr
    assert "banno-creds rotate --profile garden --profile granite" in refused.stderr
    both = ("garden", "granite")
    desk.step(profiles=both)
    desk.publish()
    desk.step(profiles=both)
    desk.later(DAY)
    granted = len(desk.bank.granted)
    assert desk.step(profiles=both)["did"] == ["try-key", "switch"]
    assert len(desk.bank.granted) == granted + 2  # one request for each client
    assert {desk.settings(name)["private_key"] for name in both} == {"private-2026-11-18.pem"}
    assert desk.run().code == 2
    assert "rotation of garden, granite is under way" in desk.said[-1].stderr


def test_a_copy_of_the_key_is_the_same_key(desk: Desk) -> None:
    write_private(desk.folder / "copy.pem", (desk.folder / "private.pem").read_bytes())
    desk.profile("granite", client_id="granite", private_key="copy.pem")
    assert "granite uses the same key" in desk.run().stderr
    both = ("garden", "granite")
    desk.step(profiles=both)
    desk.publish()
    desk.step(profiles=both)
    desk.later(DAY)
    desk.step(profiles=both)
    desk.later(7 * DAY)
    desk.step(profiles=both)
    desk.publish()
    assert desk.step(profiles=both)["step"] == "done"
    assert not (desk.folder / "copy.pem").exists()
    assert not (desk.folder / "private.pem").exists()


def test_a_profile_that_still_uses_the_old_key_keeps_it_in_the_set(desk: Desk) -> None:
    desk.profile("granite", client_id="granite")
    assert desk.step("--partial")["step"] == "publish"
    desk.publish()
    desk.step()
    desk.later(DAY)
    assert desk.step()["did"] == ["try-key", "switch"]
    desk.later(400 * DAY)
    blocked = desk.step()
    assert (blocked["step"], blocked["others"]) == ("still-used", ["granite"])
    assert len(desk.kids()) == 2
    desk.config.write_text(desk.config.read_text().replace('"granite"', '"granite"').replace("Of granite", "Gone"))
    moved = desk.config.read_text().rpartition('private_key = "private.pem"')
    desk.config.write_text(f'{moved[0]}private_key = "private-2026-11-18.pem"{moved[2]}')
    assert desk.step()["did"] == ["remove-old"]


def test_a_broken_profile_that_is_not_rotated_is_in_nobodys_way(desk: Desk) -> None:
    desk.profile("broken", private_key=5)
    assert desk.to_the_switch()["step"] == "keep-old"


def test_a_refusal_for_one_profile_changes_none(desk: Desk) -> None:
    desk.profile("granite", client_id="granite", token_endpoint=f"{desk.bank.origin}/nowhere-else")
    both = ("garden", "granite")
    desk.step(profiles=both)
    desk.publish()
    desk.step(profiles=both)
    desk.later(DAY)
    desk.bank.refuses.add(desk.key("private-2026-11-18.pem").public.thumbprint())
    assert desk.run(profiles=both).code == 4
    assert {desk.settings(name)["private_key"] for name in both} == {"private.pem"}


def test_profiles_with_different_keys_are_not_rotated_together(desk: Desk, ec_key: keys.PrivateKey) -> None:
    write_private(desk.folder / "other.pem", ec_key.pem())
    desk.profile("granite", client_id="granite", private_key="other.pem")
    assert "have different keys" in desk.run(profiles=("garden", "granite")).stderr


# --- Keys and their names ---


def test_an_explicit_kid_is_changed_with_the_key_and_changed_back(desk: Desk) -> None:
    old = desk.key("private.pem").public.thumbprint()
    desk.config.write_text("")
    desk.profile("garden", kid=old)
    desk.to_the_switch()
    assert desk.settings()["kid"] == desk.key("private-2026-11-18.pem").public.thumbprint()
    assert desk.token().code == 0
    desk.step("--back")
    assert desk.settings()["kid"] == old
    assert desk.token().code == 0
    assert desk.bank.refused == []


def test_a_set_that_names_the_key_otherwise_than_it_is_sent_is_refused(desk: Desk) -> None:
    members = json.loads(desk.set.read_bytes())
    members["keys"][0]["kid"] = "our-key"
    desk.set.write_text(json.dumps(members))
    before = desk.set.read_bytes()
    refused = desk.run()
    assert refused.code == 2
    assert "our-key" in refused.stderr
    assert desk.set.read_bytes() == before


def test_an_encrypted_key_is_followed_by_one_with_the_same_passphrase(desk: Desk) -> None:
    key = desk.key("private.pem")
    (desk.folder / "private.pem").write_bytes(key.pem(b"secret"))
    write_private(desk.folder / "passphrase", b"secret\n")
    desk.config.write_text("")
    desk.profile("garden", passphrase_file="passphrase")
    desk.to_the_switch()
    content = (desk.folder / "private-2026-11-18.pem").read_bytes()
    assert b"ENCRYPTED" in content
    keys.load_private_key(content, "the new key", lambda: b"secret")
    assert desk.token().code == 0
    assert desk.to_the_end()["step"] == "done"
    assert "secret" not in "".join(result.stdout + result.stderr for result in desk.said)


@pytest.mark.parametrize("name", ["private.pem", pytest.param("link.pem", marks=pytest.mark.posix("a link"))])
def test_who_else_uses_an_encrypted_key_is_told_by_its_file(desk: Desk, name: str) -> None:
    (desk.folder / "private.pem").write_bytes(desk.key("private.pem").pem(b"secret"))
    write_private(desk.folder / "passphrase", b"secret\n")
    if name != "private.pem":
        (desk.folder / name).symlink_to("private.pem")
    desk.config.write_text("")
    desk.profile("garden", passphrase_file="passphrase")
    desk.profile("granite", private_key=name)
    refused = desk.run()
    assert refused.code == 2
    assert "granite uses the same key" in " ".join(refused.stderr.split())


def test_a_key_of_your_own_is_taken_for_the_new_one(desk: Desk, ec_key: keys.PrivateKey) -> None:
    made = write_private(desk.folder / "made-by-hand.pem", ec_key.pem())
    desk.step("--new-key", made)
    assert desk.kids()[1] == ec_key.public.thumbprint()
    desk.publish()
    desk.step()
    desk.later(DAY)
    desk.step()
    assert desk.settings()["private_key"] == "made-by-hand.pem"


def test_another_new_key_takes_the_place_of_one_that_is_not_used_yet(desk: Desk, ec_key: keys.PrivateKey) -> None:
    desk.step()
    made = write_private(desk.folder / "made-by-hand.pem", ec_key.pem())
    assert "rotation is under way" in desk.run("--new-key", made).stderr
    assert desk.step("--again", "--new-key", made)["did"] == ["make-key", "write-set"]
    old = desk.key("private.pem").public.thumbprint()
    assert desk.kids() == [old, ec_key.public.thumbprint()]


def test_a_new_key_that_is_the_old_one_or_signs_otherwise_is_refused(desk: Desk, rsa_key: keys.PrivateKey) -> None:
    copy = write_private(desk.folder / "copy.pem", (desk.folder / "private.pem").read_bytes())
    assert "is the old key" in desk.run("--new-key", copy).stderr
    desk.config.write_text("")
    desk.profile("garden", alg="ES256")
    rsa = write_private(desk.folder / "rsa.pem", rsa_key.pem())
    refused = desk.run("--new-key", rsa)
    assert refused.code == 2
    assert "cannot sign with ES256" in refused.stderr
    assert len(desk.kids()) == 1


def test_a_new_key_that_was_lost_before_it_was_used_is_made_again(desk: Desk) -> None:
    desk.step()
    lost = desk.kids()[1]
    (desk.folder / "private-2026-11-18.pem").unlink()
    assert desk.step()["did"] == ["make-key", "write-set"]
    old, new = desk.kids()
    assert old == desk.key("private.pem").public.thumbprint()
    assert new != lost


# --- The published set ---


def test_the_wait_is_as_long_as_caches_may_keep_the_old_set(desk: Desk) -> None:
    desk.bank.headers = {"cache-control": "max-age=172800", "age": "5"}  # behind a shared cache
    desk.step()
    desk.publish()
    assert desk.step()["until"] == desk.now + 4 * DAY
    desk.later(3 * DAY)
    assert desk.step()["step"] == "wait-for-caches"
    desk.bank.headers = {"cache-control": "max-age=60"}
    assert desk.step()["step"] == "wait-for-caches"  # the longest time that was seen counts
    desk.later(DAY)
    assert desk.step()["did"] == ["try-key", "switch"]


def test_an_expires_without_a_date_counts_from_now(desk: Desk) -> None:
    desk.bank.headers = {"expires": format_datetime(datetime.fromtimestamp(desk.now + 3 * DAY, UTC), usegmt=True)}
    desk.step()
    desk.publish()
    assert desk.step()["until"] == desk.now + 3 * DAY


def test_the_wait_begins_anew_if_the_set_loses_a_key(desk: Desk) -> None:
    before = desk.bank.published
    desk.step()
    desk.publish()
    desk.step()
    desk.bank.published, both = before, desk.bank.published
    desk.later(DAY)
    assert desk.step()["missing"] == ["new"]
    desk.bank.published = both
    assert desk.step()["until"] == desk.now + DAY


def test_a_set_without_the_key_in_use_stops_a_rotation(desk: Desk) -> None:
    before = desk.bank.published
    desk.to_the_switch()
    desk.bank.published = before  # somebody has published an old file
    desk.later(30 * DAY)
    said = desk.step()
    assert (said["step"], said["missing"]) == ("publish", ["new"])
    assert len(desk.kids()) == 2


@pytest.mark.parametrize("published", [b"<html>", b"[]", b'{"keys": 1}', b"", b"\xef\xbb\xbf{}"])
def test_what_is_no_set_is_waited_for_and_named(desk: Desk, published: bytes) -> None:
    desk.step()
    desk.bank.published = published
    result = desk.run()
    assert (result.code, result.stdout) == (5, "")
    assert "jwks check" in result.stderr
    assert desk.settings()["private_key"] == "private.pem"


def test_both_keys_at_once_without_waiting_if_that_is_asked_for(desk: Desk) -> None:
    desk.step()
    desk.publish()
    desk.later(61)  # else the bank has the old set still
    assert desk.step("--at-once")["did"] == ["try-key", "switch"]


def test_a_clock_that_was_set_back_makes_the_wait_longer_and_never_shorter(desk: Desk) -> None:
    desk.step()
    desk.publish()
    desk.step()
    desk.later(-30 * DAY)
    assert desk.step()["until"] == desk.now + DAY


def test_after_the_clock_was_set_back_by_years_a_rotation_waits_once_more_and_no_longer(desk: Desk) -> None:
    desk.step()
    desk.publish()
    desk.step()
    desk.later(-3000 * DAY)
    desk.step()
    desk.later(DAY)
    assert desk.step()["did"] == ["try-key", "switch"]
    desk.later(-1000 * DAY)
    assert desk.step()["step"] == "keep-old"
    desk.later(7 * DAY)
    assert desk.step()["did"] == ["remove-old"]


def test_a_file_with_a_private_key_in_it_is_not_changed(desk: Desk) -> None:
    members = json.loads(desk.set.read_bytes())
    members["keys"][0]["d"] = "AAAA"
    desk.set.write_text(json.dumps(members))
    refused = desk.run()
    assert refused.code == 2
    assert "private" in refused.stderr
    assert "AAAA" not in refused.stderr


# --- What cannot be rotated ---


def test_without_a_registration_or_a_set_it_says_what_is_missing(desk: Desk) -> None:
    no_set = {"jwks_file": None, "jwks_uri": None}
    for settings, *words in (
        ({"registration": None}, "does not say that the bank has a JWKS URI", "--letter FILE"),
        ({"registration": None, **no_set}, "does not say that the bank has a JWKS URI", "--letter FILE"),
        ({"registration": "pem"}, "as PEM, and only the bank can replace that", "--letter FILE"),
        ({"registration": "pem", **no_set}, "as PEM, and only the bank can replace that", "--letter FILE"),
        ({"jwks_file": None}, "file of the JWK Set is not known", "set garden --jwks-file FILE"),
        ({"jwks_uri": None}, "URL that the JWK Set is published at is not known", "set garden --jwks-uri URL"),
        (no_set, "are not known", "set garden --jwks-file FILE --jwks-uri URL"),
    ):
        desk.config.write_text("")
        desk.profile("garden", **settings)
        result = desk.run()
        assert result.code == 2
        for each in (*words, f"--config {quote(str(desk.config))}"):  # which is not the user's own
            assert each in " ".join(result.stderr.split())
    assert [path.name for path in desk.folder.glob("private*")] == ["private.pem"]


def test_another_key_in_the_middle_of_a_rotation_is_told(desk: Desk, ec_key: keys.PrivateKey) -> None:
    desk.step()
    (desk.folder / "private.pem").write_bytes(ec_key.pem())
    assert "is neither its old key nor its new one" in desk.run().stderr
    assert desk.step("--again")["did"] == ["write-set"]  # with the new key that is there
    given_up, other = json.loads(desk.run("--status", "-o", "json").stdout)["rotations"]
    assert (given_up["ended"] is None, other["ended"]) == (False, None)
    assert ec_key.public.thumbprint() in desk.kids()


def test_a_journal_of_another_version_is_left_alone_and_a_broken_one_is_lost(desk: Desk) -> None:
    desk.to_the_switch()
    [journal] = (desk.folder / "state").glob("*.rotation")
    content = journal.read_text()
    journal.write_text(content.replace('"version": 1', '"version": 2'))
    assert "nother version of banno-creds" in desk.run().stderr
    journal.write_text(content[:-20])
    lost = desk.run("-o", "json")
    assert "is taken for lost" in lost.stderr
    assert json.loads(lost.stdout)["until"] == desk.now + 7 * DAY
    assert desk.step("--back")["step"] == "went-back"
    assert desk.settings()["private_key"] == "private.pem"


@pytest.mark.parametrize(
    "broken",
    [
        {"both_since": "soon"},
        {"old": {}},
        {"old": []},
        {"old_settings": {"garden": {}}},
        {"profiles": "garden"},
        {"granted": {"garden": "yes"}},
        {"granted": [1]},
        {"archives": [1]},
        {"began": None},
        {"cached": None},
        {"granted": {"garden": None}},
    ],
)
def test_a_journal_with_a_broken_member_is_lost_too(desk: Desk, broken: dict[str, Any]) -> None:
    desk.to_the_switch()
    [journal] = (desk.folder / "state").glob("*.rotation")
    members = json.loads(journal.read_text())
    members["rotations"][0] |= broken
    journal.write_text(json.dumps(members))
    for how in (["--status"], []):
        lost = desk.run(*how)
        assert (lost.code, "is taken for lost" in lost.stderr) == (0, True)


# --- Letters ---


def test_a_pem_is_changed_by_a_letter(desk: Desk) -> None:
    desk.config.write_text("")
    desk.profile("garden", registration="pem", jwks_file=None, jwks_uri=None)
    old = desk.key("private.pem")
    letter = desk.run("--letter", "-")
    assert letter.code == 0
    new = desk.key("private-2026-11-18.pem")
    assert desk.settings()["private_key"] == "private.pem"
    for words in (CLIENT_ID, old.public.fingerprint(), new.public.fingerprint(), "2027-02-16", "Users & Groups"):
        assert words in letter.stdout
    assert new.public.pem().decode() in letter.stdout
    assert "banno-creds profile set garden --private-key" in letter.stderr
    for key in (old, new):
        assert not [line for line in key.pem().decode().splitlines()[1:-1] if line in letter.stdout + letter.stderr]
    assert desk.run("--letter", "-").stdout == letter.stdout  # the same key, and no other one

    leaked = desk.run("--compromised", "--letter", "-")
    assert "For cause" in leaked.stdout

    desk.profile("meadow", registration="pem", jwks_file=None, jwks_uri=None)
    both = desk.run("--letter", "-", profiles=("garden", "meadow"))
    assert "banno-creds profile set garden meadow --private-key" in both.stderr


@pytest.mark.posix("the letter names openssl as a shell has it")
def test_the_line_in_the_letter_gives_the_fingerprint(desk: Desk) -> None:
    desk.config.write_text("")
    desk.profile("garden", registration="pem")
    letter = desk.run("--letter", "-").stdout
    new = desk.key("private-2026-11-18.pem")
    (desk.folder / "public.pem").write_bytes(new.public.pem())
    line = " ".join(line for line in letter.splitlines() if "openssl" in line)
    assert max(map(len, letter.splitlines())) < 80
    done = subprocess.run(["sh", "-c", line], cwd=desk.folder, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() in letter


def test_a_compromised_key_leaves_first(desk: Desk) -> None:
    old = desk.key("private.pem").public.thumbprint()
    assert desk.token().code == 0
    begun = desk.step("--compromised")
    new = desk.key("private-2026-11-18.pem").public.thumbprint()
    assert (begun["step"], begun["missing"]) == ("publish", ["new"])
    assert desk.kids() == [new]
    desk.publish()
    ended = desk.run("--compromised", "--letter", desk.folder / "letter.txt", "-o", "json")
    assert json.loads(ended.stdout)["did"] == ["switch", "archive"]
    assert desk.settings()["private_key"] == "private-2026-11-18.pem"
    assert f"private-archived-{old}.pem" in [path.name for path in desk.folder.iterdir()]
    letter = (desk.folder / "letter.txt").read_text()
    assert desk.bank.jwks_uri in letter
    assert "revoke the access tokens" in letter
    again = desk.run("--compromised", "--letter", desk.folder / "letter.txt")
    assert (again.code, "is there already" in again.stderr) == (0, True)
    assert (desk.folder / "letter.txt").read_text() == letter
    desk.later(60)
    assert desk.token().code == 0
    assert not desk.bank.knows(old)
