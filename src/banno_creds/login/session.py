"""A login: its owner, its provider, the person and the tokens; and the form in which it is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.config import find_config_file
from banno_creds.storage import own_files
from banno_creds.text import printable
from banno_creds.tokens.response import TokenResponse, token_response

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = 1
_FOR_YOU_ALONE = "for you alone (mode 0600)" if own_files.MODES_MEAN_SOMETHING else "for you alone"


class Owner(NamedTuple):
    """The profile or client that a login belongs to."""

    profile: str | None
    config: str | None  # the file that the profile is in
    client_id: str
    token_endpoint: str | None
    issuer: str | None

    @property
    def name(self) -> str:
        """The name of its files: a SHA-256 in hexadecimal.

        A profile's does not depend on its settings: no login is lost when they are changed.
        """
        by = (self.config, self.profile) if self.profile is not None else self
        return sha256(json.dumps([_VERSION, *by]).encode()).hexdigest()

    @property
    def words(self) -> str:
        """Its name in messages."""
        return f"client {self.client_id}" if self.profile is None else f"profile {self.profile}"

    @property
    def login(self) -> str:
        """The command that signs in, as far as it is known."""
        return self.command("login")

    @property
    def logout(self) -> str:
        """The command that signs out, as far as it is known."""
        return self.command("logout")

    def command(self, name: str) -> str:
        """Return the command line of a command for it, as far as it is known."""
        from banno_creds.shells import join

        words = ["banno-creds", name]
        if self.profile is not None:
            words += ["--profile", self.profile]
            if self.config != find_config_file(None):
                words += ["--config", str(self.config)]
        else:
            words += ["--client-id", self.client_id]
            if self.issuer is not None:
                words += ["--issuer", self.issuer]
        return join(words)


class Provider(NamedTuple):
    """The part of a discovery document that a login keeps, because later requests use it.

    ``method`` is how the client proved who it is; ``revocation_methods`` and ``revocation_algs`` are what the
    revocation endpoint takes (RFC 8414 section 2), None if it is not said.
    """

    issuer: str
    token_endpoint: str
    jwks_uri: str
    method: str
    algorithms: tuple[str, ...]
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    end_session_endpoint: str | None = None
    revocation_methods: tuple[str, ...] | None = None
    revocation_algs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One login.

    Attributes:
        id: a random name, another one for each login.
        provider: the provider.
        scope: the scope that was asked for.
        claims: the id_token's claims.
        response: the last token response, without the refresh token.
        requested_at: when it was asked for, in seconds since the epoch.
        up: the same by the clock that nobody sets; see `own_files.uptime`.
        signed_in_at: when the person signed in, in seconds since the epoch.
        renewals: how often the tokens were renewed.
        refresh_token: the refresh token, if it rests in the file.
        entry: the keyring's entry, if it rests there.
        keyring: the name of that keyring; without an entry, of one for which the refresh token is too long.
        asked: whether a process was about to use the refresh token, and has kept no answer.
        ended: why the login is over although nobody logged out.
        caches: the folders of the caches that may have its access tokens.
    """

    id: str
    provider: Provider
    scope: tuple[str, ...]
    claims: Mapping[str, Any] = field(repr=False)
    response: Mapping[str, Any] = field(repr=False)
    requested_at: int
    up: tuple[str, float]
    signed_in_at: int
    renewals: int = 0
    refresh_token: str | None = field(default=None, repr=False)
    entry: str | None = None
    keyring: str | None = None
    asked: bool = False
    ended: str | None = None
    caches: tuple[str, ...] = ()

    @property
    def can_be_renewed(self) -> bool:
        """True if there is a refresh token, and the login is not over."""
        return self.ended is None and (self.refresh_token is not None or self.entry is not None)

    @property
    def access_token(self) -> str | None:
        """The access token, good or not; None if the login is over."""
        token = self.response.get("access_token")
        return token if isinstance(token, str) else None

    @property
    def person(self) -> str:
        """The friendliest name that the claims have for the person."""
        names = ("preferred_username", "name", "email", "sub")
        found = next((self.claims[name] for name in names if isinstance(self.claims.get(name), str)), "")
        return printable(found, 100) or "(no name)"

    def left(self, now: float) -> float | None:
        """Return the seconds that the access token is still good; None if nobody can know."""
        age = own_files.age(now, self.requested_at, self.up)
        token = self._token()
        return None if age is None or token is None or token.expires_in is None else token.expires_in - age

    def token(self, now: float) -> TokenResponse | None:
        """Return the token response as its server would write it now; None if there is none, or it has ended."""
        token, left = self._token(), self.left(now)
        if token is None or token.expires_in is None:
            return token
        if left is None or left <= 0:
            return None
        # Callers count the token's life from now.
        raw = {**self.response, "expires_in": int(left)}
        return replace(token, expires_in=int(left), requested_at=int(now), raw=raw)

    def _token(self) -> TokenResponse | None:
        try:
            return token_response(self.response, self.requested_at)
        except ValueError:
            return None

    def places(self, path: str) -> tuple[str, ...]:
        """Say where its tokens rest; ``path`` is its file."""
        if self.entry is not None:
            return (
                f"refresh token: in the keyring ({self.keyring})",
                f"the rest: in {path}, {_FOR_YOU_ALONE}",
            )
        tokens = f"tokens: in {path}, {_FOR_YOU_ALONE}"
        return (tokens,) if self.keyring is None else (tokens, f"too long for the keyring ({self.keyring})")


