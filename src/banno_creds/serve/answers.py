"""The answers of the endpoint (RFC 6749 sections 5.1 and 5.2): a token, or what keeps it from being given."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from banno_creds.errors import BannoCredsError, ConfigurationError, NetworkError, NotAskedError, RefusedError
from banno_creds.redirection.loopback_server import Answer
from banno_creds.text import printable

if TYPE_CHECKING:
    from banno_creds.tokens.response import TokenResponse

_MOST_DESCRIPTION = 500
# RFC 6749 section 5.2: the codes of a refusal that mean the same to this endpoint's client. The bank's
# "invalid_client" does not: there the profile's key was refused, here a program's secret would be.
_PASSED_ON = ("invalid_scope", "unauthorized_client", "invalid_request", "invalid_grant", "invalid_target")
_LIKE_ASCII = str.maketrans({"—": "-", "–": "-", "…": "...", "·": "-", '"': "'", "\\": "/", "’": "'", "“": "'"})
_MOST_RETRY_AFTER = 300


class RefusedRequestError(Exception):
    """A request of a program on this machine is refused here; ``error`` is the code of RFC 6749 section 5.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status

    def answer(self) -> Answer:
        """Return the answer."""
        challenge = ('WWW-Authenticate: Basic realm="banno-creds"',) if self.status == 401 else ()
        return refusal(self.status, self.error, self.description, *challenge)


def document(members: dict[str, Any], *headers: str, status: int = 200) -> Answer:
    """Make an answer in JSON."""
    return Answer(status, json.dumps(members) + "\n", headers, "application/json")


def refusal(status: int, error: str, description: str, *headers: str) -> Answer:
    """Make an answer that refuses (RFC 6749 section 5.2), with a description in the characters allowed there."""
    text = printable(description, _MOST_DESCRIPTION).translate(_LIKE_ASCII)
    text = re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "?", text)
    return document({"error": error, "error_description": text}, *headers, status=status)


def token_answer(response: TokenResponse, now: float) -> Answer:
    """Make the answer with a Bearer token, and the time that it is still good for."""
    members: dict[str, Any] = {"access_token": response.access_token, "token_type": "Bearer"}
    if response.expires_at is not None:
        members["expires_in"] = max(0, math.floor(response.expires_at - now))
    if response.scope is not None:
        members["scope"] = response.scope
    return document(members)


def failure_answer(name: str, failure: BannoCredsError, doctor: str) -> Answer:
    """Make the answer for a failure on the way to the bank: in the bank's words, and with the next thing to do.

    Args:
        name: the client, which is a profile or a client ID.
        failure: the failure.
        doctor: the command line that finds out why the bank refuses it.
    """
    said = f"{name}: {failure.message}"
    if isinstance(failure, RefusedError):
        error = failure.error if failure.error in _PASSED_ON else "unauthorized_client"
        return refusal(400, str(error), f"{said}; next: {doctor}")
    if isinstance(failure, NetworkError | NotAskedError):
        seconds = 30 if isinstance(failure, NotAskedError) else failure.retry_after or 5
        wait = f"Retry-After: {math.ceil(min(max(seconds, 1), _MOST_RETRY_AFTER))}"
        return refusal(503, "temporarily_unavailable", said, wait)
    hint = f"; next: {failure.hint}" if failure.hint and isinstance(failure, ConfigurationError) else ""
    return refusal(500, "server_error", said + hint)
