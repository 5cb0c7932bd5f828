"""An answer that was given before: given again at once, and never where anything has changed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds import __main__, child, recall
from banno_creds.cli.main import run
from banno_creds.storage import own_files
from tests.conftest import CLIENT_ID, Result, has_mode, instead, write_private
from tests.programs import CAT, ENVIRONMENT, NOTHING, echo, python, variable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer

# --- the two functions ----------------------------------------------------------------------------------------------

ARGUMENTS = ("token", "--client-id", "a")
TEXT = "the.token\n"


class Kept:
    """A folder with a token's entry and a key, and an answer that depends on both."""

    def __init__(self, folder: Path, key: Path) -> None:
        self.folder = folder
        self.key = write_private(key, b"key")
        self.entry = folder / f"{'0' * 64}.json"  # as the cache names it
        own_files.write(str(self.entry), b"entry")

    def remember(self, good_for: float = 540.0, text: str = TEXT, arguments: tuple[str, ...] = ARGUMENTS) -> None:
        life = recall.life_of(time.time(), good_for)
        recall.remember(
            arguments,
            str(self.entry),
            own_files.identity(str(self.entry)),
            life,
            [recall.look(str(self.key))],
            text,
        )

    @property
    def file(self) -> Path:
        [file] = self.folder.glob("*.answer")
        return file


@pytest.fixture(autouse=True)
def _in_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows itself keeps others out of the user's profile, and nobody looks at access rights there."""
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    folder = tmp_path / "cache"
    folder.mkdir(0o700)
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(folder))
    return Kept(folder, tmp_path / "key.pem")


@pytest.mark.parametrize("text", [TEXT, "two\nlines\n", "\n", "é\udce9\n", "a\n\nb\n"])
def test_an_answer_is_given_again_as_it_was(kept: Kept, text: str) -> None:
    assert recall.answer(ARGUMENTS) is None
    kept.remember(text=text)
    assert recall.answer(ARGUMENTS) == os.fsencode(text)
    assert has_mode(kept.file, 0o600)


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "--client-id", "b"),
        ("token", "--client-id"),
        ("token", "--client-id", "a", ""),
        ("token", "--client-ida"),
    ],
)
def test_other_arguments_have_another_answer(kept: Kept, arguments: tuple[str, ...]) -> None:
    kept.remember()
    assert recall.answer(arguments) is None


def test_an_answer_that_was_renamed_is_not_the_answer_to_another_question(kept: Kept) -> None:
    other = ("token", "--scope", "b")
    kept.remember(arguments=other)
    of_other = kept.file
    content = of_other.read_bytes()
    of_other.unlink()
    kept.remember()
    kept.file.rename(of_other)
    assert recall.answer(other) is None
    of_other.write_bytes(content)
    assert recall.answer(other) == TEXT.encode()


def test_arguments_are_not_run_together(kept: Kept) -> None:
    kept.remember(arguments=("token", "a", "b"))
    for other in (("token", "ab"), ("token", "a b"), ("token", "a\0b"), ("token a", "b")):
        assert recall.answer(other) is None


def _change_key(kept: Kept, _: pytest.MonkeyPatch) -> None:
    kept.key.write_bytes(b"yek")


def _remove_key(kept: Kept, _: pytest.MonkeyPatch) -> None:
    kept.key.unlink()


def _open_key_to_others(kept: Kept, _: pytest.MonkeyPatch) -> None:
    kept.key.chmod(0o640)


def _make_key_a_folder(kept: Kept, _: pytest.MonkeyPatch) -> None:
    kept.key.unlink()
    kept.key.mkdir()


def _make_key_huge(kept: Kept, _: pytest.MonkeyPatch) -> None:
    kept.key.write_bytes(b"key" + b" " * 17_000_000)


def _replace_entry(kept: Kept, _: pytest.MonkeyPatch) -> None:
    own_files.write(str(kept.entry), b"entry")


def _remove_entry(kept: Kept, _: pytest.MonkeyPatch) -> None:
    kept.entry.unlink()


def _open_the_keys_folder_to_others(kept: Kept, _: pytest.MonkeyPatch) -> None:
    kept.key.parent.chmod(0o777)


