"""The user's browser, opened from the command line, or the address shown where there is none."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from banno_creds.child import without_secrets

if TYPE_CHECKING:
    from banno_creds.cli.report import Report


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
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    # In a process of its own: some browsers write to standard output, which is for the result, and some keep the
    # caller waiting until they are closed. Isolated, so that it loads nothing from the current folder.
    try:
        subprocess.Popen(  # it outlives us
            [sys.executable, "-I", "-m", "webbrowser", url],
            env=without_secrets(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    return True


def _is_headless() -> bool:
    """Return whether there is no screen: only a browser in this very terminal could be opened."""
    if sys.platform in ("win32", "darwin") or os.environ.get("BROWSER"):
        return False
    return not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
