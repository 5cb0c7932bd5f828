"""Client assertions with and without a fault, and the order in which the server looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conftest import CLIENT_ID
from tests.jwts import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDPOINT = "https://login.jackhenry.com/a/oidc-provider/api/v0/token"
ISSUER = "https://login.jackhenry.com/a/oidc-provider/api/v0"
JTI = "bfbaaa5b-aa91-45d0-aba2-999d57f08500"
CLAIMS = {"jti": JTI, "aud": ENDPOINT, "sub": CLIENT_ID, "iss": CLIENT_ID, "exp": NOW + 60}

ABSENT = object()
"""In the place of a claim, a member of the header or of `Known`: it is left out."""


def changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


FORM_ORDER = [
    "assertion.private_key",
    "assertion.malformed",
    "assertion.token",
    "assertion.sub.missing",
    "assertion.sub.malformed",
]

ORDER = [
    *FORM_ORDER,
    "assertion.sub.mismatch",
    "assertion.alg.unsupported",
    "assertion.alg.key_mismatch",
    "assertion.exp.missing",
    "assertion.jti.missing",
    "assertion.iss.missing",
    "assertion.iss.mismatch",
    "assertion.aud.missing",
    "assertion.aud.mismatch",
    "assertion.aud.array",
    "assertion.kid.unexpected",
    "assertion.kid.unknown",
    "assertion.crit.unsupported",
    "assertion.kid.other_key",
    "assertion.signature.invalid",
    "assertion.nbf.malformed",
    "assertion.nbf.future",
    "assertion.iat.malformed",
    "assertion.iat.future",
    "assertion.exp.malformed",
    "assertion.exp.milliseconds",
    "assertion.exp.past",
    "assertion.exp.too_far",
    "assertion.jti.malformed",
    "assertion.aud.malformed",
    "assertion.jti.replayed",
    "assertion.claims.unexpected",
]

PROVIDER_TOKEN = {"iss": ISSUER, "authType": "client", "scope": "openid", "azp": "a", "sub": CLIENT_ID}

_ECHOED = 20


def echoes(said: str, secret: str) -> bool:
    """Whether a stretch of the secret is in what was said."""
    return any(secret[i : i + _ECHOED] in said for i in range(len(secret) - _ECHOED + 1))
