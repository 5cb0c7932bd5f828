"""Slips of the hand: what was meant is told first, by meaning as well as by spelling, and no secret is shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import pytest

from banno_creds.cli import synonyms
from banno_creds.cli.main import cli as group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cli

pytestmark = pytest.mark.once

QUOTE = '"' if sys.platform == "win32" else "'"
LINE = 'cmd /c "…"' if sys.platform == "win32" else "sh -c '…'"
SECRET = "hunter2-correct-horse"

TLS = "TLS is always checked; to trust the server's certificate, give its authority: --ca-bundle FILE"

# What is typed, and what comes next.
OPTIONS = {
    "token --key k.pem": "did you mean --private-key FILE",
    "token --pem k.pem": "did you mean --private-key FILE",
    "token --keyfile k.pem": "did you mean --private-key FILE",
    "token --private-key-file=k.pem": "did you mean --private-key FILE",
    "decode --key k.pem": "did you mean --public-key FILE",
    "keygen --out k.pem": "did you mean --private-key FILE",
    "token --json": "did you mean -o json",
    "client-assertion --json": "did you mean -o json",
    "cache list --json": "did you mean -o json",
    "decode --json": "did you mean --full",
    "token --format json": "did you mean --output json|token|header|env|powershell|cmd|github|jsonl",
    "token --debug": "did you mean -v; BANNO_CREDS_DEBUG=1 shows where an error comes from",
    "token --trace": "did you mean -v; BANNO_CREDS_DEBUG=1 shows where an error comes from",
    "client-assertion --debug": "BANNO_CREDS_DEBUG=1 shows where an error comes from",
    "client-assertion --verbose": "the steps are shown unless --quiet is given; BANNO_CREDS_DEBUG=1 shows more",
    "sign-jwt -v": "the steps are shown unless --quiet is given; BANNO_CREDS_DEBUG=1 shows more",
    "token --env prod": "did you mean --environment production|legacy",
    "token --verify": TLS,
    "token --insecure": TLS,
    "api -k /a": TLS,
    "decode --verify": "did you mean --issuer URL",
    "token --cacert c.pem": "did you mean --ca-bundle FILE|FOLDER",
    "token --url https://a.example": "did you mean --token-endpoint URL",
    "token --host a.example": "did you mean --token-endpoint URL",
    "api --server https://a.example /a": "did you mean --api-base URL",
    "doctor --issuer-url https://a.example": "did you mean --issuer URL",
    "token --audience x": "did you mean --aud URL",
    "decode --aud x": "did you mean --audience VALUE",
    "sign-jwt --algorithm RS256": "did you mean --alg PS256|RS256|ES256",
    "token --silent": "did you mean --quiet",
    "token --version": "banno-creds --version",
    "token --ttl 60": "did you mean --lifetime SECONDS",
    "token --proxy http://p": "set the variable HTTPS_PROXY",
    "token --no-color": "set the variable NO_COLOR=1",
    "api -d {} /a": "did you mean --input FILE",
    "login --port 8080": "did you mean --redirect-uri URL",
    "token --lifetme 3": "did you mean --lifetime SECONDS",
    "keygen --client-id x": "it is an option of client-assertion, token, check, exec, …, and not of keygen",
    "decode --expired": "did you mean --check-expiry",
    "doctor --verbose": "BANNO_CREDS_DEBUG=1 shows more of an error",
    "whoami --json": "the claims are JSON already",
    "token --cache-dir x": "set the variable BANNO_CREDS_CACHE_DIR",
    "keygen --ec": "did you mean --type ec",
    "token --prod": "did you mean --environment production",
    "token --bearer": "did you mean --output header",
    "exec -c true": f"give the line to a shell: banno-creds exec -- {LINE}",
    "-v token": "an option of a command stands behind the command's name: banno-creds token -v",
    "--quiet token": "an option of a command stands behind the command's name: banno-creds token --quiet",
    "token --frobnicate": "banno-creds token --help",
    "--json": "an option of a command stands behind the command's name",
    "--scope a token": "an option of a command stands behind the command's name: banno-creds token --scope",
}


@pytest.mark.parametrize(("typed", "then"), OPTIONS.items(), ids=OPTIONS)
def test_an_unknown_option_leads_to_the_one_that_was_meant(cli: Cli, typed: str, then: str) -> None:
    result = cli(*typed.split())
    assert (result.code, result.stdout) == (2, "")
    said, _, hint = result.stderr.partition("\n    Next: ")
    assert said.startswith("✗   There is no option -")
    assert hint.startswith(then), hint


@pytest.mark.parametrize("command", ["token", "login", "client-assertion", "keygen"])
@pytest.mark.parametrize("option", ["--password", "--pass", "--passphrase", "--secret", "--client-secret", "--pw"])
@pytest.mark.parametrize("between", ["=", " "])
def test_a_secret_as_an_argument_is_not_shown_and_the_file_is_named(
    cli: Cli, command: str, option: str, between: str
) -> None:
    result = cli(*f"{command} {option}{between}{SECRET}".split())
    assert (result.code, result.stdout) == (2, "")
    assert SECRET not in result.stderr
    assert f"There is no option {option} of banno-creds {command}\n" in result.stderr
    if command == "login":
        assert "-file FILE; a secret is never an argument, which others can see" in result.stderr


# What is typed, what is said of it, and the whole line as it is right.
QUOTES = "a scope stands behind the value of --scope, without quotes around both"
RIGHTED = {
    "token --scope=openid profile --client-id x": (QUOTES, "token --scope 'openid profile' --client-id x"),
    "token --scope openid profile": (QUOTES, "token --scope 'openid profile'"),
    "login --scope openid profile email": (QUOTES, "login --scope 'openid profile email'"),
    "token --scope openid https://jackhenry.com/a -q": (QUOTES, "token --scope 'openid https://jackhenry.com/a' -q"),
    "token --scope openid profile garden": (
        "profile lacks its two dashes",
        "token --scope openid --profile garden",
    ),
    "token --client_id X": ("there is no option --client_id of banno-creds token", "token --client-id X"),
    "token --clientId X": ("there is no option --clientId of banno-creds token", "token --client-id X"),
    "token --CLIENT-ID=X": ("there is no option --CLIENT-ID of banno-creds token", "token --client-id X"),
    "token ---client-id X": ("there is no option ---client-id of banno-creds token", "token --client-id X"),
    "token -client-id X": ("-client-id lacks a dash", "token --client-id X"),
    "token -output json": ("-output lacks a dash", "token --output json"),
    "token client-id X": ("client-id lacks its two dashes", "token --client-id X"),
    "token client_id=X --scope a": ("client-id lacks its two dashes", "token --client-id X --scope a"),
    "token client-id:X": ("client-id lacks its two dashes", "token --client-id X"),
    "token /client-id X": ("client-id lacks its two dashes", "token --client-id X"),
    "token --client-id:X": ("a colon stands behind --client-id", "token --client-id X"),
    "token --client-id= X": ("a blank stands behind --client-id=", "token --client-id=X"),
    "token -q client-id X force-refresh": (
        "client-id lacks its two dashes",
        "token -q --client-id X --force-refresh",
    ),
    "token -- client-id X": ("client-id lacks its two dashes", "token --client-id X"),
    "token help": ("help lacks its two dashes", "token --help"),
    "sign-jwt --client_id X --private_key k.pem": (
        "there is no option --client_id of banno-creds sign-jwt",
        "sign-jwt --client-id X --private-key k.pem",
    ),
    "profile add garden client-id X": ("client-id lacks its two dashes", "profile add garden --client-id X"),
}


@pytest.mark.parametrize(("typed", "said", "line"), [(typed, *then) for typed, then in RIGHTED.items()], ids=RIGHTED)
def test_the_whole_line_is_shown_where_it_is_sure(cli: Cli, typed: str, said: str, line: str) -> None:
    result = cli(*typed.split())
    assert (result.code, result.stdout) == (2, "")
    first, _, rest = result.stderr.partition("\n")
    assert first.lower() == f"✗   {said}".lower()
    assert rest == f"    Next: did you mean: banno-creds {line}\n".replace("'", QUOTE)


def test_a_scope_before_a_path_is_quoted_and_the_path_not_shown(cli: Cli) -> None:
    said = cli("api", "--scope", "openid", "profile", "/a").stderr
    assert said.lower() == f"✗   {QUOTES}\n    Next: did you mean --scope {QUOTE}openid profile{QUOTE}\n".lower()


def test_a_scope_without_quotes_is_no_second_profile(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[profiles.x]\nclient_id = "a-client"\n')
    line = f"--config {file} --profile x"
    result = cli("token", "--scope=openid", "profile", *line.split())
    right = f"token --scope {QUOTE}openid profile{QUOTE} {line}"
    shown = f": banno-creds {right}" if len(right) < 130 else f" --scope {QUOTE}openid profile{QUOTE}"
    assert result.stderr.endswith(f"    Next: did you mean{shown}\n")


@pytest.mark.parametrize("typed", ["token -output josn", "token --clientId --scope a", "token --scope a --scop"])
def test_a_line_that_would_fail_too_is_not_shown(cli: Cli, typed: str) -> None:
    result = cli(*typed.split())
    assert (result.code, result.stdout) == (2, "")
    assert "did you mean: " not in result.stderr
    assert "Next: " in result.stderr


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["decode", "--file=", SECRET], "did you mean"),
        (["token", "client-id", "X", "--claim", f"a={SECRET}"], "--client-id ID"),
        (["api", "/a", "client-id", "X", "-f", f"a={SECRET}"], "--client-id ID"),
        (["token", "client-id", "X", SECRET], "--client-id ID"),
        (["token", SECRET], "banno-creds token --help"),
        (["token", f"--{SECRET}-{SECRET}-{SECRET}"], "banno-creds token --help"),
        (["exec", "client-id", "X", "--", "sh", "-c", SECRET], "--client-id ID"),
    ],
)
def test_what_may_be_a_secret_is_not_shown(cli: Cli, typed: list[str], hint: str) -> None:
    result = cli(*typed)
    assert (result.code, result.stdout) == (2, "") if typed[0] != "decode" else (result.code, result.stdout)
    assert SECRET not in result.stderr
    if typed[0] != "decode":
        assert f"\n    Next: {hint}\n" in result.stderr


def test_a_key_in_a_line_is_not_shown(cli: Cli, rsa_pem: Path) -> None:
    for typed in (["token", "client-id", rsa_pem.read_text()], ["token", "--client_id", rsa_pem.read_text()]):
        result = cli(*typed)
        assert (result.code, result.stdout) == (2, "")
        assert "PRIVATE KEY-" not in result.stderr
        assert rsa_pem.read_text().split("\n")[1] not in result.stderr


@pytest.mark.parametrize(
    ("typed", "said", "hint"),
    [
        (
            ["token", "--client-id X"],
            "--client-id and its value are one word",
            "did you mean: banno-creds token",
        ),
        (
            ["token --client-id X"],
            "the whole command line is one word",
            "leave the quotes around it out: banno",
        ),
        (["keygen", "ec"], "banno-creds keygen takes no arguments", "did you mean --type ec"),
        (
            ["token", "json"],
            "banno-creds token takes names of profiles only with --output jsonl",
            "did you mean --output json",
        ),
        (["api", "GET", "/a"], "banno-creds api takes fewer arguments than were given", "did you mean --method GET"),
        (
            ["token", "--timeout", "30s"],
            "--timeout: '30s' is not a number",
            "did you mean --timeout 30; it is in s",
        ),
        (
            ["token", "--lifetime", "1m"],
            "--lifetime: '1m' is not a whole number",
            "did you mean --lifetime 60; it",
        ),
        (["token", "--timeout", "30ms"], "--timeout: '30ms' is not a number", "banno-creds token --help"),
    ],
)
def test_what_is_nearly_right_is_told_how(cli: Cli, typed: list[str], said: str, hint: str) -> None:
    result = cli(*typed, env={"BANNO_CREDS_CLIENT_ID": "X"})
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.lower().startswith(f"✗   {said}\n    next: {hint}".lower())


def test_an_option_without_its_value_is_told(cli: Cli) -> None:
    assert cli("token", "--client-id", "--private-key", "k.pem").stderr == (
        "✗   --client-id has no value: an option follows it\n    Next: --client-id ID\n"
    )


def test_an_argument_that_looks_like_the_value_of_an_option(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[profiles.garden]\nclient_id = "a"\n')
    said = "✗   banno-creds token takes names of profiles only with --output jsonl"
    for word, option in {
        "garden": "--profile garden",
        "199e6f35-4e9a-482e-b980-b10308aa428a": "--client-id ID",
        "private.pem": "--private-key FILE|URI",
        "https://a.example/token": "--token-endpoint URL",
    }.items():
        assert cli("token", word, env={"BANNO_CREDS_CONFIG": str(config)}).stderr == (
            f"{said}\n    Next: did you mean {option}\n"
        )
    two = cli("token", "garden", "orchard", env={"BANNO_CREDS_CONFIG": str(config)}).stderr
    assert two.endswith("    Next: add it: one JSON line for each\n")


# ── What a text program makes of a command line ───────────────────────────────────────────────────────────────────

DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"


@pytest.mark.parametrize("dash", DASHES, ids=[f"U+{ord(dash):04X}" for dash in DASHES])
@pytest.mark.parametrize(
    ("typed", "name", "right"),
    [
        ("token Dclient-id X", "client-id", "--client-id ID"),
        ("token DDclient-id X", "client-id", "--client-id ID"),
        ("token D-client-id=X", "client-id", "--client-id ID"),
        ("token -Dclient-id=X", "client-id", "--client-id ID"),
        ("token Do json", "o", "-o json|token|header|env|powershell|cmd|github|jsonl"),
        ("token Dkey k.pem", "key", "--key"),
        ("decode Dissuer https://a.example", "issuer", "--issuer URL"),
        ("exec Dclient-id X -- true", "client-id", "--client-id ID"),
        ("profile add garden Dclient-id X", "client-id", "--client-id ID"),
        ("profile Dhelp", "help", "--help"),
        ("Dversion", "version", "--version"),
    ],
)
def test_a_dash_of_a_text_program_is_named(cli: Cli, dash: str, typed: str, name: str, right: str) -> None:
    result = cli(*typed.replace("D", dash).split())
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   The dash of {name} comes from a text program: U+{ord(dash):04X} ")
    assert result.stderr.endswith(f"\n    Next: type {right}\n")


def test_a_dash_inside_of_an_option_is_named(cli: Cli) -> None:
    said = cli("token", "--client\u2013id", "X").stderr
    assert said.endswith("comes from a text program: U+2013 EN DASH\n    Next: type --client-id ID\n")


@pytest.mark.parametrize("quotes", ["\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "\u00ab\u00bb"])
@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("token --scope Qopenid fullR", "--scope"),
        ("token --private-key Qk.pemR", "--private-key"),
        ("token --private-key=Qk.pemR", "--private-key"),
        ("sign-jwt --claim Qa=bR", "--claim"),
        ("api -f Qa=bR /a", "--raw-field"),
        ("api Q/a/bR", "an argument"),
        ("profile add QgardenR", "an argument"),
    ],
)
def test_a_quote_of_a_text_program_is_named(cli: Cli, quotes: str, typed: str, name: str) -> None:
    result = cli(*typed.replace("Q", quotes[0]).replace("R", quotes[1]).split())
    assert (result.code, result.stdout) == (2, "")
    begin = f"✗   {name} begins with a quote from a text program: U+{ord(quotes[0]):04X} "
    assert result.stderr.lower().startswith(begin.lower())


def test_a_quote_from_a_variable_or_a_profile_is_named_with_its_place(cli: Cli, tmp_path: Path) -> None:
    said = "begins with a quote from a text program: U+201C"
    assert (
        f"✗   BANNO_CREDS_SCOPE {said}"
        in cli("token", "--client-id", "X", env={"BANNO_CREDS_SCOPE": "\u201copenid\u201d"}).stderr
    )
    config = tmp_path / "config.toml"
    profile = '[profiles.garden]\nclient_id = "a"\nprivate_key = "k.pem"\nkid = "\u201cx\u201d"\n'
    config.write_text(profile, encoding="utf-8")
    assert f"kid in the profile {said}" in cli("token", "--profile", "garden", "--config", config).stderr


@pytest.mark.parametrize("blank", ["\u00a0", "\u200b", "\ufeff", "\u202f"])
def test_a_blank_that_cannot_be_seen_is_named(cli: Cli, blank: str) -> None:
    code = f"U+{ord(blank):04X}"
    ends = cli("token", "--aud", f"https://a.example/{blank}").stderr
    assert ends.startswith(f"✗   --aud ends with a character that cannot be seen: {code} ")
    one_word = cli("token", f"--client-id{blank}X").stderr
    assert one_word.startswith(f"✗   behind --client-id stands no ordinary blank: {code} ")
    assert "Next: type it again: --client-id ID\n" in one_word
    begins = cli("api", f"{blank}/a").stderr
    assert begins.startswith(f"✗   An argument begins with a character that cannot be seen: {code} ")


@pytest.mark.parametrize(
    "typed",
    [
        ["--claim", "name=M\u00fcller \u2013 S\u00f6hne"],
        ["--claim", "name=\u201cquoted\u201d"],
        ["--claim", "note=a\u00a0b"],
        ["--kid", "schl\u00fcssel"],
    ],
)
def test_other_languages_are_no_mistake(cli: Cli, rsa_pem: Path, typed: list[str]) -> None:
    assert cli("sign-jwt", "-q", "--client-id", "X", "--private-key", rsa_pem, *typed).code == 0


def test_the_arguments_of_a_command_are_its_own(cli: Cli) -> None:
    """What follows `--`, or the command of `exec`, is looked at by nobody."""
    for words in (["--", "true", "\u2014client-id", "\u201cx\u201d"], ["true", "\u2014client-id", "client-id"]):
        result = cli("exec", "--client-id", "X", *words)
        assert "text program" not in result.stderr
        assert "lacks" not in result.stderr


# ── Commands and values ──────────────────────────────────────────────────────────────────────────────────────────

COMMANDS = {
    "get-token": "token",
    "access-token": "token",
    "auth": "token; for a person: banno-creds login",
    "jwt": "sign-jwt",
    "sign": "sign-jwt",
    "generate": "keygen",
    "genkey": "keygen",
    "healthcheck": "check",
    "verify": "decode",
    "inspect": "decode",
    "run": "exec",
    "call": "api",
    "request": "api",
    "signin": "login",
    "signout": "logout",
    "env": "token -o env",
    "config": "profile",
    "version": "--version",
    "TOKEN": "token",
    "sign_jwt": "sign-jwt",
    "signJwt": "sign-jwt",
    "profiles": "profile",
    "cache purge": "cache clear",
    "cache ls": "cache list",
    "profile rm": "profile remove",
    "profile use": "profile default",
    "profile create": "profile add",
    "profile ls": "profile list",
}


@pytest.mark.parametrize(("typed", "meant"), COMMANDS.items(), ids=COMMANDS)
def test_a_command_by_another_name_leads_to_ours(cli: Cli, typed: str, meant: str) -> None:
    result = cli(*typed.split(), "--client-id", "X")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   There is no command '{typed.split()[-1]}'")
    assert result.stderr.endswith(f"    Next: did you mean: banno-creds {meant}\n")


def test_a_long_word_for_a_command_is_not_shown(cli: Cli) -> None:
    result = cli("x" * 60)
    assert (result.code, "x" * 60 in result.stderr) == (2, False)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("token -o text", "--output token"),
        ("token -o JSN", "--output json"),
        ("token --output bearer", "--output header"),
        ("token --environment prod", "--environment production"),
        ("keygen --type p256", "--type ec"),
        ("doctor -o table", "--output text"),
    ],
)
def test_a_value_that_there_is_not_leads_to_the_one_that_was_meant(cli: Cli, typed: str, hint: str) -> None:
    result = cli(*typed.split())
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"\n    Next: did you mean {hint}\n")
    variable = cli("token", "--client-id", "X", env={"BANNO_CREDS_ALG": "RS265"}).stderr
    assert variable.endswith("    Next: did you mean RS256\n")


def test_a_value_may_have_another_case(cli: Cli, rsa_pem: Path, tmp_path: Path) -> None:
    sign = ["sign-jwt", "-q", "--client-id", "X", "--private-key", str(rsa_pem)]
    assert cli(*sign, "--alg", "rs256").stdout.startswith("eyJhbGciOiJSUzI1NiJ9.")
    assert cli(*sign, env={"BANNO_CREDS_ALG": "Rs256"}).stdout.startswith("eyJhbGciOiJSUzI1NiJ9.")
    made = cli(
        "keygen", "--type", "EC", "--output", "JSON", "--private-key", tmp_path / "k", "--public-key", tmp_path / "p"
    )
    assert (made.code, '"type": "EC P-256"' in made.stdout) == (0, True), made


def test_whatever_is_suggested_exists() -> None:
    """No table names an option or a command that there is not."""
    context = click.Context(group)
    known = {name for path in group.list_commands(context) for name in _names(group.get_command(context, path))}
    for answers in synonyms.OPTIONS.values():
        assert {word for answer in answers for word in answer.split() if word.startswith("--")} <= known | {
            "--version"
        }
    assert {answer for answer in synonyms.OF_COMMANDS.values() if answer.startswith("-")} <= known
    for place, answer in synonyms.OF_COMMANDS.items():
        commands = list(_of_name(group, place.split()[0]))
        assert commands, place
        assert not answer.startswith("-") or any(answer in _names(command) for command in commands)
    for command_line in synonyms.COMMANDS.values():
        name = command_line.split(";")[0].split()[0]
        assert name in group.list_commands(context) or name.startswith("--")


def _of_name(group: click.Group, name: str) -> Iterator[click.Command]:
    """Return the commands of this name, also those in groups."""
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        if command is not None and each == name:
            yield command
        if isinstance(command, click.Group):
            yield from _of_name(command, name)


def _names(command: click.Command | None) -> set[str]:
    assert command is not None
    if isinstance(command, click.Group):
        return {name for below in command.commands.values() for name in _names(below)}
    return {name for option in command.get_params(click.Context(command)) for name in option.opts}


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("check --profile garden", "a profile's name needs no option: banno-creds check NAME"),
        ("check --parallel 3", "did you mean --jobs NUMBER"),
        ("check --qps 3", "did you mean --rate NUMBER"),
        ("check --fail-fast", "did you mean --give-up-after NUMBER"),
        ("check --continue", "did you mean --resume"),
        ("check -j 3", "did you mean --jobs NUMBER"),
        ("check --everything", "did you mean --all"),
        ("check --no-cache", "that is how it asks, unless --keep is given"),
        ("serve --profile garden", "a profile's name needs no option: banno-creds serve NAME"),
        ("serve --all", "leave it out: all profiles are served, unless some are named"),
        ("serve --host 0.0.0.0", "it listens on 127.0.0.1 alone, for the programs of this machine"),
        ("serve -p 9000", "did you mean --port PORT"),
        ("serve -v", "each request is logged, unless --quiet is given"),
        ("serve --unix x.sock", "did you mean --socket FILE"),
        ("token --redis x", "did you mean --cache-url URL"),
        ("token --cache-password x", "did you mean --cache-password-file FILE; a secret is never an argument"),
        ("profile import --force x.csv", "leave it out: what FILE gives replaces what was there"),
        ("profile import --file x.csv", "the file needs no option: banno-creds profile import FILE"),
        ("profile export --all", "leave it out: without a choice they are all written"),
        ("profile list -v", "did you mean --long"),
        ("profile set a --add-tag x", "did you mean --tag TAG"),
        ("profile tag a x", "did you mean: banno-creds profile set NAME --tag TAG"),
        ("import x.csv", "did you mean: banno-creds profile import"),
    ],
)
def test_other_names_of_what_many_profiles_need(cli: Cli, typed: str, hint: str) -> None:
    result = cli(*typed.split())
    assert (result.code, result.stdout) == (2, "")
    assert f"\n    Next: {hint}" in result.stderr


@pytest.mark.parametrize("typed", [[""], [" "], ["profile", ""], ["cache", " "], ["help", ""]], ids=" ".join)
def test_an_empty_word_is_no_command(cli: Cli, typed: list[str]) -> None:
    result = cli(*typed)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("✗   The command is empty\n")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("unset", "set NAME --unset SETTING"),
        ("rename", "add NEW …, then remove OLD"),
        ("copy", "add NEW …"),
        ("current", "show"),
        ("use", "default"),
        ("rm", "remove"),
        ("create", "add"),
        ("edit", "set"),
    ],
)
def test_a_word_of_other_programs_never_leads_to_a_loss(cli: Cli, word: str, meant: str) -> None:
    for typed in (["profile", word, "a", "b"], ["help", "profile", word]):
        result = cli(*typed)
        assert (result.code, result.stderr.splitlines()[1]) == (
            2,
            f"    Next: did you mean: banno-creds profile {meant}",
        )
