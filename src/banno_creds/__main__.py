"""The entry point: ``banno-creds`` and ``python -m banno_creds``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    # A run is over before garbage could gather; collecting during the imports costs 5 % of it.
    gc.disable()
    try:
        from banno_creds.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # Ctrl-C while the imports were still under way
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
