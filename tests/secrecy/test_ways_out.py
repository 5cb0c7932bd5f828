"""Core dumps, the environments of other programs, and what a terminal would obey."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from banno_creds.child import SecretsPutAway, without_secrets
from banno_creds.cli import browser
from banno_creds.cli.report import ResultStream, visible, write_result
from banno_creds.doctor.support_bundle import _system
from banno_creds.login.keyring import find_keyring
from banno_creds.steps import Run
from tests.conftest import CLIENT_ID
from tests.programs import write_program
from tests.servers.raw import RawServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Cli

# ── Core dumps ────────────────────────────────────────────────────────────────────────────────────────────────

_UNLIMITED = "import os, resource, sys; hard = resource.getrlimit(resource.RLIMIT_CORE)[1]; "
_UNLIMITED += "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)); os.execvp(sys.argv[1], sys.argv[1:])"


def _start(*command: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a program that may leave a core dump as large as it likes."""
    return subprocess.Popen(
        [sys.executable, "-c", _UNLIMITED, *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _limit(process: int | str) -> str:
    lines = Path(f"/proc/{process}/limits").read_text("ascii").splitlines()
    return next(line for line in lines if line.startswith("Max core file size")).split()[4]


def _filter(process: int | str) -> int:
    return int(Path(f"/proc/{process}/coredump_filter").read_text("ascii"), 16)


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_a_process_that_has_a_key_leaves_no_core(ec_pem: Path, tmp_path: Path) -> None:
    ask = ["-m", "banno_creds", "client-assertion", "--client-id", CLIENT_ID, "--private-key", str(ec_pem)]
    server = RawServer(lambda *talk: server.stall(*talk))
    with server, _start(sys.executable, *ask, "--token-endpoint", server.url(), folder=tmp_path) as process:
        while not server.requests:
            assert process.poll() is None
            time.sleep(0.01)
        limit, memory = _limit(process.pid), _filter(process.pid)
        process.send_signal(signal.SIGQUIT)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGQUIT
    assert (limit, memory) == ("0", 0)
    assert sorted(tmp_path.iterdir()) == [ec_pem]


@linux
def test_the_command_of_exec_gets_its_own_limits_back(ask: list[str], tmp_path: Path) -> None:
    """From the cache, too; what it does with its own core dumps is not ours to say."""
    look = "print(*[l for l in open('/proc/self/limits') if 'core' in l], open('/proc/self/coredump_filter').read())"
    seen = []
    for command in (
        [sys.executable, "-c", look],
        *(
            [sys.executable, "-m", "banno_creds", "exec", *ask[1:], "--", sys.executable, "-c", look]
            for _ in range(2)
        ),
    ):
        with _start(*command, folder=tmp_path) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        seen.append(out)
    assert seen[0] == seen[1] == seen[2]


# ── The environments of other programs ────────────────────────────────────────────────────────────────────────

SECRET_VARIABLES = {
    f"BANNO_CREDS_{name}": f"canary-{number}"
    for number, name in enumerate(
        (
            *("PRIVATE_KEY_PEM", "PRIVATE_KEY", "PASSPHRASE_FILE", "CLIENT_SECRET", "CLIENT_SECRET_FILE", "CLAIM"),
            *(
                "PARAM",
                "API_HEADER",
                "API_FIELD",
                "API_RAW_FIELD",
                "LOGIN_CLAIMS",
                "KEYGEN_PRIVATE_KEY",
                "KEY",
                "PEM",
            ),
            *("KEYGEN_PASSPHRASE_FILE", "SANDBOX_CLIENT_SECRET_FILE", "PASSWORD", "SECRET", "PASSPHRASE"),
        )
    )
} | {"BANNO_ACCESS_TOKEN": "canary-token"}
HARMLESS = {
    "BANNO_CREDS_PROFILE": "a",
    "BANNO_CREDS_SCOPE": "openid",
    "HTTPS_PROXY": "http://proxy:1",
    "PATH": "/bin",
}


def test_other_programs_get_no_variable_with_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRET_VARIABLES | HARMLESS).items():
        monkeypatch.setenv(name, value)
    given = without_secrets()
    assert not any("canary" in value for value in given.values())
    assert {name: given[name] for name in HARMLESS} == HARMLESS
    with SecretsPutAway():
        assert not any("canary" in value for value in os.environ.values())
    assert os.environ["BANNO_CREDS_CLAIM"] == SECRET_VARIABLES["BANNO_CREDS_CLAIM"]


_NOTE = """\
with open({!r}, "a", encoding="utf-8") as seen:
    print(os.path.basename(sys.argv[0]).removesuffix(".py"), *sys.argv[1:], file=seen)
    print(*map("=".join, os.environ.items()), sep="\\n", file=seen)
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that note what they get, in the place of those that our libraries start."""
    folder = tmp_path / "bin"
    folder.mkdir()
    note = _NOTE.format(str(folder / "seen"))
    for name in (
        "xdg-settings",
        "uname",
        "xdg-open",
        "sensible-browser",
        "www-browser",
        "pass",
        "dbus-launch",
        "sh-app",
    ):
        write_program(folder, name, note)
    monkeypatch.setenv("PATH", os.pathsep.join((str(folder), os.environ["PATH"])))
    for name, value in SECRET_VARIABLES.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.mark.posix("a browser is looked for in PATH")
def test_looking_for_a_browser_and_opening_it_tells_no_secret(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":9")
    assert browser.open_browser("http://127.0.0.1:9/auth?a=b")
    seen = programs / "seen"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (seen.exists() and "auth?a=b" in seen.read_text()):
        time.sleep(0.01)
    browser._openers.pop().wait(timeout=60)
    assert "xdg-settings get default-web-browser" in seen.read_text()
    assert "canary" not in seen.read_text()


def test_programs_that_a_keyring_starts_get_no_secret(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Backend:
        priority, name = 9, "a keyring that starts programs"

        def get_password(self, *_: str) -> str:
            program = shutil.which("pass")
            assert program
            subprocess.run([program], check=True)
            return "a-token"

        set_password = delete_password = get_password

    monkeypatch.setattr("keyring.get_keyring", Backend)
    keyring = find_keyring(Run())
    keyring.keep("entry", "a-token")
    assert keyring.read("entry") == "a-token"
    keyring.remove("entry")
    seen = (programs / "seen").read_text()
    assert seen.count("PATH=") >= 4
    assert "canary" not in seen
    assert os.environ["BANNO_CREDS_CLAIM"] == SECRET_VARIABLES["BANNO_CREDS_CLAIM"]


@pytest.mark.posix("a browser is looked for in PATH")
def test_where_no_browser_is_found_the_address_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not browser.open_browser("http://127.0.0.1:9/auth?a=b")
    browser._openers.pop().wait(timeout=60)


def test_a_bundle_starts_no_program(programs: Path, cli: Cli, tmp_path: Path) -> None:
    assert _system().startswith("Windows" if sys.platform == "win32" else os.uname().sysname)
    for name in SECRET_VARIABLES:
        os.environ.pop(name)
    cli("doctor", "--offline", "--client-id", CLIENT_ID, "--bundle", tmp_path / "bundle.md")
    assert "Python:" in (tmp_path / "bundle.md").read_text()
    assert not (programs / "seen").exists()


@pytest.mark.parametrize("times", [1, 2], ids=["fresh", "from the cache"])
def test_the_command_of_exec_gets_no_variable_with_a_secret(
    process: Cli, ask: list[str], folder: Path, times: int
) -> None:
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    given = {"BANNO_CREDS_CLAIM": "a=canary", "BANNO_CREDS_PARAM": "b=canary", "BANNO_CREDS_API_HEADER": "X: canary"}
    given |= {
        "BANNO_CREDS_CACHE_DIR": str(folder),
        "BANNO_CREDS_API_FIELD": "c=canary",
        "BANNO_CREDS_PASSWORD": "canary",
    }
    for _ in range(times):
        result = process("exec", *ask[1:], "--", sys.executable, "-c", show, env=given)
    got: Mapping[str, str] = json.loads(result.stdout)
    assert got["BANNO_ACCESS_TOKEN"]
    assert "canary" not in "".join(got.values())
    assert got["BANNO_CREDS_CACHE_DIR"] == str(folder)


# ── Terminals ─────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = (
    "\x1b]0;title\x07 \x1b[2J \x9b31m \x9d52;c;AAAA\x9c \u202egnirts \u2066x\u2069 \x00\x08\x7f a\rb \ufeff\u2028"
)


class _Terminal(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8") -> None:
        self.seen = io.BytesIO()
        super().__init__(self.seen, encoding=encoding, newline="\n")

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_on_a_terminal_makes_it_do_nothing(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    content = f"{HOSTILE}\r\nGrüße\t日本\n\n".encode() + b"\xff"
    with ResultStream() as stream:
        for begin in range(0, len(content), size):
            stream.write(content[begin : begin + size])
    shown = terminal.seen.getvalue().decode()
    assert "^[]0;title^G ^[[2J \\x9b31m \\x9d52;c;AAAA\\x9c \\u202egnirts \\u2066x\\u2069 ^@^H^? a^Mb" in shown
    assert shown.endswith("\\ufeff\\u2028\nGrüße\t日本\n\n\ufffd\n")


def test_a_result_of_one_line_is_written_as_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, pipe = _Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    write_result(HOSTILE)
    assert terminal.seen.getvalue().decode() == f"{visible(HOSTILE)}\n"
    monkeypatch.setattr(sys, "stdout", pipe)
    write_result(HOSTILE)
    assert pipe.getvalue() == f"{HOSTILE}\n"


def test_what_is_harmless_is_shown_as_it_is() -> None:
    for text in ("Grüße 日本 👩\u200d👩 \xa0|\u3000|\ta\n", '{"a": 1}\r\n'):
        assert visible(text) == text.replace("\r\n", "\n")


def test_a_terminal_of_another_encoding_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal("ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    with ResultStream() as stream:
        stream.write("Grüße\n".encode())
    assert terminal.seen.getvalue() == b"Gr\\xfc\\xdfe\n"


@pytest.mark.parametrize("args", [("decode", "-"), ("decode", "--full", "-")])
def test_a_result_on_a_terminal_makes_it_do_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    from banno_creds.jose.encoding import base64url

    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    parts = [
        json.dumps(part, ensure_ascii=False).encode() for part in ({"alg": "RS256"}, {"name": HOSTILE, "exp": 1})
    ]
    token = ".".join([*map(base64url, parts), "c2ln"])
    assert cli(*args, stdin=token.encode()).code == 0
    terminal.flush()
    shown = terminal.seen.getvalue().decode()
    assert "gnirts" in shown
    assert not any(c in shown for c in HOSTILE if not c.isprintable() and c != "\n")
