"""How Windows finds a program, and what line it is started with; nothing here is used elsewhere.

A batch file is run by ``cmd``, which reads the arguments again as a part of a command line. They are quoted so that
nothing in them means anything to it, and refused where no quotes can do that.
"""

from __future__ import annotations

import errno
import ntpath
import os
import re
import stat

TYPE_CHECKING = False  # as in `child`
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ERROR_INVALID_NAME = 123
_PROGRAMS = (".exe", ".com")
_BATCH = (".bat", ".cmd")
_ENDINGS = ".COM;.EXE;.BAT;.CMD"  # where PATHEXT is not set
_MOST_OF_CMD = 8191  # characters of a line
_PLAIN = re.compile(r"[\w#$*+\-./:?@\\]+", re.ASCII)  # cmd takes anything else for more than a letter

# Variables that cmd makes up or sets by itself; so are those whose names begin with an equals sign.
_MADE_UP = {"CD", "DATE", "TIME", "RANDOM", "ERRORLEVEL", "CMDCMDLINE", "CMDEXTVERSION", "HIGHESTNUMANODENUMBER"}
_MADE_UP |= {"__CD__", "__APPDIR__", "PATH", "PATHEXT", "PROMPT", "COMSPEC"}


class NotForBatchFilesError(ValueError):
    """An argument cannot be given to a batch file; says which one, and what to do instead."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(what)
        self.what, self.instead = what, instead


def find(name: str, environment: Mapping[str, str]) -> str:
    """Return the whole path of the program that a shell would run.

    Args:
        name: its name or path; the endings of PATHEXT may be left out.
        environment: PATH, PATHEXT; with NoDefaultCurrentDirectoryInExePath the current folder is left out.

    Raises:
        OSError: it does not exist, is a folder, or is nothing that the system runs.
    """
    fault: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for place in places(name, environment):
        try:
            is_folder = stat.S_ISDIR(os.stat(place).st_mode)  # noqa: PTH116 - pathlib is one of the imports
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as failure:
            if getattr(failure, "winerror", None) == _ERROR_INVALID_NAME:  # no file can have it
                continue
            fault = fault if isinstance(fault, PermissionError) else failure
            continue
        if not is_folder:
            return _checked(os.path.abspath(place))  # noqa: PTH100 - as above
        if is_path(name):
            fault = IsADirectoryError(errno.EISDIR, "it is a folder")
    raise fault


def is_path(name: str) -> bool:
    """Return whether a command names its place, so that it is not looked for."""
    return bool(ntpath.dirname(name) or ntpath.splitdrive(name)[0])


def places(name: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Give the paths where a command may be, in order.

    The current folder comes last. ``cmd`` begins with it, and PowerShell leaves it out: the program gets a token, and
    a file that happens to lie there must not take the place of one that is installed.
    """
    folders = [""]
    if not is_path(name):
        folders = [folder.strip('"') for folder in environment.get("PATH", "").split(";")]
        folders = [folder for folder in folders if folder]
        if "NODEFAULTCURRENTDIRECTORYINEXEPATH" not in map(str.upper, environment):
            folders.append(".")
    endings = [end for end in (environment.get("PATHEXT") or _ENDINGS).split(";") if end]
    has_ending = bool(ntpath.splitext(name)[1])
    for folder in folders:
        for end in ("", *endings) if has_ending else endings:
            yield ntpath.join(folder, name + end)
    if not has_ending:  # a script of a POSIX shell, beside the one for Windows
        yield from (ntpath.join(folder, name) for folder in folders)


def _checked(path: str) -> str:
    if not path.lower().endswith(_PROGRAMS + _BATCH):
        raise OSError(errno.ENOEXEC, "Windows runs no file of this kind by itself")
    return path


def command_line(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the line that starts a program, and the path of what the system loads for it.

    Args:
        program: its path, as `find` returned it.
        arguments: its name as it was typed, and its arguments.
        environment: the one that it gets.

    Raises:
        NotForBatchFilesError: it is a batch file, and an argument cannot be given to one.
    """
    from subprocess import list2cmdline

    if program.lower().endswith(_BATCH):
        words = " ".join([_quoted(program), *map(_word, arguments[1:])])
        _check_variables(words, environment)
        shell = ntpath.join(environment.get("SYSTEMROOT") or r"C:\Windows", "System32", "cmd.exe")
        line = f'cmd.exe /d /e:on /v:off /s /c "{words}"'
        if len(line) > _MOST_OF_CMD:
            raise NotForBatchFilesError("so many arguments", "give them in a file")
        return line, shell
    *before, last = arguments
    # What follows /c is a command line, in which a quotation mark is not written with a backslash before it.
    is_shell = ntpath.basename(program).lower() == "cmd.exe"
    if is_shell and '"' in last and before and before[-1].lower() in ("/c", "/k"):
        return f'{list2cmdline(before)} "{last}"', program
    return list2cmdline(arguments), program


def _word(argument: str) -> str:
    if re.search(r"[\r\n\0\x1a]", argument):
        raise NotForBatchFilesError("a line end in an argument", "give the text in a file")
    is_plain = _PLAIN.fullmatch(argument) and not argument.endswith("\\")
    return argument if is_plain else _quoted(argument)


def _quoted(argument: str) -> str:
    """Put an argument into quotation marks that end where it ends.

    Two of them inside stand for one, with the backslashes before them doubled: so the programs read it that the batch
    file passes it on to.
    """
    return '"' + re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + found[2] * 2, argument) + '"'


def _check_variables(words: str, environment: Mapping[str, str]) -> None:
    """Refuse what ``cmd`` would replace: no quotes keep it from that. A name that no variable has stays as it is."""
    known = _MADE_UP.union(map(str.upper, environment))
    for between in words.split("%")[1:-1]:
        name = between.upper()
        if name[:1] == "=" or name in known or name.partition(":")[0] in known:
            raise NotForBatchFilesError(f"%{between}% in an argument", "write the variable's value instead")
