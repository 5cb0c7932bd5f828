"""Tokens for a program that goes on running: from memory, else from the commands' cache, else from the server.

However many threads and tasks ask at once, one request is made, and all of them get its outcome, a failure too.
Requests are made in threads (see `http.exchange`), so the asynchronous half awaits a thread. It does that by anyio,
which httpx brings along, so that programs under trio get tokens too.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from banno_creds.checks import check_callable, check_type
from banno_creds.config import DEFAULT_MIN_TTL, ClientConfig, check_min_ttl
from banno_creds.errors import BannoCredsError, ConfigurationError, RefusedError, no_thread
from banno_creds.steps import Run, TokenRequested, Warned, plain
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import anyio
    from anyio.lowlevel import RunVar

    from banno_creds.http.connections import Connections
    from banno_creds.steps import Emit, Step
    from banno_creds.times import Clock
    from banno_creds.tokens.response import TokenResponse
    from banno_creds.tokens.shared import Cache


# What a log may show of a step: no claims, no form, no token, because more people read a log than a terminal.
_LOGGED = (
    *("origin", "alg", "issuer", "url", "attempt", "status", "request_id", "expires_at", "scope"),
    *("reason", "seconds", "age", "left"),
)


# The commands' settings that have another name here.
_SPELLED = {"no_cache": "on_disk=False"}


class _Held(NamedTuple):
    """A token in memory, and when it ends by a clock that nobody sets."""

    response: TokenResponse
    ends: float


class TokenSource:
    """Gives an access token that is good for a while, and asks the server only if it has none.

    One source serves a whole program: all its threads, all its event loops, and the children it forks. If the server
    does not say how long a token lives, those who are waiting for it get it, and it is not kept.

    Args:
        config: the client and the request.
        on_disk: whether to keep tokens on disk too, in the commands' cache (``BANNO_CREDS_CACHE_DIR``), where other
            processes find them. With a ``cache_url``, only while that server fails.
        min_ttl: how long a token must still be good, in seconds; less than its life.
        emit: called with each step, in the thread that asks; it must not use this source. By default warnings are
            logged under the name ``banno_creds``, and the other steps at the level DEBUG, without any secret.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause, before another attempt or for another process.

    Raises:
        ConfigurationError: a value has the wrong type, or ``min_ttl`` is longer than a token can be good for.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        on_disk: bool = True,
        min_ttl: int = DEFAULT_MIN_TTL,
        emit: Emit | None = None,
        clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_type("config", config, ClientConfig, hint="write TokenSource(ClientConfig(…))")
        check_type("on_disk", on_disk, bool)
        check_min_ttl(min_ttl)
        self._config = config
        self._on_disk = on_disk
        self._min_ttl = min_ttl
        self._emit = _log if emit is None else emit
        self._clock = clock
        self._sleep = sleep
        for name in ("emit", "clock", "sleep"):
            check_callable(name, getattr(self, f"_{name}"))
        self._cache: Cache | None = None
        self._held: _Held | None = None
        self._not_again: str | None = None  # a token that an API refused
        self._renewed_at: float | None = None  # when the last such token was replaced
        self._failure: BannoCredsError | None = None  # how the last request ended, if not with a token
        self._asked = False  # whether that request reached the server, and not only the disk
        self._failed_at: float | None = None  # when the server refused us; the disk remembers refusals by itself
        self._ended = 0  # how many requests have ended
        self._lock = threading.Lock()  # its holder asks
        self._turns: RunVar[anyio.Lock] | None = None
        _sources.add(self)

    def __reduce__(self) -> tuple[object, ...]:
        """Make a source of its own where this one is copied or pickled, without its tokens and refusals."""
        how: dict[str, Any] = {"on_disk": self._on_disk, "min_ttl": self._min_ttl, "emit": self._emit}
        return partial(type(self), **how, clock=self._clock, sleep=self._sleep), (self._config,)

    def token(self, *, force_refresh: bool = False) -> TokenResponse:
        """Give a token; blocks while the server is asked.

        Args:
            force_refresh: ignore tokens and refusals from before this call.

        Returns:
            The token response.

        Raises:
            RefusedError: the server refused, now or in the last 30 s, in which it is not asked again.
            BannoCredsError: see `client_credentials.ClientCredentials.fetch`.
        """
        ended = self._ended
        if not force_refresh and (usable := self._usable()) is not None:
            return usable
        return self._ask(ended, force_refresh=force_refresh)

    async def async_token(self, *, force_refresh: bool = False) -> TokenResponse:
        """Give a token, under asyncio or trio, without ever blocking the event loop.

        Cancelling a task breaks nothing: the request goes on in its thread, for the others who wait.

        Args:
            force_refresh: see `token`.

        Returns:
            The token response.

        Raises:
            RefusedError: see `token`.
            BannoCredsError: see `client_credentials.ClientCredentials.fetch`.
        """
        ended = self._ended
        if not force_refresh and (usable := self._usable()) is not None:
            return usable
        turn, in_thread = self._turn()
        # One task of each loop has a thread: a thousand threads would leave none for the program's other work.
        async with turn:
            if (theirs := self._outcome_since(ended, from_server=force_refresh)) is not None:
                return theirs
            begun = False

            def ask() -> TokenResponse:
                nonlocal begun
                begun = True
                return self._ask(ended, force_refresh=force_refresh)

            try:
                return await in_thread(ask)
            except RuntimeError:
                if begun:  # what the program's own functions raise is its own
                    raise
                raise no_thread() from None

    def invalidate(self, access_token: str) -> None:
        """Do not give an access token again, because an API refused it (401); the next caller gets a new one.

        Nothing happens if there is a newer token already, or for 30 s after such a replacement: an API that refuses
        that one too does not refuse it because of the token.

        Args:
            access_token: the refused access token.
        """
        check_type("access_token", access_token, str, hint="give response.access_token")
        held = self._held
        if held is None or held.response.access_token != access_token:
            return
        from banno_creds.tokens.cache_entry import REFUSAL_SECONDS

        # An API that refuses a new token as well does not mind the token: it gets no other one for so long.
        if not self._is_within(REFUSAL_SECONDS, self._renewed_at):
            self._not_again = access_token

    def _ask(self, ended: int, *, force_refresh: bool) -> TokenResponse:
        """Ask, or take the outcome of another caller's request that ended while this one waited for its turn."""
        _load()
        if self._config.private_key.uri is not None:
            _load_held_keys()
        if self._config.cache_url is not None:
            _load_shared_cache()
        with self._lock:
            theirs = self._outcome_since(ended, from_server=force_refresh)
            if theirs is not None:
                return theirs
            if not force_refresh:
                self._raise_refusal()
            try:
                response = self._obtain(force_refresh=force_refresh)
            except BannoCredsError as failure:
                self._failure = failure
                self._failed_at = self._clock() if self._asked else None
                self._ended += 1
                raise
            self._keep(response)
            self._ended += 1
            return response

    def _obtain(self, *, force_refresh: bool) -> TokenResponse:
        from banno_creds.config import Wanted
        from banno_creds.tokens.client_credentials import ClientCredentials

        credentials = ClientCredentials(self._config, self._connections())
        if self._cache is None and (self._on_disk or self._config.cache_url is not None):
            run = Run(lambda step: self._emit(plain(step, _spell)))
            self._cache = credentials.open_cache(run, self._opened_caches(), on_disk=self._on_disk)
            self._on_disk = self._on_disk and self._cache is not None  # one warning is enough
        self._asked = False

        def note(step: Any) -> None:
            if isinstance(step, TokenRequested):
                self._asked = True
            self._emit(plain(step, _spell))

        wanted = Wanted(self._min_ttl, force_refresh, self._not_again)
        run = Run(note, self._clock, self._sleep)
        response = credentials.obtain(self._cache, wanted, run)
        if self._not_again is not None:
            self._not_again, self._renewed_at = None, self._clock()
        return response

    def _connections(self) -> Connections | None:
        """Return the connections that this source shares with others, as those of a `TokenPool` do."""
        return None

    def _opened_caches(self) -> dict[object, Cache | None]:
        """Return the caches that this source shares with others: a shared cache has connections of its own."""
        return {}

    def _limiter(self) -> anyio.CapacityLimiter | None:
        """Return what bounds the threads of tasks; None for what bounds those of all the program."""
        return None

    def _keep(self, response: TokenResponse) -> None:
        left = 0.0 if response.expires_at is None else response.expires_at - self._clock()
        self._held = _Held(response, time.monotonic() + left)
        self._failure = None

    def _usable(self) -> TokenResponse | None:
        """Return the token in memory, if it will do."""
        held = self._held
        if held is None or held.response.access_token == self._not_again:
            return None
        now = self._clock()
        response = held.response
        # The clock may have been set since, and the machine may have slept: the earlier end of the two counts.
        if response.expires_at is None or now < response.requested_at:
            return None
        left = min(response.expires_at - now, held.ends - time.monotonic())
        return response if left >= self._min_ttl and left > 0 else None

    def _outcome_since(self, ended: int, *, from_server: bool) -> TokenResponse | None:
        """Return the token of the last request, or raise its failure, if it ended after so many had ended.

        With ``from_server`` an answer from the disk does not count, because it may be an old one.
        """
        if self._ended == ended or (from_server and not self._asked):
            return None
        if self._failure is not None:
            raise _again(self._failure)
        held = self._held
        return held.response if held and held.response.access_token != self._not_again else None

    def _raise_refusal(self) -> None:
        """Raise the refusal of a moment ago, if there was one: a bank blocks addresses that fail too often."""
        from banno_creds.tokens.cache_entry import REFUSAL_SECONDS

        if isinstance(self._failure, RefusedError) and self._is_within(REFUSAL_SECONDS, self._failed_at):
            age = self._clock() - (self._failed_at or 0)
            raise _again(
                self._failure,
                f"that was {age:.0f} s ago; not asked again, for a bank blocks addresses that fail too often",
                f"to ask at once: force_refresh=True; otherwise wait {REFUSAL_SECONDS - age:.0f} s",
            )

    def _is_within(self, seconds: float, then: float | None) -> bool:
        return then is not None and 0 <= self._clock() - then < seconds

    def _turn(self) -> tuple[anyio.Lock, Callable[[Callable[[], TokenResponse]], Awaitable[TokenResponse]]]:
        """Return the lock of the running event loop, and what runs a function in a thread and awaits it."""
        with _importing_for_tasks:
            from anyio import Lock
            from anyio.lowlevel import RunVar
            from anyio.to_thread import current_default_thread_limiter, run_sync

            current_default_thread_limiter()  # imports what anyio has for this event loop
        if self._turns is None:
            self._turns = RunVar("banno_creds turn")
        turn = self._turns.get(None)
        if turn is None:
            turn = Lock()
            self._turns.set(turn)
        return turn, partial(run_sync, abandon_on_cancel=True, limiter=self._limiter())

    def _after_fork(self) -> None:
        """Make a new lock: the thread that held the old one is the parent's, and will never release ours."""
        self._lock = threading.Lock()


