"""glewlwyd, an OpenID provider in C that Debian has: set up by its API, as its administrators do.

It differs from oidc-provider where a client notices: a client that it refuses gets 403 and an empty body, an
assertion must be for the token endpoint, and who redeems a code by an assertion has to name the client beside it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.person import Person, free_port

from .conftest import LoginClient, Registration, base64url, new_private_key, public_jwk, public_pem, write_private_key
from .started import started

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "glewlwyd"
SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
MODULES = Path("/usr/lib/glewlwyd")
SCOPE = "accounts"
# The administrator of every new database.
ADMINISTRATOR = {"username": "admin", "password": "password"}
PLUGIN: dict[str, Any] = {
    "jwt-type": "rsa",
    "jwt-key-size": "256",
    "jwks-show": True,
    "access-token-duration": 600,
    "refresh-token-duration": 3600,
    "refresh-token-rolling": True,
    "refresh-token-one-use": "always",
    "code-duration": 600,
    "session-cookie-name": "GLEWLWYD2_OIDC_SID",
    "session-cookie-expiration": 3600,
    "session-management-allowed": True,
    "subject-type": "public",
    "name-claim": "mandatory",
    "email-claim": "no",
    "scope-claim": "no",
    "allow-non-oidc": True,  # client credentials are no part of OpenID Connect
    **{f"auth-type-{name}-enabled": name in ("client", "code", "refresh") for name in (
        "client", "code", "refresh", "implicit", "token", "password", "device", "none",
    )},
    "pkce-allowed": True,
    "pkce-required": True,
    "request-parameter-allow": True,
    "request-maximum-exp": 3600,
    "client-pubkey-parameter": "pubkey",
    "client-jwks-parameter": "jwks",
    "introspection-revocation-allowed": True,
    "introspection-revocation-allow-target-client": True,
    "oauth-as-iss-id": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Glewlwyd:
    """A running glewlwyd."""

    issuer: str
    registrations: dict[str, Registration]
    login_clients: dict[str, LoginClient]
    person: Person
    redirect_uri: str
    _log: Path
    _read: list[int] = field(default_factory=lambda: [0])

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    def told_its_operator(self) -> str:
        """What it logged since the last look: why it refused, which the client is never told."""
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(self._read[0])
            said = log.read()
            self._read[0] = log.tell()
        return said

    def sign_in(self, authorization_url: str) -> str:
        """Log in, consent and give the address at which the browser would end.

        Its pages are programs that call its API: this is what they call.
        """
        asked = parse_qs(urlsplit(authorization_url).query)
        with _api(self.issuer) as api:
            who = {"username": self.person.login, "password": self.person.password}
            api.post("auth/", json=who).raise_for_status()
            consent = {"scope": asked["scope"][0]}
            api.put(f"auth/grant/{asked['client_id'][0]}/", json=consent).raise_for_status()
            answer = api.get(f"{authorization_url}&g_continue")
        return answer.headers["location"]


def _api(issuer: str) -> httpx.Client:
    # trust_env: a proxy of the machine has no business on loopback.
    return httpx.Client(base_url=httpx.URL(issuer).join("/api/"), trust_env=False, timeout=30)


@contextmanager
def running_glewlwyd(folder: Path) -> Iterator[Glewlwyd]:
    """Start it with a database of its own, and register its clients and the one person."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    issuer = f"{origin}/api/oidc"
    database, settings, log = folder / "glewlwyd.db", folder / "glewlwyd.conf", folder / "glewlwyd.log"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCHEMA.read_text(encoding="utf-8"))
    settings.write_text(
        f"""\
port={port}
bind_address="127.0.0.1"
external_url="{origin}"
login_url="login.html"
api_prefix="api"
log_mode="file"
log_level="DEBUG"
log_file="{log}"
cookie_secure=0
session_expiration=3600
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{MODULES}/user"
client_module_path="{MODULES}/client"
user_auth_scheme_module_path="{MODULES}/scheme"
plugin_module_path="{MODULES}/plugin"
hash_algorithm="SHA256"
database = {{ type = "sqlite3"; path = "{database}"; }};
""",
        encoding="utf-8",
    )
    with started([PROGRAM, "-c", str(settings)], port, folder), _api(issuer) as api:
        redirect_uri = f"http://localhost:{free_port()}/auth/cb"
        person = Person("rileydoe", secrets.token_urlsafe(12), {"name": "Riley Doe"})
        _set_up(api, issuer, person)
        registrations = {name: _register(api, folder, name) for name in ("RS256-pem", "PS256-jwks", "ES256-pem")}
        login_clients = {
            method: _register_login(api, folder, method, redirect_uri)
            for method in ("private_key_jwt", "client_secret_basic", "client_secret_post")
        }
        yield Glewlwyd(issuer, registrations, login_clients, person, redirect_uri, log)


