"""The Python API for many clients: a source of tokens for each, over shared connections, gently."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from banno_creds.checks import check_type
from banno_creds.config import DEFAULT_GIVE_UP_AFTER, DEFAULT_JOBS, DEFAULT_MIN_TTL, DEFAULT_RATE, ClientConfig
from banno_creds.errors import ConfigurationError
from banno_creds.many.pacing import Limits
from banno_creds.many.sources import Shares, SharingSource
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from banno_creds.config import Location
    from banno_creds.steps import Emit
    from banno_creds.times import Clock
    from banno_creds.tokens.token_source import TokenSource


class TokenPool:
    """Gives a `TokenSource` for each of many clients, such as one for each institution.

    The sources share open connections and what a host may bear: at most ``jobs`` requests to it are under way at
    once, at most ``rate`` begin in a second, and after ``give_up_after`` refusals in a row it is left alone
    (`NotAskedError`), and asked once more every 30 s. Tokens that are at hand need no turn.

    Like a source, a pool serves all threads, event loops and forked children of a program; each process counts for
    itself.

    Args:
        clients: the names of profiles; or the clients, each with a name; None for all profiles.
        tags: of the profiles, only those that have all of these tags.
        file: the file with the profiles; None for the user's own ``config.toml``.
        jobs: how many requests to one host may be under way at once.
        rate: how many requests to one host may begin in a second, evenly spaced; 0 for any number.
        give_up_after: after how many refusals in a row a host is left alone; 0 for never.
        on_disk: see `TokenSource`; so are the others.
        min_ttl: how long a token must still be good, in seconds.
        emit: called with each step.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause.

    Raises:
        ConfigurationError: a value has the wrong type or is out of bounds, or there is no file with profiles. What is
            wrong with one profile is raised by `source`.
    """

    def __init__(
        self,
        clients: Iterable[str] | Mapping[str, ClientConfig] | None = None,
        *,
        tags: Iterable[str] = (),
        file: Location | None = None,
        jobs: int = DEFAULT_JOBS,
        rate: float = DEFAULT_RATE,
        give_up_after: int = DEFAULT_GIVE_UP_AFTER,
        on_disk: bool = True,
        min_ttl: int = DEFAULT_MIN_TTL,
        emit: Emit | None = None,
        clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shares = Shares(Limits(jobs, rate, give_up_after))
        self._how: dict[str, Any] = {"on_disk": on_disk, "min_ttl": min_ttl, "emit": emit}
        self._how |= {"clock": clock, "sleep": sleep}
        self._clients = _read(clients, tags, file)
        self._sources = {
            name: _PooledSource(self, name, config, self._shares, **self._how)
            for name, config in self._clients.items()
            if isinstance(config, ClientConfig)
        }

    def __reduce__(self) -> tuple[object, ...]:
        """Make a pool of its own where this one is copied or pickled, without tokens, refusals and connections."""
        return partial(type(self), **self._shares.limits._asdict(), **self._how), (self._clients,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all clients, those with a fault too."""
        return tuple(self._clients)

    def source(self, name: str) -> TokenSource:
        """Return the source of a client's tokens, the same one each time.

        Raises:
            ConfigurationError: the pool has no such client, or its profile has a fault.
        """
        check_type("name", name, str)
        if (found := self._sources.get(name)) is not None:
            return found
        fault = self._clients.get(name)
        if isinstance(fault, ConfigurationError):
            raise fault.but()
        known = printable(", ".join(self._clients), 100) or "none"
        raise ConfigurationError(f"the pool has no client {name!a}", hint=f"it has these: {known}")

    def close(self) -> None:
        """Close the idle connections; the sources may be used all the same."""
        self._shares.close()


class _PooledSource(SharingSource):
    """A source of a pool, which is copied or pickled with its pool."""

    def __init__(self, pool: TokenPool, name: str, config: ClientConfig, shares: Shares, **how: Any) -> None:
        super().__init__(config, shares, **how)
        self._pool = pool
        self._name = name

    def __reduce__(self) -> tuple[object, ...]:
        return _source_of, (self._pool, self._name)


def _source_of(pool: TokenPool, name: str) -> TokenSource:
    return pool.source(name)


def _read(
    clients: Iterable[str] | Mapping[str, ClientConfig] | None, tags: Iterable[str], file: Location | None
) -> dict[str, ClientConfig | ConfigurationError]:
    """Return the clients by name, or what is wrong with each."""
    if isinstance(clients, str) or isinstance(tags, str):  # which is a sequence of texts too, a letter each
        raise ConfigurationError(
            "the names or tags are one text, and have to be several", hint='write TokenPool(["live", "test"])'
        )
    if isinstance(clients, Mapping):
        for name, config in clients.items():
            check_type("name", name, str)
            check_type("clients", config, ClientConfig, ConfigurationError, hint="give each name a ClientConfig")
        return dict(clients)
    from banno_creds.profiles.client import read_clients

    names = None if clients is None else list(clients)
    for name in names or ():
        check_type("clients", name, str, hint="name profiles, or give each name a ClientConfig")
    return {**read_clients(names, file, tuple(tags))}
