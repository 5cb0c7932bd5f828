"""The access token on an httpx client's requests (RFC 6750 section 2.1): the API's alone, renewed when refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from banno_creds.config import DEFAULT_API_BASE, check_origin
from banno_creds.errors import ConfigurationError
from banno_creds.tokens.response import bearer_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from banno_creds.tokens.response import TokenResponse
    from banno_creds.tokens.token_source import TokenSource

_UNAUTHORIZED = 401


class BearerAuth(httpx.Auth):
    """Puts the token on each request of an `httpx.Client` or `httpx.AsyncClient`, and renews it once after a 401.

    The token goes to one origin. A request to another one is an error, and a redirect elsewhere goes without it.

    After a 401 the same request is sent once more with a new token. A body that comes from a generator or an open
    file can be sent once only: there the 401 is the answer, and the next request has the new token.

    Args:
        source: where tokens come from.
        origin: scheme, host and port of the API.

    Raises:
        ConfigurationError: the origin cannot be meant.
    """

    def __init__(self, source: TokenSource, *, origin: str = DEFAULT_API_BASE) -> None:
        try:
            self._origin = _origin(httpx.URL(check_origin(origin, "the API's origin")))
        except httpx.InvalidURL:
            raise ConfigurationError(
                f"the API's origin {origin!a} names no host that can be", hint="check its spelling"
            ) from None
        self._source = source

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a token, and after a 401 with another one; called by httpx."""
        self._check(request)
        authorization = _put(request, self._source.token())
        response = yield request
        if self._wants_another(request, response, authorization):
            renewed = self._source.token()
            if _put(request, renewed) != authorization:
                yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same for an `httpx.AsyncClient`, under asyncio or trio."""
        self._check(request)
        authorization = _put(request, await self._source.async_token())
        response = yield request
        if self._wants_another(request, response, authorization):
            renewed = await self._source.async_token()
            if _put(request, renewed) != authorization:
                yield request

    def _check(self, request: httpx.Request) -> None:
        origin = _origin(request.url)
        if origin != self._origin:
            raise ConfigurationError(
                f"the token is for {self._origin} alone, and the request goes to {origin}",
                hint="use a client without this auth there, or name the API's origin with BearerAuth(origin=…)",
            )

    def _wants_another(self, request: httpx.Request, response: httpx.Response, authorization: str) -> bool:
        """Whether the token was refused, and the request can be sent again."""
        if response.status_code != _UNAUTHORIZED:
            return False
        # The answer may be another server's, to which a redirect led, without the token.
        if response.request.headers.get("Authorization") != authorization:
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
    """Scheme, host and port, written in one way: lower case, without the scheme's own port.

    A user name in a request's URL says nothing of where it goes, and httpx sends none beside an auth.
    """
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
