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
from banno_creds.cli.groups import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli

pytestmark = pytest.mark.once  # the shells are what differs

# Completes, prints a script that `banno-creds completion` printed before, and shows anything else that it should run.
PROGRAM = """#!/bin/sh
[ -z "$_BANNO_CREDS_COMPLETE" ] || exec "{python}" -m banno_creds "$@"
[ "$1" = completion ] || {{ echo "runs: $*"; exit; }}
cat "{scripts}/$2"
"""
PROFILES = (
    '[profiles.garden]\nclient_id = "a"\ntags = ["nightly", "core"]\n\n'
    '[profiles.granite]\nclient_id = "b"\ntags = ["nightly", "night-2"]\n'
)


def _shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("BANNO_CREDS_REQUIRE_INTEROP"):
            pytest.fail(f"{name} is not installed, and no test may be skipped here")
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each shell's script as `banno-creds completion` prints it, and zsh's own table of completions."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        done = subprocess.run(
            [sys.executable, "-m", "banno_creds", "completion", shell], capture_output=True, timeout=60, check=True
        )
        (folder / shell).write_bytes(done.stdout)
    if shutil.which("zsh") is not None:
        # It takes zsh a second to make, and each test would wait for it again.
        load = "autoload -Uz compinit && compinit -i"
        subprocess.run(["zsh", "-f", "-c", load], env={**os.environ, "HOME": str(folder)}, timeout=60, check=True)
    return folder


@pytest.fixture
def home(tmp_path: Path, scripts: Path) -> Path:
    """A home with the program on its path, two profiles, another file with one, and a key's file."""
    program = tmp_path / "bin" / "banno-creds"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, scripts=scripts))
    program.chmod(0o755)
    config = tmp_path / ".config" / "banno-creds" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(PROFILES)
    (tmp_path / "a=b:c.toml").write_text('[profiles.solo]\nclient_id = "c"\n')
    (tmp_path / "private.pem").touch()
    if (scripts / ".zcompdump").exists():
        shutil.copy(scripts / ".zcompdump", tmp_path)
    return tmp_path


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb"}


# What is typed, what is offered for it.
TYPED = {
    "a command": ("banno-creds tok", {"token"}),
    "commands": ("banno-creds s", {"sandbox", "serve", "sign-jwt"}),
    "a profile": ("banno-creds token --profile g", {"garden", "granite"}),
    "one profile": ("banno-creds token --profile gr", {"granite"}),
    "an option": ("banno-creds token --min-t", {"--min-ttl"}),
    "a tag": ("banno-creds check --tag n", {"nightly", "night-2"}),
    "a choice": ("banno-creds token -o h", {"header"}),
    "nothing, and no message, behind what is misspelt": ("banno-creds tokn --o", set()),
}

# What is typed, and what one press of Tab makes of it.
COMPLETED = {
    "a command": ("tok", "token"),
    "a profile": ("token --profile gr", "token --profile granite"),
    "a profile behind =": ("token --profile=ga", "token --profile=garden"),
    "a choice behind =": ("token --output=en", "token --output=env"),
    "nothing yet behind =, and behind other words with breaks": (
        "exec --private-key=- --config=a=b:c.toml --profile=",
        "exec --private-key=- --config=a=b:c.toml --profile=solo",
    ),
    "behind a value of nothing": ("token --profile= --output=en", "token --profile= --output=env"),
    "a file": ("token --private-key pri", "token --private-key private.pem"),
}
completed = pytest.mark.parametrize(("typed", "line"), COMPLETED.values(), ids=COMPLETED)


