"""Read a private key in every form but the usual one, which `keys` reads by itself."""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.utils import CryptographyDeprecationWarning

from banno_creds.errors import KeyLoadError, PassphraseError
from banno_creds.jose import der, unusable_key
from banno_creds.jose.der import MOST_RSA_BITS
from banno_creds.jose.dressings import Block, blocks, decoded, der_block, is_der, undress
from banno_creds.jose.encoding import parse_json_object
from banno_creds.jose.jwk import mended
from banno_creds.jose.libraries import UnreadableError, read_by
from banno_creds.jose.unusable_key import ACCEPTED, MAKE_ONE
from banno_creds.storage.secret_files import MOST_BYTES
from banno_creds.text import setting, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    Passphrase = Callable[[], bytes | None]


_OPENSSH = b"OPENSSH PRIVATE KEY"
# The labels of private keys. What stands under another label is one if its structure says so.
_LABELS = {
    b"PRIVATE KEY",
    b"ENCRYPTED PRIVATE KEY",
    b"RSA PRIVATE KEY",
    b"EC PRIVATE KEY",
    b"DSA PRIVATE KEY",
    b"ANY PRIVATE KEY",
    _OPENSSH,
}
# A check of primes beyond this takes more than a minute.
_MOST_CHECKED_BITS = 8192
# About ten seconds, and a gigabyte; OpenSSL makes keys with 2048 rounds, the most careful with some millions.
_MOST_ROUNDS = 10_000_000
_MOST_MEMORY = 1 << 30
_WEAKER = "convert a copy where it was made: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out key.pem"


class Opened(NamedTuple):
    """A private key of any type and size.

    Attributes:
        native: cryptography's object.
        jwk_alg: the ``alg`` of its JWK.
        only_alg: the one algorithm that the key itself allows.
    """

    native: PrivateKeyTypes
    jwk_alg: str | None = None
    only_alg: str | None = None

    def __repr__(self) -> str:
        return "Opened()"


def check_size(content: bytes, origin: str) -> None:
    """Refuse a content that is larger than any key; KeyLoadError."""
    if len(content) > MOST_BYTES:
        raise KeyLoadError(
            f"{origin} is larger than {MOST_BYTES // 1024} KiB", hint="check that it is the file you mean"
        )


def read_private_key(content: bytes, origin: str, passphrase: Passphrase, *, thorough: bool) -> Opened:
    """Read a private key; see `keys.load_private_key`."""
    check_size(content, origin)
    text = undress(content)
    if text.startswith(b"{"):
        return _from_jwk(text, origin)
    block = _only_private_block(text, origin)
    if block.label == _OPENSSH:
        return Opened(_from_openssh(block, origin))
    if not block.der and not block.headers:
        raise unusable_key.no_base64(block, origin)
    _refuse_foreign(block.der, origin)
    if block.headers:
        native = _open(partial(_traditional, block), origin, passphrase)
    elif block.kind == der.ENCRYPTED:
        _refuse_costly(block.der, origin)
        native = _open(partial(_encrypted, block.der, thorough=thorough), origin, passphrase)
    else:
        native = _in_the_clear(block.der, origin, thorough=thorough)
    return Opened(native, only_alg=_limit(block.der, origin))


def form_of(content: bytes) -> str:
    """Name the form of a private key that `keys.load_private_key` could read, such as ``PEM (PKCS#8)``."""
    text = undress(content)
    if text.startswith(b"{"):
        return "JWK"
    if is_der(text):
        return "DER (encrypted)" if der_block(text).kind == der.ENCRYPTED else "DER"
    block = next(block for block in blocks(text)[0] if _is_private(block))
    if block.label == _OPENSSH:
        return "PEM (OpenSSH)"
    encrypted = ", encrypted" if block.headers or block.kind == der.ENCRYPTED else ""
    if block.headers:
        return f"PEM ({'SEC 1' if block.label.startswith(b'EC') else 'PKCS#1'}{encrypted})"
    form = "PKCS#8"
    if not encrypted and not der.algorithm_of(block.der)[0]:
        form = "PKCS#1" if der.rsa_bits(block.der) else "SEC 1"
    told = _told(form, bool(encrypted))
    label = block.label.decode("ascii")
    wrong = f", under the label {label}" if label not in told else ""
    return f"PEM ({form}{encrypted}{wrong})"


def _told(form: str, encrypted: bool) -> tuple[str, ...]:  # noqa: FBT001 - private, and both are named at the call
    """Return the labels that go with a form (RFC 7468 sections 10 and 11)."""
    if encrypted:
        return ("ENCRYPTED PRIVATE KEY",)
    return {"PKCS#8": ("PRIVATE KEY",), "PKCS#1": ("RSA PRIVATE KEY",), "SEC 1": ("EC PRIVATE KEY",)}[form]


# --- From the content to one key ------------------------------------------------------------------------------------


