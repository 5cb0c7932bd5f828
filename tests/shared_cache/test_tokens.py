"""`token` with a shared cache: which token it gives, what it costs the bank, what it says of a server that fails."""

from __future__ import annotations

import json
import pickle
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds import ClientConfig, ConfigurationError, KeySource, RefusedError, TokenSource
from banno_creds.shared_cache import connection
from banno_creds.shared_cache.store import Store
from banno_creds.steps import WaitingForAnother, Warned, ignore
from banno_creds.tokens import shared
from tests.conftest import CLIENT_ID, instead, write_private
from tests.servers.redis import Redis, asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from banno_creds.jose import keys
    from banno_creds.steps import Step
    from tests.conftest import Cli, How
    from tests.oidc import Tool
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Between
    from tests.servers.tls import Authority

SECRET = b"not-a-real-secret-not-a-real-secret\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Be on another machine: nothing in this one's cache is there."""

    def be_on(name: str) -> None:
        monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / f"cache-of-{name}"))

    be_on("a")
    return be_on


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return write_private(tmp_path / "cache.secret", SECRET)


@pytest.mark.parametrize("way", ["url", "tls_url", "unix_url"])
def test_machines_share_a_token(
    cli: Cli,
    ask: list[str],
    redis: Redis,
    issuer: Issuer,
    machine: Callable[[str], None],
    authority: Authority,
    way: str,
) -> None:
    url = getattr(redis, way) + (f"?ssl_ca_certs={authority.file}" if way == "tls_url" else "")
    tokens = []
    for name in ("a", "b", "c"):
        machine(name)
        result = cli(*ask, "--cache-url", url)
        assert (result.code, result.stderr) == (0, "")
        tokens.append(result.stdout)
    assert tokens == ["openid.1\n"] * 3
    assert len(issuer.forms) == 1
    assert len(redis.keys()) == 1  # the lock is free


def test_shared_token_is_not_kept_on_the_machine(
    cli: Cli, ask: list[str], redis: Redis, tmp_path: Path, machine: Callable[[str], None]
) -> None:
    assert cli(*ask, "--cache-url", redis.url).code == 0
    assert not (tmp_path / "cache-of-a").exists()


@pytest.mark.usefixtures("machine")
def test_other_failures_are_for_those_alone_who_waited(
    cli: Cli, ask: list[str], redis: Redis, issuer: Issuer, pauses: list[float]
) -> None:
    issuer.failure = 500, {}
    assert cli(*ask, "--cache-url", redis.url).code == 5
    issuer.failure = None
    assert cli(*ask, "--cache-url", redis.url).stdout.startswith("openid.")


@pytest.mark.usefixtures("machine")
def test_password_comes_from_a_file_or_the_variable(
    cli: Cli, ask: list[str], redis: Redis, tmp_path: Path, issuer: Issuer
) -> None:
    password = redis.user("runner", "~banno-creds:*", "+get", "+set", "+del", "+time", "+eval", "+pexpire")
    file = write_private(tmp_path / "redis.password", f"{password}\n".encode())
    with_user = redis.url.replace("//", "//runner@")
    with_password = redis.url.replace("//", f"//runner:{password}@")
    given = cli(*ask, "--cache-url", with_user, "--cache-password-file", file)
    assert (given.stdout, given.stderr) == ("openid.1\n", "")
    in_variable = cli(*ask, env={"BANNO_CREDS_CACHE_URL": with_password})
    assert (in_variable.stdout, in_variable.stderr) == ("openid.1\n", "")
    refused = cli(*ask, "--cache-url", with_password)
    assert refused.code == 2
    assert password not in refused.stderr
    assert "--cache-password-file" in refused.stderr
    assert len(issuer.forms) == 1


