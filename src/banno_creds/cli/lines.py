"""Steps and findings as lines for people: pieces of text with a style each. Nothing here prints."""

from __future__ import annotations

from itertools import islice
from json import dumps
from typing import TYPE_CHECKING, Any, TypeGuard, assert_never

from banno_creds import steps
from banno_creds.secrecy import looks_random
from banno_creds.text import printable
from banno_creds.times import BEYOND_THE_CALENDAR, duration, looks_like_milliseconds, until, utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from banno_creds.login.steps import BrowserAwaited, LoginStep
    from banno_creds.rules.findings import Finding, Verdict

Piece = tuple[str, str]
Line = tuple[Piece, ...]
"""A line is pieces of text, each with a style of Rich's or none."""

DIM = "bright_black"
INDENT = "    "
_MOST_MEMBERS = 50  # more than any real token has

_NAME_WIDTH = 16
_MARKS = {
    "pass": ("✓", "green"),
    "fail": ("✗", "bold red"),
    "warn": ("!", "yellow"),
    "unknown": ("?", "cyan"),
}


def rows(findings: Iterable[Finding]) -> Iterable[tuple[Line, str, int]]:
    """Return findings as lines, each with its indent and its further indent when it wraps.

    The rules about one thing make one row, but each fault makes a row of its own. A thing that is absent and need not
    be there, such as ``nbf``, makes none.
    """
    from banno_creds.rules.findings import NO_ASSERTION, Verdict

    by_thing: dict[str, list[Finding]] = {}
    for finding in findings:
        by_thing.setdefault(finding.looks_at, []).append(finding)
    for looks_at, group in by_thing.items():
        faults = [finding for finding in group if finding.verdict in (Verdict.FAIL, Verdict.WARN)]
        for finding in faults:
            yield _row(finding.verdict, looks_at, ((finding.rule, _MARKS[finding.verdict][1]),))
            for name in ("received", "expected", "fix"):
                if text := getattr(finding, name):
                    # Every word may come from outside.
                    line = ((f"{name:<10}", DIM), (printable(text, 1000), ""))
                    yield line, INDENT * 2, 10
        if faults:
            continue
        received = " · ".join(dict.fromkeys(printable(finding.received) for finding in group if finding.received))
        unknown = next((finding for finding in group if finding.verdict is Verdict.UNKNOWN), None)
        if unknown is None and received:
            yield _row(Verdict.PASS, looks_at, ((received, ""),))
        elif unknown is not None and unknown.reason != NO_ASSERTION:
            reason = f"cannot tell: {printable(unknown.reason)}" if unknown.reason else ""
            between = " · " if received and reason else ""
            yield _row(Verdict.UNKNOWN, looks_at, ((received + between, ""), (reason, "cyan")))


def _row(verdict: Verdict, looks_at: str, said: Line) -> tuple[Line, str, int]:
    mark, style = _MARKS[verdict]
    return (
        ((f"{mark:<{len(INDENT)}}", style), (f"{looks_at:<{_NAME_WIDTH - 1}} ", ""), *said),
        "",
        len(INDENT) + _NAME_WIDTH,
    )


def describe(step: steps.Happened | LoginStep, *, show_secrets: bool = False) -> tuple[str, list[Line]]:
    """Return a step in words: a title, and the lines below it."""
    match step:
        case steps.TokenChosen():
            return "Whose token", [_plain(printable(f"{step.whose} · {step.why}"))]
        case steps.KeyLoaded():
            return "Private key", [
                _plain(printable(f"{step.origin} · {step.description} · {step.alg}")),
                _dim(printable(step.fingerprint)),
            ]
        case steps.EndpointDiscovered():
            return "Discovery", [
                _plain(printable(f"issuer {step.issuer}")),
                _plain(printable(f"{step.name} {step.url}")),
            ]
        case steps.AssertionBuilt():
            return "JWT payload", list(_json(step.claims, step.now))
        case steps.AssertionSigned():
            return "Signed JWT", _signed(step, show_secrets)
        case steps.TokenRequested():
            if step.attempt > 1 and not show_secrets:
                return f"Token request (attempt {step.attempt})", [_dim("the same, with a freshly signed JWT")]
            basic = [_dim("Authorization: Basic (the client ID and the client secret)")] if step.authorization else []
            return "Token request" + ("" if step.attempt == 1 else f" (attempt {step.attempt})"), [
                _plain(printable(f"POST {step.url}")),
                *basic,
                *(_form_field(name, value, show_secrets) for name, value in step.form),
            ]
        case steps.AnswerReceived():
            request_id = f" · x-request-id {printable(step.request_id)}" if step.request_id else ""
            style = "green" if step.status == 200 else "red"
            return printable(step.what, 40), [
                (
                    (printable(f"{step.status} {step.reason}"), style),
                    (f" in {step.seconds * 1000:.0f} ms{request_id}", ""),
                )
            ]
        case steps.TryingAgain():
            return f"Trying again in {step.seconds:.1f} s", [
                _plain(f"attempt {step.attempt} of {step.most_attempts}, because {printable(step.reason)}")
            ]
        case steps.TokenReceived():
            return "Access token", _token(step, show_secrets)
        case steps.CacheSearched():
            return "Cache", [_plain(printable(step.reason))]
        case steps.SecretRead():
            return "Client secret", [_plain(printable(f"{step.origin} · {step.method}"))]
        case steps.CacheAnswered():
            return "Cache", [
                (("it holds the token: ", "green"), (f"asked for {step.age} s ago, good for {step.left} s more", ""))
            ]
        case steps.WaitingForAnother():
            return "Waiting", [_plain(f"another process asks for this token; {step.seconds:.0f} s at the most")]
        case steps.TokenDecoded():
            return "Decoded", [*_header(step.header), *_unsigned(step.header), *_times(step.payload, step.now)]
        case steps.SignatureVerified():
            return "Verified", [
                (("the signature holds: ", "green"), (printable(f"{step.alg}, {step.key}"), "")),
                *((("as asked: ", "green"), (printable(checked), "")) for checked in step.checked),
                (("not expired", "green"),),
            ]
        case steps.NothingVerified():
            return "Not verified", [
                (("Nobody checked the signature: anybody can have written this token.", "yellow"),),
                _dim("To check it: --issuer URL, --jwks FILE|URL or --public-key FILE"),
            ]
        case steps.TokenRejected():
            return "Payload, not to be relied on", list(_json(step.payload))
        case _:
            return _describe_login(step, show_secrets)


