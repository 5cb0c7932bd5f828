"""Profiles: what a file may say, and what comes before it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from random import Random, randrange
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from banno_creds.config import ClientConfig, find_config_file
from banno_creds.errors import ConfigurationError
from banno_creds.profiles import file as profile_file
from banno_creds.profiles import lookup as profiles
from banno_creds.profiles import settings as profile_settings
from banno_creds.profiles.file import ConfigFile
from banno_creds.text import spelled
from tests.conftest import CLIENT_ID, Cli, Result, write_private
from tests.profiles.files import HAND_WRITTEN, NO_HOME, own_file, quoted, write
from tests.servers.loopback import Says

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.jose.keys import PrivateKey
    from tests.servers.scripted import ScriptedServer

GRANTED = Says(body=b'{"access_token":"x.y.z","token_type":"Bearer","expires_in":600}')
ROOT = Path(__file__).parents[2]


def claims_of(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.stderr
    claims: dict[str, Any] = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
    return claims


@pytest.fixture
def sign(cli: Cli) -> Callable[..., dict[str, Any]]:
    """Sign with a profile's settings, and give the assertion's claims."""

    def call(*args: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        return claims_of(cli("sign-jwt", "-q", *args, env=env))

    return call


# --- where the file is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "env", "path"),
    [
        ("linux", {"HOME": "IN/h"}, "IN/h/.config/banno-creds/config.toml"),
        ("linux", {"HOME": "IN/h", "XDG_CONFIG_HOME": "IN/x"}, "IN/x/banno-creds/config.toml"),
        ("linux", {"HOME": "IN/h", "XDG_CONFIG_HOME": "x"}, "IN/h/.config/banno-creds/config.toml"),
        ("linux", {"HOME": "IN/h", "XDG_CONFIG_HOME": ""}, "IN/h/.config/banno-creds/config.toml"),
        ("linux", {"HOME": ""}, None),
        ("linux", {"HOME": "here"}, None),
        (
            "darwin",
            {"HOME": "IN/h", "XDG_CONFIG_HOME": "IN/x"},
            "IN/h/Library/Application Support/banno-creds/config.toml",
        ),
        ("win32", {"APPDATA": "IN/roaming"}, "IN/roaming/banno-creds/config.toml"),
        ("win32", {"APPDATA": "", "HOME": "IN/h"}, "IN/h/AppData/Roaming/banno-creds/config.toml"),
        ("win32", {"APPDATA": "", "HOME": "h"}, None),
    ],
)
def test_the_file_is_where_the_system_keeps_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, env: dict[str, str], path: str | None
) -> None:
    def full(path: str) -> str:
        return path.replace("IN", str(tmp_path)).replace("/", os.sep)

    for name, value in env.items():
        monkeypatch.setenv(name, full(value))
    monkeypatch.setenv("USERPROFILE", os.environ["HOME"])  # Windows' name for it, whatever the platform says it is
    monkeypatch.setattr(sys, "platform", platform)
    assert find_config_file(None) == (None if path is None else full(path))


def test_without_a_file_nothing_is_loaded_for_profiles(process: Cli, rsa_pem: Path) -> None:
    program = (
        "import sys; before = set(sys.modules); from banno_creds.cli.main import run; run(sys.argv[1:])\n"
        "new = set(sys.modules) - before\n"
        "print({it for it in new if it.startswith(('toml', 'banno_creds.profiles.'))}, file=sys.stderr)"
    )
    ask = [sys.executable, "-c", program, "sign-jwt", "-q", "--client-id", "a", "--private-key", str(rsa_pem)]

    def loaded() -> str:
        return subprocess.run(ask, capture_output=True, text=True, timeout=60, check=True).stderr

    assert loaded() == "set()\n"
    write("")
    with_file = loaded()
    assert "banno_creds.profiles.lookup" in with_file
    assert "tomlkit" not in with_file
    assert "profiles.edits" not in with_file


def test_no_home_is_as_if_there_were_no_file(cli: Cli, rsa_pem: Path) -> None:
    ask = ["sign-jwt", "-q", "--client-id", "a", "--private-key", str(rsa_pem)]
    assert cli(*ask, env=NO_HOME).code == 0
    named = cli(*ask, "--profile", "test", env=NO_HOME)
    assert (named.code, named.stdout, named.stderr) == (
        2,
        "",
        (
            "✗   There is no profile test: there is no home folder to keep one in\n"
            "    Next: name the file: --config FILE\n"
        ),
    )
    assert profiles.profile_names() == []
    added = cli("profile", "add", "a", "--client-id", "b", env=NO_HOME)
    assert (added.code, added.stderr) == (
        2,
        "✗   There is no home folder to keep profiles in\n    Next: name the file: --config FILE\n",
    )


def test_a_home_that_is_no_folder_is_as_if_there_were_no_file(cli: Cli, rsa_pem: Path) -> None:
    ask = ["sign-jwt", "-q", "--client-id", "a", "--private-key", str(rsa_pem)]
    assert cli(*ask, env=dict.fromkeys(NO_HOME, str(rsa_pem))).code == 0


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_named_file_that_is_missing_is_an_error(cli: Cli, tmp_path: Path, way: str) -> None:
    missing = str(tmp_path / "no.toml")
    options, env = (["--config", missing], {}) if way == "option" else ([], {"BANNO_CREDS_CONFIG": missing})
    name = "--config" if way == "option" else "BANNO_CREDS_CONFIG"
    for more in ([], ["--profile", "a"]):
        result = cli("sign-jwt", *options, *more, env=env)
        assert (result.code, result.stdout, result.stderr) == (
            2,
            "",
            (
                f"✗   There is no file {missing}\n"
                f"    Next: check {name}; a relative path counts from the current folder\n"
            ),
        )


def test_a_config_that_names_nothing_is_an_error(cli: Cli) -> None:
    result = cli("sign-jwt", "--config", "")
    assert (result.code, result.stderr) == (
        2,
        "✗   --config names no file\n    Next: give a file's path, or leave it out\n",
    )


def test_help_comes_before_a_profile_that_is_wrong(cli: Cli) -> None:
    for args in (["--help", "--profile", "no", "--config", "no"], ["--profile", "no", "--help"]):
        result = cli("sign-jwt", *args)
        assert (result.code, result.stderr) == (0, "")


# --- what a profile does ------------------------------------------------------------------------------------------


def test_every_setting_reaches_the_request(cli: Cli, server: ScriptedServer, rsa_pem: Path) -> None:
    server.says(GRANTED)
    write(f"""
[profiles.test]
client_id = "{CLIENT_ID}"
private_key = {quoted(rsa_pem)}
alg = "RS256"
kid = "k1"
aud = "http://127.0.0.1/"
lifetime = 100
iat = true
token_endpoint = "{server.url}"
timeout = 2.5
scope = ["a", "b c"]
resource = "https://r.example/"
min_ttl = 5
api_base = "https://api.example"

[profiles.test.claims]
n = 1
deep = {{ x = [true, "y"] }}

