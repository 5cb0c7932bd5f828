"""Files that another program holds open while banno-creds reads, writes or removes them, as virus scanners do."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

import pytest

from banno_creds.errors import OutputError
from banno_creds.login import session
from banno_creds.login.session import Owner
from banno_creds.login.session_store import SessionStore
from banno_creds.redirection.certificate import localhost_certificate
from banno_creds.storage import held, lock, own_files
from banno_creds.storage.lock import Lock
from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer

assert sys.platform == "win32"
import _winapi  # noqa: E402

# How often each is tried; hundreds with BANNO_CREDS_RACES=100.
ROUNDS = int(os.environ.get("BANNO_CREDS_RACES", "1"))
SECONDS = 0.3
ALONE, NO_DELETE = 0, 1 | 2  # what a holder lets others do: nothing; read and write
HOLDERS = {"which lets nobody read": ALONE, "which lets nobody replace": NO_DELETE}


@contextmanager
def held_open(path: Path | str, share: int, seconds: float | None = SECONDS) -> Iterator[None]:
    """Hold a file open from now on, for so long or until the end."""
    handle = _winapi.CreateFile(str(path), 0x80000000, share, 0, 3, 0, 0)
    timer = None if seconds is None else threading.Timer(seconds, _winapi.CloseHandle, [handle])
    if timer is not None:
        timer.start()
    try:
        yield
    finally:
        if timer is None:
            _winapi.CloseHandle(handle)
        else:
            timer.join()


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Desk:
    """A folder with a key pair, a profile, a cached token and its recalled answer."""

    def __init__(self, cli: Cli, folder: Path, cache: Path, ask: list[str], issuer: Issuer) -> None:
        self.cli, self.folder, self.cache, self.ask, self.issuer = cli, folder, cache, ask, issuer
        self.config = folder / "config.toml"
        self.pair = ("keygen", "--type", "ec", "--private-key", folder / "k.pem", "--public-key", folder / "p.pem")
        self.run(*self.pair)
        self.add("first")
        self.run(*ask)
        self.number = 0

    def run(self, *args: str | Path) -> str:
        done = self.cli(*args)
        assert done.code == 0, done.stderr
        assert "held" not in done.stderr
        assert "cache cannot" not in done.stderr
        return done.stdout

    def add(self, name: str) -> None:
        self.run("profile", "add", name, "--config", self.config, "--client-id", name, "--private-key", "k.pem")

    @property
    def entry(self) -> Path:
        [entry] = self.cache.glob("*.json")
        return entry


@pytest.fixture
def desk(cli: Cli, tmp_path: Path, folder: Path, ask: list[str], issuer: Issuer) -> Desk:
    return Desk(cli, tmp_path, folder, ask, issuer)


def _profile(desk: Desk) -> None:
    desk.number += 1
    desk.add(f"n{desk.number}")
    listed = desk.run("profile", "list", "--config", desk.config)
    assert all(f"n{number}" in listed for number in range(1, desk.number + 1))


def _replaced_pair(desk: Desk) -> None:
    new = desk.run(*desk.pair, "--force", "-o", "json")
    made = json.loads(new)
    assert len(made["kept"]) == 2
    assert (
        desk.run("keygen", "--public-from", desk.folder / "k.pem", "--public-key", "-").encode()
        == (desk.folder / "p.pem").read_bytes()
    )


def _token(desk: Desk) -> None:
    before = len(desk.issuer.forms)
    token = desk.run(*desk.ask, "--force-refresh")
    assert len(desk.issuer.forms) == before + 1
    assert desk.run(*desk.ask) == token, "the cache has the old one"
    assert len(desk.issuer.forms) == before + 1


def _read(desk: Desk) -> None:
    before = len(desk.issuer.forms)
    desk.run(*desk.ask)
    assert len(desk.issuer.forms) == before


def _cleared(desk: Desk) -> None:
    desk.run("cache", "clear")
    assert _names(desk.cache) == set()
    desk.run(*desk.ask)


WRITES: dict[str, tuple[Callable[[Desk], Path], Callable[[Desk], None]]] = {
    "a profile": (lambda desk: desk.config, _profile),
    "a private key": (lambda desk: desk.folder / "k.pem", _replaced_pair),
    "a public key": (lambda desk: desk.folder / "p.pem", _replaced_pair),
    "a token in the cache": (lambda desk: desk.entry, _token),
    "a token that is read": (lambda desk: desk.entry, _read),
    "a cache that is cleared": (lambda desk: desk.entry, _cleared),
}


@pytest.mark.parametrize("share", HOLDERS.values(), ids=list(HOLDERS))
@pytest.mark.parametrize("what", WRITES)
def test_a_file_that_is_held_for_a_moment_is_waited_for(desk: Desk, what: str, share: int) -> None:
    path_of, act = WRITES[what]
    for _ in range(ROUNDS):
        with held_open(path_of(desk), share):
            act(desk)
        assert [name for name in _names(desk.folder) | _names(desk.cache) if name.endswith(".tmp")] == []


@pytest.mark.parametrize("share", HOLDERS.values(), ids=list(HOLDERS))
def test_a_file_of_ours_that_is_held_for_a_moment_is_replaced_and_removed(tmp_path: Path, share: int) -> None:
    """A login, the certificate and an answer are written this way."""
    path = tmp_path / "file"
    for number in range(ROUNDS):
        path.write_bytes(b"old")
        with held_open(path, share):
            own_files.write(str(path), b"%d" % number)
        assert own_files.read(str(path)) == b"%d" % number
        with held_open(path, share):
            assert own_files.read(str(path)) == b"%d" % number
        with held_open(path, share):
            own_files.remove(str(path))
        assert _names(tmp_path) == set()


class Scanner(threading.Thread):
    """Opens each new file of a folder for a moment, as a virus scanner does."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._seen: set[str] = set()
        self._ended = threading.Event()
        self.scanned = 0

    def run(self) -> None:
        while not self._ended.wait(0.001):
            for name in _names(self._folder) - self._seen:
                self._seen.add(name)
                with suppress(OSError), held_open(self._folder / name, NO_DELETE):
                    self.scanned += 1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def test_new_files_that_are_scanned_at_once_get_their_places(cli: Cli, tmp_path: Path) -> None:
    pair = ("keygen", "--type", "ec", "--private-key", tmp_path / "k.pem", "--public-key", tmp_path / "p.pem")
    for number in range(ROUNDS):
        with Scanner(tmp_path) as scanner:
            done = cli(*pair, *["--force"] * bool(number))
            assert done.code == 0, done.stderr
            own_files.write(str(tmp_path / f"{number}"), b"%d" % number)
        assert scanner.scanned
        assert own_files.read(str(tmp_path / f"{number}")) == b"%d" % number
        assert [name for name in _names(tmp_path) if name.endswith(".tmp")] == []


