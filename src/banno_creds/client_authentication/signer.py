"""Choose a key's signature algorithm, and sign with a private key in memory; `key_holders` sign with the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from banno_creds.errors import ConfigurationError, SigningError
from banno_creds.text import setting
from banno_creds.threads import no_fork

if TYPE_CHECKING:
    from banno_creds.jose.keys import PrivateKey
    from banno_creds.key_holders.held_key import HeldKey

# RFC 7518 section 3.1, by key type; the first is the default. PS256 is what the vendor's helper sends.
ALGORITHMS = {"RSA": ("PS256", "RS256"), "EC": ("ES256",)}

_P256_BYTES = 32


def choose_alg(key: PrivateKey | HeldKey, requested: str | None = None) -> str:
    """Choose the signature algorithm for a key: the requested one, else that of its JWK, else that of its type.

    ConfigurationError if it does not fit the key.
    """
    alg = requested or key.jwk_alg
    fitting = key.algorithms or ALGORITHMS[key.type]
    if alg is None:
        return fitting[0]
    if alg not in fitting:
        raise ConfigurationError(
            f"{key.origin} is an {key.description} key and cannot sign with {alg}"
            + ("" if requested else ", as its JWK says")
            + _why(key),
            hint=f"set {setting('alg')} to {' or '.join(fitting)}" + (", or leave it out" if requested else ""),
        )
    return alg


def _why(key: PrivateKey | HeldKey) -> str:
    """Return why a key does not sign with all algorithms of its type; empty if it does."""
    if key.algorithms is None or set(key.algorithms) >= set(ALGORITHMS[key.type]):
        return ""
    return f": it is for {' or '.join(key.algorithms)} alone ({key.limited_by})"


@dataclass(frozen=True, slots=True)
class KeySigner:
    """Signs with a private key in memory."""

    key: PrivateKey = field(repr=False)
    alg: str

    def sign(self, signing_input: bytes) -> bytes:
        """Sign the JWS Signing Input, and verify the fresh signature with the key's public half (RFC 7518 section 3).

        Loading the key skipped the slow check of its primes. This check takes a fraction of that time, and finds a
        damaged key before its signature, which could reveal the key, leaves the machine.

        Raises:
            SigningError: the signature does not verify.
        """
        try:
            with no_fork():
                return self._sign(signing_input)
        except (InvalidSignature, ValueError):
            raise SigningError(
                f"{self.key.origin} is damaged: its signatures do not verify with its own public half",
                hint="take the key from a backup, or make a new pair with: banno-creds keygen",
            ) from None

    def _sign(self, signing_input: bytes) -> bytes:
        native = self.key.native
        if isinstance(native, EllipticCurvePrivateKey):
            signature = native.sign(signing_input, ECDSA(SHA256()))
            native.public_key().verify(signature, signing_input, ECDSA(SHA256()))
            r, s = decode_dss_signature(signature)
            return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")
        padding = PKCS1v15() if self.alg == "RS256" else PSS(MGF1(SHA256()), SHA256.digest_size)
        signature = native.sign(signing_input, padding, SHA256())
        native.public_key().verify(signature, signing_input, padding, SHA256())
        return signature
