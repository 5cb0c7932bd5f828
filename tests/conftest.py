"""What the tests share: fresh keys, the command line in this process or its own, and a server that says anything."""

from __future__ import annotations

import gc
import io
import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from banno_creds.cli.main import run
from banno_creds.jose import keys

from . import browser
from .processes import open_nursery
from .servers.issuer import Issuer
from .servers.scripted import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .oidc import Tool
    from .processes import Nursery
    from .servers.openid_provider import OpenIdProvider

CLIENT_ID = "199e6f35-4e9a-482e-b980-b10308aa428a"

# What a developer's own shell may have set, and what decides how output looks.
_LOOKS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
_FOLDERS = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")
_WINDOWS_FOLDERS = {"APPDATA": "Roaming", "LOCALAPPDATA": "Local"}
_SCREEN = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")  # no test opens the browser of whoever runs it
_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Result:
    """How a run ended, and what it said."""

    code: int
    stdout: str
    stderr: str


class Cli(Protocol):
    """Runs the command line."""

    def __call__(self, *args: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result: ...


def _is_foreign(name: str) -> bool:
    return name.startswith("BANNO_") or name.upper() in (*_LOOKS, *_FOLDERS, *_SCREEN, *_NETWORK)


def pytest_configure() -> None:
    """Let Ctrl-C and a closed terminal reach the tests' processes, though the suite may run in the background."""
    if sys.platform == "win32":
        return
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def is_wine() -> bool:
    if sys.platform == "win32":
        import ctypes

        return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
    return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this system cannot run; each mark must say why."""
    left_out = {"posix": sys.platform == "win32", "no_wine": is_wine()}
    for item in items:
        for name, does_not_run in left_out.items():
            for mark in item.iter_markers(name):
                if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not mark.args[0]:
                    raise pytest.UsageError(f'{item.nodeid}: write @pytest.mark.{name}("the reason")')
                if does_not_run:
                    item.add_marker(pytest.mark.skip(reason=f"{name}: {mark.args[0]}"))


def pytest_collection_finish() -> None:
    """Take what was imported out of the collections: some tests collect the garbage they leave, each time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Hypothesis looks at who refers to what, and does not see what is frozen."""
    gc.unfreeze()


_folders = itertools.count()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own. pytest's looks through all that exist for the name, which are thousands."""
    folder = tmp_path_factory.getbasetemp() / f"test-{next(_folders)}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(autouse=True)
def _own_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test depends on the shell it was started from, nor on its user's files."""
    # To measure coverage more than doubles what a process costs; most run what others have measured in this one.
    if request.node.get_closest_marker("measured") is None:
        for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
            monkeypatch.delenv(name)
    for name in list(os.environ):
        if _is_foreign(name) and not name.startswith("BANNO_CREDS_REQUIRE_"):
            monkeypatch.delenv(name)
    # The keyring of whoever runs the tests is none of ours.
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    home = tmp_path_factory.getbasetemp() / f"home-{next(_folders)}"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    if sys.platform == "win32":
        monkeypatch.setenv("USERPROFILE", str(home))
        for variable, name in _WINDOWS_FOLDERS.items():
            monkeypatch.setenv(variable, str(home / "AppData" / name))


class How:
    """The clock of the command line in this process, and how it pauses."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.time
        self.sleep: Callable[[float], object] = time.sleep

    def pause(self, seconds: float) -> None:
        """Pause as `sleep` says."""
        self.sleep(seconds)


@pytest.fixture
def how() -> How:
    """Set its members to give `cli` another clock, or no pauses."""
    return How()


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: How) -> Cli:
    """The command line in this process: quick, and its coverage is seen."""

    def call(*args: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            typed = [str(arg) for arg in args]
            code = run(typed, clock=lambda: how.clock(), sleep=lambda seconds: how.pause(seconds))
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def process() -> Cli:
    """The command line as a process of its own, as scripts use it."""

    def call(*args: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "banno_creds", *map(str, args)],
            input=stdin,
            capture_output=True,
            env={name: value for name, value in os.environ.items() if not _is_foreign(name)} | dict(env or {}),
            timeout=100,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Processes of the command line that start at once."""
    with open_nursery() as running:
        yield running


@pytest.fixture(scope="session")
def rsa_key() -> keys.PrivateKey:
    """An RSA key, made for this run of the tests."""
    return keys.generate("rsa")


@pytest.fixture(scope="session")
def ec_key() -> keys.PrivateKey:
    """A P-256 key, made for this run of the tests."""
    return keys.generate("ec")


@pytest.fixture
def pauses(how: How) -> list[float]:
    """`cli` does not wait between attempts; the pauses that it would have made."""
    waited: list[float] = []
    how.sleep = waited.append
    return waited


def instead(words: Sequence[str], *options: str | Path) -> list[str]:
    """Return a command line with other values: an option is given once. ``options`` are names and values in turn."""
    changed = list(words)
    for name, value in zip(options[::2], options[1::2], strict=True):
        if name in changed:
            changed[changed.index(str(name)) + 1] = str(value)
        else:
            changed += [str(name), str(value)]
    return changed


def write_private(path: Path, content: bytes) -> Path:
    """Write a file that only its owner can read."""
    if sys.platform == "win32" and not path.exists():
        from banno_creds.storage import windows_security

        os.close(windows_security.create_file(str(path)))
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def has_mode(path: str | Path, mode: int) -> bool:
    """Return whether a file or folder has a mode; on Windows, where there are no modes, whether it is there."""
    found = os.stat(path)  # noqa: PTH116 - a name will do
    return sys.platform == "win32" or stat.S_IMODE(found.st_mode) == mode


def at_home(folder: Path) -> dict[str, str]:
    """Return the variables by which a folder is the user's own, `~`, on every system."""
    return dict.fromkeys(("HOME", "USERPROFILE"), str(folder))


@pytest.fixture
def rsa_pem(tmp_path: Path, rsa_key: keys.PrivateKey) -> Path:
    """The RSA key's file."""
    return write_private(tmp_path / "rsa.pem", rsa_key.pem())


@pytest.fixture
def ec_pem(tmp_path: Path, ec_key: keys.PrivateKey) -> Path:
    """The P-256 key's file."""
    return write_private(tmp_path / "ec.pem", ec_key.pem())


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """The scripted server."""
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A token endpoint that grants each request a token of its own."""
    with Issuer() as running:
        yield running


@pytest.fixture
def env(tmp_path: Path, issuer: Issuer, ec_pem: Path) -> dict[str, str]:
    """All that is asked for is in variables, as in CI; a token is in the cache after the first run."""
    return {
        "BANNO_CREDS_CACHE_DIR": str(tmp_path / "cache"),
        "BANNO_CREDS_CLIENT_ID": CLIENT_ID,
        "BANNO_CREDS_PRIVATE_KEY": str(ec_pem),
        "BANNO_CREDS_TOKEN_ENDPOINT": issuer.url,
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, which is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def ask(folder: Path, issuer: Issuer, ec_pem: Path) -> list[str]:
    """The command line for a token of the issuer, through that cache."""
    return ["token", "--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", issuer.url]


@pytest.fixture
def chromium() -> None:
    """Whoever asks for it has a real browser, is skipped, or fails where skipping is forbidden."""
    decision = browser.decide_here()
    if decision.action == "skip":
        pytest.skip(decision.reason)
    if decision.action == "fail":
        pytest.fail(decision.reason, pytrace=False)


# Unlocked before the address is told, and ended with the bus, when standard input ends.
_KEYRING = """
printf 'of this test alone' | gnome-keyring-daemon --unlock --components=secrets >/dev/null || exit
echo "$DBUS_SESSION_BUS_ADDRESS"
read -r _
"""


@pytest.fixture
def secret_service(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """A real keyring, empty and unlocked: the environment of a process that is to find it."""
    missing = [name for name in ("dbus-run-session", "gnome-keyring-daemon") if shutil.which(name) is None]
    if missing:
        reason = f"no keyring: {' and '.join(missing)} not installed (Debian: dbus-daemon, gnome-keyring)"
        if os.environ.get("BANNO_CREDS_REQUIRE_INTEROP") == "1":
            pytest.fail(f"{reason} (BANNO_CREDS_REQUIRE_INTEROP=1 forbids skipping)", pytrace=False)
        pytest.skip(reason)
    home = tmp_path / "keyring"
    home.mkdir(mode=0o700)
    with (
        (tmp_path / "keyring.log").open("w+b") as log,
        subprocess.Popen(
            ["dbus-run-session", "--", "sh", "-c", _KEYRING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)},
        ) as running,
    ):
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            address = running.stdout.readline().decode().strip()
            assert address, (tmp_path / "keyring.log").read_text()
            yield {
                "DBUS_SESSION_BUS_ADDRESS": address,
                "PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring",
            }
        finally:
            running.stdin.close()
            running.wait(timeout=10)


# --- A login: a file whose provider or tool differs has fixtures of its own by these names ---


@pytest.fixture
def provider(ec_key: keys.PrivateKey) -> Iterator[OpenIdProvider]:
    """A provider that signs with ES256."""
    from .servers.openid_provider import OpenIdProvider  # which imports this module

    with OpenIdProvider(ec_key, "ES256") as running:
        yield running


@pytest.fixture
def stranger(
    cli: Cli, provider: OpenIdProvider, ec_pem: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> Tool:
    """The tool before anybody signed in."""
    from .oidc import tool_for

    del pauses
    return tool_for(cli, provider, ec_pem, monkeypatch)


@pytest.fixture
def tool(stranger: Tool) -> Tool:
    """The tool after the login."""
    assert stranger.log_in("-q").code == 0
    return stranger
