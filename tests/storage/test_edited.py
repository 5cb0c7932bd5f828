"""A file that a user keeps is changed whole or not at all, and stays what it was otherwise."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from banno_creds.errors import ConfigurationError, OutputError
from banno_creds.storage import edited, own_files

if TYPE_CHECKING:
    from pathlib import Path


def test_the_content_is_changed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(b"old")
    assert edited.change_file(str(file), lambda content: content + b", new")
    assert file.read_bytes() == b"old, new"
    assert list(tmp_path.iterdir()) == [file]


def test_what_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(b"old")
    before = file.stat()
    assert not edited.change_file(str(file), lambda content: content)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.posix("modes and links")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o600])
def test_mode_and_link_stay(tmp_path: Path, mode: int) -> None:
    (tmp_path / "www").mkdir()
    file = tmp_path / "www" / "jwks.json"
    file.write_bytes(b"old")
    file.chmod(mode)
    link = tmp_path / "jwks.json"
    link.symlink_to(file)
    edited.change_file(str(link), lambda _: b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("fails", ["change", "write_new", "replace"])
def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(b"old")

    def fail(*_: object, **__: object) -> bytes:
        raise OSError(28, "No space left on device")

    if fails != "change":
        monkeypatch.setattr(own_files, fails, fail)
    with pytest.raises(OutputError, match="nothing was changed") as raised:
        edited.change_file(str(file), fail if fails == "change" else lambda _: b"new")
    assert "No space left" in str(raised.value)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        edited.change_file(str(tmp_path / "none.json"), lambda _: b"new")
    with pytest.raises(ConfigurationError):
        edited.change_file(str(tmp_path / "none" / "none.json"), lambda _: b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.posix("devices have paths")
def test_a_device_is_left_alone() -> None:
    with pytest.raises(ConfigurationError, match="is no file"):
        edited.change_file(os.devnull, lambda _: b"new")


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(b"")
    threads = [
        threading.Thread(target=edited.change_file, args=(str(file), lambda content, n=n: content + b"%d\n" % n))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, file.read_bytes().split())) == list(range(12))
