"""What users have allowed: the codes, refresh tokens and access tokens that stand for it, each good as long as it is.

A user's yes is an `Authorization`. Whatever a client holds — a code, a refresh token, an access token — leads to one,
so that to revoke it is to revoke all that came of it.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from banno_creds.sandbox.remembered import Remembered
from banno_creds.sandbox.users import INSTITUTION_CLAIM, User

if TYPE_CHECKING:
    from collections.abc import Mapping

CODE_LIFETIME: Final = 60
"""How long an authorization code may be used, in seconds; RFC 6749 section 4.1.2 allows ten minutes at the most."""

OFFLINE_SCOPES: Final = ("offline_access", "https://api.banno.com/consumer/auth/offline_access")
"""The scopes that ask for a refresh token: OpenID Connect Core section 11's, and the vendor's."""

# A used code is remembered longer than a fresh one is good, so that who steals it is found out.
_CODE_MEMORY: Final = 600
_REFRESH_MEMORY: Final = 30 * 24 * 3600
_MOST_CODES: Final = 10_000
_MOST_TOKENS: Final = 50_000


@dataclass(eq=False, slots=True)
class Session:
    """A user's login in one browser.

    Attributes:
        user: who signed in.
        auth_time: when, in seconds.
        ended: whether the user has signed out since.
    """

    user: User
    auth_time: int
    ended: bool = False


@dataclass(eq=False, slots=True)
class Authorization:
    """What a user has allowed a client.

    Attributes:
        client_id: the client.
        session: the login it was allowed in.
        institution_id: the institution it is about.
        scopes: the granted scopes.
        audience: the ``aud`` of access tokens.
        claims: the names of the claims asked for, by ``id_token`` and ``userinfo``.
        nonce: the authorization request's ``nonce``.
        revoked: whether it is over.
    """

    client_id: str
    session: Session
    institution_id: str
    scopes: tuple[str, ...]
    audience: str | list[str]
    claims: Mapping[str, tuple[str, ...]]
    nonce: str | None = field(repr=False)
    revoked: bool = False

    @property
    def offline(self) -> bool:
        """Whether it outlives the login, and has refresh tokens."""
        return any(scope in OFFLINE_SCOPES for scope in self.scopes)

    @property
    def alive(self) -> bool:
        """Whether its tokens are good."""
        return not self.revoked and (self.offline or not self.session.ended)

    def told(self, where: str, scopes: tuple[str, ...]) -> dict[str, Any]:
        """Choose what to tell of the user.

        Args:
            where: ``id_token`` or ``userinfo``.
            scopes: the scopes of the token that is made or shown.

        Returns:
            The claims.
        """
        names = self.claims.get(where, ())
        told = self.session.user.told(scopes, names)
        if INSTITUTION_CLAIM in names:
            told[INSTITUTION_CLAIM] = self.institution_id
        return told


@dataclass(eq=False, slots=True)
class Code:
    """An authorization code's memory, in the words of RFC 7636: what the token request has to fit."""

    authorization: Authorization
    redirect_uri: str
    code_challenge: str = field(repr=False)
    until: int
    used: bool = False


@dataclass(eq=False, slots=True)
class RefreshToken:
    """A refresh token's memory; a used one is kept, for its second use tells that it was stolen."""

    authorization: Authorization
    used: bool = False


@dataclass(eq=False, slots=True)
class AccessToken:
    """An access token's memory."""

    authorization: Authorization
    scopes: tuple[str, ...]
    exp: int


class Authorizations:
    """The memory of what is out there.

    Args:
        token_lifetime: how long an access token lives, in seconds.
    """

    def __init__(self, token_lifetime: int) -> None:
        self._lock = threading.Lock()
        self.codes: Final[Remembered[Code]] = Remembered(_CODE_MEMORY, _MOST_CODES)
        self.refresh_tokens: Final[Remembered[RefreshToken]] = Remembered(_REFRESH_MEMORY, _MOST_TOKENS)
        self.access_tokens: Final[Remembered[AccessToken]] = Remembered(token_lifetime, _MOST_TOKENS)

    def new_code(self, authorization: Authorization, redirect_uri: str, code_challenge: str, now: int) -> str:
        """Make an authorization code.

        Args:
            authorization: what it stands for.
            redirect_uri: where it is sent to.
            code_challenge: the PKCE challenge (RFC 7636 section 4.2), of the method S256.
            now: the time, in seconds.

        Returns:
            The code.
        """
        code = secrets.token_urlsafe(32)
        self.codes.keep(code, Code(authorization, redirect_uri, code_challenge, now + CODE_LIFETIME), now)
        return code

    def new_refresh_token(self, authorization: Authorization, now: int) -> str:
        """Make a refresh token.

        Args:
            authorization: what it stands for.
            now: the time, in seconds.

        Returns:
            The token.
        """
        token = secrets.token_urlsafe(32)
        self.refresh_tokens.keep(token, RefreshToken(authorization), now)
        return token

    def use(self, once: Code | RefreshToken) -> bool:
        """Use a code or a refresh token up, in one step: of two threads that try, one succeeds.

        The second use revokes all that came of it: one of the two was not the client (RFC 6749 section 4.1.2,
        RFC 9700 section 4.14.2).

        Args:
            once: what is used.

        Returns:
            False where it was used before.
        """
        with self._lock:
            if once.used:
                once.authorization.revoked = True
                return False
            once.used = True
            return True