def _give_the_keys_folder_to_another(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    look, folder = os.stat, kept.key.parent
    theirs = os.stat_result([*look(folder)[:4], 1001, *look(folder)[5:]])
    monkeypatch.setattr(os, "stat", lambda path: theirs if path == str(folder) else look(path))


def _go_elsewhere(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept.folder)


def _lose_the_folder(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = kept.folder.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


def _set(name: str, value: str) -> Callable[[Kept, pytest.MonkeyPatch], None]:
    def change(_: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name, value)

    change.__name__ = f"_set_{name}"
    return change


def _new_version(_: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_FORMAT", "banno-creds 99.0 answer 2")


def _no_home(_: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "cache_folder", lambda: None)


def _let_time_pass(seconds: float) -> Callable[[Kept, pytest.MonkeyPatch], None]:
    def change(_: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        clock, uptime = time.time, own_files.uptime
        monkeypatch.setattr(time, "time", lambda: clock() + seconds)
        monkeypatch.setattr(own_files, "uptime", lambda: (uptime()[0], uptime()[1] + seconds))

    change.__name__ = f"_let_{seconds}_s_pass"
    return change


def _set_clock(seconds: float) -> Callable[[Kept, pytest.MonkeyPatch], None]:
    def change(_: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + seconds)

    change.__name__ = f"_set_clock_by_{seconds}_s"
    return change


def _restart(_: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 541)
    monkeypatch.setattr(own_files, "uptime", lambda: ("another start", 1.0))


def _make_folder_a_link(kept: Kept, _: pytest.MonkeyPatch) -> None:
    kept.folder.rename(kept.folder.parent / "elsewhere")
    kept.folder.symlink_to(kept.folder.parent / "elsewhere")


def _another_user(_: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)


CHANGES: list[Callable[[Kept, pytest.MonkeyPatch], None]] = [
    *(_change_key, _remove_key, _make_key_a_folder, _make_key_huge),
    *(_replace_entry, _remove_entry, _go_elsewhere, _new_version, _no_home),
    *(_set("BANNO_CREDS_SCOPE", "full"), _set("BANNO_CREDS_PROFILE", "a"), _set("HOME", "/elsewhere")),
    *(_set("XDG_CONFIG_HOME", "/elsewhere"), _set("BANNO_CREDS_ANYTHING", "")),
    *(_let_time_pass(541), _set_clock(541), _set_clock(-60), _set_clock(-3600), _restart),
]
POSIX_CHANGES: dict[Callable[[Kept, pytest.MonkeyPatch], None], str] = {
    _open_key_to_others: "modes",
    _open_the_keys_folder_to_others: "modes",
    _give_the_keys_folder_to_another: "owners with numbers",
    _another_user: "owners with numbers",
    _lose_the_folder: "the current folder can be removed",
    _make_folder_a_link: "a symbolic link",
}


@pytest.mark.parametrize(
    "change",
    [*CHANGES, *(pytest.param(change, marks=pytest.mark.posix(why)) for change, why in POSIX_CHANGES.items())],
    ids=lambda change: change.__name__.strip("_"),
)
def test_nothing_is_recalled_where_anything_has_changed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, change: Callable[[Kept, pytest.MonkeyPatch], None]
) -> None:
    kept.remember()
    with monkeypatch.context() as patch:
        change(kept, patch)
        assert recall.answer(ARGUMENTS) is None


def test_an_answer_is_given_until_min_ttl_is_reached(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.remember()
    _let_time_pass(539)(kept, monkeypatch)
    assert recall.answer(ARGUMENTS) == TEXT.encode()


def test_a_variable_that_is_not_ours_changes_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.remember()
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    assert recall.answer(ARGUMENTS) == TEXT.encode()


def test_a_file_that_was_missing_and_is_there_now_is_a_change(kept: Kept) -> None:
    """Such as config.toml, with a default profile."""
    kept.key.unlink()
    kept.remember()
    assert recall.answer(ARGUMENTS) == TEXT.encode()
    kept.key.touch()
    assert recall.answer(ARGUMENTS) is None


@pytest.mark.parametrize("size", [100, 2_000_000])
def test_one_byte_of_a_large_file_is_a_change(kept: Kept, size: int) -> None:
    """Such as config.toml, with 10,000 profiles."""
    content = b"a" * size
    kept.key.write_bytes(content)
    kept.remember()
    assert recall.answer(ARGUMENTS) == TEXT.encode()
    for changed in (content[:-1] + b"b", content[:-1], content + b"a"):
        kept.key.write_bytes(changed)
        assert recall.answer(ARGUMENTS) is None
    kept.key.write_bytes(content)
    assert recall.answer(ARGUMENTS) == TEXT.encode()


@pytest.mark.posix("modes")
def test_a_folder_and_an_answer_that_are_looser_are_tightened(kept: Kept) -> None:
    kept.remember()
    kept.folder.chmod(0o755)
    kept.file.chmod(0o644)
    assert recall.answer(ARGUMENTS) == TEXT.encode()
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    assert kept.file.stat().st_mode & 0o777 == 0o600


def test_an_answer_that_is_broken_anywhere_is_none(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.remember()
    whole = kept.file.read_bytes()
    cut_off = [whole[:length] for length in range(len(whole))]
    changed = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    with monkeypatch.context() as patch:
        for broken in (*cut_off, *changed, whole + b"x"):
            patch.setattr(own_files, "read", lambda _, content=broken: content)
            assert recall.answer(ARGUMENTS) is None
    kept.file.write_bytes(whole[:-1])
    assert recall.answer(ARGUMENTS) is None
    kept.file.write_bytes(whole)
    assert recall.answer(ARGUMENTS) == TEXT.encode()


def _answers(kept: Kept) -> int:
    return len(list(kept.folder.glob("*.answer")))


def test_answers_whose_token_is_another_by_now_are_removed_with_the_next(kept: Kept) -> None:
    for number in range(3):
        kept.remember(arguments=("token", str(number)))
    assert _answers(kept) == 3
    own_files.write(str(kept.entry), b"another")
    kept.remember(arguments=("token", "3"))
    assert _answers(kept) == 1
    kept.entry.unlink()
    recall.sweep(str(kept.folder))
    assert _answers(kept) == 0


def test_answers_that_are_an_hour_old_or_broken_are_removed_and_no_others_files(kept: Kept) -> None:
    foreign = kept.folder / "foreign.answer"
    foreign.touch()
    kept.remember(arguments=("token", "old"))
    os.utime(kept.folder / recall._name(("token", "old")), (time.time() - 3601,) * 2)
    (kept.folder / f"{'0' * 64}.answer").write_bytes(b"broken")
    (kept.folder / f"{'1' * 64}.answer").mkdir()
    kept.remember()
    assert _answers(kept) == 3
    assert recall.answer(ARGUMENTS) == TEXT.encode()


def test_of_many_answers_the_oldest_are_removed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_MOST_ANSWERS", 3)
    for number in range(6):
        kept.remember(arguments=("token", str(number)))
        os.utime(kept.folder / recall._name(("token", str(number))), (time.time() - 100 + number,) * 2)
    kept.remember()
    assert [bool(recall.answer(("token", str(number)))) for number in range(6)] == [False] * 4 + [True] * 2
    assert recall.answer(ARGUMENTS) == TEXT.encode()


def test_an_answer_that_another_process_removed_first_is_no_fault(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "_MOST_ANSWERS", 0)
    unlink = os.unlink

    def too_late(path: str) -> None:
        unlink(path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", too_late)
    kept.remember()
    assert _answers(kept) == 0


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("link", marks=pytest.mark.posix("a symbolic link")),
        pytest.param("pipe", marks=pytest.mark.posix("a pipe with a path")),
        "folder",
    ],
)
def test_what_is_no_file_is_no_answer(kept: Kept, tmp_path: Path, what: str) -> None:
    kept.remember()
    file = kept.file
    content = file.read_bytes()
    file.unlink()
    if what == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        file.symlink_to(tmp_path / "elsewhere")
    elif what == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    assert recall.answer(ARGUMENTS) is None
    kept.remember()
    assert recall.answer(ARGUMENTS) == (None if what == "folder" else TEXT.encode())


@pytest.mark.posix("a pipe with a path")
def test_what_was_written_into_a_pipe_is_left_for_others(kept: Kept) -> None:
    kept.remember()
    kept.key.unlink()
    os.mkfifo(kept.key)
    reader = os.open(kept.key, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(kept.key, os.O_WRONLY)
    os.write(writer, b"key")
    assert recall.answer(ARGUMENTS) is None
    assert os.read(reader, 10) == b"key"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("path", [pytest.param("a\nb", marks=pytest.mark.posix("a line end in a name")), ""])
def test_what_does_not_fit_a_line_is_not_kept(kept: Kept, tmp_path: Path, path: str) -> None:
    life = recall.life_of(time.time(), 540)
    line = recall.look(str(tmp_path / path)) if path else ""
    recall.remember(ARGUMENTS, str(kept.entry), own_files.identity(str(kept.entry)), life, [line], TEXT)
    assert list(kept.folder.glob("*.answer")) == []


def test_an_entry_that_is_gone_is_not_kept(kept: Kept) -> None:
    recall.remember(ARGUMENTS, str(kept.entry), "", recall.life_of(time.time(), 540), [], TEXT)
    assert list(kept.folder.glob("*.answer")) == []


def test_what_cannot_be_kept_is_not(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    kept.remember()
    assert list(kept.folder.glob("*.answer")) == []


@pytest.mark.posix("the current folder can be removed")
def test_in_a_folder_that_is_gone_nothing_is_kept(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    _lose_the_folder(kept, monkeypatch)
    kept.remember()
    assert list(kept.folder.glob("*.answer")) == []


def test_without_a_clock_that_nobody_sets_an_answer_is_good_by_the_other(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_files, "uptime", lambda: ("", 0.0))
    kept.remember()
    assert recall.answer(ARGUMENTS) == TEXT.encode()
    _set_clock(-10)(kept, monkeypatch)
    assert recall.answer(ARGUMENTS) is None


# --- the command line, in processes of its own ----------------------------------------------------------------------


class Command:
    """``banno-creds token`` as scripts run it; in a file it says what it loaded."""

    def __init__(self, arguments: list[str], env: dict[str, str], folder: Path) -> None:
        self.arguments = arguments
        self.env = env
        self.folder = folder
        self.loaded: set[str] = set()

    _DRIVER = (
        "import os, sys\n"
        "tell_to, before = sys.argv.pop(), set(sys.modules)\n"
        "def tell_and(go_on):\n"
        "    def tell(*args):\n"
        "        loaded = ' '.join(set(sys.modules) - before)\n"
        "        with open(tell_to, 'w') as file:\n"
        "            file.write(loaded)\n"
        "        go_on(*args)\n"
        "    return tell\n"
        "os._exit, os.execvpe = tell_and(os._exit), tell_and(os.execvpe)\n"
        "from banno_creds.__main__ import main\n"
        "main()\n"
    )

    def __call__(self, *more: str, stdin: bytes = b"", **env: str) -> Result:
        modules = self.folder.with_name("modules")
        done = subprocess.run(
            [sys.executable, "-c", self._DRIVER, *self.arguments, *more, str(modules)],
            input=stdin,
            capture_output=True,
            # Measuring coverage loads modules of its own.
            env={name: value for name, value in os.environ.items() if not name.startswith("COV")} | self.env | env,
            timeout=60,
            check=False,
        )
        self.loaded = set(modules.read_text().split())
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def was_recalled(self) -> bool:
        return "banno_creds.recall" in self.loaded and "banno_creds.cli" not in self.loaded


@pytest.fixture
def command(tmp_path: Path, issuer: Issuer, ec_pem: Path) -> Command:
    folder = tmp_path / "cache"
    ask = ["token", "--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", issuer.url]
    return Command(ask, {"BANNO_CREDS_CACHE_DIR": str(folder)}, folder)


class Quick(Command):
    """The same in this process: as `main` does it, but without its end. For tests of many runs."""

    def __init__(self, of: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        super().__init__(of.arguments, of.env, of.folder)
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self._recalled = False

    def __call__(self, *more: str, stdin: bytes = b"", **env: str) -> Result:
        arguments = [*self.arguments, *more]
        with self._monkeypatch.context() as patch:
            for name, value in (self.env | env).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            code = __main__._recall(arguments)
            self._recalled = code is not None
            if code is None:
                code = run(arguments)
        return Result(code, *self._capfd.readouterr())

    def was_recalled(self) -> bool:
        return self._recalled


@pytest.fixture
def quick(command: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Quick:
    return Quick(command, monkeypatch, capfd)


GOOD = Result(0, "openid.1\n", "")
TOKEN = variable("BANNO_ACCESS_TOKEN")
HEAVY = ("httpx", "cryptography", "jwt", "rich", "tomlkit")
EARLY = ("click", "dataclasses", "pathlib", "json", "re", "typing", "contextlib", "hashlib", "logging", "socket")


def test_the_second_run_loads_next_to_nothing_and_one_with_other_arguments_nothing_heavy(command: Command) -> None:
    assert command() == GOOD
    assert not command.was_recalled()
    assert "httpx" in command.loaded
    assert command() == GOOD
    assert command.was_recalled()
    assert command.loaded.isdisjoint((*HEAVY, *EARLY))
    assert command("--timeout", "29") == GOOD
    assert not command.was_recalled()
    assert command.loaded.isdisjoint(HEAVY)
    assert command("--timeout", "29") == GOOD
    assert command.was_recalled()


def test_what_is_not_to_be_recalled_is_not(quick: Quick, ec_pem: Path) -> None:
    key = ec_pem.read_bytes()
    quick()
    usual = quick.arguments
    for more, stdin in (
        (["-v"], b""),
        (["-o", "json"], b""),
        (["--private-key", "-"], key),
        (["--min-ttl", "600"], b""),
        (["--force-refresh"], b""),
        (["--no-cache"], b""),
    ):
        quick.arguments = instead(usual, *more) if "--private-key" in more else [*usual, *more]
        for _ in range(2):
            assert quick(stdin=stdin).code == 0
            assert not quick.was_recalled(), more
    quick.arguments = usual
    tokens = [quick(*more).stdout for more in ([], ["-o", "token"]) for _ in range(2)]
    assert tokens == ["openid.5\n"] * 4
    assert quick.was_recalled()


@pytest.fixture
def execute(command: Command) -> Command:
    return Command(["exec", *command.arguments[1:], "--"], command.env, command.folder)


def test_a_command_has_its_token_before_anything_is_loaded(execute: Command, issuer: Issuer) -> None:
    began = time.time()
    assert execute(*TOKEN) == GOOD
    assert not execute.was_recalled()
    expires_at = execute(*variable("BANNO_TOKEN_EXPIRES_AT"))
    assert execute.was_recalled()
    early = () if sys.platform == "win32" else EARLY  # there, to find and run a command takes more
    assert execute.loaded.isdisjoint((*HEAVY, *early))
    assert began + 599 < int(expires_at.stdout) <= time.time() + 600
    assert execute(*python("print('out'); sys.exit(7)")) == Result(7, "out\n", "")
    assert execute(*CAT, "--", "-", stdin=b"in").stdout == "in"
    assert execute.was_recalled()
    assert len(issuer.forms) == 1


@pytest.mark.posix("programs end by signals there")
def test_a_command_with_a_recalled_token_ends_by_its_signal(execute: Command) -> None:
    for _ in range(2):
        assert execute("sh", "-c", "kill -9 $$").code == -9
    assert execute.was_recalled()


def test_a_command_that_cannot_be_run_is_told_of_as_ever(execute: Command, tmp_path: Path) -> None:
    execute(*NOTHING)
    for command, code in (("no-such-command", 127), (str(tmp_path), 126)):
        result = execute(command)
        assert (result.code, result.stdout) == (code, "")
        assert result.stderr.startswith("✗   ")
    result = execute()
    assert (result.code, result.stdout) == (2, "")


def test_a_command_that_has_its_token_recalled_has_no_key(execute: Command, ec_pem: Path) -> None:
    secrets = {"BANNO_CREDS_PRIVATE_KEY_PEM": ec_pem.read_text(), "BANNO_CREDS_PASSPHRASE_FILE": "passphrase"}
    at = execute.arguments.index("--private-key")
    del execute.arguments[at : at + 2]
    execute.env |= secrets
    execute(*NOTHING)
    result = execute(*ENVIRONMENT, BANNO_TOKEN_TYPE="old")
    assert execute.was_recalled()
    assert "BANNO_CREDS_CACHE_DIR=" in result.stdout
    assert result.stdout.count("BANNO_TOKEN_TYPE=Bearer") == 1
    for secret in ("PRIVATE", "PASSPHRASE", "BEGIN", "=old"):
        assert secret not in result.stdout


def test_a_command_without_two_dashes_before_it_is_not_recalled(execute: Command) -> None:
    execute.arguments.pop()
    for _ in range(2):
        assert execute(*TOKEN) == GOOD
        assert not execute.was_recalled()
    # These stand behind the command, and are its own.
    assert execute(*echo("--", "--")).stdout == "-- --\n"
    assert not execute.was_recalled()


def test_two_dashes_that_are_an_options_value_end_nothing(execute: Command) -> None:
    execute.arguments[-1:] = ["--kid"]
    show = ("--", *TOKEN)
    assert execute(*show) == GOOD
    assert execute("--", "--scope", "full", *show).stdout == "full.2\n"
    assert not execute.was_recalled()


def test_whatever_a_variable_says_holds_when_it_is_said(quick: Quick) -> None:
    quick()
    assert quick(BANNO_CREDS_SCOPE="full").stdout == "full.2\n"
    assert quick(BANNO_CREDS_SCOPE="full").stdout == "full.2\n"
    assert quick.was_recalled()
    assert quick() == GOOD
    assert quick.was_recalled()


@pytest.mark.posix("modes")
def test_a_run_that_warned_warns_again(quick: Quick, ec_pem: Path) -> None:
    quick()
    ec_pem.chmod(0o644)
    results = [quick() for _ in range(2)]
    warning = f"!   Others can read {ec_pem} (mode 0644)\n    chmod 600 {ec_pem}\n"
    assert results == [Result(0, "openid.1\n", warning)] * 2
    ec_pem.chmod(0o600)
    assert quick() == GOOD


def test_a_run_with_a_misspelt_variable_warns_each_time(quick: Quick) -> None:
    results = [quick(BANNO_CREDS_SCOPES="full") for _ in range(3)]
    warning = "!   BANNO_CREDS_SCOPES means nothing here\n    did you mean BANNO_CREDS_SCOPE?\n"
    assert results == [Result(0, "openid.1\n", warning)] * 3


def test_a_forced_refresh_by_another_command_line_is_everybodys(quick: Quick) -> None:
    assert [quick().stdout for _ in range(2)] == ["openid.1\n"] * 2
    assert quick("--force-refresh", "--timeout", "29").stdout == "openid.2\n"
    assert quick().stdout == "openid.2\n"
    assert not quick.was_recalled()
    assert quick().stdout == "openid.2\n"
    assert quick.was_recalled()


def test_a_cleared_cache_answers_nothing(command: Command, process: Cli) -> None:
    command()
    assert process("cache", "clear", env=command.env).code == 0
    assert command().stdout == "openid.2\n"


def test_another_key_in_the_same_file_has_another_token(quick: Quick, ec_pem: Path, rsa_pem: Path) -> None:
    ec = ec_pem.read_bytes()
    assert [quick().stdout for _ in range(2)] == ["openid.1\n"] * 2
    ec_pem.write_bytes(rsa_pem.read_bytes())
    assert [quick().stdout for _ in range(2)] == ["openid.2\n"] * 2
    ec_pem.write_bytes(ec)
    assert [quick().stdout for _ in range(2)] == ["openid.1\n"] * 2


def test_two_profiles_that_differ_only_in_scope_never_get_each_others_token(
    quick: Quick, tmp_path: Path, ec_pem: Path, issuer: Issuer
) -> None:
    config = tmp_path / "config.toml"

    def profiles(one: str, two: str) -> None:
        config.write_text(
            "".join(
                f"[profiles.{name}]\nclient_id = 'a'\nprivate_key = '{ec_pem}'\n"
                f'token_endpoint = "{issuer.url}"\nscope = ["{scope}"]\n'
                for name, scope in (("one", one), ("two", two))
            )
        )
        config.chmod(0o600)

    profiles("a", "b")
    quick.arguments = ["token", "--config", str(config)]
    for _ in range(3):
        assert quick("--profile", "one") == Result(0, "a.1\n", "")
        assert quick("--profile", "two") == Result(0, "b.2\n", "")
    assert quick.was_recalled()
    profiles("b", "a")
    for _ in range(2):
        assert quick("--profile", "one") == Result(0, "b.2\n", "")
        assert quick(BANNO_CREDS_PROFILE="two") == Result(0, "a.1\n", "")


def test_a_config_file_that_appears_is_heeded(quick: Quick, tmp_path: Path, ec_pem: Path) -> None:
    config = tmp_path / "config"
    quick.env |= dict.fromkeys(("XDG_CONFIG_HOME", "APPDATA"), str(config))
    assert [quick().stdout for _ in range(2)] == ["openid.1\n"] * 2
    assert quick.was_recalled()
    (config / "banno-creds").mkdir(parents=True)
    (config / "banno-creds" / "config.toml").write_text('default = "a"\n[profiles.a]\nscope = ["full"]\n')
    assert quick().stdout == "full.2\n"


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_clock_that_is_set_between_two_runs_breaks_nothing(command: Command, seconds: int) -> None:
    """Whole processes, whose clock is another."""
    assert command() == GOOD
    command._DRIVER = f"import time; now = time.time; time.time = lambda: now() + {seconds}\n" + Command._DRIVER
    for _ in range(2):
        result = command("-o", "json")
        assert (result.code, result.stderr) == (0, "")
        assert json.loads(result.stdout)["expires_in"] <= 601
    assert command().code == 0


@pytest.mark.posix("the current folder can be removed")
def test_an_answer_from_a_folder_that_is_gone_by_now(command: Command, tmp_path: Path) -> None:
    """A shell may stand in a folder that somebody removed."""
    gone = tmp_path / "gone"
    script = f'mkdir {gone}; cd {gone}; rmdir {gone}; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-P", "-m", "banno_creds", *command.arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **command.env, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "openid.1\n", "")


@pytest.fixture(params=["token", "header"])
def known(request: pytest.FixtureRequest, command: Command) -> list[str]:
    """A command line whose answer is known."""
    for _ in range(2):
        assert command("-o", request.param).code == 0
    assert command.was_recalled()
    return [sys.executable, "-m", "banno_creds", *command.arguments, "-o", request.param]


@pytest.mark.posix("streams of a shell")
@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        (">&-", "it is closed"),
        ("> /dev/full", "No space left on device"),
        ("< /dev/null > /dev/null 1>&0", "Bad file descriptor"),
    ],
)
def test_a_standard_output_that_takes_nothing_is_told_of_as_ever(
    command: Command, known: list[str], redirection: str, words: str
) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *known],
        stderr=subprocess.PIPE,
        env={**os.environ, **command.env},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    said = f"✗   The result could not be written to standard output: {words}\n"
    assert done.stderr.decode().startswith(said)


def test_a_reader_that_has_gone_is_no_failure_of_ours_either(command: Command, known: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        known, stdout=writing, stderr=subprocess.PIPE, env={**os.environ, **command.env}, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


# --- what is written piece by piece ---------------------------------------------------------------------------------


class _Stdout:
    errors = "backslashreplace"

    def fileno(self) -> int:
        return 1


def _recalled_to(monkeypatch: pytest.MonkeyPatch, *outcomes: int | OSError) -> tuple[int | None, bytes]:
    """Run the fast path with a system that takes so many bytes at a time, and fails then."""
    left, taken = list(outcomes), bytearray()

    def write(_: int, text: bytes) -> int:
        outcome: Any = left.pop(0) if left else len(text)
        if isinstance(outcome, OSError):
            raise outcome
        taken.extend(text[:outcome])
        return int(outcome)

    monkeypatch.setattr(recall, "answer", lambda _: b"the.token\n")
    monkeypatch.setattr(sys, "stdout", _Stdout())
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        return __main__._recall(["token"]), bytes(taken)


def test_what_is_taken_in_pieces_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _recalled_to(monkeypatch, 3, 1) == (0, b"the.token\n")


def test_what_nothing_was_written_of_is_left_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _recalled_to(monkeypatch, OSError(28, "No space left on device")) == (None, b"")


def test_half_a_token_is_never_followed_by_a_whole_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _recalled_to(monkeypatch, 3, OSError(28, "No space left on device")) == (2, b"the")
    assert capsys.readouterr().err == (
        "✗   The result could not be written to standard output: No space left on device\n"
        "    Next: check where standard output goes; the result is cut off\n"
    )
    assert _recalled_to(monkeypatch, 3, BrokenPipeError()) == (141, b"the")


def test_only_token_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "answer", lambda _: pytest.fail("it was looked for"))
    assert __main__._recall(["decode", "token"]) is None
    assert __main__._recall([]) is None


def test_the_entry_point_hands_the_command_its_variables(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []

    def become(*what: object) -> int:
        ran.extend(what)
        if what[0] == ["missing"]:
            raise FileNotFoundError
        return 7

    monkeypatch.setattr(child, "run", become)
    assert __main__._recall(["exec", "--", "x", "--", "y"]) is None
    kept.remember(arguments=("exec", "--"), text="BANNO_ACCESS_TOKEN=a=\nBANNO_TOKEN_TYPE=Bearer\n")
    assert __main__._recall(["exec", "--", "x", "--", "y"]) == 7
    assert ran == [["x", "--", "y"], {"BANNO_ACCESS_TOKEN": "a=", "BANNO_TOKEN_TYPE": "Bearer"}]
    assert __main__._recall(["exec", "--", "missing"]) is None
    assert __main__._recall(["exec", "--"]) is None
    assert __main__._recall(["exec", "x"]) is None
