"""A person's tokens at rest, and their renewal: each refresh token is used once, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.storage import own_files
from tests import keyring_backend
from tests.conftest import CLIENT_ID, write_private
from tests.oidc import Tool, change_session, grow_older, kept, lock, one_line, session
from tests.person import ROOT
from tests.servers.loopback import Says
from tests.servers.openid_provider import OpenIdProvider, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Cli, Result
    from tests.servers.scripted import ScriptedServer

HOUR = 3600


class Keyring:
    """A keyring that can be locked, give back another thing than it took, or let go of nothing."""

    priority: float = 9
    name = "a keyring of this test"

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False
        self.given: Callable[[str], str | None] = lambda kept: kept
        self.keeps_all = False

    def set_password(self, service: str, user: str, password: str) -> None:
        self._check()
        self.entries[service, user] = password

    def get_password(self, service: str, user: str) -> str | None:
        self._check()
        return self.given(self.entries[service, user]) if (service, user) in self.entries else None

    def delete_password(self, service: str, user: str) -> None:
        self._check()
        if self.keeps_all:
            raise RuntimeError("nothing is removed here")
        del self.entries[service, user]

    def _check(self) -> None:
        if self.locked:
            raise RuntimeError("the collection is \x1b[31mlocked")

    @property
    def tokens(self) -> list[str]:
        return list(self.entries.values())


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    backend = Keyring()
    monkeypatch.setattr("keyring.get_keyring", lambda: backend)
    return backend


def token(result: Result) -> str:
    assert result.code == 0, result.stderr
    return result.stdout.strip()


# --- whose token it is ---


def test_token_is_the_persons_and_costs_no_request(tool: Tool, provider: OpenIdProvider) -> None:
    before = len(provider.log)
    assert token(tool.run("token")) == provider.issued[0]
    assert token(tool.run("token")) == provider.issued[0]
    assert len(provider.log) == before


def test_exec_gives_its_command_the_persons_token_and_no_secret(tool: Tool, provider: OpenIdProvider) -> None:
    script = "import os; print(os.environ['BANNO_ACCESS_TOKEN'], [n for n in os.environ if 'SECRET' in n])"
    done = subprocess.run(
        [sys.executable, "-m", "banno_creds", "exec", *tool.options, "--", sys.executable, "-c", script],
        env={**os.environ, "BANNO_CREDS_CLIENT_SECRET": "s3cret-of-a-client"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.split(maxsplit=1) == [provider.issued[0], "[]\n"]


def test_api_calls_with_the_persons_token_and_renews_it_once_after_a_401(
    tool: Tool, provider: OpenIdProvider, server: ScriptedServer
) -> None:
    server.says(Says(401, b"{}"), Says(200, b'{"n": 1}'))
    result = tool.run("api", "--api-base", server.url.removesuffix("/token"), "/thing")
    assert result.code == 0, result.stderr
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == [f"Bearer {each}" for each in provider.issued]
    assert list(provider.uses.values()) == [1]


def test_api_does_not_go_on_renewing_where_every_token_is_refused(
    tool: Tool, provider: OpenIdProvider, server: ScriptedServer
) -> None:
    server.says(Says(401, b"{}"))
    assert tool.run("api", "--api-base", server.url.removesuffix("/token"), "/thing").code != 0
    assert sum(provider.uses.values()) == 1


@pytest.mark.parametrize("other", ["client", "issuer", "profile"])
def test_token_of_a_login_is_for_no_other_client_issuer_or_profile(
    other: str, tool: Tool, provider: OpenIdProvider, tmp_path: Path, ec_pem: Path
) -> None:
    options = dict(zip(tool.options[::2], tool.options[1::2], strict=True))
    config = write_private(tmp_path / "config.toml", b"[profiles.other]\n")
    if other == "client":
        options["--client-id"] = "another"
    elif other == "issuer":
        options["--issuer"] = provider.issuer.replace("127.0.0.1", "localhost")
    else:
        options |= {"--config": str(config), "--profile": "other"}
    line = [each for pair in options.items() for each in pair]
    result = tool.cli("whoami", *line)
    assert result.code == 6
    assert "session.missing" in result.stderr
    tool.cli("token", *line, "--timeout", "5")
    assert provider.issued[0] not in tool.cli("token", *line, "--timeout", "5").stdout


class Profile:
    """A profile of the tool's client, in a file that is changed between two commands."""

    def __init__(self, tool: Tool, file: Path, key: Path) -> None:
        self.tool, self.file = tool, file
        self.settings = {"client_id": CLIENT_ID, "issuer": tool.issuer, "private_key": str(key)}
        self.change()

    def change(self, **settings: str) -> None:
        """Change the profile's settings."""
        self.settings |= settings
        lines = [f"{name} = '{value}'\n" for name, value in self.settings.items()]
        write_private(self.file, "".join(["[profiles.bank]\n", *lines]).encode())

    def run(self, command: str, *more: str, env: dict[str, str] | None = None) -> Result:
        """Run a command with it."""
        address = ["--redirect-uri", self.tool.redirect_uri] if command == "login" else []
        result = self.tool.cli(command, "--config", self.file, "--profile", "bank", *address, *more, env=env)
        self.tool.browser.done()
        return result


@pytest.fixture
def profile(stranger: Tool, tmp_path: Path, ec_pem: Path) -> Profile:
    """A profile that nobody has signed in to."""
    return Profile(stranger, tmp_path / "config.toml", ec_pem)


def test_profile_has_a_login_of_its_own(tool: Tool, provider: OpenIdProvider, profile: Profile) -> None:
    assert profile.run("login").code == 0
    assert len(kept()) == 2
    assert token(profile.run("token")) == provider.issued[1]
    assert token(tool.run("token")) == provider.issued[0]
    assert profile.run("logout").code == 0
    missing = profile.run("whoami")
    assert missing.code == 6
    assert "banno-creds login --profile bank" in one_line(missing.stderr)


