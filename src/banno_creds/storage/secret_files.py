"""The files that a user names and that hold secrets: read with care, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import ntpath
import os
import re
import signal
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from banno_creds.errors import BannoCredsError, ConfigurationError, KeyLoadError, OutputError
from banno_creds.storage import own_files
from banno_creds.text import printable, quoted, setting, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

PUBLIC_MODE = 0o644

_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"
}

# No key, passphrase or JWK Set is nearly as large; a disk image behind a mistyped path is.
MOST_BYTES = 1024 * 1024

_ANYWAY = f"{setting('allow_writable')} if you know why it is so"

# The signals that ask a process to end. SIGHUP is missing on Windows.
_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """The content of a file that only its owner should read, and the warnings about it, each with what to do."""

    content: bytes = field(repr=False)
    warnings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written.

    ``replaces`` is the content that is replaced, and that is kept elsewhere: if anything else is found in the place,
    nothing is written. None if any content may be replaced.
    """

    path: Path
    content: bytes = field(repr=False)
    mode: int
    replaces: bytes | None = field(default=None, repr=False)


def read_file(path: Path, *, most: int = MOST_BYTES, error: type[BannoCredsError] = ConfigurationError) -> bytes:
    """Read a whole file of at most so many bytes, or a pipe such as ``/dev/fd/63``; ``error`` is the class to raise.

    Raises:
        BannoCredsError: of the class ``error``: it is missing, a directory, not readable or too large.
    """
    return _read(path, most, error, lambda *_: None)[0]


class SeenFile:
    """A file with a key as it was found: its content, who may read it, and when its content last changed.

    ``rights`` is its mode, on Windows its owner and its readers; None if that is not known, or it is a pipe.
    ``owner`` is empty where ``rights`` names it. ``modified`` is in seconds since the epoch.
    """

    __slots__ = ("content", "modified", "others", "owner", "rights")  # no dataclass: each costs every command's start

    def __init__(
        self, others: Others, rights: str | None = None, owner: str = "", modified: float | None = None
    ) -> None:
        self.content = b""
        self.others, self.rights, self.owner, self.modified = others, rights, owner, modified


def look_at_file(path: Path) -> SeenFile:
    """Read a file with a key of any kind, whoever may read or change it, and tell that too.

    Raises:
        KeyLoadError: it is missing, a directory, not readable or too large.
    """
    content, seen = _read(path, MOST_BYTES, KeyLoadError, _look)
    seen.content = content
    return seen


def _look(path: str, descriptor: int) -> SeenFile:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return SeenFile(Others())
    owner = ""
    if sys.platform != "win32":
        import pwd

        try:
            owner = printable(pwd.getpwuid(status.st_uid).pw_name)
        except KeyError:  # as in a container
            owner = str(status.st_uid)
    return SeenFile(who_else(path, descriptor), described(descriptor), owner, status.st_mtime)


