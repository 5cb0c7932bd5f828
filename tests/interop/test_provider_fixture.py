"""The fixture itself: the server answers as the vendor's does, and tells its operator why it refuses."""

from __future__ import annotations

import shutil
import stat
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest

from .conftest import (
    GRANTED_SCOPES,
    INSTITUTION_ID,
    REFUSED_SCOPE,
    REGISTRATION_NAMES,
    REQUIRE_INTEROP,
    START_TIMEOUT,
    Event,
    ProviderProcess,
    decide,
    new_private_key,
    running_provider,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import PrivateKey, Provider, Registration

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT_AUTHENTICATION_FAILED = {
    "error": "invalid_client",
    "error_description": "client authentication failed",
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    # trust_env: a proxy of the machine has no business on loopback.
    with httpx.Client(trust_env=False) as client:
        yield client


def claims_for(provider: Provider, registration: Registration) -> dict[str, Any]:
    return {
        "jti": str(uuid.uuid4()),
        "aud": provider.token_endpoint,
        "sub": registration.client_id,
        "iss": registration.client_id,
        "exp": int(time.time()) + 60,
    }


def sign(
    registration: Registration,
    claims: dict[str, Any],
    *,
    key: PrivateKey | None = None,
    alg: str | None = None,
    kid: str | None = None,
) -> str:
    kid = kid or registration.kid
    return jwt.encode(
        claims,
        key or registration.private_key_path.read_text(),
        algorithm=alg or registration.alg,
        headers={"kid": kid} if kid else None,
    )


def request_token(http: httpx.Client, provider: Provider, assertion: str, **form: str) -> httpx.Response:
    return http.post(
        provider.token_endpoint,
        data={
            "grant_type": "client_credentials",
            "scope": "openid",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
            **form,
        },
    )


def refusal(registration: Registration, error_detail: str) -> Event:
    return Event("grant.error", registration.client_id, **CLIENT_AUTHENTICATION_FAILED, error_detail=error_detail)


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
def test_each_registration_gets_a_signed_jwt_for_600_seconds(
    name: str, provider: Provider, http: httpx.Client
) -> None:
    registration = provider.registrations[name]

    response = request_token(
        http, provider, sign(registration, claims_for(provider, registration)), scope=" ".join(GRANTED_SCOPES)
    )

    assert response.status_code == 200, response.text
    answer = response.json()
    access_token = answer.pop("access_token")
    assert answer == {"expires_in": 600, "token_type": "Bearer", "scope": " ".join(GRANTED_SCOPES)}
    jwks = jwt.PyJWKSet.from_dict(http.get(f"{provider.issuer}/jwks").json())
    header = jwt.get_unverified_header(access_token)
    claims = jwt.decode(
        access_token,
        jwks[header["kid"]].key,
        algorithms=["RS256"],
        audience=registration.client_id,
        issuer=provider.issuer,
    )
    assert claims["exp"] - claims["iat"] == 600
    assert claims["clientName"] == name
    assert claims["institutionId"] == INSTITUTION_ID
    assert provider.drain_events() == [Event("grant.success", registration.client_id)]


def test_discovery_names_the_endpoints_and_the_algorithms_under_the_issuer(
    provider: Provider, http: httpx.Client
) -> None:
    metadata = http.get(f"{provider.issuer}/.well-known/openid-configuration").json()

    assert provider.issuer.endswith("/a/oidc-provider/api/v0")
    assert metadata["issuer"] == provider.issuer
    assert metadata["token_endpoint"] == provider.token_endpoint == f"{provider.issuer}/token"
    assert metadata["jwks_uri"] == f"{provider.issuer}/jwks"
    assert "client_credentials" in metadata["grant_types_supported"]
    assert "private_key_jwt" in metadata["token_endpoint_auth_methods_supported"]
    assert set(metadata["token_endpoint_auth_signing_alg_values_supported"]) == {"RS256", "PS256", "ES256"}


def test_nothing_is_served_outside_the_mount_path(provider: Provider, http: httpx.Client) -> None:
    root = httpx.URL(provider.issuer).copy_with(path="/.well-known/openid-configuration")

    assert http.get(root).status_code == 404


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
def test_wrong_key_is_refused_and_only_the_operator_learns_why(
    name: str, provider: Provider, http: httpx.Client
) -> None:
    registration = provider.registrations[name]
    wrong_key = new_private_key(registration.alg)

    response = request_token(http, provider, sign(registration, claims_for(provider, registration), key=wrong_key))

    assert response.status_code == 401
    assert response.json() == CLIENT_AUTHENTICATION_FAILED
    assert provider.next_event() == refusal(registration, "signature verification failed")


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
def test_unregistered_kid_is_refused_although_the_key_is_right(
    name: str, provider: Provider, http: httpx.Client
) -> None:
    registration = provider.registrations[name]

    response = request_token(
        http, provider, sign(registration, claims_for(provider, registration), kid="unregistered")
    )

    assert (response.status_code, response.json()) == (401, CLIENT_AUTHENTICATION_FAILED)
    assert provider.next_event() == refusal(registration, "no applicable key found in the JSON Web Key Set")


def test_assertion_is_accepted_once(provider: Provider, http: httpx.Client) -> None:
    registration = provider.registrations["PS256-pem"]
    assertion = sign(registration, claims_for(provider, registration))

    first = request_token(http, provider, assertion)
    second = request_token(http, provider, assertion)

    assert first.status_code == 200
    assert (second.status_code, second.json()) == (401, CLIENT_AUTHENTICATION_FAILED)
    assert provider.drain_events() == [
        Event("grant.success", registration.client_id),
        refusal(registration, "client assertion tokens must only be used once"),
    ]


def test_jti_is_spent_even_when_the_second_assertion_is_another(provider: Provider, http: httpx.Client) -> None:
    registration = provider.registrations["ES256-pem"]
    claims = claims_for(provider, registration)

    first = request_token(http, provider, sign(registration, claims))
    second = request_token(http, provider, sign(registration, {**claims, "exp": claims["exp"] + 1}))

    assert (first.status_code, second.status_code) == (200, 401)
    assert provider.drain_events()[-1] == refusal(registration, "client assertion tokens must only be used once")


@pytest.mark.parametrize(
    ("changed", "error_detail"),
    [
        ({"exp": None}, "expiration must be specified in the client_assertion JWT"),
        ({"jti": None}, "unique jti (JWT ID) must be provided in the client_assertion JWT"),
        ({"iss": None}, "iss (JWT issuer) must be provided in the client_assertion JWT"),
        ({"iss": "somebody-else"}, "iss (JWT issuer) must be the client_id"),
        ({"aud": None}, "aud (JWT audience) must be provided in the client_assertion JWT"),
        (
            {"aud": "https://login.jackhenry.com/a/oidc-provider/api/v0/token"},
            "audience (aud) must equal the endpoint url, issuer identifier or token endpoint url",
        ),
        ({"exp": 1_600_000_000}, "jwt expired"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_faulty_claim_gets_the_same_answer_and_its_own_error_detail(
    changed: dict[str, Any], error_detail: str, provider: Provider, http: httpx.Client
) -> None:
    registration = provider.registrations["PS256-pem"]
    claims = {**claims_for(provider, registration), **changed}
    claims = {name: value for name, value in claims.items() if value is not None}

    response = request_token(http, provider, sign(registration, claims))

    assert (response.status_code, response.json()) == (401, CLIENT_AUTHENTICATION_FAILED)
    assert provider.next_event() == refusal(registration, error_detail)


def test_registration_pins_its_algorithm(provider: Provider, http: httpx.Client) -> None:
    registration = provider.registrations["RS256-pem"]

    response = request_token(http, provider, sign(registration, claims_for(provider, registration), alg="PS256"))

    assert response.status_code == 401
    assert provider.next_event() == refusal(registration, "alg mismatch")


def test_unknown_client_is_reported_by_the_name_it_claims(provider: Provider, http: httpx.Client) -> None:
    registration = provider.registrations["PS256-pem"]
    stranger = str(uuid.uuid4())
    claims = {**claims_for(provider, registration), "iss": stranger, "sub": stranger}

    response = request_token(http, provider, sign(registration, claims))

    assert (response.status_code, response.json()) == (401, CLIENT_AUTHENTICATION_FAILED)
    assert provider.next_event() == Event(
        "grant.error", stranger, **CLIENT_AUTHENTICATION_FAILED, error_detail="client not found"
    )


def test_scope_the_client_was_not_granted_is_refused(provider: Provider, http: httpx.Client) -> None:
    registration = provider.registrations["PS256-pem"]

    response = request_token(
        http, provider, sign(registration, claims_for(provider, registration)), scope=REFUSED_SCOPE
    )

    assert response.status_code == 400
    assert response.json() == {
        "error": "invalid_scope",
        "error_description": "requested scope is not allowed",
        "scope": REFUSED_SCOPE,
    }


def test_resource_the_server_does_not_know_is_refused(provider: Provider, http: httpx.Client) -> None:
    registration = provider.registrations["PS256-pem"]
    assertion = sign(registration, claims_for(provider, registration))

    response = request_token(http, provider, assertion, resource="https://elsewhere.example")

    assert (response.status_code, response.json()["error"]) == (400, "invalid_target")


def test_each_test_starts_without_the_events_of_another(provider: Provider) -> None:
    assert provider.drain_events() == []


def test_waiting_for_an_event_that_never_comes_ends(provider: Provider) -> None:
    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        provider.next_event(timeout=0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no POSIX file modes")
def test_private_keys_are_for_their_owner_alone(provider: Provider) -> None:
    modes = {stat.S_IMODE(r.private_key_path.stat().st_mode) for r in provider.registrations.values()}

    assert modes == {0o600}


def test_server_is_ended_when_its_user_fails(tmp_path: Path) -> None:
    def fail_in_the_middle() -> None:
        with running_provider(tmp_path) as doomed:
            providers.append(doomed)
            raise LookupError

    providers: list[Provider] = []
    with pytest.raises(LookupError):
        fail_in_the_middle()

    assert providers[0]._process.returncode == 0


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    process = ProviderProcess(node, tmp_path / "oidc-provider.log")
    try:
        process.send({"clients": [{"client_name": "nobody"}], "port": 0})
        with pytest.raises(RuntimeError, match="client_id is mandatory"):
            process.receive(START_TIMEOUT)
    finally:
        process.stop()

    assert process.returncode == 1


@pytest.mark.parametrize(
    ("node", "package_installed", "missing"),
    [(None, True, "Node.js"), (None, False, "Node.js"), ("/usr/bin/node", False, "oidc-provider")],
)
def test_missing_server_skips_with_the_command_that_gets_it(
    node: str | None, package_installed: bool, missing: str
) -> None:
    decision = decide(node=node, package_installed=package_installed, required=False)

    assert decision.action == "skip"
    assert decision.reason.startswith(f"{missing} is not installed")
    assert "`make interop`" in decision.reason


@pytest.mark.parametrize(("node", "package_installed"), [(None, True), ("/usr/bin/node", False)])
def test_missing_server_fails_where_skipping_is_forbidden(node: str | None, package_installed: bool) -> None:
    decision = decide(node=node, package_installed=package_installed, required=True)

    assert decision.action == "fail"
    assert "`make interop`" in decision.reason
    assert f"{REQUIRE_INTEROP}=1" in decision.reason


@pytest.mark.parametrize("required", [True, False])
def test_installed_server_is_used_whether_required_or_not(required: bool) -> None:
    assert decide(node="/usr/bin/node", package_installed=True, required=required).action == "run"
