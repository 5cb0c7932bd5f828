"""What the bank has of a client: the public key that was pasted into Users & Groups, or the JWK Set it fetches."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from banno_creds.client_authentication.signer import ALGORITHMS
from banno_creds.errors import KeyLoadError
from banno_creds.jose.encoding import parse_json_object
from banno_creds.jose.keys import LEAST_RSA_BITS, PublicKey, load_private_key
from banno_creds.jose.verify import VerificationKey, made_by, public_key_of, wrong_form
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.known import RegisteredKey
from banno_creds.rules.outcomes import with_fix
from banno_creds.rules.shown import shown
from banno_creds.text import is_private_key_file

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOKS_AT = "registered key"
# A JWK Set has a handful of keys. Looking at many is a way to be kept busy.
_MOST_KEYS = 100


class Registration(NamedTuple):
    """The public keys that the bank has for a client.

    Attributes:
        origin: how messages name where they were read.
        keys: those that can verify an assertion.
        fingerprints: by fingerprint (see `keys.PublicKey.fingerprint`), what each key is.
        findings: what was found of the registration itself, by rule.
    """

    origin: str
    keys: tuple[RegisteredKey, ...]
    fingerprints: Mapping[str, str]
    findings: tuple[Finding, ...]


class _Read(NamedTuple):
    """One key as it stands in the registration; ``native`` is whatever cryptography made of it."""

    native: object
    kid: str | None = None
    alg: str | None = None
    operations: list[object] | None = None


def read_registration(content: bytes, origin: str) -> Registration:
    """Read what is registered, and look whether the provider can use it.

    Args:
        content: a public key or certificate in PEM, a JWK or a JWK Set (RFC 7517).
        origin: how messages name the file or URL.

    Returns:
        The keys, and a finding for each rule. What cannot be read has no keys, and a finding that says so.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's ">" writes UTF-16
        content = content.decode("utf-16", "replace").encode()
    text = content.removeprefix(b"\xef\xbb\xbf")
    if not text.startswith(b"0"):  # DER, whose last byte may be any
        text = text.strip()
    private = _passed(Rule.REGISTRATION_PRIVATE_KEY)
    if is_private_key_file(text):
        private = Finding(
            Rule.REGISTRATION_PRIVATE_KEY,
            Verdict.FAIL,
            _LOOKS_AT,
            f"{origin} holds a private key (not shown)",
            "the public key alone",
        )
    try:
        read = _read_jwks(text) if text.startswith(b"{") else (_Read(_read_pem(text, origin)),)
    except (ValueError, UnsupportedAlgorithm, KeyLoadError) as failure:
        if private.verdict is Verdict.FAIL:  # an encrypted one, say: that it is private is all there is to say
            return Registration(origin, (), {}, (with_fix(private),))
        words = str(failure) if text.startswith(b"{") else "no public key in PEM, no JWK and no JWK Set"
        unreadable = Finding(
            Rule.REGISTRATION_UNREADABLE,
            Verdict.FAIL,
            _LOOKS_AT,
            f"{origin}: {words}",
            "a public key in PEM, a JWK or a JWK Set",
        )
        return Registration(origin, (), {}, (with_fix(unreadable),))
    good = [one for one in read if _fault(one) is None]
    fingerprints = {PublicKey(one.native).fingerprint(): _described(one) for one in good}  # type: ignore[arg-type]
    findings = (private, _passed(Rule.REGISTRATION_UNREADABLE, origin), *_judge_keys(read), _judge_kids(read))
    return Registration(
        origin,
        tuple(_registered(one, origin) for one in good),
        fingerprints,
        tuple(with_fix(finding) for finding in findings),
    )


def judge_key(registration: Registration, key: PublicKey) -> Finding:
    """Judge whether a private key's public half is one that the bank has.

    Args:
        registration: what the bank has, of which at least one key could be read.
        key: the public half.

    Returns:
        The finding.
    """
    fingerprint = key.fingerprint()
    if fingerprint in registration.fingerprints:
        what = registration.fingerprints[fingerprint]
        return _passed(Rule.REGISTRATION_KEY_MISMATCH, f"{what} in {registration.origin} belongs to the private key")
    return with_fix(
        Finding(
            Rule.REGISTRATION_KEY_MISMATCH,
            Verdict.FAIL,
            _LOOKS_AT,
            f"{fingerprint}, of the private key",
            f"{' or '.join(registration.fingerprints)}, in {registration.origin}",
        )
    )


def _read_pem(text: bytes, origin: str) -> object:
    if b"PRIVATE KEY-----" in text:
        return load_private_key(text, origin, lambda: None).public.native
    if b"CERTIFICATE-----" in text:
        return x509.load_pem_x509_certificate(text).public_key()
    with suppress(ValueError):
        return serialization.load_pem_public_key(text)
    return serialization.load_der_public_key(text)


