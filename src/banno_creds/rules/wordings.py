"""What servers' words mean: each server has its own sentence for a fault; wordings.txt leads from it to the rules."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
    """Find the causes that a server's words name.

    Args:
        words: the server's words, without its error code.
        client_id: the client ID, which may be among the words and means nothing there.

    Returns:
        The meaning.
    """
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
