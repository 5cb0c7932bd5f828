"""The token request and what a token endpoint answers to it (RFC 6749 sections 4.4 and 5, RFC 7523)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from banno_creds.client_authentication.client_assertion import CLIENT_ASSERTION_TYPE
from banno_creds.errors import BannoCredsError, RefusedError, UnavailableError, UnusableAnswerError
from banno_creds.jose.encoding import parse_json_object
from banno_creds.text import printable
from banno_creds.times import http_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.config import ClientConfig
    from banno_creds.http.client import Answer

# RFC 6749 appendix A.12: access-token = 1*VSCHAR. A space or a line end would change the meaning of a header.
_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+")

_REFUSAL_HINTS = {
    "invalid_client": "find out which of its many reasons it has",
    "invalid_scope": "ask the administrator which scopes the application was given, and name them with --scope",
    "invalid_request": "look at the form with --curl and at your --param values",
    "invalid_grant": "the application must be of the type Service account with Signed JWT; ask the administrator",
    "invalid_target": "leave --resource out, or name one the application may use",
    "unauthorized_client": "the application must be of the type Service account; ask the administrator",
    "unsupported_grant_type": "check that --token-endpoint is that of login.jackhenry.com, not a consumer API's",
}

_URL_HINT = "check the token endpoint's URL"
_NOT_HERE = (404, 405, 410)  # whatever stands there, a token endpoint it is not

_KINDS = {"text/html": "HTML", "application/xhtml+xml": "HTML", "text/plain": "text"}
_GATEWAYS_MEMBERS = ("error_description", "message", "title", "detail")
_MOST_WORDS = 200
_MOST_HTML = 50_000
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{0,400})", re.IGNORECASE)
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|<(head|script|style|title)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*(?:>|\Z)")
_REFERENCE = re.compile(
    r"\b(?:reference|support|incident|request|ray)\s?(?:id\b|number\b|#)[^0-9a-f]{0,9}\S{4,60}", re.IGNORECASE
)


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


def bearer_token(response: TokenResponse) -> str:
    """The access token, if it can be used as a Bearer token.

    Args:
        response: the token response.

    Returns:
        The token.

    Raises:
        UnusableAnswerError: it is of another type, and must not be used without understanding that (RFC 6749 section
            7.1).
    """
    if response.token_type.lower() not in ("bearer", ""):
        raise UnusableAnswerError(
            f"the token is of the type {response.token_type}, which cannot be used as a Bearer token",
            hint="take it as JSON (token -o json), and follow the specification of that type",
        )
    return response.access_token


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


def read_answer(answer: Answer, requested_at: int, hints: Mapping[str, str] | None = None) -> TokenResponse:
    """Take an answer for what it is.

    Args:
        answer: what the token endpoint sent.
        requested_at: when the request went out, in seconds since the epoch.
        hints: what to do about a refusal, by its error code; by default, about one of client credentials.

    Returns:
        The token response.

    Raises:
        RefusedError: the server refused the client or the request.
        UnavailableError: 429 or 5xx.
        UnusableAnswerError: it is not an answer of a token endpoint.
    """
    return _accept(answer, read_object(answer, hints), requested_at)


def read_object(answer: Answer, hints: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object that an endpoint for clients answered with; see `read_answer` for arguments and errors."""
    if answer.status == 429 or answer.status >= 500:
        raise unavailable(answer)
    if 300 <= answer.status < 400:
        raise UnusableAnswerError(
            f"the server redirects to {printable(answer.headers.get('location', '(nowhere)'), 200)}, "
            "and a redirect is never followed: the assertion is for the configured endpoint alone",
            hint="check the token endpoint's URL; a redirect often means a login page or a retired address",
            details=exchange(answer),
            rule="network.answer",
        )
    try:
        body = parse_json_object(answer.content)
    except ValueError as failure:
        raise _not_oauth(answer, what_is_wrong(answer, failure)) from None
    # Some servers send every member they know of, an error that is null among them.
    if body.get("error") is not None or answer.status >= 400:
        raise _refused(answer, body, _REFUSAL_HINTS if hints is None else hints)
    return body


