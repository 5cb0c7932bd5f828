"""``api`` with tokens of oidc-provider, before an API that believes only what its JWK Set proves."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from tests.servers.loopback import LoopbackServer, Request, Says

from .conftest import REGISTRATION_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Cli, Result

    from .conftest import Provider

SCOPE = "https://jackhenry.com/consumer-user-search"
USERS = "/a/consumer-user-search/api/v0/institutions/{institutionId}/users"
ALL = [{"userId": str(number)} for number in range(5)]


@dataclass
class ResourceServer:
    """The vendor's user search, as its page describes it."""

    issuer: str
    key_set: KeySet
    base: str = ""
    seen: list[str] = field(default_factory=list)  # the jti of every genuine token
    revoked: set[str] = field(default_factory=set)

    def answer(self, authorization: str, path: str, query: dict[str, list[str]]) -> tuple[int, object]:
        try:
            token = jwt.decode(authorization.removeprefix("Bearer "), self.key_set, algorithms=["RS256"])
        except (JoseError, ValueError):
            return 401, {"error": "invalid_token"}
        claims = token.claims
        jwt.JWTClaimsRegistry(iss={"essential": True, "value": self.issuer}, exp={"essential": True}).validate(claims)
        self.seen.append(claims["jti"])
        if claims["jti"] in self.revoked:
            return 401, {"error": "invalid_token"}
        if SCOPE not in claims["scope"].split():
            return 403, {"error": "insufficient_scope"}
        if path != USERS.format(institutionId=claims["institutionId"]):
            return 403, {"errorCode": 40}
        limit, offset = (int(query.get(name, [default])[0]) for name, default in (("limit", "2"), ("offset", "0")))
        return 200, {"users": ALL[offset : offset + limit], "totalCount": len(ALL)}


@pytest.fixture
def resource_server(provider: Provider) -> Iterator[ResourceServer]:
    """A resource server of its own for each test; it fetches the provider's keys as any would."""
    with urllib.request.urlopen(f"{provider.issuer}/jwks", timeout=30) as answer:
        resource = ResourceServer(provider.issuer, KeySet.import_key_set(json.load(answer)))

    def users(request: Request) -> Says:
        url = urlsplit(request.path)
        status, body = resource.answer(request.headers["authorization"], url.path, parse_qs(url.query))
        return Says(status, json.dumps(body).encode())

    with LoopbackServer(users) as server:
        resource.base = server.origin
        yield resource


@pytest.fixture
def call(cli: Cli, provider: Provider, resource_server: ResourceServer, tmp_path: Path) -> Callable[..., Result]:
    def run(*args: str, name: str = "PS256-pem", scope: str = SCOPE) -> Result:
        registration = provider.registrations[name]
        client = ["--client-id", registration.client_id, "--private-key", str(registration.private_key_path)]
        client += ["--alg", registration.alg, *(["--kid", "thumbprint"] if registration.kid else [])]
        where = ["--token-endpoint", provider.token_endpoint, "--api-base", resource_server.base, "--scope", scope]
        return cli("api", *client, *where, *args, env={"BANNO_CREDS_CACHE_DIR": str(tmp_path / "cache")})

    return run


def grants(provider: Provider) -> list[str]:
    return [event.event for event in provider.drain_events()]


@pytest.mark.parametrize("name", REGISTRATION_NAMES)
def test_every_registration_s_token_is_believed(
    call: Callable[..., Result], resource_server: ResourceServer, name: str
) -> None:
    result = call(USERS + "?limit=1", name=name)
    assert (result.code, json.loads(result.stdout)) == (0, {"users": ALL[:1], "totalCount": 5})
    assert result.stderr.startswith("200 OK in ")
    assert len(resource_server.seen) == 1


def test_all_pages_come_with_one_token(
    call: Callable[..., Result], provider: Provider, resource_server: ResourceServer
) -> None:
    result = call("--paginate", USERS)
    assert [user for line in result.stdout.splitlines() for user in json.loads(line)["users"]] == ALL
    assert (len(resource_server.seen), len(set(resource_server.seen))) == (3, 1)
    assert grants(provider) == ["grant.success"]


def test_the_cache_s_token_is_believed_too(
    call: Callable[..., Result], provider: Provider, resource_server: ResourceServer
) -> None:
    assert [call(USERS).code, call(USERS).code] == [0, 0]
    assert grants(provider) == ["grant.success"]
    assert len(set(resource_server.seen)) == 1


def test_a_token_revoked_meanwhile_is_replaced_once(
    call: Callable[..., Result], provider: Provider, resource_server: ResourceServer
) -> None:
    assert call(USERS).code == 0
    resource_server.revoked = set(resource_server.seen)
    assert call(USERS).code == 0
    assert grants(provider) == ["grant.success"] * 2
    assert len(set(resource_server.seen)) == 2
    assert call(USERS).code == 0  # with the one that is in the cache now
    assert grants(provider) == []


def refused(result: Result) -> tuple[int, Any, str]:
    return result.code, json.loads(result.stdout), result.stderr.split("\n")[1]


def test_a_token_that_may_do_less_is_refused(call: Callable[..., Result]) -> None:
    message = "✗   The API refused the request: 403 Forbidden"
    assert refused(call(USERS, scope="openid")) == (4, {"error": "insufficient_scope"}, message)


def test_another_institution_is_refused(call: Callable[..., Result]) -> None:
    message = "✗   The Associated User of this application lacks the permission for this: 403 Forbidden"
    assert refused(call(USERS.replace("{institutionId}", "other"))) == (4, {"errorCode": 40}, message)


def test_an_api_that_trusts_another_issuer_refuses_twice(
    call: Callable[..., Result], provider: Provider, resource_server: ResourceServer
) -> None:
    resource_server.key_set = KeySet.generate_key_set("RSA", 2048, count=1)
    message = "✗   The API refused another token too: 401 Unauthorized"
    assert refused(call(USERS)) == (4, {"error": "invalid_token"}, message)
    assert grants(provider) == ["grant.success"] * 2
