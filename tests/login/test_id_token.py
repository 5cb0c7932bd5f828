"""Whether an id_token is the one that was asked for, to the second; whole logins are in `test_login`."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from banno_creds.errors import TokenError
from banno_creds.jose.jwks import keys_of
from banno_creds.login import id_token
from banno_creds.login.id_token import (
    ALGORITHMS,
    TOLERANCE,
    Expected,
    algorithms_of,
    check,
    check_header,
    read,
    verify,
)
from banno_creds.rules.explanations import EXPLANATIONS
from tests.servers.openid_provider import at_hash, signed, unsigned

if TYPE_CHECKING:
    from banno_creds.jose.keys import PrivateKey

pytestmark = pytest.mark.once

NOW = 1_795_276_800
ACCESS_TOKEN = "an access token"
EXPECTED = Expected("https://login.example", "client", "the nonce")
CLAIMS: dict[str, Any] = {
    "iss": EXPECTED.issuer,
    "aud": EXPECTED.client_id,
    "sub": "riley",
    "nonce": EXPECTED.nonce,
    "iat": NOW,
    "exp": NOW + 600,
    "at_hash": at_hash(ACCESS_TOKEN),
}


def look_at(expected: Expected = EXPECTED, **changes: Any) -> None:
    """Check the right claims with changes; None leaves one out."""
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    check(read(unsigned(claims)), expected, ACCESS_TOKEN, NOW)


def rule_of(expected: Expected = EXPECTED, **changes: Any) -> str | None:
    """The rule by which they are refused."""
    with pytest.raises(TokenError) as failure:
        look_at(expected, **changes)
    assert failure.value.exit_code == 6
    assert failure.value.hint
    assert failure.value.rule in EXPLANATIONS
    return failure.value.rule


def test_tolerance_is_the_vendors() -> None:
    assert TOLERANCE == 300


def test_right_claims_are_taken() -> None:
    look_at()
    look_at(at_hash=None)
    look_at(aud=["client"])
    look_at(aud=["client", "other"], azp="client")
    look_at(azp="client")


def test_times_count_to_the_second() -> None:
    look_at(exp=NOW - 299)
    assert rule_of(exp=NOW - 300) == "id_token.expired"
    look_at(iat=NOW + 300)
    assert rule_of(iat=NOW + 301) == "id_token.iat.future"
    look_at(nbf=NOW + 300)
    assert rule_of(nbf=NOW + 301) == "id_token.iat.future"
    recent = EXPECTED._replace(max_age=60)
    look_at(recent, auth_time=NOW - 360)
    assert rule_of(recent, auth_time=NOW - 361) == "id_token.auth_time.too_old"
    assert rule_of(recent) == "id_token.auth_time.too_old"
    look_at(EXPECTED._replace(max_age=0), auth_time=NOW)
    look_at(auth_time=0)  # nobody asked


@pytest.mark.parametrize("value", ["1", True, [1], {}, NOW * 1000, 1e400, -1e400])
@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_time_that_is_no_numeric_date_is_not_taken(claim: str, value: object) -> None:
    with pytest.raises(TokenError):
        look_at(EXPECTED, **{claim: value})


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"iss": "https://login.example/"}, "id_token.iss.unexpected"),
        ({"iss": ["https://login.example"]}, "id_token.iss.unexpected"),
        ({"aud": "Client"}, "id_token.aud.unexpected"),
        ({"aud": []}, "id_token.aud.unexpected"),
        ({"aud": {"client": 1}}, "id_token.aud.unexpected"),
        ({"aud": ["client", "other"]}, "id_token.aud.unexpected"),
        ({"aud": ["client", "client"], "azp": "other"}, "id_token.aud.unexpected"),
        ({"azp": "other"}, "id_token.aud.unexpected"),
        ({"azp": ["client"]}, "id_token.aud.unexpected"),
        ({"nonce": ""}, "id_token.nonce.unexpected"),
        ({"nonce": True}, "id_token.nonce.unexpected"),
        ({"at_hash": ""}, "id_token.at_hash.unexpected"),
        ({"at_hash": at_hash(ACCESS_TOKEN) + "="}, "id_token.at_hash.unexpected"),
    ],
)
def test_claim_that_is_not_as_asked_is_named(changes: dict[str, Any], rule: str) -> None:
    assert rule_of(**changes) == rule


def test_person_of_a_renewal_is_the_one_who_signed_in_and_needs_no_nonce() -> None:
    expected = EXPECTED._replace(nonce=None, subject="riley")
    look_at(expected, nonce=None)
    assert rule_of(expected, sub="mallory") == "id_token.sub.unexpected"


def test_what_differs_is_shown_so_that_it_is_seen() -> None:
    with pytest.raises(TokenError) as failure:
        look_at(aud="сlient")  # a Cyrillic letter
    assert failure.value.details == ('expected aud: "client"', 'received aud: "\\u0441lient"')


@pytest.mark.parametrize(
    ("named", "algorithms"),
    [
        (None, ("RS256",)),
        (["ES256"], ("ES256",)),
        (["none", "HS256", "PS256", "RS256"], ("RS256", "PS256")),
        (["RS512", "EdDSA"], ("RS512", "EdDSA", "Ed25519")),
        (["Ed25519"], ("EdDSA", "Ed25519")),
        (["Ed448", "ES256K", "HS512"], ()),
        ("RS256", ()),
        ([["RS256"]], ()),
    ],
)
def test_algorithms_are_those_that_discovery_names_and_that_are_known_here(
    named: object, algorithms: tuple[str, ...]
) -> None:
    members = {} if named is None else {"id_token_signing_alg_values_supported": named}
    assert algorithms_of(members) == algorithms


@pytest.mark.parametrize("alg", ["none", "NONE", "HS256", "HS512", "Ed448", "rs256", "", None, ["RS256"], 1])
def test_any_other_algorithm_is_refused_before_a_key_is_used(alg: Any) -> None:
    with pytest.raises(TokenError) as failure:
        check_header(read(unsigned(CLAIMS, alg)), ALGORITHMS)
    assert failure.value.rule == "id_token.alg.unexpected"


def test_shared_secret_and_missing_signature_are_called_what_they_are() -> None:
    with pytest.raises(TokenError, match="shared secret"):
        check_header(read(unsigned(CLAIMS, "HS256")), ALGORITHMS)
    with pytest.raises(TokenError, match="not signed at all"):
        check_header(read(unsigned(CLAIMS, "none")), ALGORITHMS)


def test_signature_is_the_issuers(rsa_key: PrivateKey, ec_key: PrivateKey) -> None:
    keys = keys_of({"keys": [rsa_key.public.jwk()]}, "the issuer")
    token, key = verify(signed(CLAIMS, rsa_key, "PS256"), keys)
    assert token.payload == CLAIMS
    assert key.description
    for compact in (
        signed(CLAIMS, ec_key, "ES256"),
        signed(CLAIMS, ec_key, "ES256", jwk=ec_key.public.jwk()),
        signed(CLAIMS, rsa_key, "RS256")[:-8] + "AAAAAAAA",
        unsigned(CLAIMS, "RS256"),
    ):
        with pytest.raises(TokenError) as failure:
            verify(compact, keys)
        assert failure.value.rule == "id_token.signature.unverified"
        assert compact.rpartition(".")[2][:20] not in str(failure.value) or compact.endswith(".")


def test_header_that_must_be_understood_and_is_not_is_refused(rsa_key: PrivateKey) -> None:
    keys = keys_of({"keys": [rsa_key.public.jwk()]}, "the issuer")
    compact = jwt.encode(CLAIMS, rsa_key.pem().decode(), algorithm="RS256", headers={"crit": ["x"], "x": 1})
    with pytest.raises(TokenError):
        verify(compact, keys)


@pytest.mark.parametrize("compact", [None, 7, {}, "", "a.b", "a.b.c", "a.b.c.d.e"])
def test_what_is_no_id_token_is_told(compact: object) -> None:
    with pytest.raises(TokenError) as failure:
        read(compact)
    assert failure.value.rule == "id_token.missing"


@pytest.mark.parametrize(
    ("alg", "taken", "refused"),
    [
        ("RS256", ["sha256"], ["sha384", "sha512"]),
        ("ES384", ["sha384"], ["sha256", "sha512"]),
        ("PS512", ["sha512"], ["sha256", "sha384"]),
        ("EdDSA", ["sha512", "sha256"], ["sha384"]),
        ("Ed25519", ["sha512", "sha256"], ["sha384"]),
    ],
)
def test_hash_of_the_access_token_is_by_the_hash_of_the_algorithm(
    alg: str, taken: list[str], refused: list[str]
) -> None:
    for name in (*taken, *refused):
        digest = hashlib.new(name, ACCESS_TOKEN.encode()).digest()
        half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")
        token = read(unsigned({**CLAIMS, "at_hash": half}, alg))
        if name in taken:
            check(token, EXPECTED, ACCESS_TOKEN, NOW)
        else:
            with pytest.raises(TokenError) as failure:
                check(token, EXPECTED, ACCESS_TOKEN, NOW)
            assert failure.value.rule == "id_token.at_hash.unexpected"


@pytest.mark.parametrize("name", ["at_hash", "azp", "nbf"])
def test_optional_claim_that_is_null_is_as_good_as_none(name: str) -> None:
    check(read(unsigned({**CLAIMS, name: None})), EXPECTED, ACCESS_TOKEN, NOW)


def test_hash_is_that_of_the_standard() -> None:
    # The example of OpenID Connect Core 1.0 appendix A.3.
    assert id_token.at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y") == "77QmUPtjPfzWtF2AnpK9RQ"
