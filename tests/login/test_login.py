"""``banno-creds login``: what is asked, what comes back, and whose word is taken for it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pexpect
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import get_default_algorithms

from banno_creds.jose import keys
from banno_creds.storage import own_files
from tests.conftest import CLIENT_ID, write_private
from tests.oidc import NO_HOME, Browser, Tool, answer_to, kept, lock, one_line, session, tool_for
from tests.person import Person
from tests.servers.openid_provider import Claims, OpenIdProvider, at_hash, signed, unsigned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Cli, Result


@pytest.fixture
def provider(rsa_key: keys.PrivateKey) -> Iterator[OpenIdProvider]:
    with OpenIdProvider(rsa_key, "RS256") as running:
        yield running


@pytest.fixture
def tool(
    cli: Cli, provider: OpenIdProvider, ec_pem: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> Tool:
    del pauses
    return tool_for(cli, provider, ec_pem, monkeypatch)


@pytest.fixture
def keyring_entries(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """The entries of a keyring that takes everything."""
    entries: dict[tuple[str, str], str] = {}

    class Backend:
        priority, name = 9, "a keyring of this test"

        def set_password(self, service: str, user: str, password: str) -> None:
            entries[service, user] = password

        def get_password(self, service: str, user: str) -> str | None:
            return entries.get((service, user))

        def delete_password(self, service: str, user: str) -> None:
            del entries[service, user]

    monkeypatch.setattr("keyring.get_keyring", Backend)
    return entries


def files_below(folder: str | None) -> list[str]:
    return sorted(str(path) for path in Path(folder or "").rglob("*") if path.is_file())


def assert_nothing_is_kept(result: Result, keyring_entries: dict[tuple[str, str], str]) -> None:
    assert result.stdout == ""
    assert kept() == []
    assert files_below(own_files.state_folder()) == []
    assert files_below(own_files.cache_folder()) == []
    assert keyring_entries == {}


# --- what goes well ---


def test_person_is_signed_in_and_stdout_is_the_token_set_alone(tool: Tool, provider: OpenIdProvider) -> None:
    result = tool.log_in()
    assert result.code == 0, result.stderr
    token_set = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert token_set["access_token"] == provider.issued[0]
    assert token_set["refresh_token"] == provider.refresh_tokens[0]
    assert {"id_token", "expires_in", "token_type", "scope"} <= set(token_set)
    page = tool.browser.done()
    assert page is not None
    assert (page.status_code, page.url.path) == (200, "/me")
    assert "Riley Doe" in page.text
    assert "no-store" in page.headers["cache-control"]


def test_each_step_is_told_in_order_and_nothing_secret_in_any(tool: Tool, provider: OpenIdProvider) -> None:
    result = tool.log_in()
    titles = [
        "Private key",
        "Discovery",
        "Authorization request",
        "Callback",
        "Token request",
        "Token response",
        "Access token",
        "Id token",
        "Kept",
    ]
    places = [result.stderr.find(f" {title}") for title in titles]
    assert -1 not in places, result.stderr
    assert places == sorted(places)
    [form] = provider.forms("authorization_code")
    hidden = [form["code"], form["code_verifier"], form["client_assertion"].rpartition(".")[2]]
    hidden += [*provider.issued, *provider.refresh_tokens, tool.browser.request["state"]]
    squeezed = "".join(result.stderr.split())
    assert [secret for secret in hidden if secret in squeezed] == []


def test_quiet_leaves_nothing_on_stderr(tool: Tool) -> None:
    result = tool.log_in("-q")
    assert (result.code, result.stderr) == (0, "")
    assert "access_token" in json.loads(result.stdout)


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("token", r"access-[\w-]+\n"),
        ("header", r"Authorization: Bearer access-[\w-]+\n"),
        ("env", r"(export )?BANNO_ACCESS_TOKEN=.*access-[\w-]+[^\n]*\n"),
    ],
)
def test_result_has_the_form_that_was_asked_for(form: str, pattern: str, tool: Tool) -> None:
    result = tool.log_in("-q", "-o", form)
    assert result.code == 0, result.stderr
    assert re.fullmatch(pattern, result.stdout)
    assert "refresh" not in result.stdout


def test_login_is_kept_in_a_file_of_its_owner_alone_and_said_to_be(tool: Tool, provider: OpenIdProvider) -> None:
    result = tool.log_in()
    [file] = kept()
    if own_files.MODES_MEAN_SOMETHING:
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert "0600" in result.stderr
    assert session()["refresh_token"] == provider.refresh_tokens[0]
    assert str(file) in "".join(result.stderr.split())


def test_a_second_login_takes_the_place_of_the_first(
    tool: Tool, provider: OpenIdProvider, keyring_entries: dict[tuple[str, str], str]
) -> None:
    tool.log_in()
    first = session()["id"]
    assert tool.log_in().code == 0
    assert session()["id"] != first
    assert list(keyring_entries.values()) == [provider.refresh_tokens[1]]


def test_login_over_one_that_can_be_renewed_says_that_its_tokens_stay_good(
    tool: Tool, provider: OpenIdProvider
) -> None:
    first = tool.log_in()
    assert "login before this one" not in one_line(first.stderr)
    second = tool.log_in()
    assert second.code == 0
    said = one_line(second.stderr)
    assert "he login before this one was replaced, and its tokens stay good" in said
    assert f"sign out first: banno-creds logout --client-id {CLIENT_ID}" in said
    assert provider.asked("/revoke") == []
    provider.offline = False
    assert tool.log_in().code == 0, "over one with a refresh token"
    assert "login before this one" not in one_line(tool.log_in().stderr), "over one without"


OFFLINE = ["--scope", "openid profile offline_access"]


@pytest.mark.parametrize(
    ("more", "variable", "sent"),
    [
        (OFFLINE, None, "consent"),
        ([*OFFLINE, "--par"], None, "consent"),
        ([], None, None),
        ([*OFFLINE, "--prompt", ""], None, None),
        ([*OFFLINE, "--prompt", "login"], None, "login"),
        ([*OFFLINE, "--prompt", "login", "--prompt", "consent"], None, "login consent"),
        ([], "select_account consent", "select_account consent"),
        (["--prompt", "login"], "consent", "login"),
    ],
)
def test_prompt_is_sent_as_asked_for_and_consent_with_offline_access(
    more: list[str], variable: str | None, sent: str | None, tool: Tool, provider: OpenIdProvider
) -> None:
    result = tool.log_in(*more, env=None if variable is None else {"BANNO_CREDS_LOGIN_PROMPT": variable})
    assert result.code == 0, result.stderr
    request = provider.asked("/par")[0].values if "--par" in more else tool.browser.request
    assert request.get("prompt") == sent
    assert "no refresh token" not in one_line(result.stderr)


@pytest.mark.parametrize(
    ("setting", "sent"), [('"login"', "login"), ('["login", "consent"]', "login consent"), ('""', None)]
)
def test_prompt_may_be_in_a_profile(setting: str, sent: str | None, tool: Tool, tmp_path: Path) -> None:
    file = tmp_path / "prompts.toml"
    file.write_text(f"[profiles.a]\nscope = 'openid offline_access'\nprompt = {setting}\n")
    result = tool.log_in("--profile", "a", "--config", str(file))
    assert result.code == 0, result.stderr
    assert tool.browser.request.get("prompt") == sent


def test_consent_is_not_asked_of_a_server_that_does_not_name_it(tool: Tool, provider: OpenIdProvider) -> None:
    provider.metadata["prompt_values_supported"] = ["none", "login"]
    assert tool.log_in(*OFFLINE).code == 0
    assert "prompt" not in tool.browser.request
    assert tool.log_in(*OFFLINE, "--prompt", "consent").code == 0
    assert tool.browser.request["prompt"] == "consent"


@pytest.mark.parametrize(
    ("more", "changes", "said", "hint"),
    [
        (OFFLINE, {}, "the server took offline_access, and sent none", "grant type refresh_token"),
        (
            OFFLINE,
            {"refresh_token": None},
            "the server took offline_access, and sent none",
            "grant type refresh_token",
        ),
        (OFFLINE, {"refresh_token": ""}, "the server took offline_access, and sent none", "grant type refresh_token"),
        (OFFLINE, {"refresh_token": "a\nb"}, "he refresh token that came cannot be used", "the server's operator"),
        (OFFLINE, {"refresh_token": 7}, "he refresh token that came cannot be used", "the server's operator"),
        (OFFLINE, {"scope": "openid"}, "the server did not grant offline_access", "ask the administrator"),
        (
            [*OFFLINE, "--prompt", "login"],
            {},
            "offline_access is ignored where nobody is asked to consent",
            "leave --prompt out, or add consent to it",
        ),
        (
            ["--scope", "openid https://b/offline_access"],
            {},
            "the server took https://b/offline_access",
            "refresh_token",
        ),
    ],
)
def test_missing_refresh_token_is_said_with_its_reason(
    more: list[str], changes: dict[str, Any], said: str, hint: str, tool: Tool, provider: OpenIdProvider
) -> None:
    provider.offline, provider.changes = False, changes
    result = tool.log_in("-q", *more)
    assert result.code == 0, result.stderr
    assert said in one_line(result.stderr)
    assert hint in one_line(result.stderr)
    assert json.loads(result.stdout)["access_token"] == provider.issued[0]


def test_answer_that_does_not_name_the_offline_scope_is_disproved_by_its_refresh_token(
    tool: Tool, provider: OpenIdProvider
) -> None:
    provider.changes = {"scope": "openid profile"}
    assert tool.log_in("-q", *OFFLINE).stderr == ""
    assert tool.run("token", "-q", "--no-cache", "--force-refresh").stderr == ""
    provider.changes = {"scope": "openid"}
    assert "granted less than was asked for: not profile" in one_line(tool.log_in("-q", *OFFLINE).stderr)


def test_login_that_asked_for_no_refresh_token_is_not_warned_of_a_missing_one(
    tool: Tool, provider: OpenIdProvider
) -> None:
    provider.offline = False
    assert tool.log_in("-q").stderr == ""


def test_broken_login_from_before_is_replaced(tool: Tool) -> None:
    tool.log_in()
    kept()[0].write_text("{")
    result = tool.log_in()
    assert result.code == 0
    assert "kept login is broken" in one_line(result.stderr)
    assert session()["renewals"] == 0


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_id_token_is_taken_with_each_algorithm_that_discovery_names(
    alg: str, tool: Tool, provider: OpenIdProvider, ec_key: keys.PrivateKey
) -> None:
    key = ec_key if alg == "ES256" else provider.key
    provider.key, provider.alg = key, alg
    provider.jwks = {"keys": [key.public.jwk()]}
    provider.metadata["id_token_signing_alg_values_supported"] = ["HS256", alg]
    assert tool.log_in().code == 0


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519", "ES384", "RS512", "PS384"])
def test_id_token_is_taken_with_each_algorithm_that_decode_verifies(
    alg: str, tool: Tool, provider: OpenIdProvider
) -> None:
    key: Any = Ed25519PrivateKey.generate()
    if alg == "ES384":
        key = ec.generate_private_key(ec.SECP384R1())
    elif alg[0] in "RP":
        key = provider.key.native
    algorithm = get_default_algorithms()["EdDSA" if alg == "Ed25519" else alg]
    provider.jwks = {"keys": [json.loads(algorithm.to_jwk(key.public_key()))]}
    provider.metadata["id_token_signing_alg_values_supported"] = ["RS256", alg]
    provider.renews_id_token = True

    def signed_so(claims: Claims) -> str:
        digest = hashlib.new(
            "sha512" if alg.startswith("Ed") else f"sha{alg[2:]}", provider.issued[-1].encode()
        ).digest()
        half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")
        claims = {**claims, "at_hash": half}
        parts = (json.dumps(part).encode() for part in ({"alg": alg}, claims))
        content = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        signature = base64.urlsafe_b64encode(algorithm.sign(content, key)).rstrip(b"=")
        return f"{content.decode()}.{signature.decode()}"

    provider.id_token = signed_so
    result = tool.log_in()
    assert result.code == 0, result.stderr
    assert f"verified: {alg}" in one_line(result.stderr)
    assert tool.run("token", "--no-cache", "--force-refresh").code == 0
    provider.id_token = lambda claims: signed_so(claims)[:-8] + "AAAAAAAA"
    assert tool.log_in().code == 6
    provider.id_token = signed_so
    provider.metadata["id_token_signing_alg_values_supported"] = ["RS256"]
    assert tool.log_in().code == 6, "discovery does not name it"


@pytest.mark.once
@pytest.mark.parametrize(
    "change",
    [
        {"exp": -290},
        {"iat": 290},
        {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID},
        {"aud": [CLIENT_ID]},
        {"at_hash": None},
    ],
)
def test_id_token_is_taken_within_the_tolerance_and_what_the_standard_leaves_open(
    change: Claims, tool: Tool, provider: OpenIdProvider
) -> None:
    provider.id_token = lambda claims: signed(changed(claims, change), provider.key, "RS256")
    result = tool.log_in()
    assert result.code == 0, result.stderr


def changed(claims: Claims, change: Claims) -> Claims:
    """Members replaced, or with None left out; times count from now."""
    now = int(time.time())
    for name, value in change.items():
        is_time = name in ("exp", "iat", "auth_time", "nbf") and type(value) is int
        claims = {**claims, name: now + value if is_time else value}
    return {name: value for name, value in claims.items() if value is not None}


# --- attacks on the id_token ---

_WRONG_CLAIMS: dict[str, tuple[Claims, str]] = {
    "for another client": ({"aud": "another"}, "aud.unexpected"),
    "for nobody": ({"aud": None}, "aud.unexpected"),
    "for others too without azp": ({"aud": [CLIENT_ID, "another"]}, "aud.unexpected"),
    "issued to another client": ({"azp": "another"}, "aud.unexpected"),
    "for a client whose name begins alike": ({"aud": CLIENT_ID + "x"}, "aud.unexpected"),
    "of another issuer": ({"iss": "http://127.0.0.1:1"}, "iss.unexpected"),
    "of no issuer": ({"iss": None}, "iss.unexpected"),
    "expired": ({"exp": -310}, "expired"),
    "without exp": ({"exp": None}, "expired"),
    "with exp as text": ({"exp": "4102444800"}, "expired"),
    "with exp in milliseconds": ({"exp": 1_000_000_000_000}, "expired"),
    "issued ahead": ({"iat": 310}, "iat.future"),
    "without iat": ({"iat": None}, "iat.future"),
    "valid later": ({"nbf": 310}, "iat.future"),
    "without nonce": ({"nonce": None}, "nonce.unexpected"),
    "with another nonce": ({"nonce": "n" * 43}, "nonce.unexpected"),
    "with a nonce that is no text": ({"nonce": ["n"]}, "nonce.unexpected"),
    "with another access token's hash": ({"at_hash": at_hash("another")}, "at_hash.unexpected"),
    "with a hash that is no text": ({"at_hash": 1}, "at_hash.unexpected"),
    "of nobody": ({"sub": None}, "sub.unexpected"),
    "of a nameless one": ({"sub": ""}, "sub.unexpected"),
    "of a number": ({"sub": 7}, "sub.unexpected"),
    "of too long a name": ({"sub": "s" * 256}, "sub.unexpected"),
}


@pytest.mark.once
@pytest.mark.parametrize(("change", "rule"), _WRONG_CLAIMS.values(), ids=_WRONG_CLAIMS)
def test_id_token_with_a_wrong_claim_ends_the_login_and_nothing_is_kept(
    change: Claims, rule: str, tool: Tool, provider: OpenIdProvider, keyring_entries: dict[tuple[str, str], str]
) -> None:
    provider.id_token = lambda claims: signed(changed(claims, change), provider.key, "RS256")
    result = tool.log_in()
    assert result.code == 6, result.stderr
    assert f"id_token.{rule}" in result.stderr
    assert_nothing_is_kept(result, keyring_entries)
    page = tool.browser.done()
    assert page is not None
    assert (page.status_code, page.url.path, page.url.query) == (400, "/failed", b"")


def _with_shared_secret(claims: Claims, secret: bytes) -> str:
    """As an attacker makes it who knows the public key; PyJWT itself would not."""
    import hashlib
    import hmac

    head, payload, _ = unsigned(claims, "HS256").split(".")
    signature = hmac.new(secret, f"{head}.{payload}".encode(), hashlib.sha256).digest()
    return f"{head}.{payload}.{jwt.utils.base64url_encode(signature).decode()}"


_OTHER_RSA = keys.generate("rsa")
_FORGED: dict[str, tuple[Callable[[Claims, OpenIdProvider], str | None], str]] = {
    "alg none": (lambda claims, _: unsigned(claims), "alg.unexpected"),
    "alg None": (lambda claims, _: unsigned(claims, "None"), "alg.unexpected"),
    "alg none with the true signature": (
        lambda claims, p: unsigned(claims) + signed(claims, p.key, "RS256").rpartition(".")[2],
        "alg.unexpected",
    ),
    "RS256 without signature": (lambda claims, _: unsigned(claims, "RS256"), "signature.unverified"),
    "HS256 by the public key's PEM": (
        lambda claims, p: _with_shared_secret(claims, p.key.public.pem()),
        "alg.unexpected",
    ),
    "HS256 by the client ID": (lambda claims, _: _with_shared_secret(claims, CLIENT_ID.encode()), "alg.unexpected"),
    "another key": (lambda claims, _: signed(claims, _OTHER_RSA, "RS256"), "signature.unverified"),
    "another key under the true key's name": (
        lambda claims, p: signed(claims, _OTHER_RSA, "RS256", kid=p.key.public.thumbprint()),
        "signature.unverified",
    ),
    "another key that it brings itself": (
        lambda claims, _: signed(claims, _OTHER_RSA, "RS256", jwk=_OTHER_RSA.public.jwk()),
        "signature.unverified",
    ),
    "an algorithm that discovery does not name": (lambda claims, p: signed(claims, p.key, "PS256"), "alg.unexpected"),
    "RS512": (lambda claims, p: signed(claims, p.key, "RS512"), "alg.unexpected"),
    "the payload exchanged": (
        lambda claims, p: ".".join(
            [
                *unsigned({**claims, "sub": "mallory"}, "RS256").split(".")[:2],
                signed(claims, p.key, "RS256").split(".")[2],
            ]
        ),
        "signature.unverified",
    ),
    "no id_token at all": (lambda _claims, _: None, "missing"),
    "no JWT": (lambda _claims, _: "eyJ", "missing"),
    "an encrypted one": (lambda _claims, _: "eyJhbGciOiJSU0EtT0FFUCJ9.YQ.YQ.YQ.YQ", "missing"),
}


@pytest.mark.once
@pytest.mark.parametrize(("forge", "rule"), _FORGED.values(), ids=_FORGED)
def test_forged_id_token_ends_the_login_and_nothing_is_kept(
    forge: Callable[[Claims, OpenIdProvider], str | None],
    rule: str,
    tool: Tool,
    provider: OpenIdProvider,
    keyring_entries: dict[tuple[str, str], str],
) -> None:
    provider.id_token = lambda claims: forge(claims, provider)
    result = tool.log_in()
    assert result.code == 6, result.stderr
    assert f"id_token.{rule}" in result.stderr
    assert_nothing_is_kept(result, keyring_entries)


def test_hs256_is_refused_though_discovery_names_it(tool: Tool, provider: OpenIdProvider) -> None:
    provider.metadata["id_token_signing_alg_values_supported"] = ["HS256", "RS256"]
    provider.id_token = lambda claims: _with_shared_secret(claims, provider.key.public.pem())
    result = tool.log_in()
    assert (result.code, kept()) == (6, [])
    assert "id_token.alg.unexpected" in result.stderr


def test_login_is_not_begun_where_discovery_names_no_algorithm_to_rely_on(
    tool: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata["id_token_signing_alg_values_supported"] = ["HS256", "none"]
    result = tool.log_in()
    assert result.code == 2
    assert tool.browser.addresses == []


@pytest.mark.parametrize("jwks", [{"keys": []}, {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}], ids=["none", "secret"])
def test_id_token_that_nobody_has_a_key_of_ends_the_login_and_nothing_is_kept(
    jwks: Claims, tool: Tool, provider: OpenIdProvider, keyring_entries: dict[tuple[str, str], str]
) -> None:
    provider.jwks = jwks
    result = tool.log_in()
    assert result.code == 6, result.stderr
    assert "id_token.signature.unverified" in result.stderr
    assert "nothing was kept" in one_line(result.stderr)
    assert_nothing_is_kept(result, keyring_entries)


@pytest.mark.parametrize("token", ["refresh-\ud800", "refresh-\n", "refresh-\x00", "refresh-é", "", 7, ["refresh"]])
def test_refresh_token_that_could_not_be_sent_back_is_not_kept_and_the_login_good(
    token: object, tool: Tool, provider: OpenIdProvider, keyring_entries: dict[tuple[str, str], str]
) -> None:
    provider.changes = {"refresh_token": token}
    result = tool.log_in("-o", "token")
    assert (result.code, result.stdout) == (0, f"{provider.issued[0]}\n"), result.stderr
    assert (session()["refresh_token"], session()["entry"], keyring_entries) == (None, None, {})
    assert tool.log_in("-o", "json").code == 0


def test_id_token_of_an_earlier_login_is_no_use_in_a_later_one(tool: Tool, provider: OpenIdProvider) -> None:
    earlier: list[str] = []

    def replay(claims: Claims) -> str:
        earlier.append(signed(claims, provider.key, "RS256"))
        return earlier[0]

    provider.id_token = replay
    assert tool.log_in().code == 0
    first = session()["id"]
    result = tool.log_in()
    assert result.code == 6
    assert "id_token.nonce.unexpected" in result.stderr
    assert session()["id"] == first, "the login of before is as it was"


@pytest.mark.parametrize("auth_time", [None, -400])
def test_max_age_is_held_against_when_the_person_signed_in(
    auth_time: int | None, tool: Tool, provider: OpenIdProvider, keyring_entries: dict[tuple[str, str], str]
) -> None:
    change = {"auth_time": auth_time}
    provider.id_token = lambda claims: signed(changed(claims, change), provider.key, "RS256")
    result = tool.log_in("--max-age", "60")
    assert result.code == 6
    assert "id_token.auth_time.too_old" in result.stderr
    assert_nothing_is_kept(result, keyring_entries)


def test_max_age_is_met_within_the_tolerance(tool: Tool, provider: OpenIdProvider) -> None:
    provider.id_token = lambda claims: signed(changed(claims, {"auth_time": -340}), provider.key, "RS256")
    assert tool.log_in("--max-age", "60").code == 0
    assert tool.browser.request["max_age"] == "60"


# --- attacks on the callback ---


def test_answer_with_another_state_is_not_used_and_the_login_goes_on(tool: Tool, provider: OpenIdProvider) -> None:
    strangers: list[int] = []

    def attack(address: str) -> None:
        base = address.partition("?")[0]
        queries = ("code=stolen&state=another", "code=stolen", "error=access_denied&state=x")
        strangers.extend(httpx.get(f"{base}?{query}", trust_env=False).status_code for query in queries)

    tool.browser.before = attack
    result = tool.log_in()
    assert result.code == 0, result.stderr
    assert strangers == [400, 400, 400]
    assert one_line(result.stderr).count("n answer to another login came") == 1, "any web page can send thousands"
    assert one_line(result.stderr).count("n answer without state was not used") == 1
    assert [form["code"] for form in provider.forms("authorization_code")] != ["stolen"]


def test_answer_by_post_is_told_and_the_login_goes_on(tool: Tool) -> None:
    def attack(address: str) -> None:
        httpx.post(address.partition("?")[0], data={"code": "x"}, trust_env=False)
        httpx.get(address.replace("localhost", "127.0.0.1"), trust_env=False)

    tool.browser.before = attack
    result = tool.log_in("-q")
    assert result.code == 0, result.stderr
    said = one_line(result.stderr)
    assert "A POST to /auth/cb was refused (response_mode form_post?): only GET is taken here" in said
    assert "A request for the host 127.0.0.1:" in said


@pytest.mark.parametrize(
    ("members", "warns"),
    [
        ({"userinfo_endpoint": "/me"}, True),
        ({"userinfo_endpoint": ["x"]}, True),
        ({"revocation_endpoint": "http://bank.example/revoke"}, True),
        ({"end_session_endpoint": False}, False),
        ({"end_session_endpoint": ""}, False),
        ({"id_token_signing_alg_values_supported": "RS256 ES256"}, False),
        ({"token_endpoint_auth_methods_supported": "private_key_jwt client_secret_basic"}, False),
    ],
)
def test_an_optional_member_that_is_odd_does_not_end_a_login(
    tool: Tool, provider: OpenIdProvider, members: dict[str, object], warns: bool
) -> None:
    provider.metadata.update(members)
    result = tool.log_in("-q")
    assert result.code == 0, result.stderr
    assert (f"provider's {next(iter(members))} is not used: " in one_line(result.stderr)) is warns
    assert ("!" in result.stderr) is warns


def test_an_error_that_is_empty_beside_a_code_is_absent(tool: Tool, provider: OpenIdProvider) -> None:
    provider.callback = lambda answer: {**answer, "error": ""}
    assert tool.log_in().code == 0


def test_a_jwk_in_the_place_of_a_set_is_read(tool: Tool, provider: OpenIdProvider) -> None:
    provider.jwks = provider.jwks["keys"][0]  # type: ignore[assignment]
    assert tool.log_in().code == 0


def test_refusal_in_latin_1_is_told_with_its_words(tool: Tool, provider: OpenIdProvider) -> None:
    def refuse(address: str) -> None:
        query = (
            f"error=access_denied&error_description=f%FCr&iss={provider.issuer}&state={tool.browser.request['state']}"
        )
        httpx.get(f"{address.partition('?')[0]}?{query}", trust_env=False)

    tool.browser.before = refuse
    result = tool.log_in()
    assert result.code == 4
    assert "he login was refused: access_denied — für" in one_line(result.stderr)


@pytest.mark.parametrize(
    "callback",
    [
        lambda answer: {**answer, "iss": "https://attacker.example"},
        lambda answer: {name: value for name, value in answer.items() if name != "iss"},
        lambda answer: {**answer, "iss": answer["iss"] + "/"},
        lambda answer: {"error": "access_denied", "state": answer["state"], "iss": "https://attacker.example"},
    ],
    ids=["another", "none", "a slash more", "another's error"],
)
def test_code_of_another_issuer_is_never_redeemed(
    callback: Callable[[dict[str, str]], dict[str, str]],
    tool: Tool,
    provider: OpenIdProvider,
    keyring_entries: dict[tuple[str, str], str],
) -> None:
    provider.callback = callback
    result = tool.log_in()
    assert result.code == 6
    assert "authorization.iss.unexpected" in result.stderr
    names_none = "iss" not in callback({"state": "", "iss": ""})
    assert ("does not say which issuer it comes from" in one_line(result.stderr)) is names_none
    assert provider.asked("/token") == []
    assert_nothing_is_kept(result, keyring_entries)


def test_issuer_need_not_be_named_where_discovery_does_not_say_so_and_must_be_right_where_it_is(
    tool: Tool, provider: OpenIdProvider
) -> None:
    del provider.metadata["authorization_response_iss_parameter_supported"]
    provider.callback = lambda answer: {name: value for name, value in answer.items() if name != "iss"}
    assert tool.log_in().code == 0
    provider.callback = lambda answer: {**answer, "iss": "https://attacker.example"}
    assert tool.log_in().code == 6


@pytest.mark.parametrize(
    ("error", "hint"), [("access_denied", "--param"), ("invalid_scope", "--scope"), ("server_error", "later")]
)
def test_refusal_in_the_browser_is_exit_4_with_the_servers_words_and_a_next_step(
    error: str, hint: str, tool: Tool, provider: OpenIdProvider, keyring_entries: dict[tuple[str, str], str]
) -> None:
    description = "End-User aborted\x1b[2J [red]interaction"
    provider.callback = lambda answer: {**answer, "code": "", "error": error, "error_description": description}
    result = tool.log_in()
    assert result.code == 4
    said = one_line(result.stderr)
    assert f"{error} — End-User aborted" in said
    assert "[red]interaction" in said
    assert "\x1b" not in result.stderr
    assert hint in said
    page = tool.browser.done()
    assert page is not None
    assert hint in page.text  # the page spells settings as the terminal does
    assert provider.asked("/token") == []
    assert_nothing_is_kept(result, keyring_entries)


def test_answer_with_neither_code_nor_error_is_exit_6(tool: Tool, provider: OpenIdProvider) -> None:
    provider.callback = lambda answer: {"state": answer["state"], "iss": answer["iss"]}
    assert tool.log_in().code == 6
    assert provider.asked("/token") == []


def test_code_is_refused_by_the_server_without_its_verifier_and_never_sent_again(
    tool: Tool, provider: OpenIdProvider, keyring_entries: dict[tuple[str, str], str]
) -> None:
    def steal(address: str) -> None:
        code = httpx.URL(address).params["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": tool.redirect_uri}
        stolen.append(httpx.post(f"{provider.issuer}/token", data=form, trust_env=False).json()["error"])

    stolen: list[str] = []
    tool.browser.before = steal
    result = tool.log_in()
    assert stolen == ["invalid_grant"]
    # The server forgets a code that somebody tried: the true login fails, and says what to do.
    assert result.code == 4
    assert "invalid_grant" in result.stderr
    assert len(provider.forms("authorization_code")) == 2
    assert_nothing_is_kept(result, keyring_entries)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_code_is_not_sent_again_where_the_server_may_have_had_it(
    status: int, tool: Tool, provider: OpenIdProvider
) -> None:
    provider.failures = [(status, b"{}")]
    assert tool.log_in().code == 5
    assert len(provider.asked("/token")) == 1


# --- what is asked ---


def test_request_is_pushed_where_the_server_asks_for_it(tool: Tool, provider: OpenIdProvider) -> None:
    provider.metadata["require_pushed_authorization_requests"] = True
    assert tool.log_in("--login-hint", "riley").code == 0
    [pushed] = provider.asked("/par")
    assert set(tool.browser.request) == {"client_id", "request_uri"}
    assert {"client_assertion", "code_challenge", "state", "nonce", "login_hint"} <= set(pushed.values)


def test_request_is_pushed_on_request_though_the_server_does_not_ask_for_it(
    tool: Tool, provider: OpenIdProvider
) -> None:
    assert tool.log_in("--login-hint", "riley").code == 0
    assert provider.asked("/par") == []
    result = tool.log_in("--login-hint", "riley", "--par")
    assert result.code == 0, result.stderr
    [pushed] = provider.asked("/par")
    assert set(tool.browser.request) == {"client_id", "request_uri"}
    assert pushed.values["login_hint"] == "riley"


def test_request_cannot_be_pushed_where_the_server_has_no_place_for_it(tool: Tool, provider: OpenIdProvider) -> None:
    del provider.metadata["pushed_authorization_request_endpoint"]
    result = tool.log_in("--par")
    assert result.code in (2, 5)
    assert "pushed_authorization_request_endpoint" in one_line(result.stderr)
    assert tool.browser.addresses == []


def test_refusal_of_a_request_that_was_not_pushed_names_the_option(tool: Tool, provider: OpenIdProvider) -> None:
    words = "Pushed Authorization Request must be used"
    provider.callback = lambda answer: answer | {"error": "invalid_request", "error_description": words}
    result = tool.log_in()
    assert result.code == 4
    assert words in one_line(result.stderr)
    assert "add --par" in one_line(result.stderr)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize("names_issuer", [None, False, True])
def test_endpoints_on_two_servers_are_warned_of_before_anybody_signs_in_unless_answers_name_the_issuer(
    name: str, names_issuer: bool | None, tool: Tool, provider: OpenIdProvider
) -> None:
    """Or a discovery document could bring another server's codes to its own (RFC 9700 section 4.4)."""
    provider.metadata[name] = provider.metadata[name].replace("127.0.0.1", "localhost")
    if names_issuer is None:
        del provider.metadata["authorization_response_iss_parameter_supported"]
    else:
        provider.metadata["authorization_response_iss_parameter_supported"] = names_issuer
    result = tool.log_in()
    assert result.code == 0, result.stderr
    said = one_line(result.stderr)
    place = said.find("has people sign in at")
    assert (place == -1) is (names_issuer is True)
    if place != -1:
        there, here = (httpx.URL(provider.metadata[each]) for each in ("authorization_endpoint", "token_endpoint"))
        assert f"sign in at {there.host}:{there.port}, and sends the code that they bring to {here.host}:" in said
        assert provider.issuer in said[place:]
        assert place < said.find("Authorization request")


