"""What the options come to: precedence, environment variables, and what is refused before anything is sent."""

from __future__ import annotations

import io
import json
import re
import sys
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import jwt
import pytest

from banno_creds.checks import check_origin, check_url, is_loopback
from banno_creds.cli.inputs import END_OF_INPUT, StandardInput, check_file_or_url, passphrase
from banno_creds.cli.main import cli as group
from banno_creds.cli.parameters import Option
from banno_creds.config import ClientConfig, KeySource
from banno_creds.errors import ConfigurationError
from banno_creds.tokens.inspection import TokenChecks
from tests.conftest import CLIENT_ID, Cli, write_private
from tests.servers.loopback import Says

if TYPE_CHECKING:
    from collections.abc import Iterator

    from banno_creds.jose.keys import PrivateKey
    from tests.servers.scripted import ScriptedServer

NOWHERE = str(Path("/no/such/file"))
GRANTED = Says(body=b'{"access_token":"x.y.z","token_type":"Bearer","expires_in":600}')


# They write what is typed. What a variable happens to hold would surprise, and stay.
WITHOUT_VARIABLES = ("profile add", "profile set")


def _commands(parent: click.Group = group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(parent)
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        assert command is not None
        yield f"{path} {name}".strip(), command
        if isinstance(command, click.Group):
            yield from _commands(command, name)


def _options() -> list[tuple[str, Option]]:
    return [
        (name, option)
        for name, command in _commands()
        for option in command.params
        if isinstance(option, Option) and (name not in WITHOUT_VARIABLES or option.name == "config")
    ]


def test_every_option_has_an_environment_variable_shown_in_the_help(cli: Cli) -> None:
    helps = {name: " ".join(cli(*name.split(), "--help").stdout.split()) for name, _ in _commands()}
    for name, option in _options():
        assert isinstance(option.envvar, str)
        assert option.envvar.startswith("BANNO_CREDS_")
        assert f"env var: {option.envvar}" in helps[name], option.envvar


@pytest.mark.parametrize("name", WITHOUT_VARIABLES)
def test_the_command_that_writes_a_profile_reads_no_variable_but_where_to(cli: Cli, name: str) -> None:
    command = dict(_commands())[name]
    options = [option for option in command.params if isinstance(option, Option)]
    assert {option.name for option in options if option.envvar is not None} == {"config"}
    shown = cli(*name.split(), "--help").stdout
    assert re.findall("BANNO_CREDS_[A-Z_]+", shown) == ["BANNO_CREDS_CONFIG"]
    assert "required" not in shown
    assert "standard input" not in shown


def test_every_command_that_takes_a_client_takes_it_from_a_profile() -> None:
    taking = {name for name, option in _options() if option.name == "private_key" and not name.startswith("keygen")}
    assert {"sign-jwt", "client-assertion"} <= taking
    for setting, but in (("profile", {"check"}), ("config", set())):  # its profiles are arguments
        assert {name for name, option in _options() if option.name == setting} >= taking - but


def test_no_option_takes_a_secret_as_its_value() -> None:
    for _, option in _options():
        assert not {"--passphrase", "--client-secret", "--password", "--private-key-pem"} & set(option.opts)


def test_a_variable_means_one_option_only() -> None:
    meanings: dict[str, set[str]] = {}
    for _, option in _options():
        meanings.setdefault(str(option.envvar), set()).add(f"{option.name} {option.type}")
    assert {name: texts for name, texts in meanings.items() if len(texts) > 1} == {}


# --- precedence ---------------------------------------------------------------------------------------------------


def test_variables_stand_in_for_options(cli: Cli, server: ScriptedServer, rsa_pem: Path) -> None:
    server.says(GRANTED)
    result = cli(
        "client-assertion",
        env={
            "BANNO_CREDS_CLIENT_ID": "from-variable",
            "BANNO_CREDS_PRIVATE_KEY": str(rsa_pem),
            "BANNO_CREDS_TOKEN_ENDPOINT": server.url,
            "BANNO_CREDS_SCOPE": "a b",
            "BANNO_CREDS_PARAM": "x=one two\ny=3",
            "BANNO_CREDS_CLAIM": "c=one two\nd:=[1]",
            "BANNO_CREDS_QUIET": "1",
            "BANNO_CREDS_OUTPUT": "token",
        },
    )
    assert (result.code, result.stdout, result.stderr.startswith("!")) == (0, "x.y.z\n", False), result.stderr
    form = server.requests[0].form
    assert (form["scope"], form["x"], form["y"]) == (["a b"], ["one two"], ["3"])
    claims = jwt.decode(form["client_assertion"][0], options={"verify_signature": False})
    assert (claims["iss"], claims["c"], claims["d"]) == ("from-variable", "one two", [1])


def test_an_option_comes_before_its_variable(cli: Cli, server: ScriptedServer, rsa_pem: Path) -> None:
    server.says(GRANTED)
    ask = ["client-assertion", "-q", "--client-id", "from-option", "--private-key", str(rsa_pem)]
    env = {"BANNO_CREDS_CLIENT_ID": "from-variable", "BANNO_CREDS_ENVIRONMENT": "legacy"}
    env["BANNO_CREDS_PRIVATE_KEY_PEM"] = "not even a key"
    assert cli(*ask, "--token-endpoint", server.url, env=env).code == 0
    claims = jwt.decode(server.requests[0].form["client_assertion"][0], options={"verify_signature": False})
    assert claims["iss"] == "from-option"


def test_an_endpoint_option_comes_before_every_endpoint_variable(cli: Cli, rsa_pem: Path) -> None:
    ask = ["sign-jwt", "-q", "--client-id", "a", "--private-key", str(rsa_pem), "--environment", "legacy"]
    token = cli(*ask, env={"BANNO_CREDS_TOKEN_ENDPOINT": "https://a.example/token"}).stdout.strip()
    assert jwt.decode(token, options={"verify_signature": False})["aud"].startswith("https://banno.com/")


@pytest.mark.parametrize(
    ("options", "env", "words"),
    [
        (
            ["--token-endpoint", "https://a.example/t", "--issuer", "https://a.example"],
            {},
            "--token-endpoint and --issuer exclude each other",
        ),
        (
            [],
            {"BANNO_CREDS_ISSUER": "https://a.example", "BANNO_CREDS_ENVIRONMENT": "legacy"},
            "BANNO_CREDS_ISSUER and BANNO_CREDS_ENVIRONMENT are set, and only one of them can name the endpoint",
        ),
    ],
    ids=["options", "variables"],
)
def test_two_endpoints_exclude_each_other(
    cli: Cli, rsa_pem: Path, options: list[str], env: dict[str, str], words: str
) -> None:
    result = cli("client-assertion", "--client-id", "a", "--private-key", rsa_pem, *options, env=env)
    assert (result.code, result.stdout) == (2, "")
    hint = "unset all but one" if env else "give one of them"
    assert result.stderr == f"✗   {words}\n    Next: {hint}\n"


# --- where the key is ---------------------------------------------------------------------------------------------


def test_no_key_at_all_says_the_three_ways_to_give_one(cli: Cli) -> None:
    result = cli("sign-jwt", "--client-id", "a")
    assert result.code == 2
    assert result.stderr == (
        "✗   No private key was given\n"
        "    Next: add --private-key FILE, or set BANNO_CREDS_PRIVATE_KEY to its path or "
        "BANNO_CREDS_PRIVATE_KEY_PEM to the key itself\n"
    )


def test_a_path_and_a_key_in_variables_contradict_each_other(cli: Cli, rsa_pem: Path) -> None:
    env = {"BANNO_CREDS_PRIVATE_KEY": str(rsa_pem), "BANNO_CREDS_PRIVATE_KEY_PEM": rsa_pem.read_text()}
    result = cli("sign-jwt", "--client-id", "a", env=env)
    assert result.code == 2
    assert "BANNO_CREDS_PRIVATE_KEY and BANNO_CREDS_PRIVATE_KEY_PEM are both set" in result.stderr
    assert "PRIVATE KEY-----" not in result.stderr


def _as_given(form: str, key: PrivateKey) -> str:
    pem = key.pem().decode()
    return {
        "PEM": pem,
        "one line": " ".join(pem.split("\n")),
        "escaped": pem.replace("\n", "\\n"),
        "base64": b64encode(pem.encode()).decode(),
        "DER": "".join(pem.split("\n")[1:-2]),
        "JWK": json.dumps({"kty": "EC", "crv": "P-256", "d": "x" * 43}),
    }[form]


_PLACES = [
    ["sign-jwt", "--client-id", "a", "--private-key"],
    ["sign-jwt", "--client-id", "a", "--private-key", "k", "--ca-bundle"],
    ["sign-jwt", "--client-id", "a", "--private-key", "k"],
    ["sign-jwt", "--client-id"],
    ["keygen", "--public-from"],
    ["keygen", "--private-key"],
    ["decode", "--public-key"],
    ["decode", "--jwks"],
    ["decode", "--file"],
    ["decode"],
    ["sandbox", "--public-key"],
    [],
]


@pytest.mark.parametrize("form", ["PEM", "one line", "escaped", "base64", "DER", "JWK"])
@pytest.mark.parametrize("place", _PLACES, ids=" ".join)
@pytest.mark.parametrize("sort", ["rsa", "ec"])
def test_a_key_in_the_wrong_place_is_never_shown(
    cli: Cli, request: pytest.FixtureRequest, place: list[str], form: str, sort: str
) -> None:
    key = request.getfixturevalue(f"{sort}_key")
    result = cli(*place, given := _as_given(form, key))
    assert result.code in (2, 6)
    assert result.stdout == ""
    squeezed = "".join(result.stderr.split())
    secret = "x" * 43 if form == "JWK" else "".join(given.split())[30:]
    assert not any(secret[i : i + 16] in squeezed for i in range(0, len(secret) - 16, 8)), result.stderr


@pytest.mark.parametrize("form", ["PEM", "base64", "DER"])
def test_a_key_where_its_path_belongs_says_what_to_do(cli: Cli, ec_key: PrivateKey, form: str) -> None:
    given = _as_given(form, ec_key)
    as_option = cli("sign-jwt", "--client-id", "a", "--private-key", given)
    assert as_option.code == 2
    assert "--private-key was given what looks like a private key (not shown here)" in as_option.stderr
    assert "treat this key as leaked" in as_option.stderr
    in_variable = cli("sign-jwt", "--client-id", "a", env={"BANNO_CREDS_PRIVATE_KEY": given})
    assert in_variable.code == 2
    assert "BANNO_CREDS_PRIVATE_KEY holds what looks like a private key (not shown here)" in in_variable.stderr
    assert "move it to the variable BANNO_CREDS_PRIVATE_KEY_PEM" in in_variable.stderr


def test_a_jwt_is_no_private_key(cli: Cli, rsa_pem: Path) -> None:
    jwt_ = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", rsa_pem).stdout.strip()
    result = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", rsa_pem, "--claim", f"request={jwt_}")
    assert result.code == 0
    assert jwt.decode(result.stdout.strip(), options={"verify_signature": False})["request"] == jwt_


def test_a_misspelt_variable_is_named(cli: Cli, rsa_pem: Path) -> None:
    env = {"BANNO_CREDS_TOKEN_ENDPONT": "https://a.example/token", "BANNO_CREDS_KEYGEN_TYPE": "ec"}
    result = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", rsa_pem, env=env)
    assert result.code == 0
    assert result.stderr == (
        "!   BANNO_CREDS_TOKEN_ENDPONT means nothing here\n    did you mean BANNO_CREDS_TOKEN_ENDPOINT?\n"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KEY", "PRIVATE_KEY"),
        ("PRIVATE_KEY_FILE", "PRIVATE_KEY"),
        ("PEM", "PRIVATE_KEY_PEM"),
        ("PASSPHRASE", "PASSPHRASE_FILE"),
        ("API_BASE_URL", "API_BASE"),
        ("VERBOSE", None),
        ("ZZZ", None),
    ],
)
def test_a_variable_that_other_tools_have_is_told_by_our_name(
    cli: Cli, rsa_pem: Path, name: str, meant: str | None
) -> None:
    result = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", rsa_pem, env={f"BANNO_CREDS_{name}": "x"})
    hint = f"    did you mean BANNO_CREDS_{meant}?\n" if meant else ""
    assert (result.code, result.stderr) == (0, f"!   BANNO_CREDS_{name} means nothing here\n{hint}")


