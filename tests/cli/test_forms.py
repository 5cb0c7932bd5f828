"""The forms of a token, where they are more than the token itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import Result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli


def test_githubs_mask_is_written_as_its_runner_reads_it(cli: Cli, ask: list[str], tmp_path: Path) -> None:
    """It decodes %25 in what a command is given; the token itself goes into the files as it is."""
    output = tmp_path / "output"
    result = cli(*ask, "--scope", "a%25b%0A", "-o", "github", env={"GITHUB_OUTPUT": str(output)})
    assert result == Result(0, "::add-mask::a%2525b%250A.1\n", "")
    assert output.read_text().startswith("access_token=a%25b%0A.1\n")