def test_hint_names_the_file_of_the_profile_where_it_is_another_than_is_looked_for_first(profile: Profile) -> None:
    by_option = one_line(profile.run("whoami").stderr)
    assert f"banno-creds login --profile bank --config {profile.file}" in by_option
    usual = Path(str(own_files.config_folder())) / "config.toml"
    usual.parent.mkdir(parents=True)
    profile.file.rename(usual)
    by_itself = profile.tool.cli("whoami", "--profile", "bank")
    assert by_itself.code == 6
    assert "banno-creds login --profile bank" in one_line(by_itself.stderr)
    assert "--config" not in by_itself.stderr


@pytest.mark.parametrize("command", ["token", "whoami", "logout", "api /thing"])
@pytest.mark.parametrize("changed", ["client_id", "issuer"])
def test_login_that_the_profile_had_under_other_settings_is_exit_2_and_nobody_is_asked(
    changed: str, command: str, profile: Profile, provider: OpenIdProvider
) -> None:
    assert profile.run("login", "-q").code == 0
    assert profile.run("token").code == 0
    other = {"client_id": "another-client", "issuer": provider.issuer.replace("127.0.0.1", "localhost")}[changed]
    profile.change(**{changed: other})
    asked, before = len(provider.log), session()
    result = profile.run(*command.split())
    assert (result.code, result.stdout) == (2, "")
    said = one_line(result.stderr)
    assert f"made by: client {CLIENT_ID} at {provider.issuer}" in said
    now = {"client_id": CLIENT_ID, "issuer": provider.issuer, changed: other}
    assert f"now: client {now['client_id']} at {now['issuer']}" in said
    assert "sign in again: banno-creds login --profile bank" in said
    assert "banno-creds logout --profile bank" in said
    assert "--only-here" in said
    assert len(provider.log) == asked
    assert session() == before


def test_login_that_the_profile_had_under_other_settings_can_be_forgotten(
    keyring: Keyring, profile: Profile, provider: OpenIdProvider
) -> None:
    assert profile.run("login", "-q").code == 0
    profile.change(client_id="another-client")
    asked = len(provider.log)
    assert profile.run("logout", "--only-here").code == 0
    assert (kept(), keyring.entries) == ([], {})
    assert len(provider.log) == asked


def test_login_that_the_profile_had_under_other_settings_is_replaced_by_a_new_one_with_a_warning(
    keyring: Keyring, profile: Profile, provider: OpenIdProvider
) -> None:
    assert profile.run("login", "-q").code == 0
    profile.change(issuer=provider.issuer.replace("127.0.0.1", "localhost"))
    provider.metadata["issuer"] = provider.issuer = provider.issuer.replace("127.0.0.1", "localhost")
    result = profile.run("login")
    assert result.code == 0, result.stderr
    assert "was made with other settings, and is replaced" in one_line(result.stderr)
    assert keyring.tokens == [provider.refresh_tokens[1]]
    assert token(profile.run("token")) == provider.issued[1]
    assert session()["owner"]["issuer"] == provider.issuer


@pytest.mark.parametrize("command", ["logout --only-here", "login"])
def test_cache_forgets_the_access_token_that_the_profile_had_under_other_settings(
    command: str, profile: Profile, provider: OpenIdProvider
) -> None:
    assert profile.run("login", "-q").code == 0
    assert token(profile.run("token")) == provider.issued[0]
    profile.change(issuer=provider.issuer.replace("127.0.0.1", "localhost"))
    provider.metadata["issuer"] = provider.issuer = provider.issuer.replace("127.0.0.1", "localhost")
    assert profile.run(*command.split()).code == 0
    folder = Path(own_files.cache_folder() or "")
    assert [file.name for file in folder.iterdir() if provider.issued[0] in file.read_text()] == []


def test_profile_that_is_removed_says_whose_login_stays(profile: Profile) -> None:
    assert profile.run("login", "-q").code == 0
    result = profile.tool.cli("profile", "remove", "bank", "--config", profile.file)
    assert result.code == 0
    assert "the login of profile bank is kept still" in one_line(result.stderr).replace("The", "the")
    assert str(kept()[0]) in "".join(result.stderr.split())
    profile.change()
    assert profile.run("logout").code == 0
    again = profile.tool.cli("profile", "remove", "bank", "--config", profile.file)
    assert (again.code, "kept still" in one_line(again.stderr)) == (0, False)


def test_profile_whose_other_settings_are_changed_has_the_same_login(
    profile: Profile, provider: OpenIdProvider
) -> None:
    assert profile.run("login", "-q").code == 0
    profile.change(scope="openid email", alg="ES256")
    assert token(profile.run("token")) == provider.issued[0]


@pytest.fixture
def again(process: Cli, tool: Tool) -> Tool:
    """The same tool as processes of their own: only those give an answer that was given before."""
    return replace(tool, cli=process)


def test_options_of_the_request_have_no_effect_on_a_login_and_that_is_said(
    tool: Tool, again: Tool, provider: OpenIdProvider
) -> None:
    for more in (["--resource", "https://api.example"], ["--param", "a=b"]):
        assert f"{more[0]} has no effect" in one_line(tool.run("token", *more).stderr)
    for _ in range(2):  # and is not kept from who asks again
        result = again.run("token", "--scope", "other")
        assert token(result) == provider.issued[0]
        assert "--scope has no effect" in one_line(result.stderr)
        assert "sign in again" in one_line(result.stderr)


@pytest.mark.parametrize(
    ("scope", "warns"), [("openid profile", False), ("profile openid", False), ("openid", True), ("openid x", True)]
)
def test_scope_in_the_environment_is_warned_of_where_it_is_not_the_logins(
    scope: str, warns: bool, tool: Tool, provider: OpenIdProvider
) -> None:
    result = tool.run("token", env={"BANNO_CREDS_SCOPE": scope})
    assert token(result) == provider.issued[0]
    assert ("BANNO_CREDS_SCOPE has no effect" in one_line(result.stderr)) is warns
    assert warns or result.stderr == ""


