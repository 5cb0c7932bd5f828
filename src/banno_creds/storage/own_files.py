"""Files of our own, in the cache and beside it: where they are, how one stays its owner's alone, how old it is.

Nothing is imported here but what the interpreter has loaded already: `recall` needs these few functions before
anything else is there, and each import would cost it a tenth of its time.
"""

from __future__ import annotations

import os
import stat
import sys
import time

ANSWER = ".answer"
ENTRY = ".json"
LOCK = ".lock"
LOGIN = ".login"
UNFINISHED = ".tmp"
CERTIFICATE = "localhost.pem"
_NAME_LENGTH = 64  # a SHA-256 in hexadecimal
_RANDOM_BYTES = 6  # in the name of what is being written

_MODES_MEAN_SOMETHING = os.name == "posix"
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_MOST_BYTES = 4 * 1024 * 1024  # an answer is bounded to 1 MiB; in JSON it may grow
# Never a link's target, never kept open by a child, never waiting for whoever might write into a pipe.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class NotOursError(OSError):
    """A file or folder that another user owns, or that is a link or no file: nothing in it is to be relied on."""


class OthersHomeError(NotOursError):
    """A cache of root's would have to be made in another user's folder, and be in that user's way."""


def home() -> str | None:
    """The user's home folder; None where there is none: ``HOME`` is set to nothing, or this user is in no list."""
    # expanduser would make the root folder of a HOME that is set to nothing.
    if sys.platform != "win32" and os.environ.get("HOME") == "":
        return None
    path = os.path.expanduser("~")
    return path if os.path.isabs(path) else None


def cache_folder() -> str | None:
    """The cache's folder.

    Returns:
        ``BANNO_CREDS_CACHE_DIR``, else where this system keeps its users' caches; None where there is no home.
    """
    named = os.environ.get("BANNO_CREDS_CACHE_DIR")
    if named:
        return _named_folder(named)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
        return os.path.join(base, "banno-creds", "Cache") if base else None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if sys.platform != "darwin" and os.path.isabs(base):  # a relative one is to be ignored, says XDG's specification
        return os.path.join(base, "banno-creds")
    at_home = home()
    if at_home is None:
        return None
    if sys.platform == "darwin":
        return os.path.join(at_home, "Library", "Caches", "banno-creds")
    return os.path.join(at_home, ".cache", "banno-creds")


def state_folder() -> str | None:
    """The folder for what is kept longer than a cache is: logins, and the certificate for localhost.

    Returns:
        ``BANNO_CREDS_STATE_DIR``, else where this system keeps such files of its users; None where there is no home.
    """
    named = os.environ.get("BANNO_CREDS_STATE_DIR")
    if named:
        return _named_folder(named)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
        return os.path.join(base, "banno-creds", "State") if base else None
    base = os.environ.get("XDG_STATE_HOME", "")
    if sys.platform != "darwin" and os.path.isabs(base):
        return os.path.join(base, "banno-creds")
    at_home = home()
    if at_home is None:
        return None
    if sys.platform == "darwin":
        return os.path.join(at_home, "Library", "Application Support", "banno-creds", "State")
    return os.path.join(at_home, ".local", "state", "banno-creds")


def _named_folder(named: str) -> str | None:
    if named.replace(os.sep, "/").split("/")[0] == "~" and home() is None:
        return None
    path = os.path.expanduser(named)
    try:
        return os.path.abspath(path)
    except FileNotFoundError:  # the current folder was removed: whoever opens this one is told so
        return path


def check_folder(path: str) -> None:
    """Make sure that a folder is ours alone; tighten its mode where it is looser.

    Args:
        path: the folder.

    Raises:
        NotOursError: it is a link or no folder, or another user's, or others can look into it and it is one that
            people share: it is sticky, or holds more than our files.
        OSError: it is missing, or its mode cannot be changed.
    """
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        what = "a link" if stat.S_ISLNK(status.st_mode) else "no folder"
        raise NotOursError(None, f"{path} is {what}")
    if _MODES_MEAN_SOMETHING:
        if status.st_uid != os.geteuid():
            raise NotOursError(None, f"{path} belongs to another user")
        if stat.S_IMODE(status.st_mode) & 0o077:
            # Somebody may have named /tmp, and be root: what others use too is not ours to close, empty or not.
            if status.st_mode & stat.S_ISVTX:
                raise NotOursError(None, f"{path} is open to others, and sticky, as folders are that people share")
            if not all(is_of_the_cache(file) or _is_of_a_login(file) for file in os.listdir(path)):
                raise NotOursError(None, f"{path} is open to others, and holds more than our files")
            os.chmod(path, _FOLDER_MODE)


def is_of_the_cache(file: str) -> bool:
    """Whether a file's name is one that this cache gives: nothing else in its folder is touched."""
    name, *suffixes = file.split(".")
    if not _is_hexadecimal(name, _NAME_LENGTH) or not suffixes:
        return False
    if "." + ".".join(suffixes) in (ENTRY, LOCK, ANSWER, LOCK + UNFINISHED):
        return True
    # What is being written; see `write`.
    if len(suffixes) != 4:
        return False
    of, pid, random, last = suffixes
    return (
        f".{of}" in (ENTRY, ANSWER)
        and pid.isascii()
        and pid.isdigit()
        and _is_hexadecimal(random, 2 * _RANDOM_BYTES)
        and f".{last}" == UNFINISHED
    )


