"""Many profiles in one run: which are meant, what became of each, and what is told of it; see `check` and `token`."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from json import dumps
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from click.core import ParameterSource

from banno_creds.cli import rows as forms
from banno_creds.cli.clients import Clients
from banno_creds.cli.progress import progress
from banno_creds.cli.report import Report, write_result
from banno_creds.cli.rows import Row, row_of
from banno_creds.cli.settings import report_for, wanted
from banno_creds.config import Wanted, find_config_file
from banno_creds.errors import BannoCredsError, ConfigurationError, NotAskedError
from banno_creds.profiles.lookup import Profile, command_on, find_profiles, none_chosen, profile_names
from banno_creds.steps import Run
from banno_creds.storage import own_files
from banno_creds.text import printable, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from types import FrameType

    import click

    from banno_creds.cli.groups import Invocation
    from banno_creds.cli.progress import Told
    from banno_creds.config import ClientConfig
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.login.session import Owner
    from banno_creds.many.outcome import Outcome
    from banno_creds.many.pacing import Limits
    from banno_creds.many.record import Record
    from banno_creds.tokens.response import TokenResponse
    from banno_creds.tokens.shared import Cache

    Profiles = Mapping[str, Profile | ConfigurationError]

EXIT_INTERRUPTED = 130
_MOST_AGE = 24 * 3600  # seconds after which a run that was cut off is not gone on with


def are_meant(values: Mapping[str, Any]) -> bool:
    """Return whether a command line names many profiles."""
    return bool(values["names"] or values["every"] or values["with_tags"])


class Wish(NamedTuple):
    """What is wanted of each client.

    Attributes:
        wanted: which token will do.
        from_cache: whether the cache is looked into, and keeps the tokens.
        offline: whether no server is asked.
        with_tokens: whether the tokens are the result.
    """

    wanted: Wanted
    from_cache: bool
    offline: bool = False
    with_tokens: bool = False


# --- The two commands -----------------------------------------------------------------------------------------------


def check(context: click.Context, values: Mapping[str, Any]) -> int:
    """Check many profiles, and return the exit code; see the command's help."""
    report = Report(quiet=bool(values["quiet"]), silent=bool(values["quiet"]))
    for other in ("resume", "keep"):
        if values[other] and values["offline"]:
            raise ConfigurationError(f"--{other} and --offline exclude each other", hint="leave one of them")
    if not are_meant(values) and not (values["only_failed"] or values["resume"]):
        raise ConfigurationError(
            "no profile is named", hint="name some, or check all of them: banno-creds check --all"
        )
    ask, run = _asker(context, values), _run_of(context, report)
    wanted_ones = chosen(values)
    record = open_record(values["config"], report)
    known: dict[str, Row] = {}
    since = run.clock()
    if values["resume"]:
        known = answered(wanted_ones, record, since)
        if known and record is not None and record.began is not None:
            since = record.began
        elif not report.quiet:
            report.note("No run of the last day was cut off: a new one begins.")
    if values["only_failed"]:
        # What is known may have failed before it was asked for in the run that is gone on with.
        meant = {*failed(wanted_ones, record), *known}
        wanted_ones = {name: each for name, each in wanted_ones.items() if name in meant}
    open_ones = {name: each for name, each in wanted_ones.items() if name not in known}
    if not wanted_ones and not report.quiet:
        report.note("No profile failed at its last check.")
    kept = bool(values["keep"])
    wish = Wish(Wanted(force_refresh=kept), from_cache=kept, offline=bool(values["offline"]))
    every_name = values["quiet"] is False and context.get_parameter_source("quiet") is not ParameterSource.DEFAULT
    about = {"offline": wish.offline, "began": int(since)}
    with Outcomes(values["output"], report, None if wish.offline else record, run) as outcomes:
        outcomes.begin(since, profile_names(values["config"]))
        for row in known.values():
            outcomes.add(row, is_new=False)
        code = ask(open_ones, wish, outcomes)
    return outcomes.show(list(wanted_ones), about, code, every_name=every_name)


