"""``banno-creds check`` and ``token --all`` against oidc-provider: 200 clients, some of which it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.jose.decode import decode
from banno_creds.jose.keys import generate
from tests.conftest import write_private

from .conftest import REFUSED_SCOPE

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli

    from .conftest import Provider

CLIENTS = 200


class Desk:
    """A file of profiles, each of which the provider knows, and their client IDs."""

    def __init__(self, cli: Cli, provider: Provider, folder: Path, key: PrivateKey) -> None:
        self.cli = cli
        self.provider = provider
        self.file = folder / "config.toml"
        self.other = write_private(folder / "other.pem", generate("ec").pem())
        self.own = write_private(folder / "own.pem", key.pem())
        self.jwks = {"jwks": {"keys": [key.public.jwk()]}}
        self.ids: dict[str, str] = {}
        self._tables: list[str] = []

    def add(self, name: str, **settings: Any) -> None:
        """Register a client, and add its profile."""
        self.ids[name] = self.provider.register("ES256", self.jwks)
        own = {"client_id": self.ids[name], "private_key": str(self.own)} | settings
        own = {"token_endpoint": self.provider.token_endpoint} | own
        self._tables.append(f"[profiles.{name}]\n" + "".join(f"{each} = {json.dumps(own[each])}\n" for each in own))

    def run(self, *words: str) -> list[dict[str, Any]]:
        """Run a command, as fast as the provider answers; return the rows."""
        write_private(self.file, "\n".join(self._tables).encode())
        said = self.cli(*words, "--all", "--config", self.file, "--rate", "0", "-q", "-o", "jsonl").stdout
        return [json.loads(line) for line in said.splitlines()]

    def asked(self) -> dict[str, int]:
        """Return how many requests ended in which way, by what the provider's operator sees."""
        events = [event.event for event in self.provider.drain_events()]
        return {event: events.count(event) for event in set(events)}


@pytest.fixture
def desk(cli: Cli, provider: Provider, tmp_path: Path, ec_key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "cache"))
    return Desk(cli, provider, tmp_path, ec_key)


def test_two_hundred_clients_are_asked_for_once_and_each_refusal_is_its_own(desk: Desk) -> None:
    faults: dict[int, tuple[str, dict[str, Any]]] = {
        50: ("invalid_client", {"private_key": str(desk.other)}),
        100: ("invalid_scope", {"scope": [REFUSED_SCOPE]}),
        150: ("assertion.aud.mismatch", {"aud": f"{desk.provider.issuer}/elsewhere"}),
        199: ("invalid_client", {"client_id": "nobody"}),
    }
    wanted: dict[str, str | None] = {}
    for number in range(CLIENTS):
        rule, settings = faults.get(number, (None, {}))
        wanted[f"bank-{number}"] = rule
        desk.add(f"bank-{number}", **settings)
    told = {row["profile"]: row for row in desk.run("check")}
    assert {name: row["rule"] for name, row in told.items()} == wanted
    assert {row["exit_code"] for row in told.values() if not row["ok"]} == {4}
    assert desk.asked() == {"grant.success": CLIENTS - len(faults), "grant.error": len(faults)}

    tokens = {row["profile"]: row["access_token"] for row in desk.run("token") if row["ok"]}
    assert {name: decode(token).payload["aud"] for name, token in tokens.items()} == {
        name: desk.ids[name] for name, rule in wanted.items() if rule is None
    }
    assert desk.asked() == {"grant.success": CLIENTS - len(faults), "grant.error": len(faults)}
    again = {row["profile"]: row.get("access_token") for row in desk.run("token")}
    assert {name: again[name] for name in tokens} == tokens
    assert desk.asked() == {}  # the refusals of a moment ago are remembered too


def test_a_wrong_key_in_all_profiles_costs_five_refusals(desk: Desk) -> None:
    for number in range(40):
        desk.add(f"bank-{number}", private_key=str(desk.other))
    told = desk.run("check")
    assert sorted(row["error"] for row in told) == ["invalid_client"] * 5 + ["not_asked"] * 35
    assert desk.asked() == {"grant.error": 5}
