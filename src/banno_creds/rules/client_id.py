"""Judge a client ID by itself, before any server is asked."""

from __future__ import annotations

import re

from banno_creds.checks import CLIENT_ID_NAMES
from banno_creds.rules.findings import Finding, Rule
from banno_creds.rules.outcomes import Outcome, failed, judged, odd, passed
from banno_creds.rules.presented import unquoted
from banno_creds.rules.shown import shown, without_secrets
from banno_creds.text import is_placeholder

_EXPECTED = "the client ID as Users & Groups shows it"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def judge_client_id(client_id: str) -> tuple[Finding, ...]:
    """Judge a client ID as it was configured: characters that were copied with it, placeholders, capital letters."""
    return (
        judged(Rule.CLIENT_ID_MALFORMED, "client ID", _malformed(client_id)),
        judged(Rule.CLIENT_ID_PLACEHOLDER, "client ID", _placeholder(client_id)),
        judged(Rule.CLIENT_ID_CASE, "client ID", _case(client_id)),
    )


def _malformed(client_id: str) -> Outcome:
    if not unquoted(client_id):
        fault = "it is empty"
    elif client_id != client_id.strip():
        fault = "white space around it"
    elif client_id != unquoted(client_id):
        fault = "quotation marks around it"
    elif not re.fullmatch(r"[\x20-\x7e]+", client_id):
        fault = "characters outside ASCII in it"
    else:
        return passed(shown(client_id))
    return failed(f"{without_secrets(client_id)[:200]!a}: {fault}", _EXPECTED)


def _placeholder(client_id: str) -> Outcome:
    if is_placeholder(client_id, CLIENT_ID_NAMES):
        return failed(f"{shown(client_id)}, which looks like a placeholder", _EXPECTED)
    return passed()


def _case(client_id: str) -> Outcome:
    bare = unquoted(client_id)
    if _UUID.fullmatch(bare) and bare != bare.lower():
        return odd(f"{shown(client_id)}, with capital letters", f"probably {shown(bare.lower())}: case matters")
    return passed()
