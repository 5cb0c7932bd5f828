"""The sandbox signs people in: a browser without a screen walks its pages over HTTP, and a client takes the rest."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import hmac
import json
import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

import httpx
import jwt as pyjwt
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from banno_creds.errors import ConfigurationError
from banno_creds.sandbox import (
    DEFAULT_REDIRECT_URIS,
    DEFAULT_USERS,
    Client,
    Faults,
    Sandbox,
    Settings,
    User,
    create_app,
)
from banno_creds.sandbox.memory import Remembered
from banno_creds.sandbox.tokens import at_hash
from tests.sandbox.bench import ASSERTION_TYPE, START, Clock, ec_key, public_pem, rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

WEB = "05166b79-4f61-484d-a4b4-2a225926bf4b"
SECRET = "s3cret of the web client"
CALLBACK = DEFAULT_REDIRECT_URIS[0]
SIGNED_OUT = "https://localhost:8080/signed-out"
OFFLINE = "openid profile offline_access"
VENDORS_OFFLINE = "https://api.banno.com/consumer/auth/offline_access"
ZERO = "00000000-0000-0000-0000-000000000000"
RILEY, CASEY, ROBIN = DEFAULT_USERS


@cache
def _own_key(number: int) -> RSAKey:
    key = RSAKey.import_key(rsa_key(80 + number))
    key.ensure_kid()
    return key


@pytest.fixture(autouse=True)
def own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox's first key, its second … each its own, and made once for all tests."""
    numbers = iter(range(9))
    monkeypatch.setattr(RSAKey, "generate_key", lambda *_args, **_options: _own_key(next(numbers) % 3))


class Page(HTMLParser):
    """What a browser makes of a page: its form, its text, and what it would load."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.response = response
        self.hidden: dict[str, str] = {}
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.choices: list[str] = []
        self.buttons: list[str | None] = []
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.action = ""
        self.words = ""
        self.feed(response.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        self.links += [attributes[name] for name in ("src", "href", "data") if name in attributes]
        if tag == "form":
            self.action = attributes["action"] or ""
        elif tag == "button":
            self.buttons.append(attributes["value"])
        elif tag == "input":
            name, value = attributes["name"] or "", attributes.get("value") or ""
            if attributes["type"] == "hidden":
                self.hidden[name] = value
            elif attributes["type"] == "radio":
                self.choices.append(value)
            self.inputs[name] = attributes

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words += data


@dataclass
class Site:
    """A sandbox, a browser at it, and the client whose tokens it gives."""

    sandbox: Sandbox
    browser: httpx.Client
    clock: Clock
    log: list[str]
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(40))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def url(self, path: str) -> str:
        return f"{self.sandbox.issuer}{path}"

    def request(self, **changes: Any) -> dict[str, Any]:
        """An authorization request; a change to None takes a parameter out."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters = {
            "client_id": WEB,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid profile",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (parameters | changes).items() if value is not None}

    def open(self, **changes: Any) -> httpx.Response:
        return self.browser.get(self.url("/auth"), params=self.request(**changes))

    def submit(self, response: httpx.Response, **fields: str | None) -> httpx.Response:
        page = Page(response)
        form = page.hidden | {"action": "continue"} | fields
        sent = {name: value for name, value in form.items() if value is not None}
        return self.browser.post(f"http://127.0.0.1:{self.sandbox.port}{page.action}", data=sent)

    def log_in(self, username: str = "riley", *, institution: str | None = None, **changes: Any) -> httpx.Response:
        response = self.submit(self.open(**changes), username=username, password="sandbox")
        return response if institution is None else self.submit(response, institution=institution)

    def answer(self, response: httpx.Response) -> dict[str, str]:
        """The parameters of the redirect back."""
        assert response.status_code == 303, response.text
        location = response.headers["location"]
        assert location.startswith(f"{CALLBACK}?")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
        return dict(parse_qsl(urlsplit(location).query))

    def code(self, username: str = "riley", **changes: Any) -> str:
        answer = self.answer(self.log_in(username, **changes))
        assert set(answer) == {"code", "state", "iss"}
        assert (answer["state"], answer["iss"]) == (self.state, self.sandbox.issuer)
        return answer["code"]

    def post(self, path: str = "/token", **form: Any) -> httpx.Response:
        authentication = {"client_id": WEB, "client_secret": SECRET}
        sent = {name: value for name, value in (authentication | form).items() if value is not None}
        return httpx.post(self.url(path), data=sent)

    def exchange(self, code: str, /, **changes: Any) -> httpx.Response:
        form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": self.verifier}
        return self.post(**{"grant_type": "authorization_code", **form, **changes})

    def refresh(self, refresh_token: str, /, **changes: Any) -> httpx.Response:
        return self.post(**{"grant_type": "refresh_token", "refresh_token": refresh_token, **changes})

    def tokens(self, username: str = "riley", **changes: Any) -> dict[str, Any]:
        response = self.exchange(self.code(username, **changes))
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def userinfo(self, access_token: str, method: str = "GET") -> httpx.Response:
        return httpx.request(method, self.url("/me"), headers={"Authorization": f"Bearer {access_token}"})

    def assert_refused(self, response: httpx.Response, error: str, description: str, *, status: int = 400) -> None:
        assert response.status_code == status
        assert response.json() == {"error": error, "error_description": description}
        assert response.headers["cache-control"] == "no-store"
        assert re.match(rf"refused with {error}: received .+; expected .+; fix: .+ \(x-request-id", self.log[-1])

    def assert_invalid_grant(self, response: httpx.Response, reason: str) -> None:
        self.assert_refused(response, "invalid_grant", "grant request is invalid")
        assert reason in self.log[-1]


@contextmanager
def site(*clients: Client, **options: Any) -> Iterator[Site]:
    clock = Clock()
    log: list[str] = []
    web = Client(
        WEB,
        client_secret=SECRET,
        redirect_uris=DEFAULT_REDIRECT_URIS,
        post_logout_redirect_uris=(SIGNED_OUT,),
    )
    with (
        Sandbox(clients or [web], clock=clock, log=log.append, **options) as sandbox,
        httpx.Client() as browser,
    ):
        yield Site(sandbox, browser, clock, log)


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as running:
        yield running


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


# --- The login and its tokens ---


@pytest.mark.parametrize("alg", ["RS256", "ES256", "PS256"])
def test_id_token_has_the_claims_of_the_vendors_example_and_verifies_with_the_jwks(alg: str) -> None:
    client = Client(WEB, client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS, id_token_signed_response_alg=alg)
    with site(client) as web:
        document = httpx.get(web.url("/.well-known/openid-configuration")).json()
        assert alg in document["id_token_signing_alg_values_supported"]
        body = web.tokens()
        jwks = httpx.get(document["jwks_uri"]).json()
        token = jwt.decode(body["id_token"], KeySet.import_key_set(jwks), algorithms=[alg])
        assert token.header["alg"] == alg
        assert token.claims == {
            "sub": RILEY.sub,
            "family_name": "Doe",
            "given_name": "Riley",
            "middle_name": None,
            "name": "Riley Doe",
            "picture": "",
            "preferred_username": "rileydoe",
            "at_hash": at_hash(body["access_token"]),
            "aud": WEB,
            "exp": START + 3600,
            "iat": START,
            "iss": web.sandbox.issuer,
            "auth_time": START,
            "nonce": web.nonce,
        }


