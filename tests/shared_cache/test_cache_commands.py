"""``banno-creds cache`` where machines share one: what is in it, and how to be rid of it."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.cli.profile_list import Seen
from banno_creds.client_authentication import private_key
from banno_creds.shared_cache.faults import SlowError
from banno_creds.tokens import shared_entries
from tests.conftest import CLIENT_ID, Result, write_private
from tests.person import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli, How
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Between, Redis
    from tests.shared_cache.conftest import Machine


def _listed(cli: Cli, env: dict[str, str], *more: str) -> list[dict[str, Any]]:
    result = cli("cache", "list", "-o", "json", *more, env=env)
    assert result.code == 0, result.stderr
    listed: list[dict[str, Any]] = json.loads(result.stdout)
    return listed


def test_list_says_what_is_shared_and_never_a_token(cli: Cli, machine: Machine, redis: Redis, issuer: Issuer) -> None:
    assert cli("token", env=machine("a")).code == 0
    issuer.refuse()
    assert cli("token", "--scope", "other", env=machine("a")).code == 4
    result = cli("cache", "list", env=machine("b"))
    assert (result.code, result.stderr) == (0, "")
    lines = [CLIENT_ID, f"    shared, in {redis.url}", f"    {issuer.url}", "    scope openid", "    good for "]
    assert "\n".join(lines) in result.stdout
    assert "    scope other\n    no token: the server refused the client" in result.stdout
    assert "openid.1" not in result.stdout
    listed = _listed(cli, machine("c"))
    good, refused = sorted(listed, key=lambda each: str(each["state"]))
    assert {each["key"] for each in listed} == set(redis.keys())
    assert {each["server"] for each in listed} == {redis.url}
    assert not any("file" in each for each in listed)
    assert (good["state"], good["client_id"], good["scope"]) == ("good", CLIENT_ID, ["openid"])
    assert 590 <= good["seconds_left"] <= 600
    assert refused["state"] == "none"
    assert refused["refused_seconds_ago"] in range(25)


def test_list_has_this_machines_own_entries_first(cli: Cli, machine: Machine, redis: Redis) -> None:
    env = machine("a")
    assert cli("token", env={**env, "BANNO_CREDS_CACHE_URL": ""}).code == 0
    assert cli("token", env=env).code == 0
    mine, shared = _listed(cli, env)
    assert mine["file"].endswith(".json")
    assert shared["server"] == redis.url


def test_another_secret_opens_nothing(cli: Cli, machine: Machine, redis: Redis, tmp_path: Path) -> None:
    other = write_private(tmp_path / "other.secret", b"another secret, of more than 16 bytes")
    assert cli("token", env=machine("a")).code == 0
    env = machine("b", CACHE_SECRET_FILE=other)
    words = "In the shared cache is one entry that this secret does not open.\n"
    assert cli("cache", "list", env=env) == Result(0, "", words)
    assert _listed(cli, env) == []
    result = cli("cache", "clear", env=env)
    assert result.code == 0
    assert f"Removed 0 entries from the shared cache {redis.url}.\n" in result.stderr
    assert words in result.stderr
    assert len(redis.keys()) == 1


def test_clear_removes_from_both(cli: Cli, machine: Machine, redis: Redis, issuer: Issuer) -> None:
    env = machine("a")
    for number in range(3):
        assert cli("token", "--scope", f"s{number}", env=env).code == 0
    assert cli("token", env={**env, "BANNO_CREDS_CACHE_URL": ""}).code == 0
    redis("SET", "somebody-elses", "1")
    redis("SET", "banno-creds:{other}", "1")
    result = cli("cache", "clear", env=env)
    assert (result.code, result.stdout) == (0, "")
    assert result.stderr.startswith(
        f"Removed 1 entry from the cache.\nRemoved 3 entries from the shared cache {redis.url}.\n"
    )
    assert redis.keys() == ["banno-creds:{other}", "somebody-elses"]
    assert cli("token", env=machine("b")).stdout == "openid.5\n"


def test_a_mistake_removes_nothing(cli: Cli, machine: Machine, tmp_path: Path) -> None:
    env = machine("a", CACHE_URL="")
    assert cli("token", env=env).code == 0
    result = cli("cache", "clear", "--cache-url", "redis://u:not-a-real-password@h", env=env)
    assert result.code == 2
    assert "not-a-real-password" not in result.stderr
    nowhere = {"BANNO_CREDS_CACHE_URL": "redis://127.0.0.1:1", "BANNO_CREDS_CACHE_SECRET_FILE": str(tmp_path / "no")}
    for wrong in ({"BANNO_CREDS_CACHE_URL": "http://h"}, nowhere):
        assert cli("cache", "clear", env={**env, **wrong}).code == 2
    assert "Removed 1 entry from the cache." in cli("cache", "clear", env=env).stderr


def test_clear_of_a_profile_leaves_the_others(
    cli: Cli, machine: Machine, redis: Redis, issuer: Issuer, tmp_path: Path, secret: Path
) -> None:
    config = tmp_path / "config.toml"
    settings = f'token_endpoint = "{issuer.url}"\ncache_url = "{redis.url}"\ncache_secret_file = "{secret}"\n'
    other = "00000000-4e9a-482e-b980-b10308aa428a"
    profiles = {"acme": CLIENT_ID, "other": other}
    config.write_text(
        "".join(f'[profiles.{name}]\nclient_id = "{client}"\n{settings}' for name, client in profiles.items())
    )
    key = {"BANNO_CREDS_PRIVATE_KEY": machine("a")["BANNO_CREDS_PRIVATE_KEY"], "BANNO_CREDS_CONFIG": str(config)}
    for name in ("acme", "other"):
        assert cli("token", "--profile", name, env=key).code == 0
    result = cli("cache", "clear", "--profile", "acme", env=key)
    assert f"Removed 1 entry from the shared cache {redis.url}.\n" in result.stderr
    assert [each["client_id"] for each in _listed(cli, key, "--profile", "acme")] == [other]


def test_key_opens_what_it_sealed(cli: Cli, machine: Machine, redis: Redis, rsa_pem: Path) -> None:
    env = machine("a")
    del env["BANNO_CREDS_CACHE_SECRET_FILE"]
    assert cli("token", env=env).code == 0
    [listed] = _listed(cli, env)
    assert (listed["state"], listed["server"]) == ("good", redis.url)
    env["BANNO_CREDS_PRIVATE_KEY"] = str(rsa_pem)
    assert _listed(cli, env) == []
    del env["BANNO_CREDS_PRIVATE_KEY"]
    words = "In the shared cache is one entry that a secret opens: --cache-secret-file FILE, or --profile NAME.\n"
    for command in ("list", "clear"):
        assert words in cli("cache", command, env=env).stderr


def test_thousand_entries_are_listed_and_cleared(cli: Cli, machine: Machine, redis: Redis, issuer: Issuer) -> None:
    env = machine("a")
    assert cli("token", env=env).code == 0
    [key] = redis.keys()
    for number in range(1100):
        redis("SET", f"banno-creds:{{{number:064x}}}", "x" * 2000)
        redis("SET", f"banno-creds:{{{number:064x}}}:lock", "x")
    assert [each["key"] for each in _listed(cli, env)] == [key]
    result = cli("cache", "clear", env=env)
    assert "Removed 1 entry from the shared" in result.stderr
    assert "1100 entries that this secret does not open" in result.stderr
    assert len(redis.keys()) == 2200


@pytest.mark.parametrize("command", ["list", "clear"])
def test_server_that_cannot_be_used_is_an_error(cli: Cli, machine: Machine, command: str, redis: Redis) -> None:
    del redis
    env = machine("a", CACHE_URL=f"redis://127.0.0.1:{free_port()}")
    result = cli("cache", command, env=env)
    assert (result.code, result.stdout) == (5, "")
    assert "The shared cache redis://127.0.0.1:" in result.stderr
    assert "banno-creds explain cache.unreachable" in result.stderr


@pytest.mark.parametrize(
    "answer",
    [
        b"*2\r\n:0\r\n*0\r\n",
        b"*2\r\n$1\r\n0\r\n*1\r\n:7\r\n",
        b"*2\r\n$1\r\n0\r\n$1\r\na\r\n",
        b"$1\r\n0\r\n",
        b"+OK\r\n",
    ],
    ids=repr,
)
def test_answer_that_is_no_list_of_names(cli: Cli, machine: Machine, between: Between, answer: bytes) -> None:
    between.says(answer)
    result = cli("cache", "list", env=machine("a", CACHE_URL=between.url))
    assert result.code == 5
    assert "is no Redis or Valkey server" in result.stderr


def test_file_of_profiles_that_is_broken_keeps_nobody_from_clearing(
    cli: Cli, machine: Machine, tmp_path: Path, redis: Redis
) -> None:
    del redis
    config = tmp_path / "config.toml"
    config.write_text("[broken")
    env = machine("a", CACHE_URL="", CONFIG=config)
    result = cli("cache", "clear", env=env)
    assert result.code == 0
    assert "Removed 0 entries from the cache.\n" in result.stderr


# --- The list of profiles -------------------------------------------------------------------------------------------


def _until(cli: Cli, config: Path, env: dict[str, str]) -> dict[str, int | None]:
    result = cli("profile", "list", "-l", "--config", config, "-o", "json", env=env)
    assert (result.code, result.stderr) == (0, "")
    return {each["name"]: each["token_until"] for each in json.loads(result.stdout)["profiles"]}


@pytest.mark.parametrize("by_variable", [True, False])
def test_the_long_list_of_profiles_knows_what_another_machine_got(
    cli: Cli, machine: Machine, redis: Redis, tmp_path: Path, how: How, *, by_variable: bool
) -> None:
    """Profile `c` seals with its own key, where no secret is given; `b` asks for another scope."""
    env = machine("a")
    own = {name: env[f"BANNO_CREDS_{name}"] for name in ("CLIENT_ID", "PRIVATE_KEY", "TOKEN_ENDPOINT")}
    if not by_variable:
        own |= {"CACHE_URL": redis.url}
    lines = "".join(f"{name.lower()} = {json.dumps(value)}\n" for name, value in own.items())
    secret = f"cache_secret_file = {json.dumps(env['BANNO_CREDS_CACHE_SECRET_FILE'])}\n" if not by_variable else ""
    config = write_private(
        tmp_path / "p.toml",
        f'[profiles.a]\n{lines}{secret}\n[profiles.b]\nscope = "x"\n{lines}{secret}\n[profiles.c]\n{lines}\n'
        f'[profiles.d]\nclient_id = "none"\n'.encode(),
    )
    there = {"BANNO_CREDS_CACHE_DIR": str(tmp_path / "a")}
    if by_variable:
        there |= {name: env[name] for name in ("BANNO_CREDS_CACHE_URL", "BANNO_CREDS_CACHE_SECRET_FILE")}
    here = {**there, "BANNO_CREDS_CACHE_DIR": str(tmp_path / "b")}
    assert _until(cli, config, here) == {"a": None, "b": None, "c": None, "d": None}
    began = time.time()
    assert cli("token", "--profile", "a", "--config", config, env=there).code == 0
    if not by_variable:
        assert cli("token", "--profile", "c", "--config", config, env=there).code == 0
    found = _until(cli, config, here)
    assert {name for name, until in found.items() if until is not None} == {"a", "c"}
    assert all(until is None or began + 590 <= until <= time.time() + 600 for until in found.values())
    how.clock = lambda: time.time() + 700  # a clock that is ahead of the server's
    assert set(_until(cli, config, here).values()) == {None}


@pytest.mark.parametrize(("here", "shared", "told"), [(9, 20, 20), (20, 9, 20), (9, None, 9), (None, 9, 9)])
def test_of_two_caches_the_long_list_tells_of_the_longer_life(
    here: int | None, shared: int | None, told: int
) -> None:
    client: Any = SimpleNamespace(name="a", client_id="c", token_endpoint="https://x.test", issuer=None)
    seen = object.__new__(Seen)
    seen._until = {} if here is None else {("c", "https://x.test", None): here}
    seen._shared = {} if shared is None else {"a": shared}
    assert seen.until(client) == told


def test_the_long_list_takes_each_setting_of_a_shared_cache_for_itself(
    cli: Cli, machine: Machine, redis: Redis, tmp_path: Path
) -> None:
    """The profile names the server, and a variable the secret, as for `token`."""
    env = machine("a")
    names = ("CLIENT_ID", "PRIVATE_KEY", "TOKEN_ENDPOINT")
    own = {name: env[f"BANNO_CREDS_{name}"] for name in names} | {"CACHE_URL": redis.url}
    lines = "".join(f"{name.lower()} = {json.dumps(value)}\n" for name, value in own.items())
    config = write_private(tmp_path / "p.toml", f"[profiles.a]\n{lines}".encode())
    there = {name: env[name] for name in ("BANNO_CREDS_CACHE_DIR", "BANNO_CREDS_CACHE_SECRET_FILE")}
    assert cli("token", "--profile", "a", "--config", config, env=there).code == 0
    assert _until(cli, config, {**there, "BANNO_CREDS_CACHE_DIR": str(tmp_path / "b")})["a"] is not None


def test_the_long_list_of_profiles_is_there_without_the_shared_cache(
    cli: Cli, machine: Machine, tmp_path: Path, ec_pem: Path
) -> None:
    client = f'client_id = "c"\nprivate_key = {json.dumps(str(ec_pem))}\n'
    config = write_private(tmp_path / "p.toml", f"[profiles.a]\n{client}[profiles.b]\n{client}".encode())
    url = f"redis://127.0.0.1:{free_port()}"
    result = cli("profile", "list", "-l", "--config", config, env=machine("a", CACHE_URL=url))
    assert result.code == 0
    assert result.stdout.count("token      none in the cache\n") == 2
    assert result.stderr.startswith(f"!   The shared cache {url} cannot be used: ")
    assert result.stderr.count("!") == 1
    short = cli(
        *("profile", "list", "-l", "--config", config),
        env=machine("a", CACHE_SECRET_FILE=write_private(tmp_path / "short", b"short\n")),
    )
    assert (short.code, short.stderr.count("!   The cache secret in ")) == (0, 1)


def test_the_long_list_is_there_without_the_certificate_for_the_shared_cache(
    cli: Cli, machine: Machine, between: Between, tmp_path: Path, ec_pem: Path
) -> None:
    client = f'client_id = "c"\nprivate_key = {json.dumps(str(ec_pem))}\n'
    config = write_private(tmp_path / "p.toml", f"[profiles.a]\n{client}".encode())
    url = f"{between.url.replace('redis', 'rediss')}?ssl_certfile={tmp_path}/missing"
    result = cli("profile", "list", "-l", "--config", config, env=machine("a", CACHE_URL=url))
    assert result.code == 0
    assert "token      none in the cache\n" in result.stdout
    assert "!   The certificate that cache_url names by ssl_certfile cannot be used" in result.stderr


@pytest.mark.posix("a pipe with a name")
def test_the_long_list_of_profiles_reads_no_pipe(
    cli: Cli, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for whoever writes there."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    read = list[object]()

    def read_key(source: object) -> private_key.KeyRead:
        read.append(source)
        return private_key.KeyRead(b"")

    monkeypatch.setattr(private_key, "read_key", read_key)
    config = write_private(tmp_path / "p.toml", b"[profiles.a]\nclient_id = 'c'\nprivate_key = 'pipe'\n")
    result = cli("profile", "list", "-l", "--config", config, env=machine("a", CACHE_URL="redis://127.0.0.1:1"))
    assert (result.code, result.stderr, read) == (0, "", [])


def test_the_long_list_of_profiles_reads_the_clients_that_may_have_a_shared_cache(
    cli: Cli, tmp_path: Path, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read a thousand takes a tenth of a second."""
    read = list[str]()

    def read_clients(names: list[str], _: object) -> dict[str, object]:
        read.extend(names)
        return {}

    monkeypatch.setattr("banno_creds.profiles.client.read_clients", read_clients)
    client = f'client_id = "c"\nprivate_key = {json.dumps(str(ec_pem))}\n'
    own = f'[profiles.a]\n{client}[profiles.b]\n{client}cache_url = "redis://127.0.0.1:1"\n'
    config = write_private(tmp_path / "p.toml", own.encode())
    assert cli("profile", "list", "-l", "--config", config).code == 0
    assert read == ["b"]
    env = {"BANNO_CREDS_CACHE_URL": "redis://127.0.0.1:1"}
    assert cli("profile", "list", "-l", "--config", config, env=env).code == 0
    assert read == ["b", "a", "b"]


def test_a_shared_cache_that_answers_slowly_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hundred of the requests is another question."""
    now, asked = [0.0], list[int]()

    def ask(*commands: tuple[str, ...]) -> list[object]:
        asked.append(len(commands))
        now[0] += 3
        return [[b"1", b"0"], *[None] * (len(commands) - 1)]

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    seal = SimpleNamespace(name=str)
    cache: Any = SimpleNamespace(seal_of=lambda _: seal, store=SimpleNamespace(ask=ask))
    requests: Any = [SimpleNamespace(name=str(number)) for number in range(250)]
    assert shared_entries.read_of(cache, requests, 9.0) == [None] * 250
    assert asked == [101, 101, 51]
    with pytest.raises(SlowError, match="within 4 s"):
        shared_entries.read_of(cache, requests, 4.0)
    assert asked[3:] == [101, 101]
