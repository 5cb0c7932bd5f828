"""Processes that start at once on Windows: one request, no edit lost, one heir of a hung process.

A round each by default, hundreds with BANNO_CREDS_RACES=N.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.issuer import Issuer

ROUNDS = int(os.environ.get("BANNO_CREDS_RACES", "1"))
PROCESSES = 5

# Each process does its part of a round when the file of that name is there, and says how it went in one line of JSON.
_WORKER = """
import json, sys, time
from pathlib import Path
from banno_creds.config import Wanted
from banno_creds.profiles.edits import add_profile
from banno_creds.profiles.file import read
from banno_creds.steps import Run, Warned
from banno_creds.storage.lock import Lock
from banno_creds.tokens.cache import TokenCache
from banno_creds.tokens.cache_entry import Request
from banno_creds.tokens.response import token_response

number, folder = int(sys.argv[1]), Path(sys.argv[2])
REQUEST = Request("c", "https://bank.example/token", None, "00", None, None, None, 60, False, {}, (), (), (), None)

def lock(round, patience):
    # This process hangs in the middle of a request, until the test kills it.
    lock = Lock(TokenCache(str(folder / f"cache-{round}")).path(REQUEST.name, ".lock"))
    print(json.dumps(lock.take()), flush=True)
    sys.stdin.read()

def token(round, patience):
    asked, warnings = [], []
    def fetch():
        asked.append(number)
        time.sleep(0.02)
        members = {"access_token": f"{round}-{number}", "token_type": "Bearer", "expires_in": 600}
        return token_response(members, int(time.time()))
    run = Run(lambda step: warnings.append(step.message) if isinstance(step, Warned) else None)
    token = TokenCache(str(folder / f"cache-{round}")).obtain(REQUEST, fetch, Wanted(), run, patience=patience)
    return {"asked": len(asked), "token": token.access_token, "warnings": warnings}

def profile(round, patience):
    config = folder / "config.toml"
    add_profile(f"p{number}-{round}", {"client_id": "c"}, config)
    return f"p{number}-{round}" in read(config).names()

for line in sys.stdin:
    act, round, patience = json.loads(line)
    go = folder / f"go-{round}"
    while not go.exists():
        time.sleep(0.001)
    try:
        said = {"token": token, "profile": profile, "lock": lock}[act](round, patience)
    except BaseException as failure:
        said = f"{type(failure).__name__}: {failure}"
    print(json.dumps(said), flush=True)
"""


class Worker:
    """One of those processes."""

    def __init__(self, number: int, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(number), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.__exit__(None, None, None)

    def told(self, act: str, number: int, patience: float = 30) -> None:
        """Tell it what to do in a round."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([act, number, patience]) + "\n")
        self._process.stdin.flush()

    def said(self) -> Any:
        """Wait for what it says of it."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Worker(number, tmp_path)) for number in range(PROCESSES)]


def _round(workers: list[Worker], folder: Path, act: str, number: int, patience: float = 30) -> list[Any]:
    """Let all do the same at once, and return what they say."""
    for worker in workers:
        worker.told(act, number, patience)
    (folder / f"go-{number}").touch()
    return [worker.said() for worker in workers]


def test_of_all_who_ask_at_once_one_asks_the_server(workers: list[Worker], tmp_path: Path) -> None:
    for number in range(ROUNDS):
        cache = tmp_path / f"cache-{number}"
        cache.mkdir()
        said = _round(workers, tmp_path, "token", number)
        assert [one["warnings"] for one in said] == [[]] * PROCESSES
        assert sum(one["asked"] for one in said) == 1
        assert len({one["token"] for one in said}) == 1
        assert [path.suffix for path in cache.iterdir()] == [".json"]


def test_no_edit_of_the_profiles_is_lost(workers: list[Worker], tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    for number in range(ROUNDS):
        if number % 20 == 0:
            config.unlink(missing_ok=True)
        assert _round(workers, tmp_path, "profile", number) == [True] * PROCESSES
        text = config.read_text("utf-8")
        assert all(f"[profiles.p{each}-{number}]" in text for each in range(PROCESSES))
        assert text.count("[profiles.") == PROCESSES * (number % 20 + 1)
        assert [path.name for path in tmp_path.iterdir() if "config" in path.name] == ["config.toml"]


def test_of_all_who_wait_for_a_hung_process_one_asks_the_server(workers: list[Worker], tmp_path: Path) -> None:
    """It keeps its lock; the others wait for as long as on Linux, and not for twice that."""
    for number in range(ROUNDS):
        cache = tmp_path / f"cache-{number}"
        cache.mkdir()
        with Worker(PROCESSES, tmp_path) as hung:
            hung.told("lock", number)
            (tmp_path / f"go-{number}").touch()
            assert hung.said() is True
            (tmp_path / f"go-{number}").unlink()
            said = _round(workers, tmp_path, "token", number, patience=0.5)
        assert sum(one["asked"] for one in said) == 1
        assert sum(len(one["warnings"]) for one in said) == 1
        assert len({one["token"] for one in said}) == 1
        assert [path.suffix for path in cache.iterdir() if path.suffix != ".tmp"] == [".json"]


def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        cache = tmp_path / f"cache-{number}"
        cache.mkdir()
        with Worker(PROCESSES, tmp_path) as killed:
            killed.told("lock", number)
            (tmp_path / f"go-{number}").touch()
            assert killed.said() is True
            assert [path.suffix for path in cache.iterdir()] == [".lock"]
        assert list(cache.iterdir()) == []


def test_of_whole_processes_that_start_at_once_one_asks_the_server(
    folder: Path, ask: list[str], issuer: Issuer
) -> None:
    for number in range(ROUNDS):
        words = [*ask, "--scope", f"openid r{number}"]
        command = [sys.executable, "-m", "banno_creds", *words]
        with ExitStack() as stack:
            started = [
                stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
                for _ in range(PROCESSES)
            ]
            said = {(*process.communicate(timeout=120), process.returncode) for process in started}
        [(out, err, code)] = said
        assert (code, err) == (0, b"")
        assert out.startswith(b"openidr")
        assert len(issuer.forms) == number + 1
        assert not any(path.suffix in (".lock", ".tmp") for path in folder.iterdir())
