"""docs/shared-cache.md: its commands run, its user may do what it says and no more, and its tables are true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds import TokenSource
from banno_creds.cache_address import check_cache_url, read_cache_url
from banno_creds.cli.main import cli as program
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Rule
from tests.conftest import CLIENT_ID, has_mode, write_private
from tests.docs.scripts import run_script
from tests.servers.redis import RedisError, asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Redis
    from tests.shared_cache.conftest import Machine

PAGE = (Path(__file__).parents[2] / "docs" / "shared-cache.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
_, MAKE, USE, ADD_USER, LOOK = [text for language, text in BLOCKS if language == "sh"]
CERTIFICATES, CONFIGURATION = [text for language, text in BLOCKS if language == "text"]
[PYTHON] = [text for language, text in BLOCKS if language == "python"]
PASSWORD = "one-of-this-test-alone"


def _redis_cli(folder: Path, redis: Redis) -> dict[str, str]:
    """Return the variables with which redis-cli talks to this server."""
    (folder / "bin").mkdir()
    (folder / "bin" / "redis-cli").write_text(f'#!/bin/sh\nexec /usr/bin/redis-cli -p {redis.port} "$@"\n')
    (folder / "bin" / "redis-cli").chmod(0o755)
    return {"PATH": f"{folder}/bin:/usr/bin:/bin"}


def _add_user(folder: Path, redis: Redis) -> str:
    """Run the page's line for the administrator; return the address of its user."""
    write_private(folder / "cache-password", PASSWORD.encode())
    done = run_script(folder, ADD_USER, _redis_cli(folder, redis))
    assert (done.returncode, done.stdout) == (0, "OK\nOK\n")
    return f"redis://runner@127.0.0.1:{redis.port}"


def test_user_of_the_page_may_do_all_that_is_needed_and_no_more(
    cli: Cli, machine: Machine, redis: Redis, tmp_path: Path, issuer: Issuer
) -> None:
    env = machine("a", CACHE_URL=_add_user(tmp_path, redis), CACHE_PASSWORD_FILE=tmp_path / "cache-password")
    redis("SET", "another-program's", "1")
    for _ in range(2):
        result = cli("token", env=env)
        assert (result.code, result.stdout, result.stderr) == (0, "openid.1\n", "")
    issuer.refuse()
    assert cli("token", "--scope", "other", env=env).code == 4
    assert "cache." not in [line[20:26] for line in cli("doctor", env=env).stdout.split("\n") if line[:1] in "!✗"]
    assert "good for" in cli("cache", "list", env=env).stdout
    assert "Removed 2 entries from the shared" in cli("cache", "clear", env=env).stderr
    for words in (
        ("GET", "another-program's"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
    ):
        with pytest.raises(RedisError, match="NOPERM"):
            asked(redis.port, *words, user="runner", password=PASSWORD)


def test_line_for_the_administrator_is_that_of_the_rule() -> None:
    line = re.search(r"redis-cli ACL SETUSER .*", EXPLANATIONS[Rule.CACHE_PERMISSION].more)
    assert line is not None
    assert ADD_USER.startswith(line[0])


def test_database_of_its_own(cli: Cli, machine: Machine, redis: Redis, tmp_path: Path) -> None:
    url = f"{_add_user(tmp_path, redis)}/7"
    env = machine("a", CACHE_URL=url, CACHE_PASSWORD_FILE=tmp_path / "cache-password")
    assert cli("token", env=env).stderr == ""
    assert cli("cache", "list", env=env).stdout.startswith(CLIENT_ID)
    assert redis.keys() == []


def test_secret_and_variables(machine: Machine, redis: Redis, tmp_path: Path, issuer: Issuer) -> None:
    done = run_script(tmp_path, MAKE, {})
    assert done.returncode == 0, done.stdout
    assert has_mode(tmp_path / "cache.secret", 0o600)
    url = _add_user_elsewhere(tmp_path, redis)
    script = USE.replace("rediss://runner@cache.example", url).replace("/run/secrets", str(tmp_path))
    env = machine("a")
    del env["BANNO_CREDS_CACHE_URL"], env["BANNO_CREDS_CACHE_SECRET_FILE"]
    done = run_script(tmp_path, script, env)
    assert (done.returncode, done.stdout) == (0, "openid.1\n")
    assert len(redis.keys()) == 1
    done = run_script(tmp_path, script.replace("banno-creds token\n", LOOK), env)
    assert done.returncode == 0, done.stdout
    assert f"    shared, in redis://127.0.0.1:{redis.port}\n" in done.stdout
    assert "Removed 1 entry from the shared cache" in done.stdout
    assert "\nShared cache\n✓   secret" in done.stdout


def _add_user_elsewhere(folder: Path, redis: Redis) -> str:
    home = folder / "administrator"
    home.mkdir()
    url = _add_user(home, redis)
    (home / "cache-password").rename(folder / "cache-password")
    return url


def test_python(redis: Redis, issuer: Issuer, ec_pem: Path, secret: Path, tmp_path: Path) -> None:
    url = _add_user(tmp_path, redis)
    program = PYTHON.replace('"private.pem"', repr(str(ec_pem))).replace("rediss://runner@cache.example", url)
    program = program.replace("/run/secrets/cache-password", str(tmp_path / "cache-password"))
    program = program.replace("/run/secrets/cache.secret", str(secret))
    program = program.replace("    cache_url=", f"    token_endpoint={issuer.url!r},\n    cache_url=")
    names: dict[str, object] = {}
    exec(program, names)
    source = names["source"]
    assert isinstance(source, TokenSource)
    assert source.token().access_token == "openid.1"
    assert len(redis.keys()) == 1


def test_configuration_of_a_server_for_this_alone(new_redis: Callable[..., Redis], redis: Redis) -> None:
    del redis
    running = new_redis(*CONFIGURATION.strip().split("\n"))
    assert running("CONFIG", "GET", "maxmemory-policy") == ["maxmemory-policy", "noeviction"]
    assert running("CONFIG", "GET", "maxmemory") == ["maxmemory", str(64 * 1024 * 1024)]


def test_addresses_and_options_are_real() -> None:
    for url in (CERTIFICATES.strip(), "rediss://runner@cache.example"):
        check_cache_url(url)
    address = read_cache_url(CERTIFICATES.strip())
    assert (address.authorities, address.key) == ("/etc/ssl/cache-ca.pem", "/run/secrets/runner.key")
    options = set(re.findall(r"`(--[a-z-]+)", PAGE))
    known = {name for command in ("token", "cache") for name in _options(command)}
    assert options - known == set()
    rules = set(re.findall(r"#cache([a-z]+)\)", PAGE))
    assert {f"cache.{name}" for name in rules} <= set(Rule)


def _options(name: str) -> set[str]:
    import click

    command = program.get_command(click.Context(program), name)
    assert command is not None
    commands = [command, *getattr(command, "commands", {}).values()]
    return {option for each in commands for parameter in each.params for option in parameter.opts}


def test_entry_takes_what_the_page_says(cli: Cli, machine: Machine, redis: Redis) -> None:
    assert cli("token", env=machine("a")).code == 0
    [key] = redis.keys()
    assert redis("MEMORY", "USAGE", key) < 2200  # "some 2 KB"
