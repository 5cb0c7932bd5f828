"""Profiles: clients' settings under names, in the user's ``config.toml``.

Looking one up is on the way of every run. Where there is no file it costs one look at the disk; where the file is
big, only the part that matters is parsed (`_cut`), and the rest only if there is any doubt. So what is checked is
what is used: the top level, and the one profile. A mistake in another profile stops nobody.

Changing the file is rarer, and the business of `profile_edits`.
"""

from __future__ import annotations

import os
import re
import stat
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.config import (
    ALGORITHMS,
    CONFIG_VARIABLE,
    ENVIRONMENTS,
    RESERVED_CLAIMS,
    RESERVED_PARAMS,
    check_client_id,
    check_lifetime,
    check_min_ttl,
    check_timeout,
    check_url,
    find_config_file,
)
from banno_creds.errors import BannoCredsError, ConfigurationError, is_private_key, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from banno_creds.config import Location

PATHS = ("private_key", "passphrase_file", "ca_bundle")
SETTINGS = (
    *("client_id", "private_key", "passphrase_file"),
    *("alg", "kid", "aud", "lifetime", "iat", "claims"),
    *("environment", "token_endpoint", "issuer", "timeout", "ca_bundle"),
    *("scope", "resource", "params", "min_ttl", "api_base"),
)
"""What a profile may hold: the long options' names, with underscores.

What would switch a check off, or belongs to one run, is an option alone.
"""

_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "client_id": check_client_id,
    "lifetime": check_lifetime,
    "timeout": check_timeout,
    "min_ttl": check_min_ttl,
    "token_endpoint": lambda url: check_url(url, "the token endpoint"),
    "issuer": lambda url: check_url(url, "the issuer"),
    "api_base": lambda url: check_url(url, "the API base"),
}
_CHOICES: Mapping[str, Collection[str]] = {"alg": ALGORITHMS, "environment": ENVIRONMENTS}
_EXAMPLES = {
    "lifetime": "60",
    "min_ttl": "60",
    "timeout": "30",
    "iat": "true",
    "scope": '["openid"]',
    "alg": '"PS256"',
    "environment": '"production"',
    "private_key": '"private.pem"',
}
_ENDPOINTS = ("token_endpoint", "issuer", "environment")
_TOP = ("default", "profiles")
_NAMES = "a profile's name has letters, digits and . _ - in it, and does not start with -"

# People write these down where they write the rest. None has a place in a file that is copied and shared.
_SECRETS: Mapping[str, str] = {
    "passphrase": 'put it into a file of its own, mode 0600, and name that one: passphrase_file = "FILE"',
    "private_key_passphrase": 'put it into a file of its own, mode 0600, and name that one: passphrase_file = "FILE"',
    "password": 'put it into a file of its own, mode 0600, and name that one: passphrase_file = "FILE"',
    "private_key_pem": 'name the file that holds the key: private_key = "FILE"',
    "client_secret": "take it out: the client proves who it is with its private key",
    "access_token": "take it out: a token is asked for when it is needed",
    "token": "take it out: a token is asked for when it is needed",
    "secret": "take it out",
}

_MOST_BYTES = 4 * 1024 * 1024
_MOST_NUMBER = 2**63  # TOML's own limit, which tomllib does not keep


class Profile(NamedTuple):
    """One client's settings, checked, their paths resolved; ``default`` where the file makes it the default."""

    name: str
    file: str
    settings: Mapping[str, Any]
    default: bool

    @property
    def where(self) -> str:
        """Where a value came from, for a message about it."""
        return f"in profile {self.name} of {self.file}"


class Listing(NamedTuple):
    """Which profiles there are."""

    file: str | None
    names: tuple[str, ...]
    default: str | None


class _Fault(NamedTuple):
    """What is wrong with a setting, and what to do."""

    setting: str
    message: str
    hint: str


# --- looking up ---------------------------------------------------------------------------------------------------


