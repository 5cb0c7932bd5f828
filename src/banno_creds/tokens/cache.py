"""The cache: one file for each request, its owner's alone, and one request to the server however many ask at once.

A refusal is given again for `cache_entry.REFUSAL_SECONDS` without asking the server: a loop in a broken job must not
get the bank's address blocked. Any other failure is given only to those who were waiting for that request.

The cache is a convenience: whatever is wrong with it is a warning, and the server is asked instead. The search for a
token, and the wait for another process, are the same for the cache that many machines share (`shared`).
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from banno_creds import recall
from banno_creds.errors import NetworkError, RefusedError
from banno_creds.steps import CacheAnswered, CacheSearched, Run, WaitingForAnother, awaiting
from banno_creds.storage import lock, own_files
from banno_creds.storage.lock import Lock
from banno_creds.storage.own_files import ENTRY, LOCK, UNFINISHED, OthersHomeError, is_of_the_cache
from banno_creds.text import setting
from banno_creds.tokens import cache_entry
from banno_creds.tokens.cache_entry import REFUSAL_SECONDS, Entry, KeptFailure, KeptToken, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol, Self

    from banno_creds.config import Wanted
    from banno_creds.tokens.cache_entry import Request
    from banno_creds.tokens.response import TokenResponse

_CLOCKS_DIFFER = 2  # seconds by which two readings of two clocks may differ on a busy machine
_MOST_HOLDERS = 3  # if so many processes asked and kept no token, the next one will not keep one either
_STALE = 3600  # seconds; no living process leaves a file unfinished for so long
_SWEPT_FOR = 10  # seconds; a thousand tokens in a row must not look at all files a thousand times

_GO_ON = f"it goes on without a cache; BANNO_CREDS_CACHE_DIR names another folder, {setting('no_cache')} uses none"
_GO_ON_AS_ROOT = (
    "it goes on without a cache; use sudo -H for root's own home, or set BANNO_CREDS_CACHE_DIR to a folder of root's "
    "own, such as /root/.cache/banno-creds"
)


class TokenCache:
    """The tokens in one folder, which must exist; see `own_files.check_folder`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._swept_at: float | None = None

    def local(self, run: Run = Run()) -> TokenCache:  # noqa: ARG002 - as of a shared cache
        """Return this cache: it is this machine's."""
        return self

    def close(self) -> None:
        """Close nothing: nothing is open."""

    def take_key(self, content: bytes, *, is_held: bool) -> None:
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
        """Return a kept token, or fetch one; see `search`."""
        return search(_Place(self, request.name), request, fetch, wanted, run, patience=patience)

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
        """Write an entry, and now and then remove what was left behind; OSError if the system does not allow it."""
        # Not synced, which takes longer than all else here: the reader of a broken entry asks the server.
        own_files.write(self.path(name, ENTRY), cache_entry.write(name, entry), synced=False)
        now = time.monotonic()
        if self._swept_at is None or now - self._swept_at >= _SWEPT_FOR:
            self._swept_at = now
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

    def broken(self, fault: ValueError) -> tuple[str, str]:
        """Say that the entry is broken."""
        message = f"the cache's file {self._name[:8]}…{ENTRY} is broken: {fault}"
        return message, "a fresh token is asked for, and the file is replaced"

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


# --- The search, the same for this machine's folder and for a server that many machines share -----------------------


def search(
    place: Place,
    request: Request,
    fetch: Callable[[], TokenResponse],
    wanted: Wanted,
    run: Run,
    *,
    patience: float,
) -> TokenResponse:
    """Return a kept token, or fetch one; of all who ask at the same time, one fetches for the others.

    Args:
        place: where the token is kept.
        request: the token request.
        fetch: asks the server.
        wanted: which token will do.
        run: how the run goes.
        patience: the seconds to wait for another process before it counts as hung; for all of them together, at
            most twice that.

    Raises:
        BannoCredsError: what ``fetch`` raised, here or a moment ago in another process.
    """
    caller = _Search(place, request.about, wanted, run)
    token = caller.look()
    if token is not None:
        return token
    # A lock that one process holds for longer than the patience is taken from it. After twice that time, or after
    # several holders that kept nothing (a full disk), the server is asked without a lock.
    with place.lock(patience, run.sleep) as turn:
        with ExitStack() as waiting:
            token = _wait(caller, turn, patience, run, waiting)
        if token is not None:
            return token
        began, up, start = run.clock(), own_files.uptime(), time.monotonic()
        try:
            token = fetch()
        except (RefusedError, NetworkError) as failure:
            caller.keep_failure(KeptFailure(Times(began, up, time.monotonic() - start), failure))
            raise
        times = Times(began, up, time.monotonic() - start)
        caller.keep_token(KeptToken(times, token, renewal=wanted.not_token is not None))
        return token