def _read_jwks(text: bytes) -> tuple[_Read, ...]:
    """The keys of a JWK Set, or the one JWK, that are meant for signatures.

    Raises:
        ValueError: it holds none; the message says why, in words that begin with "it".
    """
    members: dict[str, Any] = parse_json_object(text)
    jwks = members.get("keys", [members])
    if not isinstance(jwks, list):
        raise ValueError("it has keys that are no array")  # noqa: TRY004 - data, not types
    read = [_read_jwk(jwk) for jwk in jwks[:_MOST_KEYS] if isinstance(jwk, dict) and jwk.get("use", "sig") == "sig"]
    if not read:
        raise ValueError("it holds no key for signatures")
    return tuple(read)


def _read_jwk(jwk: Mapping[str, Any]) -> _Read:
    kid, alg = jwk.get("kid"), jwk.get("alg")
    operations = jwk.get("key_ops")
    return _Read(
        public_key_of(jwk),
        kid if isinstance(kid, str) else None,
        None if alg is None else str(alg),
        operations if isinstance(operations, list) else None,  # node-oidc-provider passes over what is no array
    )


class _Fault(NamedTuple):
    """Why the provider cannot use a key."""

    rule: Rule
    received: str
    expected: str
    fix: str = ""


def _fault(one: _Read) -> _Fault | None:
    native = one.native
    takes = f"RSA of {LEAST_RSA_BITS} bits or more, or EC P-256"
    if isinstance(native, RSAPublicKey):
        if native.key_size < LEAST_RSA_BITS:
            return _Fault(Rule.REGISTRATION_KEY_SIZE, f"RSA with {native.key_size} bits", takes)
        return _meant_for_others(one)
    if isinstance(native, EllipticCurvePublicKey):
        if native.curve.name != "secp256r1":
            return _Fault(Rule.REGISTRATION_KEY_TYPE, f"an EC key on the curve {native.curve.name}", takes)
        return _meant_for_others(one)
    what = "a key that cannot be read" if native is None else f"a key of the type {type(native).__name__.strip('_')}"
    return _Fault(Rule.REGISTRATION_KEY_TYPE, what, takes)


def _meant_for_others(one: _Read) -> _Fault | None:
    # RFC 7517 section 4.3. The provider passes over such a key as if it were not there.
    if one.operations is None or "verify" in one.operations:
        return None
    return _Fault(
        Rule.REGISTRATION_KEY_TYPE,
        f'a key whose key_ops {shown(one.operations)} lack "verify"',
        'key_ops with "verify" in them, or none',
        'leave key_ops out of the JWK, or add "verify" to them',
    )


def _judge_keys(read: tuple[_Read, ...]) -> tuple[Finding, ...]:
    faults = [fault for one in read if (fault := _fault(one)) is not None]
    # A set may hold keys for others: only where none is left is nothing verified.
    verdict = Verdict.FAIL if len(faults) == len(read) else Verdict.WARN
    findings = []
    for rule in (Rule.REGISTRATION_KEY_TYPE, Rule.REGISTRATION_KEY_SIZE):
        of_this = [fault for fault in faults if fault.rule is rule]
        received = ", ".join(_described(one) for one in read if _fault(one) is None)
        findings.append(Finding(rule, verdict, _LOOKS_AT, *of_this[0][1:]) if of_this else _passed(rule, received))
    return tuple(findings)


def _judge_kids(read: tuple[_Read, ...]) -> Finding:
    kids = [one.kid for one in read if one.kid is not None]
    repeated = sorted({kid for kid in kids if kids.count(kid) > 1})
    if not repeated:
        return _passed(Rule.REGISTRATION_KID_REPEATED)
    return Finding(
        Rule.REGISTRATION_KID_REPEATED,
        Verdict.WARN,
        _LOOKS_AT,
        f"{shown(repeated)} more than once",
        "a kid of its own for each key (RFC 7517 section 4.5)",
    )


def _registered(one: _Read, origin: str) -> RegisteredKey:
    native = one.native
    fitting = ALGORITHMS["RSA" if isinstance(native, RSAPublicKey) else "EC"]
    # A key may be meant for one algorithm alone (RFC 7517 section 4.4).
    algorithms = tuple(alg for alg in fitting if one.alg in (None, alg))
    description = f"{_described(one)} from {origin}"
    key = VerificationKey(native, description, algorithms, one.kid)  # type: ignore[arg-type]  # `_fault` has seen to it
    return RegisteredKey(description, algorithms, partial(made_by, key), one.kid, partial(wrong_form, key))


def _described(one: _Read) -> str:
    size = f"RSA {one.native.key_size}" if isinstance(one.native, RSAPublicKey) else "EC P-256"
    named = f", kid {shown(one.kid)}" if one.kid is not None else ""
    return f"{size}{named}" + (f", for {shown(one.alg)}" if one.alg is not None else "")


def _passed(rule: Rule, received: str = "") -> Finding:
    return Finding(rule, Verdict.PASS, _LOOKS_AT, received)
