"""The outcome of one rule, and the finding that is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from banno_creds.errors import RefusedError
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Finding, Rule, Verdict

if TYPE_CHECKING:
    from banno_creds.errors import BannoCredsError


class Outcome(NamedTuple):
    """A finding without the rule: see `Finding`."""

    verdict: Verdict
    received: str = ""
    expected: str = ""
    fix: str = ""
    reason: str = ""


def passed(received: str = "") -> Outcome:
    """The fault is absent."""
    return Outcome(Verdict.PASS, received)


def failed(received: str, expected: str, fix: str = "") -> Outcome:
    """The server refuses this."""
    return Outcome(Verdict.FAIL, received, expected, fix)


def odd(received: str, expected: str, fix: str = "") -> Outcome:
    """The server accepts this, but it is probably a mistake."""
    return Outcome(Verdict.WARN, received, expected, fix)


def unknown(reason: str, received: str = "") -> Outcome:
    """This cannot be judged from here."""
    return Outcome(Verdict.UNKNOWN, received, reason=reason)


def judged(rule: Rule, looks_at: str, outcome: Outcome) -> Finding:
    """Make the finding of a rule, with its fix."""
    return with_fix(Finding(rule, outcome.verdict, looks_at, *outcome[1:]))


def with_fix(finding: Finding) -> Finding:
    """Give a fault that has no fix of its own the fix of its rule's explanation."""
    if finding.fix or finding.verdict not in (Verdict.FAIL, Verdict.WARN) or not isinstance(finding.rule, Rule):
        return finding
    return finding._replace(fix=EXPLANATIONS[finding.rule].fix)


def of_error(failure: BannoCredsError, rule: str, looks_at: str) -> Finding:
    """Return an error as a finding: its own rule if it has one, else the given one."""
    message, hint, details = failure.marked
    received = message + (f" ({'; '.join(details)})" if details else "")
    # The rule of a refusal with an OAuth error is a word that the server chose.
    own = failure.rule if not isinstance(failure, RefusedError) or failure.error is None else None
    return Finding(own or rule, Verdict.FAIL, looks_at, received, "", hint or "")
