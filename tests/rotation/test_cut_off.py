"""A rotation that is killed at any moment, hundreds of times, and goes on: one end, and no key lost.

Each change that a run makes to a file, each half of what it writes and each request is a moment. The bank caches the
published set as node-oidc-provider does, and a program asks for tokens all the time.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.jose.key_set import read_key_set
from banno_creds.profiles.lookup import find_profile
from banno_creds.rotation.subject import DAY
from tests.conftest import has_mode
from tests.rotation.cut_off import KILLED, Parent, parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rotation.conftest import Desk

pytestmark = [pytest.mark.once, pytest.mark.posix("a process that forks is killed")]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parent]:
    with parent(tmp_path_factory.mktemp("cut-off")) as running:
        yield running


def begin(desk: Desk) -> None:
    assert desk.token().code == 0


def until_the_wait_is_over(desk: Desk) -> None:
    begin(desk)
    desk.step()
    desk.publish()
    desk.step()
    desk.later(DAY)


def until_the_old_key_may_leave(desk: Desk) -> None:
    until_the_wait_is_over(desk)
    desk.step()
    desk.later(7 * DAY)


def until_it_has_left(desk: Desk) -> None:
    until_the_old_key_may_leave(desk)
    desk.step()
    desk.publish()


def until_the_bank_may_fetch_again(desk: Desk) -> None:
    begin(desk)
    desk.later(61)  # until then the new key would be refused, whatever is done


def until_the_switch(desk: Desk) -> None:
    until_the_wait_is_over(desk)
    desk.step()


PHASES = {
    "begin": (begin, ()),
    "wait over": (until_the_wait_is_over, ()),
    "keep over": (until_the_old_key_may_leave, ()),
    "left": (until_it_has_left, ()),
    "back": (until_the_switch, ("--back",)),
    "compromised": (until_the_bank_may_fetch_again, ("--compromised",)),
}


# Each moment, in three tests; with a lost journal every third one.
PARTS = {"first": (1, 3, False), "second": (2, 3, False), "third": (3, 3, False), "journal lost": (2, 3, True)}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("phase", PHASES)
def test_killed_at_any_moment_a_rotation_goes_on_to_the_one_end(
    desk: Desk, process: Parent, tmp_path_factory: pytest.TempPathFactory, phase: str, part: str
) -> None:
    start, stride, is_lost = PARTS[part]
    prepare, options = PHASES[phase]
    old = desk.key("private.pem").public.thumbprint()
    prepare(desk)
    restore = snapshot(desk, tmp_path_factory.mktemp("before") / "folder")
    code, _, moments = run(desk, process, options)
    assert code == 0
    assert moments >= 10
    undisturbed = seen(desk, old)
    options_again = options if phase == "compromised" else ()
    go_on(desk, process, old, options_again)
    check_end(desk, old)
    for moment in range(start, moments + 1, stride):
        restore()
        code, _, _ = run(desk, process, options, kill_at=moment)
        assert code == KILLED
        check(desk, old)
        if is_lost:
            shutil.rmtree(desk.folder / "state", ignore_errors=True)
        code, _, _ = run(desk, process, options_again)
        assert code == 0
        check(desk, old)
        if seen(desk, old) != undisturbed:  # else it goes on as the one that was not killed
            go_on(desk, process, old, options_again)
            check_end(desk, old, began_anew=is_lost and phase in ("keep over", "left"))


def snapshot(desk: Desk, copy: Path) -> Callable[[], None]:
    """Return a function that brings everything back to what it is now."""
    shutil.copytree(desk.folder, copy)
    bank = desk.bank
    now, published, keys, fresh = desk.now, bank.published, bank._keys, bank._fresh_until

    def restore() -> None:
        for path in desk.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(copy, desk.folder, dirs_exist_ok=True)
        desk.now, bank.published, bank._keys, bank._fresh_until = now, published, keys, fresh
        bank.refused.clear()

    return restore


def run(
    desk: Desk, process: Parent, options: tuple[str, ...] = (), kill_at: int = 0
) -> tuple[int, dict[str, Any], int]:
    args: list[str | Path] = ["rotate", "--profile", "garden", "--config", desk.config, "-o", "json", *options]
    return process.run(args, desk.env, desk.now, kill_at)


def check(desk: Desk, old: str) -> None:
    """No key is lost or open to others, nothing is half-written, and the bank grants a token."""
    privates = [path for path in desk.folder.iterdir() if path.name.startswith("private")]
    for path in privates:
        assert has_mode(path, 0o600), path
    whole = [path for path in privates if path.suffix == ".pem"]
    thumbprints = {desk.key(path.name).public.thumbprint() for path in whole}
    assert old in thumbprints
    assert {jwk["kid"] for jwk in read_key_set(desk.set.read_bytes(), "the set").keys} <= thumbprints
    profile = find_profile("garden", desk.config)
    assert profile is not None
    assert desk.token().code == 0, desk.bank.refused
    assert desk.bank.refused == []


def seen(desk: Desk, old: str) -> tuple[object, ...]:
    """What decides how a rotation goes on, whichever key was made."""
    [record] = json.loads(next((desk.folder / "state").iterdir()).read_text())["rotations"]
    times = {name: record[name] is None for name in ("both_since", "refused", "switched", "archived", "ended")}
    same = {name: record[name] for name in ("step", "doing", "until", "new_place", "archives", "is_compromised")}
    files = sorted(path.name for path in desk.folder.iterdir())
    return times, same, files, [kid == old for kid in desk.kids()], desk.settings()["private_key"]


def go_on(desk: Desk, process: Parent, old: str, options: tuple[str, ...]) -> None:
    for _ in range(12):
        code, said, _ = run(desk, process, options)
        assert code == 0
        check(desk, old)
        if said["step"] == "done":
            return
        if said["step"] == "publish":
            desk.publish()
        elif said["step"] == "went-back":
            options = ("--again",)
            continue
        else:
            assert said["step"] in ("wait-for-caches", "keep-old")
            desk.now = said["until"]
        options = options if options == ("--compromised",) else ()
    pytest.fail("it does not end")


def check_end(desk: Desk, old: str, *, began_anew: bool = False) -> None:
    """Exactly one new key, in use and alone in the set; the old one in the archive; nothing left lying about.

    When the old key has left the set, only the journal tells of the rotation: without it, another one begins,
    and leaves the file of a key that it does not know where it is.
    """
    new = desk.key(desk.settings()["private_key"]).public.thumbprint()
    assert new != old
    assert desk.kids() == [new]
    files = sorted(path.name for path in desk.folder.iterdir() if path.suffix in (".pem", ".tmp"))
    if began_anew and "private.pem" in files:
        assert len(files) == 3
        assert not [name for name in files if name.endswith(".tmp")]
    else:
        assert files == ["private-2026-11-18.pem", f"private-archived-{old}.pem"]
    state = list((desk.folder / "state").iterdir())
    assert [path.suffix for path in state] == [".rotation"]
    assert has_mode(state[0], 0o600)
    assert "PRIVATE" not in state[0].read_text()
    [record] = json.loads(state[0].read_text())["rotations"]
    assert record["ended"] is not None
    assert desk.config.read_text().startswith("# Of garden.\n")