@pytest.mark.usefixtures("machine")
def test_wrong_password_is_a_warning(cli: Cli, ask: list[str], redis: Redis) -> None:
    redis("CONFIG", "SET", "requirepass", "not-a-real-password")
    try:
        result = cli(*ask, env={"BANNO_CREDS_CACHE_URL": redis.url.replace("//", "//:wrong-one@")})
        missing = cli(*ask, env={"BANNO_CREDS_CACHE_URL": redis.url})
    finally:
        asked(redis.port, "CONFIG", "SET", "requirepass", "", password="not-a-real-password")
    assert (result.code, result.stdout) == (0, "openid.1\n")
    assert "WRONGPASS" in result.stderr
    assert "wrong-one" not in result.stderr
    assert (missing.code, missing.stdout) == (0, "openid.1\n")  # this machine's cache
    assert "NOAUTH" in missing.stderr


@pytest.mark.usefixtures("machine")
def test_token_is_kept_here_if_the_server_fails_after_the_bank_was_asked(
    cli: Cli, ask: list[str], redis: Redis, issuer: Issuer, between: Between
) -> None:
    issuer.gate.clear()

    def spoil(said: bytes) -> bytes | None:
        return None if issuer.forms else said

    between.spoil = spoil
    issuer.gate.set()
    assert cli(*ask, "--cache-url", between.url).stdout == "openid.1\n"
    again = cli(*ask, "--cache-url", between.url)
    assert again.stdout == "openid.1\n"
    assert len(issuer.forms) == 1


PARAMETERS = b"-----BEGIN DH PARAMETERS-----\nMAYCAQMCAQI=\n-----END DH PARAMETERS-----\n"


@pytest.mark.parametrize(
    ("before", "label"),
    [(b"", b"ENCRYPTED PRIVATE KEY"), (b"", b"PRIVATE KEY"), (PARAMETERS, b"ENCRYPTED PRIVATE KEY")],
    ids=["its label", "a wrong label", "after something else"],
)
@pytest.mark.usefixtures("machine")
def test_encrypted_key_wants_a_secret(
    cli: Cli,
    ask: list[str],
    redis: Redis,
    tmp_path: Path,
    ec_key: keys.PrivateKey,
    secret: Path,
    before: bytes,
    label: bytes,
) -> None:
    pem = before + ec_key.pem(b"passphrase").replace(b"ENCRYPTED PRIVATE KEY", label)
    key = write_private(tmp_path / "encrypted.pem", pem)
    file = write_private(tmp_path / "passphrase", b"passphrase")
    words = [*instead(ask, "--private-key", key), "--cache-url", redis.url, "--passphrase-file", str(file)]
    result = cli(*words)
    assert result.code == 2
    assert "--cache-secret-file" in result.stderr
    assert redis.keys() == []
    assert cli(*words, "--cache-secret-file", secret).code == 0


@pytest.mark.usefixtures("machine")
def test_resolver_that_hangs_is_a_warning(cli: Cli, ask: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, done = socket.getaddrinfo, threading.Event()

    def hang(host: str, *args: Any, **options: Any) -> Any:
        if host == "cache.test" and "flags" not in options:
            done.wait(60)
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(connection, "_FIRST", 0.2)
    result = cli(*ask, "--cache-url", "redis://cache.test")
    done.set()
    assert (result.code, result.stdout) == (0, "openid.1\n")
    assert "cannot be used: no connection in time" in result.stderr


@pytest.mark.usefixtures("machine")
def test_held_key_wants_a_secret(cli: Cli, ask: list[str]) -> None:
    words = [*instead(ask, "--private-key", "ssh-agent:SHA256:abc"), "--cache-url", "redis://127.0.0.1:1"]
    result = cli(*words)
    assert result.code == 2
    assert "--cache-secret-file" in result.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("", "its certificate is not trusted: "),
        ("?ssl_ca_certs={ca}", "TLS failed: |Connection reset by peer"),  # if its alert is overtaken by the end
        ("plain", "the port may not speak it"),
    ],
    ids=["untrusted", "no certificate of its own", "no TLS there"],
)
@pytest.mark.usefixtures("machine", "redis")
def test_tls_that_fails_is_a_warning(
    cli: Cli, ask: list[str], tmp_path: Path, authority: Authority, option: str, words: str
) -> None:
    with Redis(tmp_path, authority, ["tls-auth-clients yes"]) as redis:
        url = redis.tls_url + option.format(ca=authority.file)
        if option == "plain":
            url = redis.url.replace("redis:", "rediss:")
        result = cli(*ask, "--cache-url", url)
        assert (result.code, result.stdout) == (0, "openid.1\n")
        assert re.search(words, " ".join(result.stderr.split()))
        assert redis.keys() == []


