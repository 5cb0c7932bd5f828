"""Read errors.md: what each OAuth error and each rule means, how it comes about and what to do.

The page is the one place of these texts. ``banno-creds explain`` prints its sections, findings and diagnoses take
title, fix and question from it, and the documentation links to it.

A section begins with a heading of level 3 that is an id in backticks. Its paragraphs are, in this order: the title in
bold followed by the cause; the fix after ``**Fix:**``; any further steps, with commands in ``sh`` fences; and, where
only the bank can answer, a question after ``**Ask the administrator:**``. Links to other sections are for the page
alone and are removed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

_LINK = re.compile(r"\[(`[^`]+`)\]\(#[^)]*\)")
_FENCE = re.compile(r"```sh\n(.*)\n```", re.DOTALL)
_BLANK = re.compile(r"\b(?:CLIENT_ID|FINGERPRINT|ALG|SCOPE)\b")


class Explanation(NamedTuple):
    """One section of errors.md, as plain paragraphs.

    Attributes:
        title: the fault in at most 60 characters, without a full stop.
        cause: what is looked at, how the fault comes about, how the server shows it.
        fix: what to do: one imperative sentence that also stands in tables, of at most 140 characters, with a small
            letter first, no full stop and no backticks.
        more: further steps, in paragraphs; one that begins with four blanks is a command.
        question: what to ask the bank's administrator, with CLIENT_ID, FINGERPRINT, ALG and SCOPE where `asked` fills
            in the values; None where the bank need not be asked.
    """

    title: str
    cause: str
    fix: str
    more: str = ""
    question: str | None = None

    def asked(self, facts: Mapping[str, str]) -> str:
        """Return the question about one client."""
        return _BLANK.sub(lambda name: facts[name[0].lower()], self.question or "")


class _Explanations(Mapping[str, Explanation]):
    """The sections by their ids. One is parsed when it is first asked for: most runs need one or none."""

    def __getitem__(self, name: str) -> Explanation:
        return _parsed(_sections()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_sections())

    def __len__(self) -> int:
        return len(_sections())


EXPLANATIONS: Mapping[str, Explanation] = _Explanations()
"""All explanations by their ids: each `Rule`, and each error code of RFC 6749, 6750, 7009, 8707, 9449 and OpenID."""


@cache
def groups() -> Mapping[str, tuple[str, ...]]:
    """Return the ids under each heading of the page, in its order."""
    return {heading: tuple(sections) for heading, sections in _page().items()}


@cache
def _sections() -> Mapping[str, str]:
    return {name: text for sections in _page().values() for name, text in sections.items()}


@cache
def _page() -> Mapping[str, Mapping[str, str]]:
    """Read the page: the text of each section by its id, by the heading that it stands under."""
    # Not by importlib.resources: importing it takes longer than reading the page.
    _, *parts = Path(__file__).with_name("errors.md").read_text("utf-8").split("\n## ")
    page = {}
    for part in parts:
        heading, *sections = part.split("\n### `")
        if sections:  # else it is a table of the page's own
            page[heading.strip()] = dict(section.split("`\n", 1) for section in sections)
    return page


@cache
def seen() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the rows of the table "By what you see": a text that a person may see, in lower case, and its ids."""
    page = Path(__file__).with_name("errors.md").read_text("utf-8")
    rows = []
    for row in re.findall(r"^\| (.*) \| (\[`.*) \|$", page, re.MULTILINE):
        ids = tuple(re.findall(r"\[`([^`]+)`\]\(#", row[1]))
        texts = re.findall(r"\"([^\"]+ [^\"]+)\"|`([A-Z_]{8,})`", row[0])
        rows += [((quoted or code).lower(), ids) for quoted, code in texts]
    return tuple(rows)


@cache
def _parsed(section: str) -> Explanation:
    first, fix, *further = (_paragraph(block) for block in section.strip().split("\n\n"))
    title, cause = first.removeprefix("**").split(".** ", 1)
    question = None
    if further and further[-1].startswith("**Ask the administrator:** "):
        question = further.pop().removeprefix("**Ask the administrator:** ")
    return Explanation(title, cause, fix.removeprefix("**Fix:** ").removesuffix("."), "\n\n".join(further), question)


def _paragraph(block: str) -> str:
    if command := _FENCE.fullmatch(block):
        return f"    {command[1]}"
    return _LINK.sub(r"\1", block.replace("\n", " "))
