"""Keys of a real ssh-agent, and agents that say something else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from banno_creds import ClientConfig, KeySource
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.errors import BannoCredsError, KeyLoadError, SigningError
from banno_creds.key_holders import ssh_agent as ssh_agent_module
from banno_creds.key_holders.wrong_signature import verifies
from tests.conftest import CLIENT_ID
from tests.patience import patient
from tests.servers.agent import Agent, listing, packed, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from banno_creds.client_authentication.private_key import Signer
    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.key_holders.granted import Granted
    from tests.key_holders.ssh import SshAgent
    from tests.rotation.conftest import Desk

    Talking = Callable[[keys.PrivateKey, Callable[[bytes], bytes | None]], Agent]

pytestmark = pytest.mark.posix("a socket of Unix")


def _open(uri: str, alg: str | None = None, timeout: float = 20) -> Signer:
    return load_signer(ClientConfig(CLIENT_ID, KeySource.at(uri), alg=alg, timeout=timeout))


def _signs(signer: Signer) -> bool:
    return verifies(signer.key.public.native, signer.alg, b"header.payload", signer.sign(b"header.payload"))


def _fails(uri: str, error: type[BannoCredsError] = KeyLoadError, timeout: float = 20) -> str:
    """Return the words of the error, in which there is nothing that a terminal obeys."""
    with pytest.raises(error) as caught:
        _open(uri, timeout=timeout).sign(b"header.payload")
    failure = caught.value
    said = "\n".join((failure.message, *failure.details, failure.hint or ""))
    assert (failure.exit_code, bool(failure.hint)) == (3, True)
    assert said.replace("\n", "").isprintable()
    assert len(said) < 3000
    return said


# --- A real agent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alg", "kind", "bits"), [("RS256", "rsa", 2048), ("ES256", "ecdsa", 256)])
def test_a_token_is_granted_to_a_key_of_an_agent(
    ssh_agent: SshAgent, granted: Granted, alg: str, kind: str, bits: int
) -> None:
    granted(f"ssh-agent:{ssh_agent.key(kind, bits, 'banno')}", alg)


def test_and_to_processes_that_name_it_by_its_comment(ssh_agent: SshAgent, granted: Granted, process: Cli) -> None:
    ssh_agent.key("ecdsa", 256, "riley@bank's 日本 key")
    granted("ssh-agent:riley@bank's 日本 key", "ES256", env={"SSH_AUTH_SOCK": str(ssh_agent.place)}, run=process)


def test_a_key_is_named_by_any_of_its_names(ssh_agent: SshAgent) -> None:
    fingerprint = ssh_agent.key("ecdsa", 256, "banno")
    ssh_agent.key("ecdsa", 256, "another")
    signer = _open(f"ssh-agent:{fingerprint}")
    assert _signs(signer)
    for name in (signer.key.public.fingerprint(), f"{fingerprint}=", "banno"):
        assert _open(f"ssh-agent:{name}").key.public.spki() == signer.key.public.spki()


@pytest.mark.parametrize("bits", [2049, 3072])
def test_rsa_keys_of_other_sizes_sign_rs256_by_themselves(ssh_agent: SshAgent, bits: int) -> None:
    signer = _open(f"ssh-agent:{ssh_agent.key('rsa', bits, 'banno')}")
    assert signer.alg == "RS256"
    assert _signs(signer)


def test_ps256_is_refused_with_the_reason(ssh_agent: SshAgent, cli: Cli) -> None:
    ssh_agent.key("rsa", 2048, "banno")
    words = ["sign-jwt", "--client-id", CLIENT_ID, "--private-key", "ssh-agent:banno"]
    done = cli(*words, "--alg", "PS256")
    assert done.code == 2
    assert "it is for RS256 alone" in " ".join(done.stderr.split())
    assert cli(*words).code == 0


def test_threads_sign_with_one_key(ssh_agent: SshAgent) -> None:
    signer = _open(f"ssh-agent:{ssh_agent.key('ecdsa', 256, 'banno')}")
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(_signs, [signer] * 40))


def test_a_certificate_beside_the_key_is_passed_over(ssh_agent: SshAgent) -> None:
    authority, file = ssh_agent.make("ecdsa", 256, "authority"), ssh_agent.make("ecdsa", 256, "banno")
    ssh_agent.run("ssh-keygen", "-q", "-s", authority, "-I", "banno", "-n", "riley", f"{file}.pub")
    ssh_agent.run("ssh-add", "-q", file)
    assert "CERT" in ssh_agent.run("ssh-add", "-l")
    assert _signs(_open("ssh-agent:banno"))


@pytest.mark.parametrize(
    ("kind", "bits", "named"), [("ed25519", 256, "ssh-ed25519"), ("ecdsa", 384, "ecdsa-sha2-nistp384")]
)
def test_a_key_of_another_type_is_refused(ssh_agent: SshAgent, kind: str, bits: int, named: str) -> None:
    assert f"is a key of the type {named}; the provider takes" in _fails(
        f"ssh-agent:{ssh_agent.key(kind, bits, 'b')}"
    )


def test_a_weak_key_is_refused(ssh_agent: SshAgent) -> None:
    assert "of 1024 bits" in _fails(f"ssh-agent:{ssh_agent.key('rsa', 1024, 'banno')}")


def test_a_comment_of_two_keys_is_refused_with_their_fingerprints(ssh_agent: SshAgent) -> None:
    fingerprints = [ssh_agent.key(kind, 256, "riley@bank") for kind in ("ecdsa", "ed25519")]
    said = _fails("ssh-agent:riley@bank")
    assert "ssh-agent:riley@bank is the comment of 2 keys" in said
    assert all(each in said for each in fingerprints)


def test_of_a_key_that_is_not_there_those_that_are_are_told(ssh_agent: SshAgent) -> None:
    assert "is empty or locked" in _fails("ssh-agent:banno")
    fingerprint = ssh_agent.key("ecdsa", 256, "another")
    for _ in range(11):
        ssh_agent.key("ed25519", 256, "one more")
    said = _fails("ssh-agent:banno")
    assert f"{fingerprint} ecdsa-sha2-nistp256 another" in said
    assert said.count("SHA256:") == 10
    assert "and 2 more" in said


def test_an_agent_that_is_locked_says_so_when_it_lists_and_when_it_signs(ssh_agent: SshAgent, tmp_path: Path) -> None:
    uri = f"ssh-agent:{ssh_agent.key('ecdsa', 256, 'banno')}"
    signer = _open(uri)
    ask = tmp_path / "ask"
    ask.write_text("#!/bin/sh\necho locked\n")
    ask.chmod(0o700)
    env = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-x"], env=env, check=True, capture_output=True, timeout=60)
    assert "ssh-add -X" in _fails(uri)
    with pytest.raises(SigningError, match="refused to sign") as caught:
        signer.sign(b"header.payload")
    assert "locked" in (caught.value.hint or "")


def test_a_key_that_wants_a_confirmation_that_nobody_gives_is_refused(ssh_agent: SshAgent) -> None:
    file = ssh_agent.make("ecdsa", 256, "banno")
    ssh_agent.run("ssh-add", "-q", "-c", file)
    assert "wants a confirmation" in _fails("ssh-agent:banno", SigningError)


def test_a_key_that_is_taken_away_in_the_middle_is_told(ssh_agent: SshAgent) -> None:
    signer = _open(f"ssh-agent:{ssh_agent.key('ecdsa', 256, 'banno')}")
    ssh_agent.run("ssh-add", "-q", "-D")
    with pytest.raises(SigningError, match="refused to sign"):
        signer.sign(b"header.payload")


def test_an_agent_that_is_killed_in_the_middle_is_told(ssh_agent: SshAgent) -> None:
    signer = _open(f"ssh-agent:{ssh_agent.key('ecdsa', 256, 'banno')}")
    ssh_agent.process.kill()
    ssh_agent.process.wait()
    with pytest.raises(SigningError, match="does not answer: Connection refused") as caught:
        signer.sign(b"header.payload")
    assert "ssh-add" in (caught.value.hint or "")


def test_a_rotation_says_that_an_agent_makes_no_keys(ssh_agent: SshAgent, desk: Desk) -> None:
    ssh_agent.key("ecdsa", 256, "banno")
    public = _open("ssh-agent:banno").key.public
    desk.set.write_text(json.dumps({"keys": [{**public.jwk(), "kid": public.thumbprint(), "use": "sig"}]}))
    desk.publish()
    desk.profile("held", private_key="ssh-agent:banno")
    done = desk.run(profiles=("held",))
    assert done.code == 3
    assert "No key can be made from here at the holder of ssh-agent:banno" in done.stderr


# --- Agents that are none -------------------------------------------------------------------------------------------


def test_without_an_agent_the_way_to_start_one_is_told(no_agent: None) -> None:
    said = _fails("ssh-agent:banno")
    assert "SSH_AUTH_SOCK is not set" in said
    assert 'eval "$(ssh-agent)"' in said


@pytest.mark.parametrize("place", ["nobody", "a folder", "x" * 200])
def test_a_place_without_an_agent_is_told(
    no_agent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "a folder").mkdir()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / place))
    assert "does not answer" in _fails("ssh-agent:banno")


@pytest.mark.parametrize("uri", ["ssh-agent:", "SSH-AGENT:"])
def test_a_uri_that_names_no_key_is_refused(no_agent: None, uri: str) -> None:
    assert "names no key of an ssh-agent" in _fails(uri)


def _blob(key: keys.PrivateKey) -> bytes:
    """Return a public key as agents have it."""
    line = key.public.native.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


@pytest.fixture
def talking(no_agent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Talking]:
    """Return a function that starts an agent with a key called banno, which signs as it is told."""
    with ExitStack() as stack:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))

        def start(key: keys.PrivateKey, says: Callable[[bytes], bytes | None]) -> Agent:
            listed = packed(listing((_blob(key), b"banno")))
            return stack.enter_context(
                Agent(tmp_path / "agent", lambda asked: listed if asked == b"\x0b" else says(asked))
            )

        yield start


_GARBAGE = {
    "nothing": b"",
    "half a length": b"\0\0",
    "no message": b"\0\0\0\0",
    "too long": b"\xff\xff\xff\xff" + b"x" * 1000,
    "cut off": b"\0\0\0\x0a\x0c",
    "of another type": packed(b"\x06"),
    "of a web server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "without a number": packed(b"\x0c\0"),
    "a key that is cut off": packed(b"\x0c\0\0\0\x01\0\0\0\xffssh-rsa"),
    "many keys that are none": packed(b"\x0c\xff\xff\xff\xff"),
    "a key without a type": packed(listing((b"", b"banno"))),
}


@pytest.mark.parametrize("garbage", _GARBAGE)
def test_what_is_no_list_of_keys_is_told(
    no_agent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, garbage: str
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with Agent(tmp_path / "agent", lambda _: _GARBAGE[garbage]):
        said = _fails("ssh-agent:banno")
    assert "cannot be read" in said or "it closed the connection" in said


@pytest.mark.parametrize(
    ("blob", "named"),
    [
        (packed(b"ssh-rsa") + packed(b"\x03"), "ssh-rsa (broken)"),
        (packed(b"ssh-rsa") + packed(b"\1\0\1") + packed(b"\x05" * 70000), "16384 is the most"),
        (packed(b"ecdsa-sha2-nistp256") + packed(b"nistp256") + packed(b"\x04" * 65), "ecdsa-sha2-nistp256 (broken)"),
        (packed(b"sk-ecdsa-sha2-nistp256@openssh.com"), "sk-ecdsa-sha2-nistp256@openssh.com"),
        (packed(b"ssh-rsa-cert-v01@openssh.com"), "ssh-rsa-cert-v01@openssh.com"),
        (packed(b"ssh-\x1b[2J\xff"), "of the type ssh-"),
    ],
)
def test_a_key_that_is_none_is_told(
    no_agent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blob: bytes, named: str
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with Agent(tmp_path / "agent", lambda _: packed(listing((blob, b"banno")))):
        assert named in _fails("ssh-agent:banno")


def test_comments_are_made_fit_for_a_terminal_and_bounded(
    no_agent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ec_key: keys.PrivateKey
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with Agent(tmp_path / "agent", lambda _: packed(listing((_blob(ec_key), b"\x1b[2J\xff" + b"x" * 100000)))):
        assert "(shortened)" in _fails("ssh-agent:banno")


def test_a_signature_by_sha_1_is_refused(talking: Talking, rsa_key: keys.PrivateKey) -> None:
    talking(rsa_key, lambda _: packed(signed(b"ssh-rsa", b"x" * 256)))
    said = _fails("ssh-agent:banno", SigningError)
    assert "by ssh-rsa, which is SHA-1; RS256 wants rsa-sha2-256" in said
    assert "since 7.2" in said


@pytest.mark.parametrize(
    "answer",
    [
        signed(b"rsa-sha2-256", b""),
        signed(b"rsa-sha2-256", b"x" * 10000),
        signed(b"rsa-sha2-512", b"x" * 256),
        signed(b"\x1b\xff", b""),
        b"\x0e",
        b"\x0e" + packed(b""),
        b"\x0e" + packed(packed(b"rsa-sha2-256")),
        b"\x0c",
        b"\x05",
    ],
)
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_what_is_no_signature_is_never_used(
    talking: Talking, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey, kind: str, answer: bytes
) -> None:
    talking(rsa_key if kind == "rsa" else ec_key, lambda _: packed(answer))
    _fails("ssh-agent:banno", SigningError)


@pytest.mark.parametrize("signature", [b"", b"\0\0\0\x01", packed(b"\x01" * 90) * 2, packed(b"") * 2])
def test_numbers_that_are_no_signature_are_never_used(
    talking: Talking, ec_key: keys.PrivateKey, signature: bytes
) -> None:
    talking(ec_key, lambda _: packed(signed(b"ecdsa-sha2-nistp256", signature)))
    assert "does not verify" in _fails("ssh-agent:banno", SigningError)


def test_an_rsa_signature_without_its_leading_zeros_is_right(talking: Talking, rsa_key: keys.PrivateKey) -> None:
    native = rsa_key.native
    assert isinstance(native, RSAPrivateKey)
    made = ((b"%d" % number, native.sign(b"%d" % number, PKCS1v15(), SHA256())) for number in range(10000))
    data, signature = next((data, signature) for data, signature in made if signature[0] == 0)
    agent = talking(rsa_key, lambda _: packed(signed(b"rsa-sha2-256", signature.lstrip(b"\0"))))
    assert _open("ssh-agent:banno").sign(data) == signature
    assert agent.asked[-1].endswith(packed(data) + b"\0\0\0\x02")


@patient(0.3, 3)
def test_an_agent_that_says_nothing_is_waited_for_no_longer_than_the_timeout(
    talking: Talking, ec_key: keys.PrivateKey, seconds: float
) -> None:
    talking(ec_key, lambda _: None)
    assert "did not answer within" in _fails("ssh-agent:banno", SigningError, timeout=seconds)


@patient(0.3, 3)
def test_an_answer_that_comes_in_drops_is_waited_for_no_longer_either(
    no_agent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    def drops() -> Iterator[bytes]:
        for number in packed(b"x" * 16):
            yield bytes([number])
            time.sleep(seconds / 5)

    place = tmp_path / f"agent-{seconds}"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    with Agent(place, lambda _: drops()):
        assert "did not answer within" in _fails("ssh-agent:banno", timeout=seconds)


def test_a_key_that_is_listed_twice_is_one_key(
    no_agent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ec_key: keys.PrivateKey
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with Agent(tmp_path / "agent", lambda _: packed(listing(*[(_blob(ec_key), b"banno")] * 2))):
        assert _open("ssh-agent:banno").key.public.spki() == ec_key.public.spki()


# --- A pipe of Windows: a raw terminal stands for it, which is opened by its name too, and goes both ways -----------


@pytest.fixture
def pipe() -> Iterator[tuple[int, str]]:
    import pty
    import tty

    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def test_messages_go_over_a_pipe(pipe: tuple[int, str]) -> None:
    end, name = pipe
    os.write(end, b"\0\0\0\x05\x0c\0\0\0\0")
    assert ssh_agent_module._by_pipe(name, packed(b"\x0b"), 20) == b"\x0c\0\0\0\0"
    assert os.read(end, 100) == packed(b"\x0b")


def test_a_pipe_on_which_nothing_comes_is_left(pipe: tuple[int, str]) -> None:
    with pytest.raises(TimeoutError):
        ssh_agent_module._by_pipe(pipe[1], packed(b"\x0b"), 0.1)
    os.write(pipe[0], b"\0\0\0\0")  # which ends its thread


@pytest.mark.parametrize(("answer", "error"), [(b"\0\0\0\0", ValueError), (b"\xff\xff\xff\xff", ValueError)])
def test_garbage_on_a_pipe_is_told(pipe: tuple[int, str], answer: bytes, error: type[Exception]) -> None:
    os.write(pipe[0], answer)
    with pytest.raises(error):
        ssh_agent_module._by_pipe(pipe[1], packed(b"\x0b"), 20)


def test_a_pipe_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ssh_agent_module._by_pipe(str(tmp_path / "none"), packed(b"\x0b"), 20)
