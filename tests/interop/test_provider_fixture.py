"""The fixture itself: the server answers as the vendor's does, and tells its operator why it refuses."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import stat
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import jwt
import pytest

from tests.person import StuckError, Visit

from .conftest import (
    ALGORITHMS,
    CLIENT_AUTH_METHODS,
    DEBIAN,
    GRANTED_SCOPES,
    INSTITUTION_CLAIM,
    INSTITUTION_ID,
    OFFLINE_ACCESS,
    REFUSED_SCOPE,
    REGISTRATION_NAMES,
    REQUIRE_INTEROP,
    START_TIMEOUT,
    Event,
    ProviderProcess,
    base64url,
    debian_missing,
    decide,
    new_private_key,
    oidc_provider_missing,
    running_provider,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.needs import Need

    from .conftest import LoginClient, PrivateKey, Provider, Registration

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT_AUTHENTICATION_FAILED: dict[str, Any] = {
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


# --- persons ---


def _authorization(provider: Provider, client: LoginClient, verifier: str = "", **changed: str) -> dict[str, str]:
    challenge = base64url(hashlib.sha256(verifier.encode()).digest())
    return {
        "client_id": client.client_id,
        "response_type": "code",
        "redirect_uri": provider.redirect_uri,
        "scope": "openid profile",
        "state": "s",
        "nonce": "n",
        **({"code_challenge": challenge, "code_challenge_method": "S256"} if verifier else {}),
        **changed,
    }


def _client_authentication(provider: Provider, client: LoginClient) -> dict[str, Any]:
    if client.private_key_path is not None:
        claims = {
            "jti": str(uuid.uuid4()),
            "aud": provider.token_endpoint,
            "sub": client.client_id,
            "iss": client.client_id,
            "exp": int(time.time()) + 60,
        }
        assertion = jwt.encode(claims, client.private_key_path.read_text(), algorithm="PS256")
        return {"data": {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}}
    if client.token_endpoint_auth_method == "client_secret_post":
        return {"data": {"client_id": client.client_id, "client_secret": client.secret}}
    return {"data": {}, "auth": (quote(client.client_id, safe=""), quote(client.secret, safe=""))}


def _post(http: httpx.Client, provider: Provider, client: LoginClient, path: str, **form: str) -> httpx.Response:
    request = _client_authentication(provider, client)
    request["data"] |= form
    return http.post(f"{provider.issuer}{path}", **request)


def _signed_in(
    http: httpx.Client, provider: Provider, client: LoginClient, visit: Visit, **changed: str
) -> dict[str, Any]:
    verifier = secrets.token_urlsafe(32)
    request = httpx.URL(f"{provider.issuer}/auth", params=_authorization(provider, client, verifier, **changed))
    answer = dict(parse_qsl(urlsplit(visit.sign_in(str(request))).query))
    assert answer["state"] == "s"
    assert answer["iss"] == provider.issuer
    response = _post(
        http,
        provider,
        client,
        "/token",
        grant_type="authorization_code",
        code=answer["code"],
        redirect_uri=provider.redirect_uri,
        code_verifier=verifier,
    )
    assert response.status_code == 200, response.text
    token_set: dict[str, Any] = response.json()
    return token_set


@pytest.fixture
def visit(provider: Provider) -> Iterator[Visit]:
    with Visit(provider.people["rileydoe"]) as visit:
        yield visit


@pytest.mark.parametrize("name", [f"{method}-{alg}" for method in CLIENT_AUTH_METHODS for alg in ALGORITHMS])
def test_person_signs_in_and_the_id_token_is_signed_as_registered(
    name: str, provider: Provider, http: httpx.Client, visit: Visit
) -> None:
    client = provider.login_clients[name]

    token_set = _signed_in(http, provider, client, visit)

    assert jwt.get_unverified_header(token_set["id_token"])["alg"] == name.rpartition("-")[2]
    claims = jwt.decode(token_set["id_token"], options={"verify_signature": False})
    riley = provider.people["rileydoe"].claims
    assert {claim: claims[claim] for claim in ("sub", "name", "preferred_username")} == {
        claim: riley[claim] for claim in ("sub", "name", "preferred_username")
    }
    assert (claims["nonce"], claims["aud"]) == ("n", client.client_id)
    assert "refresh_token" not in token_set
    authorization, granted = provider.drain_events()
    assert authorization.event == "authorization.success"
    assert authorization.parameters is not None
    assert authorization.parameters["code_challenge_method"] == "S256"
    assert authorization.parameters["state"] == "…"
    method = client.token_endpoint_auth_method
    assert granted == Event(
        "grant.success", client.client_id, grant_type="authorization_code", client_auth_method=method
    )


@pytest.mark.parametrize("scope", ["openid offline_access", f"openid {OFFLINE_ACCESS}"])
def test_refresh_token_is_rotated_and_its_second_use_ends_them_all(
    scope: str, provider: Provider, http: httpx.Client, visit: Visit
) -> None:
    client = provider.login_clients["client_secret_basic-RS256"]
    first = _signed_in(http, provider, client, visit, scope=scope, prompt="consent")
    provider.drain_events()

    def refresh(token: str) -> httpx.Response:
        return _post(http, provider, client, "/token", grant_type="refresh_token", refresh_token=token)

    second = refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
    said = [(event.event, event.error_detail) for event in provider.drain_events()]
    assert said == [
        ("grant.success", None),
        ("grant.revoked", None),
        ("grant.error", "refresh token already used"),
        ("grant.error", "refresh token not found"),
    ]


def test_userinfo_revocation_and_the_end_of_the_session_are_told(
    provider: Provider, http: httpx.Client, visit: Visit
) -> None:
    client = provider.login_clients["private_key_jwt-ES256"]
    token_set = _signed_in(http, provider, client, visit)
    bearer = {"authorization": f"Bearer {token_set['access_token']}"}
    provider.drain_events()

    userinfo = http.get(f"{provider.issuer}/me", headers=bearer)
    assert userinfo.json()["name"] == "Riley Doe"
    assert _post(http, provider, client, "/token/revocation", token=token_set["access_token"]).status_code == 200
    assert http.get(f"{provider.issuer}/me", headers=bearer).status_code == 401
    page = visit.follow(f"{provider.issuer}/session/end?id_token_hint={token_set['id_token']}")
    assert "Signed out" in visit.press(page).text

    assert [(event.event, event.status) for event in provider.drain_events()] == [
        ("userinfo", 200),
        ("revocation", 200),
        ("userinfo", 401),
        ("grant.revoked", None),
        ("end_session.success", None),
    ]


def test_claims_parameter_gets_a_claim_outside_the_scope(
    provider: Provider, http: httpx.Client, visit: Visit
) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]
    wanted = json.dumps({"id_token": {INSTITUTION_CLAIM: None}})

    token_set = _signed_in(http, provider, client, visit, claims=wanted)

    claims = jwt.decode(token_set["id_token"], options={"verify_signature": False})
    assert claims[INSTITUTION_CLAIM] == INSTITUTION_ID


@pytest.mark.parametrize(
    ("changed", "error", "description"),
    [
        ({}, "invalid_request", "PKCE"),
        (
            {"verifier": "v" * 43, "redirect_uri": "https://localhost:1/elsewhere"},
            "invalid_redirect_uri",
            "redirect_uri",
        ),
        ({"verifier": "v" * 43, "scope": "openid", "prompt": "none"}, "login_required", "End-User"),
    ],
    ids=["no-pkce", "other-redirect-uri", "nobody-is-signed-in"],
)
def test_authorization_request_that_is_wrong_is_refused(
    changed: dict[str, str], error: str, description: str, provider: Provider, http: httpx.Client
) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]

    response = http.get(f"{provider.issuer}/auth", params=_authorization(provider, client, **changed))

    [event] = provider.drain_events()
    assert (event.event, event.error) == ("authorization.error", error)
    assert description in str(event.error_description)
    assert (response.status_code == 400) is (error == "invalid_redirect_uri")


def test_person_who_says_no_is_sent_back_with_that(provider: Provider, visit: Visit) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]
    request = httpx.URL(f"{provider.issuer}/auth", params=_authorization(provider, client, "v" * 43))

    ended = visit.sign_in(str(request), answer="cancel")

    assert ended.startswith(f"{provider.redirect_uri}?error=access_denied&error_description=")


def test_wrong_password_signs_nobody_in(provider: Provider) -> None:
    client = provider.login_clients["private_key_jwt-RS256"]
    request = httpx.URL(f"{provider.issuer}/auth", params=_authorization(provider, client, "v" * 43))

    with (
        Visit(provider.people["rileydoe"]._replace(password="guessed")) as visit,
        pytest.raises(StuckError, match="no end"),
    ):
        visit.sign_in(str(request))

    assert provider.drain_events() == []


def test_client_that_has_to_push_its_request_signs_in_only_so(
    provider: Provider, http: httpx.Client, visit: Visit
) -> None:
    client = provider.login_clients["pushing"]
    request = _authorization(provider, client, "v" * 43)
    assert http.get(f"{provider.issuer}/auth", params=request).status_code == 303
    assert [event.error for event in provider.drain_events()] == ["invalid_request"]

    pushed = _post(http, provider, client, "/request", **request).json()
    params = {"client_id": client.client_id, "request_uri": pushed["request_uri"]}
    ended = visit.sign_in(str(httpx.URL(f"{provider.issuer}/auth", params=params)))

    assert ended.startswith(f"{provider.redirect_uri}?code=")
    assert [event.event for event in provider.drain_events()] == [
        "pushed_authorization_request.success",
        "authorization.success",
    ]


def test_discovery_says_what_a_login_needs(provider: Provider, http: httpx.Client) -> None:
    metadata = http.get(f"{provider.issuer}/.well-known/openid-configuration").json()

    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert set(metadata["id_token_signing_alg_values_supported"]) == set(ALGORITHMS)
    assert {"authorization_endpoint", "userinfo_endpoint", "revocation_endpoint", "end_session_endpoint"} <= set(
        metadata
    )
    assert metadata["pushed_authorization_request_endpoint"] == f"{provider.issuer}/request"
    assert not metadata.get("require_pushed_authorization_requests", False)


def test_strict_server_says_so(strict_provider: Provider, http: httpx.Client) -> None:
    metadata = http.get(f"{strict_provider.issuer}/.well-known/openid-configuration").json()

    assert metadata["require_pushed_authorization_requests"] is True
    assert set(metadata["token_endpoint_auth_methods_supported"]) == {"private_key_jwt", "client_secret_post"}


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
    decision = decide(oidc_provider_missing(node=node, package_installed=package_installed), required=False)

    assert decision.action == "skip"
    assert decision.reason.startswith(f"{missing} is not installed")
    assert "`make interop`" in decision.reason


@pytest.mark.parametrize("need", DEBIAN.values(), ids=DEBIAN)
def test_missing_package_skips_with_its_name(need: Need, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    missing = debian_missing(need)

    assert missing == f"{need.skipped} is not installed (Debian: apt-get install {need.package})"


def test_missing_server_fails_where_skipping_is_forbidden() -> None:
    decision = decide("node is not installed", required=True)

    assert (decision.action, decision.reason) == (
        "fail",
        f"node is not installed ({REQUIRE_INTEROP}=1 forbids skipping)",
    )


@pytest.mark.parametrize("required", [True, False])
def test_installed_server_is_used_whether_required_or_not(required: bool) -> None:
    missing = oidc_provider_missing(node="/usr/bin/node", package_installed=True)

    assert decide(missing, required=required).action == "run"
