"""docs/serve.md: its scripts run against the sandbox, its manifests are valid, and its tables are true."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from banno_creds.sandbox import Client, Sandbox
from tests.conftest import CLIENT_ID, write_private
from tests.docs.scripts import needs_sh, run_script
from tests.interop.conftest import skip_without
from tests.person import free_port
from tests.processes import bare_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from banno_creds.jose.keys import PrivateKey

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
INTEROP = ROOT / "tests" / "interop"


def _blocks(language: str, word: str = "") -> list[str]:
    return [text for found, text in BLOCKS if found == language and word in text]


class Reader:
    """A reader with the profile garden, a sandbox in the place of the bank, and a free port instead of 9401."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env
        self.port = free_port()

    def types(self, script: str) -> str:
        done = run_script(self.folder, script.replace("9401", str(self.port)), self.env)
        assert done.returncode == 0, done.stdout
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Run the page's first script, whose last line goes on running."""
        make, _, serve = _blocks("sh")[0].rstrip().rpartition("\n")
        assert serve == "banno-creds serve --client-secret-file serve.secret"
        self.types(make)
        command = [sys.executable, "-m", "banno_creds", *serve.split()[1:], "--port", str(self.port)]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=bare_environment(HOME=str(self.folder)) | self.env,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        ) as running:
            try:
                assert running.stdout is not None
                yield running.stdout.readline()
            finally:
                running.send_signal(signal.SIGTERM)


@pytest.fixture
def reader(tmp_path: Path, rsa_key: PrivateKey) -> Iterator[Reader]:
    write_private(tmp_path / "private.pem", rsa_key.pem())
    client = Client(CLIENT_ID, rsa_key.public.pem().decode())
    with Sandbox([client], log=lambda _: None) as sandbox:
        reader = Reader(tmp_path, {"BANNO_CREDS_CACHE_DIR": str(tmp_path / "cache")})
        options = f"--client-id {CLIENT_ID} --private-key private.pem --token-endpoint {sandbox.token_endpoint}"
        reader.types(f"banno-creds profile add garden {options}")
        yield reader


@needs_sh
def test_the_first_script_prints_the_line_of_the_page_and_curl_gets_a_token(reader: Reader) -> None:
    with reader.serving() as line:
        assert line.replace(str(reader.port), "9401") == _blocks("text")[0]
        for script in _blocks("sh", "curl")[1:]:
            (reader.folder / "token.json").unlink(missing_ok=True)
            reader.types(script)
            token = json.loads((reader.folder / "token.json").read_text("utf-8"))
            assert token["token_type"] == "Bearer"
            assert 540 <= token["expires_in"] <= 600


@needs_sh
def test_the_command_with_an_endpoint_gets_a_token(reader: Reader) -> None:
    [script] = _blocks("sh", "exec --serve")
    assert json.loads(reader.types(script))["token_type"] == "Bearer"


@needs_sh
def test_authlib_gets_a_token(reader: Reader) -> None:
    [program] = _blocks("python")
    (reader.folder / "app.py").write_text(program, "utf-8")
    command = f"banno-creds exec --serve --profile garden -- {sys.executable} -W ignore app.py"
    assert re.fullmatch(r"Bearer (5\d\d|600)", reader.types(command).splitlines()[-1])


@needs_sh
def test_openid_client_gets_a_token_by_discovery(reader: Reader) -> None:
    here = (INTEROP / "node_modules" / "openid-client").is_dir() and shutil.which("node") is not None
    skip_without(None if here else "openid-client is not installed under tests/interop: run `make interop`")
    [program] = _blocks("js")
    (reader.folder / "node_modules").symlink_to(INTEROP / "node_modules")
    (reader.folder / "app.mjs").write_text(program, "utf-8")
    [command] = re.findall("`(banno-creds exec --serve [^`]* node app.mjs)`", PAGE)
    assert re.fullmatch(r"bearer (5\d\d|600)\n", reader.types(command).lower())


def test_the_manifests_are_yaml_and_ask_the_endpoint() -> None:
    spring, external = _blocks("yaml")
    client = yaml.safe_load(spring)["spring"]["security"]["oauth2"]["client"]
    assert client["registration"]["banno"]["provider"] in client["provider"]
    assert client["provider"]["banno"]["token-uri"] == "http://127.0.0.1:9401/token"
    secret, store, wanted = (each for each in yaml.safe_load_all(external))
    webhook: dict[str, Any] = store["spec"]["provider"]["webhook"]
    assert webhook["url"] == "http://127.0.0.1:9401/token"
    assert webhook["secrets"][0]["secretRef"]["name"] == secret["metadata"]["name"]
    assert wanted["spec"]["secretStoreRef"]["name"] == store["metadata"]["name"]


@needs_sh
def test_the_request_of_external_secrets_is_answered_with_what_its_path_finds(reader: Reader) -> None:
    """Its webhook sends this body with these headers, and takes `$.access_token`."""
    webhook = list(yaml.safe_load_all(_blocks("yaml")[1]))[1]["spec"]["provider"]["webhook"]
    assert "b64enc" in webhook["headers"].pop("Authorization")
    headers = " ".join(f"--header '{name}: {value}'" for name, value in webhook["headers"].items())
    with reader.serving():
        asked = f"curl -s -X {webhook['method']} {headers} --data '{webhook['body']}' {webhook['url']}"
        answer = json.loads(reader.types(f'{asked} --user "garden:$(cat serve.secret)"'))
    assert answer[webhook["result"]["jsonPath"].removeprefix("$.")].count(".") == 2


def test_no_recipe_has_a_private_key() -> None:
    for language, text in BLOCKS:
        assert "private" not in text.lower().replace("--private-key", ""), (language, text)