def find_profile(name: str | None, config: Location | None = None) -> Profile | None:
    """Look a profile up.

    Args:
        name: its name; None means the default, if the file names one.
        config: the file; None means the user's own, which may be missing.

    Returns:
        The profile; None if none was named.

    Raises:
        ConfigurationError: there is no such profile, or something is wrong with it or with the file.
    """
    if name is not None:
        check_name(name)
    found = _read_for_use(config)
    if found is None:
        if name is not None:
            raise no_file_for(name, find_config_file(config))
        return None
    file, text = found
    data = _load(file, text, name)
    default, profiles = data.get("default"), data.get("profiles", {})
    wanted = default if name is None else name
    if wanted is None:
        return None
    if wanted not in profiles:
        raise unknown_profile(wanted, file, profiles, by_default=name is None)
    settings = profiles[wanted]
    fault = _find_fault(settings)
    if fault is not None:
        place = _place(f"profile {wanted} of {file}", _line_of(text, wanted, fault.setting))
        raise ConfigurationError(fault.message, hint=fault.hint, details=(place,))
    return Profile(wanted, file, _resolved(settings, os.path.dirname(file)), wanted == default)


def list_profiles(config: Location | None = None) -> Listing:
    """Name the profiles, in the file's order; what is in them is not looked at.

    Args:
        config: the file; None means the user's own, which may be missing.

    Returns:
        The names.

    Raises:
        ConfigurationError: the file cannot be read or meant.
    """
    found = _read_for_use(config)
    if found is None:
        return Listing(find_config_file(config), (), None)
    file, text = found
    data = parse(file, text)
    return Listing(file, tuple(data.get("profiles", {})), data.get("default"))


def profile_names(config: Location | None = None) -> list[str]:
    """The profiles' names for a shell's completion: quick, and empty where anything is wrong.

    Args:
        config: the file; None means the user's own.

    Returns:
        The names, in the file's order.
    """
    try:
        found = _read_for_use(config)
        if found is None:
            return []
        file, text = found
        top, tables = split_tables(text) or (text, [])
        if tables and "profiles" not in top:
            return list(dict.fromkeys(owner for owner, _ in tables))
        return list(parse(file, text).get("profiles", {}))
    except (BannoCredsError, OSError, ValueError):
        return []


def check_name(name: str) -> None:
    """Make sure that a profile can be called so.

    Args:
        name: the name.

    Raises:
        ConfigurationError: it cannot.
    """
    if not _is_name(name):
        raise ConfigurationError(f"{_quoted(name)} cannot be a profile's name", hint=_NAMES)


def _is_name(name: str) -> bool:
    return name.isascii() and name.replace(".", "a").replace("_", "a").replace("-", "a").isalnum() and name[0] != "-"


def _quoted(text: str) -> str:
    return f"'{printable(text, 60)}'"


def _read_for_use(config: Location | None) -> tuple[str, str] | None:
    """The file's path and text; None where none was named and the user has none."""
    file = find_config_file(config)
    if file is None:
        return None
    text = read_text(file, named=config is not None)
    if text is None and config is not None:
        raise ConfigurationError(
            f"there is no file {file}", hint=f"check --config or {CONFIG_VARIABLE}; a relative path counts from here"
        )
    return None if text is None else (file, text)


def read_text(file: str, *, named: bool) -> str | None:
    """A configuration file's text, without what an editor puts before it and into its line ends.

    Args:
        file: its path.
        named: whether somebody asked for this file.

    Returns:
        The text; None where there is no such file.

    Raises:
        ConfigurationError: the file cannot be read, or is not to be relied on.
    """
    try:
        with open(file, "rb") as stream:
            status = os.fstat(stream.fileno())
            content = stream.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as failure:
        # Another user's home: whether there is a file in it cannot be seen, and nobody asked for one.
        if isinstance(failure, PermissionError) and not named and not os.path.lexists(file):
            return None
        raise ConfigurationError(
            f"cannot read {file}: {failure.strerror or failure}", hint="check what it is, who owns it and its mode"
        ) from None
    _refuse_what_others_write(file, status)
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(
            f"{file} is larger than {_MOST_BYTES // 1024} KiB", hint="check that it is the file you mean"
        )
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        raise ConfigurationError(
            f"{file}, line {line}, is not UTF-8 text", hint="save it as UTF-8; PowerShell's > writes UTF-16"
        ) from None


def _refuse_what_others_write(file: str, status: os.stat_result) -> None:
    """The file decides to which server an assertion goes, and with which key it is signed."""
    # A pipe or a device has no mode worth judging; on Windows no file has.
    if os.name != "posix" or not stat.S_ISREG(status.st_mode):
        return
    from shlex import quote

    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(
            f"others can write {file} (mode {stat.S_IMODE(status.st_mode):04o}), and it decides where an assertion "
            "goes",
            hint=f"read what it says, then: chmod go-w {quote(file)}",
        )
    # As with keys: root reads what is others' on purpose, and what is root's only root can change.
    if os.geteuid() not in (0, status.st_uid) and status.st_uid != 0:
        raise ConfigurationError(
            f"{file} belongs to another user, who can change where an assertion goes",
            hint="make a copy of your own, and name it with --config FILE",
        )


