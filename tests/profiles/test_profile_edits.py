"""Changing the profiles: that nothing is lost when one is written, by whomever the file was written before."""

from __future__ import annotations

import os
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.checks import check_url
from banno_creds.errors import ConfigurationError
from banno_creds.profiles import lookup as profiles
from tests.conftest import has_mode
from tests.profiles.files import HAND_WRITTEN, own_file, quoted, write

if TYPE_CHECKING:
    from tests.conftest import Cli

links = pytest.mark.posix("everybody may make a symbolic link")

ADDED = '\n[profiles.new]\nclient_id = "n"\n'


def test_a_new_profile_is_written_and_said(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.pem").touch()
    monkeypatch.setenv("BANNO_CREDS_CLIENT_ID", "from-variable")
    monkeypatch.setenv("BANNO_CREDS_LIFETIME", "9")
    monkeypatch.setenv("BANNO_CREDS_PROFILE", "no-such")
    result = cli(
        *("profile", "add", "test", "--private-key", "key.pem", "--passphrase-file", "~/p", "--kid", "thumbprint"),
        *("--scope", "a b", "--scope", "a", "--resource", "https://r.example/", "--claim", 'x:={"y": [1]}', "--iat"),
        *("--param", "p=q", "--timeout", "5", "--min-ttl", "9", "--api-base", "https://api.example", "--default"),
    )
    assert (result.code, result.stdout, result.stderr) == (
        0,
        f"profile  test (the default)\nfile     {own_file()}\n",
        "!   There is no file for --passphrase-file yet\n",
    )
    key = quoted(tmp_path / "key.pem")
    assert own_file().read_text() == (
        f'default = "test"\n\n[profiles.test]\nprivate_key = {key}\npassphrase_file = "~/p"\n'
        'kid = "thumbprint"\niat = true\ntimeout = 5\nscope = ["a", "b"]\nresource = ["https://r.example/"]\n'
        'min_ttl = 9\napi_base = "https://api.example"\n\n[profiles.test.claims.x]\ny = [1]\n\n'
        '[profiles.test.params]\np = "q"\n'
    )
    assert has_mode(own_file(), 0o600)
    assert has_mode(own_file().parent, 0o700)
    assert sorted(path.name for path in own_file().parent.iterdir()) == ["config.toml"]


def test_what_was_in_the_file_stays_to_the_letter(cli: Cli) -> None:
    file = write(HAND_WRITTEN)
    assert cli("profile", "add", "new", "--client-id", "n").code == 0
    assert file.read_text() == HAND_WRITTEN + ADDED
    assert cli("profile", "remove", "new").code == 0
    assert file.read_text() == HAND_WRITTEN


def test_another_default_changes_that_alone(cli: Cli) -> None:
    file = write(HAND_WRITTEN)
    assert cli("profile", "add", "new", "--client-id", "n", "--default").code == 0
    assert file.read_text() == HAND_WRITTEN.replace("'live'", '"new"') + ADDED


HEADERS = {
    "": 'default = "a"\n\n',
    "\n": 'default = "a"\n\n',
    "# Our banks.\n": '# Our banks.\n\ndefault = "a"\n\n',
    "# Our banks.\n# Ask Ines.\n\n": '# Our banks.\n# Ask Ines.\n\ndefault = "a"\n\n',
    "# Our banks.\n\n# One.\n": '# Our banks.\n\ndefault = "a"\n\n# One.\n',
    "\n# Our banks.\n\n\n": '\n# Our banks.\n\ndefault = "a"\n\n\n',
}


@pytest.mark.parametrize(("before", "after"), HEADERS.items())
@pytest.mark.parametrize("table", ["[profiles.a]\nkid = 'a'\n", "profiles.a.kid = 'a'"], ids=["table", "dotted"])
def test_a_first_default_has_a_paragraph_of_its_own(cli: Cli, before: str, after: str, table: str) -> None:
    file = write(before + table)
    result = cli("profile", "default", "a")
    assert (result.code, result.stdout, result.stderr) == (0, f"default  a\nfile     {file}\n", "")
    assert file.read_text() == after + table
    write(before + table)
    assert cli("profile", "add", "a", "--kid", "a", "--force", "--default").code == 0
    assert file.read_text() == after + table


@pytest.mark.parametrize("before", ["", "# Our banks.\n\n", "# Our banks.\n\n# One.\n", "\n# Our banks.\n\n\n"])
def test_a_default_comes_and_goes_and_leaves_no_trace(cli: Cli, before: str) -> None:
    file = write(f"{before}[profiles.a]\n")
    assert cli("profile", "default", "a").code == 0
    result = cli("profile", "default", "--none")
    assert (result.code, result.stdout, result.stderr) == (0, f"default  (none)\nfile     {file}\n", "")
    assert file.read_text() == f"{before}[profiles.a]\n"
    assert cli("profile", "default", "--none").code == 0  # there is none: as it should be
    assert file.read_text() == f"{before}[profiles.a]\n"


def test_the_default_is_changed_and_nothing_else(cli: Cli) -> None:
    file = write(HAND_WRITTEN)
    assert cli("profile", "default", "test").code == 0
    assert file.read_text() == HAND_WRITTEN.replace("'live'", '"test"')
    assert cli("profile", "default", "--none").code == 0
    assert file.read_text() == HAND_WRITTEN.replace("default = 'live'   # not test!\n\n", "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('default = """a"""\n[profiles.a]\n', "[profiles.a]\n"),
        ("default = 'a'\n# About a.\n[profiles.a]\n", "# About a.\n[profiles.a]\n"),
        ("# About all.\ndefault = 'a'\n\n[profiles.a]\n", "# About all.\n\n[profiles.a]\n"),
        ("profiles.a.kid = 'a'\n'default' = 'a'\n", "profiles.a.kid = 'a'\n"),
    ],
)
def test_taking_the_default_away_leaves_the_rest(cli: Cli, before: str, after: str) -> None:
    file = write(before)
    assert cli("profile", "default", "--none").code == 0
    assert file.read_text() == after


def test_a_default_that_is_not_there_can_be_replaced(cli: Cli) -> None:
    file = write("default = 'b'\n[profiles.a]\n")
    assert cli("profile", "default", "a").code == 0
    assert file.read_text() == 'default = "a"\n[profiles.a]\n'


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["b"], "✗   There is no profile b in FILE\n    Next: banno-creds profile list\n"),
        ([], "✗   No profile was named, to be the default\n    Next: name one, or add --none to have no default\n"),
        ([""], "✗   No profile was named, to be the default\n    Next: name one, or add --none to have no default\n"),
        (["a", "--none"], "✗   NAME and --none exclude each other\n    Next: leave one of them\n"),
        (
            ["a b"],
            (
                "✗   'a b' cannot be a profile's name\n    Next: a profile's name has letters, digits and . _ - in "
                "it, and does not start with -; for example a-b\n"
            ),
        ),
    ],
)
def test_what_cannot_be_the_default_changes_nothing(cli: Cli, args: list[str], words: str) -> None:
    file = write("[profiles.a]\n")
    result = cli("profile", "default", *args)
    assert (result.code, result.stdout, result.stderr) == (2, "", words.replace("FILE", str(file)))
    assert file.read_text() == "[profiles.a]\n"


@pytest.mark.parametrize("args", [["a"], ["--none"]])
def test_choosing_a_default_makes_no_file(cli: Cli, args: list[str]) -> None:
    result = cli("profile", "default", *args)
    assert (result.code, result.stdout) == (2, "")
    assert f": there is no file {own_file()}\n" in result.stderr
    assert not own_file().parent.exists()


def test_an_existing_profile_is_replaced_only_by_force(cli: Cli) -> None:
    file = write(HAND_WRITTEN)
    again = ["profile", "add", "test", "--client-id", "t", "--kid", "k", "--scope", "openid"]
    refused = cli(*again)
    assert (refused.code, refused.stdout, refused.stderr) == (
        2,
        "",
        (
            f"✗   There is a profile test in {file} already, nothing was changed\n"
            "    Next: to change a setting of it: banno-creds profile set test; add --force to replace it whole\n"
        ),
    )
    assert file.read_text() == HAND_WRITTEN
    assert cli(*again, "--force").code == 0
    after = HAND_WRITTEN.replace("lifetime = 50\n\n", 'kid = "k"\n\n')
    assert tomllib.loads(file.read_text()) == tomllib.loads(after)
    comments = re.findall("#.*", HAND_WRITTEN)
    assert re.findall("#.*", file.read_text()) == comments


@pytest.mark.parametrize(
    ("name", "lines"),
    [("test", (4, 11)), ("live", (12, 18))],
)
def test_a_profile_is_removed_with_its_own_comment_alone(cli: Cli, name: str, lines: tuple[int, int]) -> None:
    text = HAND_WRITTEN.replace("  [profiles.live.claims]", "[profiles.live.claims]")
    file = write(text)
    result = cli("profile", "remove", name)
    was_default = name == "live"
    assert (result.code, result.stdout, result.stderr) == (
        0,
        f"removed  {name}\nfile     {file}\n",
        "It was the default; there is none now.\n" if was_default else "",
    )
    split = text.split("\n")
    expected = "\n".join(split[: lines[0]] + split[lines[1] + 1 :])
    if was_default:
        expected = expected.replace("default = 'live'   # not test!\n\n", "")
    assert file.read_text() == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# All of them\n[profiles.a]\nkid = 'a'\n", "# All of them\n"),
        ("[profiles.a]\nkid = 'a'\n[profiles.b]\n", "[profiles.b]\n"),
        ("[profiles.b]\n\n\n[profiles.a]\n\n\n", "[profiles.b]\n"),
        ("[profiles.a]\nkid = 'a'\n# b or a?\n[profiles.b]\n", "# b or a?\n[profiles.b]\n"),
        (
            "[profiles.a]\n\n# b\n[profiles.b]\n# a, more\n[profiles.a.claims]\nn=1\n\n# c\n[profiles.c]\n",
            "# b\n[profiles.b]\n\n# c\n[profiles.c]\n",
        ),
        ("profiles.a.kid = 'a'\nprofiles.b.kid = 'b'\n", "profiles.b.kid = 'b'\n"),
        ("[profiles]\na.kid = 'a'\n[profiles.b]\n", "[profiles]\n[profiles.b]\n"),
        ("# Odd\n\"\\u0070rofiles\".a.kid = 'a'\n", "# Odd\n"),
        ("[profiles.a]\nkid = '''a'''\n\n[profiles.b]\n", "[profiles.b]\n"),
        ("\ufeff[profiles.a]\r\nkid = 'a'\r\n[profiles.b]\r\n", "[profiles.b]\r\n"),
    ],
)
def test_removing_leaves_the_rest_as_it_was(cli: Cli, before: str, after: str) -> None:
    file = write(before)
    result = cli("profile", "remove", "a")
    assert result.code == 0, result.stderr
    assert file.read_bytes().decode() == after


def test_line_ends_stay_what_they_were(cli: Cli) -> None:
    file = write("[profiles.a]\r\nkid = 'a'\r\n")
    assert cli("profile", "add", "b", "--kid", "b").code == 0
    assert file.read_bytes() == b"[profiles.a]\r\nkid = 'a'\r\n\r\n[profiles.b]\r\nkid = \"b\"\r\n"


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("profiles = { a = { kid = 'a' } }\n", ["add", "b", "--kid", "b"]),
        ("[profiles]\na = { kid = 'a' }\nb.kid = 'b'\n", ["add", "c", "--default", "--kid", "b"]),
    ],
)
def test_what_cannot_be_added_is_left_to_the_user(cli: Cli, text: str, args: list[str]) -> None:
    file = write(text)
    result = cli("profile", *args)
    if result.code == 0:
        assert tomllib.loads(file.read_text())["profiles"].keys() > tomllib.loads(text)["profiles"].keys()
        return
    assert (result.code, result.stdout, result.stderr) == (
        2,
        "",
        (
            f"✗   {file} is written in a way that banno-creds cannot edit safely, nothing was changed\n"
            "    Next: edit it by hand; banno-creds can edit a file with one [profiles.NAME] for each profile\n"
        ),
    )
    assert file.read_text() == text


def test_an_editor_that_fails_or_changes_more_changes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(HAND_WRITTEN)

    def broken(_: str) -> object:
        raise IndexError("words")

    args = ["profile", "add", "new", "--client-id", "n", "--default"]
    for patch in (
        ("tomlkit.parse", broken),
        ("tomlkit.dumps", lambda _: "x = 1\n"),
        ("tomlkit.dumps", lambda _: "="),
    ):
        with monkeypatch.context() as context:
            context.setattr(*patch)
            result = cli(*args)
        assert (result.code, result.stdout) == (2, "")
        assert "cannot edit safely, nothing was changed" in result.stderr
        assert file.read_text() == HAND_WRITTEN


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            [],
            "✗   Nothing was given to be kept\n    Next: add options such as --client-id ID and --private-key FILE\n",
        ),
        (["--claim", "a=1", "--claim", "a=2"], "✗   --claim names the same twice\n    Next: leave one\n"),
        (
            ["--private-key", "-"],
            (
                "✗   --private-key is -, and a profile cannot hold what comes from standard input\n"
                "    Next: name a file; or leave it out of the profile, and give - on the command line\n"
            ),
        ),
        (
            ["--lifetime", "999"],
            ("✗   --lifetime must be 1 to 300 s, not 999 s\n    Next: leave --lifetime out for 60 s\n"),
        ),
        (
            ["--timeout", "99999"],
            (
                "✗   --timeout must be more than 0 s and at most 3600 s, not 99999 s\n"
                "    Next: leave --timeout out for 30 s\n"
            ),
        ),
        (
            ["--timeout", "1e30"],
            "✗   --timeout is too large a number\n    Next: leave --timeout out for its default\n",
        ),
        (
            ["--client-id", ""],
            ("✗   The client ID is empty\n    Next: Users & Groups shows it after the application was saved\n"),
        ),
        (
            ["--kid", ""],
            "✗   --kid is empty\n    Next: give --kid a value, or leave it out\n",
        ),
        (
            ["--aud", "a\nb"],
            "✗   --aud has a control character in it, such as a line end: it has a line end in it\n",
        ),
        (
            ["--claim", "exp=1"],
            "✗   --claim exp would contradict what banno-creds sends itself\n    Next: use --lifetime\n",
        ),
        (
            ["--param", "resource=x"],
            "✗   --param resource would contradict what banno-creds sends itself\n    Next: use --resource\n",
        ),
        (
            ["--param", "a=b\nc"],
            "✗   --param a has a control character in it, such as a line end\n    Next: take it out\n",
        ),
        (
            ["--param", "password=hunter2"],
            (
                "✗   --param password is a secret, and has no place in this file (not shown here)\n"
                "    Next: take it out\n"
            ),
        ),
        (
            ["--claim", "kty=RSA", "--claim", "d=hunter2"],
            (
                "✗   --claim holds what looks like a private key (not shown here)\n"
                "    Next: put the key into a file that you alone can read, and name that file: --private-key\n"
            ),
        ),
        (
            ["--claim", "a:=null"],
            ("✗   --claim a has a value in it that JSON and TOML do not share\n    Next: write it as text\n"),
        ),
        (
            ["--environment", "legacy", "--issuer", "https://a.example"],
            (
                "✗   --issuer and --environment exclude each other: only one of them can name the endpoint\n"
                "    Next: leave one of them out\n"
            ),
        ),
    ],
)
def test_what_cannot_be_kept_is_not_written(cli: Cli, args: list[str], words: str) -> None:
    result = cli("profile", "add", "a", *args)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(words)
    assert not own_file().exists()


@pytest.mark.parametrize("name", ["token-endpoint", "issuer", "api-base"])
def test_a_url_that_cannot_be_kept_is_told_as_its_option(cli: Cli, name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_url("nope", "it")
    result = cli("profile", "add", "a", f"--{name}", "nope")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   --{name} 'nope' cannot be used: ")
    assert result.stderr.endswith(f"    Next: {caught.value.hint}\n")


def test_a_key_that_is_not_there_yet_is_a_warning(cli: Cli, tmp_path: Path) -> None:
    later = tmp_path / "later.pem"
    result = cli("profile", "add", "a", "--private-key", later)
    assert (result.code, result.stderr) == (0, f"!   There is no file for --private-key yet: {later}\n")


@links
def test_a_link_stays_and_its_target_changes(cli: Cli, tmp_path: Path) -> None:
    target = write("[profiles.a]\n", tmp_path / "dotfiles" / "banno.toml")
    target.chmod(0o644)
    own_file().parent.mkdir(parents=True)
    own_file().symlink_to(target)
    assert cli("profile", "add", "b", "--kid", "b").code == 0
    assert own_file().is_symlink()
    assert target.read_text() == '[profiles.a]\n\n[profiles.b]\nkid = "b"\n'
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_named_file_is_made_and_its_folder_is_not(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    assert cli("profile", "add", "a", "--kid", "a", "--config", file).code == 0
    assert cli("profile", "list", "--config", file).stdout.startswith("a\n")
    result = cli("profile", "add", "a", "--kid", "a", "--config", tmp_path / "no" / "c.toml")
    assert (result.code, result.stderr) == (
        2,
        f"✗   There is no folder {tmp_path / 'no'}\n    Next: make it first, or name another file\n",
    )


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_changes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    file = write(HAND_WRITTEN)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fails, full)
    result = cli("profile", "add", "new", "--client-id", "n")
    assert (result.code, result.stdout, result.stderr) == (
        2,
        "",
        (
            f"✗   Cannot write {file}: No space left on device; nothing was changed\n"
            "    Next: check that you may write in that folder and that the disk is not full\n"
        ),
    )
    assert file.read_text() == HAND_WRITTEN
    assert sorted(path.name for path in file.parent.iterdir()) == ["config.toml"]


@pytest.mark.posix("a folder can be synced")
def test_a_folder_that_cannot_be_synced_is_no_failure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, calls = os.fsync, []

    def only_files(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    assert cli("profile", "add", "a", "--kid", "a").code == 0
    assert len(calls) == 2


def test_profiles_added_at_once_are_all_there(process: Cli) -> None:
    names = [f"p{i}" for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(lambda name: process("profile", "add", name, "--client-id", name), names))
    assert [result.stderr for result in results] == [""] * 12
    found = profiles.list_profiles()
    assert sorted(found.names) == sorted(names)
    assert all(profiles.find_profile(name) for name in names)


@pytest.mark.posix("a folder can be locked")
def test_a_change_that_hangs_does_not_hold_up_others_for_ever(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    file = write("[profiles.a]\n")
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    lock = os.open(file.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    result = cli("profile", "add", "b", "--kid", "b")
    os.close(lock)
    assert (result.code, result.stderr) == (
        2,
        (
            f"✗   Another process has been changing {file} for 10 s\n"
            "    Next: look for a banno-creds that hangs, and end it\n"
        ),
    )
    assert sum(waited) == pytest.approx(10, abs=0.1)
    assert cli("profile", "add", "b", "--kid", "b").code == 0  # the lock went with its holder


@pytest.mark.posix("there is a root")
def test_root_leaves_nothing_of_its_own_among_a_users_files(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int, int]] = []

    def fchown(descriptor: int, user: int, group: int) -> None:
        given.append((descriptor, user, group))

    owner = tmp_path.stat()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", fchown)
    for name in ("a", "b"):
        assert cli("profile", "add", name, "--kid", "a", "--config", tmp_path / "c.toml").code == 0
    assert [user for _, user, _ in given] == [owner.st_uid] * 2  # the two files that were written, and no other
    assert {group for _, _, group in given} == {owner.st_gid}


@pytest.mark.posix("there is a root")
def test_folders_that_root_makes_belong_to_whose_home_they_are_in(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []

    def fchown(descriptor: int, *_: int) -> None:
        given.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", fchown)
    assert cli("profile", "add", "a", "--kid", "a").code == 0
    folder = own_file().parent
    assert given[:2] == [str(folder.parent), str(folder)]
    assert len(given) == 3


@links
def test_a_link_where_a_lock_might_be_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    """Root changes a user's file; what that user put beside it must not become theirs, nor be written."""
    file = write("[profiles.a]\n")
    others = tmp_path / "others"
    others.write_text("theirs")
    (file.parent / ".config.toml.lock").symlink_to(others)
    before = others.stat()
    if os.geteuid() == 0:
        os.chown(file.parent, 65534, 65534)
        os.chown(file, 65534, 65534)
    assert cli("profile", "add", "b", "--kid", "b").code == 0
    after = others.stat()
    assert (after.st_uid, after.st_mtime_ns, others.read_text()) == (before.st_uid, before.st_mtime_ns, "theirs")
    assert file.stat().st_uid == (65534 if os.geteuid() == 0 else os.getuid())


@pytest.mark.posix("a file system may have no locks")
def test_a_file_system_without_locks_is_no_failure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert cli("profile", "add", "b", "--kid", "b").code == 0


@pytest.mark.parametrize("claim", ["a=\udcff", "\udcff=x", 'a:="\\ud800"'])
def test_a_claim_that_is_no_text_is_no_bug(cli: Cli, claim: str) -> None:
    result = cli("profile", "add", "b", "--claim", claim)
    assert (result.code, result.stdout) == (2, "")
    assert "has a value in it that JSON and TOML do not share" in result.stderr
    assert not own_file().exists()


def test_an_api_base_with_a_path_is_refused_when_it_is_written(cli: Cli) -> None:
    result = cli("profile", "add", "b", "--api-base", "https://a.example/path")
    assert result.code == 2
    assert "has more in it than scheme, host and port" in result.stderr


@pytest.mark.posix("pipes have names")
def test_a_pipe_in_the_files_place_is_not_waited_for(cli: Cli) -> None:
    own_file().parent.mkdir(parents=True)
    os.mkfifo(own_file())
    result = cli("profile", "list")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   {own_file()} is a pipe and no file\n")


@pytest.mark.posix("a device has a path like a file's")
def test_a_device_is_not_replaced_by_a_file(cli: Cli, tmp_path: Path) -> None:
    """Root could: then /dev/null would be a file."""
    device = tmp_path / "null"
    device.symlink_to(os.devnull)
    done = cli("profile", "add", "x", "--config", device, "--client-id", "c", "--private-key", "k.pem")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (f"✗   {os.devnull} is no file, and cannot be changed\n    Next: name another file\n")
    assert not Path(os.devnull).is_file()
