"""Call the API with an access token: one request, and its answer passed on as it comes.

The last room of the flow. The token goes to the configured origin alone: what is asked is a path there, whatever it
was written as, and neither a claim nor a redirect leads elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from io import SEEK_END, BytesIO
from json import dumps, loads
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, unquote_plus, urlencode, urljoin, urlsplit

from banno_creds.config import DEFAULT_API_BASE, Wanted, check_origin
from banno_creds.errors import BannoCredsError, ConfigurationError, RefusedError, TokenError, UnusableAnswerError
from banno_creds.steps import AnswerReceived, Run, TryingAgain, Warned, ignore
from banno_creds.text import is_private_key_file, printable, without

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import IO, BinaryIO

    from banno_creds.http.client import HttpClient
    from banno_creds.http.exchange import Answer, StreamedAnswer
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.steps import Emit
    from banno_creds.tokens.cache import TokenCache
    from banno_creds.tokens.client_credentials import ClientCredentials

MOST_REDIRECTS = 3
MOST_PAGES = 10_000  # a totalCount may be anything
MOST_PAGE_BYTES = 16 * 1024 * 1024  # a page is read for what it says of the next one
_MOST_WORDS_BYTES = 64 * 1024  # an error's words stand at its beginning

_CHUNK_BYTES = 64 * 1024
_HEAD_BYTES = 1024 * 1024  # of a pipe that ends within it the length is known before it is sent

_SAFE_METHODS = ("GET", "HEAD")
_METHOD = re.compile(r"[A-Z][A-Z-]*")
# CONNECT asks for a tunnel, and TRACE for the token to be sent back (RFC 9110 section 9.3).
_NO_METHODS = ("CONNECT", "TRACE")

# RFC 9110 section 5.6.2.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_YOURS = {
    "authorization": "the token is put there",
    "host": "it follows from --api-base",
    **dict.fromkeys(
        ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect"),
        "it belongs to the connection",
    ),
    **dict.fromkeys(("proxy-authorization", "proxy-connection"), "it belongs to the proxy"),
    "accept-encoding": "the answer is passed on as it is meant, never compressed",
}

_VISIBLE = re.compile(r"[\x21-\x7e]*")
_PLACE = re.compile(r"\{([^{}]+)\}")
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_DOTS = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\]|$)")
_PORTS = {"http": 80, "https": 443}

_REDIRECTS = (301, 302, 303, 307, 308)

_HINTS = {
    400: "compare the fields with the API's documentation",
    403: "check that the token has the scope this call needs (--scope), and that the institution is the token's",
    404: "check the path, and that the institution in it is the token's",
    405: "check the method (-X)",
    415: "name the type of what is sent: -H 'Content-Type: …'",
}
# The vendor's own code for it.
_NO_PERMISSION = 40

_SUBSCRIPT = re.compile(r"\[([^\[\]]*)\]")

Write = Callable[[bytes], None]
Answered = Callable[[AnswerReceived], None]


class Content:
    """A request's body, read as it is sent, and again from its beginning for another attempt.

    Of a pipe, what was read is kept: in memory while it is short, then in a temporary file that has no name.

    Args:
        source: where the body is, a file or a pipe. It is not closed.
        origin: how a message names it.

    Attributes:
        length: how many bytes it has; None for a long pipe.

    Raises:
        ConfigurationError: it cannot be read, or is a private key.
    """

    def __init__(self, source: BinaryIO, origin: str) -> None:
        self._source = source
        self._origin = origin
        self._kept: IO[bytes] | None = None
        self._ended = False
        self._begin = 0
        self.length: int | None = None
        with self._readable():
            if not self._measure():
                self._keep_head()
        refuse_key(next(self.pieces(), b""), origin)

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, from the first one each time this is called.

        Yields:
            Its pieces.

        Raises:
            ConfigurationError: it cannot be read.
        """
        with self._readable():
            if self._kept is None:
                self._source.seek(self._begin)
                yield from iter(partial(self._source.read, _CHUNK_BYTES), b"")
            else:
                self._kept.seek(0)
                yield from iter(partial(self._kept.read, _CHUNK_BYTES), b"")
                while piece := self._read_on(self._kept):
                    yield piece

    def close(self) -> None:
        """Forget what was kept."""
        if self._kept is not None:
            self._kept.close()

    def _measure(self) -> bool:
        """Whether it is a file that says how long it is; a terminal or a file under /proc may say 0, or nothing."""
        with suppress(OSError):
            self._begin = self._source.tell()
            self.length = self._source.seek(0, SEEK_END) - self._begin or None
        return self.length is not None

    def _keep_head(self) -> None:
        """Read the beginning of a pipe: of a short one the length is then known, and some servers want it."""
        from tempfile import SpooledTemporaryFile

        self._kept = kept = SpooledTemporaryFile(max_size=_HEAD_BYTES)  # noqa: SIM115 - `close` closes it
        size = 0
        while size < _HEAD_BYTES and (piece := self._read_on(kept)):
            size += len(piece)
        if self._ended:
            self.length = size

    def _read_on(self, kept: IO[bytes]) -> bytes:
        piece = b"" if self._ended else self._source.read(_CHUNK_BYTES)
        self._ended = not piece
        kept.write(piece)
        return piece

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            raise ConfigurationError(
                f"{self._origin} cannot be read: {failure.strerror or failure}", hint="give another --input"
            ) from None


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What to ask of the API; see `make_request`.

    Attributes:
        path: a path with a query or without, perhaps with places such as ``{institutionId}``; or a whole URL.
        base: the API's scheme, host and port.
        method: such as ``GET``.
        headers: further headers.
        query: further query parameters.
        content: the body.
        include: whether to pass on the status line and the headers as well.
        paginate: whether to ask for the pages that follow.

    Raises:
        ConfigurationError: a value cannot be meant, or the path leads to another host.
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
        """Refuse what cannot be meant before there is a token that could go astray."""
        check_origin(self.base, "the API base")
        _target(self.path, self.base)
        if not _METHOD.fullmatch(self.method) or self.method in _NO_METHODS:
            raise ConfigurationError(
                f"the method {self.method!a} cannot be used", hint="such as GET, POST, PUT, PATCH or DELETE"
            )
        for name, value in self.headers:
            _check_header(name, value)
        if self.paginate and self.method != "GET":
            raise ConfigurationError(
                f"--paginate is for GET, and this is a {self.method}", hint="add -X GET, or leave --paginate out"
            )

    @property
    def origin(self) -> str:
        """Where the token may go."""
        return self.base.rstrip("/")

    def url(self, access_token: str, offset: int | None) -> str:
        """The URL to ask.

        Args:
            access_token: its claims fill the path's places.
            offset: the offset of a further page.

        Returns:
            The URL, of the API base's origin in any case.

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
    """Put a request together as ``gh api`` does.

    Fields go into the query of a GET and of a request that has another body, else into a JSON body. Without a
    method, it is POST where there is a body or a field.

    Args:
        path: see `ApiRequest`.
        base: see `ApiRequest`.
        method: see `ApiRequest`.
        fields: names and values; in a body, ``a[b]`` is a member of an object and ``a[]`` one of an array.
        headers: see `ApiRequest`.
        content: the body.
        include: see `ApiRequest`.
        paginate: see `ApiRequest`.

    Returns:
        The request.

    Raises:
        ConfigurationError: something cannot be meant.
    """
    method = (method or ("POST" if fields or content is not None else "GET")).upper()
    query: tuple[tuple[str, str], ...] = ()
    if content is not None or method in _SAFE_METHODS:
        query = tuple((name, _text(value)) for name, value in fields)
    elif fields:
        content = Content(BytesIO(dumps(_nested(fields), ensure_ascii=False).encode()), "the fields")
    return ApiRequest(path, base, method, tuple(headers), query, content, include, paginate)


def call(
    credentials: ClientCredentials | SignedIn,
    request: ApiRequest,
    token_cache: TokenCache | None = None,
    run: Run = Run(),
    *,
    write: Write,
    answered: Answered = ignore,
    wanted: Wanted = Wanted(),
) -> None:
    """Call the API, and pass its answer on as it comes; after the first 401 with another token, if there is one.

    Args:
        credentials: the client's own, or a login's. Their time-out is how long an answer may take to begin, and may
            pause.
        request: what to ask.
        token_cache: where tokens are kept.
        run: how the way to a token goes.
        write: called with each piece of the answer.
        answered: called with each answer's status before its body is passed on.
        wanted: which token will do for the first attempt.

    Raises:
        RefusedError: the API answered 4xx; its words were passed on.
        UnavailableError: it answered 429 or 5xx; its words were passed on.
        UnusableAnswerError: it redirects elsewhere, its pages do not come to an end, or the token is no Bearer token.
        BannoCredsError: there is no token; see `ClientCredentials.obtain`. Or there was no answer.
    """
    from banno_creds.http.client import HttpClient
    from banno_creds.tokens.response import bearer_token

    def another(refused: str) -> str:
        return bearer_token(credentials.obtain(token_cache, Wanted(wanted.min_ttl, not_token=refused), run))

    with HttpClient(credentials.timeout, credentials.ca_bundle) as http:
        token = bearer_token(credentials.obtain(token_cache, wanted, run))
        under_way = _Call(request, http, token, another, run.emit, write, answered)
        try:
            under_way.run()
        except BannoCredsError as failure:
            raise failure.without([(under_way.token, "the token")]) from None


class _Call:
    """One call, its pages and its one second attempt; ``token`` is the last one that was sent."""

    def __init__(
        self,
        request: ApiRequest,
        http: HttpClient,
        token: str,
        another: Callable[[str], str],
        emit: Emit,
        write: Write,
        answered: Answered,
    ) -> None:
        self.token = token
        self._request = request
        self._http = http
        self._another = another
        self._first_token = token
        self._asked_for_another = False
        self._emit = emit
        self._write = write
        self._answered = answered

    def run(self) -> None:
        """Ask, and as long as there are further pages, for those."""
        offset: int | None = None
        for _ in range(MOST_PAGES):
            with self._ask(offset) as answer:
                kept = self._pass_on(answer)
            if answer.status >= 400:
                is_another = self.token != self._first_token
                raise _failure(self._request.method, self._whole(answer, kept), is_another_token=is_another)
            if not self._request.paginate:
                return
            # Counted from what was asked, which no redirect changes; see `_redirected`.
            offset = _next_offset(_offset(answer.url) if offset is None else offset, kept, self._emit)
            if offset is None:
                return
            if not kept.endswith(b"\n"):
                self._write(b"\n")
        raise UnusableAnswerError(
            f"the answers count more than {MOST_PAGES:,} pages",
            hint=f"ask for larger ones with limit, or go on with offset={offset}",
        )

    def _ask(self, offset: int | None) -> StreamedAnswer:
        """Ask; where the token is refused for the first time, once more with another one, if there is one."""
        answer = self._follow(offset)
        if answer.status != 401 or self._asked_for_another:
            return answer
        self._asked_for_another = True
        with ExitStack() as stack:
            stack.enter_context(answer)
            self._emit(TryingAgain(self._why_again(answer), 0.0, 2, 2))
            token = self._another(self.token)
            if token == self.token:
                stack.pop_all()  # the answer stands
                return answer
        self.token = token
        return self._follow(offset)

    def _why_again(self, answer: StreamedAnswer) -> str:
        said = self._status(answer)
        reason = f"the API answered {said.status} {said.reason}".rstrip()
        if said.request_id:
            reason += f" (x-request-id {said.request_id})"
        return f"{reason}; now with another token"

    def _follow(self, offset: int | None) -> StreamedAnswer:
        """Ask, and follow redirects that stay where the token may go."""
        request = self._request
        url = request.url(self.token, offset)
        for _ in range(MOST_REDIRECTS + 1):
            pieces = None if request.content is None else request.content.pieces
            answer = self._http.stream(request.method, url, self._headers(), pieces)
            if answer.status not in _REDIRECTS:
                return answer
            with answer:
                url = self._redirected(answer)
        raise self._no_redirect(answer, f"more than {MOST_REDIRECTS} times", "check the path")

    def _headers(self) -> list[tuple[str, str]]:
        request = self._request
        headers = [("authorization", f"Bearer {self.token}"), *request.headers]
        given = {name.lower() for name, _ in headers}
        if "accept" not in given:
            headers.append(("accept", "*/*"))
        if request.content is not None:
            if "content-type" not in given:
                headers.append(("content-type", "application/json"))
            if request.content.length is not None:
                headers.append(("content-length", str(request.content.length)))
        return headers

    def _redirected(self, answer: StreamedAnswer) -> str:
        """Where a redirect leads; the token is for one origin alone."""
        location = answer.headers.get("location", "")
        url = None
        if location:
            with suppress(ValueError):  # it is no URL
                url = _own_url(urljoin(answer.url, location), self._request.base)
        if url is None:
            where = f"to {printable(location or '(nowhere)', 200)}"
            hint = "check the path; a redirect often means a login page or a retired address"
            raise self._no_redirect(answer, f"{where}, and the token is for {self._request.origin} alone", hint)
        if self._request.method not in _SAFE_METHODS:
            what = f"to {printable(url, 200)}, and a {self._request.method} is not sent a second time unasked"
            raise self._no_redirect(answer, what, "call that path, if it is the one you mean")
        if self._request.paginate and _offset(url) != _offset(answer.url):
            what = f"to {printable(url, 200)}, without the offset that was asked for"
            raise self._no_redirect(answer, what, "call that path, or leave --paginate out")
        return url

    def _no_redirect(self, answer: StreamedAnswer, what: str, hint: str) -> UnusableAnswerError:
        from banno_creds.http.answers import exchange

        details = exchange(self._whole(answer, b""))
        return UnusableAnswerError(f"the API redirects {what}", hint=hint, details=details)

    def _pass_on(self, answer: StreamedAnswer) -> bytes:
        """Pass an answer on, and keep as much of it as is still to be looked at."""
        self._answered(self._status(answer))
        if self._request.include:
            self._write(_head(answer))
        most = MOST_PAGE_BYTES + 1 if self._request.paginate else 0
        if answer.status >= 400:
            most = _MOST_WORDS_BYTES
        kept = bytearray()
        for chunk in answer.chunks():
            self._write(chunk)
            kept += chunk[: most - len(kept)]
        return bytes(kept)

    def _status(self, answer: StreamedAnswer) -> AnswerReceived:
        reason, request_id = self._without_token(answer.reason), answer.request_id
        request_id = None if request_id is None else self._without_token(request_id)
        return AnswerReceived(answer.status, reason, answer.seconds, request_id)

    def _without_token(self, words: str) -> str:
        return without(words, self.token, "the token")

    def _whole(self, answer: StreamedAnswer, content: bytes) -> Answer:
        from banno_creds.http.exchange import Answer

        reason = self._without_token(answer.reason)
        return Answer(answer.url, answer.status, reason, answer.headers, content, answer.seconds)


def _head(answer: StreamedAnswer) -> bytes:
    """The status line and the headers, as they came; those that speak of a compression that was undone left out."""
    undone = (b"content-encoding", b"content-length") if answer.encoding else ()
    # Never the phrase as it is shown to people: this is the result, and it is whole.
    lines = [f"{answer.version} {answer.status} {answer.raw_reason}".rstrip().encode("latin-1", "replace")]
    lines += [b"%s: %s" % pair for pair in answer.raw_headers if pair[0].lower() not in undone]
    return b"".join(line + b"\r\n" for line in (*lines, b""))


# --- the URL ---


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port (RFC 6454 section 4); None for what names no host, or a user as well."""
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


