"""Canaries: a private key, a passphrase, an assertion and a token, looked for wherever they must not be."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from banno_creds import flow, keys
from banno_creds.config import ClientConfig, KeySource
from banno_creds.errors import RefusedError

from .conftest import CLIENT_ID, Says, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from banno_creds.steps import Step

    from .conftest import Cli, ScriptedServer

PASSPHRASE = b"canary passphrase 5f1d"
ACCESS_TOKEN = "canaryAccessToken_" + "9" * 40
JWT_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnkiOiJqd3QifQ.Y2FuYXJ5LXNpZ25hdHVyZQ"


def _granted(token: str) -> Says:
    return Says(body=json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 600}).encode())


def _json(**members: object) -> bytes:
    return json.dumps(members).encode()


# What a server may answer, careless and hostile ones among them: some echo what they were sent.
ANSWERS = {
    "granted": _granted(ACCESS_TOKEN),
    "granted a JWT": _granted(JWT_TOKEN),
    "no token_type": Says(body=_json(access_token=ACCESS_TOKEN)),
    "cut off": Says(body=b'{"access_token": "' + ACCESS_TOKEN.encode()),
    "repeated member": Says(body=b'{"access_token":"' + ACCESS_TOKEN.encode() + b'","a":1,"a":2}'),
    "token with a blank": _granted(ACCESS_TOKEN + " x"),
    "DPoP": Says(body=_json(access_token=ACCESS_TOKEN, token_type="DPoP", expires_in="soon")),
    "an array": Says(body=_json(access_token=ACCESS_TOKEN).join([b"[", b"]"])),
    "with 201": Says(status=201, body=_json(access_token=ACCESS_TOKEN, token_type="Bearer")),
    "refused": Says(status=401, body=_json(error="invalid_client", error_description="client authentication failed")),
    "no OAuth error": Says(status=400, body=_json(access_token=ACCESS_TOKEN)),
    "HTML": Says(
        status=200, headers={"content-type": "text/html"}, body=b"<title>" + JWT_TOKEN.encode() + b"</title>"
    ),
    "redirect": Says(status=302, headers={"location": f"https://elsewhere.example/?t={JWT_TOKEN}"}),
    "unavailable": Says(status=500, body=ACCESS_TOKEN.encode()),
}


def _secrets_of(key: keys.PrivateKey, pem: bytes) -> set[str]:
    secrets = {PASSPHRASE.decode(), ACCESS_TOKEN, JWT_TOKEN, JWT_TOKEN.rpartition(".")[2]}
    for text in (pem, key.pem()):
        secrets |= {line for line in text.decode().splitlines() if len(line) > 20 and not line.startswith("-")}
    return secrets


def _assert_silent(said: str, secrets: Iterable[str]) -> None:
    for secret in secrets:
        assert secret not in said


@pytest.mark.parametrize("form", ["json", "token", "header", "env"])
@pytest.mark.parametrize("name", ANSWERS)
def test_no_step_and_no_error_tells_a_secret(
    cli: Cli, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    key = keys.generate("ec")
    pem = key.pem(PASSPHRASE)
    path = write_private(tmp_path / "key.pem", pem)
    server.says(ANSWERS[name])
    ask = ["client-assertion", "--client-id", CLIENT_ID, "--private-key", str(path), "--token-endpoint", server.url]
    result = cli(*ask, "--passphrase-file", "-", "-o", form, "--curl", stdin=PASSPHRASE)

    sent = {request.form["client_assertion"][0] for request in server.requests}
    signatures = {assertion.rpartition(".")[2] for assertion in sent}
    assert sent
    _assert_silent(result.stderr, _secrets_of(key, pem) | sent | signatures)
    if result.code:
        assert result.stdout == ""


@pytest.mark.parametrize("wrapped", [0, 20, 60])
def test_a_server_that_echoes_the_assertion_does_not_make_us_show_it(cli: Cli, rsa_pem: Path, wrapped: int) -> None:
    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            self.server.seen = form.rpartition("client_assertion=")[2]  # type: ignore[attr-defined]
            if wrapped:  # the last of it, where the signature is
                end = form[-400:]
                form = "\n".join(end[i : i + wrapped] for i in range(0, len(end), wrapped))
            body = _json(error="invalid_client", error_description=form, error_uri=form)
            self.send_response(400)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Echo) as echo:
        threading.Thread(target=echo.handle_request, daemon=True).start()
        ask = ["client-assertion", "--client-id", "a", "--private-key", str(rsa_pem)]
        result = cli(*ask, "--token-endpoint", f"http://127.0.0.1:{echo.server_port}/")
        seen: str = echo.seen  # type: ignore[attr-defined]
    assert result.code == 4
    assert seen.count(".") == 2
    signature = seen.rpartition(".")[2]
    squeezed = "".join(result.stderr.split())
    assert not any(signature[i : i + 16] in squeezed for i in range(len(signature) - 16))
    assert ("(left out: the server echoes" if wrapped else "client_assertion=(a JWT)") in result.stderr


@pytest.mark.parametrize("command", [["client-assertion"], ["token", "-v"]], ids=lambda command: str(command[0]))
def test_a_status_line_that_echoes_the_signature_does_not_make_us_show_it(
    cli: Cli, ec_pem: Path, command: list[str]
) -> None:
    seen: list[str] = []

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.rfile.read(int(self.headers["content-length"])).decode().rpartition(".")[2])
            body = _json(access_token=ACCESS_TOKEN, token_type="Bearer", expires_in=600)
            self.send_response(200, seen[0])
            self.send_header("x-request-id", f"id {seen[0]}")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Echo) as echo:
        threading.Thread(target=echo.handle_request, daemon=True).start()
        ask = ["--client-id", "a", "--private-key", str(ec_pem)]
        result = cli(*command, *ask, "--token-endpoint", f"http://127.0.0.1:{echo.server_port}/")
    assert result.code == 0
    assert not any(seen[0][i : i + 16] in result.stderr for i in range(len(seen[0]) - 15))
    left_out = "(left out: the server echoes the assertion)"
    assert f"200 {left_out} in " in result.stderr
    assert f"x-request-id {left_out}" in result.stderr


@pytest.mark.parametrize("secret", ["short", "exactly-sixteen!", "one-more-than-16.", "x" * 10 + "y" * 30])
def test_words_that_echo_a_secret_of_any_length_are_left_out(secret: str) -> None:
    wrapped = "\n".join(secret)
    error = RefusedError(f"No {secret}", error=secret, status=400, details=(f"you sent {wrapped}", "400 from here"))
    error.leave_out(secret)
    left_out = "(left out: the server echoes the assertion)"
    assert (error.message, error.args, error.error) == (left_out, (left_out,), left_out)
    assert error.details == (left_out, "400 from here")


def test_no_repr_tells_a_secret(server: ScriptedServer, tmp_path: Path) -> None:
    server.says(_granted(JWT_TOKEN))
    key = keys.generate("rsa")
    pem = key.pem()
    source = KeySource("a variable", content=pem)
    config = ClientConfig(CLIENT_ID, source, token_endpoint=server.url)
    steps: list[Step] = []
    response = flow.fetch_token(config, steps.append)
    signer = flow.load_signer(config)

    [request] = server.requests
    assertion = request.form["client_assertion"][0]
    said = "\n".join(map(repr, [source, config, response, signer, signer.key, key, *steps]))
    _assert_silent(said, _secrets_of(key, pem) | {assertion, assertion.rpartition(".")[2]})
    assert len(steps) > 4


def test_a_traceback_tells_no_secret(process: Cli, tmp_path: Path) -> None:
    key = keys.generate("ec")
    pem = key.pem(PASSPHRASE)
    path = write_private(tmp_path / "key.pem", pem)
    ask = ["sign-jwt", "--client-id", "a", "--private-key", str(path), "--passphrase-file", "-"]
    wrong = process(*ask, stdin=PASSPHRASE + b"!", env={"BANNO_CREDS_DEBUG": "1"})
    assert "Traceback" in wrong.stderr
    _assert_silent(wrong.stderr, _secrets_of(key, pem))


@pytest.mark.parametrize("way", ["file", "stdin", "variable"])
def test_the_process_list_shows_no_secret(tmp_path: Path, way: str) -> None:
    """Looked at with ps while the request is under way: the server holds its answer until we have looked."""
    looked = threading.Event()
    seen: list[str] = []
    lists: list[str] = []

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.rfile.read(int(self.headers["content-length"])).decode().rpartition("=")[2])
            ps = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, timeout=20, check=True)
            lists.append(ps.stdout)
            looked.set()
            body = _json(access_token=ACCESS_TOKEN, token_type="Bearer", expires_in=600)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    key = keys.generate("ec")
    pem = key.pem(PASSPHRASE)
    key_file = write_private(tmp_path / "key.pem", pem)
    secret_file = write_private(tmp_path / "secret", PASSPHRASE)
    with HTTPServer(("127.0.0.1", 0), Slow) as slow:
        threading.Thread(target=slow.handle_request, daemon=True).start()
        command = [sys.executable, "-m", "banno_creds", "client-assertion", "--client-id", "ps-canary-client"]
        command += ["--token-endpoint", f"http://127.0.0.1:{slow.server_port}/", "--curl"]
        command += ["--passphrase-file", str(secret_file)]
        env, stdin = {"PATH": "/usr/bin:/bin"}, b""
        if way == "file":
            command += ["--private-key", str(key_file)]
        elif way == "stdin":
            command, stdin = [*command, "--private-key", "-"], pem
        else:
            env["BANNO_CREDS_PRIVATE_KEY_PEM"] = pem.decode()
        done = subprocess.run(command, input=stdin, env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert looked.is_set()
    assert "ps-canary-client" in lists[0]
    _assert_silent(lists[0], _secrets_of(key, pem) | {seen[0], seen[0].rpartition(".")[2]})
