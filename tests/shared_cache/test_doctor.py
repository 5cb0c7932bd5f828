"""``banno-creds doctor`` looks at the shared cache: a rule for each fault, and none of them stops a token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.rules.findings import Rule
from tests.conftest import CLIENT_ID, write_private
from tests.person import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.servers.redis import Between, Redis
    from tests.servers.tls import Authority
    from tests.shared_cache.conftest import Machine

COMMANDS = ("get", "set", "del", "pexpire", "time", "eval", "scan", "info")
ALLOWED = ["resetkeys", "~banno-creds:*", "-@all", *(f"+{command}" for command in COMMANDS)]


def _found(cli: Cli, env: dict[str, str], *more: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """Return the findings about the shared cache, by what they look at."""
    result = cli("doctor", "-o", "json", *more, env=env)
    everything = json.loads(result.stdout)
    assert (result.code, everything["exit_code"]) == (code, code), result.stdout
    return {each["looks_at"]: each for each in everything["findings"] if each["rule"].startswith("cache.")}


def _warned(found: dict[str, dict[str, Any]]) -> list[str]:
    for each in found.values():
        assert (each["fix"] == "") == (each["verdict"] not in ("warn", "fail"))
    return [each["rule"] for each in found.values() if each["verdict"] == "warn"]


def test_all_is_well(cli: Cli, machine: Machine, redis: Redis) -> None:
    result = cli("doctor", env=machine("a"))
    assert result.code == 0
    part = result.stdout.partition("\nShared cache\n")[2].partition("\n\n")[0]
    assert [line[:1] for line in part.split("\n")] == ["✓"] * 6
    for words in (
        "from the file",
        f"{redis.url} · ",
        "none is given, and none is wanted",
        "all that is needed",
        "no limit",
    ):
        assert words in part
    assert redis.keys() == []  # the trial is over, and the token was not to be kept
    assert _warned(_found(cli, machine("a"))) == []


def test_nothing_is_said_where_there_is_no_shared_cache(cli: Cli, machine: Machine, redis: Redis) -> None:
    del redis
    assert "Shared cache" not in cli("doctor", env=machine("a", CACHE_URL="")).stdout


def test_offline_the_server_is_not_asked(cli: Cli, machine: Machine, between: Between) -> None:
    found = _found(cli, machine("a", CACHE_URL=between.url), "--offline")
    assert found["connection"]["verdict"] == "unknown"
    assert found["secret"]["verdict"] == "pass"
    assert between.connections == 0


def test_no_secret_and_an_encrypted_key_is_a_fault(
    cli: Cli, machine: Machine, tmp_path: Path, ec_key: keys.PrivateKey, redis: Redis
) -> None:
    del redis
    key = write_private(tmp_path / "encrypted.pem", ec_key.pem(b"passphrase"))
    passphrase = write_private(tmp_path / "passphrase", b"passphrase\n")
    env = machine("a", PRIVATE_KEY=key, PASSPHRASE_FILE=passphrase)
    del env["BANNO_CREDS_CACHE_SECRET_FILE"]
    found = _found(cli, env, code=2)
    assert (found["settings"]["rule"], found["settings"]["verdict"]) == (Rule.CACHE_SECRET, "fail")
    short = write_private(tmp_path / "short.secret", b"short\n")
    found = _found(cli, machine("b", CACHE_SECRET_FILE=short), code=2)
    assert "has 5 bytes" in found["settings"]["received"]
    assert "banno-creds explain cache.secret" in cli("token", env=machine("b", CACHE_SECRET_FILE=short)).stderr


def test_settings_show_neither_user_nor_password_nor_files(cli: Cli, machine: Machine, redis: Redis) -> None:
    password = redis.user("runner", *ALLOWED)
    url = f"redis://runner:{password}@127.0.0.1:{redis.port}"
    result = cli("doctor", "-o", "json", env=machine("a", CACHE_URL=url))
    assert password not in result.stdout + result.stderr
    shown = {each["name"]: each["value"] for each in json.loads(result.stdout)["settings"]}
    assert shown["cache-url"] == redis.url
    assert shown["cache-secret-file"] == "(given, not shown)"


# --- The way there --------------------------------------------------------------------------------------------------


def test_unreachable(cli: Cli, machine: Machine, redis: Redis) -> None:
    del redis
    env = machine("a", CACHE_URL=f"redis://127.0.0.1:{free_port()}")
    assert _warned(_found(cli, env)) == [Rule.CACHE_UNREACHABLE]
    result = cli("doctor", env=env)
    assert "!   connection" in result.stdout
    assert "Nothing would be refused; look at the warnings: cache.unreachable, " in result.stdout


def test_tls(cli: Cli, machine: Machine, redis: Redis, authority: Authority) -> None:
    good = _found(cli, machine("a", CACHE_URL=f"{redis.tls_url}?ssl_ca_certs={authority.file}"))
    assert (good["TLS"]["verdict"], good["TLS"]["rule"]) == ("pass", Rule.CACHE_TLS)
    assert _warned(_found(cli, machine("a", CACHE_URL=redis.tls_url))) == [Rule.CACHE_TLS]
    no_tls = machine("a", CACHE_URL=f"rediss://localhost:{redis.port}?ssl_ca_certs={authority.file}")
    assert _warned(_found(cli, no_tls)) == [Rule.CACHE_TLS]


def test_plaintext_to_another_machine(
    cli: Cli, machine: Machine, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "cache.bank.test" and kwargs.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return real("127.0.0.1" if host == "cache.bank.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    found = _found(cli, machine("a", CACHE_URL=f"redis://cache.bank.test:{redis.port}"))
    assert _warned(found) == [Rule.CACHE_PLAINTEXT]


def test_another_program_answers(cli: Cli, machine: Machine, between: Between) -> None:
    between.says(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert _warned(_found(cli, machine("a", CACHE_URL=between.url))) == [Rule.CACHE_ANSWER]


@pytest.mark.parametrize("answer", [b"+OK\r\n" * 9, b"$-1\r\n" * 9, b"*0\r\n" * 9, b":1\r\n" * 9], ids=repr)
def test_answers_that_mean_nothing(cli: Cli, machine: Machine, between: Between, answer: bytes) -> None:
    between.says(answer)
    assert Rule.CACHE_ANSWER in _warned(_found(cli, machine("a", CACHE_URL=between.url)))


# --- Users ----------------------------------------------------------------------------------------------------------


def test_wrong_password_and_none(cli: Cli, machine: Machine, new_redis: Callable[..., Redis], tmp_path: Path) -> None:
    redis = new_redis()
    redis.user("runner", *ALLOWED)
    file = write_private(tmp_path / "password", b"wrong-password\n")
    url = f"redis://runner@127.0.0.1:{redis.port}"
    wrong = _found(cli, machine("a", CACHE_URL=url, CACHE_PASSWORD_FILE=file))
    assert _warned(wrong) == [Rule.CACHE_PASSWORD]
    assert "wrong-password" not in json.dumps(wrong)
    redis("CONFIG", "SET", "requirepass", "a-password")
    assert _warned(_found(cli, machine("a", CACHE_URL=redis.url))) == [Rule.CACHE_PASSWORD]


def test_user_with_the_documented_rules_may_do_all(cli: Cli, machine: Machine, redis: Redis) -> None:
    password = redis.user("runner", *ALLOWED)
    env = machine("a", CACHE_URL=f"redis://runner:{password}@127.0.0.1:{redis.port}")
    found = _found(cli, env)
    assert _warned(found) == []
    assert found["password"]["received"] == "taken, of runner"


@pytest.mark.parametrize("missing", COMMANDS)
def test_command_that_the_user_may_not_use_is_named(cli: Cli, machine: Machine, redis: Redis, missing: str) -> None:
    password = redis.user("runner", *(rule for rule in ALLOWED if rule != f"+{missing}"))
    env = machine("a", CACHE_URL=f"redis://runner:{password}@127.0.0.1:{redis.port}")
    found = _found(cli, env)
    if missing == "info":
        assert found["memory"]["verdict"] == "unknown"
    else:
        assert _warned(found) == [Rule.CACHE_PERMISSION]
        assert missing.upper() in json.dumps(found).upper()
    # The token comes all the same; what only the other commands use is not missed.
    result = cli("token", env=env)
    assert result.code == 0
    assert result.stderr.count("!   ") == (missing not in ("scan", "info", "pexpire")), result.stderr


def test_names_that_the_user_may_not_use(cli: Cli, machine: Machine, redis: Redis) -> None:
    password = redis.user("runner", "~other:*", "+@all")
    env = machine("a", CACHE_URL=f"redis://runner:{password}@127.0.0.1:{redis.port}")
    assert _warned(_found(cli, env)) == [Rule.CACHE_PERMISSION]


# --- What it is -----------------------------------------------------------------------------------------------------


def test_full_and_evicting(cli: Cli, machine: Machine, redis: Redis) -> None:
    redis.fill()
    assert _warned(_found(cli, machine("a"))) == [Rule.CACHE_FULL, Rule.CACHE_FULL]
    redis.fill("allkeys-lru")
    assert Rule.CACHE_EVICTION in _warned(_found(cli, machine("a")))
    redis("CONFIG", "SET", "maxmemory", "1gb")
    found = _found(cli, machine("a"))
    assert _warned(found) == []
    assert "of 1024 MiB" in found["memory"]["received"]


def test_replica(cli: Cli, machine: Machine, redis: Redis, new_redis: Callable[..., Redis]) -> None:
    replica = new_redis()
    replica.follow(redis)
    found = _found(cli, machine("a", CACHE_URL=replica.url))
    assert _warned(found) == [Rule.CACHE_REPLICA, Rule.CACHE_REPLICA]


def test_part_of_a_cluster(cli: Cli, machine: Machine, new_redis: Callable[..., Redis], redis: Redis) -> None:
    del redis
    part = new_redis("cluster-enabled yes", f"cluster-port {free_port()}")
    found = _found(cli, machine("a", CACHE_URL=part.url))
    assert _warned(found) == [Rule.CACHE_CLUSTER, Rule.CACHE_CLUSTER]
    result = cli("token", env=machine("a", CACHE_URL=part.url))
    assert (result.code, result.stderr.count("!   ")) == (0, 1)


@pytest.mark.parametrize(("apart", "words"), [(-3600, "1 h behind"), (3600, "1 h ahead of")])
def test_clock(cli: Cli, machine: Machine, between: Between, apart: int, words: str) -> None:
    between.set_clock(apart)
    found = _found(cli, machine("a", CACHE_URL=between.url))
    assert _warned(found) == [Rule.CACHE_CLOCK]
    assert words in found["clock"]["received"]


def test_error_of_another_kind(cli: Cli, machine: Machine, between: Between) -> None:
    between.says(b"-LOADING Redis is loading the dataset in memory\r\n" * 9)
    found = _found(cli, machine("a", CACHE_URL=between.url))
    assert _warned(found) == [Rule.CACHE_REFUSED]
    assert "LOADING" in found["connection"]["received"]


def test_bundle_for_support_names_no_secret(cli: Cli, machine: Machine, redis: Redis, tmp_path: Path) -> None:
    password = redis.user("runner", *ALLOWED)
    url = f"redis://runner:{password}@127.0.0.1:{redis.port}"
    file = tmp_path / "bundle.md"
    assert cli("doctor", "--bundle", str(file), env=machine("a", CACHE_URL=url)).code == 0
    text = file.read_text()
    assert password not in text
    assert CLIENT_ID in text
    assert redis.url in text