def _describe_login(step: LoginStep, show_secrets: bool) -> tuple[str, list[Line]]:  # noqa: FBT001 - as below
    from banno_creds.login import steps as login_steps

    match step:
        case login_steps.RequestPushed():
            kept = "" if step.expires_in is None else f" · kept for {step.expires_in} s"
            return "Pushed authorization request", [_plain(printable(f"POST {step.url}")), _dim(f"accepted{kept}")]
        case login_steps.AuthorizationRequested():
            return "Authorization request", [
                _plain(printable(f"GET {step.endpoint}")),
                *(_form_field(name, value, show_secrets) for name, value in step.parameters),
            ]
        case login_steps.BrowserAwaited():
            return "Browser", list(_awaited(step))
        case login_steps.BrowserReturned():
            by = "" if step.issuer is None else f" · from {step.issuer}"
            return "Callback", [_plain(printable(f"brought {', '.join(step.names)}{by}"))]
        case login_steps.IdTokenVerified():
            return "Id token", [
                (("verified: ", "green"), (printable(f"{step.alg}, {step.key}"), "")),
                *_json(step.claims, step.now),
            ]
        case login_steps.LoginFound():
            when = "" if step.signed_in_at is None else f", since {utc(step.signed_in_at)}"
            return "Login", [_plain(printable(f"{step.name} ({step.owner}){when}"))]
        case login_steps.LoginKept():
            return "Kept", [_plain(printable(f"the login of {step.owner}")), *map(_dim, map(printable, step.places))]
        case login_steps.TokenRevoked():
            return "Revoked", [_plain(printable(f"{step.name} · POST {step.url}"))]
        case _:
            assert_never(step)


def _signed(step: steps.AssertionSigned, show_secrets: bool) -> list[Line]:  # noqa: FBT001 - a pure formatter
    lines = list(_header(step.header))
    if show_secrets:
        return [*lines, _plain(step.client_assertion)]
    header, payload, _ = step.client_assertion.split(".")
    return [*lines, _dim(f"{_beginning(header)}.{_beginning(payload)}.(signature left out)")]


def _beginning(part: str) -> str:
    return part if len(part) <= 24 else f"{part[:24]}…"


def _awaited(step: BrowserAwaited) -> Iterable[Line]:
    yield _plain(printable(f"waiting at {step.redirect_uri} for {step.seconds:g} s at the most"))
    if step.certificate is not None:
        new = "made just now: the browser warns of it once" if step.made else "the same as before"
        yield _dim(f"certificate for localhost, {new}")
        yield _dim(printable(step.certificate))


_SECRET_FIELDS = {
    "client_assertion": "(the signed JWT)",
    "client_secret": "(the client secret)",
    "code": "(the authorization code)",
    "code_verifier": "(the verifier that goes with the code_challenge)",
    "refresh_token": "(the refresh token)",
    "state": "(fresh)",
    "nonce": "(fresh)",
}


def _form_field(name: str, value: str, show_secrets: bool) -> Line:  # noqa: FBT001 - a pure formatter
    if name in _SECRET_FIELDS and not show_secrets:
        value = _SECRET_FIELDS[name]
    shown = value if name in _SECRET_FIELDS else printable(value)
    return ((f"{printable(name)}=", DIM), (shown, ""))