_sources: WeakSet[TokenSource] = WeakSet()

# All that a request may import, whatever its outcome: the wings that it may go through, and what these import late.
_WINGS = ("client_authentication", "http", "jose", "rules", "storage", "tokens")
_OF_OTHERS = (
    *("email.utils", "encodings.ascii", "encodings.idna", "encodings.latin_1", "httpcore", "importlib.util"),
    *("random", "truststore", "urllib.request"),
)

# Held while something is imported, and while the process forks: a child cannot import a module that a thread of its
# parent was importing. Two, because an event loop must not wait for the imports of another thread's request; and one
# for the holders of keys, which import when they are called, and may be slow.
_importing, _importing_for_tasks, _calling_holder = threading.RLock(), threading.RLock(), threading.RLock()
_loaded = False


def _load() -> None:
    """Import all that a request needs before it is made, and let OpenSSL begin, which has locks of the same kind."""
    global _loaded
    with _importing:
        if _loaded:
            return
        try:
            _import_all()
        except (ImportError, RuntimeError) as failure:  # cryptography refuses to be in a subinterpreter
            raise ConfigurationError(
                f"a package that banno-creds needs cannot be imported: {printable(failure)}",
                hint="install banno-creds again, and use it in the main interpreter",
            ) from failure
        _loaded = True


