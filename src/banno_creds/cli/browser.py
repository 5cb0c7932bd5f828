"""The user's browser, opened from the command line, or the address shown where there is none."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from banno_creds.child import core_limits, without_secrets

if TYPE_CHECKING:
    import subprocess

    from banno_creds.cli.report import Report


_openers: list[subprocess.Popen[bytes]] = []  # nobody waits for them
_FOUND = b"found"
# It says whether there is a browser, and closes the pipe before it opens one; Windows tells at once whether it did.
_OPENER = """
import os, sys, webbrowser
if sys.argv[2]:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_CORE)[1]))
if sys.argv[3]:
    with open("/proc/self/coredump_filter", "w") as memory:
        memory.write(sys.argv[3])
try:
    browser = webbrowser.get()
except webbrowser.Error:
    sys.exit(1)
if isinstance(browser, getattr(webbrowser, "WindowsDefault", ())):
    if not browser.open(sys.argv[1]):
        sys.exit(1)
    sys.argv[1] = ""
os.write(1, b"found")
os.dup2(0, 1)
if sys.argv[1]:
    browser.open(sys.argv[1])
"""


def show(url: str, report: Report, *, opens: bool) -> bool:
    """Open the address of a login in the browser, or ask the user to; return whether a browser was opened."""
    if opens and open_browser(url):
        # Whether it works is not known here: some browsers fail long after they were started.
        if not report.quiet:
            report.note("If no browser opens: Ctrl-C, then --no-browser shows the address.")
        return True
    report.note("Open this address in a browser:")
    report.verbatim(url)
    return False


def open_browser(url: str) -> bool:
    """Start a browser with an address; return whether one was found. It may still fail later."""
    if _is_headless():
        return False
    import subprocess

    # In a process of its own: some browsers write to standard output, which is for the result, and some keep the
    # caller waiting until they are closed; and to look for one starts other programs, which get no secret either.
    # Isolated, so that it loads nothing from the current folder.
    try:
        opener = subprocess.Popen(  # it outlives us
            [sys.executable, "-I", "-c", _OPENER, url, *core_limits()],
            env=without_secrets(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    _openers.append(opener)
    assert opener.stdout is not None  # noqa: S101 - for the type checker: it was asked for
    with opener.stdout as answer:
        return answer.read() == _FOUND


def _is_headless() -> bool:
    """Return whether there is no screen: only a browser in this very terminal could be opened."""
    has_screen = sys.platform in ("win32", "darwin")
    return not (has_screen or any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")))
