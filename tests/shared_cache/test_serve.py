"""``banno-creds serve`` with a shared cache: the endpoints of many machines share their tokens with the commands."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from banno_creds.cli.settings import fill_shared_cache
from banno_creds.config import ClientConfig, KeySource
from tests.conftest import CLIENT_ID, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer
    from tests.servers.redis import Redis

SECRET = "a-secret-of-this-test-alone"


@pytest.mark.parametrize("by", ["option", "profile", "variable", "profile and option"])
def test_an_endpoint_gives_the_token_of_another_machine(
    by: str, cli: Cli, redis: Redis, issuer: Issuer, tmp_path: Path, ec_pem: Path
) -> None:
    settings = f"client_id = '{CLIENT_ID}'\nprivate_key = '{ec_pem}'\ntoken_endpoint = '{issuer.url}'\n"
    settings += f"cache_url = '{redis.url}'\n" if "profile" in by else ""
    config = write_private(tmp_path / "config.toml", f"[profiles.garden]\n{settings}".encode())
    secret_file = write_private(tmp_path / "serve.secret", SECRET.encode())
    here, there = ({"BANNO_CREDS_CACHE_DIR": str(tmp_path / name)} for name in ("here", "there"))
    options = ["--cache-url", redis.url] if by == "option" else []
    if by == "profile and option":
        options = ["--cache-secret-file", str(write_private(tmp_path / "cache.secret", b"not-a-real-secret-at-all"))]
    if by == "variable":
        here["BANNO_CREDS_CACHE_URL"] = there["BANNO_CREDS_CACHE_URL"] = redis.url
    assert cli("token", "--profile", "garden", "--config", config, *options, env=here).stdout == "openid.1\n"

    command = ["serve", "--port", "0", "--config", str(config), "--client-secret-file", str(secret_file), *options]
    form = {"grant_type": "client_credentials", "client_id": "garden", "client_secret": SECRET}
    with subprocess.Popen(
        [sys.executable, "-m", "banno_creds", *command],
        env={**os.environ, **there},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as running:
        try:
            assert running.stdout is not None
            url = running.stdout.readline().split()[-1]
            with urllib.request.urlopen(url, urlencode(form).encode(), timeout=60) as answer:
                assert json.load(answer)["access_token"] == "openid.1"
        finally:
            running.kill()
    assert len(issuer.forms) == 1


@pytest.mark.parametrize(
    ("own", "typed", "used"),
    [(None, False, "redis://given"), ("redis://own", False, "redis://own"), ("redis://own", True, "redis://given")],
)
def test_profile_comes_before_the_variables_and_after_the_options(own: str | None, typed: bool, used: str) -> None:
    config = ClientConfig("c", KeySource("key", content=b"key"), token_endpoint="https://x.test", cache_url=own)
    given = {"cache_url": "redis://given"}
    assert fill_shared_cache(config, given, given if typed else ()).cache_url == used


def test_address_that_cannot_be_used_is_told_before_anything_listens(cli: Cli, tmp_path: Path) -> None:
    config = write_private(tmp_path / "config.toml", b"[profiles.garden]\nclient_id = 'a'\nprivate_key = 'a.pem'\n")
    secret_file = write_private(tmp_path / "serve.secret", SECRET.encode())
    command = ["serve", "--port", "0", "--config", str(config), "--client-secret-file", str(secret_file)]
    for env, words in (
        ({"BANNO_CREDS_CACHE_URL": "http://user:canaryPassword@127.0.0.1"}, ()),
        ({}, ("--cache-url", "redis://:canaryPassword@127.0.0.1")),
    ):
        result = cli(*command, *words, env=env)
        assert (result.code, result.stdout) == (2, "")
        assert "CACHE_URL" in result.stderr.upper().replace("-", "_")
        assert "canary" not in result.stderr


@pytest.mark.parametrize("by", ["option", "variable", "named", "tagged"])
@pytest.mark.parametrize(
    ("name", "words"),
    [("cache_secret_file", "The cache secret has more"), ("cache_password_file", "The password of the shared cache")],
)
def test_file_that_cannot_be_used_is_told_before_anything_listens(
    by: str, name: str, words: str, cli: Cli, tmp_path: Path
) -> None:
    file = write_private(tmp_path / "wrong", b"a text\nof two lines")
    own = f"cache_url = 'redis://127.0.0.1'\n{name} = '{file}'\n" if by in ("named", "tagged") else ""
    settings = "client_id = 'a'\nprivate_key = 'a.pem'\ntags = ['eu']\n"
    config = write_private(tmp_path / "config.toml", f"[profiles.garden]\n{settings}{own}".encode())
    secret_file = write_private(tmp_path / "serve.secret", SECRET.encode())
    typed = {"option": [f"--{name.replace('_', '-')}", str(file)], "named": ["garden"], "tagged": ["--tag", "eu"]}
    env = {f"BANNO_CREDS_{name.upper()}": str(file)} if by == "variable" else {}
    command = ["serve", "--port", "0", "--config", str(config), "--client-secret-file", str(secret_file)]
    result = cli(*command, *typed.get(by, ()), env=env)
    assert (result.code, result.stdout) == (2, "")
    assert words in result.stderr


def test_files_of_a_shared_cache_count_only_with_its_address(cli: Cli, tmp_path: Path) -> None:
    """What `token` does not look at is no reason to serve nothing: here, that is the port alone."""
    own = "client_id = 'a'\nprivate_key = 'a.pem'\ncache_secret_file = 'elsewhere'\n"
    config = write_private(tmp_path / "config.toml", f"[profiles.garden]\n{own}".encode())
    secret_file = write_private(tmp_path / "serve.secret", SECRET.encode())
    command = ["serve", "--config", str(config), "--client-secret-file", str(secret_file), "garden", "--port"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 is " in cli(*command, str(port)).stderr


def test_path_that_is_too_long_is_told_before_anything_listens(cli: Cli, tmp_path: Path) -> None:
    config = write_private(tmp_path / "config.toml", b"[profiles.garden]\nclient_id = 'a'\nprivate_key = 'a.pem'\n")
    secret_file = write_private(tmp_path / "serve.secret", SECRET.encode())
    command = ["serve", "--port", "0", "--config", str(config), "--client-secret-file", str(secret_file)]
    for option in ("--cache-secret-file", "--cache-password-file"):
        result = cli(*command, "--cache-url", "redis://127.0.0.1", option, "a" * 300)
        assert (result.code, result.stdout) == (2, "")
        assert option in result.stderr


@pytest.mark.posix("a pipe with a name")
def test_secret_from_a_pipe_is_left_for_the_first_request(
    redis: Redis, issuer: Issuer, tmp_path: Path, ec_pem: Path
) -> None:
    settings = f"client_id = '{CLIENT_ID}'\nprivate_key = '{ec_pem}'\ntoken_endpoint = '{issuer.url}'\n"
    config = write_private(tmp_path / "config.toml", f"[profiles.garden]\n{settings}".encode())
    secret_file = write_private(tmp_path / "serve.secret", SECRET.encode())
    end, other_end = os.pipe()
    os.write(other_end, b"not-a-real-secret-at-all\n")
    os.close(other_end)
    command = ["serve", "--port", "0", "--config", str(config), "--client-secret-file", str(secret_file)]
    cache = ["--cache-url", redis.url, "--cache-secret-file", f"/dev/fd/{end}"]
    with subprocess.Popen(
        [sys.executable, "-m", "banno_creds", *command, *cache, "garden"],
        env={**os.environ, "BANNO_CREDS_CACHE_DIR": str(tmp_path / "here")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        pass_fds=[end],
    ) as running:
        try:
            os.close(end)
            assert running.stdout is not None
            url = running.stdout.readline().split()[-1]
            form = {"grant_type": "client_credentials", "client_id": "garden", "client_secret": SECRET}
            with urllib.request.urlopen(url, urlencode(form).encode(), timeout=60) as answer:
                assert json.load(answer)["access_token"] == "openid.1"
        finally:
            running.kill()
    assert redis("DBSIZE") == 1
