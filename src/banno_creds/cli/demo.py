"""``banno-creds demo``: the main job step by step, as real commands against the sandbox."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired, run
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from banno_creds.child import without_secrets
from banno_creds.cli.parameters import Command
from banno_creds.cli.report import Report, write_result
from banno_creds.cli.sandbox import without_extra
from banno_creds.errors import BannoCredsError
from banno_creds.shells import join, of_windows

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT_ID = "199e6f35-4e9a-482e-b980-b10308aa428a"

_PROGRAM = (sys.executable, "-m", "banno_creds")
_STOP_SECONDS = 5
_LINE = 76  # fits into 80 columns


@click.command("demo", cls=Command)
def command() -> None:
    """Show the main job: key pair, assertion, token, what the token says.

    It runs real commands in a temporary folder, against the sandbox, and shows each as you would type it. Nothing
    leaves this machine. Needs: pip install "banno-creds[sandbox]"
    """
    for name in ("flask", "authlib", "joserfc"):
        if find_spec(name) is None:
            raise without_extra(ModuleNotFoundError(name=name))
    report = Report()
    with TemporaryDirectory(prefix="banno-creds-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        report.chapter("Make a key pair, once. The public half goes to the bank.")
        _type(report, folder, "keygen", "--quiet")
        where = "on this machine, in another window" if of_windows() else "on this machine"
        report.chapter(f"Start the bank's server: here a sandbox {where}. It knows the public key.")
        with _sandbox(report, folder) as token_endpoint:
            report.chapter("Ask for an access token with a signed client assertion.")
            client = ("--client-id", CLIENT_ID, "--private-key", "private.pem")
            _type(report, folder, "client-assertion", *client, "--token-endpoint", token_endpoint, to="token.json")
            report.chapter("Read the token, verified with the server's published keys.")
            issuer = token_endpoint.removesuffix("/token")
            _type(report, folder, "decode", "--file", "token.json", "--issuer", issuer, "--audience", CLIENT_ID)
    report.chapter("That was all of it. With a bank, the first step is the same:")
    report.typed(f"{_program()} keygen")
    report.chapter('And where its server says no more than "client authentication failed":')
    report.typed(f"{_program()} doctor")


def _type(report: Report, folder: Path, *args: str, to: str | None = None) -> None:
    """Show a command as you would type it, and run it."""
    report.typed(_as_typed(args, f" > {to}" if to else ""))
    if to is None:
        done = run([*_PROGRAM, *args], cwd=folder, env=_environment(), stdin=DEVNULL, check=False)
    else:
        with (folder / to).open("wb") as result:
            (folder / to).chmod(0o600)
            done = run([*_PROGRAM, *args], cwd=folder, env=_environment(), stdin=DEVNULL, stdout=result, check=False)
    from banno_creds.cli.main import EXIT_BROKEN_PIPE

    if done.returncode == EXIT_BROKEN_PIPE:  # its standard output is ours
        raise BrokenPipeError
    if done.returncode:
        raise _failed(args[0], done.returncode)


def _program() -> str:
    """Return the name to call the program by: its virtual environment may not be on the path."""
    if which("banno-creds"):
        return "banno-creds"
    program = Path(sys.executable).with_name("banno-creds")
    with suppress(ValueError):  # on Windows, where the current folder is on another drive
        program = Path(os.path.relpath(program))
    return join([str(program)])


def _as_typed(args: tuple[str, ...], end: str) -> str:
    from banno_creds.cli.help import as_typed

    return "\n".join(as_typed(join(["banno-creds", *args]) + end, _LINE))


@contextmanager
def _sandbox(report: Report, folder: Path) -> Iterator[str]:
    """Run the sandbox in the background, and yield its token endpoint."""
    args = ("sandbox", "--client-id", CLIENT_ID, "--public-key", "public.pem", "--port", "0")
    report.typed(_as_typed(args, "" if of_windows() else " &"))
    with (folder / "sandbox.log").open("wb") as log:
        server = Popen(
            [*_PROGRAM, *args],
            cwd=folder,
            env=_environment(),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=log,
            encoding="utf-8",
        )
    try:
        assert server.stdout is not None  # noqa: S101 - for the type checker: it was asked for
        line = server.stdout.readline().strip()
        if not line:
            report.log((folder / "sandbox.log").read_text("utf-8", "replace").rstrip())
            raise _failed("sandbox", server.wait())
        write_result(line)
        yield line.rpartition(" ")[2]
    finally:
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except TimeoutExpired:
            server.kill()
            server.wait()
        if server.stdout is not None:
            server.stdout.close()


def _environment() -> dict[str, str]:
    """Return the environment without our own variables and profiles, which are set for a bank."""
    own = {name: value for name, value in without_secrets().items() if not name.startswith("BANNO_CREDS_")}
    return own | {"BANNO_CREDS_CONFIG": os.devnull}


def _failed(name: str, code: int) -> BannoCredsError:
    return BannoCredsError(
        f"the demo's command {name} ended with exit code {code}",
        hint="its own message stands above; please report it with the output of: banno-creds --version",
    )
