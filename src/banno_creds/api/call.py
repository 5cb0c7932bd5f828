"""Call the API with an access token: one request, and its answer passed on as it comes.

The token goes to the configured origin only, and no redirect leads elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from json import loads
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from banno_creds.api.request import SAFE_METHODS, offset_of, own_url
from banno_creds.config import Wanted
from banno_creds.errors import BannoCredsError, RefusedError, UnusableAnswerError
from banno_creds.steps import AnswerReceived, Run, TryingAgain, ignore
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.api.request import ApiRequest
    from banno_creds.http.client import HttpClient
    from banno_creds.http.exchange import Answer, StreamedAnswer
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.tokens.client_credentials import ClientCredentials
    from banno_creds.tokens.shared import Cache

MOST_REDIRECTS = 3
MOST_PAGES = 10_000  # a totalCount may be any number
MOST_PAGE_BYTES = 16 * 1024 * 1024  # a page is kept in memory, to find whether another follows
_MOST_WORDS_BYTES = 64 * 1024  # an error's words are at its beginning

_REDIRECTS = (301, 302, 303, 307, 308)

_HINTS = {
    400: "compare the fields with the API's documentation",
    403: f"check that the token has the scope this call needs ({setting('scope')}), and that the institution is the "
    "token's",
    404: "check the path, and that the institution in it is the token's",
    405: f"check the method ({setting('method')})",
    415: f'name the type of the body: {setting("headers")} "Content-Type: …"',
}
# The vendor's own code.
_NO_PERMISSION = 40

Write = Callable[[bytes], None]
Answered = Callable[[AnswerReceived], None]


def call(
    credentials: ClientCredentials | SignedIn,
    request: ApiRequest,
    token_cache: Cache | None = None,
    run: Run = Run(),
    *,
    write: Write,
    answered: Answered = ignore,
    wanted: Wanted = Wanted(),
) -> None:
    """Call the API, and pass its answer on as it comes. After the first 401, try another token, if there is one.

    Args:
        credentials: the client's own, or a login's. Their time-out is how long an answer may take to begin, and how
            long it may pause.
        request: the request.
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

    scope: str | None = None

    def obtain(wanted: Wanted) -> str:
        nonlocal scope
        response = credentials.obtain(token_cache, wanted, run)
        scope = response.scope
        return bearer_token(response)

    def another(refused: str) -> str:
        return obtain(Wanted(wanted.min_ttl, not_token=refused))

    with HttpClient(credentials.timeout, credentials.ca_bundle) as http:
        under_way = _Call(request, http, obtain(wanted), another, run, write, answered)
        try:
            under_way.run()
        except RefusedError as failure:
            if failure.status != 403 or "insufficient_scope" not in " ".join(failure.marked.details):
                raise
            has = f"the token's scope is '{scope}'" if scope else "the token's scope is not enough"
            hint = f"{has}; name the one that this call needs too, with {setting('scope')}"
            raise failure.but(hint=hint) from None


class _Call:
    """One call with its pages and its one second attempt; ``token`` is the last one that was sent."""

    def __init__(
        self,
        request: ApiRequest,
        http: HttpClient,
        token: str,
        another: Callable[[str], str],
        run: Run,
        write: Write,
        answered: Answered,
    ) -> None:
        self.token = token
        self._request = request
        self._http = http
        self._another = another
        self._first_token = token
        self._asked_for_another = False
        self._run = run
        self._write = write
        self._answered = answered

    def run(self) -> None:
        """Ask, and go on as long as there are further pages."""
        offset: int | None = None
        for _ in range(MOST_PAGES):
            with self._ask(offset) as answer:
                kept = self._pass_on(answer)
            if answer.status >= 400:
                is_another = self.token != self._first_token
                raise _failure(self._request.method, answer.whole(kept), is_another_token=is_another)
            if not self._request.paginate:
                return
            # Counted from the offset that was asked for; no redirect changes it, see `_redirected`.
            offset = _next_offset(offset_of(answer.url) if offset is None else offset, kept, self._run)
            if offset is None:
                return
            if not kept.endswith(b"\n"):
                self._write(b"\n")
        raise UnusableAnswerError(
            f"there are more than {MOST_PAGES:,} pages",
            hint=f"ask for larger pages with limit, or go on with offset={offset}",
        )

    def _ask(self, offset: int | None) -> StreamedAnswer:
        """Ask; when the token is refused for the first time, ask again with another one, if there is one."""
        answer = self._follow(offset)
        if answer.status != 401 or self._asked_for_another:
            return answer
        self._asked_for_another = True
        with ExitStack() as stack:
            stack.enter_context(answer)
            self._run.emit(TryingAgain(self._why_again(answer), 0.0, 2, 2))
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
        """Ask, and follow redirects within the API's origin."""
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
        """Return the URL that a redirect leads to, or raise an error if it must not be followed."""
        location, said = answer.headers.get("location", ""), answer.whole(b"").said
        url = None
        if location:
            with suppress(ValueError):  # it is no URL
                url = own_url(urljoin(answer.url, location), self._request.base)
        if url is None:
            where = f"to {said(location or '(nowhere)', 200)}"
            hint = "check the path; a redirect often means a login page or a retired address"
            raise self._no_redirect(answer, f"{where}, and the token is only for {self._request.origin}", hint)
        if self._request.method not in SAFE_METHODS:
            what = f"to {said(url, 200)}, and a {self._request.method} is not sent twice without being asked for"
            raise self._no_redirect(answer, what, "call that path, if it is the right one")
        if self._request.paginate and offset_of(url) != offset_of(answer.url):
            what = f"to {said(url, 200)}, without the offset that was asked for"
            raise self._no_redirect(answer, what, f"call that path, or leave {setting('paginate')} out")
        return url

    def _no_redirect(self, answer: StreamedAnswer, what: str, hint: str) -> UnusableAnswerError:
        from banno_creds.http.answers import exchange

        details = exchange(answer.whole(b""))
        return UnusableAnswerError(f"the API redirects {what}", hint=hint, details=details)

    def _pass_on(self, answer: StreamedAnswer) -> bytes:
        """Pass an answer on; return as much of it as is still needed."""
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
        return AnswerReceived(answer.status, answer.reason, answer.seconds, answer.request_id)


