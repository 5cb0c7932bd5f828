"""A server that sends back what it was sent, anywhere and in any spelling: nothing of it reaches a person.

The table is every secret of a request, times every place of an answer, times every spelling.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, quote

import pytest

from banno_creds.cli.lines import describe
from banno_creds.client_authentication.methods import BASIC, POST, ClientSecret, SignedJwt
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.config import ClientConfig, KeySource
from banno_creds.errors import BannoCredsError
from banno_creds.http.client import HttpClient
from banno_creds.jose.encoding import base64url
from banno_creds.steps import Run, Warned
from banno_creds.tokens.endpoint import Grant, attempt
from banno_creds.tokens.response import announce
from tests.conftest import CLIENT_ID
from tests.servers.raw import RawServer

from .echoes import SPELLINGS, tells

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from banno_creds.client_authentication.methods import Authentication
    from banno_creds.jose import keys
    from banno_creds.steps import Step
    from tests.conftest import Cli, How
    from tests.servers.issuer import Issuer

pytestmark = pytest.mark.once

CODE = "SplxlOBeZQQYbYS6WxSbIAqz+/45~k"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
REFRESH = "tGzv3JOkF0XG5Qx2TlKWIA/1nk+q=="
SECRET = "7Fjfp0ZBr1KtDRbnfVdmIw+aB/cD%eF"
ISSUED = "2YotnFZFEjr1zCsicMWpAAaBcDeFgHiJkL"
PASSWORD = "pr0xy-canary-pa55Word+/x"
OTHERS = (CODE, VERIFIER, REFRESH, SECRET, ISSUED)


def _of_assertion(request: bytes) -> str:
    form = parse_qs(request.partition(b"\r\n\r\n")[2].decode())
    return form["client_assertion"][0].rpartition(".")[2]


SECRETS: dict[str, Callable[[bytes], str]] = {
    "signature": _of_assertion,
    "code": lambda _: CODE,
    "verifier": lambda _: VERIFIER,
    "refresh token": lambda _: REFRESH,
    "client secret in the body": lambda _: SECRET,
    "client secret in a header": lambda _: SECRET,
    "access token": lambda _: ISSUED,
}

_JSON = "content-type: application/json\r\n"


def _answer(body: str, head: str = _JSON, status: str = "400 Bad Request") -> str:
    return f"HTTP/1.1 {status}\r\n{head}content-length: {len(body.encode())}\r\n\r\n{body}"


def _error(**members: object) -> str:
    return _answer(json.dumps({"error": "invalid_client", "access_token": ISSUED, **members}))


def _granted(**members: object) -> str:
    granted = {"access_token": ISSUED, "token_type": "Bearer", "expires_in": 600, "scope": "openid", **members}
    return _answer(json.dumps(granted), status="200 OK")


def _jwt(**claims: object) -> str:
    return ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "RS256"}, claims)) + ".c2lnbmF0dXJl"


# Each place of an answer; {} is what is echoed there.
PLACES: dict[str, Callable[[str], str]] = {
    "no HTTP": lambda it: f"{it}\r\n\r\n",
    "version": lambda it: f"HTTP/{it} 200 OK\r\n\r\n",
    "status": lambda it: f"HTTP/1.1 {it} OK\r\n\r\n",
    "reason of an error": lambda it: _answer("{}", status=f"401 {it}"),
    "reason of a success": lambda it: _granted().replace("200 OK", f"200 {it}"),
    "reason of 503": lambda it: _answer("", status=f"503 {it}"),
    "header name": lambda it: _answer("{}", f"{_JSON}{it}: a\r\n"),
    "header without a colon": lambda it: _answer("{}", f"{_JSON}{it}\r\n"),
    "x-request-id": lambda it: _answer("{}", f"{_JSON}x-request-id: {it}\r\n"),
    "x-request-id of a success": lambda it: _granted().replace(_JSON, f"{_JSON}x-request-id: id-{it}\r\n"),
    "media type": lambda it: _answer("hello", f"content-type: {it}\r\n"),
    "media type and text": lambda it: _answer("hello", f"content-type: text/{it}; charset=utf-8\r\n", "200 OK"),
    "coding": lambda it: _answer("hello", f"{_JSON}content-encoding: {it}\r\n", "200 OK"),
    "length": lambda it: f"HTTP/1.1 200 OK\r\ncontent-length: {it}\r\n\r\n",
    "transfer coding": lambda it: f"HTTP/1.1 200 OK\r\ntransfer-encoding: {it}\r\n\r\n",
    "chunk": lambda it: f"HTTP/1.1 200 OK\r\n{_JSON}transfer-encoding: chunked\r\n\r\n{it}\r\nabc\r\n",
    "location": lambda it: _answer("", f"location: https://other.example/?a={it}\r\n", "302 Found"),
    "challenge": lambda it: _answer("", f'www-authenticate: Bearer error="{it}"\r\n', "401 Unauthorized"),
    "retry-after": lambda it: _answer("", f"retry-after: {it}\r\n", "429 Too Many Requests"),
    "text": lambda it: _answer(f"You sent {it}, sir.", "content-type: text/plain\r\n"),
    "text without a type": lambda it: _answer(f"You sent {it}, sir.", ""),
    "title": lambda it: _answer(f"<title>a {it}</title>", "content-type: text/html\r\n"),
    "page": lambda it: _answer(f"<h1>No</h1><p>a {it} b</p>", "content-type: text/html\r\n", "403 Forbidden"),
    "error": lambda it: _error(error=it),
    "error_description": lambda it: _error(error_description=f"you sent {it}"),
    "error_uri": lambda it: _error(error_uri=f"https://bank.example/{it}"),
    "other members": lambda it: _answer(
        json.dumps({"title": f"no {it}", "detail": it, "errorCode": it, "message": it})
    ),
    "nested": lambda it: _answer(json.dumps({"error": {"code": it, "message": f"you sent {it}"}})),
    "member name": lambda it: _answer(json.dumps({it: 1}), status="200 OK"),
    "repeated member": lambda it: _answer(f"{{{json.dumps(it)}: 1, {json.dumps(it)}: 2}}", status="200 OK"),
    "broken JSON": lambda it: _answer('{"access_token": "' + it, status="200 OK"),
    "a string": lambda it: _answer(json.dumps(it), status="200 OK"),
    "token_type": lambda it: _granted(token_type=it),
    "scope": lambda it: _granted(scope=f"openid {it}"),
    "expires_in": lambda it: _granted(expires_in=it),
    "another member": lambda it: _granted(note=it, **{it: "a"}),
    "claims": lambda it: _granted(access_token=_jwt(clientName=f"Client {it}", institutionId=it)),
}


class Hostile(NamedTuple):
    """A server that echoes; ``picked`` are the secrets that it saw."""

    server: RawServer
    picked: list[str]


@contextmanager
def _hostile(pick: Callable[[bytes], str], place: str, spelling: str = "as it is") -> Iterator[Hostile]:
    picked: list[str] = []

    def talk(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET"):  # no discovery document
            connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        picked.append(pick(request))
        connection.sendall(PLACES[place](SPELLINGS[spelling](picked[-1])).encode("latin-1", "replace"))

    with RawServer(talk) as server:
        yield Hostile(server, picked)


@pytest.fixture(scope="module")
def signed(ec_key: keys.PrivateKey) -> SignedJwt:
    config = ClientConfig(
        CLIENT_ID, KeySource("a variable", content=ec_key.pem()), token_endpoint="http://127.0.0.1/t"
    )
    return SignedJwt(config, load_signer(config), "http://127.0.0.1/t")


def _said(name: str, place: str, spelling: str, signed: SignedJwt) -> tuple[str, str]:
    """Make one token request with all secrets in it; return all that a person may see of it, and the secret."""
    form = (("grant_type", "a"), ("code", CODE), ("code_verifier", VERIFIER), ("refresh_token", REFRESH))
    authentication: Authentication = signed
    if "client secret" in name:
        authentication = ClientSecret(CLIENT_ID, SECRET, POST if "body" in name else BASIC)
    steps: list[Step] = []
    run = Run(steps.append)
    words: list[str] = []
    with _hostile(SECRETS[name], place, spelling) as hostile, HttpClient(10) as http:
        try:
            response = attempt(hostile.server.url(), Grant(form, {}), authentication, http, run, lambda _: None)
            announce(response, ("openid",), run)
            kept = {member: value for member, value in response.raw.items() if member != "access_token"}
            words += [repr(response), json.dumps(kept)]
        except BannoCredsError as failure:
            words += [repr(failure), str(failure), *failure.details, str(failure.hint), str(failure.rule)]
            words += [str(getattr(failure, "error", "")), repr(failure.marked)]
    for step in steps:
        if isinstance(step, Warned):
            words += [step.message, str(step.hint)]
            continue
        title, lines = describe(step)
        words += [title, *("".join(text for text, _ in line) for line in lines)]
    return "\n".join(words), hostile.picked[0]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SECRETS)
def test_no_place_of_an_answer_tells_a_secret(name: str, place: str, signed: SignedJwt) -> None:
    if name == "access token" and ISSUED not in PLACES[place]("-"):
        return  # an answer that has it nowhere else says it as any other words
    for spelling in ("as it is", "lower case", "percent, lower case"):
        said, secret = _said(name, place, spelling, signed)
        assert tells(said, secret, spelling) == ""


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", SECRETS)
def test_no_spelling_tells_a_secret(name: str, spelling: str, signed: SignedJwt) -> None:
    for place in ("error_description", "scope", "reason of a success", "another member"):
        said, secret = _said(name, place, spelling, signed)
        assert tells(said, secret, spelling) == ""


BELOW_HTTP = ("no HTTP", "version", "status", "header without a colon", "chunk", "length", "transfer coding")


@pytest.mark.parametrize("place", BELOW_HTTP)
def test_no_words_of_a_library_are_shown(place: str, signed: SignedJwt) -> None:
    """They quote what the server sent, which may be more than the secrets of this request."""
    with (
        _hostile(lambda _: "words-of-the-server", place) as hostile,
        HttpClient(10) as http,
        pytest.raises(BannoCredsError) as failure,
    ):
        attempt(hostile.server.url(), Grant((), {}), signed, http, Run(), lambda _: None)
    assert "words-of-the-server" not in repr(failure.value.marked)


def test_what_is_no_echo_is_shown(signed: SignedJwt) -> None:
    for words in (
        "client authentication failed",
        "see incident 7c1e9f3a-2b4d-4e6f-8a90-b1c2d3e4f506",
        "100% & more \\o/",
    ):
        PLACES["harmless"] = lambda _, words=words: _error(error_description=words)  # type: ignore[misc]
        said, _ = _said("code", "harmless", "as it is", signed)
        assert words in said
    del PLACES["harmless"]


# ── From outside ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", PLACES)
def test_no_command_tells_the_signature(
    cli: Cli, ec_pem: Path, folder: Path, tmp_path: Path, how: How, pauses: list[float], place: str
) -> None:
    del pauses
    how.sleep = lambda _: None
    ask = ["--client-id", CLIENT_ID, "--private-key", str(ec_pem)]
    for command in (["client-assertion", "-o", "json"], ["token", "-v"], ["token", "-v"]):
        with _hostile(_of_assertion, place) as hostile:
            result = cli(*command, *ask, "--token-endpoint", hostile.server.url())
            said = result.stdout + result.stderr
            said += "".join(file.read_text("latin-1") for file in folder.rglob("*") if file.is_file())
        assert hostile.picked
        assert not any(tells(said, secret) for secret in hostile.picked if place != "claims")
        assert not any(tells(result.stderr, secret) for secret in hostile.picked)


@pytest.mark.parametrize("place", [*PLACES][::3])
def test_neither_doctor_nor_its_bundle_tells_the_signature(
    cli: Cli, ec_pem: Path, tmp_path: Path, how: How, place: str
) -> None:
    how.sleep = lambda _: None
    bundle = tmp_path / "bundle.md"
    with _hostile(_of_assertion, place) as hostile:
        ask = ["--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", hostile.server.url()]
        result = cli("doctor", *ask, "--bundle", bundle, "--probe", env={"BANNO_CREDS_DEBUG": "1"})
    said = result.stdout + result.stderr + bundle.read_text()
    assert len(hostile.picked) > (place == "error_description")
    assert not any(tells(said, secret) for secret in hostile.picked)


@pytest.mark.parametrize("place", PLACES)
def test_api_tells_the_token_on_standard_output_alone(
    cli: Cli, ec_pem: Path, issuer: Issuer, place: str, pauses: list[float]
) -> None:
    """Where it passes on what the API says."""
    del pauses
    sent: list[str] = []

    def talk(connection: socket.socket, request: bytes) -> None:
        found = re.search(rb"(?i)authorization: Bearer (\S+)", request)
        assert found
        sent.append(found[1].decode())
        connection.sendall(PLACES[place](sent[-1]).encode("latin-1", "replace"))

    with RawServer(talk) as server:
        ask = ["--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", issuer.url, "--no-cache"]
        result = cli("api", *ask, "--api-base", server.url().removesuffix("/token"), "/a", "-v")
    assert sent
    assert not any(token in result.stderr for token in sent)


@pytest.mark.parametrize("spelling", ["as it is", "lower case", "base64 of more", "percent"])
@pytest.mark.parametrize(
    "said",
    ["HTTP/1.1 407 {}\r\n\r\n", "HTTP/1.1 200 {}\r\n\r\n", "{}\r\n\r\n", "HTTP/1.1 403 No\r\n{}\r\n\r\n"],
    ids=["status line", "success", "no HTTP", "header"],
)
def test_a_proxy_that_echoes_its_password_does_not_make_us_show_it(
    cli: Cli, ec_pem: Path, tmp_path: Path, how: How, pauses: list[float], said: str, spelling: str
) -> None:
    del pauses
    how.sleep = lambda _: None
    echo = said.format(SPELLINGS[spelling](PASSWORD)).encode()
    with RawServer(lambda connection, _: connection.sendall(echo)) as proxy:
        ask = [
            "--client-id",
            CLIENT_ID,
            "--private-key",
            str(ec_pem),
            "--token-endpoint",
            "https://bank.example/token",
        ]
        env = {"HTTPS_PROXY": f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:{proxy.port}"}
        results = [
            cli("token", "-v", *ask, env=env),
            cli("doctor", *ask, "--bundle", tmp_path / "bundle.md", env=env),
        ]
    everything = "".join(each.stdout + each.stderr for each in results) + (tmp_path / "bundle.md").read_text()
    assert [each.code for each in results] == [5, 5]
    assert tells(everything, PASSWORD, spelling) == ""
