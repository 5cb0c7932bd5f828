"""Say what was given in the place of a usable private key. `keys` imports this only when a key cannot be read."""

from __future__ import annotations

import re
from contextlib import suppress

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_der_x509_certificate, load_der_x509_csr

from banno_creds.config import KEY_VARIABLE
from banno_creds.errors import KeyLoadError
from banno_creds.text import setting

# A PFX (RFC 7292 section 4): a SEQUENCE that starts with the version 3 and another SEQUENCE.
_PKCS12 = re.compile(rb"0(?:[\x00-\x80]|\x81.|\x82..|\x83...)\x02\x01\x030", re.DOTALL)
_PATH = re.compile(rb"[^\n]{1,300}\.(?:pem|key|der|p8|pk8|jwk|json|txt)", re.IGNORECASE)
_PUBLIC_LABELS = {
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "CERTIFICATE": "a certificate",
    "TRUSTED CERTIFICATE": "a certificate",
    "X509 CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a certificate request",
    "NEW CERTIFICATE REQUEST": "a certificate request",
}
_DER_READERS = {
    "a public key": serialization.load_der_public_key,
    "a certificate": load_der_x509_certificate,
    "a certificate request": load_der_x509_csr,
}
_MAKE_ONE = "make a key pair with: banno-creds keygen"
_GIVE_PRIVATE = "give the file whose first line says PRIVATE KEY"
# For a key in a variable, from a CI job's secret: the reader of the log has no file to look at.
_STORE = "store the whole of private.pem in the secret, or what `base64 < private.pem` prints"


def no_private_key(text: bytes, labels: set[str], origin: str) -> KeyLoadError:
    """Describe text without a whole private key in PEM; ``labels`` are those of its whole PEM blocks."""
    if not text:
        return KeyLoadError(
            f"{origin} is empty", hint=_for_origin(f"look at what should have filled it, or {_MAKE_ONE}", origin)
        )
    half = b"PRIVATE KEY-----" in text and not any("PRIVATE KEY" in label for label in labels)
    if half or (text.startswith(b"-----BEGIN") and not labels):
        return KeyLoadError(
            f"{origin} is cut off: its PEM block lacks the BEGIN line or the END line that goes with it",
            hint=_for_origin("copy the whole file, from -----BEGIN to the last dash of -----END …-----", origin),
        )
    for label in sorted(labels & _PUBLIC_LABELS.keys()):
        return _public(_PUBLIC_LABELS[label], origin)
    if text.startswith((b"ssh-", b"ecdsa-sha2-", b"sk-", b"---- BEGIN SSH2 PUBLIC KEY ----")):
        return KeyLoadError(
            f"{origin} holds a public key (OpenSSH), and signing needs the private key",
            hint="the private one is usually the file of the same name without .pub",
        )
    if text.startswith(b"PuTTY-User-Key-File"):
        return KeyLoadError(
            f"{origin} is a PuTTY key",
            hint="convert it: puttygen FILE -O private-openssh -o key.pem; on Windows, in PuTTYgen: "
            "Conversions, Export OpenSSH key",
        )
    if labels:
        return KeyLoadError(
            f"{origin} holds no private key that can be used here, but: {', '.join(sorted(labels))}",
            hint=_GIVE_PRIVATE,
        )
    if _PATH.fullmatch(text):
        return KeyLoadError(
            f"{origin} holds what looks like a file's path, and no key",
            hint=f"give that path with {setting('private_key')}",
        )
    length = f", in its {len(text)} characters" if origin == KEY_VARIABLE else ""
    return KeyLoadError(
        f"{origin} holds no key{length}: neither PEM, DER nor JWK",
        hint=_for_origin(f"{_GIVE_PRIVATE}, or {_MAKE_ONE}", origin),
    )


def not_a_der_key(content: bytes, origin: str) -> KeyLoadError:
    """Describe DER that is no private key; it has no label, so it is tried as everything else."""
    if _PKCS12.match(content):
        return KeyLoadError(
            f"{origin} is a PKCS#12 file (.p12, .pfx)",
            hint="take the key out of it: openssl pkcs12 -in FILE -nocerts -out key.pem, then chmod 600 key.pem",
        )
    for kind, read in _DER_READERS.items():
        with suppress(ValueError, UnsupportedAlgorithm):
            read(content)
            return _public(kind, origin)
    return damaged(origin)


def damaged(origin: str) -> KeyLoadError:
    """Describe what has the form of a private key, and cannot be read."""
    return KeyLoadError(
        f"{origin} looks like a private key, but it is damaged or of an unknown kind",
        hint=_for_origin("look at it with: openssl pkey -in FILE -noout -check, or take it from a backup", origin),
    )


def _public(kind: str, origin: str) -> KeyLoadError:
    return KeyLoadError(
        f"{origin} holds {kind}, and signing needs the private key", hint=_for_origin(_GIVE_PRIVATE, origin)
    )


def _for_origin(hint: str, origin: str) -> str:
    """Return the hint for a file; a secret in the variable is to be stored anew instead."""
    return _STORE if origin == KEY_VARIABLE else hint
