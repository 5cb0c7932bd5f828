"""The sandbox names the rule and the fix, also to the client if asked to, and fails on demand."""

from __future__ import annotations

import concurrent.futures
import json
import re
import threading
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from joserfc.jwk import RSAKey

from banno_creds.errors import ConfigurationError
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.sandbox import Client, Faults, RefusalError, Rule, Sandbox
from banno_creds.sandbox.faults import FAULTS
from tests.sandbox.bench import (
    AUTHENTICATION_FAILED,
    CLIENT_ID,
    START,
    TOKEN_PATH,
    Bench,
    claims_of,
    ec_key,
    private_pem,
    public_pem,
    rsa_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from werkzeug.test import TestResponse

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli

    Ask = Callable[..., TestResponse]

pytestmark = pytest.mark.once

JWKS_PATH = "/a/oidc-provider/api/v0/jwks"
DISCOVERY_PATH = "/.well-known/openid-configuration"


@cache
def _signing_key(number: int) -> RSAKey:
    key = RSAKey.import_key(rsa_key(90 + number))
    key.ensure_kid()
    return key


@pytest.fixture(autouse=True)
def signing_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application's first key, its second … each its own, and made once for all applications."""
    numbers = iter(range(3))
    monkeypatch.setattr(RSAKey, "generate_key", lambda *_args, **_options: _signing_key(next(numbers)))


@pytest.fixture(params=["option", "header"])
def faulty(request: pytest.FixtureRequest) -> Callable[..., tuple[Bench, Ask]]:
    """A server with faults, asked for by option or by header, and what asks it for a token."""

    def make(*faults: str, **options: Any) -> tuple[Bench, Ask]:
        by_option = request.param == "option"
        bench = Bench(ec_key(), options={"faults": Faults.read(faults)} | options if by_option else options)
        headers = {} if by_option else {"Sandbox-Fault": ", ".join(faults)}

        def ask(path: str = TOKEN_PATH, **form: Any) -> TestResponse:
            if path != TOKEN_PATH:
                return bench.http.get(path, headers=headers)
            return bench.http.post(path, data=bench.form(**form), headers=headers)

        return bench, ask

    return make


# --- What a refusal says ---


def test_log_of_a_refusal_says_what_to_do_and_where_to_read_on() -> None:
    bench = Bench(ec_key())
    bench.post(bench.assertion(exp=None))
    fix = EXPLANATIONS[Rule.EXP_MISSING].fix
    assert f"; fix: {fix}; more: banno-creds explain assertion.exp.missing (x-request-id " in bench.log[-1]
    bench.post(scope="full")
    fix = EXPLANATIONS[Rule.SCOPE_NOT_ALLOWED].fix
    assert f"; fix: {fix}; more: banno-creds explain request.scope.not_allowed (x-request-id " in bench.log[-1]


def test_explain_tells_the_client_rule_evidence_and_fix_and_leaves_the_rest_the_vendors() -> None:
    bench, silent = Bench(ec_key(), options={"explain": True}), Bench(ec_key())
    for changes, form, error, status in (
        ({"aud": "https://elsewhere.example"}, {}, "invalid_client", 401),
        ({}, {"scope": "full"}, "invalid_scope", 400),
        ({}, {"client_assertion_type": None}, "invalid_request", 400),
    ):
        response = bench.post(bench.assertion(**changes), **form)
        assert (response.status_code, response.get_json()["error"]) == (status, error)
        description = response.get_json()["error_description"]
        rule = Rule(bench.rule())
        assert re.fullmatch(
            rf"{re.escape(rule)}: received .+; expected .+; fix: {re.escape(EXPLANATIONS[rule].fix)}", description
        )
        assert description.partition(";")[0].replace("'", '"') in bench.log[-1]
        unexplained = silent.post(silent.assertion(**changes), **form)
        assert (unexplained.status_code, unexplained.get_json()["error"]) == (status, error)
        assert "fix" not in unexplained.get_json()["error_description"]
        assert rule not in unexplained.get_data(as_text=True)
        assert set(response.headers.keys()) == set(unexplained.headers.keys())


@pytest.mark.parametrize("rule", Rule)
def test_explanation_of_any_rule_is_fit_for_an_error_description(rule: Rule) -> None:
    nasty = 'a "quoted" \\ \x1b[31m\u202e “ünï” eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln ' + "long " * 100
    description = RefusalError(rule, received=nasty, expected=nasty).explanation
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,500}", description)
    assert description.startswith(f"{rule}: received ")
    assert EXPLANATIONS[rule].fix.translate({0x22: "'"}).encode("ascii", "replace").decode() in description
    assert "eyJ" not in description


