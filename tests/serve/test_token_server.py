"""The token endpoint on this machine, asked by programs, strangers and attackers over real sockets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pytest

from banno_creds.config import ClientConfig
from banno_creds.errors import ConfigurationError, RefusedError
from banno_creds.many import sources
from banno_creds.many.pacing import Limits
from banno_creds.redirection import listeners
from banno_creds.redirection.listeners import listen, listen_at
from banno_creds.serve import token_server
from banno_creds.serve.clients import Client, OneClient, Profiles
from banno_creds.serve.token_server import TokenServer
from banno_creds.storage.lock import Lock
from banno_creds.tokens.response import TokenResponse
from banno_creds.tokens.token_source import TokenSource
from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.issuer import Issuer

SECRET = "the-secret-of-this-test-alone"
SECONDS = 20.0  # far more than anything here takes
GRANT = {"grant_type": "client_credentials"}
POST_CLIENT = {**GRANT, "client_id": "garden", "client_secret": SECRET}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> dict[str, Any]:
        members: dict[str, Any] = json.loads(self.body)
        return members

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json["error"]


class Endpoint(NamedTuple):
    """The endpoint, and what programs send it."""

    server: TokenServer
    address: Any
    log: list[str]

    def connect(self) -> socket.socket:
        if isinstance(self.address, str):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(SECONDS)
            connection.connect(self.address)
            return connection
        return socket.create_connection(self.address, SECONDS)

    @property
    def host(self) -> str:
        return "localhost" if isinstance(self.address, str) else f"127.0.0.1:{self.address[1]}"

    def sends(self, content: bytes) -> Reply | None:
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(content)
            raw = everything(connection)
        if not raw:
            return None
        head, _, body = raw.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        assert len(headers) == len(lines)
        return Reply(int(status.split()[1]), headers, body.decode())

    def gets(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Reply:
        lines = [f"{method} {target} HTTP/1.1", *headers, "", ""]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.insert(1, f"Host: {self.host}")
        reply = self.sends("\r\n".join(lines).encode() + body)
        assert reply is not None
        return reply

    def posts(self, form: dict[str, str] | bytes, *headers: str) -> Reply:
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        of_form = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}")
        names = [line.partition(":")[0].lower() for line in headers]
        lines = [line for line in of_form if line.partition(":")[0].lower() not in names]
        return self.gets("/token", *lines, *headers, method="POST", body=body)


def asking(name: str, endpoint: Endpoint) -> bytes:
    """Return a whole request for a token."""
    body = urlencode({**POST_CLIENT, "client_id": name})
    head = f"POST /token HTTP/1.1\r\nHost: {endpoint.host}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()


def everything(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def basic(client_id: str, secret: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.fixture
def file(tmp_path: Path, issuer: Issuer, ec_pem: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "config.toml"
    path.write_text(
        f"[profiles.garden]\nclient_id = '{CLIENT_ID}'\nprivate_key = '{ec_pem}'\ntoken_endpoint = '{issuer.url}'\n"
        "scope = ['openid', 'https://api.test/accounts']\n"
        f"[profiles.granite]\nclient_id = 'other'\nprivate_key = '{ec_pem}'\ntoken_endpoint = '{issuer.url}'\n"
        f"[profiles.keyless]\nclient_id = 'other'\nprivate_key = 'gone.pem'\ntoken_endpoint = '{issuer.url}'\n",
        "utf-8",
    )
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def serving(clients: Any, listener: socket.socket | None = None, **options: Any) -> Iterator[Endpoint]:
    if listener is None:
        [listener] = listen("127.0.0.1", 0)
    log: list[str] = []
    address = listener.getsockname()
    with TokenServer(listener, SECRET.encode(), clients, log.append, **options) as server:
        yield Endpoint(server, address, log)
    assert not any(SECRET in line for line in log)


@pytest.fixture
def endpoint(file: Path) -> Iterator[Endpoint]:
    with serving(Profiles(file)) as running:
        yield running


def one(obtain: Callable[[], TokenResponse]) -> OneClient:
    return OneClient("garden", Client(("openid",), (), obtain))


def response(token: str = "a.b.c", expires_in: int | None = 600, at: float | None = None) -> TokenResponse:
    return TokenResponse(token, "Bearer", expires_in, None, int(time.time() if at is None else at), {})


# --- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["basic", "encoded basic", "form"])
def test_a_program_gets_the_profiles_token_with_the_time_left(way: str, endpoint: Endpoint, issuer: Issuer) -> None:
    if way == "form":
        reply = endpoint.posts(POST_CLIENT)
    else:
        secret = SECRET.replace("-", "%2D") if way == "encoded basic" else SECRET
        reply = endpoint.posts(GRANT, basic("garden", secret))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert (reply.headers["cache-control"], reply.headers["pragma"]) == ("no-store", "no-cache")
    members = reply.json
    assert 590 <= members.pop("expires_in") <= 600
    assert members == {"access_token": "openidhttps://api.test/accounts.1", "token_type": "Bearer"}
    assert [form["client_assertion_type"] for form in issuer.forms]


def test_the_cache_of_the_commands_answers_with_the_expires_in_that_is_left(file: Path, issuer: Issuer) -> None:
    config = ClientConfig.from_profile("garden", file)
    TokenSource(config, clock=lambda: time.time() - 100).token()
    with serving(Profiles(file)) as endpoint:
        members = endpoint.posts(POST_CLIENT).json
    assert members["access_token"].endswith(".1")
    assert 495 <= members["expires_in"] <= 500
    assert len(issuer.forms) == 1


def test_the_token_of_each_profile_is_its_own(endpoint: Endpoint) -> None:
    tokens = [endpoint.posts(GRANT, basic(name, SECRET)).json["access_token"] for name in ("garden", "granite")]
    assert tokens == ["openidhttps://api.test/accounts.1", "openid.2"]


def test_one_request_to_the_bank_however_many_programs_ask(endpoint: Endpoint, issuer: Issuer) -> None:
    issuer.gate.clear()
    with ThreadPoolExecutor(100) as pool:
        replies = [pool.submit(endpoint.posts, POST_CLIENT) for _ in range(100)]
        issuer.wait_for(1)
        issuer.gate.set()
        tokens = {reply.result().json["access_token"] for reply in replies}
    assert (len(tokens), len(issuer.forms)) == (1, 1)


def test_a_bank_that_is_slow_for_one_profile_holds_up_no_other(endpoint: Endpoint, issuer: Issuer) -> None:
    endpoint.posts(GRANT, basic("granite", SECRET))
    issuer.gate.clear()
    with ThreadPoolExecutor(60) as pool:
        slow = [pool.submit(endpoint.posts, POST_CLIENT) for _ in range(60)]
        issuer.wait_for(2)
        assert endpoint.posts(GRANT, basic("granite", SECRET)).status == 200
        issuer.gate.set()
        assert {reply.result().status for reply in slow} == {200}


def test_a_scope_of_the_profile_may_be_named_and_no_other(endpoint: Endpoint, issuer: Issuer) -> None:
    assert endpoint.posts({**POST_CLIENT, "scope": "https://api.test/accounts"}).status == 200
    reply = endpoint.posts({**POST_CLIENT, "scope": "openid payments"})
    assert reply.error == (400, "invalid_scope")
    assert "payments" in reply.json["error_description"]
    assert "openid https://api.test/accounts" in reply.json["error_description"]
    assert endpoint.posts({**POST_CLIENT, "resource": "https://api.test/"}).error == (400, "invalid_target")
    assert len(issuer.forms) == 1


def test_a_changed_file_counts_at_once(file: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_server, "_TOKEN_SECONDS", 0.0)
    with serving(Profiles(file)) as endpoint:
        assert endpoint.posts(GRANT, basic("granite", SECRET)).json["access_token"] == "openid.1"
        file.write_text(file.read_text("utf-8").replace("'other'", "'another'"), "utf-8")
        assert endpoint.posts(GRANT, basic("granite", SECRET)).json["access_token"] == "openid.2"


def test_profiles_that_were_not_named_are_not_served(file: Path, issuer: Issuer) -> None:
    with serving(Profiles(file, ["granite"])) as endpoint:
        assert endpoint.posts(POST_CLIENT).error == (401, "invalid_client")
        assert endpoint.posts(GRANT, basic("granite", SECRET)).status == 200
    assert len(issuer.forms) == 1


def test_profiles_without_the_tags_are_not_served(file: Path, issuer: Issuer) -> None:
    text = file.read_text("utf-8")
    file.write_text(text.replace("[profiles.granite]\n", "[profiles.granite]\ntags = ['live', 'eu']\n"), "utf-8")
    with serving(Profiles(file, tags=("live", "eu"))) as endpoint:
        assert endpoint.posts(POST_CLIENT).error == (401, "invalid_client")
        assert endpoint.posts(GRANT, basic("granite", SECRET)).status == 200
        assert endpoint.posts(GRANT, basic("nobody", SECRET)).error == (401, "invalid_client")
    with serving(Profiles(file, ["granite"], ["live", "us"])) as endpoint:
        assert endpoint.posts(GRANT, basic("granite", SECRET)).error == (401, "invalid_client")
    assert len(issuer.forms) == 1


# --- failures on the way to the bank --------------------------------------------------------------------------------


def test_a_refusal_of_the_bank_is_told_and_remembered(endpoint: Endpoint, issuer: Issuer) -> None:
    issuer.refuse()
    replies = [endpoint.posts(POST_CLIENT) for _ in range(20)]
    assert {reply.error for reply in replies} == {(400, "unauthorized_client")}
    said = replies[0].json["error_description"]
    assert said.startswith("garden: the server refused the client: invalid_client")
    assert said.endswith("next: banno-creds doctor --profile garden")
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", said)
    assert len(issuer.forms) == 1


def test_a_wrong_key_in_all_profiles_costs_five_refusals(file: Path, issuer: Issuer, ec_pem: Path) -> None:
    issuer.refuse()
    settings = f"client_id = 'x'\nprivate_key = '{ec_pem}'\ntoken_endpoint = '{issuer.url}'\n"
    file.write_text("".join(f"[profiles.bank-{number}]\n{settings}kid = 'k{number}'\n" for number in range(30)))
    with serving(Profiles(file, limits=Limits(rate=0))) as endpoint, ThreadPoolExecutor(8) as pool:
        names = [f"bank-{number}" for number in range(30)]
        replies = list(pool.map(lambda name: endpoint.posts(GRANT, basic(name, SECRET)), names))
    errors = [reply.error for reply in replies]
    assert errors.count((400, "unauthorized_client")) == 5
    assert errors.count((503, "temporarily_unavailable")) == 25
    [wait] = {reply.headers["retry-after"] for reply in replies if reply.status == 503}
    assert wait == "30"
    assert len(issuer.forms) == 5


def test_a_refused_profile_is_asked_for_ever_more_seldom_until_the_clients_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, asked = [0.0], [0]

    class Refused:
        name = "first"

        def version(self) -> str:
            return self.name

        def find(self, _: str) -> Client:
            def obtain() -> TokenResponse:
                asked[0] += 1
                raise RefusedError("the server refused the client", error="invalid_client", status=401)

            return Client((), (), obtain)

    clients = Refused()
    monkeypatch.setattr(token_server, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    with serving(clients) as endpoint:
        looks = []
        for second in range(0, 601, 10):
            now[0] = float(second)
            before = asked[0]
            assert endpoint.posts(POST_CLIENT).error == (400, "unauthorized_client")
            looks += [second] if asked[0] > before else []
        assert looks == [0, 30, 90, 210, 330, 450, 570]
        clients.name = "second"
        endpoint.posts(POST_CLIENT)
        assert asked[0] == len(looks) + 1
        now[0] += 31
        endpoint.posts(POST_CLIENT)
        assert asked[0] == len(looks) + 2  # it is a first refusal again


def test_a_bank_that_refused_too_many_is_asked_once_more_after_a_while(
    file: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_REOPENS_AFTER", 0.0)
    issuer.refuse()
    with serving(Profiles(file, limits=Limits(rate=0, give_up_after=1))) as endpoint:
        for name in ("garden", "granite"):
            assert endpoint.posts({**POST_CLIENT, "client_id": name}).error == (400, "unauthorized_client")


def test_a_scope_that_the_bank_refuses_is_the_programs_error_too(endpoint: Endpoint, issuer: Issuer) -> None:
    issuer.failure = 400, {"error": "invalid_scope", "error_description": "requested scope is not allowed"}
    reply = endpoint.posts(POST_CLIENT)
    assert reply.error == (400, "invalid_scope")
    assert "requested scope is not allowed" in reply.json["error_description"]


def test_a_bank_that_is_down_is_not_asked_for_each_request(
    endpoint: Endpoint, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    issuer.failure = 503, {}
    assert {endpoint.posts(POST_CLIENT).error for _ in range(10)} == {(503, "temporarily_unavailable")}
    assert "retry-after" in endpoint.posts(POST_CLIENT).headers
    assert len(issuer.forms) <= 4  # the attempts of one look


def test_a_profile_with_a_fault_says_so(endpoint: Endpoint, issuer: Issuer) -> None:
    reply = endpoint.posts(GRANT, basic("keyless", SECRET))
    assert reply.error == (500, "server_error")
    assert "gone.pem" in reply.json["error_description"]
    assert issuer.forms == []


def test_a_token_that_no_cache_keeps_is_not_a_request_each_time(endpoint: Endpoint, issuer: Issuer) -> None:
    issuer.expires_in = None
    replies = [endpoint.posts(POST_CLIENT) for _ in range(5)]
    assert all("expires_in" not in reply.json for reply in replies)
    assert len(issuer.forms) <= 2


def test_a_token_that_has_ended_is_never_given() -> None:
    now = [1_000_000.0]
    made: list[TokenResponse] = []

    def obtain() -> TokenResponse:
        made.append(response(f"t.{len(made)}", 60, now[0]))
        return made[-1]

    with serving(one(obtain), clock=lambda: now[0]) as endpoint:
        assert endpoint.posts(POST_CLIENT).json["access_token"] == "t.0"
        now[0] += 60
        members = endpoint.posts(POST_CLIENT).json
    assert (members["access_token"], members["expires_in"]) == ("t.1", 60)


def test_a_token_of_another_type_is_not_given() -> None:
    odd = TokenResponse("a.b.c", "DPoP", 600, None, int(time.time()), {})
    with serving(one(lambda: odd)) as endpoint:
        reply = endpoint.posts(POST_CLIENT)
    assert reply.error == (503, "temporarily_unavailable")
    assert "a.b.c" not in reply.body


def test_a_bug_is_an_answer_without_its_words() -> None:
    def obtain() -> TokenResponse:
        raise ValueError(f"about {SECRET}")

    with serving(one(obtain)) as endpoint:
        reply = endpoint.posts(POST_CLIENT)
    assert reply.error == (500, "server_error")
    assert reply.json["error_description"] == "garden: this is a bug in banno-creds: ValueError"


# --- requests that are refused --------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, str], list[str], tuple[int, str]]] = {
    "wrong secret": ({**POST_CLIENT, "client_secret": "x" * 29}, [], (401, "invalid_client")),
    "a beginning of the secret": ({**POST_CLIENT, "client_secret": SECRET[:-1]}, [], (401, "invalid_client")),
    "no secret": ({**GRANT, "client_id": "garden"}, [], (401, "invalid_client")),
    "nobody": (GRANT, [], (401, "invalid_client")),
    "empty secret": (GRANT, [basic("garden", "")], (401, "invalid_client")),
    "no profile": ({**POST_CLIENT, "client_id": "gardn"}, [], (401, "invalid_client")),
    "a path": ({**POST_CLIENT, "client_id": "../garden"}, [], (401, "invalid_client")),
    "bearer": (GRANT, [f"Authorization: Bearer {SECRET}"], (401, "invalid_client")),
    "broken header": (GRANT, ["Authorization: Basic §"], (401, "invalid_client")),
    "no colon": (GRANT, ["Authorization: Basic Z2FyZGVu"], (401, "invalid_client")),
    "twice": (POST_CLIENT, [basic("garden", SECRET)], (400, "invalid_request")),
    "an assertion": ({**POST_CLIENT, "client_assertion": "a.b.c"}, [], (401, "invalid_client")),
    "the secret twice": ({**POST_CLIENT, "client_id": SECRET}, [], (401, "invalid_client")),
    "no grant": ({"client_id": "garden", "client_secret": SECRET}, [], (400, "invalid_request")),
    "another grant": ({**POST_CLIENT, "grant_type": "password"}, [], (400, "unsupported_grant_type")),
    "json": (POST_CLIENT, ["Content-Type: application/json"], (415, "invalid_request")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_without_all_that_it_needs_is_refused(name: str, endpoint: Endpoint, issuer: Issuer) -> None:
    form, headers, error = REFUSED[name]
    reply = endpoint.posts(form, *headers)
    assert reply.error == error
    assert ("www-authenticate" in reply.headers) == (error[0] == 401)
    assert SECRET not in reply.body
    assert issuer.forms == []
    assert len(endpoint.log) == 1
    assert SECRET not in endpoint.log[0]


@pytest.mark.parametrize(
    "body",
    [
        urlencode(POST_CLIENT).encode() + b"&client_id=granite",
        b"grant_type=client_credentials&client_id=\xff",
        b"grant_type=%ff&client_id=garden",
        b"&".join(b"a%d=1" % number for number in range(100)),
    ],
    ids=["twice", "bytes", "no UTF-8", "many"],
)
def test_a_form_that_can_be_read_in_two_ways_is_refused(body: bytes, endpoint: Endpoint) -> None:
    assert endpoint.posts(body).error == (400, "invalid_request")


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: https://evil.test"],
        ["Origin: null"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-origin"],
    ],
    ids=str,
)
def test_a_web_page_gets_nothing_although_it_has_the_secret(headers: list[str], endpoint: Endpoint) -> None:
    reply = endpoint.posts(POST_CLIENT, *headers)
    assert reply.status == 403
    assert not any(name.startswith("access-control-") for name in reply.headers)
    assert endpoint.gets("/token", *headers, method="OPTIONS").status == 403


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1", "localhost:1", "localhost.evil.test:{}", "[::1]:{}"])
def test_another_host_is_refused_also_one_that_resolves_to_this_machine(host: str, endpoint: Endpoint) -> None:
    port = endpoint.address[1]
    assert endpoint.posts(POST_CLIENT, f"Host: {host.format(port)}").status == 421
    assert endpoint.gets("/.well-known/openid-configuration", f"Host: {host.format(port)}").status == 421
    twice = [f"Host: localhost:{port}", f"Host: localhost:{port}"]
    assert endpoint.posts(POST_CLIENT, *twice).status == 421
    assert endpoint.posts(POST_CLIENT, f"Host: LOCALHOST:{port}").status == 200


def test_a_program_of_another_user_is_refused_before_its_secret_is_looked_at(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_server, "is_of_another_user", lambda _: True)
    assert endpoint.posts(POST_CLIENT).status == 403
    assert endpoint.posts({**POST_CLIENT, "client_secret": "wrong"}).status == 403


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("at", ["port", "socket"])
def test_another_users_program_is_told_by_the_system(at: str, file: Path) -> None:
    with contextlib.ExitStack() as stack:
        listener = None
        if at == "socket":
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))  # others may enter no other one
            Path(folder).chmod(0o711)
            listener = listen_at(f"{folder}/s")
            Path(folder, "s").chmod(0o666)  # as if somebody had opened it
        endpoint = stack.enter_context(serving(Profiles(file), listener))
        body = urlencode(POST_CLIENT).encode()
        head = (
            f"POST /token HTTP/1.1\r\nHost: {endpoint.host}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        target = endpoint.address if at == "socket" else list(endpoint.address)
        code = (
            "import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534);"
            "s = socket.socket(socket.AF_UNIX if isinstance(at := eval(sys.argv[1]), str) else socket.AF_INET);"
            "s.connect(at if isinstance(at, str) else tuple(at)); s.sendall(sys.argv[2].encode());"
            "print(s.recv(65536).decode())"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, repr(target), head + body.decode()],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=True,
            cwd="/",
        )
    assert done.stdout.startswith("HTTP/1.1 403")


def test_other_paths_and_methods_are_refused(endpoint: Endpoint) -> None:
    assert endpoint.gets("/").status == 404
    assert endpoint.gets("/token/").status == 404
    assert endpoint.gets("/%74oken").status == 404
    assert endpoint.gets("/token").headers["allow"] == "post"
    assert endpoint.gets("/token", method="HEAD").status == 405
    assert endpoint.gets("/.well-known/openid-configuration", method="POST").headers["allow"] == "get, head"
    assert endpoint.gets("http://evil.test/token").status == 404
    assert endpoint.gets("/token?client_secret=x").status == 405
    assert not any("client_secret=x" in line for line in endpoint.log)


def test_guessing_is_slowed_and_hinders_nobody_with_the_secret(endpoint: Endpoint) -> None:
    wrong = {**POST_CLIENT, "client_secret": "x" * len(SECRET)}
    with ThreadPoolExecutor(20) as pool:  # one after the other, a slow machine would take as long as is allowed
        answers = list(pool.map(lambda _: endpoint.posts(wrong), range(40)))
    refused = [answer for answer in answers if answer.status != 401]
    assert 0 < len(refused) <= 30
    assert {(answer.status, answer.headers["retry-after"]) for answer in refused} == {(429, "1")}
    assert endpoint.posts(POST_CLIENT).status == 200


def test_a_secret_whose_digest_begins_alike_is_wrong(endpoint: Endpoint) -> None:
    first = hashlib.sha256(SECRET.encode()).digest()[0]
    alike = next(each for each in map(str, itertools.count()) if hashlib.sha256(each.encode()).digest()[0] == first)
    assert endpoint.posts({**POST_CLIENT, "client_secret": alike}).error == (401, "invalid_client")


def test_a_flood_of_refused_requests_does_not_fill_the_log(endpoint: Endpoint) -> None:
    for _ in range(200):
        endpoint.gets("/")
    assert len(endpoint.log) < 60


# --- discovery ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["openid-configuration", "oauth-authorization-server"])
def test_discovery_names_the_endpoint(name: str, endpoint: Endpoint) -> None:
    members = endpoint.gets(f"/.well-known/{name}").json
    issuer = f"http://127.0.0.1:{endpoint.address[1]}"
    assert (members["issuer"], members["token_endpoint"]) == (issuer, f"{issuer}/token")
    assert members["token_endpoint"] == endpoint.server.token_endpoint
    assert members["grant_types_supported"] == ["client_credentials"]
    assert members["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]
    assert endpoint.gets(members["jwks_uri"].removeprefix(issuer)).json == {"keys": []}


# --- bodies, and what is none ---------------------------------------------------------------------------------------


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def test_a_body_may_come_in_chunks(endpoint: Endpoint) -> None:
    body = urlencode(POST_CLIENT).encode()
    lines = ("Transfer-Encoding: chunked", "Content-Type: application/x-www-form-urlencoded; charset=utf-8")
    for sent in (chunked(body), chunked(body[:7], body[7:]), chunked(body).replace(b"\r\n", b";x=y\r\n", 1)):
        assert endpoint.gets("/token", *lines, method="POST", body=sent).status == 200


def test_a_program_that_waits_for_100_continue_gets_it(endpoint: Endpoint) -> None:
    body = urlencode(POST_CLIENT).encode()
    head = (
        f"POST /token HTTP/1.1\r\nHost: {endpoint.host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with endpoint.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert everything(connection).startswith(b"HTTP/1.1 200 OK\r\n")


_POST = b"POST /token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"
ODD: dict[str, tuple[bytes, int]] = {
    "two lengths": (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "length and chunked": (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "negative length": (b"Content-Length: -1\r\n\r\n", 400),
    "no number": (b"Content-Length: 1e3\r\n\r\n", 400),
    "a list": (b"Content-Length: 1, 1\r\n\r\n", 400),
    "digits of another script": ("Content-Length: ٣\r\n\r\n".encode(), 400),
    "huge": (b"Content-Length: 999999999\r\n\r\n", 413),
    "too many digits": (b"Content-Length: 9999999999\r\n\r\n", 400),
    "gzip": (b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "gzip and chunked": (b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    "no chunk": (b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    "negative chunk": (b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    "huge chunk": (b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n", 413),
    "a chunk that goes on": (b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
    "no body": (b"\r\n", 401),
    "folded header": (b"X: y\r\n z\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", ODD)
def test_a_body_of_unclear_length_is_refused(name: str, endpoint: Endpoint) -> None:
    rest, status = ODD[name]
    reply = endpoint.sends(_POST % endpoint.host.encode() + rest)
    assert reply is not None
    assert reply.status == status
    assert endpoint.posts(POST_CLIENT).status == 200


def test_many_small_chunks_end_at_the_bound(endpoint: Endpoint) -> None:
    many = b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20_000
    reply = endpoint.sends(_POST % endpoint.host.encode() + many)
    assert reply is None or reply.status == 413  # None: the connection was reset before the answer was read


def test_silent_programs_keep_nobody_out(endpoint: Endpoint) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            connection = stack.enter_context(endpoint.connect())
            connection.sendall(b"POST /token HTTP/1.1\r\n")
        assert endpoint.posts(POST_CLIENT).status == 200


def test_more_programs_than_can_wait_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_server, "_MOST_WAITING", 3)
    gate = threading.Event()
    asked = threading.Semaphore(0)

    def obtain() -> TokenResponse:
        asked.release()
        assert gate.wait(60)
        return response()

    with serving(one(obtain)) as endpoint, ThreadPoolExecutor(20) as pool:
        replies = [pool.submit(endpoint.posts, POST_CLIENT) for _ in range(20)]
        assert asked.acquire(timeout=60)
        told = next(reply for reply in iter(lambda: next((r for r in replies if r.done()), None), 0) if reply)
        assert told.result().error == (503, "temporarily_unavailable")
        gate.set()
        assert sorted({reply.result().status for reply in replies}) == [200, 503]


def test_a_system_without_a_further_thread_is_no_token_for_now() -> None:
    with serving(one(response)) as endpoint:
        endpoint.server._pool.shutdown()
        reply = endpoint.posts(POST_CLIENT)
    assert reply.error == (503, "temporarily_unavailable")


def test_names_that_are_no_profiles_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_server, "_MOST_OUTCOMES", 20)
    monkeypatch.setattr(token_server, "_TOKEN_SECONDS", 0.0)
    with serving(one(response)) as endpoint:
        for number in range(100):
            assert endpoint.posts({**POST_CLIENT, "client_id": f"n{number}"}).status == 401
        assert len(endpoint.server._outcomes) <= 20


def test_many_names_do_not_make_a_fresh_token_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_server, "_MOST_OUTCOMES", 1)
    monkeypatch.setattr(token_server, "_TOKEN_SECONDS", 600.0)
    asked: list[TokenResponse] = []

    def obtain() -> TokenResponse:
        asked.append(response())
        return asked[-1]

    with serving(one(obtain)) as endpoint:
        for name in ("garden", "a", "b", "garden"):
            endpoint.posts({**POST_CLIENT, "client_id": name})
    assert len(asked) == 1


# --- its end, and a Unix socket -------------------------------------------------------------------------------------


def test_a_program_that_waits_at_the_end_still_gets_its_token() -> None:
    gate, asked = threading.Event(), threading.Event()

    def obtain() -> TokenResponse:
        asked.set()
        assert gate.wait(60)
        return response()

    with ThreadPoolExecutor(1) as pool:
        with serving(one(obtain), parting_seconds=SECONDS) as endpoint:
            reply = pool.submit(endpoint.posts, POST_CLIENT)
            assert asked.wait(60)
            threading.Timer(0.8, gate.set).start()  # a listener for one login waits for half a second
        assert reply.result().status == 200


def test_who_waits_for_a_thread_at_the_end_is_let_go_without_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(token_server, "_MOST_THREADS", 1)
    gate, asked = threading.Event(), threading.Event()

    def obtain() -> TokenResponse:
        asked.set()
        assert gate.wait(60)
        return response()

    with ThreadPoolExecutor(1) as pool:
        with serving(one(obtain)) as endpoint, endpoint.connect() as connection:
            pool.submit(endpoint.sends, asking("garden", endpoint))
            assert asked.wait(60)
            connection.sendall(asking("another", endpoint))
            while len(endpoint.server._outcomes) < 2:
                time.sleep(0.01)
        gate.set()
    assert caplog.records == []


def test_what_ends_the_servers_thread_is_raised(endpoint: Endpoint) -> None:
    endpoint.server.check()
    endpoint.server._server.failure = MemoryError()
    with pytest.raises(MemoryError):
        endpoint.server.check()
    endpoint.server._server.failure = None


def test_two_threads_that_look_for_a_profile_get_one_source(file: Path) -> None:
    both = threading.Barrier(2, timeout=60)

    def prepare(config: ClientConfig) -> ClientConfig:
        both.wait()
        return config

    found = Profiles(file, prepare=prepare)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(found.find, ["garden"] * 2)
    assert one is not None
    assert one is other is found.find("garden")


@pytest.mark.posix("Python has no Unix sockets on Windows")
def test_a_unix_socket_is_its_owners_alone(tmp_path: Path, file: Path) -> None:
    path = str(tmp_path / "banno.sock")
    with serving(Profiles(file), listen_at(path)) as endpoint:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        assert endpoint.server.token_endpoint == "http://localhost/token"
        assert endpoint.posts(POST_CLIENT).status == 200
        assert endpoint.posts(POST_CLIENT, "Host: anything").status == 200
        assert endpoint.posts(POST_CLIENT, "Origin: https://evil.test").status == 403
        with pytest.raises(ConfigurationError, match="another program listens at the socket"):
            listen_at(path)
        assert endpoint.posts(POST_CLIENT).status == 200
    # It is closed, and its file is left behind, as after kill -9.
    with serving(Profiles(file), listen_at(path)) as endpoint:
        assert endpoint.posts(POST_CLIENT).status == 200


@pytest.mark.posix("Python has no Unix sockets on Windows")
@pytest.mark.parametrize("was_dead", [True, False], ids=["a dead socket", "nothing"])
def test_of_those_who_come_at_once_one_gets_the_socket(was_dead: bool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    together = threading.Barrier(6)

    def come(number: int) -> socket.socket | None:
        together.wait(60)
        path = str(tmp_path / ("link/s" if number % 2 else "s"))
        try:
            return listen_at(path)
        except ConfigurationError as refused:
            return (
                None
                if refused.message == f"another program listens at the socket {path}"
                else pytest.fail(refused.message)
            )

    with ThreadPoolExecutor(6) as pool:
        for _ in range(30):
            if was_dead:
                with socket.socket(socket.AF_UNIX) as dead:
                    dead.bind(str(tmp_path / "s"))
            [winner] = filter(None, pool.map(come, range(6)))
            with winner, socket.socket(socket.AF_UNIX) as program:
                program.connect(str(tmp_path / "s"))
            (tmp_path / "s").unlink()


@pytest.mark.posix("Python has no Unix sockets on Windows")
def test_a_folder_that_somebody_locks_keeps_nobody_from_listening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_LOCK_SECONDS", 0.05)
    with Lock(str(tmp_path), is_folder=True) as somebody:
        assert somebody.take()
        listen_at(str(tmp_path / "s")).close()


@pytest.mark.posix("Python has no Unix sockets on Windows")
@pytest.mark.parametrize("sort", ["file", "folder", "link"])
def test_nothing_but_a_dead_socket_is_replaced(sort: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    if sort == "folder":
        path.mkdir()
    elif sort == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_text("kept")
    with pytest.raises(ConfigurationError, match="is there, and is no socket"):
        listen_at(str(path))
    assert sort != "file" or path.read_text() == "kept"


@pytest.mark.posix("Python has no Unix sockets on Windows")
@pytest.mark.parametrize("path", ["x" * 200, "no/such/folder/s"], ids=["long", "folder"])
def test_a_socket_that_cannot_be_there_is_an_error(path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen at the socket"):
        listen_at(str(tmp_path / path))


def test_a_taken_port_is_named_with_what_can_be_done() -> None:
    [listener] = listen("127.0.0.1", 0)
    with contextlib.closing(listener), pytest.raises(ConfigurationError) as failed:
        listen("127.0.0.1", listener.getsockname()[1], "give --port 0, which takes any free port")
    assert (failed.value.hint or "").endswith(", or give --port 0, which takes any free port")
    assert listeners.ADDRESSES
