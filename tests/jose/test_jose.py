"""Base64url and JSON as strict as the RFCs want them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banno_creds.jose.encoding import base64url, base64url_decode, parse_json_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

RFC7515_EXAMPLES = [
    (bytes([3, 236, 255, 224, 193]), "A-z_4ME"),  # appendix C
    (b'{"typ":"JWT",\r\n "alg":"HS256"}', "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"),  # section 3.3
    (
        b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}',
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
    ),
    (b"Payload", "UGF5bG9hZA"),  # appendix A.4
    (b"", ""),
]


@pytest.mark.parametrize(("data", "text"), RFC7515_EXAMPLES)
def test_base64url_examples_of_rfc_7515(data: bytes, text: str) -> None:
    assert base64url(data) == text
    assert base64url_decode(text) == data


@given(st.binary())
def test_base64url_comes_back_as_it_was(data: bytes) -> None:
    assert base64url_decode(base64url(data)) == data


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("A-z_4ME=", "character 8 is not base64url"),
        ("A+z/4ME", "character 2 is not base64url"),
        ("A-z_\n4ME", "character 5 is not base64url"),
        ("A-z_4Mé", "character 7 is not base64url"),
        ("A-z_\ud800", "character 5 is not base64url"),
        ("A-z_4", "its length is impossible: it was cut off, or a character is missing"),
        ("A-z_4MF", "its last character is impossible: it has bits that belong to no byte"),
    ],
)
def test_base64url_takes_nothing_else_and_says_what_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        base64url_decode(text)


@given(st.dictionaries(st.text(), JSON, max_size=3))
def test_json_objects_are_read_as_json_reads_them(members: dict[str, Any]) -> None:
    assert parse_json_object(json.dumps(members)) == members
    assert parse_json_object(json.dumps(members).encode()) == members


def _nested(levels: int) -> str:
    return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'{"a": "\xff"}', "it is not UTF-8 text"),
        ("", "it is not JSON (Expecting value at character 1)"),
        ("{} {}", "it is not JSON (Extra data at character 4)"),
        ("[]", "it is JSON, but an array and not an object"),
        ('"text"', "it is JSON, but a string and not an object"),
        ("1", "it is JSON, but a number and not an object"),
        ("1.5", "it is JSON, but a number and not an object"),
        ("true", "it is JSON, but true or false and not an object"),
        ("null", "it is JSON, but null and not an object"),
        ('{"exp": 1, "exp": 2}', "it has the member 'exp' more than once"),
        ('{"a": {"b": 1, "c": 2, "b": 1}}', "it has the member 'b' more than once"),
        ('{"\\u001b[2J": 1, "\\u001b[2J": 1}', "it has the member '\\x1b[2J' more than once"),
        ('{"a": NaN}', "it holds NaN, which is not JSON"),
        ('{"a": -Infinity}', "it holds -Infinity, which is not JSON"),
        ('{"a": 1e999}', "it holds a number too large to be one"),
        ('{"a": ' + "9" * 4301 + "}", "it holds a number too large to be one"),
        (_nested(101), "it is JSON nested more than 100 levels deep"),
        (_nested(100_000), "it is JSON nested more than 100 levels deep"),
        ('{"a":' * 101 + "1" + "}" * 101, "it is JSON nested more than 100 levels deep"),
    ],
)
def test_json_takes_nothing_else_and_says_what_is_wrong(data: bytes | str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        parse_json_object(data)


@pytest.mark.parametrize(
    "text", [_nested(99), '{"a": ' + "9" * 4300 + "}", '{"a": 1.7e308, "b": -0.0}', '{"a": "\\ud800"}']
)
def test_json_at_its_limits_is_read_and_can_be_written_again(text: str) -> None:
    value = parse_json_object(text)
    assert json.loads(json.dumps(value, indent=2)) == value