def as_utf8(content: bytes) -> bytes:
    """Return a text in UTF-8 without a byte-order mark; PowerShell's ``>`` writes UTF-16.

    Other encodings, and what is no text, stay as they are.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif content[1:2] == b"\0" and content[:1] != b"\0" and not any(content[1:200:2]):
        encoding = "utf-16-le"
    elif content[:1] == b"\0" and content[1:2] not in (b"", b"\0") and not any(content[:200:2]):
        encoding = "utf-16-be"
    else:
        return content.removeprefix(b"\xef\xbb\xbf")
    return content.decode(encoding, "replace").removeprefix("\ufeff").encode()


def read_private_file(
    path: Path,
    *,
    allow_writable: bool = False,
    what: str = "private key",
    error: type[BannoCredsError] = KeyLoadError,
) -> PrivateFile:
    """Read a file with a secret, such as a private key, and check who else may read or change it, with warnings.

    The mode, on Windows the access-control list, is read from the open file, so that nobody can change it between the
    check and the reading.

    Args:
        path: the file, or a pipe such as ``/dev/fd/63``.
        allow_writable: whether to accept a file that others can write.
        what: the secret's name in messages.
        error: the class of error to raise.

    Raises:
        BannoCredsError: of the class ``error``: it is missing, a directory, not readable, too large, or others can
            write it.
    """
    content, others = _read(path, MOST_BYTES, error, who_else)
    anyway = f", or use {_ANYWAY}" if error is KeyLoadError else ""
    if others.writers and not allow_writable:
        raise error(
            f"others can write the {what} {path} ({others.writers}), so nobody knows whose {what.split()[-1]} it is",
            hint=f"{others.close}{anyway}",
        )
    if others.owner == "other" and not allow_writable:
        raise error(
            f"the {what} {path} belongs to another user, who can change it", hint=f"make a copy of your own{anyway}"
        )
    warnings = others.warnings
    if others.readers:
        warnings.insert(0, (f"others can read {path} ({others.readers})", others.close))
    return PrivateFile(content, tuple(warnings))


@dataclass(slots=True)
class Others:
    """Who else than the user can read or change a file that the user names, in words for messages.

    ``writers`` and ``readers`` are empty, or say by what: a mode, on Windows the accounts. ``owner`` is "other" if it
    belongs to another user, who can change it, "despite root" if we are root and read it all the same. ``close``,
    ``close_writing`` and ``take`` are command lines that mend it. ``warnings``, each with what to do, tell of the
    folder.
    """

    writers: str = ""
    readers: str = ""
    owner: str = ""
    close: str = ""
    close_writing: str = ""
    take: str = ""
    root: str = "root"
    warnings: list[tuple[str, str]] = field(default_factory=list)


def who_else(path: str, descriptor: int) -> Others:
    """Say who else can read or change an open file: the one rule for keys, passphrases, secrets and settings.

    A pipe's or a device's mode means nothing. Root, on Windows an elevated administrator, reads other users' files on
    purpose, mostly in containers; and only root can change root's files.
    """
    status = os.fstat(descriptor)
    others = Others()
    if not stat.S_ISREG(status.st_mode):
        return others
    if sys.platform == "win32":
        from banno_creds.storage import windows_security

        found = windows_security.who_else(path, descriptor)
        if found is None:
            return others
        return Others(**found._asdict(), close_writing=found.close, root="an administrator")
    mode, user = stat.S_IMODE(status.st_mode), os.geteuid()
    folder = Path(path).parent
    is_others_folder = everybody_can_replace_in(folder)
    if user != status.st_uid and status.st_uid != 0:
        others.owner = "other" if user else "despite root"
    if not others.owner and not mode & 0o066 and not is_others_folder:
        return others
    from banno_creds.shells import quote

    if mode & 0o022:
        others.writers = f"mode {mode:04o}"
    if mode & 0o044:
        others.readers = f"mode {mode:04o}"
    others.close, others.close_writing = f"chmod 600 {quote(path)}", f"chmod go-w {quote(path)}"
    others.take = f"chown root {quote(path)}"
    if is_others_folder:
        message = f"others can put another file in the place of {path}: everybody can write its folder"
        others.warnings.append((message, f"chmod o-w {quote(str(folder))}"))
    return others


def everybody_can_replace_in(folder: Path) -> bool:
    """Return whether everybody can put another file into the place of one in a folder, by its mode."""
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWOTH and not mode & stat.S_ISVTX)


def described(descriptor: int) -> str | None:
    """Say who can read an open file: its mode, on Windows its owner and the others; None if that is not known."""
    if sys.platform == "win32":
        from banno_creds.storage import windows_security

        return windows_security.described(descriptor)
    return f"mode {stat.S_IMODE(os.fstat(descriptor).st_mode):04o}"


def secret_line(content: bytes, what: str) -> bytes:
    """Return the one line of a file with a passphrase or a client secret, without line end and byte order mark.

    Raises:
        ConfigurationError: it is empty, or has more than one line.
    """
    line = as_utf8(content).removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise ConfigurationError(f"the {what} is empty", hint="put it into the file, on one line")
    if b"-----BEGIN " in line:
        raise ConfigurationError(
            f"what should be the {what} is a key or a certificate (not shown)", hint=f"name the file with the {what}"
        )
    if b"\n" in line:
        more = "; OpenSSL reads the first line only" if what == "passphrase" else ""
        raise ConfigurationError(f"the {what} has more than one line", hint=f"put it into the file on one line{more}")
    return line


def read_secret_line(path: Path, what: str, name: str) -> PrivateFile:
    """Read the one line of a file with a secret that the setting ``name`` names, and that is no key.

    Raises:
        ConfigurationError: it cannot be used. A path that leads nowhere is not shown: it may be the secret itself.
    """
    if not os.path.lexists(path):
        raise ConfigurationError(
            f"there is no such file as {setting(name)} names (not shown: it might be the {what})",
            hint=f"put the {what} into a file, and name that",
        )
    file = read_private_file(path, what=what, error=ConfigurationError)
    return PrivateFile(secret_line(file.content, what), file.warnings)


def no_such_file(path: str, error: type[BannoCredsError] = ConfigurationError) -> BannoCredsError:
    """Return the error for a file that is missing; it names what cannot be seen in the path."""
    odd = unseen(path)
    if odd is None:
        hint = own_files.too_long(path) or "check the path; a relative one counts from the current folder"
        if path[:1] in "$<%{":
            hint = "nothing has filled that in: give the path itself"
        elif path[:1] == "@" or path.startswith(("file:", "fileb:")):
            hint = "give the path alone, without @ or file://"
        elif path.startswith("arn:aws"):
            hint = "if it is a key of AWS KMS, write awskms: before it"
        elif _is_address(path):
            hint = "only files are read: fetch it first, or give it on standard input, as -"
        elif error is KeyLoadError and (scheme := scheme_in(path)):
            hint = f"if it is the URI of a held key: no package here opens keys of {scheme}:; else check the path"
        return error(f"no such file: {path}", hint=hint)
    hint = "take that out of the path; in CI, look at the first and the last character of the variable"
    return error(f"no such file: {quoted(path)}: {odd}", hint=hint)


def scheme_in(path: str) -> str:
    """Return what would be the scheme if a missing file's path were a URI in a folder; empty if there is none."""
    path = os.path.splitdrive(path)[1]
    name = re.split(r"[/\\]", path.partition(":")[0])[-1] if ":" in path else ""
    return name if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", name) else ""


