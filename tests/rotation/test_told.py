"""What a rotation tells people: what was done, what it waits for, and what they have to do."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds.rotation.subject import DAY
from tests.conftest import write_private
from tests.docs.scripts import needs_jq, needs_sh, run_script
from tests.terminal import at_terminal

if TYPE_CHECKING:
    from tests.rotation.conftest import Desk


def _next(desk: Desk, *args: str) -> str:
    """Return what a run says is next, in one line."""
    done = desk.run(*args)
    assert done.code == 0, done.stderr
    return " ".join(done.stdout.partition("    next")[2].split())


def test_each_end_of_a_run_says_what_to_do(desk: Desk) -> None:
    assert _next(desk) == (
        f"publish {desk.set} at {desk.bank.jwks_uri}, which has not got the new key; then run this again"
    )
    desk.publish()
    assert _next(desk) == (
        "nothing until then: caches may still have the set without the new key; then run this again"
    )
    assert desk.said[-1].stdout.count("until ") == 2
    desk.later(DAY)
    assert _next(desk).startswith("nothing until then: programs may have a copy of the old key")
    desk.later(7 * DAY)
    assert _next(desk) == (
        f"publish {desk.set} at {desk.bank.jwks_uri}, which still has the old key; then run this again"
    )
    desk.publish()
    assert _next(desk) == "nothing: it is done"


def test_a_compromised_key_is_not_missed_in_the_set(desk: Desk) -> None:
    desk.bank.published = b'{"keys": []}'
    assert desk.step("--compromised")["missing"] == ["new"]


def test_the_status_says_what_is_next(desk: Desk) -> None:
    desk.run()
    assert _next(desk, "--status") == "publish the file of the set at its URL; then run this again"


def test_a_misspelled_profile_has_no_status(desk: Desk) -> None:
    refused = desk.run("--status", "-o", "json", profiles=("gardne",))
    assert (refused.code, refused.stdout) == (2, "")
    assert "There is no profile gardne" in refused.stderr
    assert json.loads(desk.run("--status", "-o", "json").stdout) == {"rotations": []}


@pytest.mark.once
@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize("width", [40, 80])
def test_names_and_values_stand_in_columns(desk: Desk, width: int) -> None:
    desk.step()
    told = ("rotate", "--status", "--config", str(desk.config))
    env = {**desk.env, "NO_COLOR": "1"}
    lines = at_terminal("-m", "banno_creds", *told, env=env, stdout=True, columns=width).lines
    at = next(number for number, line in enumerate(lines) if line.startswith("    next"))
    further = [line for line in lines[at + 1 :] if line.strip()]
    assert further or width == 80
    indent = 16 if width == 80 else 5  # on a narrow terminal the whole width is used
    assert all(line.startswith(" " * indent) for line in further)
    assert any("SHA256:" in line and len(line.split()[-1]) == 50 for line in lines)  # it can be copied


def test_a_registration_by_url_is_never_called_a_pem(desk: Desk) -> None:
    desk.config.write_text("")
    desk.profile("garden", jwks_file=None, jwks_uri=None)
    for more in ((), ("--letter", str(desk.folder / "letter.txt"))):
        refused = desk.run(*more)
        assert refused.code == 2
        assert "as PEM" not in refused.stderr
        assert "banno-creds profile set garden --jwks-file FILE --jwks-uri URL" in " ".join(refused.stderr.split())


def test_a_letter_that_nobody_needs_is_said_not_to_be_written(desk: Desk) -> None:
    letter = desk.folder / "letter.txt"
    assert "No letter was written" in desk.run("--letter", letter).stderr
    assert not letter.exists()


def test_without_a_rotation_the_way_back_names_the_command_that_tells(desk: Desk) -> None:
    refused = desk.run("--back")
    assert refused.code == 2
    assert "banno-creds rotate --status" in refused.stderr


def test_the_way_back_leads_to_where_the_old_key_was_moved(desk: Desk) -> None:
    desk.step()
    moved = write_private(desk.folder / "moved.pem", (desk.folder / "private.pem").read_bytes())
    (desk.folder / "private.pem").unlink()
    desk.config.write_text("")
    desk.profile("garden", private_key=moved.name)
    desk.publish()
    desk.step()
    desk.later(DAY)
    assert desk.step()["step"] == "keep-old"
    assert desk.run("--back").code == 0
    assert desk.settings()["private_key"] == moved.name


def test_a_set_without_the_key_in_use_is_a_warning_that_cron_mails(desk: Desk) -> None:
    desk.step()
    desk.bank.published = b'{"keys": []}'
    done = desk.run("--quiet")
    assert done.code == 0
    assert "has not got the key that the profiles sign with" in done.stderr
    assert f"publish {desk.set} there now" in done.stderr


def test_after_the_switch_it_is_the_new_key_that_must_not_be_missed(desk: Desk) -> None:
    before = desk.bank.published
    assert desk.to_the_switch()["step"] == "keep-old"
    assert desk.said[-1].stderr.count("sign with") == 0
    desk.later(7 * DAY)
    desk.step()
    desk.bank.published = before
    assert "has not got the key that the profiles sign with" in desk.run("--quiet").stderr


@needs_jq
@needs_sh
def test_hundreds_of_profiles_are_named_by_a_line_that_works(desk: Desk) -> None:
    for number in range(299):
        desk.profile(f"p{number}")
    refused = desk.run()
    assert refused.code == 2
    line = " ".join(refused.stderr.partition("rotate them together: ")[2].partition("More:")[0].split())
    assert "(shortened)" not in line
    (desk.folder / "bin").mkdir()
    program = desk.folder / "bin" / "banno-creds"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m banno_creds "$@"\n')
    program.chmod(0o755)
    done = run_script(desk.folder, f"{line} --dry-run -o json", desk.env)
    assert done.returncode == 0, done.stdout
    assert len(json.loads(done.stdout)["profiles"]) == 300
    shown = desk.cli("key", "show", desk.folder / "private.pem", "--config", desk.config).stdout
    assert "and 280 more (-o json has all)" in " ".join(shown.split())
