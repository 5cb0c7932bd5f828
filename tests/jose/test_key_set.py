"""A JWK Set that is published: what it is made of, and that a change of it changes nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banno_creds.errors import ConfigurationError
from banno_creds.jose import keys
from banno_creds.jose.encoding import base64url, base64url_decode
from banno_creds.jose.jwks import public_key_of
from banno_creds.jose.key_set import KeySet, private_members, public_jwk, read_key_set, thumbprint_of

if TYPE_CHECKING:
    from collections.abc import Mapping

RSA = keys.generate("rsa").public
EC = keys.generate("ec").public
OTHER = keys.generate("ec").public

# RFC 7638 section 3.1.
OF_RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
    "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def the_set(*jwks: Mapping[str, Any]) -> KeySet:
    return read_key_set(json.dumps({"keys": jwks}).encode(), "jwks.json")


def test_a_public_jwk_has_what_a_provider_looks_for() -> None:
    assert list(public_jwk(RSA, "PS256")) == ["kty", "kid", "use", "alg", "n", "e"]
    assert list(public_jwk(EC)) == ["kty", "kid", "use", "crv", "x", "y"]
    jwk = public_jwk(RSA, "PS256")
    assert (jwk["kid"], jwk["use"], jwk["alg"]) == (RSA.thumbprint(), "sig", "PS256")
    assert keys.PublicKey(public_key_of(jwk)).spki() == RSA.spki()  # type: ignore[arg-type]


def test_a_new_set_is_indented_and_has_each_key_once() -> None:
    text = KeySet().add(RSA, "PS256").add(EC).add(RSA, "RS256").text()
    assert json.loads(text) == {"keys": [public_jwk(RSA, "PS256"), public_jwk(EC)]}
    assert text == json.dumps(json.loads(text), indent=2) + "\n"


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    assert thumbprint_of(OF_RFC_7638) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    # RFC 8037 appendix A.3.
    ed25519 = {"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint_of(ed25519) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    for jwk in (public_jwk(RSA), public_jwk(EC)):
        assert thumbprint_of(jwk) == jwk["kid"]


@pytest.mark.parametrize(
    "jwk",
    [{}, {"kty": "RSA"}, {"kty": "RSA", "n": [5], "e": "AQAB"}, {"kty": ["RSA"]}, {"kty": "RSA", "n": "!", "e": "A"}],
)
def test_what_names_no_key_has_no_thumbprint(jwk: dict[str, Any]) -> None:
    assert thumbprint_of(jwk) is None


def test_a_key_that_is_written_otherwise_is_the_same_key() -> None:
    jwk = public_jwk(RSA)
    with_zero = base64url(b"\0" + base64url_decode(jwk["n"]))
    for other in ({**jwk, "n": with_zero}, {**jwk, "n": jwk["n"] + "=="}, {**jwk, "kid": "mine", "use": "enc"}):
        before = the_set(other)
        assert before.find(RSA) == other
        assert before.add(RSA, "PS256") is before
        assert before.remove(RSA).keys == ()


def test_a_key_is_removed_by_its_kid_its_thumbprint_or_itself() -> None:
    named = {**public_jwk(RSA), "kid": "2024-01"}
    nameless = {name: value for name, value in public_jwk(EC).items() if name != "kid"}
    before = the_set(named, nameless, public_jwk(OTHER))
    assert before.remove("2024-01").keys == (nameless, public_jwk(OTHER))
    assert before.remove(EC.thumbprint()).keys == (named, public_jwk(OTHER))
    assert before.remove(OTHER).keys == (named, nameless)
    assert before.remove("2025-01") is before
    assert before.remove(keys.generate("ec").public) is before
    assert before.remove("2024-01").remove("2024-01").keys == (nameless, public_jwk(OTHER))


def test_a_kid_of_two_keys_removes_neither() -> None:
    before = the_set({**public_jwk(RSA), "kid": "1"}, {**public_jwk(EC), "kid": "1"})
    with pytest.raises(ConfigurationError, match="2 keys with the kid 1"):
        before.remove("1")
    assert before.remove(RSA).keys == before.keys[1:]
    twice = {**public_jwk(RSA), "kid": "1"}
    assert the_set(twice, twice).remove("1").keys == ()


def test_a_kid_is_never_given_to_a_second_key() -> None:
    with pytest.raises(ConfigurationError, match="another key under the kid"):
        the_set({**public_jwk(EC), "kid": RSA.thumbprint()}).add(RSA)


FORMS = {
    "two blanks": lambda value: json.dumps(value, indent=2),
    "four blanks": lambda value: json.dumps(value, indent=4) + "\n",
    "tabs": lambda value: json.dumps(value, indent="\t") + "\n",
    "Windows": lambda value: json.dumps(value, indent=2).replace("\n", "\r\n") + "\r\n",
    "one line": lambda value: json.dumps(value) + "\n",
    "compact": lambda value: json.dumps(value, separators=(",", ":")),
    "tight and indented": lambda value: json.dumps(value, indent=1, separators=(",", ":")),
    "as UTF-8": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
}


@pytest.mark.parametrize("form", FORMS)
def test_order_foreign_members_and_form_stay(form: str) -> None:
    foreign = {"x-owner": {"b": [1, 2.5, None], "a": []}, **OF_RFC_7638, "kid": "ünïcode 日", "crv": ""}
    before = FORMS[form]({"version": 3, "keys": [foreign, public_jwk(EC), {"kty": "new"}], "issuer": "https://x"})
    read = read_key_set(before.encode(), "jwks.json")
    assert read.text() == before
    changed = read.add(RSA, "PS256")
    members = json.loads(before)
    assert changed.text() == FORMS[form]({**members, "keys": [*members["keys"], public_jwk(RSA, "PS256")]})
    assert changed.remove(RSA).text() == before
    assert changed.add(RSA).text() == changed.text()


def test_half_a_character_in_a_foreign_member_can_be_written() -> None:
    read = read_key_set('{"ü": "\\ud83d", "keys": []}'.encode(), "jwks.json")
    assert json.loads(read.add(EC).text().encode()) == {"ü": "\ud83d", "keys": [public_jwk(EC)]}


PRIVATE = [
    {"kty": "RSA", "d": "c2VjcmV0"},
    {"kty": "RSA", "oth": [{"r": "c2VjcmV0"}]},
    {"kty": "EC", "d": "c2VjcmV0"},
    {"kty": "oct", "k": "c2VjcmV0"},
    {"kty": "AKP", "priv": "c2VjcmV0"},
    {"kty": "RSA", "x-pem": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"},
]


@pytest.mark.parametrize("jwk", PRIVATE)
def test_nothing_private_is_ever_written(jwk: dict[str, Any]) -> None:
    before = the_set({**jwk, "kid": "leaked"}, public_jwk(EC))
    with pytest.raises(ConfigurationError, match="private") as raised:
        before.add(RSA).text()
    assert "c2VjcmV0" not in str(raised.value) + str(raised.value.hint)
    assert json.loads(before.remove("leaked").text()) == {"keys": [public_jwk(EC)]}


def test_members_that_say_nothing_are_not_private() -> None:
    assert private_members({"kty": "RSA", "d": None, "p": "", "oth": []}) == ()
    assert private_members({"kty": "RSA", "d": "AQAB", "qi": "AQAB"}) == ("d", "qi")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b'\xef\xbb\xbf{"keys": []}', "byte order mark"),
        ('{"keys": []}'.encode("utf-16"), "is not UTF-8"),
        (b'{"keys": [], "keys": []}', "'keys' more than once"),
        (b'{"keys": [{"kid": "1", "kid": "2"}]}', "'kid' more than once"),
        (b'{"keys": [],}', "is not JSON"),
        (b'{"keys": [' + b"[" * 200 + b"]" * 200 + b"]}", "nested"),
        (b"[" * 100_000, "nested"),
        (b'{"keys": [NaN]}', "NaN"),
        (b'{"keys": [1' + b"0" * 5000 + b"]}", "number"),
        (b'{"keys": {}}', "no array"),
        (b'{"keys": [null]}', "no array"),
        (b"{}", "no member keys"),
        (b'{"kty": "RSA"}', "one JWK"),
        (b"[]", "array"),
        (b"null", "null"),
        (b"-----BEGIN PUBLIC KEY-----", "is not JSON"),
        (b'{"keys": []}' + b" " * 1024 * 1024, "larger than"),
    ],
)
def test_what_is_no_set_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        read_key_set(content, "jwks.json")
    assert "jwks.json" in str(raised.value)
    assert raised.value.hint


@given(st.binary(max_size=200))
def test_any_bytes_are_a_set_or_an_error(content: bytes) -> None:
    try:
        read_key_set(b'{"keys": [' + content + b"]}", "jwks.json").text()
    except ConfigurationError:
        return