def _token(step: steps.TokenReceived, show_secrets: bool) -> list[Line]:  # noqa: FBT001 - a pure formatter
    facts = [printable(step.token_type) or "(no token_type)"]
    if step.expires_in is not None and step.expires_at is not None:
        facts.append(f"{step.expires_in} s, until {utc(step.expires_at)}")
    if step.scope is not None:
        facts.append(f"scope {printable(step.scope)}")
    lines = [_plain(" · ".join(facts))]
    name, institution = step.claims.get("clientName"), step.claims.get("institutionId")
    # Of a token from the cache nobody knows what its claims may echo.
    about = [printable(name)] if isinstance(name, str) and not looks_random(name) else []
    if isinstance(institution, str) and not looks_random(institution):
        about.append(f"institution {printable(institution)}")
    if about:
        lines.append(_plain(" · ".join(about)))
    token = step.access_token if show_secrets else shorten(step.access_token)
    lines.append(_dim(token))
    return lines + [
        ((f"{printable(name)} ", ""), (value if show_secrets else shorten(value), DIM)) for name, value in step.beside
    ]


def shorten(token: str) -> str:
    """Return a token's first characters: enough to recognise it, too few to use it."""
    return f"{token[:8]}… ({len(token)} characters, shortened)" if len(token) > 32 else "(not shown: it is short)"


def _unsigned(header: Mapping[str, Any]) -> list[Line]:
    return [_warn("alg none: the token is not signed at all")] if header.get("alg") == "none" else []


_TIME_CLAIMS = {"iat": "issued", "auth_time": "signed in", "nbf": "not before"}
_PAST = ("iat", "auth_time")


def _times(payload: Mapping[str, Any], now: int) -> list[Line]:
    lines: list[Line] = []
    for name, words in _TIME_CLAIMS.items():
        value = payload.get(name)
        if _is_number(value) and looks_like_milliseconds(value):
            lines.append(_milliseconds(name, value))
        elif _is_number(value):
            lines.append(_plain(f"{words} {until(value, now)}, at {utc(value)}"))
            if name in _PAST and value - now >= 1:
                lines.append(_warn(f"{name} lies ahead: compare this machine's clock with the server's"))
        elif name in payload:
            lines.append(_warn(f"{name} is no number: {_shown(value, 80)}"))
    return [*lines, _expiry(payload, now)]


def _expiry(payload: Mapping[str, Any], now: int) -> Line:
    if "exp" not in payload:
        return _warn("no exp: the token does not say when it ends")
    expires = payload["exp"]
    if not _is_number(expires):
        return _warn(f"exp is no number: {_shown(expires, 80)}")
    if looks_like_milliseconds(expires):
        return _milliseconds("exp", expires)
    if expires > now:
        return (("expires in " + duration(expires - now), "green"), (f", at {utc(expires)}", ""))
    return (("EXPIRED " + until(expires, now), "bold red"), (f", at {utc(expires)}", ""))


def _milliseconds(name: str, value: float) -> Line:
    meant = utc(value // 1000)
    if meant == BEYOND_THE_CALENDAR:
        return _warn(f"{name} is no time, in seconds or in milliseconds: {printable(value, 40)}")
    return _warn(f"{name} is in milliseconds, and RFC 7519 wants seconds; {meant} may be meant")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _header(members: Mapping[str, Any]) -> Iterable[Line]:
    """Return a JOSE header, on one line if it is short."""
    inline = _shown(members)
    return [_plain(inline)] if len(inline) <= 60 else _json(members)


def _json(members: Mapping[str, Any], now: int | None = None) -> Iterable[Line]:
    """Return a JSON object as lines; with ``now``, ``exp`` is explained."""
    last = len(members) - 1
    yield _plain("{")
    for number, (name, value) in enumerate(islice(members.items(), _MOST_MEMBERS)):
        comma = "," if number < last else ""
        line: Line = ((f"  {_shown(name)}", "cyan"), (": ", ""), (_shown(value), ""), (comma, ""))
        if now is not None and name == "exp" and _is_number(value):
            line += ((f"   ← {until(value, now)}, {utc(value)}", DIM),)
        yield line
    if last >= _MOST_MEMBERS:
        yield _plain(f"  … and {len(members) - _MOST_MEMBERS:,} more")
    yield _plain("}")


def _shown(value: object, most: int = 500) -> str:
    """Return JSON on one line, with characters that are not printable escaped."""
    encoded = dumps(value, ensure_ascii=False)[: most * 4]
    return printable("".join(c if c.isprintable() else dumps(c)[1:-1] for c in encoded), most)


def hang(line: Line) -> int:
    """Return the further indent of a wrapped line: two more than its own."""
    text = line[0][0]
    return len(text) - len(text.lstrip(" ")) + 2


def _plain(text: str) -> Line:
    return ((text, ""),)


def _dim(text: str) -> Line:
    return ((text, DIM),)


def _warn(text: str) -> Line:
    return ((text, "yellow"),)