def test_at_hash_is_that_of_the_standard() -> None:
    # OpenID Connect Core, appendix A.3 (there the access token of its examples).
    assert at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y") == "77QmUPtjPfzWtF2AnpK9RQ"


def test_token_response_and_access_token_are_like_the_others(web: Site) -> None:
    body = web.tokens()
    assert set(body) == {"access_token", "expires_in", "token_type", "scope", "id_token"}
    assert (body["expires_in"], body["token_type"], body["scope"]) == (600, "Bearer", "openid profile")
    claims = claims_of(body["access_token"])
    assert claims.pop("jti")
    assert claims == {
        "authType": "e",
        "v": "0",
        "clientName": "Test Application",
        "institutionId": RILEY.institutions[0].id,
        "accountId": RILEY.sub,
        "sub": RILEY.sub,
        "iat": START,
        "exp": START + 600,
        "scope": "openid profile",
        "iss": web.sandbox.issuer,
        "aud": WEB,
    }


def test_resource_is_the_audience_of_the_access_token(web: Site) -> None:
    assert claims_of(web.tokens(resource="https://api.example")["access_token"])["aud"] == "https://api.example"
    answer = web.answer(web.open(resource="not a URI"))
    assert answer["error"] == "invalid_target"


def test_login_with_http_redirect_uri_and_one_with_a_query_and_an_authorization_request_by_post() -> None:
    uris = (DEFAULT_REDIRECT_URIS[1], "https://app.example/cb?tenant=a%20b")
    with site(Client(WEB, client_secret=SECRET, redirect_uris=uris)) as web:
        first = web.log_in(redirect_uri=uris[0])
        assert first.headers["location"].startswith(f"{uris[0]}?code=")
        page = web.browser.post(web.url("/auth"), data=web.request(redirect_uri=uris[1], prompt="login"))
        second = web.submit(page, username="riley", password="sandbox")
        assert second.headers["location"].startswith(f"{uris[1]}&code=")


def test_state_and_nonce_may_be_left_out(web: Site) -> None:
    answer = web.answer(web.log_in(state=None, nonce=None))
    assert set(answer) == {"code", "iss"}
    assert "nonce" not in claims_of(web.exchange(answer["code"]).json()["id_token"])


def test_scopes_decide_what_is_told_and_without_openid_there_is_no_id_token(web: Site) -> None:
    body = web.tokens(scope="openid email phone address")
    told = claims_of(body["id_token"])
    assert told["email"] == "riley@example.com"
    assert told["phone_number"] == "+1 555 0100"
    assert told["address"]["locality"] == "Springfield"
    assert "name" not in told
    assert web.userinfo(body["access_token"]).json() == {
        name: RILEY.claims[name]
        for name in ("sub", "email", "email_verified", "phone_number", "phone_number_verified", "address")
    }
    bare = web.exchange(web.answer(web.open(scope="profile"))["code"]).json()
    assert "id_token" not in bare
    web.assert_refused(
        web.userinfo(bare["access_token"]), "insufficient_scope", "access token missing openid scope", status=403
    )


def test_scope_left_out_means_openid_and_the_clients_own_scopes_can_be_asked_for(web: Site) -> None:
    own = "https://jackhenry.com/consumer-users.read"
    assert web.tokens(scope=None)["scope"] == "openid"
    assert web.exchange(web.answer(web.open(scope=f"{own} openid {own}"))["code"]).json()["scope"] == f"{own} openid"


def test_claims_parameter_asks_for_claims_by_name_in_id_token_and_userinfo(web: Site) -> None:
    institution = "https://api.banno.com/consumer/claim/institution_id"
    # The vendor's examples have null, and one of them the empty string.
    asked = {"id_token": {"email": None, institution: "", "unheard_of": None}, "userinfo": {"phone_number": None}}
    body = web.tokens(scope="openid", claims=json.dumps(asked))
    told = claims_of(body["id_token"])
    assert (told["email"], told[institution]) == ("riley@example.com", RILEY.institutions[0].id)
    assert not {"phone_number", "unheard_of", "name"} & set(told)
    assert web.userinfo(body["access_token"]).json() == {"sub": RILEY.sub, "phone_number": "+1 555 0100"}


def test_claims_parameter_that_asks_for_one_user_takes_no_other(web: Site) -> None:
    asked = json.dumps({"id_token": {"sub": {"value": CASEY.sub}}})
    assert web.answer(web.log_in("riley", claims=asked))["error"] == "access_denied"
    assert web.answer(web.log_in("riley"))["code"]
    assert web.answer(web.open(claims=asked, prompt="none"))["error"] == "login_required"
    assert web.answer(web.log_in("casey", claims=asked, institution=CASEY.institutions[0].id))["code"]


# --- Institutions ---


def test_user_with_several_institutions_chooses_one_on_a_second_page(web: Site) -> None:
    page = web.log_in("casey")
    assert Page(page).choices == [institution.id for institution in CASEY.institutions]
    assert all(institution.name in page.text for institution in CASEY.institutions)
    chosen = CASEY.institutions[1].id
    again = web.submit(page, institution=ZERO)
    assert "Choose one of these." in again.text
    again = web.submit(again)
    assert "Choose one of these." in again.text
    answer = web.answer(web.submit(again, institution=chosen))
    assert claims_of(web.exchange(answer["code"]).json()["access_token"])["institutionId"] == chosen


@pytest.mark.parametrize(
    ("username", "asked", "institution"),
    [
        ("casey", CASEY.institutions[2].id, CASEY.institutions[2].id),
        ("riley", RILEY.institutions[0].id, RILEY.institutions[0].id),
        ("riley", None, RILEY.institutions[0].id),
        ("robin", None, ZERO),
        ("robin", ZERO, ZERO),
    ],
)
def test_institution_that_is_asked_for_or_the_only_one_needs_no_page(
    web: Site, username: str, asked: str | None, institution: str
) -> None:
    body = web.tokens(username, institutionId=asked)
    assert claims_of(body["access_token"])["institutionId"] == institution


@pytest.mark.parametrize(("username", "asked"), [("casey", ZERO), ("riley", CASEY.institutions[1].id)])
def test_institution_that_is_not_the_users_is_access_denied(web: Site, username: str, asked: str) -> None:
    answer = web.answer(web.log_in(username, institutionId=asked))
    assert answer == {
        "error": "access_denied",
        "error_description": "End-User does not belong to the requested institution",
        "state": web.state,
        "iss": web.sandbox.issuer,
    }


def test_institution_cannot_be_chosen_without_a_page(web: Site) -> None:
    web.log_in("casey")
    assert web.answer(web.open(prompt="none"))["error"] == "interaction_required"
    assert web.answer(web.open(prompt="none", institutionId=CASEY.institutions[0].id))["code"]


