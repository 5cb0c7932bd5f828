"""Keys: made, read in every form people really have them, and named by their fingerprints."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
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

from banno_creds.config import KEY_VARIABLE
from banno_creds.errors import KeyLoadError, PassphraseError
from banno_creds.jose.encoding import base64url, parse_json_object

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# RFC 7518 sections 3.3 and 3.5: a key of 2048 bits or larger MUST be used.
LEAST_RSA_BITS = 2048

Passphrase = Callable[[], bytes | None]
"""Asked only when a key turns out to be encrypted; None means there is none to be had."""

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
# RFC 1421 headers as OpenSSL writes them above an encrypted traditional key. The IV must be as long as its cipher
# wants it: with a shorter one, cryptography does not fail but panics.
_ENCRYPTED_HEADERS = re.compile(
    rb"\s*(Proc-Type: *4,ENCRYPTED)\s*"
    rb"(DEK-Info: *(?:AES-[0-9]+-[A-Z]+, *[0-9A-Fa-f]{32}|DES-[A-Z0-9-]+, *[0-9A-Fa-f]{16}"
    rb"|(?!AES|DES)[A-Z0-9-]+, *[0-9A-Fa-f]+))"
)
# A PFX (RFC 7292 section 4): a SEQUENCE that starts with the version 3 and another SEQUENCE.
_PKCS12 = re.compile(rb"0(?:[\x00-\x80]|\x81.|\x82..|\x83...)\x02\x01\x030", re.DOTALL)
_PATH = re.compile(rb"[^\n]{1,300}\.(?:pem|key|der|p8|pk8|jwk|json|txt)", re.IGNORECASE)
_OPENSSH = b"OPENSSH PRIVATE KEY"
_PRIVATE_LABELS = frozenset(
    {b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"DSA PRIVATE KEY", _OPENSSH}
)
_PUBLIC_LABELS = {
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "CERTIFICATE": "a certificate",
    "TRUSTED CERTIFICATE": "a certificate",
    "X509 CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a certificate request",
    "NEW CERTIFICATE REQUEST": "a certificate request",
}
_MAKE_ONE = "make a key pair with: banno-creds keygen"
_TAKES = "the provider takes RSA (PS256, RS256) and EC P-256 (ES256)"
_MAKE_EC = "make one with: banno-creds keygen --type ec"
_GIVE_PRIVATE = "give the file whose first line says PRIVATE KEY"
# With e = 1 a signature is its own message: anybody could make one.
_LEAST_RSA_EXPONENT = 3
# What to do where the key came in a variable, from a CI job's secret: whoever reads the log has no file to look at.
_STORE = "store the whole of private.pem in the secret, or what `base64 < private.pem` prints"


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
        raise KeyLoadError(
            f"{origin} is empty", hint=_store_or(f"look at what should have filled it, or {_MAKE_ONE}", origin)
        )
    if text.startswith(b"{"):
        return _from_jwk(text, origin)
    if _is_der(text):
        return _fit(_from_der(text, origin, passphrase, thorough=thorough), origin)
    found = _PEM.findall(text)
    private = list(dict.fromkeys((label, body) for label, body in found if label in _PRIVATE_LABELS))
    if not private:
        raise _no_private_key(text, {label.decode() for label, _ in found}, origin)
    if len(private) > 1:
        raise KeyLoadError(
            f"{origin} holds {len(private)} private keys, and only one can sign",
            hint="give a file with the one whose public half the bank has",
        )
    return _fit(_from_pem(*private[0], origin, passphrase, thorough=thorough), origin)


def form_of(content: bytes) -> str:
    """In which form a private key is kept, of one that could be read.

    Args:
        content: what was in the file, the variable or on standard input.

    Returns:
        Such as ``PEM (PKCS#8)``.
    """
    text = _normalise(content)
    if text.startswith(b"{"):
        return "JWK"
    if _is_der(text):
        return "DER"
    labels = [label for label, _ in _PEM.findall(text) if label in _PRIVATE_LABELS]
    encrypted = ", encrypted" if b"ENCRYPTED" in text else ""
    return f"PEM ({_FORMS.get(labels[0] if labels else b'', 'PKCS#8')}{encrypted})"


_FORMS = {b"RSA PRIVATE KEY": "PKCS#1", b"EC PRIVATE KEY": "SEC 1", _OPENSSH: "OpenSSH"}


def _normalise(content: bytes) -> bytes:
    """Undo what editors, shells and secret stores do to a key."""
    text = _undress(content)
    if _looks_like_key(text):
        return text
    packed = b"".join(text.split()).rstrip(b"=")
    if len(packed) % 4 == 1:
        packed = packed[:-1]  # it was cut off; what is left tells of what it was
    try:
        decoded = _undress(b64decode(packed + b"=" * (-len(packed) % 4), validate=True))
    except ValueError:
        return text
    return decoded if _looks_like_key(decoded) else text


def _undress(content: bytes) -> bytes:
    """Take away a byte-order mark, white space, quotation marks and escapes."""
    if _is_der(content):
        return content
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's ">" writes UTF-16
        content = content.decode("utf-16", "replace").encode()
    text = content.removeprefix(b"\xef\xbb\xbf").strip()
    if text.startswith((b'"', b"'")):
        text = text.strip(b"\"'").strip()
    if text.startswith(b"{"):
        return text
    # No character of a PEM is a backslash; some stores escape twice.
    return re.sub(rb"\\+n", b"\n", re.sub(rb"\\+r", b"", text)) if b"-----" in text else text


def _looks_like_key(text: bytes) -> bool:
    return b"-----" in text or text.startswith(b"{") or _is_der(text)


def _is_der(content: bytes) -> bool:
    """Whether it starts with a DER SEQUENCE: the tag, which is also the digit 0, and a length that can be."""
    return content[:1] == b"0" and len(content) > 1 and (content[1] >= 0x80 or len(content) == 2 + content[1])


def _rewrap(label: bytes, body: bytes) -> bytes:
    """A PEM block with the line ends its readers want; some stores turn them into spaces, or drop them."""
    headers = b""
    encrypted = _ENCRYPTED_HEADERS.match(body)
    if encrypted:
        headers = b"%b\n%b\n\n" % encrypted.groups()
        body = body[encrypted.end() :]
    packed = b"".join(body.split())
    lines = b"\n".join(packed[i : i + 64] for i in range(0, len(packed), 64))
    return b"-----BEGIN %b-----\n%b%b\n-----END %b-----\n" % (label, headers, lines, label)


def _from_pem(label: bytes, body: bytes, origin: str, passphrase: Passphrase, *, thorough: bool) -> PrivateKeyTypes:
    block = _rewrap(label, body)
    if label == _OPENSSH:
        return _from_openssh(block, origin)
    load = partial(serialization.load_pem_private_key, block, unsafe_skip_rsa_key_validation=not thorough)
    try:
        return _open(load, origin, passphrase)
    except ValueError:
        raise _damaged(origin) from None


def _from_der(content: bytes, origin: str, passphrase: Passphrase, *, thorough: bool) -> PrivateKeyTypes:
    load = partial(serialization.load_der_private_key, content, unsafe_skip_rsa_key_validation=not thorough)
    try:
        return _open(load, origin, passphrase)
    except ValueError:
        raise _no_private_der(content, origin) from None


def _open(load: Callable[[bytes | None], PrivateKeyTypes], origin: str, passphrase: Passphrase) -> PrivateKeyTypes:
    """Load a key, and ask for the passphrase only if it turns out to be encrypted.

    Raises:
        ValueError: it is no such key.
        KeyLoadError: it is a key of a sort that cannot be read.
        PassphraseError: there is no passphrase, or a wrong one.
    """
    try:
        return load(None)
    except TypeError:  # how the loader says that it is encrypted
        secret = _ask(passphrase, origin)
    except UnsupportedAlgorithm as failure:
        if "urve" in str(failure):
            raise KeyLoadError(
                f"{origin} is an EC key on a curve that is not known here; ES256 needs P-256 (secp256r1)",
                hint=_MAKE_EC,
            ) from None
        raise KeyLoadError(f"{origin} is a key of a sort that is not known here; {_TAKES}", hint=_MAKE_ONE) from None
    try:
        return load(secret)
    except (ValueError, UnsupportedAlgorithm) as failure:
        if "nknown" in str(failure):
            raise KeyLoadError(
                f"{origin} is encrypted in a way that is not known here",
                hint="convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out key.pem",
            ) from None
        raise PassphraseError(
            f"the passphrase does not open {origin}", hint="check the passphrase; if it is right, the file is damaged"
        ) from None


def _damaged(origin: str) -> KeyLoadError:
    return KeyLoadError(
        f"{origin} looks like a private key, but it is damaged or of an unknown kind",
        hint=_store_or("look at it with: openssl pkey -in FILE -noout -check, or take it from a backup", origin),
    )


def _ask(passphrase: Passphrase, origin: str) -> bytes:
    secret = passphrase()
    if not secret:
        raise PassphraseError(
            f"{origin} is encrypted, and no passphrase was given",
            hint="give --passphrase-file FILE (- for standard input), or run it at a terminal to be asked",
        )
    return secret


def _from_openssh(block: bytes, origin: str) -> PrivateKeyTypes:
    convert = "convert a copy of it: cp FILE key.pem && ssh-keygen -p -m PKCS8 -f key.pem"
    try:
        return serialization.load_ssh_private_key(block, None)
    except TypeError:
        raise KeyLoadError(
            f"{origin} is an encrypted key in OpenSSH's format, which is not read here", hint=convert
        ) from None
    except UnsupportedAlgorithm:
        raise KeyLoadError(
            f"{origin} is a key in OpenSSH's format of a sort that cannot be read here",
            hint=f"{_MAKE_ONE}; if it is RSA or EC P-256, {convert}",
        ) from None
    except (ValueError, NotImplementedError):  # the latter for a compressed point
        raise _damaged(origin) from None


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
    if not isinstance(key_type, str):
        raise KeyLoadError(
            f"{origin} is JSON, but no JWK: kty is missing", hint="give one private JWK, or a file in PEM"
        )
    if key_type == "oct":
        raise KeyLoadError(f"{origin} is a symmetric JWK (kty oct), no key pair", hint=_MAKE_ONE)
    if key_type not in ("RSA", "EC"):
        raise KeyLoadError(
            f"{origin} is a JWK of the type {_shown(key_type)}; {_TAKES}",
            hint=_MAKE_ONE,
        )
    if "d" not in jwk:
        raise KeyLoadError(
            f"{origin} is a public JWK, and signing needs the private one",
            hint="give the JWK with its member d",
        )
    if key_type == "EC" and jwk.get("crv", "P-256") != "P-256":
        raise KeyLoadError(
            f"{origin} is an EC key on the curve {_shown(jwk['crv'])}; ES256 needs P-256 (secp256r1)", hint=_MAKE_EC
        )
    if jwk.get("use", "sig") != "sig":
        raise KeyLoadError(
            f"{origin} is a JWK that is not meant to sign: its use is {_shown(jwk['use'])}",
            hint="give the one whose use is sig",
        )
    if "key_ops" in jwk and not (isinstance(jwk["key_ops"], list) and "sign" in jwk["key_ops"]):
        raise KeyLoadError(
            f"{origin} is a JWK that is not meant to sign: its key_ops do not hold sign",
            hint="give the one whose key_ops hold sign",
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
    return PrivateKey(key.native, origin, None if alg is None else _shown(alg))


def _shown(value: object) -> str:
    """A name from a JWK. In a damaged one something else may stand in its place, even a part of the key."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9+-]{1,14}", value) else "(not shown)"