def _is_address(path: str) -> bool:
    """Return whether a path was a URL before `Path` took a slash out of it; a drive of Windows has one letter."""
    scheme, mark, _ = path.replace("\\", "/").partition(":/")
    return bool(mark) and len(scheme) > 1


def _read(path: Path, most: int, error: type[BannoCredsError], look: Callable[[str, int], T]) -> tuple[bytes, T]:
    """Return the content, and what is told of the open file by a look at its path and its descriptor."""

    def read() -> tuple[bytes, T]:
        with path.open("rb") as file:
            check_no_port(str(path), file.fileno())
            seen = look(str(path), file.fileno())
            return file.read(most + 1), seen

    try:
        content, seen = own_files.patiently(read, path)
    except FileNotFoundError:
        raise no_such_file(str(path), error) from None
    except IsADirectoryError:
        raise error(f"{path} is a directory", hint="name the file in it") from None
    except (OSError, ValueError) as failure:
        if isinstance(failure, TimeoutError) and failure.errno is None:
            raise  # not the system's but the caller's, from a signal while a pipe was silent
        # Windows reports a directory as a lack of permission, on which Path.is_dir() would fail itself.
        if os.path.isdir(path):  # noqa: PTH112
            raise error(f"{path} is a directory", hint="name the file in it") from None
        if sys.platform == "win32" and getattr(failure, "errno", None) == errno.EINVAL and fault_of_name(str(path)):
            raise no_such_file(str(path), error) from None  # no file can have such a name
        words = getattr(failure, "strerror", None) or str(failure)
        hint = "check who owns it and who may read it"
        if isinstance(failure, OSError):
            hint = own_files.hint_for(failure, hint)
        raise error(f"cannot read {path}: {words}", hint=hint) from None
    if len(content) > most:
        raise error(f"{path} is larger than {most // 1024} KiB", hint="check that it is the file you mean")
    return content, seen


