"""docs/login.md and docs/choosing.md are true: their scripts run under ``sh -eu``, and somebody signs in."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.cli.login import DEFAULT_WAIT
from banno_creds.config import DEFAULT_LOGIN_SCOPE, DEFAULT_REDIRECT_URI
from banno_creds.jose.decode import decode
from banno_creds.login import id_token
from banno_creds.rules.findings import Rule
from banno_creds.sandbox import Client, Sandbox
from banno_creds.sandbox.users import DEFAULT_PASSWORD, DEFAULT_USERS, INSTITUTION_ZERO
from tests.conftest import write_private
from tests.docs.scripts import VARYING, WEB_CLIENT, needs_sh, run_login, run_script
from tests.person import Person, Visit, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from banno_creds.jose.keys import PrivateKey

pytestmark = pytest.mark.once

DOCS = Path(__file__).parents[2] / "docs"
LOGIN = (DOCS / "login.md").read_text("utf-8")
CHOOSING = (DOCS / "choosing.md").read_text("utf-8")
ELSEWHERE = "https://app.example.com/auth/cb"


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


(SESSION,) = _blocks(LOGIN, "console")
SCRIPTS = _blocks(LOGIN, "sh")
(PROFILE,) = _blocks(LOGIN, "toml")

# What differs from login to login, and what to write in its place; what every token has that differs comes after it.
VARYING_OF_A_LOGIN = [
    (r"https://localhost:\d+/", "https://localhost:PORT/"),
    (r"(code_challenge=|\bkid )[\w-]+", r"\1FRESH"),
    (r"SHA256:[0-9A-F:]{95}", "SHA256:CERTIFICATE"),
    (r"← in [\w ]+,", "← in N,"),
    (r"refresh_token [\w-]{8}…", "refresh_token …"),
    (r"[0-9a-f]{64}\.login", "NAME.login"),
    *VARYING,
]


def _normal(text: str) -> str:
    for pattern, replacement in VARYING_OF_A_LOGIN:
        text = re.sub(pattern, replacement, text)
    return text


class Desk:
    """A folder with what the scripts expect, and a bank's server."""

    def __init__(self, folder: Path, bank: Sandbox, port: int) -> None:
        self.folder = folder
        self.bank = bank
        self.environment = {
            "BANNO_CREDS_ISSUER": bank.issuer,
            "BANNO_CREDS_REDIRECT_URI": f"https://localhost:{port}/auth/cb",
        }

    def run(self, script: str, login: str = "riley", **env: str) -> tuple[str, dict[str, Any]]:
        """What a script that signs somebody in printed, and what the browser saw."""
        done, seen = run_login(self.folder, script, {**self.environment, **env}, login)
        assert "✗" not in done.stdout
        assert "!  " not in done.stdout
        assert (seen["status"], seen["url"].rpartition("/")[2]) == (200, "me")
        return done.stdout, seen


@pytest.fixture
def desk(tmp_path: Path, rsa_key: PrivateKey) -> Iterator[Desk]:
    write_private(tmp_path / "private.pem", rsa_key.pem())
    write_private(tmp_path / "client-secret.txt", b"a secret for the sandbox alone\n")
    port = free_port()
    client = Client(
        WEB_CLIENT,
        rsa_key.public.pem().decode(),
        client_secret="a secret for the sandbox alone",
        redirect_uris=(f"https://localhost:{port}/auth/cb", ELSEWHERE),
    )
    with Sandbox([client], log=lambda _: None) as bank:
        yield Desk(tmp_path, bank, port)


def _script(words: str) -> str:
    (found,) = [script for script in SCRIPTS if words in script]
    return found


@needs_sh
def test_the_session_prints_what_the_page_shows(desk: Desk) -> None:
    commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", SESSION, re.MULTILINE)
    assert len(commands) == 1
    for command, expected in commands:
        here = command.replace("http://127.0.0.1:9400/a/oidc-provider/api/v0", desk.bank.issuer)
        stdout, _ = desk.run(here)
        assert _normal(stdout.replace(str(desk.folder), "/home/ines")) == _normal(expected)
    tokens = loads((desk.folder / "tokens.json").read_text())
    assert {"access_token", "id_token", "refresh_token"} <= tokens.keys()


