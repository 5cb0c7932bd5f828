"""The entry of the command line: runs a command, and turns an error into text and an exit code.

A command's module is imported when the command runs, and imports the rooms it needs when it needs them.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from banno_creds import __version__
from banno_creds.cli.groups import COMMANDS, SPEAKER, Invocation, LazyGroup
from banno_creds.errors import BannoCredsError, ConfigurationError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended
EXIT_TERMINATED = 143


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["--help"]},
    epilog="""\b
Exit codes:
  0  done
  1  a bug in banno-creds
  2  usage or configuration; the result cannot be written
  3  the private key
  4  refused by the server: do not try again
  5  network, TLS, time-out, 5xx: may work later
  6  a token is malformed, expired or not verified; nobody is signed in
  126, 127  exec: the command cannot be run, is not there
  130, 143  interrupted by Ctrl-C, by SIGTERM
  141  nobody reads standard output any more""",
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def cli() -> None:
    """Get a Jack Henry / Banno access token with a signed client assertion, and see every step.

    Results go to standard output, everything else to standard error.
    """


def run(
    args: Sequence[str], *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Run one command, and return its exit code.

    Args:
        args: the command line, without the program's name.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause, before another attempt or for another process.
    """
    # So that unfinished files are removed, as after Ctrl-C.
    signal.signal(signal.SIGTERM, _terminate)
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, signal.default_int_handler)
    try:
        if "_BANNO_CREDS_COMPLETE" in os.environ:
            import_module("banno_creds.cli.completion")  # registers our completion classes with click
            cli.main(list(args), prog_name="banno-creds", complete_var="_BANNO_CREDS_COMPLETE")
        with cli.make_context("banno-creds", list(args), obj=Invocation(tuple(args), clock, sleep)) as context:
            try:
                cli.invoke(context)
            except BannoCredsError as error:
                return _fail(error, speaker=context.meta.get(SPEAKER))
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
    from banno_creds.cli.parameters import doctor_for, spelling
    from banno_creds.cli.report import Report

    report = Report(spell=spelling(speaker))
    if os.environ.get("BANNO_CREDS_DEBUG", "") not in ("", "0"):
        from traceback import format_tb

        # Only the places in the code: nothing has looked for secrets in the exception's words.
        cause = cause or error
        report.log("Traceback (most recent call last):")
        for line in "".join(format_tb(cause.__traceback__)).splitlines():
            report.log(line)
        report.log(type(cause).__name__)
    if speaker is not None and isinstance(error, RefusedError) and speaker.info_name in _OF_ONE_CLIENT:
        error = error.but(details=(_whose(speaker), *error.marked.details))
    doctor = doctor_for(speaker) if speaker is not None and error.doctor_can_tell else ""
    report.error(error, doctor if doctor.isprintable() else "")
    return error.exit_code


_OF_ONE_CLIENT = ("token", "exec", "api", "client-assertion")


def _whose(context: click.Context) -> str:
    """Say which client was refused: a script may ask for several, and its log has this alone."""
    from banno_creds.cli.parameters import PROFILE
    from banno_creds.rules.shown import without_secrets

    profile = context.meta.get(PROFILE)
    client = f"client {without_secrets(str(context.params.get('client_id')))[:80]}"
    return client if profile is None else f"profile {profile.name}, {client}"


def _help(error: click.exceptions.NoArgsIsHelpError) -> int:
    from banno_creds.cli.report import Report

    report = Report()
    for line in error.format_message().splitlines():
        report.log(line)
    return error.exit_code