[profiles.test.params]
p = "q r"
""")
    assert cli("client-assertion", "-q", "--profile", "test").code == 0
    form = server.requests[0].form
    assert (form["scope"], form["resource"], form["p"]) == (["a b c"], ["https://r.example/"], ["q r"])
    assertion = form["client_assertion"][0]
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "kid": "k1"}
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert {name: claims[name] for name in ("iss", "aud", "n", "deep")} == {
        "iss": CLIENT_ID,
        "aud": "http://127.0.0.1/",
        "n": 1,
        "deep": {"x": [True, "y"]},
    }
    assert claims["exp"] - claims["iat"] == 100


def test_every_setting_is_an_option_by_its_name() -> None:
    from banno_creds.cli.profile import add

    written = {parameter.name for parameter in add.params} - {"name", "config", "make_default", "force"}
    assert written == set(profile_settings.SETTINGS)
    names = set(ClientConfig.__dataclass_fields__) - {"passphrase", "allow_other_aud"}
    assert names < {*profile_settings.SETTINGS}


TWO = """
default = "one"
[profiles.one]
client_id = "from-one"
private_key = "KEY"
lifetime = 100
iat = true
[profiles.two]
client_id = "from-two"
private_key = "KEY"
iat = true
"""


@pytest.mark.parametrize(
    ("options", "env", "client_id", "lifetime"),
    [
        ([], {}, "from-one", 100),
        (["--profile", "two"], {}, "from-two", 60),
        ([], {"BANNO_CREDS_PROFILE": "two"}, "from-two", 60),
        (["--profile", "one"], {"BANNO_CREDS_PROFILE": "two"}, "from-one", 100),
        ([], {"BANNO_CREDS_CLIENT_ID": "v"}, "v", 100),
        (["--client-id", "o"], {"BANNO_CREDS_CLIENT_ID": "v", "BANNO_CREDS_LIFETIME": "50"}, "o", 50),
        (["--lifetime", "20"], {"BANNO_CREDS_LIFETIME": "50"}, "from-one", 20),
        (["--profile", "two", "--lifetime", "60"], {}, "from-two", 60),
    ],
)
def test_an_option_comes_before_a_variable_before_a_profile_before_the_default(
    sign: Callable[..., dict[str, Any]],
    rsa_pem: Path,
    options: list[str],
    env: dict[str, str],
    client_id: str,
    lifetime: int,
) -> None:
    write(TWO.replace('"KEY"', quoted(rsa_pem)))
    claims = sign(*options, env=env)
    assert (claims["iss"], claims["exp"] - claims["iat"]) == (client_id, lifetime)


@pytest.mark.parametrize("way", ["option", "variable", "both"])
def test_an_empty_name_means_no_profile_though_there_is_a_default(cli: Cli, rsa_pem: Path, way: str) -> None:
    write(TWO.replace('"KEY"', quoted(rsa_pem)))
    options = [] if way == "variable" else ["--profile", ""]
    env = {"variable": {"BANNO_CREDS_PROFILE": ""}, "both": {"BANNO_CREDS_PROFILE": "two"}}.get(way, {})
    result = cli("sign-jwt", *options, env=env)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("✗   --client-id is missing\n")


def test_without_a_profile_a_broken_file_stops_nobody(cli: Cli, rsa_pem: Path) -> None:
    write("= broken")
    ask = ["sign-jwt", "-q", "--client-id", "a", "--private-key", str(rsa_pem)]
    assert cli(*ask, "--profile", "").code == 0
    assert cli(*ask).code == 2


DEFAULT, LEGACY = (
    "https://login.jackhenry.com/a/oidc-provider/api/v0/token",
    "https://banno.com/a/oidc-provider/api/v0/token",
)
P, V, GIVEN = ("https://p.example/t", "https://v.example/t", "https://o.example/t")


@pytest.mark.parametrize(
    ("in_profile", "env", "options", "aud"),
    [
        ("", {}, [], DEFAULT),
        ('environment = "legacy"', {}, [], LEGACY),
        (f'token_endpoint = "{P}"', {}, [], P),
        (f'token_endpoint = "{P}"', {"ENVIRONMENT": "legacy"}, [], LEGACY),
        (f'token_endpoint = "{P}"', {"TOKEN_ENDPOINT": V}, [], V),
        (f'token_endpoint = "{P}"', {}, ["--environment", "production"], DEFAULT),
        ('environment = "legacy"', {"TOKEN_ENDPOINT": V}, [], V),
        ('issuer = "https://p.example"', {"TOKEN_ENDPOINT": V}, [], V),
        ('issuer = "https://p.example"', {"ENVIRONMENT": "legacy"}, ["--token-endpoint", GIVEN], GIVEN),
        ('environment = "legacy"', {"ISSUER": "https://v.example"}, ["--token-endpoint", GIVEN], GIVEN),
    ],
)
def test_the_endpoint_named_nearest_to_the_user_is_taken_whatever_kind_it_is(
    sign: Callable[..., dict[str, Any]],
    rsa_pem: Path,
    in_profile: str,
    env: dict[str, str],
    options: list[str],
    aud: str,
) -> None:
    write(f'default = "a"\n[profiles.a]\nclient_id = "a"\nprivate_key = {quoted(rsa_pem)}\n{in_profile}\n')
    assert sign(*options, env={f"BANNO_CREDS_{name}": value for name, value in env.items()})["aud"] == aud


def test_an_issuer_in_a_profile_is_asked_for_its_endpoint(cli: Cli, server: ScriptedServer, rsa_pem: Path) -> None:
    issuer = server.url.removesuffix("/token")
    discovery = json.dumps({"issuer": issuer, "token_endpoint": server.url}).encode()
    server.says(Says(body=discovery), GRANTED)
    write(f'[profiles.a]\nclient_id = "a"\nprivate_key = {quoted(rsa_pem)}\nissuer = "{issuer}"\n')
    result = cli("client-assertion", "-q", "-o", "token", "--profile", "a")
    assert (result.code, result.stdout) == (0, "x.y.z\n"), result.stderr


@pytest.mark.parametrize("key", ["/no/such/key.pem", "KEY"])
def test_a_key_in_a_variable_comes_before_the_default_profiles(
    cli: Cli, ec_pem: Path, rsa_pem: Path, key: str
) -> None:
    write(f'default = "a"\n[profiles.a]\nclient_id = "a"\nprivate_key = {quoted(key.replace("KEY", str(rsa_pem)))}\n')
    for env in (
        {"BANNO_CREDS_PRIVATE_KEY_PEM": ec_pem.read_text()},
        {"BANNO_CREDS_PRIVATE_KEY": str(ec_pem)},
    ):
        result = cli("sign-jwt", "-q", env=env)
        assert (result.code, result.stderr) == (0, "")
        assert jwt.get_unverified_header(result.stdout.strip())["alg"] == "ES256"


def test_paths_count_from_the_files_folder(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ec_key: PrivateKey
) -> None:
    home = Path(os.environ["HOME"])
    write_private(tmp_path / "key.pem", ec_key.pem(b"secret words"))
    write_private(home / "key.pem", ec_key.pem())
    write_private(tmp_path / "words", b"secret words\n")
    file = write(
        '[profiles.near]\nclient_id = "a"\nprivate_key = "../key.pem"\npassphrase_file = "../words"\n'
        '[profiles.home]\nclient_id = "a"\nprivate_key = "~/key.pem"\n',
        tmp_path / "conf" / "banks.toml",
    )
    monkeypatch.chdir(tmp_path)
    for config in (str(file), "conf/banks.toml"):
        for name in ("near", "home"):
            result = cli("sign-jwt", "-q", "--config", config, "--profile", name)
            assert (result.code, result.stderr) == (0, "")
    shown = json.loads(cli("profile", "show", "near", "-o", "json", "--config", "conf/banks.toml").stdout)
    assert shown["settings"]["private_key"] == str(tmp_path / "conf" / ".." / "key.pem")


@pytest.mark.parametrize("order", [1, -1])
def test_profile_and_config_may_come_in_either_order(cli: Cli, tmp_path: Path, rsa_pem: Path, order: int) -> None:
    file = write(f'[profiles.a]\nclient_id = "a"\nprivate_key = {quoted(rsa_pem)}\n', tmp_path / "c.toml")
    pairs = [["--profile", "a"], ["--config", str(file)]][::order]
    assert cli("sign-jwt", "-q", *pairs[0], *pairs[1]).code == 0


@pytest.mark.posix("an open pipe has a path")
def test_the_file_may_be_a_pipe(rsa_pem: Path) -> None:
    text = f'default = "a"\n[profiles.a]\nclient_id = "a"\nprivate_key = {quoted(rsa_pem)}\n'
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    ask = [sys.executable, "-m", "banno_creds", "sign-jwt", "-q", "--config", f"/dev/fd/{reader}"]
    done = subprocess.run(ask, pass_fds=[reader], capture_output=True, text=True, timeout=60, check=False)
    os.close(reader)
    assert (done.returncode, done.stderr) == (0, "")


AS_DOCUMENTED = "write it as the provider documents it, with https://; http:// is for localhost alone"

# --- what is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words", "hint"),
    [
        ('client-id = "b"', "There is no setting 'client-id'", "did you mean client_id?"),
        ("xyzzy = 1", "There is no setting 'xyzzy'", f"the settings are {', '.join(profile_settings.SETTINGS)}"),
        ('scopes = "b"', "There is no setting 'scopes'", "did you mean scope?"),
        ("lifetime = 301", "lifetime must be 1 to 300 s, not 301 s", "leave lifetime out for 60 s"),
        ('lifetime = "60"', "lifetime must be a whole number of seconds, and is text", "for example: lifetime = 60"),
        (
            "lifetime = 60.0",
            "lifetime must be a whole number of seconds, and is a number",
            "for example: lifetime = 60",
        ),
        (
            "lifetime = true",
            "lifetime must be a whole number of seconds, and is true or false",
            "for example: lifetime = 60",
        ),
        (f"lifetime = 0x{'f' * 5000}", "lifetime is too large a number", "leave lifetime out for its default"),
        (
            "min_ttl = -1",
            "min_ttl must be 0 to 86400 s, not -1 s",
            "leave min_ttl out for 60 s",
        ),
        ("timeout = 0", "timeout must be more than 0 s and at most 3600 s, not 0 s", "leave timeout out for 30 s"),
        (
            "timeout = nan",
            "timeout must be more than 0 s and at most 3600 s, not nan s",
            "leave timeout out for 30 s",
        ),
        ("timeout = inf", "timeout is too large a number", "leave timeout out for its default"),
        ("timeout = [1]", "timeout must be a number of seconds, and is an array", "for example: timeout = 30"),
        ("iat = 1", "iat must be true or false, and is a number", "for example: iat = true"),
        ("kid = 2026-11-21", "kid must be text in quotes, and is a date or time", 'for example: kid = "…"'),
        ('kid = ""', "kid is empty", "give kid a value, or leave it out"),
        (
            'kid = "a\\n"',
            "kid has a control character in it, such as a line end: it ends with a line end",
            "take it out",
        ),
        (
            "scope = 1",
            "scope must be text in quotes or an array of such, and is a number",
            'for example: scope = ["openid"]',
        ),
        (
            'scope = ["a", 1]',
            "scope must be text in quotes or an array of such, and is a number",
            'for example: scope = ["openid"]',
        ),
        ('resource = [""]', "resource is empty", "give resource a value, or leave it out"),
        ('alg = "RS265"', "alg cannot be 'RS265': it is one of PS256, RS256, ES256", "did you mean RS256?"),
        ('alg = "xyz"', "alg cannot be 'xyz': it is one of PS256, RS256, ES256", "choose one of them"),
        (
            'environment = "prod"',
            "environment cannot be 'prod': it is one of production, legacy",
            "did you mean production?",
        ),
        (
            'token_endpoint = "http://a.example/"',
            (
                "token_endpoint 'http://a.example/' cannot be used: plain http is for loopback only; others could "
                "read on the way what is sent there"
            ),
            AS_DOCUMENTED,
        ),
        ('issuer = "x"', "issuer 'x' cannot be used: it does not start with https://", AS_DOCUMENTED),
        (
            'api_base = "ftp://x"',
            "api_base 'ftp://x' cannot be used: it does not start with https://",
            AS_DOCUMENTED,
        ),
        (
            'passphrase_file = "-"',
            "passphrase_file is -, and a profile cannot hold what comes from standard input",
            "name a file; or leave it out of the profile, and give - on the command line",
        ),
        (
            'ca_bundle = {file = "x"}',
            "ca_bundle must be text in quotes, and is a table",
            'for example: ca_bundle = "…"',
        ),
        ("claims = 1", "claims must be a table, and is a number", "write it under [profiles.NAME.claims]"),
        (
            "claims = { exp = 1 }",
            "claims exp would contradict what banno-creds sends itself",
            "use lifetime",
        ),
        ("claims = { jti = 1 }", "claims jti would contradict what banno-creds sends itself", "leave it out"),
        (
            "claims = { a = [{ b = 1979-05-27 }] }",
            "claims a has a value in it that JSON and TOML do not share",
            "write it as text",
        ),
        (
            "claims = { a = [nan] }",
            "claims a has a value in it that JSON and TOML do not share",
            "write it as text",
        ),
        (
            'params = { scope = "x" }',
            "params scope would contradict what banno-creds sends itself",
            "use scope",
        ),
        ("params = { a = 1 }", "params a must be text in quotes, and is a number", "put it in quotes"),
        ('params = { a = "b\\n" }', "params a has a control character in it, such as a line end", "take it out"),
    ],
)
def test_a_setting_that_cannot_be_meant_names_the_profile_the_file_and_the_line(
    cli: Cli, line: str, words: str, hint: str
) -> None:
    file = write(f'# banks\ndefault = "a"\n\n[profiles.a]\n{line}\n\n[profiles.b]\nclient_id = "b"\n')
    result = cli("sign-jwt", "--private-key", "x")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"✗   {words}\n    in profile a of {file}, line 5\n    Next: {hint}\n"
    shown = cli("profile", "show", "a")  # it is shown, with its fault
    assert (shown.code, shown.stdout) == (0, "[profiles.a]\n")
    place = f"in profile a of {file}, line 5"
    assert shown.stderr.casefold() == f"!   profile a cannot be used: {words}\n    {place}: {hint}\n".casefold()
    assert cli("profile", "show", "b").stderr == ""  # it stops nobody else


def test_a_client_id_with_a_line_end_is_one_clear_error(cli: Cli) -> None:
    write('[profiles.a]\nclient_id = "a\\n"\n')
    result = cli("sign-jwt", "--profile", "a")
    assert result.code == 2
    assert result.stderr.startswith("✗   The client ID 'a\\n' has white space or quotation marks around it")


def test_two_endpoints_in_one_profile_exclude_each_other(cli: Cli) -> None:
    file = write('[profiles.a]\nissuer = "https://a.example"\nenvironment = "legacy"\n')
    result = cli("sign-jwt", "--profile", "a", "--token-endpoint", "https://o.example/t")
    assert (result.code, result.stderr) == (
        2,
        (
            "✗   issuer and environment exclude each other: only one of them can name the endpoint\n"
            f"    in profile a of {file}, line 3\n    Next: leave one of them out\n"
        ),
    )


def test_a_line_is_not_named_where_it_would_be_a_guess(cli: Cli) -> None:
    file = write('[profiles.a]\nkid = """\nlifetime = 1"""\nlifetime = 0\n')
    assert f"in profile a of {file}\n" in cli("sign-jwt", "--profile", "a").stderr


@pytest.mark.parametrize(
    ("text", "words", "hint", "line"),
    [
        ('defualt = "a"', "'defualt' means nothing there: a key at the top of the file", "did you mean default?", 1),
        (
            '\n[profile.a]\nclient_id = "a"',
            "'profile' means nothing there: a table at the top of the file",
            "did you mean profiles?",
            2,
        ),
        (
            'client_id = "x"',
            "'client_id' means nothing there: a key at the top of the file",
            "put it under the [profiles.NAME] it belongs to",
            1,
        ),
        (
            "[profiles.a]\n[bank]",
            "'bank' means nothing there: a table at the top of the file",
            "profiles stand under [profiles.NAME]; the only other thing at the top is default",
            2,
        ),
        ("default = 1", "default must be a profile's name, in quotes", "correct it there", 1),
        ('default = ""', "default must be a profile's name, in quotes", "correct it there", 1),
        ("profiles = 1", "profiles must be tables: [profiles.NAME]", "correct it there", 1),
    ],
)
@pytest.mark.parametrize("args", [["sign-jwt", "--profile", "a"], ["profile", "list"]], ids=["use", "list"])
def test_what_does_not_belong_at_the_top_is_an_error(
    cli: Cli, args: list[str], text: str, words: str, hint: str, line: int
) -> None:
    file = write(text)
    result = cli(*args)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"✗   {words}\n    in {file}, line {line}\n    Next: {hint}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[profiles]\na = 1", "✗   profiles.a in FILE is no table\n    Next: settings stand under [profiles.a]\n"),
        (
            '[profiles."my bank"]',
            (
                "✗   'my bank' in FILE cannot be a profile's name\n    Next: a profile's name has letters, digits "
                "and . _ - in it, and does not start with -\n"
            ),
        ),
    ],
)
def test_what_is_no_profile_is_an_error(cli: Cli, text: str, words: str) -> None:
    file = write(text)
    result = cli("sign-jwt", "--profile", "a")
    assert (result.code, result.stderr) == (2, words.replace("FILE", str(file)))


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("my bank", "my-bank"),
        ("-x", "x"),
        ("Zürich & Söhne", "Zurich-Sohne"),
        ("a/b", "a-b"),
        ("a\n", "a"),
        ('a"b', "a-b"),
        ("x]", "x"),
        ("日本", ""),
    ],
)
def test_a_name_is_letters_digits_and_three_signs(cli: Cli, name: str, like: str) -> None:
    write("[profiles.a]\n")
    odd = ": it ends with a line end" if name == "a\n" else ""
    expected = (
        f"✗   '{' '.join(name.split())}' cannot be a profile's name{odd}\n    Next: a profile's name has letters, "
        f"digits and . _ - in it, and does not start with -{like and '; for example '}{like}\n"
    )
    for args in (
        ["sign-jwt", f"--profile={name}"],
        ["profile", "add", "--client-id", "x", "--", name],
        ["profile", "show", "--", name],
        ["profile", "remove", "--", name],
    ):
        result = cli(*args)
        assert (result.code, result.stdout, result.stderr) == (2, "", expected)


@pytest.mark.parametrize("name", ["a", "A-1", "_x", "bank.example.com", "0", "a_b"])
def test_a_good_name_works_everywhere(
    cli: Cli, sign: Callable[..., dict[str, Any]], rsa_pem: Path, name: str
) -> None:
    assert cli("profile", "add", name, "--client-id", name, "--private-key", rsa_pem, "--default").code == 0
    assert sign("--profile", name)["iss"] == name
    assert sign()["iss"] == name
    assert [line for line in cli("profile", "list").stdout.splitlines() if line[:1] != " "] == [name]
    assert cli("profile", "remove", name).code == 0


@pytest.mark.parametrize(
    ("text", "name", "words", "hint"),
    [
        ("[profiles.test]\n[profiles.live]", "tset", "There is no profile tset in FILE", "did you mean test?"),
        ("[profiles.test]", "xyz", "There is no profile xyz in FILE", "banno-creds profile list"),
        (
            "",
            "xyz",
            "There is no profile xyz in FILE",
            "banno-creds profile add xyz --client-id ID --private-key FILE",
        ),
        (
            'default = "tset"\n[profiles.test]',
            None,
            "The default profile tset is not in FILE",
            "did you mean: banno-creds profile default test",
        ),
        (
            'default = "xyz"\n[profiles.test]',
            None,
            "The default profile xyz is not in FILE",
            "banno-creds profile list",
        ),
        (
            None,
            "xyz",
            "There is no profile xyz: there is no file FILE",
            "banno-creds profile add xyz --client-id ID --private-key FILE",
        ),
    ],
)
def test_an_unknown_profile_names_the_nearest(
    cli: Cli, text: str | None, name: str | None, words: str, hint: str
) -> None:
    file = own_file() if text is None else write(text)
    result = cli("sign-jwt", *([] if name is None else ["--profile", name]))
    words = words.replace("FILE", str(file))
    assert (result.code, result.stdout, result.stderr) == (2, "", f"✗   {words}\n    Next: {hint}\n")
    if name is not None:
        for verb in ("show", "remove"):
            assert cli("profile", verb, name).stderr == result.stderr


@pytest.mark.parametrize(
    ("text", "args", "hint"),
    [
        ("[profiles.test]", ["sign-jwt", "--profile", "zzzz"], "profile list --config FILE"),
        ("[profiles.test]", ["profile", "show", "zzzz"], "profile list --config FILE"),
        ("[profiles.test]", ["profile", "remove", "zzzz"], "profile list --config FILE"),
        ("[profiles.test]", ["profile", "default", "zzzz"], "profile list --config FILE"),
        ('default = "zzzz"\n[profiles.test]', ["sign-jwt"], "profile list --config FILE"),
        ('default = "tset"\n[profiles.test]', ["sign-jwt"], "did you mean: profile default test --config FILE"),
        ("", ["sign-jwt", "--profile", "z"], "profile add z --client-id ID --private-key FILE --config FILE"),
        (None, ["profile", "remove", "z"], "profile add z --client-id ID --private-key FILE --config FILE"),
        (None, ["profile", "default", "z"], "profile add z --client-id ID --private-key FILE --config FILE"),
        ("[profiles.test]", ["profile", "show"], "profile default NAME --config FILE"),
        ("", ["profile", "show"], "profile add NAME --client-id ID --private-key FILE --default --config FILE"),
    ],
)
@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_hint_means_the_file_that_was_named(
    cli: Cli, tmp_path: Path, way: str, text: str | None, args: list[str], hint: str
) -> None:
    file = tmp_path / "our banks.toml"
    if text is not None:
        write(text, file)
    options = ["--config", str(file)] if way == "option" else []
    result = cli(*args, *options, env={"BANNO_CREDS_CONFIG": str(file)} if way == "variable" else {})
    named = f'"{file}"' if sys.platform == "win32" else f"'{file}'"
    expected = hint.replace("profile ", "banno-creds profile ", 1).replace("--config FILE", f"--config {named}")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"    Next: {expected}\n")


def test_a_list_of_none_names_the_file_that_was_named(cli: Cli, tmp_path: Path) -> None:
    file = write("", tmp_path / "c.toml")
    assert cli("profile", "list", "--config", file).stderr == (
        "No profiles yet. To write one:\n"
        f"    banno-creds profile add NAME --client-id ID --private-key FILE --config {file}\n"
    )


def test_a_list_says_that_the_default_is_not_there(cli: Cli, tmp_path: Path) -> None:
    file = write('default = "xyz"\n[profiles.a]\n', tmp_path / "c.toml")
    result = cli("profile", "list", "--config", file)
    assert (result.code, result.stdout, result.stderr) == (
        0,
        f"a\n    endpoint   {DEFAULT}\n",
        (f"!   The default, xyz, is not among them\n    banno-creds profile default NAME --config {file}\n"),
    )


_QUOTES = "a path with \\ in it goes in 'single quotes'"
_ONCE = "the same table or key can stand there only once: leave one"
_LINE = 'a line is one [profiles.NAME] or one setting, with text in quotes: client_id = "ID"'


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('private_key = "C:\\keys"', _QUOTES),
        ('private_key = "C:\\Users"', _QUOTES),
        ('private_key = "C:\\keys\\"', _QUOTES),
        ('private_key = "k\\"', _QUOTES),
        ('kid = "\\uD800"', _QUOTES),
        ("private_key = C:\\keys", _QUOTES),
        ("private_key = 'C:\\keys", "close the quotes"),
        ('kid = k # not "C:\\keys"', 'a value is "text", a number, true or false'),
        ("kid = k", 'a value is "text", a number, true or false'),
        ("kid =", 'a value is "text", a number, true or false'),
        ('kid = "k', "close the quotes"),
        ('kid = """k', "close the quotes"),
        ('kid = "a\x01"', "take it out"),
        ("kid = 5f2c", _LINE),
        ('kid: "k"', _LINE),
        ("kid", _LINE),
        ("= 1", _LINE),
        ("[profiles.b] kid = 1", _LINE),
        ("[profiles.b", "a header is [profiles.NAME], alone on its line"),
        ("[profiles.my bank]", "a header is [profiles.NAME], alone on its line"),
        ("[profiles.a]", _ONCE),
        ("iat = true\niat = true", _ONCE),
        ('scope = ["a"', "close it: ]"),
        ('claims = { a = "b"', "close it on the same line: }"),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\n\n# The end.\n"])
