"""Read public keys in every form that people have; `jwks` and `rules.registration` decide what they are for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.primitives import serialization

from banno_creds.jose import der
from banno_creds.jose.der import MOST_RSA_BITS
from banno_creds.jose.dressings import Block, blocks, der_block, is_der, undress
from banno_creds.jose.encoding import parse_json_object
from banno_creds.jose.libraries import UnreadableError, read_by
from banno_creds.storage.secret_files import MOST_BYTES, as_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPENSSH = b"OPENSSH PRIVATE KEY"


class NoPublicKeyError(ValueError):
    """There is no public key that can be read; the words go with "it", and are empty if it is nothing that is known.

    Attributes:
        is_private: whether it is a private key, or holds one.
        hint: how to get one out of it; None if nothing better is known than to give another file.
    """

    def __init__(self, words: str, *, is_private: bool = False, hint: str | None = None) -> None:
        super().__init__(words)
        self.is_private = is_private
        self.hint = hint


class Found(NamedTuple):
    """A public key that is no JWK.

    Attributes:
        native: one of cryptography's public keys; None if it cannot be read.
        name: of the key's type, where it is not even tried to be read.
        algorithms: those that the key itself allows (id-RSASSA-PSS); None if it allows all of its type.
    """

    native: object
    name: str = ""
    algorithms: tuple[str, ...] | None = None


class PublicKeys(NamedTuple):
    """The public keys in a file.

    Attributes:
        found: the keys in PEM or DER; without those of the authorities in a chain of certificates.
        jwks: the members of a JWK Set, or of one JWK as if it were a set; None if it is none.
        is_set: whether it is a JWK Set.
        is_private: whether a private key stands there, too.
        is_mended: whether it is a key only after its text was mended: another reader may not take it.
    """

    found: tuple[Found, ...] = ()
    jwks: dict[str, Any] | None = None
    is_set: bool = False
    is_private: bool = False
    is_mended: bool = False


def read_public_keys(content: bytes) -> PublicKeys:
    """Read the public keys in a file: keys, certificates, JWKs; a private key gives its public half.

    Raises:
        NoPublicKeyError: there is none; the words say what is there instead.
    """
    if len(content) > MOST_BYTES:
        raise NoPublicKeyError(f"is larger than {MOST_BYTES // 1024} KiB")
    text = undress(content)
    plain = as_utf8(content).strip()
    is_mended = not (is_der(content) or plain.startswith(b"{") or any(block.der for block in blocks(plain)[0]))
    if text.startswith(b"{"):
        try:
            members = parse_json_object(text)
        except ValueError as failure:
            raise NoPublicKeyError(f"starts like a JWK Set, but {failure}") from None
        is_set = "keys" in members
        return PublicKeys(jwks=members if is_set else {"keys": [members]}, is_set=is_set, is_mended=is_mended)
    found, halves = blocks(text)
    if is_der(text):
        found, halves = [der_block(text)], []
    is_private = any(is_private_block(block) for block in found) or any(b"PRIVATE KEY" in label for label in halves)
    keys: tuple[Found, ...] = ()
    for key in _keys_in(found):
        keys += () if key in keys else (key,)  # cryptography's keys can be compared, but have no hash
    if not keys or all(key.native is None and not key.name for key in keys):
        raise _none(text, found, halves, is_private=is_private)
    return PublicKeys(keys, is_private=is_private, is_mended=is_mended)


def certificates_in(content: bytes) -> list[bytes]:
    """Return the certificates in a file, in DER: from PEM, DER or PKCS #7, dressed as keys are."""
    text = undress(content)
    found = [der_block(text)] if is_der(text) else blocks(text)[0]
    inside = [der.certificates_in(block.der) if block.kind == der.PKCS7 else [block.der] for block in found]
    return [each for certificates in inside for each in certificates if der.kind_of(each) == der.CERTIFICATE]


