"""A held key in every command that takes a private key; its PIN is nowhere."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from traceback import format_exception
from types import SimpleNamespace
from typing import TYPE_CHECKING

import jwt
import pytest

from banno_creds import ClientConfig, KeySource, TokenSource
from banno_creds.sandbox import Client, Sandbox
from tests.conftest import CLIENT_ID, write_private
from tests.docs.scripts import needs_sh, run_script
from tests.oidc import tool_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.servers.issuer import Issuer
    from tests.servers.openid_provider import OpenIdProvider

PIN = "canary-pin-470815"


@pytest.fixture
def sandbox(ec_key: keys.PrivateKey) -> Iterator[Sandbox]:
    """A server that verifies what the toy key signs."""
    with Sandbox([Client(CLIENT_ID, ec_key.public.pem().decode())], log=lambda _: None) as running:
        yield running


@pytest.fixture
def ask(sandbox: Sandbox, toy_ec: str, folder: Path) -> list[str]:
    """The options that name the client, its key and the server."""
    return ["--client-id", CLIENT_ID, "--private-key", toy_ec, "--token-endpoint", sandbox.token_endpoint]


def test_a_person_signs_in_and_out_by_a_held_key(
    cli: Cli, provider: OpenIdProvider, toy_ec: str, ec_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tool_for(cli, provider, Path(toy_ec), monkeypatch)
    assert tool.log_in("-q").code == 0
    for command, *more in (["whoami"], ["token"], ["token", "--force-refresh"], ["logout"]):
        done = tool.run(command, "-q", *more)
        assert done.code == 0, f"{command}: {done.stderr}"
    forms = [*provider.forms("authorization_code"), *provider.forms("refresh_token")]
    signed = [form["client_assertion"] for form in forms]
    assert len(signed) == 2
    for assertion in signed:
        jwt.decode(assertion, ec_key.public.native, ["ES256"], options={"verify_aud": False})


def test_the_api_is_called_by_a_held_key(cli: Cli, ask: list[str], sandbox: Sandbox) -> None:
    done = cli("api", "-q", *ask, "--api-base", sandbox.issuer.partition("/a/")[0], "/a/consumer-user-search/api/v0")
    assert done.code != 3, done.stderr
    assert "invalid_client" not in done.stderr


def test_a_command_is_run_with_the_token(process: Cli, ask: list[str], folder: Path) -> None:
    words = ["--", sys.executable, "-c", "import os; print(len(os.environ['BANNO_ACCESS_TOKEN']))"]
    done = process("exec", "-q", *ask, *words, env={"PYTHONPATH": os.environ["PYTHONPATH"]})
    assert done.code == 0, done.stderr
    assert int(done.stdout) > 100


@pytest.mark.parametrize("form", ["json", "token", "env", "header"])
def test_every_form_of_a_token(cli: Cli, ask: list[str], form: str) -> None:
    assert cli("client-assertion", "-q", *ask, "-o", form).code == 0
    assert cli("token", "-q", *ask, "-o", form).code == 0


@needs_sh
def test_the_curl_that_is_shown_gets_a_token(cli: Cli, ask: list[str], tmp_path: Path) -> None:
    shown = cli("client-assertion", "--curl", *ask).stderr
    script = shown.partition("The same with curl:\n")[2]
    script = script[: re.search(r"^ \d ", script, re.MULTILINE).start()]  # type: ignore[union-attr]
    assert ask[3] in script
    done = run_script(tmp_path, script, {"PYTHONPATH": os.environ["PYTHONPATH"]})
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["token_type"] == "Bearer"


def test_the_doctor_and_its_bundle_name_who_holds_the_key(
    cli: Cli, ask: list[str], tmp_path: Path, ec_key: keys.PrivateKey
) -> None:
    (tmp_path / "public.pem").write_bytes(ec_key.public.pem())
    done = cli("doctor", *ask, "--registered", tmp_path / "public.pem", "--bundle", tmp_path / "bundle.md", "--probe")
    assert done.code == 0, done.stdout
    text = (tmp_path / "bundle.md").read_text("utf-8")
    assert f"`{ask[3]}`" in text
    assert "toykeys 1.0" in text
    for line in ec_key.pem().decode().splitlines()[1:-1]:
        assert line not in text + done.stdout


def test_an_assertion_of_a_held_key_is_linted(
    cli: Cli, ask: list[str], tmp_path: Path, ec_key: keys.PrivateKey
) -> None:
    (tmp_path / "public.pem").write_bytes(ec_key.public.pem())
    assertion = cli("sign-jwt", "-q", *ask).stdout
    words = ["lint-assertion", "--public-key", str(tmp_path / "public.pem"), "--token-endpoint", ask[-1], "-"]
    done = cli(*words, stdin=assertion.strip().encode())
    assert done.code == 0, done.stdout + done.stderr


def test_a_profile_with_a_held_key_is_added_changed_and_listed(cli: Cli, ask: list[str], toy_rsa: str) -> None:
    assert cli("profile", "add", "p", *ask).code == 0
    assert cli("profile", "set", "p", "--private-key", toy_rsa).code == 0
    [listed] = json.loads(cli("profile", "list", "-o", "json").stdout)["profiles"]
    assert (listed["private_key"], listed["fault"]) == (toy_rsa, None)
    assert json.dumps(toy_rsa) in cli("profile", "show", "p").stdout  # as TOML writes it
    assert cli("profile", "set", "p", "--private-key", ask[3]).code == 0
    assert cli("token", "-q", "--profile", "p").code == 0
    assert len(json.loads(cli("cache", "list", "-o", "json").stdout)) == 1


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("gcpkms:projects/p/key", "no package here opens keys of gcpkms:"),
        ("arn:aws:kms:us-east-1:123456789012:key/k", "write awskms: before it"),
        ("op://vault/item", "only files are read"),
        ("there-is-none.pem", "check the path; a relative one counts from the current folder"),
    ],
)
def test_a_place_that_is_no_file_and_no_uri_known_here(cli: Cli, place: str, words: str) -> None:
    done = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", place)
    assert done.code == 3
    assert words in " ".join(done.stderr.split())


def test_a_profile_whose_package_is_missing_says_so(cli: Cli) -> None:
    assert cli("profile", "add", "p", "--client-id", CLIENT_ID, "--private-key", "~/gone").code == 0
    config = Path(json.loads(cli("profile", "list", "-o", "json").stdout)["file"])
    config.write_text(config.read_text().replace("~/gone", "gcpkms:projects/p"))
    done = cli("token", "--profile", "p")
    assert done.code == 3
    assert "no package here opens keys of gcpkms:" in " ".join(done.stderr.split())


@pytest.mark.parametrize("way", ["variable", "file"])
def test_a_uri_in_the_place_of_a_key_is_named(
    cli: Cli, folder: Path, tmp_path: Path, issuer: Issuer, way: str
) -> None:
    uri = "vault:transit/banno"
    ask = ["--client-id", CLIENT_ID, "--token-endpoint", issuer.url]
    if way == "variable":
        done = cli("token", *ask, env={"BANNO_CREDS_PRIVATE_KEY_PEM": uri})
    else:
        done = cli("token", *ask, "--private-key", write_private(tmp_path / "key", uri.encode()))
    assert done.code == 3
    assert "holds what looks like the URI of a key" in " ".join(done.stderr.split())


def test_a_key_file_with_a_uri_in_it_is_another_key_than_that_of_the_uri(
    cli: Cli, ask: list[str], sandbox: Sandbox
) -> None:
    """Or the cache would give the token of one for the other."""
    assert cli("token", "-q", *ask).code == 0
    more = ["--client-id", CLIENT_ID, "--token-endpoint", sandbox.token_endpoint]
    assert cli("token", "-q", *more, env={"BANNO_CREDS_PRIVATE_KEY_PEM": ask[3]}).code == 3


# --- the PIN ---

_FAULTS = ("pin", "pin&lost", "pin&gone", "pin&salt", "pin&echo")


@pytest.fixture
def pinned(toy_rsa: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function for the URI of a key whose holder wants the PIN; it stands in for a PKCS #11 module."""
    toykeys = import_module("toykeys")

    def open_key(uri: str, *, passphrase: Callable[[], bytes | None], timeout: float) -> object:
        file, _, faults = uri.partition(":")[2].partition("?")
        pin = passphrase()
        assert pin == PIN.encode(), "no PIN came"
        fault = faults.partition("&")[2]
        if fault == "echo":
            raise RuntimeError(f"CKR_PIN_INCORRECT: {pin!r} ({pin.hex()})")
        inner = f"toykey:{file}" + (f"?{fault}" if fault else "")
        return toykeys.open_key(inner, passphrase=passphrase, timeout=timeout)

    module = SimpleNamespace(open_key=open_key)
    monkeypatch.setitem(sys.modules, "banno_creds.key_holders.pkcs11", module)
    return lambda faults: f"pkcs11:{toy_rsa.partition(':')[2]}?{faults}"


