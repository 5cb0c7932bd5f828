"""The README is true: every command in it is run, and what it shows is what is printed today."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.cli.groups import COMMANDS
from banno_creds.cli.main import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, EXIT_TERMINATED
from banno_creds.sandbox import Client, Sandbox
from tests.conftest import CLIENT_ID, write_private
from tests.docs.scripts import VARYING, WEB_CLIENT, needs_sh, run_login, run_script
from tests.person import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Cli

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
# Registered nowhere, and none that looks like an example's: that would be a reason of its own.
UNKNOWN_CLIENT = "5f2c8a10-77ab-4d0c-9f3e-2b6a1d4c8e90"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ("README.md", "docs/first-token.md", "docs/scripts.md")


def _blocks(page: str, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall((ROOT / page).read_text("utf-8")) if found == language]


SCRIPTS = [
    pytest.param(script, id=f"{page}-{number}")
    for page in PAGES
    for number, script in enumerate(_blocks(page, "sh"), 1)
    if not script.startswith("make ")
]


def _normal(text: str) -> str:
    for pattern, replacement in VARYING:
        text = re.sub(pattern, replacement, text)
    return text


def _register(stack: ExitStack, folder: Path) -> dict[str, str]:
    public_key = (folder / "public.pem").read_text()
    redirect_uri = f"https://localhost:{free_port()}/auth/cb"
    clients = [Client(CLIENT_ID, public_key), Client(WEB_CLIENT, public_key, redirect_uris=(redirect_uri,))]
    sandbox = stack.enter_context(Sandbox(clients, log=lambda _: None))
    return {"BANNO_CREDS_TOKEN_ENDPOINT": sandbox.token_endpoint, "BANNO_CREDS_REDIRECT_URI": redirect_uri}


def _at_the_issuer(env: Mapping[str, str]) -> dict[str, str]:
    """The same, where a command asks the server what it says of itself."""
    issuer = env["BANNO_CREDS_TOKEN_ENDPOINT"].removesuffix("/token")
    return {"BANNO_CREDS_ISSUER": issuer, "BANNO_CREDS_REDIRECT_URI": env["BANNO_CREDS_REDIRECT_URI"]}


@needs_sh
@pytest.mark.parametrize("page", ["README.md", "docs/first-token.md"])
def test_the_session_prints_what_the_page_shows(tmp_path: Path, page: str) -> None:
    """The blocks are one session. The sandbox stands where the bank's server stands."""
    env: dict[str, str] = {}
    settings = ""
    with ExitStack() as stack:
        for block in _blocks(page, "console"):
            for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
                if command.startswith("export "):
                    settings = f"{command}\n"
                    continue
                # At the vendor's the endpoint is known to be the server's own name for itself.
                here = _at_the_issuer(env) if UNKNOWN_CLIENT in command else env
                done = run_script(tmp_path, settings + command, here)
                assert _normal(done.stdout) == _normal(expected), command
                refused = UNKNOWN_CLIENT in command and "||" not in command
                assert done.returncode == (4 if refused else 0)
                if not env and (tmp_path / "public.pem").exists():
                    env = _register(stack, tmp_path)
    assert env


@needs_sh
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_run_under_sh_eu(tmp_path: Path, script: str, rsa_pem: Path) -> None:
    write_private(tmp_path / "private.pem", rsa_pem.read_bytes())
    assert run_script(tmp_path, "banno-creds keygen -q --public-from private.pem", {}).returncode == 0
    with ExitStack() as stack:
        env = _register(stack, tmp_path)
        if "banno-creds login" in script:
            done, seen = run_login(tmp_path, script, _at_the_issuer(env))
            assert (seen["status"], seen["url"].rpartition("/")[2]) == (200, "me")
        else:
            done = run_script(tmp_path, script, env)
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout


def test_the_readme_is_short_and_the_index_names_every_page() -> None:
    assert len(README.splitlines()) <= 200
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages == set(re.findall(r"\]\(([\w-]+\.md)", index))


def test_the_two_commands_are_targets_that_ci_runs() -> None:
    targets = re.findall(r"^make (\w+)", _blocks("README.md", "sh")[0], re.MULTILINE)
    assert targets == ["demo", "test"]
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in {*targets, *re.findall(r"`make (\w+)`", README)}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for target in targets:
        assert f"make {target}" in ci


def test_ci_runs_the_smoke_list_on_windows() -> None:
    """The page names the versions that are set up; each command has a test there."""
    assert "Windows with CPython 3.11 under Wine 8" in " ".join(README.split())
    windows = ROOT / "tests" / "windows"
    assert "\nCPYTHON=3.11." in (windows / "wine" / "set-up.sh").read_text("utf-8")
    assert "make wine-smoke" in (ROOT / ".ci" / "run").read_text("utf-8")
    smoke = (windows / "test_smoke.py").read_text("utf-8")
    assert [command for command in COMMANDS if f'"{command}"' not in smoke] == []


def test_every_command_is_in_the_readme_and_no_other() -> None:
    rows = re.findall(r"^\| (`banno-creds [^|]*)\|", README, re.MULTILINE)
    named = re.findall(r"`banno-creds ([\w-]+)`", " ".join(rows))
    assert sorted(named) == sorted(COMMANDS)


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    from banno_creds import errors

    def branches(root: type[errors.BannoCredsError]) -> set[int]:
        return {root.exit_code}.union(*(branches(child) for child in root.__subclasses__()))

    rows = re.findall(r"^\| (\d+(?:, \d+)?) \|", README, re.MULTILINE)
    listed = {int(code) for row in rows for code in row.split(", ")}
    assert listed == branches(errors.BannoCredsError) | {0, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE, EXIT_TERMINATED}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_every_file_that_a_page_points_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).is_file(), target


@pytest.mark.parametrize(
    ("line", "code", "prints"),
    [
        ("doctor --offline --client-id YOUR_CLIENT_ID --private-key private.pem", 2, True),
        ("doctor --offline --output json --client-id YOUR_CLIENT_ID --private-key private.pem", 2, True),
        ("lint-assertion not-a-jwt", 6, True),
        ("lint-assertion --output json not-a-jwt", 6, True),
        ("decode not-a-jwt", 6, False),
        (
            "client-assertion --quiet --client-id ID --private-key private.pem --token-endpoint http://127.0.0.1:9/",
            5,
            False,
        ),
        ("token --client-id ID --private-key private.pem --token-endpoint http://127.0.0.1:9/", 5, False),
        ("sign-jwt --client-id ID --private-key nothing.pem", 3, False),
        ("keygen", 2, False),
        ("explain nothing", 2, False),
        ("profile show nothing", 2, False),
        ("login --client-id ID --redirect-uri https://app.example.com/", 2, False),
        ("whoami --client-id ID", 6, False),
        ("logout --client-id ID", 6, False),
    ],
)
def test_what_fails_prints_nothing_but_what_doctor_and_lint_assertion_found(
    cli: Cli, rsa_pem: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch, line: str, code: int, prints: bool
) -> None:
    del pauses
    rsa_pem.rename(rsa_pem.with_name("private.pem"))
    monkeypatch.chdir(rsa_pem.parent)
    result = cli(*line.split())
    assert (result.code, result.stdout != "") == (code, prints)
    assert prints or re.search("^✗   ", result.stderr, re.MULTILINE)
