"""Many profiles at once: read together, chosen by tags, and quick however many there are."""

from __future__ import annotations

import json
import re
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.cli import cache
from banno_creds.config import ClientConfig
from banno_creds.errors import ConfigurationError
from banno_creds.many.record import Record
from banno_creds.profiles import client
from banno_creds.profiles import lookup as profiles
from banno_creds.storage import own_files
from tests.profiles.files import own_file, quoted, write

if TYPE_CHECKING:
    from banno_creds.tokens.cache_entry import Entry
    from tests.conftest import Cli, How
    from tests.servers.issuer import Issuer

MIXED = """\
default = "b"
[profiles.a]
client_id = "1"
private_key = "keys/a.pem"
tags = ["core", "night"]
[profiles.b]
client_id = "2"
private_key = "/keys/b.pem"
tags = "core"
[profiles.odd]
kdi = "x"
tags = ["core"]
[profiles.person]
client_id = "3"
client_secret_file = "secret"
[profiles.a.claims]
n = 1
"""


def messages(found: dict[str, Any]) -> dict[str, str | None]:
    return {name: each.message if isinstance(each, ConfigurationError) else None for name, each in found.items()}


def test_many_profiles_are_those_that_are_looked_up_one_by_one() -> None:
    file = write(MIXED)
    found = profiles.find_profiles()
    assert messages(found) == {"a": None, "b": None, "odd": "there is no setting 'kdi'", "person": None}
    for name in ("a", "b", "person"):
        assert found[name] == profiles.find_profile(name)
    odd = found["odd"]
    assert isinstance(odd, ConfigurationError)
    assert odd.details == (f"in profile odd of {file}, line 11",)


def test_many_profiles_are_given_in_the_order_of_their_names_and_an_unknown_one_is_its_own_error() -> None:
    write(MIXED)
    found = profiles.find_profiles(["b", "aa", "-", "a"])
    assert list(found) == ["b", "aa", "-", "a"]
    assert messages(found) == {
        "b": None,
        "aa": f"there is no profile aa in {own_file()}",
        "-": "'-' cannot be a profile's name",
        "a": None,
    }


@pytest.mark.parametrize(
    ("tags", "names"),
    [([], ["a", "b", "odd", "person"]), (["core"], ["a", "b", "odd"]), (["night", "core"], ["a"]), (["cor"], [])],
)
def test_profiles_are_chosen_by_all_of_their_tags(tags: list[str], names: list[str]) -> None:
    write(MIXED)
    assert list(profiles.find_profiles(tags=tags)) == names


def test_a_syntax_error_in_one_profile_is_the_error_of_that_one() -> None:
    file = write('default = "a"\n[profiles.a]\nkid = "1"\n\n[profiles.b]\nkid = \n[profiles.c]\n[profiles.c]\n')
    found = profiles.find_profiles()
    assert messages(found) == {
        "a": None,
        "b": f"{file} is not valid TOML: Invalid value (at line 6, column 7)",
        "c": f"{file} is not valid TOML: Cannot declare ('profiles', 'c') twice (at line 8, column 12)",
    }
    # Where the break is between profiles, nobody can say whose it is.
    write('[profiles.a]\nkid = """\n[profiles.b]\n')
    with pytest.raises(ConfigurationError, match="is not valid TOML"):
        profiles.find_profiles()
    write("kid = 1\n[profiles.a]\nkid = \n")
    with pytest.raises(ConfigurationError, match="'kid' means nothing there"):
        profiles.find_profiles()


def test_profiles_of_two_notations_are_not_read_apart_where_one_is_broken() -> None:
    write('profiles.a.client_id = "1"\n[profiles.b]\nkid = \n')
    with pytest.raises(ConfigurationError, match="line 3"):
        profiles.find_profiles()


@pytest.mark.parametrize("before", ["", "[profiles.x]\n", "[profiles.other]\n"])
def test_a_key_of_many_parts_is_refused_wherever_it_stands(before: str) -> None:
    """The parser's time for it is that of its parts' square."""
    write(f"{before}{'.'.join(['a'] * 60)} = 1\n[profiles.{'y' if 'x' in before else 'x'}]\n")
    with pytest.raises(ConfigurationError, match="a key of more than 50 parts"):
        profiles.list_profiles() if "other" in before else profiles.find_profile("x")


