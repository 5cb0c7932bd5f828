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


def ask(question: str) -> bytes:
    """Ask for one line at the terminal that is standard input; click.Abort if that ends or goes.

    The question is asked again when the program goes on after a stop.
    """
    try:
        import termios
    except ImportError:  # Windows, which stops no programs
        answer: str = click.prompt(question, hide_input=True, default="", show_default=False, err=True)
        return answer.encode("utf-8")
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
