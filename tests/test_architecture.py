"""The house as it was drawn: who may import whom, and what a command does not pay for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import banno_creds
from banno_creds.cli import COMMANDS

PACKAGE = Path(banno_creds.__file__).parent
HEAVY = ("httpx", "jwt", "cryptography", "rich", "flask", "authlib", "tomlkit")


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name not in ("cli", "sandbox")],
    ids=lambda path: path.name,
)
def test_domain_modules_know_neither_click_nor_rich(path: Path) -> None:
    imported = _imports(path)
    assert "click" not in imported
    assert "rich" not in imported


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_report_prints(path: Path) -> None:
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "print" not in calls


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["--help"], {}),
        (["--version"], {}),
        (["client-assertion", "--help"], {}),
        (["decode", "--help"], {}),
        (["token", "--help"], {}),
        (["api", "--help"], {}),
        (["profile", "add", "--help"], {}),
        ([], {"_BANNO_CREDS_COMPLETE": "bash_complete", "COMP_WORDS": "banno-creds client-", "COMP_CWORD": "1"}),
    ],
    ids=["help", "version", "command help", "decode help", "token help", "api help", "profile help", "completion"],
)
def test_help_and_completion_load_nothing_heavy(args: list[str], env: dict[str, str]) -> None:
    program = (
        "import sys, banno_creds.cli as c\n"
        "try: c.run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *args], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_listing_the_commands_imports_none_of_them() -> None:
    program = (
        "import sys, banno_creds.cli as c\n"
        "c.run(['--help'])\n"
        "sys.exit(', '.join(m for m in sys.modules if m.startswith('banno_creds.cli.')) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(re.findall(r"^  ([a-z-]+)  +[A-Z]", done.stdout, re.MULTILINE)) == set(COMMANDS)
