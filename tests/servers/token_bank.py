"""A token endpoint, and an API that takes the last token alone; each answer can be held back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .loopback import LoopbackServer, Request, Says, says_json

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY = "canaryAccessToken"


class TokenBank(LoopbackServer):
    """Its tokens are ``CANARY-n``.

    Attributes:
        tokens: those that it granted.
        calls: what the API was sent: method, path, Authorization and body.
        arrived: set when a token request is here.
        gate: while it is closed (cleared) no token request is answered.
        refusals: answers that are given to token requests, one after the other, before any token.
        is_taken: tells if the API takes a token.
        location: where /elsewhere redirects to.
        attempts: how many token requests came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []
        self.calls: list[tuple[str, str, str | None, bytes]] = []
        self.arrived = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.expires_in: int | None = 600
        self.token_type = "Bearer"
        self.refusals: list[Says] = []
        self.same_token = False
        self.is_taken: Callable[[str], bool] = lambda token: token == self.tokens[-1]
        self.location: str | None = None
        self.attempts = 0
        self.lock = threading.Lock()

    def answer(self, request: Request) -> Says:
        return self.grant() if request.path == "/token" else self.api(request)

    def grant(self) -> Says:
        """Answer a token request."""
        with self.lock:
            self.attempts += 1
        self.arrived.set()
        assert self.gate.wait(60)
        with self.lock:
            if self.refusals:
                return self.refusals.pop(0)
            if not (self.same_token and self.tokens):
                self.tokens.append(f"{CANARY}-{len(self.tokens) + 1}")
            members: dict[str, Any] = {"access_token": self.tokens[-1], "token_type": self.token_type}
            if self.expires_in is not None:
                members["expires_in"] = self.expires_in
            return says_json(**members)

    def api(self, request: Request) -> Says:
        """Answer a call of the API."""
        with self.lock:
            self.calls.append((request.method, request.path, request.headers.get("authorization"), request.body))
            if not self.is_taken(request.token):
                return Says(401, b"{}")
            if request.path == "/elsewhere" and self.location:
                return Says(307, headers={"location": self.location})
            return Says(200, b"{}")

    def __exit__(self, *exception: object) -> None:
        self.gate.set()
        super().__exit__(*exception)