def test_no_commands_own_variable_is_a_mistake_elsewhere(cli: Cli, rsa_pem: Path) -> None:
    names = {str(option.envvar) for name, option in _options() if name not in ("sign-jwt", WITHOUT_VARIABLES)}
    names -= {str(option.envvar) for name, option in _options() if name == "sign-jwt"}
    assert {"BANNO_CREDS_TOKEN_OUTPUT", "BANNO_CREDS_CACHE_OUTPUT", "BANNO_CREDS_API_METHOD"} <= names
    result = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", rsa_pem, env=dict.fromkeys(names, "1"))
    assert (result.code, result.stderr) == (0, "")


def test_a_ca_bundle_in_the_home_folder_is_found_by_its_tilde(
    cli: Cli, rsa_pem: Path, server: ScriptedServer
) -> None:
    """Behind an equals sign no shell puts the home folder in its place."""
    ask = [
        "client-assertion",
        "-q",
        "--client-id",
        "a",
        "--private-key",
        str(rsa_pem),
        "--token-endpoint",
        server.url,
    ]
    result = cli(*ask, "--ca-bundle=~/bundle.pem")
    assert result.code == 2
    assert str(Path("~/bundle.pem").expanduser()) in result.stderr


@pytest.mark.posix("the current folder can be removed")
def test_a_relative_file_in_a_folder_that_is_gone_is_no_bug(
    cli: Cli, rsa_pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", rsa_pem, "--config", "x.toml")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == (
        "✗   x.toml counts from the current folder, which was removed\n    Next: cd to an existing folder\n"
    )


