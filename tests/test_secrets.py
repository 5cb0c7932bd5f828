"""Canaries: a private key, a passphrase, an assertion and a token, looked for wherever they must not be."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds import shells
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.config import ClientConfig, KeySource
from banno_creds.errors import RefusedError
from banno_creds.jose import keys
from banno_creds.secrecy import Secret, harmless, without
from banno_creds.steps import Run
from banno_creds.tokens.client_credentials import ClientCredentials, sign_jwt

from .conftest import CLIENT_ID, write_private
from .servers.loopback import LoopbackServer, Request, Says, says_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from banno_creds.steps import Step
    from tests.conftest import How

    from .conftest import Cli
    from .servers.scripted import ScriptedServer

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
    seen = ""

    def echo(request: Request) -> Says:
        nonlocal seen
        form = request.body.decode()
        seen = form.rpartition("client_assertion=")[2]
        if wrapped:  # the last of it, where the signature is
            end = form[-400:]
            form = "\n".join(end[i : i + wrapped] for i in range(0, len(end), wrapped))
        return says_json(400, error="invalid_client", error_description=form, error_uri=form)

    with LoopbackServer(echo) as server:
        ask = ["client-assertion", "--client-id", "a", "--private-key", str(rsa_pem)]
        result = cli(*ask, "--token-endpoint", server.url)
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

    def echo(request: Request) -> Says:
        seen.append(request.body.decode().rpartition(".")[2])
        body = _json(access_token=ACCESS_TOKEN, token_type="Bearer", expires_in=600)
        return Says(200, body, {"x-request-id": f"id {seen[0]}"}, reason=seen[0])

    with LoopbackServer(echo) as server:
        ask = ["--client-id", "a", "--private-key", str(ec_pem)]
        result = cli(*command, *ask, "--token-endpoint", server.url)
    assert result.code == 0
    assert not any(seen[0][i : i + 16] in result.stderr for i in range(len(seen[0]) - 15))
    left_out = "(left out: the server echoes the assertion)"
    assert f"200 {left_out} in " in result.stderr
    assert f"x-request-id {left_out}" in result.stderr


@pytest.mark.parametrize("part", [slice(0, 16), slice(16, 32)])
def test_either_half_of_a_secret_is_an_echo(part: slice) -> None:
    secret = "0123456789abcdefghijklmnopqrstuv"
    assert without(f"you sent {secret[part]}", [Secret(secret, "it")]) == "(left out: the server echoes it)"


def test_a_rule_that_echoes_a_secret_is_left_out() -> None:
    error = RefusedError("no", error="a-secret-error-code", status=401, rule="a-secret-error-code")
    assert error.without([Secret("a-secret-error-code", "it")]).rule is None


@pytest.mark.parametrize("secret", ["short", "exactly-sixteen!", "one-more-than-16.", "x" * 10 + "y" * 30])
def test_words_that_echo_a_secret_of_any_length_are_left_out(secret: str) -> None:
    wrapped = "\n".join(secret)
    error = RefusedError(f"No {secret}", error=secret, status=400, details=(f"you sent {wrapped}", "400 from here"))
    error = error.without([Secret(secret, "the assertion")])
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
    response = ClientCredentials(config).fetch(Run(steps.append))
    signer = load_signer(config)

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


@pytest.mark.posix("ps")
@pytest.mark.parametrize("way", ["file", "stdin", "variable"])
def test_the_process_list_shows_no_secret(tmp_path: Path, way: str) -> None:
    """Looked at with ps while the request is under way: the server holds its answer until we have looked."""
    seen: list[str] = []
    lists: list[str] = []

    def look(request: Request) -> Says:
        seen.append(request.body.decode().rpartition("=")[2])
        ps = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, timeout=20, check=True)
        lists.append(ps.stdout)
        return _granted(ACCESS_TOKEN)

    key = keys.generate("ec")
    pem = key.pem(PASSPHRASE)
    key_file = write_private(tmp_path / "key.pem", pem)
    secret_file = write_private(tmp_path / "secret", PASSPHRASE)
    with LoopbackServer(look) as server:
        command = [sys.executable, "-m", "banno_creds", "client-assertion", "--client-id", "ps-canary-client"]
        command += ["--token-endpoint", server.url, "--curl"]
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
    assert "ps-canary-client" in lists[0]
    _assert_silent(lists[0], _secrets_of(key, pem) | {seen[0], seen[0].rpartition(".")[2]})


@pytest.mark.parametrize("more", [[], ["--aud", "http://localhost/token"]], ids=["unknown", "a rule fails"])
@pytest.mark.parametrize("command", ["client-assertion", "token", "exec", "api"])
def test_the_command_in_a_refusals_hint_tells_no_secret(
    cli: Cli, server: ScriptedServer, folder: Path, tmp_path: Path, command: str, more: list[str]
) -> None:
    """What a claim or a parameter is for, nobody here knows; and an error is what ends in a log."""
    server.says(ANSWERS["refused"])
    key = keys.generate("ec")
    pem = key.pem(PASSPHRASE)
    path = write_private(tmp_path / "key.pem", pem)
    before, after = {"exec": ([], ["--", sys.executable]), "api": (["--api-base", "http://127.0.0.1:9"], ["/a"])}.get(
        command, ([], [])
    )
    ask = [command, "-q", *before, "--client-id", CLIENT_ID, "--private-key", str(path)]
    ask += ["--token-endpoint", server.url, "--passphrase-file", "-", *more]
    ask += ["--claim", f"a={ACCESS_TOKEN}", "--claim", f'b:=["{JWT_TOKEN}"]', "--param", f"c={JWT_TOKEN}", *after]
    env = {"HTTPS_PROXY": f"http://user:{PROXY_PASSWORD}@proxy.example:8080"}
    for _ in range(2):  # what is remembered of it as well
        result = cli(*ask, stdin=PASSPHRASE, env=env)
        assert (result.code, result.stdout) == (4, "")
        assert all(shells.quote(f"{name}=…") in result.stderr for name in "abc")
        kept = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file()).decode()
        sent = {request.form["client_assertion"][0] for request in server.requests}
        signatures = {assertion.rpartition(".")[2] for assertion in sent}
        assert sent
        assert server.requests[0].form["c"] == [JWT_TOKEN]
        _assert_silent(result.stderr + kept, _secrets_of(key, pem) | sent | signatures | {PROXY_PASSWORD})


# ── What looks for the reason, and what is made of it for others ────────────────────────────────────────────────


PROXY_PASSWORD = "pr0xy-canary-pa55word"


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("name", ANSWERS)
def test_neither_doctor_nor_its_bundle_tells_a_secret(
    cli: Cli, server: ScriptedServer, tmp_path: Path, how: How, name: str, output: str
) -> None:
    how.sleep = lambda _: None
    key = keys.generate("rsa")
    pem = key.pem(PASSPHRASE)
    path = write_private(tmp_path / "key.pem", pem)
    (tmp_path / "public.pem").write_bytes(key.public.pem())
    nothing = Says(status=404)
    server.says(nothing, ANSWERS[name])  # no discovery document, and then what is answered to every request
    ask = ["doctor", "--client-id", CLIENT_ID, "--private-key", str(path), "--token-endpoint", server.url]
    ask += ["--registered", str(tmp_path / "public.pem"), "--bundle", str(tmp_path / "bundle.md")]
    ask += ["--claim", f"canary={ACCESS_TOKEN}", "--param", f"hint={JWT_TOKEN}", "--probe"]
    proxy = f"http://user:{PROXY_PASSWORD}@proxy.example:8080"
    result = cli(*ask, "--passphrase-file", "-", "-o", output, stdin=PASSPHRASE, env={"HTTPS_PROXY": proxy})

    sent = {request.form["client_assertion"][0] for request in server.requests if "client_assertion" in request.form}
    signatures = {assertion.rpartition(".")[2] for assertion in sent}
    assert sent
    everything = result.stdout + result.stderr + (tmp_path / "bundle.md").read_text("utf-8")
    assert CLIENT_ID in everything
    _assert_silent(everything, _secrets_of(key, pem) | sent | signatures | {PROXY_PASSWORD})


def test_a_server_that_echoes_the_assertion_to_doctor_does_not_make_it_show_it(
    cli: Cli, rsa_pem: Path, tmp_path: Path
) -> None:
    """In an OAuth error, in the status line's stead, and as the id that a support case names."""
    signatures: list[str] = []

    def echo(request: Request) -> Says:
        if request.method == "GET":
            return Says(404)
        form = request.body.decode()
        signatures.append(form.rpartition(".")[2])
        body = _json(error="invalid_client", error_description=form[-400:], error_uri=form)
        return Says(401, body, {"x-request-id": f"id {signatures[-1]}"}, reason=signatures[-1])

    bundle = tmp_path / "bundle.md"
    said = ""
    with LoopbackServer(echo) as server:
        ask = ["--client-id", "a", "--private-key", str(rsa_pem)]
        ask += ["--token-endpoint", server.url]
        for output in ("text", "json"):
            result = cli("doctor", *ask, "-o", output, "--bundle", str(bundle.with_suffix(f".{output}")))
            assert result.code == 4
            said += result.stdout + result.stderr + bundle.with_suffix(f".{output}").read_text("utf-8")
    assert len(signatures) == 2
    for signature in signatures:
        assert not any(signature[i : i + 16] in said for i in range(len(signature) - 15))


