"""rules/errors.md is complete and well-formed, its reader finds all of it, and what it says is true."""

from __future__ import annotations

import ast
import importlib.resources
import re
import shlex
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import banno_creds
from banno_creds.cli.groups import COMMANDS
from banno_creds.cli.main import cli as program
from banno_creds.rules.assertion import judge
from banno_creds.rules.explanations import EXPLANATIONS, groups
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.known import Known
from banno_creds.rules.outcomes import with_fix
from banno_creds.rules.presented import ClientAssertion
from banno_creds.rules.registration import read_registration
from banno_creds.sandbox import Client, Sandbox
from tests.conftest import CLIENT_ID, write_private
from tests.docs.scripts import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from banno_creds.jose import keys

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PACKAGE = Path(banno_creds.__file__).parent
FILE = PACKAGE / "rules" / "errors.md"
PAGE = FILE.read_text("utf-8")

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

each = pytest.mark.parametrize("name", list(EXPLANATIONS))
QUESTIONS = {name: one.question for name, one in EXPLANATIONS.items() if one.question is not None}
each_question = pytest.mark.parametrize("name", QUESTIONS)


# --- The explanations -----------------------------------------------------------------------------------------------


def test_every_rule_and_every_oauth_error_is_explained_and_nothing_else() -> None:
    assert set(EXPLANATIONS) == set(Rule) | CODES
    assert [name for names in groups().values() for name in names] == list(EXPLANATIONS)


def test_an_installed_package_has_the_page() -> None:
    """Flit packs every file of the package; it is found there as data of the package."""
    assert importlib.resources.files("banno_creds.rules").joinpath("errors.md").read_text("utf-8") == PAGE


def test_a_finding_takes_its_fix_from_the_page() -> None:
    findings = [*judge(ClientAssertion.read("a.b"), Known(now=0)), *read_registration(b"no key", "a").findings]
    faults = [finding for finding in findings if finding.verdict is Verdict.FAIL]
    assert {finding.rule for finding in faults} == {Rule.ASSERTION_MALFORMED, Rule.REGISTRATION_UNREADABLE}
    for finding in faults:
        written = re.search(rf"^### `{finding.rule}`\n.*?\n\*\*Fix:\*\* (.*?)\.\n\n", PAGE, re.DOTALL | re.MULTILINE)
        assert written is not None
        assert finding.fix == written[1].replace("\n", " ")


def test_a_finding_with_a_fix_of_its_own_keeps_it() -> None:
    own = Finding(Rule.EXP_PAST, Verdict.FAIL, "exp", fix="wait")
    assert with_fix(own) is own


def test_every_oauth_error_that_the_code_names_is_explained() -> None:
    """Those that we have hints for, and those that the sandbox sends."""
    from banno_creds.login.provider import HINTS
    from banno_creds.tokens.client_credentials import _HINTS

    assert {*_HINTS, *HINTS} <= set(EXPLANATIONS)
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
    title, cause, fix, more, question = EXPLANATIONS[name]
    for text in (title, cause, fix, more, question or ""):
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
    titles = [EXPLANATIONS[name].title for names in list(groups().values())[1:] for name in names]
    assert len(set(titles)) == len(titles)


@each
def test_every_rule_that_an_explanation_names_is_explained(name: str) -> None:
    explanation = EXPLANATIONS[name]
    rules = {str(rule).partition(".")[0] for rule in Rule}
    for code in re.findall(r"`([^`]+)`", f"{explanation.cause} {explanation.more}"):
        if re.fullmatch(rf"(?:{'|'.join(rules)})\.[a-z_.]+", code):
            assert code in EXPLANATIONS
            assert code != name


@each_question
def test_a_question_names_the_client_and_is_put_to_the_bank(name: str) -> None:
    values = {"client_id": "199e6f35", "fingerprint": "SHA256:8mKq", "alg": "ES256", "scope": "openid a"}
    asked = EXPLANATIONS[name].asked(values)
    assert "199e6f35" in asked
    assert "Users & Groups" in asked
    assert "?" in asked
    assert not re.search(r"\{|\b[A-Z]+_ID\b|FINGERPRINT|\bALG\b|SCOPE", asked)
    assert asked.isascii()


def test_a_value_in_a_question_is_not_replaced_again() -> None:
    facts = {"client_id": "SCOPE", "scope": "ALG"}
    asked = EXPLANATIONS["request.scope.not_allowed"].asked(facts)
    assert "application SCOPE have" in asked
    assert asked.endswith("We ask for: ALG.")


def test_a_fault_that_can_be_checked_here_has_no_question() -> None:
    assert EXPLANATIONS["assertion.exp.past"].question is None
    assert EXPLANATIONS["assertion.exp.past"].asked({}) == ""


