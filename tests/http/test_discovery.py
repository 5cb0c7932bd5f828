"""What an issuer says of itself: compared to the character, and never a way to send credentials elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jwt
import pytest

from banno_creds.errors import ConfigurationError, UnusableAnswerError
from banno_creds.http import discovery
from tests.conftest import CLIENT_ID, Cli, Result
from tests.servers.loopback import Says
from tests.servers.scripted import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("pauses")

GRANTED = {"access_token": "an-opaque-token", "token_type": "Bearer", "expires_in": 600, "scope": "openid"}
HTML = {"content-type": "text/html"}
TOKEN = Result(0, "an-opaque-token\n", "")


@pytest.fixture
def issuer(server: ScriptedServer) -> str:
    return server.url.removesuffix("/token")


@pytest.fixture
def url(issuer: str) -> str:
    """Where the discovery document is."""
    return f"{issuer}/.well-known/openid-configuration"


@pytest.fixture
def bank() -> Iterator[ScriptedServer]:
    """Another server, with the token endpoint."""
    with ScriptedServer() as running:
        running.says(says(GRANTED))
        yield running


@pytest.fixture
def ask(cli: Cli, ec_pem: Path) -> Callable[..., Result]:
    def run(issuer: str, *args: str, steps: bool = False) -> Result:
        where = ("--client-id", CLIENT_ID, "--private-key", ec_pem, "--issuer", issuer)
        return cli("client-assertion", *(() if steps else ("-q",)), "-o", "token", *where, *args)

    return run


def says(body: object, status: int = 200) -> Says:
    return Says(status, json.dumps(body).encode())


def error(message: str, *details: str, hint: str, rule: str) -> str:
    lines = (message, *details, f"Next: {hint}", f"More: banno-creds explain {rule}")
    return "✗   " + "\n    ".join(lines) + "\n"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_token_is_asked_for_where_the_document_says_and_that_is_the_audience(
    ask: Callable[..., Result], server: ScriptedServer, bank: ScriptedServer, issuer: str, slash: str
) -> None:
    server.says(says({"issuer": issuer + slash, "token_endpoint": bank.url}))
    result = ask(issuer + slash, steps=True)
    assert (result.code, result.stdout) == (TOKEN.code, TOKEN.stdout)
    assert f"Discovery\n    issuer {issuer}{slash}\n    token_endpoint {bank.url}\n" in result.stderr
    (asked,), (request,) = server.requests, bank.requests
    assert (asked.method, asked.path) == ("GET", "/.well-known/openid-configuration")
    assert asked.form == {}
    claims = jwt.decode(request.form["client_assertion"][0], options={"verify_signature": False})
    assert claims["aud"] == bank.url


def test_a_path_of_the_issuers_is_kept(
    ask: Callable[..., Result], server: ScriptedServer, bank: ScriptedServer, issuer: str
) -> None:
    issuer += "/a/oidc-provider/api/v0"
    server.says(says({"issuer": issuer, "token_endpoint": bank.url}))
    assert ask(issuer) == TOKEN
    assert server.requests[0].path == "/a/oidc-provider/api/v0/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "change",
    [
        lambda issuer: issuer + "/",
        lambda issuer: issuer.upper(),
        lambda issuer: issuer.replace("http", "https"),
        lambda issuer: f"{issuer}.evil.example\x1b[2J",
        lambda issuer: [issuer],
    ],
)
def test_another_issuers_document_is_not_used(
    ask: Callable[..., Result],
    server: ScriptedServer,
    bank: ScriptedServer,
    issuer: str,
    url: str,
    change: Callable[[str], object],
) -> None:
    named = change(issuer)
    server.says(says({"issuer": named, "token_endpoint": bank.url}))
    assert ask(issuer) == Result(
        2,
        "",
        error(
            f"The discovery document at {url} is not that of the issuer {issuer}",
            f"it says: {str(named).replace(chr(27), ' ')}",
            hint="the two must be equal to the character; if the document's is right, use it as --issuer",
            rule="discovery.issuer",
        ),
    )
    assert bank.requests == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("named", [{}, {"issuer": None}, {"issuer": ""}])
def test_a_document_without_an_issuer_is_not_used(
    ask: Callable[..., Result], server: ScriptedServer, bank: ScriptedServer, issuer: str, named: dict[str, object]
) -> None:
    server.says(says({"token_endpoint": bank.url, **named}))
    result = ask(issuer)
    assert (result.code, result.stdout) == (2, "")
    assert "\n    it names no issuer\n" in result.stderr
    assert bank.requests == []


@pytest.mark.parametrize("url", ["/token", "token", "//bank.example/token", "https://bank.example/token#x"])
def test_an_endpoint_that_is_no_url_is_for_the_issuers_operator(
    ask: Callable[..., Result], server: ScriptedServer, issuer: str, url: str
) -> None:
    server.says(says({"issuer": issuer, "token_endpoint": url}))
    result = ask(issuer)
    assert result.code == 2
    assert "Next: the issuer's operator has to mend it; give the URL itself with --token-endpoint" in result.stderr


@pytest.mark.parametrize("members", [{}, {"token_endpoint": None}, {"token_endpoint": ["https://x.example"]}])
def test_a_document_without_a_token_endpoint(
    ask: Callable[..., Result], server: ScriptedServer, issuer: str, members: dict[str, object]
) -> None:
    server.says(says({"issuer": issuer} | members))
    assert ask(issuer) == Result(
        5,
        "",
        error(
            f"The discovery document of {issuer} names no token_endpoint",
            hint="give the URL itself with --token-endpoint",
            rule="discovery.token_endpoint",
        ),
    )


def test_a_document_without_a_jwk_set() -> None:
    with pytest.raises(UnusableAnswerError, match="names no jwks_uri") as failure:
        discovery.endpoint({"issuer": "https://bank.example"}, "jwks_uri")
    assert (failure.value.hint, failure.value.rule) == ("give jwks instead", "discovery.jwks")


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        ("http://bank.example/token", "plain http is for loopback only"),
        ("//bank.example/token", "it does not start with https://"),
        ("/token", "it does not start with https://"),
        ("file:///etc/passwd", "it does not start with https://"),
        ("https://user:pw@bank.example/token", "it carries a user name or password"),
        ("https://bank.example/\x1b[2J", "it has white space or characters outside ASCII in it"),
        ("https://[::1", "is no URL"),
    ],
)
def test_an_endpoint_that_may_not_be_sent_credentials_is_refused(
    ask: Callable[..., Result], server: ScriptedServer, issuer: str, endpoint: str, fault: str
) -> None:
    server.says(says({"issuer": issuer, "token_endpoint": endpoint}))
    result = ask(issuer)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("✗   The token_endpoint that the discovery document names ")
    assert fault in result.stderr
    assert "\x1b" not in result.stderr
    assert result.stderr.splitlines()[-1] == "    More: banno-creds explain discovery.token_endpoint"
    assert len(result.stderr.splitlines()) == 3


@pytest.mark.parametrize(
    ("status", "rule"),
    [
        *((status, "discovery.missing") for status in (400, 401, 403, 404)),
        *((status, "network.answer") for status in (301, 302, 307, 308)),
    ],
)
def test_a_document_that_is_not_there(
    ask: Callable[..., Result],
    server: ScriptedServer,
    bank: ScriptedServer,
    issuer: str,
    url: str,
    status: int,
    rule: str,
) -> None:
    server.says(Says(status, b"", HTML | {"location": bank.url, "x-request-id": "7c1e"}))
    result = ask(issuer)
    message, exchange, hint, more = result.stderr.splitlines()
    assert (result.code, result.stdout) == (5, "")
    assert message.startswith(f"✗   {url} does not send a discovery document: ")
    assert exchange.endswith(f" from {url} · text/html · x-request-id 7c1e")
    redirects = rule == "network.answer"
    assert (f"the server redirects to {bank.url}" if redirects else f"document: {status} ") in message
    assert hint == f"    Next: check the URL{'; a redirect is never followed' if redirects else ''}"
    assert more == f"    More: banno-creds explain {rule}"
    assert len(server.requests) == 1
    assert bank.requests == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "it is empty"),
        (b"[]", "it is JSON, but an array and not an object"),
        (b'{"issuer": "a", "issuer": "b"}', "it has the member 'issuer' more than once"),
        (b'{"issuer": "', "it is not JSON (Unterminated string starting at character 12)"),
    ],
)
def test_a_document_that_is_none(
    ask: Callable[..., Result], server: ScriptedServer, issuer: str, url: str, body: bytes, fault: str
) -> None:
    server.says(Says(200, body))
    assert ask(issuer) == Result(
        5,
        "",
        error(
            f"What {url} sends is not a discovery document: {fault}",
            f"200 OK from {url} · application/json",
            hint="open the URL in a browser: a login page or a gateway may answer in its place",
            rule="network.answer",
        ),
    )
    assert len(server.requests) == 1


def test_a_page_in_the_documents_place_is_quoted(
    ask: Callable[..., Result], server: ScriptedServer, issuer: str, url: str
) -> None:
    server.says(Says(200, b"<title>Sign in</title>", HTML))
    assert ask(issuer) == Result(
        5,
        "",
        error(
            f"What {url} sends is not a discovery document: it is HTML",
            f"200 OK from {url} · text/html",
            "the server says: Sign in",
            hint="open the URL in a browser: a login page or a gateway may answer in its place",
            rule="network.answer",
        ),
    )
    server.says(Says(404, b"<h1>No route</h1>", HTML))
    assert "\n    the server says: No route\n" in ask(issuer).stderr


@pytest.mark.parametrize(
    ("name", "rule"), [("token_endpoint", "discovery.token_endpoint"), ("jwks_uri", "discovery.jwks")]
)
@pytest.mark.parametrize("issuer", ["https://bank.example", "HTTPS://bank.example/v0"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]"])
def test_an_https_issuer_cannot_name_plain_http_even_on_loopback(
    name: str, rule: str, issuer: str, host: str
) -> None:
    with pytest.raises(ConfigurationError) as failure:
        discovery.endpoint({"issuer": issuer, name: f"http://{host}/x"}, name)
    assert failure.value.message == f"the {name} that {issuer} names is plain http: http://{host}/x"
    assert failure.value.hint == "an https issuer has https endpoints; find out who changed its discovery document"
    assert failure.value.rule == rule
    assert discovery.endpoint({"issuer": issuer, name: f"https://{host}/x"}, name) == f"https://{host}/x"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_document_that_is_not_there_for_now_is_asked_for_again(
    ask: Callable[..., Result],
    server: ScriptedServer,
    bank: ScriptedServer,
    issuer: str,
    pauses: list[float],
    status: int,
) -> None:
    server.says(Says(status), Says(status), says({"issuer": issuer, "token_endpoint": bank.url}))
    assert ask(issuer) == TOKEN
    assert len(server.requests) == 3
    assert len(pauses) == 2


def test_three_attempts_are_all(ask: Callable[..., Result], server: ScriptedServer, issuer: str, url: str) -> None:
    server.says(Says(503))
    assert ask(issuer) == Result(
        5,
        "",
        error(
            "The server cannot answer now: 503 Service Unavailable",
            f"503 Service Unavailable from {url} · application/json",
            "that was attempt 3 of 3",
            hint="try again later",
            rule="network.unavailable",
        ),
    )
    assert len(server.requests) == 3


def test_discovery_and_token_share_the_time_allowed(
    ask: Callable[..., Result], server: ScriptedServer, bank: ScriptedServer, issuer: str
) -> None:
    server.says(says({"issuer": issuer, "token_endpoint": bank.url}))
    bank.says(Says(503, b"", {"retry-after": "6"}))
    result = ask(issuer, "--timeout", "5")
    assert result.code == 5
    assert len(bank.requests) == 1


# ── What is meant by a URL that is another's ────────────────────────────────────────────────────────────────────

DOCUMENTS = {
    "https://bank.example/.well-known/openid-configuration": "https://bank.example",
    "https://bank.example/.well-known/openid-configuration/": "https://bank.example",
    "https://bank.example/realms/a/.well-known/openid-configuration": "https://bank.example/realms/a",
    "https://bank.example/.well-known/oauth-authorization-server": "https://bank.example",
    "https://bank.example/.well-known/oauth-authorization-server/tenant/a": "https://bank.example/tenant/a",
    "https://bank.example:8443/.well-known/openid-configuration?v=1": "https://bank.example:8443",
}


@pytest.mark.parametrize(("url", "right"), DOCUMENTS.items())
@pytest.mark.parametrize("option", ["--issuer", "--token-endpoint"])
def test_the_address_of_the_document_is_named_as_that_mistake_with_the_right_value(
    cli: Cli, ec_pem: Path, url: str, right: str, option: str
) -> None:
    client = ("--client-id", CLIENT_ID, "--private-key", str(ec_pem))
    for command in ("token", "client-assertion", "sign-jwt"):
        result = cli(command, *client, option, url)
        assert (result.code, result.stdout) == (2, "")
        assert f"is given by the address of a discovery document: {url}" in result.stderr
        assert f"Next: give the issuer alone: --issuer {right}\n" in result.stderr


@pytest.mark.parametrize("option", ["--issuer", "--token-endpoint"])
def test_other_commands_name_that_mistake_too(cli: Cli, ec_pem: Path, option: str) -> None:
    url, right = next(iter(DOCUMENTS.items()))
    client = ("--client-id", CLIENT_ID, "--private-key", str(ec_pem))
    assert f"--issuer {right}" in cli("lint-assertion", option, url, "a.b.c").stderr
    doctor = cli("doctor", *client, option, url)
    assert (doctor.code, f"--issuer {right}" in " ".join(doctor.stdout.split())) == (2, True)
    assert f" {right}" in cli("profile", "add", "a", *client, option, url).stderr
    variable = {f"BANNO_CREDS_{option[2:].upper().replace('-', '_')}": url}
    assert f" {right}" in cli("token", *client, env=variable).stderr
    if option == "--issuer":
        assert f"--issuer {right}" in cli("login", *client, option, url).stderr


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/token", "this looks like its token endpoint; give it as --token-endpoint"),
        ("/oauth2/v1/token/", "this looks like its token endpoint; give it as --token-endpoint"),
        ("/as/access_token", "this looks like its token endpoint; give it as --token-endpoint"),
        ("/oauth2/authorize", "this looks like its authorization endpoint"),
        ("/auth", "this looks like its authorization endpoint"),
    ],
)
def test_an_endpoint_given_for_the_issuer_is_named(
    cli: Cli, ec_pem: Path, server: ScriptedServer, path: str, words: str
) -> None:
    server.says(Says(404))
    where = ("--client-id", CLIENT_ID, "--private-key", ec_pem, "--issuer", server.url.removesuffix("/token") + path)
    result = cli("token", *where)
    assert (result.code, result.stdout) == (5, "")
    assert f"Next: --issuer takes the issuer, and {words}" in result.stderr
    assert words in " ".join(cli("doctor", *where).stdout.split())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "if it is the issuer, give it as --issuer"),
        ("/realms/a", "if it is the issuer, give it as --issuer"),
        ("/oauth2/authorize", "which looks like the authorization endpoint's"),
    ],
)
@pytest.mark.parametrize("answer", [Says(404), Says(405), Says(200, b"<html><title>Hello</title>", HTML)])
def test_another_url_given_for_the_token_endpoint_is_named(
    cli: Cli, ec_pem: Path, server: ScriptedServer, path: str, words: str, answer: Says
) -> None:
    server.says(answer)
    url = server.url.removesuffix("/token") + path
    result = cli("token", "--client-id", CLIENT_ID, "--private-key", ec_pem, "--token-endpoint", url)
    assert result.code in (4, 5)
    assert words in result.stderr
