"""The sandbox: a client of its own, PyJWT for signing, and the server's answers and log."""

from __future__ import annotations

import ast
import base64
import concurrent.futures
import hashlib
import hmac
import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import RSAKey

import banno_creds.sandbox
from banno_creds.errors import ConfigurationError
from banno_creds.sandbox import DEFAULT_SCOPES, Client, RefusalError, Rule, Sandbox, Settings, create_app
from banno_creds.sandbox.authorization_request import SIGN_IN_SCOPES
from banno_creds.sandbox.clients import RegisteredClient
from banno_creds.sandbox.memory import UsedJtis
from tests.sandbox.bench import (
    ASSERTION_TYPE,
    AUTHENTICATION_FAILED,
    CLIENT_ID,
    ISSUER,
    START,
    TOKEN_ENDPOINT,
    TOKEN_PATH,
    Bench,
    Clock,
    PrivateKey,
    claims_of,
    client_of,
    ec_key,
    private_pem,
    public_jwk,
    public_pem,
    rsa_key,
    shared_signing_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def one_signing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every application makes a signing key of its own; here they share one, which saves most of the time."""
    monkeypatch.setattr(RSAKey, "generate_key", lambda *_args, **_options: shared_signing_key())


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- The token response ---


def test_token_response_is_the_vendors(bench: Bench) -> None:
    response = bench.post()
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    body = response.get_json()
    assert set(body) == {"access_token", "expires_in", "token_type", "scope"}
    assert (body["expires_in"], body["token_type"], body["scope"]) == (600, "Bearer", "openid")


def test_access_token_has_the_vendors_claims_and_verifies_with_the_jwks(bench: Bench) -> None:
    token = bench.post().get_json()["access_token"]
    jwks = bench.http.get("/a/oidc-provider/api/v0/jwks").get_json()
    header = jwt.get_unverified_header(token)
    assert header["alg"] == "RS256"
    assert header["typ"] == "JWT"
    assert [jwk["kid"] for jwk in jwks["keys"]] == [header["kid"]]
    assert set(jwks["keys"][0]) == {"kty", "n", "e", "kid", "use", "alg"}
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        token, jwt.PyJWK(jwks["keys"][0]), algorithms=["RS256"], audience=CLIENT_ID, issuer=ISSUER, options=options
    )
    assert re.fullmatch(r"[\w-]{16,}", claims.pop("jti"))
    assert claims == {
        "authType": "e",
        "v": "0",
        "clientName": "Test Application",
        "institutionId": "3f85ce95-2a1f-4f5d-a95c-7f4d3e9e1c11",
        "accountId": "0d9a4e7a-9f8e-4fd7-a1a4-1c2a1f0f3b22",
        "iat": START,
        "exp": START + 600,
        "scope": "openid",
        "iss": ISSUER,
        "aud": CLIENT_ID,
    }


def test_every_access_token_has_its_own_jti(bench: Bench) -> None:
    assert claims_of(bench.post())["jti"] != claims_of(bench.post())["jti"]


def test_every_application_signs_with_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # see one_signing_key
    jwks = [Bench().http.get("/a/oidc-provider/api/v0/jwks").get_json()["keys"][0]["n"] for _ in range(2)]
    assert jwks[0] != jwks[1]


@pytest.mark.parametrize(
    "path", ["/a/oidc-provider/api/v0/.well-known/openid-configuration", "/.well-known/openid-configuration"]
)
def test_discovery_tells_the_canonical_urls_by_whichever_name(bench: Bench, path: str) -> None:
    document = bench.http.get(path, headers={"Host": "localhost:4321"}).get_json()
    assert document == {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/auth",
        "token_endpoint": TOKEN_ENDPOINT,
        "userinfo_endpoint": f"{ISSUER}/me",
        "jwks_uri": f"{ISSUER}/jwks",
        "revocation_endpoint": f"{ISSUER}/token/revocation",
        "end_session_endpoint": f"{ISSUER}/session/end",
        "pushed_authorization_request_endpoint": f"{ISSUER}/request",
        "require_pushed_authorization_requests": False,
        "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent"],
        "authorization_response_iss_parameter_supported": True,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["PS256", "RS256", "ES256"],
        "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
        "revocation_endpoint_auth_signing_alg_values_supported": ["PS256", "RS256", "ES256"],
        "scopes_supported": [*SIGN_IN_SCOPES, *DEFAULT_SCOPES[1:]],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": [
            *("sub", "family_name", "given_name", "middle_name", "name", "nickname", "picture"),
            *("preferred_username", "birthdate", "zoneinfo", "locale", "updated_at", "email", "email_verified"),
            *("phone_number", "phone_number_verified", "address"),
            "https://api.banno.com/consumer/claim/institution_id",
        ],
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def test_the_host_header_decides_nothing_but_whether_it_is_answered(bench: Bench) -> None:
    response = bench.http.post(TOKEN_PATH, data=bench.form(), headers={"Host": "LOCALHOST:4321"})
    assert response.status_code == 200
    there = bench.assertion(aud=f"http://localhost:4321{TOKEN_PATH}")
    response = bench.http.post(TOKEN_PATH, data=bench.form(there), headers={"Host": "localhost:4321"})
    bench.assert_authentication_failed(response, Rule.AUD_MISMATCH)


@pytest.mark.parametrize("path", [TOKEN_PATH, "/a/oidc-provider/api/v0/jwks", "/none"])
@pytest.mark.parametrize(
    "host",
    [
        "elsewhere.example",
        "elsewhere.example:4321",
        "127.0.0.1",
        "localhost",
        "localhost:80",
        "127.0.0.1:43210",
        "a b",
    ],
)
def test_a_host_header_of_another_server_is_refused(bench: Bench, host: str, path: str) -> None:
    response = bench.http.post(path, data=bench.form(), headers={"Host": host})
    assert (response.status_code, response.mimetype) == (421, "application/json")
    assert response.get_json() == {"error": "invalid_request", "error_description": "misdirected request"}
    assert response.headers["Cache-Control"] == "no-store"
    assert len(bench.log) == 1
    assert bench.log[0].startswith("answered 421 to the Host ")
    assert "this server is 127.0.0.1:4321 or localhost:4321 (x-request-id " in bench.log[0]


def test_on_the_port_of_http_the_host_header_needs_none() -> None:
    http = create_app([], "http://127.0.0.1:80/x", Settings(log=lambda _: None)).test_client()
    statuses = {
        host: http.get("/x/jwks", headers={"Host": host}).status_code
        for host in ("127.0.0.1", "127.0.0.1:80", "localhost", "localhost:80", "localhost:8080")
    }
    assert list(statuses.values()) == [200, 200, 200, 200, 421]


# --- Registrations and algorithms ---


@pytest.mark.parametrize("form", ["pem", "pkcs1", "jwk", "jwks", "jwks text", "jwks with kid"])
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_each_algorithm_is_accepted_with_each_form_of_registration(alg: str, form: str) -> None:
    key: PrivateKey = ec_key() if alg == "ES256" else rsa_key()
    header = {"kid": "mine"} if form == "jwks with kid" else {}
    public_key: Any = {
        "pem": public_pem(key),
        "pkcs1": public_pem(key)
        if alg == "ES256"  # PKCS#1 is RSA's alone
        else rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(),
        "jwk": public_jwk(key),
        "jwks": {"keys": [public_jwk(key, use="sig", alg=alg)]},
        "jwks text": json.dumps({"keys": [public_jwk(key)]}),
        "jwks with kid": {"keys": [public_jwk(rsa_key(1), kid="other"), public_jwk(key, kid="mine")]},
    }[form]
    bench = Bench(key, public_key)
    assert bench.post(bench.sign(bench.claims(), alg=alg, **header)).status_code == 200


def test_jwks_without_kid_in_the_assertion_tries_every_fitting_key() -> None:
    bench = Bench(
        rsa_key(1), {"keys": [public_jwk(rsa_key(), kid="a"), public_jwk(ec_key()), public_jwk(rsa_key(1), kid="b")]}
    )
    assert bench.post().status_code == 200


def test_keys_of_a_jwks_that_are_not_for_us_are_ignored() -> None:
    p384 = ec.generate_private_key(ec.SECP384R1())
    others = [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        public_jwk(rsa_key(1), use="enc"),
        public_jwk(rsa_key(1), alg="RS512"),
        public_jwk(p384),
    ]
    bench = Bench(public_key={"keys": [*others, public_jwk(rsa_key())]})
    assert bench.post().status_code == 200
    bench.assert_authentication_failed(bench.post(bench.sign(bench.claims(), key=rsa_key(1))), Rule.SIGNATURE_INVALID)


def test_a_jwk_for_one_algorithm_verifies_no_other() -> None:
    bench = Bench(public_key=public_jwk(rsa_key(), alg="RS256"))
    assert bench.post(bench.sign(bench.claims(), alg="RS256")).status_code == 200
    response = bench.post(bench.sign(bench.claims(), alg="PS256"))
    bench.assert_authentication_failed(response, Rule.ALG_KEY_MISMATCH)


@pytest.mark.parametrize(
    ("public_key", "fault"),
    [
        ("not a key", "is not a public key in PEM"),
        ('{"a" 1}', "starts like a JWK Set, but it is not JSON (Expecting ':' delimiter at character 6)"),
        ({"keys": "none"}, 'has "keys" that are not an array of JWKs'),
        ({"keys": [1]}, 'has "keys" that are not an array of JWKs'),
        ({"keys": []}, "holds no RSA or P-256 key for signatures"),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}, "holds no RSA or P-256 key for signatures"),
        ({"kty": "RSA", "n": "AQAB"}, "holds a JWK that cannot be read"),
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "holds a JWK that cannot be read"),
        ({"kty": "EC", "crv": "P-0", "x": "AA", "y": "AA"}, "holds a JWK that cannot be read"),
        # With a name of its own: a fresh key in the name of a test would differ from one worker to the next.
        pytest.param(public_pem(ed25519.Ed25519PrivateKey.generate()), "is neither RSA nor P-256", id="Ed25519"),
    ],
)
def test_unusable_registration_is_a_configuration_error(public_key: Any, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(fault)) as caught:
        create_app([Client(CLIENT_ID, public_key)], ISSUER, Settings())
    assert caught.value.message == f"the public key registered for {CLIENT_ID} {fault}"
    assert (
        caught.value.hint == "give the public.pem that banno-creds keygen makes, or the public key as JWK or JWK Set"
    )


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_short_rsa_key_is_a_configuration_error(form: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    public_key: Any = public_pem(key) if form == "pem" else public_jwk(key)
    with pytest.raises(ConfigurationError, match="1024 bits"):
        create_app([Client(CLIENT_ID, public_key)], ISSUER, Settings())


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_private_key_registered_by_mistake_is_refused_and_not_repeated(form: str) -> None:
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(), as_dict=True)
    public_key: Any = private_pem(rsa_key()) if form == "pem" else jwk
    client = Client(CLIENT_ID, public_key)
    with pytest.raises(ConfigurationError, match="is a private key") as caught:
        create_app([client], ISSUER, Settings())
    assert caught.value.message == f"the key registered for {CLIENT_ID} is a private key"
    assert caught.value.hint == "give the public half: banno-creds keygen --public-from FILE makes it"
    assert "BEGIN" not in repr(client)
    for text in (repr(client), str(caught.value), str(caught.value.hint)):
        assert jwk["d"] not in text


def test_client_id_registered_twice_is_a_configuration_error() -> None:
    client = Client(CLIENT_ID, public_pem(rsa_key()))
    with pytest.raises(ConfigurationError, match="registered twice"):
        create_app([client, client], ISSUER, Settings())


def test_clients_have_an_institution_and_an_account_of_their_own() -> None:
    a, b = Client("a", ""), Client("b", "")
    assert len({a.institution_id, b.institution_id, a.account_id, b.account_id}) == 4
    again = Client("a", "", institution_id="", account_id="given")
    assert (again.institution_id, again.account_id) == (a.institution_id, "given")  # the same in every run


# --- The client assertion, rule by rule ---


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"sub": None}, Rule.SUB_MISSING),
        ({"sub": ""}, Rule.SUB_MISSING),
        ({"sub": 5}, Rule.SUB_MALFORMED),
        ({"sub": "nobody", "iss": "nobody"}, Rule.CLIENT_UNKNOWN),
        ({"exp": None}, Rule.EXP_MISSING),
        ({"exp": str(START + 60)}, Rule.EXP_MALFORMED),
        ({"exp": True}, Rule.EXP_MALFORMED),
        ({"exp": [START + 60]}, Rule.EXP_MALFORMED),
        ({"jti": None}, Rule.JTI_MISSING),
        ({"jti": ""}, Rule.JTI_MISSING),
        ({"jti": 7}, Rule.JTI_MALFORMED),
        ({"iss": None}, Rule.ISS_MISSING),
        ({"iss": ""}, Rule.ISS_MISSING),
        ({"iss": "nobody"}, Rule.ISS_MISMATCH),
        ({"iss": [CLIENT_ID]}, Rule.ISS_MISMATCH),
        ({"aud": None}, Rule.AUD_MISSING),
        ({"aud": ""}, Rule.AUD_MISSING),
        ({"aud": []}, Rule.AUD_MISMATCH),
        ({"aud": f"{TOKEN_ENDPOINT}/"}, Rule.AUD_MISMATCH),
        ({"aud": TOKEN_ENDPOINT.replace("127.0.0.1", "localhost")}, Rule.AUD_MISMATCH),
        ({"aud": ["https://login.jackhenry.com/a/oidc-provider/api/v0/token"]}, Rule.AUD_MISMATCH),
        ({"aud": {TOKEN_ENDPOINT: True}}, Rule.AUD_MISMATCH),
        ({"exp": START - 15}, Rule.EXP_PAST),
        ({"exp": 0}, Rule.EXP_MISSING),
        ({"exp": 1}, Rule.EXP_PAST),
        ({"exp": -(10**30)}, Rule.EXP_PAST),
        ({"exp": START + 316}, Rule.EXP_TOO_FAR),
        ({"exp": (START + 60) * 1000}, Rule.EXP_MILLISECONDS),
        ({"exp": 10**400}, Rule.EXP_MILLISECONDS),
        ({"nbf": "now"}, Rule.NBF_MALFORMED),
        ({"nbf": START + 16}, Rule.NBF_FUTURE),
        ({"iat": False}, Rule.IAT_MALFORMED),
    ],
)
def test_assertion_that_breaks_a_claims_rule_is_refused(bench: Bench, changes: dict[str, Any], rule: Rule) -> None:
    bench.assert_authentication_failed(bench.post(bench.assertion(**changes)), rule)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": START - 14},
        {"exp": START + 315},
        {"exp": START + 59.5},
        {"aud": ISSUER},
        {"aud": ["https://elsewhere.example", TOKEN_ENDPOINT]},
        {"nbf": START + 15},
        {"iat": START + 15},
        {"iat": START + 3600},  # as node-oidc-provider has it, where there is an exp
        {"iat": START - 3600},
        {"jti": "\ud800"},
        {"extra": {"deep": [1]}},
    ],
)
def test_assertion_at_the_edge_of_a_rule_is_accepted(bench: Bench, changes: dict[str, Any]) -> None:
    assert bench.post(bench.assertion(**changes)).status_code == 200


def segment(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "RS512"}, {"alg": ["RS256"]}, {}])
def test_alg_outside_of_the_three_is_refused(bench: Bench, header: dict[str, Any]) -> None:
    assertion = f"{segment(header)}.{segment(bench.claims())}."
    bench.assert_authentication_failed(bench.post(assertion), Rule.ALG_UNSUPPORTED)


def test_hmac_with_the_public_key_as_the_secret_is_refused(bench: Bench) -> None:
    signing_input = f"{segment({'alg': 'HS256'})}.{segment(bench.claims())}"
    mac = hmac.new(public_pem(rsa_key()).encode(), signing_input.encode(), hashlib.sha256).digest()
    bench.assert_authentication_failed(bench.post(f"{signing_input}.{segment(mac)}"), Rule.ALG_UNSUPPORTED)


@pytest.mark.parametrize("key", [rsa_key(), ec_key()])
def test_alg_that_does_not_fit_the_registered_key_is_refused(key: PrivateKey) -> None:
    bench = Bench(key)
    other: PrivateKey = ec_key() if isinstance(key, rsa.RSAPrivateKey) else rsa_key()
    alg = "ES256" if isinstance(key, rsa.RSAPrivateKey) else "RS256"
    response = bench.post(bench.sign(bench.claims(), alg=alg, key=other))
    bench.assert_authentication_failed(response, Rule.ALG_KEY_MISMATCH)


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_signature_of_another_key_is_refused(bench: Bench, alg: str) -> None:
    response = bench.post(bench.sign(bench.claims(), alg=alg, key=rsa_key(1)))
    bench.assert_authentication_failed(response, Rule.SIGNATURE_INVALID)


def test_payload_changed_after_signing_is_refused(bench: Bench) -> None:
    header, _, signature = bench.assertion().split(".")
    response = bench.post(f"{header}.{segment(bench.claims(jti='forged'))}.{signature}")
    bench.assert_authentication_failed(response, Rule.SIGNATURE_INVALID)


def test_missing_signature_is_refused(bench: Bench) -> None:
    header, payload, _ = bench.assertion().split(".")
    bench.assert_authentication_failed(bench.post(f"{header}.{payload}."), Rule.SIGNATURE_INVALID)


def test_kid_is_refused_where_the_registration_is_a_pem(bench: Bench) -> None:
    response = bench.post(bench.sign(bench.claims(), kid="mine"))
    bench.assert_authentication_failed(response, Rule.KID_UNEXPECTED)


@pytest.mark.parametrize("kid", ["other", "elliptic", ""])
def test_kid_that_names_no_fitting_key_is_refused(kid: str) -> None:
    jwks = {"keys": [public_jwk(rsa_key(), kid="mine"), public_jwk(ec_key(), kid="elliptic")]}
    bench = Bench(public_key=jwks)
    bench.assert_authentication_failed(bench.post(bench.sign(bench.claims(), kid=kid)), Rule.KID_UNKNOWN)


def test_kid_selects_the_key_that_must_verify() -> None:
    jwks = {"keys": [public_jwk(rsa_key(), kid="mine"), public_jwk(rsa_key(1), kid="other")]}
    bench = Bench(public_key=jwks)
    response = bench.post(bench.sign(bench.claims(), kid="other"))
    bench.assert_authentication_failed(response, Rule.KID_OTHER_KEY)
    response = bench.post(bench.sign(bench.claims(), key=rsa_key(2), kid="other"))
    bench.assert_authentication_failed(response, Rule.SIGNATURE_INVALID)


def test_critical_header_extension_is_refused(bench: Bench) -> None:
    header = {"alg": "RS256", "crit": ["b64"], "b64": False}
    assertion = f"{segment(header)}.{segment(bench.claims())}.AAAA"
    bench.assert_authentication_failed(bench.post(assertion), Rule.CRIT_UNSUPPORTED)


def test_unknown_and_long_header_parameters_are_ignored(bench: Bench) -> None:
    assert bench.post(bench.sign(bench.claims(), note="n" * 2000)).status_code == 200


def test_rules_are_asked_in_the_vendors_order() -> None:
    """Each step mends what the last one was refused for; so each rule is asked before those that come later."""
    bench = Bench()
    wrong: dict[str, Any] = {
        "jti": None,
        "iss": "nobody",
        "aud": None,
        "exp": None,
        "iat": "now",
        "nbf": "soon",
    }
    key = rsa_key(1)
    steps: list[tuple[Rule, dict[str, Any], str]] = [
        (Rule.ALG_UNSUPPORTED, {}, "RS512"),
        (Rule.EXP_MISSING, {}, "RS256"),
        (Rule.JTI_MISSING, {"exp": "later"}, "RS256"),
        (Rule.ISS_MISMATCH, {"jti": 7}, "RS256"),
        (Rule.AUD_MISSING, {"iss": CLIENT_ID}, "RS256"),
        (Rule.SIGNATURE_INVALID, {"aud": ISSUER}, "RS256"),
    ]
    for rule, mended, alg in steps:
        wrong |= mended
        bench.assert_authentication_failed(bench.post(bench.sign(bench.claims(**wrong), alg=alg, key=key)), rule)
    later: list[tuple[Rule, dict[str, Any]]] = [
        (Rule.NBF_MALFORMED, {}),
        (Rule.NBF_FUTURE, {"nbf": START + 99}),
        (Rule.IAT_MALFORMED, {"nbf": None}),
        (Rule.EXP_MALFORMED, {"iat": START + 99}),
        (Rule.EXP_PAST, {"exp": START - 99}),
        (Rule.JTI_MALFORMED, {"exp": START + 60}),
    ]
    for rule, mended in later:
        wrong |= mended
        bench.assert_authentication_failed(bench.post(bench.assertion(**wrong)), rule)
    wrong |= {"jti": "j"}
    assert bench.post(bench.assertion(**wrong)).status_code == 200
    bench.assert_authentication_failed(bench.post(bench.assertion(**wrong)), Rule.JTI_REPLAYED)


# --- Replay ---


def used_jtis(bench: Bench) -> UsedJtis:
    memory = bench.app.extensions["sandbox"].authentication.used_jtis
    assert isinstance(memory, UsedJtis)
    return memory


def test_assertion_is_accepted_once(bench: Bench) -> None:
    assertion = bench.assertion()
    assert bench.post(assertion).status_code == 200
    bench.assert_authentication_failed(bench.post(assertion), Rule.JTI_REPLAYED)


def test_jti_is_remembered_as_long_as_its_assertion_is_accepted_then_forgotten(bench: Bench) -> None:
    assertion = bench.assertion(jti="one")
    assert bench.post(assertion).status_code == 200
    bench.clock.now = START + 60 + 14.9
    bench.assert_authentication_failed(bench.post(assertion), Rule.JTI_REPLAYED)
    bench.clock.now = START + 60 + 15
    bench.assert_authentication_failed(bench.post(assertion), Rule.EXP_PAST)
    assert bench.post(bench.assertion(jti="one")).status_code == 200
    assert len(used_jtis(bench)) == 1


def test_refused_assertion_uses_no_jti_up(bench: Bench) -> None:
    bench.post(bench.sign(bench.claims(jti="one"), key=rsa_key(1)))
    assert bench.post(bench.assertion(jti="one")).status_code == 200


def test_jti_is_unique_per_client() -> None:
    clock = Clock()
    clients = [Client(name, public_pem(rsa_key())) for name in ("a", "b")]
    bench = Bench()
    http = client_of(create_app(clients, ISSUER, Settings(clock=clock, log=bench.log.append)))
    for name in ("a", "b"):
        assertion = bench.assertion(sub=name, iss=name, jti="same")
        assert http.post(TOKEN_PATH, data=bench.form(assertion)).status_code == 200


def test_memory_of_jti_does_not_grow_with_the_requests() -> None:
    bench = Bench(ec_key())
    for _ in range(200):
        assert bench.post().status_code == 200
        bench.clock.now += 1
    # 60 s of validity and 15 s of tolerance, one request a second.
    assert len(used_jtis(bench)) <= 75
    assert len(used_jtis(bench)._by_end) <= 75


def test_memory_of_jti_is_bounded_even_where_nothing_expires() -> None:
    memory = UsedJtis(most=10)
    for number in range(10_000):
        assert memory.use("a", str(number), until=START + number, now=START - 1)
        assert len(memory) <= 10
    assert not memory.use("a", "9999", until=START, now=START - 1)
    assert memory.use("a", "0", until=START, now=START - 1)


def test_jti_used_by_many_threads_at_once_is_accepted_once() -> None:
    memory = UsedJtis()
    barrier = threading.Barrier(8)

    def use() -> bool:
        barrier.wait()
        return memory.use("a", "b", until=START + 60, now=START)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(future.result() for future in [pool.submit(use) for _ in range(8)]) == 1


# --- Other errors of the token endpoint ---


@pytest.mark.parametrize("form", [{}, {"client-assertion": "x"}, {"client_assertion": ""}, {"client_id": CLIENT_ID}])
def test_no_client_assertion_is_an_invalid_request(bench: Bench, form: dict[str, str]) -> None:
    response = bench.http.post(TOKEN_PATH, data=form)
    bench.assert_refused(
        response, Rule.CLIENT_ASSERTION_MISSING, description="no client authentication mechanism provided"
    )


def test_misspelt_parameter_is_named_in_the_log_without_its_value(bench: Bench) -> None:
    bench.http.post(TOKEN_PATH, data={"client-assertion": "s3cret"}, headers={"Authorization": "Basic s3cret"})
    assert '["client-assertion"] and an Authorization header' in bench.log[-1]
    assert "s3cret" not in bench.log[-1]


@pytest.mark.parametrize("way", ["json", "multipart", "query"])
def test_parameters_elsewhere_than_in_a_form_encoded_body_are_not_read(bench: Bench, way: str) -> None:
    if way == "json":
        response = bench.http.post(TOKEN_PATH, json=bench.form())
    elif way == "multipart":
        response = bench.http.post(TOKEN_PATH, data=bench.form(), content_type="multipart/form-data")
    else:
        response = bench.http.post(
            TOKEN_PATH, query_string=bench.form(), content_type="application/x-www-form-urlencoded"
        )
    bench.assert_refused(
        response, Rule.CLIENT_ASSERTION_MISSING, description="no client authentication mechanism provided"
    )
    assert ("which is not read" in bench.log[-1]) is (way != "query")


@pytest.mark.parametrize(
    ("assertion_type", "rule", "description"),
    [
        (None, Rule.CLIENT_ASSERTION_TYPE_MISSING, "client_assertion_type must be provided"),
        ("", Rule.CLIENT_ASSERTION_TYPE_MISSING, "client_assertion_type must be provided"),
        (
            "jwt-bearer",
            Rule.CLIENT_ASSERTION_TYPE_UNSUPPORTED,
            f"client_assertion_type must have value {ASSERTION_TYPE}",
        ),
    ],
)
def test_client_assertion_type_must_be_the_registered_one(
    bench: Bench, assertion_type: str | None, rule: Rule, description: str
) -> None:
    response = bench.post(client_assertion_type=assertion_type)
    bench.assert_refused(response, rule, description=description)


@pytest.mark.parametrize(
    "assertion",
    [
        "x",
        "a.b",
        "a.b.c.d",
        "a b.c.d",
        f"{segment([])}.{segment({})}.AAAA",
        f"{segment({'alg': 'RS256'})}.{segment(b'no json')}.AAAA",
        f"{segment({'alg': 'RS256'})}.{segment(b'[1]')}.AAAA",
        f"{segment({'alg': 'RS256'})}.{segment(bytes([255, 254, 253]))}.AAAA",
        f"{segment({'alg': 'RS256'})}.{segment(b'[' * 50_000)}.AAAA",
        f"{segment({'alg': 'RS256'})}.A.AAAA",
        segment({"alg": "RS256"}) + "." + segment(b'{"exp": NaN}') + ".AAAA",
        segment({"alg": "RS256"}) + "." + segment(b'{"exp": Infinity}') + ".AAAA",
        segment({"alg": "RS256"}) + "." + segment(b'{"sub": "a", "sub": "b"}') + ".AAAA",
    ],
)
def test_what_is_no_jwt_is_an_invalid_request(bench: Bench, assertion: str) -> None:
    response = bench.post(assertion)
    bench.assert_refused(response, Rule.ASSERTION_MALFORMED, description="invalid client_assertion format")


def test_client_id_that_is_not_the_assertions_is_an_invalid_request(bench: Bench) -> None:
    assert bench.post(client_id=CLIENT_ID).status_code == 200
    response = bench.post(client_id="nobody")
    bench.assert_refused(response, Rule.CLIENT_ID_MISMATCH, description="client_id mismatch")


@pytest.mark.parametrize("way", ["client_secret", "header"])
def test_two_ways_of_authentication_are_an_invalid_request(bench: Bench, way: str) -> None:
    form = bench.form(client_secret="s3cret" if way == "client_secret" else None)
    headers = {"Authorization": "Basic YTpi"} if way == "header" else {}
    bench.assert_refused(
        bench.http.post(TOKEN_PATH, data=form, headers=headers),
        Rule.CLIENT_AUTHENTICATION_SEVERAL,
        description="client authentication must only be provided using one mechanism",
    )


@pytest.mark.parametrize("name", ["client_assertion", "client_assertion_type", "grant_type", "scope"])
def test_repeated_parameter_is_an_invalid_request(bench: Bench, name: str) -> None:
    form: dict[str, Any] = bench.form()
    form[name] = [form[name], form[name]]
    bench.assert_refused(
        bench.http.post(TOKEN_PATH, data=form),
        Rule.PARAMETER_REPEATED,
        description="a parameter must not be provided twice",
    )


def test_grant_type_must_be_there(bench: Bench) -> None:
    response = bench.post(grant_type=None)
    bench.assert_refused(response, Rule.GRANT_TYPE_MISSING, description="missing required parameter 'grant_type'")


@pytest.mark.parametrize("grant_type", ["password", "client_credentials "])
def test_other_grants_are_unsupported(bench: Bench, grant_type: str) -> None:
    response = bench.post(grant_type=grant_type)
    bench.assert_refused(
        response,
        Rule.GRANT_TYPE_UNSUPPORTED,
        error="unsupported_grant_type",
        description="unsupported grant_type requested",
    )


def test_client_is_authenticated_before_its_grant_is_looked_at(bench: Bench) -> None:
    response = bench.post(bench.assertion(exp=None), grant_type="password", scope="full")
    bench.assert_authentication_failed(response, Rule.EXP_MISSING)


@pytest.mark.parametrize("scope", ["full", "openid full", "OPENID"])
def test_scope_the_client_was_not_given_is_refused(bench: Bench, scope: str) -> None:
    response = bench.post(scope=scope)
    bench.assert_refused(
        response, Rule.SCOPE_NOT_ALLOWED, error="invalid_scope", description="requested scope is not allowed"
    )


def test_scopes_are_granted_as_requested_each_once(bench: Bench) -> None:
    scope = "https://jackhenry.com/consumer-user-search openid"
    response = bench.post(scope=f"{scope} openid")
    assert response.get_json()["scope"] == scope
    assert claims_of(response)["scope"] == scope


def test_scope_left_out_means_openid(bench: Bench) -> None:
    assert bench.post(scope=None).get_json()["scope"] == "openid"
    assert bench.post(scope=" ").get_json()["scope"] == "openid"


def test_scopes_of_a_client_can_be_configured() -> None:
    bench = Bench(scopes=("full",))
    assert bench.post(scope="full").status_code == 200
    assert bench.post(scope=None).status_code == 400
    assert bench.http.get("/.well-known/openid-configuration").get_json()["scopes_supported"] == [
        *SIGN_IN_SCOPES,
        "full",
    ]


@pytest.mark.parametrize(
    ("resources", "audience"),
    [
        (["https://api.example"], "https://api.example"),
        (["https://api.example", "https://api.example"], "https://api.example"),
        (["https://b.example", "urn:example:a"], ["https://b.example", "urn:example:a"]),
        ([""], CLIENT_ID),
    ],
)
def test_resource_becomes_the_audience(bench: Bench, resources: list[str], audience: str | list[str]) -> None:
    assert claims_of(bench.post(resource=resources))["aud"] == audience


@pytest.mark.parametrize("resource", ["api", "//api.example", "https://api.example/#part", "https://[::1"])
def test_resource_that_is_no_absolute_uri_is_an_invalid_target(bench: Bench, resource: str) -> None:
    bench.assert_refused(
        bench.post(resource=["https://api.example", resource]),
        Rule.RESOURCE_MALFORMED,
        error="invalid_target",
        description="resource must be an absolute URI without a fragment",
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", TOKEN_PATH, 405),
        ("POST", "/nowhere", 404),
        ("POST", "/a//oidc-provider/api/v0/token", 404),
        ("POST", f"{TOKEN_PATH}/", 404),
    ],
)
def test_other_paths_and_methods_are_refused_in_json_without_a_redirect(
    bench: Bench, method: str, path: str, status: int
) -> None:
    response = bench.http.open(path, method=method)
    assert response.status_code == status
    assert response.get_json()["error"] == "invalid_request"
    assert response.headers["Cache-Control"] == "no-store"
    assert ("POST" in response.headers.get("Allow", "")) is (status == 405)
    assert f"answered {status} to {method}" in bench.log[-1]


def test_request_that_is_too_long_is_refused(bench: Bench) -> None:
    response = bench.post(scope="x" * 200_000)
    assert (response.status_code, response.get_json()["error"]) == (413, "invalid_request")


def test_bug_in_the_sandbox_is_a_server_error_in_json(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError("the memory is gone")

    monkeypatch.setattr(UsedJtis, "use", broken)
    response = bench.post()
    assert (response.status_code, response.get_json()["error"]) == (500, "server_error")
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


# --- What the client learns, and what the operator ---


def test_client_learns_the_same_from_every_authentication_failure(bench: Bench) -> None:
    assertion = bench.assertion()
    bench.post(assertion)
    answers = [
        bench.post(bench.assertion(sub="nobody", iss="nobody")),
        bench.post(bench.assertion(exp=START - 99)),
        bench.post(bench.sign(bench.claims(), key=rsa_key(1))),
        bench.post(assertion),
    ]
    seen = set()
    for answer in answers:
        headers = dict(answer.headers)
        del headers["x-request-id"]
        seen.add((answer.status, answer.data, tuple(sorted(headers.items()))))
    assert len(seen) == 1


def test_every_rule_but_those_of_the_request_is_answered_alike() -> None:
    for rule in set(Rule) - {Rule.CLIENT_ID_MISSING}:  # which the vendor's server never asks for
        error = RefusalError(rule, received="a", expected="b")
        no_jwt = (Rule.ASSERTION_MALFORMED, Rule.ASSERTION_PRIVATE_KEY)
        alike = not rule.startswith("request.") and rule not in no_jwt
        assert (error.status_code == 401) is alike, rule
        assert (error.description == "client authentication failed") is alike, rule


def test_every_response_has_a_fresh_request_id(bench: Bench) -> None:
    responses = [
        bench.post(),
        bench.post(scope="full"),
        bench.http.get("/nowhere"),
        bench.http.get("/.well-known/openid-configuration"),
        bench.http.get("/a/oidc-provider/api/v0/jwks"),
    ]
    ids = [response.headers["x-request-id"] for response in responses]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in ids)
    assert [request_id in line for request_id, line in zip(ids, bench.log, strict=False)] == [True, True, True]


def test_log_says_what_was_received_and_what_expected(bench: Bench) -> None:
    bench.post(bench.assertion(aud="https://elsewhere.example"))
    assert 'received "aud" "https://elsewhere.example"; expected "' + TOKEN_ENDPOINT in bench.log[-1]
    bench.post(bench.assertion(exp=START - 100))
    assert f'received "exp" {START - 100}, 100 s ago by this clock; expected' in bench.log[-1]
    bench.post(bench.assertion(aud=[f"https://{n}.example" for n in range(20)]))
    assert '"https://7.example", 12 more]' in bench.log[-1]
    bench.post(bench.assertion(aud=[None]))
    assert "an array that holds more than strings" in bench.log[-1]
    bench.post()
    assert bench.log[-1].startswith(f'issued an access token to "{CLIENT_ID}", scope "openid"')


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        ({"a": 1}, "an object"),
        (10**60, f"1{'0' * 39}… (shortened)"),
    ],
)
def test_log_says_of_any_value_what_it_is(bench: Bench, value: object, words: str) -> None:
    header = {"alg": value}
    bench.post(f"{segment(header)}.{segment(bench.claims())}.AAAA")
    assert f"received alg {words}; expected PS256" in bench.log[-1]


def test_control_characters_do_not_reach_the_log(bench: Bench) -> None:
    nasty = "\x1b[31m\r\nissued an access token\u202e\x00"
    bench.post(bench.assertion(iss=nasty))
    bench.post(scope=nasty)
    bench.http.post(TOKEN_PATH, data={nasty: "x"})
    bench.http.get("/%1b%0a")
    assert len(bench.log) == 4
    for line in bench.log:
        assert line.isprintable()
        assert not line.startswith("issued")


def test_neither_token_nor_assertion_reaches_the_log(
    bench: Bench, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    assertion = bench.assertion()
    forged = bench.sign(bench.claims(), key=rsa_key(1))
    body = bench.post(assertion).get_json()
    secrets = [body["access_token"], assertion, forged]
    bench.post(assertion)
    bench.post(forged)
    # People mix their variables up.
    bench.post(client_id=forged)
    bench.post(scope=forged)
    bench.post(grant_type=forged)
    bench.post(resource=f"x{forged}")
    bench.post(client_assertion_type=forged)
    bench.post(bench.assertion(iss=forged, aud=forged))
    bench.post(bench.assertion(aud=[forged]))
    bench.post(bench.sign(bench.claims(), kid=body["access_token"]))
    bench.http.post(TOKEN_PATH, data={f'{{"client_assertion": "{forged}"}}': ""})
    bench.http.post(TOKEN_PATH, data={f'{{"client_assertion": "{forged}"}}': "x"})
    bench.http.get(f"/{forged}")
    captured = capfd.readouterr()
    everything = "\n".join([*bench.log, caplog.text, captured.out, captured.err])
    assert "(a JWT, left out)" in everything
    for secret in secrets:
        for part in secret.split("."):
            assert part[:20] not in everything


def test_log_goes_to_stderr_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    client_of(create_app([], ISSUER, Settings())).post(TOKEN_PATH)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ refused by request.client_assertion.missing: ", captured.err)
    assert captured.err.count("\n") == 1


def test_repr_holds_no_key() -> None:
    client = Client(CLIENT_ID, public_pem(rsa_key()))
    assert "BEGIN" not in repr(client)
    assert "BEGIN" not in repr(RegisteredClient.register(client))


# --- Over HTTP ---


@pytest.fixture
def served() -> Iterator[tuple[Sandbox, Bench]]:
    bench = Bench()
    sandbox = Sandbox([Client(CLIENT_ID, public_pem(rsa_key()))], clock=bench.clock, log=bench.log.append)
    with sandbox:
        yield sandbox, bench


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client


def test_token_is_got_over_http(
    served: tuple[Sandbox, Bench], http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox, bench = served
    assert sandbox.token_endpoint == f"http://127.0.0.1:{sandbox.port}{TOKEN_PATH}"
    assert sandbox.issuer == f"http://127.0.0.1:{sandbox.port}/a/oidc-provider/api/v0"
    document = http.get(f"{sandbox.issuer}/.well-known/openid-configuration").json()
    assert (document["issuer"], document["token_endpoint"]) == (sandbox.issuer, sandbox.token_endpoint)
    response = http.post(sandbox.token_endpoint, data=bench.form(bench.assertion(aud=sandbox.token_endpoint)))
    assert (response.status_code, response.http_version) == (200, "HTTP/1.1")
    assert response.headers["cache-control"] == "no-store"
    key = jwt.PyJWK(http.get(document["jwks_uri"]).json()["keys"][0])
    claims = jwt.decode(
        response.json()["access_token"], key, audience=CLIENT_ID, issuer=sandbox.issuer, options={"verify_iat": False}
    )
    assert claims["scope"] == "openid"
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""  # no access log of Werkzeug's


def test_refusals_over_http(served: tuple[Sandbox, Bench], http: httpx.Client) -> None:
    sandbox, bench = served
    response = http.post(sandbox.token_endpoint, data=bench.form(bench.assertion()))
    assert (response.status_code, response.json()) == (401, AUTHENTICATION_FAILED)
    assert bench.rule() == Rule.AUD_MISMATCH
    assert response.headers["x-request-id"] in bench.log[-1]
    response = http.post(sandbox.token_endpoint, json={})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    too_long = http.post(sandbox.token_endpoint, data={"scope": "x" * 200_000})
    assert too_long.status_code == 413


def test_requests_are_served_at_the_same_time(served: tuple[Sandbox, Bench], http: httpx.Client) -> None:
    sandbox, bench = served
    with socket.create_connection(("127.0.0.1", sandbox.port)):  # connects and says nothing
        forms = [bench.form(bench.assertion(aud=sandbox.issuer)) for _ in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda form: http.post(sandbox.token_endpoint, data=form).status_code, forms))
    assert statuses == [200] * 8


def test_what_is_not_http_is_not_logged_and_does_no_harm(
    served: tuple[Sandbox, Bench], http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox, _ = served
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"400" in connection.recv(4096)
    assert http.get(f"{sandbox.issuer}/jwks").status_code == 200
    assert capfd.readouterr().err == ""


def test_taken_port_is_a_configuration_error(capfd: pytest.CaptureFixture[str]) -> None:
    with Sandbox([], log=lambda _: None) as first:
        with pytest.raises(ConfigurationError, match=f"the port {first.port} on 127.0.0.1 cannot be used") as caught:
            Sandbox([], port=first.port)
        assert caught.value.hint
        assert caught.value.exit_code == 2
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_port_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="not a port number"):
        Sandbox([], port=70_000)


def test_port_is_free_again_after_shutdown(http: httpx.Client) -> None:
    with Sandbox([], log=lambda _: None) as first:
        assert http.get(f"{first.issuer}/jwks").status_code == 200
    with Sandbox([], port=first.port, log=lambda _: None) as second:
        assert http.get(f"{second.issuer}/jwks").status_code == 200


def test_port_is_free_again_where_a_client_cannot_be_registered() -> None:
    with Sandbox([]) as first:
        pass
    with pytest.raises(ConfigurationError, match="not a public key"):
        Sandbox([Client("a", "x")], port=first.port)
    Sandbox([], port=first.port).shutdown()


def test_a_wrong_key_is_told_even_if_the_port_is_taken() -> None:
    with Sandbox([], log=lambda _: None) as first, pytest.raises(ConfigurationError, match="not a public key"):
        Sandbox([Client("a", "x")], port=first.port)


def test_only_the_loopback_interface_is_bound() -> None:
    with Sandbox([]) as sandbox:
        assert sandbox._server.server_address[0] == "127.0.0.1"
        assert repr(sandbox) == f"Sandbox(issuer='{sandbox.issuer}')"


def test_serving_in_the_callers_thread_ends_with_shutdown(http: httpx.Client) -> None:
    sandbox = Sandbox([])
    thread = threading.Thread(target=sandbox.serve_forever)
    thread.start()
    assert http.get(f"{sandbox.issuer}/jwks").status_code == 200
    sandbox.shutdown()
    sandbox.shutdown()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_sandbox_that_never_served_can_be_shut_down() -> None:
    Sandbox([]).shutdown()


def test_sandbox_imports_nothing_of_what_signs() -> None:
    """Another library verifies than the one that signs; neither PyJWT nor what calls it may come in."""
    judges = {
        f"banno_creds.{name}"
        for name in (
            "checks",
            "config",
            "errors",
            "jose.jwk",
            "jose.libraries",
            "jose.public_keys",
            "redirection.listeners",
            "rules.assertion",
            "rules.clock",
            "rules.explanations",
            "rules.findings",
            "rules.known",
            "rules.presented",
            "rules.request",
            "rules.shown",
            "secrecy",
            "shells",
            "storage.secret_files",
            "text",
        )
    }
    for path in Path(str(banno_creds.sandbox.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] != "jwt", path
                if name.startswith("banno_creds"):
                    assert name in judges or name.startswith("banno_creds.sandbox."), path


def test_sandbox_brings_in_nothing_of_what_signs_by_a_detour_either() -> None:
    program = (
        "import sys, banno_creds.sandbox\n"
        "signs = ['jwt', 'banno_creds.client_authentication', 'banno_creds.jose.keys', 'banno_creds.jose.verify']\n"
        "sys.exit(', '.join(name for name in signs if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_jwk_whose_key_ops_lack_verify_is_no_key() -> None:
    key = public_jwk(rsa_key())
    with pytest.raises(ConfigurationError, match="holds no RSA or P-256 key for signatures"):
        create_app([Client(CLIENT_ID, key | {"key_ops": ["sign"]})], ISSUER, Settings(log=lambda _: None))
    bench = Bench(public_key=key | {"key_ops": ["verify"]})
    assert bench.post().status_code == 200
