"""What happens when a person signs in, and after it, as records like those of `steps`.

They have a module of their own because making them takes a millisecond, which no other command is to pay.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - so that the hints can be read, as those of `steps`
from typing import Any, NamedTuple


class RequestPushed(NamedTuple):
    """The authorization request was given to the server itself (RFC 9126), which keeps it for so many seconds."""

    url: str
    expires_in: int | None


class AuthorizationRequested(NamedTuple):
    """The authorization request, taken apart; ``url`` is what the browser opens."""

    endpoint: str
    parameters: tuple[tuple[str, str], ...]
    url: str

    def __repr__(self) -> str:
        return f"AuthorizationRequested(endpoint={self.endpoint!r})"


class BrowserAwaited(NamedTuple):
    """The browser is waited for at the redirect URI, so many seconds at the most.

    ``certificate`` is the fingerprint of the one that was made for localhost, None with plain http; ``made`` tells
    that it is new, so that no browser knows it.
    """

    redirect_uri: str
    seconds: float
    certificate: str | None = None
    made: bool = False


class BrowserReturned(NamedTuple):
    """The browser came back with the answer to the authorization request: the names of what it brought."""

    names: tuple[str, ...]
    issuer: str | None


class IdTokenVerified(NamedTuple):
    """The id_token holds: whose signature it carries, and its claims at the time ``now``."""

    alg: str
    key: str
    claims: Mapping[str, Any]
    now: int


class LoginFound(NamedTuple):
    """A person is signed in, and the token is to be theirs."""

    name: str
    owner: str
    signed_in_at: int | None


class LoginKept(NamedTuple):
    """The login was kept: whose it is, and where its tokens rest."""

    owner: str
    places: tuple[str, ...]


class TokenRevoked(NamedTuple):
    """The server was told that a token is not to be good any more (RFC 7009)."""

    url: str
    name: str


LoginStep = (
    RequestPushed
    | AuthorizationRequested
    | BrowserAwaited
    | BrowserReturned
    | IdTokenVerified
    | LoginFound
    | LoginKept
    | TokenRevoked
)
