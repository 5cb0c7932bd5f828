"""The connections to a shared cache's server: few, shared, given up in time, and silent about the password."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from banno_creds import ClientConfig, KeySource, TokenPool, TokenSource
from banno_creds.config import Wanted
from banno_creds.serve.clients import Profiles
from banno_creds.shared_cache import store as store_module
from banno_creds.shared_cache.faults import StoreError
from banno_creds.shared_cache.store import Store
from banno_creds.steps import Run, Warned
from banno_creds.tokens import shared
from banno_creds.tokens.client_credentials import ClientCredentials
from tests.conftest import CLIENT_ID, write_private
from tests.person import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.steps import Step
    from tests.conftest import Cli
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Between, Redis
    from tests.shared_cache.conftest import Machine

PASSWORD = "not/a-real:password-of-anybody-0123456789"


@pytest.mark.usefixtures("folder")
def test_sources_of_a_pool_share_the_connections_of_a_shared_cache(
    between: Between, issuer: Issuer, ec_pem: Path
) -> None:
    def client(number: int) -> ClientConfig:
        key = KeySource.file(ec_pem)
        return ClientConfig(f"c-{number}", key, token_endpoint=issuer.url, cache_url=between.url)

    with TokenPool({f"bank-{number}": client(number) for number in range(30)}, rate=0) as pool:
        for _ in range(2):
            tokens = {pool.source(name).token(force_refresh=True).access_token for name in pool.names}
            assert len(tokens) == 30
        assert between.connections == 1
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: pool.source(name).token(force_refresh=True), pool.names))
        assert between.connections <= 16  # eight at once, each with one that renews its lock
    while between.open:
        time.sleep(0.01)


def test_sources_of_a_pool_tell_once_that_this_machine_has_no_cache_either(
    issuer: Issuer, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(ec_pem))  # no folder
    steps: list[Step] = []
    url = f"redis://127.0.0.1:{free_port()}"
    key = KeySource.file(ec_pem)
    clients = {
        f"bank-{number}": ClientConfig(f"c-{number}", key, token_endpoint=issuer.url, cache_url=url)
        for number in range(5)
    }
    with TokenPool(clients, rate=0, emit=steps.append) as pool:
        assert {pool.source(name).token().access_token for name in pool.names} == {f"openid.{n}" for n in range(1, 6)}
    told = [step.message for step in steps if isinstance(step, Warned)]
    assert [message.partition(" cannot be used")[0] for message in told] == [f"the shared cache {url}", "the cache"]


@pytest.mark.usefixtures("folder")
def test_sources_of_a_pool_tell_once_of_a_server_that_is_gone(redis: Redis, issuer: Issuer, ec_pem: Path) -> None:
    del redis
    steps: list[Step] = []
    url = f"redis://127.0.0.1:{free_port()}"
    clients = {
        f"bank-{number}": ClientConfig(
            f"c-{number}", KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=url
        )
        for number in range(10)
    }
    with TokenPool(clients, rate=0, emit=steps.append) as pool:
        assert len({pool.source(name).token().access_token for name in pool.names}) == 10
    assert len([step for step in steps if isinstance(step, Warned)]) == 1


@pytest.mark.usefixtures("folder")
def test_profiles_of_an_endpoint_share_the_connections_too(
    between: Between, issuer: Issuer, ec_pem: Path, tmp_path: Path
) -> None:
    settings = f"private_key = '{ec_pem}'\ntoken_endpoint = '{issuer.url}'\ncache_url = '{between.url}'\n"
    text = "".join(f"[profiles.bank-{n}]\nclient_id = 'c-{n}'\n{settings}" for n in range(5))
    profiles = Profiles(write_private(tmp_path / "config.toml", text.encode()))
    for number in range(5):
        client = profiles.find(f"bank-{number}")
        assert client is not None
        client.obtain()
    assert between.connections == 1


@pytest.mark.usefixtures("folder")
def test_running_source_goes_on_with_a_password_that_was_changed(
    redis: Redis, issuer: Issuer, ec_pem: Path, tmp_path: Path
) -> None:
    steps: list[Step] = []
    file = write_private(tmp_path / "password", redis.user("runner", "allkeys", "+@all").encode())
    url = f"redis://runner@127.0.0.1:{redis.port}"
    key = KeySource.file(ec_pem)
    config = ClientConfig("c", key, token_endpoint=issuer.url, cache_url=url, cache_password_file=file)
    source = TokenSource(config, emit=steps.append)
    source.token()
    file.write_text(redis.user("runner", "allkeys", "+@all"))
    redis("CLIENT", "KILL", "USER", "runner")
    source.token(force_refresh=True)
    assert TokenSource(config).token().access_token == "openid.2"
    assert not [step for step in steps if isinstance(step, Warned)]


def test_connection_that_was_idle_for_long_is_not_trusted_to_be_there(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(between.url)
    assert store.get(("PING",)) == store.get(("PING",))
    assert between.connections == 1
    monkeypatch.setattr(store_module, "_MOST_IDLE_SECONDS", 0)
    between.take = lambda said: said if between.connections > 1 else b""  # as a firewall that has forgotten it
    assert store.get(("PING",))
    assert between.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        b"-ERR unknown command `AUTH`, with args beginning with: `%b`, \r\n",
        b"-%b is no password\r\n",
        b"-WRONGPASS not%%2Fa-real%%3Apassword-of-anybody-0123456789 %b\r\n",
        b"-ERR unknown command, with args beginning with: `%.24b\r\n",
    ],
)
def test_server_that_repeats_the_password_is_not_repeated(
    cli: Cli, machine: Machine, between: Between, tmp_path: Path, said: bytes
) -> None:
    file = write_private(tmp_path / "password", PASSWORD.encode())
    between.says(said % PASSWORD.encode() * 3)  # no answer is waited for
    env = machine("a", CACHE_URL=between.url, CACHE_PASSWORD_FILE=file)
    for command in (["token", "-v"], ["cache", "list"]):
        result = cli(*command, env=env)
        assert "password-of-anybody" not in result.stdout + result.stderr
        assert "not/a-real" not in result.stdout + result.stderr
        assert "not%2Fa" not in result.stdout + result.stderr


@pytest.mark.usefixtures("folder")
def test_lock_is_renewed_again_after_the_server_failed_once(
    between: Between, redis: Redis, issuer: Issuer, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_RENEWED", 0.01)
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=between.url)
    issuer.gate.clear()
    thread = threading.Thread(target=TokenSource(config).token)
    thread.start()
    issuer.wait_for(1)
    between.take = lambda _: None
    failed = between.connections
    while between.connections < failed + 2:
        time.sleep(0.01)
    between.take = lambda said: said
    renewed = redis.calls().get("pexpire", 0)
    while redis.calls().get("pexpire", 0) < renewed + 2:
        time.sleep(0.01)
    issuer.gate.set()
    thread.join()
    assert len(redis.keys()) == 1


@pytest.mark.usefixtures("folder")
def test_slow_answer_makes_a_token_older_and_not_younger(
    redis: Redis, issuer: Issuer, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.expires_in = 60
    later = 0.0
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=redis.url)
    credentials = ClientCredentials(config)
    run = Run(clock=lambda: time.time() + later)
    assert credentials.obtain(credentials.open_cache(), Wanted(min_ttl=0), run).expires_in == 60
    ask = Store.ask

    def ask_slowly(store: Store, *commands: tuple[str, ...]) -> list[object]:
        nonlocal later
        answers = ask(store, *commands)
        later += 1  # in which the answer is on its way
        return answers

    monkeypatch.setattr(Store, "ask", ask_slowly)
    token = credentials.obtain(credentials.open_cache(), Wanted(min_ttl=0), run)
    assert token.access_token == "openid.1"
    assert token.raw["expires_in"] <= 58


@pytest.mark.parametrize(
    "answer", [b"*2\r\n+x\r\n+y\r\n", b"*1\r\n:1\r\n", b"*2\r\n*0\r\n:1\r\n", b":1\r\n", b"$-1\r\n"]
)
def test_time_that_is_none_is_an_error(between: Between, answer: bytes) -> None:
    between.says(answer)
    with pytest.raises(StoreError, match="no Redis"):
        store_module.read_time(Store(between.url).ask(("TIME",))[0])
