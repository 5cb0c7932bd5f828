"""A real terminal, and what a program shows on it."""

from __future__ import annotations

import errno
import os
import re
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if sys.platform != "win32":  # every test that uses it carries the mark `posix`
    import fcntl
    import pty
    import termios

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]

_SGR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Seen:
    """What a program showed on a terminal, and what it wrote into pipes."""

    code: int
    screen: str
    stdout: str = ""
    stderr: str = ""

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, without colours."""
        return _SGR.sub("", self.screen).split("\n")


def at_terminal(
    *args: str, env: Mapping[str, str] | None = None, stdout: bool = False, stderr: bool = True, columns: int = 80
) -> Seen:
    """Run Python with some of its streams at a real pseudo-terminal, the others in pipes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, *args],
        cwd=ROOT,
        env=os.environ | {"TERM": "xterm-256color", "COLORTERM": ""} | dict(env or {}),
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout else subprocess.PIPE,
        stderr=theirs if stderr else subprocess.PIPE,
    ) as child:
        os.close(theirs)
        screen = bytearray()
        try:
            while chunk := os.read(ours, 65_536):
                screen += chunk
        except OSError as failure:  # Linux says so when the last writer has gone
            assert failure.errno == errno.EIO  # noqa: PT017
        finally:
            os.close(ours)
        out, err = child.communicate(timeout=60)
    text = screen.decode().replace("\r\n", "\n")
    return Seen(child.returncode, text, (out or b"").decode(), (err or b"").decode())
