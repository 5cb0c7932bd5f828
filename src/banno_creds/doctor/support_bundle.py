"""The findings as a text for a support case. Its sender reads it, and pastes it into a ticket.

It contains no secret: the findings contain none, and of a setting that may be one only the name is given.
"""

from __future__ import annotations

import os
import platform
import re
import ssl
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import TYPE_CHECKING

from banno_creds import __version__
from banno_creds.doctor.conclusion import NEXT, QUESTIONS, conclusion
from banno_creds.key_uri import SIGNERS
from banno_creds.rules.findings import Verdict
from banno_creds.text import printable
from banno_creds.times import utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from banno_creds.doctor.case import Examination, Setting
    from banno_creds.rules.findings import Finding
    from banno_creds.times import Clock

_LIBRARIES = ("cryptography", "httpx", "httpcore", "certifi", "pyjwt", "truststore", "click", "rich")
_OF_HOLDERS = ("python-pkcs11", "boto3")  # if they are there
_MOST_CHARACTERS = 1000  # of one text
_NUMBERED = re.compile(r"\d+\. ")


def bundle(examination: Examination, settings: Sequence[Setting], *, clock: Clock = time.time) -> str:
    """Write the support bundle of an examination, and of where each setting came from: Markdown that reads as text.

    Text that may come from outside is in code spans, where it cannot be a link, a picture or a mention.
    """
    return "\n".join(_lines(examination, settings, int(clock()))) + "\n"


def _lines(examination: Examination, settings: Sequence[Setting], now: int) -> Iterator[str]:
    yield "# banno-creds doctor"
    yield ""
    yield f"- made: {utc(now)}"
    yield f"- banno-creds: {__version__}"
    yield f"- Python: {platform.python_version()} ({platform.python_implementation()}), {_system()}"
    yield f"- OpenSSL: {ssl.OPENSSL_VERSION}"
    yield f"- libraries: {', '.join(_versions())}"
    yield f"- exit code: {examination.exit_code}"
    parts = [part for part in conclusion(examination) if part.title != NEXT]
    parts.sort(key=lambda part: part.title != QUESTIONS)  # what its reader is to answer comes first
    for part in parts:
        yield from ("", f"## {part.title}", "")
        yield from (
            _to_paste(part.notes, examination.public_key) if part.title == QUESTIONS else map(_item, part.notes)
        )
    yield from ("", "## Token requests", "")
    if not examination.requests:
        yield "- none was made"
    for request in examination.requests:
        outcome = "a token was granted" if request.accepted else _code(request.error)
        varied = f" {request.varied}" if request.varied else ""
        status = f"{request.status} " if request.status else ""
        request_id = _code(request.request_id) if request.request_id else "(none)"
        yield f"- {utc(request.at)}{varied}: {status}{outcome} · x-request-id {request_id}"
    yield from ("", "## Configuration", "")
    for setting in settings:
        yield f"- {setting.name}: {_code(setting.value)} ({_code(setting.source)})"
    yield from ("", "## Findings", "")
    for finding in sorted(examination.findings, key=lambda finding: finding.verdict is Verdict.PASS):
        mark = finding.verdict.upper() if finding.verdict is not Verdict.PASS else finding.verdict
        said = "; ".join(_said(finding))
        yield f"- {mark} {finding.rule} ({finding.looks_at})" + (f": {said}" if said else "")


def _to_paste(questions: Sequence[str], public_key: str) -> Iterator[str]:
    """Return the questions as plain text, the one about the key first, with the key; no line can end the block."""
    bare = [_NUMBERED.sub("", printable(question, _MOST_CHARACTERS).replace("`", "'")) for question in questions]
    bare.sort(key=lambda question: "fingerprint" not in question)
    yield "~~~text"
    for number, question in enumerate(bare, 1):
        yield f"{number}. {question}"
        if number == 1 and public_key:
            yield from ("", "Our public key:", "", *public_key.splitlines(), "")
    yield "~~~"


def _item(note: str) -> str:
    numbered = _NUMBERED.match(note)
    start = numbered[0] if numbered else "- "
    return start + _code(note.removeprefix(start))


def _said(finding: Finding) -> Iterator[str]:
    for name, text in (
        ("received", finding.received),
        ("expected", finding.expected),
        ("why", finding.reason),
        ("fix", finding.fix),
    ):
        if text:
            yield f"{name} {_code(text)}"


def _code(text: str) -> str:
    """Return a code span of one line, with nothing in it that would end it (CommonMark 0.31, section 6.1)."""
    shown = printable(text, _MOST_CHARACTERS).replace("`", "'")
    return f"`{shown or '(blank)'}`"


def _system() -> str:
    """Return the operating system; platform's own function would start a program on some."""
    if sys.platform == "win32":
        import ctypes
        import locale

        windows, pages = sys.getwindowsversion(), (locale.getencoding(), ctypes.windll.kernel32.GetConsoleOutputCP())
        build = ".".join(map(str, windows.platform_version))
        return f"Windows-{build}-{os.environ.get('PROCESSOR_ARCHITECTURE', '')}, code pages {pages[0]} and {pages[1]}"
    system = os.uname()
    return f"{system.sysname}-{system.release}-{system.machine}"


def _versions() -> Iterator[str]:
    for name in _LIBRARIES:
        yield f"{name} {version(name)}"
    for name in _OF_HOLDERS:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
    others = {f"{entry.dist.name} {entry.dist.version}" for entry in entry_points(group=SIGNERS) if entry.dist}
    yield from sorted(others)