def _load_shared_cache() -> None:
    with _importing:
        import_module("banno_creds.shared_cache.store")
        import_module("banno_creds.shared_cache.sealing")


def _load_held_keys() -> None:
    with _importing:
        from banno_creds.key_holders import held_key

        held_key.importing = lambda: _calling_holder


def _import_all() -> None:
    from pkgutil import iter_modules

    for wing in _WINGS:
        package = import_module(f"banno_creds.{wing}")
        for module in iter_modules(package.__path__):
            import_module(f"banno_creds.{wing}.{module.name}")
    for name in _OF_OTHERS:
        import_module(name)
    from ssl import PROTOCOL_TLS_CLIENT, SSLContext

    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256

    generate_private_key(SECP256R1()).sign(b"", ECDSA(SHA256()))  # cryptography brings an OpenSSL of its own
    SSLContext(PROTOCOL_TLS_CLIENT)


def _before_fork() -> None:
    _importing.acquire()
    _importing_for_tasks.acquire()
    _calling_holder.acquire()


def _after_fork_in_parent() -> None:
    _importing.release()
    _importing_for_tasks.release()
    _calling_holder.release()


def _after_fork_in_child() -> None:
    global _importing, _importing_for_tasks, _calling_holder
    _importing, _importing_for_tasks, _calling_holder = threading.RLock(), threading.RLock(), threading.RLock()
    for source in _sources:
        source._after_fork()  # noqa: SLF001 - its own module


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )


def _again(failure: BannoCredsError, *more: str) -> BannoCredsError:
    """Copy a failure for another caller: one exception raised in several threads would mix their tracebacks."""
    return failure.but(more=more)


def _spell(name: str) -> str:
    return _SPELLED.get(name, name)


def _log(step: Step) -> None:
    logger = logging.getLogger("banno_creds")
    if isinstance(step, Warned):
        logger.warning("%s%s", step.message, f"; {step.hint}" if step.hint else "")
    elif logger.isEnabledFor(logging.DEBUG):
        said = ", ".join(f"{name}={value!r}" for name, value in step._asdict().items() if name in _LOGGED)
        logger.debug("%s(%s)", type(step).__name__, said)
