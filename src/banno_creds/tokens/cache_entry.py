"""An entry of the cache: the last token and the last failure of one request, and the form in which they are kept."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.config import absolute
from banno_creds.errors import (
    NetworkError,
    RefusedError,
    TimedOutError,
    UnavailableError,
    UntrustedServerError,
    UnusableAnswerError,
)
from banno_creds.jose.encoding import parse_json_object
from banno_creds.recall import WAY
from banno_creds.storage import own_files
from banno_creds.tokens.response import TokenResponse, token_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.config import ClientConfig

REFUSAL_SECONDS = 30
"""How long a refusal is given again without asking the server."""

_VERSION = 2

# The failures that are kept, by the names of their classes.
_FAILURES: dict[str, type[RefusedError | NetworkError]] = {
    kind.__name__: kind
    for kind in (
        *(RefusedError, NetworkError, TimedOutError, UntrustedServerError),
        *(UnavailableError, UnusableAnswerError),
    )
}


@dataclass(frozen=True, slots=True)
class Request:
    """A token request as the cache tells it from others: the form, the server, and the certificates to trust."""

    client_id: str
    token_endpoint: str | None
    issuer: str | None
    key: str = field(repr=False)  # the SHA-256 of the key's file, in hexadecimal
    alg: str | None
    kid: str | None
    aud: str | None
    lifetime: int
    iat: bool
    claims: Mapping[str, Any]
    scope: tuple[str, ...]
    resource: tuple[str, ...]
    params: tuple[tuple[str, str], ...]
    ca_bundle: str | None
    client_id_in_body: bool = False
    way: Mapping[str, str] = field(default_factory=dict, repr=False)  # a proxy's password may be in it

    @property
    def name(self) -> str:
        """The name of its entry: a SHA-256 in hexadecimal."""
        members = {name: getattr(self, name) for name in self.__slots__}  # as `asdict` is slow
        for name in ("client_id_in_body", "way"):
            if not members[name]:
                del members[name]  # as the versions before it named the entry
        return sha256(json.dumps([_VERSION, members], sort_keys=True).encode()).hexdigest()

    @property
    def about(self) -> dict[str, Any]:
        """The part that ``cache list`` may show."""
        return {
            "client_id": self.client_id,
            "token_endpoint": self.token_endpoint,
            "issuer": self.issuer,
            "scope": list(self.scope),
            "resource": list(self.resource),
        }


def request_of(config: ClientConfig, key: bytes) -> Request:
    """Return the request of a configuration and a private key, which may be encrypted; errors as of `absolute`."""
    return Request(
        client_id=config.client_id,
        token_endpoint=config.token_endpoint,
        issuer=config.issuer,
        key=sha256(key).hexdigest(),
        alg=config.alg,
        kid=config.key_id,
        aud=config.aud,
        lifetime=config.lifetime,
        iat=config.iat,
        claims=config.claims,
        scope=config.scope,
        resource=config.resource,
        params=config.params,
        ca_bundle=None if config.ca_bundle is None else absolute(config.ca_bundle),
        client_id_in_body=config.client_id_in_body,
        # A server that was trusted, or a proxy that was gone through, may have made the token up.
        way={name: os.environ[name] for name in WAY if os.environ.get(name)},
    )


class Times(NamedTuple):
    """When a request began, by two clocks (see `own_files.uptime`), and how many seconds it took."""

    began: float
    up: tuple[str, float]
    took: float

    def age(self, now: float) -> float | None:
        """Return the seconds since the request began; None if a clock was set back, and nobody can know."""
        return own_files.age(now, self.began, self.up)

    def elapsed(self, now: float) -> float | None:
        """Return the seconds since the answer came, though the clock was set since; None if nobody can know.

        Counted from the answer: a server that takes its time over a refusal must not be asked more often for it.
        """
        elapsed = own_files.elapsed(now, self.began, self.up)
        return None if elapsed is None else max(0.0, elapsed - self.took)


class KeptToken(NamedTuple):
    """A token response; ``renewal`` says that it was asked for because an API refused the token before it."""

    times: Times
    response: TokenResponse
    renewal: bool = False

    def left(self, now: float) -> float | None:
        """Return the seconds that the token is still good; None if nobody can know."""
        age = self.times.age(now)
        # Counted from the request by our own clocks, because the server's may differ from them.
        return None if age is None else (self.response.expires_in or 0) - age


class KeptFailure(NamedTuple):
    """The error that a request ended with."""

    times: Times
    error: RefusedError | NetworkError


class Entry(NamedTuple):
    """The last outcomes of one request; ``about`` is `Request.about`."""

    about: Mapping[str, Any]
    token: KeptToken | None = None
    failure: KeptFailure | None = None

    @property
    def access_token(self) -> str | None:
        """The access token; None if there is none."""
        return None if self.token is None else self.token.response.access_token

    def left(self, now: float) -> float | None:
        """Return the seconds that the token is still good; None if there is none, or nobody can know."""
        return None if self.token is None else self.token.left(now)

    def refused(self, now: float) -> tuple[RefusedError, float] | None:
        """Return the refusal that is still remembered, and how many seconds ago it came; None if there is none."""
        if self.failure is None or not isinstance(self.failure.error, RefusedError):
            return None
        age = self.failure.times.elapsed(now)
        return None if age is None or age >= REFUSAL_SECONDS else (self.failure.error, age)

    def renewed(self, now: float) -> KeptToken | None:
        """Return the token if it replaced a refused one a moment ago: an API that refuses both minds no token."""
        if self.token is None or not self.token.renewal:
            return None
        age = self.token.times.elapsed(now)
        return None if age is None or age >= REFUSAL_SECONDS else self.token


# --- At rest --------------------------------------------------------------------------------------------------------


def write(name: str, entry: Entry) -> bytes:
    """Return an entry as it is kept in a file; ``name`` is its request's."""
    members: dict[str, Any] = {
        "name": name,
        "version": _VERSION,
        "about": entry.about,
        "token": None,
        "failure": None,
    }
    if entry.token is not None:
        members["token"] = {
            **entry.token.times._asdict(),
            "requested_at": entry.token.response.requested_at,
            "response": entry.token.response.raw,
            "renewal": entry.token.renewal,
        }
    if entry.failure is not None:
        error = entry.failure.error
        members["failure"] = {
            **entry.failure.times._asdict(),
            "class": type(error).__name__,
            **error.marked._asdict(),
            **{name: getattr(error, name, None) for name in ("error", "status", "rule", "doctor_can_tell")},
        }
    return json.dumps(members).encode()


