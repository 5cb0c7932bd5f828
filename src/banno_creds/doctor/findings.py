"""Findings of the doctor's, put together from facts and errors. Settings in them are still marked; see `spelled`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from banno_creds import text
from banno_creds.rules.findings import Finding, Verdict
from banno_creds.rules.outcomes import of_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.errors import BannoCredsError


def passed(rule: str, looks_at: str, *facts: str) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(rule, Verdict.PASS, looks_at, joined(*facts))


def unknown(rule: str, looks_at: str, reason: str) -> Finding:
    """Return a finding that something cannot be judged."""
    return Finding(rule, Verdict.UNKNOWN, looks_at, reason=reason)


def warning_of(failure: BannoCredsError, rule: str, looks_at: str) -> Finding:
    """Return an error that stops nothing as a warning under the rule that was looked at."""
    return of_error(failure, rule, looks_at)._replace(rule=rule, verdict=Verdict.WARN)


def joined(*facts: str) -> str:
    """Join the facts that are not empty."""
    return " · ".join(fact for fact in facts if fact)


def spelled(finding: Finding, spell: Callable[[str], str]) -> Finding:
    """Return a finding with its settings spelled for its reader; see `text.setting`."""
    received, expected, reason, fix = (
        text.spelled(words, spell) for words in (finding.received, finding.expected, finding.reason, finding.fix)
    )
    return finding._replace(received=received, expected=expected, reason=reason, fix=fix)
