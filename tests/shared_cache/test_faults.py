"""A Redis that is gone, slow, full, replaced or spoilt: a warning once, the local way, and never a wrong token."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from banno_creds.shared_cache import connection
from tests.conftest import Result
from tests.person import free_port
from tests.servers.redis import running_sentinel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Cli, How
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Between, Redis
    from tests.shared_cache.conftest import Machine

BULK = b"$%d\r\n%b\r\n"


def _goes_the_local_way(cli: Cli, env: dict[str, str], issuer: Issuer, *words: str) -> str:
    """Ask twice: each run warns once, and the second one has the first one's token from the machine's own folder."""
    asked = len(issuer.forms)
    first, second = (cli("token", env=env) for _ in range(2))
    assert (first.code, first.stdout) == (0, f"openid.{asked + 1}\n"), first.stderr
    assert (second.code, second.stdout) == (0, first.stdout), second.stderr
    assert len(issuer.forms) == asked + 1
    for result in (first, second):
        assert result.stderr.count("!   ") == 1, result.stderr
        assert all(word in result.stderr for word in words), result.stderr
        assert "openid." not in result.stderr
        assert "Traceback" not in result.stderr
    return first.stderr


# --- Gone, slow, and not what it should be --------------------------------------------------------------------------


def test_nobody_listens_there(cli: Cli, machine: Machine, issuer: Issuer, redis: Redis) -> None:
    del redis
    env = machine("a", CACHE_URL=f"redis://127.0.0.1:{free_port()}")
    _goes_the_local_way(cli, env, issuer, "shared cache", "refused")


def test_no_such_host_and_no_such_socket(cli: Cli, machine: Machine, issuer: Issuer, tmp_path: Path) -> None:
    _goes_the_local_way(cli, machine("a", CACHE_URL="redis://no-such-host.invalid"), issuer)
    _goes_the_local_way(cli, machine("b", CACHE_URL=f"unix://{tmp_path}/none.sock"), issuer)


def test_redis_that_was_killed_comes_back(
    cli: Cli, machine: Machine, issuer: Issuer, new_redis: Callable[..., Redis]
) -> None:
    redis = new_redis()
    assert cli("token", env=machine("a", CACHE_URL=redis.url)) == Result(0, "openid.1\n", "")
    redis.kill()
    _goes_the_local_way(cli, machine("b", CACHE_URL=redis.url), issuer)
    redis.start()
    assert cli("token", env=machine("c", CACHE_URL=redis.url)) == Result(0, "openid.3\n", "")
    assert cli("token", env=machine("d", CACHE_URL=redis.url)) == Result(0, "openid.3\n", "")


def test_redis_that_hangs_costs_seconds_and_no_token(
    cli: Cli, machine: Machine, issuer: Issuer, new_redis: Callable[..., Redis]
) -> None:
    redis = new_redis()
    redis.pause()
    began = time.monotonic()
    _goes_the_local_way(cli, machine("a", CACHE_URL=redis.url), issuer, "in time")
    assert time.monotonic() - began < 20  # two runs, some 2 s each
    redis.resume()
    assert cli("token", env=machine("b", CACHE_URL=redis.url)).stderr == ""


def test_host_that_takes_no_connection_is_waited_for_once(
    cli: Cli, machine: Machine, issuer: Issuer, redis: Redis
) -> None:
    del redis
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        place = full.getsockname()
        for _ in range(4):  # the system takes no more for it
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(place)
        began = time.monotonic()
        _goes_the_local_way(cli, machine("a", CACHE_URL=f"redis://127.0.0.1:{place[1]}"), issuer, "in time")
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",  # TLS's alert
        b"\0" * 1000,
        b"+OK\r\n" * 50,
        b"*-1\r\n" * 20,
        b"$-1\r\n" * 20,
        b":1\r\n" * 20,
        b"*2\r\n" * 1000,
        b"*1000000000\r\n",
        b"%1\r\n*0\r\n:1\r\n" * 20,
        b",inf\r\n" * 20,
        b"$1000000000\r\nabc",
        b"$-5\r\n",
        b"*3\r\n$3\r\nGET\r\n:1\r\n*0\r\n" * 10,
        b"-ERR \x1b[2J[bold]openid.1 \xff\r\n" * 20,
        b"-LOADING Redis is loading the dataset in memory\r\n" * 20,
        b"x" * 100_000,
    ],
    ids=lambda answer: repr(answer[:12]),
)
def test_answer_that_is_none(
    cli: Cli, machine: Machine, issuer: Issuer, between: Between, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_FIRST", 0.5)  # some are waited for
    between.says(answer)
    env = machine("a", CACHE_URL=between.url)
    asked = len(issuer.forms)
    result = cli("token", env=env)
    assert (result.code, result.stdout) == (0, f"openid.{asked + 1}\n"), result.stderr
    assert result.stderr.count("!   ") == 1, result.stderr
    assert "\x1b" not in result.stderr
    assert len(result.stderr) < 800


@pytest.mark.parametrize("spoilt", ["never answers", "hangs up", "cut short", "changed"])
@pytest.mark.parametrize("when", range(4))
def test_fault_in_the_middle_loses_no_token(
    cli: Cli,
    machine: Machine,
    issuer: Issuer,
    between: Between,
    spoilt: str,
    when: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answers before this one are Redis' own: the fault comes while a lock is held, or a token is to be kept."""
    if when == 0:
        monkeypatch.setattr(connection, "_FIRST", 0.5)  # nothing has to arrive
    seen = [0]

    def spoil(said: bytes) -> bytes | None:
        seen[0] += 1
        if seen[0] <= when:
            return said
        if spoilt == "never answers":
            return b""
        if spoilt == "hangs up":
            return None
        return said[:-3] if spoilt == "cut short" else bytes(byte ^ 1 for byte in said)

    between.spoil = spoil
    result = cli("token", env=machine("a", CACHE_URL=between.url))
    assert (result.code, result.stdout) == (0, "openid.1\n"), result.stderr
    assert result.stderr.count("!   ") <= 1, result.stderr
    assert len(issuer.forms) == 1


