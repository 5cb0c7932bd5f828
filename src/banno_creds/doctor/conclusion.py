"""The conclusion: the causes of a refusal, what is ruled out, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from banno_creds.checks import is_url
from banno_creds.rules.clock import judge_clock
from banno_creds.rules.diagnosis import Circumstances, Diagnosis, causes_found, words_of
from banno_creds.rules.diagnosis import diagnose as diagnose_refusal
from banno_creds.rules.findings import Part, Rule, Verdict
from banno_creds.tokens.endpoint import facts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from banno_creds.doctor.case import Case, Examination
    from banno_creds.rules.diagnosis import Cause
    from banno_creds.rules.findings import Finding

NEXT = "What to do next"
"""The title of the part that is only for the person who runs the doctor."""

QUESTIONS = "What to ask the bank's administrator"


def diagnose(case: Case) -> Diagnosis | None:
    """Return the causes of the refusal, or of what would be refused; None if nothing is wrong."""
    if case.refusal is None:
        return diagnosis_of(case.findings)
    error = case.refusal.error or "(no error)"
    if case.culprit is not None:
        return diagnosis_of((case.culprit,), error)
    registered = case.setup.registered
    circumstances = Circumstances(
        facts_of(case.config, case.known_signer()),
        said=words_of(case.refusal),
        status=case.refusal.status,
        is_page=case.is_page,
        sends_client_id=case.config.client_id_in_body,
        endpoint_confirmed=case.confirmed,
        # The refusal itself may have been the first answer with a date.
        timely=case.skew is not None and case.out_of_time() is None,
        registration_confirmed=registered is not None and is_url(registered),
        tried=case.tried,
    )
    findings = [finding for finding in case.findings if finding.looks_at != "request"]
    if case.skew is None:
        findings.append(judge_clock(None))
    return diagnose_refusal(error, findings, circumstances)


def diagnosis_of(findings: Iterable[Finding], error: str = "") -> Diagnosis | None:
    """Return the faults found as a diagnosis; None if there are none."""
    causes = causes_found(findings)
    return Diagnosis(error, causes, (), certain=True) if causes else None


def conclusion(examination: Examination) -> list[Part]:
    """Return the conclusion of an examination for people, as parts without findings."""
    diagnosis = examination.diagnosis
    if diagnosis is None:
        return [Part("Conclusion", notes=tuple(_all_is_well(examination)))]
    mend = tuple(cause for cause in diagnosis.causes if cause.fix and diagnosis.certain)
    said = tuple(cause for cause in diagnosis.causes if cause.rule in diagnosis.named and cause not in mend)
    others = tuple(cause for cause in diagnosis.causes if cause not in (*mend, *said))
    parts = []
    if said:
        parts.append(Part("What the server says it comes from", notes=tuple(_numbered(said))))
    if mend:
        parts.append(Part("What to fix", notes=tuple(_to_mend(mend))))
    if others:
        title = "What it comes from"
        if parts:
            title = "If it is not that"
        elif len(others) > 1:
            title = "What it may come from: the likeliest first; these look the same from outside"
        parts.append(Part(title, notes=tuple(_numbered(others))))
    if not diagnosis.causes:
        parts.append(Part("What it comes from", notes=tuple(_what_the_server_says(examination))))
    if diagnosis.ruled_out:
        ruled_out = tuple(f"{one.title}: {one.how}" for one in diagnosis.ruled_out)
        parts.append(Part("Ruled out", notes=ruled_out))
    if diagnosis.questions:
        notes = tuple(f"{number}. {question}" for number, question in enumerate(diagnosis.questions, 1))
        parts.append(Part(QUESTIONS, notes=notes))
        parts.append(Part(NEXT, notes=tuple(_next(examination))))
    return parts


def _next(examination: Examination) -> Iterable[str]:
    unknown = {finding.rule for finding in examination.findings if finding.verdict is Verdict.UNKNOWN}
    if Rule.REGISTRATION_KEY_MISMATCH in unknown:
        yield "doctor once more with --registered FILE|URL, the public key or JWKS URI that the bank was given"
    if examination.diagnosis is not None and len(examination.diagnosis.questions) > 1:
        if len(examination.requests) == 1 and not examination.is_page:
            yield "doctor once more with --probe, if up to three more refusals are no harm"
        yield "doctor once more with --bundle FILE, for what to attach when you ask the bank"


def _to_mend(causes: Iterable[Cause]) -> Iterable[str]:
    for cause in causes:
        yield f"{cause.rule}: {cause.fix}"
        yield f"  banno-creds explain {cause.rule}"


def _what_the_server_says(examination: Examination) -> Iterable[str]:
    for finding in examination.findings:
        if finding.verdict is Verdict.FAIL:
            yield finding.received
            if finding.fix:
                yield finding.fix


def _numbered(causes: Iterable[Cause]) -> Iterable[str]:
    for number, cause in enumerate(causes, 1):
        fix = f": {cause.fix}" if cause.fix else ""
        yield f"{number}. {cause.rule}: {cause.title} ({cause.why}){fix}"


def _all_is_well(examination: Examination) -> Iterable[str]:
    warned = [finding.rule for finding in examination.findings if finding.verdict is Verdict.WARN]
    if warned:
        yield f"Nothing would be refused; look at the warnings: {', '.join(dict.fromkeys(warned))}."
    else:
        yield "Nothing wrong was found."
    if not examination.requests:
        yield "No token was requested, so it is not known if the server grants one."
