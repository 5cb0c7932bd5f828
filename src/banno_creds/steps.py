"""What happened, one record a step. The domain emits them; a report turns them into text.

The records are named tuples, as unchangeable as frozen dataclasses and made in a tenth of their time: fourteen
dataclasses would cost each run some 5 ms. A step that holds a secret keeps it out of its repr; the code that shows
the step decides how much is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from banno_creds.text import spelled


class Warned(NamedTuple):
    """Something a person should know, though it stops nothing."""

    message: str
    hint: str | None = None


class KeyLoaded(NamedTuple):
    """The private key was read."""

    origin: str
    description: str
    alg: str
    fingerprint: str


class TokenChosen(NamedTuple):
    """Whose token it will be, and what decided that."""

    whose: str
    why: str


class SecretRead(NamedTuple):
    """The client secret was read; ``method`` is how it will be sent."""

    origin: str
    method: str


class EndpointDiscovered(NamedTuple):
    """The issuer's discovery document named an endpoint."""

    issuer: str
    name: str
    url: str


class AssertionBuilt(NamedTuple):
    """The claims of the client assertion were built, at the time ``now``."""

    claims: Mapping[str, Any]
    now: int


class AssertionSigned(NamedTuple):
    """The assertion was signed."""

    header: Mapping[str, Any]
    client_assertion: str

    def __repr__(self) -> str:
        return f"AssertionSigned(header={self.header!r})"


class TokenRequested(NamedTuple):
    """The token request is sent now; ``form`` is the whole form, with the assertion.

    ``authorization`` means that client ID and secret are in the header of this name (RFC 6749 section 2.3.1).
    """

    url: str
    form: tuple[tuple[str, str], ...]
    attempt: int = 1
    authorization: bool = False

    def __repr__(self) -> str:
        return f"TokenRequested(url={self.url!r}, attempt={self.attempt!r})"


class AnswerReceived(NamedTuple):
    """The server answered, whatever it said; ``what`` names the answer."""

    status: int
    reason: str
    seconds: float
    request_id: str | None
    what: str = "Token response"


class TryingAgain(NamedTuple):
    """An attempt failed in a way that may pass; the next one follows after a pause."""

    reason: str
    seconds: float
    attempt: int
    most_attempts: int


class TokenReceived(NamedTuple):
    """The server granted a token; ``claims`` are the token's own, empty for an opaque one.

    ``beside`` are the other tokens that came with it, by their names in the response.
    """

    token_type: str
    expires_in: int | None
    expires_at: int | None
    scope: str | None
    claims: Mapping[str, Any]
    access_token: str
    beside: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"TokenReceived(expires_at={self.expires_at!r}, scope={self.scope!r}, claims={self.claims!r})"


class CacheSearched(NamedTuple):
    """The cache has no token that will do, and why."""

    reason: str


class CacheAnswered(NamedTuple):
    """The cache has a token that will do, asked for ``age`` seconds ago and good for ``left`` more."""

    age: int
    left: int


class WaitingForAnother(NamedTuple):
    """Another process asks for the same token; this one waits for its outcome, so many seconds at most."""

    seconds: float


class TokenDecoded(NamedTuple):
    """A JWT was taken apart, at the time ``now``."""

    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    now: int


class SignatureVerified(NamedTuple):
    """The signature, and the claims asked about, hold."""

    alg: str
    key: str
    checked: tuple[str, ...]


class NothingVerified(NamedTuple):
    """Nobody asked for the signature to be checked."""


class TokenRejected(NamedTuple):
    """A requested check failed: the payload is shown here, since it is no result."""

    payload: Mapping[str, Any]


Happened = (
    TokenChosen
    | KeyLoaded
    | SecretRead
    | EndpointDiscovered
    | AssertionBuilt
    | AssertionSigned
    | TokenRequested
    | AnswerReceived
    | TryingAgain
    | TokenReceived
    | CacheSearched
    | CacheAnswered
    | WaitingForAnother
    | TokenDecoded
    | SignatureVerified
    | NothingVerified
    | TokenRejected
)

Step = Happened | Warned
Emit = Callable[[Any], None]
"""Called with each step: one of these, or one of `login.steps`, which are made only where somebody signs in."""


def ignore(step: object) -> None:
    """Do nothing with a step; the default."""


def plain(step: Any, spell: Callable[[str], str] = str) -> Any:
    """Return a step as a Python program reads it: a warning names settings as in Python; see `text.setting`."""
    if not isinstance(step, Warned):
        return step
    return Warned(spelled(step.message, spell), None if step.hint is None else spelled(step.hint, spell))


def watch(watcher: Callable[[str], AbstractContextManager[None]]) -> None:
    """Have each wait of this process shown: ``watcher`` is entered with what is waited for, and left at its end.

    Only the command line asks for it, at a terminal.
    """
    global _watcher
    _watcher = watcher


def awaiting(whom: str) -> AbstractContextManager[None]:
    """Return a context in which something is waited for, such as a server."""
    return _watcher(whom)


def _unwatched(whom: str) -> AbstractContextManager[None]:
    del whom
    return nullcontext()


_watcher: Callable[[str], AbstractContextManager[None]] = _unwatched


class Run(NamedTuple):
    """How a run goes: who is told of each step, what time it is, how a pause is made.

    The command line and the Python API make one and pass it on; tests give their own clock, and need not wait.

    Attributes:
        emit: called with each step.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause, before another attempt or for another process.
    """

    emit: Emit = ignore
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def warn(self, message: str, hint: str | None = None) -> None:
        """Emit a warning."""
        self.emit(Warned(message, hint))

    def silent(self) -> Run:
        """Return the same run, with nobody told of its steps."""
        return self._replace(emit=ignore)
