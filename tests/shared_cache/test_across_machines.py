"""Several machines with one cache: one request, the same outcome for all, whatever becomes of the one that asks."""

from __future__ import annotations

import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from banno_creds.config import ClientConfig, KeySource, Wanted
from banno_creds.tokens.client_credentials import ClientCredentials
from tests.conftest import CLIENT_ID, Result, write_private
from tests.person import free_port
from tests.processes import KILLED
from tests.runs import running
from tests.shared_cache import namespaces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Cli
    from tests.runs import Runs
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Redis
    from tests.servers.tls import Authority
    from tests.shared_cache.conftest import Machine

pytestmark = pytest.mark.timeout(600)

MANY, SOME, RACES, THREADED_RACES, KILLS = 100, 8, 10, 200, 12
NAMES = ("a", "b", "c", "d")


# --- One after the other --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["tcp", "tls", "unix"])
def test_second_machine_has_the_first_ones_token(
    cli: Cli, machine: Machine, redis: Redis, issuer: Issuer, authority: Authority, way: str
) -> None:
    url = {"tcp": redis.url, "tls": redis.tls_url, "unix": redis.unix_url}[way]
    for name in NAMES:
        env = machine(name, CACHE_URL=url, CA_BUNDLE=authority.file)
        assert cli("token", env=env) == Result(0, "openid.1\n", "")
    assert len(issuer.forms) == 1


def test_machine_with_another_secret_has_tokens_of_its_own(
    cli: Cli, machine: Machine, issuer: Issuer, tmp_path: Path
) -> None:
    other = write_private(tmp_path / "other.secret", b"another secret, of more than 16 bytes")
    assert cli("token", env=machine("a")).stdout == "openid.1\n"
    assert cli("token", env=machine("b", CACHE_SECRET_FILE=other)) == Result(0, "openid.2\n", "")
    assert len(issuer.forms) == 2


def test_refusal_is_remembered_by_all_machines(cli: Cli, machine: Machine, issuer: Issuer) -> None:
    issuer.refuse()
    results = [cli("token", env=machine(name)) for name in NAMES]
    assert {result.code for result in results} == {4}
    assert all("client authentication failed" in result.stderr for result in results)
    assert all("not asked again" in result.stderr for result in results[1:])
    assert len(issuer.forms) == 1


def test_fresh_token_of_one_machine_is_all_machines_token(cli: Cli, machine: Machine, issuer: Issuer) -> None:
    assert cli("token", env=machine("a")).stdout == "openid.1\n"
    assert cli("token", "--force-refresh", env=machine("b")).stdout == "openid.2\n"
    assert [cli("token", env=machine(name)).stdout for name in NAMES] == ["openid.2\n"] * 4
    assert len(issuer.forms) == 2


def test_other_scope_key_or_client_is_another_token(
    cli: Cli, machine: Machine, issuer: Issuer, rsa_pem: Path
) -> None:
    given = [
        cli("token", *more, env=machine(name, **variables)).stdout
        for name, more, variables in (
            ("a", (), {}),
            ("b", ("--scope", "other"), {}),
            ("c", (), {"PRIVATE_KEY": rsa_pem}),
            ("d", (), {"CLIENT_ID": "00000000-4e9a-482e-b980-b10308aa428a"}),
        )
    ]
    assert given == ["openid.1\n", "other.2\n", "openid.3\n", "openid.4\n"]


def test_without_a_cache_nothing_is_read_or_kept_there(
    cli: Cli, machine: Machine, redis: Redis, issuer: Issuer
) -> None:
    assert cli("token", "--no-cache", env=machine("a")).code == 0
    assert redis.keys() == []
    assert cli("token", env=machine("a")).code == 0
    assert cli("token", "--no-cache", env=machine("a")).stdout == "openid.3\n"
    assert len(issuer.forms) == 3


def test_token_that_is_about_to_end_is_replaced_for_all(cli: Cli, machine: Machine, issuer: Issuer) -> None:
    issuer.expires_in = 100
    assert cli("token", env=machine("a")).stdout == "openid.1\n"
    issuer.expires_in = 600
    assert cli("token", "--min-ttl", "300", env=machine("b")).stdout == "openid.2\n"
    assert cli("token", env=machine("c")).stdout == "openid.2\n"


# --- All at once ----------------------------------------------------------------------------------------------------


def test_processes_on_4_machines_make_one_request(runs: Runs, machine: Machine, issuer: Issuer) -> None:
    issuer.gate.clear()
    for number in range(4 * SOME):
        runs.start("token", env=machine(NAMES[number % 4]))
    issuer.wait_for(1)
    issuer.gate.set()
    assert runs.results() == [Result(0, "openid.1\n", "")] * 4 * SOME
    assert len(issuer.forms) == 1


