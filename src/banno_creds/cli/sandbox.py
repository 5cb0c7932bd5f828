"""``banno-creds sandbox``: a local authorization server that speaks as the vendor's does."""

from __future__ import annotations

import click

from banno_creds.cli.options import Command


@click.command("sandbox", cls=Command)
def command() -> None:
    """Run a local authorization server, to try and test against."""
