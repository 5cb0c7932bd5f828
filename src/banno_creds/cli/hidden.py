"""Ask for a secret at the terminal, whose echo is off meanwhile.

A shell puts the terminal into its own state when a program is stopped (Ctrl-Z), and leaves it so when the program
goes on (``fg``): the echo must be switched off again. And whatever ends the program, the terminal gets its echo back.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], None]


if sys.platform == "win32":

    def ask(question: str) -> bytes:
        """Ask for one line at the console; click.Abort if that ends."""
        import msvcrt

        click.echo(f"{question}: ", nl=False, err=True)
        # Ctrl-C comes as a character. Ctrl-Break does not, and a handler would wait for the next one.
        before = signal.signal(signal.SIGBREAK, signal.SIG_DFL)
        try:
            line = typed(msvcrt.getwch)
        finally:
            signal.signal(signal.SIGBREAK, before)
            click.echo(err=True)
        return line.encode("utf-8", "surrogatepass")

else:

    def ask(question: str) -> bytes:
        """Ask for one line at the terminal that is standard input; click.Abort if that ends or goes.

        The question is asked again when the program goes on after a stop.
        """
        import termios

        terminal = sys.stdin.fileno()
        try:
            before = termios.tcgetattr(terminal)
        except termios.error:  # it has gone
            raise click.Abort from None

        def set_echo(on: bool, when: int = termios.TCSADRAIN) -> None:  # noqa: FBT001 - private, and clear at its calls
            state = before.copy()
            if not on:
                state[3] &= ~termios.ECHO
            while True:
                try:
                    return termios.tcsetattr(terminal, when, state)
                except InterruptedError:  # by the signal to go on: from the background, this call waited
                    continue
                except termios.error as failure:
                    if failure.args[0] != errno.EINTR:
                        return None  # the terminal has gone

        def say() -> None:
            click.echo(f"{question}: ", nl=False, err=True)

        def let_through(number: int, _frame: FrameType | None) -> None:
            """Do what the signal does where nobody handles it, with the terminal as it was."""
            set_echo(on=True)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.signal(number, let_through)  # it was a stop, and the program goes on

        def go_on(_number: int, _frame: FrameType | None) -> None:
            set_echo(on=False)
            say()

        with ExitStack() as stack:
            stack.callback(set_echo, on=True)
            for name in ("SIGTSTP", "SIGQUIT", "SIGHUP"):
                _handle(stack, getattr(signal, name), let_through)
            _handle(stack, signal.SIGCONT, go_on)
            set_echo(on=False, when=termios.TCSAFLUSH)
            say()
            line = _line(terminal)
        click.echo(err=True)  # the one that was typed was not shown
        if not line:
            raise click.Abort
        return line.rstrip(b"\r\n")


def typed(read: Callable[[], str]) -> str:
    """Return the line that somebody types at a Windows console, which gives one key after the other.

    Args:
        read: gives the next character, in UTF-16: one outside the first plane comes in two halves.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Abort: Ctrl-Z or Ctrl-D in an empty line, or the console has gone.
    """
    line = ""
    while (character := read()) not in ("\r", "\uffff"):
        if character == "\n":
            if line:
                break  # the first one is left over: what was pasted before ended with both
        elif character == "\x03":
            raise KeyboardInterrupt
        elif character in ("\x1a", "\x04"):
            if not line:
                raise click.Abort
        elif character == "\0":
            read()  # a function key; "\xe0" may begin one too, and is a letter of passphrases
        elif character == "\b":
            line = _whole(line)[:-1]
        else:
            line += character
    if character == "\uffff":
        raise click.Abort
    return _whole(line)


def _whole(line: str) -> str:
    """Put the halves of characters together."""
    return line.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _handle(stack: ExitStack, number: signal.Signals, handler: Handler) -> None:
    """Handle a signal until the stack ends, unless somebody else does, or it is ignored."""
    import threading

    if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is signal.SIG_DFL:
        stack.callback(signal.signal, number, signal.SIG_DFL)
        signal.signal(number, handler)


def _line(terminal: int) -> bytes:
    line = b""
    while not line.endswith((b"\n", b"\r")):
        try:
            read = os.read(terminal, 4096)
        except OSError:  # the terminal has gone
            return b""
        if not read:
            break
        line += read
    return line
