"""Who can read or change a file: what Windows answers, and what the command line makes of it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.shells import quote
from banno_creds.storage import own_files
from banno_creds.storage.own_files import NotOursError
from tests.conftest import CLIENT_ID, write_private

if TYPE_CHECKING:
    from tests.conftest import Cli

assert sys.platform == "win32"

from banno_creds.storage import windows_security  # noqa: E402 - it is whole on Windows alone
from banno_creds.storage.windows_security import LOOK_INTO, READ_DATA, User, others_with  # noqa: E402


def user() -> User:
    found = windows_security.this_user()
    assert found is not None
    return found


def give(path: Path, aces: str, *, is_folder: bool = False) -> Path:
    """Give a file a list of its own: the user may do everything, and what ``aces`` say."""
    descriptor = ctypes.c_void_p()
    flags = "OICI" if is_folder else ""
    text = f"D:P(A;{flags};FA;;;{user().sid})(A;{flags};FA;;;SY){aces}"
    advapi = ctypes.WinDLL("advapi32", use_last_error=True)
    convert = advapi.ConvertStringSecurityDescriptorToSecurityDescriptorW
    assert convert(ctypes.c_wchar_p(text), 1, ctypes.byref(descriptor), None)
    assert advapi.SetFileSecurityW(ctypes.c_wchar_p(str(path)), 4, descriptor)
    return path


def readers(path: str | Path) -> tuple[str, ...]:
    """Return who else can read a file or look into a folder."""
    found = windows_security.look(str(path))
    assert found is not None
    assert found.security.aces
    mask = LOOK_INTO if os.path.isdir(path) else READ_DATA  # noqa: PTH112 - a name will do
    return others_with(mask, found.security, user())


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder in which everybody can read what is made, and add to it, as on the drive itself."""
    folder = tmp_path / "keys"
    folder.mkdir()
    return give(folder, "(A;OICI;0x1301bf;;;WD)", is_folder=True)


def test_the_user_is_known() -> None:
    assert user().sid.startswith(("S-1-5-21-", "S-1-12-1-", "S-1-5-18", "S-1-5-93-"))


@pytest.mark.parametrize("extra", [[], ["--passphrase-file", "phrase"]])
def test_a_new_key_is_the_users_alone_in_every_folder(
    cli: Cli, open_folder: Path, monkeypatch: pytest.MonkeyPatch, extra: list[str]
) -> None:
    monkeypatch.chdir(open_folder)
    write_private(Path("phrase"), b"correct horse")
    assert cli("keygen", "--type", "ec", *extra).code == 0
    assert readers("private.pem") == ()
    assert cli("keygen", "--type", "ec", "--force", *extra).code == 0
    private = [path for path in Path().glob("*.pem") if b"PRIVATE" in path.read_bytes()]
    assert len(private) == 2
    assert [readers(path) for path in private] == [(), ()]


def test_a_new_key_is_the_users_alone_from_its_first_byte(open_folder: Path) -> None:
    path = open_folder / "private.pem"
    descriptor = windows_security.create_file(str(path))
    try:
        assert readers(path) == ()
    finally:
        os.close(descriptor)
    with pytest.raises(FileExistsError) as caught:
        windows_security.create_file(str(path))
    assert (caught.value.filename, caught.value.strerror) == (str(path), "File exists")


def test_a_key_that_everyone_can_read_is_a_warning_with_the_line_that_mends_it(cli: Cli, ec_pem: Path) -> None:
    give(ec_pem, "(A;;FR;;;WD)")
    seen = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", ec_pem, "--quiet")
    assert seen.code == 0
    kept = f"*{user().sid}:F *S-1-5-18:F *S-1-5-32-544:F"
    assert seen.stderr == (
        f"!   Others can read {ec_pem} (Everyone)\n"
        f"    icacls {quote(str(ec_pem))} /inheritance:r /grant:r {kept} /remove:g *S-1-1-0\n"
    )
    assert "chmod" not in seen.stderr


def test_a_key_that_everyone_can_write_is_refused_with_an_override(cli: Cli, ec_pem: Path) -> None:
    give(ec_pem, "(A;;FA;;;WD)")
    ask = ("sign-jwt", "--client-id", CLIENT_ID, "--private-key", ec_pem, "--quiet")
    seen = cli(*ask)
    assert (seen.code, seen.stdout) == (3, "")
    assert seen.stderr.startswith(
        f"✗   Others can write the private key {ec_pem} (Everyone), so nobody knows whose key it is\n"
        f"    Next: icacls {quote(str(ec_pem))} /inheritance:r /grant:r "
    )
    assert cli(*ask, "--allow-writable-key").code == 0


def test_what_the_line_does_ends_the_warning(cli: Cli, ec_pem: Path) -> None:
    """By the same change: Wine's icacls does nothing."""
    give(ec_pem, "(A;;FA;;;WD)")
    give(ec_pem, "(A;;FA;;;BA)")
    seen = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", ec_pem, "--quiet")
    assert (seen.code, seen.stderr) == (0, "")


@pytest.mark.no_wine("its icacls does nothing")
@pytest.mark.parametrize("aces", ["(A;;FR;;;WD)", "(A;;FA;;;BU)(A;;FR;;;AU)"])
def test_the_line_mends_it(ec_pem: Path, aces: str) -> None:
    give(ec_pem, aces)
    found = windows_security.look(str(ec_pem))
    assert found is not None
    line = windows_security.mending(str(ec_pem), found.security, user())
    subprocess.run(line, check=True, capture_output=True)
    assert readers(ec_pem) == ()
    assert ec_pem.read_bytes()