def test_slow_redis_is_used_as_long_as_it_answers_in_time(
    cli: Cli, machine: Machine, issuer: Issuer, between: Between
) -> None:
    between.delay(0.2)
    for name in ("a", "b"):
        assert cli("token", env=machine(name, CACHE_URL=between.url)) == Result(0, "openid.1\n", "")


def test_answer_that_trickles_has_an_end(cli: Cli, machine: Machine, issuer: Issuer, redis: Redis) -> None:
    """A byte now and then is no reason to wait for ever."""
    del redis
    with socket.create_server(("127.0.0.1", 0)) as listener:
        from threading import Thread

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.sendall(b"*1000\r\n")
                        for _ in range(600):
                            connection.sendall(b"$1\r\na\r\n")
                            time.sleep(0.05)

        Thread(target=trickle, daemon=True).start()
        began = time.monotonic()
        env = machine("a", CACHE_URL=f"redis://127.0.0.1:{listener.getsockname()[1]}")
        result = cli("token", env=env)
        assert (result.code, result.stdout, result.stderr.count("!   ")) == (0, "openid.1\n", 1)
        assert time.monotonic() - began < 10


# --- Full, evicting, read-only, failed over -------------------------------------------------------------------------


def test_full_redis(cli: Cli, machine: Machine, issuer: Issuer, redis: Redis) -> None:
    redis.fill()
    _goes_the_local_way(cli, machine("a"), issuer, "memory")


def test_redis_that_is_full_after_the_lock_was_taken(
    cli: Cli, machine: Machine, issuer: Issuer, redis: Redis
) -> None:
    """The token was granted, and cannot be kept there: this machine keeps it."""
    issuer.on_request = redis.fill
    first = cli("token", env=machine("a"))
    assert (first.code, first.stdout) == (0, "openid.1\n")
    assert first.stderr.count("!   ") == 1
    assert cli("token", env=machine("a")).stdout == "openid.1\n"
    assert len(issuer.forms) == 1


