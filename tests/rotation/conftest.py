"""A client whose bank knows it by a JWKS URI, and a clock that moves when it is told to."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.jose import keys
from banno_creds.rotation.subject import DAY
from tests.conftest import CLIENT_ID, write_private
from tests.servers.set_bank import SetBank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cli, How, Result

BEGIN = 1_795_000_000.0


@dataclass
class Desk:
    """Where a key is changed: a folder with the key, the set and the profiles, and the bank."""

    folder: Path
    bank: SetBank
    cli: Cli
    now: float = BEGIN
    said: list[Result] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def set(self) -> Path:
        return self.folder / "jwks.json"

    @property
    def env(self) -> dict[str, str]:
        return {
            "BANNO_CREDS_STATE_DIR": str(self.folder / "state"),
            "BANNO_CREDS_CACHE_DIR": str(self.folder / "cache"),
        }

    def profile(self, name: str, **settings: Any) -> None:
        """Write a profile; None takes a setting out."""
        usual: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "private_key": "private.pem",
            "registration": "jwks-uri",
            "token_endpoint": self.bank.url,
            "jwks_file": "jwks.json",
            "jwks_uri": self.bank.jwks_uri,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in (usual | settings).items() if value is not None]
        before = self.config.read_text() if self.config.exists() else ""
        self.config.write_text(before + "\n".join([f"# Of {name}.", f"[profiles.{name}]", *lines, "", ""]))

    def settings(self, name: str = "garden") -> dict[str, Any]:
        settings: dict[str, Any] = tomllib.loads(self.config.read_text())["profiles"][name]
        return settings

    def run(self, *args: str | Path, profiles: tuple[str, ...] = ("garden",)) -> Result:
        """Run ``rotate`` for these profiles."""
        named = [word for name in profiles for word in ("--profile", name)]
        result = self.cli("rotate", *named, "--config", self.config, *args, env=self.env)
        self.said.append(result)
        return result

    def step(self, *args: str | Path, profiles: tuple[str, ...] = ("garden",)) -> dict[str, Any]:
        """Run it, and return what it says as JSON."""
        result = self.run(*args, "-o", "json", profiles=profiles)
        assert result.code == 0, result.stderr
        members: dict[str, Any] = json.loads(result.stdout)
        return members

    def publish(self) -> None:
        self.bank.published = self.set.read_bytes()

    def later(self, seconds: float) -> None:
        self.now += seconds

    def token(self, name: str = "garden") -> Result:
        """Ask the bank for a token, as a program does all the time."""
        return self.cli(
            *("token", "--profile", name, "--config", self.config, "--no-cache", "--as", "application"), env=self.env
        )

    def kids(self) -> list[str]:
        return [jwk["kid"] for jwk in json.loads(self.set.read_bytes())["keys"]]

    def key(self, name: str) -> keys.PrivateKey:
        return keys.load_private_key((self.folder / name).read_bytes(), name)

    def to_the_switch(self) -> dict[str, Any]:
        """Rotate until the profile uses the new key."""
        assert self.step()["step"] == "publish"
        self.publish()
        assert self.step()["step"] == "wait-for-caches"
        self.later(DAY)
        return self.step()

    def to_the_end(self) -> dict[str, Any]:
        """Rotate from the switch to the end."""
        self.later(7 * DAY)
        assert self.step()["step"] == "publish"
        self.publish()
        return self.step()


@pytest.fixture
def desk(tmp_path: Path, cli: Cli, how: How) -> Iterator[Desk]:
    """Return a client with one profile, whose set has been published."""
    with SetBank() as bank:
        desk = Desk(tmp_path, bank, cli)
        bank.now = how.clock = lambda: desk.now
        bank.clock = None
        key = keys.generate("ec")
        write_private(tmp_path / "private.pem", key.pem())
        desk.set.write_text(
            json.dumps({"keys": [{**key.public.jwk(), "kid": key.public.thumbprint(), "use": "sig"}]})
        )
        desk.profile("garden")
        desk.publish()
        yield desk