def test_a_folder_in_which_everyone_can_replace_files_is_a_warning(cli: Cli, open_folder: Path) -> None:
    give(open_folder, "(A;OICI;FA;;;WD)", is_folder=True)
    key = open_folder / "private.pem"
    assert cli("keygen", "--type", "ec", "--private-key", key, "--public-key", open_folder / "public.pem").code == 0
    seen = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", key, "--quiet")
    assert seen.code == 0
    assert seen.stderr == (
        f"!   Others can put another file in the place of {key}: Everyone can write its folder\n"
        "    move it to a folder that you alone can write\n"
    )


def test_another_users_files_are_refused(cli: Cli, ec_pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another = User("S-1-5-21-1-2-3-1001")
    monkeypatch.setattr(windows_security, "this_user", lambda: another)
    seen = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", ec_pem, "--quiet")
    assert seen.code == 3
    assert f"The private key {ec_pem} belongs to another user, who can change it\n" in seen.stderr
    with pytest.raises(NotOursError, match="belongs to another user"):
        own_files.check_folder(str(ec_pem.parent))
    with pytest.raises(NotOursError, match="belongs to another user"):
        own_files.read(str(ec_pem))


def test_settings_that_others_can_write_are_refused(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[profiles.a]\nkid = 'a'\n")
    give(file, "(A;;FR;;;WD)")
    assert cli("profile", "show", "a", "--config", file).stderr == ""
    give(file, "(A;;FA;;;WD)")
    seen = cli("profile", "show", "a", "--config", file)
    assert seen.code == 2
    assert seen.stderr.startswith(
        f"✗   Others can write {file} (Everyone), and it decides where an assertion goes\n"
        "    Next: read what it says, then: icacls "
    )


@pytest.mark.parametrize(
    ("aces", "expected"),
    [
        ("", ()),
        pytest.param(
            "(A;;FR;;;WD)",
            ("S-1-1-0",),
            marks=pytest.mark.no_wine("Linux' umask takes rights away from a new file, whatever its list"),
        ),
    ],
)
def test_edited_settings_keep_their_list(cli: Cli, open_folder: Path, aces: str, expected: tuple[str, ...]) -> None:
    file = open_folder / "config.toml"
    file.write_text("[profiles.a]\nkid = 'a'\n")
    give(file, aces)
    assert cli("profile", "set", "a", "--kid", "b", "--config", file).code == 0
    assert readers(file) == expected


@pytest.mark.parametrize("name", ["BANNO_CREDS_CACHE_DIR", "BANNO_CREDS_STATE_DIR"])
def test_the_folders_that_are_made_are_the_users_alone(open_folder: Path, name: str) -> None:
    folder = open_folder / name / "inner"
    own_files.make_folder(str(folder))
    own_files.check_folder(str(folder))
    assert [readers(each) for each in (folder.parent, folder)] == [(), ()]


@pytest.mark.no_wine("its files inherit nothing")
def test_the_files_in_these_folders_are_the_users_alone(open_folder: Path) -> None:
    folder = open_folder / "cache"
    own_files.make_folder(str(folder))
    own_files.write(str(folder / "file"), b"content")
    assert readers(folder / "file") == ()


def test_a_folder_that_is_open_to_others_is_closed_if_it_is_ours(tmp_path: Path) -> None:
    own_files.make_folder(str(tmp_path / "above"))  # Wine lets the folder above decide
    folder = tmp_path / "above" / "cache"
    folder.mkdir()
    give(folder, "(A;OICI;FA;;;WD)", is_folder=True)
    (folder / f"{'a' * 64}.json").touch()
    own_files.check_folder(str(folder))
    assert readers(folder) == ()
    give(folder, "(A;OICI;FA;;;WD)", is_folder=True)
    (folder / "holiday.jpg").touch()
    with pytest.raises(NotOursError, match="open to others, and holds other files than ours"):
        own_files.check_folder(str(folder))


def test_nothing_is_looked_at_where_windows_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recalled answer would wait for it."""
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.delattr(windows_security, "look")
    own_files.make_folder(str(tmp_path / "banno-creds" / "Cache"))
    own_files.check_folder(str(tmp_path / "banno-creds" / "Cache"))
    own_files.write(str(tmp_path / "banno-creds" / "Cache" / "file"), b"content")
    assert own_files.read(str(tmp_path / "banno-creds" / "Cache" / "file")) == b"content"


def test_doctor_names_the_owner_and_the_readers(cli: Cli, ec_pem: Path) -> None:
    ask = ("doctor", "--offline", "--client-id", CLIENT_ID, "--private-key", ec_pem)
    seen = cli(*ask)
    assert ", no other user can read it" in seen.stdout
    assert "mode 0" not in seen.stdout
    give(ec_pem, "(A;;FR;;;WD)")
    seen = cli(*ask)
    assert ", Everyone can read it" in seen.stdout
    assert "key.permissions" in seen.stdout


def test_what_cannot_be_known_is_no_error_and_not_fine(
    cli: Cli, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a FAT drive."""
    monkeypatch.setattr(windows_security, "look", lambda _: None)
    seen = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", ec_pem, "--quiet")
    assert (seen.code, seen.stderr) == (0, "")
    own_files.check_folder(str(ec_pem.parent))
    seen = cli("doctor", "--offline", "--client-id", CLIENT_ID, "--private-key", ec_pem)
    assert "cannot tell: who can read the file is not known" in seen.stdout


@pytest.mark.parametrize("command", ["keygen", "login", "profile", "doctor", "exec"])
def test_help_speaks_of_no_modes(cli: Cli, command: str) -> None:
    text = cli(command, "--help").stdout
    assert not [word for word in ("mode 0", "chmod", "umask", "sudo") if word in text]
