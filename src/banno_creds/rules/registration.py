"""Judge the registration at the bank: the public key that was pasted into Users & Groups, or the JWK Set."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from banno_creds.client_authentication.signer import ALGORITHMS
from banno_creds.jose.der import MOST_RSA_BITS
from banno_creds.jose.dressings import undress
from banno_creds.jose.jwk import mended
from banno_creds.jose.jwks import VerificationKey, public_key_of
from banno_creds.jose.keys import LEAST_RSA_BITS, PublicKey
from banno_creds.jose.public_keys import Found, NoPublicKeyError, read_public_keys
from banno_creds.jose.verify import made_by, wrong_form
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.known import RegisteredKey
from banno_creds.rules.outcomes import Outcome, failed, judged, odd, passed
from banno_creds.rules.shown import shown
from banno_creds.secrecy import is_private_key_file
from banno_creds.text import printable, setting

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
        is_set: whether it is a JWK Set, as a JWKS URI has it; None if it may be either, such as one JWK.
    """

    origin: str
    keys: tuple[RegisteredKey, ...]
    fingerprints: Mapping[str, str]
    findings: tuple[Finding, ...]
    is_set: bool | None = None

    def beside(self, more: tuple[Finding, ...]) -> Registration:
        """Return it with further findings; the first of a rule counts."""
        known = {finding.rule for finding in self.findings if finding.verdict is not Verdict.PASS}
        further = tuple(finding for finding in more if finding.rule not in known)
        return self._replace(findings=(*self.findings, *further))


class _Read(NamedTuple):
    """One key as it stands in the registration; ``native`` is cryptography's object, of any type."""

    native: object
    kid: str | None = None
    alg: str | None = None
    operations: list[object] | None = None
    name: str = ""  # of a type that is not even read
    allowed: tuple[str, ...] | None = None  # by the key itself: id-RSASSA-PSS
    empty: tuple[str, ...] = ()  # members that are empty text, and so stand for nothing that fits
    odd: tuple[str, ...] = ()  # members that a stricter reader than this one may refuse


def read_registration(content: bytes, origin: str) -> Registration:
    """Read the registered keys, and judge if the provider can use them."""
    text = undress(content)
    private = passed()
    found_private = failed(f"{origin} holds a private key (not shown)", "the public key alone")
    if is_private_key_file(text):
        private = found_private
    try:
        keys = read_public_keys(content)
        read = _read_jwks(keys.jwks) if keys.jwks is not None else tuple(map(_read_found, keys.found))
    except ValueError as failure:
        is_private = isinstance(failure, NoPublicKeyError) and failure.is_private
        if is_private or private != passed():  # such as an encrypted private key: nothing else matters
            return Registration(origin, (), {}, (_judged(Rule.REGISTRATION_PRIVATE_KEY, found_private),))
        words, hint = f"it {failure}", None
        if isinstance(failure, NoPublicKeyError):
            words = words if str(failure) else "no public key in PEM, no JWK and no JWK Set"
            hint = failure.hint
        unreadable = failed(f"{origin}: {words}", "a public key in PEM, a JWK or a JWK Set")
        finding = _judged(Rule.REGISTRATION_UNREADABLE, unreadable)
        return Registration(origin, (), {}, (finding._replace(fix=hint or finding.fix),))
    if keys.is_private:
        private = found_private
    good = [one for one in read if _fault(one) is None]
    return Registration(
        origin,
        tuple(_registered(one, origin) for one in good),
        {PublicKey(one.native).fingerprint(): _described(one) for one in good},  # type: ignore[arg-type]
        (
            _judged(Rule.REGISTRATION_PRIVATE_KEY, private),
            _judged(Rule.REGISTRATION_UNREADABLE, _judge_text(origin, is_mended=keys.is_mended)),
            _judged(Rule.REGISTRATION_KEY_TYPE, _judge_keys(read, Rule.REGISTRATION_KEY_TYPE)),
            _judged(Rule.REGISTRATION_KEY_SIZE, _judge_keys(read, Rule.REGISTRATION_KEY_SIZE)),
            _judged(Rule.REGISTRATION_KID_REPEATED, _judge_kids(read)),
        ),
        True if keys.is_set else None if keys.jwks is not None else False,
    )


def _judge_text(origin: str, *, is_mended: bool) -> Outcome:
    if not is_mended:
        return passed(origin)
    return odd(
        f"{origin} is a key only after its text was mended (base64, escapes, dashes, or missing lines)",
        "a public key in PEM, a JWK or a JWK Set",
        "if this very text is in Users & Groups, have it replaced by what this prints: "
        "banno-creds keygen --public-from private.pem --public-key -",
    )


def judge_key(registration: Registration, key: PublicKey) -> Finding:
    """Judge if the bank, of whose keys at least one could be read, has the public half of a private key."""
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