def _own_url(url: str, base: str) -> str | None:
    """A URL of the API's own origin, rewritten with the base so that it can lead nowhere else; None for another."""
    if _origin(url) is None or _origin(url) != _origin(base):
        return None
    parts = urlsplit(url)
    return base.rstrip("/") + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _target(path: str, base: str) -> str:
    """The path and query of what was given."""
    if _DRIVE.match(path):
        raise ConfigurationError(
            f"the path {path!a} is one of this machine, not of the API",
            hint="Git Bash rewrites what starts with /: set MSYS_NO_PATHCONV=1, or give the whole URL",
        )
    if not _VISIBLE.fullmatch(path) or "\\" in path or "#" in path:
        raise ConfigurationError(
            "the path has white space, a backslash, a # or characters outside ASCII in it",
            hint="percent-encode them, or give a query parameter as a field: -X GET -f name=value",
        )
    if path.startswith("/") and not path.startswith("//"):
        target = path
    elif "://" in path or path.startswith("//"):
        url = _own_url(path, base)
        if url is None:
            shown = "this URL" if "@" in path else ascii(path)
            raise ConfigurationError(
                f"{shown} is not of {base.rstrip('/')}, and the token is for that alone",
                hint="give the path alone, such as /a/…, or the API it belongs to with --api-base URL",
            )
        target = url.removeprefix(base.rstrip("/"))
    else:
        raise ConfigurationError(f"the path {path!a} does not start with /", hint="write it as /a/…")
    _check_dots(target)
    if re.search(r"[{}]", _PLACE.sub("", target)):
        raise ConfigurationError(
            f"the path {printable(target, 200)!a} has a brace that is no place such as {{institutionId}}",
            hint="close it; for a { that is meant write %7B, for a } %7D",
        )
    return target


