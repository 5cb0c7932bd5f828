"""Who may sign in: test users, with passwords that are no secrets, built in or from a file."""

from __future__ import annotations

import hmac
import json
import uuid
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from banno_creds.errors import ConfigurationError
from banno_creds.sandbox.tables import read_tables
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

INSTITUTION_ZERO: Final = "00000000-0000-0000-0000-000000000000"
"""The ``institutionId`` of whoever has not chosen an institution."""

INSTITUTION_CLAIM: Final = "https://api.banno.com/consumer/claim/institution_id"
"""The vendor's claim for the institution's id, given where the ``claims`` parameter asks for it."""

SCOPE_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "profile": (
        "family_name",
        "given_name",
        "middle_name",
        "name",
        "nickname",
        "picture",
        "preferred_username",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    "address": ("address",),
}
"""Which claims a scope asks for (OpenID Connect Core section 5.4)."""


class Institution(NamedTuple):
    """A bank or credit union that a user belongs to."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in at the sandbox.

    Attributes:
        username: what is typed at the login page.
        password: what is typed below it.
        claims: what may be told of the user (OpenID Connect Core section 5.1), ``sub`` among it.
        institutions: where the user belongs; of several one is chosen.
    """

    username: str
    password: str = field(repr=False)
    claims: Mapping[str, Any]
    institutions: tuple[Institution, ...] = ()

    @property
    def sub(self) -> str:
        """The subject identifier."""
        return str(self.claims["sub"])

    def has_password(self, password: str) -> bool:
        """Whether this is the password."""
        given, own = (text.encode("utf-8", "surrogatepass") for text in (password, self.password))
        return hmac.compare_digest(given, own)

    def told(self, scopes: Iterable[str], names: Iterable[str]) -> dict[str, Any]:
        """Choose what to tell of the user.

        Args:
            scopes: the granted scopes.
            names: the claims asked for by name (OpenID Connect Core section 5.5).

        Returns:
            The claims there are, ``sub`` always.
        """
        wanted = {"sub", *names, *(name for scope in scopes for name in SCOPE_CLAIMS.get(scope, ()))}
        return {name: value for name, value in self.claims.items() if name in wanted}


def _sub(username: str) -> str:
    """The same for a user name in every run, as an identifier should be."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:banno-creds:sandbox:user:{username}"))


def _built_in(given_name: str, family_name: str, *institutions: Institution, middle_name: str | None = None) -> User:
    username = given_name.lower()
    claims: dict[str, Any] = {
        "sub": _sub(username),
        "family_name": family_name,
        "given_name": given_name,
        "middle_name": middle_name,
        "name": f"{given_name} {family_name}",
        "picture": "",
        "preferred_username": f"{username}{family_name.lower()}",
        "email": f"{username}@example.com",
        "email_verified": True,
        "phone_number": "+1 555 0100",
        "phone_number_verified": False,
        "address": {
            "street_address": "1 Garden Way",
            "locality": "Springfield",
            "region": "MO",
            "postal_code": "65806",
        },
    }
    return User(username, DEFAULT_PASSWORD, claims, institutions)


DEFAULT_PASSWORD: Final = "sandbox"  # noqa: S105 - printed in --help and on the page
_GARDEN: Final = Institution("3f85ce95-2a1f-4f5d-a95c-7f4d3e9e1c11", "Garden Credit Union")
_GRANITE: Final = Institution("8c1f5a0e-6b0d-4c53-9d55-0f6f2f7c8a22", "Granite Savings Bank")
_HARBOR: Final = Institution("d2b7e8f4-91c3-4a6e-8f17-5a3c9b1e4d33", "Harbor Community Bank")

DEFAULT_USERS: Final = (
    _built_in("Riley", "Doe", _GARDEN),
    _built_in("Casey", "Roe", _GARDEN, _GRANITE, _HARBOR, middle_name="Q."),
    _built_in("Robin", "Poe"),
)
"""One with an institution, one with three, one without any."""

_MEMBERS: Final = (
    "password",
    "sub",
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "preferred_username",
    "picture",
    "email",
    "phone_number",
    "institutions",
    "claims",
)
_TEXTS: Final = _MEMBERS[1:-2]
_HINT: Final = 'a user is a table [users.riley] with a password = "sandbox"'
_INSTITUTIONS_HINT: Final = 'write institutions = [{ id = "3f85ce95-…", name = "Garden Credit Union" }]'


def read_users(file: Path) -> list[User]:
    """Read test users: TOML, a table ``[users.NAME]`` for each.

    Args:
        file: its path.

    Returns:
        The users, in the file's order.

    Raises:
        ConfigurationError: the file or a user in it cannot be meant; the message names table and member.
    """
    tables = read_tables(file, "users", "has no user", _HINT)
    users = [_user(file, username, table) for username, table in tables.items()]
    subs: dict[str, str] = {}
    for user in users:
        if other := subs.get(user.sub):
            raise ConfigurationError(
                f"{file}: {printable(other, 60)} and {printable(user.username, 60)} have the same sub",
                hint="leave sub out, and each gets one of their own",
            )
        subs[user.sub] = user.username
    return users


def _user(file: Path, username: str, table: Any) -> User:
    where = f'{file}: [users."{printable(username, 60)}"]'
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table", hint=_HINT)
    if not username.strip() or username != username.strip():
        raise ConfigurationError(f"{where} has no user name that can be typed", hint=_HINT)
    for name in table:
        if name not in _MEMBERS:
            near = get_close_matches(name, _MEMBERS, 1)
            raise ConfigurationError(
                f"{where}: {printable(name, 60)} means nothing here",
                hint=f"did you mean {near[0]}?"
                if near
                else f"a user has {', '.join(_MEMBERS)}; any other claim goes into [users.NAME.claims]",
            )
    if "password" not in table:
        raise ConfigurationError(f"{where} has no password", hint=_HINT)
    password = _text(where, table, "password")
    if not password:
        raise ConfigurationError(f"{where}: password is empty", hint=_HINT)
    return User(username, password, _claims(where, username, table), _institutions(where, table))


def _claims(where: str, username: str, table: dict[str, Any]) -> dict[str, Any]:
    texts = {name: _text(where, table, name) for name in _TEXTS if name in table}
    more = table.get("claims", {})
    if not isinstance(more, dict):
        raise ConfigurationError(f"{where}: claims is not a table", hint="write [users.NAME.claims]")
    try:
        json.dumps(more, allow_nan=False)
    except (TypeError, ValueError):  # a date, a time or a nan: no JSON
        raise ConfigurationError(
            f"{where}: claims holds what JSON has not", hint="write dates as strings, and no nan or inf"
        ) from None
    if "sub" in more or texts.get("sub") == "":
        raise ConfigurationError(f"{where}: sub stands in the wrong place, or is empty", hint='write sub = "…"')
    names = [texts[name] for name in ("given_name", "family_name") if texts.get(name)]
    return {
        "sub": _sub(username),
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
        identifier = _text(where, entry, "id")
        name = _text(where, entry, "name") if "name" in entry else identifier
        if not identifier or not name:
            raise ConfigurationError(f"{where}: an institution's id or name is empty", hint=_INSTITUTIONS_HINT)
        institutions.append(Institution(identifier, name))
    if len({institution.id for institution in institutions}) < len(institutions):
        raise ConfigurationError(f"{where}: an institution is there twice", hint="leave one")
    return tuple(institutions)


def _text(where: str, table: dict[str, Any], name: str) -> str:
    value = table[name]
    if not isinstance(value, str):
        raise ConfigurationError(f"{where}: {name} is not a string", hint=f'write {name} = "…"')
    return value
