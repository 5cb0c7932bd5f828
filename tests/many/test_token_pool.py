"""`TokenPool`: sources for many clients, which share connections and what a host may bear."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from banno_creds import BannoCredsError, ClientConfig, ConfigurationError, KeySource, TokenPool
from banno_creds.errors import NotAskedError, RefusedError
from banno_creds.many import sources
from tests.servers.many import Many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

posix = pytest.mark.posix("processes fork")


@pytest.fixture
def server() -> Iterator[Many]:
    with Many() as running:
        yield running


def clients_of(server: Many, pem: Path, count: int) -> dict[str, ClientConfig]:
    source = KeySource("the key", path=pem)
    return {
        f"bank-{number}": ClientConfig(
            f"c-{number}", source, token_endpoint=server.url, client_id_in_body=True, timeout=20
        )
        for number in range(count)
    }


def pool_of(server: Many, pem: Path, count: int, **more: Any) -> TokenPool:
    return TokenPool(clients_of(server, pem, count), **{"rate": 0, "on_disk": False, **more})


def test_each_source_gives_its_own_clients_tokens_over_shared_connections(server: Many, ec_pem: Path) -> None:
    with pool_of(server, ec_pem, 30) as pool:
        tokens = [pool.source(name).token().access_token for name in pool.names]
        assert tokens == [f"token-of-c-{number}" for number in range(30)]
        assert server.connections == 1
        assert [pool.source(name).token().access_token for name in pool.names] == tokens
        assert len(server.arrivals) == 30
        assert pool.source("bank-3") is pool.source("bank-3")


def test_threads_share_the_jobs_of_a_host(server: Many, ec_pem: Path) -> None:
    with pool_of(server, ec_pem, 40, jobs=3) as pool, ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda name: pool.source(name).token(), pool.names))
        assert server.most_under_way <= 3
        assert server.connections <= 3


def test_the_sources_share_the_count_of_refusals(server: Many, ec_pem: Path) -> None:
    server.refused = None
    kinds: list[type[BannoCredsError]] = []

    def ask(name: str) -> None:
        with pytest.raises(BannoCredsError) as caught:
            pool.source(name).token()
        kinds.append(caught.type)

    with pool_of(server, ec_pem, 30) as pool, ThreadPoolExecutor(10) as threads:
        list(threads.map(ask, pool.names))
    assert len(server.arrivals) == 5
    assert (kinds.count(RefusedError), kinds.count(NotAskedError)) == (5, 25)


def test_who_was_not_asked_may_ask_later(server: Many, ec_pem: Path, tmp_path: Path) -> None:
    """That the host was left alone is no refusal of the client, and nobody keeps it."""
    server.refused = None
    with pool_of(server, ec_pem, 2, give_up_after=1, on_disk=True) as pool:
        with pytest.raises(RefusedError):
            pool.source("bank-0").token()
        with pytest.raises(NotAskedError):
            pool.source("bank-1").token()
    server.refused = set()
    with pool_of(server, ec_pem, 2, on_disk=True) as pool:
        assert pool.source("bank-1").token().access_token == "token-of-c-1"


def test_a_host_that_refused_too_often_is_asked_once_more_after_a_while(
    server: Many, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_REOPENS_AFTER", 0.0)
    server.refused = None
    with pool_of(server, ec_pem, 2, give_up_after=1) as pool:
        for name in pool.names:
            with pytest.raises(RefusedError):
                pool.source(name).token()


def test_it_reads_profiles_by_name_by_tag_or_all(tmp_path: Path, ec_pem: Path, server: Many) -> None:
    file = tmp_path / "banks.toml"
    table = f'private_key = "{ec_pem.as_posix()}"\ntoken_endpoint = "{server.url}"\nclient_id_in_body = true\n'
    file.write_text(
        f'[profiles.one]\nclient_id = "c-1"\ntags = ["live"]\n{table}'
        f'[profiles.two]\nclient_id = "c-2"\n{table}'
        f'[profiles.broken]\nclient_id = ""\n{table}',
        encoding="utf-8",
    )
    file.chmod(0o600)
    assert TokenPool(["two"], file=file).names == ("two",)
    assert TokenPool(tags=["live"], file=file).names == ("one",)
    with TokenPool(file=file, on_disk=False) as pool:
        assert sorted(pool.names) == ["broken", "one", "two"]
        assert pool.source("two").token().access_token == "token-of-c-2"
        faults = []
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="client ID is empty") as caught:
                pool.source("broken")
            faults.append(caught.value)
        assert faults[0] is not faults[1]  # else tracebacks would grow


def test_a_client_that_is_not_there_is_named_with_those_that_are(server: Many, ec_pem: Path) -> None:
    with pytest.raises(ConfigurationError, match="the pool has no client 'live'") as caught:
        pool_of(server, ec_pem, 2).source("live")
    assert caught.value.hint == "it has these: bank-0, bank-1"
    with pytest.raises(ConfigurationError) as caught:
        pool_of(server, ec_pem, 1000).source("live")
    assert len(caught.value.hint or "") < 150


@pytest.mark.parametrize(
    ("clients", "how"),
    [
        ("live", {}),
        ({"live": "live"}, {}),
        ({1: None}, {}),
        ([1], {}),
        ({}, {"tags": "live"}),
        ({}, {"jobs": 0}),
        ({}, {"jobs": "8"}),
        ({}, {"rate": -1}),
        ({}, {"give_up_after": None}),
    ],
)
def test_values_of_another_kind_are_refused(clients: Any, how: Any) -> None:
    with pytest.raises(ConfigurationError):
        TokenPool(clients, **how)


@pytest.mark.parametrize("how", [{"min_ttl": -1}, {"on_disk": 1}, {"emit": 1}], ids=str)
def test_what_a_source_refuses_the_pool_refuses(server: Many, ec_pem: Path, how: Any) -> None:
    with pytest.raises(ConfigurationError):
        pool_of(server, ec_pem, 1, **how)


def _ignore(step: object) -> None:
    del step


def test_pools_and_their_sources_can_be_copied_and_pickled(server: Many, ec_pem: Path) -> None:
    pool = pool_of(server, ec_pem, 3, emit=_ignore, give_up_after=2)
    pool.source("bank-1").token()
    for again in (copy.copy(pool), copy.deepcopy(pool), pickle.loads(pickle.dumps(pool))):
        assert again.names == pool.names
        server.refused = None
        kinds = []
        for name in ("bank-0", "bank-1", "bank-2"):
            with pytest.raises(BannoCredsError) as caught:
                again.source(name).token()
            kinds.append(caught.type)
        assert kinds == [RefusedError, RefusedError, NotAskedError]
        server.refused, again = set(), copy.copy(again)
        again.source("bank-1").token()
    source = pickle.loads(pickle.dumps(pool.source("bank-2")))
    assert source.token().access_token == "token-of-c-2"
    with_its_pool, again_source = pickle.loads(pickle.dumps((pool, pool.source("bank-2"))))
    assert with_its_pool.source("bank-2") is again_source
    assert len(server.arrivals) == 5 + 3 * 2  # none of them had the token
    assert b"token-of" not in pickle.dumps(pool)


def _get(pool: TokenPool, name: str, answers: Any) -> None:
    answers.put((os.getpid(), pool.source(name).token().access_token))


@posix
def test_a_forked_child_uses_connections_of_its_own(server: Many, ec_pem: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with pool_of(server, ec_pem, 4) as pool:
        pool.source("bank-0").token()
        children = [context.Process(target=_get, args=(pool, f"bank-{number}", answers)) for number in (1, 2)]
        for child in children:
            child.start()
        found = {answers.get()[1] for _ in children}
        for child in children:
            child.join(30)
        pool.source("bank-3").token()
        assert found == {"token-of-c-1", "token-of-c-2"}
        assert server.connections == 3


@posix
def test_a_fork_during_requests_leaves_the_child_nothing_that_is_locked(server: Many, ec_pem: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with pool_of(server, ec_pem, 200, jobs=4) as pool, ThreadPoolExecutor(8) as threads:
        running = [threads.submit(pool.source(f"bank-{number}").token) for number in range(150)]
        children = [
            context.Process(target=_get, args=(pool, f"bank-{number}", answers)) for number in range(150, 156)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            assert child.exitcode == 0
        assert all(each.result(60) for each in running)


@pytest.mark.parametrize(
    "backend", ["asyncio", pytest.param("trio", marks=pytest.mark.no_wine("trio does not start: WinError 10045"))]
)
def test_tasks_of_many_sources_leave_threads_for_others(server: Many, ec_pem: Path, backend: str) -> None:
    server.gate.clear()
    counts = [threading.active_count()]

    async def main(pool: TokenPool) -> list[str]:
        tokens: list[str] = []

        async def one(name: str) -> None:
            tokens.append((await pool.source(name).async_token()).access_token)

        async with anyio.create_task_group() as group:
            for name in pool.names:
                group.start_soon(one, name)
            await anyio.to_thread.run_sync(server.wait_for_one)
            counts.append(threading.active_count())
            await anyio.to_thread.run_sync(server.gate.set)  # a thread for the program's own work
        return tokens

    with pool_of(server, ec_pem, 60, jobs=2) as pool:
        tokens = anyio.run(main, pool, backend=backend)
    assert counts[1] - counts[0] < 40  # of 60 tasks, 8 have a thread, and some of these ask
    assert sorted(tokens) == sorted(f"token-of-c-{number}" for number in range(60))


def test_tasks_that_wait_for_their_turn_leave_threads_for_tokens_at_hand(server: Many, ec_pem: Path) -> None:
    async def main(pool: TokenPool) -> str:
        async with anyio.create_task_group() as group:
            for name in pool.names[1:]:
                group.start_soon(pool.source(name).async_token)
            await anyio.to_thread.run_sync(server.wait_for_one)
            with anyio.fail_after(20):
                found = await pool.source("bank-0").async_token()
            server.gate.set()
        return found.access_token

    pool_of(server, ec_pem, 1, on_disk=True).source("bank-0").token()
    server.arrivals.clear()
    server.gate.clear()
    with pool_of(server, ec_pem, 8, jobs=2, on_disk=True) as pool:
        assert anyio.run(main, pool) == "token-of-c-0"


def test_gather_under_asyncio(server: Many, ec_pem: Path) -> None:
    async def main(pool: TokenPool) -> list[str]:
        found = await asyncio.gather(*(pool.source(name).async_token() for name in pool.names))
        return [response.access_token for response in found]

    with pool_of(server, ec_pem, 20) as pool:
        assert asyncio.run(main(pool)) == [f"token-of-c-{number}" for number in range(20)]


def test_no_thread_and_no_connection_is_left_when_it_is_closed(server: Many, ec_pem: Path) -> None:
    before = set(threading.enumerate())
    with pool_of(server, ec_pem, 5) as pool:
        for name in pool.names:
            pool.source(name).token()
    left = {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("banno-creds")}
    for thread in left:
        thread.join(10)
        assert not thread.is_alive()
    server.wait_until_closed()