def exchange(answer: Answer) -> tuple[str, ...]:
    """Which exchange an error speaks of: what was answered from where, and the id a support case needs."""
    kind = f" · {answer.media_type}" if answer.media_type else ""
    request_id = f" · x-request-id {answer.request_id}" if answer.request_id else ""
    return (f"{answer.status} {answer.reason} from {answer.url}{kind}{request_id}",)


def unavailable(answer: Answer) -> UnavailableError:
    """The error for an answer that says 429 or 5xx, with what ``Retry-After`` asks for."""
    retry_after = _retry_after(answer.headers.get("retry-after"))
    never = answer.status in (501, 505)  # not implemented, HTTP version not supported: no matter when
    what, hint = "the server cannot answer now", "try again later"
    if answer.status == 429:
        what, hint = "the server asks to slow down", "try again later and less often"
    elif never:
        what, hint = "the server cannot answer this", "check the URL, and what stands in front of the server"
    elif answer.request_id:
        hint += "; the vendor asks for the x-request-id, the date and the client ID in a support case"
    wait = "" if retry_after is None else f"; it asks to wait {retry_after:.0f} s"
    return UnavailableError(
        f"{what}: {answer.status} {answer.reason}{wait}",
        retryable=not never,
        retry_after=retry_after,
        hint=hint,
        details=exchange(answer) + words(answer),
        rule="network.unavailable",
    )


def what_is_wrong(answer: Answer, failure: ValueError) -> str:
    """Why an answer is not what was asked for.

    Args:
        answer: the answer.
        failure: why it is no JSON object; said only of what claims to be JSON.

    Returns:
        Words that begin with "it".
    """
    if not answer.content:
        return "it is empty"
    if answer.media_type and not answer.media_type.endswith("json"):
        return f"it is {_KINDS.get(answer.media_type, answer.media_type)}"
    return str(failure)


def words(answer: Answer) -> tuple[str, ...]:
    """What the server says in an answer that is an error's, for people: at most one line.

    Never a part of JSON that is not understood, nor of another media type than HTML and text: a broken token
    response may hold a token.

    Args:
        answer: the answer.

    Returns:
        The line, or none.
    """
    try:
        said = _words_of_json(parse_json_object(answer.content))
    except ValueError:
        said = _words_of_text(answer)
    said = printable(said, _MOST_WORDS)
    return (f"the server says: {said}",) if any(map(str.isalnum, said)) else ()


def _words_of_json(body: Mapping[str, Any]) -> str:
    """An OAuth error's words, else those of a gateway, whose members have other names (RFC 9457 among them)."""
    members = ("error", "error_description") if isinstance(body.get("error"), str) else _GATEWAYS_MEMBERS
    return " — ".join(dict.fromkeys(body[name] for name in members if isinstance(body.get(name), str)))


def _words_of_text(answer: Answer) -> str:
    """An HTML page's title and what can be read on it, or the first line of a text."""
    text = answer.content[:_MOST_HTML].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "[", '"'):  # JSON after all, whatever the server calls it
        return ""
    if answer.media_type == "text/plain":
        return _sentence(text.partition("\n")[0], answer)
    if _KINDS.get(answer.media_type) != "HTML":
        return ""
    found = _TITLE.search(text)
    title = _visible(found[1]) if found else ""
    page = _sentence(_visible(_UNSEEN.sub(" ", text)), answer)
    # A page often begins with its title once more.
    page = page.removeprefix(title).strip()
    # What a firewall's operator asks for is often at the end, and would be cut off.
    reference = _REFERENCE.search(page)
    if reference and len(title) + reference.end() > _MOST_WORDS - 10:
        page = f"{reference[0]} — {page}"
    return " — ".join(filter(None, (title, page)))


def _visible(html: str) -> str:
    from html import unescape

    return " ".join(unescape(_TAG.sub(" ", html)).split())


