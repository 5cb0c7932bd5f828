"""A certificate authority, and servers' TLS contexts."""

from __future__ import annotations

import ssl
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A certificate authority, with its file and its hashed folder."""

    ca: trustme.CA
    file: Path
    folder: Path

    def context(
        self, *names: str, not_after: datetime | None = None, not_before: datetime | None = None
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, not_after=not_after, not_before=not_before).configure_cert(context)
        return context


def make_authority(folder: Path) -> Authority:
    ca = trustme.CA()
    folder.mkdir()
    hashed = folder / "hashed"
    hashed.mkdir()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.cert_pem.write_to_path(hashed / "ca.pem")
    if sys.platform != "win32":  # where few have OpenSSL's program: tests of the folder are left out
        subprocess.run(["openssl", "rehash", hashed], check=True)
    return Authority(ca, folder / "ca.pem", hashed)


def self_signed(folder: Path, name: str, *addresses: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate that vouches for itself, and its file."""
    key, now, subject = generate_private_key(SECP256R1()), datetime.now(UTC), x509.Name.from_rfc4514_string(name)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=90))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if addresses:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(each)) for each in addresses])
        builder = builder.add_extension(names, critical=False)
    file = folder / "self-signed.pem"
    certificate = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    file.write_bytes(certificate)
    return context, file