@needs_sh
@pytest.mark.parametrize("proof", ["--private-key", "--client-secret-file"])
def test_the_quickstarts_keep_the_token_set_for_its_owner(desk: Desk, proof: str) -> None:
    desk.run(_script(f"{proof} {'private.pem' if proof == '--private-key' else 'client-secret.txt'} > tokens.json"))
    tokens = desk.folder / "tokens.json"
    assert tokens.stat().st_mode & 0o777 == 0o600
    assert decode(loads(tokens.read_text())["id_token"]).payload["name"] == "Riley Doe"


@needs_sh
def test_the_sandbox_stands_in_for_a_bank(desk: Desk) -> None:
    (desk.folder / "private.pem").unlink()
    port = str(free_port())
    sandbox = {
        "BANNO_CREDS_SANDBOX_PORT": port,
        "BANNO_CREDS_SANDBOX_REDIRECT_URI": desk.environment["BANNO_CREDS_REDIRECT_URI"],
    }
    stdout, _ = desk.run(_script("banno-creds sandbox").replace("9400", port), **sandbox)
    assert '"preferred_username": "rileydoe"' in stdout
    assert "Signed out" in stdout


@needs_sh
def test_claims_are_asked_for_in_both_ways(desk: Desk) -> None:
    _, seen = desk.run(_script("--claim-request"), login="casey")
    assert "casey@example.com" in seen["page"]
    assert DEFAULT_USERS[1].institutions[0].id in seen["page"]


@needs_sh
def test_the_token_is_for_the_institution_that_was_named(desk: Desk) -> None:
    script = _script("--param institutionId")
    (institution,) = re.findall(r"institutionId=(\S+)", script)
    stdout, _ = desk.run(script, login="casey")
    assert f'"institutionId": "{institution}"' in stdout


@needs_sh
def test_who_has_no_institution_gets_a_token_for_institution_zero(desk: Desk) -> None:
    desk.run(_script("client-secret.txt > tokens.json"), login="robin")
    token = loads((desk.folder / "tokens.json").read_text())["access_token"]
    assert decode(token).payload["institutionId"] == INSTITUTION_ZERO


@needs_sh
def test_what_follows_a_login_is_the_persons_until_logout(desk: Desk) -> None:
    stdout, _ = desk.run(_script("whoami --userinfo"))
    assert stdout.count('"name": "Riley Doe"') == 2
    again = f"banno-creds token --client-id {WEB_CLIENT} --private-key private.pem"
    state = {"BANNO_CREDS_STATE_DIR": str(desk.folder / ".local" / "state" / "banno-creds")}
    done = run_script(desk.folder, again, desk.environment | state)
    warning, hint, token = done.stdout.splitlines()
    assert "application's own token: the login of client" in warning
    assert "--as application or --as person" in hint
    assert "sub" not in decode(token).payload


@needs_sh
def test_the_profile_signs_in_as_it_says(desk: Desk) -> None:
    # A profile that is named comes before the variable with a free port.
    usual, free = DEFAULT_REDIRECT_URI, desk.environment["BANNO_CREDS_REDIRECT_URI"]
    config = write_private(desk.folder / "config.toml", PROFILE.replace(usual, free).encode())
    stdout, seen = desk.run(_script("--profile garden-web"), login="casey", BANNO_CREDS_CONFIG=str(config))
    (institution,) = re.findall(r'^institutionId = "(\S+)"', PROFILE, re.MULTILINE)
    assert f"institutionId={institution}" in seen["authorization_url"]
    assert "offline_access" in seen["authorization_url"]
    assert "Signed out: the tokens of profile garden-web." in stdout


