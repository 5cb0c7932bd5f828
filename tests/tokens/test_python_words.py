"""A Python program reads the names of fields and parameters, never those of options."""

from __future__ import annotations

import ast
import dataclasses
import logging
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from banno_creds import (
    BearerAuth,
    ClientConfig,
    ConfigurationError,
    KeySource,
    RefusedError,
    TokenSource,
    Warned,
    checks,
    config,
    key_uri,
)
from banno_creds.shells import quote
from banno_creds.tokens.inspection import TokenChecks
from tests.conftest import CLIENT_ID
from tests.servers.loopback import Says
from tests.servers.token_bank import TokenBank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from banno_creds import Step

KEY = KeySource.file("private.pem")
CONFIG = ClientConfig(CLIENT_ID, KEY)


def _config(**values: Any) -> Callable[[], object]:
    return partial(ClientConfig, **{"client_id": CLIENT_ID, "private_key": KEY, **values})


def _source(**values: Any) -> Callable[[], object]:
    return partial(TokenSource, CONFIG, **values)


def _auth(origin: str) -> Callable[[], object]:
    return lambda: BearerAuth(TokenSource(CONFIG), origin=origin)


def _request_elsewhere() -> None:
    next(BearerAuth(TokenSource(CONFIG)).sync_auth_flow(httpx.Request("GET", "https://elsewhere.example/")))


# What is refused, and words that the message and the hint must have.
REFUSED: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "no client ID": (_config(client_id=""), ("client ID",)),
    "a client ID with a line end": (_config(client_id="id\n"), ("client ID",)),
    "a key that is a path": (_config(private_key="private.pem"), ("private_key has", "KeySource.file")),
    "a registration that is unknown": (_config(registration="jwks"), ("registration is none of pem, jwks-uri",)),
    "a PIN in a URI": (
        lambda: KeySource.at("pkcs11:object=a?pin-value=1234"),
        ("has a PIN in it", "passphrase_file, or by pin-source=/PATH"),
    ),
    "a URI with a line end": (lambda: KeySource.at("vault:a/b\n"), ("control character",)),
    "no endpoint at all": (_config(token_endpoint=None), ("token_endpoint", "issuer")),
    "a passphrase that is a text": (_config(passphrase="a"), ("passphrase has",)),
    "params that are no pairs": (_config(params=("a", "b")), ("params has",)),
    "claims that are no JSON": (_config(claims={"a": b""}), ("claims cannot be JSON",)),
    "a key's age that is no duration": (_config(key_max_age="long"), ("key_max_age 'long' is no duration", "d")),
    "a lifetime of 0": (_config(lifetime=0), ("lifetime must be", "leave lifetime out")),
    "a timeout of 0": (_config(timeout=0), ("timeout must be", "leave timeout out")),
    "a scope that is one text": (_config(scope="openid"), ('scope=("…",)',)),
    "a resource that is one text": (_config(resource="https://a.example"), ('resource=("…",)',)),
    "a kid with a line end": (_config(kid="a\n"), ("kid has",)),
    "an aud with a line end": (_config(aud="a\n"), ("aud has",)),
    "a client ID that was not filled in": (_config(client_id="${CLIENT_ID}"), ("client ID", "placeholder")),
    "a kid that was not filled in": (_config(kid="<kid>"), ("kid '<kid>' is a placeholder", "leave kid out")),
    "an aud of another server": (
        lambda: TokenSource(dataclasses.replace(CONFIG, aud="https://a.example/token")).token(),
        ("aud", "allow_other_aud"),
    ),
    "a scope with a comma": (_config(scope=("a,b",)), ("scope 'a,b' has a comma", f"write scope {quote('a b')}")),
    "a scope that was not filled in": (_config(scope=("<scope>",)), ("scope '<scope>' is a placeholder",)),
    "an aud with quotation marks": (_config(aud="'a'"), ("aud \"'a'\" cannot be right: it has quotation marks",)),
    "a scope with a line end": (_config(scope=("a\n",)), ("scope has",)),
    "a resource with a line end": (_config(resource=("a\n",)), ("resource has",)),
    "a param with a line end": (_config(params=(("a", "b\n"),)), ("params has",)),
    **{
        f"the claim {name}": (
            _config(claims={name: 1}),
            (f"claims {name}=…", f"use {field}" if field else "leave it"),
        )
        for name, field in config.RESERVED_CLAIMS.items()
    },
    **{
        f"the param {name}": (
            _config(params=((name, "a"),)),
            (f"params {name}=…", f"use {field}" if field else "leave it"),
        )
        for name, field in config.RESERVED_PARAMS.items()
    },
    "an endpoint that is no URL": (_config(token_endpoint="https://["), ("the token endpoint",)),
    "an endpoint without TLS": (_config(token_endpoint="http://a.example"), ("the token endpoint",)),
    "an endpoint that is a discovery document": (
        _config(token_endpoint="https://a.example/.well-known/openid-configuration"),
        ("the token endpoint", "give the issuer"),
    ),
    "an issuer without TLS": (_config(issuer="http://a.example"), ("the issuer",)),
    "two sources of keys": (
        lambda: TokenChecks(public_key=Path("a"), jwks="b"),
        ("public_key and jwks exclude each other",),
    ),
    "an audience without a key": (lambda: TokenChecks(audience="a"), ("audience", "add issuer, jwks or public_key")),
    "a leeway of an hour and more": (lambda: TokenChecks(leeway=3601), ("leeway must be", "leave leeway out")),
    "checks with a timeout of 0": (lambda: TokenChecks(timeout=0), ("timeout must be",)),
    "a JWK Set without TLS": (lambda: TokenChecks(jwks="http://a.example"), ("the JWK Set's URL",)),
    "checks with an issuer without TLS": (lambda: TokenChecks(issuer="http://a.example"), ("the issuer",)),
    "a negative min_ttl": (_source(min_ttl=-1), ("min_ttl must be", "leave min_ttl out")),
    "an origin without TLS": (_auth("http://a.example"), ("the API's origin",)),
    "an origin with a path": (_auth("https://a.example/b"), ("the API's origin",)),
    "an origin without a valid host": (_auth("https://1.2.3.999"), ("the API's origin",)),
    "a request to another origin": (_request_elsewhere, ("BearerAuth(origin=…)",)),
}


