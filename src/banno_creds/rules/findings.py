"""What was looked at and what came of it: the ids of all rules, and the record of one verdict.

An id names a fault, such as ``assertion.exp.past``, and stays what it is: scripts, logs and tickets quote it. What
each means is in `explanations`, and on the page docs/errors.md that is made of them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, NamedTuple

from banno_creds.text import printable


class Rule(StrEnum):
    """The rules, by what they look at. One passes where the fault that its id names is not there."""

    # The set-up on this machine.
    CONFIGURATION_INVALID = "configuration.invalid"
    CONFIGURATION_ENDPOINT = "configuration.endpoint"
    CLIENT_ID_MALFORMED = "client_id.malformed"
    CLIENT_ID_PLACEHOLDER = "client_id.placeholder"
    CLIENT_ID_CASE = "client_id.case"
    KEY_UNUSABLE = "key.unusable"
    KEY_PERMISSIONS = "key.permissions"

    # What the bank has.
    REGISTRATION_UNREADABLE = "registration.unreadable"
    REGISTRATION_PRIVATE_KEY = "registration.private_key"
    REGISTRATION_KEY_TYPE = "registration.key.type"
    REGISTRATION_KEY_SIZE = "registration.key.size"
    REGISTRATION_KEY_MISMATCH = "registration.key.mismatch"
    REGISTRATION_KID_REPEATED = "registration.kid.repeated"
    REGISTRATION_UNREACHABLE = "registration.unreachable"
    # These only the bank can look at.
    CLIENT_UNKNOWN = "client.unknown"
    REGISTRATION_AUTH_METHOD = "registration.auth_method"
    REGISTRATION_ALG = "registration.alg"
    REGISTRATION_APPLICATION_TYPE = "registration.application_type"
    REGISTRATION_USER = "registration.user"
    # This only a further request can tell.
    KID_MISSING = "assertion.kid.missing"

    # The client assertion.
    ASSERTION_PRIVATE_KEY = "assertion.private_key"
    ASSERTION_MALFORMED = "assertion.malformed"
    ASSERTION_TOKEN = "assertion.token"  # noqa: S105 - a rule's id
    SUB_MISSING = "assertion.sub.missing"
    SUB_MALFORMED = "assertion.sub.malformed"
    SUB_MISMATCH = "assertion.sub.mismatch"
    ALG_UNSUPPORTED = "assertion.alg.unsupported"
    ALG_KEY_MISMATCH = "assertion.alg.key_mismatch"
    EXP_MISSING = "assertion.exp.missing"
    JTI_MISSING = "assertion.jti.missing"
    ISS_MISSING = "assertion.iss.missing"
    ISS_MISMATCH = "assertion.iss.mismatch"
    AUD_MISSING = "assertion.aud.missing"
    AUD_MISMATCH = "assertion.aud.mismatch"
    AUD_ARRAY = "assertion.aud.array"
    AUD_MALFORMED = "assertion.aud.malformed"
    CRIT_UNSUPPORTED = "assertion.crit.unsupported"
    KID_UNEXPECTED = "assertion.kid.unexpected"
    KID_UNKNOWN = "assertion.kid.unknown"
    KID_OTHER_KEY = "assertion.kid.other_key"
    SIGNATURE_INVALID = "assertion.signature.invalid"
    NBF_MALFORMED = "assertion.nbf.malformed"
    NBF_FUTURE = "assertion.nbf.future"
    IAT_MALFORMED = "assertion.iat.malformed"
    IAT_FUTURE = "assertion.iat.future"
    EXP_MALFORMED = "assertion.exp.malformed"
    EXP_MILLISECONDS = "assertion.exp.milliseconds"
    EXP_PAST = "assertion.exp.past"
    EXP_TOO_FAR = "assertion.exp.too_far"
    JTI_MALFORMED = "assertion.jti.malformed"
    JTI_REPLAYED = "assertion.jti.replayed"
    CLAIMS_UNEXPECTED = "assertion.claims.unexpected"

    # The token request around it.
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

    # The way to the server, and what it says of itself.
    NETWORK_PROXY = "network.proxy"
    NETWORK_DNS = "network.dns"
    NETWORK_CONNECTION = "network.connection"
    NETWORK_TLS_HANDSHAKE = "network.tls.handshake"
    NETWORK_TLS_UNTRUSTED = "network.tls.untrusted"
    NETWORK_TLS_EXPIRED = "network.tls.expired"
    NETWORK_TLS_HOST = "network.tls.host"
    NETWORK_TIMEOUT = "network.timeout"
    NETWORK_ANSWER = "network.answer"
    NETWORK_UNAVAILABLE = "network.unavailable"
    DISCOVERY_MISSING = "discovery.missing"
    DISCOVERY_ISSUER = "discovery.issuer"
    DISCOVERY_TOKEN_ENDPOINT = "discovery.token_endpoint"  # noqa: S105 - a rule's id
    DISCOVERY_AUTHORIZATION_ENDPOINT = "discovery.authorization_endpoint"
    DISCOVERY_AUTH_METHOD = "discovery.auth_method"
    DISCOVERY_ALG = "discovery.alg"
    DISCOVERY_GRANT_TYPE = "discovery.grant_type"
    DISCOVERY_SCOPE = "discovery.scope"
    DISCOVERY_JWKS = "discovery.jwks"
    CLOCK_SKEW = "clock.skew"
    TOKEN_REQUEST = "token.request"  # noqa: S105 - a rule's id

    # A person's login.
    AUTHORIZATION_REDIRECT_URI_MISMATCH = "authorization.redirect_uri.mismatch"
    AUTHORIZATION_STATE_UNEXPECTED = "authorization.state.unexpected"
    AUTHORIZATION_ISS_UNEXPECTED = "authorization.iss.unexpected"
    ID_TOKEN_MISSING = "id_token.missing"  # noqa: S105 - a rule's id, as those after it
    ID_TOKEN_ALG_UNEXPECTED = "id_token.alg.unexpected"  # noqa: S105
    ID_TOKEN_SIGNATURE_UNVERIFIED = "id_token.signature.unverified"  # noqa: S105
    ID_TOKEN_ISS_UNEXPECTED = "id_token.iss.unexpected"  # noqa: S105
    ID_TOKEN_AUD_UNEXPECTED = "id_token.aud.unexpected"  # noqa: S105
    ID_TOKEN_SUB_UNEXPECTED = "id_token.sub.unexpected"  # noqa: S105
    ID_TOKEN_EXPIRED = "id_token.expired"  # noqa: S105
    ID_TOKEN_IAT_FUTURE = "id_token.iat.future"  # noqa: S105
    ID_TOKEN_NONCE_UNEXPECTED = "id_token.nonce.unexpected"  # noqa: S105
    ID_TOKEN_AT_HASH_UNEXPECTED = "id_token.at_hash.unexpected"  # noqa: S105
    ID_TOKEN_AUTH_TIME_TOO_OLD = "id_token.auth_time.too_old"  # noqa: S105
    SESSION_MISSING = "session.missing"
    SESSION_ENDED = "session.ended"
    SESSION_BUSY = "session.busy"
    SESSION_KEYRING = "session.keyring"


class Verdict(StrEnum):
    """What came of looking."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"  # it cannot be told from here


