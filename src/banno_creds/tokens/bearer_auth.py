"""The access token on the requests of an httpx client (RFC 6750 section 2.1): for one API, renewed when refused."""

from __future__ import annotations

import sys
from contextlib import suppress
from traceback import walk_tb
from typing import TYPE_CHECKING

import httpx

from banno_creds.checks import check_origin, check_type
from banno_creds.config import DEFAULT_API_BASE
from banno_creds.errors import ConfigurationError
from banno_creds.tokens.response import bearer_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from banno_creds.tokens.response import TokenResponse
    from banno_creds.tokens.token_source import TokenSource

_UNAUTHORIZED = 401
_SENDER = "httpx._client"


class BearerAuth(httpx.Auth):
    """Puts the token on each request of an `httpx.Client` or `httpx.AsyncClient`, and renews it once after a 401.

    The token goes to one origin. A request to another one is an error, and a redirect to another one goes without it.

    After a 401 the same request is sent once more with a new token. A body from a generator or an open file can be
    sent only once: the 401 is then the answer, and the next request has the new token.

    Args:
        source: the source of the tokens.
        origin: scheme, host and port of the API.

    Raises:
        ConfigurationError: the origin is not one, or credentials may not be sent there.
    """

    def __init__(self, source: TokenSource, *, origin: str = DEFAULT_API_BASE) -> None:
        if not all(callable(getattr(source, name, None)) for name in ("token", "async_token", "invalidate")):
            raise ConfigurationError("source is no TokenSource", hint="write BearerAuth(TokenSource(config))")
        check_type("origin", origin, str)
        try:
            self._origin = _origin(httpx.URL(check_origin(origin, "the API's origin")))
        except httpx.InvalidURL:
            raise ConfigurationError(
                f"the API's origin {origin!a} names no valid host", hint="check its spelling"
            ) from None
        self._source = source

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a token, and after a 401 with another one; httpx calls this."""
        self._check(request)
        authorization = _put(request, self._source.token())
        response = None
        with suppress(GeneratorExit):
            response = yield request
        if self._wants_another(request, response, authorization) and (
            _put(request, self._source.token()) != authorization
        ):
            yield request

    # For another auth that delegates to this one: httpx's own would send no token, in silence.
    auth_flow = sync_auth_flow

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same for an `httpx.AsyncClient`, under asyncio or trio."""
        self._check(request)
        authorization = _put(request, await self._source.async_token())
        response = None
        with suppress(GeneratorExit):
            response = yield request
        if self._wants_another(request, response, authorization) and (
            _put(request, await self._source.async_token()) != authorization
        ):
            yield request

    def _check(self, request: httpx.Request) -> None:
        origin = _origin(request.url)
        if origin != self._origin:
            raise ConfigurationError(
                f"the token is only for {self._origin}, and the request goes to {origin}",
                hint="use a client without this auth there, or name the API's origin with BearerAuth(origin=…)",
            )

    def _notice_hidden(self, authorization: str) -> None:
        """Notice a 401 that httpx does not show because a response hook raised, such as ``raise_for_status``.

        httpx calls the hooks before this flow sees the response, and then only closes the flow. The response stands
        in httpx's own frame, which the hook's error went through; nothing else is looked at.
        """
        failure = sys.exc_info()[1]
        for frame, _ in walk_tb(None if failure is None else failure.__traceback__):
            response = frame.f_locals.get("response") if frame.f_globals.get("__name__") == _SENDER else None
            if type(response) is httpx.Response and self._is_refused(response, authorization):
                self._source.invalidate(authorization.partition(" ")[2])
                return

    def _is_refused(self, response: httpx.Response, authorization: str) -> bool:
        # A redirect may have led to another server, and went there without the token.
        return (
            response.status_code == _UNAUTHORIZED and response.request.headers.get("Authorization") == authorization
        )

    def _wants_another(self, request: httpx.Request, response: httpx.Response | None, authorization: str) -> bool:
        """Return whether the token was refused, and the request can be sent again."""
        if response is None:  # httpx closed the flow
            self._notice_hidden(authorization)
            return False
        if not self._is_refused(response, authorization):
            return False
        self._source.invalidate(authorization.partition(" ")[2])
        try:
            _ = request.content
        except httpx.RequestNotRead:
            return False
        return True


def _put(request: httpx.Request, response: TokenResponse) -> str:
    """Put a token on a request."""
    authorization = f"Bearer {bearer_token(response)}"
    request.headers["Authorization"] = authorization
    return authorization


def _origin(url: httpx.URL) -> str:
    """Return scheme, host and port in lower case, without the scheme's default port.

    A user name in a request's URL is ignored, as httpx ignores it if there is an auth.
    """
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
