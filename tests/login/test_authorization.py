"""The authorization request, and the answer that the browser brings back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from banno_creds.errors import ConfigurationError, RefusedError, TokenError
from banno_creds.login.authorization_request import (
    RESERVED_PARAMS,
    AuthorizationRequest,
    claims_parameter,
    read_address,
    read_code,
    with_query,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.once

ISSUER = "https://login.example"
REDIRECT_URI = "https://localhost:8080/auth/cb"


def request(**values: Any) -> AuthorizationRequest:
    return AuthorizationRequest(client_id="client", **values)


def parameters(**values: Any) -> dict[str, str]:
    return dict(request(**values).parameters())


# --- the request ---


def test_request_without_more_has_what_a_login_needs_and_nothing_else() -> None:
    made = request()
    sent = dict(made.parameters())
    assert {name: sent[name] for name in ("response_type", "client_id", "redirect_uri", "scope")} == {
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid profile",
    }
    assert set(sent) - {"response_type", "client_id", "redirect_uri", "scope"} == {
        *("state", "nonce", "code_challenge", "code_challenge_method"),
    }
    assert made.code_verifier not in json.dumps(sent)


def test_challenge_is_the_verifiers_sha_256() -> None:
    # The example of RFC 7636 appendix B.
    made = parameters(code_verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert made["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert made["code_challenge_method"] == "S256"


def test_state_nonce_and_verifier_are_fresh_and_hard_to_guess() -> None:
    made = [request() for _ in range(50)]
    values = [value for each in made for value in (each.state, each.nonce, each.code_verifier)]
    assert len(set(values)) == 150
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43,128}", value) for value in values)


def test_request_shows_neither_state_nor_nonce_nor_verifier() -> None:
    made = request()
    assert not any(value in repr(made) for value in (made.state, made.nonce, made.code_verifier))


def test_everything_that_was_asked_for_is_in_the_request() -> None:
    made = request(
        scope=("openid", "email"),
        resource=("https://a.example", "https://b.example"),
        params=(("institution", "3f85"), ("acr_values", "a b")),
        claims={"id_token": {"email": None}},
        prompt="login consent",
        login_hint="riley@example.com",
        max_age=0,
    ).parameters()
    assert [value for name, value in made if name == "resource"] == ["https://a.example", "https://b.example"]
    sent = dict(made)
    assert sent["scope"] == "openid email"
    assert json.loads(sent["claims"]) == {"id_token": {"email": None}}
    assert (sent["prompt"], sent["login_hint"], sent["max_age"]) == ("login consent", "riley@example.com", "0")
    assert (sent["institution"], sent["acr_values"]) == ("3f85", "a b")


VENDORS_OFFLINE = "https://api.banno.com/consumer/auth/offline_access"


@pytest.mark.parametrize(
    ("scope", "prompt", "sent"),
    [
        ("openid", None, None),
        ("openid offline_access", None, "consent"),
        # Its documentation asks for nothing beside the scope.
        (f"openid {VENDORS_OFFLINE}", None, None),
        ("openid xoffline_access", None, None),
        ("openid offline_access", "", None),
        ("openid offline_access", "  ", None),
        ("openid offline_access", "login", "login"),
        ("openid offline_access", "none", "none"),
        ("openid offline_access", " login   consent login ", "login consent"),
        ("openid", "select_account", "select_account"),
        ("openid", "create", "create"),
    ],
)
def test_prompt_is_what_was_said_and_consent_for_offline_access_where_nothing_was(
    scope: str, prompt: str | None, sent: str | None
) -> None:
    assert parameters(scope=tuple(scope.split()), prompt=prompt).get("prompt") == sent


@pytest.mark.parametrize("scope", [(), ("profile",), ("OpenID",), ("openid2",)])
def test_scope_without_openid_is_refused(scope: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="openid"):
        request(scope=scope)


@pytest.mark.parametrize("name", RESERVED_PARAMS)
def test_parameter_that_would_contradict_the_request_is_refused_without_its_value(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"params {name}=") as failure:
        request(params=((name, "s3cret"),))
    assert "s3cret" not in f"{failure.value} {failure.value.hint}"
    if RESERVED_PARAMS[name]:
        assert RESERVED_PARAMS[name] in str(failure.value.hint)


def test_every_parameter_of_the_request_and_of_the_token_request_is_reserved() -> None:
    made = request(claims={}, prompt="login", login_hint="x", max_age=1, resource=("https://a.example",))
    sent = {name for name, _ in (*made.parameters(), *made.token_form("code"))}
    assert sent <= set(RESERVED_PARAMS)


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "none login"},
        {"max_age": -1},
        {"login_hint": "a\nb"},
        {"prompt": "log\x1bin"},
        {"scope": ("openid", "a\n")},
        {"resource": ("https://a.example\r",)},
        {"params": (("a", "b\n"),)},
    ],
)
def test_invalid_value_is_refused_with_a_hint(values: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as failure:
        request(**values)
    assert failure.value.hint


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        ("https://a.example/auth", "https://a.example/auth?"),
        ("https://a.example/auth?x=1", "https://a.example/auth?x=1&"),
    ],
)
def test_query_of_an_endpoint_is_kept(endpoint: str, start: str) -> None:
    url = with_query(endpoint, (("a", "b c&d=e"), ("ü", "%")))
    assert url.startswith(start)
    assert dict(parse_qsl(urlsplit(url).query)) | {"x": "1"} == {"x": "1", "a": "b c&d=e", "ü": "%"}


def test_code_is_redeemed_with_the_verifier_and_the_same_redirect_uri() -> None:
    made = request(redirect_uri="http://localhost:1/x")
    form = dict(made.token_form("the-code"))
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == dict(made.parameters())["code_challenge"]
    assert form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": "http://localhost:1/x",
        "code_verifier": made.code_verifier,
    }


# --- the claims ---


def test_claims_of_the_file_and_those_by_name_are_one_object() -> None:
    content = b'{"id_token": {"email": {"essential": true}}, "userinfo": {"address": null}}'
    assert claims_parameter(content, ("email", "name"), "f") == {
        "id_token": {"email": {"essential": True}, "name": None},
        "userinfo": {"address": None},
    }
    assert claims_parameter(None, ("email",)) == {"id_token": {"email": None}}
    assert claims_parameter(b'{"userinfo": {}}', (), "f") == {"userinfo": {}}
    assert claims_parameter(None, ()) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"{}", b'{"email": null}', b'{"id_token": []}', b'{"id_token": {}, "userinfo": 1}', b"\xff"],
)
def test_claims_that_are_none_are_refused_by_the_files_name(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"claims\.json is not a claims parameter") as failure:
        claims_parameter(content, (), "claims.json")
    assert "id_token" in str(failure.value.hint)


# --- the answer ---


def test_code_is_taken_from_an_answer_of_the_issuer() -> None:
    assert read_code({"code": "c", "iss": ISSUER}, ISSUER, names_issuer=True) == "c"
    assert read_code({"code": "c"}, ISSUER, names_issuer=False) == "c"


@pytest.mark.parametrize("iss", ["https://other.example", ISSUER + "/", ISSUER.upper(), ""])
@pytest.mark.parametrize("names_issuer", [True, False])
def test_code_of_another_issuer_is_not_taken(iss: str, names_issuer: bool) -> None:
    with pytest.raises(TokenError) as failure:
        read_code({"code": "c0de", "iss": iss}, ISSUER, names_issuer=names_issuer)
    assert failure.value.rule == "authorization.iss.unexpected"
    assert "c0de" not in f"{failure.value} {failure.value.details}"


def test_answer_without_an_issuer_is_not_taken_from_one_that_names_itself() -> None:
    with pytest.raises(TokenError) as failure:
        read_code({"code": "c"}, ISSUER, names_issuer=True)
    assert "received iss: (none)" in failure.value.details


def test_refusal_has_the_servers_words_made_printable() -> None:
    answer = {"error": "access_denied", "error_description": "no\x1b[2J way", "error_uri": "https://e.example/\n"}
    with pytest.raises(RefusedError) as failure:
        read_code(answer, ISSUER, names_issuer=False)
    assert failure.value.error == "access_denied"
    assert failure.value.exit_code == 4
    assert failure.value.message.startswith("the login was refused: access_denied — no")
    assert failure.value.hint
    assert all(text.isprintable() for text in (failure.value.message, *failure.value.details))


@pytest.mark.parametrize("code", [None, "", "a\nb", "ü", "\x00"])
def test_answer_without_a_code_that_can_be_one_is_no_answer(code: str | None) -> None:
    with pytest.raises(TokenError):
        read_code({} if code is None else {"code": code}, ISSUER, names_issuer=False)


def test_answer_is_this_requests_by_its_state_alone() -> None:
    made = request()
    assert made.is_answered_by({"state": made.state})
    for state in ("", made.state[:-1], made.state + "x", made.state.swapcase(), "ü", "\udcff"):
        assert not made.is_answered_by({"state": state})
    assert not made.is_answered_by({})


def test_address_is_read_however_it_was_copied() -> None:
    made = request()
    query = f"code=c%2B1&state={made.state}"
    wanted = {"code": "c+1", "state": made.state}
    for text in (
        f"{REDIRECT_URI}?{query}",
        f'  "{REDIRECT_URI}?{query}"\n',
        f"<{REDIRECT_URI}?{query}>",
        query,
        f"?{query}",
        f"{REDIRECT_URI}?{query}"[:60] + "\n" + f"{REDIRECT_URI}?{query}"[60:],
        f"{REDIRECT_URI}?{query}#",
    ):
        assert read_address(text, made) == wanted


@pytest.mark.parametrize("text", ["", "hello", REDIRECT_URI, "https://[", "http://x?" + "a=1&" * 60, "?state=x"])
def test_address_that_no_login_ends_on_is_refused(text: str) -> None:
    with pytest.raises(TokenError, match="neither a code nor an error"):
        read_address(text, request())