def _check_dots(target: str) -> None:
    """Refuse a path that is not what it looks like; a server may take %2e for a dot and %2f for a slash."""
    if _DOTS.search(unquote(target.partition("?")[0])):
        raise ConfigurationError(
            f"the path {printable(target, 200)!a} has a part that is . or ..", hint="write the path that it leads to"
        )


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
            f"the places in the path cannot be filled, for the token has no claims to read: {failure.message}",
            hint="write the values into the path",
        ) from None


def _claim(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not _fits(value):
        usable = [name for name, value in claims.items() if _fits(value)]
        raise ConfigurationError(
            f"the token has no claim {printable(name, 80)!a} to fill the path with",
            hint=f"those it has: {printable(', '.join(usable) or 'none', 500)}",
        )
    return _text(value)


def _part_of_path(claims: Mapping[str, object], name: str) -> str:
    """A claim as one part of the path; percent-encoded, a slash would still be one for some servers."""
    value = _claim(claims, name)
    if "/" in value or "\\" in value:
        raise ConfigurationError(
            f"the token's claim {printable(name, 80)!a} has a slash in it, and would be several parts of the path",
            hint="write the value into the path, as the API's documentation has it",
        )
    return quote(value, safe="", errors="replace")


def _fits(value: object) -> bool:
    """Whether a claim can stand in a path; nothing empty, for that would take a part out of it."""
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
        raise ConfigurationError(
            "a header given with -H has characters in it that no header has", hint="write it as -H 'Name: value'"
        )
    if (why := _NOT_YOURS.get(name.lower())) is not None:
        raise ConfigurationError(f"the header {name} cannot be given with -H: {why}", hint="leave it out")


# --- fields ---


def refuse_key(head: bytes, origin: str) -> None:
    """Make sure that no private key is sent.

    Args:
        head: the beginning of what is to be sent.
        origin: how a message names it.

    Raises:
        ConfigurationError: it is one.
    """
    if is_private_key_file(head):
        raise ConfigurationError(
            f"there is a private key in {origin}, and nothing was sent",
            hint="give what you mean; a private key has no business at the API",
        )


def typed(text: str) -> Any:
    """What a typed field's value means: true, false, null or a whole number, else the text itself.

    A number with leading zeros, as account numbers have them, is text, and so is one too large for others to read.
    """
    constants = {"true": True, "false": False, "null": None}
    if text in constants:
        return constants[text]
    return int(text) if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text) else text