def test_a_syntax_error_has_a_hint_that_fits(cli: Cli, line: str, end: str, hint: str) -> None:
    file = write(f"# Not C:\\keys\n[profiles.a]\n{line}{end}")
    result = cli("profile", "list")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   {file} is not valid TOML: ")
    assert result.stderr.endswith(f"    Next: {hint}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[profiles.a]\nkid = \n", "is not valid TOML: Invalid value (at line 2, column 7)"),
        (b'[profiles.a]\nprivate_key = "C:\\keys"\n', "is not valid TOML: Unescaped '\\' in a string (at line 2"),
        (b"[profiles.a]\n[profiles.a]\n", "is not valid TOML: Cannot declare ('profiles', 'a') twice (at line 2"),
        (b"[profiles.a]\nkid = " + b"[" * 100_000, "is nested too deep"),
        (b"\n\xff\xfe", ", line 2, is not UTF-8 text"),
        (b"#" * (16 * 1024 * 1024 + 1), "is larger than 16 MiB"),
    ],
    ids=["value", "path", "twice", "nested", "encoding", "large"],
)
def test_a_file_that_cannot_be_read_says_where(cli: Cli, text: bytes, words: str) -> None:
    file = write(text)
    result = cli("sign-jwt", "--profile", "a")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   {file}{'' if words.startswith(',') else ' '}{words}")
    assert "Next: " in result.stderr
    assert profiles.profile_names() in ([], ["a"])


