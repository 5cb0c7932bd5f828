"""Say what was given in the place of a key. The readers import this only when a key cannot be read."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.config import KEY_VARIABLE
from banno_creds.errors import KeyLoadError
from banno_creds.jose import der
from banno_creds.jose.dressings import Block, decoded
from banno_creds.key_uri import KEY_SCHEMES
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Sequence


_PATH = re.compile(rb"[^\n]{1,300}\.(?:pem|key|der|p8|pk8|jwk|json|txt)", re.IGNORECASE)
_URI = re.compile(f"(?:{'|'.join(KEY_SCHEMES)}):[^\\s]{{1,300}}".encode(), re.IGNORECASE)
MAKE_ONE = "make a key pair with: banno-creds keygen"
ACCEPTED = "the provider takes RSA (PS256, RS256) and EC P-256 (ES256)"
_GIVE_PRIVATE = "give the file whose first line says PRIVATE KEY"
# For a key in a variable, from a CI job's secret: the reader of the log has no file to look at.
_ITS_BASE64 = "its base64" if sys.platform == "win32" else "what `base64 < private.pem` prints"
_STORE = f"store the whole of private.pem in the secret, or {_ITS_BASE64}"

_INTO = "| banno-creds COMMAND --private-key -"
_FROM_P12 = "openssl pkcs12 -in FILE -nocerts -out key.pem"
if os.name == "posix":
    _FROM_P12 += ", then chmod 600 key.pem"


class Container(NamedTuple):
    """Something that has a key in it, and how to take it out.

    Attributes:
        name: what it is.
        private: the command that takes the private key out.
        public: the command that takes a public key or a certificate out.
    """

    name: str
    private: str
    public: str


def _java(kind: str) -> Container:
    to_p12 = (
        f"keytool -importkeystore -srckeystore FILE -srcstoretype {kind} -destkeystore key.p12 -deststoretype pkcs12"
    )
    return Container(
        f"a Java keystore ({kind})",
        f"convert it: {to_p12}; then: {_FROM_P12.replace('FILE', 'key.p12')}",
        f"take the certificate out of it: keytool -exportcert -rfc -keystore FILE -storetype {kind} -alias NAME",
    )


_PKCS12 = Container(
    der.PKCS12,
    f"take the key out of it: {_FROM_P12}",
    "take the certificate out of it: openssl pkcs12 -in FILE -nokeys -clcerts -out certificate.pem",
)
_PUTTY = Container(
    "a PuTTY key",
    "convert it: puttygen FILE -O private-openssh -o key.pem; on Windows, in PuTTYgen: "
    "Conversions, Export OpenSSH key",
    "convert it: puttygen FILE -O private-openssh -o key.pem, then: openssl pkey -in key.pem -pubout",
)
# By the first bytes; OpenSSL's words for Microsoft's two forms are PVK and MSBLOB.
_CONTAINERS: tuple[tuple[bytes, Container], ...] = (
    (b"\xfe\xed\xfe\xed", _java("JKS")),
    (b"\xce\xce\xce\xce", _java("JCEKS")),
    (b"PuTTY-User-Key-File", _PUTTY),
    *(
        (magic, Container(name, f"convert it: {how} -out key.pem", f"convert it: {how} -pubout"))
        for magic, name, how in (
            (b"\x1e\xf1\xb5\xb0", "a key in Microsoft's PVK format", "openssl rsa -inform PVK -in FILE"),
            (b"\x07\x02\x00\x00", "a key in Microsoft's blob format", "openssl rsa -inform MSBLOB -in FILE"),
        )
    ),
    *(
        (magic, Container(name, how, how))
        for magic, name, how in (
            (b"AGE-SECRET-KEY-", "a key of age, which encrypts files and cannot sign", MAKE_ONE),
            (b"age-encryption.org/", "a file encrypted with age", f"age -d -i IDENTITY FILE {_INTO}"),
            (b"$ANSIBLE_VAULT;", "a file encrypted with Ansible Vault", f"ansible-vault view FILE {_INTO}"),
            (b"<RSAKeyValue>", "an RSA key in .NET's XML", "write it as PEM: in .NET, ExportPkcs8PrivateKeyPem()"),
            (b"eyJ", "a token (JWT), and no key", "look at it with: banno-creds decode --file FILE"),
            (b"\x1f\x8b", "a compressed file (gzip)", f"gzip -dc FILE {_INTO}"),
            (b"PK\x03\x04", "a ZIP file", "unpack it first"),
        )
    ),
)
_OPENSSH_PUBLIC = (b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-")
_SSH2 = b"SSH2 PUBLIC KEY"


def container(text: bytes, kind: str | None = None) -> Container | None:
    """Recognise a container of keys by its first bytes, in base64 too, or by what DER it is."""
    if kind == der.PKCS12:
        return _PKCS12
    if kind == der.BCFKS:
        return _java("BCFKS")._replace(name=der.BCFKS)
    for content in (text, decoded(b"".join(text.split())) or b""):
        for magic, it in _CONTAINERS:
            if content.startswith(magic):
                return it
    return None


def is_openssh_public(text: bytes, found: Sequence[Block] = ()) -> bool:
    """Return whether it is a public key of OpenSSH, as a line or in its own armour (RFC 4716)."""
    return text.startswith(_OPENSSH_PUBLIC) or any(block.label == _SSH2 for block in found)


def no_private_key(text: bytes, found: Sequence[Block], halves: Sequence[bytes], origin: str) -> KeyLoadError:
    """Describe an undressed text without a whole private key in PEM, by its blocks and the labels of halves."""
    if not text:
        return KeyLoadError(
            f"{origin} is empty", hint=_for_origin(f"look at what should have filled it, or {MAKE_ONE}", origin)
        )
    if is_openssh_public(text, found):
        return KeyLoadError(
            f"{origin} holds a public key (OpenSSH), and signing needs the private key",
            hint="the private one is usually the file of the same name without .pub",
        )
    if any(b"PRIVATE KEY" in label for label in halves) or (text.startswith(b"-----BEGIN") and not found):
        return KeyLoadError(
            f"{origin} is cut off: its PEM block lacks the BEGIN line or the END line that goes with it",
            hint=_for_origin("copy the whole file, from -----BEGIN to the last dash of -----END …-----", origin),
        )
    if (what := container(text)) is not None:
        return KeyLoadError(f"{origin} is {what.name}", hint=what.private)
    for kind in (der.PUBLIC, der.CERTIFICATE, der.REQUEST, der.REVOCATIONS, der.PKCS7):
        if any(block.kind == kind for block in found):
            return _no_private(kind, origin)
    if found:
        what_else = ", ".join(sorted({block.label.decode("ascii") for block in found}))
        return KeyLoadError(
            f"{origin} holds no private key that can be used here, but: {what_else}", hint=_GIVE_PRIVATE
        )
    if (what_it_is := der.kind_of(text)) is not None:
        return _no_private(what_it_is, origin)
    if _URI.fullmatch(text):
        return KeyLoadError(
            f"{origin} holds what looks like the URI of a key, and no key",
            hint=f"give that URI with {setting('private_key')}, or set BANNO_CREDS_PRIVATE_KEY to it",
        )
    if _PATH.fullmatch(text):
        return KeyLoadError(
            f"{origin} holds what looks like a file's path, and no key",
            hint=f"give that path with {setting('private_key')}",
        )
    length = f", in its {len(text)} characters" if origin == KEY_VARIABLE else ""
    return KeyLoadError(
        f"{origin} holds no key{length}: neither PEM, DER nor JWK",
        hint=_for_origin(f"{_GIVE_PRIVATE}, or {MAKE_ONE}", origin),
    )


def not_a_der_key(kind: str | None, origin: str) -> KeyLoadError:
    """Describe DER that is no private key, by what it is."""
    if (what := container(b"", kind)) is not None:
        return KeyLoadError(f"{origin} is {what.name}", hint=what.private)
    return damaged(origin) if kind is None else _no_private(kind, origin)


def no_base64(block: Block, origin: str) -> KeyLoadError:
    """Describe a private key in PEM with something in it that is no base64, and so no part of the key."""
    odd = re.search(rb"[^A-Za-z0-9+/=_-]", block.packed)
    if odd is None or b"Proc-Type" in block.packed:  # headers that cannot be read
        return damaged(origin)
    sign = block.packed[odd.start() :].decode("utf-8", "replace")[0]
    hint = {"*": "it was masked, as in a CI job's log", ".": "it was shortened", "…": "it was shortened"}.get(sign)
    copied = "copy it again as plain text: a mail, a page or an editor added that"
    return KeyLoadError(
        f"{origin} holds a private key with {sign!a} in it, which no key has",
        hint=_for_origin(f"{hint}: take the key itself" if hint else copied, origin),
    )


def damaged(origin: str) -> KeyLoadError:
    """Describe what has the form of a private key, and cannot be read."""
    return KeyLoadError(
        f"{origin} looks like a private key, but it is damaged or of an unknown kind",
        hint=_for_origin("look at it with: openssl pkey -in FILE -noout -check, or take it from a backup", origin),
    )


def wrong_curve(curve: str, origin: str) -> KeyLoadError:
    """Describe an EC key that is on another curve than P-256."""
    return KeyLoadError(
        f"{origin} is an EC key on {curve}; ES256 needs P-256 (secp256r1)",
        hint="make one with: banno-creds keygen --type ec",
    )


def wrong_type(name: str, origin: str) -> KeyLoadError:
    """Describe a key that is neither RSA nor EC."""
    article = "an" if name[0] in "EMX" else "a"  # Ed25519, ML-DSA and X25519; DSA and DH
    return KeyLoadError(f"{origin} is {article} {name} key; {ACCEPTED}", hint=MAKE_ONE)


def weak(why: str, origin: str) -> KeyLoadError:
    """Describe an RSA key that nobody should sign with."""
    return KeyLoadError(f"{origin} is an RSA key {why}", hint=MAKE_ONE)


def _no_private(kind: str, origin: str) -> KeyLoadError:
    return KeyLoadError(
        f"{origin} holds {kind}, and signing needs the private key", hint=_for_origin(_GIVE_PRIVATE, origin)
    )


def _for_origin(hint: str, origin: str) -> str:
    """Return the hint for a file; a secret in the variable is to be stored anew instead."""
    return _STORE if origin == KEY_VARIABLE else hint