# --- What is refused, and where it is said ---


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"response_type": "token"}, "unsupported_response_type", "unsupported response_type requested"),
        ({"response_type": None}, "invalid_request", "missing required parameter 'response_type'"),
        ({"response_mode": "fragment"}, "invalid_request", "unsupported response_mode requested"),
        ({"scope": "openid full"}, "invalid_scope", "requested scope is not allowed"),
        (
            {"code_challenge": None},
            "invalid_request",
            "Authorization Server policy requires PKCE to be used for this request",
        ),
        ({"code_challenge_method": "plain"}, "invalid_request", "not supported value of code_challenge_method"),
        ({"code_challenge_method": None}, "invalid_request", "not supported value of code_challenge_method"),
        ({"code_challenge": "short"}, "invalid_request", "code_challenge must be the base64url of a SHA-256"),
        ({"prompt": "none"}, "login_required", "End-User authentication is required"),
        ({"prompt": "select_account"}, "invalid_request", "unsupported prompt value requested"),
        ({"prompt": "none login"}, "invalid_request", "prompt none must only be used alone"),
        ({"max_age": "soon"}, "invalid_request", "invalid max_age parameter value"),
        ({"claims": "{"}, "invalid_request", "could not parse the claims parameter JSON"),
        ({"claims": "[" * 30_000}, "invalid_request", "could not parse the claims parameter JSON"),
        ({"claims": "[]"}, "invalid_request", "claims parameter should be a JSON object"),
        ({"claims": '{"id_token": 1}'}, "invalid_request", "claims parameter should be a JSON object"),
        (
            {"claims": '{"id_token": {"sub": {"value": "a"}}, "userinfo": {"sub": {"value": "b"}}}'},
            "invalid_request",
            "claims parameter asks for two users",
        ),
        ({"request": "x.y.z"}, "request_not_supported", "request parameter is not supported"),
        ({"state": ["a", "b"]}, "invalid_request", "a parameter must not be provided twice"),
        ({"nonce": ["a", "b"]}, "invalid_request", "a parameter must not be provided twice"),
    ],
)
def test_error_is_told_in_a_redirect_with_state_and_iss(
    web: Site, changes: dict[str, Any], error: str, description: str
) -> None:
    if changes.get("claims", "").startswith("[["):
        answer = web.answer(web.browser.post(web.url("/auth"), data=web.request(**changes)))
    else:
        answer = web.answer(web.open(**changes))
    state = changes.get("state", [web.state])[0]
    assert answer == {"error": error, "error_description": description, "state": state, "iss": web.sandbox.issuer}
    assert web.log[-1].startswith(f"refused with {error}: received ")


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        (
            {"redirect_uri": f"{CALLBACK}/"},
            "redirect_uri did not match any of the client's registered redirect_uris",
        ),
        (
            {"redirect_uri": CALLBACK.upper()},
            "redirect_uri did not match any of the client's registered redirect_uris",
        ),
        ({"redirect_uri": None}, "missing required parameter 'redirect_uri'"),
        ({"redirect_uri": [CALLBACK, CALLBACK]}, "'redirect_uri' parameter must not be provided twice"),
        ({"client_id": None}, "missing required parameter 'client_id'"),
        ({"client_id": "nobody"}, "client is invalid"),
        ({"client_id": [WEB, WEB]}, "'client_id' parameter must not be provided twice"),
        ({"request_uri": "https://elsewhere.example/"}, "request_uri parameter is not supported"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "request_uri is invalid or expired"),
    ],
)
def test_who_cannot_be_redirected_safely_is_told_on_a_page(
    web: Site, changes: dict[str, Any], description: str
) -> None:
    response = web.open(**changes)
    assert (response.status_code, response.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "location" not in response.headers
    assert description in Page(response).words
    assert re.match(r"refused at /a/oidc-provider/api/v0/auth with \w+: received .+; expected .+; fix: ", web.log[-1])


def test_a_client_without_redirect_uris_signs_nobody_in() -> None:
    with site(Client("service", client_secret=SECRET)) as service:
        response = service.open(client_id="service")
        assert "redirect_uri did not match any" in Page(response).words
        assert "none is registered" in service.log[-1]
        for grant in ("authorization_code", "refresh_token"):
            service.assert_refused(
                service.post(client_id="service", grant_type=grant, code="x"),
                "unauthorized_client",
                "requested grant type is not allowed for this client",
            )
        assert service.post(client_id="service", grant_type="client_credentials").status_code == 200


def test_with_explain_an_error_says_what_was_received_and_expected() -> None:
    with site(explain=True) as web:
        answer = web.answer(web.open(code_challenge=None))
        assert "received no code_challenge; expected code_challenge and" in answer["error_description"]
        assert "expected one of" in Page(web.open(redirect_uri="https://elsewhere.example/")).words
        response = web.exchange("nothing")
        assert "an unknown or expired code" in response.json()["error_description"]


# --- The pages ---


def test_login_page_has_a_form_and_loads_nothing(web: Site) -> None:
    response = web.open()
    page = Page(response)
    assert response.status_code == 200
    assert (set(page.hidden), page.buttons) == ({"interaction", "csrf"}, ["continue", "cancel"])
    assert "Test Application" in page.words
    assert page.links == []
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert "url(" not in response.text
    assert "@import" not in response.text


@pytest.mark.parametrize("which", ["login", "institution", "consent", "error", "sign out"])
def test_every_page_is_kept_nowhere_and_may_load_and_be_framed_by_nothing(web: Site, which: str) -> None:
    response = {
        "login": lambda: web.open(),
        "institution": lambda: web.log_in("casey"),
        "consent": lambda: web.log_in("riley", prompt="consent"),
        "error": lambda: web.open(client_id="nobody"),
        "sign out": lambda: web.browser.get(web.url("/session/end")),
    }[which]()
    style = re.search(r"<style>(.*?)</style>", response.text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    targets = "'self'" if which in {"error", "sign out"} else "'self' https://localhost:8080"
    assert response.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action {targets}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    for cookie in response.headers.get_list("set-cookie"):
        assert "; HttpOnly; Path=/a/oidc-provider/api/v0; SameSite=Lax" in cookie


def test_form_may_lead_to_an_ipv6_address_though_a_policy_cannot_name_one() -> None:
    with site(Client(WEB, client_secret=SECRET, redirect_uris=("http://[::1]:8080/cb",))) as web:
        assert (
            "form-action 'self' http:;"
            in web.open(redirect_uri="http://[::1]:8080/cb").headers["content-security-policy"]
        )


def test_wrong_password_shows_the_page_again_and_the_next_try_succeeds(web: Site) -> None:
    for username, password in (("riley", "wrong"), ("nobody", "sandbox"), ("riley", ""), ("", "sandbox")):
        page = web.submit(web.open(), username=username, password=password)
        assert page.status_code == 200
        assert "user name or the password is wrong" in Page(page).words
        assert "sandbox_session" not in page.headers.get("set-cookie", "")
    assert web.answer(web.submit(page, username=" riley ", password="sandbox"))["code"]


def test_what_was_typed_and_hinted_and_named_is_escaped() -> None:
    evil = "\"><script>alert(1)</script>'&"
    user = User("eve", "sandbox", {"sub": "1", "name": evil}, CASEY.institutions[:1])
    client = Client(WEB, client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS, name=evil)
    with site(client, users=[user]) as web:
        page = web.open(login_hint=evil)
        assert Page(page).inputs["username"]["value"] == evil
        again = web.submit(page, username=evil, password="x")
        consent = web.submit(web.open(prompt="consent"), username="eve", password="sandbox")
        for response in (page, again, consent, web.browser.get(web.url("/session/end"))):
            assert "script" not in Page(response).tags
            assert "<script" not in response.text
        assert evil in Page(consent).words


def test_login_hint_is_put_into_the_form(web: Site) -> None:
    assert Page(web.open(login_hint="casey")).inputs["username"]["value"] == "casey"
    assert Page(web.open()).inputs["username"]["value"] == ""


@pytest.mark.parametrize("page", ["login", "institution", "consent"])
def test_cancel_is_access_denied(web: Site, page: str) -> None:
    username, prompt = ("casey", None) if page == "institution" else ("riley", "consent")
    response = web.open(prompt=prompt) if page == "login" else web.log_in(username, prompt=prompt)
    answer = web.answer(web.submit(response, action="cancel"))
    assert answer == {
        "error": "access_denied",
        "error_description": "End-User aborted interaction",
        "state": web.state,
        "iss": web.sandbox.issuer,
    }


@pytest.mark.parametrize("how", ["no csrf", "wrong csrf", "another browser", "of another login"])
def test_form_is_bound_to_the_browser_it_was_made_for(web: Site, how: str) -> None:
    page = web.open()
    if how == "another browser":
        web.browser.cookies.clear()
    changes: dict[str, str | None] = {
        "no csrf": {"csrf": None},
        "wrong csrf": {"csrf": "é" * 64},
        "another browser": {},
        "of another login": {"csrf": Page(web.open()).hidden["csrf"]},
    }[how]  # type: ignore[assignment]
    response = web.submit(page, username="riley", password="sandbox", **changes)
    assert response.status_code == 403
    assert "authorization request has expired" in Page(response).words
    assert "sandbox_session" not in response.headers.get("set-cookie", "")


@pytest.mark.parametrize("late", [False, True])
def test_form_goes_on_once_and_for_ten_minutes(web: Site, *, late: bool) -> None:
    page = web.open()
    if late:
        web.clock.now += 601
    else:
        assert web.answer(web.submit(page, username="riley", password="sandbox"))["code"]
    response = web.submit(page, username="riley", password="sandbox")
    assert response.status_code == 400
    assert "authorization request has expired" in Page(response).words
    assert web.log[-1].startswith("refused a form of a login that has ended ")


def test_two_tabs_of_one_browser_do_not_disturb_each_other(web: Site) -> None:
    first, second = web.open(state="1"), web.open(state="2")
    assert web.answer(web.submit(second, username="riley", password="sandbox"))["state"] == "2"
    assert web.answer(web.submit(first, username="riley", password="sandbox"))["state"] == "1"


# --- The browser's session ---


def test_browser_that_is_signed_in_is_sent_back_without_a_page(web: Site) -> None:
    web.log_in()
    for prompt in (None, "none"):
        assert web.answer(web.open(prompt=prompt))["code"]
    assert web.open(prompt="login").status_code == 200
    other = httpx.get(web.url("/auth"), params=web.request(prompt="none"))
    assert web.answer(other)["error"] == "login_required"


def test_max_age_asks_again_who_signed_in_too_long_ago_and_auth_time_tells_when(web: Site) -> None:
    web.log_in()
    assert web.open(max_age="0").status_code == 200
    web.clock.now += 100
    assert web.answer(web.open(max_age="100"))["code"]
    assert web.open(max_age="99").status_code == 200
    assert web.open(max_age="0").status_code == 200
    assert web.answer(web.open(max_age="99", prompt="none"))["error"] == "login_required"
    body = web.exchange(web.answer(web.open(max_age="100"))["code"]).json()
    assert claims_of(body["id_token"])["auth_time"] == START
    again = web.exchange(web.answer(web.log_in(max_age="0"))["code"]).json()
    assert claims_of(again["id_token"])["auth_time"] == START + 100


def test_prompt_consent_asks_for_consent_each_time(web: Site) -> None:
    for _ in range(2):
        page = web.open(prompt="consent", scope=OFFLINE)
        if "username" in Page(page).inputs:
            page = web.submit(page, username="riley", password="sandbox")
        assert "offline_access" in Page(page).words
        assert Page(web.submit(page, consent=None)).buttons == ["continue", "cancel"]
        page = web.open(prompt="consent", scope=OFFLINE)
        assert web.answer(web.submit(page))["code"]


def test_login_makes_a_new_session_cookie_and_ends_the_old_one(web: Site) -> None:
    web.log_in()
    name = f"sandbox_session_{web.sandbox.port}"
    old = web.browser.cookies[name]
    web.log_in("robin", prompt="login")
    assert web.browser.cookies[name] != old
    assert web.answer(web.open(prompt="none"))["code"]
    with httpx.Client(cookies={name: old}) as thief:
        response = thief.get(web.url("/auth"), params=web.request(prompt="none"))
    assert web.answer(response)["error"] == "login_required"


# --- The client's authentication ---


def _assertion(web: Site, client_id: str, audience: str) -> dict[str, str]:
    claims = {"iss": client_id, "sub": client_id, "aud": audience, "exp": START + 60, "jti": secrets.token_hex(8)}
    signed = pyjwt.encode(claims, ec_key(), algorithm="ES256")
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}


def _clients() -> list[Client]:
    key, uris = public_pem(ec_key()), DEFAULT_REDIRECT_URIS
    return [
        Client("by secret", client_secret="s: é%+", redirect_uris=uris),
        Client("by key", key, redirect_uris=uris),
        Client("by both", key, client_secret=SECRET, redirect_uris=uris),
    ]


@pytest.mark.parametrize(
    ("client_id", "method"),
    [
        ("by secret", "client_secret_basic"),
        ("by secret", "client_secret_post"),
        ("by key", "private_key_jwt"),
        ("by both", "client_secret_basic"),
        ("by both", "private_key_jwt"),
    ],
)
def test_each_client_authentication_gets_tokens(client_id: str, method: str) -> None:
    with site(*_clients()) as web:
        document = httpx.get(web.url("/.well-known/openid-configuration")).json()
        assert document["token_endpoint_auth_methods_supported"] == [
            "private_key_jwt",
            "client_secret_basic",
            "client_secret_post",
        ]
        secret = "s: é%+" if client_id == "by secret" else SECRET
        form = {
            "grant_type": "authorization_code",
            "code": web.code(client_id=client_id),
            "redirect_uri": CALLBACK,
            "code_verifier": web.verifier,
        }
        headers = {}
        if method == "client_secret_basic":
            pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif method == "client_secret_post":
            form |= {"client_id": client_id, "client_secret": secret}
        else:
            form |= _assertion(web, client_id, web.sandbox.token_endpoint)
        response = httpx.post(web.url("/token"), data=form, headers=headers)
        assert response.status_code == 200, web.log[-1]
        assert claims_of(response.json()["id_token"])["aud"] == client_id


@pytest.mark.parametrize(
    ("client_id", "client_secret", "reason"),
    [
        ("by secret", "wrong", 'received client_secret_post with another secret for "by secret"'),
        ("by secret", "s: é%+ ", 'received client_secret_post with another secret for "by secret"'),
        ("by key", "wrong", "refused by registration.auth_method: received a client secret"),
        ("nobody", "wrong", "refused by client.unknown: "),
        (None, "wrong", "refused by client.unknown: received no client_id"),
    ],
)
@pytest.mark.parametrize("path", ["/token", "/token/revocation", "/request"])
def test_wrong_secret_and_wrong_client_are_told_the_same(
    client_id: str | None, client_secret: str, reason: str, path: str
) -> None:
    with site(*_clients()) as web:
        response = web.post(path, client_id=client_id, client_secret=client_secret, grant_type="authorization_code")
        assert response.status_code == 401
        assert response.json() == {"error": "invalid_client", "error_description": "client authentication failed"}
        assert reason in web.log[-1]
        assert "wrong" not in web.log[-1]


def test_other_faults_of_the_clients_authentication() -> None:
    with site(*_clients()) as web:
        form = _assertion(web, "by secret", web.sandbox.token_endpoint)
        response = httpx.post(web.url("/token"), data=form | {"grant_type": "refresh_token"})
        assert response.status_code == 401
        assert "no public key is registered for this client" in web.log[-1]
        for authorization in ("Bearer x", "Basic", "Basic é", "Basic Zm9v", "Digest Zm86bw=="):
            headers = {b"Authorization": authorization.encode()}
            response = httpx.post(web.url("/token"), data={}, headers=headers)
            web.assert_refused(response, "invalid_request", "invalid authorization header value format")
        basic = ("by secret", "x")
        response = httpx.post(web.url("/token"), data={"client_secret": "x"}, auth=basic)
        assert response.json()["error_description"].endswith("must only be provided using one mechanism")
        response = httpx.post(web.url("/token"), data={"client_id": "another"}, auth=basic)
        assert response.json()["error_description"] == "client_id mismatch"
        response = httpx.post(web.url("/token"), data={"grant_type": "refresh_token"})
        assert response.json()["error_description"] == "no client authentication mechanism provided"


def test_secret_is_neither_kept_nor_shown() -> None:
    client = Client(WEB, client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS)
    assert SECRET not in repr(client)
    with site(client) as web:
        registered = web.sandbox.app.extensions["sandbox"].clients[WEB]
        assert registered.client.client_secret is None
        assert registered.has_secret(SECRET)
        assert SECRET not in repr(registered)


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (Client("a"), "the client a has neither a public key nor a client secret"),
        (Client("a", client_secret=""), "the client a has neither a public key nor a client secret"),
        (
            Client("a", client_secret="s", id_token_signed_response_alg="HS256"),
            "the client a has an unknown id_token_signed_response_alg",
        ),
        *(
            (
                Client("a", client_secret="s", redirect_uris=(uri,)),
                "the client a has an invalid redirect URI",
            )
            for uri in (
                "",
                "/auth/cb",
                "http://app.example/cb",
                "https://app.example/cb#x",
                "https://app.example/c b",
                "https://app.example/\r\nx",
                "https://app.example/é",
                "https://app.example:x/",
                "https:///cb",
                "https://[::1/cb",
                "app:/cb",
                "javascript:alert(1)",
            )
        ),
        (
            Client("a", client_secret="s", post_logout_redirect_uris=("http://app.example",)),
            "the client a has an invalid redirect URI",
        ),
    ],
)
def test_client_that_cannot_be_registered_is_a_configuration_error(client: Client, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        create_app([client], "http://127.0.0.1:1/x", Settings(log=lambda _: None))


# --- Codes ---


@pytest.mark.parametrize("verifier", ["x" * 43, "x", "é" * 50, "x" * 129])
def test_code_needs_the_verifier_its_challenge_was_made_of(web: Site, verifier: str) -> None:
    code = web.code()
    web.assert_invalid_grant(
        web.exchange(code, code_verifier=verifier), "a code_verifier that does not match the code_challenge"
    )
    # A wrong guess does not use up the code.
    assert web.exchange(code).status_code == 200


@pytest.mark.parametrize("name", ["code", "redirect_uri", "code_verifier"])
def test_code_needs_all_that_belongs_to_it(web: Site, name: str) -> None:
    response = web.exchange(web.code(), **{name: None})
    web.assert_refused(response, "invalid_request", f"missing required parameter '{name}'")
    response = web.exchange("x", **{name: ["x", "x"]})
    assert response.json()["error_description"] == "a parameter must not be provided twice"


def test_code_is_bound_to_redirect_uri_and_client() -> None:
    other = Client("other", client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS)
    with site(Client(WEB, client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS), other) as web:
        code = web.code()
        web.assert_invalid_grant(web.exchange(code, redirect_uri=DEFAULT_REDIRECT_URIS[1]), "received redirect_uri ")
        web.assert_invalid_grant(web.exchange(code, client_id="other"), "a code of ")
        web.assert_invalid_grant(web.exchange("unheard of"), "an unknown or expired code")
        assert web.exchange(code).status_code == 200


def test_code_is_good_for_a_minute(web: Site) -> None:
    code = web.code()
    web.clock.now += 59
    body = web.exchange(code)
    assert body.status_code == 200
    late = web.answer(web.open())["code"]
    web.clock.now += 60
    web.assert_invalid_grant(web.exchange(late), "a code that is more than a minute old")


def test_second_use_of_a_code_is_refused_and_revokes_what_came_of_the_first(web: Site) -> None:
    code = web.code(scope=OFFLINE)
    body = web.exchange(code).json()
    assert web.userinfo(body["access_token"]).status_code == 200
    web.clock.now += 120
    web.assert_invalid_grant(web.exchange(code), "a code that was used before")
    assert web.userinfo(body["access_token"]).status_code == 401
    web.assert_invalid_grant(web.refresh(body["refresh_token"]), "a revoked refresh token")


def test_of_many_at_the_same_time_one_uses_a_code(web: Site) -> None:
    code = web.code()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: web.exchange(code), range(6)))
    # None, where the second was quick enough to revoke what the first was about to get.
    given = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    assert len(given) <= 1
    assert [web.userinfo(token).status_code for token in given] == [401] * len(given)


