"""The journal of the rotations of one configuration file: what cannot be seen afterwards. No secret is in it.

It is in the state folder, written whole or not at all, before and after each step. If it is lost, no key is: what is
seen decides, and only the waiting begins anew.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from json import dumps
from typing import TYPE_CHECKING, Any

from banno_creds.errors import ConfigurationError
from banno_creds.jose.encoding import parse_json_object
from banno_creds.jose.key_set import thumbprint_of
from banno_creds.steps import awaiting
from banno_creds.storage import own_files
from banno_creds.storage.lock import BusyError, Lock
from banno_creds.times import LAST_INSTANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from banno_creds.steps import Run

_VERSION = 1
_PATIENCE = 60  # seconds to wait for another process that changes keys of the same file
_MOST_FINISHED = 50  # that are kept, for `--status`
_ANOTHER_FOLDER = "BANNO_CREDS_STATE_DIR names another folder, one of your own"


@dataclass(slots=True)
class Record:
    """One rotation; each time is in seconds since the epoch, None if that has not happened.

    Attributes:
        profiles: those that change their key.
        old: the old key's public JWK.
        old_settings: by profile, its settings ``private_key`` and ``kid`` as they were, if it had them.
        name: the name under which a new key is made.
        new_place: the new key's file or URI.
        new: the new key's public JWK.
        doing: the step that was begun last; None if it was done.
        step: the step that was next at the end of the last run.
        until: until when that waits.
        looked: when the URL was seen last.
        both_since: since when it was seen with both keys.
        cached: how long caches may keep a set, by the longest time seen.
        granted: by profile, when the server granted a token with the new key.
        refused: when it refused the new key.
        refused_profile: for which profile.
        switched: when all profiles had the new key.
        went_back: when somebody went back to the old key.
        archived: when the files of the old key got other names.
        ended: when nothing was left to do.
        archives: the names that the files of the old key have now.
        is_compromised: the old key must not be trusted any more.
    """

    profiles: list[str]
    old: dict[str, Any]
    old_settings: dict[str, dict[str, str]]
    name: str
    began: float
    new_place: str | None = None
    new: dict[str, Any] | None = None
    doing: str | None = None
    step: str | None = None
    until: float | None = None
    looked: float | None = None
    both_since: float | None = None
    cached: float = 0
    granted: dict[str, float] = field(default_factory=dict)
    refused: float | None = None
    refused_profile: str | None = None
    switched: float | None = None
    went_back: float | None = None
    archived: float | None = None
    ended: float | None = None
    archives: list[str] = field(default_factory=list)
    is_compromised: bool = False


class Journal:
    """The rotations of one configuration file."""

    def __init__(self, folder: str, config_file: str) -> None:
        name = sha256(os.fsencode(os.path.realpath(config_file))).hexdigest()
        self.path = os.path.join(folder, name + own_files.ROTATION)
        self._folder = folder
        self.was_unreadable = False

    @contextmanager
    def locked(self, sleep: Callable[[float], None]) -> Iterator[None]:
        """Let one process at a time change keys of this file.

        Raises:
            ConfigurationError: another process has been doing so for long, or there can be no lock.
        """
        with Lock(self.path + own_files.LOCK, _PATIENCE, sleep) as lock:
            try:
                own_files.make_folder(self._folder)
                own_files.check_folder(self._folder)
                with awaiting("another process that changes a key"):
                    lock.wait()
            except BusyError:
                raise ConfigurationError(
                    f"another process has been changing keys of this file for {_PATIENCE} s",
                    hint="try again; if it stays so, end the other banno-creds",
                ) from None
            except OSError as failure:
                raise ConfigurationError(
                    f"the rotation cannot be locked: {own_files.words(failure)}", hint=_ANOTHER_FOLDER
                ) from None
            own_files.remove_unfinished(self.path)
            yield

    def read(self) -> list[Record]:
        """Return all rotations; of a journal that is broken, or of another version, none: it is as if lost.

        Raises:
            ConfigurationError: the system does not let us read it.
        """
        self.was_unreadable = False
        try:
            own_files.check_folder(self._folder)
            members = parse_json_object(own_files.read(self.path))
        except FileNotFoundError:
            return []
        except OSError as failure:
            raise ConfigurationError(
                f"the journal of rotations cannot be read: {own_files.words(failure)}",
                hint=own_files.hint_for(failure, _ANOTHER_FOLDER),
            ) from None
        except ValueError:
            self.was_unreadable = True
            return []
        if members.get("version") not in (None, _VERSION):
            raise ConfigurationError(
                f"another version of banno-creds wrote the journal of rotations {self.path}",
                hint="go on with that version, or update this one",
            )
        try:
            return [_record(each) for each in members["rotations"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            self.was_unreadable = True
            return []

    def warn_if_lost(self, run: Run) -> None:
        """Warn if the journal was there when it was read, and was broken."""
        if self.was_unreadable:
            run.warn(
                f"the journal of rotations {self.path} is broken, and is taken for lost",
                "no key is lost: what is seen decides, and the waiting begins anew",
            )

    def known_since(self) -> dict[str, float]:
        """Return, by the thumbprints of keys, when each was there already, in seconds since the epoch.

        Raises:
            ConfigurationError: see `read`.
        """
        known: dict[str, float] = {}
        for record in self.read():
            seen = [record.both_since, record.switched, *record.granted.values()]
            first = min((at for at in seen if at is not None), default=None)
            for jwk, at in ((record.old, record.began), (record.new or {}, first)):
                thumbprint = thumbprint_of(jwk)
                if thumbprint is not None and at is not None:
                    known[thumbprint] = min(at, known.get(thumbprint, at))
        return known

    def write(self, records: Sequence[Record]) -> None:
        """Write all rotations, whole or not at all.

        Raises:
            ConfigurationError: the system does not let us write; the journal is as it was.
        """
        finished = [record for record in records if record.ended is not None][-_MOST_FINISHED:]
        kept = [asdict(record) for record in records if record.ended is None or record in finished]
        try:
            own_files.write(self.path, dumps({"version": _VERSION, "rotations": kept}).encode())
            own_files.sync_folder(self._folder)
        except OSError as failure:
            raise ConfigurationError(
                f"the journal of rotations cannot be written: {own_files.words(failure)}",
                hint=own_files.hint_for(failure, _ANOTHER_FOLDER),
            ) from None


def _record(members: Mapping[str, Any]) -> Record:
    """Return a rotation as it was written; ValueError, KeyError or TypeError if it was not written by `Journal`."""
    from banno_creds.rotation.key_pair import public_key

    known = {each.name: each.type for each in fields(Record)}
    record = Record(**{name: value for name, value in dict(members).items() if name in known})
    for name, kind in known.items():
        if not _is(str(kind), getattr(record, name)):
            raise TypeError(name)
    for jwk in filter(None, (record.old, record.new)):
        public_key(jwk)
    if not record.old or any("private_key" not in record.old_settings[name] for name in record.profiles):
        raise ValueError("no old key")
    return record


def _is(kind: str, value: object) -> bool:
    """Return whether a value out of JSON is of the type that a field of `Record` names."""
    if kind.endswith(" | None"):
        return value is None or _is(kind.removesuffix(" | None"), value)
    if kind.startswith("dict[str, "):
        inner = kind.removeprefix("dict[str, ").removesuffix("]")
        return isinstance(value, dict) and (inner == "Any" or all(_is(inner, each) for each in value.values()))
    if kind == "list[str]":
        return isinstance(value, list) and all(_is("str", each) for each in value)
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LAST_INSTANT
    return isinstance(value, bool) if kind == "bool" else isinstance(value, str) and "\0" not in value
