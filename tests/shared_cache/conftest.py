"""A real Redis: one for the session, emptied for each test, and others that a test may kill or pause."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.conftest import CLIENT_ID, write_private
from tests.interop.conftest import debian_missing, skip_without
from tests.needs import REDIS
from tests.runs import running
from tests.servers.redis import Between, Redis
from tests.servers.tls import make_authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.processes import Nursery
    from tests.runs import Runs
    from tests.servers.issuer import Issuer
    from tests.servers.tls import Authority


class Machine(Protocol):
    """Gives the environment of a machine, by its name: a folder of its own, and the cache that all share."""

    def __call__(self, name: str, **variables: str | Path) -> dict[str, str]: ...


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


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The file of the secret that all machines have."""
    return write_private(tmp_path / "cache.secret", base64.b64encode(secrets.token_bytes(32)) + b"\n")


@pytest.fixture
def machine(tmp_path: Path, redis: Redis, issuer: Issuer, ec_pem: Path, secret: Path) -> Machine:
    """All machines are the same client, with the same key."""

    def environment(name: str, **variables: str | Path) -> dict[str, str]:
        values = {
            "CACHE_DIR": tmp_path / name,
            "CACHE_URL": redis.url,
            "CACHE_SECRET_FILE": secret,
            "CLIENT_ID": CLIENT_ID,
            "PRIVATE_KEY": ec_pem,
            "TOKEN_ENDPOINT": issuer.url,
        }
        return {f"BANNO_CREDS_{each}": str(value) for each, value in {**values, **variables}.items()}

    return environment


@pytest.fixture
def runs(nursery: Nursery, tmp_path: Path) -> Iterator[Runs]:
    """What starts processes."""
    nursery.prepare()
    with running(nursery, tmp_path / "said") as runs:
        yield runs