class Finding(NamedTuple):
    """One rule's verdict.

    Attributes:
        rule: the rule's id; for a server's refusal, the OAuth error code.
        verdict: what came of it.
        looks_at: what the rule looks at, in a word or two, such as ``exp``.
        received: what is there, fit to be shown.
        expected: what should be there instead, of a fault.
        fix: what to do about it, of a fault.
        reason: why it cannot be told, where it cannot.
    """

    rule: str
    verdict: Verdict
    looks_at: str
    received: str = ""
    expected: str = ""
    fix: str = ""
    reason: str = ""


class Part(NamedTuple):
    """What came of looking at one part of a set-up.

    Attributes:
        title: what was looked at.
        findings: what was found, in order.
        notes: what else there is to say of it, a line each.
    """

    title: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


NO_ASSERTION = "there is no assertion to look at"
"""Why nothing more can be told of what is no client assertion."""

_MOST_CHARACTERS = 200
_MOST_ITEMS = 8
JWT_LIKE = re.compile(
    r"(?:eyJ[A-Za-z0-9_-]*|(?<![A-Za-z0-9_-])e(?:yA|yI|w0|wo)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})"
    r"(?:\.[A-Za-z0-9_-]*|\s+[A-Za-z0-9_.-]{16,})*"
)
"""What base64url makes of ``{"``: where a JWT begins, with as many of its parts as follow, also wrapped to lines.
With white space after the brace it begins otherwise, and is known by its dots as well."""

# What may be a URL.
_WORD = re.compile(r"\S+")


def without_secrets(text: str) -> str:
    """Leave out what may be a secret in text from outside: JWTs, and the user and the password of a URL.

    Args:
        text: the text.

    Returns:
        The text with words in their place.
    """
    return _WORD.sub(_without_userinfo, JWT_LIKE.sub("(a JWT, left out)", text))


def _without_userinfo(word: re.Match[str]) -> str:
    scheme, separator, rest = word[0].partition("://")
    # Up to the last "@": a password may have any character in it, encoded or not.
    _, at, host = rest.rpartition("@")
    return f"{scheme}{separator}(left out)@{host}" if separator and at else word[0]


def shown(value: Any) -> str:
    """Say a value from a request or a claim, briefly, as JSON where it is flat.

    Only what is flat is spelled out: nesting comes from outside and may be deeper than Python's stack. No JWT is
    shown, whole or in part, and no password of a URL: people swap shell variables.

    Args:
        value: what JSON or a form gave.

    Returns:
        Its text, or what sort of thing it is.
    """
    if isinstance(value, str):
        return f'"{printable(without_secrets(value), most=_MOST_CHARACTERS)}"'
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
