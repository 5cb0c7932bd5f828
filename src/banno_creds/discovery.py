"""What an issuer says of itself: its endpoints (OpenID Connect Discovery 1.0, RFC 8414) and its JWK Set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from banno_creds.config import check_url
from banno_creds.errors import ConfigurationError, UnavailableError, UnusableAnswerError, printable
from banno_creds.jose import parse_json_object
from banno_creds.token_endpoint import exchange, unavailable, what_is_wrong, words

if TYPE_CHECKING:
    from banno_creds.http_client import Answer, HttpClient

WELL_KNOWN = "/.well-known/openid-configuration"


def fetch_metadata(issuer: str, http: HttpClient) -> dict[str, Any]:
    """Fetch an issuer's discovery document, and compare the issuer it names.

    Args:
        issuer: the issuer's identifier, a URL.
        http: what sends the request.

    Returns:
        The document.

    Raises:
        ConfigurationError: the document is another issuer's (OpenID Connect Discovery 1.0 section 4.3).
        NetworkError: it cannot be fetched, or is no such document.
    """
    url = issuer.removesuffix("/") + WELL_KNOWN
    metadata = fetch_json(url, http, "a discovery document")
    named = metadata.get("issuer")
    if named != issuer:
        raise ConfigurationError(
            f"the discovery document at {url} is not that of the issuer {issuer}",
            hint="the two must be equal to the character; if the document's is right, use it as --issuer",
            details=(f"it says: {printable(named, 200)}" if "issuer" in metadata else "it names no issuer",),
        )
    return metadata


def endpoint(metadata: dict[str, Any], name: str) -> str:
    """One endpoint's URL from a discovery document.

    Args:
        metadata: the document.
        name: the member, such as ``token_endpoint`` or ``jwks_uri``.

    Returns:
        The URL.

    Raises:
        UnusableAnswerError: the document has no such URL.
        ConfigurationError: the URL is not one that may be sent credentials.
    """
    url = metadata.get(name)
    if not isinstance(url, str):
        raise UnusableAnswerError(
            f"the discovery document of {printable(metadata.get('issuer'), 200)} names no {name}",
            hint="give the URL itself with --token-endpoint" if name == "token_endpoint" else "give --jwks instead",
        )
    check_url(url, f"the {name} that the discovery document names")
    issuer = str(metadata.get("issuer"))
    if urlsplit(issuer).scheme == "https" and urlsplit(url).scheme != "https":
        raise ConfigurationError(
            f"the {name} that {printable(issuer, 200)} names is plain http: {url}",
            hint="an https issuer has https endpoints; find out who changed its discovery document",
        )
    return url


def fetch_json(url: str, http: HttpClient, what: str) -> dict[str, Any]:
    """Fetch a JSON object.

    Args:
        url: where.
        http: what sends the request.
        what: how messages name what should be there.

    Returns:
        The object.

    Raises:
        NetworkError: it cannot be fetched, or is no JSON object.
    """
    answer = http.get(url)
    if answer.status != 200:
        raise _not_there(answer, what)
    try:
        return parse_json_object(answer.content)
    except ValueError as failure:
        raise UnusableAnswerError(
            f"what {url} sends is not {what}: {what_is_wrong(answer, failure)}",
            hint="open the URL in a browser: a login page or a gateway may answer in its place",
            details=exchange(answer) + words(answer),
        ) from None


def _not_there(answer: Answer, what: str) -> UnavailableError | UnusableAnswerError:
    if answer.status == 429 or answer.status >= 500:
        return unavailable(answer)
    return UnusableAnswerError(
        f"{answer.url} does not send {what}: {answer.status} {answer.reason}",
        hint="check the URL; a redirect is never followed",
        details=exchange(answer) + words(answer),
    )
