"""Reading ``config.toml``: its text, its outline, and the line of a fault.

Of a large file only the top level and the one profile are parsed (`ConfigFile.load`): with 10,000 profiles tomllib
needs 330 ms for the whole file, more than a run that asks for a token. A mistake in another profile therefore stops
nobody.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.config import find_config_file
from banno_creds.errors import ConfigurationError
from banno_creds.profiles.names import RULE, is_name, nearest, quoted
from banno_creds.profiles.settings import SETTINGS
from banno_creds.storage import own_files
from banno_creds.text import printable, setting, unseen

if TYPE_CHECKING:
    from banno_creds.config import Location
    from banno_creds.storage.secret_files import Others

_TOP = ("default", "profiles")
# Far more than 10,000 profiles need. The parser takes time in proportion to the size, and to the square of the parts
# that a key has.
_MOST_BYTES = 16 * 1024 * 1024
_MOST_PARTS = 50
_QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")

_BARE, _IN_QUOTES = "[A-Za-z0-9_][A-Za-z0-9_-]*", "[A-Za-z0-9._][A-Za-z0-9._-]*"
_BELOW = r"(?:\.[A-Za-z0-9_-]+)*\][ \t]*(?=[\n#]|\Z)"
_HEADER = rf'\n\[profiles\.(?:({_BARE})|"({_IN_QUOTES})"){_BELOW}'
_OTHER_HEADER = re.compile(rf'\n[ \t]*\[(?!(?<=\n\[)profiles\.(?:{_BARE}|"{_IN_QUOTES}"){_BELOW})')


class ConfigFile(NamedTuple):
    """A configuration file: its path, its text, and warnings of who can change it."""

    path: str
    text: str
    warnings: tuple[tuple[str, str], ...] = ()

    def load(self, name: str | None) -> dict[str, Any]:
        """Return the top level and at least one profile."""
        data = _load_part(self.text, name)
        return self.parse() if data is None else self._checked(data)

    def parse(self) -> dict[str, Any]:
        """Parse the whole file and check its outline, but not the settings in the profiles."""
        return self._checked(self._parsed(self.text))

    def parse_each(self) -> tuple[str | None, dict[str, dict[str, Any] | ConfigurationError]]:
        """Parse the whole file; return its default, and its profiles in their order: of a broken one, its error.

        Raises:
            ConfigurationError: the file has a fault outside the profiles.
        """
        try:
            data = self.parse()
        except ConfigurationError:
            parts = split_tables(self.text)
            if parts is None or not parts[1] or "profiles" in parts[0]:
                raise
            data = self._checked(self._parsed(parts[0]))
            data["profiles"] = {owner: self._parsed_alone(owner) for owner in dict.fromkeys(o for o, _ in parts[1])}
        return data.get("default"), data.get("profiles", {})

    def _parsed_alone(self, name: str) -> dict[str, Any] | ConfigurationError:
        """Parse the tables of one profile; return its error if that fails."""
        text, at = "", 0
        for start, table in _own_tables(self.text, name):
            text += "\n" * self.text.count("\n", at, start) + table  # so that a fault has its line
            at = start + len(table)
        try:
            data: dict[str, Any] = self._checked(self._parsed(text))["profiles"][name]
        except ConfigurationError as error:
            return error
        return data

    def _parsed(self, text: str) -> dict[str, Any]:
        """Parse the file's text, or a part of it that has its lines where the file has them."""
        from tomllib import loads

        try:
            data = loads(_bounded(self.path, text))
        except RecursionError:
            raise ConfigurationError(
                f"{self.path} is nested too deep", hint="check that it is the file you mean"
            ) from None
        except ValueError as failure:
            # The one error that is not the parser's is Python's, about a number with thousands of digits.
            words = "a number is too large" if "digits" in str(failure) else str(failure)
            hint = _remedy(text, words)
            raise ConfigurationError(f"{self.path} is not valid TOML: {words}", hint=hint) from None
        return data

    def names(self) -> list[str]:
        """Return the names of the profiles in their order; ConfigurationError as by `parse`."""
        top, tables = split_tables(self.text) or (self.text, [])
        if tables and "profiles" not in top:
            return list(dict.fromkeys(owner for owner, _ in tables))
        return list(self.parse().get("profiles", {}))

    def place_of(self, key: str, profile: str | None = None) -> str:
        """Say where a setting stands, for a message."""
        line = line_of(self.text, profile, key)
        where = self.path if profile is None else f"profile {profile} of {self.path}"
        return f"in {where}" + (f", line {line}" if line else "")

    def _checked(self, data: dict[str, Any]) -> dict[str, Any]:
        """Check the outline of a parsed file."""
        for key, value in data.items():
            if key not in _TOP:
                what = "a table" if isinstance(value, dict | list) else "a key"
                words = f"{quoted(key)} means nothing there: {what} at the top of the file"
                raise ConfigurationError(words, hint=_remedy_for_key(key), details=(self.place_of(key),))
        default, profiles = data.get("default", "a"), data.get("profiles", {})
        if not isinstance(default, str) or not is_name(default):
            raise self._fault_at_top("default", "default must be a profile's name, in quotes")
        if not isinstance(profiles, dict):
            raise self._fault_at_top("profiles", "profiles must be tables: [profiles.NAME]")
        for name, profile in profiles.items():
            if not is_name(name):
                raise ConfigurationError(f"{quoted(name)} in {self.path} cannot be a profile's name", hint=RULE)
            if not isinstance(profile, dict):
                raise ConfigurationError(
                    f"profiles.{name} in {self.path} is no table", hint=f"settings stand under [profiles.{name}]"
                )
        return data

    def _fault_at_top(self, key: str, words: str) -> ConfigurationError:
        return ConfigurationError(words, hint="correct it there", details=(self.place_of(key),))