def no_file_for(name: str, file: str | None) -> ConfigurationError:
    """The error for a profile that was named while there is no file.

    Args:
        name: the profile's name.
        file: where the file would be; None where it has no place.

    Returns:
        The error, to be raised.
    """
    if file is None:
        return ConfigurationError(
            f"there is no profile {name}: there is no home folder to keep one in", hint="name the file: --config FILE"
        )
    return ConfigurationError(
        f"there is no profile {name}: there is no file {file}",
        hint=f"banno-creds profile add {name} --client-id ID --private-key FILE",
    )


def unknown_profile(name: str, file: str, names: Collection[str], *, by_default: bool = False) -> ConfigurationError:
    """The error for a profile that is not in the file.

    Args:
        name: its name.
        file: the file's path.
        names: the profiles that are in it.
        by_default: whether the file named it, as the default.

    Returns:
        The error, to be raised.
    """
    near = _nearest(name, names)
    if near is not None:
        hint = f"did you mean {near}?"
    else:
        hint = "banno-creds profile list" if names else f"banno-creds profile add {name}"
    words = f"the default profile {name} is not in {file}" if by_default else f"there is no profile {name} in {file}"
    return ConfigurationError(words, hint=hint)


def _nearest(name: str, names: Collection[str]) -> str | None:
    from difflib import get_close_matches

    begun = [other for other in names if len(name) > 1 and other.startswith(name)]
    return next(iter([*get_close_matches(name, names, 1), *begun]), None)


# --- parsing ------------------------------------------------------------------------------------------------------


def _load(file: str, text: str, name: str | None) -> dict[str, Any]:
    """The top level and at least the one profile; all of the file where the short way is not safe."""
    data = _cut(text, name)
    return parse(file, text) if data is None else _checked(file, text, data)


def _cut(text: str, name: str | None) -> dict[str, Any] | None:
    """Parse the top level and the tables of one profile alone; None where that might not be the same.

    In a file that is valid TOML this comes to what parsing all of it would, for the top level and that profile. In
    one that is not, a syntax error in another profile is passed over: it is met when that profile is used.
    """
    parts = split_tables(text)
    if parts is None:
        return None
    from tomllib import loads

    top, tables = parts
    try:
        data = loads(top)
        wanted = data.get("default") if name is None else name
        if wanted is None or not tables:
            return data
        own = [table for owner, table in tables if owner == wanted]
        return loads(top + "".join(own)) if own else None
    except (ValueError, RecursionError):
        return None  # whatever is wrong, parsing all of it says so with the right line


def split_tables(text: str) -> tuple[str, list[tuple[str, str]]] | None:
    r"""Split a file's text into its top level and its tables.

    Without a string that has several lines, only an array has: there a line may start with [, and then either it
    does not look like a profile's header (``profiles`` is no value) or the file is not valid TOML. So if every line
    that starts with [ is such a header, they are the file's headers, all of them, and nothing else is.

    Args:
        text: the file's text.

    Returns:
        The top level's text, and each table's with the name of its profile; None where a line might only look like
        a header.
    """
    lines = f"\n{text}"
    if '"""' in text or "'''" in text or re.search(r"\n[ \t]+\[", lines):
        return None
    header = re.compile(
        r"\n\[profiles\.(?:([A-Za-z0-9_][A-Za-z0-9_-]*)|\"([A-Za-z0-9._][A-Za-z0-9._-]*)\")(?:\.[A-Za-z0-9_-]+)*\]"
        r"[ \t]*(?=[\n#]|\Z)"
    )
    found = list(header.finditer(lines))
    if len(found) != lines.count("\n["):
        return None
    starts = [match.start() for match in found] + [len(text)]
    tables = [
        (match[1] or match[2], text[start:end]) for match, (start, end) in zip(found, pairwise(starts), strict=True)
    ]
    return text[: starts[0]], tables


def parse(file: str, text: str) -> dict[str, Any]:
    """Parse all of a file, and make sure of its outline; what is in the profiles is not looked at.

    Args:
        file: its path, for messages.
        text: its text.

    Returns:
        The top level.

    Raises:
        ConfigurationError: it is not valid TOML, or has in it what does not belong there.
    """
    from tomllib import loads

    try:
        data = loads(text)
    except RecursionError:
        raise ConfigurationError(f"{file} is nested too deep", hint="check that it is the file you mean") from None
    except ValueError as failure:
        raise ConfigurationError(
            f"{file} is not valid TOML: {failure}",
            hint="correct it there; a path with \\ in it goes in 'single quotes'",
        ) from None
    return _checked(file, text, data)


