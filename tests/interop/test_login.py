"""`login` and what follows it against oidc-provider: the person is a program, the listener and all else are real."""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import stat
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import jwt
import pytest

from banno_creds.redirection.certificate import localhost_certificate
from banno_creds.storage import own_files
from tests.browser import left_behind
from tests.person import Visit, sent_out

from .conftest import CLIENT_AUTH_METHODS, INSTITUTION_CLAIM, INSTITUTION_ID, OFFLINE_ACCESS, base64url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.conftest import Cli, Result
    from tests.person import Errand

    from .conftest import Event, LoginClient, Provider

# Each algorithm with each kind of client authentication, but PS256, which one will do for.
COMBINATIONS = [f"{method}-{alg}" for method in CLIENT_AUTH_METHODS for alg in ("RS256", "ES256")]
COMBINATIONS += ["private_key_jwt-PS256"]


@dataclass(frozen=True)
class Tool:
    """The command line as a person uses it: their state and cache, and a browser where one is sent out."""

    process: Cli
    provider: Provider
    folder: Path
    keyring: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.keyring,
            "BANNO_CREDS_STATE_DIR": str(self.folder / "state"),
            "BANNO_CREDS_CACHE_DIR": str(self.folder / "cache"),
        }

    def run(self, command: str, client: LoginClient, *more: str, stdin: bytes = b"") -> Result:
        options = ["--issuer", self.provider.issuer, *client.options, *more]
        return self.process(command, *options, stdin=stdin, env=self.environment)

    def sent_out(self, browser: str, login: str, **errand: object) -> AbstractContextManager[Errand]:
        person = self.provider.people[login]
        certificate = str(self.folder / "state" / own_files.CERTIFICATE)
        plan = {"login": person.login, "password": person.password, "certificate": certificate, **errand}
        return sent_out(browser, self.folder, **plan)

    def log_in(
        self,
        client: LoginClient,
        *more: str,
        code: int = 0,
        login: str = "rileydoe",
        browser: str = "tests.person",
        **errand: object,
    ) -> tuple[Result, dict[str, Any]]:
        """Sign a person in; gives what the command said, and what its browser saw."""
        options = ["--issuer", self.provider.issuer, *client.options, *more]
        if "--redirect-uri" not in more:
            options += ["--redirect-uri", self.provider.redirect_uri]
        with self.sent_out(browser, login, **errand) as sent:
            result = self.process("login", *options, env={**self.environment, "BROWSER": sent.variable})
            assert result.code == code, result.stderr
            return result, sent.report()


@pytest.fixture
def tool(process: Cli, provider: Provider, tmp_path: Path) -> Tool:
    return Tool(process, provider, tmp_path)


def _events(provider: Provider) -> list[tuple[str, str | None]]:
    return [(event.event, event.grant_type) for event in provider.drain_events()]


def _authorization(provider: Provider) -> Event:
    [event] = [event for event in provider.drain_events() if event.event == "authorization.success"]
    return event


# --- the login ---


