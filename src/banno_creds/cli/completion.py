"""``banno-creds completion``: what a shell reads to complete our commands, options and profiles."""

from __future__ import annotations

import click

from banno_creds.cli.options import Command
from banno_creds.report import write_result

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, /, shell: str) -> None:
    """Print the completion for a shell; put the line into its start-up file:

    \b
    bash   ~/.bashrc   eval "$(banno-creds completion bash)"
    zsh    ~/.zshrc    eval "$(banno-creds completion zsh)"
    fish   ~/.config/fish/config.fish   banno-creds completion fish | source
    """  # noqa: D301, D415 - click knows a paragraph that it must not wrap by this character
    from click.shell_completion import get_completion_class

    root = context.find_root().command
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - for the type checker: click has all three
    write_result(found(root, {}, "banno-creds", "_BANNO_CREDS_COMPLETE").source().strip("\n"))
