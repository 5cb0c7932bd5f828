"""The keys that ``keygen --force`` replaces: the bank may know them, so they stay beside the new ones."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from banno_creds.cli.inputs import can_ask
from banno_creds.errors import BannoCredsError, ConfigurationError
from banno_creds.shells import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from banno_creds.jose.keys import PublicKey
    from banno_creds.storage.secret_files import NewFile


class Old(NamedTuple):
    """A file that is replaced.

    Attributes:
        path: where it is.
        content: its content.
        place: where it is kept.
        is_private: whether it is the one of the private key.
        fingerprint: of the key in it; empty if it cannot be read without its passphrase.
    """

    path: Path
    content: bytes
    place: Path
    is_private: bool
    fingerprint: str = ""

    def __repr__(self) -> str:
        return f"Old({str(self.path)!r})"


def check_places(private_key: Path | None, public_key: Path, values: Mapping[str, Any]) -> None:
    """Make sure that the files can be written; an existing key is first of all left where it is."""
    from banno_creds.storage import secret_files

    paths = [path for path in (private_key, public_key) if path is not None]
    secret_files.check_places(paths, replace=True)
    existing = [path for path in paths if os.path.lexists(path)]
    if not existing or values["force"]:
        return
    free = {"--private-key": private_key, "--public-key": public_key}
    other = " ".join(f"{name} {quote(str(_free(path)))}" for name, path in free.items() if path is not None)
    hint = f"choose other paths: {other}"
    if private_key is None:
        hint = f"choose another path: {other}; or print it: --public-key -"
    elif public_key not in existing:
        own = quote(str(private_key))
        hint = f"for its public half: banno-creds keygen --public-from {own}; for another pair: {other}"
    names, verb = " and ".join(map(str, existing)), "exists" if len(existing) == 1 else "exist"
    raise ConfigurationError(f"{names} {verb} already, nothing was written", hint=hint)


def _free(path: Path) -> Path:
    """Return a free path beside one that is taken."""
    if not os.path.lexists(path):
        return path
    names = (f"new-{path.name}" if number == 1 else f"new-{number}-{path.name}" for number in count(1))
    return next(place for name in names if not os.path.lexists(place := path.with_name(name)))


def content_of(path: Path) -> bytes:
    """Return the content that is replaced; of no file it is empty. ConfigurationError if it cannot be read."""
    from banno_creds.storage.secret_files import read_file

    if not os.path.lexists(path):
        return b""
    try:
        return read_file(path)
    except BannoCredsError as failure:
        raise ConfigurationError(
            f"{path} cannot be kept, so it is not replaced: {failure.message}",
            hint="move it elsewhere by yourself, or choose other paths",
        ) from None


def find(private_key: Path | None, public_key: Path, own: PublicKey | None = None) -> list[Old]:
    """Find the files that hold something that would be lost, the private one first.

    ``own`` is the public key that is written, if it is known: a file with the same key loses nothing.
    """
    public, private = content_of(public_key), b"" if private_key is None else content_of(private_key)
    half = _public_key(public)
    found = []
    if private_key is not None and private:
        name = _half_of(private, half)
        found.append(_old(private_key, private, name, is_private=True))
    if public and not (own is not None and half is not None and half.thumbprint() == own.thumbprint()):
        found.append(_old(public_key, public, half, is_private=False))
    return found


def _public_key(content: bytes) -> PublicKey | None:
    from banno_creds.jose.keys import PublicKey
    from banno_creds.jose.public_keys import NoPublicKeyError, read_public_keys

    with suppress(NoPublicKeyError, ValueError, AttributeError, IndexError):
        key = PublicKey(read_public_keys(content).found[0].native)  # type: ignore[arg-type]
        key.thumbprint()  # of a key that no pair of ours has, it is an error
        return key
    return None


def _half_of(private: bytes, half: PublicKey | None) -> PublicKey | None:
    """Return the public half of a private key; of one that is encrypted, the key in the file beside it."""
    from banno_creds.errors import PassphraseError
    from banno_creds.jose.keys import load_private_key

    try:
        return load_private_key(private, "the old key").public
    except PassphraseError:
        return half
    except BannoCredsError:
        return None


def _old(path: Path, content: bytes, key: PublicKey | None, *, is_private: bool) -> Old:
    tag = f"sha256-{sha256(content).hexdigest()[:16]}" if key is None else key.thumbprint()
    names = (f"{path.stem}-{tag}{f'-{n}' if n > 1 else ''}{path.suffix}" for n in count(1))
    places = (path.with_name(name) for name in names)
    place = next(place for place in places if not os.path.lexists(place) or _same_content(place, content))
    return Old(path, content, place, is_private, "" if key is None else key.fingerprint())


def _same_content(place: Path, content: bytes) -> bool:
    with suppress(OSError):
        return place.read_bytes() == content
    return False


def files(found: Sequence[Old]) -> list[NewFile]:
    """Return the files to write so that nothing is lost; what is kept already is left as it is."""
    from banno_creds.storage.own_files import PRIVATE_MODE
    from banno_creds.storage.secret_files import PUBLIC_MODE, NewFile

    return [
        NewFile(old.place, old.content, PRIVATE_MODE if old.is_private else PUBLIC_MODE, b"")
        for old in found
        if not os.path.lexists(old.place)
    ]


def ask(found: Sequence[Old], values: Mapping[str, Any]) -> None:
    """Ask at a terminal whether to replace them; ConfigurationError if not."""
    if not found or not can_ask() or values["yes"] or "-" in (values["passphrase_file"], values["public_from"]):
        return
    names = " and ".join(f"{old.path} ({old.fingerprint or 'a key'})" for old in found)
    click.echo(f"This replaces {names}. If the bank has its public half, only the bank can change that.", err=True)
    if not click.confirm(f"Replace, and keep the old as {' and '.join(str(old.place) for old in found)}?", err=True):
        raise ConfigurationError("nothing was written", hint="choose other paths for a new pair")


def said(found: Sequence[Old]) -> tuple[str, str]:
    """Return that the bank may have the old key, where it is kept, and the way back."""
    first = found[0]
    named = f" ({first.fingerprint})" if first.fingerprint else ""
    if first.is_private:
        return (
            f"the bank may have the old key{named}, which is kept in {first.place}",
            f"until it has the new one, sign with: --private-key {quote(str(first.place))}",
        )
    return f"the old public key{named} is kept in {first.place}", "compare: the bank may have that one"
