"""The two keys of a rotation: the new one beside the old one, and the old one's file under its archive name."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.client_authentication.private_key import load_key
from banno_creds.config import KeySource
from banno_creds.errors import BannoCredsError, KeyLoadError, OutputError, PassphraseError
from banno_creds.jose.keys import PrivateKey, PublicKey, generate
from banno_creds.key_uri import is_key_uri
from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from banno_creds.jose.keys import Passphrase
    from banno_creds.key_holders.held_key import HeldKey

_DATED = re.compile(r"(.+?)-(\d{4}-\d\d-\d\d)(?:-(\d+))?")
_ARCHIVED = "-archived-"


class Opened(NamedTuple):
    """A key that was opened, and the passphrase or PIN that was asked for to open it; None if none was."""

    place: str
    key: PrivateKey | HeldKey
    secret: bytes | None

    def __repr__(self) -> str:
        return f"Opened({self.place!r})"


def open_key(place: str, passphrase: Passphrase, timeout: float) -> Opened:
    """Open the key at a file or URI.

    Raises:
        KeyLoadError: it cannot be read or used.
    """
    asked: list[bytes | None] = []

    def ask() -> bytes | None:
        asked.append(passphrase())
        return asked[-1]

    key = load_key(KeySource.at(place), ask, thorough=True, timeout=timeout)
    return Opened(place, key, asked[-1] if asked else None)


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """Return the public key of a JWK that `PublicKey.jwk` has made.

    Raises:
        ValueError: it is none.
    """
    from banno_creds.jose.jwks import public_key_of

    key = PublicKey(public_key_of(jwk))  # type: ignore[arg-type]
    try:
        key.thumbprint()
    except AttributeError:
        raise ValueError("it is no key that signs a client assertion") from None
    return key


# --- The new key ----------------------------------------------------------------------------------------------------


def new_place(old: str, date: str) -> str:
    """Return a free path beside the old key's file, with the date in it."""
    path = Path(old)
    dated = _DATED.fullmatch(path.stem)
    base = dated[1] if dated else path.stem
    names = (f"{base}-{date}{'' if number == 1 else f'-{number}'}.pem" for number in count(1))
    return str(next(place for name in names if not os.path.lexists(place := path.with_name(name))))


class Sibling(NamedTuple):
    """A key's file beside another one of the same name but for its date: an earlier or a later key of a rotation."""

    place: str
    is_newer: bool
    is_archived: bool


def siblings(place: str) -> Iterator[Sibling]:
    """Yield the key files beside one that a rotation has made or replaced, the latest last."""
    path = Path(place)
    if is_key_uri(place):
        return
    base, order = _order(path.stem)
    with suppress(OSError):
        for other in sorted(path.parent.iterdir(), key=lambda each: _order(each.stem)):
            stem, archived, _ = other.stem.partition(_ARCHIVED)
            other_base, other_order = _order(stem)
            if other != path and other_base == base and other.suffix in (path.suffix, ".pem"):
                yield Sibling(str(other), not archived and other_order > order, bool(archived))


def is_dated(place: str) -> bool:
    """Return whether a key's file has the name of one that a rotation has made."""
    return not is_key_uri(place) and _DATED.fullmatch(Path(place).stem) is not None


def _order(stem: str) -> tuple[str, tuple[str, int]]:
    """Return a key's name without its date, and what orders the names of one key after the other."""
    dated = _DATED.fullmatch(stem)
    return (dated[1], (dated[2], int(dated[3] or 1))) if dated else (stem, ("", 0))


def make_file(old: Opened, place: str) -> None:
    """Make a new key of the old one's type and size in a file, encrypted by the same passphrase if the old one is.

    It is there whole, with mode 0600, or not at all.

    Raises:
        OutputError: the system does not allow it, or there is a file already.
    """
    assert isinstance(old.key, PrivateKey)  # noqa: S101 - a key that is held elsewhere has no file
    made = generate("rsa" if old.key.type == "RSA" else "ec", old.key.size)
    temporary = own_files.temporary_name(place)
    try:
        own_files.write_new(temporary, made.pem(old.secret))
        own_files.rename_to_free(temporary, place)
        own_files.sync_folder(os.path.dirname(place) or ".")
    except OSError as failure:
        with suppress(OSError):
            own_files.remove(temporary)
        raise OutputError(
            f"cannot write {place}: {failure.strerror or failure}; nothing was changed",
            hint=own_files.hint_for(
                failure, "check that you may write in that folder; or make a key elsewhere, and name it: --new-key"
            ),
        ) from None


def make_held(old: str, name: str, passphrase: Passphrase, timeout: float, by_hand: str) -> str:
    """Have the holder of a key make a new one, and return its URI; ``by_hand`` is the command for a key made there.

    Raises:
        KeyLoadError: the holder makes none; its own next step stays, with ``by_hand`` as a further line.
        PassphraseError: the PIN is missing or wrong.
    """
    from banno_creds.key_holders.held_key import make_key

    try:
        return make_key(old, name, passphrase, timeout)
    except KeyLoadError as failure:
        if isinstance(failure, PassphraseError):
            raise
        raise failure.but(more=[f"or make the key there yourself, and name it: {by_hand}"]) from None


# --- The archive ----------------------------------------------------------------------------------------------------


def archive_name(place: str, thumbprint: str) -> str:
    """Return the archive name of a key's file."""
    path = Path(place)
    return str(path.with_name(f"{path.stem}{_ARCHIVED}{thumbprint}{path.suffix}"))


def archive(place: str, thumbprint: str) -> str | None:
    """Rename a key's file to its archive name, with mode 0600; return that name, None if nothing is there.

    Raises:
        OutputError: the system does not allow it.
    """
    target = archive_name(place, thumbprint)
    try:
        if not os.path.lexists(place):
            return target if os.path.lexists(target) else None
        if own_files.MODES_MEAN_SOMETHING and not os.path.islink(place):
            os.chmod(place, own_files.PRIVATE_MODE)
        if os.path.lexists(target) and os.path.samestat(os.lstat(place), os.lstat(target)):
            os.unlink(place)
        else:
            free = (f"{target}.{number}" if number else target for number in count())
            target = next(name for name in free if not os.path.lexists(name))
            own_files.rename_to_free(place, target)
        own_files.sync_folder(os.path.dirname(place) or ".")
    except OSError as failure:
        raise OutputError(
            f"cannot rename {place}: {failure.strerror or failure}; it is where it was",
            hint=own_files.hint_for(failure, "check that you may write in that folder"),
        ) from None
    return target


def same_key(place: str, key: PublicKey, passphrase: Callable[[], bytes | None], timeout: float) -> bool:
    """Return whether a key that can be opened is this one; False if it cannot be opened."""
    with suppress(BannoCredsError, OSError, ValueError):
        return open_key(place, passphrase, timeout).key.public.thumbprint() == key.thumbprint()
    return False