def test_explain_repeats_neither_token_nor_assertion() -> None:
    bench = Bench(ec_key(), options={"explain": True})
    assertion = bench.assertion()
    token = bench.post(assertion).get_json()["access_token"]
    said = [
        bench.post(token),
        bench.post(assertion),
        bench.post(bench.assertion(aud=token)),
        bench.post(bench.assertion(iss=assertion)),
        bench.post(scope=token),
        bench.post(client_id=assertion),
        bench.post(private_pem(ec_key())),
    ]
    text = "\n".join([*(response.get_data(as_text=True) for response in said), *bench.log[1:]])
    assert "(a JWT, left out)" in text
    for secret in (*token.split("."), *assertion.split("."), *private_pem(ec_key()).splitlines()[1:-1]):
        assert secret[:20] not in text


def test_private_key_sent_for_the_assertion_is_named_as_what_it_is() -> None:
    bench = Bench(ec_key())
    bench.assert_refused(
        bench.post(private_pem(ec_key())), Rule.ASSERTION_PRIVATE_KEY, description="invalid client_assertion format"
    )


def test_token_sent_for_the_assertion_is_named_as_what_it_is() -> None:
    bench = Bench(ec_key())
    bench.assert_authentication_failed(bench.post(bench.post().get_json()["access_token"]), Rule.ASSERTION_TOKEN)


def test_a_long_line_of_the_log_keeps_the_request_id() -> None:
    bench = Bench(ec_key(), scopes=tuple(f"scope{n}{'x' * 180}" for n in range(20)))
    response = bench.post(scope=" ".join(f"{n}{'y' * 180}" for n in range(20)))
    assert bench.log[-1].endswith(f"(x-request-id {response.headers['x-request-id']})")


# --- How faults are written ---


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["invalid_client", "slow=2", "clock-skew=-20"], "invalid_client, slow=2, clock-skew=-20"),
        (["status=503", "retry-after=5", "slow=0.5"], "status=503, retry-after=5, slow=0.5"),
        ([" html "], "html"),
        (["clock-skew=20"], "clock-skew=+20"),
        ([], ""),
    ],
)
def test_faults_are_read_as_they_are_written(texts: list[str], said: str) -> None:
    assert str(Faults.read(texts)) == said


