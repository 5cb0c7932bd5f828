"""Held keys from Python: threads, tasks, forks, copies, and the auth for httpx."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from banno_creds import (
    BearerAuth,
    ClientConfig,
    ConfigurationError,
    KeyLoadError,
    KeySource,
    SigningError,
    TokenSource,
)
from tests.conftest import CLIENT_ID
from tests.servers.token_bank import TokenBank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def bank() -> Iterator[TokenBank]:
    with TokenBank() as running:
        yield running


def _config(bank: TokenBank, uri: str) -> ClientConfig:
    return ClientConfig(CLIENT_ID, KeySource.at(uri), token_endpoint=f"{bank.origin}/token")


def test_many_threads_ask_once_by_one_source(bank: TokenBank, toy_ec: str) -> None:
    source, tokens = TokenSource(_config(bank, toy_ec), on_disk=False), []
    threads = [threading.Thread(target=lambda: tokens.append(source.token().access_token)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(tokens) == 16
    assert len(set(tokens)) == 1


def test_sources_in_threads_sign_at_the_same_time(bank: TokenBank, toy_ec: str, toy_rsa: str) -> None:
    tokens: list[str] = []

    def ask(uri: str) -> None:
        tokens.append(TokenSource(_config(bank, uri), on_disk=False).token().access_token)

    threads = [threading.Thread(target=ask, args=(uri,)) for uri in (toy_ec, toy_rsa) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(tokens) == 16


def test_tasks_of_an_event_loop(bank: TokenBank, toy_ec: str) -> None:
    source = TokenSource(_config(bank, toy_ec), on_disk=False)

    async def ask() -> set[str]:
        return {response.access_token for response in await asyncio.gather(*(source.async_token() for _ in range(8)))}

    assert len(asyncio.run(ask())) == 1


def test_the_auth_for_httpx(bank: TokenBank, toy_ec: str) -> None:
    auth = BearerAuth(TokenSource(_config(bank, toy_ec), on_disk=False), origin=bank.origin)
    with httpx.Client(auth=auth, trust_env=False) as client:
        assert client.get(f"{bank.origin}/api").request.headers["authorization"].startswith("Bearer ")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_and_pickles_name_the_key_and_hold_nothing_of_it(
    bank: TokenBank, toy_ec: str, again: Callable[[object], object]
) -> None:
    config = _config(bank, toy_ec)
    assert again(config) == config
    source = again(TokenSource(config, on_disk=False))
    assert isinstance(source, TokenSource)
    assert source.token().access_token


@pytest.mark.parametrize(("fault", "error"), [("lost", KeyLoadError), ("gone", SigningError), ("salt", SigningError)])
def test_a_holder_that_fails_is_an_error_each_time_and_no_request(
    bank: TokenBank, toy_rsa: str, fault: str, error: type[Exception]
) -> None:
    source = TokenSource(_config(bank, f"{toy_rsa}?{fault}"), on_disk=False)
    for _ in range(2):
        with pytest.raises(error):
            source.token()
    assert bank.attempts == 0


def test_a_uri_is_no_file_and_a_path_is_no_uri() -> None:
    assert KeySource.at("vault:transit/key").path is None
    assert KeySource.at("./vault:transit").uri is None
    with pytest.raises(ConfigurationError):
        KeySource("a key", uri=7)  # type: ignore[arg-type]


FORKS = """
import os, signal, sys, threading
from banno_creds import ClientConfig, KeySource, TokenSource

uri, endpoint, at = sys.argv[1:]
importing, forking = threading.Event(), threading.Event()

class Watch:
    def find_spec(self, name, *_):
        if name == at and threading.current_thread() is not threading.main_thread():
            importing.set()
            forking.wait(0.3)  # the fork begins while this module is imported

sys.meta_path.insert(0, Watch())
source = TokenSource(ClientConfig("a", KeySource.at(uri), token_endpoint=endpoint), on_disk=False)
thread = threading.Thread(target=source.token)
thread.start()
assert importing.wait(60), at
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if source.token().access_token else 1)
thread.join()
again = os.fork()
if again == 0:
    signal.alarm(60)
    os._exit(0 if source.token(force_refresh=True).access_token else 1)
sys.exit(any(os.waitpid(each, 0)[1] for each in (child, again)))
"""


@pytest.mark.posix("processes fork")
@pytest.mark.parametrize("module", ["banno_creds.key_holders.held_key", "toykeys", "imported_late"])
def test_a_fork_while_a_holder_is_imported_leaves_a_child_that_works(
    bank: TokenBank, toy_ec: str, install: Callable[..., Path], tmp_path: Path, module: str
) -> None:
    """The last one is imported when the key signs for the first time."""
    place = tmp_path / "site-packages"
    (place / "imported_late.py").write_text("")
    code = (place / "toykeys.py").read_text()
    (place / "toykeys.py").write_text(
        code.replace(
            "def sign(self, alg, signing_input):\n",
            "def sign(self, alg, signing_input):\n        import imported_late\n",
        )
    )
    program = [sys.executable, "-W", "ignore", "-c", FORKS, toy_ec, f"{bank.origin}/token", module]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
