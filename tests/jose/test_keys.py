"""Private keys in every form that users have, everything that is no usable key, and the names of a key."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode, b64encode, urlsafe_b64encode
from functools import cache
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banno_creds.errors import KeyLoadError, PassphraseError
from banno_creds.jose import keys
from banno_creds.jose.keys import PublicKey, load_private_key
from banno_creds.text import setting, spelled
from tests.conftest import CLIENT_ID, write_private
from tests.key_files import (
    ENCRYPTED,
    FORMS,
    NO_PASSPHRASE,
    PASSOUT,
    PASSPHRASE,
    pkcs8,
    traditional,
)
from tests.openssl import openssl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.conftest import Cli

pytestmark = pytest.mark.once

TOKEN_URL = "https://login.jackhenry.com/a/oidc-provider/api/v0/token"

MAKE_ONE = "make a key pair with: banno-creds keygen"
MAKE_EC = "make one with: banno-creds keygen --type ec"
GIVE_PRIVATE = "give the file whose first line says PRIVATE KEY"
TAKES = "the provider takes RSA (PS256, RS256) and EC P-256 (ES256)"
CONVERT_SSH = "convert a copy of it: ssh-keygen -p -m PKCS8 -f COPY"
ON_WINDOWS = sys.platform == "win32"
ITS_BASE64 = "its base64" if ON_WINDOWS else "what `base64 < private.pem` prints"
STORE = f"store the whole of private.pem in the secret, or {ITS_BASE64}"
CLOSE_IT = "" if ON_WINDOWS else ", then chmod 600 key.pem"


def b64u(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64u(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key: keys.PrivateKey) -> dict[str, object]:
    """Written out by hand: RFC 7518 section 6.3."""
    assert isinstance(key.native, rsa.RSAPrivateKey)
    own = key.native.private_numbers()
    return {
        "kty": "RSA",
        "n": number(own.public_numbers.n),
        "e": number(own.public_numbers.e),
        "d": number(own.d),
        "p": number(own.p),
        "q": number(own.q),
        "dp": number(own.dmp1),
        "dq": number(own.dmq1),
        "qi": number(own.iqmp),
    }


def ec_jwk(native: ec.EllipticCurvePrivateKey, crv: str = "P-256") -> dict[str, object]:
    """Written out by hand: RFC 7518 section 6.2."""
    own, size = native.private_numbers(), (native.key_size + 7) // 8
    x, y = (value.to_bytes(size, "big") for value in (own.public_numbers.x, own.public_numbers.y))
    return {"kty": "EC", "crv": crv, "x": b64u(x), "y": b64u(y), "d": b64u(own.private_value.to_bytes(size, "big"))}


def dump(jwk: Mapping[str, object]) -> bytes:
    return json.dumps(jwk).encode()


def openssh(key: keys.PrivateKey) -> bytes:
    return key.native.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


# Those that what follows is done to: one of each kind of PEM.
ARMOURED = {
    "PKCS#8": FORMS["RSA PKCS#8"],
    "PKCS#1 with Proc-Type": ENCRYPTED["RSA PKCS#1 AES-256"],
    "SEC1 with Proc-Type": ENCRYPTED["EC SEC1 AES-128"],
    "3DES with Proc-Type": ENCRYPTED["RSA PKCS#1 3DES"],
    "SEC1 after EC PARAMETERS": FORMS["EC SEC1 after EC PARAMETERS"],
}


@cache
def certificate() -> bytes:
    other = keys.generate("rsa").pem()
    return openssl("req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=bank.example", "-days", "2", stdin=other)


# What editors, shells and secret stores do to a text.
DONE_TO_TEXT: dict[str, Callable[[bytes], bytes]] = {
    "byte-order mark": lambda text: b"\xef\xbb\xbf" + text,
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "byte-order mark and CRLF": lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
    "UTF-16, as PowerShell writes": lambda text: text.decode().replace("\n", "\r\n").encode("utf-16"),
    "UTF-16 big-endian": lambda text: b"\xfe\xff" + text.decode().encode("utf-16-be"),
    "blank lines around it": lambda text: b"\n\n  " + text + b"\n \n",
    "base64": b64encode,
    "base64 in lines": lambda text: b"\r\n".join([b64encode(text)[:64], b64encode(text)[64:], b""]),
    "base64 of a byte-order mark and CRLF": lambda text: b64encode(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")),
    "base64 of UTF-16": lambda text: b64encode(text.decode().encode("utf-16")),
    "single quotation marks": lambda text: b"'" + text + b"'\n",
}
DONE_TO_PEM: dict[str, Callable[[bytes], bytes]] = {
    "CR alone": lambda pem: pem.replace(b"\n", b"\r"),
    r"\n escapes": lambda pem: pem.replace(b"\n", rb"\n"),
    r"\r\n escapes": lambda pem: pem.replace(b"\n", rb"\r\n"),
    "escaped twice": lambda pem: pem.replace(b"\n", rb"\\n"),
    r"\r\n escaped twice": lambda pem: pem.replace(b"\n", rb"\\r\\n"),
    "in JSON's quotation marks": lambda pem: json.dumps(pem.decode()).encode(),
    "line ends turned into blanks": lambda pem: pem.replace(b"\n", b" "),
    "line ends lost": lambda pem: pem.replace(b"\n", b""),
    "indented, as in YAML": lambda pem: b"key: |\n  " + pem.replace(b"\n", b"\n  "),
    "as NAME=value": lambda pem: b"PRIVATE_KEY=" + pem,
    "after its certificate": lambda pem: certificate() + pem,
    "before its certificate": lambda pem: pem + certificate(),
    "given twice": lambda pem: pem + pem,
    "behind a line that starts with 0": lambda pem: b"0 s:CN=bank.example\n" + pem,
}
BASE64_OF_DER: dict[str, Callable[[bytes], bytes]] = {
    "base64": b64encode,
    "PEM without its first and last line": lambda der: (
        b"\n".join(b64encode(der)[i : i + 64] for i in (0, 64)) + b64encode(der)[128:]
    ),
}


@pytest.fixture(scope="session")
def known(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> dict[str, keys.PrivateKey]:
    return {"rsa": rsa_key, "ec": ec_key}


def spki(key: keys.PrivateKey) -> bytes:
    return key.public.spki()


def refuse() -> bytes | None:
    raise AssertionError("a passphrase was asked for without need")


class TestForms:
    @pytest.mark.parametrize("thorough", [False, True])
    @pytest.mark.parametrize("form", FORMS)
    def test_a_key_in_the_clear_is_read_and_no_passphrase_asked(
        self, known: dict[str, keys.PrivateKey], form: str, thorough: bool
    ) -> None:
        sort, convert = FORMS[form]
        key = load_private_key(convert(known[sort].pem()), "here", refuse, thorough=thorough)
        assert (spki(key), key.origin) == (spki(known[sort]), "here")

    @pytest.mark.parametrize("form", ENCRYPTED)
    def test_an_encrypted_key_is_read_with_its_passphrase(self, known: dict[str, keys.PrivateKey], form: str) -> None:
        sort, convert = ENCRYPTED[form]
        assert spki(load_private_key(convert(known[sort].pem()), "here", lambda: PASSPHRASE)) == spki(known[sort])

    @pytest.mark.parametrize("form", ENCRYPTED)
    def test_a_wrong_passphrase_is_said(self, known: dict[str, keys.PrivateKey], form: str) -> None:
        sort, convert = ENCRYPTED[form]
        with pytest.raises(PassphraseError) as caught:
            load_private_key(convert(known[sort].pem()), "here", lambda: b"Tr0ub4dor")
        assert caught.value.message == "the passphrase does not open here"
        assert caught.value.hint == "check the passphrase; if it is right, the file is damaged"

    @pytest.mark.parametrize("form", ENCRYPTED)
    @pytest.mark.parametrize("none", [None, b""])
    def test_no_passphrase_is_said(self, known: dict[str, keys.PrivateKey], form: str, none: bytes | None) -> None:
        sort, convert = ENCRYPTED[form]
        with pytest.raises(PassphraseError) as caught:
            load_private_key(convert(known[sort].pem()), "here", lambda: none)
        assert caught.value.message == "here is encrypted, and no passphrase was given"
        assert caught.value.hint == NO_PASSPHRASE.replace("--passphrase-file", "passphrase_file")

    def test_the_default_is_that_there_is_no_passphrase(self, rsa_key: keys.PrivateKey) -> None:
        with pytest.raises(PassphraseError, match="no passphrase was given"):
            load_private_key(rsa_key.pem(PASSPHRASE), "here")

    @pytest.mark.parametrize("done", DONE_TO_TEXT | DONE_TO_PEM)
    @pytest.mark.parametrize("form", ARMOURED)
    def test_a_pem_is_read_whatever_was_done_to_it(
        self, known: dict[str, keys.PrivateKey], form: str, done: str
    ) -> None:
        sort, convert = ARMOURED[form]
        content = (DONE_TO_TEXT | DONE_TO_PEM)[done](convert(known[sort].pem()))
        assert spki(load_private_key(content, "here", lambda: PASSPHRASE)) == spki(known[sort])

    @pytest.mark.parametrize("done", BASE64_OF_DER)
    @pytest.mark.parametrize("form", [form for form in FORMS if " DER " in form])
    def test_base64_of_der_is_read(self, known: dict[str, keys.PrivateKey], form: str, done: str) -> None:
        sort, convert = FORMS[form]
        content = BASE64_OF_DER[done](convert(known[sort].pem()))
        assert spki(load_private_key(content, "here")) == spki(known[sort])

    @pytest.mark.parametrize("done", ["as it is", *DONE_TO_TEXT])
    @pytest.mark.parametrize("sort", ["rsa", "ec"])
    def test_a_private_jwk_is_read(self, known: dict[str, keys.PrivateKey], sort: str, done: str) -> None:
        native = known[sort].native
        jwk = ec_jwk(native) if isinstance(native, ec.EllipticCurvePrivateKey) else rsa_jwk(known[sort])
        content = json.dumps(jwk, indent=2).encode()
        key = load_private_key(DONE_TO_TEXT.get(done, bytes)(content), "here", refuse)
        assert (spki(key), key.origin, key.jwk_alg) == (spki(known[sort]), "here", None)

    def test_an_rsa_jwk_need_not_have_its_primes(self, rsa_key: keys.PrivateKey) -> None:
        jwk = {name: value for name, value in rsa_jwk(rsa_key).items() if name in ("kty", "n", "e", "d")}
        assert spki(load_private_key(dump(jwk), "here")) == spki(rsa_key)

    def test_a_jwk_names_the_algorithm_it_is_for(self, rsa_key: keys.PrivateKey) -> None:
        jwk = rsa_jwk(rsa_key) | {"alg": "RS256", "use": "sig", "kid": "2026", "key_ops": ["sign"]}
        assert load_private_key(dump(jwk), "here").jwk_alg == "RS256"

    @pytest.mark.parametrize("sort", ["rsa", "ec"])
    def test_a_key_in_openssh_format_is_read(self, known: dict[str, keys.PrivateKey], sort: str) -> None:
        content = openssh(known[sort])
        assert content.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
        assert spki(load_private_key(content, "here", refuse)) == spki(known[sort])

    @pytest.mark.parametrize("bits", [2048, 3072, 4096])
    def test_rsa_sizes(self, bits: int) -> None:
        key = keys.generate("rsa", bits)
        loaded = load_private_key(key.pem(), "here")
        assert (loaded.type, loaded.size, loaded.description) == ("RSA", bits, f"RSA {bits}")

    def test_the_key_itself_is_never_in_its_repr(self, rsa_key: keys.PrivateKey) -> None:
        assert repr(rsa_key) == "PrivateKey(origin='new key', jwk_alg=None)"


class TestPlaces:
    """A file, standard input, the variable: the same key, and what is signed verifies with it."""

    @pytest.mark.parametrize("form", FORMS | ENCRYPTED)
    def test_from_a_file(self, cli: Cli, tmp_path: Path, known: dict[str, keys.PrivateKey], form: str) -> None:
        sort, convert = (FORMS | ENCRYPTED)[form]
        path = write_private(tmp_path / "any name", convert(known[sort].pem()))
        secret = write_private(tmp_path / "passphrase", PASSPHRASE + b"\n")
        result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", path, "--passphrase-file", secret)
        assert (result.code, result.stderr) == (0, "")
        self.verify(result.stdout, known[sort])

    @pytest.mark.parametrize("done", ["as it is", *DONE_TO_TEXT, *DONE_TO_PEM])
    def test_from_standard_input(self, cli: Cli, rsa_key: keys.PrivateKey, done: str) -> None:
        content = (DONE_TO_TEXT | DONE_TO_PEM).get(done, bytes)(rsa_key.pem())
        result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", "-", stdin=content)
        assert (result.code, result.stderr) == (0, "")
        self.verify(result.stdout, rsa_key)

    @pytest.mark.parametrize(
        "done",
        ["as it is", *DONE_TO_PEM, "CRLF", "byte-order mark", "base64", "base64 in lines", "base64 of UTF-16", "JWK"],
    )
    def test_from_the_variable(self, cli: Cli, process: Cli, rsa_key: keys.PrivateKey, done: str) -> None:
        content = dump(rsa_jwk(rsa_key))
        if done != "JWK":
            content = (DONE_TO_TEXT | DONE_TO_PEM).get(done, bytes)(rsa_key.pem())
        variables = {"BANNO_CREDS_PRIVATE_KEY_PEM": content.decode()}
        run = process if done == "as it is" else cli  # in a process of its own as in this one
        result = run("sign-jwt", "-q", "--client-id", CLIENT_ID, env=variables)
        assert (result.code, result.stderr) == (0, "")
        self.verify(result.stdout, rsa_key)

    @pytest.mark.posix("a shell's <(…)")
    def test_from_process_substitution(self, rsa_key: keys.PrivateKey) -> None:
        reader, writer = os.pipe()
        os.write(writer, rsa_key.pem())
        os.close(writer)
        command = [sys.executable, "-m", "banno_creds", "sign-jwt", "-q", "--client-id", CLIENT_ID]
        done = subprocess.run(
            [*command, "--private-key", f"/dev/fd/{reader}"], pass_fds=[reader], capture_output=True, check=False
        )
        os.close(reader)
        assert (done.returncode, done.stderr) == (0, b"")
        self.verify(done.stdout.decode(), rsa_key)

    @pytest.mark.parametrize(
        ("variable", "content", "message", "hint"),
        [
            ("", b" \n", "standard input is empty", f"look at what should have filled it, or {MAKE_ONE}"),
            ("*****", b"", "{} holds no key, in its 5 characters: neither PEM, DER nor JWK", STORE),
            (" ", b"", "{} is empty", STORE),
            (
                "/run/secrets/bank/private.pem",
                b"",
                "{} holds what looks like a file's path, and no key",
                "give that path with --private-key",
            ),
        ],
    )
    def test_errors_name_the_place(self, cli: Cli, variable: str, content: bytes, message: str, hint: str) -> None:
        args = [] if variable else ["--private-key", "-"]
        variables = {"BANNO_CREDS_PRIVATE_KEY_PEM": variable} if variable else {}
        result = cli("sign-jwt", "--client-id", CLIENT_ID, *args, stdin=content, env=variables)
        assert (result.code, result.stdout) == (3, "")
        assert result.stderr == shown(message.format("BANNO_CREDS_PRIVATE_KEY_PEM"), hint)

    def test_a_jwk_that_may_sign_is_taken(self, rsa_key: keys.PrivateKey) -> None:
        assert spki(load_private_key(jwk_of(rsa_key.pem(), key_ops=["verify", "sign"]), "here")) == spki(rsa_key)

    def test_base64_that_lost_its_padding_is_read(self, known: dict[str, keys.PrivateKey]) -> None:
        pem = known["ec"].pem() + b"\n" * ((1 - len(known["ec"].pem())) % 3)
        assert b64encode(pem).endswith(b"==")
        assert spki(load_private_key(b64encode(pem).rstrip(b"="), "here")) == spki(known["ec"])

    @staticmethod
    def verify(assertion: str, key: keys.PrivateKey) -> None:
        assert assertion.count("\n") == 1
        alg = "PS256" if key.type == "RSA" else "ES256"
        claims = jwt.decode(assertion.strip(), key.native.public_key(), [alg], audience=TOKEN_URL)
        assert claims["iss"] == claims["sub"] == CLIENT_ID


def shown(message: str, hint: str) -> str:
    """An error as it stands on stderr."""
    first = message.split(" ")[0]
    sentence = message[0].upper() + message[1:] if first.isalpha() and first.islower() else message
    return f"✗   {sentence}\n    Next: {spelled(hint, lambda name: '--' + name.replace('_', '-'))}\n"


def other(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined,no-any-return]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def small_rsa(bits: int) -> bytes:
    return openssl("genrsa", str(bits))


def curve(name: str) -> bytes:
    return openssl("ecparam", "-name", name, "-genkey", "-noout")


def traditional_dsa() -> bytes:
    return dsa.generate_private_key(1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def small_openssh() -> bytes:
    native = serialization.load_pem_private_key(small_rsa(1024), None)
    return native.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def encrypted_openssh(pem: bytes, cipher: bytes = b"aes256-ctr", kdf: bytes = b"bcrypt") -> bytes:
    """The head of an encrypted key (PROTOCOL.key of OpenSSH): it is refused before anything is decrypted."""

    def string(value: bytes) -> bytes:
        return len(value).to_bytes(4, "big") + value

    public = serialization.load_pem_private_key(pem, None).public_key()
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    blob = b"".join(
        [
            b"openssh-key-v1\0",
            string(cipher),
            string(kdf),
            string(string(os.urandom(16)) + (16).to_bytes(4, "big")),
            (1).to_bytes(4, "big"),
            string(b64decode(line.split()[1])),
            string(os.urandom(1024)),
        ]
    )
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + b64encode(blob) + b"\n-----END OPENSSH PRIVATE KEY-----\n"


def compressed_openssh() -> bytes:
    """A P-256 key whose public point says that it is compressed: 2 for the 4 in front of it."""
    lines = openssh(keys.generate("ec")).splitlines()
    blob = b64decode(b"".join(lines[1:-1])).replace(b"nistp256\0\0\0A\x04", b"nistp256\0\0\0A\x02")
    return b"\n".join([lines[0], b64encode(blob), lines[-1]])


def public_openssh(pem: bytes) -> bytes:
    native = serialization.load_pem_private_key(pem, None).public_key()
    return native.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def pkcs12(pem: bytes) -> bytes:
    own = openssl("req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=x", "-days", "2", stdin=pem)
    return openssl("pkcs12", "-export", *PASSOUT, stdin=pem + own)


def csr(pem: bytes, form: str) -> bytes:
    return openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", "-outform", form, stdin=pem)


def der_certificate(pem: bytes) -> bytes:
    return openssl("x509", "-outform", "DER", stdin=certificate())


def without(text: bytes, line: int) -> bytes:
    lines = text.splitlines(keepends=True)
    del lines[line]
    return b"".join(lines)


def damage(pem: bytes) -> bytes:
    """One character in the middle of a PEM, of an encoding's length."""
    lines = pem.splitlines(keepends=True)
    lines[1] = b"AAAAAAAA" + lines[1][8:]
    return b"".join(lines)


