"""The age of a key: what tells it, and from when on it is too old."""

from __future__ import annotations

import pytest

from banno_creds.client_authentication.key_age import Since
from banno_creds.rules.findings import Verdict
from banno_creds.rules.key_age import judge_age

pytestmark = pytest.mark.once

NOW, DAY = 1_795_276_800.0, 86_400
MADE_1970, MADE_2000 = 0.0, 946_684_800.0


@pytest.mark.parametrize(
    ("since", "limit", "verdict"),
    [
        (Since(NOW - 400 * DAY, "file"), "400d", Verdict.PASS),
        (Since(NOW - 400 * DAY - 1, "file"), "400d", Verdict.WARN),
        (Since(NOW - 4000 * DAY, "file"), None, Verdict.PASS),
        (Since(MADE_2000, "holder"), "400d", Verdict.WARN),
        (Since(MADE_1970, "file"), "400d", Verdict.UNKNOWN),
        (Since(NOW, "file"), "1h", Verdict.PASS),
        (Since(NOW + 1, "file"), "1h", Verdict.UNKNOWN),
        (None, "400d", Verdict.UNKNOWN),
        (None, None, Verdict.PASS),
    ],
)
def test_a_key_is_too_old_when_it_is_older_than_its_limit(
    since: Since | None, limit: str | None, verdict: Verdict
) -> None:
    assert judge_age(since, NOW, limit).verdict is verdict


def test_the_earlier_of_two_times_counts_unless_it_is_no_keys() -> None:
    noted = Since(NOW - DAY, "rotation")
    for other, earlier in {
        None: noted,
        Since(NOW - 2 * DAY, "file"): Since(NOW - 2 * DAY, "file"),
        Since(NOW, "file"): noted,
        Since(MADE_1970, "file"): noted,
    }.items():
        assert noted.or_since(other) == earlier
