"""Find out why a token request was refused, as far as that can be seen from outside.

What the server's words say comes first. Many servers have one answer for more than a dozen mistakes: then the rules'
findings name the cause or rule causes out. Some of the remaining causes only the bank can check; for those there is a
question to ask.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.rules.assertion import judge
from banno_creds.rules.client_id import judge_client_id
from banno_creds.rules.clock import judge_clock
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.signature import NO_KID
from banno_creds.rules.wordings import meaning_of
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from banno_creds.errors import RefusedError
    from banno_creds.rules.known import Known
    from banno_creds.rules.presented import ClientAssertion

# The causes of `invalid_client` that only the bank can check, the likeliest first.
_ONLY_THE_BANK = (
    Rule.REGISTRATION_KEY_MISMATCH,
    Rule.CLIENT_UNKNOWN,
    Rule.REGISTRATION_AUTH_METHOD,
    Rule.REGISTRATION_ALG,
    Rule.REGISTRATION_APPLICATION_TYPE,
)
# The faults with which nobody could have signed in.
_SHOWN_BY_LOGIN = (Rule.CLIENT_UNKNOWN, Rule.REGISTRATION_APPLICATION_TYPE)
# The next obstacles: to be asked in the same message to the bank.
_ASKED_AS_WELL = (Rule.SCOPE_NOT_ALLOWED, Rule.REGISTRATION_USER)
# The causes of the other refusals.
_ONLY_THE_BANK_BY_ERROR = {
    "invalid_scope": (Rule.SCOPE_NOT_ALLOWED,),
    "unauthorized_client": (Rule.REGISTRATION_APPLICATION_TYPE,),
    "invalid_grant": (Rule.REGISTRATION_APPLICATION_TYPE,),
    "unsupported_grant_type": (Rule.REGISTRATION_APPLICATION_TYPE,),
}
# Errors that are not about who the client is. Any other, and an answer without one, may be: servers differ in that.
_NOT_THE_CLIENT = (*_ONLY_THE_BANK_BY_ERROR, "invalid_target", "invalid_dpop_proof", "use_dpop_nonce")
# Where an application is of another type, and where it is not authenticated, Keycloak says the same.
_EITHER = "unauthorized_client"
_OF_CREDENTIALS = re.compile(r"credential|invalid client", re.IGNORECASE)
# The statuses with which token endpoints refuse. Another one is from elsewhere, in all likelihood.
_OF_A_TOKEN_ENDPOINT = (400, 401, 403, 409, 422)

# The suspicions that are ruled out if the rule passes, in the words of the person who has them.
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
# Rules that can be judged here; each remains a possible cause until it is judged.
_LIKELY_HERE = (Rule.KID_UNEXPECTED, Rule.KID_UNKNOWN)
_UNLIKELY_HERE = (Rule.AUD_MISMATCH, Rule.CLOCK_SKEW)
# Rules that pass only because the user says which key the bank has.
_BY_REGISTRATION = (Rule.REGISTRATION_KEY_MISMATCH, Rule.SIGNATURE_INVALID)

# What each request has: where a server misses it, the other causes that its words name are likelier.
_SENT = (Rule.CLIENT_ASSERTION_MISSING, Rule.CLIENT_ASSERTION_TYPE_MISSING, Rule.GRANT_TYPE_MISSING)

# The claims that are held against a clock.
_TIMES = ("exp", "iat", "nbf")

# Warnings of a wrong endpoint.
_ENDPOINT = (Rule.DISCOVERY_TOKEN_ENDPOINT, Rule.CONFIGURATION_ENDPOINT)

# Warnings about things that node-oidc-provider accepts.
_TAKEN = (Rule.CLAIMS_UNEXPECTED, Rule.AUD_ARRAY, Rule.IAT_FUTURE, Rule.REGISTRATION_FORM)
# Warnings about things that no server refuses.
_HARMLESS = (
    *(Rule.KEY_PERMISSIONS, Rule.KEY_AGE, Rule.NETWORK_TLS_EXPIRED, Rule.DISCOVERY_SCOPE, Rule.DISCOVERY_JWKS),
    *(Rule.JWKS_MEDIA_TYPE, Rule.JWKS_COMPRESSION, Rule.JWKS_SIZE, Rule.JWKS_X5C, Rule.JWKS_KEY_REPEATED),
    *(rule for rule in Rule if rule.startswith("cache.")),
)


FIND_OUT = "find out which of its many reasons it has"
"""The hint of a refusal that the doctor may find the reason of."""


class Cause(NamedTuple):
    """One possible cause of the refusal.

    Attributes:
        rule: the rule's id.
        title: the rule's title.
        why: the evidence for it, or the reason why it cannot be ruled out.
        fix: what to do, if the fault was found.
        question: what to ask the bank's administrator; empty if this can be checked here.
    """

    rule: str
    title: str
    why: str
    fix: str = ""
    question: str = ""


class RuledOut(NamedTuple):
    """One cause that is ruled out, and the evidence."""

    rule: str
    title: str
    how: str


class Diagnosis(NamedTuple):
    """The causes of a refusal.

    Attributes:
        error: the OAuth error code; empty if no server was asked.
        causes: the possible causes, the likeliest first.
        ruled_out: the causes that are ruled out.
        certain: True if the first cause was found, and is not only left over.
        questions: what to ask the bank's administrator, about the causes and about the next obstacles.
        named: the rules of the causes that the server's words name; they come first.
        hides: True if the server's words say nothing of the reason.
    """

    error: str
    causes: tuple[Cause, ...]
    ruled_out: tuple[RuledOut, ...]
    certain: bool = False
    questions: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    hides: bool = False


class Circumstances(NamedTuple):
    """The facts that a diagnosis needs beside the findings.

    Attributes:
        facts: the values for the questions: ``client_id``, ``fingerprint``, ``alg``, ``scope``.
        said: the server's words beside the error code.
        status: the HTTP status of the refusal; 0 if it is not known.
        is_page: True if the answer is a page for people.
        sends_client_id: True if the form had the client ID beside the assertion.
        endpoint_confirmed: True if discovery or the vendor's documentation confirms the endpoint's URL.
        timely: True if the server's clock is known, and the assertion was judged by it.
        registration_confirmed: True if the registered keys were fetched from the URL that the bank fetches; False if
            the user only says that the bank has them.
        tried: the rules of variations that were refused as well, with the words for each.
        after_login: True if a person had signed in to this client, so that the bank knows it and its type is right.
    """

    facts: Mapping[str, str]
    said: str = ""
    status: int = 0
    is_page: bool = False
    sends_client_id: bool = False
    endpoint_confirmed: bool = False
    timely: bool = False
    registration_confirmed: bool = False
    tried: Mapping[str, str] = MappingProxyType({})
    after_login: bool = False


def words_of(refusal: RefusedError) -> str:
    """Return the server's words, which an error code of its own, such as ``scope_invalid``, is one of."""
    code = refusal.error or ""
    own = "" if code in EXPLANATIONS else code.replace("_", " ")
    return ": ".join(filter(None, (own, refusal.description)))


