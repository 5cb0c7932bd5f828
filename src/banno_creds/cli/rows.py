"""What became of many clients: a row for each, as a table for people, JSON, JSON Lines, CSV or JUnit's XML."""

from __future__ import annotations

import re
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.cli.lines import DIM, INDENT, Line
from banno_creds.errors import (
    ConfigurationError,
    KeyLoadError,
    NetworkError,
    NotAskedError,
    RefusedError,
    SigningError,
    TimedOutError,
    TokenError,
    UnavailableError,
    UntrustedServerError,
    UnusableAnswerError,
    Words,
)
from banno_creds.text import printable, sentence
from banno_creds.times import LAST_INSTANT, until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from banno_creds.errors import BannoCredsError

FORMS = ("text", "json", "jsonl", "csv", "junit")
NOT_ASKED = "not_asked"
INTERRUPTED = "interrupted"
BUG = "bug"

# Of an error that no server named, from the most to the least special class.
KINDS: Mapping[type[BannoCredsError], str] = {
    TimedOutError: "timed_out",
    UntrustedServerError: "untrusted_server",
    UnavailableError: "unavailable",
    UnusableAnswerError: "unusable_answer",
    NetworkError: "network",
    RefusedError: "refused",
    NotAskedError: NOT_ASKED,
    TokenError: "token",
    SigningError: "key",
    KeyLoadError: "key",
    ConfigurationError: "configuration",
}
# The rules of errors that name none: how the doctor calls such a fault.
_RULES = {
    "timed_out": "network.timeout",
    "untrusted_server": "network.tls.untrusted",
    "unavailable": "network.unavailable",
    "unusable_answer": "network.answer",
    "network": "network.connection",
    "key": "key.unusable",
    "configuration": "configuration.invalid",
    NOT_ASKED: "check.given_up",
}
# What does not mend itself is worse: a network may be there again in a minute.
_SEVERITY = (1, 2, 3, 4, 6, 5, 130)
_WORDS = {1: BUG, 2: "configuration", 3: "key", 4: "refused", 5: "network", 6: "token", 130: "interrupted"}
_MOST_NAMES = 40
_COLUMNS = ("profile", "ok", "exit_code", "error", "rule", "message", "next", "client_id", "server", "seconds")


class Row(NamedTuple):
    """What became of one profile's client.

    Attributes:
        profile: the profile's name.
        exit_code: as of `token` for this profile; 130 if the run was interrupted before it had an answer.
        error: the server's OAuth error code, else the kind of the error, see `KINDS`; None if there is none.
        rule: the id under which the error is explained.
        message: what failed.
        next: what to do.
        details: further lines: the server's words, a request id.
        warnings: what is odd, though it works.
        client_id: the client, where it is known.
        server: the token endpoint, or the issuer, where it is known.
        seconds: how long it took; None if no server was asked.
        expires_at: when the token ends, in seconds since the epoch.
        last_good: of one that is not good, when a check before this one found it good.
        token: the members of the token response, where they are the result.
    """

    profile: str
    exit_code: int = 0
    error: str | None = None
    rule: str | None = None
    message: str | None = None
    next: str | None = None
    details: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    client_id: str | None = None
    server: str | None = None
    seconds: float | None = None
    expires_at: int | None = None
    last_good: int | None = None
    token: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.exit_code == 0

    @property
    def is_open(self) -> bool:
        """Whether nobody knows if anything is wrong."""
        return self.error in (NOT_ASKED, INTERRUPTED)

    def members(self) -> dict[str, Any]:
        """Return the members of its JSON."""
        members = {"profile": self.profile, "ok": self.ok, **self._asdict()}
        del members["token"]
        members |= {"details": list(self.details), "warnings": list(self.warnings)}
        return members if self.token is None else {**members, **self.token}


