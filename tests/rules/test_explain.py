"""``banno-creds explain``, the page docs/errors.md, and the explanations that both are made of."""

from __future__ import annotations

import ast
import fcntl
import os
import pty
import re
import runpy
import shlex
import struct
import subprocess
import sys
import termios
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import banno_creds
from banno_creds.cli import COMMANDS
from banno_creds.cli import cli as program
from banno_creds.rules.explanations import EXPLANATIONS, GROUPS, QUESTIONS, meant, question
from banno_creds.rules.findings import Rule
from banno_creds.sandbox import Client, Sandbox
from tests.conftest import CLIENT_ID, Cli, Result, write_private
from tests.docs.test_readme import run_script
from tests.test_architecture import HEAVY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from banno_creds.jose import keys

ROOT = Path(__file__).parents[2]
PACKAGE = Path(banno_creds.__file__).parent
MAKER = runpy.run_path(str(ROOT / "docs" / "errors.py"))
PAGE = (ROOT / "docs" / "errors.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")

# The error codes of a token endpoint, of an authorization endpoint and of an API, by the RFC that registers them.
OAUTH_ERRORS = {
    "RFC 6749 section 5.2": (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ),
    "RFC 6749 section 4.1.2.1": (
        "access_denied",
        "unsupported_response_type",
        "server_error",
        "temporarily_unavailable",
    ),
    "OpenID Connect Core section 3.1.2.6": (
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
    ),
    "RFC 7009 section 2.2.1": ("unsupported_token_type",),
    "RFC 7591 section 3.2.2": ("invalid_redirect_uri",),
    "RFC 6750 section 3.1": ("invalid_token", "insufficient_scope"),
    "RFC 8707 section 2": ("invalid_target",),
    "RFC 9449 sections 5 and 8": ("invalid_dpop_proof", "use_dpop_nonce"),
}
CODES = {code for codes in OAUTH_ERRORS.values() for code in codes}

each = pytest.mark.parametrize("name", [str(name) for name in EXPLANATIONS])
each_question = pytest.mark.parametrize("name", [str(name) for name in QUESTIONS])


# --- The explanations -----------------------------------------------------------------------------------------------


def test_every_rule_and_every_oauth_error_is_explained_and_nothing_else() -> None:
    assert set(EXPLANATIONS) == set(Rule) | CODES
    assert sum(map(len, GROUPS.values())) == len(EXPLANATIONS)


