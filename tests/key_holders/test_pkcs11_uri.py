"""RFC 7512's URIs of keys, and what is wrong with some."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banno_creds.errors import KeyLoadError
from banno_creds.key_holders.pkcs11_uri import parse

pytestmark = pytest.mark.posix("the absolute paths are those of POSIX")


def test_an_example_of_the_rfc_is_taken_apart() -> None:
    # Section 3, with type=private in the place of a certificate.
    uri = parse(
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
        "object=my-certificate;type=private;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin"
    )
    assert uri.of_token == {
        "token": "The Software PKCS#11 Softtoken",
        "manufacturer": "Snake Oil, Inc.",
        "model": "1.0",
        "serial": "",
    }
    assert uri.path["object"] == b"my-certificate"
    assert uri.path["id"] == b"i\x95>\\\xf4\xbd\xec\x91"
    assert uri.pin_file == "/etc/token_pin"


def test_names_of_attributes_have_no_case_and_values_may_be_unicode() -> None:
    uri = parse("PKCS11:Token=Schlüssel%C3%BC;SLOT-ID=7?Module-Path=/m.so")
    assert uri.of_token == {"token": "Schlüsselü", "slot-id": "7"}
    assert uri.module == "/m.so"


def test_an_unknown_attribute_of_the_query_is_ignored() -> None:
    assert parse("pkcs11:object=a?x-vendor=1&x-vendor=2&pin-source=/p").pin_file == "/p"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("pkcs11:x-vendor=1;object=a", "it has x-vendor, which is no attribute of RFC 7512"),
        ("pkcs11:object=a;module-path=/m.so", "module-path stands before the ?"),
        ("pkcs11:token=a;label=b", "it has label, which RFC 7512 calls object"),
        ("pkcs11:token=a,object=b", "object follows ,"),
        ("pkcs11:token=a&object=b", "object follows &"),
        ("pkcs11:object=a;object=b", "it has object twice"),
        ("pkcs11:object=a?pin-source=/a&pin-source=/b", "it has pin-source twice"),
        ("pkcs11:object=%4", "% without two hexadecimal digits"),
        ("pkcs11:object=50%", "% without two hexadecimal digits"),
        ("pkcs11:object", "object is no attribute with a value"),
        ("pkcs11:object=a;", "an empty attribute is no attribute with a value"),
        ("pkcs11:obj%65ct=a", "obj%65ct is no attribute"),
        ("pkcs11:token=My Token", "it has a blank in it"),
        ("pkcs11:token=a#b", "it has # in it"),
        ("pkcs11:object=a;type=cert", "it names a cert, and a private key signs"),
        ("pkcs11:slot-id=one", "its slot-id is no number"),
        ("pkcs11:slot-id=²", "its slot-id is no number"),
        ("pkcs11:object=" + "a" * 5000, "more than 4096 characters"),
    ],
)
def test_what_is_wrong_with_a_uri_is_said(uri: str, words: str) -> None:
    with pytest.raises(KeyLoadError) as caught:
        parse(uri)
    assert words in caught.value.message
    assert caught.value.exit_code == 3
    assert caught.value.hint


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("pin-source=|/usr/bin/pinomatic", "no command is run"),
        ("pin-source=%7C/usr/bin/pinomatic", "no command is run"),
        ("pin-source=pin.txt", "no absolute path"),
        ("pin-source=file:pin.txt", "no absolute path"),
        ("pin-source=file://elsewhere/pin.txt", "no absolute path"),
        ("pin-source=https://elsewhere/pin.txt", "no absolute path"),
        ("pin-source=/a%00b", "no absolute path"),
        ("pin-source=", "no absolute path"),
    ],
)
def test_only_a_file_is_a_source_of_a_pin(query: str, words: str) -> None:
    with pytest.raises(KeyLoadError, match=words):
        assert parse(f"pkcs11:object=a?{query}").pin_file


@pytest.mark.parametrize(
    "source", ["/p/pin", "file:/p/pin", "file:///p/pin", "file://localhost/p/pin", "FILE:/p/p%69n"]
)
def test_the_file_of_a_pin_has_several_forms(source: str) -> None:
    assert parse(f"pkcs11:object=a?pin-source={source}").pin_file == "/p/pin"


def test_the_module_is_of_the_uri_or_else_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyLoadError, match="no PKCS #11 module is named") as caught:
        assert parse("pkcs11:object=a").module
    assert "BANNO_CREDS_PKCS11_MODULE" in str(caught.value.hint)
    assert "module-path" in str(caught.value.hint)
    monkeypatch.setenv("BANNO_CREDS_PKCS11_MODULE", "/variable.so")
    assert parse("pkcs11:object=a").module == "/variable.so"
    assert parse("pkcs11:object=a?module-path=/uri.so").module == "/uri.so"
    for odd in ("uri.so", "", "./uri.so", "/a%00b"):
        with pytest.raises(KeyLoadError):
            assert parse(f"pkcs11:object=a?module-path={odd}").module
    monkeypatch.setenv("BANNO_CREDS_PKCS11_MODULE", "libsofthsm2.so")
    with pytest.raises(KeyLoadError, match=r"MODULE is libsofthsm2\.so, which is no absolute path"):
        assert parse("pkcs11:object=a").module


def test_the_name_of_a_module_is_checked_and_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyLoadError, match="no PKCS #11 module is named"):
        assert parse("pkcs11:object=a?module-name=softhsm2").module
    monkeypatch.setenv("BANNO_CREDS_PKCS11_MODULE", "/usr/lib/libsofthsm2.so.2")
    assert parse("pkcs11:object=a?module-name=softhsm2").module == "/usr/lib/libsofthsm2.so.2"
    with pytest.raises(KeyLoadError, match=r"wants the PKCS #11 module opensc-pkcs11 .*names softhsm2"):
        assert parse("pkcs11:object=a?module-name=opensc-pkcs11").module


@given(label=st.binary(min_size=1, max_size=40), key_id=st.binary(min_size=1, max_size=20))
def test_the_uri_of_another_key_says_the_same_of_its_token(label: bytes, key_id: bytes) -> None:
    old = parse("pkcs11:token=a%3Bb%3Fc;object=old;id=%01?pin-source=/p%20q&module-path=/m%26.so")
    new = parse(old.of(label, key_id))
    assert (new.path["object"], new.path["id"]) == (label, key_id)
    assert new.of_token == old.of_token
    assert (new.pin_file, new.module) == ("/p q", "/m&.so")
