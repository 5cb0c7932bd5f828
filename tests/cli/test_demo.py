"""The sandbox and the demo as processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli

pytestmark = [pytest.mark.once, pytest.mark.measured]

PROGRAM = [sys.executable, "-m", "banno_creds"]


@pytest.fixture
def public_pem(tmp_path: Path, rsa_key: PrivateKey) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(rsa_key.public.pem())
    return path


@contextmanager
def _running(public_pem: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*PROGRAM, "sandbox", "--public-key", str(public_pem), "--port", "0", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as running:
        try:
            assert running.stdout is not None
            yield running, running.stdout.readline()
        finally:
            running.kill()


def test_the_sandbox_prints_one_line_when_it_is_ready_and_grants_tokens(
    cli: Cli, public_pem: Path, rsa_pem: Path
) -> None:
    with _running(public_pem, "--client-id", CLIENT_ID, "--scope", "openid a") as (running, line):
        ready = re.fullmatch(r"sandbox ready: (http://127\.0\.0\.1:\d+/a/oidc-provider/api/v0/token)\n", line)
        assert ready
        ask = ["client-assertion", "-q", "--client-id", CLIENT_ID, "--private-key", str(rsa_pem)]
        ask += ["--token-endpoint", ready[1]]
        granted = cli(*ask, "--scope", "a")
        assert json.loads(granted.stdout)["scope"] == "a"
        assert cli(*ask, "--scope", "b").code == 4
        assert running.stderr is not None
        log = []
        for line in running.stderr:
            log.append(line)
            if "refused" in line:
                break
    assert f'issued an access token to "{CLIENT_ID}", scope "a"' in log[-2]
    assert "refused by request.scope.not_allowed" in log[-1]
    assert granted.stdout.strip() not in "".join(log)


@pytest.mark.posix("signals to another process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_sandbox_stops_on_a_signal(public_pem: Path, number: signal.Signals, code: int) -> None:
    with _running(public_pem) as (running, _):
        running.send_signal(number)
        assert running.communicate(timeout=20) == ("", "")
    assert running.returncode == code


def test_a_taken_port_is_one_clear_error(cli: Cli, public_pem: Path) -> None:
    with _running(public_pem) as (_, line):
        port = re.search(r":(\d+)/", line)
        assert port
        result = cli("sandbox", "--public-key", public_pem, "--port", port[1])
    assert (result.code, result.stdout) == (2, "")
    words = "" if sys.platform == "win32" else "address already in use"  # Windows has its own, wine has none
    assert f"port {port[1]} on 127.0.0.1 cannot be used: {words}" in result.stderr.lower()


@pytest.mark.parametrize(("content", "words"), [(None, "no such file"), (b"nonsense", "is not a public key in pem")])
def test_a_public_key_that_is_none_is_one_clear_error(
    cli: Cli, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    result = cli("sandbox", "--public-key", path)
    assert (result.code, result.stdout) == (2, "")
    assert words in result.stderr.lower()
    assert "Next: " in result.stderr


@pytest.mark.parametrize("name", ["sandbox", "demo"])
def test_without_the_extra_it_says_how_to_install_it(name: str) -> None:
    program = (
        "import sys, importlib.util as u; sys.modules['flask'] = None; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'flask' else find(name, *a)\n"
        "from banno_creds.__main__ import main\n"
        f"sys.argv = ['banno-creds', '{name}']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        '✗   The sandbox needs flask, which is not installed\n    Next: pip install "banno-creds[sandbox]"; '
        'in a clone of the repository: pip install ".[sandbox]"\n'
    )


def test_the_demo_runs_the_real_commands_and_shows_each(process: Cli, tmp_path: Path) -> None:
    result = process("demo", env=dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path)))
    assert result.code == 0, result.stderr
    typed = re.findall(r"^ *[$>] banno-creds (\S+)", result.stderr, re.MULTILINE)
    assert typed == ["keygen", "sandbox", "client-assertion", "decode"]
    for words in ("Private key", "JWT payload", "Signed JWT", "Token request", "Token response", "Access token"):
        assert re.search(rf"^ ?\d+  {words}$", result.stderr, re.MULTILINE), words
    assert "the signature holds: RS256" in result.stderr
    assert '"clientName": "Test Application"' in result.stdout
    assert list(tmp_path.iterdir()) == []  # the folder with the key is gone


def test_the_demo_does_not_use_what_is_set_for_a_bank(process: Cli) -> None:
    assert process("demo", env={"BANNO_CREDS_LIFETIME": "9999", "BANNO_CREDS_PRIVATE_KEY_PEM": "x"}).code == 0


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("sys.exit(3)", "the demo's command keygen ended with exit code 3"),
        (
            "sys.argv[1] == 'sandbox' and sys.exit('no luck')",
            "no luck\n✗   the demo's command sandbox ended with exit code 1",
        ),
    ],
    ids=["a command fails", "the sandbox does not start"],
)
def test_a_demo_whose_step_fails_says_which(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, words: str
) -> None:
    monkeypatch.setattr("banno_creds.cli.demo._PROGRAM", (sys.executable, "-c", f"import sys; {program}"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = cli("demo")
    assert result.code == 1
    assert words in result.stderr.lower()
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_nobody_reads_ends_as_other_commands_do(tmp_path: Path) -> None:
    pipe, env = subprocess.PIPE, os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path))
    with subprocess.Popen([*PROGRAM, "demo"], stdout=pipe, stderr=pipe, env=env) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        said = running.stderr.read().decode()
    assert running.returncode == 141
    assert "report" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.posix("signals to another process")
def test_ctrl_c_ends_the_demo_and_its_sandbox(tmp_path: Path) -> None:
    env = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*PROGRAM, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
        encoding="utf-8",
    ) as running:
        assert running.stdout is not None
        while not running.stdout.readline().startswith("sandbox ready"):
            pass
        os.killpg(running.pid, signal.SIGINT)
        running.communicate(timeout=30)
    assert running.returncode == 130
    assert list(tmp_path.iterdir()) == []
    # Not those that have ended and that nobody has asked about yet.
    look = ["ps", "-o", "stat=,args=", "-g", str(running.pid)]
    left = subprocess.run(look, capture_output=True, encoding="utf-8", timeout=10, check=False).stdout
    assert [line for line in left.splitlines() if not line.startswith("Z")] == []
