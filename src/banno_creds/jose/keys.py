"""Key pairs: make one, read a private key in each of its usual forms, write and fingerprint the public key."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from json import dumps
from typing import TYPE_CHECKING, Any, Literal

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
from banno_creds.jose.encoding import base64url, parse_json_object
from banno_creds.text import setting

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# RFC 7518 sections 3.3 and 3.5: a key of 2048 bits or larger MUST be used.
LEAST_RSA_BITS = 2048

Passphrase = Callable[[], bytes | None]
"""Called only if the key is encrypted; returns None if there is no passphrase."""

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
# RFC 1421 headers, as OpenSSL writes them above an encrypted traditional key. An IV of another length than the
# cipher's is not matched: cryptography panics at one that is too short.
_ENCRYPTED_HEADERS = re.compile(
    rb"\s*(Proc-Type: *4,ENCRYPTED)\s*"
    rb"(DEK-Info: *(?:AES-[0-9]+-[A-Z]+, *[0-9A-Fa-f]{32}|DES-[A-Z0-9-]+, *[0-9A-Fa-f]{16}"
    rb"|(?!AES|DES)[A-Z0-9-]+, *[0-9A-Fa-f]+))"
)
_OPENSSH = b"OPENSSH PRIVATE KEY"
# The labels of private keys in PEM, and the form that each stands for.
_FORMS = {
    b"PRIVATE KEY": "PKCS#8",
    b"ENCRYPTED PRIVATE KEY": "PKCS#8",
    b"RSA PRIVATE KEY": "PKCS#1",
    b"EC PRIVATE KEY": "SEC 1",
    b"DSA PRIVATE KEY": "PKCS#8",
    _OPENSSH: "OpenSSH",
}
_MAKE_ONE = "make a key pair with: banno-creds keygen"
_MAKE_EC = "make one with: banno-creds keygen --type ec"
_ACCEPTED = "the provider takes RSA (PS256, RS256) and EC P-256 (ES256)"
# With e = 1 a signature is its own message: anybody could make one.
_LEAST_RSA_EXPONENT = 3


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key pair, which is registered with the bank."""

    native: RSAPublicKey | EllipticCurvePublicKey

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

    ``origin`` names the key's source in messages; ``jwk_alg`` is the ``alg`` of its JWK, if it has one.
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
        """The key as PKCS#8 (RFC 5958) in PEM, encrypted if there is a passphrase."""
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
    """Read a private key in any form in which people and CI secret stores keep one.

    ========  ===========================================================================================
    PEM       PKCS#8, PKCS#1, SEC 1 and OpenSSH; encrypted too, except OpenSSH
    DER       PKCS#8, PKCS#1 and SEC 1; encrypted PKCS#8 too
    JWK       private, RSA or EC (RFC 7517)
    damaged   a PEM whose line ends are escaped, CRLF or lost; base64 of any form above; a byte-order mark
    ========  ===========================================================================================

    Args:
        content: the content of the file, of the variable or of standard input.
        origin: the key's source, as messages name it.
        passphrase: called if the key is encrypted.
        thorough: check the primes of an RSA key, which takes about 30 ms. It is not needed for signing: a signer
            verifies each signature that it makes, which detects a broken key as well.

    Returns:
        The key.

    Raises:
        KeyLoadError: this is not a private key, or the provider does not accept its type or size; the message and
            the hint say which.
        PassphraseError: the key is encrypted, and the passphrase is missing or wrong.
    """
    text = _unwrap(content)
    if text.startswith(b"{"):
        return _from_jwk(text, origin)
    if _is_der(text):
        label, block = b"", text
    else:
        label, block = _only_private_block(text, origin)
    if label == _OPENSSH:
        return _accepted(_from_openssh(block, origin), origin)
    load = serialization.load_pem_private_key if label else serialization.load_der_private_key
    try:
        native = _open(partial(load, block, unsafe_skip_rsa_key_validation=not thorough), origin, passphrase)
    except ValueError:
        from banno_creds.jose import unusable_key

        raise (unusable_key.damaged(origin) if label else unusable_key.not_a_der_key(text, origin)) from None
    return _accepted(native, origin)


def form_of(content: bytes) -> str:
    """Name the form of a private key that `load_private_key` could read.

    Args:
        content: the content of the file, of the variable or of standard input.

    Returns:
        The form, such as ``PEM (PKCS#8)``.
    """
    text = _unwrap(content)
    if text.startswith(b"{"):
        return "JWK"
    if _is_der(text):
        return "DER"
    label = next((label for label, _ in _PEM.findall(text) if label in _FORMS), b"PRIVATE KEY")
    encrypted = ", encrypted" if b"ENCRYPTED" in text else ""
    return f"PEM ({_FORMS[label]}{encrypted})"


