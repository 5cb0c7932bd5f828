"""``banno-creds explain``: what an OAuth error or a rule means, and what to do about it."""

from __future__ import annotations

import sys
from json import dumps
from typing import TYPE_CHECKING

import click

from banno_creds.cli.inputs import Argument
from banno_creds.cli.options import Command, option
from banno_creds.cli.report import write_result
from banno_creds.errors import ConfigurationError
from banno_creds.rules.explanations import EXPLANATIONS, GROUPS, meant, paragraphs, question, wrap
from banno_creds.rules.findings import shown

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_VERSION = 1  # of the JSON
_MOST_COLUMNS = 100  # longer lines are hard to read
_LEAST_COLUMNS = 40
_COMMAND = "    "  # what begins so stays on its line, to be copied


def complete_name(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a rule or an error.

    Args:
        context: the command line so far.
        parameter: what is completed.
        incomplete: what was typed of it.

    Returns:
        The names that begin so, each with its title for the shells that show one.
    """
    del context, parameter
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(str(name), help=explanation.title)
        for name, explanation in EXPLANATIONS.items()
        if name.startswith(incomplete)
    ]


@click.command("explain", cls=Command)
@click.argument(
    "name",
    cls=Argument,
    says="An id, or a part that no other has; nothing to list them all.",
    required=False,
    metavar="[RULE|ERROR]",
    shell_complete=complete_name,
)
@option(
    "--output",
    "-o",
    command="explain",
    section="Output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or a JSON object with its version.",
)
def command(name: str | None, output: str) -> None:
    """Say what an OAuth error or a rule means, how it comes about, and what to do.

    RULE is an id such as assertion.exp.past, or exp.past for short; ERROR is an OAuth error code such as
    invalid_client. The same is on the page docs/errors.md.
    """
    if name is None:
        write_result(dumps(_everything(), indent=2) if output == "json" else "\n".join(_list(_columns())))
        return
    found = _find(name)
    if output == "json":
        write_result(dumps({"version": _VERSION, **_members(found)}, indent=2))
    else:
        write_result("\n".join(_text(found, _columns())))


def _find(name: str) -> str:
    """The one id that is meant."""
    found = meant(name)
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigurationError(
            f"there is more than one that {shown(name)} may mean",
            hint=f"give more of it: banno-creds explain {found[0]}",
            details=(", ".join(found),),
        )
    from difflib import get_close_matches

    # Who names a rule often names its last words alone, which would be unlike the whole.
    whole = {ending: rule for rule in EXPLANATIONS for ending in (rule, rule.partition(".")[2]) if ending}
    near = get_close_matches(name.strip().lower(), whole, 1)
    raise ConfigurationError(
        f"there is no rule or error {shown(name)}",
        hint=f"did you mean: banno-creds explain {whole[near[0]]}" if near else "banno-creds explain lists them",
    )


def _columns() -> int:
    """How wide a line may be: whatever it takes where no terminal shows it, for whoever reads it may wrap it."""
    if sys.stdout is None or not sys.stdout.isatty():
        return sys.maxsize
    from shutil import get_terminal_size

    return max(_LEAST_COLUMNS, min(get_terminal_size().columns, _MOST_COLUMNS))


def _text(name: str, columns: int) -> list[str]:
    lines: list[str] = []
    for paragraph in (f"{name}: {EXPLANATIONS[name].title}", *paragraphs(name)):
        lines += ["", *([paragraph] if paragraph.startswith(_COMMAND) else wrap(paragraph, columns))]
    return lines[1:]


def _list(columns: int) -> list[str]:
    lines: list[str] = []
    for heading, group in GROUPS.items():
        lines += ["", heading] if lines else [heading]
        width = max(map(len, group))
        for name, explanation in group.items():
            lines += wrap(f"  {name:{width}}  {explanation.title}", columns, " " * (width + 4))
    return lines


def _members(name: str) -> dict[str, str | None]:
    return {"id": name, **EXPLANATIONS[name]._asdict(), "question": question(name)}


def _everything() -> dict[str, object]:
    return {"version": _VERSION, "explanations": [_members(name) for name in EXPLANATIONS]}
