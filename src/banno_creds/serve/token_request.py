"""A token request of a program on this machine, read and checked (RFC 6749 sections 2.3.1 and 4.4.2)."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote_plus

from banno_creds.serve.answers import RefusedRequestError

if TYPE_CHECKING:
    from banno_creds.redirection.loopback_server import Request

_MOST_PARAMETERS = 50
_FORM = "application/x-www-form-urlencoded"


class TokenRequest(NamedTuple):
    """Who asks, and for what; the secret is not checked yet.

    ``secrets`` has its two readings: many programs do not encode what they put into the header Authorization.
    """

    client_id: str
    secrets: tuple[str, ...]
    scope: tuple[str, ...]
    resource: tuple[str, ...]

    def __repr__(self) -> str:
        return f"TokenRequest(client_id={self.client_id!r}, scope={self.scope!r})"


def read_token_request(request: Request) -> TokenRequest:
    """Read a token request.

    Raises:
        RefusedRequestError: it has no client ID and secret, has them twice, or cannot be read.
    """
    media_type = " ".join(request.values("content-type")).partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise RefusedRequestError("invalid_request", f"send the request as {_FORM}", 415)
    form = _form(request.body)
    client_id, secrets = _one(form, "client_id"), tuple(form.get("client_secret", ()))
    by_header = _basic(request.values("authorization"))
    if by_header is not None:
        if secrets or (client_id and client_id != by_header[0]):
            raise RefusedRequestError("invalid_request", "client ID and secret are given twice: leave one of them")
        client_id, secrets = by_header
    if "client_assertion" in form:
        raise RefusedRequestError(
            "invalid_client", "this endpoint takes a client_secret and no assertion: it signs for you", 401
        )
    if not client_id or not any(secrets):
        raise RefusedRequestError(
            "invalid_client", "give a profile's name as client_id, and the client_secret of this endpoint", 401
        )
    return TokenRequest(client_id, secrets, tuple(_one(form, "scope").split()), tuple(form.get("resource", ())))


def check_grant(request: Request) -> None:
    """Check what grant is asked for, once it is known who asks.

    Raises:
        RefusedRequestError: it is not this endpoint's one.
    """
    grant_type = _one(_form(request.body), "grant_type")
    if not grant_type:
        raise RefusedRequestError("invalid_request", "grant_type is missing: it is client_credentials here")
    if grant_type != "client_credentials":
        raise RefusedRequestError("unsupported_grant_type", "the grant_type is client_credentials here")


def _form(body: bytes) -> dict[str, list[str]]:
    """Return a form's parameters; one without a value counts as left out (RFC 6749 section 3.2)."""
    form: dict[str, list[str]] = {}
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError:  # bytes that no form has, broken UTF-8, too many parameters
        raise RefusedRequestError("invalid_request", "the form cannot be read") from None
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    if any(len(values) > 1 for name, values in form.items() if name != "resource"):
        raise RefusedRequestError("invalid_request", "a parameter is there twice")
    return form


def _one(form: dict[str, list[str]], name: str) -> str:
    return form[name][0] if name in form else ""


def _basic(values: list[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return client ID and secret of a header (RFC 6749 section 2.3.1, RFC 7617); None if there is none."""
    if not values:
        return None
    scheme, _, credentials = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "basic":
        raise RefusedRequestError("invalid_client", "the scheme of the header Authorization is Basic here", 401)
    try:
        text = b64decode(credentials.strip(), validate=True).decode()
    except (ValueError, binascii.Error):
        raise RefusedRequestError("invalid_client", "the header Authorization cannot be read", 401) from None
    client_id, colon, secret = text.partition(":")
    if not colon:
        raise RefusedRequestError("invalid_client", "the header Authorization has no secret", 401)
    return unquote_plus(client_id), (secret, unquote_plus(secret))
