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
    DEFAULT_ENVIRONMENT,
    ENVIRONMENTS,
    RESERVED_CLAIMS,
    RESERVED_PARAMS,
    check_client_id,
    check_lifetime,
    check_min_ttl,
    check_origin,
    check_redirect_uri,
    check_timeout,
    check_url,
    find_config_file,
)
from banno_creds.errors import BannoCredsError, ConfigurationError
from banno_creds.text import is_private_key, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from banno_creds.config import Location

PATHS = ("private_key", "passphrase_file", "client_secret_file", "ca_bundle")
SETTINGS = (
    *("client_id", "private_key", "passphrase_file", "client_secret_file"),
    *("alg", "kid", "aud", "lifetime", "iat", "claims"),
    *("environment", "token_endpoint", "issuer", "timeout", "ca_bundle"),
    *("scope", "resource", "params", "min_ttl", "redirect_uri", "api_base"),
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
    "redirect_uri": check_redirect_uri,
    "api_base": lambda url: check_origin(url, "the API base"),
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
_TABLES = ("claims", "params")
_ENDPOINTS = ("token_endpoint", "issuer", "environment")
_TOP = ("default", "profiles")
_SINGLE_QUOTES = "a path with \\ in it goes in 'single quotes'"
_NAMES = "a profile's name has letters, digits and . _ - in it, and does not start with -"

# People write these down where they write the rest. None has a place in a file that is copied and shared.
_SECRETS: Mapping[str, str] = {
    "passphrase": 'put it into a file of its own, mode 0600, and name that one: passphrase_file = "FILE"',
    "private_key_passphrase": 'put it into a file of its own, mode 0600, and name that one: passphrase_file = "FILE"',
    "password": 'put it into a file of its own, mode 0600, and name that one: passphrase_file = "FILE"',
    "private_key_pem": 'name the file that holds the key: private_key = "FILE"',
    "client_secret": 'put it into a file of its own, mode 0600, and name that one: client_secret_file = "FILE"',
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


class Summary(NamedTuple):
    """A profile in a list: whose it is and where it asks, or what is wrong with it."""

    name: str
    client_id: str | None = None
    token_endpoint: str | None = None
    issuer: str | None = None
    fault: str | None = None


class Listing(NamedTuple):
    """Which profiles there are."""

    file: str | None
    profiles: tuple[Summary, ...]
    default: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The profiles' names."""
        return tuple(profile.name for profile in self.profiles)


class _Fault(NamedTuple):
    """What is wrong with a setting, and what to do."""

    setting: str
    message: str
    hint: str


class _Written:
    """How a fault is told of a setting that stands in a file."""

    naming_a_key = 'private_key = "FILE"'

    def name(self, setting: str) -> str:
        return setting

    def member(self, table: str, key: str) -> str:
        return f"{table}.{key}"

    def example(self, setting: str) -> str:
        value = _EXAMPLES.get(setting, '"…"')
        return f"for example: {setting} = {value}"

    def as_text(self, table: str, key: str) -> str:
        del table, key
        return "write it as text, in quotes"

    def for_text(self, table: str, key: str) -> tuple[str, str]:
        return f"{self.member(table, key)} must be text in quotes, on one line", f'for example: {key} = "text"'

    def instead(self, option: str) -> str:
        return f"use the setting {option.removeprefix('--').replace('-', '_')}"

    def refused(self, setting: str, error: ConfigurationError) -> tuple[str, str]:
        return error.message, f"correct {setting} there"


_WRITTEN = _Written()


class _Typed(_Written):
    """How a fault is told of a setting that was typed: as the option it is."""

    naming_a_key = "--private-key FILE"

    def name(self, setting: str) -> str:
        return f"--{setting.removesuffix('s') if setting in _TABLES else setting}".replace("_", "-")

    def member(self, table: str, key: str) -> str:
        return f"{self.name(table)} {key}"

    def example(self, setting: str) -> str:
        value = _EXAMPLES.get(setting, "VALUE").strip('"')
        return f"for example: {self.name(setting)} {value}"

    def as_text(self, table: str, key: str) -> str:
        return f"write it as text: {self.member(table, key)}=text"

    def for_text(self, table: str, key: str) -> tuple[str, str]:
        return f"{self.member(table, key)} must be text on one line", f"for example: {self.member(table, key)}=text"

    def instead(self, option: str) -> str:
        return f"use {option}"

    def refused(self, setting: str, error: ConfigurationError) -> tuple[str, str]:
        return f"{self.name(setting)}: {error.message}", error.hint or self.example(setting)


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
        place = _place(f"profile {wanted} of {file}", line_of(text, wanted, fault.setting))
        raise ConfigurationError(fault.message, hint=fault.hint, details=(place,))
    return Profile(wanted, file, _resolved(settings, os.path.dirname(file)), wanted == default)


def list_profiles(config: Location | None = None) -> Listing:
    """Name the profiles, in the file's order; a mistake in one is told of, and stops nobody.

    Args:
        config: the file; None means the user's own, which may be missing.

    Returns:
        What is known of each.

    Raises:
        ConfigurationError: the file cannot be read or meant.
    """
    found = _read_for_use(config)
    if found is None:
        return Listing(find_config_file(config), (), None)
    file, text = found
    data = parse(file, text)
    profiles = data.get("profiles", {})
    return Listing(file, tuple(_summary(name, profiles[name]) for name in profiles), data.get("default"))


def _summary(name: str, settings: Mapping[str, Any]) -> Summary:
    # Nothing of what cannot be meant is shown: it might be a secret in the wrong place.
    fault = _find_fault(settings)
    if fault is not None:
        return Summary(name, fault=fault.message)
    environment = ENVIRONMENTS[settings.get("environment", DEFAULT_ENVIRONMENT)]
    issuer = settings.get("issuer")
    endpoint = settings.get("token_endpoint", environment) if issuer is None else None
    return Summary(name, settings.get("client_id"), endpoint, issuer)


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
        # A pipe may be named; one in the file's usual place would be waited for by every run.
        if not named and stat.S_ISFIFO(os.stat(file).st_mode):
            raise ConfigurationError(f"{file} is a pipe and no file", hint="take it away, or name it with --config")
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


def command_on(file: str | None, words: str) -> str:
    """A command for a hint, which means the same file: that is named where it is not the user's own.

    Args:
        file: the file's path; None where it has no place.
        words: the command, without the program's name.

    Returns:
        A command line for a shell.
    """
    from shlex import quote

    named = "" if file is None or file == find_config_file(None) else f" --config {quote(file)}"
    return f"banno-creds profile {words}{named}"


def no_file_for(name: str | None, file: str | None) -> ConfigurationError:
    """The error for a profile that was asked for while there is no file.

    Args:
        name: the profile's name; None for the default.
        file: where the file would be; None where it has no place.

    Returns:
        The error, to be raised.
    """
    what = "there is no default profile" if name is None else f"there is no profile {name}"
    if file is None:
        return ConfigurationError(
            f"{what}: there is no home folder to keep one in", hint="name the file: --config FILE"
        )
    return ConfigurationError(f"{what}: there is no file {file}", hint=_to_add(name, file))


def no_default_in(listing: Listing) -> ConfigurationError:
    """The error for the default profile where the file names none.

    Args:
        listing: the profiles that there are.

    Returns:
        The error, to be raised.
    """
    if listing.file is None or not os.path.lexists(listing.file):
        return no_file_for(None, listing.file)
    hint = command_on(listing.file, "default NAME") if listing.names else _to_add(None, listing.file)
    return ConfigurationError(f"there is no default profile in {listing.file}", hint=hint)


def _to_add(name: str | None, file: str) -> str:
    words = "--client-id ID --private-key FILE"
    return command_on(file, f"add NAME {words} --default" if name is None else f"add {name} {words}")


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
        hint = f"did you mean: {command_on(file, f'default {near}')}" if by_default else f"did you mean {near}?"
    else:
        hint = command_on(file, "list") if names else _to_add(name, file)
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
        raise ConfigurationError(f"{file} is not valid TOML: {failure}", hint=_remedy(text, str(failure))) from None
    return _checked(file, text, data)


_REMEDIES = {
    r"Unescaped|Escaped|Invalid hex": _SINGLE_QUOTES,
    r"Cannot ": "the same table or key can stand there only once: leave one",
    r"Expected '\]": "a header is [profiles.NAME], alone on its line",
    r"Unclosed array": "close it: ]",
    r"Unclosed inline table": "close it on the same line: }",
    r"Illegal character '\\n'|Unterminated|Expected [\"']{3}": "close the quotes",
    r"Illegal character": "take it out",
    r"Invalid value": 'a value is "text", a number, true or false',
}


def _remedy(text: str, words: str) -> str:
    """What to do about a syntax error, by tomllib's words for it."""
    place = re.search(r"\(at line (\d+)", words)
    lines = text.rstrip().split("\n")
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else lines[-1]
    if re.match(r"[^#']*\\", line):  # neither in single quotes already, nor in a comment
        return _SINGLE_QUOTES
    fitting = (hint for pattern, hint in _REMEDIES.items() if re.match(pattern, words))
    return next(fitting, 'a line is one [profiles.NAME] or one setting, with text in quotes: client_id = "ID"')


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
    return ConfigurationError(words, hint="correct it there", details=(_place(file, line_of(text, None, key)),))


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
    return ConfigurationError(words, hint=hint, details=(_place(file, line_of(text, None, key)),))


def line_of(text: str, profile: str | None, key: str) -> int | None:
    """The line of a key, or of a table so named.

    Args:
        text: the file's text.
        profile: the profile that the key is in; None for the top level.
        key: its name.

    Returns:
        Its number, from 1; None where it is not sure.
    """
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
    """Make sure that a profile can hold these settings, which were typed as options.

    Args:
        settings: by name, see `SETTINGS`.

    Raises:
        ConfigurationError: it cannot.
    """
    fault = _find_fault(settings, _Typed())
    if fault is not None:
        raise ConfigurationError(fault.message, hint=fault.hint)


def _find_fault(settings: Mapping[str, Any], form: _Written = _WRITTEN) -> _Fault | None:
    """The first thing wrong with a profile's settings; secrets come first, so that nothing else can show one."""
    for name, value in settings.items():
        if name in _SECRETS:
            return _Fault(name, f"{name} is a secret, and has no place in this file (not shown here)", _SECRETS[name])
        if _holds_key(name) or _holds_key(value):
            words = f"{_quoted(form.name(name))} holds what looks like a private key (not shown here)"
            hint = f"the key belongs into a file of its own, mode 0600, which a profile names: {form.naming_a_key}"
            return _Fault(name, words, hint)
    for name, value in settings.items():
        if name not in SETTINGS:
            near = _nearest(name, SETTINGS)
            hint = f"did you mean {near}?" if near else f"the settings are {', '.join(SETTINGS)}"
            return _Fault(name, f"there is no setting {_quoted(name)}", hint)
        fault = _fault_in(name, value, form)
        if fault is not None:
            return _Fault(name, *fault)
    if {"private_key", "client_secret_file"} <= settings.keys():
        words = f"{form.name('private_key')} and {form.name('client_secret_file')} exclude each other"
        return _Fault("client_secret_file", words, "leave one of them; a signed JWT is the safer one")
    given = [name for name in _ENDPOINTS if name in settings]
    if len(given) > 1:
        words = f"{' and '.join(map(form.name, given))} exclude each other: only one of them can name the endpoint"
        return _Fault(given[1], words, "leave one of them")
    return None


def _holds_key(value: object) -> bool:
    if isinstance(value, str):
        return is_private_key(value)
    if isinstance(value, dict):
        return {"kty", "d"} <= value.keys() or any(_holds_key(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_holds_key(part) for part in value)


def _fault_in(name: str, value: Any, form: _Written) -> tuple[str, str] | None:
    """What is wrong with a setting's value, and what to do."""
    if name in _TABLES:
        return _fault_in_table(name, value, form)
    if name in ("lifetime", "min_ttl", "timeout", "iat"):
        fault = _fault_in_number(name, value, form)
    else:
        fault = _fault_in_text(name, value, form, several=name in ("scope", "resource"))
    if fault is not None:
        return fault
    choices = _CHOICES.get(name)
    if choices is not None and value not in choices:
        near = _nearest(value, choices)
        words = f"{form.name(name)} cannot be {_quoted(value)}: it is one of {', '.join(choices)}"
        return words, f"did you mean {near}?" if near else "choose one of them"
    if name in PATHS and value == "-":
        words = f"{form.name(name)} is -, and a profile cannot hold what comes from standard input"
        return words, f"name a file, or leave it out and say --{name.replace('_', '-')} -"
    try:
        if name in _CHECKS:
            _CHECKS[name](value)
    except ConfigurationError as error:
        return form.refused(name, error)
    return None


def _fault_in_number(name: str, value: Any, form: _Written) -> tuple[str, str] | None:
    sorts: dict[str, tuple[tuple[type, ...], str]] = {
        "iat": ((bool,), "true or false"),
        "timeout": ((int, float), "a number of seconds"),
    }
    allowed, words = sorts.get(name, ((int,), "a whole number of seconds"))
    if type(value) not in allowed:  # to isinstance, true is a number
        return f"{form.name(name)} must be {words}, and is {_sort_of(value)}", form.example(name)
    if abs(value) >= _MOST_NUMBER:
        return f"{form.name(name)} is too large a number", form.example(name)
    return None


def _fault_in_text(name: str, value: object, form: _Written, *, several: bool) -> tuple[str, str] | None:
    texts: list[Any] = value if several and isinstance(value, list) else [value]
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        words = "text in quotes" + (" or an array of such" if several else "")
        return f"{form.name(name)} must be {words}, and is {_sort_of(wrong)}", form.example(name)
    if name != "client_id" and not all(text.isprintable() for text in texts):
        return f"{form.name(name)} has a control character in it, such as a line end", "take it out"
    if name not in ("client_id", "scope") and not all(texts):
        return f"{form.name(name)} is empty", f"give it a value, or take it out; {form.example(name)}"
    return None


def _fault_in_table(name: str, value: object, form: _Written) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return f"{name} must be a table, and is {_sort_of(value)}", f"write it under [profiles.NAME.{name}]"
    reserved = RESERVED_CLAIMS if name == "claims" else RESERVED_PARAMS
    for key, member in value.items():
        plain = printable(key, 60)
        shown = form.member(name, plain)
        if key in reserved:
            hint = form.instead(reserved[key]) if reserved[key] else "leave it out"
            return f"{shown} would contradict what this tool sends itself", hint
        if name == "params" and key in _SECRETS:
            return f"{shown} is a secret, and has no place in this file (not shown here)", "take it out"
        if name == "params" and (not isinstance(member, str) or not f"{key}{member}".isprintable()):
            return form.for_text(name, plain)
        if not _is_utf8(key) or not _is_json(member):
            return f"{shown} has a value in it that JSON and TOML do not share", form.as_text(name, plain)
    return None


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, int | float):
        return abs(value) < _MOST_NUMBER  # neither infinite nor a NaN
    return isinstance(value, str) and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    """Whether it can be written down: what was no text when it was typed cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