def test_endpoints_on_one_server_are_warned_of_in_no_case(tool: Tool, provider: OpenIdProvider) -> None:
    del provider.metadata["authorization_response_iss_parameter_supported"]
    assert "sign in at" not in one_line(tool.log_in().stderr)


def test_options_are_in_the_authorization_request(tool: Tool, tmp_path: Path) -> None:
    claims = tmp_path / "claims.json"
    claims.write_text('{"id_token": {"email": {"essential": true}}, "userinfo": {"address": null}}')
    result = tool.log_in(
        *("--scope", "openid email", "--scope", "profile", "--claims", str(claims), "--claim-request", "name"),
        *("--param", "institution=3f85 &=ü", "--prompt", "login", "--login-hint", "riley", "--max-age", "0"),
        *("--resource", "https://api.example"),
    )
    assert result.code == 0, result.stderr
    request = tool.browser.request
    assert request["scope"] == "openid email profile"
    assert json.loads(request["claims"]) == {
        "id_token": {"email": {"essential": True}, "name": None},
        "userinfo": {"address": None},
    }
    expected = {"institution": "3f85 &=ü", "prompt": "login", "login_hint": "riley", "max_age": "0"}
    expected |= {"resource": "https://api.example", "response_type": "code", "code_challenge_method": "S256"}
    assert {name: request[name] for name in expected} == expected


