"""``banno-creds explain``: sections of errors.md in a pipe, at a terminal and as JSON, found by parts of ids."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from json import loads
from typing import TYPE_CHECKING

import pytest

from banno_creds.rules.explanations import EXPLANATIONS, groups
from tests.conftest import Cli, Result

if sys.platform != "win32":
    import fcntl
    import pty
    import termios

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.once

HEAVY = ("httpx", "jwt", "cryptography", "rich", "flask", "authlib", "tomlkit")
each = pytest.mark.parametrize("name", EXPLANATIONS)

PIPED = """\
assertion.jti.missing: The claim jti is missing or empty

`jti` makes the assertion unique, so that it can be used only once. It is optional in RFC 7523 section 3, but the \
vendor's server requires it: 401 `invalid_client`.

Fix: set jti to a fresh random UUID in every assertion.
"""
AT_80_COLUMNS = """\
assertion.jti.missing: The claim jti is missing or empty

`jti` makes the assertion unique, so that it can be used only once. It is
optional in RFC 7523 section 3, but the vendor's server requires it: 401
`invalid_client`.

Fix: set jti to a fresh random UUID in every assertion.
"""


@each
def test_it_prints_cause_and_fix_in_a_pipe_each_on_one_line(cli: Cli, name: str) -> None:
    explanation = EXPLANATIONS[name]
    done = cli("explain", name)
    assert (done.code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:4] == [f"{name}: {explanation.title}", "", explanation.cause, ""]
    assert lines[4] == f"Fix: {explanation.fix}."
    assert explanation.more in done.stdout
    asked = explanation.question
    assert (lines[-1] == f"Ask the administrator: {asked}") == (asked is not None)


@pytest.mark.parametrize("looks", [{}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}, {"COLUMNS": "40"}], ids=str)
def test_in_a_pipe_it_is_the_stored_text(process: Cli, looks: Mapping[str, str]) -> None:
    assert process("explain", "assertion.jti.missing", env=looks) == Result(0, PIPED, "")


def test_it_can_be_printed_where_nothing_but_ascii_can(process: Cli) -> None:
    plain = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for arguments in ([], ["registration.key.mismatch"], ["-o", "json"]):
        assert process("explain", *arguments, env=plain).code == 0


def _at_a_terminal(columns: int, *arguments: str, **looks: str) -> str:
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with subprocess.Popen(
            [sys.executable, "-m", "banno_creds", "explain", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={**os.environ, "TERM": "xterm", **looks},
        ) as running:
            os.close(theirs)
            theirs = -1
            shown = b""
            while True:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # Linux says so that the other side is closed
                    break
                if not piece:
                    break
                shown += piece
            assert running.stderr is not None
            assert running.stderr.read() == b""
            assert running.wait(timeout=60) == 0
    finally:
        os.close(ours)
        if theirs != -1:
            os.close(theirs)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize("looks", [{}, {"NO_COLOR": "1"}], ids=["colour allowed", "NO_COLOR"])
def test_at_a_terminal_of_80_columns_it_is_the_stored_text(looks: dict[str, str]) -> None:
    assert _at_a_terminal(80, "assertion.jti.missing", **looks) == AT_80_COLUMNS


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize(("columns", "most"), [(60, 60), (80, 80), (250, 100)])
def test_at_a_terminal_lines_keep_to_its_width_and_commands_stay_whole(columns: int, most: int) -> None:
    shown = _at_a_terminal(columns, "invalid_client")
    commands = [line for line in shown.splitlines() if line.startswith("    ")]
    assert commands == re.findall(r"^    .*$", EXPLANATIONS["invalid_client"].more, re.MULTILINE)
    assert max(len(line) for line in shown.splitlines() if line not in commands) in range(most - 12, most + 1)
    assert " ".join(shown.split()).count(" ".join(EXPLANATIONS["invalid_client"].cause.split())) == 1


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize("columns", [60, 80])
def test_code_is_not_broken_into_lines(columns: int) -> None:
    shown = _at_a_terminal(columns, "invalid_request") + _at_a_terminal(columns, "configuration.invalid")
    assert shown.count("`banno-creds profile show`") == 1
    assert not [line for line in shown.splitlines() if line.count("`") % 2]


def test_the_help_explains_the_argument_first(cli: Cli) -> None:
    shown = cli("explain", "--help").stdout
    shown = " ".join(shown.split())
    assert "Input: RULE|ERROR|TEXT An id or a part of it, a word of a title, or what a server said" in shown
    assert shown.index("RULE|ERROR|TEXT An id") < shown.index("--output")


@pytest.mark.posix("a pseudo-terminal")
def test_at_a_terminal_the_list_keeps_its_titles_in_their_column() -> None:
    shown = _at_a_terminal(80)
    assert max(map(len, shown.splitlines())) <= 80
    for heading, names in groups().items():
        column = max(map(len, names)) + 4
        for name in names:
            found = re.search(rf"^  {re.escape(name)} +(.*(?:\n {{{column}}}.*)*)", shown, re.MULTILINE)
            assert found is not None, (heading, name)
            assert " ".join(found[1].split()) == EXPLANATIONS[name].title


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("exp.past", "assertion.exp.past"),
        ("ASSERTION.EXP.PAST", "assertion.exp.past"),
        ("Exp.Past", "assertion.exp.past"),
        (" assertion.exp.past\n", "assertion.exp.past"),
        ("`assertion.exp.past`", "assertion.exp.past"),
        ("[assertion.exp.past]:", "assertion.exp.past"),
        ("assertion.exp.millisecond", "assertion.exp.milliseconds"),
        ("clock", "clock.skew"),
        ("client.un", "client.unknown"),
        ("past", "assertion.exp.past"),
        ("INVALID_CLIENT", "invalid_client"),
        ("invalid_cl", "invalid_client"),
        ("crit", "assertion.crit.unsupported"),
        ("dns", "network.dns"),
    ],
)
def test_a_unique_part_of_an_id_is_enough(cli: Cli, given: str, named: str) -> None:
    done = cli("explain", given)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{named}: ")


@each
def test_a_whole_id_is_found_even_if_others_contain_it(cli: Cli, name: str) -> None:
    assert cli("explain", name).stdout.startswith(f"{name}: ")


def test_a_part_of_several_ids_names_them_all(cli: Cli) -> None:
    assert cli("explain", "exp") == Result(
        2,
        "",
        '✗   There are several rules or errors that match "exp"\n'
        "    assertion.exp.missing, assertion.exp.malformed, assertion.exp.milliseconds, assertion.exp.past, "
        "assertion.exp.too_far\n"
        "    Next: give more of the name: banno-creds explain assertion.exp.missing\n",
    )


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("invalid_clint", "invalid_client"),
        ("Invalid_Clint", "invalid_client"),
        ("exp.milisecond", "assertion.exp.milliseconds"),
        ("kid.unkown", "assertion.kid.unknown"),
        ("assertion.aud.mismatched", "assertion.aud.mismatch"),
        ("assertion.exp.passed", "assertion.exp.past"),
    ],
)
def test_a_misspelt_name_gets_the_nearest(cli: Cli, given: str, nearest: str) -> None:
    assert cli("explain", given) == Result(
        2,
        "",
        f'✗   There is no rule or error "{given}"\n    Next: did you mean: banno-creds explain {nearest}\n',
    )


PASTED = {
    # A server's words
    "client authentication failed": ["invalid_client"],
    "Client authentication failed.": ["invalid_client"],
    "unknown client": ["client.unknown"],
    "JWT signature verification failed": ["registration.key.mismatch"],
    "The audience is wrong": ["assertion.aud.mismatch"],
    "AADSTS700016: Application with identifier 'x' was not found": ["client.unknown"],
    "no client authentication mechanism provided": ["request.client_assertion.missing"],
    "redirect_uri did not match": ["authorization.redirect_uri.mismatch"],
    # A whole answer
    '{"error":"invalid_client","error_description":"client authentication failed"}': ["invalid_client"],
    '{"error": "invalid_client", "error_description": "the jti was used"}': [
        "assertion.jti.replayed",
        "invalid_client",
    ],
    '{"error":"invalid_scope"}': ["invalid_scope"],
    "error=invalid_grant&error_description=grant+request+is+invalid": ["invalid_grant"],
    '{"errorCode":40}': ["registration.user"],
    '{"error": {"code": "invalid_client", "message": "kid not found"}}': ["assertion.kid.unknown"],
    "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n\r\n{}": ["invalid_client"],
    # Our own errors
    "✗   The server refused the client: invalid_client — client authentication failed": ["invalid_client"],
    "invalid_client — client authentication failed": ["invalid_client"],
    "    More: banno-creds explain assertion.exp.past": ["assertion.exp.past"],
    "assertion.exp.past: received 7; expected a time in the future": ["assertion.exp.past"],
    "this answer hides the reason; ruled out here: alg, sub\nMore: banno-creds explain invalid_client": [
        "invalid_client"
    ],
    # A status, the vendor's code
    "401": ["invalid_client", "invalid_token"],
    "401 Unauthorized": ["invalid_client"],
    "HTTP 403": ["insufficient_scope"],
    "status 404": ["network.answer"],
    "429": ["network.unavailable"],
    "503": ["network.unavailable"],
    "407": ["network.proxy"],
    "302": ["network.answer"],
    "40": ["registration.user"],
    "errorCode 40": ["registration.user"],
    'errorCode":40': ["registration.user"],
    "WRONG_VERSION_NUMBER": ["network.tls.handshake"],
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed": ["network.tls.untrusted"],
}


@pytest.mark.parametrize(("text", "ids"), PASTED.items())
def test_what_a_server_says_is_recognised(cli: Cli, text: str, ids: list[str]) -> None:
    done = cli("explain", text)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{ids[0]}: {EXPLANATIONS[ids[0]].title}\n")
    members = loads(cli("explain", "-o", "json", text).stdout)
    assert [members["id"], *members.get("also", [])][: len(ids)] == ids
    assert cli("explain", "-", stdin=text.encode()).stdout == done.stdout
    if " " in text and "\n" not in text and not text.startswith((" ", "-")):
        assert cli("explain", *text.split(" ")).stdout == done.stdout  # without quotation marks


@pytest.mark.parametrize("text", ["12", "999", "41", "errorCode 41", "something strange happened", "E4711"])
def test_a_text_of_which_nothing_is_known_is_not_guessed_at(cli: Cli, text: str) -> None:
    done = cli("explain", text)
    assert (done.code, done.stdout) == (2, "")
    assert f'There is no rule or error "{text}"' in done.stderr


@pytest.mark.parametrize("given", ["xyzzy", "", " ", ".", "``"])
def test_a_name_that_is_like_no_other_leads_to_the_list(cli: Cli, given: str) -> None:
    done = cli("explain", given)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.endswith("\n    Next: banno-creds explain lists them\n")


def test_a_jwt_or_a_key_given_for_a_name_is_not_shown(cli: Cli) -> None:
    for secret in ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "-----BEGIN PRIVATE KEY-----\nMIIB\n"):
        done = cli("explain", secret)
        assert done.code == 2
        assert "MIIB" not in done.stderr
        assert "eyJ" not in done.stderr


def test_a_long_text_given_for_a_name_is_shortened(cli: Cli) -> None:
    said = cli("explain", "x" * 400).stderr
    assert "x" * 200 + "… (shortened)" in said


def test_without_a_name_all_are_listed_with_their_titles(cli: Cli) -> None:
    done = cli("explain")
    assert (done.code, done.stderr) == (0, "")
    listed = re.findall(r"^  (\S+) {2,}(\S.*)$", done.stdout, re.MULTILINE)
    assert listed == [(name, explanation.title) for name, explanation in EXPLANATIONS.items()]
    assert re.findall(r"^(?! )(.+)$", done.stdout, re.MULTILINE) == list(groups())


def test_as_json_it_has_a_version_and_everything(cli: Cli) -> None:
    done = cli("explain", "aud.mismatch", "-o", "json")
    assert (done.code, done.stderr) == (0, "")
    explanation = EXPLANATIONS["assertion.aud.mismatch"]
    assert loads(done.stdout) == {
        "version": 1,
        "id": "assertion.aud.mismatch",
        "title": explanation.title,
        "cause": explanation.cause,
        "fix": explanation.fix,
        "more": explanation.more,
        "question": None,
    }
    asked = loads(cli("explain", "registration.alg", env={"BANNO_CREDS_EXPLAIN_OUTPUT": "json"}).stdout)["question"]
    assert asked == EXPLANATIONS["registration.alg"].question


def test_the_list_as_json_has_them_all(cli: Cli) -> None:
    listed = loads(cli("explain", "--output=json").stdout)
    assert listed["version"] == 1
    assert [entry["id"] for entry in listed["explanations"]] == list(EXPLANATIONS)
    assert listed["explanations"][0].keys() == {"id", "title", "cause", "fix", "more", "question"}


@pytest.mark.parametrize("arguments", [["explain"], ["explain", "exp.past"], ["explain", "--help"]], ids=str)
def test_explaining_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, banno_creds.cli.main as c\n"
        "try: c.run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_shell_completes_the_ids(process: Cli) -> None:
    def completed(typed: str) -> list[str]:
        env = {
            "_BANNO_CREDS_COMPLETE": "bash_complete",
            "COMP_WORDS": f"banno-creds explain {typed}",
            "COMP_CWORD": "2",
        }
        done = process(env=env)
        assert (done.code, done.stderr) == (0, "")
        return [line.partition(",")[2] for line in done.stdout.splitlines() if line]

    assert completed("assertion.exp.") == [name for name in EXPLANATIONS if name.startswith("assertion.exp.")]
    assert completed("invalid_c") == ["invalid_client"]
    assert completed("") == list(EXPLANATIONS)
    assert completed("exp.") == [], "a shell would put it behind what was typed"
    assert completed("nothing") == []


@pytest.mark.parametrize(
    ("word", "first", "others"),
    [
        ("scope", "discovery.scope", {"invalid_scope", "insufficient_scope", "request.scope.not_allowed"}),
    ],
)
def test_a_word_of_a_title_leads_to_it_too(cli: Cli, word: str, first: str, others: set[str]) -> None:
    result = cli("explain", word)
    assert first in result.stdout + result.stderr
    assert all(other in result.stdout for other in others)


def test_several_that_match_are_named_with_those_by_their_title(cli: Cli) -> None:
    result = cli("explain", "expired")
    assert (result.code, result.stdout) == (2, "")
    assert "network.tls.expired, id_token.expired" in result.stderr
    assert "assertion.exp.past" in result.stderr
