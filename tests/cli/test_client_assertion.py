"""The whole flow through the command line, against the sandbox over real HTTP."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pytest

from banno_creds import shells
from banno_creds.jose.decode import decode
from banno_creds.sandbox import Client, Sandbox
from tests.conftest import CLIENT_ID, instead, write_private
from tests.servers.loopback import Says
from tests.shellwords import passed_on_by_windows_powershell, read_by_a_program, read_by_powershell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli
    from tests.servers.scripted import ScriptedServer

EC_CLIENT_ID = "ec-client"


@pytest.fixture(scope="module")
def sandbox_log() -> list[str]:
    return []


@pytest.fixture(scope="module")
def sandbox(rsa_key: PrivateKey, ec_key: PrivateKey, sandbox_log: list[str]) -> Iterator[Sandbox]:
    clients = [
        Client(CLIENT_ID, rsa_key.public.pem().decode(), institution_id="3f85ce95-0000-4000-8000-000000000001"),
        Client(EC_CLIENT_ID, ec_key.public.pem().decode()),
        Client("jwks-client", {"keys": [rsa_key.public.jwk() | {"kid": rsa_key.public.thumbprint()}]}),
    ]
    with Sandbox(clients, log=sandbox_log.append) as running:
        yield running


@pytest.fixture
def ask(sandbox: Sandbox, rsa_pem: Path) -> list[str]:
    """The command that is granted a token."""
    return [
        *("client-assertion", "--client-id", CLIENT_ID, "--private-key", str(rsa_pem)),
        *("--token-endpoint", sandbox.token_endpoint),
    ]


# --- what is shown, and where ----------------------------------------------------------------------------------


def test_each_step_is_on_stderr_and_the_whole_token_response_on_stdout(
    cli: Cli, ask: list[str], sandbox: Sandbox, rsa_pem: Path, rsa_key: PrivateKey
) -> None:
    result = cli(*ask)

    assert result.code == 0
    response = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert response.keys() == {"access_token", "expires_in", "token_type", "scope"}
    claims = jwt.decode(response["access_token"], options={"verify_signature": False})
    assert claims["aud"] == CLIENT_ID

    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
    instant = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    expected = f"""\
 1  Private key
    {re.escape(str(rsa_pem))} · RSA 2048 · PS256
    {re.escape(rsa_key.public.fingerprint())}
 2  JWT payload
    {{
      "jti": "{uuid}",
      "aud": "{re.escape(sandbox.token_endpoint)}",
      "sub": "{CLIENT_ID}",
      "iss": "{CLIENT_ID}",
      "exp": \\d+   ← in 60 s, {instant}
    }}
 3  Signed JWT
    {{"alg": "PS256"}}
    eyJhbGciOiJQUzI1NiJ9\\.eyJqdGkiOi[\\w-]+…\\.\\(signature left out\\)
 4  Token request
    POST {re.escape(sandbox.token_endpoint)}
    grant_type=client_credentials
    scope=openid
    client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer
    client_assertion=\\(the signed JWT\\)
 5  Token response
    200 OK in \\d+ ms · x-request-id [0-9a-f]{{32}}
 6  Access token
    Bearer · 600 s, until {instant} · scope openid
    Test Application · institution 3f85ce95-0000-4000-8000-000000000001
    eyJ[\\w-]{{5}}… \\(\\d+ characters, shortened\\)
"""
    assert re.fullmatch(expected.replace("{{", "{").replace("}}", "}"), result.stderr), result.stderr


def test_steps_are_shown_while_they_happen(cli: Cli, rsa_pem: Path, server: ScriptedServer) -> None:
    """A step is on the screen before the next begins: the request's, although no answer ever comes."""
    server.says(Says(status=400, body=b'{"error":"invalid_request"}'))
    result = cli("client-assertion", "--client-id", "a", "--private-key", rsa_pem, "--token-endpoint", server.url)
    assert result.stderr.index("Token request") < result.stderr.index("Token response")
    assert result.stderr.index("Token response") < result.stderr.index("✗")


