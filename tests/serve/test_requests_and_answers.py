"""How a program's request is read, and in what words the endpoint answers."""

from __future__ import annotations

import base64
import json
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from banno_creds.errors import (
    BannoCredsError,
    ConfigurationError,
    NetworkError,
    NotAskedError,
    RefusedError,
    UnavailableError,
)
from banno_creds.redirection.loopback_server import Request
from banno_creds.serve import token_server
from banno_creds.serve.answers import RefusedRequestError, failure_answer, refusal, token_answer
from banno_creds.serve.clients import Client, OneClient
from banno_creds.serve.token_request import check_grant, read_token_request
from banno_creds.serve.token_server import Allowance, TokenServer
from banno_creds.tokens.response import TokenResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with socket.socket() as unused:
        yield unused


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def request(connection: socket.socket, body: str, *authorization: str, media_type: str = FORM) -> Request:
    headers = [("content-type", media_type), *(("authorization", each) for each in authorization)]
    return Request("POST", "/token", tuple(headers), connection, body.encode())


# --- Requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", [FORM, FORM.upper(), f"{FORM}; charset=UTF-8", f" {FORM} ;x"])
def test_the_media_type_is_read_as_http_has_it(connection: socket.socket, media_type: str) -> None:
    asked = read_token_request(request(connection, "client_id=a&client_secret=s", media_type=media_type))
    assert (asked.client_id, asked.secrets) == ("a", ("s",))


@pytest.mark.parametrize("media_type", ["", "text/plain", f"{FORM}x"])
def test_a_form_of_another_media_type_is_refused(connection: socket.socket, media_type: str) -> None:
    """A web page could send such a form without asking first."""
    with pytest.raises(RefusedRequestError, match="send the request as") as caught:
        read_token_request(request(connection, "client_id=a&client_secret=s", media_type=media_type))
    assert caught.value.status == 415


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_a_header_has_the_secret_in_two_readings(connection: socket.socket, scheme: str) -> None:
    header = basic("a%2Eb:s+1%25").replace("Basic", scheme)
    asked = read_token_request(request(connection, "scope=x+y&resource=r1&resource=r2", header))
    assert asked == ("a.b", ("s+1%25", "s 1%"), ("x", "y"), ("r1", "r2"))


def test_a_client_id_beside_the_header_may_be_the_same(connection: socket.socket) -> None:
    assert read_token_request(request(connection, "client_id=a", basic("a:s"))).client_id == "a"


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        ("client_id=b", [basic("a:s")], "invalid_request"),
        ("client_secret=s", [basic("a:s")], "invalid_request"),
        ("", [basic("a:s"), basic("a:s")], "invalid_client"),
        ("", [basic("a:s")[:8] + "*" + basic("a:s")[8:]], "invalid_client"),
        ("client_id=a", [], "invalid_client"),
        ("client_secret=s", [], "invalid_client"),
        ("client_id=a&client_secret=s&scope=x&scope=y", [], "invalid_request"),
        ("client_id=a&client_secret=s&client_secret=t", [], "invalid_request"),
        ("&".join(f"p{number}=1" for number in range(51)), [], "invalid_request"),
    ],
    ids=[
        "two clients",
        "two secrets",
        "two headers",
        "no base64",
        "no secret",
        "no client",
        "scope",
        "secrets",
        "many",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(
    connection: socket.socket, body: str, headers: list[str], error: str
) -> None:
    with pytest.raises(RefusedRequestError) as caught:
        read_token_request(request(connection, body, *headers))
    assert caught.value.error == error


def test_a_missing_grant_is_named(connection: socket.socket) -> None:
    with pytest.raises(RefusedRequestError, match="grant_type is missing"):
        check_grant(request(connection, "grant_type="))


def test_no_secret_is_in_the_repr(connection: socket.socket) -> None:
    assert "hush" not in repr(read_token_request(request(connection, "client_id=a&client_secret=hush")))


# --- Answers --------------------------------------------------------------------------------------------------------


def told(failure: BannoCredsError) -> tuple[int, str, str, tuple[str, ...]]:
    answer = failure_answer("garden", failure, "banno-creds doctor --profile garden")
    members = json.loads(answer.body)
    return answer.status, members["error"], members["error_description"], answer.headers


def response(scope: str | None = None, expires_in: int | None = 600) -> TokenResponse:
    return TokenResponse("a.b.c", "Bearer", expires_in, scope, 1000, {})


@pytest.mark.parametrize(("now", "left"), [(1000, 600), (1000.1, 599), (1599.9, 0), (1700, 0)])
def test_the_time_that_is_left_is_never_too_long(now: float, left: int) -> None:
    assert json.loads(token_answer(response(), now).body)["expires_in"] == left


def test_a_token_has_the_members_that_are_known() -> None:
    assert json.loads(token_answer(response(expires_in=None), 1000).body) == {
        "access_token": "a.b.c",
        "token_type": "Bearer",
    }
    assert json.loads(token_answer(response("x y"), 1000).body)["scope"] == "x y"


@pytest.mark.parametrize(
    ("error", "passed_on"),
    [
        ("invalid_scope", "invalid_scope"),
        ("invalid_client", "unauthorized_client"),
        ("server_error", "unauthorized_client"),
        (None, "unauthorized_client"),
    ],
)
def test_the_banks_refusal_of_the_key_is_not_one_of_the_programs_secret(error: str | None, passed_on: str) -> None:
    status, code, said, headers = told(RefusedError("no", error=error, status=401))
    assert (status, code, headers) == (400, passed_on, ())
    assert said == "garden: no; next: banno-creds doctor --profile garden"


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (NetworkError("gone"), 5),
        (UnavailableError("busy", retryable=True, retry_after=7.2), 8),
        (UnavailableError("busy", retryable=True, retry_after=0.01), 1),
        (UnavailableError("busy", retryable=True, retry_after=86_400), 300),
        (NotAskedError("left alone"), 30),
    ],
    ids=str,
)
def test_a_program_is_told_when_to_come_again(failure: BannoCredsError, seconds: int) -> None:
    status, code, _, headers = told(failure)
    assert (status, code, headers) == (503, "temporarily_unavailable", (f"Retry-After: {seconds}",))


def test_what_to_do_is_told_where_the_configuration_is_wrong() -> None:
    assert told(ConfigurationError("no key", hint="name one"))[1:3] == (
        "server_error",
        "garden: no key; next: name one",
    )
    assert told(BannoCredsError("odd", hint="a secret way"))[2] == "garden: odd"


def test_a_description_is_short_and_in_the_characters_of_rfc_6749() -> None:
    members = json.loads(refusal(400, "x", 'a "b" \\c\n\x1b[1m é… ' + "z" * 5000).body)
    assert len(members["error_description"]) <= 550
    assert all(" " <= each <= "~" and each not in '"\\' for each in members["error_description"])


def test_the_usual_port_is_in_no_url() -> None:
    listener = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 80))
    server = TokenServer(listener, b"x" * 16, OneClient("a", Client((), (), response)))  # type: ignore[arg-type]
    assert server.token_endpoint == "http://127.0.0.1/token"


def test_an_allowance_comes_back_at_its_rate_and_not_above_its_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(token_server, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    allowance = Allowance(3, 0.5)

    def taken() -> int:
        return sum(allowance.take() for _ in range(10))

    counts = [taken()]
    for seconds in (1, 1, 2, 1000):
        now[0] += seconds
        counts.append(taken())
    assert counts == [3, 0, 1, 1, 3]
