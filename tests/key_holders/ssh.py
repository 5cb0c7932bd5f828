"""A real ssh-agent, and keys made for it."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.interop.conftest import START_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SshAgent:
    """A running agent.

    Attributes:
        process: it.
        place: where its socket is.
    """

    def __init__(self, process: subprocess.Popen[bytes], place: Path, folder: Path) -> None:
        self.process = process
        self.place = place
        self._folder = folder
        self._made = 0

    def run(self, *words: str | Path, said: str = "") -> str:
        """Run one of OpenSSH's programs, with the agent in its environment, and return its output."""
        done = subprocess.run(
            [*map(str, words)],
            env={**os.environ, "SSH_AUTH_SOCK": str(self.place), "SSH_ASKPASS_REQUIRE": "never"},
            input=said,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make(self, kind: str, bits: int, comment: str) -> Path:
        """Make a key, and return its file."""
        self._made += 1
        file = self._folder / f"key-{self._made}"
        self.run("ssh-keygen", "-q", "-t", kind, "-b", str(bits), "-N", "", "-C", comment, "-f", file)
        return file

    def key(self, kind: str, bits: int, comment: str) -> str:
        """Make a key, add it, and return its fingerprint as ssh-keygen has it."""
        file = self.make(kind, bits, comment)
        self.run("ssh-add", "-q", file)
        return self.run("ssh-keygen", "-l", "-f", file).split()[1]


@contextmanager
def running_ssh_agent(folder: Path) -> Iterator[SshAgent]:
    """Run one until the end of the block."""
    place = folder / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while not place.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield SshAgent(process, place, folder)
        finally:
            process.terminate()
