"""What AWS KMS says where something is wrong, and what answers in its place: each is told with one next step."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from base64 import b64decode
from traceback import format_exception
from typing import TYPE_CHECKING

import pytest

from banno_creds import ClientConfig, KeySource
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.errors import BannoCredsError, KeyLoadError, SigningError
from banno_creds.key_holders import awskms
from banno_creds.key_holders.awskms import _Kms, make_key
from tests.conftest import CLIENT_ID, write_private
from tests.servers.kms import ARN, Kms, says_amz, says_fault
from tests.servers.loopback import Says
from tests.servers.raw import RawServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from banno_creds.jose import keys
    from tests.servers.tls import Authority

URI = "awskms:alias/banno"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIxK7MDENGxbPxRfiCYofthetests",
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjEOb0000000000000000ofthetests",
}


@pytest.fixture
def aws(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Settings by which AWS is found, but for where it is."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDOFTHETESTS",
        "AWS_DEFAULT_REGION": "eu-central-1",
        **SECRETS,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def kms(aws: pytest.MonkeyPatch, rsa_key: keys.PrivateKey) -> Iterator[Kms]:
    """A KMS with an RSA key."""
    with Kms(rsa_key) as running:
        aws.setenv("AWS_ENDPOINT_URL_KMS", running.origin)
        yield running


def _sign(alg: str | None = None, timeout: float = 20, uri: str = URI) -> bytes:
    return load_signer(ClientConfig(CLIENT_ID, KeySource.at(uri), alg=alg, timeout=timeout)).sign(b"header.payload")


def _fails(error: type[BannoCredsError] = KeyLoadError, alg: str | None = None, timeout: float = 20) -> str:
    """Return the words of the error, in which there is neither a secret nor what a terminal obeys."""
    with pytest.raises(error) as caught:
        _sign(alg, timeout)
    failure = caught.value
    said = "\n".join((failure.message, *failure.details, failure.hint or ""))
    assert (failure.exit_code, bool(failure.hint)) == (3, True)
    shown = "".join(format_exception(failure))
    assert not any(secret in said + repr(vars(failure)) + shown for secret in SECRETS.values())
    assert said.replace("\n", "").isprintable()
    assert len(said) < 1000
    return said


# --- Signatures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["PS256", "RS256"])
def test_a_hash_is_signed_by_the_key_whose_public_half_was_shown(kms: Kms, alg: str) -> None:
    _sign(alg)
    (_, public), (operation, asked) = kms.asked
    assert public == {"KeyId": "alias/banno"}
    assert operation == "Sign"
    assert (asked["KeyId"], asked["MessageType"], len(b64decode(asked["Message"]))) == (ARN, "DIGEST", 32)


def test_der_becomes_r_and_s(kms: Kms, ec_key: keys.PrivateKey) -> None:
    kms.key = ec_key
    signer = load_signer(ClientConfig(CLIENT_ID, KeySource.at(URI)))
    for _ in range(20):  # r or s may be shorter
        assert len(signer.sign(b"header.payload")) == 64


def test_a_salt_of_another_length_is_named(kms: Kms) -> None:
    kms.salt = 222
    assert "a salt of another length" in _fails(SigningError, "PS256")


@pytest.mark.parametrize("wrong", [b"", b"0", b"0\x84\xff\xff\xff\xff", b"\0" * 64, b"x" * 70000])
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_what_is_no_signature_is_never_used(
    kms: Kms, rsa_key: keys.PrivateKey, ec_key: keys.PrivateKey, kind: str, wrong: bytes
) -> None:
    kms.key = rsa_key if kind == "rsa" else ec_key
    kms.dress = lambda _: wrong
    assert ("does not verify" if wrong else "gave no Signature") in _fails(SigningError)


def test_numbers_too_large_for_the_curve_are_no_signature(kms: Kms, ec_key: keys.PrivateKey) -> None:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    kms.key = ec_key
    kms.dress = lambda _: encode_dss_signature(1 << 300, 1 << 300)
    assert "does not verify" in _fails(SigningError)


def test_the_algorithms_are_those_that_the_key_has(kms: Kms) -> None:
    kms.changes = {"SigningAlgorithms": ["RSASSA_PKCS1_V1_5_SHA_256"]}
    signer = load_signer(ClientConfig(CLIENT_ID, KeySource.at(URI)))
    assert signer.alg == "RS256"


# --- What AWS refuses -----------------------------------------------------------------------------------------------

_REFUSALS = {
    "AccessDeniedException": "allow kms:GetPublicKey and kms:Sign on this key",
    "NotFoundException": "awskms:alias/NAME",
    "DisabledException": "aws kms enable-key --key-id alias/banno",
    "KMSInvalidStateException": "aws kms describe-key --key-id alias/banno",
    "InvalidKeyUsageException": "an asymmetric key for SIGN_VERIFY",
    "UnsupportedOperationException": "an asymmetric key for SIGN_VERIFY",
    "InvalidArnException": "write awskms:alias/NAME",
    "ThrottlingException": "try again in a moment",
    "ExpiredTokenException": "sign in to AWS again",
    "UnrecognizedClientException": "sign in to AWS again",
    "InvalidSignatureException": "this machine's clock",
    "KMSInternalException": "try again in a moment",
    "SomethingNewException": "look the code up",
}


@pytest.mark.parametrize("code", _REFUSALS)
@pytest.mark.parametrize("operation", ["GetPublicKey", "Sign"])
def test_a_refusal_is_told_in_the_words_of_aws_with_one_next_step(kms: Kms, operation: str, code: str) -> None:
    kms.says[operation] = lambda: says_fault(code, "its \x1b[2J words")
    said = _fails(KeyLoadError if operation == "GetPublicKey" else SigningError)
    assert f"{code}: its [2J words" in said
    assert _REFUSALS[code] in said


def test_a_busy_kms_is_asked_three_times_and_no_more(kms: Kms) -> None:
    kms.says["GetPublicKey"] = lambda: says_fault("ThrottlingException")
    assert "ThrottlingException" in _fails()
    assert len(kms.asked) == 3
    kms.says = {}
    assert _sign()


def test_the_canonical_request_that_aws_repeats_is_left_out(kms: Kms) -> None:
    words = f"does not match. The Canonical String is 'POST x-amz-security-token:{SECRETS['AWS_SESSION_TOKEN']}'"
    kms.says["GetPublicKey"] = lambda: says_fault("InvalidSignatureException", words, 403)
    assert "left out: the server echoes the AWS credentials" in _fails()


# --- Answers of something else --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Says(200, b"<html>hello</html>", {"content-type": "text/html"}),
        Says(200, b""),
        Says(200, b"[]"),
        Says(200, b"\xff\xfe"),
        Says(200, b'{"KeyId": '),
        Says(200, b"{}"),
        Says(200, json.dumps({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}).encode()),
        Says(302, b"", {"location": "https://example.com/"}),
        Says(404, b"<html>nothing</html>", {"content-type": "text/html"}),
        Says(503, b"down"),
        Says(200, b'{"KeyId": 1', content_length=1000),
        says_amz(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", KeyId=ARN, PublicKey="!!", SigningAlgorithms=["x"]),
        says_amz(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", KeyId=ARN, PublicKey="AAAA", SigningAlgorithms=["x"]),
        says_amz(KeySpec=["x"] * 1000, KeyUsage={"a": 1}),
    ],
)
def test_what_is_no_answer_of_kms_is_an_error_of_the_key(kms: Kms, answer: Says) -> None:
    kms.says["GetPublicKey"] = lambda: answer
    _fails()


@pytest.mark.parametrize("answer", [Says(200, b"{}"), Says(200, b"<html>"), says_amz(Signature=7)])
def test_nor_is_it_a_signature(kms: Kms, answer: Says) -> None:
    kms.says["Sign"] = lambda: answer
    _fails(SigningError)


def test_a_kms_that_is_gone_in_the_middle_is_told(kms: Kms) -> None:
    signer = load_signer(ClientConfig(CLIENT_ID, KeySource.at(URI)))
    kms.__exit__()
    with pytest.raises(SigningError, match="Could not connect") as caught:
        signer.sign(b"header.payload")
    assert "look at the network" in (caught.value.hint or "")


def test_a_kms_that_does_not_answer_is_waited_for_no_longer_than_the_timeout(aws: pytest.MonkeyPatch) -> None:
    with RawServer(lambda connection, request: server.stall(connection, request)) as server:
        aws.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{server.port}")
        said = _fails(timeout=0.6)
    assert "Read timeout" in said
    assert len(server.requests) == 3


@pytest.mark.parametrize("attempts", [1, 3])
def test_all_attempts_share_the_time_that_is_allowed(aws: pytest.MonkeyPatch, attempts: int) -> None:
    config = _Kms(URI, 30, attempts)._client.meta.config
    assert config.read_timeout * config.retries["total_max_attempts"] == 30
    assert config.connect_timeout == config.read_timeout


def test_a_forked_process_makes_one_connection_of_its_own(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = _Kms(URI, 20)
    parents = opened._client
    opened.public_half()
    assert opened._client is parents
    monkeypatch.setattr("os.getpid", lambda: -1)
    opened.public_half()
    own = opened._client
    assert own is not parents
    opened.public_half()
    assert opened._client is own


def test_an_answer_that_never_ends_is_waited_for_no_longer_than_the_timeout(
    aws: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awskms, "_PAUSES", 0)

    def trickle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.closing.wait(0.05):
            connection.sendall(b" ")

    with RawServer(trickle) as server:
        aws.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{server.port}")
        said = _fails(timeout=0.6)
    assert "no whole answer of AWS KMS for awskms:alias/banno came within 0.6 s" in said


def test_a_system_without_threads_left_is_told(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    client = _Kms(URI, 20)
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(BannoCredsError, match="thread") as caught:
        client.public_half()
    assert caught.value.hint


def test_nobody_listens(aws: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    aws.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{port}")
    assert "Could not connect" in _fails()


def test_a_certificate_of_nobody_known_is_told(
    aws: pytest.MonkeyPatch, authority: Authority, rsa_key: keys.PrivateKey
) -> None:
    with Kms(rsa_key, authority.context("localhost")) as running:
        aws.setenv("AWS_ENDPOINT_URL_KMS", f"https://localhost:{running.port}")
        said = _fails()
        assert "SSL validation failed" in said
        assert "AWS_CA_BUNDLE" in said
        aws.setenv("AWS_CA_BUNDLE", str(authority.file))
        assert _sign()


# --- Settings -------------------------------------------------------------------------------------------------------


def test_without_credentials_the_ways_to_give_some_are_told(kms: Kms, aws: pytest.MonkeyPatch) -> None:
    for name in (*SECRETS, "AWS_ACCESS_KEY_ID"):
        aws.delenv(name)
    said = _fails()
    assert "Unable to locate credentials" in said
    assert "aws sso login" in said
    assert kms.asked == []


def test_without_a_region_the_ways_to_give_one_are_told(aws: pytest.MonkeyPatch) -> None:
    aws.delenv("AWS_DEFAULT_REGION")
    assert "set AWS_DEFAULT_REGION, or name the key by its ARN" in _fails()


@pytest.mark.parametrize("region", ["", "no region", "http://x"])
def test_a_region_that_is_none_is_told(aws: pytest.MonkeyPatch, region: str) -> None:
    aws.setenv("AWS_DEFAULT_REGION", region)
    assert "AWS_DEFAULT_REGION" in _fails()


def test_a_profile_that_is_not_there_is_told(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_PROFILE", "nobody")
    said = _fails()
    assert "nobody" in said
    assert "look at AWS_PROFILE" in said


_SSO = """[default]
sso_start_url = https://sso.example
sso_region = eu-central-1
sso_account_id = 111122223333
sso_role_name = signer
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (_SSO, "sign in"),
        (f'[default]\ncredential_process = "{sys.executable}" -c "raise SystemExit(1)"', "sign in"),
        ("[default", "aws configure list"),
        ("[default]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = gone", "aws configure list"),
    ],
)
def test_the_sdks_own_settings_that_lead_to_no_credentials_are_told(
    kms: Kms, aws: pytest.MonkeyPatch, tmp_path: Path, settings: str, said: str
) -> None:
    for name in (*SECRETS, "AWS_ACCESS_KEY_ID"):
        aws.delenv(name)
    aws.setenv("AWS_CONFIG_FILE", str(write_private(tmp_path / "config", settings.encode())))
    assert said in _fails()


