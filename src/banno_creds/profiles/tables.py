"""Many profiles as one text, which comes from a spreadsheet or another machine, or goes there: CSV, JSON or TOML."""

from __future__ import annotations

import csv
import io
import os
import re
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.errors import ConfigurationError
from banno_creds.jose.encoding import parse_json
from banno_creds.profiles.edits import edit, profile_toml, with_profiles
from banno_creds.profiles.file import ConfigFile
from banno_creds.profiles.names import check_name, quoted
from banno_creds.profiles.settings import LISTS, SETTINGS, TABLES, find_fault, portable, type_of
from banno_creds.storage.secret_files import as_utf8
from banno_creds.text import printable, spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from banno_creds.config import Location
    from banno_creds.profiles.settings import Fault

FORMS = ("toml", "json", "csv")
"""The forms of many profiles."""
MOST_BYTES = 16 * 1024 * 1024
_NAME = "profile"  # the column, or the member, with the profile's name


class Row(NamedTuple):
    """A profile as a text gives it: its settings, not yet checked, and where it stands, for a message."""

    settings: Mapping[str, Any]
    place: str


def parse_profiles(content: bytes, origin: str) -> dict[str, Row]:
    """Return the profiles of a text in CSV, JSON or TOML, by their names; messages call the text ``origin``.

    Raises:
        ConfigurationError: it is none of these, a name is missing, invalid or there twice, or a column is no setting.
    """
    if len(content) > MOST_BYTES:
        raise ConfigurationError(
            f"{origin} is larger than {MOST_BYTES // 1024 // 1024} MiB", hint="check that it is the file you mean"
        )
    try:
        text = as_utf8(content).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{origin} is not UTF-8 text", hint='save it as UTF-8; Excel calls it "CSV UTF-8"'
        ) from None
    start = text.lstrip()
    if start.startswith("{") or re.match(r"\[\s*[{\]]", start):
        found = _from_json(text, origin)
    elif re.match(r"\s*(?:\[|#|[\w.\"'-]+[ \t]*=)", text):
        found = _from_toml(text, origin)
    else:
        found = _from_csv(text, origin)
    rows: dict[str, Row] = {}
    for name, row in found:
        try:
            check_name(name)
        except ConfigurationError as error:
            raise error.but(details=(row.place,)) from None
        if name in rows:
            raise _fault(f"there are two profiles {name}", "leave one of them", row.place)
        rows[name] = row
    if not rows:
        raise ConfigurationError(f"there is no profile in {origin}", hint="give CSV, JSON or TOML with some in it")
    return rows


def _fault(message: str, hint: str, place: str) -> ConfigurationError:
    return ConfigurationError(message, hint=hint, details=(place,))


def _from_toml(text: str, origin: str) -> Iterator[tuple[str, Row]]:
    file = ConfigFile(origin, text)
    for name, settings in file.parse().get("profiles", {}).items():
        yield name, Row(settings, f"in {origin}, profile {name}")


def _from_json(text: str, origin: str) -> Iterator[tuple[str, Row]]:
    """Read what `format_profiles` writes; or an array of profiles, each with its name as the member ``profile``."""
    try:
        data = parse_json(text)
    except ValueError as fault:
        raise ConfigurationError(f"{origin} cannot be read: {fault}", hint="correct it there") from None
    form = 'write {"profiles": {"NAME": {"client_id": "…"}}}, or [{"profile": "NAME", "client_id": "…"}]'
    profiles = data.get("profiles") if isinstance(data, dict) else data
    if not isinstance(profiles, dict | list):
        raise ConfigurationError(f"{origin} has no profiles in it", hint=form)
    for key, settings in profiles.items() if isinstance(profiles, dict) else enumerate(profiles):
        place = f"in {origin}, profile {printable(key, 60) if isinstance(key, str) else f'number {key + 1}'}"
        if not isinstance(settings, dict):
            raise _fault("a profile is no object", form, place)
        name = key if isinstance(key, str) else settings.get(_NAME)
        if not isinstance(name, str):
            raise _fault("a profile has no name", form, place)
        own = settings if isinstance(key, str) else {each: settings[each] for each in settings if each != _NAME}
        yield name, Row(own, place)


def _from_csv(text: str, origin: str) -> Iterator[tuple[str, Row]]:
    """Read lines of CSV (RFC 4180); the first one names the settings, and says what separates columns."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns: list[str] = []
    try:
        for cells in lines:
            values = [cell.strip() for cell in cells]
            place = f"in {origin}, line {lines.line_num}"
            if not any(values):
                continue
            if not columns:
                columns = _columns(values, place)
                continue
            if len(values) > len(columns) and any(values[len(columns) :]):
                hint = "put a value with a separator in it in double quotes"
                raise _fault("a line has more columns than the first one", hint, place)
            row = {key: value for key, value in zip(columns, values, strict=False) if key and value}
            name = row.pop(_NAME, "")
            if not name:
                raise _fault("a line has no profile's name", f"fill in the column {_NAME}", place)
            yield name, Row({key: _value(key, value, place) for key, value in row.items()}, place)
    except csv.Error as fault:
        place = f"in {origin}, line {lines.line_num}"
        raise _fault(f"a line is not CSV: {printable(fault, 80)}", "correct it there", place) from None


def _columns(cells: list[str], place: str) -> list[str]:
    """Return the settings that the columns hold, as spreadsheets may write them: ``Client ID`` is ``client_id``."""
    columns = [re.sub(r"[\s-]+", "_", cell.lower()) for cell in cells]
    if _NAME not in columns:
        hint = f"the first line names the columns: {_NAME},client_id,private_key,…"
        raise _fault(f"there is no column {_NAME}", hint, place)
    for column in columns:
        if column and columns.count(column) > 1:
            raise _fault(f"there are two columns {quoted(column)}", "leave one of them", place)
        fault = None if column in ("", _NAME, *SETTINGS) else find_fault({column: ""})
        if fault is not None:
            hint = spelled(fault.hint)
            hint = f"{hint} Else take the column out" if hint.endswith("?") else f"take the column out; {hint}"
            raise _fault(spelled(fault.message), hint, place)
    return columns


def _value(key: str, text: str, place: str) -> Any:
    """Return a cell's value with the type that its setting has; what has another one is found by the check."""
    if key in TABLES or (key in LISTS and text.startswith("[")):
        try:
            return parse_json(text)
        except ValueError as fault:
            raise _fault(f"{key} cannot be read: {fault}", "write it as JSON", place) from None
    if key in LISTS:
        return list(dict.fromkeys(text.replace(",", " ").split() if key == "tags" else text.split()))
    kind = type_of(key)
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is not None and re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?", text):
        return float(text) if "." in text else int(text)
    return text


