"""The sandbox as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def running_sandbox(
    *args: str | Path, log: Path, env: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A sandbox as a process, and its token endpoint."""
    command = [sys.executable, "-m", "banno_creds", "sandbox", "--port", "0", *map(str, args)]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=env, encoding="utf-8") as running,
    ):
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line.startswith("sandbox ready: "), log.read_text("utf-8")
            yield running, line.split()[-1]
        finally:
            running.kill()
