"""`token` against oidc-provider: it is asked once, and what the cache gives is what it granted."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Result

from .conftest import REFUSED_SCOPE, REGISTRATION_NAMES, last_of_each

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli

    from .conftest import Provider


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(folder))
    return folder


def _ask(provider: Provider, name: str, *more: str) -> list[str]:
    registration = provider.registrations[name]
    arguments = [
        *("token", "--client-id", registration.client_id, "--private-key", str(registration.private_key_path)),
        *("--alg", registration.alg, "--token-endpoint", provider.token_endpoint),
        *(["--kid", "thumbprint"] if registration.kid else []),
        *more,
    ]
    return last_of_each(arguments)


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
def test_two_runs_are_one_grant_and_the_token_verifies(cli: Cli, provider: Provider, name: str) -> None:
    ask = _ask(provider, name)
    first, second = cli(*ask), cli(*ask)
    assert first == second == Result(0, first.stdout, "")
    assert [event.event for event in provider.drain_events()] == ["grant.success"]
    checks = ["--issuer", provider.issuer, "--audience", provider.registrations[name].client_id]
    assert cli("decode", *checks, stdin=first.stdout.encode()).code == 0


def test_a_fresh_token_is_another_one_and_the_scope_decides_which(cli: Cli, provider: Provider) -> None:
    ask = _ask(provider, "PS256-pem")
    other = [*ask, "--scope", "https://jackhenry.com/consumer-user-search"]
    tokens = [cli(*args).stdout for args in (ask, other, [*ask, "--force-refresh"], ask, other)]
    assert len(set(tokens)) == 3
    assert tokens[2:] == [tokens[3], tokens[3], tokens[1]]
    assert [event.event for event in provider.drain_events()] == ["grant.success"] * 3


@pytest.mark.parametrize(
    ("more", "error"), [(["--scope", REFUSED_SCOPE], "invalid_scope"), (["--kid", "wrong"], "invalid_client")]
)
def test_two_refused_runs_are_one_refusal(cli: Cli, provider: Provider, more: list[str], error: str) -> None:
    ask = _ask(provider, "ES256-pem", *more)
    first, second = cli(*ask), cli(*ask)
    assert first.code == second.code == 4
    assert [event.error for event in provider.drain_events()] == [error]
    said, _, next_ = first.stderr.partition("    Next: ")
    assert second.stderr.startswith(said)
    assert second.stderr.endswith(next_)
    assert "not asked again" in second.stderr
    assert cli(*ask, "--force-refresh").code == 4
    assert [event.error for event in provider.drain_events()] == [error]


def test_ten_processes_at_once_are_one_grant(provider: Provider) -> None:
    command = [sys.executable, "-m", "banno_creds", *_ask(provider, "RS256-jwks-uri")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(10)]
    said = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0] * 10
    assert len(said) == 1
    assert [event.event for event in provider.drain_events()] == ["grant.success"]


def test_a_command_has_a_token_that_the_provider_granted(
    process: Cli, cli: Cli, provider: Provider, folder: Path
) -> None:
    _, *options = _ask(provider, "ES256-jwks-uri")
    result = process(
        "exec", *options, "--", "sh", "-c", 'echo "$BANNO_ACCESS_TOKEN"', env={"BANNO_CREDS_CACHE_DIR": str(folder)}
    )
    assert (result.code, result.stderr) == (0, "")
    assert cli("decode", "--issuer", provider.issuer, stdin=result.stdout.encode()).code == 0
    assert [event.event for event in provider.drain_events()] == ["grant.success"]
