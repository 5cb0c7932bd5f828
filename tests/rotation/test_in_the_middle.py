"""What people do in the middle of a rotation: it goes on safely, or says what stands in its way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from banno_creds.rotation.plan import ENDS, Step
from banno_creds.rotation.rotate import _Rotation
from banno_creds.rotation.subject import DAY
from banno_creds.storage.lock import Lock
from tests.conftest import write_private
from tests.servers.set_bank import SetBank

if TYPE_CHECKING:
    from banno_creds.jose import keys
    from tests.conftest import How
    from tests.rotation.conftest import Desk

pytestmark = pytest.mark.once

NEW = "private-2026-11-18.pem"
BOTH = ("garden", "granite")


def test_a_profile_that_was_granted_a_token_is_not_tried_again(desk: Desk) -> None:
    with SetBank() as other:
        other.now = lambda: desk.now
        desk.profile("granite", client_id="granite", token_endpoint=other.url)
        desk.step(profiles=BOTH)
        desk.publish()
        other.published = desk.bank.published
        desk.step(profiles=BOTH)
        desk.later(DAY)
        new = desk.key(NEW).public.thumbprint()
        other.refuses.add(new)
        assert desk.run(profiles=BOTH).code == 4
        assert (desk.bank.granted, other.refused) == ([new], [new])
        assert {desk.settings(name)["private_key"] for name in BOTH} == {"private.pem"}
        other.refuses.clear()
        assert desk.step("--again", profiles=BOTH)["did"] == ["try-key", "switch"]
        assert (desk.bank.granted, other.granted) == ([new], [new])


def test_each_step_is_in_the_journal_before_it_is_begun_and_done_after_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = _Rotation._act
    steps: list[Step] = []

    def doing() -> tuple[object, object]:
        [file] = (desk.folder / "state").glob("*.rotation")
        [record] = json.loads(file.read_bytes())["rotations"]
        return record["doing"], record["step"]

    def watched(rotation: _Rotation, step: Step) -> None:
        steps.append(step)
        assert doing() == (step, step)
        act(rotation, step)

    monkeypatch.setattr(_Rotation, "_act", watched)
    desk.to_the_switch()
    assert doing() == (None, "keep-old")
    desk.to_the_end()
    assert {*steps} == {*Step} - ENDS


def test_profiles_that_send_different_kids_are_not_rotated_together(desk: Desk) -> None:
    desk.profile("granite", client_id="granite", kid="ours")
    refused = desk.run(profiles=BOTH)
    assert refused.code == 2
    assert "different key IDs" in " ".join(refused.stderr.split())
    assert len(desk.kids()) == 1


def test_profiles_of_different_sets_are_not_rotated_together(desk: Desk) -> None:
    desk.profile("granite", client_id="granite", jwks_file="other.json")
    refused = desk.run(profiles=BOTH)
    assert refused.code == 2
    assert "--jwks-file" in refused.stderr
    assert desk.step("--jwks-file", desk.set, profiles=BOTH)["step"] == "publish"


def test_a_compromised_key_is_left_to_nobody(desk: Desk) -> None:
    desk.profile("granite", client_id="granite")
    refused = desk.run("--compromised", "--partial")
    assert refused.code == 2
    assert "granite uses the same key" in refused.stderr


def test_a_key_stays_compromised_without_saying_it_again(desk: Desk) -> None:
    desk.step("--compromised")
    new = desk.kids()
    desk.publish()
    assert desk.step()["did"] == ["switch", "archive"]
    assert desk.kids() == new


def test_the_doctor_is_named_with_the_kid_that_is_sent(desk: Desk) -> None:
    desk.config.write_text("")
    desk.profile("garden", kid=desk.key("private.pem").public.thumbprint())
    desk.step()
    desk.publish()
    desk.step()
    desk.bank.refuses.add(desk.key(NEW).public.thumbprint())
    desk.later(DAY)
    said = " ".join(desk.run().stderr.split())
    assert "--kid thumbprint" in said
    assert desk.run("--status", "-o", "json").code == 0


def test_a_kid_that_was_written_meanwhile_is_taken_out_on_the_way_back(desk: Desk) -> None:
    desk.to_the_switch()
    new = desk.key(NEW).public.thumbprint()
    desk.config.write_text(desk.config.read_text().replace("registration =", f'kid = "{new}"\nregistration ='))
    desk.step("--back")
    assert "kid" not in desk.settings()
    assert desk.token().code == 0


def test_the_way_back_wants_the_old_keys_file(desk: Desk) -> None:
    desk.to_the_switch()
    (desk.folder / "private.pem").rename(desk.folder / "elsewhere.pem")
    refused = desk.run("--back")
    assert refused.code == 2
    assert "private.pem is not there" in " ".join(refused.stderr.split())
    assert desk.settings()["private_key"] == NEW


def test_the_way_back_ends_where_the_published_set_lacks_the_old_key(desk: Desk) -> None:
    desk.to_the_switch()
    members = json.loads(desk.bank.published or b"")
    desk.bank.published = json.dumps({"keys": members["keys"][1:]}).encode()
    assert "has the old key no more" in " ".join(desk.run("--back").stderr.split())
    assert desk.settings()["private_key"] == NEW


def test_the_way_back_puts_the_old_key_into_the_file_again(desk: Desk) -> None:
    desk.to_the_switch()
    desk.later(7 * DAY)
    assert desk.step()["did"] == ["remove-old"]  # and is not published
    assert desk.step("--back")["step"] == "went-back"
    assert sorted(desk.kids()) == sorted(desk.key(name).public.thumbprint() for name in ("private.pem", NEW))


def test_an_old_key_whose_kid_was_changed_leaves_the_set_all_the_same(desk: Desk) -> None:
    desk.to_the_switch()
    new = desk.key(NEW).public.thumbprint()
    members = json.loads(desk.set.read_bytes())
    members["keys"][0]["kid"] = "the-old-one"
    desk.set.write_text(json.dumps(members))
    desk.publish()
    desk.later(7 * DAY)
    assert desk.step()["did"] == ["remove-old"]
    assert desk.kids() == [new]
    assert desk.step()["step"] == "publish"
    desk.publish()
    assert desk.step()["step"] == "done"


def test_another_key_in_the_old_ones_file_is_not_archived(desk: Desk, ec_key: keys.PrivateKey) -> None:
    desk.to_the_switch()
    write_private(desk.folder / "private.pem", ec_key.pem())
    ended = desk.to_the_end()
    assert ended["step"] == "done"
    assert desk.key("private.pem").public.thumbprint() == ec_key.public.thumbprint()
    assert not list(desk.folder.glob("*archived*"))


def test_a_new_key_that_is_in_use_is_not_replaced(desk: Desk, ec_key: keys.PrivateKey) -> None:
    desk.to_the_switch()
    other = write_private(desk.folder / "other.pem", ec_key.pem())
    refused = desk.run("--again", "--new-key", other)
    assert refused.code == 2
    assert "otation is under way" in refused.stderr
    assert desk.settings()["private_key"] == NEW


def test_the_wait_begins_anew_for_a_key_that_was_made_again(desk: Desk) -> None:
    desk.step()
    desk.publish()
    desk.step()
    desk.later(DAY)
    (desk.folder / NEW).unlink()
    assert desk.step()["did"] == ["make-key", "write-set"]
    desk.publish()
    waiting = desk.step()
    assert (waiting["step"], waiting["until"]) == ("wait-for-caches", desk.now + DAY)


def test_a_clock_that_was_set_back_keeps_the_old_key_for_longer_and_never_for_less(desk: Desk) -> None:
    desk.to_the_switch()
    desk.later(-30 * DAY)
    assert desk.step()["until"] == desk.now + 7 * DAY


def test_ways_that_exclude_each_other_are_refused(desk: Desk) -> None:
    refused = desk.run("--back", "--again")
    assert refused.code == 2
    assert "--back and --again exclude each other" in refused.stderr


def test_a_letter_replaces_no_file(desk: Desk) -> None:
    desk.config.write_text("")
    desk.profile("garden", registration="pem")
    letter = write_private(desk.folder / "letter.txt", b"mine")
    assert desk.run("--letter", letter).code != 0
    assert letter.read_bytes() == b"mine"


def test_a_letter_asks_for_no_older_key(desk: Desk, ec_key: keys.PrivateKey) -> None:
    write_private(desk.folder / "private-2026-01-31.pem", ec_key.pem())
    older = desk.key("private.pem").public.fingerprint()
    desk.config.write_text("")
    desk.profile("garden", registration="pem", private_key="private-2026-01-31.pem")
    letter = desk.run("--letter", "-").stdout
    assert desk.key(NEW).public.fingerprint() in letter
    assert older not in letter


def test_another_key_that_a_profile_gets_during_a_run_stays(desk: Desk, ec_key: keys.PrivateKey) -> None:
    write_private(desk.folder / "other.pem", ec_key.pem())
    desk.step()
    desk.publish()
    desk.step()
    desk.later(DAY)

    def somebody() -> float:
        desk.config.write_text(desk.config.read_text().replace('"private.pem"', '"other.pem"'))
        return desk.now

    desk.bank.now = somebody  # it looks at the time when it is asked for a token with the new key
    refused = desk.run()
    assert refused.code == 2
    assert "garden has got another private_key meanwhile" in " ".join(refused.stderr.split())
    assert desk.settings()["private_key"] == "other.pem"
    refused = desk.run()
    assert "other.pem is neither its old key nor its new one" in " ".join(refused.stderr.split())


@pytest.mark.parametrize("options", [(), ("--compromised",), ("--again",)])
def test_a_run_that_waited_for_another_sees_what_that_one_did(desk: Desk, how: How, options: tuple[str, ...]) -> None:
    desk.step("--compromised")
    desk.publish()
    state = next((desk.folder / "state").glob("*.rotation"))
    with Lock(f"{state}.lock", 1, lambda _: None) as lock:
        lock.wait()

        def the_other_ends(_: float) -> None:
            how.sleep = lambda _: None
            lock.free()
            assert desk.step()["did"] == ["switch", "archive"]

        how.sleep = the_other_ends
        ended = desk.step(*options)
    assert (ended["step"], ended["did"]) == ("done", [])
