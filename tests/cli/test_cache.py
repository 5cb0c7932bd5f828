"""``banno-creds cache``: what is kept, without any token; and how to be rid of it."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from banno_creds.storage import own_files
from tests.conftest import CLIENT_ID, Result

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer

EMPTY = Result(0, "", "The cache is empty.\n")
INSTANT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def _listed(cli: Cli) -> list[dict[str, object]]:
    result = cli("cache", "list", "-o", "json")
    assert (result.code, result.stderr) == (0, "")
    listed: list[dict[str, object]] = json.loads(result.stdout)
    return listed


# --- list -----------------------------------------------------------------------------------------------------------


def test_a_cache_that_is_not_there_is_empty_and_none_is_made(cli: Cli, folder: Path) -> None:
    assert cli("cache", "list") == EMPTY
    assert _listed(cli) == []
    assert cli("cache", "clear") == Result(0, "", "Removed 0 entries from the cache.\n")
    assert not folder.exists()


def test_without_a_home_the_cache_is_empty(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "cache_folder", lambda: None)
    assert cli("cache", "list") == EMPTY
    assert cli("cache", "clear").code == 0


def test_the_list_says_for_whom_from_where_and_how_long_and_never_a_token(
    cli: Cli, ask: list[str], issuer: Issuer
) -> None:
    assert cli(*ask).code == 0
    assert cli(*ask, "--scope", "", "--resource", "https://a.example", "--resource", "https://b.example").code == 0
    result = cli("cache", "list")
    assert (result.code, result.stderr) == (0, "")
    first = rf"{CLIENT_ID}\n    {re.escape(issuer.url)}\n    scope openid\n"
    second = (
        rf"{CLIENT_ID}\n    {re.escape(issuer.url)}\n"
        r"    scope \(none\) · resource https://a.example · resource https://b.example\n"
    )
    good = rf"    good for 9 min 5\d s, until {INSTANT}\n"
    assert re.fullmatch(rf"(?:{first}{good}|{second}{good}){{2}}", result.stdout.replace("10 min", "9 min 59 s"))
    assert "openid.1" not in result.stdout


def test_as_json_it_is_an_array_of_objects(cli: Cli, ask: list[str], issuer: Issuer, folder: Path) -> None:
    began = time.time()
    assert cli(*ask).code == 0
    [entry] = folder.glob("*.json")
    [listed] = _listed(cli)
    left, expires_at = listed.pop("seconds_left"), listed.pop("expires_at")
    assert listed == {
        "file": entry.name,
        "client_id": CLIENT_ID,
        "token_endpoint": issuer.url,
        "issuer": None,
        "scope": ["openid"],
        "resource": [],
        "state": "good",
    }
    assert isinstance(left, int)
    assert isinstance(expires_at, int)
    assert began + 599 < expires_at <= time.time() + 600
    assert expires_at - time.time() - 1 <= left <= 600
    assert "openid.1" not in json.dumps(_listed(cli))
    assert cli("cache", "list", env={"BANNO_CREDS_CACHE_OUTPUT": "json"}).stdout.startswith("[\n")


def test_an_issuer_stands_where_no_endpoint_was_named(cli: Cli, folder: Path, ask: list[str]) -> None:
    cli(*ask)
    [entry] = folder.glob("*.json")
    members = json.loads(entry.read_text())
    members["about"] |= {"token_endpoint": None, "issuer": "https://issuer.example"}
    entry.write_text(json.dumps(members))
    assert "\n    issuer https://issuer.example\n" in cli("cache", "list").stdout


def test_a_token_that_has_ended_and_a_refusal_are_told(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    issuer.expires_in = 0
    cli(*ask)
    assert cli("cache", "list").stdout.endswith("\n    ended\n")
    issuer.refuse()
    cli(*ask)
    words = "the server refused the client: invalid_client — client authentication failed"
    assert re.search(rf"\n    ended\n    {words}, \d s ago\n$", cli("cache", "list").stdout)
    [listed] = _listed(cli)
    assert (listed["state"], listed["refused"]) == ("ended", words)
    assert listed["refused_seconds_ago"] in range(5)
    cli("cache", "clear")
    cli(*ask)
    assert re.search(rf"\n    no token: {words}\n    that was \d s ago\n$", cli("cache", "list").stdout)
    assert _listed(cli)[0]["state"] == "none"


def test_a_failure_that_is_no_refusal_is_told_where_there_is_no_token(cli: Cli, ask: list[str]) -> None:
    away = [*ask[:-1], "http://127.0.0.1:9/"]
    assert cli(*away).code == 5
    [listed] = _listed(cli)
    assert (listed["state"], str(listed["failure"])[:24]) == ("none", "127.0.0.1:9 refused the ")
    assert "\n    no token: 127.0.0.1:9 refused the connection" in cli("cache", "list").stdout


def test_a_broken_entry_is_told_and_breaks_nothing(cli: Cli, ask: list[str], folder: Path) -> None:
    cli(*ask)
    broken = folder / f"{'0' * 64}.json"
    broken.write_bytes(b"\xff")
    result = cli("cache", "list")
    assert result.code == 0
    assert result.stdout.startswith(
        f"{broken.name}\n    broken: it will be replaced by the next request\n{CLIENT_ID}\n"
    )
    assert _listed(cli)[0] == {"file": broken.name, "state": "broken"}


def test_an_entry_that_cannot_be_read_is_told_and_is_not_taken_for_nobodys(
    cli: Cli, ask: list[str], folder: Path, tmp_path: Path
) -> None:
    """It may hold the profile's token, so that a clear of that profile must not say that all is gone."""
    cli(*ask)
    [good] = folder.glob("*.json")
    unreadable = folder / f"{'0' * 64}.json"
    unreadable.mkdir()
    assert cli("cache", "list").stdout.startswith(f"{unreadable.name}\n    cannot be read: ")
    first = _listed(cli)[0]
    assert (first["file"], first["state"]) == (unreadable.name, "unreadable")
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(
        f'[profiles.garden]\nclient_id = "{CLIENT_ID}"\ntoken_endpoint = "{ask[ask.index("--token-endpoint") + 1]}"\n'
    )
    result = cli("cache", "clear", "--profile", "garden", "--config", profiles)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   The cache could not be cleared: {unreadable}")
    assert not good.exists()


