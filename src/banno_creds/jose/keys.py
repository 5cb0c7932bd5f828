"""Key pairs: make one, read a private key in each of its usual forms, write and fingerprint the public key."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from json import dumps
from typing import TYPE_CHECKING, ClassVar, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_private_key

from banno_creds.jose.encoding import base64url
from banno_creds.threads import no_fork

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# RFC 7518 sections 3.3 and 3.5: a key of 2048 bits or larger MUST be used.
LEAST_RSA_BITS = 2048

Passphrase = Callable[[], bytes | None]
"""Called only if the key is encrypted; returns None if there is no passphrase."""

# The usual form: its lines, its size (RSA of 8192 bits has less), and the algorithms that its head names.
_FIRST_LINE = b"-----BEGIN PRIVATE KEY-----\n"
_LAST_LINE = b"\n-----END PRIVATE KEY-----\n"
_MOST_USUAL_BYTES = 8192
_HEAD = 32
_USUAL = (bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a8648ce3d0201"))  # rsaEncryption, id-ecPublicKey
# With e = 1 a signature is its own message: anybody could make one.
_LEAST_RSA_EXPONENT = 3


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key pair, which is registered with the bank."""

    native: RSAPublicKey | EllipticCurvePublicKey

    @property
    def type(self) -> Literal["RSA", "EC"]:
        """The JWK key type (RFC 7518 section 6.1)."""
        return "RSA" if isinstance(self.native, RSAPublicKey) else "EC"

    @property
    def description(self) -> str:
        """``RSA 2048`` or ``EC P-256``."""
        return f"RSA {self.native.key_size}" if self.type == "RSA" else "EC P-256"

    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo (RFC 5280 section 4.1) in DER."""
        return self.native.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def pem(self) -> bytes:
        """The SubjectPublicKeyInfo in PEM, as it is pasted into Users & Groups."""
        return self.native.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def fingerprint(self) -> str:
        """``SHA256:`` and the unpadded base64 of the SPKI's SHA-256, in the form that ssh uses."""
        digest = hashlib.sha256(self.spki()).digest()
        return "SHA256:" + b64encode(digest).decode("ascii").rstrip("=")

    def jwk(self) -> dict[str, str]:
        """The JWK's required members (RFC 7518 sections 6.2.1 and 6.3.1), in the order of RFC 7638."""
        if isinstance(self.native, RSAPublicKey):
            numbers = self.native.public_numbers()
            return {"e": _unsigned(numbers.e), "kty": "RSA", "n": _unsigned(numbers.n)}
        point = self.native.public_numbers()
        return {
            "crv": "P-256",
            "kty": "EC",
            "x": base64url(point.x.to_bytes(32, "big")),
            "y": base64url(point.y.to_bytes(32, "big")),
        }

    def thumbprint(self) -> str:
        """The JWK's SHA-256 thumbprint (RFC 7638): the usual ``kid``."""
        canonical = dumps(self.jwk(), separators=(",", ":"), sort_keys=True).encode("ascii")
        return base64url(hashlib.sha256(canonical).digest())


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key that the provider accepts: RSA of 2048 bits or more, or EC P-256.

    ``origin`` names the key's source in messages; ``jwk_alg`` is the ``alg`` of its JWK, if it has one. ``only_alg``
    is the one algorithm that the key itself allows, as id-RSASSA-PSS does (RFC 4055 section 1.2).
    """

    native: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    origin: str
    jwk_alg: str | None = None
    only_alg: str | None = field(default=None, repr=False)

    limited_by: ClassVar[str] = "id-RSASSA-PSS"

    @property
    def type(self) -> Literal["RSA", "EC"]:
        """The JWK key type (RFC 7518 section 6.1)."""
        return "RSA" if isinstance(self.native, RSAPrivateKey) else "EC"

    @property
    def algorithms(self) -> tuple[str, ...] | None:
        """The algorithms that the key itself allows; None if it allows all of its type."""
        return None if self.only_alg is None else (self.only_alg,)

    @property
    def size(self) -> int:
        """Its size in bits."""
        return self.native.key_size

    @property
    def description(self) -> str:
        """``RSA 2048`` or ``EC P-256``."""
        return f"RSA {self.size}" if self.type == "RSA" else "EC P-256"

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self.native.public_key())

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """The key as PKCS#8 (RFC 5958) in PEM, encrypted if there is a passphrase."""
        encryption = (
            serialization.BestAvailableEncryption(passphrase)
            if passphrase is not None
            else serialization.NoEncryption()
        )
        return self.native.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def generate(key_type: Literal["rsa", "ec"], bits: int = LEAST_RSA_BITS) -> PrivateKey:
    """Make a new key: ``rsa`` of so many bits, or ``ec`` for P-256."""
    if key_type == "ec":
        return PrivateKey(generate_private_key(SECP256R1()), "new key")
    return PrivateKey(generate_rsa_private_key(65537, bits), "new key")