@pytest.mark.parametrize("way", ["variable", "file", "stdin"])
@pytest.mark.parametrize("faults", _FAULTS)
def test_the_pin_is_nowhere(
    cli: Cli,
    issuer: Issuer,
    folder: Path,
    tmp_path: Path,
    pinned: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    faults: str,
    way: str,
) -> None:
    monkeypatch.setenv("BANNO_CREDS_STATE_DIR", str(tmp_path / "state"))
    caplog.set_level(logging.DEBUG)
    more: list[str | Path] = []
    if way == "variable":
        monkeypatch.setenv("BANNO_CREDS_PKCS11_PIN", PIN)
    elif way == "file":
        more = ["--passphrase-file", write_private(tmp_path / "the-pin", f"{PIN}\n".encode())]
    else:
        more = ["--passphrase-file", "-"]
    uri = pinned(faults)
    ask = ["--client-id", CLIENT_ID, "--private-key", uri, "--token-endpoint", issuer.url, *more]
    said = ""
    for words in (
        ["token", "-v"],
        ["client-assertion", "--curl", "--show-secrets"],
        ["doctor", "--bundle", tmp_path / f"bundle-{way}.md", "-o", "json"],
        ["sign-jwt"],
        ["profile", "add", "p", "--force"],
    ):
        given = [each for each in ask if words[0] != "profile" or each != "-"]
        if words[0] == "profile" and way == "stdin":
            given.remove("--passphrase-file")
        done = cli(*words, *given, stdin=f"{PIN}\n".encode(), env={"BANNO_CREDS_DEBUG": "1"})
        assert done.code in (0, 3, 4), f"{words}: {done.stderr}"
        assert (done.code == 0) == (faults == "pin" or words[0] == "profile"), done.stderr
        said += done.stdout + done.stderr
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "the-pin"]
    kept += [file for file in Path.home().rglob("*") if file.is_file()]
    assert any(file.name == "config.toml" for file in kept)
    everything = said + caplog.text + "".join(file.read_bytes().decode("latin-1") for file in kept)
    for form in (PIN, PIN.encode().hex(), "470815"):
        assert form not in everything


