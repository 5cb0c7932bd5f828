"""`doctor --bundle`: what is in it, where it goes, and that it can be read in a ticket."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds import __version__
from banno_creds.doctor.case import Examination, Exchange, Setting
from banno_creds.doctor.support_bundle import bundle
from banno_creds.rules.diagnosis import Cause, Diagnosis, RuledOut
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.sandbox import Client, Sandbox
from banno_creds.storage import secret_files as files
from tests.conftest import CLIENT_ID, How, write_private
from tests.doctor.commands import ask, public_of, refused, without_chance
from tests.jwts import NOW
from tests.seen import compare, program
from tests.servers.bank import Bank, granted
from tests.servers.loopback import says_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.conftest import Cli

pytestmark = pytest.mark.once


@pytest.fixture
def bank() -> Iterator[Bank]:
    with Bank() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bundle.md"


# ── What is in it ───────────────────────────────────────────────────────────────────────────────────────────────


def test_it_has_what_a_support_case_asks_for(
    cli: Cli, bank: Bank, rsa_key: keys.PrivateKey, rsa_pem: Path, file: Path
) -> None:
    bank.token = lambda _: refused()
    assert cli(*ask(bank, rsa_pem), "--bundle", file).code == 4
    text = file.read_text("utf-8")
    for told in (
        f"- banno-creds: {__version__}\n",
        f"- Python: {platform.python_version()} (",
        "- OpenSSL: ",
        "cryptography ",
        "- exit code: 4\n",
        f"- client-id: `{CLIENT_ID}` (`--client-id`)\n",
        f"- private-key: `{rsa_pem}` (`--private-key`)\n",
        f"- token-endpoint: `{bank.url}` (`--token-endpoint`)\n",
        "- scope: `openid` (`default`)\n",
        "- pass assertion.aud.mismatch (aud): received `",
        "- FAIL invalid_client (request): received `",
        "registration.key.mismatch",
    ):
        assert told in text
    [request] = re.findall(r"^- (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC): (.*)$", text, re.MULTILINE)
    assert request[1] == "401 `invalid_client` · x-request-id `id-3`"
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "What to ask the bank's administrator"
    assert headings[-3:] == ["Token requests", "Configuration", "Findings"]
    questions = text.partition("~~~text\n")[2].partition("~~~")[0]
    assert questions.startswith("1. Which public key does the external application with the client ID ")
    pem = public_of(rsa_key)
    assert f"Our public key:\n\n{pem}\n2. " in questions
    assert "`" not in questions
    marks = [line.split()[1] for line in text.partition("## Findings\n\n")[2].splitlines()]
    assert marks == sorted(marks, key=lambda mark: mark == "pass")


def test_each_further_request_is_in_it_with_its_id(cli: Cli, bank: Bank, rsa_pem: Path, file: Path, how: How) -> None:
    how.sleep = lambda _: None
    bank.token = lambda _: granted() if len(bank.forms) == 2 else refused()
    cli(*ask(bank, rsa_pem), "--probe", "--bundle", file)
    text = file.read_text("utf-8")
    assert "UTC: 401 `invalid_client` · x-request-id `id-3`\n" in text
    assert "UTC with RS256: 200 a token was granted · x-request-id `id-4`\n" in text
    assert "FAIL registration.alg (culprit)" in text


def test_a_request_that_was_never_answered_has_no_status_and_no_id() -> None:
    exchange = Exchange("", accepted=False, at=NOW, request_id=None, status=0, error="no connection")
    text = bundle(Examination((), (exchange,), None, 5), (), clock=lambda: NOW)
    assert "- 2026-11-21 16:00:01 UTC: `no connection` · x-request-id (none)\n" in text
    assert "- made: 2026-11-21 16:00:01 UTC\n" in text


def test_where_no_request_was_made_it_says_so(cli: Cli, bank: Bank, rsa_pem: Path, file: Path) -> None:
    assert cli(*ask(bank, rsa_pem), "--offline", "--bundle", file).code == 0
    assert "## Token requests\n\n- none was made\n" in file.read_text("utf-8")


def test_received_expected_the_fix_and_the_reason_stand_side_by_side() -> None:
    findings = (
        Finding(Rule.AUD_MISMATCH, Verdict.FAIL, "aud", "this", "that", "mend it"),
        Finding(Rule.SIGNATURE_INVALID, Verdict.UNKNOWN, "signature", reason="there is no key"),
        Finding(Rule.EXP_MISSING, Verdict.PASS, "exp"),
    )
    text = bundle(Examination(findings, (), None, 4), (), clock=lambda: NOW)
    assert "- FAIL assertion.aud.mismatch (aud): received `this`; expected `that`; fix `mend it`\n" in text
    assert "- UNKNOWN assertion.signature.invalid (signature): why `there is no key`\n" in text
    assert "- pass assertion.exp.missing (exp)\n" in text


HOSTILE = [
    "![x](http://evil/p.png)",
    "<img src=http://evil/p.png onerror=alert(1)>",
    "[log in again](http://evil/)",
    "@admin",
    "` ![x](http://evil/p.png) `",
    "```\n![x](http://evil/p.png)\n```",
    "``",
    "a\\",
    "a\nb",
    "a\r\n# heading",
    "a\x1b[31mred",
    "a\u2028b",
    "a\x00b",
    "a\u202eb",
    "\x07",
]


def _all_of(text: str) -> str:
    """A bundle in which everything that may come from outside is this text."""
    finding = Finding(Rule.AUD_MISMATCH, Verdict.FAIL, "aud", text, text, text, text)
    cause = Cause(Rule.CLIENT_UNKNOWN, text, text, text, text)
    diagnosis = Diagnosis(text, (cause,), (RuledOut(Rule.AUD_MISMATCH, text, text),))
    exchange = Exchange("", accepted=False, at=NOW, request_id=text, status=400, error=text)
    examination = Examination((finding,), (exchange,), diagnosis, 4)
    return bundle(examination, (Setting("scope", text, text),), clock=lambda: NOW)


def _running(text: str) -> str:
    """What of a Markdown text stands outside of code; no span of it goes on over a line's end."""
    text = re.sub(r"(?ms)^~~~text\n.*?^~~~\n", "", text)
    assert all(line.count("`") % 2 == 0 for line in text.splitlines())
    assert "``" not in text, "that would be another sort of span"
    return re.sub(r"`[^`\n]+`", "", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_comes_from_outside_is_neither_markup_nor_more_than_a_line(text: str) -> None:
    made, plain = _all_of(text), _all_of("a")
    assert made.replace("\n", "").isprintable()
    assert _running(made) == _running(plain)


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\r" not in text and "\n" not in text])
def test_what_a_server_says_is_no_markup_in_a_ticket(
    cli: Cli, bank: Bank, rsa_pem: Path, file: Path, text: str
) -> None:
    bank.token = lambda _: says_json(401, error="invalid_client", error_description=text)
    bank.metadata |= {"issuer": text, "scopes_supported": [text], "jwks_uri": text}
    assert cli(*ask(bank, rsa_pem), "--bundle", file).code == 4
    made = file.read_text("utf-8")
    assert made.replace("\n", "").isprintable()
    for live in ("![", "<img", "](", "@admin", "evil", "heading"):
        assert live not in _running(made)
    if "evil" in text:
        assert "evil" in made


# ── Where it goes ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.posix("Windows has no modes")
def test_it_is_its_owners_alone_and_the_screen_says_where_it_is(
    cli: Cli, bank: Bank, rsa_pem: Path, file: Path
) -> None:
    before = os.umask(0)
    try:
        result = cli(*ask(bank, rsa_pem), "--bundle", file)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert f"Written for a support case: {file}" in result.stderr
    assert "Read it before you send it" in result.stderr
    assert str(file) not in result.stdout


def test_json_and_a_bundle_go_together(cli: Cli, bank: Bank, rsa_pem: Path, file: Path) -> None:
    result = cli(*ask(bank, rsa_pem), "-o", "json", "--bundle", file)
    assert result.stdout.startswith('{"version": 1')
    assert result.stdout.count("\n") == 1
    assert file.exists()


@pytest.mark.parametrize(
    "kind",
    [
        "file",
        "directory",
        pytest.param("symlink", marks=pytest.mark.posix("Windows lets only administrators make links")),
        pytest.param("dangling symlink", marks=pytest.mark.posix("Windows lets only administrators make links")),
        "no folder",
    ],
)
def test_it_takes_nobodys_place_and_nobody_is_asked_before_that_is_known(
    cli: Cli, bank: Bank, rsa_pem: Path, file: Path, tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "precious"
    if kind == "file":
        file.write_text("precious")
    elif kind == "directory":
        file.mkdir()
    elif kind == "symlink":
        target.write_text("precious")
        file.symlink_to(target)
    elif kind == "dangling symlink":
        file.symlink_to(target)
    else:
        file = tmp_path / "none" / "bundle.md"
    result = cli(*ask(bank, rsa_pem), "--bundle", file)
    assert (result.code, result.stdout, bank.asked) == (2, "", [])
    assert str(file) in result.stderr or "none" in result.stderr
    if kind == "file":
        assert file.read_text("utf-8") == "precious"
    if kind == "symlink":
        assert target.read_text("utf-8") == "precious"
    assert kind not in ("dangling symlink", "no folder") or not target.exists()


def test_standard_output_is_no_place_for_it(cli: Cli, bank: Bank, rsa_pem: Path, tmp_path: Path) -> None:
    result = cli(*ask(bank, rsa_pem), "--bundle", "-")
    assert (result.code, result.stdout, bank.asked) == (2, "", [])
    assert "The bundle cannot go to standard output" in result.stderr
    assert result.stderr.endswith("    Next: name a new file for it: --bundle bundle.md\n")
    assert not (tmp_path / "-").exists()


@pytest.mark.posix("there is no such device")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no such device")  # noqa: PTH110
def test_a_device_is_no_place_for_it(cli: Cli, bank: Bank, rsa_pem: Path) -> None:
    result = cli(*ask(bank, rsa_pem), "--bundle", "/dev/full")
    assert (result.code, result.stdout, bank.asked) == (2, "", [])
    assert result.stderr.startswith("✗   /dev/full exists already, nothing was written\n")


@pytest.mark.posix("Windows has no modes")
def test_nobody_is_asked_where_the_folder_cannot_be_written(
    cli: Cli, bank: Bank, rsa_pem: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:  # who may write everywhere
        monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (file.parent, os.W_OK))
    else:
        file.parent.chmod(0o500)
    result = cli(*ask(bank, rsa_pem), "--bundle", file)
    assert (result.code, result.stdout, bank.asked) == (2, "", [])
    assert f"Nothing can be written into {file.parent}\n" in result.stderr
    assert result.stderr.endswith("    Next: choose another file for --bundle\n")


@pytest.mark.parametrize("when", ["while it was looked", "at the last moment"])
def test_a_file_that_appears_meanwhile_stays_and_the_findings_are_told(
    cli: Cli, bank: Bank, rsa_pem: Path, file: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    if when == "while it was looked":
        bank.on_request = lambda _: file.write_text("precious")
    else:
        check = files.check_places

        def late(places: Sequence[Path], *, replace: bool) -> None:
            check(places, replace=replace)
            if bank.asked:
                file.write_text("precious")

        monkeypatch.setattr(files, "check_places", late)
    result = cli(*ask(bank, rsa_pem), "--bundle", file)
    assert result.code == 2
    assert file.read_text("utf-8") == "precious"
    assert result.stderr == (
        f"✗   {file} appeared meanwhile and was left as it is, no bundle was written\n"
        "    Next: choose another file for --bundle\n"
    )
    assert "a Bearer token was granted" in result.stdout
    assert list(file.parent.glob(".*")) == []


def test_a_folder_that_is_gone_at_the_end_is_told(cli: Cli, bank: Bank, rsa_pem: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    bank.on_request = lambda _: shutil.rmtree(folder, ignore_errors=True)
    result = cli(*ask(bank, rsa_pem), "--bundle", folder / "bundle.md")
    assert result.code == 2
    assert f"There is no folder {folder} to put bundle.md into\n" in result.stderr


@pytest.mark.parametrize("fault", ["key", "settings", "network", "refused"])
def test_it_is_written_after_a_failure_too(cli: Cli, bank: Bank, rsa_pem: Path, file: Path, fault: str) -> None:
    more: list[str] = []
    if fault == "key":
        rsa_pem.write_text("no key")
    elif fault == "settings":
        more = ["--client-id", "YOUR_CLIENT_ID"]
    elif fault == "network":
        more = ["--token-endpoint", "http://127.0.0.1:9/token"]
    bank.token = lambda _: refused()
    result = cli(*ask(bank, rsa_pem, *more), "--bundle", file)
    rule = {"key": "key.unusable", "settings": "client_id.placeholder", "network": "network.connection"}
    assert result.code == {"key": 3, "settings": 2, "network": 5, "refused": 4}[fault]
    assert f"FAIL {rule.get(fault, 'invalid_client')}" in file.read_text("utf-8")
    assert f"- exit code: {result.code}\n" in file.read_text("utf-8")


# ── As it is read in a ticket ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.posix("the stored text has modes")
def test_it_is_fit_for_a_ticket(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey, tmp_path: Path) -> None:
    import subprocess

    private = write_private(tmp_path / "private.pem", rsa_key.pem())
    os.utime(private, (NOW - 12 * 86400, NOW - 12 * 86400))
    (tmp_path / "public.pem").write_bytes(rsa_key.public.pem())
    with Sandbox([Client(CLIENT_ID, public_of(ec_key))], clock=lambda: NOW, log=lambda _: None) as sandbox:
        args = ["--client-id", CLIENT_ID, "--private-key", "private.pem", "--token-endpoint", sandbox.token_endpoint]
        args += ["--registered", "public.pem", "--claim", "tenant=1", "--bundle", "bundle.md"]
        done = subprocess.run(
            [sys.executable, *program("doctor", *args, folder=tmp_path)],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    assert done.returncode == 4
    text = without_chance((tmp_path / "bundle.md").read_text("utf-8"))
    text = re.sub(r"(x-request-id )`[0-9a-f]{32}`", rf"\1`{'0' * 32}`", text)
    text = re.sub(r"^- (banno-creds|Python|OpenSSL|libraries): .*$", r"- \1: (versions)", text, flags=re.MULTILINE)
    text = re.sub(r"(?s)(KEY-----\n)M.*?(\n-----END)", r"\1(base64)\2", text)
    compare("doctor-bundle", text)
