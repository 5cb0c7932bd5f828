"""Do the next steps of a rotation, one process at a time; each is written to the journal before and after."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.config import KeySource, find_config_file
from banno_creds.errors import ConfigurationError, RefusedError
from banno_creds.key_uri import is_key_uri
from banno_creds.profiles.settings import resolved
from banno_creds.rotation import key_pair, published
from banno_creds.rotation.plan import ENDS, Facts, Has, Step, Wish, next_step
from banno_creds.rotation.published import Named
from banno_creds.rotation.subject import as_written, check_registration, raw_profiles, users_of
from banno_creds.rotation.under_way import Search, open_current
from banno_creds.shells import join
from banno_creds.storage import own_files
from banno_creds.storage.edited import locked
from banno_creds.times import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from banno_creds.jose.keys import PublicKey
    from banno_creds.rotation.journal import Journal, Record
    from banno_creds.rotation.key_pair import Opened
    from banno_creds.rotation.subject import Member, Subject
    from banno_creds.steps import Run


class Outcome(NamedTuple):
    """How far a rotation is after a run.

    Attributes:
        record: what the journal has.
        step: what is next, or what it waits for.
        did: the steps that this run has done.
        until: until when it waits; None if it waits for no time.
        others: other profiles that use the old key.
        missing: which of the two keys the set at the URL should have, and has not.
    """

    record: Record
    step: Step
    did: tuple[Step, ...] = ()
    until: float | None = None
    others: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def rotate(read: Callable[[], Subject], journal: Journal, wish: Wish, run: Run) -> Outcome:
    """Do all steps that are due now.

    Args:
        read: reads what is rotated; once more after a wait for another run, which may have changed the profiles.
        journal: that of the configuration file.
        wish: how to go on.
        run: how the run goes; it is told of each step that is done (`Step`).

    Raises:
        ConfigurationError: it cannot be begun, or cannot go on.
        KeyLoadError: a key cannot be read, used or made.
        RefusedError: the server refused the new key; the old one goes on.
        NetworkError: the URL of the set, or the server, does not answer.
    """
    before = read()
    check_registration(before)
    with journal.locked(run.sleep):
        subject = read()
        if [member.place for member in subject.members] != [member.place for member in before.members]:
            # It was said of the key that the other run has replaced.
            wish = wish._replace(again=False, is_compromised=False)
        return _Rotation(subject, check_registration(subject), journal, wish, run).go_on()


def preview(subject: Subject, journal: Journal, wish: Wish, run: Run) -> Outcome:
    """Return the step that `rotate` would do next, and change nothing; see there for arguments and errors."""
    rotation = _Rotation(subject, check_registration(subject), journal, wish, run)
    return rotation.next()


def go_back(read: Callable[[], Subject], journal: Journal, run: Run) -> Outcome:
    """Have the profiles use the old key again, while the published set has it; see `rotate` for arguments.

    Raises:
        ConfigurationError: there is no rotation, or the old key has left the set.
        NetworkError: the URL of the set does not answer.
    """
    check_registration(read())
    with journal.locked(run.sleep):
        subject = read()
        return _Rotation(subject, check_registration(subject), journal, Wish(), run, may_begin=False).go_back()


class _Rotation:
    """One rotation, in one run."""

    def __init__(
        self,
        subject: Subject,
        place: tuple[Path, str],
        journal: Journal,
        wish: Wish,
        run: Run,
        *,
        may_begin: bool = True,
    ) -> None:
        self._subject = subject
        self._file, self._url = place
        self._journal = journal
        self._wish = wish
        self._run = run
        self._published: Has | None = None
        self._records = journal.read()
        journal.warn_if_lost(run)
        self._current = open_current(subject)
        search = Search(subject, self._file, wish, run, self._current)
        self._record = search.record(self._records, may_begin=may_begin)
        self._old = key_pair.public_key(self._record.old)
        if wish.again:
            self._record.refused = self._record.went_back = None
        if wish.is_compromised:
            self._record.is_compromised = True
        self._take_new_key()

    def _take_new_key(self) -> None:
        """Take the new key that was named, in the place of one that is not used yet."""
        place, record = self._subject.new_key, self._record
        if place is None or record.new is None or _same(place, record.new_place):
            return
        if not self._wish.again or record.ended is not None or self._is_switched():
            raise ConfigurationError(
                f"a rotation is under way, and its new key is {record.new_place}",
                hint="go on without --new-key; or before that key is used, take the other one: --again --new-key …",
            )
        record.new_place = None

    def _by_name(self) -> dict[str, Member]:
        return {member.name: member for member in self._subject.members}

    # --- What is seen ---

    def _old_places(self) -> list[str]:
        """Return the files or URIs of the old key."""
        folder = os.path.dirname(self._subject.file)
        return list(
            dict.fromkeys(
                resolved(settings, folder)["private_key"] for settings in self._record.old_settings.values()
            )
        )

    def _new(self) -> PublicKey | None:
        return key_pair.public_key(self._record.new) if self._record.new else None

    def _is_made(self) -> bool:
        place = self._record.new_place
        return self._record.new is not None and place is not None and (is_key_uri(place) or os.path.lexists(place))

    def _is_switched(self) -> bool:
        """Return whether all profiles use the new key, as the file says now."""
        if self._record.new_place is None:
            return False
        folder, profiles = os.path.dirname(self._subject.file), raw_profiles(self._subject.file)
        return all(
            _same(resolved(profiles.get(name, {}), folder).get("private_key"), self._record.new_place)
            for name in self._record.profiles
        )

    def _named(self, key: PublicKey, *, is_old: bool) -> Named:
        """Return a key with the ``kid`` that the profiles send with it; they have to agree."""
        kids = set()
        for member in self._subject.members:
            kid = self._record.old_settings[member.name].get("kid") if is_old else None
            sends = member.config.key_id is not None
            kids.add((kid if kid not in (None, "thumbprint") else key.thumbprint()) if sends else None)
        if len(kids) > 1:
            raise ConfigurationError(
                "the profiles send different key IDs with the same key", hint="take kid out of all of them"
            )
        return Named(key, kids.pop(), None)

    def facts(self) -> Facts:
        """Look at everything but the URL."""
        record, now = self._record, self._run.clock()
        is_switched = self._is_switched()
        if is_switched and record.switched is None:
            record.switched = now  # a run was killed before it could write that, or the journal is lost
        # The clock was set back: the wait begins anew, once, and not with each run.
        record.both_since, record.switched = (
            None if since is None else min(since, now) for since in (record.both_since, record.switched)
        )
        new = self._new()
        old = Named(self._old, None) if is_switched else self._named(self._old, is_old=True)
        named = None if new is None else self._named(new, is_old=False)
        users = users_of(self._subject.file, self._old, self._old_places())
        return Facts(
            now=now,
            is_made=self._is_made(),
            in_file=published.has(published.read_set(self._file), old, named),
            published=self._published,
            both_since=record.both_since,
            cached=0 if self._wish.at_once else record.cached,
            is_tried=set(record.granted) >= set(record.profiles),
            is_refused=record.refused is not None,
            went_back=record.went_back is not None,
            is_switched=is_switched,
            switched_at=record.switched,
            still_used=bool(set(users) - set(record.profiles)),
            is_archived=record.archived is not None,
            is_compromised=record.is_compromised,
            wait=0 if self._wish.at_once else self._subject.wait,
            keep=self._subject.keep,
        )

    # --- The run ---

    def go_on(self) -> Outcome:
        """Do all steps that are due."""
        did: list[Step] = []
        self._remove_unfinished()
        while True:
            facts = self.facts()
            step = next_step(facts)
            if step in ENDS:
                return self._ended(step, facts, did)
            self._record.doing = self._record.step = step
            self._record.until = None
            self._save()
            self._act(step)
            self._record.doing = None
            self._save()
            if step is not Step.LOOK:
                did.append(step)
                self._run.emit(step)

    def _remove_unfinished(self) -> None:
        """Remove what a run that was killed left beside the files: nothing that anything uses."""
        place = self._record.new_place
        if place is not None and not is_key_uri(place):
            own_files.remove_unfinished(place)
        for path in (self._subject.file, str(self._file)):
            file = os.path.realpath(path)
            if os.path.isdir(os.path.dirname(file)):
                with locked(file):  # who gets the lock does that
                    pass

    def next(self) -> Outcome:
        """Return what is next; the URL is looked at, and nothing else is done."""
        step = next_step(self.facts())
        if step is Step.LOOK:
            self._look()
            step = next_step(self.facts())
        return self._outcome(step, self.facts(), [])

    def _ended(self, step: Step, facts: Facts, did: list[Step]) -> Outcome:
        outcome = self._outcome(step, facts, did)
        record = self._record
        if step is Step.DONE and record.ended is None:
            record.ended = facts.now
        record.step, record.until = step, outcome.until
        self._save()
        if step is Step.REFUSED:
            raise self._refused(
                RefusedError(
                    f"the server refused the new key at {utc(record.refused or 0)}, and was not asked again",
                    error="invalid_client",
                    status=401,
                    rule="invalid_client",
                ),
                str(record.refused_profile),
            )
        return outcome

    def _outcome(self, step: Step, facts: Facts, did: list[Step]) -> Outcome:
        until = {Step.WAIT_FOR_CACHES: facts.caches_until, Step.KEEP_OLD: facts.keep_until}.get(step)
        users = users_of(self._subject.file, self._old, self._old_places())
        others = tuple(name for name in users if name not in self._record.profiles)
        wanted = ("new",) if facts.is_switched or self._record.is_compromised else ("old", "new")
        has = facts.published
        missing = () if has is None else tuple(name for name in wanted if not getattr(has, name))
        return Outcome(self._record, step, tuple(did), until, others, missing)

    def _save(self) -> None:
        self._journal.write(self._records)

    def _act(self, step: Step) -> None:
        acts: Mapping[Step, Callable[[], None]] = {
            Step.MAKE_KEY: self._make_key,
            Step.WRITE_SET: self._write_set,
            Step.LOOK: self._look,
            Step.TRY_KEY: self._try_key,
            Step.SWITCH: self._switch,
            Step.REMOVE_OLD: self._remove_old,
            Step.ARCHIVE: self._archive,
        }
        acts[step]()

    # --- The steps ---

    def _make_key(self) -> None:
        record, first = self._record, self._subject.first
        old = self._current
        lost = self._new()
        by_hand = self._subject.command(record.profiles, f"--new-key {'URI' if is_key_uri(old.place) else 'FILE'}")
        if record.new_place is None or self._subject.new_key is not None:
            record.new_place = self._subject.new_key
            if record.new_place is None and is_key_uri(old.place):
                # Some holders take no name that ends with a hyphen.
                name = f"banno-{record.name}-{self._old.thumbprint()[:8]}".rstrip("-")
                record.new_place = key_pair.make_held(
                    old.place, name, first.config.passphrase, first.config.timeout, by_hand
                )
            elif record.new_place is None:
                record.new_place = key_pair.new_place(old.place, record.name)
            self._save()
        place = record.new_place
        if not is_key_uri(place) and not os.path.lexists(place) and self._subject.new_key is None:
            key_pair.make_file(old, place)
        opened = key_pair.open_key(place, first.config.passphrase, first.config.timeout)
        self._check_new(opened)
        if lost is not None and lost.thumbprint() != opened.key.public.thumbprint():
            published.write_set(self._file, remove=(lost,))
            record.granted, record.both_since = {}, None
        record.new = dict(opened.key.public.jwk())

    def _check_new(self, opened: Opened) -> None:
        """Refuse the old key under another name, and one that does not sign with a profile's algorithm."""
        from banno_creds.client_authentication.private_key import signer_of

        if opened.key.public.thumbprint() == self._old.thumbprint():
            raise ConfigurationError(f"{opened.place} is the old key", hint="name a new one, or let one be made")
        for member in self._subject.members:
            signer_of(opened.key, member.config.alg)

    def _write_set(self) -> None:
        new = self._new()
        assert new is not None  # noqa: S101 - it was made
        added = self._named(new, is_old=False)
        if self._record.looked is not None and not os.path.lexists(self._file):
            raise ConfigurationError(
                f"the file of the set {self._file} is gone, and other keys may have been in it",
                hint=f"put it back, such as by: {join(['curl', '-fo', str(self._file), self._url])}",
            )
        if self._record.is_compromised:
            published.write_set(self._file, add=(added,), remove=(self._old,))
        elif self._is_switched():
            published.write_set(self._file, add=(added,))
        else:
            published.write_set(self._file, add=(self._named(self._old, is_old=True), added))
        self._published = None

    def _look(self) -> None:
        record, now = self._record, self._run.clock()
        seen = published.look(self._url, self._subject.first.config, now)
        new = self._new()
        is_switched = self._is_switched()
        old = Named(self._old, None) if is_switched else self._named(self._old, is_old=True)
        self._published = published.has(seen.key_set, old, None if new is None else self._named(new, is_old=False))
        record.looked, record.cached = now, max(record.cached, seen.cached)
        if not is_switched:
            since = now if record.both_since is None else record.both_since
            record.both_since = since if all(self._published) else None
        has_key_in_use = self._published.new if is_switched else self._published.old or record.is_compromised
        if not has_key_in_use:
            self._run.warn(
                f"the set at {self._url} has not got the key that the profiles sign with, so the server may refuse "
                "them",
                f"publish {self._file} there now",
            )

    def _try_key(self) -> None:
        """Ask for one token for each profile, with the new key; it is not kept."""
        from banno_creds.tokens.client_credentials import ClientCredentials

        record = self._record
        assert record.new_place is not None  # noqa: S101 - it was made
        for member in self._subject.members:
            if member.name in record.granted:
                continue
            kid = member.config.kid
            config = replace(
                member.config,
                private_key=KeySource.at(record.new_place),
                kid=kid if kid in (None, "thumbprint") else "thumbprint",
            )
            try:
                ClientCredentials(config).fetch(self._run.silent())
            except RefusedError as failure:
                record.refused, record.refused_profile = self._run.clock(), member.name
                record.doing = None
                self._save()
                raise self._refused(failure, member.name) from None
            record.granted[member.name] = self._run.clock()
            self._save()

    def _refused(self, failure: RefusedError, name: str) -> RefusedError:
        words = ["banno-creds", "doctor", "--profile", name, "--private-key", str(self._record.new_place)]
        if self._by_name()[name].config.kid not in (None, "thumbprint"):
            words += ["--kid", "thumbprint"]
        file = self._subject.file
        config = [] if file == find_config_file(None) else ["--config", file]
        return failure.but(
            message=failure.marked.message.replace("refused the client", "refused the new key", 1),
            hint=f"find out why: {join([*words, '--registered', self._url, *config])}",
            more=(
                f"Nothing has changed: {', '.join(self._record.profiles)} and all others go on with the old key.",
                "Nothing more is asked for with the new key, until you say --again.",
            ),
            doctor_can_tell=False,
        )

    def _switch(self) -> None:
        from banno_creds.profiles.edits import change_profiles

        record, new = self._record, self._new()
        assert record.new_place is not None  # noqa: S101 - it was made
        assert new is not None  # noqa: S101
        self._check_is_still(
            record.new_place, new, "new", "put it back; or take another one: --again --new-key FILE or URI"
        )
        changes: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}
        for member in self._subject.members:
            settings: dict[str, Any] = {"private_key": as_written(member, record.new_place)}
            if member.settings.get("kid", "thumbprint") != "thumbprint":
                settings["kid"] = new.thumbprint()
            changes[member.name] = (settings, ())
        change_profiles(changes, self._subject.file, self._keys())
        record.switched = self._run.clock()

    def _keys(self) -> dict[str, list[str]]:
        """Return, by profile, the keys that it may have in the file when this rotation writes another one there."""
        new, old = str(self._record.new_place), self._record.old_settings
        return {
            name: [member.settings["private_key"], old[name]["private_key"], as_written(member, new)]
            for name, member in self._by_name().items()
        }

    def _check_is_still(self, place: str, key: PublicKey, name: str, hint: str) -> None:
        """Refuse a place of a key that has another one by now: the published set may lack that one."""
        config = self._subject.first.config
        if not key_pair.same_key(place, key, config.passphrase, config.timeout):
            raise ConfigurationError(
                f"{place} is not the {name} key any more, or cannot be opened; its thumbprint is {key.thumbprint()}",
                hint=hint,
            )

    def _remove_old(self) -> None:
        published.write_set(self._file, remove=(self._old,))
        self._published = None

    def _archive(self) -> None:
        first, record = self._subject.first, self._record
        for place in self._old_places():
            if is_key_uri(place) or _same(place, record.new_place):
                continue
            is_old = not os.path.lexists(place) or key_pair.same_key(
                place, self._old, first.config.passphrase, first.config.timeout
            )
            name = key_pair.archive(place, self._old.thumbprint()) if is_old else None
            if name is not None and name not in record.archives:
                record.archives.append(name)
        record.archived = self._run.clock()

    # --- The way back ---

    def go_back(self) -> Outcome:
        """Use the old key again, if the published set has it."""
        from banno_creds.profiles.edits import change_profiles

        record, is_switched = self._record, self._is_switched()
        if is_switched:
            self._look()
            old = self._named(self._old, is_old=True)
            if self._published is None or not self._published.old or record.ended is not None:
                raise ConfigurationError(
                    "the published set has the old key no more, so that the server would refuse it",
                    hint="go on with the new key, or change it again: --again",
                    rule="rotation.back",
                )
            for place in self._old_places():
                if not is_key_uri(place) and not os.path.lexists(place):
                    raise ConfigurationError(
                        f"the old key's file {place} is not there", hint="put it back, from its archive name"
                    )
                self._check_is_still(place, self._old, "old", "put it back, or change the key again: --again")
            new = self._new()
            assert new is not None  # noqa: S101 - the profiles use it
            published.write_set(self._file, add=(old, self._named(new, is_old=False)))
        # Before the profiles change: if this is cut off in between, the next run does not switch them again.
        record.went_back, record.switched, record.granted = self._run.clock(), None, {}
        self._save()
        if is_switched:
            change_profiles(
                {
                    name: (settings, () if "kid" in settings else tuple(_has_kid(self._by_name()[name])))
                    for name, settings in record.old_settings.items()
                },
                self._subject.file,
                self._keys(),
            )
        return self._ended(Step.WENT_BACK, self.facts(), [])


def _has_kid(member: Member) -> list[str]:
    return ["kid"] if "kid" in member.settings else []


def _same(place: str | None, other: str | None) -> bool:
    """Return whether two places of keys are one."""
    if place is None or other is None:
        return False
    if is_key_uri(place) or is_key_uri(other):
        return place == other
    return os.path.normcase(os.path.realpath(place)) == os.path.normcase(os.path.realpath(other))