@pytest.mark.parametrize(
    ("url", "origin"),
    [("https://a.example", "https://a.example"), ("http://127.0.0.1:80/", "http://127.0.0.1:80")],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert check_origin(url, "the API base") == origin


@pytest.mark.parametrize("url", ["https://a.example/x", "https://a.example?x", "https://a.example/?"])
def test_more_than_an_origin_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="has more in it than scheme, host and port"):
        check_origin(url, "the API base")


def test_a_key_that_is_no_source_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="private_key has to be KeySource, not str"):
        ClientConfig(CLIENT_ID, "private.pem")  # type: ignore[arg-type]


def test_every_shared_variable_is_known_to_every_command_that_shares_it(cli: Cli, rsa_pem: Path) -> None:
    shared = {str(option.envvar) for name, option in _options() if name == "client-assertion"}
    flags = {"BANNO_CREDS_IAT", "BANNO_CREDS_QUIET", "BANNO_CREDS_CURL", "BANNO_CREDS_SHOW_SECRETS"}
    env = dict.fromkeys(shared & flags, "1") | {"BANNO_CREDS_OUTPUT": "token", "BANNO_CREDS_SCOPE": "a"}
    env |= {"BANNO_CREDS_RESOURCE": "https://a/", "BANNO_CREDS_PARAM": "a=b", "BANNO_CREDS_PROFILE": ""}
    env |= {"BANNO_CREDS_API_BASE": "https://a.example", "BANNO_CREDS_PROFILE_OUTPUT": "json"}
    env |= {"BANNO_CREDS_CONFIG": "/no/such/file"}
    result = cli("sign-jwt", "--client-id", "a", "--private-key", rsa_pem, env=env)
    assert (result.code, result.stderr) == (0, "")