def test_every_oauth_error_that_the_code_names_is_explained() -> None:
    """Those that we have hints for, and those that the sandbox sends."""
    from banno_creds.tokens.response import _REFUSAL_HINTS

    assert set(_REFUSAL_HINTS) <= set(EXPLANATIONS)
    named = {
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    like = {text for text in named if re.fullmatch(r"(invalid|unsupported|unauthorized|insufficient)_[a-z_]+", text)}
    assert {"invalid_client", "invalid_scope", "unsupported_grant_type"} <= like
    assert like <= CODES


@each
def test_an_explanation_has_the_form_that_tables_and_pages_rely_on(name: str) -> None:
    title, cause, fix, more = EXPLANATIONS[name]
    for text in (title, cause, fix, more):
        assert text == text.strip() or text is more
        assert "  " not in text.replace("\n\n    ", "")
        assert text.isascii(), "a terminal that knows no more must show it too"
        assert text.count("`") % 2 == 0
    assert 0 < len(title) <= 60
    assert not title.endswith(".")
    assert "`" not in title
    assert 0 < len(fix) <= 140
    assert fix[0].islower()
    assert not fix.endswith(".")
    assert "\n" not in fix
    assert "`" not in fix
    assert cause.endswith(".")
    assert "\n" not in cause
    assert 1 <= len(re.findall(r"[.)\"](?= [A-Z`\"]|$)", cause)) <= 4
    # Outside of code these would be markup on the page.
    assert not re.search(
        r"[<>*|]|^ {0,3}#", re.sub(r"`[^`]*`|^ {4}.*$", "", f"{cause}\n{fix}\n{more}", flags=re.MULTILINE)
    )


def test_no_two_rules_have_the_same_title() -> None:
    titles = [explanation.title for group in list(GROUPS.values())[1:] for explanation in group.values()]
    assert len(set(titles)) == len(titles)


@each
def test_what_an_explanation_refers_to_is_explained(name: str) -> None:
    explanation = EXPLANATIONS[name]
    rules = {str(rule).partition(".")[0] for rule in Rule}
    for code in re.findall(r"`([^`]+)`", f"{explanation.cause} {explanation.more}"):
        if re.fullmatch(rf"(?:{'|'.join(rules)})\.[a-z_.]+", code):
            assert code in EXPLANATIONS
            assert code != name


@each_question
def test_a_question_names_the_client_and_is_put_to_the_bank(name: str) -> None:
    values = {"client_id": "199e6f35", "fingerprint": "SHA256:8mKq", "alg": "ES256", "scope": "openid a"}
    asked = QUESTIONS[name].format(**values)
    assert "199e6f35" in asked
    assert "Users & Groups" in asked
    assert "?" in asked
    assert "{" not in asked
    assert asked.isascii()


def test_what_only_the_bank_can_look_at_has_a_question() -> None:
    assert set(QUESTIONS) == {
        "client.unknown",
        "registration.auth_method",
        "registration.alg",
        "registration.application_type",
        "registration.user",
        "registration.key.mismatch",
        "request.scope.not_allowed",
    }
    assert "SHA256:8mKq" in QUESTIONS["registration.key.mismatch"].format(client_id="", fingerprint="SHA256:8mKq")
    assert "ES256" in QUESTIONS["registration.alg"].format(client_id="", alg="ES256")
    assert "openid a" in QUESTIONS["request.scope.not_allowed"].format(client_id="", scope="openid a")
    for name, words in {
        "registration.application_type": "Service account",
        "registration.auth_method": "Signed JWT",
        "registration.user": "Associated User",
        "registration.key.mismatch": "JWKS URI",
    }.items():
        assert words in QUESTIONS[name]


def test_what_the_texts_say_of_limits_is_what_the_code_keeps_to() -> None:
    from banno_creds.config import ALGORITHMS, DEFAULT_LIFETIME, DEFAULT_TIMEOUT, MOST_LIFETIME
    from banno_creds.doctor.examination import MOST_REQUESTS
    from banno_creds.jose.keys import LEAST_RSA_BITS
    from banno_creds.rules.assertion import CLOCK_TOLERANCE, CLOCK_WARNS

    assert f"{MOST_LIFETIME // 60} minutes" in EXPLANATIONS["assertion.exp.too_far"].cause
    assert (
        f"now + {DEFAULT_LIFETIME} seconds, {MOST_LIFETIME} at the most" in EXPLANATIONS["assertion.exp.too_far"].fix
    )
    for name in (
        "assertion.exp.past",
        "assertion.nbf.future",
        "assertion.iat.future",
        "clock.skew",
        "invalid_client",
    ):
        assert f" {CLOCK_TOLERANCE} seconds" in EXPLANATIONS[name].cause
    assert f"warns at {CLOCK_WARNS} seconds and fails past {CLOCK_TOLERANCE}." in EXPLANATIONS["clock.skew"].cause
    assert f"in at most {MOST_REQUESTS} requests." in EXPLANATIONS["invalid_client"].more
    assert f"{LEAST_RSA_BITS} bits" in EXPLANATIONS["registration.key.size"].cause
    assert f"{DEFAULT_TIMEOUT:g} seconds" in EXPLANATIONS["network.timeout"].cause
    for algorithm in ALGORITHMS:
        assert f"`{algorithm}`" in EXPLANATIONS["assertion.alg.unsupported"].cause


# --- The commands that the texts name -------------------------------------------------------------------------------


def _texts() -> Iterator[str]:
    for name, explanation in EXPLANATIONS.items():
        yield from (explanation.title, explanation.cause, explanation.fix, explanation.more, question(name) or "")
    yield PAGE


def _options(command: str) -> set[str]:
    found = program.get_command(click.Context(program), command)
    assert found is not None
    return {option for parameter in found.params for option in parameter.opts}


def test_every_command_and_every_option_that_the_texts_name_is_there() -> None:
    named: dict[str, set[str]] = {}
    for text in _texts():
        for command in re.findall(r"\bbanno-creds ([a-z][a-z-]*)", text):
            named.setdefault(command, set())
        for line in re.findall(r"^ *(banno-creds .*)$|`(banno-creds [^`]*)`", text, re.MULTILINE):
            _, command, *arguments = [*shlex.split("".join(line), comments=True), ""]
            named.setdefault(command, set()).update(word for word in arguments if word.startswith("--"))
    assert {"keygen", "sign-jwt", "token", "decode", "doctor", "lint-assertion", "sandbox", "explain"} <= set(named)
    assert "--public-from" in named["keygen"]
    named.pop("", None)
    assert "--registered" in named["doctor"]
    assert set(named) <= set(COMMANDS)
    for command, options in named.items():
        assert options <= _options(command)


def test_every_option_that_the_texts_name_by_itself_is_one() -> None:
    known = {option for command in COMMANDS for option in _options(command)}
    named = {option for text in _texts() for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}
    assert {"--scope", "--kid", "--ca-bundle", "--probe", "--bundle"} <= named
    assert named <= known


def test_every_variable_that_the_texts_name_is_one() -> None:
    options = {
        str(parameter.envvar)
        for command in COMMANDS
        if (found := program.get_command(click.Context(program), command)) is not None
        for parameter in found.params
    }
    named = {name for text in _texts() for name in re.findall(r"BANNO_CREDS_[A-Z_]*[A-Z]", text)}
    assert named <= options | {"BANNO_CREDS_PRIVATE_KEY_PEM", "BANNO_CREDS_STATE_DIR"}
    assert "BANNO_CREDS_KID" in named


def _commands() -> list[str]:
    texts = "\n".join(explanation.more for explanation in EXPLANATIONS.values())
    return list(dict.fromkeys(re.findall(r"^    (banno-creds .*)$", texts, re.MULTILINE)))


@pytest.mark.parametrize("command", _commands())
def test_every_command_that_is_shown_runs_as_it_stands(
    command: str, tmp_path: Path, rsa_key: keys.PrivateKey
) -> None:
    """Once the client ID is filled in, with the files that it names."""
    with Sandbox([Client(CLIENT_ID, rsa_key.public.pem().decode())], log=lambda _: None) as sandbox:
        env = {"BANNO_CREDS_SANDBOX_PORT": "0"}
        line = command.replace("--client-id ID", f"--client-id {CLIENT_ID}")
        if "--issuer" in line:
            line = line.replace("https://login.jackhenry.com", sandbox.issuer)
        else:
            env["BANNO_CREDS_TOKEN_ENDPOINT"] = sandbox.token_endpoint
        write_private(tmp_path / "private.pem", rsa_key.pem())
        if "keygen" not in line:
            (tmp_path / "public.pem").write_bytes(rsa_key.public.pem())
            (tmp_path / "jwks.json").write_text(dumps({"keys": [rsa_key.public.jwk()]}))
            sign = f"banno-creds sign-jwt --quiet --client-id {CLIENT_ID} --private-key private.pem > assertion.jwt"
            assert run_script(tmp_path, sign, env).returncode == 0
        elif "--public-from" not in line:
            (tmp_path / "private.pem").unlink()
        if " sandbox " in line:  # which would go on until somebody ends it
            line = f"{line} > out & until grep -q ready out; do kill -0 $!; sleep 0.1; done; kill $!"
        done = run_script(tmp_path, line, env)
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout


# --- docs/errors.md -------------------------------------------------------------------------------------------------


def test_the_page_is_what_its_maker_makes() -> None:
    assert (ROOT / "docs" / "errors.md").read_bytes() == MAKER["page"]().encode(), "run: make errors"


def test_make_errors_writes_the_page(tmp_path: Path) -> None:
    copy = tmp_path / "errors.py"
    copy.write_bytes((ROOT / "docs" / "errors.py").read_bytes())
    subprocess.run([sys.executable, str(copy)], check=True, timeout=60)
    assert (tmp_path / "errors.md").read_text("utf-8") == PAGE
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^errors:.*\n\t\$\(BIN\)/python docs/errors\.py$", makefile, re.MULTILINE)
    assert re.search(r"^\.PHONY:.* errors\b", makefile, re.MULTILINE)


def test_the_page_has_one_heading_for_every_id_and_no_other() -> None:
    assert sorted(re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)) == sorted(EXPLANATIONS)
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == ["By what you see", "Words", *GROUPS]