def test_a_folder_in_the_files_place_is_an_error(cli: Cli) -> None:
    own_file().mkdir(parents=True)
    result = cli("sign-jwt")
    assert (result.code, result.stderr) == (
        2,
        (
            f"✗   Cannot read {own_file()}: Is a directory\n"
            "    Next: check what it is, who owns it and who may read it\n"
        ),
    )


@pytest.mark.posix("a refusal is believed; Windows is asked whether the file is only in use")
def test_a_file_out_of_reach_that_nobody_asked_for_is_none(cli: Cli, rsa_pem: Path, monkeypatch: Any) -> None:
    """Of another user's home, by sudo without -H, it cannot even be seen whether there is a file."""
    write("default = 1")
    opened = open

    def denied(path: Any, *args: Any, **kwargs: Any) -> Any:
        if path == str(own_file()):
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", denied)
    seen = cli("sign-jwt")
    assert (seen.code, seen.stderr) == (
        2,
        (
            f"✗   Cannot read {own_file()}: Permission denied\n"
            "    Next: check what it is, who owns it and who may read it\n"
        ),
    )
    monkeypatch.setattr("os.path.lexists", lambda _: False)
    assert profiles.find_profile(None) is None


@pytest.mark.posix("a mode says who may do what")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(cli: Cli, mode: int) -> None:
    file = write(TWO)
    file.chmod(mode)
    expected = (
        f"✗   Others can write {file} (mode {mode:04o}), and it decides where an assertion goes\n"
        f"    Next: read what it says, then: chmod go-w {file}\n"
    )
    for args in (["sign-jwt"], ["profile", "list"], ["profile", "add", "x", "--client-id", "x"]):
        result = cli(*args)
        assert (result.code, result.stdout, result.stderr) == (2, "", expected)
    assert profiles.profile_names() == []