def relabel(pem: bytes, old: bytes, new: bytes) -> bytes:
    return pem.replace(b"BEGIN " + old, b"BEGIN " + new).replace(b"END " + old, b"END " + new)


PUTTY = b"PuTTY-User-Key-File-3: ssh-rsa\r\nEncryption: none\r\nComment: x\r\nPublic-Lines: 6\r\nAAAAB3Nz\r\n"
CONVERT_PUTTY = (
    "convert it: puttygen FILE -O private-openssh -o key.pem; on Windows, in PuTTYgen: "
    "Conversions, Export OpenSSH key"
)
SSH2 = (
    b'---- BEGIN SSH2 PUBLIC KEY ----\nComment: "x"\nAAAAB3NzaC1yc2EAAAADAQABAAABAQ\n---- END SSH2 PUBLIC KEY ----\n'
)
DAMAGED = (
    "{} looks like a private key, but it is damaged or of an unknown kind",
    "look at it with: openssl pkey -in FILE -noout -check, or take it from a backup",
)
PUBLIC = ("{} holds a public key, and signing needs the private key", GIVE_PRIVATE)
CERTIFICATE = ("{} holds a certificate, and signing needs the private key", GIVE_PRIVATE)
REQUEST = ("{} holds a certificate request, and signing needs the private key", GIVE_PRIVATE)
PUBLIC_SSH = (
    "{} holds a public key (OpenSSH), and signing needs the private key",
    "the private one is usually the file of the same name without .pub",
)
CUT = (
    "{} is cut off: its PEM block lacks the BEGIN line or the END line that goes with it",
    "copy the whole file, from -----BEGIN to the last dash of -----END …-----",
)
NO_KEY = ("{} holds no key: neither PEM, DER nor JWK", f"{GIVE_PRIVATE}, or {MAKE_ONE}")
PKCS12 = (
    "{} is a PKCS#12 file (.p12, .pfx)",
    f"take the key out of it: openssl pkcs12 -in FILE -nocerts -out key.pem{CLOSE_IT}",
)
UNKNOWN_ENCRYPTION = (
    "{} is encrypted by an unknown method",
    "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out key.pem",
)
EMPTY = ("{} is empty", f"look at what should have filled it, or {MAKE_ONE}")
NOT_TO_SIGN = (
    "{} is a JWK that is not for signing: its key_ops lack sign",
    "give one with sign in key_ops",
)
BAD_MEMBERS = ("{} is a JWK whose members do not make a key", "export it again from where it was made")