def _head(answer: StreamedAnswer) -> bytes:
    """Return the status line and headers as they came, without those of a compression that was undone."""
    undone = (b"content-encoding", b"content-length") if answer.encoding else ()
    # The raw phrase: this is part of the result, and must be complete.
    lines = [f"{answer.version} {answer.status} {answer.raw_reason}".rstrip().encode("latin-1", "replace")]
    lines += [b"%s: %s" % pair for pair in answer.raw_headers if pair[0].lower() not in undone]
    return b"".join(line + b"\r\n" for line in (*lines, b""))


# --- The answer ---


def _failure(method: str, answer: Answer, *, is_another_token: bool) -> BannoCredsError:
    """Return the error for a status of 400 or more; the answer itself was passed on."""
    from banno_creds.http.answers import unavailable, words

    details = (f"{method} {answer.url}", *words(answer))
    if answer.status == 429 or answer.status >= 500:
        return unavailable(answer).but(details=details)
    if challenge := answer.headers.get("www-authenticate"):
        details += (f"www-authenticate: {answer.said(challenge, 200)}",)
    what = "the API refused the request"
    hint = _HINTS.get(answer.status, "look at what the API says on standard output, and at its documentation")
    if answer.status == 401:
        what = "the API refused another token too"
        if not is_another_token:
            what = "the API refused the token, and there is no other at the moment"
            details += ("it was fetched a moment ago, after another 401, or the server gave the same one again",)
        hint = (
            f"check that {setting('api_base')} and the token endpoint belong together, and what the token contains: "
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


# --- Pages ---


def _next_offset(asked: int, page: bytes, run: Run) -> int | None:
    """Return the next page's offset; None if this is the last page, or does not say whether it is.

    The vendor's pages are asked for with ``limit`` and ``offset``, and their answers have a ``totalCount``.
    """
    total, items = _extent(page)
    if total is None or items is None:
        run.warn(
            "the answer does not say whether there are further pages: it has no totalCount beside one list",
            "this call may have no pages; look it up in the API's documentation",
        )
        return None
    offset = asked + items
    if offset >= total:
        return None
    if not items:
        raise UnusableAnswerError(
            f"the page with offset={asked} is empty, although its totalCount is {total}",
            hint="check limit and offset; the pages before it were passed on",
        )
    return offset


def _extent(page: bytes) -> tuple[int | None, int | None]:
    """Return how many items there are in total, and on this page."""
    try:
        members = _members(page)
    except ValueError:
        return None, None
    total = members.get("totalCount")
    lists = [value for value in members.values() if isinstance(value, list)]
    known = isinstance(total, int) and not isinstance(total, bool)
    return (total if known else None), (len(lists[0]) if len(lists) == 1 else None)


def _members(content: bytes) -> Mapping[str, Any]:
    """Return the members of a JSON object, read as leniently as the API's other readers do."""
    try:
        value = loads(content)
    except RecursionError:
        raise ValueError from None
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - data, not types
    return value