@pytest.mark.posix("shells of POSIX")
@pytest.mark.parametrize(("typed", "offered"), TYPED.values(), ids=TYPED)
def test_bash(home: Path, typed: str, offered: set[str]) -> None:
    words = typed.split()
    script = (
        'eval "$(banno-creds completion bash)"\n'
        f"COMP_WORDS=({typed}) COMP_CWORD={len(words) - 1}\n"
        "complete -p banno-creds >/dev/null || exit 9\n"
        "_banno_creds_completion banno-creds\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [_shell("bash"), "--norc", "-uec", script],
        env=_environment(home),
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == offered


def _candidates(home: Path, typed: str) -> list[str]:
    """What fish offers, each with its description."""
    script = f'banno-creds completion fish | source; complete -C "{typed}"'
    done = subprocess.run(
        [_shell("fish"), "--no-config", "-c", script],
        cwd=home,
        env=_environment(home),
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.posix("shells of POSIX")
@pytest.mark.parametrize(("typed", "offered"), TYPED.values(), ids=TYPED)
def test_fish(home: Path, typed: str, offered: set[str]) -> None:
    assert {line.split("\t")[0] for line in _candidates(home, typed)} == offered


@pytest.mark.posix("shells of POSIX")
@completed
def test_fish_completes_the_whole_word(home: Path, typed: str, line: str) -> None:
    offered = _candidates(home, f"banno-creds {typed}")
    assert [candidate.split("\t")[0] for candidate in offered] == [line.split()[-1]]


@pytest.mark.posix("shells of POSIX")
def test_fish_completes_a_file_of_the_home(home: Path) -> None:
    assert _candidates(home, "banno-creds token --private-key ~/pri") == ["~/private.pem"]


@pytest.mark.posix("shells of POSIX")
def test_fish_shows_a_description_with_its_commas(home: Path) -> None:
    assert "," in COMMANDS["token"]
    assert _candidates(home, "banno-creds tok") == [f"token\t{COMMANDS['token']}"]


def _press_tab(home: Path, command: list[str], typed: str) -> str:
    """Complete at the terminal of a shell that says nothing at its start, and tell what it runs then."""
    shell = pexpect.spawn(command[0], command[1:], cwd=home, env=_environment(home), encoding="utf-8", timeout=20)
    try:
        shell.expect_exact("> ")
        assert not str(shell.before).strip()
        shell.send(f"banno-creds {typed}\t\r")
        shell.expect_exact("runs: ")
        shell.expect_exact("\r")
        return str(shell.before)
    finally:
        shell.close(force=True)


def _in_bash(home: Path, typed: str) -> str:
    (home / ".bashrc").write_text('PS1="> "\neval "$(banno-creds completion bash)"\n')
    return _press_tab(home, [_shell("bash"), "--noprofile", "-i"], typed)


@pytest.mark.posix("shells of POSIX")
@completed
def test_bash_at_a_terminal(home: Path, typed: str, line: str) -> None:
    assert _in_bash(home, typed) == line


SCHEMES = pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("token --private-key pk\tx", "token --private-key pkcs11:x"),
        ("token --private-key=aw\tx", "token --private-key=awskms:x"),
        ("key show ssh-\tx", "key show ssh-agent:x"),
        ("token --private-key p\t", "token --private-key private.pem"),  # a file begins so too
    ],
)


@pytest.mark.posix("shells of POSIX")
@SCHEMES
def test_a_scheme_is_completed_without_a_blank_behind_it(home: Path, typed: str, line: str) -> None:
    """In all three shells."""
    assert _in_bash(home, typed) == line
    _zshrc(home)
    assert _press_tab(home, [_shell("zsh"), "-i"], typed) == line
    offered = {each.split("\t")[0] for each in _candidates(home, f"banno-creds {typed.partition(chr(9))[0]}")}
    assert offered == {line.split()[-1].removesuffix("x")}


@pytest.mark.posix("shells of POSIX")
def test_bash_takes_a_value_of_nothing_for_complete(home: Path) -> None:
    assert _in_bash(home, "token --config=a=b:c.toml --profile= ") == "token --config=a=b:c.toml --profile="


def _zshrc(home: Path, *before: str) -> None:
    lines = ('PS1="> "', "setopt no_prompt_sp", *before, 'eval "$(banno-creds completion zsh)"')
    (home / ".zshrc").write_text("\n".join(lines) + "\n")


@pytest.mark.posix("shells of POSIX")
@completed
def test_zsh_at_a_terminal(home: Path, typed: str, line: str) -> None:
    """With a start-up file in which nothing has loaded zsh's completion."""
    _zshrc(home)
    assert _press_tab(home, [_shell("zsh"), "-i"], typed) == line


@pytest.mark.posix("shells of POSIX")
def test_zsh_completes_a_file_with_an_equals_sign(home: Path) -> None:
    _zshrc(home)
    typed = "token --private-key=a="
    assert _press_tab(home, [_shell("zsh"), "-i"], typed) == "token --private-key=a=b:c.toml"


@pytest.mark.posix("shells of POSIX")
def test_zsh_that_has_loaded_its_completion(home: Path) -> None:
    _zshrc(home, "autoload -U compinit && compinit -u", "compinit() { echo again }")
    assert _press_tab(home, [_shell("zsh"), "-i"], "token --output=en") == "token --output=env"


@pytest.mark.posix("shells of POSIX")
@pytest.mark.parametrize("shell", sorted(set(SHELLS) - {"powershell"}))
def test_the_script_is_all_that_is_printed(cli: Cli, shell: str) -> None:
    _shell(shell)
    result = cli("completion", shell)
    assert (result.code, result.stderr) == (0, "")
    assert "_BANNO_CREDS_COMPLETE" in result.stdout


def test_another_shell_is_a_usage_error(cli: Cli) -> None:
    result = cli("completion", "tcsh")
    assert (result.code, result.stdout) == (2, "")
    assert "'bash', 'zsh', 'fish'" in result.stderr
