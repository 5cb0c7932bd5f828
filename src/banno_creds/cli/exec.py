"""``banno-creds exec``: run a command that has an access token in its environment, and the key no more."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from banno_creds import windows_programs
from banno_creds.cli.forms import token_variables
from banno_creds.cli.obtained import client_beside, obtain
from banno_creds.cli.options import cache_options
from banno_creds.cli.parameters import PROFILE, Command, complete_file, option
from banno_creds.cli.settings import report_for, run_for
from banno_creds.errors import CommandNotExecutableError, CommandNotFoundError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from banno_creds.cli.report import Report


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
@option(
    "--serve",
    command="exec",
    is_flag=True,
    section="Command",
    help="Run a token endpoint for the command's life, for one that outlives a token (see `serve`). It finds "
    "BANNO_TOKEN_URL, BANNO_TOKEN_CLIENT_ID and BANNO_TOKEN_CLIENT_SECRET in its environment instead of a token.",
)
@cache_options
@click.pass_context
def command(context: click.Context, /, arguments: tuple[str, ...], *, serve: bool, **values: Any) -> None:
    """Run a command that finds an access token in its environment.

    \b
    The command finds in its environment:
      BANNO_ACCESS_TOKEN      the token, valid for at least --min-ttl seconds
      BANNO_TOKEN_TYPE        Bearer
      BANNO_TOKEN_EXPIRES_AT  when it expires, in seconds since the epoch

    The variables with the private key, its path and the passphrase's file are removed from that environment. The
    command replaces this program, which on Windows waits for it instead, so its exit status and its signals are its
    own; 126 and 127 mean that it could not be started.
    """  # noqa: D301 - click knows a paragraph that it must not wrap by this character
    _look_for(context, arguments)
    report = report_for(values)
    if serve:
        raise click.exceptions.Exit(_run_beside_endpoint(context, arguments, values, report))
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


def _run_beside_endpoint(
    context: click.Context, arguments: Sequence[str], values: Mapping[str, Any], report: Report
) -> int:
    """Run a command, and a token endpoint while it runs; the first token is there before the command starts."""
    import secrets

    from banno_creds import child
    from banno_creds.redirection.listeners import listen
    from banno_creds.serve.clients import OneClient
    from banno_creds.serve.token_server import TokenServer

    client = client_beside(context, values, report)
    client.obtain()
    report.end()
    profile = context.meta.get(PROFILE)
    name = values["client_id"] if profile is None else profile.name
    secret = secrets.token_urlsafe(32)
    [listener] = listen("127.0.0.1", 0, "check what keeps programs from listening on this machine")
    clock = run_for(context, report).clock
    with TokenServer(listener, secret.encode("ascii"), OneClient(name, client), clock=clock) as server:
        variables = dict(zip(_GIVEN_BY_SERVE, (server.token_endpoint, name, secret), strict=True))
        try:
            return child.run_beside(arguments, variables)
        except (OSError, ValueError) as failure:
            _cannot_run(context, arguments[0], failure)


_GIVEN_BY_SERVE = ("BANNO_TOKEN_URL", "BANNO_TOKEN_CLIENT_ID", "BANNO_TOKEN_CLIENT_SECRET")


def _cannot_run(context: click.Context, name: str, failure: Exception) -> NoReturn:
    """Raise the error for a command that cannot be run, with a shell's exit codes."""
    from banno_creds.text import quoted

    if isinstance(failure, FileNotFoundError | NotADirectoryError):
        raise CommandNotFoundError(
            f"there is no command {quoted(name)}", hint=_other_command(context, name)
        ) from None
    if isinstance(failure, windows_programs.NotForBatchFilesError):
        raise ConfigurationError(
            f"{quoted(name)} is a batch file, and cmd would not pass on {failure.what} as it is", hint=failure.instead
        ) from None
    words = (getattr(failure, "strerror", None) or str(failure)).replace("%1", "it")  # Windows' place for the name
    hint = "check that it is a program and executable (chmod +x), and that a script begins with #!"
    if sys.platform == "win32":
        from banno_creds.shells import quote

        end = os.path.splitext(name)[1].lower()  # noqa: PTH122 - it may be no path
        hint = f"name the program that runs it: banno-creds exec -- {_INTERPRETERS.get(end, 'PROGRAM')} {quote(name)}"
    raise CommandNotExecutableError(f"{quoted(name)} cannot be run: {words}", hint=hint) from None