@pytest.mark.parametrize("name", ["PUBLIC_KEY", "AUDIENCE", "ISSUER", "JWKS", "CHECK_EXPIRY"])
def test_an_empty_variable_switches_no_check_off(cli: Cli, name: str) -> None:
    result = cli("decode", "e30.e30.", env={f"BANNO_CREDS_DECODE_{name}": ""})
    assert (result.code, result.stdout) == (2, "")
    assert f"BANNO_CREDS_DECODE_{name} is set to nothing" in result.stderr


def test_a_variable_with_a_value_that_cannot_be_is_named_as_such(cli: Cli, rsa_pem: Path) -> None:
    env = {"BANNO_CREDS_LIFETIME": "soon"}
    result = cli("sign-jwt", "--client-id", "a", "--private-key", rsa_pem, env=env)
    assert result.code == 2
    assert result.stderr.startswith("✗   BANNO_CREDS_LIFETIME: 'soon' is not a whole number\n")


@pytest.mark.parametrize("content", [b"a\nb\n", b"\xef\xbb\xbf\n"], ids=["two lines", "a byte-order mark"])
def test_a_passphrase_is_one_line(cli: Cli, tmp_path: Path, ec_key: PrivateKey, content: bytes) -> None:
    encrypted = write_private(tmp_path / "e.pem", ec_key.pem(b"a"))
    secret = write_private(tmp_path / "secret", content)
    result = cli("sign-jwt", "--client-id", "a", "--private-key", encrypted, "--passphrase-file", secret)
    assert result.code == 2
    assert "the passphrase" in result.stderr.lower()


