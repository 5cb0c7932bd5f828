"""A token endpoint for many clients, over connections that it keeps open; it counts who asks, and when."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from .loopback import LoopbackServer, Request, Says, says_json

if TYPE_CHECKING:
    from .loopback import Handler


class Many(LoopbackServer):
    """Grants a token to each client, but for those that it is told to refuse or to be away for.

    Attributes:
        refused: the client IDs that are refused; None for all.
        away: the client IDs for which it is not available.
        arrivals: when each token request came, and from whom.
        connections: how many there have been.
        most_under_way: how many requests were answered at once, at most.
        gate: no request is answered while it is closed (cleared).
        seconds: how long it takes to answer.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__(host=host)
        self.refused: set[str] | None = set()
        self.away: set[str] = set()
        self.arrivals: list[tuple[float, str]] = []
        self.connections = self.open = 0
        self.under_way = self.most_under_way = 0
        self.gate = threading.Event()
        self.gate.set()
        self.seconds = 0.002
        self._changed = threading.Condition()
        self.on_connection = self._count

    def _count(self) -> None:
        with self._changed:
            self.connections += 1
            self.open += 1

    def wait_for_one(self) -> None:
        """Wait until a token request has come."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.arrivals, 60)

    def wait_until_closed(self) -> None:
        """Wait until no connection is open any more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.open == 0, 60)

    def serve(self, handler: Handler) -> None:
        """Answer requests as long as the client sends any."""
        try:
            while True:
                handler.say(self.answer(handler.read_request()))
                if handler.headers.get("connection", "").lower() == "close":
                    return
                handler.raw_requestline = handler.rfile.readline(65537)
                if not handler.raw_requestline or not handler.parse_request():
                    return
        finally:
            with self._changed:
                self.open -= 1
                self._changed.notify_all()

    def answer(self, request: Request) -> Says:
        if request.method == "GET":
            return says_json(issuer=self.origin, token_endpoint=self.url)
        client_id = request.form["client_id"][0]
        with self._changed:
            self.arrivals.append((time.monotonic(), client_id))
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            self._changed.notify_all()
        time.sleep(self.seconds)
        self.gate.wait(30)
        with self._changed:
            self.under_way -= 1
        if self.refused is None or client_id in self.refused:
            return says_json(401, error="invalid_client", error_description="client authentication failed")
        if client_id in self.away:
            return says_json(503)
        return says_json(access_token=f"token-of-{client_id}", token_type="Bearer", expires_in=600)