def _text(value: object) -> str:
    """A value as it stands in a URL."""
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value)


def _nested(fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in fields:
        first, subscripts = name.partition("[")[0], name.partition("[")[1:]
        keys = [first, *_SUBSCRIPT.findall("".join(subscripts))]
        if not first or name != first + "".join(f"[{key}]" for key in keys[1:]):
            raise _bad_field(name, "cannot be read")
        _put(body, keys, value, name)
    return body


def _put(members: dict[str, Any], keys: Sequence[str], value: object, name: str) -> None:
    key, rest = keys[0], keys[1:]
    if not rest:
        if key in members:
            raise _bad_field(name, "is given more than once")
        members[key] = value
        return
    within = members.setdefault(key, {} if rest[0] else [])
    if not isinstance(within, dict if rest[0] else list):
        raise _bad_field(name, "contradicts one before it")
    if isinstance(within, list):
        if len(rest) == 1:
            within.append(value)
            return
        rest = rest[1:]
        if not rest[0]:
            raise _bad_field(name, "cannot be read")
        # A member that the last object has already begins the next one.
        if not within or not isinstance(within[-1], dict) or rest[0] in within[-1]:
            within.append({})
        within = within[-1]
    _put(within, rest, value, name)


def _bad_field(name: str, fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"the field {printable(name, 80)!a} {fault}",
        hint="write name=value, name[member]=value or name[]=value; for any other JSON there is --input FILE",
    )


# --- the answer ---


def _failure(method: str, answer: Answer, *, is_another_token: bool) -> BannoCredsError:
    """The error for a status of 400 or more; the answer itself was passed on."""
    from banno_creds.http.answers import unavailable, words

    details = (f"{method} {answer.url}", *words(answer))
    if answer.status == 429 or answer.status >= 500:
        return unavailable(answer).but(details=details)
    if challenge := answer.headers.get("www-authenticate"):
        details += (f"www-authenticate: {printable(challenge, 200)}",)
    what = "the API refused the request"
    hint = _HINTS.get(answer.status, "look at what the API says on standard output, and at its documentation")
    if answer.status == 401:
        what = "the API refused another token as well"
        if not is_another_token:
            what = "the API refused the token, and there is no other for the moment"
            details += ("it was got a moment ago, after another 401, or the server gave the same one again",)
        hint = (
            "check that --api-base and the token endpoint belong together, and what the token says: "
            "banno-creds token | banno-creds decode"
        )
    elif _error_code(answer.content) == _NO_PERMISSION:
        what = "the Associated User of this application lacks the permission for this"
        hint = "ask the administrator to give it to that user in Users & Groups"
    message = f"{what}: {answer.status} {answer.reason}".rstrip()
    return RefusedError(message, error=None, status=answer.status, hint=hint, details=details)


def _error_code(content: bytes) -> object:
    try:
        return _members(content).get("errorCode")
    except ValueError:
        return None


def _next_offset(asked: int, page: bytes, emit: Emit) -> int | None:
    """The next page's offset, as the vendor documents it: ``limit`` and ``offset`` asked, ``totalCount`` answered.

    Args:
        asked: this page's offset.
        page: what was answered.
        emit: called with a warning where nothing says whether there are more.

    Returns:
        The offset; None if this was the last page, or nothing in it says whether it was.

    Raises:
        UnusableAnswerError: the page is empty, and should not be.
    """
    total, items = _extent(page)
    if total is None or items is None:
        emit(
            Warned(
                "the answer does not say whether there are further pages: it has no totalCount beside one list",
                hint="this call may have no pages; look it up in the API's documentation",
            )
        )
        return None
    offset = asked + items
    if offset >= total:
        return None
    if not items:
        raise UnusableAnswerError(
            f"the page with offset={asked} is empty, although it counts {total} in all",
            hint="look at limit and offset; the pages before it were passed on",
        )
    return offset


def _extent(page: bytes) -> tuple[int | None, int | None]:
    """How many there are in all, and on this page."""
    try:
        members = _members(page)
    except ValueError:
        return None, None
    total = members.get("totalCount")
    lists = [value for value in members.values() if isinstance(value, list)]
    known = isinstance(total, int) and not isinstance(total, bool)
    return (total if known else None), (len(lists[0]) if len(lists) == 1 else None)


def _offset(url: str) -> int:
    given = [pair.partition("=")[2] for pair in urlsplit(url).query.split("&") if _name(pair) == "offset"]
    return int(given[-1]) if given and re.fullmatch(r"[0-9]{1,18}", given[-1]) else 0


def _members(content: bytes) -> Mapping[str, Any]:
    """The members of a JSON object, read as leniently as the API's other readers do."""
    try:
        value = loads(content)
    except RecursionError:
        raise ValueError from None
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - data, not types
    return value