def test_redis_that_evicts_all_costs_a_request_and_nothing_else(
    cli: Cli, machine: Machine, issuer: Issuer, redis: Redis
) -> None:
    assert cli("token", env=machine("a")) == Result(0, "openid.1\n", "")
    redis("FLUSHALL")  # what an eviction leaves
    assert cli("token", env=machine("b")) == Result(0, "openid.2\n", "")
    redis.fill("allkeys-lru")
    result = cli("token", env=machine("c"))
    assert (result.code, result.stdout) == (0, "openid.3\n")


def test_lock_that_is_evicted_while_the_server_is_asked_loses_no_token(
    cli: Cli, machine: Machine, issuer: Issuer, redis: Redis
) -> None:
    issuer.on_request = lambda: redis("FLUSHALL")
    result = cli("token", env=machine("a"))
    assert (result.code, result.stdout) == (0, "openid.1\n")
    assert cli("token", env=machine("a")).code == 0


def test_replica_that_takes_no_writes(
    cli: Cli, machine: Machine, issuer: Issuer, redis: Redis, new_redis: Callable[..., Redis]
) -> None:
    replica = new_redis()
    replica.follow(redis)
    _goes_the_local_way(cli, machine("a", CACHE_URL=replica.url), issuer, "READONLY")


def test_token_is_there_after_a_failover(
    cli: Cli, machine: Machine, issuer: Issuer, new_redis: Callable[..., Redis], between: Between
) -> None:
    leader, replica = new_redis(), new_redis()
    between.target = leader.port
    assert cli("token", env=machine("a", CACHE_URL=between.url)) == Result(0, "openid.1\n", "")
    replica.follow(leader)
    leader.kill()
    replica.promote()
    between.target = replica.port  # as an address that moves
    assert cli("token", env=machine("b", CACHE_URL=between.url)) == Result(0, "openid.1\n", "")
    assert len(issuer.forms) == 1


def test_failover_while_the_server_is_asked_loses_no_token(
    cli: Cli, machine: Machine, issuer: Issuer, tmp_path: Path, new_redis: Callable[..., Redis], between: Between
) -> None:
    """The lock may be lost with the leader, or be there with another's name: the token is given out all the same."""
    leader, replica = new_redis(), new_redis()
    between.target = leader.port
    replica.follow(leader)
    with running_sentinel(tmp_path, leader) as sentinel:

        def fail_over() -> None:
            leader.kill()
            sentinel.wait_for(replica)
            between.target = replica.port

        issuer.on_request = fail_over
        result = cli("token", "--timeout", "60", env=machine("a", CACHE_URL=between.url))
        issuer.on_request = None
        assert (result.code, result.stdout) == (0, "openid.1\n")
        assert result.stderr.count("!   ") <= 1
        assert cli("token", "--timeout", "3", env=machine("b", CACHE_URL=between.url)).code == 0
        assert cli("token", env=machine("a", CACHE_URL=between.url)).code == 0


# --- What somebody else wrote ---------------------------------------------------------------------------------------


def _entry(redis: Redis) -> str:
    [key] = redis.keys()
    return key