def test_every_paragraph_and_every_command_of_the_page_stands_by_itself() -> None:
    assert "\n\n\n" not in PAGE
    assert PAGE.count("```sh\n") == PAGE.count("\n\n```sh\n") == PAGE.count("\n```\n\n") > 1
    assert PAGE.count("**Fix:**") == PAGE.count("\n\n**Fix:**") == len(EXPLANATIONS)
    assert PAGE.count("**Ask the") == PAGE.count("\n\n**Ask the administrator:**") == len(QUESTIONS)


def test_every_link_of_the_page_leads_somewhere() -> None:
    headings = [heading.replace("`", "") for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)]
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(set(anchors)) == len(anchors), "GitHub would number them"
    linked = re.findall(r"\]\(#([^)]*)\)", PAGE)
    assert set(linked) <= set(anchors)
    assert set(re.findall(r"\]\((?!#)([^)]*)\)", PAGE)) == {"../README.md#in-a-script", "doctor.md"}
    assert (ROOT / "docs" / "doctor.md").is_file()
    assert "\n## In a script\n" in README


def _parts() -> Mapping[str, str]:
    split = re.split(r"^##+ (.*)\n", PAGE, flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(split[1::2], split[2::2], strict=True)}


def _plain(text: str) -> str:
    """What a reader of the page reads: no links, no fences, no emphasis, no line ends."""
    text = re.sub(r"\[(`[^`]+`)\]\([^)]*\)", r"\1", text)
    return " ".join(text.replace("```sh", "").replace("```", "").replace("**", "").split())


