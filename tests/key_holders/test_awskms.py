"""Keys of AWS KMS, at a stand-in that signs as AWS's documents say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from banno_creds import ClientConfig, KeySource
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.errors import KeyLoadError, SigningError
from banno_creds.key_holders.awskms import make_key
from banno_creds.key_holders.wrong_signature import verifies
from banno_creds.rotation.subject import DAY
from tests.conftest import CLIENT_ID

if sys.platform != "win32":
    from posix import _exit  # the system's own: at os._exit, coverage writes what it measured

if TYPE_CHECKING:
    from banno_creds.client_authentication.private_key import Signer
    from tests.conftest import Cli
    from tests.key_holders.granted import Granted
    from tests.key_holders.ministack import MiniStack
    from tests.rotation.conftest import Desk

SPECS = {"PS256": "RSA_2048", "RS256": "RSA_2048", "ES256": "ECC_NIST_P256"}


def _open(uri: str, alg: str | None = None) -> Signer:
    return load_signer(ClientConfig(CLIENT_ID, KeySource.at(uri), alg=alg, timeout=20))


def _signs(signer: Signer) -> bool:
    return verifies(signer.key.public.native, signer.alg, b"header.payload", signer.sign(b"header.payload"))


def _fails(uri: str) -> KeyLoadError:
    with pytest.raises(KeyLoadError) as caught:
        _open(uri)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    return caught.value


def _make(uri: str, name: str) -> str:
    return make_key(uri, name=name, passphrase=lambda: None, timeout=20)


@pytest.mark.parametrize("alg", SPECS)
def test_a_token_is_granted_to_a_key_of_kms(ministack: MiniStack, granted: Granted, alg: str) -> None:
    granted(f"awskms:{ministack.key(SPECS[alg]).rpartition('/')[2]}", alg)


def test_and_to_processes_that_name_it_by_an_alias(ministack: MiniStack, granted: Granted, process: Cli) -> None:
    ministack.key("ECC_NIST_P256", "alias/granted")
    granted("awskms:alias/granted", "ES256", env=ministack.variables, run=process)


@pytest.mark.parametrize("spec", ["RSA_3072", "RSA_4096"])
def test_a_larger_key_signs_too(ministack: MiniStack, spec: str) -> None:
    signer = _open(f"awskms:{ministack.key(spec)}")
    assert signer.alg == "PS256"
    assert _signs(signer)


def test_an_input_of_more_than_4096_bytes_is_signed(ministack: MiniStack) -> None:
    signer, data = _open(f"awskms:{ministack.key('ECC_NIST_P256')}"), b"x" * 5000
    assert verifies(signer.key.public.native, "ES256", data, signer.sign(data))


def test_threads_open_keys_and_sign_at_once(ministack: MiniStack) -> None:
    uri = f"awskms:{ministack.key('ECC_NIST_P256')}"
    shared = _open(uri)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda number: _signs(shared if number % 2 else _open(uri)), range(8)))


@pytest.mark.posix("processes fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_forks_does_not_share_its_connection(ministack: MiniStack) -> None:
    signer = _open(f"awskms:{ministack.key('ECC_NIST_P256')}")
    children = []
    for _ in range(3):
        if (child := os.fork()) == 0:
            with suppress(BaseException):
                _exit(0 if all(_signs(signer) for _ in range(5)) else 1)
            _exit(1)
        children.append(child)
    assert all(_signs(signer) for _ in range(5))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_an_alias_that_moves_after_the_key_was_opened_changes_nothing(ministack: MiniStack) -> None:
    first = ministack.key("ECC_NIST_P256", "alias/moves")
    signer = _open("awskms:alias/moves")
    ministack.kms.update_alias(AliasName="alias/moves", TargetKeyId=ministack.key("ECC_NIST_P256"))
    assert _signs(signer)
    assert signer.key.public.spki() == _open(f"awskms:{first}").key.public.spki()
    assert signer.key.public.spki() != _open("awskms:alias/moves").key.public.spki()


def test_the_region_of_an_arn_comes_before_the_settings(
    ministack: MiniStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = ministack.key("ECC_NIST_P256", "alias/region")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert "NotFoundException" in _fails("awskms:alias/region").message
    assert _signs(_open(f"awskms:{arn}"))
    assert _signs(_open(f"awskms:{arn.rpartition(':')[0]}:alias/region"))


def test_the_region_may_be_in_the_variable_of_other_sdks(
    ministack: MiniStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ministack.key("ECC_NIST_P256", "alias/other-sdk")
    monkeypatch.setenv("AWS_REGION", ministack.variables["AWS_DEFAULT_REGION"])
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert _signs(_open("awskms:alias/other-sdk"))


# --- Keys that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["awskms:", "awskms:///alias/banno", "awskms:arn:aws:s3:::bucket", "awskms:arn:aws"])
def test_a_uri_that_names_no_key_is_refused_before_anything_is_sent(no_aws: None, uri: str) -> None:
    assert "names no key of AWS KMS" in _fails(uri).message


@pytest.mark.parametrize("uri", ["awskms:alias/none", "awskms:banno", "awskms:\u65e5" + "x" * 3000])
def test_a_key_that_is_not_there_is_told(ministack: MiniStack, uri: str) -> None:
    failure = _fails(uri)
    assert "alias/NAME" in (failure.hint or "")
    assert len(failure.message) < 4000


def test_a_disabled_key_is_told_when_it_is_opened_and_when_it_signs(ministack: MiniStack) -> None:
    arn = ministack.key("ECC_NIST_P256")
    signer = _open(f"awskms:{arn}")
    ministack.kms.disable_key(KeyId=arn)
    with pytest.raises(SigningError, match="DisabledException") as caught:
        signer.sign(b"header.payload")
    assert caught.value.hint == f"enable it: aws kms enable-key --key-id {arn}"


def test_a_key_that_will_be_deleted_is_told(ministack: MiniStack) -> None:
    arn = ministack.key("ECC_NIST_P256")
    signer = _open(f"awskms:{arn}")
    ministack.kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    with pytest.raises(SigningError, match=r"KMSInvalidStateException.*pending deletion") as caught:
        signer.sign(b"header.payload")
    assert "cancel-key-deletion" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("spec", "usage"),
    [("RSA_2048", "ENCRYPT_DECRYPT"), ("ECC_NIST_P384", "SIGN_VERIFY"), ("ECC_SECG_P256K1", "SIGN_VERIFY")],
)
def test_a_key_of_another_type_or_usage_is_refused(ministack: MiniStack, spec: str, usage: str) -> None:
    failure = _fails(f"awskms:{ministack.key(spec, usage=usage)}")
    assert f"is a key of the type {spec} for {usage}" in failure.message


def test_a_symmetric_key_is_refused(ministack: MiniStack) -> None:
    failure = _fails(f"awskms:{ministack.key('SYMMETRIC_DEFAULT', usage='ENCRYPT_DECRYPT')}")
    assert "describe-key" in (failure.hint or "") or "SIGN_VERIFY" in (failure.hint or "")


# --- A new key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["RSA_3072", "ECC_NIST_P256"])
def test_a_new_key_is_made_once_beside_the_old_one(ministack: MiniStack, spec: str) -> None:
    old = ministack.key(spec, f"alias/old-{spec}")
    before = len(ministack.kms.list_keys()["Keys"])
    new = _make(f"awskms:alias/old-{spec}", f"new-{spec}")
    assert new == f"awskms:alias/new-{spec}" == _make(f"awskms:alias/old-{spec}", f"new-{spec}")
    assert len(ministack.kms.list_keys()["Keys"]) == before + 1
    made, kept = _open(new), _open(f"awskms:{old}")
    assert made.key.description == kept.key.description
    assert made.key.public.spki() != kept.key.public.spki()
    assert _signs(made)


def test_of_an_arn_the_new_key_has_one_too(ministack: MiniStack, monkeypatch: pytest.MonkeyPatch) -> None:
    old = ministack.key("ECC_NIST_P256")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    new = _make(f"awskms:{old}", "of-an-arn")
    assert new == f"awskms:{old.rpartition(':')[0]}:alias/of-an-arn" == _make(f"awskms:{old}", "of-an-arn")
    assert _signs(_open(new))


def test_a_rotation_makes_the_new_key_beside_the_old_one(ministack: MiniStack, desk: Desk) -> None:
    ministack.key("ECC_NIST_P256", "alias/rotated")
    public = _open("awskms:alias/rotated").key.public
    desk.set.write_text(json.dumps({"keys": [{**public.jwk(), "kid": public.thumbprint(), "use": "sig"}]}))
    desk.publish()
    desk.profile("held", private_key="awskms:alias/rotated")
    assert desk.token("held").code == 0
    assert desk.step(profiles=("held",))["did"] == ["make-key", "write-set"]
    desk.publish()
    desk.step(profiles=("held",))
    desk.later(DAY)
    assert desk.step(profiles=("held",))["did"] == ["try-key", "switch"]
    assert re.fullmatch(r"awskms:alias/banno-[\w-]+", desk.settings("held")["private_key"])
    assert desk.token("held").code == 0
    assert desk.bank.refused == []


# --- Without the SDK ------------------------------------------------------------------------------------------------


def test_without_the_extra_the_command_that_installs_it_is_told(no_aws: None) -> None:
    code = (
        "import sys; sys.modules['botocore'] = None\n"
        "from banno_creds.__main__ import main\n"
        f"sys.argv = ['banno-creds', 'sign-jwt', '--client-id', '{CLIENT_ID}', '--private-key', 'awskms:alias/a']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 3
    assert 'pip install "banno-creds[aws]"' in done.stderr
