"""``banno-creds decode``: look into a JWT, and verify it if asked."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.options import (
    Command,
    StandardInput,
    check_file_or_url,
    network_options,
    option,
    report_for,
    steps_options,
)
from banno_creds.config import TokenChecks
from banno_creds.errors import ConfigurationError
from banno_creds.files import read_file
from banno_creds.report import write_result

if TYPE_CHECKING:
    from banno_creds.flow import InspectedToken


@click.command("decode", cls=Command)
@click.argument("token", required=False, metavar="[TOKEN|-]")
@option("--file", command="decode", type=click.Path(path_type=Path), section="Input", help="Read it from a file.")
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
    help="What iss must be; without a key, verify with the JWK Set this issuer publishes.",
)
@option("--audience", command="decode", metavar="VALUE", section="Verification", help="What aud must be or contain.")
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
def command(token: str | None, file: Path | None, *, full: bool, check_expiry: bool, **values: Any) -> None:
    """Show what a token says: a JWT, a whole token response, or a header with Bearer in it.

    The payload goes to standard output as JSON, the header and the times to standard error. Give the token on
    standard input where others use the machine: an argument can be seen by everybody on it.
    """
    from banno_creds.flow import inspect_token

    if values["jwks"]:
        check_file_or_url(values["jwks"])
    checks = TokenChecks(
        expiry=check_expiry,
        **{name: values[name] for name in ("public_key", "jwks", "issuer", "audience", "leeway")},
        timeout=values["timeout"],
        ca_bundle=values["ca_bundle"],
    )
    inspected = inspect_token(_read(token, file), checks, report_for(values).step)
    write_result(dumps(_everything(inspected) if full else inspected.token.payload, indent=2))


def _read(token: str | None, file: Path | None) -> str:
    if file is not None:
        if token is not None:
            raise ConfigurationError("a token and --file exclude each other", hint="give one of them")
        return read_file(file, most=_MOST_BYTES).decode("utf-8", "replace")
    if token not in (None, "-"):
        return token
    if token is None and sys.stdin is not None and sys.stdin.isatty():
        raise ConfigurationError(
            "there is nothing to decode", hint="give a token, - to type or paste it, or --file FILE"
        )
    return StandardInput().read("the token").decode("utf-8", "replace")


# So much more than a token can have that what is too large is told apart from what is not a token.
_MOST_BYTES = 64 * 1024 * 1024


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
