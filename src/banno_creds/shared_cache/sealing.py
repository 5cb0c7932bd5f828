"""What the server of a shared cache gets to see: names that are keyed hashes, and sealed values.

Both keys come from one secret by HKDF (RFC 5869). A value is sealed by AES-256-GCM with its name bound in, so that
nobody who can write in the server can make a value, or give one under another name.
"""

from __future__ import annotations

import hmac
import os
from binascii import a2b_base64
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from banno_creds.errors import ConfigurationError
from banno_creds.text import setting
from banno_creds.threads import no_fork

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "banno-creds:"
"""With what all names in the server begin; a rule of access can name them."""

LEAST_SECRET = 16  # bytes; a passphrase that somebody thought of could be guessed from one sealed value

_FORM = b"\x01"
_NONCE, _TAG = 12, 16  # bytes
_SALT = b"banno-creds shared cache 1"
_PADDED_TO = 1024  # bytes: the length must not tell what is in a value
_MAKE_ONE = "make one: openssl rand -base64 32"


class Seal:
    """The keys that come from one secret."""

    def __init__(self, secret: bytes) -> None:
        with no_fork():
            extracted = hmac.digest(_SALT, secret, "sha256")
            self._names, values = (
                hmac.digest(extracted, purpose + b"\x01", "sha256") for purpose in (b"names", b"values")
            )
            self._values = AESGCM(values)

    def name(self, name: str) -> str:
        """Return the name of a value in the server, and of nothing else: its hash slot is its own."""
        with no_fork():
            return f"{PREFIX}{{{hmac.digest(self._names, name.encode(), 'sha256').hex()}}}"

    def close(self, name: str, text: bytes) -> bytes:
        """Seal a JSON text under a name; blanks at its end hide its length."""
        padded = text.ljust(-(-len(text) // _PADDED_TO) * _PADDED_TO)
        nonce = os.urandom(_NONCE)
        with no_fork():
            return _FORM + nonce + self._values.encrypt(nonce, padded, _FORM + name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return the text that was sealed under a name; ValueError if this is no such value."""
        nonce, rest = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        if sealed[:1] != _FORM or len(rest) < _TAG:
            raise ValueError("it is of another kind")
        try:
            with no_fork():
                return self._values.decrypt(nonce, rest, _FORM + name.encode())
        except InvalidTag:
            raise ValueError("it was changed, or sealed under another secret") from None


def read_secret(path: Path) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Return the secret in a file, and the warnings about it.

    Raises:
        ConfigurationError: it cannot be read, others can write it, or it is too short.
    """
    from banno_creds.storage.secret_files import read_secret_line

    file = read_secret_line(path, "cache secret", "cache_secret_file")
    if len(file.content) < LEAST_SECRET:
        raise ConfigurationError(
            f"the cache secret in {path} has {len(file.content)} bytes, and has to have {LEAST_SECRET} at least",
            hint=_MAKE_ONE,
            rule="cache.secret",
        )
    return file.content, file.warnings


def seal_of_key(content: bytes, *, is_held: bool) -> Seal:
    """Return the seal of a private key, where no secret was given: its text must be hard to guess.

    It comes from the text itself: the text's hash is no secret, since a kept answer has it (see `recall.look`).

    Raises:
        ConfigurationError: it is encrypted, or held elsewhere, so that its text is no secret.
    """
    if is_held:
        why = "the private key is held elsewhere, and cannot seal a shared cache"
    elif not _is_encrypted(content):
        return Seal(content)
    else:
        why = "the private key is encrypted, and its file alone is no secret to seal a shared cache with"
    raise ConfigurationError(
        why, hint=f"name a secret of its own, {setting('cache_secret_file')}; {_MAKE_ONE}", rule="cache.secret"
    )


def _is_encrypted(content: bytes) -> bool:
    label, _, text = content.partition(b"\n")
    if label.startswith(b"-----BEGIN ") and b" PRIVATE KEY-" in label and _is_in_the_clear(text[:8]):
        return False  # most are such, and to look closer takes long
    from banno_creds.errors import BannoCredsError
    from banno_creds.jose.private_keys import form_of

    try:
        return "encrypted" in form_of(content)
    except (BannoCredsError, ValueError, LookupError, StopIteration):
        return False  # it is no key: none is kept, because no token comes of it


def _is_in_the_clear(start: bytes) -> bool:
    """Return whether base64 begins a key in DER that is not encrypted: its first member is a version."""
    try:
        der = a2b_base64(start)
    except ValueError:
        return False
    long = der[1:2] in (b"\x81", b"\x82") and der[1] - 0x80
    return der[:1] == b"\x30" and der[2 + long : 3 + long] == b"\x02"
