"""A key that is held elsewhere: found by its URI, each signature verified, and its holder's errors named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pytest

from banno_creds import ClientConfig, KeySource, TokenSource, recall
from banno_creds.client_authentication.private_key import load_key, load_signer
from banno_creds.errors import ConfigurationError, KeyLoadError, SigningError
from banno_creds.key_holders.held_key import HeldKey, make_key
from banno_creds.key_holders.place import name_of
from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.servers.issuer import Issuer


def _sign(uri: str, alg: str | None = None) -> bytes:
    return load_signer(ClientConfig(CLIENT_ID, KeySource.at(uri), alg=alg)).sign(b"header.payload")


@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
def test_it_signs_by_each_algorithm(toy_rsa: str, toy_ec: str, cli: Cli, alg: str) -> None:
    uri = toy_ec if alg == "ES256" else toy_rsa
    done = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", uri, "--alg", alg)
    assert done.code == 0, done.stderr
    public = load_key(KeySource.at(uri), lambda: None).public
    claims = jwt.decode(done.stdout.strip(), public.native, [alg], options={"verify_aud": False})
    assert claims["sub"] == CLIENT_ID
    assert uri in done.stderr


def test_a_public_half_in_pem_is_taken_too(toy_rsa: str) -> None:
    assert _sign(f"{toy_rsa}?pem")


_WRONG = {
    ("rsa", "PS256", "salt"): "a salt of another length",
    ("rsa", "PS256", "swapped"): "by RSASSA-PKCS1-v1_5 with SHA-256",
    ("rsa", "RS256", "swapped"): "by RSASSA-PSS with SHA-256",
    ("rsa", "RS256", "sha512"): "by RSASSA-PKCS1-v1_5 with SHA-512",
    ("rsa", "PS256", "twice"): "hashes twice",
    ("rsa", "RS256", "twice"): "hashes twice",
    ("rsa", "PS256", "sha1"): "with SHA-1",
    ("ec", "ES256", "der"): "with SHA-256, in DER",
    ("ec", "ES256", "twice"): "hashes twice",
    ("ec", "ES256", "sha512"): "with SHA-512, as r and s",
    ("rsa", "PS256", "other"): "does not verify with its own public half",
}


@pytest.mark.parametrize(("kind", "alg", "fault"), _WRONG)
def test_a_wrong_signature_is_named_and_never_used(
    toy_rsa: str, toy_ec: str, kind: str, alg: str, fault: str
) -> None:
    uri = f"{toy_rsa if kind == 'rsa' else toy_ec}?{fault}"
    with pytest.raises(SigningError) as caught:
        _sign(uri, alg)
    assert _WRONG[kind, alg, fault] in caught.value.message
    assert uri in caught.value.message
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("lost", KeyLoadError, "the holder of {} failed: RuntimeError: [bold]the box is gone"),
        ("gone", SigningError, "the holder of {} failed: OSError: the box is gone"),
        ("nothing", SigningError, "returned NoneType and no signature"),
        ("small", KeyLoadError, "of 1024 bits"),
        ("curve", KeyLoadError, "secp384r1"),
        ("HS256", KeyLoadError, "by none of PS256, RS256, ES256"),
    ],
)
def test_what_a_holder_does_wrong_is_an_error_of_the_key(
    toy_rsa: str, fault: str, error: type[Exception], words: str
) -> None:
    uri = f"{toy_rsa}?{fault}"
    with pytest.raises(error) as caught:
        _sign(uri)
    assert words.format(uri) in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "keygen" not in str(getattr(caught.value, "hint", ""))  # a key in a file is no way out


def test_an_algorithm_that_the_holder_does_not_do_is_refused(toy_rsa: str, cli: Cli) -> None:
    uri = f"{toy_rsa}?RS256"
    done = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", uri, "--alg", "PS256")
    assert done.code == 2
    assert "it is for RS256 alone (its holder does no other)" in " ".join(done.stderr.split())
    assert cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", uri).stdout


def test_two_packages_with_one_scheme_are_refused(
    toy_rsa: str, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("evilkeys", "def open_key(uri, **_): raise SystemExit", "ToyKey")
    with pytest.raises(KeyLoadError, match=r"evilkeys 1\.0, toykeys 1\.0"):
        _sign(toy_rsa)


def test_a_scheme_that_nobody_opens_is_a_file(cli: Cli) -> None:
    done = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", "gcpkms:projects/p")
    assert done.code == 3
    assert f"gcpkms:{Path('projects/p')}" in done.stderr


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:token=a;object=b?pin-value=123456",
        "PKCS11:object=b?PIN-VALUE=123456",
        "pkcs11:object=b?pin%2Dvalue=123456",
        "pkcs11:object=b?module-path=/m.so&pin-source=123456",
    ],
)
def test_a_pin_in_a_uri_is_refused_and_not_shown(cli: Cli, folder: Path, uri: str) -> None:
    for words in (
        ["sign-jwt", "--client-id", CLIENT_ID, "--private-key", uri],
        ["keygen", "--public-from", uri],
        ["profile", "add", "p", "--client-id", CLIENT_ID, "--private-key", uri],
        ["doctor", "--client-id", CLIENT_ID, "--private-key", uri],
    ):
        done = cli(*words)
        assert done.code == 2, words
        assert "123456" not in done.stderr + done.stdout
        assert "has a PIN in it" in done.stderr
    with pytest.raises(ConfigurationError) as caught:
        KeySource.at(uri)
    assert "123456" not in repr(caught.value)


def test_the_public_half_is_written(cli: Cli, folder: Path, toy_rsa: str, rsa_key: keys.PrivateKey) -> None:
    done = cli("keygen", "--public-from", toy_rsa, "--public-key", "-")
    assert done.stdout.encode() == rsa_key.public.pem()


def test_a_profile_keeps_the_uri_as_it_is(cli: Cli, folder: Path, toy_rsa: str, issuer: Issuer) -> None:
    cli("profile", "add", "p", "--client-id", CLIENT_ID, "--private-key", toy_rsa, "--token-endpoint", issuer.url)
    shown = json.loads(cli("profile", "show", "p", "-o", "json").stdout)
    assert shown["settings"]["private_key"] == toy_rsa
    listed = json.loads(cli("profile", "list", "-o", "json").stdout)
    assert listed["profiles"][0]["fault"] is None
    assert cli("token", "--profile", "p").stdout == "openid.1\n"
    # From the cache: the same key of the same holder.
    assert TokenSource(ClientConfig.from_profile("p")).token().access_token == "openid.1"


def test_a_token_comes_from_the_cache_without_the_holder(
    cli: Cli, folder: Path, toy_rsa: str, issuer: Issuer
) -> None:
    words = ["token", "--client-id", CLIENT_ID, "--private-key", toy_rsa, "--token-endpoint", issuer.url]
    first = cli(*words).stdout
    Path(toy_rsa.partition(":")[2]).unlink()
    assert cli(*words).stdout == first
    assert len(issuer.forms) == 1


def test_the_doctor_has_the_holder_sign(cli: Cli, toy_rsa: str) -> None:
    words = ["doctor", "--client-id", CLIENT_ID, "--offline", "--private-key"]
    assert "its holder signs, and keeps it" in cli(*words, toy_rsa).stderr + cli(*words, toy_rsa).stdout
    done = cli(*words, f"{toy_rsa}?gone")
    assert done.code == 3
    assert "the box is gone" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("registration", "kid", "sent"), [("jwks-uri", None, "thumbprint"), ("jwks-uri", "k1", "k1"), ("pem", None, None)]
)
def test_the_registration_decides_if_a_kid_is_sent(
    cli: Cli, ec_pem: Path, ec_key: keys.PrivateKey, registration: str, kid: str | None, sent: str | None
) -> None:
    more = [] if kid is None else ["--kid", kid]
    words = ["sign-jwt", "--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--registration", registration]
    header = jwt.get_unverified_header(cli(*words, *more).stdout.strip())
    assert header.get("kid") == (ec_key.public.thumbprint() if sent == "thumbprint" else sent)


# What the holders' own programs and SDKs read, and this one: each decides which key the same URI means.
DECIDING = [
    "BANNO_CREDS_PKCS11_MODULE",
    "SSH_AUTH_SOCK",
    "VAULT_ADDR",
    "VAULT_AGENT_ADDR",
    "VAULT_NAMESPACE",
    "BAO_ADDR",
    "BAO_AGENT_ADDR",
    "BAO_NAMESPACE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    # In another account, an alias is another key's.
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    # By another file of its own, a PKCS #11 module has other tokens.
    "SOFTHSM2_CONF",
    "OPENSC_CONF",
]


@pytest.mark.parametrize("name", DECIDING)
def test_no_token_of_one_holder_is_given_for_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that the cache has for the key, and by that of the answer to a repeated command line."""
    names = []
    for value in ("one", "another"):
        monkeypatch.setenv(name, value)
        names.append((name_of("vault:transit/banno"), recall._name(["token"])))
    assert names[0][0] != names[1][0]
    assert names[0][1] != names[1][1]
    assert name_of("vault:transit/other") != names[1][0]


