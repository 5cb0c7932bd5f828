"""``banno-creds decode``: what it finds in what was pasted, and what it says of it. Verifying is in test_verify."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from banno_creds.cli.inputs import END_OF_INPUT
from banno_creds.cli.main import run
from banno_creds.jose import keys
from banno_creds.jose.encoding import base64url
from tests.jwts import NOW, jwt, part
from tests.processes import with_closed

if sys.platform != "win32":
    import pty

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli, How


PAYLOAD = {
    "clientName": "Test Application",
    "institutionId": "3f85ce95-9aa8-4fbf-b0b4-ce7ce6ad3b8a",
    "iat": NOW - 2,
    "exp": NOW + 598,
    "scope": "openid",
}
TOKEN = jwt(PAYLOAD)
STDOUT = json.dumps(PAYLOAD, indent=2) + "\n"
STEPS = """\
 1  Decoded
    {"alg": "RS256"}
    issued 2 s ago, at 2026-11-21 15:59:59 UTC
    expires in 9 min 58 s, at 2026-11-21 16:09:59 UTC
 2  Not verified
    Nobody checked the signature: anybody can have written this token.
    To check it: --issuer URL, --jwks FILE|URL or --public-key FILE
"""


@pytest.fixture(autouse=True)
def _now(how: How) -> None:
    """The clock stands still."""
    how.clock = lambda: NOW + 0.4


PASTED = {
    "the token": TOKEN,
    "Bearer": f"Bearer {TOKEN}",
    "bearer in lower case": f"bearer\t{TOKEN}",
    "DPoP": f"DPoP {TOKEN}",
    "header line": f"Authorization: Bearer {TOKEN}\r\n",
    "header line in quotes": f"'authorization: Bearer {TOKEN}'",
    "-o env": f"export BANNO_ACCESS_TOKEN={TOKEN} BANNO_TOKEN_TYPE=Bearer\n",
    "-o env in quotes": f"BANNO_ACCESS_TOKEN='{TOKEN}'",
    "token in quotes": f'"{TOKEN}"',
    "white space around": f"\n\t {TOKEN} \r\n",
    "wrapped by a terminal": "\n".join(TOKEN[i : i + 40] for i in range(0, len(TOKEN), 40)),
    "wrapped and indented": "Bearer " + "\r\n    ".join(TOKEN[i : i + 76] for i in range(0, len(TOKEN), 76)),
    "no-break spaces": f"\u00a0{TOKEN[:30]}\u00a0{TOKEN[30:]}\u2003",
    "token response": json.dumps({"token_type": "Bearer", "access_token": TOKEN, "expires_in": 600}),
    "token response, indented": json.dumps({"access_token": TOKEN, "id_token": "x"}, indent=2) + "\n",
    "token response with an id_token alone": json.dumps({"id_token": TOKEN}),
    "token response with Bearer in the token": json.dumps({"access_token": f"Bearer {TOKEN}"}),
}


@pytest.mark.parametrize("pasted", PASTED.values(), ids=PASTED)
def test_payload_is_the_result_however_the_token_was_pasted(cli: Cli, tmp_path: Path, pasted: str) -> None:
    file = tmp_path / "token"
    file.write_text(pasted, "utf-8", newline="")
    expected = (0, STDOUT, STEPS)
    for result in (
        cli("decode", pasted),
        cli("decode", stdin=pasted.encode()),
        cli("decode", "-", stdin=pasted.encode()),
        cli("decode", "--file", file),
        cli("decode", "--file", "-", stdin=pasted.encode()),
        cli("decode", "--file", file, stdin=b"something else"),
        cli("decode", env={"BANNO_CREDS_DECODE_FILE": str(file)}),
    ):
        assert (result.code, result.stdout, result.stderr) == expected


@pytest.mark.parametrize(
    "arguments",
    [["Bearer", TOKEN], ["Authorization:", "Bearer", TOKEN], [TOKEN[:50], TOKEN[50:]]],
    ids=["Bearer", "header line", "wrapped"],
)
def test_token_that_was_not_quoted_is_put_together_again(cli: Cli, arguments: list[str]) -> None:
    result = cli("decode", *arguments)
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, STEPS)


@pytest.mark.parametrize(
    "encoded",
    [
        codecs.BOM_UTF8 + TOKEN.encode(),
        b"\n" + codecs.BOM_UTF8 + TOKEN.encode(),
        codecs.BOM_UTF16_LE + TOKEN.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + json.dumps({"access_token": TOKEN}).encode("utf-16-be"),
        codecs.BOM_UTF8 + json.dumps({"access_token": TOKEN}).encode(),
    ],
    ids=["UTF-8", "UTF-8 after a line end", "UTF-16 LE", "UTF-16 BE, response", "UTF-8, response"],
)
def test_byte_order_marks_of_editors_and_powershell_do_no_harm(cli: Cli, tmp_path: Path, encoded: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(encoded)
    for result in (cli("decode", stdin=encoded), cli("decode", "--file", file)):
        assert (result.code, result.stdout, result.stderr) == (0, STDOUT, STEPS)


def test_full_prints_header_payload_and_what_is_known_of_the_signature(cli: Cli) -> None:
    result = cli("decode", "--full", TOKEN)
    full = {
        "header": {"alg": "RS256"},
        "payload": PAYLOAD,
        "signature": {"verified": False, "alg": "RS256", "key": None, "value": "c2ln"},
    }
    assert (result.code, result.stdout, result.stderr) == (0, json.dumps(full, indent=2) + "\n", STEPS)


def test_quiet_leaves_the_steps_out(cli: Cli) -> None:
    result = cli("decode", "-q", TOKEN)
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, "")


_SHORT = ' 1  Decoded\n    {"alg": "RS256"}\n'
_UNVERIFIED = "".join(STEPS.splitlines(keepends=True)[-3:])

TIMES: dict[str, tuple[str, list[str]]] = {
    "ahead": (f'{{"exp": {NOW + 598}}}', ["expires in 9 min 58 s, at 2026-11-21 16:09:59 UTC"]),
    "past": (f'{{"exp": {NOW - 180}}}', ["EXPIRED 3 min ago, at 2026-11-21 15:57:01 UTC"]),
    "this second": (f'{{"exp": {NOW}}}', ["EXPIRED now, at 2026-11-21 16:00:01 UTC"]),
    "a fraction": (f'{{"exp": {NOW + 1}.75}}', ["expires in 1 s, at 2026-11-21 16:00:02 UTC"]),
    "missing": ("{}", ["no exp: the token does not say when it ends"]),
    "milliseconds": (
        f'{{"exp": {(NOW + 60) * 1000}}}',
        ["exp is in milliseconds, and RFC 7519 wants seconds; 2026-11-21 16:01:01 UTC may be meant"],
    ),
    "milliseconds as a float": (
        f'{{"exp": {(NOW + 60) * 1000}.5}}',
        ["exp is in milliseconds, and RFC 7519 wants seconds; 2026-11-21 16:01:01 UTC may be meant"],
    ),
    "400 digits": (
        '{"exp": 1%s}' % ("0" * 400),
        ["exp is no time, in seconds or in milliseconds: 1" + "0" * 39 + "… (shortened)"],
    ),
    "1e308": ('{"exp": 1e308}', ["exp is no time, in seconds or in milliseconds: 1e+308"]),
    "negative and huge": ('{"exp": -1e308}', ["exp is no time, in seconds or in milliseconds: -1e+308"]),
    "negative": ('{"exp": -1}', ["EXPIRED 56 years ago, at 1969-12-31 23:59:59 UTC"]),
    "before the year 1": ('{"exp": -99999999999}', ["EXPIRED 3,227 years ago, at a time beyond the calendar"]),
    "true": ('{"exp": true}', ["exp is no number: true"]),
    "null": ('{"exp": null}', ["exp is no number: null"]),
    "text": ('{"exp": "text"}', ['exp is no number: "text"']),
    "number as text": (f'{{"exp": "{NOW}"}}', [f'exp is no number: "{NOW}"']),
    "array": ('{"exp": [1]}', ["exp is no number: [1]"]),
    "object": ('{"exp": {"a": 1}}', ['exp is no number: {"a": 1}']),
    "control characters": ('{"exp": "\\u001b[31m\\u202e"}', ['exp is no number: "\\u001b[31m\\u202e"']),
    "other times": (
        f'{{"iat": {NOW}, "nbf": {NOW + 60}, "auth_time": {NOW - 86_400}, "exp": 0}}',
        [
            "issued now, at 2026-11-21 16:00:01 UTC",
            "signed in 1 day ago, at 2026-11-20 16:00:01 UTC",
            "not before in 60 s, at 2026-11-21 16:01:01 UTC",
            "EXPIRED 56 years ago, at 1970-01-01 00:00:00 UTC",
        ],
    ),
    "issued ahead": (
        f'{{"iat": {NOW + 300}, "exp": {NOW + 900}}}',
        [
            "issued in 5 min, at 2026-11-21 16:05:01 UTC",
            "iat lies ahead: compare this machine's clock with the server's",
            "expires in 15 min, at 2026-11-21 16:15:01 UTC",
        ],
    ),
    "silly other times": (
        f'{{"iat": {NOW * 1000}, "nbf": "x", "auth_time": 1e300, "exp": {NOW + 120}}}',
        [
            "iat is in milliseconds, and RFC 7519 wants seconds; 2026-11-21 16:00:01 UTC may be meant",
            "auth_time is no time, in seconds or in milliseconds: 1e+300",
            'nbf is no number: "x"',
            "expires in 2 min, at 2026-11-21 16:02:01 UTC",
        ],
    ),
}


@pytest.mark.parametrize(("payload", "lines"), TIMES.values(), ids=TIMES)
def test_times_are_said_in_utc_and_in_words(cli: Cli, payload: str, lines: list[str]) -> None:
    result = cli("decode", jwt(payload))
    said = _SHORT + "".join(f"    {line}\n" for line in lines) + _UNVERIFIED
    assert (result.code, json.loads(result.stdout), result.stderr) == (0, json.loads(payload), said)


def test_unsigned_token_is_said_to_be_unsigned(cli: Cli) -> None:
    result = cli("decode", jwt({"exp": NOW + 600}, {"alg": "none"}, ""))
    assert (result.code, json.loads(result.stdout)) == (0, {"exp": NOW + 600})
    assert "    alg none: the token is not signed at all\n" in result.stderr


def test_long_header_is_shown_line_by_line(cli: Cli) -> None:
    result = cli(
        "decode", jwt({}, {"alg": "RS256", "typ": "at+jwt", "kid": "DFvGnrg6E3wLskKqM_j5aauVEDwi6NSHAFQRBKQ5Gxs"})
    )
    assert result.stderr.splitlines()[:6] == [
        " 1  Decoded",
        "    {",
        '      "alg": "RS256",',
        '      "typ": "at+jwt",',
        '      "kid": "DFvGnrg6E3wLskKqM_j5aauVEDwi6NSHAFQRBKQ5Gxs"',
        "    }",
    ]


_COPY = "copy the whole token again; a terminal or a log may have changed it"
_TELL = "copy the whole token again; if that does not help, tell its issuer"
_AGAIN = "run banno-creds client-assertion again: it says what to do about it"
_WHOLE = "give a whole token response, or the token alone"
_DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
_OPAQUE = "This is no JWT: it has no dots, so it may be an opaque token, which only the server can read"
_ASK = "for the claims of an opaque token ask the provider's introspection or userinfo endpoint"
_NO_JWE = "only its recipient can read it; ask the issuer for a signed token (JWS)"

BROKEN: dict[str, tuple[str, str, str]] = {
    "nothing": ("", "There is nothing to decode", "give a token as argument, on standard input or with --file"),
    "white space": (
        " \r\n\t",
        "There is nothing to decode",
        "give a token as argument, on standard input or with --file",
    ),
    "Bearer alone": ("Bearer", _OPAQUE, _ASK),
    "opaque": ("WJAvJS4ZVXK8mJ5ZoGtwXOkNnEI", _OPAQUE, _ASK),
    "opaque in a response": ('{"access_token": "WJAvJS4ZVXK8"}', _OPAQUE, _ASK),
    "not ASCII": (
        "eyJhbGci… (812 characters)",
        "This is no token: it holds characters that no token can have",
        _COPY,
    ),
    "encrypted": (
        f"{part(json.dumps({'alg': 'RSA-OAEP-256', 'enc': 'A256GCM'}))}.a.b.c.d",
        "This token is encrypted (a JWE: five parts, alg RSA-OAEP-256, enc A256GCM)",
        _NO_JWE,
    ),
    "encrypted, broken": (
        "*.a.b.c.d",
        "This token is encrypted (a JWE: five parts, and its header is broken: character 1 is not base64url)",
        _NO_JWE,
    ),
    "two parts": (
        "a.b",
        "This is no JWT: it has 2 parts between dots, and a signed one has 3",
        "copy the whole token; a terminal or a log may have cut it off",
    ),
    "many parts": (
        "." * 1000,
        "This is no JWT: it has 1001 parts between dots, and a signed one has 3",
        "copy the whole token; a terminal or a log may have cut it off",
    ),
    "stranger in the header": (f"a+{TOKEN}", "The token's header is broken: character 2 is not base64url", _TELL),
    "padding": (
        f"{part('{}')}.{part('{ }')}=.x",
        "The token's payload is broken: character 5 is not base64url",
        _TELL,
    ),
    "cut off": (
        f"{part('{}')}.{part('{}')}.abcde",
        "The token's signature is broken: its length is impossible: it was cut off, or a character is missing",
        _COPY,
    ),
    "stranger in the signature": (
        f"{part('{}')}.{part('{}')}.ab…",
        "The token's signature is broken: character 3 is not base64url",
        _COPY,
    ),
    "empty parts": ("..", "The token's header is broken: it is not JSON (Expecting value at character 1)", _TELL),
    "header is text": (
        jwt("{}", "alg"),
        "The token's header is broken: it is not JSON (Expecting value at character 1)",
        _TELL,
    ),
    "payload is an array": (
        jwt("[1]"),
        "The token's payload is broken: it is JSON, but an array and not an object",
        _TELL,
    ),
    "payload is no UTF-8": (
        f"{part('{}')}.{base64url(b'{' + bytes([255]))}.",
        "The token's payload is broken: it is not UTF-8 text",
        _TELL,
    ),
    "repeated member": (
        jwt('{"exp": 1, "exp": 2}'),
        "The token's payload is broken: it has the member 'exp' more than once",
        _TELL,
    ),
    "repeated member in the header": (
        jwt("{}", '{"alg": "RS256", "alg": "none"}'),
        "The token's header is broken: it has the member 'alg' more than once",
        _TELL,
    ),
    "repeated member, escaped": (
        jwt('{"exp": 1, "\\u0065xp": 2}'),
        "The token's payload is broken: it has the member 'exp' more than once",
        _TELL,
    ),
    "NaN": (jwt('{"exp": NaN}'), "The token's payload is broken: it holds NaN, which is not JSON", _TELL),
    "1e999": (jwt('{"exp": 1e999}'), "The token's payload is broken: it holds a number too large to be one", _TELL),
    "5000 digits": (
        jwt('{"exp": %s}' % ("9" * 5000)),
        "The token's payload is broken: it holds a number too large to be one",
        _TELL,
    ),
    "nested too deep": (
        jwt(_DEEP),
        "The token's payload is broken: it is JSON nested more than 100 levels deep",
        _TELL,
    ),
    "nested too deep to be written again": (
        jwt('{"a":' + "[" * 900 + "]" * 900 + "}"),
        "The token's payload is broken: it is JSON nested more than 100 levels deep",
        _TELL,
    ),
    "response nested too deep": (
        _DEEP,
        "This starts like a token response, but it is JSON nested more than 100 levels deep",
        _COPY,
    ),
    "broken response": (
        '{"access_token": "e',
        "This starts like a token response, but it is not JSON (Unterminated string starting at character 18)",
        _COPY,
    ),
    "response with the token twice": (
        '{"access_token": "a", "access_token": "b"}',
        "This starts like a token response, but it has the member 'access_token' more than once",
        _COPY,
    ),
    "refusal": (
        '{"error": "invalid_client", "error_description": "client authentication\\u001b[2J failed"}',
        "This is a refusal, not a token: invalid_client — client authentication [2J failed",
        _AGAIN,
    ),
    "refusal without words": ('{"error": "x", "error_description": 5}', "This is a refusal, not a token: x", _AGAIN),
    "error that is no refusal": (
        '{"error": {"code": 5}}',
        "This is JSON without an access_token (its members: error)",
        _WHOLE,
    ),
    "empty object": ("{}", "This is JSON without an access_token (its members: none)", _WHOLE),
    "token that is no text": (
        '{"access_token": 5}',
        "This is JSON without an access_token (its members: access_token)",
        _WHOLE,
    ),
    "empty token": (
        '{"access_token": ""}',
        "There is nothing to decode",
        "give a token as argument, on standard input or with --file",
    ),
    "hostile members": (
        '{"\\u001b]52;c;eA==\\u0007[red]": 1}',
        "This is JSON without an access_token (its members: ]52;c;eA== [red])",
        _WHOLE,
    ),
}


@pytest.mark.parametrize(("pasted", "message", "hint"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_jwt_is_told_in_words(cli: Cli, pasted: str, message: str, hint: str) -> None:
    result = cli("decode", "-", stdin=pasted.encode())
    assert (result.code, result.stdout, result.stderr) == (6, "", f"✗   {message}\n    Next: {hint}\n")


_RUBBISH = {
    "NULs": bytes(1000),
    "random": os.urandom(100_000),
    "gzip": codecs.encode(TOKEN.encode(), "zlib"),
    "half a UTF-16": codecs.BOM_UTF16_LE + b"\x00\xd8\x00",
    "invalid UTF-8 in a token": TOKEN.encode().replace(b".", b".\xff", 1),
    "surrogates in a response": b'{"access_token": "\\ud800.\\udfff.x"}',
}


@pytest.mark.parametrize("rubbish", _RUBBISH.values(), ids=_RUBBISH)
def test_binary_rubbish_is_told_in_words(cli: Cli, tmp_path: Path, rubbish: bytes) -> None:
    file = tmp_path / "rubbish"
    file.write_bytes(rubbish)
    results = [cli("decode", stdin=rubbish), cli("decode", "--file", file)]
    for result in results:
        assert (result.code, result.stdout) == (6, "")
        assert result.stderr.startswith("✗   Th")
        assert all(c.isprintable() for c in result.stderr.replace("\n", ""))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "content",
    [
        b"A" * 10 * 1024 * 1024,
        b" " * 10 * 1024 * 1024,
        (TOKEN + "\u3000" * 4 * 1024 * 1024).encode(),
        b'{"access_token": "' + TOKEN.encode() + b'", "x": "' + b"x" * 10 * 1024 * 1024 + b'"}',
        b"\x00" * (1024 * 1024 + 1),
    ],
    ids=["letters", "blanks", "wide blanks", "response", "one byte too many"],
)
def test_ten_mebibytes_are_refused_in_words(cli: Cli, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "large"
    file.write_bytes(content)
    said = (
        "✗   This is larger than 1024 KiB: no token is that long\n"
        "    Next: check that this is the token that you want to decode\n"
    )
    for result in (cli("decode", stdin=content), cli("decode", "--file", file)):
        assert (result.code, result.stdout, result.stderr) == (6, "", said)


def test_token_of_nearly_a_mebibyte_is_decoded(cli: Cli) -> None:
    payload = {f"claim{number}": "x" * 100 for number in range(5000)}
    result = cli("decode", stdin=jwt(payload).encode())
    assert (result.code, json.loads(result.stdout)) == (0, payload)


def test_missing_file_is_a_configuration_error(cli: Cli, tmp_path: Path) -> None:
    result = cli("decode", "--file", tmp_path / "none")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   No such file: {tmp_path / 'none'}\n    Next: ")


def test_a_file_given_as_the_token_is_read(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "my token.json"
    file.write_text(TOKEN)
    assert cli("decode", file) == cli("decode", "--file", file)
    file.write_text('{"type": "service_account"}')
    assert cli("decode", file) == cli("decode", "--file", file)
    both = cli("decode", "--file", file, file)
    assert (both.code, both.stdout) == (2, "")


def _other_things() -> dict[str, tuple[bytes, str]]:
    private = keys.generate("ec")
    public = private.public
    member = {"d": "c2VjcmV0"}
    base64 = "what looks like a key or a certificate in base64"
    return {
        "private key": (private.pem(), "a private key"),
        "private key, encrypted": (private.pem(b"secret"), "a private key"),
        "private key, cut off": (private.pem()[:100], "a private key"),
        "private key, UTF-16": (codecs.BOM_UTF16_LE + private.pem().decode().encode("utf-16-le"), "a private key"),
        "private key, base64": (b64encode(private.pem()), base64),
        "private JWK": (json.dumps(public.jwk() | member).encode(), "a private key"),
        "symmetric JWK": (b'{"kty": "oct", "k": "c2VjcmV0"}', "a private key"),
        "public key": (public.pem(), "a public key"),
        "public key, base64 of DER": (b64encode(public.spki()), base64),
        "public key, SSH": (b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ me@here\n", "a public key"),
        "public key, SSH2": (b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAAB3Nz\n", "a public key"),
        "public JWK": (json.dumps(public.jwk()).encode(), "a public key"),
        "certificate": (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "a certificate"),
        "parameters": (b"-----BEGIN DH PARAMETERS-----\nMIIB\n-----END DH PARAMETERS-----\n", "PEM"),
    }


@pytest.mark.parametrize("thing", _other_things())
def test_a_key_or_certificate_is_named_and_not_shown(cli: Cli, tmp_path: Path, thing: str) -> None:
    content, what = _other_things()[thing]
    file = tmp_path / "thing.pem"
    file.write_bytes(content)
    hint = "    Next: give a token; never show a private key to anybody\n"
    result = cli("decode", "--file", file)
    assert (result.code, result.stdout) == (6, "")
    assert result.stderr == f"✗   {file} holds {what}, not a token\n{hint}"
    result = cli("decode", stdin=content)
    assert (result.code, result.stdout) == (6, "")
    assert result.stderr == f"✗   This is {what}, not a token\n{hint}"


def test_a_token_response_with_a_key_in_it_is_still_one(cli: Cli) -> None:
    result = cli("decode", stdin=json.dumps({"access_token": TOKEN, "kty": "RSA"}).encode())
    assert (result.code, result.stdout) == (0, STDOUT)


def test_the_help_explains_the_argument_first(cli: Cli) -> None:
    said = cli("decode", "--help").stdout
    assert "TOKEN is a JWT, a whole token response, a header with Bearer in it, or what" in said
    sections = re.findall(r"^(\w+):$", said, re.MULTILINE)
    assert sections[:2] == ["Examples", "Input"]
    explained = "TOKEN|- The token itself, or a file that holds it. - or nothing reads it from standard input."
    assert f"Input: {explained}" in " ".join(said.split())


def test_token_and_file_exclude_each_other(cli: Cli, tmp_path: Path) -> None:
    for given_ in (TOKEN, "-"):
        result = cli("decode", given_, "--file", tmp_path / "x")
        said = "✗   A token and --file exclude each other\n    Next: give one of them\n"
        assert (result.code, result.stdout, result.stderr) == (2, "", said)


def test_token_that_was_typed_goes_before_the_variable(cli: Cli) -> None:
    result = cli("decode", TOKEN, env={"BANNO_CREDS_DECODE_FILE": "/nonexistent"})
    assert (result.code, result.stdout, result.stderr) == (0, STDOUT, STEPS)


@pytest.mark.posix("a pseudo-terminal")
def test_nothing_given_at_a_terminal_is_told_instead_of_waiting() -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "banno_creds", "decode"],
            stdin=theirs,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    said = "✗   There is nothing to decode\n    Next: give a token, - to type or paste it, or --file FILE\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize("arguments", [["-"], ["--file", "-"]], ids=["argument", "option"])
def test_at_a_terminal_it_says_that_it_waits(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "banno_creds", "decode", "-q", *arguments]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{TOKEN}\n\x04".encode())
        done = subprocess.run(command, stdin=theirs, capture_output=True, encoding="utf-8", timeout=60, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        STDOUT,
        f"Reading the token: paste it, then press {END_OF_INPUT}.\n",
    )


def test_closed_standard_input_is_told() -> None:
    done = subprocess.run(
        with_closed("stdin", "decode"),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    said = "✗   The token should come from standard input, which is closed\n    Next: give a file\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


CHECKED: dict[str, tuple[dict[str, Any], list[str], str | None]] = {
    "in its time": ({"exp": NOW + 1}, [], None),
    "in its time, nbf too": ({"exp": NOW + 1, "nbf": NOW}, [], None),
    "expired": (
        {"exp": NOW - 180},
        [],
        (
            "The token EXPIRED 3 min ago, at 2026-11-21 15:57:01 UTC\n"
            "    Next: get a fresh one; if it is fresh, compare this machine's clock with the server's"
        ),
    ),
    "expired this second": (
        {"exp": NOW},
        [],
        (
            "The token EXPIRED now, at 2026-11-21 16:00:01 UTC\n"
            "    Next: get a fresh one; if it is fresh, compare this machine's clock with the server's"
        ),
    ),
    "expired within the leeway": ({"exp": NOW - 9}, ["--leeway", "10"], None),
    "expired at the leeway": (
        {"exp": NOW - 10},
        ["--leeway", "10"],
        (
            "The token EXPIRED 10 s ago, at 2026-11-21 15:59:51 UTC\n"
            "    Next: get a fresh one; if it is fresh, compare this machine's clock with the server's"
        ),
    ),
    "the longest leeway": ({"exp": NOW - 3599.5, "nbf": NOW + 9.5}, ["--leeway", "3600"], None),
    "not yet": (
        {"exp": NOW + 600, "nbf": NOW + 60},
        [],
        (
            "The token is not valid before 2026-11-21 16:01:01 UTC, in 60 s\n"
            "    Next: compare this machine's clock with the server's, or allow a difference with --leeway"
        ),
    ),
    "not yet, within the leeway": ({"exp": NOW + 600, "nbf": NOW + 60}, ["--leeway", "60"], None),
    "no exp": (
        {"nbf": NOW},
        [],
        ("The token has no exp: it does not say when it ends\n    Next: do not rely on this token; ask its issuer"),
    ),
    "milliseconds": (
        {"exp": NOW * 1000},
        [],
        (
            f"The token's exp is in milliseconds ({NOW * 1000}), and RFC 7519 wants seconds\n"
            "    Next: tell the token's issuer: read as seconds, it never expires"
        ),
    ),
    "exp is text": (
        {"exp": "tomorrow"},
        [],
        (
            'The token\'s exp is no number: "tomorrow"\n'
            "    Next: RFC 7519 wants seconds since 1970 as a JSON number; tell the token's issuer"
        ),
    ),
    "exp is true": (
        {"exp": True},
        [],
        (
            "The token's exp is no number: true\n"
            "    Next: RFC 7519 wants seconds since 1970 as a JSON number; tell the token's issuer"
        ),
    ),
    "nbf is null": (
        {"exp": NOW + 1, "nbf": None},
        [],
        (
            "The token's nbf is no number: null\n"
            "    Next: RFC 7519 wants seconds since 1970 as a JSON number; tell the token's issuer"
        ),
    ),
}


@pytest.mark.parametrize(("payload", "options", "refusal"), CHECKED.values(), ids=CHECKED)
def test_check_expiry_decides_the_exit_code(
    cli: Cli, payload: dict[str, Any], options: list[str], refusal: str | None
) -> None:
    result = cli("decode", "-q", "--check-expiry", *options, jwt(payload))
    if refusal is None:
        assert (result.code, json.loads(result.stdout), result.stderr) == (0, payload, "")
    else:
        assert (result.code, result.stdout, result.stderr) == (6, "", f"✗   {refusal}\n")


def test_payload_of_an_expired_token_is_shown_as_a_step_and_is_no_result(cli: Cli) -> None:
    result = cli("decode", "--check-expiry", jwt({"sub": "x", "exp": NOW - 180}))
    assert (result.code, result.stdout) == (6, "")
    assert result.stderr == (
        _SHORT + "    EXPIRED 3 min ago, at 2026-11-21 15:57:01 UTC\n"
        " 2  Payload, not to be relied on\n"
        "    {\n"
        '      "sub": "x",\n'
        '      "exp": 1795276621\n'
        "    }\n"
        "✗   The token EXPIRED 3 min ago, at 2026-11-21 15:57:01 UTC\n"
        "    Next: get a fresh one; if it is fresh, compare this machine's clock with the server's\n"
    )


def test_unexpired_token_is_still_said_to_be_unverified(cli: Cli) -> None:
    assert _UNVERIFIED in cli("decode", "--check-expiry", TOKEN).stderr


@pytest.mark.parametrize(
    ("options", "heavy"),
    [(["-q"], ["cryptography", "jwt", "httpx", "rich"]), ([], ["cryptography", "jwt", "httpx"])],
    ids=["quiet", "with steps"],
)
def test_decoding_without_verifying_loads_nothing_heavy(options: list[str], heavy: list[str]) -> None:
    program = (
        "import sys, banno_creds.cli.main as c\n"
        "code = c.run(['decode', *sys.argv[1:]])\n"
        f"loaded = [m for m in {heavy!r} if m in sys.modules]\n"
        "sys.exit(', '.join(loaded) or code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *options, TOKEN],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, STDOUT), done.stderr


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**9, 10**14)
    | st.integers().map(lambda n: n * 10**300)
    | st.floats()
    | st.text(st.characters(exclude_categories=[])),
    # Small, because making the data takes most of the time; deep and long values have tests of their own.
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["exp", "iat", "nbf", "auth_time", "iss", "aud"]) | st.text(), JSON, max_size=4
)
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "enc"]), JSON, max_size=3)
OPTIONS = st.sampled_from([(), ("--full",), ("-q",), ("--check-expiry",), ("--check-expiry", "--leeway", "5")])


def decodes_in_words(stdin: bytes, *options: str) -> int:
    """Run it, and make sure of what holds for every input."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run(["decode", *options])
    assert code in (0, 2, 6), stderr.getvalue()
    assert "Traceback" not in stderr.getvalue()
    assert all(c.isprintable() for c in stderr.getvalue().replace("\n", ""))
    if code == 0:
        json.loads(stdout.getvalue())
    else:
        assert stdout.getvalue() == ""
        assert stderr.getvalue()
    return code


