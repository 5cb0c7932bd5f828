"""Many clients from one file: TOML, a table ``[clients."CLIENT ID"]`` for each."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from banno_creds.config import ALGORITHMS
from banno_creds.errors import BannoCredsError, ConfigurationError
from banno_creds.sandbox.clients import ID_TOKEN_ALGORITHMS, Client, RegisteredClient
from banno_creds.sandbox.tables import read_tables
from banno_creds.storage.secret_files import read_file
from banno_creds.text import is_private_key, printable

if TYPE_CHECKING:
    from pathlib import Path

_TEXTS: Final = ("name", "institution_id", "account_id", "alg", "id_token_signed_response_alg")
_URIS: Final = ("redirect_uris", "post_logout_redirect_uris")
_PUSHED: Final = "require_pushed_authorization_requests"
_MEMBERS: Final = ("public_key", "client_secret_file", "scope", *_TEXTS, *_URIS, _PUSHED)


def read_clients(file: Path) -> list[Client]:
    """Read the clients that a file registers.

    Args:
        file: its path. A ``public_key`` in it is the path of a PEM, a JWK or a JWK Set, a ``client_secret_file`` that
            of a text; both count from its folder.

    Returns:
        The clients, in the file's order; each can be registered.

    Raises:
        ConfigurationError: the file or a client in it cannot be meant; the message names table and member.
    """
    tables = read_tables(file, "clients", "registers no client", _HINT)
    return [_client(file, client_id, table) for client_id, table in tables.items()]


_HINT: Final = 'a client is a table [clients."CLIENT ID"] with a public_key = "public.pem"'
_INSTEAD: Final = 'write client_secret_file = "secret.txt", and the secret into that file, which nobody else reads'
_MOST_SECRET_BYTES: Final = 4096


def _client(file: Path, client_id: str, table: Any) -> Client:
    where = f'{file}: [clients."{printable(client_id, 80)}"]'
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table", hint=_HINT)
    if not client_id:
        raise ConfigurationError(f"{where} has no client ID", hint=_HINT)
    if "client_secret" in table:
        raise ConfigurationError(f"{where}: a client secret does not stand here (not shown)", hint=_INSTEAD)
    for name in table:
        if name not in _MEMBERS:
            near = get_close_matches(name, _MEMBERS, 1)
            raise ConfigurationError(
                f"{where}: {printable(name, 60)} means nothing here",
                hint=f"did you mean {near[0]}?" if near else f"a client has {', '.join(_MEMBERS)}",
            )
    settings: dict[str, Any] = {name: _text(where, table, name) for name in _TEXTS if name in table}
    for name, known in (("alg", ALGORITHMS), ("id_token_signed_response_alg", ID_TOKEN_ALGORITHMS)):
        if settings.get(name, known[0]) not in known:
            raise ConfigurationError(
                f"{where}: {name} is '{printable(settings[name], 40)}'", hint=f"it may be {' or '.join(known)}"
            )
    if "scope" in table:
        settings["scopes"] = _scopes(where, table["scope"])
    settings |= {name: _uris(where, name, table[name]) for name in _URIS if name in table}
    if _PUSHED in table:
        if not isinstance(table[_PUSHED], bool):
            raise ConfigurationError(f"{where}: {_PUSHED} is not true or false", hint=f"write {_PUSHED} = true")
        settings[_PUSHED] = table[_PUSHED]
    if "client_secret_file" in table:
        settings["client_secret"] = _client_secret(where, file, table)
    if "public_key" in table or "client_secret_file" not in table:
        settings["public_key"] = _public_key(where, file, table)
    client = Client(client_id, **settings)
    try:
        RegisteredClient.register(client)
    except ConfigurationError as failure:
        what = "" if "redirect URI" in failure.message else "public_key: "
        raise ConfigurationError(f"{where}: {what}{failure.message}", hint=failure.hint) from None
    return client


def read_client_secret(file: Path) -> str:
    """Read a client secret.

    Args:
        file: a text of one line.

    Returns:
        The secret, without what ends the line.

    Raises:
        ConfigurationError: the file cannot be read, or holds no secret.
    """
    content = read_file(file, most=_MOST_SECRET_BYTES)
    try:
        secret = content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except ValueError:
        secret = ""
    if not secret.strip() or "\n" in secret:
        raise ConfigurationError(f"{file} holds no client secret", hint="write the secret into it, on a line alone")
    return secret


def _client_secret(where: str, file: Path, table: dict[str, Any]) -> str:
    path = _text(where, table, "client_secret_file")
    try:
        return read_client_secret(file.parent / path)
    except BannoCredsError as failure:
        raise ConfigurationError(f"{where}: client_secret_file: {failure.message}", hint=failure.hint) from None


def _uris(where: str, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(uri, str) for uri in value):
        raise ConfigurationError(
            f"{where}: {name} is not a list of URLs", hint=f'write {name} = ["https://localhost:8080/auth/cb"]'
        )
    return tuple(value)


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
