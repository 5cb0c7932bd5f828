"""The answer of an endpoint for OAuth clients: a JSON object, or the error that it means (RFC 6749 section 5).

Servers are read as they are, so that no token and no reason is lost: `read_members` takes a byte-order mark, bytes
that are not UTF-8, a form in place of JSON, any media type; `words` finds what a server says in any shape of error.
"""

from __future__ import annotations

import re
import time
from json import detect_encoding
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from banno_creds.errors import BannoCredsError, RefusedError, UnavailableError, UnusableAnswerError
from banno_creds.jose.encoding import parse_json, parse_json_object
from banno_creds.secrecy import looks_random
from banno_creds.text import setting
from banno_creds.times import http_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.http.exchange import Answer

TOKEN_ENDPOINT = "token endpoint"  # noqa: S105 - how messages name it
NOT_HERE = (404, 405, 410)  # most likely, there is no such endpoint at this URL

# The codes of RFC 6749 section 5.2 and of its extensions: what stands under another name is one of these, or no code.
_OAUTH_CODES = frozenset(
    (
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
        *("invalid_scope", "access_denied", "invalid_target", "unsupported_token_type", "invalid_token"),
        *("insufficient_scope", "invalid_dpop_proof", "use_dpop_nonce", "invalid_redirect_uri"),
    )
)

_NO_DPOP = "banno-creds sends no DPoP proof: ask the administrator to switch DPoP off for this application"
_HINTS = {"invalid_dpop_proof": _NO_DPOP, "use_dpop_nonce": _NO_DPOP}

# A proxy wants a password, time-out, too early, too many requests.
_NOT_LOOKED_AT = (407, 408, 420, 425, 429)

_KINDS = {"text/html": "HTML", "application/xhtml+xml": "HTML", "text/plain": "text"}
_MOST_WORDS = 200
_MOST_HTML = 50_000
# As text: `re` compiles each when an answer first needs it, which most runs never do.
_TITLE = r"(?i)<title[^>]{0,200}>([^<]{0,400})"
_UNSEEN = r"(?is)<!--.*?(?:-->|\Z)|<(head|script|style|title)\b.*?(?:</\1\s*>|\Z)"
_TAG = r"<[^>]*(?:>|\Z)"
_REFERENCE = r"(?i)\b(?:reference|support|incident|request|ray)\s?(?:id\b|number\b|#)[^0-9a-f]{0,9}\S{4,60}"

# What some servers put before JSON, so that a browser does not run it.
_GUARD = r"(?:\)\]\}'|while ?\(1\);|for ?\(;;\);),?"
_AROUND = "\ufeff \t\r\n\0"
_FORM = r"[\w.%~-]+=[^&\s]*(?:&[\w.%~-]+=[^&\s]*)*"
_CHARSET = r"(?i)charset\s*=\s*[\"']?(iso-8859-\d\d?|latin-?1|windows-125\d)\b"

# Members in which servers say what is wrong, in lower case and without "_" and "-", the most telling first.
_CODE_MEMBERS = ("error", "errorcode", "code", "errcode", "errorid")
_WORD_MEMBERS = (
    *("errordescription", "errorhint", "hint", "errordebug", "errorsummary", "errormessage", "message", "msg"),
    *(
        "title",
        "detail",
        "details",
        "description",
        "reason",
        "faultstring",
        "developermessage",
        "usermessage",
        "cause",
    ),
    *("httpmessage", "moreinformation"),
)
_NESTED_MEMBERS = ("errors", "errorcauses", "fault", "response", "data", "result")
_WHERE_MEMBERS = ("loc", "field", "param", "parameter", "property")  # what one of several faults is about
_PARAMETER = r'(?i)\b([a-z_]+)\s*=\s*"((?:[^"\\]|\\.)*)"'  # of WWW-Authenticate


def read_object(answer: Answer, hints: Mapping[str, str], endpoint: str = TOKEN_ENDPOINT) -> dict[str, Any]:
    """Read the JSON object that an endpoint for OAuth clients answered with, as it was sent; see `present`.

    Args:
        answer: the answer.
        hints: what to do about a refusal, by its error code.
        endpoint: how messages name the endpoint.

    Raises:
        RefusedError: the server refused the client or the request.
        UnavailableError: 429 or 5xx.
        UnusableAnswerError: it is a redirect, or no JSON object.
    """
    if is_unavailable(answer.status):
        raise unavailable(answer)
    if 300 <= answer.status < 400:
        sent = "the assertion" if endpoint == TOKEN_ENDPOINT else "the request"
        raise UnusableAnswerError(
            f"{redirect(answer)}, and a redirect is never followed: {sent} is for the configured endpoint alone",
            hint=f"check the {endpoint}'s URL; a redirect often means a login page or a retired address",
            details=exchange(answer),
            rule="network.answer",
        )
    try:
        body = read_members(answer)
    except ValueError as failure:
        if answer.status < 400:
            raise _not_oauth(answer, what_is_wrong(answer, failure), endpoint) from None
        raise _refused(answer, {}, hints, endpoint, what_is_wrong(answer, failure)) from None
    if body.get("error") or answer.status >= 400:
        raise _refused(answer, body, hints, endpoint)
    return body


