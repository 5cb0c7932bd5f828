"""What the server asks of a client assertion (RFC 7523 section 3), rule by rule.

The order is node-oidc-provider's, which the vendor's server is taken to be: the first rule broken is the one
named, so the log says here what the vendor's own log would say. Authlib's ``JWTBearerClientAssertion`` asks most of
this too, but in another order and without telling the rules apart; so the rules are ours, and the JOSE beneath is
joserfc's, which is Authlib's too.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import json
import math
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from joserfc import jws
from joserfc.errors import JoseError

from banno_creds.sandbox.refusals import RefusalError, Rule, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.sandbox.clients import RegisteredClient

SIGNING_ALGORITHMS: Final = ("RS256", "PS256", "ES256")

# How far the clocks of client and server may be apart, either way.
CLOCK_TOLERANCE: Final = 15
# The vendor's limit on how far ahead `exp` may lie.
MOST_SECONDS_AHEAD: Final = 300
# In seconds this is the year 5138; in milliseconds, March 1973. Nobody means the former.
_MILLISECONDS_FROM: Final = 100_000_000_000

# JWS Compact Serialization (RFC 7515 section 7.1); an empty signature is well-formed, and refused later.
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
# joserfc allows 512 bytes, less than a header with a certificate chain in it.
_MOST_HEADER_CHARACTERS: Final = 16_384


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A client assertion as it was presented: read, and not yet believed.

    Attributes:
        compact: the JWS itself.
        header: the JOSE header.
        claims: the claims set.
    """

    compact: str = field(repr=False)
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @classmethod
    def read(cls, compact: str) -> ClientAssertion:
        """Take a compact JWS apart without verifying anything.

        Args:
            compact: the ``client_assertion`` parameter.

        Returns:
            The assertion.

        Raises:
            RefusalError: it is not a JWS whose header and payload are JSON objects.
        """
        parts = _COMPACT.fullmatch(compact)
        if parts is None:
            raise _malformed(f"{compact.count('.') + 1} part(s), or characters outside of base64url")
        return cls(compact, _json_object(parts[1], "header"), _json_object(parts[2], "payload"))


def _json_object(segment: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError):  # bad base64, bad UTF-8, bad JSON, JSON nested without end
        raise _malformed(f"a {name} that is not base64url of JSON") from None
    if not isinstance(value, dict):
        raise _malformed(f"a {name} that is JSON and not an object")
    return value


def _malformed(received: str) -> RefusalError:
    return RefusalError(
        Rule.ASSERTION_MALFORMED,
        received=received,
        expected="a compact JWS: header, payload and signature in base64url, joined by dots",
    )


