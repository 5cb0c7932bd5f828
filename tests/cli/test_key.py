"""``banno-creds key``: any key is told, its openssl line is true, nothing private is shown; and what the bank has."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from banno_creds.jose import keys
from banno_creds.rotation.journal import Journal, Record
from tests.conftest import CLIENT_ID, Cli, How, Result, write_private
from tests.key_files import ENCRYPTED, FORMS, PASSPHRASE, with_ec_parameters
from tests.openssl import openssl
from tests.servers.loopback import Says

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.scripted import ScriptedServer

DAY = 86400
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS1, SPKI = serialization.PublicFormat.PKCS1, serialization.PublicFormat.SubjectPublicKeyInfo
needs_sh = pytest.mark.posix("the line is for sh")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one, with ``banno-creds`` on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    if sys.platform != "win32":
        (programs / "banno-creds").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m banno_creds "$@"\n')
        (programs / "banno-creds").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def _shown(done: Result, code: int = 0) -> list[dict[str, Any]]:
    assert done.code == code, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["keys"]
    return found


def _digest(line: str) -> str:
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr in ("", "writing RSA key\n")
    return done.stdout.rpartition("= ")[2].strip()


def _private_jwk(key: keys.PrivateKey) -> dict[str, Any]:
    native = key.native
    numbers: dict[str, int]
    if isinstance(native, rsa.RSAPrivateKey):
        own = native.private_numbers()
        numbers = {"d": own.d, "p": own.p, "q": own.q, "dp": own.dmp1, "dq": own.dmq1, "qi": own.iqmp}
    else:
        numbers = {"d": native.private_numbers().private_value}
    return key.public.jwk() | {name: _base64url(number) for name, number in numbers.items()}


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


# --- Every form -----------------------------------------------------------------------------------------------------


def _openssh(key: keys.PrivateKey) -> bytes:
    return key.native.private_bytes(PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())


def _certificate(key: keys.PrivateKey, *args: str) -> bytes:
    return openssl("req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=bank", *args, stdin=key.pem())


MADE: dict[str, tuple[str, str, Callable[[keys.PrivateKey], bytes]]] = {
    "SPKI": ("public-key", "PEM", lambda key: key.public.pem()),
    "SPKI in DER": ("public-key", "DER", lambda key: key.public.spki()),
    "certificate": ("certificate", "PEM", _certificate),
    "certificate in DER": ("certificate", "DER", lambda key: _certificate(key, "-outform", "DER")),
    "request": (
        "certificate-request",
        "PEM",
        lambda key: openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", stdin=key.pem()),
    ),
    "PKCS #7": (
        "certificate",
        "PEM",
        lambda key: openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", stdin=_certificate(key)),
    ),
    "JWK": ("jwk", "JWK", lambda key: json.dumps(key.public.jwk()).encode()),
    "private JWK": ("private-jwk", "JWK", lambda key: json.dumps(_private_jwk(key)).encode()),
    "OpenSSH": ("private-key", "PEM (OpenSSH)", _openssh),
    "CRLF": ("private-key", "PEM (PKCS#8)", lambda key: key.pem().replace(b"\n", b"\r\n")),
    "text around": ("private-key", "PEM (PKCS#8)", lambda key: b"Bag\n x: 1\n" + key.pem() + b"more\n"),
    # What OpenSSL does not read, and we do.
    "base64 of PEM": ("private-key", "PEM (PKCS#8)", lambda key: base64.b64encode(key.pem())),
    "UTF-16": ("private-key", "PEM (PKCS#8)", lambda key: key.pem().decode().encode("utf-16")),
    "byte order mark": ("private-key", "PEM (PKCS#8)", lambda key: b"\xef\xbb\xbf" + key.pem()),
    "one long line": (
        "private-key",
        "PEM (PKCS#8)",
        lambda key: b"\n".join((key.pem()[:27], b"".join(key.pem().split(b"\n")[1:-2]), key.pem()[-26:])),
    ),
}

NOT_BY_OPENSSL = {
    *("PKCS #7", "JWK", "private JWK", "OpenSSH", "base64 of PEM", "UTF-16", "byte order mark", "one long line")
}


@needs_sh
@pytest.mark.once
@pytest.mark.parametrize("sort", ["rsa", "ec"])
@pytest.mark.parametrize("form", MADE)
def test_each_form_is_told_and_openssl_prints_the_same(
    place: Path, cli: Cli, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey, form: str, sort: str
) -> None:
    key = rsa_key if sort == "rsa" else ec_key
    kind, written, make = MADE[form]
    write_private(place / "a key.pem", make(key))
    [found] = _shown(cli("key", "show", "-o", "json", "a key.pem"))
    assert (found["kind"], found["form"], found["description"]) == (kind, written, key.description)
    assert found["fingerprint"] == key.public.fingerprint()
    assert found["thumbprint"] == key.public.thumbprint()
    assert found["compare"].startswith("banno-creds" if form in NOT_BY_OPENSSL else "openssl")
    assert _digest(found["compare"]) == found["sha256"]


@needs_sh
@pytest.mark.once
@pytest.mark.parametrize("form", [*FORMS, *(f"encrypted {form}" for form in ENCRYPTED)])
def test_each_form_of_a_private_key_is_told_and_openssl_prints_the_same(
    place: Path, cli: Cli, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey, form: str
) -> None:
    is_encrypted = form.startswith("encrypted ")
    sort, make = ENCRYPTED[form.removeprefix("encrypted ")] if is_encrypted else FORMS[form]
    key = rsa_key if sort == "rsa" else ec_key
    write_private(place / "key", make(key.pem()))
    write_private(place / "pass", PASSPHRASE)
    [found] = _shown(cli("key", "show", "-o", "json", "--passphrase-file", "pass", "key"))
    assert found["fingerprint"] == key.public.fingerprint()
    assert "encrypted" in found["form"] or not is_encrypted
    assert _digest(found["compare"]) == found["sha256"]


@needs_sh
@pytest.mark.once
def test_where_openssl_tells_another_form_of_a_key_it_is_given_ours(
    place: Path, cli: Cli, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    pss = openssl("genpkey", "-algorithm", "RSA-PSS")
    made = {
        "pss": pss,
        "pss-public": openssl("pkey", "-pubout", stdin=pss),
        "compressed": openssl("ec", "-conv_form", "compressed", stdin=ec_key.pem()),
        "compressed-public": openssl("ec", "-pubout", "-conv_form", "compressed", stdin=ec_key.pem()),
        "explicit": openssl("ec", "-param_enc", "explicit", stdin=ec_key.pem()),
        "parameters": with_ec_parameters(ec_key.pem()),
        "pkcs1": rsa_key.native.public_key().public_bytes(PEM, PKCS1),
        "pkcs1-der": rsa_key.native.public_key().public_bytes(DER, PKCS1),
    }
    for name, content in made.items():
        write_private(place / name, content)
    found = _shown(cli("key", "show", "-o", "json", *made))
    assert len(found) == len(made)
    for each in found:
        assert _digest(each["compare"]) == each["sha256"], each["compare"]


def test_of_a_long_line_openssl_is_given_our_form(place: Path, cli: Cli, ec_key: keys.PrivateKey) -> None:
    """OpenSSL 1.1 does not read it, and that of the tests may."""
    begin, *lines, end = ec_key.public.pem().decode().split("\n")[:-1]
    (place / "long.pem").write_text("\n".join([begin, "".join(lines), end, ""]))
    [found] = _shown(cli("key", "show", "-o", "json", "long.pem"))
    assert found["compare"].startswith("banno-creds key show -o pem long.pem |")


@needs_sh
@pytest.mark.once
def test_each_key_of_a_set_has_a_line_of_its_own(
    place: Path, cli: Cli, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    edwards = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    new = {"kty": "AKP", "alg": "ML-DSA-44", "pub": "abc", "kid": "pq"}
    jwks = [rsa_key.public.jwk() | {"kid": "one"}, ec_key.public.jwk() | {"use": "enc"}, edwards, new]
    (place / "jwks.json").write_text(json.dumps({"keys": jwks}))
    found = _shown(cli("key", "show", "-o", "json", "jwks.json"))
    assert [each["number"] for each in found] == [1, 2, 3, 4]
    assert [each["type"] for each in found] == ["RSA", "EC", "Ed25519", "AKP"]
    assert [each["kid"] for each in found] == ["one", None, None, "pq"]
    for each in found[:3]:
        assert _digest(each["compare"]) == each["sha256"]
    assert found[3]["compare"] is None
    for only in ("one", found[0]["thumbprint"], found[0]["fingerprint"]):
        assert _shown(cli("key", "show", "-o", "json", "--only", only, "jwks.json")) == found[:1]
    pem = cli("key", "show", "-o", "pem", "--only", "one", "jwks.json")
    assert pem.stdout.encode() == rsa_key.public.pem()
    none = cli("key", "show", "--only", "nothing", "jwks.json")
    assert (none.code, none.stdout) == (3, "")
    assert "No key there has the kid, thumbprint or fingerprint nothing" in none.stderr


def test_a_key_that_the_provider_does_not_take_is_told_too(place: Path, cli: Cli) -> None:
    small = rsa.generate_private_key(65537, 1024)
    pkcs8, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_private(place / "small", small.private_bytes(PEM, pkcs8, clear))
    write_private(place / "ed", ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, pkcs8, clear))
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    (place / "p384").write_bytes(public.public_bytes(PEM, SPKI))
    done = cli("key", "show", "small", "ed", "p384")
    assert done.code == 0
    for words in ("RSA 1024", "Ed25519", "EC P-384"):
        assert f"type        {words}, a type or size that the provider does not take" in done.stdout


def test_a_certificate_tells_its_subject_and_validity_and_counts_its_age_from_it(
    place: Path, cli: Cli, how: How, rsa_key: keys.PrivateKey
) -> None:
    (place / "c.pem").write_bytes(_certificate(rsa_key, "-days", "30"))
    [found] = _shown(cli("key", "show", "-o", "json", "c.pem"))
    begin = found["certificate"]["not_before"]
    assert found["certificate"] == {"subject": "CN=bank", "not_before": begin, "not_after": begin + 30 * DAY}
    assert (found["there_since"], found["there_since_by"]) == (begin, "certificate")
    how.clock = lambda: begin + 3 * DAY
    [found] = _shown(cli("key", "show", "-o", "json", "c.pem"))
    assert found["age_days"] == 3
    assert "subject     CN=bank\n" in cli("key", "show", "c.pem").stdout


# --- What is no key -------------------------------------------------------------------------------------------------


def _p12(key: keys.PrivateKey) -> bytes:
    how = serialization.BestAvailableEncryption(PASSPHRASE)
    return pkcs12.serialize_key_and_certificates(b"x", key.native, None, None, how)


NO_KEYS: dict[str, tuple[Callable[[keys.PrivateKey], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "OpenSSH": (
        lambda key: key.native.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        ),
        "is a public key in OpenSSH's format",
    ),
    "p12": (_p12, "is a PKCS#12 file"),
    "token": (lambda _: b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln\n", "is a token (JWT), and no key"),
    "cut off": (lambda key: key.pem()[:300], "is cut off"),
    "CRL": (
        lambda _: b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n",
        "no key that can be read, but: X509",
    ),
    "JSON": (lambda _: b'{"access_token": "canary"}', "is JSON, but no JWK"),
    "empty set": (lambda _: b'{"keys": []}', "is a JWK Set without a key"),
    "odd set": (lambda _: b'{"keys": {}}', "whose keys are no array"),
    "half of JSON": (lambda _: b'{"kty": ', "starts like a JWK Set, but it is not JSON"),
    "symmetric": (lambda _: b'{"kty": "oct", "k": "Y2FuYXJ5"}', "is a symmetric JWK"),
    "broken JWK": (lambda _: b'{"kty": "RSA", "n": "!", "e": "AQAB"}', "whose members do not make a key"),
    "text": (lambda _: b"canary\n", "holds no key: neither PEM, DER nor JWK"),
    "path": (lambda _: b"/home/a/private.pem\n", "what looks like a file's path"),
    "large": (lambda _: b"x" * (1 << 21), "is larger than 1024 KiB"),
    "two keys": (lambda key: key.pem() + keys.generate("ec").pem(), "holds 2 private keys"),
}


@pytest.mark.parametrize("sort", NO_KEYS)
def test_what_is_no_key_is_named_and_the_others_are_shown(
    place: Path, cli: Cli, rsa_key: keys.PrivateKey, rsa_pem: Path, sort: str
) -> None:
    make, words = NO_KEYS[sort]
    write_private(place / "wrong", make(rsa_key))
    done = cli("key", "show", "-o", "json", "wrong", "nowhere", rsa_pem)
    found = _shown(done, 3)
    assert [each["place"] for each in found if each["fingerprint"]] == [str(rsa_pem)]
    failed = json.loads(done.stdout)["failed"]
    assert [(each["place"], each["exit_code"]) for each in failed] == [("wrong", 3), ("nowhere", 3)]
    assert words in failed[0]["message"]
    assert words in done.stderr.replace("\n    ", " ")
    assert failed[0]["hint"]
    assert "canary" not in done.stdout + done.stderr
    assert "Y2FuYXJ5" not in done.stdout + done.stderr


@pytest.mark.parametrize("argument", ["pem", "split", "jwk"])
@pytest.mark.parametrize("command", ["key show", "key match", "jwks build"])
def test_a_private_key_as_an_argument_is_refused_and_not_shown(
    cli: Cli, rsa_key: keys.PrivateKey, command: str, argument: str
) -> None:
    texts = {"pem": rsa_key.pem().decode(), "jwk": json.dumps(_private_jwk(rsa_key)), "split": rsa_key.pem().decode()}
    typed = texts[argument].split() if argument == "split" else [texts[argument]]
    end = ["--"] if argument != "jwk" else []
    registered = ["--registered", os.devnull] if command == "key match" else []
    done = cli(*command.split(), *registered, *end, *typed)
    assert done.code == 2
    assert "looks like a private key (not shown here)" in done.stderr
    assert texts[argument][100:140] not in done.stdout + done.stderr


@needs_sh
def test_a_pipe_is_read_and_odd_names_do_no_harm(place: Path, cli: Cli, rsa_key: keys.PrivateKey) -> None:
    out, into = os.pipe()
    with os.fdopen(out), os.fdopen(into, "wb") as stream:
        stream.write(rsa_key.pem())
        stream.close()
        [found] = _shown(cli("key", "show", "-o", "json", f"/dev/fd/{out}"))
    assert (found["file"], found["there_since"], found["fingerprint"]) == (None, None, rsa_key.public.fingerprint())
    assert (
        found["compare"] == "banno-creds key show -o pem - | openssl pkey -pubin -outform DER | openssl dgst -sha256"
    )
    for name in ("-k.pem", "--only", "a'b $(touch x).pem", "ключ.pem"):
        write_private(place / name, rsa_key.pem())
        [found] = _shown(cli("key", "show", "-o", "json", "--", name))
        assert _digest(found["compare"]) == found["sha256"]
    assert not (place / "x").exists()
    write_private(place / "a\x1b[2J.pem", rsa_key.pem())
    done = cli("key", "show", "a\x1b[2J.pem")
    assert (done.code, "compare" in done.stdout, "\x1b" in done.stdout) == (0, False, False)


@pytest.mark.parametrize("pin", ["pin-value=84319", "pin-source=84319", "pin%2Dvalue=84319"])
@pytest.mark.parametrize("words", [("show",), ("match", "--registered", "public.pem")])
def test_a_pin_in_a_uri_is_refused_and_not_shown(cli: Cli, words: tuple[str, ...], pin: str) -> None:
    done = cli("key", *words, "-o", "json", f"pkcs11:token=a;object=b?{pin}")
    assert (done.code, done.stdout) == (2, "")
    assert "84319" not in done.stderr


def test_nothing_private_is_shown(place: Path, cli: Cli, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> None:
    secret = [value for key in (rsa_key, ec_key) for name, value in _private_jwk(key).items() if name in "dpq"]
    for name, key in (("rsa", rsa_key), ("ec", ec_key)):
        write_private(place / f"{name}.pem", key.pem())
        write_private(place / f"{name}.jwk", json.dumps(_private_jwk(key)).encode())
        write_private(place / f"{name}.set", json.dumps({"keys": [_private_jwk(key)] * 2}).encode())
        secret += [line for line in key.pem().decode().splitlines() if "KEY" not in line]
    files = sorted(each.name for each in place.iterdir())
    before = {each.name: each.read_bytes() for each in place.iterdir()}
    (place / "rsa.pub").write_bytes(rsa_key.public.pem())
    said = []
    for output in ("text", "json", "pem"):
        done = cli("key", "show", "-o", output, *files)
        assert done.code == 0
        said.append(done.stdout + done.stderr)
    said.append(cli("key", "match", "--registered", "rsa.set", *files).stdout)
    assert [text for text in secret for each in said if text in each] == []
    (place / "rsa.pub").unlink()
    assert {each.name: each.read_bytes() for each in place.iterdir()} == before  # and nothing was written


# --- Files and profiles ---------------------------------------------------------------------------------------------


@pytest.mark.posix("modes")
def test_the_file_is_told_and_its_readers_are_warned_of(place: Path, cli: Cli, rsa_key: keys.PrivateKey) -> None:
    write_private(place / "a.pem", rsa_key.pem()).chmod(0o644)
    write_private(place / "b.pem", rsa_key.pem()).chmod(0o666)
    (place / "public.pem").write_bytes(rsa_key.public.pem())
    done = cli("key", "show", "a.pem", "b.pem", "public.pem")
    assert done.code == 0
    assert re.search(r"file        mode 0644, of \w+\n", done.stdout)
    assert "Others can read a.pem (mode 0644)\n    chmod 600 a.pem" in done.stderr
    assert "Others can write b.pem (mode 0666)\n    chmod 600 b.pem" in done.stderr
    assert "public.pem" not in done.stderr
    [found] = _shown(cli("key", "show", "-o", "json", "a.pem"))
    assert found["file"]["rights"] == "mode 0644"
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    write_private(shared / "c.pem", rsa_key.pem())
    said = " ".join(cli("key", "show", "shared/c.pem").stderr.split())
    assert "can put another file in the place of" in said


@pytest.fixture
def profiles(place: Path, cli: Cli, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> Path:
    """Profiles with one key by two paths, an encrypted one, one that is gone, and one that is held elsewhere."""
    write_private(place / "rsa.pem", rsa_key.pem())
    write_private(place / "locked.pem", ec_key.pem(PASSPHRASE))
    settings = {
        "garden": "rsa.pem",
        "granite": "./rsa.pem",
        "copy": "copy.pem",
        "locked": "locked.pem",
        "gone": "gone.pem",
        "held": "vault:transit/banno",
    }
    write_private(place / "copy.pem", rsa_key.pem())
    config = place / "config.toml"
    text = "".join(f'[profiles.{name}]\nclient_id = "a"\nprivate_key = "{key}"\n' for name, key in settings.items())
    write_private(config, f"{text}[profiles.bad]\nclient_ids = 1\n".encode())
    return config


def test_the_profiles_are_found_by_file_and_by_fingerprint(
    place: Path, cli: Cli, profiles: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    (place / "public.pem").write_bytes(rsa_key.public.pem())
    (place / "other.pem").write_bytes(ec_key.public.pem())
    asked: list[str | Path] = ["key", "show", "-o", "json", "--config", profiles]
    for name in ("rsa.pem", "public.pem"):
        [found] = _shown(cli(*asked, name))
        assert found["profiles"] == ["garden", "granite", "copy"]
    # An encrypted key is theirs by its file alone: nobody is asked for a passphrase.
    done = cli(*asked, "locked.pem", "other.pem")
    locked, other = _shown(done, 3)
    assert (locked["profiles"], other["profiles"]) == (["locked"], [])
    write_private(place / "unknown.pem", ec_key.pem(PASSPHRASE))
    [unknown] = _shown(cli(*asked, "unknown.pem"), 3)
    assert unknown["profiles"] == []
    assert locked["fingerprint"] is None
    assert "is encrypted, and no passphrase was given" in locked["fault"]
    assert locked["compare"] == "openssl pkey -in locked.pem -pubout -outform DER | openssl dgst -sha256"


@pytest.mark.posix("links")
def test_the_profiles_are_found_through_links(place: Path, cli: Cli, profiles: Path) -> None:
    (place / "link.pem").symlink_to("locked.pem")
    os.link(place / "locked.pem", place / "hard.pem")
    done = cli("key", "show", "-o", "json", "--config", profiles, "link.pem", "hard.pem")
    assert [each["profiles"] for each in _shown(done, 3)] == [["locked"], ["locked"]]


@pytest.mark.posix("a pipe")
@pytest.mark.timeout(30)
def test_a_pipe_in_a_profile_is_not_waited_for(place: Path, cli: Cli, rsa_pem: Path) -> None:
    os.mkfifo(place / "pipe")
    write_private(place / "config.toml", b'[profiles.a]\nclient_id = "a"\nprivate_key = "pipe"\n')
    [found] = _shown(cli("key", "show", "-o", "json", "--config", "config.toml", rsa_pem))
    assert found["profiles"] == []


def test_each_file_of_the_profiles_is_read_once(
    place: Path, cli: Cli, rsa_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(place / "rsa.pem", rsa_key.pem())
    os.link(place / "rsa.pem", place / "same.pem")
    names = ["same.pem", *["rsa.pem"] * 299]
    text = "".join(f'[profiles.p{n}]\nclient_id = "a"\nprivate_key = "{name}"\n' for n, name in enumerate(names))
    write_private(place / "config.toml", text.encode())
    read: list[object] = []

    def reading(content: bytes, *rest: Any) -> keys.PrivateKey:
        read.append(content)
        return keys.load_private_key(content, *rest)

    monkeypatch.setattr("banno_creds.client_authentication.key_facts.load_private_key", reading)
    (place / "public.pem").write_bytes(rsa_key.public.pem())
    done = cli("key", "show", "-o", "json", "--config", "config.toml", "rsa.pem", "public.pem", "rsa.pem")
    assert [len(each["profiles"]) for each in _shown(done)] == [300] * 3
    assert len(read) == 1


def test_a_broken_file_of_profiles_stops_nothing_unless_it_was_named(place: Path, cli: Cli, rsa_pem: Path) -> None:
    write_private(place / "config.toml", b"nonsense")
    named = cli("key", "show", "--config", "config.toml", rsa_pem)
    assert (named.code, named.stdout) == (2, "")
    from banno_creds.config import find_config_file

    usual = find_config_file(None)
    assert usual is not None
    os.makedirs(os.path.dirname(usual))  # noqa: PTH103, PTH120 - a path as text
    write_private(place / "config.toml", b"nonsense").rename(usual)
    done = cli("key", "show", rsa_pem)
    assert (done.code, "fingerprint" in done.stdout) == (0, True)
    assert "Which profiles use a key is not known" in done.stderr.replace("which", "Which")


# --- Held keys, URLs, standard input --------------------------------------------------------------------------------


def test_standard_input_and_several_at_once(cli: Cli, rsa_key: keys.PrivateKey, rsa_pem: Path) -> None:
    first, second = _shown(cli("key", "show", "-o", "json", "-", rsa_pem, stdin=rsa_key.public.pem()))
    assert (first["place"], first["kind"], first["file"]) == ("-", "public-key", None)
    assert (first["there_since"], first["fingerprint"]) == (None, second["fingerprint"])
    text = cli("key", "show", "-", stdin=rsa_key.public.pem()).stdout
    assert text.startswith("standard input\n    is          public key, PEM\n    type        RSA 2048\n")
    assert "banno-creds key show -o pem - | openssl pkey" in text


def test_no_more_is_read_than_any_key_has(place: Path, cli: Cli, ec_key: keys.PrivateKey) -> None:
    large = cli("key", "show", "-", stdin=json.dumps(ec_key.public.jwk()).encode() + b"\n" * 1024 * 1024)
    assert large.code == 3
    assert "larger than 1024 KiB" in large.stderr
    many = b"".join(keys.generate("ec").public.pem() for _ in range(101))
    assert len(_shown(cli("key", "show", "-o", "json", "-", stdin=many))) == 100


def test_the_line_for_a_file_that_looks_like_an_option_is_whole(
    place: Path, cli: Cli, ec_key: keys.PrivateKey
) -> None:
    (place / "-x.json").write_text(json.dumps(ec_key.public.jwk()))
    [found] = _shown(cli("key", "show", "-o", "json", "--", "-x.json"))
    assert "banno-creds key show -o pem -- -x.json |" in found["compare"]


def test_a_set_at_a_url(cli: Cli, server: ScriptedServer, rsa_key: keys.PrivateKey) -> None:
    server.says(Says(body=json.dumps({"keys": [rsa_key.public.jwk() | {"kid": "a"}]}).encode()))
    [found] = _shown(cli("key", "show", "-o", "json", server.url))
    assert (found["kid"], found["fingerprint"]) == ("a", rsa_key.public.fingerprint())
    server.says(Says(body=json.dumps({"keys": [_private_jwk(rsa_key)]}).encode()))
    done = cli("key", "show", server.url)
    assert "is a JWK Set with a private key in it (not shown)" in done.stderr.replace("\n    ", " ")


def test_what_is_not_fetched_is_an_error_of_the_network_and_the_worst_code_counts(
    cli: Cli, server: ScriptedServer, rsa_pem: Path, pauses: list[float]
) -> None:
    server.says(Says(404))
    done = cli("key", "show", "-o", "json", "nowhere", server.url, rsa_pem)
    assert len(_shown(done, 5)) == 1
    assert [each["exit_code"] for each in json.loads(done.stdout)["failed"]] == [3, 5]
    assert cli("key", "show", server.url, "nowhere").code == 5
    assert cli("key", "show", "http://example.com/jwks.json").code == 2


# --- Ages -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def old(place: Path, rsa_key: keys.PrivateKey, how: How) -> Path:
    """A profile's key that is 40 days old."""
    file = write_private(place / "rsa.pem", rsa_key.pem())
    how.clock = lambda: file.stat().st_mtime + 40 * DAY
    return file