def test_from_python_the_pin_is_in_no_error_and_no_repr(pinned: Callable[[str], str], issuer: Issuer) -> None:
    config = ClientConfig(
        CLIENT_ID, KeySource.at(pinned("pin&echo")), passphrase=PIN.encode, token_endpoint=issuer.url
    )
    with pytest.raises(Exception, match="its words repeat the passphrase") as caught:
        TokenSource(config, on_disk=False).token()
    shown = "".join(format_exception(caught.value))
    assert "470815" not in f"{caught.value!r} {caught.value} {config!r} {shown}"


def test_a_wrong_pin_is_asked_for_once(cli: Cli, toy_rsa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token locks after a few: nothing here asks its holder again by itself."""
    from banno_creds.errors import PassphraseError

    calls: list[bytes | None] = []

    def open_key(uri: str, *, passphrase: Callable[[], bytes | None], timeout: float) -> object:
        calls.append(passphrase())
        raise PassphraseError("the PIN is wrong", hint="look it up")

    monkeypatch.setitem(sys.modules, "banno_creds.key_holders.pkcs11", SimpleNamespace(open_key=open_key))
    for words in (["token"], ["client-assertion"], ["doctor"], ["sign-jwt"], ["exec"], ["api"]):
        calls.clear()
        end = {"exec": ["--", sys.executable], "api": ["/a"]}.get(words[0], [])
        more = [
            "--client-id",
            CLIENT_ID,
            "--private-key",
            "pkcs11:object=a",
            "--token-endpoint",
            "http://127.0.0.1:9/",
        ]
        done = cli(*words, *more, *end, env={"BANNO_CREDS_PKCS11_PIN": PIN})
        assert done.code == 3, done.stderr
        assert calls == [PIN.encode()], words
