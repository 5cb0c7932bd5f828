"""Judge what is held against the clock: this machine's own time, and the claims nbf, iat and exp."""

# ruff: noqa: D103 - each public function is the rule that it is named after

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeGuard

from banno_creds.config import MOST_LIFETIME
from banno_creds.rules.findings import Finding, Rule
from banno_creds.rules.outcomes import Outcome, failed, judged, odd, passed, unknown
from banno_creds.rules.shown import shown
from banno_creds.text import printable
from banno_creds.times import duration, looks_like_milliseconds, utc

if TYPE_CHECKING:
    from banno_creds.rules.known import Known
    from banno_creds.rules.presented import ClientAssertion

CLOCK_TOLERANCE = 15
"""How many seconds the clocks of client and server may be apart, either way."""

CLOCK_WARNS = 10
"""A difference of this many seconds between the clocks is a warning."""

# A smaller number in a time's place is probably a duration: at most a day, in seconds.
_LONGEST_DURATION = 86400
_NO_TIME = ", which looks like a duration and not a time"


def judge_clock(skew: float | None) -> Finding:
    """Judge by how many seconds this machine's clock is ahead of the server's; None if that is not known."""
    return judged(Rule.CLOCK_SKEW, "clock", _skew(skew))


def _skew(skew: float | None) -> Outcome:
    if skew is None:
        return unknown("the server's answer has no Date")
    apart = round(abs(skew))
    if apart < CLOCK_WARNS:
        return passed(f"{apart} s from the server's")
    judge = failed if apart > CLOCK_TOLERANCE else odd
    return judge(
        f"{duration(apart)} {'ahead of' if skew > 0 else 'behind'} the server's",
        f"less than {CLOCK_WARNS} s; the server allows {CLOCK_TOLERANCE} s",
    )


# --- The rules ---


def nbf_malformed(assertion: ClientAssertion, known: Known) -> Outcome:
    return _duration(assertion, "nbf", known) or _numeric(assertion, "nbf")


def nbf_future(assertion: ClientAssertion, known: Known) -> Outcome:
    ahead = _ahead(assertion, "nbf", known)
    return failed(*ahead) if ahead else passed(_instant(assertion, "nbf", known))


def iat_malformed(assertion: ClientAssertion, known: Known) -> Outcome:
    return _duration(assertion, "iat", known) or _numeric(assertion, "iat")


def iat_future(assertion: ClientAssertion, known: Known) -> Outcome:
    # Only a warning: node-oidc-provider accepts it if there is an exp. Still, it shows that a clock is wrong.
    ahead = _ahead(assertion, "iat", known)
    return odd(*ahead) if ahead else passed(_instant(assertion, "iat", known))


def exp_malformed(assertion: ClientAssertion, _: Known) -> Outcome:
    return _numeric(assertion, "exp")


def exp_milliseconds(assertion: ClientAssertion, _: Known) -> Outcome:
    exp = assertion.claims["exp"]
    if exp > 0 and looks_like_milliseconds(exp):
        return failed(
            f"{assertion.claim('exp')}, which is a time in milliseconds", "seconds (RFC 7519 section 2, NumericDate)"
        )
    return passed()


def exp_past(assertion: ClientAssertion, known: Known) -> Outcome:
    exp, now = assertion.claims["exp"], known.now
    if exp > now - CLOCK_TOLERANCE:
        return passed(_instant(assertion, "exp", known))
    expected = f"a time in the future; {known.clock_says}"
    if 0 < exp <= _LONGEST_DURATION:
        return failed(
            f"{assertion.claim('exp')}{_NO_TIME}",
            expected,
            "add it to the current time: exp is a point in time, now + 60, in seconds since 1970 UTC",
        )
    return failed(f"{assertion.claim('exp')}, {_apart(exp, now)} ago {known.by_clock}", expected)


def exp_too_far(assertion: ClientAssertion, known: Known) -> Outcome:
    exp, now = assertion.claims["exp"], known.now
    if exp > now + MOST_LIFETIME + CLOCK_TOLERANCE:
        return failed(
            f"{assertion.claim('exp')}, {duration(exp - now)} ahead {known.by_clock}",
            f"at most {MOST_LIFETIME} s ahead; {known.clock_says}",
        )
    return passed()


# --- Words ---


def _numeric(assertion: ClientAssertion, name: str) -> Outcome:
    if name not in assertion.claims or _is_numeric_date(assertion.claims[name]):
        return passed()
    return failed(assertion.claim(name), "a JSON number of seconds (RFC 7519 section 2)")


def _duration(assertion: ClientAssertion, name: str, known: Known) -> Outcome | None:
    """Warn if a time looks like a duration: the server accepts it, but it is a mistake."""
    value = assertion.claims.get(name)
    if not _is_numeric_date(value) or not 0 < value <= min(_LONGEST_DURATION, known.now - _LONGEST_DURATION):
        return None
    return odd(
        f"{assertion.claim(name)}{_NO_TIME}",
        "a time in seconds since 1970",
        f"leave {name} out, or set it to the current time in UTC seconds",
    )


def _ahead(assertion: ClientAssertion, name: str, known: Known) -> tuple[str, str] | None:
    """Return what was received and what was expected, if a time is still to come."""
    value = assertion.claims.get(name)
    if value is None or value <= known.now + CLOCK_TOLERANCE:
        return None
    received = f"{assertion.claim(name)}, {duration(value - known.now)} ahead {known.by_clock}"
    if looks_like_milliseconds(value):
        received = f"{assertion.claim(name)}, which is a time in milliseconds"
    return received, f"a time that has come; {known.clock_says}"


def _instant(assertion: ClientAssertion, name: str, known: Known) -> str:
    value = assertion.claims.get(name)
    if value is None:
        return ""
    return f"{shown(value)}, {_apart(value, known.now)} {'ahead' if value >= known.now else 'ago'}, {utc(value)}"


def _apart(instant: float, now: int) -> str:
    # A JSON number may have thousands of digits.
    return printable(duration(instant - now), most=40)


def _is_numeric_date(value: object) -> TypeGuard[int | float]:
    """Return True for a NumericDate (RFC 7519 section 2)."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
