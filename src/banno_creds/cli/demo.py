"""``banno-creds demo``: the main job, step by step."""

from __future__ import annotations

import click

from banno_creds.cli.options import Command


@click.command("demo", cls=Command)
def command() -> None:
    """Show the main job, step by step, against a local authorization server."""
