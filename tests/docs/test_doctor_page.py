"""docs/doctor.md is true: its scripts run under ``sh -eu``, and its tables have the members that the JSON has."""

from __future__ import annotations

import re
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.doctor.case import Exchange, Setting
from banno_creds.doctor.request import MOST_REQUESTS, PROBE_PAUSE
from banno_creds.rules.diagnosis import Cause, Diagnosis, RuledOut
from banno_creds.rules.explanations import Explanation
from banno_creds.rules.findings import Finding, Verdict
from banno_creds.sandbox import Client, Faults, Sandbox
from tests.conftest import CLIENT_ID, write_private
from tests.docs.scripts import needs_jq, needs_sh, run_script

if TYPE_CHECKING:
    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli

pytestmark = pytest.mark.once

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text("utf-8")
OFFLINE, BUNDLE, JQ, PYTHON = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, rsa_key: PrivateKey) -> Path:
    """What the scripts find: both halves of the key, and an assertion that it signed."""
    write_private(tmp_path / "private.pem", rsa_key.pem())
    (tmp_path / "public.pem").write_bytes(rsa_key.public.pem())
    return tmp_path


def _bank(key: PrivateKey, *faults: str) -> Sandbox:
    client = Client(CLIENT_ID, key.public.pem().decode())
    return Sandbox([client], faults=Faults.read(faults), log=lambda _: None)


@needs_sh
def test_what_stops_a_job_before_its_first_request(folder: Path) -> None:
    # Nobody listens there: a request would fail.
    env = {"BANNO_CREDS_TOKEN_ENDPOINT": "http://127.0.0.1:9/token"}
    done = run_script(folder, OFFLINE, env)
    assert (done.returncode, "Nothing wrong was found" in done.stdout) == (0, True)
    (folder / "public.pem").write_text("another")
    assert run_script(folder, f"{OFFLINE}\ntouch went-on", env).returncode == 4
    assert not (folder / "went-on").exists()


@needs_sh
@pytest.mark.parametrize("faults", [[], ["invalid_client"]], ids=["granted", "refused"])
def test_a_job_that_fails_leaves_a_bundle(folder: Path, rsa_key: PrivateKey, faults: list[str]) -> None:
    with _bank(rsa_key, *faults) as bank:
        done = run_script(folder, BUNDLE, {"BANNO_CREDS_TOKEN_ENDPOINT": bank.token_endpoint})
    assert done.returncode == (4 if faults else 0), done.stdout
    assert (folder / "bundle.md").exists() == bool(faults)
    assert bool((folder / "token").read_text()) != bool(faults)


@needs_sh
@needs_jq
@pytest.mark.parametrize("fault", ["", "refused", "other key"])
def test_what_jq_makes_of_the_findings(folder: Path, rsa_key: PrivateKey, fault: str) -> None:
    if fault == "other key":
        assert run_script(folder, "banno-creds keygen --quiet --force", {}).returncode == 0
    with _bank(rsa_key, *(["invalid_client"] if fault == "refused" else [])) as bank:
        done = run_script(folder, JQ, {"BANNO_CREDS_TOKEN_ENDPOINT": bank.token_endpoint})
    assert done.returncode == (4 if fault else 0), done.stdout
    assert ("invalid_client: " in done.stdout) == bool(fault)
    assert (f"Is there an external application with exactly the client ID {CLIENT_ID}" in done.stdout) == bool(fault)


@needs_sh
def test_what_python_makes_of_the_findings(folder: Path) -> None:
    sign = f"banno-creds sign-jwt --quiet --client-id {CLIENT_ID} --private-key private.pem"
    assert run_script(folder, f"{sign} > assertion.jwt", {}).returncode == 0
    done = run_script(folder, PYTHON, {})
    assert (done.returncode, done.stdout) == (0, "")
    assert run_script(folder, f"{sign} --aud https://banno.com/ --claim a=b > assertion.jwt", {}).returncode == 0
    done = run_script(folder, PYTHON, {})
    assert done.returncode == 6
    assert "fail | assertion.aud.mismatch | " in done.stdout
    assert "warn | assertion.claims.unexpected | " in done.stdout


def _members(heading: str) -> list[str]:
    """What the table under a heading lists."""
    table = PAGE[PAGE.index(f"\n| {heading} | is |\n") :].lstrip("\n").partition("\n\n")[0]
    return [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def _told(name: str) -> list[str]:
    """What the first row of a member names in its other column."""
    row = re.findall(rf"^\| `{re.escape(name)}` \| (.*) \|$", PAGE, re.MULTILINE)[0]
    return re.findall(r"`([^`]+)`", row)


def test_the_tables_have_the_members_of_the_json(cli: Cli, folder: Path) -> None:
    ask = ["--client-id", CLIENT_ID, "--private-key", str(folder / "private.pem")]
    of_doctor = loads(cli("doctor", *ask, "--offline", "--output", "json").stdout)
    assert of_doctor["diagnosis"] is None
    of_fault = loads(cli("doctor", *ask, "--aud", "https://banno.com", "--offline", "--output", "json").stdout)
    assert [f"diagnosis.{name}" for name in of_fault["diagnosis"]] == _members("of `doctor`")[-7:]
    assert PAGE.count(f"`version` is {of_doctor['version']}") == 1
    assert ["version", *[name for name in _members("of `doctor`") if "." not in name]] == list(of_doctor)
    of_lint = loads(cli("lint-assertion", "--output", "json", "-", stdin=b"no JWT").stdout)
    assert ["version", *_members("of `lint-assertion`")] == list(of_lint)
    one, several = (loads(cli("explain", *name, "--output", "json").stdout) for name in (["clock.skew"], []))
    assert ["version", *_members("of `explain`")] == [*one, *(set(several) - set(one))]
    assert of_doctor["version"] == of_lint["version"] == one["version"] == several["version"]


def test_the_tables_have_the_members_of_what_is_in_the_json() -> None:
    assert set(_members("member")) == set(Finding._fields)
    assert _told("verdict") == list(Verdict)
    assert _told("settings") == list(Setting._fields)
    assert _told("requests") == list(Exchange._fields)
    assert _told("diagnosis.causes") == list(Cause._fields)
    assert _told("diagnosis.ruled_out") == list(RuledOut._fields)
    assert set(_members("of `doctor`")[-7:]) == {f"diagnosis.{name}" for name in Diagnosis._fields}
    assert set(Explanation._fields) <= set(_members("of `explain`"))


def test_what_it_says_of_probing_is_what_is_done() -> None:
    assert f"for a token up to {MOST_REQUESTS} times, {PROBE_PAUSE:g} seconds apart" in PAGE