@pytest.mark.parametrize(
    ("texts", "message", "hint"),
    [
        (["invalid-client"], "there is no fault 'invalid-client'", "did you mean invalid_client?"),
        (["no_expires_in"], "there is no fault 'no_expires_in'", "did you mean no-expires-in?"),
        (["HTML"], "there is no fault 'HTML'", "did you mean html?"),
        (["zzz"], "there is no fault 'zzz'", f"the faults are {', '.join(FAULTS)}"),
        ([""], "there is no fault ''", f"the faults are {', '.join(FAULTS)}"),
        (["\x1b[31m"], "there is no fault '[31m'", f"the faults are {', '.join(FAULTS)}"),
        (["html=1"], "the fault html takes no value", "leave out =1"),
        (["html="], "the fault html takes no value", "leave out ="),
        (["status"], "the fault status needs a value", "status=N: an HTTP status from 400 to 599"),
        (["status=200"], "the fault status cannot be '200'", "status=N: an HTTP status from 400 to 599"),
        (["status=600"], "the fault status cannot be '600'", "status=N: an HTTP status from 400 to 599"),
        (["slow=301"], "the fault slow cannot be '301'", "slow=N: seconds from 0 to 300"),
        (["slow=-1"], "the fault slow cannot be '-1'", "slow=N: seconds from 0 to 300"),
        (["slow=1e2"], "the fault slow cannot be '1e2'", "slow=N: seconds from 0 to 300"),
        (
            ["clock-skew=1.5"],
            "the fault clock-skew cannot be '1.5'",
            "clock-skew=N: seconds such as +20 or -20, ten years at most",
        ),
        (
            ["clock-skew=999999999"],
            "the fault clock-skew cannot be '999999999'",
            "clock-skew=N: seconds such as +20 or -20, ten years at most",
        ),
        (["html", "html"], "the fault html is given twice", "leave one"),
        (
            ["html", "status=503"],
            "the faults html and status cannot go together: each is the whole answer",
            "leave one",
        ),
        (["retry-after=5"], "the fault retry-after goes with a status", "for example status=503 and retry-after=5"),
    ],
)
def test_faults_that_cannot_be_meant_name_the_nearest(texts: list[str], message: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Faults.read(texts)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("path", [TOKEN_PATH, JWKS_PATH])
def test_header_that_cannot_be_meant_is_answered_with_400_and_named(path: str) -> None:
    bench = Bench(ec_key())
    response = bench.http.open(
        path, method="POST" if path == TOKEN_PATH else "GET", headers={"Sandbox-Fault": 'slow=2, "statuss"=503'}
    )
    assert response.status_code == 400
    assert response.get_json() == {
        "error": "invalid_request",
        "error_description": "Sandbox-Fault: there is no fault ''statuss''; did you mean status?",
    }
    assert response.headers["Cache-Control"] == "no-store"
    assert "answered 400 to the header Sandbox-Fault: there is no fault" in bench.log[-1]


def test_header_that_names_no_fault_is_none() -> None:
    bench = Bench(ec_key())
    assert bench.http.post(TOKEN_PATH, data=bench.form(), headers={"Sandbox-Fault": " , "}).status_code == 200


# --- What they do ---


@pytest.mark.parametrize(
    ("error", "status", "description"),
    [
        ("invalid_client", 401, "client authentication failed"),
        ("invalid_scope", 400, "requested scope is not allowed"),
        ("invalid_grant", 400, "grant request is invalid"),
        ("invalid_request", 400, "request is invalid"),
        ("unauthorized_client", 400, "requested grant type is not allowed for this client"),
    ],
)
def test_oauth_errors_on_demand(
    faulty: Callable[..., tuple[Bench, Ask]], error: str, status: int, description: str
) -> None:
    bench, ask = faulty(error)
    response = ask()
    assert (response.status_code, response.mimetype) == (status, "application/json")
    assert response.get_json() == {"error": error, "error_description": description}
    assert response.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(
        rf"fault {error}, asked for by (--fault|the header Sandbox-Fault) \(x-request-id [0-9a-f]{{32}}\)",
        bench.log[-1],
    )
    # Other requests are none of its business.
    assert (ask(JWKS_PATH).status_code, ask(DISCOVERY_PATH).status_code) == (200, 200)


def test_invalid_client_on_demand_cannot_be_told_from_one_in_earnest(
    faulty: Callable[..., tuple[Bench, Ask]],
) -> None:
    _, ask = faulty("invalid_client")
    assert ask().get_json() == AUTHENTICATION_FAILED


def test_explain_says_of_an_error_on_demand_that_it_is_one(faulty: Callable[..., tuple[Bench, Ask]]) -> None:
    _, ask = faulty("invalid_client", explain=True)
    response = ask()
    assert (response.status_code, response.get_json()["error"]) == (401, "invalid_client")
    assert response.get_json()["error_description"].startswith("fault invalid_client, asked for by ")


@pytest.mark.parametrize("path", [TOKEN_PATH, JWKS_PATH, DISCOVERY_PATH])
def test_status_on_demand_meets_every_request(faulty: Callable[..., tuple[Bench, Ask]], path: str) -> None:
    _, ask = faulty("status=503", "retry-after=7")
    response = ask(path)
    assert (response.status_code, response.mimetype) == (503, "text/html")
    assert response.headers["Retry-After"] == "7"
    assert "503 Service Unavailable" in response.get_data(as_text=True)


@pytest.mark.parametrize("status", [400, 429, 499, 599])
def test_any_status_of_a_fault_can_be_had(faulty: Callable[..., tuple[Bench, Ask]], status: int) -> None:
    response = faulty(f"status={status}")[1]()
    assert response.status_code == status
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize("path", [TOKEN_PATH, JWKS_PATH, DISCOVERY_PATH])
def test_html_on_demand_is_a_login_page_for_every_request(
    faulty: Callable[..., tuple[Bench, Ask]], path: str
) -> None:
    response = faulty("html")[1](path)
    assert (response.status_code, response.mimetype) == (200, "text/html")
    assert "<title>Sign in</title>" in response.get_data(as_text=True)


@pytest.mark.parametrize("path", [TOKEN_PATH, JWKS_PATH, DISCOVERY_PATH])
def test_redirect_on_demand_meets_every_request_and_stays_on_this_machine(
    faulty: Callable[..., tuple[Bench, Ask]], path: str
) -> None:
    response = faulty("redirect")[1](path)
    assert (response.status_code, response.headers["Location"]) == (302, "/login")


def test_empty_answer_on_demand(faulty: Callable[..., tuple[Bench, Ask]]) -> None:
    response = faulty("empty")[1]()
    assert (response.status_code, response.mimetype, response.data) == (200, "application/json", b"")


def test_broken_json_on_demand(faulty: Callable[..., tuple[Bench, Ask]]) -> None:
    response = faulty("broken-json")[1]()
    assert (response.status_code, response.mimetype) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.data)


