"""The ids of all rules, and the record of one verdict.

An id names a fault, such as ``assertion.exp.past``. It never changes: scripts, logs and tickets quote it. errors.md
explains each of them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Rule(StrEnum):
    """The rules, by what they look at. A rule passes if the fault that its id names is absent."""

    # The set-up on this machine.
    CONFIGURATION_INVALID = "configuration.invalid"
    CONFIGURATION_ENDPOINT = "configuration.endpoint"
    CLIENT_ID_MALFORMED = "client_id.malformed"
    CLIENT_ID_PLACEHOLDER = "client_id.placeholder"
    CLIENT_ID_CASE = "client_id.case"
    KEY_UNUSABLE = "key.unusable"
    KEY_PERMISSIONS = "key.permissions"
    KEY_AGE = "key.age"

    # The registration at the bank.
    REGISTRATION_UNREADABLE = "registration.unreadable"
    REGISTRATION_PRIVATE_KEY = "registration.private_key"
    REGISTRATION_KEY_TYPE = "registration.key.type"
    REGISTRATION_KEY_SIZE = "registration.key.size"
    REGISTRATION_KEY_MISMATCH = "registration.key.mismatch"
    REGISTRATION_KID_REPEATED = "registration.kid.repeated"
    REGISTRATION_FORM = "registration.form"
    REGISTRATION_UNREACHABLE = "registration.unreachable"
    # The change of a key.
    ROTATION_PEM = "rotation.pem"
    ROTATION_TOGETHER = "rotation.together"
    ROTATION_BACK = "rotation.back"
    # A JWK Set that is published for the bank.
    JWKS_MALFORMED = "jwks.malformed"
    JWKS_EMPTY = "jwks.empty"
    JWKS_KEY_MALFORMED = "jwks.key.malformed"
    JWKS_KEY_REPEATED = "jwks.key.repeated"
    JWKS_KID_MISSING = "jwks.kid.missing"
    JWKS_X5C = "jwks.x5c"
    JWKS_SIZE = "jwks.size"
    JWKS_ADDRESS = "jwks.address"
    JWKS_MEDIA_TYPE = "jwks.media_type"
    JWKS_CACHING = "jwks.caching"
    JWKS_COMPRESSION = "jwks.compression"
    JWKS_TIME = "jwks.time"
    # Only the bank can judge these.
    CLIENT_UNKNOWN = "client.unknown"
    CLIENT_DISABLED = "client.disabled"
    CLIENT_ADDRESS = "client.address"
    CLIENT_SECRET = "client.secret"  # noqa: S105 - a rule's id
    REGISTRATION_AUTH_METHOD = "registration.auth_method"
    REGISTRATION_ALG = "registration.alg"
    REGISTRATION_APPLICATION_TYPE = "registration.application_type"
    REGISTRATION_USER = "registration.user"
    # Only the server's words, or a further request, can tell these.
    KID_MISSING = "assertion.kid.missing"
    IAT_MISSING = "assertion.iat.missing"
    CLIENT_ID_MISSING = "request.client_id.missing"

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

    # The way to the server, and the server's own metadata.
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
    CHECK_GIVEN_UP = "check.given_up"
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
    TOKEN_TYPE = "token.type"  # noqa: S105 - a rule's id

    # The cache that machines share.
    CACHE_SECRET = "cache.secret"  # noqa: S105 - a rule's id
    CACHE_UNREACHABLE = "cache.unreachable"
    CACHE_TLS = "cache.tls"
    CACHE_PLAINTEXT = "cache.plaintext"
    CACHE_ANSWER = "cache.answer"
    CACHE_PASSWORD = "cache.password"  # noqa: S105 - a rule's id
    CACHE_PERMISSION = "cache.permission"
    CACHE_FULL = "cache.full"
    CACHE_EVICTION = "cache.eviction"
    CACHE_REPLICA = "cache.replica"
    CACHE_CLUSTER = "cache.cluster"
    CACHE_CLOCK = "cache.clock"
    CACHE_REFUSED = "cache.refused"

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
    """The result of one rule."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"  # it cannot be judged from here


class Finding(NamedTuple):
    """One rule's verdict.

    Attributes:
        rule: the rule's id; for a server's refusal, the OAuth error code.
        verdict: the result.
        looks_at: the thing that the rule looks at, in a word or two, such as ``exp``.
        received: the value found there, safe to show.
        expected: the right value, of a fault.
        fix: what to do, of a fault.
        reason: why the verdict is unknown.
    """

    rule: str
    verdict: Verdict
    looks_at: str
    received: str = ""
    expected: str = ""
    fix: str = ""
    reason: str = ""


class Part(NamedTuple):
    """The findings of one part of a set-up.

    Attributes:
        title: the part's name.
        findings: the findings, in order.
        notes: further remarks, a line each.
    """

    title: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


NO_ASSERTION = "there is no assertion to look at"
"""The reason why a rule is unknown if the text is no client assertion."""
