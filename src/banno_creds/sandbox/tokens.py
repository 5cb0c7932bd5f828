"""The tokens that the sandbox signs: access tokens as the vendor makes them, and ID tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from banno_creds.sandbox.exchange import faults, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from banno_creds.sandbox.clients import Client

OTHER_ISSUER: Final = "https://issuer.example"
"""The wrong issuer in the faults ``id-token=other-issuer`` and ``callback=other-issuer``."""

_ID_TOKEN_LIFETIME: Final = 3600  # as in the vendor's example
_ACCESS_TOKEN_ALG: Final = "RS256"  # noqa: S105 - an algorithm's name


class SigningKeys:
    """The sandbox's own keys, one for each algorithm. They are never written to a file."""

    def __init__(self, id_token_algorithms: Iterable[str]) -> None:
        self.algorithms: Final = tuple(dict.fromkeys((_ACCESS_TOKEN_ALG, *id_token_algorithms)))
        self._keys: dict[tuple[str, str], RSAKey | ECKey] = {}
        self._lock = threading.Lock()
        self._key("", _ACCESS_TOKEN_ALG)

    def sign(self, claims: Mapping[str, Any], alg: str) -> str:
        """Return the signed JWT."""
        key = self._key("not published yet" if "expired-jwks" in faults() else "", alg)
        # Not "at+jwt": that type promises RFC 9068, whose sub and client_id the vendor's tokens do not have.
        return jwt.encode({"alg": alg, "typ": "JWT", "kid": key.kid}, dict(claims), key, algorithms=[alg])

    def sign_with_another(self, claims: Mapping[str, Any], alg: str) -> str:
        """Sign with a key that is not the one its ``kid`` names, for the fault ``id-token=other-key``."""
        header = {"alg": alg, "typ": "JWT", "kid": self._key("", alg).kid}
        return jwt.encode(header, dict(claims), self._key("another", alg), algorithms=[alg])

    def sign_with_the_public_key(self, claims: Mapping[str, Any]) -> str:
        """Use the public key as a shared secret, as the attack does, for the fault ``id-token=hs256``."""
        key = self._key("", _ACCESS_TOKEN_ALG)
        signed = _unsigned({"alg": "HS256", "typ": "JWT", "kid": key.kid}, claims)
        return f"{signed}.{_base64url(hmac.digest(key.as_pem(private=False), signed.encode(), 'sha256'))}"

    def claims_of(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that these keys signed, expired or not."""
        keys = KeySet([self._key("", alg) for alg in self.algorithms])
        return jwt.decode(token, keys, algorithms=list(self.algorithms)).claims

    def jwks(self) -> dict[str, Any]:
        """Return the JWK Set that verifies the tokens (RFC 7517 section 5)."""
        name = "no longer used" if "expired-jwks" in faults() else ""
        return {"keys": [self._key(name, alg).as_dict(private=False, use="sig", alg=alg) for alg in self.algorithms]}

    def _key(self, name: str, alg: str) -> RSAKey | ECKey:
        """Return the key of that name and algorithm, which is made at its first use."""
        with self._lock:
            if (name, alg) not in self._keys:
                self._keys[name, alg] = (
                    ECKey.generate_key("P-256", auto_kid=True)
                    if alg == "ES256"
                    else RSAKey.generate_key(2048, auto_kid=True)
                )
            return self._keys[name, alg]


class Tokens:
    """Makes the tokens; an access token lives for `lifetime` seconds."""

    def __init__(self, issuer: str, lifetime: int, keys: SigningKeys) -> None:
        self.lifetime = lifetime
        self._issuer = issuer
        self._keys = keys

    def access_token(
        self,
        client: Client,
        scope: str,
        audience: str | list[str],
        *,
        institution_id: str | None = None,
        sub: str | None = None,
    ) -> str:
        """Make an access token with the vendor's claims: for a user (`sub`), or for the client itself."""
        if "opaque-token" in faults():
            return secrets.token_urlsafe(32)
        issued = now()
        claims = {
            "authType": "e",
            "v": "0",
            "clientName": client.name,
            "institutionId": institution_id or client.institution_id,
            "accountId": sub or client.account_id,
            "jti": secrets.token_urlsafe(16),
            "iat": issued,
            "exp": issued + self.lifetime,
            "scope": scope,
            "iss": self._issuer,
            "aud": audience,
        }
        if sub is not None:
            claims["sub"] = sub
        return self._keys.sign(claims, _ACCESS_TOKEN_ALG)

    def id_token(
        self, client: Client, told: Mapping[str, Any], *, auth_time: int, nonce: str | None, access_token: str
    ) -> str:
        """Make an ID token that holds the claims in `told`; the fault ``id-token`` breaks it."""
        issued = now()
        claims = {
            **told,
            "at_hash": at_hash(access_token),
            "aud": client.client_id,
            "exp": issued + _ID_TOKEN_LIFETIME,
            "iat": issued,
            "iss": self._issuer,
            "auth_time": auth_time,
        }
        if nonce is not None:
            claims["nonce"] = nonce
        alg = client.id_token_signed_response_alg
        match faults().asked.get("id-token"):
            case "none":
                return f"{_unsigned({'alg': 'none', 'typ': 'JWT'}, claims)}."
            case "hs256":
                return self._keys.sign_with_the_public_key(claims)
            case "other-key":
                return self._keys.sign_with_another(claims, alg)
            case "other-client":
                claims["aud"] = "another-client"
            case "other-issuer":
                claims["iss"] = OTHER_ISSUER
            case "expired":
                claims["iat"] -= 3 * _ID_TOKEN_LIFETIME
                claims["exp"] -= 3 * _ID_TOKEN_LIFETIME
            case "no-nonce":
                claims.pop("nonce", None)
            case "wrong-nonce":
                claims["nonce"] = secrets.token_urlsafe(16)
            case "wrong-at-hash":
                claims["at_hash"] = at_hash(secrets.token_urlsafe(16))
        return self._keys.sign(claims, alg)


def at_hash(access_token: str) -> str:
    """Return the ``at_hash`` of an access token; every algorithm here uses SHA-256 (Core section 3.1.3.6)."""
    return _base64url(hashlib.sha256(access_token.encode("ascii")).digest()[:16])


def _unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
