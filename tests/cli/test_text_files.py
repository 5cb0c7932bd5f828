"""Files that we read as text, in the encodings that Windows' editors and PowerShell's ``>`` write."""

from __future__ import annotations

import json
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from banno_creds.cli.inputs import StandardInput, client_secret
from banno_creds.http.trust import read_bundle
from banno_creds.jose import keys
from banno_creds.login.authorization_request import claims_parameter
from banno_creds.sandbox.files import read_client_secret, read_clients, read_users
from tests.conftest import CLIENT_ID, write_private
from tests.jwts import jwt
from tests.openssl import STDIN, openssl

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Cli

pytestmark = pytest.mark.once

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "UTF-8 with a byte-order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16, as PowerShell writes it": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-16, big end first, without a mark": lambda text: text.encode("utf-16-be"),
}

encoded = pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)

PASSPHRASE = "correct horse"


@encoded
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("piped", [False, True])
def test_passphrase(cli: Cli, tmp_path: Path, encode: Callable[[str], bytes], end: str, piped: bool) -> None:
    key = write_private(tmp_path / "key.pem", keys.generate("ec").pem(PASSPHRASE.encode()))
    file = write_private(tmp_path / "passphrase", encode(PASSPHRASE + end))
    given = ("--passphrase-file", "-") if piped else ("--passphrase-file", file)
    sign = ("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", key)
    result = cli(*sign, *given, stdin=file.read_bytes() if piped else b"")
    assert (result.code, result.stderr) == (0, "")


