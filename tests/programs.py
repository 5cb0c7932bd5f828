"""Small programs for tests to run on every system: Python in the place of a shell's `echo`, `cat` and `printenv`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# What they write is the same bytes everywhere; without `site`, they start sooner.
_FORE = """\
import os, sys
for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(encoding="utf-8", newline="\\n")
"""


def python(code: str, *arguments: str) -> list[str]:
    """Return the command line of a program; `os` and `sys` are imported, and a line ends with \\n."""
    return [sys.executable, "-S", "-c", _FORE + code, *arguments]


def echo(*words: str) -> list[str]:
    """Return the command line of a program that prints its arguments."""
    return python("print(*sys.argv[1:])", *words)


def variable(name: str) -> list[str]:
    """Return the command line of a program that prints a variable of its environment."""
    return python("print(os.environ[sys.argv[1]])", name)


ENVIRONMENT = python("print(*(f'{name}={value}' for name, value in os.environ.items()), sep='\\n')")
NOTHING = python("")  # as `true`
CAT = python("sys.stdout.buffer.write(sys.stdin.buffer.read())")


def write_program(folder: Path, name: str, code: str) -> Path:
    """Write a program that is run by its name alone, and return where it is: on Windows, ``NAME.cmd``."""
    source = folder / f"{name}.py"
    source.write_text(_FORE + code, encoding="utf-8")
    if sys.platform == "win32":
        path = folder / f"{name}.cmd"
        path.write_text(f'@"{sys.executable}" -S "{source}" %*\n')
    else:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{source}" "$@"\n')
        path.chmod(0o755)
    return path
