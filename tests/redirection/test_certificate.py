"""The certificate for localhost: made at the first login, kept, and replaced only when it must be."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from banno_creds.errors import ConfigurationError
from banno_creds.redirection.certificate import LocalhostCertificate, localhost_certificate
from banno_creds.steps import Run
from banno_creds.storage import own_files
from banno_creds.storage.lock import Lock
from tests.openssl import openssl

DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A folder that is not there yet, nor is the one above it."""
    return str(tmp_path / "state" / "banno-creds")


def load(certificate: LocalhostCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(certificate.path).read_bytes())


def test_it_is_for_localhost_and_loopback_alone_and_no_authority(folder: str) -> None:
    certificate = load(localhost_certificate(folder))
    key = certificate.public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    assert isinstance(key.curve, SECP256R1)
    assert certificate.subject == certificate.issuer
    assert certificate.subject.rfc4514_string() == "CN=localhost"
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(each) for each in ("127.0.0.1", "::1")]
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_it_is_good_from_an_hour_ago_for_397_days(folder: str) -> None:
    now = 1_795_276_861
    certificate = load(localhost_certificate(folder, Run(clock=lambda: now)))
    assert certificate.not_valid_before_utc.timestamp() == now - 3600
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == dt.timedelta(days=397)


def test_its_fingerprints_are_those_that_others_compute(folder: str) -> None:
    made = localhost_certificate(folder)
    seen = openssl("x509", "-in", made.path, "-noout", "-fingerprint", "-sha256").decode().partition("=")[2].strip()
    assert made.fingerprint == f"SHA256:{seen}"
    spki = load(made).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert made.spki == b64encode(hashlib.sha256(spki).digest()).decode()


def test_a_client_that_trusts_it_takes_it_for_each_name_of_loopback(folder: str) -> None:
    made = localhost_certificate(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.path)
    client = ssl.create_default_context(cafile=made.path)
    for name in ("localhost", "127.0.0.1", "::1"):
        here, there = socket.socketpair()
        with here, there:
            serving = threading.Thread(target=lambda there=there: server.wrap_socket(there, server_side=True).close())
            serving.start()
            with client.wrap_socket(here, server_hostname=name) as agreed:
                assert agreed.version() == "TLSv1.3"
            serving.join()