@each
def test_the_page_says_all_that_is_known_of_an_id(name: str) -> None:
    explanation = EXPLANATIONS[name]
    part = _plain(_parts()[name])
    for text in (f"{explanation.title}. {explanation.cause}", f"Fix: {explanation.fix}.", explanation.more):
        assert " ".join(text.split()) in part
    asked = question(name)
    assert (asked is not None) == ("Ask the administrator:" in part)
    assert asked is None or asked in part


def test_no_line_of_the_page_turns_into_another_markup_by_being_wrapped() -> None:
    running = re.sub(r"^```sh\n.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    for line in running.splitlines():
        if not line.startswith(("# ", "## ", "### `", "- [", "|")):
            assert not re.match(r"\s*(?:[-+*#>=|]|\d+[.)])(?:\s|$)| {4}|~~~|---", line), line


def test_the_servers_words_that_the_page_lists_are_those_that_the_texts_tell_of() -> None:
    table = _parts()["By what you see"]
    for words in re.findall(r'(?<= )"([^"]+)"', table):
        if not words.startswith("..."):
            assert any(f'"{words}"' in explanation.cause for explanation in EXPLANATIONS.values()), words


# --- The command ----------------------------------------------------------------------------------------------------

PIPED = """\
assertion.jti.missing: The claim jti is missing or empty

`jti` makes the assertion one of a kind, so that it can be used only once (RFC 7523 section 3). RFC 7523 leaves it \
optional, the vendor's server does not: 401 `invalid_client`.

Fix: set jti to a fresh random UUID in every assertion.
"""
AT_80_COLUMNS = """\
assertion.jti.missing: The claim jti is missing or empty

`jti` makes the assertion one of a kind, so that it can be used only once (RFC
7523 section 3). RFC 7523 leaves it optional, the vendor's server does not: 401
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
    asked = question(name)
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


@pytest.mark.parametrize("looks", [{}, {"NO_COLOR": "1"}], ids=["colour allowed", "NO_COLOR"])
def test_at_a_terminal_of_80_columns_it_is_the_stored_text(looks: dict[str, str]) -> None:
    assert _at_a_terminal(80, "assertion.jti.missing", **looks) == AT_80_COLUMNS


@pytest.mark.parametrize(("columns", "most"), [(60, 60), (80, 80), (250, 100)])
def test_at_a_terminal_lines_keep_to_its_width_and_commands_stay_whole(columns: int, most: int) -> None:
    shown = _at_a_terminal(columns, "invalid_client")
    commands = [line for line in shown.splitlines() if line.startswith("    ")]
    assert commands == re.findall(r"^    .*$", EXPLANATIONS["invalid_client"].more, re.MULTILINE)
    assert max(len(line) for line in shown.splitlines() if line not in commands) in range(most - 12, most + 1)
    assert " ".join(shown.split()).count(" ".join(EXPLANATIONS["invalid_client"].cause.split())) == 1


@pytest.mark.parametrize("columns", [60, 80])
def test_what_is_code_is_not_broken_into_lines(columns: int) -> None:
    """To be copied at a terminal, and found on the page."""
    shown = _at_a_terminal(columns, "invalid_request") + _at_a_terminal(columns, "configuration.invalid")
    assert shown.count("`banno-creds profile show`") == 1
    assert not [line for line in shown.splitlines() if line.count("`") % 2]
    assert not [line for line in PAGE.splitlines() if line.count("`") % 2 and "```" not in line]


def test_the_help_explains_the_argument_first(cli: Cli) -> None:
    shown = cli("explain", "--help").stdout
    assert "Input:\n  RULE|ERROR  An id, or a part that no other has; nothing to list them all.\n" in shown
    assert shown.index("RULE|ERROR  An id") < shown.index("--output")


def test_at_a_terminal_the_list_keeps_its_titles_in_their_column() -> None:
    shown = _at_a_terminal(80)
    assert max(map(len, shown.splitlines())) <= 80
    for heading, group in GROUPS.items():
        column = max(map(len, group)) + 4
        for name, explanation in group.items():
            found = re.search(rf"^  {re.escape(name)} +(.*(?:\n {{{column}}}.*)*)", shown, re.MULTILINE)
            assert found is not None, (heading, name)
            assert " ".join(found[1].split()) == explanation.title


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
def test_a_part_that_no_other_has_is_enough(cli: Cli, given: str, named: str) -> None:
    assert meant(given) == (named,)
    done = cli("explain", given)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{named}: ")


@each
def test_a_whole_id_is_meant_whatever_else_has_it_in_it(name: str) -> None:
    assert meant(name) == (name,)


def test_a_part_that_several_have_names_them_all(cli: Cli) -> None:
    assert cli("explain", "exp") == Result(
        2,
        "",
        '✗   There is more than one that "exp" may mean\n'
        "    assertion.exp.missing, assertion.exp.malformed, assertion.exp.milliseconds, assertion.exp.past, "
        "assertion.exp.too_far\n"
        "    Next: give more of it: banno-creds explain assertion.exp.missing\n",
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


@pytest.mark.parametrize("given", ["xyzzy", "", " ", ".", "``"])
def test_what_is_like_none_is_told_where_the_list_is(cli: Cli, given: str) -> None:
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
    assert listed == [(str(name), explanation.title) for name, explanation in EXPLANATIONS.items()]
    assert re.findall(r"^(?! )(.+)$", done.stdout, re.MULTILINE) == list(GROUPS)


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
    assert asked == question("registration.alg")


def test_the_list_as_json_has_them_all(cli: Cli) -> None:
    listed = loads(cli("explain", "--output=json").stdout)
    assert listed["version"] == 1
    assert [entry["id"] for entry in listed["explanations"]] == list(EXPLANATIONS)
    assert listed["explanations"][0].keys() == {"id", "title", "cause", "fix", "more", "question"}


@pytest.mark.parametrize("arguments", [["explain"], ["explain", "exp.past"], ["explain", "--help"]], ids=str)
def test_explaining_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, banno_creds.cli as c\n"
        "try: c.run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
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

    assert completed("assertion.exp.") == [str(name) for name in EXPLANATIONS if name.startswith("assertion.exp.")]
    assert completed("invalid_c") == ["invalid_client"]
    assert completed("") == [str(name) for name in EXPLANATIONS]
    assert completed("exp.") == [], "a shell would put it behind what was typed"
    assert completed("nothing") == []
