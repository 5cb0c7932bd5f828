"""Further attempts: a request that may succeed a moment later is sent again, one that was refused never is."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from banno_creds.errors import NetworkError
from banno_creds.steps import TryingAgain, awaiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.http.client import HttpClient
    from banno_creds.steps import Run

    T = TypeVar("T")

MOST_ATTEMPTS = 3
_FIRST_PAUSE = 0.5  # seconds; doubled each time


def persistently(attempt: Callable[[int], T], http: HttpClient, run: Run, *, is_good_once: bool = False) -> T:
    """Make up to `MOST_ATTEMPTS` attempts within the client's time; return the result of the first that succeeds.

    Args:
        attempt: called with the number of the attempt, from 1.
        http: the client that sends the request, and knows how much time is left.
        run: how the run goes.
        is_good_once: the server uses up what is sent, such as a code: it is never sent again if it may have arrived.

    Raises:
        NetworkError: the last attempt failed too.
    """
    number, before = 1, ""
    while True:
        try:
            return attempt(number)
        except NetworkError as failure:
            pause = _pause_after(failure, number)
            may_be_used_up = is_good_once and failure.sent
            if failure.on_closed_connection and not may_be_used_up:
                continue  # on a new connection
            is_last = number == MOST_ATTEMPTS or pause >= http.remaining()
            if not failure.retryable or may_be_used_up or is_last:
                more = [f"that was attempt {number} of {MOST_ATTEMPTS}"] if number > 1 else []
                if before not in ("", failure.message):
                    more.append(f"the attempt before it: {before}")
                raise failure.but(more=more) from None
            number, before = number + 1, failure.message
            run.emit(TryingAgain(failure.message, pause, number, MOST_ATTEMPTS))
        with awaiting(f"attempt {number} of {MOST_ATTEMPTS}"):
            run.sleep(pause)


def _pause_after(failure: NetworkError, number: int) -> float:
    """Return the pause that the server asked for; else a longer one each time, at random, to spread many jobs."""
    if failure.retry_after is not None:
        return failure.retry_after
    from random import uniform

    return _FIRST_PAUSE * float(2 ** (number - 1)) * uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