def test_the_faults_that_only_the_bank_can_check_have_a_question() -> None:
    assert set(QUESTIONS) == {
        "client.address",
        "client.disabled",
        "client.secret",
        "client.unknown",
        "registration.auth_method",
        "registration.alg",
        "registration.application_type",
        "registration.user",
        "registration.key.mismatch",
        "request.scope.not_allowed",
    }
    facts = {"client_id": "", "fingerprint": "SHA256:8mKq", "alg": "ES256", "scope": "openid a"}
    assert "SHA256:8mKq" in EXPLANATIONS["registration.key.mismatch"].asked(facts)
    assert "ES256" in EXPLANATIONS["registration.alg"].asked(facts)
    assert "openid a" in EXPLANATIONS["request.scope.not_allowed"].asked(facts)
    for name, words in {
        "registration.application_type": "Service account",
        "registration.auth_method": "Signed JWT",
        "registration.user": "Associated User",
        "registration.key.mismatch": "JWKS URI",
    }.items():
        assert words in QUESTIONS[name]


def test_the_limits_in_the_texts_are_those_of_the_code() -> None:
    from banno_creds.config import ALGORITHMS, DEFAULT_LIFETIME, DEFAULT_TIMEOUT, MOST_LIFETIME
    from banno_creds.doctor.request import MOST_REQUESTS
    from banno_creds.jose.keys import LEAST_RSA_BITS
    from banno_creds.rules.clock import CLOCK_TOLERANCE, CLOCK_WARNS

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
    for explanation in EXPLANATIONS.values():
        yield from (text for text in explanation if text)
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


_ENDLESS = pytest.mark.posix("sh waits for the sandbox, and ends it")


@pytest.mark.parametrize(
    "command", [pytest.param(each, marks=_ENDLESS if " sandbox " in each else ()) for each in _commands()]
)
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


# --- The page -------------------------------------------------------------------------------------------------------


def test_the_page_has_one_heading_for_every_id_and_no_other() -> None:
    assert sorted(re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)) == sorted(EXPLANATIONS)
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == ["By what you see", "Words", *groups()]


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
    assert set(re.findall(r"\]\((?!#)([^)]*)\)", PAGE)) == {
        "../../../README.md#in-a-script",
        "../../../docs/doctor.md",
    }
    assert (ROOT / "docs" / "doctor.md").is_file()
    assert "\n## In a script\n" in (ROOT / "README.md").read_text("utf-8")


def test_every_rule_that_an_explanation_names_is_a_link_on_the_page() -> None:
    for name, part in _parts().items():
        if name not in EXPLANATIONS:
            continue
        for code in re.findall(r"(?<!\[)`([^`]+)`", part):
            assert code == name or code not in EXPLANATIONS, (name, code)


def test_every_link_of_the_page_names_the_section_that_it_leads_to() -> None:
    for code, anchor in re.findall(r"\[`([^`]+)`\]\(#([^)]*)\)", PAGE):
        assert anchor == code.replace(".", "")


def test_the_lines_of_the_page_are_short_enough_to_be_read_and_compared() -> None:
    text = re.sub(r"^\|.*$|^```sh\n.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert max(map(len, text.splitlines())) <= 120


def test_no_code_on_the_page_is_broken_into_lines() -> None:
    assert not [line for line in PAGE.splitlines() if line.count("`") % 2 and "```" not in line]


def test_the_documentation_leads_to_this_page() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("doctor", "sandbox"))):
        targets = re.findall(r"\]\(([^)#]*errors\.md)\)", page.read_text("utf-8"))
        assert targets
        assert {(page.parent / target).resolve() for target in targets} == {FILE.resolve()}


def _parts() -> Mapping[str, str]:
    split = re.split(r"^##+ (.*)\n", PAGE, flags=re.MULTILINE)
    return {heading.strip("`"): text for heading, text in zip(split[1::2], split[2::2], strict=True)}


def _plain(text: str) -> str:
    """What a reader of the page reads: no links, no fences, no emphasis, no line ends."""
    text = re.sub(r"\[(`[^`]+`)\]\([^)]*\)", r"\1", text)
    return " ".join(text.replace("```sh", "").replace("```", "").replace("**", "").split())


@each
def test_the_reader_leaves_out_nothing_of_a_section(name: str) -> None:
    explanation = EXPLANATIONS[name]
    part = _plain(_parts()[name])
    for text in (f"{explanation.title}. {explanation.cause}", f"Fix: {explanation.fix}.", explanation.more):
        assert " ".join(text.split()) in part
    asked = explanation.question
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


def test_every_rule_that_an_error_names_is_explained() -> None:
    """Errors below this wing name their rule as a text, which no type checker compares with the ids."""
    named = {
        keyword.value.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Error", ".but"))
        for keyword in node.keywords
        if keyword.arg == "rule" and isinstance(keyword.value, ast.Constant) and keyword.value.value is not None
    }
    assert {"network.answer", "session.ended"} <= named
    assert named <= set(EXPLANATIONS)
