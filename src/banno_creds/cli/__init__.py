"""The command line: parses, calls the flow, turns an error into text and an exit code. Once, and here.

A command's module is imported when the command runs, and imports the rooms it needs when it needs them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import click

from banno_creds import __version__
from banno_creds.errors import BannoCredsError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

# What each is for, in the order a newcomer needs them. Listing them imports none of them.
COMMANDS = {
    "keygen": "Make a key pair, or the public half of a key.",
    "client-assertion": "Get an access token, and see every step.",
    "token": "Print an access token, from the cache where it can be.",
    "exec": "Run a command with an access token in its environment.",
    "api": "Call the API with an access token.",
    "login": "Sign a person in, in the browser.",
    "whoami": "Show who is signed in.",
    "logout": "Revoke and forget a login's tokens.",
    "sign-jwt": "Print a signed client assertion, and no more.",
    "doctor": "Find out why the server refuses you.",
    "lint-assertion": "Find out what is wrong with an assertion.",
    "decode": "Show what a token says; verify it if asked.",
    "explain": "Say what an error or a rule means, and what to do.",
    "profile": "Keep the settings of many clients under names.",
    "cache": "See or clear the cache of tokens.",
    "completion": "Print the completion for bash, zsh or fish.",
    "demo": "See the whole job done on this machine.",
    "sandbox": "Run a local authorization server to try with.",
}

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended
EXIT_TERMINATED = 143


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


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Exit codes:
  0  done
  1  a bug of ours
  2  usage or configuration; the result cannot be written
  3  the private key
  4  refused by the server: do not try again
  5  network, TLS, time-out, 5xx: may work later
  6  a token is malformed, expired or not verified; nobody is signed in
  126, 127  exec: the command cannot be run, is not there
  130, 143  interrupted by Ctrl-C, by SIGTERM
  141  whoever read standard output has gone""",
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def cli() -> None:
    """Get a Jack Henry / Banno access token with a signed client assertion, and see every step.

    Results go to standard output, everything else to standard error.
    """


class Invocation(NamedTuple):
    """One run of the command line: what was typed, and the clock and the pauses that its commands use."""

    arguments: tuple[str, ...]
    clock: Callable[[], float]
    sleep: Callable[[float], None]


def run(
    args: Sequence[str], *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Run one command.

    Args:
        args: the command line, without the program's name.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause, before another attempt or for another process.

    Returns:
        The exit code.
    """
    # So that files half made are taken away again, as after Ctrl-C.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if "_BANNO_CREDS_COMPLETE" in os.environ:
            import_module("banno_creds.cli.completion")  # has click find our classes for the shells
            cli.main(list(args), prog_name="banno-creds", complete_var="_BANNO_CREDS_COMPLETE")
        with cli.make_context("banno-creds", list(args), obj=Invocation(tuple(args), clock, sleep)) as context:
            try:
                cli.invoke(context)
            except BannoCredsError as error:
                return _fail(error, speaker=context.meta.get("banno_creds.speaker"))
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        return _help(error)
    except click.UsageError as error:
        return _fail(_usage(error, args))
    except BannoCredsError as error:
        return _fail(error)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    except Exception as bug:  # noqa: BLE001 - the last net: nothing ends in a traceback
        return _fail(_bug(bug), bug)
    return 0


def _fail(error: BannoCredsError, cause: Exception | None = None, speaker: click.Context | None = None) -> int:
    from banno_creds.cli.options import doctor_for, spelling
    from banno_creds.cli.report import Report

    report = Report(spell=spelling(speaker))
    if os.environ.get("BANNO_CREDS_DEBUG", "") not in ("", "0"):
        from traceback import format_tb

        # The places alone: an exception's own words pass through nothing that would look for secrets in them.
        cause = cause or error
        report.log("Traceback (most recent call last):")
        for line in "".join(format_tb(cause.__traceback__)).splitlines():
            report.log(line)
        report.log(type(cause).__name__)
    doctor = doctor_for(speaker) if speaker is not None and error.doctor_can_tell else ""
    report.error(error, doctor if doctor.isprintable() else "")
    return error.exit_code


def _help(error: click.exceptions.NoArgsIsHelpError) -> int:
    from banno_creds.cli.report import Report

    report = Report()
    for line in error.format_message().splitlines():
        report.log(line)
    return error.exit_code


def _usage(error: click.UsageError, args: Sequence[str]) -> ConfigurationError:
    """A usage error in our form, without surplus arguments: a secret may have slipped in among them."""
    where = "banno-creds"
    if error.ctx is not None:
        where = error.ctx.command_path
    elif args and args[0] in COMMANDS:  # click does not tell of an option without its value where it stood
        where = f"banno-creds {args[0]}"
    message = error.format_message().rstrip(".")
    if message.startswith("Got unexpected extra argument"):
        message = f"{where} takes fewer arguments than were given"
    option = error.param if isinstance(error, click.BadParameter) else None
    if isinstance(option, click.Option) and error.ctx is not None:
        name = option.opts[0]
        if isinstance(error, click.MissingParameter):
            hint = f"add {name} {option.metavar}, or set {option.envvar}"
            return ConfigurationError(f"{name} is missing", hint=_or_a_profile(error.ctx, hint))
        source = error.ctx.get_parameter_source(str(option.name))
        if source is click.core.ParameterSource.ENVIRONMENT:
            name = str(option.envvar)
        return ConfigurationError(f"{name}: {error.message.rstrip('.')}", hint=f"{where} --help")
    if isinstance(error, click.NoSuchOption) and where == "banno-creds":
        return ConfigurationError(message, hint="an option of a command stands behind the command's name")
    return ConfigurationError(message, hint=f"{where} --help")


def _or_a_profile(context: click.Context, hint: str) -> str:
    """The same hint, with the profiles that would help, where there are some and none is in use."""
    from banno_creds.profiles.lookup import profile_names

    names = profile_names(context.params.get("config"))
    if not names or "profile" not in context.params or context.params["profile"]:
        return hint
    more = "" if len(names) <= _MOST_NAMES else ", …"
    return f"name a profile: --profile {'|'.join(names[:_MOST_NAMES])}{more}; or {hint}"


_MOST_NAMES = 5


def _bug(bug: Exception) -> BannoCredsError:
    """An error of ours. Its own words are left out: nobody has looked whether they hold a secret."""
    place = bug.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_globals.get('__name__')}:{place.tb_lineno}" if place else "an unknown place"
    return BannoCredsError(
        f"this is a bug in banno-creds {__version__}: {type(bug).__name__} in {where}",
        hint="run it again with BANNO_CREDS_DEBUG=1 and report what it prints, after reading it for secrets",
    )


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    del signum, frame
    sys.exit(EXIT_TERMINATED)