@pytest.mark.usefixtures("machine", "redis")
def test_client_shows_a_certificate_of_its_own(
    cli: Cli, ask: list[str], tmp_path: Path, authority: Authority
) -> None:
    own = tmp_path / "client.pem"
    authority.ca.issue_cert("runner.bank.internal").private_key_and_cert_chain_pem.write_to_path(own)
    with Redis(tmp_path, authority, ["tls-auth-clients yes"]) as redis:
        url = f"{redis.tls_url}?ssl_ca_certs={authority.file}&ssl_certfile="
        assert cli(*ask, "--cache-url", url + str(own)).stderr == ""
        assert len(redis.keys()) == 1
        missing = cli(*ask, "--cache-url", f"{url}{tmp_path}/missing")
        assert missing.code == 2
        assert "ssl_certfile" in missing.stderr


@pytest.mark.usefixtures("machine", "redis")
def test_running_program_loses_no_token_while_its_certificate_is_replaced(
    issuer: Issuer, ec_pem: Path, tmp_path: Path, authority: Authority
) -> None:
    own = tmp_path / "client.pem"
    issued = authority.ca.issue_cert("runner.bank.internal").private_key_and_cert_chain_pem
    issued.write_to_path(own)
    steps: list[Step] = []
    with Redis(tmp_path, authority, ["tls-auth-clients yes"]) as redis:
        url = f"{redis.tls_url}?ssl_ca_certs={authority.file}&ssl_certfile={own}"
        config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=url)
        source = TokenSource(config, emit=steps.append)
        source.token()

        issuer.gate.clear()
        with ThreadPoolExecutor(1) as thread:
            token = thread.submit(source.token, force_refresh=True)
            issuer.wait_for(2)
            own.write_bytes(b"")
            redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            issuer.gate.set()
            assert token.result().access_token == "openid.2"
        assert source.token(force_refresh=True).access_token == "openid.3"
    [told] = [step.message for step in steps if isinstance(step, Warned)]
    assert told.endswith("cannot be used: a certificate's file that it needs cannot be used now")


@pytest.mark.usefixtures("redis")
def test_each_connection_reads_the_clients_certificate_into_a_context_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority
) -> None:
    """OpenSSL crashes if one thread reads it into the context with which another one connects."""
    own = tmp_path / "client.pem"
    authority.ca.issue_cert("runner.bank.internal").private_key_and_cert_chain_pem.write_to_path(own)
    read: list[ssl.SSLContext] = []
    load = ssl.SSLContext.load_cert_chain

    def noting(context: ssl.SSLContext, *files: Any) -> None:
        read.append(context)
        load(context, *files)

    with Redis(tmp_path, authority, ["tls-auth-clients yes"]) as redis:
        store = Store(f"{redis.tls_url}?ssl_ca_certs={authority.file}&ssl_certfile={own}")
        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", noting)
        for _ in range(2):
            store.get(("TIME",))
            store.close()
    assert len(read) == 2
    assert read[0] is not read[1]


def test_program_has_the_shared_cache(
    redis: Redis, issuer: Issuer, ec_pem: Path, machine: Callable[[str], None]
) -> None:
    def source() -> TokenSource:
        return TokenSource(
            ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=redis.url)
        )

    assert source().token().access_token == "openid.1"
    machine("b")
    other = source()
    assert other.token().access_token == "openid.1"
    other.invalidate("openid.1")
    assert other.token().access_token == "openid.2"
    assert source().token().access_token == "openid.2"
    issuer.refuse()
    with pytest.raises(RefusedError):
        other.token(force_refresh=True)
    assert len(issuer.forms) == 3
    assert redis.url not in repr(ClientConfig(CLIENT_ID, KeySource.file(ec_pem), cache_url=redis.url))
    with pytest.raises(ConfigurationError):
        ClientConfig(CLIENT_ID, KeySource.file(ec_pem), cache_url="http://127.0.0.1")