def _sentence(text: str, answer: Answer) -> str:
    """Words for people: nothing that begins to look like JSON, and with a success nothing like a token."""
    text = text.partition("{")[0].strip()
    if answer.status < 400 and (" " not in text or "_token" in text):
        return ""
    return text


def token_response(members: Mapping[str, Any], requested_at: int) -> TokenResponse:
    """Take the members of a successful answer (RFC 6749 section 5.1) for what they are.

    Args:
        members: the answer, now or from the cache.
        requested_at: when the request went out, in seconds since the epoch.

    Returns:
        The token response.

    Raises:
        ValueError: there is no access token, or one that cannot be one; the message says which.
    """
    access_token = members.get("access_token")
    if not isinstance(access_token, str) or not _ACCESS_TOKEN.fullmatch(access_token):
        raise ValueError(
            "has no access_token" if "access_token" not in members else "has an access_token that cannot be one"
        )
    token_type, scope = members.get("token_type"), members.get("scope")
    return TokenResponse(
        access_token=access_token,
        token_type=printable(token_type, 40) if isinstance(token_type, str) else "",
        expires_in=_seconds(members.get("expires_in")),
        scope=printable(scope) if isinstance(scope, str) else None,
        requested_at=requested_at,
        raw=members,
    )


def _accept(answer: Answer, body: Mapping[str, Any], requested_at: int) -> TokenResponse:
    try:
        return token_response(body, requested_at)
    except ValueError as fault:
        raise UnusableAnswerError(
            f"the answer {fault} (its members: {printable(', '.join(sorted(body)) or 'none', 200)})",
            hint="check that the URL is a token endpoint",
            details=exchange(answer) + words(answer),
            rule="network.answer",
        ) from None


def _refused(answer: Answer, body: Mapping[str, Any], hints: Mapping[str, str]) -> BannoCredsError:
    error = body.get("error")
    if not isinstance(error, str):
        return _not_oauth(answer, "it is JSON of another kind")
    code = printable(error, 80)
    description = body.get("error_description")
    said = f"{code} — {printable(description)}" if isinstance(description, str) and description else code
    details = exchange(answer)
    if isinstance(body.get("error_uri"), str):
        details += (f"the server's page on it: {printable(body['error_uri'], 200)}",)
    subject = "the client" if code == "invalid_client" else "the request"
    refusal = RefusedError(
        f"the server refused {subject}: {said}",
        error=code,
        status=answer.status,
        hint=_URL_HINT
        if answer.status in _NOT_HERE
        else hints.get(code, "look the error up in the vendor's documentation"),
        details=details,
        # The server chooses the code, and none of our rules' ids, which have a dot in them, is to be taken from it.
        rule=None if "." in code else code,
    )
    hides_its_reason = code == "invalid_client" and hints is _REFUSAL_HINTS and answer.status not in _NOT_HERE
    return refusal.but(doctor_can_tell=True) if hides_its_reason else refusal


def _not_oauth(answer: Answer, fault: str) -> BannoCredsError:
    """An answer that no token endpoint gives; a 4xx is still a refusal, by whoever stands there."""
    details = exchange(answer) + words(answer)
    if answer.status >= 400:
        return RefusedError(
            f"the server refused the request, and its answer is no OAuth error: {fault}"
            if answer.content
            else "the server refused the request, with an empty answer",
            error=None,
            status=answer.status,
            hint=f"{_URL_HINT}; a firewall in front of it may also have blocked this address"
            if answer.status == 403
            else _URL_HINT,
            details=details,
            rule="network.answer",
        )
    return UnusableAnswerError(
        f"the answer is not a token response: {fault}"
        if answer.content
        else "the server granted no token, with an empty answer",
        hint=f"{_URL_HINT}; a captive portal or an inspecting proxy may answer in its place",
        details=details,
        rule="network.answer",
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
    date = http_date(value)
    return None if date is None else max(0.0, round(date - time.time()))
