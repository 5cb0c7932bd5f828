"""The section of docs/keys.md on changing a key: its scripts, its cron line and its timer do what it says."""

from __future__ import annotations

import configparser
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.jose import keys
from banno_creds.rotation.plan import Step
from banno_creds.rotation.subject import DAY, DEFAULT_KEEP, DEFAULT_WAIT
from tests.conftest import CLIENT_ID, write_private
from tests.docs.scripts import needs_jq, needs_sh, run_script
from tests.servers.set_bank import SetBank

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.once

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")
SECTION = PAGE.partition("## Change a key without a night's work")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def block(language: str, number: int = 0) -> str:
    found: list[str] = [text for each, text in BLOCKS if each == language]
    return found[number]


class Reader:
    """Somebody who has a key at a bank with a JWKS URI, and types what the page says."""

    def __init__(self, folder: Path, bank: SetBank) -> None:
        self.folder = folder
        self.bank = bank
        self.env: Mapping[str, str] = {
            "XDG_CONFIG_HOME": str(folder),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        key = keys.generate("ec")
        write_private(folder / "private.pem", key.pem())
        (folder / "jwks.json").write_text(
            json.dumps({"keys": [{**key.public.jwk(), "kid": key.public.thumbprint()}]})
        )
        (folder / "www").mkdir()
        (folder / "bin").mkdir()
        for name, program in {
            "banno-creds": f'exec "{sys.executable}" -m banno_creds "$@"',
            "rsync": f'test "$1 $3" = "--checksum www:/srv/www/" && cp "$2" {folder}/www',
        }.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{program}\n")
            (folder / "bin" / name).chmod(0o755)
        make = f"banno-creds profile add garden --client-id {CLIENT_ID} --private-key private.pem"
        self.types(f"{make} --token-endpoint {bank.url}")

    def types(self, script: str) -> str:
        script = script.replace("https://fintech.example/jwks.json", self.bank.jwks_uri)
        done = run_script(self.folder, script.replace("/var/www", str(self.folder / "www")), self.env)
        if (self.folder / "www" / "jwks.json").exists():
            self.bank.published = (self.folder / "www" / "jwks.json").read_bytes()
        assert done.returncode == 0, done.stdout
        return done.stdout

    def step(self) -> str:
        step: str = json.loads(self.types("banno-creds rotate --profile garden --dry-run -o json"))["step"]
        return step


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with SetBank() as bank:
        yield Reader(tmp_path, bank)


@needs_sh
def test_the_script_leads_to_the_wait(reader: Reader) -> None:
    lines = block("sh").splitlines(keepends=True)
    said = reader.types("".join(lines[:3]))
    assert "make a new key" in said
    assert f"publish {reader.folder / 'jwks.json'}" in said
    said = reader.types("".join(lines[3:4]))
    said = reader.types("".join(lines[4:]))
    assert "wait-for-caches" in said
    assert len(json.loads(reader.bank.published or b"")["keys"]) == 2


@needs_sh
def test_the_line_for_cron_changes_the_set_and_publishes_it(reader: Reader) -> None:
    reader.types(block("sh").splitlines()[0])
    times, _, command = block("text").partition("  ")
    assert re.fullmatch(r"\d+ \d+ \* \* \*", times)
    reader.bank.published = (reader.folder / "jwks.json").read_bytes()
    assert reader.types(command) == ""
    assert len(json.loads(reader.bank.published)["keys"]) == 2
    assert reader.types(command) == ""
    assert reader.step() == Step.WAIT_FOR_CACHES


@needs_jq
@needs_sh
def test_a_line_tells_which_rotations_wait_for_somebody(reader: Reader) -> None:
    reader.types(block("sh").splitlines()[0])
    reader.bank.published = (reader.folder / "jwks.json").read_bytes()
    assert reader.types(block("sh", 1)) == ""
    reader.types("banno-creds rotate --profile garden")
    assert reader.types(block("sh", 1)) == "garden: publish\n"
    reader.bank.published = (reader.folder / "jwks.json").read_bytes()
    reader.types("banno-creds rotate --profile garden")
    assert reader.types(block("sh", 1)) == ""


@needs_sh
def test_the_timer_runs_the_same_commands(reader: Reader) -> None:
    units = configparser.ConfigParser(interpolation=None)
    units.optionxform = str  # type: ignore[assignment,method-assign]
    units.read_string(block("ini", 0) + block("ini", 1))
    reader.types(block("sh").splitlines()[0])
    reader.bank.published = b'{"keys": []}'
    reader.types(f"{units['Service']['ExecStart']} > /dev/null\n{units['Service']['ExecStartPost']}")
    assert len(json.loads(reader.bank.published)["keys"]) == 2
    assert (units["Timer"]["OnCalendar"], units["Install"]["WantedBy"]) == ("daily", "timers.target")


def test_the_page_names_the_steps_and_the_times() -> None:
    named = set(re.findall(r"`([a-z-]+)`", SECTION))
    assert set(Step) - named <= {Step.LOOK, Step.REFUSED, Step.WENT_BACK}
    assert (DEFAULT_WAIT, DEFAULT_KEEP) == (DAY, 7 * DAY)
