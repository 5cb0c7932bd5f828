"""A cache that many machines share, with the promises of the local one: see `cache` and `shared_cache`.

Ages are counted by the server's clock, so it does not matter that the machines' clocks differ. Whatever is wrong with
the server is a warning, and the local cache takes its place: a token in hand is never lost.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

from banno_creds.shared_cache.faults import ServerError, SlowError, StoreError, no_answer
from banno_creds.shared_cache.store import read_time
from banno_creds.steps import Run
from banno_creds.storage import own_files
from banno_creds.threads import at_the_end
from banno_creds.tokens import cache_entry
from banno_creds.tokens.cache import TokenCache, open_cache, search
from banno_creds.tokens.cache_entry import REFUSAL_SECONDS, Entry, KeptFailure, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from banno_creds.config import ClientConfig, Wanted
    from banno_creds.shared_cache.sealing import Seal
    from banno_creds.shared_cache.store import Store
    from banno_creds.tokens.cache_entry import Request
    from banno_creds.tokens.response import TokenResponse

_LOCKED = 10.0  # seconds after which the lock of a killed process is free
_RENEWED = 3.0  # seconds after which a living one renews it
_MOST_LOST = 5  # times that a lock may be gone as soon as it was looked at
_MOST_BETWEEN = 4.0  # seconds between two pauses, for some answers
_PAUSES = (0.03, 0.25)  # seconds between two looks at first, and at last
# A server that failed is left alone for so many times as long as the failure took, and for so many seconds at least
# and at most. One that restarts or fails over refuses at once and is soon back; one that hangs costs time each time.
_OUT_TIMES, _OUT = 20, (3.0, 30.0)
_LONGEST = 7 * 24 * 3600  # seconds for which an entry is kept
# The server's clock may have been set back, or be another one after a failover. So a token counts as old as this
# machine's clock says, if that is more than the difference of two readings (seconds): then it may be asked for too
# early, and never given too late. A failure is only asked about again, and machines that differ a little agree on it.
_READINGS_DIFFER = 2
_CLOCKS_DIFFER = 60

# KEYS: the entry, the lock. ARGV: the lock's owner, the value, the milliseconds to keep it for.
# A lock may be lost: it ended, or was evicted, or the server was emptied or failed over. Then the value is kept if
# nobody kept another since: those who wait must not each ask for theirs.
_KEEP = """
if redis.call('get', KEYS[2]) ~= ARGV[1] then
    return redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3], 'nx')
end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return redis.call('del', KEYS[2])
"""
# KEYS: the lock. ARGV: its owner, and the milliseconds to hold it for, or 0 to free it.
_HOLD = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('del', KEYS[1]) end
return redis.call('pexpire', KEYS[1], ARGV[2])
"""


class SharedCache:
    """The tokens in one server, for every client that has the secret.

    Args:
        store: the server.
        seal: what names are hashed and values are sealed with; None if each client's private key is to serve.
        open_local: opens this machine's cache, for when the server fails.
    """

    def __init__(self, store: Store, seal: Seal | None, open_local: Callable[[Run], TokenCache | None]) -> None:
        self.store = store
        self._seal = seal
        self._open_local = open_local
        self._opened: list[TokenCache | None] = []  # this machine's cache, once it was needed
        self._seals: dict[str, Seal] = {}  # of the private keys, by their hashes
        self._out_until: float | None = None  # since it failed
        self._told_at = float("-inf")

    def local(self, run: Run = Run()) -> TokenCache | None:
        """Return this machine's cache, opened once: a person's tokens stay here, and one warning is enough."""
        if not self._opened:
            self._opened.append(self._open_local(run))
        return self._opened[0]

    def obtain(
        self,
        request: Request,
        fetch: Callable[[], TokenResponse],
        wanted: Wanted,
        run: Run = Run(),
        *,
        patience: float,
    ) -> TokenResponse:
        """Return a kept token, or fetch one; see `cache.search`. If the server fails, the local cache does it."""

        def obtain_here() -> TokenResponse:
            local = self.local(run)
            return fetch() if local is None else local.obtain(request, fetch, wanted, run, patience=patience)

        def fetch_in_turn() -> TokenResponse:
            if place.failure is not None:
                place.free_lock()  # nobody needs to wait for it: nothing will be kept
                return obtain_here()
            with place.held():
                return fetch()

        was_out = self._out_until
        if was_out is not None and time.monotonic() < was_out:
            return obtain_here()
        place = _Place(self, request, run)
        try:
            return search(place, request, fetch_in_turn, wanted, run, patience=patience)
        finally:
            if place.failure is None and self._out_until == was_out:  # no other caller met a failure meanwhile
                self._out_until = None  # it is back: the next failure is news

    def close(self) -> None:
        """Close the idle connections; the cache may be used all the same."""
        self.store.close()

    def take_key(self, content: bytes, *, is_held: bool) -> None:
        """Take a client's private key before its requests: where no secret was given, it seals them.

        Raises:
            ConfigurationError: see `sealing.seal_of_key`.
        """
        if self._seal is None and (name := sha256(content).hexdigest()) not in self._seals:
            from banno_creds.shared_cache.sealing import seal_of_key

            self._seals[name] = seal_of_key(content, is_held=is_held)

    def seal_of(self, request: Request) -> Seal:
        """Return the seal of a request, whose key was taken."""
        return self._seals[request.key] if self._seal is None else self._seal

    def note_failure(self, took: float) -> bool:
        """Leave the server alone for a while; True if somebody must be told: it was all right for a while before."""
        now = time.monotonic()
        is_new = self._out_until is None and now - self._told_at >= _OUT[1]
        if is_new:
            self._told_at = now
        self._out_until = now + min(max(_OUT_TIMES * took, _OUT[0]), _OUT[1])
        return is_new