def _fit(native: PrivateKeyTypes, origin: str) -> PrivateKey:
    """Take the sorts of key the provider takes, and name every other."""
    if isinstance(native, RSAPrivateKey):
        if native.key_size < LEAST_RSA_BITS:
            raise KeyLoadError(
                f"{origin} is an RSA key of {native.key_size} bits; {LEAST_RSA_BITS} is the least (RFC 7518)",
                hint=_MAKE_ONE,
            )
        exponent = native.public_key().public_numbers().e
        if exponent < _LEAST_RSA_EXPONENT:
            raise KeyLoadError(
                f"{origin} is an RSA key with the public exponent {exponent}, whose signatures anybody can forge",
                hint=_MAKE_ONE,
            )
        return PrivateKey(native, origin)
    if isinstance(native, EllipticCurvePrivateKey):
        if native.curve.name != "secp256r1":
            raise KeyLoadError(
                f"{origin} is an EC key on the curve {native.curve.name}; ES256 needs P-256 (secp256r1)",
                hint=_MAKE_EC,
            )
        return PrivateKey(native, origin)
    sort = type(native).__name__.removesuffix("PrivateKey").lstrip("_")
    article = "an" if sort[0] in "EMX" else "a"  # Ed25519, ML-DSA and X25519, beside DSA and DH
    raise KeyLoadError(f"{origin} is {article} {sort} key; {_TAKES}", hint=_MAKE_ONE)


