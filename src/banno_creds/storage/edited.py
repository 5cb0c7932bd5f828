"""Change a file that a user keeps: one process at a time, whole or not at all; its mode and its owner stay."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from banno_creds.errors import ConfigurationError, OutputError
from banno_creds.storage import own_files
from banno_creds.storage.lock import BusyError, Lock
from banno_creds.storage.secret_files import check_file_name, check_not_read_only, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 10  # seconds to wait for another process that changes the file


def change_file(file: str, change: Callable[[bytes], bytes]) -> bool:
    """Read a file, and write what ``change`` makes of its content; return whether that is anything else.

    A link is followed, and stays. If ``change`` raises, or returns the same content, nothing is written.

    Raises:
        ConfigurationError: the file is missing or cannot be read.
        OutputError: it cannot be written; it is as it was.
    """
    check_file_name(file)
    target = os.path.realpath(file)
    with cannot_write(file):
        check_target(target)
        content = read_file(Path(target))  # a missing one is no place for a lock
        with locked(target):
            content = read_file(Path(target))
            changed = change(content)
            if changed == content:
                return False
            rewrite(target, changed)
    return True


def check_target(target: str) -> None:
    """Refuse what is no file, such as /dev/null, and a file that is read-only on Windows; ConfigurationError."""
    if Path(target).exists() and not Path(target).is_file():
        raise ConfigurationError(f"{target} is no file, and cannot be changed", hint="name another file")
    check_not_read_only(target)


def rewrite(target: str, content: bytes) -> None:
    """Replace a file, with the mode and the owner it had; by sudo, root leaves no file of its own.

    Raises:
        OSError: the system refused; the file is as it was.
    """
    folder = Path(target).parent
    try:
        like = Path(target).stat()
    except FileNotFoundError:
        like = folder.stat()
    own_files.write(target, content, like=like)
    own_files.sync_folder(folder)


@contextmanager
def cannot_write(file: str) -> Iterator[None]:
    """Turn the system's refusal into an OutputError that names the file."""
    try:
        yield
    except OSError as failure:
        raise OutputError(
            f"cannot write {file}: {failure.strerror or failure}; nothing was changed",
            hint=own_files.hint_for(failure, "check that you may write in that folder and that the disk is not full"),
        ) from None


@contextmanager
def locked(target: str) -> Iterator[None]:
    """Let one process at a time change a file.

    Raises:
        ConfigurationError: another one has been changing it for too long.
    """
    # The folder is locked: a lock file would be left behind, and others could put a link in its place.
    place = Path(target)
    is_folder = sys.platform != "win32"  # where no folder can be locked
    path = place.parent if is_folder else place.with_name(f".{place.name}.lock")
    with Lock(str(path), _PATIENCE, time.sleep, is_folder=is_folder) as lock:
        try:
            lock.wait()
        except BusyError:
            raise ConfigurationError(
                f"another process has been changing {target} for {_PATIENCE} s",
                hint="look for a banno-creds that hangs, and end it",
            ) from None
        except OSError as failure:
            if failure.filename is not None:
                raise
            # The file system has no locks; two people seldom change the file at the same moment.
        else:
            own_files.remove_unfinished(target)
        yield