def may_be_the_client(error: str | None, said: str = "") -> bool:
    """Return whether a refusal may mean that the client was not authenticated."""
    named = meaning_of(said).rules
    if named and error != "invalid_client" and all(map(_is_of_the_request, named)):
        return False
    if error == _EITHER:
        return bool(named) or _OF_CREDENTIALS.search(said) is not None
    return error not in _NOT_THE_CLIENT


def _is_of_the_request(rule: Rule) -> bool:
    return rule.startswith("request.") or rule in (Rule.REGISTRATION_APPLICATION_TYPE, Rule.REGISTRATION_AUTH_METHOD)


def may_be_elsewhere(status: int, error: str | None, *, is_page: bool) -> bool:
    """Return whether something else than the token endpoint may have answered, by the status or a page for people."""
    return is_page or (status > 400 and status not in _OF_A_TOKEN_ENDPOINT and error not in EXPLANATIONS)


def diagnose(error: str, findings: Iterable[Finding], circumstances: Circumstances) -> Diagnosis:
    """Find the causes of a refusal, by its OAuth error code (RFC 6749 section 5.2) or by words in its place.

    A cause is ruled out only if that is certain, and never if the server's words name it.
    """
    found: dict[str, Finding] = {}
    for finding in findings:
        if finding.rule not in found or found[finding.rule].verdict is Verdict.PASS:
            found[finding.rule] = finding
    meaning = meaning_of(circumstances.said, circumstances.facts.get("client_id", ""))
    meaning = meaning._replace(rules=tuple(sorted(meaning.rules, key=_SENT.__contains__)))
    named = [_named(rule, found, circumstances) for rule in meaning.rules if _is_possible(rule, found, circumstances)]
    if may_be_the_client(error, circumstances.said):
        diagnosis = _diagnose_client(error, found, circumstances, meaning.rules)
    else:
        diagnosis = _diagnose_plain(error, found, circumstances)
    names = tuple(cause.rule for cause in named)
    causes = (*named, *(cause for cause in diagnosis.causes if cause.rule not in names))
    questions = tuple(dict.fromkeys(_questions(named) + diagnosis.questions))
    return diagnosis._replace(causes=causes, questions=questions, named=names, hides=meaning.hides)


