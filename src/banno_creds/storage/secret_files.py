"""Files that hold secrets: read with care, written whole or not at all. What is POSIX-only lives here.

On Windows a file's mode says nothing about who may read it: there the checks of modes are left out, and the
access rights of the folder (by default, the user's own profile) are what protects a key.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from banno_creds.errors import BannoCredsError, ConfigurationError, KeyLoadError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MODES_MEAN_SOMETHING = os.name == "posix"

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644

# No key, passphrase or JWK Set comes near this; a mistyped path to a disk image does.
MOST_BYTES = 1024 * 1024

# What asks a process to end. SIGHUP is missing on Windows.
_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """What was in a file that should be its owner's alone."""

    content: bytes = field(repr=False)
    warnings: tuple[tuple[str, str], ...] = ()  # what is not as it should be, and what to do


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written: where, what, and who may read it."""

    path: Path
    content: bytes = field(repr=False)
    mode: int


def read_file(path: Path, *, most: int = MOST_BYTES, error: type[BannoCredsError] = ConfigurationError) -> bytes:
    """Read a whole file of bounded size.

    Args:
        path: the file; a pipe such as ``/dev/fd/63`` will do.
        most: the most bytes it may hold.
        error: what to raise.

    Returns:
        What it holds.

    Raises:
        BannoCredsError: of the class ``error``: it is missing, a directory, not readable or too large.
    """
    return _read(path, most, error)[0]


def read_private_file(path: Path, *, allow_writable: bool = False) -> PrivateFile:
    """Read a file with a secret, such as a private key, and look who else may read or change it.

    The mode is that of the opened file itself, so that nobody can change it between the look and the read.

    Args:
        path: the file; a pipe such as ``/dev/fd/63`` will do.
        allow_writable: whether a file that others can write is taken all the same.

    Returns:
        Its content, and warnings: others can read it, or can put another file in its place.

    Raises:
        KeyLoadError: it is missing, a directory, not readable, too large, or others can write it.
    """
    content, status = _read(path, MOST_BYTES, KeyLoadError)
    # A pipe or a device has no mode worth judging.
    if not MODES_MEAN_SOMETHING or not stat.S_ISREG(status.st_mode):
        return PrivateFile(content)
    mode, quoted = stat.S_IMODE(status.st_mode), shlex.quote(str(path))
    if not allow_writable:
        _refuse_what_others_write(path, mode, status.st_uid)
    warnings = []
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.append((f"others can read {path} (mode {mode:04o})", f"chmod 600 {quoted}"))
    folder = os.stat(path.parent).st_mode  # noqa: PTH116
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        message = f"others can put another file in the place of {path}: everybody can write its folder"
        warnings.append((message, f"chmod o-w {shlex.quote(str(path.parent))}"))
    return PrivateFile(content, tuple(warnings))


def _refuse_what_others_write(path: Path, mode: int, owner: int) -> None:
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyLoadError(
            f"others can write the private key {path} (mode {mode:04o}), so nobody knows whose key it is",
            hint=f"chmod 600 {shlex.quote(str(path))}, or add --allow-writable-key if you know why it is so",
        )
    # root reads what is others' on purpose, in containers above all; and what is root's only root can change.
    if os.geteuid() not in (0, owner) and owner != 0:
        raise KeyLoadError(
            f"the private key {path} belongs to another user, who can change it",
            hint="make a copy of your own, or add --allow-writable-key if you know why it is so",
        )


def _read(path: Path, most: int, error: type[BannoCredsError]) -> tuple[bytes, os.stat_result]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(most + 1)
    except FileNotFoundError:
        raise error(
            f"no such file: {path}", hint="check the path; a relative one counts from the current folder"
        ) from None
    except IsADirectoryError:
        raise error(f"{path} is a directory", hint="name the file in it") from None
    except (OSError, ValueError) as failure:
        # Windows reports a directory as a lack of permission. Path.is_dir() would fail for want of one itself.
        if os.path.isdir(path):  # noqa: PTH112
            raise error(f"{path} is a directory", hint="name the file in it") from None
        words = getattr(failure, "strerror", None) or str(failure)
        raise error(f"cannot read {path}: {words}", hint="check who owns it and its mode") from None
    if len(content) > most:
        raise error(f"{path} is larger than {most // 1024} KiB", hint="check that it is the file you mean")
    return content, status


def check_places(paths: Sequence[Path], *, replace: bool) -> None:
    """Make sure that files can be put somewhere, before any work is done for them.

    Args:
        paths: where they are to go.
        replace: whether existing files may be replaced.

    Raises:
        ConfigurationError: a folder is missing, a file exists and ``replace`` is false, or something other than a
            file is in the place. A symbolic link is never replaced and never followed: what was meant is not known.
    """
    for path in paths:
        sort = _what_is_no_file(path)
        if sort is not None:
            raise ConfigurationError(f"{path} is {sort}, and no file can be put there", hint="choose another path")
        if not os.path.isdir(path.parent):  # noqa: PTH112 - as above
            raise ConfigurationError(
                f"there is no folder {path.parent} to put {path.name} into", hint="make it first, or choose another"
            )
    existing = [str(path) for path in paths if os.path.lexists(path)]
    if existing and not replace:
        verb = "exists" if len(existing) == 1 else "exist"
        raise ConfigurationError(
            f"{' and '.join(existing)} {verb} already, nothing was written",
            hint="add --force to replace, or choose other paths",
        )


def _what_is_no_file(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"


def write_together(files: Sequence[NewFile], *, replace: bool) -> None:
    """Write several files so that all of them are there afterwards, or none is changed.

    Each is written in full to a temporary file beside its place, with its final mode from the first byte, and
    then renamed into it. A free name is reserved with ``O_EXCL`` before that, so that a file which appears
    meanwhile is never overwritten. Whatever fails, what was there before is put back. Ctrl-C and SIGTERM are
    heard at the end, when all can still be undone.

    Args:
        files: what to write.
        replace: whether existing files may be replaced.

    Raises:
        ConfigurationError: see `check_places`.
        OutputError: the operating system would not let us.
    """
    check_places([file.path for file in files], replace=replace)
    places = [_Place(file, _beside(file.path), _beside(file.path)) for file in files]
    with _signals_held() as hear_signals:
        at = files[0].path
        try:
            for place in places:
                at = place.file.path
                place.stage()
            for place in places:
                at = place.file.path
                place.take(replace=replace)
            for folder in {file.path.parent for file in files}:
                _sync_folder(folder)
            hear_signals()
        except BaseException as failure:
            left = tuple(line for place in places for line in place.put_back())
            if isinstance(failure, OSError):
                raise _not_written(at, failure, left) from None
            raise
        # Only now: until the last step what was there before is kept.
        for place in places:
            with contextlib.suppress(OSError):
                place.aside.unlink(missing_ok=True)


@dataclass(slots=True)
class _Place:
    """A file on its way: where it waits, and where what was there before it is kept."""

    file: NewFile
    staged: Path
    aside: Path
    reserved: bool = False

    def stage(self) -> None:
        """Write the content beside its place."""
        descriptor = os.open(self.staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.file.mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(self.file.content)
            stream.flush()
            os.fsync(stream.fileno())

    def take(self, *, replace: bool) -> None:
        """Set aside what is there, or take the free name so that nothing else can; then move in."""
        path = self.file.path
        if replace and os.path.lexists(path):
            path.replace(self.aside)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.file.mode))
            self.reserved = True
        self.staged.replace(path)

    def put_back(self) -> list[str]:
        """Undo what was done, as far as it was; say what could not be undone."""
        left = []
        try:
            if os.path.lexists(self.aside):
                self.aside.replace(self.file.path)
            elif self.reserved:
                self.file.path.unlink(missing_ok=True)
        except OSError:
            left.append(
                f"what was in {self.file.path} is now in {self.aside}"
                if os.path.lexists(self.aside)
                else f"{self.file.path} was left behind, remove it"
            )
        try:
            # Looked for first: where nothing can be written, there is another error for what is not there either.
            if os.path.lexists(self.staged):
                self.staged.unlink(missing_ok=True)
        except OSError:
            left.append(f"{self.staged} was left behind, remove it")
        return left


@contextlib.contextmanager
def _signals_held() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C and SIGTERM wait; what is given lets those through whose handlers raise an exception.

    A signal that ends the process at once waits for the end, for nothing could be tidied up after it.
    """
    import threading

    handlers = {}
    if threading.current_thread() is threading.main_thread():  # no other is ever interrupted
        # One that is ignored stays so; None is a handler that is not Python's.
        found = {number: signal.getsignal(number) for number in _STOPPING}
        handlers = {number: it for number, it in found.items() if callable(it) or it is signal.SIG_DFL}
    waiting: list[int] = []

    def hear_signals() -> None:
        for number in list(waiting):
            handler = handlers[number]
            if callable(handler):
                waiting.remove(number)
                handler(number, None)

    try:
        with contextlib.ExitStack() as restored:
            for number, handler in handlers.items():
                restored.callback(signal.signal, number, handler)
                signal.signal(number, lambda number, _: waiting.append(number))
            yield hear_signals
    finally:
        for number in waiting:
            signal.raise_signal(number)


def _beside(path: Path) -> Path:
    """Name a new file in the same folder, so that a rename to or from it is atomic."""
    return path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")


def _sync_folder(folder: Path) -> None:
    """Make the renames themselves survive a power cut, where the system can; not all file systems can."""
    if not MODES_MEAN_SOMETHING:
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _not_written(path: Path, failure: OSError, left: tuple[str, ...]) -> BannoCredsError:
    if isinstance(failure, FileExistsError):
        return ConfigurationError(
            f"{path} appeared while the key was being made, nothing was written",
            hint="add --force to replace it, or choose other paths",
            details=left,
        )
    return OutputError(
        f"cannot write {path}: {failure.strerror or failure}" + ("" if left else "; nothing was changed"),
        hint="check that you may write in that folder and that the disk is not full",
        details=left,
    )
