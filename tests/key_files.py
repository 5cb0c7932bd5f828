"""Keys as files: every form, damaged and encrypted ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.openssl import openssl

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.jose import keys


def damaged_rsa(key: keys.PrivateKey) -> rsa.RSAPrivateKey:
    """Its private exponent and one of its CRT exponents are wrong: with one alone, OpenSSL helps itself."""
    assert isinstance(key.native, rsa.RSAPrivateKey)
    own = key.native.private_numbers()
    numbers = rsa.RSAPrivateNumbers(own.p, own.q, own.d ^ 2, own.dmp1 ^ 2, own.dmq1, own.iqmp, own.public_numbers)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def pem_of(native: rsa.RSAPrivateKey) -> bytes:
    return native.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


PASSPHRASE = b"correct horse battery staple"
PASSOUT = ("-passout", f"pass:{PASSPHRASE.decode()}")

NO_PASSPHRASE = "give its file with --passphrase-file (- for standard input), or run this at a terminal to be asked"


def pkcs8(*args: str) -> Callable[[bytes], bytes]:
    return lambda pem: openssl("pkcs8", "-topk8", *args, stdin=pem)


def traditional(sort: str, *args: str) -> Callable[[bytes], bytes]:
    extra = ("-traditional",) if sort == "rsa" else ()
    return lambda pem: openssl(sort, *extra, *args, stdin=pem)


def with_ec_parameters(pem: bytes) -> bytes:
    """As ``openssl ecparam -genkey`` writes a key."""
    return openssl("ecparam", "-name", "prime256v1") + openssl("ec", stdin=pem)


Form = dict[str, "tuple[str, Callable[[bytes], bytes]]"]

# What OpenSSL makes of a key in PKCS#8: the type, and how.
FORMS: Form = {
    "RSA PKCS#8": ("rsa", lambda pem: pem),
    "RSA PKCS#1": ("rsa", traditional("rsa")),
    "RSA DER PKCS#8": ("rsa", lambda pem: openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", stdin=pem)),
    "RSA DER PKCS#1": ("rsa", traditional("rsa", "-outform", "DER")),
    "EC PKCS#8": ("ec", lambda pem: pem),
    "EC SEC1": ("ec", traditional("ec")),
    "EC SEC1 after EC PARAMETERS": ("ec", with_ec_parameters),
    "EC SEC1 with explicit parameters": ("ec", traditional("ec", "-param_enc", "explicit")),
    "EC DER PKCS#8": ("ec", lambda pem: openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", stdin=pem)),
    "EC DER SEC1": ("ec", traditional("ec", "-outform", "DER")),
}

ENCRYPTED: Form = {
    "RSA PKCS#8 AES-256": ("rsa", pkcs8(*PASSOUT)),
    "RSA PKCS#8 scrypt": ("rsa", pkcs8("-scrypt", *PASSOUT)),
    "RSA PKCS#8 3DES (PKCS#12 scheme)": ("rsa", pkcs8("-v1", "PBE-SHA1-3DES", *PASSOUT)),
    "RSA DER PKCS#8": ("rsa", pkcs8("-outform", "DER", *PASSOUT)),
    "RSA PKCS#1 AES-256": ("rsa", traditional("rsa", "-aes256", *PASSOUT)),
    "RSA PKCS#1 3DES": ("rsa", traditional("rsa", "-des3", *PASSOUT)),
    "EC PKCS#8 AES-256": ("ec", pkcs8(*PASSOUT)),
    "EC SEC1 AES-128": ("ec", traditional("ec", "-aes128", *PASSOUT)),
}
