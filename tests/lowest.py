"""The lowest versions that pyproject.toml allows, as constraints for pip; what it does not name is pinned as ever.

Runs with Python 3.11 or later, before anything is installed:
    python3 tests/lowest.py >lowest.txt
"""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parent.parent


def floors() -> dict[str, str]:
    """Return each package that pyproject.toml names with its lowest version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = chain(project["dependencies"], *project["optional-dependencies"].values())
    return dict(_floor(requirement) for requirement in named)


def _floor(requirement: str) -> tuple[str, str]:
    found = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<\d+)?(?: ; .*)?", requirement)
    if found is None:
        raise ValueError(f"{requirement} names no lowest version")
    return found[1], found[2]


def constraints() -> str:
    """Return constraints.txt with the lowest versions in the place of the pinned ones."""
    lowest = floors()
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rest = [line for line in pinned if line.partition("==")[0] not in lowest]
    return "\n".join([*(f"{name}=={version}" for name, version in lowest.items()), *rest])


if __name__ == "__main__":
    print(constraints())