def tokens(context: click.Context, values: Mapping[str, Any], form: str) -> int:
    """Write the tokens of many profiles, and return the exit code."""
    report = report_for(values)
    if context.get_parameter_source("profile") is ParameterSource.COMMANDLINE:
        raise ConfigurationError("--profile and several profiles exclude each other", hint="leave one of them")
    ask, run = _asker(context, values), _run_of(context, report)
    profiles = chosen(values)
    wish = Wish(wanted(values), from_cache=not values["no_cache"], with_tokens=True)
    with Outcomes(form, report, None, run) as outcomes:
        code = ask(profiles, wish, outcomes)
    return outcomes.show(list(profiles), {"offline": False, "began": int(run.clock())}, code)


def _run_of(context: click.Context, report: Report) -> Run:
    """Return how the run goes; the progress line is its sign of life, and not what each thread waits for."""
    invocation: Invocation = context.find_root().obj
    return Run(report.step, invocation.clock, invocation.sleep)


def _asker(context: click.Context, values: Mapping[str, Any]) -> Callable[[Profiles, Wish, Outcomes], int]:
    """Return what asks for all, and returns the exit code if it was cut off, else 0; the options are checked now."""
    from banno_creds.many.pacing import Limits

    limits = Limits(values["jobs"], values["rate"], values["give_up_after"]).check()
    clients = Clients(context)

    def ask(profiles: Profiles, wish: Wish, outcomes: Outcomes) -> int:
        code = 0
        try:
            with outcomes.telling(len(profiles)):
                run_many(clients, profiles, wish, outcomes, limits)
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        except SystemExit as end:  # SIGTERM
            code = int(end.code or 0)
        for name in profiles if code else ():
            if name not in outcomes.rows:
                next_ = "run it again" if wish.with_tokens else "the same command line again, with --resume"
                outcomes.add(forms.interrupted(name, next_))
        outcomes.end(is_whole=not code)
        return code

    return ask


# --- Which profiles -------------------------------------------------------------------------------------------------


def chosen(values: Mapping[str, Any]) -> Profiles:
    """Return the profiles that a command line names, in their order; of those with a fault, the error.

    Raises:
        ConfigurationError: there is no such profile, or the file has a fault outside the profiles.
    """
    names, tags, config = values["names"], values["with_tags"], values["config"]
    if names and (values["every"] or tags):
        other = "--all" if values["every"] else "--tag"
        raise ConfigurationError(f"the names of profiles and {other} exclude each other", hint="leave one of them")
    found = find_profiles(names or None, config, tags)
    if not found:
        raise none_chosen(find_config_file(config), names, tags)
    return found


def failed(profiles: Profiles, record: Record | None) -> Profiles:
    """Return those whose last check failed.

    Raises:
        ConfigurationError: nobody knows, since there is no record.
    """
    if record is None or not record.checked:
        raise ConfigurationError(
            "there is no record of an earlier check of these profiles",
            hint="check all of them: banno-creds check --all",
        )
    checked = record.checked
    return {name: each for name, each in profiles.items() if name in checked and not checked[name].ok}


def answered(profiles: Profiles, record: Record | None, now: float) -> dict[str, Row]:
    """Return the rows of those that had an answer in the last run, if it was cut off."""
    if record is None or record.began is None or record.is_whole or not 0 <= now - record.began <= _MOST_AGE:
        return {}
    known: dict[str, Row] = {}
    for name in profiles:
        checked = record.checked.get(name)
        row = None if checked is None or checked.at < record.began else row_of(name, checked.members)
        if row is not None and not row.is_open:
            known[name] = row
    return known


def open_record(config: str | None, report: Report) -> Record | None:
    """Return the record of earlier checks, read; None, with a warning, if there can be none."""
    from banno_creds.many.record import Record

    folder, file = own_files.cache_folder(), find_config_file(config)
    if folder is None or file is None:
        return None
    record = Record(folder, file)
    try:
        record.read()
    except OSError as failure:
        _warn_of_record(report, failure)
        return None
    return record


def _warn_of_record(report: Report, failure: OSError) -> None:
    report.warning(
        f"the record of this run cannot be kept: {own_files.words(failure)}",
        own_files.hint_for(failure, "it goes on without; BANNO_CREDS_CACHE_DIR names another folder"),
    )


# --- What became of them --------------------------------------------------------------------------------------------