_INTERPRETERS = {".py": "python", ".ps1": "powershell -File", ".js": "node", ".sh": "bash", ".jar": "java -jar"}
_INTERPRETERS |= dict.fromkeys((".vbs", ".wsf"), "cscript")


def _other_command(context: click.Context, name: str) -> str:
    """Return what may be meant by the name of a command that there is not."""
    from banno_creds.cli.mistakes import option_without_dashes

    on_windows = sys.platform == "win32"
    shell = 'cmd /c "…"' if on_windows else "sh -c '…'"
    option = option_without_dashes(context, name)
    if option is not None:
        return f"did you mean the option {option}? Options stand before the command"
    if name.lower() in (_OF_CMD if on_windows else _OF_SHELLS):
        return f"it is a shell's own: banno-creds exec -- {shell.replace('…', f'{name} …')}"
    if on_windows and _OF_POWERSHELL.fullmatch(name):
        return f'it is PowerShell\'s own: banno-creds exec -- powershell -Command "{name} …"'
    if name.startswith(("~", "$", "%") if on_windows else ("~", "$")):
        return f"a shell would have replaced its beginning: write the whole path, or exec -- {shell}"
    variable, equals, _ = name.partition("=")
    if equals and variable.isidentifier():
        if on_windows:
            return f"set the variable before: $env:{variable} = '…' in PowerShell, set {variable}=… in cmd"
        return f"a variable is set by env: banno-creds exec -- env {variable}=… COMMAND"
    if name in ("-c", "--", "/c"):
        return f"the command's name stands first: banno-creds exec -- {shell}"
    if " " in name:
        return f"give each word by itself, or the line to a shell: banno-creds exec -- {shell}"
    if os.sep not in name and os.path.isfile(name):  # noqa: PTH113 - unlike Path's, it never raises
        return f"it is in this folder, which is not in PATH: write .{os.sep} before its name"
    if not os.environ.get("PATH"):
        return "PATH is empty: give the command's whole path"
    return "check its spelling, and PATH"


_OF_SHELLS = ("alias", "cd", "eval", "exec", "export", "function", "if", "read", "set", "source", "ulimit", "unset")
_OF_CMD = ("call", "cd", "copy", "del", "dir", "echo", "for", "if", "mkdir", "move", "ren", "set", "start", "type")
# A cmdlet, or one of its short names that people use to call an API.
_OF_POWERSHELL = re.compile(r"[A-Za-z]+-[A-Za-z]+|irm|iwr|iex", re.ASCII)


_GIVEN = ("BANNO_ACCESS_TOKEN", "BANNO_TOKEN_TYPE", "BANNO_TOKEN_EXPIRES_AT")


def _look_for(context: click.Context, arguments: Sequence[str]) -> None:
    """Look for the command as the system will, before the server is asked for a token that nobody could use."""
    try:
        if sys.platform == "win32":
            environment = {**os.environ, **dict.fromkeys(_GIVEN, "")}
            windows_programs.command_line(windows_programs.find(arguments[0], environment), arguments, environment)
        else:
            _find(arguments[0])
    except (OSError, ValueError) as failure:
        _cannot_run(context, arguments[0], failure)


def _find(name: str) -> None:
    """Raise an OSError if there is no such command, or none that can be run."""
    is_path = os.sep in name
    places = [Path(name)] if is_path else [Path(folder, name) for folder in os.get_exec_path() if name]
    fault: OSError | None = None
    for place in places:
        try:
            if stat.S_ISDIR(place.stat().st_mode):
                # As in a shell, a folder on PATH is no command.
                raise IsADirectoryError(errno.EISDIR, "it is a folder") if is_path else FileNotFoundError
            _check_program(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as failure:
            fault = fault or failure
        else:
            return
    raise fault or FileNotFoundError


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


def _is_registered(path: Path) -> bool:
    """Return whether Linux may run a file by the ending of its name (binfmt_misc)."""
    try:
        formats = {entry.name for entry in Path("/proc/sys/fs/binfmt_misc").iterdir()} - {"register", "status"}
    except OSError:
        return False
    return bool(formats and path.suffix)
