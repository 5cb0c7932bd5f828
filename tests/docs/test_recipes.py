"""The recipes in docs/ do what they say: their scripts run under ``sh -eu``, against the sandbox and a small API."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from banno_creds.jose.decode import decode
from banno_creds.sandbox import Client, Sandbox
from tests.conftest import CLIENT_ID, write_private
from tests.docs.scripts import needs_sh
from tests.servers.loopback import LoopbackServer, Request, Says

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from banno_creds.jose.keys import PrivateKey

pytestmark = pytest.mark.once

RECIPES = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", RECIPES, re.MULTILINE | re.DOTALL)
THINGS = b'[{"thing": 1}]\n'


def _blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


class _Api(LoopbackServer):
    """An API that takes tokens of the sandbox, and keeps whose they were."""

    def __init__(self) -> None:
        super().__init__()
        self.callers: list[str] = []

    def answer(self, request: Request) -> Says:
        self.callers.append(str(decode(request.token).payload["aud"]) if request.token else "")
        return Says(body=THINGS)


class _Job:
    """A folder, a user's home and an environment in which a recipe's scripts run."""

    def __init__(self, folder: Path, api: _Api, sandbox: Sandbox) -> None:
        self.folder = folder
        self.home = folder / "home"
        programs = self.home / ".local" / "bin"
        programs.mkdir(parents=True)
        self._program(programs / "banno-creds", f'exec "{sys.executable}" -m banno_creds "$@"')
        for installer in ("pip", "pipx"):  # what they would install is here already
            self._program(programs / installer, 'test "$1" = install')
        self.api = api
        self.sandbox = sandbox
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "BANNO_CREDS_TOKEN_ENDPOINT": sandbox.token_endpoint,
            "BANNO_CREDS_API_BASE": api.origin,
        }

    def _program(self, path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, script: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-euc", script.replace("https://banno.com", self.api.origin)],
            cwd=self.folder,
            env=self.environment | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def job(tmp_path: Path, rsa_key: PrivateKey) -> Iterator[_Job]:
    """A job with a key, a sandbox that knows it, and an API."""
    write_private(tmp_path / "private.pem", rsa_key.pem())
    client = Client(CLIENT_ID, rsa_key.public.pem().decode())
    with _Api() as api, Sandbox([client], log=lambda _: None) as sandbox:
        yield _Job(tmp_path, api, sandbox)


@needs_sh
def test_the_loop_in_a_shell_script(job: _Job) -> None:
    done = job.run(_blocks("sh")[0])
    assert (done.returncode, done.stderr, done.stdout) == (0, "", THINGS.decode() * 3)
    assert job.api.callers == [CLIENT_ID] * 3


@needs_sh
@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({}, 0, ""),
        ({"BANNO_CREDS_SCOPE": "unknown"}, 4, "refused: somebody"),
        ({"BANNO_CREDS_TOKEN_ENDPOINT": "http://127.0.0.1:9/"}, 5, "not reachable now"),
        ({"BANNO_CREDS_TIMEOUT": "soon"}, 2, "BANNO_CREDS_TIMEOUT"),
    ],
    ids=["good", "refused", "not reachable", "usage"],
)
def test_the_script_that_reads_exit_codes(job: _Job, env: dict[str, str], code: int, said: str) -> None:
    done = job.run(_blocks("sh")[1], env)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def _steps() -> list[dict[str, Any]]:
    workflow = yaml.safe_load(_blocks("yaml")[0])
    steps: list[dict[str, Any]] = workflow["jobs"]["call"]["steps"]
    return steps


@needs_sh
def test_github_actions(job: _Job, rsa_key: PrivateKey) -> None:
    values = {
        "${{ vars.BANNO_CLIENT_ID }}": CLIENT_ID,
        "${{ secrets.BANNO_PRIVATE_KEY }}": rsa_key.pem().decode(),
    }
    files = {name: job.folder / name for name in ("GITHUB_ENV", "GITHUB_OUTPUT")}
    for file in files.values():
        file.touch()
    (job.folder / "private.pem").unlink()
    said = []
    for step in _steps():
        env = {name: str(file) for name, file in files.items()}
        env |= {name: values[value] for name, value in step.get("env", {}).items()}
        env |= dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
        done = job.run(step["run"], env)
        assert (done.returncode, done.stderr) == (0, ""), step["name"]
        said.append(done.stdout)
    outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    assert said == ["", f"::add-mask::{outputs['access_token']}\n", THINGS.decode()]
    assert job.api.callers == [CLIENT_ID]
    assert set(outputs) == {"access_token", "token_type", "expires_at"}


@needs_sh
def test_gitlab_ci(job: _Job, rsa_key: PrivateKey) -> None:
    found = yaml.safe_load(_blocks("yaml")[1])["call-the-api"]
    key = job.run("base64 -w0 < private.pem").stdout
    assert "\n" not in key
    (job.folder / "private.pem").unlink()
    done = job.run("\n".join(found["script"]), found["variables"] | {"BANNO_CREDS_PRIVATE_KEY_PEM": key})
    assert done.returncode == 0, done.stderr
    assert (job.folder / "things.json").read_bytes() == THINGS


@needs_sh
def test_jenkins(job: _Job) -> None:
    [text] = _blocks("groovy")
    [script] = re.findall(r"sh '''\n(.*?)'''", text, re.DOTALL)
    child = job.folder / "call-the-api.sh"
    child.write_text(
        "#!/bin/sh\nset -eu\n"
        'test -z "${BANNO_CREDS_PRIVATE_KEY:-}"\n'
        "printf 'Authorization: Bearer %s\\n' \"$BANNO_ACCESS_TOKEN\" | curl -sS --header @- " + job.api.origin + "\n"
    )
    child.chmod(0o755)
    variables = dict(re.findall(r"(BANNO_\w+) = '(.*?)'", text))
    # As Jenkins runs it: every command is printed.
    done = job.run(f"set -x\n{script}", variables | {"BANNO_CREDS_PRIVATE_KEY": "private.pem"})
    assert (done.returncode, done.stdout) == (0, THINGS.decode())
    assert "eyJ" not in done.stderr
    assert job.api.callers == [CLIENT_ID]


@needs_sh
def test_cron(job: _Job) -> None:
    config = job.home / ".config" / "banno-creds" / "config.toml"
    config.parent.mkdir(parents=True)
    key = job.folder / "private.pem"
    config.write_text(
        f"[profiles.garden]\nclient_id = {json.dumps(CLIENT_ID)}\nprivate_key = {json.dumps(str(key))}\n"
    )
    [line] = _blocks("crontab")
    assert re.fullmatch(r"(\S+ ){5}/\S+\n", line)
    script = job.folder / "fetch-things"
    script.write_text(_blocks("sh")[2])
    script.chmod(0o755)
    # cron's environment is nearly empty; the endpoints alone are the test's.
    done = job.run("./fetch-things", {"PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (job.folder / "things.json").read_bytes() == THINGS
    assert stat.S_IMODE((job.folder / "things.json").stat().st_mode) == 0o600


@needs_sh
def test_cron_goes_on_with_the_next_institution(job: _Job) -> None:
    config = job.home / ".config" / "banno-creds" / "config.toml"
    config.parent.mkdir(parents=True)
    key = json.dumps(str(job.folder / "private.pem"))
    unknown = "5f2c8a10-77ab-4d0c-9f3e-2b6a1d4c8e90"
    config.write_text(
        f'[profiles.garden]\nclient_id = "{unknown}"\nprivate_key = {key}\n'
        f'[profiles.granite]\nclient_id = "{CLIENT_ID}"\nprivate_key = {key}\n'
    )
    (job.folder / "garden.json").write_text("the last good result")
    done = job.run(_blocks("sh")[3], {"PATH": f"{job.home}/.local/bin:/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (4, "")
    assert "garden failed with exit code 4" in done.stderr
    assert "invalid_client" in done.stderr
    assert (job.folder / "garden.json").read_text() == "the last good result"
    assert (job.folder / "granite.json").read_bytes() == THINGS


@needs_sh
def test_the_dockerfiles_last_lines_give_a_program_its_token(job: _Job) -> None:
    [text] = _blocks("dockerfile")
    words = {
        name: json.loads(value) for name, value in re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE)
    }
    command = " ".join(words["ENTRYPOINT"] + words["CMD"])
    done = job.run(command, {"BANNO_CREDS_CLIENT_ID": CLIENT_ID, "BANNO_CREDS_PRIVATE_KEY": "private.pem"})
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d{10}\n", done.stdout)


def test_every_recipe_that_is_promised_is_there() -> None:
    headings = re.findall(r"^## (.*)$", RECIPES, re.MULTILINE)
    assert headings == [
        "A shell script",
        "GitHub Actions",
        "GitLab CI",
        "Jenkins",
        "cron",
        "A Dockerfile",
        "PowerShell",
    ]