# oddkeys:FILE does one thing oddly.
_ODDKEYS = """
import itertools
from toykeys import Key

Panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})


class Speechless(Exception):
    def __str__(self):
        raise ValueError("in its turn")


def open_key(uri, *, passphrase, timeout):
    file, _, odd = uri.partition(":")[2].partition("?")
    if odd == "panic":
        raise Panic("index out of bounds")
    if odd == "speechless":
        raise Speechless
    if odd == "interrupt":
        raise KeyboardInterrupt
    key = Odd(file, odd)
    if odd == "telltale":
        key.told = f"opened by {passphrase().decode()}"
        key.warnings = key.exits = [(key.told, key.told)]
    return key


def make_key(uri, *, name, passphrase, timeout):
    return f"{uri}-{passphrase().decode()}"


class Odd(Key):
    def __init__(self, file, odd):
        super().__init__(file, odd)
        self.warnings = self.exits = [("said", "often")] * 10_000
        self.told = "the box"
        if odd == "endless":
            self.algorithms = itertools.repeat("PS256")

    @property
    def holder(self):
        if self._fault == "telltale":
            return self.told
        raise SystemExit(0)
"""


@pytest.fixture
def odd(toy_rsa: str, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delitem(sys.modules, "oddkeys", raising=False)
    install("oddkeys", _ODDKEYS, "oddkey")
    return toy_rsa.replace("toykey:", "oddkey:")


@pytest.mark.parametrize(
    ("fault", "words"), [("panic", "PanicException: index out of bounds"), ("speechless", "Speechless: no words")]
)
def test_an_odd_exception_of_a_holder_is_an_error_of_the_key(odd: str, fault: str, words: str) -> None:
    with pytest.raises(KeyLoadError) as caught:
        load_key(KeySource.at(f"{odd}?{fault}"), lambda: None)
    assert words in str(caught.value)


def test_what_ends_the_program_passes_through_a_holder(odd: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_key(KeySource.at(f"{odd}?interrupt"), lambda: None)


@pytest.mark.parametrize("fault", ["", "endless"])
def test_of_what_a_holder_tells_only_so_much_is_read(odd: str, fault: str) -> None:
    key = load_key(KeySource.at(f"{odd}?{fault}"), lambda: None)
    assert isinstance(key, HeldKey)
    assert set(key.algorithms) <= {"PS256", "RS256"}
    assert (len(key.warnings), len(key.exits), key.holder) == (20, 20, "its holder")


def test_a_new_uri_that_repeats_the_passphrase_is_kept_nowhere(odd: str) -> None:
    with pytest.raises(KeyLoadError) as caught:
        make_key(odd, "new", lambda: b"canary-1f8a02", 1)
    assert "repeats the passphrase" in caught.value.message
    assert "canary" not in str(caught.value)


def test_a_package_whose_entry_points_are_broken_is_no_fault_of_ours(
    install: Callable[..., Path], cli: Cli, folder: Path
) -> None:
    place = install("brokenkeys", "", "broken")
    (place / "brokenkeys-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\nbroken\n")
    done = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", "other:key")
    assert done.code == 2
    assert "entry_points.txt is broken" in " ".join(done.stderr.split())


def test_nothing_that_a_holder_tells_repeats_the_passphrase(odd: str) -> None:
    key = load_key(KeySource.at(f"{odd}?telltale"), lambda: b"canary-1f8a02")
    assert isinstance(key, HeldKey)
    told = f"{key.holder} {key.warnings} {key.exits}"
    assert "canary" not in told
    assert told.count("echoes the passphrase") == 5