def row_of(profile: str, members: Mapping[str, Any]) -> Row | None:
    """Return a row that was written as JSON; None if it was not."""
    try:
        given = {name: members[name] for name in Row._fields if name in members and name not in ("profile", "token")}
        given |= {name: tuple(map(str, given.get(name, ()))) for name in ("details", "warnings")}
        row = Row(profile, **given)
        texts = (row.error, row.rule, row.message, row.next, row.client_id, row.server)
        if (
            all(text is None or isinstance(text, str) for text in texts)
            and all(map(_is_time, (row.seconds, row.expires_at, row.last_good)))
            and row.exit_code in (0, *_SEVERITY)
        ):
            return row
    except (TypeError, ValueError):
        pass
    return None


def _is_time(value: object) -> bool:
    """Return whether a row may have this as a time."""
    return value is None or (isinstance(value, int | float) and 0 <= value < LAST_INSTANT)


def fault(row: Row, error: BannoCredsError, words: Words, doctor: str) -> Row:
    """Return a row with an error; ``words`` are the error's, ``doctor`` the command line that can tell more."""
    kind = next((word for kind, word in KINDS.items() if isinstance(error, kind)), BUG)
    named = printable(error.error or "", 80) if isinstance(error, RefusedError) else ""
    if named in (*KINDS.values(), INTERRUPTED, BUG):
        named = ""  # a server that says not_asked was asked all the same
    next_ = words.hint
    if next_ is not None and error.doctor_can_tell:
        next_ = f"{next_}: {doctor}"
    return row._replace(
        exit_code=error.exit_code if error.exit_code in _SEVERITY else 1,
        error=named or kind,
        rule=error.rule or _RULES.get(kind),
        message=printable(words.message, 1000),
        next=None if next_ is None else printable(next_, 1000),
        details=tuple(printable(detail) for detail in words.details),
    )


def interrupted(profile: str, next_: str) -> Row:
    """Return the row of a client that had no answer when the run was interrupted; ``next_`` is what to do."""
    return Row(
        profile,
        exit_code=130,
        error=INTERRUPTED,
        message="not known: the run was interrupted before there was an answer",
        next=next_,
    )


def worst(rows: Iterable[Row]) -> int:
    """Return the exit code for all of them."""
    codes = {row.exit_code for row in rows}
    return next((code for code in _SEVERITY if code in codes), 0)


def counted(rows: Sequence[Row], *, offline: bool = False) -> str:
    """Say in a line how many there are of each kind; ``offline`` if good means only that no fault was found here."""
    counts: dict[str, int] = {}
    for row in sorted(rows, key=_rank):
        if not row.ok:
            kind = "not asked" if row.error == NOT_ASKED else _WORDS[row.exit_code]
            counts[kind] = counts.get(kind, 0) + 1
    good = sum(row.ok for row in rows)
    parts = [f"{good:,} good", *(f"{count:,} {kind}" for kind, count in counts.items())]
    profiles = "profile" if len(rows) == 1 else "profiles"
    return f"{len(rows):,} {profiles}: {', '.join(parts)}" + ("; no server was asked" if offline else "")


def _rank(row: Row) -> tuple[int, bool, bool]:
    return (_SEVERITY.index(row.exit_code) if not row.ok else len(_SEVERITY), row.is_open, not row.warnings)


