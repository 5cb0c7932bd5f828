"""The standard streams of this process, made alike on every system before they are used.

On Windows too, a pipe, a file and the null device then get UTF-8 and line feeds, whatever the code page; a reader
that has gone is a `BrokenPipeError`; and only a console is a terminal. What a stream cannot show becomes an escape.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False  # as in `child`: this comes before anything else is loaded
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import IO, Any, TextIO

    from _typeshed import ReadableBuffer


_are_ours = False  # not in a program that imports us


def make_whole() -> None:
    """Let other packages' code import what the command line does without: `__main__` puts its own in this place."""


def make_alike() -> None:
    """Replace `sys.stdin`, `sys.stdout` and `sys.stderr` on Windows; have none of them fail for a character."""
    global _are_ours
    _are_ours = True
    if sys.platform == "win32":
        for name in ("stdin", "stdout", "stderr"):
            setattr(sys, name, _alike(getattr(sys, name), reads=name == "stdin"))
    sys.stdout = _buffered(sys.stdout)
    fatal = ("strict", "surrogateescape") if sys.platform == "win32" else ("strict",)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and stream.errors in fatal:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _buffered(stream: TextIO | None) -> TextIO | None:
    """Return a stream that writes the whole of a result, or fails.

    Without a buffer (PYTHONUNBUFFERED), Python does not notice that the system took only a part of it.
    """
    raw = getattr(stream, "buffer", None)
    if stream is None or not isinstance(raw, io.RawIOBase):
        return stream
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, "\n", write_through=True)


def prints_nothing() -> AbstractContextManager[object]:
    """Return a context in which other packages' code, and the programs it starts, print to standard error.

    Standard output has the result alone. A program that imports us keeps its streams as they are.
    """
    from contextlib import nullcontext

    return _ToStandardError() if _are_ours else nullcontext()


class _ToStandardError:
    def __enter__(self) -> None:
        self._stdout, self._kept = sys.stdout, None
        sys.stdout = sys.stderr
        try:
            self._kept = os.dup(1)
            os.dup2(2, 1)
        except OSError:  # one of them is closed
            pass

    def __exit__(self, *_: object) -> None:
        sys.stdout = self._stdout
        if self._kept is not None:
            os.dup2(self._kept, 1)
            os.close(self._kept)


def is_broken_pipe(failure: Exception, stream: IO[Any]) -> bool:
    """Return whether a failed write to a stream's descriptor means that nobody reads it any more."""
    if sys.platform == "win32" and isinstance(failure, OSError) and failure.errno == errno.EINVAL:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    return isinstance(failure, BrokenPipeError)


def takes_escapes(stream: IO[str]) -> bool:
    """Return whether a stream takes escape sequences; a console on Windows is told to first."""
    if sys.platform == "win32" and stream.isatty():
        return _set_escapes(stream)
    return True


def is_one_place(one: int, other: int) -> bool:
    """Return whether two descriptors are of the same terminal, file or pipe."""
    if sys.platform == "win32":  # pipes have no number there
        compare = ctypes.WinDLL("kernelbase").CompareObjectHandles
        return bool(compare(*(ctypes.c_void_p(msvcrt.get_osfhandle(number)) for number in (one, other))))
    return os.path.samestat(os.fstat(one), os.fstat(other))


if sys.platform == "win32":
    import ctypes
    import errno
    import msvcrt
    import stat

    _ESCAPES = 0x0004  # ENABLE_VIRTUAL_TERMINAL_PROCESSING

    class _Plain(io.FileIO):
        """A pipe, a file or the null device."""

        def isatty(self) -> bool:
            """Return False: the C library takes the null device for a terminal."""
            return False

        def write(self, data: ReadableBuffer, /) -> int:
            """Write; raise BrokenPipeError if nobody reads it, which the C library calls an invalid argument."""
            try:
                return super().write(data)
            except OSError as failure:
                if is_broken_pipe(failure, self):
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
                raise

    def _alike(stream: TextIO | None, *, reads: bool) -> TextIO | None:
        if not isinstance(stream, io.TextIOWrapper):  # there is none, or it is somebody's own
            return stream
        try:
            number = stream.fileno()
            if _is_console(stream):
                return stream
        except (OSError, ValueError):  # it is closed
            return stream
        encoding, errors = ("utf-8-sig", "surrogateescape") if reads else ("utf-8", "backslashreplace")
        if os.environ.get("PYTHONIOENCODING") and not sys.flags.ignore_environment:  # it was asked for
            encoding, errors = stream.encoding, str(stream.errors)
        if reads:
            return io.TextIOWrapper(io.BufferedReader(_Plain(number, "rb", closefd=False)), encoding, errors)
        return io.TextIOWrapper(
            io.BufferedWriter(_Plain(number, "wb", closefd=False)),
            encoding,
            errors,
            newline="\n",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def _is_console(stream: io.TextIOWrapper) -> bool:
        """Return whether a stream is a console, which PYTHONLEGACYWINDOWSSTDIO makes a plain file."""
        return stream.isatty() and _console_mode(stream) is not None

    def _console_mode(stream: IO[Any]) -> int | None:
        mode = ctypes.c_ulong()
        is_console = ctypes.WinDLL("kernel32").GetConsoleMode(_handle(stream), ctypes.byref(mode))
        return mode.value if is_console else None

    def _set_escapes(stream: IO[Any]) -> bool:
        mode = _console_mode(stream)
        if mode is None or mode & _ESCAPES:
            return mode is not None
        return bool(ctypes.WinDLL("kernel32").SetConsoleMode(_handle(stream), mode | _ESCAPES))

    def _handle(stream: IO[Any]) -> ctypes.c_void_p:
        return ctypes.c_void_p(msvcrt.get_osfhandle(stream.fileno()))
