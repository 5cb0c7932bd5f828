"""Keys in the transit engine of a real OpenBao."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from banno_creds import ClientConfig, KeySource
from banno_creds.client_authentication.private_key import load_signer
from banno_creds.errors import BannoCredsError, KeyLoadError, SigningError
from banno_creds.key_holders.held_key import HeldKey
from banno_creds.key_holders.vault import make_key
from banno_creds.key_holders.wrong_signature import verifies
from banno_creds.rotation.subject import DAY
from tests.conftest import CLIENT_ID, write_private
from tests.key_holders.openbao import running_openbao

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.client_authentication.private_key import Signer
    from banno_creds.jose import keys
    from tests.conftest import Cli, How
    from tests.key_holders.granted import Granted
    from tests.key_holders.openbao import OpenBao
    from tests.rotation.conftest import Desk
    from tests.servers.tls import Authority

pytestmark = [pytest.mark.once, pytest.mark.posix("OpenBao's wheel is for Linux")]

KINDS = {"PS256": "rsa-2048", "RS256": "rsa-2048", "ES256": "ecdsa-p256"}


def _open(uri: str, alg: str | None = None) -> Signer:
    return load_signer(ClientConfig(CLIENT_ID, KeySource.at(uri), alg=alg, timeout=20))


def _signs(signer: Signer) -> bool:
    return verifies(signer.key.public.native, signer.alg, b"header.payload", signer.sign(b"header.payload"))


def _fails(uri: str, error: type[BannoCredsError] = KeyLoadError) -> str:
    """Return the words of the error, which never has the token in it."""
    with pytest.raises(error) as caught:
        _open(uri).sign(b"header.payload")
    failure = caught.value
    said = "\n".join((failure.message, *failure.details, failure.hint or ""))
    assert failure.exit_code == 3
    assert failure.hint
    token = os.environ.get("VAULT_TOKEN")
    assert not token or token not in said + repr(failure) + repr(vars(failure))
    return said


# --- What it does ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", KINDS)
def test_a_token_is_granted_to_a_key_in_transit(openbao: OpenBao, granted: Granted, alg: str) -> None:
    granted(f"vault:transit/{openbao.key(KINDS[alg])}", alg)


def test_two_processes_use_a_key_at_once_by_tls(openbao: OpenBao, authority: Authority, granted: Granted) -> None:
    """With a mount that has slashes, and OpenBao's own variables, which come before Vault's."""
    uri = f"vault:team/a/transit/{openbao.key('ecdsa-p256', 'team/a/transit')}"
    env = {
        "BAO_ADDR": openbao.secure_address,
        "VAULT_ADDR": "http://127.0.0.1:1",
        "VAULT_CACERT": str(authority.file),
    }
    granted(uri, "ES256", env={**env, "BAO_TOKEN": openbao.root, "VAULT_TOKEN": "another"})
    words = [sys.executable, "-m", "banno_creds", "sign-jwt", "--client-id", CLIENT_ID, "--private-key", uri]
    variables = {**os.environ, **env}
    running = [subprocess.Popen(words, stdout=-1, stderr=-1, env=variables) for _ in range(2)]
    said = [each.communicate(timeout=100) for each in running]
    assert [each.returncode for each in running] == [0, 0], said
    assert all(each.count(b".") == 2 for each, _ in said)


def test_threads_sign_with_one_key(openbao: OpenBao) -> None:
    signer = _open(f"vault:transit/{openbao.key('ecdsa-p256')}")
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(_signs, [signer] * 8))


def test_a_larger_key_signs_too(openbao: OpenBao) -> None:
    signer = _open(f"vault:transit/{openbao.key('rsa-3072')}")
    assert signer.alg == "PS256"
    assert _signs(signer)


# --- Versions -------------------------------------------------------------------------------------------------------


def test_a_key_that_is_rotated_after_it_was_opened_signs_with_the_version_that_was_shown(openbao: OpenBao) -> None:
    name = openbao.key("ecdsa-p256")
    first = _open(f"vault:transit/{name}")
    openbao.ask("POST", f"transit/keys/{name}/rotate")
    assert _signs(first)
    second, old = _open(f"vault:transit/{name}"), _open(f"vault:transit/{name}?version=1")
    assert second.key.public.fingerprint() != first.key.public.fingerprint() == old.key.public.fingerprint()
    assert _signs(second)
    assert _signs(old)


def test_a_version_that_is_not_there_is_told_with_those_that_are(openbao: OpenBao) -> None:
    name = openbao.key("ecdsa-p256")
    for _ in range(2):
        openbao.ask("POST", f"transit/keys/{name}/rotate")
    openbao.ask("POST", f"transit/keys/{name}/config", min_decryption_version=2)
    assert f"transit/{name} has no version 1: it has 2, 3" in _fails(f"vault:transit/{name}?version=1")
    assert "no version 999999999" in _fails(f"vault:transit/{name}?version=999999999")


def test_a_version_that_may_not_sign_any_more_is_named(openbao: OpenBao) -> None:
    name = openbao.key("ecdsa-p256")
    signer = _open(f"vault:transit/{name}")
    openbao.ask("POST", f"transit/keys/{name}/rotate")
    openbao.ask("POST", f"transit/keys/{name}/config", min_encryption_version=2)
    with pytest.raises(SigningError, match="min_encryption_version is higher"):
        signer.sign(b"header.payload")
    assert "min_encryption_version" in _fails(f"vault:transit/{name}?version=1", SigningError)


# --- Tokens and their files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["home", "BAO_TOKEN_PATH"])
def test_the_token_may_be_in_a_file(
    openbao: OpenBao, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    path = Path("~/.vault-token").expanduser() if where == "home" else tmp_path / "sink"
    write_private(path, openbao.root.encode() + b"\n")
    if where != "home":
        monkeypatch.setenv(where, str(path))
    assert _signs(_open(f"vault:transit/{openbao.key('ecdsa-p256')}"))


def test_a_file_of_the_token_that_others_can_read_is_a_warning_and_one_that_they_can_write_is_refused(
    openbao: OpenBao, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    path = write_private(Path("~/.vault-token").expanduser(), openbao.root.encode())
    words = (
        "sign-jwt",
        "-q",
        "--client-id",
        CLIENT_ID,
        "--private-key",
        f"vault:transit/{openbao.key('ecdsa-p256')}",
    )
    path.chmod(0o644)
    done = cli(*words)
    assert (done.code, f"chmod 600 {path}" in done.stderr) == (0, True), done.stderr
    path.chmod(0o622)
    done = cli(*words)
    assert done.code == 3
    assert "thers can write the token" in " ".join(done.stderr.split())


def test_without_a_token_it_is_told_where_one_was_looked_for(
    openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    assert ".vault-token is not there" in _fails("vault:transit/banno")
    # An agent may have one of its own; this one has none.
    monkeypatch.setenv("VAULT_AGENT_ADDR", openbao.address)
    monkeypatch.setenv("VAULT_ADDR", "https://vault.invalid")
    assert "does not accept a request without a token" in _fails("vault:transit/banno")


@pytest.mark.parametrize("token", ["two words", "a\u00a0b", "schlüssel", "line\nend"])
def test_what_cannot_be_a_token_is_not_sent(openbao: OpenBao, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("VAULT_TOKEN", token)
    assert "what is in VAULT_TOKEN is no token of Vault" in _fails("vault:transit/banno")


@pytest.mark.parametrize("fault", ["wrong", "revoked"])
def test_a_token_that_is_not_good_is_told_from_one_that_lacks_a_right(
    openbao: OpenBao, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    name = openbao.key("ecdsa-p256")
    token = openbao.token('path "transit/*" { capabilities = ["read", "update"] }')
    monkeypatch.setenv("VAULT_TOKEN", token)
    signer = _open(f"vault:transit/{name}")
    openbao.ask("POST", "auth/token/revoke", token=token)
    with pytest.raises(SigningError, match="does not accept the token of VAULT_TOKEN"):
        signer.sign(b"header.payload")
    if fault == "wrong":
        monkeypatch.setenv("VAULT_TOKEN", "s.never-was-one-of-this-server")
    assert "does not accept the token of VAULT_TOKEN: it has expired, was revoked" in _fails(f"vault:transit/{name}")


@pytest.mark.parametrize(("right", "verb"), [("sign", "read the key"), ("read", "sign with the key")])
def test_the_lines_of_the_policy_that_lack_are_told_and_suffice(
    openbao: OpenBao, monkeypatch: pytest.MonkeyPatch, right: str, verb: str
) -> None:
    name = openbao.key("rsa-2048")
    policies = {
        "sign": f'path "transit/sign/{name}/sha2-256" {{ capabilities = ["update"] }}',
        "read": f'path "transit/keys/{name}" {{ capabilities = ["read"] }}',
    }
    monkeypatch.setenv("VAULT_TOKEN", openbao.token(policies[right]))
    said = _fails(f"vault:transit/{name}", KeyLoadError if right == "sign" else SigningError)
    assert f"the token of VAULT_TOKEN may not {verb} transit/{name}" in said
    wanted = "\n".join(line for line in said.splitlines() if line.startswith("path "))
    monkeypatch.setenv("VAULT_TOKEN", openbao.token(wanted))
    assert _signs(_open(f"vault:transit/{name}"))


# --- Keys and mounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("transit/nobody", ("there is no key transit/nobody in Vault", "vault list transit/keys")),
        ("nowhere/banno", ("nothing is mounted at nowhere",)),
        ("secret/banno", ("of the type kv, not transit",)),
        (
            "transit/keys/banno",
            ("transit is mounted at transit in Vault, not at transit/keys", "vault:transit/banno"),
        ),
    ],
)
def test_a_key_that_is_not_there_is_told_with_what_is(openbao: OpenBao, path: str, words: tuple[str, ...]) -> None:
    said = _fails(f"vault:{path}")
    assert all(each in said for each in words), said


def test_a_namespace_that_is_not_there_is_told(openbao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_NAMESPACE", "nobody")
    assert "VAULT_NAMESPACE" in _fails(f"vault:transit/{openbao.key('ecdsa-p256')}")


@pytest.mark.parametrize("namespace", ["a\nb", "é", "a b", "a\x1b[2J"])
def test_what_cannot_be_a_namespace_is_not_sent(
    openbao: OpenBao, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    monkeypatch.setenv("BAO_NAMESPACE", namespace)
    assert "BAO_NAMESPACE has a blank or an odd character in it" in _fails("vault:transit/banno")


def test_a_key_in_a_namespace_signs(openbao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> None:
    openbao.ask("POST", "sys/namespaces/bank")
    openbao.ask("POST", "bank/sys/mounts/transit", type="transit")
    name = openbao.key("ecdsa-p256", "bank/transit")
    assert _signs(_open(f"vault:bank/transit/{name}"))
    assert "there is no key bank/transit/nobody in Vault" in _fails("vault:bank/transit/nobody")
    monkeypatch.setenv("BAO_NAMESPACE", "bank")
    assert _signs(_open(f"vault:transit/{name}"))


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("ed25519", {}, "is of the type ed25519"),
        ("ed25519", {"derived": True}, "a derived key wants a context"),
        ("aes256-gcm96", {}, "is of the type aes256-gcm96"),
        ("ecdsa-p384", {}, "secp384r1"),
    ],
)
def test_a_key_of_another_type_is_refused(openbao: OpenBao, kind: str, more: Mapping[str, Any], words: str) -> None:
    assert words in _fails(f"vault:transit/{openbao.key(kind, **more)}")


def test_a_key_that_is_deleted_after_it_was_opened_is_told(openbao: OpenBao) -> None:
    name = openbao.key("ecdsa-p256")
    signer = _open(f"vault:transit/{name}")
    openbao.ask("POST", f"transit/keys/{name}/config", deletion_allowed=True)
    openbao.ask("DELETE", f"transit/keys/{name}")
    with pytest.raises(SigningError, match="is not in Vault any more"):
        signer.sign(b"header.payload")


@pytest.mark.parametrize(
    "uri",
    [
        *("vault:", "vault:banno", "vault:/transit/banno", "vault://transit/banno", "vault:transit/"),
        *("vault:transit/../sys/seal", "vault:./banno", "vault:transit//banno", "vault:transit/ba nno"),
        *("vault:transit/banno?version=0", "vault:transit/banno?version=", "vault:transit/banno?v=1"),
        *("vault:transit/banno#1", "vault:transit/b%2e", "vault:transit/schlüssel", f"vault:t/{'b' * 9}/"),
    ],
)
def test_a_uri_that_names_no_key_is_refused_before_anything_is_sent(no_vault: None, uri: str) -> None:
    assert "names no key of Vault" in _fails(uri)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "its holder signs, and keeps it"),
        ({"exportable": True}, "may leave Vault: it is exportable"),
        ({"allow_plaintext_backup": True}, "may leave Vault: plaintext backups of it are allowed"),
    ],
)
def test_the_doctor_tells_if_the_private_half_may_leave(
    openbao: OpenBao, cli: Cli, more: Mapping[str, Any], words: str
) -> None:
    uri = f"vault:transit/{openbao.key('ecdsa-p256', **more)}"
    done = cli("doctor", "-o", "json", "--offline", "--client-id", CLIENT_ID, "--private-key", uri)
    found = [each for each in json.loads(done.stdout)["findings"] if words in json.dumps(each)]
    assert [each["verdict"] for each in found] == ["warn" if more else "pass"]
    assert ("its holder signs, and keeps it" in done.stdout) == (not more)
    assert "warning" not in cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", uri).stderr


def test_its_age_and_ways_out_are_shown(openbao: OpenBao, cli: Cli, how: How) -> None:
    uri = f"vault:transit/{openbao.key('ecdsa-p256', exportable=True)}"
    begin = how.clock()
    how.clock = lambda: begin + 3.5 * DAY
    [found] = json.loads(cli("key", "show", "-o", "json", uri).stdout)["keys"]
    assert (found["kind"], found["there_since_by"], found["age_days"]) == ("held", "holder", 3)
    assert found["may_leave"] == [f"{uri.removeprefix('vault:')} may leave Vault: it is exportable"]
    done = cli("key", "show", "--key-max-age", "3d", uri)
    assert "age         3 days 1" in done.stdout
    assert f"{uri} is older than 3d" in done.stderr
    doctor = cli("doctor", "--offline", "--client-id", CLIENT_ID, "--private-key", uri, "--key-max-age", "3d")
    assert "key.age" in doctor.stdout


def test_an_imported_key_may_have_a_copy(openbao: OpenBao, ec_key: keys.PrivateKey) -> None:
    """Wrapped as transit's documentation has it: AES key wrap with padding, and its key by RSA-OAEP."""
    wrapping = load_pem_public_key(openbao.ask("GET", "transit/wrapping_key")["public_key"].encode())
    assert isinstance(wrapping, RSAPublicKey)
    pkcs8 = ec_key.native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    key = os.urandom(32)
    wrapped = wrapping.encrypt(key, OAEP(MGF1(SHA256()), SHA256(), None)) + aes_key_wrap_with_padding(key, pkcs8)
    text = b64encode(wrapped).decode()
    openbao.ask("POST", "transit/keys/imported/import", type="ecdsa-p256", hash_function="SHA256", ciphertext=text)
    signer = _open("vault:transit/imported")
    assert _signs(signer)
    assert signer.key.public == ec_key.public
    assert isinstance(signer.key, HeldKey)
    assert "who made it may have a copy" in signer.key.exits[0][0]
    assert signer.key.created is None  # when it came here says nothing of its age