@pytest.mark.posix("modes")
def test_a_passphrase_file_that_others_can_read_is_a_warning(cli: Cli, tmp_path: Path, ec_key: PrivateKey) -> None:
    encrypted = write_private(tmp_path / "e.pem", ec_key.pem(b"a"))
    secret = write_private(tmp_path / "secret", b"a")
    secret.chmod(0o644)
    ask = ["sign-jwt", "-q", "--client-id", "a", "--private-key", str(encrypted)]
    result = cli(*ask, "--passphrase-file", secret)
    assert (result.code, result.stderr) == (
        0,
        f"!   Others can read {secret} (mode 0644)\n    chmod 600 {secret}\n",
    )


def test_a_passphrase_where_its_file_belongs_is_never_shown(cli: Cli, rsa_pem: Path, tmp_path: Path) -> None:
    from banno_creds.jose import keys

    encrypted = write_private(tmp_path / "e.pem", keys.generate("ec").pem(b"hunter2 hunter2"))
    result = cli("sign-jwt", "--client-id", "a", "--private-key", encrypted, "--passphrase-file", "hunter2 hunter2")
    assert result.code == 2
    assert "hunter2" not in result.stderr
    assert "the passphrase file does not exist" in result.stderr.lower()


def test_standard_input_can_be_one_thing_only(cli: Cli) -> None:
    from banno_creds.jose import keys

    encrypted = keys.generate("ec").pem(b"a passphrase")
    ask = ["sign-jwt", "--client-id", "a", "--private-key", "-", "--passphrase-file", "-"]
    result = cli(*ask, stdin=encrypted)
    assert result.code == 2
    assert "standard input cannot be both the private key and the passphrase" in result.stderr.lower()


def test_an_empty_passphrase_file_is_named(cli: Cli, tmp_path: Path) -> None:
    from banno_creds.jose import keys

    encrypted = write_private(tmp_path / "e.pem", keys.generate("ec").pem(b"a passphrase"))
    empty = write_private(tmp_path / "empty", b"\n")
    ask = ["sign-jwt", "--client-id", "a", "--private-key", str(encrypted), "--passphrase-file", str(empty)]
    result = cli(*ask)
    assert result.code == 2
    assert "the passphrase is empty" in result.stderr.lower()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["none", "LF", "CRLF"])
def test_a_passphrase_file_may_end_its_line(cli: Cli, tmp_path: Path, end: bytes) -> None:
    from banno_creds.jose import keys

    encrypted = write_private(tmp_path / "e.pem", keys.generate("ec").pem(b"a pass phrase "))
    secret = write_private(tmp_path / "secret", b"a pass phrase " + end)
    ask = ["sign-jwt", "-q", "--client-id", "a", "--private-key", str(encrypted), "--passphrase-file", str(secret)]
    assert cli(*ask).code == 0


