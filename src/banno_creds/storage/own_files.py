"""The files that banno-creds makes for itself: their folders, their names, who may read them, how they are written.

Everything here imports only what the interpreter has loaded by itself: `recall` needs these few functions before
anything else is there, and each import would make it slower.
"""

from __future__ import annotations

import os
import stat
import sys
import time

TYPE_CHECKING = False  # this module does not even import typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

ANSWER = ".answer"
CHECKS = ".checks"
ENTRY = ".json"
LOCK = ".lock"
LOGIN = ".login"
ROTATION = ".rotation"
UNFINISHED = ".tmp"
CERTIFICATE = "localhost.pem"
_NAME_LENGTH = 64  # a SHA-256 in hexadecimal
_RANDOM_BYTES = 6  # in the name of a file that is being written

MODES_MEAN_SOMETHING = os.name == "posix"
PRIVATE_MODE = 0o600
_FOLDER_MODE = 0o700
_LONG = 248  # characters of a path: a folder's limit on Windows; a file's is 260
_MOST_BYTES = 4 * 1024 * 1024  # an answer is bounded to 1 MiB; in JSON it may grow
# Never follow a link, never let a child inherit it, never wait for the other end of a pipe.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class NotOursError(OSError):
    """A file or folder belongs to another user, or is a link or something else: its content cannot be trusted."""


class OthersHomeError(NotOursError):
    """Root would have to make a cache in another user's folder, where that user's programs could not use it."""


class HeldError(PermissionError):
    """Another program, such as a virus scanner or an editor, holds a file open, as it can on Windows alone."""


# --- Folders --------------------------------------------------------------------------------------------------------

# Our variable | Windows: variable, path below it; and its usual place below home | macOS: path below home |
# elsewhere: XDG variable, path below home
_CACHE = (
    "BANNO_CREDS_CACHE_DIR",
    ("LOCALAPPDATA", ("banno-creds", "Cache"), ("AppData", "Local")),
    ("Library", "Caches", "banno-creds"),
    ("XDG_CACHE_HOME", ".cache"),
)
_STATE = (
    "BANNO_CREDS_STATE_DIR",
    ("LOCALAPPDATA", ("banno-creds", "State"), ("AppData", "Local")),
    ("Library", "Application Support", "banno-creds", "State"),
    ("XDG_STATE_HOME", ".local", "state"),
)
_CONFIG = (
    "",  # BANNO_CREDS_CONFIG names the file
    ("APPDATA", ("banno-creds",), ("AppData", "Roaming")),
    ("Library", "Application Support", "banno-creds"),
    ("XDG_CONFIG_HOME", ".config"),
)


def home() -> str | None:
    """Return the user's home folder; None if there is none, or if ``HOME`` is empty or relative."""
    # expanduser would make the root folder of an empty HOME.
    if sys.platform != "win32" and os.environ.get("HOME") == "":
        return None
    path = os.path.expanduser("~")
    return path if os.path.isabs(path) else None


def cache_folder() -> str | None:
    """Return ``BANNO_CREDS_CACHE_DIR``, or the system's place for caches; None if there is no home."""
    return _folder(*_CACHE)


def state_folder() -> str | None:
    """Return ``BANNO_CREDS_STATE_DIR``, or the system's place for what outlives a cache; None if there is no home.

    Logins are there, the journals of rotations, and the certificate for localhost.
    """
    return _folder(*_STATE)


def config_folder() -> str | None:
    """Return the system's place for settings; None if there is no home."""
    return _folder(*_CONFIG)


def _folder(
    variable: str,
    windows: tuple[str, tuple[str, ...], tuple[str, ...]],
    macos: tuple[str, ...],
    elsewhere: tuple[str, ...],
) -> str | None:
    named = os.environ.get(variable)
    if named:
        return _named_folder(named)
    if sys.platform == "win32":
        name, path, usual = windows
        # A service, or a job with few variables, may lack it, or have it empty.
        return _below(os.environ.get(name), path) or _below(home(), usual + path)
    if sys.platform == "darwin":
        return _below(home(), macos)
    base = os.environ.get(elsewhere[0], "")
    if os.path.isabs(base):  # XDG's specification says to ignore a relative one
        return os.path.join(base, "banno-creds")
    return _below(home(), (*elsewhere[1:], "banno-creds"))


def _below(base: str | None, path: tuple[str, ...]) -> str | None:
    return os.path.join(base, *path) if base and os.path.isabs(base) else None


