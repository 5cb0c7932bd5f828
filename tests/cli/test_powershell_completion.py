"""Completion for PowerShell: what its script asks of us, and what we answer. No PowerShell runs here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from banno_creds.cli import completion
from banno_creds.cli.groups import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli, Result

pytestmark = pytest.mark.once  # PowerShell is what differs

PROFILES = '[profiles.garden]\nclient_id = "a"\n\n[profiles.granite]\nclient_id = "b"\n'

# The words up to the cursor, and the words that are offered for the last one.
OFFERED = {
    "a command": (("tok",), ["token"]),
    "commands": (("s",), ["serve", "sign-jwt", "sandbox"]),
    "a command of a group": (("profile", "a"), ["add"]),
    "a profile": (("token", "--profile", "g"), ["garden", "granite"]),
    "one profile behind =": (("token", "--profile=gr"), ["--profile=granite"]),
    "a profile behind a file with a blank": (("token", "--private-key", "my key.pem", "--profile", "ga"), ["garden"]),
    "an option": (("token", "--min-t"), ["--min-ttl"]),
    "a choice": (("token", "-o", "p"), ["powershell"]),
    "a choice behind =": (("token", "--output=c"), ["--output=cmd"]),
    "a rule": (("explain", "token.ty"), ["token.type"]),
    "a shell": (("completion", "p"), ["powershell"]),
    "nothing behind what is misspelt": (("tokn", "--o"), []),
}


def _ask(process: Cli, home: Path, *words: str) -> Result:
    (home / "config.toml").write_text(PROFILES, "utf-8")
    lines = "\n".join(("banno-creds", *words))
    variables = {"COMP_WORDS": lines, "_BANNO_CREDS_COMPLETE": "powershell_complete"}
    return process(env={**variables, "BANNO_CREDS_CONFIG": str(home / "config.toml")})


def _lines(result: Result) -> list[list[str]]:
    assert (result.code, result.stderr) == (0, "")
    return [line.split("\t") for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize(("words", "offered"), OFFERED.values(), ids=OFFERED)
def test_the_last_word_is_completed(process: Cli, tmp_path: Path, words: tuple[str, ...], offered: list[str]) -> None:
    lines = _lines(_ask(process, tmp_path, *words))
    assert [value for _, value, _ in lines] == offered
    assert all(kind == "plain" and said for kind, _, said in lines)


@pytest.mark.parametrize("words", [(), ("",)])
def test_without_a_word_each_command_is_offered_with_what_it_does(
    process: Cli, tmp_path: Path, words: tuple[str, ...]
) -> None:
    lines = _lines(_ask(process, tmp_path, *words))
    assert {value: said for _, value, said in lines if value in COMMANDS} == COMMANDS


@pytest.mark.parametrize("word", ["pri", "", "--private-key=pri", "--private-key=my k"])
def test_a_file_is_left_to_powershell(process: Cli, tmp_path: Path, word: str) -> None:
    words = ("token", word) if word.startswith("-") else ("token", "--private-key", word)
    assert _lines(_ask(process, tmp_path, *words)) == [["file", word, word or "-"]]


def test_the_script_is_all_that_is_printed_and_its_brackets_match(process: Cli) -> None:
    result = process("completion", "powershell")
    assert (result.code, result.stderr) == (0, "")
    script = result.stdout
    assert script.startswith("Register-ArgumentCompleter -Native -CommandName banno-creds -ScriptBlock {\n")
    assert script.isascii()
    assert "%" not in script
    opened: list[str] = []
    for char in re.sub("'[^']*'", "", re.sub('"[^"]*"', "", script)):
        if char in "({[":
            opened.append(char)
        elif char in ")}]":
            assert opened.pop() + char in ("()", "{}", "[]")
    assert not opened


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_on_windows_the_others_lead_to_powershells(cli: Cli, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setattr(completion, "of_windows", lambda: True)
    result = cli("completion", shell)
    assert result.code == 0
    assert "_BANNO_CREDS_COMPLETE" in result.stdout
    assert result.stderr == (
        f"!   This completes in {shell}, such as Git's, and in no shell of Windows\n"
        "    for PowerShell: banno-creds completion powershell\n"
    )