def open_shared(
    config: ClientConfig, run: Run = Run(), open_local: Callable[[Run], TokenCache | None] = open_cache
) -> SharedCache:
    """Return the shared cache of a configuration, which has a ``cache_url``; nothing is sent.

    Raises:
        ConfigurationError: the URL, a file of it or the secret cannot be used, or an extra is not installed.
    """
    from banno_creds.shared_cache.store import Store

    seal = None
    store = Store(config.cache_url or "", config.cache_password_file, config.ca_bundle)
    warnings = store.warnings
    if config.cache_secret_file is not None:
        from banno_creds.shared_cache.sealing import Seal, read_secret

        secret, more = read_secret(config.cache_secret_file)
        seal = Seal(secret)
        warnings += more
    for message, hint in warnings:
        run.warn(message, hint)
    return SharedCache(store, seal, open_local)


class _Place:
    """Where one request's entry is in the server; once it failed, nothing is asked of it again."""

    def __init__(self, cache: SharedCache, request: Request, run: Run) -> None:
        self.failure: OSError | None = None
        self.owner = os.urandom(16).hex()
        self._cache = cache
        self._request = request
        self._run = run
        self._seal = cache.seal_of(request)
        self._name = self._seal.name(request.name)
        self._lock_name = f"{self._name}:lock"
        self._is_locked = False
        self._seen: tuple[Any, ...] | None = None
        self._asked_at = time.monotonic()
        self._times_lost = 0
        self._is_news = True

    # --- As `cache.Place` ------------------------------------------------------------------------------------------

    def look(self) -> tuple[str, Callable[[], Entry | None]]:
        """Return the sealed entry as what changes with it, and what opens it; as `take_lock` saw it a moment ago."""
        seen, self._seen = self._seen, None
        asked_at, sealed, instant = seen or self._ask_and_look()
        if isinstance(sealed, ServerError):
            if sealed.code != "WRONGTYPE":
                raise self._failed(sealed)
            sealed = b""  # somebody put something else there: it is replaced
        if sealed is None:
            return "", lambda: None
        if not isinstance(sealed, bytes):
            raise self._failed(no_answer())
        return "=" + sealed.decode("latin-1"), partial(self._open, sealed, self._seconds(instant), asked_at)

    def lock(self, patience: float, sleep: Callable[[float], None]) -> _Turn:
        """Return the lock of the process that asks, wherever it runs."""
        del patience  # the server frees the lock of a process that does not renew it
        return _Turn(self, sleep)

    def write(self, entry: Entry) -> None:
        """Keep an entry, if the lock is still ours, and free it. Where the server fails, this machine keeps it."""
        if self.failure is not None:
            return  # the local cache has it
        try:
            self._write(entry)
        except OSError:
            local = self._cache.local(self._run)
            if local is not None:
                with suppress(OSError):
                    local.write(self._request.name, entry)
            raise

    def broken(self, fault: ValueError) -> tuple[str, str]:
        """Say that somebody changed the entry."""
        message = f"what the shared cache {self._cache.store.shown} has for this request is unusable: {fault}"
        return message, "a fresh token is asked for, and takes its place"

    def fault(self, verb: str, fault: OSError) -> tuple[str, str] | None:
        """Say that the server is of no use; None while it is known."""
        del verb  # the server's own words tell it
        if not self._is_news:
            return None
        words = getattr(fault, "words", None) or own_files.words(fault)
        message = f"the shared cache {self._cache.store.shown} cannot be used: {words}"
        return (
            message,
            "it goes on with this machine's own cache; banno-creds doctor, with the same options, tells more",
        )

    # --- The lock ---------------------------------------------------------------------------------------------------

    def take_lock(self) -> tuple[bool, str]:
        """Take the lock if it is free; return whether it is ours, and whose it is. It looks at the entry, too."""
        self._is_locked = self.failure is None  # for all we know, if no answer comes
        # Who may run no scripts cannot free it: to know that only later, each would wait in vain for the one before.
        asked_at, taken, owner, scripts, *seen = self._ask_and_look(
            ("SET", self._lock_name, self.owner, "NX", "PX", int(_LOCKED * 1000)),
            ("GET", self._lock_name),
            ("EVAL", "return 1", 0),
        )
        if isinstance(owner, ServerError) and owner.code == "WRONGTYPE":
            self._get(("DEL", self._lock_name))  # no lock of ours
            owner = b""
        for answer in (taken, owner, scripts):
            if isinstance(answer, ServerError):
                raise self._failed(answer)
        # Between the two commands its holder may free it, but not each time: else nothing is kept there.
        self._times_lost = 0 if owner else self._times_lost + 1
        if self._times_lost > _MOST_LOST or not isinstance(owner, bytes | None) or taken not in (b"OK", None):
            raise self._failed(no_answer())
        # If the answer to an earlier attempt was lost, it is ours already.
        self._is_locked = owner == self.owner.encode()
        if taken is not None and owner and not self._is_locked:
            raise self._failed(no_answer())
        self._seen = (asked_at, *seen)
        return self._is_locked, owner.decode("latin-1") if isinstance(owner, bytes) else ""

    def free_lock(self) -> None:
        """Free the lock if it is ours; if that fails, it ends by itself."""
        if self._is_locked and not isinstance(self.failure, SlowError):
            self._is_locked = False
            with suppress(OSError):
                self._cache.store.get(("EVAL", _HOLD, 1, self._lock_name, self.owner, 0))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Renew the lock while the token is asked for, so that nobody waits long for a killed process."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(_RENEWED):
                with suppress(OSError):  # it may answer again before the lock ends
                    self._cache.store.get(("EVAL", _HOLD, 1, self._lock_name, self.owner, int(_LOCKED * 1000)))
            at_the_end()

        thread = threading.Thread(target=renew, daemon=True)
        try:
            with suppress(RuntimeError):  # the system starts no further thread
                thread.start()
            yield
        finally:
            done.set()

    # --- The entry --------------------------------------------------------------------------------------------------

    def _open(self, sealed: bytes, now_there: float, now: float) -> Entry | None:
        """Open an entry, with the times in it as this machine's clocks have them; ValueError if it is broken."""
        entry = cache_entry.read(self._request.name, self._seal.open(self._name, sealed))
        return None if entry is None else as_here(entry, now_there, now)

    def _write(self, entry: Entry) -> None:
        now_there, now = self._seconds(self._get(("TIME",))[0]), self._run.clock()

        def there(times: Times) -> Times | None:
            age = times.age(now)
            return None if age is None else Times(now_there - age, ("", times.began), times.took)

        token, failure, left = entry.token, entry.failure, float(REFUSAL_SECONDS)
        if token is not None:
            times = there(token.times)
            left = max(left, token.left(now) or 0.0)
            response = replace(token.response, raw=_shareable(token.response.raw))
            token = None if times is None else token._replace(times=times, response=response)
        if failure is not None:
            times = there(failure.times)
            failure = None if times is None else KeptFailure(times, failure.error)
        text = cache_entry.write(self._request.name, Entry(entry.about, token, failure))
        sealed, kept_for = self._seal.close(self._name, text), int(min(left, _LONGEST) * 1000)
        if self._is_locked:
            names = (self._name, self._lock_name)
            self._get(("EVAL", _KEEP, 2, *names, self.owner, sealed, kept_for))
            self._is_locked = False
        else:  # nobody who held the lock kept anything
            self._get(("SET", self._name, sealed, "PX", kept_for), ("DEL", self._lock_name))

    # --- The server -------------------------------------------------------------------------------------------------

    def _ask(self, *commands: Any) -> list[Any]:
        if self.failure is not None:
            raise self.failure
        self._asked_at = time.monotonic()
        try:
            return self._cache.store.ask(*commands)
        except OSError as failure:
            raise self._failed(failure) from None

    def _ask_and_look(self, *commands: Any) -> tuple[Any, ...]:
        """Return when it was asked, by our clock, the answers, the entry, and the server's time.

        When it was asked, and not answered: a slow answer must make a token older, and not younger.
        """
        return self._run.clock(), *self._ask(*commands, ("GET", self._name), ("TIME",))

    def _get(self, *commands: Any) -> list[Any]:
        answers = self._ask(*commands)
        for answer in answers:
            if isinstance(answer, ServerError):
                raise self._failed(answer)
        return answers

    def _failed(self, failure: OSError) -> OSError:
        self.failure = failure
        self._is_news = self._cache.note_failure(time.monotonic() - self._asked_at)
        return failure

    def _seconds(self, answer: Any) -> float:
        try:
            return read_time(answer)
        except StoreError as failure:
            raise self._failed(failure) from None


