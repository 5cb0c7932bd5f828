"""Many clients at once: what became of each, and how gently the server was asked."""

from __future__ import annotations

import re
import signal
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.client_authentication import client_assertion
from banno_creds.config import ClientConfig, KeySource, Wanted
from banno_creds.errors import (
    ConfigurationError,
    KeyLoadError,
    NetworkError,
    NotAskedError,
    RefusedError,
    SigningError,
    UnavailableError,
)
from banno_creds.http.client import HttpClient
from banno_creds.http.connections import Connections
from banno_creds.many import run
from banno_creds.many.pacing import Limits, Pacing
from banno_creds.many.run import Client, outcomes
from banno_creds.steps import Run
from banno_creds.tokens.cache import open_cache
from tests.servers.many import Many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from banno_creds.many.outcome import Outcome

UNPACED = Limits(rate=0)


@pytest.fixture
def server() -> Iterator[Many]:
    with Many() as running:
        yield running


def clients_of(server: Many, pem: Path, count: int) -> list[Client]:
    source = KeySource("the key", path=pem)
    return [
        Client(
            f"bank-{number}",
            ClientConfig(f"c-{number}", source, token_endpoint=server.url, client_id_in_body=True),
        )
        for number in range(count)
    ]


def test_each_client_gets_a_token_of_its_own(server: Many, rsa_pem: Path) -> None:
    found = {outcome.profile: outcome for outcome in outcomes(clients_of(server, rsa_pem, 40), UNPACED)}
    assert len(found) == 40
    for number in range(40):
        outcome = found[f"bank-{number}"]
        assert outcome.ok
        assert outcome.asked
        assert outcome.response is not None
        assert outcome.response.access_token == f"token-of-c-{number}"
        assert outcome.response.secrets == ()  # a thousand clients' would take much memory
        assert outcome.exit_code == 0
    assert server.most_under_way <= 8


def test_no_token_is_in_the_repr_of_an_outcome(server: Many, rsa_pem: Path) -> None:
    assert "token-of" not in repr(list(outcomes(clients_of(server, rsa_pem, 1), UNPACED)))


def test_each_failure_is_its_own_clients(server: Many, rsa_pem: Path, tmp_path: Path) -> None:
    clients = clients_of(server, rsa_pem, 10)
    server.refused, server.away = {"c-3"}, {"c-4"}
    fault = ConfigurationError("no client ID")
    missing = ClientConfig("c-x", KeySource("the key", path=tmp_path / "none.pem"), token_endpoint=server.url)
    clients += [Client("broken", fault), Client("keyless", missing)]
    found = {outcome.profile: outcome for outcome in outcomes(clients, UNPACED, run=Run(sleep=lambda _: None))}
    failed = {name: type(outcome.error) for name, outcome in found.items() if outcome.error is not None}
    assert failed == {
        "bank-3": RefusedError,
        "bank-4": UnavailableError,
        "broken": ConfigurationError,
        "keyless": KeyLoadError,
    }
    assert found["broken"].error is fault
    assert (found["keyless"].asked, found["bank-3"].asked) == (False, True)


@pytest.mark.parametrize("jobs", [1, 3, 8, 40])
def test_a_wrong_key_in_all_profiles_costs_five_refusals(server: Many, rsa_pem: Path, jobs: int) -> None:
    server.refused = None
    found = list(outcomes(clients_of(server, rsa_pem, 60), Limits(jobs=jobs, rate=0)))
    assert len(server.arrivals) == 5
    kinds = [type(outcome.error) for outcome in found]
    assert (kinds.count(RefusedError), kinds.count(NotAskedError)) == (5, 55)
    not_asked = next(outcome.error for outcome in found if isinstance(outcome.error, NotAskedError))
    assert (not_asked.exit_code, not_asked.rule) == (4, "check.given_up")
    assert "5 requests in a row" in not_asked.message
    refused = next(outcome.error for outcome in found if isinstance(outcome.error, RefusedError))
    assert not_asked.details == (f"the last refusal: {refused.message}",)


@pytest.mark.parametrize("jobs", [1, 8, 64])
def test_five_refusals_are_the_end_at_each_of_two_slow_hosts(server: Many, rsa_pem: Path, jobs: int) -> None:
    """Also where some were refused a moment ago: what is remembered counts for nothing."""
    with Many() as other:
        clients = []
        for each in (server, other):
            each.refused, each.seconds, cache = None, 0.02, open_cache()
            named = clients_of(each, rsa_pem, 40)
            clients += [client._replace(cache=cache, profile=f"{each.url} {client.profile}") for client in named]
        list(outcomes(clients[:3], UNPACED))
        found = list(outcomes(clients, Limits(jobs=jobs, rate=0)))
        assert (len(server.arrivals), len(other.arrivals)) == (3 + 5, 5)
    kinds = [type(outcome.error) for outcome in found]
    assert (kinds.count(RefusedError), kinds.count(NotAskedError)) == (3 + 5 + 5, 80 - 13)


