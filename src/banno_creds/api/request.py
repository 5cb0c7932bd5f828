"""A request to the API: its method, path, query, headers and body, all checked before there is a token.

The token goes to the configured origin only: the path is asked there, however it is written, and no claim in it leads
elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from json import dumps
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, unquote_plus, urlencode, urlsplit

from banno_creds.api.body import body_of
from banno_creds.checks import check_origin
from banno_creds.config import DEFAULT_API_BASE
from banno_creds.errors import ConfigurationError, TokenError
from banno_creds.secrecy import is_private_key
from banno_creds.text import printable, quoted, setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from banno_creds.api.body import Content

SAFE_METHODS = ("GET", "HEAD")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
# CONNECT asks for a tunnel, and TRACE for the token to be sent back (RFC 9110 section 9.3).
_NO_METHODS = ("CONNECT", "TRACE")

# RFC 9110 section 5.6.2.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_YOURS = {
    "authorization": "the token is sent in it",
    "host": f"it follows from {setting('api_base')}",
    **dict.fromkeys(
        ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect"),
        "it belongs to the connection",
    ),
    **dict.fromkeys(("proxy-authorization", "proxy-connection"), "it belongs to the proxy"),
    "accept-encoding": "the answer is passed on uncompressed",
}

_VISIBLE = re.compile(r"[\x21-\x7e]*")
_PLACE = re.compile(r"\{([^{}]+)\}")
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_DOTS = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\]|$)")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to the API; see `make_request`.

    Attributes:
        path: a path with or without a query, perhaps with places such as ``{institutionId}``; or a whole URL.
        base: the API's scheme, host and port.
        method: such as ``GET``.
        headers: further headers.
        query: further query parameters.
        content: the body.
        include: whether to pass on the status line and the headers as well.
        paginate: whether to ask for the pages that follow.

    Raises:
        ConfigurationError: a value is invalid, or the path leads to another host.
    """

    path: str
    base: str = DEFAULT_API_BASE
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    content: Content | None = field(default=None, repr=False)
    include: bool = False
    paginate: bool = False

    def __post_init__(self) -> None:
        """Refuse invalid values before there is a token that could go astray."""
        check_origin(self.base, "the API base")
        texts = (self.path, *(text for pair in (*self.headers, *self.query) for text in pair))
        if any(map(is_private_key, texts)):
            raise ConfigurationError(
                "the path, a header or a field has a private key in it, and nothing was sent",
                hint="the API never needs a private key: treat this one as leaked, for others can see an argument",
            )
        _target(self.path, self.base)
        if not _METHOD.fullmatch(self.method) or self.method in _NO_METHODS:
            raise ConfigurationError(
                f"the method {self.method!a} cannot be used", hint="such as GET, POST, PUT, PATCH or DELETE"
            )
        for name, value in self.headers:
            _check_header(name, value)
        if self.paginate and self.method != "GET":
            raise ConfigurationError(
                f"{setting('paginate')} is for GET, and this is a {self.method}",
                hint=f"add {setting('method')} GET, or leave {setting('paginate')} out",
            )

    @property
    def origin(self) -> str:
        """The only origin that the token may be sent to."""
        return self.base.rstrip("/")

    def url(self, access_token: str, offset: int | None) -> str:
        """Return the URL to ask; its origin is always that of the API base.

        Args:
            access_token: its claims fill the path's places.
            offset: the offset of a further page.

        Raises:
            ConfigurationError: a place cannot be filled.
        """
        path, _, query = _fill(_target(self.path, self.base), access_token).partition("?")
        pairs = [pair for pair in (query, urlencode(self.query)) if pair]
        if offset is not None:
            pairs = [pair for pair in "&".join(pairs).split("&") if pair and _name(pair) != "offset"]
            pairs.append(f"offset={offset}")
        return self.origin + path + ("?" + "&".join(pairs) if pairs else "")


def make_request(
    path: str,
    *,
    base: str = DEFAULT_API_BASE,
    method: str | None = None,
    fields: Sequence[tuple[str, Any]] = (),
    headers: Sequence[tuple[str, str]] = (),
    content: Content | None = None,
    include: bool = False,
    paginate: bool = False,
) -> ApiRequest:
    """Make a request as ``gh api`` does.

    Fields go into the query of a GET and of a request with another body, else into a JSON body. By default, the
    method is POST if there is a body or a field, else GET.

    Args:
        path: see `ApiRequest`.
        base: see `ApiRequest`.
        method: see `ApiRequest`.
        fields: names and values; in a body, ``a[b]`` is a member of an object and ``a[]`` one of an array.
        headers: see `ApiRequest`.
        content: the body.
        include: see `ApiRequest`.
        paginate: see `ApiRequest`.

    Raises:
        ConfigurationError: a value is invalid.
    """
    method = (method or ("POST" if fields or content is not None else "GET")).upper()
    query: tuple[tuple[str, str], ...] = ()
    if content is not None or method in SAFE_METHODS:
        query = tuple((name, _text(value)) for name, value in fields)
    elif fields:
        content = body_of(fields)
    return ApiRequest(path, base, method, tuple(headers), query, content, include, paginate)


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
        raise ConfigurationError(
            f"a value of {setting('headers')} has characters in it that no header has",
            hint=f'write it as {setting("headers")} "Name: value"',
        )
    if (why := _NOT_YOURS.get(name.lower())) is not None:
        raise ConfigurationError(
            f"the header {name} cannot be given with {setting('headers')}: {why}", hint="leave it out"
        )


