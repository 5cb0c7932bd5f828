"""Instants and durations in words."""

from __future__ import annotations

import math

import pytest

from banno_creds.times import duration, looks_like_milliseconds, until, utc

NOW = 1_795_276_801  # 2026-11-21 16:00:01 UTC


@pytest.mark.parametrize(
    ("timestamp", "words"),
    [
        (0, "1970-01-01 00:00:00 UTC"),
        (NOW, "2026-11-21 16:00:01 UTC"),
        (NOW + 0.9, "2026-11-21 16:00:01 UTC"),
        (-1, "1969-12-31 23:59:59 UTC"),
        (-0.5, "1969-12-31 23:59:59 UTC"),
        (-1_000_000_000, "1938-04-24 22:13:20 UTC"),
        (50_000_000_000, "3554-06-09 16:53:20 UTC"),
        (-62_135_596_800, "0001-01-01 00:00:00 UTC"),
        (-62_135_596_801, "a time beyond the calendar"),
        (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        (253_402_300_800, "a time beyond the calendar"),
        (10**400, "a time beyond the calendar"),
        (-(10**400), "a time beyond the calendar"),
        (1e308, "a time beyond the calendar"),
        (math.nan, "a time beyond the calendar"),
    ],
)
def test_instant_is_said_in_utc_or_said_to_be_none(timestamp: float, words: str) -> None:
    assert utc(timestamp) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (60, "60 s"),
        (119, "119 s"),
        (120, "2 min"),
        (180, "3 min"),
        (598, "9 min 58 s"),
        (-598, "9 min 58 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86_400, "1 day"),
        (3 * 86_400 + 4 * 3600 + 5, "3 days 4 h"),
        (3649 * 86_400, "3,649 days"),
        (3650 * 86_400, "10 years"),
        (1e308, f"{int(1e308) // 31_536_000:,} years"),
    ],
)
def test_duration_is_said_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("timestamp", "words"),
    [
        (NOW + 60, "in 60 s"),
        (NOW, "now"),
        (NOW + 0.5, "now"),
        (NOW - 0.5, "now"),
        (NOW - 1, "1 s ago"),
        (NOW - 180, "3 min ago"),
    ],
)
def test_distance_from_now_has_a_direction(timestamp: float, words: str) -> None:
    assert until(timestamp, NOW) == words


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        (NOW, False),
        (NOW * 1000, True),
        (-NOW * 1000, True),
        (99_999_999_999, False),
        (100_000_000_000, True),
        (10**400, True),
        (1e308, True),
    ],
)
def test_milliseconds_are_told_from_seconds(timestamp: float, *, milliseconds: bool) -> None:
    assert looks_like_milliseconds(timestamp) is milliseconds
