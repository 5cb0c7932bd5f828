"""``banno-creds keygen``: a key pair, or the public half of a private key."""

from __future__ import annotations

import os
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from banno_creds.cli import replaced_keys
from banno_creds.cli.inputs import StandardInput, expand, passphrase, prompt, read_passphrase
from banno_creds.cli.parameters import Choice, Command, complete_key, option
from banno_creds.cli.report import Report, write_result
from banno_creds.config import KeySource
from banno_creds.errors import ConfigurationError
from banno_creds.key_uri import is_key_uri
from banno_creds.shells import join
from banno_creds.steps import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.cli.replaced_keys import Old
    from banno_creds.jose.keys import PrivateKey
    from banno_creds.key_holders.held_key import HeldKey

_DEFAULT_BITS = "2048"
_MOST_PASSPHRASE_BYTES = 1023  # OpenSSL's own limit


@click.command("keygen", cls=Command)
@option(
    "--type",
    "key_type",
    command="keygen",
    type=Choice(["rsa", "ec"]),
    default="rsa",
    show_default=True,
    section="Key",
    help="rsa (signs with PS256 or RS256), or ec for P-256 (ES256).",
)
@option(
    "--bits",
    command="keygen",
    type=Choice([_DEFAULT_BITS, "3072", "4096"]),
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
    help="Protect the private key with the passphrase in this file, - for standard input; with --public-from, "
    "the passphrase that opens it.",
)
@option(
    "--public-from",
    command="keygen",
    metavar="FILE|URI",
    section="Key",
    shell_complete=complete_key,
    help="Write the public half of this private key, - for standard input; no new key is made. The key may be held "
    "elsewhere: pkcs11:, awskms:, vault:, ssh-agent:.",
)
@option(
    "--allow-writable-key",
    "allow_writable",
    command="keygen",
    is_flag=True,
    section="Key",
    help="With --public-from, accept a key file that others can write.",
)
@option(
    "--private-key",
    command="keygen",
    type=click.Path(path_type=Path),
    default=Path("private.pem"),
    show_default=True,
    section="Files",
    help="Where the private key goes: PKCS#8, for you alone.",
)
@option(
    "--public-key",
    command="keygen",
    type=click.Path(path_type=Path),
    default=Path("public.pem"),
    show_default=True,
    section="Files",
    help="Where the public key goes: SPKI, the PEM to paste into Users & Groups; with --public-from, - for standard "
    "output.",
)
@option(
    "--force",
    command="keygen",
    is_flag=True,
    section="Files",
    help="Replace existing files; the old ones stay beside them, under names with the old key's thumbprint.",
)
@option("--yes", command="keygen", is_flag=True, section="Files", help="With --force, do not ask at a terminal.")
@option(
    "--output",
    "-o",
    command="keygen",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    section="Output",
    help="The form of the result on standard output.",
)
@option("--quiet", "-q", is_flag=True, section="Output", help="Do not show what to do next.")
@click.pass_context
def command(context: click.Context, /, private_key: Path, public_key: Path, **values: Any) -> None:
    """Make a key pair for a service account with signed JWT.

    Both files are written, or neither. An existing key is never lost: without --force nothing is replaced, and with
    it the old files stay under other names.
    """
    report = Report(quiet=values["quiet"])
    stdin = StandardInput()
    printed = values["public_from"] is not None and str(public_key) == "-"
    for name, path in (("--private-key", private_key), ("--public-key", public_key)):
        if str(path) == "-" and not (printed and path is public_key):
            raise ConfigurationError(f"{name} is written to a file, and - is none", hint="give a file's path")
    if values["public_from"] is not None:
        _refuse_options_of_a_new_key(context)
    if printed:
        if values["output"] == "json":
            raise ConfigurationError(
                "standard output cannot be both the public key and JSON", hint="leave -o json out, or give a file"
            )
        write_result(_existing(values, stdin, report).public.pem().decode("ascii").removesuffix("\n"))
        return
    private_key, public_key = expand(private_key), expand(public_key)
    if values["public_from"] is not None:
        key, kept = _write_public_half(public_key, values, stdin, report)
        written = {"public_key": str(public_key)}
    else:
        key, kept = _write_new_pair(private_key, public_key, values, stdin)
        written = {"private_key": str(private_key), "public_key": str(public_key)}
    facts = {
        **written,
        "type": key.description,
        "fingerprint": key.public.fingerprint(),
        "thumbprint": key.public.thumbprint(),
    }
    if values["output"] == "json":
        more = {"kept": [str(old.place) for old in kept]} if kept else {}
        write_result(dumps({**facts, **more, "jwk": key.public.jwk()}))
    else:
        write_result("\n".join(f"{name.replace('_', ' '):<12} {value}" for name, value in facts.items()))
    if kept:
        report.warning(*replaced_keys.said(kept))
    if not values["quiet"]:
        _say_what_is_next(report, public_key, private_key, values)


