"""How Windows finds a program, and how a batch file gets its arguments: what can be told on every system."""

from __future__ import annotations

import pytest

from banno_creds.windows_programs import NotForBatchFilesError, command_line, places

pytestmark = pytest.mark.once

ENVIRONMENT = {"PATH": r'C:\a;"C:\b c";;C:\d', "PATHEXT": ".COM;.EXE;.CMD", "SYSTEMROOT": r"C:\Windows"}


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("npm", [r"C:\a\npm.COM", r"C:\a\npm.EXE", r"C:\a\npm.CMD", r"C:\b c\npm.COM"]),
        ("npm.cmd", [r"C:\a\npm.cmd", r"C:\a\npm.cmd.COM", r"C:\a\npm.cmd.EXE"]),
        ("python3.11", [r"C:\a\python3.11", r"C:\a\python3.11.COM", r"C:\a\python3.11.EXE"]),
        (r".\npm", [r".\npm.COM", r".\npm.EXE", r".\npm.CMD", r".\npm"]),
        ("sub/npm", ["sub/npm.COM", "sub/npm.EXE", "sub/npm.CMD", "sub/npm"]),
        (r"D:npm", ["D:npm.COM", "D:npm.EXE", "D:npm.CMD", "D:npm"]),
        (r"\\server\share\x.exe", [r"\\server\share\x.exe"]),
    ],
)
def test_a_command_is_looked_for_with_the_endings_of_pathext(name: str, where: list[str]) -> None:
    assert list(places(name, ENVIRONMENT))[: len(where)] == where


def test_the_current_folder_comes_after_all_that_is_installed() -> None:
    """A file that lies there gets no token in the place of a program that is installed."""
    found = list(places("npm", ENVIRONMENT))
    assert found[9:12] == [r".\npm.COM", r".\npm.EXE", r".\npm.CMD"]
    assert found[12:] == [r"C:\a\npm", r"C:\b c\npm", r"C:\d\npm", r".\npm"]
    without = list(places("npm", ENVIRONMENT | {"NoDefaultCurrentDirectoryInExePath": "1"}))
    assert without == [place for place in found if not place.startswith(".")]


def test_without_pathext_there_are_the_usual_endings() -> None:
    for unset in ({}, {"PATHEXT": ""}):
        assert list(places("x", {"PATH": "C:\\a"} | unset))[:4] == [
            f"C:\\a\\x{end}" for end in (".COM", ".EXE", ".BAT", ".CMD")
        ]


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("plain", "plain"),
        ("--a=b", '"--a=b"'),
        (r"C:\dir\file.txt", r"C:\dir\file.txt"),
        ("", '""'),
        ("a b", '"a b"'),
        ("&calc", '"&calc"'),
        ("a|b>c<d^e(f)!g", '"a|b>c<d^e(f)!g"'),
        ('"&calc&"', '"""&calc&"""'),
        ('{"a": "b"}', '"{""a"": ""b""}"'),
        ("dir\\", '"dir\\\\"'),
        ('a\\"b', '"a\\\\""b"'),
        ("a;b,c", '"a;b,c"'),
        ("Größe", '"Größe"'),
        ("100%", '"100%"'),
        ("a%20b%3Dc", '"a%20b%3Dc"'),
    ],
)
def test_an_argument_of_a_batch_file_is_quoted_so_that_nothing_in_it_means_anything(
    argument: str, written: str
) -> None:
    line, program = command_line(r"C:\b c\npm.CMD", ["npm", argument], ENVIRONMENT)
    assert line == f'cmd.exe /d /e:on /v:off /s /c ""C:\\b c\\npm.CMD" {written}"'
    assert program == r"C:\Windows\System32\cmd.exe"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["a\nb"], "a line end in an argument"),
        (["a\r"], "a line end in an argument"),
        (["%PATH%"], "%PATH% in an argument"),
        (["%path%"], "%path% in an argument"),
        (["x%Path:~0,1%"], "%Path:~0,1% in an argument"),
        (["%cd%"], "%cd% in an argument"),
        (["%=C:%"], "%=C:% in an argument"),
        (["100%PATH%"], "%PATH% in an argument"),
        (["%%PATH%%"], "%PATH% in an argument"),
        (['%"', "PATH%"], None),
        (["%a b%"], "%a b% in an argument"),
    ],
)
def test_what_no_quotes_keep_from_cmd_is_refused(arguments: list[str], what: str | None) -> None:
    environment = ENVIRONMENT | {"A B": "1"}
    if what is None:
        command_line(r"C:\x.bat", ["x", *arguments], environment)
    else:
        with pytest.raises(NotForBatchFilesError) as caught:
            command_line(r"C:\x.bat", ["x", *arguments], environment)
        assert caught.value.what == what
    line, _ = command_line(r"C:\x.exe", ["x", *arguments], environment)  # a program reads no variables
    assert all(argument in line.replace("\\", "") for argument in arguments)


def test_a_program_gets_the_name_that_was_typed_and_is_loaded_from_where_it_was_found() -> None:
    assert command_line(r"C:\a b\x.EXE", ["x", "a b", 'c"'], {}) == (r'x "a b" c\"', r"C:\a b\x.EXE")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["cmd", "/c", 'echo "a b" & echo c'], 'cmd /c "echo "a b" & echo c"'),
        (["cmd", "/d", "/C", '"C:\\a b\\x.bat"'], 'cmd /d /C ""C:\\a b\\x.bat""'),
        (["cmd", "/c", "echo", "a b"], 'cmd /c echo "a b"'),
        (["cmd", "/c", "exit 3"], 'cmd /c "exit 3"'),
        (["cmd"], "cmd"),
    ],
)
def test_a_line_for_cmd_is_given_as_it_is(arguments: list[str], line: str) -> None:
    assert command_line(r"C:\Windows\System32\cmd.exe", arguments, {})[0] == line
