"""The JWK Set that you publish: the file, which is changed here, and what its URL says."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.errors import ConfigurationError, UnusableAnswerError
from banno_creds.http.client import HttpClient
from banno_creds.jose.key_set import KeySet, read_key_set
from banno_creds.rotation.plan import Has
from banno_creds.rules.jwks_uri import PROVIDERS_OWN, kept_for
from banno_creds.storage import own_files
from banno_creds.storage.edited import cannot_write, change_file
from banno_creds.storage.secret_files import PUBLIC_MODE, check_file_name, read_file
from banno_creds.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.config import ClientConfig
    from banno_creds.http.exchange import Answer
    from banno_creds.jose.keys import PublicKey

_NOT_THERE = (404, 410)


class Named(NamedTuple):
    """A public key, the ``kid`` that is sent with it (None if none is), and the only ``alg`` it signs with."""

    key: PublicKey
    kid: str | None
    alg: str | None = None

    def is_in(self, key_set: KeySet) -> bool:
        """Return whether a set has the key, under the ``kid`` that is sent."""
        jwk = key_set.find(self.key)
        return jwk is not None and (self.kid is None or jwk.get("kid") in (None, self.kid))


class Seen(NamedTuple):
    """A set at its URL, and how many seconds caches may keep it."""

    key_set: KeySet
    cached: float


def has(key_set: KeySet, old: Named, new: Named | None) -> Has:
    """Return which of two keys a set has."""
    return Has(old.is_in(key_set), new is not None and new.is_in(key_set))


def read_set(file: Path) -> KeySet:
    """Read the file; of a missing one an empty set.

    Raises:
        ConfigurationError: it cannot be read, or is no JWK Set.
    """
    if not os.path.lexists(file):
        return KeySet(origin=str(file))
    return read_key_set(read_file(file), str(file))


def write_set(file: Path, *, add: tuple[Named, ...] = (), remove: tuple[PublicKey, ...] = ()) -> None:
    """Add keys to the file and remove others, whole or not at all; a missing file is made.

    Raises:
        ConfigurationError: it is no JWK Set, has something private in it, or has such a key under another ``kid``.
        OutputError: it cannot be written.
    """

    def changed(key_set: KeySet) -> KeySet:
        for named in add:
            key_set = key_set.add(named.key, named.alg)
            _check_kid(key_set, named)
        for key in remove:
            key_set = key_set.remove(key)
        return key_set

    if os.path.lexists(file):
        change_file(str(file), lambda content: changed(read_key_set(content, str(file))).text().encode())
        return
    check_file_name(str(file))
    if not file.parent.is_dir():
        raise ConfigurationError(f"there is no folder {file.parent}", hint="make it first, or name another file")
    with cannot_write(str(file)):
        temporary = own_files.temporary_name(file)
        try:
            own_files.write_new(temporary, changed(KeySet(origin=str(file))).text().encode(), PUBLIC_MODE)
            own_files.rename_to_free(temporary, str(file))
        except OSError:
            with suppress(OSError):
                own_files.remove(temporary)
            raise
        own_files.sync_folder(file.parent)


def _check_kid(key_set: KeySet, named: Named) -> None:
    """Refuse a set that names a key otherwise than the client assertion will."""
    if named.is_in(key_set):
        return
    jwk = key_set.find(named.key) or {}
    raise ConfigurationError(
        f"{key_set.origin} has the key under the kid {printable(jwk.get('kid'), 80)}, and {printable(named.kid, 80)} "
        "is sent with it",
        hint="correct one of the two: the profile's kid, or the set's; nothing was changed",
        rule="assertion.kid.unknown",
    )


def look(url: str, config: ClientConfig, now: float) -> Seen:
    """Fetch the set from its URL, as the server does; one that is not there yet is empty.

    Raises:
        NetworkError: it cannot be fetched, or is no JWK Set.
    """
    with HttpClient(config.timeout, config.ca_bundle) as http:
        answer = http.get(url)
    if answer.status in _NOT_THERE:
        return Seen(KeySet(origin=url), cached_for(answer, now))
    if answer.status != 200:
        raise UnusableAnswerError(
            f"{url} does not send a JWK Set: {answer.status} {answer.reason}",
            hint="look at it in a browser; a redirect is never followed",
            rule="registration.unreachable",
        )
    try:
        return Seen(read_key_set(answer.content, url), cached_for(answer, now))
    except ConfigurationError as failure:
        raise UnusableAnswerError(failure.message, hint=f"look at it: banno-creds jwks check {url}") from None


def cached_for(answer: Answer, now: float) -> float:
    """Return for how many seconds caches may keep an answer after it was replaced (RFC 9111 section 4.2.1).

    A shared cache on the way may give it out until it is stale, and the server keeps it from then on: twice the time.
    """
    is_shared = "age" in answer.headers or "via" in answer.headers or "x-cache" in answer.headers
    return max(PROVIDERS_OWN, (kept_for(answer.headers, now) or 0) * (2 if is_shared else 1))
