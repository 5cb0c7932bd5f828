"""The entry point: ``banno-creds`` and ``python -m banno_creds``."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line and exit with its code."""
    # A run is over before garbage could gather; collecting during the imports costs 5 % of it.
    gc.disable()
    try:
        from banno_creds.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # Ctrl-C while the imports were still under way
        code = 130
    except SystemExit as end:  # SIGTERM
        code = int(end.code or 0)
    # What remains is Python taking its modules apart one by one: 7 ms, for memory that the system takes back anyway.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # whoever read it has gone; it is closed; it is None
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
