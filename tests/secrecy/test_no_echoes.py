"""Words of servers that echo no secret stay as they are: support needs each identifier in them."""

from __future__ import annotations

import json

import pytest

from banno_creds.errors import BannoCredsError
from banno_creds.http.answers import read_object
from banno_creds.http.exchange import Answer, secrets_sent
from banno_creds.jose.encoding import base64url
from banno_creds.secrecy import Secret, without
from banno_creds.tokens.response import without_echoes
from tests.conftest import CLIENT_ID

pytestmark = pytest.mark.once

SESSION = "0b1f7a52-6c3d-4f10-9a7e-5d2c8e4b7f61"
CODE = f"e3c2a9d4-1f7b-4a55-8c0e-7b6d5a4f3e2d.{SESSION}.{CLIENT_ID}"  # as Keycloak makes it
_PARTS = (
    {"alg": "PS256", "kid": "a"},
    {"iss": CLIENT_ID, "aud": "https://login.jackhenry.com/a/token", "jti": SESSION},
)
ASSERTION = ".".join([*(base64url(json.dumps(part).encode()) for part in _PARTS), base64url(bytes(range(7, 135)))])
SECRETS = secrets_sent(
    [
        ("client_id", CLIENT_ID),
        ("code", CODE),
        ("client_secret", f"{CLIENT_ID}-Kx7Fjfp0ZBr1"),
        ("client_assertion", ASSERTION),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ("refresh_token", "0.AXoAq3WdEFzhiXKLbnoCQRscuVdXyz0123.AgABAAEAAAD"),
    ],
    [],
    None,
)

WORDS = [
    "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered",
    f"[Thumbprint of key used by client: '9A3F2C1D0E8B7A6F5D4C3B2A190807F6E5D4C3B2', app Id '{CLIENT_ID}'",
    "Trace ID: 7f0c9a3e-2b4d-4e6f-8a90-b1c2d3e4f506 Correlation ID: 1d2c3b4a-5968-7786-95a4-b3c2d1e0f0a1",
    "AADSTS7000215: Invalid client secret provided. Trace ID: a1b2c3d4-e5f6-4711-8899-aabbccddeeff",
    "AADSTS90023",
    f"Client {CLIENT_ID} not found",
    f"unknown client_id={CLIENT_ID}",
    CLIENT_ID,
    f"Session {SESSION} not active",
    SESSION,
    "the client secret is wrong",
    "code not valid",
    "req-7c1e9f3a2b4d4e6f8a90b1c2d3e4f506",
    "Root=1-67891233-abcdef012345678912345678",
    "01HF7YAT9QK3Z6W5V4X2B1C0DE",
    "cf-ray 8a1b2c3d4e5f6789-AMS",
    "Reference #18.2d351ab8.1557333295.a4e16ab",
    "Incident ID: 443000270184532456-195432187650123456",
    "aud must be https://login.jackhenry.com/a/oidc-provider/api/v0/token",
    "jti 5f8c0a3c-9a1d-4a57-b1f0-9c0a2f1f7c11 was used before",
    "no key with thumbprint SHA256:8mKq1xWc9aB7Ef2hIjZlMcOpUrStXvWpQ3nVhTyGZ0s",
    "requested scope is not allowed: https://jackhenry.com/consumer-user-search",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer is not supported",
    "the code_verifier does not match the code_challenge E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "ADMINISTRATOR approval is needed for the application before it can be used by people of your organization in it",
    "MINIMUM key length of two thousand and forty eight bits is required for the public key which is registered",
    "MICROSOFT refused the request since the application needs consent of an administrator of the organization",
    "user riley.doe@example.com is locked",
    "Unable to extract client id (1000) tid=PWhX9Qv0dJ2nZs8TtY4bLk7mRcA",
    "Illegal base64url character: '.' at com.nimbusds.jose.util.Base64URL.decode",
    "org.springframework.security.oauth2.core.OAuth2AuthenticationException: invalid",
    "IDX10223: Lifetime validation failed. ValidTo (UTC): '11/28/2026 4:01:01 PM', Current time (UTC): '11/28/2026'",
    "E0000021: Bad request. errorId: oaeZ8xYvWqB7SyB2qjH2k3LMg",
    "trace 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "100% & more \\o/",
    "%5B%22a%22%5D is no scope",
]


@pytest.mark.parametrize("words", WORDS)
def test_words_that_echo_no_secret_are_shown(words: str) -> None:
    assert without_echoes({words: [{"a": words}]}, SECRETS) == {words: [{"a": words}]}
    for body, shown in (
        ({"error": "invalid_client", "error_description": words}, words),
        ({"error": words}, words[:75]),
        ({"title": words}, words[:150]),
        ({"errors": [{"message": words}]}, words[:150]),
    ):
        headers = {"content-type": "application/json", "x-request-id": words}
        answer = Answer("https://b.example/token", 401, "No", headers, json.dumps(body).encode(), 0.1, SECRETS)
        with pytest.raises(BannoCredsError) as refused:
            read_object(answer, {})
        said = " ".join([refused.value.message, *refused.value.details])
        assert shown in said
        assert f"x-request-id {words[:75]}" in said


@pytest.mark.parametrize(
    "words",
    [CODE, f"you sent {CODE}, sir", f"{SESSION}.{CLIENT_ID}", CODE[:50], CODE.replace(".", " "), CODE.upper()],
)
def test_more_than_one_part_of_a_code_is_an_echo(words: str) -> None:
    assert without(words, SECRETS) == "(left out: the server echoes the code)"


def test_a_secret_that_begins_with_the_client_id_is_still_one() -> None:
    for words in (f"{CLIENT_ID}-Kx7Fjfp0ZBr1", f"secret={CLIENT_ID}-Kx7"):
        assert without(words, SECRETS[1:2]) == "(left out: the server echoes the client secret)"


SHORT = {
    "word": ("abcd", "you sent abcd, sir"),
    "another case": ("abcd", "ABCD"),
    "wrapped": ("ab1?d", "a b\n1?d"),
    "percent": ("p+w/4", "it is p%2bw%2F4"),
    "no letters": ("!?!?!?", "it is !?!?!?."),
    "other letters": ("пароль-секрет", "it is ПАРОЛЬ-СЕКРЕТ"),
    "other letters, percent": ("пароль", "%d0%bf%d0%b0%d1%80%d0%be%d0%bb%d1%8c"),
    "other letters and a sign, percent": ("паро-ль", "%d0%bf%d0%b0%d1%80%d0%be-%d0%bb%d1%8c"),
    "hexadecimal": ("abcd", "61626364"),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_short_secret_is_looked_for_as_a_word(name: str) -> None:
    secret, words = SHORT[name]
    assert without(words, [Secret(secret, "it")]) == "(left out: the server echoes it)"


@pytest.mark.parametrize("secret", ["", "a", "no", "bad", "   ", "cred", "words", "the-w"])
def test_a_short_secret_takes_no_words_apart(secret: str) -> None:
    words = "a bad request: no credential in the words2 of a 'word'"
    assert without(words, [Secret(secret, "it")]) == words


def test_no_secret_stays_in_a_cache_or_a_repr() -> None:
    import gc

    value = "canary-" + "x7Kq" * 10
    assert without(value, [Secret(value, "it")]) != value
    assert "canary" not in repr(Secret(value, "it"))
    squeezed = value.replace("-", "").lower()
    assert not any(type(each) is tuple and squeezed in each for each in gc.get_objects() if type(each) is tuple)
