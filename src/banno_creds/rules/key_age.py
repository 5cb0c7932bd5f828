"""Judge the age of a key by the limit that its owner set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from banno_creds.checks import check_duration
from banno_creds.rules.findings import Rule
from banno_creds.rules.outcomes import judged, odd, passed, unknown
from banno_creds.text import setting

if TYPE_CHECKING:
    from banno_creds.client_authentication.key_age import Since
    from banno_creds.rules.findings import Finding


def judge_age(since: Since | None, now: float, limit: str | None) -> Finding:
    """Judge a key's age.

    Args:
        since: when it was there already; None if that is not known.
        now: the time, in seconds since the epoch.
        limit: how old it may get, such as ``400d``; None if nobody set a limit.
    """
    age = None if since is None else since.age(now)
    if since is None:
        outcome = passed() if limit is None else unknown("no file and no holder tells it")
    elif limit is not None and age is None:
        outcome = unknown(since.told(now).removeprefix("not known: "))
    elif limit is not None and age is not None and age > check_duration("key_max_age", limit):
        outcome = odd(since.told(now), f"{limit} at the most ({setting('key_max_age')})")
    else:
        outcome = passed(since.told(now))
    return judged(Rule.KEY_AGE, "age", outcome)
