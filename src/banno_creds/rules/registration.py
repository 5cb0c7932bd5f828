"""Judge the registration at the bank: the public key that was pasted into Users & Groups, or the JWK Set."""

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
from banno_creds.jose.jwks import VerificationKey, public_key_of
from banno_creds.jose.keys import LEAST_RSA_BITS, PublicKey, load_private_key
from banno_creds.jose.verify import made_by, wrong_form
from banno_creds.rules.findings import Finding, Rule
from banno_creds.rules.known import RegisteredKey
from banno_creds.rules.outcomes import Outcome, failed, judged, odd, passed
from banno_creds.rules.shown import shown
from banno_creds.secrecy import is_private_key_file

if TYPE_CHECKING:
    from collections.abc import Mapping

# A JWK Set has a handful of keys. A large one could keep this program busy.
_MOST_KEYS = 100
_TAKES = f"RSA of {LEAST_RSA_BITS} bits or more, or EC P-256"


class Registration(NamedTuple):
    """The public keys that the bank has for a client.

    Attributes:
        origin: the file or URL that they were read from, as messages name it.
        keys: the keys that can verify an assertion.
        fingerprints: by fingerprint (see `keys.PublicKey.fingerprint`), the description of each key.
        findings: the findings about the registration itself, by rule.
    """

    origin: str
    keys: tuple[RegisteredKey, ...]
    fingerprints: Mapping[str, str]
    findings: tuple[Finding, ...]


class _Read(NamedTuple):
    """One key as it stands in the registration; ``native`` is cryptography's object, of any type."""

    native: object
    kid: str | None = None
    alg: str | None = None
    operations: list[object] | None = None


