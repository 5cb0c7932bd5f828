"""A real Redis: one for the session, emptied for each test, and others that a test may kill or pause."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.conftest import debian_missing, skip_without
from tests.needs import REDIS
from tests.servers.redis import Between, Redis
from tests.servers.tls import make_authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.tls import Authority


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what talks to Redis."""
    for item in items:
        if _talks(item):
            item.add_marker(pytest.mark.once)
            item.add_marker(pytest.mark.posix("Redis is a program of POSIX systems"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose Redis is not installed, or fail it where nothing may be skipped."""
    if _talks(item):
        skip_without(debian_missing(REDIS))


def _talks(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return item.path.is_relative_to(Path(__file__).parent) and ("redis" in names or "new_redis" in names)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for the session's Redis."""
    return make_authority(tmp_path_factory.mktemp("redis-authority") / "ca")


@pytest.fixture(scope="session")
def _running_redis(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis"), authority) as running:
        yield running


@pytest.fixture
def redis(_running_redis: Redis) -> Redis:
    """The session's Redis, emptied, with no user but the default one, who needs no password."""
    _running_redis.reset()
    return _running_redis


@pytest.fixture
def new_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Redis]]:
    """Start a Redis of the test's own, which it may kill or pause; takes lines of its configuration."""
    running: list[Redis] = []

    def start(*options: str) -> Redis:
        running.append(Redis(tmp_path_factory.mktemp("redis"), options=options))
        running[-1].start()
        return running[-1]

    yield start
    for each in running:
        each.kill()


@pytest.fixture
def between(redis: Redis) -> Iterator[Between]:
    """A proxy before the session's Redis."""
    with Between(redis.port) as proxy:
        yield proxy