def jwk_of(pem: bytes, **changed: object) -> bytes:
    """An RSA key's JWK with members changed; None takes one away."""
    members = rsa_jwk(load_private_key(pem, "x")) | changed
    return dump({name: value for name, value in members.items() if value is not None})


def swapped_ec_jwk(pem: bytes) -> bytes:
    """Another key's private number beside this one's public point."""
    one, another = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    return dump(ec_jwk(one) | {"d": ec_jwk(another)["d"]})


def mismatched_ec(pem: bytes) -> bytes:
    """The same in SEC1."""
    one, another = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    points = [
        it.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        for it in (one, another)
    ]
    der = one.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return der.replace(points[0], points[1])


def short_iv(pem: bytes) -> bytes:
    """A DEK-Info whose IV is too short: cryptography 50 panics at it."""
    text = traditional("rsa", "-aes256", *PASSOUT)(pem)
    head, comma, tail = text.partition(b"AES-256-CBC,")
    return head + comma + tail[16:]


def sort_of_key(name: str) -> tuple[str, str]:
    return f"{{}} is {name} key; {TAKES}", MAKE_ONE


def on_curve(name: str) -> tuple[str, str]:
    return f"{{}} is an EC key on the curve {name}; ES256 needs P-256 (secp256r1)", MAKE_EC


