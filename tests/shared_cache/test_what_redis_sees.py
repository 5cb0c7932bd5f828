"""Nothing that Redis keeps, is sent or logs tells anything; passwords and secrets are in no message either."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.conftest import CLIENT_ID, Result, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Between, Redis
    from tests.servers.tls import Authority
    from tests.shared_cache.conftest import Machine


def _telling(issuer: Issuer, *files: Path) -> set[bytes]:
    """What must not be seen, as it is, as base64 and in hexadecimal."""
    words = [CLIENT_ID, CLIENT_ID.replace("-", ""), urlsplit(issuer.url).netloc, urlsplit(issuer.url).path]
    words += ["access_token", "openid", "client_id", "invalid_client", "authentication failed", "https:", "http:"]
    found = {word.encode() for word in words} | {line.strip() for file in files for line in file.read_bytes().split()}
    found -= {word for word in found if len(word) < 5}
    return found | {b64encode(word).rstrip(b"=")[:-1] for word in found} | {word.hex().encode() for word in found}


def test_nothing_is_readable_in_a_dump_of_redis(
    cli: Cli, machine: Machine, redis: Redis, issuer: Issuer, secret: Path, ec_pem: Path
) -> None:
    assert cli("token", env=machine("a")) == Result(0, "openid.1\n", "")
    issuer.refuse()
    assert cli("token", "--scope", "openid other", env=machine("a")).code == 4
    dump = redis.dump()
    assert dump.count(b"banno-creds:{") == 2  # it is a dump of what was kept, and not compressed
    assert [word for word in _telling(issuer, secret, ec_pem) if word in dump] == []


def test_nothing_is_readable_on_the_way(
    cli: Cli, machine: Machine, between: Between, issuer: Issuer, secret: Path, ec_pem: Path
) -> None:
    heard: list[bytes] = []

    def hear(said: bytes) -> bytes:
        heard.append(said)
        return said

    between.spoil = hear
    for name in ("a", "b"):
        assert cli("token", env=machine(name, CACHE_URL=between.url)).code == 0
    way = b"".join([*between.sent, *heard])
    assert len(way) > 2000
    assert [word for word in _telling(issuer, secret, ec_pem) if word in way] == []


def test_names_and_values_tell_nothing_of_what_they_are_of(
    cli: Cli, machine: Machine, redis: Redis, issuer: Issuer
) -> None:
    """The same request has another name under another secret, and another value each time; lengths are padded."""
    values = []
    for length in (1, 150):
        issuer.refuse()  # its words have the scope in them, which makes the values differ in length
        cli("token", "--scope", "s" * length, env=machine("a"))
    issuer.failure = None
    for _ in range(2):
        assert cli("token", "--force-refresh", env=machine("a")).code == 0
        kept = redis.keys()
        values += [redis.raw("GET", key) for key in kept]
    assert all(re.fullmatch(r"banno-creds:\{[0-9a-f]{64}\}", key) for key in kept)
    assert len({value[:13] for value in values}) == 4  # of the six, two were seen twice: no nonce comes again
    assert {len(value) % 1024 for value in values} == {1 + 12 + 16}  # the form, the nonce, the tag


def test_derived_secret_is_of_one_private_key(
    cli: Cli, machine: Machine, redis: Redis, issuer: Issuer, ec_pem: Path
) -> None:
    env = [machine(name) for name in ("a", "b")]
    for each in env:
        del each["BANNO_CREDS_CACHE_SECRET_FILE"]
        assert cli("token", env=each) == Result(0, "openid.1\n", "")
    dump = redis.dump()
    key = b64decode(b"".join(ec_pem.read_bytes().split(b"\n")[1:-2]))
    assert key[40:60] not in dump
    assert [word for word in _telling(issuer, ec_pem) if word in dump] == []


# --- Passwords ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_by", ["file", "variable"])
def test_password_lets_in_and_is_told_to_nobody(
    cli: Cli, machine: Machine, redis: Redis, tmp_path: Path, given_by: str
) -> None:
    password = redis.user("runner", "~banno-creds:*", "+@all")
    redis("ACL", "SETUSER", "default", "off")
    try:
        if given_by == "file":
            file = write_private(tmp_path / "password", f"{password}\n".encode())
            more: dict[str, str | Path] = {"CACHE_URL": f"redis://runner@127.0.0.1:{redis.port}"}
            more["CACHE_PASSWORD_FILE"] = file
        else:
            more = {"CACHE_URL": f"redis://runner:{password}@127.0.0.1:{redis.port}"}
        first = cli("token", "-vv", env=machine("a", **more))
        assert (first.code, first.stdout) == (0, "openid.1\n"), first.stderr
        assert cli("token", env=machine("b", **more)) == Result(0, "openid.1\n", "")
        assert password not in first.stderr
        wrong = {name: str(value).replace(password, "wrong-password") for name, value in more.items()}
        if given_by == "file":
            write_private(tmp_path / "password", b"wrong-password\n")
        result = cli("token", env=machine("c", **wrong))
        assert (result.code, result.stdout) == (0, "openid.2\n")
        assert "WRONGPASS" in result.stderr
        assert result.stderr.count("!   ") == 1
        assert "wrong-password" not in result.stderr
    finally:
        # The administrator's own connections are made without a password.
        _switch_on(redis, password)


def _switch_on(redis: Redis, password: str) -> None:
    from tests.servers.redis import asked

    asked(redis.port, "ACL", "SETUSER", "default", "on", user="runner", password=password)


def test_password_in_an_option_or_a_profile_is_refused_and_not_shown(
    cli: Cli, machine: Machine, tmp_path: Path
) -> None:
    url = "redis://runner:a-password@127.0.0.1:1"
    result = cli("token", "--cache-url", url, env=machine("a"))
    assert result.code == 2
    assert "a-password" not in result.stderr
    assert "--cache-password-file" in result.stderr
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.acme]\nclient_id = "{CLIENT_ID}"\ncache_url = "{url}"\n')
    result = cli("token", "--profile", "acme", "--config", config, env=machine("a"))
    assert result.code == 2
    assert "a-password" not in result.stderr


def test_what_is_wrong_with_a_certificate_sends_no_password(
    cli: Cli, machine: Machine, redis: Redis, issuer: Issuer
) -> None:
    """Nobody vouches for it here: the run goes on without the shared cache."""
    url = redis.tls_url.replace("rediss://", "rediss://runner:a-password@")
    redis("CONFIG", "RESETSTAT")
    result = cli("token", env=machine("a", CACHE_URL=url))
    assert (result.code, result.stdout) == (0, "openid.1\n")
    assert result.stderr.count("!   ") == 1
    assert "certificate" in result.stderr
    assert "auth" not in redis.calls()
    assert len(issuer.forms) == 1


@pytest.mark.posix("all of 127.0.0.0/8 is this machine")
def test_name_in_the_certificate_is_compared(cli: Cli, machine: Machine, redis: Redis, authority: Authority) -> None:
    for host, words in (("127.0.0.1", ""), ("127.0.0.2", "its certificate is not trusted: IP address mismatch")):
        url = f"rediss://{host}:{redis.tls_port}?ssl_ca_certs={authority.file}"
        result = cli("token", env=machine(host, CACHE_URL=url))
        assert result.code == 0
        assert words in result.stderr
        assert bool(words) == bool(result.stderr)
