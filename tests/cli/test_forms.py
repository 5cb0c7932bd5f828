"""The forms of a token, where they are more than the token itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
    assert output.read_text().startswith("access_token=a%25b%0A.1\n")


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
