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
_LONGEST_PAUSE = 0.3


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
        descriptor = _lock(self._path, is_folder=self._is_folder)
        if descriptor is None:
            return False
        self._descriptor = descriptor
        if not self._is_folder:
            # Left behind by a killed process, it has a new holder: waiters see that, and no sweep removes it.
            with suppress(OSError):
                os.utime(self._path)
        return True

    def free(self) -> None:
        """Free the lock, if it was taken, and remove its file."""
        if self._descriptor is None:
            return
        _unlock(self._descriptor, self._path, is_folder=self._is_folder)
        self._descriptor = None

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
        began = time.monotonic()
        self._sleep(_PAUSE)
        # On a busy machine, and by the coarse clock of some Windows, a pause is longer; after a standby, much longer.
        passed = min(max(time.monotonic() - began, _PAUSE), _LONGEST_PAUSE)
        self.waited += passed
        self._waited_for_holder += passed

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
            remove(path)
            return True
    return False


if sys.platform != "win32":

    def _lock(path: str, *, is_folder: bool) -> int | None:
        """Return a descriptor that holds the lock; None if another process has it."""
        import fcntl

        if is_folder:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        else:
            descriptor = own_files.open_file(path, os.O_RDWR | os.O_CREAT)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _unlock(descriptor: int, path: str, *, is_folder: bool) -> None:
        # Removed first: another process that locks the open file after this sees that it is no longer in its place.
        if not is_folder and _is_at(descriptor, path):
            with suppress(OSError):
                os.unlink(path)
        os.close(descriptor)

    def _is_at(descriptor: int, path: str) -> bool:
        """Return whether an open file is still the one at its path."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(path))
        except OSError:
            return False

    def remove(path: str) -> None:
        """Remove a lock's file, whoever holds it: the next one to take the lock makes a new file."""
        os.unlink(path)

else:
    # Names of the Windows API.
    _READ_WRITE_DELETE = 0x80000000 | 0x40000000 | 0x00010000
    _SHARE_DELETE, _OPEN_ALWAYS = 4, 4
    _DELETE_ON_CLOSE, _OPEN_LINK_ITSELF = 0x04000000, 0x00200000
    _ACCESS_DENIED, _SHARING_VIOLATION = 5, 32

    def _lock(path: str, *, is_folder: bool) -> int | None:  # noqa: ARG001 - no folder can be locked there
        """Return a descriptor that holds the lock; None if another process has it.

        The file is open for one process at a time, and Windows removes it when it is closed, or its process killed.
        Others may rename it: a hung process cannot keep the name.
        """
        from banno_creds.storage.windows_security import descriptor_of, open_handle

        flags = _DELETE_ON_CLOSE | _OPEN_LINK_ITSELF
        try:
            handle = open_handle(path, _READ_WRITE_DELETE, _SHARE_DELETE, _OPEN_ALWAYS, flags)
        except OSError as failure:
            # A file that was removed while a virus scanner holds it is there, and refused, until the scanner is done.
            is_going = failure.winerror == _ACCESS_DENIED and os.path.isfile(path)
            if failure.winerror == _SHARING_VIOLATION or is_going:
                return None
            raise
        return descriptor_of(handle)

    def _unlock(descriptor: int, path: str, *, is_folder: bool) -> None:  # noqa: ARG001 - closing it removes it
        os.close(descriptor)

    def remove(path: str) -> None:
        """Remove a lock's file, whoever holds it: the next one to take the lock makes a new file."""
        # A file that is removed while it is open keeps its name until it is closed: renamed first, it gives it up.
        aside = own_files.temporary_name(path)
        os.rename(path, aside)
        os.unlink(aside)