def test_what_a_server_or_a_script_put_into_it_moves_no_cursor(cli: Cli, ask: list[str], folder: Path) -> None:
    cli(*ask)
    [entry] = folder.glob("*.json")
    members = json.loads(entry.read_text())
    members["about"] |= {"client_id": "a\x1b[2Jb\n", "scope": ["\u202ex"], "token_endpoint": "https://\x07"}
    entry.write_text(json.dumps(members))
    result = cli("cache", "list")
    assert result.code == 0
    assert all(c.isprintable() or c == "\n" for c in result.stdout)


@pytest.mark.posix("a symbolic link")
@pytest.mark.parametrize("command", ["list", "clear"])
def test_a_folder_that_is_not_ours_is_an_error(cli: Cli, folder: Path, command: str) -> None:
    (folder.parent / "elsewhere").mkdir(0o700)
    folder.symlink_to(folder.parent / "elsewhere")
    assert cli("cache", command) == Result(
        2,
        "",
        f"✗   The cache cannot be read: {folder} is a link\n    Next: name another folder in BANNO_CREDS_CACHE_DIR\n",
    )


def test_a_folder_that_cannot_be_listed_is_an_error(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(0o700)

    def fail(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", fail)
    result = cli("cache", "list")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   The cache cannot be read: {folder}: Permission denied\n")


# --- clear ----------------------------------------------------------------------------------------------------------


def test_clear_removes_what_the_cache_wrote_and_nothing_else(cli: Cli, ask: list[str], folder: Path) -> None:
    cli(*ask)
    cli(*ask, "--scope", "full")
    for left in (".lock", ".json.1.0123456789ab.tmp"):
        (folder / f"{'0' * 64}{left}").touch()
    (folder / "notes.json").write_text("{}")
    assert cli("cache", "clear") == Result(0, "", "Removed 2 entries from the cache.\n")
    assert [path.name for path in folder.iterdir()] == ["notes.json"]
    assert cli("cache", "list") == EMPTY
    assert cli(*ask).stdout == "openid.3\n"
    assert cli("cache", "clear") == Result(0, "", "Removed 1 entry from the cache.\n")


def test_what_cannot_be_removed_is_an_error(cli: Cli, ask: list[str], folder: Path) -> None:
    cli(*ask)
    (folder / f"{'0' * 64}.json").mkdir()
    for digit in "123456789":
        (folder / f"{digit * 64}.json").touch()
    result = cli("cache", "clear")
    assert [path.name for path in folder.iterdir()] == [f"{'0' * 64}.json"]
    assert (result.code, result.stdout) == (2, "")
    assert [path.name for path in folder.iterdir()] == [f"{'0' * 64}.json"]  # the rest is gone
    assert result.stderr.startswith(f"✗   The cache could not be cleared: {folder / ('0' * 64)}.json: ")
    assert result.stderr.endswith("\n    Next: check who owns it and who may write it\n")


def test_a_clear_ends_the_memory_of_a_refusal(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    issuer.refuse()
    cli(*ask)
    cli("cache", "clear")
    issuer.failure = None
    assert cli(*ask) == Result(0, "openid.2\n", "")
