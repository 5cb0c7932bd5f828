"""Help: short and whole, with examples that the parser takes, on a terminal of any width."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from banno_creds.cli.help import ON_WINDOWS, TOPICS, examples
from banno_creds.cli.main import cli as group
from tests.terminal import at_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cli


def _paths(parent: click.Group = group, path: str = "") -> Iterator[str]:
    context = click.Context(parent)
    for name in parent.list_commands(context):
        yield f"{path} {name}".strip()
        command = parent.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _paths(command, name)


PATHS = ("", *_paths(), "help")


def _commands(example: str) -> Iterator[list[str]]:
    """Yield the arguments of each of our commands in an example."""
    plain = re.sub(r'"?\$\(|\)"?|\n|\$\w+ = ', " ; ", example)
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=";|&<>")
    lexer.whitespace_split = True
    command: list[str] = []
    for word in (*lexer, ";"):
        if word.strip(";|&<>"):
            command.append(word)
        else:
            if command[:1] == ["banno-creds"]:
                yield command[1:]
            command = []


TEXTS = [(path, text) for path in TOPICS for text in (*TOPICS[path].examples, *ON_WINDOWS.get(path, ()))]
EXAMPLES = [(path, arguments) for path, text in TEXTS for arguments in _commands(text)]


def test_every_command_has_examples_and_nothing_else_has() -> None:
    assert set(TOPICS) == set(PATHS)
    assert all(TOPICS[path].examples for path in PATHS)
    assert {path for path, _ in EXAMPLES} == set(PATHS)


@pytest.mark.parametrize(
    "arguments", [words for _, words in EXAMPLES], ids=[" ".join(words) for _, words in EXAMPLES]
)
def test_the_parser_takes_each_example(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text('[profiles.garden]\nclient_id = "a"\n')
    parsed: list[str] = []
    monkeypatch.setattr(click.Command, "invoke", lambda _, context: parsed.append(context.command_path))
    monkeypatch.chdir(tmp_path)
    env = {"BANNO_CREDS_CONFIG": "config.toml", "BANNO_CREDS_CLIENT_ID": "a"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    group.main(arguments, prog_name="banno-creds", standalone_mode=False)
    assert arguments[0] == "help" or parsed[-1].startswith(f"banno-creds {arguments[0]}")


@pytest.mark.parametrize("path", [path for path in PATHS if path != "help"])
def test_the_short_help_begins_with_two_examples_and_leads_to_all(cli: Cli, path: str) -> None:
    result = cli(*path.split(), "-h")
    assert (result.code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"Usage: banno-creds {path}".strip())
    assert any(line in ("Examples:", "Example:") for line in lines[:6])
    assert re.search(rf"^All (options|commands): banno-creds {path} ?--help$".replace("  ", " "), lines[-1])
    assert len(lines) <= 36
    assert len(lines) < len(cli(*path.split(), "--help").stdout.splitlines())


@pytest.mark.parametrize("path", PATHS)
def test_the_short_help_names_the_options_that_most_need(cli: Cli, path: str) -> None:
    shown = cli(*path.split(), "-h").stdout
    for name in TOPICS[path].first:
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", shown), name


@pytest.mark.parametrize("path", [path for path in PATHS if path != "help"])
def test_help_as_a_command_is_the_whole_help(cli: Cli, path: str) -> None:
    whole = cli(*path.split(), "--help")
    assert (whole.code, whole.stderr) == (0, "")
    assert cli("help", *path.split()) == whole
    first = "\n".join(whole.stdout.splitlines()[:8])
    assert re.split(r"\n| --| \|", examples(path)[0])[0] in first


@pytest.mark.parametrize("path", PATHS)
def test_what_the_short_help_says_of_an_option_stands_alone(cli: Cli, path: str) -> None:
    shown = " ".join(cli(*path.split(), "-h", env={"COLUMNS": "100"}).stdout.partition("Needed most:")[2].split())
    for leans in ("The same", "What to ", "Make no ", "Do not wait", "Its ", "For people", "Use no default"):
        assert leans not in shown


def test_a_group_has_the_command_too(cli: Cli) -> None:
    assert cli("profile", "help", "add") == cli("profile", "add", "--help")
    assert cli("cache", "help") == cli("cache", "--help")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["tokn"], "there is no command 'tokn'\n    Next: did you mean: banno-creds token"),
        (["profile", "lst"], "there is no command 'lst' of banno-creds profile\n    Next: did you mean: banno-creds"),
        (["token", "x"], "banno-creds token has no commands of its own\n    Next: banno-creds token --help\n"),
    ],
)
def test_help_of_what_there_is_not_leads_on(cli: Cli, args: list[str], said: str) -> None:
    result = cli("help", *args)
    assert (result.code, result.stdout) == (2, "")
    assert said.lower() in result.stderr.lower()


@pytest.mark.parametrize("columns", [40, 80, 100])
@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("path", PATHS)
def test_no_line_is_wider_than_the_terminal(cli: Cli, path: str, option: str, columns: int) -> None:
    shown = cli(*path.split(), option, env={"COLUMNS": str(columns)}).stdout
    copied = "\n".join(examples(path))
    for line in shown.splitlines():
        # A word of an example is never broken: it is there to be copied.
        assert len(line) <= columns or line.split()[-1].rstrip("\\") in copied, line
        assert line == line.rstrip()


def test_a_variable_is_named_whole_where_it_fits(cli: Cli) -> None:
    shown = " ".join(cli("token", "--help", env={"COLUMNS": "40"}).stdout.split())
    for name in ("CLIENT_ID", "PRIVATE_KEY", "TOKEN_ENDPOINT", "ALLOW_WRITABLE_KEY", "CLIENT_SECRET_FILE"):
        assert f"env var: BANNO_CREDS_{name}]" in shown


@pytest.mark.posix("a pseudo-terminal")
def test_the_width_is_the_terminals() -> None:
    seen = at_terminal("-m", "banno_creds", "token", "-h", stdout=True, columns=40)
    assert (seen.code, max(map(len, seen.lines))) == (0, 40)
    wide = at_terminal("-m", "banno_creds", "token", "--help", stdout=True, columns=150)
    assert 90 < max(map(len, wide.lines)) <= 100
    assert "\x1b" not in wide.screen


def test_what_people_need_first_comes_first(cli: Cli) -> None:
    headings = re.findall(r"^(\S.*):$", cli("token", "--help").stdout, re.MULTILINE)
    usual = ["Client", "Output", "Request", "Server", "Cache", "Assertion"]
    assert headings == ["Examples", *usual, "Many profiles", "Options"]
    assert re.findall(r"^(\S.*):$", cli("doctor", "--help").stdout, re.MULTILINE)[:2] == ["Examples", "Examination"]


@pytest.mark.parametrize("path", PATHS)
def test_what_may_be_left_out_has_whole_brackets(cli: Cli, path: str) -> None:
    for form in ("-h", "--help"):
        shown = cli(*path.split(), form).stdout
        assert shown.count("[") == shown.count("]"), (path, form)
    if "[PROFILE]..." in shown:
        assert "\n  PROFILE..." in shown
        assert "\n  PROFILE..." in cli(*path.split(), "-h").stdout or path == "token"
