"""``banno-creds exec``: run a command that has an access token in its environment, and the key no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.forms import token_variables
from banno_creds.cli.obtained import obtain
from banno_creds.cli.options import cache_options
from banno_creds.cli.parameters import Command, complete_file
from banno_creds.cli.settings import report_for
from banno_creds.errors import CommandNotExecutableError, CommandNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Arguments(click.Argument):
    """The command, explained in the help before the options."""

    section = "Command"

    def make_metavar(self, ctx: click.Context) -> str:
        """Say how it is written."""
        del ctx
        return "-- COMMAND [ARGUMENT]..."

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Explain it; not every version of click has help for arguments."""
        return self.make_metavar(ctx), "What to run; all that follows it is its own."


@click.command(
    "exec",
    cls=Command,
    context_settings={"allow_interspersed_args": False},
)
@click.argument(
    "arguments", cls=_Arguments, nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=complete_file
)
@cache_options
@click.pass_context
def command(context: click.Context, /, arguments: tuple[str, ...], **values: Any) -> None:
    """Run a command that finds an access token in its environment.

    \b
    The command finds in its environment:
      BANNO_ACCESS_TOKEN      the token, valid for at least --min-ttl seconds
      BANNO_TOKEN_TYPE        Bearer
      BANNO_TOKEN_EXPIRES_AT  when it expires, in seconds since the epoch

    The variables with the private key, its path and the passphrase's file are removed from that environment. The
    command replaces this program, so its exit status and its signals are its own; 126 and 127 mean that it could not
    be started.
    """  # noqa: D301 - click knows a paragraph that it must not wrap by this character
    report = report_for(values)
    obtained = obtain(context, values, report)
    report.end()
    variables = token_variables(obtained.response)
    before = _before_the_command(context)
    if before:
        obtained.remember(before, "".join(f"{name}={value}\n" for name, value in variables.items()))
    raise click.exceptions.Exit(_run(arguments, variables))


def _before_the_command(context: click.Context) -> tuple[str, ...]:
    """Return the arguments that decide which token the command gets: all up to ``--``, if the command follows it."""
    typed: tuple[str, ...] = context.find_root().obj.arguments
    begin = typed.index("--") + 1 if "--" in typed else len(typed)
    return typed[:begin] if typed[begin:] == context.params["arguments"] else ()


def _run(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    from banno_creds import child

    try:
        return child.run(arguments, variables)
    except (FileNotFoundError, NotADirectoryError):
        raise CommandNotFoundError(
            f"there is no command {arguments[0]!a}", hint="check its spelling, and PATH"
        ) from None
    except (OSError, ValueError) as failure:
        words = getattr(failure, "strerror", None) or str(failure)
        raise CommandNotExecutableError(
            f"{arguments[0]!a} cannot be run: {words}",
            hint="check that it is a program and executable (chmod +x), and that a script begins with #!",
        ) from None