def _changes() -> Iterator[tuple[str, Callable[[Redis, str], object]]]:
    def set_to(change: Callable[[bytes], bytes]) -> Callable[[Redis, str], object]:
        def write(redis: Redis, key: str) -> object:
            value = redis.raw("GET", key)
            return redis("SET", key, change(value), "KEEPTTL")

        return write

    yield "empty", set_to(lambda _: b"")
    yield "one byte", set_to(lambda value: value[:1])
    yield "short", set_to(lambda value: value[:-1])
    yield "long", set_to(lambda value: value + b"\0")
    yield "huge", set_to(lambda value: value * 3000)
    yield "first byte", set_to(lambda value: bytes([value[0] ^ 1]) + value[1:])
    yield "middle", set_to(lambda value: value[:40] + bytes([value[40] ^ 128]) + value[41:])
    yield "last byte", set_to(lambda value: value[:-1] + bytes([value[-1] ^ 1]))
    yield "text", set_to(lambda _: b'{"access_token": "stolen", "expires_in": 600}')
    yield "not UTF-8", set_to(lambda _: b"\xff\xfe" * 100)
    yield "a list", lambda redis, key: (redis("DEL", key), redis("RPUSH", key, "a"))
    yield "a hash", lambda redis, key: (redis("DEL", key), redis("HSET", key, "a", "b"))


CHANGES = dict(_changes())


@pytest.mark.parametrize("change", CHANGES)
def test_value_that_somebody_changed_is_no_token(
    cli: Cli, machine: Machine, issuer: Issuer, redis: Redis, change: str
) -> None:
    assert cli("token", env=machine("a")).stdout == "openid.1\n"
    CHANGES[change](redis, _entry(redis))
    result = cli("token", env=machine("b"))
    assert (result.code, result.stdout) == (0, "openid.2\n"), result.stderr
    assert result.stderr.count("!   ") == 1, result.stderr
    assert len(issuer.forms) == 2
    assert cli("token", env=machine("b")).stdout == "openid.2\n"


def test_value_under_another_name_is_no_token(cli: Cli, machine: Machine, issuer: Issuer, redis: Redis) -> None:
    assert cli("token", "--scope", "powerful", env=machine("a")).stdout == "powerful.1\n"
    powerful = _entry(redis)
    assert cli("token", "--scope", "weak", env=machine("a")).stdout == "weak.2\n"
    [weak] = set(redis.keys()) - {powerful}
    redis("SET", weak, redis.raw("GET", powerful), "KEEPTTL")
    result = cli("token", "--scope", "weak", env=machine("b"))
    assert (result.code, result.stdout) == (0, "weak.3\n")
    assert result.stderr.count("!   ") == 1


def test_old_value_that_somebody_put_back_is_no_token_once_it_has_ended(
    cli: Cli, machine: Machine, issuer: Issuer, redis: Redis, how: How
) -> None:
    issuer.expires_in = 90
    assert cli("token", env=machine("a")).stdout == "openid.1\n"
    key = _entry(redis)
    value = redis.raw("GET", key)
    redis("SET", key, value)  # for ever
    began = time.time()
    how.clock = lambda: began + 100
    assert cli("token", env=machine("b")).stdout == "openid.2\n"


# --- Clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [-86_400, -300, -110, -59, -20, 300, 86_400])
def test_clock_of_redis_gives_out_no_token_that_has_ended(
    cli: Cli, machine: Machine, issuer: Issuer, between: Between, how: How, apart: int
) -> None:
    """Redis' clock jumps after the token was kept, as with a failover to a machine whose clock is wrong."""
    env = machine("a", CACHE_URL=between.url)
    assert cli("token", env=env).stdout == "openid.1\n"
    between.set_clock(603 + apart)  # the token lives for 600
    began = time.time()
    how.clock = lambda: began + 603
    assert cli("token", "--min-ttl", "0", env=machine("b", CACHE_URL=between.url)).stdout == "openid.2\n"


@pytest.mark.parametrize("apart", [-86_400, -3_600, 3_600, 86_400])
def test_machine_with_a_wrong_clock_shares_tokens_all_the_same(
    cli: Cli, machine: Machine, issuer: Issuer, how: How, apart: int
) -> None:
    assert cli("token", env=machine("a")).stdout == "openid.1\n"
    how.clock = lambda: time.time() + apart
    result = cli("token", env=machine("b"))
    assert result.code == 0
    assert result.stdout in ("openid.1\n", "openid.2\n")
    assert len(issuer.forms) <= 2
