"""The one lock: for what only one process may do at a time, such as using a refresh token.

It is the operating system's own lock on an open file, so the lock of a process that is killed is free at once.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE = 0.03  # seconds between two attempts


class BusyError(OSError):
    """Another process held the lock for longer than the caller wanted to wait."""


class Lock:
    """A lock, and how long its caller has waited for it. As a context manager it frees the lock at the end.

    Args:
        path: the lock file, made by `take` and removed by `free`.
        patience: how long to wait for one holder, in seconds.
        sleep: called with the seconds to pause.
        is_folder: lock an existing folder instead of a file; never on Windows, where that is impossible.

    Attributes:
        waited: how long this caller has waited, in seconds.
        holder: the identity of the lock file that was in the way last; None until `remove_if_hung` looked at it.
        holders: how many different holders were in the way.
    """

    def __init__(
        self,
        path: str,
        patience: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        *,
        is_folder: bool = False,
    ) -> None:
        self.waited = 0.0
        self.holder: str | None = None
        self.holders = 0
        self._path = path
        self._patience = patience
        self._sleep = sleep
        self._is_folder = is_folder
        self._waited_for_holder = 0.0
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def take(self) -> bool:
        """Take the lock if it is free; False while somebody else holds it.

        Raises:
            OSError: the file cannot be opened (the error has its name), or its file system has no locks.
        """
        descriptor = self._open()
        try:
            if _lock_descriptor(descriptor) and _is_at(descriptor, self._path):
                if not self._is_folder:
                    # Left behind by a killed process, it has a new holder: waiters see that, and no sweep removes it.
                    with suppress(OSError):
                        os.utime(self._path)
                self._descriptor = descriptor
                return True
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return False

    def free(self) -> None:
        """Free the lock, if it was taken, and remove its file."""
        if self._descriptor is None:
            return
        # Removed first: another process that locks the open file after this sees that it is no longer in its place.
        if not self._is_folder and _is_at(self._descriptor, self._path):
            with suppress(OSError):
                os.unlink(self._path)
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> int:
        if self._is_folder and sys.platform != "win32":
            return os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        return own_files.open_file(self._path, os.O_RDWR | os.O_CREAT)

    def wait(self) -> None:
        """Take the lock; wait while somebody else holds it.

        Raises:
            BusyError: the patience is over. The lock is not taken from its holder.
            OSError: see `take`.
        """
        while not self.take():
            if self.waited >= self._patience:
                raise BusyError(None, f"another process has been at it for {self._patience:g} s")
            self.pause()

    def pause(self) -> None:
        """Wait a moment before the next attempt."""
        self._sleep(_PAUSE)
        self.waited += _PAUSE
        self._waited_for_holder += _PAUSE

    def remove_if_hung(self) -> bool:
        """Remove the lock file of a process that has held it for longer than the patience.

        True if this caller removed it. The next one to take the lock makes a new file.
        """
        identity = own_files.identity(self._path)
        if identity != self.holder:
            self.holder, self._waited_for_holder = identity, 0.0
            self.holders += bool(identity)
        return self._waited_for_holder >= self._patience and remove_stale(self._path, identity)


def remove_stale(path: str, identity: str) -> bool:
    """Remove a stale lock file. Exactly one waiter removes it; a new holder's lock is never removed."""
    # A second lock decides who removes it. It is held so briefly that nobody needs to wait for it.
    with suppress(OSError), Lock(path + own_files.UNFINISHED) as removal:
        if removal.take() and own_files.identity(path) == identity:
            os.unlink(path)
            return True
    return False


if sys.platform != "win32":

    def _lock_descriptor(descriptor: int) -> bool:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

else:

    def _lock_descriptor(descriptor: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True


def _is_at(descriptor: int, path: str) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False
