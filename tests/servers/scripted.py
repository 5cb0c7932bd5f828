"""A server that gives the answers that it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .loopback import LoopbackServer, Request, Says

if TYPE_CHECKING:
    from collections.abc import Sequence


class ScriptedServer(LoopbackServer):
    """It gives its answers one after the other, and the last one for ever.

    Attributes:
        requests: what it was sent.
    """

    def __init__(self, *answers: Says) -> None:
        super().__init__()
        self.answers: Sequence[Says] = answers
        self.requests: list[Request] = []

    def says(self, *answers: Says) -> None:
        """Set the answers."""
        self.answers = answers

    def answer(self, request: Request) -> Says:
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]