def format_profiles(profiles: Mapping[str, Mapping[str, Any]], form: str) -> str:
    """Return profiles as one text of `FORMS`, without a line end at its end; `parse_profiles` reads it."""
    if form == "json":
        return dumps({"profiles": profiles}, ensure_ascii=False)
    if form == "toml":
        return "\n".join(profile_toml(name, settings) for name, settings in profiles.items()).removesuffix("\n")
    used = {key for settings in profiles.values() for key in settings}
    columns = [key for key in SETTINGS if key in used]
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow((_NAME, *columns))
    for name, settings in profiles.items():
        lines.writerow((name, *(_cell(settings.get(key)) for key in columns)))
    return stream.getvalue().removesuffix("\n")


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and value and all(text.split() == [text] and text[0] != "[" for text in value):
        return " ".join(value)
    return dumps(value, ensure_ascii=False)


# --- Into the user's file -------------------------------------------------------------------------------------------


class Change(NamedTuple):
    """What an import does to a profile: the settings it had, none for a new one, and those it has then."""

    before: Mapping[str, Any] | None
    after: Mapping[str, Any]

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that differ."""
        before = self.before or {}
        return tuple(key for key in {**before, **self.after} if not _same(before.get(key), self.after.get(key)))


def import_profiles(
    rows: Mapping[str, Row], folder: str, config: Location | None = None, *, replace: bool = False, dry: bool = False
) -> tuple[str, dict[str, Change]]:
    """Add and change many profiles, all of them or none.

    Args:
        rows: the profiles by their names, as `parse_profiles` reads them. Of a profile that is there already,
            each setting that is given replaces the one before.
        folder: the folder that their relative paths count from.
        config: the file; None for the user's own, which is made if it is missing.
        replace: take out the settings of these profiles that are not given.
        dry: write nothing.

    Returns:
        The file's path, and what changed by the profiles' names: new ones, and those with another value.

    Raises:
        ConfigurationError: a profile has a fault, or would have one; it names ten of them.
        OutputError: the file could not be written.
    """
    changes: dict[str, Change] = {}

    def change(file: str, text: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        profiles, home = data.get("profiles", {}), os.path.dirname(file)
        faults: list[tuple[Fault, str]] = []
        for name, row in rows.items():
            before = profiles.get(name)
            fault = find_fault(row.settings)
            own = {} if fault is not None else portable(row.settings, folder)
            after = _imported(before or {}, own, home, replace=replace)
            fault = fault or find_fault(after)
            if fault is not None:
                faults.append((fault, row.place))
            elif before is None or Change(before, after).settings:
                changes[name] = Change(before, after)
        _refuse(faults, len(rows))
        after_all = {name: each.after for name, each in changes.items()}
        return with_profiles(file, text, profiles, after_all), {**data, "profiles": {**profiles, **after_all}}

    return edit(config, change, dry=dry), changes


_MOST_FAULTS = 10


def _refuse(faults: list[tuple[Fault, str]], number: int) -> None:
    if not faults:
        return
    # Spelled as the file has it, and no option.
    details = [f"{place.removeprefix('in ')}: {spelled(fault.message)}" for fault, place in faults[:_MOST_FAULTS]]
    more = len(faults) - _MOST_FAULTS
    raise ConfigurationError(
        f"{len(faults)} of {number} profiles cannot be imported, nothing was changed",
        hint=spelled(faults[0][0].hint),
        details=(*details, f"and {more} more") if more > 0 else tuple(details),
    )


def _imported(before: Mapping[str, Any], own: Mapping[str, Any], home: str, *, replace: bool) -> dict[str, Any]:
    """Return a profile's settings after an import; a value that means the same stays as it is written."""
    kept = portable(before, home) if find_fault(before) is None else before
    same = {key: before[key] for key in own if key in kept and _same(kept[key], own[key])}
    return {**({key: before[key] for key in before if key in own} if replace else before), **own, **same}


def _same(one: Any, other: Any) -> bool:
    """Return whether two values of a setting mean the same; to Python, true is 1."""
    texts = [[each] if isinstance(each, str) else each for each in (one, other)]
    return bool(texts[0] == texts[1]) and isinstance(one, bool) == isinstance(other, bool)