def test_the_pasted_address_signs_in(desk: Desk) -> None:
    (command,) = [block for block in _blocks(LOGIN, "text") if "--manual" in block]
    options = shlex.split(command.replace(" ID ", f" {WEB_CLIENT} "))[1:]
    environment = {**os.environ, **desk.environment, "HOME": str(desk.folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "banno_creds", *options, "--no-browser"],
        cwd=desk.folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as running:
        assert running.stdin is not None
        assert running.stderr is not None
        url = next(line.strip() for line in running.stderr if line.startswith(f"    {desk.bank.issuer}/auth?"))
        with Visit(Person("riley", DEFAULT_PASSWORD, {})) as visit:
            address = visit.sign_in(url)
        stdout, _ = running.communicate(f"{address}\n", timeout=60)
    assert (running.returncode, address.partition("?")[0]) == (0, ELSEWHERE)
    assert "id_token" in loads(stdout)


def test_every_script_of_the_page_is_run_here() -> None:
    words = ["private.pem > tokens.json", "client-secret.txt > tokens.json", "banno-creds sandbox", "--claim-request"]
    words += ["--param institutionId", "whoami --userinfo", "--profile garden-web"]
    assert sorted(map(_script, words)) == sorted(SCRIPTS)


def test_the_table_has_every_rule_of_an_id_token() -> None:
    named = re.findall(r"`(id_token\.[\w.]+)` \|$", LOGIN, re.MULTILINE)
    assert sorted(named) == sorted(rule for rule in Rule if rule.startswith("id_token."))


def test_the_defaults_are_those_of_the_code() -> None:
    assert f"within `--wait` ({DEFAULT_WAIT} s)" in LOGIN
    assert f"with {id_token.TOLERANCE} s for clocks that differ" in LOGIN
    assert f"`{' '.join(DEFAULT_LOGIN_SCOPE)}` by default" in LOGIN
    assert f"your redirect URI, `{DEFAULT_REDIRECT_URI}`" in LOGIN
    [row] = re.findall(r"^\| `alg` \| (.*?), and named by discovery \|", LOGIN, re.MULTILINE)
    families = {alg[:2] for alg in id_token.ALGORITHMS} - {"Ed"}
    assert row == "RS, PS or ES with 256, 384 or 512, or EdDSA (Ed25519)"
    assert families == {"RS", "PS", "ES"}


@pytest.mark.parametrize("page", [LOGIN, CHOOSING], ids=["login", "choosing"])
def test_every_link_to_a_heading_leads_to_one(page: str) -> None:
    own = "login.md" if page is LOGIN else "choosing.md"
    for file, anchor in re.findall(r"\]\(([\w./]*)#([\w-]+)\)", page):
        text = (DOCS / (file or own)).read_text("utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, (file, anchor)


# --- what to decide ---

KEYGEN, JWKS, PROFILES = _blocks(CHOOSING, "sh")


@needs_sh
def test_the_key_pair_of_the_decision_is_made(tmp_path: Path) -> None:
    assert run_script(tmp_path, KEYGEN, {}).returncode == 0
    assert {"private.pem", "public.pem"} <= {path.name for path in tmp_path.iterdir()}


@needs_sh
def test_the_jwk_set_has_the_key_that_signs(tmp_path: Path, rsa_key: PrivateKey) -> None:
    write_private(tmp_path / "private.pem", rsa_key.pem())
    done = run_script(tmp_path, JWKS, {})
    assert done.returncode == 0, done.stdout
    (key,) = loads((tmp_path / "jwks.json").read_text())["keys"]
    assert decode((tmp_path / "assertion.jwt").read_text().strip()).header["kid"] == key["kid"]
    assert "d" not in key


@needs_sh
def test_the_profiles_of_the_decision_are_there(tmp_path: Path, rsa_key: PrivateKey) -> None:
    write_private(tmp_path / "private.pem", rsa_key.pem())
    done = run_script(tmp_path, PROFILES, {})
    assert done.returncode == 0, done.stdout
    assert re.findall(r"^\w+$", done.stdout, re.MULTILINE) == ["garden", "granite"]