def _checked(file: str, text: str, data: dict[str, Any]) -> dict[str, Any]:
    """Refuse what does not belong at the top level, and what is no profile."""
    for key, value in data.items():
        if key not in _TOP:
            raise _stray(file, text, key, is_table=isinstance(value, dict | list))
    default, profiles = data.get("default", "a"), data.get("profiles", {})
    if not isinstance(default, str) or not _is_name(default):
        raise _at_the_top(file, text, "default", "default must be a profile's name, in quotes")
    if not isinstance(profiles, dict):
        raise _at_the_top(file, text, "profiles", "profiles must be tables: [profiles.NAME]")
    for name, profile in profiles.items():
        if not _is_name(name):
            raise ConfigurationError(f"{_quoted(name)} in {file} cannot be a profile's name", hint=_NAMES)
        if not isinstance(profile, dict):
            raise ConfigurationError(
                f"profiles.{name} in {file} is no table", hint=f"settings stand under [profiles.{name}]"
            )
    return data


def _at_the_top(file: str, text: str, key: str, words: str) -> ConfigurationError:
    return ConfigurationError(words, hint="correct it there", details=(_place(file, _line_of(text, None, key)),))


def _place(what: str, line: int | None) -> str:
    return f"in {what}" + (f", line {line}" if line else "")


def _stray(file: str, text: str, key: str, *, is_table: bool) -> ConfigurationError:
    near = _nearest(key, _TOP)
    if key in SETTINGS:
        hint = "put it under the [profiles.NAME] it belongs to"
    elif near is not None:
        hint = f"did you mean {near}?"
    else:
        hint = "profiles stand under [profiles.NAME]; the only other thing at the top is default"
    what = "a table" if is_table else "a key"
    words = f"{_quoted(key)} means nothing there: {what} at the top of the file"
    return ConfigurationError(words, hint=hint, details=(_place(file, _line_of(text, None, key)),))


def _line_of(text: str, profile: str | None, key: str) -> int | None:
    """The line of a profile's key (None: of one at the top), or of a table so named; None where it is not sure."""
    if '"""' in text or "'''" in text:
        return None
    table, found = "", []
    wanted = f"profiles.{profile}.{key}" if profile else key
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.replace(" ", "").replace("\t", "").replace('"', "").replace("'", "").partition("#")[0]
        if bare.startswith("["):
            table = bare.strip("[]")
            if table == wanted or (profile is None and table.startswith(f"{wanted}.")):
                found.append(number)
        elif "=" in bare and f"{table}.{bare.partition('=')[0]}".removeprefix(".") == wanted:
            found.append(number)
    return found[0] if found and (profile is None or len(found) == 1) else None


# --- settings -----------------------------------------------------------------------------------------------------


def check_settings(settings: Mapping[str, Any]) -> None:
    """Make sure that a profile can hold these settings.

    Args:
        settings: by name, see `SETTINGS`.

    Raises:
        ConfigurationError: it cannot.
    """
    fault = _find_fault(settings)
    if fault is not None:
        raise ConfigurationError(fault.message, hint=fault.hint)


def _find_fault(settings: Mapping[str, Any]) -> _Fault | None:
    """The first thing wrong with a profile's settings; secrets come first, so that nothing else can show one."""
    for name, value in settings.items():
        if name in _SECRETS:
            return _Fault(name, f"{name} is a secret, and has no place in this file (not shown here)", _SECRETS[name])
        if _holds_key(name) or _holds_key(value):
            words = f"{_quoted(name)} holds what looks like a private key (not shown here)"
            hint = 'the key belongs into a file of its own, mode 0600, which a profile names: private_key = "FILE"'
            return _Fault(name, words, hint)
    for name, value in settings.items():
        if name not in SETTINGS:
            near = _nearest(name, SETTINGS)
            hint = f"did you mean {near}?" if near else f"the settings are {', '.join(SETTINGS)}"
            return _Fault(name, f"there is no setting {_quoted(name)}", hint)
        fault = _fault_in(name, value)
        if fault is not None:
            return _Fault(name, *fault)
    given = [name for name in _ENDPOINTS if name in settings]
    if len(given) > 1:
        words = f"{' and '.join(given)} exclude each other: only one of them can name the endpoint"
        return _Fault(given[1], words, "leave one of them")
    return None


