"""The answer to a command line that was answered before, given before anything else is loaded.

``banno-creds token`` in a loop asks the same again and again. What it was answered is kept in the cache beside the
token, under a hash of all that decided it: the arguments, our environment variables, the folder it was asked in. The
second time, the answer is given as it is, if nothing has changed: the key, the configuration, the token's entry in
the cache, and if the token is good for long enough. In any doubt there is no answer, and the command line is read as
ever. There is no second parser here: arguments are compared and not understood.

It saves importing click, dataclasses, pathlib and json, which is three quarters of such a run.
"""

from __future__ import annotations

import os
import stat
import time

from banno_creds import __version__
from banno_creds.storage import own_files

TYPE_CHECKING = False  # typing itself is one of the imports that this module does without
if TYPE_CHECKING:
    from collections.abc import Sequence

    Life = tuple[str, str, str, str]

# hashlib would load OpenSSL for it. This is what it falls back to itself, and where `random` has its own from.
try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256

_FORMAT = f"banno-creds {__version__} answer 2"
_VARIABLES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
_MOST_BYTES = 1024 * 1024
_MOST_ANSWERS = 100  # each folder, each variable and each option makes another one
_STALE = 3600  # seconds
_NO_CLOCK = "-"
_CLOCK_SET = 2  # seconds; less is a clock that is kept right all the time


def answer(arguments: Sequence[str]) -> bytes | None:
    """Answer a command line as it was answered before.

    Args:
        arguments: the command line, without the program's name.

    Returns:
        What goes to stdout; None if nothing is known, or anything has changed.
    """
    try:
        folder = own_files.cache_folder()
        if folder is None:
            return None
        own_files.check_folder(folder)
        asked = _name(arguments)
        head, text = _parts(own_files.read(os.path.join(folder, asked)))
        form, name, entry, identity, began, started, seconds, good_for, *files = head
        # What was renamed is the answer to another question.
        if form != _FORMAT or name != asked:
            return None
        now = time.time()
        age = own_files.age(now, float(began), (started, float(seconds)))
        if age is None or age > float(good_for):
            return None
        # The clock was set back, and the answer may name a time: it would now be one that is too late.
        if age - (now - float(began)) > _CLOCK_SET:
            return None
        if own_files.identity(os.path.join(folder, entry)) != identity:
            return None
        if any(look(line.partition(" ")[2]) != line for line in files):
            return None
    except (OSError, ValueError):
        return None
    return text


def remember(
    arguments: Sequence[str], entry: str, identity: str, life: Life, files: Sequence[str], text: str
) -> None:
    """Keep what a command line was answered; if that cannot be done, the next one is answered less quickly.

    Args:
        arguments: the command line, without the program's name.
        entry: the path of the token's entry in the cache, whose folder is there.
        identity: what `own_files.identity` said of it, before it was read.
        life: when the token was asked for, and how long the answer is good.
        files: what `look` said of what else the answer depends on, before that was read: the key, the configuration.
        text: what went to stdout, the last line end included.
    """
    folder, entry_name = os.path.split(entry)
    try:
        name = _name(arguments)
        head = [_FORMAT, name, entry_name, identity, *life, *files]
        if any("\n" in line or not line for line in head):
            return
        kept = os.fsencode("\n".join(head) + "\n\n" + text)
        own_files.write(os.path.join(folder, name), sha256(kept).hexdigest().encode("ascii") + b"\n" + kept)
        sweep(folder)
    except OSError:
        return


def sweep(folder: str) -> None:
    """Remove the answers that nobody will be given any more, and of the others the oldest where they are many.

    Args:
        folder: the cache's folder.

    Raises:
        OSError: it cannot be read.
    """
    now, good = time.time(), []
    for file in os.listdir(folder):
        if file.endswith(own_files.ANSWER) and own_files.is_of_the_cache(file):
            path = os.path.join(folder, file)
            try:
                age = abs(now - os.lstat(path).st_mtime)
                if age <= _STALE and _has_entry(path, folder):
                    good.append((age, path))
                else:
                    os.unlink(path)
            except OSError:
                continue  # another process was quicker, or it is no file
    for _, path in sorted(good)[_MOST_ANSWERS:]:
        try:  # noqa: SIM105 - as in `own_files`
            os.unlink(path)
        except OSError:
            pass


def _has_entry(path: str, folder: str) -> bool:
    """Whether an answer's token is still the one that is kept."""
    try:
        form, _, entry, identity, *_ = _parts(own_files.read(path))[0]
        return form == _FORMAT and own_files.identity(os.path.join(folder, entry)) == identity
    except ValueError:
        return False


def life_of(requested_at: float, good_for: float) -> Life:
    """When a token was asked for by two clocks, and for how long from then an answer with it is good.

    Args:
        requested_at: in seconds since the epoch.
        good_for: in seconds.

    Returns:
        What `remember` wants.
    """
    started, seconds = own_files.uptime()
    return repr(requested_at), started or _NO_CLOCK, repr(seconds - (time.time() - requested_at)), repr(good_for)


def _parts(content: bytes) -> tuple[list[str], bytes]:
    """The lines at the head of an answer, and its text; ValueError if it is broken."""
    digest, _, kept = content.partition(b"\n")
    if digest.decode("ascii") != sha256(kept).hexdigest():
        raise ValueError("it is broken")
    head, _, text = kept.partition(b"\n\n")
    return os.fsdecode(head).split("\n"), text


def _name(arguments: Sequence[str]) -> str:
    """The name of an answer's file: a hash of everything that decides what a command line means."""
    environment = sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith("BANNO_CREDS_") or name in _VARIABLES
    )
    parts = [_FORMAT, os.getcwd(), str(len(arguments)), *arguments, *environment]
    name: str = sha256(b"\0".join(os.fsencode(part) for part in parts)).hexdigest()
    return name + own_files.ANSWER


def look(path: str) -> str:
    """Look at a file that an answer depends on.

    Args:
        path: the file; it may be missing.

    Returns:
        A line: the SHA-256 of what is in it, who may read and write it, who may put another into its folder, and its
        path.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, such as a pipe, or too large.
    """
    path = os.path.abspath(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return f"missing {path}"
    # Before it is opened: what was written into a pipe is for somebody else.
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        content = os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)
    if len(content) != status.st_size:
        raise ValueError("it is too large")
    folder = os.stat(os.path.dirname(path))
    rights = f"{status.st_mode:o}.{status.st_uid}.{folder.st_mode:o}.{folder.st_uid}"
    return f"{sha256(content).hexdigest()}.{rights} {path}"