@pytest.mark.parametrize("name", COMBINATIONS)
def test_person_is_signed_in_with_each_client_authentication_and_algorithm(
    name: str, tool: Tool, provider: Provider
) -> None:
    client = provider.login_clients[name]
    riley = provider.people["rileydoe"].claims

    result, seen = tool.log_in(client)

    token_set = json.loads(result.stdout)
    assert jwt.get_unverified_header(token_set["id_token"])["alg"] == name.rpartition("-")[2]
    claims = jwt.decode(token_set["id_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["name"]) == (riley["sub"], "Riley Doe")
    assert seen["url"] == f"https://localhost:{provider.redirect_port}/me"
    assert seen["status"] == 200
    assert "Riley Doe" in seen["page"]
    authorization, granted = provider.drain_events()
    assert authorization.parameters is not None
    assert authorization.parameters["scope"] == "openid profile"
    assert authorization.parameters["code_challenge_method"] == "S256"
    assert {"state", "nonce", "code_challenge"} <= set(authorization.parameters)
    assert (granted.event, granted.grant_type) == ("grant.success", "authorization_code")
    # Discovery names both ways of sending a secret, and the first is as good as the other.
    assert granted.client_auth_method == name.rpartition("-")[0].replace("_post", "_basic")


@pytest.mark.parametrize("name", [f"{method}-RS256" for method in ("private_key_jwt", "client_secret_post")])
def test_request_is_pushed_where_discovery_asks_for_it_and_the_secret_sent_as_it_says(
    name: str, process: Cli, strict_provider: Provider, tmp_path: Path
) -> None:
    client = strict_provider.login_clients[name]

    result, seen = Tool(process, strict_provider, tmp_path).log_in(client)

    assert "id_token" in json.loads(result.stdout)
    assert set(dict(parse_qsl(urlsplit(seen["authorization_url"]).query))) == {"client_id", "request_uri"}
    pushed, authorized, granted = strict_provider.drain_events()
    assert (pushed.event, authorized.event) == ("pushed_authorization_request.success", "authorization.success")
    assert pushed.parameters is not None
    assert {"state", "nonce", "code_challenge", "redirect_uri"} <= set(pushed.parameters)
    assert granted.client_auth_method == name.rpartition("-")[0]


@pytest.mark.parametrize("origin", ["http://localhost", "http://127.0.0.1"])
def test_browser_comes_back_by_http_where_that_is_registered(origin: str, tool: Tool, provider: Provider) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]
    address = f"{origin}:{provider.redirect_port}"
    (tool.folder / "state").mkdir(mode=0o700)

    _, seen = tool.log_in(client, "--redirect-uri", f"{address}/auth/cb", certificate=None)

    assert seen["url"] == f"{address}/me"
    assert not (tool.folder / "state" / own_files.CERTIFICATE).exists()


def test_what_is_asked_for_reaches_the_provider(tool: Tool, provider: Provider) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]
    asked = [
        "--prompt",
        "login",
        "--login-hint",
        "rileydoe",
        "--max-age",
        "600",
        "--claim-request",
        INSTITUTION_CLAIM,
    ]

    result, _ = tool.log_in(client, *asked)

    claims = jwt.decode(json.loads(result.stdout)["id_token"], options={"verify_signature": False})
    assert claims[INSTITUTION_CLAIM] == INSTITUTION_ID
    assert "auth_time" in claims
    parameters = _authorization(provider).parameters
    assert parameters is not None
    assert json.loads(parameters["claims"]) == {"id_token": {INSTITUTION_CLAIM: None}}
    assert {name: parameters[name] for name in ("prompt", "login_hint", "max_age")} == {
        "prompt": "login",
        "login_hint": "rileydoe",
        "max_age": "600",
    }


