"""The options of commands for many profiles: which ones, and how hard they may press their servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.inputs import Argument
from banno_creds.cli.parameters import MANY, F, add_options, complete_profile, complete_tag, option
from banno_creds.config import DEFAULT_GIVE_UP_AFTER, DEFAULT_JOBS, DEFAULT_RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.cli.parameters import Declaration

TAG = option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    section="Profiles",
    shell_complete=complete_tag,
    help="Only profiles with this tag; given twice, those with both.",
    setting_help="A tag to choose profiles by, such as nightly; it is added to those that are there. Repeatable.",
)


def _note_many(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Note that profiles were named, before the default one is looked up."""
    del parameter
    if value:
        context.meta[MANY] = True
    return value


def many_options(command: str) -> Callable[[F], F]:
    """The options of a command that takes many profiles, and how hard they may press their servers.

    They, and the argument with the profiles' names, come before all others: then no profile is in use.
    """
    is_check = command == "check"
    section = "Profiles" if is_check else "Many profiles"
    named = click.argument(
        "names",
        cls=Argument,
        section=section,
        nargs=-1,
        metavar="[PROFILE]...",
        is_eager=True,
        callback=_note_many,
        shell_complete=complete_profile if is_check else None,
        says="The profiles' names." if is_check else "The names of many profiles, with --output jsonl.",
    )
    options = (*_choosing(command, section), *_pacing(command, "Pacing" if is_check else section))
    return lambda function: named(add_options(function, *options))


def _choosing(command: str, section: str) -> tuple[Declaration, ...]:
    return (
        option(
            "--all",
            "every",
            command=command,
            is_flag=True,
            is_eager=True,
            callback=_note_many,
            section=section,
            help="All profiles.",
        ),
        option(
            "--tag",
            "with_tags",  # `tags` is a setting of profiles
            command=command,
            multiple=True,
            metavar="TAG",
            is_eager=True,
            callback=_note_many,
            shell_complete=complete_tag,
            section=section,
            help="All profiles with this tag. Repeatable: then those that have all of the tags.",
        ),
    )


def _pacing(command: str, section: str) -> tuple[Declaration, ...]:
    return (
        option(
            "--jobs",
            command=command,
            type=int,
            metavar="NUMBER",
            default=DEFAULT_JOBS,
            show_default=True,
            section=section,
            help="How many requests each server gets at a time.",
        ),
        option(
            "--rate",
            command=command,
            type=float,
            metavar="NUMBER",
            default=DEFAULT_RATE,
            show_default=True,
            section=section,
            help="How many requests each server gets in a second; 0 for as many as it answers.",
        ),
        option(
            "--give-up-after",
            command=command,
            type=int,
            metavar="NUMBER",
            default=DEFAULT_GIVE_UP_AFTER,
            show_default=True,
            section=section,
            help="Ask a server no more after so many refusals in a row, for a bank blocks addresses that fail often; "
            "0 for never.",
        ),
    )
