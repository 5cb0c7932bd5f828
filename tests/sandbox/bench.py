"""An application of the sandbox with one client, its clock and its log."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from flask.testing import FlaskClient
from joserfc.jwk import RSAKey

from banno_creds.sandbox import DEFAULT_SCOPES, Client, Rule, Settings, create_app

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.test import TestResponse

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

ISSUER = "http://127.0.0.1:4321/a/oidc-provider/api/v0"
TOKEN_ENDPOINT = f"{ISSUER}/token"

TOKEN_PATH = "/a/oidc-provider/api/v0/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT_ID = "199e6f35-4e9a-482e-b980-b10308aa428a"
START = 1_800_000_000
AUTHENTICATION_FAILED = {"error": "invalid_client", "error_description": "client authentication failed"}


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A fresh key per test run and number; making one for each test would take most of the time."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def shared_signing_key() -> RSAKey:
    key = RSAKey.import_key(rsa_key(99))
    key.ensure_kid()
    return key


def public_pem(key: PrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    public_key = key.public_key()
    if isinstance(public_key, rsa.RSAPublicKey):
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(public_key, as_dict=True)
    else:
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(public_key, as_dict=True)
    # PyJWT adds key_ops; what is registered here shall be bare.
    return {name: value for name, value in jwk.items() if name != "key_ops"} | members


class Clock:
    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


class AtTheIssuer(FlaskClient):
    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return super().open(*args, **{"base_url": "http://127.0.0.1:4321"} | kwargs)


def client_of(app: Flask) -> FlaskClient:
    """Flask's test client, which says the Host that the issuer has."""
    app.test_client_class = AtTheIssuer
    return app.test_client()


@dataclass
class Bench:
    """An application with one client, its clock and its log."""

    key: PrivateKey = field(default_factory=rsa_key)
    public_key: Any = None
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.log: list[str] = []
        client = Client(
            CLIENT_ID,
            self.public_key if self.public_key is not None else public_pem(self.key),
            scopes=self.scopes,
            institution_id="3f85ce95-2a1f-4f5d-a95c-7f4d3e9e1c11",
            account_id="0d9a4e7a-9f8e-4fd7-a1a4-1c2a1f0f3b22",
        )
        self.app = create_app([client], ISSUER, Settings(clock=self.clock, log=self.log.append, **self.options))
        self.http: FlaskClient = client_of(self.app)
        self._count = 0

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The five documented claims; a change to None takes one out."""
        self._count += 1
        claims = {
            "jti": f"jti-{self._count}",
            "aud": TOKEN_ENDPOINT,
            "sub": CLIENT_ID,
            "iss": CLIENT_ID,
            "exp": int(self.clock.now) + 60,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def sign(self, claims: dict[str, Any], *, alg: str | None = None, key: Any = None, **header: Any) -> str:
        alg = alg or ("PS256" if isinstance(self.key, rsa.RSAPrivateKey) else "ES256")
        # PyJWT refuses to sign what this test must be able to send (an iss that is no string, say), so the
        # payload is signed as a JWS.
        payload = json.dumps(claims).encode()
        return jwt.api_jws.encode(payload, key or self.key, algorithm=alg, headers=header or None)

    def assertion(self, **changes: Any) -> str:
        return self.sign(self.claims(**changes))

    def form(self, assertion: str | None = None, **changes: Any) -> dict[str, Any]:
        form = {
            "grant_type": "client_credentials",
            "scope": "openid",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion if assertion is not None else self.assertion(),
        }
        return {name: value for name, value in (form | changes).items() if value is not None}

    def post(self, assertion: str | None = None, **changes: Any) -> TestResponse:
        return self.http.post(TOKEN_PATH, data=self.form(assertion, **changes))

    def rule(self) -> str:
        """The rule that the last line of the log names."""
        found = re.match(
            r"refused by (\S+): received .+; expected .+; fix: (.+); more: banno-creds explain (\S+) "
            r"\(x-request-id [0-9a-f]{32}\)\Z",
            self.log[-1],
        )
        assert found, self.log[-1]
        assert found[3] == found[1]
        return found[1]

    def assert_authentication_failed(self, response: TestResponse, rule: Rule) -> None:
        assert (response.status_code, response.get_json()) == (401, AUTHENTICATION_FAILED)
        assert response.headers["Cache-Control"] == "no-store"
        assert self.rule() == rule

    def assert_refused(
        self, response: TestResponse, rule: Rule, *, error: str = "invalid_request", description: str
    ) -> None:
        assert response.status_code == 400
        assert response.get_json() == {"error": error, "error_description": description}
        assert response.headers["Cache-Control"] == "no-store"
        assert self.rule() == rule


def claims_of(response: TestResponse) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(response.get_json()["access_token"], options={"verify_signature": False})
    return claims
