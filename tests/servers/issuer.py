"""A token endpoint that grants each request a token of its own; it can be told to wait and to fail."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .loopback import LoopbackServer, Request, Says, says_json

if TYPE_CHECKING:
    from collections.abc import Callable


class Issuer(LoopbackServer):
    """The n-th request, of all, is granted ``SCOPE.n`` (blanks in the scope are left out).

    Attributes:
        forms: what it was sent, one form a request.
        expires_in: how long its tokens live; None leaves the member out.
        failure: a status and members to answer with instead of a token.
        gate: no request is answered while it is closed (cleared).
        on_request: called before each answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, list[str]]] = []
        self.expires_in: int | None = 600
        self.failure: tuple[int, dict[str, Any]] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.on_request: Callable[[], object] | None = None
        self._arrived = threading.Condition()

    def refuse(self) -> None:
        """Refuse the client from now on."""
        self.failure = 401, {"error": "invalid_client", "error_description": "client authentication failed"}

    def wait_for(self, requests: int) -> None:
        """Wait until so many requests have come."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.forms) >= requests, timeout=60)

    def answer(self, request: Request) -> Says:
        form = request.form
        with self._arrived:
            self.forms.append(form)
            number = len(self.forms)
            self._arrived.notify_all()
        if self.on_request is not None:
            self.on_request()
        self.gate.wait(60)
        if self.failure is not None:
            status, members = self.failure
            return says_json(status, **members)
        token = f"{''.join(form.get('scope', [''])[0].split())}.{number}"
        life = {} if self.expires_in is None else {"expires_in": self.expires_in}
        return says_json(access_token=token, token_type="Bearer", **life)

    def __exit__(self, *exception: object) -> None:
        self.gate.set()
        super().__exit__(*exception)