def test_defaults_are_openid_profile_and_the_vendors_redirect_uri(
    cli: Cli, provider: OpenIdProvider, tool: Tool
) -> None:
    assert tool.log_in().code == 0
    assert tool.browser.request["scope"] == "openid profile"
    help_ = one_line(cli("login", "--help").stdout)
    assert "https://localhost:8080/auth/cb" in help_
    assert "default: 300" in help_


def test_each_login_has_a_state_a_nonce_and_a_verifier_of_its_own(tool: Tool, provider: OpenIdProvider) -> None:
    seen: set[str] = set()
    for _ in range(2):
        assert tool.log_in().code == 0
        seen |= {tool.browser.request[name] for name in ("state", "nonce", "code_challenge")}
    assert len(seen) == 6
    verifiers = [form["code_verifier"] for form in provider.forms("authorization_code")]
    assert len(set(verifiers)) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--scope", "profile"], "openid"),
        (["--param", "state=x"], "--param state"),
        (["--param", "redirect_uri=x"], "--redirect-uri"),
        (["--prompt", "none login"], "--prompt has none and another value"),
        (["--prompt", "none", "--prompt", "login"], "--prompt has none and another value"),
        (["--prompt", "login,consent"], "--prompt has a comma in it, and blanks separate its values"),
        (["--param", "prompt=login"], "use --prompt"),
        (["--claims", "/nowhere/claims.json"], "claims.json"),
        (["--redirect-uri", "https://bank.example/cb"], "--manual"),
    ],
)
def test_invalid_request_is_exit_2_before_anything_is_asked(
    more: list[str], said: str, tool: Tool, provider: OpenIdProvider
) -> None:
    result = tool.log_in(*more)
    assert result.code == 2, result.stderr
    assert said in one_line(result.stderr)
    assert provider.log == []