def _store_or(hint: str, origin: str) -> str:
    """What to do about a key that is none: a secret is to be stored anew, and for a file there is ``hint``."""
    return _STORE if origin == KEY_VARIABLE else hint


def _no_private_key(text: bytes, labels: set[str], origin: str) -> KeyLoadError:
    """Say what it is instead."""
    half = b"PRIVATE KEY-----" in text and not any("PRIVATE KEY" in label for label in labels)
    if half or (text.startswith(b"-----BEGIN") and not labels):
        return KeyLoadError(
            f"{origin} is cut off: its PEM block lacks the BEGIN line or the END line that goes with it",
            hint=_store_or("copy the whole file, from -----BEGIN to the last dash of -----END …-----", origin),
        )
    for label in sorted(labels & _PUBLIC_LABELS.keys()):
        return _public_instead(_PUBLIC_LABELS[label], origin)
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
            f"{origin} holds what looks like a file's path, and no key", hint="give that path with --private-key"
        )
    held = f", in its {len(text)} characters" if origin == KEY_VARIABLE else ""
    return KeyLoadError(
        f"{origin} holds no key{held}: neither PEM, DER nor JWK",
        hint=_store_or(f"{_GIVE_PRIVATE}, or {_MAKE_ONE}", origin),
    )


def _no_private_der(content: bytes, origin: str) -> KeyLoadError:
    """Say what it is instead: DER has no label that would."""
    if _PKCS12.match(content):
        return KeyLoadError(
            f"{origin} is a PKCS#12 file (.p12, .pfx)",
            hint="take the key out of it: openssl pkcs12 -in FILE -nocerts -out key.pem, then chmod 600 key.pem",
        )
    # Imported here because only those with a wrong file need them.
    from cryptography.x509 import load_der_x509_certificate, load_der_x509_csr

    readers = {
        "a public key": serialization.load_der_public_key,
        "a certificate": load_der_x509_certificate,
        "a certificate request": load_der_x509_csr,
    }
    for what, read in readers.items():
        with suppress(ValueError, UnsupportedAlgorithm):
            read(content)
            return _public_instead(what, origin)
    return _damaged(origin)


def _public_instead(what: str, origin: str) -> KeyLoadError:
    return KeyLoadError(
        f"{origin} holds {what}, and signing needs the private key", hint=_store_or(_GIVE_PRIVATE, origin)
    )


def _unsigned(number: int) -> str:
    """Base64urlUInt (RFC 7518 section 2)."""
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
