"""``banno-creds sandbox``: a local authorization server that answers as the vendor's does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from banno_creds.cli.parameters import Choice, Command, option
from banno_creds.cli.report import Report, write_result
from banno_creds.errors import ConfigurationError
from banno_creds.storage.secret_files import read_file

if TYPE_CHECKING:
    from banno_creds.sandbox import Client

DEFAULT_CLIENT_ID = "sandbox-client"
DEFAULT_PORT = 9400
DEFAULT_TOKEN_LIFETIME = 600

CLIENTS = "Clients"
SIGN_IN = "Signing people in"
FAULTS = "Faults on demand"

# The options that --clients replaces.
_OF_ONE_CLIENT = (
    "client_id",
    "public_key",
    "client_secret_file",
    "scope",
    "redirect_uri",
    "post_logout_redirect_uri",
    "id_token_alg",
)


@click.command(
    "sandbox",
    cls=Command,
    epilog="""\b
Test users, all with the password "sandbox":
  riley (one institution), casey (three), robin (none)

\b
Faults that are the whole answer to a token request:
  invalid_client, invalid_scope, invalid_grant, invalid_request,
  unauthorized_client, empty, broken-json, hang-up
Faults that are the answer to any request:
  status=N (400 to 599; with retry-after=N), html, redirect
Faults that change an answer:
  slow=N, clock-skew=+N or -N (seconds), expired-jwks, no-expires-in,
  opaque-token
