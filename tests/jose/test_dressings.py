"""Keys as people have them: whatever the label says and whatever was done to them, private and public alike."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from banno_creds.client_authentication.signer import choose_alg
from banno_creds.errors import BannoCredsError, ConfigurationError, KeyLoadError, PassphraseError
from banno_creds.jose import keys
from banno_creds.jose.jwks import load_public_key
from banno_creds.jose.keys import load_private_key
from banno_creds.jose.private_keys import form_of
from banno_creds.rules.registration import judge_key, read_registration
from banno_creds.sandbox import Client
from banno_creds.sandbox.clients import RegisteredClient
from tests.conftest import CLIENT_ID, write_private
from tests.key_files import ENCRYPTED, FORMS, PASSPHRASE
from tests.openssl import openssl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Cli

    Do = Callable[[bytes], bytes]

pytestmark = pytest.mark.once


@pytest.fixture(scope="session")
def known(rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey) -> dict[str, keys.PrivateKey]:
    return {"rsa": rsa_key, "ec": ec_key}


def der_of(pem: bytes) -> bytes:
    return b64decode(b"".join(pem.splitlines()[1:-1]))


def labelled(pem: bytes, label: str) -> bytes:
    lines = pem.splitlines()
    return b"\n".join([f"-----BEGIN {label}-----".encode(), *lines[1:-1], f"-----END {label}-----".encode(), b""])


def sequence(*parts: bytes, tag: int = 0x30) -> bytes:
    content = b"".join(parts)
    size = len(content).to_bytes(4, "big")
    return bytes([tag, 0x84]) + size + content


def integer(value: int) -> bytes:
    return sequence(value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True), tag=0x02)


def in_json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


# What is done to a PEM, private or public, between the one who made it and us.
DONE: dict[str, Do] = {
    "base64 twice": lambda pem: b64encode(b64encode(pem)),
    "base64 three times": lambda pem: b64encode(b64encode(b64encode(pem))),
    "base64url": urlsafe_b64encode,
    "base64url of DER": lambda pem: urlsafe_b64encode(der_of(pem)).rstrip(b"="),
    "DER and a line end": lambda pem: der_of(pem) + b"\n",
    "hex of DER": lambda pem: der_of(pem).hex().encode(),
    "hex of DER, with colons": lambda pem: der_of(pem).hex(":").upper().encode() + b"\n",
    "without its first and last line": lambda pem: b"\n".join(pem.splitlines()[1:-1]),
    "without them, indented": lambda pem: b"\n".join(b"    " + line for line in pem.splitlines()[1:-1]),
    "dashes of a mail": lambda pem: pem.replace(b"-----", "——-".encode()),
    "dashes of a word processor": lambda pem: pem.replace(b"-----", "–––––".encode()),
    "dashes in Windows-1252": lambda pem: pem.replace(b"-----", b"\x97\x97-"),
    "a dash lost at the end": lambda pem: pem.rstrip()[:-1],
    "typographic quotation marks": lambda pem: "“".encode() + pem + "”".encode(),
    "no-break spaces": lambda pem: pem.replace(b"\n", "\u00a0\n".encode()),
    "zero-width spaces": lambda pem: pem.replace(b"\n", "\u200b\n".encode()),
    "UTF-16 without a mark": lambda pem: pem.decode().encode("utf-16-le"),
    "UTF-16, big end first, without a mark": lambda pem: pem.decode().encode("utf-16-be"),
    "JSON's other escapes": lambda pem: json.dumps(pem.decode()).replace("/", r"\/").replace("=", r"\u003d").encode(),
    "percent encoding": lambda pem: quote(pem.decode()).encode(),
    "a form's encoding": lambda pem: quote_plus(pem.decode()).encode(),
    "a quotation in a mail": lambda pem: b"\n".join(b"> " + line for line in pem.splitlines()),
    "bag attributes": lambda pem: b"Bag Attributes\n    localKeyID: 01 00\nKey Attributes: <No Attributes>\n" + pem,
    "a header inside": lambda pem: pem.replace(b"-----\n", b"-----\nComment: made in 2026\n\n", 1),
    "mail around it": lambda pem: b"Hello,\nhere it is:\n\n" + pem + b"\n-- \nAnn\n",
    "a Kubernetes secret": lambda pem: b"kind: Secret\ndata:\n  bank.pem: " + b64encode(pem) + b"\n",
    "a Kubernetes secret, base64 twice": lambda pem: b"data:\n  bank.pem: " + b64encode(b64encode(pem)) + b"\n",
    "a Kubernetes secret as JSON": lambda pem: in_json({"kind": "Secret", "data": {"k": b64encode(pem).decode()}}),
    "a secret of a cloud": lambda pem: in_json({"Name": "bank", "SecretString": pem.decode(), "VersionId": "1"}),
    "a secret with members": lambda pem: in_json({"SecretString": json.dumps({"id": "x", "key": pem.decode()})}),
    "a binary secret": lambda pem: in_json({"name": "a/1", "payload": {"data": b64encode(pem).decode()}}),
    "a vault's answer": lambda pem: in_json({"data": {"data": {"k": pem.decode()}, "metadata": {"version": 1}}}),
    "an output of infrastructure": lambda pem: in_json({"key": {"sensitive": True, "value": pem.decode()}}),
    "an environment of an API client": lambda pem: in_json({"values": [{"key": "pem", "value": pem.decode()}]}),
    "braces of no JSON": lambda pem: b"{ privateKey: `" + pem + b"` }",
    "no-break spaces between the words": lambda pem: pem.replace(b" ", "\u00a0".encode()),
    "a line of .env with DER": lambda pem: b"BANK_KEY=" + b64encode(der_of(pem)) + b"\n",
}


class TestPrivate:
    @pytest.mark.parametrize("done", DONE)
    def test_whatever_was_done_to_it(self, known: dict[str, keys.PrivateKey], done: str) -> None:
        for key in known.values():
            assert load_private_key(DONE[done](key.pem()), "here").public == key.public

    @pytest.mark.parametrize(
        "label", ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "CERTIFICATE", "KEY"]
    )
    def test_the_content_decides_and_not_the_label(self, known: dict[str, keys.PrivateKey], label: str) -> None:
        forms = {form: made for form, made in (FORMS | ENCRYPTED).items() if form in READ_UNDER_ANY_LABEL}
        assert len(forms) == len(READ_UNDER_ANY_LABEL)
        for sort, convert in forms.values():
            content = labelled(convert(known[sort].pem()), label)
            key = load_private_key(content, "here", lambda: PASSPHRASE, thorough=True)
            assert key.public == known[sort].public

    def test_the_form_names_a_label_that_is_wrong(self, ec_key: keys.PrivateKey) -> None:
        assert form_of(ec_key.pem()) == "PEM (PKCS#8)"
        assert form_of(labelled(ec_key.pem(), "RSA PRIVATE KEY")) == "PEM (PKCS#8, under the label RSA PRIVATE KEY)"
        encrypted = labelled(ec_key.pem(PASSPHRASE), "PRIVATE KEY")
        assert form_of(encrypted) == "PEM (PKCS#8, encrypted, under the label PRIVATE KEY)"

    def test_what_openssl_calls_valid_is_read(self, known: dict[str, keys.PrivateKey], tmp_path: Path) -> None:
        for sort, convert in (FORMS["RSA PKCS#1"], FORMS["EC SEC1"], FORMS["RSA PKCS#8"]):
            file = write_private(tmp_path / "key", labelled(convert(known[sort].pem()), "PRIVATE KEY"))
            public = openssl("pkey", "-in", file, "-pubout")
            assert load_private_key(file.read_bytes(), "here").public.pem() == public

    def test_one_key_in_two_forms_is_one_key(self, rsa_key: keys.PrivateKey) -> None:
        both = rsa_key.pem() + FORMS["RSA PKCS#1"][1](rsa_key.pem())
        assert load_private_key(both, "here").public == rsa_key.public

    @pytest.mark.parametrize("form", ["NFC", "NFD", "latin-1"])
    @pytest.mark.parametrize("typed", ["NFC", "NFD", "latin-1"])
    def test_a_passphrase_outside_ascii_as_other_systems_write_it(
        self, ec_key: keys.PrivateKey, form: str, typed: str
    ) -> None:
        spelled = {"NFC": "gr\u00fc\u00df", "NFD": "gru\u0308\u00df", "latin-1": "gr\u00fc\u00df"}
        secret, given = (spelled[each].encode("latin-1" if each == "latin-1" else "utf-8") for each in (form, typed))
        assert load_private_key(ec_key.pem(secret), "here", lambda: given).public == ec_key.public

    def test_what_was_tried_is_said(self, ec_key: keys.PrivateKey) -> None:
        with pytest.raises(PassphraseError) as caught:
            load_private_key(ec_key.pem(PASSPHRASE), "here", "grüß".encode)
        assert caught.value.message == (
            "the passphrase does not open here (tried: as given, UTF-8, decomposed, Latin-1)"
        )

    @pytest.mark.parametrize(
        ("options", "alg"),
        [
            ([], "PS256"),
            (["sha256", "sha256", "32"], "PS256"),
            (["sha512", "sha512", "64"], "limited to SHA-512; PS256 needs SHA-256 and a salt of 32 bytes"),
            (["sha256", "sha1", "20"], "limited to parameters that no algorithm of JWTs has"),
            (["sha256", "sha256", "64"], "limited to parameters that no algorithm of JWTs has"),
        ],
    )
    def test_an_rsassa_pss_key_is_limited(self, options: list[str], alg: str) -> None:
        names = ("rsa_pss_keygen_md", "rsa_pss_keygen_mgf1_md", "rsa_pss_keygen_saltlen")
        more = [word for name, value in zip(names, options, strict=False) for word in ("-pkeyopt", f"{name}:{value}")]
        content = openssl("genpkey", "-quiet", "-algorithm", "rsa-pss", *more)
        public = openssl("pkey", "-pubout", stdin=content)
        if alg != "PS256":
            with pytest.raises(KeyLoadError, match=alg):
                load_private_key(content, "here")
            [finding] = [each for each in read_registration(public, "here").findings if each.verdict.name == "FAIL"]
            assert finding.rule == "registration.key.type"
            return
        key = load_private_key(content, "here")
        assert choose_alg(key) == "PS256"
        with pytest.raises(ConfigurationError, match="it is for PS256 alone"):
            choose_alg(key, "RS256")
        assert read_registration(public, "here").keys[0].algorithms == ("PS256",)
        assert "RS256" not in load_public_key(public, "here")[0].algorithms


READ_UNDER_ANY_LABEL = (
    *("RSA PKCS#8", "RSA PKCS#1", "EC PKCS#8", "EC SEC1"),
    *("RSA PKCS#8 AES-256", "RSA PKCS#8 scrypt", "RSA PKCS#8 3DES (PKCS#12 scheme)", "EC PKCS#8 AES-256"),
)


@cache
def dh_parameters() -> bytes:
    return openssl("dhparam", "-dsaparam", "512")


def crl(tmp: str = "") -> bytes:
    """An empty revocation list: its signature is not looked at."""
    name = sequence()
    algorithm = sequence(bytes.fromhex("06092a864886f70d01010b0500"))
    listed = sequence(integer(1), algorithm, name, bytes.fromhex("170d") + b"260101000000Z")
    return sequence(listed, algorithm, bytes.fromhex("030200ff"))


def pbes2(function: bytes, parameters: bytes) -> bytes:
    identifier = sequence(function, parameters)
    cipher = sequence(bytes.fromhex("060960864801650304012a0410") + bytes(16))
    return sequence(
        sequence(bytes.fromhex("06092a864886f70d01050d"), sequence(identifier, cipher)), sequence(bytes(64), tag=4)
    )


def pbkdf2(rounds: int) -> bytes:
    return pbes2(bytes.fromhex("06092a864886f70d01050c"), sequence(sequence(bytes(8), tag=4), integer(rounds)))


def scrypt(work: int, lanes: int) -> bytes:
    numbers = (integer(work), integer(8), integer(lanes))
    return pbes2(bytes.fromhex("06092b06010401da47040b"), sequence(sequence(bytes(8), tag=4), *numbers))


def huge(bits: int) -> bytes:
    numbers = (0, (1 << bits) - 1, 65537, 3, 5, 7, 1, 1, 1)
    return sequence(*map(integer, numbers))


HINT_JAVA = "convert it: keytool -importkeystore -srckeystore FILE -srcstoretype {} -destkeystore key.p12"

# What is no private key, and what it is called; each with the beginning of its one next step.
NAMED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "JKS": (lambda: b"\xfe\xed\xfe\xed\0\0\0\2\0\0", "is a Java keystore (JKS)", HINT_JAVA.format("JKS")),
    "JCEKS": (lambda: b"\xce\xce\xce\xce\0\0\0\2\0\0", "is a Java keystore (JCEKS)", HINT_JAVA.format("JCEKS")),
    "JKS in base64": (
        lambda: b64encode(b"\xfe\xed\xfe\xed" + bytes(90)),
        "is a Java keystore (JKS)",
        HINT_JAVA.format("JKS"),
    ),
    "BCFKS": (
        lambda: sequence(sequence(sequence(b"\x06\x03\x2a\x03\x04"), sequence(b"x", tag=4)), sequence()),
        "is a BCFKS keystore of Bouncy Castle",
        HINT_JAVA.format("BCFKS"),
    ),
    "gzip": (lambda: gzip.compress(b"x"), "is a compressed file (gzip)", "gzip -dc FILE | banno-creds"),
    "age": (lambda: b"age-encryption.org/v1\n-> X25519", "is a file encrypted with age", "age -d -i IDENTITY FILE |"),
    "Ansible": (
        lambda: b"$ANSIBLE_VAULT;1.1;AES256\n6162",
        "is a file encrypted with Ansible Vault",
        "ansible-vault",
    ),
    "PVK": (lambda: b"\x1e\xf1\xb5\xb0" + bytes(20), "is a key in Microsoft's PVK format", "convert it: openssl rsa"),
    ".NET": (lambda: b"<RSAKeyValue><Modulus>", "is an RSA key in .NET's XML", "write it as PEM: in .NET, Export"),
    "CRL": (crl, "holds a certificate revocation list, and signing needs the private key", "give the file whose"),
    "CRL in PEM": (
        lambda: b"-----BEGIN X509 CRL-----\n" + b64encode(crl()) + b"\n-----END X509 CRL-----\n",
        "holds a certificate revocation list, and signing needs the private key",
        "give the file whose",
    ),
    "DH parameters": (
        lambda: openssl("dhparam", "-outform", "DER", stdin=dh_parameters()),
        "parameters, and signing needs the private key",
        "give the file whose",
    ),
    "EC parameters": (
        lambda: openssl("ecparam", "-name", "prime256v1", "-outform", "DER"),
        "holds EC parameters, and signing needs the private key",
        "give the file whose",
    ),
    "DH": (
        lambda: openssl("genpkey", "-quiet", "-algorithm", "dh", "-pkeyopt", "group:ffdhe2048"),
        "is a DH key; the provider takes RSA",
        "make a key pair",
    ),
    "DH, encrypted": (
        lambda: openssl(
            *("pkcs8", "-topk8", "-passout", f"pass:{PASSPHRASE.decode()}"),
            stdin=openssl("genpkey", "-quiet", "-algorithm", "dh", "-pkeyopt", "group:ffdhe2048"),
        ),
        "is a DH key; the provider takes RSA",
        "make a key pair",
    ),
    "a public key under PRIVATE KEY": (
        lambda: labelled(keys.generate("ec").public.pem(), "PRIVATE KEY"),
        "holds a public key, and signing needs the private key",
        "give the file whose",
    ),
    "hours of PBKDF2": (
        lambda: pbkdf2(10**9),
        "is encrypted so that trying a passphrase takes 1,000,000,000 rounds",
        "convert a copy",
    ),
    "a terabyte of scrypt": (
        lambda: scrypt(1 << 30, 1),
        "is encrypted so that trying a passphrase takes 1,048,576 MiB of memory",
        "convert a copy",
    ),
    "hours of scrypt": (
        lambda: scrypt(1 << 14, 1 << 20),
        "is encrypted so that trying a passphrase takes 137,438,953,472 rounds",
        "convert a copy",
    ),
    "RSA of a million bits": (
        lambda: huge(10**6),
        "is an RSA key of 1000000 bits or so; 16384 is the most",
        "make a",
    ),
    "a key in a masked log": (
        lambda: b"-----BEGIN PRIVATE KEY-----\n***\n-----END PRIVATE KEY-----\n",
        "holds a private key with '*' in it, which no key has",
        "it was masked",
    ),
    "a key of an example": (
        lambda: b"-----BEGIN PRIVATE KEY-----\nMIIEvQ...\n-----END PRIVATE KEY-----\n",
        "with '.' in it",
        "it was shortened",
    ),
    "a key in a web page": (
        lambda: b"-----BEGIN PRIVATE KEY-----<br>\nMIIEvQ<br>\n-----END PRIVATE KEY-----<br>\n",
        "with '<' in it",
        "copy it again as plain text",
    ),
    "more than a megabyte": (lambda: b" " * (1 << 20) + b"x", "is larger than 1024 KiB", "check that it is the file"),
}


@pytest.mark.parametrize("what", NAMED)
def test_what_is_no_private_key_is_named_with_the_next_step(what: str) -> None:
    make, message, hint = NAMED[what]
    with pytest.raises(KeyLoadError) as caught:
        load_private_key(make(), "here", lambda: PASSPHRASE)
    assert message in caught.value.message
    assert str(caught.value.hint).startswith(hint)


# ── Public keys: one reader for all ─────────────────────────────────────────────────────────────────────────────────


def request(key: keys.PrivateKey, *args: str) -> bytes:
    return openssl("req", "-key", "/dev/stdin", "-subj", "/CN=bank", *args, stdin=key.pem())


def certificate(key: keys.PrivateKey, *args: str) -> bytes:
    return request(key, "-x509", "-days", "2", *args)


def chain(key: keys.PrivateKey, tmp_path: Path) -> bytes:
    """The issuer's certificate before its own, as some servers' files have them."""
    issuer = keys.generate("ec")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(openssl("req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=ca", "-days", "2", stdin=issuer.pem()))
    write_private(tmp_path / "ca.key", issuer.pem())
    made = openssl(
        *("x509", "-req", "-CA", ca, "-CAkey", tmp_path / "ca.key", "-CAcreateserial", "-days", "2"),
        stdin=request(key, "-new"),
    )
    return ca.read_bytes() + made


def pkcs1(key: keys.PrivateKey) -> bytes:
    return openssl("rsa", "-pubin", "-RSAPublicKey_out", stdin=key.public.pem())


def invalid_version(key: keys.PrivateKey) -> bytes:
    return der_of(certificate(key)).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09", 1)


def jwk(key: keys.PrivateKey, **more: object) -> bytes:
    return json.dumps(key.public.jwk() | more).encode()


PUBLIC: dict[str, Callable[[keys.PrivateKey], bytes]] = {
    **{name: lambda key, do=do: do(key.public.pem()) for name, do in DONE.items()},  # type: ignore[misc]
    "PEM": lambda key: key.public.pem(),
    r"\n escapes": lambda key: key.public.pem().replace(b"\n", rb"\n"),
    "base64": lambda key: b64encode(key.public.pem()),
    "UTF-16": lambda key: key.public.pem().decode().encode("utf-16"),
    "under RSA PUBLIC KEY": lambda key: labelled(key.public.pem(), "RSA PUBLIC KEY"),
    "under CERTIFICATE": lambda key: labelled(key.public.pem(), "CERTIFICATE"),
    "PKCS#1": pkcs1,
    "PKCS#1 under PUBLIC KEY": lambda key: labelled(pkcs1(key), "PUBLIC KEY"),
    "PKCS#1 in DER": lambda key: der_of(pkcs1(key)),
    "certificate": certificate,
    "certificate in DER": lambda key: der_of(certificate(key)),
    "certificate under X509 CERTIFICATE": lambda key: labelled(certificate(key), "X509 CERTIFICATE"),
    "certificate under PUBLIC KEY": lambda key: labelled(certificate(key), "PUBLIC KEY"),
    "certificate in OpenSSL's own form": lambda key: openssl("x509", "-trustout", stdin=certificate(key)),
    "certificate of an invalid version": invalid_version,
    "certificate with a negative serial": lambda key: certificate(key, "-set_serial", "-5"),
    "PKCS#7": lambda key: openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", stdin=certificate(key)),
    "certificate request": lambda key: request(key, "-new"),
    "certificate request in DER": lambda key: request(key, "-new", "-outform", "DER"),
    "JWK": jwk,
    "JWKS in UTF-16": lambda key: json.dumps({"keys": [key.public.jwk()]}).encode().decode().encode("utf-16"),
    "JWK in base64": lambda key: b64encode(jwk(key)),
}


def registered(content: bytes) -> RegisteredClient:
    return RegisteredClient.register(Client(CLIENT_ID, content))


@pytest.mark.parametrize(("done", "mended"), [("base64", True), ("dashes of a mail", True), ("UTF-16", False)])
def test_text_that_the_bank_could_not_read_is_a_warning(ec_key: keys.PrivateKey, done: str, mended: bool) -> None:
    finding = read_registration(PUBLIC[done](ec_key), "here").findings[1]
    assert (finding.rule, finding.verdict.name) == ("registration.unreadable", "WARN" if mended else "PASS")


@pytest.mark.parametrize("form", PUBLIC)
def test_a_public_key_is_read_by_all_in_the_same_forms(rsa_key: keys.PrivateKey, form: str) -> None:
    content = PUBLIC[form](rsa_key)
    assert [key.native for key in load_public_key(content, "here")] == [rsa_key.public.native]
    assert list(read_registration(content, "here").fingerprints) == [rsa_key.public.fingerprint()]
    assert len(registered(content).keys) == 1


def test_of_a_chain_only_the_last_certificate_counts(ec_key: keys.PrivateKey, tmp_path: Path) -> None:
    both = chain(ec_key, tmp_path)
    for content in (both, openssl("crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", stdin=both)):
        assert [key.native for key in load_public_key(content, "here")] == [ec_key.public.native]
        assert len(registered(content).keys) == 1


def test_each_of_several_public_keys_counts(known: dict[str, keys.PrivateKey]) -> None:
    content = b"".join(key.public.pem() for key in known.values())
    assert [key.native for key in load_public_key(content, "here")] == [key.public.native for key in known.values()]
    assert all(
        judge_key(read_registration(content, "x"), key.public).verdict.name == "PASS" for key in known.values()
    )


@pytest.mark.parametrize("form", ["as keygen writes it", "DER", "encrypted", "base64 twice"])
def test_a_private_key_is_never_taken_for_a_public_one(ec_key: keys.PrivateKey, form: str) -> None:
    content = {
        "as keygen writes it": ec_key.pem(),
        "DER": der_of(ec_key.pem()),
        "encrypted": ec_key.pem(PASSPHRASE),
        "base64 twice": b64encode(b64encode(ec_key.pem())),
    }[form]
    with pytest.raises(ConfigurationError, match="holds a private key, and verifying needs only the public one"):
        load_public_key(content, "here")
    with pytest.raises(ConfigurationError, match="is a private key"):
        registered(content)
    assert read_registration(content, "here").findings[0].rule == "registration.private_key"


@pytest.mark.parametrize(
    ("content", "words", "hint"),
    [
        (
            b"ssh-rsa AAAAB3NzaC1yc2E ann@host",
            "is a public key in OpenSSH's format",
            "ssh-keygen -e -m PKCS8 -f FILE",
        ),
        (
            b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n",
            "is a public key in",
            "ssh-keygen",
        ),
        (b"\xfe\xed\xfe\xed\0\0\0\2", "is a Java keystore (JKS)", "keytool -exportcert -rfc -keystore FILE"),
        (crl(), "holds a certificate revocation list, and no public key", "give"),
    ],
)
def test_what_is_no_public_key_is_named(content: bytes, words: str, hint: str) -> None:
    for read in (lambda: load_public_key(content, "here"), lambda: registered(content)):
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert words in caught.value.message
        assert hint in str(caught.value.hint)
    assert read_registration(content, "here").keys == ()


# ── JWKs as serializers write them ──────────────────────────────────────────────────────────────────────────────────


def short_coordinate() -> dict[str, str]:
    """A P-256 key whose x lacks its leading zero."""
    for secret in range(1, 3000):
        own = keys.PrivateKey(ec.derive_private_key(secret, ec.SECP256R1()), "x").public.jwk()
        x = b64decode(own["x"] + "=", altchars=b"-_")
        if x[0] == 0:
            return own | {"x": urlsafe_b64encode(x.lstrip(b"\0")).rstrip(b"=").decode()}
    raise AssertionError


NULLS: dict[str, object] = {
    "use": None,
    "key_ops": None,
    "alg": None,
    "kid": None,
    "x5c": None,
    "d": None,
    "oth": None,
}
EMPTY: dict[str, object] = {"use": "", "key_ops": [], "alg": "", "kid": "", "x5c": [], "oth": [], "x5t": ""}


@pytest.mark.parametrize(
    ("more", "objects"),
    [
        (NULLS, "use and key_ops and alg"),
        (EMPTY, 'a key whose use is empty ("")'),
        ({"alg": ""}, 'a key whose alg is empty ("")'),
        ({"key_ops": []}, 'a key whose key_ops [] lack "verify"'),
        ({"e": 65537}, "a JWK whose e cannot be read by all"),
        ({"e": "AQAB="}, "a JWK whose e cannot be read by all"),
        ({"alg": "rs256", "use": "sig"}, None),
        ({"kty": "rsa"}, None),
        ({"use": ["sig"], "key_ops": "verify"}, None),
    ],
)
def test_a_jwk_as_serializers_write_it(
    rsa_key: keys.PrivateKey, more: dict[str, object], objects: str | None
) -> None:
    """To verify, null and empty are absent; of a registered key they are said, since the provider may be stricter."""
    content = jwk(rsa_key, **more)
    [key] = load_public_key(content, "here")
    assert (key.native, "RS256" in key.algorithms) == (rsa_key.public.native, True)
    if objects is not None:
        said = [each.received for each in read_registration(content, "here").findings if each.verdict.name != "PASS"]
        assert any(objects in each for each in said)


def test_a_coordinate_without_its_leading_zero() -> None:
    content = json.dumps(short_coordinate()).encode()
    [key] = load_public_key(content, "here")
    assert key.algorithms == ("ES256",)
    assert "x cannot be read by all" in read_registration(content, "here").findings[2].received


def test_a_private_jwk_as_serializers_write_it(cli: Cli, tmp_path: Path) -> None:
    native = keys.generate("ec")
    assert isinstance(native.native, ec.EllipticCurvePrivateKey)
    secret = native.native.private_numbers().private_value.to_bytes(32, "big")
    members = native.public.jwk() | {"d": urlsafe_b64encode(secret).rstrip(b"=").decode()} | NULLS | EMPTY
    members["d"] = urlsafe_b64encode(secret).rstrip(b"=").decode()
    path = write_private(tmp_path / "key.jwk", json.dumps(members).encode())
    assert cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", path).code == 0


# ── Whatever else comes ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content",
    [
        b"-----BEGIN A-----\n" * 58_000,
        b"".join(b"-----BEGIN A%d-----\n" % number for number in range(50_000)),
        b"-----BEGIN X-----\n" + b"A: b\n" * 200_000 + b"-----END X-----\n",
        b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
        + b" " * 900_000
        + b"-----END RSA PRIVATE KEY-----",
        b"-" * 1_000_000 + b"BEGIN ",
        b"MIIE " * 200_000,
        b"\x30\x84\x00\x0f\x00\x00" * 100_000,
        b'{"keys": ' + b"[" * 1_000_000,
    ],
    ids=lambda content: ascii(content[:20]),
)
@pytest.mark.timeout(30)  # quadratic, each would take many minutes
def test_a_hostile_megabyte_takes_no_longer_than_its_length(content: bytes) -> None:
    for read in (load_private_key, load_public_key):
        with pytest.raises(BannoCredsError):
            read(content[: 1 << 20], "here")
    assert read_registration(content[: 1 << 20], "here").keys == ()


def test_no_damage_ends_in_anything_but_words(
    known: dict[str, keys.PrivateKey], capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID", "1"))
    rsa_key = known["rsa"]
    good = [form(rsa_key) for name, form in PUBLIC.items() if name in ("PEM", "certificate in DER", "PKCS#7", "JWK")]
    good += [ENCRYPTED[name][1](rsa_key.pem()) for name in ("RSA PKCS#8 scrypt", "RSA PKCS#1 AES-256")]
    good += [rsa_key.pem(), der_of(rsa_key.pem()), der_of(known["ec"].pem()), crl(), pbkdf2(2048)]
    said: list[str] = []
    for _ in range(500):
        content = bytearray(chance.choice(good))
        if content.startswith(b"-----") and chance.random() < 0.5:
            # What is damaged is what the base64 stands for.
            lines = bytes(content).splitlines()
            inside = bytearray(b64decode(b"".join(line for line in lines[1:-1] if b":" not in line)))
            inside[chance.randrange(min(len(inside), 60))] = chance.randrange(256)
            content = bytearray(lines[0] + b"\n" + b64encode(inside) + b"\n" + lines[-1])
        for _ in range(chance.randint(1, 3)):
            start = chance.randrange(len(content))
            content[start : start + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 6))
        content = content[: chance.choice([len(content), chance.randrange(len(content) + 1)])]
        for read in (load_private_key, load_public_key):
            try:
                read(bytes(content), "here")
            except BannoCredsError as error:
                said.append(error.message)
        read_registration(bytes(content), "here")
    assert all(re.search(r"\bhere\b", message) for message in said)
    assert capfd.readouterr().err == ""  # no warning, and no words of a panic


@pytest.mark.parametrize(
    ("typed", "said"), [(b"right ", "it ends with a blank"), (b'"right"', "it has quotation marks")]
)
def test_what_cannot_be_seen_in_a_passphrase_is_named(rsa_key: keys.PrivateKey, typed: bytes, said: str) -> None:
    with pytest.raises(PassphraseError, match=f"does not open here: {said}"):
        load_private_key(ENCRYPTED["RSA PKCS#8 AES-256"][1](rsa_key.pem()), "here", lambda: typed)


def test_several_keys_in_one_document_are_not_chosen_from(known: dict[str, keys.PrivateKey]) -> None:
    with pytest.raises(KeyLoadError, match="holds 2 private keys"):
        load_private_key(in_json({name: key.pem().decode() for name, key in known.items()}), "here")


def test_a_secret_may_have_the_letters_kty_in_it(rsa_key: keys.PrivateKey) -> None:
    """The base64 of one key of a hundred has them somewhere."""
    secret = {"kind": "Secret", "metadata": {"name": "kty-keys"}, "data": {"k": b64encode(rsa_key.pem()).decode()}}
    assert load_private_key(json.dumps(secret).encode(), "here").public == rsa_key.public
