"""docs/many.md: its scripts do what it says, and its tables name what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.cli import check, rows
from banno_creds.config import DEFAULT_GIVE_UP_AFTER, DEFAULT_JOBS, DEFAULT_RATE
from banno_creds.sandbox import Client, Sandbox
from tests.conftest import write_private
from tests.docs.scripts import needs_jq, needs_sh, run_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from banno_creds.jose.keys import PrivateKey

pytestmark = pytest.mark.once

PAGE = (Path(__file__).parents[2] / "docs" / "many.md").read_text("utf-8")
BLOCKS: list[str] = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NOT_IN_CSV = {"last_good", "details", "warnings", "expires_at"}
CLIENTS = {"garden": "known-1", "orchard": "known-2", "meadow": "nobody"}


@pytest.fixture
def types(tmp_path: Path, ec_key: PrivateKey) -> Iterator[Callable[[str], str]]:
    """What the reader sees, who has three profiles, one of which the server does not know."""
    pem = ec_key.public.pem().decode()
    known = [Client(client, pem) for client in CLIENTS.values() if client != "nobody"]
    with Sandbox(known, log=lambda _: None) as sandbox:
        write_private(tmp_path / "private.pem", ec_key.pem())
        for name, client in CLIENTS.items():
            add = f"banno-creds profile add {name} --client-id {client} --private-key private.pem --tag core"
            assert run_script(tmp_path, f"{add} --token-endpoint {sandbox.token_endpoint}", {}).returncode == 0

        def run(script: str) -> str:
            return run_script(tmp_path, script, {}).stdout

        yield run


@needs_sh
def test_the_table_is_as_the_page_shows_it(types: Callable[[str], str]) -> None:
    said = types(BLOCKS[0])
    row = PAGE.partition("✗   2 profiles      invalid_client\n")[2].partition("✓")[0].splitlines()
    shown = [line.replace("garden", "meadow") for line in row if "profiles  " not in line and "last good" not in line]
    told = [line for line in said.splitlines() if not line.startswith("        answer    401 ")]  # of one alone
    assert told == [
        "✗   meadow          invalid_client",
        *shown,
        "✓   2 profiles      good",
        "        profiles  garden, orchard",
        "3 profiles: 2 good, 1 refused",
    ]


@needs_sh
def test_each_line_of_the_table_of_what_to_check_runs(types: Callable[[str], str]) -> None:
    lines = re.findall(r"^\| [^|]* \| `(banno-creds check [^`]*)` \|$", PAGE, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        assert re.search(r"^\d profiles?: ", types(f"{line} || true"), re.MULTILINE), line


@needs_sh
def test_the_nightly_line_mails_what_is_wrong(types: Callable[[str], str], tmp_path: Path) -> None:
    line = BLOCKS[1].splitlines()[1].partition("*  ")[2]
    (tmp_path / "bin" / "mail").write_text("#!/bin/sh\ncat > mailed\n")
    (tmp_path / "bin" / "mail").chmod(0o755)
    types(line)
    mailed = json.loads((tmp_path / "mailed").read_text())
    assert {row["profile"]: row["exit_code"] for row in mailed["profiles"]} == {
        "garden": 0,
        "orchard": 0,
        "meadow": 4,
    }


@needs_sh
@needs_jq
def test_the_scripts_for_programs_name_each_profile(types: Callable[[str], str]) -> None:
    assert types(BLOCKS[2]).startswith("meadow: the server refused the client: invalid_client")
    told = sorted(line for line in types(BLOCKS[3]).splitlines() if not line.startswith("3 profiles"))
    assert told[1] == "meadow: exit 4"
    assert re.fullmatch(r"garden has a token for \d+ s", told[0])


def test_the_page_names_the_members_the_kinds_of_errors_and_the_bounds() -> None:
    table = PAGE.partition("## For programs")[2].partition("## The tokens")[0]
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert named == set(rows.Row("a").members())
    kinds = set(re.findall(r"`(\w+)`", table.partition("or else ")[2].partition("|")[0]))
    assert kinds == {*rows.KINDS.values(), rows.INTERRUPTED, "bug"}
    assert f"at most {DEFAULT_JOBS} requests at a time" in PAGE
    assert f"at most {DEFAULT_RATE:g} requests in a second" in PAGE
    assert f"after {DEFAULT_GIVE_UP_AFTER} refusals in a row" in PAGE
    options = {opt for parameter in check.command.params for opt in (*parameter.opts, *parameter.secondary_opts)}
    assert set(re.findall(r"`(--[\w-]+)", PAGE)) <= options


def test_the_page_says_what_csv_leaves_out() -> None:
    assert "CSV has all of these but `details`, `warnings`, `expires_at` and `last_good`." in PAGE
    assert set(rows.csv_line(None).split(",")) == set(rows.Row("a").members()) - NOT_IN_CSV
