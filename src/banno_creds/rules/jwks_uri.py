"""Judge the address that a JWK Set is published at: what a provider gets from there, and for how long it keeps it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from banno_creds.checks import is_loopback
from banno_creds.errors import BannoCredsError, UntrustedServerError
from banno_creds.http.answers import redirect
from banno_creds.http.compression import codings
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.outcomes import Outcome, failed, judged, odd, of_error, passed
from banno_creds.times import duration, http_date

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from banno_creds.http.client import HttpClient
    from banno_creds.http.exchange import Answer

PROVIDERS_OWN = 60
"""How long node-oidc-provider keeps a set at the least, in seconds, whatever the headers say."""
_LONGEST = 24 * 3600
_MOST_SECONDS = 999_999_999  # 31 years
_SECONDS = 2.5  # so long node-oidc-provider waits for a set
_TYPES = ("application/json", "application/jwk-set+json")
_SEND = "have the server send Content-Type: application/jwk-set+json"


class Fetched(NamedTuple):
    """What came from a JWKS URI: the set, or None if none came, and what was found about the address."""

    content: bytes | None
    findings: tuple[Finding, ...]


def fetch(url: str, http: HttpClient, now: float) -> Fetched:
    """Fetch a JWK Set by one request, and judge the answer.

    Args:
        url: the JWKS URI.
        http: sends the request.
        now: the time, in seconds since the epoch.
    """
    address = judge_address(url)
    try:
        answer = http.get(url)
    except BannoCredsError as failure:
        finding = of_error(failure, Rule.REGISTRATION_UNREACHABLE, "answer")
        if isinstance(failure, UntrustedServerError) and finding.rule == Rule.NETWORK_TLS_UNTRUSTED:
            own = "if it is yours, have it send the intermediate certificates after its own"
            finding = finding._replace(fix=f"{finding.fix}; {own}")
        return Fetched(None, (address, finding))
    outcome = _judge_status(answer)
    status = judged(Rule.REGISTRATION_UNREACHABLE, "answer", outcome)
    if outcome.verdict is Verdict.FAIL:
        return Fetched(None, (address, status))
    return Fetched(answer.content, (address, status, *judge_answer(answer, now)))


def judge_address(url: str) -> Finding:
    """Judge if a provider on the Internet can fetch from an address."""
    return judged(Rule.JWKS_ADDRESS, "address", _judge_address(url))


def kept_for(headers: Mapping[str, str], now: float) -> int | None:
    """Return for how many seconds caches may keep an answer (RFC 9111 section 4.2.1); None if no header says it.

    The longest time that any header names counts, for readers differ: node-oidc-provider takes the longer one of
    max-age and Expires, and does not know no-store; caches on the way obey s-maxage.
    """
    directives = _directives(headers)
    ages = [directives[name] for name in ("max-age", "s-maxage") if directives.get(name, "").isdecimal()]
    named = [min(int(age), _MOST_SECONDS) for age in ages]
    if "no-store" in directives or "no-cache" in directives:
        named.append(0)
    if "expires" in headers:
        expires, made = http_date(headers["expires"]), http_date(headers.get("date", ""))
        named.append(0 if expires is None else max(0, int(expires - (now if made is None else made))))
    return max(named, default=None)


def judge_answer(answer: Answer, now: float) -> Iterator[Finding]:
    """Judge an answer that has a JWK Set in it: its media type, its form, and how long it is kept."""
    yield judged(Rule.JWKS_MEDIA_TYPE, "media type", _judge_media_type(answer))
    yield judged(Rule.JWKS_CACHING, "caches", _judge_caching(answer, now))
    if found := codings(answer.headers):
        outcome = odd(answer.said(", ".join(found), 80), "no compression, which was not asked for")
        yield judged(Rule.JWKS_COMPRESSION, "compression", outcome)
    if answer.seconds > _SECONDS:
        yield judged(Rule.JWKS_TIME, "time", odd(f"{answer.seconds:.1f} s", f"an answer within {_SECONDS} s"))


def _judge_address(url: str) -> Outcome:
    host = urlsplit(url).hostname or ""
    expected = "an https address on the Internet, which the provider can fetch"
    if is_loopback(host):
        return odd(f"{url}, which is this machine", expected)
    try:
        is_public = ip_address(host).is_global
    except ValueError:
        is_public = "." in host
    return passed(url) if is_public else odd(f"{url}, whose host is of a private network", expected)


def _judge_status(answer: Answer) -> Outcome:
    said = f"{answer.status} {answer.reason}".strip()
    if answer.status == 200:
        return passed(f"{said} in {answer.seconds * 1000:.0f} ms · {len(answer.content):,} bytes")
    if 300 <= answer.status < 400:
        fix = "register the address that it leads to, if that is yours; not every provider follows"
        return failed(f"{said}: {redirect(answer)}", "200 and the set, at this very address", fix)
    return failed(said, "200 and the set")


def _judge_media_type(answer: Answer) -> Outcome:
    media_type, expected = answer.media_type, "application/jwk-set+json (RFC 7517 section 8.5.2), or application/json"
    if media_type in _TYPES:
        return passed(media_type)
    if not media_type:
        return odd("no media type", expected, _SEND)
    page = " (a page for people)" if media_type in ("text/html", "application/xhtml+xml") else ""
    if "octet-stream" in media_type:
        page = " (a file whose type the server does not know)"
    return odd(f"{media_type}{page}", expected, _SEND)


def _judge_caching(answer: Answer, now: float) -> Outcome:
    headers = answer.headers
    seconds = kept_for(headers, now)
    by = [f"{name} {answer.said(headers[name], 120)}" for name in ("cache-control", "expires") if name in headers]
    more = [name for name in ("etag", "last-modified") if name in headers]
    facts = [*by, *([f"asked again by {more[0]}"] if more else [])]
    varies = {name.strip().lower() for name in headers.get("vary", "").split(",")} - {"", "accept-encoding", "origin"}
    if varies:
        facts.append(f"another answer by {answer.said(', '.join(sorted(varies)), 80)} (vary)")
    wants = f"Cache-Control: max-age=3600, and at most {duration(_LONGEST)}"
    if seconds is None:
        heuristic = ", and by last-modified a cache may keep it for days" if "last-modified" in headers else ""
        received = f"no header says how long{heuristic}; node-oidc-provider then keeps it for {PROVIDERS_OWN} s"
        return odd(received, wants)
    if seconds > _LONGEST:
        return odd(f"kept for {duration(seconds)}: {' · '.join(facts)}", wants)
    age = headers.get("age", "").strip()
    if age.isdecimal() and int(age[:9]) > seconds > 0:
        return odd(f"an answer that is {duration(int(age[:9]))} old, kept for {duration(seconds)}", wants, _AGED)
    kept = f"kept for up to {duration(seconds)}" if seconds else "not kept by caches"
    return passed(" · ".join([kept, *facts]))


_AGED = "look at the cache in front of the server: it serves an older set than it may"


def _directives(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the directives of Cache-Control (RFC 9111 section 5.2); of one that is repeated, the first."""
    found: dict[str, str] = {}
    for name, value in re.findall(r"([\w-]+)(?:\s*=\s*\"?([^\",;\s]*)\"?)?", headers.get("cache-control", "")[:2000]):
        found.setdefault(name.lower(), value[:18])
    return found
