"""Judge the claims that name client and server, and make the assertion one of a kind: iss, sub, aud, jti."""

# ruff: noqa: D103 - each public function is the rule that it is named after

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from banno_creds.config import ENVIRONMENTS, MOST_LIFETIME
from banno_creds.rules.outcomes import Outcome, failed, odd, passed, unknown
from banno_creds.rules.presented import unquoted
from banno_creds.rules.shown import shown

if TYPE_CHECKING:
    from banno_creds.rules.known import Known
    from banno_creds.rules.presented import ClientAssertion

_DOCUMENTED = frozenset(("iss", "sub", "aud", "exp", "jti", "iat", "nbf"))


def sub_missing(assertion: ClientAssertion, _: Known) -> Outcome:
    return _present(assertion, "sub", 'a "sub" claim with the client ID')


def sub_malformed(assertion: ClientAssertion, _: Known) -> Outcome:
    return (
        passed()
        if isinstance(assertion.claims["sub"], str)
        else failed(assertion.claim("sub"), "the client ID, a string")
    )


def sub_mismatch(assertion: ClientAssertion, known: Known) -> Outcome:
    if known.client_id is None:
        return unknown("the client ID was not given", shown(assertion.claims["sub"]))
    return _same(assertion, "sub", known.client_id, "the client ID")


def exp_missing(assertion: ClientAssertion, _: Known) -> Outcome:
    return _present(assertion, "exp", f'an "exp" claim, at most {MOST_LIFETIME} seconds ahead')


def jti_missing(assertion: ClientAssertion, _: Known) -> Outcome:
    return _present(assertion, "jti", "a fresh unique string")


def iss_missing(assertion: ClientAssertion, _: Known) -> Outcome:
    return _present(assertion, "iss", 'an "iss" claim with the client ID, as in "sub"')


def iss_mismatch(assertion: ClientAssertion, known: Known) -> Outcome:
    if known.client_id is not None:
        return _same(assertion, "iss", known.client_id, "the client ID, which is also the sub")
    iss, sub = assertion.claims["iss"], assertion.claims.get("sub")
    if not isinstance(sub, str) or not sub:
        return unknown("neither the client ID nor a sub is there to compare it with", assertion.claim("iss"))
    if iss == sub:
        return passed(shown(iss))
    return failed(  # which of the two is wrong is not known
        f"{assertion.claim('iss')}, and {assertion.claim('sub')}",
        "the same in both: the client ID",
        "set both iss and sub to the client ID; which of them is wrong shows once the client ID is given",
    )


def aud_missing(assertion: ClientAssertion, known: Known) -> Outcome:
    return _present(assertion, "aud", _audience(known))


def aud_mismatch(assertion: ClientAssertion, known: Known) -> Outcome:
    aud = assertion.claims["aud"]
    if not known.audiences:
        return unknown("the token endpoint is not known", assertion.claim("aud"))
    values = aud if isinstance(aud, list) else [aud]
    endpoint, *others = known.audiences
    if endpoint in values:
        return passed(shown(aud))
    if any(audience in values for audience in others):
        # The vendor's server takes it (and RFC 7523 leaves it open); Okta, Entra ID and others do not.
        return unknown(
            "it is the issuer: some servers take that, others the token endpoint alone", assertion.claim("aud")
        )
    texts = [value for value in values if isinstance(value, str)]
    if len(known.audiences) == 1 and any(_may_be_issuer(text, endpoint) for text in texts):
        # The server accepts its issuer as well. Only discovery can tell its issuer.
        return unknown("it may be the issuer, which some servers take; discovery names it", assertion.claim("aud"))
    difference = next((words for text in texts if (words := _url_difference(text, endpoint))), "")
    return failed(assertion.claim("aud") + (f": {difference}" if difference else ""), _audience(known))


def aud_array(assertion: ClientAssertion, known: Known) -> Outcome:
    if isinstance(assertion.claims["aud"], list):
        return odd(assertion.claim("aud"), f"one string, as the vendor documents it: {_audience(known)}")
    return passed()


