"""The answer of an endpoint for OAuth clients: a JSON object, or the error that it means (RFC 6749 section 5)."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from banno_creds.errors import BannoCredsError, RefusedError, UnavailableError, UnusableAnswerError
from banno_creds.jose.encoding import parse_json_object
from banno_creds.text import printable
from banno_creds.times import http_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.http.exchange import Answer

_URL_HINT = "check the token endpoint's URL"
NOT_HERE = (404, 405, 410)  # there is no token endpoint at this URL

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


def read_object(answer: Answer, hints: Mapping[str, str]) -> dict[str, Any]:
    """Read the JSON object that an endpoint for OAuth clients answered with.

    Args:
        answer: the answer.
        hints: what to do about a refusal, by its error code.

    Returns:
        The object.

    Raises:
        RefusedError: the server refused the client or the request.
        UnavailableError: 429 or 5xx.
        UnusableAnswerError: it is a redirect, or no JSON object.
    """
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
        raise _refused(answer, body, hints)
    return body


def exchange(answer: Answer) -> tuple[str, ...]:
    """Return a line that identifies an exchange: status, URL, media type, and the request id for a support case."""
    kind = f" · {answer.media_type}" if answer.media_type else ""
    request_id = f" · x-request-id {answer.request_id}" if answer.request_id else ""
    return (f"{answer.status} {answer.reason} from {answer.url}{kind}{request_id}",)


def unavailable(answer: Answer) -> UnavailableError:
    """Return the error for an answer of 429 or 5xx, with the pause that ``Retry-After`` asks for."""
    retry_after = _retry_after(answer.headers.get("retry-after"))
    never = answer.status in (501, 505)  # not implemented, HTTP version not supported: trying later does not help
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
    """Return why an answer is not the expected JSON object.

    Args:
        answer: the answer.
        failure: the JSON parser's reason; used only if the answer claims to be JSON.

    Returns:
        Words that begin with "it".
    """
    if not answer.content:
        return "it is empty"
    if answer.media_type and not answer.media_type.endswith("json"):
        return f"it is {_KINDS.get(answer.media_type, answer.media_type)}"
    return str(failure)


def words(answer: Answer) -> tuple[str, ...]:
    """Return the server's own words in an error's answer, in at most one line.

    Unknown JSON and media types other than HTML and text are never quoted: a broken token response may contain a
    token.

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
    """Return an OAuth error's words, else those of a gateway, in members of other names (such as RFC 9457's)."""
    members = ("error", "error_description") if isinstance(body.get("error"), str) else _GATEWAYS_MEMBERS
    return " — ".join(dict.fromkeys(body[name] for name in members if isinstance(body.get(name), str)))


def _words_of_text(answer: Answer) -> str:
    """Return an HTML page's title and visible text, or the first line of a plain text."""
    text = answer.content[:_MOST_HTML].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "[", '"'):  # JSON, although the server calls it text
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
    # The reference that a firewall's operator asks for is often at the end, and would be cut off.
    reference = _REFERENCE.search(page)
    if reference and len(title) + reference.end() > _MOST_WORDS - 10:
        page = f"{reference[0]} — {page}"
    return " — ".join(filter(None, (title, page)))


def _visible(html: str) -> str:
    from html import unescape

    return " ".join(unescape(_TAG.sub(" ", html)).split())


def _sentence(text: str, answer: Answer) -> str:
    """Return words for people: no JSON, and nothing like a token if the answer is a success."""
    text = text.partition("{")[0].strip()
    if answer.status < 400 and (" " not in text or "_token" in text):
        return ""
    return text


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
    return RefusedError(
        f"the server refused {subject}: {said}",
        error=code,
        status=answer.status,
        hint=_URL_HINT
        if answer.status in NOT_HERE
        else hints.get(code, "look the error up in the vendor's documentation"),
        details=details,
        # The server chooses the code, and none of our rules' ids, which have a dot in them, is to be taken from it.
        rule=None if "." in code else code,
    )


def _not_oauth(answer: Answer, fault: str) -> BannoCredsError:
    """Return the error for an answer that no token endpoint gives; a 4xx is still a refusal."""
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


def _retry_after(value: str | None) -> float | None:
    """Return ``Retry-After`` (RFC 9110 section 10.2.3), which is seconds or a date, as seconds from now."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    date = http_date(value)
    return None if date is None else max(0.0, round(date - time.time()))
