"""``banno-creds sign-jwt``: the signed client assertion alone."""

from __future__ import annotations

from typing import Any

import click

from banno_creds.cli.options import key_options, steps_options
from banno_creds.cli.parameters import Command
from banno_creds.cli.report import write_result
from banno_creds.cli.settings import client_config, report_for, run_for


@click.command("sign-jwt", cls=Command)
@key_options
@steps_options
@click.pass_context
def command(context: click.Context, /, **values: Any) -> None:
    """Sign a client assertion and print it on one line, without sending it.

    For trying with curl or Postman; it is good for a minute and can be used once.
    """
    from banno_creds.tokens.client_credentials import sign_jwt

    report = report_for(values)
    write_result(sign_jwt(client_config(context, values), run_for(context, report)))
