"""What every holder is tested by: a real OpenID provider grants a token to a key that never leaves its holder."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from joserfc import jws
from joserfc.jwk import import_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import Cli, Result
    from tests.interop.conftest import Provider


class Granted:
    """Checks that a held key does all that a key file does; made by the fixture ``granted``.

    ``granted(uri, "PS256")`` runs the commands in this process, ``granted(uri, "PS256", run=process)`` each in one of
    its own. ``env`` and ``options`` are given to each command.
    """

    def __init__(self, provider: Provider, cli: Cli, folder: Path) -> None:
        self.provider = provider
        self._cli = cli
        self._folder = folder

    def __call__(
        self, uri: str, alg: str, *options: str | Path, env: Mapping[str, str] | None = None, run: Cli | None = None
    ) -> str:
        """Register the public half at the provider, and use the key; return the client ID."""
        variables = {"BANNO_CREDS_CACHE_DIR": str(self._folder / f"cache-{alg}"), **(env or {})}
        ask = run or self._cli

        def call(*words: str | Path) -> Result:
            done = ask(*words, env=variables)
            assert done.code == 0, f"{words[0]}: {done.stdout}{done.stderr}"
            return done

        public = self._folder / f"public-{alg}.pem"
        pem = call("keygen", "--public-from", uri, "--public-key", "-", *options).stdout
        public.write_text(pem)
        known = import_key(pem, "EC" if alg == "ES256" else "RSA")
        client_id = self.provider.register(alg, {"jwks": {"keys": [known.as_dict(private=False)]}})
        whose = ["--client-id", client_id, "--private-key", uri, "--alg", alg, *options]
        request = [*whose, "--token-endpoint", self.provider.token_endpoint]

        with self._one_token():
            assert json.loads(call("client-assertion", "-q", *request).stdout)["expires_in"] == 600
        with self._one_token():
            token = call("token", "-q", *request).stdout
        with self._no_token():
            assert call("token", "-q", *request).stdout == token  # from the cache
        decoded = call("decode", "-q", "--issuer", self.provider.issuer, "--full", token.strip())
        assert json.loads(decoded.stdout)["payload"]["client_id"] == client_id

        with self._one_token():
            report = json.loads(call("doctor", "-o", "json", *request, "--registered", public).stdout)
        odd = [each for each in report["findings"] if each["verdict"] in ("fail", "warn", "unknown")]
        assert (report["verdict"], report["exit_code"], report["diagnosis"], odd) == ("pass", 0, None, [])

        assertion = call("sign-jwt", "-q", *request).stdout.strip()
        assert jws.deserialize_compact(assertion, known, algorithms=[alg]).headers() == {"alg": alg}
        shown = json.loads(call("decode", "-q", "--public-key", public, "--full", assertion).stdout)
        assert (shown["signature"]["verified"], shown["signature"]["alg"]) == (True, alg)
        return client_id

    @contextmanager
    def _one_token(self) -> Iterator[None]:
        self.provider.drain_events()
        yield
        assert [(each.event, each.error_detail) for each in self.provider.drain_events()] == [("grant.success", None)]

    @contextmanager
    def _no_token(self) -> Iterator[None]:
        yield
        assert self.provider.drain_events() == []