@pytest.mark.posix("a file's owner is a number")
def test_a_file_of_another_user_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(TWO)
    if os.geteuid() == 0:
        os.chown(file, 12345, 12345)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    result = cli("sign-jwt")
    assert (result.code, result.stderr) == (
        2,
        (
            f"✗   {file} belongs to another user, who can change where an assertion goes\n"
            "    Next: make a copy of your own, and name it with --config\n"
        ),
    )


@pytest.mark.posix("there is a root")
def test_a_file_of_root_is_read(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert "/etc/passwd is not valid TOML" in cli("sign-jwt", "--config", "/etc/passwd").stderr


@pytest.mark.parametrize(("name", "what", "code"), [("private_key", "private key", 3), ("ca_bundle", "CA bundle", 2)])
def test_a_path_that_leads_nowhere_says_which_profile_it_came_from(
    cli: Cli, rsa_pem: Path, name: str, what: str, code: int
) -> None:
    paths = {"private_key": str(rsa_pem), name: "keys/no.pem"}
    lines = [f"{setting} = {quoted(path)}" for setting, path in paths.items()]
    file = write("\n".join(["[profiles.a]", 'client_id = "a"', *lines]))
    result = cli("sign-jwt", "--profile", "a")
    assert (result.code, result.stdout, result.stderr) == (
        code,
        "",
        (
            f"✗   There is no {what} {file.parent / 'keys' / 'no.pem'}\n    in profile a of {file}\n"
            f"    Next: check {name} there; a relative path counts from the folder of config.toml\n"
        ),
    )


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(profile_settings.SECRETS))
def test_a_secret_in_a_profile_says_where_it_belongs_and_is_never_shown(cli: Cli, name: str) -> None:
    file = write(f'[profiles.a]\nlifetime = "hunter1"\n{name} = "hunter2"\n')
    result = cli("sign-jwt", "--profile", "a")
    words = f"{name} is a secret, and has no place in this file (not shown here)"
    hint = spelled(profile_settings.SECRETS[name])
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"✗   {words}\n    in profile a of {file}, line 3\n    Next: {hint}\n"
    shown = cli("profile", "show", "a")
    assert (shown.code, shown.stdout) == (0, "[profiles.a]\n")
    assert shown.stderr == f"!   profile a cannot be used: {words}\n    in profile a of {file}, line 3: {hint}\n"


