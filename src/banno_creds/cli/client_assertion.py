"""``banno-creds client-assertion``: from the private key to the access token, each step shown as it happens."""

from __future__ import annotations

from itertools import chain
from json import dumps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from banno_creds.checks import is_loopback
from banno_creds.cli.forms import FORMS, FORMS_HELP, check_form, write_token
from banno_creds.cli.options import key_options, request_options, steps_options
from banno_creds.cli.parameters import PROFILE, Choice, Command, option
from banno_creds.cli.settings import client_config, report_for, run_for
from banno_creds.config import DEFAULT_LIFETIME, KEY_VARIABLE

if TYPE_CHECKING:
    from banno_creds.config import ClientConfig
    from banno_creds.shells import Shell
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

    report = report_for(values)
    check_form(output, report)
    config = client_config(context, values)

    def show(step: Step) -> None:
        report.step(step)
        if curl and isinstance(step, TokenRequested) and step.attempt == 1:
            from banno_creds.shells import at_hand

            shell, own_options = at_hand(), PROFILE in context.meta
            report.note("The same with curl:" if shell == "posix" else "The same with curl, in PowerShell:")
            report.verbatim(
                curl_command(config, step, values["passphrase_file"], without_profile=own_options, shell=shell)
            )

    response = ClientCredentials(config).fetch(run_for(context, report)._replace(emit=show))
    report.end()
    write_token(response, output)


def curl_command(
    config: ClientConfig,
    request: TokenRequested,
    passphrase_file: str | None,
    *,
    without_profile: bool,
    shell: Shell = "posix",
) -> str:
    """Return the same for curl, without a secret: two commands, so that curl needs the first one.

    The assertion is in a variable of the shell, for cmd too in one of PowerShell, and reaches curl on standard input;
    no process has it as an argument. With ``without_profile`` the profile's settings are written out as options.
    """
    from banno_creds.shells import join

    sign: list[tuple[str, ...]] = [("--client-id", config.client_id)]
    if without_profile:
        sign.insert(0, ("--profile=",))
    if config.private_key.path is not None or config.private_key.uri is not None:
        sign.append(("--private-key", config.private_key.origin))
    elif config.private_key.origin != KEY_VARIABLE:
        sign.append(("--private-key", "-"))
    if passphrase_file is not None:
        sign.append(("--passphrase-file", passphrase_file))
    if config.private_key.allow_writable:
        sign.append(("--allow-writable-key",))
    sign += [(name, value) for name, value in (("--alg", config.alg), ("--kid", config.key_id)) if value]
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
    if shell != "posix":
        return _for_powershell(sign, curl, request.url, "pwsh" if shell == "pwsh" else "powershell")
    curl += [("--data-urlencode", "client_assertion@-"), (request.url,)]

    def joined(options: list[tuple[str, ...]]) -> str:
        return "".join(f" \\\n  {join(words, shell)}" for words in options)

    return (
        f'assertion="$(banno-creds sign-jwt --quiet{joined(sign)})" &&\n'
        f'printf %s "$assertion" | curl --silent --show-error --fail-with-body{joined(curl)}'
    )


def _for_powershell(sign: list[tuple[str, ...]], curl: list[tuple[str, ...]], url: str, shell: Shell) -> str:
    """Return both commands for PowerShell, a line each.

    Its pipe ends the text with a line end. curl takes that out of ``--data @-`` alone, and an assertion has no
    character that must be encoded.
    """
    from banno_creds.shells import join

    first = join(["banno-creds", "sign-jwt", "--quiet", *chain.from_iterable(sign)], shell)
    # In Windows PowerShell, curl is a name for something else.
    words = ["curl.exe", "--silent", "--show-error", "--fail-with-body", *chain.from_iterable(curl)]
    words += ["--data", "@-", url]
    return f'$assertion = {first}\nif ($assertion) {{ "client_assertion=$assertion" | {join(words, shell)} }}'
