"""Which rotation is under way; where none is, one is begun, or found again if its journal is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.checks import check_duration
from banno_creds.errors import ConfigurationError, KeyLoadError
from banno_creds.rotation import key_pair, published
from banno_creds.rotation.journal import Record
from banno_creds.rotation.subject import as_written, users_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from banno_creds.rotation.key_pair import Opened
    from banno_creds.rotation.plan import Wish
    from banno_creds.rotation.subject import Subject
    from banno_creds.steps import Run


def open_current(subject: Subject) -> Opened:
    """Open the key that the profiles use.

    Raises:
        ConfigurationError: they have different keys.
        KeyLoadError: it cannot be read or used.
    """
    first, *others = subject.members
    timeout = first.config.timeout
    opened = key_pair.open_key(first.place, first.config.passphrase, timeout)
    for other in others:
        if other.place != first.place and not key_pair.same_key(
            other.place, opened.key.public, other.config.passphrase, timeout
        ):
            raise ConfigurationError(
                f"the profiles {first.name} and {other.name} have different keys",
                hint="rotate each by itself; profiles with the same key are rotated together",
            )
    return opened


class Search(NamedTuple):
    """Looks for the rotation of some profiles, by the journal, or by the files.

    Attributes:
        subject: what is rotated.
        set_file: the file of the set.
        wish: how it is to go on.
        run: how the run goes.
        current: the key that the profiles use.
    """

    subject: Subject
    set_file: Path
    wish: Wish
    run: Run
    current: Opened

    def record(self, records: list[Record], *, may_begin: bool) -> Record:
        """Return the rotation that is under way, or begin one, which is added to the others.

        Args:
            records: all rotations of the configuration file.
            may_begin: whether one may be begun.

        Raises:
            ConfigurationError: another one is under way, or none may be begun.
        """
        names = set(self.subject.names)
        mine = [record for record in records if names & set(record.profiles)]
        thumbprint = self.current.key.public.thumbprint()
        for record in mine:
            if record.ended is not None:
                continue
            if set(record.profiles) != names:
                raise ConfigurationError(
                    f"a rotation of {', '.join(record.profiles)} is under way",
                    hint=f"name the same profiles: {self.subject.command(record.profiles)}",
                )
            known = [key_pair.public_key(jwk).thumbprint() for jwk in (record.old, record.new) if jwk]
            if thumbprint in known:
                if thumbprint == known[0]:
                    # The file may have been moved, and the URI been made clearer.
                    for member in self.subject.members:
                        record.old_settings[member.name]["private_key"] = str(member.settings["private_key"])
                return record
            if not self.wish.again:
                raise ConfigurationError(
                    f"a rotation is under way, and {self.current.place} is neither its old key nor its new one",
                    hint="put the key back; or give that rotation up, and begin another one: --again",
                )
            record.ended = self.run.clock()
        ended = [each for each in mine if each.new and key_pair.public_key(each.new).thumbprint() == thumbprint]
        if ended and not self.wish.again and not self.wish.is_compromised and not self._is_due(ended[-1]):
            return ended[-1]
        found = None if ended else self._recovered()
        if found is None and not may_begin:
            raise ConfigurationError(
                "there is no rotation of this key to go back from",
                hint="look which there are: banno-creds rotate --status",
            )
        self._check_together()
        record = found or self._begun()
        records.append(record)
        return record

    def _is_due(self, last: Record) -> bool:
        """Return whether the key of the last rotation is older than a profile allows."""
        limits = [member.config.key_max_age for member in self.subject.members]
        age = self.run.clock() - last.began
        return any(limit is not None and age > check_duration("key_max_age", limit) for limit in limits)

    def _begun(self) -> Record:
        now = self.run.clock()
        members = self.subject.members
        return Record(
            profiles=self.subject.names,
            old=dict(self.current.key.public.jwk()),
            old_settings={member.name: _settings_of_key(member.settings) for member in members},
            name=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d"),
            began=now,
        )

    def _recovered(self) -> Record | None:
        """Find a rotation whose journal is lost, by the files beside the key and by the set."""
        first = self.subject.first
        current, key_set = self.current.key.public, published.read_set(self.set_file)
        for place, is_newer, is_archived in reversed(list(key_pair.siblings(self.current.place))):
            if not is_newer and not key_pair.is_dated(self.current.place):
                continue
            if is_archived and (self.wish.again or self.wish.is_compromised):
                continue
            try:
                key = key_pair.open_key(place, first.config.passphrase, first.config.timeout).key.public
            except KeyLoadError:
                continue
            jwk = key_set.find(key)
            # An older key's file that is neither in the set nor archived may be anything.
            if key.thumbprint() == current.thumbprint() or not (is_newer or is_archived or jwk):
                continue
            record = self._begun()
            if is_newer:
                record.new_place, record.new = place, dict(key.jwk())
                return record
            record.old = dict(key.jwk())
            record.new_place, record.new = self.current.place, dict(current.jwk())
            if is_archived:
                record.archived, record.archives = record.began, [place]
            for member in self.subject.members:
                settings = record.old_settings[member.name]
                settings["private_key"] = as_written(member, place)
                if settings.get("kid", "thumbprint") != "thumbprint" and jwk and isinstance(jwk.get("kid"), str):
                    settings["kid"] = jwk["kid"]
            return record
        return None

    def _check_together(self) -> None:
        """Refuse to leave out a profile with the same key, unless that was asked for."""
        names = self.subject.names
        users = users_of(self.subject.file, self.current.key.public, [self.current.place])
        others = [name for name in users if name not in names]
        if others and not (self.wish.partial and not self.wish.is_compromised):
            verb = "uses" if len(others) == 1 else "use"
            raise ConfigurationError(
                f"{', '.join(others[:5])}{' and others' if len(others) > 5 else ''} {verb} the same key",
                hint=f"rotate them together: {self.subject.command([*names, *others])}",
                rule="rotation.together",
            )


def _settings_of_key(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(settings[name]) for name in ("private_key", "kid") if name in settings}