def test_client_with_a_secret_has_a_token_only_where_somebody_signed_in(
    stranger: Tool, provider: OpenIdProvider, tmp_path: Path
) -> None:
    secret = write_private(tmp_path / "secret.txt", b"s3cret-of-a-client")
    stranger.client = ["--client-id", CLIENT_ID]
    for more, env in ((["--client-secret-file", str(secret)], {}), ([], {"BANNO_CREDS_CLIENT_SECRET": "s3cret"})):
        result = stranger.run("token", *more, env=env)
        assert (result.code, result.stdout) == (6, "")
        assert f"sign in: banno-creds login --client-id {CLIENT_ID}" in one_line(result.stderr)
    assert provider.log == []


def test_earlier_logins_access_token_is_in_no_cache_any_more(
    tool: Tool, again: Tool, provider: OpenIdProvider
) -> None:
    assert {token(again.run("token")) for _ in range(2)} == {provider.issued[0]}
    folder = Path(own_files.cache_folder() or "")
    assert sum(provider.issued[0] in file.read_text() for file in folder.iterdir()) == 2
    assert tool.log_in().code == 0
    assert sum(provider.issued[0] in file.read_text() for file in folder.iterdir()) == 0


def test_answer_that_was_given_before_is_not_given_after_renewal_login_or_logout(
    tool: Tool, again: Tool, provider: OpenIdProvider
) -> None:
    assert {token(again.run("token")) for _ in range(2)} == {provider.issued[0]}
    assert len(answers()) == 1
    assert token(tool.run("token", "--force-refresh")) == provider.issued[1]
    assert token(again.run("token")) == provider.issued[1]
    assert tool.log_in().code == 0
    assert token(again.run("token")) == provider.issued[2]
    assert tool.run("logout").code == 0
    assert again.run("token").stdout == ""
    assert answers() == []


def test_answer_that_was_given_before_is_not_given_after_a_logout_with_another_cache(
    tool: Tool, again: Tool, provider: OpenIdProvider, tmp_path: Path
) -> None:
    assert token(again.run("token")) == provider.issued[0]
    elsewhere = {"BANNO_CREDS_CACHE_DIR": str(tmp_path / "another cache")}
    assert tool.run("logout", env=elsewhere).code == 0
    assert answers() == []
    assert again.run("token").stdout == ""


def test_answer_of_the_clients_own_is_not_given_after_a_login(
    stranger: Tool, process: Cli, provider: OpenIdProvider
) -> None:
    own = json.dumps({"access_token": "of-the-client", "token_type": "Bearer", "expires_in": 600})
    provider.failures = [(200, own.encode())]
    again = replace(stranger, cli=process)
    assert {token(again.run("token")) for _ in range(2)} == {"of-the-client"}
    assert len(answers()) == 1
    assert stranger.log_in().code == 0
    assert token(again.run("token")) == provider.issued[0]


def answers() -> list[Path]:
    """The answers that are kept to be given again."""
    return sorted(Path(own_files.cache_folder() or "").glob(f"*{own_files.ANSWER}"))


# --- renewal ---


def test_token_that_has_ended_is_renewed_and_the_new_refresh_token_kept(tool: Tool, provider: OpenIdProvider) -> None:
    grow_older(HOUR)
    assert token(tool.run("token")) == provider.issued[1]
    assert session()["refresh_token"] == provider.refresh_tokens[1]
    assert session()["asked"] is False
    grow_older(HOUR)
    assert token(tool.run("token", "--no-cache")) == provider.issued[2]
    assert list(provider.uses.values()) == [1, 1]


def test_refresh_token_that_is_not_replaced_is_kept(tool: Tool, provider: OpenIdProvider) -> None:
    provider.rotates = False
    for number in (1, 2):
        grow_older(HOUR)
        assert token(tool.run("token", "--no-cache")) == provider.issued[number]
    assert session()["refresh_token"] == provider.refresh_tokens[0]
    assert len(provider.refresh_tokens) == 1


def test_result_has_no_refresh_token_and_still_the_id_token(tool: Tool) -> None:
    grow_older(HOUR)
    token_set = json.loads(tool.run("token", "-o", "json").stdout)
    assert "refresh_token" not in token_set
    assert {"access_token", "id_token", "scope"} <= set(token_set)


def test_min_ttl_and_force_refresh_renew_what_is_still_good(tool: Tool, provider: OpenIdProvider) -> None:
    assert token(tool.run("token", "--no-cache", "--min-ttl", "500")) == provider.issued[0]
    assert token(tool.run("token", "--no-cache", "--min-ttl", "601")) == provider.issued[1]
    assert token(tool.run("token", "--no-cache", "--force-refresh")) == provider.issued[2]


def test_steps_of_a_renewal_hold_no_token(tool: Tool, provider: OpenIdProvider) -> None:
    grow_older(HOUR)
    result = tool.run("token", "-v")
    assert "grant_type=refresh_token" in one_line(result.stderr)
    squeezed = "".join(result.stderr.split())
    assert [each for each in (*provider.refresh_tokens, *provider.issued) if each in squeezed] == []


def test_id_token_that_comes_with_new_tokens_replaces_the_claims(tool: Tool, provider: OpenIdProvider) -> None:
    provider.renews_id_token = True
    provider.id_token = lambda claims: signed({**claims, "name": "Riley Roe"}, provider.key, "ES256")
    grow_older(HOUR)
    assert tool.run("token").code == 0
    assert session()["claims"]["name"] == "Riley Roe"


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("name", ["id_token", "refresh_token", "scope", "expires_in", "error", "token_type"])
def test_what_is_null_or_empty_in_a_renewal_is_absent_and_ends_nothing(
    tool: Tool, provider: OpenIdProvider, name: str, nothing: str | None
) -> None:
    provider.rotates = name != "refresh_token"
    provider.changes = {name: nothing}
    before = session()
    grow_older(HOUR)
    assert token(tool.run("token", "--no-cache")) == provider.issued[1]
    after = session()
    assert (after["ended"], after["claims"]) == (None, before["claims"])
    assert after["response"]["id_token"] == before["response"]["id_token"]
    assert after["response"]["scope"] == before["response"]["scope"]
    assert after["refresh_token"] == provider.refresh_tokens[-1]