def _is_possible(rule: Rule, found: Mapping[str, Finding], circumstances: Circumstances) -> bool:
    """Return whether what the server misses was not sent, and what it does not like was."""
    if rule is Rule.CLIENT_ID_MISSING:
        return not circumstances.sends_client_id
    kid = found.get(Rule.KID_UNEXPECTED)
    if kid is None or rule not in (Rule.KID_MISSING, Rule.KID_UNKNOWN, Rule.KID_UNEXPECTED):
        return True
    none_is_sent = kid.verdict is Verdict.PASS and kid.received == NO_KID
    return none_is_sent == (rule is Rule.KID_MISSING)


def _named(rule: Rule, found: Mapping[str, Finding], circumstances: Circumstances) -> Cause:
    """Return a cause that the server's words name, with the evidence that was found here, if there is any."""
    finding = found.get(rule)
    why = f"the server says: {printable(circumstances.said, 200)}"
    if finding is not None and finding.verdict in (Verdict.FAIL, Verdict.WARN):
        return Cause(rule, EXPLANATIONS[rule].title, f"{why}; {finding.received}", finding.fix)
    return Cause(rule, EXPLANATIONS[rule].title, why, EXPLANATIONS[rule].fix, _question(rule, circumstances))


def _diagnose_client(
    error: str, found: Mapping[str, Finding], circumstances: Circumstances, named: tuple[Rule, ...]
) -> Diagnosis:
    """Diagnose an error that may mean that the client was not authenticated, and may have any of its reasons."""
    failed = [finding for finding in found.values() if finding.verdict is Verdict.FAIL]
    if circumstances.timely:  # the clocks differ, but not by too much
        failed = [finding for finding in failed if finding.rule != Rule.CLOCK_SKEW]
    warned = [finding for finding in found.values() if finding.verdict is Verdict.WARN]
    likely = [_cause(finding) for finding in failed]
    if may_be_elsewhere(circumstances.status, error, is_page=circumstances.is_page):
        why = "a page for people came, which is mostly from a firewall, a gateway or a login page"
        if circumstances.status not in _OF_A_TOKEN_ENDPOINT:
            why = f"{circumstances.status} is what a web server says, and mostly not a token endpoint"
        likely.append(_unsettled(Rule.NETWORK_ANSWER, why))
    likely += [_cause(finding) for finding in warned if finding.rule not in (*_HARMLESS, *_TAKEN)]
    unlikely = [_cause(finding) for finding in warned if finding.rule in _TAKEN]
    for finding in _unknown(_LIKELY_HERE, found):
        tried = circumstances.tried.get(Rule.KID_UNEXPECTED, "")
        (unlikely if tried else likely).append(_unsettled(finding.rule, tried or finding.reason))
    open_questions = (rule for rule in _ONLY_THE_BANK if not (circumstances.after_login and rule in _SHOWN_BY_LOGIN))
    for cause in _asked_of_the_bank(open_questions, found, circumstances):
        (unlikely if cause.rule in circumstances.tried else likely).append(cause)
    ruled_out, doubtful = _suspicions(found, circumstances)
    unlikely += doubtful
    unlikely += [_unsettled(finding.rule, finding.reason) for finding in _unknown(_UNLIKELY_HERE, found)]
    questions = _questions(likely + unlikely)
    if questions:
        questions += tuple(_question(rule, circumstances) for rule in _ASKED_AS_WELL)
    ruled_out = tuple(one for one in ruled_out if one.rule not in named)
    return Diagnosis(error, tuple(likely + unlikely), ruled_out, bool(failed), questions)