def judge_form(registration: Registration, said: str) -> Finding:
    """Judge if the registration is what the setting ``registration`` says: ``pem`` or ``jwks-uri``."""
    if registration.is_set is None or registration.is_set == (said == "jwks-uri"):
        outcome = passed(said)
    elif registration.is_set:
        outcome = odd(f"{setting('registration')} is pem, and {registration.origin} is a JWK Set", "jwks-uri")
    else:
        outcome = odd(
            f"{setting('registration')} is jwks-uri, and {registration.origin} is no JWK Set",
            "the JWK Set that the bank fetches, or pem",
            f"set {setting('registration')} to pem; if the bank has a JWKS URI, give it with {setting('registered')}",
        )
    return judged(Rule.REGISTRATION_FORM, "registration", outcome)


def _judged(rule: Rule, outcome: Outcome) -> Finding:
    return judged(rule, "registered key", outcome)


def _read_found(found: Found) -> _Read:
    return _Read(found.native, name=found.name, allowed=found.algorithms)


def _read_jwks(members: Mapping[str, Any]) -> tuple[_Read, ...]:
    """Read the keys of a JWK Set that are meant for signatures."""
    jwks = members["keys"]
    if not isinstance(jwks, list):
        raise ValueError("has keys that are no array")  # noqa: TRY004 - data, not types
    # Null is no other use, and an empty one is a fault of its own.
    read = [
        _read_jwk(jwk) for jwk in jwks[:_MOST_KEYS] if isinstance(jwk, dict) and jwk.get("use") in _FOR_SIGNATURES
    ]
    if not read:
        raise ValueError("holds no key for signatures")
    return tuple(read)


_FOR_SIGNATURES = ("sig", None, "")


def _read_jwk(jwk: Mapping[str, Any]) -> _Read:
    kid, alg = jwk.get("kid"), jwk.get("alg")
    operations = jwk.get("key_ops")
    return _Read(
        public_key_of(jwk),
        kid if isinstance(kid, str) else None,
        None if alg is None else str(alg),
        operations if isinstance(operations, list) else None,  # node-oidc-provider ignores any other value
        empty=tuple(name for name in ("use", "alg") if jwk.get(name) == ""),
        odd=tuple(name for name, value in jwk.items() if value is None or mended(jwk).get(name, value) != value),
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
        if not LEAST_RSA_BITS <= native.key_size <= MOST_RSA_BITS:
            return _Fault(Rule.REGISTRATION_KEY_SIZE, f"RSA with {native.key_size} bits")
        if one.allowed is not None and "PS256" not in one.allowed:
            return _Fault(Rule.REGISTRATION_KEY_TYPE, "an RSASSA-PSS key limited to another hash than SHA-256")
    elif isinstance(native, EllipticCurvePublicKey):
        if native.curve.name != "secp256r1":
            return _Fault(Rule.REGISTRATION_KEY_TYPE, f"an EC key on the curve {native.curve.name}")
    elif native is None:
        named = f"a key of the type {one.name}" if one.name else "a key that cannot be read"
        return _Fault(Rule.REGISTRATION_KEY_TYPE, named)
    else:
        return _Fault(Rule.REGISTRATION_KEY_TYPE, f"a key of the type {type(native).__name__.strip('_')}")
    # The provider compares a text that is there, and an empty one fits nothing.
    if one.empty:
        member = one.empty[0]
        return _Fault(
            Rule.REGISTRATION_KEY_TYPE,
            f'a key whose {member} is empty ("")',
            f"a value for {member}, or no such member",
            f"leave {member} out of the JWK",
        )
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
    odd_ones = [one.odd for one in read if one.odd] if rule is Rule.REGISTRATION_KEY_TYPE else []
    if not of_this_rule and odd_ones:
        return odd(
            f"a JWK whose {' and '.join(map(printable, odd_ones[0]))} cannot be read by all",
            "no member that is null, and numbers as RFC 7518 section 2 writes them",
            "write the JWK again: banno-creds keygen --public-from FILE -o json",
        )
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
    allowed = fitting if one.allowed is None else one.allowed
    algorithms = tuple(alg for alg in fitting if one.alg in (None, alg) and alg in allowed)
    description = f"{_described(one)} from {origin}"
    key = VerificationKey(native, description, algorithms, one.kid)  # type: ignore[arg-type]  # `_fault` has seen to it
    return RegisteredKey(description, algorithms, partial(made_by, key), one.kid, partial(wrong_form, key))


def _described(one: _Read) -> str:
    size = f"RSA {one.native.key_size}" if isinstance(one.native, RSAPublicKey) else "EC P-256"
    named = f", kid {shown(one.kid)}" if one.kid is not None else ""
    return f"{size}{named}" + (f", for {shown(one.alg)}" if one.alg is not None else "")
