"""Instants and durations in words. The clock itself is injected wherever time decides something."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], float]
"""Seconds since the epoch, as ``time.time`` gives them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The last second `datetime` can hold: what lies beyond is a mistake, most often milliseconds.
LAST_INSTANT = 253_402_300_799
BEYOND_THE_CALENDAR = "a time beyond the calendar"

# 1e11 seconds is the year 5138; 1e11 milliseconds was 1973. Nothing real lies between the two readings.
_LOOKS_LIKE_MILLISECONDS = 100_000_000_000


def looks_like_milliseconds(timestamp: float) -> bool:
    """Return whether a NumericDate (RFC 7519 section 2, seconds) was written in milliseconds."""
    return abs(timestamp) >= _LOOKS_LIKE_MILLISECONDS


def utc(timestamp: float) -> str:
    """Return an instant as ``2026-11-21 16:01:01 UTC``, or words that say it lies outside the calendar."""
    if not -LAST_INSTANT <= timestamp <= LAST_INSTANT:
        return BEYOND_THE_CALENDAR
    try:
        instant = _EPOCH + timedelta(seconds=timestamp)  # the C library of Windows knows 1970 to 3000 alone
    except OverflowError:  # before the year 1
        return BEYOND_THE_CALENDAR
    return instant.isoformat(" ", "seconds").removesuffix("+00:00") + " UTC"


def instant(text: str) -> int:
    """Read an instant as people and logs write it, as seconds since the epoch.

    It is a date and time with its time zone, as in RFC 3339 or as `utc` writes it; or seconds since the epoch.

    Raises:
        ValueError: it is neither; the message says why.
    """
    import re

    text = text.strip()
    if text.replace(".", "", 1).isdecimal():
        seconds = float(text)
        if looks_like_milliseconds(seconds):
            raise ValueError("it looks like milliseconds, and seconds are wanted")
        return int(seconds)
    try:
        date = datetime.fromisoformat(re.sub(r"\s*(?:UTC|GMT|Z)\Z", "+00:00", text, flags=re.IGNORECASE))
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        raise ValueError("write it as 2026-11-21T16:01:01Z, or in seconds since 1970") from None
    if seconds < 0:
        raise ValueError("it is before 1970")
    if date.tzinfo is None:
        raise ValueError(f"it has no time zone: write it as {date:%Y-%m-%dT%H:%M:%S}Z if it is in UTC")
    return int(seconds)


def seconds_of(text: str) -> int:
    """Read a duration such as ``400d``, ``8w`` or ``36h``, as seconds.

    Raises:
        ValueError: it is none, or nothing at all, or longer than a hundred years.
    """
    import re

    found = re.fullmatch(r"([0-9]{1,9})([dwh])", text)
    seconds = int(found[1]) * {"h": 3600, "d": 86400, "w": 7 * 86400}[found[2]] if found else 0
    if not 0 < seconds <= 100 * 366 * 86400:
        raise ValueError("write it as 400d, 57w or 36h")
    return seconds


def duration(seconds: float) -> str:
    """Return seconds as a person says them, in the two largest units and unsigned: ``9 min 58 s``, ``3 days 4 h``."""
    left = int(abs(seconds))
    if left >= 3600 * 24 * 365 * 10:
        return f"{left // (3600 * 24 * 365):,} years"
    if left < 120:
        return f"{left} s"
    parts = []
    for size, singular, plural in ((86400, " day", " days"), (3600, " h", " h"), (60, " min", " min")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count:,}{singular if count == 1 else plural}")
    if left:
        parts.append(f"{left} s")
    return " ".join(parts[:2])


def until(timestamp: float, now: float) -> str:
    """Return an instant seen from now: ``in 60 s``, ``now`` or ``3 min ago``."""
    distance = timestamp - now
    if abs(distance) < 1:
        return "now"
    return f"in {duration(distance)}" if distance >= 0 else f"{duration(distance)} ago"


def http_date(value: str) -> float | None:
    """Return an HTTP date (RFC 9110 section 5.6.7) as seconds since the epoch; None if it is not a date."""
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
        # It is in GMT, also in the one of its three forms that does not say so.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