def _shareable(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a token response without what outlives its access token, or tells of a person: that stays here."""
    return {name: value for name, value in raw.items() if name not in ("refresh_token", "id_token")}


def as_here(entry: Entry, now_there: float, now: float) -> Entry:
    """Return an entry of the server with the times in it as this machine's clocks have them.

    Args:
        entry: the entry; what is of an unknown age is left out.
        now_there: the time that the server's clock shows.
        now: the time that this machine's clock shows.
    """
    started, seconds = own_files.uptime()

    def here(times: Times, may_differ: int) -> Times | None:
        age = now_there - times.began
        if age < 0:
            return None  # its clock was set back, and nobody knows how old this is
        by_clock = now - times.up[1]
        if by_clock > age + may_differ:
            age = by_clock
        return Times(now - age, (started, seconds - age), times.took)

    token = entry.token
    if token is not None:
        times = here(token.times, _READINGS_DIFFER)
        if times is not None:
            requested_at = round(times.began + token.response.requested_at - token.times.up[1])
            token = token._replace(times=times, response=replace(token.response, requested_at=requested_at))
        else:
            token = None
    failure = entry.failure
    if failure is not None:
        times = here(failure.times, _CLOCKS_DIFFER)
        failure = None if times is None else KeptFailure(times, failure.error)
    return Entry(entry.about, token, failure)


class _Turn:
    """The lock of the process that asks, in the server; see `cache.Turn`."""

    def __init__(self, place: _Place, sleep: Callable[[float], None]) -> None:
        self.waited = 0.0
        self.holder: str | None = None
        self.holders = 0
        self._place = place
        self._sleep = sleep
        self._pause = _PAUSES[0]
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._place.free_lock()

    def take(self) -> bool:
        """Take the lock if it is free; False while another process holds it."""
        is_ours, owner = self._place.take_lock()
        if not is_ours and owner and owner != self.holder:
            self.holders += 1
            self._owner = owner
        return is_ours

    def pause(self) -> None:
        """Wait a moment before the next look: longer each time, since many machines may wait."""
        self._sleep(self._pause)
        now = time.monotonic()
        # The server's answers are waited for, too; the time in which this process was stopped is not.
        self.waited += min(max(now - self._since, self._pause), _MOST_BETWEEN)
        self._since = now
        self._pause = min(self._pause * 1.3, _PAUSES[1])

    def remove_if_hung(self) -> bool:
        """Note the holder. The server frees the lock of one that was killed or paused."""
        self.holder = getattr(self, "_owner", "")
        return False


if TYPE_CHECKING:
    Cache = TokenCache | SharedCache
    """Where tokens are kept."""