def read(name: str, content: bytes) -> Entry | None:
    """Read a request's entry; None if another version wrote it, ValueError if it is broken or of another request."""
    members = parse_json_object(content)
    if members.get("version") != _VERSION:
        return None
    try:
        entry = Entry(_about(members["about"]), _token(members["token"]), _failure(members["failure"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError("it is JSON of another kind") from None
    if members.get("name") != name:
        raise ValueError("it is another request's")
    return entry


def _about(about: Any) -> dict[str, Any]:
    texts = [about["client_id"], *about["scope"], *about["resource"]]
    texts += [about[name] for name in ("token_endpoint", "issuer") if about[name] is not None]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    return dict(about)


def _times(members: Mapping[str, Any]) -> Times:
    started, seconds = members["up"]
    numbers = members["began"], seconds, members["took"]
    if not isinstance(started, str) or not all(type(number) in (int, float) for number in numbers):
        raise TypeError
    began, seconds, took = map(float, numbers)
    return Times(began, (started, seconds), took)


def _token(members: Mapping[str, Any] | None) -> KeptToken | None:
    if members is None:
        return None
    response, requested_at, renewal = (members[name] for name in ("response", "requested_at", "renewal"))
    if not isinstance(response, dict) or type(requested_at) is not int or type(renewal) is not bool:
        raise TypeError
    return KeptToken(_times(members), token_response(response, requested_at), renewal)


def _failure(members: Mapping[str, Any] | None) -> KeptFailure | None:
    if members is None:
        return None
    kind, message, hint, details = (members[name] for name in ("class", "message", "hint", "details"))
    rule = members.get("rule")
    if not isinstance(details, list) or not all(isinstance(text, str) for text in (kind, message, *details)):
        raise TypeError
    if not isinstance(hint, str | None) or not isinstance(rule, str | None):
        raise TypeError
    words: dict[str, Any] = {"hint": hint, "details": tuple(details), "rule": rule}
    if kind == RefusedError.__name__:
        error, status = members["error"], members["status"]
        if not isinstance(error, str | None) or type(status) is not int:
            raise TypeError
        words |= {"error": error, "status": status}
    failure = _FAILURES[kind](message, **words).but(doctor_can_tell=members.get("doctor_can_tell") is True)
    return KeptFailure(_times(members), failure)