# --- At rest --------------------------------------------------------------------------------------------------------


def write(session: Session, owner: Owner) -> bytes:
    """Return a login as it is kept in a file."""
    members = {name: getattr(session, name) for name in Session.__slots__ if name != "provider"}
    provider = session.provider._asdict()
    return json.dumps({"version": _VERSION, "owner": owner._asdict(), "provider": provider, **members}).encode()


def read(members: Mapping[str, Any]) -> Session:
    """Read the members of such a file; ValueError, KeyError or TypeError if it is broken."""
    if members["version"] != _VERSION:
        raise ValueError
    provider = members["provider"]
    started, seconds = members["up"]
    texts = (members["id"], started, *members["scope"], *provider["algorithms"])
    texts += tuple(provider[name] for name in ("issuer", "token_endpoint", "jwks_uri", "method"))
    perhaps = [members[name] for name in ("refresh_token", "entry", "keyring", "ended")]
    perhaps += [provider[name] for name in ("userinfo_endpoint", "revocation_endpoint", "end_session_endpoint")]
    numbers = [members[name] for name in ("requested_at", "signed_in_at", "renewals")]
    if (
        not all(isinstance(text, str) for text in texts)
        or not all(isinstance(text, str | None) for text in perhaps)
        or not all(type(number) is int for number in numbers)
        or not isinstance(members["claims"], dict)
        or not isinstance(members["response"], dict)
        or type(members["asked"]) is not bool
    ):
        raise TypeError
    caches = members.get("caches", [])  # the versions before it did not note them
    if not isinstance(caches, list) or not all(isinstance(folder, str) for folder in caches):
        raise TypeError
    known = {**{name: members[name] for name in Session.__slots__ if name != "caches"}, "caches": tuple(caches)}
    lists = {name: _texts(provider.get(name)) for name in ("algorithms", "revocation_methods", "revocation_algs")}
    known["provider"] = Provider(**{**provider, **lists})
    known |= {"scope": tuple(members["scope"]), "up": (started, float(seconds))}
    return Session(**known)


def _texts(value: object) -> tuple[str, ...] | None:
    if value is not None and not (isinstance(value, list) and all(isinstance(text, str) for text in value)):
        raise TypeError
    return None if value is None else tuple(value)
