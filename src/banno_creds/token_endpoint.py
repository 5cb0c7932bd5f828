"""The token request and what a token endpoint answers to it (RFC 6749 sections 4.4 and 5, RFC 7523)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from banno_creds.assertion import CLIENT_ASSERTION_TYPE
from banno_creds.errors import (
    BannoCredsError,
    RefusedError,
    UnavailableError,
    UnusableAnswerError,
    printable,
)
from banno_creds.jose import parse_json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.config import ClientConfig
    from banno_creds.http_client import Answer

# RFC 6749 appendix A.12: access-token = 1*VSCHAR. A space or a line end would change the meaning of a header.
_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+")

_REFUSAL_HINTS = {
    "invalid_client": "the usual causes: another key than the registered one, another client ID, an exp or aud "
    "the server does not take; compare the fingerprint of: banno-creds keygen --public-from PRIVATE_KEY "
    "with that of the key in Users & Groups",
    "invalid_scope": "ask the administrator which scopes the application was given, and name them with --scope",
    "invalid_request": "look at the form with --curl and at your --param values",
    "invalid_grant": "the application must be of the type Service account with Signed JWT; ask the administrator",
    "invalid_target": "leave --resource out, or name one the application may use",
    "unauthorized_client": "the application must be of the type Service account; ask the administrator",
    "unsupported_grant_type": "check that --token-endpoint is that of login.jackhenry.com, not a consumer API's",
}


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A successful answer (RFC 6749 section 5.1).

    ``raw`` is the whole of it, as it came; ``requested_at`` is when the request went out, in seconds since the
    epoch: the token's life is counted from there, for the server's clock may differ from ours.
    """

    access_token: str = field(repr=False)
    token_type: str
    expires_in: int | None
    scope: str | None
    requested_at: int
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def expires_at(self) -> int | None:
        """When the token ends, in seconds since the epoch."""
        return None if self.expires_in is None else self.requested_at + self.expires_in


def build_form(config: ClientConfig, client_assertion: str) -> tuple[tuple[str, str], ...]:
    """The form of a client credentials request with a signed JWT (RFC 7523 section 2.2).

    Args:
        config: the request's scope, resources and further parameters.
        client_assertion: the compact JWS.

    Returns:
        Names and values, in the order they are sent.
    """
    form = [("grant_type", "client_credentials")]
    if config.scope:
        form.append(("scope", " ".join(config.scope)))
    form.extend(("resource", resource) for resource in config.resource)
    form.extend(config.params)
    form += [("client_assertion_type", CLIENT_ASSERTION_TYPE), ("client_assertion", client_assertion)]
    return tuple(form)


def read_answer(answer: Answer, requested_at: int) -> TokenResponse:
    """Take an answer for what it is.

    Args:
        answer: what the token endpoint sent.
        requested_at: when the request went out, in seconds since the epoch.

    Returns:
        The token response.

    Raises:
        RefusedError: the server refused the client or the request.
        UnavailableError: 429 or 5xx.
        UnusableAnswerError: it is not an answer of a token endpoint.
    """
    if answer.status == 429 or answer.status >= 500:
        raise unavailable(answer)
    if 300 <= answer.status < 400:
        raise UnusableAnswerError(
            f"the server redirects to {printable(answer.headers.get('location', '(nowhere)'), 200)}, "
            "and a redirect is never followed: the assertion is for the configured endpoint alone",
            hint="check the token endpoint's URL; a redirect often means a login page or a retired address",
            details=exchange(answer),
        )
    try:
        body = parse_json_object(answer.content)
    except ValueError as failure:
        raise _not_oauth(answer, str(failure)) from None
    # Some servers send every member they know of, an error that is null among them.
    if body.get("error") is not None or answer.status >= 400:
        raise _refused(answer, body)
    return _accept(answer, body, requested_at)


def exchange(answer: Answer) -> tuple[str, ...]:
    """Which exchange an error speaks of: what was answered from where, and the id a support case needs."""
    kind = f" · {answer.media_type}" if answer.media_type else ""
    request_id = f" · x-request-id {answer.request_id}" if answer.request_id else ""
    return (f"{answer.status} {answer.reason} from {answer.url}{kind}{request_id}",)


