"""Packages of others that open keys: what is wrong with one is an error that names it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds import ClientConfig, KeySource
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.errors import KeyLoadError, PassphraseError, SigningError
from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Cli

_FORWARDS = """
import {module}
{loading}

def open_key(uri, *, passphrase, timeout):
    {opening}
    return Key({module}.open_key(uri, passphrase=passphrase, timeout=timeout))


class Key:
    {members}

    def __init__(self, key):
        self._key, self.public_key, self.algorithms = key, key.public_key, key.algorithms

    def sign(self, alg, signing_input):
        {signing}
        return self._key.sign(alg, signing_input)
"""


@pytest.fixture
def package(
    install: Callable[..., Path], toy_ec: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[..., str]:
    """Return a function that installs a package whose code does more than it should; it returns a URI for it."""

    def make(
        loading: str = "",
        opening: str = "pass",
        signing: str = "pass",
        *,
        members: str = "pass",
        scheme: str = "bankkey",
    ) -> str:
        code = _FORWARDS.format(module="toykeys", loading=loading, opening=opening, signing=signing, members=members)
        install("bankkeys", code, scheme)
        monkeypatch.delitem(sys.modules, "bankkeys", raising=False)
        return f"bankkey:{toy_ec.partition(':')[2]}"

    return make


def _sign(uri: str) -> bytes:
    return load_signer(ClientConfig(CLIENT_ID, KeySource.at(uri), passphrase=lambda: b"open sesame")).sign(b"a.b")


@pytest.mark.parametrize(
    ("loading", "words"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("def", "SyntaxError"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named(package: Callable[..., str], loading: str, words: str) -> None:
    with pytest.raises(KeyLoadError) as caught:
        _sign(package(loading))
    assert f"bankkeys 1.0, which opens keys of bankkey:, cannot be loaded: {words}" in caught.value.message


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("pass", "AttributeError"),
        ("open_key = 'no function'", "bankkeys 1.0 opens no keys of bankkey: its bankkeys:open_key is no function"),
        ("def open_key(uri): pass", "TypeError: open_key() got an unexpected keyword argument 'passphrase'"),
        ("def open_key(uri, **more): pass", "AttributeError: 'NoneType' object has no attribute 'public_key'"),
        ("def open_key(uri, **more): raise SystemExit(0)", "SystemExit: 0"),
        ("class open_key:\n  public_key, algorithms = 'PEM', []\n  def __init__(*_, **__): pass", "gives str as the"),
        ("class open_key:\n  public_key, algorithms = b'', []\n  def __init__(*_, **__): pass", "ValueError"),
    ],
)
def test_a_package_that_does_not_keep_the_protocol_is_an_error_of_the_key(
    install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    monkeypatch.delitem(sys.modules, "bankkeys", raising=False)
    install("bankkeys", code, "bankkey")
    with pytest.raises(KeyLoadError) as caught:
        _sign("bankkey:any")
    assert words in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "odd", ["7", "'text'", "[7]", "[('one',)]", "[(1, 2)]", "property(lambda self: 1 / 0)", "{}"]
)
def test_odd_members_that_may_be_left_out_count_as_left_out(package: Callable[..., str], cli: Cli, odd: str) -> None:
    uri = package(members=f"warnings = exits = created = holder = {odd}")
    for words in (["sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key"], ["key", "show"]):
        done = cli(*words, uri)
        assert (done.code, done.stderr) == (0, ""), words
    done = cli("doctor", "--offline", "--client-id", CLIENT_ID, "--private-key", uri)
    assert done.code == 0, done.stdout + done.stderr


def test_a_package_that_ends_the_program_while_it_signs_does_not(package: Callable[..., str]) -> None:
    with pytest.raises(SigningError, match="SystemExit: 0"):
        _sign(package(signing="raise SystemExit(0)"))


def test_sigterm_is_still_the_end(package: Callable[..., str]) -> None:
    with pytest.raises(SystemExit):
        _sign(package(signing="raise SystemExit(143)"))


_CHATTER = "import os; print('chatter'); os.system('echo of a program')"


def test_what_a_package_prints_is_in_no_result(package: Callable[..., str], process: Cli) -> None:
    uri = package(_CHATTER, _CHATTER, _CHATTER)
    done = process("sign-jwt", "--quiet", "--client-id", CLIENT_ID, "--private-key", uri, env=_path())
    assert done.code == 0, done.stderr
    assert done.stdout.count(".") == 2
    assert "of a" not in done.stdout
    assert done.stderr.count("of a program") == 3
    assert done.stderr.count("chatter") == 3
    shown = process("keygen", "--public-from", uri, "--public-key", "-", env=_path())
    assert shown.stdout.startswith("-----BEGIN PUBLIC KEY-----\n"), shown.stderr


def test_the_program_that_imports_us_keeps_its_standard_output(
    package: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    _sign(package(signing="print('for the program')"))
    assert capsys.readouterr().out == "for the program\n"


@pytest.mark.parametrize(
    "failing", ["raise OSError(passphrase())", "raise PassphraseError(f'{passphrase()} is not it')"]
)
def test_the_words_of_a_holder_do_not_repeat_the_passphrase(package: Callable[..., str], failing: str) -> None:
    uri = package("from banno_creds.errors import PassphraseError", failing)
    with pytest.raises(KeyLoadError) as caught:
        _sign(uri)
    assert isinstance(caught.value, PassphraseError) == ("Passphrase" in failing)
    assert "sesame" not in f"{caught.value} {caught.value.details} {caught.value.hint}"


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyLoadError])
def test_what_a_programs_own_function_raises_is_not_the_holders(
    package: Callable[..., str], error: type[Exception]
) -> None:
    def ask() -> bytes:
        raise error("the vault of the program is closed")

    config = ClientConfig(CLIENT_ID, KeySource.at(package(opening="passphrase()")), passphrase=ask)
    with pytest.raises(error, match=r"^the vault of the program is closed$"):
        load_signer(config)


@pytest.mark.parametrize("scheme", ["bankkey", "BankKey"])
@pytest.mark.parametrize("written", ["bankkey", "BANKKEY"])
def test_the_case_of_a_scheme_does_not_count(package: Callable[..., str], scheme: str, written: str) -> None:
    uri = package(scheme=scheme)
    assert _sign(uri.replace("bankkey:", f"{written}:"))


def test_a_package_does_not_take_over_a_built_in_scheme(install: Callable[..., Path]) -> None:
    install("bankkeys", "raise SystemExit('it was loaded')", "vault")
    with pytest.raises(KeyLoadError) as caught:
        _sign("vault:")
    assert "it was loaded" not in str(caught.value)
    assert caught.value.details == ("bankkeys 1.0 opens keys of vault: too, and is not used",)


def test_what_the_command_line_does_without_is_there_for_a_package(package: Callable[..., str], process: Cli) -> None:
    uri = package("import anyio")
    done = process("sign-jwt", "--quiet", "--client-id", CLIENT_ID, "--private-key", uri, env=_path())
    assert done.code == 0, done.stderr


def _path() -> dict[str, str]:
    return {"PYTHONPATH": os.environ["PYTHONPATH"]}
