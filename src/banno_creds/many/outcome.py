"""What became of one of many clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from banno_creds.errors import BannoCredsError
    from banno_creds.steps import Warned
    from banno_creds.tokens.response import TokenResponse


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one client.

    Attributes:
        profile: the name of its profile.
        error: why there is no token; None if all is well. A `NotAskedError` if the server was left alone, because it
            had refused too many in a row.
        response: the token; None after an error, and offline.
        warnings: what a person should know all the same.
        asked: whether a token request was sent; not if the token, or a refusal of a moment ago, came from the cache.
        seconds: how long the server took to answer, all attempts together.
    """

    profile: str
    error: BannoCredsError | None = None
    response: TokenResponse | None = field(default=None, repr=False)
    warnings: tuple[Warned, ...] = ()
    asked: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return self.error is None

    @property
    def exit_code(self) -> int:
        """The exit code that a command for this client alone would have."""
        return 0 if self.error is None else self.error.exit_code
