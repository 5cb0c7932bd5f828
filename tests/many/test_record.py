"""The record of the last checks: what two runs at once and a file that somebody changed do to it."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from banno_creds.many.record import Record

if TYPE_CHECKING:
    from pathlib import Path

GOOD, BAD = {"ok": True, "exit_code": 0}, {"ok": False, "exit_code": 4}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def record_of(folder: Path, file: Path) -> Record:
    record = Record(str(folder), str(file))
    record.read()
    return record


def test_a_newer_row_takes_the_place_of_one_that_another_run_brought_back(folder: Path, file: Path) -> None:
    record = record_of(folder, file)
    record.begin(1000, ["a", "b"])
    record.add("a", BAD, 1001)
    before = (folder / record.path).read_bytes()
    record.add("a", GOOD, 1002)
    (folder / record.path).write_bytes(before)
    record.end(1003, is_whole=True)
    assert record_of(folder, file).checked["a"].ok


def test_an_older_row_takes_nothing_away_from_another_run(folder: Path, file: Path) -> None:
    record, other = record_of(folder, file), record_of(folder, file)
    record.begin(1000, ["a"])
    record.add("a", BAD, 1001)
    other.begin(1002, ["a"])
    other.add("a", GOOD, 1003)
    record.end(1004, is_whole=True)
    assert record_of(folder, file).checked["a"].ok


def test_a_run_that_was_cut_off_is_not_whole(folder: Path, file: Path) -> None:
    record = record_of(folder, file)
    record.begin(1000, ["a"])
    record.end(1001, is_whole=False)
    assert not record_of(folder, file).is_whole


@pytest.mark.parametrize(
    "line",
    [
        {"profile": "b", "at": "never"},
        {"profile": "b", "at": -1},
        {"profile": "b", "at": 1e300},
        {"profile": "b", "at": float("nan")},
        {"profile": ["b"], "at": 1},
        {"profile": "b", "at": None},
        {"profile": "b"},
        {"version": 2, "began": 5000},
        {"version": 1, "began": None},
        [],
        1,
    ],
    ids=str,
)
def test_a_line_that_is_none_of_ours_is_passed_over(folder: Path, file: Path, line: object) -> None:
    record = record_of(folder, file)
    record.begin(1000, ["a"])
    record.add("a", GOOD, 1001)
    record.end(1002, is_whole=True)
    with (folder / record.path).open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    found = record_of(folder, file)
    assert (list(found.checked), found.began, found.is_whole) == (["a"], 1000, True)


def test_only_a_true_is_a_good_check(folder: Path, file: Path) -> None:
    record = record_of(folder, file)
    record.begin(1000, ["a"])
    record.add("a", {"ok": "false"}, 1001)
    assert not record_of(folder, file).checked["a"].ok


@pytest.mark.posix("a link")
def test_a_file_has_one_record_whatever_path_names_it(folder: Path, file: Path, tmp_path: Path) -> None:
    file.touch()
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    assert record_of(folder, link).path == record_of(folder, file).path


@pytest.mark.posix("rights")
def test_a_folder_of_others_is_neither_read_nor_written(folder: Path, file: Path) -> None:
    record = record_of(folder, file)
    record.begin(1000, ["a"])
    record.add("a", GOOD, 1001)
    target = folder.with_name("elsewhere")
    folder.rename(target)
    target.chmod(0o777)
    folder.symlink_to(target)
    with pytest.raises(OSError, match="is a link"):
        record_of(folder, file)
    with pytest.raises(OSError, match="is a link"):
        Record(str(folder), str(file)).begin(1002, ["a"])


def test_a_run_waits_for_another_that_begins(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banno_creds.many.record._PATIENCE", 0.05)
    record = record_of(folder, file)
    record.begin(1000, ["a"])
    with record._locked(), pytest.raises(OSError, match="another process"):
        record_of(folder, file).begin(time.time(), ["a"])


@pytest.mark.posix("a folder that others use")
def test_a_folder_that_others_use_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(OSError, match="sticky"):
        Record(str(tmp_path), "config.toml").begin(1.0, ["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_the_system_writes_in_pieces_is_whole(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(folder, file)
    record.begin(1.0, ["a"])
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:7]))
    record.add("a", GOOD, 2.0)
    monkeypatch.undo()
    assert record_of(folder, file).checked["a"].ok