def test_many_clients_are_those_of_their_profiles() -> None:
    write(MIXED)
    found = client.read_clients()
    assert messages(found) == {
        "a": None,
        "b": None,
        "odd": "there is no setting 'kdi'",
        "person": "profile person has no private_key",
    }
    assert found["a"] == ClientConfig.from_profile("a")
    assert list(client.read_clients(["b"], tags=["night"])) == []


def test_without_a_file_there_are_no_profiles() -> None:
    with pytest.raises(ConfigurationError, match="there is no profile: there is no file"):
        profiles.find_profiles()


def test_a_thousand_faults_have_their_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    write("".join(f"[profiles.p{number}]\nx = 1\n" for number in range(1000)))
    parsed: list[int] = []
    loads = tomllib.loads

    def counting(text: str) -> dict[str, Any]:
        parsed.append(len(text))
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counting)
    found = profiles.find_profiles()
    assert len(parsed) == 1
    places = [each.details[0] for each in found.values() if isinstance(each, ConfigurationError)]
    assert [int(place.rpartition(" ")[2]) for place in places] == [*range(2, 2002, 2)]


# --- tags ---------------------------------------------------------------------------------------------------------


def settings_of(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads(own_file().read_text("utf-8"))["profiles"][name]
    return settings


def test_tags_are_added_and_taken_away(cli: Cli) -> None:
    assert cli("profile", "add", "a", "--kid", "k", "--tag", "core", "--tag", "core").code == 0
    assert settings_of("a") == {"kid": "k", "tags": ["core"]}
    assert cli("profile", "set", "a", "--tag", "core").code == 0
    assert settings_of("a") == {"kid": "k", "tags": ["core"]}
    result = cli("profile", "set", "a", "--tag", "night", "--tag", "zürich", "--untag", "core")
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout == f"profile  a\nchanged  tags\nfile     {own_file()}\n"
    assert settings_of("a") == {"kid": "k", "tags": ["night", "zürich"]}
    assert cli("profile", "set", "a", "--untag", "night", "--untag", "zürich").code == 0
    assert settings_of("a") == {"kid": "k"}


def test_a_tag_that_nobody_had_is_named(cli: Cli) -> None:
    write('[profiles.a]\nkid = "k"\n\n[profiles.b]\nkid = "k"\ntags = ["core"]\n')
    before = own_file().read_bytes()
    one = cli("profile", "set", "a", "--untag", "core")
    assert (one.code, one.stdout) == (0, f"profile  a\nfile     {own_file()}\n")
    assert one.stderr == (
        "!   profile a did not have the tag core\n    see the tags of all: banno-creds profile list\n"
    )
    both = cli("profile", "set", "a", "b", "--untag", "none", "--untag", "x\x1b")
    assert "none of the profiles had the tags none, x\n" in both.stderr
    assert own_file().read_bytes() == before
    some = cli("profile", "set", "a", "b", "--untag", "core", "--untag", "none")
    assert some.stdout == f"profile  a\nprofile  b\nchanged  tags\nfile     {own_file()}\n"
    assert "none of the profiles had the tag none\n" in some.stderr


def test_several_profiles_are_changed_together_or_not_at_all(cli: Cli) -> None:
    text = '[profiles.a]\nkid = "k"\n[profiles.b]\nenvironment = "legacy"\n[profiles.c]\nodd = 1\n'
    write(text)
    result = cli("profile", "set", "a", "c", "a", "--tag", "x", "--timeout", "5")
    assert (result.code, result.stdout) == (
        0,
        f"profile  a\nprofile  c\nchanged  timeout, tags\nfile     {own_file()}\n",
    )
    assert result.stderr.startswith("!   profile c cannot be used yet: there is no setting 'odd'\n")
    assert settings_of("a") == {"kid": "k", "timeout": 5, "tags": ["x"]}
    assert settings_of("c") == {"odd": 1, "timeout": 5, "tags": ["x"]}
    before = own_file().read_bytes()
    for names, words in ((["a", "d"], "There is no profile d"), (["a", "b"], "exclude each other")):
        failed = cli("profile", "set", *names, "--issuer", "https://i.garden.bank")
        assert (failed.code, failed.stdout) == (2, "")
        assert words in failed.stderr
        assert own_file().read_bytes() == before


def test_several_profiles_are_removed_together_or_not_at_all(cli: Cli) -> None:
    text = 'default = "b"\n\n# Of a.\n[profiles.a]\n\n# Of b.\n[profiles.b]\n\n# Of c.\n[profiles.c]\nkid = "k"\n'
    write(text)
    failed = cli("profile", "remove", "a", "d")
    assert (failed.code, failed.stdout) == (2, "")
    assert "There is no profile d" in failed.stderr
    assert own_file().read_text() == text
    result = cli("profile", "remove", "b", "a", "b")
    assert (result.code, result.stdout) == (0, f"removed  b\nremoved  a\nfile     {own_file()}\n")
    assert result.stderr == "b was the default; there is none now.\n"
    assert own_file().read_text() == '# Of c.\n[profiles.c]\nkid = "k"\n'


@pytest.mark.parametrize("tag", ["", "a b", "a,b", "-x", " a", "a\n", "\u200b"])
def test_what_is_no_tag_is_refused(cli: Cli, tag: str) -> None:
    write("[profiles.a]\n")
    result = cli("profile", "set", "a", f"--tag={tag}")
    assert (result.code, result.stdout) == (2, "")
    assert own_file().read_text() == "[profiles.a]\n"


def test_a_tag_in_the_file_may_be_one_text(cli: Cli, tmp_path: Path) -> None:
    write('[profiles.a]\ntags = "core"\n', tmp_path / "c.toml")
    assert cli("profile", "set", "a", "--config", str(tmp_path / "c.toml"), "--tag", "night").code == 0
    assert (tmp_path / "c.toml").read_text() == '[profiles.a]\ntags = ["core", "night"]\n'
    result = cli("profile", "show", "a", "--config", str(tmp_path / "c.toml"))
    assert result.stdout == '[profiles.a]\ntags = ["core", "night"]\n'


def test_a_tag_that_is_one_text_is_taken_away(cli: Cli, tmp_path: Path) -> None:
    write('[profiles.a]\nkid = "k"\ntags = "core"\n', tmp_path / "c.toml")
    config = ("--config", str(tmp_path / "c.toml"))
    assert cli("profile", "set", "a", *config, "--untag", "co").code == 0
    assert json.loads(cli("profile", "show", "a", *config, "-o", "json").stdout)["settings"]["tags"] == ["core"]
    assert cli("profile", "set", "a", *config, "--untag", "core").code == 0
    assert (tmp_path / "c.toml").read_text() == '[profiles.a]\nkid = "k"\n'


def test_the_list_is_of_the_profiles_with_all_of_the_tags(cli: Cli) -> None:
    write(MIXED)
    listed = json.loads(cli("profile", "list", "--tag", "core", "-o", "json").stdout)["profiles"]
    assert [(each["name"], each["tags"]) for each in listed] == [
        ("a", ["core", "night"]),
        ("b", ["core"]),
        ("odd", []),
    ]
    result = cli("profile", "list", "--tag", "core", "--tag", "night")
    assert (result.code, result.stderr) == (0, "")
    assert [line for line in result.stdout.splitlines() if not line.startswith(" ")] == ["a"]
    assert "    tags       core night\n" in result.stdout
    none = cli("profile", "list", "--tag", "x", "--tag", "core")
    assert (none.code, none.stdout, none.stderr) == (0, "", "No profile has all of the tags x, core.\n")
    assert cli("profile", "list", "--tag", "x").stderr == "No profile has the tag x.\n"


def test_the_long_list_says_until_when_a_token_is_in_the_cache(cli: Cli, issuer: Issuer, ec_pem: Path) -> None:
    client = f'private_key = {quoted(ec_pem)}\ntoken_endpoint = "{issuer.url}"\n'
    write(f'[profiles.a]\nclient_id = "1"\n{client}[profiles.b]\nclient_id = "2"\n{client}')
    began = int(time.time())
    assert cli("token", "--profile", "a").code == 0
    listed = {
        each["name"]: each for each in json.loads(cli("profile", "list", "-l", "-o", "json").stdout)["profiles"]
    }
    assert began + 590 <= listed["a"]["token_until"] <= time.time() + 600
    assert listed["b"]["token_until"] is None
    text = cli("profile", "list", "--long").stdout
    assert re.search(r"\na\n(?:    .*\n)*    token      good for .*, until \d{4}-.* UTC\n", f"\n{text}")
    assert re.search(r"\nb\n(?:    .*\n)*    token      none in the cache\n", text)
    assert "openid.1" not in text
    assert "token_until" not in cli("profile", "list", "-o", "json").stdout


def test_the_long_list_tells_of_the_token_that_is_good_for_longest(
    cli: Cli, issuer: Issuer, ec_pem: Path, how: How, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_entries = cache.kept_entries

    def longest_first(*args: Any) -> dict[str, Entry]:
        found = kept_entries(*args).items()
        return dict(sorted(found, key=lambda each: -(each[1].left(time.time()) or 0)))

    monkeypatch.setattr(cache, "kept_entries", longest_first)
    client = f'private_key = {quoted(ec_pem)}\ntoken_endpoint = "{issuer.url}"\nclient_id = "1"\n'
    write(f"[profiles.a]\n{client}")
    began = time.time()
    for earlier, scope in ((300, "accounts"), (0, "openid")):
        how.clock = lambda earlier=earlier: time.time() - earlier  # type: ignore[misc]
        assert cli("token", "--profile", "a", "--scope", scope).code == 0
    how.clock = time.time
    [listed] = json.loads(cli("profile", "list", "-l", "-o", "json").stdout)["profiles"]
    assert listed["token_until"] >= began + 590
    how.clock = lambda: time.time() + 700  # the files of tokens that have ended may still be there
    [listed] = json.loads(cli("profile", "list", "-l", "-o", "json").stdout)["profiles"]
    assert listed["token_until"] is None


def test_the_long_list_needs_no_cache(cli: Cli) -> None:
    write("[profiles.a]\n")
    assert "    token      none in the cache\n    check      never\n" in cli("profile", "list", "-l").stdout
    assert json.loads(cli("profile", "list", "-l", "-o", "json").stdout)["profiles"][0]["last_check"] is None


def test_the_long_list_goes_on_without_a_record_that_cannot_be_read(cli: Cli, folder: Path) -> None:
    file = write("[profiles.a]\n")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    Path(Record(str(folder), str(file)).path).mkdir()
    result = cli("profile", "list", "-l")
    assert "    check      never\n" in result.stdout
    assert "he record of the last checks cannot be read" in result.stderr


def test_the_long_list_says_how_a_profile_was_found_by_the_last_check(cli: Cli, how: How) -> None:
    file = write("[profiles.a]\n[profiles.b]\n[profiles.c]\n")
    folder = own_files.cache_folder()
    assert folder is not None
    record = Record(folder, str(file))
    now = time.time() - 3 * 3600
    how.clock = lambda: now + 3 * 3600
    record.begin(now, ["a", "b"])
    refused = {
        "ok": False,
        "exit_code": 4,
        "error": "invalid_client",
        "rule": "client.unknown",
        "message": "no \x1b[1m",
    }
    record.add("a", {"profile": "a", "ok": True, "exit_code": 0}, now)
    record.add("b", {"profile": "b", **refused}, now)
    listed = json.loads(cli("profile", "list", "-l", "-o", "json").stdout)["profiles"]
    assert [each["last_check"] for each in listed] == [
        {"at": int(now), "ok": True, "exit_code": 0, "error": None, "rule": None, "message": None},
        {"at": int(now), **refused},
        None,
    ]
    text = cli("profile", "list", "-l").stdout
    assert re.findall(r"    check      (.*)\n", text) == ["ok, 3 h ago", "client.unknown, 3 h ago: no [1m", "never"]