def aud_malformed(assertion: ClientAssertion, _: Known) -> Outcome:
    # Only an array that also holds the right value gets here; any other is a mismatch.
    aud = assertion.claims["aud"]
    if isinstance(aud, list) and not all(isinstance(value, str) for value in aud):
        return failed(assertion.claim("aud"), "strings alone (RFC 7519 section 4.1.3)")
    return passed()


def jti_malformed(assertion: ClientAssertion, _: Known) -> Outcome:
    jti = assertion.claims["jti"]
    return passed(shown(jti)) if isinstance(jti, str) else failed(assertion.claim("jti"), "a fresh unique string")


def jti_replayed(assertion: ClientAssertion, known: Known) -> Outcome:
    if known.use_jti is None:
        return unknown("only the server knows whether it was used before", shown(assertion.claims["jti"]))
    if known.use_jti(assertion.claims):
        return passed("not used before")
    return failed(
        f"{assertion.claim('jti')}, which was used before", "a jti that is fresh in every request, retries included"
    )


def unexpected(assertion: ClientAssertion, _: Known) -> Outcome:
    others = [name for name in assertion.claims if name not in _DOCUMENTED]
    if others:
        return odd(f"{shown(others)}, which nobody asks for", "iss, sub, aud, exp and jti alone")
    return passed("the documented ones")


# --- Words ---


def _present(assertion: ClientAssertion, name: str, expected: str) -> Outcome:
    # As node-oidc-provider judges: the values that are false in JavaScript are missing, and an empty array is not.
    if assertion.claims.get(name) is None:
        return failed(f'no "{name}" claim', expected)
    if assertion.claims[name] in ("", 0):  # False too
        return failed(f"an empty {assertion.claim(name)}", expected)
    return passed()


def _same(assertion: ClientAssertion, name: str, client_id: str, expected: str) -> Outcome:
    value = assertion.claims[name]
    if value == client_id:
        return passed(shown(value))
    difference = ""
    if isinstance(value, str):
        if unquoted(value) == client_id:
            difference = ": white space or quotation marks are around it"
        elif unquoted(client_id) == value:
            difference = ": without the white space or quotation marks that are around the client ID"
        elif value.lower() == client_id.lower():
            difference = ": capital letters differ, and case matters"
        elif not value.isascii():
            difference = ": characters outside ASCII are in it"
    return failed(f"{assertion.claim(name)}{difference}", f"{shown(client_id)}, {expected}")


def _audience(known: Known) -> str:
    return f"{shown(known.audiences[0])}, to the character" if known.audiences else "the token endpoint's exact URL"


def _url_difference(url: str, endpoint: str) -> str:
    """Say how a URL differs from the endpoint's; empty if there are no short words for it."""
    if url.strip() == endpoint:
        return "white space is around it"
    if url.rstrip("/") == endpoint:
        return "a slash too many at its end"
    if url == endpoint.rstrip("/"):
        return "the slash at its end is missing"
    if url.lower() == endpoint.lower():
        return "capital letters differ, and case matters"
    if not url.isascii():
        return "characters outside ASCII are in it"
    try:
        ours, theirs = urlsplit(url), urlsplit(endpoint)
    except ValueError:
        return ""
    if ours._replace(scheme=theirs.scheme) == theirs:
        return f"{ours.scheme or 'no scheme'} for {theirs.scheme}"
    named = [name for name, known in ENVIRONMENTS.items() if known == url]
    if named:
        return f"the token endpoint of the environment {named[0]}"
    if ours.netloc != theirs.netloc and ours.path == theirs.path:
        return "another host"
    if ours.netloc == theirs.netloc and ours.path != theirs.path:
        return "another path on the same host"
    return ""


def _may_be_issuer(url: str, endpoint: str) -> bool:
    """Return True if the endpoint is below a URL, as it is below an issuer without a slash at its end."""
    return endpoint.startswith(f"{url}/") and endpoint != f"{url}/" and url.count("/") >= 2
