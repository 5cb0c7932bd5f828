"""Why a token request is refused: the rule for the operator, the vendor's words for the client.

A `RefusalError` has two faces. The client sees an OAuth error (RFC 6749 section 5.2), and for every failed
authentication the very same one, as with the vendor's server: whoever guesses learns nothing. The operator sees the
rule, what was received and what was expected.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

from authlib.oauth2 import OAuth2Error

from banno_creds.errors import printable

# What base64url makes of `{"`: where a JWT begins, with as many of its parts as follow.
_JWT_LIKE: Final = re.compile(r"eyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*")
_MOST_CHARACTERS: Final = 200
_MOST_ITEMS: Final = 8


class Rule(StrEnum):
    """The rules of the token endpoint; the values are stable and may be relied on by programs."""

    CLIENT_ASSERTION_MISSING = "request.client_assertion.missing"
    CLIENT_AUTHENTICATION_SEVERAL = "request.client_authentication.several"
    CLIENT_ASSERTION_TYPE_MISSING = "request.client_assertion_type.missing"
    CLIENT_ASSERTION_TYPE_UNSUPPORTED = "request.client_assertion_type.unsupported"
    CLIENT_ID_MISMATCH = "request.client_id.mismatch"
    PARAMETER_REPEATED = "request.parameter.repeated"
    GRANT_TYPE_MISSING = "request.grant_type.missing"
    GRANT_TYPE_UNSUPPORTED = "request.grant_type.unsupported"
    SCOPE_NOT_ALLOWED = "request.scope.not_allowed"
    RESOURCE_MALFORMED = "request.resource.malformed"

    CLIENT_UNKNOWN = "client.unknown"

    ASSERTION_MALFORMED = "assertion.malformed"
    SUB_MISSING = "assertion.sub.missing"
    SUB_MALFORMED = "assertion.sub.malformed"
    ALG_UNSUPPORTED = "assertion.alg.unsupported"
    ALG_KEY_MISMATCH = "assertion.alg.key_mismatch"
    EXP_MISSING = "assertion.exp.missing"
    EXP_MALFORMED = "assertion.exp.malformed"
    JTI_MISSING = "assertion.jti.missing"
    JTI_MALFORMED = "assertion.jti.malformed"
    ISS_MISSING = "assertion.iss.missing"
    ISS_MISMATCH = "assertion.iss.mismatch"
    AUD_MISSING = "assertion.aud.missing"
    AUD_MISMATCH = "assertion.aud.mismatch"
    CRIT_UNSUPPORTED = "assertion.crit.unsupported"
    KID_UNEXPECTED = "assertion.kid.unexpected"
    KID_UNKNOWN = "assertion.kid.unknown"
    SIGNATURE_INVALID = "assertion.signature.invalid"
    EXP_PAST = "assertion.exp.past"
    EXP_MILLISECONDS = "assertion.exp.milliseconds"
    EXP_TOO_FAR = "assertion.exp.too_far"
    NBF_MALFORMED = "assertion.nbf.malformed"
    NBF_FUTURE = "assertion.nbf.future"
    IAT_MALFORMED = "assertion.iat.malformed"
    IAT_FUTURE = "assertion.iat.future"
    JTI_REPLAYED = "assertion.jti.replayed"


class _Answer(NamedTuple):
    status: int
    error: str
    description: str


# Any rule that is not listed is a failed authentication: a rule added later keeps the secret by default.
_AUTHENTICATION_FAILED: Final = _Answer(401, "invalid_client", "client authentication failed")
_ANSWERS: Final = {
    Rule.CLIENT_ASSERTION_MISSING: _Answer(400, "invalid_request", "no client authentication mechanism provided"),
    Rule.CLIENT_AUTHENTICATION_SEVERAL: _Answer(
        400, "invalid_request", "client authentication must only be provided using one mechanism"
    ),
    Rule.ASSERTION_MALFORMED: _Answer(400, "invalid_request", "invalid client_assertion format"),
    Rule.CLIENT_ASSERTION_TYPE_MISSING: _Answer(400, "invalid_request", "client_assertion_type must be provided"),
    Rule.CLIENT_ASSERTION_TYPE_UNSUPPORTED: _Answer(
        400,
        "invalid_request",
        "client_assertion_type must have value urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    ),
    Rule.CLIENT_ID_MISMATCH: _Answer(400, "invalid_request", "client_id mismatch"),
    Rule.PARAMETER_REPEATED: _Answer(400, "invalid_request", "a parameter must not be provided twice"),
    Rule.GRANT_TYPE_MISSING: _Answer(400, "invalid_request", "missing required parameter 'grant_type'"),
    Rule.GRANT_TYPE_UNSUPPORTED: _Answer(400, "unsupported_grant_type", "unsupported grant_type requested"),
    Rule.SCOPE_NOT_ALLOWED: _Answer(400, "invalid_scope", "requested scope is not allowed"),
    Rule.RESOURCE_MALFORMED: _Answer(400, "invalid_target", "resource must be an absolute URI without a fragment"),
}


class RefusalError(OAuth2Error):  # type: ignore[misc]  # Authlib carries no types
    """A token request that is refused.

    Args:
        rule: the rule it broke.
        received: what came, in words that are safe to log; see `shown`.
        expected: what would have passed.
    """

    def __init__(self, rule: Rule, *, received: str, expected: str) -> None:
        answer = _ANSWERS.get(rule, _AUTHENTICATION_FAILED)
        super().__init__(error=answer.error, description=answer.description, status_code=answer.status)
        self.rule = rule
        self.received = received
        self.expected = expected

    @property
    def sentence(self) -> str:
        """What the operator reads: received and expected, on one line."""
        return f"received {self.received}; expected {self.expected}"


def log_line(text: str) -> str:
    """Make text fit for the log: one line, no control characters, and no JWT in it.

    People swap shell variables: an assertion turns up as the scope, the client_id, or the name of a parameter. So
    whatever looks like a JWT is left out wherever it stands, before anything is shortened.

    Args:
        text: the text.

    Returns:
        The line.
    """
    return printable(_JWT_LIKE.sub("(a JWT, left out)", text), most=1000)


def shown(value: object) -> str:
    """Say a value from a request or a claim, briefly.

    Only what is flat is spelled out: nesting comes from outside and may be deeper than Python's stack.

    Args:
        value: what JSON or a form gave.

    Returns:
        Its text, or what sort of thing it is.
    """
    if isinstance(value, str):
        return f'"{printable(_JWT_LIKE.sub("(a JWT, left out)", value), most=_MOST_CHARACTERS)}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return printable(value, most=40)
    if isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            return "an array that holds more than strings"
        more = [f"{len(value) - _MOST_ITEMS} more"] if len(value) > _MOST_ITEMS else []
        return f"[{', '.join([shown(item) for item in value[:_MOST_ITEMS]] + more)}]"
    return "an object"
