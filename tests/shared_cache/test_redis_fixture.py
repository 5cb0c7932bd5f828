"""The Redis of these tests is a real one, and the proxy before it spoils what it is told to."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.servers.redis import RedisError, asked, running_sentinel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.redis import Between, Redis
    from tests.servers.tls import Authority

PING = b"*1\r\n$4\r\nPING\r\n"


def _pong(connection: socket.socket) -> bytes:
    connection.settimeout(20)
    connection.sendall(PING)
    return connection.recv(100)


def test_redis_listens_on_tcp_tls_and_a_unix_socket(redis: Redis, authority: Authority) -> None:
    assert redis("PING") == "PONG"
    context = ssl.create_default_context(cafile=authority.file)
    with (
        socket.create_connection(("127.0.0.1", redis.tls_port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert _pong(connection) == b"+PONG\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(redis.socket))
        assert _pong(connection) == b"+PONG\r\n"


def test_redis_has_users_who_may_do_what_they_were_allowed(redis: Redis) -> None:
    password = redis.user("runner", "~tokens:*", "+get")
    assert asked(redis.port, "ACL", "WHOAMI", password=None) == "default"
    with pytest.raises(RedisError, match="WRONGPASS"):
        asked(redis.port, "AUTH", "runner", password + "x")
    redis.reset()
    assert redis("ACL", "USERS") == ["default"]


def test_redis_that_is_full_takes_nothing_more(redis: Redis) -> None:
    redis.fill()
    with pytest.raises(RedisError, match=r"^OOM "):
        redis("SET", "a", "b")
    redis.reset()
    assert redis("SET", "a", "b") == "OK"


def test_dump_of_redis_has_names_and_values_as_they_are(redis: Redis) -> None:
    redis("SET", "a-name", "a-value " * 100)
    assert b"a-name" in redis.dump()
    assert b"a-value " * 100 in redis.dump()


def test_replica_takes_no_writes_until_it_is_promoted(redis: Redis, new_redis: Callable[..., Redis]) -> None:
    redis("SET", "a", "b")
    replica = new_redis()
    replica.follow(redis)
    assert replica("GET", "a") == "b"
    with pytest.raises(RedisError, match=r"^READONLY "):
        replica("SET", "a", "c")
    replica.promote()
    assert replica("SET", "a", "c") == "OK"


def test_sentinel_promotes_the_replica_of_a_killed_leader(tmp_path: Path, new_redis: Callable[..., Redis]) -> None:
    leader, replica = new_redis(), new_redis()
    replica.follow(leader)
    with running_sentinel(tmp_path, leader) as sentinel:
        assert sentinel.leader() == leader.port
        leader.kill()
        sentinel.wait_for(replica)
    assert replica("SET", "a", "c") == "OK"


def test_redis_that_was_killed_comes_back_empty(new_redis: Callable[..., Redis]) -> None:
    redis = new_redis()
    redis("SET", "a", "b")
    redis.kill()
    with pytest.raises(OSError, match="refused"):
        redis("PING")
    redis.start()
    assert redis.keys() == []


def test_redis_that_is_paused_accepts_and_says_nothing(new_redis: Callable[..., Redis]) -> None:
    redis = new_redis()
    redis.pause()
    with socket.create_connection(("127.0.0.1", redis.port)) as connection:
        connection.sendall(PING)
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        redis.resume()
        connection.settimeout(20)
        assert connection.recv(100) == b"+PONG\r\n"


def test_proxy_passes_on_and_spoils(between: Between) -> None:
    assert asked(between.port, "PING") == "PONG"
    between.spoil = lambda said: said.replace(b"PONG", b"GONE")
    assert asked(between.port, "PING") == "GONE"
    between.says(b"+SO\r\n")
    assert asked(between.port, "PING") == "SO"
    between.cut = 3
    with pytest.raises(ConnectionResetError):
        asked(between.port, "PING")
    between.cut = None
    between.take = lambda _: None
    with pytest.raises(ConnectionResetError):
        asked(between.port, "PING")
    assert between.sent[0] == PING
    assert between.connections == 5


def test_proxy_sets_the_clock_of_redis(redis: Redis, between: Between) -> None:
    between.set_clock(-3600)
    assert 3590 < int(redis("TIME")[0]) - int(asked(between.port, "TIME")[0]) < 3660


def test_proxy_swallows_and_delays(between: Between) -> None:
    between.swallow()
    with socket.create_connection(("127.0.0.1", between.port)) as connection:
        connection.settimeout(0.05)
        connection.sendall(PING)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        between.take = lambda said: said
        between.delay(0.1)
        connection.sendall(PING)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        connection.settimeout(20)
        assert connection.recv(100) == b"+PONG\r\n"
