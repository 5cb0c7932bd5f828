"""What is known of a key, wherever it is: which one it is, since when it is there, which profiles use it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.client_authentication.key_age import Since, since_when
from banno_creds.client_authentication.private_key import load_key
from banno_creds.config import DEFAULT_TIMEOUT, KeySource
from banno_creds.errors import BannoCredsError
from banno_creds.jose.any_key import AnyKey, read_any_keys
from banno_creds.jose.keys import load_private_key
from banno_creds.key_uri import is_key_uri
from banno_creds.shells import join
from banno_creds.steps import Run
from banno_creds.storage.secret_files import SeenFile, look_at_file, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from banno_creds.jose.keys import Passphrase, PublicKey
    from banno_creds.profiles.lookup import Summary

STDIN = "-"


class KeyFacts(NamedTuple):
    """What is known of one key.

    Attributes:
        place: the file, URI or URL that it was found in, as it was given.
        number: its number among several there, from 1; None if it is the only one.
        key: the key.
        file: its file as it was found; None if it is in none.
        since: when it was there already, if that is known.
        profiles: the names of the profiles that sign with it.
        exits: a message and a hint for each way in which the private half may leave its holder.
    """

    place: str
    number: int | None
    key: AnyKey
    file: SeenFile | None = None
    since: Since | None = None
    profiles: tuple[str, ...] = ()
    exits: tuple[tuple[str, str], ...] = ()

    def compare(self, passphrase_file: str | None = None) -> str | None:
        """Return the command line by which OpenSSL prints the key's SHA-256; None if there is none."""
        if (self.key.native is None and self.key.openssl is None) or not self.place.isprintable():
            return None
        digest = " | openssl dgst -sha256"
        is_pipe = self.file is not None and self.file.modified is None  # which has gone when somebody runs the line
        place = STDIN if is_pipe else self.place
        if self.key.openssl is None or self.file is None or is_pipe:
            only = [] if self.number is None else ["--only", self.key.fingerprint() or ""]
            end = ["--"] if place.startswith("-") and place != STDIN else []
            show = join(["banno-creds", "key", "show", "-o", "pem", *only, *end, place])
            return f"{show} | openssl pkey -pubin -outform DER{digest}"
        before, after = self.key.openssl
        secret = join(["-passin", f"file:{passphrase_file}"]) + " " if passphrase_file and self.is_encrypted else ""
        return f"openssl {before.removesuffix('-in')}{secret}-in {join([place])}{after}{digest}"

    @property
    def is_encrypted(self) -> bool:
        """Whether it is an encrypted private key."""
        return "encrypted" in self.key.form


def facts_of(content: bytes, place: str, passphrase: Passphrase, file: SeenFile | None = None) -> list[KeyFacts]:
    """Return what is known of each key in a content.

    Args:
        content: the content.
        place: where it was found; ``-`` is standard input.
        passphrase: called if a private key in it is encrypted.
        file: the file that it was found in.

    Raises:
        KeyLoadError: there is no key in it; the message says what is there instead.
    """
    keys = read_any_keys(content, "standard input" if place == STDIN else place, passphrase)
    return [
        KeyFacts(place, number if len(keys) > 1 else None, key, file, _since(key, file))
        for number, key in enumerate(keys, 1)
    ]


def facts_of_file(place: str, path: Path, passphrase: Passphrase) -> list[KeyFacts]:
    """Return what is known of each key in a file, whoever may read or change it; see `facts_of`."""
    file = look_at_file(path)
    return facts_of(file.content, place, passphrase, file)


def facts_of_held_key(
    uri: str, passphrase: Passphrase, run: Run = Run(), timeout: float = DEFAULT_TIMEOUT
) -> list[KeyFacts]:
    """Return what is known of a key that is held elsewhere; ``run`` gets its holder's warnings.

    Raises:
        KeyLoadError: it cannot be found, or not be used.
        PassphraseError: the PIN is missing or wrong.
    """
    source = KeySource.at(uri)
    key = load_key(source, passphrase, run, timeout=timeout)
    form = f"{uri.partition(':')[0].lower()}: {getattr(key, 'holder', 'its holder')} signs"
    held = AnyKey("held", form, key.public.native)
    return [KeyFacts(uri, None, held, since=since_when(source, key), exits=getattr(key, "exits", ()))]


def _since(key: AnyKey, file: SeenFile | None) -> Since | None:
    if key.certificate is not None:
        return Since(key.certificate.not_before, "certificate")
    return None if file is None or file.modified is None else Since(file.modified, "file")


# --- The profiles that use it ---------------------------------------------------------------------------------------


class Users:
    """The profiles, asked which of them sign with a key.

    A key is theirs if it is the same file, links followed, or the same URI; or if its public half is that of their
    key's file. Each file is read once, and only if the question is asked; no passphrase is asked for, and no holder.
    """

    def __init__(self, profiles: Iterable[Summary]) -> None:
        self._names: dict[str, list[str]] = {}
        for profile in profiles:
            if profile.private_key is not None:
                self._names.setdefault(profile.private_key, []).append(profile.name)

    def of(self, facts: KeyFacts) -> tuple[str, ...]:
        """Return the names of the profiles that sign with a key, in their order."""
        places = set(self._by_fingerprint.get(facts.key.fingerprint() or "", ()))
        if is_key_uri(facts.place):
            places |= {facts.place} & self._names.keys()
        elif facts.file is not None and facts.key.kind in ("private-key", "private-jwk"):
            with suppress(OSError, ValueError):
                mine = os.stat(os.path.expanduser(facts.place))  # noqa: PTH111, PTH116 - as it was read
                places |= {place for place, its in self._files.items() if os.path.samestat(mine, its)}
        return self._at(places)

    def of_public(self, key: PublicKey, place: str = "") -> tuple[str, ...]:
        """Return the names of the profiles that sign with the private half of a key; ``place`` may be its URI."""
        return self._at({place, *self._by_fingerprint.get(key.fingerprint(), ())})

    def _at(self, places: set[str]) -> tuple[str, ...]:
        return tuple(name for place, names in self._names.items() if place in places for name in names)

    @cached_property
    def _files(self) -> dict[str, os.stat_result]:
        """The profiles' regular files: a pipe would be waited for."""
        found = {}
        for place in self._names:
            if not is_key_uri(place):
                with suppress(OSError, ValueError):
                    status = os.stat(place)  # noqa: PTH116 - as in `of`
                    if stat.S_ISREG(status.st_mode):
                        found[place] = status
        return found

    @cached_property
    def _by_fingerprint(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        read: dict[tuple[int, int], str] = {}  # several paths may lead to one file
        for place, status in self._files.items():
            identity = (status.st_dev, status.st_ino)
            if identity not in read:
                read[identity] = ""
                with suppress(BannoCredsError):
                    key = load_private_key(read_file(Path(place)), "", lambda: None)
                    read[identity] = key.public.fingerprint()
            found.setdefault(read[identity], []).append(place)
        found.pop("", None)
        return found
