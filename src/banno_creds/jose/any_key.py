"""Read any key, private or public, for somebody who asks which one it is: nothing private is kept."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from banno_creds.errors import KeyLoadError, PassphraseError
from banno_creds.jose import der, unusable_key
from banno_creds.jose.dressings import Block, blocks, der_block, is_der, undress
from banno_creds.jose.encoding import parse_json_object
from banno_creds.jose.jwk import mended
from banno_creds.jose.jwks import public_key_of
from banno_creds.jose.key_set import private_members
from banno_creds.jose.keys import LEAST_RSA_BITS, PublicKey
from banno_creds.jose.public_keys import NoPublicKeyError, is_private_block, key_in, read_public_keys
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from banno_creds.errors import BannoCredsError
    from banno_creds.jose.keys import Passphrase

Kind = Literal["private-key", "public-key", "certificate", "certificate-request", "jwk", "private-jwk", "held"]
KINDS: dict[Kind, str] = {
    "private-key": "private key",
    "public-key": "public key",
    "certificate": "certificate",
    "certificate-request": "certificate request",
    "jwk": "public JWK",
    "private-jwk": "private JWK",
    "held": "private key that its holder keeps",
}
"""What a key is, and the words for it."""

_MOST_KEYS = 100
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_MOST_LINE = 76  # characters of base64; OpenSSL 1.1 reads no longer line
_GIVE = "give a key, a certificate or a JWK Set"


class Certificate(NamedTuple):
    """What a certificate says of its key: whose it is, and from when to when, in seconds since the epoch."""

    subject: str
    not_before: int
    not_after: int


class AnyKey(NamedTuple):
    """One key, by its public half.

    Attributes:
        kind: what it is.
        form: how it is written, such as ``PEM (PKCS#8)``.
        native: the public half, one of cryptography's keys; None if it cannot be told.
        name: the key's type, where the public half cannot be told.
        kid: the key ID of a JWK.
        certificate: what a certificate says.
        openssl: how OpenSSL reads the public half, as the words between ``openssl`` and the file's name, and those
            behind it; None where OpenSSL does not read it, or would tell of another form of it.
        fault: why the public half cannot be told.
    """

    kind: Kind
    form: str = ""
    native: Any = None
    name: str = ""
    kid: str | None = None
    certificate: Certificate | None = None
    openssl: tuple[str, str] | None = None
    fault: BannoCredsError | None = None

    @property
    def type(self) -> str:
        """``RSA``, ``EC``, or another type's name."""
        if isinstance(self.native, RSAPublicKey):
            return "RSA"
        if isinstance(self.native, EllipticCurvePublicKey):
            return "EC"
        return type(self.native).__name__.removesuffix("PublicKey").lstrip("_") if self.native else self.name

    @property
    def size(self) -> int | None:
        """Its size in bits, if the type has sizes."""
        return getattr(self.native, "key_size", None)

    @property
    def description(self) -> str:
        """``RSA 2048``, ``EC P-256``, or another type's name."""
        if isinstance(self.native, EllipticCurvePublicKey):
            return f"EC {_CURVES.get(self.native.curve.name, self.native.curve.name)}"
        return " ".join(str(part) for part in (self.type, self.size) if part)

    @property
    def public(self) -> PublicKey | None:
        """The public half, if the provider takes keys of this type and size."""
        native = self.native
        if isinstance(native, RSAPublicKey):
            return PublicKey(native) if native.key_size >= LEAST_RSA_BITS else None
        if isinstance(native, EllipticCurvePublicKey) and native.curve.name == "secp256r1":
            return PublicKey(native)
        return None

    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo in DER; only where the public half is known."""
        return _spki(self.native)

    def pem(self) -> str:
        """The SubjectPublicKeyInfo in PEM; only where the public half is known."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pem: bytes = self.native.public_bytes(serialization.Encoding.PEM, form)
        return pem.decode("ascii")

    def sha256(self) -> str | None:
        """The SHA-256 of the SubjectPublicKeyInfo in hexadecimal, as ``openssl dgst`` prints it."""
        return None if self.native is None else hashlib.sha256(self.spki()).hexdigest()

    def fingerprint(self) -> str | None:
        """The fingerprint as `keys.PublicKey.fingerprint` writes it, of any type of key."""
        return None if self.native is None else PublicKey(self.native).fingerprint()

    def thumbprint(self) -> str | None:
        """The JWK's thumbprint (RFC 7638), if the provider takes keys of this type."""
        return None if self.public is None else self.public.thumbprint()


def read_any_keys(content: bytes, origin: str, passphrase: Passphrase) -> list[AnyKey]:
    """Read all keys in a content: private and public keys, certificates, and JWKs.

    An encrypted private key that the passphrase does not open is among them, with its fault.

    Raises:
        KeyLoadError: there is no key, or a damaged one; the message says what is there instead.
    """
    from banno_creds.jose.private_keys import check_size

    check_size(content, origin)
    text = undress(content)
    if text.startswith(b"{"):
        return _jwks(text, origin)
    found = [der_block(text)] if is_der(text) else blocks(text)[0]
    form = "DER" if is_der(text) else "PEM"
    keys = []
    private = next(filter(is_private_block, found), None)
    if private is not None:
        keys.append(_private(content, origin, passphrase, private))
    for block in _public(found):
        native = key_in(block.der, block.kind).native
        kind = _KINDS[block.kind or ""]
        keys.append(
            AnyKey(
                kind,
                form,
                native,
                certificate=_certificate(block.der) if kind == "certificate" else None,
                openssl=_openssl(content, block, native),
                fault=None if native is not None else _unreadable(origin, KINDS[kind]),
            )
        )
    if not keys:
        raise _no_key(content, text, found, origin)
    return keys[:_MOST_KEYS]


_KINDS: dict[str, Kind] = {
    der.PUBLIC: "public-key",
    der.CERTIFICATE: "certificate",
    der.REQUEST: "certificate-request",
}


def _spki(native: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    spki: bytes = native.public_bytes(serialization.Encoding.DER, form)
    return spki


def _public(found: list[Block]) -> Iterator[Block]:
    """Yield the blocks with public keys, each certificate of PKCS #7 as one."""
    for block in found:
        if block.kind in _KINDS:
            yield block
        elif block.kind == der.PKCS7:
            yield from (der_block(certificate) for certificate in der.certificates_in(block.der))


def _private(content: bytes, origin: str, passphrase: Passphrase, block: Block) -> AnyKey:
    from banno_creds.jose.private_keys import form_of, read_private_key

    form = form_of(content)
    try:
        native = read_private_key(content, origin, passphrase, thorough=False).native.public_key()
    except PassphraseError as failure:
        return AnyKey("private-key", form, openssl=_openssl(content, block, None), fault=failure)
    return AnyKey("private-key", form, native, openssl=_openssl(content, block, native))


def _unreadable(origin: str, what: str) -> KeyLoadError:
    return KeyLoadError(
        f"{origin} looks like a {what}, but its key is damaged or of an unknown kind",
        hint="copy it again from where it was made",
    )


def _no_key(content: bytes, text: bytes, found: list[Block], origin: str) -> BannoCredsError:
    """Say what is there instead of a key."""
    try:
        read_public_keys(content)
    except NoPublicKeyError as failure:
        if failure.is_private:
            return unusable_key.no_private_key(text, found, blocks(text)[1], origin)
        if str(failure):
            return KeyLoadError(f"{origin} {failure}", hint=failure.hint or _GIVE)
    if found:
        labels = ", ".join(sorted({block.label.decode("ascii") for block in found}))
        return KeyLoadError(f"{origin} holds no key that can be read, but: {labels}", hint=_GIVE)
    nothing = unusable_key.no_private_key(text, (), (), origin)
    return KeyLoadError(nothing.message, hint=_GIVE) if text else nothing


# --- Certificates ---------------------------------------------------------------------------------------------------


def _certificate(data: bytes) -> Certificate | None:
    """Return what a certificate says; None if it is too odd to be read."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(data)
        return Certificate(
            printable(certificate.subject.rfc4514_string(), 200),
            int(certificate.not_valid_before_utc.timestamp()),
            int(certificate.not_valid_after_utc.timestamp()),
        )
    except Exception:  # noqa: BLE001 - the key is known all the same, and cryptography has many errors for this
        return None


# --- How OpenSSL reads it -------------------------------------------------------------------------------------------

_TO_PUBLIC = " -noout -pubkey | openssl pkey -pubin -outform DER"


def _openssl(content: bytes, block: Block, native: Any) -> tuple[str, str] | None:
    """Return how OpenSSL reads the public half; see `AnyKey`."""
    is_encrypted = block.kind == der.ENCRYPTED or bool(block.headers)
    if not _is_plain(content, block) or (native is None and not is_encrypted):
        return None
    inform = "" if block.label else " -inform DER"
    public = der.key_of(block.der) if block.kind in (der.CERTIFICATE, der.REQUEST) else block.der
    match block.kind:
        case der.CERTIFICATE | der.REQUEST if public == _spki(native):
            return f"{'x509' if block.kind == der.CERTIFICATE else 'req'}{inform} -in", _TO_PUBLIC
        case der.PUBLIC if public == _spki(native):
            return f"pkey -pubin{inform} -in", " -outform DER"
        case der.PUBLIC if not der.algorithm_of(public)[0]:  # PKCS #1
            return f"rsa -RSAPublicKey_in{inform} -in", " -pubout -outform DER"
        case der.PRIVATE if not _is_special(block.der, native):
            return f"pkey{inform} -in", " -pubout -outform DER"
        case _ if is_encrypted:
            return f"pkey{inform} -in", " -pubout -outform DER"
    return None


def _is_special(data: bytes, native: Any) -> bool:
    """Return whether OpenSSL writes the public half of a private key in another form than everybody else."""
    if der.algorithm_of(data)[0] == der.RSA_PSS:
        return True
    if not isinstance(native, EllipticCurvePublicKey):
        return False
    if der.PRIME_FIELD in data:  # explicit parameters in the place of the curve's name
        return True
    point = native.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return point not in data and point[1 : len(point) // 2 + 1] in data  # a compressed point


def _is_plain(content: bytes, block: Block) -> bool:
    """Return whether OpenSSL finds a block in a content, as the first one that it looks for."""
    if not block.label:
        return is_der(content)
    labels = _LABELS.get(block.kind or der.PRIVATE, (block.label,))
    lines = content.splitlines()
    marks = [line[11:-5] for line in lines if re.fullmatch(rb"-----BEGIN [A-Z0-9 ]+-----[ \t]*", line)]
    first = next((label for label in marks if label in labels), None)
    if first != block.label or b"-----END " + first + b"-----" not in content:
        return False
    begin = content.index(b"-----BEGIN " + first + b"-----")
    end = content.index(b"-----END " + first + b"-----")
    body = content[begin:end].splitlines()[1:]
    packed = b"".join(b"".join(body).split())
    return packed.endswith(block.packed) and max(map(len, body), default=0) <= _MOST_LINE


# The labels by which OpenSSL looks for each.
_LABELS = {
    der.PUBLIC: (b"PUBLIC KEY", b"RSA PUBLIC KEY"),
    der.CERTIFICATE: (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"),
    der.REQUEST: (b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"),
    der.PRIVATE: (b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY"),
    der.ENCRYPTED: (b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY"),
}


# --- JWK ------------------------------------------------------------------------------------------------------------


def _jwks(text: bytes, origin: str) -> list[AnyKey]:
    try:
        members = parse_json_object(text)
    except ValueError as failure:
        raise KeyLoadError(f"{origin} starts like a JWK Set, but {failure}", hint=_GIVE) from None
    if "keys" not in members:
        if not isinstance(members.get("kty"), str):
            raise KeyLoadError(f"{origin} is JSON, but no JWK: kty is missing", hint=_GIVE)
        return [_jwk(members, origin)]
    jwks = members["keys"]
    if not isinstance(jwks, list):
        raise KeyLoadError(
            f"{origin} is a JWK Set whose keys are no array", hint="write it as RFC 7517 section 5 says"
        )
    if not jwks:
        raise KeyLoadError(f"{origin} is a JWK Set without a key", hint=_GIVE)
    return [_jwk(jwk if isinstance(jwk, dict) else {}, origin) for jwk in jwks[:_MOST_KEYS]]


def _jwk(jwk: dict[str, Any], origin: str) -> AnyKey:
    native = public_key_of(jwk)
    name, kid = mended(jwk).get("kty"), jwk.get("kid")
    name = name if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9+-]{1,14}", name) else ""
    fault = None
    if name == "oct":
        fault = KeyLoadError(f"{origin} is a symmetric JWK (kty oct), no key pair", hint=unusable_key.MAKE_ONE)
    elif native is None and name in ("", "RSA", "EC", "OKP"):  # of another type it is whole, for all that is known
        fault = KeyLoadError(
            f"{origin} holds a JWK whose members do not make a key", hint="export it again from where it was made"
        )
    return AnyKey(
        "private-jwk" if private_members(jwk) else "jwk",
        "JWK",
        native,
        name,
        printable(kid, 200) if isinstance(kid, str) else None,
        fault=fault,
    )
