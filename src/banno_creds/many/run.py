"""Many clients, each asked for in a thread: what became of them, as it becomes known."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.config import Wanted
from banno_creds.errors import BannoCredsError, no_thread
from banno_creds.http.connections import Connections
from banno_creds.many.outcome import Outcome
from banno_creds.many.pacing import Limits, Pacing, host_of
from banno_creds.steps import AnswerReceived, Run, TokenRequested, Warned
from banno_creds.threads import at_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from banno_creds.config import ClientConfig
    from banno_creds.tokens.response import TokenResponse
    from banno_creds.tokens.shared import Cache

_MOST_THREADS = 64

# Windows notices Ctrl-C only between two waits; and elsewhere one that comes just before a wait does not end it.
_SLICE_SECONDS = 0.2


class Client(NamedTuple):
    """One of many clients.

    Attributes:
        profile: the name of its profile.
        config: the client and its request; or what is wrong with the profile.
        cache: where its token is looked for and kept; None for nowhere.
    """

    profile: str
    config: ClientConfig | BannoCredsError
    cache: Cache | None = None


def outcomes(
    clients: Iterable[Client],
    limits: Limits = Limits(),
    wanted: Wanted = Wanted(),
    *,
    offline: bool = False,
    run: Run = Run(),
    pacing: Pacing | None = None,
) -> Generator[Outcome, None, None]:
    """Get a token for each client; yield what became of each as soon as it is known, in any order.

    To leave it in the middle, close it (`contextlib.closing`): nothing more is asked then, and nothing is waited for.

    Args:
        clients: the clients.
        limits: how gently each host is asked.
        wanted: which token will do; ``force_refresh`` asks the server for each, and keeps its token in the cache.
        offline: whether to leave the server out: the key is read, and signs once.
        run: the clock and the pauses. Nobody is told of steps; each client's warnings are in its outcome.
        pacing: what others ask the same hosts by; it has the limits then.

    Raises:
        ConfigurationError: a limit is out of bounds.
        NetworkError: the system starts no thread.
    """
    pacing = pacing or Pacing(limits)
    connections = Connections(pacing.turn)
    everyone = list(clients)
    found: SimpleQueue[Outcome | BaseException] = SimpleQueue()

    def one(client: Client) -> None:
        try:
            found.put(_outcome(client, connections, wanted, run, offline=offline))
        except BaseException as bug:  # noqa: BLE001 - raised again where the outcomes are awaited
            found.put(bug)

    crew = _Crew(everyone, limits.jobs, one)
    try:
        crew.start()
        for _ in everyone:
            outcome = _next(found)
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        crew.stop()
        pacing.stop()
        connections.close()


class _Crew:
    """The threads that work through the clients, always for the host that has the fewest: none waits for another."""

    def __init__(self, clients: list[Client], jobs: int, one: Callable[[Client], None]) -> None:
        self._one = one
        self._jobs = jobs
        self._waiting: dict[str, deque[Client]] = {}
        for client in clients:
            self._waiting.setdefault(_host(client), deque()).append(client)
        self._busy = dict.fromkeys(self._waiting, 0)
        self._lock = Lock()

    def start(self) -> None:
        """Start the threads; NetworkError if the system starts none."""
        count = min(_MOST_THREADS, sum(min(self._jobs, len(waiting)) for waiting in self._waiting.values()))
        for number in range(count):
            try:
                Thread(target=self._work, name=f"banno-creds {number + 1}", daemon=True).start()
            except RuntimeError:
                if number == 0:
                    raise no_thread() from None
                return  # those that started do all of it

    def stop(self) -> None:
        """Begin with no further client."""
        with self._lock:
            self._waiting.clear()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            host, client = taken
            self._one(client)
            with self._lock:
                self._busy[host] -= 1
        at_the_end()

    def _take(self) -> tuple[str, Client] | None:
        """Return the next client of the host with the fewest threads; None if there is nothing left to begin with."""
        with self._lock:
            if not self._waiting:
                return None
            host = min(self._waiting, key=self._busy.__getitem__)
            client = self._waiting[host].popleft()
            self._busy[host] += 1
            if not self._waiting[host]:
                del self._waiting[host]
            return host, client


def _host(client: Client) -> str:
    if isinstance(client.config, BannoCredsError):
        return ""
    return host_of(client.config.issuer or client.config.token_endpoint or "")


def _next(found: SimpleQueue[Outcome | BaseException]) -> Outcome | BaseException:
    while True:
        try:
            return found.get(timeout=_SLICE_SECONDS)
        except Empty:
            continue


def _outcome(client: Client, connections: Connections, wanted: Wanted, run: Run, *, offline: bool) -> Outcome:
    """Find out what becomes of one client."""
    config = client.config
    if isinstance(config, BannoCredsError):
        return Outcome(client.profile, config)

    def get(own: Run) -> TokenResponse | None:
        from banno_creds.tokens.client_credentials import ClientCredentials

        if offline:
            _sign_once(config, own)
            return None
        return ClientCredentials(config, connections).obtain(client.cache, wanted, own)

    return outcome_of(client.profile, get, run)


def outcome_of(profile: str, get: Callable[[Run], TokenResponse | None], run: Run) -> Outcome:
    """Return what became of one client.

    Args:
        profile: the name of its profile.
        get: gets its token, or does what is done offline.
        run: the clock and the pauses; nobody is told of steps.
    """
    warnings: list[Warned] = []
    asked, seconds = False, 0.0

    def note(step: object) -> None:
        nonlocal asked, seconds
        if isinstance(step, Warned):
            warnings.append(step)
        elif isinstance(step, TokenRequested):
            asked = True
        elif isinstance(step, AnswerReceived):
            seconds += step.seconds

    error: BannoCredsError | None = None
    response: TokenResponse | None = None
    try:
        response = get(run._replace(emit=note))
    except BannoCredsError as failure:
        error = failure
    if response is not None:
        response = replace(response, secrets=())  # they have many spellings, and a thousand of them take 25 MB
    return Outcome(profile, error, response, tuple(warnings), asked, seconds)


def _sign_once(config: ClientConfig, run: Run) -> None:
    """Read the key, and have it sign once."""
    from banno_creds.client_authentication.client_assertion import make_assertion
    from banno_creds.client_authentication.private_key import load_signer
    from banno_creds.tokens.client_credentials import ClientCredentials

    ClientCredentials(config)  # checks the audience
    make_assertion(config, load_signer(config, run), config.token_endpoint or config.issuer or "", run)
