"""The groups of commands. Listing the commands imports none of them: ``--help`` needs only click and this."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

# The purpose of each, in the order a newcomer needs them. Listing them imports none of them.
COMMANDS = {
    "keygen": "Make a key pair, or the public half of a key.",
    "rotate": "Change the key of profiles, step by step.",
    "key": "Tell which key it is, and whether the bank has it.",
    "client-assertion": "Get an access token, and see every step.",
    "token": "Print an access token, from the cache if possible.",
    "check": "Check many profiles at once.",
    "exec": "Run a command with an access token in its environment.",
    "serve": "Give tokens to programs that speak plain OAuth.",
    "api": "Call the API with an access token.",
    "sign-jwt": "Print a signed client assertion.",
    "login": "Sign a person in, in the browser.",
    "whoami": "Show who is signed in.",
    "logout": "Sign out: revoke and forget the tokens.",
    "doctor": "Find out why the server refuses you.",
    "lint-assertion": "Find out what is wrong with an assertion.",
    "decode": "Show what a token says; verify it if asked.",
    "jwks": "Make, change and check the key set that you publish.",
    "explain": "Explain an error or a rule, and say what to do.",
    "profile": "Keep the settings of clients under names.",
    "cache": "Show or clear the cache of tokens.",
    "completion": "Print the completion for bash, zsh, fish or PowerShell.",
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


def _show_short_help(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if not value or context.resilient_parsing:
        return
    from banno_creds.cli.help import short_help

    click.echo(short_help(context), color=context.color)
    context.exit()


_SHORT_HELP = click.Option(
    ["-h", "short_help"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_short_help,
    help="Show what is needed most.",
)


class Helpful(click.Command):
    """A command with two helps, one short and one whole, and words for what was mistyped."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Add the option for the short help."""
        *own, whole = super().get_params(ctx)
        return [*own, _SHORT_HELP, whole]

    def get_help(self, ctx: click.Context) -> str:
        """Return the whole help."""
        from banno_creds.cli.help import long_help

        return long_help(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; what looks like a slip of the hand is told first, for other errors follow from it."""
        typed = tuple(args)
        # Quotes and dashes of a text program are parsed without an error, and mean something else.
        if not ctx.resilient_parsing and not "".join(typed).isascii():
            from banno_creds.cli.mistakes import check_characters, check_for_keys

            check_for_keys(typed)
            check_characters(ctx, typed)
        try:
            return super().parse_args(ctx, args)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError:
            from banno_creds.cli.mistakes import check_for_keys, find_mistake

            check_for_keys(typed)
            mistake = None if ctx.resilient_parsing else find_mistake(ctx, typed)
            if mistake is None:
                raise
            raise mistake from None


class Group(Helpful, click.Group):
    """A group that has the command ``help``, and knows what a command is called by other programs."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command."""
        if args[:1] == ["help"]:
            from banno_creds.cli.help import HELP

            return "help", HELP, args[1:]
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            from banno_creds.cli.mistakes import check_for_keys, no_such_command

            check_for_keys(args)
            raise no_such_command(ctx, self.list_commands(ctx), args[0])
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete ``help`` too, which is not among the commands."""
        from click.shell_completion import CompletionItem

        found = super().shell_complete(ctx, incomplete)
        is_help = incomplete and "help".startswith(incomplete)
        return [*found, CompletionItem("help", help="Show the help of a command.")] if is_help else found


class LazyGroup(Group):
    """A group that imports a command's module only when that command is asked for."""

    purposes = COMMANDS

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