_PROPERTY = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.once
@_PROPERTY
@given(st.binary(), OPTIONS)
@example(b"\xff\xfe\x00", ())
def test_no_bytes_end_in_a_traceback(content: bytes, options: tuple[str, ...]) -> None:
    decodes_in_words(content, *options)


@pytest.mark.once
@_PROPERTY
@given(st.text(), OPTIONS)
@example("Bearer .a.b", ())
@example("{", ())
def test_no_text_ends_in_a_traceback(content: str, options: tuple[str, ...]) -> None:
    decodes_in_words(content.encode(), *options)


@pytest.mark.once
@_PROPERTY
@given(st.lists(st.binary().map(base64url) | st.text(max_size=5), max_size=6), OPTIONS)
def test_nothing_with_dots_in_it_ends_in_a_traceback(parts: list[str], options: tuple[str, ...]) -> None:
    decodes_in_words(".".join(parts).encode(), *options)


@pytest.mark.once
@_PROPERTY
@given(HEADERS, CLAIMS, OPTIONS)
def test_no_jwt_ends_in_a_traceback(
    header: dict[str, Any], payload: dict[str, Any], options: tuple[str, ...]
) -> None:
    token = jwt(json.dumps(payload), json.dumps(header))
    code = decodes_in_words(token.encode(), *options)
    if "--check-expiry" not in options and not {"NaN", "Infinity"} & set(json.dumps([payload, header]).split()):
        assert code in (0, 6)


@pytest.mark.once
@_PROPERTY
@given(st.dictionaries(st.sampled_from(["access_token", "id_token", "error"]) | st.text(), JSON, max_size=4), OPTIONS)
def test_no_response_ends_in_a_traceback(response: dict[str, Any], options: tuple[str, ...]) -> None:
    decodes_in_words(json.dumps(response).encode(), *options)


@pytest.mark.once
@_PROPERTY
@given(HEADERS)
def test_no_encrypted_token_ends_in_a_traceback(header: dict[str, Any]) -> None:
    assert decodes_in_words(f"{part(json.dumps(header))}.a.b.c.d".encode()) == 6
