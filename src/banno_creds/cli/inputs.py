"""Input besides the options' values: standard input, files, questions at the terminal."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.checks import is_url
from banno_creds.cli.parameters import held
from banno_creds.cli.report import Report
from banno_creds.config import KEY_VARIABLE, PIN_VARIABLE, SECRET_VARIABLE, KeySource, TypedSecret
from banno_creds.errors import ConfigurationError, PassphraseError
from banno_creds.key_uri import check_key_uri, has_pin, is_key_uri
from banno_creds.secrecy import is_private_key, is_private_key_file
from banno_creds.storage.secret_files import (
    MOST_BYTES,
    as_utf8,
    no_such_file,
    read_file,
    read_private_file,
    secret_line,
)
from banno_creds.text import is_placeholder, unseen

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.client_authentication.methods import SecretSource
    from banno_creds.profiles.lookup import Profile


END_OF_INPUT = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
"""What ends the input at a terminal."""


class StandardInput:
    """Standard input, which can be read for one purpose only."""

    def __init__(self) -> None:
        self._taken_for: str | None = None

    def read(self, what: str, most: int = MOST_BYTES) -> bytes:
        """Read all of it, up to a bound and one byte; ``what`` names the purpose in errors."""
        if self._taken_for is not None:
            raise ConfigurationError(
                f"standard input cannot be both {self._taken_for} and {what}", hint="give one of them as a file"
            )
        self._taken_for = what
        if sys.stdin is None:
            raise ConfigurationError(f"{what} should come from standard input, which is closed", hint="give a file")
        if sys.stdin.isatty():
            Report().note(f"Reading {what}: paste it, then press {END_OF_INPUT}.")
        return sys.stdin.buffer.read(most + 1)


class Argument(click.Argument):
    """An argument that is explained in the help; not every version of click has help for arguments."""

    def __init__(self, *args: Any, says: str, section: str = "Input", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        self._says = says

    def get_help_record(self, _context: click.Context) -> tuple[str, str]:
        """Explain it; that it may be left out is seen in the usage."""
        return re.sub(r"^\[(\w+)\]?|\]$", r"\1", str(self.metavar)), self._says


class KeyArgument(Argument):
    """Files, URIs or URLs of keys: none may be a private key itself, or have a PIN in it."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Refuse what everybody on the machine could see, before anything shows it."""
        places = [str(place) for place in value] if isinstance(value, tuple | list) else []
        if is_private_key(" ".join(places)):  # a shell may have split it
            from banno_creds.cli.mistakes import key_as_argument

            raise key_as_argument("an argument")
        for place in places:
            if has_pin(place):
                check_key_uri(place)
        return super().process_value(ctx, value)


def pasted(what: str) -> str:
    """Return the help of an argument that is pasted."""
    return f"The {what} itself, or a file that holds it. - or nothing reads it from standard input."


def file_argument(arguments: tuple[str, ...]) -> Path | None:
    """Return the file that an argument names in place of a token, whose text no file has for its name."""
    is_file = len(arguments) == 1 and arguments[0] != "-" and os.path.isfile(arguments[0])  # noqa: PTH113 - never raises
    return Path(arguments[0]) if is_file else None


def read_pasted(command: str, what: str, arguments: tuple[str, ...], file: Path | None) -> str:
    """Read the token or assertion that was given as an argument, in a file or on standard input."""
    article = "an" if what[0] in "aeiou" else "a"
    if file is not None and arguments:
        raise ConfigurationError(f"{article} {what} and --file exclude each other", hint="give one of them")
    file = file or file_argument(arguments)
    if file is not None and str(file) != "-":
        return _text(read_file(file, most=_MOST_PASTED_BYTES))
    if arguments not in ((), ("-",)):
        # A token that was wrapped, or has Bearer before it, is several arguments if it was not quoted.
        return " ".join(arguments)
    if file is None and not arguments and sys.stdin is not None and sys.stdin.isatty():
        raise ConfigurationError(
            f"there is nothing to {command.partition('-')[0]}",
            hint=f"give {article} {what}, - to type or paste it, or --file FILE",
        )
    return _text(StandardInput().read(f"the {what}"))


