"""``banno-creds sandbox``: a local authorization server that speaks as the vendor's does."""

from __future__ import annotations

import gc
from pathlib import Path

import click
from click.core import ParameterSource

from banno_creds.cli.options import Command, option
from banno_creds.errors import ConfigurationError
from banno_creds.files import read_file
from banno_creds.report import Report, write_result

DEFAULT_CLIENT_ID = "sandbox-client"
DEFAULT_PORT = 9400
DEFAULT_TOKEN_LIFETIME = 600

CLIENTS = "Clients"
FAULTS = "Faults on demand"


@click.command(
    "sandbox",
    cls=Command,
    epilog="""\b
Faults that are the whole answer to a token request:
  invalid_client, invalid_scope, invalid_grant, invalid_request,
  unauthorized_client, empty, broken-json, hang-up
Faults that are the answer to any request:
  status=N (400 to 599; with retry-after=N), html, redirect
Faults that go with another answer:
  slow=N, clock-skew=+N or -N (seconds), expired-jwks, no-expires-in,
  opaque-token
A request asks for its own with the header "Sandbox-Fault: NAME[=VALUE], ...".""",
)
@option(
    "--client-id",
    command="sandbox",
    default=DEFAULT_CLIENT_ID,
    show_default=True,
    metavar="ID",
    section=CLIENTS,
    help="The one client that is registered.",
)
@option(
    "--public-key",
    command="sandbox",
    type=click.Path(path_type=Path),
    default=Path("public.pem"),
    show_default=True,
    metavar="FILE",
    section=CLIENTS,
    help="Its public key: a PEM, a JWK or a JWK Set.",
)
@option(
    "--scope",
    command="sandbox",
    multiple=True,
    metavar="SCOPE",
    section=CLIENTS,
    help="What it may ask for; repeatable, or several separated by blanks. Without it: openid and "
    "three of the vendor's.",
)
@option(
    "--clients",
    command="sandbox",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section=CLIENTS,
    help='Instead of these three: many clients from a TOML file, a table [clients."ID"] for each.',
)
@option(
    "--port",
    command="sandbox",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="PORT",
    help="The port on 127.0.0.1; 0 takes any that is free.",
)
@option(
    "--explain",
    command="sandbox",
    is_flag=True,
    help="Tell the client too, as error_description, which rule it broke and what to do.",
)
@option(
    "--token-lifetime",
    command="sandbox",
    type=click.IntRange(1, 31_536_000),
    default=DEFAULT_TOKEN_LIFETIME,
    show_default=True,
    metavar="SECONDS",
    help="How long a token lives.",
)
@option(
    "--fault",
    "faults",
    command="sandbox",
    multiple=True,
    metavar="NAME[=VALUE]",
    section=FAULTS,
    help="What shall go wrong, as listed below; repeatable.",
)
@option(
    "--once",
    command="sandbox",
    is_flag=True,
    section=FAULTS,
    help="It goes wrong with the first token request alone; those after it are served.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    client_id: str,
    public_key: Path,
    scope: tuple[str, ...],
    clients: Path | None,
    port: int,
    explain: bool,
    token_lifetime: int,
    faults: tuple[str, ...],
    once: bool,
) -> None:
    """Run a local authorization server, to try and test against.

    It checks a client assertion as the vendor's server does and answers as sparingly; the true reason of a refusal
    stands in its log, on standard error, with what to do about it. When it is ready it prints one line that ends
    with the token endpoint. Ctrl-C stops it.

    Needs: pip install 'banno-creds[sandbox]'
    """
    try:
        from banno_creds.sandbox import DEFAULT_SCOPES, Client, Faults, Sandbox, read_clients
    except ModuleNotFoundError as missing:
        raise without_extra(missing) from None

    if once and not faults:
        raise ConfigurationError("--once is about a fault, and none is asked for", hint="add --fault NAME")
    asked = Faults.read(faults)
    if clients is not None and _means_the_file(context):
        registered = read_clients(clients)
    else:
        key = read_file(public_key).decode("utf-8", "replace")
        registered = [Client(client_id, key, tuple(" ".join(scope).split()) or DEFAULT_SCOPES)]
    # `__main__` switched it off, for runs that are over soon; this one may go on for days.
    gc.enable()
    report = Report()
    server = Sandbox(
        registered,
        port=port,
        faults=asked,
        once=once,
        explain=explain,
        token_lifetime=token_lifetime,
        log=report.log,
    )
    try:
        write_result(f"sandbox ready: {server.token_endpoint}")
        server.serve_forever()
    except KeyboardInterrupt:
        pass  # the way to stop it, and no failure
    finally:
        server.shutdown()


def _means_the_file(context: click.Context) -> bool:
    """Whether --clients was given nearer to the user than what it stands instead of."""
    for source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        given = {name for name in context.params if context.get_parameter_source(name) is source}
        one = [name for name in ("client_id", "public_key", "scope") if name in given]
        if "clients" in given and one:
            names = [f"--{name.replace('_', '-')}" for name in ("clients", one[0])]
            if source is ParameterSource.ENVIRONMENT:
                names = [f"BANNO_CREDS_SANDBOX_{name.upper()}" for name in ("clients", one[0])]
            raise ConfigurationError(
                f"{' and '.join(names)} exclude each other", hint="the file has each client's own; leave one of them"
            )
        if "clients" in given or one:
            return "clients" in given
    return False


def without_extra(missing: ModuleNotFoundError) -> ConfigurationError:
    """The error for an installation without the extra ``sandbox``."""
    return ConfigurationError(
        f"the sandbox needs {missing.name}, which is not installed",
        hint="pip install 'banno-creds[sandbox]'; in a clone of the repository: pip install '.[sandbox]'",
    )