def _usage(error: click.UsageError, args: Sequence[str]) -> ConfigurationError:
    """Return click's usage error as ours, without surplus arguments: one of them may be a secret."""
    where = "banno-creds"
    if error.ctx is not None:
        where = error.ctx.command_path
    elif args and args[0] in COMMANDS:  # click does not say which command an option without its value belongs to
        where = f"banno-creds {args[0]}"
    message = error.format_message().rstrip(".")
    option = error.param if isinstance(error, click.BadParameter) else None
    if isinstance(option, click.Option) and error.ctx is not None:
        from banno_creds.cli.inputs import but_empty

        name = option.opts[0]
        if isinstance(error, click.MissingParameter):
            hint = f"add {name} {option.metavar}, or set {option.envvar}"
            if error.ctx.command.name == "exec" and name in args:  # only the command of `exec` has options of its own
                before = f"{where} {name} {option.metavar} -- COMMAND"
                return ConfigurationError(
                    f"{name} is missing: what stands behind the command belongs to it",
                    hint=f"write it before: {before}",
                )
            empty = but_empty(str(option.envvar))
            said = ConfigurationError(f"{name} is missing{empty}", hint=_or_a_profile(error.ctx, hint))
            return _or_a_login(said, error.ctx) if option.name == "client_id" else said
        source = error.ctx.get_parameter_source(str(option.name))
        if source is click.core.ParameterSource.ENVIRONMENT:
            name = str(option.envvar)
        message = error.message.rstrip(".").replace("a valid float", "a number")
        message = re.sub("a valid integer( range)?$", "a whole number", message)
        seconds = re.match(_WITH_A_UNIT, message)
        near = getattr(error, "near", None)
        if seconds and option.metavar == "SECONDS":
            near = f"{int(seconds[1]) * {'s': 1, 'm': 60, 'h': 3600}[seconds[2]]}; it is in seconds"
        meant = f"{name} {near}" if name.startswith("-") else near
        hint = f"{where} --help" if near is None else f"did you mean {meant}"
        return ConfigurationError(f"{name}: {message}", hint=hint)
    if isinstance(error, click.MissingParameter) and error.ctx is not None:
        from banno_creds.cli.help import first_example

        example = first_example(error.ctx)
        return ConfigurationError(message, hint=f"such as: {example}" if example else f"{where} --help")
    return ConfigurationError(message, hint=f"{where} --help")


def _or_a_profile(context: click.Context, hint: str) -> str:
    """Add the names of profiles to a hint, if there are some and none is in use."""
    from banno_creds.profiles.lookup import profile_names

    names = profile_names(context.params.get("config"))
    if not names or "profile" not in context.params or context.params["profile"]:
        return hint
    more = "" if len(names) <= _MOST_NAMES else ", …"
    return f"name a profile: --profile {'|'.join(names[:_MOST_NAMES])}{more}; or {hint}"


def _or_a_login(said: ConfigurationError, context: click.Context) -> ConfigurationError:
    """Name the logins that there are, to an error for a client that was not named."""
    command = str(context.info_name)
    if command not in ("whoami", "logout", "token", "exec", "api"):
        return said
    from banno_creds.login.session_store import logins
    from banno_creds.storage.own_files import state_folder

    known = logins(state_folder())
    if not known:
        return said
    if command in ("whoami", "logout"):
        return said.but(hint=f"name the login: {'; or: '.join(owner.command(command) for owner in known)}")
    return said.but(more=(f"there is a login of: {', '.join(owner.words for owner in known)}",))


_MOST_NAMES = 5
_WITH_A_UNIT = r"'(\d+) ?(s|m|h)(?:ecs?|econds?|ins?|inutes?|rs?|ours?)?' "


def _bug(bug: Exception) -> BannoCredsError:
    """Return the error for a bug in banno-creds, or for a help that cannot be written.

    The exception's own words are left out: they may hold a secret.
    """
    place = bug.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = place.tb_frame.f_globals.get("__name__") if place else None
    if isinstance(bug, OSError) and module == "click.utils":  # it prints helps and the version
        from banno_creds.cli.report import not_written

        return not_written(bug)
    where = f"{module}:{place.tb_lineno}" if place else "an unknown place"
    return BannoCredsError(
        f"this is a bug in banno-creds {__version__}: {type(bug).__name__} in {where}",
        hint="run it again with BANNO_CREDS_DEBUG=1 and report what it prints, after reading it for secrets",
    )


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    del signum, frame
    sys.exit(EXIT_TERMINATED)
