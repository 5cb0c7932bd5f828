"""A bank that knows its client by a JWKS URI, and keeps the set as node-oidc-provider does."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import jwt

from .loopback import LoopbackServer, Request, Says, says_json

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_CACHED = 60


class SetBank(LoopbackServer):
    """It serves the published set itself, and fetches it as oidc-provider 9 does (lib/models/client.js).

    A set is fresh for 60 s, or for longer if its headers say so. If no key of the set that it has verifies an
    assertion, a set that is no longer fresh is fetched again, once.

    Attributes:
        published: the set at its URL; None while there is none.
        headers: the headers that it comes with.
        now: the time.
        refused: the ``kid`` of each assertion that was refused.
        granted: of each that was granted.
        looks: how often the set was fetched by others.
        refuses: whether every assertion with this ``kid`` is refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.published: bytes | None = None
        self.headers: dict[str, str] = {}
        self.now: Callable[[], float] = time.time
        self.refused: list[str | None] = []
        self.granted: list[str | None] = []
        self.looks = 0
        self.refuses: set[str] = set()
        self._keys: list[dict[str, Any]] = []
        self._fresh_until = 0.0

    @property
    def jwks_uri(self) -> str:
        return f"{self.origin}/jwks.json"

    def answer(self, request: Request) -> Says:
        if request.path == "/jwks.json":
            self.looks += 1
            if self.published is None:
                return Says(404)
            return Says(body=self.published, headers={"content-type": "application/jwk-set+json", **self.headers})
        assertion = request.form["client_assertion"][0]
        kid = jwt.get_unverified_header(assertion).get("kid")
        if kid in self.refuses or not self._verifies(assertion, kid):
            self.refused.append(kid)
            return says_json(401, error="invalid_client", error_description="client authentication failed")
        self.granted.append(kid)
        return says_json(access_token=f"token-{len(self.granted)}", token_type="Bearer", expires_in=600)

    def knows(self, kid: str) -> bool:
        """Whether an assertion with a key of this name would be granted now."""
        if self._fresh_until <= self.now() and not any(key.get("kid") == kid for key in self._keys):
            self._fetch()
        return any(key.get("kid") == kid for key in self._keys)

    def _verifies(self, assertion: str, kid: str | None) -> bool:
        if self._by_keys(assertion, kid):
            return True
        if self._fresh_until > self.now():
            return False
        self._fetch()
        return self._by_keys(assertion, kid)

    def _by_keys(self, assertion: str, kid: str | None) -> bool:
        for key in self._keys:
            if kid in (None, key.get("kid")):
                options: Any = {"verify_exp": False, "verify_aud": False}
                try:
                    jwt.decode(assertion, jwt.PyJWK(key, "ES256"), algorithms=["ES256"], options=options)
                except jwt.InvalidTokenError:
                    continue
                return True
        return False

    def _fetch(self) -> None:
        if self.published is None:
            return
        self._keys = json.loads(self.published)["keys"]
        ages = [int(age) for age in re.findall(r"max-age=(\d+)", self.headers.get("cache-control", ""))]
        self._fresh_until = self.now() + max(_LEAST_CACHED, *ages, 0)