def test_login_needs_an_issuer_and_says_so(tool: Tool, provider: OpenIdProvider) -> None:
    options = [*tool.client, "--token-endpoint", f"{provider.issuer}/token", "--redirect-uri", tool.redirect_uri]
    result = tool.cli("login", *options)
    assert result.code == 2
    assert "--issuer" in result.stderr


def test_taken_port_is_told_before_anything_is_asked(tool: Tool, provider: OpenIdProvider) -> None:
    port = httpx.URL(tool.redirect_uri).port
    assert port is not None
    with socket.create_server(("127.0.0.1", port)):
        result = tool.log_in()
    assert result.code == 2
    assert str(port) in result.stderr
    assert provider.log == []


def test_nobody_coming_is_exit_5_after_wait(
    tool: Tool, keyring_entries: dict[tuple[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(Browser):
        def show(self, url: str, report: object, *, opens: bool) -> bool:
            del url, report, opens
            return True

    monkeypatch.setattr("banno_creds.cli.login.show", Closed().show)
    result = tool.log_in("--wait", "1")
    assert result.code == 5
    assert "obody signed in within 1 s" in one_line(result.stderr)
    assert_nothing_is_kept(result, keyring_entries)


# --- without a listener ---


@pytest.fixture
def pasting(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Sign in with --manual, and paste what the person made of the address that the browser ended on."""

    def log_in(paste: Callable[[str], str], *more: str) -> Result:
        def show(url: str, report: object, *, opens: bool) -> bool:
            del report, opens
            monkeypatch.setattr(sys, "stdin", io.StringIO(paste(answer_to(url)) + "\n"))
            return True

        monkeypatch.setattr("banno_creds.cli.login.show", show)
        return tool.cli("login", *tool.options, "--manual", *more)

    return log_in


@pytest.mark.parametrize(
    "paste",
    [
        lambda address: address,
        lambda address: f'"{address}"',
        lambda address: f"  <{address}> ",
        lambda address: address.partition("?")[2],
        lambda address: "?" + address.partition("?")[2],
        lambda address: address[:40] + " " + address[40:],
    ],
    ids=["whole", "quoted", "bracketed", "query", "query with its mark", "wrapped"],
)
def test_manual_takes_the_address_as_it_was_pasted(
    paste: Callable[[str], str], pasting: Callable[..., Result], provider: OpenIdProvider
) -> None:
    result = pasting(paste, "--redirect-uri", "https://bank.example/cb")
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["access_token"] == provider.issued[0]
    [form] = provider.forms("authorization_code")
    assert form["redirect_uri"] == "https://bank.example/cb"


@pytest.mark.posix("Windows has no pseudo terminal")
def test_manual_takes_another_address_at_a_terminal_where_the_first_was_of_another_login(
    tool: Tool, provider: OpenIdProvider
) -> None:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "banno_creds", "login", *tool.options, "--manual", "--redirect-uri", tool.redirect_uri],
        env={**os.environ, "TERM": "dumb"},
        dimensions=(50, 2000),
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.expect(rf"({provider.issuer}/auth\?\S+)")
        assert isinstance(child.match, re.Match)
        address = answer_to(child.match[1])
        child.expect(r"press\s+Enter")
        child.sendline(address.replace("state=", "state=x"))
        child.expect("another login")
        child.expect("paste the address of this login")
        child.sendline(address)
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == 0
    assert len(provider.forms("authorization_code")) == 1


@pytest.mark.parametrize(
    ("paste", "code", "said"),
    [
        (lambda address: address.replace("state=", "state=x"), 6, "another login"),
        (lambda address: re.sub(r"state=[^&]*", "", address), 6, "another login"),
        (lambda _: "https://localhost:8080/auth/cb", 6, "neither a code nor an error"),
        (lambda _: "yes", 6, "neither a code nor an error"),
        (lambda _: "", 2, "o address was pasted"),
        (lambda address: address + "&code=stolen", 6, "twice"),
        (lambda address: address.replace("code=", "error=access_denied&c="), 4, "access_denied"),
        (lambda address: re.sub(r"iss=[^&]*", "iss=https://attacker.example", address), 6, "another issuer"),
    ],
    ids=["other state", "no state", "no query", "no address", "nothing", "two codes", "refused", "other issuer"],
)
def test_manual_refuses_what_is_no_answer_to_this_login(
    paste: Callable[[str], str],
    code: int,
    said: str,
    pasting: Callable[..., Result],
    provider: OpenIdProvider,
    keyring_entries: dict[tuple[str, str], str],
) -> None:
    pasted: list[str] = []

    def remember(address: str) -> str:
        pasted.append(httpx.URL(address).params["code"])
        return paste(address)

    result = pasting(remember)
    assert result.code == code, result.stderr
    assert said in one_line(result.stderr)
    assert pasted[0] not in "".join(result.stderr.split())
    assert provider.asked("/token") == []
    assert_nothing_is_kept(result, keyring_entries)


def test_manual_does_not_take_both_secret_and_address_from_standard_input(
    tool: Tool, provider: OpenIdProvider
) -> None:
    result = tool.cli(
        *("login", "--client-id", CLIENT_ID, "--client-secret-file", "-", "--issuer", provider.issuer, "--manual"),
        stdin=b"s3cret\n",
    )
    assert result.code == 2
    assert "tandard input" in one_line(result.stderr)
    assert provider.log == []


# --- as a process: the browser, the screen, and Ctrl-C ---


@pytest.fixture
def begun(provider: OpenIdProvider, ec_pem: Path, tool: Tool) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begins a login as a process of its own."""
    running: list[subprocess.Popen[str]] = []

    def begin(*more: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
        environment = {name: value for name, value in os.environ.items() if name not in names} | (env or {})
        redirect = [] if "--redirect-uri" in more else ["--redirect-uri", tool.redirect_uri]
        process = subprocess.Popen(
            [sys.executable, "-m", "banno_creds", "login", *tool.options, *redirect, *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def url_shown_by(process: subprocess.Popen[str], provider: OpenIdProvider) -> str:
    assert process.stderr is not None
    shown = []
    for line in process.stderr:
        shown.append(line)
        if line.strip().startswith(f"{provider.issuer}/auth?"):
            return line.strip()
    raise AssertionError("".join(shown))


@pytest.mark.parametrize(
    ("more", "env"),
    [
        pytest.param((), {}, marks=pytest.mark.posix("Windows always has a screen")),
        (("--no-browser",), {"DISPLAY": ":9"}),
    ],
)
def test_url_is_printed_whole_without_a_screen_and_on_request(
    more: tuple[str, ...], env: dict[str, str], begun: Callable[..., subprocess.Popen[str]], provider: OpenIdProvider
) -> None:
    process = begun(*more, env=env)
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as http:
        assert http.get(url_shown_by(process, provider)).url.path == "/me"
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["access_token"] == provider.issued[0]


def test_browser_that_the_environment_names_is_given_the_url(
    tmp_path: Path, begun: Callable[..., subprocess.Popen[str]], provider: OpenIdProvider
) -> None:
    opened, script = tmp_path / "opened", tmp_path / "browser.py"
    script.write_text(
        "import os, sys\nprint('this is written by the browser')\n"
        f"open({opened.as_posix()!r} + '.part', 'w').write(sys.argv[1])\n"
        f"os.rename({opened.as_posix()!r} + '.part', {opened.as_posix()!r})\n"
    )
    python = Path(sys.executable).as_posix()
    process = begun(env={"BROWSER": f"{python} {script.as_posix()} %s"})
    while not opened.exists():
        assert process.poll() is None
        time.sleep(0.02)
    url = opened.read_text()
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as http:
        assert http.get(url).url.path == "/me"
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert set(json.loads(stdout)) >= {"access_token", "id_token"}, "and nothing that a browser wrote"


@pytest.mark.posix("to a process on Windows no Ctrl-C can be sent alone")
def test_ctrl_c_while_waiting_is_exit_130_and_leaves_nothing(
    begun: Callable[..., subprocess.Popen[str]], provider: OpenIdProvider, tool: Tool
) -> None:
    process = begun("--no-browser")
    url_shown_by(process, provider)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    assert files_below(own_files.state_folder()) == []
    port = httpx.URL(tool.redirect_uri).port
    assert port is not None
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_https_is_answered_with_a_certificate_that_is_kept(
    begun: Callable[..., subprocess.Popen[str]], provider: OpenIdProvider, tool: Tool
) -> None:
    import ssl

    uri = tool.redirect_uri.replace("http:", "https:")
    process = begun("--no-browser", "--redirect-uri", uri)
    url = url_shown_by(process, provider)
    certificate = Path(own_files.state_folder() or "") / own_files.CERTIFICATE
    context = ssl.create_default_context(cafile=certificate)
    with httpx.Client(trust_env=False, follow_redirects=True, verify=context, timeout=60) as http:
        assert http.get(url).url.path == "/me"
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    if own_files.MODES_MEAN_SOMETHING:
        assert certificate.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "make",
    [
        "no folder",
        pytest.param("others' folder", marks=pytest.mark.posix("Windows has no modes")),
        pytest.param("a link", marks=pytest.mark.posix("Windows lets only administrators make links")),
    ],
)
def test_folder_that_can_keep_no_login_is_told_before_anything_is_asked(
    make: str, tool: Tool, provider: OpenIdProvider, keyring_entries: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    if make == "no folder":
        folder = write_private(folder, b"") / "state"
    elif make == "a link":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        folder.chmod(0o1777)
    result = tool.log_in(env={"BANNO_CREDS_STATE_DIR": str(folder)})
    assert (result.code, result.stdout) == (2, "")
    assert "BANNO_CREDS_STATE_DIR" in one_line(result.stderr)
    assert provider.log == []
    assert tool.browser.addresses == []
    assert keyring_entries == {}


def test_login_that_another_process_holds_is_told_before_anything_is_asked(
    tool: Tool, provider: OpenIdProvider
) -> None:
    assert tool.log_in().code == 0
    with lock() as another:
        assert another.take()
        asked = len(provider.log)
        result = tool.log_in()
    assert (result.code, result.stdout) == (5, "")
    assert "session.busy" in result.stderr
    assert len(provider.log) == asked
    assert len(tool.browser.addresses) == 1


def test_tokens_are_given_though_they_cannot_be_kept_any_more(tool: Tool, provider: OpenIdProvider) -> None:
    assert tool.log_in().code == 0
    with lock() as another:
        before = session()
        tool.browser.before = lambda _: another.take()
        result = tool.log_in()
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["refresh_token"] == provider.refresh_tokens[1]
    assert "login is not kept: another process" in one_line(result.stderr)
    assert session() == before
    page = tool.browser.done()
    assert page is not None
    assert page.url.path == "/me"


def test_form_for_github_is_refused_elsewhere_before_anything_is_asked(tool: Tool, provider: OpenIdProvider) -> None:
    result = tool.log_in("-o", "github")
    assert (result.code, result.stdout) == (2, "")
    assert "GITHUB_ENV" in result.stderr
    assert provider.log == []
    assert tool.browser.addresses == []


def test_form_for_github_masks_the_token_and_writes_the_jobs_files(
    tool: Tool, provider: OpenIdProvider, tmp_path: Path
) -> None:
    file = write_private(tmp_path / "github", b"")
    result = tool.log_in("-o", "github", env={"GITHUB_ENV": str(file)})
    assert (result.code, result.stdout) == (0, f"::add-mask::{provider.issued[0]}\n")
    assert f"BANNO_ACCESS_TOKEN={provider.issued[0]}\n" in file.read_text()
    assert "refresh" not in file.read_text()


def test_nothing_imported_for_a_token_is_imported_for_a_login_at_the_start() -> None:
    """The help of the new commands loads none of the heavy modules."""
    code = (
        "import sys; from banno_creds.cli.main import run; run(sys.argv[1:]); "
        "print([m for m in ('httpx', 'cryptography', 'jwt', 'rich', 'keyring') if m in sys.modules], file=sys.stderr)"
    )
    for command in ("login", "whoami", "logout"):
        done = subprocess.run([sys.executable, "-c", code, command, "--help"], capture_output=True, check=True)
        assert done.stderr.decode().strip() == "[]"


def test_any_value_in_a_claim_does_no_harm_on_terminal_or_page(tool: Tool, provider: OpenIdProvider) -> None:
    script = "<script>alert(1)</script>\x1b]0;x\x07[bold]"
    provider.id_token = lambda claims: signed({**claims, "name": script}, provider.key, "RS256")
    result = tool.log_in()
    assert result.code == 0
    assert "\x1b" not in result.stderr
    assert "\x07" not in result.stderr
    page = tool.browser.done()
    assert page is not None
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


# --- against the sandbox ---


@pytest.fixture
def sandbox_for(tool: Tool, ec_key: keys.PrivateKey) -> Iterator[Callable[..., None]]:
    """Has the tool speak with a sandbox of these faults, and its user be who signs in."""
    from banno_creds.sandbox import Client, Faults, Sandbox

    with ExitStack() as stack:

        def start(*faults: str, alg: str = "RS256", **options: Any) -> None:
            registered = Client(
                CLIENT_ID,
                public_key=ec_key.public.pem().decode(),
                redirect_uris=(tool.redirect_uri,),
                id_token_signed_response_alg=alg,
            )
            running = stack.enter_context(
                Sandbox([registered], faults=Faults.read(faults), log=lambda _: None, **options)
            )
            tool.browser.person = Person("riley", "sandbox", {})
            tool.issuer = running.issuer

        yield start


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_sandbox_signs_a_person_in_and_renews_and_ends_it(
    alg: str, sandbox_for: Callable[..., None], tool: Tool
) -> None:
    sandbox_for(alg=alg)
    result = tool.log_in("--scope", "openid profile offline_access")
    assert result.code == 0, result.stderr
    assert jwt.get_unverified_header(json.loads(result.stdout)["id_token"])["alg"] == alg
    first = session()["refresh_token"]
    renewed = tool.run("token", "--force-refresh")
    assert renewed.code == 0, renewed.stderr
    assert session()["refresh_token"] not in (None, first)
    assert json.loads(tool.run("whoami", "--userinfo").stdout)["sub"] == session()["claims"]["sub"]
    tool.browser.person = None
    assert tool.run("logout").code == 0
    assert kept() == []


def test_sandbox_pushes_where_it_is_told_to(sandbox_for: Callable[..., None], tool: Tool) -> None:
    sandbox_for(require_pushed_authorization_requests=True)
    result = tool.log_in()
    assert result.code == 0, result.stderr
    assert set(tool.browser.request) == {"client_id", "request_uri"}


_SANDBOX_FAULTS = {
    "none": "alg.unexpected",
    "hs256": "alg.unexpected",
    "other-key": "signature.unverified",
    "other-client": "aud.unexpected",
    "other-issuer": "iss.unexpected",
    "expired": "expired",
    "no-nonce": "nonce.unexpected",
    "wrong-nonce": "nonce.unexpected",
    "wrong-at-hash": "at_hash.unexpected",
}


@pytest.mark.once
@pytest.mark.parametrize(("fault", "rule"), _SANDBOX_FAULTS.items())
def test_each_fault_of_the_sandboxs_id_token_is_found(
    fault: str,
    rule: str,
    sandbox_for: Callable[..., None],
    tool: Tool,
    keyring_entries: dict[tuple[str, str], str],
) -> None:
    sandbox_for(f"id-token={fault}")
    result = tool.log_in()
    assert result.code == 6, result.stderr
    assert f"id_token.{rule}" in result.stderr
    assert_nothing_is_kept(result, keyring_entries)


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("other-issuer", 6, "authorization.iss.unexpected"),
        ("no-iss", 6, "authorization.iss.unexpected"),
        ("wrong-state", 5, "other login"),
    ],
)
def test_each_fault_of_the_sandboxs_callback_is_found(
    fault: str,
    code: int,
    said: str,
    sandbox_for: Callable[..., None],
    tool: Tool,
    keyring_entries: dict[tuple[str, str], str],
) -> None:
    sandbox_for(f"callback={fault}")
    result = tool.log_in(*(["--wait", "1"] if code == 5 else []))
    assert result.code == code, result.stderr
    assert said in one_line(result.stderr)
    assert_nothing_is_kept(result, keyring_entries)


# --- what stands in the way ---


def test_issuer_of_a_named_environment_is_what_its_documented_discovery_document_says(
    tool: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from banno_creds.config import ENVIRONMENTS
    from banno_creds.login import provider as providers

    document = f"{provider.issuer}/.well-known/openid-configuration"
    monkeypatch.setattr(providers, "DOCUMENTS", {ENVIRONMENTS["production"]: document})
    result = tool.cli("login", *tool.client, "--redirect-uri", tool.redirect_uri)
    tool.browser.done()
    assert result.code == 0, result.stderr
    assert session()["provider"]["issuer"] == provider.issuer


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", [None, "http://login.example/x", 7])
def test_endpoint_that_discovery_does_not_name_or_not_as_https_ends_the_login_before_it_begins(
    name: str, url: object, tool: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata[name] = url
    result = tool.log_in()
    assert result.code in (2, 5)
    assert "More: banno-creds explain discovery." in one_line(result.stderr) or "http" in result.stderr
    assert tool.browser.addresses == []
    assert kept() == []


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((400, {"error": "invalid_request", "error_description": "no"}), 4, "invalid_request — no"),
        ((201, {"expires_in": 60}), 5, "no request_uri"),
        ((201, {"request_uri": 7}), 5, "no request_uri"),
        ((201, {"request_uri": "urn:\ud800"}), 5, "no request_uri"),
        ((201, {"request_uri": "urn:\n"}), 5, "no request_uri"),
        ((201, {"request_uri": "urn:é"}), 5, "no request_uri"),
        ((201, {"request_uri": ""}), 5, "no request_uri"),
    ],
)
def test_pushed_request_that_is_refused_opens_no_browser(
    answer: tuple[int, Claims], code: int, said: str, tool: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata["require_pushed_authorization_requests"] = True
    provider.pushing = (answer[0], json.dumps(answer[1]).encode())
    result = tool.log_in("--wait", "10")
    assert result.code == code
    assert said in one_line(result.stderr)
    assert tool.browser.addresses == []


def test_without_a_home_nothing_is_kept_and_the_token_still_given(tool: Tool, provider: OpenIdProvider) -> None:
    result = tool.log_in(env=NO_HOME)
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["access_token"] == provider.issued[0]
    https = tool.redirect_uri.replace("http:", "https:")
    without_certificate = tool.log_in("--redirect-uri", https, env=NO_HOME)
    assert without_certificate.code == 2
    assert "BANNO_CREDS_STATE_DIR" in without_certificate.stderr


def test_address_is_shown_where_no_browser_can_be_opened(
    tool: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from banno_creds.cli.browser import show
    from banno_creds.cli.report import Report

    del tool
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.delenv("BROWSER", raising=False)

    def failing(*_: object, **__: object) -> None:
        raise OSError(2, "No such file")

    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        if sys.platform == "win32":  # which has a browser of its own
            patch.setattr("banno_creds.cli.browser._OPENER", "import sys; sys.exit(1)")
        assert show(f"{provider.issuer}/auth?one", Report(), opens=True) is False
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", failing)
        assert show(f"{provider.issuer}/auth?two", Report(), opens=True) is False
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [f"/auth?{word}" in shown.err for word in ("one", "two")] == [True, True]


def test_misspelt_variable_is_warned_of_once(tool: Tool) -> None:
    result = tool.log_in("-q", env={"BANNO_CREDS_LOGIN_PROMT": "login"})
    assert result.code == 0
    assert result.stderr.count("BANNO_CREDS_LOGIN_PROMT means nothing here") == 1
    assert "BANNO_CREDS_LOGIN_PROMPT" in result.stderr
