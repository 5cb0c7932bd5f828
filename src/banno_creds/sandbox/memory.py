"""Everything the sandbox remembers: sessions, codes, tokens, and the ``jti`` values that were used.

Each memory is limited in time and in number. It keeps digests of codes, tokens and cookies, never the secrets
themselves.

A user who signs in and agrees makes an `Authorization`. Every code, refresh token and access token points to one, so
revoking it revokes everything that came from that login.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from banno_creds.sandbox.users import INSTITUTION_CLAIM, User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OFFLINE_SCOPES: Final = ("offline_access", "https://api.banno.com/consumer/auth/offline_access")
"""The scopes that ask for a refresh token: that of OpenID Connect Core section 11, and the vendor's."""

# How long a code may be used, in seconds; RFC 6749 section 4.1.2 allows ten minutes at the most.
_CODE_LIFETIME: Final = 60
# A code is remembered for longer than it is valid, so that the use of a stolen one is noticed.
_CODE_MEMORY: Final = 600
_REFRESH_MEMORY: Final = 30 * 24 * 3600
_MOST_CODES: Final = 10_000
_MOST_TOKENS: Final = 50_000
_MOST_JTIS: Final = 100_000

V = TypeVar("V")


class Remembered(Generic[V]):
    """Values found by a secret, such as a code or a cookie. All are kept for the same time.

    If there are too many, the oldest is forgotten early.
    """

    def __init__(self, lifetime: int, most: int) -> None:
        self._lifetime = lifetime
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, tuple[float, V]] = OrderedDict()  # the first to expire comes first

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, secret: str, value: V, now: float) -> None:
        """Remember a value from now on."""
        key = _digest(secret)
        with self._lock:
            self._forget(now)
            self._values.pop(key, None)
            if len(self._values) >= self._most:
                self._values.popitem(last=False)
            self._values[key] = (now + self._lifetime, value)

    def find(self, secret: str, now: float) -> V | None:
        """Return the value; None if there is none, or it has expired."""
        return self._look(self._values.get, secret, now)

    def take(self, secret: str, now: float) -> V | None:
        """Return the value and forget it, in one step: if two threads try, only one gets it."""
        return self._look(self._values.pop, secret, now)

    def _look(self, how: Callable[[bytes, None], tuple[float, V] | None], secret: str, now: float) -> V | None:
        with self._lock:
            self._forget(now)
            kept = how(_digest(secret), None)
        return None if kept is None else kept[1]

    def _forget(self, now: float) -> None:
        while self._values and next(iter(self._values.values()))[0] <= now:
            self._values.popitem(last=False)


class UsedJtis:
    """The ``jti`` values that were used, against replay (RFC 7523 section 3).

    Each is remembered until its assertion has expired: after that the assertion is refused anyway. So the memory is
    bounded by how many assertions can be verified in five minutes. Beyond `most`, the one that expires first is
    forgotten early. A digest is kept, so that a long ``jti`` costs no more than a short one.
    """

    def __init__(self, most: int = _MOST_JTIS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._used: set[bytes] = set()
        self._by_end: list[tuple[float, bytes]] = []  # a heap: the first to expire comes first

    def __len__(self) -> int:
        return len(self._used)

    def use(self, issuer: str, jti: str, *, until: float, now: float) -> bool:
        """Use a ``jti``, in one step; False if it was used before.

        It may be forgotten at `until`. It is unique per issuer (RFC 7519 section 4.1.7).
        """
        # JSON keeps ("a", "bc") and ("ab", "c") apart.
        digest = _digest(json.dumps([issuer, jti]))
        with self._lock:
            while self._by_end and self._by_end[0][0] <= now:
                self._used.discard(heapq.heappop(self._by_end)[1])
            if digest in self._used:
                return False
            if len(self._used) >= self._most:
                self._used.discard(heapq.heappop(self._by_end)[1])
            self._used.add(digest)
            heapq.heappush(self._by_end, (until, digest))
            return True


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(eq=False, slots=True)
class Session:
    """A user's login in one browser; it has ended when the user has signed out."""

    user: User
    auth_time: int
    ended: bool = False


@dataclass(eq=False, slots=True)
class Authorization:
    """What a user has allowed a client to do."""

    client_id: str
    session: Session
    institution_id: str
    scopes: tuple[str, ...]
    audience: str | list[str]  # the aud of access tokens
    claims: Mapping[str, tuple[str, ...]]  # the names of the requested claims, for id_token and for userinfo
    nonce: str | None = field(repr=False)
    revoked: bool = False

    @property
    def offline(self) -> bool:
        """True if it has refresh tokens, and so outlives the session."""
        return any(scope in OFFLINE_SCOPES for scope in self.scopes)

    @property
    def alive(self) -> bool:
        """True as long as its tokens are valid."""
        return not self.revoked and (self.offline or not self.session.ended)

    def told(self, where: str, scopes: tuple[str, ...]) -> dict[str, Any]:
        """Return the claims about the user for the ``id_token`` or for ``userinfo``."""
        names = self.claims.get(where, ())
        told = self.session.user.told(scopes, names)
        if INSTITUTION_CLAIM in names:
            told[INSTITUTION_CLAIM] = self.institution_id
        return told


@dataclass(eq=False, slots=True)
class Code:
    """What is remembered of an authorization code: the token request has to match it."""

    authorization: Authorization
    redirect_uri: str
    code_challenge: str = field(repr=False)
    until: int
    used: bool = False


@dataclass(eq=False, slots=True)
class RefreshToken:
    """What is remembered of a refresh token. A used one is kept: a second use shows that it was stolen."""

    authorization: Authorization
    used: bool = False


@dataclass(eq=False, slots=True)
class AccessToken:
    """What is remembered of a user's access token."""

    authorization: Authorization
    scopes: tuple[str, ...]
    exp: int


class Authorizations:
    """The codes and tokens of users' logins."""

    def __init__(self, token_lifetime: int) -> None:
        self._lock = threading.Lock()
        self.codes: Final[Remembered[Code]] = Remembered(_CODE_MEMORY, _MOST_CODES)
        self.refresh_tokens: Final[Remembered[RefreshToken]] = Remembered(_REFRESH_MEMORY, _MOST_TOKENS)
        self.access_tokens: Final[Remembered[AccessToken]] = Remembered(token_lifetime, _MOST_TOKENS)

    def new_code(self, authorization: Authorization, redirect_uri: str, code_challenge: str, now: int) -> str:
        """Make an authorization code; its challenge is of the method S256 (RFC 7636 section 4.2)."""
        code = secrets.token_urlsafe(32)
        self.codes.keep(code, Code(authorization, redirect_uri, code_challenge, now + _CODE_LIFETIME), now)
        return code

    def new_refresh_token(self, authorization: Authorization, now: int) -> str:
        """Make a refresh token."""
        token = secrets.token_urlsafe(32)
        self.refresh_tokens.keep(token, RefreshToken(authorization), now)
        return token

    def use(self, once: Code | RefreshToken) -> bool:
        """Use a code or a refresh token, in one step; False if it was used before.

        A second use revokes the whole authorization, for one of the two senders was not the client (RFC 6749
        section 4.1.2, RFC 9700 section 4.14.2).
        """
        with self._lock:
            if once.used:
                once.authorization.revoked = True
                return False
            once.used = True
            return True
