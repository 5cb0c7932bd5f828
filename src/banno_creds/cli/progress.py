"""How far a run over many profiles is: one line with a bar at a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, Self

from banno_creds.cli.report import Report, console_of
from banno_creds.cli.rows import counted
from banno_creds.times import duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from banno_creds.cli.rows import Row

_EVERY = 10.0  # seconds between two plain lines
_NARROW = 60  # columns below which the counts need the bar's room


class Told(Protocol):
    """Is told of each row."""

    def add(self, row: Row) -> None:
        """Tell of one more."""


def progress(total: int, report: Report, *, streams: bool) -> AbstractContextManager[Told | None]:
    """Return what shows how far it is, while it is entered.

    Args:
        total: how many rows there will be.
        report: shows the plain lines, unless it is quiet; nothing is shown if it is silent.
        streams: whether rows are written to standard output while they come: at a terminal they are enough.
    """
    if report.silent or sys.stderr is None or total < 2:
        return nullcontext()
    lines = nullcontext() if report.quiet else _Lines(total, report)
    if not sys.stderr.isatty():
        return lines
    if streams and sys.stdout is not None and sys.stdout.isatty():
        return nullcontext()
    no_terminals = ("dumb",) if sys.platform == "win32" else ("", "dumb")  # a console has no name
    rubs_out = os.environ.get("TERM", "") not in no_terminals and not os.environ.get("NO_COLOR")
    return _Bar(total) if rubs_out else lines


class _Lines:
    """A plain line every ten seconds."""

    def __init__(self, total: int, report: Report) -> None:
        self._total = total
        self._report = report
        self._rows: list[Row] = []
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, row: Row) -> None:
        """Tell of one more."""
        self._rows.append(row)
        now = time.monotonic()
        done = len(self._rows)
        if now - self._told >= _EVERY and done < self._total:
            self._told = now
            left = (now - self._began) / done * (self._total - done)
            self._report.log(f"{counted(self._rows)}; {self._total - done:,} to go, some {duration(left)}")


class _Bar:
    """A bar, counts and the time left, rubbed out at the end."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._good = self._bad = 0
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = console_of(sys.stderr)
        words = TextColumn("{task.description}", markup=False)
        counts = (MofNCompleteColumn(), words, TimeRemainingColumn(compact=True))
        is_narrow = console is not None and console.width < _NARROW
        self._progress = Progress(
            *(counts if is_narrow else (BarColumn(bar_width=20), *counts, TextColumn("left"))),
            console=console,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def add(self, row: Row) -> None:
        """Tell of one more."""
        self._good += row.ok
        self._bad += not row.ok
        if self._progress is not None and self._task is not None:
            words = f"{self._good:,} good, {self._bad:,} not good"
            self._progress.update(self._task, advance=1, description=words)
