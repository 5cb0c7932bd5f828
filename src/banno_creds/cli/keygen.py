"""``banno-creds keygen``: a key pair, or the public half of a private key."""

from __future__ import annotations

import shlex
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from banno_creds.cli.options import Command, StandardInput, option, passphrase, read_passphrase
from banno_creds.config import KeySource
from banno_creds.errors import ConfigurationError
from banno_creds.report import Report, write_result

if TYPE_CHECKING:
    from banno_creds.keys import PrivateKey

_DEFAULT_BITS = "2048"


@click.command("keygen", cls=Command)
@option(
    "--type",
    "key_type",
    command="keygen",
    type=click.Choice(["rsa", "ec"]),
    default="rsa",
    show_default=True,
    section="Key",
    help="rsa (signs with PS256 or RS256), or ec for P-256 (ES256).",
)
@option(
    "--bits",
    command="keygen",
    type=click.Choice([_DEFAULT_BITS, "3072", "4096"]),
    section="Key",
    help="The size of an RSA key.  [default: 2048]",
)
@option(
    "--encrypt",
    command="keygen",
    is_flag=True,
    section="Key",
    help="Protect the private key with a passphrase; you are asked for it twice.",
)
@option(
    "--passphrase-file",
    command="keygen",
    metavar="FILE",
    section="Key",
    help="Protect the private key with the passphrase in this file, - for standard input.",
)
@option(
    "--public-from",
    command="keygen",
    metavar="FILE",
    section="Key",
    help="Make no new key: write the public half of this private one, - for standard input.",
)
@option(
    "--private-key",
    command="keygen",
    type=click.Path(path_type=Path),
    default=Path("private.pem"),
    show_default=True,
    section="Files",
    help="Where the private key goes: PKCS#8, mode 0600.",
)
@option(
    "--public-key",
    command="keygen",
    type=click.Path(path_type=Path),
    default=Path("public.pem"),
    show_default=True,
    section="Files",
    help="Where the public key goes: SPKI, the PEM to paste into Users & Groups.",
)
@option("--force", command="keygen", is_flag=True, section="Files", help="Replace files that exist already.")
@option(
    "--output",
    "-o",
    command="keygen",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    section="Output",
    help="How to say on standard output what was made.",
)
@option("--quiet", "-q", is_flag=True, section="Output", help="Leave out what to do next.")
@click.pass_context
def command(context: click.Context, /, private_key: Path, public_key: Path, **values: Any) -> None:
    """Make a key pair for a service account with signed JWT.

    Both files are written, or neither; existing ones are kept unless --force is given.
    """
    from banno_creds.files import PRIVATE_MODE, PUBLIC_MODE, NewFile, write_together

    report = Report(quiet=values["quiet"])
    stdin = StandardInput()
    given = context.get_parameter_source
    if values["public_from"] is not None:
        for name in ("key_type", "bits", "encrypt", "private_key"):
            if given(name) is click.core.ParameterSource.COMMANDLINE:
                option_name = "--type" if name == "key_type" else f"--{name.replace('_', '-')}"
                raise ConfigurationError(
                    f"--public-from makes no new key, so {option_name} means nothing", hint="leave it out"
                )
        key = _existing(values["public_from"], values["passphrase_file"], stdin, report)
        files = [NewFile(public_key, key.public.pem(), PUBLIC_MODE)]
    else:
        if values["key_type"] == "ec" and values["bits"] is not None:
            raise ConfigurationError("--bits is for RSA; a P-256 key has its size", hint="leave --bits out")
        if private_key.resolve() == public_key.resolve():
            raise ConfigurationError("both keys cannot go into one file", hint="choose another --public-key")
        secret = _new_passphrase(values["passphrase_file"], stdin, ask=values["encrypt"])
        key = _new(values["key_type"], int(values["bits"] or _DEFAULT_BITS))
        files = [
            NewFile(private_key, key.pem(secret), PRIVATE_MODE),
            NewFile(public_key, key.public.pem(), PUBLIC_MODE),
        ]
    write_together(files, replace=values["force"])
    written = {"public_key": str(public_key)}
    if values["public_from"] is None:
        written = {"private_key": str(private_key), **written}
    facts = {
        **written,
        "type": key.description,
        "fingerprint": key.public.fingerprint(),
        "thumbprint": key.public.thumbprint(),
    }
    if values["output"] == "json":
        write_result(dumps({**facts, "jwk": key.public.jwk()}))
    else:
        write_result("\n".join(f"{name.replace('_', ' '):<12} {value}" for name, value in facts.items()))
    if not values["quiet"]:
        report.note(
            "Next, in Users & Groups:",
            "create an external application of the type Service account with Signed JWT, paste all of "
            f"{public_key} into its public key, choose the associated user, save, and copy the client ID it "
            "shows. The private key stays with you. Then:",
        )
        sign = ["--private-key", values["public_from"] or str(private_key)]
        report.verbatim(shlex.join(["banno-creds", "client-assertion", "--client-id", "CLIENT_ID", *sign]))


def _existing(source: str, passphrase_file: str | None, stdin: StandardInput, report: Report) -> PrivateKey:
    from banno_creds.flow import load_key

    if source == "-":
        found = KeySource("standard input", content=stdin.read("the private key"))
    else:
        # Its public half is taken, nothing is signed with it: that others may write it is not judged here.
        found = KeySource(source, path=Path(source).expanduser(), allow_writable=True)
    return load_key(found, passphrase(passphrase_file, stdin), report.step, thorough=True)


def _new(key_type: Literal["rsa", "ec"], bits: int) -> PrivateKey:
    from banno_creds.keys import generate

    return generate(key_type, bits)


def _new_passphrase(file: str | None, stdin: StandardInput, *, ask: bool) -> bytes | None:
    if file is not None:
        return read_passphrase(file, stdin)
    if not ask:
        return None
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError(
            "--encrypt asks for a passphrase, and there is no terminal to ask at",
            hint="give --passphrase-file FILE, - for standard input",
        )
    answer: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt="The same again", err=True)
    return answer.encode("utf-8")