# --- Refresh tokens ---


@pytest.mark.parametrize("scope", ["offline_access", VENDORS_OFFLINE])
def test_refresh_token_comes_where_offline_access_is_asked_for_and_is_good_once(web: Site, scope: str) -> None:
    body = web.tokens(scope=f"openid profile {scope}")
    web.clock.now += 700
    second = web.refresh(body["refresh_token"]).json()
    assert set(second) == {"access_token", "expires_in", "token_type", "scope", "id_token", "refresh_token"}
    assert second["refresh_token"] != body["refresh_token"]
    told = claims_of(second["id_token"])
    assert (told["sub"], told["auth_time"], told["iat"]) == (RILEY.sub, START, START + 700)
    assert "nonce" not in told  # OpenID Connect Core section 12.2
    assert told["at_hash"] == at_hash(second["access_token"])
    assert claims_of(second["access_token"])["institutionId"] == RILEY.institutions[0].id
    third = web.refresh(second["refresh_token"]).json()
    assert web.userinfo(third["access_token"]).status_code == 200


def test_second_use_of_a_refresh_token_revokes_the_whole_chain(web: Site) -> None:
    body = web.tokens(scope=OFFLINE)
    newest = web.refresh(web.refresh(body["refresh_token"]).json()["refresh_token"]).json()
    web.assert_invalid_grant(web.refresh(body["refresh_token"]), "a refresh token that was used before")
    web.assert_invalid_grant(web.refresh(newest["refresh_token"]), "a revoked refresh token")
    assert web.userinfo(newest["access_token"]).status_code == 401