def load_private_key(
    content: bytes, origin: str, passphrase: Passphrase = lambda: None, *, thorough: bool = False
) -> PrivateKey:
    """Read a private key in any form in which people and CI secret stores keep one.

    ========  ===========================================================================================
    PEM       PKCS#8, PKCS#1, SEC 1 and OpenSSH, under any label; encrypted too, except OpenSSH
    DER       PKCS#8, PKCS#1 and SEC 1; encrypted PKCS#8 too
    JWK       private, RSA or EC (RFC 7517)
    damaged   what `dressings` can undo: other encodings, escapes, line ends, base64 of any form above
    ========  ===========================================================================================

    Args:
        content: the content of the file, of the variable or of standard input.
        origin: the key's source, as messages name it.
        passphrase: called if the key is encrypted.
        thorough: check the primes of an RSA key, which takes about 30 ms. It is not needed for signing: a signer
            verifies each signature that it makes, which detects a broken key as well.

    Raises:
        KeyLoadError: this is not a private key, or the provider does not accept its type or size; the message and
            the hint say which.
        PassphraseError: the key is encrypted, and the passphrase is missing or wrong.
    """
    if not thorough and (native := _as_keygen_writes(content)) is not None:
        return _accepted(native, origin)
    from banno_creds.jose.private_keys import read_private_key

    native, jwk_alg, only_alg = read_private_key(content, origin, passphrase, thorough=thorough)
    return replace(_accepted(native, origin), jwk_alg=jwk_alg, only_alg=only_alg)


def _as_keygen_writes(content: bytes) -> PrivateKeyTypes | None:
    """Return the key of the usual form, PKCS#8 in PEM and in the clear; None for all others, which take longer."""
    if not content.startswith(_FIRST_LINE) or not content.endswith(_LAST_LINE) or len(content) > _MOST_USUAL_BYTES:
        return None
    try:
        der = b64decode(content[len(_FIRST_LINE) : -len(_LAST_LINE)])
        if not any(oid in der[:_HEAD] for oid in _USUAL):
            return None
        with no_fork():
            return serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def accepted(native: object, origin: str) -> PublicKey:
    """Return a public key if the provider accepts its type and size.

    Args:
        native: one of cryptography's public keys.
        origin: the key's source, as messages name it.

    Raises:
        KeyLoadError: the provider does not accept it.
    """
    from banno_creds.jose.der import MOST_RSA_BITS  # to sign with a key file needs nothing of it

    if isinstance(native, RSAPublicKey):
        exponent = native.public_numbers().e
        if LEAST_RSA_BITS <= native.key_size <= MOST_RSA_BITS and exponent >= _LEAST_RSA_EXPONENT:
            return PublicKey(native)
    elif isinstance(native, EllipticCurvePublicKey) and native.curve.name == "secp256r1":
        return PublicKey(native)
    from banno_creds.jose import unusable_key

    if isinstance(native, EllipticCurvePublicKey):
        raise unusable_key.wrong_curve(f"the curve {native.curve.name}", origin)
    if not isinstance(native, RSAPublicKey):
        raise unusable_key.wrong_type(type(native).__name__.removesuffix("PublicKey").lstrip("_"), origin)
    if native.key_size > MOST_RSA_BITS:
        words = f"of {native.key_size} bits; {MOST_RSA_BITS} is the most that OpenSSL works with"
        raise unusable_key.weak(words, origin)
    if native.key_size >= LEAST_RSA_BITS:
        raise unusable_key.weak(f"with the public exponent {exponent}, whose signatures anybody can forge", origin)
    raise unusable_key.weak(f"of {native.key_size} bits; {LEAST_RSA_BITS} is the least (RFC 7518)", origin)


def _accepted(native: PrivateKeyTypes, origin: str) -> PrivateKey:
    """Return the key if the provider accepts its type and size."""
    accepted(native.public_key(), origin)
    return PrivateKey(native, origin)  # type: ignore[arg-type]  # `accepted` has seen to it


def _unsigned(number: int) -> str:
    """Base64urlUInt (RFC 7518 section 2)."""
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
