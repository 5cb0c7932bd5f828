"""``banno-creds check``: which of many profiles get a token, and what is wrong with the others."""

from __future__ import annotations

from typing import Any

import click

from banno_creds.cli.many_options import many_options
from banno_creds.cli.options import check_options
from banno_creds.cli.parameters import Choice, Command, option
from banno_creds.cli.report import check_stdout


@click.command("check", cls=Command)
@many_options("check")
@check_options
@option(
    "--offline",
    command="check",
    is_flag=True,
    section="Check",
    help="Check the settings and the keys, and ask no server.",
)
@option(
    "--keep",
    command="check",
    is_flag=True,
    section="Check",
    help="Leave the tokens in the cache, where `token`, `exec` and `api` find them.",
)
@option(
    "--only-failed",
    command="check",
    is_flag=True,
    section="Check",
    help="Only those whose last check failed, or that were not asked.",
)
@option(
    "--resume",
    command="check",
    is_flag=True,
    section="Check",
    help="Go on with the last run if it was cut off: ask for no profile again that had an answer. If it was not cut "
    "off, begin a new one.",
)
@option(
    "--output",
    "-o",
    command="check",
    type=Choice(["text", "json", "jsonl", "csv", "junit"]),
    default="text",
    show_default=True,
    section="Output",
    help="A table for people, the failures first; or JSON, a JSON line for each profile as soon as it is known, CSV, "
    "or JUnit's XML.",
)
@option(
    "--quiet/--verbose",
    "-q/-v",
    default=False,
    section="Output",
    help="Do not tell how far it is; or name the good profiles too.",
)
@click.pass_context
def command(context: click.Context, /, **values: Any) -> None:
    """Check many profiles at once: the settings, the key, and whether the server grants a token.

    Each is asked for as `token --profile NAME --no-cache` would. Each server gets a few requests at a time, and no
    more after 5 refusals in a row, because banks block addresses that fail often: the rest is told as not asked.

    The exit code is the worst one, in this order: 1, 2, 3, 4, 6, 5. Ctrl-C ends it with what is known, and --resume
    goes on. The outcomes are remembered, without any token, for --only-failed and `profile list -l`.
    """
    check_stdout()
    from banno_creds.cli.many import check

    context.exit(check(context, values))


next(each for each in command.params if each.name == "client_id").required = False  # each profile has its own
