"""``banno-creds check`` and ``token --all``: many profiles in one run, each told with its cause and its next step."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import trustme

from banno_creds.cli import inputs, many, progress, report, rows
from banno_creds.cli.rows import Row
from banno_creds.config import Wanted
from banno_creds.errors import KeyLoadError, NetworkError, RefusedError
from banno_creds.jose import keys
from banno_creds.jose.decode import decode
from banno_creds.login.session_store import SessionStore
from banno_creds.many.record import Checked, Record
from banno_creds.steps import AnswerReceived, Run, TokenRequested
from banno_creds.tokens.response import TokenResponse
from tests.conftest import Result, write_private
from tests.servers.bank import TOKEN, Bank, granted
from tests.servers.loopback import Says, says_json
from tests.terminal import at_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import Cli, How

PEM_OF_NOTHING = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
QUICK = ("--rate", "0")


class Desk:
    """A file of profiles and a bank that knows them."""

    def __init__(self, cli: Cli, bank: Bank, folder: Path, key: Path) -> None:
        self.bank = bank
        self.folder = folder
        self.file = folder / "config.toml"
        self._cli = cli
        self._key = key
        self._is_written = False
        self.profiles: dict[str, str] = {}
        self.answers: dict[str, Says] = {}  # by client ID; the others get a token
        bank.token = lambda form: self.answers.get(_client(form), granted(scope="openid"))

    def add(self, name: str, **settings: Any) -> None:
        """Add a profile; a setting that is None is left out."""
        usual = {"client_id": f"id-of-{name}", "private_key": str(self._key), "token_endpoint": self.bank.url}
        own = {each: value for each, value in {**usual, **settings}.items() if value is not None}
        self.profiles[name] = f"[profiles.{name}]\n" + "".join(f"{each} = {json.dumps(own[each])}\n" for each in own)
        self._is_written = False

    def write(self) -> None:
        """Write the profiles."""
        if not self._is_written:
            write_private(self.file, "\n".join(self.profiles.values()).encode())
        self._is_written = True

    def run(self, command: str, *words: str, **more: Any) -> Result:
        """Run a command with these profiles, unpaced."""
        self.write()
        return self._cli(command, *words, *QUICK, "--config", self.file, **more)

    def rows(self, *words: str) -> dict[str, dict[str, Any]]:
        """Check, and return the rows by the profiles' names, in their order."""
        members = json.loads(self.run("check", *words, "-q", "-o", "json").stdout)
        return {row["profile"]: row for row in members["profiles"]}

    @property
    def asked(self) -> list[str]:
        """The clients that the bank was asked for."""
        return [_client(form) for form in self.bank.forms]


def _client(form: Mapping[str, str]) -> str:
    return str(decode(form["client_assertion"]).payload["sub"])


@pytest.fixture
def bank() -> Iterator[Bank]:
    with Bank() as running:
        yield running


@pytest.fixture
def desk(cli: Cli, bank: Bank, tmp_path: Path, ec_pem: Path, folder: Path) -> Desk:
    return Desk(cli, bank, tmp_path, ec_pem)


def _refused(error: str, words: str = "", status: int = 400) -> Says:
    return says_json(status, error=error, error_description=words)


# --- What is told ---------------------------------------------------------------------------------------------------


