"""Words and variables in the real cmd, and the programs that started us."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds import shells
from tests.shellwords import NAMES_OF_VARIABLES, WORDS, passed_on_by_windows_powershell, read_by_powershell

if TYPE_CHECKING:
    from pathlib import Path

ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program that tells its arguments."""
    path = tmp_path_factory.mktemp("echo") / "echo.py"
    path.write_text(ECHO, "utf-8")
    return str(path)


def _told(line: str) -> list[str]:
    done = subprocess.run(line, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("words", [WORDS[:40], WORDS[40:]], ids=["some", "others"])
def test_cmd_passes_each_word_on(echo: str, words: tuple[str, ...]) -> None:
    line = shells.join([sys.executable, echo, *words], "cmd")
    assert _told(f'cmd /d /s /c "{line}"') == list(words)


@pytest.mark.no_wine("its cmd removes carets before it looks for variables")
def test_cmd_passes_the_name_of_a_variable_on(echo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAME", "value")
    line = shells.join([sys.executable, echo, *NAMES_OF_VARIABLES], "cmd")
    assert _told(f'cmd /d /s /c "{line}"') == list(NAMES_OF_VARIABLES)


def test_a_program_reads_what_windows_powershell_makes_of_each_word(echo: str) -> None:
    words = [*WORDS, *NAMES_OF_VARIABLES]
    values = [read_by_powershell(shells.quote(word, "powershell")) for word in words]
    assert _told(passed_on_by_windows_powershell([f'"{sys.executable}"', echo, *values])) == words


@pytest.mark.parametrize("starter", ["cmd.exe", "pwsh.exe", "PowerShell_ISE.exe", "bash.exe"])
def test_the_shell_that_started_us_is_found(tmp_path: Path, starter: str) -> None:
    cmd = shutil.which("cmd")
    assert cmd is not None
    shutil.copy(cmd, tmp_path / starter)
    line = shells.join([sys.executable, "-c", "from banno_creds import shells; print(shells.at_hand())"], "cmd")
    done = subprocess.run(
        f'"{tmp_path / starter}" /d /s /c "{line}"', capture_output=True, text=True, timeout=60, check=False
    )
    expected = {"cmd.exe": "cmd", "pwsh.exe": "pwsh", "bash.exe": "posix"}.get(starter, "powershell")
    assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_a_value_in_cmd_is_what_it_was(tmp_path: Path) -> None:
    variables = {"A": "eyJ.a-b_c~+/=", "B": "x & y | <z> (v) 'q'"}
    (tmp_path / "told.py").write_text("import os; print(os.environ['A'], os.environ['B'])", "utf-8")
    (tmp_path / "values.txt").write_text(shells.assignments(variables, "cmd") + "\n", "utf-8")
    loop = f"for /f \"delims=\" %i in ('type {tmp_path / 'values.txt'}') do @call %i"
    line = f"{loop} & {shells.join([sys.executable, str(tmp_path / 'told.py')], 'cmd')}"
    done = subprocess.run(f'cmd /d /s /c "{line}"', capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == (f"{variables['A']} {variables['B']}", "")


def test_a_file_of_cmd_sets_the_same(tmp_path: Path) -> None:
    variables = {"A": "eyJ.a-b_c~+/=", "B": "x & y | <z> (v) 'q'"}
    (tmp_path / "told.py").write_text("import os; print(os.environ['A'], os.environ['B'])", "utf-8")
    told = shells.join([sys.executable, str(tmp_path / "told.py")], "cmd")
    (tmp_path / "run.cmd").write_text(f"@echo off\n{shells.assignments(variables, 'cmd')}\n{told}\n", "utf-8")
    done = subprocess.run(["cmd", "/d", "/c", tmp_path / "run.cmd"], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (f"{variables['A']} {variables['B']}", "")


def test_the_form_for_cmd_sets_its_variables(ask: list[str], tmp_path: Path) -> None:
    """As docs/windows.md has it: from the server and, the second time, recalled."""
    told = "import os; print(os.environ['BANNO_ACCESS_TOKEN'], os.environ['BANNO_TOKEN_TYPE'])"
    (tmp_path / "told.py").write_text(told, "utf-8")
    get = shells.join([sys.executable, "-m", "banno_creds", *ask, "--output", "cmd"], "cmd")
    line = f"for /f \"delims=\" %i in ('{get}') do @call %i"
    shown = shells.join([sys.executable, str(tmp_path / "told.py")], "cmd")
    for _ in range(2):
        done = subprocess.run(
            f'cmd /d /s /c "{line} & {shown}"', capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stdout.strip(), done.stderr) == ("openid.1 Bearer", "")