@contextmanager
def _waiting(tool: Tool, client: LoginClient, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A login that opens no browser, and the address that it shows for the person to open."""
    provider = tool.provider
    command = [sys.executable, "-m", "banno_creds", "login", "--issuer", provider.issuer, *client.options, *more]
    command += ["--redirect-uri", provider.redirect_uri]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **tool.environment},
        text=True,
    ) as running:
        try:
            assert running.stderr is not None
            prefix = f"{provider.issuer}/auth?"
            # Alone on its line, and whole: nothing has wrapped it.
            yield running, next(line.strip() for line in running.stderr if line.strip().startswith(prefix))
        finally:
            running.kill()


def test_address_that_the_browser_ended_on_is_pasted(tool: Tool, provider: Provider) -> None:
    client = provider.login_clients["client_secret_basic-ES256"]
    with (
        _waiting(tool, client, "--manual") as (running, address),
        Visit(provider.people["rileydoe"]) as visit,
    ):
        stdout, _ = running.communicate(f"{visit.sign_in(address)}\n", timeout=30)
    assert running.returncode == 0
    assert "id_token" in json.loads(stdout)
    assert _events(provider) == [("authorization.success", None), ("grant.success", "authorization_code")]


@pytest.mark.parametrize(
    "option",
    [
        "--no-browser",
        pytest.param("", marks=pytest.mark.skipif(sys.platform != "linux", reason="others always have a screen")),
    ],
    ids=["no-browser", "no-screen"],
)
def test_address_is_shown_and_the_browser_waited_for_where_none_is_opened(
    option: str, tool: Tool, provider: Provider
) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]
    with _waiting(tool, client, *filter(None, [option])) as (running, address):
        certificate = str(tool.folder / "state" / own_files.CERTIFICATE)
        with Visit(provider.people["rileydoe"], verify=ssl.create_default_context(cafile=certificate)) as visit:
            page = visit.follow(visit.sign_in(address))
        stdout, _ = running.communicate(timeout=30)
    assert running.returncode == 0
    assert str(page.url) == f"https://localhost:{provider.redirect_port}/me"
    assert "Riley Doe" in page.text
    assert "id_token" in json.loads(stdout)


# --- logins that come to nothing ---


def _kept(tool: Tool) -> list[str]:
    """Whatever is there of a login."""
    state = tool.folder / "state"
    return [path.name for path in state.rglob("*") if path.is_file() and own_files.ENTRY in path.name]


def test_person_who_says_no_ends_the_login(tool: Tool, provider: Provider) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]

    result, seen = tool.log_in(client, code=4, answer="cancel")

    assert (result.stdout, _kept(tool)) == ("", [])
    assert "access_denied" in result.stderr
    assert "the person said no" in result.stderr
    assert "Next: " in result.stderr
    assert "You are not signed in" in seen["page"]
    assert [(event.event, event.error) for event in provider.drain_events()] == [
        ("authorization.error", "access_denied")
    ]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_wrong_secret_is_refused_and_not_told(
    method: str, process: Cli, provider: Provider, strict_provider: Provider, tmp_path: Path
) -> None:
    server = provider if method == "client_secret_basic" else strict_provider
    tool = Tool(process, server, tmp_path)
    wrong = tmp_path / "wrong.secret"
    wrong.touch(mode=0o600)
    wrong.write_text("not the secret of this one\n")
    client = replace(server.login_clients[f"{method}-RS256"], client_secret_path=wrong)

    # A pushed request is refused before a browser is opened.
    if method == "client_secret_post":
        result = tool.run("login", client, "--redirect-uri", server.redirect_uri, "--no-browser")
    else:
        result, _ = tool.log_in(client, code=4)

    assert (result.code, result.stdout, _kept(tool)) == (4, "", [])
    assert "invalid_client" in result.stderr
    assert "Next: " in result.stderr
    assert "not the secret" not in result.stderr
    assert "invalid_client" in [event.error for event in server.drain_events()]


def test_redirect_uri_that_is_not_registered_is_shown_in_the_browser_alone(tool: Tool, provider: Provider) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]
    other = f"{provider.redirect_uri}/"

    # oidc-provider must not redirect there, so nobody comes: what is left is to say where to look.
    with pytest.raises(AssertionError, match="redirect_uri did not match"):
        tool.log_in(client, "--redirect-uri", other, "--wait", "2", code=5)

    assert [(event.event, event.error) for event in provider.drain_events()] == [
        ("authorization.error", "invalid_redirect_uri")
    ]
    assert _kept(tool) == []


# --- what follows a login ---


def _post(url: str, client: LoginClient, form: dict[str, str]) -> httpx.Response:
    """A request of the client's own, past the tool."""
    with httpx.Client(trust_env=False) as http:
        return http.post(url, data=form, auth=(quote(client.client_id, safe=""), quote(client.secret, safe="")))


def _revoke(provider: Provider, client: LoginClient, token: str) -> None:
    assert _post(f"{provider.issuer}/token/revocation", client, {"token": token}).status_code == 200
    provider.drain_events()


def _signed_in(tool: Tool, name: str, *scopes: str) -> tuple[LoginClient, dict[str, Any]]:
    client = tool.provider.login_clients[name]
    more = [option for scope in ("openid", "profile", *scopes) for option in ("--scope", scope)]
    result, _ = tool.log_in(client, *more)
    tool.provider.drain_events()
    token_set: dict[str, Any] = json.loads(result.stdout)
    return client, token_set


def test_token_of_the_login_is_used_until_it_ends(tool: Tool, provider: Provider) -> None:
    client, token_set = _signed_in(tool, "private_key_jwt-RS256", OFFLINE_ACCESS)

    results = [tool.run("token", client) for _ in range(2)]

    assert {(result.code, result.stdout.strip()) for result in results} == {(0, token_set["access_token"])}
    assert provider.drain_events() == []


@pytest.mark.parametrize("name", ["private_key_jwt-ES256", "client_secret_basic-RS256"])
def test_refresh_tokens_are_rotated_and_none_is_used_twice(name: str, tool: Tool, provider: Provider) -> None:
    client, token_set = _signed_in(tool, name, OFFLINE_ACCESS)

    tokens = [tool.run("token", client, "--force-refresh").stdout.strip() for _ in range(3)]

    assert len({token_set["access_token"], *tokens}) == 4
    assert _events(provider) == [("grant.success", "refresh_token")] * 3
    assert tool.run("token", client).stdout.strip() == tokens[-1]
    assert provider.drain_events() == []


def test_token_that_has_ended_is_renewed_by_itself(tool: Tool, provider: Provider) -> None:
    client, token_set = _signed_in(tool, "short-lived", OFFLINE_ACCESS)

    result = tool.run("token", client)

    assert result.code == 0
    assert result.stdout.strip() not in ("", token_set["access_token"])
    assert _events(provider) == [("grant.success", "refresh_token")]


# With the cache, its lock keeps them apart already; without it, the login's own has to.
@pytest.mark.parametrize("option", ["--force-refresh", "--no-cache"])
def test_eight_processes_at_once_use_each_refresh_token_once(option: str, tool: Tool, provider: Provider) -> None:
    client, _ = _signed_in(tool, "private_key_jwt-RS256", OFFLINE_ACCESS)
    command = [sys.executable, "-m", "banno_creds", "token", "--issuer", provider.issuer, *client.options]
    running = [
        subprocess.Popen(
            [*command, "--min-ttl", "700", option],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **tool.environment},
        )
        for _ in range(8)
    ]
    said = [process.communicate(timeout=60)[0] for process in running]

    assert [process.returncode for process in running] == [0] * 8, said
    # A second use would be refused, and would end the whole login.
    assert set(_events(provider)) == {("grant.success", "refresh_token")}
    assert tool.run("token", client, "--force-refresh").code == 0