def test_what_a_credential_process_says_is_told_without_credentials(
    kms: Kms, aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (*SECRETS, "AWS_ACCESS_KEY_ID"):
        aws.delenv(name)
    program = f"raise SystemExit('no session for {SECRETS['AWS_SESSION_TOKEN']}')"
    settings = f'[default]\ncredential_process = "{sys.executable}" -c "{program}"'
    aws.setenv("AWS_CONFIG_FILE", str(write_private(tmp_path / "config", settings.encode())))
    assert "no session for (left out)" in _fails()


def test_nothing_secret_is_logged(kms: Kms, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1):
        _sign()
        logging.getLogger("botocore.auth").debug("of the program itself")
    assert "of the program itself" in caplog.text
    assert "security-token" not in caplog.text
    assert not any(secret in caplog.text for secret in SECRETS.values())


# --- A new key ------------------------------------------------------------------------------------------------------


def _make() -> str:
    return make_key(URI, name="banno-2", passphrase=lambda: None, timeout=20)


def _finding(found: list[Says]) -> Callable[[], Says]:
    return lambda: found.pop(0)


def test_who_may_not_make_keys_is_told_what_to_allow(kms: Kms) -> None:
    old = kms.answer_public()
    kms.says = {
        "GetPublicKey": _finding([old, says_fault("NotFoundException")]),
        "CreateKey": lambda: says_fault("AccessDeniedException"),
    }
    with pytest.raises(KeyLoadError, match="did not make a key beside") as caught:
        _make()
    assert caught.value.hint == "allow kms:CreateKey, and kms:CreateAlias for the key and the alias"


@pytest.mark.parametrize("then", ["NotFoundException", "AccessDeniedException"])
def test_a_key_that_got_no_name_is_told_with_the_line_that_names_it(kms: Kms, then: str) -> None:
    kms.says = {
        "GetPublicKey": _finding([kms.answer_public(), says_fault("NotFoundException"), says_fault(then)]),
        "CreateKey": lambda: says_amz(KeyMetadata={"Arn": ARN, "KeyId": "1"}),
        "CreateAlias": lambda: says_fault("InvalidAliasNameException"),
    }
    with pytest.raises(KeyLoadError, match="did not name the key beside") as caught:
        _make()
    assert f"create-alias --alias-name alias/banno-2 --target-key-id {ARN};" in (caught.value.hint or "")
    assert caught.value.details == (f"the new key has no alias yet: awskms:{ARN}",)


def test_a_key_that_another_process_made_first_is_the_new_one(kms: Kms) -> None:
    old, gone = kms.answer_public(), says_fault("NotFoundException")
    kms.says = {
        "GetPublicKey": _finding([old, gone, old]),
        "CreateKey": lambda: says_amz(KeyMetadata={"Arn": ARN, "KeyId": "1"}),
        "CreateAlias": lambda: says_fault("AlreadyExistsException"),
    }
    assert _make() == "awskms:alias/banno-2"


def test_whether_there_is_such_a_key_must_be_known(kms: Kms) -> None:
    kms.says = {"GetPublicKey": _finding([kms.answer_public(), says_fault("AccessDeniedException")])}
    with pytest.raises(KeyLoadError, match="AccessDenied"):
        _make()
    assert [operation for operation, _ in kms.asked] == ["GetPublicKey"] * 2


def test_a_key_is_asked_for_once_if_the_answer_does_not_come(kms: Kms, aws: pytest.MonkeyPatch) -> None:
    """A second attempt would make a second key."""
    kms.says = {
        "GetPublicKey": _finding([kms.answer_public(), says_fault("NotFoundException")]),
        "CreateKey": lambda: Says(200, b"{", content_length=100),
    }
    with pytest.raises(KeyLoadError):
        _make()
    assert [operation for operation, _ in kms.asked] == ["GetPublicKey", "GetPublicKey", "CreateKey"]
