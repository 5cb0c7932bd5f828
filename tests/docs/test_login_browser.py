"""A real browser walks the whole login; and that browser itself, without which none of this would be proven."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_urlsafe
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from banno_creds.redirection.certificate import localhost_certificate
from banno_creds.sandbox.users import DEFAULT_PASSWORD, DEFAULT_USERS, INSTITUTION_ZERO
from tests.browser import REQUIRE_BROWSER, decide, left_behind
from tests.conftest import CLIENT_ID, write_private
from tests.person import free_port, sent_out
from tests.servers.files import FileServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cli, Result

pytestmark = pytest.mark.once

# --- the browser itself, against a provider and an application of four pages ---


def spki_of(certificate: bytes) -> str:
    key = x509.load_pem_x509_certificate(certificate).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


@pytest.fixture(scope="module")
def certificate() -> trustme.LeafCert:
    return trustme.CA().issue_cert("localhost")


@pytest.fixture
def tls(certificate: trustme.LeafCert) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def opened(folder: Path, url: str, **errand: object) -> dict[str, Any]:
    """What the browser saw when it was opened as any program opens it."""
    with sent_out("tests.browser", folder, login="riley", password="p", **errand) as sent:
        subprocess.run(
            [sys.executable, "-m", "webbrowser", url], env={**os.environ, "BROWSER": sent.variable}, check=True
        )
        return sent.report()


ME = """<h1>me</h1><script>document.cookie = "a=b"; throw new Error("as told")</script>
<img src="https://elsewhere.example/pixel.png">"""


FORM = (
    "<form method=post action=/done><input name=login><input name=password type=password><button>Go</button></form>"
)


@contextmanager
def four_pages(tls: SSLContext) -> Iterator[str]:
    """The address at which a login starts that ends on `ME`."""
    with FileServer(tls) as application, FileServer() as provider:
        application.documents = {"/me": ME, "/auth/cb": f"{application.origin}/me"}
        provider.documents = {"/auth": FORM, "/done": f"{application.origin}/auth/cb?code=1"}
        yield f"{provider.origin}/auth"


@pytest.mark.usefixtures("chromium")
def test_browser_tells_what_it_saw_and_where_it_has_been(
    tmp_path: Path, tls: SSLContext, certificate: trustme.LeafCert
) -> None:
    spki = spki_of(certificate.cert_chain_pems[0].bytes())
    with four_pages(tls) as start:
        seen = opened(tmp_path, start, spki=spki, screenshot=str(tmp_path / "me.png"))

    assert (seen["authorization_url"], seen["text"]) == (start, "me")
    me = seen["url"]
    assert me.startswith("https://localhost:")
    assert me.endswith("/me")
    callback = me.replace("/me", "/auth/cb?code=1")
    assert [request for request in seen["requests"] if "/auth/cb" in request] == [callback]
    assert [(answer["url"], answer["status"]) for answer in seen["responses"]][-2:] == [(callback, 303), (me, 200)]
    assert seen["responses"][-1]["headers"]["content-type"] == "text/html"
    # Nothing but loopback is reached, and what was wanted of elsewhere is told.
    assert seen["failures"] == ["https://elsewhere.example/pixel.png net::ERR_NAME_NOT_RESOLVED"]
    assert {"type": "exception", "text": "as told"} in seen["console"]
    assert seen["storage"] == [[], [], "a=b"]
    assert seen["entries"][-2:] == [start, me]
    assert [visit["url"] for visit in seen["history"] if visit["shown"]] == [start, me]
    assert {"url": callback, "shown": False} in seen["history"]
    for scheme in ("light", "dark"):
        assert (tmp_path / f"me-{scheme}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("chromium")
def test_browser_accepts_no_certificate_but_the_one_it_was_told_of(tmp_path: Path, tls: SSLContext) -> None:
    other = spki_of(trustme.CA().issue_cert("localhost").cert_chain_pems[0].bytes())
    with four_pages(tls) as start, pytest.raises(AssertionError, match="ERR_CERT_AUTHORITY_INVALID"):
        opened(tmp_path, start, spki=other)


@pytest.mark.parametrize(
    ("chromium", "playwright_installed"), [(None, True), (None, False), ("/bin/chromium", False)]
)
@pytest.mark.parametrize("required", [True, False])
def test_missing_browser_skips_or_fails_where_skipping_is_forbidden(
    chromium: str | None, playwright_installed: bool, required: bool
) -> None:
    decision = decide(chromium=chromium, playwright_installed=playwright_installed, required=required)

    assert decision.action == ("fail" if required else "skip")
    assert "is not installed: " in decision.reason
    assert (f"{REQUIRE_BROWSER}=1" in decision.reason) is required


@pytest.mark.parametrize("required", [True, False])
def test_installed_browser_is_used_whether_required_or_not(required: bool) -> None:
    assert decide(chromium="/bin/chromium", playwright_installed=True, required=required).action == "run"


# --- the whole login, at the sandbox; that at oidc-provider is in interop/test_login.py ---


@dataclass(frozen=True)
class Sandbox:
    """A sandbox as a process of its own, with one client that has a secret."""

    issuer: str
    redirect_port: int
    secret: Path
    log: Path


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    secret, log, port = tmp_path / "client.secret", tmp_path / "sandbox.log", free_port()
    write_private(secret, token_urlsafe(24).encode())
    command = [sys.executable, "-m", "banno_creds", "sandbox", "--port", "0", "--client-id", CLIENT_ID]
    command += ["--client-secret-file", str(secret), "--redirect-uri", f"https://localhost:{port}/auth/cb"]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, encoding="utf-8") as running,
    ):
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line.startswith("sandbox ready: "), log.read_text("utf-8")
            yield Sandbox(line.split()[-1].removesuffix("/token"), port, secret, log)
        finally:
            running.kill()


def signed_in_at(
    sandbox: Sandbox, process: Cli, folder: Path, *more: str, program: str = "tests.browser", **errand: object
) -> tuple[Result, dict[str, Any]]:
    """How the command ended, and what the browser saw."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    certificate = localhost_certificate(str(state))
    options = ["--issuer", sandbox.issuer, "--client-id", CLIENT_ID, "--client-secret-file", str(sandbox.secret)]
    options += ["--redirect-uri", f"https://localhost:{sandbox.redirect_port}/auth/cb", *more]
    trusted = {"spki": certificate.spki, "certificate": certificate.path}
    with sent_out(program, folder, **{"password": DEFAULT_PASSWORD, **trusted, **errand}) as sent:
        environment = {"BANNO_CREDS_STATE_DIR": str(state), "BROWSER": sent.variable}
        result = process("login", *options, env=environment)
        return result, sent.report()


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