# --- refused before anything is sent ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lifetime", "301"], "--lifetime must be 1 to 300 s, not 301 s"),
        (["--lifetime", "0"], "--lifetime must be 1 to 300 s, not 0 s"),
        (["--lifetime", "x"], "--lifetime: 'x' is not a whole number"),
        (["--timeout", "0"], "--timeout must be more than 0 s and at most 3600 s, not 0 s"),
        (["--timeout", "nan"], "--timeout must be more than 0 s and at most 3600 s, not nan s"),
        (["--client-id", ""], "the client ID is empty"),
        (["--client-id", " abc\n"], r"' abc\n' has white space or quotation marks around it"),
        (["--client-id", '"abc"'], "'\"abc\"' has white space or quotation marks around it"),
        (["--client-id", "'abc'"], "\"'abc'\" has white space or quotation marks around it"),
        (["--client-id", "`abc`"], "'`abc`' has white space or quotation marks around it"),
        (["--client-id", 'abc"'], "'abc\"' has white space or quotation marks around it"),
        (["--client-id", "\u201cabc\u201d"], r"'\u201cabc\u201d' has white space or quotation marks around it"),
        (["--client-id", "abc\x1b[31m"], "the client ID 'abc\\x1b[31m' has"),
        (["--claim", "exp=1"], "--claim exp=… would contradict"),
        (["--claim", "a=1", "--claim", "a=2"], "--claim a is given more than once"),
        (["--claim", "a"], "write it as name=value or name:=JSON"),
        (["--claim", "a:={"], "what follows a:= is not JSON"),
        (["--claim", "a:=NaN"], "what follows a:= is not JSON"),
        (["--param", "a=b\nc"], "--param has a control character in it, such as a line end"),
        (["--aud", "https://a.example/\r"], "--aud has a control character in it, such as a line end"),
        (["--token-endpoint", "https://user:pw@[h/token"], "the token endpoint (not shown) is no URL"),
        (["--param", "=x"], "write it as name=value"),
        (["--param", "client_secret=x"], "Next: leave it out"),
        (["--param", "scope=x"], "use --scope"),
        (["--token-endpoint", "http://login.jackhenry.com/token"], "plain http is for loopback only"),
        (["--token-endpoint", "https://user:pw@a.example/token"], "it carries a user name or password"),
        (["--token-endpoint", "https://a.example/token#x"], "it has a fragment"),
        (["--token-endpoint", "ftp://a.example/token"], "it does not start with https://"),
        (["--token-endpoint", "https:///token"], "it names no host"),
        (["--token-endpoint", "https://[::1/token"], "is no URL"),
        (["--token-endpoint", "https://a.example/to ken"], "white space or characters outside ASCII"),
        (["--issuer", "http://a.example"], "the issuer 'http://a.example' cannot be used"),
        (["--alg", "HS256"], "'HS256' is not one of 'PS256', 'RS256', 'ES256'"),
        (["--alg", "ES256"], "cannot sign with ES256"),
        (["--output", "xml"], "'xml' is not one of"),
        (["--no-such-option"], "There is no option --no-such-option of banno-creds client-assertion"),
        (["--ca-bundle", NOWHERE, "--token-endpoint", "https://localhost:1/"], f"the CA bundle {NOWHERE}"),
        (["surplus"], "banno-creds client-assertion takes no arguments"),
    ],
)
def test_what_cannot_be_meant_is_exit_2_with_words_and_a_hint(
    cli: Cli, rsa_pem: Path, options: list[str], words: str
) -> None:
    ask = ["client-assertion", "-q", "--private-key", str(rsa_pem), *options]
    result = cli(*ask, *([] if "--client-id" in options else ["--client-id", CLIENT_ID]))
    assert (result.code, result.stdout) == (2, "")
    assert words.lower() in result.stderr.lower()
    assert "Next: " in result.stderr
    assert "\x1b" not in result.stderr
    assert "user:pw" not in result.stderr


