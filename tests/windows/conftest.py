"""The tests of this folder run on Windows alone: nowhere else is there what they look at."""

from __future__ import annotations

import sys

collect_ignore_glob = [] if sys.platform == "win32" else ["test_*.py"]
