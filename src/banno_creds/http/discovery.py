"""Discovery: an issuer's endpoints and JWK Set, from its document (OpenID Connect Discovery 1.0, RFC 8414)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from banno_creds.checks import check_url
from banno_creds.errors import ConfigurationError, UnavailableError, UnusableAnswerError
from banno_creds.http.answers import (
    exchange,
    is_unavailable,
    present,
    read_members,
    redirect,
    unavailable,
    what_is_wrong,
    words,
)
from banno_creds.http.attempts import persistently
from banno_creds.steps import EndpointDiscovered
from banno_creds.text import printable, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.http.client import HttpClient
    from banno_creds.http.exchange import Answer
    from banno_creds.steps import Run

# The last word of a token endpoint's or an authorization endpoint's path.
_ENDPOINT = re.compile(r"/([\w.-]*token|auth(?:orize|orization)?)/?\Z", re.IGNORECASE)

WELL_KNOWN = "/.well-known/openid-configuration"

_RULES = {"token_endpoint": "discovery.token_endpoint", "jwks_uri": "discovery.jwks"}
_HINTS = {
    "token_endpoint": f"give the URL itself with {setting('token_endpoint')}",
    "jwks_uri": f"give {setting('jwks')} instead",
}


def fetch_metadata(issuer: str, http: HttpClient) -> dict[str, Any]:
    """Fetch an issuer's discovery document, check the issuer that it names, and return it.

    Raises:
        ConfigurationError: the document is another issuer's (OpenID Connect Discovery 1.0 section 4.3).
        NetworkError: it cannot be fetched, or is no discovery document.
    """
    url = url_of(issuer)
    try:
        metadata = fetch_json(url, http, "a discovery document", "discovery.missing")
    except UnusableAnswerError as failure:
        raise meant(failure, issuer) from None
    check_issuer(metadata, issuer, url)
    return metadata


def find_endpoint(issuer: str, name: str, http: HttpClient, run: Run) -> str:
    """Return an endpoint, such as ``token_endpoint``, from an issuer's discovery document.

    Raises:
        ConfigurationError: see `fetch_metadata` and `endpoint`.
        NetworkError: see there.
    """

    def one(_: int) -> dict[str, Any]:
        with http.turn(issuer, counts=False):
            return fetch_metadata(issuer, http)

    shared = http.connections
    metadata = None if shared is None else shared.document(issuer, http.trust)
    if metadata is None:
        metadata = persistently(one, http, run)
        if shared is not None:
            shared.keep_document(issuer, http.trust, metadata)
    url = endpoint(metadata, name)
    run.emit(EndpointDiscovered(issuer, name, url))
    return url


def url_of(issuer: str) -> str:
    """Return the URL of an issuer's discovery document (OpenID Connect Discovery 1.0 section 4)."""
    return issuer.removesuffix("/") + WELL_KNOWN


def meant(failure: UnusableAnswerError, issuer: str) -> UnusableAnswerError:
    """Add to a missing document that the issuer looks like an endpoint, if it does."""
    found = _ENDPOINT.search(issuer)
    if found is None:
        return failure
    name = "token" if "token" in found[1].lower() else "authorization"
    hint = f"{setting('issuer')} takes the issuer, and this looks like its {name} endpoint"
    also = f"; give it as {setting('token_endpoint')}" if name == "token" else ""
    return failure.but(hint=f"{hint}{also}", rule="discovery.issuer")


def check_issuer(metadata: Mapping[str, Any], issuer: str, url: str) -> None:
    """Check that a discovery document names the expected issuer (OpenID Connect Discovery 1.0 section 4.3).

    Raises:
        ConfigurationError: it names another issuer, or none.
    """
    named = metadata.get("issuer")
    if named != issuer:
        raise ConfigurationError(
            f"the discovery document at {url} is not that of the issuer {issuer}",
            hint=f"the two must be equal to the character; if the document's is right, use it as {setting('issuer')}"
            if named
            else "check the URL: what it sends does not look like a discovery document",
            details=(f"it says: {printable(named, 200)}" if "issuer" in metadata else "it names no issuer",),
            rule="discovery.issuer",
        )


def endpoint(metadata: dict[str, Any], name: str) -> str:
    """Return an endpoint's URL from a discovery document, by the member's name, such as ``jwks_uri``.

    Raises:
        UnusableAnswerError: the document has no such URL.
        ConfigurationError: credentials must not be sent to this URL.
    """
    url = metadata.get(name)
    rule = _RULES.get(name, "discovery.authorization_endpoint")
    if not isinstance(url, str):
        raise UnusableAnswerError(
            f"the discovery document of {printable(metadata.get('issuer'), 200)} names no {name}",
            hint=_HINTS.get(name, "check that this issuer signs people in; ask its operator"),
            rule=rule,
        )
    try:
        check_url(url, f"the {name} that the discovery document names")
    except ConfigurationError as failure:
        hint = f"the issuer's operator has to mend it; {_HINTS.get(name, 'tell them')}"
        raise failure.but(rule=rule, hint=hint) from None
    issuer = str(metadata.get("issuer"))
    if issuer.lower().startswith("https:") and not url.lower().startswith("https:"):
        raise ConfigurationError(
            f"the {name} that {printable(issuer, 200)} names is plain http: {url}",
            hint="an https issuer has https endpoints; find out who changed its discovery document",
            rule=rule,
        )
    return url


def fetch_json(url: str, http: HttpClient, what: str, missing: str = "discovery.jwks") -> dict[str, Any]:
    """Fetch and return a JSON object; messages call it ``what``, and ``missing`` is the rule if it is not there.

    Raises:
        NetworkError: it cannot be fetched, or is no JSON object.
    """
    return read_json(http.get(url), what, missing)


def read_json(answer: Answer, what: str, missing: str) -> dict[str, Any]:
    """Read an answer as a JSON object; see `fetch_json` for arguments and errors."""
    if not 200 <= answer.status < 300:
        raise _not_there(answer, what, missing)
    try:
        members = present(read_members(answer))
    except ValueError as failure:
        raise UnusableAnswerError(
            f"what {answer.url} sends is not {what}: {what_is_wrong(answer, failure)}",
            hint="open the URL in a browser: a login page or a gateway may answer in its place",
            details=exchange(answer) + words(answer),
            rule="network.answer",
        ) from None
    # Some documents have a string of names where a list belongs.
    for name, value in members.items():
        if name.endswith("_supported") and isinstance(value, str):
            members[name] = value.split()
    return members


def _not_there(answer: Answer, what: str, missing: str) -> UnavailableError | UnusableAnswerError:
    if is_unavailable(answer.status):
        return unavailable(answer)
    # Redirects come from login pages and captive portals: something else answers in its place.
    redirects = 300 <= answer.status < 400
    return UnusableAnswerError(
        f"{answer.url} does not send {what}: {redirect(answer) if redirects else f'{answer.status} {answer.reason}'}",
        hint="check the URL; a redirect is never followed" if redirects else "check the URL",
        details=exchange(answer) + words(answer),
        rule="network.answer" if redirects else missing,
    )
