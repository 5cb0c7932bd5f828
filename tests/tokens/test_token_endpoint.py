"""What a token endpoint answers, and what the user of ``client-assertion`` is told: message, hint, exit code."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, overload

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from banno_creds.config import ClientConfig, KeySource
from banno_creds.errors import BannoCredsError, RefusedError
from banno_creds.http.exchange import Answer
from banno_creds.steps import Run
from banno_creds.tokens.client_credentials import ClientCredentials
from banno_creds.tokens.response import TokenResponse, read_answer
from tests.conftest import CLIENT_ID, Cli, Result
from tests.servers.loopback import Request, Says
from tests.servers.scripted import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from banno_creds.jose import keys


pytestmark = pytest.mark.usefixtures("pauses")

HTML = {"content-type": "text/html; charset=utf-8"}
JSON = {"content-type": "application/json"}
GRANTED = {"access_token": "an-opaque-token", "token_type": "Bearer", "expires_in": 600, "scope": "openid"}
SECRET = "c4nary-t0ken-that-nobody-may-see"


def says(body: object, status: int = 200, **headers: str) -> Says:
    named = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return Says(status, json.dumps(body).encode(), named)


@pytest.fixture
def ask(cli: Cli, ec_pem: Path, server: ScriptedServer) -> Callable[..., Result]:
    """Run ``client-assertion`` against the scripted server."""

    def run(*args: str, steps: bool = False) -> Result:
        quiet = () if steps else ("-q",)
        where = ("--client-id", CLIENT_ID, "--private-key", ec_pem, "--token-endpoint", server.url)
        return cli("client-assertion", *where, *quiet, *args)

    return run


def error(message: str, *details: str, hint: str, rule: str) -> str:
    """What an error looks like on stderr."""
    return "✗   " + "\n    ".join((message, *details, f"Next: {hint}", more(rule))) + "\n"


def more(rule: str) -> str:
    """The line that leads to the page of a rule or an error."""
    return f"More: banno-creds explain {rule}"


def claims_of(request: Request) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(request.form["client_assertion"][0], options={"verify_signature": False})
    return claims


def said_by_the_server(result: Result) -> list[str]:
    """The lines of an error, without what is known here of a refusal and its client; test_refusal looks at that."""
    lines = [line.strip() for line in result.stderr.splitlines()]
    known = (
        f"client {CLIENT_ID}",
        "ruled out here: ",
        "this answer hides the reason; ",
        "left: ",
        "banno-creds doctor ",
    )
    return [line for line in lines if not line.startswith(known)]


# --- Granted ---


def test_the_form_is_the_one_the_vendor_documents(ask: Callable[..., Result], server: ScriptedServer) -> None:
    granted = GRANTED | {"scope": "openid a b"}
    server.says(says(granted))
    result = ask("--scope", "openid a", "--scope", "b", "--resource", "https://r.example", "--param", "x=1 &=é")
    assert result == Result(0, json.dumps(granted) + "\n", "")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/token")
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["accept"] == "application/json"
    assert "authorization" not in headers
    assert "cookie" not in headers
    assertion = request.form.pop("client_assertion")
    assert len(assertion) == 1
    assert request.form == {
        "grant_type": ["client_credentials"],
        "scope": ["openid a b"],
        "resource": ["https://r.example"],
        "x": ["1 &=é"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
    }


def test_an_empty_scope_is_not_sent(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(says(GRANTED))
    assert ask("--scope", "").code == 0
    assert "scope" not in server.requests[0].form


@pytest.mark.parametrize(
    ("expires_in", "until"),
    [
        (600, 600),
        ("600", 600),
        (599.9, 599),
        (0, 0),
        (-1, None),
        (10**10, None),
        (True, None),
        (None, None),
        ("soon", None),
        ([600], None),
    ],
)
def test_expires_in_is_taken_for_what_it_can_mean(expires_in: object, until: int | None) -> None:
    response = accepted(GRANTED | {"expires_in": expires_in})
    assert response.expires_in == until
    assert response.expires_at == (None if until is None else 1000 + until)


def accepted(body: object) -> TokenResponse:
    answer = Answer("https://bank.example/token", 200, "OK", {}, json.dumps(body).encode(), 0.1)
    return read_answer(answer, 1000, {})


def test_the_token_is_in_no_repr() -> None:
    response = accepted(GRANTED | {"access_token": SECRET})
    assert SECRET not in repr(response)
    assert SECRET not in repr(Answer("https://bank.example", 200, "OK", {}, SECRET.encode(), 0.1))


@pytest.mark.parametrize("missing", ["expires_in", "token_type"])
def test_what_the_answer_should_have_named_is_a_warning(
    ask: Callable[..., Result], server: ScriptedServer, missing: str
) -> None:
    server.says(says({name: value for name, value in GRANTED.items() if name != missing}))
    result = ask("-o", "header")
    assert (result.code, result.stdout) == (0, "Authorization: Bearer an-opaque-token\n")
    assert result.stderr.startswith("!   ")
    assert missing in result.stderr


def test_a_token_of_another_type_is_no_bearer_token(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(says(GRANTED | {"token_type": "DPoP"}))
    result = ask("-o", "header")
    assert (result.code, result.stdout) == (5, "")
    assert "the type DPoP, which cannot be used as a Bearer token" in result.stderr
    assert ask("-o", "token").stdout == "an-opaque-token\n"


@pytest.mark.parametrize("name", ["token_type", "scope"])
@pytest.mark.parametrize("value", [None, 7, [7], {"a": 1}, ""])
def test_members_of_a_wrong_type_are_left_out(name: str, value: object) -> None:
    response = accepted(GRANTED | {name: value})
    assert getattr(response, name) in (None, "")
    assert response.raw[name] == value


def test_an_error_that_is_null_is_no_error(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(says(GRANTED | {"error": None}))
    assert ask("-o", "token") == Result(0, "an-opaque-token\n", "")


def test_the_request_id_is_shown_with_the_answer(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(says(GRANTED, x_request_id="7c1e"))
    assert "ms · x-request-id 7c1e\n" in ask(steps=True).stderr


# --- Refused: exit 4, asked once ---


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    ("code", "advice", "rule"),
    [
        ("invalid_scope", "--scope", "invalid_scope"),
        ("invalid_request", "--curl", "invalid_request"),
        ("invalid_grant", "Service account", "invalid_grant"),
        ("invalid_target", "--resource", "invalid_target"),
        ("unauthorized_client", "Service account", "unauthorized_client"),
        ("unsupported_grant_type", "--token-endpoint", "unsupported_grant_type"),
        ("something_new", "the vendor's documentation", None),
    ],
)
def test_a_refusal_says_what_to_do_next_and_is_not_repeated(
    ask: Callable[..., Result],
    server: ScriptedServer,
    pauses: list[float],
    status: int,
    code: str,
    advice: str,
    rule: str | None,
) -> None:
    server.says(says({"error": code, "error_description": "no, for a reason"}, status))
    result = ask()
    message, exchange, *rest = said_by_the_server(result)
    assert (result.code, result.stdout) == (4, "")
    assert message == f"✗   The server refused the request: {code} — no, for a reason"
    assert exchange.startswith(f"{status} ")
    assert advice in rest.pop(0)
    assert rest == ([] if rule is None else [more(rule)])
    assert len(server.requests) == 1
    assert pauses == []


def test_a_refusal_as_a_whole(ask: Callable[..., Result], server: ScriptedServer) -> None:
    refusal = {
        "error": "invalid_scope",
        "error_description": "requested scope is not allowed",
        "error_uri": "https://bank.example/why",
    }
    server.says(says(refusal, 400, x_request_id="7c1e-04"))
    assert ask() == Result(
        4,
        "",
        error(
            "The server refused the request: invalid_scope — requested scope is not allowed",
            f"client {CLIENT_ID}",
            f"400 Bad Request from {server.url} · application/json · x-request-id 7c1e-04",
            "the server's page on it: https://bank.example/why",
            hint="ask the administrator which scopes the application was given, and name them with --scope",
            rule="invalid_scope",
        ),
    )


@pytest.mark.parametrize("description", [None, "", 5, [5]])
def test_a_refusal_without_words(ask: Callable[..., Result], server: ScriptedServer, description: object) -> None:
    server.says(says({"error": "invalid_scope", "error_description": description, "error_uri": 7}, 400))
    result = ask()
    assert result.code == 4
    message, whose, _, hint, last = map(str.strip, result.stderr.splitlines())
    assert message == "✗   The server refused the request: invalid_scope"
    assert whose == f"client {CLIENT_ID}"
    assert hint.startswith("Next: ")
    assert last == more("invalid_scope")


def test_an_oauth_error_with_status_200_is_a_refusal(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(says({"error": "invalid_client", "access_token": SECRET}))
    result = ask()
    assert (result.code, result.stdout) == (4, "")
    assert "refused the client: invalid_client\n" in result.stderr
    assert SECRET not in result.stderr


HOSTILE = "\x1b[31mred\x1b[0m\x07 \u202egnp\u2066 [/bold][red]x[/red]\r\n\x9b2J\ud800\u2028end"


@pytest.mark.parametrize("colour", [{}, {"FORCE_COLOR": "1"}])
def test_words_of_the_server_cannot_move_the_cursor_or_break_the_markup(
    cli: Cli, ec_pem: Path, server: ScriptedServer, colour: dict[str, str]
) -> None:
    server.says(says({"error": HOSTILE, "error_description": HOSTILE, "error_uri": HOSTILE}, 400))
    where = ("--client-id", CLIENT_ID, "--private-key", ec_pem, "--token-endpoint", server.url)
    result = cli("client-assertion", "-q", *where, env=colour)
    assert result.code == 4
    assert "\x1b[31mred" not in result.stderr
    assert not set("\x07\r\x9b\u202e\u2066\u2028\ud800") & set(result.stderr)
    assert "[31mred [0m gnp [/bold][red]x[/red] 2J end" in result.stderr.replace("\x1b[1;31m", "")
    if not colour:
        assert "\x1b" not in result.stderr
        assert len(result.stderr.splitlines()) == 8


def test_long_words_are_shortened(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(says({"error": "e" * 90_000, "error_description": "d" * 900_000, "error_uri": "u" * 9000}, 400))
    assert len(ask().stderr) < 2500


class Echo(Sequence[Says]):
    """Answers that quote the request."""

    def __init__(self, server: ScriptedServer, quote: Callable[[str], Says]) -> None:
        self._server, self._quote = server, quote

    def __len__(self) -> int:
        return 1

    @overload
    def __getitem__(self, index: int) -> Says: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Says]: ...
    def __getitem__(self, index: int | slice) -> Says | Sequence[Says]:
        return self._quote(self._server.requests[-1].form["client_assertion"][0])


@pytest.mark.parametrize(
    "quote",
    [
        lambda sent: says(
            {"error": sent, "error_description": f"bad <{sent}>", "error_uri": f"https://x/?{sent}"}, 401
        ),
        lambda sent: says({"error": "invalid_client"}, 401, x_request_id=sent),
        lambda sent: Says(403, b"<html>", {"content-type": sent}),
        lambda sent: Says(400, f"<title>{sent}</title>{sent}".encode(), HTML),
        lambda sent: Says(400, sent.encode(), HTML),
        lambda sent: says({"message": sent, sent: sent}, 400),
        lambda sent: says({sent: sent}),
        lambda sent: says({"token_type": sent, "access_token": f"{sent} x"}),
        lambda sent: Says(302, b"", {"location": f"https://x.example/login?client_assertion={sent}"}),
        lambda sent: says([sent]),
        lambda sent: Says(200, f'{{"{sent}": 1, "{sent}": 2}}'.encode(), JSON),
        lambda sent: Says(200, f'{{"access_token": "{sent}'.encode(), JSON),
    ],
)
def test_an_assertion_that_the_server_echoes_is_not_shown(
    ask: Callable[..., Result], server: ScriptedServer, quote: Callable[[str], Says]
) -> None:
    server.answers = Echo(server, quote)
    result = ask()
    assert result.code in (4, 5)
    assert result.stdout == ""
    header, payload, signature = server.requests[0].form["client_assertion"][0].split(".")
    shown = result.stderr.lower()
    for part in (header, payload[:40], payload[-40:], signature[:30], signature[-30:]):
        assert part.lower() not in shown


# --- Neither granted nor refused as OAuth does it ---


@pytest.mark.parametrize(
    ("status", "reason", "code", "hint"),
    [
        (400, "Bad Request", 4, "check the token endpoint's URL"),
        (401, "Unauthorized", 4, "check the token endpoint's URL"),
        (
            403,
            "Forbidden",
            4,
            "check the token endpoint's URL; a firewall in front of it may also have blocked this address",
        ),
        (404, "Not Found", 4, "check the token endpoint's URL"),
        (405, "Method Not Allowed", 4, "check the token endpoint's URL"),
    ],
)
def test_html_with_a_refusal(
    ask: Callable[..., Result], server: ScriptedServer, status: int, reason: str, code: int, hint: str
) -> None:
    server.says(Says(status, b"<html><TITLE class=x>\n No\x1b[2J entry </TITLE>\n<body>inside</body></html>", HTML))
    result = ask()
    assert (result.code, result.stdout) == (code, "")
    assert said_by_the_server(result) == [
        "✗   The server refused the request, and its answer is no OAuth error: it is HTML",
        f"{status} {reason} from {server.url} · text/html",
        "the server says: No [2J entry — inside",
        f"Next: {hint}; to look at all of it:",
        more("network.answer"),
    ]
    assert len(server.requests) == 1


def test_html_with_status_200(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(Says(200, b"<html><title>Sign in</title>", HTML))
    assert ask() == Result(
        5,
        "",
        error(
            "The answer is not a token response: it is HTML",
            f"200 OK from {server.url} · text/html",
            "the server says: Sign in",
            hint="check the token endpoint's URL; a firewall, a captive portal or a proxy may answer in its place",
            rule="network.answer",
        ),
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 204])
def test_an_empty_answer(ask: Callable[..., Result], server: ScriptedServer, status: int) -> None:
    server.says(Says(status, b"", {}))
    result = ask()
    assert (result.code, result.stdout) == (5, "")
    message = "The server granted no token, with an empty answer"
    assert result.stderr.startswith(f"✗   {message}\n    {status} ")
    assert result.stderr.endswith(f"    {more('network.answer')}\n")


NOT_OAUTH = "The server refused the request, and its answer is no OAuth error: it is"


@pytest.mark.parametrize(
    ("body", "fault", "words"),
    [
        (b"Unauthorized\r\nsecond line", f"{NOT_OAUTH} text", ["the server says: Unauthorized"]),
        (b"\xff\xfe\x00", f"{NOT_OAUTH} text", []),
        (b'{"access_token": "cut of', f"{NOT_OAUTH} text", []),
        (b"", "The server refused the request, with an empty answer", []),
    ],
)
def test_a_refusal_in_plain_text(
    ask: Callable[..., Result], server: ScriptedServer, body: bytes, fault: str, words: list[str]
) -> None:
    server.says(Says(401, body, {"content-type": "text/plain"}))
    exchange = f"401 Unauthorized from {server.url} · text/plain"
    hint = "Next: find out which of its many reasons it has:"
    result = ask()
    assert (result.code, result.stdout) == (4, "")
    assert said_by_the_server(result) == [f"✗   {fault}", exchange, *words, hint, more("invalid_client")]


LONG = "word " * 60
AKAMAI = """<HTML><HEAD>
<TITLE>Access Denied</TITLE>
</HEAD><BODY>
<H1>Access Denied</H1>

