"""Threads with a bound on their time, and a bar to forks: `run`, `no_fork` and `at_the_end`.

A forked child has the locks of OpenSSL as they were, and none of the threads that would free them. OpenSSL takes such
locks in a call, and when a thread ends that used it; Python lets other threads go on, and fork, meanwhile.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from banno_creds.errors import no_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

# How long something that was broken off may take to close what it opened.
_CLOSING_SECONDS = 0.2

# Windows notices Ctrl-C only between two waits.
_SLICE_SECONDS = 0.2 if sys.platform == "win32" else 60.0

# What hangs does not keep its program from forking.
_MOST_SECONDS = 5.0
_ENDING_SECONDS = 1.0
_MOST_KNOWN = 128  # threads


class OutOfTimeError(Exception):
    """The time is over. A TimeoutError would look like one of the caller's own, such as a signal's."""


def run(
    work: Callable[[], T], left: Callable[[], float], name: str, break_off: Callable[[], object] = lambda: None
) -> T:
    """Do something in a thread of its own, and wait for what comes of it: there, nothing else bounds it.

    Args:
        work: what to do.
        left: returns how many seconds it may still take.
        name: the thread's name.
        break_off: makes it end, because its time is over, or because of Ctrl-C.

    Raises:
        OutOfTimeError: the time is over; it may go on in its thread.
        NetworkError: the system starts no thread.
    """
    results: list[T] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def do() -> None:
        try:
            results.append(work())
        except BaseException as failure:  # noqa: BLE001 - it is raised where it is waited for
            failures.append(failure)
        finally:
            done.set()
            at_the_end()

    thread = threading.Thread(target=do, name=name, daemon=True)
    try:
        # Ctrl-C may come while it starts, and the work be under way.
        try:
            thread.start()
        except RuntimeError:
            done.set()
            raise no_thread() from None
        while (seconds := left()) > 0:
            # Not join: when Ctrl-C interrupts it, Python 3.11 and 3.12 believe that the thread has ended.
            if done.wait(min(seconds, _SLICE_SECONDS)):
                break
    finally:
        if not done.is_set():
            break_off()
            done.wait(_CLOSING_SECONDS)
    if done.is_set():
        thread.join(_CLOSING_SECONDS)
    for failure in failures:
        raise failure
    for result in results:
        return result
    raise OutOfTimeError


# --- Forks ----------------------------------------------------------------------------------------------------------

_changed = threading.Condition()
_forks = 0  # that are under way
_forked_at = 0.0  # when the last of them began
_busy: dict[int, int] = {}  # how often each thread is in `no_fork`
_known: dict[int, threading.Thread] = {}  # those that were, by the system's number
_ending: set[int] = set()


@contextmanager
def no_fork() -> Iterator[None]:
    """Keep the process from forking meanwhile. It must be short, and wait for nothing: a fork waits for it."""
    me, number = threading.get_ident(), threading.get_native_id()
    with _changed:
        if _forks and me not in _busy:
            _changed.wait_for(_is_clear, _MOST_SECONDS)
        _busy[me] = _busy.get(me, 0) + 1
        if number not in _known or not _known[number].is_alive():
            _note(number)
    try:
        yield
    finally:
        with _changed:
            left = _busy.pop(me, 1) - 1
            if left:
                _busy[me] = left
            elif _forks:
                _changed.notify_all()


def _is_clear() -> bool:
    """Return whether no fork is under way; a signal's handler that raises may keep one from saying that it ended."""
    return not _forks or time.monotonic() - _forked_at > 2 * _MOST_SECONDS


def _note(number: int) -> None:
    """Note that OpenSSL will have something to put away when this thread ends."""
    if len(_known) >= _MOST_KNOWN:
        system_tells = _is_there(number)
        for each, thread in [*_known.items()]:
            # A thread that Python did not start says for ever that it is alive.
            if not _is_there(each) and (system_tells or not thread.is_alive()):
                del _known[each]
    _ending.intersection_update(_known)
    _ending.discard(number)
    _known[number] = threading.current_thread()


def at_the_end() -> None:
    """Let a fork that is under way come first; from now on, a fork waits until this thread has gone.

    It is the last that a thread of our own does, where it may have used OpenSSL.
    """
    number = threading.get_native_id()
    if number in _known:
        with _changed:
            _changed.wait_for(_is_clear, _MOST_SECONDS)
            _ending.add(number)


def _is_there(number: int) -> bool:
    """Return whether a thread is there still: before Python 3.13, join returns earlier. Only Linux tells."""
    return sys.platform == "linux" and os.path.exists(f"/proc/self/task/{number}")  # noqa: PTH110 - quicker


def _before_fork() -> None:
    global _forks, _forked_at
    me, ends = threading.get_ident(), time.monotonic() + _ENDING_SECONDS
    with _changed:
        _forks, _forked_at = 1 if _is_clear() else _forks + 1, time.monotonic()
        if not _changed.wait_for(lambda: not _busy.keys() - {me}, _MOST_SECONDS):
            # The next fork need not wait for it too: Ctrl-C may have kept it from saying that it has ended.
            for other in _busy.keys() - {me}:
                del _busy[other]
        ended = [(each, thread) for each, thread in _known.items() if each in _ending or not thread.is_alive()]
    for number, thread in ended:
        with suppress(RuntimeError):
            thread.join(max(ends - time.monotonic(), 0))
        while _is_there(number) and time.monotonic() < ends:
            time.sleep(0.0002)
        _known.pop(number, None)


def _after_fork() -> None:
    global _forks
    with _changed:
        _forks = max(_forks - 1, 0)
        _changed.notify_all()


def _in_child() -> None:
    global _changed, _forks
    _changed, _forks = threading.Condition(), 0
    me = threading.get_ident()
    for other in [*_busy]:
        if other != me:
            del _busy[other]
    _known.clear()
    _ending.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
