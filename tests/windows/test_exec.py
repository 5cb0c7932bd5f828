"""``banno-creds exec`` on Windows: what a shell there finds, and arguments that ``cmd`` reads nothing into."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CLIENT_ID, Result

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer


@pytest.fixture
def execute(process: Cli, tmp_path: Path, issuer: Issuer, ec_pem: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in a folder of its own, which comes first in PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    usual = {
        "BANNO_CREDS_CACHE_DIR": str(tmp_path / "cache"),
        "BANNO_CREDS_CLIENT_ID": CLIENT_ID,
        "BANNO_CREDS_PRIVATE_KEY": str(ec_pem),
        "BANNO_CREDS_TOKEN_ENDPOINT": issuer.url,
        "PATH": f"{tmp_path / 'bin'};{os.environ['PATH']}",
    }

    def call(*args: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        return process("exec", "--", *args, stdin=stdin, env=usual | dict(env or {}))

    return call


def _batch(path: Path, line: str) -> Path:
    path.write_text(f"@{line}\r\n", encoding="ascii", newline="")
    return path


def test_a_batch_file_is_found_without_its_ending_and_before_a_script_for_another_shell(
    execute: Cli, tmp_path: Path
) -> None:
    """As npm lies there: ``npm`` for a POSIX shell, and ``npm.cmd``."""
    (tmp_path / "bin" / "tool").write_text("#!/bin/sh\n")
    _batch(tmp_path / "bin" / "tool.cmd", "echo %BANNO_ACCESS_TOKEN%& exit /b 7")
    for name in ("tool", "TOOL", "tool.cmd", str(tmp_path / "bin" / "tool"), "..\\bin\\tool", "../bin/tool"):
        assert execute(name) == Result(7, "openid.1\r\n", ""), name


def test_what_is_installed_comes_before_what_lies_in_the_current_folder(execute: Cli, tmp_path: Path) -> None:
    _batch(tmp_path / "here" / "tool.bat", "echo here")
    assert execute("tool").stdout == "here\r\n"
    assert execute(".\\tool").stdout == "here\r\n"
    assert execute("tool", env={"NoDefaultCurrentDirectoryInExePath": "1"}) == Result(
        127, "", "✗   There is no command 'tool'\n    Next: check its spelling, and PATH\n"
    )
    _batch(tmp_path / "bin" / "tool.cmd", "echo installed")
    assert execute("tool").stdout == "installed\r\n"


def test_arguments_reach_what_a_batch_file_calls_as_they_are(execute: Cli, tmp_path: Path) -> None:
    arguments = [
        *("a b", "", "x", "&echo injected", '"&echo injected&"', 'a"b', "|more", "^&<>()!x!", "dir\\", 'q\\"uote'),
        *("a=b", "c,d;e", '{"a": "b & c"}', "Größe"),
    ]
    called = f'"{sys.executable}" -S -c "import sys, json; print(json.dumps(sys.argv[1:]))" %*'
    _batch(tmp_path / "bin" / "tool.bat", called)
    result = execute("tool", *arguments)
    assert (result.code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == arguments


@pytest.mark.parametrize(
    ("argument", "what", "hint"),
    [
        ("a\r\necho injected", "a line end in an argument", "give the text in a file"),
        ("%BANNO_ACCESS_TOKEN%", "%BANNO_ACCESS_TOKEN% in an argument", "write the variable's value instead"),
        ("%path%", "%path% in an argument", "write the variable's value instead"),
        ("x" * 8190, "so many arguments", "give them in a file"),
    ],
)
def test_what_cmd_would_replace_is_refused_before_a_token_is_asked_for(
    execute: Cli, issuer: Issuer, tmp_path: Path, argument: str, what: str, hint: str
) -> None:
    _batch(tmp_path / "bin" / "tool.cmd", "echo %1")
    assert execute("tool", argument) == Result(
        2, "", f"✗   'tool' is a batch file, and cmd would not pass on {what} as it is\n    Next: {hint}\n"
    )
    assert issuer.forms == []


def test_a_file_that_windows_does_not_run_is_126(execute: Cli, issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "bin" / "tool.ps1").write_text("exit")
    (tmp_path / "here" / "script").write_text("#!/bin/sh\n")
    (tmp_path / "here" / "broken.exe").write_text("no program")
    hint = "    Next: name the program that runs it: banno-creds exec --"
    kind = "cannot be run: Windows runs no file of this kind by itself"
    assert execute("tool.ps1") == Result(126, "", f"✗   'tool.ps1' {kind}\n{hint} powershell -File tool.ps1\n")
    assert execute(".\\script") == Result(126, "", f"✗   '.\\script' {kind}\n{hint} PROGRAM .\\script\n")
    assert issuer.forms == []
    broken = execute("broken.exe")
    assert (broken.code, broken.stdout) == (126, "")
    assert "%1" not in broken.stderr  # Windows' words have it in the place of the name
    assert execute(str(tmp_path)).code == 126


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("dir", 'it is a shell\'s own: banno-creds exec -- cmd /c "dir …"'),
        ("Get-Date", 'it is PowerShell\'s own: banno-creds exec -- powershell -Command "Get-Date …"'),
        ("%TOOL%", "a shell would have replaced its beginning"),
        ("A=1", "set the variable before: $env:A = '…' in PowerShell, set A=… in cmd"),
        ("no-such.exe", "check its spelling, and PATH"),
        (".\\no-such", "check its spelling, and PATH"),
        (".\\Größe", "check its spelling, and PATH"),
    ],
)
def test_what_is_not_there_is_127_with_a_hint(execute: Cli, issuer: Issuer, name: str, hint: str) -> None:
    result = execute(name)
    assert (result.code, result.stdout, issuer.forms) == (127, "", [])
    assert f"✗   There is no command '{name}'\n" in result.stderr
    assert f"    Next: {hint}" in result.stderr


def test_a_line_for_cmd_keeps_its_quotation_marks(execute: Cli) -> None:
    result = execute("cmd", "/c", 'echo "a b"& echo %BANNO_TOKEN_TYPE%')
    assert result == Result(0, '"a b"\r\nBearer\r\n', "")


def test_variables_are_taken_away_whatever_the_case_of_their_names(execute: Cli) -> None:
    names = {"banno_creds_my_secret": "SECRET", "Banno_Access_Token": "OLD"}
    shown = execute("cmd", "/c", "set banno", env=names)
    assert "SECRET" not in shown.stdout
    assert "OLD" not in shown.stdout
    assert "BANNO_ACCESS_TOKEN=openid.1" in shown.stdout
    assert "PRIVATE_KEY" not in shown.stdout.upper()