def test_each_profile_is_asked_for_once_and_the_good_ones_are_counted(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.add(name)
    table = "✓   3 profiles      good\n        profiles  a, b, c\n3 profiles: 3 good\n"
    assert desk.run("check", "--all") == Result(0, table, "")
    assert sorted(desk.asked) == ["id-of-a", "id-of-b", "id-of-c"]


def _kinds(desk: Desk, tmp_path: Path, rsa_pem: Path, tls: str) -> dict[str, tuple[int, str, str]]:
    """Plant profiles with a fault each; return exit code, error and rule that each is to be told with."""
    told: dict[str, tuple[int, str, str]] = {}

    def plant(kind: str, code: int, error: str, rule: str, answer: Says | None = None, **settings: Any) -> None:
        for number in range(2):
            name = f"{kind}-{number}"
            desk.add(name, **settings)
            told[name] = (code, error, rule)
            if answer is not None:
                desk.answers[f"id-of-{name}"] = answer

    garbage = write_private(tmp_path / "garbage.pem", PEM_OF_NOTHING)
    encrypted = write_private(tmp_path / "encrypted.pem", keys.generate("ec").pem(b"canaryPassphrase"))
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/token"
    plant("no-key-file", 3, "key", "key.unusable", private_key="missing.pem")
    plant("no-key-at-all", 2, "configuration", "configuration.invalid", private_key=None)
    plant("garbage", 3, "key", "key.unusable", private_key=str(garbage))
    plant("encrypted", 3, "key", "key.unusable", private_key=str(encrypted))
    plant("no-client", 2, "configuration", "configuration.invalid", client_id=None)
    plant("lifetime", 2, "configuration", "configuration.invalid", lifetime=301)
    plant("alg", 2, "configuration", "configuration.invalid", private_key=str(rsa_pem), alg="ES256")
    plant(
        "unknown", 4, "invalid_client", "invalid_client", _refused("invalid_client", "client authentication failed")
    )
    plant("scope", 4, "invalid_scope", "invalid_scope", _refused("invalid_scope", "requested scope is not allowed"))
    plant("type", 4, "unauthorized_client", "unauthorized_client", _refused("unauthorized_client"))
    plant("unavailable", 5, "unavailable", "network.unavailable", Says(503, b""))
    plant("page", 5, "unusable_answer", "network.answer", Says(200, b"<html>", {"content-type": "text/html"}))
    plant("no-token", 5, "unusable_answer", "network.answer", says_json(token_type="Bearer"))
    plant("nobody", 5, "network", "network.connection", token_endpoint=nowhere)
    plant("untrusted", 5, "untrusted_server", "network.tls.untrusted", token_endpoint=tls)
    return told


@pytest.mark.no_wine("Wine trusts a partial chain")
def test_a_mix_of_faults_among_three_hundred_is_told_exactly(
    desk: Desk, tmp_path: Path, rsa_pem: Path, pauses: list[float]
) -> None:
    authority = trustme.CA()
    with Bank(_context(authority)) as secure:
        told = _kinds(desk, tmp_path, rsa_pem, secure.url)
        for number in range(300 - len(told)):
            desk.add(f"good-{number}")
        desk.write()
        began: list[float] = []
        desk.bank.on_request = lambda _: began.append(time.monotonic())
        mix = ("check", "--all", "--give-up-after", "0", "--config", desk.file)
        result = desk._cli(*mix, "-o", "json", "--rate", "200")
        desk.bank.on_request = lambda _: None
        text = desk.run("check", "--all", "--give-up-after", "0", "-q").stdout
    assert began[-1] - began[0] >= (len(began) - 1) / 200 * 0.9  # a busy machine delays the first one as well
    members = json.loads(result.stdout)
    assert (result.code, members["exit_code"], members["good"]) == (2, 2, 300 - len(told))
    rows_ = {row["profile"]: row for row in members["profiles"]}
    assert list(rows_) == list(desk.profiles)
    bad = {name: (row["exit_code"], row["error"], row["rule"]) for name, row in rows_.items() if not row["ok"]}
    assert bad == told
    assert all(row["message"] and row["next"] for row in rows_.values() if not row["ok"])
    for name in ("no-key-file-0", "garbage-1", "encrypted-0", "no-key-at-all-0", "alg-0"):
        assert (rows_[name]["client_id"], rows_[name]["server"]) == (f"id-of-{name}", desk.bank.url), name
    assert rows_["no-client-0"]["client_id"] is None
    asked = desk.asked[: len(began)]
    counts = {name: asked.count(f"id-of-{name}") for name in rows_}
    assert {name: counts[name] for name in rows_ if rows_[name]["ok"]} == dict.fromkeys(set(rows_) - set(told), 1)
    refused = [name for name, (code, *_) in told.items() if code == 4]
    assert [counts[name] for name in refused] == [1] * len(refused)
    assert [counts[name] for name, (code, *_) in told.items() if code in (2, 3)] == [0] * 14
    assert "300 profiles: 270 good, 8 configuration, 6 key, 6 refused, 10 network" in result.stderr

    lines = text.splitlines()
    assert lines[-1] == "300 profiles: 270 good, 8 configuration, 6 key, 6 refused, 10 network"
    assert lines[-2] == "✓   270 profiles    good"
    marks = [line[0] for line in lines[:-1] if line[0] != " "]
    assert marks == ["✗"] * (len(marks) - 1) + ["✓"]
    assert _told_in(text) == {name: rule for name, (_, _, rule) in told.items()}
    causes = re.findall(r"(?m)^        what {6}\S.+\n        next {6}\S.+$", text)
    assert len(causes) == sum(mark == "✗" for mark in marks)


def _told_in(table: str) -> dict[str, str]:
    """Return the failures of a table, each with its rule."""
    told: dict[str, str] = {}
    for title, rule, names in re.findall(r"(?m)^✗   (\S+|\d+ profiles) +(\S+)\n(?:        profiles  (.+)\n)?", table):
        for name in names.split(", ") if names else [title]:
            assert name not in told
            told[name] = rule
    return told


def _context(authority: trustme.CA) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_setting_is_told_as_the_profiles_have_it_and_an_answer_has_its_id(desk: Desk) -> None:
    desk.add("a")
    desk.add("b")
    desk.answers["id-of-a"] = _refused("invalid_scope")
    text = desk.run("check", "a", "-q").stdout
    told = " ".join(text.split())
    assert "and name them with scope in the profile" in told
    assert f"answer 400 Bad Request from {desk.bank.url} · application/json · x-request-id id-1 next" in told
    desk.answers["id-of-b"] = _refused("invalid_scope")
    assert "x-request-id" not in desk.run("check", "--all", "-q").stdout  # each has its own: JSON has them


def test_a_refusal_has_the_cause_and_the_next_step_that_token_tells(desk: Desk) -> None:
    desk.add("a")
    desk.answers["id-of-a"] = _refused("invalid_client", "client authentication failed", 401)
    row = desk.rows("a")["a"]
    assert row["message"] == "the server refused the client: invalid_client — client authentication failed"
    assert row["next"].endswith(f": banno-creds doctor --profile a --config {desk.file}")
    assert any("left:" in detail for detail in row["details"])
    assert (row["client_id"], row["server"], row["exit_code"]) == ("id-of-a", desk.bank.url, 4)


def test_profiles_with_the_same_fault_are_one_row_with_all_their_names(desk: Desk) -> None:
    for name in ("a", "bb", "client"):
        desk.add(name)
        desk.answers[f"id-of-{name}"] = _refused("invalid_scope", "requested scope is not allowed")
    text = desk.run("check", "--all", "-q").stdout
    assert text.startswith("✗   3 profiles      invalid_scope\n        profiles  a, bb, client\n")
    assert text.count("next") == 1


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ((), 0),
        ((0, 0), 0),
        ((0, 5), 5),
        ((5, 6), 6),
        ((5, 6, 4), 4),
        ((4, 3, 5), 3),
        ((5, 4, 3, 2), 2),
        ((2, 1), 1),
        ((0, 130), 130),
    ],
)
def test_the_exit_code_is_the_worst_one(codes: tuple[int, ...], worst: int) -> None:
    assert rows.worst([Row(str(number), code) for number, code in enumerate(codes)]) == worst


def test_a_wrong_key_in_all_profiles_costs_five_refusals_and_no_more(desk: Desk) -> None:
    for number in range(40):
        desk.add(f"p{number}")
        desk.answers[f"id-of-p{number}"] = _refused("invalid_client", status=401)
    result = desk.run("check", "--all", "-o", "jsonl")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert (len(desk.asked), len(told), result.code) == (5, 40, 4)
    not_asked = [row for row in told if row["error"] == "not_asked"]
    assert len(not_asked) == 35
    assert {(row["ok"], row["exit_code"], row["rule"], row["seconds"]) for row in not_asked} == {
        (False, 4, "check.given_up", None)
    }
    again = f"then run it again: banno-creds check --only-failed --config {desk.file}"
    assert all(row["next"].endswith(again) for row in not_asked)
    assert "40 profiles: 0 good, 5 refused, 35 not asked" in result.stderr
    assert desk.run("check", "--only-failed", "-q").code == 4
    assert len(desk.asked) == 10


