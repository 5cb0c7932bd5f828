"""The API behind the sandbox's tokens, its first page, and the users that its login page names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from joserfc.jwk import RSAKey

from banno_creds.errors import ConfigurationError
from banno_creds.sandbox import Client, Faults, Sandbox, Settings, User, create_app
from banno_creds.sandbox.user_search import USER_SEARCH_PATH, USER_SEARCH_SCOPE
from tests.conftest import CLIENT_ID
from tests.sandbox.bench import ISSUER, Bench, claims_of, client_of, public_pem, rsa_key, shared_signing_key
from tests.servers.sandbox_process import running_sandbox
from tests.terminal import at_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from werkzeug.test import TestResponse

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli

pytestmark = pytest.mark.once

INSTITUTION = "3f85ce95-2a1f-4f5d-a95c-7f4d3e9e1c11"
SEARCH = USER_SEARCH_PATH.replace("{institutionId}", INSTITUTION)
REDIRECT = "http://localhost:8080/auth/cb"


@pytest.fixture(autouse=True)
def one_signing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RSAKey, "generate_key", lambda *_args, **_options: shared_signing_key())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def _token(bench: Bench, scope: str = USER_SEARCH_SCOPE) -> str:
    return str(bench.post(scope=scope).get_json()["access_token"])


def _search(bench: Bench, token: str | None = None, query: str = "", **headers: str) -> TestResponse:
    if token is None:
        token = _token(bench)
    return bench.http.get(f"{SEARCH}{query}", headers={"Authorization": f"Bearer {token}", **headers})


# --- what it finds ---


@pytest.mark.parametrize(
    ("query", "first", "number"),
    [
        ("", "sample.person.1", 100),
        ("?limit=1", "sample.person.1", 1),
        ("?limit=1000", "sample.person.1", 250),
        ("?limit=10&offset=5", "sample.customer.6", 10),
        ("?limit=100&offset=200", "sample.tester.201", 50),
        ("?offset=250", None, 0),
        ("?offset=999999999", None, 0),
        ("?limit=1&query=anything", "sample.person.1", 1),
    ],
)
def test_it_finds_made_up_users_page_by_page(bench: Bench, query: str, first: str | None, number: int) -> None:
    answer = _search(bench, query=query)
    assert answer.status_code == 200
    body = answer.get_json()
    assert (body["totalCount"], len(body["users"])) == (250, number)
    if first:
        assert body["users"][0]["username"] == first
    assert all(user["email"].endswith("@example.com") and "555 01" in user["phone"] for user in body["users"])


def test_the_users_are_the_same_in_every_run_and_others_in_another_institution(bench: Bench) -> None:
    first, again = (_search(each, query="?limit=1000").get_json() for each in (bench, Bench()))
    assert first == again
    assert len({user["userId"] for user in first["users"]}) == 250


@pytest.mark.parametrize(
    "query",
    [
        *("?limit=0", "?limit=1001", "?limit=-1", "?limit=x", "?limit=", "?limit=1.0", "?limit=%D9%A1"),
        *("?offset=-1", "?offset=9999999999", "?offset=1e9", "?limit=1&limit=2"),
    ],
)
def test_an_invalid_number_is_400_in_json(bench: Bench, query: str) -> None:
    answer = _search(bench, query=query)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")
    assert "expected one whole number from" in bench.log[-1]


# --- whom it serves ---


def _changed(token: str, **changes: Any) -> str:
    """The claims of a token with changes, signed with another key."""
    return jwt.encode({**jwt.decode(token, options={"verify_signature": False}), **changes}, rsa_key(), "RS256")


def test_without_a_token_it_is_401_with_a_challenge(bench: Bench) -> None:
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer "}):
        answer = bench.http.get(SEARCH, headers=headers)
        assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert bench.http.get(SEARCH).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("case", ["opaque", "forged", "unsigned", "expired", "cut", "other issuer", "id_token"])
def test_a_token_that_is_not_good_is_401_and_not_in_the_log(bench: Bench, case: str) -> None:
    token = _token(bench)
    key = shared_signing_key()
    claims = jwt.decode(token, options={"verify_signature": False})
    header = {"kid": key.kid, "typ": "JWT"}
    native: Any = key.private_key
    if case == "expired":
        bench.clock.now += 600
    sent = {
        "opaque": "abcdefghijklmnop",
        "forged": _changed(token),
        "unsigned": jwt.encode(claims, "", "none"),
        "expired": token,
        "cut": token[:-4],
        "other issuer": jwt.encode({**claims, "iss": "https://other.example"}, native, "RS256", header),
        "id_token": jwt.encode({"iss": ISSUER, "exp": claims["exp"], "aud": "a"}, native, "RS256", header),
    }[case]
    answer = _search(bench, sent)
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert bench.log[-1].startswith("refused with invalid_token: received ")
    assert not [part for part in sent.split(".") if len(part) > 8 and part in "\n".join(bench.log)]


def test_without_the_scope_it_is_403(bench: Bench) -> None:
    answer = _search(bench, _token(bench, "openid"))
    assert (answer.status_code, answer.get_json()["error"]) == (403, "insufficient_scope")
    assert USER_SEARCH_SCOPE in bench.log[-1]


@pytest.mark.parametrize("other", ["other", "%22", "3F85CE95-2A1F-4F5D-A95C-7F4D3E9E1C11"])
def test_another_institution_is_the_vendors_403(bench: Bench, other: str) -> None:
    path = USER_SEARCH_PATH.replace("{institutionId}", other)
    answer = bench.http.get(path, headers={"Authorization": f"Bearer {_token(bench)}"})
    assert (answer.status_code, answer.get_json()) == (403, {"errorCode": 40})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_another_method_is_405(bench: Bench, method: str) -> None:
    answer = bench.http.open(SEARCH, method=method)
    assert (answer.status_code, answer.is_json) == (405, True)
    assert "GET" in answer.headers["Allow"]


# --- faults ---


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("api=403", 403, {"errorCode": 40}),
        ("api=401", 401, {"error": "invalid_token", "error_description": "invalid token provided"}),
        ("api=429", 429, None),
        ("api=503", 503, None),
        ("status=429, retry-after=7", 429, None),
        ("status=500", 500, None),
    ],
)
def test_faults_on_demand(bench: Bench, fault: str, status: int, body: object) -> None:
    answer = _search(bench, **{"Sandbox-Fault": fault})
    assert answer.status_code == status
    assert answer.get_json(silent=True) == body
    assert answer.headers.get("Retry-After") == ("7" if "retry" in fault else None)


def test_the_fault_of_the_api_leaves_everything_else_alone_and_comes_once_if_asked_to() -> None:
    bench = Bench(options={"faults": Faults.read(["api=503"]), "once": True})
    token = _token(bench)
    statuses = [_search(bench, token).status_code for _ in range(3)]
    assert statuses == [503, 200, 200]
    assert [_search(Bench(options={"faults": Faults.read(["api=403"])})).status_code for _ in range(2)] == [403, 403]


@pytest.mark.parametrize("value", ["api", "api=200", "api=x"])
def test_a_fault_of_the_api_needs_a_status(value: str) -> None:
    with pytest.raises(ConfigurationError, match="the fault api"):
        Faults.read([value])


# --- the whole job, from outside ---


@pytest.fixture
def job(tmp_path: Path, ec_key: PrivateKey) -> Path:
    (tmp_path / "public.pem").write_bytes(ec_key.public.pem())
    return tmp_path


def test_the_whole_job_without_a_bank(cli: Cli, job: Path, ec_pem: Path) -> None:
    with running_sandbox("--public-key", job / "public.pem", log=job / "log") as (_, token_endpoint):
        base = token_endpoint.removesuffix("/a/oidc-provider/api/v0/token")
        client = ["--client-id", "sandbox-client", "--private-key", str(ec_pem), "--token-endpoint", token_endpoint]
        client += ["--scope", USER_SEARCH_SCOPE]

        def api(*more: str) -> Any:
            return cli("api", *client, "--api-base", base, *more)

        token = cli("token", *client)
        assert (token.code, token.stdout.count(".")) == (0, 2)
        found = api(f"{USER_SEARCH_PATH}?limit=1")
        assert (found.code, len(json.loads(found.stdout)["users"])) == (0, 1)
        pages = api("--paginate", f"{USER_SEARCH_PATH}?limit=100")
        assert [len(json.loads(line)["users"]) for line in pages.stdout.splitlines()] == [100, 100, 50]
        refused = api("-H", "Sandbox-Fault: api=403", USER_SEARCH_PATH)
        assert (refused.code, json.loads(refused.stdout)) == (4, {"errorCode": 40})
        assert "lacks the permission" in refused.stderr
        assert api(USER_SEARCH_PATH.replace("{institutionId}", "other")).code == 4
        assert api("-H", "Sandbox-Fault: api=503", USER_SEARCH_PATH).code == 5
        assert api("/nowhere").code == 4
    log = (job / "log").read_text()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S", line) for line in log.splitlines())
    assert token.stdout.strip().rpartition(".")[2] not in log
    assert "eyJ" not in log


# --- the first page ---


def test_the_first_page_has_the_commands_with_the_port_the_users_and_the_endpoints(job: Path) -> None:
    with Sandbox([Client(CLIENT_ID, (job / "public.pem").read_text())], log=lambda _: None) as sandbox:
        page = httpx.get(sandbox.home)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        text = re.sub(r"<[^>]*>", "", page.text.partition("<main")[2])
        assert f"profile add sandbox --client-id {CLIENT_ID} --private-key private.pem" in text
        assert f'--issuer {sandbox.issuer} --scope "openid {USER_SEARCH_SCOPE}" ' in text.replace("&#34;", '"')
        assert f"--api-base {sandbox.home.rstrip('/')}" in text
        assert "riley" in text
        assert "The password of each is sandbox." in text
        for link in re.findall(r'href="([^"]+)"', page.text):
            assert httpx.get(link).status_code == 200


_AT_ONCE = """\
import sys
from banno_creds.sandbox import Sandbox
def serve(self):
    raise KeyboardInterrupt
