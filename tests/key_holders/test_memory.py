"""No private byte of a held key is in this program: its memory is read after it signed, before it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from banno_creds.jose import keys
from tests.conftest import CLIENT_ID, write_private
from tests.key_holders.memory import found_in, private_pieces
from tests.servers.kms import Kms
from tests.servers.loopback import LoopbackServer, Request, Says

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.key_holders.openbao import OpenBao
    from tests.key_holders.softhsm import Served, SoftHsm
    from tests.key_holders.ssh import SshAgent

pytestmark = [pytest.mark.once, pytest.mark.posix("/proc has the memory of a process")]
linux = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="this system has no /proc/PID/mem")

_GRANTED = json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 600}).encode()
# So that the answer comes while the process waits, and nothing of it was cleared.
_HOLDER = """
import subprocess, sys

def open_key(uri, *, passphrase, timeout):
    return Key(uri.partition(":")[2])

class Key:
    algorithms = ["PS256"]

    def __init__(self, file):
        self._file = file
        self.public_key = self._ask("public")

    def sign(self, alg, signing_input):
        return self._ask("sign", signing_input)

    def _ask(self, what, data=b""):
        done = subprocess.run([sys.executable, __file__, self._file, what], input=data, stdout=-1, check=True)
        return done.stdout

if __name__ == "__main__":
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding
    with open(sys.argv[1], "rb") as opened:
        key = serialization.load_pem_private_key(opened.read(), None)
    if sys.argv[2] == "public":
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        sys.stdout.buffer.write(key.public_key().public_bytes(*form))
    else:
        way = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read(), way, hashes.SHA256()))
"""


def _in_memory_of(place: str, key: keys.PrivateKey, env: Mapping[str, str] | None = None) -> set[str]:
    """Sign with the key at a place, and return which pieces of it the process has while it waits for the answer."""
    found: list[set[str]] = []
    pieces = private_pieces(key)

    def look(request: Request) -> Says:
        found.append(found_in(running.pid, pieces))
        return Says(200, _GRANTED)

    with LoopbackServer(look) as server:
        words = ["client-assertion", "-q", "--client-id", CLIENT_ID, "--private-key", place]
        words += ["--token-endpoint", f"{server.origin}/token"]
        running = subprocess.Popen(
            [sys.executable, "-m", "banno_creds", *words],
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err.decode()
    assert out
    [seen] = found
    return seen


@linux
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_key_in_a_file_is_found_there(tmp_path: Path, kind: Literal["rsa", "ec"]) -> None:
    """The search finds what is there: a key file is in this process."""
    key = keys.generate(kind)
    found = _in_memory_of(str(write_private(tmp_path / "private.pem", key.pem())), key)
    assert any("as a number of OpenSSL" in each for each in found)


@linux
def test_a_holder_in_this_process_is_found_too(toy_rsa: str, rsa_key: keys.PrivateKey) -> None:
    """Another package can do what it likes; here it loads the key itself."""
    assert _in_memory_of(toy_rsa, rsa_key) != set()


@linux
def test_a_holder_in_another_process(install: object, tmp_path: Path, rsa_key: keys.PrivateKey) -> None:
    install("apart", _HOLDER, "apart")  # type: ignore[operator]
    file = write_private(tmp_path / "held.pem", rsa_key.pem())
    assert _in_memory_of(f"apart:{file}", rsa_key) == set()


@linux
@pytest.mark.parametrize("kind", ["rsa-2048", "ecdsa-p256"])
def test_vault(openbao: OpenBao, kind: str) -> None:
    name = openbao.key(kind, exportable=True)  # to know what to look for
    [pem] = openbao.ask("GET", f"transit/export/signing-key/{name}")["keys"].values()
    key = keys.load_private_key(pem.encode(), "the exported key", lambda: None)
    assert _in_memory_of(f"vault:transit/{name}", key) == set()


@linux
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_aws_kms(no_aws: None, kind: Literal["rsa", "ec"]) -> None:
    key = keys.generate(kind)
    with Kms(key) as kms:
        own = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-central-1"}
        env = {"AWS_ENDPOINT_URL_KMS": kms.origin, "AWS_EC2_METADATA_DISABLED": "true", **own}
        assert _in_memory_of("awskms:alias/banno", key, env) == set()


@linux
@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_an_ssh_agent(ssh_agent: SshAgent, kind: str) -> None:
    file = ssh_agent.make(kind, 2048 if kind == "rsa" else 256, "banno")
    ssh_agent.run("ssh-add", "-q", file)
    key = keys.load_private_key(file.read_bytes(), str(file), lambda: None)
    assert _in_memory_of("ssh-agent:banno", key) == set()


@linux
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_pkcs11_token(softhsm: SoftHsm, served_softhsm: Served, tmp_path: Path, kind: Literal["rsa", "ec"]) -> None:
    key = keys.generate(kind)
    file = write_private(tmp_path / "imported.pem", key.pem())
    words = ["softhsm2-util", "--import", str(file), "--token", "banno", "--label", "canary", "--id", "0a"]
    subprocess.run(
        [*words, "--pin", softhsm.pin], env={**os.environ, **softhsm.variables}, check=True, capture_output=True
    )
    assert _in_memory_of("pkcs11:token=banno;object=canary", key, served_softhsm.variables) == set()