You may not see this.<P>
Reference&#32;&#35;18&#46;6f641160
</BODY>
</HTML>
"""


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (
            AKAMAI,
            "Access Denied — You may not see this. Reference #18.6f641160",
        ),
        (
            f"<title>No</title><p>{LONG}<p>Your support ID is: 1234567890",
            "No — support ID is: 1234567890 — word ",
        ),
        (f"<p>{LONG}</p><span>Ray ID: <b>7d3f00c2</b></span>", "Ray ID: 7d3f00c2 — word word "),
        ("<style>p {}</style><!-- <p>a --><script>let b</script><p class='>'>Sorry &amp; no</p>", "'>Sorry & no"),
        ("<h1>Blocked here</h1><script>unclosed", "Blocked here"),
        (
            "<title>Error</title><body>Warning: x in line 3<br>{&quot;access_token&quot;: 1}",
            "Error — Warning: x in line 3",
        ),
        ("\ufeff {", None),
        ("<title> </title><br>—", None),
    ],
)
@pytest.mark.parametrize("status", [200, 403, 404, 429, 500])
def test_what_a_page_says_to_people_is_quoted(status: int, page: str, words: str | None) -> None:
    details = failure_for(status, page.encode(), "text/html").details[1:]
    if words is None:
        assert details == ()
    else:
        (line,) = details
        assert line.startswith(f"the server says: {words}")
        assert len(line) < 240


def failure_for(status: int, body: bytes, kind: str, **headers: str) -> BannoCredsError:
    named = {"content-type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(BannoCredsError) as failure:
        read_answer(Answer("https://bank.example/token", status, "Reason", named, body, 0.1), 0, {})
    return failure.value


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", SECRET),
        ("text/plain", f"access_token={SECRET} x"),
        ("text/plain", f'{{"access_token": "{SECRET}'),
        ("text/plain", f'"{SECRET} x"'),
        ("text/html", SECRET),
        ("text/html", f'{{"access_token": "{SECRET} <p>a b</p>'),
        ("text/html", f"<p>The access_token: {SECRET}</p>"),
        ("application/xml", f"<title>{SECRET}</title>"),
        ("application/jwt", SECRET),
        ("", f"<title>{SECRET}</title>"),
        ("application/json", f'{{"id_token": "{SECRET}", "body": "{SECRET}", "error": null}}'),
        ("application/json", f'{{"message": "no", "access_token": "{SECRET}'),
    ],
)
def test_what_may_be_a_token_is_not_taken_for_words(kind: str, body: str) -> None:
    failure = failure_for(200, body.encode(), kind)
    assert SECRET not in f"{failure.message}{failure.details}"
    assert len(failure.details) == 1


@pytest.mark.parametrize("status", [429, 500, 501, 503])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "server_error", "error_description": "oops\x1b[2J"}, "server_error — oops [2J"),
        ({"error": "server_error", "message": "this too"}, "server_error — this too"),
        ({"message": "Limit Exceeded"}, "Limit Exceeded"),
        ({"title": "Busy", "detail": "d" * 900}, "Busy — " + "d" * 193 + "… (shortened)"),
    ],
)
def test_words_with_an_answer_that_comes_for_now_are_quoted(status: int, body: object, words: str) -> None:
    failure = failure_for(status, json.dumps(body).encode(), "application/json")
    assert failure.details[1:] == (f"the server says: {words}",)


def test_words_with_a_success_that_grants_nothing_are_quoted() -> None:
    failure = failure_for(200, b'{"message": "Endpoint request timed out"}', "application/json")
    assert failure.details[1:] == ("the server says: Endpoint request timed out",)


@pytest.mark.parametrize("status", [404, 405, 410])
@pytest.mark.parametrize(
    ("kind", "body", "rule"),
    [
        ("application/json", b'{"error": "not_found"}', "not_found"),
        ("application/json", b'{"error": "invalid_request"}', "invalid_request"),
        ("application/json", b'{"message": "no route"}', "network.answer"),
        ("text/html", b"<h1>Not here</h1>", "network.answer"),
        ("", b"", "network.answer"),
    ],
)
def test_where_no_token_endpoint_is_the_url_is_to_be_checked(status: int, kind: str, body: bytes, rule: str) -> None:
    failure = failure_for(status, body, kind)
    assert (failure.exit_code, failure.hint, failure.rule) == (4, "check the token endpoint's URL", rule)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_request_id_is_asked_for_only_where_there_is_one(status: int) -> None:
    assert failure_for(status, b"", "").hint == "try again later"
    assert "the vendor asks for the x-request-id" in str(failure_for(status, b"", "", x_request_id="7c1e").hint)


@pytest.mark.parametrize("status", [501, 505])
def test_what_the_server_will_never_do_is_not_asked_for_again(
    ask: Callable[..., Result], server: ScriptedServer, pauses: list[float], status: int
) -> None:
    server.says(Says(status, b"", {}), says(GRANTED))
    result = ask()
    assert (result.code, result.stdout) == (5, "")
    assert f"✗   The server cannot answer this: {status} " in result.stderr
    assert result.stderr.endswith(
        f"    Next: check the URL, and what stands in front of the server\n    {more('network.unavailable')}\n"
    )
    assert len(server.requests) == 1
    assert pauses == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "Forbidden"}, ["the server says: Forbidden"]),
        ({"title": "Bad", "detail": "Too\x1b[2J old", "status": 403}, ["the server says: Bad — Too [2J old"]),
        ({"errorCode": 40}, ["the server says: errorCode 40"]),
        ({"error": {"code": 7}, "message": 7}, ["the server says: code 7"]),
        ({"error": None}, []),
    ],
)
def test_a_gateways_own_error_is_quoted(
    ask: Callable[..., Result], server: ScriptedServer, body: object, words: list[str]
) -> None:
    server.says(says(body, 403))
    result = ask()
    assert result.code == 4
    message, exchange, *details, _, last = said_by_the_server(result)
    assert message == f"✗   {NOT_OAUTH} JSON of another kind"
    assert exchange == f"403 Forbidden from {server.url} · application/json"
    assert details == words
    assert last == more("invalid_client")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'["%s"]', "it is JSON, but an array and not an object"),
        (b'"%s"', "it is JSON, but a string and not an object"),
        (b"null", "it is JSON, but null and not an object"),
        (
            b'{"access_token": "%s", "expires_in": 1, "expires_in": 2}',
            "it has the member 'expires_in' more than once",
        ),
        (b'{"access_token": "%s", "access_token": "b"}', "it has the member 'access_token' more than once"),
        (b'{"access_token": "%s', "it is not JSON (Unterminated string starting at character 18)"),
        (b'{"access_token": "%s", "expires_in": NaN}', "it holds NaN, which is not JSON"),
        (b'\xff{"access_token": "%s"}', "it is not UTF-8 text"),
        (b'<title></title>{"access_token": "%s"}', "it is not JSON (Expecting value at character 1)"),
    ],
)
def test_json_that_is_no_token_response(
    ask: Callable[..., Result], server: ScriptedServer, body: bytes, fault: str
) -> None:
    server.says(Says(200, body.replace(b"%s", SECRET.encode()), JSON))
    assert ask() == Result(
        5,
        "",
        error(
            f"The answer is not a token response: {fault}",
            f"200 OK from {server.url} · application/json",
            hint="check the token endpoint's URL; a firewall, a captive portal or a proxy may answer in its place",
            rule="network.answer",
        ),
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, "has no access_token (its members: none)"),
        ({"id_token": SECRET, "a": 1}, "has no access_token (its members: a, id_token)"),
        *(({"access_token": none}, "has no access_token (its members: access_token)") for none in (None, "")),
        *(
            ({"access_token": token}, "has an invalid access_token (its members: access_token)")
            for token in (5, [SECRET], {"t": SECRET}, f"{SECRET} x", f"{SECRET}\n{SECRET}", "é", True)
        ),
    ],
)
def test_an_answer_without_a_usable_access_token(
    ask: Callable[..., Result], server: ScriptedServer, body: object, fault: str
) -> None:
    server.says(says(body))
    assert ask() == Result(
        5,
        "",
        error(
            f"The answer {fault}",
            f"200 OK from {server.url} · application/json",
            hint="check that the URL is a token endpoint",
            rule="network.answer",
        ),
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(ask: Callable[..., Result], server: ScriptedServer, status: int) -> None:
    with ScriptedServer() as other:
        other.says(says(GRANTED))
        server.says(Says(status, b"", {"location": f"{other.url}?\x1b[2J"}))
        result = ask()
        assert other.requests == []
    message, exchange, hint, last = result.stderr.splitlines()
    assert (result.code, result.stdout) == (5, "")
    assert last.strip() == more("network.answer")
    assert message == (
        f"✗   The server redirects to {other.url}, and a redirect is never followed: "
        "the assertion is for the configured endpoint alone"
    )
    assert exchange.strip().startswith(f"{status} ")
    assert "a login page or a retired address" in hint
    assert len(server.requests) == 1


def test_a_redirect_to_nowhere(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(Says(302, b"", {}))
    result = ask()
    assert result.code == 5
    assert "redirects to (nowhere), and" in result.stderr


# --- Tried again ---


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_an_attempt_that_failed_for_now_is_repeated_with_a_fresh_assertion(
    ask: Callable[..., Result],
    server: ScriptedServer,
    pauses: list[float],
    ec_key: keys.PrivateKey,
    status: int,
) -> None:
    server.says(Says(status, b"<html>", HTML), Says(status), says(GRANTED))
    assert ask("-o", "token") == Result(0, "an-opaque-token\n", "")
    assert len(server.requests) == 3
    assert len({claims_of(request)["jti"] for request in server.requests}) == 3
    assertions = [request.form["client_assertion"][0] for request in server.requests]
    assert len({assertion.rpartition(".")[2] for assertion in assertions}) == 3
    public: Any = load_pem_public_key(ec_key.public.pem())
    for assertion in assertions:
        jwt.decode(assertion, public, ["ES256"], audience=server.url)
    assert 0 < pauses[0] < pauses[1] < 2


def test_three_attempts_are_all(ask: Callable[..., Result], server: ScriptedServer, pauses: list[float]) -> None:
    server.says(Says(502, b"<html><title>Bad gateway</title>", HTML | {"x-request-id": "7c1e"}))
    assert ask() == Result(
        5,
        "",
        error(
            "The server cannot answer now: 502 Bad Gateway",
            f"502 Bad Gateway from {server.url} · text/html · x-request-id 7c1e",
            "the server says: Bad gateway",
            "that was attempt 3 of 3",
            hint="try again later; the vendor asks for the x-request-id, the date and the client ID "
            "in a support case",
            rule="network.unavailable",
        ),
    )
    assert len(server.requests) == 3
    assert len(pauses) == 2


@pytest.mark.parametrize("then", [400, 401])
def test_a_refusal_ends_the_attempts(ask: Callable[..., Result], server: ScriptedServer, then: int) -> None:
    server.says(Says(503), says({"error": "invalid_client"}, then))
    assert ask().code == 4
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("asked", [0, 7])
def test_retry_after_in_seconds_is_honoured(
    ask: Callable[..., Result], server: ScriptedServer, pauses: list[float], status: int, asked: int
) -> None:
    server.says(Says(status, b"", {"retry-after": f" {asked} "}), says(GRANTED))
    assert ask("-o", "token").stdout == "an-opaque-token\n"
    assert pauses == [asked]


@pytest.fixture(
    params=[
        "the machine's",
        *(pytest.param(zone, marks=pytest.mark.posix("TZ is the zone")) for zone in ("UTC", "America/Chicago")),
    ]
)
def _in_zone(request: pytest.FixtureRequest) -> Iterator[None]:
    """In the time zone of the machine, and in others."""
    if request.param == "the machine's":
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_zone")
@pytest.mark.parametrize(
    "date",
    [
        lambda at: formatdate(at, usegmt=True),
        lambda at: time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(at)),
        lambda at: time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(at)),
    ],
)
def test_retry_after_as_a_date_is_honoured_in_each_of_its_forms(
    ask: Callable[..., Result],
    server: ScriptedServer,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    date: Callable[[float], str],
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    server.says(Says(503, b"", {"retry-after": date(now + 12)}), says(GRANTED))
    assert ask("-o", "token").stdout == "an-opaque-token\n"
    assert len(pauses) == 1
    assert 11 <= pauses[0] <= 12


def test_retry_after_that_has_passed_is_now(
    ask: Callable[..., Result], server: ScriptedServer, pauses: list[float]
) -> None:
    server.says(Says(503, b"", {"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}), says(GRANTED))
    assert ask().code == 0
    assert pauses == [0]


@pytest.mark.parametrize("value", ["soon", "-5", "1.5", "", "9" * 10, "٣", "Wed, 99 Nov 2094 08:49:37 GMT"])
def test_retry_after_that_means_nothing_is_passed_over(
    ask: Callable[..., Result], server: ScriptedServer, pauses: list[float], value: str
) -> None:
    server.says(Says(503, b"", {"retry-after": value.encode().decode("latin-1")}), says(GRANTED))
    assert ask().code == 0
    assert 0.3 < pauses[0] < 0.7


@pytest.mark.parametrize(
    ("status", "what", "hint"),
    [
        (429, "asks to slow down: 429 Too Many Requests", "try again later and less often"),
        (503, "cannot answer now: 503 Service Unavailable", "try again later"),
    ],
)
def test_waiting_longer_than_is_left_is_given_up_at_once(
    ask: Callable[..., Result], server: ScriptedServer, pauses: list[float], status: int, what: str, hint: str
) -> None:
    server.says(Says(status, b"", {"retry-after": "86400000"}))
    assert ask("--timeout", "20") == Result(
        5,
        "",
        error(
            f"The server {what}; it asks to wait 86400000 s",
            f"{status} {what.partition(f'{status} ')[2]} from {server.url}",
            hint=hint,
            rule="network.unavailable",
        ),
    )
    assert len(server.requests) == 1
    assert pauses == []


def test_the_steps_tell_of_each_attempt(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(Says(503, b"", {"retry-after": "2"}), says(GRANTED))
    steps = ask(steps=True).stderr
    assert "Trying again in 2.0 s\n    attempt 2 of 3, because the server cannot answer now: 503" in steps
    assert "Token request (attempt 2)\n" in steps


def test_a_refused_error_knows_its_code_and_status() -> None:
    answer = Answer("https://bank.example/token", 401, "Unauthorized", {}, b'{"error": "invalid_client"}', 0.1)
    with pytest.raises(RefusedError) as refused:
        read_answer(answer, 0, {})
    assert (refused.value.error, refused.value.status, refused.value.exit_code) == ("invalid_client", 401, 4)


def test_a_jwt_as_access_token_is_taken_apart_and_not_shown(
    ask: Callable[..., Result], server: ScriptedServer
) -> None:
    parts = ({"alg": "RS256"}, {"clientName": "Test [bold]\x1b[2J App", "institutionId": "3f85"})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    token = ".".join((*encoded, SECRET))
    server.says(says(GRANTED | {"access_token": token}))
    result = ask(steps=True)
    assert json.loads(result.stdout)["access_token"] == token
    assert "Test [bold] [2J App · institution 3f85" in result.stderr
    assert SECRET not in result.stderr


def test_the_proof_is_told_of_once_however_many_attempts_there_are(
    server: ScriptedServer, ec_pem: Path, pauses: list[float]
) -> None:
    server.says(Says(502, b""), Says(502, b""), Says(200, b'{"access_token": "a", "token_type": "Bearer"}'))
    told: list[object] = []
    config = ClientConfig(CLIENT_ID, KeySource.file(ec_pem), token_endpoint=server.url)
    ClientCredentials(config).fetch(Run(told.append, sleep=pauses.append))
    kinds = [type(step).__name__ for step in told]
    assert (kinds.count("AssertionBuilt"), kinds.count("AssertionSigned"), kinds.count("TokenRequested")) == (1, 1, 3)
