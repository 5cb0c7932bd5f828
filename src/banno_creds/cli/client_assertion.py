"""``banno-creds client-assertion``: from the private key to the access token, each step shown as it happens."""

from __future__ import annotations

import shlex
from json import dumps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from banno_creds.cli.forms import FORMS, FORMS_HELP, check_form, write_token
from banno_creds.cli.options import key_options, request_options, steps_options
from banno_creds.cli.parameters import PROFILE, Choice, Command, option
from banno_creds.cli.settings import client_config, report_for, run_for
from banno_creds.config import DEFAULT_LIFETIME, KEY_VARIABLE, is_loopback

if TYPE_CHECKING:
    from banno_creds.config import ClientConfig
    from banno_creds.steps import TokenRequested


@click.command("client-assertion", cls=Command)
@key_options
@request_options
@option(
    "--output",
    "-o",
    type=Choice(FORMS),
    default="json",
    show_default=True,
    section="Output",
    help=FORMS_HELP,
)
@option("--curl", is_flag=True, section="Output", help="Show the same with curl too, on standard error.")
@steps_options
@click.pass_context
def command(context: click.Context, /, output: str, *, curl: bool, **values: Any) -> None:
    """Get an access token: sign the assertion, ask the token endpoint, show each step.

    The steps go to standard error, the result to standard output.
    """
    from banno_creds.steps import Step, TokenRequested
    from banno_creds.tokens.client_credentials import ClientCredentials

    check_form(output)
    report = report_for(values)
    config = client_config(context, values)

    def show(step: Step) -> None:
        report.step(step)
        if curl and isinstance(step, TokenRequested) and step.attempt == 1:
            report.note("The same with curl:")
            report.verbatim(
                curl_command(config, step, values["passphrase_file"], without_profile=PROFILE in context.meta)
            )

    response = ClientCredentials(config).fetch(run_for(context, report)._replace(emit=show))
    report.end()
    write_token(response, output)


def curl_command(
    config: ClientConfig, request: TokenRequested, passphrase_file: str | None, *, without_profile: bool
) -> str:
    """Return the same for a POSIX shell and curl, without a secret: two commands, so that curl needs the first one.

    The assertion is in a shell variable and reaches curl on standard input; ``printf`` is built into the shell, so no
    process has it as an argument. With ``without_profile`` the profile's settings are written out as options.
    """
    sign: list[tuple[str, ...]] = [("--client-id", config.client_id)]
    if without_profile:
        sign.insert(0, ("--profile", ""))
    if config.private_key.path is not None:
        sign.append(("--private-key", config.private_key.origin))
    elif config.private_key.origin != KEY_VARIABLE:
        sign.append(("--private-key", "-"))
    if passphrase_file is not None:
        sign.append(("--passphrase-file", passphrase_file))
    if config.private_key.allow_writable:
        sign.append(("--allow-writable-key",))
    sign += [(name, value) for name, value in (("--alg", config.alg), ("--kid", config.kid)) if value]
    sign.append(("--aud", config.aud or request.url))
    if config.lifetime != DEFAULT_LIFETIME:
        sign.append(("--lifetime", str(config.lifetime)))
    if config.iat:
        sign.append(("--iat",))
    sign += [("--claim", f"{name}:={dumps(value)}") for name, value in config.claims.items()]

    # curl interprets brackets in a URL; and requests to loopback use no proxy.
    curl: list[tuple[str, ...]] = [("--globoff",), ("--max-time", f"{config.timeout:g}")]
    if is_loopback(urlsplit(request.url).hostname or ""):
        curl.append(("--noproxy", "*"))
    if config.ca_bundle is not None:
        curl.append(("--capath" if config.ca_bundle.is_dir() else "--cacert", str(config.ca_bundle)))
    curl += [("--data-urlencode", f"{name}={value}") for name, value in request.form if name != "client_assertion"]
    curl += [("--data-urlencode", "client_assertion@-"), (request.url,)]

    def joined(options: list[tuple[str, ...]]) -> str:
        return "".join(f" \\\n  {shlex.join(words)}" for words in options)

    return (
        f'assertion="$(banno-creds sign-jwt --quiet{joined(sign)})" &&\n'
        f'printf %s "$assertion" | curl --silent --show-error --fail-with-body{joined(curl)}'
    )
