"""TOML files of clients and of test users: a table ``[clients."CLIENT ID"]`` or ``[users.NAME]`` for each."""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from banno_creds.config import ALGORITHMS
from banno_creds.errors import BannoCredsError, ConfigurationError
from banno_creds.sandbox.clients import ID_TOKEN_ALGORITHMS, Client, RegisteredClient
from banno_creds.sandbox.users import Institution, User, sub_of
from banno_creds.secrecy import is_private_key
from banno_creds.storage.secret_files import as_utf8, read_file
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_CLIENT_HINT: Final = 'a client is a table [clients."CLIENT ID"] with a public_key = "public.pem"'
_CLIENT_TEXTS: Final = ("name", "institution_id", "account_id", "alg", "id_token_signed_response_alg")
_URIS: Final = ("redirect_uris", "post_logout_redirect_uris")
_PUSHED: Final = "require_pushed_authorization_requests"
_CLIENT_MEMBERS: Final = ("public_key", "client_secret_file", "scope", *_CLIENT_TEXTS, *_URIS, _PUSHED)
_MOST_SECRET_BYTES: Final = 4096

_USER_HINT: Final = 'a user is a table [users.riley] with a password = "sandbox"'
_USER_TEXTS: Final = (
    *("sub", "name", "given_name", "family_name", "middle_name", "preferred_username"),
    *("picture", "email", "phone_number"),
)
_USER_MEMBERS: Final = ("password", *_USER_TEXTS, "institutions", "claims")
_INSTITUTIONS_HINT: Final = 'write institutions = [{ id = "3f85ce95-…", name = "Garden Credit Union" }]'


def read_clients(file: Path) -> list[Client]:
    """Read the clients that a file registers, in the file's order.

    Args:
        file: its path. A ``public_key`` in it is the path of a PEM, a JWK or a JWK Set, and a ``client_secret_file``
            the path of a text file; both are relative to its folder.

    Raises:
        ConfigurationError: the file or a client in it is invalid; the message names table and member.
    """
    tables = _tables(file, "clients", "registers no client", _CLIENT_HINT)
    return [_client(file, client_id, table) for client_id, table in tables]


def read_users(file: Path) -> list[User]:
    """Read the test users of a file, in the file's order.

    Raises:
        ConfigurationError: the file or a user in it is invalid; the message names table and member.
    """
    users = [_user(file, name, table) for name, table in _tables(file, "users", "has no user", _USER_HINT)]
    subs: dict[str, str] = {}
    for user in users:
        if other := subs.get(user.sub):
            raise ConfigurationError(
                f"{file}: {printable(other, 60)} and {printable(user.username, 60)} have the same sub",
                hint="leave sub out: each user then gets a sub of their own",
            )
        subs[user.sub] = user.username
    return users


def read_client_secret(file: Path) -> str:
    """Read a client secret from a file of one line.

    Raises:
        ConfigurationError: the file cannot be read, or holds no secret.
    """
    content = read_file(file, most=_MOST_SECRET_BYTES)
    try:
        secret = as_utf8(content).decode("utf-8").removesuffix("\n").removesuffix("\r")
    except ValueError:
        secret = ""
    if not secret.strip() or "\n" in secret:
        raise ConfigurationError(f"{file} holds no client secret", hint="write the secret into it, on one line")
    return secret


# --- Tables of either kind ---


def _tables(file: Path, kind: str, none: str, hint: str) -> Iterator[tuple[str, Any]]:
    """Return the tables under `kind`; the file must hold nothing else."""
    try:
        document = tomllib.loads(as_utf8(read_file(file)).decode("utf-8"))
    except ValueError as failure:  # both the TOML error and the UTF-8 error are ValueErrors
        reason = "it is not UTF-8 text" if isinstance(failure, UnicodeDecodeError) else printable(failure, 200)
        raise ConfigurationError(f"{file} is not TOML: {reason}", hint=hint) from None
    for name in document:
        if name != kind:
            raise ConfigurationError(f"{file}: {printable(name, 60)} is unknown", hint=hint)
    tables = document.get(kind)
    if not isinstance(tables, dict) or not tables:
        raise ConfigurationError(f"{file} {none}", hint=hint)
    return iter(tables.items())


def _check_members(where: str, table: Any, members: tuple[str, ...], hint: str, all_members: str) -> None:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table", hint=hint)
    for name in table:
        if name not in members:
            near = get_close_matches(name, members, 1)
            raise ConfigurationError(
                f"{where}: {printable(name, 60)} is unknown",
                hint=f"did you mean {near[0]}?" if near else f"{all_members} {', '.join(members)}",
            )