@pytest.mark.parametrize("fault", ["wrong passphrase", "private key registered", "damaged key"])
def test_a_set_up_with_a_fault_tells_no_secret(cli: Cli, tmp_path: Path, fault: str) -> None:
    key = keys.generate("ec")
    pem = key.pem(PASSPHRASE)
    damaged = b"\n".join(line for number, line in enumerate(key.pem().splitlines()) if number != 2)
    path = write_private(tmp_path / "key.pem", damaged if fault == "damaged key" else pem)
    ask = ["doctor", "--offline", "--client-id", CLIENT_ID, "--private-key", str(path)]
    ask += ["--registered", str(path), "--passphrase-file", "-", "--bundle", str(tmp_path / "bundle.md")]
    result = cli(*ask, stdin=PASSPHRASE + (b"!" if fault == "wrong passphrase" else b""))
    assert result.code in (3, 4)
    everything = result.stdout + result.stderr + (tmp_path / "bundle.md").read_text("utf-8")
    _assert_silent(everything, _secrets_of(key, pem) | set(damaged.decode().splitlines()[1:-1]))


@pytest.mark.parametrize("way", ["file", "stdin", "form"])
@pytest.mark.parametrize("output", ["text", "json"])
def test_linting_an_assertion_does_not_show_it(cli: Cli, tmp_path: Path, way: str, output: str) -> None:
    key = keys.generate("ec")
    source = KeySource("a variable", content=key.pem())
    assertion = sign_jwt(ClientConfig(CLIENT_ID, source, token_endpoint="https://bank.example/token"))
    (tmp_path / "public.pem").write_bytes(keys.generate("ec").public.pem())
    text = f"grant_type=client_credentials&client_assertion={assertion}" if way == "form" else assertion
    args = ["lint-assertion", "--public-key", str(tmp_path / "public.pem"), "-o", output]
    if way == "file":
        args += ["--file", str(write_private(tmp_path / "assertion.jwt", text.encode()))]
    result = cli(*args, *(["-"] if way != "file" else []), stdin=text.encode())
    assert result.code == 6
    assert "assertion.signature.invalid" in result.stdout
    signature = assertion.rpartition(".")[2]
    _assert_silent(result.stdout + result.stderr, {assertion, signature, assertion.split(".")[1]})


