"""``banno-creds token``: the access token for a script, from the cache where it can be."""

from __future__ import annotations

from typing import Any

import click

from banno_creds.cli.forms import FORMS, FORMS_HELP, check_form, write_token
from banno_creds.cli.obtained import obtain
from banno_creds.cli.options import cache_options
from banno_creds.cli.parameters import Choice, Command, option
from banno_creds.cli.settings import report_for


@click.command("token", cls=Command)
@cache_options
@option(
    "--output",
    "-o",
    command="token",
    type=Choice(FORMS),
    default="token",
    show_default=True,
    section="Output",
    help=FORMS_HELP,
)
@click.pass_context
def command(context: click.Context, /, output: str, **values: Any) -> None:
    """Print an access token, and nothing else: from the cache if it is valid for another minute, else a new one.

    If many processes ask at once, the server is asked once. A refusal is remembered for 30 s, so that a loop does not
    get this address blocked.
    """
    report = report_for(values)
    check_form(output, report)
    obtained = obtain(context, values, report)
    report.end()
    text = write_token(obtained.response, output)
    if output not in ("github", "json"):  # `github` writes files too, and `json` tells how long the token lives
        obtained.remember(context.find_root().obj.arguments, text + "\n")
