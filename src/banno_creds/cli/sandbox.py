"""``banno-creds sandbox``: a local authorization server that speaks as the vendor's does."""

from __future__ import annotations

from pathlib import Path

import click

from banno_creds.cli.options import Command, option
from banno_creds.errors import ConfigurationError
from banno_creds.files import read_file
from banno_creds.report import Report, write_result

DEFAULT_CLIENT_ID = "sandbox-client"
DEFAULT_PORT = 9400


@click.command("sandbox", cls=Command)
@option(
    "--client-id",
    command="sandbox",
    default=DEFAULT_CLIENT_ID,
    show_default=True,
    metavar="ID",
    help="The one client that is registered.",
)
@option(
    "--public-key",
    command="sandbox",
    type=click.Path(path_type=Path),
    default=Path("public.pem"),
    show_default=True,
    metavar="FILE",
    help="Its public key: a PEM, a JWK or a JWK Set.",
)
@option(
    "--scope",
    command="sandbox",
    multiple=True,
    metavar="SCOPE",
    help="What it may ask for; repeatable, or several separated by blanks. Without it: openid and "
    "three of the vendor's.",
)
@option(
    "--port",
    command="sandbox",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="The port on 127.0.0.1; 0 takes any that is free.",
)
def command(client_id: str, public_key: Path, scope: tuple[str, ...], port: int) -> None:
    """Run a local authorization server, to try and test against.

    It checks a client assertion as the vendor's server does and answers as sparingly; the true reason of a refusal
    stands in its log, on standard error. When it is ready it prints one line that ends with the token endpoint.
    Ctrl-C stops it. Needs: pip install 'banno-creds[sandbox]'
    """
    try:
        from banno_creds.sandbox import DEFAULT_SCOPES, Client, Sandbox
    except ModuleNotFoundError as missing:
        raise without_extra(missing) from None

    key = read_file(public_key).decode("utf-8", "replace")
    scopes = tuple(" ".join(scope).split()) or DEFAULT_SCOPES
    report = Report()
    server = Sandbox([Client(client_id, key, scopes)], port=port, log=report.log)
    try:
        write_result(f"sandbox ready: {server.token_endpoint}")
        server.serve_forever()
    except KeyboardInterrupt:
        pass  # the way to stop it, and no failure
    finally:
        server.shutdown()


def without_extra(missing: ModuleNotFoundError) -> ConfigurationError:
    """The error for an installation without the extra ``sandbox``."""
    return ConfigurationError(
        f"the sandbox needs {missing.name}, which is not installed",
        hint="pip install 'banno-creds[sandbox]'; in a clone of the repository: pip install '.[sandbox]'",
    )