def _config(place: Path, *lines: str) -> Path:
    own = "".join(f"{line}\n" for line in lines)
    text = f'[profiles.a]\nclient_id = "{CLIENT_ID}"\nprivate_key = "rsa.pem"\n{own}'
    return write_private(place / "config.toml", text.encode())


@pytest.mark.parametrize(("limit", "too_old"), [("39d", True), ("41d", False), ("5w", True), ("959h", True)])
def test_a_profiles_limit_makes_an_older_key_a_warning(
    place: Path, cli: Cli, old: Path, limit: str, too_old: bool
) -> None:
    config = _config(place, f'key_max_age = "{limit}"')
    done = cli("key", "show", "--config", config, old)
    assert done.code == 0
    assert "age         40 days or more, by the time of its file" in done.stdout
    assert (f"rsa.pem is older than {limit}" in done.stderr) is too_old
    [found] = _shown(cli("key", "show", "-o", "json", "--config", config, old))
    assert (found["age_days"], found["too_old"], found["there_since_by"]) == (40, too_old, "file")
    [profile] = json.loads(cli("profile", "list", "-o", "json", "--config", config).stdout)["profiles"]
    assert (profile["key_age_days"], profile["key_too_old"], profile["key_max_age"]) == (40, too_old, limit)
    assert profile["key_there_since"] == int(old.stat().st_mtime)
    listed = cli("profile", "list", "--config", config).stdout
    assert ("!   age             key.age\n" in listed) is too_old
    assert "40 days or more, by the time of its file" in listed


