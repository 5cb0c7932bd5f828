"""The Python API against oidc-provider: what the server's operator sees of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from banno_creds import BearerAuth, ClientConfig, KeySource, RefusedError, TokenSource
from banno_creds.jose.keys import generate
from banno_creds.tokens.inspection import TokenChecks, inspect_token
from tests.conftest import write_private
from tests.servers.loopback import LoopbackServer, Request, Says

from .conftest import REFUSED_SCOPE, REGISTRATION_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Provider


def _config(provider: Provider, name: str, **more: Any) -> ClientConfig:
    registration = provider.registrations[name]
    return ClientConfig(
        registration.client_id,
        more.pop("private_key", None) or KeySource("the key", path=registration.private_key_path),
        token_endpoint=provider.token_endpoint,
        alg=registration.alg,
        kid="thumbprint" if registration.kid else None,
        **more,
    )


class Api(LoopbackServer):
    """A resource server: it takes tokens that the provider signed, unless they were taken back."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self._issuer = provider.issuer
        self.taken_back: set[str] = set()
        self.statuses: list[int] = []

    def answer(self, request: Request) -> Says:
        inspect_token(request.token, TokenChecks(issuer=self._issuer))
        self.statuses.append(401 if request.token in self.taken_back else 200)
        return Says(self.statuses[-1])


@pytest.fixture
def api(provider: Provider) -> Iterator[Api]:
    with Api(provider) as running:
        yield running


def _grants(provider: Provider) -> list[str]:
    return [event.event for event in provider.drain_events()]


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
def test_every_registration_gets_one_token_for_twenty_threads(provider: Provider, name: str) -> None:
    source = TokenSource(_config(provider, name))
    with ThreadPoolExecutor(20) as pool:
        tokens = set(pool.map(lambda _: source.token().access_token, range(20)))
    assert len(tokens) == 1
    checks = TokenChecks(issuer=provider.issuer, audience=provider.registrations[name].client_id)
    assert inspect_token(tokens.pop(), checks).verified_by is not None
    assert _grants(provider) == ["grant.success"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_token_that_was_taken_back_is_replaced_once(provider: Provider, api: Api, kind: str) -> None:
    source = TokenSource(_config(provider, "PS256-pem"))
    auth = BearerAuth(source, origin=api.origin)

    def get() -> int:
        with httpx.Client(auth=auth) as client:
            return client.get(f"{api.origin}/users").status_code

    async def async_get() -> int:
        async with httpx.AsyncClient(auth=auth) as client:
            return (await client.get(f"{api.origin}/users")).status_code

    for _ in range(2):
        assert (get() if kind == "sync" else anyio.run(async_get)) == 200
    api.taken_back.add(source.token().access_token)
    for _ in range(2):
        assert (get() if kind == "sync" else anyio.run(async_get)) == 200
    assert api.statuses == [200, 200, 401, 200, 200]
    assert _grants(provider) == ["grant.success"] * 2


def test_a_wrong_key_is_refused_once_however_often_it_is_tried(provider: Provider, tmp_path: Path) -> None:
    other = write_private(tmp_path / "other.pem", generate("rsa").pem())
    source = TokenSource(_config(provider, "PS256-pem", private_key=KeySource("another key", path=other)))
    for _ in range(5):
        with pytest.raises(RefusedError) as caught:
            source.token()
        assert (caught.value.error, caught.value.status) == ("invalid_client", 401)
    assert _grants(provider) == ["grant.error"]


def test_a_scope_that_was_not_granted_is_refused_in_the_servers_words(provider: Provider) -> None:
    source = TokenSource(_config(provider, "ES256-pem", scope=("openid", REFUSED_SCOPE)), on_disk=False)
    with pytest.raises(RefusedError, match="invalid_scope") as caught:
        source.token()
    assert caught.value.hint is not None
    assert _grants(provider) == ["grant.error"]
