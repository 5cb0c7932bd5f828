"""Tokens at rest: one file a request, its owner's alone, and one request to the server however many ask at once.

What is kept of a request is the last token it brought and the last failure it met. A refusal is given again for
`REFUSAL_SECONDS` without asking, for a loop in a broken job must not get the bank's address blocked; any other
failure is given to those alone who were waiting for its outcome.

A cache is a convenience: whatever is wrong with it is a warning, and the server is asked instead.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from banno_creds import recall
from banno_creds.config import absolute
from banno_creds.errors import (
    BannoCredsError,
    NetworkError,
    RefusedError,
    TimedOutError,
    UnavailableError,
    UntrustedServerError,
    UnusableAnswerError,
)
from banno_creds.jose.encoding import parse_json_object
from banno_creds.steps import CacheAnswered, CacheSearched, Run, WaitingForAnother, Warned
from banno_creds.storage import own_files
from banno_creds.storage.lock import Lock
from banno_creds.storage.own_files import ENTRY, LOCK, OthersHomeError, is_of_the_cache
from banno_creds.text import setting
from banno_creds.tokens.response import TokenResponse, token_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from banno_creds.config import ClientConfig, Wanted

REFUSAL_SECONDS = 30

_VERSION = 3
_CLOCKS_DIFFER = 2  # seconds by which two readings of two clocks may differ on a busy machine
_MOST_HOLDERS = 3  # where so many have asked and none of them left a token, the next one will not either
_STALE = 3600  # seconds; no process that is alive leaves a file of its own unfinished for so long

_GO_ON = f"it goes on without a cache; BANNO_CREDS_CACHE_DIR names another folder, {setting('no_cache')} uses none"
_GO_ON_AS_ROOT = (
    "it goes on without a cache; use sudo -H for root's own home, or set BANNO_CREDS_CACHE_DIR to a folder of root's "
    "own, such as /root/.cache/banno-creds"
)

# What is kept of failures, by the names of their classes.
_FAILURES: dict[str, type[RefusedError | NetworkError]] = {
    kind.__name__: kind
    for kind in (
        *(RefusedError, NetworkError, TimedOutError, UntrustedServerError),
        *(UnavailableError, UnusableAnswerError),
    )
}


@dataclass(frozen=True, slots=True)
class Request:
    """What tells one token request from another: everything that is sent, to whom, and whom is trusted for it."""

    client_id: str
    token_endpoint: str | None
    issuer: str | None
    key: str = field(repr=False)  # the SHA-256 of the key's file, in hexadecimal
    alg: str | None
    kid: str | None
    aud: str | None
    lifetime: int
    iat: bool
    claims: Mapping[str, Any]
    scope: tuple[str, ...]
    resource: tuple[str, ...]
    params: tuple[tuple[str, str], ...]
    ca_bundle: str | None

    @property
    def name(self) -> str:
        """The name of its entry: a SHA-256 in hexadecimal."""
        return sha256(json.dumps([_VERSION, asdict(self)], sort_keys=True).encode()).hexdigest()


def request_of(config: ClientConfig, key: bytes) -> Request:
    """The request that a configuration and a key come to.

    Args:
        config: the client and the request.
        key: the private key as it was read, encrypted or not.

    Returns:
        The request; the key is in it as a hash.

    Raises:
        ConfigurationError: the CA bundle's path is relative, and the current folder is gone.
    """
    return Request(
        client_id=config.client_id,
        token_endpoint=config.token_endpoint,
        issuer=config.issuer,
        key=sha256(key).hexdigest(),
        alg=config.alg,
        kid=config.kid,
        aud=config.aud,
        lifetime=config.lifetime,
        iat=config.iat,
        claims=config.claims,
        scope=config.scope,
        resource=config.resource,
        params=config.params,
        ca_bundle=None if config.ca_bundle is None else absolute(config.ca_bundle),
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    """A token or a failure, by two clocks when its request began, and how long it took.

    ``renewal`` tells that it was asked for because an API refused the token before it.
    """

    began: float
    up: tuple[str, float]
    took: float = 0.0
    token: TokenResponse | None = None
    failure: BannoCredsError | None = None
    renewal: bool = False

    def age(self, now: float) -> float | None:
        """How long ago the request began, in seconds; None where a clock was set back and that cannot be known."""
        return own_files.age(now, self.began, self.up)

    def elapsed(self, now: float) -> float | None:
        """How long ago the answer came, in seconds, whatever the clock was set to meanwhile; None if nobody knows.

        A server that takes its time over a refusal must not be asked the more often.
        """
        elapsed = own_files.elapsed(now, self.began, self.up)
        return None if elapsed is None else max(0.0, elapsed - self.took)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of one request."""

    about: Mapping[str, Any]
    token: _Kept | None = None
    failure: _Kept | None = None

    @property
    def access_token(self) -> str | None:
        """The access token; None if there is none."""
        return None if self.token is None or self.token.token is None else self.token.token.access_token

    def left(self, now: float) -> float | None:
        """How long the token is still good, in seconds; None where that is not known."""
        if self.token is None or self.token.token is None:
            return None
        age = self.token.age(now)
        # Counted from the request by our own clocks, for the server's may differ from them.
        return None if age is None else (self.token.token.expires_in or 0) - age

    def refused(self, now: float) -> tuple[RefusedError, float] | None:
        """The refusal that is still remembered, and how many seconds ago it was; None if there is none."""
        if self.failure is None or not isinstance(self.failure.failure, RefusedError):
            return None
        age = self.failure.elapsed(now)
        return None if age is None or age >= REFUSAL_SECONDS else (self.failure.failure, age)

    def renewed(self, now: float) -> TokenResponse | None:
        """The token, if an API refused the one before it a moment ago: one that refuses this too minds no token."""
        if self.token is None or not self.token.renewal:
            return None
        age = self.token.elapsed(now)
        return None if age is None or age >= REFUSAL_SECONDS else self.token.token