def weak(bits: int) -> tuple[str, str]:
    return f"{{}} is an RSA key of {bits} bits; 2048 is the least (RFC 7518)", MAKE_ONE


def weak_exponent(exponent: int) -> bytes:
    """PKCS#1 whose numbers are those of a real key but for both exponents: d = 1 undoes e = 1."""
    native = keys.generate("rsa").native
    assert isinstance(native, rsa.RSAPrivateKey)
    own = native.private_numbers()
    p, q = own.p, own.q
    numbers = [0, p * q, exponent, 1, p, q, 1, 1, pow(q, -1, p)]
    body = b"".join(der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) for number in numbers)
    pem = b64encode(der(0x30, body))
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + pem + b"\n-----END RSA PRIVATE KEY-----\n"


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def holds(what: str) -> tuple[str, str]:
    return f"{{}} holds no private key that can be used here, but: {what}", GIVE_PRIVATE


def no_jwk(why: str) -> tuple[str, str]:
    return f"{{}} starts like a JWK, but {why}", "give one private JWK as JSON"


def of_type(name: str) -> tuple[str, str]:
    return f"{{}} is a JWK of the type {name}; {TAKES}", MAKE_ONE


def no_kty() -> tuple[str, str]:
    return "{} is JSON, but no JWK: kty is missing", "give one private JWK, or a file in PEM"


