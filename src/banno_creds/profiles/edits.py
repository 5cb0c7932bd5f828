"""Changing the user's ``config.toml``: adding, changing, replacing or removing a profile.

tomlkit keeps what the user wrote. The result is parsed again before it is written: nothing else may have changed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from itertools import groupby
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tomlkit

from banno_creds.config import find_config_file
from banno_creds.errors import ConfigurationError
from banno_creds.profiles.file import ConfigFile, line_of, read_text, split_tables
from banno_creds.profiles.lookup import command_on, has_tags, no_file_for, unknown_profile
from banno_creds.profiles.names import check_name, nearest, quoted
from banno_creds.profiles.settings import SETTINGS, check_settings, find_fault
from banno_creds.storage import own_files
from banno_creds.storage.edited import cannot_write, check_target, locked, rewrite
from banno_creds.storage.secret_files import check_file_name
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from banno_creds.config import Location
    from banno_creds.profiles.settings import Fault


def add_profile(
    name: str,
    settings: Mapping[str, Any],
    config: Location | None = None,
    *,
    replace: bool = False,
    default: bool = False,
) -> tuple[str, tuple[str, ...]]:
    """Add a profile to the file, or ``replace`` one, and perhaps make it the default; a missing file is made.

    Return the file's path, and the settings that the replaced profile had and the new one has not.

    Raises:
        ConfigurationError: a name or a setting is invalid, or there is such a profile already.
        OutputError: the file could not be written.
    """
    check_name(name)
    check_settings(settings)
    dropped: tuple[str, ...] = ()

    def change(file: str, text: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        nonlocal dropped
        profiles = data.get("profiles", {})
        if name in profiles and not replace:
            raise ConfigurationError(
                f"there is a profile {name} in {file} already, nothing was changed",
                hint=f"to change a setting of it: {command_on(file, f'set {name}')}; add --force to replace it whole",
            )
        dropped = tuple(key for key in profiles.get(name, {}) if key not in settings)
        wanted = {**data, "profiles": {**profiles, name: dict(settings)}}
        text = with_profiles(file, text, profiles, {name: settings})
        if default:
            text, wanted = _with_default(file, text, name, data), {**wanted, "default": name}
        return text, wanted

    return edit(config, change), dropped


class Changed(NamedTuple):
    """What became of a change of profiles.

    Attributes:
        file: the file's path.
        faults: of each profile a fault that it has still, in a setting that was not changed.
        no_tags: those of the tags to take away that none of the profiles had.
    """

    file: str
    faults: Mapping[str, Fault]
    no_tags: tuple[str, ...]


def change_profiles(
    changes: Mapping[str, tuple[Mapping[str, Any], Collection[str]]],
    config: Location | None = None,
    seen: Mapping[str, Collection[str]] | None = None,
    *,
    untag: Collection[str] = (),
) -> Changed:
    """Change settings of profiles, of all of them or of none; all other settings stay as they are.

    Args:
        changes: by a profile's name, its new settings, and those to take out before. Of a table, such as ``claims``,
            and of ``tags`` the members are changed.
        config: the file; None for the user's own.
        seen: by a profile's name, what its ``private_key`` may be; another one was written meanwhile, and stays.
        untag: the tags to take away before.

    Raises:
        ConfigurationError: there is no such profile or setting, a setting is invalid, or contradicts another; or a
            profile has got another key.
        OutputError: the file could not be written.
    """
    for name, (settings, _) in changes.items():
        check_name(name)
        check_settings(settings)
    faults: dict[str, Fault] = {}
    had: set[str] = set()

    def change(file: str, text: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        profiles, after = data.get("profiles", {}), {}
        for name, (settings, unset) in changes.items():
            key = profiles.get(name, {}).get("private_key")
            if seen is not None and name in profiles and key not in seen[name]:
                raise ConfigurationError(
                    f"profile {name} has got another private_key meanwhile; nothing was changed",
                    hint="look if that was meant, and run this again",
                )
            after[name], fault = _changed(file, profiles, name, settings, unset, untag)
            if fault is not None:
                faults[name] = fault
            had.update(tag for tag in untag if has_tags(profiles[name], (tag,)))
        return with_profiles(file, text, profiles, after), {**data, "profiles": {**profiles, **after}}

    _must_be_there(next(iter(changes), None), config)
    file = edit(config, change)
    return Changed(file, faults, tuple(tag for tag in untag if tag not in had))


def _changed(
    file: str,
    profiles: Mapping[str, Mapping[str, Any]],
    name: str,
    settings: Mapping[str, Any],
    unset: Collection[str],
    untag: Collection[str],
) -> tuple[dict[str, Any], Fault | None]:
    """Return the settings of one profile after a change, and a fault that it has still."""
    if name not in profiles:
        raise unknown_profile(name, file, profiles)
    before = profiles[name]
    _check_unset(name, unset, before)
    after = {key: value for key, value in before.items() if key not in unset}
    if untag and "tags" in after:
        tags = after.pop("tags")
        kept = [tag for tag in ([tags] if isinstance(tags, str) else tags) if tag not in untag]
        after |= {"tags": kept} if kept else {}
    for key, value in settings.items():
        after[key] = merged(key, after.get(key), value)
    if not after:
        raise ConfigurationError(
            f"profile {name} would have no setting left, nothing was changed",
            hint=command_on(file, f"remove {name}"),
        )
    fault = find_fault(after)
    # A fault that was there before is no reason to keep another one.
    if fault is not None and fault != find_fault({key: after[key] for key in after if key not in settings}):
        others = [key for key in after if key not in settings]
        clears = (key for key in others if find_fault({each: after[each] for each in after if each != key}) is None)
        other = next(clears, None)
        hint = fault.hint if other is None else f"take the other one out in the same step: {setting('unset')} {other}"
        raise ConfigurationError(f"{fault.message}; nothing was changed", hint=hint)
    return after, fault


def merged(key: str, before: Any, value: Any) -> Any:
    """Return a setting's value after a change: of a table, and of tags, the members that are not changed stay."""
    if isinstance(value, dict) and isinstance(before, dict):
        return {**before, **value}
    if key == "tags" and isinstance(before, str | list):
        return list(dict.fromkeys([*([before] if isinstance(before, str) else before), *value]))
    return value


