"""``banno-creds exec``: run a command that has an access token in its environment, and the key no more."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

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
        return self.make_metavar(ctx), "The command to run; all that follows it is its own."


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
    _look_for(context, arguments[0])
    report = report_for(values)
    obtained = obtain(context, values, report)
    report.end()
    variables = token_variables(obtained.response)
    before = _before_the_command(context)
    if before:
        obtained.remember(before, "".join(f"{name}={value}\n" for name, value in variables.items()))
    raise click.exceptions.Exit(_run(context, arguments, variables))


def _before_the_command(context: click.Context) -> tuple[str, ...]:
    """Return the arguments that decide which token the command gets: all up to ``--``, if the command follows it."""
    typed: tuple[str, ...] = context.find_root().obj.arguments
    begin = typed.index("--") + 1 if "--" in typed else len(typed)
    return typed[:begin] if typed[begin:] == context.params["arguments"] else ()


def _run(context: click.Context, arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    from banno_creds import child

    try:
        return child.run(arguments, variables)
    except (OSError, ValueError) as failure:
        _cannot_run(context, arguments[0], failure)


def _cannot_run(context: click.Context, name: str, failure: Exception) -> NoReturn:
    """Raise the error for a command that cannot be run, with a shell's exit codes."""
    if isinstance(failure, FileNotFoundError | NotADirectoryError):
        raise CommandNotFoundError(f"there is no command {name!a}", hint=_other_command(context, name)) from None
    words = getattr(failure, "strerror", None) or str(failure)
    raise CommandNotExecutableError(
        f"{name!a} cannot be run: {words}",
        hint="check that it is a program and executable (chmod +x), and that a script begins with #!",
    ) from None


def _other_command(context: click.Context, name: str) -> str:
    """Return what may be meant by the name of a command that there is not."""
    from banno_creds.cli.mistakes import option_without_dashes

    option = option_without_dashes(context, name)
    if option is not None:
        return f"did you mean the option {option}? Options stand before the command"
    if name in _OF_SHELLS:
        return f"it is a shell's own: banno-creds exec -- sh -c '{name} …'"
    if name.startswith(("~", "$")):
        return "a shell would have replaced its beginning: write the whole path, or exec -- sh -c '…'"
    variable, equals, _ = name.partition("=")
    if equals and variable.isidentifier():
        return f"a variable is set by env: banno-creds exec -- env {variable}=… COMMAND"
    if name in ("-c", "--"):
        return "the command's name stands first: banno-creds exec -- sh -c '…'"
    if " " in name:
        return "give each word by itself, or the line to a shell: banno-creds exec -- sh -c '…'"
    if os.sep not in name and os.path.isfile(name):  # noqa: PTH113 - unlike Path's, it never raises
        return "it is in this folder, which is not in PATH: write ./ before its name"
    if not os.environ.get("PATH"):
        return "PATH is empty: give the command's whole path"
    return "check its spelling, and PATH"


_OF_SHELLS = ("alias", "cd", "eval", "exec", "export", "function", "if", "read", "set", "source", "ulimit", "unset")


def _look_for(context: click.Context, name: str) -> None:
    """Look for the command as the system will, before the server is asked for a token that nobody could use."""
    is_path = any(mark in name for mark in (os.sep, os.altsep) if mark)
    places = [Path(name)] if is_path else [Path(folder, name) for folder in os.get_exec_path() if name]
    if sys.platform == "win32":
        # The system also looks in the current folder, and adds the ending.
        places = [place.with_name(place.name + end) for place in (Path(name), *places) if name for end in _ENDINGS]
    fault: OSError | None = None
    for place in places:
        try:
            if stat.S_ISDIR(place.stat().st_mode):
                # As in a shell, a folder on PATH is no command.
                raise IsADirectoryError(errno.EISDIR, "it is a folder") if is_path else FileNotFoundError
            if sys.platform != "win32":
                _check_program(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as failure:
            fault = fault or failure
        else:
            return
    _cannot_run(context, name, fault or FileNotFoundError())


def _check_program(path: Path) -> None:
    """Raise an OSError if the system would not run a file."""
    if not os.access(path, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:  # it may be run and not read
        return
    if not head.startswith(b"#!"):
        # No format of programs is text.
        if b"\0" not in head and head.isascii() and not _is_registered(path):
            raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))
        return
    line, end, _ = head[2:].partition(b"\n")
    if line.endswith(b"\r"):
        raise OSError(errno.ENOEXEC, "its lines end as on Windows, and the system takes the line end for a letter")
    interpreter = os.fsdecode(line.replace(b"\t", b" ").strip(b" ").partition(b" ")[0])
    if end and not os.path.exists(interpreter):  # noqa: PTH110 - unlike Path's, it never raises
        raise OSError(errno.ENOEXEC, f"its first line names {interpreter!a}, which is not there")


_HEAD_BYTES = 256  # so much of a first line Linux reads
_ENDINGS = ("", ".exe", ".com", ".bat", ".cmd")  # of programs on Windows


def _is_registered(path: Path) -> bool:
    """Return whether Linux may run a file by the ending of its name (binfmt_misc)."""
    try:
        formats = {entry.name for entry in Path("/proc/sys/fs/binfmt_misc").iterdir()} - {"register", "status"}
    except OSError:
        return False
    return bool(formats and path.suffix)
