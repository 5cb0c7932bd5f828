"""One private key in all the forms that people and programs give one."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
import zlib
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

if TYPE_CHECKING:
    from banno_creds.jose.keys import PrivateKey

_NONE = serialization.NoEncryption()
_LOCKED = serialization.BestAvailableEncryption(b"a passphrase")
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_PKCS8, _OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL


def texts(key: PrivateKey) -> dict[str, str]:
    """Return it as text, as an option, a variable or a profile may hold it."""
    pem, der = key.pem(), _der(key)
    text = pem.decode()
    jwk = json.dumps(_jwk(key))
    return {
        "PEM": text,
        "encrypted PEM": key.pem(b"a passphrase").decode(),
        "one line": text.replace("\n", " "),
        "escaped": text.replace("\n", "\\n"),
        "CRLF": text.replace("\n", "\r\n"),
        "no blanks": "".join(text.split()),
        "typographic dashes": text.replace("-----", "\N{EM DASH}\N{EM DASH}-"),
        "beginning cut off": text[2:],
        "end cut off": text[:90],
        "percent": quote(text, safe=""),
        "form": quote_plus(text),
        "unicode escapes": json.dumps(text).replace("-", "\\u002d"),
        "JSON in JSON": json.dumps(json.dumps({"key": text})),
        "HTML": text.replace("-", "&#45;").replace("\n", "<br>"),
        "base64 of PEM": b64encode(pem).decode(),
        "base64 of PEM, wrapped": _wrapped(b64encode(pem).decode()),
        "base64 of PEM after more": b64encode(b"key: " + pem).decode(),
        "base64 of UTF-16": b64encode(text.encode("utf-16")).decode(),
        "base64 of base64": b64encode(b64encode(pem)).decode(),
        "base64url of PEM": urlsafe_b64encode(pem).rstrip(b"=").decode(),
        "base64 of DER": b64encode(der).decode(),
        "base64 of DER, wrapped": _wrapped(b64encode(der).decode()),
        "base64url of DER": urlsafe_b64encode(der).decode(),
        "base64 of base64 of DER": b64encode(b64encode(der)).decode(),
        "hex of PEM": pem.hex(),
        "hex of DER": der.hex().upper(),
        "hex with colons": der.hex(":"),
        "JWK": jwk,
        "JWK in a JWK Set": json.dumps({"keys": [_jwk(key)]}, indent=2),
        "JWK in a string": json.dumps({"jwk": jwk}),
        "base64 of a JWK": b64encode(jwk.encode()).decode(),
        "PuTTY": "PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\nEncryption: none\nPrivate-Lines: 1\nAAAAIQDQ\n",
        "PGP": "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQVYBGXx\n",
        ".NET": "<RSAKeyValue><Modulus>x</Modulus><D>abc</D></RSAKeyValue>",
    }


def files(key: PrivateKey) -> dict[str, bytes]:
    """Return it as the content of a file."""
    pem, der = key.pem(), _der(key)
    held = serialization.load_der_private_key(der, None)
    assert isinstance(held, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("key.pem", pem)
    return {
        **{name: text.encode() for name, text in texts(key).items()},
        "UTF-16": pem.decode().encode("utf-16"),
        "UTF-16BE": pem.decode().encode("utf-16-be"),
        "UTF-8 with BOM": b"\xef\xbb\xbf" + pem,
        "DER": der,
        "DER, old form": held.private_bytes(_DER, _OLD, _NONE),
        "DER, encrypted": held.private_bytes(_DER, _PKCS8, _LOCKED),
        "PEM, old form": held.private_bytes(_PEM, _OLD, _NONE),
        "OpenSSH": held.private_bytes(_PEM, serialization.PrivateFormat.OpenSSH, _NONE),
        "Ed25519 DER in base64": b64encode(
            ed25519.Ed25519PrivateKey.generate().private_bytes(_DER, _PKCS8, _NONE),
        ),
        "PKCS #12": pkcs12.serialize_key_and_certificates(b"a", held, None, None, _LOCKED),
        "base64 of PKCS #12": b64encode(pkcs12.serialize_key_and_certificates(b"a", held, None, None, _LOCKED)),
        "JKS": b"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1" + der,
        "JCEKS": b"\xce\xce\xce\xce\0\0\0\2\0\0\0\1" + der,
        "gzip": gzip.compress(pem),
        "gzip of DER": gzip.compress(der),
        "gzip of gzip": gzip.compress(gzip.compress(pem)),
        "zlib": zlib.compress(pem),
        "bzip2": bz2.compress(pem),
        "xz": lzma.compress(pem),
        "zip": zipped.getvalue(),
        "base64 of gzip": gzip.compress(b64encode(pem)),
        "behind 70 KB": b"x" * 70_000 + pem,
        "behind 5 MB": b"some text\n" * 500_000 + pem,
        "behind a public key": key.public.pem() + pem,
        "in JSON": json.dumps({"note": "hello", "file": pem.decode()}).encode(),
        "in a form": b"note=hello&file=" + quote_plus(pem.decode()).encode(),
        "across two pieces": b"x" * (64 * 1024 - 40) + pem,
    }


def _der(key: PrivateKey) -> bytes:
    return serialization.load_pem_private_key(key.pem(), None).private_bytes(_DER, _PKCS8, _NONE)


def _jwk(key: PrivateKey) -> dict[str, str]:
    numbers = serialization.load_pem_private_key(key.pem(), None)
    assert isinstance(numbers, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    secret = numbers.private_numbers()
    number = secret.d if isinstance(secret, rsa.RSAPrivateNumbers) else secret.private_value
    size = (number.bit_length() + 7) // 8
    return {**key.public.jwk(), "d": urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()}


def _wrapped(text: str) -> str:
    return "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
