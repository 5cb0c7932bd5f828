"""Each profile of many is the client that ``token --profile NAME`` on the same command line would have."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click
import pytest

from banno_creds.cli import check, token
from banno_creds.cli.clients import Clients
from banno_creds.cli.groups import Invocation
from banno_creds.cli.main import cli as program
from banno_creds.cli.report import Report
from banno_creds.cli.settings import credentials
from banno_creds.config import ClientConfig, no_passphrase
from banno_creds.errors import BannoCredsError
from banno_creds.profiles.lookup import Profile, find_profiles
from banno_creds.tokens.client_credentials import ClientCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SETTINGS = {
    "plain": "",
    "endpoint": 'token_endpoint = "http://127.0.0.1:1/token"',
    "issuer": 'issuer = "https://issuer.test"',
    "legacy": 'environment = "legacy"',
    "all": 'scope = ["a", "b"]\nresource = ["https://r.test"]\nlifetime = 90\niat = true\ntimeout = 7\nalg = "RS256"'
    '\nregistration = "jwks-uri"\nclaims = {x = 1}\nparams = {p = "q"}\nca_bundle = "ca.pem"\nkey_max_age = "4w"\n'
    'client_id_in_body = true\naud = "http://127.0.0.1:1/token"\ntoken_endpoint = "http://127.0.0.1:1/token"',
    "shared": 'cache_url = "redis://127.0.0.1:1"\ncache_secret_file = "ca.pem"',
    "no key": "-",
    "no client": "-",
}
VARIABLES: list[dict[str, str]] = [
    {},
    {"TOKEN_ENDPOINT": "http://127.0.0.1:2/token"},
    {"ISSUER": "https://other.test"},
    {"CLIENT_ID": "from-the-variable", "SCOPE": "v w", "LIFETIME": "33", "IAT": "1"},
    {"PRIVATE_KEY": "{key}", "TIMEOUT": "3", "RESOURCE": "https://v.test", "PARAM": "v=w"},
    {"PRIVATE_KEY_PEM": "{pem}", "CLAIM": "y:=2", "ENVIRONMENT": "legacy"},
    {"CLIENT_SECRET": "canarySecret", "ALG": "PS256", "AUD": "https://login.jackhenry.com"},
]
OPTIONS: list[tuple[str, ...]] = [
    (),
    ("--environment", "production"),
    ("--token-endpoint", "http://127.0.0.1:3/token", "--timeout", "9"),
    ("--scope", "x y", "--claim", "z=1", "--lifetime", "44"),
    ("--private-key", "{key}", "--client-id", "typed"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("clients")
    (made / "ca.pem").write_text("")
    return made


@pytest.fixture
def config(folder: Path, ec_pem: Path) -> Path:
    tables = []
    for name, settings in SETTINGS.items():
        key = "" if name == "no key" else f"private_key = '{ec_pem}'\n"
        client = "" if name == "no client" else f'client_id = "client of {name}"\n'
        tables.append(f"[profiles.{name.replace(' ', '-')}]\n{client}{key}{settings.strip('-')}\n")
    file = folder / "config.toml"
    file.write_text("\n".join(tables))
    file.chmod(0o600)
    return file


def _made(make: Callable[[], object]) -> ClientConfig | tuple[str, int]:
    try:
        whose = make()
    except BannoCredsError as error:
        return type(error).__name__, error.exit_code
    assert isinstance(whose, ClientCredentials)
    return replace(whose.config, passphrase=no_passphrase)


def _context(command: click.Command, *words: str) -> click.Context:
    own = click.Context(program, info_name="banno-creds", obj=Invocation((), time.time, time.sleep))
    return command.make_context(command.name, list(words), parent=own)


def _alone(name: str, *words: str) -> ClientConfig | tuple[str, int]:
    try:
        context = _context(token.command, *words, "--profile", name)
    except click.UsageError:
        return "ConfigurationError", 2
    return _made(lambda: credentials(context, context.params, Report(quiet=True)))


@pytest.mark.once
@pytest.mark.parametrize("variables", VARIABLES, ids=lambda each: "+".join(each) or "none")
@pytest.mark.parametrize("options", OPTIONS, ids=lambda each: each[0] if each else "none")
def test_each_of_many_is_the_client_that_token_would_have(
    config: Path,
    rsa_pem: Path,
    variables: Mapping[str, str],
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def filled(text: str) -> str:
        return text.replace("{key}", str(rsa_pem)).replace("{pem}", rsa_pem.read_text())

    for name, value in variables.items():
        monkeypatch.setenv(f"BANNO_CREDS_{name}", filled(value))
    words = ["--config", str(config), *map(filled, options)]
    names = [name.replace(" ", "-") for name in SETTINGS]
    alone = {name: _alone(name, *words) for name in names}
    for command in (check.command, token.command):
        clients = Clients(_context(command, *words, *names))
        for name, profile in find_profiles(names, str(config)).items():
            assert isinstance(profile, Profile)
            assert _made(partial(clients.credentials, profile)) == alone[name], (command.name, name)
