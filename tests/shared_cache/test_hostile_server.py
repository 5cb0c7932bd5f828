"""A Redis whose owner is an enemy: times that are none, endless lists, and words that repeat a password."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Between, Redis
    from tests.shared_cache.conftest import Machine

TIME = re.compile(rb"\*2\r\n\$10\r\n\d{10}\r\n\$\d\r\n\d+\r\n")
NO_TIMES = {
    "of many digits": b"*2\r\n$400\r\n" + b"9" * 400 + b"\r\n$1\r\n0\r\n",
    "too late": b"*2\r\n$12\r\n999999999999\r\n$1\r\n0\r\n",
    "negative": b"*2\r\n$3\r\n-10\r\n$1\r\n0\r\n",
    "infinite": b"*2\r\n,inf\r\n:0\r\n",
    "of nothing": b"*2\r\n$-1\r\n$-1\r\n",
    "of words": b"*2\r\n$3\r\nnow\r\n$1\r\n0\r\n",
    "of one part": b"*1\r\n$10\r\n1790000000\r\n",
}


@pytest.mark.parametrize("answer", NO_TIMES.values(), ids=NO_TIMES)
def test_time_that_is_none(cli: Cli, machine: Machine, issuer: Issuer, between: Between, answer: bytes) -> None:
    assert cli("token", env=machine("a")).code == 0
    between.spoil = lambda said: TIME.sub(lambda _: answer, said)
    env = machine("b", CACHE_URL=between.url)
    result = cli("token", env=env)
    assert (result.code, result.stdout, result.stderr.count("!   ")) == (0, "openid.2\n", 1), result.stderr
    assert len(issuer.forms) == 2
    assert cli("cache", "list", env=env).code == 5
    assert cli("doctor", env=env).code == 0


def test_memory_of_many_digits(cli: Cli, machine: Machine, between: Between) -> None:
    between.spoil = lambda said: re.sub(
        rb"\$\d+\r\n# Server.*", b"$423\r\nused_memory:" + b"9" * 411 + b"\r\n", said, flags=re.DOTALL
    )
    found = json.loads(cli("doctor", "-o", "json", env=machine("a", CACHE_URL=between.url)).stdout)["findings"]
    [memory] = [each for each in found if each["looks_at"] == "memory"]
    assert memory["verdict"] == "unknown"


def test_endless_list_of_names_has_an_end(cli: Cli, machine: Machine, between: Between) -> None:
    pages = itertools.count()

    def spoil(_: bytes) -> bytes:
        names = (b"banno-creds:{%064x}:lock" % (next(pages)) for _ in range(9_000))
        return b"*2\r\n$1\r\n7\r\n*9000\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in names)

    between.spoil = spoil
    result = cli("cache", "list", env=machine("a", CACHE_URL=between.url))
    assert result.code == 5
    assert "too many entries" in result.stderr
    assert next(pages) < 300_000


@pytest.mark.parametrize("given_by", ["file", "variable"])
def test_redis_without_auth_repeats_no_password(
    cli: Cli, machine: Machine, new_redis: Callable[..., Redis], tmp_path: Path, given_by: str
) -> None:
    """It says which command it does not know, and what came with it."""
    password = "correct-horse-battery"
    url = new_redis('rename-command AUTH ""').url
    if given_by == "file":
        file = write_private(tmp_path / "password", f"{password}\n".encode())
        env = machine("a", CACHE_URL=url, CACHE_PASSWORD_FILE=file)
    else:
        env = machine("a", CACHE_URL=url.replace("//", f"//runner:{password}@"))
    for command in (("token",), ("token", "-vv"), ("cache", "list"), ("doctor",), ("doctor", "-o", "json")):
        result = cli(*command, env=env)
        assert "echoes the password" in result.stdout + result.stderr
        assert "battery" not in result.stdout + result.stderr


def test_slow_answers_about_a_lock_that_is_never_free_count_as_waiting(
    cli: Cli, machine: Machine, issuer: Issuer, redis: Redis, between: Between
) -> None:
    assert cli("token", env=machine("a")).stdout == "openid.1\n"
    [name] = redis.keys()
    redis("DEL", name)
    redis("SET", f"{name}:lock", "somebody")
    between.delay(0.4)
    result = cli("token", "--timeout", "2", env=machine("b", CACHE_URL=between.url))
    assert (result.code, result.stdout) == (0, "openid.2\n"), result.stderr
    assert len(between.sent) < 24
    assert len(issuer.forms) == 2
