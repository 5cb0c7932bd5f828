"""How the bank has the public key: the kid that is sent, and what the doctor says where the two do not fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import import_key

from banno_creds import ClientConfig, KeySource, TokenSource
from banno_creds.sandbox import Client, Sandbox
from tests.conftest import CLIENT_ID
from tests.servers.files import FileServer

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.key_holders.granted import Granted


def _set_of(*public: keys.PublicKey, kid: str | None = None) -> bytes:
    jwks = []
    for key in public:
        jwk = import_key(key.pem().decode(), key.type).as_dict(private=False)
        jwks.append({**jwk, "kid": kid or key.thumbprint()})
    return json.dumps({"keys": jwks}).encode()


def _doctor(cli: Cli, *words: str | Path) -> tuple[int, dict[str, dict[str, Any]]]:
    done = cli("doctor", "--offline", "-o", "json", "--client-id", CLIENT_ID, *words)
    return done.code, {each["rule"]: each for each in json.loads(done.stdout)["findings"]}


@pytest.mark.parametrize(
    ("said", "registered", "verdict", "code"),
    [
        ("pem", "pem", "pass", 0),
        ("jwks-uri", "set", "pass", 0),
        ("pem", "set", "warn", 0),
        ("jwks-uri", "pem", "warn", 4),
        ("pem", "jwk", "pass", 0),
        ("jwks-uri", "jwk", "pass", 0),
        (None, "pem", None, 0),
        (None, "set", None, 0),
    ],
)
def test_the_doctor_compares_the_setting_with_what_is_registered(
    cli: Cli,
    tmp_path: Path,
    toy_ec: str,
    ec_key: keys.PrivateKey,
    said: str | None,
    registered: str,
    verdict: str | None,
    code: int,
) -> None:
    of_set = _set_of(ec_key.public)
    text = {"pem": ec_key.public.pem(), "set": of_set, "jwk": json.dumps(json.loads(of_set)["keys"][0]).encode()}
    (tmp_path / "registered").write_bytes(text[registered])
    more = [] if said is None else ["--registration", said]
    ended, found = _doctor(cli, "--private-key", toy_ec, "--registered", tmp_path / "registered", *more)
    assert ended == code
    assert found.get("registration.form", {}).get("verdict") == verdict
    if verdict == "warn":
        assert "registration" in found["registration.form"]["fix"]


def test_a_kid_that_a_pem_lacks_is_mended_by_the_setting_that_sends_it(
    cli: Cli, tmp_path: Path, toy_ec: str, ec_key: keys.PrivateKey
) -> None:
    (tmp_path / "public.pem").write_bytes(ec_key.public.pem())
    ask = ["--private-key", toy_ec, "--registered", str(tmp_path / "public.pem")]
    _, found = _doctor(cli, *ask, "--registration", "jwks-uri")
    assert found["assertion.kid.unexpected"]["fix"].startswith("set --registration to pem")
    _, found = _doctor(cli, *ask, "--kid", "mine")
    assert found["assertion.kid.unexpected"]["fix"].startswith("leave kid out of the header")


def test_a_set_without_the_kid_that_is_sent_is_named(
    cli: Cli, tmp_path: Path, toy_ec: str, ec_key: keys.PrivateKey
) -> None:
    (tmp_path / "jwks.json").write_bytes(_set_of(ec_key.public, kid="2026-11"))
    ask = ["--private-key", toy_ec, "--registered", str(tmp_path / "jwks.json"), "--registration", "jwks-uri"]
    code, found = _doctor(cli, *ask)
    assert (code, found["assertion.kid.unknown"]["verdict"]) == (4, "fail")
    assert "2026-11" in found["assertion.kid.unknown"]["expected"]
    assert _doctor(cli, *ask, "--kid", "2026-11")[0] == 0


def test_explain_knows_the_rule(cli: Cli) -> None:
    done = cli("explain", "registration.form")
    assert done.code == 0
    assert "JWKS URI" in done.stdout


def test_a_jwks_uri_client_of_the_provider_gets_a_token_with_the_kid(
    granted: Granted, cli: Cli, tmp_path: Path, toy_ec: str, ec_key: keys.PrivateKey, rsa_key: keys.PrivateKey
) -> None:
    """By every way to a token; the doctor has no finding."""
    provider = granted.provider
    with FileServer() as host:
        host.documents["/jwks.json"] = _set_of(rsa_key.public, ec_key.public)
        url = f"{host.origin}/jwks.json"
        client_id = provider.register("ES256", {"jwks_uri": url})
        more = ["--token-endpoint", provider.token_endpoint, "--registration", "jwks-uri"]
        assert cli("profile", "add", "p", "--client-id", client_id, "--private-key", toy_ec, *more).code == 0
        header = json.loads(cli("decode", "-q", "--full", cli("sign-jwt", "--profile", "p").stdout.strip()).stdout)
        assert header["header"] == {"alg": "ES256", "kid": ec_key.public.thumbprint()}
        for words in (["client-assertion"], ["token"], ["doctor", "--registered", url]):
            done = cli(*words, "--profile", "p")
            assert done.code == 0, done.stdout + done.stderr
        assert "✗" not in done.stdout
        assert "!" not in done.stdout
        assert TokenSource(ClientConfig.from_profile("p"), on_disk=False).token().access_token
        events = provider.drain_events()
        assert [each.event for each in events] == ["grant.success"] * 4
        # RFC 7638's thumbprint is what is sent; another kid is refused, as the facts have it.
        done = cli("client-assertion", "--profile", "p", "--kid", "another")
        assert done.code == 4
    [event] = provider.drain_events()
    assert event.error_detail


def test_the_provider_refuses_a_kid_for_one_key_without_a_name(
    granted: Granted, cli: Cli, tmp_path: Path, toy_ec: str, ec_key: keys.PrivateKey
) -> None:
    jwk = import_key(ec_key.public.pem().decode(), "EC").as_dict(private=False)
    jwk.pop("kid", None)
    client_id = granted.provider.register("ES256", {"jwks": {"keys": [jwk]}})
    ask = ["client-assertion", "--client-id", client_id, "--private-key", toy_ec]
    ask += ["--token-endpoint", granted.provider.token_endpoint, "--registration"]
    assert cli(*ask, "pem").code == 0
    done = cli(*ask, "jwks-uri")
    assert done.code == 4
    assert "doctor" in done.stderr
    refused = granted.provider.drain_events()[-1]
    assert (refused.event, refused.error) == ("grant.error", "invalid_client")


def test_the_sandbox_takes_the_thumbprint_of_a_set(
    cli: Cli, tmp_path: Path, toy_ec: str, ec_key: keys.PrivateKey
) -> None:
    client = Client(CLIENT_ID, _set_of(ec_key.public).decode())
    with Sandbox([client], log=lambda _: None) as sandbox:
        ask = ["client-assertion", "--client-id", CLIENT_ID, "--private-key", toy_ec]
        ask += ["--token-endpoint", sandbox.token_endpoint, "--registration"]
        assert cli(*ask, "jwks-uri").code == 0
        assert cli(*ask, "pem").code == 0


def test_the_registration_is_part_of_what_the_cache_keeps_apart(toy_ec: str) -> None:
    from banno_creds.tokens.client_credentials import ClientCredentials

    names = {
        ClientCredentials(ClientConfig(CLIENT_ID, KeySource.at(toy_ec), registration=each)).entry_name()
        for each in (None, "pem", "jwks-uri")
    }
    assert len(names) == 2