def _is_of_a_login(file: str) -> bool:
    """Whether a file is what is kept beside the cache: a login, its lock, what is being written; the certificate."""
    name, dot, rest = file.partition(".")
    is_login = _is_hexadecimal(name, _NAME_LENGTH) and f"{dot}{rest}".startswith(LOGIN)
    return is_login or file == CERTIFICATE or file.startswith(f"{CERTIFICATE}.")


def _is_hexadecimal(text: str, length: int) -> bool:
    return len(text) == length and not text.strip("0123456789abcdef")


def make_folder(path: str) -> None:
    """Make a folder, and those above it, for ourselves alone.

    Args:
        path: the folder.

    Raises:
        OthersHomeError: we are root by sudo, and it would be made in a folder of another user's.
        OSError: the system would not let us.
    """
    missing = []
    while path and not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    # A container's root often has another user's folder for its home, and no such user there to be in the way of.
    by_sudo = _MODES_MEAN_SOMETHING and os.geteuid() == 0 and "SUDO_UID" in os.environ
    if missing and path and by_sudo and os.stat(path).st_uid != 0:
        # That user's own programs could not so much as look into a ~/.cache that is root's alone.
        raise OthersHomeError(None, f"{path} belongs to another user, and root's cache would be in the way")
    for each in reversed(missing):
        try:
            os.mkdir(each, _FOLDER_MODE)
        except FileExistsError:  # another process was quicker
            continue


def open_file(path: str, flags: int) -> int:
    """Open a file that is ours alone; tighten its mode where it is looser.

    Args:
        path: the file.
        flags: as for `os.open`.

    Returns:
        Its descriptor.

    Raises:
        NotOursError: it is a link or no file, or another user's.
        OSError: it is missing, or cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | _SAFELY, _FILE_MODE)
    except OSError:
        if os.path.islink(path):
            raise NotOursError(None, f"{path} is a link") from None
        raise
    try:
        _check_file(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_file(descriptor: int, path: str) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise NotOursError(None, f"{path} is no file")
    if _MODES_MEAN_SOMETHING:
        if status.st_uid != os.geteuid():
            raise NotOursError(None, f"{path} belongs to another user")
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(descriptor, _FILE_MODE)


def read(path: str) -> bytes:
    """Read a file that is ours alone; see `open_file` for what it raises."""
    descriptor = open_file(path, os.O_RDONLY)
    try:
        pieces = []
        left = _MOST_BYTES
        while left and (piece := os.read(descriptor, left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def write(path: str, content: bytes) -> None:
    """Write a file, ours alone from its first byte, whole or not at all: what breaks off leaves the old one.

    Args:
        path: the file.
        content: what to put into it.

    Raises:
        OSError: the system would not let us; nothing was changed.
    """
    temporary = f"{path}.{os.getpid()}.{os.urandom(_RANDOM_BYTES).hex()}{UNFINISHED}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, _FILE_MODE)
    try:
        try:
            written = 0
            while written < len(content):
                written += os.write(descriptor, content[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        try:  # noqa: SIM105 - contextlib is one of the imports that this module does without
            os.unlink(temporary)
        except OSError:
            pass  # the first failure is the one to tell
        raise


def identity(path: str) -> str:
    """What changes when a file is replaced or written anew; empty where there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return ""
    return f"{status.st_ino}.{status.st_mtime_ns}.{status.st_size}"


def uptime() -> tuple[str, float]:
    """A clock that nobody sets: the seconds since this machine was started, and the name of that start.

    Returns:
        Both; an empty name where the system (macOS, Windows) has no such clock to be relied on.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip(), time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return "", 0.0


def age(now: float, then: float, then_up: tuple[str, float]) -> float | None:
    """How long ago something was, though the clock may have been set meanwhile.

    Args:
        now: the clock now, in seconds since the epoch.
        then: the clock then.
        then_up: what `uptime` said then.

    Returns:
        The seconds, the longer of what the two clocks say; None where that lies ahead: the clock was set back, and
        nothing else is known.
    """
    ago, up = now - then, _by_uptime(then_up)
    if up is not None:
        ago = max(ago, up)
    return ago if ago >= 0 else None


def elapsed(now: float, then: float, then_up: tuple[str, float]) -> float | None:
    """How long ago something was, by the clock that nobody sets alone, where that is known; see `age`.

    `age` rather says too much than too little, as is right for a token's life. This is for what must neither end
    early nor last long because somebody set the clock.
    """
    up = _by_uptime(then_up)
    ago = now - then if up is None else up
    return ago if ago >= 0 else None


def _by_uptime(then_up: tuple[str, float]) -> float | None:
    started, seconds = uptime()
    return seconds - then_up[1] if started and started == then_up[0] else None
