"""``banno-creds rotate``: from the old key to the new one, and what stands in the way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from banno_creds.rotation.subject import DAY
from tests.conftest import has_mode

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
