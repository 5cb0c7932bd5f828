"""An authorization server with a discovery document, keys and a token endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .loopback import LoopbackServer, Request, Says, says_json

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

WELL_KNOWN = "/.well-known/openid-configuration"
TOKEN = "canaryAccessToken_" + "7" * 40
NOT_THERE = Says(404, b"", {"content-type": "text/plain"})


def granted(**members: Any) -> Says:
    """Return the answer that grants a token."""
    return says_json(access_token=TOKEN, token_type="Bearer", expires_in=600, **members)


class Bank(LoopbackServer):
    """It says of itself and answers what a test tells it to.

    Attributes:
        metadata: its discovery document.
        answers: answers by path, in the place of the usual ones.
        token: makes the answer to a token request from its form.
        asked: methods and paths, in order.
        forms: the token requests.
        on_request: called with each path before it is answered.
    """

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        super().__init__(context=context, host=host)
        self.answers: dict[str, Says] = {}
        self.token: Callable[[dict[str, str]], Says] = lambda _: granted(scope="openid")
        self.asked: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.on_request: Callable[[str], object] = lambda _: None
        self.metadata: dict[str, Any] = {
            "issuer": self.origin,
            "token_endpoint": self.url,
            "jwks_uri": f"{self.origin}/jwks",
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
            "scopes_supported": ["openid"],
        }

    def answer(self, request: Request) -> Says:
        self.asked.append(f"{request.method} {request.path}")
        self.on_request(request.path)
        says = self._say(request)
        return Says(says.status, says.body, {**says.headers, "x-request-id": f"id-{len(self.asked)}"})

    def _say(self, request: Request) -> Says:
        if request.path == "/token":
            self.forms.append({name: values[0] for name, values in request.form.items()})
            return self.token(self.forms[-1])
        if request.path in self.answers:
            return self.answers[request.path]
        if request.path == WELL_KNOWN:
            return says_json(**self.metadata)
        return says_json(keys=[{"kty": "RSA"}]) if request.path == "/jwks" else NOT_THERE