@pytest.mark.posix("Windows has no modes")
def test_the_file_and_its_folder_are_their_owners_alone(folder: str) -> None:
    made = localhost_certificate(folder)
    assert made.path == str(Path(folder) / "localhost.pem")
    assert stat.S_IMODE(Path(made.path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    assert [each.name for each in Path(folder).iterdir()] == ["localhost.pem"]


def test_it_is_kept_so_that_a_browsers_exception_holds(folder: str) -> None:
    first = localhost_certificate(folder)
    content = Path(first.path).read_bytes()
    second = localhost_certificate(folder)
    assert (first.made, second.made) == (True, False)
    assert (second.path, second.fingerprint, second.spki) == (first.path, first.fingerprint, first.spki)
    assert Path(first.path).read_bytes() == content


def test_no_two_are_alike(tmp_path: Path) -> None:
    one, other = (localhost_certificate(str(tmp_path / name)) for name in ("a", "b"))
    assert one.spki != other.spki
    assert load(one).serial_number != load(other).serial_number


def test_its_private_key_is_in_no_repr(folder: str) -> None:
    assert "PRIVATE" not in repr(localhost_certificate(folder))


@pytest.mark.parametrize(("days", "made"), [(0, False), (366, False), (368, True), (398, True), (-1, True)])
def test_it_is_made_anew_where_it_ends_within_30_days_or_is_not_good_yet(folder: str, days: int, made: bool) -> None:
    now = time.time()
    localhost_certificate(folder, Run(clock=lambda: now))
    then = localhost_certificate(folder, Run(clock=lambda: now + days * DAY))
    assert then.made is made


def _as_pem(key: Any, encryption: KeySerializationEncryption) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return pem


def _broken(content: bytes) -> list[bytes]:
    begin = b"-----BEGIN CERTIFICATE-----"
    key, _, certificate = content.partition(begin)
    return [
        b"",
        b"\xff\x00garbage",
        key,
        begin + certificate,
        content[: len(content) // 2],
        key + begin + certificate.replace(b"M", b"N", 1),
        _as_pem(generate_private_key(SECP256R1()), NoEncryption()) + begin + certificate,
        _as_pem(load_pem_private_key(key, None), BestAvailableEncryption(b"secret")) + begin + certificate,
    ]


@pytest.mark.parametrize("which", range(8))
def test_a_broken_one_is_made_anew(folder: str, which: int) -> None:
    """Empty, garbage, only one half, cut off, changed, for another key, or with a key that nobody can read."""
    first = localhost_certificate(folder)
    Path(first.path).write_bytes(_broken(Path(first.path).read_bytes())[which])
    second = localhost_certificate(folder)
    assert second.made
    assert second.spki != first.spki
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(second.path)


@pytest.mark.posix("Windows has no modes")
def test_one_that_others_can_read_is_closed_to_them(folder: str) -> None:
    first = localhost_certificate(folder)
    Path(first.path).chmod(0o644)
    assert not localhost_certificate(folder).made
    assert stat.S_IMODE(Path(first.path).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "what",
    [
        "a file in its place",
        "a folder in the file's place",
        pytest.param("a link", marks=pytest.mark.posix("Windows lets only administrators make links")),
        pytest.param("shared", marks=pytest.mark.posix("Windows has no modes")),
    ],
)
def test_a_folder_that_cannot_be_used_is_said_with_what_to_do(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "state"
    if what == "a file in its place":
        folder.write_text("")
    elif what == "a folder in the file's place":
        (folder / "localhost.pem").mkdir(parents=True)
    elif what == "a link":
        folder.mkdir(mode=0o700)
        (tmp_path / "elsewhere").write_text("kept")
        (folder / "localhost.pem").symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o1777)
    with pytest.raises(ConfigurationError, match="the certificate for localhost cannot be kept") as caught:
        localhost_certificate(str(folder))
    assert str(folder) in caught.value.message
    assert caught.value.hint is not None
    assert "BANNO_CREDS_STATE_DIR" in caught.value.hint
    assert "http://localhost" in caught.value.hint
    if what == "a link":
        assert (tmp_path / "elsewhere").read_text() == "kept"


MAKE = """
import sys, time
from banno_creds.redirection import certificate
from banno_creds.steps import Run

def make(curve, generate=certificate.generate_private_key):
    print("makes", flush=True)
    sys.stdin.readline()
    return generate(curve)

def sleep(seconds, said=[]):
    if not said:
        said.append(print("waits", flush=True))
    time.sleep(seconds)

certificate.generate_private_key = make
made = certificate.localhost_certificate(sys.argv[1], Run(sleep=sleep))
print(made.made, made.fingerprint, flush=True)
"""


def test_of_two_first_logins_at_once_both_show_the_certificate_that_is_served(folder: str) -> None:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", MAKE, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with start() as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "makes\n"
        with start() as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "waits\n"
            shown = [process.communicate("\n", 60)[0] for process in (first, second)]
    served = "SHA256:" + load(localhost_certificate(folder)).fingerprint(SHA256()).hex(":").upper()
    assert shown == [f"True {served}\n"] * 2


def test_one_that_another_process_never_finishes_is_not_waited_for_without_end(folder: str) -> None:
    own_files.make_folder(folder)
    lock_path = str(Path(folder) / "localhost.pem.lock")
    other = Lock(lock_path)
    assert other.take()
    pauses: list[float] = []
    with pytest.raises(ConfigurationError, match="another process has been at it for 10 s"):
        localhost_certificate(folder, Run(sleep=pauses.append))
    assert sum(pauses) == pytest.approx(10, abs=0.1)
    other.free()
    assert localhost_certificate(folder).made


def test_processes_at_once_leave_one_whole_certificate(folder: str) -> None:
    program = "import sys; from banno_creds.redirection.certificate import localhost_certificate as c; c(sys.argv[1])"
    processes = [subprocess.Popen([sys.executable, "-c", program, folder]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert not localhost_certificate(folder).made
    assert [each.name for each in Path(folder).iterdir()] == ["localhost.pem"]
