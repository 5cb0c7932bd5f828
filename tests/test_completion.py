"""Completion in the real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pexpect
import pytest

from banno_creds.cli.completion import SHELLS

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli

PROFILES = '[profiles.garden]\nclient_id = "a"\n\n[profiles.granite]\nclient_id = "b"\n'


def _shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("BANNO_CREDS_REQUIRE_INTEROP"):
            pytest.fail(f"{name} is not installed, and no test may be skipped here")
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the program on its path, and two profiles."""
    program = tmp_path / "bin" / "banno-creds"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m banno_creds "$@"\n')
    program.chmod(0o755)
    config = tmp_path / ".config" / "banno-creds" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(PROFILES)
    return tmp_path


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb"}


# What is typed, what is offered for it.
TYPED = {
    "a command": ("banno-creds tok", {"token"}),
    "commands": ("banno-creds s", {"sandbox", "sign-jwt"}),
    "a profile": ("banno-creds token --profile g", {"garden", "granite"}),
    "one profile": ("banno-creds token --profile gr", {"granite"}),
    "an option": ("banno-creds token --min-t", {"--min-ttl"}),
    "a choice": ("banno-creds token -o h", {"header"}),
}


@pytest.mark.parametrize(("typed", "offered"), TYPED.values(), ids=TYPED)
def test_bash(home: Path, typed: str, offered: set[str]) -> None:
    words = typed.split()
    script = (
        'eval "$(banno-creds completion bash)"\n'
        f"COMP_WORDS=({typed}) COMP_CWORD={len(words) - 1}\n"
        "complete -p banno-creds >&2 || exit 9\n"
        "_banno_creds_completion banno-creds\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [_shell("bash"), "--norc", "-uec", script],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize(("typed", "offered"), TYPED.values(), ids=TYPED)
def test_fish(home: Path, typed: str, offered: set[str]) -> None:
    script = f'banno-creds completion fish | source; complete -C "{typed}"'
    done = subprocess.run(
        [_shell("fish"), "--no-config", "-c", script],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == offered


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("banno-creds tok\t", "token"), ("banno-creds token --profile gr\t", "granite")],
    ids=["a command", "a profile"],
)
def test_zsh(home: Path, typed: str, completed: str) -> None:
    """zsh completes at a terminal alone, and so at one here."""
    (home / ".zshrc").write_text(
        'PS1="> "\nautoload -U compinit && compinit -u\neval "$(banno-creds completion zsh)"\n'
    )
    shell = pexpect.spawn(_shell("zsh"), ["-i"], env=_environment(home), encoding="utf-8", timeout=20)
    try:
        shell.expect_exact("> ")
        shell.send(typed)
        shell.expect_exact(completed)
    finally:
        shell.close(force=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_all_that_is_printed(cli: Cli, shell: str) -> None:
    _shell(shell)
    result = cli("completion", shell)
    assert (result.code, result.stderr) == (0, "")
    assert "_BANNO_CREDS_COMPLETE" in result.stdout


def test_another_shell_is_a_usage_error(cli: Cli) -> None:
    result = cli("completion", "tcsh")
    assert (result.code, result.stdout) == (2, "")
    assert "'bash', 'zsh', 'fish'" in result.stderr
