"""A hostile provider of a login: whatever answer echoes a secret, and wherever, no person and no file gets it."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import pytest

from banno_creds.storage import own_files
from tests.oidc import Tool, grow_older, tool_for
from tests.servers.openid_provider import OpenIdProvider, signed

from .echoes import SPELLINGS, tells

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.servers.loopback import Request, Says
    from tests.servers.openid_provider import Claims

CLIENT_SECRET = "7Fjfp0ZBr1KtDRbnfVdmIw+aB/cD%eF"


class Hostile(OpenIdProvider):
    """It echoes the secrets that it saw, as `place` says.

    Attributes:
        seen: the secrets by their names.
        place: changes the provider before it answers; it is given what to echo.
    """

    def __init__(self, key: keys.PrivateKey, name: str, spelling: str) -> None:
        super().__init__(key, "ES256")
        self.name, self.spelling = name, spelling
        self.seen: dict[str, str] = {}
        self.place: Callable[[Hostile, str], None] = lambda *_: None
        self.head: Callable[[str], dict[str, str]] = lambda _: {}

        self._before = dict(vars(self))

    def forget(self) -> None:
        """Say nothing more of what was seen so far."""
        self.seen = {}
        for member in ("changes", "id_token", "failures", "reason", "head", "pushing", "callback", "userinfo"):
            setattr(self, member, self._before[member])
        for member in ("revocation", "revocations", "jwks"):
            setattr(self, member, self._before[member])

    @property
    def echo(self) -> str:
        """The secret in its spelling, as far as it was seen."""
        return SPELLINGS[self.spelling](self.seen.get(self.name, ""))

    def answer(self, request: Request) -> Says:
        form = {name: values[-1] for name, values in request.form.items()} if request.method == "POST" else {}
        for name in ("code", "code_verifier", "refresh_token"):
            if name in form:
                self.seen[name] = form[name]
        if "client_assertion" in form:
            self.seen["signature"] = form["client_assertion"].rpartition(".")[2]
        if request.token:
            self.seen["access_token"] = request.token
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            self.seen["client_secret"] = unquote_plus(b64decode(credentials).decode().partition(":")[2])
        if form.get("token_type_hint") == "refresh_token":
            self.seen["refresh_token"] = form["token"]
        if self.echo:
            self.place(self, self.echo)
        said = super().answer(request)
        granted = json.loads(said.body) if said.body.startswith(b"{") else {}
        if request.path == "/token" and "access_token" in granted:
            self.seen["access_token"] = granted["access_token"]
        return replace(said, headers={**said.headers, **self.head(self.echo)}) if self.echo else said


def _claims(**members: str) -> Callable[[Hostile, str], None]:
    """Put what is echoed, in the place of {}, into claims of the id_token."""

    def place(provider: Hostile, it: str) -> None:
        def id_token(claims: Claims) -> str:
            echoes = {name: text.replace("{}", it) for name, text in members.items()}
            return signed({**claims, **echoes}, provider.key, provider.alg)

        provider.id_token = id_token

    return place


def _refusal(it: str) -> bytes:
    return json.dumps({"error": "invalid_grant", "error_description": f"you sent {it}", "error_uri": it}).encode()


def _set(name: str, make: Callable[[str], object]) -> Callable[[Hostile, str], None]:
    return lambda provider, it: setattr(provider, name, make(it))


def _fails(make: Callable[[str], tuple[int, bytes]]) -> Callable[[Hostile, str], None]:
    def place(provider: Hostile, it: str) -> None:
        provider.failures = [make(it)] * 3

    return place


def _calls_back(**members: str) -> Callable[[Hostile, str], None]:
    def place(provider: Hostile, it: str) -> None:
        provider.callback = lambda answer: {
            **answer,
            **{name: each.replace("{}", it) for name, each in members.items()},
        }

    return place


PLACES: dict[str, Callable[[Hostile, str], None]] = {
    "members": _set("changes", lambda it: {"note": it, it: "a", "scope": f"openid {it}", "token_type": it}),
    "nested": _set("changes", lambda it: {"a": {"access_token": it, "b": [it, {"id_token": it}]}}),
    "claims": _claims(name="Riley {}", email="{}", note="{}", access_token="{}"),
    "nonce": _claims(nonce="{}"),
    "aud": _claims(aud="{}"),
    "iss": _claims(iss="https://{}"),
    "exp": _claims(exp="{}"),
    "header": lambda provider, it: setattr(
        provider, "id_token", lambda claims: signed(claims, provider.key, provider.alg, kid=it, typ=it)
    ),
    "no id_token": _set("id_token", lambda it: lambda _: f"{it}.{it}.{it}"),
    "refusal": _fails(lambda it: (400, _refusal(it))),
    "error code": _fails(lambda it: (401, json.dumps({"error": it}).encode())),
    "unavailable": _fails(lambda it: (503, f"no {it}".encode())),
    "reason": _set("reason", lambda it: it.encode("ascii", "replace").decode()),
    "headers": _set("head", lambda it: lambda _: {"x-request-id": it, "content-type": f"a/{it}"}),
    "PAR": _set("pushing", lambda it: (400, _refusal(it))),
    "request_uri": _set(
        "pushing", lambda it: (201, json.dumps({"request_uri": f"urn:{it}", "expires_in": 9}).encode())
    ),
    "callback": _calls_back(error="access_denied", error_description="no {}", error_uri="https://a/{}"),
    "callback's error": _calls_back(error="{}"),
    "callback's names": lambda provider, it: setattr(provider, "callback", lambda answer: answer | {it: "a"}),
    "callback's iss": _calls_back(iss="https://{}"),
    "userinfo": _set("userinfo", lambda it: {"sub": "8a1c0a52-riley", "email": it, it: [it]}),
    "userinfo of another": _set("userinfo", lambda it: {"sub": it}),
    "userinfo as a JWT": lambda provider, it: setattr(
        provider, "userinfo", signed({"sub": "8a1c0a52-riley", "iss": f"https://{it}"}, provider.key, provider.alg)
    ),
    "revocation": _set("revocation", lambda it: (400, _refusal(it))),
    "second revocation": _set(
        "revocations", lambda it: {"access_token": (400, _refusal(it).replace(b"_grant", b"_request"))}
    ),
    "revocation, unavailable": _set("revocation", lambda it: (503, f"no {it}".encode())),
    "jwks": _set("jwks", lambda it: {"keys": [{"kty": it, "kid": it, "alg": it}], it: it}),
}
NAMES = ("code", "refresh_token", "client_secret", "signature", "access_token")


COMMANDS = (["login", "-o", "json"], ["whoami"], ["token", "-v"], ["whoami", "--userinfo"], ["logout"])


CASES = [
    *((place, name, "as it is") for place in PLACES for name in NAMES),
    *((place, "code_verifier", "base64 of more") for place in [*PLACES][::4]),
    *((place, "client_secret", "percent") for place in [*PLACES][::3]),
]


@pytest.mark.once
@pytest.mark.parametrize(("place", "name", "spelling"), CASES)
def test_no_answer_of_a_provider_tells_a_secret(
    cli: Cli,
    ec_key: keys.PrivateKey,
    ec_pem: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
    place: str,
    name: str,
    spelling: str,
) -> None:
    """Sign in, get a token, ask who it is, renew, sign out; the provider is hostile from the beginning, and later."""
    del pauses
    if name == "client_secret":
        monkeypatch.setenv("BANNO_CREDS_CLIENT_SECRET", CLIENT_SECRET)
    is_token = name.endswith("_token")
    for begins in ("at once", "after the login"):
        monkeypatch.setenv("BANNO_CREDS_STATE_DIR", str(tmp_path / begins))
        with Hostile(ec_key, name, spelling) as provider:
            tool = _tool(cli, provider, ec_pem, monkeypatch, by_secret=name == "client_secret")
            if begins == "at once":
                provider.place = PLACES[place]
            said, secrets = "", set()
            for command in (
                ["login", "-o", "json"],
                ["whoami"],
                ["token", "-v"],
                ["whoami", "--userinfo"],
                ["logout"],
            ):
                provider.forget()  # no program knows what another one sent
                if command[0] == "login":
                    result = tool.log_in(*command[1:], *(["--par"] if place in _PUSHED else []))
                    if result.code:
                        assert begins == "at once"
                        command = ["logout"]
                    provider.place = PLACES[place]
                else:
                    if command[0] == "token":
                        grow_older(10_000)
                    result = tool.run(*command)
                said += result.stderr + ("" if command[0] in ("login", "token") else result.stdout)
                said += "" if is_token else result.stdout + _kept(folder)
                secrets.add(provider.seen.get(name, ""))
                if command[0] == "logout":
                    break
            said += "".join(page.text + str(page.url) for page in tool.browser.pages if "code=" not in str(page.url))
        cookies = {page.request.headers.get("cookie", "=").partition("=")[2] for page in tool.browser.pages}
        assert begins == "at once" or any(cookies)
        assert not any(cookie in said for cookie in cookies if cookie)
        secrets.discard("")
        assert secrets or begins == "at once"
        assert "Traceback" not in said
        assert [tells(said, secret, spelling) for secret in secrets] == [""] * len(secrets), said


_PUSHED = ("PAR", "request_uri", "callback", "callback's error", "callback's iss", "callback's names")


def _kept(folder: Path) -> str:
    state = own_files.state_folder()
    files = [file for place in (folder, state) if place for file in Path(place).rglob("*")]
    return "".join(file.read_text("latin-1") for file in files if file.is_file())


def _tool(cli: Cli, provider: Hostile, pem: Path, monkeypatch: pytest.MonkeyPatch, *, by_secret: bool) -> Tool:
    tool = tool_for(cli, provider, pem, monkeypatch)
    if by_secret:
        tool.client = tool.client[:2]
    return tool
