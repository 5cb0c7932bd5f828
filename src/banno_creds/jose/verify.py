"""Whose signature a JWT carries. PyJWT does the arithmetic; here is decided which keys and algorithms it may use.

The algorithms a key may verify follow from the key's own type, never from the token's header alone (RFC 8725
section 3.1): ``none`` is refused, and a public key is never used as the secret of an HMAC.
"""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from jwt import PyJWK
from jwt.algorithms import get_default_algorithms
from jwt.exceptions import PyJWTError

from banno_creds.errors import ConfigurationError, TokenError
from banno_creds.jose.encoding import base64url_decode, parse_json_object
from banno_creds.jose.keys import LEAST_RSA_BITS
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

    from banno_creds.jose.decode import DecodedToken

    Native = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_RSA_ALGORITHMS = ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512")
_EC_ALGORITHMS = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}

_EDWARDS_ALGORITHMS = ("EdDSA", "Ed25519")  # the same to a key of this type (RFC 9864)

# OpenSSL's own limit: what is larger would keep us busy and prove nothing.
_MOST_RSA_BITS = 16384

# A JWK Set has a handful of keys. Trying many is a way to make us busy.
_MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, and the algorithms that go with it."""

    native: Native
    description: str
    algorithms: tuple[str, ...]
    kid: str | None = None


def load_public_key(content: bytes, origin: str) -> tuple[VerificationKey, ...]:
    """Read what may verify: a public key or certificate in PEM, a JWK or a JWK Set (RFC 7517).

    Args:
        content: what was in the file.
        origin: how messages name the file.

    Returns:
        The keys.

    Raises:
        ConfigurationError: it holds no public key that can be used.
    """
    text = content.removeprefix(b"\xef\xbb\xbf").strip()
    if text.startswith(b"{"):
        try:
            jwks = parse_json_object(text)
        except ValueError as failure:
            raise ConfigurationError(f"{origin} starts like a JWK Set, but {failure}", hint=_GIVE_A_KEY) from None
        return keys_of(jwks if "keys" in jwks else {"keys": [jwks]}, origin)
    if b"PRIVATE KEY-----" in text:
        raise ConfigurationError(
            f"{origin} holds a private key, and verifying needs only the public one",
            hint="make it with: banno-creds keygen --public-from FILE, and keep the private one to yourself",
        )
    try:
        if b"CERTIFICATE-----" in text:
            native: object = x509.load_pem_x509_certificate(text).public_key()
        else:
            native = serialization.load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{origin} holds no public key that can be read", hint=_GIVE_A_KEY) from None
    key = _verification_key(native, origin)
    if key is None:
        raise ConfigurationError(f"{origin} is a key of a sort that verifies no JWT here", hint=_GIVE_A_KEY)
    return (key,)


_GIVE_A_KEY = (
    f"give a PEM public key, a certificate, a JWK or a JWK Set: RSA from {LEAST_RSA_BITS} bits, EC or Ed25519"
)


def keys_of(jwks: Mapping[str, Any], origin: str) -> tuple[VerificationKey, ...]:
    """The keys of a JWK Set that can verify; others in it are passed over (RFC 7517 section 5).

    Args:
        jwks: the JWK Set.
        origin: how messages name where it came from.

    Returns:
        The keys.

    Raises:
        ConfigurationError: it holds none.
    """
    members = jwks.get("keys")
    keys = []
    for jwk in members[:_MOST_KEYS] if isinstance(members, list) else []:
        key = _from_jwk(jwk, origin) if isinstance(jwk, dict) else None
        if key is not None:
            keys.append(key)
    if not keys:
        raise ConfigurationError(f"{origin} holds no key that can verify", hint=_GIVE_A_KEY)
    return tuple(keys)


_PUBLIC_MEMBERS = ("kty", "crv", "n", "e", "x", "y")


def _from_jwk(jwk: Mapping[str, Any], origin: str) -> VerificationKey | None:
    """The key of a JWK that is meant to verify; one of another sort, or broken, is none."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("kty") not in ("RSA", "EC", "OKP") or jwk.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or not {"verify", "sign"} & {str(operation) for operation in operations}:
        return None
    native = public_key_of(jwk)
    kid, alg = jwk.get("kid"), jwk.get("alg")
    key = _verification_key(native, origin, kid if isinstance(kid, str) else None)
    if key is None or alg is None:
        return key
    # The key's own word on its algorithm narrows what its type allows (RFC 7517 section 4.4).
    algorithms = _EDWARDS_ALGORITHMS if alg in _EDWARDS_ALGORITHMS else (alg,)
    narrowed = tuple(algorithm for algorithm in key.algorithms if algorithm in algorithms)
    return replace(key, algorithms=narrowed, description=f"{key.description}, for {alg}") if narrowed else None


