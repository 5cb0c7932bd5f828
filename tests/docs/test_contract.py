"""docs/contract.md, compared with what the commands really do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import banno_creds
from banno_creds import errors
from banno_creds.cli.forms import FORMS
from banno_creds.jose.any_key import Certificate
from banno_creds.jose.keys import generate
from banno_creds.rotation.plan import Step
from banno_creds.rules.diagnosis import Diagnosis
from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from tests.conftest import Cli
    from tests.servers.issuer import Issuer

pytestmark = pytest.mark.once

PAGE = (Path(__file__).parents[2] / "docs" / "contract.md").read_text("utf-8")


def _row(first: str) -> str:
    """Return the second column of the row that begins so."""
    return next(line for line in PAGE.splitlines() if line.startswith(f"| {first}")).split(" | ")[1]


def _members(command: str) -> set[str]:
    return set(re.findall(r"`([a-z_0-9]+)`", _row(f"`{command}`")))


def test_each_class_has_the_exit_code_of_its_row() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| [^|]+ \| (`[^|]+`)", PAGE, re.MULTILINE)
    named = {name: int(code) for code, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert {name: getattr(errors, name).exit_code for name in named} == named
    public = {name for name in banno_creds.__all__ if name.endswith("Error")}
    assert public <= set(named)


def test_each_form_of_a_token_is_listed() -> None:
    assert {form for form in FORMS if f"\n| `{form}` |" in PAGE} == set(FORMS)


def test_the_members_of_keygen_and_profiles_are_these(cli: Cli, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    make = ("keygen", "-q", "-o", "json", "--private-key", key, "--public-key", tmp_path / "public.pem", "--force")
    first, made = cli(*make), cli(*make)
    assert set(json.loads(made.stdout)) - set(json.loads(first.stdout)) == {"kept"}
    assert set(json.loads(made.stdout)) == _members("keygen -o json")
    config = ("--config", tmp_path / "config.toml")
    assert cli("profile", "add", "a", "--client-id", CLIENT_ID, "--private-key", key, *config).code == 0
    listed = json.loads(cli("profile", "list", "--long", "-o", "json", *config).stdout)
    last = {"at", "ok", "exit_code", "error", "rule", "message"}
    assert {*listed, *listed["profiles"][0], *last} == _members("profile list -o json")
    sheet = b"profile,kid\na,k\nb,k\n"
    imported = json.loads(cli("profile", "import", "-", "-o", "json", "--dry-run", *config, stdin=sheet).stdout)
    assert set(imported) == _members("profile import -o json")
    assert set(json.loads(cli("profile", "export", "-o", "json", *config).stdout)) == _members(
        "profile export -o json"
    )
    assert set(json.loads(cli("profile", "show", "a", "-o", "json", *config).stdout)) == _members(
        "profile show NAME -o json"
    )


def test_the_members_of_keys_are_these(cli: Cli, rsa_pem: Path) -> None:
    shown = json.loads(cli("key", "show", "-o", "json", rsa_pem, "nowhere").stdout)
    told = {*shown, *shown["keys"][0], *shown["keys"][0]["file"], *shown["failed"][0]} | set(Certificate._fields)
    assert told <= _members("key show -o json")
    assert _members("key show -o json") - told <= {"jwk", "held", "holder", "rotation"}  # words for a member's value
    public = rsa_pem.parent / "public.json"
    public.write_text(json.dumps(generate("ec").public.jwk()))
    matched = json.loads(cli("key", "match", "-o", "json", "--registered", public, rsa_pem).stdout)
    assert {*matched, *matched["keys"][0], *matched["others"][0]} <= _members("key match -o json")


def test_the_members_of_key_sets_are_these(cli: Cli, ec_pem: Path) -> None:
    built = cli("jwks", "build", ec_pem).stdout
    (key,) = json.loads(built)["keys"]
    assert _members("jwks build") <= {*key} <= {*_members("jwks build"), "crv", "x", "y"}
    checked = json.loads(cli("jwks", "check", "-", "-o", "json", stdin=built.encode()).stdout)
    assert {*checked, *checked["keys"][0]} == _members("jwks check -o json")


def test_the_members_of_the_cache_and_of_decode_are_these(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."
    decoded = json.loads(cli("decode", "-q", "--full", token).stdout)
    assert {*decoded, *decoded["signature"]} == _members("decode") - {"payload"} | {"payload"}
    assert cli(*ask).code == 0
    [entry] = json.loads(cli("cache", "list", "-o", "json").stdout)
    assert set(entry) <= _members("cache list -o json")
    issuer.failure = 401, {"error": "invalid_scope"}
    assert cli(*ask, "--scope", "other").code == 4
    [*_, failed] = sorted(json.loads(cli("cache", "list", "-o", "json").stdout), key=lambda each: "failure" in each)
    assert {"failure", "refused", "refused_seconds_ago"} < set(failed) <= _members("cache list -o json")


def test_the_members_of_explain_are_these(cli: Cli) -> None:
    one = json.loads(cli("explain", "invalid_client", "-o", "json").stdout)
    everything = json.loads(cli("explain", "-o", "json").stdout)
    several = json.loads(cli("explain", "401 client authentication failed", "-o", "json").stdout)
    assert {*one, *several, *everything} == _members("explain ID -o json")


def test_the_members_and_the_steps_of_rotate_are_these(cli: Cli, tmp_path: Path, ec_pem: Path) -> None:
    settings = {"registration": "jwks-uri", "jwks-file": tmp_path / "jwks.json", "jwks-uri": "http://127.0.0.1:9/j"}
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    config = ("--config", tmp_path / "config.toml")
    assert cli("profile", "add", "a", "--client-id", CLIENT_ID, "--private-key", ec_pem, *options, *config).code == 0
    env = {"BANNO_CREDS_STATE_DIR": str(tmp_path / "state")}
    said = json.loads(cli("rotate", "--profile", "a", "--dry-run", "-o", "json", *config, env=env).stdout)
    assert {*said, *said["old_key"]} | {"old", "new"} == _members("rotate -o json")
    assert cli("rotate", "--profile", "a", *config, env=env).code == 5
    status = json.loads(cli("rotate", "--status", "-o", "json", *config, env=env).stdout)
    assert {*status, *status["rotations"][0]} == _members("rotate --status -o json")
    steps = PAGE.partition("The steps that `rotate` names are ")[2].partition(".")[0]
    assert set(re.findall(r"`([a-z-]+)`", steps)) == set(Step)


def test_the_members_of_a_diagnosis_are_these() -> None:
    assert {"named", "hides"} < set(Diagnosis._fields)
    assert {"named", "hides"} < _members("doctor -o json")


def test_the_members_of_a_check_and_of_many_tokens_are_these(cli: Cli, tmp_path: Path, issuer: Issuer) -> None:
    config = ("--config", tmp_path / "config.toml")
    key = tmp_path / "key.pem"
    assert cli("keygen", "-q", "--private-key", key, "--public-key", tmp_path / "public.pem").code == 0
    add = ("--client-id", CLIENT_ID, "--private-key", key, "--token-endpoint", issuer.url)
    assert cli("profile", "add", "a", *add, *config).code == 0
    checked = json.loads(cli("check", "--all", "-o", "json", *config).stdout)
    assert {*checked, *checked["profiles"][0]} == _members("check -o json")
    columns = cli("check", "a", "-o", "csv", *config).stdout.splitlines()[0].split(",")
    assert set(columns) < _members("check -o json")
    assert ", ".join(f"`{column}`" for column in columns) in _row("`check -o json`")
    line = json.loads(cli("token", "--all", *config).stdout)
    new = set(line) - set(checked["profiles"][0])
    assert new == {
        *("access_token", "token_type", "expires_in", "scope"),
    }
    assert set(json.loads(cli("token", "--all", "-o", "json", *config).stdout)) == set(checked)