def _holds_key(value: object) -> bool:
    if isinstance(value, str):
        return is_private_key(value)
    if isinstance(value, dict):
        return {"kty", "d"} <= value.keys() or any(_holds_key(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_holds_key(part) for part in value)


def _fault_in(name: str, value: Any) -> tuple[str, str] | None:
    """What is wrong with a setting's value, and what to do."""
    if name in ("claims", "params"):
        return _fault_in_table(name, value)
    if name in ("lifetime", "min_ttl", "timeout", "iat"):
        fault = _fault_in_number(name, value)
    else:
        fault = _fault_in_text(name, value, several=name in ("scope", "resource"))
    if fault is not None:
        return fault
    choices = _CHOICES.get(name)
    if choices is not None and value not in choices:
        near = _nearest(value, choices)
        words = f"{name} cannot be {_quoted(value)}: it is one of {', '.join(choices)}"
        return words, f"did you mean {near}?" if near else "choose one of them"
    if name in PATHS and value == "-":
        words = f"{name} is -, and a profile cannot hold what comes from standard input"
        return words, f"name a file, or leave it out and say --{name.replace('_', '-')} -"
    try:
        if name in _CHECKS:
            _CHECKS[name](value)
    except ConfigurationError as error:
        return error.message, f"correct {name} there"
    return None


def _fault_in_number(name: str, value: Any) -> tuple[str, str] | None:
    sorts: dict[str, tuple[tuple[type, ...], str]] = {
        "iat": ((bool,), "true or false"),
        "timeout": ((int, float), "a number of seconds"),
    }
    allowed, words = sorts.get(name, ((int,), "a whole number of seconds"))
    if type(value) not in allowed:  # to isinstance, true is a number
        return f"{name} must be {words}, and is {_sort_of(value)}", _example(name)
    if abs(value) >= _MOST_NUMBER:
        return f"{name} is too large a number", _example(name)
    return None


def _fault_in_text(name: str, value: object, *, several: bool) -> tuple[str, str] | None:
    texts: list[Any] = value if several and isinstance(value, list) else [value]
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        words = "text in quotes" + (" or an array of such" if several else "")
        return f"{name} must be {words}, and is {_sort_of(wrong)}", _example(name)
    if name != "client_id" and not all(text.isprintable() for text in texts):
        return f"{name} has a control character in it, such as a line end", "take it out"
    if name not in ("client_id", "scope") and not all(texts):
        return f"{name} is empty", f"give it a value, or take it out; {_example(name)}"
    return None


def _fault_in_table(name: str, value: object) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return f"{name} must be a table, and is {_sort_of(value)}", f"write it under [profiles.NAME.{name}]"
    reserved = RESERVED_CLAIMS if name == "claims" else RESERVED_PARAMS
    for key, member in value.items():
        shown = f"{name}.{printable(key, 60)}"
        if key in reserved:
            setting = reserved[key].removeprefix("--").replace("-", "_")
            hint = f"use the setting {setting}" if setting else "leave it out"
            return f"{shown} would contradict what this tool sends itself", hint
        if name == "params" and key in _SECRETS:
            return f"{shown} is a secret, and has no place in this file (not shown here)", "take it out"
        if name == "params" and (not isinstance(member, str) or not f"{key}{member}".isprintable()):
            return f"{shown} must be text in quotes, on one line", f'for example: {key} = "text"'
        if not _is_json(member):
            return f"{shown} has a value in it that JSON and TOML do not share", "write it as text, in quotes"
    return None


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, int | float):
        return abs(value) < _MOST_NUMBER  # neither infinite nor a NaN
    return isinstance(value, str)


def _sort_of(value: object) -> str:
    sorts: dict[type, str] = {
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "an array",
        dict: "a table",
    }
    return sorts.get(type(value), "a date or time")


def _example(name: str) -> str:
    value = _EXAMPLES.get(name, '"…"')
    return f"for example: {name} = {value}"


def _resolved(settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The settings with paths that count from the file's folder, and with lists where several are possible."""
    resolved = dict(settings)
    for name in PATHS:
        if name in settings:
            resolved[name] = os.path.join(folder, os.path.expanduser(settings[name]))
    for name in ("scope", "resource"):
        if isinstance(settings.get(name), str):
            resolved[name] = [settings[name]]
    return resolved