Faults in a call of the API:
  api=N (400 to 599; 403 is the vendor's answer for a missing permission)
Faults in a login:
  id-token=none, hs256, other-key, other-client, other-issuer, expired,
    no-nonce, wrong-nonce or wrong-at-hash
  callback=wrong-state, other-issuer or no-iss
A request asks for faults with the header "Sandbox-Fault: NAME[=VALUE], ...".""",
)
@option(
    "--client-id",
    command="sandbox",
    default=DEFAULT_CLIENT_ID,
    show_default=True,
    metavar="ID",
    section=CLIENTS,
    help="The client ID of the one registered client.",
)
@option(
    "--public-key",
    command="sandbox",
    type=click.Path(path_type=Path),
    default=Path("public.pem"),
    show_default=True,
    metavar="FILE",
    section=CLIENTS,
    help="The client's public key, as a PEM, a JWK or a JWK Set.",
)
@option(
    "--scope",
    command="sandbox",
    multiple=True,
    metavar="SCOPE",
    section=CLIENTS,
    help="A scope that it may ask for; repeatable, or several separated by blanks. Default: openid "
    "and three of the vendor's.",
)
@option(
    "--client-secret-file",
    command="sandbox",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section=CLIENTS,
    help="A file that holds only its client secret; then it needs no public key.",
)
@option(
    "--clients",
    command="sandbox",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section=CLIENTS,
    help='Register many clients instead: a TOML file with a table [clients."ID"] for each.',
)
@option(
    "--redirect-uri",
    command="sandbox",
    multiple=True,
    metavar="URI",
    section=SIGN_IN,
    help="A redirect URI, compared exactly; repeatable. Default: "
    "https://localhost:8080/auth/cb, and the same with http.",
)
@option(
    "--post-logout-redirect-uri",
    command="sandbox",
    envvar="BANNO_CREDS_SANDBOX_POST_LOGOUT_URI",  # the whole name does not fit a line of the help
    multiple=True,
    metavar="URI",
    section=SIGN_IN,
    help="Where users may be sent after signing out; repeatable.",
)
@option(
    "--users",
    command="sandbox",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section=SIGN_IN,
    help="Use other test users than those below: a TOML file with a table [users.NAME] for each. It "
    "holds their passwords: use none that opens anything else.",
)
@option(
    "--id-token-alg",
    command="sandbox",
    type=Choice(["RS256", "ES256", "PS256"]),
    default="RS256",
    show_default=True,
    section=SIGN_IN,
    help="The algorithm that signs its ID tokens.",
)
@option(
    "--require-par",
    command="sandbox",
    is_flag=True,
    section=SIGN_IN,
    help="Accept only pushed authorization requests (RFC 9126).",
)
@option(
    "--port",
    command="sandbox",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="PORT",
    help="The port on 127.0.0.1; 0 takes any free one.",
)
@option(
    "--explain",
    command="sandbox",
    is_flag=True,
    help="Tell the client too, in error_description, which rule it broke and what to do.",
)
@option(
    "--token-lifetime",
    command="sandbox",
    type=click.IntRange(1, 31_536_000),
    default=DEFAULT_TOKEN_LIFETIME,
    show_default=True,
    metavar="SECONDS",
    help="How long an access token lives.",
)
@option(
    "--fault",
    "faults",
    command="sandbox",
    multiple=True,
    metavar="NAME[=VALUE]",
    section=FAULTS,
    help="A fault to make, such as slow=3, of the list below; repeatable.",
)
@option(
    "--once",
    command="sandbox",
    is_flag=True,
    section=FAULTS,
    help="Let only the first token request fail; serve those after it.",
)
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    clients: Path | None,
    users: Path | None,
    require_par: bool,
    port: int,
    explain: bool,
    token_lifetime: int,
    faults: tuple[str, ...],
    once: bool,
    **_of_one_client: object,
) -> None:
    """Run a local authorization server, to try things and to test programs.

    It checks a client assertion as the vendor's server does, and tells the client as little. Its log, on standard
    error, has the reason of each refusal and what to do. It also has a login page for test users, and a small API to
    call with the tokens. When it is ready, it prints one line that ends with the token endpoint. Ctrl-C stops it.

    Needs: pip install "banno-creds[sandbox]"
    """
    try:
        from banno_creds.sandbox import DEFAULT_USERS, Faults, Sandbox, read_clients, read_users
        from banno_creds.sandbox.settings import stamped
        from banno_creds.sandbox.users import DEFAULT_PASSWORD
    except ModuleNotFoundError as missing:
        raise without_extra(missing) from None

    if once and not faults:
        raise ConfigurationError("--once needs a fault, and there is no --fault", hint="add --fault NAME")
    asked = Faults.read(faults)
    many = clients if clients is not None and _uses_the_file(context) else None
    registered = [_one_client(context)] if many is None else read_clients(many)
    test_users = DEFAULT_USERS if users is None else read_users(users)
    report = Report()
    server = Sandbox(
        registered,
        port=port,
        faults=asked,
        once=once,
        explain=explain,
        token_lifetime=token_lifetime,
        users=test_users,
        require_pushed_authorization_requests=require_par,
        log=lambda line: report.log(stamped(line)),
    )
    del registered  # it holds the client secrets; the server keeps only their digests
    try:
        write_result(f"sandbox ready: {server.token_endpoint}")
        if users is None:
            names = ", ".join(user.username for user in DEFAULT_USERS)
            report.log(stamped(f"test users: {names}; the password of each is {DEFAULT_PASSWORD}"))
        report.log(stamped(f"commands to try with it: {server.home}"))
        if sys.stderr is not None and sys.stderr.isatty():
            for _, lead, commands in server.tries[:1]:
                report.note(lead)
                for line in (commands[0], commands[-1]):
                    report.typed(line)
        server.serve_forever()
    except KeyboardInterrupt:
        pass  # the normal way to stop it
    finally:
        server.shutdown()


def _one_client(context: click.Context) -> Client:
    """Return the client that the options register."""
    from banno_creds.sandbox import DEFAULT_REDIRECT_URIS, DEFAULT_SCOPES, Client, read_client_secret

    given = context.params
    secret_file = given["client_secret_file"]
    has_key = secret_file is None or context.get_parameter_source("public_key") is not ParameterSource.DEFAULT
    return Client(
        given["client_id"],
        read_file(given["public_key"]) if has_key else None,
        tuple(" ".join(given["scope"]).split()) or DEFAULT_SCOPES,
        client_secret=None if secret_file is None else read_client_secret(secret_file),
        redirect_uris=given["redirect_uri"] or DEFAULT_REDIRECT_URIS,
        post_logout_redirect_uris=given["post_logout_redirect_uri"],
        id_token_signed_response_alg=given["id_token_alg"],
    )


def _uses_the_file(context: click.Context) -> bool:
    """Return whether --clients wins over the options that it replaces: the command line beats variables."""
    for source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        given = {name for name in context.params if context.get_parameter_source(name) is source}
        one = [name for name in _OF_ONE_CLIENT if name in given]
        if "clients" in given and one:
            names = [f"--{name.replace('_', '-')}" for name in ("clients", one[0])]
            if source is ParameterSource.ENVIRONMENT:
                variables = {option.name: str(option.envvar) for option in context.command.params}
                names = [variables[name] for name in ("clients", one[0])]
            raise ConfigurationError(
                f"{' and '.join(names)} exclude each other",
                hint="give one of them: the file has these settings for each client",
            )
        if "clients" in given or one:
            return "clients" in given
    return False


def without_extra(missing: ModuleNotFoundError) -> ConfigurationError:
    """Return the error for an installation without the extra ``sandbox``."""
    return ConfigurationError(
        f"the sandbox needs {missing.name}, which is not installed",
        hint='pip install "banno-creds[sandbox]"; in a clone of the repository: pip install ".[sandbox]"',
    )