class UsedJtis:
    """The memory of the ``jti`` values that were used: each until its assertion has expired.

    Nothing need be remembered longer, since an expired assertion is refused anyway; so the memory is bounded by how
    many assertions can be verified in five minutes. `most` bounds it besides, whatever happens: beyond that the one
    that expires first is forgotten early. What is kept is a digest, so that a long ``jti`` costs no more than a short
    one.

    Args:
        most: the most values to remember.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._used: set[bytes] = set()
        self._by_end: list[tuple[float, bytes]] = []  # a heap: what ends first is first

    def __len__(self) -> int:
        return len(self._used)

    def use(self, issuer: str, jti: str, *, until: float, now: float) -> bool:
        """Use a ``jti`` up, in one step: of two threads that try, one succeeds.

        Args:
            issuer: the ``iss`` claim: a ``jti`` is unique per issuer (RFC 7519 section 4.1.7).
            jti: the ``jti`` claim.
            until: when it may be forgotten, in seconds.
            now: the time, in seconds.

        Returns:
            False where it was used before.
        """
        # JSON keeps ("a", "bc") and ("ab", "c") apart, and takes the lone surrogates that UTF-8 does not.
        digest = hashlib.sha256(json.dumps([issuer, jti]).encode()).digest()
        with self._lock:
            while self._by_end and self._by_end[0][0] <= now:
                self._used.discard(heapq.heappop(self._by_end)[1])
            if digest in self._used:
                return False
            if len(self._used) >= self._most:
                self._used.discard(heapq.heappop(self._by_end)[1])
            self._used.add(digest)
            heapq.heappush(self._by_end, (until, digest))
            return True


@dataclass(frozen=True, slots=True)
class _Presented:
    """All that a rule may look at."""

    assertion: ClientAssertion
    client: RegisteredClient
    audiences: tuple[str, ...]
    now: int

    @property
    def header(self) -> Mapping[str, Any]:
        return self.assertion.header

    @property
    def claims(self) -> Mapping[str, Any]:
        return self.assertion.claims


def subject(assertion: ClientAssertion) -> str:
    """Read whom an assertion is about; the registration is looked up by it before anything is verified.

    Args:
        assertion: the assertion.

    Returns:
        The ``sub`` claim.

    Raises:
        RefusalError: there is none, or it is no string.
    """
    expected = 'a "sub" claim with the client ID'
    sub = assertion.claims.get("sub")
    if sub is None or sub == "":
        raise RefusalError(Rule.SUB_MISSING, received='no "sub" claim', expected=expected)
    if not isinstance(sub, str):
        raise RefusalError(Rule.SUB_MALFORMED, received=f'"sub" {shown(sub)}', expected=expected)
    return sub


def verify(
    assertion: ClientAssertion,
    client: RegisteredClient,
    *,
    audiences: tuple[str, ...],
    now: int,
    used_jtis: UsedJtis,
) -> None:
    """Verify a client assertion.

    Args:
        assertion: the assertion.
        client: the client that `subject` names.
        audiences: the ``aud`` values that mean this server, the token endpoint first.
        now: the server's time, in whole seconds.
        used_jtis: the memory against replay; the assertion's ``jti`` is used up where all else passes.

    Raises:
        RefusalError: the first rule it breaks.
    """
    presented = _Presented(assertion, client, audiences, now)
    for check in _CHECKS:
        check(presented)
    claims = assertion.claims
    # Last, so that a refused assertion costs its jti nothing and a stranger cannot fill the memory.
    if not used_jtis.use(claims["iss"], claims["jti"], until=claims["exp"] + CLOCK_TOLERANCE, now=now):
        raise RefusalError(
            Rule.JTI_REPLAYED,
            received=f'"jti" {shown(claims["jti"])}, which was used before',
            expected="a jti that is fresh in every request, retries included",
        )


def _check_alg(presented: _Presented) -> None:
    alg = presented.header.get("alg")
    if alg not in SIGNING_ALGORITHMS:  # "none" and HMAC with the public key as the secret fall here
        raise RefusalError(
            Rule.ALG_UNSUPPORTED,
            received=f"alg {shown(alg)}" if "alg" in presented.header else "no alg in the header",
            expected=" or ".join(SIGNING_ALGORITHMS),
        )
    fitting = sorted({name for key in presented.client.keys for name in key.algorithms})
    if alg not in fitting:
        raise RefusalError(
            Rule.ALG_KEY_MISMATCH,
            received=f"alg {alg}",
            expected=f"{' or '.join(fitting)}, which the registered public key is good for",
        )


def _check_exp_present(presented: _Presented) -> None:
    exp = presented.claims.get("exp")
    if exp is None:
        raise RefusalError(
            Rule.EXP_MISSING,
            received='no "exp" claim',
            expected=f'an "exp" claim, at most {MOST_SECONDS_AHEAD} seconds ahead',
        )
    if not _is_numeric_date(exp):
        raise RefusalError(Rule.EXP_MALFORMED, received=f'"exp" {shown(exp)}', expected="a number of seconds")


def _check_jti_present(presented: _Presented) -> None:
    jti = presented.claims.get("jti")
    if jti is None or jti == "":
        raise RefusalError(Rule.JTI_MISSING, received='no "jti" claim', expected="a fresh unique string")
    if not isinstance(jti, str):
        raise RefusalError(Rule.JTI_MALFORMED, received=f'"jti" {shown(jti)}', expected="a fresh unique string")


def _check_iss(presented: _Presented) -> None:
    expected = f"the client ID, {shown(presented.client.client.client_id)}, which is also the sub"
    iss = presented.claims.get("iss")
    if iss is None or iss == "":
        raise RefusalError(Rule.ISS_MISSING, received='no "iss" claim', expected=expected)
    if iss != presented.client.client.client_id:
        raise RefusalError(Rule.ISS_MISMATCH, received=f'"iss" {shown(iss)}', expected=expected)


def _check_aud(presented: _Presented) -> None:
    expected = f"{shown(presented.audiences[0])}, to the character"
    aud = presented.claims.get("aud")
    if aud is None or aud in ("", []):
        raise RefusalError(Rule.AUD_MISSING, received='no "aud" claim', expected=expected)
    values = aud if isinstance(aud, list) else [aud]
    if not any(audience in values for audience in presented.audiences):
        raise RefusalError(Rule.AUD_MISMATCH, received=f'"aud" {shown(aud)}', expected=expected)


def _check_crit(presented: _Presented) -> None:
    # RFC 7515 section 4.1.11: an extension that is critical and not understood makes the JWS invalid.
    if "crit" in presented.header:
        raise RefusalError(
            Rule.CRIT_UNSUPPORTED,
            received=f"crit {shown(presented.header['crit'])}",
            expected="a header without crit",
        )


def _check_signature(presented: _Presented) -> None:
    alg, kid = presented.header["alg"], presented.header.get("kid")
    keys = [key for key in presented.client.keys if alg in key.algorithms]
    if "kid" in presented.header:
        known = [key.kid for key in presented.client.keys if key.kid is not None]
        if not known:
            raise RefusalError(
                Rule.KID_UNEXPECTED,
                received=f"kid {shown(kid)}",
                expected="no kid: the registered public key has none",
            )
        keys = [key for key in keys if key.kid == kid]
        if not keys:
            raise RefusalError(
                Rule.KID_UNKNOWN,
                received=f"kid {shown(kid)} with alg {alg}",
                expected=f"the kid of a registered key that fits the alg; registered: {shown(known)}",
            )
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    registry.max_header_length = _MOST_HEADER_CHARACTERS
    for key in keys:
        try:
            jws.deserialize_compact(presented.assertion.compact, key.key, registry=registry)
        except (JoseError, ValueError):
            continue
        return
    raise RefusalError(
        Rule.SIGNATURE_INVALID,
        received=f"a signature ({alg}) that does not verify with the registered public key",
        expected="one made with the private key that belongs to it, over this very header and payload",
    )


def _check_exp(presented: _Presented) -> None:
    exp, now = presented.claims["exp"], presented.now
    if exp >= _MILLISECONDS_FROM:
        raise RefusalError(
            Rule.EXP_MILLISECONDS,
            received=f'"exp" {shown(exp)}, which is a time in milliseconds',
            expected="seconds (RFC 7519 section 2, NumericDate)",
        )
    if exp <= now - CLOCK_TOLERANCE:
        raise RefusalError(
            Rule.EXP_PAST,
            received=f'"exp" {shown(exp)}, {shown(now - exp)} s ago by this clock',
            expected=f"a time in the future; this clock says {now}",
        )
    if exp > now + MOST_SECONDS_AHEAD + CLOCK_TOLERANCE:
        raise RefusalError(
            Rule.EXP_TOO_FAR,
            received=f'"exp" {shown(exp)}, {shown(exp - now)} s ahead by this clock',
            expected=f"at most {MOST_SECONDS_AHEAD} s ahead; this clock says {now}",
        )


def _check_nbf(presented: _Presented) -> None:
    _check_not_in_the_future(presented, "nbf", Rule.NBF_MALFORMED, Rule.NBF_FUTURE)


def _check_iat(presented: _Presented) -> None:
    _check_not_in_the_future(presented, "iat", Rule.IAT_MALFORMED, Rule.IAT_FUTURE)


def _check_not_in_the_future(presented: _Presented, name: str, malformed: Rule, future: Rule) -> None:
    if name not in presented.claims:
        return
    value, now = presented.claims[name], presented.now
    if not _is_numeric_date(value):
        raise RefusalError(malformed, received=f'"{name}" {shown(value)}', expected="a number of seconds")
    if value > now + CLOCK_TOLERANCE:
        raise RefusalError(
            future,
            received=f'"{name}" {shown(value)}, {shown(value - now)} s ahead by this clock',
            expected=f"a time that has come; this clock says {now}",
        )


def _is_numeric_date(value: object) -> TypeGuard[int | float]:
    """Tell whether a value is a NumericDate (RFC 7519 section 2); Python's JSON also reads NaN and Infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


# The order is the contract; see the module's docstring.
_CHECKS: Final[tuple[Callable[[_Presented], None], ...]] = (
    _check_alg,
    _check_exp_present,
    _check_jti_present,
    _check_iss,
    _check_aud,
    _check_crit,
    _check_signature,
    _check_exp,
    _check_nbf,
    _check_iat,
)
