"""Many processes at once, one that hangs, one that is killed: one request, right answers, a cache that works."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from banno_creds.config import ClientConfig, KeySource, Wanted
from banno_creds.tokens.cache import TokenCache
from banno_creds.tokens.client_credentials import ClientCredentials
from tests.conftest import CLIENT_ID, Result
from tests.patience import patient
from tests.processes import KILLED
from tests.runs import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cli
    from tests.processes import Nursery
    from tests.runs import Runs
    from tests.servers.issuer import Issuer

pytestmark = [pytest.mark.once, pytest.mark.timeout(600)]

# To start one takes a second on Windows.
MANY, SOME, KILLS = (5, 5, 8) if sys.platform == "win32" else (50, 8, 60)


@pytest.fixture
def runs(nursery: Nursery, tmp_path: Path) -> Iterator[Runs]:
    with running(nursery, tmp_path / "said") as runs:
        yield runs


# --- all at once ----------------------------------------------------------------------------------------------------


def test_many_processes_at_once_make_one_request_and_are_all_given_its_token(
    runs: Runs, ask: list[str], issuer: Issuer, folder: Path
) -> None:
    issuer.gate.clear()
    for _ in range(MANY):
        runs.start(*ask)
    issuer.wait_for(1)
    issuer.gate.set()
    assert runs.results() == [Result(0, "openid.1\n", "")] * MANY
    assert len(issuer.forms) == 1
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".answer"}


def test_many_processes_at_once_that_are_refused_make_one_request(runs: Runs, ask: list[str], issuer: Issuer) -> None:
    issuer.refuse()
    issuer.gate.clear()
    for _ in range(MANY):
        runs.start(*ask)
    issuer.wait_for(1)
    issuer.gate.set()
    results = runs.results()
    assert [(result.code, result.stdout) for result in results] == [(4, "")] * MANY
    assert {result.stderr.partition("\n")[0] for result in results} == {
        "✗   The server refused the client: invalid_client — client authentication failed"
    }
    assert len(issuer.forms) == 1


def test_many_processes_at_once_for_two_scopes_make_two_requests_and_mix_nothing_up(
    runs: Runs, ask: list[str], issuer: Issuer
) -> None:
    issuer.gate.clear()
    for number in range(SOME):
        runs.start(*ask, "--scope", ("one", "two")[number % 2])
    issuer.wait_for(2)
    issuer.gate.set()
    results = runs.results()
    assert all(result.code == 0 and result.stderr == "" for result in results)
    for parity, scope in enumerate(("one", "two")):
        [token] = {result.stdout for result in results[parity::2]}
        assert token.startswith(f"{scope}.")
    assert len(issuer.forms) == 2


@pytest.mark.parametrize(
    ("expires_in", "more"),
    [(600, ["--force-refresh"]), (30, []), (None, [])],
    ids=["all want a fresh one", "a token that lives for less than min-ttl", "nobody knows how long it lives"],
)
def test_what_was_asked_for_after_a_caller_came_is_fresh_enough_for_it(
    runs: Runs, ask: list[str], issuer: Issuer, expires_in: int | None, more: list[str]
) -> None:
    """The first request may have begun before some of them came; the second has not."""
    issuer.expires_in = expires_in
    issuer.gate.clear()
    for _ in range(SOME):
        runs.start(*ask, *more, "-v")
    runs.wait_until_all_wait_but_one()
    issuer.gate.set()
    results = runs.results()
    assert {result.code for result in results} == {0}
    assert {result.stdout for result in results} <= {"openid.1\n", "openid.2\n"}
    assert len(issuer.forms) <= 2


def test_a_server_that_is_down_is_not_asked_by_each_of_them(runs: Runs, ask: list[str], issuer: Issuer) -> None:
    issuer.failure = 503, {}
    issuer.gate.clear()
    for _ in range(SOME):
        runs.start(*ask, "-v")
    runs.wait_until_all_wait_but_one()
    issuer.gate.set()
    results = runs.results()
    assert {(result.code, result.stdout) for result in results} == {(5, "")}
    assert all("✗   The server cannot answer now: 503" in result.stderr for result in results)
    assert len(issuer.forms) <= 2 * 3


def test_of_many_whose_token_an_api_refused_one_asks_for_another(issuer: Issuer, folder: Path, ec_pem: Path) -> None:
    """In threads: the lock is one between open files, whoever has opened them."""
    config = ClientConfig(CLIENT_ID, KeySource(str(ec_pem), path=ec_pem), token_endpoint=issuer.url)
    folder.mkdir(0o700)
    cache = TokenCache(str(folder))
    old = ClientCredentials(config).obtain(cache, Wanted()).access_token
    with ThreadPoolExecutor(SOME) as threads:
        given = list(
            threads.map(
                lambda _: ClientCredentials(config).obtain(cache, Wanted(not_token=old)).access_token, range(SOME)
            )
        )
    assert len(set(given)) == 1
    assert given[0] != old
    assert len(issuer.forms) == 2


# --- one that hangs, one that is killed -----------------------------------------------------------------------------


@patient(3, 20)
def test_a_process_that_hangs_gives_way_and_costs_one_more_request(
    runs: Runs, ask: list[str], issuer: Issuer, seconds: int
) -> None:
    ask = [*ask, "--scope", f"within{seconds}"]
    before, asked = len(runs.processes), len(issuer.forms)
    issuer.gate.clear()
    hung = runs.start(*ask)
    issuer.wait_for(asked + 1)
    hung.suspend()
    issuer.gate.set()
    for _ in range(SOME):
        runs.start(*ask, "--timeout", str(seconds))
    for process in runs.processes[before + 1 :]:
        process.wait()
    hung.resume()
    first, *others = runs.results()[before:]
    assert first == Result(0, f"within{seconds}.{asked + 1}\n", "")
    assert [(result.code, result.stdout) for result in others] == [(0, f"within{seconds}.{asked + 2}\n")] * SOME
    assert sorted(result.stderr for result in others) == [""] * (SOME - 1) + [
        f"!   A process has been asking for this token for {seconds} s: no longer waiting for it\n"
    ]
    assert len(issuer.forms) == asked + 2


def test_a_process_that_is_killed_while_it_asks_costs_one_more_request(
    runs: Runs, ask: list[str], issuer: Issuer, folder: Path
) -> None:
    issuer.gate.clear()
    killed = runs.start(*ask)
    issuer.wait_for(1)
    for _ in range(SOME):
        runs.start(*ask)
    killed.kill()
    killed.wait()
    issuer.gate.set()
    assert runs.results() == [Result(KILLED, "", "")] + [Result(0, "openid.2\n", "")] * SOME
    assert len(issuer.forms) == 2
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".answer"}


@pytest.mark.posix("a process can be told to end")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_end_leaves_no_lock(
    runs: Runs, cli: Cli, ask: list[str], issuer: Issuer, folder: Path, number: int
) -> None:
    issuer.gate.clear()
    process = runs.start(*ask)
    issuer.wait_for(1)
    process.send_signal(number)
    assert runs.results() == [Result(128 + number, "", "")]
    assert list(folder.iterdir()) == []
    issuer.gate.set()
    assert cli(*ask) == Result(0, "openid.2\n", "")


@pytest.mark.parametrize("part", range(2))
def test_kill_at_any_moment_leaves_a_cache_that_works(
    runs: Runs, cli: Cli, ask: list[str], issuer: Issuer, folder: Path, part: int
) -> None:
    moments = random.Random(part)
    began = time.monotonic()
    runs.start(*ask)
    runs.results()
    whole = min(0.25, (time.monotonic() - began) * 1.2)
    for number in range(KILLS):
        scope = f"scope{number % 5}"
        cold = [*ask, "--scope", scope, *(["--force-refresh"] if number % 3 else [])]
        if number % 3 == 0:
            for entry in folder.glob("*.json"):
                entry.unlink()
        process = runs.start(*cold)
        time.sleep(moments.uniform(0, whole))
        process.kill()
        process.wait()
        printed = runs.said(len(runs.processes) - 1, "out").read_text()
        assert re.fullmatch(rf"({scope}\.\d+\n)?", printed)

        result = cli(*ask, "--scope", scope)
        assert (result.code, result.stderr) == (0, "")
        assert re.fullmatch(rf"{scope}\.\d+\n", result.stdout)
        assert int(result.stdout.rpartition(".")[2]) <= len(issuer.forms)
    ended = {process.returncode for process in runs.processes[1:]}
    assert KILLED in ended
    assert {runs.said(number, "err").read_text() for number in range(len(runs.processes))} == {""}

    # What they left behind is taken away, once nobody can be at work on it.
    long_ago = time.time() - 2 * 3600
    for left in (*folder.glob("*.tmp"), *folder.glob("*.lock")):
        os.utime(left, (long_ago, long_ago))
    assert cli(*ask, "--force-refresh").code == 0
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".answer"}
