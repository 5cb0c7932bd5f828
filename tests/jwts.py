"""Tokens that nobody signed, and the time at which the tests look at them."""

from __future__ import annotations

import json
from typing import Any

from banno_creds.jose.encoding import base64url

NOW = 1_795_276_801  # 2026-11-21 16:00:01 UTC


def part(text: str) -> str:
    return base64url(text.encode())


def jwt(payload: dict[str, Any] | str, header: dict[str, Any] | str | None = None, signature: str = "c2ln") -> str:
    """A token nobody signed; a header or payload as text is taken as it is."""
    if header is None:
        header = {"alg": "RS256"}
    parts = (piece if isinstance(piece, str) else json.dumps(piece) for piece in (header, payload))
    return ".".join([*map(part, parts), signature])