@pytest.mark.skipif(not namespaces.are_allowed(), reason="this system gives no network namespaces")
def test_100_processes_in_4_network_namespaces_make_one_request(
    machine: Machine, issuer: Issuer, redis: Redis, tmp_path: Path
) -> None:
    """Machines that can reach Redis and the bank, and nothing of each other."""
    issuer.gate.clear()
    with ExitStack() as stack:
        ways = stack.enter_context(namespaces.ways_to(tmp_path, redis.port, int(urlsplit(issuer.url).port or 0)))
        runs = []
        for name in NAMES:
            nursery = stack.enter_context(namespaces.machine(ways, tmp_path / f"{name}.ready"))
            runs.append(stack.enter_context(running(nursery, tmp_path / f"{name}-said")))
        for number in range(MANY):
            runs[number % 4].start("token", env=machine(NAMES[number % 4]))
        issuer.wait_for(1)
        issuer.gate.set()
        results = [result for each in runs for result in each.results()]
    assert results == [Result(0, "openid.1\n", "")] * MANY
    assert len(issuer.forms) == 1


def test_machines_that_are_refused_at_once_make_one_request(runs: Runs, machine: Machine, issuer: Issuer) -> None:
    issuer.refuse()
    issuer.gate.clear()
    for number in range(SOME):
        runs.start("token", env=machine(str(number)))
    issuer.wait_for(1)
    issuer.gate.set()
    assert [(result.code, result.stdout) for result in runs.results()] == [(4, "")] * SOME
    assert len(issuer.forms) == 1


def test_server_that_is_down_is_not_asked_by_each_machine(runs: Runs, machine: Machine, issuer: Issuer) -> None:
    issuer.failure = 503, {}
    issuer.gate.clear()
    for number in range(SOME):
        runs.start("token", "-v", env=machine(str(number)))
    runs.wait_until_all_wait_but_one()
    issuer.gate.set()
    assert {(result.code, result.stdout) for result in runs.results()} == {(5, "")}
    assert len(issuer.forms) <= 2 * 3


def test_race_of_two_machines_is_won_by_one_each_time(runs: Runs, machine: Machine, issuer: Issuer) -> None:
    """Each for a token of its own; the two begin as closely together as the system allows."""
    for race in range(RACES):
        for name in NAMES[:2]:
            runs.start("token", "--scope", f"race{race}", env=machine(name))
        if race % 8 == 7:
            for process in runs.processes[-16:]:
                process.wait()
    results = runs.results()
    assert {(result.code, result.stderr) for result in results} == {(0, "")}
    for race in range(RACES):
        first, second = results[2 * race : 2 * race + 2]
        assert first == second
        assert first.stdout.startswith(f"race{race}.")
    assert len(issuer.forms) == RACES


def test_hundreds_of_races_between_four_machines_make_one_request_each(
    redis: Redis, issuer: Issuer, ec_pem: Path, secret: Path, folder: Path
) -> None:
    """In threads, each with a cache of its own, which lets them begin at the very same moment."""
    key = KeySource(str(ec_pem), path=ec_pem)
    config = ClientConfig(CLIENT_ID, key, token_endpoint=issuer.url, cache_url=redis.url, cache_secret_file=secret)
    start = Barrier(len(NAMES))

    def race(_: str) -> list[str]:
        cache, given = ClientCredentials(config).open_cache(), []
        assert cache is not None
        for number in range(THREADED_RACES):
            mine = replace(config, scope=(f"race{number}",))
            start.wait(60)
            given.append(ClientCredentials(mine).obtain(cache, Wanted()).access_token)
        return given

    with ThreadPoolExecutor(len(NAMES)) as threads:
        given = list(threads.map(race, NAMES))
    assert all(each == given[0] for each in given)
    assert [token.partition(".")[0] for token in given[0]] == [f"race{number}" for number in range(THREADED_RACES)]
    assert len(issuer.forms) == THREADED_RACES
    assert len(redis.keys()) == THREADED_RACES  # no lock is left
    assert not list(folder.glob("*.json"))


# --- One that is killed, one that hangs -----------------------------------------------------------------------------


def _pass_the_deadline(redis: Redis) -> None:
    """Let the lock end now: whoever lives renews it, and nobody has to wait for longer than 10 s."""
    kept = redis.keys()
    [lock] = [key for key in kept if key.endswith(":lock")]
    assert 0 < redis("PTTL", lock) <= 10_000
    redis("PEXPIRE", lock, 1)