def test_program_without_a_disk_shares_tokens(redis: Redis, issuer: Issuer, ec_pem: Path, folder: Path) -> None:
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=redis.url)
    for _ in range(2):
        source = TokenSource(config, on_disk=False)
        assert source.token().access_token == "openid.1"
        assert pickle.loads(pickle.dumps(source))._on_disk is False
    nowhere = replace(config, cache_url=f"unix://{folder}/nobody")
    assert TokenSource(nowhere, on_disk=False, emit=ignore).token().access_token == "openid.2"
    assert not folder.exists()


def test_program_outlives_a_restart_of_the_server(
    new_redis: Callable[..., Redis], issuer: Issuer, ec_pem: Path, folder: Path
) -> None:
    redis = new_redis()
    steps: list[Step] = []
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=redis.url)
    source = TokenSource(config, emit=steps.append)
    assert source.token().access_token == "openid.1"
    redis.kill()
    redis.start()
    assert source.token(force_refresh=True).access_token == "openid.2"
    assert len(redis.keys()) == 1
    redis.kill()
    assert source.token(force_refresh=True).access_token == "openid.3"
    assert source.token(force_refresh=True).access_token == "openid.4"
    assert [step.message for step in steps if isinstance(step, Warned)] == [
        f"the shared cache {redis.url} cannot be used: Connection refused"
    ]
    assert len([*folder.iterdir()]) == 1


def test_lock_is_renewed_while_the_bank_is_asked(
    redis: Redis, issuer: Issuer, ec_pem: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 3 * shared._RENEWED < shared._LOCKED  # also where one answer is late, it never ends
    monkeypatch.setattr(shared, "_RENEWED", 0.01)
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=redis.url)
    issuer.gate.clear()
    thread = threading.Thread(target=TokenSource(config).token)
    thread.start()
    issuer.wait_for(1)
    while redis.calls().get("pexpire", 0) < 3:
        time.sleep(0.01)
    issuer.gate.set()
    thread.join()
    assert len(redis.keys()) == 1