def test_id_token_of_another_person_ends_the_login(tool: Tool, provider: OpenIdProvider) -> None:
    provider.renews_id_token, provider.subject = True, "mallory"
    grow_older(HOUR)
    result = tool.run("token")
    assert (result.code, result.stdout) == (6, "")
    assert "id_token.sub.unexpected" in result.stderr
    assert session()["response"] == {}
    assert session()["refresh_token"] is None
    after = tool.run("token")
    assert (after.code, after.stdout) == (6, "")
    assert "session.ended" in after.stderr


@pytest.mark.parametrize("more", [[], ["--no-cache"]], ids=["cached", "no cache"])
def test_token_whose_id_token_could_not_be_looked_at_is_not_given_and_its_refresh_token_kept(
    more: list[str], tool: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.renews_id_token = True
    change_session(provider={**session()["provider"], "jwks_uri": "http://127.0.0.1:9/jwks"})
    failed = tool.run("token", *more, "--force-refresh", "--timeout", "5")
    assert (failed.code, failed.stdout) == (5, "")
    assert session()["refresh_token"] == provider.refresh_tokens[1]
    assert session()["asked"] is False
    assert token(tool.run("token", *more)) == provider.issued[0], "the one from before is good still"
    grow_older(HOUR)
    provider.renews_id_token = False
    assert token(tool.run("token", "--no-cache")) == provider.issued[2]
    assert list(provider.uses.values()) == [1, 1]


def test_id_token_that_comes_with_new_tokens_and_nobody_has_a_key_of_ends_the_login(
    keyring: Keyring, tool: Tool, provider: OpenIdProvider
) -> None:
    provider.renews_id_token = True
    provider.jwks = {"keys": []}
    result = tool.run("token", "--force-refresh")
    assert (result.code, result.stdout) == (6, "")
    assert "id_token.signature.unverified" in result.stderr
    assert (session()["response"], session()["refresh_token"], keyring.entries) == ({}, None, {})
    after = tool.run("token")
    assert (after.code, after.stdout) == (6, "")
    assert "session.ended" in after.stderr


@pytest.mark.parametrize("more", [[], ["--no-cache"], ["--force-refresh"]], ids=" ".join)
def test_refused_renewal_ends_the_login_and_the_server_is_not_asked_again(
    more: list[str], tool: Tool, provider: OpenIdProvider
) -> None:
    grow_older(HOUR)
    provider.failures = [(400, b'{"error": "invalid_grant", "error_description": "grant request is invalid"}')]
    first = tool.run("token", *more)
    assert first.code == 4
    assert "invalid_grant — grant request is invalid" in one_line(first.stderr)
    assert "sign in again: banno-creds login" in one_line(first.stderr)
    asked = len(provider.log)
    again = tool.run("token", *more)
    assert (again.code, again.stdout) == (6, "")
    assert "session.ended" in again.stderr
    assert len(provider.log) == asked
    assert session()["refresh_token"] is None
    assert tool.log_in().code == 0
    assert token(tool.run("token", *more)) in provider.issued


def test_good_token_is_not_given_any_more_once_the_renewal_was_refused(tool: Tool, provider: OpenIdProvider) -> None:
    assert tool.run("token").code == 0
    provider.failures = [(400, b'{"error": "invalid_grant"}')]
    assert tool.run("token", "--force-refresh").code == 4
    assert tool.run("token").code == 6


@pytest.mark.parametrize("error", ["invalid_client", "invalid_scope", "unauthorized_client"])
def test_refusal_of_another_kind_leaves_the_login_as_it_was(error: str, tool: Tool, provider: OpenIdProvider) -> None:
    grow_older(HOUR)
    before = session()
    provider.failures = [(400, json.dumps({"error": error}).encode())]
    assert tool.run("token", "--no-cache").code == 4
    assert session() == before
    assert token(tool.run("token", "--no-cache")) == provider.issued[1]


def test_refresh_token_is_not_sent_again_where_the_server_may_have_had_it(
    tool: Tool, provider: OpenIdProvider
) -> None:
    grow_older(HOUR)
    provider.failures = [(503, b"")]
    assert tool.run("token", "--no-cache").code == 5
    assert list(provider.uses.values()) == [1]
    assert session()["asked"] is True
    later = tool.run("token", "--no-cache")
    assert token(later) == provider.issued[1]
    assert "was used before" in one_line(later.stderr)


def test_request_that_never_reached_the_server_is_tried_again(
    tool: Tool, provider: OpenIdProvider, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from banno_creds.errors import UnavailableError
    from banno_creds.http.client import HttpClient

    grow_older(HOUR)
    real = HttpClient.post_form
    failed: list[int] = []

    def post_form(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not failed:
            failed.append(1)
            failure = UnavailableError("no connection", retryable=True)
            failure.sent = False
            raise failure
        return real(self, *args, **kwargs)

    monkeypatch.setattr(HttpClient, "post_form", post_form)
    assert token(tool.run("token", "--no-cache")) == provider.issued[1]
    assert list(provider.uses.values()) == [1]
    assert len(pauses) == 1


def test_server_that_is_not_there_leaves_the_login_as_it_was(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    grow_older(HOUR)
    provider = {**session()["provider"], "token_endpoint": "http://127.0.0.1:9/token"}
    change_session(provider=provider)
    before = session()
    assert tool.run("token", "--no-cache", "--timeout", "5").code == 5
    assert session() == before


# --- without a refresh token ---


def test_without_a_refresh_token_the_token_is_good_until_it_ends(stranger: Tool, provider: OpenIdProvider) -> None:
    provider.offline = False
    stranger.log_in("-q")
    assert token(stranger.run("token", "--min-ttl", "700")) == provider.issued[0]
    forced = stranger.run("token", "--force-refresh", "--no-cache")
    assert token(forced) == provider.issued[0]
    assert "cannot be renewed" in one_line(forced.stderr)
    grow_older(HOUR)
    ended = stranger.run("token", "--no-cache")
    assert (ended.code, ended.stdout) == (6, "")
    said = one_line(ended.stderr)
    assert "no refresh token came with it" in said
    assert "sign in again: banno-creds login" in said
    assert len(provider.asked("/token")) == 1


# --- several at once, and what breaks off ---


def started(tool: Tool, *more: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "banno_creds", "token", *tool.options, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **(env or {})},
    )


@pytest.mark.parametrize(
    ("more", "env"),
    [
        ([], {}),
        (["--no-cache"], {}),
        (["--force-refresh"], {}),
        (["--force-refresh", "--no-cache"], {}),
        ([], {"BANNO_CREDS_CACHE_DIR": "FILE/cache"}),
    ],
    ids=["cached", "no cache", "forced", "forced without cache", "cache unusable"],
)
def test_processes_at_the_same_time_use_each_refresh_token_once(
    more: list[str], env: dict[str, str], tool: Tool, provider: OpenIdProvider
) -> None:
    grow_older(HOUR)
    provider.gate.clear()
    env = {name: value.replace("FILE", str(kept()[0])) for name, value in env.items()}
    processes = [started(tool, *more, env=env) for _ in range(3)]
    provider.wait_for("/token", 2)  # the login's, and the first renewal
    provider.gate.set()
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, said
    assert {stdout.strip() for stdout, _ in said} <= set(provider.issued[1:])
    assert set(provider.uses.values()) == {1}
    if "--force-refresh" not in more:
        assert len(provider.uses) == 1


@contextmanager
def waiting_for_the_lock(tool: Tool) -> Iterator[subprocess.Popen[str]]:
    """A process that has read the login, and then waits for the one that renews it: for us."""
    with lock() as ours:
        assert ours.take()
        process = started(tool, "-v", "--no-cache", "--force-refresh")
        assert process.stderr is not None
        assert any("Login" in line for line in process.stderr)
        yield process


def test_what_another_process_renewed_meanwhile_is_new_enough_though_it_was_forced(
    tool: Tool, provider: OpenIdProvider
) -> None:
    with waiting_for_the_lock(tool) as process:
        change_session(renewals=1, response={**session()["response"], "access_token": "renewed-meanwhile"})
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, "renewed-meanwhile\n"), stderr
    assert not provider.uses


def test_refusal_does_not_end_what_another_process_renewed_meanwhile(tool: Tool, provider: OpenIdProvider) -> None:
    """Somebody took the lock's file away, and so two used the refresh token: the second one is refused."""

    class Meanwhile(list[tuple[int, bytes]]):
        def pop(self, index: Any = 0) -> tuple[int, bytes]:
            response = {**session()["response"], "access_token": "the-winners"}
            change_session(renewals=1, refresh_token="refresh-winner", response=response, asked=False)
            return super().pop(index)

    provider.failures = Meanwhile([(400, b'{"error": "invalid_grant"}')])
    refused = tool.run("token", "--no-cache", "--force-refresh")
    assert (refused.code, refused.stdout) == (4, "")
    assert (session()["ended"], session()["refresh_token"]) == (None, "refresh-winner")
    assert token(tool.run("token", "--no-cache")) == "the-winners"


@pytest.mark.parametrize("is_forgotten", [False, True], ids=["ended", "forgotten"])
def test_login_that_ended_meanwhile_is_not_renewed(is_forgotten: bool, tool: Tool, provider: OpenIdProvider) -> None:
    with waiting_for_the_lock(tool) as process:
        if is_forgotten:
            kept()[0].unlink()
        else:
            change_session(ended="another process was refused")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (6, "")
    assert ("session.missing" if is_forgotten else "session.ended") in stderr
    assert not provider.uses


@pytest.mark.parametrize("more", [[], ["--no-cache"]], ids=["cached", "no cache"])
def test_hung_process_is_waited_for_and_its_refresh_token_never_used_a_second_time(
    more: list[str], tool: Tool, provider: OpenIdProvider
) -> None:
    grow_older(HOUR)
    with lock() as hung:
        assert hung.take()
        result = tool.run("token", *more, "--timeout", "0.2")
    assert (result.code, result.stdout) == (5, "")
    assert "session.busy" in result.stderr
    assert not provider.uses
    assert tool.run("token", "--no-cache").code == 0


def test_killed_while_the_server_thinks_the_next_one_tries_once_more_and_says_so(
    tool: Tool, provider: OpenIdProvider
) -> None:
    grow_older(HOUR)
    provider.gate.clear()
    process = started(tool, "--no-cache")
    provider.wait_for("/token", 2)
    process.kill()
    process.communicate()
    provider.failures = [(200, b"lost with the process")]
    provider.gate.set()
    provider.wait_for_failures()
    assert session()["asked"] is True
    result = tool.run("token", "--no-cache")
    assert token(result) == provider.issued[1]
    assert "was used before" in one_line(result.stderr)


_KILLED = """
import os, sys
from banno_creds.storage import own_files
from banno_creds.cli.main import run
from tests.keyring_backend import FileKeyring

left = int(sys.argv[1])

def counted(change, counts=lambda *_: True):
    def before(*args):
        global left
        if counts(*args):
            if left == 0:
                os.kill(os.getpid(), 9)  # on Windows, TerminateProcess
            left -= 1
        return change(*args)
    return before

os.replace = counted(os.replace, lambda source, target: target.endswith(own_files.LOGIN))
FileKeyring.set_password = counted(FileKeyring.set_password)
FileKeyring.delete_password = counted(FileKeyring.delete_password)
run(sys.argv[2:])
"""


@pytest.fixture
def keyring_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a keyring that this process and its children find."""
    file = tmp_path / "keyring.json"
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests.keyring_backend.FileKeyring")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(keyring_backend.FILE, str(file))
    monkeypatch.setattr("keyring.get_keyring", keyring_backend.FileKeyring)
    return file


# The file says that the token is being used, and then has the new one; the keyring takes that, and the file says so;
# the keyring lets go of the old one; the file has the rest.
_CHANGES = {"file": 3, "keyring": 6}
_KILLED_CODE = 9 if sys.platform == "win32" else -9


@pytest.mark.parametrize(
    ("place", "change"),
    [(place, change) for place, changes in _CHANGES.items() for change in range(changes + 1)],
)
def test_killed_at_any_change_the_newest_refresh_token_that_came_can_be_used_and_forgotten(
    place: str, change: int, stranger: Tool, provider: OpenIdProvider, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue("keyring_file") if place == "keyring" else None
    assert stranger.log_in("-q").code == 0
    grow_older(HOUR)
    provider.renews_id_token = True
    killed = [sys.executable, "-c", _KILLED, str(change), "token", *stranger.options, "--no-cache"]
    is_whole = change == _CHANGES[place]
    assert subprocess.run(killed, capture_output=True, check=False).returncode == (0 if is_whole else _KILLED_CODE)
    if change == 1:
        # The answer was lost with the process: what there is was used.
        assert session()["asked"] is True
        provider.forgive()
    else:
        assert session()["asked"] is False
    # Whether what came with it is to be relied on was not looked at yet.
    assert session()["response"]["access_token"] == provider.issued[-1 if is_whole else 0]
    assert token(stranger.run("token", "--no-cache", "--force-refresh")) == provider.issued[-1]
    presented = provider.forms("refresh_token")[-1]["refresh_token"]
    assert presented == provider.refresh_tokens[-2 if change != 1 else 0]
    held = {} if file is None else json.loads(file.read_text())
    assert list(held.values()) == ([] if file is None else [provider.refresh_tokens[-1]])
    assert stranger.run("logout").code == 0
    assert kept() == []
    assert file is None or json.loads(file.read_text()) == {}


def interrupt(monkeypatch: pytest.MonkeyPatch, keyring: Keyring, change: int, *, before: bool) -> None:
    """Have Ctrl-C be pressed once, at one of the changes to the login's file and the keyring."""
    left = change

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1 and before:
                raise KeyboardInterrupt
            result = real(*args)
            if left == -1:
                raise KeyboardInterrupt
            return result

        return act

    write, others = own_files.write, counted(own_files.write)
    monkeypatch.setattr(
        own_files, "write", lambda path, content: (others if path.endswith(own_files.LOGIN) else write)(path, content)
    )
    for name in ("set_password", "get_password", "delete_password"):
        monkeypatch.setattr(keyring, name, counted(getattr(keyring, name)))


# As above; and each time the keyring is asked for what it has.
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("change", range(8))
def test_interrupted_at_any_change_the_newest_refresh_token_that_came_can_be_used_and_forgotten(
    change: int,
    before: bool,
    keyring: Keyring,
    tool: Tool,
    provider: OpenIdProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grow_older(HOUR)
    with monkeypatch.context() as patch:
        interrupt(patch, keyring, change, before=before)
        assert tool.run("token", "--no-cache").code == 130
    is_lost = (change, before) == (2, True)
    if is_lost:
        provider.forgive()
    assert token(tool.run("token", "--no-cache", "--force-refresh")) == provider.issued[-1]
    assert provider.forms("refresh_token")[-1]["refresh_token"] == provider.refresh_tokens[0 if is_lost else -2]
    assert keyring.tokens == [provider.refresh_tokens[-1]]
    assert tool.run("logout").code == 0
    assert (kept(), keyring.entries) == ([], {})


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("change", range(4))
def test_login_over_another_that_is_interrupted_leaves_one_of_them_whole(
    change: int,
    before: bool,
    keyring: Keyring,
    tool: Tool,
    provider: OpenIdProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, keyring, change, before=before)
        assert tool.log_in().code == 130
    is_old = (change, before) == (0, True)
    assert session()["response"]["access_token"] == provider.issued[0 if is_old else 1]
    assert token(tool.run("token", "--no-cache", "--force-refresh")) == provider.issued[2]
    assert provider.forms("refresh_token")[-1]["refresh_token"] == provider.refresh_tokens[0 if is_old else 1]
    assert keyring.tokens == [provider.refresh_tokens[2]]
    assert tool.run("logout").code == 0
    assert (kept(), keyring.entries) == ([], {})


def sign_in_as_process(tool: Tool, env: dict[str, str]) -> str:
    """Sign in by a process of its own; what it said."""
    import httpx

    with subprocess.Popen(
        [
            *(sys.executable, "-m", "banno_creds", "login", *tool.options),
            *("--redirect-uri", tool.redirect_uri, "--no-browser"),
        ],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.strip().startswith(f"{tool.provider.issuer}/auth?"):
                with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as http:
                    http.get(line.strip())
        assert process.stdout is not None
        process.stdout.read()
    text = "".join(said)
    assert process.returncode == 0, text
    return text


def test_full_disk_is_noticed_before_the_refresh_token_is_used(
    tool: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow_older(HOUR)
    before = session()

    def full(path: str, content: bytes) -> None:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(own_files, "write", full)
    result = tool.run("token", "--no-cache")
    assert (result.code, result.stdout) == (2, "")
    assert "No space left" in one_line(result.stderr)
    assert not provider.uses
    assert session() == before


# --- at rest ---


def test_refresh_token_rests_in_the_keyring_alone(keyring: Keyring, stranger: Tool, provider: OpenIdProvider) -> None:
    result = stranger.log_in()
    assert keyring.tokens == provider.refresh_tokens
    assert provider.refresh_tokens[0] not in kept()[0].read_text()
    assert "in the keyring (a keyring of this test)" in one_line(result.stderr)
    grow_older(HOUR)
    assert token(stranger.run("token")) == provider.issued[1]
    assert keyring.tokens == [provider.refresh_tokens[1]], "the new one in the place of the old"
    assert not any(each in kept()[0].read_text() for each in provider.refresh_tokens)
    assert stranger.run("logout").code == 0
    assert keyring.entries == {}


def test_keyring_is_found_by_a_process_as_the_package_finds_it(
    stranger: Tool, provider: OpenIdProvider, tmp_path: Path
) -> None:
    file = tmp_path / "keyring.json"
    env = {
        **os.environ,
        "PYTHON_KEYRING_BACKEND": "tests.keyring_backend.FileKeyring",
        "PYTHONPATH": str(ROOT),
        keyring_backend.FILE: str(file),
    }
    said = sign_in_as_process(stranger, env)
    assert "a keyring of the tests" in one_line(said)
    [(entry, secret)] = json.loads(file.read_text()).items()
    assert secret == provider.refresh_tokens[0]
    # On Windows the service has the whole name: only one entry of a service is kept there.
    assert entry.startswith(f"banno-creds{' ' if sys.platform == 'win32' else '/'}client {CLIENT_ID}")


def test_keyring_that_takes_nothing_is_warned_of_and_the_file_is_used(
    keyring: Keyring, stranger: Tool, provider: OpenIdProvider
) -> None:
    keyring.locked = True
    result = stranger.log_in()
    assert result.code == 0
    assert "does not take the refresh token: the collection is" in one_line(result.stderr)
    assert "\x1b" not in result.stderr
    assert session()["refresh_token"] == provider.refresh_tokens[0]
    assert "for you alone" in one_line(result.stderr)


@pytest.mark.parametrize("given", [lambda _: None, lambda kept: kept[:20], lambda _: ""], ids=["none", "cut", "nil"])
def test_keyring_that_does_not_give_back_what_it_took_is_warned_of_and_the_file_is_used(
    given: Callable[[str], str | None], keyring: Keyring, stranger: Tool, provider: OpenIdProvider
) -> None:
    keyring.given = given
    result = stranger.log_in()
    assert result.code == 0
    assert "does not take the refresh token: it does not give it back" in one_line(result.stderr)
    assert keyring.entries == {}, "what is not used there is not left there"
    assert session()["refresh_token"] == provider.refresh_tokens[0]
    grow_older(HOUR)
    assert token(stranger.run("token")) == provider.issued[1]
    assert session()["refresh_token"] == provider.refresh_tokens[1]


def test_keyring_that_takes_no_more_tokens_leaves_the_login_in_the_file_and_nothing_behind(
    keyring: Keyring, tool: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow_older(HOUR)

    def full(*_: str) -> None:
        raise RuntimeError("no more room")

    with monkeypatch.context() as patch:
        patch.setattr(keyring, "set_password", full)
        assert token(tool.run("token")) == provider.issued[1]
    assert session()["refresh_token"] == provider.refresh_tokens[1]
    assert keyring.entries == {}
    assert token(tool.run("token", "--force-refresh")) == provider.issued[2]
    assert keyring.tokens == [provider.refresh_tokens[2]]


def test_keyrings_entry_has_one_of_two_names_however_often_the_tokens_are_renewed(
    keyring: Keyring, tool: Tool
) -> None:
    names = [user for _, user in keyring.entries]
    for _ in range(4):
        assert tool.run("token", "--force-refresh", "--no-cache").code == 0
        names += [user for _, user in keyring.entries]
    assert names == [names[0], names[1]] * 2 + names[:1]
    assert [name[-2:] for name in sorted(set(names))] == [" a", " b"]


def test_entry_that_the_keyring_does_not_remove_is_named(keyring: Keyring, tool: Tool) -> None:
    keyring.keeps_all = True
    [(service, user)] = keyring.entries
    result = tool.run("logout", "--only-here")
    assert result.code == 0
    said = one_line(result.stderr)
    assert "does not remove the refresh token: nothing is removed here" in said
    assert f"remove the entry '{user}' of {service} from the keyring" in said
    assert kept() == []


@pytest.mark.parametrize("more", [[], ["--no-cache"]], ids=["cached", "no cache"])
def test_locked_keyring_is_exit_2_and_the_login_stays(
    more: list[str], keyring: Keyring, tool: Tool, provider: OpenIdProvider
) -> None:
    grow_older(HOUR)
    keyring.locked = True
    result = tool.run("token", *more)
    assert (result.code, result.stdout) == (2, "")
    assert "session.keyring" in result.stderr
    assert "\x1b" not in result.stderr
    assert not provider.uses
    keyring.locked = False
    assert token(tool.run("token", *more)) == provider.issued[1]


def test_entry_that_somebody_removed_from_the_keyring_is_told(keyring: Keyring, tool: Tool) -> None:
    grow_older(HOUR)
    keyring.entries.clear()
    result = tool.run("token")
    assert result.code == 2
    assert "no such entry" in one_line(result.stderr)


def test_keyring_that_is_gone_is_told(keyring: Keyring, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    del keyring
    grow_older(HOUR)
    monkeypatch.setitem(sys.modules, "keyring", None)
    result = tool.run("token")
    assert result.code == 2
    assert "session.keyring" in result.stderr


@pytest.mark.parametrize("priority", [0, -1, 0.5])
def test_keyring_that_is_not_to_be_relied_on_is_not_used(
    priority: float, keyring: Keyring, stranger: Tool, provider: OpenIdProvider
) -> None:
    keyring.priority = priority
    assert stranger.log_in().code == 0
    assert keyring.entries == {}
    assert session()["refresh_token"] == provider.refresh_tokens[0]


def test_file_is_used_where_the_package_is_not_installed_or_fails(
    stranger: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert stranger.log_in().code == 0
    assert session()["refresh_token"] == provider.refresh_tokens[0]


@pytest.mark.parametrize("backend", ["fail", "null"])
def test_file_is_used_with_the_backends_that_keep_nothing(
    backend: str, stranger: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyring.get_keyring", import_module(f"keyring.backends.{backend}").Keyring)
    assert stranger.log_in().code == 0
    assert session()["refresh_token"] == provider.refresh_tokens[0]


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
def test_login_that_cannot_be_written_is_given_all_the_same_and_leaves_what_there_was(
    is_first: bool, keyring: Keyring, stranger: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_first:
        assert stranger.log_in().code == 0
    before = [file.read_bytes() for file in kept()], keyring.tokens

    def full(path: str, content: bytes) -> None:
        raise OSError(28, "No space left on device", path)

    with monkeypatch.context() as patch:
        patch.setattr(own_files, "write", full)
        result = stranger.log_in()
    assert result.code == 0
    assert json.loads(result.stdout)["refresh_token"] == provider.refresh_tokens[-1]
    said = one_line(result.stderr)
    assert "he login cannot be kept: " in said
    assert "No space left" in said
    assert ([file.read_bytes() for file in kept()], keyring.tokens) == before
    assert stranger.run("whoami").code == (6 if is_first else 0)


@pytest.mark.posix("Windows has no modes")
def test_file_and_folder_are_made_their_owners_alone_again(tool: Tool) -> None:
    [file] = kept()
    file.chmod(0o644)
    file.parent.chmod(0o755)
    assert tool.run("token").code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"version": 1}',
        b'{"version": 2}',
        b"null",
    ],
)
def test_broken_file_is_told_with_its_path_and_what_to_do(content: bytes, tool: Tool) -> None:
    [file] = kept()
    file.write_bytes(content)
    for command in ("token", "whoami", "logout"):
        result = tool.run(command)
        assert (result.code, result.stdout) == (2, "")
        assert "is broken" in one_line(result.stderr)
        assert str(file) in "".join(result.stderr.split())
        assert "sign in again" in one_line(result.stderr)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 1),
        ("scope", [1]),
        ("claims", []),
        ("response", None),
        ("requested_at", "yesterday"),
        ("requested_at", True),
        ("up", ["a"]),
        ("up", ["a", {}]),
        ("refresh_token", 1),
        ("entry", []),
        ("asked", 1),
        ("ended", 1),
        ("provider", {}),
        ("owner", {}),
    ],
)
def test_file_with_a_member_of_another_kind_is_broken_and_no_bug(name: str, value: object, tool: Tool) -> None:
    change_session(**{name: value})
    result = tool.run("token")
    assert (result.code, result.stdout) == (2, "")
    assert "is broken" in one_line(result.stderr)


def test_file_of_another_login_is_not_taken_for_this_ones(tool: Tool) -> None:
    change_session(owner={**session()["owner"], "client_id": "another"})
    assert tool.run("token").code == 2


@pytest.mark.posix("Windows lets only administrators make links")
def test_link_in_the_place_of_the_file_is_not_followed(tool: Tool, tmp_path: Path) -> None:
    [file] = kept()
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    result = tool.run("token")
    assert (result.code, result.stdout) == (2, "")
    assert "is a link" in one_line(result.stderr)


@pytest.mark.posix("a file has one owner, who is told by a number")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_file_of_another_user_is_not_relied_on(tool: Tool) -> None:
    [file] = kept()
    os.chown(file, 65534, 65534)
    result = tool.run("token")
    assert (result.code, result.stdout) == (2, "")
    assert "belongs to another user" in one_line(result.stderr)


@pytest.mark.posix("Windows has no modes")
def test_folder_that_others_use_too_is_not_relied_on(tool: Tool) -> None:
    folder = kept()[0].parent
    (folder / "something else").write_text("")
    folder.chmod(0o777)
    result = tool.run("token")
    assert (result.code, result.stdout) == (2, "")
    assert "open to others" in one_line(result.stderr)


@pytest.fixture
def one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is named for cache and logins alike."""
    folder = tmp_path / "one"
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(folder))
    monkeypatch.setenv("BANNO_CREDS_STATE_DIR", str(folder))
    return folder


@contextmanager
def everything_is_old(folder: Path) -> Iterator[None]:
    """As if all that is there had been there for years, and a process had the login's lock."""
    [file] = kept()
    with lock() as held:
        assert held.take()
        unfinished = f"{file}.1.0123456789ab{own_files.UNFINISHED}"
        write_private(Path(unfinished), b"{}")
        for each in folder.iterdir():
            os.utime(each, (0, 0))
        before = {each.name: each.stat().st_ino for each in folder.iterdir() if own_files.LOGIN in each.name}
        assert len(before) == 3
        yield
        assert {each.name: each.stat().st_ino for each in folder.iterdir() if own_files.LOGIN in each.name} == before


def test_cache_that_is_cleared_in_the_logins_folder_leaves_the_logins_alone(
    one_folder: Path, tool: Tool, provider: OpenIdProvider
) -> None:
    assert tool.run("token").code == 0
    assert list(one_folder.glob(f"*{own_files.ENTRY}"))
    with everything_is_old(one_folder):
        cleared = tool.cli("cache", "clear")
        assert cleared.code == 0, cleared.stderr
        assert not list(one_folder.glob(f"*{own_files.ENTRY}"))
    assert token(tool.run("token")) == provider.issued[0]


def test_another_clients_token_in_the_logins_folder_leaves_the_logins_alone(
    one_folder: Path, tool: Tool, provider: OpenIdProvider, ask: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(one_folder))  # `ask` has named another
    old = write_private(one_folder / f"{'0' * 64}{own_files.ENTRY}", b"{}")
    with everything_is_old(one_folder):
        assert tool.cli(*ask).code == 0
        assert not old.exists(), "the cache has been swept"
    assert token(tool.run("token")) == provider.issued[0]


def left_behind() -> list[Path]:
    """What processes left that were killed while they wrote logins: this one's, of any process, and another's."""
    [file] = kept()
    mine = [Path(f"{file}.{pid}.0123456789ab{own_files.UNFINISHED}") for pid in (1, 99999)]
    others = file.with_name(f"{'0' * 64}{own_files.LOGIN}.1.0123456789ab{own_files.UNFINISHED}")
    return [write_private(each, b'{"refresh_token": "refresh-of-old"}') for each in (*mine, others)]


@pytest.mark.parametrize("command", ["login", "token", "logout", "logout --only-here"])
def test_what_a_killed_process_wrote_of_this_login_is_removed(command: str, tool: Tool) -> None:
    *mine, others = left_behind()
    if command == "login":
        assert tool.log_in().code == 0
    else:
        more = ["--force-refresh"] if command == "token" else []
        assert tool.run(*command.split(), *more).code == 0
    assert [each.exists() for each in (*mine, others)] == [False, False, True]


def test_session_shows_no_secret(tool: Tool, provider: OpenIdProvider) -> None:
    from banno_creds.login.session import Owner
    from banno_creds.login.session_store import SessionStore

    members = session()["owner"]
    store = SessionStore(str(kept()[0].parent), Owner(**members))
    read = store.read()
    assert read is not None
    assert read.refresh_token == provider.refresh_tokens[0]
    assert not any(secret in repr(read) for secret in (*provider.refresh_tokens, *provider.issued, "Riley"))
    assert tool.redirect_uri
