"""Why a token request was refused, as far as it can be told from outside.

The provider has one answer for more than a dozen mistakes. What was found by the rules names the cause, or rules
causes out; of what is left, some only the bank can look at, and for those there is the question to ask.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Finding, Rule, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from banno_creds.errors import RefusedError
    from banno_creds.rules.assertion import Known
    from banno_creds.rules.presented import ClientAssertion

# What hides behind `invalid_client` and only the bank can look at, the likeliest first.
_ONLY_THE_BANK = (
    Rule.REGISTRATION_KEY_MISMATCH,
    Rule.CLIENT_UNKNOWN,
    Rule.REGISTRATION_AUTH_METHOD,
    Rule.REGISTRATION_ALG,
    Rule.REGISTRATION_APPLICATION_TYPE,
)
# What a person could not have signed in with.
_SHOWN_BY_LOGIN = (Rule.CLIENT_UNKNOWN, Rule.REGISTRATION_APPLICATION_TYPE)
# What would stand in the way next: whoever has to ask the bank anyway, asks for it as well.
_ASKED_AS_WELL = (Rule.SCOPE_NOT_ALLOWED, Rule.REGISTRATION_USER)
# What the other refusals come from.
_ONLY_THE_BANK_BY_ERROR = {
    "invalid_scope": (Rule.SCOPE_NOT_ALLOWED,),
    "unauthorized_client": (Rule.REGISTRATION_APPLICATION_TYPE,),
    "invalid_grant": (Rule.REGISTRATION_APPLICATION_TYPE,),
    "unsupported_grant_type": (Rule.REGISTRATION_APPLICATION_TYPE,),
}
# How node-oidc-provider refuses an application that is none for services; the OAuth error is another one's.
_NOT_THIS_GRANT = "grant type is not allowed"

# What is ruled out where it passes, in the words of whoever would suspect it.
_SUSPECTED = {
    Rule.CLIENT_ID_MALFORMED: "something copied along with the client ID",
    Rule.REGISTRATION_KEY_MISMATCH: "another key at the bank",
    Rule.SIGNATURE_INVALID: "a signature that does not verify",
    Rule.ALG_UNSUPPORTED: "alg",
    Rule.SUB_MISMATCH: "sub",
    Rule.ISS_MISMATCH: "iss",
    Rule.AUD_MISMATCH: "aud",
    Rule.KID_UNEXPECTED: "kid",
    Rule.EXP_PAST: "exp",
    Rule.JTI_REPLAYED: "jti",
    Rule.CLOCK_SKEW: "the clock",
    Rule.DISCOVERY_AUTH_METHOD: "a server without signed JWTs",
}
# What can be looked at here, and is a cause as long as it was not.
_LIKELY_HERE = (Rule.KID_UNEXPECTED, Rule.KID_UNKNOWN)
_UNLIKELY_HERE = (Rule.AUD_MISMATCH, Rule.CLOCK_SKEW)
# What passes by the user's word, who says which key the bank has.
_BY_REGISTRATION = (Rule.REGISTRATION_KEY_MISMATCH, Rule.SIGNATURE_INVALID)

# The claims that are held against a clock.
_TIMES = ("exp", "iat", "nbf")

# What tells of another endpoint than the one that is meant.
_ENDPOINT = (Rule.DISCOVERY_TOKEN_ENDPOINT, Rule.CONFIGURATION_ENDPOINT)

# What is warned of, and node-oidc-provider takes.
_TAKEN = (Rule.CLAIMS_UNEXPECTED, Rule.AUD_ARRAY, Rule.IAT_FUTURE)
# What is warned of, and no server refuses anybody for.
_HARMLESS = (Rule.KEY_PERMISSIONS, Rule.NETWORK_TLS_EXPIRED, Rule.DISCOVERY_SCOPE, Rule.DISCOVERY_JWKS)


class Cause(NamedTuple):
    """One thing that the refusal may come from.

    Attributes:
        rule: its id.
        title: what it is.
        why: what speaks for it, or why it cannot be ruled out.
        fix: what to do about it, where it was found.
        question: what to ask the bank's administrator; empty where it can be looked at here.
    """

    rule: str
    title: str
    why: str
    fix: str = ""
    question: str = ""


class RuledOut(NamedTuple):
    """One thing that the refusal does not come from, and how that is known."""

    rule: str
    title: str
    how: str


class Diagnosis(NamedTuple):
    """What a refusal comes from.

    Attributes:
        error: the OAuth error code; empty where nobody was asked.
        causes: what remains, the likeliest first.
        ruled_out: what does not.
        certain: whether the first cause was found to be one, and not only left over.
        questions: what to ask the bank's administrator: of the causes, and of what would stand in the way next.
    """

    error: str
    causes: tuple[Cause, ...]
    ruled_out: tuple[RuledOut, ...]
    certain: bool = False
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a diagnosis has to know beside the findings.

    Attributes:
        facts: what the questions name: ``client_id``, ``fingerprint``, ``alg``, ``scope``.
        said: the server's words.
        endpoint_confirmed: whether the endpoint is the server's own name for it: by discovery, or as documented.
        timely: whether the assertion is in its time by the server's clock.
        registration_confirmed: whether what the bank has was fetched from where it fetches it, and is not only said.
        tried: the rules of variations that were refused as well, with the words for each.
        after_login: whether a person had signed in to this client: so the bank knows it, and it is for people.
    """

    facts: Mapping[str, str]
    said: str = ""
    endpoint_confirmed: bool = False
    timely: bool = False
    registration_confirmed: bool = False
    tried: Mapping[str, str] = field(default_factory=dict)
    after_login: bool = False


