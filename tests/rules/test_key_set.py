"""A JWK Set that is published: what a provider trips over is found, and nothing else."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banno_creds.jose.encoding import base64url
from banno_creds.jose.key_set import KeySet, public_jwk
from banno_creds.jose.keys import generate
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Rule, Verdict
from banno_creds.rules.key_set import MOST_BYTES, MOST_KEYS, judge_jwk, judge_key_set, judge_presence
from banno_creds.rules.lint import load_registration
from tests.rules.odd_sets import ODD, ed25519_jwk, jwk_of, jwks, mine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

FAULTS = (Verdict.FAIL, Verdict.WARN)


@pytest.mark.parametrize("name", ODD)
def test_each_odd_set_has_its_faults_and_no_other(name: str) -> None:
    odd = ODD[name]
    findings = judge_key_set(odd.make(mine(odd.key)), "jwks.json").findings
    assert {each.rule: str(each.verdict) for each in findings if each.verdict in FAULTS} == odd.faults
    for finding in findings:
        if finding.verdict in FAULTS:
            assert finding.received
            assert finding.expected
            assert finding.fix
            assert "c2VjcmV0" not in str(finding)
            assert len(finding.received) < 250


def test_a_set_that_is_built_here_has_no_fault() -> None:
    key_set = KeySet().add(mine("rsa").public, "PS256").add(mine("ec").public)
    judged = judge_key_set(key_set.text().encode(), "jwks.json")
    assert all(each.verdict is Verdict.PASS for each in judged.findings)
    assert [key.usable for key in judged.keys] == [True, True]
    assert not judged.leaks


def test_a_leaked_key_is_named_loudly() -> None:
    judged = judge_key_set(jwks({**public_jwk(mine("ec").public), "d": "c2VjcmV0"}), "jwks.json")
    (leak,) = [each for each in judged.findings if each.rule == Rule.REGISTRATION_PRIVATE_KEY]
    assert judged.leaks
    assert leak.received.startswith("THIS KEY IS LEAKED: the private member d (not shown)")
    assert mine("ec").public.thumbprint() in leak.received
    assert leak.fix.startswith("replace this key now")


def test_what_a_provider_passes_over_is_told_and_is_no_fault() -> None:
    judged = judge_key_set(jwks(ed25519_jwk(), jwk_of(mine("rsa"))), "jwks.json")
    told = {each.looks_at: each.received for each in judged.findings}
    assert "passes it over" in told["key 1"]
    assert told["key 2"].startswith("RSA 2048 · kid ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"keys": [\n  {"a": 1},\n]}', "a comma after the last member, at line 3, column 1"),
        ('{"keys": [\n  {"a": 1 "b": 2}\n]}', "at line 2, column 11"),
        ('{"keys": [{"a": 1,}]}', "a comma after the last member"),
    ],
)
def test_a_fault_of_json_is_told_with_its_place(text: str, words: str) -> None:
    (finding,) = judge_key_set(text.encode(), "jwks.json").findings
    # Where a comma too many is, versions of Python see otherwise.
    assert words.split(", at line")[0] in finding.received
    assert "line" in finding.received


def test_a_key_is_in_the_set_or_not() -> None:
    key = mine("rsa").public
    judged = judge_key_set(jwks(ed25519_jwk(), jwk_of(mine("rsa"))), "jwks.json")
    (found,) = judge_presence(judged, key, "mine.pem")
    assert (found.verdict, found.received) == (Verdict.PASS, "mine.pem is key 2, RSA 2048")
    (missing,) = judge_presence(judged, mine("ec").public, "other.pem")
    assert (missing.rule, missing.verdict) == (Rule.REGISTRATION_KEY_MISMATCH, Verdict.FAIL)
    assert mine("ec").public.thumbprint() in missing.received


def test_a_key_that_is_there_twice_counts_if_the_provider_can_use_one() -> None:
    judged = judge_key_set(jwks(jwk_of(mine("rsa"), use="enc"), jwk_of(mine("rsa"))), "jwks.json")
    (found,) = judge_presence(judged, mine("rsa").public, "mine.pem")
    assert (found.verdict, found.received) == (Verdict.PASS, "mine.pem is key 2, RSA 2048")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"e": "AQ"}, "the public exponent 1: nobody can verify by it, or anybody can sign"),
        ({"e": "AQAA"}, "the public exponent 65536: nobody can verify by it, or anybody can sign"),
        ({"e": base64url(b"\1" + bytes(8))}, "an even public exponent: nobody can verify by it"),
        ({"n": base64url(b"\1" + bytes(2047) + b"\1")}, "an RSA modulus of 16385 bits that makes no key"),
    ],
)
def test_numbers_that_make_no_key_are_named(members: dict[str, str], words: str) -> None:
    judged = judge_jwk(jwk_of(mine("rsa"), **members), "key 1")
    assert [(each.rule, each.verdict) for each in judged.findings] == [(Rule.JWKS_KEY_MALFORMED, Verdict.FAIL)]
    assert judged.findings[0].received.startswith(words)


def test_what_is_odd_in_a_number_is_named() -> None:
    n = mine("rsa").public.jwk()["n"]
    for odd, words in ((f"{n}==", "n with padding (=) in it"), (f" {n}", "n with white space, + or / in it")):
        [finding] = judge_jwk(jwk_of(mine("rsa"), n=odd), "key 1").findings
        assert finding.received.startswith(words)


def test_a_public_key_is_no_certificate() -> None:
    [finding] = judge_jwk(jwk_of(mine("rsa"), x5c=[b64encode(mine("rsa").public.spki()).decode()]), "key 1").findings
    assert finding.received.startswith("x5c that holds no certificate that can be read")


def test_nothing_is_told_of_the_keys_of_what_is_no_json_to_a_provider() -> None:
    judged = judge_key_set(jwks(jwk_of(mine("rsa"), x=float("nan"))), "jwks.json")
    assert judged.is_unreadable
    assert [each.received for each in judged.findings] == ["no JSON: NaN or Infinity"]


def test_of_a_text_that_is_no_set_nothing_can_be_told() -> None:
    (finding,) = judge_presence(judge_key_set(b"<html>", "jwks.json"), mine("rsa").public, "mine.pem")
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, "the set cannot be read")


def test_a_key_that_is_there_and_cannot_be_used_is_a_fault() -> None:
    judged = judge_key_set(jwks(jwk_of(mine("rsa"), use="enc"), jwk_of(mine("ec"))), "jwks.json")
    (finding,) = judge_presence(judged, mine("rsa").public, "mine.pem")
    assert finding.verdict is Verdict.FAIL
    assert "cannot use" in finding.received


def test_a_kid_that_banno_creds_does_not_send_is_a_warning() -> None:
    judged = judge_key_set(jwks(jwk_of(mine("rsa"), kid="2024-01")), "jwks.json")
    found, kid = judge_presence(judged, mine("rsa").public, "mine.pem")
    assert found.verdict is Verdict.PASS
    assert (kid.rule, kid.verdict) == (Rule.KID_UNKNOWN, Verdict.WARN)
    assert mine("rsa").public.thumbprint() in kid.expected


def test_a_leaked_key_is_found_by_its_private_half_too() -> None:
    judged = judge_key_set(jwks(jwk_of(mine("rsa"), d="c2VjcmV0")), "jwks.json")
    (finding,) = judge_presence(judged, mine("rsa").public, "mine.pem")
    assert finding.verdict is Verdict.FAIL


@pytest.mark.parametrize("operations", [["sign"], ["verify", "sign"], ["verify", "verify"], [], "verify", None, [1]])
def test_a_key_that_is_not_to_verify_alone_is_a_fault(operations: object) -> None:
    judged = judge_jwk(jwk_of(mine("rsa"), key_ops=operations), "key 1")
    assert [(each.rule, each.verdict) for each in judged.findings] == [
        (Rule.REGISTRATION_KEY_TYPE, Verdict.FAIL),
    ]
    assert not judged.usable
    assert judge_jwk(jwk_of(mine("rsa"), key_ops=["verify"]), "key 1").usable


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ("kty", "crv", "n", "e", "x", "y", "d", "k", "kid", "use", "alg", "key_ops", "x5c", "pub")
VALUES = JSON | st.sampled_from(["RSA", "EC", "OKP", "AKP", "oct", "P-256", "sig", "AQAB", "AQ", "AAAA", "P-384"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(MEMBERS), VALUES) | JSON, max_size=4))
def test_any_set_is_judged(members: list[Any]) -> None:
    judged = judge_key_set(json.dumps({"keys": members}).encode("utf-8", "surrogatepass"), "jwks.json")
    assert judged.findings
    judge_presence(judged, mine("ec").public, "mine.pem")


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(content: bytes) -> None:
    assert judge_key_set(content, "jwks.json").findings


@pytest.mark.parametrize("name", ["kid is a number", "zero in front of n", "x5c of another key", "as it should be"])
def test_a_registered_set_is_judged_by_the_same_rules(name: str, tmp_path: Path) -> None:
    odd = ODD[name]
    file = tmp_path / "jwks.json"
    file.write_bytes(odd.make(mine(odd.key)))
    found = {str(each.rule): str(each.verdict) for each in load_registration(str(file), 1, None).findings}
    assert {rule: verdict for rule, verdict in found.items() if rule.startswith("jwks.")} == {
        rule: verdict for rule, verdict in odd.faults.items() if rule != "jwks.empty"
    }


def test_a_registered_key_that_is_no_set_is_judged_as_before(tmp_path: Path) -> None:
    file = tmp_path / "public.pem"
    file.write_bytes(mine("rsa").public.pem())
    assert not [each for each in load_registration(str(file), 1, None).findings if each.rule.startswith("jwks.")]


def test_what_a_provider_like_the_vendors_publishes_has_no_fault() -> None:
    """As login.jackhenry.com and other servers of oidc-provider write their own keys."""
    rsa = {"kty": "RSA", "use": "sig", "kid": "K3Yx", "e": "AQAB", "n": mine("rsa").public.jwk()["n"]}
    ec = {"kty": "EC", "use": "sig", "kid": "b2qP", **mine("ec").public.jwk(), "alg": "ES256"}
    judged = judge_key_set(jwks({**rsa, "alg": "PS256"}, ec, ed25519_jwk()), "jwks")
    assert {each.verdict for each in judged.findings} == {Verdict.PASS}


def test_the_limits_in_the_text_are_those_of_the_code() -> None:
    assert f"{MOST_BYTES // 1024} KiB" in EXPLANATIONS["jwks.size"].cause
    many = judge_key_set(jwks(*[jwk_of(generate("ec")) for _ in range(2)] * (MOST_KEYS // 2 + 1)), "jwks.json")
    assert len(many.keys) == MOST_KEYS
    for size, verdict in ((MOST_BYTES, Verdict.PASS), (MOST_BYTES + 1, Verdict.WARN)):
        judged = judge_key_set(jwks(jwk_of(mine("rsa"))).ljust(size), "jwks.json")
        assert [each.verdict for each in judged.findings if each.rule == Rule.JWKS_SIZE] == [verdict]