# What somebody gave (made of an RSA key in PKCS#8), and what they are told.
WRONG: dict[str, tuple[Callable[[bytes], bytes], tuple[str, str]]] = {
    "nothing": (lambda _: b"", EMPTY),
    "white space": (lambda _: b" \r\n\t\n", EMPTY),
    "a byte-order mark alone": (lambda _: b"\xef\xbb\xbf", EMPTY),
    "quotation marks alone": (lambda _: b'""\n', EMPTY),
    "a text": (lambda _: b"The key is in the safe.\n", NO_KEY),
    "a masked secret": (lambda _: b"***\n", NO_KEY),
    "noise": (lambda _: b"\x00\xfe" + bytes(range(256)), NO_KEY),
    "base64 of a text": (lambda _: b64encode(b"The key is in the safe."), NO_KEY),
    "a text that starts with 0": (lambda _: b"0123456789", NO_KEY),
    "the digit 0": (lambda _: b"0", NO_KEY),
    "a path": (
        lambda _: b"C:\\Users\\me\\bank key.pem\r\n",
        ("{} holds what looks like a file's path, and no key", f"give that path with {setting('private_key')}"),
    ),
    "a public key": (lambda pem: openssl("rsa", "-pubout", stdin=pem), PUBLIC),
    "a public key, PKCS#1": (lambda pem: openssl("rsa", "-RSAPublicKey_out", stdin=pem), PUBLIC),
    "a public key, DER": (lambda pem: openssl("rsa", "-pubout", "-outform", "DER", stdin=pem), PUBLIC),
    "a public key, OpenSSH": (public_openssh, PUBLIC_SSH),
    "a public key, RFC 4716": (lambda _: SSH2, PUBLIC_SSH),
    "a certificate": (lambda _: certificate(), CERTIFICATE),
    "a certificate, base64": (lambda _: b64encode(certificate()), CERTIFICATE),
    "a certificate, DER": (der_certificate, CERTIFICATE),
    "a certificate request": (lambda pem: csr(pem, "PEM"), REQUEST),
    "a certificate request, DER": (lambda pem: csr(pem, "DER"), REQUEST),
    "parameters alone": (lambda _: openssl("ecparam", "-name", "prime256v1"), holds("EC PARAMETERS")),
    "a PGP key": (
        lambda _: b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQHYBGkp\n=Zz9a\n-----END PGP PRIVATE KEY BLOCK-----\n",
        holds("PGP PRIVATE KEY BLOCK"),
    ),
    "PKCS#12": (pkcs12, PKCS12),
    "PKCS#12, base64": (lambda pem: b64encode(pkcs12(pem)), PKCS12),
    "PuTTY": (
        lambda _: PUTTY,
        (
            "{} is a PuTTY key",
            CONVERT_PUTTY,
        ),
    ),
    "two private keys": (
        lambda pem: pem + curve("prime256v1"),
        (
            "{} holds 2 private keys, and only one can sign",
            "give a file with the one whose public half the bank has",
        ),
    ),
    "RSA 1024": (lambda _: small_rsa(1024), weak(1024)),
    "RSA 2047": (lambda _: small_rsa(2047), weak(2047)),
    "RSA 1024, OpenSSH": (lambda _: small_openssh(), weak(1024)),
    "P-384": (lambda _: curve("secp384r1"), on_curve("secp384r1")),
    "P-521": (lambda _: curve("secp521r1"), on_curve("secp521r1")),
    "secp256k1": (lambda _: curve("secp256k1"), on_curve("secp256k1")),
    "a curve nobody knows": (
        lambda _: curve("secp192k1"),
        ("{} is an EC key on an unknown curve; ES256 needs P-256 (secp256r1)", MAKE_EC),
    ),
    "Ed25519": (lambda _: openssl("genpkey", "-algorithm", "ed25519"), sort_of_key("an Ed25519")),
    "Ed448": (lambda _: openssl("genpkey", "-algorithm", "ed448"), sort_of_key("an Ed448")),
    "X25519": (lambda _: openssl("genpkey", "-algorithm", "x25519"), sort_of_key("an X25519")),
    "Ed25519, OpenSSH": (
        lambda _: ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ),
        sort_of_key("an Ed25519"),
    ),
    "DSA": (lambda _: other(dsa.generate_private_key(1024)), sort_of_key("a DSA")),
    "DSA, traditional": (lambda _: traditional_dsa(), sort_of_key("a DSA")),
    "OpenSSH, encrypted": (
        encrypted_openssh,
        ("{} is an encrypted key in OpenSSH's format, which banno-creds cannot read", CONVERT_SSH),
    ),
    "OpenSSH, a cipher nobody knows": (
        lambda pem: encrypted_openssh(pem, cipher=b"rot13-ctr"),
        (
            "{} is a key in OpenSSH's format, of a type that banno-creds cannot read",
            f"{MAKE_ONE}; if it is RSA or EC P-256, {CONVERT_SSH}",
        ),
    ),
    "OpenSSH, damaged": (
        lambda pem: damage(openssh(load_private_key(pem, "x"))),
        DAMAGED,
    ),
    "OpenSSH, with a compressed point": (lambda _: compressed_openssh(), DAMAGED),
    "Camellia": (pkcs8("-v2", "camellia-256-cbc", *PASSOUT), UNKNOWN_ENCRYPTION),
    "Camellia with Proc-Type": (traditional("rsa", "-camellia256", *PASSOUT), UNKNOWN_ENCRYPTION),
    "a sort of key nobody knows": (
        # 1.2.840.113549.1.1.1 (rsaEncryption) becomes .99
        lambda pem: FORMS["RSA DER PKCS#8"][1](pem).replace(
            bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d010163")
        ),
        (f"{{}} is a key of an unknown type; {TAKES}", MAKE_ONE),
    ),
    "cut at the end": (lambda pem: pem[:800], CUT),
    "without the END line": (lambda pem: without(pem, -1), CUT),
    "without the BEGIN line": (lambda pem: without(pem, 0), CUT),
    "cut off behind a certificate": (lambda pem: certificate() + pem[:800], CUT),
    "lines that do not go together": (lambda pem: pem.replace(b"END PRIVATE", b"END RSA PRIVATE"), CUT),
    "a line missing in the middle": (lambda pem: without(pem, 9), DAMAGED),
    "damaged": (damage, DAMAGED),
    "an initialisation vector too short": (short_iv, DAMAGED),
    "a public point of another key": (mismatched_ec, DAMAGED),
    "DER cut off": (lambda pem: FORMS["RSA DER PKCS#8"][1](pem)[:700], DAMAGED),
    "JSON that ends too early": (
        lambda _: b'{"kty": "RSA"',
        no_jwk("it is not JSON (Expecting ',' delimiter at character 14)"),
    ),
    "JSON with a repeated member": (
        lambda _: b'{"kty": "RSA", "kty": "EC"}',
        no_jwk("it has the member 'kty' more than once"),
    ),
    "JSON that is no JWK": (lambda pem: dump({"private_key": len(pem)}), no_kty()),
    "a JWK whose kty is no text": (lambda pem: jwk_of(pem, kty=["RSA"]), no_kty()),
    "a JWK Set": (
        lambda pem: b'{"keys": [' + jwk_of(pem) + b"]}",
        ("{} is a JWK Set", "give only the private JWK that is for signing"),
    ),
    "a symmetric JWK": (
        lambda _: dump({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}),
        ("{} is a symmetric JWK (kty oct), no key pair", MAKE_ONE),
    ),
    "an Ed25519 JWK": (lambda _: dump({"kty": "OKP", "crv": "Ed25519", "d": "AA", "x": "AA"}), of_type("OKP")),
    "a JWK of a type nobody knows": (lambda pem: jwk_of(pem, kty="R" * 15), of_type("(not shown)")),
    "a public JWK": (
        lambda pem: dump(load_private_key(pem, "x").public.jwk()),
        ("{} is a public JWK, and signing needs the private one", "give the JWK with its member d"),
    ),
    "a JWK for encryption": (
        lambda pem: jwk_of(pem, use="enc"),
        ("{} is a JWK that is not for signing: its use is enc", "give one with use sig"),
    ),
    "a JWK for other operations": (lambda pem: jwk_of(pem, key_ops=["decrypt", "unwrapKey"]), NOT_TO_SIGN),
    "a JWK whose key_ops is no array": (lambda pem: jwk_of(pem, key_ops="sign"), NOT_TO_SIGN),
    "an exponent of 1": (
        lambda _: weak_exponent(1),
        ("{} is an RSA key with the public exponent 1, whose signatures anybody can forge", MAKE_ONE),
    ),
    "a P-384 JWK": (lambda _: dump(ec_jwk(ec.generate_private_key(ec.SECP384R1()), "P-384")), on_curve("P-384")),
    "an EC JWK with no curve": (lambda pem: jwk_of(pem, kty="EC", x="AA", y="AA"), BAD_MEMBERS),
    "an EC JWK with another's d": (swapped_ec_jwk, BAD_MEMBERS),
    "an RSA JWK with no n": (lambda pem: jwk_of(pem, n=None), BAD_MEMBERS),
    "an RSA JWK with a number for d": (lambda pem: jwk_of(pem, d=5), BAD_MEMBERS),
    "an RSA JWK with an empty d": (lambda pem: jwk_of(pem, d=""), BAD_MEMBERS),
    "an RSA JWK with characters outside ASCII": (lambda pem: jwk_of(pem, n="é"), BAD_MEMBERS),
    "an RSA JWK with some of its primes": (lambda pem: jwk_of(pem, dp=None), BAD_MEMBERS),
    "an RSA JWK with a wrong prime": (lambda pem: jwk_of(pem, p="AQAB"), BAD_MEMBERS),
    "an RSA JWK of three primes": (lambda pem: jwk_of(pem, oth=[{"r": "AQAB"}]), BAD_MEMBERS),
    "an RSA JWK of 1024 bits": (
        lambda _: dump(rsa_jwk(keys.PrivateKey(serialization.load_pem_private_key(small_rsa(1024), None), "x"))),  # type: ignore[arg-type]
        weak(1024),
    ),
}


