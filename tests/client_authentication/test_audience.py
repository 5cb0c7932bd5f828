"""An assertion for one server never goes to another, unless the user says that both belong together."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds import ClientConfig, ConfigurationError, KeySource, TokenSource
from banno_creds.config import ENVIRONMENTS, check_audience
from tests.conftest import CLIENT_ID, Cli
from tests.profiles.files import write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.issuer import Issuer

pytestmark = pytest.mark.once

BANK = ENVIRONMENTS["production"]


@pytest.mark.parametrize("place", ["option", "variable", "profile", "named profile", "endpoint in a variable"])
@pytest.mark.parametrize("command", ["token", "client-assertion", "exec", "api"])
def test_an_assertion_for_the_bank_goes_to_no_other_server(
    cli: Cli, ask: list[str], issuer: Issuer, ec_pem: Path, command: str, place: str
) -> None:
    words, env = [command, *ask[1:]], {}
    if place == "option":
        words += ["--aud", BANK]
    elif place == "variable":
        env["BANNO_CREDS_AUD"] = BANK
    elif place == "endpoint in a variable":
        words, env = [command, *ask[1:5], "--aud", BANK], {"BANNO_CREDS_TOKEN_ENDPOINT": issuer.url}
    else:
        write(f'default = "a"\n[profiles.a]\naud = "{BANK}"\n')
        words += ["--profile", "a"] if place == "named profile" else []
    after = {"exec": ["--", sys.executable], "api": ["--api-base", "http://127.0.0.1:9", "/a"]}.get(command, [])
    result = cli(*words, *after, env=env)
    assert (result.code, result.stdout, issuer.forms) == (2, "", [])
    assert f"n assertion for {BANK} would go to another server, {issuer.url}" in result.stderr
    assert "--allow-other-aud" in result.stderr
    del ec_pem


def test_an_option_allows_it(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    assert cli(*ask, "--aud", BANK, "--allow-other-aud").code == 0
    assert len(issuer.forms) == 1


def test_nothing_is_sent_by_sign_jwt(cli: Cli, ask: list[str]) -> None:
    result = cli("sign-jwt", "-q", *ask[1:], "--aud", BANK)
    assert (result.code, result.stderr) == (0, "")


def test_the_doctor_says_it_and_sends_nothing(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    result = cli("doctor", *ask[1:], "--aud", BANK, "-o", "json")
    found = json.loads(result.stdout)
    assert {each["rule"] for each in found["findings"] if each["verdict"] == "fail"} >= {"assertion.aud.mismatch"}
    assert (found["requests"], [form for form in issuer.forms if form]) == ([], [])
    allowed = json.loads(cli("doctor", *ask[1:], "--aud", BANK, "--allow-other-aud", "-o", "json").stdout)
    assert allowed["verdict"] == "pass"


def test_a_program_is_refused_too(issuer: Issuer, ec_pem: Path) -> None:
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=issuer.url, aud=BANK)
    with pytest.raises(ConfigurationError, match="would go to another server"):
        TokenSource(config, on_disk=False).token()
    assert issuer.forms == []


@pytest.mark.parametrize(
    ("aud", "endpoints"),
    [
        (None, [BANK]),
        ("https://login.jackhenry.com", [BANK]),
        ("https://LOGIN.jackhenry.com:443/other", [BANK]),
        ("https://www.banno.com/a/oidc-provider/api/v0", [ENVIRONMENTS["legacy"]]),
        ("https://i.test/x", ["https://t.test/token", "https://i.test"]),  # discovery says so
        ("http://localhost:1/a", ["http://127.0.0.1:2/token"]),
        ("urn:bank", ["https://t.test/token"]),
        ("an-identifier", ["https://t.test/token"]),
    ],
)
def test_what_belongs_together_may_be_sent(aud: str | None, endpoints: list[str]) -> None:
    check_audience(aud, endpoints, allow_other=False)


@pytest.mark.parametrize(
    ("aud", "endpoint"),
    [
        (BANK, "http://127.0.0.1:9/token"),
        ("http://127.0.0.1:9/token", BANK),
        (BANK, "https://login.jackhenry.com.evil.test/token"),
        ("https://evil@login.jackhenry.com/", "https://evil/token"),
        ("//login.jackhenry.com/a", "https://t.test/token"),
        (" https://login.jackhenry.com/a", "https://t.test/token"),
        ("https://a.test", "https://b.a.test/token"),
        ("https://[", "https://a.test/token"),
    ],
)
def test_what_does_not_may_not(aud: str, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="another server"):
        check_audience(aud, [endpoint], allow_other=False)
    check_audience(aud, [endpoint], allow_other=True)