def test_a_server_gets_no_more_at_a_time_and_in_a_second_than_was_said(desk: Desk) -> None:
    """Counted at the server. No two begin nearer to each other than the rate says, however busy the machine is."""
    lock, under_way, most, began = threading.Lock(), [0], [0], list[float]()

    def token(_: Mapping[str, str]) -> Says:
        with lock:
            began.append(time.monotonic())
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.2)
        with lock:
            under_way[0] -= 1
        return granted(scope="openid")

    desk.bank.token = token
    for number in range(12):
        desk.add(f"p{number}")
    desk.write()
    assert desk._cli("check", "--all", "--jobs", "3", "--rate", "20", "--config", desk.file).code == 0
    assert (most[0] <= 3, len(began)) == (True, 12)
    assert began[-1] - began[0] >= 11 / 20 - 0.1


# --- Forms ----------------------------------------------------------------------------------------------------------


def _mixed(desk: Desk) -> None:
    desk.add("good")
    desk.add("odd")
    desk.answers["id-of-odd"] = _refused("invalid_scope", '=cmd|"x",<b>&\x1b[31m\u202eok\nnext')
    desk.add("broken", lifetime=0)


NEEDED = {"profile", "ok", "exit_code", "error", "rule", "message", "next"}


def test_json_lines_come_as_they_are_known_and_each_has_all_members(desk: Desk) -> None:
    _mixed(desk)
    result = desk.run("check", "--all", "-o", "jsonl", "-q")
    told = {row["profile"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert set(told) == {"good", "odd", "broken"}
    assert all(set(row) >= NEEDED for row in told.values())
    assert (told["good"]["ok"], told["good"]["error"], told["good"]["next"]) == (True, None, None)
    assert (result.code, result.stderr) == (2, "")
    assert TOKEN not in result.stdout


def test_csv_is_read_by_any_program_and_is_no_formula(desk: Desk) -> None:
    _mixed(desk)
    text = desk.run("check", "--all", "-o", "csv", "-q").stdout
    told = {row["profile"]: row for row in csv.DictReader(io.StringIO(text))}
    assert set(told) == {"good", "odd", "broken"}
    assert set(told["odd"]) >= NEEDED
    assert told["good"]["ok"] == "true"
    assert told["odd"]["exit_code"] == "4"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "words", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", " =1", "x;=1", "x; @a;y", 'x";"=1', "x,=1"]
)
def test_a_servers_words_are_no_formula_in_any_spreadsheet(words: str, separator: str) -> None:
    """Where a comma is in numbers, spreadsheets separate columns by semicolons, also those of a file with commas."""
    line = rows.csv_line(Row("x", 4, words, None, words, f"ask for: {words}"))
    cells = next(csv.reader(io.StringIO(line), delimiter=separator))
    assert [cell for cell in cells if cell.lstrip(' "')[:1] in tuple("=+-@\uff1d")] == []
    if separator == ",":
        assert cells[3].replace("'", "") == words


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_end_in_a_cell_ends_no_row(end: str) -> None:
    line = rows.csv_line(Row("a", message=f"x{end}y"))
    [cells] = csv.reader(io.StringIO(line, newline=""))
    assert f"x{end}y" in cells


def test_junit_has_a_case_for_each_profile(desk: Desk) -> None:
    _mixed(desk)
    text = desk.run("check", "--all", "-o", "junit", "-q").stdout
    suite = ET.fromstring(text).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "2", "0")
    cases = {case.get("name"): case.find("failure") for case in suite}
    assert cases["good"] is None
    assert cases["odd"] is not None
    assert cases["odd"].get("type") == "invalid_scope"
    assert "Next: " in (cases["odd"].text or "")


@pytest.mark.parametrize("said", ["not_asked", "interrupted", "bug", "network", "configuration"])
def test_a_server_that_speaks_of_our_own_faults_has_refused_all_the_same(said: str) -> None:
    error = RefusedError("no", error=said, status=400)
    row = rows.fault(Row("a"), error, error.words(), "")
    assert (row.error, row.exit_code, row.is_open) == ("refused", 4, False)
    assert "<failure" in rows.as_junit([row], 1.0)


def test_no_words_break_the_forms_for_programs() -> None:
    odd = "a\nb\r\x00\x0b\x1b[31m\ufffe\ud800<b>&\"']]>,"
    row = Row("x", 4, odd, odd, odd, odd, (odd,), server=odd)
    case = ET.fromstring(rows.as_junit([row], 1.0)).find("testsuite/testcase/failure")
    assert case is not None
    assert "<b>&\"']]>," in str(case.get("message"))
    assert next(csv.reader(io.StringIO(rows.csv_line(row), newline="")))[5] == odd
    assert next(csv.reader(io.StringIO(rows.csv_line(Row("x", 4, message="a\nb")), newline="")))[5] == "a\nb"
    assert json.loads(rows.as_json([row], {}))["profiles"][0]["message"] == odd


@pytest.mark.parametrize(
    "members",
    [
        *({"exit_code": 7}, {"exit_code": 4, "message": 1}, {"exit_code": 4, "details": 1}, {"exit_code": "4"}),
        *({"exit_code": 0, name: "x"} for name in ("seconds", "expires_at", "last_good")),
        {"exit_code": 0, "seconds": -1},
        {"exit_code": 0, "expires_at": float("nan")},
    ],
    ids=str,
)
def test_a_row_that_nobody_wrote_is_none(members: dict[str, Any]) -> None:
    assert rows.row_of("a", members) is None


def test_what_is_odd_comes_before_what_is_good() -> None:
    told = [Row("a"), Row("b", warnings=("granted less",)), Row("c")]
    titles = ["".join(text for text, _ in line).split()[:2] for line, indent, _ in rows.table(told, 0) if not indent]
    assert titles == [["!", "b"], ["✓", "2"]]


