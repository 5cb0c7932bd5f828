"""``banno-creds serve``: a token endpoint on this machine, for programs that speak plain OAuth and cannot sign."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.cli.inputs import Argument, StandardInput, expand, read_secret
from banno_creds.cli.options import CONFIG, MIN_TTL, shared_cache_options
from banno_creds.cli.parameters import Command, complete_file, complete_profile, complete_tag, doctor_for, option
from banno_creds.cli.report import Report, check_stdout, write_result
from banno_creds.cli.settings import check_shared_cache, fill_shared_cache, given_shared_cache, run_for
from banno_creds.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from banno_creds.config import ClientConfig
    from banno_creds.serve.token_server import TokenServer

DEFAULT_PORT = 9401
LEAST_SECRET = 16  # characters; any program of this user may guess
_PARTING_SECONDS = 5.0
_SLICE_SECONDS = 0.5  # between two looks at the server; and Windows notices Ctrl-C only between two waits


@click.command("serve", cls=Command)
@click.argument(
    "profiles",
    cls=Argument,
    nargs=-1,
    metavar="[PROFILE]...",
    says="The profiles whose tokens are given; all of them by default.",
    shell_complete=complete_profile,
)
@option(
    "--tag",
    "tags",
    command="serve",
    multiple=True,
    metavar="TAG",
    section="Input",
    shell_complete=complete_tag,
    help="Only profiles with this tag; given twice, those with both.",
)
@option(
    "--port",
    command="serve",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="PORT",
    section="Endpoint",
    help="The port on 127.0.0.1; 0 takes any free one.",
)
@option(
    "--socket",
    command="serve",
    metavar="FILE",
    section="Endpoint",
    shell_complete=complete_file,
    help="Listen at a Unix socket instead, which only your own programs can open.",
)
@option(
    "--client-secret-file",
    command="serve",
    metavar="FILE",
    section="Endpoint",
    shell_complete=complete_file,
    help="A file with the client_secret that programs give, - for standard input; at least "
    f"{LEAST_SECRET} characters. Without it one is made for this run, and shown at the terminal.",
)
@CONFIG
@MIN_TTL
@shared_cache_options
@option("--quiet", "-q", is_flag=True, section="Output", help="Do not log requests; warnings are still shown.")
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    profiles: tuple[str, ...],
    port: int,
    socket: str | None,
    client_secret_file: str | None,
    config: str | None,
    quiet: bool,
    **values: Any,
) -> None:
    """Give access tokens to programs on this machine that speak plain OAuth 2.0, such as Postman.

    A program asks this endpoint by client_credentials: the client_id is a profile's name, the client_secret is that
    of this endpoint. It gets a token from the cache, or a new one; the private key stays here. When the endpoint is
    ready, one line is printed that ends with its URL. Ctrl-C or SIGTERM ends it.
    """
    from banno_creds.redirection.listeners import listen, listen_at
    from banno_creds.serve.clients import Profiles
    from banno_creds.serve.token_server import TokenServer

    check_stdout()
    report = Report(quiet=quiet)
    run = run_for(context, report)
    chosen = _check_profiles(profiles, values["tags"], config)
    secret = _secret(client_secret_file)
    tell = partial(tell_warnings, report)
    how = {"min_ttl": values["min_ttl"], "emit": tell, "clock": run.clock, "sleep": run.sleep}
    prepare = _with_shared_cache(context, values)
    for each in map(prepare, chosen):
        if each.cache_url is not None:  # without one, its files are of no use, and may be elsewhere
            _check_cache_files(each.cache_secret_file, each.cache_password_file)
    doctor = partial(doctor_for, context)
    clients = Profiles(config, profiles, values["tags"], prepare=prepare, doctor=doctor, **how)
    if socket is None:
        [listener] = listen("127.0.0.1", port, "give --port 0, which takes any free port")
        at = ""
    else:
        path = str(expand(socket))
        listener, at = listen_at(path), f" at the socket {path}"
        place = Path(path).lstat()
        _warn_of_folder(report, Path(path))
    log = (lambda _line: None) if quiet else partial(_log, report)
    with TokenServer(listener, secret, clients, log, run.clock, _PARTING_SECONDS) as server:
        try:
            with UntilStopped() as stopping:
                if client_secret_file is None:
                    report.note("The client_secret of this run; the client_id is a profile's name:")
                    report.verbatim(secret.decode("ascii"))
                write_result(f"serve ready{at}: {server.token_endpoint}")
                wait_for(server, stopping)
        finally:
            if at:
                with suppress(OSError):  # before it is closed; one that somebody put there since is not ours
                    if os.path.samestat(Path(path).lstat(), place):
                        Path(path).unlink()


def _warn_of_folder(report: Report, path: Path) -> None:
    """Say that programs may be led to somebody else's socket."""
    from banno_creds.shells import quote
    from banno_creds.storage.secret_files import everybody_can_replace_in

    folder = path.absolute().parent
    if sys.platform != "win32" and everybody_can_replace_in(folder):
        report.warning(
            f"others can put a socket of their own in the place of {path}: everybody can write its folder",
            f"chmod o-w {quote(str(folder))}",
        )


