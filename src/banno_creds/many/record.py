"""The record of the last check of each profile: for the next run, and for who asks how a profile was last found.

It is one file for each configuration file, in the cache folder, and no secret is in it. A run adds each outcome as
soon as it is known, so a run that is killed can be gone on with. If the record is lost, nothing is but the memory of
the last run.
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

    @property
    def last_good(self) -> int | None:
        """When a check found it good, the last time; None if that is not known."""
        at = self.at if self.ok else self.members.get("last_good")
        return int(at) if isinstance(at, int | float) and 0 <= at < LAST_INSTANT else None


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
        self._own: dict[str, Checked] = {}
        self._run = 0.0

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
        with self._locked():
            self.read()
            self.began = self._run = now
            self.is_whole = False
            first = json.dumps({"version": _VERSION, "began": now})
            rows = [_line(name, each) for name, each in self.checked.items() if name in names]
            own_files.write(self.path, "".join(f"{line}\n" for line in (*rows, first)).encode())

    def add(self, name: str, members: Mapping[str, Any], at: float) -> None:
        """Add the outcome of one profile, at once.

        Raises:
            OSError: the system does not let us write.
        """
        self.checked[name] = self._own[name] = Checked(at, members)
        self._append(_line(name, self._own[name]))

    def end(self, now: float, *, is_whole: bool) -> None:
        """End the run; one that is not whole can be gone on with. OSError as of `add`."""
        with self._locked():
            # Another run that began meanwhile may have written the file anew, without the last rows of this one.
            self.read()
            for name, own in self._own.items():
                kept = self.checked.get(name)
                if kept is None or kept.at < own.at:
                    self._append(_line(name, own))
            if is_whole:
                self._append(json.dumps({"ended": now, "began": self._run}))
        self.is_whole = is_whole

    def _append(self, line: str) -> None:
        # By its name each time: another run may have written it anew. A line is written whole, or cut off by a crash.
        descriptor = own_files.open_file(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            left = f"{line}\n".encode()
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)

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
                self.checked[name] = Checked(at, members)
        elif "ended" in members:
            self.is_whole = self.is_whole or members["began"] == self.began  # or that of another run at the same time
        elif members["version"] == _VERSION:
            self.began, self.is_whole = float(members["began"]), False

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
