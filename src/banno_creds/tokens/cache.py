"""The cache: one file for each request, its owner's alone, and one request to the server however many ask at once.

A refusal is given again for `cache_entry.REFUSAL_SECONDS` without asking the server: a loop in a broken job must not
get the bank's address blocked. Any other failure is given only to those who were waiting for that request.

The cache is a convenience: whatever is wrong with it is a warning, and the server is asked instead.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from banno_creds import recall
from banno_creds.steps import Run
from banno_creds.storage import lock, own_files
from banno_creds.storage.lock import Lock
from banno_creds.storage.own_files import ENTRY, LOCK, UNFINISHED, OthersHomeError, is_of_the_cache
from banno_creds.text import setting
from banno_creds.tokens import cache_entry, search
from banno_creds.tokens.cache_entry import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.config import Wanted
    from banno_creds.tokens.cache_entry import Request
    from banno_creds.tokens.response import TokenResponse

_STALE = 3600  # seconds; no living process leaves a file unfinished for so long

_GO_ON = f"it goes on without a cache; BANNO_CREDS_CACHE_DIR names another folder, {setting('no_cache')} uses none"
_GO_ON_AS_ROOT = (
    "it goes on without a cache; use sudo -H for root's own home, or set BANNO_CREDS_CACHE_DIR to a folder of root's "
    "own, such as /root/.cache/banno-creds"
)


class TokenCache:
    """The tokens in one folder, which must exist; see `own_files.check_folder`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def local(self, run: Run = Run()) -> TokenCache:  # noqa: ARG002 - as of a shared cache
        """Return this cache: it is this machine's."""
        return self

    def check_key(self, content: bytes, *, is_held: bool) -> None:
        """Take any private key: this cache seals nothing."""

    def obtain(
        self,
        request: Request,
        fetch: Callable[[], TokenResponse],
        wanted: Wanted,
        run: Run = Run(),
        *,
        patience: float,
    ) -> TokenResponse:
        """Return a kept token, or fetch one; see `search.obtain`."""
        return search.obtain(_Place(self, request.name), request, fetch, wanted, run, patience=patience)

    def path(self, name: str, suffix: str) -> str:
        """Return the path of one of a request's files."""
        return os.path.join(self.folder, name + suffix)

    def read(self, name: str) -> Entry | None:
        """Read the entry of the request with this name; None if there is none, or another version wrote it.

        Raises:
            ValueError: it is broken, or another request's.
            OSError: it cannot be read.
        """
        try:
            content = own_files.read(self.path(name, ENTRY))
        except FileNotFoundError:
            return None
        return cache_entry.read(name, content)

    def write(self, name: str, entry: Entry) -> None:
        """Write an entry, and remove what was left behind; OSError if the system does not allow it."""
        own_files.write(self.path(name, ENTRY), cache_entry.write(name, entry))
        self._sweep()

    def entries(self) -> dict[str, Entry | OSError | None]:
        """Return all entries by name, None for a broken one, and what keeps one from being read.

        OSError if the folder cannot be read.
        """
        found: dict[str, Entry | OSError | None] = {}
        for file in sorted(os.listdir(self.folder)):
            name, suffix = os.path.splitext(file)
            if suffix == ENTRY and is_of_the_cache(file):
                try:
                    found[name] = self.read(name)
                except OSError as failure:
                    found[name] = failure
                except ValueError:
                    found[name] = None
        return found

    def forget(self, name: str) -> None:
        """Remove the entry of the request with this name, and the recalled answers, as far as the system allows."""
        with suppress(OSError):
            own_files.remove(self.path(name, ENTRY))
        with suppress(OSError):
            recall.sweep(self.folder)

    def has(self, name: str) -> bool:
        """Return whether there is an entry of the request with this name, as far as can be seen."""
        return os.path.lexists(self.path(name, ENTRY))

    def clear(self, belongs: Callable[[Entry], bool] | None = None) -> int:
        """Remove everything, or the entries that belong to somebody, and return how many entries there were.

        OSError if the system does not allow it; what can be removed has been removed then.
        """
        faults: list[OSError] = []
        if belongs is None:
            files = [file for file in os.listdir(self.folder) if is_of_the_cache(file)]
        else:
            entries = self.entries()
            files = [name + ENTRY for name, entry in entries.items() if isinstance(entry, Entry) and belongs(entry)]
            faults += (entry for entry in entries.values() if isinstance(entry, OSError))  # whose it is, nobody knows
        removed = 0
        for file in files:
            try:
                self._remove(file)
                removed += file.endswith(ENTRY)
            except FileNotFoundError:
                pass
            except OSError as failure:
                faults.append(failure)
        if belongs is not None:
            recall.sweep(self.folder)
        if faults:
            raise faults[0]
        return removed

    def _sweep(self) -> None:
        """Remove old files that nobody needs: entries of tokens that ended, and files of killed processes."""
        now = time.time()
        for file in os.listdir(self.folder):
            path = os.path.join(self.folder, file)
            with suppress(OSError):
                if not is_of_the_cache(file) or abs(now - os.lstat(path).st_mtime) <= _STALE:
                    continue
                if not self._is_good(file, now):
                    self._remove(file)
        recall.sweep(self.folder)

    def _remove(self, file: str) -> None:
        path = os.path.join(self.folder, file)
        if file.endswith((LOCK, LOCK + UNFINISHED)):
            own_files.patiently(lambda: lock.remove(path), path)
        else:
            own_files.remove(path)

    def _is_good(self, file: str, now: float) -> bool:
        """Return whether a file is the entry of a token that is still good."""
        name, suffix = os.path.splitext(file)
        try:
            entry = self.read(name) if suffix == ENTRY else None
        except ValueError:
            return False
        return entry is not None and (entry.left(now) or 0) > 0


class _Place:
    """Where one request's entry is in the cache's folder."""

    def __init__(self, cache: TokenCache, name: str) -> None:
        self._cache = cache
        self._name = name

    def look(self) -> tuple[str, Callable[[], Entry | None]]:
        """Return what changes with the entry, and what reads it."""
        return own_files.identity(self._cache.path(self._name, ENTRY)), partial(self._cache.read, self._name)

    def lock(self, patience: float, sleep: Callable[[float], None]) -> Lock:
        """Return the lock of the process that asks."""
        return Lock(self._cache.path(self._name, LOCK), patience, sleep)

    def write(self, entry: Entry) -> None:
        """Keep an entry."""
        self._cache.write(self._name, entry)

    def broken(self, fault: ValueError) -> str:
        """Say that the entry is broken."""
        return f"the cache's file {self._name[:8]}…{ENTRY} is broken: {fault}"

    def fault(self, verb: str, fault: OSError) -> tuple[str, str]:
        """Say that the cache is of no use."""
        return f"the cache cannot be {verb}: {own_files.words(fault)}", _GO_ON


def open_cache(run: Run = Run()) -> TokenCache | None:
    """Return the user's cache (``BANNO_CREDS_CACHE_DIR``, else the system's folder for caches); make its folder.

    None, with a warning, if there can be none.
    """
    folder = own_files.cache_folder()
    if folder is None:
        run.warn("there is no home folder, and so no cache", _GO_ON)
        return None
    try:
        own_files.make_folder(folder)
        own_files.check_folder(folder)
    except OSError as failure:
        hint = _GO_ON_AS_ROOT if isinstance(failure, OthersHomeError) else _GO_ON
        run.warn(f"the cache cannot be used: {own_files.words(failure)}", hint)
        return None
    return TokenCache(folder)