def test_never_giving_up_is_possible(server: Many, rsa_pem: Path) -> None:
    server.refused = None
    list(outcomes(clients_of(server, rsa_pem, 12), Limits(rate=0, give_up_after=0)))
    assert len(server.arrivals) == 12


def test_a_success_between_refusals_begins_a_new_row(server: Many, rsa_pem: Path) -> None:
    clients = clients_of(server, rsa_pem, 16)
    server.refused = {f"c-{number}" for number in range(16) if number % 4}
    found = list(outcomes(clients, Limits(jobs=1, rate=0)))
    assert sum(isinstance(outcome.error, RefusedError) for outcome in found) == 12


def test_discovery_is_no_success_between_refusals(server: Many, rsa_pem: Path) -> None:
    server.refused = None
    source = KeySource("the key", path=rsa_pem)
    clients = [
        Client(f"bank-{number}", ClientConfig(f"c-{number}", source, issuer=server.origin, client_id_in_body=True))
        for number in range(20)
    ]
    list(outcomes(clients, UNPACED))
    assert len(server.arrivals) == 5


def test_requests_are_paced_evenly(server: Many, rsa_pem: Path) -> None:
    list(outcomes(clients_of(server, rsa_pem, 20), Limits(rate=50)))
    times = sorted(when for when, _ in server.arrivals)
    assert times[-1] - times[0] >= 19 / 50 * 0.9  # a busy machine delays the first one as well


def test_further_attempts_are_paced_too(server: Many, rsa_pem: Path) -> None:
    server.away = {"c-0", "c-1"}
    list(outcomes(clients_of(server, rsa_pem, 2), Limits(rate=50), run=Run(sleep=lambda _: None)))
    times = sorted(when for when, _ in server.arrivals)
    assert len(times) == 6
    assert times[-1] - times[0] >= 5 / 50 * 0.5  # a busy machine delays the first one as well


def test_waiting_for_a_turn_uses_up_no_time_of_the_request() -> None:
    pacing = Pacing(Limits(rate=20))
    with pacing.turn("https://bank.test"):
        pass
    with (
        HttpClient(0.02, connections=Connections(pacing.turn)) as http,
        http.turn("https://bank.test"),
    ):  # after 50 ms
        assert http.remaining() > 0


def test_cached_tokens_and_remembered_refusals_ask_nobody_and_count_for_nothing(server: Many, rsa_pem: Path) -> None:
    cache = open_cache()
    clients = [client._replace(cache=cache) for client in clients_of(server, rsa_pem, 12)]
    server.refused = {f"c-{number}" for number in range(4)}
    list(outcomes(clients, Limits(rate=0, jobs=1)))
    asked = len(server.arrivals)
    again = list(outcomes(clients, Limits(rate=0, give_up_after=1)))
    assert len(server.arrivals) == asked
    assert sum(isinstance(outcome.error, RefusedError) for outcome in again) == 4
    assert not any(outcome.asked for outcome in again)
    list(outcomes(clients[4:], Limits(rate=0), Wanted(force_refresh=True)))
    assert len(server.arrivals) == asked + 8


def test_closing_it_in_the_middle_asks_no_more(server: Many, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Client] = []
    before = run._outcome

    def begin(client: Client, *more: Any, **how: Any) -> Outcome:
        begun.append(client)
        return before(client, *more, **how)

    monkeypatch.setattr(run, "_outcome", begin)
    server.gate.clear()
    running = outcomes([Client("broken", ConfigurationError("x")), *clients_of(server, rsa_pem, 30)], UNPACED)
    with closing(running):
        assert next(running).profile == "broken"
    server.gate.set()
    for thread in threading.enumerate():
        if re.fullmatch(r"banno-creds \d+", thread.name):
            thread.join(20)
    assert len(server.arrivals) <= 8
    assert len(begun) <= 10


def test_who_waits_for_a_turn_when_it_is_closed_asks_no_more(server: Many, rsa_pem: Path) -> None:
    server.gate.clear()
    with closing(outcomes([Client("broken", ConfigurationError("x")), *clients_of(server, rsa_pem, 8)])) as running:
        assert next(running).profile == "broken"
        server.wait_for_one()
    asked = len(server.arrivals)
    server.gate.set()
    for thread in threading.enumerate():
        if re.fullmatch(r"banno-creds \d+", thread.name):
            thread.join(20)
    assert len(server.arrivals) <= asked + 1  # at ten a second, and not all eight