# --- For people -----------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row], now: float, *, every_name: bool = False) -> Iterable[tuple[Line, str, int]]:
    """Return the table, the failures first: lines, each with its indent and its further indent when it wraps.

    Profiles with the same fault and the same next step are one row. Of many good ones only the number is told, unless
    ``every_name``.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in sorted(rows, key=_rank):
        groups.setdefault(_same(row), []).append(row)
    for group in groups.values():
        yield from _group(group, now, every_name=every_name)


def summary(rows: Sequence[Row], *, offline: bool) -> tuple[Line, str, int]:
    """Return the last line; see `counted`."""
    return ((counted(rows, offline=offline), "bold"),), "", len(INDENT)


def _same(row: Row) -> tuple[object, ...]:
    mine = re.compile(rf"\b(profile|profile set) {re.escape(row.profile)}(?![\w.-])")
    told = tuple(mine.sub(r"\1", text or "") for text in (row.message, row.next, *row.warnings))
    return (row.exit_code, row.error, row.rule, *told)


def _group(group: Sequence[Row], now: float, *, every_name: bool) -> Iterable[tuple[Line, str, int]]:
    first = group[0]
    mark, style = ("✓", "green") if first.ok else ("?", "cyan") if first.is_open else ("✗", "bold red")
    if first.ok and first.warnings:
        mark, style = "!", "yellow"
    title = first.profile if len(group) == 1 else f"{len(group):,} profiles"
    said = "good" if first.ok else first.rule or (first.error or "").replace("_", " ")
    yield ((f"{mark:<{len(INDENT)}}", style), (f"{title:<15} ", ""), (said, style)), "", len(INDENT) + 16
    further = [("what", sentence(first.message or "")), *(("note", warning) for warning in first.warnings)]
    if len(group) == 1 and first.exit_code == ConfigurationError.exit_code:
        further += [("where", detail) for detail in first.details]  # the place in the file
    elif len(group) == 1:
        further += [("answer", detail) for detail in first.details if "x-request-id" in detail]  # for a support case
    since = {None if row.last_good is None else until(row.last_good, now) for row in group}
    further += [("last good", when) for when in since if when and len(since) == 1]
    further.append(("next", first.next or ""))
    if len(group) > 1 and (every_name or not first.ok or len(group) <= _MOST_NAMES // 4):
        names = [row.profile for row in group]
        more = "" if every_name or len(names) <= _MOST_NAMES else f" and {len(names) - _MOST_NAMES:,} more"
        further.insert(0, ("profiles", ", ".join(names if not more else names[:_MOST_NAMES]) + more))
    for name, text in further:
        if text:
            yield ((f"{name:<10}", DIM), (text, "")), INDENT * 2, 10


# --- For programs ---------------------------------------------------------------------------------------------------


def as_json(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """Return all rows as one JSON object; ``about`` are members about the run."""
    return dumps({"version": 1, **about, "profiles": [row.members() for row in rows]})


def csv_line(row: Row | None) -> str:
    """Return a row's line, or the first line with the columns' names."""
    cells = _COLUMNS if row is None else tuple(map(_cell, (row.members()[name] for name in _COLUMNS)))
    return ",".join(cells)


# Where columns are separated by semicolons, as in much of Europe, a spreadsheet begins a cell after each of them.
# Some take the wide forms of these characters for the usual ones.
_FORMULA = re.compile(r'(^|[;\t\r\n])([\s"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])')


def _cell(value: object) -> str:
    """Return a value for a spreadsheet: RFC 4180, and nothing that it would take for a formula."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    text = _FORMULA.sub(r"\1\2'", value) if isinstance(value, str) else str(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(';,"\r\n') else text


def as_junit(rows: Sequence[Row], seconds: float) -> str:
    """Return the rows as JUnit's XML, one test case for each profile."""
    open_ = sum(row.is_open for row in rows)
    failed = sum(not row.ok for row in rows) - open_
    counts = f'tests="{len(rows)}" failures="{failed}" errors="0" skipped="{open_}" time="{seconds:.3f}"'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {counts}>"]
    lines.append(f'<testsuite name="banno-creds check" {counts}>')
    for row in rows:
        case = f'<testcase classname="{_xml(row.server or "profile")}" name="{_xml(row.profile)}"'
        case += f' time="{row.seconds or 0:.3f}"'
        if row.ok:
            lines.append(f"{case}/>")
            continue
        text = "\n".join((*row.details, f"Next: {row.next}" if row.next else ""))
        tag, type_ = ("skipped", "") if row.is_open else ("failure", f' type="{_xml(row.error or "")}"')
        lines.append(f'{case}><{tag}{type_} message="{_xml(row.message or "")}">{_xml(text)}</{tag}></testcase>')
    return "\n".join((*lines, "</testsuite>", "</testsuites>"))


_XML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


def _xml(text: str) -> str:
    """Return text for XML 1.0, which has no control characters, surrogates or noncharacters."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text).translate(_XML)
