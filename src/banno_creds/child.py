"""Run another program: what it gets of us, and what it does not get.

A recalled answer comes here before anything else is loaded: of the imports, only `signal` is not made by the
interpreter itself.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # typing itself is one of the imports that this module does without
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# In the names of our variables that hold a secret, the path of one, or a value that may be one: a program that has a
# token needs none of what it was asked for with.
_TAKEN_OUT = ("PRIVATE_KEY", "PEM", "PASS", "PIN", "SECRET", "CLAIM", "PARAM", "HEADER", "FIELD", "CACHE_URL")
_OTHERS = (
    "BANNO_ACCESS_TOKEN",
    "BANNO_TOKEN_CLIENT_SECRET",
    "BANNO_CREDS_KEY",
)  # of a program that started us; misspelt

_FROM_TERMINAL: tuple[signal.Signals, ...] = ()
if sys.platform != "win32":
    _FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)

_MEMORY = "/proc/self/coredump_filter"  # Linux: which parts of the memory a core dump has
_before: tuple[int, str] | None = None  # the limit and the filter that a child gets back


def without_secrets() -> dict[str, str]:
    """Return our environment for another program, without the variables that hold a secret or the path of one."""
    return {name: value for name, value in os.environ.items() if not _is_secret(name)}


def _is_secret(name: str) -> bool:
    words = name.upper()  # as Windows has it
    is_ours = words.startswith("BANNO_CREDS_")
    return words in _OTHERS or (is_ours and any(each in words for each in _TAKEN_OUT))


class SecretsPutAway:
    """In a ``with`` statement: the programs that a library starts in it do not get the variables with secrets."""

    def __enter__(self) -> None:
        self._kept = {name: value for name, value in os.environ.items() if _is_secret(name)}
        for name in self._kept:
            del os.environ[name]

    def __exit__(self, *_: object) -> None:
        os.environ.update(self._kept)


def leave_no_core() -> None:
    """Keep the memory of this process, which will hold a key, out of core dumps.

    The limit keeps files from being written. It does not bind a program that the kernel hands dumps to; on Linux the
    filter leaves that a dump without any memory.
    """
    global _before
    if sys.platform != "win32":
        try:
            import resource
        except ImportError:  # a Python that was built without it
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        _before = soft, _set_filter("0")


def _set_filter(value: str) -> str:
    """Set which parts of the memory a core dump has; return what it was, empty if there is no such filter."""
    before = ""
    try:
        descriptor = os.open(_MEMORY, os.O_RDWR)
        try:
            before = os.read(descriptor, 20).decode("ascii").strip()
            os.write(descriptor, value.encode("ascii"))
        finally:
            os.close(descriptor)
    except OSError:
        pass
    return f"0x{before}" if before else ""


def core_limits() -> tuple[str, str]:
    """Return the limit and the filter of core dumps that we were started with; empty if they are as they were."""
    return ("", "") if _before is None else (str(_before[0]), _before[1])


def _give_limits_back() -> None:
    if sys.platform != "win32" and _before is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (_before[0], resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if _before[1]:
            _set_filter(_before[1])


def run(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Become another program, on POSIX; on Windows, run it and wait for its end.

    Args:
        arguments: the program's name or path, and its arguments.
        variables: variables to add to our environment, from which key, passphrase and client secret are removed.

    Returns:
        The program's exit code, on Windows; elsewhere it does not return.

    Raises:
        OSError: it does not exist, or cannot be run.
        ValueError: an argument has a character that no argument can have.
    """
    if not arguments[0]:
        raise FileNotFoundError  # as in a shell; the system would say something else
    environment = without_secrets() | {**variables}
    if sys.platform == "win32":
        return _run_and_wait(arguments, environment)
    # Python ignores these two, and ignored signals stay ignored after exec: a child would not end with its pipe.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    _give_limits_back()
    return os.execvpe(arguments[0], tuple(arguments), environment)  # noqa: S606 - no shell in between: the point


def run_beside(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run another program while this process goes on, and pass on the signals that ask it to end.

    Args:
        arguments: see `run`.
        variables: see `run`.

    Returns:
        The program's exit code; 128 and the number of the signal that ended it, as a shell has it.

    Raises:
        OSError: see `run`.
        ValueError: see `run`.
    """
    if not arguments[0]:
        raise FileNotFoundError
    environment = without_secrets() | {**variables}
    if sys.platform == "win32":
        return _run_and_wait(arguments, environment)
    import subprocess

    running: subprocess.Popen[bytes] | None = None
    too_early: list[int] = []  # those that came while it was being started

    def pass_on(number: int, _frame: object) -> None:
        if number in _FROM_TERMINAL and _is_in_foreground():
            return
        if running is None:
            too_early.append(number)
        else:
            running.send_signal(number)

    before = {
        number: signal.signal(number, pass_on)
        for number in (*_FROM_TERMINAL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        # For a moment they are ours again: to set them in the child would take Python code between fork and exec,
        # which must not run beside threads.
        _give_limits_back()
        try:
            running = subprocess.Popen(arguments, env=environment, close_fds=False)
        finally:
            if _before is not None:
                leave_no_core()
        for number in too_early:
            running.send_signal(number)
        code = running.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _is_in_foreground() -> bool:
    """Return whether a terminal sends Ctrl-C to this process, and so to those that it started, too."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


def _run_and_wait(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    import subprocess

    from banno_creds import windows_programs

    program = windows_programs.find(arguments[0], environment)
    line, loaded = windows_programs.command_line(program, arguments, environment)
    # Ctrl-C and Ctrl-Break reach both, and the child decides what they mean.
    for name in ("SIGINT", "SIGBREAK"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    return subprocess.run(line, executable=loaded, env=environment, check=False).returncode