def unavailable(answer: Answer) -> UnavailableError:
    """The error for an answer that says 429 or 5xx, with what ``Retry-After`` asks for."""
    retry_after = _retry_after(answer.headers.get("retry-after"))
    what = "the server asks to slow down" if answer.status == 429 else "the server cannot answer now"
    wait = "" if retry_after is None else f"; it asks to wait {retry_after:.0f} s"
    return UnavailableError(
        f"{what}: {answer.status} {answer.reason}{wait}",
        retryable=True,
        retry_after=retry_after,
        hint="try again later" + (" and less often" if answer.status == 429 else "")
        if answer.status in (429, 503)
        else "try again later; the vendor asks for the x-request-id, the date and the client ID in a support case",
        details=exchange(answer),
    )


def _accept(answer: Answer, body: Mapping[str, Any], requested_at: int) -> TokenResponse:
    access_token = body.get("access_token")
    if not isinstance(access_token, str) or not _ACCESS_TOKEN.fullmatch(access_token):
        fault = "has no access_token" if "access_token" not in body else "has an access_token that cannot be one"
        raise UnusableAnswerError(
            f"the answer {fault} (its members: {printable(', '.join(sorted(body)) or 'none', 200)})",
            hint="check that the URL is a token endpoint",
            details=exchange(answer),
        )
    token_type, scope = body.get("token_type"), body.get("scope")
    return TokenResponse(
        access_token=access_token,
        token_type=printable(token_type, 40) if isinstance(token_type, str) else "",
        expires_in=_seconds(body.get("expires_in")),
        scope=printable(scope) if isinstance(scope, str) else None,
        requested_at=requested_at,
        raw=body,
    )


def _refused(answer: Answer, body: Mapping[str, Any]) -> BannoCredsError:
    error = body.get("error")
    if not isinstance(error, str):
        return _not_oauth(answer, "it is JSON without an OAuth error", _words(body))
    code = printable(error, 80)
    description = body.get("error_description")
    said = f"{code} — {printable(description)}" if isinstance(description, str) and description else code
    details = exchange(answer)
    if isinstance(body.get("error_uri"), str):
        details += (f"the server's page on it: {printable(body['error_uri'], 200)}",)
    subject = "the client" if code == "invalid_client" else "the request"
    return RefusedError(
        f"the server refused {subject}: {said}",
        error=code,
        status=answer.status,
        hint=_REFUSAL_HINTS.get(code, "look the error up in the vendor's documentation"),
        details=details,
    )


def _words(body: Mapping[str, Any]) -> tuple[str, ...]:
    """What a gateway's own error says, whose members have other names than OAuth's (RFC 9457 among them)."""
    members = ("error_description", "message", "title", "detail")
    words = (body[name] for name in members if isinstance(body.get(name), str))
    return tuple(f"it says: {printable(said, 200)}" for said in words)


def _not_oauth(answer: Answer, fault: str, words: tuple[str, ...] = ()) -> BannoCredsError:
    """An answer that no token endpoint gives; a 4xx is still a refusal, by whoever stands there."""
    details = exchange(answer) + words
    # Of other bodies no more than a page's title: a broken token response may hold a token.
    title = re.search(rb"<title[^>]*>([^<]{1,200})", answer.content[:10_000], re.IGNORECASE)
    if title:
        details += (f"the page's title: {printable(title[1].decode('utf-8', 'replace'), 80)}",)
    kind = answer.media_type or "an answer without a media type"
    if not answer.content:
        fault = "it is empty"
    if answer.status >= 400:
        return RefusedError(
            f"{answer.status} {answer.reason}, and no OAuth error with it ({kind}): {fault}",
            error=None,
            status=answer.status,
            hint="check the token endpoint's URL; a firewall in front of it may also have blocked this address"
            if answer.status in (403, 404, 405, 410)
            else "check the token endpoint's URL",
            details=details,
        )
    return UnusableAnswerError(
        f"the answer is not a token response ({kind}): {fault}",
        hint="check the token endpoint's URL; a captive portal or an inspecting proxy may answer in its place",
        details=details,
    )


def _seconds(value: object) -> int | None:
    """``expires_in`` as a whole number of seconds; some servers send it as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = int(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < 10**10 else None


def _retry_after(value: str | None) -> float | None:
    """``Retry-After`` (RFC 9110 section 10.2.3), seconds or a date, as seconds from now."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
        # An HTTP date is in GMT, also in the one of its three forms that does not say so.
        return max(0.0, round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()))
    except (ValueError, OverflowError):
        return None