GRANITE = DEFAULT_USERS[1].institutions[1]


@pytest.mark.usefixtures("chromium")
def test_browser_walks_the_whole_login_with_an_institution_and_keeps_nothing_of_it(
    sandbox: Sandbox, process: Cli, tmp_path: Path
) -> None:
    picture = str(tmp_path / "me.png")
    scopes = ["--scope", "openid profile offline_access"]
    result, seen = signed_in_at(
        sandbox, process, tmp_path, *scopes, login="casey", institution=GRANITE.id, screenshot=picture
    )

    assert result.code == 0, result.stderr
    token_set = json.loads(result.stdout)
    assert claims_of(token_set["access_token"])["institutionId"] == GRANITE.id
    ours = f"https://localhost:{sandbox.redirect_port}"
    assert seen["url"] == f"{ours}/me"
    for words in ("You are signed in", "as Casey Roe", "may close this window"):
        assert words in seen["text"]
    assert (seen["failures"], seen["storage"]) == ([], [[], [], ""])
    assert [said for said in seen["console"] if said["url"].startswith(ours)] == []
    assert {urlsplit(url)[:2] for url in seen["requests"]} == {urlsplit(sandbox.issuer)[:2], urlsplit(ours)[:2]}
    [callback] = [url for url in seen["requests"] if url.startswith(f"{ours}/auth/cb?")]
    answer = dict(parse_qsl(urlsplit(callback).query))
    told = [result.stderr, sandbox.log.read_text("utf-8"), left_behind(seen)]
    for secret in (answer["code"], token_set["access_token"], token_set["id_token"], token_set["refresh_token"]):
        assert [text for text in told if secret in text] == []
    assert sandbox.secret.read_text() not in "".join(told)
    # The state was in the address of the login page; of ours, nothing stays but /me.
    stays = {*seen["entries"], *(visit["url"] for visit in seen["history"] if visit["shown"])}
    assert {url for url in stays if url.startswith(ours)} == {f"{ours}/me"}


@pytest.mark.usefixtures("chromium")
def test_browser_is_told_that_the_login_came_to_nothing(sandbox: Sandbox, process: Cli, tmp_path: Path) -> None:
    result, seen = signed_in_at(sandbox, process, tmp_path, login="riley", answer="cancel")

    assert (result.code, result.stdout) == (4, "")
    assert "access_denied" in result.stderr
    assert "You are not signed in" in seen["text"]
    assert "state=" not in seen["url"]


@pytest.mark.parametrize(("login", "institution"), [("riley", None), ("casey", GRANITE.id), ("robin", None)])
def test_each_test_user_signs_in_at_the_sandbox(
    login: str, institution: str | None, sandbox: Sandbox, process: Cli, tmp_path: Path
) -> None:
    result, seen = signed_in_at(
        sandbox, process, tmp_path, program="tests.person", login=login, institution=institution
    )

    assert result.code == 0, result.stderr
    user = next(user for user in DEFAULT_USERS if user.username == login)
    token_set = json.loads(result.stdout)
    expected = institution or (user.institutions[0].id if user.institutions else INSTITUTION_ZERO)
    assert claims_of(token_set["access_token"])["institutionId"] == expected
    assert claims_of(token_set["id_token"])["sub"] == user.sub
    assert seen["url"] == f"https://localhost:{sandbox.redirect_port}/me"
