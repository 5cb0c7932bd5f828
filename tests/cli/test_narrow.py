"""Forty columns: on a narrow terminal nothing is cut, and no column leaves a word a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.terminal import at_terminal

if TYPE_CHECKING:
    from tests.servers.issuer import Issuer

pytestmark = [pytest.mark.once, pytest.mark.posix("a pseudo-terminal")]

COLUMNS = 40
NO_COLOUR = {"NO_COLOR": "1"}


def _on_screen(*args: str, stdout: bool = False) -> list[str]:
    lines = at_terminal("-m", "banno_creds", *args, env=NO_COLOUR, stdout=stdout, columns=COLUMNS).lines
    assert any(lines)
    return lines


@pytest.mark.parametrize("command", ["client-assertion", "token -v"])
def test_steps_fit(ask: list[str], issuer: Issuer, command: str) -> None:
    lines = _on_screen(*command.split(), *ask[1:])
    assert max(map(len, lines)) <= COLUMNS
    assert issuer.url in "".join(line.strip() for line in lines)  # wrapped, and not shortened


def test_findings_use_the_whole_width(ask: list[str], issuer: Issuer) -> None:
    lines = _on_screen("doctor", *ask[1:], "--offline", stdout=True)
    assert max(map(len, lines)) <= COLUMNS
    assert max(len(line) - len(line.lstrip()) for line in lines) <= 12
    assert issuer.url in "".join(line.strip() for line in lines)


@pytest.mark.parametrize(
    "typed",
    [
        "token",
        "token --client_id 199e6f35 --private-key private.pem",
        "token client-id 199e6f35",
        "token --insecure",
        "token --client-id 199e6f35 --private-key nowhere.pem",
        "exec --client-id 199e6f35 -- nowhere",
        "profile show nowhere",
        "decode nonsense",
    ],
)
def test_errors_fit(typed: str) -> None:
    lines = _on_screen(*typed.split())
    assert max(map(len, lines)) <= COLUMNS
    assert any("Next: " in line for line in lines)


def test_the_list_of_explanations_has_no_column_of_single_words() -> None:
    lines = _on_screen("explain", stdout=True)
    wide = [line for line in lines if len(line) > COLUMNS]
    assert all(" " not in line.strip() for line in wide)  # an id is never broken
    assert max(len(line) - len(line.lstrip()) for line in lines) <= 4