def test_login_without_a_refresh_token_ends_with_its_token(tool: Tool, provider: Provider) -> None:
    client, token_set = _signed_in(tool, "short-lived")
    assert "refresh_token" not in token_set

    result = tool.run("token", client, "--force-refresh")

    assert provider.drain_events() == []
    # Its five seconds may be over by now or not.
    assert result.stdout.strip() in ("", token_set["access_token"])
    assert "no refresh token" in result.stderr


def _userinfo(provider: Provider) -> list[str]:
    address = urlsplit(provider.issuer)
    return ["--api-base", f"{address.scheme}://{address.netloc}", f"{address.path}/me"]


def test_command_and_call_have_the_token_of_the_login(tool: Tool, provider: Provider) -> None:
    client, token_set = _signed_in(tool, "client_secret_basic-RS256")
    script = ["sh", "-c", 'echo "$BANNO_ACCESS_TOKEN"']

    executed = tool.run("exec", client, "--", *script)
    called = tool.run("api", client, *_userinfo(provider))

    assert executed.stdout.strip() == token_set["access_token"]
    assert called.code == 0, called.stderr
    assert json.loads(called.stdout)["name"] == "Riley Doe"
    assert _events(provider) == [("userinfo", None)]


def test_whoami_tells_the_claims_and_what_userinfo_says(tool: Tool, provider: Provider) -> None:
    client, token_set = _signed_in(tool, "private_key_jwt-ES256")
    claims = jwt.decode(token_set["id_token"], options={"verify_signature": False})

    told = tool.run("whoami", client)
    assert provider.drain_events() == []
    asked = tool.run("whoami", client, "--userinfo")

    assert json.loads(told.stdout).items() <= claims.items()
    assert json.loads(told.stdout)["name"] == "Riley Doe"
    riley = provider.people["rileydoe"].claims
    assert json.loads(asked.stdout)["sub"] == riley["sub"]
    assert json.loads(asked.stdout)["preferred_username"] == "rileydoe"
    assert [(event.event, event.status) for event in provider.drain_events()] == [("userinfo", 200)]