# --- From the content to one key -----------------------------------------------------------------------------------


def _unwrap(content: bytes) -> bytes:
    """Undo the changes that editors, shells and secret stores make to a key; the result is PEM, DER or JSON."""
    text = _undress(content)
    if _looks_like_key(text):
        return text
    packed = b"".join(text.split()).rstrip(b"=")
    if len(packed) % 4 == 1:
        packed = packed[:-1]  # it was cut off; the rest still shows which kind of key it was
    try:
        decoded = _undress(b64decode(packed + b"=" * (-len(packed) % 4), validate=True))
    except ValueError:
        return text
    return decoded if _looks_like_key(decoded) else text


def _undress(content: bytes) -> bytes:
    """Remove a byte-order mark, white space, quotation marks and escapes."""
    if _is_der(content):
        return content
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's ">" writes UTF-16
        content = content.decode("utf-16", "replace").encode()
    text = content.removeprefix(b"\xef\xbb\xbf").strip()
    if text.startswith((b'"', b"'")):
        text = text.strip(b"\"'").strip()
    if text.startswith(b"{"):
        return text
    # PEM has no backslashes; some stores escape twice.
    return re.sub(rb"\\+n", b"\n", re.sub(rb"\\+r", b"", text)) if b"-----" in text else text


def _looks_like_key(text: bytes) -> bool:
    return b"-----" in text or text.startswith(b"{") or _is_der(text)


def _is_der(content: bytes) -> bool:
    """Return whether it starts with a DER SEQUENCE: its tag, which is also the digit 0, and a possible length."""
    return content[:1] == b"0" and len(content) > 1 and (content[1] >= 0x80 or len(content) == 2 + content[1])


def _only_private_block(text: bytes, origin: str) -> tuple[bytes, bytes]:
    """Return the label and the text of the one private key in PEM."""
    found = _PEM.findall(text)
    private = list(dict.fromkeys((label, body) for label, body in found if label in _FORMS))
    if not private:
        from banno_creds.jose import unusable_key

        raise unusable_key.no_private_key(text, {label.decode() for label, _ in found}, origin)
    if len(private) > 1:
        raise KeyLoadError(
            f"{origin} holds {len(private)} private keys, and only one can sign",
            hint="give a file with the one whose public half the bank has",
        )
    label, body = private[0]
    return label, _rewrap(label, body)


def _rewrap(label: bytes, body: bytes) -> bytes:
    """Write a PEM block with correct line ends; some stores turn them into spaces, or drop them."""
    headers = b""
    encrypted = _ENCRYPTED_HEADERS.match(body)
    if encrypted:
        headers = b"%b\n%b\n\n" % encrypted.groups()
        body = body[encrypted.end() :]
    packed = b"".join(body.split())
    lines = b"\n".join(packed[i : i + 64] for i in range(0, len(packed), 64))
    return b"-----BEGIN %b-----\n%b%b\n-----END %b-----\n" % (label, headers, lines, label)


def _open(load: Callable[[bytes | None], PrivateKeyTypes], origin: str, passphrase: Passphrase) -> PrivateKeyTypes:
    """Load a key, and ask for the passphrase only if the key is encrypted; a ValueError says that it is no key."""
    try:
        return load(None)
    except TypeError:  # this is how cryptography says that the key is encrypted
        secret = passphrase()
    except UnsupportedAlgorithm as failure:
        if "urve" in str(failure):
            raise KeyLoadError(
                f"{origin} is an EC key on an unknown curve; ES256 needs P-256 (secp256r1)", hint=_MAKE_EC
            ) from None
        raise KeyLoadError(f"{origin} is a key of an unknown type; {_ACCEPTED}", hint=_MAKE_ONE) from None
    if not secret:
        raise PassphraseError(
            f"{origin} is encrypted, and no passphrase was given",
            hint=f"give its file with {setting('passphrase_file')} (- for standard input), or run this at a "
            "terminal to be asked",
        )
    try:
        return load(secret)
    except (ValueError, UnsupportedAlgorithm) as failure:
        if "nknown" in str(failure):
            raise KeyLoadError(
                f"{origin} is encrypted by an unknown method",
                hint="convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out key.pem",
            ) from None
        raise PassphraseError(
            f"the passphrase does not open {origin}", hint="check the passphrase; if it is right, the file is damaged"
        ) from None