def test_machine_that_is_killed_while_it_asks_costs_one_more_request(
    runs: Runs, machine: Machine, issuer: Issuer, redis: Redis
) -> None:
    issuer.gate.clear()
    killed = runs.start("token", env=machine("killed"))
    issuer.wait_for(1)
    killed.kill()
    killed.wait()
    issuer.gate.set()
    _pass_the_deadline(redis)
    for number in range(SOME):
        runs.start("token", env=machine(str(number)))
    first, *others = runs.results()
    assert first == Result(KILLED, "", "")
    assert [(result.code, result.stdout) for result in others] == [(0, "openid.2\n")] * SOME
    assert len(issuer.forms) == 2


def test_machine_that_hangs_gives_way_and_takes_nothing_from_who_came_after(
    runs: Runs, machine: Machine, issuer: Issuer, redis: Redis
) -> None:
    issuer.gate.clear()
    hung = runs.start("token", env=machine("hung"))
    issuer.wait_for(1)
    hung.suspend()
    issuer.gate.set()
    _pass_the_deadline(redis)
    for number in range(SOME):
        runs.start("token", env=machine(str(number)))
    for process in runs.processes[1:]:
        process.wait()
    hung.resume()
    first, *others = runs.results()
    # Its own token is none the worse; it is only not the one that all others have.
    assert (first.code, first.stdout) == (0, "openid.1\n")
    assert [(result.code, result.stdout) for result in others] == [(0, "openid.2\n")] * SOME
    assert len(issuer.forms) == 2
    runs.start("token", env=machine("later"))
    assert runs.results()[-1].stdout == "openid.2\n"


@pytest.mark.parametrize("becomes", ["killed", "paused", "full", "a replica", "empty"])
def test_what_becomes_of_redis_while_machines_wait_loses_no_token(
    runs: Runs, machine: Machine, issuer: Issuer, new_redis: Callable[..., Redis], becomes: str
) -> None:
    redis = new_redis()
    issuer.gate.clear()
    for name in NAMES:
        for _ in range(2):
            runs.start("token", "-v", env=machine(name, CACHE_URL=redis.url))
    issuer.wait_for(1)
    runs.wait_until_all_wait_but_one()
    if becomes == "killed":
        redis.kill()
    elif becomes == "paused":
        redis.pause()
    elif becomes == "full":
        redis.fill()
    elif becomes == "a replica":
        redis("REPLICAOF", "127.0.0.1", free_port())
    else:
        redis("FLUSHALL")
    # Those who notice it ask for themselves: once a machine, as ever.
    deadline = time.monotonic() + 5
    while len(issuer.forms) < 4 and time.monotonic() < deadline and becomes != "empty":
        time.sleep(0.02)
    issuer.gate.set()
    results = runs.results()
    tokens = {result.stdout for result in results}
    assert {result.code for result in results} == {0}
    assert tokens <= {f"openid.{number}\n" for number in range(1, 6)}
    assert len(issuer.forms) <= 5
    assert all(result.stderr.count("!   ") <= 1 for result in results)
    if becomes not in ("empty", "full"):
        assert all("cannot be used" in result.stderr for result in results)


def test_kill_at_any_moment_leaves_a_cache_that_works(
    runs: Runs, machine: Machine, issuer: Issuer, redis: Redis
) -> None:
    moments = random.Random(15)
    began = time.monotonic()
    runs.start("token", env=machine("a"))
    runs.results()
    whole = min(0.25, (time.monotonic() - began) * 1.2)
    for number in range(KILLS):
        scope = f"scope{number % 5}"
        if number % 3 == 0:
            redis("FLUSHALL")
        process = runs.start("token", "--scope", scope, "--force-refresh", env=machine(NAMES[number % 4]))
        time.sleep(moments.uniform(0, whole))
        process.kill()
        process.wait()
        printed = runs.said(len(runs.processes) - 1, "out").read_text()
        assert re.fullmatch(rf"({scope}\.\d+\n)?", printed)
        kept = redis.keys()
        for key in kept:
            assert redis("PTTL", key) > 0, "a key that stays for ever"
            if key.endswith(":lock"):
                redis("DEL", key)  # its deadline is tested above
        runs.start("token", "--scope", scope, env=machine(NAMES[(number + 1) % 4]))
        result = runs.results()[-1]
        assert (result.code, result.stderr) == (0, "")
        assert int(re.fullmatch(rf"{scope}\.(\d+)\n", result.stdout)[1]) <= len(issuer.forms)  # type: ignore[index]
    assert KILLED in {process.returncode for process in runs.processes}
