"""Secrets typed at a terminal: never echoed, and the terminal is as before whatever happens."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click
import pexpect
import pytest

from banno_creds.cli.hidden import typed
from banno_creds.cli.inputs import can_ask
from banno_creds.jose import keys
from tests.conftest import CLIENT_ID, write_private

if sys.platform != "win32":
    import termios

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# pexpect forks, and pytest-xdist has threads: from Python 3.12 on that is a warning.
pytestmark = [
    pytest.mark.measured,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

SECRET = "open-sesame"
QUESTION = "Passphrase of the private key: "


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Sign with an encrypted key."""
    key = write_private(tmp_path / "key.pem", keys.generate("ec").pem(SECRET.encode()))
    return [
        sys.executable,
        "-m",
        "banno_creds",
        "sign-jwt",
        "-q",
        "--client-id",
        CLIENT_ID,
        "--private-key",
        str(key),
    ]


SHELLS = {"bash": ["--norc", "--noediting", "-i"], "zsh": ["-f", "-i"]}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> Iterator[pexpect.spawn[str]]:
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: a passphrase was not typed there")
    env = os.environ | {"PS1": "ready> ", "TERM": "dumb"}
    child = pexpect.spawn(name, SHELLS[name], encoding="utf-8", timeout=30, env=env)
    child.expect("ready> ")
    yield child
    child.close(force=True)


@pytest.mark.posix("jobs of a shell")
@pytest.mark.once
@pytest.mark.parametrize("resumed", [["fg"], ["bg", "fg"]], ids=" ".join)
def test_passphrase_is_not_echoed_after_a_stop(
    shell: pexpect.spawn[str], command: list[str], resumed: list[str]
) -> None:
    shell.sendline(" ".join(command))
    shell.expect(QUESTION)
    shell.sendcontrol("z")
    shell.expect("(?i)stopped|suspended")
    shell.expect("ready> ")
    for word in resumed:
        shell.sendline(word)
        shell.expect(QUESTION if word == "fg" else "ready> ")
    assert not echoes(shell.child_fd)
    shell.sendline(SECRET)
    shell.expect(r"eyJ[\w.-]+\r\n")
    assert SECRET not in str(shell.before)
    shell.sendline("stty -a")
    assert shell.expect([r"[ ;]echo[ ;]", r"[ ;]-echo[ ;]"]) == 0


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"])
def test_terminal_gets_its_echo_back_whatever_ends_the_program(command: list[str], name: str) -> None:
    number = signal.Signals[name]
    child: pexpect.spawn[str] = pexpect.spawn(command[0], command[1:], encoding="utf-8", timeout=30)
    ours = os.dup(child.child_fd)
    child.expect(re.escape(QUESTION))
    assert not echoes(ours)
    child.kill(number)
    child.wait()
    assert echoes(ours)
    os.close(ours)
    child.close(force=True)
    ends = {signal.SIGINT: (130, None), signal.SIGTERM: (143, None)}
    assert (child.exitstatus, child.signalstatus) == ends.get(number, (None, number))


def echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


@pytest.mark.parametrize(
    ("stdin", "stderr", "can"), [(True, True, True), (True, False, False), (False, True, False), (True, None, False)]
)
def test_nobody_is_asked_without_a_terminal_for_question_and_answer(
    monkeypatch: pytest.MonkeyPatch, stdin: bool, stderr: bool | None, can: bool
) -> None:
    for name, is_terminal in (("stdin", stdin), ("stderr", stderr)):
        stream = None if is_terminal is None else SimpleNamespace(isatty=lambda it=is_terminal: it)
        monkeypatch.setattr(sys, name, stream)
    assert can_ask() is can


# --- a Windows console, which gives one key after the other ---------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("open\r", "open"),
        ("opn\ben\r", "open"),
        ("\b\bx\r", "x"),
        ("\nopen\r", "open"),  # the rest of a line that was pasted before
        ("open\n", "open"),
        ("a\ud835\udcb3b\r", "a𝒳b"),
        ("a\ud835\udcb3\bb\r", "ab"),
        ("\0;open\r", "open"),
        ("a\x1ab\r", "ab"),
        ("\r", ""),
        ("naïve à\r", "naïve à"),
    ],
)
def test_keys_typed_at_a_windows_console_are_a_line(keys: str, line: str) -> None:
    left = iter(keys)
    assert typed(lambda: next(left)) == line


@pytest.mark.parametrize(
    ("keys", "end"),
    [("ab\x03", KeyboardInterrupt), ("\x1a", click.Abort), ("\x04", click.Abort), ("a\uffff", click.Abort)],
)
def test_ctrl_c_ctrl_z_and_a_console_that_goes_end_the_question(keys: str, end: type[BaseException]) -> None:
    left = iter(keys)
    with pytest.raises(end):
        typed(lambda: next(left))