@pytest.mark.parametrize("output", ["text", "json"])
def test_what_is_linted_by_mistake_is_not_shown(cli: Cli, tmp_path: Path, output: str) -> None:
    key = keys.generate("ec")
    for mistaken, secrets in (
        (key.pem(), _secrets_of(key, key.pem())),
        (key.pem(PASSPHRASE), _secrets_of(key, key.pem(PASSPHRASE))),
        (JWT_TOKEN.encode(), {JWT_TOKEN, JWT_TOKEN.rpartition(".")[2]}),
        (_json(access_token=ACCESS_TOKEN), {ACCESS_TOKEN}),
        (ACCESS_TOKEN.encode(), {ACCESS_TOKEN}),
    ):
        result = cli("lint-assertion", "-o", output, "-", stdin=mistaken)
        assert result.code == 6
        _assert_silent(result.stdout + result.stderr, secrets)


def test_explain_does_not_repeat_what_it_does_not_know(cli: Cli) -> None:
    key = keys.generate("ec")
    for mistaken in (JWT_TOKEN, key.pem().decode()):
        result = cli("explain", mistaken)
        assert result.code == 2
        _assert_silent(result.stdout + result.stderr, _secrets_of(key, key.pem()))


def test_an_exception_that_repeats_a_secret_or_comes_of_one_that_does_is_no_cause() -> None:
    secrets = [Secret("correct-horse-4711", "the PIN")]

    def raised(first: str, second: str, *, hidden: bool = False) -> Exception:
        outer = ValueError(second)
        outer.__context__, outer.__suppress_context__ = RuntimeError(first), hidden
        return outer

    assert harmless(None, secrets) is None
    harm_free = raised("the box is gone", "no answer")
    assert harmless(harm_free, secrets) is harm_free
    assert harmless(raised("login correct-horse-4711", "no answer"), secrets) is None
    assert harmless(raised("the box is gone", "login correct-horse-4711"), secrets) is None
    assert harmless(raised("the box is gone", f"login {b'correct-horse-4711'.hex()}"), secrets) is None
    shown_alone = raised("login correct-horse-4711", "no answer", hidden=True)
    assert harmless(shown_alone, secrets) is shown_alone  # a traceback does not show the first
