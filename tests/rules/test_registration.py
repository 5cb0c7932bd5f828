"""What the bank has of a client, in every form that people have it, and what they give in its place."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from banno_creds.client_authentication.client_assertion import sign
from banno_creds.client_authentication.signer import KeySigner
from banno_creds.jose import keys
from banno_creds.jose.encoding import base64url
from banno_creds.rules.assertion import judge
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.known import Known
from banno_creds.rules.presented import ClientAssertion
from banno_creds.rules.registration import judge_key, read_registration
from banno_creds.secrecy import is_private_key_file
from tests.conftest import CLIENT_ID
from tests.jwts import NOW, jwt
from tests.openssl import openssl
from tests.rules.assertions import CLAIMS, ENDPOINT, echoes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from banno_creds.rules.registration import Registration

    Native = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

pytestmark = pytest.mark.once

ORIGIN = "public.pem"
RULES = [
    "registration.private_key",
    "registration.unreadable",
    "registration.key.type",
    "registration.key.size",
    "registration.kid.repeated",
]
TAKES = "RSA of 2048 bits or more, or EC P-256"


def spki(key: keys.PrivateKey) -> bytes:
    return key.public.pem()


def pkcs1(key: keys.PrivateKey) -> bytes:
    return key.native.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)


def certificate(key: keys.PrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.native.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(1))
    return builder.sign(key.native, hashes.SHA256()).public_bytes(Encoding.PEM)


def jwks(*members: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": members}).encode()


def public_jwk(key: keys.PrivateKey, **more: Any) -> dict[str, Any]:
    return {**key.public.jwk(), **more}


FORMS: dict[str, Callable[[keys.PrivateKey], bytes]] = {
    "SPKI": spki,
    "SPKI, Windows line ends": lambda key: spki(key).replace(b"\n", b"\r\n"),
    "SPKI, white space around it": lambda key: b"\n  " + spki(key) + b"\n\n",
    "SPKI, text before it": lambda key: b"Public key of the client\n" + spki(key),
    "SPKI, byte-order mark": lambda key: b"\xef\xbb\xbf" + spki(key),
    "SPKI, UTF-16": lambda key: spki(key).decode().encode("utf-16"),
    "SPKI, UTF-16, big end first": lambda key: b"\xfe\xff" + spki(key).decode().encode("utf-16-be"),
    "SPKI in DER": lambda key: key.public.spki(),
    "certificate": certificate,
    "JWK": lambda key: json.dumps(public_jwk(key)).encode(),
    "JWK, byte-order mark": lambda key: b"\xef\xbb\xbf" + json.dumps(public_jwk(key)).encode(),
    "JWK, with use": lambda key: json.dumps(public_jwk(key, use="sig", key_ops=["sign", "verify"])).encode(),
    "JWK, key_ops no array": lambda key: json.dumps(public_jwk(key, key_ops="sign")).encode(),
    "JWKS": lambda key: jwks(public_jwk(key, kid="k1")),
    "JWKS, indented": lambda key: json.dumps({"keys": [public_jwk(key)]}, indent=2).encode(),
}


def judged(registration: Registration) -> dict[str, Finding]:
    by_rule = {str(finding.rule): finding for finding in registration.findings}
    assert len(by_rule) == len(registration.findings)
    return by_rule


def faults(registration: Registration) -> list[str]:
    return [finding.rule for finding in registration.findings if finding.verdict is not Verdict.PASS]


def fault(rule: str, received: str, expected: str, verdict: Verdict = Verdict.FAIL) -> Finding:
    return Finding(rule, verdict, "registered key", received, expected, EXPLANATIONS[rule].fix)


def signed(key: keys.PrivateKey, alg: str, **header: Any) -> str:
    return sign({"alg": alg, **header}, CLAIMS, KeySigner(key, alg))


# ── What can be read ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
def test_key_in_every_form_verifies_what_its_other_half_signs(
    form: Callable[[keys.PrivateKey], bytes], alg: str, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    mine, other = (ec_key, rsa_key) if alg == "ES256" else (rsa_key, ec_key)
    registration = read_registration(form(mine), ORIGIN)
    assert [(finding.rule, finding.verdict) for finding in registration.findings] == [
        (rule, Verdict.PASS) for rule in RULES
    ]
    [key] = registration.keys
    assert alg in key.algorithms
    compact = signed(mine, alg)
    assert key.verifies(compact, alg)
    assert not key.verifies(compact.replace(".eyJ", ".eyK", 1), alg)
    assert list(registration.fingerprints) == [mine.public.fingerprint()]
    assert judge_key(registration, mine.public).verdict is Verdict.PASS
    assert judge_key(registration, other.public).verdict is Verdict.FAIL


def test_rsa_public_key_in_pkcs1(rsa_key: keys.PrivateKey) -> None:
    registration = read_registration(pkcs1(rsa_key), ORIGIN)
    assert faults(registration) == []
    assert list(registration.fingerprints) == [rsa_key.public.fingerprint()]


def test_der_may_end_with_a_byte_that_is_white_space_elsewhere() -> None:
    made = (keys.generate("ec") for _ in range(5000))
    key = next(key for key in made if key.public.spki()[-1:].isspace())
    registration = read_registration(key.public.spki(), ORIGIN)
    assert (faults(registration), list(registration.fingerprints)) == ([], [key.public.fingerprint()])


@pytest.mark.parametrize("key_type", ["rsa", "ec"])
def test_fingerprint_is_that_of_openssl(key_type: str, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    pem = spki(rsa_key if key_type == "rsa" else ec_key)
    der = openssl("pkey", "-pubin", "-outform", "DER", stdin=pem)
    digest = openssl("dgst", "-sha256", "-binary", stdin=der)
    assert digest == sha256(der).digest()
    expected = "SHA256:" + b64encode(digest).decode().rstrip("=")
    assert list(read_registration(pem, ORIGIN).fingerprints) == [expected]


def test_keys_are_described_by_what_they_are_and_where_they_came_from(
    rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    [key] = read_registration(spki(rsa_key), ORIGIN).keys
    assert (key.description, key.algorithms, key.kid) == ("RSA 2048 from public.pem", ("PS256", "RS256"), None)
    content = jwks(public_jwk(ec_key, kid="e1", alg="ES256"))
    [key] = read_registration(content, "https://client.example/jwks").keys
    said = 'EC P-256, kid "e1", for "ES256" from https://client.example/jwks'
    assert (key.description, key.algorithms, key.kid) == (said, ("ES256",), "e1")


# ── A JWK Set, which may hold more than one ─────────────────────────────────────────────────────────────────────


def test_every_key_of_a_set_counts(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    content = jwks(public_jwk(rsa_key, kid="r"), public_jwk(ec_key, kid="e"), public_jwk(keys.generate("ec")))
    registration = read_registration(content, ORIGIN)
    assert faults(registration) == []
    assert [key.kid for key in registration.keys] == ["r", "e", None]
    assert len(registration.fingerprints) == 3
    for key in (rsa_key, ec_key):
        assert judge_key(registration, key.public).verdict is Verdict.PASS
    assert judged(registration)["registration.key.type"].received == 'RSA 2048, kid "r", EC P-256, kid "e", EC P-256'


@pytest.mark.parametrize(
    ("alg", "algorithms"),
    [
        ("PS256", ("PS256",)),
        ("RS256", ("RS256",)),
        ("RS512", ()),
        ("RSA-OAEP", ()),
        (7, ()),
        (None, ("PS256", "RS256")),
    ],
)
def test_key_may_be_meant_for_one_alg(alg: object, algorithms: tuple[str, ...], rsa_key: keys.PrivateKey) -> None:
    [key] = read_registration(jwks(public_jwk(rsa_key, alg=alg)), ORIGIN).keys
    assert key.algorithms == algorithms


def test_key_for_encryption_is_ignored(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    registration = read_registration(jwks(public_jwk(rsa_key, use="enc"), public_jwk(ec_key, use="sig")), ORIGIN)
    assert faults(registration) == []
    assert list(registration.fingerprints) == [ec_key.public.fingerprint()]


@pytest.mark.parametrize("operations", [["sign"], [], ["encrypt", 7], ["x\x1b" * 50]], ids=str)
def test_key_whose_key_ops_lack_verify_cannot_be_used(operations: list[Any], ec_key: keys.PrivateKey) -> None:
    """So node-oidc-provider has it: no applicable key found."""
    jwk = public_jwk(ec_key, key_ops=operations)
    alone = read_registration(jwks(jwk), ORIGIN)
    assert (alone.keys, alone.fingerprints) == ((), {})
    [finding] = [finding for finding in alone.findings if finding.verdict is not Verdict.PASS]
    assert (finding.rule, finding.verdict) == ("registration.key.type", Verdict.FAIL)
    assert finding.received.startswith("a key whose key_ops ")
    assert finding.received.endswith(' lack "verify"')
    assert finding.received.isprintable()
    assert (finding.expected, finding.fix) == (
        'key_ops with "verify" in them, or none',
        'leave key_ops out of the JWK, or add "verify" to them',
    )
    other = keys.generate("ec")
    beside = read_registration(jwks(jwk, public_jwk(other)), ORIGIN)
    assert judged(beside)["registration.key.type"].verdict is Verdict.WARN
    assert list(beside.fingerprints) == [other.public.fingerprint()]


FOREIGN: dict[str, Mapping[str, Any]] = {
    "oct": {"kty": "oct"},
    "unknown": {"kty": "XYZ", "x": "abc"},
    "no kty": {},
    "broken": {"kty": "RSA", "n": "!", "e": "AQAB"},
    "not on the curve": {"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
    "numbers for members": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2},
    "empty": {"kty": "RSA", "n": "", "e": ""},
}


@pytest.mark.parametrize("member", FOREIGN.values(), ids=FOREIGN)
def test_key_of_another_type_in_a_set_is_a_warning(member: Mapping[str, Any], ec_key: keys.PrivateKey) -> None:
    registration = read_registration(jwks(member, public_jwk(ec_key)), ORIGIN)
    [finding] = [finding for finding in registration.findings if finding.verdict is not Verdict.PASS]
    assert finding == fault("registration.key.type", "a key that cannot be read", TAKES, Verdict.WARN)
    assert len(registration.keys) == 1
    alone = read_registration(jwks(member), ORIGIN)
    assert judged(alone)["registration.key.type"].verdict is Verdict.FAIL
    assert alone.keys == ()


def test_kid_that_two_keys_have_is_a_warning(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    members = [public_jwk(rsa_key, kid="k\x1b1"), public_jwk(ec_key, kid="k\x1b1"), public_jwk(ec_key, kid="k2")]
    registration = read_registration(jwks(*members), ORIGIN)
    [finding] = [finding for finding in registration.findings if finding.verdict is not Verdict.PASS]
    unique = "a kid of its own for each key (RFC 7517 section 4.5)"
    assert finding == fault("registration.kid.repeated", '["k 1"] more than once', unique, Verdict.WARN)
    assert len(registration.keys) == 3


@pytest.mark.parametrize("kid", [1, None, ["k"], {}], ids=str)
def test_kid_that_is_no_string_is_none(kid: object, ec_key: keys.PrivateKey) -> None:
    [key] = read_registration(jwks(public_jwk(ec_key, kid=kid)), ORIGIN).keys
    assert key.kid is None


def test_set_of_any_size_takes_no_more_than_a_hundred_keys(ec_key: keys.PrivateKey) -> None:
    assert len(read_registration(jwks(*[public_jwk(ec_key)] * 101), ORIGIN).keys) == 100


# ── What the provider cannot use ────────────────────────────────────────────────────────────────────────────────


def small() -> Native:
    return rsa.generate_private_key(65537, 1024)


UNUSABLE: dict[str, tuple[Callable[[], Native], str, str]] = {
    "RSA 1024": (small, "registration.key.size", "RSA with 1024 bits"),
    "P-384": (
        lambda: ec.generate_private_key(ec.SECP384R1()),
        "registration.key.type",
        "an EC key on the curve secp384r1",
    ),
    "secp256k1": (
        lambda: ec.generate_private_key(ec.SECP256K1()),
        "registration.key.type",
        "an EC key on the curve secp256k1",
    ),
    "Ed25519": (
        ed25519.Ed25519PrivateKey.generate,
        "registration.key.type",
        "a key of the type Ed25519PublicKey",
    ),
}


@pytest.mark.parametrize(("make", "rule", "received"), UNUSABLE.values(), ids=UNUSABLE)
def test_key_that_the_provider_cannot_use_is_named(make: Callable[[], Native], rule: str, received: str) -> None:
    native = make().public_key()
    for encoding in (Encoding.PEM, Encoding.DER):
        registration = read_registration(native.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo), ORIGIN)
        assert [finding for finding in registration.findings if finding.verdict is not Verdict.PASS] == [
            fault(rule, received, TAKES)
        ]
        assert (registration.keys, registration.fingerprints) == ((), {})


def test_2048_bits_are_enough_and_one_less_is_not() -> None:
    sizes = {
        bits: read_registration(
            rsa.generate_private_key(65537, bits)
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            ORIGIN,
        )
        for bits in (2047, 2048)
    }
    assert {bits: faults(registration) for bits, registration in sizes.items()} == {
        2047: ["registration.key.size"],
        2048: [],
    }


# ── A private key in the place of a public one ──────────────────────────────────────────────────────────────────


def private_bytes(
    key: keys.PrivateKey, encoding: Encoding, form: PrivateFormat, passphrase: bytes | None = None
) -> bytes:
    return key.native.private_bytes(
        encoding, form, NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    )


def private_jwk(key: keys.PrivateKey) -> dict[str, Any]:
    numbers = key.native.private_numbers()
    secret = numbers.d if isinstance(numbers, rsa.RSAPrivateNumbers) else numbers.private_value
    return public_jwk(key, d=base64url(secret.to_bytes((secret.bit_length() + 7) // 8, "big")))


PRIVATE: dict[str, tuple[Callable[[keys.PrivateKey], bytes], bool]] = {
    # What it is, and whether the public half can be had of it.
    "PKCS#8": (lambda key: private_bytes(key, Encoding.PEM, PrivateFormat.PKCS8), True),
    "PKCS#8, encrypted": (lambda key: private_bytes(key, Encoding.PEM, PrivateFormat.PKCS8, b"passphrase"), False),
    "PKCS#1 or SEC 1": (lambda key: private_bytes(key, Encoding.PEM, PrivateFormat.TraditionalOpenSSL), True),
    "PKCS#1 or SEC 1, encrypted": (
        lambda key: private_bytes(key, Encoding.PEM, PrivateFormat.TraditionalOpenSSL, b"passphrase"),
        False,
    ),
    "OpenSSH": (lambda key: private_bytes(key, Encoding.PEM, PrivateFormat.OpenSSH), True),
    "PKCS#8, UTF-16": (
        lambda key: private_bytes(key, Encoding.PEM, PrivateFormat.PKCS8).decode().encode("utf-16"),
        True,
    ),
    "PKCS#8, byte-order mark": (
        lambda key: b"\xef\xbb\xbf" + private_bytes(key, Encoding.PEM, PrivateFormat.PKCS8),
        True,
    ),
    "PKCS#8, cut off": (lambda key: private_bytes(key, Encoding.PEM, PrivateFormat.PKCS8)[:-80], False),
    "PKCS#8 and the public key": (
        lambda key: spki(key) + private_bytes(key, Encoding.PEM, PrivateFormat.PKCS8),
        True,
    ),
    "PKCS#8 in DER": (lambda key: private_bytes(key, Encoding.DER, PrivateFormat.PKCS8), True),
    "PKCS#1 or SEC 1 in DER": (lambda key: private_bytes(key, Encoding.DER, PrivateFormat.TraditionalOpenSSL), True),
    "PKCS#8 in DER, encrypted": (
        lambda key: private_bytes(key, Encoding.DER, PrivateFormat.PKCS8, b"passphrase"),
        False,
    ),
    "PKCS#12": (
        lambda key: serialize_key_and_certificates(b"name", key.native, None, None, BestAvailableEncryption(b"x")),
        False,
    ),
    "PuTTY": (lambda _: b"PuTTY-User-Key-File-3: ssh-rsa\r\nEncryption: none\r\n", False),
    "base64 of DER": (lambda key: b64encode(private_bytes(key, Encoding.DER, PrivateFormat.PKCS8)), True),
    "base64 of PKCS#12": (
        lambda key: b64encode(
            serialize_key_and_certificates(b"name", key.native, None, None, BestAvailableEncryption(b"x"))
        ),
        False,
    ),
    "base64 of PEM": (lambda key: b64encode(private_bytes(key, Encoding.PEM, PrivateFormat.PKCS8)), True),
    "JWK": (lambda key: json.dumps(private_jwk(key)).encode(), True),
    "JWKS with d": (lambda key: jwks({"kty": "XYZ"}, private_jwk(key)), True),
    "JWK, broken": (lambda key: json.dumps(private_jwk(key)).encode()[:-1], False),
}


@pytest.mark.parametrize(("form", "readable"), PRIVATE.values(), ids=PRIVATE)
@pytest.mark.parametrize("key_type", ["rsa", "ec"])
def test_private_key_is_named_and_to_be_treated_as_leaked_and_never_shown(
    form: Callable[[keys.PrivateKey], bytes],
    readable: bool,
    key_type: str,
    rsa_key: keys.PrivateKey,
    ec_key: keys.PrivateKey,
) -> None:
    key = rsa_key if key_type == "rsa" else ec_key
    content = form(key)
    registration = read_registration(content, ORIGIN)
    first = registration.findings[0]
    received = "public.pem holds a private key (not shown)"
    assert first == fault("registration.private_key", received, "the public key alone")
    assert "treat" in first.fix
    assert "leaked" in first.fix
    said = repr(registration) + json.dumps([list(finding) for finding in registration.findings])
    public = set(registration.fingerprints)
    assert not echoes(said, content.decode("latin-1"))
    assert private_jwk(key)["d"][:20] not in said
    # What else there is to say of the key is said too, where it can be read.
    assert public == ({key.public.fingerprint()} if readable else set())
    assert len(registration.keys) == readable


@pytest.mark.parametrize("packed", [bytes, b64encode], ids=["as it is", "base64"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_public_content_is_not_taken_for_a_private_key(
    form: Callable[[keys.PrivateKey], bytes],
    packed: Callable[[bytes], bytes],
    rsa_key: keys.PrivateKey,
    ec_key: keys.PrivateKey,
) -> None:
    for key in (rsa_key, ec_key):
        assert not is_private_key_file(packed(form(key)))
        der = x509.load_pem_x509_certificate(certificate(key)).public_bytes(Encoding.DER)
        assert not is_private_key_file(packed(der))


@settings(deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"0\x82\x01\x220", b"0\x82\x04\xa40\x82\x03", b"0\x80\x02\x01\x03"]),
)
def test_any_data_is_not_taken_for_a_private_key(data: bytes, head: bytes) -> None:
    assume(b"PRIVATE" not in data)
    assert not is_private_key_file(head + data)
    assert not is_private_key_file(b64encode(head + data))


def test_private_key_that_is_too_small_is_a_private_key_all_the_same() -> None:
    content = small().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    registration = read_registration(content, ORIGIN)
    assert (faults(registration), registration.keys) == (["registration.private_key", "registration.key.size"], ())


# ── What is no key at all ───────────────────────────────────────────────────────────────────────────────────────

NO_KEY = "public.pem: no public key in PEM, no JWK and no JWK Set"


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"", NO_KEY),
        (b"\n \n", NO_KEY),
        (b"\xef\xbb\xbf", NO_KEY),
        (b"\xff\xfe", NO_KEY),
        (b"\xff\xfe\x00", NO_KEY),
        (b"<!doctype html><title>Sign in</title>", NO_KEY),
        (b"garbage", NO_KEY),
        (bytes(range(256)) * 10, NO_KEY),
        (b"0" * 300, NO_KEY),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", NO_KEY),
        (
            b"-----BEGIN PUBLIC KEY-----\n",
            "public.pem: it is cut off: its PEM block lacks the BEGIN line or the END line that goes with it",
        ),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", NO_KEY),
        (b"[]", NO_KEY),
        (b"{}", None),
        (b"{", None),
        (b'{"keys": 7}', "public.pem: it has keys that are no array"),
        (b'{"keys": []}', "public.pem: it holds no key for signatures"),
        (b'{"keys": [7, "x", null]}', "public.pem: it holds no key for signatures"),
        (
            b'{"keys": [], "keys": []}',
            "public.pem: it starts like a JWK Set, but it has the member 'keys' more than once",
        ),
        (b'{"error": "not found"}', None),
        (
            b'{"keys": ' + b"[" * 200 + b"]" * 200 + b"}",
            "public.pem: it starts like a JWK Set, but it is JSON nested more than 100 levels deep",
        ),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_content_without_a_key_is_unreadable(content: bytes, received: str | None) -> None:
    registration = read_registration(content, ORIGIN)
    assert (registration.keys, registration.fingerprints) == ((), {})
    [finding] = [finding for finding in registration.findings if finding.verdict is not Verdict.PASS]
    if received is not None:
        assert finding == fault("registration.unreadable", received, "a public key in PEM, a JWK or a JWK Set")
    assert finding.fix


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode) | st.binary().map(lambda tail: b"-----BEGIN PUBLIC KEY-----\n" + tail))
@example(b"\x30\x82\x01\x22")
@example(b"-----BEGIN CERTIFICATE-----" * 3)
@example(b"-----BEGIN PRIVATE KEY-----" * 3)
def test_any_content_has_findings_and_no_key(content: bytes) -> None:
    registration = read_registration(content, ORIGIN)
    assert registration.keys == ()
    assert faults(registration)


@settings(deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.sampled_from(["RSA", "EC", "OKP", "P-256", "AQAB"]),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from([*"nexyd", "kty", "crv", "use", "kid"]), inner)
        ),
    )
)
def test_any_json_has_findings(value: object) -> None:
    for content in (json.dumps({"keys": [value]}), json.dumps({"keys": value}), json.dumps(value)):
        registration = read_registration(content.encode(), ORIGIN)
        assert registration.findings
        assert all(text.isprintable() for finding in registration.findings for text in finding)


# ── Against the private key ─────────────────────────────────────────────────────────────────────────────────────


def test_key_that_the_bank_has_is_named(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    registration = read_registration(jwks(public_jwk(rsa_key, kid="r"), public_jwk(ec_key, kid="e")), ORIGIN)
    assert judge_key(registration, ec_key.public) == Finding(
        "registration.key.mismatch",
        Verdict.PASS,
        "registered key",
        'EC P-256, kid "e" in public.pem belongs to the private key',
    )


def test_other_key_is_told_by_both_fingerprints(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    mine = keys.generate("ec")
    registration = read_registration(jwks(public_jwk(rsa_key), public_jwk(ec_key)), ORIGIN)
    registered = f"{rsa_key.public.fingerprint()} or {ec_key.public.fingerprint()}, in public.pem"
    assert judge_key(registration, mine.public) == fault(
        "registration.key.mismatch", f"{mine.public.fingerprint()}, of the private key", registered
    )


# ── Together with the rules of the assertion ────────────────────────────────────────────────────────────────────


def first_fault(compact: str, registration: Registration) -> str | None:
    known = Known(NOW, CLIENT_ID, (ENDPOINT,), registration.keys, lambda _: True)
    findings = judge(ClientAssertion.read(compact), known)
    return next((finding.rule for finding in findings if finding.verdict is not Verdict.PASS), None)


def test_real_signatures_are_judged_by_real_keys(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    pem = read_registration(spki(rsa_key), ORIGIN)
    several = read_registration(jwks(public_jwk(rsa_key, kid="r"), public_jwk(ec_key, kid="e")), ORIGIN)
    bound = read_registration(jwks(public_jwk(rsa_key, kid="r", alg="RS256")), ORIGIN)
    other = read_registration(spki(keys.generate("rsa")), ORIGIN)
    compact = signed(rsa_key, "PS256")
    assert first_fault(compact, pem) is None
    assert first_fault(compact, several) is None
    assert first_fault(signed(rsa_key, "PS256", kid="r"), several) is None
    assert first_fault(signed(ec_key, "ES256", kid="e"), several) is None
    assert first_fault(compact, other) == "assertion.signature.invalid"
    assert first_fault(compact, bound) == "assertion.alg.key_mismatch"
    assert first_fault(signed(rsa_key, "RS256"), bound) is None
    assert first_fault(signed(ec_key, "ES256"), pem) == "assertion.alg.key_mismatch"
    assert first_fault(signed(rsa_key, "PS256", kid="r"), pem) == "assertion.kid.unexpected"
    assert first_fault(signed(rsa_key, "PS256", kid="x"), several) == "assertion.kid.unknown"
    assert first_fault(signed(rsa_key, "PS256", kid="e"), several) == "assertion.kid.unknown"
    twin = keys.generate("rsa")
    twins = read_registration(jwks(public_jwk(rsa_key, kid="r"), public_jwk(twin, kid="t")), ORIGIN)
    assert first_fault(signed(rsa_key, "PS256", kid="t"), twins) == "assertion.kid.other_key"
    header, _, signature = compact.split(".")
    changed = f"{header}.{jwt({**CLAIMS, 'exp': NOW + 61}).split('.')[1]}.{signature}"
    assert first_fault(changed, pem) == "assertion.signature.invalid"


# ── The right key and the wrong form ────────────────────────────────────────────────────────────────────────────


def pss(salt: int = 32, mask: hashes.HashAlgorithm | None = None) -> padding.PSS:
    return padding.PSS(padding.MGF1(mask or hashes.SHA256()), salt)


def rsa_signs(
    how: padding.AsymmetricPadding, digest: hashes.HashAlgorithm | None = None
) -> Callable[[Any, bytes], bytes]:
    return lambda native, signing_input: native.sign(signing_input, how, digest or hashes.SHA256())


def ec_signs(native: Any, signing_input: bytes) -> bytes:
    # Of an even number of bytes, for as hex text it has to be readable as base64url as well.
    made: Iterator[bytes] = (native.sign(signing_input, ec.ECDSA(hashes.SHA256())) for _ in range(1000))
    return next(der for der in made if len(der) % 2 == 0)


V15 = padding.PKCS1v15()
WRONG_FORMS: dict[str, tuple[str, Callable[[Any, bytes], bytes], Callable[[bytes], str], str, str]] = {
    # alg, how the bytes were made, how they were packed; what is said, and what of the fix.
    "DER": ("ES256", ec_signs, base64url, "in DER (", "send R and S, 32 bytes each"),
    "DER in hex": ("ES256", ec_signs, bytes.hex, "as hex text in place of base64url and in DER (", "base64url"),
    "salt of 20": (
        "PS256",
        rsa_signs(pss(20)),
        base64url,
        "with PSS, SHA-256, MGF1 with SHA-256, and a salt that is not of 32 bytes",
        "a salt of 32 bytes",
    ),
    "longest salt": (
        "PS256",
        rsa_signs(pss(222)),
        base64url,
        "with PSS, SHA-256, MGF1 with SHA-256, and a salt that is not of 32 bytes",
        "a salt of 32 bytes",
    ),
    "Java's MGF1": (
        "PS256",
        rsa_signs(pss(32, hashes.SHA1())),
        base64url,
        "with PSS, SHA-256, MGF1 with SHA-1",
        "for MGF1",
    ),
    "v1.5 for PSS": ("PS256", rsa_signs(V15), base64url, "with PKCS #1 v1.5 and SHA-256", "sign with PSS"),
    "PSS for v1.5": (
        "RS256",
        rsa_signs(pss()),
        base64url,
        "with PSS, SHA-256, MGF1 with SHA-256",
        "sign with PKCS #1 v1.5",
    ),
    "another digest": (
        "RS256",
        rsa_signs(V15, hashes.SHA512()),
        base64url,
        "with PKCS #1 v1.5 and SHA-512",
        "and SHA-256",
    ),
    "hex": ("RS256", rsa_signs(V15), bytes.hex, "as hex text in place of base64url", "into base64url"),
    "base64url of hex": (
        "PS256",
        rsa_signs(pss()),
        lambda data: base64url(data.hex().encode()),
        "as hex text, which was put into base64url",
        "into base64url",
    ),
    "base64 twice": (
        "PS256",
        rsa_signs(pss()),
        lambda data: base64url(b64encode(data)),
        "in base64 twice",
        "into base64url",
    ),
}


def jws_of(
    key: keys.PrivateKey, alg: str, made: Callable[[Any, bytes], bytes], packed: Callable[[bytes], str]
) -> str:
    signing_input = jwt(CLAIMS, {"alg": alg}).rpartition(".")[0]
    return f"{signing_input}.{packed(made(key.native, signing_input.encode()))}"


@pytest.mark.parametrize(("alg", "made", "packed", "said", "fix"), WRONG_FORMS.values(), ids=WRONG_FORMS)
def test_signature_of_the_right_key_in_a_wrong_form_is_named(
    alg: str,
    made: Callable[[Any, bytes], bytes],
    packed: Callable[[bytes], str],
    said: str,
    fix: str,
    rsa_key: keys.PrivateKey,
    ec_key: keys.PrivateKey,
) -> None:
    mine = ec_key if alg == "ES256" else rsa_key
    compact = jws_of(mine, alg, made, packed)
    finding = signature_finding(compact, read_registration(spki(mine), ORIGIN))
    assert finding.verdict is Verdict.FAIL
    assert finding.received.startswith(f"a signature ({alg}) by the right key, {said}")
    assert "RFC 7518 section 3." in finding.expected
    assert fix in finding.fix
    assert len(finding.fix) <= 140
    # Of another key's signature nothing of the kind is said.
    other = read_registration(spki(keys.generate("ec" if alg == "ES256" else "rsa")), ORIGIN)
    plain = signature_finding(compact, other)
    assert plain.received == f"a signature ({alg}) that does not verify with the registered public key"
    assert plain.fix == EXPLANATIONS["assertion.signature.invalid"].fix


@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
def test_signature_over_something_else_has_no_form_to_name(
    alg: str, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    mine = ec_key if alg == "ES256" else rsa_key
    header, _, signature = signed(mine, alg).split(".")
    for broken in (signature, "AAAA", base64url(b"\x30\x06\x02\x01\x01\x02\x01\x01"), base64url(b"00" * 32), "0000"):
        changed = f"{header}.{jwt({**CLAIMS, 'exp': NOW + 61}).split('.')[1]}.{broken}"
        finding = signature_finding(changed, read_registration(spki(mine), ORIGIN))
        assert finding.received == f"a signature ({alg}) that does not verify with the registered public key"


def signature_finding(compact: str, registration: Registration) -> Finding:
    known = Known(NOW, CLIENT_ID, (ENDPOINT,), registration.keys, lambda _: True)
    findings = judge(ClientAssertion.read(compact), known)
    return next(finding for finding in findings if finding.rule == "assertion.signature.invalid")


# ── All of them ─────────────────────────────────────────────────────────────────────────────────────────────────

ONLY_THE_BANK_SEES = {
    "registration.auth_method",
    "registration.alg",
    "registration.application_type",
    "registration.user",
}
OF_FETCHING_IT = {"registration.unreachable"}
AGAINST_THE_PRIVATE_KEY = {"registration.key.mismatch"}
AGAINST_THE_SETTING = {"registration.form"}  # tests/key_holders


def test_every_rule_of_the_registration_is_judged_here_or_said_where() -> None:
    here = {*RULES, *AGAINST_THE_PRIVATE_KEY, *AGAINST_THE_SETTING}
    assert here | ONLY_THE_BANK_SEES | OF_FETCHING_IT == {rule for rule in Rule if rule.startswith("registration.")}