def _only_private_block(text: bytes, origin: str) -> Block:
    """Return the one private key in PEM or DER."""
    if is_der(text):
        block = der_block(text)
        if not _is_private(block):
            raise unusable_key.not_a_der_key(block.kind, origin)
        return block
    found, halves = blocks(text)
    private = [block for block in found if _is_private(block)]
    if not private:
        raise unusable_key.no_private_key(text, found, halves, origin)
    if len(private) > 1 and not _one_key(private):
        raise KeyLoadError(
            f"{origin} holds {len(private)} private keys, and only one can sign",
            hint="give a file with the one whose public half the bank has",
        )
    return private[0]


def _is_private(block: Block) -> bool:
    return block.kind in (der.PRIVATE, der.ENCRYPTED) or (block.kind is None and block.label in _LABELS)


def _one_key(private: list[Block]) -> bool:
    """Return whether they are one key in several forms, in the clear."""
    publics = set()
    for block in private:
        if block.kind != der.PRIVATE or der.rsa_bits(block.der) > MOST_RSA_BITS or _foreign(block.der):
            return False
        with suppress(UnreadableError):
            native = read_by(partial(_der_key, block.der, None, thorough=False))
            publics.add(
                native.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
    return len(publics) == 1


def _foreign(data: bytes) -> str | None:
    """Return the name of a key that no JWT is signed with, and that is not read at all."""
    if len([part for part in der.parts(data) if part.tag == 0x02]) == 6:  # DSA's own form
        return "DSA"
    return der.FOREIGN.get(der.algorithm_of(data)[0])


def _refuse_foreign(data: bytes, origin: str) -> None:
    if (name := _foreign(data)) is not None:
        raise unusable_key.wrong_type(name, origin)
    if (bits := der.rsa_bits(data)) > MOST_RSA_BITS:
        raise unusable_key.weak(f"of {bits} bits or so; {MOST_RSA_BITS} is the most that OpenSSL works with", origin)


def _refuse_costly(data: bytes, origin: str) -> None:
    """Refuse a key whose encryption could keep this program busy for hours, or take all memory."""
    rounds, memory = der.cost_of_opening(data)
    if rounds > _MOST_ROUNDS or memory > _MOST_MEMORY:
        need = f"{memory >> 20:,} MiB of memory" if memory > _MOST_MEMORY else f"{rounds:,} rounds"
        need = need if len(need) < 40 else "more than any machine has"
        raise KeyLoadError(f"{origin} is encrypted so that trying a passphrase takes {need}", hint=_WEAKER)


def _limit(data: bytes, origin: str) -> str | None:
    """Return the algorithm that a key is limited to (RFC 4055); None if it is limited to none."""
    oid, parameters = der.algorithm_of(data)
    if oid != der.RSA_PSS:
        return None
    digest = der.pss_digest(parameters)
    if digest not in ("", "256"):
        fault = f"SHA-{digest}" if digest else "parameters that no algorithm of JWTs has"
        raise KeyLoadError(
            f"{origin} is an RSASSA-PSS key limited to {fault}; PS256 needs SHA-256 and a salt of 32 bytes",
            hint=MAKE_ONE,
        )
    return "PS256"


# --- Opening it -----------------------------------------------------------------------------------------------------


def _der_key(data: bytes, secret: bytes | None, *, thorough: bool) -> PrivateKeyTypes:
    checked = thorough and der.rsa_bits(data) <= _MOST_CHECKED_BITS
    return serialization.load_der_private_key(data, secret, unsafe_skip_rsa_key_validation=not checked)


def _in_the_clear(data: bytes, origin: str, *, thorough: bool) -> PrivateKeyTypes:
    try:
        return read_by(partial(_der_key, data, None, thorough=thorough))
    except UnreadableError as failure:
        if failure.unknown:
            raise _of_unknown_type(failure, origin) from None
        raise unusable_key.damaged(origin) from None


def _of_unknown_type(failure: UnreadableError, origin: str) -> KeyLoadError:
    if "urve" in str(failure):
        return unusable_key.wrong_curve("an unknown curve", origin)
    return KeyLoadError(f"{origin} is a key of an unknown type; {ACCEPTED}", hint=MAKE_ONE)


def _encrypted(data: bytes, secret: bytes, *, thorough: bool) -> PrivateKeyTypes:
    # Its size is not known before it is open: what is thorough is tried only for sizes that people have.
    checked = thorough and len(data) < _MOST_CHECKED_BITS
    with warnings.catch_warnings():
        # What is inside can only be seen by opening it; of some keys cryptography then warns on standard error.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return serialization.load_der_private_key(data, secret, unsafe_skip_rsa_key_validation=not checked)


def _traditional(block: Block, secret: bytes) -> PrivateKeyTypes:
    """Open a key that RFC 1421 headers say to be encrypted. Its label may be wrong: the right one is tried, too."""
    for label in dict.fromkeys((block.label, b"RSA PRIVATE KEY", b"EC PRIVATE KEY")):
        with suppress(UnreadableError):
            return read_by(
                lambda label=label: serialization.load_pem_private_key(  # type: ignore[misc]
                    block.labelled(label), secret, unsafe_skip_rsa_key_validation=True
                )
            )
    return serialization.load_pem_private_key(block.pem, secret, unsafe_skip_rsa_key_validation=True)


def _open(load: Callable[[bytes], PrivateKeyTypes], origin: str, passphrase: Passphrase) -> PrivateKeyTypes:
    """Open an encrypted key."""
    secret = passphrase()
    if not secret:
        raise PassphraseError(
            f"{origin} is encrypted, and no passphrase was given",
            hint=f"give its file with {setting('passphrase_file')} (- for standard input), or run this at a "
            "terminal to be asked",
        )
    tried = []
    for name, spelling in _spellings(secret):
        tried.append(name)
        try:
            return read_by(partial(load, spelling))
        except UnreadableError as failure:
            if failure.unknown and "urve" in str(failure):
                raise _of_unknown_type(failure, origin) from None
            if "nknown" in str(failure) or failure.unknown:
                raise KeyLoadError(
                    f"{origin} is encrypted by an unknown method",
                    hint="convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out key.pem",
                ) from None
    odd = unseen(secret.decode("utf-8", "replace"))
    raise PassphraseError(
        f"the passphrase does not open {origin}"
        + (f": {odd}" if odd else "")
        + (f" (tried: {', '.join(tried)})" if len(tried) > 1 else ""),
        hint="check the passphrase; if it is right, the file is damaged",
    )


def _spellings(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes that a passphrase may have been when the key was made, each with its name.

    OpenSSL takes the bytes that a terminal or a file gives: of "ü" they depend on the system that they were typed at.
    """
    yield "as given", secret
    if secret.isascii():
        return
    from unicodedata import normalize

    seen = {secret}
    try:
        text = secret.decode("utf-8")
    except ValueError:
        text = secret.decode("latin-1")
    composed, decomposed = normalize("NFC", text), normalize("NFD", text)
    for name, words, encoding in (
        ("UTF-8, composed", composed, "utf-8"),
        ("UTF-8, decomposed", decomposed, "utf-8"),
        ("Latin-1", composed, "latin-1"),
    ):
        with suppress(UnicodeEncodeError):
            spelling = words.encode(encoding)
            if spelling not in seen:
                seen.add(spelling)
                yield name, spelling


def _from_openssh(block: Block, origin: str) -> PrivateKeyTypes:
    convert = "convert a copy of it: ssh-keygen -p -m PKCS8 -f COPY"
    if b"\0\0\0\7ssh-dss" in (decoded(block.packed) or b"")[:200]:  # cryptography warns of it on standard error
        raise unusable_key.wrong_type("DSA", origin)
    try:
        return read_by(lambda: serialization.load_ssh_private_key(block.pem, None))
    except UnreadableError as failure:
        if isinstance(failure.cause, TypeError):  # this is how cryptography says that the key is encrypted
            raise KeyLoadError(
                f"{origin} is an encrypted key in OpenSSH's format, which banno-creds cannot read", hint=convert
            ) from None
        if failure.unknown:
            raise KeyLoadError(
                f"{origin} is a key in OpenSSH's format, of a type that banno-creds cannot read",
                hint=f"{MAKE_ONE}; if it is RSA or EC P-256, {convert}",
            ) from None
        raise unusable_key.damaged(origin) from None


# --- JWK ------------------------------------------------------------------------------------------------------------


def _from_jwk(text: bytes, origin: str) -> Opened:
    try:
        jwk = mended(parse_json_object(text))
    except ValueError as failure:
        raise KeyLoadError(
            f"{origin} starts like a JWK, but {failure}", hint="give one private JWK as JSON"
        ) from None
    _check_jwk(jwk, origin)
    # Imported here because it costs 40 ms, and few keys are JWKs.
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm

    reader = RSAAlgorithm if jwk["kty"] == "RSA" else ECAlgorithm
    try:
        native = read_by(lambda: reader.from_jwk(jwk))
    except UnreadableError:
        raise KeyLoadError(
            f"{origin} is a JWK whose members do not make a key", hint="export it again from where it was made"
        ) from None
    alg = jwk.get("alg")
    # It is private, for it has a d.
    return Opened(native, None if alg is None else _shown(alg))  # type: ignore[arg-type]


def _check_jwk(jwk: dict[str, Any], origin: str) -> None:
    """Refuse a JWK that is not a private key, or not one for signatures."""
    key_type = jwk.get("kty")
    if "keys" in jwk:
        fault, hint = "is a JWK Set", "give only the private JWK that is for signing"
    elif not isinstance(key_type, str):
        fault, hint = "is JSON, but no JWK: kty is missing", "give one private JWK, or a file in PEM"
    elif key_type == "oct":
        fault, hint = "is a symmetric JWK (kty oct), no key pair", MAKE_ONE
    elif key_type not in ("RSA", "EC"):
        fault, hint = f"is a JWK of the type {_shown(key_type)}; {ACCEPTED}", MAKE_ONE
    elif "d" not in jwk:
        fault, hint = "is a public JWK, and signing needs the private one", "give the JWK with its member d"
    elif key_type == "EC" and jwk.get("crv", "P-256") != "P-256":
        raise unusable_key.wrong_curve(f"the curve {_shown(jwk['crv'])}", origin)
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