def test_the_lowest_limit_counts(place: Path, cli: Cli, old: Path) -> None:
    config = _config(place, 'key_max_age = "400d"')
    assert "older than" not in cli("key", "show", "--config", config, old).stderr
    done = cli("key", "show", "--config", config, "--key-max-age", "39d", old)
    assert "older than 39d" in done.stderr
    wrong = cli("key", "show", "--key-max-age", "400", old)
    assert (wrong.code, wrong.stdout) == (2, "")
    assert "--key-max-age '400' is no duration\n    Next: write it as 400d, 57w or 36h" in wrong.stderr


@pytest.mark.parametrize(("time", "words"), [(4_000_000_000, "which lies ahead"), (1, "which is no key's")])
def test_a_time_that_is_no_keys_tells_no_age(
    place: Path, cli: Cli, old: Path, how: How, server: ScriptedServer, time: int, words: str
) -> None:
    now = how.clock()
    how.clock = lambda: now
    os.utime(old, (time, time))
    config = _config(place, 'key_max_age = "1d"', f'token_endpoint = "{server.url}token"')
    done = cli("key", "show", old)
    assert "age         not known: by the time of its file, " in done.stdout
    assert words in done.stdout
    [found] = _shown(cli("key", "show", "-o", "json", "--config", config, old))
    [profile] = json.loads(cli("profile", "list", "-o", "json", "--config", config).stdout)["profiles"]
    assert (found["age_days"], found["too_old"]) == (profile["key_age_days"], profile["key_too_old"]) == (None, False)
    doctor = cli("doctor", "--profile", "a", "--config", config, "--offline")
    assert "?   age             cannot tell: by the time of its file, " in doctor.stdout
    assert "older" not in cli("sign-jwt", "--profile", "a", "--config", config).stderr


