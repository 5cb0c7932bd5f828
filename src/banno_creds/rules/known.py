"""What a client assertion is held against: the values that are known beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class RegisteredKey(NamedTuple):
    """One public key that the bank has for the client.

    The key itself does the verifying, so that the sandbox can use another library than the rest of this package.

    Attributes:
        description: its type and size, and where it came from.
        algorithms: the ``alg`` values it may verify.
        verifies: takes a compact JWS and its ``alg``, and returns True if this key made the signature.
        kid: the key ID that the registration gives it (RFC 7517 section 4.5); a PEM has none.
        explains: takes the same of a signature that does not verify. If the key's private half made it in a wrong
            form, it returns that form and the fix; else, or if it cannot tell, None.
    """

    description: str
    algorithms: tuple[str, ...]
    verifies: Callable[[str, str], bool]
    kid: str | None = None
    explains: Callable[[str, str], tuple[str, str] | None] = lambda *_: None


class Known(NamedTuple):
    """The values that an assertion is held against; None means not known.

    Attributes:
        now: the server's time, or the best guess at it, in seconds since the epoch.
        client_id: the client ID.
        audiences: the ``aud`` values that mean this server, the token endpoint first.
        keys: the registered public keys.
        use_jti: takes the claims and uses their ``jti`` up; returns False if it was used before.
        is_now: False if ``now`` is a time that somebody gave, and not a clock's.
    """

    now: int
    client_id: str | None = None
    audiences: tuple[str, ...] | None = None
    keys: Sequence[RegisteredKey] | None = None
    use_jti: Callable[[Mapping[str, Any]], bool] | None = None
    is_now: bool = True

    @property
    def clock_says(self) -> str:
        """Its time, for what was expected."""
        return f"{'this clock says' if self.is_now else 'the given time is'} {self.now}"

    @property
    def by_clock(self) -> str:
        """Whose time it is, for what was received."""
        return "by this clock" if self.is_now else "at the given time"
