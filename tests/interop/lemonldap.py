"""LemonLDAP::NG, an OpenID provider in Perl that Debian has: its portal alone, without a web server in front.

It knows clients with a secret alone, and says so in its discovery document. Its access tokens are no JWTs, it names
no revocation endpoint, and it keeps OpenID Connect Core §11: offline_access counts with prompt=consent alone.
"""

from __future__ import annotations

import json
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from cryptography.hazmat.primitives import serialization

from tests.person import Person, Visit, free_port

from .conftest import LoginClient, base64url, new_private_key, public_pem
from .started import started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = "use Lemonldap::NG::Portal::Main; Lemonldap::NG::Portal::Main->run({})"
# Of its module for demonstrations, with their passwords.
PERSON = Person("dwho", "dwho", {"name": "Doctor Who"})
CLIENT_ID = "login"


@dataclass(frozen=True, slots=True)
class Lemonldap:
    """A running LemonLDAP::NG."""

    issuer: str
    client: LoginClient
    redirect_uri: str

    def sign_in(self, authorization_url: str) -> str:
        """Log in, consent and give the address at which the browser would end."""
        with Visit(PERSON) as visit:
            return visit.sign_in(authorization_url)


@contextmanager
def running_lemonldap(folder: Path) -> Iterator[Lemonldap]:
    """Start it with its one client registered."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    redirect_uri = f"http://localhost:{free_port()}/auth/cb"
    secret = folder / "login.secret"
    secret.touch(mode=0o600)
    # Without characters that RFC 6749 §2.3.1 has encoded, and whose base64 has neither + nor /: it undoes neither.
    secret.write_text(secrets.token_hex(24))
    settings = folder / "lemonldap-ng.ini"
    settings.write_text(
        f"""\
[all]
logger=Lemonldap::NG::Common::Logger::Std
logLevel=error
checkTime=3600
[configuration]
type=File
dirName={folder}
[portal]
staticPrefix=/static
templateDir=/usr/share/lemonldap-ng/portal/templates
languages=en
""",
        encoding="utf-8",
    )
    configuration = _configuration(folder, issuer, secret.read_text(), redirect_uri)
    (folder / "lmConf-1.json").write_text(json.dumps(configuration), encoding="utf-8")
    command = ["plackup", "--host", "127.0.0.1", "--port", str(port), "--env", "deployment", "-e", PROGRAM]
    with started(command, port, folder, {"LLNG_DEFAULTCONFFILE": str(settings)}):
        client = LoginClient(CLIENT_ID, "client_secret_basic", "RS256", client_secret_path=secret)
        yield Lemonldap(issuer, client, redirect_uri)


def _configuration(folder: Path, issuer: str, secret: str, redirect_uri: str) -> dict[str, Any]:
    key = new_private_key("RS256")
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "cfgNum": 1,
        "cfgDate": int(time.time()),
        "cfgAuthor": "the tests",
        "cfgVersion": "2.16.1",
        "portal": f"{issuer}/",
        "domain": "127.0.0.1",
        "authentication": "Demo",
        "userDB": "Same",
        "passwordDB": "Null",
        "registerDB": "Null",
        "demoExportedVars": {"cn": "cn", "mail": "mail", "uid": "uid"},
        "key": base64url(secrets.token_bytes(24)),
        "cookieName": "lemonldap",
        "securedCookie": 0,
        # Loaded even where no captcha is asked for, and needs libraries for pictures: any other module will do.
        "captcha": "::Plugins::Status",
        "locationRules": {},
        "requireToken": 0,
        "whatToTrace": "uid",
        **_stores(folder),
        "issuerDBOpenIDConnectActivation": 1,
        "oidcServiceMetaDataIssuer": issuer,
        "oidcServiceAllowAuthorizationCodeFlow": 1,
        "oidcServicePrivateKeySig": pem.decode(),
        "oidcServicePublicKeySig": public_pem(key).decode(),
        "oidcServiceKeyIdSig": "of-this-run",
        "oidcRPMetaDataExportedVars": {CLIENT_ID: {"name": "cn", "email": "mail"}},
        "oidcRPMetaDataOptions": {
            CLIENT_ID: {
                "oidcRPMetaDataOptionsClientID": CLIENT_ID,
                "oidcRPMetaDataOptionsClientSecret": secret,
                "oidcRPMetaDataOptionsIDTokenSignAlg": "RS256",
                "oidcRPMetaDataOptionsRedirectUris": redirect_uri,
                "oidcRPMetaDataOptionsPostLogoutRedirectUris": str(httpx.URL(redirect_uri).copy_with(path="/")),
                "oidcRPMetaDataOptionsAllowOffline": 1,
                "oidcRPMetaDataOptionsRequirePKCE": 1,
                "oidcRPMetaDataOptionsUserIDAttr": "uid",
            }
        },
    }


def _stores(folder: Path) -> dict[str, Any]:
    stores: dict[str, Any] = {}
    for name in ("global", "persistent"):
        locks = folder / name / "locks"
        locks.mkdir(parents=True)
        stores[f"{name}Storage"] = "Apache::Session::File"
        stores[f"{name}StorageOptions"] = {"Directory": str(folder / name), "LockDirectory": str(locks)}
    stores["localSessionStorage"] = "Cache::FileCache"
    stores["localSessionStorageOptions"] = {"namespace": "tests", "cache_root": str(folder / "cache")}
    return stores