def _named_folder(named: str) -> str | None:
    if named.replace(os.sep, "/").split("/")[0] == "~" and home() is None:
        return None
    path = os.path.expanduser(named)
    try:
        return os.path.abspath(path)
    except FileNotFoundError:  # the current folder was removed; opening the relative path will say so
        return path


def check_folder(path: str) -> None:
    """Make sure that a folder is ours alone; tighten its mode if it is looser.

    Raises:
        NotOursError: it is a link, no folder, or another user's; or others can look into it and it seems to be
            shared: it is sticky, or holds other files than ours.
        OSError: it is missing, or its mode cannot be changed.
    """
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise NotOursError(None, f"{path} is {'a link' if stat.S_ISLNK(status.st_mode) else 'no folder'}")
    if sys.platform == "win32":
        if not _is_of_the_profile(path):
            _check_on_windows(path)
        return
    if status.st_uid != os.geteuid():
        raise NotOursError(None, f"{path} belongs to another user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        # Root may have named /tmp: a folder that others use is not ours to close, even while it is empty.
        if status.st_mode & stat.S_ISVTX:
            raise NotOursError(None, f"{path} is open to others, and sticky, as shared folders are")
        if not _holds_ours_alone(path):
            raise NotOursError(None, f"{path} is open to others, and holds other files than ours")
        os.chmod(path, _FOLDER_MODE)


if sys.platform == "win32":  # pragma: no cover - Windows alone

    def _check_on_windows(path: str) -> None:
        from banno_creds.storage import windows_security

        if windows_security.is_anothers(path):
            raise NotOursError(None, f"{path} belongs to another user")
        if windows_security.is_open_to_others(path):
            if not _holds_ours_alone(path):
                raise NotOursError(None, f"{path} is open to others, and holds other files than ours")
            windows_security.close_folder(path)


def _holds_ours_alone(path: str) -> bool:
    return all(is_of_the_cache(file) or _is_of_a_login(file) for file in os.listdir(path))


def _is_of_the_profile(path: str) -> bool:
    """Return whether Windows itself keeps other users out of a place; to look would make recalled answers slow."""
    profile = os.environ.get("LOCALAPPDATA") or os.path.join(home() or "", "AppData", "Local")
    return os.path.normcase(path).startswith(os.path.normcase(os.path.join(profile, "")))


def make_folder(path: str, *, for_its_owner: bool = False) -> None:
    """Make a folder, and its missing parents, with mode 0700.

    ``for_its_owner``: as root, give each new folder to the owner of the one it is in, instead of refusing to make one
    in another user's folder.

    Raises:
        OthersHomeError: we are root by sudo, and it would be made in another user's folder.
        OSError: the system refused.
    """
    missing = []
    while path and not os.path.lexists(path):
        missing.append(path)
        above = os.path.dirname(path)
        if above == path:  # a drive that is not there, or a share that cannot be reached
            break
        path = above
    # In a container root's home is often another user's folder, and no such user is there to be disturbed.
    by_sudo = MODES_MEAN_SOMETHING and os.geteuid() == 0 and "SUDO_UID" in os.environ
    if missing and path and by_sudo and not for_its_owner and os.stat(path).st_uid != 0:
        # That user's own programs could not even look into a ~/.cache that belongs to root.
        raise OthersHomeError(None, f"{path} belongs to another user, and root's cache would be in the way")
    for each in reversed(missing):
        try:
            _make_one(each)
        except FileExistsError:  # another process was quicker
            continue
        if for_its_owner and sys.platform != "win32":
            descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                _give_back(descriptor, os.stat(os.path.dirname(each)))
            finally:
                os.close(descriptor)


def _make_one(path: str) -> None:
    if sys.platform == "win32":
        from banno_creds.storage import windows_security

        windows_security.make_folder(path)
    else:
        os.mkdir(path, _FOLDER_MODE)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the renames in a folder survive a power cut; not all file systems can."""
    if not MODES_MEAN_SOMETHING:
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        pass


# --- Names ----------------------------------------------------------------------------------------------------------


def is_of_the_cache(file: str) -> bool:
    """Return whether the cache gives files such a name: it touches no other file in its folder."""
    name, *suffixes = file.split(".")
    if not _is_hexadecimal(name, _NAME_LENGTH) or not suffixes:
        return False
    if "." + ".".join(suffixes) in (ENTRY, LOCK, ANSWER, LOCK + UNFINISHED):
        return True
    # A file that is being written; see `temporary_name`.
    if len(suffixes) != 4:
        return False
    of, pid, random, last = suffixes
    return (
        f".{of}" in (ENTRY, ANSWER, LOCK)
        and pid.isascii()
        and pid.isdigit()
        and _is_hexadecimal(random, 2 * _RANDOM_BYTES)
        and f".{last}" == UNFINISHED
    )


def _is_of_a_login(file: str) -> bool:
    """Return whether a file is a login, a rotation's journal, a record of checks, a lock of them, or the certificate.

    It may be unfinished.
    """
    name, dot, rest = file.partition(".")
    is_login = _is_hexadecimal(name, _NAME_LENGTH) and f"{dot}{rest}".startswith((LOGIN, ROTATION, CHECKS))
    return is_login or file == CERTIFICATE or file.startswith(f"{CERTIFICATE}.")


def _is_hexadecimal(text: str, length: int) -> bool:
    return len(text) == length and not text.strip("0123456789abcdef")


def temporary_name(path: str | os.PathLike[str]) -> str:
    """Return a new name in the same folder, so that a rename to or from it is atomic."""
    return f"{os.fspath(path)}.{os.getpid()}.{os.urandom(_RANDOM_BYTES).hex()}{UNFINISHED}"


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove what killed processes left of a file that they were writing; the caller has the lock for writing it."""
    folder, name = os.path.split(os.fspath(path))
    try:
        for file in os.listdir(folder or os.curdir):
            pid, _, rest = file.removeprefix(f"{name}.").partition(".")
            random = rest.removesuffix(UNFINISHED)
            is_left = file.startswith(f"{name}.") and rest.endswith(UNFINISHED)
            if is_left and pid.isascii() and pid.isdigit() and _is_hexadecimal(random, 2 * _RANDOM_BYTES):
                _remove(os.path.join(folder, file))
    except OSError:
        pass  # it is in nobody's way


# --- Reading and writing --------------------------------------------------------------------------------------------


def open_file(path: str, flags: int) -> int:
    """Open a file that is ours alone; tighten its mode if it is looser."""
    try:
        descriptor = os.open(path, flags | _SAFELY, PRIVATE_MODE)
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
    if sys.platform == "win32":
        if not _is_of_the_profile(path):
            from banno_creds.storage import windows_security

            if windows_security.is_anothers(descriptor):
                raise NotOursError(None, f"{path} belongs to another user")
    else:
        if status.st_uid != os.geteuid():
            raise NotOursError(None, f"{path} belongs to another user")
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(descriptor, PRIVATE_MODE)


def read(path: str) -> bytes:
    """Read a file that is ours alone; `open_file` says what it raises."""
    return patiently(lambda: _read(path), path)


def _read(path: str) -> bytes:
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


def write(path: str, content: bytes, *, like: os.stat_result | None = None, synced: bool = True) -> None:
    """Write a file, whole or not at all: if this fails, the old file is still there.

    Args:
        path: the file.
        content: what will be in it.
        like: see `write_new`.
        synced: see `write_new`.

    Raises:
        HeldError: another program holds it open; nothing was changed.
        OSError: the system refused; nothing was changed.
    """
    temporary = temporary_name(path)
    write_new(temporary, content, like=like, replaces=path, synced=synced)
    try:
        replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def write_new(
    path: str,
    content: bytes,
    mode: int = PRIVATE_MODE,
    *,
    like: os.stat_result | None = None,
    replaces: str | None = None,
    synced: bool = True,
) -> None:
    """Write a file that is not there yet; if this fails, there is still none.

    Args:
        path: the file.
        content: what will be in it.
        mode: its permissions.
        like: the file that it will replace, whose mode and owner it gets, or its folder.
        replaces: the path of the file that it will replace.
        synced: wait until it is on the disk. Otherwise a power cut may leave it empty, or zeros in it: this is only
            for a file that can be made again, and whose reader finds that out.
    """
    # In a folder of ours it inherits the folder's access rights on Windows; elsewhere it gets its own.
    if sys.platform == "win32" and mode == PRIVATE_MODE and (like is not None or replaces is None):
        from banno_creds.storage import windows_security

        descriptor = windows_security.create_file(path, like=replaces)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, mode)
    try:
        try:
            written = 0
            while written < len(content):
                written += os.write(descriptor, content[written:])
            if like is not None and MODES_MEAN_SOMETHING:
                _give_back(descriptor, like)
                if stat.S_ISREG(like.st_mode):
                    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            if synced:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        _remove(path)
        raise


