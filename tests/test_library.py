"""A program that imports banno_creds finds all other packages whole: nothing is hidden or switched off."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import banno_creds
from tests.conftest import CLIENT_ID
from tests.processes import bare_environment
from tests.servers.loopback import Says
from tests.servers.raw import GRANTED

if TYPE_CHECKING:
    from tests.servers.scripted import ScriptedServer

PACKAGE = Path(banno_creds.__file__).parent

OURS = """
import gc, banno_creds
before = gc.isenabled(), gc.get_threshold()
for name in banno_creds.__all__:
    getattr(banno_creds, name)
import banno_creds.api.call, banno_creds.doctor.examination, banno_creds.http.client  # all that sends requests
assert (gc.isenabled(), gc.get_threshold()) == before
"""
THEIRS = """
import sys, click, httpx
assert None not in sys.modules.values(), [name for name, module in sys.modules.items() if module is None]
assert isinstance(httpx.main, click.Command), httpx.main
assert httpx.main.name == "main"
import anyio, trio
import httpx._main, anyio.to_thread, trio.lowlevel
assert anyio.run(anyio.to_thread.run_sync, lambda: 7, backend=sys.argv[1]) == 7
httpx.main(["--help"])
"""


def _run(program: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env=bare_environment(COLUMNS="80", PYTHONUTF8="1"),  # httpx draws boxes
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "loop", ["asyncio", pytest.param("trio", marks=pytest.mark.no_wine("Trio's loop cannot start: WinError 10045"))]
)
@pytest.mark.parametrize("program", [OURS + THEIRS, "import httpx\n" + OURS + THEIRS], ids=["first", "after httpx"])
def test_httpx_with_its_command_line_and_anyio_and_trio_stay_whole(program: str, loop: str) -> None:
    assert "HTTPX" in _run(program, loop)


def test_a_program_may_use_httpx_and_its_asynchronous_client_beside_a_token_source() -> None:
    program = """
import asyncio, banno_creds, httpx
async def ask():
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(204))) as client:
        print((await client.get("https://bank.example/")).status_code)
assert issubclass(banno_creds.BearerAuth, httpx.Auth)
asyncio.run(ask())
"""
    assert _run(program) == "204\n"


def _tricks(path: Path) -> list[str]:
    """Where a module reaches for what changes the whole process."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and (
            ast.unparse(node) in ("sys.modules", "os._exit") or ast.unparse(node).startswith("gc.")
        ):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name == "gc"]
        elif isinstance(node, ast.ImportFrom):
            found += [
                f"{node.module}.{alias.name}"
                for alias in node.names
                if node.module == "gc" or (node.module, alias.name) in (("sys", "modules"), ("os", "_exit"))
            ]
    return found


def test_what_changes_the_whole_process_is_done_in_main_alone() -> None:
    with_tricks = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if _tricks(path)}
    assert with_tricks == {"__main__.py"}
    assert set(_tricks(PACKAGE / "__main__.py")) == {"gc", "gc.set_threshold", "sys.modules", "os._exit"}


@pytest.mark.parametrize("command", ["client-assertion", "token"])
def test_our_command_line_leaves_out_what_httpx_has_beside_its_client(
    command: str, server: ScriptedServer, ec_pem: Path, tmp_path: Path
) -> None:
    server.says(Says(200, json.dumps(GRANTED).encode()))
    where = ("--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", server.url)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "banno_creds", command, "-q", *where],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env=bare_environment(HOME=str(tmp_path), LOCALAPPDATA=str(tmp_path)),
    )
    assert done.returncode == 0, done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "httpx._client" in loaded
    # A module that is declared missing may be listed, but never the modules that it would import.
    packages = ("anyio", "trio", "sniffio", "rich", "pygments", "markdown_it")
    assert not {name for name in loaded if name.startswith(tuple(f"{package}." for package in packages))}
    assert not {"sniffio", "rich", "pygments", "markdown_it"} & loaded