def test_logout_has_the_tokens_revoked_and_forgets_them(tool: Tool, provider: Provider) -> None:
    client, token_set = _signed_in(tool, "client_secret_basic-ES256", OFFLINE_ACCESS)

    result = tool.run("logout", client, "--no-browser")

    assert result.code == 0, result.stderr
    events = provider.drain_events()
    assert ("revocation", 200) in [(event.event, event.status) for event in events]
    assert "grant.revoked" in [event.event for event in events]
    assert _kept(tool) == []
    form = {"grant_type": "refresh_token", "refresh_token": token_set["refresh_token"]}
    refused = _post(provider.token_endpoint, client, form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    whoami = tool.run("whoami", client)
    assert (whoami.code, whoami.stdout) == (6, "")
    assert "Nobody is signed in" in whoami.stderr


def test_logout_ends_the_login_in_the_browser_too_and_it_comes_back(tool: Tool, provider: Provider) -> None:
    client, _ = _signed_in(tool, "private_key_jwt-RS256")
    back = f"https://localhost:{provider.redirect_port}/"
    options = ["--issuer", provider.issuer, *client.options, "--post-logout-redirect-uri", back]

    with tool.sent_out("tests.person", "rileydoe") as sent:
        result = tool.process("logout", *options, env={**tool.environment, "BROWSER": sent.variable})
        assert result.code == 0, result.stderr
        seen = sent.report()

    assert seen["authorization_url"].startswith(f"{provider.issuer}/session/end?client_id={client.client_id}&")
    assert "id_token_hint" not in seen["authorization_url"]
    assert seen["callback"].startswith(f"{back}?state=")
    assert "You are signed out" in seen["page"]
    assert "state=" not in seen["url"]
    assert "end_session.success" in [event.event for event in provider.drain_events()]


def test_login_that_the_provider_ended_says_so_once_and_for_all(tool: Tool, provider: Provider) -> None:
    client, token_set = _signed_in(tool, "client_secret_basic-RS256", OFFLINE_ACCESS)
    _revoke(provider, client, token_set["refresh_token"])

    first, second = (tool.run("token", client, "--force-refresh") for _ in range(2))

    assert (first.code, first.stdout) == (4, "")
    assert "invalid_grant" in first.stderr
    assert "sign in again: " in first.stderr
    # A refusal is not asked for twice.
    assert (second.code, second.stdout) == (6, "")
    assert "The login has ended" in second.stderr
    assert [event.error for event in provider.drain_events()] == ["invalid_grant"]


# --- where the refresh token rests ---


def _in_files(tool: Tool, text: str) -> list[str]:
    folders = (tool.folder / "state", tool.folder / "cache")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if text in path.read_text(encoding="utf-8", errors="replace")]


_ENTRIES = """
from secretstorage import dbus_init, get_default_collection
with dbus_init() as bus:
    items = get_default_collection(bus).search_items({"service": "banno-creds"})
    print("\\n".join(item.get_secret().decode() for item in items))
"""


def test_refresh_token_rests_in_the_keyring_where_there_is_one(
    tool: Tool, provider: Provider, secret_service: Mapping[str, str]
) -> None:
    tool = replace(tool, keyring=secret_service)

    def in_keyring() -> list[str]:
        environment = {**os.environ, **secret_service}
        command = [sys.executable, "-c", _ENTRIES]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()

    client = provider.login_clients["private_key_jwt-RS256"]
    result, _ = tool.log_in(client, "--scope", f"openid {OFFLINE_ACCESS}")
    refresh_token = json.loads(result.stdout)["refresh_token"]
    assert "in the keyring" in result.stderr
    assert in_keyring() == [refresh_token]
    assert _in_files(tool, refresh_token) == []

    assert tool.run("token", client, "--force-refresh").code == 0
    [rotated] = in_keyring()
    assert rotated != refresh_token
    assert _in_files(tool, rotated) == []

    assert tool.run("logout", client, "--no-browser").code == 0
    assert in_keyring() == []
    assert "grant.error" not in [event.event for event in provider.drain_events()]


def test_refresh_token_rests_in_a_file_of_its_owners_alone_where_there_is_no_keyring(
    tool: Tool, provider: Provider
) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]

    result, _ = tool.log_in(client, "--scope", f"openid {OFFLINE_ACCESS}")

    [name] = _in_files(tool, json.loads(result.stdout)["refresh_token"])
    file = tool.folder / "state" / name
    assert str(file) in result.stderr
    assert "in the keyring" not in result.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


# --- secrets ---


