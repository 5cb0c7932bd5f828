"""What a command is given beside its options' values: on standard input, in files, at the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from banno_creds.config import KEY_VARIABLE, KeySource, is_url
from banno_creds.errors import ConfigurationError
from banno_creds.files import MOST_BYTES, read_private_file
from banno_creds.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.profiles import Profile


class StandardInput:
    """Standard input, which can be asked for one thing only."""

    def __init__(self) -> None:
        self._taken_for: str | None = None

    def read(self, what: str) -> bytes:
        """Read all of it.

        Args:
            what: what it is read for.

        Returns:
            What came, of bounded size.

        Raises:
            ConfigurationError: it was asked for before, or there is none.
        """
        if self._taken_for is not None:
            raise ConfigurationError(
                f"standard input cannot be both {self._taken_for} and {what}", hint="give one of them as a file"
            )
        self._taken_for = what
        if sys.stdin is None:
            raise ConfigurationError(f"{what} should come from standard input, which is closed", hint="give a file")
        if sys.stdin.isatty():
            Report().note(f"Reading {what}: paste it, then press Ctrl-D.")
        return sys.stdin.buffer.read(MOST_BYTES + 1)


def key_source(
    context: click.Context, private_key: str | None, stdin: StandardInput, *, allow_writable: bool
) -> KeySource:
    """Where the private key is: option, else environment, else profile.

    Args:
        context: the command's context.
        private_key: the value of ``--private-key``.
        stdin: standard input.
        allow_writable: whether a file that others can write is taken.

    Returns:
        The key's source.

    Raises:
        ConfigurationError: there is none, or two.
    """
    source = context.get_parameter_source("private_key")
    in_variable = "" if source is ParameterSource.COMMANDLINE else os.environ.get(KEY_VARIABLE, "")
    if private_key and in_variable and source is ParameterSource.ENVIRONMENT:
        raise ConfigurationError(
            f"BANNO_CREDS_PRIVATE_KEY and {KEY_VARIABLE} are both set, and only one key can sign",
            hint="unset one of them, or say --private-key FILE",
        )
    if in_variable:
        return KeySource(KEY_VARIABLE, content=in_variable.encode("utf-8", "surrogateescape"))
    if not private_key:
        if os.environ.get("BANNO_ACCESS_TOKEN"):
            raise ConfigurationError(
                "no private key was given, but there is a token in BANNO_ACCESS_TOKEN",
                hint="use that one; `banno-creds exec` takes the key's variables away from its command on purpose",
            )
        raise ConfigurationError(
            "no private key was given",
            hint="add --private-key FILE, or set BANNO_CREDS_PRIVATE_KEY to its path or "
            f"{KEY_VARIABLE} to the key itself",
        )
    if private_key == "-":
        return KeySource("standard input", content=stdin.read("the private key"))
    return KeySource(private_key, path=expand(private_key), allow_writable=allow_writable)


def passphrase(file: str | None, stdin: StandardInput, profile: Profile | None = None) -> Callable[[], bytes | None]:
    """How to come by the passphrase, if the key needs one.

    Args:
        file: the value of ``--passphrase-file``.
        stdin: standard input.
        profile: the profile that names the file, where one does.

    Returns:
        What `keys.load_private_key` may call: it reads the file, or asks at a terminal.
    """

    def ask() -> bytes | None:
        if file is not None and profile is not None and not os.path.exists(file):  # noqa: PTH110 - as above
            raise ConfigurationError(
                "the passphrase file does not exist (its name is not shown: it might be the passphrase)",
                hint="passphrase_file names a file, counted from the folder of config.toml, and never the passphrase",
                details=(profile.where,),
            )
        if file is not None:
            return read_passphrase(file, stdin)
        if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
            return prompt("Passphrase of the private key")
        return None

    return ask


def prompt(question: str, again: str | None = None) -> bytes:
    """Ask for a passphrase at the terminal, without showing what is typed.

    Args:
        question: what is asked.
        again: what is asked the second time, if it is to be typed twice.

    Returns:
        The passphrase.

    Raises:
        ConfigurationError: it is not text as this terminal should send it.
    """
    try:
        answer: str = click.prompt(question, hide_input=True, confirmation_prompt=again or False, err=True)
        return answer.encode("utf-8")
    except UnicodeError:
        raise ConfigurationError(
            "the passphrase typed is not text as this terminal should send it (UTF-8)",
            hint="check the terminal's encoding, or give --passphrase-file FILE",
        ) from None


def expand(path: str | Path) -> Path:
    """A path with ``~`` resolved. Unlike Path's own method it takes an unknown user's ``~name`` as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def read_passphrase(file: str, stdin: StandardInput) -> bytes:
    """Read a passphrase from a file or, for ``-``, standard input.

    Args:
        file: the file's path, or ``-``.
        stdin: standard input.

    Returns:
        Its first and only line, without the line end.

    Raises:
        ConfigurationError: it cannot be read, or is empty.
    """
    if file == "-":
        secret = stdin.read("the passphrase")
    elif not os.path.exists(expand(file)):  # noqa: PTH110 - unlike Path's, it never raises
        raise ConfigurationError(
            "the passphrase file does not exist (its name is not shown: it might be the passphrase)",
            hint="--passphrase-file wants a file's path, or - for standard input; never the passphrase itself",
        )
    else:
        found = read_private_file(expand(file), allow_writable=True)
        for message, hint in found.warnings:
            Report().warning(message, hint)
        secret = found.content
    secret = secret.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        raise ConfigurationError("the passphrase is empty", hint="put it into the file, on one line")
    if b"\n" in secret:
        raise ConfigurationError(
            "the passphrase has more than one line",
            hint="put it into the file on one line; OpenSSL reads the first line only",
        )
    return secret


def check_file_or_url(value: str) -> str:
    """Make sure that a file which is named exists; URLs are checked elsewhere."""
    if not is_url(value) and not os.path.exists(value):  # noqa: PTH110 - unlike Path's, it never raises
        raise ConfigurationError(f"no such file: {value}", hint="give a file's path, or a URL with https://")
    return value
