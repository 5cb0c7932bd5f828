"""Many clients from one file: TOML, a table ``[clients."CLIENT ID"]`` for each."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from banno_creds.config import ALGORITHMS
from banno_creds.errors import BannoCredsError, ConfigurationError, is_private_key, printable
from banno_creds.files import read_file
from banno_creds.sandbox.clients import Client, RegisteredClient

if TYPE_CHECKING:
    from pathlib import Path

_TEXTS: Final = ("name", "institution_id", "account_id", "alg")
_MEMBERS: Final = ("public_key", "scope", *_TEXTS)


def read_clients(file: Path) -> list[Client]:
    """Read the clients that a file registers.

    Args:
        file: its path. A ``public_key`` in it is the path of a PEM, a JWK or a JWK Set, and counts from its folder.

    Returns:
        The clients, in the file's order; each can be registered.

    Raises:
        ConfigurationError: the file or a client in it cannot be meant; the message names table and member.
    """
    try:
        document = tomllib.loads(read_file(file).decode("utf-8-sig"))
    except ValueError as failure:  # TOML's error is one, and so is that of UTF-8
        what = "it is not UTF-8 text" if isinstance(failure, UnicodeDecodeError) else printable(failure, 200)
        raise ConfigurationError(f"{file} is not TOML: {what}", hint=_HINT) from None
    for name in document:
        if name != "clients":
            raise ConfigurationError(f"{file}: {printable(name, 60)} means nothing here", hint=_HINT)
    tables = document.get("clients")
    if not isinstance(tables, dict) or not tables:
        raise ConfigurationError(f"{file} registers no client", hint=_HINT)
    return [_client(file, client_id, table) for client_id, table in tables.items()]


_HINT: Final = 'a client is a table [clients."CLIENT ID"] with a public_key = "public.pem"'


def _client(file: Path, client_id: str, table: Any) -> Client:
    where = f'{file}: [clients."{printable(client_id, 80)}"]'
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table", hint=_HINT)
    if not client_id:
        raise ConfigurationError(f"{where} has no client ID", hint=_HINT)
    for name in table:
        if name not in _MEMBERS:
            near = get_close_matches(name, _MEMBERS, 1)
            raise ConfigurationError(
                f"{where}: {printable(name, 60)} means nothing here",
                hint=f"did you mean {near[0]}?" if near else f"a client has {', '.join(_MEMBERS)}",
            )
    settings: dict[str, Any] = {name: _text(where, table, name) for name in _TEXTS if name in table}
    if settings.get("alg", ALGORITHMS[0]) not in ALGORITHMS:
        raise ConfigurationError(
            f"{where}: alg is '{printable(settings['alg'], 40)}'", hint=f"it may be {' or '.join(ALGORITHMS)}"
        )
    if "scope" in table:
        settings["scopes"] = _scopes(where, table["scope"])
    client = Client(client_id, _public_key(where, file, table), **settings)
    try:
        RegisteredClient.register(client)
    except ConfigurationError as failure:
        raise ConfigurationError(f"{where}: public_key: {failure.message}", hint=failure.hint) from None
    return client


def _text(where: str, table: dict[str, Any], name: str) -> str:
    value = table[name]
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{where}: {name} is not a string", hint=f'write {name} = "…"')
    return value


def _scopes(where: str, value: Any) -> tuple[str, ...]:
    # RFC 6749 section 3.3: a scope holds no blank.
    if not isinstance(value, list) or not value or not all(isinstance(s, str) and len(s.split()) == 1 for s in value):
        raise ConfigurationError(f"{where}: scope is not a list of scopes", hint='write scope = ["openid"]')
    return tuple(value)


def _public_key(where: str, file: Path, table: dict[str, Any]) -> str:
    if "public_key" not in table:
        raise ConfigurationError(f"{where} has no public_key", hint='write public_key = "public.pem"')
    path = _text(where, table, "public_key")
    if is_private_key(path):
        raise ConfigurationError(
            f"{where}: public_key holds what looks like a private key (not shown here)",
            hint="treat this key as leaked; give the path of a file with the public half of the next one",
        )
    if "BEGIN" in path or path.lstrip().startswith("{"):
        raise ConfigurationError(f"{where}: public_key is a key and no path", hint='write public_key = "public.pem"')
    try:
        return read_file(file.parent / path).decode("utf-8", "replace")
    except BannoCredsError as failure:
        raise ConfigurationError(f"{where}: public_key: {failure.message}", hint=failure.hint) from None
