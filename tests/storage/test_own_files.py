"""The cache's folder and files: whose they are, that they stay their owner's alone, how old they are."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from banno_creds.storage import own_files
from banno_creds.storage.own_files import NotOursError, OthersHomeError

OURS = "0" * 64
HOME = "USERPROFILE" if sys.platform == "win32" else "HOME"

modes = pytest.mark.posix("a mode says who may do what")
links = pytest.mark.posix("everybody may make a symbolic link")
owners = pytest.mark.posix("a file's owner is a number")
UNFINISHED = ".123.0123456789ab.tmp"


# --- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({"BANNO_CREDS_CACHE_DIR": "CWD/named", "XDG_CACHE_HOME": "CWD/xdg"}, "linux", "CWD/named"),
        ({"BANNO_CREDS_CACHE_DIR": "~/named"}, "linux", "HOME/named"),
        ({"BANNO_CREDS_CACHE_DIR": "named"}, "linux", "CWD/named"),
        ({"BANNO_CREDS_CACHE_DIR": ""}, "linux", "HOME/.cache/banno-creds"),
        ({"XDG_CACHE_HOME": "CWD/xdg"}, "linux", "CWD/xdg/banno-creds"),
        ({"XDG_CACHE_HOME": "relative"}, "linux", "HOME/.cache/banno-creds"),
        ({}, "linux", "HOME/.cache/banno-creds"),
        ({"XDG_CACHE_HOME": "CWD/xdg"}, "darwin", "HOME/Library/Caches/banno-creds"),
        ({"BANNO_CREDS_CACHE_DIR": "~/named"}, "win32", "HOME/named"),
        ({"LOCALAPPDATA": "CWD/local"}, "win32", "CWD/local/banno-creds/Cache"),
        ({"LOCALAPPDATA": "CWD/local", "BANNO_CREDS_CACHE_DIR": "named"}, "win32", "CWD/named"),
        ({"LOCALAPPDATA": "relative"}, "win32", "HOME/AppData/Local/banno-creds/Cache"),
        ({"LOCALAPPDATA": ""}, "win32", "HOME/AppData/Local/banno-creds/Cache"),
    ],
)
def test_the_folder_is_where_the_system_keeps_caches_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], platform: str, expected: str | None
) -> None:
    def full(path: str) -> str:
        return path.replace("HOME", os.environ[HOME]).replace("CWD", str(tmp_path)).replace("/", os.sep)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, full(value))
    assert own_files.cache_folder() == (None if expected is None else full(expected))


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_without_a_home_there_is_no_folder(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert own_files.home() is None
    assert own_files.cache_folder() is None


@pytest.mark.posix("HOME names the home")
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_home_that_is_set_to_nothing_is_none(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """For root the cache would be in the root folder."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", "")
    assert own_files.home() is None
    assert own_files.cache_folder() is None
    for named in ("~", "~/named"):
        monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", named)
        assert own_files.cache_folder() is None
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", "/named")
    assert own_files.cache_folder() == "/named"
    monkeypatch.delenv("BANNO_CREDS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert own_files.cache_folder() == (None if platform == "darwin" else "/xdg/banno-creds")


def test_home_is_where_the_variable_says_if_that_is_a_whole_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_files.home() == os.environ[HOME]
    monkeypatch.setenv(HOME, "relative")
    assert own_files.home() is None


@pytest.mark.posix("a folder that is in use can be removed")
def test_a_relative_folder_in_a_folder_that_is_gone_is_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", "cache/below")
    folder = own_files.cache_folder()
    assert folder == "cache/below"
    with pytest.raises(FileNotFoundError):
        own_files.make_folder(folder)
    with pytest.raises(FileNotFoundError):
        own_files.check_folder(folder)


# --- whose ----------------------------------------------------------------------------------------------------------


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@modes
def test_folders_are_made_for_ourselves_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        own_files.make_folder(str(tmp_path / "a" / "b" / "c"))
    finally:
        os.umask(before)
    assert [_mode(tmp_path / path) for path in ("a", "a/b", "a/b/c")] == [0o700] * 3
    own_files.make_folder(str(tmp_path / "a" / "b" / "c"))


def test_a_folder_that_another_process_makes_at_the_same_time_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = (os, "mkdir")
    if sys.platform == "win32":
        from banno_creds.storage import windows_security

        module, name = (windows_security, "make_folder")
    make = getattr(module, name)

    def both(*args: object) -> None:
        make(*args)
        make(*args)

    monkeypatch.setattr(module, name, both)
    own_files.make_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


@modes
@pytest.mark.parametrize("mode", [0o755, 0o777, 0o710, 0o701])
def test_a_folder_that_is_looser_is_tightened(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    of_logins = (".login", ".login.lock", f".login{UNFINISHED}")
    for suffix in (".json", ".lock", ".answer", ".lock.tmp", f".json{UNFINISHED}", *of_logins):
        (folder / f"{OURS}{suffix}").touch()
    (folder / own_files.CERTIFICATE).touch()
    folder.chmod(mode)
    own_files.check_folder(str(folder))
    assert _mode(folder) == 0o700


@modes
@pytest.mark.parametrize("file", ["", f"{OURS}.json", "somebody's"])
def test_a_sticky_folder_is_not_closed_to_others_though_it_is_empty(tmp_path: Path, file: str) -> None:
    """Such as /tmp, named by somebody who is root."""
    folder = tmp_path / "shared"
    folder.mkdir()
    if file:
        (folder / file).touch()
    folder.chmod(0o1777)
    with pytest.raises(NotOursError, match="shared is open to others, and sticky"):
        own_files.check_folder(str(folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    folder.chmod(0o1700)
    own_files.check_folder(str(folder))


@modes
def test_an_empty_folder_is_tightened(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    own_files.check_folder(str(folder))
    assert _mode(folder) == 0o700


@modes
@pytest.mark.parametrize("mode", [0o777, 0o755])
def test_a_folder_with_other_files_in_it_is_not_closed_to_others(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "somebody's").touch()
    folder.chmod(mode)
    with pytest.raises(NotOursError, match=r"shared is open to others, and holds other files than ours"):
        own_files.check_folder(str(folder))
    assert _mode(folder) == mode
    folder.chmod(0o700)
    own_files.check_folder(str(folder))


def test_a_folder_that_is_missing_or_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        own_files.check_folder(str(tmp_path / "missing"))
    (tmp_path / "file").touch()
    with pytest.raises(NotOursError, match="is no folder"):
        own_files.check_folder(str(tmp_path / "file"))


@links
def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NotOursError, match="is a link"):
        own_files.check_folder(str(tmp_path / "link"))


@owners
def test_a_folder_that_is_anothers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(NotOursError, match="belongs to another user"):
        own_files.check_folder(str(tmp_path))


@modes
@pytest.mark.parametrize("mode", [0o640, 0o660, 0o604, 0o777])
def test_a_file_that_is_looser_is_tightened(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(mode)
    assert own_files.read(str(file)) == b""
    assert _mode(file) == 0o600


@pytest.mark.posix("there is a root, and sudo")
def test_root_by_sudo_makes_nothing_in_another_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose programs could not use a ~/.cache that is root's alone."""
    at_home = tmp_path / "home"
    at_home.mkdir()
    look = os.stat
    theirs = os.stat_result([*look(at_home)[:4], 1001, *look(at_home)[5:]])
    monkeypatch.setattr(os, "stat", lambda path: theirs if path == str(at_home) else look(path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1001")
    with pytest.raises(OthersHomeError, match="home belongs to another user"):
        own_files.make_folder(str(at_home / ".cache" / "banno-creds"))
    assert list(at_home.iterdir()) == []
    (at_home / "made").mkdir()
    own_files.make_folder(str(at_home / "made"))
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    own_files.make_folder(str(at_home / "a"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_UID")  # a container's root, whose home is another user's folder
    own_files.make_folder(str(at_home / "b"))


@pytest.mark.parametrize(
    "suffix", [".json", ".lock", ".answer", ".lock.tmp", f".json{UNFINISHED}", f".answer{UNFINISHED}"]
)
def test_what_has_such_a_name_is_the_caches(suffix: str) -> None:
    assert own_files.is_of_the_cache(OURS + suffix)
    assert own_files.is_of_the_cache("0123456789abcdef" * 4 + suffix)


def test_what_is_being_written_has_a_name_of_the_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: names.extend(path.name for path in tmp_path.iterdir()))
    own_files.write(str(tmp_path / f"{OURS}.json"), b"content")
    assert [own_files.is_of_the_cache(name) for name in names] == [True]


@pytest.mark.parametrize(
    "name",
    [
        *("notes.json", "x.tmp", OURS, f"{OURS}.", f"{OURS}.txt", f"{OURS[1:]}.json", f".{OURS}.json"),
        *(f"{'/' * 64}.json", f"{'x' * 64}.json", f"{'A' * 64}.json", f"{'٣' * 64}.json"),
        *(f"{OURS}.foo.json", f"{OURS}.backup.tmp", f"{OURS}.tmp", f"{OURS}.json.bak", f"{OURS}.json.lock"),
        *(f"{OURS}.json.tmp", f"{OURS}.foo{UNFINISHED}", f"{OURS}.json.x.0123456789ab.tmp"),
        *(f"{OURS}.json.1.ab.tmp", f"{OURS}.json.1.0123456789ab.bak", f"{OURS}.json..0123456789ab.tmp"),
        f"{OURS}.json.٣.0123456789ab.tmp",
        *(f"{OURS}.login", f"{OURS}.login.lock", f"{OURS}.login{UNFINISHED}", own_files.CERTIFICATE),
    ],
)
def test_what_has_another_name_is_not_the_caches(name: str) -> None:
    assert not own_files.is_of_the_cache(name)


# --- read and written -----------------------------------------------------------------------------------------------


@modes
def test_a_file_is_ours_alone_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    write = os.write

    def look_and_write(descriptor: int, content: bytes) -> int:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return write(descriptor, content[:2])  # as a system may: not everything at once

    monkeypatch.setattr(os, "write", look_and_write)
    before = os.umask(0)
    try:
        own_files.write(str(tmp_path / "file"), b"content")
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
    own_files.write(str(tmp_path / "file"), b"content")
    assert done == ["fsync", "rename"]
    done.clear()
    own_files.write(str(tmp_path / "file"), b"what can be had again", synced=False)
    assert done == ["rename"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_breaks_off_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, failure: BaseException
) -> None:
    path = tmp_path / "file"
    own_files.write(str(path), b"old")

    def fail(*_: object) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(type(failure)):
            own_files.write(str(path), b"new")
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
        own_files.write(str(tmp_path / "file"), b"new")


@modes
def test_a_file_that_is_looser_is_tightened_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o664)
    assert own_files.read(str(path)) == b"content"
    assert _mode(path) == 0o600


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        own_files.read(str(tmp_path / "missing"))
    # Windows does not open a folder as a file.
    with pytest.raises(NotOursError if os.name == "posix" else PermissionError):
        own_files.read(str(tmp_path))


@pytest.mark.posix("links are made by everybody, and pipes have names")
def test_a_link_is_not_followed_and_a_pipe_hangs_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("link", "is a link"), ("pipe", "is no file")):
        with pytest.raises(NotOursError, match=words):
            own_files.read(str(tmp_path / name))


@owners
def test_a_file_of_another_user_is_refused_and_no_descriptor_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    before = sorted(path.name for path in Path("/dev/fd").iterdir())
    with pytest.raises(NotOursError, match="file belongs to another user"):
        own_files.read(str(tmp_path / "file"))
    assert sorted(path.name for path in Path("/dev/fd").iterdir()) == before


# --- age ------------------------------------------------------------------------------------------------------------


def test_a_replaced_file_has_another_identity(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    assert own_files.identity(path) == ""
    own_files.write(path, b"one")
    first = own_files.identity(path)
    assert own_files.identity(path) == first
    own_files.write(path, b"two")
    assert own_files.identity(path) not in ("", first)


def test_uptime_is_of_this_start_and_does_not_go_back() -> None:
    first, second = own_files.uptime(), own_files.uptime()
    assert first[0] == second[0]
    assert second[1] >= first[1] >= 0
    if sys.platform == "linux":
        assert len(first[0]) == 36


def test_without_such_a_clock_there_is_no_uptime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("time.clock_gettime", raising=False)
    assert own_files.uptime() == ("", 0.0)


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
    monkeypatch.setattr(own_files, "uptime", lambda: ("boot", 600.0))
    assert own_files.age(now, then, then_up) == expected


@pytest.mark.parametrize(
    ("now", "then", "then_up", "expected"),
    [
        (1100, 1000, ("boot", 500), 100),
        (900, 1000, ("boot", 500), 100),  # set back
        (5000, 1000, ("boot", 500), 100),  # set forward
        (1100, 1000, ("another", 900), 100),  # restarted
        (900, 1000, ("another", 500), None),
        (1100, 1000, ("", 0), 100),
        (1100, 1000, ("boot", 700), None),  # from the future
    ],
)
def test_elapsed_is_what_the_clock_says_that_nobody_sets(
    monkeypatch: pytest.MonkeyPatch, now: float, then: float, then_up: tuple[str, float], expected: float | None
) -> None:
    monkeypatch.setattr(own_files, "uptime", lambda: ("boot", 600.0))
    assert own_files.elapsed(now, then, then_up) == expected


def test_without_a_clock_two_empty_names_are_not_the_same_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "uptime", lambda: ("", 0.0))
    assert own_files.age(900, 1000, ("", 0.0)) is None


# --- what only Windows does -----------------------------------------------------------------------------------------


def test_the_search_for_a_folder_that_is_there_ends_at_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows a drive may be missing, and a share out of reach."""
    missing = os.path.join(tmp_path.anchor, "missing")  # noqa: PTH118 - as in `own_files`
    monkeypatch.setattr(os.path, "lexists", lambda _: False)

    def refuse(path: str) -> None:
        raise FileNotFoundError(2, "not ready", path)

    monkeypatch.setattr(own_files, "_make_one", refuse)
    with pytest.raises(FileNotFoundError) as caught:
        own_files.make_folder(missing)
    assert caught.value.filename == tmp_path.anchor


def test_of_a_held_file_the_words_and_the_hint_say_so() -> None:
    held = own_files.HeldError(13, "another program holds it open", "config.toml")
    assert own_files.words(held) == "config.toml: another program holds it open"
    assert own_files.hint_for(held, "free some space") == "try again, or close the program that has it open"
    assert own_files.hint_for(OSError(28, "No space left on device", "a"), "free some space") == "free some space"


@pytest.mark.posix("nothing is held open for others")
def test_elsewhere_a_refusal_is_not_tried_again(tmp_path: Path) -> None:
    tries: list[Path] = []

    def act() -> None:
        tries.append(tmp_path)
        raise PermissionError(13, "Permission denied")

    with pytest.raises(PermissionError):
        own_files.patiently(act, tmp_path)
    assert len(tries) == 1
    assert not own_files.is_read_only(tmp_path)