@encoded
def test_client_secret(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    file = write_private(tmp_path / "secret", encode("s3cret-of-the-client\n"))
    source = client_secret(str(file), StandardInput(), asks=False)
    assert source is not None
    assert source.read() == "s3cret-of-the-client"
    assert read_client_secret(file) == "s3cret-of-the-client"


@encoded
def test_claims(encode: Callable[[str], bytes]) -> None:
    asked = {"id_token": {"email": None}}
    assert claims_parameter(encode(json.dumps(asked)), ()) == asked


@encoded
@pytest.mark.parametrize("command", ["decode", "lint-assertion"])
@pytest.mark.parametrize("piped", [False, True])
def test_token(cli: Cli, tmp_path: Path, encode: Callable[[str], bytes], command: str, piped: bool) -> None:
    token = jwt({"iss": "a"}, {"alg": "RS256"}) if command == "decode" else jwt({"alg": "RS256"}, {"iss": "a"})
    file = tmp_path / "token.txt"
    file.write_bytes(encode(token + "\n"))
    # A byte-order mark in UTF-8 is taken off by the rules, which tell of it.
    kept = "\ufeff" if file.read_bytes().startswith(b"\xef\xbb\xbf") else ""
    plain = cli(command, "-q", stdin=(kept + token).encode())
    result = cli(command, "-q", stdin=file.read_bytes()) if piped else cli(command, "-q", "--file", file)
    assert (result.code, result.stdout, result.stderr) == (plain.code, plain.stdout, plain.stderr)


@encoded
def test_files_of_the_sandbox(tmp_path: Path, ec_key: keys.PrivateKey, encode: Callable[[str], bytes]) -> None:
    users, clients = tmp_path / "users.toml", tmp_path / "clients.toml"
    users.write_bytes(encode('[users.ann]\npassword = "geheim"\n'))
    clients.write_bytes(encode('[clients.a]\npublic_key = "public.pem"\n'))
    (tmp_path / "public.pem").write_bytes(encode(ec_key.public.pem().decode()))
    assert [user.username for user in read_users(users)] == ["ann"]
    assert [client.client_id for client in read_clients(clients)] == ["a"]


def certificates() -> str:
    """Return two authorities, in PEM."""
    return "".join(map(_authority, ("one", "two")))


def _authority(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    whose = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(whose)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


BUNDLES: dict[str, Callable[[str], bytes]] = {
    **ENCODINGS,
    "PKCS#7": lambda pem: openssl("crl2pkcs7", "-nocrl", "-certfile", STDIN, stdin=pem.encode()),
    "PKCS#7 in DER": lambda pem: openssl(
        *("crl2pkcs7", "-nocrl", "-certfile", STDIN, "-outform", "DER"), stdin=pem.encode()
    ),
    "the label of OpenSSL's own form": lambda pem: pem.replace(" CERTIFICATE", " X509 CERTIFICATE").encode(),
    "line ends lost": lambda pem: pem.replace("\n", " ").encode(),
}


@pytest.mark.parametrize("encode", BUNDLES.values(), ids=BUNDLES)
def test_ca_bundle(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(encode(certificates()))
    trusted = read_bundle(file).get_ca_certs()
    names = [f"((('commonName', '{name}'),),)" for name in ("one", "two")]
    assert sorted(str(each["subject"]) for each in trusted) == names


def test_ca_bundle_of_one_certificate_in_der(tmp_path: Path) -> None:
    file = tmp_path / "ca.cer"
    file.write_bytes(ssl.PEM_cert_to_DER_cert(_authority("one")))
    assert len(read_bundle(file).get_ca_certs()) == 1


@pytest.mark.posix("/dev/fd")
def test_ca_bundle_in_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, certificates().encode())
    os.close(writer)
    assert len(read_bundle(Path(f"/dev/fd/{reader}")).get_ca_certs()) == 2
    os.close(reader)


def test_a_key_for_a_passphrase_is_named(cli: Cli, rsa_pem: Path, ec_key: keys.PrivateKey, tmp_path: Path) -> None:
    locked = write_private(tmp_path / "locked.pem", ec_key.pem(PASSPHRASE.encode()))
    for wrong in (rsa_pem, locked, write_private(tmp_path / "public.pem", ec_key.public.pem())):
        key = ["--private-key", str(locked), "--passphrase-file", str(wrong)]
        result = cli("sign-jwt", "-q", "--client-id", "a", *key)
        assert (result.code, result.stdout) == (2, "")
        assert "What should be the passphrase is a key or a certificate (not shown)" in result.stderr


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("${KEY_FILE}", "nothing has filled that in"),
        ("$HOME/k.pem", "nothing has filled that in"),
        ("<path>", "nothing has filled that in"),
        ("@k.pem", "give the path alone"),
        ("file:///k.pem", "give the path alone"),
        ("fileb://k.pem", "give the path alone"),
        ("https://vault.test/k", "only files are read"),
        ("arn:aws:kms:us-east-1:1:key/a", "if it is a key of AWS KMS, write awskms: before it"),
        ("k.pem", "check the path"),
        ("C:\\k.pem", "check the path"),
        ("C:/k.pem", "check the path"),
        ("a|b?.pem", "check the path"),
    ],
)
def test_what_is_no_path_of_a_key_is_told(cli: Cli, path: str, hint: str) -> None:
    result = cli("sign-jwt", "-q", "--client-id", "a", "--private-key", path)
    assert (result.code, result.stdout) == (3, "")
    assert f"Next: {hint}" in result.stderr


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ('"C:\\keys\\k.pem"', "'\"C:\\keys\\k.pem\"': it has quotation marks around it"),
        ("'Müller\\k.pem'", "\"'Müller\\k.pem'\": it has quotation marks around it"),
        ("keys\\k.pem\t", "'keys\\\\k.pem\\t': it ends with a tab"),
        ("k\u2013k.pem", "'k\\u2013k.pem': it has an en dash (U+2013) in it"),
    ],
)
def test_a_path_is_shown_as_it_was_typed_unless_something_in_it_cannot_be_seen(
    cli: Cli, path: str, shown: str
) -> None:
    """Backslashes of Windows are doubled only where there are escapes; cmd keeps quotation marks in a variable."""
    result = cli("sign-jwt", "-q", "--client-id", "a", env={"BANNO_CREDS_PRIVATE_KEY": path})
    assert result.code == 3
    assert f"No such file: {shown}\n" in result.stderr