def test_token_response_without_expires_in_on_demand(faulty: Callable[..., tuple[Bench, Ask]]) -> None:
    response = faulty("no-expires-in")[1]()
    assert response.status_code == 200
    assert set(response.get_json()) == {"access_token", "token_type", "scope"}


def test_opaque_token_on_demand(faulty: Callable[..., tuple[Bench, Ask]]) -> None:
    response = faulty("opaque-token")[1]()
    assert response.get_json()["expires_in"] == 600
    assert re.fullmatch(r"[\w-]{40,}", response.get_json()["access_token"])


def test_refused_is_refused_whatever_fault_of_the_token_was_asked_for(
    faulty: Callable[..., tuple[Bench, Ask]],
) -> None:
    bench, ask = faulty("opaque-token", "no-expires-in", "expired-jwks", "slow=1", sleep=lambda _: None)
    bench.assert_authentication_failed(ask(assertion=bench.assertion(exp=None)), Rule.EXP_MISSING)


def test_expired_jwks_on_demand_no_set_that_is_published_has_the_key_that_signed(
    faulty: Callable[..., tuple[Bench, Ask]],
) -> None:
    bench, ask = faulty("expired-jwks")
    signed_by = jwt.get_unverified_header(ask().get_json()["access_token"])["kid"]
    published = [jwk["kid"] for jwk in ask(JWKS_PATH).get_json()["keys"]]
    assert len(published) == 1
    assert signed_by not in published
    # And what the server says without the fault has neither: a token from before is of another key, too.
    plain = bench.http.get(JWKS_PATH).get_json()["keys"][0]["kid"]
    assert signed_by != plain
    # It is the same key the next time: a rotation happens once.
    assert jwt.get_unverified_header(ask().get_json()["access_token"])["kid"] == signed_by


def test_expired_jwks_by_the_header_of_one_request_leaves_the_others_alone() -> None:
    bench = Bench(ec_key())
    before = bench.http.get(JWKS_PATH).get_json()
    header = {"Sandbox-Fault": "expired-jwks"}
    signed = bench.http.post(TOKEN_PATH, data=bench.form(), headers=header).get_json()["access_token"]
    assert bench.http.get(JWKS_PATH, headers=header).get_json() != before
    assert bench.http.get(JWKS_PATH).get_json() == before
    assert jwt.get_unverified_header(signed)["kid"] != before["keys"][0]["kid"]
    good = bench.post().get_json()["access_token"]
    assert jwt.get_unverified_header(good)["kid"] == before["keys"][0]["kid"]


@pytest.mark.parametrize("path", [TOKEN_PATH, JWKS_PATH, DISCOVERY_PATH])
def test_slow_on_demand_waits_before_any_answer(faulty: Callable[..., tuple[Bench, Ask]], path: str) -> None:
    waited: list[float] = []
    _, ask = faulty("slow=2.5", sleep=waited.append)
    assert ask(path).status_code == 200
    assert waited == [2.5]


def test_slow_goes_with_an_answer_that_is_a_fault(faulty: Callable[..., tuple[Bench, Ask]]) -> None:
    waited: list[float] = []
    _, ask = faulty("slow=3", "status=504", sleep=waited.append)
    assert ask().status_code == 504
    assert waited == [3]