def test_nobody_knows_of_who_was_not_asked_or_had_no_answer() -> None:
    told = [Row("a", 4, rows.NOT_ASKED), rows.interrupted("b", "again"), Row("c", 4, "invalid_client"), Row("d")]
    assert [row.is_open for row in told] == [True, True, False, False]


def test_words_of_any_length_are_a_message_of_some_lines() -> None:
    error = RefusedError("x\x1b" * 5000, error="y\x1b" * 500, status=400)
    row = rows.fault(Row("a"), error, error.words(), "")
    assert len(row.message or "") < 1020
    assert len(row.error or "") < 100
    assert "\x1b" not in f"{row.message}{row.error}"


def test_a_kind_of_error_has_a_rule_where_the_error_has_none() -> None:
    for error, rule in ((KeyLoadError("x"), "key.unusable"), (NetworkError("x"), "network.connection")):
        assert rows.fault(Row("a"), error, error.words(), "").rule == rule
        assert rows.fault(Row("a"), error.but(rule="own.rule"), error.words(), "").rule == "own.rule"


def test_a_name_within_another_makes_no_group() -> None:
    """Rows are one if they differ in their own profile's name alone."""
    found = [Row(name, 4, "x", "x", f"profile {name} failed", f"doctor --profile {name}") for name in ("a", "a-b")]
    assert any("2 profiles" in str(line) for line, _, _ in rows.table(found, 0))
    other = [Row("a", 4, "x", "x", "profile a-b failed", "n"), Row("c", 4, "x", "x", "profile-b failed", "n")]
    assert not any("2 profiles" in str(line) for line, _, _ in rows.table(other, 0))


def test_what_nobody_was_asked_is_skipped_in_junit() -> None:
    text = rows.as_junit([Row("a", 4, rows.NOT_ASKED, "check.given_up", "m"), Row("b")], 1)
    assert '<skipped message="m">' in text
    assert 'failures="0"' in text


def test_a_servers_words_do_nothing_to_a_terminal(desk: Desk) -> None:
    _mixed(desk)
    for form in ("text", "json", "jsonl", "csv", "junit"):
        text = desk.run("check", "--all", "-o", form, "-q").stdout
        assert "\x1b" not in text
        assert "\u202e" not in text


# --- The cache and the record ---------------------------------------------------------------------------------------


def test_the_cache_is_neither_read_nor_written(desk: Desk, folder: Path) -> None:
    desk.add("a")
    assert desk.run("check", "a").code == desk.run("check", "a").code == 0
    assert len(desk.asked) == 2
    assert list(folder.glob("*.json")) == []


def test_kept_tokens_are_those_that_token_gives(desk: Desk, cli: Cli) -> None:
    desk.add("a")
    desk.write()
    assert cli("token", "--profile", "a", "--config", desk.file).code == 0
    assert desk.run("check", "a", "--keep").code == 0
    assert len(desk.asked) == 2  # a token in the cache is no check
    assert cli("token", "--profile", "a", "--config", desk.file).stdout == f"{TOKEN}\n"
    assert len(desk.asked) == 2


def test_offline_asks_nobody_and_finds_what_is_wrong_here(desk: Desk, tmp_path: Path) -> None:
    desk.add("a")
    desk.add("b", private_key=str(write_private(tmp_path / "garbage.pem", PEM_OF_NOTHING)))
    told = desk.rows("--all", "--offline")
    assert [(row["ok"], row["exit_code"]) for row in told.values()] == [(True, 0), (False, 3)]
    assert desk.bank.asked == []
    table = desk.run("check", "a", "--offline")
    assert table.stdout.endswith("1 profile: 1 good; no server was asked\n")
    assert desk.run("check", "--only-failed").code == 2  # it is no check that could be gone on with


def test_what_broke_says_when_it_was_good_the_last_time(desk: Desk, how: How) -> None:
    for name in ("a", "b", "c"):
        desk.add(name)
    desk.answers["id-of-c"] = _refused("invalid_scope")
    began = 1_800_000_000
    how.clock = lambda: began
    assert {row["last_good"] for row in desk.rows("--all").values()} == {None}
    desk.answers |= dict.fromkeys(("id-of-a", "id-of-b"), _refused("invalid_client"))
    for hours in (20, 23):  # the second failure does not hide the first
        how.clock = partial(float, began + hours * 3600)
        good = {name: row["last_good"] for name, row in desk.rows("--all").items()}
        assert good == {"a": began, "b": began, "c": None}
    text = desk.run("check", "--all", "-q").stdout
    assert text.count("        last good 23 h ago\n        next ") == 1  # of a and b together
    how.clock = lambda: began + 24 * 3600
    desk.answers.pop("id-of-a")
    assert {name: row["last_good"] for name, row in desk.rows("--only-failed").items()} == {
        "a": None,
        "b": began,
        "c": None,
    }
    desk.answers["id-of-a"] = _refused("invalid_client")
    text = desk.run("check", "a", "b", "-q").stdout
    assert "last good" not in text  # they differ; JSON has each
    assert "        last good now\n" in desk.run("check", "a", "-q").stdout


@pytest.mark.parametrize("odd", [-1, "x", True, 1e300, [1], float("nan")])
def test_an_odd_time_in_the_record_is_none(odd: Any) -> None:
    assert Checked(1.0, {"ok": False, "last_good": odd}).last_good in (None, 1)