@pytest.mark.parametrize("share", HOLDERS.values(), ids=list(HOLDERS))
def test_a_certificate_that_is_held_for_a_moment_is_replaced(tmp_path: Path, share: int) -> None:
    path = tmp_path / own_files.CERTIFICATE
    path.write_bytes(b"broken")
    with held_open(path, share):
        made = localhost_certificate(str(tmp_path))
    with held_open(path, share):
        assert localhost_certificate(str(tmp_path)).fingerprint == made.fingerprint
    assert _names(tmp_path) == {path.name}


@pytest.fixture
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "_HELD_SECONDS", 0.1)


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize("name", ["a profile", "a private key", "a public key"])
def test_a_file_that_stays_held_is_an_error_and_nothing_is_lost(desk: Desk, name: str) -> None:
    path = WRITES[name][0](desk)
    files = {file.name: file.read_bytes() for file in desk.folder.iterdir() if file.is_file()}
    words = {
        "a profile": ("profile", "add", "x", "--config", desk.config, "--client-id", "x", "--private-key", "k.pem"),
    }.get(name, (*desk.pair, "--force"))
    with held_open(path, NO_DELETE, None):
        done = desk.cli(*words)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (
        f"✗   Cannot write {path}: another program holds it open; nothing was changed\n"
        "    Next: try again, or close the program that has it open\n"
    )
    assert {file.name: file.read_bytes() for file in desk.folder.iterdir() if file.is_file()} == files


