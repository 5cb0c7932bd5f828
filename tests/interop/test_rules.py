"""Our rules against oidc-provider: the fault that we name first is the reason that it tells its operator.

Each assertion here is signed without our package, judged by what an integrator knows, and then really presented.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from banno_creds.rules.assertion import judge
from banno_creds.rules.client_id import judge_client_id
from banno_creds.rules.findings import Rule, Verdict
from banno_creds.rules.known import Known
from banno_creds.rules.presented import ClientAssertion
from banno_creds.rules.registration import read_registration
from tests.interop.refusals import ALG, AUD, NO_CLIENT, NO_KEY, SIGNATURE

from .conftest import FORMS, REGISTRATION_NAMES, base64url, new_private_key, public_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from banno_creds.rules.findings import Finding

    from .conftest import Event, PrivateKey, Provider, Registration

    class Case(Protocol):
        """What has a name."""

        @property
        def name(self) -> str: ...


ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    # trust_env: a proxy of the machine has no business on loopback.
    with httpx.Client(trust_env=False) as client:
        yield client


# --- an assertion in the making ---


@cache
def _read_key(path: Path) -> PrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return key


def _signature(alg: object, key: PrivateKey, signing_input: bytes) -> bytes:
    """RFC 7518 §3, by the alg where it fits the key; a header that lies about it is one of the faults."""
    if alg == "none":
        return b""
    if alg == "HS256":  # the public key, which everybody has, for a secret
        return hmac.digest(public_pem(key), signing_input, hashlib.sha256)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)
    if alg == "RS256":
        return key.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(signing_input, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


@dataclass
class Draft:
    """A correct assertion that a fault may change, before it is signed or after."""

    provider: Provider
    registration: Registration
    now: int = field(default_factory=lambda: int(time.time()))
    header: dict[str, Any] = field(init=False)
    claims: dict[str, Any] = field(init=False)
    key: PrivateKey = field(init=False)
    write_claims: Callable[[dict[str, Any]], str] = json.dumps
    after: Callable[[str], str] = str
    sent_before: bool = False

    def __post_init__(self) -> None:
        self.header = {"alg": self.registration.alg}
        if self.registration.kid is not None:
            self.header["kid"] = self.registration.kid
        self.claims = {
            "jti": str(uuid.uuid4()),
            "aud": self.provider.token_endpoint,
            "sub": self.registration.client_id,
            "iss": self.registration.client_id,
            "exp": self.now + 60,
        }
        self.key = _read_key(self.registration.private_key_path)

    def compact(self) -> str:
        parts = [json.dumps(self.header), self.write_claims(self.claims)]
        signing_input = ".".join(base64url(part.encode()) for part in parts)
        signature = _signature(self.header.get("alg"), self.key, signing_input.encode())
        return self.after(f"{signing_input}.{base64url(signature)}")


def _present(provider: Provider, http: httpx.Client, assertion: str) -> Event:
    """Ask for a token with an assertion, and read what the operator is told."""
    form = {
        "grant_type": "client_credentials",
        "scope": "openid",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    response = http.post(provider.token_endpoint, data=form)
    [event] = provider.drain_events()
    assert response.json().get("error") == event.error
    return event


def _judge(
    draft: Draft, assertion: str, *, used: bool = False, keys_for: tuple[str, ...] | None = None
) -> list[Finding]:
    """Judge by what an integrator knows: the client ID, discovery, what the bank has, and what was sent before."""
    registration = read_registration(draft.registration.registered_path.read_bytes(), "the registration")
    keys = registration.keys
    if keys_for is not None:
        keys = tuple(
            type(key)(key.description, tuple(set(key.algorithms).intersection(keys_for)), key.verifies, key.kid)
            for key in keys
        )
    known = Known(
        now=draft.now,
        client_id=draft.registration.client_id,
        audiences=(draft.provider.token_endpoint, draft.provider.issuer),
        keys=keys,
        use_jti=lambda _: not used,
    )
    return list(judge(ClientAssertion.read(assertion), known))


def _first_fault(findings: list[Finding]) -> str | None:
    return next((finding.rule for finding in findings if finding.verdict is Verdict.FAIL), None)


# --- one fault at a time ---

_NO_SUB = "sub (JWT subject) must be provided in the client_assertion JWT"
_NO_EXP = "expiration must be specified in the client_assertion JWT"
_NO_JTI = "unique jti (JWT ID) must be provided in the client_assertion JWT"
_NO_ISS = "iss (JWT issuer) must be provided in the client_assertion JWT"
_ISS = "iss (JWT issuer) must be the client_id"
_NO_AUD = "aud (JWT audience) must be provided in the client_assertion JWT"
_AUD_LIST = "list of audience (aud) must include the endpoint url, issuer identifier or token endpoint url"
_HEADER = "Invalid Token or Protected Header formatting"


class Fault(NamedTuple):
    """What is done to an assertion, the rule that names it, and the words of the provider.

    `touches` keeps two faults apart that cannot be in one assertion.
    """

    name: str
    touches: str
    rule: str
    error_detail: str
    change: Callable[[Draft], object]
    error: str = "invalid_client"


def _without(name: str) -> Callable[[Draft], object]:
    return lambda draft: draft.claims.pop(name)


def _claim(name: str, value: Callable[[Draft], object]) -> Callable[[Draft], object]:
    return lambda draft: draft.claims.update({name: value(draft)})


def _header(**members: object) -> Callable[[Draft], object]:
    return lambda draft: draft.header.update(members)


@cache
def _unregistered(alg: str) -> PrivateKey:
    return new_private_key(alg)


def _another_key(draft: Draft) -> None:
    draft.key = _unregistered(draft.registration.alg)


def _after(change: Callable[[str], str]) -> Callable[[Draft], object]:
    return lambda draft: setattr(draft, "after", change)


def _payload(write: Callable[[str], str]) -> Callable[[Draft], object]:
    return lambda draft: setattr(draft, "write_claims", lambda claims: write(json.dumps(claims)))


def _changed_payload(compact: str) -> str:
    header, payload, signature = compact.split(".")
    claims = json.loads(urlsafe_b64decode(payload + "=="))
    return f"{header}.{base64url(json.dumps({**claims, 'changed': 1}).encode())}.{signature}"


def _header_is_no_json(compact: str) -> str:
    return f"AAAA{compact[compact.index('.') :]}"


FAULTS = (
    Fault("no sub", "sub", Rule.SUB_MISSING, _NO_SUB, _without("sub")),
    Fault("empty sub", "sub", Rule.SUB_MISSING, _NO_SUB, _claim("sub", lambda _: "")),
    Fault("sub null", "sub", Rule.SUB_MISSING, _NO_SUB, _claim("sub", lambda _: None)),
    Fault("sub a number", "sub", Rule.SUB_MALFORMED, NO_CLIENT, _claim("sub", lambda _: 5)),
    Fault("sub unknown", "sub", Rule.SUB_MISMATCH, NO_CLIENT, _claim("sub", lambda _: str(uuid.uuid4()))),
    Fault(
        "sub in capitals",
        "sub",
        Rule.SUB_MISMATCH,
        NO_CLIENT,
        _claim("sub", lambda draft: f"A{draft.registration.client_id}".upper()),
    ),
    Fault(
        "sub with a line end",
        "sub",
        Rule.SUB_MISMATCH,
        NO_CLIENT,
        _claim("sub", lambda draft: f"{draft.registration.client_id}\n"),
    ),
    Fault("alg none", "alg", Rule.ALG_UNSUPPORTED, ALG, _header(alg="none")),
    Fault("alg HS256", "alg", Rule.ALG_UNSUPPORTED, ALG, _header(alg="HS256")),
    Fault("alg in small letters", "alg", Rule.ALG_UNSUPPORTED, ALG, _header(alg="ps256")),
    Fault("alg PS384", "alg", Rule.ALG_UNSUPPORTED, ALG, _header(alg="PS384")),
    Fault("no alg", "alg", Rule.ALG_UNSUPPORTED, ALG, lambda draft: draft.header.pop("alg")),
    Fault("no exp", "exp", Rule.EXP_MISSING, _NO_EXP, _without("exp")),
    Fault("exp null", "exp", Rule.EXP_MISSING, _NO_EXP, _claim("exp", lambda _: None)),
    Fault("no jti", "jti", Rule.JTI_MISSING, _NO_JTI, _without("jti")),
    Fault("empty jti", "jti", Rule.JTI_MISSING, _NO_JTI, _claim("jti", lambda _: "")),
    Fault("no iss", "iss", Rule.ISS_MISSING, _NO_ISS, _without("iss")),
    Fault("empty iss", "iss", Rule.ISS_MISSING, _NO_ISS, _claim("iss", lambda _: "")),
    Fault("iss the application's name", "iss", Rule.ISS_MISMATCH, _ISS, _claim("iss", lambda _: "our-application")),
    Fault("iss a number", "iss", Rule.ISS_MISMATCH, _ISS, _claim("iss", lambda _: 5)),
    # What a token has as well does not make a token of an assertion.
    Fault(
        "another iss and a scope",
        "iss",
        Rule.ISS_MISMATCH,
        _ISS,
        lambda draft: draft.claims.update(iss="our-application", scope="openid", client_id="ours"),
    ),
    Fault(
        "iss with a space",
        "iss",
        Rule.ISS_MISMATCH,
        _ISS,
        _claim("iss", lambda draft: f" {draft.registration.client_id}"),
    ),
    Fault("no aud", "aud", Rule.AUD_MISSING, _NO_AUD, _without("aud")),
    Fault("empty aud", "aud", Rule.AUD_MISSING, _NO_AUD, _claim("aud", lambda _: "")),
    Fault(
        "aud with a slash",
        "aud",
        Rule.AUD_MISMATCH,
        AUD,
        _claim("aud", lambda draft: f"{draft.provider.token_endpoint}/"),
    ),
    Fault(
        "aud the issuer with a slash",
        "aud",
        Rule.AUD_MISMATCH,
        AUD,
        _claim("aud", lambda draft: f"{draft.provider.issuer}/"),
    ),
    Fault(
        "aud another host",
        "aud",
        Rule.AUD_MISMATCH,
        AUD,
        _claim("aud", lambda _: "https://login.jackhenry.com/a/oidc-provider/api/v0/token"),
    ),
    Fault(
        "aud another scheme",
        "aud",
        Rule.AUD_MISMATCH,
        AUD,
        _claim("aud", lambda draft: draft.provider.token_endpoint.replace("http:", "https:")),
    ),
    Fault(
        "aud in capitals",
        "aud",
        Rule.AUD_MISMATCH,
        AUD,
        _claim("aud", lambda draft: draft.provider.token_endpoint.upper()),
    ),
    Fault("aud a number", "aud", Rule.AUD_MISMATCH, AUD, _claim("aud", lambda _: 5)),
    Fault("aud an object", "aud", Rule.AUD_MISMATCH, AUD, _claim("aud", lambda _: {})),
    Fault(
        "aud an array without it",
        "aud",
        Rule.AUD_MISMATCH,
        _AUD_LIST,
        _claim("aud", lambda draft: [draft.provider.token_endpoint + "/", "https://banno.com"]),
    ),
    Fault("critical extension", "crit", Rule.CRIT_UNSUPPORTED, SIGNATURE, _header(crit=["iat"], iat=1)),
    Fault("another key", "signature", Rule.SIGNATURE_INVALID, SIGNATURE, _another_key),
    Fault("changed payload", "signature", Rule.SIGNATURE_INVALID, SIGNATURE, _after(_changed_payload)),
    Fault(
        "no signature",
        "signature",
        Rule.SIGNATURE_INVALID,
        SIGNATURE,
        _after(lambda compact: compact[: compact.rindex(".") + 1]),
    ),
    Fault("nbf a string", "nbf", Rule.NBF_MALFORMED, "invalid nbf value", _claim("nbf", lambda d: str(d.now))),
    Fault("nbf null", "nbf", Rule.NBF_MALFORMED, "invalid nbf value", _claim("nbf", lambda _: None)),
    Fault("nbf ahead", "nbf", Rule.NBF_FUTURE, "jwt not active yet", _claim("nbf", lambda d: d.now + 600)),
    Fault("nbf in milliseconds", "nbf", Rule.NBF_FUTURE, "jwt not active yet", _claim("nbf", lambda d: d.now * 1000)),
    Fault("iat a string", "iat", Rule.IAT_MALFORMED, "invalid iat value", _claim("iat", lambda d: str(d.now))),
    Fault("iat true", "iat", Rule.IAT_MALFORMED, "invalid iat value", _claim("iat", lambda _: True)),
    Fault("exp a string", "exp", Rule.EXP_MALFORMED, "invalid exp value", _claim("exp", lambda d: str(d.now + 60))),
    Fault("exp true", "exp", Rule.EXP_MALFORMED, "invalid exp value", _claim("exp", lambda _: True)),
    # The tolerance's very end: it can only get later.
    Fault("exp 15 s past", "exp", Rule.EXP_PAST, "jwt expired", _claim("exp", lambda d: d.now - 15)),
    Fault("exp an hour past", "exp", Rule.EXP_PAST, "jwt expired", _claim("exp", lambda d: d.now - 3600)),
    Fault("exp a duration", "exp", Rule.EXP_PAST, "jwt expired", _claim("exp", lambda _: 60)),
    Fault("exp thousandths", "exp", Rule.EXP_PAST, "jwt expired", _claim("exp", lambda d: (d.now + 60) // 1000)),
    Fault("exp negative", "exp", Rule.EXP_PAST, "jwt expired", _claim("exp", lambda _: -1)),
    Fault("jti a number", "jti", Rule.JTI_MALFORMED, "invalid jti value", _claim("jti", lambda _: 5)),
    Fault(
        "aud an array of more than strings",
        "aud",
        "assertion.aud.malformed",
        "invalid aud value",
        _claim("aud", lambda d: [d.provider.token_endpoint, 5]),
    ),
    Fault(
        "jti used before",
        "jti",
        Rule.JTI_REPLAYED,
        "client assertion tokens must only be used once",
        lambda draft: setattr(draft, "sent_before", True),
    ),
)

# What JavaScript takes for false is not there to the provider; an empty array is.
FALSY = (
    Fault("sub 0", "sub", Rule.SUB_MISSING, _NO_SUB, _claim("sub", lambda _: 0)),
    Fault("sub false", "sub", Rule.SUB_MISSING, _NO_SUB, _claim("sub", lambda _: False)),
    Fault("exp 0", "exp", Rule.EXP_MISSING, _NO_EXP, _claim("exp", lambda _: 0)),
    Fault("exp false", "exp", Rule.EXP_MISSING, _NO_EXP, _claim("exp", lambda _: False)),
    Fault("exp empty", "exp", Rule.EXP_MISSING, _NO_EXP, _claim("exp", lambda _: "")),
    Fault("jti 0", "jti", Rule.JTI_MISSING, _NO_JTI, _claim("jti", lambda _: 0)),
    Fault("jti an array", "jti", Rule.JTI_MALFORMED, "invalid jti value", _claim("jti", lambda _: [])),
    Fault("iss 0", "iss", Rule.ISS_MISSING, _NO_ISS, _claim("iss", lambda _: 0)),
    Fault("iss an array", "iss", Rule.ISS_MISMATCH, _ISS, _claim("iss", lambda _: [])),
    Fault("aud 0", "aud", Rule.AUD_MISSING, _NO_AUD, _claim("aud", lambda _: 0)),
    Fault("aud an empty array", "aud", Rule.AUD_MISMATCH, _AUD_LIST, _claim("aud", lambda _: [])),
)

# Nothing that can be combined with another fault: no assertion is left of it.
UNREADABLE = (
    Fault(
        "two parts",
        "form",
        Rule.ASSERTION_MALFORMED,
        "Invalid JWT",
        _after(lambda compact: compact[: compact.rindex(".")]),
        "invalid_request",
    ),
    Fault(
        "five parts",
        "form",
        Rule.ASSERTION_MALFORMED,
        "Only JWTs using Compact JWS serialization can be decoded",
        _after(lambda compact: f"{compact}.x.y"),
        "invalid_request",
    ),
    Fault(
        "opaque text",
        "form",
        Rule.ASSERTION_MALFORMED,
        "Invalid JWT",
        _after(lambda _: "not-an-assertion"),
        "invalid_request",
    ),
    Fault(
        "payload no JSON",
        "form",
        Rule.ASSERTION_MALFORMED,
        "Failed to parse the decoded payload as JSON",
        _payload(lambda payload: payload[:-1]),
        "invalid_request",
    ),
    Fault(
        "payload an array",
        "form",
        Rule.ASSERTION_MALFORMED,
        "Invalid JWT Claims Set",
        _payload(lambda _: "[]"),
        "invalid_request",
    ),
    Fault("header no JSON", "form", Rule.ASSERTION_MALFORMED, _HEADER, _after(_header_is_no_json)),
    Fault("in quotation marks", "form", Rule.ASSERTION_MALFORMED, _HEADER, _after(lambda compact: f'"{compact}"')),
    Fault("with its scheme", "form", Rule.ASSERTION_MALFORMED, _HEADER, _after(lambda compact: f"Bearer {compact}")),
    Fault(
        "wrapped lines",
        "form",
        Rule.ASSERTION_MALFORMED,
        SIGNATURE,
        _after(lambda compact: f"{compact[:100]}\n{compact[100:]}"),
    ),
    Fault(
        "one character lost",
        "form",
        Rule.ASSERTION_MALFORMED,
        SIGNATURE,
        _after(lambda compact: compact[:-1]),
    ),
)


def _id(value: object) -> str | None:
    return value.name.replace(" ", "-") if isinstance(value, Fault) else None


def _asked(
    provider: Provider, http: httpx.Client, name: str, *changes: Callable[[Draft], object]
) -> tuple[list[Finding], Event]:
    """What we say of an assertion, and what the provider says."""
    draft = Draft(provider, provider.registrations[name])
    for change in changes:
        change(draft)
    assertion = draft.compact()
    if draft.sent_before:
        # Not the same assertion, but its jti, with whatever else is wrong put right.
        spent = Draft(provider, draft.registration)
        spent.claims["jti"] = draft.claims["jti"]
        assert _present(provider, http, spent.compact()).event == "grant.success"
    return _judge(draft, assertion, used=draft.sent_before), _present(provider, http, assertion)


# One of each kind of key and of each way to register it; where these decide, a fault is tried with all.
_TWO = ("PS256-pem", "ES256-jwks-uri")


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (fault, name)
        for fault in (*FAULTS, *FALSY, *UNREADABLE)
        for name in (REGISTRATION_NAMES if fault.touches in ("alg", "signature") else _TWO)
    ],
    ids=_id,
)
def test_the_fault_that_is_named_first_is_the_providers_reason(
    provider: Provider, http: httpx.Client, fault: Fault, name: str
) -> None:
    findings, event = _asked(provider, http, name, fault.change)
    assert _first_fault(findings) == fault.rule
    assert (event.event, event.error, event.error_detail) == ("grant.error", fault.error, fault.error_detail)


def test_there_are_at_least_twenty_faults_and_every_rule_that_can_refuse() -> None:
    assert len(FAULTS) + len(UNREADABLE) + len(SETUPS) >= 20
    told = {fault.rule for fault in (*FAULTS, *UNREADABLE)} | {setup.rule for setup in SETUPS if setup.rule}
    told |= {Rule.ASSERTION_PRIVATE_KEY, Rule.ASSERTION_TOKEN}  # below, in words of their own
    # What nobody is refused for.
    taken = {rule for accepted in ACCEPTED for rule in accepted.said}
    assert {finding.rule for finding in judge(ClientAssertion.read(""), Known(now=0))} == told | taken


# --- two faults at once: the order ---

# One for each rule and each of the provider's words: what reads alike would only be the same again.
_KINDS = [
    next(kind) for _, kind in groupby(FAULTS, key=lambda fault: (fault.touches, fault.rule, fault.error_detail))
]
_KINDS.append(Fault("a kid nobody registered", "kid", Rule.KID_UNKNOWN, NO_KEY, _header(kid="not-registered")))
_PROVIDERS_WORDS: dict[str, set[str]] = {
    **{fault.rule: {other.error_detail for other in FAULTS if other.rule == fault.rule} for fault in FAULTS},
    Rule.KID_UNEXPECTED: {NO_KEY},
    Rule.KID_UNKNOWN: {NO_KEY},
}


@pytest.mark.parametrize("name", _TWO)
@pytest.mark.parametrize("fault", _KINDS[1:], ids=_id)
def test_of_two_faults_the_one_that_is_named_first_is_the_providers_reason(
    provider: Provider, http: httpx.Client, fault: Fault, name: str
) -> None:
    disagreements = []
    for other in _KINDS[: _KINDS.index(fault)]:
        if other.touches == fault.touches:
            continue
        findings, event = _asked(provider, http, name, fault.change, other.change)
        first = _first_fault(findings)
        assert first is not None
        if event.error_detail not in _PROVIDERS_WORDS[first]:
            disagreements.append(f"{fault.name} and {other.name}: {first}, and the provider: {event.error_detail}")
    assert disagreements == []


# --- what the registration has to do with it ---


class Setup(NamedTuple):
    """A registration, what is presented to it, and the rule; None where nothing here can show it."""

    name: str
    registration: str
    rule: Rule | None
    error_detail: str
    change: Callable[[Draft], object] = lambda _: None


def _second_keys_kid(draft: Draft) -> None:
    assert draft.registration.second is not None
    draft.header["kid"] = draft.registration.second.kid


def _second_key(draft: Draft) -> None:
    assert draft.registration.second is not None
    draft.key = _read_key(draft.registration.second.private_key_path)


def _key_of_type(alg: str) -> Callable[[Draft], object]:
    def change(draft: Draft) -> None:
        draft.header["alg"] = alg
        draft.key = _unregistered(alg)

    return change


SETUPS = (
    Setup("kid with a PEM", "PS256-pem", Rule.KID_UNEXPECTED, NO_KEY, _header(kid="my-key")),
    Setup("empty kid with a PEM", "PS256-pem", Rule.KID_UNEXPECTED, NO_KEY, _header(kid="")),
    Setup(
        "kid with a JWKS without", "PS256-jwks-uri-without-kid", Rule.KID_UNEXPECTED, NO_KEY, _header(kid="my-key")
    ),
    Setup("kid not in the JWKS", "ES256-jwks", Rule.KID_UNKNOWN, NO_KEY, _header(kid="my-key")),
    Setup("kid not at the JWKS URI", "RS256-jwks-uri", Rule.KID_UNKNOWN, NO_KEY, _header(kid="my-key")),
    Setup("kid of the other key", "two-rsa-keys", Rule.KID_OTHER_KEY, SIGNATURE, _second_keys_kid),
    Setup("the other key's signature", "two-rsa-keys", Rule.KID_OTHER_KEY, SIGNATURE, _second_key),
    Setup("kid of a key of another type", "rsa-and-ec-keys", Rule.KID_UNKNOWN, NO_KEY, _second_keys_kid),
    Setup("another key than the two", "two-keys-without-kid", Rule.SIGNATURE_INVALID, SIGNATURE, _another_key),
    Setup("an EC key where RSA is registered", "PS256-pem", Rule.ALG_KEY_MISMATCH, ALG, _key_of_type("ES256")),
    Setup("an RSA key where EC is registered", "ES256-pem", Rule.ALG_KEY_MISMATCH, ALG, _key_of_type("PS256")),
    Setup("an EC key where any RSA is", "any-alg-rsa", Rule.ALG_KEY_MISMATCH, NO_KEY, _key_of_type("ES256")),
    Setup("an RSA key where any EC is", "any-alg-ec", Rule.ALG_KEY_MISMATCH, NO_KEY, _key_of_type("RS256")),
    Setup("alg that a JWK is not for", "PS256-jwks-uri", Rule.ALG_KEY_MISMATCH, ALG, _header(alg="RS256")),
    Setup("alg that any JWK is not for", "rsa-and-ec-keys", Rule.ALG_KEY_MISMATCH, NO_KEY, _header(alg="RS256")),
    # Of which the registration's own findings tell.
    Setup("key_ops without verify", "key-ops-without-verify", None, NO_KEY),
    # What only the bank can look at: everything that is known from here is right.
    Setup("another alg registered", "RS256-pem", None, ALG, _header(alg="PS256")),
    Setup(
        "registered for a client secret",
        "client-secret",
        None,
        "the provided authentication mechanism does not match the registered client authentication method",
    ),
)


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.name.replace(" ", "-"))
def test_a_fault_in_the_setup_is_named_or_cannot_be_told_from_here(
    provider: Provider, http: httpx.Client, setup: Setup
) -> None:
    findings, event = _asked(provider, http, setup.registration, setup.change)
    assert _first_fault(findings) == setup.rule
    assert (event.error, event.error_detail) == ("invalid_client", setup.error_detail)


def test_a_registered_key_that_the_provider_passes_over_is_named(provider: Provider) -> None:
    registration = provider.registrations["key-ops-without-verify"]
    registered = read_registration(registration.registered_path.read_bytes(), "the registration")
    assert registered.keys == ()
    assert _first_fault(list(registered.findings)) == Rule.REGISTRATION_KEY_TYPE


def test_the_registered_alg_is_named_by_whoever_knows_it(provider: Provider) -> None:
    draft = Draft(provider, provider.registrations["RS256-pem"])
    draft.header["alg"] = "PS256"
    assert _first_fault(_judge(draft, draft.compact(), keys_for=("RS256",))) == Rule.ALG_KEY_MISMATCH


# --- what is no assertion at all ---


@pytest.mark.parametrize(("name", "error_detail"), [("RS256-pem", _ISS), ("ES256-pem", ALG)])
def test_a_token_for_an_assertion_is_named_as_one(
    provider: Provider, http: httpx.Client, name: str, error_detail: str
) -> None:
    draft = Draft(provider, provider.registrations[name])
    form = {"grant_type": "client_credentials", "scope": "openid", "client_assertion_type": ASSERTION_TYPE}
    granted = http.post(provider.token_endpoint, data={**form, "client_assertion": draft.compact()}).json()
    provider.drain_events()
    token = granted["access_token"]
    assert _first_fault(_judge(draft, token)) == Rule.ASSERTION_TOKEN
    assert _present(provider, http, token).error_detail == error_detail


def test_a_private_key_for_an_assertion_is_named_as_one(provider: Provider, http: httpx.Client) -> None:
    draft = Draft(provider, provider.registrations["PS256-pem"])
    key = draft.registration.private_key_path.read_text()
    findings = _judge(draft, key)
    assert _first_fault(findings) == Rule.ASSERTION_PRIVATE_KEY
    assert not any(line in repr(findings) for line in key.splitlines() if line)
    assert _present(provider, http, key).error_detail == "Invalid JWT"


# --- what the provider takes ---


class Accepted(NamedTuple):
    """What is granted, and yet said something of: the vendor documents more than the provider asks."""

    name: str
    change: Callable[[Draft], object]
    said: Mapping[str, Verdict]


ACCEPTED = (
    Accepted(
        "exp in milliseconds",
        _claim("exp", lambda d: (d.now + 60) * 1000),
        {Rule.EXP_MILLISECONDS: Verdict.FAIL},
    ),
    Accepted("exp a day ahead", _claim("exp", lambda d: d.now + 86400), {Rule.EXP_TOO_FAR: Verdict.FAIL}),
    Accepted("iat ahead", _claim("iat", lambda d: d.now + 600), {Rule.IAT_FUTURE: Verdict.WARN}),
    Accepted("iat in milliseconds", _claim("iat", lambda d: d.now * 1000), {Rule.IAT_FUTURE: Verdict.WARN}),
    Accepted(
        "aud an array with it",
        _claim("aud", lambda d: ["https://banno.com", d.provider.token_endpoint]),
        {Rule.AUD_ARRAY: Verdict.WARN},
    ),
    Accepted("aud the issuer", _claim("aud", lambda d: d.provider.issuer), {}),
    Accepted("further claims", _claim("scope", lambda _: "openid"), {Rule.CLAIMS_UNEXPECTED: Verdict.WARN}),
    Accepted("iat and nbf now", lambda d: d.claims.update(iat=d.now, nbf=d.now), {}),
    Accepted("nbf within the tolerance", _claim("nbf", lambda d: d.now + 15), {}),
    Accepted("exp five minutes ahead", _claim("exp", lambda d: d.now + 300), {}),
    Accepted(
        "durations for iat and nbf",
        lambda d: d.claims.update(iat=60, nbf=60),
        {Rule.IAT_MALFORMED: Verdict.WARN, Rule.NBF_MALFORMED: Verdict.WARN},
    ),
    Accepted("typ JWT", _header(typ="JWT"), {}),
    Accepted("kid null", _header(kid=None), {Rule.KID_UNEXPECTED: Verdict.WARN}),
    Accepted("kid a number", _header(kid=5), {Rule.KID_UNEXPECTED: Verdict.WARN}),
    # RFC 7519 §4 leaves it to the reader whether a repeated member is refused; RFC 7515 §2 forbids the other two.
    Accepted(
        "a repeated claim",
        _payload(lambda p: f'{{"iat": 1, {p[1:-1]}, "iat": 2}}'),
        {Rule.ASSERTION_MALFORMED: Verdict.FAIL},
    ),
    Accepted("a line end", _after(lambda compact: f"{compact}\n"), {Rule.ASSERTION_MALFORMED: Verdict.FAIL}),
)


@pytest.mark.parametrize("name", _TWO)
@pytest.mark.parametrize("accepted", ACCEPTED, ids=lambda accepted: accepted.name.replace(" ", "-"))
def test_what_is_said_of_an_assertion_that_the_provider_takes_all_the_same(
    provider: Provider, http: httpx.Client, accepted: Accepted, name: str
) -> None:
    findings, event = _asked(provider, http, name, accepted.change)
    assert event.event == "grant.success"
    # What cannot be told, because of a rule before it, is no word against it.
    quiet = (Verdict.PASS, Verdict.UNKNOWN)
    assert {f.rule: f.verdict for f in findings if f.verdict not in quiet} == accepted.said


def test_the_issuer_as_aud_cannot_be_told_where_only_the_token_endpoint_is_known(provider: Provider) -> None:
    draft = Draft(provider, provider.registrations["PS256-pem"])
    draft.claims["aud"] = provider.issuer
    known = Known(draft.now, draft.registration.client_id, (provider.token_endpoint,))
    said = {finding.rule: finding.verdict for finding in judge(ClientAssertion.read(draft.compact()), known)}
    assert said[Rule.AUD_MISMATCH] is Verdict.UNKNOWN


# --- no false alarm ---

_CORRECT = [
    name for name in FORMS if name not in ("client-secret", "no-client-credentials", "key-ops-without-verify")
]


@pytest.mark.parametrize("kid", ["kid", "no kid"])
@pytest.mark.parametrize("name", _CORRECT)
def test_a_correct_assertion_passes_every_rule_and_is_granted(
    provider: Provider, http: httpx.Client, name: str, kid: str
) -> None:
    def change(draft: Draft) -> None:
        if kid == "no kid":
            draft.header.pop("kid", None)

    registration = provider.registrations[name]
    findings, event = _asked(provider, http, name, change)
    registered = read_registration(registration.registered_path.read_bytes(), "the registration")
    said = [*findings, *registered.findings, *judge_client_id(registration.client_id)]
    assert [finding for finding in said if finding.verdict is not Verdict.PASS] == []
    assert event.event == "grant.success"


@pytest.mark.parametrize("name", ["two-rsa-keys", "rsa-and-ec-keys", "two-keys-without-kid"])
def test_the_second_key_of_a_set_is_as_good_as_the_first(provider: Provider, http: httpx.Client, name: str) -> None:
    def change(draft: Draft) -> None:
        second = draft.registration.second
        assert second is not None
        _second_key(draft)
        draft.header = {"alg": second.alg, **({"kid": second.kid} if second.kid else {})}

    findings, event = _asked(provider, http, name, change)
    assert [finding for finding in findings if finding.verdict is not Verdict.PASS] == []
    assert event.event == "grant.success"