def _write_public_half(
    public_key: Path, values: Mapping[str, Any], stdin: StandardInput, report: Report
) -> tuple[PrivateKey | HeldKey, list[Old]]:
    """Write the public half of an existing key; return the key, and the files that are kept."""
    from banno_creds.storage.secret_files import PUBLIC_MODE, NewFile, write_together

    source = values["public_from"]
    if source != "-" and not is_key_uri(source) and _same(expand(source), public_key):
        raise ConfigurationError(
            "the public key cannot go into the file of the private one", hint="choose another --public-key"
        )
    replaced_keys.check_places(None, public_key, values)
    key = _existing(values, stdin, report)
    old = replaced_keys.find(None, public_key, key.public)
    replaced_keys.ask(old, values)
    file = NewFile(public_key, key.public.pem(), PUBLIC_MODE, replaced_keys.content_of(public_key))
    write_together([*replaced_keys.files(old), file], replace=values["force"])
    return key, old


def _write_new_pair(
    private_key: Path, public_key: Path, values: Mapping[str, Any], stdin: StandardInput
) -> tuple[PrivateKey, list[Old]]:
    """Make a key pair, and write it; return the key, and the files that are kept."""
    from banno_creds.storage.own_files import PRIVATE_MODE
    from banno_creds.storage.secret_files import PUBLIC_MODE, NewFile, write_together

    if values["key_type"] == "ec" and values["bits"] is not None:
        raise ConfigurationError("--bits is for RSA; a P-256 key has its size", hint="leave --bits out")
    if _same(private_key, public_key):
        raise ConfigurationError("both keys cannot go into one file", hint="choose another --public-key")
    # Checked before asking for a passphrase, and again when the files are written.
    replaced_keys.check_places(private_key, public_key, values)
    old = replaced_keys.find(private_key, public_key)
    replaced_keys.ask(old, values)
    secret = _new_passphrase(values["passphrase_file"], stdin, ask=values["encrypt"])
    key = _new(values["key_type"], int(values["bits"] or _DEFAULT_BITS))
    replaced = {one.path: one.content for one in old}
    pair = [
        NewFile(private_key, key.pem(secret), PRIVATE_MODE, replaced.get(private_key, b"")),
        NewFile(public_key, key.public.pem(), PUBLIC_MODE, replaced.get(public_key, b"")),
    ]
    # The old ones first: whatever ends this in the middle, they are somewhere.
    write_together([*replaced_keys.files(old), *pair], replace=values["force"])
    return key, old


def _say_what_is_next(report: Report, public_key: Path, private_key: Path, values: Mapping[str, Any]) -> None:
    keeper = "its holder" if is_key_uri(values["public_from"] or "") else "you"
    report.note(
        "Next, in Users & Groups:",
        "create an external application of the type Service account with Signed JWT, paste all of "
        f"{public_key} into its public key, choose the associated user, save, and copy the client ID it "
        f"shows. The private key stays with {keeper}. Then:",
    )
    sign = ["--private-key", values["public_from"] or str(private_key)]
    if values["passphrase_file"] not in (None, "-"):
        sign += ["--passphrase-file", values["passphrase_file"]]
    report.verbatim(join(["banno-creds", "client-assertion", "--client-id", "CLIENT_ID", *sign]))
    report.note("For an application that people sign in to, see: banno-creds login --help")


def _same(one: Path, other: Path) -> bool:
    # The names of files that are not there yet may differ in case alone, and be one file on Windows.
    return os.path.normcase(_real(one)) == os.path.normcase(_real(other))


def _real(path: Path) -> str:
    try:
        return os.path.realpath(path)
    except OSError:  # a device of Windows, which is refused later
        return os.path.abspath(path)  # noqa: PTH100 - as above


def _refuse_options_of_a_new_key(context: click.Context) -> None:
    for name in ("key_type", "bits", "encrypt", "private_key"):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option_name = "--type" if name == "key_type" else f"--{name.replace('_', '-')}"
            raise ConfigurationError(
                f"--public-from makes no new key, so {option_name} means nothing", hint="leave it out"
            )


def _existing(values: Mapping[str, Any], stdin: StandardInput, report: Report) -> PrivateKey | HeldKey:
    from banno_creds.client_authentication.private_key import load_key

    source = values["public_from"]
    if source == "-":
        found = KeySource("standard input", content=stdin.read("the private key"))
    elif is_key_uri(source):
        found = KeySource.at(source)
    else:
        # Somebody who can write it could have put a key of their own there, and the bank would get its public half.
        found = KeySource(source, path=expand(source), allow_writable=values["allow_writable"])
    ask = passphrase(values["passphrase_file"], stdin, pin=source.lower().startswith("pkcs11:"))
    return load_key(found, ask, Run(report.step), thorough=True)


def _new(key_type: Literal["rsa", "ec"], bits: int) -> PrivateKey:
    from banno_creds.jose.keys import generate

    return generate(key_type, bits)


def _new_passphrase(file: str | None, stdin: StandardInput, *, ask: bool) -> bytes | None:
    if file is None and not ask:
        return None
    secret = _ask_twice() if file is None else read_passphrase(file, stdin)
    if len(secret) > _MOST_PASSPHRASE_BYTES:
        raise ConfigurationError(
            f"the passphrase is longer than {_MOST_PASSPHRASE_BYTES} bytes, and OpenSSL could not read the key",
            hint="choose a shorter one; 20 random characters are plenty",
        )
    return secret


def _ask_twice() -> bytes:
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError(
            "--encrypt asks for a passphrase, and there is no terminal to ask at",
            hint="give --passphrase-file FILE, - for standard input",
        )
    return prompt("New passphrase", "The same again")
