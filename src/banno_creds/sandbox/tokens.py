"""What signs: access tokens with the vendor's claims, and ID tokens (OpenID Connect Core section 2)."""

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

from banno_creds.sandbox.request_at_hand import faults, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from banno_creds.sandbox.clients import Client

ID_TOKEN_LIFETIME: Final = 3600
"""How long an ID token lives, in seconds: as in the vendor's example."""

_ACCESS_TOKEN_ALG: Final = "RS256"  # noqa: S105 - an algorithm's name


class SigningKeys:
    """The sandbox's own keys, one for each algorithm, never written anywhere.

    Args:
        algorithms: those that ID tokens are signed with, beside the one of access tokens.
    """

    def __init__(self, algorithms: Iterable[str] = ()) -> None:
        self.algorithms: Final = tuple(dict.fromkeys((_ACCESS_TOKEN_ALG, *algorithms)))
        self._keys: dict[tuple[str, str], RSAKey | ECKey] = {}
        self._lock = threading.Lock()
        self._key("", _ACCESS_TOKEN_ALG)

    def sign(self, claims: Mapping[str, Any], alg: str) -> str:
        """Sign a token.

        Args:
            claims: its claims.
            alg: the algorithm.

        Returns:
            The JWT.
        """
        key = self._key("not published yet" if "expired-jwks" in faults() else "", alg)
        # Not "at+jwt": that type promises RFC 9068, whose sub and client_id the vendor's tokens do not have.
        return jwt.encode({"alg": alg, "typ": "JWT", "kid": key.kid}, dict(claims), key, algorithms=[alg])

    def sign_with_another(self, claims: Mapping[str, Any], alg: str) -> str:
        """Sign with a key that is not the one its ``kid`` names; for the fault ``id-token=other-key``."""
        header = {"alg": alg, "typ": "JWT", "kid": self._key("", alg).kid}
        return jwt.encode(header, dict(claims), self._key("nobody's", alg), algorithms=[alg])

    def sign_with_the_public_key(self, claims: Mapping[str, Any]) -> str:
        """Take the public key for a shared secret, as in the attack; for the fault ``id-token=hs256``."""
        key = self._key("", _ACCESS_TOKEN_ALG)
        signed = _unsigned({"alg": "HS256", "typ": "JWT", "kid": key.kid}, claims)
        return f"{signed}.{_base64url(hmac.digest(key.as_pem(private=False), signed.encode(), 'sha256'))}"

    def claims_of(self, token: str) -> dict[str, Any]:
        """Read a token of ours, whether or not it has expired.

        Args:
            token: the JWT.

        Returns:
            Its claims.

        Raises:
            JoseError: it is none of ours.
            ValueError: it is no JWT at all.
        """
        keys = KeySet([self._key("", alg) for alg in self.algorithms])
        return jwt.decode(token, keys, algorithms=list(self.algorithms)).claims

    def jwks(self) -> dict[str, Any]:
        """Give the JWK Set that verifies the tokens (RFC 7517 section 5)."""
        name = "no longer used" if "expired-jwks" in faults() else ""
        return {"keys": [self._key(name, alg).as_dict(private=False, use="sig", alg=alg) for alg in self.algorithms]}

    def _key(self, name: str, alg: str) -> RSAKey | ECKey:
        """A key by what it is good for, made when it is first wanted."""
        with self._lock:
            if (name, alg) not in self._keys:
                self._keys[name, alg] = (
                    ECKey.generate_key("P-256", auto_kid=True)
                    if alg == "ES256"
                    else RSAKey.generate_key(2048, auto_kid=True)
                )
            return self._keys[name, alg]


class Tokens:
    """Makes the tokens.

    Args:
        issuer: the issuer identifier.
        lifetime: how long an access token lives, in seconds.
        keys: what signs.
    """

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
        """Make an access token with the vendor's claims.

        Args:
            client: whom it is for.
            scope: the granted scope.
            audience: the ``aud`` claim.
            institution_id: the institution the user has chosen; the client's own where there is no user.
            sub: the user; None where there is none.

        Returns:
            The token.
        """
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
        """Make an ID token, or what the fault ``id-token`` makes of it.

        Args:
            client: whom it is for, and whose algorithm signs it.
            told: the claims about the user.
            auth_time: when the user signed in, in seconds.
            nonce: the authorization request's ``nonce``; None leaves the claim out.
            access_token: what ``at_hash`` is of.

        Returns:
            The JWT.
        """
        issued = now()
        claims = {
            **told,
            "at_hash": at_hash(access_token),
            "aud": client.client_id,
            "exp": issued + ID_TOKEN_LIFETIME,
            "iat": issued,
            "iss": self._issuer,
            "auth_time": auth_time,
        }
        if nonce is not None:
            claims["nonce"] = nonce
        alg = client.id_token_signed_response_alg
        fault = faults().asked.get("id-token")
        if fault == "none":
            return f"{_unsigned({'alg': 'none', 'typ': 'JWT'}, claims)}."
        if fault == "hs256":
            return self._keys.sign_with_the_public_key(claims)
        if fault == "other-key":
            return self._keys.sign_with_another(claims, alg)
        if isinstance(fault, str):
            _CHANGES[fault](claims)
        return self._keys.sign(claims, alg)


def at_hash(access_token: str) -> str:
    """The ``at_hash`` of an access token; every algorithm here hashes with SHA-256 (Core section 3.1.3.6)."""
    return _base64url(hashlib.sha256(access_token.encode("ascii")).digest()[:16])


def _of_another_client(claims: dict[str, Any]) -> None:
    claims["aud"] = "another-client"


def _of_another_issuer(claims: dict[str, Any]) -> None:
    claims["iss"] = OTHER_ISSUER


def _expired(claims: dict[str, Any]) -> None:
    claims["iat"] -= 3 * ID_TOKEN_LIFETIME
    claims["exp"] -= 3 * ID_TOKEN_LIFETIME


def _without_nonce(claims: dict[str, Any]) -> None:
    claims.pop("nonce", None)


def _with_another_nonce(claims: dict[str, Any]) -> None:
    claims["nonce"] = secrets.token_urlsafe(16)


def _with_another_at_hash(claims: dict[str, Any]) -> None:
    claims["at_hash"] = at_hash(secrets.token_urlsafe(16))


OTHER_ISSUER: Final = "https://issuer.example"
"""The issuer that the faults speak of."""

_CHANGES: Final[Mapping[str, Callable[[dict[str, Any]], None]]] = {
    "other-client": _of_another_client,
    "other-issuer": _of_another_issuer,
    "expired": _expired,
    "no-nonce": _without_nonce,
    "wrong-nonce": _with_another_nonce,
    "wrong-at-hash": _with_another_at_hash,
}


def _unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
