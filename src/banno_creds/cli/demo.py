"""``banno-creds demo``: the main job.

from __future__ import annotations

import click

from banno_creds.cli.options import Command


@click.command("demo", cls=Command)
def command() -> None:
    """Show the main job.