def test_a_secret_among_the_parameters_is_never_shown(cli: Cli) -> None:
    write('[profiles.a]\n[profiles.a.params]\npassword = "hunter2"\n')
    result = cli("sign-jwt", "--profile", "a")
    assert result.code == 2
    assert "params password is a secret, and has no place in this file" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("setting", ["private_key", "client_id", "scope", "xyz", "alg", "claims.a", "params.a"])
@pytest.mark.parametrize("form", ["PEM", "array", "JWK"])
def test_a_private_key_in_a_profile_is_never_shown(cli: Cli, rsa_key: PrivateKey, setting: str, form: str) -> None:
    pem = rsa_key.pem().decode()
    value = {
        "PEM": f'"""{pem}"""',
        "array": json.dumps(["x", {"y": pem.replace("\n", " ")}]).replace(":", "="),
        "JWK": '{ kty = "RSA", d = "' + "x" * 43 + '" }',
    }[form]
    file = write(f"[profiles.a]\n{setting} = {value}\n")
    result = cli("sign-jwt", "--profile", "a")
    assert (result.code, result.stdout) == (2, "")
    name = setting.partition(".")[0]
    shown = name if name in profile_settings.SETTINGS else f"'{name}'"
    assert result.stderr.startswith(
        f"✗   {shown} holds what looks like a private key (not shown here)\n    in profile a of {file}"
    )
    assert pem[40:80] not in result.stderr
    assert "xxxx" not in result.stderr
    assert cli("profile", "show", "a").stdout == "[profiles.a]\n"


def test_a_key_in_place_of_the_file_or_the_name_is_never_shown(cli: Cli, rsa_pem: Path) -> None:
    pem = rsa_pem.read_text()
    for args in (["sign-jwt", "--config", str(rsa_pem)], ["sign-jwt", "--profile", pem], ["profile", "show", pem]):
        result = cli(*args)
        assert (result.code, result.stdout) == (2, "")
        assert pem[40:60] not in result.stderr


def test_a_passphrase_in_place_of_its_file_is_never_shown(cli: Cli, tmp_path: Path, ec_key: PrivateKey) -> None:
    key = write_private(tmp_path / "e.pem", ec_key.pem(b"hunter2 hunter2"))
    file = write(f'[profiles.a]\nclient_id = "a"\nprivate_key = {quoted(key)}\npassphrase_file = "hunter2 hunter2"\n')
    result = cli("sign-jwt", "-q", "--profile", "a")
    assert (result.code, result.stdout, result.stderr) == (
        2,
        "",
        (
            "✗   The passphrase file does not exist (its name is not shown: it might be the passphrase)\n"
            f"    in profile a of {file}\n"
            "    Next: passphrase_file names a file, counted from the folder of config.toml, and never "
            "the passphrase\n"
        ),
    )
    added = cli("profile", "add", "b", "--passphrase-file", "hunter2")
    assert (added.code, added.stderr) == (0, "!   There is no file for --passphrase-file yet\n")


# --- quick, and never wrong ---------------------------------------------------------------------------------------


def big(number: int) -> str:
    return 'default = "bank-7"\n' + "".join(
        f'\n# Bank {i}\n[profiles.bank-{i}]\nclient_id = "{i}"\nscope = [\n  "openid",\n  "a",\n]\n'
        f"[profiles.bank-{i}.claims]\nn = {i}\n"
        for i in range(number)
    )


@pytest.mark.parametrize("name", [None, "bank-7", "bank-500", "bank-999"])
def test_of_a_thousand_profiles_one_is_parsed(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    write(big(1000))
    parsed: list[int] = []
    loads = tomllib.loads

    def counting(text: str) -> dict[str, Any]:
        parsed.append(len(text))
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counting)
    profile = profiles.find_profile(name)
    assert profile is not None
    number = int(profile.name.partition("-")[2])
    assert profile.settings == {"client_id": str(number), "scope": ["openid", "a"], "claims": {"n": number}}
    assert sum(parsed) < 300
    parsed.clear()
    assert len(profiles.profile_names()) == 1000
    assert parsed == []


def test_a_syntax_error_in_another_profile_stops_nobody_and_its_own_has_the_right_line(cli: Cli) -> None:
    file = write("[profiles.a]\niat = true\n[profiles.b]\nkid =\n[profiles.c]\n")
    assert cli("profile", "show", "a").code == 0
    for name in ("b", "unknown"):
        result = cli("profile", "show", name)
        assert (result.code, result.stderr) == (
            2,
            (
                f"✗   {file} is not valid TOML: Invalid value (at line 4, column 6)\n"
                '    Next: a value is "text", a number, true or false\n'
            ),
        )


_NAMES = ("a", "b", "a.b", "x")
_VALUES = (
    *('"t"', "'[profiles.a]'", '"#"', "1", "true", '["x", "y"]', '[\n  "x",\n  # [profiles.b]\n  "y",\n]'),
    *('"""\n[profiles.a]\nkid = "inside" # """', "'''\n[profiles.b]\nkid = 'x' # '''"),
    *('"""\n[profiles.a]\nkid = "inside"\n"""', "'''\n[profiles.b]\n'''", '[\n["x"],\n  ["y"]\n]', "[\n[1]\n]"),
    *('{ x = "y" }', '"\\""', '""', '"]\\n[profiles.a]"', '{ a = { kid = "i" } }', "[[\n1]\n]", "[ # ]\n]"),
)
_HEADERS = (
    *("[profiles.a]", "[profiles.b]", "[profiles.x]", '[profiles."a.b"]', "[profiles.'a']", '[profiles."a"]'),
    *("[profiles.a.claims]", "[profiles.b.claims.deep]", "[profiles]", "[ profiles.a ]", "  [profiles.b]"),
    *(
        "[profiles.a] # [profiles.b]",
        "[profiles . a]",
        "[[profiles.a]]",
        "[other]",
        '["profiles".b]',
        "[profiles.a.b]",
    ),
    *('[profiles."a.b".claims]', '[profiles.a."c d"]', "[profiles.-x]", '[profiles."\\u0061"]', "\t[profiles.a]"),
)
_KEYS = (
    *("client_id", "kid", "scope", "default", "claims.n", "profiles.a.kid", '"kid"', "profiles", "a.kid", "a"),
    "profiles.b",
)
_OTHER_LINES = ("", "# [profiles.a]", "  # x", 'default = "a"', 'default = "b" # "', "\r")
# Files of any lines are seldom valid. Most files here have tables that differ, with keys that differ.
_SPELLINGS = (
    ("[profiles.a]", "[profiles.a]", "[profiles.a] # [profiles.b]", '[profiles."a"]', "[ profiles.'a' ]"),
    ("[profiles.b]", "[profiles.b]", "[profiles.b]\t", "  [profiles.b]", '["profiles".b]'),
    ('[profiles."a.b"]', '[profiles."a.b"]', "[profiles.'a.b']", '[profiles."a\\u002eb"]'),
    ("[profiles.x]", "[profiles.x]", "\t[profiles.x]", "[[profiles.x]]"),
    ("[profiles.a.claims]", "[profiles.a.claims]", '[profiles.a."c d"]', '[profiles."a".claims]'),
    ("[profiles.b.claims.deep]", "[profiles.b.claims.deep]", "[profiles.b . claims]", "[other]", "[profiles]"),
)
_TOPS: tuple[list[str], ...] = (
    [],
    ['default = "a"'],
    ["# x", "default = 'b' # [profiles.a]"],
    ['profiles.a.kid = "x"'],
)


