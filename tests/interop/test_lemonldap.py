"""Our commands against LemonLDAP::NG: a login with a secret, tokens that are no JWTs, and a refused application."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from banno_creds.jose import keys
from tests.conftest import write_private
from tests.oidc import session

from .lemonldap import running_lemonldap
from .signed_in import Tool, tool_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cli

    from .lemonldap import Lemonldap


@pytest.fixture(scope="session")
def lemonldap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lemonldap]:
    """One server for the whole session."""
    with running_lemonldap(tmp_path_factory.mktemp("lemonldap")) as running:
        yield running


@pytest.fixture
def tool(cli: Cli, lemonldap: Lemonldap, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return tool_for(cli, monkeypatch, lemonldap.issuer, lemonldap.client, lemonldap.redirect_uri, lemonldap.sign_in)


def test_person_is_signed_in_with_a_secret(tool: Tool) -> None:
    result = tool.log_in("--scope", "openid", "--scope", "profile")

    assert result.code == 0, result.stderr
    token_set = json.loads(result.stdout)
    assert token_set["token_type"] == "Bearer"
    who = tool.run("whoami", "-q")
    assert (who.code, json.loads(who.stdout)["sub"]) == (0, "dwho")
    asked = tool.run("whoami", "-q", "--userinfo")
    assert (asked.code, json.loads(asked.stdout)["name"]) == (0, "Doctor Who")
    assert tool.run("token").stdout == f"{token_set['access_token']}\n"
    decoded = tool.cli("decode", "--issuer", tool.issuer, stdin=token_set["id_token"].encode())
    assert decoded.code == 0, decoded.stderr
    assert "the signature holds: RS256" in decoded.stderr


def test_offline_access_brings_a_refresh_token_that_serves_more_than_once(tool: Tool) -> None:
    result = tool.log_in("--scope", "openid", "--scope", "offline_access")

    assert result.code == 0, result.stderr
    # Its answer leaves offline_access out of the scope, and the refresh token shows that it was granted.
    assert "granted less" not in result.stderr
    tokens = [(json.loads(result.stdout)["access_token"], session()["refresh_token"])]
    for _ in range(2):
        renewed = tool.run("token", "--force-refresh")
        assert renewed.code == 0, renewed.stderr
        tokens.append((renewed.stdout.strip(), session()["refresh_token"]))
    # It keeps its refresh token, which RFC 6749 §6 allows.
    assert [len(set(kind)) for kind in zip(*tokens, strict=True)] == [3, 1]


def test_a_wrong_secret_is_refused_and_nobody_is_signed_in(tool: Tool, tmp_path: Path) -> None:
    wrong = write_private(tmp_path / "wrong.secret", b"another secret")
    tool.client = replace(tool.client, client_secret_path=wrong)

    result = tool.log_in("-q")

    assert (result.code, result.stdout) == (4, "")
    assert result.stderr.startswith("✗   The server refused the client: invalid_client\n")
    assert tool.run("whoami").code == 6


def test_logout_forgets_a_login_whose_tokens_cannot_be_taken_back(tool: Tool) -> None:
    assert tool.log_in("--scope", "openid").code == 0

    result = tool.run("logout")

    assert result.code == 0, result.stderr
    assert "The provider names no revocation endpoint" in result.stderr
    assert tool.run("whoami").code == 6


def test_an_application_with_a_key_is_refused_and_told_that_discovery_names_no_such_method(
    cli: Cli, lemonldap: Lemonldap, tmp_path: Path
) -> None:
    key = write_private(tmp_path / "key.pem", keys.generate("rsa").pem())
    options = ["--issuer", lemonldap.issuer, "--client-id", lemonldap.client.client_id, "--private-key", str(key)]

    result = cli("doctor", "-o", "json", *options)

    assert result.code == 4
    said = json.loads(result.stdout)
    assert said["diagnosis"]["error"] == "invalid_client"
    assert said["diagnosis"]["causes"][0]["rule"] == "discovery.auth_method"
    assert cli("token", *options).code == 4