class Outcomes:
    """The rows of a run: kept, told while they come, and remembered; to be entered meanwhile.

    Args:
        form: the form of the result.
        report: shows it.
        record: remembers each row; None if none is to be remembered.
        run: how the run goes.

    Attributes:
        rows: by the names of the profiles.
        run: how the run goes.
    """

    def __init__(self, form: str, report: Report, record: Record | None, run: Run) -> None:
        self.rows: dict[str, Row] = {}
        self.run = run
        self._form = form
        self._report = report
        self._record = record
        self._told: Told | None = None
        self._began = time.monotonic()
        self._signals = _Signals()

    def __enter__(self) -> Self:
        self._signals.take()
        return self

    def __exit__(self, *_: object) -> None:
        self._signals.give_back()

    @property
    def _streams(self) -> bool:
        """Whether each row is written as soon as it is known."""
        return self._form in ("jsonl", "csv")

    def begin(self, since: float, names: Collection[str]) -> None:
        """Begin to remember a run that began then; ``names`` are those of all profiles that there are."""
        self._remember(lambda record: record.begin(since, names or record.checked))

    @contextmanager
    def telling(self, total: int) -> Iterator[None]:
        """Tell how far it is, while it is entered."""
        if self._form == "csv":
            write_result(forms.csv_line(None))
            for row in self.rows.values():
                write_result(forms.csv_line(row))
        with progress(total, self._report, streams=self._streams) as self._told:
            yield
        self._told = None

    def add(self, row: Row, *, is_new: bool = True) -> None:
        """Add a row, whole or not at all; one that is not new is from the record."""
        with self._signals.waiting():
            self._add(row, is_new=is_new)

    def _add(self, row: Row, *, is_new: bool) -> None:
        if is_new and not row.ok and self._record is not None and row.profile in self._record.checked:
            row = row._replace(last_good=self._record.checked[row.profile].last_good)
        self.rows[row.profile] = row
        if self._form == "jsonl":
            write_result(dumps(row.members()))
        elif self._form == "csv" and is_new:
            write_result(forms.csv_line(row))
        if self._told is not None:
            self._told.add(row)
        if is_new and row.error != forms.INTERRUPTED and self._record is not None:
            told = {name: value for name, value in row.members().items() if value not in (None, [])}
            self._remember(lambda record: record.add(row.profile, told, self.run.clock()))

    def end(self, *, is_whole: bool) -> None:
        """End to remember; a run that is not whole can be gone on with."""
        now = self.run.clock()
        self._remember(lambda record: record.end(now, is_whole=is_whole))

    def _remember(self, write: Callable[[Record], None]) -> None:
        """Write to the record; if that fails, warn once, and go on without."""
        if self._record is None:
            return
        try:
            write(self._record)
        except OSError as failure:
            self._record = None
            _warn_of_record(self._report, failure)

    def show(self, order: Sequence[str], about: Mapping[str, Any], code: int, *, every_name: bool = False) -> int:
        """Write the result, unless that was done while it came; return the exit code for all."""
        rows = [self.rows[name] for name in order if name in self.rows]
        code = code or forms.worst(rows)
        seconds = round(time.monotonic() - self._began, 3)
        if self._form == "json":
            members = {"exit_code": code, "good": sum(row.ok for row in rows), **about, "seconds": seconds}
            write_result(forms.as_json(rows, members))
        elif self._form == "junit":
            write_result(forms.as_junit(rows, seconds))
        elif self._form == "text" and rows:
            last = forms.summary(rows, offline=bool(about["offline"]))
            self._report.table([*forms.table(rows, self.run.clock(), every_name=every_name), last])
        if self._form != "text" and rows and not self._report.quiet:
            self._report.note(forms.counted(rows, offline=bool(about["offline"])))
        return code