def diagnose(error: str, findings: Iterable[Finding], circumstances: Circumstances) -> Diagnosis:
    """Say what a refusal comes from.

    Args:
        error: the OAuth error code (RFC 6749 section 5.2).
        findings: all that was found.
        circumstances: what else is known.

    Returns:
        The diagnosis. Only what is known for certain is ruled out.
    """
    found: dict[str, Finding] = {}
    for finding in findings:
        if finding.rule not in found or found[finding.rule].verdict is Verdict.PASS:
            found[finding.rule] = finding
    if error != "invalid_client":
        by_bank = _ONLY_THE_BANK_BY_ERROR.get(error, ())
        if error == "invalid_request" and _NOT_THIS_GRANT in circumstances.said:
            by_bank = (Rule.REGISTRATION_APPLICATION_TYPE,)
        # An answer that says what is wrong: all but that is beside the point, unless it is another server's.
        elsewhere = [found[rule] for rule in _ENDPOINT if rule in found and found[rule].verdict is Verdict.WARN]
        causes = [] if by_bank else [_found(finding) for finding in elsewhere]
        causes += _asked_of_the_bank(by_bank, found, circumstances)
        return Diagnosis(error, tuple(causes), (), questions=_questions(causes))
    failed = [finding for finding in found.values() if finding.verdict is Verdict.FAIL]
    warned = [finding for finding in found.values() if finding.verdict is Verdict.WARN]
    if circumstances.timely:  # clocks that differ, and not by too much
        failed = [finding for finding in failed if finding.rule != Rule.CLOCK_SKEW]
    first = [_found(finding) for finding in failed]
    first += [_found(finding) for finding in warned if finding.rule not in (*_HARMLESS, *_TAKEN)]
    last = [_found(finding) for finding in warned if finding.rule in _TAKEN]
    for rule in _LIKELY_HERE:
        if rule in found and found[rule].verdict is Verdict.UNKNOWN:
            tried = circumstances.tried.get(Rule.KID_UNEXPECTED, "")
            (last if tried else first).append(Cause(rule, _title(rule), tried or found[rule].reason))
    open_questions = (rule for rule in _ONLY_THE_BANK if not (circumstances.after_login and rule in _SHOWN_BY_LOGIN))
    for cause in _asked_of_the_bank(open_questions, found, circumstances):
        (last if cause.rule in circumstances.tried else first).append(cause)
    ruled_out = []
    for rule, title in _SUSPECTED.items():
        passed = found.get(rule)
        if passed is None or passed.verdict is not Verdict.PASS or not passed.received:
            continue
        doubt = _doubt(rule, passed, circumstances)
        if doubt is None:
            ruled_out.append(RuledOut(rule, title, passed.received))
        elif rule not in (Rule.EXP_PAST, Rule.SIGNATURE_INVALID):  # of which the clock and the key are said
            question = EXPLANATIONS[rule].asked(circumstances.facts)
            last.append(Cause(rule, _title(rule), doubt, question=question))
    untold = [found[rule] for rule in _UNLIKELY_HERE if rule in found and found[rule].verdict is Verdict.UNKNOWN]
    last += [Cause(finding.rule, _title(finding.rule), finding.reason) for finding in untold]
    questions = _questions(first + last)
    if questions:
        questions += tuple(EXPLANATIONS[rule].asked(circumstances.facts) for rule in _ASKED_AS_WELL)
    return Diagnosis(error, tuple(first + last), tuple(ruled_out), bool(failed), questions)