@pytest.mark.usefixtures("folder")
def test_waiter_gets_what_another_machine_fetched(
    redis: Redis, issuer: Issuer, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, cache_url=redis.url)
    issuer.gate.clear()
    waiting = threading.Event()
    tokens: list[str] = []

    def emit(step: Step) -> None:
        if isinstance(step, WaitingForAnother):
            waiting.set()

    threads = [
        threading.Thread(target=lambda: tokens.append(TokenSource(config, emit=emit).token().access_token))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert waiting.wait(60)
    issuer.gate.set()
    for thread in threads:
        thread.join()
    assert tokens == ["openid.1"] * 8
    assert len(issuer.forms) == 1


@pytest.mark.parametrize(("seconds", "token"), [(0, 1), (500, 1), (590, 2), (-1, 2), (-3600, 2)])
@pytest.mark.usefixtures("machine")
def test_ages_are_counted_by_the_servers_clock(
    cli: Cli, ask: list[str], between: Between, seconds: int, token: int
) -> None:
    assert cli(*ask, "--cache-url", between.url).stdout == "openid.1\n"
    between.set_clock(seconds)
    assert cli(*ask, "--cache-url", between.url).stdout == f"openid.{token}\n"


@pytest.mark.parametrize(
    ("machines", "token"),
    [(-86400, 1), (-100, 1), (50, 1), (100, 1), (545, 2), (86400, 2)],
    ids=lambda seconds: str(seconds),
)
@pytest.mark.usefixtures("machine")
def test_machine_whose_clock_differs_has_no_token_for_too_long(
    cli: Cli, ask: list[str], redis: Redis, how: How, machines: int, token: int
) -> None:
    """One that is an hour ahead does not know whose clock is wrong: the token may have ended."""
    assert cli(*ask, "--cache-url", redis.url).stdout == "openid.1\n"
    how.clock = lambda: time.time() + machines
    given = cli(*ask, "--cache-url", redis.url, "-o", "json")
    assert (given.code, given.stderr) == (0, "")
    assert json.loads(given.stdout)["access_token"] == f"openid.{token}"
    assert json.loads(given.stdout)["expires_in"] > 400


@pytest.mark.usefixtures("machine")
def test_missing_package_is_an_error_with_the_command_that_installs_it(ask: list[str]) -> None:
    program = (
        "import sys; sys.modules['hiredis'] = None; from banno_creds.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", program, *ask, "--cache-url", "redis://127.0.0.1:1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert 'pip install "banno-creds[redis]"' in done.stderr


@pytest.mark.usefixtures("machine")
@pytest.mark.posix("the rights of a file")
@pytest.mark.usefixtures("machine")
def test_secret_that_others_can_read_is_warned_of(cli: Cli, ask: list[str], redis: Redis, secret: Path) -> None:
    secret.chmod(0o644)
    result = cli(*ask, "--cache-url", redis.url, "--cache-secret-file", secret)
    assert result.code == 0
    assert f"Others can read {secret}" in " ".join(result.stderr.split())


def test_too_short_a_secret_is_refused(cli: Cli, ask: list[str], tmp_path: Path) -> None:
    short = write_private(tmp_path / "short", b"123456789012345\n")
    result = cli(*ask, "--cache-url", "redis://127.0.0.1:1", "--cache-secret-file", short)
    assert result.code == 2
    assert "15 bytes" in result.stderr


def test_empty_url_means_this_machines_cache(cli: Cli, ask: list[str], folder: Path) -> None:
    result = cli(*ask, "--cache-url", "", env={"BANNO_CREDS_CACHE_URL": "redis://127.0.0.1:1"})
    assert (result.code, result.stdout, result.stderr) == (0, "openid.1\n", "")
    assert folder.exists()


def test_profile_names_the_shared_cache(
    cli: Cli, redis: Redis, issuer: Issuer, ec_pem: Path, folder: Path, tmp_path: Path, secret: Path
) -> None:
    file = tmp_path / "config.toml"
    settings = ["--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", issuer.url]
    shared_settings = ["--cache-url", redis.url, "--cache-secret-file", str(secret)]
    assert cli("profile", "add", "a", "--config", file, *settings, *shared_settings).code == 0
    assert cli("token", "--profile", "a", "--config", file).stdout == "openid.1\n"
    assert TokenSource(ClientConfig.from_profile("a", file)).token().access_token == "openid.1"
    assert not folder.exists()
    refused = cli("profile", "set", "a", "--config", file, "--cache-url", "redis://:not-a-real-one@127.0.0.1")
    assert refused.code == 2
    assert "not-a-real-one" not in refused.stderr + file.read_text()


def test_persons_tokens_stay_on_the_machine(tool: Tool, redis: Redis, folder: Path) -> None:
    tool.browser.done()
    env = {"BANNO_CREDS_CACHE_URL": redis.url}
    for _ in range(2):
        assert tool.run("token", "--force-refresh", env=env).code == 0
    assert {name.partition("|")[0] for name in redis.calls()} <= {"acl", "config", "flushall"}
    assert folder.exists()
    assert tool.run("token", "--as", "application", env=env).code == 4  # as this provider says
    assert len(redis.keys()) == 1


def test_command_of_exec_does_not_get_the_address(process: Cli, ask: list[str], redis: Redis, secret: Path) -> None:
    env = {"BANNO_CREDS_CACHE_URL": redis.url, "BANNO_CREDS_CACHE_SECRET_FILE": str(secret)}
    show = "import os; print([name for name in os.environ if 'CACHE_URL' in name or 'CACHE_SECRET' in name])"
    result = process("exec", *ask[1:], "--", sys.executable, "-c", show, env=env)
    assert (result.code, result.stdout, result.stderr) == (0, "[]\n", "")
    assert len(redis.keys()) == 1


@pytest.mark.parametrize("option", ["--cache-secret-file", "--cache-password-file"])
@pytest.mark.usefixtures("machine")
def test_secret_in_the_place_of_its_file_is_not_shown(cli: Cli, ask: list[str], option: str) -> None:
    result = cli(*ask, "--cache-url", "redis://127.0.0.1:1", option, "hunter2-hunter2-hunter2")
    assert result.code == 2
    assert option in result.stderr
    assert "hunter2" not in result.stderr
