"""``banno-creds serve`` before oidc-provider: 200 clients, each with its own token, by one request."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from banno_creds.jose.decode import decode
from banno_creds.many.pacing import Limits
from banno_creds.redirection.listeners import listen
from banno_creds.serve.clients import Profiles
from banno_creds.serve.token_server import TokenServer
from banno_creds.tokens.inspection import TokenChecks, inspect_token
from tests.conftest import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.jose.keys import PrivateKey

    from .conftest import Provider

SECRET = "a-secret-of-this-test-alone"
CLIENTS = 200


@pytest.fixture
def config(provider: Provider, tmp_path: Path, ec_pem: Path, ec_key: PrivateKey) -> tuple[Path, dict[str, str]]:
    """A file of profiles, each of which the provider knows; and their client IDs."""
    jwks = {"jwks": {"keys": [ec_key.public.jwk()]}}
    ids = {f"bank-{number}": provider.register("ES256", jwks) for number in range(CLIENTS)}
    common = f"private_key = '{ec_pem}'\ntoken_endpoint = '{provider.token_endpoint}'\n"
    tables = (f"[profiles.{name}]\nclient_id = '{client_id}'\n{common}" for name, client_id in ids.items())
    return write_private(tmp_path / "config.toml", "".join(tables).encode()), ids


def test_each_of_two_hundred_clients_gets_its_own_token_by_one_request(
    provider: Provider, config: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "cache"))
    file, ids = config
    [listener] = listen("127.0.0.1", 0)
    with TokenServer(listener, SECRET.encode(), Profiles(file, limits=Limits(rate=0))) as server:

        def ask(name: str) -> str:
            form = {"grant_type": "client_credentials", "client_id": name, "client_secret": SECRET, "scope": "openid"}
            with urllib.request.urlopen(server.token_endpoint, urlencode(form).encode(), timeout=60) as answer:
                members = json.load(answer)
            assert members["expires_in"] >= 60
            token: str = members["access_token"]
            return token

        with ThreadPoolExecutor(16) as pool:
            tokens = list(pool.map(ask, [*ids, *ids]))
    assert tokens[:CLIENTS] == tokens[CLIENTS:]
    assert [decode(token).payload["aud"] for token in tokens] == [*ids.values()] * 2
    inspect_token(tokens[0], TokenChecks(issuer=provider.issuer))
    assert [event.event for event in provider.drain_events()] == ["grant.success"] * CLIENTS