def read_registration(content: bytes, origin: str) -> Registration:
    """Read the registered keys, and judge if the provider can use them."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's ">" writes UTF-16
        content = content.decode("utf-16", "replace").encode()
    text = content.removeprefix(b"\xef\xbb\xbf")
    if not text.startswith(b"0"):  # the last byte of DER may be any
        text = text.strip()
    private = passed()
    if is_private_key_file(text):
        private = failed(f"{origin} holds a private key (not shown)", "the public key alone")
    try:
        read = _read_jwks(text) if text.startswith(b"{") else (_Read(_read_pem(text, origin)),)
    except (ValueError, UnsupportedAlgorithm, KeyLoadError) as failure:
        if private != passed():  # such as an encrypted private key: nothing else matters
            return Registration(origin, (), {}, (_judged(Rule.REGISTRATION_PRIVATE_KEY, private),))
        words = str(failure) if text.startswith(b"{") else "no public key in PEM, no JWK and no JWK Set"
        unreadable = failed(f"{origin}: {words}", "a public key in PEM, a JWK or a JWK Set")
        return Registration(origin, (), {}, (_judged(Rule.REGISTRATION_UNREADABLE, unreadable),))
    good = [one for one in read if _fault(one) is None]
    return Registration(
        origin,
        tuple(_registered(one, origin) for one in good),
        {PublicKey(one.native).fingerprint(): _described(one) for one in good},  # type: ignore[arg-type]
        (
            _judged(Rule.REGISTRATION_PRIVATE_KEY, private),
            _judged(Rule.REGISTRATION_UNREADABLE, passed(origin)),
            _judged(Rule.REGISTRATION_KEY_TYPE, _judge_keys(read, Rule.REGISTRATION_KEY_TYPE)),
            _judged(Rule.REGISTRATION_KEY_SIZE, _judge_keys(read, Rule.REGISTRATION_KEY_SIZE)),
            _judged(Rule.REGISTRATION_KID_REPEATED, _judge_kids(read)),
        ),
    )


def judge_key(registration: Registration, key: PublicKey) -> Finding:
    """Judge if the bank has the public half of a private key.

    Args:
        registration: the bank's keys, of which at least one could be read.
        key: the public half.

    Returns:
        The finding.
    """
    fingerprint = key.fingerprint()
    if fingerprint in registration.fingerprints:
        description = registration.fingerprints[fingerprint]
        outcome = passed(f"{description} in {registration.origin} belongs to the private key")
    else:
        outcome = failed(
            f"{fingerprint}, of the private key",
            f"{' or '.join(registration.fingerprints)}, in {registration.origin}",
        )
    return _judged(Rule.REGISTRATION_KEY_MISMATCH, outcome)


def _judged(rule: Rule, outcome: Outcome) -> Finding:
    return judged(rule, "registered key", outcome)


def _read_pem(text: bytes, origin: str) -> object:
    if b"PRIVATE KEY-----" in text:
        return load_private_key(text, origin, lambda: None).public.native
    if b"CERTIFICATE-----" in text:
        return x509.load_pem_x509_certificate(text).public_key()
    with suppress(ValueError):
        return serialization.load_pem_public_key(text)
    return serialization.load_der_public_key(text)


def _read_jwks(text: bytes) -> tuple[_Read, ...]:
    """Read the keys of a JWK Set, or the one JWK, that are meant for signatures."""
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
        operations if isinstance(operations, list) else None,  # node-oidc-provider ignores any other value
    )


class _Fault(NamedTuple):
    """The reason why the provider cannot use a key."""

    rule: Rule
    received: str
    expected: str = _TAKES
    fix: str = ""


def _fault(one: _Read) -> _Fault | None:
    native = one.native
    if isinstance(native, RSAPublicKey):
        if native.key_size < LEAST_RSA_BITS:
            return _Fault(Rule.REGISTRATION_KEY_SIZE, f"RSA with {native.key_size} bits")
    elif isinstance(native, EllipticCurvePublicKey):
        if native.curve.name != "secp256r1":
            return _Fault(Rule.REGISTRATION_KEY_TYPE, f"an EC key on the curve {native.curve.name}")
    elif native is None:
        return _Fault(Rule.REGISTRATION_KEY_TYPE, "a key that cannot be read")
    else:
        return _Fault(Rule.REGISTRATION_KEY_TYPE, f"a key of the type {type(native).__name__.strip('_')}")
    # RFC 7517 section 4.3. The provider ignores a key that is not meant to verify.
    if one.operations is None or "verify" in one.operations:
        return None
    return _Fault(
        Rule.REGISTRATION_KEY_TYPE,
        f'a key whose key_ops {shown(one.operations)} lack "verify"',
        'key_ops with "verify" in them, or none',
        'leave key_ops out of the JWK, or add "verify" to them',
    )


def _judge_keys(read: tuple[_Read, ...], rule: Rule) -> Outcome:
    faults = [fault for one in read if (fault := _fault(one)) is not None]
    of_this_rule = [fault for fault in faults if fault.rule is rule]
    if not of_this_rule:
        return passed(", ".join(_described(one) for one in read if _fault(one) is None))
    # A set may hold keys for other purposes: it fails only if no key is left.
    judge = failed if len(faults) == len(read) else odd
    return judge(*of_this_rule[0][1:])


def _judge_kids(read: tuple[_Read, ...]) -> Outcome:
    kids = [one.kid for one in read if one.kid is not None]
    repeated = sorted({kid for kid in kids if kids.count(kid) > 1})
    if not repeated:
        return passed()
    return odd(f"{shown(repeated)} more than once", "a kid of its own for each key (RFC 7517 section 4.5)")


def _registered(one: _Read, origin: str) -> RegisteredKey:
    native = one.native
    fitting = ALGORITHMS["RSA" if isinstance(native, RSAPublicKey) else "EC"]
    # A key may be meant for one algorithm only (RFC 7517 section 4.4).
    algorithms = tuple(alg for alg in fitting if one.alg in (None, alg))
    description = f"{_described(one)} from {origin}"
    key = VerificationKey(native, description, algorithms, one.kid)  # type: ignore[arg-type]  # `_fault` has seen to it
    return RegisteredKey(description, algorithms, partial(made_by, key), one.kid, partial(wrong_form, key))


def _described(one: _Read) -> str:
    size = f"RSA {one.native.key_size}" if isinstance(one.native, RSAPublicKey) else "EC P-256"
    named = f", kid {shown(one.kid)}" if one.kid is not None else ""
    return f"{size}{named}" + (f", for {shown(one.alg)}" if one.alg is not None else "")
