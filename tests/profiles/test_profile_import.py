"""``profile import`` and ``profile export``: many profiles at once, whole or not at all."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random, randrange
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.errors import ConfigurationError
from banno_creds.profiles import lookup as profiles
from banno_creds.profiles.settings import SETTINGS
from banno_creds.profiles.tables import FORMS, format_profiles, import_profiles, parse_profiles
from tests.conftest import write_private
from tests.profiles.files import HAND_WRITTEN, own_file, quoted, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli

SHEET = """\
profile;Client ID;private-key;tags;lifetime;IAT;claims;scope

bank-1;abc;keys/1.pem;core,night;60;TRUE;"{""purpose"": ""a; b"", ""n"": 1}";openid  full
bank-2; def ;~/2.pem;;;;;
;;;;;;;
"""
ALL: dict[str, Any] = {
    "client_id": "abc",
    "private_key": str(Path("/keys/a.pem").absolute()),
    "passphrase_file": "~/p",
    "client_auth": "private_key_jwt",
    "client_id_in_body": True,
    "key_max_age": "400d",
    "registration": "jwks-uri",
    "jwks_file": str(Path("/keys/jwks.json").absolute()),
    "jwks_uri": "https://keys.garden.bank/jwks.json",
    "rotation_wait": "1d",
    "rotation_keep": "7d",
    "alg": "ES256",
    "kid": "true",
    "aud": "urn:x",
    "lifetime": 50,
    "iat": False,
    "claims": {"purpose": "reports, all", "deep": {"x": [1, "2", True]}, "line": "a\nb"},
    "issuer": "https://login.garden.bank",
    "timeout": 2.5,
    "ca_bundle": "~/ca.pem",
    "cache_url": "rediss://cache.garden.internal",
    "cache_secret_file": "~/cache-secret",
    "cache_password_file": "~/cache-password",
    "scope": ["openid", "full"],
    "resource": ["https://r.garden.bank/"],
    "params": {"a": '1 "2"', "ß": ""},
    "min_ttl": 9,
    "as": "application",
    "redirect_uri": "https://localhost:8080/auth/cb",
    "prompt": ["login"],
    "api_base": "https://api.garden.bank",
    "tags": ["core", "zürich"],
}


def written() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(own_file().read_text("utf-8")).get("profiles", {})
    return found


def test_a_spreadsheet_makes_profiles(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(HAND_WRITTEN)
    (tmp_path / "banks.csv").write_text(SHEET, "utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = cli("profile", "import", "../banks.csv")
    assert (result.code, result.stdout) == (0, f"new      2\nchanged  0\nsame     0\nfile     {own_file()}\n")
    assert result.stderr == "!   There is no file for private_key yet in bank-1, bank-2\n"
    assert own_file().read_text("utf-8").startswith(HAND_WRITTEN)
    assert written()["bank-1"] == {
        "client_id": "abc",
        "private_key": str(tmp_path / "keys" / "1.pem"),
        "tags": ["core", "night"],
        "lifetime": 60,
        "iat": True,
        "claims": {"purpose": "a; b", "n": 1},
        "scope": ["openid", "full"],
    }
    assert written()["bank-2"] == {"client_id": "def", "private_key": "~/2.pem"}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_exported_is_imported_again(cli: Cli, tmp_path: Path, form: str) -> None:
    rows = {
        "bank.1": ALL,
        "b": {"client_id": "b", "client_secret_file": str(tmp_path / "s"), "environment": "legacy"},
    }
    assert {key for settings in rows.values() for key in settings} | {"token_endpoint"} == set(SETTINGS)
    text = format_profiles(rows, form)
    assert {name: row.settings for name, row in parse_profiles(text.encode(), "it").items()} == rows
    (tmp_path / "it").write_text(text, "utf-8")
    assert cli("profile", "import", tmp_path / "it").code == 0
    before = own_file().read_bytes()
    assert written() == rows
    exported = cli("profile", "export", "-o", form)
    assert (exported.code, exported.stderr) == (0, "")
    again = cli("profile", "import", "-", "-o", "json", stdin=exported.stdout.encode())
    facts = {"file": str(own_file()), "dry_run": False, "new": [], "changed": {}, "same": ["bank.1", "b"]}
    assert (again.code, json.loads(again.stdout)) == (0, facts)
    assert own_file().read_bytes() == before


def test_what_is_given_replaces_a_setting_and_the_rest_stays(cli: Cli) -> None:
    own = 'client_id = "1" # of May\nprivate_key = "k.pem"\nkid = "x"\ntags = "t"\n'
    file = write(f"# Ours.\n[profiles.a]\n{own}[profiles.b]\n")
    sheet = {"a": {"client_id": "2", "private_key": str(file.parent / "k.pem"), "tags": ["t"]}}
    given = json.dumps({"profiles": sheet}).encode()
    dry = cli("profile", "import", "-", "--dry-run", stdin=given)
    counts = f"new      0\nchanged  1\nsame     0\nfile     {file}\n"
    assert (dry.code, dry.stdout) == (0, f'  [profiles.a]\n- client_id = "1"\n+ client_id = "2"\n{counts}')
    assert dry.stderr == "Nothing was written: this is what would change.\n"
    before = file.read_text()
    assert '"1"' in before
    result = cli("profile", "import", "-", "-o", "json", stdin=given)
    assert json.loads(result.stdout)["changed"] == {"a": {"client_id": ["1", "2"]}}
    assert file.read_text() == before.replace('"1"', '"2"')
    replaced = cli("profile", "import", "-", "--replace", "-o", "json", stdin=given)
    assert json.loads(replaced.stdout)["changed"] == {"a": {"kid": ["x", None]}}
    assert file.read_text() == before.replace('"1"', '"2"').replace('kid = "x"\n', "")


def test_a_switch_that_was_a_number_and_a_key_that_was_none_are_mended(cli: Cli) -> None:
    write("[profiles.a]\niat = 1\n[profiles.b]\nprivate_key = 5\n")
    given = b'{"profiles": {"a": {"iat": true}, "b": {"private_key": "/b.pem"}}}'
    assert cli("profile", "import", "-", stdin=given).code == 0
    assert own_file().read_text() == '[profiles.a]\niat = true\n[profiles.b]\nprivate_key = "/b.pem"\n'


def test_a_path_is_written_without_detours(cli: Cli, tmp_path: Path) -> None:
    sheet = tmp_path / "of-us" / "banks.csv"
    sheet.parent.mkdir()
    sheet.write_text("profile,private_key\na,../keys/a.pem\n", "utf-8")
    assert cli("profile", "import", str(sheet)).code == 0
    assert written() == {"a": {"private_key": str(tmp_path / "keys" / "a.pem")}}


def test_a_dry_run_makes_no_file(cli: Cli) -> None:
    result = cli("profile", "import", "-", "--dry-run", stdin=b"profile,client_id\na,1\n")
    assert (result.code, result.stdout.splitlines()[:2]) == (0, ["  [profiles.a]", '+ client_id = "1"'])
    assert not own_file().parent.exists()


def test_one_fault_and_nothing_is_changed_and_ten_are_named(cli: Cli) -> None:
    write(HAND_WRITTEN)
    lines = "".join(f"p{number},environment{number}\n" for number in range(12))
    result = cli("profile", "import", "-", stdin=f"profile,environment\nok,legacy\n{lines}".encode())
    assert (result.code, result.stdout) == (2, "")
    said = result.stderr.splitlines()
    assert said[0] == "✗   12 of 13 profiles cannot be imported, nothing was changed"
    words = "environment cannot be 'environment0': it is one of production, legacy"
    assert said[1] == f"    standard input, line 3: {words}"
    assert (said[11], len(said)) == ("    and 2 more", 13)
    assert own_file().read_text() == HAND_WRITTEN


def test_a_setting_that_contradicts_one_that_stays_is_refused(cli: Cli) -> None:
    write('[profiles.a]\nissuer = "https://i.garden.bank"\n')
    sheet = b"profile,environment\na,legacy\n"
    result = cli("profile", "import", "-", stdin=sheet)
    assert (result.code, result.stdout) == (2, "")
    assert "issuer and environment exclude each other" in result.stderr
    assert cli("profile", "import", "-", "--replace", stdin=sheet).code == 0
    assert written() == {"a": {"environment": "legacy"}}


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("", "there is no profile in it", ()),
        ("\n\n", "there is no profile in it", ()),
        ("[]", "there is no profile in it", ()),
        ("profile,client_id\n", "there is no profile in it", ()),
        ("client_id\nx\n", "there is no column profile", ("in it, line 1",)),
        ("profile,kdi\na,b\n", "there is no setting 'kdi'", ("in it, line 1",)),
        ("profile,kid,Kid\na,b,c\n", "there are two columns 'kid'", ("in it, line 1",)),
        ("profile,kid\na,b\na,c\n", "there are two profiles a", ("in it, line 3",)),
        ("profile,kid\n,b\n", "a line has no profile's name", ("in it, line 2",)),
        ("profile,kid\nä b,b\n", "'ä b' cannot be a profile's name", ("in it, line 2",)),
        ("profile,kid\na,b,c\n", "a line has more columns than the first one", ("in it, line 2",)),
        ('profile,kid\na,"b\n', "a line is not CSV: unexpected end of data", ("in it, line 2",)),
        (f"profile,kid\na,{'b' * 200_000}\n", "a line is not CSV: field larger than field limit", ("in it, line 2",)),
        ("profile,claims\na,{\n", "claims cannot be read: it is not JSON", ("in it, line 2",)),
        ("profile,client_secret\na,hunter2\n", "client_secret is a secret, and has no place", ("in it, line 1",)),
        ('{"profiles": {"a": 1}}', "a profile is no object", ("in it, profile a",)),
        ('[{"kid": "x"}]', "a profile has no name", ("in it, profile number 1",)),
        ('[{"profile": "a"}, {"profile": "a"}]', "there are two profiles a", ("in it, profile number 2",)),
        ('{"profiles": {"a": {}, "a": {}}}', "it cannot be read: it has the member 'a' more than once", ()),
        ('{"profiles": 3}', "it has no profiles in it", ()),
        ('{"a": {}}', "it has no profiles in it", ()),
        ("{", "it cannot be read: it is not JSON", ()),
        ("[profiles.a]\nkid = \n", "it is not valid TOML: Invalid value (at line 2, column 7)", ()),
        ("[profile.a]\n", "'profile' means nothing there", ("in it, line 1",)),
        ("\xe9", "", ()),
    ],
)
def test_a_text_that_holds_no_profiles_says_where(text: str, words: str, place: tuple[str, ...]) -> None:
    content = text.encode("utf-8" if words else "latin-1")
    with pytest.raises(ConfigurationError) as caught:
        parse_profiles(content, "it")
    assert caught.value.marked.message.startswith(words or "it is not UTF-8 text")
    assert tuple(caught.value.marked.details) == place


def test_cells_have_the_types_of_their_settings() -> None:
    text = (
        "Profile;Client ID;client-id-in-body;lifetime;timeout;scope;tags;claims;kid;\n"
        'a;1;FALSE;60;2.5;x y;p,q p;"{""n"": 1}";;\n'
        ";;;;;;;;;;\n"
        'b;b;true;1_000;nan;"[""x"", ""y z""]";"[""p""]";{};k;;;\n'
    )
    found = {name: row.settings for name, row in parse_profiles(text.encode(), "it").items()}
    assert found == {
        "a": {
            "client_id": "1",
            "client_id_in_body": False,
            "lifetime": 60,
            "timeout": 2.5,
            "scope": ["x", "y"],
            "tags": ["p", "q"],
            "claims": {"n": 1},
        },
        "b": {
            "client_id": "b",
            "client_id_in_body": True,
            "lifetime": "1_000",
            "timeout": "nan",
            "scope": ["x", "y z"],
            "tags": ["p"],
            "claims": {},
            "kid": "k",
        },
    }
    assert type(found["a"]["lifetime"]) is int


@pytest.mark.parametrize("scope", [["x", "y"], ["x y"], ["[x]"], [""], [], "x y", ["[x]", "y"]], ids=str)
def test_a_list_comes_back_from_a_cell(scope: list[str] | str) -> None:
    text = format_profiles({"a": {"client_id": "c", "scope": scope}}, "csv")
    back = parse_profiles(text.encode(), "it")["a"].settings.get("scope")
    assert back == (scope.split() if isinstance(scope, str) else scope)


def test_what_is_too_large_is_not_read() -> None:
    with pytest.raises(ConfigurationError, match="larger than 16 MiB"):
        parse_profiles(b"profile\n" + b"a" * 17_000_000, "it")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_excel_and_powershell_write_is_read(encoding: str, end: str) -> None:
    text = f"profile\tclient_id{end}a\tü{end}"
    assert parse_profiles(text.encode(encoding), "it")["a"].settings == {"client_id": "ü"}
    toml = f'[profiles.a]{end}client_id = "ü"{end}'
    assert parse_profiles(toml.encode(encoding), "it")["a"].settings == {"client_id": "ü"}


@pytest.mark.parametrize("form", ["PEM", "CSV", "column", "name", "JSON", "JWK", "TOML"])
def test_a_private_key_is_never_shown_and_never_written(
    cli: Cli, tmp_path: Path, rsa_key: PrivateKey, form: str
) -> None:
    pem = rsa_key.pem().decode()
    jwk = {"kty": "RSA", "d": "x" * 43, "n": "y" * 43}
    text = {
        "PEM": pem,
        "CSV": f'profile,kid\na,"{pem}"\n',
        "column": f'profile,"{pem}"\na,b\n',
        "name": f'profile,kid\n"{pem}",b\n',
        "JSON": json.dumps({"profiles": {"a": {"private_key": pem}}}),
        "JWK": json.dumps({"profiles": {"a": {"claims": jwk}}}),
        "TOML": f"[profiles.a]\nprivate_key_pem = '''{pem}'''\n",
    }[form]
    file = write_private(tmp_path / "it", text.encode())
    for given in (("-",), (file,), ("--dry-run", file), ("-o", "json", file)):
        result = cli("profile", "import", *given, stdin=text.encode())
        assert (result.code, result.stdout) == (2, "")
        assert pem[40:60] not in result.stderr
        assert "xxxx" not in result.stderr
    assert not own_file().exists() or "PRIVATE" not in own_file().read_text()


def test_a_secret_in_a_profile_is_not_exported(cli: Cli) -> None:
    write('[profiles.ok]\nkid = "k"\n[profiles.a]\nclient_secret = "hunter2"\n')
    for form in FORMS:
        result = cli("profile", "export", "-o", form)
        assert (result.code, result.stdout) == (2, "")
        assert "client_secret is a secret" in result.stderr
        assert "hunter2" not in result.stderr
    assert cli("profile", "export", "ok").stdout == '[profiles.ok]\nkid = "k"\n'


def test_profiles_are_exported_by_name_and_by_tag(cli: Cli) -> None:
    write('[profiles.a]\ntags = ["x", "y"]\n[profiles.b]\ntags = "x"\n[profiles.c]\n')
    assert cli("profile", "export", "--tag", "x", "-o", "csv").stdout == "profile,tags\na,x y\nb,x\n"
    assert cli("profile", "export", "b", "a", "b", "-o", "csv").stdout == "profile,tags\nb,x\na,x y\n"
    assert cli("profile", "export", "b", "a", "--tag", "y", "-o", "csv").stdout == "profile,tags\na,x y\n"
    none = cli("profile", "export", "--tag", "z", "--tag", "x")
    assert (none.code, none.stdout) == (2, "")
    assert none.stderr.startswith(f"✗   No profile has the tags z and x in {own_file()}\n")
    unknown = cli("profile", "export", "a", "bb")
    assert (unknown.code, unknown.stdout) == (2, "")
    assert "there is no profile bb" in unknown.stderr.lower()


def test_no_file_and_no_such_file(cli: Cli, tmp_path: Path) -> None:
    missing = cli("profile", "import", tmp_path / "banks.csv")
    assert (missing.code, missing.stdout) == (2, "")
    assert cli("profile", "export").code == 2
    large = cli("profile", "import", "-", stdin=b"#" * (16 * 1024 * 1024 + 1))
    assert (large.code, "larger than 16 MiB" in large.stderr) == (2, True)


def test_an_import_that_cannot_be_written_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    result = cli("profile", "import", "-", "--config", folder / "c.toml", stdin=b"profile,kid\na,b\n")
    assert (result.code, result.stdout) == (2, "")
    assert not folder.exists()


def test_any_profiles_come_back_from_any_form() -> None:
    seed = randrange(2**32)
    random = Random(seed)
    print(f"seed {seed}")  # pytest shows it if this fails
    for _ in range(200):
        rows = {f"p{number}": _any_settings(random) for number in range(random.randrange(1, 4))}
        for form in FORMS:
            text = format_profiles(rows, form)
            found = parse_profiles(text.encode(), "it")
            assert {name: row.settings for name, row in found.items()} == rows, text


def _any_settings(random: Random) -> Mapping[str, Any]:
    names = random.sample([*ALL], random.randrange(1, 8))
    odd = ("a,b", 'a"b', "a;b", "=1+1", "#x", "[x]", "é\t", "a\nb", "{}", "1", "true", "日本")
    settings = {name: ALL[name] for name in names}
    for name in ("kid", "aud"):
        if name in settings:
            settings[name] = random.choice(odd).strip()
    if "claims" in settings:
        settings["claims"] = {random.choice(odd): random.choice(odd) for _ in range(2)}
    return settings


def test_two_thousand_profiles_are_imported_and_changed(cli: Cli, tmp_path: Path) -> None:
    lines = [f"bank-{number},c{number},keys/{number}.pem,core\n" for number in range(2000)]
    (tmp_path / "banks.csv").write_text(f"profile,client_id,private_key,tags\n{''.join(lines)}")
    result = cli("profile", "import", tmp_path / "banks.csv")
    assert result.stdout.startswith("new      2000\n")
    assert result.stderr == (
        "!   There is no file for private_key yet in bank-0, bank-1, bank-2, bank-3, bank-4 and 1995 more\n"
    )
    before = own_file().read_text()
    assert cli("profile", "set", "bank-1000", "--kid", "k").code == 0
    assert own_file().read_text() == before.replace(
        f'private_key = {quoted(tmp_path / "keys" / "1000.pem")}\ntags = ["core"]\n',
        f'private_key = {quoted(tmp_path / "keys" / "1000.pem")}\ntags = ["core"]\nkid = "k"\n',
    )
    profile = profiles.find_profile("bank-1999")
    assert profile is not None
    assert profile.settings["client_id"] == "c1999"


@pytest.mark.parametrize(
    "text",
    [
        '[profiles.a]\nclient_id = "1"  # one\n[profiles.b]\nclient_id = "2"\n[profiles.a.claims]\nn = 1\n',
        '[profiles.a]\nclient_id = "1"  # one\n[profiles.a.claims]\nn = """\n[profiles.b]\n"""\n[profiles.b]\n',
        "[profiles.a]\nclient_id = '1'  # one\n  [profiles.a.claims]\n  n = 1\n\n# Two.\n[profiles.b]\nkid = 'k'\n",
        'profiles.a.client_id = "1"  # one\nprofiles.b = {client_id = "2"}\n',
    ],
    ids=["apart", "lines", "indented", "dotted"],
)
def test_profiles_are_changed_in_their_places_in_any_file(cli: Cli, text: str) -> None:
    write(text)
    before = written()
    result = cli("profile", "import", "-", stdin=b"profile,client_id,scope\na,x,openid\nb,y,\nc,z,\n")
    assert (result.code, result.stdout.splitlines()[:2]) == (0, ["new      1", "changed  2"])
    assert written() == {
        "a": {**before["a"], "client_id": "x", "scope": ["openid"]},
        "b": {**before["b"], "client_id": "y"},
        "c": {"client_id": "z"},
    }
    assert "# one" in own_file().read_text()


def test_imports_at_the_same_time_lose_nothing() -> None:
    write(HAND_WRITTEN)
    with ThreadPoolExecutor(2) as pool:
        sheets = [f"profile,kid\nnew-{number},k\nlive,k{number}\n".encode() for number in range(8)]
        list(pool.map(lambda sheet: import_profiles(parse_profiles(sheet, "it"), "/"), sheets))
    assert {f"new-{number}" for number in range(8)} <= set(written())
    assert written()["live"]["kid"][0] == "k"
    assert "# The real one." in own_file().read_text()


def _import_until(count: int, sheet: bytes) -> None:
    """Import, and be killed at that call of those that change files; of a write, in the middle."""
    left = iter(range(count))

    def deadly(name: str) -> Any:
        usual = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            if next(left, None) is None:
                if name == "write":
                    usual(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return usual(*args, **more)

        return call

    for name in ("open", "write", "fchmod", "fsync", "replace", "link", "rename", "unlink"):
        setattr(os, name, deadly(name))
    import_profiles(parse_profiles(sheet, "it"), "/")


@pytest.mark.posix("processes fork")
def test_an_import_that_is_killed_changes_all_or_nothing() -> None:
    sheet = b"profile,client_id\nlive,other\n" + b"".join(b"new-%d,x\n" % number for number in range(300))
    found: list[str] = []
    code: int | None = -signal.SIGKILL
    while code == -signal.SIGKILL and len(found) < 100:
        write(HAND_WRITTEN)
        child = multiprocessing.get_context("fork").Process(target=_import_until, args=(len(found), sheet))
        child.start()
        child.join(60)
        code = child.exitcode
        found.append(own_file().read_text())
    assert code == 0
    assert len(found) > 4
    assert set(found) == {HAND_WRITTEN, found[-1]}
    assert written()["live"]["client_id"] == "other"
    assert len(written()) == len(tomllib.loads(HAND_WRITTEN)["profiles"]) + 300
    assert [path.name for path in own_file().parent.iterdir()] == [own_file().name]


# --- From an enemy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_hosts_and_libraries_that_a_file_names_are_told(cli: Cli, dry: list[str]) -> None:
    file = own_file().parent / "banks.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["profile,client_id,private_key,token_endpoint,api_base,cache_url"]
    lines += ["a,x,PKCS11:object=k?Module-Path=/tmp/evil.so,https://evil.test/token,,"]
    lines += ["b,x,k.pem,,https://api.evil.test,rediss://cache.evil.test"]
    lines += [
        "c,x,k.pem,https://login.jackhenry.com/a/oidc-provider/api/v0/token,https://banno.com,redis://127.0.0.1"
    ]
    file.write_text("\n".join(lines))
    result = cli("profile", "import", file, *dry)
    assert result.code == 0
    said = " ".join(result.stderr.split())
    assert "hosts other than the vendor's: evil.test, api.evil.test, cache.evil.test import" in said
    assert "key of a names a library (module-path), which runs with all your rights" in said
    if not dry:  # what is there already is no news
        lines[2] = lines[2].replace("k.pem", "other.pem")
        file.write_text("\n".join(lines))
        again = cli("profile", "import", file).stderr
        assert "vendor's" not in again
        assert "library" not in again


def test_nothing_hides_in_what_would_change(cli: Cli) -> None:
    file = own_file().parent / "banks.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    claims = {"a\u202e": "\x7f\x9b2J\u2028"}
    file.write_text(json.dumps({"profiles": {"a": {"client_id": "x", "claims": claims}}}))
    shown = cli("profile", "import", file, "--dry-run").stdout
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert r'+ claims = {"a\u202e": "\u007f\u009b2J\u2028"}' in shown