def test_quiet_leaves_the_steps_out(cli: Cli, ask: list[str]) -> None:
    result = cli(*ask, "--quiet")
    assert (result.code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["token_type"] == "Bearer"


def test_show_secrets_shows_assertion_and_token_whole(cli: Cli, ask: list[str]) -> None:
    result = cli(*ask, "--show-secrets")
    token = json.loads(result.stdout)["access_token"]
    assert token in result.stderr
    assertion = re.search(r"^ {4}(eyJ\S+)$", result.stderr, re.MULTILINE)
    assert assertion
    assert jwt.decode(assertion[1], options={"verify_signature": False})["iss"] == CLIENT_ID
    assert f"client_assertion={assertion[1]}" in result.stderr


# --- the result's forms -------------------------------------------------------------------------------------------


def test_output_token_is_the_access_token_alone(cli: Cli, ask: list[str]) -> None:
    result = cli(*ask, "-q", "-o", "token")
    assert re.fullmatch(r"eyJ[\w-]+\.[\w-]+\.[\w-]+\n", result.stdout)


def test_output_header_is_an_authorization_header(cli: Cli, ask: list[str]) -> None:
    result = cli(*ask, "-q", "-o", "header")
    assert re.fullmatch(r"Authorization: Bearer eyJ[\w-]+\.[\w-]+\.[\w-]+\n", result.stdout)


@pytest.mark.posix("a POSIX shell")
def test_output_env_is_a_line_that_a_posix_shell_can_eval(ask: list[str]) -> None:
    command = shlex.join([sys.executable, "-m", "banno_creds", *ask, "-q", "-o", "env"])
    script = f'eval "$({command})"; env | grep -E "^BANNO_(ACCESS|TOKEN)" | sort'
    done = subprocess.run(["sh", "-euc", script], capture_output=True, encoding="utf-8", timeout=60, check=True)
    names = re.fullmatch(
        r"BANNO_ACCESS_TOKEN=eyJ\S+\nBANNO_TOKEN_EXPIRES_AT=\d+\nBANNO_TOKEN_TYPE=Bearer\n", done.stdout
    )
    assert names, done.stdout


@pytest.mark.posix("a POSIX shell")
def test_output_env_quotes_what_a_shell_would_run(cli: Cli, rsa_pem: Path, server: ScriptedServer) -> None:
    hostile = "a$(touch${IFS}/tmp/x)`id`;'\"b"
    server.says(Says(body=json.dumps({"access_token": hostile, "token_type": "Bearer", "expires_in": 1}).encode()))
    ask = [
        "client-assertion",
        "-q",
        "--client-id",
        "a",
        "--private-key",
        str(rsa_pem),
        "--token-endpoint",
        server.url,
    ]
    line = cli(*ask, "-o", "env").stdout
    assert line.count("\n") == 1
    done = subprocess.run(
        ["sh", "-euc", f'{line}printf %s "$BANNO_ACCESS_TOKEN"'],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert done.stdout == hostile


# --- curl ---------------------------------------------------------------------------------------------------------


@pytest.mark.posix("a POSIX shell")
def test_the_curl_command_gets_a_token_and_has_no_secret_in_it(
    cli: Cli, ask: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = cli(*ask, "--curl", "--claim", 'note=it\'s "quoted"', "--iat", "--lifetime", "30")
    assert result.code == 0
    block = re.search(r"^The same with curl:\n((?: {4}.*\n)+?) 5 ", result.stderr, re.MULTILINE)
    assert block
    command = block[1]
    assert "eyJ" not in command
    here = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{here}:/usr/bin:/bin")
    done = subprocess.run(["sh", "-euc", command], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["expires_in"] == 600


WORD = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|[^\s'"]+""")


@pytest.mark.no_wine("it has no curl")
@pytest.mark.parametrize("shell", ["cmd", "powershell", "pwsh"])
def test_the_curl_command_of_windows_is_one_for_powershell(
    cli: Cli, ask: list[str], monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setattr(shells, "at_hand", lambda: shell)
    claims = ("--claim", 'note=it\'s "quoted"', "--claim", "rate=50% $x")
    result = cli(*ask, "-q", "--curl", *claims, "--iat")
    title, first, second, *rest = result.stderr.splitlines()
    assert (title, rest) == ("The same with curl, in PowerShell:", [])
    assert "eyJ" not in result.stderr
    assert first.startswith("    $assertion = banno-creds sign-jwt --quiet ")
    begin = '    if ($assertion) { "client_assertion=$assertion" | curl.exe '
    assert second.startswith(begin)
    assert second.endswith(" }")
    words = [read_by_powershell(word) for word in WORD.findall(first.partition(" banno-creds ")[2])]
    if shell != "pwsh":
        words = read_by_a_program(passed_on_by_windows_powershell(words))
    signed = cli(*words)
    assert signed.code == 0, signed.stderr
    payload = decode(signed.stdout.strip()).payload
    assert (payload["note"], payload["rate"]) == ('it\'s "quoted"', "50% $x")
    curl = shutil.which("curl")
    assert curl is not None
    posted = [read_by_powershell(word) for word in WORD.findall(second.removeprefix(begin).removesuffix(" }"))]
    done = subprocess.run(
        [curl, *posted],
        input=f"client_assertion={signed.stdout.strip()}\r\n".encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["expires_in"] == 600


def test_client_id_is_in_the_form_and_in_the_curl_command_where_it_was_asked_for(cli: Cli, ask: list[str]) -> None:
    for more, count in (([], 0), (["--client-id-in-body"], 1)):
        result = cli(*ask, "--curl", *more)
        assert result.code == 0, result.stderr
        assert result.stderr.count(f"--data-urlencode client_id={CLIENT_ID}") == count
        assert result.stderr.count(f"\n    client_id={CLIENT_ID}\n") == count
    result = cli(*ask, env={"BANNO_CREDS_CLIENT_ID_IN_BODY": "1"})
    assert f"\n    client_id={CLIENT_ID}\n" in result.stderr
    assert cli(*ask, "--client-id-in-body", "--param", f"client_id={CLIENT_ID}").stderr.count("    client_id=") == 1


def test_the_curl_command_is_shown_although_steps_are_not(cli: Cli, ask: list[str]) -> None:
    result = cli(*ask, "-q", "--curl", "--kid", "thumbprint", "--alg", "RS256")
    shown = 'The same with curl:\n    assertion="$(banno-creds sign-jwt --quiet \\\n'
    if sys.platform == "win32":
        shown = "The same with curl, in PowerShell:\n    $assertion = banno-creds sign-jwt --quiet "
    assert result.stderr.startswith(shown)
    assert "--kid thumbprint" in result.stderr
    assert "--alg RS256" in result.stderr


@pytest.mark.posix("a POSIX shell")
def test_the_curl_command_does_not_ask_when_signing_fails(
    cli: Cli, ask: list[str], sandbox_log: list[str], rsa_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = cli(*ask, "-q", "--curl").stderr.partition("\n")[2]
    said = len(sandbox_log)
    rsa_pem.unlink()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    done = subprocess.run(["sh", "-euc", shown], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "No such file" in done.stderr
    assert len(sandbox_log) == said


@pytest.mark.posix("a POSIX shell")
def test_the_curl_command_opens_the_key_and_passes_every_proxy_by(
    cli: Cli, ask: list[str], tmp_path: Path, rsa_key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypted = write_private(tmp_path / "encrypted.pem", rsa_key.pem(b"open sesame"))
    secret = write_private(tmp_path / "it's secret", b"open sesame\n")
    result = cli(*instead(ask, "--private-key", encrypted), "-q", "--curl", "--passphrase-file", secret)
    assert "open sesame" not in result.stderr
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    shown = result.stderr.partition("\n")[2]
    done = subprocess.run(["sh", "-euc", shown], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["token_type"] == "Bearer"


def test_the_curl_command_writes_out_what_the_profile_says_and_uses_no_profile(
    cli: Cli, ask: list[str], tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('default = "a"\n\n[profiles.a]\nkid = "its-kid"\n\n[profiles.b]\nlifetime = 90\n')
    for profile, said in (("a", "--kid its-kid"), ("b", "--lifetime 90")):
        result = cli(*ask, "-q", "--curl", "--config", config, "--profile", profile)
        assert "    banno" not in result.stderr.partition("✗")[0]
        assert "--profile=" in result.stderr
        assert said in result.stderr
    assert "--profile" not in cli(*ask, "-q", "--curl", "--config", config, "--profile", "").stderr


def test_the_curl_command_names_no_key_that_came_another_way(cli: Cli, ask: list[str], rsa_key: PrivateKey) -> None:
    without_key = [*ask[:3], *ask[5:], "-q", "--curl"]
    from_variable = cli(*without_key, env={"BANNO_CREDS_PRIVATE_KEY_PEM": rsa_key.pem().decode()})
    assert "--private-key" not in from_variable.stderr
    assert "PRIVATE KEY" not in from_variable.stderr
    from_stdin = cli(*without_key, "--private-key", "-", stdin=rsa_key.pem())
    assert "--private-key - " in from_stdin.stderr
    assert from_variable.code == from_stdin.code == 0


# --- what is sent -------------------------------------------------------------------------------------------------


def _sent(cli: Cli, server: ScriptedServer, key: Path, *args: str) -> dict[str, list[str]]:
    server.says(Says(body=b'{"access_token":"x.y.z","token_type":"Bearer","expires_in":600}'))
    result = cli(
        *("client-assertion", "-q", "--client-id", CLIENT_ID, "--private-key", str(key)),
        *("--token-endpoint", server.url, *args),
    )
    assert result.code == 0, result.stderr
    [request] = server.requests
    assert request.method == "POST"
    return request.form


def test_the_form_is_what_the_vendor_documents_and_nothing_else(
    cli: Cli, server: ScriptedServer, rsa_pem: Path
) -> None:
    form = _sent(cli, server, rsa_pem)
    assertion = form.pop("client_assertion")
    assert form == {
        "grant_type": ["client_credentials"],
        "scope": ["openid"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
    }
    assert len(assertion) == 1
    assert server.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in {name.lower() for name in server.requests[0].headers}


def test_the_assertion_has_the_five_documented_claims_and_an_alg_alone(
    cli: Cli, server: ScriptedServer, rsa_pem: Path, rsa_key: PrivateKey
) -> None:
    [assertion] = _sent(cli, server, rsa_pem)["client_assertion"]
    assert jwt.get_unverified_header(assertion) == {"alg": "PS256"}
    claims = jwt.decode(assertion, rsa_key.native.public_key(), algorithms=["PS256"], audience=server.url)
    assert claims.keys() == {"jti", "aud", "sub", "iss", "exp"}
    assert claims["iss"] == claims["sub"] == CLIENT_ID
    assert isinstance(claims["exp"], int)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (["--scope", "a b", "--scope", "c", "--scope", "a"], ["a b c"]),
        (["--scope", "https://jackhenry.com/x.read"], ["https://jackhenry.com/x.read"]),
        (["--scope", ""], None),
    ],
    ids=["blanks and repeats", "a URL", "none"],
)
def test_scopes_are_repeatable_and_separated_by_blanks(
    cli: Cli, server: ScriptedServer, rsa_pem: Path, given: list[str], sent: list[str] | None
) -> None:
    assert _sent(cli, server, rsa_pem, *given).get("scope") == sent


def test_resources_and_params_are_sent(cli: Cli, server: ScriptedServer, rsa_pem: Path) -> None:
    extra = [
        "--resource",
        "https://a/",
        "--resource",
        "https://b/",
        "--param",
        "x=1=2",
        "--param",
        "x=3",
        "--param",
        "e=",
    ]
    form = _sent(cli, server, rsa_pem, *extra)
    assert form["resource"] == ["https://a/", "https://b/"]
    assert form["x"] == ["1=2", "3"]
    assert form["e"] == [""]


def test_every_alg_and_registration_gets_a_token(cli: Cli, sandbox: Sandbox, rsa_pem: Path, ec_pem: Path) -> None:
    cases: list[tuple[str, Path, list[str]]] = [
        (CLIENT_ID, rsa_pem, []),
        (CLIENT_ID, rsa_pem, ["--alg", "RS256"]),
        (EC_CLIENT_ID, ec_pem, []),
        ("jwks-client", rsa_pem, ["--kid", "thumbprint"]),
        ("jwks-client", rsa_pem, []),
    ]
    for client_id, key, more in cases:
        ask = ["client-assertion", "-q", "--client-id", client_id, "--private-key", str(key)]
        result = cli(*ask, "--token-endpoint", sandbox.token_endpoint, *more)
        assert (result.code, result.stderr) == (0, ""), (client_id, more)


def test_the_issuer_names_the_token_endpoint(cli: Cli, sandbox: Sandbox, rsa_pem: Path) -> None:
    ask = ["client-assertion", "--client-id", CLIENT_ID, "--private-key", str(rsa_pem)]
    result = cli(*ask, "--issuer", sandbox.issuer)
    assert result.code == 0
    assert (
        f" 2  Discovery\n    issuer {sandbox.issuer}\n    token_endpoint {sandbox.token_endpoint}\n" in result.stderr
    )
    assert f'"aud": "{sandbox.token_endpoint}"' in result.stderr


def test_sign_jwt_takes_the_audience_from_the_issuer_too(cli: Cli, sandbox: Sandbox, rsa_pem: Path) -> None:
    env = {"BANNO_CREDS_ISSUER": sandbox.issuer}
    result = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", rsa_pem, env=env)
    claims = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
    assert claims["aud"] == sandbox.token_endpoint


@pytest.mark.parametrize("command", ["client-assertion", "sign-jwt"])
def test_an_assertion_for_one_server_never_goes_to_another(
    cli: Cli, sandbox: Sandbox, sandbox_log: list[str], rsa_pem: Path, command: str
) -> None:
    said = len(sandbox_log)
    ask = [command, "-q", "--client-id", CLIENT_ID, "--private-key", str(rsa_pem), "--issuer", sandbox.issuer]
    result = cli(*ask, "--aud", "https://login.jackhenry.com/a/oidc-provider/api/v0/token")
    assert (result.code, result.stdout) == (2, "")
    assert "would go to another server" in result.stderr
    assert len(sandbox_log) == said
    assert cli(*ask, "--aud", sandbox.issuer).code == 0


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        (["--client-id", "nobody"], "unknown"),
        (["--aud", "http://127.0.0.1:1/token"], "aud"),
        (["--kid", "unknown"], "kid"),
    ],
    ids=["unknown client", "wrong aud", "kid with a PEM"],
)
def test_a_refusal_is_exit_4_with_the_servers_words_and_a_hint(
    cli: Cli, ask: list[str], sandbox_log: list[str], more: list[str], rule: str
) -> None:
    result = cli(*instead(ask, *more))
    assert (result.code, result.stdout) == (4, "")
    assert "✗   The server refused the client: invalid_client — client authentication failed\n" in result.stderr
    exchange = r"\n {4}401 UNAUTHORIZED from http://127\S+ · application/json · x-request-id [0-9a-f]{32}\n"
    assert re.search(exchange, result.stderr)
    assert re.search(r"\n {4}Next: \S", result.stderr)
    assert rule in sandbox_log[-1]


def test_another_key_is_refused(cli: Cli, ask: list[str], tmp_path: Path, sandbox: Sandbox) -> None:
    from banno_creds.jose import keys

    other = write_private(tmp_path / "other.pem", keys.generate("rsa").pem())
    result = cli(*instead(ask, "--private-key", other), "-q")
    assert result.code == 4
    assert result.stderr.startswith("✗   The server refused the client: invalid_client")


def test_an_unknown_scope_is_refused_with_its_own_hint(cli: Cli, ask: list[str]) -> None:
    result = cli(*ask, "-q", "--scope", "full")
    assert result.code == 4
    assert result.stderr.startswith(
        "✗   The server refused the request: invalid_scope — requested scope is not allowed"
    )
    assert "Next: ask the administrator which scopes" in result.stderr


# --- sign-jwt -----------------------------------------------------------------------------------------------------


def test_sign_jwt_prints_the_assertion_alone_on_one_line(cli: Cli, rsa_pem: Path, rsa_key: PrivateKey) -> None:
    result = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", rsa_pem)
    assert result.code == 0
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", result.stdout)
    claims = jwt.decode(
        result.stdout.strip(),
        rsa_key.native.public_key(),
        algorithms=["PS256"],
        audience="https://login.jackhenry.com/a/oidc-provider/api/v0/token",
    )
    assert claims["sub"] == CLIENT_ID
    assert [line[4:] for line in result.stderr.splitlines() if line[:3].strip()] == [
        "Private key",
        "JWT payload",
        "Signed JWT",
    ]
    assert result.stdout.strip() not in result.stderr


def test_assertion_options_shape_the_assertion(cli: Cli, rsa_pem: Path, rsa_key: PrivateKey) -> None:
    result = cli(
        *(
            "sign-jwt",
            "-q",
            "--client-id",
            CLIENT_ID,
            "--private-key",
            rsa_pem,
            "--alg",
            "RS256",
            "--kid",
            "thumbprint",
        ),
        *("--aud", "https://a.example/", "--lifetime", "300", "--iat", "--claim", "text=1", "--claim", "number:=1"),
    )
    token = result.stdout.strip()
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": rsa_key.public.thumbprint()}
    claims = jwt.decode(token, rsa_key.native.public_key(), algorithms=["RS256"], audience="https://a.example/")
    assert claims["exp"] - claims["iat"] == 300
    assert (claims["text"], claims["number"]) == ("1", 1)


def test_each_assertion_has_a_jti_of_its_own(cli: Cli, rsa_pem: Path) -> None:
    jtis = set()
    for _ in range(5):
        token = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", rsa_pem).stdout.strip()
        jtis.add(jwt.decode(token, options={"verify_signature": False})["jti"])
    assert len(jtis) == 5


def test_the_environment_legacy_is_the_older_host(cli: Cli, rsa_pem: Path) -> None:
    ask = ["sign-jwt", "-q", "--client-id", "a", "--private-key", str(rsa_pem), "--environment", "legacy"]
    token = cli(*ask).stdout.strip()
    assert (
        jwt.decode(token, options={"verify_signature": False})["aud"]
        == "https://banno.com/a/oidc-provider/api/v0/token"
    )