def read_members(answer: Answer) -> dict[str, Any]:
    """Read the members of an answer, as tolerantly as their meaning stays certain; else a ValueError says why."""
    text, is_whole = _text_of(answer)
    try:
        return parse_json_object(text, any_number=True)
    except ValueError:
        form = _form(text)
        if form is None:
            if not is_whole:
                raise ValueError("it is not UTF-8 text") from None
            raise
        return form


def present(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that say something: one that is null or empty is absent, as many serialisers write it."""
    return {name: value for name, value in members.items() if value is not None and value != ""}


def _text_of(answer: Answer) -> tuple[str, bool]:
    """Return an answer's text without what stands around it, and whether all of its bytes could be read."""
    content, is_whole = answer.content, True
    encoding = detect_encoding(content)  # RFC 8259 wants UTF-8; a token in UTF-16 is a token all the same
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        named = re.search(_CHARSET, answer.headers.get("content-type", ""))
        try:
            text = content.decode(named[1] if named else "utf-8", "replace")
        except LookupError:
            text = content.decode("utf-8", "replace")
        is_whole = False
    text = text.strip(_AROUND)
    guard = re.match(_GUARD, text)
    return (text[guard.end() :].strip(_AROUND) if guard else text), is_whole


def _form(text: str) -> dict[str, Any] | None:
    """Read a form, which a few servers answer with; None if it is none, or neither a token's nor an error's."""
    if not re.fullmatch(_FORM, text):
        return None
    from urllib.parse import parse_qsl

    pairs = parse_qsl(text, keep_blank_values=True)
    members: dict[str, Any] = dict(pairs)
    return (
        members if len(members) == len(pairs) and not members.keys().isdisjoint(("access_token", "error")) else None
    )


def exchange(answer: Answer) -> tuple[str, ...]:
    """Return a line that identifies an exchange: status, URL, media type, and the request id for a support case."""
    kind = f" · {answer.media_type}" if answer.media_type else ""
    request_id = f" · x-request-id {answer.request_id}" if answer.request_id else ""
    return (f"{answer.status} {answer.reason} from {answer.url}{kind}{request_id}",)


def redirect(answer: Answer) -> str:
    """Say where a redirect leads; without its query, which may have a secret in it."""
    location = re.split("[?#]", answer.headers.get("location", ""))[0]
    return f"the server redirects to {answer.said(location or '(nowhere)', 200)}"


def is_unavailable(status: int) -> bool:
    """Return whether a status means that the server, or what is before it, did not look at the request."""
    return status in _NOT_LOOKED_AT or status >= 500


def unavailable(answer: Answer) -> UnavailableError:
    """Return the error for an answer of 429, 5xx and the like, with the pause that ``Retry-After`` asks for."""
    retry_after = _retry_after(answer.headers.get("retry-after"))
    # A proxy or a network wants a password; or it is not implemented. Trying later does not help.
    never = answer.status in (407, 501, 505, 511)
    what, hint = "the server cannot answer now", "try again later"
    if answer.status in (420, 429):
        what, hint = "the server asks to slow down", "try again later and less often"
    elif answer.status in (407, 511):
        what = "the network between here and the server wants you to log in to it"
        hint = "log in to that network in a browser, or give the proxy its user and password in HTTPS_PROXY"
    elif never:
        what, hint = "the server cannot answer this", "check the URL, and what stands in front of the server"
    elif answer.request_id:
        hint += "; the vendor asks for the x-request-id, the date and the client ID in a support case"
    wait = "" if retry_after is None else f"; it asks to wait {retry_after:.0f} s"
    return UnavailableError(
        f"{what}: {answer.status} {answer.reason}{wait}",
        # A refusal that comes with a 5xx counts as a failed log-in all the same.
        retryable=not never and (answer.status < 500 or not _is_oauth(_said(answer).code)),
        retry_after=retry_after,
        hint=hint,
        details=exchange(answer) + words(answer),
        rule="network.unavailable",
    )


def what_is_wrong(answer: Answer, failure: ValueError) -> str:
    """Return why an answer is not the expected JSON object, in words that begin with "it".

    The JSON parser's reason is used only if the answer claims to be JSON.
    """
    if not answer.content:
        return "it is empty"
    if answer.media_type and not answer.media_type.endswith("json"):
        return f"it is {_KINDS.get(answer.media_type, answer.media_type)}"
    return answer.said(failure, 200)


def is_page(answer: Answer) -> bool:
    """Return whether an answer is a page for people."""
    return _KINDS.get(answer.media_type) == "HTML" and answer.content.lstrip()[:1] == b"<"


def words(answer: Answer) -> tuple[str, ...]:
    """Return the server's own words in an error's answer, in at most one line.

    Only members that are known to say what is wrong are quoted, and of a success only what reads like words: a broken
    token response may contain a token.
    """
    said = " — ".join(filter(None, _said(answer)))
    said = answer.said(said, _MOST_WORDS)
    return (f"the server says: {said}",) if any(map(str.isalnum, said)) else ()


class _Said(NamedTuple):
    """What a server says of a fault: the code, and its words; each may be empty."""

    code: str = ""
    words: str = ""


def _said(answer: Answer) -> _Said:
    text, _ = _text_of(answer)
    try:
        value = parse_json(text, any_number=True)
    except ValueError:
        value = _form(text)
    if isinstance(value, dict):
        said = _said_in_json(value, is_error=answer.status >= 400)
    elif isinstance(value, list | str) and answer.status >= 400:
        said = _Said("", " — ".join(_sentences(value)))
    else:
        said = _Said("", _words_of_text(text, answer))
    return said if said.code or said.words or answer.status < 400 else _said_in_challenge(answer)


def _said_in_json(body: Mapping[str, Any], *, is_error: bool) -> _Said:
    """Return an OAuth error, else what other servers and gateways say under other names (such as RFC 9457's)."""
    members = _squeezed(body)
    codes = _codes(members) if is_error or isinstance(members.get("error"), str) else []
    if isinstance(members.get("error"), dict):
        inner = _squeezed(members["error"])
        codes, members = _codes(inner) + codes, {**members, **inner}
    code = next((code for code in codes if _is_oauth(code)), codes[0] if codes else "")
    said = [*codes, *_sentences(members)] if _is_oauth(code) else _sentences(members)
    return _Said(code, " — ".join(word for word in dict.fromkeys(said) if word != code))


def _squeezed(body: Mapping[str, Any]) -> dict[str, Any]:
    return {re.sub("[_ -]", "", name).lower(): value for name, value in reversed(list(body.items()))}


def _codes(members: Mapping[str, Any]) -> list[str]:
    """Return the codes; a number is named, so that somebody may look it up."""
    found = []
    for name in _CODE_MEMBERS:
        value = members.get(name)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, str) and value:
            found.append(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            found.append(f"{'errorCode' if name == 'errorcode' else name} {value}")
    return found


def _is_oauth(code: str) -> bool:
    return _oauth_spelling(code) in _OAUTH_CODES


def _oauth_spelling(code: str) -> str:
    """Return a code as the RFCs write it; some servers make a URN or a URL of it."""
    return re.sub("[ -]", "_", re.sub(r"\A(?:urn|https?):.*[:/#]", "", code.strip().lower()))


def _sentences(value: object, depth: int = 0) -> list[str]:
    """Return the words of an error, in the order in which they tell most, none twice."""
    found: list[str] = []
    if isinstance(value, str):
        found = [value]
    elif isinstance(value, list):
        found = [word for item in value[:3] for word in _sentences(item, depth)]
    elif isinstance(value, dict) and depth < 4:
        members = _squeezed(value)
        # Below the top, there may be a code of its own for each fault.
        found = _codes(members)[:1] if depth else []
        for name in (*_WORD_MEMBERS, *_NESTED_MEMBERS):
            inner = members.get(name)
            if name == "errors" and isinstance(inner, dict) and not _sentences(inner, depth + 1):
                inner = [f"{field}: {' '.join(_sentences(said, depth + 1))}" for field, said in inner.items()]
            found += _sentences(inner, depth + 1)
        where = next((members[name] for name in _WHERE_MEMBERS if name in members), None)
        if depth and found and where:
            found[0] = f"{' '.join(map(str, where)) if isinstance(where, list) else where}: {found[0]}"
    return list(dict.fromkeys(word for word in found if word.strip()))


def _said_in_challenge(answer: Answer) -> _Said:
    """Return the error in ``WWW-Authenticate`` (RFC 6750 section 3)."""
    header = answer.headers.get("www-authenticate", "")[:2000]
    named = {name.lower(): value for name, value in re.findall(_PARAMETER, header)}
    return _Said(named.get("error", ""), named.get("error_description", ""))


def _words_of_text(text: str, answer: Answer) -> str:
    """Return an HTML page's title and visible text, what an XML fault says, or the first line of a plain text."""
    text = text[:_MOST_HTML]
    if text[:1] in ("{", "[", '"'):  # JSON, although the server calls it text
        return ""
    is_error = answer.status >= 400
    if _KINDS.get(answer.media_type) != "HTML" and not (is_error and text.startswith("<")):
        is_text = answer.media_type == "text/plain" or (is_error and "\ufffd" not in text and "\0" not in text)
        return _sentence(text.partition("\n")[0], answer) if is_text else ""
    found = re.search(_TITLE, text)
    title = _visible(found[1]) if found else ""
    page = _sentence(_visible(re.sub(_UNSEEN, " ", text)), answer)
    # A page often begins with its title once more.
    page = page.removeprefix(title).strip()
    # The reference that a firewall's operator asks for is often at the end, and would be cut off.
    reference = re.search(_REFERENCE, page)
    if reference and len(title) + reference.end() > _MOST_WORDS - 10:
        page = f"{reference[0]} — {page}"
    return " — ".join(filter(None, (title, page)))


def _visible(html: str) -> str:
    from html import unescape

    return " ".join(unescape(re.sub(_TAG, " ", html)).split())


def _sentence(text: str, answer: Answer) -> str:
    """Return words for people: no JSON, and nothing like a token if the answer is a success."""
    text = text.partition("{")[0].strip()
    if " " not in text and (answer.status < 400 or looks_random(text)):
        return ""
    if answer.status < 400 and "_token" in text:
        return ""
    return text


def _refused(
    answer: Answer, body: Mapping[str, Any], hints: Mapping[str, str], endpoint: str, fault: str = ""
) -> BannoCredsError:
    """Return the error for a refusal; ``fault`` says why its body cannot be read, if it cannot."""
    found = _said(answer)
    if not _is_oauth(found.code) and not isinstance(body.get("error"), str):
        return _not_oauth(answer, fault or "it is JSON of another kind", endpoint)
    code = _oauth_spelling(found.code) if _is_oauth(found.code) else answer.said(found.code, 80)
    said = f"{code} — {answer.said(found.words)}" if found.words else code
    details = exchange(answer)
    if isinstance(body.get("error_uri"), str):
        details += (f"the server's page on it: {answer.said(body['error_uri'], 200)}",)
    subject = "the client" if code == "invalid_client" else "the request"
    return RefusedError(
        f"the server refused {subject}: {said}",
        error=code,
        status=answer.status,
        description=answer.said(found.words),
        hint=_check_url(answer, endpoint)
        if answer.status in NOT_HERE
        else hints.get(code) or _HINTS.get(code, "look the error up in the vendor's documentation"),
        details=details,
        # The server chooses the code, and none of our rules' ids, which have a dot in them, is to be taken from it.
        rule=None if "." in code or code.startswith("(") else code,
    )


def _not_oauth(answer: Answer, fault: str, endpoint: str) -> BannoCredsError:
    """Return the error for an answer that is no OAuth answer; a 4xx is still a refusal."""
    details = exchange(answer) + words(answer)
    hint = _check_url(answer, endpoint)
    if answer.status >= 400:
        return RefusedError(
            f"the server refused the request, and its answer is no OAuth error: {fault}"
            if answer.content
            else "the server refused the request, with an empty answer",
            error=None,
            status=answer.status,
            description=answer.said(" — ".join(filter(None, _said(answer)))),
            hint=f"{hint}; a firewall in front of it may also have blocked this address"
            if answer.status == 403
            else hint,
            details=details,
            rule="network.answer",
        )
    is_token = endpoint == TOKEN_ENDPOINT
    return UnusableAnswerError(
        f"the answer is not {'a token response' if is_token else f'what a {endpoint} sends'}: {fault}"
        if answer.content
        else f"the server granted no {'token' if is_token else 'answer'}, with an empty answer",
        hint=f"{hint}; a firewall, a captive portal or a proxy may answer in its place",
        details=details,
        rule="network.answer",
    )


def _check_url(answer: Answer, endpoint: str) -> str:
    """Return the hint to check a URL; a token endpoint's path that is another's is named."""
    hint = f"check the {endpoint}'s URL"
    path = urlsplit(answer.url).path.lower()
    if endpoint != TOKEN_ENDPOINT or "token" in path:
        return hint
    if re.search(r"/auth(?:orize|orization)?/?\Z", path):
        return f"{hint}, which looks like the authorization endpoint's"
    return f"{hint}; if it is the issuer, give it as {setting('issuer')}"


def _retry_after(value: str | None) -> float | None:
    """Return ``Retry-After`` (RFC 9110 section 10.2.3), which is seconds or a date, as seconds from now."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    date = http_date(value)
    return None if date is None else max(0.0, round(date - time.time()))