def test_only_failed_asks_for_those_that_failed_last(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.add(name)
    desk.answers["id-of-b"] = _refused("invalid_client", status=401)
    assert desk.run("check", "--all", "-q").code == 4
    desk.add("never_checked")
    del desk.bank.forms[:]
    del desk.answers["id-of-b"]
    assert list(desk.rows("--only-failed")) == ["b"]
    assert desk.asked == ["id-of-b"]
    nothing = desk.run("check", "--only-failed")
    assert (nothing.code, nothing.stdout) == (0, "")
    assert "No profile failed at its last check." in nothing.stderr


def test_only_failed_needs_a_record(desk: Desk) -> None:
    desk.add("a")
    result = desk.run("check", "--only-failed")
    assert (result.code, result.stdout) == (2, "")
    assert "banno-creds check --all" in result.stderr


def test_the_record_is_ours_alone_and_holds_no_token(desk: Desk, folder: Path) -> None:
    desk.add("a")
    assert desk.run("check", "a").code == 0
    record = Record(str(folder), str(desk.file))
    record.read()
    assert record.is_whole
    assert record.checked["a"].ok
    assert None not in record.checked["a"].members.values()  # ten thousand lines are read for a list
    content = (folder / record.path).read_text()
    assert TOKEN not in content
    if sys.platform != "win32":
        assert (folder / record.path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("junk", [b"\0\xff not json\n", b'{"profile": 1, "at": "x"}\n[]\n"a"\n', b"[" * 100_000])
def test_a_broken_record_is_read_as_far_as_it_goes(desk: Desk, folder: Path, junk: bytes) -> None:
    desk.add("a")
    desk.answers["id-of-a"] = _refused("invalid_client", status=401)
    assert desk.run("check", "a").code == 4
    path = next(folder.glob("*.checks"))
    path.write_bytes(junk + b"\n" + path.read_bytes() + junk[:50])
    assert list(desk.rows("--only-failed")) == ["a"]


def test_without_a_place_for_the_record_the_check_goes_on(desk: Desk, folder: Path) -> None:
    desk.add("a")
    folder.write_text("a file")
    result = desk.run("check", "a")
    assert result.code == 0
    assert result.stderr.count("the record of this run cannot be kept") + result.stderr.count("The record") == 1


def test_a_record_that_cannot_be_written_is_told_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Record, "add", fail)
    for name in ("a", "b", "c"):
        desk.add(name)
    result = desk.run("check", "--all")
    assert result.code == 0
    assert result.stderr.count("he record of this run cannot be kept") == 1


def test_profiles_that_are_gone_are_forgotten(desk: Desk, folder: Path) -> None:
    desk.add("a")
    desk.add("b")
    assert desk.run("check", "--all").code == 0
    desk.profiles.pop("b")
    desk.add("a")
    assert desk.run("check", "--all").code == 0
    record = Record(str(folder), str(desk.file))
    record.read()
    assert set(record.checked) == {"a"}


# --- Cut off --------------------------------------------------------------------------------------------------------


def _begun(desk: Desk, *words: str, answered: int = 4) -> tuple[subprocess.Popen[str], threading.Event]:
    """Begin a check of ten profiles in a process of its own; the bank answers four and holds the others back."""
    gate, enough, lock, count = threading.Event(), threading.Event(), threading.Lock(), [0]

    def token(form: Mapping[str, str]) -> Says:
        del form
        with lock:
            count[0] += 1
            number = count[0]
        if number > answered:
            enough.set()
            gate.wait(60)
        return granted(scope="openid")

    desk.bank.token = token
    for number in range(10):
        desk.add(f"p{number}")
    desk.write()
    command = [sys.executable, "-m", "banno_creds", "check", "--all", "--config", str(desk.file), "--rate", "0"]
    running = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert enough.wait(60)
    return running, gate


def _wait_for_rows(folder: Path, desk: Desk, wanted: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        record = Record(str(folder), str(desk.file))
        record.read()
        if len(record.checked) >= wanted:
            return
        time.sleep(0.05)
    raise AssertionError("the rows were not written")


@pytest.mark.posix("Ctrl-C reaches one process by a signal")
def test_ctrl_c_ends_at_once_with_what_is_known_and_the_next_run_goes_on(desk: Desk, folder: Path) -> None:
    running, gate = _begun(desk, "-o", "json", "--jobs", "2")
    began = time.monotonic()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert time.monotonic() - began < 30  # and not the 60 s that the bank would have taken
    members = json.loads(out)
    assert members["exit_code"] == 130
    told = {row["profile"]: row for row in members["profiles"]}
    good = {name for name, row in told.items() if row["ok"]}
    assert len(told) == 10
    assert {row["error"] for row in told.values() if not row["ok"]} == {"interrupted"}
    record = Record(str(folder), str(desk.file))
    record.read()
    assert (set(record.checked), record.is_whole) == (good, False)
    gate.set()
    del desk.bank.forms[:]
    desk.bank.token = lambda _: granted(scope="openid")
    resumed = desk.rows("--all", "--resume")
    assert [row for row in resumed.values() if not row["ok"]] == []
    assert sorted(desk.asked) == sorted(f"id-of-{name}" for name in set(told) - good)
    assert desk.run("check", "--all", "--resume").code == 0
    assert len(desk.asked) == 10 - len(good) + 10  # it was whole: a new one begins


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_tells_each_profile_once(
    desk: Desk, folder: Path, form: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the one that is being told when the signal comes."""
    lines: list[str] = []

    def write_result(text: str) -> None:
        lines.append(text)
        if len(lines) == 3:
            signal.raise_signal(number)
        report.write_result(text)

    monkeypatch.setattr(many, "write_result", write_result)
    for name in ("a", "b", "c", "d", "e"):
        desk.add(name)
    result = desk.run("check", "--all", "--jobs", "1", "-o", form, "-q")
    assert result.code == 128 + number
    is_csv = form == "csv"
    told = list(csv.DictReader(io.StringIO(result.stdout)) if is_csv else map(json.loads, result.stdout.splitlines()))
    assert sorted(row["profile"] for row in told) == ["a", "b", "c", "d", "e"]
    record = Record(str(folder), str(desk.file))
    record.read()
    assert set(record.checked) == {row["profile"] for row in told if row["error"] != "interrupted"}
    assert len(record.checked) == (2 if is_csv else 3)


@pytest.mark.posix("SIGKILL")
def test_a_run_that_was_killed_can_be_gone_on_with(desk: Desk, folder: Path) -> None:
    running, gate = _begun(desk, "-o", "jsonl", "--jobs", "1")
    _wait_for_rows(folder, desk, 1)
    running.kill()
    running.communicate(timeout=60)
    gate.set()
    del desk.bank.forms[:]
    desk.bank.token = lambda _: granted(scope="openid")
    resumed = desk.rows("--all", "--resume")
    assert [row for row in resumed.values() if not row["ok"]] == []
    assert len(resumed) == 10
    assert len(desk.asked) < 10


@pytest.mark.posix("SIGKILL")
def test_a_run_for_those_that_failed_is_gone_on_with_whole(desk: Desk, folder: Path) -> None:
    for number in range(10):
        desk.add(f"p{number}")
        desk.answers[f"id-of-p{number}"] = _refused("invalid_scope")
    desk.add("good")
    assert desk.run("check", "--all", "-q", "--give-up-after", "0").code == 4
    del desk.profiles["good"]
    running, gate = _begun(desk, "--only-failed", "-o", "jsonl", "--jobs", "1")
    desk.add("good")
    desk.write()
    assert running.stdout is not None
    lines = [running.stdout.readline()]
    running.kill()
    lines += running.communicate(timeout=60)[0].splitlines()
    known = {json.loads(line)["profile"] for line in lines}
    gate.set()
    del desk.bank.forms[:]
    desk.bank.token = lambda _: granted(scope="openid")
    resumed = desk.rows("--only-failed", "--resume")
    assert {name: row["ok"] for name, row in resumed.items()} == {f"p{number}": True for number in range(10)}
    assert known.isdisjoint(client.removeprefix("id-of-") for client in desk.asked)


def test_the_end_of_another_run_is_no_end_of_this_one(folder: Path, tmp_path: Path) -> None:
    first, second = (Record(str(folder), str(tmp_path / "config.toml")) for _ in range(2))
    now = time.time()
    first.begin(now, ["a", "b"])
    second.begin(now + 1, ["a", "b"])
    first.add("a", Row("a").members(), now + 2)
    first.end(now + 3, is_whole=True)
    found = Record(str(folder), str(tmp_path / "config.toml"))
    found.read()
    assert (found.is_whole, found.began) == (False, now + 1)
    second.end(now + 4, is_whole=True)
    found.read()
    assert (found.is_whole, found.began) == (True, now + 1)
    assert list(found.checked) == ["a"]


def test_rows_that_another_run_overwrote_are_written_again(folder: Path, tmp_path: Path) -> None:
    record = Record(str(folder), str(tmp_path / "config.toml"))
    record.begin(time.time(), ["a"])
    record.add("a", Row("a").members(), time.time())
    (folder / record.path).write_text("")
    record.end(time.time(), is_whole=False)
    record.read()
    assert list(record.checked) == ["a"]


def test_a_run_that_was_cut_off_long_ago_is_not_gone_on_with(desk: Desk, folder: Path, how: How) -> None:
    desk.add("a")
    record = Record(str(folder), str(desk.file))
    record.begin(time.time() - 90_000, ["a"])
    record.add("a", Row("a").members(), time.time() - 90_000)
    assert desk.run("check", "--all", "--resume").code == 0
    assert desk.asked == ["id-of-a"]


def test_only_an_answer_of_the_run_that_was_cut_off_counts(desk: Desk, folder: Path) -> None:
    for name in ("answered", "before", "left_alone"):
        desk.add(name)
    record, now = Record(str(folder), str(desk.file)), time.time() - 60
    record.begin(now, ["answered", "before", "left_alone"])
    record.add("answered", Row("answered").members(), now + 1)
    record.add("before", Row("before").members(), now - 1)
    record.add("left_alone", Row("left_alone", 4, rows.NOT_ASKED).members(), now + 1)
    assert all(row["ok"] for row in desk.rows("--all", "--resume").values())
    assert sorted(desk.asked) == ["id-of-before", "id-of-left_alone"]


def test_a_run_is_gone_on_with_as_often_as_it_is_cut_off(desk: Desk, folder: Path) -> None:
    for name in ("a", "b", "c"):
        desk.add(name)
    desk.write()
    record, now = Record(str(folder), str(desk.file)), time.time() - 60
    record.begin(now, ["a", "b", "c"])
    record.add("a", Row("a").members(), now + 1)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(many, "run_many", interrupt)
        assert desk.run("check", "--all", "--resume").code == 130
    result = desk.run("check", "--all", "--resume", "-o", "csv")
    assert sorted(desk.asked) == ["id-of-b", "id-of-c"]
    lines = [line.partition(",")[0] for line in result.stdout.splitlines()]
    assert lines[:2] == ["profile", "a"]
    assert sorted(lines[2:]) == ["b", "c"]


# --- Which profiles -------------------------------------------------------------------------------------------------


def test_names_tags_and_all(desk: Desk) -> None:
    desk.add("a", tags=["core"])
    desk.add("b", tags=["core", "test"])
    desk.add("c")
    assert list(desk.rows("c", "a", "c")) == ["c", "a"]
    assert list(desk.rows("--tag", "core")) == ["a", "b"]
    assert list(desk.rows("--tag", "core", "--tag", "test")) == ["b"]
    assert list(desk.rows("--all")) == ["a", "b", "c"]


def test_a_name_that_is_not_there_is_a_row_of_its_own(desk: Desk) -> None:
    desk.add("garden")
    told = desk.rows("garden", "gardn")
    assert (told["garden"]["ok"], told["gardn"]["exit_code"]) == (True, 2)
    assert told["gardn"]["next"] == "did you mean garden?"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "No profile is named"),
        (("--all", "a"), "the names of profiles and --all exclude each other"),
        (("--tag", "x", "a"), "the names of profiles and --tag exclude each other"),
        (("--tag", "nothing"), "no profile has the tag nothing"),
        (("--resume", "--offline", "a"), "--resume and --offline exclude each other"),
        (("--keep", "--offline", "a"), "--keep and --offline exclude each other"),
        (("a", "--jobs", "0"), "--jobs must be"),
        (("a", "--rate", "nan"), "--rate must be"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(
    desk: Desk, words: tuple[str, ...], said: str
) -> None:
    desk.add("a")
    desk.write()
    result = desk._cli("check", *words, "--config", desk.file)
    assert (result.code, result.stdout) == (2, "")
    assert said.lower() in result.stderr.lower()
    assert desk.asked == []


@pytest.mark.parametrize("command", ["check", "token"])
def test_a_default_profile_lends_the_others_nothing(desk: Desk, command: str) -> None:
    scopes: list[object] = []

    def grant(form: Mapping[str, str]) -> Says:
        scopes.append(form.get("scope"))
        return granted(scope="openid")

    desk.bank.token = grant
    desk.add("a")
    desk.add("usual", scope=["of-its-own"])
    desk.write()
    desk.file.write_text('default = "usual"\n' + desk.file.read_text())
    assert desk.run(command, "a", "-o", "jsonl").code == 0
    assert scopes == ["openid"]


def test_a_default_profile_with_a_fault_is_in_nobodys_way(desk: Desk) -> None:
    desk.add("a")
    desk.add("broken", lifetime=0)
    desk.write()
    desk.file.write_text('default = "gone"\n' + desk.file.read_text())
    assert desk.run("check", "a").code == 0
    assert desk.run("token", "a", "-o", "jsonl").code == 0
    desk.file.write_text(desk.file.read_text().replace("gone", "broken"))
    assert desk.run("token", "a", "-o", "jsonl").code == 0


def test_a_variable_that_all_profiles_overrule_is_named_once(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.add(name)
    variables = {"BANNO_CREDS_CLIENT_ID": "other", "BANNO_CREDS_TOKEN_ENDPOINT": "https://other.test/token"}
    said = desk.run("check", "--all", env=variables).stderr
    assert said.count("BANNO_CREDS_CLIENT_ID") == said.count("BANNO_CREDS_TOKEN_ENDPOINT") == 1
    assert "profiles come before variables" in said
    assert sorted(desk.asked) == ["id-of-a", "id-of-b", "id-of-c"]


@pytest.mark.parametrize("variable", ["TOKEN_ENDPOINT", "ISSUER"])
def test_a_password_in_a_variables_url_is_in_no_row_and_no_record(desk: Desk, folder: Path, variable: str) -> None:
    desk.add("a", token_endpoint=None)
    env = {f"BANNO_CREDS_{variable}": "https://user:canaryPassword@127.0.0.1/token"}
    for form in rows.FORMS:
        result = desk.run("check", "a", "-o", form, env=env)
        assert result.code == 2
        assert "canary" not in result.stdout + result.stderr
    [record] = folder.glob("*.checks")
    assert b"canary" not in record.read_bytes()


def test_options_are_for_all_of_them(desk: Desk) -> None:
    desk.add("a", scope=["own"])
    desk.add("b")
    assert desk.run("check", "--all", "--scope", "openid more").code == 0
    assert [form["scope"] for form in desk.bank.forms] == ["openid more"] * 2


def test_a_persons_profile_is_checked_by_its_login(desk: Desk) -> None:
    desk.add("a", **{"as": "person"})
    row = desk.rows("a")["a"]
    assert (row["exit_code"], row["error"], row["rule"]) == (6, "token", "session.missing")
    with pytest.MonkeyPatch.context() as patched:  # it was there, and cannot be read
        patched.setattr(SessionStore, "exists", lambda _: True)
        assert desk.rows("a", "--offline")["a"]["rule"] == "session.missing"
    assert desk.asked == []


def test_without_a_key_a_profile_may_be_a_persons_who_is_signed_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add("a", private_key=None)
    row = desk.rows("a")["a"]
    assert (row["exit_code"], row["message"]) == (2, "profile a has no private_key")
    assert "profile set a --private-key FILE" in row["next"]
    monkeypatch.setattr(SessionStore, "exists", lambda _: True)
    assert desk.rows("a")["a"]["message"] == "no private key was given"  # as the login itself says it


@pytest.mark.parametrize("is_asked", [True, False])
def test_of_a_persons_token_too_it_is_known_whether_the_server_was_asked(*, is_asked: bool) -> None:
    def obtain(_cache: object, _wanted: object, run: Run) -> TokenResponse:
        run.warn("odd")
        if is_asked:
            run.emit(TokenRequested("https://bank", ()))
            run.emit(AnswerReceived(200, "OK", 2.5, None))
        return TokenResponse(TOKEN, "Bearer", 600, None, 0, {})

    person: Any = SimpleNamespace(obtain=obtain)
    outcome = many._of_person("a", person, many.Wish(Wanted(), from_cache=False), Run())
    assert outcome.response is not None
    assert (outcome.response.access_token, outcome.asked, outcome.seconds) == (TOKEN, is_asked, 2.5 * is_asked)
    assert [warned.message for warned in outcome.warnings] == ["odd"]


def test_of_one_profile_nothing_tells_how_far_it_is() -> None:
    shown = report.Report()
    assert isinstance(progress.progress(1, shown, streams=False), nullcontext)
    assert not isinstance(progress.progress(2, shown, streams=False), nullcontext)


def test_a_warning_is_told_with_its_profile(desk: Desk) -> None:
    desk.add("a", scope=["openid", "more"])
    row = desk.rows("a")["a"]
    assert row["ok"]
    assert any("granted less than was asked for" in warning for warning in row["warnings"])
    assert desk.run("check", "a").stdout.startswith("!   a               good\n        note      ")


# --- Tokens ---------------------------------------------------------------------------------------------------------


def test_the_tokens_of_all_are_a_line_each_and_errors_are_lines_too(desk: Desk) -> None:
    desk.add("a")
    desk.add("b")
    desk.answers["id-of-b"] = _refused("invalid_client", status=401)
    result = desk.run("token", "--all")
    assert result.stderr == ""
    told = {row["profile"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert result.code == 4
    assert (told["a"]["ok"], told["a"]["access_token"], told["a"]["token_type"]) == (True, TOKEN, "Bearer")
    assert 590 <= told["a"]["expires_in"] <= 600
    assert (told["b"]["ok"], told["b"]["exit_code"], told["b"]["error"]) == (False, 4, "invalid_client")
    assert "access_token" not in told["b"]


def test_the_tokens_of_all_are_from_the_cache_if_they_are_there(desk: Desk, cli: Cli) -> None:
    desk.add("a", tags=["x"])
    desk.add("b")
    desk.write()
    assert cli("token", "--profile", "a", "--config", desk.file).code == 0
    assert desk.run("token", "--all").code == 0
    assert desk.run("token", "a", "b", "-o", "jsonl").code == 0
    assert desk.run("token", "--tag", "x").code == 0
    assert desk.asked == ["id-of-a", "id-of-b"]
    assert [desk.run("token", "a", "-o", "json", each).code for each in ("--no-cache", "--force-refresh")] == [0, 0]
    assert desk.asked == ["id-of-a", "id-of-b", "id-of-a", "id-of-a"]


def test_a_cache_that_cannot_be_used_is_opened_and_told_of_once(desk: Desk, folder: Path) -> None:
    for name in ("a", "b", "c"):
        desk.add(name)
    folder.write_text("a file")
    result = desk.run("token", "--all")
    assert result.code == 0
    assert result.stderr.count("he cache cannot be used") == 1


def test_many_tokens_have_a_form_of_their_own(desk: Desk) -> None:
    desk.add("a")
    refused = desk.run("token", "--all", "-o", "header")
    assert (refused.code, refused.stdout) == (2, "")
    assert "jsonl" in refused.stderr
    assert desk.run("token", "a", "--profile", "a", "-o", "jsonl").code == 2
    assert "did you mean --profile a\n" in desk.run("token", "a").stderr
    members = json.loads(desk.run("token", "--all", "-o", "json").stdout)
    assert members["profiles"][0]["access_token"] == TOKEN


def test_json_lines_are_for_many(desk: Desk, cli: Cli) -> None:
    desk.add("a")
    desk.write()
    result = cli("token", "--profile", "a", "-o", "jsonl", "--config", desk.file)
    assert (result.code, result.stdout) == (2, "")


# --- How far it is --------------------------------------------------------------------------------------------------


def test_in_a_log_a_plain_line_tells_how_far_it_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0)
    for name in ("a", "b", "c"):
        desk.add(name)
    said = desk.run("check", "--all").stderr.splitlines()
    assert said[0].startswith("1 profile: 1 good; 2 to go, some ")
    assert len(said) == 2
    assert desk.run("check", "--all", "-q").stderr == ""


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.once
def test_at_a_terminal_one_line_tells_how_far_it_is_and_is_rubbed_out(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.add(name)
    desk.write()
    check_ = ("-m", "banno_creds", "check", "--all", "--config", str(desk.file), "--rate", "4")
    seen = at_terminal(*check_, stdout=True)
    assert "/3" in seen.screen
    assert " left" in seen.screen
    assert seen.screen.rpartition(" left")[2].count("\x1b[2K") >= 1
    assert seen.lines[-2].endswith("3 profiles: 3 good")
    narrow = at_terminal(*check_, stdout=True, columns=40)
    assert re.search(r"/3 \d good, 0 not good \S+:", "\n".join(narrow.lines))
    check_ = (*check_[:-1], "0")
    quiet = at_terminal(*check_, "-q", stdout=True)
    assert "/3" not in quiet.screen
    lines = at_terminal(*check_, "-o", "jsonl", stdout=True)
    assert "\x1b[2K" not in lines.screen
    assert [json.loads(line)["ok"] for line in lines.lines[:3]] == [True] * 3
    plain = at_terminal(*check_, stdout=True, env={"NO_COLOR": "1"})
    assert "\x1b" not in plain.screen


@pytest.mark.posix("a closed pipe")
@pytest.mark.once
def test_nobody_reads_any_more(desk: Desk) -> None:
    for number in range(20):
        desk.add(f"p{number}")
    desk.write()
    command = f'"{sys.executable}" -m banno_creds check --all --config "{desk.file}" --rate 20 -q -o jsonl'
    line = f"set -o pipefail; {command} | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (141, "")
    assert len(desk.asked) < 20


# --- What is not asked for in the middle of a run -------------------------------------------------------------------


def test_nobody_is_asked_for_a_passphrase(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "can_ask", lambda: True)
    monkeypatch.setattr(inputs, "prompt", lambda *_: pytest.fail("somebody was asked"))
    key = write_private(tmp_path / "encrypted.pem", keys.generate("ec").pem(b"canaryPassphrase"))
    desk.add("a", private_key=str(key))
    row = desk.rows("a")["a"]
    assert (row["exit_code"], row["error"]) == (3, "key")
    assert row["next"] == "put it into a file: banno-creds profile set NAME --passphrase-file FILE"
    file = write_private(tmp_path / "passphrase", b"canaryPassphrase")
    desk.add("a", private_key=str(key), passphrase_file=str(file))
    assert desk.rows("a")["a"]["ok"]


@pytest.mark.parametrize("option", ["--private-key", "--passphrase-file", "--client-secret-file"])
def test_standard_input_is_for_one_alone(desk: Desk, option: str) -> None:
    desk.add("a")
    result = desk.run("check", "--all", option, "-", stdin=b"x")
    assert (result.code, result.stdout) == (2, "")
    assert "is read once" in result.stderr


def test_two_runs_at_once_remember_both(desk: Desk, folder: Path) -> None:
    for number in range(20):
        desk.add(f"p{number}")
    desk.write()
    command = [sys.executable, "-m", "banno_creds", "check", "--config", str(desk.file), "--rate", "0", "-q"]
    names = [[f"p{number}" for number in range(start, 20, 2)] for start in (0, 1)]
    running = [subprocess.Popen([*command, *half], stdout=subprocess.DEVNULL) for half in names]
    assert [each.wait(60) for each in running] == [0, 0]
    record = Record(str(folder), str(desk.file))
    record.read()
    assert set(record.checked) == set(desk.profiles)
    assert all(each.ok for each in record.checked.values())
    assert sorted(path.suffix for path in folder.iterdir()) == [".checks"]


def test_the_table_says_where_a_wrong_setting_stands_and_how_it_is_mended(desk: Desk) -> None:
    desk.add("a")
    desk.add("odd")
    desk.write()
    desk.file.write_text(desk.file.read_text() + 'clint_id = "x"\n[profiles.bare]\nclient_id = "x"\n')
    told = " ".join(desk._cli("check", "--all", "--config", desk.file).stdout.split())
    assert f"where in profile odd of {desk.file}, line" in told
    assert f"next add it: banno-creds profile set bare --private-key FILE --config {desk.file}" in told
