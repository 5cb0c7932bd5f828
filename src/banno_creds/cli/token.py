"""``banno-creds token``: the access token for a script, from the cache where it can be."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from banno_creds.cli.forms import FORMS, FORMS_HELP, check_form, write_token
from banno_creds.cli.many_options import many_options
from banno_creds.cli.obtained import obtain
from banno_creds.cli.options import cache_options
from banno_creds.cli.parameters import Choice, Command, option
from banno_creds.cli.settings import report_for
from banno_creds.errors import ConfigurationError


@click.command("token", cls=Command)
@many_options("token")
@cache_options
@option(
    "--output",
    "-o",
    command="token",
    type=Choice([*FORMS, "jsonl"]),
    default="token",
    show_default=True,
    section="Output",
    help=f"{FORMS_HELP} Of many profiles: jsonl, a JSON line for each as soon as it is known, or json.",
)
@click.pass_context
def command(context: click.Context, /, output: str, **values: Any) -> None:
    """Print an access token, and nothing else: from the cache if it is valid for another minute, else a new one.

    If many processes ask at once, the server is asked once. A refusal is remembered for 30 s, so that a loop does not
    get this address blocked.

    With profiles' names, --all or --tag it writes a JSON line for each: the token, or the error and its exit code. It
    asks as gently as `check` does, and its exit code is the worst one.
    """
    if values["names"] or values["every"] or values["with_tags"]:
        from banno_creds.cli.many import tokens

        context.exit(tokens(context, values, _form_of_many(context, values, output)))
    if output == "jsonl":
        raise ConfigurationError("--output jsonl is for many profiles", hint="name some, or add --all; or take json")
    report = report_for(values)
    check_form(output, report)
    obtained = obtain(context, values, report)
    report.end()
    text = write_token(obtained.response, output)
    if output not in ("github", "json"):  # `github` writes files too, and `json` tells how long the token lives
        obtained.remember(context.find_root().obj.arguments, text + "\n")


def _form_of_many(context: click.Context, values: dict[str, Any], output: str) -> str:
    """Return the form for many tokens; the other forms hold one."""
    if output in ("json", "jsonl"):
        return output
    if values["names"]:  # a slip of the hand, for one profile is named by its option
        from banno_creds.cli.mistakes import surplus_arguments

        raise surplus_arguments(context)
    if context.get_parameter_source("output") is ParameterSource.DEFAULT:
        return "jsonl"
    raise ConfigurationError(
        f"--output {output} has room for one token, and many profiles are meant", hint="take --output jsonl"
    )
