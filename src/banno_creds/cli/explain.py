"""``banno-creds explain``: what an OAuth error or a rule means, and what to do about it."""

from __future__ import annotations

import re
import sys
from json import dumps
from typing import TYPE_CHECKING

import click

from banno_creds.cli.inputs import Argument, read_pasted
from banno_creds.cli.parameters import Choice, Command, option
from banno_creds.cli.report import write_result
from banno_creds.errors import ConfigurationError
from banno_creds.rules.explanations import EXPLANATIONS, groups
from banno_creds.rules.shown import shown

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_VERSION = 1  # of the JSON
_MOST_COLUMNS = 100  # longer lines are hard to read
_LEAST_COLUMNS = 40
_LEAST_TITLE = 24  # so much room a title wants beside its id
_MOST_ANSWERS = 5
_COMMAND = "    "  # a line that begins so is never broken, so that it can be copied


def complete_name(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a rule or an error, with its title for the shells that show one."""
    del context, parameter
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(name, help=explanation.title)
        for name, explanation in EXPLANATIONS.items()
        if name.startswith(incomplete)
    ]


@click.command("explain", cls=Command)
@click.argument(
    "name",
    cls=Argument,
    says="An id or a part of it, a word of a title, or what a server said; - to read it from standard input. "
    "Nothing lists all ids.",
    nargs=-1,
    metavar="[RULE|ERROR|TEXT]",
    shell_complete=complete_name,
)
@option(
    "--output",
    "-o",
    command="explain",
    section="Output",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text for people, or a JSON object with its version.",
)
def command(name: tuple[str, ...], output: str) -> None:
    """Say what an OAuth error or a rule means, what causes it, and what to do.

    RULE is an id such as assertion.exp.past, or exp.past for short; ERROR is an OAuth error code such as
    invalid_client. TEXT is what a server said, a whole answer or line: its words, an HTTP status, an errorCode. The
    same texts are on one page: src/banno_creds/rules/errors.md.
    """
    if not name:
        write_result(dumps(_everything(), indent=2) if output == "json" else "\n".join(_list(_columns())))
        return
    first, *others = _find(read_pasted("explain", "text", name, None) if name == ("-",) else " ".join(name))
    if output == "json":
        also = {"also": others} if others else {}
        write_result(dumps({"version": _VERSION, **_members(first), **also}, indent=2))
        return
    lines = _text(first, _columns())
    if others:
        lines += ["", *_wrap(f"It may also be: {', '.join(others)}.", _columns())]
    write_result("\n".join(lines))


def _find(name: str) -> tuple[str, ...]:
    """Return the one id that matches a name, or those that a text is about, the likeliest first."""
    found = () if name.strip().isdigit() else _matching(name)
    is_name = re.fullmatch(r"\s*[A-Za-z]+(?:[._][A-Za-z]+)*\s*", name) is not None
    titled = tuple(one for one in _titled(name) if one not in found) if is_name else ()
    if len(found) == 1:
        return (*found, *titled)[:_MOST_ANSWERS] if found[0] != name.strip().lower() else found
    near = _nearest(name) if is_name else None
    if (not found and near is None) or not is_name:
        from banno_creds.rules.wordings import recognise

        if about := recognise(name):
            return about[:_MOST_ANSWERS]
    if found:
        raise ConfigurationError(
            f"there are several rules or errors that match {shown(name)}",
            hint=f"give more of the name: banno-creds explain {found[0]}",
            details=(", ".join((*found, *titled)),),
        )
    if titled:
        return titled[:_MOST_ANSWERS]
    near = near or _nearest(name)
    raise ConfigurationError(
        f"there is no rule or error {shown(name)}",
        hint=f"did you mean: banno-creds explain {near}" if near else "banno-creds explain lists them",
    )


def _nearest(name: str) -> str | None:
    from difflib import get_close_matches

    # People often type only the last words of a rule's id, which are unlike the whole id.
    whole = {ending: rule for rule in EXPLANATIONS for ending in (rule, rule.partition(".")[2]) if ending}
    near = get_close_matches(name.strip().lower(), whole, 1)
    return whole[near[0]] if near else None


def _matching(name: str) -> tuple[str, ...]:
    """Return the id that equals a name; else those that begin with it, or end with it, or have it between dots."""
    name = name.strip(" \t\r\n`'\"()[]:,.").lower()
    if not name:
        return ()
    if name in EXPLANATIONS:
        return (name,)
    begin = tuple(one for one in EXPLANATIONS if one.startswith(name))
    end = tuple(one for one in EXPLANATIONS if one.endswith(f".{name}"))
    return begin or end or tuple(one for one in EXPLANATIONS if f".{name}." in one)


def _titled(word: str) -> tuple[str, ...]:
    """Return the ids whose titles have a word."""
    whole = re.compile(rf"\b{re.escape(word.strip())}\b", re.IGNORECASE)
    return tuple(one for one, explanation in EXPLANATIONS.items() if whole.search(explanation.title))


def _columns() -> int:
    """Return the most characters of a line: no limit in a pipe, whose reader may wrap the text itself."""
    if sys.stdout is None or not sys.stdout.isatty():
        return sys.maxsize
    from shutil import get_terminal_size

    return max(_LEAST_COLUMNS, min(get_terminal_size().columns, _MOST_COLUMNS))


def _text(name: str, columns: int) -> list[str]:
    title, cause, fix, more, question = EXPLANATIONS[name]
    paragraphs = [f"{name}: {title}", cause, f"Fix: {fix}."]
    paragraphs += more.split("\n\n") if more else []
    paragraphs += [f"Ask the administrator: {question}"] if question else []
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += ["", *([paragraph] if paragraph.startswith(_COMMAND) else _wrap(paragraph, columns))]
    return lines[1:]


def _list(columns: int) -> list[str]:
    lines: list[str] = []
    for heading, names in groups().items():
        lines += ["", heading] if lines else [heading]
        width = max(map(len, names))
        for name in names:
            if columns - width < _LEAST_TITLE:
                lines += [f"  {name}", *_wrap(f"    {EXPLANATIONS[name].title}", columns, "    ")]
            else:
                lines += _wrap(f"  {name:{width}}  {EXPLANATIONS[name].title}", columns, " " * (width + 4))
    return lines


def _wrap(text: str, columns: int, hang: str = "") -> list[str]:
    """Break a paragraph into lines. Words and code in backticks stay whole, to be copied and searched for."""
    from textwrap import wrap

    whole = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), text)
    lines = wrap(whole, columns, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def _members(name: str) -> dict[str, str | None]:
    return {"id": name, **EXPLANATIONS[name]._asdict()}


def _everything() -> dict[str, object]:
    return {"version": _VERSION, "explanations": [_members(name) for name in EXPLANATIONS]}
