"""``banno-creds decode``: look into a JWT, and verify it if asked."""

from __future__ import annotations

import os
import shlex
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.cli.inputs import StandardInput, check_file_or_url
from banno_creds.cli.options import (
    Command,
    network_options,
    option,
    report_for,
    steps_options,
)
from banno_creds.config import TokenChecks
from banno_creds.decode import MOST_CHARACTERS, NO_KEY, what_else
from banno_creds.errors import ConfigurationError, TokenError
from banno_creds.files import read_file
from banno_creds.report import write_result

if TYPE_CHECKING:
    from banno_creds.flow import InspectedToken


class _Token(click.Argument):
    """The argument, which stands in the help beside the option that it can be replaced by."""

    section = "Input"

    def get_help_record(self, _context: click.Context) -> tuple[str, str]:
        """Explain it; not every version of click has help for arguments."""
        return "TOKEN|-", "The token itself; - or nothing to read it from standard input."


@click.command("decode", cls=Command)
@click.argument("token", cls=_Token, nargs=-1, metavar="[TOKEN|-]")
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

    TOKEN is a JWT, a whole token response, a header with Bearer in it, or what -o env printed. Where others use the
    machine, give it on standard input or by --file: everybody on it can see an argument.

    The payload goes to standard output as JSON, the header and the times to standard error.
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
    if token and context.get_parameter_source("file") is not ParameterSource.COMMANDLINE:
        file = None  # what was typed is meant, whatever the variable says
    inspected = inspect_token(_read(token, file), checks, report_for(values).step)
    write_result(dumps(_everything(inspected) if full else inspected.token.payload, indent=2))


def _read(arguments: tuple[str, ...], file: Path | None) -> str:
    if file is not None and arguments:
        raise ConfigurationError("a token and --file exclude each other", hint="give one of them")
    if file is not None and str(file) != "-":
        text = _text(read_file(file, most=_MOST_BYTES))
        if len(text) <= MOST_CHARACTERS and (what := what_else(text)) is not None:
            raise TokenError(f"{file} holds {what}, not a token", hint=NO_KEY)
        return text
    if arguments not in ((), ("-",)):
        if len(arguments) == 1 and os.path.isfile(arguments[0]):  # noqa: PTH113 - unlike Path's, it never raises
            raise ConfigurationError(
                f"{arguments[0]} is a file, and the argument is a token",
                hint=shlex.join(["banno-creds", "decode", "--file", arguments[0]]),
            )
        # A token that was wrapped, or has Bearer before it, is several arguments if it was not quoted.
        return " ".join(arguments)
    if file is None and not arguments and sys.stdin is not None and sys.stdin.isatty():
        raise ConfigurationError(
            "there is nothing to decode", hint="give a token, - to type or paste it, or --file FILE"
        )
    return _text(StandardInput().read("the token"))


def _text(content: bytes) -> str:
    if len(content) > MOST_CHARACTERS:
        return content.decode("latin-1")  # too large whatever it says: a character for each byte shows that
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's ">" writes UTF-16
        return content.decode("utf-16", "replace")
    return content.decode("utf-8", "replace")


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
