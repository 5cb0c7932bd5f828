"""A key is changed at the real provider, which fetches the set by itself: no request is refused at any moment.

node-oidc-provider (lib/models/client.js) keeps a client's set for 60 s, or for as long as ``Expires`` or ``max-age``
say; it ignores ``Age``, and fetches again when a set that is no longer fresh has no key for an assertion. Before the
provider stands a shared cache here, which gives an old copy out until its time is over: the provider may fetch that
copy in its last second. The clock is set forward, so that nobody waits.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.conftest import write_private
from tests.interop.conftest import (
    CLIENT_AUTH_METHODS,
    FORMS,
    START_TIMEOUT,
    JwksHost,
    ProviderProcess,
    new_registration,
    private_key_maker,
)
from tests.rotation.cut_off import parent
from tests.servers.loopback import Says

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cli, How
    from tests.interop.conftest import Registration
    from tests.servers.loopback import Request

MAX_AGE = 24 * 3600
HOUR = 3600


class SharedCache(JwksHost):
    """The integrator's web server behind a cache: a copy is given out until it is stale, whatever was published."""

    def __init__(self) -> None:
        super().__init__()
        self.later = 0.0
        self.clock = self.now
        self._copies: dict[str, tuple[float, Says]] = {}

    def now(self) -> float:
        return time.time() + self.later

    def answer(self, request: Request) -> Says:
        taken, copy = self._copies.get(request.path, (float("-inf"), Says(404)))
        if taken + MAX_AGE <= self.now():
            taken, copy = self.now(), super().answer(request)
            self._copies[request.path] = taken, copy
        age = str(int(self.now() - taken))
        headers = {"content-type": "application/json", "cache-control": f"public, max-age={MAX_AGE}", "age": age}
        return Says(copy.status, copy.body, headers)


class Bank:
    """The provider with one client, the set's web server, and a program that asks for tokens all the time."""

    def __init__(self, process: ProviderProcess, host: SharedCache, endpoint: str, client: Registration) -> None:
        self.process = process
        self.host = host
        self.endpoint = endpoint
        self.client = client
        self.turn = threading.Lock()
        self.events: list[dict[str, Any]] = []

    def later(self, seconds: float) -> None:
        """Set all clocks forward, and read what the provider has told."""
        with self.turn:
            self.host.later += seconds
            self.process.send({"later": seconds, "mark": "later"})
            while (event := self.process.receive(30)) != {"event": "mark", "mark": "later"}:
                self.events.append(event)

    def publish(self, file: Path) -> None:
        assert self.client.jwks_uri is not None
        self.host.documents[self.client.jwks_uri.removeprefix(self.host.origin)] = file.read_bytes()


@contextmanager
def running_bank(folder: Path) -> Iterator[Bank]:
    node = shutil.which("node")
    assert node is not None
    process = ProviderProcess(node, folder / "oidc-provider.log")
    try:
        with SharedCache() as host:
            name = "ES256-jwks-uri"
            client, metadata = new_registration(name, FORMS[name], private_key_maker(), folder, host)
            process.send({"clients": [metadata], "client_auth_methods": list(CLIENT_AUTH_METHODS), "port": 0})
            ready = process.receive(START_TIMEOUT)
            yield Bank(process, host, ready["token_endpoint"], client)
    finally:
        process.stop()


def test_no_request_is_refused_at_any_moment_of_a_rotation(tmp_path: Path, cli: Cli, how: How) -> None:
    config, jwks = tmp_path / "config.toml", tmp_path / "jwks.json"
    env = {"BANNO_CREDS_STATE_DIR": str(tmp_path / "state")}
    outside = tmp_path / "outside"
    outside.mkdir()
    with running_bank(outside) as bank, parent(outside) as asker:
        how.clock = bank.host.now
        write_private(tmp_path / "private.pem", bank.client.private_key_path.read_bytes())
        jwks.write_bytes(bank.client.registered_path.read_bytes())
        settings = {
            "client_id": bank.client.client_id,
            "private_key": "private.pem",
            "registration": "jwks-uri",
            "token_endpoint": bank.endpoint,
            "jwks_file": "jwks.json",
            "jwks_uri": bank.client.jwks_uri,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        config.write_text("\n".join(["[profiles.garden]", *lines, ""]))
        asked, stop = 0, threading.Event()

        def ask_all_the_time() -> None:
            nonlocal asked
            while not stop.is_set():
                with bank.turn:
                    words = ("token", "--profile", "garden", "--config", config, "--no-cache", "-o", "json")
                    asker.run(words, env, bank.host.now())
                asked += 1

        def wait_for_requests() -> None:
            """Let the program ask twice, the second time certainly after what was done last."""
            enough = asked + 2
            while asked < enough and thread.is_alive():
                stop.wait(0.01)

        thread = threading.Thread(target=ask_all_the_time)
        thread.start()
        seen = []
        try:
            for _ in range(60):
                wait_for_requests()
                result = cli("rotate", "--profile", "garden", "--config", config, "-o", "json", env=env)
                assert result.code == 0, result.stderr
                said = json.loads(result.stdout)
                seen += [*said["did"], said["step"]]
                if said["step"] == "done":
                    break
                if said["step"] == "publish":
                    bank.publish(jwks)
                bank.later(12 * HOUR)  # as cron would run it
        finally:
            wait_for_requests()
            stop.set()
            thread.join()
        assert thread is not None
        bank.later(0)

    steps = list(dict.fromkeys(seen))
    assert steps == [
        *("make-key", "write-set", "publish", "wait-for-caches", "try-key", "switch", "keep-old", "remove-old"),
        *("archive", "done"),
    ]
    assert [event for event in bank.events if event["event"] != "grant.success"] == []
    assert len(bank.events) == asked + 1  # and the one with the new key
    assert asked > 2 * len(steps)
