"""The worked example of docs/keys.md: built from the page, installed by pip, and used as a reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import import_key

from tests.conftest import write_private
from tests.docs.scripts import run_script
from tests.processes import bare_environment

if TYPE_CHECKING:
    from banno_creds.jose import keys
    from tests.conftest import Cli
    from tests.key_holders.granted import Granted

pytestmark = [pytest.mark.once, pytest.mark.posix("the example gives openssl the passphrase by a descriptor")]

_PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")
_SECTION = _PAGE.partition("### Another holder\n")[2].partition("\n## ")[0]
_TOML, _MODULE, _SCRIPT, _PROGRAM = re.findall(r"^```\w+\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)
_PASSPHRASE = b"of the worked example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed the example into."""
    folder = tmp_path_factory.mktemp("example")
    source = folder / "banno_creds_openssl"
    source.mkdir()
    (source / "pyproject.toml").write_text(_TOML)
    (source / "banno_creds_openssl.py").write_text(_MODULE)
    # What it is built with, and banno-creds, are here: no network.
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--target", folder / "site", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process find it."""
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    monkeypatch.delitem(sys.modules, "banno_creds_openssl", raising=False)


@pytest.mark.parametrize("alg", ["PS256", "RS256", "ES256"])
@pytest.mark.parametrize("passphrase", [None, _PASSPHRASE], ids=["in the clear", "encrypted"])
def test_a_token_is_granted_to_the_example(
    installed: None,
    granted: Granted,
    tmp_path: Path,
    rsa_key: keys.PrivateKey,
    ec_key: keys.PrivateKey,
    alg: str,
    passphrase: bytes | None,
) -> None:
    file = write_private(tmp_path / "private.pem", (ec_key if alg == "ES256" else rsa_key).pem(passphrase))
    secret = write_private(tmp_path / "passphrase.txt", _PASSPHRASE + b"\n")
    options = ["--passphrase-file", str(secret)] if passphrase else []
    granted(f"openssl:{file}", alg, *options)


def test_the_script_and_the_program_of_the_page(
    granted: Granted, site: Path, tmp_path: Path, rsa_key: keys.PrivateKey
) -> None:
    write_private(tmp_path / "private.pem", rsa_key.pem(_PASSPHRASE))
    write_private(tmp_path / "passphrase.txt", _PASSPHRASE + b"\n")
    jwk = import_key(rsa_key.public.pem().decode(), "RSA").as_dict(private=False)
    environment = {
        "CLIENT_ID": granted.provider.register("PS256", {"jwks": {"keys": [jwk]}}),
        "BANNO_CREDS_TOKEN_ENDPOINT": granted.provider.token_endpoint,
        "PYTHONPATH": str(site),
    }
    # What the first line would install is there already.
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "pip").write_text('#!/bin/sh\ntest "$1" = install\n')
    (shims / "pip").chmod(0o755)
    done = run_script(tmp_path, f'PATH="{shims}:$PATH"\n{_SCRIPT}', environment)
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().splitlines()[-1].count(".") == 2
    assert (tmp_path / "public.pem").read_bytes() == rsa_key.public.pem()

    program = _PROGRAM.replace(
        "ClientConfig(client_id", f"ClientConfig(token_endpoint={granted.provider.token_endpoint!r}, client_id"
    )
    home = bare_environment(HOME=str(tmp_path))
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=home | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count(".") == 2


@pytest.mark.parametrize(
    ("place", "passphrase", "said"),
    [
        ("nothing.pem", _PASSPHRASE, "There is no key file nothing.pem"),
        ("private.pem", b"another", "openssl cannot open private.pem with this passphrase"),
        ("private.pem", None, "The passphrase of private.pem is missing"),
        ("passphrase.txt", _PASSPHRASE, "openssl cannot open passphrase.txt"),
    ],
)
def test_what_goes_wrong_there_is_said(
    installed: None,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ec_key: keys.PrivateKey,
    place: str,
    passphrase: bytes | None,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_private(Path("private.pem"), ec_key.pem(_PASSPHRASE))
    write_private(Path("passphrase.txt"), (passphrase or b"") + b"\n")
    more = ["--passphrase-file", "passphrase.txt"] if passphrase else []
    done = cli("sign-jwt", "--client-id", "c", "--private-key", f"openssl:{place}", *more)
    assert done.code == 3
    assert said in " ".join(done.stderr.split())
    assert "Next: " in done.stderr
