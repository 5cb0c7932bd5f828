"""The shell that a printed command will be typed into: how it is given a word, and how it sets variables.

POSIX shells quote alike. On Windows most words can be written so that cmd and PowerShell read the same; only for the
others we look at which of them started us.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Shell = Literal["posix", "cmd", "powershell", "pwsh"]
"""``powershell`` is Windows PowerShell 5.1; ``pwsh`` is PowerShell 7.3 and later, which passes quotes on rightly."""

# Also where PowerShell would split a word: at a dot or colon behind a dash.
_BARE = re.compile(r"(?!-.*[.:])[A-Za-z0-9_./\\:-][A-Za-z0-9_./\\:=+-]*")
# What acts inside double quotes, in PowerShell or in a program's own reading of its command line. PowerShell takes
# typographic quotes for plain ones.
_ACTS = re.compile('["$`\u201c-\u201e\\x00-\\x1f]|\\\\$|%.*%|^$', re.DOTALL)
_SINGLE = re.compile("['\u2018-\u201b]")
_MOST_OF_CMD = 8000  # characters; a line of cmd has at most 8191


def quote(word: str, shell: Shell | None = None) -> str:
    """Return a word as a shell must read it to pass it on unchanged; by default, the shell at hand."""
    if shell is None and not of_windows():
        shell = at_hand()
    alike = None if shell == "posix" else _alike(word)
    return _FORMS[shell or at_hand()](word) if alike is None else alike


def join(words: Sequence[str], shell: Shell | None = None) -> str:
    """Return a command line, of a program and its arguments."""
    line = " ".join(quote(word, shell) for word in words)
    # PowerShell takes a quoted word at the beginning for a value.
    return f"& {line}" if line[:1] in ("'", '"') and (shell or at_hand()) in ("powershell", "pwsh") else line


def of_windows() -> bool:
    """Return whether commands are typed into a shell of Windows; Git Bash is none, and quotes as POSIX does."""
    return sys.platform == "win32" and "MSYSTEM" not in os.environ


_found: list[Shell] = []  # once it was looked for


def at_hand() -> Shell:
    """Return the shell that started us; PowerShell, if that cannot be told on Windows."""
    if not _found:
        names = (name.lower().removesuffix(".exe") for name in _started_by())
        default: Shell = "powershell" if of_windows() else "posix"
        _found.append(next((_PROGRAMS[name] for name in names if name in _PROGRAMS), default))
    return _found[0]


_PROGRAMS: Mapping[str, Shell] = {
    "cmd": "cmd",
    "powershell": "powershell",
    "powershell_ise": "powershell",
    "pwsh": "pwsh",
    **dict.fromkeys(("bash", "dash", "fish", "sh", "zsh"), "posix"),
}


def _alike(word: str) -> str | None:
    """Return the form that cmd and PowerShell read the same; None if there is none."""
    if _BARE.fullmatch(word):
        return word
    return None if _ACTS.search(word) else f'"{word}"'


def _for_posix(word: str) -> str:
    from shlex import quote as for_posix

    return for_posix(word)


def _for_cmd(word: str) -> str:
    """Quote for the program's own reading, then for cmd, which knows no escaped quotes: there nothing is quoted."""
    text = '"' + re.sub(r'(\\*)"', r'\1\1\\"', word)
    text += "\\" * (len(text) - len(text.rstrip("\\"))) + '"'
    return re.sub(r'[()%!^"<>&|]', r"^\g<0>", text) if '"' in word or "%" in word else text


def _for_powershell(word: str) -> str:
    """Quote for Windows PowerShell, which puts quotes around arguments with blanks, and does nothing else to them.

    It counts quotes to find such blanks, so there must be an even number before each.
    """
    if not word:
        return "'\"\"'"
    if any(char.isspace() for char in word):
        word = re.sub(r'(\\*)"', r'\1\1""', word)
        word += "\\" * (len(word) - len(word.rstrip("\\")))
    else:
        word = re.sub(r'(\\*)"', r'\1\1\\"', word)
    return _literal(word)


def _literal(text: str) -> str:
    return "'" + _SINGLE.sub(r"\g<0>\g<0>", text) + "'"


_FORMS = {"posix": _for_posix, "cmd": _for_cmd, "powershell": _for_powershell, "pwsh": _literal}


def assignments(variables: Mapping[str, str], shell: Literal["posix", "cmd", "powershell"]) -> str:
    """Return the text that sets environment variables: one line, and for cmd a line for each.

    Raises:
        ValueError: cmd cannot be given a value.
    """
    if shell == "posix":
        return "export " + " ".join(f"{name}={quote(value, shell)}" for name, value in variables.items())
    if shell == "powershell":  # one line: Invoke-Expression takes each line of a pipe for itself
        return "; ".join(f"$env:{name} = {_literal(value)}" for name, value in variables.items())
    for name, value in variables.items():
        # They act between quotes: in a file, behind `call`, or as some set cmd up.
        if len(value) > _MOST_OF_CMD or not value.isprintable() or set(value) & set('"%!^'):
            raise ValueError(name)
    return "\n".join(f'set "{name}={value}"' for name, value in variables.items())


def _started_by() -> Iterator[str]:
    """Yield the file names of the programs that started us, the nearest first; on Windows alone."""
    processes, number = _processes(), os.getppid()
    for _ in range(_MOST_PARENTS):
        if number in processes:
            name, number = processes[number]
            yield name


def _processes() -> dict[int, tuple[str, int]]:
    """Return each process's file name and the number of its parent; nothing where the system does not tell."""
    found: dict[int, tuple[str, int]] = {}
    if sys.platform == "win32":
        import ctypes
        from ctypes import wintypes

        class Entry(ctypes.Structure):
            _fields_ = (
                ("size", wintypes.DWORD),
                ("usage", wintypes.DWORD),
                ("number", wintypes.DWORD),
                ("heap", ctypes.c_size_t),
                ("module", wintypes.DWORD),
                ("threads", wintypes.DWORD),
                ("parent", wintypes.DWORD),
                ("priority", wintypes.LONG),
                ("flags", wintypes.DWORD),
                ("name", wintypes.WCHAR * 260),
            )

        system = ctypes.WinDLL("kernel32")
        system.CreateToolhelp32Snapshot.argtypes = (wintypes.DWORD, wintypes.DWORD)
        system.CreateToolhelp32Snapshot.restype = wintypes.HANDLE
        system.Process32FirstW.argtypes = (wintypes.HANDLE, ctypes.POINTER(Entry))
        system.Process32NextW.argtypes = (wintypes.HANDLE, ctypes.POINTER(Entry))
        system.CloseHandle.argtypes = (wintypes.HANDLE,)
        snapshot = system.CreateToolhelp32Snapshot(_SNAPSHOT_OF_PROCESSES, 0)
        entry = Entry(ctypes.sizeof(Entry))
        more = system.Process32FirstW(snapshot, ctypes.byref(entry))
        while more:
            found[entry.number] = entry.name, entry.parent
            more = system.Process32NextW(snapshot, ctypes.byref(entry))
        system.CloseHandle(snapshot)
    return found


_MOST_PARENTS = 16  # numbers are given again, so there may be a circle
_SNAPSHOT_OF_PROCESSES = 2  # TH32CS_SNAPPROCESS