def check_no_port(path: str, descriptor: int) -> None:
    """Refuse to read what came out as a device of Windows, such as a serial port, which says nothing and never ends.

    OSError if it is one; NUL is empty, and a console is read as a terminal is elsewhere.
    """
    if sys.platform == "win32" and stat.S_ISCHR(os.fstat(descriptor).st_mode):
        # Not by ntpath.basename: abspath makes a whole drive of nul, which has none.
        last = path.replace("/", "\\").rpartition("\\")[2]
        name = last.partition(".")[0].rstrip(" :").upper()
        if name not in ("NUL", "CON", "CONIN$"):
            raise OSError(errno.ENODEV, "it is a device")


def check_places(paths: Sequence[Path], *, replace: bool) -> None:
    """Make sure that files can be written, before any work is done for them.

    Raises:
        ConfigurationError: a folder is missing, a file exists and ``replace`` is false or it is read-only on Windows,
            something other than a file is in the place, or Windows gives no file such a name. A symbolic link is
            never replaced and never followed: either could be wrong.
    """
    for path in paths:
        check_file_name(str(path))
        sort = _sort_of_place(path)
        if sort is not None:
            raise ConfigurationError(f"{path} is {sort}, and no file can be put there", hint="choose another path")
        if not os.path.isdir(path.parent):  # noqa: PTH112 - as above
            raise ConfigurationError(
                f"there is no folder {path.parent} to put {path.name} into",
                hint=own_files.too_long(str(path.parent)) or "make it first, or choose another",
            )
        check_not_read_only(path)
    existing = [str(path) for path in paths if os.path.lexists(path)]
    if existing and not replace:
        verb = "exists" if len(existing) == 1 else "exist"
        raise ConfigurationError(
            f"{' and '.join(existing)} {verb} already, nothing was written",
            hint="choose other paths",
        )


def check_file_name(path: str) -> None:
    """Make sure that Windows gives a file such a path, and no device or hidden stream instead.

    Raises:
        ConfigurationError: it does not.
    """
    fault = fault_of_name(path) if sys.platform == "win32" else None
    if fault is not None:
        raise ConfigurationError(f"{printable(path)} cannot be a file: {fault}", hint="choose another name")


def fault_of_name(path: str) -> str | None:
    r"""Return why Windows gives no file such a path; None if it does, or if it starts with ``\\?\``."""
    if path.startswith("\\\\?\\"):
        return None
    drive, rest = ntpath.splitdrive(path.replace("/", "\\"))
    if drive.startswith("\\\\."):
        return "it is a device"
    for part in rest.split("\\"):
        # Windows takes the name before the first dot for the device, whatever follows.
        if part.partition(".")[0].partition(":")[0].rstrip(" ").upper() in _DEVICES:
            return f"{printable(part)} is the name of a device"
        if ":" in part:
            return "what follows : would be a hidden part of another file"
        odd = next((character for character in part if character in '<>"|?*' or character < " "), None)
        if odd is not None:
            return f"Windows has no {odd if odd.isprintable() else f'{odd!a}'} in names"
    return None


def check_not_read_only(path: str | os.PathLike[str]) -> None:
    """Refuse to replace a file that somebody has marked as read-only, on Windows."""
    if own_files.is_read_only(path):
        raise ConfigurationError(
            f"{path} is read-only, and is left as it is", hint=f'to change it: attrib -r "{path}"'
        )