class TokenCache:
    """The tokens in one folder, which has to be there.

    Args:
        folder: the folder; see `own_files.check_folder`.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def obtain(
        self,
        request: Request,
        fetch: Callable[[], TokenResponse],
        wanted: Wanted,
        run: Run = Run(),
        *,
        patience: float,
    ) -> TokenResponse:
        """Give a token that is kept, or fetch one; of all who ask at the same time, one fetches for the others.

        Args:
            request: what is asked for.
            fetch: asks the server.
            wanted: which token will do.
            run: how the run goes.
            patience: how long to wait for another process, in seconds, before it counts as hung; for all of them
                together no longer than twice that.

        Returns:
            The token response.

        Raises:
            BannoCredsError: what ``fetch`` raised, here or a moment ago in another process.
        """
        search = _Search(self, request, wanted, run)
        token = search.look()
        if token is not None:
            return token
        with self._turn(search, patience, run.sleep) as came_meanwhile:
            if came_meanwhile is not None:
                return came_meanwhile
            began, up, start = run.clock(), own_files.uptime(), time.monotonic()
            try:
                token = fetch()
            except (RefusedError, NetworkError) as failure:
                search.keep(_Kept(began, up, time.monotonic() - start, failure=failure))
                raise
            took = time.monotonic() - start
            search.keep(_Kept(began, up, took, token=token, renewal=wanted.not_token is not None))
            return token

    @contextmanager
    def _turn(
        self, search: _Search, patience: float, sleep: Callable[[float], None]
    ) -> Iterator[TokenResponse | None]:
        """Wait until nobody else fetches what is searched for; give what another process fetched meanwhile.

        A lock that one process holds for longer than ``patience`` is taken from it. After twice that time, or after
        several holders that kept nothing (a full disk), the server is asked without a lock.
        """
        with Lock(self.path(search.request.name, LOCK), patience, sleep) as lock:
            while True:
                try:
                    is_ours = lock.take()
                except OSError as fault:
                    search.warn(f"the cache cannot be locked: {own_files.words(fault)}")
                    break
                # Looked at with the lock in hand too: its last holder may have been done a moment ago.
                token = search.look()
                if token is not None:
                    yield token
                    return
                if is_ours or lock.waited >= 2 * patience or lock.holders > _MOST_HOLDERS:
                    break
                if lock.holder is None:
                    search.emit(WaitingForAnother(patience))
                if lock.remove_if_hung():
                    words = f"a process has been asking for this token for {patience:.0f} s: waiting for it no longer"
                    search.emit(Warned(words))
                    continue
                lock.pause()
            yield None

    def path(self, name: str, suffix: str) -> str:
        """The path of one of a request's files."""
        return os.path.join(self.folder, name + suffix)

    def read(self, name: str) -> Entry | None:
        """Read an entry.

        Args:
            name: the request's name.

        Returns:
            The entry; None where there is none, or one of another version of this program.

        Raises:
            ValueError: it is broken, or another request's.
            OSError: it cannot be read.
        """
        try:
            content = own_files.read(self.path(name, ENTRY))
        except FileNotFoundError:
            return None
        members = parse_json_object(content)
        if members.get("version") != _VERSION:
            return None
        try:
            entry = Entry(
                about=_checked_about(members["about"]),
                token=_kept_token(members["token"]),
                failure=_kept_failure(members["failure"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError("it is JSON of another kind") from None
        if members.get("name") != name:
            raise ValueError("it is another request's")
        return entry

    def write(self, name: str, entry: Entry) -> None:
        """Write an entry, and take away what was left behind; OSError where the system would not let us."""
        own_files.write(self.path(name, ENTRY), json.dumps({"name": name} | _members(entry)).encode())
        self._sweep()

    def entries(self) -> dict[str, Entry | None]:
        """All entries by name, None for a broken one; OSError where the folder cannot be read."""
        found: dict[str, Entry | None] = {}
        for file in sorted(os.listdir(self.folder)):
            name, suffix = os.path.splitext(file)
            if suffix == ENTRY and is_of_the_cache(file):
                try:
                    found[name] = self.read(name)
                except (OSError, ValueError):
                    found[name] = None
        return found

    def forget(self, name: str) -> None:
        """Remove an entry, and the answers that were given from it; what cannot be removed stays.

        Args:
            name: the request's name.
        """
        with suppress(OSError):
            os.unlink(self.path(name, ENTRY))
        with suppress(OSError):
            recall.sweep(self.folder)

    def clear(self) -> int:
        """Remove everything.

        Returns:
            How many entries there were.

        Raises:
            OSError: something could not be removed.
        """
        removed = 0
        for file in os.listdir(self.folder):
            if is_of_the_cache(file):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.folder, file))
                    removed += file.endswith(ENTRY)
        return removed

    def _sweep(self) -> None:
        """Remove what nobody will ask for again: tokens that have ended, and what killed processes left behind."""
        now = time.time()
        for file in os.listdir(self.folder):
            path = os.path.join(self.folder, file)
            with suppress(OSError):
                if not is_of_the_cache(file) or abs(now - os.lstat(path).st_mtime) <= _STALE:
                    continue
                if not self._is_good(file, now):
                    os.unlink(path)
        recall.sweep(self.folder)

    def _is_good(self, file: str, now: float) -> bool:
        """Whether a file is the entry of a token that is still good."""
        name, suffix = os.path.splitext(file)
        try:
            entry = self.read(name) if suffix == ENTRY else None
        except ValueError:
            return False
        return entry is not None and (entry.left(now) or 0) > 0


class _Search:
    """One caller's search for one token."""

    def __init__(self, cache: TokenCache, request: Request, wanted: Wanted, run: Run) -> None:
        self.cache = cache
        self.request = request
        self.emit = run.emit
        self._wanted = wanted
        self._clock = run.clock
        self._began = run.clock()
        self._seen: str | None = None
        self._warned = False
        self._entry: Entry | None = None

    def look(self) -> TokenResponse | None:
        """Look for a token that will do, if anything changed since the last look.

        Returns:
            The token; None to go on waiting, or to fetch one.

        Raises:
            BannoCredsError: the request was refused a moment ago, or failed while this caller was waiting for it.
        """
        identity = own_files.identity(self.cache.path(self.request.name, ENTRY))
        if identity == self._seen:
            return None
        first, self._seen = self._seen is None, identity
        try:
            self._entry = self.cache.read(self.request.name)
        except ValueError as fault:
            self._entry = None
            message = f"the cache's file {self.request.name[:8]}…{ENTRY} is broken: {fault}"
            self.emit(Warned(message, "a fresh token is asked for, and the file is replaced"))
            return None
        except OSError as fault:
            self._entry = None
            self.warn(f"the cache cannot be read: {own_files.words(fault)}")
            return None
        token, why_not = self._usable()
        if token is not None:
            return token
        self._raise_failure()
        if (same := self._renewed()) is not None:
            return same
        if first:
            self.emit(CacheSearched(why_not))
        return None

    def keep(self, outcome: _Kept) -> None:
        """Keep an outcome; a failure does not take away a token that is still good."""
        token = outcome if outcome.token is not None else self._entry and self._entry.token
        failure = outcome if outcome.failure is not None else None
        try:
            self.cache.write(self.request.name, Entry(_about(self.request), token or None, failure))
        except OSError as fault:
            self.warn(f"the cache cannot be written: {own_files.words(fault)}")

    def warn(self, message: str) -> None:
        """Say once that the cache is of no use: the next fault has the same cause."""
        if not self._warned:
            self.emit(Warned(message, _GO_ON))
        self._warned = True

    def _usable(self) -> tuple[TokenResponse | None, str]:
        """The kept token if it will do, else why not."""
        entry = self._entry
        if entry is None or entry.token is None or entry.token.token is None:
            return None, "it holds no token for this request"
        if entry.access_token == self._wanted.not_token:
            return None, "an API refused the token"
        now = self._clock()
        left, token = entry.left(now), entry.token.token
        if left is None:
            return None, "the clock was set back, and nobody knows how long the token is good"
        is_fresh = self._is_fresh(entry.token, now)
        if token.expires_in is None:
            # It is for those who waited for it: nobody knows how long it lives.
            return (token, "") if is_fresh else (None, "nobody knows how long the token is good")
        if token.expires_in <= 0 and is_fresh:
            return token, ""  # it had ended when it came: their own would be no better
        if left <= 0 or (left < self._wanted.min_ttl and not is_fresh):
            return None, f"the token ends in {left:.0f} s" if left > 0 else "the token has ended"
        if self._wanted.force_refresh and not is_fresh:
            return None, "a fresh token was asked for"
        return self._as_it_is_now(token, entry.token.began, left, now), ""

    def _renewed(self) -> TokenResponse | None:
        """The refused token, if it came itself in the place of another a moment ago, and has not ended."""
        entry, now = self._entry, self._clock()
        token = None if entry is None or self._wanted.force_refresh else entry.renewed(now)
        if entry is None or entry.token is None or token is None or token.access_token != self._wanted.not_token:
            return None
        if token.expires_in is None:
            return token
        left = entry.left(now) or 0
        return self._as_it_is_now(token, entry.token.began, left, now) if left > 0 else None

    def _as_it_is_now(self, token: TokenResponse, began: float, left: float, now: float) -> TokenResponse:
        """A kept token as its server would write it now."""
        age = (token.expires_in or 0) - left
        self.emit(CacheAnswered(int(age), int(left)))
        # Whoever reads expires_in reads it now, and not when the server wrote it.
        raw = {**token.raw, "expires_in": int(left)}
        return replace(token, requested_at=token.requested_at + round(now - age - began), raw=raw)

    def _raise_failure(self) -> None:
        """Raise the failure that is kept, if it concerns this caller."""
        entry, now = self._entry, self._clock()
        if entry is None or entry.failure is None or entry.failure.failure is None:
            return
        if self._is_fresh(entry.failure, now):
            raise entry.failure.failure
        refused = entry.refused(now)
        if refused is not None and not self._wanted.force_refresh:
            failure, age = refused[0], int(refused[1])
            raise failure.but(
                more=(
                    f"that was {age} s ago; not asked again, for a bank blocks addresses that fail too often",
                    f"to ask at once: {setting('force_refresh')}; otherwise wait {REFUSAL_SECONDS - age} s",
                )
            )

    def _is_fresh(self, kept: _Kept, now: float) -> bool:
        """Whether its request began after this call, so that a request of one's own could bring nothing newer."""
        age = kept.age(now)
        return kept.began >= self._began and age is not None and age <= now - self._began + _CLOCKS_DIFFER


def open_cache(run: Run = Run()) -> TokenCache | None:
    """The user's cache: ``BANNO_CREDS_CACHE_DIR``, else where the system keeps caches.

    Args:
        run: told of a warning if there can be none.

    Returns:
        The cache, its folder made; None if there can be none.
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


def _about(request: Request) -> dict[str, Any]:
    """What ``cache list`` may show of a request."""
    return {
        "client_id": request.client_id,
        "token_endpoint": request.token_endpoint,
        "issuer": request.issuer,
        "scope": list(request.scope),
        "resource": list(request.resource),
    }


def _checked_about(about: Any) -> dict[str, Any]:
    """What an entry says of its request, if it is of the right sort; see `_about`."""
    texts = [about["client_id"], *about["scope"], *about["resource"]]
    texts += [about[name] for name in ("token_endpoint", "issuer") if about[name] is not None]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    return dict(about)


def _members(entry: Entry) -> dict[str, Any]:
    members: dict[str, Any] = {"version": _VERSION, "about": entry.about, "token": None, "failure": None}
    if entry.token is not None and entry.token.token is not None:
        token = entry.token.token
        members["token"] = _when(entry.token) | {
            "requested_at": token.requested_at,
            "response": token.raw,
            "renewal": entry.token.renewal,
        }
    if entry.failure is not None and entry.failure.failure is not None:
        failure = entry.failure.failure
        members["failure"] = _when(entry.failure) | {
            "class": type(failure).__name__,
            **failure.marked._asdict(),
            **{name: getattr(failure, name, None) for name in ("error", "status", "rule", "doctor_can_tell")},
        }
    return members


def _when(kept: _Kept) -> dict[str, Any]:
    return {"began": kept.began, "up": list(kept.up), "took": kept.took}


def _kept(members: Mapping[str, Any], **outcome: Any) -> _Kept:
    started, seconds = members["up"]
    numbers = members["began"], seconds, members["took"]
    if not isinstance(started, str) or not all(type(number) in (int, float) for number in numbers):
        raise TypeError
    began, seconds, took = map(float, numbers)
    return _Kept(began, (started, seconds), took, **outcome)


def _kept_token(members: Mapping[str, Any] | None) -> _Kept | None:
    if members is None:
        return None
    response, requested_at, renewal = (members[name] for name in ("response", "requested_at", "renewal"))
    if not isinstance(response, dict) or type(requested_at) is not int or type(renewal) is not bool:
        raise TypeError
    return _kept(members, token=token_response(response, requested_at), renewal=renewal)


def _kept_failure(members: Mapping[str, Any] | None) -> _Kept | None:
    if members is None:
        return None
    kind, message, hint, details = (members[name] for name in ("class", "message", "hint", "details"))
    if not isinstance(details, list):
        raise TypeError
    if not all(isinstance(text, str) for text in (kind, message, *details, *([] if hint is None else [hint]))):
        raise TypeError
    rule = members.get("rule")
    if not isinstance(rule, str | None):
        raise TypeError
    words: dict[str, Any] = {"hint": hint, "details": tuple(details), "rule": rule}
    if kind == RefusedError.__name__:
        error, status = members["error"], members["status"]
        if not isinstance(error, str | None) or type(status) is not int:
            raise TypeError
        words |= {"error": error, "status": status}
    failure = _FAILURES[kind](message, **words).but(doctor_can_tell=members.get("doctor_can_tell") is True)
    return _kept(members, failure=failure)