def is_private_block(block: Block) -> bool:
    """Return whether a block is a private key; what cannot be told is judged by its label."""
    return block.kind in (der.PRIVATE, der.ENCRYPTED) or (block.kind is None and b"PRIVATE KEY" in block.label)


def key_in(data: bytes, kind: str | None) -> Found:
    """Read the one key in DER that is a public key, a certificate or a certificate request."""
    return _key(data if kind == der.PUBLIC else der.key_of(data))


def _keys_in(found: list[Block]) -> Iterator[Found]:
    certificates = []
    for block in found:
        if block.kind in (der.PUBLIC, der.REQUEST):
            yield key_in(block.der, block.kind)
        elif block.kind == der.CERTIFICATE:
            certificates.append(block.der)
        elif block.kind == der.PKCS7:
            certificates += der.certificates_in(block.der)
        elif block.kind == der.PRIVATE or block.label == _OPENSSH:
            yield _half(block)
    for certificate in _last_of_chains(certificates):
        yield key_in(certificate, der.CERTIFICATE)


def _last_of_chains(certificates: list[bytes]) -> list[bytes]:
    """Return the certificates that did not issue another one of them: in a chain, the one of the key's owner."""
    try:
        names = [der.names_of(certificate) for certificate in certificates]
    except (IndexError, ValueError):
        return certificates[:1]
    issuers = {issuer for issuer, subject in names if issuer != subject}
    return [
        it for it, (_, subject) in zip(certificates, names, strict=True) if subject not in issuers
    ] or certificates[:1]


def _key(data: bytes) -> Found:
    oid, parameters = der.algorithm_of(data)
    if oid in der.FOREIGN:
        return Found(None, f"{der.FOREIGN[oid]}PublicKey")
    if der.rsa_bits(data) > MOST_RSA_BITS:
        return Found(None, f"RSA key of more than {MOST_RSA_BITS} bits")
    algorithms = None
    if oid == der.RSA_PSS:
        digest = der.pss_digest(parameters)
        algorithms = ("PS256", "PS384", "PS512") if digest == "" else (f"PS{digest}",) if digest else ()
    try:
        return Found(read_by(partial(serialization.load_der_public_key, data)), algorithms=algorithms)
    except UnreadableError:
        return Found(None)


def _half(block: Block) -> Found:
    """Return the public half of a private key in the clear."""
    data = block.der
    if der.algorithm_of(data)[0] in der.FOREIGN or der.rsa_bits(data) > MOST_RSA_BITS or b"ssh-dss" in data[:200]:
        return Found(None)
    load = partial(serialization.load_der_private_key, data, None, unsafe_skip_rsa_key_validation=True)
    ssh = partial(serialization.load_ssh_private_key, block.pem, None)
    try:
        return Found(read_by(lambda: (ssh() if block.label == _OPENSSH else load()).public_key()))
    except UnreadableError:
        return Found(None)


def _none(text: bytes, found: list[Block], halves: list[bytes], *, is_private: bool) -> NoPublicKeyError:
    from banno_creds.jose import unusable_key

    kind = found[0].kind if is_der(text) else None
    if (what := unusable_key.container(text, kind)) is not None:
        return NoPublicKeyError(f"is {what.name}", hint=what.public)
    if unusable_key.is_openssh_public(text, found):
        hint = "convert it: ssh-keygen -e -m PKCS8 -f FILE"
        return NoPublicKeyError("is a public key in OpenSSH's format", hint=hint)
    if is_private:
        return NoPublicKeyError("holds a private key", is_private=True)
    if halves:
        return NoPublicKeyError("is cut off: its PEM block lacks the BEGIN line or the END line that goes with it")
    if kinds := {block.kind for block in found if block.kind is not None} - {
        der.PUBLIC,
        der.CERTIFICATE,
        der.REQUEST,
    }:
        return NoPublicKeyError(f"holds {' and '.join(sorted(kinds))}, and no public key")
    return NoPublicKeyError("")