def _text(where: str, table: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    value = table[name]
    if not isinstance(value, str) or not (value or empty):
        fault = "is empty" if value == "" else "is not a string"
        raise ConfigurationError(f"{where}: {name} {fault}", hint=f'write {name} = "…"')
    return value


# --- Clients ---


def _client(file: Path, client_id: str, table: Any) -> Client:
    where = f'{file}: [clients."{printable(client_id, 80)}"]'
    if not client_id:
        raise ConfigurationError(f"{where} has no client ID", hint=_CLIENT_HINT)
    if isinstance(table, dict) and "client_secret" in table:
        raise ConfigurationError(
            f"{where}: the client secret itself must not be in this file (not shown)",
            hint='write client_secret_file = "secret.txt", and put the secret into that file, readable only by you',
        )
    _check_members(where, table, _CLIENT_MEMBERS, _CLIENT_HINT, "a client has")
    settings: dict[str, Any] = {name: _text(where, table, name) for name in _CLIENT_TEXTS if name in table}
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
        member = "" if "redirect URI" in failure.message else "public_key: "
        raise ConfigurationError(f"{where}: {member}{failure.message}", hint=failure.hint) from None
    return client


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


def _scopes(where: str, value: Any) -> tuple[str, ...]:
    # RFC 6749 section 3.3: a scope has no blank in it.
    if not isinstance(value, list) or not value or not all(isinstance(s, str) and len(s.split()) == 1 for s in value):
        raise ConfigurationError(f"{where}: scope is not a list of scopes", hint='write scope = ["openid"]')
    return tuple(value)


def _public_key(where: str, file: Path, table: dict[str, Any]) -> bytes:
    if "public_key" not in table:
        raise ConfigurationError(f"{where} has no public_key", hint='write public_key = "public.pem"')
    path = _text(where, table, "public_key")
    if is_private_key(path):
        raise ConfigurationError(
            f"{where}: public_key holds what looks like a private key (not shown here)",
            hint="treat this key as leaked; make a new one, and give the path of a file with its public half",
        )
    if "BEGIN" in path or path.lstrip().startswith("{"):
        raise ConfigurationError(
            f"{where}: public_key is a key instead of a path", hint='write public_key = "public.pem"'
        )
    try:
        return read_file(file.parent / path)
    except BannoCredsError as failure:
        raise ConfigurationError(f"{where}: public_key: {failure.message}", hint=failure.hint) from None


# --- Test users ---


def _user(file: Path, username: str, table: Any) -> User:
    where = f'{file}: [users."{printable(username, 60)}"]'
    if not username.strip() or username != username.strip():
        raise ConfigurationError(f"{where}: the user name is empty, or begins or ends with a blank", hint=_USER_HINT)
    more = "any other claim belongs in [users.NAME.claims]; a user has"
    _check_members(where, table, _USER_MEMBERS, _USER_HINT, more)
    if "password" not in table:
        raise ConfigurationError(f"{where} has no password", hint=_USER_HINT)
    return User(
        username, _text(where, table, "password"), _claims(where, username, table), _institutions(where, table)
    )


def _claims(where: str, username: str, table: dict[str, Any]) -> dict[str, Any]:
    texts = {name: _text(where, table, name, empty=name != "sub") for name in _USER_TEXTS if name in table}
    more = table.get("claims", {})
    if not isinstance(more, dict):
        raise ConfigurationError(f"{where}: claims is not a table", hint="write [users.NAME.claims]")
    try:
        json.dumps(more, allow_nan=False)
    except (TypeError, ValueError):  # a date, a time or a nan
        raise ConfigurationError(
            f"{where}: a value in claims does not exist in JSON", hint="write dates as strings, and no nan or inf"
        ) from None
    if "sub" in more:
        raise ConfigurationError(f"{where}: sub must not be among the claims", hint='write sub = "…" above them')
    names = [texts[name] for name in ("given_name", "family_name") if texts.get(name)]
    return {
        "sub": sub_of(username),
        "name": " ".join(names) or username,
        "preferred_username": username,
        "picture": "",
        **texts,
        **more,
    }


def _institutions(where: str, table: dict[str, Any]) -> tuple[Institution, ...]:
    entries = table.get("institutions", [])
    if not isinstance(entries, list):
        raise ConfigurationError(f"{where}: institutions is not a list", hint=_INSTITUTIONS_HINT)
    institutions = []
    for entry in entries:
        if not isinstance(entry, dict) or not {"id"} <= set(entry) <= {"id", "name"}:
            raise ConfigurationError(f"{where}: an institution has an id and a name", hint=_INSTITUTIONS_HINT)
        inside = f"{where}: institutions"
        identifier = _text(inside, entry, "id")
        institutions.append(Institution(identifier, _text(inside, {"name": identifier, **entry}, "name")))
    if len({institution.id for institution in institutions}) < len(institutions):
        raise ConfigurationError(f"{where}: an institution is there twice", hint="delete one")
    return tuple(institutions)