def test_a_key_that_vault_rotates_by_itself_is_a_warning_unless_its_version_is_named(
    openbao: OpenBao, cli: Cli
) -> None:
    uri = f"vault:transit/{openbao.key('ecdsa-p256', auto_rotate_period='720h')}"
    words = ("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key")
    assert f"{uri}?version=1" in cli(*words, uri).stderr
    assert cli(*words, f"{uri}?version=1").stderr == ""


# --- A server that is not there -------------------------------------------------------------------------------------


def test_a_sealed_vault_and_one_that_goes_in_the_middle_are_told(
    has_openbao: None, tmp_path: Path, no_vault: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_openbao(tmp_path) as own:
        for name, value in own.variables().items():
            monkeypatch.setenv(name, value)
        uri = f"vault:transit/{own.key('ecdsa-p256')}"
        signer = _open(uri)
        own.ask("POST", "sys/seal")
        assert "Vault is sealed" in _fails(uri)
        with pytest.raises(SigningError, match="Vault is sealed"):
            signer.sign(b"header.payload")
    with pytest.raises(SigningError, match="no answer from Vault"):
        signer.sign(b"header.payload")
    assert "no answer from Vault (VAULT_ADDR)" in _fails(uri)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"VAULT_ADDR": ""}, "VAULT_ADDR is not set"),
        ({"VAULT_ADDR": "http://vault.mybank.com:8200"}, "plain http is for loopback only"),
        ({"VAULT_ADDR": "vault.mybank.com:8200"}, "does not start with https://"),
        ({"VAULT_ADDR": "https://u:p@vault.mybank.com"}, "carries a user name"),
        ({"VAULT_ADDR": "unix:///run/vault.sock"}, "does not start with https://"),
        ({"VAULT_SKIP_VERIFY": "true"}, "certificate is always verified"),
        ({"VAULT_CACERT": "nowhere.pem"}, "the CA bundle nowhere.pem cannot be read"),
        ({"VAULT_ADDR": f"https://{'a' * 70}.internal"}, "cannot be a host's name"),
        ({"VAULT_ADDR": "https://vault.internal", "HTTPS_PROXY": "ftp://proxy"}, "HTTPS_PROXY"),
        ({}, "VAULT_CACERT FILE"),
        ({"BAO_CACERT": "", "BAO_SKIP_VERIFY": "0", "SSL_CERT_FILE": ""}, "is not trusted"),
    ],
)
def test_an_address_or_a_certificate_that_will_not_do_is_told(
    openbao: OpenBao, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], words: str
) -> None:
    for name, value in {"VAULT_ADDR": openbao.secure_address, **variables}.items():
        monkeypatch.setenv(name, value)
    assert words in _fails("vault:transit/banno")