def _from_openssh(block: bytes, origin: str) -> PrivateKeyTypes:
    convert = "convert a copy of it: cp FILE key.pem && ssh-keygen -p -m PKCS8 -f key.pem"
    try:
        return serialization.load_ssh_private_key(block, None)
    except TypeError:
        raise KeyLoadError(
            f"{origin} is an encrypted key in OpenSSH's format, which banno-creds cannot read", hint=convert
        ) from None
    except UnsupportedAlgorithm:
        raise KeyLoadError(
            f"{origin} is a key in OpenSSH's format, of a type that banno-creds cannot read",
            hint=f"{_MAKE_ONE}; if it is RSA or EC P-256, {convert}",
        ) from None
    except (ValueError, NotImplementedError):  # the latter for a compressed point
        from banno_creds.jose import unusable_key

        raise unusable_key.damaged(origin) from None


def _from_jwk(text: bytes, origin: str) -> PrivateKey:
    try:
        jwk = parse_json_object(text)
    except ValueError as failure:
        raise KeyLoadError(
            f"{origin} starts like a JWK, but {failure}", hint="give one private JWK as JSON"
        ) from None
    _check_jwk(jwk, origin)
    # Imported here because it costs 40 ms, and few keys are JWKs.
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm
    from jwt.exceptions import InvalidKeyError

    reader = RSAAlgorithm if jwk["kty"] == "RSA" else ECAlgorithm
    try:
        native = reader.from_jwk(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        raise KeyLoadError(
            f"{origin} is a JWK whose members do not make a key", hint="export it again from where it was made"
        ) from None
    key = _accepted(native, origin)  # type: ignore[arg-type]  # private, for it has a d
    alg = jwk.get("alg")
    return PrivateKey(key.native, origin, None if alg is None else _shown(alg))


def _check_jwk(jwk: dict[str, Any], origin: str) -> None:
    """Refuse a JWK that is not a private key, or not one for signatures."""
    key_type = jwk.get("kty")
    if "keys" in jwk:
        fault, hint = "is a JWK Set", "give only the private JWK that is for signing"
    elif not isinstance(key_type, str):
        fault, hint = "is JSON, but no JWK: kty is missing", "give one private JWK, or a file in PEM"
    elif key_type == "oct":
        fault, hint = "is a symmetric JWK (kty oct), no key pair", _MAKE_ONE
    elif key_type not in ("RSA", "EC"):
        fault, hint = f"is a JWK of the type {_shown(key_type)}; {_ACCEPTED}", _MAKE_ONE
    elif "d" not in jwk:
        fault, hint = "is a public JWK, and signing needs the private one", "give the JWK with its member d"
    elif key_type == "EC" and jwk.get("crv", "P-256") != "P-256":
        fault, hint = f"is an EC key on the curve {_shown(jwk['crv'])}; ES256 needs P-256 (secp256r1)", _MAKE_EC
    elif jwk.get("use", "sig") != "sig":
        fault, hint = f"is a JWK that is not for signing: its use is {_shown(jwk['use'])}", "give one with use sig"
    elif "key_ops" in jwk and not (isinstance(jwk["key_ops"], list) and "sign" in jwk["key_ops"]):
        fault, hint = "is a JWK that is not for signing: its key_ops lack sign", "give one with sign in key_ops"
    else:
        return
    raise KeyLoadError(f"{origin} {fault}", hint=hint)


def _shown(value: object) -> str:
    """Show a name from a JWK; in a damaged JWK, a part of the key may stand in its place."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9+-]{1,14}", value) else "(not shown)"


def _accepted(native: PrivateKeyTypes, origin: str) -> PrivateKey:
    """Return the key if the provider accepts its type and size."""
    if isinstance(native, RSAPrivateKey):
        exponent = native.public_key().public_numbers().e
        if native.key_size < LEAST_RSA_BITS:
            fault, hint = f"an RSA key of {native.key_size} bits; {LEAST_RSA_BITS} is the least (RFC 7518)", _MAKE_ONE
        elif exponent < _LEAST_RSA_EXPONENT:
            fault = f"an RSA key with the public exponent {exponent}, whose signatures anybody can forge"
            hint = _MAKE_ONE
        else:
            return PrivateKey(native, origin)
    elif isinstance(native, EllipticCurvePrivateKey):
        if native.curve.name == "secp256r1":
            return PrivateKey(native, origin)
        fault, hint = f"an EC key on the curve {native.curve.name}; ES256 needs P-256 (secp256r1)", _MAKE_EC
    else:
        name = type(native).__name__.removesuffix("PrivateKey").lstrip("_")
        article = "an" if name[0] in "EMX" else "a"  # Ed25519, ML-DSA and X25519; DSA and DH
        fault, hint = f"{article} {name} key; {_ACCEPTED}", _MAKE_ONE
    raise KeyLoadError(f"{origin} is {fault}", hint=hint)


def _unsigned(number: int) -> str:
    """Base64urlUInt (RFC 7518 section 2)."""
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
