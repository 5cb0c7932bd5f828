"""The test users who may sign in. Their passwords are not secrets."""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INSTITUTION_ZERO: Final = "00000000-0000-0000-0000-000000000000"
"""The ``institutionId`` of a user without an institution."""

INSTITUTION_CLAIM: Final = "https://api.banno.com/consumer/claim/institution_id"
"""The vendor's claim for the institution's id, sent if the ``claims`` parameter asks for it."""

SCOPE_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "profile": (
        *("family_name", "given_name", "middle_name", "name", "nickname", "picture", "preferred_username"),
        *("birthdate", "zoneinfo", "locale", "updated_at"),
    ),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    "address": ("address",),
}
"""The claims that each scope asks for (OpenID Connect Core section 5.4)."""


class Institution(NamedTuple):
    """A bank or credit union that a user belongs to."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in at the sandbox.

    Attributes:
        username: the user name to type at the login page.
        password: the password to type there.
        claims: the claims about the user (OpenID Connect Core section 5.1), with ``sub``.
        institutions: the user's institutions; if there are several, the user chooses one.
    """

    username: str
    password: str = field(repr=False)
    claims: Mapping[str, Any]
    institutions: tuple[Institution, ...] = ()

    @property
    def sub(self) -> str:
        """The subject identifier."""
        return str(self.claims["sub"])

    @property
    def called(self) -> str:
        """The name to show on a page."""
        return str(self.claims.get("name") or self.username)

    def has_password(self, password: str) -> bool:
        """Return whether this is the password."""
        given, own = (text.encode("utf-8", "surrogatepass") for text in (password, self.password))
        return hmac.compare_digest(given, own)

    def told(self, scopes: Iterable[str], names: Iterable[str]) -> dict[str, Any]:
        """Return ``sub``, and the claims asked for by scope or by name (OpenID Connect Core section 5.5)."""
        wanted = {"sub", *names, *(name for scope in scopes for name in SCOPE_CLAIMS.get(scope, ()))}
        return {name: value for name, value in self.claims.items() if name in wanted}


def sub_of(username: str) -> str:
    """Return the default ``sub`` of a user name, which is the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:banno-creds:sandbox:user:{username}"))


def _built_in(given_name: str, family_name: str, *institutions: Institution, middle_name: str | None = None) -> User:
    username = given_name.lower()
    claims: dict[str, Any] = {
        "sub": sub_of(username),
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


def shared_password(users: Iterable[User]) -> str | None:
    """Return the password to show on a page; None if some user has one from a file, which may be a real one."""
    return DEFAULT_PASSWORD if all(user.password == DEFAULT_PASSWORD for user in users) else None


DEFAULT_PASSWORD: Final = "sandbox"  # noqa: S105 - printed in --help and on the page
_GARDEN: Final = Institution("3f85ce95-2a1f-4f5d-a95c-7f4d3e9e1c11", "Garden Credit Union")
_GRANITE: Final = Institution("8c1f5a0e-6b0d-4c53-9d55-0f6f2f7c8a22", "Granite Savings Bank")
_HARBOR: Final = Institution("d2b7e8f4-91c3-4a6e-8f17-5a3c9b1e4d33", "Harbor Community Bank")

DEFAULT_USERS: Final = (
    _built_in("Riley", "Doe", _GARDEN),
    _built_in("Casey", "Roe", _GARDEN, _GRANITE, _HARBOR, middle_name="Q."),
    _built_in("Robin", "Poe"),
)
"""A user with one institution, one with three, and one without any."""
