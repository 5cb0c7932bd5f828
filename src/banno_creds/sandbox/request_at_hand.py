"""What belongs to the request at hand: its time, its faults and its lines of the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import g

from banno_creds.sandbox.refusals import log_line

if TYPE_CHECKING:
    from banno_creds.sandbox.faults import Faults

Clock = Callable[[], float]
Log = Callable[[str], None]


def now() -> int:
    """The server's time as the request at hand finds it, in whole seconds."""
    time: float = g.clock()
    return int(time)


def machine_now() -> int:
    """The time by the clock that no fault has moved, in whole seconds: memories end by this one."""
    return now() - faults().clock_skew


def faults() -> Faults:
    """What shall go wrong with the request at hand."""
    asked: Faults = g.faults
    return asked


def say(text: str) -> None:
    """Write a line to the log, with the id of the request at hand."""
    g.log(f"{log_line(text)} (x-request-id {g.request_id})")