def _give_back(descriptor: int, like: os.stat_result) -> None:
    """As root, give something that this run has made to the owner of something else."""
    if MODES_MEAN_SOMETHING and os.geteuid() == 0:
        os.fchown(descriptor, like.st_uid, like.st_gid)


def _remove(path: str) -> None:
    try:  # noqa: SIM105 - contextlib is one of the imports that this module does without
        remove(path)
    except OSError:
        pass  # the failure before this one is reported


def patiently(act: Callable[[], T], *paths: str | os.PathLike[str]) -> T:
    """Do something with files; on Windows, try again for a moment while another program holds one of them open.

    Raises:
        HeldError: it still holds it.
        OSError: the system refused.
    """
    try:
        return act()
    except PermissionError:
        if sys.platform == "win32":
            from banno_creds.storage.held import try_again

            return try_again(act, paths, HeldError)
        raise


def replace(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Rename a file to a path, in the place of the file there; OSError as by `patiently`."""
    if is_read_only(path):
        os.chmod(path, stat.S_IWRITE)
    patiently(lambda: os.replace(source, path), source, path)


def rename_to_free(source: str, path: str) -> None:
    """Rename a file to a path where nothing is; FileExistsError if something is, else OSError as by `patiently`."""
    if sys.platform != "win32":
        try:
            os.link(source, path, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # not all file systems have hard links
            if os.path.lexists(path):
                raise FileExistsError(None, f"{path} is there already") from None
        else:
            os.unlink(source)
            return
    patiently(lambda: os.rename(source, path), source, path)


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file; OSError as by `patiently`."""
    if is_read_only(path):
        os.chmod(path, stat.S_IWRITE)
    patiently(lambda: os.unlink(path), path)


def is_read_only(path: str | os.PathLike[str]) -> bool:
    """Return whether a file cannot be replaced or removed itself, whoever may write into its folder.

    That is Windows' attribute "read-only". Elsewhere there is none, and the folder alone decides.
    """
    if sys.platform == "win32":
        try:
            return bool(os.lstat(path).st_file_attributes & stat.FILE_ATTRIBUTE_READONLY)
        except OSError:
            pass  # what is done with it next says so
    return False


def hint_for(failure: OSError, otherwise: str) -> str:
    """Return what to do about a file that could not be read, written or removed."""
    if isinstance(failure, HeldError):
        return "try again, or close the program that has it open"
    return too_long(str(failure.filename or "")) or otherwise


def too_long(path: str) -> str | None:
    """Return what to do about a path that is too long for Windows; None if it is not."""
    if sys.platform == "win32" and len(os.path.abspath(path)) >= _LONG:
        return "choose a shorter path: Windows finds none of more than 259 characters unless it is set up for that"
    return None


def words(failure: OSError) -> str:
    """Return the words for a message about a file, with the file's name."""
    if isinstance(failure, NotOursError) or failure.filename is None:
        return failure.strerror or str(failure)
    return f"{failure.filename}: {failure.strerror}"


# --- Age ------------------------------------------------------------------------------------------------------------


def identity(path: str) -> str:
    """Return a text that changes when a file is replaced or rewritten; it is empty if there is no such file."""
    try:
        status = os.lstat(path)
    except OSError:
        return ""
    return f"{status.st_ino}.{status.st_mtime_ns}.{status.st_size}"


_start: str | None = None  # the name of this machine's start, which stays as long as this process


def uptime() -> tuple[str, float]:
    """Read a clock that nobody can set: the name of this machine's start, and the seconds since then.

    The name is empty if the system (macOS, Windows) has no such clock.
    """
    global _start
    if sys.platform == "win32":
        return "", 0.0
    try:
        if _start is None:
            # Not `open`, which imports a codec.
            descriptor = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _start = os.read(descriptor, 100).decode("ascii").strip()
            finally:
                os.close(descriptor)
        return _start, time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, AttributeError):
        return "", 0.0


def age(now: float, then: float, then_up: tuple[str, float]) -> float | None:
    """Return how many seconds ago something was, even if the clock was set since then; ``then_up`` is its `uptime`.

    The longer of the times by both clocks counts: rather too long than too short is right for a token's life. None if
    that is negative: the clock was set back, and nothing else is known.
    """
    ago, up = now - then, _by_uptime(then_up)
    if up is not None:
        ago = max(ago, up)
    return ago if ago >= 0 else None


def elapsed(now: float, then: float, then_up: tuple[str, float]) -> float | None:
    """Return how many seconds ago something was, by the clock that nobody can set if possible; see `age`.

    For a pause that must be neither shorter nor longer because somebody set the clock.
    """
    up = _by_uptime(then_up)
    ago = now - then if up is None else up
    return ago if ago >= 0 else None


def _by_uptime(then_up: tuple[str, float]) -> float | None:
    started, seconds = uptime()
    return seconds - then_up[1] if started and started == then_up[0] else None
