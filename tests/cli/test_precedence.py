"""Which value counts: a profile that is named on the command line comes before variables; what cannot be seen."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from banno_creds.config import KEY_VARIABLE, SECRET_VARIABLE
from tests.conftest import CLIENT_ID, Cli, Result, write_private
from tests.profiles.files import write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.issuer import Issuer

GRANITE = "granite-client"


@pytest.fixture
def granite(folder: Path, issuer: Issuer, ec_pem: Path) -> str:
    """The settings of a profile, which is written."""
    del folder
    settings = f'client_id = "{GRANITE}"\nprivate_key = \'{ec_pem}\'\ntoken_endpoint = "{issuer.url}"\n'
    write(f"[profiles.granite]\n{settings}")
    return settings


def claims_of(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.stderr
    claims: dict[str, Any] = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
    return claims


def unused(result: Result) -> list[str]:
    """The variables that the one line names as set and not used."""
    lines = [line for line in result.stderr.splitlines() if "set and not used" in line]
    assert len(lines) <= 1, lines
    return re.findall(r"BANNO_CREDS_\w+", "".join(lines))


# A variable of another client, what a run with the named profile must have in its place, and where it is seen.
OTHERS = {
    "BANNO_CREDS_CLIENT_ID": ("garden", 'client_id = "granite-client"', "iss", GRANITE),
    "BANNO_CREDS_KID": ("garden-kid", 'kid = "granite-kid"', "kid", "granite-kid"),
    "BANNO_CREDS_LIFETIME": ("200", "lifetime = 100", "life", 100),
    "BANNO_CREDS_ALG": ("RS256", 'alg = "ES256"', "alg", "ES256"),
    "BANNO_CREDS_CLAIM": ("a=garden", 'claims = { a = "granite" }', "a", "granite"),
    "BANNO_CREDS_AUD": ("https://garden.example/", 'aud = "http://127.0.0.1/aud"', "aud", "http://127.0.0.1/aud"),
}


@pytest.mark.parametrize("variable", OTHERS)
def test_a_named_profile_comes_before_a_variable_and_the_variable_is_named(
    cli: Cli, granite: str, variable: str
) -> None:
    value, line, seen_as, expected = OTHERS[variable]
    settings = granite if line in granite else f"{granite}{line}\n"
    write(f"[profiles.granite]\n{settings}")
    env = {variable: value}
    result = cli("sign-jwt", "-q", "--profile", "granite", env=env)
    claims = claims_of(result)
    header = jwt.get_unverified_header(result.stdout.strip())
    found = {**header, **claims, "life": claims["exp"] - int(claims.get("iat", claims["exp"] - 100))}
    assert found[seen_as] == expected
    assert unused(result) == [variable]
    # A profile that a variable names, or the default one, comes after the variable.
    by_variable = cli("sign-jwt", "-q", env={**env, "BANNO_CREDS_PROFILE": "granite"})
    assert unused(by_variable) == []
    if by_variable.code == 0 and seen_as in ("iss", "kid", "a", "aud"):
        theirs = {**jwt.get_unverified_header(by_variable.stdout.strip()), **claims_of(by_variable)}
        assert theirs[seen_as] == value.rpartition("=")[2]


@pytest.mark.parametrize("variable", ["BANNO_CREDS_TOKEN_ENDPOINT", "BANNO_CREDS_ISSUER", "BANNO_CREDS_ENVIRONMENT"])
@pytest.mark.parametrize(
    "setting", ['token_endpoint = "https://a.example/t"', 'environment = "legacy"'], ids=["endpoint", "environment"]
)
def test_an_endpoint_of_a_variable_joins_no_named_profile(
    cli: Cli, ec_pem: Path, variable: str, setting: str
) -> None:
    write(f"[profiles.granite]\nclient_id = 'a'\nprivate_key = '{ec_pem}'\n{setting}\n")
    value = "production" if variable.endswith("ENVIRONMENT") else "https://garden.example/x"
    result = cli("sign-jwt", "-q", "--profile", "granite", env={variable: value})
    expected = "https://a.example/t" if "a.example" in setting else "https://banno.com/a/oidc-provider/api/v0/token"
    assert claims_of(result)["aud"] == expected
    assert unused(result) == [variable]


@pytest.mark.parametrize("has", ["private_key", "client_secret_file"])
@pytest.mark.parametrize(
    "variable", ["BANNO_CREDS_PRIVATE_KEY", KEY_VARIABLE, "BANNO_CREDS_CLIENT_SECRET_FILE", SECRET_VARIABLE]
)
def test_a_key_or_secret_of_a_variable_joins_no_named_profile_that_has_one(
    cli: Cli, ec_pem: Path, rsa_pem: Path, tmp_path: Path, has: str, variable: str
) -> None:
    secret = write_private(tmp_path / "secret", b"hunter2\n")
    mine = ec_pem if has == "private_key" else secret
    write(f"[profiles.granite]\nclient_id = 'a'\n{has} = '{mine}'\ntoken_endpoint = 'http://127.0.0.1:9/t'\n")
    value = {
        "BANNO_CREDS_PRIVATE_KEY": str(rsa_pem),
        KEY_VARIABLE: rsa_pem.read_text(),
        "BANNO_CREDS_CLIENT_SECRET_FILE": str(write_private(tmp_path / "other", b"x\n")),
        SECRET_VARIABLE: "garden-secret",
    }[variable]
    result = cli("token", "--profile", "granite", "-v", "--timeout", "5", env={variable: value})
    assert unused(result) == [variable]
    if has == "private_key":
        assert "EC P-256" in result.stderr
        assert result.code == 5
    else:
        assert result.code == 6, result.stderr  # nobody is signed in; the other's key signs nothing


def test_a_key_of_a_variable_serves_the_named_profile_that_has_none(cli: Cli, ec_pem: Path) -> None:
    """One key pair may serve all institutions, and a CI job has it in a variable."""
    write('[profiles.granite]\nclient_id = "granite-client"\n')
    result = cli("sign-jwt", "-q", "--profile", "granite", env={KEY_VARIABLE: ec_pem.read_text()})
    assert claims_of(result)["iss"] == GRANITE
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("setting", "variable", "value"),
    [
        ("", "BANNO_CREDS_CLIENT_ID", GRANITE),
        ('scope = ["a", "b"]', "BANNO_CREDS_SCOPE", "a  b"),
        ("timeout = 30", "BANNO_CREDS_TIMEOUT", "30.0"),
        ("", "BANNO_CREDS_PRIVATE_KEY", "KEY"),
        ("", "BANNO_CREDS_TOKEN_ENDPOINT", "URL"),
    ],
)
def test_a_variable_that_says_the_same_is_not_named(
    cli: Cli, granite: str, ec_pem: Path, issuer: Issuer, setting: str, variable: str, value: str
) -> None:
    write(f"[profiles.granite]\n{granite}{setting}\n")
    value = {"KEY": str(ec_pem), "URL": issuer.url}.get(value, value)
    result = cli("token", "--profile", "granite", env={variable: value})
    assert (result.code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        ["token"],
        ["client-assertion", "-q", "-o", "token"],
        ["exec", "ARGS", "--", "printenv", "BANNO_ACCESS_TOKEN"],
        ["sign-jwt", "-q"],
        ["doctor", "--offline", "-o", "json"],
        ["api", "ARGS", "--api-base", "http://127.0.0.1:9", "/a"],
        ["login", "--manual"],
        ["whoami"],
        ["logout"],
        ["lint-assertion", "ARGS", "x"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_names_the_variable_once(cli: Cli, process: Cli, granite: str, command: list[str]) -> None:
    del granite
    words = ["--profile", "granite"]
    args = [each for word in command for each in (words if word == "ARGS" else [word])]
    run = process if command[0] == "exec" else cli
    result = run(*args, *([] if "ARGS" in command else words), env={"BANNO_CREDS_CLIENT_ID": "garden"})
    assert unused(result) == ["BANNO_CREDS_CLIENT_ID"]


def test_the_doctor_says_where_each_value_is_from(cli: Cli, granite: str, rsa_pem: Path) -> None:
    del granite
    env = {"BANNO_CREDS_CLIENT_ID": "garden", KEY_VARIABLE: rsa_pem.read_text(), "BANNO_CREDS_SCOPE": "s"}
    result = cli("doctor", "--offline", "-o", "json", "--profile", "granite", env=env)
    sources = {each["name"]: (each["value"], each["source"]) for each in json.loads(result.stdout)["settings"]}
    assert sources["client-id"][0] == GRANITE
    assert sources["client-id"][1].startswith("the profile granite in ")
    assert sources["private-key"][1].startswith("the profile granite in ")
    assert sources["scope"] == ("s", "BANNO_CREDS_SCOPE")
    assert unused(result) == ["BANNO_CREDS_CLIENT_ID", KEY_VARIABLE]


def test_an_option_comes_before_the_named_profile_without_a_word(cli: Cli, granite: str) -> None:
    del granite
    env = {"BANNO_CREDS_CLIENT_ID": "garden", "BANNO_CREDS_ISSUER": "https://garden.example"}
    options = ["--client-id", "mine", "--token-endpoint", "https://mine.example/t"]
    result = cli("sign-jwt", "-q", "--profile", "granite", *options, env=env)
    claims = claims_of(result)
    assert (claims["iss"], claims["aud"], result.stderr) == ("mine", "https://mine.example/t", "")


def test_an_answer_is_recalled_only_where_no_variable_is_to_be_named(
    process: Cli, granite: str, issuer: Issuer
) -> None:
    del granite
    args = ["token", "--profile", "granite"]
    for env in ({"BANNO_CREDS_CLIENT_ID": "garden"}, {"BANNO_CREDS_CLIENT_ID": GRANITE}, {}):
        for _ in range(3):
            result = process(*args, env=env)
            assert (result.code, result.stdout) == (0, "openid.1\n")
            assert unused(result) == (
                ["BANNO_CREDS_CLIENT_ID"] if env.get("BANNO_CREDS_CLIENT_ID") == "garden" else []
            )
    assert len(issuer.forms) == 1
    garden = process("token", env={"BANNO_CREDS_CLIENT_ID": "garden", "BANNO_CREDS_PROFILE": "granite"})
    assert garden.stdout == "openid.2\n", "another client has another token"


# --- an option that is given twice ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["token", "--profile", "a", "--profile", "b"],
        ["token", "--client-id", "a", "--client-id", "b"],
        ["token", "--private-key", "a", "--private-key=b"],
        ["exec", "--timeout", "1", "--timeout", "2", "--", "true"],
        ["api", "-X", "GET", "--method", "PUT", "/a"],
        ["sign-jwt", "--alg", "PS256", "--alg", "RS256"],
        ["client-assertion", "-o", "token", "--output", "json"],
        ["login", "--redirect-uri", "http://localhost/a", "--redirect-uri", "http://localhost/b"],
        ["logout", "--issuer", "https://a.test", "--issuer", "https://b.test"],
        ["doctor", "--registered", "a", "--registered", "b"],
        ["lint-assertion", "--public-key", "a", "--public-key", "b"],
        ["decode", "--issuer", "https://a.test", "--issuer", "https://b.test"],
        ["keygen", "--private-key", "a", "--private-key", "b"],
        ["profile", "add", "x", "--client-id", "a", "--client-id", "b"],
        ["profile", "set", "x", "--kid", "a", "--kid", "b"],
        ["profile", "list", "--config", "a", "--config", "b"],
        ["cache", "list", "-o", "json", "-o", "text"],
        ["sandbox", "--port", "1", "--port", "2"],
    ],
    ids=" ".join,
)
def test_an_option_with_one_value_is_given_once(cli: Cli, words: list[str]) -> None:
    result = cli(*words)
    assert (result.code, result.stdout) == (2, "")
    assert re.match(r"✗   -\S+ is given more than once\n    Next: leave one of them\n", result.stderr), result.stderr


def test_flags_may_repeat_and_contrary_ones_not(cli: Cli, ask: list[str]) -> None:
    assert cli(*ask, "-q", "-q").code == 0
    result = cli(*ask, "-q", "-v")
    assert (result.code, result.stdout) == (2, "")
    assert "--quiet and --verbose exclude each other" in result.stderr


def test_what_is_meant_to_repeat_does(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    more = ["--scope", "a", "--scope", "b", "--resource", "https://a.example", "--resource", "https://b.example"]
    assert cli(*ask, *more, "--param", "x=1", "--param", "y=2").code == 0
    assert issuer.forms[0]["scope"] == ["a b"]
    assert (len(issuer.forms[0]["resource"]), issuer.forms[0]["x"], issuer.forms[0]["y"]) == (2, ["1"], ["2"])


# --- what cannot be seen --------------------------------------------------------------------------------------------

UNSEEN = {
    "a line end": ("VALUE\n", "it ends with a line end"),
    "a carriage return": ("VALUE\r", "it ends with a carriage return"),
    "Windows' line end": ("VALUE\r\n", "it ends with a line end"),
    "quotes of an env-file": ('"VALUE"', "it has quotation marks around it"),
    "single quotes": ("'VALUE'", "it has quotation marks around it"),
    "typographic quotes": ("“VALUE”", "quotation mark|quotes"),
    "a byte order mark": ("\ufeffVALUE", "begins with .*U.FEFF"),
    "a no-break space": ("VALUE\u00a0", "ends with .*U.00A0"),
    "a zero-width space": ("VALUE\u200b", "ends with .*U.200B"),
    "a blank": (" VALUE", "it begins with a blank"),
}


@pytest.mark.parametrize("sort", UNSEEN)
@pytest.mark.parametrize(
    "variable",
    [
        "BANNO_CREDS_CLIENT_ID",
        "BANNO_CREDS_PRIVATE_KEY",
        "BANNO_CREDS_PASSPHRASE_FILE",
        "BANNO_CREDS_TOKEN_ENDPOINT",
        "BANNO_CREDS_ISSUER",
        "BANNO_CREDS_KID",
    ],
)
def test_what_cannot_be_seen_in_a_variable_is_named(
    cli: Cli, ec_key: Any, tmp_path: Path, variable: str, sort: str
) -> None:
    before, said = UNSEEN[sort]
    if variable == "BANNO_CREDS_KID" and (before.isprintable() or sort == "a blank"):
        return  # a key ID may have any character that can be sent
    values = {
        "BANNO_CREDS_CLIENT_ID": CLIENT_ID,
        "BANNO_CREDS_PRIVATE_KEY": str(write_private(tmp_path / "k.pem", ec_key.pem(b"open sesame"))),
        "BANNO_CREDS_PASSPHRASE_FILE": str(write_private(tmp_path / "pass", b"open sesame\n")),
    }
    value = values.get(variable, "https://bank.test/x")
    env = {**values, variable: before.replace("VALUE", value)}
    result = cli("sign-jwt", "-q", env=env)
    assert (result.code in (2, 3), result.stdout) == (True, "")
    assert re.search(said, " ".join(result.stderr.split())), result.stderr


@pytest.mark.posix("a line end in a name")
def test_a_path_that_has_such_a_character_and_exists_is_read(cli: Cli, tmp_path: Path, ec_key: Any) -> None:
    odd = write_private(tmp_path / "k.pem\n", ec_key.pem())
    assert cli("sign-jwt", "-q", "--client-id", "a", env={"BANNO_CREDS_PRIVATE_KEY": str(odd)}).code == 0


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (["BANNO_CREDS_CLIENT_ID"], "--client-id is missing: BANNO_CREDS_CLIENT_ID is set, but empty"),
        (["BANNO_CREDS_PRIVATE_KEY"], "No private key was given: BANNO_CREDS_PRIVATE_KEY is set, but empty"),
        ([KEY_VARIABLE], f"No private key was given: {KEY_VARIABLE} is set, but empty"),
        (
            ["BANNO_CREDS_PRIVATE_KEY", KEY_VARIABLE],
            f"No private key was given: BANNO_CREDS_PRIVATE_KEY and {KEY_VARIABLE} are set, but empty",
        ),
    ],
)
def test_a_variable_set_to_nothing_is_not_called_missing(
    cli: Cli, ec_pem: Path, variables: list[str], words: str
) -> None:
    usual = {"BANNO_CREDS_CLIENT_ID": "a"}
    if variables == ["BANNO_CREDS_CLIENT_ID"]:
        usual["BANNO_CREDS_PRIVATE_KEY"] = str(ec_pem)
    for command in ("sign-jwt", "token", "client-assertion"):
        result = cli(command, env={**usual, **dict.fromkeys(variables, "")})
        assert result.code == 2
        assert result.stderr.startswith(f"✗   {words}\n"), result.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        *(
            (f"BANNO_CREDS_{name}", odd.replace("VALUE", value), said)
            for name, value in {"KID": "k1", "AUD": "URL", "SCOPE": "openid", "RESOURCE": "https://a.test/"}.items()
            for odd, said in (('"VALUE"', "it has quotation marks around it"), ("'VALUE'", "it has quotation marks"))
        ),
        ("BANNO_CREDS_KID", "k1 ", "it ends with a blank"),
        ("BANNO_CREDS_AUD", "URL ", "it ends with a blank"),
        ("BANNO_CREDS_PARAM", '"a=b"', "it begins with a quotation mark; write it as a=…"),
        ("BANNO_CREDS_CLAIM", "'a=b'", "it begins with a quotation mark; write it as a=…"),
        ("BANNO_CREDS_CLAIM", "a=b\r", "it ends with a carriage return"),
        ("BANNO_CREDS_CLAIM", "a=${TENANT}", "the value of a was not filled in"),
        ("BANNO_CREDS_PARAM", "a={{ tenant }}", "the value of a was not filled in"),
        ("BANNO_CREDS_AUD", "${AUD}", "is a placeholder"),
        ("BANNO_CREDS_RESOURCE", "<your-resource>", "is a placeholder"),
        ("BANNO_CREDS_CACHE_DIR", '"/tmp/cache"', "names no folder"),
        ("BANNO_CREDS_CACHE_DIR", "${RUNNER_TEMP}/cache", "it was not filled in"),
        ("BANNO_CREDS_STATE_DIR", "/tmp/state\r", "it ends with a carriage return"),
        ("BANNO_CREDS_PROFILE", "granite\r", "cannot be a profile's name: it ends with a carriage return"),
        ("BANNO_CREDS_CONFIG", '"/a/config.toml"', "it has quotation marks around it"),
        ("BANNO_CREDS_CA_BUNDLE", "/a/ca.pem\r", "it ends with a carriage return"),
        ("BANNO_CREDS_AS", "PERSON", "Nobody is signed in"),
    ],
)
def test_what_is_around_a_value_or_was_not_filled_in_is_never_sent(
    cli: Cli, ask: list[str], issuer: Issuer, variable: str, value: str, said: str
) -> None:
    result = cli(*ask, env={variable: value.replace("URL", issuer.url)})
    assert (result.code in (2, 6), result.stdout) == (True, "")
    assert said in " ".join(result.stderr.split())
    assert issuer.forms == []


@pytest.mark.parametrize(
    "variable", ["TOKEN_ENDPOINT", "ISSUER", "AUD", "SCOPE", "AS", "PASSPHRASE_FILE", "CA_BUNDLE"]
)
def test_a_variable_set_to_nothing_is_named_where_a_default_counts(cli: Cli, granite: str, variable: str) -> None:
    del granite
    name = f"BANNO_CREDS_{variable}"
    result = cli("token", env={"BANNO_CREDS_PROFILE": "granite", name: ""})
    assert (result.code, result.stderr.splitlines()[0]) == (0, f"!   {name} is set, but empty: as if not set")
    if variable in ("AUD", "SCOPE", "AS"):
        given = {"AUD": "http://127.0.0.1/aud", "SCOPE": "openid", "AS": "application"}[variable]
        typed = cli("token", f"--{variable.lower()}", given, env={"BANNO_CREDS_PROFILE": "granite", name: ""})
        assert (typed.code, typed.stderr) == (0, "")


@pytest.mark.parametrize(
    "secret", ["", '"hunter2"', "${CLIENT_SECRET}", "<your-client-secret>", "your-client-secret"]
)
def test_a_client_secret_that_cannot_be_one_is_not_sent(cli: Cli, issuer: Issuer, secret: str) -> None:
    line = ["login", "--client-id", CLIENT_ID, "--issuer", issuer.url, "--manual"]
    result = cli(*line, env={SECRET_VARIABLE: secret})
    assert (result.code, result.stdout) == (2, "")
    assert ("set, but empty" if secret == "" else "or is a placeholder (not shown)") in " ".join(
        result.stderr.split()
    )
    assert issuer.forms == []


@pytest.mark.parametrize(
    "typed",
    [["--client-id", "--quiet"], ["--kid", "-q"], ["--scope", "-v"], ["--param", "--iat"], ["--profile", "--iat"]],
)
def test_an_option_is_no_other_options_value(cli: Cli, ask: list[str], issuer: Issuer, typed: list[str]) -> None:
    line = ask if typed[0] not in ask else [word for word in ask if word not in (typed[0], CLIENT_ID)]
    result = cli(*line, *typed)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   {typed[0]} has no value: an option follows it\n")
    assert issuer.forms == []


def test_a_variable_that_sends_a_named_profiles_token_elsewhere_is_named(
    cli: Cli, granite: str, issuer: Issuer
) -> None:
    origin = "https://garden.invalid"
    other = {"BANNO_CREDS_API_BASE": origin, "BANNO_CREDS_TIMEOUT": "5"}
    words = f"BANNO_CREDS_API_BASE sends the token of profile granite to {origin}"
    assert words in " ".join(cli("api", "--profile", "granite", "/x", env=other).stderr.split())
    assert "sends the token" not in cli("api", "/x", env={**other, "BANNO_CREDS_PROFILE": "granite"}).stderr
    here = issuer.url.rpartition("/")[0]  # nobody else is on this machine
    local = {"BANNO_CREDS_API_BASE": here}
    assert "sends the token" not in cli("api", "--profile", "granite", "/x", env=local).stderr
    write(f"[profiles.granite]\n{granite}api_base = '{here}'\n")
    assert "sends the token" not in cli("api", "--profile", "granite", "/x", env=other).stderr
