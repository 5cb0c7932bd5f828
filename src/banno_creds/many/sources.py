"""Sources of many clients' tokens, and what they share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from banno_creds.http.connections import Connections
from banno_creds.many.pacing import Limits, Pacing
from banno_creds.tokens.token_source import TokenSource

if TYPE_CHECKING:
    import anyio
    from anyio.lowlevel import RunVar

    from banno_creds.config import ClientConfig
    from banno_creds.tokens.shared import Cache

_REOPENS_AFTER = 30.0
"""After so many seconds, a host that refused too many requests is asked once more."""


class Shares:
    """What sources share: open connections with their pacing, caches, and a bound for the threads of tasks.

    Attributes:
        limits: how gently each host is asked.
        caches: what was opened; a new dictionary has each cache opened again.

    Raises:
        ConfigurationError: a limit is out of bounds.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits.check()
        self.caches: dict[object, Cache | None] = {}
        self._connections: dict[int, Connections] = {}  # by process: a child must not use its parent's connections
        self._limiters: RunVar[anyio.CapacityLimiter] | None = None

    def connections(self) -> Connections:
        """Return the connections of this process."""
        process = os.getpid()
        found = self._connections.get(process)
        if found is None:
            pacing = Pacing(self.limits, reopens_after=_REOPENS_AFTER)
            found = self._connections.setdefault(process, Connections(pacing.turn))
        return found

    def limiter(self) -> anyio.CapacityLimiter:
        """Return what bounds the threads of the running event loop's tasks.

        The tasks of hundreds of sources would otherwise take all threads that anyio has for a program's own work.
        """
        from anyio import CapacityLimiter
        from anyio.lowlevel import RunVar

        if self._limiters is None:
            self._limiters = RunVar("banno_creds limiter")
        limiter = self._limiters.get(None)
        if limiter is None:
            limiter = CapacityLimiter(4 * self.limits.jobs)
            self._limiters.set(limiter)
        return limiter

    def close(self) -> None:
        """Close the idle connections of this process, those to shared caches too; all can be used again."""
        if (connections := self._connections.get(os.getpid())) is not None:
            connections.close()
        for cache in [*self.caches.values()]:
            if cache is not None:
                cache.close()


class SharingSource(TokenSource):
    """A source of one client's tokens that shares with others; ``how`` is for the `TokenSource`."""

    def __init__(self, config: ClientConfig, shares: Shares, **how: Any) -> None:
        super().__init__(config, **how)
        self._shares = shares

    def _connections(self) -> Connections:
        return self._shares.connections()

    def _opened_caches(self) -> dict[object, Cache | None]:
        return self._shares.caches

    def _limiter(self) -> anyio.CapacityLimiter:
        return self._shares.limiter()
