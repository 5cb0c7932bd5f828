"""The frame of every command: exit codes, interruption, bugs, help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds import __version__
from tests.conftest import Result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli

pytestmark = pytest.mark.measured

PROGRAM = [sys.executable, "-m", "banno_creds"]


def test_version(process: Cli) -> None:
    result = process("--version")
    assert (result.code, result.stdout, result.stderr) == (0, f"banno-creds {__version__}\n", "")


def test_help_names_every_command_and_the_exit_codes(cli: Cli) -> None:
    result = cli("--help")
    assert result.code == 0
    for words in ("keygen", "client-assertion", "sign-jwt", "decode", "demo", "sandbox", "Exit codes:"):
        assert words in result.stdout


def test_no_command_is_the_help_and_exit_2(cli: Cli) -> None:
    result = cli()
    assert result.code == 2
    assert result.stderr == cli("--help").stdout
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("client-asertion", "did you mean: banno-creds client-assertion"),
        ("xyz", "banno-creds --help"),
        ("tokens", "did you mean: banno-creds token"),
    ],
)
def test_a_misspelt_command_names_the_nearest(cli: Cli, name: str, hint: str) -> None:
    result = cli(name)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"✗   There is no command '{name}'\n    Next: {hint}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["cache", "lst"],
            "✗   There is no command 'lst' of banno-creds cache\n    Next: did you mean: banno-creds cache list\n",
        ),
        (
            ["cache", "xyz"],
            "✗   There is no command 'xyz' of banno-creds cache\n    Next: banno-creds cache --help\n",
        ),
        (["token", "--output"], "✗   Option '--output' requires an argument\n    Next: banno-creds token --help\n"),
        (["token", "-o"], "✗   Option '-o' requires an argument\n    Next: banno-creds token --help\n"),
    ],
    ids=["near", "far", "no value", "no value, short"],
)
def test_what_is_misspelt_behind_a_command_is_told_of_that_command(cli: Cli, args: list[str], said: str) -> None:
    assert cli(*args) == Result(2, "", said)


def test_a_missing_client_id_is_told_of_the_profiles_there_are(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("".join(f"[profiles.p{number}]\n" for number in range(7)))
    hint = "add --client-id ID, or set BANNO_CREDS_CLIENT_ID"
    missing = cli("token", "--config", config).stderr
    assert (
        missing == f"✗   --client-id is missing\n    Next: name a profile: --profile p0|p1|p2|p3|p4, …; or {hint}\n"
    )
    assert cli("token", "--config", config, "--profile", "p1").stderr.endswith(f"    Next: {hint}\n")
    assert cli("token").stderr.endswith(f"    Next: {hint}\n")


def test_an_option_before_its_command_is_told_where_it_belongs(cli: Cli) -> None:
    result = cli("--client-id", "x", "sign-jwt")
    assert result.code == 2
    assert "Next: an option of a command stands behind the command's name" in result.stderr


def test_an_unknown_option_of_the_program_is_exit_2(cli: Cli) -> None:
    assert cli("--nonsense").code == 2


def test_a_missing_option_names_its_variable(cli: Cli, rsa_pem: Path) -> None:
    result = cli("sign-jwt", "--private-key", rsa_pem)
    assert result.code == 2
    assert result.stderr == "✗   --client-id is missing\n    Next: add --client-id ID, or set BANNO_CREDS_CLIENT_ID\n"


def test_a_bug_of_ours_is_exit_1_without_a_traceback_or_its_words(
    cli: Cli, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("words that may hold a secret")

    monkeypatch.setattr("banno_creds.tokens.client_credentials.sign_jwt", broken)
    result = cli("sign-jwt", "--client-id", "a", "--private-key", rsa_pem)
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"✗   This is a bug in banno-creds {__version__}: RuntimeError in tests.cli.test_cli:"
    )
    assert "secret" not in result.stderr.partition("Next:")[0]
    assert "Traceback" not in result.stderr

    debugged = cli("sign-jwt", "--client-id", "a", "--private-key", rsa_pem, env={"BANNO_CREDS_DEBUG": "1"})
    assert debugged.code == 1
    assert debugged.stderr.startswith("Traceback (most recent call last):\n")
    assert "in broken\n" in debugged.stderr
    assert result.stderr in debugged.stderr
    assert "words that may" not in debugged.stderr.replace('raise RuntimeError("words that may hold a secret")', "")


def test_debug_shows_where_an_error_came_from(process: Cli) -> None:
    result = process("decode", "abc", env={"BANNO_CREDS_DEBUG": "1"})
    assert result.code == 6
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert "\nTokenError\n✗   This is no JWT" in result.stderr


@pytest.mark.posix("signals to another process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_ends_silently(number: signal.Signals, code: int, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Opening a pipe waits for its reader: after that the program is at work, and waits for us.
    with subprocess.Popen([*PROGRAM, "decode", "--file", pipe], stderr=subprocess.PIPE) as running, pipe.open("wb"):
        running.send_signal(number)
        assert running.stderr is not None
        said = running.stderr.read()
        assert (running.wait(10), said) == (code, b"")


def test_ctrl_c_during_the_imports_is_silent_too(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*PROGRAM, "--help"], env=env, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_a_reader_that_has_gone_is_no_failure_of_ours() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*PROGRAM, "decode", "-q", "--full", "eyJhbGciOiJub25lIn0.e30."]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
