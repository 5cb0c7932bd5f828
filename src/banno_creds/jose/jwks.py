"""Public keys that may verify a JWT, from a file or a JWK Set (RFC 7517).

The type and the JWK of a key decide which algorithms it may verify; a token's header never does (RFC 8725
section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from banno_creds.errors import ConfigurationError
from banno_creds.jose.encoding import parse_json_object
from banno_creds.jose.keys import LEAST_RSA_BITS
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Native = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

EDWARDS_ALGORITHMS = ("EdDSA", "Ed25519")
"""Two names of one algorithm, for an Ed25519 key (RFC 9864)."""

_RSA_ALGORITHMS = ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512")
_EC_ALGORITHMS = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
_MOST_RSA_BITS = 16384  # OpenSSL's own limit: a larger key costs much time
_MOST_KEYS = 100  # a real JWK Set has a handful; each key that is tried costs time
_PUBLIC_MEMBERS = ("kty", "crv", "n", "e", "x", "y")
_GIVE_A_KEY = (
    f"give a PEM public key, a certificate, a JWK or a JWK Set: RSA from {LEAST_RSA_BITS} bits, EC or Ed25519"
)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, and the algorithms that it may verify."""

    native: Native
    description: str
    algorithms: tuple[str, ...]
    kid: str | None = None


def load_public_key(content: bytes, origin: str) -> tuple[VerificationKey, ...]:
    """Read a public key or certificate in PEM, a JWK or a JWK Set (RFC 7517).

    Args:
        content: the content of the file.
        origin: the file, as messages name it.

    Returns:
        The keys.

    Raises:
        ConfigurationError: there is no usable public key.
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
        raise ConfigurationError(f"{origin} is a key of a type that cannot verify a JWT", hint=_GIVE_A_KEY)
    return (key,)


def keys_of(jwks: Mapping[str, Any], origin: str) -> tuple[VerificationKey, ...]:
    """Return the keys of a JWK Set that can verify; all others are ignored (RFC 7517 section 5).

    Args:
        jwks: the JWK Set.
        origin: its source, as messages name it.

    Returns:
        The keys.

    Raises:
        ConfigurationError: it has no such key.
    """
    members = jwks.get("keys")
    jwk_set = members[:_MOST_KEYS] if isinstance(members, list) else []
    keys = [key for jwk in jwk_set if isinstance(jwk, dict) and (key := _from_jwk(jwk, origin)) is not None]
    if not keys:
        raise ConfigurationError(f"{origin} holds no key that can verify", hint=_GIVE_A_KEY)
    return tuple(keys)


def public_key_of(jwk: Mapping[str, Any]) -> object:
    """Make the public key of a JWK, for whatever use the JWK is.

    Args:
        jwk: the JWK. Of a private one only the public members are read.

    Returns:
        One of cryptography's public keys; None if the members do not make one.
    """
    if jwk.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        # Only the public members: a private JWK in a public set would otherwise make a private key.
        return PyJWK({name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk}).key
    except (PyJWTError, ValueError, TypeError):
        return None


def _from_jwk(jwk: Mapping[str, Any], origin: str) -> VerificationKey | None:
    """Return the key of a JWK; None if the JWK is broken, or is not for signatures."""
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
    # A JWK's alg narrows what the key's type allows (RFC 7517 section 4.4).
    algorithms = EDWARDS_ALGORITHMS if alg in EDWARDS_ALGORITHMS else (alg,)
    narrowed = tuple(algorithm for algorithm in key.algorithms if algorithm in algorithms)
    return replace(key, algorithms=narrowed, description=f"{key.description}, for {alg}") if narrowed else None


def _verification_key(native: object, origin: str, kid: str | None = None) -> VerificationKey | None:
    named = f"{origin}, kid {printable(kid, 80)}" if kid else origin
    if isinstance(native, RSAPublicKey) and LEAST_RSA_BITS <= native.key_size <= _MOST_RSA_BITS:
        return VerificationKey(native, f"RSA {native.key_size} from {named}", _RSA_ALGORITHMS, kid)
    if isinstance(native, EllipticCurvePublicKey) and native.curve.name in _EC_ALGORITHMS:
        return VerificationKey(native, f"EC {native.key_size} from {named}", _EC_ALGORITHMS[native.curve.name], kid)
    if isinstance(native, Ed25519PublicKey):
        return VerificationKey(native, f"Ed25519 from {named}", EDWARDS_ALGORITHMS, kid)
    return None
