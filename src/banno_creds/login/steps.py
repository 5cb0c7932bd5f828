"""What happens when a person signs in, and after it, as records like those of `steps`.

They have a module of their own because making them takes a millisecond, which no other command is to pay.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - so that the hints can be read, as those of `steps`
from typing import Any, NamedTuple


class RequestPushed(NamedTuple):
    """The authorization request was pushed to the server (RFC 9126), which keeps it for so many seconds."""

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
    """A listener at the redirect URI waits for the browser, at most so many seconds.

    ``certificate`` is the fingerprint of the certificate for localhost, None with plain http; ``made`` says that it
    is new, so that no browser knows it.
    """

    redirect_uri: str
    seconds: float
    certificate: str | None = None
    made: bool = False


class BrowserReturned(NamedTuple):
    """The browser brought the answer to the authorization request: the names of its parameters."""

    names: tuple[str, ...]
    issuer: str | None


class IdTokenVerified(NamedTuple):
    """The id_token was verified at the time ``now``: the key that signed it, and its claims."""

    alg: str
    key: str
    claims: Mapping[str, Any]
    now: int


class LoginFound(NamedTuple):
    """A person is signed in, and the token will be theirs."""

    name: str
    owner: str
    signed_in_at: int | None


class LoginKept(NamedTuple):
    """The login was kept: its owner, and where its tokens rest."""

    owner: str
    places: tuple[str, ...]


class TokenRevoked(NamedTuple):
    """The server revoked a token (RFC 7009)."""

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
