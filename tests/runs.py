"""Processes of the command line at once, and what they said."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.conftest import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.processes import Nursery, Process


class Runs:
    """Processes that run the command line; what they say goes to files, so that none waits for a reader."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        folder.mkdir()
        self._nursery, self._folder = nursery, folder
        self.processes: list[Process] = []

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> Process:
        number = len(self.processes)
        process = self._nursery.start(*args, out=self.said(number, "out"), err=self.said(number, "err"), env=env)
        self.processes.append(process)
        return process

    def said(self, number: int, stream: str) -> Path:
        return self._folder / f"{number}.{stream}"

    def results(self) -> list[Result]:
        return [
            Result(process.wait(), *(self.said(number, stream).read_text("utf-8") for stream in ("out", "err")))
            for number, process in enumerate(self.processes)
        ]

    def wait_until_all_wait_but_one(self) -> None:
        """Each says with ``-v`` that it waits for another."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            numbers = range(len(self.processes))
            waiting = sum(
                "  Waiting\n" in self.said(number, "err").read_text("utf-8", "replace") for number in numbers
            )
            if waiting == len(self.processes) - 1:
                return
            time.sleep(0.02)
        raise AssertionError("they do not wait")


@contextmanager
def running(nursery: Nursery, folder: Path) -> Iterator[Runs]:
    """Give what starts processes, and kill those that are left at the end of the block."""
    runs = Runs(nursery, folder)
    nursery.prepare()
    yield runs
    for process in runs.processes:
        process.kill()
        process.wait()