def test_no_connection_is_left_at_the_end(server: Many, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Connections] = []  # else they would end with what refers to them

    def note(*how: Any) -> Connections:
        made.append(Connections(*how))
        return made[0]

    monkeypatch.setattr(run, "Connections", note)
    list(outcomes(clients_of(server, rsa_pem, 3), UNPACED))
    server.wait_until_closed()


def test_a_bug_is_raised_where_the_outcomes_are_awaited(
    server: Many, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Outcome:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "_outcome", broken)
    with pytest.raises(ZeroDivisionError):
        next(outcomes(clients_of(server, rsa_pem, 1), UNPACED))


@pytest.mark.parametrize("more", [0, 2])
def test_threads_that_the_system_starts_do_the_work_of_those_it_does_not(
    server: Many, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    left = [None] * more

    class Few(threading.Thread):
        def start(self) -> None:
            if not left:
                raise RuntimeError("can't start new thread")
            left.pop()
            super().start()

    monkeypatch.setattr(run, "Thread", Few)
    running = outcomes(clients_of(server, rsa_pem, 9), UNPACED)
    if more:
        assert all(outcome.ok for outcome in running)
    else:
        with pytest.raises(NetworkError, match="thread"):
            next(running)


def test_the_seconds_of_all_attempts_count(server: Many, rsa_pem: Path) -> None:
    server.away, server.seconds = {"c-0"}, 0.05
    (found,) = outcomes(clients_of(server, rsa_pem, 1), UNPACED, run=Run(sleep=lambda _: None))
    assert len(server.arrivals) == 3
    assert found.seconds >= 3 * 0.05


@pytest.mark.posix("a signal for one thread")
def test_ctrl_c_that_does_not_wake_the_waiting_thread_ends_the_wait(server: Many, rsa_pem: Path) -> None:
    server.gate.clear()
    began = time.monotonic()

    def interrupt() -> None:
        server.wait_for_one()
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with closing(outcomes(clients_of(server, rsa_pem, 1), UNPACED)) as running:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            next(running)
    assert time.monotonic() - began < 25  # and not the 30 s that the server would have taken
    server.gate.set()
    thread.join(20)


def test_a_slow_host_delays_no_other(server: Many, rsa_pem: Path) -> None:
    with Many() as slow:
        slow.gate.clear()
        clients = [*(c._replace(profile=f"slow-{c.profile}") for c in clients_of(slow, rsa_pem, 80))]
        clients += clients_of(server, rsa_pem, 30)
        running = outcomes(clients, UNPACED)
        with closing(running):
            first = [next(running) for _ in range(30)]
        assert all(outcome.profile.startswith("bank") for outcome in first)
        slow.gate.set()


def test_whose_clients_are_slow_goes_by_the_issuer_which_is_asked_first(server: Many, rsa_pem: Path) -> None:
    with Many() as slow:
        slow.gate.clear()
        clients = [
            client._replace(config=replace(client.config, issuer=each.origin, token_endpoint="https://other.test"))
            for each, count in ((slow, 80), (server, 10))
            for client in clients_of(each, rsa_pem, count)
            if isinstance(client.config, ClientConfig)
        ]
        with closing(outcomes(clients, UNPACED)) as running:
            assert [next(running).error for _ in range(10)] == [None] * 10
        slow.gate.set()


@pytest.mark.parametrize(("hosts", "each", "most"), [(1, 3, 3), (1, 30, 8), (40, 4, 64)])
def test_there_are_no_more_threads_than_needed(
    hosts: int, each: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Counted(threading.Thread):
        def start(self) -> None:
            started.append(self)
            super().start()

    monkeypatch.setattr(run, "Thread", Counted)
    source = KeySource("the key", path=tmp_path / "none.pem")
    clients = [
        Client(f"{host}-{number}", ClientConfig("c", source, token_endpoint=f"https://bank-{host}.test/token"))
        for host in range(hosts)
        for number in range(each)
    ]
    assert len(list(outcomes(clients, UNPACED))) == hosts * each
    assert len(started) == most


def test_offline_reads_the_key_and_asks_nobody(server: Many, rsa_pem: Path, tmp_path: Path) -> None:
    clients = clients_of(server, rsa_pem, 3)
    gone = ClientConfig("c-x", KeySource("the key", path=tmp_path / "none.pem"), token_endpoint=server.url)
    found = {o.profile: o.error for o in outcomes([*clients, Client("gone", gone)], offline=True)}
    assert type(found.pop("gone")) is KeyLoadError
    assert set(found.values()) == {None}
    assert server.arrivals == []


def test_offline_finds_another_audience_than_the_server(server: Many, rsa_pem: Path) -> None:
    config = ClientConfig("c-0", KeySource("the key", path=rsa_pem), token_endpoint=server.url, aud="https://x.test")
    (found,) = outcomes([Client("bank-0", config)], offline=True)
    assert isinstance(found.error, ConfigurationError)
    assert "would go to another server" in found.error.message


def test_offline_finds_a_key_that_does_not_sign(server: Many, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise SigningError("no")

    monkeypatch.setattr(client_assertion, "make_assertion", fail)
    (found,) = outcomes(clients_of(server, rsa_pem, 1), offline=True)
    assert type(found.error) is SigningError


@pytest.mark.parametrize(
    "limits",
    [Limits(jobs=0), Limits(jobs=65), Limits(rate=-1), Limits(rate=float("nan")), Limits(give_up_after=-1)],
    ids=str,
)
def test_limits_out_of_bounds_are_refused(limits: Limits) -> None:
    with pytest.raises(ConfigurationError):
        next(outcomes([Client("broken", ConfigurationError("x"))], limits))


def test_who_says_nothing_else_asks_gently() -> None:
    assert Limits() == (8, 10, 5)


def test_a_host_that_refused_too_often_is_asked_once_more_after_a_while() -> None:
    now = [0.0]
    pacing = Pacing(Limits(rate=0, give_up_after=2), reopens_after=30, clock=lambda: now[0])
    url = "https://bank.test/token"

    def refuse() -> None:
        with pacing.turn(url):
            raise RefusedError("no", error="invalid_client", status=401)

    for _ in range(2):
        with pytest.raises(RefusedError):
            refuse()
    with pytest.raises(NotAskedError), pacing.turn(url):
        pass
    now[0] = 31
    with pytest.raises(RefusedError):
        refuse()
    with pytest.raises(NotAskedError), pacing.turn(url):
        pass
    now[0] = 62
    for _ in range(3):
        with pacing.turn(url):
            pass


def test_a_host_that_asks_to_slow_down_is_given_time_by_all() -> None:
    now = [0.0]
    pacing = Pacing(Limits(rate=0), clock=lambda: now[0])
    url = "https://bank.test/token"
    with pytest.raises(UnavailableError), pacing.turn(url):
        raise UnavailableError("429", retryable=True, retry_after=3600)
    waited = threading.Event()

    def ask() -> None:
        with pacing.turn(url):
            waited.set()

    thread = threading.Thread(target=ask)
    thread.start()
    with pacing.turn("https://other.test"):
        pass
    assert not waited.is_set()
    now[0] = 11  # an hour would be too long for those whom it did not tell
    with pacing.turn(url):
        pass
    thread.join(20)
    assert waited.is_set()


def test_only_refusals_of_a_token_count() -> None:
    pacing = Pacing(Limits(rate=0, give_up_after=1))
    url = "https://bank.test/token"
    with pytest.raises(RefusedError), pacing.turn(url, counts=False):
        raise RefusedError("no such document", error=None, status=404)
    with pacing.turn(url):
        pass


def test_what_a_host_says_of_a_document_slows_all_down() -> None:
    now = [0.0]
    pacing = Pacing(Limits(rate=0), clock=lambda: now[0])
    url = "https://bank.test/token"
    with pytest.raises(UnavailableError), pacing.turn(url, counts=False):
        raise UnavailableError("429", retryable=True, retry_after=5)
    stopper = threading.Timer(0.1, pacing.stop)
    stopper.start()
    with pytest.raises(NotAskedError, match="stopped"), pacing.turn(url):
        pass
    stopper.join()


def test_hosts_are_told_apart_by_name_and_port() -> None:
    pacing = Pacing(Limits(rate=0, give_up_after=1))
    with pytest.raises(RefusedError), pacing.turn("https://bank.test/a"):
        raise RefusedError("no", error=None, status=401)
    with pytest.raises(RefusedError), pacing.turn("http://localhost/a"):
        raise RefusedError("no", error=None, status=401)
    for same in ("https://BANK.test:443/b", "https://bank.test./c", "http://localhost:80/a"):
        with pytest.raises(NotAskedError), pacing.turn(same):
            pass
    with pacing.turn("https://bank.test:8443/a"), pacing.turn("https://other.test/a"):
        pass