def public_key_of(jwk: Mapping[str, Any]) -> object:
    """The public key of a JWK, whatever it is meant for; None if it makes none.

    Args:
        jwk: the JWK. Of a private one only the public half is looked at.

    Returns:
        One of cryptography's public keys.
    """
    if jwk.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        # Only the public members: a private JWK in a public set would otherwise make a private key.
        return PyJWK({name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk}).key
    except (PyJWTError, ValueError, TypeError):
        return None


def _verification_key(native: object, origin: str, kid: str | None = None) -> VerificationKey | None:
    named = f"{origin}, kid {printable(kid, 80)}" if kid else origin
    if isinstance(native, RSAPublicKey) and LEAST_RSA_BITS <= native.key_size <= _MOST_RSA_BITS:
        return VerificationKey(native, f"RSA {native.key_size} from {named}", _RSA_ALGORITHMS, kid)
    if isinstance(native, EllipticCurvePublicKey) and native.curve.name in _EC_ALGORITHMS:
        return VerificationKey(native, f"EC {native.key_size} from {named}", _EC_ALGORITHMS[native.curve.name], kid)
    if isinstance(native, Ed25519PublicKey):
        return VerificationKey(native, f"Ed25519 from {named}", _EDWARDS_ALGORITHMS, kid)
    return None


def verify_signature(token: DecodedToken, keys: Sequence[VerificationKey]) -> VerificationKey:
    """Find the key that made a token's signature.

    Args:
        token: the token.
        keys: those that may have made it. Where the token's header has a ``kid`` and a key has one too, only the
            keys with that ``kid`` are tried.

    Returns:
        The key.

    Raises:
        TokenError: none of them did, or the token's ``alg`` is none that they may verify.
    """
    alg, kid = token.header.get("alg"), token.header.get("kid")
    if alg == "none" or not isinstance(alg, str):
        raise TokenError(
            "the token is not signed at all (alg none)" if alg == "none" else "the token's header names no alg",
            hint="anybody can have written it: do not rely on it",
        )
    if alg.startswith("HS"):
        raise TokenError(
            f"the token says it is signed with a shared secret ({printable(alg, 20)}), and a public key is not one",
            hint="do not rely on it: taking a public key for a secret is a known way to forge tokens",
        )
    if "crit" in token.header:
        raise TokenError(
            "the token's header has critical extensions (crit) that are not understood here",
            hint="verify it with software made for that extension",
        )
    named = [key for key in keys if kid is None or key.kid is None or key.kid == kid]
    if not named:
        raise TokenError(
            f"no key with the token's kid {printable(kid, 80)!a} is known",
            details=("known: " + ", ".join(sorted(printable(key.kid, 80) for key in keys)),),
            hint="check that the keys are those of the token's issuer; after a key rotation fetch them again",
        )
    fitting = [key for key in named if alg in key.algorithms]
    if not fitting:
        kinds = ", ".join(sorted({key.description for key in named}))
        raise TokenError(
            f"the token says alg {printable(alg, 20)}, which no key here may verify ({kinds})",
            hint="check that the key is that of the token's issuer",
        )
    for key in fitting:
        if made_by(key, token.compact, alg):
            return key
    raise TokenError(
        "the signature does not verify: the token was changed, or another key signed it",
        details=tuple(f"tried: {key.description}" for key in fitting[:5]),
        hint="check that the key is that of the token's issuer; otherwise do not rely on the token",
    )


def made_by(key: VerificationKey, compact: str, alg: str) -> bool:
    """Whether a key made the signature of a compact JWS.

    Args:
        key: the key.
        compact: the JWS, of which is known that it can be read.
        alg: one of the algorithms that the key may verify.

    Returns:
        Whether it did.
    """
    # PyJWT's algorithms, not its reading of tokens: the header that is judged is the one `decode` read, strictly.
    algorithm = get_default_algorithms()["EdDSA" if alg in _EDWARDS_ALGORITHMS else alg]
    signing_input, _, signature = compact.rpartition(".")
    return algorithm.verify(signing_input.encode("ascii"), key.native, base64url_decode(signature))