def test_all_faults_of_a_url_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        check_url("http://user@a.example/x#y", "the token endpoint")
    assert raised.value.message.count(";") >= 2


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["a.localhost", "localhost.example", "127.0.0.1.example", "10.0.0.1", "0.0.0.0", ""])
def test_what_only_looks_like_loopback_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("leeway", [-1, 3601, 10**400], ids=["negative", "too long", "endless"])
def test_a_leeway_that_would_switch_the_check_off_is_refused(leeway: int) -> None:
    with pytest.raises(ConfigurationError, match="leeway must be 0 to 3600 s, not"):
        TokenChecks(leeway=leeway)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("kid", "a\nb"), ("aud", "a\0"), ("scope", ("openid", "a\t")), ("resource", ("\x7f",))),
        *(("params", (("a", "\n"),)), ("params", (("\n", "a"),))),
    ],
)
def test_a_control_character_is_reported_for_its_field_alone(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ClientConfig("a", KeySource("a variable", content=b""), **{name: value})
    assert raised.value.message.startswith(f"{name} has a control character in it, such as a line end: it ")
    assert raised.value.fields == (name,)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("claims", {"exp": 1}, ("claims exp=… would contradict what banno-creds sends itself", "use lifetime")),
        ("claims", {"jti": "a"}, ("claims jti=… would contradict what banno-creds sends itself", "leave it out")),
        ("params", (("scope", "a"),), ("params scope=… would contradict what banno-creds sends itself", "use scope")),
        ("lifetime", 301, ("lifetime must be 1 to 300 s, not 301 s", "leave lifetime out for 60 s")),
        (
            *("timeout", 0),
            ("timeout must be more than 0 s and at most 3600 s, not 0 s", "leave timeout out for 30 s"),
        ),
    ],
)
def test_a_python_program_reads_of_fields_and_not_of_options(name: str, value: Any, words: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ClientConfig("a", KeySource("a variable", content=b""), **{name: value})
    assert (raised.value.message, raised.value.hint) == words


def test_a_configuration_never_shows_the_key(rsa_pem: Path) -> None:
    config = ClientConfig("a", KeySource("a variable", content=rsa_pem.read_bytes()))
    assert "BEGIN" not in repr(config)


def test_checks_of_a_token_contradict_each_other() -> None:
    with pytest.raises(ConfigurationError, match="exclude each other"):
        TokenChecks(public_key=Path("a"), jwks="b")


def test_checks_of_a_token_that_prove_nothing_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^audience alone proves nothing"):
        TokenChecks(audience="a")
    with pytest.raises(ConfigurationError, match=r"the JWK Set's URL 'http://a\.example/jwks' cannot be used"):
        TokenChecks(jwks="http://a.example/jwks")


# --- what comes from a person -------------------------------------------------------------------------------------


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_standard_input_that_is_closed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="the private key should come from standard input, which is closed"):
        StandardInput().read("the private key")


def test_who_is_to_paste_something_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal(io.BytesIO(b"pasted")))
    assert StandardInput().read("the private key") == b"pasted"
    assert capsys.readouterr().err == f"Reading the private key: paste it, then press {END_OF_INPUT}.\n"


@pytest.mark.parametrize("typed", ["wörds".encode(), b"w\xff"])
def test_at_a_terminal_a_passphrase_is_asked_for(monkeypatch: pytest.MonkeyPatch, typed: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal(io.BytesIO()))
    monkeypatch.setattr(sys, "stderr", _Terminal(io.BytesIO()))
    monkeypatch.setattr("banno_creds.cli.hidden.ask", lambda _: typed)
    ask = passphrase(None, StandardInput())
    if typed == "wörds".encode():
        assert ask() == typed
    else:
        with pytest.raises(ConfigurationError, match="is not text as this terminal should send it"):
            ask()


def test_a_value_that_is_a_file_or_a_url_is_looked_at(tmp_path: Path) -> None:
    for value in (str(tmp_path), "https://a.example/"):
        assert check_file_or_url(value) == value
    with pytest.raises(ConfigurationError, match="no such file: /no/such"):
        check_file_or_url("/no/such")
