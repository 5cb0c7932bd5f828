"""``banno-creds whoami``: who is signed in."""

from __future__ import annotations

from json import dumps
from typing import Any

import click

from banno_creds.cli.options import person_options, steps_options
from banno_creds.cli.parameters import Command, option
from banno_creds.cli.report import write_result
from banno_creds.cli.settings import report_for, run_for, signed_in, tell_whose


@click.command("whoami", cls=Command)
@person_options
@option(
    "--userinfo",
    command="whoami",
    is_flag=True,
    section="Login",
    help="Ask the server for the person's claims now, instead of showing those of the id_token.",
)
@steps_options
@click.pass_context
def command(context: click.Context, /, *, userinfo: bool, **values: Any) -> None:
    """Show who is signed in to this profile or client: the claims of the id_token, as JSON.

    The exit code is 6 if nobody is signed in, or the login has ended.
    """
    from banno_creds.login.userinfo import user_info, who_is_it

    report = report_for(values)
    login, run = signed_in(context, values), run_for(context, report)
    if not login.store.exists():
        tell_whose(context, values, login.store, report)
    claims = who_is_it(login, run).claims
    if userinfo:
        from banno_creds.tokens.cache import open_cache

        claims = user_info(login, open_cache(run), run)
    tell_whose(context, values, login.store, report)
    report.end()
    write_result(dumps(claims, indent=2))