def _sort_of_place(path: Path) -> str | None:
    """Return what is there instead of a file; None for a file, or nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"


def write_together(files: Sequence[NewFile], *, replace: bool) -> None:
    """Write several files so that all of them are there afterwards, or none is changed.

    Each is written to a temporary file beside its place, with its final mode from the first byte, and then renamed.
    A free name is reserved with ``O_EXCL`` before that, so that a file which appears in between is never
    overwritten. If anything fails, the old files are put back. Ctrl-C and SIGTERM wait until the end, when
    everything can still be undone.

    Raises:
        ConfigurationError: see `check_places`.
        OutputError: the system refused.
    """
    check_places([file.path for file in files], replace=replace)
    places = [_Place(file) for file in files]
    with _signals_held() as hear_signals:
        at = files[0].path
        try:
            for place in places:
                at = place.file.path
                place.stage()
            for place in places:
                at = place.file.path
                place.take(replace=replace)
            for folder in {file.path.parent for file in files}:
                own_files.sync_folder(folder)
            hear_signals()
        except BaseException as failure:
            left = tuple(line for place in places for line in place.put_back())
            if isinstance(failure, OSError):
                raise _not_written(at, failure, left) from None
            raise
        # Only now: until the last step the old files are kept.
        for place in places:
            with contextlib.suppress(OSError):
                own_files.remove(place.aside)


class _Place:
    """A file on its way: where the new content waits, and where the old file is kept."""

    def __init__(self, file: NewFile) -> None:
        self.file = file
        self.staged = Path(own_files.temporary_name(file.path))
        self.aside = Path(own_files.temporary_name(file.path))
        self.reserved = False

    def stage(self) -> None:
        """Write the content beside its place."""
        own_files.write_new(str(self.staged), self.file.content, self.file.mode)

    def take(self, *, replace: bool) -> None:
        """Set the old file aside, or reserve the free name; then rename the new file."""
        path = self.file.path
        if replace and os.path.lexists(path):
            own_files.replace(path, self.aside)
            content = own_files.patiently(self.aside.read_bytes, self.aside)
            if self.file.replaces is not None and content != self.file.replaces:
                raise FileExistsError
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            os.close(own_files.patiently(lambda: os.open(path, flags, self.file.mode), path))
            self.reserved = True
        own_files.replace(self.staged, path)

    def put_back(self) -> list[str]:
        """Undo what was done so far; return a line for each thing that could not be undone."""
        left = []
        try:
            if os.path.lexists(self.aside):
                own_files.replace(self.aside, self.file.path)
            elif self.reserved:
                own_files.remove(self.file.path)
        except FileNotFoundError:
            pass  # what was reserved has gone
        except OSError:
            left.append(
                f"what was in {self.file.path} is now in {self.aside}"
                if os.path.lexists(self.aside)
                else f"{self.file.path} was left behind, remove it"
            )
        try:
            # Checked first: on a read-only file system, removing a missing file fails as well.
            if os.path.lexists(self.staged):
                own_files.remove(self.staged)
        except OSError:
            left.append(f"{self.staged} was left behind, remove it")
        return left


@contextlib.contextmanager
def _signals_held() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C and SIGTERM wait; yield a function that hears those whose handlers are Python's.

    A signal that ends the process at once waits until everything is done: nothing could be undone after it.
    """
    import threading

    handlers = {}
    if threading.current_thread() is threading.main_thread():  # other threads are never interrupted
        # An ignored signal stays ignored; None is a handler that is not Python's.
        found = {number: signal.getsignal(number) for number in _STOPPING}
        handlers = {number: it for number, it in found.items() if callable(it) or it is signal.SIG_DFL}
    waiting: list[int] = []

    def hear_signals() -> None:
        for number in list(waiting):
            handler = handlers[number]
            if callable(handler):
                waiting.remove(number)
                handler(number, None)

    try:
        with contextlib.ExitStack() as restored:
            for number, handler in handlers.items():
                restored.callback(signal.signal, number, handler)
                signal.signal(number, lambda number, _: waiting.append(number))
            yield hear_signals
    finally:
        for number in waiting:
            signal.raise_signal(number)


def _not_written(path: Path, failure: OSError, left: tuple[str, ...]) -> BannoCredsError:
    if isinstance(failure, FileExistsError):
        return ConfigurationError(
            f"{path} appeared or changed while the key was being made, nothing was written",
            hint="look at it, and choose other paths",
            details=left,
        )
    return OutputError(
        f"cannot write {path}: {failure.strerror or failure}" + ("" if left else "; nothing was changed"),
        hint=own_files.hint_for(failure, "check that you may write in that folder and that the disk is not full"),
        details=left,
    )