def test_of_many_at_the_same_time_one_uses_a_refresh_token(web: Site) -> None:
    token = web.tokens(scope=OFFLINE)["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: web.refresh(token), range(6)))
    given = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(given) <= 1
    assert [web.refresh(body["refresh_token"]).status_code for body in given] == [400] * len(given)


def test_refresh_may_ask_for_less_and_not_for_more(web: Site) -> None:
    body = web.tokens(scope=OFFLINE)
    web.assert_refused(
        web.refresh(body["refresh_token"], scope="openid email"),
        "invalid_scope",
        "refresh token missing requested scope",
    )
    less = web.refresh(body["refresh_token"], scope="openid").json()
    assert less["scope"] == "openid"
    assert web.userinfo(less["access_token"]).json() == {"sub": RILEY.sub}
    assert web.refresh(less["refresh_token"]).json()["scope"] == OFFLINE


def test_refresh_token_is_its_clients_alone() -> None:
    clients = [Client(name, client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS) for name in (WEB, "other")]
    with site(*clients) as web:
        token = web.tokens(scope=OFFLINE)["refresh_token"]
        web.assert_invalid_grant(web.refresh(token, client_id="other"), f'a refresh token of "{WEB}"')
        web.assert_invalid_grant(web.refresh("unheard of"), "an unknown or expired refresh token")
        web.assert_refused(
            web.refresh(token, refresh_token=None), "invalid_request", "missing required parameter 'refresh_token'"
        )
        assert web.refresh(token).status_code == 200


# --- Userinfo ---


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_userinfo_tells_of_the_user(web: Site, method: str) -> None:
    response = web.userinfo(web.tokens()["access_token"], method)
    assert response.json() == {
        name: RILEY.claims[name]
        for name in ("sub", "family_name", "given_name", "middle_name", "name", "picture", "preferred_username")
    }
    assert response.headers["cache-control"] == "no-store"


def test_userinfo_needs_a_token_of_a_login_that_lives(web: Site) -> None:
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic eDp5"}):
        response = httpx.get(web.url("/me"), headers=headers)
        web.assert_refused(response, "invalid_request", "no access token provided")
    body = web.tokens()
    of_nobody = web.post(grant_type="client_credentials").json()["access_token"]
    for token in ("x", of_nobody, body["id_token"], body["access_token"][:-1]):
        response = web.userinfo(token)
        web.assert_refused(response, "invalid_token", "invalid token provided", status=401)
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    web.clock.now += 599
    assert web.userinfo(body["access_token"]).status_code == 200
    web.clock.now += 1
    assert web.userinfo(body["access_token"]).status_code == 401


# --- Revocation ---


def test_revoked_refresh_token_takes_all_that_came_of_the_login_along(web: Site) -> None:
    body = web.tokens(scope=OFFLINE)
    response = web.post("/token/revocation", token=body["refresh_token"], token_type_hint="access_token")
    assert (response.status_code, response.content) == (200, b"")
    assert web.userinfo(body["access_token"]).status_code == 401
    web.assert_invalid_grant(web.refresh(body["refresh_token"]), "a revoked refresh token")


def test_revoked_access_token_goes_alone(web: Site) -> None:
    body = web.tokens(scope=OFFLINE)
    assert web.post("/token/revocation", token=body["access_token"]).status_code == 200
    assert web.userinfo(body["access_token"]).status_code == 401
    assert web.refresh(body["refresh_token"]).status_code == 200


def test_revocation_of_nothing_succeeds_and_of_anothers_token_does_not() -> None:
    clients = [Client(name, client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS) for name in (WEB, "other")]
    with site(*clients) as web:
        body = web.tokens(scope=OFFLINE)
        assert web.post("/token/revocation", token="unheard of").status_code == 200
        for token in (body["refresh_token"], body["access_token"]):
            response = web.post("/token/revocation", client_id="other", token=token)
            web.assert_refused(response, "invalid_request", "this token does not belong to you")
        web.assert_refused(web.post("/token/revocation"), "invalid_request", "missing required parameter 'token'")
        assert web.userinfo(body["access_token"]).status_code == 200


def test_revocation_with_a_signed_assertion_for_its_own_url() -> None:
    with site(*_clients()) as web:
        for audience in (web.url("/token/revocation"), web.sandbox.token_endpoint, web.sandbox.issuer):
            form = {"token": "x"} | _assertion(web, "by key", audience)
            assert httpx.post(web.url("/token/revocation"), data=form).status_code == 200, web.log[-1]
        form = {"grant_type": "client_credentials"} | _assertion(web, "by key", web.url("/token/revocation"))
        assert httpx.post(web.url("/token"), data=form).status_code == 401


# --- The end of a session ---


@pytest.mark.parametrize("hint", ["client_id", "id_token_hint", "both"])
def test_signing_out_asks_then_ends_session_and_tokens_and_redirects(web: Site, hint: str) -> None:
    body = web.tokens()
    named = {"client_id": WEB, "id_token_hint": body["id_token"]}
    parameters = named if hint == "both" else {hint: named[hint]}
    parameters |= {"post_logout_redirect_uri": SIGNED_OUT, "state": "s & t"}
    web.clock.now += 4000  # an ID token that has expired is a hint all the same
    page = web.browser.get(web.url("/session/end"), params=parameters)
    assert "Riley Doe" in Page(page).words
    assert web.answer(web.open(prompt="none"))["code"]
    response = web.submit(page)
    assert (response.status_code, response.headers["location"]) == (303, f"{SIGNED_OUT}?state=s+%26+t")
    assert f"sandbox_session_{web.sandbox.port}" not in web.browser.cookies
    assert web.answer(web.open(prompt="none"))["error"] == "login_required"


def test_signing_out_ends_the_logins_tokens_but_those_that_outlive_it(web: Site) -> None:
    online, late = web.tokens(), web.answer(web.open())["code"]
    offline = web.exchange(web.answer(web.open(scope=OFFLINE))["code"]).json()
    web.submit(web.browser.get(web.url("/session/end")))
    assert web.userinfo(online["access_token"]).status_code == 401
    web.assert_invalid_grant(web.exchange(late), "a code of a login that has ended")
    assert web.userinfo(offline["access_token"]).status_code == 200
    assert web.refresh(offline["refresh_token"]).status_code == 200


def test_signing_out_without_a_redirect_says_so_and_no_means_no(web: Site) -> None:
    web.log_in()
    stays = web.submit(web.browser.get(web.url("/session/end")), action="cancel")
    assert "You are still signed in" in Page(stays).words
    assert web.answer(web.open(prompt="none"))["code"]
    page = web.browser.post(web.url("/session/end"), data={"client_id": WEB})
    assert "You are signed out" in Page(web.submit(page)).words
    nobody = web.browser.get(web.url("/session/end"))
    assert "Nobody is signed in with this browser." in Page(nobody).words
    assert "You are signed out" in Page(web.submit(nobody)).words


def test_signing_out_redirects_nowhere_that_is_not_registered_for_the_client(web: Site) -> None:
    id_token = web.tokens()["id_token"]
    for parameters, description in (
        ({"post_logout_redirect_uri": SIGNED_OUT}, "post_logout_redirect_uri needs a client_id or an id_token_hint"),
        (
            {"client_id": WEB, "post_logout_redirect_uri": f"{SIGNED_OUT}/"},
            "post_logout_redirect_uri not registered",
        ),
        ({"client_id": "nobody"}, "client is invalid"),
        ({"client_id": "nobody", "id_token_hint": id_token}, "client_id mismatch"),
        ({"id_token_hint": "x"}, "could not decode id_token_hint"),
        ({"id_token_hint": f"{id_token[:-8]}AAAAAAAA"}, "could not decode id_token_hint"),
        ({"id_token_hint": "e30.e30."}, "could not decode id_token_hint"),
        ({"client_id": [WEB, WEB]}, "a parameter must not be provided twice"),
    ):
        response = web.browser.get(web.url("/session/end"), params=parameters)
        assert response.status_code == 400
        assert "location" not in response.headers
        assert description in Page(response).words
    assert web.answer(web.open(prompt="none"))["code"]


def test_another_site_cannot_sign_a_user_out(web: Site) -> None:
    web.log_in()
    page = web.browser.get(web.url("/session/end"))
    response = web.submit(page, csrf=None)
    assert response.status_code == 403
    web.clock.now += 601
    assert "has expired" in Page(web.submit(page)).words
    assert web.answer(web.open(prompt="none"))["code"]


# --- Pushed authorization requests ---


def test_pushed_request_is_used_once_within_a_minute_by_its_client(web: Site) -> None:
    def push() -> str:
        response = web.post("/request", **web.request())
        assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
        assert response.json()["expires_in"] == 60
        request_uri: str = response.json()["request_uri"]
        assert request_uri.startswith("urn:ietf:params:oauth:request_uri:")
        return request_uri

    def use(request_uri: str, client_id: str = WEB) -> httpx.Response:
        parameters = {"client_id": client_id, "request_uri": request_uri}
        return web.browser.get(web.url("/auth"), params=parameters)

    request_uri = push()
    code = web.answer(web.submit(use(request_uri), username="riley", password="sandbox"))["code"]
    assert claims_of(web.exchange(code).json()["id_token"])["nonce"] == web.nonce
    assert "invalid or expired" in Page(use(request_uri)).words
    late = push()
    anothers = push()
    assert "invalid or expired" in Page(use(anothers, "another")).words
    web.clock.now += 60
    for stale in (request_uri, late, anothers):
        response = use(stale)
        assert response.status_code == 400
        assert "request_uri is invalid or expired" in Page(response).words


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://elsewhere.example/"}, "invalid_redirect_uri"),
        ({"code_challenge": None}, "invalid_request"),
        ({"scope": "full"}, "invalid_scope"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_pushed_request_that_would_be_refused_is_refused_at_once(
    web: Site, changes: dict[str, Any], error: str
) -> None:
    response = web.post("/request", **web.request(**changes))
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_pushed_request_by_basic_needs_no_client_id_and_takes_no_other() -> None:
    clients = [Client(name, client_secret="s", redirect_uris=DEFAULT_REDIRECT_URIS) for name in (WEB, "other")]
    with site(*clients) as web:
        form = web.request(client_id=None)
        assert httpx.post(web.url("/request"), data=form, auth=(WEB, "s")).status_code == 201
        response = httpx.post(web.url("/request"), data=form | {"client_id": "other"}, auth=(WEB, "s"))
        assert response.json()["error_description"] == "client_id mismatch"


@pytest.mark.parametrize("by", ["server", "client"])
def test_where_pushing_is_required_nothing_else_is_taken(by: str) -> None:
    client = Client(
        WEB,
        client_secret=SECRET,
        redirect_uris=DEFAULT_REDIRECT_URIS,
        require_pushed_authorization_requests=by == "client",
    )
    with site(client, require_pushed_authorization_requests=by == "server") as web:
        document = httpx.get(web.url("/.well-known/openid-configuration")).json()
        assert document["require_pushed_authorization_requests"] is (by == "server")
        answer = web.answer(web.open())
        assert (answer["error"], answer["error_description"], answer["state"]) == (
            "invalid_request",
            "Pushed Authorization Request must be used",
            web.state,
        )
        request_uri = web.post("/request", **web.request()).json()["request_uri"]
        page = web.browser.get(web.url("/auth"), params={"client_id": WEB, "request_uri": request_uri})
        assert "username" in Page(page).inputs


# --- Faults on demand ---


def _faulty_id_token(fault: str, alg: str = "RS256") -> tuple[Site, dict[str, Any], Any]:
    client = Client(WEB, client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS, id_token_signed_response_alg=alg)
    with site(client, faults=Faults.read([f"id-token={fault}"])) as web:
        body = web.tokens()
        return web, body, httpx.get(web.url("/jwks")).json()


@pytest.mark.parametrize(
    ("fault", "name", "expected"),
    [
        ("other-client", "aud", "another-client"),
        ("other-issuer", "iss", "https://issuer.example"),
        ("expired", "exp", START - 7200),
        ("no-nonce", "nonce", None),
    ],
)
def test_fault_of_the_id_token_is_in_a_claim_and_the_signature_is_good(
    fault: str, name: str, expected: object
) -> None:
    _, body, jwks = _faulty_id_token(fault)
    token = jwt.decode(body["id_token"], KeySet.import_key_set(jwks), algorithms=["RS256"])
    assert token.claims.get(name) == expected


def test_faults_of_the_id_token_in_nonce_and_at_hash() -> None:
    web, body, jwks = _faulty_id_token("wrong-nonce")
    told = jwt.decode(body["id_token"], KeySet.import_key_set(jwks), algorithms=["RS256"]).claims
    assert told["nonce"] not in {None, web.nonce}
    _, body, jwks = _faulty_id_token("wrong-at-hash")
    told = jwt.decode(body["id_token"], KeySet.import_key_set(jwks), algorithms=["RS256"]).claims
    assert told["at_hash"] != at_hash(body["access_token"])
    assert len(told["at_hash"]) == 22


def test_faults_of_the_id_tokens_signature() -> None:
    _, body, _ = _faulty_id_token("none")
    assert pyjwt.get_unverified_header(body["id_token"])["alg"] == "none"
    assert body["id_token"].endswith(".")
    _, body, jwks = _faulty_id_token("hs256")
    header = pyjwt.get_unverified_header(body["id_token"])
    assert (header["alg"], header["kid"]) == ("HS256", jwks["keys"][0]["kid"])
    pem = RSAKey.import_key(jwks["keys"][0]).as_pem(private=False)
    signed, _, signature = body["id_token"].rpartition(".")
    mac = hmac.digest(pem, signed.encode(), "sha256")
    assert base64.urlsafe_b64decode(signature + "=") == mac
    for alg in ("RS256", "ES256"):
        _, body, jwks = _faulty_id_token("other-key", alg)
        named = pyjwt.get_unverified_header(body["id_token"])
        [jwk] = [jwk for jwk in jwks["keys"] if jwk["alg"] == alg]
        assert (named["alg"], named["kid"]) == (alg, jwk["kid"])
        with pytest.raises(pyjwt.InvalidSignatureError):
            pyjwt.decode(body["id_token"], pyjwt.PyJWK(jwk), algorithms=[alg], options={"verify_aud": False})


def test_expired_jwks_meets_id_tokens_of_any_algorithm() -> None:
    for alg, kind in (("RS256", RSAKey), ("ES256", ECKey)):
        client = Client(
            WEB, client_secret=SECRET, redirect_uris=DEFAULT_REDIRECT_URIS, id_token_signed_response_alg=alg
        )
        with site(client, faults=Faults.read(["expired-jwks"])) as web:
            kid = pyjwt.get_unverified_header(web.tokens()["id_token"])["kid"]
            keys = httpx.get(web.url("/jwks")).json()["keys"]
        assert kid not in [jwk["kid"] for jwk in keys]
        assert {jwk["kty"] for jwk in keys} == ({"RSA"} if kind is RSAKey else {"RSA", "EC"})


@pytest.mark.parametrize("fault", ["wrong-state", "other-issuer", "no-iss"])
@pytest.mark.parametrize("refused", [False, True])
def test_fault_of_the_callback(fault: str, refused: bool) -> None:
    with site(faults=Faults.read([f"callback={fault}"])) as web:
        answer = web.answer(web.open(prompt="none") if refused else web.log_in())
        assert ("error" in answer) is refused
        assert (answer["state"] == web.state) is (fault != "wrong-state")
        expected = {"other-issuer": "https://issuer.example", "no-iss": None}.get(fault, web.sandbox.issuer)
        assert answer.get("iss") == expected


def test_fault_of_the_callback_is_met_once_by_the_first_way_back_and_of_the_id_token_by_the_first_token() -> None:
    faults = Faults.read(["callback=no-iss", "id-token=none"])
    with site(faults=faults, once=True) as web:
        page = web.open()
        assert page.status_code == 200
        first = web.answer(web.submit(page, username="riley", password="sandbox"))
        assert "iss" not in first
        assert "iss" in web.answer(web.open())
        assert web.exchange(first["code"]).json()["id_token"].endswith(".")
        code = web.answer(web.open())["code"]
        assert not web.exchange(code).json()["id_token"].endswith(".")


def test_faults_of_a_login_by_header(web: Site) -> None:
    header = {"Sandbox-Fault": "callback=wrong-state"}
    page = web.open()
    form = Page(page).hidden | {"username": "riley", "password": "sandbox"}
    response = web.browser.post(web.url("/auth"), data=form, headers=header)
    assert web.answer(response)["state"] != web.state


def test_opaque_token_is_known_at_userinfo() -> None:
    with site(faults=Faults.read(["opaque-token"])) as web:
        body = web.tokens()
        assert body["access_token"].count(".") == 0
        assert claims_of(body["id_token"])["at_hash"] == at_hash(body["access_token"])
        assert web.userinfo(body["access_token"]).json()["sub"] == RILEY.sub


def test_fault_that_is_the_whole_answer_meets_the_code_and_leaves_it_good() -> None:
    with site(faults=Faults.read(["invalid_grant"]), once=True) as web:
        code = web.code()
        assert web.exchange(code).status_code == 400
        assert web.exchange(code).status_code == 200


def test_clock_skew_moves_what_is_said_and_not_what_is_remembered() -> None:
    with site(faults=Faults.read(["clock-skew=5000"])) as web:
        body = web.tokens(scope=OFFLINE)
        told = claims_of(body["id_token"])
        assert (told["iat"], told["auth_time"]) == (START + 5000, START + 5000)
        assert web.userinfo(body["access_token"]).status_code == 200
        assert web.refresh(body["refresh_token"]).status_code == 200


def test_clock_skew_meets_the_token_at_userinfo(web: Site) -> None:
    headers = {"Authorization": f"Bearer {web.tokens()['access_token']}"}
    assert httpx.get(web.url("/me"), headers=headers | {"Sandbox-Fault": "clock-skew=+599"}).status_code == 200
    assert httpx.get(web.url("/me"), headers=headers | {"Sandbox-Fault": "clock-skew=+600"}).status_code == 401
    assert httpx.get(web.url("/me"), headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("id-token", "the fault id-token needs a value", "id-token=WORD: none, hs256, "),
        ("id-token=NONE", "the fault id-token cannot be 'NONE'", "id-token=WORD: none, hs256, "),
        ("callback=none", "the fault callback cannot be 'none'", "callback=WORD: wrong-state, other-issuer, no-iss"),
    ],
)
def test_fault_of_a_login_that_cannot_be_meant(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Faults.read([text])
    assert caught.value.message == message
    assert str(caught.value.hint).startswith(hint)


# --- The log, and what the sandbox keeps ---


def test_log_tells_each_step_by_names_and_no_secret(web: Site) -> None:
    typed = "a password typed as a user name"
    page = web.submit(web.open(scope=OFFLINE), username=typed, password="wr0ng")
    page = web.submit(page, username="casey", password="wr0ng")
    page = web.submit(page, username="casey", password="sandbox")
    code = web.answer(web.submit(page, institution=CASEY.institutions[0].id))["code"]
    web.exchange(code, code_verifier="y" * 43)
    body = web.exchange(code).json()
    second = web.refresh(body["refresh_token"]).json()
    web.userinfo(second["access_token"])
    web.userinfo("another token")
    web.post(client_secret="wr0ng")
    web.post("/token/revocation", token=second["access_token"])
    web.post("/token/revocation", token=second["refresh_token"])
    web.submit(web.browser.get(web.url("/session/end"), params={"id_token_hint": body["id_token"]}))
    text = "\n".join(web.log)
    told = ("no such user", 'password of "casey"', '"casey" signed in', "with a code", "gave", "refreshed", "revoked")
    assert all(words in text for words in (*told, "signed out", CASEY.institutions[0].id, WEB))
    hidden = [typed, "wr0ng", SECRET, code, web.verifier, "y" * 43, web.state, web.nonce, "another token"]
    hidden += [value for answer in (body, second) for name, value in answer.items() if name.endswith("_token")]
    hidden += [*web.browser.cookies.values(), "sandbox"]
    assert [value for value in hidden if value in text] == []


def test_memory_is_bounded_in_time_and_number_and_takes_once() -> None:
    memory: Remembered[int] = Remembered(lifetime=10, most=3)
    for number in range(5):
        memory.keep(str(number), number, now=number)
    assert len(memory) == 3
    assert [memory.find(str(number), now=5) for number in range(5)] == [None, None, 2, 3, 4]
    assert (memory.take("3", now=5), memory.take("3", now=5)) == (3, None)
    assert memory.find("2", now=11) == 2
    assert memory.find("2", now=12) is None
    memory.keep("4", 40, now=12)
    assert (len(memory), memory.find("4", now=21)) == (1, 40)


def test_memory_holds_no_secret() -> None:
    memory: Remembered[int] = Remembered(lifetime=10, most=3)
    memory.keep("s3cret", 1, now=0)
    assert "s3cret" not in repr(vars(memory))


def test_what_every_browser_asks_for_is_not_told_in_the_log(web: Site) -> None:
    assert web.browser.get(f"http://127.0.0.1:{web.sandbox.port}/favicon.ico").status_code == 204
    assert web.log == []


@pytest.mark.parametrize("path", ["/auth", "/session/end", "/me", "/token/revocation", "/request"])
def test_a_host_header_of_another_server_is_refused_at_every_endpoint(web: Site, path: str) -> None:
    response = httpx.get(web.url(path), headers={"Host": "elsewhere.example"})
    assert response.status_code == 421