class TestWrong:
    @pytest.mark.parametrize("what", WRONG)
    def test_what_is_no_usable_key_is_named(self, rsa_key: keys.PrivateKey, what: str) -> None:
        make, (message, hint) = WRONG[what]
        with pytest.raises(KeyLoadError) as caught:
            load_private_key(make(rsa_key.pem()), "here", lambda: PASSPHRASE)
        assert (caught.value.message, caught.value.hint) == (message.format("here"), spelled(hint))
        assert caught.value.exit_code == 3

    @pytest.mark.parametrize("what", list(WRONG)[::8])  # it says them all in the same way
    def test_the_command_line_says_it_and_exits_with_3(
        self, cli: Cli, tmp_path: Path, rsa_key: keys.PrivateKey, what: str
    ) -> None:
        make, (message, hint) = WRONG[what]
        path = write_private(tmp_path / "key", make(rsa_key.pem()))
        result = cli(
            *("sign-jwt", "--client-id", CLIENT_ID, "--private-key", path, "--passphrase-file", "-"),
            stdin=PASSPHRASE,
        )
        assert (result.code, result.stdout) == (3, "")
        assert result.stderr == shown(message.format(path), hint)

    @pytest.mark.parametrize(
        ("given", "code", "message", "hint"),
        [
            (None, 3, "{} is encrypted, and no passphrase was given", NO_PASSPHRASE),
            (
                b"wrong\n",
                3,
                "the passphrase does not open {}",
                "check the passphrase; if it is right, the file is damaged",
            ),
            (b"\n", 2, "the passphrase is empty", "put it into the file, on one line"),
        ],
        ids=["none", "wrong", "empty"],
    )
    def test_passphrases_on_the_command_line(
        self,
        cli: Cli,
        tmp_path: Path,
        rsa_key: keys.PrivateKey,
        given: bytes | None,
        code: int,
        message: str,
        hint: str,
    ) -> None:
        path = write_private(tmp_path / "key", rsa_key.pem(PASSPHRASE))
        options = [] if given is None else ["--passphrase-file", str(write_private(tmp_path / "secret", given))]
        result = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", path, *options)
        assert (result.code, result.stdout) == (code, "")
        assert result.stderr == shown(message.format(path), hint)

    def test_standard_input_cannot_be_key_and_passphrase(self, cli: Cli, rsa_key: keys.PrivateKey) -> None:
        result = cli(
            *("sign-jwt", "--client-id", CLIENT_ID, "--private-key", "-", "--passphrase-file", "-"),
            stdin=rsa_key.pem(PASSPHRASE),
        )
        assert (result.code, result.stdout) == (2, "")
        assert result.stderr == shown(
            "standard input cannot be both the private key and the passphrase", "give one of them as a file"
        )

    def test_a_missing_file_is_named(self, cli: Cli, tmp_path: Path) -> None:
        result = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", tmp_path / "no.pem")
        assert (result.code, result.stdout) == (3, "")
        assert result.stderr == shown(
            f"no such file: {tmp_path / 'no.pem'}", "check the path; a relative one counts from the current folder"
        )

    def test_a_directory_is_named(self, cli: Cli, tmp_path: Path) -> None:
        result = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", tmp_path)
        assert (result.code, result.stdout) == (3, "")
        assert result.stderr == shown(f"{tmp_path} is a directory", "name the file in it")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (lambda pem: pem[:800], CUT[0]),
            (lambda pem: pem[:20], CUT[0]),
            (lambda pem: pem[:27].replace(b"\n", b""), CUT[0]),
            *((lambda pem, length=length: b64encode(pem)[:length], CUT[0]) for length in (400, 401, 402, 403, 24)),
            (damage, DAMAGED[0]),
            (lambda pem: openssl("rsa", "-pubout", stdin=pem), PUBLIC[0]),
        ],
    )
    def test_a_secret_that_is_no_whole_key_is_to_be_stored_anew(
        self, cli: Cli, rsa_key: keys.PrivateKey, given: Callable[[bytes], bytes], message: str
    ) -> None:
        variables = {"BANNO_CREDS_PRIVATE_KEY_PEM": given(rsa_key.pem()).decode()}
        result = cli("sign-jwt", "--client-id", CLIENT_ID, env=variables)
        assert (result.code, result.stdout) == (3, "")
        assert result.stderr == shown(message.format("BANNO_CREDS_PRIVATE_KEY_PEM"), STORE)

    @pytest.mark.parametrize("secret", ["kty", "crv", "use", "alg"])
    def test_a_damaged_jwk_never_shows_what_slipped_into_a_name(self, ec_key: keys.PrivateKey, secret: str) -> None:
        assert isinstance(ec_key.native, ec.EllipticCurvePrivateKey)
        jwk = ec_jwk(ec_key.native)
        content = dump(jwk | {secret: jwk["d"]})
        if secret == "alg":
            assert load_private_key(content, "here").jwk_alg == "(not shown)"
            return
        with pytest.raises(KeyLoadError) as caught:
            load_private_key(content, "here")
        assert "(not shown)" in caught.value.message
        assert str(jwk["d"]) not in f"{caught.value.message} {caught.value.hint}"

    @pytest.mark.skipif(
        shutil.which("ssh-keygen") is None,
        reason="ssh-keygen is not installed: the hint for encrypted OpenSSH keys was not tried",
    )
    def test_the_hint_for_an_encrypted_openssh_key_works(self, tmp_path: Path, rsa_key: keys.PrivateKey) -> None:
        path = write_private(tmp_path / "id_rsa", rsa_key.pem())
        secret = PASSPHRASE.decode()
        own = ["ssh-keygen", "-q", "-f", str(path)]
        subprocess.run([*own, "-p", "-N", secret], check=True, capture_output=True)
        with pytest.raises(KeyLoadError, match="encrypted key in OpenSSH's format"):
            load_private_key(path.read_bytes(), "here", lambda: PASSPHRASE)
        options = ["-p", "-m", "PKCS8", "-P", secret, "-N", secret]
        subprocess.run([*own, *options], check=True, capture_output=True)
        assert spki(load_private_key(path.read_bytes(), "here", lambda: PASSPHRASE)) == spki(rsa_key)

    @pytest.mark.parametrize("form", ["RSA PKCS#8", "RSA PKCS#1 AES-256", "EC SEC1", "EC DER SEC1", "EC JWK"])
    @settings(
        max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.differing_executors]
    )
    @given(data=st.data())
    def test_no_damage_ends_in_anything_but_words(
        self, known: dict[str, keys.PrivateKey], form: str, data: st.DataObject
    ) -> None:
        content = bytearray(self.good(known, form))
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(content) - 1))
            end = start + data.draw(st.integers(0, 12))
            content[start:end] = data.draw(st.binary(max_size=6))
        try:
            said = load_private_key(bytes(content), "here", lambda: PASSPHRASE).description
        except KeyLoadError as error:
            said = f"{error.message}; {error.hint}"
        assert re.match(r"RSA \d+$|EC P-256$|.*\bhere\b.*; \w", said)
        pieces = {bytes(content[i : i + 16]) for i in range(len(content) - 16)}
        assert not [piece for piece in pieces if piece in said.encode() and b"PRIVATE" not in piece]

    @staticmethod
    def good(known: dict[str, keys.PrivateKey], form: str) -> bytes:
        native = known["ec"].native
        if form == "EC JWK":
            assert isinstance(native, ec.EllipticCurvePrivateKey)
            return dump(ec_jwk(native))
        sort, convert = (FORMS | ENCRYPTED)[form]
        return _converted(convert, known[sort])