_AS_BYTES = "put the signature's bytes into base64url, and nothing in between"
_FOR_ES256 = (
    "send R and S, 32 bytes each: in Java SHA256withECDSAinP1363Format, in .NET IeeeP1363, in Node ieee-p1363"
)
_FOR_PS256 = "sign with PSS, a salt of 32 bytes, and SHA-256 for the digest and for MGF1, or say what it is in alg"
_FOR_RS256 = "sign with PKCS #1 v1.5 and SHA-256, or say what it is in alg"


def wrong_form(key: VerificationKey, compact: str, alg: str) -> tuple[str, str] | None:
    """In which wrong form a key made a signature that does not verify, as crypto libraries give them by default.

    Args:
        key: the key.
        compact: the JWS, of which is known that it can be read.
        alg: ES256, PS256 or RS256, as its header has it.

    Returns:
        What the signature is, and what to do; None if the key did not make it in any of these forms.
    """
    signing_input, _, part = compact.rpartition(".")
    for signature, packed in _unpacked(part):
        form = _form(key.native, alg, signing_input.encode("ascii"), signature)
        if form is not None and (packed or form[0]):
            said, fix = form
            said = f"{packed} and {said}" if packed and said else packed or said
            return said, _AS_BYTES if packed else fix
    return None


def _unpacked(part: str) -> Iterator[tuple[bytes, str]]:
    """The bytes of a signature, and the words for how they were packed where that is not base64url."""
    with suppress(ValueError):
        yield bytes.fromhex(part), "as hex text in place of base64url"
    data = base64url_decode(part)
    yield data, ""
    if re.fullmatch(rb"[0-9A-Fa-f]+", data):
        with suppress(ValueError):
            yield bytes.fromhex(data.decode("ascii")), "as hex text, which was put into base64url"
    elif re.fullmatch(rb"[A-Za-z0-9+/_-]+={0,2}", data):
        with suppress(ValueError):
            padded = data.rstrip(b"=") + b"=" * (-len(data.rstrip(b"=")) % 4)
            yield b64decode(padded.translate(bytes.maketrans(b"-_", b"+/"))), "in base64 twice"


def _form(native: Native, alg: str, signing_input: bytes, signature: bytes) -> tuple[str, str] | None:
    """The form of a signature, empty where it is the right one; None if the key did not make it."""
    if isinstance(native, EllipticCurvePublicKey):
        if len(signature) == 64:
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            return ("", "") if _made_ec(native, encode_dss_signature(r, s), signing_input) else None
        if not _made_ec(native, signature, signing_input):
            return None
        return f"in DER ({len(signature)} bytes) and not as R and S", _FOR_ES256
    if not isinstance(native, RSAPublicKey):
        return None
    digests = (hashes.SHA256(), hashes.SHA1(), hashes.SHA384(), hashes.SHA512())  # noqa: S303 - looked for, not used
    for digest in digests:
        name = digest.name.upper().replace("SHA", "SHA-")
        if _made_rsa(native, signature, signing_input, PKCS1v15(), digest):
            right = alg == "RS256" and name == "SHA-256"
            return ("", "") if right else (f"with PKCS #1 v1.5 and {name}", _fix_for(alg))
        for of_mask in digests:
            mask = of_mask.name.upper().replace("SHA", "SHA-")
            if _made_rsa(native, signature, signing_input, PSS(MGF1(of_mask), PSS.AUTO), digest):
                exact = PSS(MGF1(of_mask), 32)
                with_32 = _made_rsa(native, signature, signing_input, exact, digest)
                if alg == "PS256" and with_32 and name == mask == "SHA-256":
                    return "", ""
                salt = "" if with_32 else ", and a salt that is not of 32 bytes"
                return f"with PSS, {name}, MGF1 with {mask}{salt}", _fix_for(alg)
    return None


def _fix_for(alg: str) -> str:
    return _FOR_PS256 if alg == "PS256" else _FOR_RS256


def _made_ec(native: EllipticCurvePublicKey, signature: bytes, signing_input: bytes) -> bool:
    try:
        native.verify(signature, signing_input, ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _made_rsa(
    native: RSAPublicKey,
    signature: bytes,
    signing_input: bytes,
    padding: AsymmetricPadding,
    digest: hashes.HashAlgorithm,
) -> bool:
    try:
        native.verify(signature, signing_input, padding, digest)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
