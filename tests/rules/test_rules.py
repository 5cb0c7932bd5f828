"""The rules: what each looks at, what it says of a fault, where its limits are, and in which order they stand."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from banno_creds.jose.encoding import base64url
from banno_creds.rules.assertion import judge, judge_form
from banno_creds.rules.client_id import judge_client_id
from banno_creds.rules.clock import judge_clock
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import NO_ASSERTION, Finding, Rule, Verdict
from banno_creds.rules.known import Known, RegisteredKey
from banno_creds.rules.presented import ClientAssertion
from banno_creds.rules.request import judge_pasted
from tests.conftest import CLIENT_ID
from tests.jwts import NOW, jwt
from tests.rules.assertions import (
    ABSENT,
    CLAIMS,
    ENDPOINT,
    FORM_ORDER,
    ISSUER,
    JTI,
    ORDER,
    PROVIDER_TOKEN,
    changed,
    echoes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from banno_creds.jose import keys

pytestmark = pytest.mark.once

SIGNATURE = "c2lnbmF0dXJlLW9mLXRoZS1hc3NlcnRpb24"

HEADER = {"alg": "PS256"}


def key(
    kid: str | None = None, *algorithms: str, made_it: bool = True, description: str = "RSA 2048 from public.pem"
) -> RegisteredKey:
    """A registered key that says of every signature whether it made it."""
    return RegisteredKey(description, algorithms or ("PS256", "RS256"), lambda *_: made_it, kid)


KNOWN: Mapping[str, Any] = {
    "now": NOW,
    "client_id": CLIENT_ID,
    "audiences": (ENDPOINT, ISSUER),
    "keys": (key(),),
    "use_jti": lambda _: True,
}
JWKS = (key("k1"), key("k2", made_it=False), key("e1", "ES256", made_it=False))


def assertion(header: Mapping[str, Any] | None = None, claims: Mapping[str, Any] | None = None) -> ClientAssertion:
    return ClientAssertion.read(jwt(changed(CLAIMS, claims or {}), changed(HEADER, header or {}), SIGNATURE))


def judged(
    subject: ClientAssertion | None = None, known: Mapping[str, Any] | None = None, **claims: Any
) -> dict[str, Finding]:
    """What every rule says, by its id; of a correct assertion with changed claims, where no other is given."""
    findings = list(judge(subject or assertion(claims=claims), Known(**changed(KNOWN, known or {}))))
    by_rule = {str(finding.rule): finding for finding in findings}
    assert len(by_rule) == len(findings)
    return by_rule


def faults(findings: Iterable[Finding]) -> list[str]:
    return [finding.rule for finding in findings if finding.verdict in (Verdict.FAIL, Verdict.WARN)]


# ── The order, which is the server's ────────────────────────────────────────────────────────────────────────────

ONLY_A_REQUEST_TELLS = ["assertion.iat.missing", "assertion.kid.missing"]


def test_rules_stand_in_the_order_in_which_the_server_asks() -> None:
    assert list(judged()) == ORDER
    assert [finding.rule for finding in judge_form(assertion())] == FORM_ORDER


def test_every_rule_of_an_assertion_is_judged() -> None:
    assert sorted([*ORDER, *ONLY_A_REQUEST_TELLS]) == sorted(rule for rule in Rule if rule.startswith("assertion."))


# ── A fault of each kind ────────────────────────────────────────────────────────────────────────────────────────


class Fault(NamedTuple):
    """One thing wrong with an assertion that is correct otherwise, and what is said of it."""

    rule: str
    received: str
    expected: str
    header: Mapping[str, Any] = {}
    claims: Mapping[str, Any] = {}
    known: Mapping[str, Any] = {}
    text: str | None = None  # in the place of the assertion
    verdict: Verdict = Verdict.FAIL
    fix: str = ""  # where it is not that of the rule's explanation


A_JWS = "a compact JWS: header, payload and signature in base64url, joined by dots"
THE_CLIENT_ID = f'"{CLIENT_ID}", the client ID'
EXACT = f'"{ENDPOINT}", to the character'
FRESH = "a fresh unique string"
SECONDS = "a JSON number of seconds (RFC 7519 section 2)"
COME = f"a time that has come; this clock says {NOW}"
TO_COME = f"a time in the future; this clock says {NOW}"
AHEAD = f"at most 300 s ahead; this clock says {NOW}"
IN_SECONDS = "seconds (RFC 7519 section 2, NumericDate)"
ANOTHER = "0oa1example"
MS = (NOW + 60) * 1000


def aud_fault(aud: Any, words: str, known: Mapping[str, Any] | None = None) -> Fault:
    said = json.dumps(aud, ensure_ascii=False)
    received = f'"aud" {said}' + (f": {words}" if words else "")
    return Fault("assertion.aud.mismatch", received, EXACT, claims={"aud": aud}, known=known or {})


FAULTS = {
    "private key": Fault(
        "assertion.private_key",
        "a private key (not shown)",
        "a client assertion, which is a JWT",
        text="-----BEGIN RSA PRIVATE KEY-----\nMII",
    ),
    "JWE": Fault(
        "assertion.malformed",
        "this token is encrypted (a JWE: five parts, alg RSA-OAEP, enc A256GCM)",
        A_JWS,
        text=f"{jwt({}, {'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.a.b",
    ),
    "opaque": Fault(
        "assertion.malformed",
        "this is no JWT: it has no dots, so it may be an opaque token, which only the server can read",
        A_JWS,
        text="opaque",
    ),
    "cut off": Fault(
        "assertion.malformed",
        "2 parts between dots, and a signed JWT has 3",
        A_JWS,
        text=jwt(CLAIMS, HEADER).rpartition(".")[0],
        fix="sign it, and append a dot and the signature in base64url; nothing may have been cut off",
    ),
    "in quotation marks": Fault(
        "assertion.malformed",
        "a JWS with a header and a payload in JSON, with quotation marks around it",
        "the JWS alone",
        text=f'"{jwt(CLAIMS, HEADER, SIGNATURE)}"',
        verdict=Verdict.WARN,
        fix="send the JWT alone and on one line: nothing before it, after it or inside it",
    ),
    "NaN": Fault(
        "assertion.malformed",
        "the token's payload is broken: it holds NaN, which is not JSON",
        A_JWS,
        text=jwt('{"exp": NaN}'),
    ),
    "a claim twice": Fault(
        "assertion.malformed",
        "a payload that is ambiguous: it has the member 'exp' more than once",
        A_JWS,
        text=jwt('{"exp": 1, "exp": 2}'),
        fix="write each member once: which of two counts differs from reader to reader",
    ),
    "array for claims": Fault(
        "assertion.malformed",
        "the token's payload is broken: it is JSON, but an array and not an object",
        A_JWS,
        text=jwt("[]"),
    ),
    "public key": Fault(
        "assertion.malformed", "a public key (not shown)", A_JWS, text="-----BEGIN PUBLIC KEY-----\nMII"
    ),
    "certificate": Fault(
        "assertion.malformed", "a certificate (not shown)", A_JWS, text="-----BEGIN CERTIFICATE-----\nMII"
    ),
    "access token": Fault(
        "assertion.token",
        "a token that a server issued (authType, scope, azp)",
        "the assertion that the client signs to ask for one",
        claims=PROVIDER_TOKEN,
    ),
    "access token by its typ": Fault(
        "assertion.token",
        "a token that a server issued (typ at+jwt)",
        "the assertion that the client signs to ask for one",
        header={"typ": "AT+jwt"},
        claims={"sub": ABSENT},
    ),
    "no sub": Fault(
        "assertion.sub.missing", 'no "sub" claim', 'a "sub" claim with the client ID', claims={"sub": ABSENT}
    ),
    "null sub": Fault(
        "assertion.sub.missing", 'no "sub" claim', 'a "sub" claim with the client ID', claims={"sub": None}
    ),
    "empty sub": Fault(
        "assertion.sub.missing", 'an empty "sub" ""', 'a "sub" claim with the client ID', claims={"sub": ""}
    ),
    "number for sub": Fault(
        "assertion.sub.malformed", '"sub" 7', "the client ID, a string", claims={"sub": 7, "iss": CLIENT_ID}
    ),
    "array for sub": Fault(
        "assertion.sub.malformed", f'"sub" ["{CLIENT_ID}"]', "the client ID, a string", claims={"sub": [CLIENT_ID]}
    ),
    "another sub": Fault(
        "assertion.sub.mismatch", f'"sub" "{ANOTHER}"', THE_CLIENT_ID, claims={"sub": ANOTHER, "iss": CLIENT_ID}
    ),
    "capital sub": Fault(
        "assertion.sub.mismatch",
        f'"sub" "{CLIENT_ID.upper()}": capital letters differ, and case matters',
        THE_CLIENT_ID,
        claims={"sub": CLIENT_ID.upper()},
    ),
    "quoted sub": Fault(
        "assertion.sub.mismatch",
        f'"sub" ""{CLIENT_ID}"": white space or quotation marks are around it',
        THE_CLIENT_ID,
        claims={"sub": f'"{CLIENT_ID}"'},
    ),
    "sub with a line end": Fault(
        "assertion.sub.mismatch",
        f'"sub" "{CLIENT_ID}": white space or quotation marks are around it',
        THE_CLIENT_ID,
        claims={"sub": f"{CLIENT_ID}\n"},
    ),
    "sub with a letter of another alphabet": Fault(
        "assertion.sub.mismatch",
        f'"sub" "{CLIENT_ID.replace("a", "а", 1)}": characters outside ASCII are in it',
        THE_CLIENT_ID,
        claims={"sub": CLIENT_ID.replace("a", "а", 1)},
    ),
    "alg none": Fault("assertion.alg.unsupported", 'alg "none"', "PS256 or RS256 or ES256", header={"alg": "none"}),
    "HMAC": Fault("assertion.alg.unsupported", 'alg "HS256"', "PS256 or RS256 or ES256", header={"alg": "HS256"}),
    "ES384": Fault("assertion.alg.unsupported", 'alg "ES384"', "PS256 or RS256 or ES256", header={"alg": "ES384"}),
    "small alg": Fault(
        "assertion.alg.unsupported", 'alg "ps256"', "PS256 or RS256 or ES256", header={"alg": "ps256"}
    ),
    "no alg": Fault("assertion.alg.unsupported", "no alg", "PS256 or RS256 or ES256", header={"alg": ABSENT}),
    "object for alg": Fault(
        "assertion.alg.unsupported", "alg an object", "PS256 or RS256 or ES256", header={"alg": {}}
    ),
    "EC alg, RSA key": Fault(
        "assertion.alg.key_mismatch",
        "alg ES256, which EC keys sign with; the registered key is RSA",
        "PS256 or RS256, which is what the registered public key may verify",
        header={"alg": "ES256"},
        fix="the types differ: sign with the RSA key whose public half is registered, or have your EC key registered",
    ),
    "RSA alg, EC key": Fault(
        "assertion.alg.key_mismatch",
        "alg PS256, which RSA keys sign with; the registered key is EC",
        "ES256, which is what the registered public key may verify",
        known={"keys": (key(None, "ES256"),)},
        fix="the types differ: sign with the EC key whose public half is registered, or have your RSA key registered",
    ),
    "alg that the registered JWK is not for": Fault(
        "assertion.alg.key_mismatch",
        "alg RS256",
        "PS256, which is what the registered public key may verify",
        header={"alg": "RS256"},
        known={"keys": (key("k1", "PS256"),)},
        fix="sign with PS256: the registered JWK is meant for nothing else",
    ),
    "key for an alg that is not taken": Fault(
        "assertion.alg.key_mismatch",
        "alg PS256",
        "none that the provider takes, which is what the registered public key may verify",
        known={"keys": (RegisteredKey("RSA 2048", (), lambda *_: True),)},
        fix="have alg taken out of the registered JWK, or set to PS256; no other alg will do",
    ),
    "no exp": Fault(
        "assertion.exp.missing",
        'no "exp" claim',
        'an "exp" claim, at most 300 seconds ahead',
        claims={"exp": ABSENT},
    ),
    "null exp": Fault(
        "assertion.exp.missing", 'no "exp" claim', 'an "exp" claim, at most 300 seconds ahead', claims={"exp": None}
    ),
    "no jti": Fault("assertion.jti.missing", 'no "jti" claim', FRESH, claims={"jti": ABSENT}),
    "empty jti": Fault("assertion.jti.missing", 'an empty "jti" ""', FRESH, claims={"jti": ""}),
    "no iss": Fault(
        "assertion.iss.missing",
        'no "iss" claim',
        'an "iss" claim with the client ID, as in "sub"',
        claims={"iss": ABSENT},
    ),
    "another iss": Fault(
        "assertion.iss.mismatch",
        f'"iss" "{ANOTHER}"',
        f"{THE_CLIENT_ID}, which is also the sub",
        claims={"iss": ANOTHER},
    ),
    "iss is not sub, client ID unknown": Fault(
        "assertion.iss.mismatch",
        f'"iss" "{ANOTHER}", and "sub" "{CLIENT_ID}"',
        "the same in both: the client ID",
        fix="set both iss and sub to the client ID; which of them is wrong shows once the client ID is given",
        claims={"iss": ANOTHER},
        known={"client_id": ABSENT},
    ),
    "number for iss": Fault(
        "assertion.iss.mismatch", '"iss" 7', f"{THE_CLIENT_ID}, which is also the sub", claims={"iss": 7}
    ),
    "zero for iss": Fault(
        "assertion.iss.missing",
        'an empty "iss" 0',
        'an "iss" claim with the client ID, as in "sub"',
        claims={"iss": 0},
    ),
    "no aud": Fault("assertion.aud.missing", 'no "aud" claim', EXACT, claims={"aud": ABSENT}),
    "empty aud": Fault("assertion.aud.missing", 'an empty "aud" ""', EXACT, claims={"aud": ""}),
    "false for aud": Fault("assertion.aud.missing", 'an empty "aud" false', EXACT, claims={"aud": False}),
    "empty array for aud": Fault("assertion.aud.mismatch", '"aud" []', EXACT, claims={"aud": []}),
    "no aud, endpoint unknown": Fault(
        "assertion.aud.missing",
        'no "aud" claim',
        "the token endpoint's exact URL",
        claims={"aud": ABSENT},
        known={"audiences": ABSENT},
    ),
    "slash at the end": aud_fault(ENDPOINT + "/", "a slash too many at its end"),
    "no slash at the end": Fault(
        "assertion.aud.mismatch",
        f'"aud" "{ENDPOINT}": the slash at its end is missing',
        f'"{ENDPOINT}/", to the character',
        known={"audiences": (ENDPOINT + "/",)},
    ),
    "http": aud_fault(ENDPOINT.replace("https", "http"), "http for https"),
    "no scheme": aud_fault(ENDPOINT.removeprefix("https:"), "no scheme for https"),
    "another environment": aud_fault(
        "https://banno.com/a/oidc-provider/api/v0/token", "the token endpoint of the environment legacy"
    ),
    "another host": aud_fault(ENDPOINT.replace("login", "lgoin"), "another host"),
    "another path": aud_fault("https://login.jackhenry.com/token", "another path on the same host"),
    "another port": aud_fault(ENDPOINT.replace(".com", ".com:443"), "another host"),
    "query": aud_fault(ENDPOINT + "?x", ""),
    "capital letters": aud_fault(ENDPOINT.title(), "capital letters differ, and case matters"),
    "white space": Fault(
        "assertion.aud.mismatch",
        f'"aud" "{ENDPOINT}": white space is around it',
        EXACT,
        claims={"aud": ENDPOINT + " "},
    ),
    "a letter of another alphabet": aud_fault(ENDPOINT.replace("a", "а", 1), "characters outside ASCII are in it"),
    "a URL that cannot be": aud_fault("https://[x", ""),
    "client ID for aud": aud_fault(CLIENT_ID, ""),
    "number for aud": aud_fault(3, ""),
    "object for aud": Fault("assertion.aud.mismatch", '"aud" an object', EXACT, claims={"aud": {}}),
    "issuer where another is": aud_fault(ISSUER, "another path on the same host", {"audiences": (ENDPOINT, "x")}),
    "array with what is no string": Fault(
        "assertion.aud.malformed",
        '"aud" an array that holds more than strings',
        "strings alone (RFC 7519 section 4.1.3)",
        claims={"aud": [ENDPOINT, 1]},
    ),
    "array": Fault(
        "assertion.aud.array",
        f'"aud" ["{ENDPOINT}"]',
        f"one string, as the vendor documents it: {EXACT}",
        claims={"aud": [ENDPOINT]},
        verdict=Verdict.WARN,
    ),
    "crit": Fault("assertion.crit.unsupported", 'crit ["b64"]', "a header without crit", header={"crit": ["b64"]}),
    "kid and PEM": Fault(
        "assertion.kid.unexpected", 'kid "k1"', "no kid: the registered public key has none", header={"kid": "k1"}
    ),
    "empty kid and PEM": Fault(
        "assertion.kid.unexpected", 'kid ""', "no kid: the registered public key has none", header={"kid": ""}
    ),
    "unknown kid": Fault(
        "assertion.kid.unknown",
        'kid "k3" with alg PS256',
        'the kid of a key that fits the alg; registered: ["k1", "k2", "e1"]',
        header={"kid": "k3"},
        known={"keys": JWKS},
    ),
    "kid of a key for another alg": Fault(
        "assertion.kid.unknown",
        'kid "e1" with alg PS256',
        'the kid of a key that fits the alg; registered: ["k1", "k2", "e1"]',
        header={"kid": "e1"},
        known={"keys": JWKS},
    ),
    "number for kid": Fault(
        "assertion.kid.unexpected", "kid 1", "a string, or no kid", header={"kid": 1}, verdict=Verdict.WARN
    ),
    "null for kid": Fault(
        "assertion.kid.unexpected", "kid null", "a string, or no kid", header={"kid": None}, verdict=Verdict.WARN
    ),
    "kid of another key": Fault(
        "assertion.kid.other_key",
        'kid "k2", and a signature by the key with kid "k1"',
        'kid "k1", or the other key\'s signature',
        header={"kid": "k2"},
        known={"keys": JWKS},
    ),
    "kid where the signing key has none": Fault(
        "assertion.kid.other_key",
        'kid "k2", and a signature by the key with no kid',
        "no kid, or the other key's signature",
        header={"kid": "k2"},
        known={"keys": (key(), key("k2", made_it=False))},
    ),
    "signature": Fault(
        "assertion.signature.invalid",
        "a signature (PS256) that does not verify with the registered public key",
        "one by the private key that belongs to it, over this very header and payload",
        known={"keys": (key(made_it=False),)},
    ),
    "signature in another form": Fault(
        "assertion.signature.invalid",
        "a signature (PS256) by the right key, as hex text",
        "RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes, in base64url (RFC 7518 section 3.5)",
        known={
            "keys": (
                key("k1", made_it=False),
                RegisteredKey("RSA 2048", ("PS256",), lambda *_: False, "k2", lambda *_: ("as hex text", "mend it")),
            )
        },
        fix="mend it",
    ),
    "empty signature": Fault(
        "assertion.signature.invalid",
        "an empty signature, with alg PS256",
        "one by the private key that belongs to it, over this very header and payload",
        known={"keys": (key(made_it=False),)},
        text=jwt(CLAIMS, HEADER, ""),
        fix="sign header.payload, and append the signature in base64url",
    ),
    "signature under its kid": Fault(
        "assertion.signature.invalid",
        "a signature (PS256) that does not verify with the registered public key",
        "one by the private key that belongs to it, over this very header and payload",
        header={"kid": "k2"},
        known={"keys": (key("k1", made_it=False), key("k2", made_it=False))},
    ),
    "string for nbf": Fault("assertion.nbf.malformed", '"nbf" "0"', SECONDS, claims={"nbf": "0"}),
    "null nbf": Fault("assertion.nbf.malformed", '"nbf" null', SECONDS, claims={"nbf": None}),
    "nbf ahead": Fault(
        "assertion.nbf.future", f'"nbf" {NOW + 16}, 16 s ahead by this clock', COME, claims={"nbf": NOW + 16}
    ),
    "nbf in milliseconds": Fault(
        "assertion.nbf.future", f'"nbf" {MS}, which is a time in milliseconds', COME, claims={"nbf": MS}
    ),
    "true for iat": Fault("assertion.iat.malformed", '"iat" true', SECONDS, claims={"iat": True}),
    "iat ahead": Fault(
        "assertion.iat.future",
        f'"iat" {NOW + 120}, 2 min ahead by this clock',
        COME,
        claims={"iat": NOW + 120},
        verdict=Verdict.WARN,
    ),
    "iat in milliseconds": Fault(
        "assertion.iat.future",
        f'"iat" {MS}, which is a time in milliseconds',
        COME,
        claims={"iat": MS},
        verdict=Verdict.WARN,
    ),
    "string for exp": Fault("assertion.exp.malformed", f'"exp" "{NOW + 60}"', SECONDS, claims={"exp": str(NOW + 60)}),
    "true for exp": Fault("assertion.exp.malformed", '"exp" true', SECONDS, claims={"exp": True}),
    "array for exp": Fault(
        "assertion.exp.malformed", '"exp" an array that holds more than strings', SECONDS, claims={"exp": [1]}
    ),
    "milliseconds": Fault(
        "assertion.exp.milliseconds",
        f'"exp" {MS}, which is a time in milliseconds',
        IN_SECONDS,
        claims={"exp": MS},
    ),
    "past": Fault(
        "assertion.exp.past", f'"exp" {NOW - 3600}, 1 h ago by this clock', TO_COME, claims={"exp": NOW - 3600}
    ),
    "a duration": Fault(
        "assertion.exp.past",
        '"exp" 300, which looks like a duration and not a time',
        TO_COME,
        claims={"exp": 300},
        fix="add it to the current time: exp is a point in time, now + 60, in seconds since 1970 UTC",
    ),
    "nbf a duration": Fault(
        "assertion.nbf.malformed",
        '"nbf" 60, which looks like a duration and not a time',
        "a time in seconds since 1970",
        claims={"nbf": 60},
        verdict=Verdict.WARN,
        fix="leave nbf out, or set it to the current time in UTC seconds",
    ),
    "iat a duration": Fault(
        "assertion.iat.malformed",
        '"iat" 60, which looks like a duration and not a time',
        "a time in seconds since 1970",
        claims={"iat": 60},
        verdict=Verdict.WARN,
        fix="leave iat out, or set it to the current time in UTC seconds",
    ),
    "longer ago than a duration is long": Fault(
        "assertion.exp.past", '"exp" 86401, 56 years ago by this clock', TO_COME, claims={"exp": 86401}
    ),
    "zero": Fault(
        "assertion.exp.missing",
        'an empty "exp" 0',
        'an "exp" claim, at most 300 seconds ahead',
        claims={"exp": 0},
    ),
    "too far": Fault(
        "assertion.exp.too_far", f'"exp" {NOW + 600}, 10 min ahead by this clock', AHEAD, claims={"exp": NOW + 600}
    ),
    "number for jti": Fault("assertion.jti.malformed", '"jti" 7', FRESH, claims={"jti": 7}),
    "jti used before": Fault(
        "assertion.jti.replayed",
        f'"jti" "{JTI}", which was used before',
        "a jti that is fresh in every request, retries included",
        known={"use_jti": lambda _: False},
    ),
    "claims that nobody asks for": Fault(
        "assertion.claims.unexpected",
        '["scope", "a b"], which nobody asks for',
        "iss, sub, aud, exp and jti alone",
        claims={"scope": "openid", "a\u202eb": 1},
        verdict=Verdict.WARN,
    ),
}


def of(fault: Fault) -> ClientAssertion:
    return assertion(fault.header, fault.claims) if fault.text is None else ClientAssertion.find(fault.text)


def test_every_rule_of_an_assertion_has_a_fault_here() -> None:
    assert {fault.rule for fault in FAULTS.values()} == set(ORDER)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_fault_is_named_with_its_evidence_and_its_fix_and_no_other_fault_is(fault: Fault) -> None:
    findings = judged(of(fault), fault.known)
    finding = findings[fault.rule]
    assert finding == Finding(
        fault.rule,
        fault.verdict,
        finding.looks_at,
        fault.received,
        fault.expected,
        fault.fix or EXPLANATIONS[fault.rule].fix,
    )
    assert finding.fix
    # That an array is one is worth a warning of its own.
    also = ["assertion.aud.array"] if isinstance(fault.claims.get("aud"), list) else []
    assert sorted(faults(findings.values())) == sorted({fault.rule, *also})


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_rule_has_one_finding_whatever_is_wrong(fault: Fault) -> None:
    assert list(judged(of(fault), fault.known)) == ORDER


@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS.values() if fault.verdict is Verdict.FAIL and "use_jti" not in fault.known],
    ids=[name for name, fault in FAULTS.items() if fault.verdict is Verdict.FAIL and "use_jti" not in fault.known],
)
def test_stopping_at_the_first_failure_uses_up_no_jti(fault: Fault) -> None:
    used: list[Mapping[str, Any]] = []

    def use(claims: Mapping[str, Any]) -> bool:
        used.append(claims)
        return True

    known = Known(**changed(KNOWN, {**fault.known, "use_jti": use}))
    first = next(finding for finding in judge(of(fault), known) if finding.verdict is Verdict.FAIL)
    assert (first.rule, used) == (fault.rule, [])


def test_jti_is_used_once_and_with_the_claims_that_it_stands_in() -> None:
    used: list[Mapping[str, Any]] = []

    def use(claims: Mapping[str, Any]) -> bool:
        used.append(claims)
        return True

    judged(known={"use_jti": use})
    assert used == [CLAIMS]


def test_jti_is_not_used_where_it_could_not_be_kept_until_exp() -> None:
    def use(claims: Mapping[str, Any]) -> bool:
        raise AssertionError(claims)

    for claims in ({"jti": 7}, {"jti": ABSENT}, {"exp": ABSENT}, {"exp": "1"}):
        assert judged(known={"use_jti": use}, **claims)["assertion.jti.replayed"].verdict is Verdict.UNKNOWN


# ── No false alarm ──────────────────────────────────────────────────────────────────────────────────────────────


CORRECT: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]] = {
    "as the vendor documents it": ({}, {}, {}),
    "RS256": ({"alg": "RS256"}, {}, {}),
    "ES256": ({"alg": "ES256"}, {}, {"keys": (key(None, "ES256"),)}),
    "typ JWT": ({"typ": "JWT"}, {}, {}),
    "iat and nbf": ({}, {"iat": NOW, "nbf": NOW - 5}, {}),
    "fractions of a second": ({}, {"exp": NOW + 60.5, "iat": NOW - 0.5}, {}),
    "kid of a JWK Set": ({"kid": "k1"}, {}, {"keys": JWKS}),
    "kid that two keys have": ({"kid": "k1"}, {}, {"keys": (key("k1", made_it=False), key("k1"))}),
    "no kid, though the JWK Set has some": ({}, {}, {"keys": JWKS}),
    "long jti": ({}, {"jti": "x" * 500}, {}),
}


@pytest.mark.parametrize(("header", "claims", "known"), CORRECT.values(), ids=CORRECT)
def test_correct_assertion_passes_every_rule(
    header: Mapping[str, Any], claims: Mapping[str, Any], known: Mapping[str, Any]
) -> None:
    findings = judged(assertion(header, claims), known)
    assert {finding.verdict for finding in findings.values()} == {Verdict.PASS}
    assert {(finding.expected, finding.fix, finding.reason) for finding in findings.values()} == {("", "", "")}


def test_a_rule_that_passes_shows_the_value() -> None:
    findings = judged(assertion({}, {"iat": NOW - 2}))
    assert {rule: finding.received for rule, finding in findings.items() if finding.received} == {
        "assertion.malformed": "a JWS with a header and a payload in JSON",
        "assertion.sub.mismatch": f'"{CLIENT_ID}"',
        "assertion.iss.mismatch": f'"{CLIENT_ID}"',
        "assertion.alg.unsupported": "PS256",
        "assertion.aud.mismatch": f'"{ENDPOINT}"',
        "assertion.kid.unexpected": "none is sent",
        "assertion.signature.invalid": "verified with RSA 2048 from public.pem",
        "assertion.iat.future": f"{NOW - 2}, 2 s ago, 2026-11-21 15:59:59 UTC",
        "assertion.exp.past": f"{NOW + 60}, 60 s ahead, 2026-11-21 16:01:01 UTC",
        "assertion.jti.malformed": f'"{JTI}"',
        "assertion.jti.replayed": "not used before",
        "assertion.claims.unexpected": "the documented ones",
    }
    assert judged(assertion({"kid": "k1"}), {"keys": JWKS})["assertion.kid.unexpected"].received == 'kid "k1"'


# ── The limits ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("exp", "expected"),
    [
        (NOW - 16, "assertion.exp.past"),
        (NOW - 15, "assertion.exp.past"),  # "exp" is the first second in which it is no longer good
        (NOW - 14, None),
        (NOW - 14.5, None),
        (NOW, None),
        (NOW + 300, None),
        (NOW + 315, None),
        (NOW + 315.5, "assertion.exp.too_far"),
        (NOW + 316, "assertion.exp.too_far"),
        (10**11 - 1, "assertion.exp.too_far"),
        (10**11, "assertion.exp.milliseconds"),
        (1e11, "assertion.exp.milliseconds"),
        (10**400, "assertion.exp.milliseconds"),
        (1.7e308, "assertion.exp.milliseconds"),
        (-1, "assertion.exp.past"),
        (-(10**11), "assertion.exp.past"),
        (-(10**400), "assertion.exp.past"),
        (-1.7e308, "assertion.exp.past"),
        (False, "assertion.exp.missing"),
        (0, "assertion.exp.missing"),
        ("", "assertion.exp.missing"),
        ({}, "assertion.exp.malformed"),
        ([], "assertion.exp.malformed"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_limits_of_exp(exp: Any, expected: str | None) -> None:
    findings = judged(exp=exp)
    assert faults(findings.values()) == ([] if expected is None else [expected])
    assert list(findings) == ORDER


@pytest.mark.parametrize(("claim", "verdict"), [("nbf", Verdict.FAIL), ("iat", Verdict.WARN)])
@pytest.mark.parametrize(
    ("offset", "is_ahead"), [(-(10**400), False), (-1e308, False), (0, False), (15, False), (15.5, True), (16, True)]
)
def test_limits_of_nbf_and_iat(claim: str, verdict: Verdict, offset: float, *, is_ahead: bool) -> None:
    findings = judged(assertion({}, {claim: NOW + offset}))
    assert findings[f"assertion.{claim}.future"].verdict is (verdict if is_ahead else Verdict.PASS)
    assert faults(findings.values()) == ([f"assertion.{claim}.future"] if is_ahead else [])


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize("value", ["0", False, True, None, [], {}], ids=str)
def test_nbf_and_iat_are_json_numbers(claim: str, value: Any) -> None:
    findings = judged(**{claim: value})
    assert faults(findings.values()) == [f"assertion.{claim}.malformed"]
    assert findings[f"assertion.{claim}.future"].reason == f"assertion.{claim}.malformed comes before it"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
def test_number_that_json_does_not_have_makes_the_assertion_malformed(claim: str, number: str) -> None:
    claims = json.dumps(changed(CLAIMS, {claim: ABSENT}))[:-1] + f', "{claim}": {number}}}'
    findings = judged(ClientAssertion.read(jwt(claims, HEADER, SIGNATURE)))
    assert faults(findings.values()) == ["assertion.malformed"]


@pytest.mark.parametrize(
    "value",
    [-(10**4200), 10**4200, -1.7e308, "x" * 100_000, ["x" * 1000] * 1000],
    ids=["far below", "far above", "float", "text", "array"],
)
@pytest.mark.parametrize("claim", ["exp", "nbf", "iat", "aud", "sub", "iss", "jti", "other"])
def test_evidence_is_short_however_large_the_claim_is(claim: str, value: Any) -> None:
    for finding in judged(**{claim: value}).values():
        assert max(len(text) for text in finding[3:]) < 2000, finding.rule


# ── What cannot be told ─────────────────────────────────────────────────────────────────────────────────────────

NOT_GIVEN = "which public key the bank has was not given"
PEM_OR_JWKS = "right with a JWKS URI, refused with a pasted PEM, and which it is was not given"
UNUSABLE = "no registered key can be used"


@pytest.mark.parametrize(
    ("known", "reasons"),
    [
        ({"client_id": ABSENT}, {"assertion.sub.mismatch": "the client ID was not given"}),
        ({"audiences": ABSENT}, {"assertion.aud.mismatch": "the token endpoint is not known"}),
        (
            {"keys": ABSENT},
            {
                "assertion.alg.key_mismatch": NOT_GIVEN,
                "assertion.kid.unexpected": PEM_OR_JWKS,
                "assertion.kid.unknown": NOT_GIVEN,
                "assertion.kid.other_key": NOT_GIVEN,
                "assertion.signature.invalid": NOT_GIVEN,
            },
        ),
        (
            {"keys": ()},
            {
                "assertion.alg.key_mismatch": UNUSABLE,
                "assertion.kid.unexpected": UNUSABLE,
                "assertion.kid.unknown": UNUSABLE,
                "assertion.kid.other_key": UNUSABLE,
                "assertion.signature.invalid": UNUSABLE,
            },
        ),
        ({"use_jti": ABSENT}, {"assertion.jti.replayed": "only the server knows whether it was used before"}),
    ],
    ids=["client ID", "token endpoint", "keys", "no usable key", "jti"],
)
def test_an_unknown_has_its_reason_and_is_no_fault(known: Mapping[str, Any], reasons: Mapping[str, str]) -> None:
    usual = {"keys": JWKS}
    findings = judged(assertion({"kid": "k1"}), {**usual, **known}).values()
    unknown = {finding.rule: finding.reason for finding in findings if finding.verdict is Verdict.UNKNOWN}
    assert unknown == reasons
    assert faults(findings) == []
    assert not any(finding.expected or finding.fix for finding in findings)


def test_no_kid_is_right_whatever_is_registered() -> None:
    findings = judged(known={"keys": ABSENT})
    for rule in ("unexpected", "unknown", "other_key"):
        assert findings[f"assertion.kid.{rule}"].verdict is Verdict.PASS


def test_iss_is_held_against_sub_where_the_client_id_is_not_known() -> None:
    assert judged(known={"client_id": ABSENT})["assertion.iss.mismatch"].verdict is Verdict.PASS
    finding = judged(known={"client_id": ABSENT}, sub=7)["assertion.iss.mismatch"]
    assert (finding.verdict, finding.received) == (Verdict.UNKNOWN, f'"iss" "{CLIENT_ID}"')
    assert finding.reason == "neither the client ID nor a sub is there to compare it with"


def test_white_space_around_the_configured_client_id_is_named() -> None:
    for client_id in (f"{CLIENT_ID}\n", f'"{CLIENT_ID}"'):
        findings = judged(known={"client_id": client_id})
        for name in ("sub", "iss"):
            difference = "without the white space or quotation marks that are around the client ID"
            assert findings[f"assertion.{name}.mismatch"].received == f'"{name}" "{CLIENT_ID}": {difference}'


@pytest.mark.parametrize("aud", [ISSUER, "https://login.jackhenry.com"])
def test_a_url_above_the_endpoint_may_be_the_issuer(aud: str) -> None:
    finding = judged(known={"audiences": (ENDPOINT,)}, aud=aud)["assertion.aud.mismatch"]
    assert (finding.verdict, finding.received) == (Verdict.UNKNOWN, f'"aud" "{aud}"')
    assert finding.reason == "it may be the issuer, which some servers take; discovery names it"


@pytest.mark.parametrize("aud", [ISSUER, [ISSUER], [ISSUER, "https://other.example"]])
def test_whether_the_issuer_may_be_aud_cannot_be_told(aud: object) -> None:
    finding = judged(aud=aud)["assertion.aud.mismatch"]
    assert (finding.verdict, finding.expected, finding.fix) == (Verdict.UNKNOWN, "", "")
    assert finding.reason == "it is the issuer: some servers take that, others the token endpoint alone"
    assert judged(aud=[ISSUER, ENDPOINT])["assertion.aud.mismatch"].verdict is Verdict.PASS


@pytest.mark.parametrize("aud", [f"{ISSUER}/", ISSUER[:-1], "https:/", "https:", "", ENDPOINT[:-1]])
def test_a_url_that_is_not_above_the_endpoint_is_not_the_issuer(aud: str) -> None:
    findings = judged(known={"audiences": (ENDPOINT,)}, aud=aud)
    assert faults(findings.values()) == [f"assertion.aud.{'mismatch' if aud else 'missing'}"]


BEFORE = {
    "no sub": ["assertion.sub.malformed", "assertion.sub.mismatch"],
    "number for sub": ["assertion.sub.mismatch"],
    "alg none": [
        *("assertion.alg.key_mismatch", "assertion.kid.unknown", "assertion.kid.other_key"),
        "assertion.signature.invalid",
    ],
    "EC alg, RSA key": ["assertion.kid.unknown", "assertion.kid.other_key", "assertion.signature.invalid"],
    "no exp": [
        *("assertion.exp.malformed", "assertion.exp.milliseconds", "assertion.exp.past", "assertion.exp.too_far"),
        "assertion.jti.replayed",
    ],
    "no jti": ["assertion.jti.malformed", "assertion.jti.replayed"],
    "no iss": ["assertion.iss.mismatch"],
    "no aud": ["assertion.aud.mismatch", "assertion.aud.array", "assertion.aud.malformed"],
    "crit": ["assertion.signature.invalid"],
    "kid and PEM": ["assertion.kid.unknown", "assertion.kid.other_key", "assertion.signature.invalid"],
    "unknown kid": ["assertion.kid.other_key", "assertion.signature.invalid"],
    "kid of another key": ["assertion.signature.invalid"],
    "string for nbf": ["assertion.nbf.future"],
    "true for iat": ["assertion.iat.future"],
    "string for exp": [
        *("assertion.exp.milliseconds", "assertion.exp.past", "assertion.exp.too_far", "assertion.jti.replayed")
    ],
    "milliseconds": ["assertion.exp.past", "assertion.exp.too_far"],
    "number for jti": ["assertion.jti.replayed"],
    "number for kid": [],
    "another sub": [],
    "slash at the end": ["assertion.aud.malformed"],
    "past": [],
}


@pytest.mark.parametrize(("name", "hidden"), BEFORE.items(), ids=BEFORE)
def test_rule_that_cannot_be_judged_names_the_rule_before_it(name: str, hidden: list[str]) -> None:
    fault = FAULTS[name]
    findings = judged(of(fault), fault.known)
    unknown = {rule: finding.reason for rule, finding in findings.items() if finding.verdict is Verdict.UNKNOWN}
    assert list(unknown) == hidden
    # It is the fault itself that is named, not what it hides already.
    assert set(unknown.values()) <= {f"{fault.rule} comes before it"}


@pytest.mark.parametrize("name", ["private key", "JWE", "access token"])
def test_without_an_assertion_no_other_rule_is_judged(name: str) -> None:
    findings = judged(of(FAULTS[name]))
    others = {finding.reason for rule, finding in findings.items() if rule not in FORM_ORDER[:3]}
    assert others == {NO_ASSERTION}


# ── What a token is known by ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("claims", "is_token"),
    [
        ({"scope": "openid"}, False),  # a claim too many
        ({"client_id": "a", "azp": "b"}, False),
        ({"scope": "openid", "iss": ISSUER}, True),
        ({"scope": "openid", "sub": ABSENT}, True),
        ({"scope": "openid", "sub": ABSENT, "iss": ABSENT}, True),
        ({"iss": ISSUER}, False),  # nothing tells it from a mistaken iss
        ({"token_use": "access", "sub": "x"}, False),  # no issuer is named so
        ({"token_use": "access", "iss": "http://localhost:8080"}, True),
        ({"sub": "x", "iss": ISSUER}, False),
        ({"nonce": "a", "iss": ISSUER}, True),
    ],
)
def test_token_is_told_from_an_assertion_with_a_claim_too_many(claims: Mapping[str, Any], *, is_token: bool) -> None:
    assert ("assertion.token" in faults(judged(assertion({}, claims)).values())) == is_token


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "logout+jwt", "ID+JWT"])
def test_token_is_recognised_by_its_typ(typ: str) -> None:
    finding = judged(assertion({"typ": typ}, {"iss": ISSUER}))["assertion.token"]
    assert (finding.verdict, finding.received) == (Verdict.FAIL, f"a token that a server issued (typ {typ.lower()})")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "client-authentication+jwt", None, 7, ["at+jwt"], {}], ids=str)
def test_any_other_typ_is_no_sign_of_a_token(typ: Any) -> None:
    assert judged(assertion({"typ": typ}, {"iss": ISSUER}))["assertion.token"].verdict is Verdict.PASS


# ── The client ID by itself ─────────────────────────────────────────────────────────────────────────────────────

AS_SHOWN = "the client ID as Users & Groups shows it"


@pytest.mark.parametrize(
    ("client_id", "received"),
    [
        ("", "'': it is empty"),
        ("   ", "'   ': it is empty"),
        ('""', "'\"\"': it is empty"),
        (f" {CLIENT_ID}", f"' {CLIENT_ID}': white space around it"),
        (f"{CLIENT_ID}\n", f"'{CLIENT_ID}\\n': white space around it"),
        (f"{CLIENT_ID}\r\n", f"'{CLIENT_ID}\\r\\n': white space around it"),
        (f"\u00a0{CLIENT_ID}", f"'\\xa0{CLIENT_ID}': white space around it"),
        (f'"{CLIENT_ID}"', f"'\"{CLIENT_ID}\"': quotation marks around it"),
        (f"'{CLIENT_ID}'", f"\"'{CLIENT_ID}'\": quotation marks around it"),
        (f"`{CLIENT_ID}`", f"'`{CLIENT_ID}`': quotation marks around it"),
        (f"“{CLIENT_ID}”", f"'\\u201c{CLIENT_ID}\\u201d': quotation marks around it"),
        (f"‘{CLIENT_ID}’", f"'\\u2018{CLIENT_ID}\\u2019': quotation marks around it"),
        (f'"{CLIENT_ID}', f"'\"{CLIENT_ID}': quotation marks around it"),
        (
            CLIENT_ID.replace("-", "–"),
            f"'{CLIENT_ID.replace('-', chr(92) + 'u2013')}': characters outside ASCII in it",
        ),
        (
            CLIENT_ID.replace("a", "а"),
            f"'{CLIENT_ID.replace('a', chr(92) + 'u0430')}': characters outside ASCII in it",
        ),
        (f"{CLIENT_ID[:8]}\u200b{CLIENT_ID[8:]}", None),
        (f"{CLIENT_ID[:8]}\n{CLIENT_ID[8:]}", None),
    ],
    ids=ascii,
)
def test_client_id_with_characters_copied_along(client_id: str, received: str | None) -> None:
    malformed, _, _ = judge_client_id(client_id)
    expected = Finding(
        "client_id.malformed",
        Verdict.FAIL,
        "client ID",
        received or malformed.received,
        AS_SHOWN,
        EXPLANATIONS["client_id.malformed"].fix,
    )
    assert malformed == expected
    assert malformed.received.isascii()


@pytest.mark.parametrize(
    "client_id",
    [
        *("<client id>", "{{clientId}}", "${CLIENT_ID}", "$CLIENT_ID", "%CLIENT_ID%", "{client_id}", "[client-id]"),
        *(
            "YOUR_CLIENT_ID",
            "your-client-id",
            "your client id",
            "Your client ID here",
            "my-client-id",
            "the client id",
        ),
        *("CLIENT_ID", "client-id", "clientId", "clientid", "example", "example-client-id", "test_client_id"),
        *("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "XXXXXXXX", "xxx", "00000000-0000-0000-0000-000000000000"),
        *("changeme", "change-me", "TODO", "placeholder", "undefined", "null", "None", "nil"),
        '"<client id>"',
    ],
)
def test_client_id_that_was_never_filled_in(client_id: str) -> None:
    _, placeholder, _ = judge_client_id(client_id)
    assert (placeholder.rule, placeholder.verdict) == ("client_id.placeholder", Verdict.FAIL)
    assert placeholder.expected == AS_SHOWN
    assert placeholder.received.endswith(", which looks like a placeholder")
    assert placeholder.fix == EXPLANATIONS["client_id.placeholder"].fix


@pytest.mark.parametrize(
    "client_id",
    [
        *(CLIENT_ID, "00000000-0000-0000-0000-000000000001", "sandbox-client", "my-app", "0oa1example", "client"),
        *("client_identity", "example.org", "my-client-id-2", "nilsson", "todolist", "nonesuch", "xx", "youths"),
        *("https://client.example/", "s6BhdRkqt3", "a b", "ACME-Client"),
    ],
)
def test_real_client_id_passes(client_id: str) -> None:
    findings = judge_client_id(client_id)
    assert [(finding.rule, finding.verdict) for finding in findings] == [
        ("client_id.malformed", Verdict.PASS),
        ("client_id.placeholder", Verdict.PASS),
        ("client_id.case", Verdict.PASS),
    ]
    assert findings[0].received == f'"{client_id}"'


@pytest.mark.parametrize("client_id", [CLIENT_ID.upper(), CLIENT_ID.capitalize().replace("aa", "AA")])
def test_capital_letters_in_a_uuid_are_a_warning(client_id: str) -> None:
    malformed, placeholder, case = judge_client_id(client_id)
    assert (malformed.verdict, placeholder.verdict) == (Verdict.PASS, Verdict.PASS)
    assert case == Finding(
        "client_id.case",
        Verdict.WARN,
        "client ID",
        f'"{client_id}", with capital letters',
        f'probably "{CLIENT_ID}": case matters',
        EXPLANATIONS["client_id.case"].fix,
    )


def test_every_rule_of_the_client_id_is_judged() -> None:
    judged = [finding.rule for finding in judge_client_id(CLIENT_ID)]
    assert judged == [rule for rule in Rule if rule.startswith("client_id.")]


def test_client_id_of_any_length_is_said_briefly() -> None:
    for client_id in ("x" * 100_000, "“" + "x" * 100_000, "x" * 100_000 + " "):
        assert max(len(finding.received) for finding in judge_client_id(client_id)) < 300


# ── The clock ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("skew", "verdict", "received"),
    [
        (0, Verdict.PASS, "0 s from the server's"),
        (-9, Verdict.PASS, "9 s from the server's"),
        (9.4, Verdict.PASS, "9 s from the server's"),
        (10, Verdict.WARN, "10 s ahead of the server's"),
        (-10, Verdict.WARN, "10 s behind the server's"),
        (15.4, Verdict.WARN, "15 s ahead of the server's"),
        (16, Verdict.FAIL, "16 s ahead of the server's"),
        (-7200, Verdict.FAIL, "2 h behind the server's"),
    ],
)
def test_clock_is_a_warning_from_10_s_and_a_fault_past_15(skew: float, verdict: Verdict, received: str) -> None:
    finding = judge_clock(skew)
    assert (finding.rule, finding.verdict, finding.received) == ("clock.skew", verdict, received)
    is_fault = verdict is not Verdict.PASS
    assert ("15 s" in finding.expected) == is_fault
    assert finding.fix == (EXPLANATIONS["clock.skew"].fix if is_fault else "")


def test_clock_cannot_be_told_without_a_date() -> None:
    finding = judge_clock(None)
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, "the server's answer has no Date")


# ── Finding the assertion in what was pasted ────────────────────────────────────────────────────────────────────

COMPACT = jwt(CLAIMS, HEADER, SIGNATURE)
TYPE = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"


@pytest.mark.parametrize(
    "text",
    [
        COMPACT,
        f"  {COMPACT}\n",
        f"\ufeff{COMPACT}\r\n",
        f'"{COMPACT}"',
        f"'{COMPACT}'",
        "\n".join(COMPACT[i : i + 64] for i in range(0, len(COMPACT), 64)),
        "\r\n  ".join(COMPACT[i : i + 20] for i in range(0, len(COMPACT), 20)),
        f"client_assertion={COMPACT}",
        f"grant_type=client_credentials&{TYPE}&client_assertion={COMPACT}&scope=openid",
        f"grant_type=client_credentials&client_assertion={COMPACT.replace('.', '%2E')}&{TYPE}",
        f"grant_type=client_credentials&\n {TYPE}&\n client_assertion={COMPACT}",
        f"POST /token HTTP/1.1\r\nHost: x\r\n\r\nclient_assertion={COMPACT}&scope=openid",
        f"curl -d client_assertion='{COMPACT}' https://x/token",
        json.dumps({"client_assertion": COMPACT, "grant_type": "client_credentials"}),
        f"curl -d grant_type=client_credentials -d client_assertion={COMPACT} -d scope=openid https://x/token",
        f"curl -d '{TYPE}&client_assertion={COMPACT}' https://x/token",
        f'curl --data-urlencode "client_assertion={COMPACT}" https://x/token',
        f"Bearer {COMPACT}",
    ],
    ids=lambda text: text.replace(COMPACT, "JWT")[:60],
)
def test_assertion_is_found_in_what_was_pasted(text: str) -> None:
    found = ClientAssertion.find(text)
    assert (found.compact, found.header, found.claims, found.fault) == (COMPACT, HEADER, CLAIMS, None)


def test_a_form_is_read_to_the_character() -> None:
    assert ClientAssertion.read(COMPACT).fault is None
    for text in (f" {COMPACT}", f"{COMPACT}\n", f'"{COMPACT}"', f"Bearer {COMPACT}", f"{COMPACT}="):
        read = ClientAssertion.read(text)
        assert read.fault is not None
        assert (read.header, read.claims) == ({}, {})


def test_assertion_is_not_in_its_repr() -> None:
    found = ClientAssertion.find(COMPACT)
    assert COMPACT not in repr(found)
    assert SIGNATURE not in repr(found)


FORM = {
    "grant_type": "client_credentials",
    "scope": "openid",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": COMPACT,
}


def pasted(text: str) -> dict[str, Finding]:
    """What is said of what was pasted, by rule, in order."""
    findings = list(judge_pasted(text, Known(**KNOWN)))
    by_rule = {str(finding.rule): finding for finding in findings}
    assert len(by_rule) == len(findings)
    return by_rule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'"{COMPACT}"', "quotation marks around it"),
        (f"'{COMPACT}'\n", "a line end after it and quotation marks around it"),
        (f"Bearer {COMPACT}", "Bearer before it"),
        (f"Authorization: Bearer {COMPACT}", "Authorization: Bearer before it"),
        (f"{COMPACT}\n\n", "white space around it"),
        (f"  {COMPACT}", "white space around it"),
        (f"\ufeff{COMPACT}", "a byte-order mark before it"),
        ("\r\n".join(COMPACT[i : i + 76] for i in range(0, len(COMPACT), 76)), "line ends inside it"),
        (" ".join(COMPACT[i : i + 76] for i in range(0, len(COMPACT), 76)), "blanks inside it"),
    ],
    ids=lambda text: text.replace(COMPACT, "JWT")[:40],
)
def test_characters_around_an_assertion_are_a_warning(text: str, words: str) -> None:
    findings = pasted(text)
    assert faults(findings.values()) == ["assertion.malformed"]
    finding = findings["assertion.malformed"]
    assert (finding.verdict, finding.expected) == (Verdict.WARN, "the JWS alone")
    assert finding.received == f"a JWS with a header and a payload in JSON, with {words}"
    assert finding.fix.startswith("send the JWT alone and on one line")
    assert findings["assertion.signature.invalid"].verdict is Verdict.PASS


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_line_end_at_the_end_is_a_note_and_no_warning(end: str) -> None:
    findings = pasted(COMPACT + end)
    assert faults(findings.values()) == []
    assert findings["assertion.malformed"].received == (
        "a JWS with a header and a payload in JSON, and a line end after it, which is not to be sent"
    )


def test_json_body_is_read_and_is_a_warning() -> None:
    finding = pasted(json.dumps(FORM))["assertion.malformed"]
    assert finding.received.endswith(", with JSON around it, and the server takes a form alone")
    assert finding.fix == "send client_assertion and the other parameters form-encoded in the body, not as JSON"


@pytest.mark.parametrize(
    ("value", "received"),
    [
        (f"{COMPACT}\n", "a line end after it"),
        (f"\n{COMPACT}", "a line end before it"),
        (f'"{COMPACT}"', "a quotation mark before it"),
        (f"Bearer {COMPACT}", '"Bearer" before it'),
        (f"{COMPACT[:100]}\n{COMPACT[100:]}", "a line end in its payload"),
    ],
    ids=lambda text: ascii(text.replace(COMPACT, "JWT"))[:40],
)
def test_characters_around_the_assertion_in_a_form_are_a_fault(value: str, received: str) -> None:
    finding = pasted(urlencode({**FORM, "client_assertion": value}))["assertion.malformed"]
    assert (finding.verdict, finding.received) == (Verdict.FAIL, received)
    # To the server it is the same.
    assert judged(ClientAssertion.read(value))["assertion.malformed"] == finding


def encoded(header: str | bytes, payload: str | bytes) -> str:
    parts = (part.encode() if isinstance(part, str) else part for part in (header, payload))
    return ".".join([*map(base64url, parts), SIGNATURE])


ALG = '{"alg": "PS256"}'
HOW_IT_IS_BROKEN = {
    "padding": (f"{COMPACT}==", "'=' (padding) in its signature", "no = at the end"),
    "padded header": (COMPACT.replace(".", "=.", 1), "'=' (padding) in its header", "no = at the end"),
    "standard base64": (
        f"{COMPACT[:60]}+/{COMPACT[60:]}",
        "'+' or '/' (standard base64) in its payload",
        "base64url",
    ),
    "line end inside": (f"{COMPACT[:60]}\n{COMPACT[60:]}", "a line end in its payload", "one line"),
    "blank inside": (f"{COMPACT[:60]} {COMPACT[60:]}", "a blank in its payload", "one line"),
    "byte-order mark": (f"\ufeff{COMPACT}", "a byte-order mark before it", "without a byte-order mark"),
    "quoted": (f'"{COMPACT}"', "a quotation mark before it", "without the quotation marks"),
    "half quoted": (f"{COMPACT}'", "a quotation mark after it", "without the quotation marks"),
    "percent-encoded": (COMPACT.replace(".", "%2E"), "'%' (percent-encoding) in it", "percent-encode it once"),
    "another character": (f"{COMPACT[:60]}é{COMPACT[60:]}", "the character '\\xe9' in its payload", "compact form"),
    "Python bytes": (f"b'{COMPACT}'", "Python's b'…' around it: bytes that were made text by str()", ".decode()"),
    "1 part": (COMPACT.split(".")[0], "1 part between dots, and a signed JWT has 3", "cut off"),
    "2 parts": (COMPACT.rpartition(".")[0], "2 parts between dots, and a signed JWT has 3", "append a dot"),
    "4 parts": (f"{COMPACT}.x", "4 parts between dots, and a signed JWT has 3", "two dots"),
    "cut off": (
        COMPACT[:-2],
        "a signature that is broken: its length is impossible: it was cut off, or a character is missing",
        "cut it off",
    ),
    "signature in hex": (
        f"{COMPACT.rpartition('.')[0]}.{'30' * 70}ff",
        "a signature as hex text in place of base64url",
        "into base64url",
    ),
    "single quotes": (
        encoded(ALG, "{'sub': 'x'}"),
        "a payload with single quotes, which is no JSON",
        "a JSON library",
    ),
    "byte-order mark in JSON": (
        encoded(b"\xef\xbb\xbf" + ALG.encode(), "{}"),
        "a byte-order mark in the header, before its JSON",
        "without a byte-order mark",
    ),
    "twice": (encoded(ALG, base64url(b'{"sub": "x"}')), "a payload that is encoded twice", "once"),
    "repeated": (
        encoded('{"alg": "PS256", "alg": "none"}', "{}"),
        "a header that is ambiguous: it has the member 'alg' more than once",
        "write each member once",
    ),
}


@pytest.mark.parametrize(("text", "received", "fix"), HOW_IT_IS_BROKEN.values(), ids=HOW_IT_IS_BROKEN)
def test_assertion_that_cannot_be_read_names_the_fault_in_it(text: str, received: str, fix: str) -> None:
    finding = judged(ClientAssertion.read(text))["assertion.malformed"]
    assert (finding.verdict, finding.received) == (Verdict.FAIL, received)
    assert fix in finding.fix
    assert len(finding.fix) <= 140


def test_json_without_a_client_assertion_names_its_members() -> None:
    finding = pasted('{"assertion": "x", "scope": "openid"}')["assertion.malformed"]
    assert finding.received == "JSON without a client_assertion (its members: assertion, scope)"


# ── A form that was pasted ──────────────────────────────────────────────────────────────────────────────────────

REQUEST_RULES = {
    "request.parameter.repeated",
    "request.client_assertion.missing",
    "request.client_authentication.several",
    "request.client_assertion_type.missing",
    "request.client_assertion_type.unsupported",
    "request.client_id.mismatch",
    "request.grant_type.missing",
    "request.grant_type.unsupported",
}
JWT_BEARER = FORM["client_assertion_type"]
FORM_FAULTS: dict[str, tuple[Mapping[str, Any], str, str, str]] = {
    "no type": (
        {"client_assertion_type": ABSENT},
        "request.client_assertion_type.missing",
        "no client_assertion_type",
        JWT_BEARER,
    ),
    "type misspelt": (
        {"client_assertion_type": ABSENT, "client-assertion-type": JWT_BEARER},
        "request.client_assertion_type.missing",
        'no client_assertion_type, but ["client-assertion-type"]',
        JWT_BEARER,
    ),
    "another type": (
        {"client_assertion_type": JWT_BEARER[:-1]},
        "request.client_assertion_type.unsupported",
        f'client_assertion_type "{JWT_BEARER[:-1]}"',
        JWT_BEARER,
    ),
    "no grant type": (
        {"grant_type": ABSENT},
        "request.grant_type.missing",
        "no grant_type",
        "grant_type=client_credentials",
    ),
    "another grant type": (
        {"grant_type": "refresh_token"},
        "request.grant_type.unsupported",
        'grant_type "refresh_token"',
        "client_credentials",
    ),
    "another client ID": (
        {"client_id": ANOTHER},
        "request.client_id.mismatch",
        f'client_id "{ANOTHER}" and an assertion with "sub" "{CLIENT_ID}"',
        "the same in both (RFC 7521 section 4.2)",
    ),
    "client secret": (
        {"client_secret": "hush"},
        "request.client_authentication.several",
        "a client_assertion together with a client_secret or an Authorization header",
        "one of them (RFC 6749 section 2.3)",
    ),
    "assertion misspelt": (
        {"client_assertion": ABSENT, "client-assertion": COMPACT},
        "request.client_assertion.missing",
        'the parameters ["grant_type", "scope", "client_assertion_type", "client-assertion"]',
        "client_assertion and client_assertion_type, form-encoded in the body",
    ),
}


@pytest.mark.parametrize(("changes", "rule", "received", "expected"), FORM_FAULTS.values(), ids=FORM_FAULTS)
def test_other_parameters_of_a_form_are_judged_too(
    changes: Mapping[str, Any], rule: str, received: str, expected: str
) -> None:
    findings = pasted(urlencode(changed(FORM, changes)))
    assert faults(findings.values()) == [rule]
    assert findings[rule] == Finding(rule, Verdict.FAIL, "request", received, expected, EXPLANATIONS[rule].fix)
    assert "hush" not in repr(findings)


def test_sound_form_passes_every_rule_in_the_server_s_order() -> None:
    findings = pasted(urlencode({**FORM, "client_id": CLIENT_ID}))
    assert {finding.verdict for finding in findings.values()} == {Verdict.PASS}
    assert [rule for rule in findings if not rule.startswith("request.")] == ORDER
    assert set(findings) - set(ORDER) == REQUEST_RULES
    order = list(findings)
    assert order[:3] == [
        *("request.parameter.repeated", "request.client_assertion.missing", "request.client_authentication.several")
    ]
    assert order.index("assertion.sub.malformed") < order.index("request.client_assertion_type.missing")
    assert order.index("request.client_id.mismatch") < order.index("assertion.sub.mismatch")
    assert order[-2:] == ["request.grant_type.missing", "request.grant_type.unsupported"]


def test_parameter_that_is_there_twice_is_named() -> None:
    finding = pasted(f"{urlencode(FORM)}&scope=full&resource=a&resource=b")["request.parameter.repeated"]
    assert (finding.verdict, finding.received) == (Verdict.FAIL, "scope more than once")


def test_authorization_header_beside_the_form_is_a_second_authentication() -> None:
    head = "POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YTpi\r\n\r\n"
    findings = pasted(head + urlencode(FORM))
    assert faults(findings.values()) == ["request.client_authentication.several"]
    assert "YTpi" not in repr(findings)
    assert faults(pasted(head.replace("Authorization", "X-Other") + urlencode(FORM)).values()) == []


def test_form_without_an_assertion_says_so() -> None:
    findings = pasted("grant_type=client_credentials&scope=openid")
    assert faults(findings.values())[:2] == ["request.client_assertion.missing", "assertion.malformed"]
    said = "a form without a client_assertion (its parameters: grant_type, scope)"
    assert findings["assertion.malformed"].received == said


@pytest.mark.parametrize(
    "text",
    [
        COMPACT,
        f"client_assertion={COMPACT}",
        f"curl -d '{TYPE}&client_assertion={COMPACT}' -d grant_type=client_credentials https://x/token",
    ],
    ids=["JWT", "one parameter", "curl"],
)
def test_a_form_that_may_go_on_elsewhere_is_not_judged_as_a_whole(text: str) -> None:
    assert REQUEST_RULES.isdisjoint(pasted(text))


# ── Secrets that stand where they do not belong ─────────────────────────────────────────────────────────────────


def test_private_key_is_known_in_every_form(rsa_key: keys.PrivateKey) -> None:
    pem = rsa_key.pem().decode()
    jwk = json.dumps({**rsa_key.public.jwk(), "d": "AQAB" * 20})
    encrypted = rsa_key.pem(b"passphrase").decode()
    texts = {
        *(pem, encrypted, jwk, pem.replace("\n", "\\n"), f"  {pem}", '{"kty": "oct", "k": "c2VjcmV0"}'),
        rsa_key.public.pem().decode() + pem,
        f'{{"keys": [{json.dumps(rsa_key.public.jwk())}, {jwk}]}}',
        b64encode(pem.encode()).decode(),
        f'"{b64encode(jwk.encode()).decode()}"\n',
        "".join(pem.splitlines()[1:-1]),
        "PuTTY-User-Key-File-3: ssh-rsa\r\nEncryption: none\r\n" + "A" * 60,
        rsa_key.native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode(
            "utf-8", "surrogateescape"
        ),
    }
    for text in texts:
        for subject in (ClientAssertion.find(text), ClientAssertion.read(text)):
            findings = judged(subject)
            first = next(finding for finding in findings.values() if finding.verdict is Verdict.FAIL)
            assert first.rule == "assertion.private_key"
            assert "leaked" in first.fix
            said = json.dumps([list(finding) for finding in findings.values()])
            assert not echoes(said, text)
            assert text not in repr(subject)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hu/sh@host.example/token",
        "https://user:hush@word@host.example/token",
        "see https://user:hush@host.example/a",
        "http://:hush@host.example",
    ],
)
@pytest.mark.parametrize("claim", ["aud", "iss", "sub", "jti", "scope"])
def test_password_in_a_url_is_not_echoed(claim: str, url: str) -> None:
    for value in (url, [url, url]):
        said = sound(assertion({"kid": url}, {claim: value, url: 1}), Known(**KNOWN))
        assert "hu/sh" not in said
        assert "hush" not in said
        assert "(left out)@host.example" in said


@pytest.mark.parametrize(
    "dress",
    [
        str,
        lambda jws: f" {jws}\n",
        lambda jws: f'"{jws}"',
        lambda jws: f"Bearer {jws}",
        lambda jws: "\n".join(jws[i : i + 64] for i in range(0, len(jws), 64)),
        lambda jws: f"https://user:hush@x/{jws}",
    ],
    ids=["alone", "white space", "quoted", "Bearer", "wrapped", "URL"],
)
def test_jwt_for_a_client_id_is_not_echoed(dress: Callable[[str], str]) -> None:
    for compact in (COMPACT, encoded('{ "alg": "PS256" }', json.dumps(CLAIMS, indent=2))):
        said = json.dumps([list(finding) for finding in judge_client_id(dress(compact))])
        assert not echoes(said, compact)
        assert "hush" not in said


# ── Whatever it is given ────────────────────────────────────────────────────────────────────────────────────────


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**4200), max_value=10**4200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        [NOW, NOW + 60, ENDPOINT, ISSUER, CLIENT_ID, "k1", "PS256", "ES256", "at+jwt", "http://[", "//"]
    )
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
NAMES = st.sampled_from([*CLAIMS, "nbf", "iat", "scope", "authType"]) | st.text()
HEADERS = st.sampled_from(["alg", "kid", "crit", "typ"]) | st.text()
KNOWNS = st.fixed_dictionaries(
    {"now": st.integers(0, 2**40)},
    optional={
        "client_id": st.sampled_from([CLIENT_ID, "", '"']) | st.text(),
        "audiences": st.sampled_from([(ENDPOINT,), (ENDPOINT, ISSUER), (), ("http://[",)]),
        "keys": st.sampled_from([(), (key(),), (key(made_it=False),), JWKS]),
        "use_jti": st.sampled_from([lambda _: True, lambda _: False]),
    },
)


def sound(subject: ClientAssertion, known: Known) -> str:
    """Judge, and make sure that there is a finding for each rule, in order, that can be shown."""
    findings = list(judge(subject, known))
    assert [finding.rule for finding in findings] == ORDER
    for finding in findings:
        assert finding.looks_at
        assert bool(finding.fix) == bool(finding.expected) == (finding.verdict in (Verdict.FAIL, Verdict.WARN))
        assert bool(finding.reason) == (finding.verdict is Verdict.UNKNOWN)
        assert all(text.isprintable() for text in finding[3:])
    return json.dumps([list(finding) for finding in findings])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(HEADERS, JSON), st.dictionaries(NAMES, JSON), st.binary(min_size=30), KNOWNS, st.booleans())
def test_any_json_has_a_finding_for_each_rule_and_is_not_echoed(
    header: dict[str, Any], claims: dict[str, Any], signature: bytes, known: dict[str, Any], complete: bool
) -> None:
    if complete:
        header, claims = {**HEADER, **header}, {**CLAIMS, **claims}
    compact = jwt(claims, header, base64url(signature))
    assert not echoes(sound(ClientAssertion.read(compact), Known(**known)), compact)


@settings(deadline=None)
@given(st.text() | st.text(alphabet='eyJ.{}"=&%- \n\\') | st.binary().map(lambda data: data.decode("latin-1")))
@example("a." * 4)
@example("." * 2)
@example("client_assertion=")
@example("client_assertion=%FF%00")
@example('{"access_token": {}}')
@example("{" * 100_000)
@example("[" * 100_000)
@example(jwt('{"a":' * 99 + "1" + "}" * 99))
@example(jwt("[" * 100_000))
@example("x" * 3_000_000)
@example("eyA" * 300_000)
@example(jwt({"aud": "://" * 200_000 + "eyA" * 100_000 + "eyJ " * 50_000}))
@example("\ud800")
@example("\x1b[31m.\u202e.\x07")
def test_any_text_has_a_finding_for_each_rule(text: str) -> None:
    for subject in (ClientAssertion.find(text), ClientAssertion.read(text)):
        sound(subject, Known(NOW))


@pytest.mark.parametrize("change", [lambda jws: jws[:-1], lambda jws: jws.replace(".", ""), lambda jws: jws + ".x.y"])
def test_broken_jws_is_not_echoed(change: Callable[[str], str]) -> None:
    said = sound(ClientAssertion.find(change(COMPACT)), Known(**KNOWN))
    assert not echoes(said, COMPACT)


@pytest.mark.parametrize("claim", ["jti", "aud", "sub", "iss", "exp", "nbf", "iat", "scope"])
def test_jwt_in_a_claim_is_not_echoed(claim: str) -> None:
    """People swap shell variables."""
    for value in (COMPACT, [COMPACT], f"x {COMPACT}", COMPACT.rpartition(".")[0]):
        assert not echoes(sound(assertion({}, {claim: value}), Known(**KNOWN)), COMPACT)
    assert not echoes(sound(assertion({}, {COMPACT: 1}), Known(**KNOWN)), COMPACT)


@pytest.mark.parametrize("member", ["alg", "kid", "crit", "typ"])
def test_jwt_in_the_header_is_not_echoed(member: str) -> None:
    for value in (COMPACT, [COMPACT]):
        assert not echoes(sound(assertion({member: value}), Known(**KNOWN)), COMPACT)


@settings(deadline=None)
@given(st.text())
@example("eyJ" + "A" * 300)
def test_any_client_id_has_its_findings(client_id: str) -> None:
    findings = judge_client_id(client_id)
    assert len(findings) == 3
    assert all(text.isprintable() for finding in findings for text in finding[3:])
