"""Our commands against glewlwyd: assertions, refusals without a word, and logins with a key and with secrets."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.jose import keys
from tests.conftest import How, write_private

from .glewlwyd import SCOPE, running_glewlwyd
from .signed_in import Tool, tool_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Cli, Result

    from .conftest import Registration
    from .glewlwyd import Glewlwyd

REGISTRATIONS = ("RS256-pem", "PS256-jwks", "ES256-pem")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glewlwyd]:
    with running_glewlwyd(tmp_path_factory.mktemp("glewlwyd")) as server:
        yield server


@pytest.fixture
def glewlwyd(running: Glewlwyd) -> Glewlwyd:
    """The session's server, with what it logged for earlier tests forgotten."""
    running.told_its_operator()
    return running


def _options(glewlwyd: Glewlwyd, registration: Registration, **other: str) -> list[str]:
    """The options of a correct set-up, with other values for those that a test names."""
    values = {
        "issuer": glewlwyd.issuer,
        "client_id": registration.client_id,
        "private_key": str(registration.private_key_path),
        "alg": registration.alg,
        "scope": SCOPE,
        **({"kid": registration.kid} if registration.kid else {}),
        **other,
    }
    return [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", value)]


def _doctor(cli: Cli, *options: str) -> tuple[Result, dict[str, Any]]:
    result = cli("doctor", "-o", "json", *options)
    said: dict[str, Any] = json.loads(result.stdout)
    return result, said


# --- an application ---


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_every_alg_and_registration_gets_a_token_that_verifies(cli: Cli, glewlwyd: Glewlwyd, name: str) -> None:
    registration = glewlwyd.registrations[name]
    options = _options(glewlwyd, registration)

    granted = cli("client-assertion", "-q", *options)

    assert (granted.code, granted.stderr) == (0, "")
    decoded = cli("decode", "--issuer", glewlwyd.issuer, stdin=granted.stdout.encode())
    assert decoded.code == 0, decoded.stderr
    assert json.loads(decoded.stdout)["client_id"] == registration.client_id
    header = cli("token", "-o", "header", *options)
    assert (header.code, header.stdout[:22]) == (0, "Authorization: Bearer ")


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_a_correct_setup_passes(cli: Cli, glewlwyd: Glewlwyd, name: str) -> None:
    registration = glewlwyd.registrations[name]

    result, said = _doctor(cli, *_options(glewlwyd, registration, registered=str(registration.registered_path)))

    assert (result.code, said["verdict"], said["diagnosis"]) == (0, "pass", None)
    # Its discovery document leaves out client credentials and the scope; the token shows that they are there.
    assert [finding["rule"] for finding in said["findings"] if finding["verdict"] == "warn"] == []


def test_another_key_than_the_registered_one_is_named_first(cli: Cli, glewlwyd: Glewlwyd, tmp_path: Path) -> None:
    registration = glewlwyd.registrations["RS256-pem"]
    other = write_private(tmp_path / "other.pem", keys.generate("rsa").pem())
    options = _options(glewlwyd, registration, private_key=str(other))

    result, said = _doctor(cli, *options, "--registered", str(registration.registered_path))

    assert result.code == 4
    assert said["diagnosis"]["causes"][0]["rule"] == "registration.key.mismatch"
    assert cli("token", *options).code == 4
    assert "jwt has an invalid signature" in glewlwyd.told_its_operator()


def _another_key(glewlwyd: Glewlwyd, folder: Path) -> dict[str, str]:
    return {"private_key": str(write_private(folder / "other.pem", keys.generate("rsa").pem()))}


def _unknown_client(glewlwyd: Glewlwyd, folder: Path) -> dict[str, str]:
    return {"client_id": "nobody-of-that-name"}


def _another_alg(glewlwyd: Glewlwyd, folder: Path) -> dict[str, str]:
    return {"alg": "RS256"}


def _the_issuer_as_audience(glewlwyd: Glewlwyd, folder: Path) -> dict[str, str]:
    return {"aud": glewlwyd.issuer}


def _an_application_with_a_secret(glewlwyd: Glewlwyd, folder: Path) -> dict[str, str]:
    return {"client_id": glewlwyd.login_clients["client_secret_basic"].client_id}


FAULTS = [
    (_another_key, "registration.key.mismatch", "jwt has an invalid signature"),
    (_unknown_client, "client.unknown", "invalid for client_id nobody-of-that-name"),
    (_another_alg, "registration.alg", "token_endpoint_signing_alg invalid"),
    (_the_issuer_as_audience, "assertion.aud.mismatch", "invalid jwt assertion content"),
    (_an_application_with_a_secret, "registration.auth_method", "invalid pubkey"),
]


@pytest.mark.parametrize(
    ("fault", "rule", "reason"), FAULTS, ids=[fault.__name__.strip("_") for fault, _, _ in FAULTS]
)
def test_a_refusal_without_a_word_has_its_reason_among_the_causes(
    cli: Cli,
    glewlwyd: Glewlwyd,
    tmp_path: Path,
    fault: Callable[[Glewlwyd, Path], dict[str, str]],
    rule: str,
    reason: str,
) -> None:
    options = _options(glewlwyd, glewlwyd.registrations["PS256-jwks"], **fault(glewlwyd, tmp_path))

    result, said = _doctor(cli, *options)

    assert (result.code, said["verdict"]) == (4, "fail")
    assert reason in glewlwyd.told_its_operator()
    causes = [cause["rule"] for cause in said["diagnosis"]["causes"]]
    assert rule in causes
    assert rule not in [one["rule"] for one in said["diagnosis"]["ruled_out"]]
    assert not said["diagnosis"]["certain"]


@pytest.mark.parametrize(
    ("fault", "rule"),
    [(_another_alg, "registration.alg"), (_the_issuer_as_audience, "assertion.aud.mismatch")],
    ids=["another_alg", "the_issuer_as_audience"],
)
def test_a_probe_finds_what_the_server_does_not_say(
    cli: Cli,
    glewlwyd: Glewlwyd,
    tmp_path: Path,
    how: How,
    fault: Callable[[Glewlwyd, Path], dict[str, str]],
    rule: str,
) -> None:
    how.sleep = lambda _: None
    options = _options(glewlwyd, glewlwyd.registrations["PS256-jwks"], **fault(glewlwyd, tmp_path))

    result, said = _doctor(cli, *options, "--probe")

    assert result.code == 4
    assert [cause["rule"] for cause in said["diagnosis"]["causes"]] == [rule]
    assert said["diagnosis"]["certain"]


def test_a_scope_that_the_application_has_not_is_named_by_an_error_code_of_its_own(
    cli: Cli, glewlwyd: Glewlwyd
) -> None:
    options = _options(glewlwyd, glewlwyd.registrations["PS256-jwks"], scope="openid")

    result, said = _doctor(cli, *options)

    assert result.code == 4
    assert (said["diagnosis"]["error"], said["diagnosis"]["causes"][0]["rule"]) == (
        "scope_invalid",
        "request.scope.not_allowed",
    )
    assert "registration.key.mismatch" not in [cause["rule"] for cause in said["diagnosis"]["causes"]]


def test_an_expired_assertion_is_refused(cli: Cli, glewlwyd: Glewlwyd, how: How) -> None:
    past = time.time() - 600
    how.clock = lambda: past

    result = cli("token", *_options(glewlwyd, glewlwyd.registrations["PS256-jwks"]))

    assert (result.code, result.stdout) == (4, "")
    assert "invalid jwt assertion content" in glewlwyd.told_its_operator()


# --- a person ---


@pytest.fixture
def tool(request: pytest.FixtureRequest, cli: Cli, glewlwyd: Glewlwyd, monkeypatch: pytest.MonkeyPatch) -> Tool:
    client = glewlwyd.login_clients[getattr(request, "param", "client_secret_basic")]
    return tool_for(cli, monkeypatch, glewlwyd.issuer, client, glewlwyd.redirect_uri, glewlwyd.sign_in)


def test_person_is_signed_in_renewed_and_signed_out(tool: Tool, glewlwyd: Glewlwyd) -> None:
    signed_in = tool.log_in("--scope", "openid", "--scope", SCOPE)

    assert signed_in.code == 0, signed_in.stderr
    token_set = json.loads(signed_in.stdout)
    who = tool.run("whoami", "-q")
    assert (who.code, json.loads(who.stdout)["name"]) == (0, "Riley Doe")
    asked = tool.run("whoami", "-q", "--userinfo")
    assert (asked.code, json.loads(asked.stdout)["name"]) == (0, "Riley Doe")
    assert tool.run("token").stdout == f"{token_set['access_token']}\n"

    renewed = [tool.run("token", "--force-refresh") for _ in range(2)]

    assert [result.code for result in renewed] == [0, 0], renewed
    assert len({token_set["access_token"], *(result.stdout.strip() for result in renewed)}) == 3
    glewlwyd.told_its_operator()

    ended = tool.run("logout")

    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("Revoked") == 2
    assert glewlwyd.told_its_operator().count(" revoked, ") == 2
    assert tool.run("whoami").code == 6


@pytest.mark.parametrize(
    ("tool", "more"),
    [("client_secret_post", ["--client-auth", "post"]), ("private_key_jwt", ["--client-id-in-body"])],
    indirect=["tool"],
    ids=["a secret in the form", "an assertion with the client ID beside it"],
)
def test_every_way_to_authenticate_signs_in_renews_and_signs_out(tool: Tool, more: list[str]) -> None:
    signed_in = tool.log_in("--scope", "openid", "--scope", SCOPE, *more)

    assert signed_in.code == 0, signed_in.stderr
    renewed = tool.run("token", "--force-refresh", *more)
    assert renewed.code == 0, renewed.stderr
    assert renewed.stdout.strip() != json.loads(signed_in.stdout)["access_token"]
    # Its revocation endpoint takes a secret alone, and says so: a login with a key ends all the same.
    ended = tool.run("logout", *more)
    assert ended.code == 0, ended.stderr
    assert tool.run("whoami", *more).code == 6


@pytest.mark.parametrize(
    ("tool", "said", "hint"),
    [
        ("client_secret_post", "unauthorized_client", "--client-auth post"),
        ("private_key_jwt", "with an empty answer", "--client-id-in-body"),
    ],
    indirect=["tool"],
    ids=["a secret in the header", "an assertion alone"],
)
def test_the_way_that_it_takes_is_the_hint(tool: Tool, said: str, hint: str) -> None:
    result = tool.log_in("-q", "--scope", "openid", "--scope", SCOPE)

    assert (result.code, result.stdout) == (4, "")
    assert said in result.stderr
    assert hint in result.stderr