def test_no_secret_code_or_verifier_is_told_by_any_of_it(tool: Tool, provider: Provider) -> None:
    client = provider.login_clients["client_secret_basic-RS256"]
    scopes = ["--scope", "openid", "--scope", OFFLINE_ACCESS]

    result, seen = tool.log_in(client, *scopes)
    more = [tool.run(*command) for command in (("token", client, "--force-refresh", "-v"), ("whoami", client))]
    logout = tool.run("logout", client, "--no-browser")

    token_set = json.loads(result.stdout)
    answer = dict(parse_qsl(urlsplit(seen["callback"]).query))
    secret = client.secret
    basic = base64.b64encode(f"{client.client_id}:{quote(secret, safe='')}".encode()).decode()
    secrets = [token_set["access_token"], token_set["id_token"], token_set["refresh_token"], more[0].stdout.strip()]
    secrets += [secret, quote(secret), basic, answer["code"], provider.people["rileydoe"].password]
    said = [result.stderr, *(each.stderr for each in (*more, logout)), seen["page"], provider.log.read_text()]
    for text in said:
        assert [secret for secret in secrets if secret in text] == []
    assert urlsplit(seen["url"]).query == ""
    # The verifier is known to nobody but the two; whatever could be it is held against its digest.
    challenge = dict(parse_qsl(urlsplit(seen["authorization_url"]).query))["code_challenge"]
    texts = [*said, seen["authorization_url"], result.stdout]
    words = [word for text in texts for word in re.findall(r"[\w.~-]{43,}", text)]
    assert challenge in words
    perhaps = {word[start : start + 43] for word in words for start in range(len(word) - 42)}
    assert challenge not in {base64url(sha256(each.encode()).digest()) for each in perhaps}


# --- in a real browser ---


def _in_chromium(
    tool: Tool, login: str, name: str = "private_key_jwt-RS256"
) -> tuple[LoginClient, Result, dict[str, Any]]:
    # The certificate is made and kept by whichever login comes first; Chromium is told of its key alone.
    (tool.folder / "state").mkdir(mode=0o700)
    certificate = localhost_certificate(str(tool.folder / "state"))
    client = tool.provider.login_clients[name]
    picture = str(tool.folder / "me.png")
    result, seen = tool.log_in(
        client, login=login, browser="tests.browser", spki=certificate.spki, screenshot=picture
    )
    return client, result, seen


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("name", ["private_key_jwt-RS256", "client_secret_basic-ES256"])
def test_browser_walks_the_whole_login_and_keeps_nothing_of_it(name: str, tool: Tool, provider: Provider) -> None:
    client, result, seen = _in_chromium(tool, "rileydoe", name)

    ours = f"https://localhost:{provider.redirect_port}"
    assert seen["url"] == f"{ours}/me"
    for words in ("You are signed in", "as Riley Doe", "may close this window", client.client_id):
        assert words in seen["text"]
    # Nothing from elsewhere, nothing that fails, and not a word on the console.
    origins = {urlsplit(url)[:2] for url in seen["requests"]}
    assert origins == {urlsplit(provider.issuer)[:2], urlsplit(ours)[:2]}
    assert (seen["failures"], seen["console"], seen["storage"]) == ([], [], [[], [], ""])
    callback, me = [response for response in seen["responses"] if response["url"].startswith(ours)]
    assert (callback["status"], callback["headers"]["location"], me["status"]) == (303, "/me", 200)
    for response in (callback, me):
        assert response["headers"]["cache-control"] == "no-store"
        assert response["headers"]["referrer-policy"] == "no-referrer"
        assert response["headers"]["content-security-policy"].startswith("default-src 'none'")
    assert seen["entries"][-1] == f"{ours}/me"
    answer = dict(parse_qsl(urlsplit(callback["url"]).query))
    token_set = json.loads(result.stdout)
    for secret in (answer["code"], answer["state"], token_set["access_token"], token_set["id_token"]):
        assert secret not in left_behind(seen)
        assert secret not in provider.log.read_text()
    assert answer["code"] not in result.stderr


@pytest.mark.usefixtures("chromium")
def test_script_in_a_claim_stays_text_in_the_browser(tool: Tool, provider: Provider) -> None:
    _, _, seen = _in_chromium(tool, "mallory")

    name = provider.people["mallory"].claims["name"]
    assert name is not None
    assert "<script>" in name
    assert name in seen["text"]
    assert seen["title"] != "owned"
    assert (seen["failures"], seen["console"]) == ([], [])
    assert not any(url.endswith("/x") for url in seen["requests"])