@cache
def _converted(convert: Callable[[bytes], bytes], key: keys.PrivateKey) -> bytes:
    return convert(key.pem())


class TestNames:
    """Fingerprint, thumbprint and JWK of the public half."""

    @pytest.mark.parametrize("sort", ["rsa", "ec"])
    def test_the_fingerprint_is_what_openssl_computes(self, known: dict[str, keys.PrivateKey], sort: str) -> None:
        der = openssl("pkey", "-pubout", "-outform", "DER", stdin=known[sort].pem())
        digest = openssl("dgst", "-sha256", "-binary", stdin=der)
        assert known[sort].public.fingerprint() == f"SHA256:{b64encode(digest).decode().rstrip('=')}"
        assert known[sort].public.spki() == der
        assert known[sort].public.pem() == openssl("pkey", "-pubout", stdin=known[sort].pem())

    def test_the_thumbprint_is_that_of_rfc_7638(self) -> None:
        # Section 3.1.
        modulus = (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4"
            "n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0"
            "zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-c"
            "sFCur-kEgU8awapJzKnqDKgw"
        )
        native = jwt.PyJWK({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256"}).key
        public = PublicKey(native)
        assert public.jwk() == {"e": "AQAB", "kty": "RSA", "n": modulus}
        assert public.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    def test_an_ec_jwk_is_that_of_rfc_7517(self) -> None:
        # Appendix A.2; A.1 is its public half.
        jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
            "use": "sig",
            "kid": "1",
        }
        key = load_private_key(dump(jwk), "RFC 7517")
        assert key.description == "EC P-256"
        assert key.public.jwk() == {name: jwk[name] for name in ("crv", "kty", "x", "y")}

    def test_an_ec_coordinate_keeps_its_leading_zeros(self) -> None:
        # RFC 7518 section 6.2.1.2: 32 octets, always. One key in 128 has such a coordinate.
        for secret in range(1, 2000):
            key = PublicKey(ec.derive_private_key(secret, ec.SECP256R1()).public_key())
            if key.native.public_numbers().x >> 248 == 0:  # type: ignore[union-attr]
                break
        assert len(key.jwk()["x"]) == len(key.jwk()["y"]) == 43
        assert jwt.PyJWK(key.jwk() | {"alg": "ES256"}).key.public_numbers() == key.native.public_numbers()