def _text(content: bytes) -> str:
    from banno_creds.jose.decode import MOST_CHARACTERS

    if len(content) > MOST_CHARACTERS:
        return content.decode("latin-1")  # too large in any encoding: one character for each byte shows that
    mark = "\ufeff" if content.startswith(b"\xef\xbb\xbf") else ""  # it would be sent, and no server takes it
    content = as_utf8(content)
    # Bytes that are not UTF-8 are kept, as in arguments: a private key in DER is recognised by its bytes.
    return mark + content.decode("utf-8", "surrogateescape")


# Much more than any token has, so that "too large" and "not a token" are told apart.
_MOST_PASTED_BYTES = 64 * 1024 * 1024


def key_source(
    context: click.Context, private_key: str | None, stdin: StandardInput, *, allow_writable: bool
) -> KeySource:
    """Return where the private key is: by the option, else the environment, else the profile."""
    source = context.get_parameter_source("private_key")
    in_variable = "" if source is ParameterSource.COMMANDLINE else held(context, KEY_VARIABLE)
    if private_key and in_variable and source is ParameterSource.ENVIRONMENT:
        raise ConfigurationError(
            f"BANNO_CREDS_PRIVATE_KEY and {KEY_VARIABLE} are both set, and only one key can sign",
            hint="unset one of them, or say --private-key FILE",
        )
    if in_variable:
        return KeySource(KEY_VARIABLE, content=os.fsencode(in_variable))
    if not private_key:
        if os.environ.get("BANNO_ACCESS_TOKEN"):
            raise ConfigurationError(
                "no private key was given, but there is a token in BANNO_ACCESS_TOKEN",
                hint="use that one; `banno-creds exec` takes the key's variables away from its command on purpose",
            )
        raise ConfigurationError(
            "no private key was given" + but_empty("BANNO_CREDS_PRIVATE_KEY", KEY_VARIABLE),
            hint="add --private-key FILE, or set BANNO_CREDS_PRIVATE_KEY to its path or "
            f"{KEY_VARIABLE} to the key itself",
        )
    if private_key == "-":
        return KeySource("standard input", content=stdin.read("the private key"))
    if is_key_uri(private_key):
        return KeySource.at(private_key)
    return KeySource(private_key, path=expand(private_key), allow_writable=allow_writable)


def but_empty(*variables: str) -> str:
    """Return what to add to a message about a missing setting: its variable is there, and nothing is in it.

    A CI job has such a variable if the secret's name is misspelt.
    """
    empty = [variable for variable in variables if os.environ.get(variable) == ""]
    return f": {' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} set, but empty" if empty else ""


def passphrase(
    file: str | None,
    stdin: StandardInput,
    profile: Profile | None = None,
    *,
    pin: bool = False,
    whose: str = "the private key",
    asks: bool = True,
) -> Callable[[], bytes | None]:
    """Return the function that gets the passphrase if the key needs one: from the file, or asked at a terminal.

    With ``pin`` it is the PIN of a PKCS #11 token, which a variable may hold; ``whose`` is named by the question, and
    nobody is asked unless ``asks``.
    """

    def ask() -> bytes | None:
        if file is not None and profile is not None and not os.path.exists(file):  # noqa: PTH110 - as above
            from banno_creds.profiles.lookup import no_passphrase_file

            raise no_passphrase_file(profile.where)
        if file is not None:
            return read_passphrase(file, stdin)
        if pin and os.environ.get(PIN_VARIABLE):
            return os.fsencode(os.environ[PIN_VARIABLE]).rstrip(b"\r\n")
        if asks and can_ask():
            return TypedSecret(prompt("PIN of the token" if pin else f"Passphrase of {whose}"))
        if not asks and not pin:
            raise PassphraseError(
                f"{whose} is encrypted, and among many profiles nobody is asked for a passphrase",
                hint="put it into a file: banno-creds profile set NAME --passphrase-file FILE",
            )
        return None

    return cache(ask)  # `api` may need a second token, and standard input is read only once


