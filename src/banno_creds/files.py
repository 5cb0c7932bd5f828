"""Files that hold secrets: read with care, written whole or not at all. What is POSIX-only lives here.

On Windows a file's mode says nothing about who may read it: there the checks of modes are left out, and the
access rights of the folder (by default, the user's own profile) are what protects a key.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from banno_creds.errors import BannoCredsError, ConfigurationError, KeyLoadError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MODES_MEAN_SOMETHING = os.name == "posix"

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644

# No key, passphrase or JWK Set comes near this; a mistyped path to a disk image does.
MOST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """What was in a file that should be its owner's alone."""

    content: bytes = field(repr=False)
    readable_by_others: bool
    mode: int


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
    """Read a private key's file, and look who else may read or change it.

    The mode is that of the opened file itself, so that nobody can change it between the look and the read.

    Args:
        path: the file; a pipe such as ``/dev/fd/63`` will do.
        allow_writable: whether a file that others can write is taken all the same.

    Returns:
        Its content, and whether others can read it.

    Raises:
        KeyLoadError: it is missing, a directory, not readable, too large, or others can write it.
    """
    content, status = _read(path, MOST_BYTES, KeyLoadError)
    mode = stat.S_IMODE(status.st_mode)
    # A pipe or a device has no mode worth judging.
    judged = MODES_MEAN_SOMETHING and stat.S_ISREG(status.st_mode)
    if judged and mode & (stat.S_IWGRP | stat.S_IWOTH) and not allow_writable:
        raise KeyLoadError(
            f"others can write the private key {path} (mode {mode:04o}), so nobody knows whose key it is",
            hint=f"chmod 600 {path}, or add --allow-writable-key if you know why it is so",
        )
    return PrivateFile(content, judged and bool(mode & (stat.S_IRGRP | stat.S_IROTH)), mode)


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
        if path.is_dir():  # Windows reports a directory as a lack of permission
            raise error(f"{path} is a directory", hint="name the file in it") from None
        words = getattr(failure, "strerror", None) or str(failure)
        raise error(f"cannot read {path}: {words}", hint="check who owns it and its mode") from None
    if len(content) > most:
        raise error(f"{path} is larger than {most // 1024} KiB", hint="check that it is the file you mean")
    return content, status


def write_together(files: Sequence[NewFile], *, replace: bool) -> None:
    """Write several files so that all of them are there afterwards, or none is changed.

    Each is written in full to a temporary file beside its place, with its final mode from the first byte, and
    then renamed into it. A free name is reserved with ``O_EXCL`` before that, so that a file which appears
    meanwhile is never overwritten. Whatever fails, what was there before is put back.

    Args:
        files: what to write.
        replace: whether existing files may be replaced.

    Raises:
        ConfigurationError: a file exists and ``replace`` is false.
        OutputError: the operating system would not let us.
    """
    existing = [str(file.path) for file in files if os.path.lexists(file.path)]
    if existing and not replace:
        verb = "exists" if len(existing) == 1 else "exist"
        raise ConfigurationError(
            f"{' and '.join(existing)} {verb} already, nothing was written",
            hint="add --force to replace, or choose other paths",
        )
    staged: list[Path] = []
    set_aside: list[Path] = []
    undo: list[Callable[[], object]] = []
    try:
        for file in files:
            _stage(file, staged)
        for file, source in zip(files, staged, strict=True):
            if replace and os.path.lexists(file.path):
                set_aside.append(_set_aside(file.path, undo))
            else:
                _reserve(file, undo)
            source.replace(file.path)
        for folder in {file.path.parent for file in files}:
            _sync_folder(folder)
    except BaseException as failure:
        for step in reversed(undo):
            with contextlib.suppress(OSError):
                step()
        _remove(staged)
        if isinstance(failure, OSError):
            raise _not_written(files, failure) from None
        raise
    # Only now: until the last step what was there before is kept.
    _remove(set_aside)


def _stage(file: NewFile, staged: list[Path]) -> None:
    """Write a file's content beside its place."""
    path = _beside(file.path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    staged.append(path)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(stream.fileno())


def _reserve(file: NewFile, undo: list[Callable[[], object]]) -> None:
    """Take a free name, so that nothing which appears there meanwhile is overwritten."""
    os.close(os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode))
    undo.append(lambda: file.path.unlink(missing_ok=True))


def _set_aside(path: Path, undo: list[Callable[[], object]]) -> Path:
    """Move an existing file out of the way, and know the way back."""
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    aside = _beside(path)
    path.replace(aside)
    undo.append(lambda: aside.replace(path))
    return aside


def _beside(path: Path) -> Path:
    """Name a new file in the same folder, so that a rename to or from it is atomic."""
    return path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the renames themselves survive a power cut, where the system can."""
    if not MODES_MEAN_SOMETHING:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_written(files: Sequence[NewFile], failure: OSError) -> BannoCredsError:
    names = " and ".join(str(file.path) for file in files)
    if isinstance(failure, FileExistsError):
        return ConfigurationError(
            f"{failure.filename} appeared while the key pair was being made, nothing was written",
            hint="add --force to replace it, or choose other paths",
        )
    return OutputError(
        f"cannot write {names}: {failure.strerror or failure}; nothing was changed",
        hint="check that the folder exists, that you may write there and that the disk is not full",
    )