Sandbox.serve_forever = serve
from banno_creds.__main__ import main
sys.argv = ["banno-creds", *sys.argv[1:]]
main()
"""


@pytest.mark.posix("a pseudo-terminal")
def test_at_a_terminal_it_says_which_client_and_what_to_try(job: Path) -> None:
    seen = at_terminal("-c", _AT_ONCE, "sandbox", "--port", "0", "--public-key", str(job / "public.pem"))
    assert re.fullmatch(r"sandbox ready: http://127\.0\.0\.1:\d+/\S+/token\n", seen.stdout)
    said = "\n".join(seen.lines)
    assert "sandbox-client is registered here. private.pem is the other half" in said
    assert "$ banno-creds profile add sandbox --client-id sandbox-client --private-key private.pem --issuer " in said
    assert "$ banno-creds api --profile sandbox " in said


def test_a_secret_only_client_is_shown_a_login_and_no_key(job: Path) -> None:
    client = Client("web", client_secret="a test secret", redirect_uris=(REDIRECT,))
    app = create_app([client], ISSUER, Settings(log=lambda _: None))
    text = re.sub(r"<[^>]*>", "", client_of(app).get("/").text)
    assert f"banno-creds login --issuer {ISSUER} --client-id web --client-secret-file client-secret.txt" in text
    assert "private.pem" not in text
    assert "a test secret" not in text


@pytest.mark.parametrize(("accept", "kind"), [("text/html,*/*;q=0.8", "text/html"), ("*/*", "application/json")])
def test_what_is_not_there_is_a_page_in_a_browser_and_json_elsewhere(bench: Bench, accept: str, kind: str) -> None:
    answer = bench.http.get("/<script>", headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (404, kind)
    assert "<script>" not in answer.text
    assert ('href="/"' in answer.text) == (kind == "text/html")


# --- the login page ---


def _login_page(users: tuple[User, ...] | None) -> str:
    client = Client(CLIENT_ID, public_pem(rsa_key()), redirect_uris=(REDIRECT,))
    settings = {} if users is None else {"users": users}
    http = client_of(create_app([client], ISSUER, Settings(log=lambda _: None, **settings)))  # type: ignore[arg-type]
    query = {"client_id": CLIENT_ID, "response_type": "code", "redirect_uri": REDIRECT, "scope": "openid"}
    query |= {"code_challenge": "a" * 43, "code_challenge_method": "S256"}
    return http.get(f"{urlsplit(ISSUER).path}/auth", query_string=query).text


def test_the_login_page_names_the_built_in_users_and_their_password() -> None:
    text = " ".join(re.sub(r"<[^>]*>", " ", _login_page(None)).split())
    assert "riley Garden Credit Union casey Garden Credit Union, Granite Savings Bank" in text
    assert "robin no institution The password of each is sandbox . None of them is real." in text


def test_the_password_of_a_file_is_on_no_page() -> None:
    text = _login_page((User("jordan<b>", "not for a page", {"sub": "1"}),))
    assert "jordan&lt;b&gt;" in text
    assert "not for a page" not in text
    assert "Their passwords are in the file of" in text


# --- a person's token ---


def test_a_persons_token_is_taken_until_it_is_revoked(bench: Bench) -> None:
    from banno_creds.sandbox import DEFAULT_USERS
    from banno_creds.sandbox.memory import AccessToken, Authorization, Session

    state = bench.app.extensions["sandbox"]
    claims = claims_of(bench.post(scope=USER_SEARCH_SCOPE))
    key: Any = shared_signing_key()
    token = jwt.encode({**claims, "sub": "riley"}, key.private_key, "RS256", {"kid": key.kid})
    assert _search(bench, token).status_code == 401  # nobody signed in for it
    authorization = Authorization(
        CLIENT_ID, Session(DEFAULT_USERS[0], 0), INSTITUTION, (USER_SEARCH_SCOPE,), CLIENT_ID, {}, None
    )
    known = AccessToken(authorization, (USER_SEARCH_SCOPE,), claims["exp"])
    state.authorizations.access_tokens.keep(token, known, bench.clock.now)
    assert _search(bench, token).status_code == 200
    authorization.revoked = True
    assert _search(bench, token).status_code == 401