def test_without_a_fault_nothing_waits() -> None:
    waited: list[float] = []
    Bench(ec_key(), options={"sleep": waited.append}).post()
    assert waited == []


# --- The server's clock ---


def _date(response: TestResponse) -> int:
    assert len(response.headers.getlist("Date")) == 1
    return int(parsedate_to_datetime(response.headers["Date"]).timestamp())


@pytest.mark.parametrize("path", [TOKEN_PATH, JWKS_PATH, DISCOVERY_PATH])
def test_date_is_the_servers_clock(path: str) -> None:
    bench = Bench(ec_key())
    assert _date(bench.post() if path == TOKEN_PATH else bench.http.get(path)) == START


@pytest.mark.parametrize("skew", [-3600, 20])
def test_clock_skew_is_seen_in_date_and_token_and_in_what_is_refused(
    faulty: Callable[..., tuple[Bench, Ask]], skew: int
) -> None:
    bench, ask = faulty(f"clock-skew={skew}")
    there = START + skew
    response = ask(assertion=bench.assertion(exp=there + 60))
    assert response.status_code == 200
    assert _date(response) == there
    assert (claims_of(response)["iat"], claims_of(response)["exp"]) == (there, there + 600)
    assert _date(ask(JWKS_PATH)) == there
    assert _date(ask(DISCOVERY_PATH)) == there
    bench.assert_authentication_failed(ask(assertion=bench.assertion(exp=there - 15)), Rule.EXP_PAST)
    assert f"this clock says {there}" in bench.log[-1]
    bench.assert_authentication_failed(
        ask(assertion=bench.assertion(exp=there + 60, nbf=there + 16)), Rule.NBF_FUTURE
    )


def test_clock_skew_of_one_request_makes_the_server_forget_no_jti() -> None:
    bench = Bench(ec_key())
    used = bench.assertion()
    assert bench.post(used).status_code == 200
    for skew in ("+7200", "-7200"):
        ahead = bench.form(bench.assertion(exp=START + int(skew) + 60))
        answer = bench.http.post(TOKEN_PATH, data=ahead, headers={"Sandbox-Fault": f"clock-skew={skew}"})
        assert answer.status_code == 200
        again = bench.http.post(TOKEN_PATH, data=ahead, headers={"Sandbox-Fault": f"clock-skew={skew}"})
        bench.assert_authentication_failed(again, Rule.JTI_REPLAYED)
    bench.assert_authentication_failed(bench.post(used), Rule.JTI_REPLAYED)


# --- Whom they meet ---


def test_once_meets_the_first_token_request_alone() -> None:
    bench = Bench(ec_key(), options={"faults": Faults.read(["status=503", "clock-skew=+99"]), "once": True})
    # What is no token request neither meets the fault nor uses it up.
    assert bench.http.get(JWKS_PATH).status_code == 200
    assert _date(bench.http.get(DISCOVERY_PATH)) == START
    assert bench.http.options(TOKEN_PATH).status_code == 200
    first = bench.post()
    assert (first.status_code, _date(first)) == (503, START + 99)
    second = bench.post()
    assert (second.status_code, _date(second)) == (200, START)


def test_once_meets_one_of_many_that_come_at_the_same_time() -> None:
    bench = Bench(ec_key(), options={"faults": Faults.read(["invalid_client"]), "once": True})
    forms = [bench.form() for _ in range(8)]
    barrier = threading.Barrier(8)

    def post(form: dict[str, Any]) -> int:
        barrier.wait()
        return bench.app.test_client().post(TOKEN_PATH, data=form, base_url="http://127.0.0.1:4321").status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(post, forms)) == [200] * 7 + [401]


def test_without_once_a_fault_stays() -> None:
    bench = Bench(ec_key(), options={"faults": Faults.read(["invalid_client"])})
    assert [bench.post().status_code for _ in range(3)] == [401] * 3


def test_a_header_is_honoured_after_once_and_meets_its_request_alone() -> None:
    bench = Bench(ec_key(), options={"faults": Faults.read(["invalid_client"]), "once": True})
    assert bench.post().status_code == 401
    headers = {"Sandbox-Fault": "status=500"}
    assert bench.http.post(TOKEN_PATH, data=bench.form(), headers=headers).status_code == 500
    assert bench.post().status_code == 200


