"""The sign of life at a terminal: what is being waited for, from the first second on, and for how long.

It is one line on standard error, rubbed out when the wait is over. A terminal that cannot rub out gets a whole line,
and the next one ten seconds later. Imported only where standard error is a terminal.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from banno_creds import steps
from banno_creds.cli.report import ResultStream, encodable
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EVERY = 1.0  # seconds
_SOON = 0.3  # seconds less than one count as one: the clock that ticks and the one that is read are two
_EVERY_LINE = 10  # seconds
_MOST_COLUMNS = 100


def watch() -> None:
    """Show what this process waits for, from now on."""
    steps.watch(_Watcher().wait)


class _Watcher:
    """Writes the line once a second while something is waited for, and costs nothing before that."""

    def __init__(self) -> None:
        self._waits: list[tuple[str, float]] = []
        self._shown = 0  # how long the line on the screen is
        self._said = 0  # in seconds, for terminals that cannot rub out
        no_terminals = ("dumb",) if sys.platform == "win32" else ("", "dumb")  # a console has no name
        self._rubs_out = os.environ.get("TERM", "") not in no_terminals and not os.environ.get("NO_COLOR")
        self._clock = _Clock(self.tick)

    @contextmanager
    def wait(self, whom: str) -> Iterator[None]:
        """Tell of a wait while it lasts."""
        self._waits.append((whom, time.monotonic()))
        self._said = 0
        self._clock.start()
        try:
            yield
        finally:
            self._waits.pop()
            if not self._waits:
                self._clock.stop()
            self._write("\r" + " " * self._shown + "\r" if self._shown else "")
            self._shown = 0

    def tick(self) -> None:
        """Write the line anew."""
        if not self._waits:
            return
        whom, began = self._waits[-1]
        seconds = int(time.monotonic() - began + _SOON)
        if seconds < 1:
            return
        if ResultStream.current is not None:
            ResultStream.current.end_line()
        line = f"waiting for {printable(whom, 80)}… {seconds} s"
        if self._rubs_out:
            line = line[: self._columns() - 1]
            self._shown = max(self._shown, len(line))  # first: Ctrl-C may come before the next line of this program
            self._write(f"\r{line}")
        elif not self._said or seconds >= self._said + _EVERY_LINE:
            self._said = seconds
            self._write(f"{line}\n")

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(2).columns or _MOST_COLUMNS
        except OSError:
            return _MOST_COLUMNS

    def _write(self, text: str) -> None:
        with suppress(OSError):
            if sys.platform == "win32":  # a console takes characters; bytes it would take for its code page's
                sys.stderr.write(text)
                sys.stderr.flush()
            else:  # not through sys.stderr: a signal may come while that is being written
                os.write(2, encodable(text, sys.stderr).encode("utf-8", "replace"))


if sys.platform == "win32":
    import threading

    class _Clock:
        """Calls a function each second, from a thread of its own: Windows has no such signal."""

        def __init__(self, tick: Callable[[], None]) -> None:
            self._tick = tick
            self._over = threading.Event()
            self._thread: threading.Thread | None = None

        def start(self) -> None:
            """Begin, unless it has begun; without threads there is no sign of life."""
            if self._thread is None:
                self._over.clear()
                thread = threading.Thread(target=self._run, daemon=True)
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

        def stop(self) -> None:
            """End it; afterwards the function is not called any more."""
            self._over.set()
            if self._thread is not None:
                self._thread.join()
                self._thread = None

        def _run(self) -> None:
            while not self._over.wait(_EVERY):
                self._tick()

else:

    class _Clock:
        """Calls a function each second, by a signal: no thread."""

        def __init__(self, tick: Callable[[], None]) -> None:
            signal.signal(signal.SIGALRM, lambda _number, _frame: tick())

        def start(self) -> None:
            """Begin anew."""
            signal.setitimer(signal.ITIMER_REAL, _EVERY, _EVERY)

        def stop(self) -> None:
            """End it: a timer outlives this program if another one takes its place."""
            signal.setitimer(signal.ITIMER_REAL, 0)
