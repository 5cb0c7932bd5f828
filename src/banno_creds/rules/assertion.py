"""What a token endpoint asks of a client assertion (RFC 7523 section 3), rule by rule.

`lint-assertion`, `doctor` and the sandbox all judge by these rules. They stand in the order of node-oidc-provider,
which the vendor's server appears to be: the first rule that fails is the reason in the server's log, which the client
never sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from banno_creds.rules import claims, clock, signature
from banno_creds.rules.findings import NO_ASSERTION, Finding, Rule, Verdict
from banno_creds.rules.known import Known
from banno_creds.rules.outcomes import Outcome, failed, judged, odd, passed, unknown
from banno_creds.rules.presented import IN_JSON, LINE_END, PRIVATE_KEY, what_is_wrong
from banno_creds.rules.shown import without_secrets
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from banno_creds.rules.presented import ClientAssertion

# Claims that this provider's tokens have, and no assertion.
_TOKENS_CLAIMS = ("authType", "scope", "scp", "azp", "client_id", "at_hash", "nonce", "token_use")
_TOKENS_TYPES = ("at+jwt", "application/at+jwt", "id+jwt", "logout+jwt")
_COMPACT = "a compact JWS: header, payload and signature in base64url, joined by dots"


def judge_form(assertion: ClientAssertion) -> Iterator[Finding]:
    """Judge by the rules that come before the client is looked up: it is an assertion, and names its subject."""
    return _judge(_FORM, assertion, Known(now=0))


def judge(assertion: ClientAssertion, known: Known) -> Iterator[Finding]:
    """Judge an assertion by all rules, in the server's order, held against the known values.

    A rule is judged when its finding is asked for: a server that stops at the first failure uses up no ``jti``.
    """
    return _judge((*_FORM, *_CLAIMS), assertion, known)


def _judge(rows: Sequence[_Row], assertion: ClientAssertion, known: Known) -> Iterator[Finding]:
    failed_rules: set[Rule] = set()
    for rule, looks_at, judge_one, after in rows:
        blocking = next((earlier for earlier in (*_UNREADABLE, *after) if earlier in failed_rules), None)
        if blocking is None:
            outcome = judge_one(assertion, known)
        elif blocking in _UNREADABLE:
            outcome = unknown(NO_ASSERTION)
        else:
            outcome = unknown(f"{blocking} comes before it")
        if outcome.verdict is Verdict.FAIL or blocking is not None:
            failed_rules.add(rule)
        yield judged(rule, looks_at, outcome)


# --- The form ---


def _private_key(assertion: ClientAssertion, _: Known) -> Outcome:
    if assertion.instead == PRIVATE_KEY:
        return failed("a private key (not shown)", "a client assertion, which is a JWT")
    return passed()


def _malformed(assertion: ClientAssertion, _: Known) -> Outcome:
    if assertion.fault is None:
        return _surrounded(assertion.around)
    if assertion.instead:
        return failed(f"{assertion.instead} (not shown)", _COMPACT)
    received, fix = what_is_wrong(assertion.compact) or (assertion.fault, "")
    return failed(without_secrets(printable(received, 300)), _COMPACT, fix)


def _surrounded(around: tuple[str, ...]) -> Outcome:
    """Judge what was removed from around an assertion that can be read."""
    readable = "a JWS with a header and a payload in JSON"
    if not around:
        return passed(readable)
    if around == (LINE_END,):
        return passed(f"{readable}, and {LINE_END}, which is not to be sent")
    return odd(
        f"{readable}, with {' and '.join(around)}",
        "the JWS alone",
        "send client_assertion and the other parameters form-encoded in the body, not as JSON"
        if IN_JSON in around
        else "send the JWT alone and on one line: nothing before it, after it or inside it",
    )


def _token(assertion: ClientAssertion, _: Known) -> Outcome:
    # A token has claims that only tokens have, and an iss that is not its sub. An assertion with one such claim too
    # many is still an assertion.
    typ = assertion.header.get("typ")
    telling = [name for name in _TOKENS_CLAIMS if name in assertion.claims]
    if isinstance(typ, str) and typ.lower() in _TOKENS_TYPES:
        telling.insert(0, f"typ {typ.lower()}")
    issued = str(assertion.claims.get("iss")).startswith(("https://", "http://"))
    if telling and (issued or "sub" not in assertion.claims):
        return failed(
            f"a token that a server issued ({', '.join(telling[:3])})",
            "the assertion that the client signs to ask for one",
        )
    return passed()


# --- The rules in the server's order ---


class _Row(NamedTuple):
    """One rule. If one of the rules in ``after`` failed or is unknown because of another, this one is unknown too."""

    rule: Rule
    looks_at: str
    judge: Callable[[ClientAssertion, Known], Outcome]
    after: tuple[Rule, ...] = ()


_UNREADABLE = (Rule.ASSERTION_PRIVATE_KEY, Rule.ASSERTION_MALFORMED, Rule.ASSERTION_TOKEN)
_EXP = (Rule.EXP_MISSING, Rule.EXP_MALFORMED)
_ALG = (Rule.ALG_UNSUPPORTED, Rule.ALG_KEY_MISMATCH)

_FORM: tuple[_Row, ...] = (
    _Row(Rule.ASSERTION_PRIVATE_KEY, "form", _private_key),
    _Row(Rule.ASSERTION_MALFORMED, "form", _malformed),
    _Row(Rule.ASSERTION_TOKEN, "form", _token),
    _Row(Rule.SUB_MISSING, "sub", claims.sub_missing),
    _Row(Rule.SUB_MALFORMED, "sub", claims.sub_malformed, (Rule.SUB_MISSING,)),
)
_CLAIMS: tuple[_Row, ...] = (
    # Held against the registration.
    _Row(Rule.SUB_MISMATCH, "sub", claims.sub_mismatch, (Rule.SUB_MISSING, Rule.SUB_MALFORMED)),
    _Row(Rule.ALG_UNSUPPORTED, "alg", signature.alg_unsupported),
    _Row(Rule.ALG_KEY_MISMATCH, "signature", signature.alg_key_mismatch, (Rule.ALG_UNSUPPORTED,)),
    _Row(Rule.EXP_MISSING, "exp", claims.exp_missing),
    _Row(Rule.JTI_MISSING, "jti", claims.jti_missing),
    _Row(Rule.ISS_MISSING, "iss", claims.iss_missing),
    _Row(Rule.ISS_MISMATCH, "iss", claims.iss_mismatch, (Rule.ISS_MISSING,)),
    _Row(Rule.AUD_MISSING, "aud", claims.aud_missing),
    _Row(Rule.AUD_MISMATCH, "aud", claims.aud_mismatch, (Rule.AUD_MISSING,)),
    _Row(Rule.AUD_ARRAY, "aud", claims.aud_array, (Rule.AUD_MISSING,)),
    _Row(Rule.KID_UNEXPECTED, "kid", signature.kid_unexpected),
    _Row(Rule.KID_UNKNOWN, "kid", signature.kid_unknown, (Rule.KID_UNEXPECTED, *_ALG)),
    _Row(Rule.CRIT_UNSUPPORTED, "crit", signature.crit_unsupported),
    _Row(Rule.KID_OTHER_KEY, "kid", signature.kid_other_key, (Rule.KID_UNEXPECTED, *_ALG, Rule.KID_UNKNOWN)),
    _Row(
        Rule.SIGNATURE_INVALID,
        "signature",
        signature.invalid,
        (*_ALG, Rule.CRIT_UNSUPPORTED, Rule.KID_UNEXPECTED, Rule.KID_UNKNOWN, Rule.KID_OTHER_KEY),
    ),
    # Held against the clock.
    _Row(Rule.NBF_MALFORMED, "nbf", clock.nbf_malformed),
    _Row(Rule.NBF_FUTURE, "nbf", clock.nbf_future, (Rule.NBF_MALFORMED,)),
    _Row(Rule.IAT_MALFORMED, "iat", clock.iat_malformed),
    _Row(Rule.IAT_FUTURE, "iat", clock.iat_future, (Rule.IAT_MALFORMED,)),
    _Row(Rule.EXP_MALFORMED, "exp", clock.exp_malformed, (Rule.EXP_MISSING,)),
    _Row(Rule.EXP_MILLISECONDS, "exp", clock.exp_milliseconds, _EXP),
    _Row(Rule.EXP_PAST, "exp", clock.exp_past, (*_EXP, Rule.EXP_MILLISECONDS)),
    _Row(Rule.EXP_TOO_FAR, "exp", clock.exp_too_far, (*_EXP, Rule.EXP_MILLISECONDS)),
    # Good once.
    _Row(Rule.JTI_MALFORMED, "jti", claims.jti_malformed, (Rule.JTI_MISSING,)),
    _Row(Rule.AUD_MALFORMED, "aud", claims.aud_malformed, (Rule.AUD_MISSING, Rule.AUD_MISMATCH)),
    # The last rule that can fail, so that a refused assertion does not use up its jti.
    _Row(Rule.JTI_REPLAYED, "jti", claims.jti_replayed, (Rule.JTI_MISSING, Rule.JTI_MALFORMED, *_EXP)),
    _Row(Rule.CLAIMS_UNEXPECTED, "claims", claims.unexpected),
)