def test_a_headers_faults_come_before_those_of_the_option() -> None:
    waited: list[float] = []
    faults = Faults.read(["status=503", "retry-after=9", "slow=1", "clock-skew=+50"])
    bench = Bench(ec_key(), options={"faults": faults, "sleep": waited.append})
    headers = {"Sandbox-Fault": "status=500, slow=2"}
    response = bench.http.post(TOKEN_PATH, data=bench.form(), headers=headers)
    assert (response.status_code, _date(response)) == (500, START + 50)
    assert "Retry-After" not in response.headers
    assert waited == [2]
    assert (
        "fault slow=2, clock-skew=+50, status=500, asked for by the header Sandbox-Fault and --fault" in bench.log[-1]
    )
    response = bench.http.post(TOKEN_PATH, data=bench.form(), headers={"Sandbox-Fault": "slow=3"})
    assert (response.status_code, waited) == (503, [2, 3])


def test_a_header_does_not_get_past_the_check_of_the_host() -> None:
    bench = Bench(ec_key())
    response = bench.http.get(JWKS_PATH, headers={"Host": "elsewhere.example", "Sandbox-Fault": "html"})
    assert response.status_code == 421


# --- The lifetime of tokens, and the registered alg ---


def test_token_lifetime_is_expires_in_and_exp() -> None:
    bench = Bench(ec_key(), options={"token_lifetime": 7})
    response = bench.post()
    assert response.get_json()["expires_in"] == 7
    assert (claims_of(response)["iat"], claims_of(response)["exp"]) == (START, START + 7)


# --- Over HTTP ---


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client


def _served(log: list[str], *faults: str) -> Sandbox:
    return Sandbox([Client(CLIENT_ID, public_pem(ec_key()))], faults=Faults.read(faults), log=log.append)


def test_hang_up_closes_the_connection_in_the_middle(http: httpx.Client, capfd: pytest.CaptureFixture[str]) -> None:
    log: list[str] = []
    with _served(log, "hang-up") as sandbox:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            # More than is read with the head: what is left unread must not keep the connection open.
            http.post(sandbox.token_endpoint, data={"scope": "x" * 100_000})
        assert http.get(f"{sandbox.issuer}/jwks").status_code == 200
    assert len(log) == 1
    assert capfd.readouterr().err == ""


def test_an_answer_over_http_has_one_date(http: httpx.Client) -> None:
    with _served([], "clock-skew=-3600") as sandbox:
        dates = http.get(f"{sandbox.issuer}/jwks").headers.get_list("date")
    assert len(dates) == 1


def test_an_answer_comes_whole_though_the_request_was_not_read(http: httpx.Client) -> None:
    with _served([], "html") as sandbox:
        response = http.post(sandbox.token_endpoint, data={"scope": "x" * 100_000})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_shutdown_does_not_wait_for_a_slow_answer(http: httpx.Client) -> None:
    said = threading.Event()
    sandbox = Sandbox([], faults=Faults.read(["slow=300"]), log=lambda _: said.set())
    with sandbox, concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.post, sandbox.token_endpoint)
        assert said.wait(timeout=20)
        sandbox.shutdown()
        # Awake, it answers what it would have answered.
        assert answer.result(timeout=20).status_code == 400


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        *((name, 4) for name in ("invalid_client", "invalid_scope", "invalid_grant", "unauthorized_client")),
        *((name, 5) for name in ("status=503", "status=429", "html", "redirect", "empty", "broken-json", "hang-up")),
        *((name, 0) for name in ("no-expires-in", "opaque-token", "expired-jwks")),
    ],
)
@pytest.mark.usefixtures("pauses")
def test_our_own_command_ends_as_it_should_with_each_fault(
    cli: Cli, ec_key: PrivateKey, ec_pem: Path, fault: str, code: int
) -> None:
    client = Client(CLIENT_ID, ec_key.public.pem().decode())
    with Sandbox([client], faults=Faults.read([fault]), log=lambda _: None) as sandbox:
        ask: list[str | Path] = ["client-assertion", "-q", "--client-id", CLIENT_ID, "--private-key", ec_pem]
        assert cli(*ask, "--token-endpoint", sandbox.token_endpoint).code == code
