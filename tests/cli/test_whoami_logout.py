"""``banno-creds whoami`` and ``banno-creds logout``: who is signed in, and how that ends."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest

from banno_creds.cli.forms import warn_of_readers
from banno_creds.cli.report import Report
from banno_creds.storage import own_files
from tests.conftest import CLIENT_ID, How
from tests.oidc import Tool, change_session, grow_older, kept, one_line, session
from tests.servers.openid_provider import SUBJECT, OpenIdProvider, signed, unsigned

if TYPE_CHECKING:
    from banno_creds.jose import keys
    from tests.conftest import Cli


# --- whoami ---


def test_claims_of_the_id_token_are_the_result(tool: Tool, provider: OpenIdProvider) -> None:
    before = len(provider.log)
    result = tool.run("whoami")
    assert result.code == 0, result.stderr
    claims = json.loads(result.stdout)
    assert (claims["sub"], claims["name"], claims["iss"]) == (SUBJECT, "Riley Doe", provider.issuer)
    assert len(provider.log) == before
    assert "Riley Doe" in result.stderr
    assert str(kept()[0]) in "".join(result.stderr.split()), "and where the tokens rest"
    assert not any(secret in result.stdout + result.stderr for secret in (*provider.issued, *provider.refresh_tokens))


@pytest.mark.parametrize("command", ["whoami", "logout"])
def test_nobody_signed_in_is_exit_6_and_says_how_to(command: str, stranger: Tool, provider: OpenIdProvider) -> None:
    result = stranger.run(command)
    assert (result.code, result.stdout) == (6, "")
    assert f"obody is signed in (client {CLIENT_ID})" in one_line(result.stderr)
    assert f"banno-creds login --client-id {CLIENT_ID} --issuer {provider.issuer}" in one_line(result.stderr)
    assert "session.missing" in result.stderr
    assert provider.log == []


@pytest.mark.posix("modes")
@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o640, True), (0o604, True), (None, False)])
def test_a_login_warns_of_a_file_that_others_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None, warns: bool
) -> None:
    file = tmp_path / "tokens.json"
    file.touch()
    report = Report()
    with file.open("w") if mode is not None else Path(os.devnull).open("w") as out:
        if mode is not None:
            file.chmod(mode)
        monkeypatch.setattr(sys, "stdout", out)
        warn_of_readers(report)
    assert report.warned is warns


def test_a_login_ends_with_the_next_commands_and_they_work(stranger: Tool, cli: Cli) -> None:
    said = stranger.log_in().stderr
    commands = [line.strip() for line in said.splitlines() if line.startswith("    banno-creds ")]
    assert [line.split()[1] for line in commands] == ["whoami", "token", "logout"]
    for line in commands:
        result = cli(*shlex.split(line, posix=sys.platform != "win32")[1:])
        stranger.browser.done()
        assert result.code == 0, result.stderr


@pytest.mark.parametrize("command", ["whoami", "logout"])
def test_a_client_that_was_not_named_is_one_of_the_logins(
    tool: Tool, cli: Cli, provider: OpenIdProvider, command: str
) -> None:
    line = f"banno-creds {command} --client-id {CLIENT_ID} --issuer {provider.issuer}"
    assert f"name the login: {line}\n" in cli(command).stderr
    assert f"there is a login of: client {CLIENT_ID}\n" in cli("token").stderr
    other = tool.cli(command, "--client-id", "another", "--private-key", tool.client[-1], "--issuer", provider.issuer)
    assert (other.code, f"there is a login of: client {CLIENT_ID}\n" in other.stderr) == (6, True)
    assert "another" not in cli(command).stderr


@pytest.mark.parametrize("command", ["logout", "whoami"])
def test_no_secret_is_asked_for_after_a_login_with_a_key(
    tool: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("banno_creds.cli.settings.client_secret", lambda *_, asks: asked.append(asks))
    result = tool.cli(command, "--client-id", CLIENT_ID, "--issuer", provider.issuer)
    assert asked == [False]
    if command == "logout":
        assert result.code == 2
        assert "its private key is not given now" in one_line(result.stderr)
        assert "add --private-key FILE, as at the login" in one_line(result.stderr)
    else:
        assert result.code == 0


def test_login_that_has_ended_and_cannot_be_renewed_is_exit_6(stranger: Tool, provider: OpenIdProvider) -> None:
    provider.offline = False
    stranger.log_in("-q")
    assert stranger.run("whoami").code == 0
    grow_older(3600)
    result = stranger.run("whoami")
    assert (result.code, result.stdout) == (6, "")
    assert "session.ended" in result.stderr


def test_login_that_can_be_renewed_is_still_somebodys(tool: Tool) -> None:
    grow_older(3600)
    assert tool.run("whoami").code == 0


def test_userinfo_is_what_the_provider_says_now(tool: Tool, provider: OpenIdProvider) -> None:
    result = tool.run("whoami", "--userinfo")
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout) == {"sub": SUBJECT, "email": "riley@example.com"}
    assert provider.asked("/me")[0].headers["authorization"] == f"Bearer {provider.issued[0]}"


def test_userinfo_is_asked_with_a_renewed_token_where_the_one_that_is_kept_is_refused(
    tool: Tool, provider: OpenIdProvider
) -> None:
    provider.issued.append("a newer one, after which the provider takes no older")
    result = tool.run("whoami", "--userinfo")
    assert result.code == 0, result.stderr
    sent = [each.headers["authorization"] for each in provider.asked("/me")]
    assert sent == [f"Bearer {provider.issued[0]}", f"Bearer {provider.issued[2]}"]


def test_userinfo_that_refuses_every_token_is_exit_4_and_asked_twice_at_the_most(
    tool: Tool, provider: OpenIdProvider
) -> None:
    change_session(provider={**session()["provider"], "userinfo_endpoint": f"{provider.issuer}/refuses"})
    result = tool.run("whoami", "--userinfo")
    assert (result.code, result.stdout) == (4, "")
    assert len(provider.asked("/refuses")) == 2
    assert "sign in again: banno-creds login" in one_line(result.stderr)
    assert not any(secret in result.stderr for secret in provider.issued)


@pytest.mark.parametrize("sub", [{"sub": "mallory"}, {"sub": None}, {"sub": ["8a1c0a52-riley"]}, {}])
def test_userinfo_of_another_person_or_of_nobody_is_exit_6_and_not_shown(
    sub: dict[str, object], tool: Tool, provider: OpenIdProvider
) -> None:
    provider.userinfo = {**sub, "email": "mallory@example.com"}
    result = tool.run("whoami", "--userinfo")
    assert (result.code, result.stdout) == (6, "")
    assert "id_token.sub.unexpected" in result.stderr
    assert "mallory" not in result.stderr


def test_userinfo_without_a_sub_is_not_called_another_persons(tool: Tool, provider: OpenIdProvider) -> None:
    for provider.userinfo in ({"data": {"sub": "riley"}}, {}, {"sub": None}):
        result = tool.run("whoami", "--userinfo")
        assert (result.code, result.stdout) == (6, "")
        assert "does not say whom it is about" in one_line(result.stderr)


def test_provider_without_userinfo_is_told(stranger: Tool, provider: OpenIdProvider) -> None:
    del provider.metadata["userinfo_endpoint"]
    stranger.log_in("-q")
    result = stranger.run("whoami", "--userinfo")
    assert (result.code, result.stdout) == (2, "")
    assert "no userinfo endpoint" in one_line(result.stderr)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"iss": None, "aud": None}, None),
        ({"aud": "another"}, "it is for another client"),
        ({"iss": "https://another.example"}, "it is another issuer's"),
        ({"sub": "mallory"}, "about another person"),
    ],
)
def test_claims_that_are_a_signed_jwt_are_verified(
    change: dict[str, str | None], said: str | None, tool: Tool, provider: OpenIdProvider
) -> None:
    claims = {"sub": SUBJECT, "email": "r@example.com", "iss": provider.issuer, "aud": CLIENT_ID, **change}
    provider.userinfo = signed({name: value for name, value in claims.items() if value}, provider.key, "ES256")
    result = tool.run("whoami", "--userinfo")
    if said is None:
        assert result.code == 0, result.stderr
        assert json.loads(result.stdout)["email"] == "r@example.com"
    else:
        assert (result.code, result.stdout) == (6, "")
        assert said in one_line(result.stderr)


def test_jwt_that_another_key_signed_or_nobody_or_that_is_encrypted_is_not_taken(
    tool: Tool, provider: OpenIdProvider, rsa_key: keys.PrivateKey
) -> None:
    for compact in (
        signed({"sub": SUBJECT}, rsa_key, "RS256"),
        unsigned({"sub": SUBJECT}),
        signed({"sub": SUBJECT}, provider.key, "ES256")[:-8] + "AAAAAAAA",
        "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d",
    ):
        provider.userinfo = compact
        result = tool.run("whoami", "--userinfo")
        assert (result.code, result.stdout) == (6, ""), result.stderr


# --- logout ---


def test_tokens_are_revoked_the_refresh_token_first_and_nothing_is_kept(tool: Tool, provider: OpenIdProvider) -> None:
    assert tool.run("token").code == 0, "so that there is an entry in the cache, and an answer"
    result = tool.run("logout")
    assert (result.code, result.stdout) == (0, "")
    revoked = [each.values for each in provider.asked("/revoke")]
    assert [(each["token_type_hint"], each["token"]) for each in revoked] == [
        ("refresh_token", provider.refresh_tokens[0]),
        ("access_token", provider.issued[0]),
    ]
    assert all("client_assertion" in each for each in revoked)
    assert kept() == []
    cache = Path(own_files.cache_folder() or "")
    held = [file.read_text() for file in cache.iterdir() if file.is_file()]
    assert not any(provider.issued[0] in text for text in held)
    assert not any(secret in result.stderr for secret in (*provider.issued, *provider.refresh_tokens))
    assert tool.run("whoami").code == 6


def test_access_token_that_has_ended_is_not_revoked(tool: Tool, provider: OpenIdProvider) -> None:
    grow_older(3600)
    assert tool.run("logout").code == 0
    assert [each.values["token_type_hint"] for each in provider.asked("/revoke")] == ["refresh_token"]


def test_keyring_entry_is_removed(stranger: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
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
    stranger.log_in("-q")
    assert list(entries.values()) == provider.refresh_tokens
    assert stranger.run("logout").code == 0
    assert entries == {}
    assert provider.asked("/revoke")[0].values["token"] == provider.refresh_tokens[0]


def test_locked_keyring_forgets_nothing_and_only_here_forgets_what_it_can(
    stranger: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger.log_in("-q")
    change_session(refresh_token=None, entry="an entry", keyring="a keyring of this test")
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert stranger.run("logout").code == 2
    assert provider.asked("/revoke") == []
    assert len(kept()) == 1
    assert stranger.run("logout", "--only-here").code == 0
    assert kept() == []


@pytest.mark.parametrize("status", [500, 503])
def test_server_that_fails_is_exit_5_and_nothing_is_forgotten(
    status: int, tool: Tool, provider: OpenIdProvider, how: How
) -> None:
    how.sleep = lambda _: None
    before = session()
    provider.revocation = (status, b"")
    result = tool.run("logout", "--timeout", "5")
    assert result.code == 5
    assert "nothing was forgotten" in one_line(result.stderr)
    assert session() == before
    provider.revocation = (200, b"")
    assert tool.run("logout").code == 0


def test_server_that_is_not_there_is_exit_5_and_nothing_is_forgotten(tool: Tool, how: How) -> None:
    how.sleep = lambda _: None
    change_session(provider={**session()["provider"], "revocation_endpoint": "http://127.0.0.1:9/revoke"})
    assert tool.run("logout", "--timeout", "5").code == 5
    assert len(kept()) == 1
    assert tool.browser.addresses[1:] == [], "nor is the browser sent there"


def test_refused_revocation_is_exit_4_and_nothing_is_forgotten_nor_shown(
    tool: Tool, provider: OpenIdProvider
) -> None:
    echo = f"no {provider.refresh_tokens[0]} here"
    provider.revocation = (401, json.dumps({"error": "invalid_client", "error_description": echo}).encode())
    result = tool.run("logout")
    assert result.code == 4
    assert provider.refresh_tokens[0] not in "".join(result.stderr.split())
    assert len(kept()) == 1


UNSUPPORTED = (400, b'{"error": "unsupported_token_type"}')


def test_access_token_that_the_server_does_not_revoke_is_no_failure_and_not_said_to_be_revoked(
    tool: Tool, provider: OpenIdProvider
) -> None:
    provider.revocations = {"access_token": UNSUPPORTED}
    result = tool.run("logout")
    assert result.code == 0
    said = one_line(result.stderr)
    assert "does not revoke access tokens: this one stays good until it ends" in said
    assert said.count("Revoked") == 1, "the refresh token"
    assert kept() == []


def test_refresh_token_that_the_server_does_not_revoke_is_exit_4_and_nothing_is_forgotten(
    tool: Tool, provider: OpenIdProvider
) -> None:
    before = session()
    provider.revocations = {"refresh_token": UNSUPPORTED}
    result = tool.run("logout")
    assert result.code == 4
    said = one_line(result.stderr)
    assert "unsupported_token_type" in said
    assert "nothing was forgotten" in said
    assert "--only-here" in said
    assert "Revoked" not in said
    assert session() == before
    assert len(tool.browser.addresses) == 1, "nor is the provider's own login ended"


def refused(error: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        refused("invalid_request"),
        refused("invalid_token"),
        (400, b""),
        (404, b""),
        (503, b""),
        (302, b""),
        (401, b"{}"),
    ],
)
def test_once_the_refresh_token_is_revoked_the_login_is_forgotten_and_the_rest_is_a_warning(
    answer: tuple[int, bytes], tool: Tool, provider: OpenIdProvider
) -> None:
    provider.revocations = {"access_token": answer}
    assert tool.run("token").code == 0, "so that the cache has it"
    result = tool.run("logout", "--timeout", "5")
    assert (result.code, result.stdout) == (0, "")
    said = one_line(result.stderr)
    assert "access token may stay good" in said or "does not know the access token any more" in said
    assert said.count("Revoked") == 1, "the refresh token"
    assert kept() == []
    held = [file.read_text() for file in Path(own_files.cache_folder() or "").iterdir() if file.is_file()]
    assert not any(provider.issued[0] in text for text in held)
    assert tool.browser.addresses[1:] != [], "the browser ends the provider's own login"
    assert tool.run("logout").code == 6


@pytest.mark.parametrize("error", ["invalid_token", "invalid_grant"])
def test_refresh_token_that_the_server_does_not_know_any_more_is_forgotten(
    error: str, tool: Tool, provider: OpenIdProvider
) -> None:
    provider.revocations = {"refresh_token": refused(error)}
    result = tool.run("logout")
    assert result.code == 0, result.stderr
    assert f"does not know the refresh token any more ({error})" in one_line(result.stderr)
    assert [each.values["token_type_hint"] for each in provider.asked("/revoke")] == ["refresh_token", "access_token"]
    assert kept() == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [(refused("invalid_request"), 4), (refused("unauthorized_client"), 4), ((404, b""), 4), ((503, b""), 5)],
)
def test_refresh_token_that_could_still_be_revoked_is_kept(
    answer: tuple[int, bytes], code: int, tool: Tool, provider: OpenIdProvider
) -> None:
    before = session()
    provider.revocations = {"refresh_token": answer}
    result = tool.run("logout", "--timeout", "5")
    assert result.code == code, result.stderr
    assert "nothing was forgotten" in one_line(result.stderr)
    assert session() == before
    assert [each.values["token_type_hint"] for each in provider.asked("/revoke") if code == 4] in (
        ["refresh_token"],
        [],
    )
    provider.revocations = {}
    assert tool.run("logout").code == 0


def test_access_token_without_a_refresh_token_is_kept_where_it_was_not_revoked(
    stranger: Tool, provider: OpenIdProvider
) -> None:
    provider.offline = False
    stranger.log_in("-q")
    provider.revocation = refused("invalid_request")
    assert stranger.run("logout").code == 4
    assert len(kept()) == 1
    provider.revocation = refused("invalid_token")
    assert stranger.run("logout").code == 0
    assert kept() == []


@pytest.mark.parametrize(
    ("methods", "sent"),
    [
        (["client_secret_post"], "post"),
        (["client_secret_basic"], "basic"),
        (["client_secret_post", "client_secret_basic"], "basic"),
        (["none"], "basic"),
        ([], "basic"),
        ("nonsense", "basic"),
        (None, "basic"),
    ],
)
def test_secret_is_sent_as_the_revocation_endpoint_takes_it(
    methods: object, sent: str, stranger: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata["revocation_endpoint_auth_methods_supported"] = methods
    stranger.client = ["--client-id", CLIENT_ID]
    env = {"BANNO_CREDS_CLIENT_SECRET": "s3cret"}
    assert stranger.log_in("-q", env=env).code == 0
    assert "authorization" in provider.asked("/token")[0].headers
    result = stranger.run("logout", env=env)
    assert result.code == 0, result.stderr
    for each in provider.asked("/revoke"):
        assert ("client_secret" in each.values, "authorization" in each.headers) == (sent == "post", sent == "basic")


@pytest.mark.parametrize(
    ("algs", "more", "alg"),
    [
        (["RS256"], [], "RS256"),
        (["ES256", "RS256"], [], "RS256"),
        (["PS256", "RS256"], [], "PS256"),
        (["ES256"], [], "PS256"),
        (None, [], "PS256"),
        (["RS256"], ["--alg", "PS256"], "PS256"),
    ],
)
def test_assertion_is_signed_as_the_revocation_endpoint_takes_it(
    algs: object, more: list[str], alg: str, stranger: Tool, provider: OpenIdProvider, rsa_pem: Path
) -> None:
    provider.metadata["revocation_endpoint_auth_signing_alg_values_supported"] = algs
    stranger.client = ["--client-id", CLIENT_ID, "--private-key", str(rsa_pem), *more]
    assert stranger.log_in("-q").code == 0
    assert stranger.run("logout").code == 0
    used = [jwt.get_unverified_header(each.values["client_assertion"])["alg"] for each in provider.asked("/revoke")]
    assert used == [alg, alg]


@pytest.mark.parametrize("body", [b"", b'{"error": "invalid_client"}'])
@pytest.mark.parametrize(
    ("methods", "code"), [(["client_secret_basic"], 0), (["private_key_jwt", "client_secret_basic"], 4), (None, 4)]
)
def test_revocation_that_takes_no_proof_of_this_client_does_not_keep_the_login_for_ever(
    methods: object, code: int, body: bytes, stranger: Tool, provider: OpenIdProvider
) -> None:
    provider.metadata["revocation_endpoint_auth_methods_supported"] = methods
    assert stranger.log_in("-q").code == 0
    provider.revocation = (401, body)
    result = stranger.run("logout")
    assert result.code == code, result.stderr
    assert len(provider.asked("/revoke")) == 1
    assert len(kept()) == (0 if code == 0 else 1)
    if code == 0:
        said = one_line(result.stderr)
        assert "tokens stay good until they end: the server revokes them by client_secret_basic alone" in said
        assert "it refused private_key_jwt" in said


def test_browser_that_does_not_come_back_is_a_warning(tool: Tool, provider: OpenIdProvider) -> None:
    change_session(provider={**session()["provider"], "end_session_endpoint": f"{provider.issuer}/nowhere"})
    uri = tool.redirect_uri.replace("/auth/cb", "/signed/out")
    result = tool.run("logout", "--post-logout-redirect-uri", uri, "--wait", "1")
    assert (result.code, result.stdout) == (0, "")
    assert "the browser did not come back within 1 s; the tokens are forgotten" in one_line(result.stderr).lower()
    assert kept() == []


@pytest.mark.parametrize("answer", [(204, b""), (200, b"<html>"), (202, b"{}")], ids=["204", "no JSON", "202"])
def test_any_success_of_the_revocation_is_one_whatever_its_body(
    answer: tuple[int, bytes], tool: Tool, provider: OpenIdProvider
) -> None:
    provider.revocation = answer
    result = tool.run("logout")
    assert result.code == 0, result.stderr
    assert one_line(result.stderr).count("Revoked") == 2
    assert kept() == []


def test_only_here_asks_nobody(tool: Tool, provider: OpenIdProvider) -> None:
    before = len(provider.log)
    assert tool.run("logout", "--only-here").code == 0
    assert kept() == []
    assert len(provider.log) == before
    assert len(tool.browser.addresses) == 1, "the login's alone"


def test_only_here_forgets_a_broken_login_too(tool: Tool) -> None:
    kept()[0].write_text("{")
    assert tool.run("logout").code == 2
    assert tool.run("logout", "--only-here").code == 0
    assert kept() == []


def test_provider_without_revocation_is_warned_of_and_the_tokens_forgotten(
    stranger: Tool, provider: OpenIdProvider
) -> None:
    del provider.metadata["revocation_endpoint"]
    stranger.log_in("-q")
    result = stranger.run("logout")
    assert result.code == 0
    assert "names no revocation endpoint" in one_line(result.stderr)
    assert kept() == []


def test_browser_ends_the_login_by_the_client_id_and_without_the_id_token(
    tool: Tool, provider: OpenIdProvider
) -> None:
    assert tool.run("logout").code == 0
    address = urlsplit(tool.browser.addresses[-1])
    assert f"{address.scheme}://{address.netloc}{address.path}" == provider.metadata["end_session_endpoint"]
    assert dict(parse_qsl(address.query)) == {"client_id": CLIENT_ID}


def test_browser_comes_back_where_it_was_asked_to(tool: Tool, provider: OpenIdProvider) -> None:
    uri = tool.redirect_uri.replace("/auth/cb", "/signed/out")
    result = tool.run("logout", "--post-logout-redirect-uri", uri, "--wait", "30")
    assert result.code == 0, result.stderr
    [asked] = provider.asked("/end")
    assert asked.values["post_logout_redirect_uri"] == uri
    assert len(asked.values["state"]) >= 43
    page = tool.browser.done()
    assert page is not None
    assert (page.status_code, page.url.path, page.url.query) == (200, "/signed-out", b"")


def test_address_is_shown_where_no_browser_is_opened(
    tool: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from banno_creds.cli import browser

    monkeypatch.setattr("banno_creds.cli.logout.show", browser.show)
    result = tool.run("logout", "--no-browser")
    assert f"{provider.issuer}/end?client_id={CLIENT_ID}" in "".join(result.stderr.split())


def test_provider_that_ends_no_logins_opens_no_browser(stranger: Tool, provider: OpenIdProvider) -> None:
    del provider.metadata["end_session_endpoint"]
    stranger.log_in("-q")
    assert stranger.run("logout").code == 0
    assert len(stranger.browser.addresses) == 1


def test_login_that_the_server_ended_is_forgotten_without_asking_it(tool: Tool, provider: OpenIdProvider) -> None:
    grow_older(3600)
    provider.failures = [(400, b'{"error": "invalid_grant"}')]
    tool.run("token")
    assert tool.run("logout").code == 0
    assert provider.asked("/revoke") == []
    assert kept() == []


def test_userinfo_is_not_asked_again_with_the_same_token(stranger: Tool, provider: OpenIdProvider) -> None:
    provider.offline = False
    stranger.log_in("-q")
    provider.issued.append("another, so that the provider refuses the one that is kept")
    assert stranger.run("whoami", "--userinfo").code == 4
    assert len(provider.asked("/me")) == 1


def test_login_with_nothing_left_to_revoke_is_forgotten(stranger: Tool, provider: OpenIdProvider) -> None:
    provider.offline = False
    stranger.log_in("-q")
    grow_older(3600)
    assert stranger.run("logout").code == 0
    assert provider.asked("/revoke") == []
    assert kept() == []


def test_without_a_home_nobody_can_be_signed_in(stranger: Tool) -> None:
    for command in ("whoami", "logout"):
        result = stranger.run(command, env=dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA"), ""))
        assert result.code == 2
        assert "BANNO_CREDS_STATE_DIR" in result.stderr
