"""The house: which module may import which, and what a command does not pay for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import banno_creds
from banno_creds.cli.groups import COMMANDS
from tests.processes import bare_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = Path(banno_creds.__file__).parent
TESTS = Path(__file__).parent
HEAVY = ("httpx", "jwt", "cryptography", "rich", "flask", "authlib", "tomlkit")

# Lowest first. A module imports from its own layer or from a lower one, `if TYPE_CHECKING` included.
LAYERS = (
    ("errors", "steps", "secrecy", "text", "times", "child", "streams", "windows_programs", "shells", "threads"),
    ("storage", "checks", "key_uri", "cache_address"),
    ("config", "recall"),  # one names folders by storage's table, the other reads files as storage does
    ("jose", "http", "profiles", "redirection"),
    ("key_holders", "shared_cache"),
    ("client_authentication",),
    ("rules",),
    ("tokens", "sandbox"),
    ("many",),
    ("login", "doctor", "rotation", "serve"),
    ("api",),
    ("cli", "__main__"),
)


# The one import that goes up: a class method that a Python program calls, and that imports when it is called.
UPWARD = {"config -> profiles.client"}


def _names(path: Path) -> tuple[str, ...]:
    """Return a module's name below the package, `__init__` left out."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {".".join(_names(path)): path for path in sorted(PACKAGE.rglob("*.py"))}


def _imported(path: Path) -> set[str]:
    """Return the full names of all that a file imports, wherever in it."""
    package = path.relative_to(PACKAGE.parent).parent.parts if path.is_relative_to(PACKAGE) else ()
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = [*package[: len(package) + 1 - node.level]] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def _own_imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports; the public names are no module."""
    found = set()
    for name in _imported(MODULES[module]):
        package, _, rest = name.partition(".")
        if package == "banno_creds":
            found.add(rest if rest in MODULES else rest.rpartition(".")[0])
    return found - {"", module}


IMPORTS = {module: _own_imports(module) for module in MODULES}


def _layer(module: str) -> int:
    wing = module.partition(".")[0]
    return next(number for number, layer in enumerate(LAYERS) if wing in layer)


def _circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the nodes of one circle, or none."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        nodes: list[str] = circle.args[1]
        return nodes
    return []


@pytest.mark.once
def test_every_module_has_a_layer() -> None:
    assert {module.partition(".")[0] for module in MODULES} - {""} == {name for layer in LAYERS for name in layer}


@pytest.mark.once
def test_no_module_imports_upward() -> None:
    # The package itself offers the public names, and is not a part of any layer.
    upward = {
        f"{module} -> {other}"
        for module, others in IMPORTS.items()
        for other in others
        if module and _layer(other) > _layer(module)
    }
    assert upward == UPWARD


@pytest.mark.once
def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module: {other for other in others if f"{module} -> {other}" not in UPWARD}
        for module, others in IMPORTS.items()
    }
    assert _circle({module: others for module, others in graph.items() if module}) == []


@pytest.mark.once
def test_no_wings_import_each_other_in_a_circle() -> None:
    wings: dict[str, set[str]] = {}
    for module, others in IMPORTS.items():
        wing = module.partition(".")[0]
        if wing and _layer(wing) > 0:
            below = {other for other in others if f"{module} -> {other}" not in UPWARD}
            wings.setdefault(wing, set()).update(other.partition(".")[0] for other in below)
            wings[wing].discard(wing)
    assert _circle(wings) == []


@pytest.mark.once
def test_the_domain_knows_neither_click_nor_rich() -> None:
    domain = [name for name in MODULES if not name.startswith(("cli", "sandbox", "__main__"))]
    tops = {name: {imported.partition(".")[0] for imported in _imported(MODULES[name])} for name in domain}
    assert {name for name, imported in tops.items() if imported & {"click", "rich"}} == set()


def _doors() -> dict[str, set[str]]:
    """Return the modules that each wing's docstring names, `like_this`."""
    wings = [name for layer in LAYERS for name in layer if (PACKAGE / name).is_dir()]
    texts = {wing: ast.get_docstring(ast.parse(MODULES[wing].read_text("utf-8"))) or "" for wing in wings}
    return {wing: set(re.findall(r"`([a-z_0-9]+)(?:\.\w+)?`", text)) for wing, text in texts.items()}


@pytest.mark.once
def test_every_wing_names_its_modules() -> None:
    doors = _doors()
    missing = {
        module
        for module in MODULES
        for wing, _, room in [module.partition(".")]
        if room and room not in doors[wing] and not (wing == "cli" and room.replace("_", "-") in COMMANDS)
    }
    assert missing == set()


@pytest.mark.once
def test_no_test_module_is_imported() -> None:
    """What several of them use stands in a module with a name of its own."""
    found = {str(path) for path in TESTS.rglob("*.py") if any(".test_" in f".{name}" for name in _imported(path))}
    assert found == set()


@pytest.mark.once
def test_servers_stand_in_one_package() -> None:
    servers = {
        path.relative_to(TESTS).parts[0]
        for path in TESTS.rglob("*.py")
        if any(name.startswith("http.server") for name in _imported(path))
    }
    assert servers == {"servers"}


@pytest.mark.parametrize(
    ("args", "env"),
    [
        (["--help"], {}),
        (["-h"], {}),
        (["help"], {}),
        (["help", "token"], {}),
        (["token", "-h"], {}),
        (["--version"], {}),
        (["client-assertion", "--help"], {}),
        (["decode", "--help"], {}),
        (["token", "--help"], {}),
        (["api", "--help"], {}),
        (["profile", "add", "--help"], {}),
        ([], {"_BANNO_CREDS_COMPLETE": "bash_complete", "COMP_WORDS": "banno-creds client-", "COMP_CWORD": "1"}),
    ],
    ids=[
        *("help", "short help", "help as a command", "help of a command", "short help of a command", "version"),
        *("command help", "decode help", "token help", "api help", "profile help", "completion"),
    ],
)
def test_help_and_completion_load_nothing_heavy(args: list[str], env: dict[str, str]) -> None:
    program = (
        "import sys, banno_creds.cli.main as c\n"
        "try: c.run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program, *args],
        env=bare_environment(**env),
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_listing_the_commands_imports_none_of_them() -> None:
    program = (
        "import sys, banno_creds.cli.main as c\n"
        "c.run(['--help'])\n"
        "sys.exit(', '.join(m for m in sys.modules if m.startswith('banno_creds.cli.')\n"
        "    and m not in ('banno_creds.cli.main', 'banno_creds.cli.groups', 'banno_creds.cli.help')) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program], capture_output=True, encoding="utf-8", timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", done.stdout, re.MULTILINE)) == set(COMMANDS)