# --- The URL ---


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port (RFC 6454 section 4); None if the URL has no host, or has userinfo."""
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if "@" in parts.netloc or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, _PORTS.get(parts.scheme) if port is None else port


def own_url(url: str, base: str) -> str | None:
    """Return a URL of the API's own origin, rebuilt from the base so that it leads nowhere else; None for another."""
    if _origin(url) is None or _origin(url) != _origin(base):
        return None
    parts = urlsplit(url)
    return base.rstrip("/") + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _target(path: str, base: str) -> str:
    """Return the path and query of a path or a URL."""
    if _DRIVE.match(path):
        raise ConfigurationError(
            f"the path {quoted(path)} is a path on this machine, not of the API",
            hint="Git Bash rewrites what starts with /: set MSYS_NO_PATHCONV=1, or give the whole URL",
        )
    if not _VISIBLE.fullmatch(path) or "\\" in path or "#" in path:
        raise ConfigurationError(
            "the path has white space, a backslash, a # or characters outside ASCII in it",
            hint="percent-encode them, or give a query parameter as a field: "
            f"{setting('method')} GET {setting('raw_fields')} name=value",
        )
    if path.startswith("/") and not path.startswith("//"):
        target = path
    elif "://" in path or path.startswith("//"):
        url = own_url(path, base)
        if url is None:
            shown = "this URL" if "@" in path else ascii(path)
            raise ConfigurationError(
                f"{shown} is not of {base.rstrip('/')}, and the token is only for that",
                hint=f"give only the path, such as /a/…, or its API with {setting('api_base')} URL",
            )
        target = url.removeprefix(base.rstrip("/"))
    else:
        raise ConfigurationError(f"the path {path!a} does not start with /", hint="write it as /a/…")
    _check_dots(target)
    if re.search(r"[{}]", _PLACE.sub("", target)):
        raise ConfigurationError(
            f"the path {printable(target, 200)!a} has a brace outside of places such as {{institutionId}}",
            hint="close it; for a literal { write %7B, for a } %7D",
        )
    return target


def _check_dots(target: str) -> None:
    """Refuse . and .. in a path; a server may take %2e for a dot and %2f for a slash."""
    if _DOTS.search(unquote(target.partition("?")[0])):
        raise ConfigurationError(
            f"the path {printable(target, 200)!a} has a part that is . or ..", hint="write the path without it"
        )


def offset_of(url: str) -> int:
    """Return the offset that a URL asks for."""
    given = [pair.partition("=")[2] for pair in urlsplit(url).query.split("&") if _name(pair) == "offset"]
    return int(given[-1]) if given and re.fullmatch(r"[0-9]{1,18}", given[-1]) else 0


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


# --- Places in the path ---


def _fill(target: str, access_token: str) -> str:
    """Fill places such as ``{institutionId}`` from the token's claims."""
    if not _PLACE.search(target):
        return target
    claims = _claims(access_token)
    path, mark, query = target.partition("?")
    filled = _PLACE.sub(lambda place: _part_of_path(claims, place[1]), path)
    _check_dots(filled)
    return filled + mark + _PLACE.sub(lambda place: quote(_claim(claims, place[1]), safe="", errors="replace"), query)


def _claims(access_token: str) -> Mapping[str, object]:
    from banno_creds.jose.decode import decode

    try:
        return decode(access_token).payload
    except TokenError as failure:
        raise ConfigurationError(
            f"the places in the path cannot be filled, as the token has no claims to read: {failure.message}",
            hint="write the values into the path",
        ) from None


def _claim(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not _fits(value):
        usable = [name for name, value in claims.items() if _fits(value)]
        raise ConfigurationError(
            f"the token has no claim {printable(name, 80)!a} to fill the path with",
            hint=f"its claims: {printable(', '.join(usable) or 'none', 500)}",
        )
    return _text(value)


def _part_of_path(claims: Mapping[str, object], name: str) -> str:
    """Return a claim as one part of the path; some servers read a percent-encoded slash as a slash."""
    value = _claim(claims, name)
    if "/" in value or "\\" in value:
        raise ConfigurationError(
            f"the token's claim {printable(name, 80)!a} has a slash in it, and would be several parts of the path",
            hint="write the value into the path, as the API's documentation shows it",
        )
    return quote(value, safe="", errors="replace")


def _fits(value: object) -> bool:
    """Return whether a claim can fill a place; an empty one would remove a part of the path."""
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _text(value: object) -> str:
    """Return a value as it is written in a URL."""
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value)
