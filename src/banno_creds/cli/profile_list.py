"""What `profile list` tells of a profile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from banno_creds.cli.report import Report
from banno_creds.client_authentication.key_age import Since
from banno_creds.errors import ConfigurationError, KeyLoadError
from banno_creds.rules.findings import Part
from banno_creds.rules.key_age import judge_age
from banno_creds.storage import own_files
from banno_creds.text import printable, spelled
from banno_creds.times import duration, until, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from banno_creds.many.record import Checked
    from banno_creds.profiles.lookup import Summary
    from banno_creds.rules.findings import Finding
    from banno_creds.tokens.cache_entry import Request
    from banno_creds.tokens.shared import SharedCache


_SHARED_SECONDS = 4.0  # for which a shared cache is asked


class Seen:
    """What is known of the profiles of a file besides their settings, by the caches and the record of `check`."""

    def __init__(self, file: str | None, profiles: Sequence[Summary], now: float) -> None:
        from banno_creds.cli.cache import kept_entries

        self._checked = _last_checks(file)
        self._shared = _shared_until(file, profiles, now)
        self._until: dict[tuple[Any, ...], float] = {}
        for entry in kept_entries().values():
            left = entry.left(now)
            if left is not None and left > 0:
                client = tuple(entry.about[name] for name in ("client_id", "token_endpoint", "issuer"))
                self._until[client] = max(now + left, self._until.get(client, 0))

    def until(self, profile: Summary) -> float | None:
        """Return until when a cache has a token of a profile's client; None if none has."""
        here = self._until.get((profile.client_id, profile.token_endpoint, profile.issuer))
        return max(filter(None, (here, self._shared.get(profile.name))), default=None)

    def last_check(self, profile: Summary) -> dict[str, Any] | None:
        """Return when and how a profile was checked last; None if it never was."""
        last = self._checked.get(profile.name)
        names = ("ok", "exit_code", "error", "rule", "message")
        return None if last is None else {"at": int(last.at), **{name: last.members.get(name) for name in names}}


def _shared_until(file: str | None, profiles: Sequence[Summary], now: float) -> Mapping[str, float]:
    """Return until when shared caches have tokens, by the names of the profiles; a fault is a warning."""
    found: dict[str, float] = {}
    for cache, requests in _shared_requests(file, profiles).items():
        from banno_creds.shared_cache.faults import StoreError
        from banno_creds.tokens.shared_entries import read_of

        try:
            entries = read_of(cache, list(requests.values()), _SHARED_SECONDS)
        except StoreError as failure:
            Report().warning(
                f"the shared cache {cache.store.shown} cannot be used: {failure.words}",
                "the list tells of this machine's own cache alone; more: banno-creds doctor --profile NAME",
            )
            continue
        except ConfigurationError as failure:  # of the client's certificate, which is read for a connection
            Report().warning(spelled(failure.message), failure.hint and spelled(failure.hint))
            continue
        finally:
            cache.close()
        for name, entry in zip(requests, entries, strict=True):
            left = None if entry is None else entry.left(now)
            if left is not None and left > 0:
                found[name] = now + left
    return found


