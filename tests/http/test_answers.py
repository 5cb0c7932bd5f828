"""Servers as they are: what is read of an answer and what is not, and what they say of a fault in any shape."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.errors import BannoCredsError, NetworkError, RefusedError, UnusableAnswerError
from banno_creds.http.answers import read_members, read_object
from banno_creds.http.client import HttpClient
from banno_creds.http.discovery import read_json
from banno_creds.http.exchange import Answer
from banno_creds.tokens.response import read_answer
from tests.conftest import CLIENT_ID, Cli, Result
from tests.servers.raw import GRANTED, RawServer, reply, sends

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.once


TOKEN = "an-opaque-token"
BODY = json.dumps(GRANTED).encode()
JSON = "application/json"
URL = "https://bank.example/token"


def answer(body: bytes, kind: str = JSON, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(URL, status, "Reason", {"content-type": kind, **(headers or {})}, body, 0.1)


def refusal(body: bytes | object, kind: str = JSON, status: int = 400, **headers: str) -> RefusedError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RefusedError) as caught:
        read_object(answer(content, kind, status, named), {})
    return caught.value


# ── What is taken ───────────────────────────────────────────────────────────────────────────────────────────────

BOM = b"\xef\xbb\xbf"
TAKEN: Mapping[str, tuple[bytes, str]] = {
    "plain": (BODY, JSON),
    "UTF-8 BOM": (BOM + BODY, JSON),
    "two BOMs": (BOM + BOM + BODY, JSON),
    "BOM and blank lines": (BOM + b"\r\n\r\n \t" + BODY + b"\r\n\0\0", JSON),
    "UTF-16 with BOM": (BODY.decode().encode("utf-16"), JSON),
    "UTF-16 big endian": (BODY.decode().encode("utf-16-be"), JSON),
    "UTF-32": (BODY.decode().encode("utf-32"), JSON),
    "Latin-1 in another member": (BODY[:-1] + b', "note": "f\xfcr"}', JSON),
    "a charset that is right": (BODY[:-1] + b', "note": "f\xfcr"}', f"{JSON}; charset=ISO-8859-1"),
    "a charset that is wrong": (BODY[:-1] + ', "note": "für"}'.encode(), f'{JSON};charset="us-ascii"'),
    "a charset that is none": (BODY, f"{JSON}; charset=klingon"),
    "a charset that unpacks": (BODY[:-1] + b', "note": "\xfc"}', f"{JSON}; charset=unicode_escape"),
    "HTML by its label": (BODY, "text/html; charset=utf-8"),
    "text by its label": (BODY, "text/plain"),
    "no label": (BODY, ""),
    "a label that is none": (BODY, "json"),
    "a form's label": (BODY, "application/x-www-form-urlencoded"),
    "another JSON type": (BODY, "application/vnd.bank+json;v=1"),
    "a guard against scripts": (b")]}',\n" + BODY, JSON),
    "an endless loop before it": (b"while(1);" + BODY, JSON),
    "another endless loop": (b"for (;;);" + BODY, "text/javascript"),
    "a form, as GitHub sends it": (b"access_token=an-opaque-token&scope=a%2Cb&token_type=bearer", "text/html"),
    "a form by its label": (
        b"access_token=an-opaque-token&token_type=Bearer&expires_in=600\n",
        "application/x-www-form",
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_token_that_came_is_never_lost(name: str) -> None:
    body, kind = TAKEN[name]
    response = read_answer(answer(body, kind), 1000, {})
    assert response.access_token == TOKEN
    assert response.token_type.lower() == "bearer"


REFUSED: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "with an empty answer"),
    "JSONP": (b"callback(" + BODY + b")", "it is not JSON"),
    "two objects": (BODY + BODY, "it is not JSON (Extra data"),
    "a member twice": (BODY[:-1] + b', "access_token": "b"}', "more than once"),
    "single quotes": (BODY.replace(b'"', b"'"), "it is not JSON"),
    "an array": (b"[" + BODY + b"]", "an array and not an object"),
    "JSON in a string": (json.dumps(BODY.decode()).encode(), "a string and not an object"),
    "a form with a member twice": (b"access_token=a&access_token=b", "it is not JSON"),
    "a form of something else": (b"user=a&password=b", "it is not JSON"),
    "a form in a sentence": (b"access_token=an-opaque-token x", "it is not JSON"),
    "no bytes of text": (b"\xff" + BODY, "it is not UTF-8 text"),
    "NaN": (BODY[:-1] + b', "n": NaN}', "NaN, which is not JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_doubtful_is_refused_and_not_shown(name: str) -> None:
    body, words = REFUSED[name]
    with pytest.raises(UnusableAnswerError) as caught:
        read_answer(answer(body), 1000, {})
    assert words in caught.value.message
    assert TOKEN not in f"{caught.value.message} {caught.value.details}"


@pytest.mark.parametrize(
    ("members", "name", "value"),
    [
        ({"expires_in": "600"}, "expires_in", 600),
        ({"expires_in": " 600 "}, "expires_in", 600),
        ({"expires_in": "599.9"}, "expires_in", 599),
        ({"expires_in": 599.9}, "expires_in", 599),
        ({"expires_in": "1e3"}, "expires_in", 1000),
        ({"expires_in": -5}, "expires_in", None),
        ({"expires_in": "nan"}, "expires_in", None),
        ({"expires_in": "inf"}, "expires_in", None),
        ({"expires_in": ""}, "expires_in", None),
        ({"expires_in": None}, "expires_in", None),
        ({"expires_in": 10**30}, "expires_in", None),
        ({"expires_in": 1795276861}, "expires_in", None),  # a date
        ({"expires_in": "3600s"}, "expires_in", 3600),
        ({"access_token": f"Bearer {TOKEN}"}, "access_token", TOKEN),
        ({"access_token": f" {TOKEN}\n"}, "access_token", TOKEN),
        ({"scope": ["a", "b"]}, "scope", "a b"),
        ({"scope": []}, "scope", None),
        ({"scope": ""}, "scope", None),
        ({"scope": None}, "scope", None),
        ({"token_type": None}, "token_type", ""),
        ({"token_type": "BEARER"}, "token_type", "BEARER"),
        ({"error": ""}, "access_token", TOKEN),
        ({"error": None}, "access_token", TOKEN),
        ({"error": False, "error_description": ""}, "access_token", TOKEN),
        ({"error": []}, "access_token", TOKEN),
    ],
)
def test_members_are_taken_for_what_they_can_mean(members: dict[str, Any], name: str, value: object) -> None:
    response = read_answer(answer(json.dumps(GRANTED | members).encode()), 1000, {})
    assert getattr(response, name) == value
    assert response.raw == GRANTED | members  # the result is as it was sent


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 5000])
def test_a_number_beyond_all_bounds_takes_no_token_with_it(number: bytes) -> None:
    response = read_answer(answer(BODY.replace(b"600", number)), 1000, {})
    assert (response.access_token, response.expires_in) == (TOKEN, None)


@pytest.mark.parametrize("name", ["refresh_token", "id_token", "scope", "expires_in", "token_type", "error"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_empty_are_absent(name: str, nothing: object) -> None:
    response = read_answer(answer(json.dumps(GRANTED | {name: nothing}).encode()), 1000, {})
    assert name not in response.members


@pytest.mark.parametrize("nothing", ["null", '""'])
def test_null_and_empty_are_absent_in_a_document(nothing: str) -> None:
    body = f'{{"issuer": "i", "jwks_uri": {nothing}, "scopes_supported": {nothing}, "keys": []}}'.encode()
    assert read_json(answer(BOM + body), "a document", "discovery.missing") == {"issuer": "i", "keys": []}


def test_words_of_other_bytes_are_read_as_far_as_they_go() -> None:
    assert read_members(answer(b'{"a": "f\xfcr"}')) == {"a": "f\ufffdr"}
    assert read_members(answer(b'{"a": "f\xfcr"}', f"{JSON}; charset=windows-1252")) == {"a": "für"}


# ── Compression ─────────────────────────────────────────────────────────────────────────────────────────────────


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


ENCODED: Mapping[str, tuple[bytes, str | None]] = {
    "none": (BODY, "none"),
    "utf-8": (BODY, "utf-8"),
    "empty": (BODY, ""),
    "identity": (BODY, "Identity"),
    "a list of nothing": (BODY, "identity, , none"),
    "8bit": (BODY, "8bit"),
    "br by its label alone": (BODY, "br"),
    "chunked": (BODY, "aws-chunked"),
    "gzip in capitals": (gzip.compress(BODY), "GZip"),
    "x-gzip": (gzip.compress(BODY), "x-gzip"),
    "gzip that is zlib": (zlib.compress(BODY), "gzip"),
    "deflate": (zlib.compress(BODY), "deflate"),
    "raw deflate": (raw_deflate(BODY), "deflate"),
    "deflate that is gzip": (gzip.compress(BODY), "deflate"),
    "twice": (gzip.compress(zlib.compress(BODY)), "deflate, gzip"),
    "gzip twice": (gzip.compress(gzip.compress(BODY)), "gzip"),
    "gzip twice without a label": (gzip.compress(gzip.compress(BODY)), None),
    "gzip and a character set": (gzip.compress(BODY), "gzip, utf-8"),
    "gzip without a label": (gzip.compress(BODY), None),
}


@pytest.mark.parametrize("name", ENCODED)
def test_a_token_is_unpacked_whatever_the_label_says(name: str) -> None:
    body, label = ENCODED[name]
    headers = [] if label is None else [f"content-encoding: {label}"]
    with RawServer(sends(reply(body, *headers))) as server, HttpClient(10) as http:
        assert read_answer(http.get(server.url()), 1000, {}).access_token == TOKEN


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (b"\x8b\x2a\x80" + b"\x01\x02" * 40, "br"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "zstd"),
        (gzip.compress(BODY)[:-9], "gzip"),
        (BODY, "gzip"),
        (b"\x00\x01\x02", "deflate"),
        (raw_deflate(BODY)[:-4], "deflate"),
    ],
    ids=["br", "zstd", "cut off", "not packed", "neither", "raw, cut off"],  # gzip writes the time into its bytes
)
def test_what_cannot_be_unpacked_is_said(body: bytes, label: str) -> None:
    with (
        RawServer(sends(reply(body, f"content-encoding: {label}"))) as server,
        HttpClient(10) as http,
        pytest.raises(NetworkError) as caught,
    ):
        http.get(server.url())
    assert "compressed in a way that cannot be read" in caught.value.message
    assert caught.value.details == (f"200, content-encoding {label}",)


# ── What a server says of a fault ───────────────────────────────────────────────────────────────────────────────

# The body, the OAuth error code that it comes to, and the words of it.
SHAPES: Mapping[str, tuple[object, str | None, str]] = {
    "OAuth": ({"error": "invalid_client", "error_description": "no"}, "invalid_client", "no"),
    "OAuth in Latin-1": (b'{"error": "invalid_client", "error_description": "f\xfcr"}', "invalid_client", "f\ufffdr"),
    "OAuth after a BOM": (BOM + b'{"error": "invalid_client"}', "invalid_client", ""),
    "OAuth with a message": ({"error": "invalid_client", "message": "no"}, "invalid_client", "no"),
    "OAuth in capitals": ({"error": "Invalid_Client"}, "invalid_client", ""),
    "OAuth in a form": (b"error=invalid_client&error_description=not+here", "invalid_client", "not here"),
    "Apigee's older": ({"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}, "invalid_client", "ClientId"),
    "Apigee": (
        {"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "oauth.v2.InvalidApiKey"}}},
        None,
        "oauth.v2.InvalidApiKey — Invalid ApiKey",
    ),
    "Okta's API": (
        {"errorCode": "E0000011", "errorSummary": "Invalid token", "errorCauses": [{"errorSummary": "old"}]},
        None,
        "E0000011 — Invalid token — old",
    ),
    "errorMessage": ({"errorMessage": "Client inactive"}, None, "Client inactive"),
    "Google": ({"error": {"code": 403, "message": "Denied", "status": "X"}}, None, "code 403 — Denied"),
    "a code inside": ({"error": {"code": "invalid_client", "message": "gone"}}, "invalid_client", "gone"),
    "a list": ({"errors": [{"code": "A1", "message": "first"}, "second"]}, None, "A1 — first — second"),
    "problem+json": ({"type": "about:blank", "title": "Bad", "detail": "Too old"}, None, "Bad — Too old"),
    "a gateway": ({"Message": "Forbidden"}, None, "Forbidden"),
    "Spring": ({"status": 401, "error": "Unauthorized", "message": "Full auth", "path": "/"}, "Unauthorized", "Full"),
    "the vendor's": ({"errorCode": 40}, None, "errorCode 40"),
    "a text": (b'"Client is disabled"', None, "Client is disabled"),
    "an array": (["Client is disabled"], None, "Client is disabled"),
    "no label, text": (b"Client is disabled", None, "Client is disabled"),
    "SOAP": (
        b"<?xml version='1.0'?><s:Envelope><s:Fault><faultstring>No such client</faultstring></s:Fault></s:Envelope>",
        None,
        "No such client",
    ),
    "WSO2": (
        b"<f:fault xmlns:f='x'><f:code>900901</f:code><f:message>Invalid Credentials</f:message></f:fault>",
        None,
        "900901 Invalid Credentials",
    ),
    "Hydra's hint": (
        {"error": "invalid_client", "error_description": "failed", "error_hint": "The client does not exist."},
        "invalid_client",
        "failed — The client does not exist.",
    ),
    "IBM": (
        {"httpCode": "401", "httpMessage": "Unauthorized", "moreInformation": "Client id not registered."},
        None,
        "Unauthorized — Client id not registered.",
    ),
    "FastAPI": (
        {"detail": [{"loc": ["body", "client_secret"], "msg": "field required", "type": "value_error.missing"}]},
        None,
        "body client_secret: field required",
    ),
    "by field": ({"errors": {"client_id": ["is invalid"], "n": 7}}, None, "client_id: is invalid"),
    "wrapped": ({"data": {"error": "invalid_client", "error_description": "gone"}}, None, "invalid_client — gone"),
    "a code in an array": ({"error": ["invalid_client"]}, "invalid_client", ""),
    "a URN": ({"error": "urn:ietf:params:oauth:error:invalid_client"}, "invalid_client", ""),
    "a page": (b"<html><title>Sorry</title><body>Blocked by policy</body>", None, "Sorry — Blocked by policy"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("kind", [JSON, "text/html", "text/plain", ""])
def test_an_error_of_any_shape_keeps_its_words(name: str, kind: str) -> None:
    body, code, words = SHAPES[name]
    failure = refusal(body, kind)
    assert failure.error == code
    assert words in " ".join((failure.message, *failure.details))


@pytest.mark.parametrize(
    ("challenge", "code", "words"),
    [
        ('Bearer error="invalid_token", error_description="The token \\"x\\" ended"', "invalid_token", "ended"),
        ('Bearer realm="a", error="insufficient_scope"', "insufficient_scope", ""),
        ('Basic realm="bank"', None, ""),
    ],
)
def test_an_empty_answer_is_told_by_its_challenge(challenge: str, code: str | None, words: str) -> None:
    failure = refusal(b"", "", 401, www_authenticate=challenge)
    assert failure.error == code
    assert words in failure.message


@pytest.mark.parametrize(
    ("status", "error", "again"),
    [(500, "invalid_client", False), (503, "invalid_grant", False), (500, "server_error", True), (503, "", True)],
)
def test_a_refusal_that_comes_with_a_5xx_is_not_tried_again(status: int, error: str, again: bool) -> None:
    with pytest.raises(NetworkError) as caught:
        read_object(answer(json.dumps({"error": error}).encode(), JSON, status), {})
    assert caught.value.retryable is again
    assert (f"the server says: {error}" in caught.value.details) == bool(error)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"data": GRANTED}, "has no access_token at the top, but inside data (its members: data)"),
        ({"result": [GRANTED]}, "has no access_token at the top, but inside result"),
        ({"accessToken": TOKEN}, "has no access_token, but accessToken"),
        ({"access_token": None}, "has no access_token (its members: access_token)"),
        ({"access_token": ""}, "has no access_token (its members: access_token)"),
        ({"access_token": 7}, "has an invalid access_token"),
        ({"access_token": f"{TOKEN} {TOKEN}"}, "has an invalid access_token"),
    ],
)
def test_a_token_that_is_not_where_it_belongs_is_told_and_not_shown(members: dict[str, Any], words: str) -> None:
    with pytest.raises(UnusableAnswerError) as caught:
        read_answer(answer(json.dumps(members).encode()), 1000, {})
    assert words in caught.value.message
    assert TOKEN not in f"{caught.value.message} {caught.value.details}"


@pytest.mark.parametrize(
    ("status", "words", "again"),
    [
        (407, "wants you to log in to it", False),
        (408, "cannot answer now", True),
        (420, "asks to slow down", True),
        (425, "cannot answer now", True),
        (511, "wants you to log in to it", False),
    ],
)
def test_a_status_of_what_stands_between_is_no_refusal(status: int, words: str, again: bool) -> None:
    with pytest.raises(NetworkError) as caught:
        read_object(answer(b"", "", status), {})
    assert words in caught.value.message
    assert caught.value.retryable is again


def test_a_redirect_is_told_without_its_query() -> None:
    for rest in ("?SAMLRequest=abc", f"#access_token={TOKEN}"):
        with pytest.raises(UnusableAnswerError) as caught:
            read_object(answer(b"", "", 302, {"location": f"https://sso.example/in{rest}"}), {})
        assert "redirects to https://sso.example/in, and" in caught.value.message


def test_a_server_that_wants_dpop_is_told_of_with_what_to_do() -> None:
    for code in ("invalid_dpop_proof", "use_dpop_nonce"):
        assert "switch DPoP off" in str(refusal({"error": code}).hint)


def test_words_are_bounded_and_printable() -> None:
    failure = refusal({"errors": [{"message": "\x1b[2J" + "a" * 90_000}] * 1000}, status=403)
    assert len(failure.details[1]) < 260
    assert failure.details[1].isprintable()


def test_deep_errors_end() -> None:
    deep: dict[str, Any] = {"message": "at the bottom"}
    for _ in range(50):
        deep = {"errors": [deep]}
    assert refusal(deep).details[1:] == ()


@pytest.mark.parametrize("endpoint", ["userinfo endpoint", "revocation endpoint"])
@pytest.mark.parametrize(("status", "body"), [(404, b""), (400, b"<html>"), (200, b"<html>"), (200, b""), (302, b"")])
def test_messages_are_about_the_endpoint_that_was_asked(endpoint: str, status: int, body: bytes) -> None:
    with pytest.raises(BannoCredsError) as caught:
        read_object(answer(body, "text/html", status), {}, endpoint)
    said = f"{caught.value.message} {caught.value.hint}"
    assert f"check the {endpoint}'s URL" in said
    assert "token" not in said
    assert "assertion" not in said


# ── From outside ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_result_is_the_token_and_json_as_it_was_sent(cli: Cli, ec_pem: Path) -> None:
    sent = GRANTED | {"scope": "", "refresh_token": None, "error": ""}
    where = ("client-assertion", "-q", "--client-id", CLIENT_ID, "--private-key", ec_pem)
    with RawServer(sends(reply(BOM + json.dumps(sent).encode(), "content-encoding: utf-8"))) as server:
        endpoint = ("--token-endpoint", server.url())
        assert cli(*where, *endpoint) == Result(0, json.dumps(sent) + "\n", "")
        assert cli(*where, *endpoint, "-o", "token") == Result(0, f"{TOKEN}\n", "")
