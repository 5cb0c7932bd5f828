"""The sign of life: what is waited for, at a terminal, from the first second on; and nothing of it stays behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.terminal import ROOT

if sys.platform != "win32":
    import pty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer

pytestmark = pytest.mark.once

PROGRAM = [sys.executable, "-m", "banno_creds"]


class Screen:
    """A program at a terminal, which is read while it runs."""

    def __init__(self, running: subprocess.Popen[bytes], terminal: int) -> None:
        self.running = running
        self._terminal = terminal
        self.seen = ""

    def until(self, pattern: str) -> None:
        """Read until a pattern is there."""
        while not re.search(pattern, self.seen):
            self.seen += os.read(self._terminal, 65536).decode()

    def rest(self) -> tuple[int, str]:
        """Read to the end; return the exit code and what stands on the screen, with all that was rubbed out."""
        try:
            while piece := os.read(self._terminal, 65536).decode():
                self.seen += piece
        except OSError:  # the last writer has gone
            pass
        return self.running.wait(30), self.seen.replace("\r\n", "\n")


@contextmanager
def _at_terminal(*args: str, env: Mapping[str, str] | None = None, stdout: bool = True) -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *args],
        cwd=ROOT,
        env=os.environ | {"TERM": "xterm", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout else subprocess.DEVNULL,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        try:
            yield Screen(running, ours)
        finally:
            running.kill()
            os.close(ours)


def _as_shown(seen: str) -> list[str]:
    """Return the lines as a terminal without any other control shows them: a carriage return writes over the line."""
    lines = []
    for line in seen.split("\n"):
        shown = ""
        for piece in line.split("\r"):
            shown = piece + shown[len(piece) :]
        lines.append(shown.rstrip())
    return lines


@pytest.mark.posix("a pseudo-terminal")
def test_a_slow_server_is_named_and_rubbed_out(ask: list[str], issuer: Issuer) -> None:
    issuer.gate.clear()
    with _at_terminal(*ask) as screen:
        screen.until("waiting for 127.0.0.1… 1 s")
        issuer.gate.set()
        code, seen = screen.rest()
    assert (code, _as_shown(seen)) == (0, ["openid.1", ""])
    assert "\x1b" not in seen


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize("looks", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["no colour", "dumb"])
def test_a_terminal_that_cannot_rub_out_gets_a_line(ask: list[str], issuer: Issuer, looks: dict[str, str]) -> None:
    issuer.gate.clear()
    with _at_terminal(*ask, env=looks) as screen:
        screen.until("waiting for 127.0.0.1… 1 s\r\n")
        issuer.gate.set()
        assert screen.rest() == (0, "waiting for 127.0.0.1… 1 s\nopenid.1\n")


@pytest.mark.posix("a pseudo-terminal")
def test_ctrl_c_ends_the_wait_and_its_line(ask: list[str], issuer: Issuer) -> None:
    issuer.gate.clear()
    with _at_terminal(*ask) as screen:
        screen.until("waiting for 127.0.0.1… 1 s")
        screen.running.send_signal(signal.SIGINT)
        code, seen = screen.rest()
        issuer.gate.set()
    assert (code, _as_shown(seen)) == (130, [""])


@pytest.mark.posix("a pseudo-terminal")
def test_another_process_that_asks_is_named_and_exec_is_not_ended_by_our_timer(
    ask: list[str], issuer: Issuer
) -> None:
    """The timer that ticks would end the command, whose signals are as the system made them."""
    issuer.gate.clear()
    with subprocess.Popen([*PROGRAM, *ask], stdout=subprocess.PIPE) as first:
        issuer.wait_for(1)
        execute = ["exec", *ask[1:], "--", "sh", "-c", "sleep 1.2; echo done"]
        with _at_terminal(*execute) as screen:
            screen.until("waiting for another process that asks for this token… 1 s")
            issuer.gate.set()
            code, seen = screen.rest()
        assert first.stdout is not None
        assert first.stdout.read() == b"openid.1\n"
    assert (code, _as_shown(seen)) == (0, ["done", ""])
    assert len(issuer.forms) == 1


@pytest.fixture
def slow(issuer: Issuer) -> Iterator[Issuer]:
    """The issuer, which answers when somebody who waits would have been told."""
    issuer.gate.clear()
    timer = threading.Timer(1.3, issuer.gate.set)
    timer.start()
    yield issuer
    timer.join()


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.usefixtures("slow")
def test_nobody_who_wants_silence_gets_it(ask: list[str]) -> None:
    with _at_terminal(*ask, "-q") as screen:
        assert screen.rest() == (0, "openid.1\n")


@pytest.mark.usefixtures("slow")
def test_nobody_without_a_terminal_gets_it(ask: list[str]) -> None:
    done = subprocess.run([*PROGRAM, *ask], capture_output=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == (b"openid.1\n", b"")


def test_every_command_that_asks_a_server_tells(
    cli: Cli, ask: list[str], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process: what each waits for is told to whoever watches."""
    from contextlib import nullcontext

    told: list[str] = []

    def watch(whom: str) -> nullcontext[None]:
        told.append(whom)
        return nullcontext()

    monkeypatch.setattr("banno_creds.steps._watcher", watch)
    client = [*ask[1:], "--no-cache"]
    issuers = ["--issuer", issuer.url.rpartition("/")[0]]
    for args in (
        ["token", *client],
        ["client-assertion", *ask[1:]],
        ["exec", *client, "--", "no-such-command"],
        ["doctor", *ask[1:]],
        ["decode", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.AA", *issuers],
        ["login", *ask[1:5], *issuers],
        ["api", *client, "--api-base", issuer.url.rpartition("/")[0], "/a"],
    ):
        told.clear()
        cli(*args)
        assert ("127.0.0.1" in told) == ("exec" not in args), args
