"""A token endpoint and the API that takes its tokens, on one port."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .loopback import Handler, LoopbackServer, Request, says_json

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

INSTITUTION = "3f85ce95-7d5c-4b54-9b9c-6f3d1f6c2a10"
CLAIMS = {
    "institutionId": INSTITUTION,
    "accountId": 4711,
    "rate": 1.5,
    "clientName": "A & B?d=e#f..%2e%2f",
    "ok": True,
}


def access_token(number: int = 1, **claims: object) -> str:
    """Return a JWT that nobody signed; the API here believes it nevertheless."""
    parts = ({"alg": "RS256"}, {**CLAIMS, "jti": f"token {number}", **claims})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*encoded, f"c2lnbmF0dXJlLW9mLXRva2VuLW51bWJlci0{number}"))


@dataclass
class Reply:
    """An answer of the API."""

    status: int = 200
    body: bytes = b'{"ok": true}'
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    reason: str | None = None

    def __call__(self, handler: Handler) -> None:
        handler.send_response(self.status, self.reason)
        for name, value in {"x-request-id": "7c1e-4a", **self.headers}.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(self.body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(self.body)


class Api(LoopbackServer):
    """It grants a token at /token, and answers everything else as it was told; the last answer is given for ever.

    Attributes:
        asked: what the API was sent.
        granted: how many tokens it has granted.
        early: whether it answers before the body was read.
        came: set when a chunk of a body has come.
        token: makes the n-th token.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context=context)
        self.answers: Sequence[Callable[[Handler], None]] = [Reply()]
        self.asked: list[Request] = []
        self.granted = 0
        self.early = False
        self.came = threading.Event()
        self.token_type = "Bearer"
        self.token: Callable[[int], str] = access_token

    @property
    def base(self) -> str:
        """The API's base URL."""
        return self.origin

    def says(self, *answers: Callable[[Handler], None]) -> None:
        """Set the answers."""
        self.answers = answers

    def token_members(self) -> dict[str, object]:
        """Return the next token response."""
        self.granted += 1
        return {"access_token": self.token(self.granted), "token_type": self.token_type, "expires_in": 600}

    def serve(self, handler: Handler) -> None:
        if handler.path == "/token":
            handler.read_body()
            handler.say(says_json(**self.token_members()))
            return
        asked = handler.read_request(b"")
        self.asked.append(asked)
        if not self.early:
            asked.body = handler.read_body(self.came.set)
        self.answers[min(len(self.asked), len(self.answers)) - 1](handler)