def _any_line(random: Random) -> str:
    header, member = random.choice(_HEADERS), f"{random.choice(_KEYS)} = {random.choice(_VALUES)}"
    return random.choice((header, member, random.choice(_OTHER_LINES)))


def _any_table(random: Random, spellings: tuple[str, ...]) -> list[str]:
    keys = random.sample(("client_id", "kid", "scope", "n"), random.randint(0, 2))
    values = random.choices([*_VALUES[:7] * 6, *_VALUES], k=len(keys))
    members = (f"{key} = {value}" for key, value in zip(keys, values, strict=True))
    return [random.choice(spellings), *members, random.choice(("", "# [profiles.a]"))]


def _any_file(random: Random) -> str:
    if random.random() < 1 / 6:
        return "\n".join(_any_line(random) for _ in range(random.randint(0, 12)))
    tables = random.sample(_SPELLINGS, random.randint(0, 5))
    return "\n".join([*random.choice(_TOPS), *(line for table in tables for line in _any_table(random, table))])


def _outcome(load: Callable[[], dict[str, Any]], name: str | None) -> object:
    try:
        data = load()
    except ConfigurationError as error:
        return error.message
    wanted = data.get("default") if name is None else name
    return data.get("default"), data.get("profiles", {}).get(wanted)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[profiles.b]\nkid = """\n[profiles.a]\nkid = "inside" # """\n', "a"),
        ("[profiles.b]\nkid = '''\n[profiles.a]\nkid = 'inside' # '''\n[profiles.a]\niat = true\n", "a"),
        ('x = """\n[profiles.a]\nkid = "inside"\n"""\n', "a"),
        ("[profiles.a]\nkid = 'x'\n  [profiles.b]\niat = true\n", "a"),
        ("[profiles.a]\nkid = 'x'\n[profiles.'b']\niat = true\n[profiles.'a'.claims]\nn = 1\n", "a"),
        ('[profiles.b]\nscope = [\n[profiles.a]\n]\nkid = "x"\n', "a"),
        ('[profiles.a]\nscope = [\n["x"],\n]\nkid = "after"\n', "a"),
        ('[profiles.a]\nkid = "1"\n[profiles]\na.iat = true\n', "a"),
        ("[profiles.a]\nkid = 'x'\n[profiles.b]\n  [profiles.a.claims]\n  n = 1\n", "a"),
        ("profiles.a.kid = 'x'\n[profiles.b]\n[profiles.a.claims]\nn = 1\n", "a"),
        ("profiles.a.kid = 'x'\n[profiles.b]\niat = true\n", "b"),
        ("profiles = 3\n[profiles.b]\niat = true\n", "b"),
        ('profiles.a.kid = "1"\n[profiles.b]\n', "a"),
        ('[profiles.a]\nkid="1"\n\n[profiles.b]\n[profiles.a.claims]\nn=1\n', "a"),
    ],
)
def test_loading_a_part_comes_to_what_parsing_everything_does(text: str, name: str | None) -> None:
    _compare(text, name)


def test_loading_a_part_of_any_file_comes_to_what_parsing_everything_does() -> None:
    seed = randrange(2**32)
    random = Random(seed)
    print(f"seed {seed}")  # pytest shows it if this fails
    valid = sum(_compare(_any_file(random), random.choice((*"aaaab", None, *_NAMES))) for _ in range(2000))
    assert valid > 500


def test_of_any_file_each_profile_has_its_own_tables_and_all_together_are_the_file() -> None:
    seed = randrange(2**32)
    random = Random(seed)
    print(f"seed {seed}")  # pytest shows it if this fails
    for _ in range(2000):
        text = _any_file(random)
        top, tables = profile_file.split_tables(text) or (text, [])
        assert top + "".join(table for _, table in tables) == text
        for name in {owner for owner, _ in tables}:
            own = profile_file._own_tables(text, name)
            assert [table for _, table in own] == [table for owner, table in tables if owner == name], text
            assert all(text.startswith(table, start) for start, table in own)
        try:
            data = tomllib.loads(text)
            default, each = ConfigFile("f", text).parse_each()
        except (ValueError, ConfigurationError):
            continue
        assert (default, each) == (data.get("default"), data.get("profiles", {})), text


def _compare(text: str, name: str | None) -> bool:
    """Compare the two ways; return whether the text is valid TOML."""
    file = ConfigFile("f", text)
    try:
        tomllib.loads(text)
    except ValueError:
        # A valid profile may be used in an invalid file.
        if profile_file._load_part(text, name) is None:
            assert _outcome(lambda: file.load(name), name) == _outcome(file.parse, name), text
        else:
            assert profile_file.split_tables(text) is not None, text
        return False
    assert _outcome(lambda: file.load(name), name) == _outcome(file.parse, name), text
    return True


# --- looking ------------------------------------------------------------------------------------------------------


def test_the_list_is_the_names_in_order(cli: Cli) -> None:
    file = write(HAND_WRITTEN)
    result = cli("profile", "list")
    of_test, of_live = (f"{name}\n    client ID  {name[0]}\n    endpoint   {DEFAULT}\n" for name in ("test", "live"))
    assert (result.code, result.stdout, result.stderr) == (0, f"{of_test}\n{of_live}", "The default: live\n")
    as_json = cli("profile", "list", "-o", "json")
    assert (as_json.code, as_json.stderr) == (0, "")
    listed = json.loads(as_json.stdout)
    assert (listed["file"], listed["default"]) == (str(file), "live")
    assert [(profile["name"], profile["client_id"]) for profile in listed["profiles"]] == [
        ("test", "t"),
        ("live", "l"),
    ]


