"""What a Vault answers that is old, broken, in trouble, or none at all."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from banno_creds import ClientConfig, KeySource
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.errors import BannoCredsError, KeyLoadError, SigningError
from banno_creds.key_holders.vault import make_key
from tests.conftest import CLIENT_ID
from tests.servers.loopback import Says, says_json
from tests.servers.transit import Transit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from banno_creds.jose import keys
    from tests.conftest import Cli

TOKEN = "hvs.CAESIJ2zwOQ4mtoken0of0these0tests0alone"
URI = "vault:transit/banno"
HTML = {"content-type": "text/html"}


@pytest.fixture
def transit(no_vault: None, rsa_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transit]:
    """A Vault with an RSA key."""
    with Transit(rsa_key) as running:
        monkeypatch.setenv("VAULT_ADDR", running.origin)
        monkeypatch.setenv("VAULT_TOKEN", TOKEN)
        yield running


def _sign(alg: str | None = None, timeout: float = 20) -> bytes:
    return load_signer(ClientConfig(CLIENT_ID, KeySource.at(URI), alg=alg, timeout=timeout)).sign(b"header.payload")


def _fails(error: type[BannoCredsError] = KeyLoadError, alg: str | None = None, timeout: float = 20) -> str:
    """Return the words of the error, in which there is neither the token nor what a terminal obeys."""
    with pytest.raises(error) as caught:
        _sign(alg, timeout)
    failure = caught.value
    said = "\n".join((failure.message, *failure.details, failure.hint or ""))
    assert (failure.exit_code, bool(failure.hint)) == (3, True)
    assert TOKEN not in said + repr(vars(failure))
    assert said.replace("\n", "").isprintable()
    return said


def test_the_token_goes_in_its_header_and_nothing_else_is_asked_for(transit: Transit) -> None:
    _sign("PS256")
    assert [(each.method, each.path) for each in transit.requests] == [
        ("GET", "/v1/transit/keys/banno"),
        ("POST", "/v1/transit/sign/banno/sha2-256"),
    ]
    assert {each.headers["x-vault-token"] for each in transit.requests} == {TOKEN}
    assert {each.headers["x-vault-request"] for each in transit.requests} == {"true"}  # which an agent may want
    asked = json.loads(transit.requests[1].body)
    assert (asked["key_version"], asked["prehashed"], asked["salt_length"]) == (1, False, "hash")


def test_without_tls_there_is_no_certificate_to_skip(transit: Transit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_SKIP_VERIFY", "true")
    assert _sign()


@pytest.mark.parametrize(
    ("alg", "ignored", "words"),
    [
        ("PS256", "salt_length", "a salt of another length"),
        ("RS256", "signature_algorithm", "by RSASSA-PSS"),
        ("ES256", "marshaling_algorithm", "in DER"),
    ],
)
def test_an_old_vault_that_passes_over_a_parameter_is_told(
    transit: Transit, ec_key: keys.PrivateKey, alg: str, ignored: str, words: str
) -> None:
    transit.key = ec_key if alg == "ES256" else transit.key
    _sign(alg)
    transit.ignores = (ignored,)
    said = _fails(SigningError, alg)
    assert "signs wrongly" in said
    assert words in said


_FORMS: dict[str, tuple[Callable[[str], object], str]] = {
    "no prefix": (lambda text: text, "it gives no signature"),
    "no version": (lambda text: f"vault:{text}", "it gives no signature"),
    "another version": (lambda text: f"vault:v2:{text}", "signed with its version 2"),
    "a line end": (lambda text: f"vault:v1:{text}\n", "it gives no signature"),
    "mixed alphabets": (lambda text: f"vault:v1:-{text[1:-4]}+/==", "it gives no signature"),
    "cut off": (lambda text: f"vault:v1:{text[:-3]}", "its signature is no base64"),
    "half": (lambda text: f"vault:v1:{text[: len(text) // 2]}", "does not verify"),
    "empty": (lambda _: "vault:v1:", "it gives no signature"),
    "a number": (lambda _: 17, "it gives no signature"),
    "nothing": (lambda _: None, "it gives no signature"),
    "huge": (lambda _: "vault:v1:" + "A" * 500_000, "does not verify"),
}


@pytest.mark.parametrize("form", _FORMS)
def test_a_signature_of_another_form_is_told_and_not_used(transit: Transit, form: str) -> None:
    transit.dress, words = _FORMS[form]
    assert words in _fails(SigningError, "RS256")


def test_another_prefix_is_taken_since_the_signature_is_verified(transit: Transit) -> None:
    transit.dress = "bao:v1:{}".format
    assert _sign()


_ANSWERS: dict[str, tuple[Callable[[], Says], str]] = {
    "html": (lambda: Says(200, b"<html>Sign in</html>", HTML), "does not answer as Vault does: it is HTML"),
    "html 404": (lambda: Says(404, b"<html>", HTML), "does not answer as Vault does: it is HTML"),
    "http for TLS": (
        lambda: Says(400, b"Client sent an HTTP request to an HTTPS server.\n", {}),
        "to an HTTPS server",
    ),
    "html 502": (lambda: Says(502, b"<html>Bad gateway</html>", HTML), "cannot answer now: 502"),
    "empty": (lambda: Says(200), "there is no data in its answer"),
    "204": (lambda: Says(204), "there is no data in its answer"),
    "an array": (lambda: Says(200, b"[]"), "does not answer as Vault does"),
    "cut off": (lambda: Says(200, b'{"data": {"keys"'), "does not answer as Vault does"),
    "no data": (lambda: says_json(data=None, wrap_info={"token": "x"}), "there is no data in its answer"),
    "no keys": (lambda: says_json(data={"latest_version": 1}), "tells of no versions"),
    "version is text": (lambda: says_json(data={"latest_version": "1", "keys": {}}), "tells of no versions"),
    "version is true": (lambda: says_json(data={"latest_version": True, "keys": {}}), "tells of no versions"),
    "no version": (lambda: says_json(data={"latest_version": 1, "keys": {"\x1b[2J": 1}}), "has no version 1"),
    "a number": (
        lambda: says_json(data={"latest_version": 1, "keys": {"1": 1}, "type": "x\x1b"}),
        "is of the type x",
    ),
    "odd key": (
        lambda: says_json(data={"latest_version": 1, "keys": {"1": {"public_key": "-----BEGIN PUBLIC KEY-----x"}}}),
        "the holder of vault:transit/banno failed",
    ),
    "too large": (lambda: Says(200, b" " * 2_000_000), "larger than 1024 KiB"),
    "another length": (lambda: Says(200, b"{}", content_length=100), "no answer from Vault"),
    "slow down": (lambda: says_json(429, errors=["rate limit quota exceeded"]), "asks to slow down: 429"),
    "standby": (lambda: Says(307, headers={"location": "https://node2:8200/v1/x?y=z"}), "redirects to https://node2"),
    "sealed": (lambda: says_json(503, errors=["Vault is sealed"]), "Vault is sealed"),
    "no token": (lambda: says_json(400, errors=["missing client token"]), "missing client token"),
    "an echo": (lambda: says_json(400, errors=[f"\x1b[31mtoken {TOKEN} is odd"]), "left out"),
    "500": (lambda: says_json(500, errors=["1 error occurred:\n\t* the disk is full\n\n"]), "the disk is full"),
    "deeply nested": (lambda: Says(200, b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "as Vault does"),
    "not UTF-8": (lambda: Says(200, b'{"data": "\xff"}'), "as Vault does"),
}


@pytest.mark.parametrize("fault", _ANSWERS)
def test_an_answer_that_is_none_is_told(transit: Transit, fault: str) -> None:
    says, words = _ANSWERS[fault]
    transit.key_says = says
    assert words in _fails()
    if fault not in ("no keys", "version is text", "version is true", "no version", "a number", "odd key"):
        transit.key_says, transit.sign_says = None, says
        assert words in _fails(SigningError)


def test_a_key_that_is_not_there_is_told_whatever_is_said_of_the_mount(transit: Transit) -> None:
    transit.key_says = lambda: says_json(404, errors=[])
    assert "there is no key transit/banno in Vault" in _fails()
    transit.other_says = lambda: Says(200, b"<html>", HTML)
    assert "there is no key transit/banno in Vault" in _fails()
    transit.other_says = lambda: says_json(data={"type": f"\x1b[31m{TOKEN}", "path": None})
    assert "(left out: the server echoes the token), not transit" in _fails()


def test_no_token_is_sent_after_a_redirect(transit: Transit) -> None:
    transit.key_says = lambda: Says(302, headers={"location": f"{transit.origin}/v1/transit/keys/other"})
    assert "never followed: the token is for VAULT_ADDR alone" in _fails()
    assert len(transit.requests) == 1


def test_an_old_vault_makes_a_key_and_says_nothing_of_it(transit: Transit) -> None:
    assert make_key(f"{URI}?version=1", name="new", passphrase=lambda: None, timeout=20) == "vault:transit/new"
    asked = [each for each in transit.requests if each.method == "POST"]
    assert [(each.path, json.loads(each.body)) for each in asked] == [
        ("/v1/transit/keys/new", {"type": "rsa-2048", "exportable": False, "allow_plaintext_backup": False})
    ]


def test_a_vault_that_hangs_is_told_within_the_time_allowed(no_vault: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("VAULT_TOKEN", TOKEN)
        assert "no answer from Vault (VAULT_ADDR): no whole answer" in _fails(timeout=0.3)


def test_the_token_is_in_no_step_and_no_traceback(
    transit: Transit, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANNO_CREDS_DEBUG", "1")
    words = ("sign-jwt", "--client-id", CLIENT_ID, "--private-key", URI, "--show-secrets")
    done = cli(*words)
    assert done.code == 0, done.stderr
    transit.sign_says = lambda: says_json(403, errors=[TOKEN])
    failed = cli(*words)
    assert failed.code == 3
    assert "Traceback" in failed.stderr
    assert TOKEN not in done.stdout + done.stderr + failed.stdout + failed.stderr
