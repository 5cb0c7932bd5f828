"""What happened, one frozen record a step. The flow emits them; a report turns them into text.

A field that holds a secret has ``repr=False``, and whoever shows a step decides how much of it is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened."""


@dataclass(frozen=True, slots=True)
class Warned(Step):
    """Something a person should know, though it stops nothing."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class KeyLoaded(Step):
    """The private key was read."""

    origin: str
    description: str
    alg: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class EndpointDiscovered(Step):
    """The issuer's discovery document named an endpoint."""

    issuer: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class AssertionBuilt(Step):
    """The claims of the client assertion were put together, at the time ``now``."""

    claims: Mapping[str, Any]
    now: int


@dataclass(frozen=True, slots=True)
class AssertionSigned(Step):
    """The assertion was signed."""

    header: Mapping[str, Any]
    client_assertion: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRequested(Step):
    """The token request goes out now; ``form`` is all of it."""

    url: str
    form: tuple[tuple[str, str], ...] = field(repr=False)
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class AnswerReceived(Step):
    """The server answered, whatever it said."""

    status: int
    reason: str
    seconds: float
    request_id: str | None


@dataclass(frozen=True, slots=True)
class TryingAgain(Step):
    """An attempt failed in a way that may pass; the next one follows after a pause."""

    reason: str
    seconds: float
    attempt: int
    most_attempts: int


@dataclass(frozen=True, slots=True)
class TokenReceived(Step):
    """The server granted a token; ``claims`` are the token's own, empty for an opaque one."""

    token_type: str
    expires_in: int | None
    expires_at: int | None
    scope: str | None
    claims: Mapping[str, Any]
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenDecoded(Step):
    """A JWT was taken apart, at the time ``now``."""

    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    now: int


@dataclass(frozen=True, slots=True)
class SignatureVerified(Step):
    """The signature, and the claims asked about, hold."""

    alg: str
    key: str
    checked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NothingVerified(Step):
    """Nobody asked for the signature to be checked."""


@dataclass(frozen=True, slots=True)
class TokenRejected(Step):
    """A check that was asked for failed: the payload is shown here, for it will not be a result."""

    payload: Mapping[str, Any]


Emit = Callable[[Step], None]


def ignore(step: Step) -> None:
    """Do nothing with a step: what the flow does by default."""
