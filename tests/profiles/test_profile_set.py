"""``profile set``: one setting is changed, and everything else stays; and a profile read from Python."""

from __future__ import annotations

import json
import os
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds import ClientConfig, ConfigurationError, KeySource, TokenSource
from banno_creds.config import ENVIRONMENTS
from tests.conftest import CLIENT_ID, Cli, has_mode, write_private
from tests.profiles.files import HAND_WRITTEN, own_file, quoted, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.issuer import Issuer

AGE = "age        AGE"

FULL = """\
# Our bank.
[profiles.a]
client_id = "a"   # from the mail of May
private_key = "k.pem"
kid = "one"
issuer = "https://i.example"

[profiles.a.claims]
n = 1   # a number
m = 2

[profiles.b]
client_id = "b"
"""


SECRET_FILE = os.path.abspath("/s")  # noqa: PTH100 - on Windows with a drive


def settings_of(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads(own_file().read_text())["profiles"][name]
    return settings


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (["--kid", "two"], {"kid": "two"}),
        (["--client-id", "new"], {"client_id": "new"}),
        (["--scope", "x y"], {"scope": ["x", "y"]}),
        (["--lifetime", "100", "--alg", "RS256"], {"lifetime": 100, "alg": "RS256"}),
        (["--claim", "m:=3", "--claim", "o=4"], {"claims": {"n": 1, "m": 3, "o": "4"}}),
        (["--param", "p=q"], {"params": {"p": "q"}}),
        (["--iat"], {"iat": True}),
        (["--as", "person"], {"as": "person"}),
        (["--unset", "kid"], {"kid": None}),
        (["--unset", "--kid", "--unset", "claim"], {"kid": None, "claims": None}),
        (
            ["--token-endpoint", "https://t.example/", "--unset", "issuer"],
            {"token_endpoint": "https://t.example/", "issuer": None},
        ),
        (
            ["--unset", "private-key", "--client-secret-file", SECRET_FILE],
            {"private_key": None, "client_secret_file": SECRET_FILE},
        ),
        (["--unset", "iat"], {}),  # it is not there already
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_setting_is_changed_and_the_rest_stays(cli: Cli, options: list[str], changed: dict[str, Any]) -> None:
    write(FULL)
    before = settings_of("a")
    result = cli("profile", "set", "a", *options)
    assert (result.code, result.stdout.splitlines()[0]) == (0, "profile  a"), result.stderr
    wanted = {key: value for key, value in {**before, **changed}.items() if value is not None}
    assert settings_of("a") == wanted
    text = own_file().read_text()
    assert text.startswith("# Our bank.\n[profiles.a]\n")
    assert text.endswith('\n[profiles.b]\nclient_id = "b"\n')
    assert "# from the mail of May" in text or "client_id" in changed
    assert ("# a number" in text) == (changed.get("claims", {}) is not None)
    assert has_mode(own_file(), 0o600)


def test_a_hand_written_file_keeps_all_else(cli: Cli) -> None:
    write(HAND_WRITTEN)
    assert cli("profile", "set", "test", "--lifetime", "70").code == 0
    assert own_file().read_text() == HAND_WRITTEN.replace("lifetime = 50", "lifetime = 70")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a"], "Nothing was given to be changed"),
        (["nope", "--kid", "1"], "There is no profile nope in FILE"),
        (
            ["a", "--unset", "kdi"],
            "There is no setting 'kdi', profile a was not changed",
        ),
        (["a", "--lifetime", "999"], "--lifetime must be 1 to 300 s, not 999 s"),
        (["a", "--client-id", "<client-id>"], "The client ID '<client-id>' is a placeholder"),
        (["a", "--token-endpoint", "https://t.example/"], "--unset issuer"),
        (["a", "--client-secret-file", "s"], "--unset private_key"),
        (["a", "--private-key", "-"], "--private-key is -"),
        (["b", "--unset", "client_id"], "Profile b would have no setting left, nothing was changed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_changed_changes_nothing(cli: Cli, args: list[str], words: str) -> None:
    file = write(FULL)
    result = cli("profile", "set", *args)
    assert (result.code, result.stdout) == (2, "")
    assert words.replace("FILE", str(file)).casefold() in result.stderr.casefold()
    assert file.read_text() == FULL


def test_a_switch_that_is_a_number_becomes_one(cli: Cli) -> None:
    write("[profiles.a]\n# by hand\niat = 1\n")
    assert cli("profile", "set", "a", "--iat").code == 0
    assert own_file().read_text() == "[profiles.a]\n# by hand\niat = true\n"


def test_a_change_of_nothing_does_not_write_the_file(cli: Cli) -> None:
    write("[profiles.a]\ntimeout = 5\n")
    before = own_file().stat()
    assert cli("profile", "set", "a", "--timeout", "5").code == 0
    assert (own_file().stat().st_ino, own_file().stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_broken_profile_is_mended_one_setting_at_a_time(cli: Cli) -> None:
    file = write('[profiles.a]\nlifetime = 999\nclientid = "x"\npassphrase = "hunter2"\n')
    first = cli("profile", "set", "a", "--unset", "passphrase")
    assert first.code == 0
    assert "!   The profile cannot be used yet: " in first.stderr
    assert cli("profile", "set", "a", "--lifetime", "60").code == 0
    last = cli("profile", "set", "a", "--unset", "clientid", "--client-id", "x")
    assert (last.code, last.stderr) == (0, "")
    assert file.read_text() == '[profiles.a]\nlifetime = 60\nclient_id = "x"\n'


def test_force_names_what_it_drops_and_the_first_advice_is_to_change(cli: Cli) -> None:
    write(FULL)
    refused = cli("profile", "add", "a", "--client-id", "new")
    assert refused.code == 2
    assert "Next: to change a setting of it: banno-creds profile set a" in refused.stderr
    forced = cli("profile", "add", "a", "--client-id", "new", "--kid", "k", "--force")
    assert forced.code == 0
    assert "and are gone: private_key, issuer, claims\n" in forced.stderr
    assert "banno-creds profile set a changes a setting and keeps the others" in forced.stderr
    assert cli("profile", "add", "a", "--client-id", "newer", "--kid", "k", "--force").stderr == ""


def test_the_list_and_the_profile_show_a_fault_and_no_secret(cli: Cli, ec_pem: Path) -> None:
    gone_pem = ec_pem.with_name("gone.pem")
    write(
        f"[profiles.good]\nclient_id = \"g\"\nprivate_key = '{ec_pem}'\n"
        f'[profiles.gone]\nclient_id = "n"\nprivate_key = {quoted(gone_pem)}\n'
        '[profiles.bad]\nclient_id = "b"\npassphrase = "hunter2"\nlifetime = "hunter3"\nkid = "k"\n'
    )
    text, members = cli("profile", "list"), json.loads(cli("profile", "list", "-o", "json").stdout)["profiles"]
    assert text.code == 0
    good, gone, bad = re.sub("age  .*", AGE, text.stdout).split("\n\n")
    endpoint = ENVIRONMENTS["production"]
    assert good == f"good\n    client ID  g\n    key        {ec_pem}\n    {AGE}\n    endpoint   {endpoint}"
    assert f"    fault      there is no file for private_key: {gone_pem}" in gone
    assert "    client ID  n\n" in gone
    assert bad.startswith("bad\n    fault      passphrase is a secret")
    assert [bool(each["fault"]) for each in members] == [False, True, True]
    shown = cli("profile", "show", "bad")
    assert (shown.code, shown.stdout) == (0, '[profiles.bad]\nclient_id = "b"\nkid = "k"\n')
    assert "passphrase is a secret" in shown.stderr
    assert json.loads(cli("profile", "show", "bad", "-o", "json").stdout)["fault"].startswith(
        "passphrase is a secret"
    )
    assert "hunter" not in text.stdout + text.stderr + shown.stdout + shown.stderr


def test_the_cache_forgets_one_profile(cli: Cli, folder: Path, issuer: Issuer, ec_pem: Path) -> None:
    del folder
    same = f"private_key = '{ec_pem}'\ntoken_endpoint = \"{issuer.url}\"\n"
    write(f'[profiles.a]\nclient_id = "a"\n{same}[profiles.b]\nclient_id = "b"\n{same}[profiles.c]\nkid = "c"\n')
    for name in ("a", "b"):
        assert cli("token", "--profile", name).code == cli("token", "--profile", name, "--scope", "more").code == 0
    cleared = cli("cache", "clear", "--profile", "a")
    assert (cleared.code, cleared.stderr) == (0, "Removed 2 entries from the cache.\n")
    left = json.loads(cli("cache", "list", "-o", "json").stdout)
    assert {entry["client_id"] for entry in left} == {"b"}
    assert cli("token", "--profile", "a").stdout == "openid.5\n"
    assert cli("token", "--profile", "b").stdout == "openid.3\n"
    assert cli("cache", "clear", "--profile", "c").code == 2
    assert cli("cache", "clear", "--profile", "nope").code == 2


# --- from Python ----------------------------------------------------------------------------------------------------


def test_a_program_reads_a_profile(
    tmp_path: Path, ec_key: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANNO_CREDS_CLIENT_ID", "from-a-variable")
    write_private(tmp_path / "k.pem", ec_key.pem(b"open sesame"))
    write_private(tmp_path / "pass", b"open sesame\r\n")
    file = write(
        f'[profiles.a]\nclient_id = "{CLIENT_ID}"\nprivate_key = "k.pem"\npassphrase_file = "pass"\n'
        'alg = "ES256"\n'
        f'scope = "x y"\nresource = ["urn:r"]\ntoken_endpoint = "{issuer.url}"\ntimeout = 7\n'
        "lifetime = 90\niat = true\n"
        'kid = "thumbprint"\nmin_ttl = 5\napi_base = "https://banno.com"\n'
        "[profiles.a.claims]\nn = 1\n[profiles.a.params]\np = 'q'\n",
        tmp_path / "config.toml",
    )
    config = ClientConfig.from_profile("a", file)
    assert config.passphrase() == b"open sesame"
    assert (config.client_id, config.token_endpoint, config.issuer) == (CLIENT_ID, issuer.url, None)
    assert config.private_key == KeySource.file(tmp_path / "k.pem")
    assert (config.scope, config.resource, config.params) == (("x", "y"), ("urn:r",), (("p", "q"),))
    assert (config.alg, config.kid, config.lifetime, config.iat) == ("ES256", "thumbprint", 90, True)
    assert (config.claims, config.timeout) == ({"n": 1}, 7)
    assert TokenSource(config, on_disk=False).token().access_token == "xy.1"


@pytest.mark.parametrize(
    ("line", "endpoint"),
    [
        ("", (ENVIRONMENTS["production"], None)),
        ('environment = "legacy"', (ENVIRONMENTS["legacy"], None)),
        ('issuer = "https://i.test"', (None, "https://i.test")),
    ],
)
def test_a_program_gets_the_endpoint_of_the_profile(line: str, endpoint: tuple[str | None, str | None]) -> None:
    write(f'[profiles.a]\nclient_id = "a"\nprivate_key = "k"\n{line}\n')
    config = ClientConfig.from_profile("a")
    assert (config.token_endpoint, config.issuer) == endpoint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no profile a"),
        ("[profiles.b]\n", "there is no profile a"),
        ('[profiles.a]\nprivate_key = "k"\n', "profile a has no client_id"),
        ('[profiles.a]\nclient_id = "a"\nclient_secret_file = "s"\n', "profile a has no private_key"),
        ('[profiles.a]\nclient_id = "a"\nprivate_key = "k"\nlifetime = 999\n', "lifetime must be"),
        ('[profiles.a]\nclient_id = "a"\nprivate_key = "k"\nas = "person"\n', "person's token"),
        ('[profiles.a]\nclient_id = "YOUR_CLIENT_ID"\nprivate_key = "k"\n', "placeholder"),
    ],
)
def test_a_program_is_told_what_the_profile_lacks(text: str, words: str) -> None:
    if text:
        write(text)
    with pytest.raises(ConfigurationError, match=words) as raised:
        ClientConfig.from_profile("a")
    assert "--" not in raised.value.message
