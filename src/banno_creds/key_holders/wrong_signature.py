"""Verify a holder's signature; of one that does not verify, say what the holder did instead of what JWS wants."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512

from banno_creds.errors import SigningError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    Native = RSAPublicKey | EllipticCurvePublicKey

_COORDINATE = 32
_SALT = 32


def verifies(native: Native, alg: str, signing_input: bytes, signature: bytes) -> bool:
    """Return whether a signature is what JWS wants (RFC 7518 sections 3.3 to 3.5)."""
    if isinstance(native, EllipticCurvePublicKey):
        return len(signature) == 2 * _COORDINATE and _by_ec(native, signing_input, _der(signature), SHA256())
    return _by_rsa(native, signing_input, signature, _padding(alg), SHA256())


def explain(native: Native, alg: str, signing_input: bytes, signature: bytes, origin: str) -> SigningError:
    """Return the error for a signature that does not verify."""
    instead = next(_instead(native, alg, signing_input, signature), None)
    if instead is None:
        return SigningError(
            f"{origin} made a signature that does not verify with its own public half: another key signed, or "
            f"something else than {alg}",
            hint="look at the public key that the holder has beside the private one; no token was asked for with it",
        )
    return SigningError(
        f"the holder of {origin} signs wrongly: {instead}, and {alg} wants {_WANTED[alg]}",
        hint="update or reconfigure the holder, or choose another algorithm; no token was asked for with it",
    )


_WANTED = {
    "PS256": "RSASSA-PSS with SHA-256 and a salt of 32 bytes (RFC 7518 section 3.5)",
    "RS256": "RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3)",
    "ES256": "ECDSA with SHA-256, as the 64 bytes of r and s (RFC 7518 section 3.4)",
}


def _instead(native: Native, alg: str, signing_input: bytes, signature: bytes) -> Iterator[str]:
    """Tell what a wrong signature is, if it is one of the usual faults."""
    twice = hashlib.sha256(signing_input).digest()
    if isinstance(native, EllipticCurvePublicKey):
        forms = {"as r and s": _der(signature), "in DER": signature}
        for form, der in forms.items():
            for words, digest in _DIGESTS:
                if _by_ec(native, signing_input, der, digest):
                    yield f"it signs with {words}, {form}"
            if _by_ec(native, twice, der, SHA256()):
                yield "it hashes twice" + ("" if form == "as r and s" else ", and gives DER")
        return
    paddings: dict[str, tuple[AsymmetricPadding, ...]] = {"RSASSA-PKCS1-v1_5": (PKCS1v15(),)}
    for words, digest in _DIGESTS:
        paddings["RSASSA-PSS"] = (PSS(MGF1(digest), PSS.AUTO), PSS(MGF1(_SHA1), PSS.AUTO))
        for name, ways in paddings.items():
            for padding in ways:
                if _by_rsa(native, signing_input, signature, padding, digest):
                    of_its_own = name == "RSASSA-PSS" and alg == "PS256" and isinstance(digest, SHA256)
                    yield (
                        "its RSASSA-PSS has a salt of another length, or another mask (MGF1)"
                        if of_its_own
                        else f"it signs by {name} with {words}"
                    )
    if _by_rsa(native, twice, signature, _padding(alg), SHA256()):
        yield "it hashes twice"


_SHA1 = SHA1()  # noqa: S303 - to name it, not to use it
_DIGESTS: tuple[tuple[str, HashAlgorithm], ...] = (
    ("SHA-256", SHA256()),
    ("SHA-384", SHA384()),
    ("SHA-512", SHA512()),
    ("SHA-1", _SHA1),
)


def _padding(alg: str) -> AsymmetricPadding:
    return PKCS1v15() if alg == "RS256" else PSS(MGF1(SHA256()), _SALT)


def _der(signature: bytes) -> bytes:
    """Return r and s in DER; what is no such pair gives bytes that verify nothing."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def _by_ec(native: EllipticCurvePublicKey, message: bytes, signature: bytes, digest: HashAlgorithm) -> bool:
    try:
        native.verify(signature, message, ECDSA(digest))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _by_rsa(
    native: RSAPublicKey, message: bytes, signature: bytes, padding: AsymmetricPadding, digest: HashAlgorithm
) -> bool:
    try:
        native.verify(signature, message, padding, digest)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