def test_what_a_rotation_noted_is_older_than_a_copied_file(
    place: Path, cli: Cli, old: Path, how: How, rsa_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, now = _config(place, 'key_max_age = "60d"'), how.clock()
    asked = ["key", "show", "-o", "json", "--config", str(config), str(old)]
    state = place / "state"
    monkeypatch.setenv("BANNO_CREDS_STATE_DIR", str(state))
    journal = Journal(str(state), str(config))
    record = Record(
        ["a"],
        keys.generate("ec").public.jwk(),
        {"a": {"private_key": "old.pem"}},
        "new",
        now - 99 * DAY,
        new=dict(rsa_key.public.jwk()),
    )
    with journal.locked(lambda _: None):
        journal.write([record])
    assert _shown(cli(*asked))[0]["age_days"] == 40  # nobody has seen the new key yet
    record.both_since, record.granted = now - 88 * DAY, {"a": now - 70 * DAY}
    journal.write([record])
    [found] = _shown(cli(*asked))
    assert (found["age_days"], found["there_since_by"], found["too_old"]) == (88, "rotation", True)
    doctor = cli("doctor", "--profile", "a", "--config", config, "--offline")
    assert "88 days or more, by the journal of rotations" in doctor.stdout
    record.both_since = now - 8 * DAY  # later than the file
    record.granted = {}
    journal.write([record])
    assert _shown(cli(*asked))[0]["there_since_by"] == "file"
    write_private(next(state.iterdir()), b"{")
    assert _shown(cli(*asked))[0]["age_days"] == 40


@pytest.mark.parametrize("limit", ["0d", "400", "400y", "-1d", "d", "1d2h", "999999999w"])
def test_what_is_no_duration_is_refused_in_a_profile(place: Path, cli: Cli, limit: str) -> None:
    config = _config(place, f'key_max_age = "{limit}"')
    done = cli("sign-jwt", "--profile", "a", "--config", config)
    assert done.code == 2
    assert f"key_max_age '{limit}' is no duration" in done.stderr


def test_the_doctor_tells_a_keys_age_and_warns_of_an_old_one(place: Path, cli: Cli, old: Path) -> None:
    config = _config(place)
    asked: list[str | Path] = ["doctor", "--profile", "a", "--config", config, "--offline"]
    done = cli(*asked)
    assert (done.code, "✓   age             40 days or more, by the time of its file" in done.stdout) == (0, True)
    warned = json.loads(cli(*asked, "--key-max-age", "39d", "-o", "json").stdout)
    [finding] = [each for each in warned["findings"] if each["rule"] == "key.age"]
    assert (finding["verdict"], finding["expected"]) == ("warn", "39d at the most (--key-max-age)")
    assert warned["verdict"] == "pass"


def test_who_signs_with_an_old_key_is_warned_and_the_cache_says_nothing(
    place: Path, cli: Cli, old: Path, server: ScriptedServer
) -> None:
    config = _config(place, 'key_max_age = "39d"', f'token_endpoint = "{server.url}token"')
    token = {"access_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "token_type": "Bearer", "expires_in": 600}
    server.says(Says(body=json.dumps(token).encode()))
    asked: list[str | Path] = ["token", "--profile", "a", "--config", config]
    first, second = cli(*asked), cli(*asked)
    assert (first.code, second.code) == (0, 0)
    assert "is older than 39d (key_max_age in the profile): 40 days or more" in first.stderr.replace("\n    ", " ")
    assert "older" not in second.stderr


# --- Match ----------------------------------------------------------------------------------------------------------


@needs_sh
def test_match_tells_which_keys_the_bank_has_and_which_nobody_here_has(
    place: Path, cli: Cli, profiles: Path, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey
) -> None:
    other = keys.generate("ec")
    jwks = [rsa_key.public.jwk() | {"kid": "one"}, other.public.jwk() | {"kid": "two"}]
    (place / "jwks.json").write_text(json.dumps({"keys": jwks}))
    (place / "ec.pem").write_bytes(ec_key.public.pem())
    asked: list[str | Path] = ["key", "match", "--config", profiles, "--registered", "jwks.json"]
    done = cli(*asked, "rsa.pem", "ec.pem", "-o", "json")
    assert done.code == 3
    told = json.loads(done.stdout)
    assert [(each["place"], each["is_registered"]) for each in told["keys"]] == [("rsa.pem", True), ("ec.pem", False)]
    [unknown] = told["others"]
    assert (unknown["kid"], unknown["profiles"], told["all"]) == ("two", [], False)
    for each in (*told["keys"], unknown):
        assert _digest(each["compare"]) == each["sha256"]
    text = cli(*asked, "rsa.pem", "ec.pem")
    assert (text.code, text.stderr) == (3, "")
    assert "rsa.pem\n    bank        registered, RSA 2048\n" in text.stdout
    assert "ec.pem\n    bank        NOT registered, EC P-256\n" in text.stdout
    assert 'Registered, EC P-256, kid "two": none of these keys\n' in text.stdout
    assert cli(*asked, "rsa.pem", "-o", "json").code == 0
    # A key here that a profile has, and that was not named.
    [here] = json.loads(cli(*asked[:-1], "jwks.json", "ec.pem", "-o", "json").stdout)["others"][:1]
    assert here["profiles"] == ["garden", "granite", "copy"]


def test_match_of_a_url_and_what_cannot_be_compared(
    place: Path, cli: Cli, server: ScriptedServer, rsa_key: keys.PrivateKey, rsa_pem: Path, pauses: list[float]
) -> None:
    server.says(Says(body=json.dumps({"keys": [rsa_key.public.jwk()]}).encode()))
    done = cli("key", "match", "--registered", server.url, rsa_pem)
    assert (done.code, done.stderr) == (0, "")
    assert cli("key", "match", "--registered", server.url, rsa_pem, "nowhere").code == 3
    server.says(Says(404))
    gone = cli("key", "match", "--registered", server.url, rsa_pem)
    assert (gone.code, gone.stdout) == (5, "")
    (place / "empty").write_bytes(b"")
    none = cli("key", "match", "--registered", "empty", rsa_pem)
    assert (none.code, none.stdout) == (2, "")
    assert "registration.unreadable" in none.stderr
    assert cli("key", "match", rsa_pem).code == 2
    assert cli("key", "match", "--registered", "nowhere", rsa_pem).code == 2


def test_a_key_that_the_bank_has_many_times_is_told_once(
    place: Path, cli: Cli, rsa_pem: Path, ec_key: keys.PrivateKey
) -> None:
    (place / "jwks.json").write_text(json.dumps({"keys": [ec_key.public.jwk()] * 50}))
    done = cli("key", "match", "--registered", "jwks.json", rsa_pem, "-o", "json")
    assert len(json.loads(done.stdout)["others"]) == 1


def test_a_file_that_holds_nothing_for_signatures_is_named_once(place: Path, cli: Cli, rsa_pem: Path) -> None:
    (place / "jwks.json").write_text('{"keys": []}')
    said = cli("key", "match", "--registered", "jwks.json", rsa_pem).stderr
    assert said.count("jwks.json") == 1


def test_a_private_key_at_the_bank_is_said_loudly(cli: Cli, rsa_pem: Path) -> None:
    done = cli("key", "match", "--registered", rsa_pem, rsa_pem)
    assert done.code == 0
    assert "✗   registered key  registration.private_key" in done.stdout