@pytest.mark.usefixtures("_no_patience")
def test_a_cache_that_stays_held_is_a_warning_and_the_token_is_there(desk: Desk) -> None:
    with held_open(desk.entry, NO_DELETE, None):
        done = desk.cli(*desk.ask, "--force-refresh")
        cleared = desk.cli("cache", "clear")
    assert done.code == 0
    assert done.stdout
    said = "".join(done.stderr.split())  # the path breaks over lines
    assert f"cannotbewritten:{desk.entry}:anotherprogramholdsitopenitgoeson" in said
    assert cleared.code == 2
    assert "another program holds it open\n    Next: try again, or close the program" in cleared.stderr
    assert _names(desk.cache) == {desk.entry.name}
    with held_open(desk.entry, ALONE, None):
        listed = desk.cli("cache", "list")
    assert (listed.code, listed.stderr) == (0, "")
    assert listed.stdout == f"{desk.entry.name}\n    cannot be read: another program holds it open\n"


@pytest.mark.usefixtures("_no_patience")
def test_a_key_that_nobody_may_read_for_now_is_an_error(desk: Desk) -> None:
    path = desk.folder / "k.pem"
    with held_open(path, ALONE, None):
        done = desk.cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", path)
    assert done.code == 3
    assert f"✗   Cannot read {path}: another program holds it open" in done.stderr
    assert "close the program that has it open" in done.stderr


@pytest.mark.usefixtures("_no_patience")
def test_a_login_that_cannot_be_written_says_who_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SessionStore(str(tmp_path), Owner(None, None, "c", "https://bank.example/token", None))
    monkeypatch.setattr(session, "write", lambda *_: b"{}")
    own_files.write(store.path, b"old")
    with held_open(store.path, NO_DELETE, None), pytest.raises(OutputError) as caught:
        store.write(None)  # type: ignore[arg-type]
    assert caught.value.message.endswith("another program holds it open")
    assert caught.value.hint == "try again, or close the program that has it open"
    assert own_files.read(store.path) == b"old"


# --- locks ----------------------------------------------------------------------------------------------------------


def test_nothing_stays_of_a_lock(tmp_path: Path) -> None:
    for _ in range(max(ROUNDS, 20)):
        with Lock(str(tmp_path / "a.lock")) as first, Lock(str(tmp_path / "a.lock")) as second:
            assert (first.take(), second.take()) == (True, False)
        assert _names(tmp_path) == set()


def test_a_held_lock_gives_up_its_name_and_is_not_freed_for_another(tmp_path: Path) -> None:
    path = str(tmp_path / "a.lock")
    with Lock(path) as hung, Lock(path) as new:
        assert hung.take()
        lock.remove(path)
        assert new.take()
        hung.free()
        assert not Lock(path).take()
    assert _names(tmp_path) == set()


def test_a_lock_that_a_scanner_looks_at_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    with held_open(path, NO_DELETE), Lock(str(path), 5) as waiting:
        waiting.wait()
    assert _names(tmp_path) == set()


def test_the_cache_is_cleared_beside_a_held_lock(desk: Desk) -> None:
    path = desk.entry.with_suffix(".lock")
    with Lock(str(path)) as held_lock:
        assert held_lock.take()
        desk.run("cache", "clear")
        assert not path.exists()
        desk.run(*desk.ask)
    assert {os.path.splitext(name)[1] for name in _names(desk.cache)} == {".json", ".answer"}  # noqa: PTH122


# --- the attribute "read-only" --------------------------------------------------------------------------------------


def test_a_read_only_file_of_the_users_is_left_alone(desk: Desk) -> None:
    for path, words in {
        desk.config: ("profile", "add", "x", "--config", desk.config, "--client-id", "x", "--private-key", "k.pem"),
        desk.folder / "k.pem": (*desk.pair, "--force"),
        desk.folder / "p.pem": (*desk.pair, "--force"),
    }.items():
        before = path.read_bytes()
        path.chmod(stat.S_IREAD)
        done = desk.cli(*words)
        path.chmod(stat.S_IWRITE)
        assert (done.code, done.stdout, path.read_bytes()) == (2, "", before)
        assert done.stderr == (
            f'✗   {path} is read-only, and is left as it is\n    Next: to change it: attrib -r "{path}"\n'
        )


def test_a_read_only_file_of_ours_is_replaced_and_removed(desk: Desk) -> None:
    """Its folder alone decides elsewhere."""
    desk.entry.chmod(stat.S_IREAD)
    _token(desk)
    desk.entry.chmod(stat.S_IREAD)
    _cleared(desk)
