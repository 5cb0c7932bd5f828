"""``banno-creds decode``: look into a JWT, and verify it if asked."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.cli.inputs import Argument, check_file_or_url, file_argument, pasted, read_pasted
from banno_creds.cli.options import network_options, steps_options
from banno_creds.cli.parameters import Command, option
from banno_creds.cli.report import write_result
from banno_creds.cli.settings import report_for, run_for
from banno_creds.errors import TokenError
from banno_creds.jose.decode import MOST_CHARACTERS, NO_KEY, what_else
from banno_creds.tokens.inspection import TokenChecks

if TYPE_CHECKING:
    from banno_creds.tokens.inspection import InspectedToken


@click.command("decode", cls=Command)
@click.argument("token", cls=Argument, says=pasted("token"), nargs=-1, metavar="[TOKEN|-]")
@option(
    "--file",
    command="decode",
    type=click.Path(path_type=Path),
    section="Input",
    help="Read it from a file, - for standard input.",
)
@option("--full", command="decode", is_flag=True, section="Output", help="Print header, payload and signature.")
@steps_options
@option(
    "--public-key",
    command="decode",
    type=click.Path(path_type=Path),
    section="Verification",
    help="Verify the signature with this public key, certificate or JWK.",
)
@option("--jwks", command="decode", metavar="FILE|URL", section="Verification", help="Verify with this JWK Set.")
@option(
    "--issuer",
    command="decode",
    metavar="URL",
    section="Verification",
    help="The value that iss must have; without a key, verify with the JWK Set that this issuer publishes.",
)
@option(
    "--audience",
    command="decode",
    metavar="VALUE",
    section="Verification",
    help="The value that aud must have or contain.",
)
@option(
    "--check-expiry",
    command="decode",
    is_flag=True,
    section="Verification",
    help="Fail if the token is expired or not valid yet; a verified token is always checked.",
)
@option(
    "--leeway",
    command="decode",
    type=int,
    default=0,
    show_default=True,
    metavar="SECONDS",
    section="Verification",
    help="By how much the clocks may differ.",
)
@network_options
@click.pass_context
def command(
    context: click.Context,
    /,
    token: tuple[str, ...],
    file: Path | None,
    *,
    full: bool,
    check_expiry: bool,
    **values: Any,
) -> None:
    """Show what a token says.

    TOKEN is a JWT, a whole token response, a header with Bearer in it, or what -o env printed. On a shared
    machine, give it on standard input or by --file: everybody on the machine can see arguments.

    The payload goes to standard output as JSON, the header and the times to standard error.
    """
    from banno_creds.tokens.inspection import inspect_token

    if values["jwks"]:
        check_file_or_url(values["jwks"])
    checks = TokenChecks(
        expiry=check_expiry,
        **{name: values[name] for name in ("public_key", "jwks", "issuer", "audience", "leeway")},
        timeout=values["timeout"],
        ca_bundle=values["ca_bundle"],
    )
    if token and context.get_parameter_source("file") is not ParameterSource.COMMANDLINE:
        file = None  # an argument beats the variable
    inspected = inspect_token(_read(token, file), checks, run_for(context, report_for(values)))
    write_result(dumps(_everything(inspected) if full else inspected.token.payload, indent=2))


def _read(token: tuple[str, ...], file: Path | None) -> str:
    text = read_pasted("decode", "token", token, file)
    file = file or file_argument(token)
    what = what_else(text) if file not in (None, Path("-")) and len(text) <= MOST_CHARACTERS else None
    if what is not None:
        raise TokenError(f"{file} holds {what}, not a token", hint=NO_KEY)
    return text


def _everything(inspected: InspectedToken) -> dict[str, Any]:
    token = inspected.token
    return {
        "header": token.header,
        "payload": token.payload,
        "signature": {
            "verified": inspected.verified_by is not None,
            "alg": token.header.get("alg"),
            "key": inspected.verified_by,
            "value": token.compact.rpartition(".")[2],
        },
    }