def _with_shared_cache(context: click.Context, values: Mapping[str, Any]) -> Callable[[ClientConfig], ClientConfig]:
    """Return what gives a profile's client the shared cache that was typed, or else the variables' where it has none.

    As for the other commands: each setting for itself.
    """
    check_shared_cache(context, values)
    given = given_shared_cache(values)
    if "cache_url" in given:
        from banno_creds.cache_address import read_cache_url

        read_cache_url(values["cache_url"])  # now, and not with the first request
    _check_cache_files(given.get("cache_secret_file"), given.get("cache_password_file"))
    typed = {name for name in given if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    return partial(fill_shared_cache, given=given, typed=typed)


def _check_cache_files(secret: Path | None, password: Path | None) -> None:
    """Refuse a shared cache's files that cannot be used; a pipe, which can be read once, is left for a request."""
    if secret is not None and not _is_pipe(secret):
        from banno_creds.shared_cache.sealing import read_secret as read_cache_secret

        read_cache_secret(secret)
    if password is not None and not _is_pipe(password):
        from banno_creds.shared_cache.store import read_password

        read_password(password)


def _is_pipe(path: Path) -> bool:
    with suppress(OSError):  # a path that is too long, or leads through a folder of others; its reader says so
        return path.is_fifo()
    return False


def _check_profiles(names: Sequence[str], tags: Sequence[str], config: str | None) -> list[ClientConfig]:
    """Refuse profiles that cannot be served before anything listens; return those that were read.

    Of all profiles, only that there are some: what is wrong with one is said where its token is asked for.
    """
    from banno_creds.config import ClientConfig, find_config_file
    from banno_creds.profiles.client import read_clients
    from banno_creds.profiles.lookup import list_profiles, none_chosen, profile_names

    chosen = [ClientConfig.from_profile(name, config) for name in names]
    if tags:
        tagged = read_clients(names or None, config, tags)
        if not tagged:
            raise none_chosen(find_config_file(config), names, tags)
        chosen = [each for each in tagged.values() if isinstance(each, ClientConfig)]
    if not names and not profile_names(config):
        list_profiles(config)  # raises what is wrong with the file
        raise none_chosen(find_config_file(config), names, tags)
    return chosen


def _secret(file: str | None) -> bytes:
    """Return the secret that programs have to give; without a file, one for this run."""
    if file is not None:
        secret = read_secret(file, StandardInput(), "client secret", "--client-secret-file")
        if len(secret) < LEAST_SECRET or not all(0x21 <= byte <= 0x7E for byte in secret):
            raise ConfigurationError(
                f"the client secret has less than {LEAST_SECRET} characters, or others than visible ASCII",
                hint="make one: (umask 077; openssl rand -hex 32 > FILE)",
            )
        return secret
    if sys.stderr is None or not sys.stderr.isatty():
        raise ConfigurationError(
            "nobody would learn the client secret of this run: standard error is no terminal",
            hint="give one with --client-secret-file FILE; to make it: (umask 077; openssl rand -hex 32 > FILE)",
        )
    return secrets.token_urlsafe(32).encode("ascii")


def _log(report: Report, line: str) -> None:
    from datetime import UTC, datetime

    report.log(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}")


def tell_warnings(report: Report, step: Any) -> None:
    """Show the warnings among the steps of a token's way."""
    from banno_creds.steps import Warned

    if isinstance(step, Warned):
        report.step(step)


class UntilStopped:
    """In a ``with`` statement: Ctrl-C and SIGTERM set an event; a second one ends the process as always."""

    def __enter__(self) -> threading.Event:
        self._event = threading.Event()
        self._before: dict[int, Any] = {}
        with suppress(ValueError):  # another thread than the main one, in tests
            for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._stop)
        return self._event

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def __exit__(self, *_: object) -> None:
        self._restore()


def wait_for(server: TokenServer, stopping: threading.Event) -> None:
    """Wait until the event is set; raise what ends the server before."""
    while not stopping.wait(_SLICE_SECONDS):
        server.check()
