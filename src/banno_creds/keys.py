"""Keys: made, read in every form people really have them, and named by their fingerprints."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass, field
from json import dumps
from typing import TYPE_CHECKING, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_private_key

from banno_creds.errors import KeyLoadError, PassphraseError
from banno_creds.jose import base64url, parse_json_object

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# RFC 7518 sections 3.3 and 3.5: a key of 2048 bits or larger MUST be used.
LEAST_RSA_BITS = 2048

Passphrase = Callable[[], bytes | None]
"""Asked only when a key turns out to be encrypted; None means there is none to be had."""

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_PRIVATE_LABELS = frozenset({"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"})
_PUBLIC_LABELS = {
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "CERTIFICATE": "a certificate",
    "TRUSTED CERTIFICATE": "a certificate",
    "X509 CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a certificate request",
    "NEW CERTIFICATE REQUEST": "a certificate request",
    "SSH2 PUBLIC KEY": "a public key",
}
_MAKE_ONE = "make a key pair with: banno-creds keygen"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The half that the bank is given."""

    native: RSAPublicKey | EllipticCurvePublicKey

    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo (RFC 5280 section 4.1) in DER."""
        return self.native.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def pem(self) -> bytes:
        """The same in PEM: what is pasted into Users & Groups."""
        return self.native.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def fingerprint(self) -> str:
        """``SHA256:`` and the base64 of the SHA-256 of the SPKI, without padding, as ssh prints its own."""
        digest = hashlib.sha256(self.spki()).digest()
        return "SHA256:" + b64encode(digest).decode("ascii").rstrip("=")

    def jwk(self) -> dict[str, str]:
        """The required members of the JWK (RFC 7518 sections 6.2.1 and 6.3.1), in RFC 7638's order."""
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
    """A key that can sign for this provider: RSA of 2048 bits or more, or EC P-256.

    ``origin`` is how messages name where it came from; ``jwk_alg`` is the ``alg`` its JWK asked for, if any.
    """

    native: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    origin: str
    jwk_alg: str | None = None

    @property
    def type(self) -> Literal["RSA", "EC"]:
        """The JWK key type (RFC 7518 section 6.1)."""
        return "RSA" if isinstance(self.native, RSAPrivateKey) else "EC"

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
        """The key as PKCS#8 (RFC 5958) in PEM, encrypted where a passphrase is given."""
        encryption = (
            serialization.BestAvailableEncryption(passphrase)
            if passphrase is not None
            else serialization.NoEncryption()
        )
        return self.native.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def generate(key_type: Literal["rsa", "ec"], bits: int = LEAST_RSA_BITS) -> PrivateKey:
    """Make a new key.

    Args:
        key_type: ``rsa``, or ``ec`` for P-256.
        bits: the size of an RSA key.

    Returns:
        The key.
    """
    if key_type == "ec":
        return PrivateKey(generate_private_key(SECP256R1()), "new key")
    return PrivateKey(generate_rsa_private_key(65537, bits), "new key")


def load_private_key(
    content: bytes, origin: str, passphrase: Passphrase = lambda: None, *, thorough: bool = False
) -> PrivateKey:
    """Read a private key in any of the forms that people and CI secret stores have them in.

    PKCS#8, PKCS#1, SEC1 and OpenSSH, in PEM, encrypted or not; DER; a private JWK (RFC 7517); a PEM whose
    line ends are escaped, CRLF or lost; base64 of any of these; all with or without a byte-order mark.

    Args:
        content: what was in the file, the variable or on standard input.
        origin: how messages name the place it came from.
        passphrase: called if the key is encrypted.
        thorough: whether to check an RSA key's primes on loading. That takes about 30 ms each time; a signer
            verifies each signature it makes instead, which catches a broken key as well.

    Returns:
        The key.

    Raises:
        KeyLoadError: it is no key, a key of another sort, or too weak; the message and the hint say which.
        PassphraseError: it is encrypted, and there is no passphrase or a wrong one.
    """
    text = _normalise(content)
    if not text:
        raise KeyLoadError(f"{origin} is empty", hint=_MAKE_ONE)
    if text.startswith(b"{"):
        return _from_jwk(text, origin)
    blocks = {label.decode(): _rewrap(label, body) for label, body in _PEM.findall(text)}
    for label in _PRIVATE_LABELS & blocks.keys():
        return _fit(_from_pem(blocks[label], origin, passphrase, thorough=thorough), origin)
    if "OPENSSH PRIVATE KEY" in blocks:
        return _fit(_from_openssh(blocks["OPENSSH PRIVATE KEY"], origin), origin)
    if text.startswith(b"\x30"):
        return _fit(_from_der(text, origin, passphrase, thorough=thorough), origin)
    raise _no_private_key(text, set(blocks), origin)


