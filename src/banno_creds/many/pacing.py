"""How gently a host is asked: so many at once, so many a second, and no more after so many refusals in a row.

Banks block addresses that fail. So the stop is exact: there are never more requests to a host under way than
refusals are left, and a wrong key in a thousand profiles costs that many refusals.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from threading import Condition, Lock
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from banno_creds.checks import check_type
from banno_creds.config import DEFAULT_GIVE_UP_AFTER, DEFAULT_JOBS, DEFAULT_RATE
from banno_creds.errors import ConfigurationError, NotAskedError, RefusedError, UnavailableError
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_JOBS = 64

# Windows notices Ctrl-C only between two waits.
_SLICE_SECONDS = 0.2 if sys.platform == "win32" else None
MOST_RATE = 10_000
_MOST_PAUSE = 10.0  # seconds for which a host is left alone that asks all to slow down by what it says to one


class Limits(NamedTuple):
    """How gently each host is asked.

    Attributes:
        jobs: how many requests may be under way at once.
        rate: how many may begin in a second, evenly spaced; 0 for any number.
        give_up_after: after how many refusals in a row the host is not asked any more; 0 for never.
    """

    jobs: int = DEFAULT_JOBS
    rate: float = DEFAULT_RATE
    give_up_after: int = DEFAULT_GIVE_UP_AFTER

    def check(self) -> Limits:
        """Return the limits.

        Raises:
            ConfigurationError: one is of another type, or out of bounds.
        """
        check_type("jobs", self.jobs, int)
        check_type("rate", self.rate, int, float)
        check_type("give_up_after", self.give_up_after, int)
        if not 1 <= self.jobs <= MOST_JOBS:
            raise ConfigurationError(f"{setting('jobs')} must be 1 to {MOST_JOBS}", hint=f"{DEFAULT_JOBS} is usual")
        if not 0 <= self.rate <= MOST_RATE:  # also refuses NaN
            raise ConfigurationError(
                f"{setting('rate')} must be 0 to {MOST_RATE} a second",
                hint=f"{DEFAULT_RATE:g} is usual; 0 is no bound",
            )
        if self.give_up_after < 0:
            raise ConfigurationError(
                f"{setting('give_up_after')} must not be below 0",
                hint=f"{DEFAULT_GIVE_UP_AFTER} is usual; 0 never gives up",
            )
        return self


def host_of(url: str) -> str:
    """Return the host and the port of a URL, by which pacing tells hosts apart."""
    parts = urlsplit(url)
    return f"{(parts.hostname or '').rstrip('.').lower()}:{parts.port or (80 if parts.scheme == 'http' else 443)}"


class _Host:
    """What is under way at one host; the lock of `Pacing` guards it."""

    def __init__(self, lock: Lock) -> None:
        self.changed = Condition(lock)
        self.under_way = 0
        self.refusals = 0  # in a row
        self.next_at = 0.0  # when the next request may begin
        self.closed_at = 0.0  # when the last refusal of those that count came
        self.last = ""  # its words


class Pacing:
    """Gives each request its turn; one for all threads.

    Args:
        limits: how gently each host is asked.
        reopens_after: after so many seconds, a host that refused too many is asked once more; None for never.
        clock: a clock that nobody sets.
    """

    def __init__(
        self,
        limits: Limits = Limits(),
        *,
        reopens_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits.check()
        self._reopens_after = reopens_after
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._lock = Lock()
        self._stopped = False

    def stop(self) -> None:
        """Let nobody begin a request any more: who waits for a turn gets a `NotAskedError`."""
        with self._lock:
            self._stopped = True
            for host in self._hosts.values():
                host.changed.notify_all()

    @contextmanager
    def turn(self, url: str, *, counts: bool = True) -> Iterator[None]:
        """Wait for the turn of a request, which is made inside.

        Args:
            url: where it goes.
            counts: whether it is a token request, whose refusal or success counts.

        Raises:
            NotAskedError: the host refused too many requests in a row.
        """
        with self._lock:
            host = self._hosts.setdefault(host_of(url), _Host(self._lock))
            self._wait(host, url)
            host.under_way += 1
        try:
            yield
        except BaseException as failure:
            self._leave(host, failure, counts=counts)
            raise
        self._leave(host, None, counts=counts)

    def _wait(self, host: _Host, url: str) -> None:
        """Wait until a request may begin; the lock is held at the end."""
        while True:
            now = self._clock()
            if self._stopped:
                raise NotAskedError(f"{urlsplit(url).netloc} was not asked: the run was stopped", hint="run it again")
            left = self._left(host, now)
            if left <= 0:
                raise self._given_up(host, url)
            if host.under_way >= min(self.limits.jobs, left):
                host.changed.wait(_SLICE_SECONDS)
            elif (pause := host.next_at - now) > 0:
                host.changed.wait(min(pause, _SLICE_SECONDS or pause))
            else:
                if self.limits.rate:
                    host.next_at = max(now, host.next_at) + 1 / self.limits.rate
                return

    def _left(self, host: _Host, now: float) -> float:
        """Return how many refusals are left."""
        most = self.limits.give_up_after
        if not most:
            return float("inf")
        if host.refusals < most:
            return most - host.refusals
        reopens = self._reopens_after is not None and now - host.closed_at >= self._reopens_after
        return 1 if reopens else 0

    def _leave(self, host: _Host, failure: BaseException | None, *, counts: bool) -> None:
        with self._lock:
            host.under_way -= 1
            if counts and isinstance(failure, RefusedError):
                host.refusals += 1
                host.closed_at, host.last = self._clock(), failure.message
            elif counts and failure is None:
                host.refusals = 0
            elif isinstance(failure, UnavailableError) and failure.retry_after is not None:
                pause = min(failure.retry_after, _MOST_PAUSE)
                host.next_at = max(host.next_at, self._clock() + pause)
            host.changed.notify_all()

    def _given_up(self, host: _Host, url: str) -> NotAskedError:
        return NotAskedError(
            f"{urlsplit(url).netloc} was not asked: it had refused {host.refusals} requests in a row",
            hint="mend what the refusals have in common, then run it again",
            details=(f"the last refusal: {host.last}",),
            rule="check.given_up",
        )