def _questions(causes: Iterable[Cause]) -> tuple[str, ...]:
    return tuple(cause.question for cause in causes if cause.question)


def _doubt(rule: Rule, passed: Finding, circumstances: Circumstances) -> str | None:
    """Why a rule that passes rules nothing out all the same."""
    if rule is Rule.AUD_MISMATCH and not circumstances.endpoint_confirmed:
        # It was held against the endpoint as it is configured, which need not be the server's name for it.
        return f"nobody but the configuration says that {passed.received} is the server's own name for it"
    if rule in _BY_REGISTRATION and not circumstances.registration_confirmed:
        return f"{passed.received}; that the bank has this very key, only the bank can tell"
    if rule is Rule.EXP_PAST and not circumstances.timely:
        return "what time it is for the server is not known"
    return None


def _asked_of_the_bank(
    rules: Iterable[Rule], found: Mapping[str, Finding], circumstances: Circumstances
) -> Iterator[Cause]:
    for rule in rules:
        finding = found.get(rule)
        if finding is None or finding.verdict is Verdict.UNKNOWN:
            why = circumstances.tried.get(rule) or (
                "only the bank can look at it" if finding is None else finding.reason
            )
            yield Cause(rule, _title(rule), why, question=EXPLANATIONS[rule].asked(circumstances.facts))


def causes_found(findings: Iterable[Finding]) -> tuple[Cause, ...]:
    """What was found to be at fault.

    Args:
        findings: all that was found.

    Returns:
        A cause for each rule that failed; one that only follows from another is left out.
    """
    failed = [finding for finding in findings if finding.verdict is Verdict.FAIL and finding.rule in EXPLANATIONS]
    rules = {finding.rule for finding in failed}
    follows = Rule.SIGNATURE_INVALID if Rule.REGISTRATION_KEY_MISMATCH in rules else None
    return tuple(_found(finding) for finding in failed if finding.rule != follows)


def _found(finding: Finding) -> Cause:
    return Cause(finding.rule, _title(finding.rule), finding.received, finding.fix)


def _title(rule: str) -> str:
    return EXPLANATIONS[rule].title


def explain_refusal(
    refusal: RefusedError, assertion: ClientAssertion, known: Known, skew: float | None, circumstances: Circumstances
) -> RefusedError:
    """Say of a refused authentication what can be told of it here and now, without asking anybody anything.

    Args:
        refusal: the error, ``invalid_client``.
        assertion: the assertion that was refused.
        known: what it was made for, by this machine's clock.
        skew: how many seconds this machine's clock is ahead of the server's; None if that is not known.
        circumstances: as for `diagnose`.

    Returns:
        The error with more details and, where the fault was found, its hint and its rule.
    """
    from banno_creds.rules import assertion as rules

    at_the_server = known if skew is None else replace(known, now=int(known.now - skew))
    findings = [
        *rules.judge_client_id(known.client_id or ""),
        rules.judge_clock(skew),
        *rules.judge(assertion, at_the_server),
    ]
    failed = [finding for finding in findings if finding.verdict is Verdict.FAIL and finding.rule != Rule.CLOCK_SKEW]
    if failed:
        first = failed[0]
        by_this_clock = {finding.rule for finding in rules.judge(assertion, known) if finding.verdict is Verdict.FAIL}
        if first.looks_at in _TIMES and first.rule not in by_this_clock:
            first = rules.judge_clock(skew)  # in time here and not there: it is the clocks that differ
        found = f"{first.rule}: received {first.received}; expected {first.expected}"
        hint = f"{first.fix}; to look at all of it"
        return refusal.but(more=(found,), hint=hint, rule=first.rule, doctor_can_tell=True)
    diagnosis = diagnose("invalid_client", findings, replace(circumstances, timely=skew is not None))
    ruled_out = ", ".join(one.title for one in diagnosis.ruled_out)
    left = "; ".join(f"{cause.title[0].lower()}{cause.title[1:]}" for cause in diagnosis.causes)
    return refusal.but(more=(f"this answer hides the reason; ruled out here: {ruled_out}", f"left: {left}"))
