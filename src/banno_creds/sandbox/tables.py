"""A TOML file with a table for each client or test user."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from banno_creds.errors import ConfigurationError
from banno_creds.storage.secret_files import read_file
from banno_creds.text import printable

if TYPE_CHECKING:
    from pathlib import Path


def read_tables(file: Path, kind: str, none: str, hint: str) -> dict[str, Any]:
    """Read the tables of one kind, of which nothing else may be in the file.

    Args:
        file: its path.
        kind: what they stand under, such as ``users``.
        none: what a message says of a file without any.
        hint: what a message says to do.

    Returns:
        What stands under each name, in the file's order.

    Raises:
        ConfigurationError: the file cannot be read, is no TOML, or holds something else.
    """
    try:
        document = tomllib.loads(read_file(file).decode("utf-8-sig"))
    except ValueError as failure:  # TOML's error is one, and so is that of UTF-8
        what = "it is not UTF-8 text" if isinstance(failure, UnicodeDecodeError) else printable(failure, 200)
        raise ConfigurationError(f"{file} is not TOML: {what}", hint=hint) from None
    for name in document:
        if name != kind:
            raise ConfigurationError(f"{file}: {printable(name, 60)} means nothing here", hint=hint)
    tables = document.get(kind)
    if not isinstance(tables, dict) or not tables:
        raise ConfigurationError(f"{file} {none}", hint=hint)
    return tables
