"""A value that somebody forgot to fill in is refused before anything is sent, and by the same rule everywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from banno_creds.rules.client_id import judge_client_id
from banno_creds.shells import quote
from tests.conftest import CLIENT_ID, Cli, instead
from tests.programs import NOTHING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.issuer import Issuer

pytestmark = pytest.mark.once

PLACEHOLDERS = [
    *(
        "CLIENT_ID",
        "client-id",
        "clientId",
        "<client-id>",
        "<CLIENT_ID>",
        "[client id]",
        "{client_id}",
        "{{ client_id }}",
    ),
    *(
        "your-client-id",
        "YOUR_CLIENT_ID",
        "YOUR CLIENT ID HERE",
        "your_client_id_here",
        "my-client-id",
        "application-id",
    ),
    *("xxxxxxxx", "XXXX", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "00000000-0000-0000-0000-000000000000"),
    *("11111111-1111-1111-1111-111111111111", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "***", "..."),
    *("12345678-1234-1234-1234-123456789012", "$CLIENT_ID", "${CLIENT_ID}", "$(CLIENT_ID)", "%CLIENT_ID%"),
    *("${{ secrets.CLIENT_ID }}", "#{CLIENT_ID}#", "__CLIENT_ID__", "garden-${STAGE}", "changeme", "change-me"),
    *(
        "TODO",
        "REPLACE_ME",
        "replace-with-your-client-id",
        "undefined",
        "null",
        "<199e6f35-4e9a-482e-b980-b10308aa428a>",
    ),
]
ODD_BUT_REAL = [
    *(
        CLIENT_ID,
        CLIENT_ID.upper(),
        "a",
        "id",
        "1",
        "x",
        "client",
        "my-client",
        "test",
        "dev",
        "web-app",
        "s6BhdRkqt3",
    ),
    *("0oa1bcd23", "garden-client", "the-bank", "client_42", "https://client.bank.test/id", "a$b", "urn:x:y", "xx"),
]


@pytest.mark.parametrize("client_id", PLACEHOLDERS)
def test_a_placeholder_is_refused_before_anything_is_sent(
    cli: Cli, ask: list[str], issuer: Issuer, client_id: str
) -> None:
    for command in ("token", "client-assertion"):
        result = cli(command, *instead(ask, "--client-id", client_id)[1:])
        assert (result.code, result.stdout) == (2, "")
        assert "is a placeholder" in result.stderr
    assert issuer.forms == []
    [finding] = [each for each in judge_client_id(client_id) if each.rule == "client_id.placeholder"]
    assert finding.verdict == "fail", "doctor and lint-assertion judge the same"


@pytest.mark.parametrize("client_id", ODD_BUT_REAL)
def test_an_odd_client_id_is_sent(cli: Cli, ask: list[str], issuer: Issuer, client_id: str) -> None:
    assert cli(*instead(ask, "--client-id", client_id)).code == 0
    assert len(issuer.forms) == 1
    assert all(each.verdict != "fail" for each in judge_client_id(client_id))


@pytest.mark.parametrize("command", ["token", "sign-jwt", "login", "whoami", "logout", "exec", "api", "doctor"])
@pytest.mark.parametrize("place", ["variable", "profile"])
def test_every_command_refuses_it_wherever_it_stands(
    cli: Cli, ec_pem: Path, tmp_path: Path, command: str, place: str
) -> None:
    env = {"BANNO_CREDS_CLIENT_ID": "${CLIENT_ID}"}
    if place == "profile":
        file = tmp_path / "config.toml"
        file.write_text('default = "a"\n[profiles.a]\nclient_id = "${CLIENT_ID}"\n')
        file.chmod(0o600)
        env = {"BANNO_CREDS_CONFIG": str(file)}
    after = {"exec": ["--", *NOTHING], "api": ["/a"], "doctor": ["--offline", "-o", "json"]}.get(command, [])
    result = cli(command, "--private-key", ec_pem, *after, env=env)
    assert result.code == 2
    assert "placeholder" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scope", "a,b"], "--scope 'a,b' has a comma in it"),
        (["--scope", "openid, profile"], f"write --scope {quote('openid profile')}"),
        (["--scope", "YOUR_SCOPE"], "--scope 'YOUR_SCOPE' is a placeholder"),
        (["--scope", "<scope>"], "--scope '<scope>' is a placeholder"),
        (["--kid", "<kid>"], "--kid '<kid>' is a placeholder"),
        (["--token-endpoint", "https://example.com/token"], "its host 'example.com' is a placeholder"),
        (["--token-endpoint", "https://{host}/token"], "its host '{host}' is a placeholder"),
        (["--token-endpoint", "https://your-bank.com/token"], "its host 'your-bank.com' is a placeholder"),
        (["--token-endpoint", "<token-endpoint>"], "it does not start with https://"),
    ],
)
def test_other_settings_are_looked_at_too(
    cli: Cli, ask: list[str], issuer: Issuer, options: list[str], words: str
) -> None:
    result = cli(*instead(ask, *options))
    assert (result.code, result.stdout, issuer.forms) == (2, "", [])
    assert words in result.stderr


@pytest.mark.parametrize("place", ["variable", "profile", "login"])
def test_a_list_with_commas_is_refused_wherever_it_stands(
    cli: Cli, ask: list[str], issuer: Issuer, tmp_path: Path, place: str
) -> None:
    if place == "login":
        result = cli("login", *ask[1:5], "--issuer", "http://127.0.0.1:9", "--scope", "openid,profile")
    elif place == "variable":
        result = cli(*ask, env={"BANNO_CREDS_SCOPE": "openid,profile"})
    else:
        file = tmp_path / "config.toml"
        file.write_text('default = "a"\n[profiles.a]\nscope = ["openid,profile"]\n')
        file.chmod(0o600)
        result = cli(*ask, "--config", file)
    assert (result.code, result.stdout, issuer.forms) == (2, "", [])
    assert "has a comma in it, and scopes are separated by blanks" in result.stderr


def test_lint_assertion_names_a_placeholder(cli: Cli, ec_pem: Path) -> None:
    signed = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", ec_pem).stdout
    result = cli("lint-assertion", signed.strip(), "--client-id", "your-client-id", "-o", "json")
    failed = [each["rule"] for each in json.loads(result.stdout)["findings"] if each["verdict"] == "fail"]
    assert "client_id.placeholder" in failed