class _Signals:
    """Ctrl-C and SIGTERM, as far as they come while a row is written.

    They are taken once for all rows: to take them for each costs as much as the rest of a row.
    """

    def __init__(self) -> None:
        self._usual: dict[int, Any] = {}
        self._came: list[int] = []
        self._wait = False

    def take(self) -> None:
        """Take them, if this is the thread that has them."""
        if threading.current_thread() is threading.main_thread():
            for each in (signal.SIGINT, signal.SIGTERM):
                if callable(handler := signal.getsignal(each)):  # and not ignored, nor left to the system
                    self._usual[each] = handler
                    signal.signal(each, self._come)

    def give_back(self) -> None:
        """Leave them to whoever had them before."""
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    def _come(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)
        if not self._wait or len(self._came) > 1:
            self._usual[number](number, frame)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let them wait for the end of what is done inside; a second one does not wait."""
        self._came.clear()
        self._wait = True
        try:
            yield
        finally:
            self._wait = False
        for number in self._came[:1]:
            self._usual[number](number, None)


def run_many(clients: Clients, profiles: Profiles, wish: Wish, outcomes: Outcomes, limits: Limits) -> None:
    """Ask for the tokens of all profiles, and add a row for each to the outcomes while they come."""
    from contextlib import closing

    from banno_creds.many.pacing import Pacing
    from banno_creds.many.run import Client
    from banno_creds.many.run import outcomes as ask
    from banno_creds.tokens.client_credentials import ClientCredentials

    run, pacing = outcomes.run, Pacing(limits)
    asked: list[Client] = []
    people: dict[str, SignedIn] = {}
    about: dict[str, Row] = {}
    opened: dict[object, Cache | None] = {}
    for name, profile in profiles.items():
        about[name] = Row(name)
        try:
            if isinstance(profile, ConfigurationError):
                asked.append(Client(name, profile))
                continue
            whose = clients.credentials(profile)
            if isinstance(whose, ClientCredentials):
                cache = whose.open_cache(run, opened) if wish.from_cache else None
                asked.append(Client(name, whose.config, cache))
                about[name] = _about(name, whose.config)
            else:
                people[name] = replace(whose, turn=pacing.turn)
                about[name] = _about(name, whose.store.owner)
        except BannoCredsError as error:
            asked.append(Client(name, error))
            if not isinstance(profile, ConfigurationError):
                client_id, server = clients.about(profile)
                about[name] = Row(name, client_id=client_id, server=server)
    clients.warn_of_overruled()
    for name, person in people.items():
        outcomes.add(_row(about[name], profiles[name], _of_person(name, person, wish, run), wish, clients))
    how: dict[str, Any] = {"offline": wish.offline, "run": run.silent(), "pacing": pacing}
    with closing(ask(asked, limits, wish.wanted, **how)) as found:
        for outcome in found:
            name = outcome.profile
            outcomes.add(_row(about[name], profiles[name], outcome, wish, clients))


def _about(name: str, who: ClientConfig | Owner) -> Row:
    return Row(name, client_id=who.client_id, server=who.issuer or who.token_endpoint)


def _of_person(name: str, person: SignedIn, wish: Wish, run: Run) -> Outcome:
    """Return what became of a person's token: one after the other, for a refresh token is good once."""
    from banno_creds.many.run import outcome_of

    def get(own: Run) -> TokenResponse | None:
        if wish.offline:
            person.found()
            return None
        return person.obtain(person.open_cache(run) if wish.from_cache else None, wish.wanted, own)

    return outcome_of(name, get, run)


def _row(row: Row, profile: Profile | ConfigurationError, outcome: Outcome, wish: Wish, clients: Clients) -> Row:
    """Return the row of an outcome, in words."""
    if outcome.asked:
        row = row._replace(seconds=round(outcome.seconds, 3))
    if isinstance(profile, ConfigurationError):
        return forms.fault(row, profile, profile.words(), "")
    if outcome.warnings:
        spell = clients.spelling(profile)
        words = (f"{warned.message}; {warned.hint}" if warned.hint else warned.message for warned in outcome.warnings)
        row = row._replace(warnings=tuple(printable(spelled(each, spell), 1000) for each in words))
    if (error := outcome.error) is not None:
        doctor = clients.doctor(profile) if error.doctor_can_tell else ""
        told = error.words(clients.spelling(profile))
        if isinstance(error, NotAskedError) and error.rule and not wish.with_tokens:
            told = told._replace(hint=f"{told.hint}: {command_on(profile.file, '--only-failed', 'check')}")
        return forms.fault(row, error, told, doctor)
    if (response := outcome.response) is not None:
        row = row._replace(expires_at=response.expires_at)
        if wish.with_tokens:
            row = row._replace(token=_members(response))
    return row


def _members(response: TokenResponse) -> dict[str, Any]:
    """Return what a row tells of a token."""
    names = ("access_token", "token_type", "expires_in", "expires_at", "scope")
    return {name: getattr(response, name) for name in names}
