"""What a refusal comes from: what remains, in which order, what is ruled out and how, and whom to ask what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from banno_creds.errors import RefusedError
from banno_creds.rules.diagnosis import Circumstances, Diagnosis, causes_found, diagnose, explain_refusal
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.known import Known
from banno_creds.rules.presented import ClientAssertion
from banno_creds.rules.signature import NO_KID
from tests.conftest import CLIENT_ID
from tests.jwts import NOW, jwt

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.once

URL = "https://bank.example/token"
FACTS = {"client_id": CLIENT_ID, "fingerprint": "SHA256:abc", "alg": "PS256", "scope": "openid payments"}
KNOWN = Circumstances(FACTS, endpoint_confirmed=True, timely=True, registration_confirmed=True)
"""All that can be known beside the findings."""

ONLY_THE_BANK = [
    "registration.key.mismatch",
    "client.unknown",
    "registration.auth_method",
    "registration.alg",
    "registration.application_type",
]


def found(rule: Rule, verdict: Verdict, received: str = "this", reason: str = "") -> Finding:
    return Finding(rule, verdict, "it", received, "that", "mend it", reason)


def causes(diagnosis: Diagnosis) -> list[str]:
    return [cause.rule for cause in diagnosis.causes]


# ── What remains ────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_findings_all_causes_are_the_banks_to_check() -> None:
    diagnosis = diagnose("invalid_client", [], KNOWN)
    assert causes(diagnosis) == ONLY_THE_BANK
    assert [cause.why for cause in diagnosis.causes] == ["only the bank can check it"] * len(ONLY_THE_BANK)
    assert [cause.title for cause in diagnosis.causes] == [EXPLANATIONS[rule].title for rule in ONLY_THE_BANK]
    assert (diagnosis.certain, diagnosis.ruled_out) == (False, ())


def test_failures_come_before_warnings_and_those_before_the_banks_causes() -> None:
    findings = [
        found(Rule.CLIENT_ID_CASE, Verdict.WARN, "odd"),
        found(Rule.CLAIMS_UNEXPECTED, Verdict.WARN, "taken"),
        found(Rule.EXP_PAST, Verdict.PASS),
        found(Rule.AUD_MISMATCH, Verdict.FAIL, "http"),
    ]
    diagnosis = diagnose("invalid_client", findings, KNOWN)
    assert causes(diagnosis) == [
        *("assertion.aud.mismatch", "client_id.case"),
        *(*ONLY_THE_BANK, "assertion.claims.unexpected"),
    ]
    assert [(cause.why, cause.fix) for cause in diagnosis.causes[:2]] == [("http", "mend it"), ("odd", "mend it")]
    assert diagnosis.certain


@pytest.mark.parametrize("verdict", [Verdict.WARN, Verdict.UNKNOWN])
def test_a_warning_or_an_unknown_is_never_certain(verdict: Verdict) -> None:
    assert not diagnose("invalid_client", [found(Rule.KID_UNEXPECTED, verdict)], KNOWN).certain


@pytest.mark.parametrize(
    "rule", [Rule.KEY_PERMISSIONS, Rule.DISCOVERY_JWKS, Rule.DISCOVERY_SCOPE, Rule.NETWORK_TLS_EXPIRED]
)
def test_a_harmless_warning_is_no_cause(rule: Rule) -> None:
    assert causes(diagnose("invalid_client", [found(rule, Verdict.WARN)], KNOWN)) == ONLY_THE_BANK


@pytest.mark.parametrize("rule", [Rule.KID_UNEXPECTED, Rule.KID_UNKNOWN])
def test_an_unknown_kid_is_likelier_than_the_banks_causes(rule: Rule) -> None:
    finding = found(rule, Verdict.UNKNOWN, "", "the registration is not known")
    diagnosis = diagnose("invalid_client", [finding], KNOWN)
    assert causes(diagnosis) == [rule, *ONLY_THE_BANK]
    assert diagnosis.causes[0].why == "the registration is not known"


@pytest.mark.parametrize("rule", [Rule.AUD_MISMATCH, Rule.CLOCK_SKEW])
def test_an_unlikely_rule_that_is_unknown_comes_last(rule: Rule) -> None:
    assert causes(diagnose("invalid_client", [found(rule, Verdict.UNKNOWN)], KNOWN)) == [*ONLY_THE_BANK, rule]


@pytest.mark.parametrize("rule", [Rule.KID_UNEXPECTED, Rule.AUD_MISMATCH, Rule.EXP_PAST])
def test_a_cause_that_can_be_looked_at_here_has_no_question(rule: Rule) -> None:
    diagnosis = diagnose("invalid_client", [found(rule, Verdict.FAIL)], KNOWN)
    assert diagnosis.causes[0].question == ""


# ── What does not ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_that_passed_is_ruled_out_by_its_evidence() -> None:
    diagnosis = diagnose("invalid_client", [found(Rule.EXP_PAST, Verdict.PASS, "60 s ahead")], KNOWN)
    [one] = diagnosis.ruled_out
    assert (one.rule, one.title, one.how) == ("assertion.exp.past", "exp", "60 s ahead")


def test_a_key_that_is_the_registered_one_is_not_asked_about() -> None:
    diagnosis = diagnose("invalid_client", [found(Rule.REGISTRATION_KEY_MISMATCH, Verdict.PASS)], KNOWN)
    assert causes(diagnosis) == ONLY_THE_BANK[1:]
    assert [one.title for one in diagnosis.ruled_out] == ["another key at the bank"]


def test_a_key_that_could_not_be_compared_is_asked_about_with_the_reason() -> None:
    finding = found(Rule.REGISTRATION_KEY_MISMATCH, Verdict.UNKNOWN, "", "name it with --registered")
    diagnosis = diagnose("invalid_client", [finding], KNOWN)
    assert diagnosis.causes[0].why == "name it with --registered"
    assert diagnosis.causes[0].question
    assert diagnosis.ruled_out == ()


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN])
def test_only_a_rule_that_passed_is_ruled_out(verdict: Verdict) -> None:
    assert diagnose("invalid_client", [found(Rule.EXP_PAST, verdict)], KNOWN).ruled_out == ()


@pytest.mark.parametrize(
    ("rule", "doubt"),
    [
        (Rule.AUD_MISMATCH, {"endpoint_confirmed": False}),
        (Rule.EXP_PAST, {"timely": False}),
        (Rule.REGISTRATION_KEY_MISMATCH, {"registration_confirmed": False}),
        (Rule.SIGNATURE_INVALID, {"registration_confirmed": False}),
    ],
)
def test_a_rule_that_passes_only_by_the_users_word_is_not_ruled_out(rule: Rule, doubt: dict[str, bool]) -> None:
    passed = found(rule, Verdict.PASS)
    assert [one.rule for one in diagnose("invalid_client", [passed], KNOWN).ruled_out] == [rule]
    assert diagnose("invalid_client", [passed], KNOWN._replace(**doubt)).ruled_out == ()  # type: ignore[arg-type]


def test_an_unconfirmed_aud_is_the_last_of_the_causes() -> None:
    passed = found(Rule.AUD_MISMATCH, Verdict.PASS, URL)
    diagnosis = diagnose("invalid_client", [passed], KNOWN._replace(endpoint_confirmed=False))
    assert causes(diagnosis) == [*ONLY_THE_BANK, "assertion.aud.mismatch"]
    assert URL in diagnosis.causes[-1].why


def test_a_key_that_is_only_said_to_be_registered_is_asked_about_last() -> None:
    passed = found(Rule.REGISTRATION_KEY_MISMATCH, Verdict.PASS, "it belongs to the private key")
    diagnosis = diagnose("invalid_client", [passed], KNOWN._replace(registration_confirmed=False))
    assert causes(diagnosis) == [*ONLY_THE_BANK[1:], "registration.key.mismatch"]
    assert "SHA256:abc" in diagnosis.causes[-1].question
    assert not diagnosis.certain


def test_clocks_that_differ_are_no_cause_where_the_assertion_was_in_its_time() -> None:
    skew = found(Rule.CLOCK_SKEW, Verdict.FAIL)
    assert causes(diagnose("invalid_client", [skew], KNOWN)) == ONLY_THE_BANK
    diagnosis = diagnose("invalid_client", [skew], KNOWN._replace(timely=False))
    assert causes(diagnosis) == ["clock.skew", *ONLY_THE_BANK]
    assert diagnosis.certain


def test_a_cause_that_was_varied_in_vain_comes_after_the_others() -> None:
    tried: dict[str, str] = {
        Rule.REGISTRATION_ALG: "refused with RS256 as well",
        Rule.KID_UNEXPECTED: "refused without kid as well",
    }
    kid = found(Rule.KID_UNEXPECTED, Verdict.UNKNOWN, "", "not known")
    diagnosis = diagnose("invalid_client", [kid], KNOWN._replace(tried=tried))
    assert causes(diagnosis) == [
        *(rule for rule in ONLY_THE_BANK if rule != "registration.alg"),
        *("assertion.kid.unexpected", "registration.alg"),
    ]
    assert [cause.why for cause in diagnosis.causes[-2:]] == [
        "refused without kid as well",
        "refused with RS256 as well",
    ]


def test_of_two_findings_under_one_rule_the_fault_counts() -> None:
    findings = [
        found(Rule.NETWORK_PROXY, Verdict.PASS),
        found(Rule.NETWORK_PROXY, Verdict.WARN),
        found(Rule.NETWORK_PROXY, Verdict.PASS),
    ]
    assert causes(diagnose("invalid_client", findings, KNOWN))[0] == "network.proxy"


def test_a_signature_that_fails_for_another_key_is_no_cause_of_its_own() -> None:
    findings = [
        found(Rule.REGISTRATION_KEY_MISMATCH, Verdict.FAIL),
        found(Rule.SIGNATURE_INVALID, Verdict.FAIL),
        found(Rule.AUD_MISMATCH, Verdict.WARN),
        Finding("invalid_client", Verdict.PASS, "it"),
    ]
    assert [cause.rule for cause in causes_found(findings)] == ["registration.key.mismatch"]
    assert [cause.rule for cause in causes_found(findings[1:])] == ["assertion.signature.invalid"]


def test_a_fault_of_many_keys_that_one_thing_mends_is_one_cause() -> None:
    findings = [found(Rule.JWKS_KEY_MALFORMED, Verdict.FAIL)._replace(looks_at=f"key {n}") for n in range(3)]
    findings.append(findings[0]._replace(fix="leave kid out"))
    assert [cause.fix for cause in causes_found(findings)] == [findings[0].fix, "leave kid out"]


# ── Refusals that say what is wrong ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "said", "cause"),
    [
        ("invalid_scope", "", ["request.scope.not_allowed"]),
        ("unauthorized_client", "", ["registration.application_type"]),
        ("invalid_grant", "", ["registration.application_type"]),
        ("unsupported_grant_type", "", ["registration.application_type"]),
        ("invalid_request", "requested grant type is not allowed for this client", ["registration.application_type"]),
        ("invalid_target", "", []),
    ],
)
def test_an_error_that_says_what_is_wrong_is_diagnosed_by_itself(error: str, said: str, cause: list[str]) -> None:
    findings = [found(Rule.CLAIMS_UNEXPECTED, Verdict.WARN), found(Rule.EXP_PAST, Verdict.PASS)]
    diagnosis = diagnose(error, findings, KNOWN._replace(said=said))
    assert (diagnosis.error, causes(diagnosis), diagnosis.ruled_out) == (error, cause, ())
    assert all(one.question for one in diagnosis.causes)


# ── What the server's words say ─────────────────────────────────────────────────────────────────────────────────


SOUND = [
    found(Rule.AUD_MISMATCH, Verdict.PASS, URL),
    found(Rule.EXP_PAST, Verdict.PASS, "60 s ahead"),
    found(Rule.CLOCK_SKEW, Verdict.PASS, "0 s"),
    found(Rule.ALG_UNSUPPORTED, Verdict.PASS, "PS256"),
    found(Rule.ISS_MISMATCH, Verdict.PASS, CLIENT_ID),
    found(Rule.SUB_MISMATCH, Verdict.PASS, CLIENT_ID),
    found(Rule.JTI_REPLAYED, Verdict.PASS, "not used before"),
    found(Rule.KID_UNEXPECTED, Verdict.PASS, NO_KID),
    found(Rule.REGISTRATION_KEY_MISMATCH, Verdict.PASS, "it belongs to the private key"),
    found(Rule.SIGNATURE_INVALID, Verdict.PASS, "verified"),
]


@pytest.mark.parametrize(
    "error", ["invalid_client", "invalid_request", "unauthorized_client", "access_denied", "E1", ""]
)
@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("Client not found", "client.unknown"),
        ("The signature is invalid", "registration.key.mismatch"),
        ("audience does not match", "assertion.aud.mismatch"),
        ("unsupported algorithm", "registration.alg"),
        ("the assertion has expired", "assertion.exp.past"),
        ("jti was used before", "assertion.jti.replayed"),
        ("kid not found", "assertion.kid.missing"),
        ("invalid iss", "assertion.iss.mismatch"),
        ("client is disabled", "client.disabled"),
    ],
)
def test_what_the_server_names_is_first_and_never_ruled_out(error: str, said: str, rule: str) -> None:
    diagnosis = diagnose(error, SOUND, KNOWN._replace(said=said))
    assert (causes(diagnosis)[0], diagnosis.named[0], diagnosis.hides) == (rule, rule, False)
    assert diagnosis.causes[0].why == f"the server says: {said}"
    assert diagnosis.causes[0].fix
    assert rule not in [one.rule for one in diagnosis.ruled_out]
    assert len(causes(diagnosis)) == len(set(causes(diagnosis)))


def test_no_clock_rules_out_what_the_server_says_of_the_time() -> None:
    diagnosis = diagnose("invalid_client", SOUND, KNOWN._replace(said="JWT expired"))
    assert causes(diagnosis)[:2] == ["assertion.exp.past", "clock.skew"]
    assert not {"exp", "the clock"} & {one.title for one in diagnosis.ruled_out}


def test_the_evidence_that_was_found_here_stands_beside_the_servers_words() -> None:
    findings = [found(Rule.KID_UNKNOWN, Verdict.FAIL, "kid a"), found(Rule.KID_UNEXPECTED, Verdict.PASS, "kid a")]
    first = diagnose("invalid_client", findings, KNOWN._replace(said="unknown kid")).causes[0]
    assert (first.rule, first.why, first.fix) == (
        "assertion.kid.unknown",
        "the server says: unknown kid; kid a",
        "mend it",
    )


@pytest.mark.parametrize("said", ["", "client authentication failed", "Invalid client or Invalid client credentials"])
@pytest.mark.parametrize("error", ["invalid_client", "invalid_request", "access_denied", "Unauthorized", ""])
def test_a_refusal_that_names_nothing_has_all_causes(error: str, said: str) -> None:
    diagnosis = diagnose(error, SOUND[:1], KNOWN._replace(said=said))
    assert (causes(diagnosis), diagnosis.named, diagnosis.hides) == (ONLY_THE_BANK, (), True)


def test_words_that_nobody_knows_do_not_hide_the_reason() -> None:
    assert not diagnose("invalid_client", [], KNOWN._replace(said="JWT is not valid")).hides


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        (
            "no client authentication mechanism provided",
            ["registration.auth_method", "request.client_assertion.missing"],
        ),
        ("client_assertion_type must be provided", ["request.client_assertion_type.missing"]),
        ("client_id is required", ["request.client_id.missing"]),
    ],
)
def test_a_request_that_is_said_to_be_wrong_has_no_other_cause(said: str, rules: list[str]) -> None:
    assert causes(diagnose("invalid_request", SOUND, KNOWN._replace(said=said))) == rules


def test_keycloaks_unauthorized_client_may_be_any_fault_of_the_client() -> None:
    said = KNOWN._replace(said="Invalid client or Invalid client credentials")
    assert causes(diagnose("unauthorized_client", [], said)) == ONLY_THE_BANK
    assert causes(diagnose("unauthorized_client", [], KNOWN._replace(said="no"))) == ["registration.application_type"]


@pytest.mark.parametrize("status", [404, 405, 410, 415])
def test_a_status_of_no_token_endpoint_makes_the_url_the_likeliest_cause_and_no_certain_one(status: int) -> None:
    diagnosis = diagnose("", SOUND[:1], KNOWN._replace(status=status))
    assert causes(diagnosis) == ["network.answer", *ONLY_THE_BANK]
    assert (str(status) in diagnosis.causes[0].why, diagnosis.certain) == (True, False)


def test_a_page_for_people_makes_something_else_the_likeliest_to_answer() -> None:
    assert causes(diagnose("", [], KNOWN._replace(status=403, is_page=True)))[0] == "network.answer"
    assert causes(diagnose("", [], KNOWN._replace(status=403))) == ONLY_THE_BANK


# ── The questions ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_questions_are_filled_in() -> None:
    asked = {cause.rule: cause.question for cause in diagnose("invalid_client", [], KNOWN).causes}
    assert all(CLIENT_ID in question for question in asked.values())
    assert "SHA256:abc" in asked["registration.key.mismatch"]
    assert "signed with PS256" in asked["registration.alg"]
    [scope] = diagnose("invalid_scope", [], KNOWN).causes
    assert "openid payments" in scope.question
    assert not any("{" in question for question in [*asked.values(), scope.question])


def test_every_question_can_be_filled_in_with_what_is_known() -> None:
    for rule, explanation in EXPLANATIONS.items():
        if explanation.question is None:
            continue
        filled = explanation.asked(FACTS)
        assert CLIENT_ID in filled, rule
        assert filled.endswith(("?", ".")), rule


def test_a_client_id_with_braces_is_not_formatted() -> None:
    diagnosis = diagnose(
        "invalid_client", [], KNOWN._replace(facts=FACTS | {"client_id": "{0}{fingerprint.__class__}"})
    )
    assert all("{0}{fingerprint.__class__}" in cause.question for cause in diagnosis.causes)


# ── A refusal, explained where it happened ──────────────────────────────────────────────────────────────────────


def refusal() -> RefusedError:
    return RefusedError("refused", error="invalid_client", status=401, hint="banno-creds doctor")


def claims(**changes: object) -> Mapping[str, object]:
    made = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": URL, "exp": NOW + 60, "jti": "a"} | changes
    return {name: value for name, value in made.items() if value is not None}


def known() -> Known:
    return Known(NOW, CLIENT_ID, (URL,), use_jti=lambda _: True)


def test_a_rule_that_fails_is_the_hint() -> None:
    error = refusal()
    assertion = ClientAssertion.read(jwt(dict(claims(exp=(NOW + 60) * 1000)), {"alg": "PS256"}))
    error = explain_refusal(error, assertion, known(), 0.0, KNOWN)
    assert error.hint is not None
    assert error.hint.endswith(": banno-creds doctor")
    assert error.rule == "assertion.exp.milliseconds"
    assert any(
        detail.startswith("assertion.exp.milliseconds: received ") and "; expected seconds" in detail
        for detail in error.details
    )


def test_if_no_rule_fails_the_error_says_what_is_ruled_out_and_what_is_left() -> None:
    error = refusal()
    error = explain_refusal(error, ClientAssertion.read(jwt(dict(claims()), {"alg": "PS256"})), known(), 0.0, KNOWN)
    [ruled_out, left] = error.details
    assert ruled_out.startswith("this answer hides the reason; ruled out here: ")
    for what in ("alg", "sub", "iss", "aud", "exp", "jti"):
        assert what in ruled_out.rpartition(": ")[2].split(", ")
    assert left.startswith("left: ")
    assert "the bank does not know this client ID" in left
    assert error.hint is not None
    assert "banno-creds doctor" in error.hint


def test_the_servers_clock_decides_if_it_is_known() -> None:
    error = refusal()
    assertion = ClientAssertion.read(jwt(dict(claims()), {"alg": "PS256"}))
    # Ours is behind: what is in its time here has ended there, and it is the clock that is to be set.
    error = explain_refusal(error, assertion, known(), -600.0, KNOWN)
    assert error.rule == "clock.skew"


def test_if_the_servers_clock_is_unknown_exp_is_not_ruled_out() -> None:
    error = refusal()
    assertion = ClientAssertion.read(jwt(dict(claims()), {"alg": "PS256"}))
    error = explain_refusal(error, assertion, known(), None, KNOWN)
    assert "exp" not in error.details[0].rpartition(": ")[2].split(", ")