def _check_unset(name: str, unset: Collection[str], before: Mapping[str, Any]) -> None:
    """Refuse a misspelt setting; one that the profile does not have is taken out already."""
    for key in unset:
        if key not in SETTINGS and key not in before:
            near = nearest(key, {*SETTINGS, *before})
            hint = f"did you mean {near}?" if near else f"the settings are {', '.join(SETTINGS)}"
            raise ConfigurationError(f"there is no setting {quoted(key)}, profile {name} was not changed", hint=hint)


def remove_profiles(names: Collection[str], config: Location | None = None) -> tuple[str, str | None]:
    """Remove profiles from the file, all of them or none; if one is the default, there is none afterwards.

    Return the file's path, and the name of the removed profile that was the default.

    Raises:
        ConfigurationError: there is no such profile, or the file has a fault.
        OutputError: the file could not be written.
    """
    for name in names:
        check_name(name)
    default: str | None = None

    def change(file: str, text: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        nonlocal default
        profiles = dict(data.get("profiles", {}))
        for name in names:
            if name not in profiles:
                raise unknown_profile(name, file, profiles)
            del profiles[name]
            text = _without(file, text, name)
        wanted = {**data, "profiles": profiles}
        if data.get("default") in names:
            default = wanted.pop("default")
            text = _without_default(file, text)
        return text, wanted

    _must_be_there(next(iter(names), None), config)
    return edit(config, change), default


def set_default(name: str | None, config: Location | None = None) -> str:
    """Make a profile the default, or have no default; return the file's path.

    Raises:
        ConfigurationError: there is no such profile, or the file has a fault.
        OutputError: the file could not be written.
    """
    if name is not None:
        check_name(name)

    def change(file: str, text: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        wanted = {key: data[key] for key in data if key != "default"}
        if name is None:
            return (_without_default(file, text) if "default" in data else text), wanted
        if name not in data.get("profiles", {}):
            raise unknown_profile(name, file, data.get("profiles", {}))
        return _with_default(file, text, name, data), {**wanted, "default": name}

    _must_be_there(name, config)
    return edit(config, change)


def _must_be_there(name: str | None, config: Location | None) -> None:
    """Refuse to make a file only to report that it has no profile."""
    file = find_config_file(config)
    if file is not None and not os.path.lexists(file):
        raise no_file_for(name, file)


def edit(
    config: Location | None,
    change: Callable[[str, str, dict[str, Any]], tuple[str, dict[str, Any]]],
    *,
    dry: bool = False,
) -> str:
    """Read the file, change it and write it, one process at a time; return its path.

    Args:
        config: the file; None for the user's own, which is made if it is missing.
        change: gets the file's path, text and content, and returns the new text and content.
        dry: write nothing, and only find out whether it can be changed so.

    Raises:
        ConfigurationError: what ``change`` raised, or the file has a fault, or cannot be edited safely.
        OutputError: the file could not be written.
    """
    file = find_config_file(config)
    if file is None:
        raise ConfigurationError(
            "there is no home folder to keep profiles in", hint=f"name the file: {setting('config')} FILE"
        )
    check_file_name(file)
    # A link is followed, and stays: people keep such files under version control this way.
    target = os.path.realpath(file)
    folder = os.path.dirname(target)
    if dry:
        _changed_text(file, target, change)
        return file
    with cannot_write(file):
        if config is None:
            own_files.make_folder(os.path.dirname(file), for_its_owner=True)
        if not os.path.isdir(folder):
            raise ConfigurationError(f"there is no folder {folder}", hint="make it first, or name another file")
        check_target(target)
        with locked(target):
            before, text = _changed_text(file, target, change)
            if text != before:
                _write(target, text)
    return file


def _changed_text(
    file: str, target: str, change: Callable[[str, str, dict[str, Any]], tuple[str, dict[str, Any]]]
) -> tuple[str, str]:
    """Return the file's text before and after a change."""
    before = read_text(target, named=True) or ""
    text, wanted = change(file, before, ConfigFile(file, before).parse())
    _make_sure(file, text, wanted)
    return before, text


def _make_sure(file: str, text: str, wanted: dict[str, Any]) -> None:
    """Refuse a text that, once parsed, differs from the wanted content."""

    def without_empty(data: dict[str, Any]) -> dict[str, Any]:
        return data if data.get("profiles") else {key: data[key] for key in data if key != "profiles"}

    try:
        same = without_empty(tomllib.loads(text)) == without_empty(wanted)
    except ValueError:
        same = False
    if not same:
        raise _by_hand(file)


def _by_hand(file: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file} is written in a way that banno-creds cannot edit safely, nothing was changed",
        hint="edit it by hand; banno-creds can edit a file with one [profiles.NAME] for each profile",
    )


def with_profiles(file: str, text: str, before: Mapping[str, Any], profiles: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a file's text with profiles changed in their places, and new ones, not in ``before``, at its end.

    tomlkit takes a minute for 10,000 profiles, so it is given one at a time where the file is plain enough.
    """
    changed = {name: settings for name, settings in profiles.items() if name in before}
    top, tables = split_tables(text) or ("profiles", [])
    if changed and "profiles" not in top:
        runs = [(owner, "".join(table for _, table in run)) for owner, run in groupby(tables, lambda each: each[0])]
        places = Counter(owner for owner, _ in runs)
        for number, (owner, run) in enumerate(runs):
            if owner in changed and places[owner] == 1:
                runs[number] = owner, _replaced_alone(file, run, owner, before[owner], changed.pop(owner))
        text = top + "".join(run for _, run in runs)
    if changed:
        text = _replaced(file, text, changed)
    rest = text.rstrip("\n")
    added = [profile_toml(name, settings) for name, settings in profiles.items() if name not in before]
    return "\n".join([f"{rest}\n", *added] if rest else added) if added else text


def profile_toml(name: str, settings: Mapping[str, Any]) -> str:
    """Return a profile as TOML, with a line end at its end."""
    if not any(isinstance(value, dict) for value in settings.values()):
        # Texts, numbers and arrays of them are the same in JSON; tomlkit needs a hundred times as long.
        lines = [f"{key} = {dumps(value, ensure_ascii=False)}\n" for key, value in settings.items()]
        return f"[profiles.{tomlkit.key(name).as_string()}]\n{''.join(lines)}"
    table = tomlkit.table()
    for key, value in settings.items():
        table.add(key, value)
    profiles = tomlkit.table(is_super_table=True)
    profiles.append(name, table)
    document = tomlkit.document()
    document.append("profiles", profiles)
    return tomlkit.dumps(document).strip("\n") + "\n"


def _replaced_alone(file: str, text: str, name: str, before: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Change a profile in its own tables; tomlkit is not needed for what nobody has edited by hand."""
    written = profile_toml(name, before)
    if text.rstrip("\n") + "\n" == written:
        return profile_toml(name, settings) + text[len(written) :]
    return _replaced(file, text, {name: settings})


def _replaced(file: str, text: str, profiles: Mapping[str, Mapping[str, Any]]) -> str:
    """Change profiles in their places; the comments on unchanged settings stay."""

    def change(document: Any) -> None:
        for name, settings in profiles.items():
            change_table(document["profiles"][name], settings)

    def change_table(table: Any, wanted: Mapping[str, Any]) -> None:
        for key in [key for key in table if key not in wanted]:
            del table[key]
        for key, value in wanted.items():
            before = table[key].unwrap() if key in table else None
            if isinstance(before, dict) and isinstance(value, dict):
                change_table(table[key], value)
            elif before != value or type(before) is not type(value):  # to Python, true is 1
                table[key] = value

    return _with_tomlkit(file, text, change)


def _with_default(file: str, text: str, name: str, before: Mapping[str, Any]) -> str:
    if "default" not in before:
        return _with_first_default(text, name)

    def change(document: Any) -> None:
        document["default"] = name

    top, _ = split_tables(text) or (text, [])
    return _with_tomlkit(file, top, change) + text[len(top) :]


def _with_first_default(text: str, name: str) -> str:
    """Put ``default`` at the top, in a paragraph of its own.

    tomlkit would put it right under the comment that opens the file, as if that comment were about it.
    """
    opening = re.match(r"\n*(#.*\n)+", text)
    before, after = (f"{opening[0]}\n", text[opening.end() :]) if opening else ("", text)
    gap = "" if after.startswith("\n") else "\n"
    return f'{before}default = "{name}"\n{gap}{after}'


def _without_default(file: str, text: str) -> str:
    """Remove ``default``, and one of the blank lines around it."""
    number = line_of(text, None, "default")
    if number is None:

        def remove(document: Any) -> None:
            del document["default"]

        return _with_tomlkit(file, text, remove).lstrip("\n")
    lines = text.split("\n")
    before, after = lines[: number - 1], lines[number:]
    if after and not after[0].strip() and not (before and before[-1].strip()):
        del after[0]
    return "\n".join(before + after)


def _with_tomlkit(file: str, text: str, change: Callable[[Any], None]) -> str:
    try:
        document = tomlkit.parse(text)
        change(document)
        return tomlkit.dumps(document)
    except Exception:  # noqa: BLE001 - with odd files it fails in many ways; nothing was changed yet
        raise _by_hand(file) from None


def _without(file: str, text: str, name: str) -> str:
    """Remove a profile, with the comment right above it.

    tomlkit would remove the comment above the next profile, which it takes for the end of this one.
    """
    top, tables = split_tables(text) or (text, [])
    if not tables or "profiles" in top:

        def remove(document: Any) -> None:
            del document["profiles"][name]

        return _with_tomlkit(file, text, remove).rstrip("\n") + "\n"
    kept = top.split("\n")[:-1]
    for owner, table in tables:
        lines = table.removesuffix("\n").split("\n")
        if owner == name:
            _drop_comment(kept)
            lines = _after_the_last_key(lines)
            while lines and not lines[0].strip() and (not kept or not kept[-1].strip()):
                del lines[0]
        kept += lines
    while kept and not kept[-1].strip():
        del kept[-1]
    return "".join(f"{line}\n" for line in kept)


def _drop_comment(lines: list[str]) -> None:
    """Drop the comment at the end, unless it opens the file: then it is about the whole file."""
    first = len(lines)
    while first and lines[first - 1].startswith("#"):
        first -= 1
    if first:
        del lines[first:]


def _after_the_last_key(lines: list[str]) -> list[str]:
    last = max(number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#"))
    return lines[last + 1 :]


def _write(target: str, text: str) -> None:
    """Replace the file, with the line ends it had."""
    content = text.encode()
    if os.path.exists(target) and b"\r\n" in own_files.patiently(Path(target).read_bytes, target):
        content = content.replace(b"\n", b"\r\n")
    rewrite(target, content)