def _wait(caller: _Search, turn: Turn, patience: float, run: Run, waiting: ExitStack) -> TokenResponse | None:
    """Wait for the lock, or for the token that its holder keeps; None if it is to be fetched here."""
    while True:
        try:
            is_ours = turn.take()
        except OSError as fault:
            caller.warn("locked", fault)
            return None
        # With the lock in hand too: its last holder may have been done a moment ago.
        token = caller.look()
        if token is not None or is_ours:
            return token
        if turn.waited >= 2 * patience or turn.holders > _MOST_HOLDERS:
            return None
        if turn.holder is None:
            run.emit(WaitingForAnother(patience))
            waiting.enter_context(awaiting("another process that asks for this token"))
        if turn.remove_if_hung():
            run.warn(f"a process has been asking for this token for {patience:.0f} s: no longer waiting for it")
            continue
        turn.pause()


class _Search:
    """One caller's search for one token."""

    def __init__(self, place: Place, about: Mapping[str, Any], wanted: Wanted, run: Run) -> None:
        self._place = place
        self._about = about
        self._wanted = wanted
        self._run = run
        self._began = run.clock()
        self._seen: str | None = None
        self._warned = False
        self._entry: Entry | None = None

    def look(self) -> TokenResponse | None:
        """Return a token that will do; None to go on waiting, or to fetch one.

        The entry is read only if it changed since the last look.
        """
        try:
            identity, read = self._place.look()
        except OSError as fault:
            self.warn("read", fault)
            return None
        if identity == self._seen:
            return None
        first, self._seen = self._seen is None, identity
        self._entry = None
        try:
            self._entry = read()
        except ValueError as fault:
            self._run.warn(*self._place.broken(fault))
            return None
        except OSError as fault:
            self.warn("read", fault)
            return None
        token, why_not = self._usable()
        if token is not None:
            return token
        self._raise_failure()
        if (same := self._renewed()) is not None:
            return same
        if first:
            self._run.emit(CacheSearched(why_not))
        return None

    def keep_token(self, token: KeptToken) -> None:
        """Keep a token in the place of everything before it."""
        self._keep(token, None)

    def keep_failure(self, failure: KeptFailure) -> None:
        """Keep a failure beside the token before it, which may still be good."""
        self._keep(None if self._entry is None else self._entry.token, failure)

    def _keep(self, token: KeptToken | None, failure: KeptFailure | None) -> None:
        try:
            self._place.write(Entry(self._about, token, failure))
        except OSError as fault:
            self.warn("written", fault)

    def warn(self, verb: str, fault: OSError) -> None:
        """Warn once that the cache is of no use: the next fault has the same cause."""
        words = None if self._warned else self._place.fault(verb, fault)
        if words is not None:
            self._run.warn(*words)
        self._warned = True

    def _usable(self) -> tuple[TokenResponse | None, str]:
        """Return the kept token if it will do; if not, why not."""
        kept = None if self._entry is None else self._entry.token
        if kept is None:
            return None, "it holds no token for this request"
        token = kept.response
        if token.access_token == self._wanted.not_token:
            return None, "an API refused the token"
        now = self._run.clock()
        left = kept.left(now)
        if left is None:
            return None, "the clock was set back, and nobody knows how long the token is good"
        is_fresh = self._is_fresh(kept.times, now)
        if token.expires_in is None:
            # Only for those who waited for it: nobody knows how long it lives.
            return (token, "") if is_fresh else (None, "nobody knows how long the token is good")
        if token.expires_in <= 0 and is_fresh:
            return token, ""  # it had ended when it came: a token of their own would be no better
        if left <= 0 or (left < self._wanted.min_ttl and not is_fresh):
            return None, f"the token ends in {left:.0f} s" if left > 0 else "the token has ended"
        if self._wanted.force_refresh and not is_fresh:
            return None, "a fresh token was asked for"
        return self._as_it_is_now(kept, left, now), ""

    def _renewed(self) -> TokenResponse | None:
        """Return the refused token if it replaced another refused one a moment ago, and has not ended."""
        if self._entry is None or self._wanted.force_refresh:
            return None
        now = self._run.clock()
        kept = self._entry.renewed(now)
        if kept is None or kept.response.access_token != self._wanted.not_token:
            return None
        if kept.response.expires_in is None:
            return kept.response
        left = kept.left(now) or 0
        return self._as_it_is_now(kept, left, now) if left > 0 else None

    def _as_it_is_now(self, kept: KeptToken, left: float, now: float) -> TokenResponse:
        """Return a kept token as its server would write it now: callers count ``expires_in`` from now."""
        token = kept.response
        age = (token.expires_in or 0) - left
        self._run.emit(CacheAnswered(int(age), int(left)))
        raw = {**token.raw, "expires_in": int(left)}
        return replace(token, requested_at=token.requested_at + round(now - age - kept.times.began), raw=raw)

    def _raise_failure(self) -> None:
        """Raise the failure that is kept, if it concerns this caller."""
        if self._entry is None or self._entry.failure is None:
            return
        now = self._run.clock()
        if self._is_fresh(self._entry.failure.times, now):
            raise self._entry.failure.error
        refused = self._entry.refused(now)
        if refused is not None and not self._wanted.force_refresh:
            error, age = refused[0], int(refused[1])
            raise error.but(
                more=(
                    f"that was {age} s ago; not asked again, for a bank blocks addresses that fail too often",
                    f"to ask at once: {setting('force_refresh')}; otherwise wait {REFUSAL_SECONDS - age} s",
                )
            )

    def _is_fresh(self, times: Times, now: float) -> bool:
        """Return whether a request began after this call: another request could bring nothing newer."""
        age = times.age(now)
        return times.began >= self._began and age is not None and age <= now - self._began + _CLOCKS_DIFFER


