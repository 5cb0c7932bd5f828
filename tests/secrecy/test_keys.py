"""A private key in the wrong place is recognised in every dressing, refused, and not shown."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from banno_creds.jose import keys
from banno_creds.secrecy import is_private_key, is_private_key_file
from banno_creds.text import printable
from tests.conftest import CLIENT_ID, write_private

from .dressings import files, texts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.scripted import ScriptedServer

pytestmark = pytest.mark.once

KEYS = {kind: keys.generate(kind) for kind in ("ec", "rsa")}
ALL_TEXTS = {kind: texts(key) for kind, key in KEYS.items()}
ALL_FILES = {kind: files(key) for kind, key in KEYS.items()}
TEXTS, FILES = ALL_TEXTS["ec"], ALL_FILES["ec"]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_key_is_recognised_as_text_and_not_shown(kind: str, name: str) -> None:
    text = ALL_TEXTS[kind][name]
    assert is_private_key(text)
    assert is_private_key(f"name={text}")
    shown = printable(f"there is no file {text}", 4000)
    assert not any(text[i : i + 60] in shown for i in range(30, len(text) - 60))


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("name", FILES)
def test_a_key_is_recognised_as_a_file(kind: str, name: str) -> None:
    assert is_private_key_file(ALL_FILES[kind][name])


@pytest.mark.parametrize(
    "part", ['the member "d": "{}"', 'ends in "d":"{}', "MIID{}", "MHcA{}\n{}", "LS0tLS1CRUdJTi{}", "eyJ{}"]
)
def test_a_part_of_a_key_is_not_shown(part: str) -> None:
    """Though it is not enough to recognise a key by it."""
    text = f"no file {part.replace('{}', 'canary7Q' * 14)}"
    assert not is_private_key(text)
    assert "canary" not in printable(text)
    assert printable(text).startswith("no file ")


NO_KEYS = {
    "public PEM": KEYS["rsa"].public.pem().decode(),
    "public JWK": str(KEYS["rsa"].public.jwk()).replace("'", '"'),
    "words": "the private key is in a file of its own, and -----BEGIN is how it begins",
    "JWT": "eyJhbGciOiJSUzI1NiJ9.eyJkIjoiTW9uZGF5IiwiayI6InZhbHVlLW9mLWsifQ." + "c2lnbmF0dXJl" * 20,
    "JSON with d": '{"d": "abcdefgh-12345678", "k": "abcdefgh"}',
    "path": "/home/anna/keys/" + "folder/" * 20 + "private.pem",
    "URL": "https://login.jackhenry.com/a/oidc-provider/api/v0/token?resource=https%3A%2F%2Fapi.example%2Fa&x=%2B",
    "hex": "0123456789abcdef" * 20,
    "long number": "30" * 100,
}


@pytest.mark.parametrize("name", NO_KEYS)
def test_what_is_no_key_is_not_taken_for_one(name: str) -> None:
    assert not is_private_key(NO_KEYS[name])
    assert not is_private_key_file(NO_KEYS[name].encode())
    assert not is_private_key_file(os.urandom(1000))


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "MI",
            "MIIE",
            "TU",
            "eyJ",
            "-----BEGIN A-----\n",
            "-----BEGIN ",
            '"kty":',
            '"kty" : "d" ',
            "-",
            "\\",
            "%41",
        ),
        *("BEGIN PRIVATE", "<RSAKeyValue>", "PRIVATE", "\\u002d", "&#45;", "30820201", " ", "\0"),
    ],
)
def test_looking_takes_time_in_proportion(piece: str) -> None:
    """What takes a second here took minutes while it was quadratic."""
    text = piece * (128 * 1024 // len(piece))
    began = time.process_time()
    is_private_key(text)
    is_private_key_file(text.encode())
    printable(text)
    assert time.process_time() - began < 5


# ── Options, variables and settings ─────────────────────────────────────────────────────────────────────────────


VARIABLES = (
    *("SCOPE", "RESOURCE", "PARAM", "CLAIM", "CLIENT_ID", "AUD", "KID", "OUTPUT", "PRIVATE_KEY", "PASSPHRASE_FILE"),
    *(
        "CA_BUNDLE",
        "PROFILE",
        "CONFIG",
        "CACHE_DIR",
        "STATE_DIR",
        "TIMEOUT",
        "TOKEN_ENDPOINT",
        "ISSUER",
        "API_HEADER",
    ),
    *("API_RAW_FIELD", "CLIENT_SECRET_FILE", "SCOPES"),
)


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_is_looked_at_before_it_is_split_or_read(
    cli: Cli, server: ScriptedServer, ec_pem: Path, name: str
) -> None:
    ask = ["token", "--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", server.url]
    for dressing in ("PEM", "one line", "base64 of PEM", "JWK"):
        result = cli(*ask, env={f"BANNO_CREDS_{name}": TEXTS[dressing]})
        assert (result.code, result.stdout) == (2, "")
        assert result.stderr == (
            f"✗   BANNO_CREDS_{name} holds what looks like a private key (not shown here)\n"
            "    Next: move it to the variable BANNO_CREDS_PRIVATE_KEY_PEM\n"
        )
    assert server.requests == []


@pytest.mark.parametrize("dressing", TEXTS)
def test_a_variable_is_refused_in_every_dressing(cli: Cli, dressing: str) -> None:
    for command in (["token"], ["login"], ["sign-jwt"], ["doctor", "--offline"], ["decode", "-"], ["cache", "list"]):
        result = cli(*command, env={"BANNO_CREDS_SCOPE": TEXTS[dressing]})
        assert (result.code, result.stdout) == (2, "")
        assert result.stderr.startswith("✗   BANNO_CREDS_SCOPE holds what looks like a private key")


OPTIONS = (
    *("--scope", "--resource", "--client-id", "--kid", "--aud", "--token-endpoint", "--issuer", "--output", "--alg"),
    *("--private-key", "--passphrase-file", "--ca-bundle", "--profile", "--config", "--timeout", "--lifetime"),
)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_looked_at_before_it_is_split_or_read(cli: Cli, option: str) -> None:
    for dressing in ("PEM", "one line", "base64 of DER", "percent", "hex of DER"):
        for args in ([option, TEXTS[dressing]], [f"{option}={TEXTS[dressing]}"]):
            result = cli("token", *args)
            assert (result.code, result.stdout) == (2, "")
            assert result.stderr.startswith(
                f"✗   {option} was given what looks like a private key (not shown here)\n"
            )


@pytest.mark.parametrize(
    "args",
    [
        ("token", TEXTS["PEM"]),
        ("token", *TEXTS["PEM"].split()),
        ("token", "--scope", *TEXTS["PEM"].split()),
        ("token", "-----BEGIN", "OPENSSH", "PRIVATE", "KEY-----", "b3Bl"),
        ("token", f"--{TEXTS['base64 of PEM']}"),
        (TEXTS["base64 of DER"],),
        ("profile", TEXTS["PEM"]),
    ],
    ids=["argument", "split", "split value", "words of one", "option", "command", "subcommand"],
)
def test_a_stray_argument_is_named_as_a_key(cli: Cli, args: tuple[str, ...]) -> None:
    result = cli(*args)
    assert (result.code, result.stdout) == (2, "")
    assert "looks like a private key (not shown here)" in result.stderr
    assert "treat this key as leaked" in result.stderr


@pytest.mark.parametrize(
    "line", ['scope = ["{}"]', 'scope = "{}"', 'kid = "{}"', 'params = {{ a = "{}" }}', 'x = "{}"']
)
def test_a_profile_is_looked_at_before_it_is_used(cli: Cli, tmp_path: Path, line: str) -> None:
    for dressing in ("one line", "escaped", "base64 of PEM", "base64url of DER", "hex of PEM"):
        text = TEXTS[dressing].replace("\\", "\\\\")
        content = f'[profiles.a]\nclient_id = "{CLIENT_ID}"\n{line.format(text)}\n'
        config = write_private(tmp_path / "config.toml", content.encode())
        result = cli("sign-jwt", "--profile", "a", "--config", config)
        assert (result.code, result.stdout) == (2, "")
        assert "holds what looks like a private key (not shown here)" in result.stderr
    split = " ".join(TEXTS["PEM"].split()).replace(" ", '", "')
    config.write_text(f'[profiles.a]\nclient_id = "{CLIENT_ID}"\nscope = ["{split}"]\n')
    assert "holds what looks like a private key" in cli("sign-jwt", "--profile", "a", "--config", config).stderr