# --- Reading --------------------------------------------------------------------------------------------------------


def read(config: Location | None) -> ConfigFile | None:
    """Read the file that was named, else the user's own; None if that is missing; see `read_text` for errors."""
    path = find_config_file(config)
    if path is None:
        return None
    warnings: list[tuple[str, str]] = []
    text = read_text(path, named=config is not None, warnings=warnings)
    if text is None and config is not None:
        raise ConfigurationError(
            f"there is no file {path}" + (f": {odd}" if (odd := unseen(str(config))) else ""),
            hint=f"check {setting('config')}; a relative path counts from the current folder",
        )
    return None if text is None else ConfigFile(path, text, tuple(warnings))


def read_text(path: str, *, named: bool, warnings: list[tuple[str, str]] | None = None) -> str | None:
    """Return a configuration file's text, without a byte order mark and with plain line ends; None if there is none.

    ``warnings`` gets warnings of who can change it, each with what to do. ConfigurationError if it cannot be read, or
    others can change it.
    """
    try:
        # A named file may be a pipe; in the usual place, every run would wait for it.
        if not named and stat.S_ISFIFO(os.stat(path).st_mode):
            raise ConfigurationError(
                f"{path} is a pipe and no file", hint=f"take it away, or name it with {setting('config')}"
            )
        content, others = own_files.patiently(lambda: _read(path), path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as failure:  # a null or a surrogate in a path is a ValueError
        # In another user's home we cannot see whether there is a file, and nobody asked for one.
        if isinstance(failure, PermissionError) and not named and not os.path.lexists(path):
            return None
        if sys.platform == "win32" and getattr(failure, "errno", None) == errno.EINVAL:
            from banno_creds.storage.secret_files import fault_of_name

            if fault_of_name(path):  # no file can have such a name
                return None
        words = getattr(failure, "strerror", None) or failure
        if os.path.isdir(path):  # Windows calls it a lack of permission
            words = "Is a directory"
        hint = "check what it is, who owns it and who may read it"
        if isinstance(failure, OSError):
            hint = own_files.hint_for(failure, hint)
        raise ConfigurationError(f"cannot read {printable(path)}: {printable(words)}", hint=hint) from None
    (warnings if warnings is not None else []).extend(_warnings_of(path, others))
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(
            f"{path} is larger than {_MOST_BYTES // 1024 // 1024} MiB", hint="check that it is the file you mean"
        )
    try:
        text = content.decode("utf-8-sig")
        return text.replace("\r\n", "\n") if "\r" in text else text
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        raise ConfigurationError(
            f"{path}, line {line}, is not UTF-8 text", hint="save it as UTF-8; PowerShell's > writes UTF-16"
        ) from None


def _read(path: str) -> tuple[bytes, Others]:
    from banno_creds.storage.secret_files import check_no_port, who_else

    with open(path, "rb") as stream:
        check_no_port(path, stream.fileno())
        others = who_else(path, stream.fileno())
        return stream.read(_MOST_BYTES + 1), others


def _bounded(path: str, text: str) -> str:
    """Return the text if the parser needs no more time for it than for any settings."""
    number = _line_of_many_parts(text)
    if number is not None:
        raise ConfigurationError(
            f"{path}, line {number}, has a key of more than {_MOST_PARTS} parts",
            hint="check that it is the file you mean",
        )
    return text


def _line_of_many_parts(text: str) -> int | None:
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MOST_PARTS and _QUOTED.sub("", line).partition("=")[0].count(".") > _MOST_PARTS:
            return number
    return None


def _warnings_of(path: str, others: Others) -> tuple[tuple[str, str], ...]:
    """Refuse a file that others can change: it decides where an assertion goes, and which key signs it.

    Return warnings, each with what to do, if they can do so by a way that may be meant.
    """
    if others.writers:
        raise ConfigurationError(
            f"others can write {path} ({others.writers}), and it decides where an assertion goes",
            hint=f"read what it says, then: {others.close_writing}",
        )
    if others.owner == "other":
        raise ConfigurationError(
            f"{path} belongs to another user, who can change where an assertion goes",
            hint=f"make a copy of your own, and name it with {setting('config')}",
        )
    if others.owner:
        message = f"{path} belongs to another user, who can change where {others.root}'s assertions go"
        others.warnings.append((message, f"read what it says, then: {others.take}"))
    return tuple(others.warnings)


# --- Parsing a part -------------------------------------------------------------------------------------------------


def _load_part(text: str, name: str | None) -> dict[str, Any] | None:
    """Parse the top level and the tables of one profile; None if the result might differ from that of the whole file.

    For a valid file the result is the same, as far as that profile is concerned. In an invalid one, a syntax error in
    another profile is found when that profile is used.
    """
    first = f"\n{text}".find("\n[")
    top = text if first < 0 else text[:first]
    if not _is_plain(text) or _line_of_many_parts(top) is not None:
        return None
    from tomllib import loads

    try:
        data = loads(top)
        wanted = data.get("default") if name is None else name
        if wanted is None or first < 0:
            return data
        own = "".join(table for _, table in _own_tables(text, wanted)) if isinstance(wanted, str) else ""
        return loads(top + own) if own and _line_of_many_parts(own) is None else None
    except (ValueError, RecursionError):
        return None  # parsing the whole file reports the fault with the right line


def _is_plain(text: str) -> bool:
    r"""Return whether all headers of the file are those of profiles, and every line that looks like one is one.

    A line that starts with [ is a header, unless it is in a string or an array of several lines. There are no such
    strings here. In an array, a line that looks like a profile's header makes the file invalid, because ``profiles``
    is no value. So if every line that starts with [ looks like such a header, these are all headers of the file.
    """
    # A single character is found in a hundredth of the time.
    return '"""' not in text and ("'" not in text or "'''" not in text) and _OTHER_HEADER.search(f"\n{text}") is None


def split_tables(text: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Split a file's text into its top level and its tables; None if it is not plain enough, see `_is_plain`."""
    if not _is_plain(text):
        return None
    found = list(re.finditer(_HEADER, f"\n{text}"))
    starts = [match.start() for match in found] + [len(text)]
    tables = [
        (match[1] or match[2], text[start:end]) for match, (start, end) in zip(found, pairwise(starts), strict=True)
    ]
    return text[: starts[0]], tables


def _own_tables(text: str, name: str) -> list[tuple[int, str]]:
    """Return the tables of one profile in a plain file, each with where it starts: see `_is_plain`."""
    lines, starts = f"\n{text}", []
    # A name with a dot stands in quotes: without them, it is a table in another profile.
    for shown in (f'"{name}"',) if "." in name else (name, f'"{name}"'):
        head = f"\n[profiles.{shown}"  # a pattern of one's own would have to be compiled in each run
        start = lines.find(head)
        while start >= 0:
            if lines[start + len(head)] in "].":
                starts.append(start)
            start = lines.find(head, start + 1)
    ends = [lines.find("\n[", start + 1) for start in sorted(starts)]
    return [(start, text[start : None if end < 0 else end]) for start, end in zip(sorted(starts), ends, strict=True)]


# --- Faults ---------------------------------------------------------------------------------------------------------

_SINGLE_QUOTES = "a path with \\ in it goes in 'single quotes'"
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
    """Return a hint for a syntax error, by tomllib's words for it."""
    place = re.search(r"\(at line (\d+)", words)
    lines = text.rstrip().split("\n")
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else lines[-1]
    if re.match(r"[^#']*\\", line):  # neither in single quotes already, nor in a comment
        return _SINGLE_QUOTES
    fitting = (hint for pattern, hint in _REMEDIES.items() if re.match(pattern, words))
    return next(fitting, 'a line is one [profiles.NAME] or one setting, with text in quotes: client_id = "ID"')


def _remedy_for_key(key: str) -> str:
    """Return a hint for a key or table that does not belong at the top level."""
    if key in SETTINGS:
        return "put it under the [profiles.NAME] it belongs to"
    near = nearest(key, _TOP)
    if near is not None:
        return f"did you mean {near}?"
    return "profiles stand under [profiles.NAME]; the only other thing at the top is default"


def line_of(text: str, profile: str | None, key: str) -> int | None:
    """Return the number of the line with a key, or with a table of that name."""
    if '"""' in text or "'''" in text:
        return None
    table, found = "", []
    wanted = f"profiles.{profile}.{key}" if profile else key
    own = _own_tables(text, profile) if profile is not None and _is_plain(text) else []
    lines = [
        line
        for start, part in own or [(0, text)]
        for line in enumerate(part.split("\n"), text.count("\n", 0, start) + 1)
    ]
    for number, line in lines:
        bare = line.replace(" ", "").replace("\t", "").replace('"', "").replace("'", "").partition("#")[0]
        if bare.startswith("["):
            table = bare.strip("[]")
            if table == wanted or (profile is None and table.startswith(f"{wanted}.")):
                found.append(number)
        elif "=" in bare and f"{table}.{bare.partition('=')[0]}".removeprefix(".") == wanted:
            found.append(number)
    return found[0] if found and (profile is None or len(found) == 1) else None
