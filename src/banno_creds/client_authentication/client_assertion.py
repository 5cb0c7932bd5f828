"""The client assertion: build claims and header, and sign them into a compact JWS (RFC 7523 section 3).

The serialization (RFC 7515 section 3.1) is three parts and two dots. It is written here so that a signer only has to
sign bytes, and because importing a JWT library takes a fifth of a whole run. In the tests, PyJWT, Authlib, OpenSSL
and oidc-provider each verify the result.
"""

from __future__ import annotations

import uuid
from json import dumps
from typing import TYPE_CHECKING, Any

from banno_creds.jose.encoding import base64url
from banno_creds.steps import AssertionBuilt, AssertionSigned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.client_authentication.private_key import Signer
    from banno_creds.config import ClientConfig
    from banno_creds.jose.keys import PrivateKey
    from banno_creds.key_holders.held_key import HeldKey
    from banno_creds.steps import Run

CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def make_assertion(config: ClientConfig, signer: Signer, audience: str, run: Run) -> str:
    """Build and sign one client assertion, a compact JWS.

    Args:
        config: the client.
        signer: the signer.
        audience: the token endpoint's exact URL, which is used unless the configuration has an ``aud``.
        run: how the run goes.

    Raises:
        SigningError: the key is damaged, or its holder does not sign.
    """
    now = int(run.clock())
    claims = build_claims(config, audience, now)
    run.emit(AssertionBuilt(claims, now))
    header = build_header(config, signer.alg, signer.key)
    client_assertion = sign(header, claims, signer)
    run.emit(AssertionSigned(header, client_assertion))
    return client_assertion


def build_claims(config: ClientConfig, audience: str, now: int) -> dict[str, Any]:
    """Build the claims that the vendor documents, and the additional ones of the configuration."""
    claims: dict[str, Any] = {
        "jti": str(uuid.uuid4()),
        "aud": config.aud or audience,
        "sub": config.client_id,
        "iss": config.client_id,
        "exp": now + config.lifetime,
    }
    if config.iat:
        claims["iat"] = now
    return claims | dict(config.claims)


def build_header(config: ClientConfig, alg: str, key: PrivateKey | HeldKey) -> dict[str, str]:
    """Build the JOSE header: ``alg``, and a ``kid`` on request or for a JWKS URI.

    The server refuses a ``kid`` that is not in the registration, and a key registered as PEM has none.
    """
    header = {"alg": alg}
    if config.key_id is not None:
        header["kid"] = key.public.thumbprint() if config.key_id == "thumbprint" else config.key_id
    return header


def sign(header: Mapping[str, Any], claims: Mapping[str, Any], signer: Signer) -> str:
    """Serialize and sign the assertion (RFC 7515 sections 5.1 and 7.1); SigningError if the signer cannot."""
    signing_input = f"{_part(header)}.{_part(claims)}"
    return f"{signing_input}.{base64url(signer.sign(signing_input.encode('ascii')))}"


def _part(members: Mapping[str, Any]) -> str:
    return base64url(dumps(members, separators=(",", ":")).encode("utf-8"))
