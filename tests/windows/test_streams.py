"""Standard streams on Windows: UTF-8 and line feeds into a pipe, readers that have gone, NUL, and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CLIENT_ID, Result
from tests.programs import python

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.AA"


STDOUT, BOTH = ("stdout",), ("stdout", "stderr")


@pytest.mark.parametrize(
    ("args", "gone"),
    [
        *((["--version"], STDOUT), (["--help"], BOTH), (["token", "-h"], STDOUT), (["explain"], STDOUT)),
        *((["decode", JWT], BOTH), (["decode", "-q", JWT], STDOUT), (["token"], STDOUT), (["token", "-v"], BOTH)),
    ],
    ids=lambda value: " ".join(value)[:20],
)
def test_a_reader_that_has_gone_ends_a_command_in_silence(
    args: list[str], gone: tuple[str, ...], env: dict[str, str]
) -> None:
    """As SIGPIPE ends one; the token is asked for once, and then recalled."""
    for _ in range(2 if args[0] == "token" else 1):
        code, said = _unread(args, gone, env)
        assert code == 141
        assert said == b""


def test_where_nobody_reads_the_steps_the_result_is_whole(env: dict[str, str]) -> None:
    for _ in range(2):
        assert _unread(["token", "-v"], ("stderr",), env) == (0, b"openid.1\n")


def _unread(args: list[str], gone: tuple[str, ...], env: dict[str, str]) -> tuple[int, bytes]:
    """Run with streams that nobody reads; return the exit code and what is in the other one."""
    reading, writing = os.pipe()
    os.close(reading)
    stdout, stderr = (writing if name in gone else subprocess.PIPE for name in ("stdout", "stderr"))
    with subprocess.Popen(
        [sys.executable, "-m", "banno_creds", *args],
        stdin=subprocess.DEVNULL,
        env=os.environ | env,
        stdout=stdout,
        stderr=stderr,
    ) as running:
        os.close(writing)
        out, err = running.communicate(timeout=60)
    return running.returncode, out or err or b""


def test_all_that_goes_into_a_pipe_is_utf_8_with_line_feeds(process: Cli, tmp_path: Path) -> None:
    """Characters that code page 1252 lacks, too; whatever is said is said after both files were written."""
    key, public = tmp_path / "ключ 日本.pem", tmp_path / "öffentlich.pem"
    made = process("keygen", "--private-key", key, "--public-key", public)
    assert made.code == 0
    assert "öffentlich.pem" in made.stderr
    assert "ключ 日本.pem" in made.stderr
    shown = process("keygen", "--public-from", key, "--public-key", "-")
    assert shown == Result(0, public.read_bytes().decode(), "")
    assert "\r" not in made.stdout + made.stderr + shown.stdout
    for args in (["explain"], ["decode", JWT], ["no-such"], ["token", "--nosuch"]):
        result = process(*args)
        assert "\r" not in result.stdout + result.stderr, args


def test_an_encoding_that_was_asked_for_is_used_and_loses_nothing(process: Cli) -> None:
    result = process("decode", "日", env={"PYTHONIOENCODING": "cp1252"})
    assert (result.code, result.stdout) == (6, "")
    assert result.stderr.isascii()
    assert result.stderr.startswith("x   ")


def test_nul_is_no_terminal(env: dict[str, str]) -> None:
    """Nobody there could answer a question, and nothing there is worth a colour."""
    command = [sys.executable, "-m", "banno_creds"]
    nothing = subprocess.DEVNULL
    asked = subprocess.run(
        [*command, "client-assertion", "--client-id", CLIENT_ID],
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
        env=os.environ | env,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 0
    from_nul = subprocess.run([*command, "decode"], stdin=nothing, capture_output=True, timeout=60, check=False)
    assert from_nul.returncode == 6
    assert b"Ctrl" not in from_nul.stderr


def test_every_exit_code_is_passed_on(env: dict[str, str]) -> None:
    """Also from a recalled answer, from the second time on."""
    for code in (255, 256, 259, 2**31 - 1, 2**31, 0xC000013A):
        signed = code if code < 2**31 else code - 2**32
        done = subprocess.run(
            [sys.executable, "-m", "banno_creds", "exec", "--", *python(f"os._exit({signed})")],
            env=os.environ | env,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, b"")


def test_a_negative_exit_code_is_the_shells(env: dict[str, str]) -> None:
    line = [sys.executable, "-m", "banno_creds", "exec", "--", "cmd", "/c", "exit -1"]
    done = subprocess.run(line, env=os.environ | env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2**32 - 1, b"", b"")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_what_powershell_pipes_is_read(process: Cli, encoding: str) -> None:
    result = process("decode", stdin=f"{JWT}\r\n".encode(encoding))
    assert (result.code, result.stdout) == (0, '{\n  "iss": "x"\n}\n')
