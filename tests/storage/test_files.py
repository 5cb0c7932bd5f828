"""Files that hold secrets: read with care, written whole or not at all."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds.errors import BannoCredsError, ConfigurationError, KeyLoadError, OutputError
from banno_creds.storage import own_files
from banno_creds.storage import secret_files as files
from banno_creds.storage.secret_files import (
    NewFile,
    check_places,
    fault_of_name,
    read_file,
    read_private_file,
    write_together,
)
from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Cli

posix = pytest.mark.posix
links = posix("everybody may make a symbolic link")
modes = posix("a mode says who may do what")

RELATIVE = "check the path; a relative one counts from the current folder"
OWNER = "check who owns it and who may read it"
# Windows has no SIGHUP, and os.kill() would end the process there, whatever the signal.
HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)
raise_signal = signal.raise_signal
# What makes a file: on Windows, one with a secret is made with its own access rights.
OPENING: list[tuple[Any, str]] = [(os, "open")]
if sys.platform == "win32":
    from banno_creds.storage import windows_security

    OPENING += [(windows_security, "create_file")]
# Windows does not say why a path leads nowhere.
BELOW_A_FILE = ("cannot read {}: Not a directory", OWNER) if os.name == "posix" else ("no such file: {}", RELATIVE)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestReading:
    def test_a_whole_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"\0\r\n" * 100)
        assert read_file(path) == b"\0\r\n" * 100

    def test_at_the_limit_and_over_it(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(bytes(files.MOST_BYTES))
        assert len(read_file(path)) == files.MOST_BYTES
        path.write_bytes(bytes(files.MOST_BYTES + 1))
        with pytest.raises(ConfigurationError) as caught:
            read_file(path)
        assert caught.value.message == f"{path} is larger than 1024 KiB"
        assert caught.value.hint == "check that it is the file you mean"

    @posix("a device without an end has a path")
    def test_an_endless_device_is_not_read_to_its_end(self) -> None:
        with pytest.raises(KeyLoadError, match=r"(?m)^/dev/zero is larger than 1024 KiB$"):
            read_private_file(Path("/dev/zero"))

    @pytest.mark.parametrize("error", [ConfigurationError, KeyLoadError])
    @pytest.mark.parametrize(
        ("name", "message", "hint"),
        [
            ("missing", "no such file: {}", RELATIVE),
            (".", "{} is a directory", "name the file in it"),
            ("file/in it", *BELOW_A_FILE),
            ("a\0b", f"cannot read {{}}: embedded null {'byte' if os.name == 'posix' else 'character'}", OWNER),
            pytest.param(
                *("x" * 300, "cannot read {}: File name too long", OWNER),
                marks=posix("a name that is too long is told as such"),
            ),
        ],
        ids=["missing", "directory", "file for a folder", "NUL", "long"],
    )
    def test_what_cannot_be_read_is_said_in_the_error_asked_for(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: type[BannoCredsError],
        name: str,
        message: str,
        hint: str,
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.chdir(tmp_path)
        with pytest.raises(error) as caught:
            read_file(Path(name), error=error)
        assert type(caught.value) is error
        assert (caught.value.message, caught.value.hint) == (message.format(Path(name)), hint)

    @posix("sockets have paths")
    def test_a_socket_cannot_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            with pytest.raises(ConfigurationError) as caught:
                read_file(Path("socket"))
        assert (caught.value.message, caught.value.hint) == ("cannot read socket: No such device or address", OWNER)

    def test_a_directory_where_the_system_calls_it_a_lack_of_permission(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(*args: object, **kwargs: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
        with pytest.raises(KeyLoadError, match=r"(?m) is a directory$"):
            read_private_file(tmp_path)
        if sys.platform != "win32":  # where the system is asked whether another program holds the file
            with pytest.raises(KeyLoadError, match=r"(?m)^cannot read .*private\.pem: Permission denied$"):
                read_private_file(tmp_path / "private.pem")

    @posix("pipes have names")
    def test_a_fifo_is_read_to_its_end_and_its_mode_not_judged(self, tmp_path: Path) -> None:
        path = tmp_path / "fifo"
        os.mkfifo(path, 0o666)
        path.chmod(0o666)
        writer = threading.Thread(target=path.write_bytes, args=(b"a key",))
        writer.start()
        file = read_private_file(path)
        writer.join()
        assert (file.content, file.warnings) == (b"a key", ())

    def test_the_content_is_never_in_a_repr(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_bytes(b"canary")
        path.chmod(0o600)
        assert "canary" not in repr(read_private_file(path))
        assert "canary" not in repr(NewFile(path, b"canary", 0o600))


class TestModes:
    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o611])
    def test_the_owners_alone_is_fine(self, cli: Cli, rsa_pem: Path, mode: int) -> None:
        rsa_pem.chmod(mode)
        result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", rsa_pem)
        assert (result.code, result.stderr) == (0, "")

    @modes
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o444])
    def test_readable_by_others_is_a_warning(self, cli: Cli, rsa_pem: Path, mode: int) -> None:
        rsa_pem.chmod(mode)
        result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", rsa_pem)
        assert result.code == 0
        assert result.stdout.count(".") == 2
        assert result.stderr == f"!   Others can read {rsa_pem} (mode {mode:04o})\n    chmod 600 {rsa_pem}\n"

    @modes
    @pytest.mark.parametrize("mode", [0o660, 0o606, 0o620, 0o602, 0o666])
    def test_writable_by_others_is_an_error(self, cli: Cli, rsa_pem: Path, mode: int) -> None:
        rsa_pem.chmod(mode)
        result = cli("sign-jwt", "--client-id", CLIENT_ID, "--private-key", rsa_pem)
        assert (result.code, result.stdout) == (3, "")
        assert result.stderr == (
            f"✗   Others can write the private key {rsa_pem} (mode {mode:04o}), so nobody knows whose key it is\n"
            f"    Next: chmod 600 {rsa_pem}, or use --allow-writable-key if you know why it is so\n"
        )

    @modes
    @pytest.mark.parametrize(("mode", "warns"), [(0o660, True), (0o606, True), (0o602, False)])
    def test_and_has_an_override(self, cli: Cli, rsa_pem: Path, mode: int, warns: bool) -> None:
        rsa_pem.chmod(mode)
        result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", rsa_pem, "--allow-writable-key")
        assert result.code == 0
        assert result.stdout.count(".") == 2
        assert result.stderr.startswith("!   Others can read ") if warns else result.stderr == ""

    @modes
    def test_the_mode_is_that_of_what_a_link_points_to(self, tmp_path: Path, rsa_pem: Path) -> None:
        rsa_pem.chmod(0o640)
        link = tmp_path / "link"
        link.symlink_to(rsa_pem)
        file = read_private_file(link)
        assert file.warnings == ((f"others can read {link} (mode 0640)", f"chmod 600 {link}"),)

    @modes
    def test_the_hint_can_be_pasted_into_a_shell(self, tmp_path: Path) -> None:
        path = tmp_path / "my key.pem"
        path.touch()
        path.chmod(0o666)
        with pytest.raises(KeyLoadError) as caught:
            read_private_file(path)
        assert caught.value.hint is not None
        assert caught.value.hint.startswith(f"chmod 600 '{path}', ")

    @posix("a file's owner is a number")
    def test_another_users_key_is_an_error_with_an_override(
        self, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if os.geteuid() == 0:
            os.chown(rsa_pem, 54321, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(KeyLoadError, match="belongs to another user, who can change it"):
            read_private_file(rsa_pem)
        assert read_private_file(rsa_pem, allow_writable=True).warnings == ()

    @posix("there is a root")
    def test_root_reads_the_keys_of_others(self, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if os.geteuid() == 0:
            os.chown(rsa_pem, 54321, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert read_private_file(rsa_pem).warnings == ()

    @modes
    @pytest.mark.parametrize(("mode", "warns"), [(0o777, True), (0o1777, False), (0o775, False)])
    def test_a_folder_that_everybody_writes_is_a_warning(
        self, cli: Cli, tmp_path: Path, rsa_pem: Path, mode: int, warns: bool
    ) -> None:
        tmp_path.chmod(mode)
        result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", rsa_pem)
        tmp_path.chmod(0o700)
        assert result.code == 0
        message = f"!   Others can put another file in the place of {rsa_pem}: everybody can write its folder\n"
        assert result.stderr == (f"{message}    chmod o-w {tmp_path}\n" if warns else "")

    def test_a_file_that_is_no_key_is_not_told_to_change_its_mode(self, cli: Cli, tmp_path: Path) -> None:
        path = tmp_path / "passwd"
        path.write_text("root:x:0:0")
        result = cli("sign-jwt", "-q", "--client-id", CLIENT_ID, "--private-key", path)
        assert result.code == 3
        assert "chmod" not in result.stderr


def listing(folder: Path) -> dict[str, bytes]:
    """What is in a folder, hidden files too."""
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in folder.iterdir()}


def pair(folder: Path) -> list[NewFile]:
    return [NewFile(folder / "private", b"new private", 0o600), NewFile(folder / "public", b"new public", 0o644)]


NEW = {"private": b"new private", "public": b"new public"}
OLD = {"private": b"old private", "public": b"old public"}


def write_old(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(OLD[name])
        (folder / name).chmod(0o640)


class TestWriting:
    @pytest.mark.parametrize("replace", [False, True])
    def test_content(self, tmp_path: Path, replace: bool) -> None:
        if replace:
            write_old(tmp_path, "private", "public")
        write_together(pair(tmp_path), replace=replace)
        assert listing(tmp_path) == NEW

    @modes
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    @pytest.mark.parametrize("replace", [False, True])
    def test_modes(self, tmp_path: Path, umask: int, replace: bool) -> None:
        if replace:
            write_old(tmp_path, "private", "public")
        before = os.umask(umask)
        try:
            write_together(pair(tmp_path), replace=replace)
        finally:
            os.umask(before)
        assert (mode_of(tmp_path / "private"), mode_of(tmp_path / "public")) == (0o600, 0o644 & ~umask)

    def test_one_may_be_there_and_the_other_not(self, tmp_path: Path) -> None:
        write_old(tmp_path, "public")
        write_together(pair(tmp_path), replace=True)
        assert listing(tmp_path) == NEW

    @pytest.mark.parametrize(
        ("there", "words"),
        [
            (["private"], "{private} exists"),
            (["public"], "{public} exists"),
            (["private", "public"], "{private} and {public} exist"),
        ],
    )
    def test_existing_files_are_kept(self, tmp_path: Path, there: list[str], words: str) -> None:
        write_old(tmp_path, *there)
        with pytest.raises(ConfigurationError) as caught:
            write_together(pair(tmp_path), replace=False)
        words = words.format(private=tmp_path / "private", public=tmp_path / "public")
        assert caught.value.message == f"{words} already, nothing was written"
        assert caught.value.hint == "choose other paths"
        assert listing(tmp_path) == {name: OLD[name] for name in there}

    @pytest.mark.parametrize("replace", [False, True])
    @pytest.mark.parametrize(
        ("make", "sort"),
        [
            pytest.param(lambda path: path.mkdir(), "a directory", id="directory"),
            pytest.param(
                lambda path: path.symlink_to("elsewhere"), "a symbolic link", id="dangling link", marks=links
            ),
            pytest.param(
                lambda path: path.symlink_to(path.parent), "a symbolic link", id="link to a directory", marks=links
            ),
            pytest.param(
                lambda path: path.symlink_to(path.with_name("target")),
                "a symbolic link",
                id="link to a file",
                marks=links,
            ),
            pytest.param(lambda path: os.mkfifo(path), "no regular file", id="FIFO", marks=posix("pipes have names")),
        ],
    )
    def test_what_is_no_file_is_never_replaced(
        self, tmp_path: Path, make: Callable[[Path], object], sort: str, replace: bool
    ) -> None:
        (tmp_path / "target").write_bytes(b"of somebody else")
        make(tmp_path / "public")
        before = sorted(path.name for path in tmp_path.iterdir())
        with pytest.raises(ConfigurationError) as caught:
            write_together(pair(tmp_path), replace=replace)
        assert caught.value.message == f"{tmp_path / 'public'} is {sort}, and no file can be put there"
        assert caught.value.hint == "choose another path"
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert (tmp_path / "target").read_bytes() == b"of somebody else"

    @pytest.mark.parametrize("name", ["missing/public", "file/public"])
    def test_a_missing_folder_is_named(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigurationError) as caught:
            check_places([tmp_path / name], replace=True)
        folder = (tmp_path / name).parent
        assert caught.value.message == f"there is no folder {folder} to put public into"
        assert caught.value.hint == "make it first, or choose another"

    @modes
    @pytest.mark.parametrize("replace", [False, True])
    def test_a_private_file_has_its_mode_from_its_first_byte(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
    ) -> None:
        if replace:
            write_old(tmp_path, "private", "public")
        seen: list[tuple[int, int]] = []
        write, fsync = os.write, os.fsync

        def look(descriptor: int) -> None:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                seen.append((status.st_size, stat.S_IMODE(status.st_mode)))

        def spying_write(descriptor: int, content: bytes) -> int:
            look(descriptor)
            return write(descriptor, content)

        def spying_fsync(descriptor: int) -> None:
            look(descriptor)
            fsync(descriptor)

        monkeypatch.setattr(os, "write", spying_write)
        monkeypatch.setattr(os, "fsync", spying_fsync)
        before = os.umask(0)
        try:
            write_together(pair(tmp_path), replace=replace)
        finally:
            os.umask(before)
        # Empty, then whole: for each of the two.
        assert seen == [(0, 0o600), (11, 0o600), (0, 0o644), (10, 0o644)]

    def test_a_file_that_appears_meanwhile_is_never_overwritten(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fsync = os.fsync

        def somebody_is_quicker(descriptor: int) -> None:
            fsync(descriptor)
            (tmp_path / "public").write_bytes(b"theirs")

        monkeypatch.setattr(os, "fsync", somebody_is_quicker)
        with pytest.raises(ConfigurationError) as caught:
            write_together(pair(tmp_path), replace=False)
        assert caught.value.message == (
            f"{tmp_path / 'public'} appeared or changed while the key was being made, nothing was written"
        )
        assert caught.value.hint == "look at it, and choose other paths"
        assert listing(tmp_path) == {"public": b"theirs"}

    def test_a_folder_that_cannot_be_synced_is_no_failure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fsync = os.fsync

        def not_for_folders(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(22, "Invalid argument")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", not_for_folders)
        write_together(pair(tmp_path), replace=False)
        assert listing(tmp_path) == NEW

    @pytest.mark.parametrize("replace", [False, True])
    def test_without_posix_it_works_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
    ) -> None:
        monkeypatch.setattr(own_files, "MODES_MEAN_SOMETHING", False)
        write_together(pair(tmp_path), replace=replace)
        assert listing(tmp_path) == NEW


class Steps:
    """Counts what is asked of the operating system, and lets one such step fail, or be interrupted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.failing: int | None = None
        self.failure: Callable[[], object] = self.disk_is_full
        self.after = False
        for module, name in (*OPENING, (os, "fsync"), (os, "replace")):
            step = "open" if (module, name) in OPENING else name
            monkeypatch.setattr(module, name, self._watched(getattr(module, name), step))

    @staticmethod
    def disk_is_full() -> None:
        raise OSError(28, "No space left on device")

    def _watched(self, original: Callable[..., object], name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            number = len(self.names)
            self.names.append(name)
            if number == self.failing and not self.after:
                self.failure()
            result = original(*args, **kwargs)
            if number == self.failing and self.after:
                self.failure()
            return result

        return call


def _steps(*, there: int) -> list[str]:
    """What is asked of the system: two files staged, each put in place, one folder synced; Windows cannot do that."""
    stage, place_new, place_over = ["open", "fsync"], ["open", "replace"], ["replace", "replace"]
    placing = [place_over] * there + [place_new] * (2 - there)
    sync = ["open", "fsync"] if os.name == "posix" else []
    return [*stage * 2, *placing[0], *placing[1], *sync]


CASES = [
    pytest.param(there, number, after, id=f"{there} there, {'after' if after else 'at'} {number} {name}")
    for there in (0, 1, 2)
    for number, name in enumerate(_steps(there=there))
    for after in (False, True)
]
# Syncing a folder is the last thing, and its failure none; a file is opened, or it is not.
FAILING = [case for case in CASES if "at" in str(case.id) or "open" not in str(case.id)]
FAILING = [case for case in FAILING if case.values[1] not in (8, 9)]


class TestBothOrNeither:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path

    @staticmethod
    def old(folder: Path, there: int) -> dict[str, bytes]:
        names = ["private", "public"][:there]
        write_old(folder, *names)
        return {name: OLD[name] for name in names}

    @pytest.mark.parametrize("there", [0, 1, 2])
    def test_the_steps_are_the_ones_tried_here(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, there: int
    ) -> None:
        self.old(folder, there)
        steps = Steps(monkeypatch)
        write_together(pair(folder), replace=there > 0)
        assert steps.names == _steps(there=there)

    @pytest.mark.parametrize(("there", "number", "after"), FAILING)
    def test_whatever_fails_nothing_is_changed(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, there: int, number: int, after: bool
    ) -> None:
        before = self.old(folder, there)
        modes_before = {name: mode_of(folder / name) for name in before}
        steps = Steps(monkeypatch)
        steps.failing, steps.after = number, after
        with pytest.raises(OutputError) as caught:
            write_together(pair(folder), replace=there > 0)
        monkeypatch.undo()
        assert listing(folder) == before
        which = "private" if number in (0, 1, 4, 5) else "public"
        assert caught.value.message == (
            f"cannot write {folder / which}: No space left on device; nothing was changed"
        )
        assert caught.value.hint == "check that you may write in that folder and that the disk is not full"
        assert caught.value.exit_code == 2
        assert {name: mode_of(folder / name) for name in before} == modes_before

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize(("there", "step", "after"), CASES)
    def test_a_signal_at_any_step_leaves_things_as_they_were(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        there: int,
        step: int,
        after: bool,
        number: signal.Signals,
    ) -> None:
        before = self.old(folder, there)
        steps = Steps(monkeypatch)
        steps.failing, steps.after = step, after
        steps.failure = lambda: raise_signal(number)
        with pytest.raises(KeyboardInterrupt if number is signal.SIGINT else SystemExit):
            write_together(pair(folder), replace=there > 0)
        monkeypatch.undo()
        assert listing(folder) == before

    @pytest.fixture(autouse=True)
    def _leave(self) -> Iterator[None]:
        """SIGTERM as the command line takes it."""

        def exit_(*_: object) -> None:
            raise SystemExit(143)

        before = signal.signal(signal.SIGTERM, exit_)
        yield
        signal.signal(signal.SIGTERM, before)

    def test_a_second_ctrl_c_does_not_stop_the_tidying_up(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_old(folder, "private", "public")
        steps = Steps(monkeypatch)
        steps.failing = 7

        def twice() -> None:
            steps.failing = 8  # the first step of putting back
            steps.failure = lambda: raise_signal(signal.SIGINT)
            raise_signal(signal.SIGINT)
            raise OSError(5, "Input/output error")

        steps.failure = twice
        with pytest.raises(KeyboardInterrupt):
            write_together(pair(folder), replace=True)
        monkeypatch.undo()
        assert listing(folder) == OLD

    def test_in_another_thread_it_works_the_same(self, folder: Path) -> None:
        thread = threading.Thread(target=write_together, args=(pair(folder),), kwargs={"replace": False})
        thread.start()
        thread.join()
        assert listing(folder) == NEW

    def test_a_signal_that_is_ignored_stays_so(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        steps = Steps(monkeypatch)
        steps.failing = 2
        steps.failure = lambda: raise_signal(HANGUP)
        before = signal.signal(HANGUP, signal.SIG_IGN)  # as nohup does
        try:
            write_together(pair(folder), replace=False)
        finally:
            signal.signal(HANGUP, before)
        assert listing(folder) == NEW

    def test_a_signal_that_nobody_handles_waits_until_all_is_done(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It ends the process, so that here it is only looked at when; `test_keygen` lets one end."""
        raised: list[tuple[int, dict[str, bytes]]] = []
        monkeypatch.setattr(signal, "raise_signal", lambda number: raised.append((number, listing(folder))))
        write_old(folder, "private", "public")
        steps = Steps(monkeypatch)
        steps.failing = 0
        steps.failure = lambda: raise_signal(HANGUP)
        before = signal.signal(HANGUP, signal.SIG_DFL)
        try:
            write_together(pair(folder), replace=True)
        finally:
            signal.signal(HANGUP, before)
        assert raised == [(HANGUP, NEW)]

    def test_the_handlers_are_put_back(self, folder: Path) -> None:
        stopping = (signal.SIGINT, signal.SIGTERM, HANGUP)
        before = [signal.getsignal(number) for number in stopping]
        write_together(pair(folder), replace=False)
        assert [signal.getsignal(number) for number in stopping] == before

    def test_what_cannot_be_put_back_is_said(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_old(folder, "private", "public")
        replace = os.replace
        done: list[Path] = []

        def broken_after_three(source: Path, target: Path) -> None:
            done.append(source)
            if len(done) > 3:
                raise OSError(5, "Input/output error")
            replace(source, target)

        monkeypatch.setattr(os, "replace", broken_after_three)
        with pytest.raises(OutputError) as caught:
            write_together(pair(folder), replace=True)
        monkeypatch.undo()
        assert caught.value.message == f"cannot write {folder / 'public'}: Input/output error"
        assert len(caught.value.details) == 2
        for name, line in zip(("private", "public"), caught.value.details, strict=True):
            words = f"what was in {folder / name} is now in "
            assert line.startswith(words)
            assert Path(line.removeprefix(words)).read_bytes() == OLD[name]

    def test_what_cannot_be_removed_is_said(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*args: object, **kwargs: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "replace", broken)
        monkeypatch.setattr(os, "unlink", broken)
        with pytest.raises(OutputError) as caught:
            write_together(pair(folder), replace=False)
        assert caught.value.message == f"cannot write {folder / 'private'}: Input/output error"
        left = [line.removesuffix(" was left behind, remove it") for line in caught.value.details]
        assert sorted(left) == sorted(str(path) for path in folder.iterdir())

    def test_what_was_never_there_is_not_said_to_be_left_behind(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read_only(*args: object, **kwargs: object) -> None:
            raise OSError(30, "Read-only file system")

        with monkeypatch.context() as patch:
            for module, name in OPENING:
                patch.setattr(module, name, read_only)
            patch.setattr(os, "unlink", read_only)
            with pytest.raises(OutputError) as caught:
                write_together(pair(folder), replace=False)
        assert caught.value.message.endswith("Read-only file system; nothing was changed")
        assert caught.value.details == ()

    def test_an_old_file_that_cannot_be_removed_is_no_failure(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*args: object, **kwargs: object) -> None:
            raise OSError(5, "Input/output error")

        write_old(folder, "private", "public")
        monkeypatch.setattr(os, "unlink", broken)
        write_together(pair(folder), replace=True)
        assert NEW.items() <= listing(folder).items()

    def test_temporary_names_are_beside_the_file_and_never_the_same_twice(self, folder: Path) -> None:
        names = {own_files.temporary_name(folder / "private.pem") for _ in range(50)}
        assert len(names) == 50
        assert all(name.startswith(f"{folder / 'private.pem'}.") and name.endswith(".tmp") for name in names)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("private.pem", None),
        (r"C:\Users\Jörg Ä\key.pem ", None),
        (r"C:key.pem", None),
        (r"\\server\share\console.pem", None),
        (r"\\?\C:\nul", None),
        (r"C:\nullable\com10.pem", None),
        (r"C:\keys\nul", "nul is the name of a device"),
        (r"NUL.pem", "NUL.pem is the name of a device"),
        (r"con .pem", "con .pem is the name of a device"),
        (r"keys/lpt9/a.pem", "lpt9 is the name of a device"),
        (r"COM¹", "COM¹ is the name of a device"),
        (r"nul:", "nul: is the name of a device"),
        (r"\\.\nul", "it is a device"),
        (r"//./pipe/x", "it is a device"),
        (r"key.pem:hidden", "what follows : would be a hidden part of another file"),
        (r"C:\a:b\c", "what follows : would be a hidden part of another file"),
        (r"a*.pem", "Windows has no * in names"),
        (r'a"b', 'Windows has no " in names'),
        ("a\nb", r"Windows has no '\n' in names"),
    ],
)
def test_what_windows_gives_no_file_as_a_name(path: str, fault: str | None) -> None:
    assert fault_of_name(path) == fault
