"""Paths that only Windows has: devices, streams, drives and shares that are not there, names that differ in case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.errors import ConfigurationError
from banno_creds.storage import own_files
from banno_creds.storage.lock import Lock
from banno_creds.storage.secret_files import no_such_file

if TYPE_CHECKING:
    from tests.conftest import Cli

DEVICE = "is the name of a device"
NO_FILES = {
    "nul": DEVICE,
    "con": DEVICE,
    "AUX.pem": DEVICE,
    "com1 .txt": DEVICE,
    "COM²": DEVICE,
    "key.pem:stream": "what follows : would be a hidden part of another file",
    "a?b.pem": "Windows has no ? in names",
    "a\tb.pem": "Windows has no '\\t' in names",
}
GONE = ["Q:\\x", "Q:\\", "\\\\nohost\\share\\x\\y"]


@pytest.mark.parametrize("name", NO_FILES)
@pytest.mark.parametrize("option", ["--private-key", "--public-key"])
def test_a_key_is_written_into_no_device_and_no_stream(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (name, str(tmp_path / name)):
        done = cli("keygen", "--type", "ec", option, path)
        assert (done.code, done.stdout) == (2, "")
        assert NO_FILES[name] in " ".join(done.stderr.split())
        assert done.stderr.endswith("    Next: choose another name\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["com1", "aux"])
def test_nothing_is_read_from_a_port(cli: Cli, name: str) -> None:
    """Where there is one, nothing ever comes out of it; where there is none, there is no such file."""
    told = (
        f"✗   No such file: {name}\n",
        f"✗   There is no file {name}\n",
        f"✗   Cannot read {name}: it is a device\n",
    )
    for args in (
        ["sign-jwt", "-q", "--client-id", "a", "--private-key", name],
        ["profile", "list", "--config", name],
    ):
        done = cli(*args)
        assert done.code in (2, 3)
        assert done.stderr.replace("\\\\.\\", "").startswith(told)


def test_nul_has_no_profiles(cli: Cli) -> None:
    for name in ("nul", "NUL:", "\\\\.\\nul"):
        done = cli("profile", "list", "-o", "json", "--config", name)
        assert done.code == 0, done.stderr
        assert json.loads(done.stdout)["profiles"] == []


@pytest.mark.parametrize("name", NO_FILES)
def test_profiles_are_written_into_no_device_and_no_stream(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (name, str(tmp_path / name)):
        done = cli("profile", "add", "x", "--config", path, "--client-id", "c", "--private-key", "k.pem")
        assert (done.code, done.stdout) == (2, "")
        assert "cannot be a file" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", GONE)
def test_a_drive_or_share_that_is_not_there_ends_the_search_for_a_folder(folder: str) -> None:
    with pytest.raises(OSError, match=r"Q:|nohost"):
        own_files.make_folder(folder)


@pytest.mark.parametrize("folder", [*GONE, "nul", "a?b", "x:y"])
def test_a_cache_that_cannot_be_is_a_warning(
    cli: Cli, ask: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {"BANNO_CREDS_CACHE_DIR": folder}
    done = cli(*ask, env=named)
    assert (done.code, done.stdout) == (0, "openid.1\n")
    assert done.stderr.startswith("!   The cache cannot be used: ")
    assert cli("cache", "list", env=named).code in (0, 2)


@pytest.mark.parametrize("folder", GONE)
def test_files_on_a_drive_or_share_that_is_not_there(cli: Cli, folder: str) -> None:
    file = f"{folder}\\file"
    commands = {
        ("keygen", "--private-key", file): (2, "There is no folder "),
        ("sign-jwt", "--client-id", "c", "--private-key", file): (3, "No such file: "),
        ("profile", "list", "--config", file): (2, "There is no file "),
        ("profile", "add", "x", "--config", file, "--client-id", "c", "--private-key", "k"): (
            2,
            "There is no folder ",
        ),
    }
    for command, (code, words) in commands.items():
        done = cli(*command)
        assert (done.code, done.stdout) == (code, "")
        assert done.stderr.startswith(f"✗   {words}"), command


def test_two_names_that_differ_in_case_are_one_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("keygen", "--type", "ec", "--private-key", "Key.pem", "--public-key", "KEY.PEM")
    assert (done.code, done.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []
    assert cli("keygen", "--type", "ec").code == 0
    before = Path("private.pem").read_bytes()
    done = cli("keygen", "--public-from", "private.pem", "--public-key", ".\\PRIVATE.pem", "--force")
    assert (done.code, done.stdout) == (2, "")
    assert Path("private.pem").read_bytes() == before


def test_umlauts_blanks_and_what_windows_drops_at_the_end(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Jörg Ä 日本"
    folder.mkdir()
    assert cli("keygen", "--type", "ec", "--private-key", folder / "k .pem.", "--public-key", folder / "ü ").code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["k .pem", "ü"]
    signed = cli("sign-jwt", "-q", "--client-id", "c", "--private-key", folder / "k .pem.")
    assert signed.code == 0


def test_a_path_that_is_too_long_says_so(tmp_path: Path) -> None:
    """Whether Windows takes it is a setting of the system, so only the words are tried."""
    long = f"{tmp_path}\\{'x' * 250}"
    words = "choose a shorter path: Windows finds none of more than 259 characters unless it is set up for that"
    assert no_such_file(long).hint == words
    assert own_files.hint_for(FileNotFoundError(2, "not found", long), "otherwise") == words
    assert own_files.hint_for(FileNotFoundError(2, "not found", "short"), "otherwise") == "otherwise"
    assert isinstance(no_such_file(long), ConfigurationError)


def test_a_lock_can_be_taken_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """A user's name is in the path; some versions of Python have functions for names in the code page alone."""
    folder = tmp_path / "Jürgen 日本 😀"
    own_files.make_folder(str(folder))
    path = folder / "x.lock"
    with Lock(str(path)) as one, Lock(str(path)) as other:
        assert (one.take(), other.take()) == (True, False)
        assert list(folder.iterdir()) == [path]
    assert list(folder.iterdir()) == []
    missing = folder / "none" / "x.lock"
    with pytest.raises(FileNotFoundError, match="No such file or directory") as caught, Lock(str(missing)) as lock:
        lock.take()
    assert caught.value.filename == str(missing)


def test_nothing_opens_files_by_names_in_the_code_page() -> None:
    """`_winapi.CreateFile` does before Python 3.11.8 and 3.12.2."""
    sources = Path(own_files.__file__).parents[1].rglob("*.py")
    assert not [path for path in sources if "_winapi.CreateFile(" in path.read_text("utf-8")]
