"""What is said of a published JWK Set against oidc-provider: what fails here is refused there, and nothing else.

Each odd set is served at a JWKS URI, and an assertion by its key, without a kid, is really presented.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from banno_creds.client_authentication.client_assertion import sign
from banno_creds.client_authentication.signer import KeySigner
from banno_creds.rules.findings import Verdict
from banno_creds.rules.key_set import judge_key_set
from tests.rules.odd_sets import ODD, mine
from tests.servers.files import FileServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Provider

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def host() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.mark.parametrize("name", ODD)
def test_what_fails_here_is_refused_there(name: str, provider: Provider, host: FileServer) -> None:
    odd = ODD[name]
    key, alg = mine(odd.key), "PS256" if odd.key == "rsa" else "ES256"
    content = odd.make(key)
    path = f"/{list(ODD).index(name)}.json"
    host.documents[path] = content
    client_id = provider.register(alg, {"jwks_uri": f"{host.origin}{path}"})
    granted = _presented(provider, client_id, KeySigner(key, alg))
    detail = [event.error_detail for event in provider.drain_events()]
    assert granted is not odd.refused, detail
    fails = any(finding.verdict is Verdict.FAIL for finding in judge_key_set(content, "jwks.json").findings)
    assert fails is odd.refused


def _presented(provider: Provider, client_id: str, signer: KeySigner) -> bool:
    """Return whether the provider grants a token for an assertion."""
    claims = {"iss": client_id, "sub": client_id, "aud": provider.token_endpoint, "jti": str(uuid.uuid4())}
    assertion = sign({"alg": signer.alg}, {**claims, "exp": int(time.time()) + 60}, signer)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    with httpx.Client(trust_env=False) as client:
        return client.post(provider.token_endpoint, data=form).status_code == 200
