"""Tests of short times: where they fail, as on a busy machine, they are tried again with longer ones."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from banno_creds.errors import TimedOutError

if TYPE_CHECKING:
    from collections.abc import Callable


def patient(*times: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a test its ``seconds``: the first of ``times``, or, where the test fails with it, the next.

    For a test in which something must happen before a time limit ends. A fault fails with every time; a busy machine
    with the short ones alone.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def tried(*args: Any, **fixtures: Any) -> None:
            for seconds in times[:-1]:
                try:
                    return test(*args, seconds=seconds, **fixtures)
                except (AssertionError, TimedOutError):
                    continue
            return test(*args, seconds=times[-1], **fixtures)

        shown = inspect.signature(test)
        fixtures = [each for name, each in shown.parameters.items() if name != "seconds"]
        tried.__signature__ = shown.replace(parameters=fixtures)  # type: ignore[attr-defined]  # pytest reads it
        return tried

    return decorate
