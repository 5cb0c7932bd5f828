"""Why a request is refused: the reason for the operator, the vendor's words for the client.

The client gets an OAuth error (RFC 6749 section 5.2). Every failed authentication gets the same one, as the vendor's
server does it, so that an attacker learns nothing. The log tells the operator what was received, what was expected
and what to do.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from authlib.oauth2 import OAuth2Error

from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Rule
from banno_creds.secrecy import without_jwts
from banno_creds.text import printable

# RFC 6749 section 5.2: characters that an error_description must not have, quotation mark and backslash among them.
_NOT_FOR_DESCRIPTIONS: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
_ASCII: Final = str.maketrans({'"': "'", "\\": "/", **dict.fromkeys("“”‘’", "'"), "…": "...", "—": "-", "–": "-"})
# Short enough that a client which shows 500 characters shows the fix as well.
_MOST_OF_EVIDENCE: Final = 120


class _Answer(NamedTuple):
    description: str
    error: str = "invalid_request"
    status: int = 400


# Every rule that is not listed is a failed authentication: so a new rule reveals nothing unless it is listed.
_AUTHENTICATION_FAILED: Final = _Answer("client authentication failed", "invalid_client", 401)
_NO_JWT: Final = _Answer("invalid client_assertion format")
_ANSWERS: Final = {
    Rule.CLIENT_ASSERTION_MISSING: _Answer("no client authentication mechanism provided"),
    Rule.CLIENT_AUTHENTICATION_SEVERAL: _Answer("client authentication must only be provided using one mechanism"),
    Rule.ASSERTION_PRIVATE_KEY: _NO_JWT,
    Rule.ASSERTION_MALFORMED: _NO_JWT,
    Rule.CLIENT_ASSERTION_TYPE_MISSING: _Answer("client_assertion_type must be provided"),
    Rule.CLIENT_ASSERTION_TYPE_UNSUPPORTED: _Answer(
        "client_assertion_type must have value urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    ),
    Rule.CLIENT_ID_MISMATCH: _Answer("client_id mismatch"),
    Rule.PARAMETER_REPEATED: _Answer("a parameter must not be provided twice"),
    Rule.GRANT_TYPE_MISSING: _Answer("missing required parameter 'grant_type'"),
    Rule.GRANT_TYPE_UNSUPPORTED: _Answer("unsupported grant_type requested", "unsupported_grant_type"),
    Rule.SCOPE_NOT_ALLOWED: _Answer("requested scope is not allowed", "invalid_scope"),
    Rule.RESOURCE_MALFORMED: _Answer("resource must be an absolute URI without a fragment", "invalid_target"),
}


class RefusalError(OAuth2Error):  # type: ignore[misc]  # Authlib carries no types
    """A request that breaks one of the rules that `banno_creds.rules` judges by.

    What was received must be safe to log, see `shown`. Without a fix, that of the rule's explanation is taken.
    """

    def __init__(self, rule: Rule, received: str, expected: str, fix: str = "") -> None:
        answer = _ANSWERS.get(rule, _AUTHENTICATION_FAILED)
        super().__init__(error=answer.error, description=answer.description, status_code=answer.status)
        self.rule = rule
        self.received = received
        self.expected = expected
        self.fix = fix or EXPLANATIONS[rule].fix

    @property
    def sentence(self) -> str:
        """What was received, what was expected and what to do, on one line."""
        return f"received {self.received}; expected {self.expected}; fix: {self.fix}"

    @property
    def log_line(self) -> str:
        """The line for the log."""
        return f"refused by {self.rule}: {self.sentence}; more: banno-creds explain {self.rule}"

    @property
    def explanation(self) -> str:
        """The ``error_description`` with ``--explain``."""
        received, expected = (_shortened(described(text)) for text in (self.received, self.expected))
        return described(f"{self.rule}: received {received}; expected {expected}; fix: {self.fix}")


class LoginError(OAuth2Error):  # type: ignore[misc]  # Authlib carries no types
    """A refusal that no rule of a client assertion covers; most belong to a user's login.

    The description is in the vendor's words where they are known. What was received must be safe to log.
    """

    def __init__(
        self,
        description: str,
        received: str,
        expected: str,
        *,
        error: str = "invalid_request",
        fix: str = "send what is expected",
        status_code: int = 400,
    ) -> None:
        super().__init__(error=error, description=description, status_code=status_code)
        self.sentence = f"received {received}; expected {expected}; fix: {fix}"

    @property
    def log_line(self) -> str:
        """The line for the log."""
        more = f"; more: banno-creds explain {self.error}" if self.error in EXPLANATIONS else ""
        return f"refused with {self.error}: {self.sentence}{more}"

    @property
    def explanation(self) -> str:
        """The ``error_description`` with ``--explain``."""
        return described(f"{self.description}: {self.sentence}")


def log_line(text: str) -> str:
    """Make text safe for the log: one line, no control characters, no JWT.

    People mix up shell variables: an assertion may arrive as the scope, the client_id or the name of a parameter. So
    everything that looks like a JWT is taken out, before anything is shortened.
    """
    return printable(without_jwts(text), most=1000)


def described(text: str) -> str:
    """Make text fit for an ``error_description``: `log_line`, in the characters of RFC 6749 section 5.2."""
    return _NOT_FOR_DESCRIPTIONS.sub("?", log_line(text).translate(_ASCII))


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_OF_EVIDENCE else f"{text[:_MOST_OF_EVIDENCE]}..."