def _refused(build: Callable[[], object]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        build()
    return caught.value


def _is_python(text: str) -> bool:
    """No option, and no setting that is still marked."""
    return "--" not in text and text.isprintable()


@pytest.mark.parametrize("case", REFUSED)
def test_refused_configuration_names_fields_and_no_options(case: str) -> None:
    build, words = REFUSED[case]
    error = _refused(build)
    said = f"{error.message}; {error.hint}"
    assert all(word in said for word in words), said
    assert _is_python(said)
    assert str(error) == error.message


def test_every_refusal_of_the_configuration_is_among_these() -> None:
    sources = {str(each.__file__) for each in (config, checks, key_uri)}
    # The first two are for the commands only; the last needs a broken package, and tests/key_holders has one.
    other = ("absolute", "check_redirect_uri", "plugged_in")
    expected = {
        (source, node.lineno)
        for source in sources
        for function in ast.walk(ast.parse(Path(source).read_text("utf-8")))
        if isinstance(function, ast.FunctionDef) and function.name not in other
        for node in ast.walk(function)
        if isinstance(node, ast.Raise)
    }
    raised = set()
    for build, _ in REFUSED.values():
        frames = [frame for frame in traceback.extract_tb(_refused(build).__traceback__) if frame.filename in sources]
        if frames:
            raised.add((frames[-1].filename, frames[-1].lineno))
    # Counted, because Python versions differ in which line of a statement they report.
    assert len(raised) == len(expected), (raised, expected)


# --- what a token source says while it runs ---


@pytest.fixture
def bank() -> Iterator[TokenBank]:
    with TokenBank() as running:
        yield running


def _warnings(bank: TokenBank, pem: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> list[Warned]:
    """Obtain a token in a case that is warned of."""
    of = ClientConfig(CLIENT_ID, KeySource("the key", path=pem), token_endpoint=f"{bank.origin}/token")
    values: dict[str, Any] = {}
    if case == "no cache":
        monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(pem))
    elif case == "short life":
        bank.expires_in, values["min_ttl"] = 5, 60
    elif case == "unknown life":
        bank.expires_in = None
    elif case == "another type":
        bank.token_type = "DPoP"
    elif case == "a key that others can read":
        pem.chmod(0o644)
    steps: list[Step] = []
    TokenSource(dataclasses.replace(of), emit=steps.append, **values).token()
    return [step for step in steps if isinstance(step, Warned)]


@pytest.mark.parametrize(
    ("case", "word"),
    [
        ("no cache", "on_disk=False uses none"),
        ("short life", "min_ttl"),
        ("unknown life", "expires_in"),
        ("another type", "DPoP"),
        pytest.param(
            "a key that others can read",
            "chmod",
            marks=pytest.mark.posix("a mode says who may do what"),
        ),
    ],
)
def test_warnings_name_parameters_and_no_options(
    case: str, word: str, bank: TokenBank, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings = _warnings(bank, ec_pem, monkeypatch, case)
    assert any(word in f"{warning.message}; {warning.hint}" for warning in warnings), warnings
    assert all(_is_python(f"{warning.message}; {warning.hint}") for warning in warnings)


def test_logged_warnings_are_the_same(
    bank: TokenBank, ec_pem: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(ec_pem))
    caplog.set_level(logging.WARNING)
    TokenSource(
        ClientConfig(CLIENT_ID, KeySource("the key", path=ec_pem), token_endpoint=f"{bank.origin}/token")
    ).token()
    logged = [record.getMessage() for record in caplog.records if record.name == "banno_creds"]
    assert any("on_disk=False" in line for line in logged)
    assert all(_is_python(line) for line in logged)


@pytest.mark.parametrize("code", ["invalid_scope", "invalid_target", "unsupported_grant_type"])
@pytest.mark.parametrize("on_disk", [True, False])
def test_refusals_name_fields_and_parameters(bank: TokenBank, ec_pem: Path, code: str, on_disk: bool) -> None:
    bank.refusals = [Says(400, b'{"error": "%s"}' % code.encode())]
    of = ClientConfig(CLIENT_ID, KeySource("the key", path=ec_pem), token_endpoint=f"{bank.origin}/token")
    source = TokenSource(of, on_disk=on_disk)
    for _ in range(2):
        with pytest.raises(RefusedError) as caught:
            source.token()
        assert _is_python(f"{caught.value.message}; {caught.value.hint}; {'; '.join(caught.value.details)}")
    assert any("force_refresh" in detail for detail in caught.value.details)
    # Another program, which finds the refusal on disk.
    if on_disk:
        with pytest.raises(RefusedError) as caught:
            TokenSource(of).token()
        assert "force_refresh" in " ".join(caught.value.details)
        assert _is_python(" ".join(caught.value.details))
