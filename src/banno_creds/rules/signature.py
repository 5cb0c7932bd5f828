"""Judge the JOSE header and the signature: alg, kid, crit, and the key that signed."""

# ruff: noqa: D103 - each public function is the rule that it is named after

from __future__ import annotations

from typing import TYPE_CHECKING

from banno_creds.config import ALGORITHMS
from banno_creds.rules.outcomes import Outcome, failed, odd, passed, unknown
from banno_creds.rules.shown import shown

if TYPE_CHECKING:
    from banno_creds.rules.known import Known, RegisteredKey
    from banno_creds.rules.presented import ClientAssertion

NO_KID = "none is sent"

_FORMS = {
    "ES256": "the 64 bytes R and S, in base64url (RFC 7518 section 3.4)",
    "PS256": "RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes, in base64url (RFC 7518 section 3.5)",
    "RS256": "RSASSA-PKCS1-v1_5 with SHA-256, in base64url (RFC 7518 section 3.3)",
}


def alg_unsupported(assertion: ClientAssertion, _: Known) -> Outcome:
    alg = assertion.header.get("alg")
    if alg in ALGORITHMS:  # "none", and HMAC with the public key as the secret, are not
        return passed(str(alg))
    return failed(f"alg {shown(alg)}" if "alg" in assertion.header else "no alg", " or ".join(ALGORITHMS))


def alg_key_mismatch(assertion: ClientAssertion, known: Known) -> Outcome:
    alg = assertion.header["alg"]
    if not known.keys:
        return _no_keys(known)
    fitting = sorted({name for key in known.keys for name in key.algorithms})
    if alg in fitting:
        return passed()
    good_for = " or ".join(fitting) or "none that the provider takes"
    expected = f"{good_for}, which is what the registered public key may verify"
    mine, theirs = _key_type(alg), {_key_type(name) for name in fitting}
    if not fitting:
        return failed(
            f"alg {alg}", expected, f"have alg taken out of the registered JWK, or set to {alg}; no other alg will do"
        )
    if mine in theirs:
        return failed(f"alg {alg}", expected, f"sign with {good_for}: the registered JWK is meant for nothing else")
    other = " or ".join(sorted(theirs))
    return failed(
        f"alg {alg}, which {mine} keys sign with; the registered key is {other}",
        expected,
        f"the types differ: sign with the {other} key whose public half is registered, or have your {mine} key "
        "registered",
    )


def kid_unexpected(assertion: ClientAssertion, known: Known) -> Outcome:
    if "kid" not in assertion.header:
        return passed(NO_KID)
    kid = f"kid {shown(assertion.header['kid'])}"
    if _kid(assertion) is None:
        # RFC 7515 section 4.1.4 wants a string; node-oidc-provider ignores any other value.
        return odd(kid, "a string, or no kid")
    if known.keys is None:
        return unknown("right with a JWKS URI, refused with a pasted PEM, and which it is was not given", kid)
    if not known.keys:
        return _no_keys(known, kid)
    if any(key.kid is not None for key in known.keys):
        return passed(kid)
    return failed(kid, "no kid: the registered public key has none")


def kid_unknown(assertion: ClientAssertion, known: Known) -> Outcome:
    kid, alg = _kid(assertion), assertion.header["alg"]
    if kid is None:
        return passed()
    if not known.keys:
        return _no_keys(known)
    if any(key.kid == kid and alg in key.algorithms for key in known.keys):
        return passed()
    kids = [key.kid for key in known.keys if key.kid is not None]
    return failed(
        f"kid {shown(kid)} with alg {alg}", f"the kid of a key that fits the alg; registered: {shown(kids)}"
    )


def crit_unsupported(assertion: ClientAssertion, _: Known) -> Outcome:
    # RFC 7515 section 4.1.11: a critical extension that the receiver does not understand makes the JWS invalid.
    if "crit" in assertion.header:
        return failed(f"crit {shown(assertion.header['crit'])}", "a header without crit")
    return passed()


def kid_other_key(assertion: ClientAssertion, known: Known) -> Outcome:
    kid = _kid(assertion)
    if kid is None:
        return passed()
    if not known.keys:
        return _no_keys(known)
    makers = [key for key in _makers(assertion, known) if key.kid != kid]
    if _makers(assertion, known, kid) or not makers:
        return passed()
    named = f"kid {shown(makers[0].kid)}" if makers[0].kid is not None else "no kid"
    return failed(
        f"kid {shown(kid)}, and a signature by the key with {named}", f"{named}, or the other key's signature"
    )


def invalid(assertion: ClientAssertion, known: Known) -> Outcome:
    if not known.keys:
        return _no_keys(known)
    makers = _makers(assertion, known, _kid(assertion))
    if makers:
        return passed(f"verified with {makers[0].description}")
    alg = assertion.header["alg"]
    expected = "one by the private key that belongs to it, over this very header and payload"
    if assertion.compact.endswith("."):
        return failed(
            f"an empty signature, with alg {alg}",
            expected,
            "sign header.payload, and append the signature in base64url",
        )
    for key in _fitting(assertion, known, _kid(assertion)):
        if (explained := key.explains(assertion.compact, alg)) is not None:
            form, fix = explained
            return failed(f"a signature ({alg}) by the right key, {form}", _FORMS[alg], fix)
    return failed(f"a signature ({alg}) that does not verify with the registered public key", expected)


def _key_type(alg: str) -> str:
    return "EC" if alg.startswith("ES") else "RSA"


def _no_keys(known: Known, received: str = "") -> Outcome:
    if known.keys is None:
        return unknown("which public key the bank has was not given", received)
    return unknown("no registered key can be used", received)


def _kid(assertion: ClientAssertion) -> str | None:
    kid = assertion.header.get("kid")
    return kid if isinstance(kid, str) else None


def _makers(assertion: ClientAssertion, known: Known, kid: str | None = None) -> list[RegisteredKey]:
    """Return the registered keys that made the signature; with a kid, only those that have it."""
    return [
        key for key in _fitting(assertion, known, kid) if key.verifies(assertion.compact, assertion.header["alg"])
    ]


def _fitting(assertion: ClientAssertion, known: Known, kid: str | None) -> list[RegisteredKey]:
    alg = assertion.header["alg"]
    return [key for key in known.keys or () if alg in key.algorithms and (kid is None or key.kid == kid)]
