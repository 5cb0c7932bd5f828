"""Run Windows' Python under Wine with pipes for its standard streams, and exit as it does.

    run_in_wine.py DIR ARGUMENTS...           the arguments of DIR/cpython/python.exe
    run_in_wine.py DIR wineboot ARGUMENTS...

Programs of Windows meet pipes alone: with a plain file as a standard stream, CPython under Wine 8 breaks in ways that
it does not on Windows.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

WINE = "/usr/lib/wine/wine64"
# What a Linux user's or machine's environment says of Linux alone; of Python's own variables few mean the same there.
_FOREIGN = ("VIRTUAL_ENV", "DISPLAY", "WAYLAND_DISPLAY", "LANG", "LANGUAGE", "WINEARCH", "WINESERVER", "WINELOADER")
_PYTHONS = (
    *("PYTHONUTF8", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONFAULTHANDLER"),
    *("PYTHONHASHSEED", "PYTHONLEGACYWINDOWSSTDIO"),
)
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _is_for_windows(name: str, value: str) -> bool:
    if name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        return not value.startswith("/etc/ssl/")  # some machines set them to Linux's store for every program
    if name.startswith("PYTHON") and not name.startswith("PYTHON_"):
        return name in _PYTHONS
    return name not in _FOREIGN and not name.startswith("LC_")


class Pump(threading.Thread):
    """Copies what comes out of one stream into another."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(daemon=True)
        self.source, self.target, self.busy, self.pieces = source, target, False, 0
        self.start()

    def run(self) -> None:
        """Copy until one of both ends."""
        try:
            while piece := os.read(self.source, 65_536):
                self.busy = True
                self.pieces += 1
                while piece:
                    piece = piece[os.write(self.target, piece) :]
                self.busy = False
        except OSError:
            self.busy = False  # its reader has gone
        os.close(self.source if self.source > 2 else self.target)

    def has_more(self) -> bool:
        """Return whether there is something left to copy."""
        if not self.is_alive():
            return False
        try:
            return self.busy or fcntl.ioctl(self.source, termios.FIONREAD, b"1234") != bytes(4)
        except OSError:
            return False


def _environment(folder: Path) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _is_for_windows(name, value)} | {
        "WINEPREFIX": str(folder / "prefix"),
        "WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=d",
        "WINEDEBUG": os.environ.get("WINEDEBUG", "-all"),
        "LC_ALL": "C.UTF-8",  # or Wine would not read names and arguments as UTF-8; Windows' code page is 1252 anyway
        "PYTHONPYCACHEPREFIX": "Z:" + str(folder / "pycache").replace("/", "\\"),
    }


def main(folder: Path, *arguments: str) -> int:
    """Run it, and return its exit code."""
    command = arguments if arguments[:1] == ("wineboot",) else (str(folder / "cpython" / "python.exe"), *arguments)
    # A pipe is left to the program: it may not want all of it, and what reads on in the same script may.
    as_it_is = _fits(0)
    child = subprocess.Popen(
        [WINE, *command],
        stdin=0 if as_it_is else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(folder),
        umask=0o077,  # Wine makes access rights of modes, and in a profile on Windows they are the user's alone
        preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # not to outlive this
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: child.send_signal(received))
    assert child.stdout is not None
    assert child.stderr is not None
    if child.stdin is not None:
        Pump(0, os.dup(child.stdin.fileno()))
        child.stdin.close()
    pumps = [Pump(os.dup(child.stdout.fileno()), 1), Pump(os.dup(child.stderr.fileno()), 2)]
    child.stdout.close()
    child.stderr.close()
    code = child.wait()
    # Services of Wine that it started may hold its pipes for long: wait for the end of what it wrote, not for theirs.
    before = None
    while any(one.has_more() for one in pumps) or before != (before := [one.pieces for one in pumps]):
        for one in pumps:
            one.join(0.03)
    return 128 - code if code < 0 else code


def _fits(descriptor: int) -> bool:
    """Return whether a stream can be given to Windows' Python as it is."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith(("pipe:", "/dev/null"))  # noqa: PTH115 - no path
    except OSError:
        return False


if __name__ == "__main__":
    os._exit(main(Path(sys.argv[1]), *sys.argv[2:]))
