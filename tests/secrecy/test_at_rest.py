"""Tokens that are kept, and the files that decide about them: whose they are, who can change them, when they go."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from banno_creds.storage import own_files
from tests.conftest import CLIENT_ID, write_private
from tests.oidc import Tool, kept, tool_for
from tests.servers.openid_provider import OpenIdProvider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.processes import Nursery
    from tests.servers.issuer import Issuer

pytestmark = pytest.mark.once

modes = pytest.mark.posix("a mode says who may do what")

# ── Whom we trust, and how we get there ───────────────────────────────────────────────────────────────────────

WAYS: tuple[dict[str, str], ...] = (
    {},
    {"SSL_CERT_FILE": "/nowhere/a.pem"},
    {"SSL_CERT_FILE": "/nowhere/b.pem"},
    {"SSL_CERT_DIR": "/nowhere"},
    {"HTTPS_PROXY": "http://proxy.example:1"},
    {"https_proxy": "http://other.example:1"},
    {"ALL_PROXY": "http://proxy.example:1"},
    {"HTTPS_PROXY": "http://proxy.example:1", "NO_PROXY": "bank.example"},
)


def test_a_token_is_not_used_where_another_server_would_be_trusted(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    """And comes from the cache where the way is the same again."""
    first = [cli(*ask, env=way).stdout for way in WAYS]
    assert len({*first}) == len(WAYS) == len(issuer.forms)
    assert [cli(*ask, env=way).stdout for way in WAYS] == first
    assert len(issuer.forms) == len(WAYS)


@pytest.mark.timeout(600)
def test_a_recalled_answer_is_not_used_where_another_server_would_be_trusted(
    nursery: Nursery, ask: list[str], issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(way: dict[str, str]) -> str:
        with monkeypatch.context() as patch:
            for name, value in way.items():
                patch.setenv(name, value)
            out, err = tmp_path / "out", tmp_path / "err"
            assert nursery.start(*ask, out=out, err=err).wait() == 0, err.read_text()
        return out.read_text()

    for _ in range(2):
        found = {said(way) for way in WAYS}
        assert len(found) == len(WAYS) == len(issuer.forms)


def test_a_proxys_password_is_not_kept_with_a_token(cli: Cli, ask: list[str], folder: Path) -> None:
    assert cli(*ask, env={"HTTPS_PROXY": "http://user:pr0xy-canary@proxy.example:1"}).code == 0
    assert not any(b"pr0xy-canary" in file.read_bytes() for file in folder.iterdir())


# ── The end of a login ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def provider(ec_key: keys.PrivateKey) -> Iterator[OpenIdProvider]:
    with OpenIdProvider(ec_key, "ES256") as running:
        yield running


@pytest.fixture
def tool(cli: Cli, provider: OpenIdProvider, ec_pem: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    tool = tool_for(cli, provider, ec_pem, monkeypatch)
    assert tool.log_in("-q").code == 0
    return tool


@pytest.mark.parametrize("end", [["logout"], ["logout", "--only-here"], "another login"])
def test_a_login_leaves_its_token_in_no_cache(
    tool: Tool, provider: OpenIdProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: list[str] | str
) -> None:
    caches = [tmp_path / name for name in ("one", "two", "three")]
    for cache in caches:
        monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(cache))
        assert tool.run("token").code == 0
        assert tool.run("token").code == 0
    assert all(_holds(cache, provider.issued[0]) for cache in caches)
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "four"))
    result = tool.log_in("-q") if isinstance(end, str) else tool.run(*end)
    assert result.code == 0
    assert not any(_holds(cache, provider.issued[0]) for cache in caches)
    assert len(kept()) == isinstance(end, str)


def _holds(folder: Path, token: str) -> bool:
    return any(token in file.read_text() for file in folder.iterdir() if file.is_file())


def test_the_caches_of_a_login_have_an_end(tool: Tool, provider: OpenIdProvider, tmp_path: Path) -> None:
    caches = [tmp_path / f"cache-{number}" for number in range(25)]
    for cache in caches:
        assert tool.run("token", env={"BANNO_CREDS_CACHE_DIR": str(cache)}).code == 0
    assert [_holds(cache, provider.issued[0]) for cache in caches] == [False] * 5 + [True] * 20


def test_a_cache_that_cannot_be_emptied_is_named(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "one"
    assert tool.run("token", env={"BANNO_CREDS_CACHE_DIR": str(cache)}).code == 0
    unlink = os.unlink

    def refuse(path: str, **more: object) -> None:
        if str(path).startswith(str(cache)):
            raise PermissionError(13, "Permission denied")
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    result = tool.run("logout")
    assert result.code == 0
    assert f"!   An access token of this login stays in {cache}" in result.stderr


# ── Who can change what decides ───────────────────────────────────────────────────────────────────────────────


@modes
@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
@pytest.mark.parametrize("what", ["private key", "passphrase file", "client secret file", "config"])
def test_a_file_that_others_can_write_is_an_error(
    cli: Cli, ec_key: keys.PrivateKey, tmp_path: Path, what: str, mode: int
) -> None:
    result = cli(*_asks(tmp_path, ec_key, what, mode))
    assert (result.code, result.stdout) == (3 if what == "private key" else 2, "")
    assert result.stderr.startswith("✗   Others can write ")
    assert f"(mode {mode:04o})" in result.stderr


@modes
@pytest.mark.parametrize("what", ["private key", "passphrase file", "client secret file"])
def test_a_secret_that_others_can_read_is_a_warning(
    cli: Cli, ec_key: keys.PrivateKey, tmp_path: Path, pauses: list[float], what: str
) -> None:
    del pauses
    result = cli(*_asks(tmp_path, ec_key, what, 0o644))
    assert "!   Others can read " in result.stderr
    assert "(mode 0644)" in result.stderr


@modes
@pytest.mark.parametrize("what", ["private key", "passphrase file", "client secret file", "config"])
def test_a_file_in_a_folder_that_everybody_can_write_is_a_warning(
    cli: Cli, ec_key: keys.PrivateKey, tmp_path: Path, pauses: list[float], what: str
) -> None:
    del pauses
    args = _asks(tmp_path, ec_key, what, 0o600)
    for mode, warns in ((0o777, True), (0o1777, False), (0o755, False)):
        (tmp_path / "place").chmod(mode)
        result = cli(*args)
        assert ("!   Others can put another file in the place of " in result.stderr) is warns


@pytest.mark.posix("root can give files away")
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give files away")
def test_another_users_settings_are_not_used_without_a_word(
    cli: Cli, ec_key: keys.PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = _asks(tmp_path, ec_key, "config", 0o600)
    config = tmp_path / "place" / "file"
    os.chown(config, 1234, 1234)
    result = cli(*args)
    assert result.code == 0
    assert f"!   {config} belongs to another user, who can change where root's assertions go\n" in result.stderr
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    result = cli(*args)
    assert result.code == 2
    assert result.stderr.startswith(f"✗   {config} belongs to another user, who can change where an assertion goes\n")


def _asks(tmp_path: Path, key: keys.PrivateKey, what: str, mode: int) -> list[str]:
    """Return a command line that reads a file with this mode, and the others as they should be."""
    place = tmp_path / "place"
    place.mkdir(mode=0o755)
    file = place / "file"
    pem = write_private(tmp_path / "key.pem", key.pem(b"correct horse"))
    passphrase = write_private(tmp_path / "passphrase", b"correct horse")
    ask = ["sign-jwt", "--client-id", CLIENT_ID, "--token-endpoint", "https://bank.example/token"]
    if what == "private key":
        write_private(file, key.pem(b"correct horse"))
        ask += ["--private-key", str(file), "--passphrase-file", str(passphrase)]
    elif what == "passphrase file":
        write_private(file, b"correct horse")
        ask += ["--private-key", str(pem), "--passphrase-file", str(file)]
    elif what == "client secret file":
        write_private(file, b"a-client-secret")
        ask = ["login", "--client-id", CLIENT_ID, "--client-secret-file", str(file)]
        ask += ["--issuer", "http://127.0.0.1:9", "--manual"]
    else:
        write_private(file, f'[profiles.a]\nclient_id = "{CLIENT_ID}"\nprivate_key = "{pem}"\n'.encode())
        ask = ["sign-jwt", "--profile", "a", "--config", str(file), "--passphrase-file", str(passphrase)]
    file.chmod(mode)
    return ask


# ── Settings of any shape ─────────────────────────────────────────────────────────────────────────────────────

SHAPES = {
    "dotted key": ".".join("a" * 100_000) + " = 1",
    "dotted header": "[" + ".".join("a" * 100_000) + "]",
    "dotted keys": "\n".join(".".join(f"a{line}_{part}" for part in range(60)) + " = 1" for line in range(1000)),
    "arrays": "a = " + "[" * 100_000,
    "tables": "a = " + "{a = " * 100_000,
    "number": "a = " + "9" * 1_000_000,
    "float": "a = " + "9" * 1_000_000 + ".5",
    "hexadecimal": "a = 0x" + "f" * 1_000_000,
    "exponent": "a = 1e999999999",
    "line": 'a = "' + "x" * 1_000_000 + '"',
    "quotes": '"' * 1_000_000,
    "blanks": " " * 1_000_000 + "[",
    "size": "#" * 17_000_000,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("command", [["sign-jwt", "--profile", "a"], ["profile", "list"], ["profile", "add", "b"]])
def test_settings_of_any_shape_are_read_in_bounded_time(
    cli: Cli, ec_pem: Path, tmp_path: Path, shape: str, command: list[str]
) -> None:
    config = write_private(tmp_path / "config.toml", SHAPES[shape].encode())
    if command[1] == "add":
        command = [*command, "--client-id", CLIENT_ID, "--private-key", str(ec_pem)]
    began = time.process_time()
    result = cli(*command, "--config", config)
    assert time.process_time() - began < 5
    assert result.code == 2
    assert str(config) in result.stderr
    assert len(result.stderr) < 1000
    assert own_files.identity(str(config))
