"""The certificate for localhost, with which `endpoint` speaks https: made at the first login, and kept.

It is self-signed, so the browser asks whether to trust it; it is kept so that the browser asks only once. Its private
key never leaves this machine, and is for no other name than localhost.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from banno_creds.errors import ConfigurationError
from banno_creds.steps import Run
from banno_creds.storage import own_files
from banno_creds.storage.lock import Lock
from banno_creds.text import printable

# Browsers refuse a certificate that is valid for more than 398 days.
_LIFETIME = dt.timedelta(days=397)
_LEAST_LEFT = dt.timedelta(days=30)
_CLOCKS_DIFFER = dt.timedelta(hours=1)
_PATIENCE = 10.0  # seconds to wait for another process; making a certificate takes milliseconds

_HINT = (
    "name a folder of yours with BANNO_CREDS_STATE_DIR, or register a redirect URI with http://localhost and use that"
)


@dataclass(frozen=True, slots=True)
class LocalhostCertificate:
    """A certificate for localhost, in one file with its private key.

    Attributes:
        path: the PEM file.
        fingerprint: the certificate's SHA-256, as browsers show it: ``SHA256:`` and hexadecimal with colons.
        spki: the base64 of the SHA-256 of its SubjectPublicKeyInfo (RFC 7469 section 2.4).
        made: True if this process or another has just made it, so that no browser knows it yet.
    """

    path: str
    fingerprint: str
    spki: str
    made: bool


def localhost_certificate(folder: str, run: Run = Run()) -> LocalhostCertificate:
    """Return the certificate for localhost, and make a new one if the kept one is missing or unusable.

    It is unusable if it is broken, for another key, not valid yet, or ends within 30 days. A missing folder is made.

    Raises:
        ConfigurationError: the certificate cannot be kept in the folder.
    """
    path = str(Path(folder) / own_files.CERTIFICATE)
    now = dt.datetime.fromtimestamp(run.clock(), dt.UTC)
    try:
        own_files.make_folder(folder)
        own_files.check_folder(folder)
        certificate = _kept(path, now)
        made = certificate is None
        if certificate is None:
            # Two first logins at the same time must both show the fingerprint of the certificate that is served.
            with Lock(path + own_files.LOCK, _PATIENCE, run.sleep) as lock:
                lock.wait()
                certificate = _kept(path, now) or _make(path, now)
    except OSError as failure:
        raise ConfigurationError(
            f"the certificate for localhost cannot be kept: {printable(own_files.words(failure))}",
            hint=own_files.hint_for(failure, _HINT),
        ) from None
    return LocalhostCertificate(path, _fingerprint(certificate), _spki(certificate), made)


def _kept(path: str, now: dt.datetime) -> x509.Certificate | None:
    try:
        content = own_files.read(path)
    except FileNotFoundError:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(content)
        key = load_pem_private_key(content, None)
        if certificate.public_key() != key.public_key():
            return None
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion):
        return None
    good = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - _LEAST_LEFT
    return certificate if good else None


def _make(path: str, now: dt.datetime) -> x509.Certificate:
    key = generate_private_key(SECP256R1())  # browsers do not accept Ed25519 here
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begins = now - _CLOCKS_DIFFER
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + _LIFETIME)
        .add_extension(names, critical=False)
        # It can sign no other certificate, so trusting it, or stealing its key, gives nobody an authority.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_DIGITAL_SIGNATURE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    own_files.write(path, private + certificate.public_bytes(Encoding.PEM))
    return certificate


_DIGITAL_SIGNATURE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _fingerprint(certificate: x509.Certificate) -> str:
    return "SHA256:" + certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _spki(certificate: x509.Certificate) -> str:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(hashlib.sha256(spki).digest()).decode("ascii")
