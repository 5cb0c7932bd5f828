"""Every promise of README.md, SECURITY.md and pages of docs/ is held by a test: promises.toml says which."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.once

TESTS = Path(__file__).parent
TABLE: dict[str, Any] = tomllib.loads((TESTS / "promises.toml").read_text("utf-8"))
PROMISES: list[dict[str, Any]] = TABLE["promise"]
PAGES = ("README.md", "SECURITY.md")
ALL_PAGES = (
    *PAGES,
    "docs/api.md",
    "docs/first-token.md",
    "docs/scripts.md",
    "docs/keys.md",
    "docs/network.md",
    "docs/windows.md",
)


def one_line(text: str) -> str:
    return " ".join(text.split())


def paragraphs(page: str) -> list[str]:
    """Return the prose, each paragraph and each point of a list on one line."""
    text = (TESTS.parent / page).read_text("utf-8")
    if page == "SECURITY.md":  # what it leaves to the user is no promise
        text = text.partition("## What it does\n")[2].partition("\n## ")[0]
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    pieces = re.split(r"\n\s*\n|\n(?=- )", text)
    return [one_line(piece) for piece in pieces if piece.strip() and not piece.strip().startswith(("#", "|", "!["))]


def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", ALL_PAGES)
def test_every_promise_is_still_made(page: str) -> None:
    text = one_line((TESTS.parent / page).read_text("utf-8"))
    assert [one["says"] for one in PROMISES if one["page"] == page and one["says"] not in text] == []


def test_every_promise_has_tests_that_exist() -> None:
    named = [test for one in PROMISES for test in one["tests"]]
    files = {test.partition("::")[0] for test in named}
    there = {f"{file}::{name}" for file in files if (TESTS / file).exists() for name in names_in(TESTS / file)}
    assert sorted(set(named) - there) == []
    assert all(one["tests"] and one["page"] in ALL_PAGES for one in PROMISES)


@pytest.mark.parametrize("page", PAGES)
def test_every_paragraph_has_a_promise_or_is_known_to_have_none(page: str) -> None:
    quotes = [one["says"] for one in PROMISES if one["page"] == page]
    nothing = tuple(TABLE["nothing_promised"])
    found = paragraphs(page)
    assert len(found) > 10
    assert [each for each in found if not each.startswith(nothing) and not any(q in each for q in quotes)] == []


def test_what_promises_nothing_is_still_there() -> None:
    found = paragraphs("README.md")
    assert [start for start in TABLE["nothing_promised"] if not any(each.startswith(start) for each in found)] == []
