"""The doctor's command line against a bank, and its output without what varies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.conftest import CLIENT_ID
from tests.servers.loopback import Says, says_json

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.servers.bank import Bank


def refused(error: str = "invalid_client", status: int = 401) -> Says:
    return says_json(status, error=error, error_description="client authentication failed")


def public_of(key: keys.PrivateKey) -> str:
    return key.public.pem().decode()


def ask(server: Bank | str, key: str | Path, *more: str) -> list[str]:
    """The command line that looks at this set-up, with more options, which may be in the place of its own."""
    url = server if isinstance(server, str) else server.url
    usual = {"--client-id": CLIENT_ID, "--private-key": str(key), "--token-endpoint": url}
    return ["doctor", *(word for pair in usual.items() if pair[0] not in more for word in pair), *more]


def without_chance(text: str) -> str:
    """What is seen, with what differs from run to run replaced by as many characters."""
    text = re.sub(r"127\.0\.0\.1:\d{5}\b", "127.0.0.1:54321", text)
    text = re.sub(r"\b\d+ ms\b", "1 ms", text)
    text = re.sub(r"SHA256:[A-Za-z0-9+/]{43}", f"SHA256:{'f' * 43}", text)
    text = re.sub(r"(x-request-id\s+)[0-9a-f]{32}", rf"\g<1>{'0' * 32}", text)
    text = re.sub(r"\b\d s from the server's", "0 s from the server's", text)
    uuid = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    return re.sub(rf"(?!{CLIENT_ID}){uuid}", "00000000-0000-4000-8000-000000000000", text)
