"""Words for the shell at hand: each reaches the program as it is."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from banno_creds import shells

from .shellwords import (
    NAMES_OF_VARIABLES,
    WORDS,
    passed_on_by_windows_powershell,
    read_by_a_program,
    read_by_cmd,
    read_by_powershell,
)

if TYPE_CHECKING:
    from banno_creds.shells import Shell

every_word = pytest.mark.parametrize("word", [*WORDS, *NAMES_OF_VARIABLES])

# How a word is written for cmd, Windows PowerShell, and PowerShell.
FORMS: dict[str, tuple[str, str, str]] = {
    "private.pem": ("private.pem",) * 3,
    r"sub\p.pem": (r"sub\p.pem",) * 3,
    "C:\\keys\\": ("C:\\keys\\",) * 3,
    r"C:\my keys\p.pem": (r'"C:\my keys\p.pem"',) * 3,
    "openid profile": ('"openid profile"',) * 3,
    "it's": ('"it\'s"',) * 3,
    "a&b": ('"a&b"',) * 3,
    "@x": ('"@x"',) * 3,
    "--%": ('"--%"',) * 3,
    "~": ('"~"',) * 3,
    "-x.y": ('"-x.y"',) * 3,
    "50%": ('"50%"',) * 3,
    "": ('""', "'\"\"'", "''"),
    "C:\\my keys\\": ('"C:\\my keys\\\\"', "'C:\\my keys\\\\'", "'C:\\my keys\\'"),
    "$HOME": ('"$HOME"', "'$HOME'", "'$HOME'"),
    "%PATH%": ('^"^%PATH^%^"', "'%PATH%'", "'%PATH%'"),
    '{"a":1}': (r'^"{\^"a\^":1}^"', r"""'{\"a\":1}'""", """'{"a":1}'"""),
    'a "b"': (r'^"a \^"b\^"^"', """'a ""b""'""", """'a "b"'"""),
    "\u2018$\u2019": ('"\u2018$\u2019"', "'\u2018\u2018$\u2019\u2019'", "'\u2018\u2018$\u2019\u2019'"),
}


@pytest.mark.parametrize("word", FORMS)
def test_a_word_is_written_for_each_shell(word: str) -> None:
    names: tuple[Shell, ...] = ("cmd", "powershell", "pwsh")
    assert tuple(shells.quote(word, name) for name in names) == FORMS[word]


@every_word
def test_a_posix_shell_passes_it_on(word: str) -> None:
    assert shlex.split(shells.quote(word, "posix")) == [word]


@every_word
def test_cmd_passes_it_on(word: str) -> None:
    assert read_by_a_program(read_by_cmd(shells.join(["p", word, "end"], "cmd"))) == ["p", word, "end"]


@every_word
def test_windows_powershell_passes_it_on(word: str) -> None:
    value = read_by_powershell(shells.quote(word, "powershell"))
    assert read_by_a_program(passed_on_by_windows_powershell(["p", value, "end"])) == ["p", word, "end"]


@every_word
def test_powershell_passes_it_on(word: str) -> None:
    assert read_by_powershell(shells.quote(word, "pwsh")) == word


def test_a_program_in_quotes_is_run_by_powershell() -> None:
    words = [r"C:\my programs\banno-creds.exe", "keygen"]
    assert shells.join(words, "powershell") == r'& "C:\my programs\banno-creds.exe" keygen'
    assert shells.join(words, "cmd") == r'"C:\my programs\banno-creds.exe" keygen'
    assert shells.join(["/my programs/banno-creds", "keygen"], "posix") == "'/my programs/banno-creds' keygen"


@pytest.mark.posix("another shell is at hand on Windows")
def test_the_shell_at_hand_is_posix() -> None:
    assert (shells.at_hand(), shells.of_windows()) == ("posix", False)
    assert shells.quote(r"sub\p q.pem") == r"'sub\p q.pem'"


def test_variables_are_set_in_each_shell() -> None:
    variables = {"A": "x'y", "B": ""}
    assert shells.assignments(variables, "posix") == "export A='x'\"'\"'y' B=''"
    assert shells.assignments(variables, "powershell") == "$env:A = 'x''y'; $env:B = ''"
    assert shells.assignments(variables, "cmd") == 'set "A=x\'y"\nset "B="'


def test_powershell_takes_typographic_quotes_for_quotes() -> None:
    assert (
        shells.assignments({"A": "\u2018\u201b\u201c"}, "powershell") == "$env:A = '\u2018\u2018\u201b\u201b\u201c'"
    )


@pytest.mark.parametrize("value", ['a"b', "50%", "a!b", "a^b", "a\nb", "a\x00b", "a" * 8001])
def test_what_cmd_would_change_is_no_value_for_it(value: str) -> None:
    with pytest.raises(ValueError, match="NAME"):
        shells.assignments({"NAME": value}, "cmd")