def _diagnose_plain(error: str, found: Mapping[str, Finding], circumstances: Circumstances) -> Diagnosis:
    """Diagnose an error that says what is wrong: nothing else matters, unless another server said it."""
    by_bank = _ONLY_THE_BANK_BY_ERROR.get(error, ())
    elsewhere = [found[rule] for rule in _ENDPOINT if rule in found and found[rule].verdict is Verdict.WARN]
    causes = [] if by_bank else [_cause(finding) for finding in elsewhere]
    causes += _asked_of_the_bank(by_bank, found, circumstances)
    return Diagnosis(error, tuple(causes), (), questions=_questions(causes))


def _suspicions(
    found: Mapping[str, Finding], circumstances: Circumstances
) -> tuple[tuple[RuledOut, ...], tuple[Cause, ...]]:
    """Divide the suspicions whose rule passes into those that are ruled out and those that remain doubtful."""
    ruled_out, doubtful = [], []
    for rule, title in _SUSPECTED.items():
        passed = found.get(rule)
        if passed is None or passed.verdict is not Verdict.PASS or not passed.received:
            continue
        doubt = _doubt(rule, passed, circumstances)
        if doubt is None:
            ruled_out.append(RuledOut(rule, title, passed.received))
        elif rule not in (Rule.EXP_PAST, Rule.SIGNATURE_INVALID):  # the clock and the key are doubtful instead
            doubtful.append(_unsettled(rule, doubt, _question(rule, circumstances)))
    return tuple(ruled_out), tuple(doubtful)


def _doubt(rule: Rule, passed: Finding, circumstances: Circumstances) -> str | None:
    """Return the reason why a rule that passes still rules nothing out."""
    if rule is Rule.AUD_MISMATCH and not circumstances.endpoint_confirmed:
        # It was held against the endpoint as it is configured, and the server may have another name for it.
        return f"only the configuration says that the server takes {passed.received}"
    if rule in _BY_REGISTRATION and not circumstances.registration_confirmed:
        return f"{passed.received}; only the bank can tell if it has this very key"
    if rule is Rule.EXP_PAST and not circumstances.timely:
        return "the server's time is not known"
    return None


def _asked_of_the_bank(
    rules: Iterable[Rule], found: Mapping[str, Finding], circumstances: Circumstances
) -> Iterator[Cause]:
    for rule in rules:
        finding = found.get(rule)
        if finding is None or finding.verdict is Verdict.UNKNOWN:
            why = circumstances.tried.get(rule) or (
                "only the bank can check it" if finding is None else finding.reason
            )
            yield _unsettled(rule, why, _question(rule, circumstances))


def causes_found(findings: Iterable[Finding]) -> tuple[Cause, ...]:
    """Return a cause for each rule that failed, but for a signature that fails because the bank has another key.

    A fault that many keys of a set have is one cause, if one thing mends it.
    """
    failed = [finding for finding in findings if finding.verdict is Verdict.FAIL and finding.rule in EXPLANATIONS]
    rules = {finding.rule for finding in failed}
    follows = Rule.SIGNATURE_INVALID if Rule.REGISTRATION_KEY_MISMATCH in rules else None
    firsts = {(finding.rule, finding.fix): finding for finding in reversed(failed)}
    return tuple(
        _cause(finding)
        for finding in failed
        if finding.rule != follows and finding is firsts[finding.rule, finding.fix]
    )


