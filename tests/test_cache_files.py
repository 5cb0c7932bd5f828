"""The cache's folder and files: whose they are, that they stay their owner's alone, how old they are."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from banno_creds import cache_files
from banno_creds.cache_files import NotOursError

OURS = "0" * 64


# --- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({"BANNO_CREDS_CACHE_DIR": "/named", "XDG_CACHE_HOME": "/xdg"}, "linux", "/named"),
        ({"BANNO_CREDS_CACHE_DIR": "~/named"}, "linux", "HOME/named"),
        ({"BANNO_CREDS_CACHE_DIR": "named"}, "linux", "CWD/named"),
        ({"BANNO_CREDS_CACHE_DIR": ""}, "linux", "HOME/.cache/banno-creds"),
        ({"XDG_CACHE_HOME": "/xdg"}, "linux", "/xdg/banno-creds"),
        ({"XDG_CACHE_HOME": "relative"}, "linux", "HOME/.cache/banno-creds"),
        ({}, "linux", "HOME/.cache/banno-creds"),
        ({"XDG_CACHE_HOME": "/xdg"}, "darwin", "HOME/Library/Caches/banno-creds"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/banno-creds/Cache"),
        ({"LOCALAPPDATA": ""}, "win32", None),
    ],
)
def test_the_folder_is_where_the_system_keeps_caches_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], platform: str, expected: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if expected is not None:
        expected = expected.replace("HOME", os.environ["HOME"]).replace("CWD", str(tmp_path))
    assert cache_files.folder() == expected


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_without_a_home_there_is_no_folder(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache_files.folder() is None


# --- whose ----------------------------------------------------------------------------------------------------------


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_made_for_ourselves_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cache_files.make_folder(str(tmp_path / "a" / "b" / "c"))
    finally:
        os.umask(before)
    assert [_mode(tmp_path / path) for path in ("a", "a/b", "a/b/c")] == [0o700] * 3
    cache_files.make_folder(str(tmp_path / "a" / "b" / "c"))


def test_a_folder_that_another_process_makes_at_the_same_time_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def both(path: str, mode: int) -> None:
        make(path, mode)
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", both)
    cache_files.make_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o710, 0o701])
def test_a_folder_that_is_looser_is_tightened(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    for suffix in (".json", ".lock", ".answer", ".json.123.abc.tmp"):
        (folder / f"{OURS}{suffix}").touch()
    folder.chmod(mode)
    cache_files.check_folder(str(folder))
    assert _mode(folder) == 0o700


@pytest.mark.parametrize("mode", [0o1777, 0o755])
def test_a_folder_with_other_files_in_it_is_not_closed_to_others(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "somebody's").touch()
    folder.chmod(mode)
    with pytest.raises(NotOursError, match=r"shared is open to others, and holds more than the cache"):
        cache_files.check_folder(str(folder))
    assert _mode(folder) == mode
    folder.chmod(0o700)
    cache_files.check_folder(str(folder))


def test_a_folder_that_is_missing_a_link_a_file_or_anothers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        cache_files.check_folder(str(tmp_path / "missing"))
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NotOursError, match="is a link"):
        cache_files.check_folder(str(tmp_path / "link"))
    (tmp_path / "file").touch()
    with pytest.raises(NotOursError, match="is no folder"):
        cache_files.check_folder(str(tmp_path / "file"))
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(NotOursError, match="belongs to another user"):
        cache_files.check_folder(str(tmp_path))


def test_where_modes_mean_nothing_none_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_files, "_MODES_MEAN_SOMETHING", False)
    tmp_path.chmod(0o755)
    (tmp_path / "file").touch(0o644)
    monkeypatch.delattr(os, "geteuid")
    cache_files.check_folder(str(tmp_path))
    assert cache_files.read(str(tmp_path / "file")) == b""
    assert _mode(tmp_path) == 0o755


@pytest.mark.parametrize(
    "name", ["notes.json", "x.tmp", f"{OURS}", f"{OURS}.txt", f"{OURS[1:]}.json", f".{OURS}.json", f"{'/' * 64}.json"]
)
def test_what_has_another_name_is_not_the_caches(name: str) -> None:
    assert not cache_files.is_of_the_cache(name)


# --- read and written -----------------------------------------------------------------------------------------------


def test_a_file_is_ours_alone_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    write = os.write

    def look_and_write(descriptor: int, content: bytes) -> int:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return write(descriptor, content[:2])  # as a system may: not everything at once

    monkeypatch.setattr(os, "write", look_and_write)
    before = os.umask(0)
    try:
        cache_files.write(str(tmp_path / "file"), b"content")
    finally:
        os.umask(before)
    assert modes == [0o600] * 4
    assert (tmp_path / "file").read_bytes() == b"content"
    assert _mode(tmp_path / "file") == 0o600


def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        done.append("fsync")
        fsync(descriptor)

    def rename(*paths: str) -> None:
        done.append("rename")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    cache_files.write(str(tmp_path / "file"), b"content")
    assert done == ["fsync", "rename"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_breaks_off_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, failure: BaseException
) -> None:
    path = tmp_path / "file"
    cache_files.write(str(path), b"old")

    def fail(*_: object) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(type(failure)):
            cache_files.write(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_the_first_failure_is_the_one_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def fail_again(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "unlink", fail_again)
    with pytest.raises(OSError, match="No space left"):
        cache_files.write(str(tmp_path / "file"), b"new")


def test_a_file_that_is_looser_is_tightened_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o664)
    assert cache_files.read(str(path)) == b"content"
    assert _mode(path) == 0o600


def test_a_link_is_not_followed_and_a_pipe_hangs_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("link", "is a link"), ("pipe", "is no file"), (".", "is no file")):
        with pytest.raises(NotOursError, match=words):
            cache_files.read(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        cache_files.read(str(tmp_path / "missing"))


def test_a_file_of_another_user_is_refused_and_no_descriptor_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    before = sorted(path.name for path in Path("/dev/fd").iterdir())
    with pytest.raises(NotOursError, match="file belongs to another user"):
        cache_files.read(str(tmp_path / "file"))
    assert sorted(path.name for path in Path("/dev/fd").iterdir()) == before


# --- age ------------------------------------------------------------------------------------------------------------


def test_a_replaced_file_has_another_identity(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    assert cache_files.identity(path) == ""
    cache_files.write(path, b"one")
    first = cache_files.identity(path)
    assert cache_files.identity(path) == first
    cache_files.write(path, b"two")
    assert cache_files.identity(path) not in ("", first)


def test_uptime_is_of_this_start_and_does_not_go_back() -> None:
    first, second = cache_files.uptime(), cache_files.uptime()
    assert first[0] == second[0]
    assert second[1] >= first[1] >= 0
    if Path("/proc/sys/kernel/random/boot_id").exists():
        assert len(first[0]) == 36


def test_without_such_a_clock_there_is_no_uptime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("time.clock_gettime")
    assert cache_files.uptime() == ("", 0.0)


@pytest.mark.parametrize(
    ("now", "then", "then_up", "expected"),
    [
        (1100, 1000, ("boot", 500), 100),  # nobody set anything
        (900, 1000, ("boot", 500), 100),  # set back
        (5000, 1000, ("boot", 500), 4000),  # set forward
        (1100, 1000, ("another", 900), 100),  # restarted
        (900, 1000, ("another", 500), None),
        (900, 1000, ("", 0), None),
        (1100, 1000, ("", 0), 100),
        (900, 1000, ("boot", 700), None),  # from the future by both
    ],
)
def test_age_is_the_longer_of_what_two_clocks_say(
    monkeypatch: pytest.MonkeyPatch, now: float, then: float, then_up: tuple[str, float], expected: float | None
) -> None:
    monkeypatch.setattr(cache_files, "uptime", lambda: ("boot", 600.0))
    assert cache_files.age(now, then, then_up) == expected


def test_without_a_clock_two_empty_names_are_not_the_same_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_files, "uptime", lambda: ("", 0.0))
    assert cache_files.age(900, 1000, ("", 0.0)) is None