def _normalise(content: bytes) -> bytes:
    """Undo what editors, shells and secret stores do to a key."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's ">" writes UTF-16
        content = content.decode("utf-16", "replace").encode()
    if content.startswith(b"\x30"):  # DER: nothing to undo
        return content
    text = content.removeprefix(b"\xef\xbb\xbf").strip().strip(b"\"'").strip()
    if b"-----BEGIN" not in text and not text.startswith(b"{"):
        try:
            decoded = b64decode(b"".join(text.split()), validate=True)
        except (Base64Error, ValueError):
            return text
        if b"-----BEGIN" in decoded or decoded.startswith((b"{", b"\x30")):
            return _normalise(decoded)
        return text
    if b"-----BEGIN" in text:
        text = text.replace(b"\\r", b"").replace(b"\\n", b"\n")
    return text


def _rewrap(label: bytes, body: bytes) -> bytes:
    """A PEM block with the line ends its readers want; some stores turn them into spaces."""
    body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip()
    if b":" not in body:  # a header such as Proc-Type means the lines were kept
        packed = b"".join(body.split())
        body = b"\n".join(packed[i : i + 64] for i in range(0, len(packed), 64))
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, body, label)


def _from_pem(block: bytes, origin: str, passphrase: Passphrase, *, thorough: bool) -> PrivateKeyTypes:
    encrypted = b"BEGIN ENCRYPTED" in block or b"Proc-Type: 4,ENCRYPTED" in block
    return _load(
        block,
        origin,
        _ask(passphrase, origin) if encrypted else None,
        serialization.load_pem_private_key,
        thorough=thorough,
    )


def _from_der(content: bytes, origin: str, passphrase: Passphrase, *, thorough: bool) -> PrivateKeyTypes:
    # DER has no label that says it is encrypted; the loader says so by a TypeError.
    try:
        return _load(content, origin, None, serialization.load_der_private_key, thorough=thorough)
    except TypeError:
        secret = _ask(passphrase, origin)
        return _load(content, origin, secret, serialization.load_der_private_key, thorough=thorough)


def _load(
    content: bytes,
    origin: str,
    secret: bytes | None,
    loader: Callable[..., PrivateKeyTypes],
    *,
    thorough: bool,
) -> PrivateKeyTypes:
    try:
        return loader(content, secret, unsafe_skip_rsa_key_validation=not thorough)
    except (ValueError, UnsupportedAlgorithm) as failure:
        if secret is not None and isinstance(failure, ValueError):
            raise PassphraseError(
                f"the passphrase does not open {origin}",
                hint="check the passphrase; if it is right, the file is damaged",
            ) from None
        if isinstance(failure, UnsupportedAlgorithm):
            raise KeyLoadError(
                f"{origin} is a private key of a sort or encryption that cannot be read here",
                hint=f"convert it: openssl pkcs8 -topk8 -in {origin} -out private.pem",
            ) from None
        raise KeyLoadError(
            f"{origin} looks like a private key, but it is damaged or of an unknown kind",
            hint="look at it with: openssl pkey -in FILE -noout -text; a PKCS#12 file (.p12, .pfx) is taken "
            "apart with: openssl pkcs12 -in FILE -nocerts -out private.pem",
        ) from None


def _ask(passphrase: Passphrase, origin: str) -> bytes:
    secret = passphrase()
    if not secret:
        raise PassphraseError(
            f"{origin} is encrypted, and no passphrase was given",
            hint="give --passphrase-file FILE (- for standard input), or run it at a terminal to be asked",
        )
    return secret


def _from_openssh(block: bytes, origin: str) -> PrivateKeyTypes:
    try:
        return serialization.load_ssh_private_key(block, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyLoadError(
            f"{origin} is an OpenSSH key that is encrypted or of a sort that cannot be read here",
            hint=f"convert a copy of it in place: ssh-keygen -p -m PKCS8 -f {origin}",
        ) from None


def _from_jwk(text: bytes, origin: str) -> PrivateKey:
    try:
        jwk = parse_json_object(text)
    except ValueError as failure:
        raise KeyLoadError(
            f"{origin} starts like a JWK, but {failure}", hint="give one private JWK as JSON"
        ) from None
    if "keys" in jwk:
        raise KeyLoadError(f"{origin} is a JWK Set", hint="give the one private JWK in it that is meant to sign")
    key_type = jwk.get("kty")
    if key_type == "oct":
        raise KeyLoadError(f"{origin} is a symmetric JWK (kty oct), no key pair", hint=_MAKE_ONE)
    if key_type not in ("RSA", "EC"):
        raise KeyLoadError(
            f"{origin} is a JWK of the type {key_type!a}; the provider takes RSA and EC P-256",
            hint=_MAKE_ONE,
        )
    if "d" not in jwk:
        raise KeyLoadError(
            f"{origin} is a public JWK, and signing needs the private one",
            hint="give the JWK with its member d",
        )
    # Imported here because it costs 40 ms, and hardly anybody's key is a JWK.
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm
    from jwt.exceptions import InvalidKeyError

    reader = RSAAlgorithm if key_type == "RSA" else ECAlgorithm
    try:
        native = reader.from_jwk(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        raise KeyLoadError(
            f"{origin} is a JWK whose members do not make a key",
            hint="export it again from where it was made",
        ) from None
    key = _fit(native, origin)  # type: ignore[arg-type]  # private, for it has a d
    alg = jwk.get("alg")
    return PrivateKey(key.native, origin, alg if isinstance(alg, str) else None)


def _fit(native: PrivateKeyTypes, origin: str) -> PrivateKey:
    """Take the sorts of key the provider takes, and name every other."""
    if isinstance(native, RSAPrivateKey):
        if native.key_size < LEAST_RSA_BITS:
            raise KeyLoadError(
                f"{origin} is an RSA key of {native.key_size} bits; {LEAST_RSA_BITS} is the least (RFC 7518)",
                hint=_MAKE_ONE,
            )
        return PrivateKey(native, origin)
    if isinstance(native, EllipticCurvePrivateKey):
        if native.curve.name != "secp256r1":
            raise KeyLoadError(
                f"{origin} is an EC key on the curve {native.curve.name}; ES256 needs P-256 (secp256r1)",
                hint="make one with: banno-creds keygen --type ec",
            )
        return PrivateKey(native, origin)
    sort = type(native).__name__.removesuffix("PrivateKey").lstrip("_")
    raise KeyLoadError(
        f"{origin} is a key of the sort {sort}; the provider takes RSA (PS256, RS256) and EC P-256 (ES256)",
        hint=_MAKE_ONE,
    )


def _no_private_key(text: bytes, labels: set[str], origin: str) -> KeyLoadError:
    """Say what it is instead."""
    for label in sorted(labels & _PUBLIC_LABELS.keys()):
        return KeyLoadError(
            f"{origin} holds {_PUBLIC_LABELS[label]}, and signing needs the private key",
            hint="give the file whose first line says PRIVATE KEY",
        )
    if text.startswith((b"ssh-", b"ecdsa-sha2-")):
        return KeyLoadError(
            f"{origin} holds a public key (OpenSSH), and signing needs the private key",
            hint="the private one is usually the file of the same name without .pub",
        )
    if text.startswith(b"PuTTY-User-Key-File"):
        return KeyLoadError(
            f"{origin} is a PuTTY key",
            hint=f"convert it: puttygen {origin} -O private-openssh -o private.pem",
        )
    if b"-----BEGIN" in text and b"PRIVATE KEY-----" in text and not labels:
        return KeyLoadError(
            f"{origin} is cut off: its PEM block has no matching END line",
            hint="copy the whole file, from -----BEGIN to the last dash of -----END …-----",
        )
    if labels:
        return KeyLoadError(
            f"{origin} holds no private key, but: {', '.join(sorted(labels))}",
            hint="give the file whose first line says PRIVATE KEY",
        )
    return KeyLoadError(
        f"{origin} holds no key: neither PEM, DER nor JWK",
        hint="give the file whose first line says PRIVATE KEY, or " + _MAKE_ONE,
    )


def _unsigned(number: int) -> str:
    """Base64urlUInt (RFC 7518 section 2)."""
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