def _shared_requests(file: str | None, profiles: Sequence[Summary]) -> Mapping[SharedCache, Mapping[str, Request]]:
    """Return the requests of the profiles that have a shared cache, by it and by their names."""
    names = [each.name for each in profiles if each.has_shared_cache or os.environ.get("BANNO_CREDS_CACHE_URL")]
    if file is None or not names:
        return {}
    from banno_creds.cli.settings import SHARED_CACHE, fill_shared_cache, given_shared_cache
    from banno_creds.client_authentication.private_key import read_key
    from banno_creds.profiles.client import read_clients
    from banno_creds.tokens.cache_entry import request_of
    from banno_creds.tokens.client_credentials import ClientCredentials

    variables = given_shared_cache({name: os.environ.get(f"BANNO_CREDS_{name.upper()}") for name in SHARED_CACHE})
    opened: dict[object, Any] = {}
    found: dict[Any, dict[str, Request]] = {}
    faults: dict[tuple[str, str | None], None] = {}
    for name, config in read_clients(names, file).items():
        if isinstance(config, ConfigurationError):
            continue  # the list says it
        try:
            own = fill_shared_cache(config, variables)
            file_of_key = own.private_key.path
            if own.cache_url is None or (file_of_key is not None and not os.path.isfile(file_of_key)):  # noqa: PTH113 - it never raises
                continue  # a pipe would be waited for
            cache: Any = ClientCredentials(own).open_cache(opened=opened)  # a shared one, by its URL
            read = read_key(own.private_key)
            cache.take_key(read.content, is_held=own.private_key.uri is not None)
            found.setdefault(cache, {})[name] = request_of(own, read.content)
        except KeyLoadError:
            continue  # no token comes of it
        except ConfigurationError as failure:
            faults[spelled(failure.message), failure.hint and spelled(failure.hint)] = None
    for fault in faults:
        Report().warning(*fault)
    return found


def _last_checks(file: str | None) -> Mapping[str, Checked]:
    """Return the last checks of the profiles of a file; none if their record cannot be read."""
    from banno_creds.many.record import Record

    folder = own_files.cache_folder()
    if folder is None or file is None:
        return {}
    record = Record(folder, file)
    try:
        record.read()
    except OSError as failure:
        Report().warning(f"the record of the last checks cannot be read: {own_files.words(failure)}")
    return record.checked


def members(profile: Summary, now: float, seen: Seen | None) -> dict[str, Any]:
    """Return a profile as a member of the list's JSON."""
    found, finding, since = profile._asdict(), _age(profile, now), _since(profile)
    del found["key_modified"], found["has_shared_cache"]
    age = None if since is None else since.age(now)
    found |= {
        "key_there_since": None if since is None else int(since.at),
        "key_age_days": None if age is None else int(age // 86400),
        "key_too_old": finding is not None and finding.verdict == "warn",
    }
    if seen is not None:
        end = seen.until(profile)
        found["token_until"] = None if end is None else int(end)
        found["last_check"] = seen.last_check(profile)
    return found


def part(profile: Summary, now: float, seen: Seen | None) -> Part:
    """Return a profile as a part of the list for people."""
    age = _age(profile, now)
    too_old = age is not None and age.verdict == "warn"
    lines = {
        "client ID": profile.client_id,
        "key": profile.private_key,
        "age": None if age is None or too_old else age.received or age.reason,
        "secret": profile.client_secret_file and f"in {profile.client_secret_file}",
        "issuer": profile.issuer,
        "endpoint": profile.token_endpoint,
        "tags": " ".join(profile.tags),
    }
    if seen is not None:
        end = seen.until(profile)
        left = None if end is None else f"good for {duration(end - now)}, until {utc(end)}"
        lines["token"] = left or "none in the cache"
        lines["check"] = _checked(seen.last_check(profile), now)
    lines["fault"] = profile.fault
    notes = tuple(f"{name:<9}  {printable(text)}" for name, text in lines.items() if text)
    return Part(profile.name, _in_file(age) if age is not None and too_old else (), notes)


def _checked(last: Mapping[str, Any] | None, now: float) -> str:
    if last is None:
        return "never"
    how = "ok" if last["ok"] else str(last["rule"] or last["error"] or f"exit code {last['exit_code']}")
    words = "" if last["ok"] or not last["message"] else f": {last['message']}"
    return f"{how}, {until(last['at'], now)}{words}"


def _since(profile: Summary) -> Since | None:
    """Return since when a profile's key is there, by the time of its file alone; None if it is in no file."""
    return None if profile.key_modified is None else Since(profile.key_modified, "file")


def _age(profile: Summary, now: float) -> Finding | None:
    """Judge the age of a profile's key."""
    since = _since(profile)
    return None if since is None else judge_age(since, now, profile.key_max_age)


def _in_file(finding: Finding) -> tuple[Finding, ...]:
    return (finding._replace(expected=spelled(finding.expected)),)