def _set_up(api: httpx.Client, issuer: str, person: Person) -> None:
    api.post("auth/", json=ADMINISTRATOR).raise_for_status()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signing = {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "of-this-run", "alg": "RS256", "use": "sig"}
    del signing["key_ops"]
    parameters = {"iss": issuer, "jwks-private": json.dumps({"keys": [signing]}), **PLUGIN}
    plugin = {"module": "oidc", "name": "oidc", "display_name": "OIDC", "parameters": parameters}
    api.post("mod/plugin/", json=plugin).raise_for_status()
    for scope in (SCOPE, "offline_access"):
        about = {"name": scope, "display_name": scope, "description": scope, "password_required": True, "scheme": {}}
        api.post("scope/", json=about | {"password_max_age": 0}).raise_for_status()
    who = {"username": person.login, "password": person.password, "name": person.claims["name"], "enabled": True}
    api.post("user/", json=who | {"scope": ["openid", "offline_access", SCOPE]}).raise_for_status()


def _register(api: httpx.Client, folder: Path, name: str) -> Registration:
    """An application that signs in by itself: its key registered as a PEM or as a JWK Set, and one algorithm."""
    alg, _, form = name.partition("-")
    key = new_private_key(alg)
    private_key_path, registered_path = folder / f"{name}.pem", folder / f"{name}.registered"
    write_private_key(private_key_path, key)
    kid = "of-the-client" if form == "jwks" else None
    if kid is None:
        registered_path.write_bytes(public_pem(key))
        keys: dict[str, object] = {"pubkey": registered_path.read_text()}
    else:
        keys = {"jwks": {"keys": [{**public_jwk(key), "kid": kid, "alg": alg, "use": "sig"}]}}
        registered_path.write_text(json.dumps(keys["jwks"]))
    client = {
        "client_id": f"application-{name}",
        "name": name,
        "confidential": True,
        "enabled": True,
        "authorization_type": ["client_credentials"],
        "redirect_uri": [],
        "scope": [SCOPE],
        "token_endpoint_auth_method": ["private_key_jwt"],
        "token_endpoint_signing_alg": alg,
        **keys,
    }
    api.post("client/", json=client).raise_for_status()
    return Registration(f"application-{name}", alg, kid, private_key_path, registered_path)


def _register_login(api: httpx.Client, folder: Path, method: str, redirect_uri: str) -> LoginClient:
    """An application that signs people in: with a secret, or with a key."""
    private_key_path = client_secret_path = None
    if method == "private_key_jwt":
        key = new_private_key("ES256")
        private_key_path = folder / "login.pem"
        write_private_key(private_key_path, key)
        credentials = {"pubkey": public_pem(key).decode()}
    else:
        # Without characters that RFC 6749 §2.3.1 has encoded: glewlwyd does not undo that.
        credentials = {"client_secret": base64url(secrets.token_bytes(24))}
        client_secret_path = folder / f"login-{method}.secret"
        client_secret_path.touch(mode=0o600)
        client_secret_path.write_text(credentials["client_secret"])
    client = {
        "client_id": f"login-{method}",
        "name": method,
        "confidential": True,
        "enabled": True,
        "authorization_type": ["code", "refresh_token", "id_token", "client_credentials"],
        "redirect_uri": [redirect_uri],
        "scope": [SCOPE],
        "token_endpoint_auth_method": [method],
        "post_logout_redirect_uri": str(httpx.URL(redirect_uri).copy_with(path="/")),
        **credentials,
    }
    api.post("client/", json=client).raise_for_status()
    return LoginClient(f"login-{method}", method, "RS256", private_key_path, client_secret_path)