def _cause(finding: Finding) -> Cause:
    return Cause(finding.rule, EXPLANATIONS[finding.rule].title, finding.received, finding.fix)


def _unsettled(rule: str, why: str, question: str = "") -> Cause:
    return Cause(rule, EXPLANATIONS[rule].title, why, question=question)


def _unknown(rules: Iterable[Rule], found: Mapping[str, Finding]) -> list[Finding]:
    return [found[rule] for rule in rules if rule in found and found[rule].verdict is Verdict.UNKNOWN]


def _question(rule: Rule, circumstances: Circumstances) -> str:
    return EXPLANATIONS[rule].asked(circumstances.facts)


def _questions(causes: Iterable[Cause]) -> tuple[str, ...]:
    return tuple(cause.question for cause in causes if cause.question)


def explain_refusal(
    refusal: RefusedError, assertion: ClientAssertion, known: Known, skew: float | None, circumstances: Circumstances
) -> RefusedError:
    """Add to a refusal what can be found out at once, without asking any server: details, and hint and rule if found.

    Args:
        refusal: the error.
        assertion: the assertion that was refused.
        known: the values that it was made for, by this machine's clock.
        skew: how many seconds this machine's clock is ahead of the server's; None if that is not known.
        circumstances: as for `diagnose`; the server's words and the status are taken from the error.
    """
    at_the_server = known if skew is None else known._replace(now=int(known.now - skew))
    findings = [*judge_client_id(known.client_id or ""), judge_clock(skew), *judge(assertion, at_the_server)]
    circumstances = circumstances._replace(said=words_of(refusal), status=refusal.status, timely=skew is not None)
    diagnosis = diagnose(refusal.error or "", findings, circumstances)
    if diagnosis.named:
        return _as_named(refusal, diagnosis)
    failed = [finding for finding in findings if finding.verdict is Verdict.FAIL and finding.rule != Rule.CLOCK_SKEW]
    if failed:
        first = failed[0]
        by_this_clock = {finding.rule for finding in judge(assertion, known) if finding.verdict is Verdict.FAIL}
        if first.looks_at in _TIMES and first.rule not in by_this_clock:
            first = judge_clock(skew)  # in time here and not there: it is the clocks that differ
        found = f"{first.rule}: received {first.received}; expected {first.expected}"
        hint = f"{first.fix}; to look at all of it"
        return refusal.but(more=(found,), hint=hint, rule=first.rule, doctor_can_tell=True)
    if not may_be_the_client(refusal.error, words_of(refusal)):
        return refusal
    says = "this answer hides the reason; ruled out" if diagnosis.hides else "ruled out"
    ruled_out = ", ".join(one.title for one in diagnosis.ruled_out)
    left = "; ".join(f"{cause.title[0].lower()}{cause.title[1:]}" for cause in diagnosis.causes)
    refusal = refusal.but(more=(f"{says} here: {ruled_out}", f"left: {left}"))
    if refusal.error == "invalid_client" or not refusal.doctor_can_tell:
        return refusal
    elsewhere = may_be_elsewhere(circumstances.status, refusal.error, is_page=circumstances.is_page)
    if not elsewhere and (diagnosis.hides or refusal.error is None):
        return refusal.but(hint=FIND_OUT, rule=None if refusal.error else "invalid_client")
    return refusal.but(hint=f"{refusal.marked.hint}; to look at all of it")


def _as_named(refusal: RefusedError, diagnosis: Diagnosis) -> RefusedError:
    """Add what the server's words name; an error that says the same by its code has its hint already."""
    first = diagnosis.causes[0]
    if first.rule in _ONLY_THE_BANK_BY_ERROR.get(refusal.error or "", ()):
        return refusal.but(doctor_can_tell=False)
    points = f"the server's words are about {first.rule}: {first.title[0].lower()}{first.title[1:]}"
    hint = f"{first.fix}; to look at all of it" if refusal.doctor_can_tell else first.fix
    return refusal.but(more=(points,), hint=hint, rule=first.rule)
