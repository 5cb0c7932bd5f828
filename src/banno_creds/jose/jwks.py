"""Public keys that may verify a JWT, from a file or a JWK Set (RFC 7517). `public_keys` reads the files.

The type and the JWK of a key decide which algorithms it may verify; a token's header never does (RFC 8725
section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from banno_creds.errors import ConfigurationError
from banno_creds.jose.der import MOST_RSA_BITS
from banno_creds.jose.jwk import mended
from banno_creds.jose.keys import LEAST_RSA_BITS
from banno_creds.jose.libraries import UnreadableError, read_by
from banno_creds.jose.public_keys import NoPublicKeyError, read_public_keys
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Native = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

EDWARDS_ALGORITHMS = ("EdDSA", "Ed25519")
"""Two names of one algorithm, for an Ed25519 key (RFC 9864)."""

_RSA_ALGORITHMS = ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512")
_EC_ALGORITHMS = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
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
    """Read public keys: in PEM or DER, in certificates, a JWK or a JWK Set (RFC 7517); see `dressings`.

    Raises:
        ConfigurationError: there is no usable public key.
    """
    try:
        read = read_public_keys(content)
    except NoPublicKeyError as failure:
        if failure.is_private:
            raise _private(origin) from None
        raise ConfigurationError(
            f"{origin} {str(failure) or 'holds no public key that can be read'}", hint=failure.hint or _GIVE_A_KEY
        ) from None
    if read.is_private:
        raise _private(origin)
    if read.jwks is not None:
        return keys_of(read.jwks, origin)
    keys = []
    for found in read.found:
        key = _verification_key(found.native, origin)
        if key is not None:
            allowed = key.algorithms if found.algorithms is None else found.algorithms
            keys.append(replace(key, algorithms=tuple(alg for alg in key.algorithms if alg in allowed)))
    if not keys:
        raise ConfigurationError(f"{origin} is a key of a type that cannot verify a JWT", hint=_GIVE_A_KEY)
    return tuple(keys)


def _private(origin: str) -> ConfigurationError:
    return ConfigurationError(
        f"{origin} holds a private key, and verifying needs only the public one",
        hint="make it with: banno-creds keygen --public-from FILE, and keep the private one to yourself",
    )


def keys_of(jwks: Mapping[str, Any], origin: str) -> tuple[VerificationKey, ...]:
    """Return the keys of a JWK Set that can verify; all others are ignored (RFC 7517 section 5).

    Raises:
        ConfigurationError: it has no such key.
    """
    members = [jwks] if "kty" in jwks and "keys" not in jwks else jwks.get("keys")
    jwk_set = members[:_MOST_KEYS] if isinstance(members, list) else []
    keys = [key for jwk in jwk_set if isinstance(jwk, dict) and (key := _from_jwk(jwk, origin)) is not None]
    if not keys:
        raise ConfigurationError(f"{origin} holds no key that can verify", hint=_GIVE_A_KEY)
    return tuple(keys)


def public_key_of(jwk: Mapping[str, Any]) -> object:
    """Make the public key of a JWK, whatever it is for, by its public members alone; None if they make none."""
    # Only the public members: a private JWK in a public set would otherwise make a private key.
    members = mended({name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk})
    if members.get("kty") not in ("RSA", "EC", "OKP") or len(str(members.get("n"))) > MOST_RSA_BITS // 6 + 1:
        return None
    try:
        return read_by(lambda: PyJWK(members).key)
    except UnreadableError:
        return None


def _from_jwk(jwk: Mapping[str, Any], origin: str) -> VerificationKey | None:
    """Return the key of a JWK; None if the JWK is broken, or is not for signatures."""
    jwk = mended(jwk)
    # Some write a string for a list of one, and the other way round.
    use, operations = jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    use = use[0] if isinstance(use, list) and len(use) == 1 else use
    operations = [operations] if isinstance(operations, str) else operations
    if jwk.get("kty") not in ("RSA", "EC", "OKP") or str(use).lower() != "sig":
        return None
    if not isinstance(operations, list) or not {"verify", "sign"} & {str(operation) for operation in operations}:
        return None
    native = public_key_of(jwk)
    kid, alg = jwk.get("kid"), jwk.get("alg")
    key = _verification_key(native, origin, kid if isinstance(kid, str) else None)
    if key is None or alg is None:
        return key
    # A JWK's alg narrows what the key's type allows (RFC 7517 section 4.4); not all write it in its own case.
    alg = next((known for known in (*key.algorithms, *EDWARDS_ALGORITHMS) if known.lower() == str(alg).lower()), alg)
    algorithms = EDWARDS_ALGORITHMS if alg in EDWARDS_ALGORITHMS else (alg,)
    narrowed = tuple(algorithm for algorithm in key.algorithms if algorithm in algorithms)
    return replace(key, algorithms=narrowed, description=f"{key.description}, for {alg}") if narrowed else None


def _verification_key(native: object, origin: str, kid: str | None = None) -> VerificationKey | None:
    named = f"{origin}, kid {printable(kid, 80)}" if kid else origin
    if isinstance(native, RSAPublicKey) and LEAST_RSA_BITS <= native.key_size <= MOST_RSA_BITS:
        return VerificationKey(native, f"RSA {native.key_size} from {named}", _RSA_ALGORITHMS, kid)
    if isinstance(native, EllipticCurvePublicKey) and native.curve.name in _EC_ALGORITHMS:
        return VerificationKey(native, f"EC {native.key_size} from {named}", _EC_ALGORITHMS[native.curve.name], kid)
    if isinstance(native, Ed25519PublicKey):
        return VerificationKey(native, f"Ed25519 from {named}", EDWARDS_ALGORITHMS, kid)
    return None
