"""What servers' words mean: each server has its own sentence for a fault; wordings.txt leads from it to the rules.

`meaning_of` is for the words of an answer, `recognise` for any text that somebody pastes.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from banno_creds.rules.explanations import EXPLANATIONS, seen
from banno_creds.rules.findings import Rule

_MOST_CHARACTERS = 1000

_NO = r"(?:not|n['’]t|no longer|never)"
_PATTERNS = {
    "client": r"(?:client|application|app|consumer|relying party)",
    "gone": rf"{_NO} (?:been |be )?(?:found|exist|registered|known|recogni[sz]ed|present|defined|available"
    r"|configured)",
    "off": r"(?:disabled|inactive|deactivated|suspended|blocked|locked|not active|not enabled|archived|deleted"
    r"|revoked)",
    "absent": r"(?:missing|required|absent|not (?:provided|present)"
    r"|must (?:be (?:provided|present|specified|set)|contain|include|have(?! value)))",
    "cannot": r"(?:(?:can|could|did|does) ?(?:not|n['’]t)|unable to)",
}

# URLs, and what numbers an exchange.
_MEANINGLESS = re.compile(
    r"https?://\S+|\b(?:trace|correlation|request|error)[ _-]?id\b\W*\S+|\btimestamp:.*", re.IGNORECASE
)
# Sentences that list all causes there may be, as RFC 6749 section 5.2 does: they name none.
_LISTS_ALL = re.compile(
    r"client authentication failed\W*(?:e\.?g\.?|due to|such as)\W*unknown client.*?authentication method\W*"
    r"|provided (?:authorization|access) grant.*?another client"
    r"|request is missing a.*?otherwise malformed"
    r"|invalid client (?:or|and) (?:invalid )?client credentials"
    r"|(?:invalid |wrong |bad )?client[ _]?id(?:entifier)?,? (?:or|and|/) (?:the )?(?:client[ _]?)?secret\b",
    re.IGNORECASE,
)
# Words that say no more than that it failed.
_SAYS_NOTHING = re.compile(
    r"\b(?:a|an|and|are|be|been|by|can|cannot|could|for|has|in|is|not|of|or|the|this|to|was|were|with|you|your|please"
    r"|again|try|access|application|authenticat\w*|authoriz\w*|bad|client|code|credentials?|denied|error|fail\w*"
    r"|forbidden|full|incorrect|invalid|oauth2?|provided|refused|rejected|request|required|resource|server|supplied"
    r"|unable|unauthorized|wrong)\b",
    re.IGNORECASE,
)


class Meaning(NamedTuple):
    """What a server's words say.

    Attributes:
        rules: the causes that they name, the likeliest first.
        hides: True if they say no more than that it failed.
    """

    rules: tuple[Rule, ...]
    hides: bool


def meaning_of(words: str, client_id: str = "") -> Meaning:
    """Find the causes that a server's words name, without its error code; a client ID among them means nothing."""
    left = words.replace(client_id, " ") if client_id else words
    left = _LISTS_ALL.sub(" ", _MEANINGLESS.sub(" ", left[:_MOST_CHARACTERS]))
    rules: list[Rule] = []
    for pattern, named in _table():
        left, count = pattern.subn(" ", left)
        if count:
            rules += named
    hides = not rules and not re.search(r"[^\W\d_]{3}|[A-Z]\d{2}", _SAYS_NOTHING.sub(" ", left))
    return Meaning(tuple(dict.fromkeys(rules)), hides)


@cache
def _table() -> tuple[tuple[re.Pattern[str], tuple[Rule, ...]], ...]:
    rows = []
    for paragraph in Path(__file__).with_name("wordings.txt").read_text("utf-8").split("\n\n"):
        if paragraph.startswith("#"):
            continue
        rules, *patterns = paragraph.split("\n")
        pattern = "|".join(map(str.strip, filter(None, patterns)))
        for name, meant in _PATTERNS.items():
            pattern = pattern.replace(f"{{{name}}}", meant)
        rows.append((re.compile(pattern, re.IGNORECASE), tuple(map(Rule, rules.split()))))
    return tuple(rows)


# --- Pasted text ---

_RULE_ID = re.compile(r"\b[a-z_]+(?:\.[a-z_]+)+\b")
_CODE = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")
_STATUS = re.compile(
    r"(?:\bHTTP(?:/[\d.]+)?\W+|\bstatus(?:[ _-]?code)?\W{1,4}|\bcode\W{1,4}|^\W*)([345]\d\d)\b", re.IGNORECASE
)
# The vendor's API says so that the Associated User lacks the permission.
_NO_PERMISSION = re.compile(r"\berror_?code\W{0,4}40\b|^\W*40\W*$", re.IGNORECASE)
_MEMBER = re.compile(r"\"[\w-]+\"\s*:")
# What our own errors add to the server's words.
_OURS = re.compile(
    r"^\W*(?:this answer hides|ruled out|left:|next:|more:|banno-creds ).*", re.IGNORECASE | re.MULTILINE
)
# Codes that say little without the words beside them.
_VAGUE = ("invalid_client", "invalid_request", "unauthorized_client", "access_denied", "server_error")

_STATUSES: dict[int, tuple[str, ...]] = {
    400: ("invalid_request", "invalid_client"),
    401: ("invalid_client", "invalid_token"),
    403: ("insufficient_scope", "registration.user", "client.address", "network.answer"),
    404: ("network.answer", "configuration.endpoint"),
    405: ("network.answer", "configuration.endpoint"),
    407: ("network.proxy",),
    408: ("network.timeout",),
    410: ("network.answer",),
    415: ("request.client_assertion.missing", "network.answer"),
    429: ("network.unavailable",),
    504: ("network.unavailable", "network.timeout"),
}


def recognise(text: str) -> tuple[str, ...]:
    """Return the ids of rules and errors that a pasted text is about, the likeliest first.

    The text is a server's words, a JSON error, a status, or a line of our own errors.
    """
    lower = text[: 4 * _MOST_CHARACTERS].lower()
    found: list[str] = [name for name in _RULE_ID.findall(lower) if name in EXPLANATIONS]
    if _NO_PERMISSION.search(lower):
        found.append(Rule.REGISTRATION_USER)
    codes = [code for code in _CODE.findall(lower) if code in EXPLANATIONS]
    words = _MEMBER.sub(" ", _OURS.sub(" ", lower))
    for code in codes:
        words = words.replace(code, " ")
    found += [code for code in codes if code not in _VAGUE]
    found += meaning_of(words).rules
    found += [name for needle, names in seen() for name in names if needle in lower]
    found += codes
    for status in map(int, _STATUS.findall(lower)):
        found += _STATUSES.get(status, ("network.unavailable",) if status >= 500 else ())
        found += ("network.answer",) if status < 400 else ()
    return tuple(dict.fromkeys(found))
