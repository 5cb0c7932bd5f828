"""``banno-creds client-assertion``: from the private key to the access token, each step shown as it happens."""

from __future__ import annotations

import shlex
from json import dumps
from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.options import (
    KEY_VARIABLE,
    Command,
    client_config,
    key_options,
    option,
    report_for,
    request_options,
    steps_options,
)
from banno_creds.errors import UnusableAnswerError
from banno_creds.report import write_result

if TYPE_CHECKING:
    from banno_creds.config import ClientConfig
    from banno_creds.token_endpoint import TokenResponse

FORMS = ("json", "token", "header", "env")


@click.command("client-assertion", cls=Command, short_help="Get an access token, and see every step.")
@key_options
@request_options
@option(
    "--output",
    "-o",
    type=click.Choice(FORMS),
    default="json",
    show_default=True,
    section="Output",
    help="The result's form: the whole token response; the access token alone; an Authorization header; or a "
    "line that a POSIX shell can eval.",
)
@option("--curl", is_flag=True, section="Output", help="Show the equivalent curl command as well.")
@steps_options
@click.pass_context
def command(context: click.Context, /, output: str, *, curl: bool, **values: Any) -> None:
    """Get an access token: sign the assertion, ask the token endpoint, show each step.

    The steps go to standard error, the result to standard output:

    \b
    banno-creds client-assertion --client-id ID --private-key private.pem -o token
    """  # noqa: D301 - click knows a paragraph that it must not wrap by this character
    from banno_creds.flow import fetch_token
    from banno_creds.steps import Step, TokenRequested

    report = report_for(values)
    config = client_config(context, values)

    def show(step: Step) -> None:
        report.step(step)
        if curl and isinstance(step, TokenRequested) and step.attempt == 1:
            report.note("The same with curl:")
            report.verbatim(curl_command(config, step))

    write_result(format_result(fetch_token(config, show), output))


def format_result(response: TokenResponse, form: str) -> str:
    """The result as it goes to stdout.

    Args:
        response: the token response.
        form: one of `FORMS`.

    Returns:
        One line. The access token was checked to hold no blank and no line end.

    Raises:
        UnusableAnswerError: the form says Bearer, and the token is of another type (RFC 6749 section 7.1).
    """
    if form == "json":
        return dumps(response.raw)
    if form == "token":
        return response.access_token
    if response.token_type.lower() not in ("bearer", ""):
        raise UnusableAnswerError(
            f"the token is of the type {response.token_type}, which cannot be used as a Bearer token",
            hint="use -o json and follow the specification of that type",
        )
    if form == "header":
        return f"Authorization: Bearer {response.access_token}"
    variables = {"BANNO_ACCESS_TOKEN": response.access_token, "BANNO_TOKEN_TYPE": "Bearer"}
    if response.expires_at is not None:
        variables["BANNO_TOKEN_EXPIRES_AT"] = str(response.expires_at)
    return "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())


def curl_command(config: ClientConfig, request: Any) -> str:
    """The equivalent curl command, for a POSIX shell. The assertion reaches curl on standard input.

    Args:
        config: the client.
        request: the `TokenRequested` step.

    Returns:
        The command, on several lines; no secret is in it.
    """
    sign = ["banno-creds", "sign-jwt", "--quiet", "--client-id", config.client_id]
    if config.private_key.path is not None:
        sign += ["--private-key", config.private_key.origin]
    elif config.private_key.origin != KEY_VARIABLE:
        sign += ["--private-key", "private.pem"]
    if config.private_key.allow_writable:
        sign.append("--allow-writable-key")
    for name, value in (("--alg", config.alg), ("--kid", config.kid)):
        sign += [name, value] if value else []
    sign += ["--aud", config.aud or request.url, "--lifetime", str(config.lifetime)]
    sign += ["--iat"] if config.iat else []
    for name, value in config.claims.items():
        sign += ["--claim", f"{name}:={dumps(value)}"]
    curl = ["curl", "--silent", "--show-error"]
    if config.ca_bundle is not None:
        curl += ["--capath" if config.ca_bundle.is_dir() else "--cacert", str(config.ca_bundle)]
    data = [
        shlex.join(["--data-urlencode", f"{name}={value}"])
        for name, value in request.form
        if name != "client_assertion"
    ]
    # curl would send a line end that it reads along with the value.
    lines = [
        shlex.join(sign),
        "| tr -d '\\n'",
        "| " + shlex.join(curl),
        *data,
        "--data-urlencode client_assertion@-",
        shlex.quote(request.url),
    ]
    return " \\\n  ".join(lines)
