"""What Wine 8 does otherwise than Windows, and the command line relies on. BANNO_CREDS_WINE_AS_IS=1 leaves it."""

import errno
import os
import sys

if sys.platform == "win32" and os.environ.get("BANNO_CREDS_WINE_AS_IS") != "1":
    import msvcrt

    # Wine's leaves errno at 0 where Windows' says EACCES: without this nobody could wait for a lock.
    def _locking(descriptor: int, mode: int, count: int, _wine=msvcrt.locking) -> None:
        try:
            return _wine(descriptor, mode, count)
        except OSError as failure:
            if failure.errno == 0:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES)) from None
            raise

    msvcrt.locking = _locking
