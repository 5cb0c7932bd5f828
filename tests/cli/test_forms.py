"""The forms of a token, where they are more than the token itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from banno_creds import shells
from banno_creds.cli.forms import FORMS
from tests.conftest import Result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer


def test_githubs_mask_is_written_as_its_runner_reads_it(cli: Cli, ask: list[str], tmp_path: Path) -> None:
    """It decodes %25 in what a command is given; the token itself goes into the files as it is."""
    output = tmp_path / "output"
    result = cli(*ask, "--scope", "a%25b%0A", "-o", "github", env={"GITHUB_OUTPUT": str(output)})
    assert result == Result(0, "::add-mask::a%2525b%250A.1\n", "")
    assert output.read_bytes().startswith(b"access_token=a%25b%0A.1\n")


@pytest.mark.parametrize("command", ["token", "client-assertion"])
def test_what_cannot_be_written_is_told_before_the_server_is_asked(
    cli: Cli, ask: list[str], issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    ask = [command, *ask[1:]]
    assert "GITHUB_ENV or GITHUB_OUTPUT" in cli(*ask, "-o", "github").stderr
    nowhere = cli(*ask, "-o", "github", env={"GITHUB_ENV": str(tmp_path / "no" / "file")})
    assert (nowhere.code, nowhere.stdout) == (2, "")
    assert "the token could not be written to" in nowhere.stderr.lower()
    monkeypatch.setattr("sys.stdout", None)
    closed = cli(*ask)
    assert (closed.code, issuer.forms) == (2, [])
    assert "could not be written to standard output: it is closed" in closed.stderr


# --- Variables in the shells of Windows -----------------------------------------------------------------------------


LINES = {
    "powershell": "$env:BANNO_ACCESS_TOKEN = '{}'; $env:BANNO_TOKEN_TYPE = 'Bearer'; "
    "$env:BANNO_TOKEN_EXPIRES_AT = '{}'\n",
    "cmd": 'set "BANNO_ACCESS_TOKEN={}"\nset "BANNO_TOKEN_TYPE=Bearer"\nset "BANNO_TOKEN_EXPIRES_AT={}"\n',
}


@pytest.mark.parametrize("form", LINES)
def test_variables_are_set_in_the_shells_of_windows_on_every_system(
    cli: Cli, ask: list[str], issuer: Issuer, form: str
) -> None:
    first, again = cli(*ask, "-o", form), cli(*ask, "-o", form)
    assert (first.code, first.stderr) == (0, "")
    assert re.sub(r"\d{10}", "TIME", first.stdout) == LINES[form].format("openid.1", "TIME")
    assert again == first
    assert len(issuer.forms) == 1
    fresh = cli("client-assertion", *ask[1:], "-q", "-o", form).stdout
    assert re.sub(r"\d{10}", "TIME", fresh) == LINES[form].format("openid.2", "TIME")


def test_quotes_in_a_token_are_doubled_for_powershell(cli: Cli, ask: list[str]) -> None:
    told = cli(*ask, "--scope", "it's%x%", "-o", "powershell").stdout
    assert told.startswith("$env:BANNO_ACCESS_TOKEN = 'it''s%x%.1'; ")


@pytest.mark.parametrize("scope", ["a%b", "a!b", "a^b", "ab" * 4500])
def test_a_token_that_cmd_would_change_is_refused_there(cli: Cli, ask: list[str], scope: str) -> None:
    assert cli(*ask, "--scope", scope, "-o", "cmd") == Result(
        2,
        "",
        "✗   The token has characters in it that cmd changes, or is too long for a line of it\n"
        "    Next: take --output powershell, or run your command with: banno-creds exec -- COMMAND\n",
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("ps1", "powershell"), ("pwsh", "powershell"), ("bat", "cmd"), ("batch", "cmd"), ("bash", "env")],
)
def test_other_names_of_a_shell_lead_to_its_form(cli: Cli, ask: list[str], typed: str, meant: str) -> None:
    assert f"did you mean --output {meant}\n" in cli(*ask, "-o", typed).stderr
    assert f"{meant}\n" in cli(*ask, f"--{typed}").stderr


def test_windows_is_told_of_its_own_forms(
    cli: Cli, ask: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shells, "of_windows", lambda: True)
    for form in FORMS:
        told = cli(*ask, "-o", form, env={"GITHUB_ENV": str(tmp_path / "env")})
        warned = "--output powershell, for cmd --output cmd" in told.stderr
        assert (told.code, warned) == (0, form == "env"), form
