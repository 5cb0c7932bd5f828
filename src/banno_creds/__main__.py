"""The entry point: ``banno-creds`` and ``python -m banno_creds``."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    # A run is over before garbage gathers, and collecting during the imports costs 5 % of it. So many objects are
    # only left over by what runs for days, such as the sandbox; of each connection, asyncio leaves a circle.
    gc.set_threshold(10_000 if _GOING_ON.intersection(sys.argv) else 250_000)
    try:
        code = _recall(sys.argv[1:])
        if code is None:
            from banno_creds import streams
            from banno_creds.child import leave_no_core

            leave_no_core()  # before a secret is read
            streams.make_alike()
            # httpx imports what it needs for asynchronous programs, and its own command line with click, rich and
            # pygments: anyio costs 5 ms, trio 70, httpx._main 45 ms and 6 MiB. Declared missing, they are left out;
            # httpx itself allows for that. Only this process does it, never a program that imports banno_creds.
            sys.modules.update(dict.fromkeys(_LEFT_OUT))  # type: ignore[arg-type]
            streams.make_whole = _make_whole
            from banno_creds.cli.main import run

            code = run(sys.argv[1:])
    except KeyboardInterrupt:  # Ctrl-C while the imports were still under way
        code = 130
    except SystemExit as end:  # SIGTERM
        code = int(end.code or 0)
    # Python would now take its modules apart one by one: 7 ms, for memory that the system takes back anyway.
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - contextlib would have to be imported, for an answer that needs nothing else
            stream.flush()
        except (OSError, ValueError, AttributeError):  # its reader has gone; it is closed; it is None
            pass
    os._exit(code if code < 2**31 else code - 2**32)  # a signed number, and Windows' codes have none


_GOING_ON = {"serve", "--serve"}
_LEFT_OUT = ("anyio", "trio", "httpx._main")


def _make_whole() -> None:
    for name in _LEFT_OUT:
        if name in sys.modules and sys.modules[name] is None:
            del sys.modules[name]


def _recall(arguments: list[str]) -> int | None:
    """Answer a command line that was answered before; None if it must be parsed."""
    if arguments[:1] == ["exec"] and "--" in arguments:
        return _recall_for_command(arguments, arguments.index("--") + 1)
    if arguments[:1] != ["token"] or sys.stdout is None:
        return None
    from banno_creds.recall import answer

    text = answer(arguments)
    written = 0
    try:
        while text and written < len(text):
            written += os.write(sys.stdout.fileno(), text[written:])
    except (OSError, ValueError) as failure:
        # If nothing was written, the command line reports the fault. Nothing may follow half an answer.
        return _cut_off(failure) if written else None
    return 0 if written else None


def _recall_for_command(arguments: list[str], begin: int) -> int | None:
    """Run a command with the token of an earlier run; None if the options before it must be parsed."""
    from banno_creds.recall import answer

    text = answer(arguments[:begin])
    if text is None or not arguments[begin:]:
        return None
    from banno_creds.child import run

    try:
        return run(arguments[begin:], dict(line.split("=", 1) for line in text.decode("ascii").splitlines()))
    except (OSError, ValueError):
        return None  # it cannot be run; the command line reports why


def _cut_off(failure: Exception) -> int:
    from banno_creds.cli.main import EXIT_BROKEN_PIPE
    from banno_creds.cli.report import Report
    from banno_creds.errors import OutputError
    from banno_creds.streams import is_broken_pipe, make_alike

    make_alike()
    if is_broken_pipe(failure, sys.stdout):
        return EXIT_BROKEN_PIPE
    words = getattr(failure, "strerror", None) or str(failure)
    error = OutputError(
        f"the result could not be written to standard output: {words}",
        hint="check where standard output goes; the result is cut off",
    )
    Report().error(error)
    return error.exit_code


if __name__ == "__main__":
    main()