@pytest.mark.parametrize(
    ("lines", "members"),
    [
        ("", {"token_endpoint": DEFAULT}),
        ('client_id = "a"', {"client_id": "a", "token_endpoint": DEFAULT}),
        ('environment = "legacy"', {"token_endpoint": LEGACY}),
        (f'token_endpoint = "{P}"', {"token_endpoint": P}),
        ('issuer = "https://i.example"', {"issuer": "https://i.example"}),
        (
            'client_id = "hunter1"\npassphrase = "hunter2"',
            {"fault": "passphrase is a secret, and has no place in this file (not shown here)"},
        ),
        (
            'client_id = "-----BEGIN PRIVATE KEY-----"',
            {"fault": "client_id holds what looks like a private key (not shown here)"},
        ),
        (
            'client_id = "hunter1"\ntoken_endpoint = "https://u:hunter2@x.example/t"',
            {"fault": "token_endpoint '(not shown)' cannot be used: it carries a user name or password"},
        ),
    ],
)
def test_the_list_as_json_has_whose_each_is_and_where_it_asks_and_no_secret(
    cli: Cli, lines: str, members: dict[str, str]
) -> None:
    write(f"[profiles.a]\n{lines}\n[profiles.b]\nclient_id = 'b'\n")
    result = cli("profile", "list", "-o", "json")
    none = dict.fromkeys(("client_id", "token_endpoint", "issuer", "fault", "private_key", "client_secret_file"))
    none |= dict.fromkeys(("key_there_since", "key_age_days", "key_max_age"))
    ages = {"key_too_old": False, "tags": []}
    assert (result.code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["profiles"] == [
        {"name": "a", **none, **ages, **members},
        {"name": "b", **none, **ages, "client_id": "b", "token_endpoint": DEFAULT},
    ]


def test_a_list_of_none_says_how_to_write_one(cli: Cli) -> None:
    result = cli("profile", "list")
    assert (result.code, result.stdout, result.stderr) == (
        0,
        "",
        "No profiles yet. To write one:\n    banno-creds profile add NAME --client-id ID --private-key FILE\n",
    )
    assert json.loads(cli("profile", "list", "-o", "json").stdout)["profiles"] == []


def test_a_profile_is_shown_as_toml_and_as_json(cli: Cli) -> None:
    file = write('default = "a"\n[profiles.a]\nscope = "x y"\nprivate_key = "k.pem"\n[profiles.a.claims]\nn = 1\n')
    key = file.parent / "k.pem"
    result = cli("profile", "show", "a")
    assert (result.code, result.stdout, result.stderr) == (
        0,
        f'[profiles.a]\nscope = ["x y"]\nprivate_key = {quoted(key)}\n\n[profiles.a.claims]\nn = 1\n',
        "",
    )
    as_json = cli("profile", "show", "a", "-o", "json")
    assert (as_json.code, as_json.stderr) == (0, "")
    assert json.loads(as_json.stdout) == {
        "name": "a",
        "file": str(file),
        "default": True,
        "settings": {"scope": ["x y"], "private_key": str(key), "claims": {"n": 1}},
        "fault": None,
    }


def test_without_a_name_the_default_is_shown(cli: Cli) -> None:
    file = write(HAND_WRITTEN)
    assert cli("profile", "show").stdout == cli("profile", "show", "live").stdout
    assert json.loads(cli("profile", "show", "-o", "json").stdout)["name"] == "live"
    write("[profiles.a]\n")
    result = cli("profile", "show")
    assert (result.code, result.stdout, result.stderr) == (
        2,
        "",
        f"✗   There is no default profile in {file}\n    Next: banno-creds profile default NAME\n",
    )
    file.unlink()
    result = cli("profile", "show")
    assert (result.code, result.stdout, result.stderr) == (
        2,
        "",
        (
            f"✗   There is no default profile: there is no file {file}\n"
            "    Next: banno-creds profile add NAME --client-id ID --private-key FILE --default\n"
        ),
    )
    result = cli("profile", "show", env=NO_HOME)
    assert (result.code, result.stderr) == (
        2,
        (
            "✗   There is no default profile: there is no home folder to keep one in\n"
            "    Next: name the file: --config FILE\n"
        ),
    )


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        *(("lsit", "list"), ("defualt", "default"), ("rm", "remove"), ("delete", "remove"), ("use", "default")),
        *(("create", "add"), ("new", "add"), ("edit", "set"), ("update", "set"), ("ls", "list"), ("LS", "list")),
        *(("get", "show"), ("Show", "show"), ("switch", "default"), ("zzzz", "--help")),
    ],
)
def test_a_misspelt_command_of_the_group_names_the_nearest(cli: Cli, typed: str, near: str) -> None:
    result = cli("profile", typed)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"banno-creds profile {near}\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sign-jwt --profile l", ["live"]),
        ("sign-jwt --profile ''", ["live", "test"]),
        ("profile show t", ["test"]),
        ("profile remove t", ["test"]),
        ("profile default t", ["test"]),
        ("profile set t", ["test"]),
        ("profile set test --unset ki", ["kid"]),
        ("profile default --config OTHER ''", ["other"]),
        ("sign-jwt --config OTHER --profile ''", ["other"]),
        ("sign-jwt --config NONE --profile ''", []),
    ],
)
def test_a_shell_completes_names(process: Cli, tmp_path: Path, words: str, expected: list[str]) -> None:
    write(HAND_WRITTEN)
    other = write("[profiles.other]\n", tmp_path / "other.toml")
    line = f"banno-creds {words}".replace("OTHER", other.as_posix()).replace("NONE", (tmp_path / "none").as_posix())
    env = {"_BANNO_CREDS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    result = process(env=env)
    assert (result.code, result.stderr) == (0, "")
    assert sorted(result.stdout.split()) == [f"plain,{name}" for name in expected]


@pytest.mark.parametrize(
    "text", ["profiles.a.kid = 'x'\n[profiles.b]\n", '"profiles".a.kid = """x"""\nprofiles.b = {}']
)
def test_names_are_found_in_odd_files_too(text: str) -> None:
    write(text)
    assert profiles.profile_names() == ["a", "b"]


def test_the_demo_reads_no_profiles_of_its_user(cli: Cli) -> None:
    write('default = "a"\n[profiles.a]\nlifetime = 9999\n')
    assert cli("demo").code == 0


# --- docs/profiles.md ---------------------------------------------------------------------------------------------

DOCS = (ROOT / "docs" / "profiles.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)


@pytest.mark.posix("its commands are for sh")
def test_the_documentation_is_true(process: Cli, tmp_path: Path, rsa_pem: Path, server: ScriptedServer) -> None:
    """The console blocks are one session; what they print is what is shown."""
    server.says(GRANTED)
    home = tmp_path / "ines"
    home.mkdir()
    shims = tmp_path / "bin"
    shims.mkdir()
    (shims / "banno-creds").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m banno_creds "$@"\n')
    (shims / "banno-creds").chmod(0o755)
    write_private(home / "private.pem", rsa_pem.read_bytes())
    env = {**os.environ, "PATH": f"{shims}:{os.environ['PATH']}", "HOME": str(home)}
    env["BANNO_CREDS_TOKEN_ENDPOINT"] = server.url

    def run(script: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", "-euc", script],
            cwd=home,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout.replace(str(home), "/home/ines")
        return done.returncode, re.sub(r"(age  +).* file \(.*\)", r"\1AGE", said)

    for language, block in BLOCKS:
        if language == "console":
            for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
                expected = re.sub(r"(age  +).* file \(.*\)", r"\1AGE", expected)
                assert run(command) == (2 if "✗" in expected else 0, expected), command
        elif language == "sh":
            code, said = run(block)
            assert code == 0, said
        else:
            assert language == "toml"
            file = write(block, tmp_path / "c.toml")
            for name in profiles.list_profiles(file).names:
                assert profiles.find_profile(name, file)
    assert {language for language, _ in BLOCKS} == {"console", "sh", "toml"}
    assert len(server.requests) == 1  # the cache answered the second time


def test_the_documentation_names_every_setting() -> None:
    named = set(re.findall(r"`(\w+)`", DOCS))
    assert set(profile_settings.SETTINGS) <= named
    assert len(set(profile_settings.SETTINGS)) == len(profile_settings.SETTINGS)
