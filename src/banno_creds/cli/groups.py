"""The groups of commands. Listing the commands imports none of them: ``--help`` needs only click and this."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

from banno_creds.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

# The purpose of each, in the order a newcomer needs them. Listing them imports none of them.
COMMANDS = {
    "keygen": "Make a key pair, or the public half of a key.",
    "client-assertion": "Get an access token, and see every step.",
    "token": "Print an access token, from the cache if possible.",
    "exec": "Run a command with an access token in its environment.",
    "api": "Call the API with an access token.",
    "login": "Sign a person in, in the browser.",
    "whoami": "Show who is signed in.",
    "logout": "Sign out: revoke and forget the tokens.",
    "sign-jwt": "Print a signed client assertion.",
    "doctor": "Find out why the server refuses you.",
    "lint-assertion": "Find out what is wrong with an assertion.",
    "decode": "Show what a token says; verify it if asked.",
    "explain": "Explain an error or a rule, and say what to do.",
    "profile": "Keep the settings of clients under names.",
    "cache": "Show or clear the cache of tokens.",
    "completion": "Print the completion for bash, zsh or fish.",
    "demo": "Show the main job, on this machine alone.",
    "sandbox": "Run a local authorization server for tests.",
}


SPEAKER = "banno_creds.speaker"
"""The key, in a context's meta, of the context of the command whose options messages name."""


class Invocation(NamedTuple):
    """One run of the command line: what was typed, and the clock and the pauses that its commands use."""

    arguments: tuple[str, ...]
    clock: Callable[[], float]
    sleep: Callable[[float], None]


class Group(click.Group):
    """A group that names the nearest command when one is misspelt."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], (*known, "--help", "--version"), 1)
            where = ctx.command_path
            raise ConfigurationError(
                f"there is no command {args[0]!a}" + ("" if ctx.parent is None else f" of {where}"),
                hint=f"did you mean: {where} {near[0]}" if near else f"{where} --help",
            )
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group that imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order a newcomer needs them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"banno_creds.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        command.short_help = COMMANDS[cmd_name]  # for the shell's completion
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them, as click would for what each says of itself."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
