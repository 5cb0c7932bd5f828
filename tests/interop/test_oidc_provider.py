"""Our commands against oidc-provider, the server software that the vendor's URLs and error texts point to."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, RSAKey

from banno_creds.jose import keys
from tests.conftest import How, write_private

from .conftest import REFUSED_SCOPE, REGISTRATION_NAMES, last_of_each

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Cli

    from .conftest import Provider, Registration


def _ask(provider: Provider, registration: Registration, *more: str) -> list[str]:
    arguments = [
        *("client-assertion", "-q", "--client-id", registration.client_id),
        *("--private-key", str(registration.private_key_path), "--alg", registration.alg),
        *("--token-endpoint", provider.token_endpoint),
        *(["--kid", "thumbprint"] if registration.kid else []),
        *more,
    ]
    return last_of_each(arguments)


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
def test_every_alg_and_registration_gets_a_token_that_decodes_and_verifies(
    cli: Cli, provider: Provider, name: str
) -> None:
    registration = provider.registrations[name]
    granted = cli(*_ask(provider, registration))
    assert (granted.code, granted.stderr) == (0, "")
    assert json.loads(granted.stdout)["expires_in"] == 600

    checks = ["--issuer", provider.issuer, "--audience", registration.client_id]
    decoded = cli("decode", *checks, stdin=granted.stdout.encode())
    assert decoded.code == 0, decoded.stderr
    assert json.loads(decoded.stdout)["client_id"] == registration.client_id
    assert "the signature holds: RS256" in decoded.stderr


def _pkcs1(key: keys.PrivateKey) -> bytes:
    return key.native.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _encrypted(key: keys.PrivateKey) -> bytes:
    return key.pem(b"a passphrase for this test")


def _jwk(key: keys.PrivateKey) -> bytes:
    reader = RSAKey if key.type == "RSA" else ECKey
    return json.dumps(reader.import_key(key.pem()).as_dict(private=True)).encode()


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
@pytest.mark.parametrize("form", [_pkcs1, _encrypted, _jwk], ids=["traditional", "encrypted", "jwk"])
def test_every_form_of_the_key_gets_a_token(
    cli: Cli, provider: Provider, tmp_path: Path, name: str, form: Callable[[keys.PrivateKey], bytes]
) -> None:
    registration = provider.registrations[name]
    key = keys.load_private_key(registration.private_key_path.read_bytes(), "the key")
    path = write_private(tmp_path / "key", form(key))
    result = cli(
        *_ask(provider, registration, "--private-key", str(path), "--passphrase-file", "-"),
        stdin=b"a passphrase for this test\n",
    )
    assert (result.code, result.stderr) == (0, "")
    assert cli("decode", "--issuer", provider.issuer, stdin=result.stdout.encode()).code == 0


@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
def test_a_key_that_openssl_wrote_gets_a_token(cli: Cli, provider: Provider, tmp_path: Path, alg: str) -> None:
    registration = provider.registrations[f"{alg}-pem"]
    again = tmp_path / "again.pem"
    convert = [
        "openssl",
        "pkcs8",
        "-topk8",
        "-nocrypt",
        "-in",
        str(registration.private_key_path),
        "-out",
        str(again),
    ]
    subprocess.run(convert, check=True, capture_output=True, timeout=30)
    result = cli(*_ask(provider, registration, "--private-key", str(again)))
    assert (result.code, result.stderr) == (0, "")


def _refused(cli: Cli, provider: Provider, ask: list[str], detail: str) -> None:
    provider.drain_events()
    result = cli(*ask)
    assert (result.code, result.stdout) == (4, "")
    assert result.stderr.startswith(
        "✗   The server refused the client: invalid_client — client authentication failed\n"
        f"    client {ask[ask.index('--client-id') + 1]}\n"
        f"    401 Unauthorized from {provider.token_endpoint} · application/json\n"
    )
    [event] = provider.drain_events()  # one request, for a refusal is never tried again
    assert event.error_detail is not None
    assert detail in event.error_detail


def test_another_key_is_refused(cli: Cli, provider: Provider, tmp_path: Path) -> None:
    other = write_private(tmp_path / "other.pem", keys.generate("rsa").pem())
    ask = _ask(provider, provider.registrations["PS256-pem"], "--private-key", str(other))
    _refused(cli, provider, ask, "signature verification failed")


def test_a_replayed_jti_is_refused(cli: Cli, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = _ask(provider, provider.registrations["PS256-pem"])
    monkeypatch.setattr("uuid.uuid4", lambda: f"the same twice, at {provider.token_endpoint}")
    assert cli(*ask).code == 0
    _refused(cli, provider, ask, "must only be used once")


def test_an_expired_assertion_is_refused(cli: Cli, provider: Provider, how: How) -> None:
    ask = _ask(provider, provider.registrations["PS256-pem"])
    past = time.time() - 120
    how.clock = lambda: past
    _refused(cli, provider, ask, "jwt expired")


@pytest.mark.parametrize(
    ("more", "detail"),
    [
        (
            ["--aud", "https://login.jackhenry.com/a/oidc-provider/api/v0/token", "--allow-other-aud"],
            "audience (aud) must equal",
        ),
        (["--client-id", "nobody"], "client not found"),
        (["--kid", "wrong"], "no applicable key found"),
    ],
    ids=["wrong aud", "unknown client", "wrong kid"],
)
@pytest.mark.parametrize("name", ["PS256-pem", "ES256-jwks-uri"])
def test_what_does_not_fit_the_registration_is_refused(
    cli: Cli, provider: Provider, name: str, more: list[str], detail: str
) -> None:
    _refused(cli, provider, _ask(provider, provider.registrations[name], *more), detail)


def test_a_scope_that_was_not_granted_is_refused(cli: Cli, provider: Provider) -> None:
    result = cli(*_ask(provider, provider.registrations["PS256-pem"], "--scope", REFUSED_SCOPE))
    assert result.code == 4
    assert result.stderr.startswith("✗   The server refused the request: invalid_scope")


def test_a_scope_that_the_server_drops_without_a_word_is_a_warning(cli: Cli, provider: Provider) -> None:
    result = cli(*_ask(provider, provider.registrations["PS256-pem"], "--scope", "openid misspelt"))
    assert result.code == 0
    assert result.stderr.startswith("!   The server granted less than was asked for: not misspelt\n")


def test_discovery_leads_to_the_token_endpoint(cli: Cli, provider: Provider) -> None:
    registration = provider.registrations["ES256-pem"]
    ask = ["client-assertion", "-q", "--client-id", registration.client_id]
    result = cli(*ask, "--private-key", registration.private_key_path, "--issuer", provider.issuer)
    assert (result.code, result.stderr) == (0, "")