if TYPE_CHECKING:  # to make such classes takes a while

    class Turn(Protocol):
        """The lock of the process that asks; see `storage.lock.Lock`."""

        @property
        def waited(self) -> float:
            """How long this caller has waited, in seconds."""

        @property
        def holders(self) -> int:
            """How many different holders were in the way."""

        @property
        def holder(self) -> str | None:
            """The holder that was in the way last; None until `remove_if_hung` was called."""

        def __enter__(self) -> Self: ...

        def __exit__(self, *_: object) -> None: ...

        def take(self) -> bool:
            """Take the lock if it is free; False while somebody else holds it; OSError if there can be none."""

        def pause(self) -> None:
            """Wait a moment before the next attempt."""

        def remove_if_hung(self) -> bool:
            """Remove the lock of a process that has held it for too long; True if this caller removed it."""

    class Place(Protocol):
        """Where one request's entry is."""

        def look(self) -> tuple[str, Callable[[], Entry | None]]:
            """Return what changes with the entry, and what reads it.

            Reading it gives None if there is none, and ValueError if it is broken; both may raise OSError.
            """

        def lock(self, patience: float, sleep: Callable[[float], None]) -> Turn:
            """Return the lock of the process that asks."""

        def write(self, entry: Entry) -> None:
            """Keep an entry; OSError if that is not possible."""

        def broken(self, fault: ValueError) -> tuple[str, str]:
            """Say that the entry is broken, and what happens then."""

        def fault(self, verb: str, fault: OSError) -> tuple[str, str] | None:
            """Say that the entry cannot be read, locked or written, and what happens then; None if that was said."""
