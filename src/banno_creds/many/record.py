"""The record of the last check of each profile: for the next run, and for who asks how a profile was last found.

It is one file for each configuration file, in the cache folder, and no secret is in it. A run adds its outcomes while
they come, so a run that is killed can be gone on with; what was not written yet is asked again. If the record is
lost, nothing is but the memory of the last run.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.storage import own_files
from banno_creds.storage.lock import BusyError, Lock
from banno_creds.times import LAST_INSTANT

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_VERSION = 1
_PATIENCE = 5  # seconds to wait for another run that writes
_MOST_BYTES = 64 * 1024 * 1024
_MOST_WAITING = 200  # outcomes that are written at once
_SECONDS = 0.5  # for so long the outcomes of a run that is killed may be lost


class Checked(NamedTuple):
    """How a profile was last found.

    Attributes:
        at: when, in seconds since the epoch.
        members: the members of its row, see `many.outcome`.
    """

    at: float
    members: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the server granted a token."""
        return self.members.get("ok") is True


class Record:
    """The checks of the profiles of one configuration file.

    Attributes:
        path: the file.
        checked: the last check of each profile, by its name; of a record that is broken, what can be read.
        began: when the last run began; None if there was none.
        is_whole: whether the last run came to its end.
    """

    def __init__(self, folder: str, config_file: str) -> None:
        name = sha256(os.fsencode(os.path.realpath(config_file))).hexdigest()
        self.path = os.path.join(folder, name + own_files.CHECKS)  # noqa: PTH118 - as in `own_files`
        self.checked: dict[str, Checked] = {}
        self.began: float | None = None
        self.is_whole = True
        self._folder = folder
        self._waiting: list[str] = []
        self._written = 0.0

    def read(self) -> None:
        """Read it.

        Raises:
            OSError: the system does not let us read it; a missing one is empty.
        """
        self.checked, self.began, self.is_whole = {}, None, True
        for line in self._lines():
            try:
                members = json.loads(line)
                self._take(members)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # cut off in the middle of a line, or changed by somebody

    def begin(self, now: float, names: Container[str]) -> None:
        """Begin a run: from here on `add` writes.

        Args:
            now: the time.
            names: the profiles that there are; of others nothing is remembered any more.

        Raises:
            OSError: the system does not let us write, or another run has been writing for long.
        """
        own_files.make_folder(self._folder)
        own_files.check_folder(self._folder)
        with self._locked():
            self.read()
            self.began, self.is_whole = now, False
            first = json.dumps({"version": _VERSION, "began": now})
            rows = [_line(name, each) for name, each in self.checked.items() if name in names]
            own_files.write(self.path, "".join(f"{line}\n" for line in (*rows, first)).encode())
        self._written = now

    def add(self, name: str, members: Mapping[str, Any], at: float) -> None:
        """Add the outcome of one profile; it is on the disk a moment later.

        Raises:
            OSError: the system does not let us write.
        """
        self.checked[name] = Checked(at, members)
        self._waiting.append(_line(name, self.checked[name]))
        if len(self._waiting) >= _MOST_WAITING or not 0 <= at - self._written < _SECONDS:
            self.flush(at)

    def flush(self, now: float) -> None:
        """Write what waits to be written; OSError as of `add`."""
        lines, self._waiting, self._written = self._waiting, [], now
        if not lines:
            return
        with self._locked():
            # By its name each time: another run may have written it anew.
            descriptor = own_files.open_file(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                left = "".join(f"{line}\n" for line in lines).encode()
                while left:
                    left = left[os.write(descriptor, left) :]
            finally:
                os.close(descriptor)

    def end(self, now: float) -> None:
        """End the run, which came to its end; OSError as of `add`."""
        self._waiting.append(json.dumps({"ended": now}))
        self.flush(now)
        self.is_whole = True

    def _locked(self) -> Lock:
        held = Lock(self.path + own_files.LOCK, _PATIENCE)
        try:
            held.wait()
        except BusyError as busy:
            raise OSError(None, f"{busy.strerror}: {self.path}") from None
        return held

    def _take(self, members: Mapping[str, Any]) -> None:
        if "profile" in members:
            name, at = members["profile"], float(members["at"])
            if isinstance(name, str) and 0 <= at < LAST_INSTANT:
                self.checked[name] = Checked(at, {each: members[each] for each in members if each != "at"})
        elif "began" in members and members["version"] == _VERSION:
            self.began, self.is_whole = float(members["began"]), False
        elif "ended" in members:
            self.is_whole = True

    def _lines(self) -> list[str]:
        try:
            own_files.check_folder(self._folder)
            descriptor = own_files.open_file(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "replace").split("\n")


def _line(name: str, checked: Checked) -> str:
    return json.dumps({**checked.members, "profile": name, "at": checked.at})