def can_ask() -> bool:
    """Return whether somebody can be asked: standard input and standard error are terminals."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def prompt(question: str, again: str | None = None) -> bytes:
    """Ask for a secret at the terminal without showing it; twice if ``again`` is a second question."""
    from banno_creds.cli import hidden

    while True:
        answer = hidden.ask(question)
        if not answer:
            continue
        try:
            answer.decode("utf-8")
        except UnicodeError:
            raise ConfigurationError(
                "the passphrase typed is not text as this terminal should send it (UTF-8)",
                hint="check the terminal's encoding, or give --passphrase-file FILE",
            ) from None
        if again is None or hidden.ask(again) == answer:
            return answer
        Report().warning("the two do not match", "type both again")


def expand(path: str | Path) -> Path:
    """Return a path with ``~`` resolved. Unlike Path's own method it leaves an unknown user's ``~name`` as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def read_passphrase(file: str, stdin: StandardInput) -> bytes:
    """Read a passphrase; see `read_secret`."""
    return read_secret(file, stdin, "passphrase", "--passphrase-file")


def read_secret(file: str, stdin: StandardInput, what: str, option: str) -> bytes:
    """Read a secret of one line from a file or, for ``-``, standard input; ``option`` is named in errors."""
    if file == "-":
        secret = stdin.read(f"the {what}")
    elif not os.path.exists(expand(file)):  # noqa: PTH110 - unlike Path's, it never raises
        odd = unseen(file)
        raise ConfigurationError(
            f"the {what} file does not exist (its name is not shown: it might be the {what})"
            + (f": {odd}" if odd else ""),
            hint=f"{option} wants a file's path, or - for standard input; never the {what} itself",
        )
    else:
        found = read_private_file(expand(file), what=f"{what} file", error=ConfigurationError)
        for message, hint in found.warnings:
            Report().warning(message, hint)
        secret = found.content
    return secret_line(secret, what)


def client_secret(file: str | None, stdin: StandardInput, *, asks: bool) -> SecretSource | None:
    """Return where the client secret is: a file, else the variable, else the terminal if ``asks``; else None."""
    from banno_creds.client_authentication.methods import SecretSource

    origin = file if file is not None else SECRET_VARIABLE
    if file is None and not os.environ.get(SECRET_VARIABLE):
        if not asks or not can_ask():
            return None
        origin = "typed at the terminal"

    def read() -> str:
        if file is not None:
            secret = read_secret(file, stdin, "client secret", "--client-secret-file")
        elif origin == SECRET_VARIABLE:
            secret = os.fsencode(os.environ[SECRET_VARIABLE]).rstrip(b"\r\n")
        else:
            secret = prompt("Client secret (no --private-key was given)")
        if is_private_key_file(secret):
            raise ConfigurationError(
                "what should be the client secret looks like a private key (not shown here)",
                hint="a private key is for --private-key FILE",
            )
        text = secret.decode("latin-1")
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`"
        if quoted or is_placeholder(text, "(?:client|app|application)[-_ ]?secret"):
            raise ConfigurationError(
                "the client secret has quotation marks around it, or is a placeholder (not shown)",
                hint="give it as Users & Groups showed it; in CI, check how the variable is filled in",
            )
        # RFC 6749 appendix A.2: VSCHAR.
        if not secret or not all(0x20 <= byte <= 0x7E for byte in secret) or secret != secret.strip():
            raise ConfigurationError(
                "the client secret is empty, or has something in it that no client secret has: a blank around it, a "
                "line end, a character outside ASCII",
                hint="copy it again from Users & Groups; in CI, look at the variable's last character",
            )
        return secret.decode("ascii")

    return SecretSource("standard input" if file == "-" else origin, cache(read))


def check_file_or_url(value: str) -> str:
    """Refuse a file that does not exist; URLs are checked elsewhere."""
    if not is_url(value) and not os.path.exists(value):  # noqa: PTH110 - unlike Path's, it never raises
        raise no_such_file(value).but(hint="give a file's path, or a URL with https://")
    return value
