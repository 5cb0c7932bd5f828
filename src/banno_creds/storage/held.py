"""Files that another program holds open: Windows lets nobody read, replace or remove them, and this waits for it.

A virus scanner, an indexer or a backup opens a file as soon as it is written, mostly for less than a second.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_HELD_SECONDS = 1.5
_DENIED_SECONDS = 0.2  # a file that is being removed just now is refused like one without rights
_PAUSE_SECONDS = 0.01

# Names of the Windows API.
_GENERIC_READ, _DELETE = 0x80000000, 0x00010000
_SHARE_ALL, _OPEN_EXISTING, _BACKUP_SEMANTICS = 7, 3, 0x02000000
_IN_USE = (32, 33)  # ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION


def try_again(act: Callable[[], T], paths: Sequence[str | os.PathLike[str]], error: type[OSError]) -> T:
    """Do something with files again until it works, for a moment; ``error`` if another program still holds one.

    Raises:
        OSError: the system refused for another reason.
    """
    began = time.monotonic()
    while True:
        time.sleep(_PAUSE_SECONDS)
        try:
            return act()
        except PermissionError as failure:
            if any(os.path.isdir(path) for path in paths):  # noqa: PTH112 - as in `own_files`
                raise
            held = _held(paths)
            if time.monotonic() - began >= (_DENIED_SECONDS if held is None else _HELD_SECONDS):
                if held is None:
                    raise
                raise error(failure.errno, "another program holds it open", os.fspath(held)) from None


def _held(paths: Sequence[str | os.PathLike[str]]) -> str | os.PathLike[str] | None:
    """Return which of the files that were refused is in use; None if it is the rights that are missing."""
    states = [_is_in_use(path) for path in paths]
    if True in states:
        return paths[states.index(True)]
    # All free, they were let go of just now; or the one to be replaced is held by a program that shares all the same.
    return None if False in states else paths[-1]


if sys.platform == "win32":

    def _is_in_use(path: str | os.PathLike[str]) -> bool | None:
        """Return whether a file is in use, rather than refused for lack of rights; None if it is free."""
        from banno_creds.storage.windows_security import close_handle, open_handle

        refused = None
        for access in (_GENERIC_READ, _DELETE):
            try:
                handle = open_handle(os.fspath(path), access, _SHARE_ALL, _OPEN_EXISTING, _BACKUP_SEMANTICS)
            except FileNotFoundError:
                return None
            except OSError as failure:
                if failure.winerror in _IN_USE:
                    return True
                refused = False
            else:
                close_handle(handle)
        return refused

else:

    def _is_in_use(path: str | os.PathLike[str]) -> bool | None:  # noqa: ARG001 - nothing is held elsewhere
        return False