def test_a_folder_of_authorities_is_taken_too(
    openbao: OpenBao, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_ADDR", f"{openbao.secure_address}/v1/")  # as some have it
    monkeypatch.setenv("VAULT_CAPATH", str(authority.folder))
    assert _signs(_open(f"vault:transit/{openbao.key('ecdsa-p256')}"))


# --- A new key beside the old one -----------------------------------------------------------------------------------


def _make(uri: str, name: str) -> str:
    return make_key(uri, name=name, passphrase=lambda: None, timeout=20)


@pytest.mark.parametrize("kind", ["rsa-2048", "ecdsa-p256"])
def test_a_new_key_is_of_the_same_type_and_cannot_leave(openbao: OpenBao, kind: str) -> None:
    old = openbao.key(kind, "team/a/transit")
    made = _make(f"vault:team/a/transit/{old}?version=1", f"{old}-2")
    assert made == f"vault:team/a/transit/{old}-2"
    assert _signs(_open(made))
    data = openbao.ask("GET", f"team/a/transit/keys/{old}-2")
    assert (data["type"], data["exportable"], data["allow_plaintext_backup"]) == (kind, False, False)
    # The caller was cut off.
    assert _make(f"vault:team/a/transit/{old}", f"{old}-2") == made
    assert openbao.ask("GET", f"team/a/transit/keys/{old}-2")["latest_version"] == 1


def test_a_new_key_is_not_one_of_another_type_that_has_the_name(openbao: OpenBao) -> None:
    old, other = openbao.key("ecdsa-p256"), openbao.key("rsa-2048")
    with pytest.raises(KeyLoadError, match=f"transit/{other} is there already, and is of the type rsa-2048"):
        _make(f"vault:transit/{old}", other)


@pytest.mark.parametrize("name", ["", "a/b", "a?version=1", "-a", "ä", ".."])
def test_a_new_key_has_a_name_that_transit_takes(openbao: OpenBao, name: str) -> None:
    with pytest.raises(KeyLoadError, match="cannot be the name of a key in Vault"):
        _make(f"vault:transit/{openbao.key('ecdsa-p256')}", name)


def test_the_lines_of_the_policy_for_a_new_key_are_told_and_suffice(
    openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = openbao.key("ecdsa-p256")
    reading = f'path "transit/keys/{old}" {{ capabilities = ["read"] }}\n'
    monkeypatch.setenv("VAULT_TOKEN", openbao.token(reading))
    with pytest.raises(KeyLoadError, match=f"may not make the key transit/{old}-2") as caught:
        _make(f"vault:transit/{old}", f"{old}-2")
    monkeypatch.setenv("VAULT_TOKEN", openbao.token(reading + "\n".join(caught.value.details)))
    assert _signs(_open(_make(f"vault:transit/{old}", f"{old}-2")))


def test_a_rotation_makes_the_new_key_in_the_same_mount(openbao: OpenBao, desk: Desk) -> None:
    old = f"vault:team/a/transit/{openbao.key('ecdsa-p256', 'team/a/transit')}"
    public = _open(old).key.public
    desk.set.write_text(json.dumps({"keys": [{**public.jwk(), "kid": public.thumbprint(), "use": "sig"}]}))
    desk.publish()
    desk.profile("held", private_key=old)
    assert desk.token("held").code == 0
    assert desk.step(profiles=("held",))["did"] == ["make-key", "write-set"]
    desk.publish()
    desk.step(profiles=("held",))
    desk.later(DAY)
    assert desk.step(profiles=("held",))["did"] == ["try-key", "switch"]
    new = desk.settings("held")["private_key"]
    assert new != old
    assert new.startswith("vault:team/a/transit/banno-")
    assert openbao.ask("GET", new.removeprefix("vault:").replace("transit/", "transit/keys/"))["exportable"] is False
    assert desk.token("held").code == 0
    assert desk.bank.refused == []
