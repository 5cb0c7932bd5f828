"""What is in a shared cache, for the commands that list it and clear it. A token is never asked of a server here."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.jose.encoding import parse_json_object
from banno_creds.shared_cache.faults import SlowError
from banno_creds.shared_cache.sealing import PREFIX
from banno_creds.shared_cache.store import read_time
from banno_creds.tokens import cache_entry
from banno_creds.tokens.shared import as_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from banno_creds.shared_cache.sealing import Seal
    from banno_creds.shared_cache.store import Store
    from banno_creds.tokens.cache_entry import Entry, Request
    from banno_creds.tokens.shared import SharedCache

_AT_ONCE = 100  # values, of some 2 KB each


class Kept(NamedTuple):
    """The entries in a server, by their names there.

    ``sealed`` is how many values cannot be opened: another secret sealed them, or somebody changed them.
    """

    entries: Mapping[str, Entry]
    sealed: int


def read_all(store: Store, seal: Seal | None) -> Kept:
    """Return what is in a server; without a seal nothing can be opened.

    Raises:
        StoreError: the server cannot be used.
    """
    entries: dict[str, Entry] = {}
    sealed = 0
    for names in _pages(store):
        instant, *values = store.ask(("TIME",), *(("GET", name) for name in names))
        now, now_there = time.time(), read_time(instant)
        for name, value in zip(names, values, strict=True):
            if value is None:  # it has ended since
                continue
            entry = None if seal is None or not isinstance(value, bytes) else _opened(seal, name, value)
            if entry is None:
                sealed += 1
            else:
                entries[name] = as_here(entry, now_there, now)
    return Kept(dict(sorted(entries.items())), sealed)


def read_of(cache: SharedCache, requests: Sequence[Request], seconds: float) -> list[Entry | None]:
    """Return the entries of requests, whose keys the cache took; None for what is not there or cannot be opened.

    Args:
        cache: the shared cache.
        requests: the requests; a hundred of them are looked for at a time.
        seconds: after how many nothing more is asked.

    Raises:
        StoreError: the server cannot be used, or it took too long.
    """
    found: list[Entry | None] = []
    until = time.monotonic() + seconds
    for start in range(0, len(requests), _AT_ONCE):
        if time.monotonic() > until:
            raise SlowError(f"it did not answer everything within {seconds:g} s")
        named = [(cache.seal_of(each), each.name) for each in requests[start : start + _AT_ONCE]]
        places = [seal.name(name) for seal, name in named]
        instant, *values = cache.store.ask(("TIME",), *(("GET", place) for place in places))
        now, now_there = time.time(), read_time(instant)
        for (seal, name), place, value in zip(named, places, values, strict=True):
            entry = None
            with suppress(ValueError):
                entry = cache_entry.read(name, seal.open(place, value)) if isinstance(value, bytes) else None
            found.append(None if entry is None else as_here(entry, now_there, now))
    return found


def clear(store: Store, seal: Seal | None, belongs: Callable[[Entry], bool] | None = None) -> tuple[int, int]:
    """Remove what the seal opens, or those of it that belong to somebody; return how many, and how many stay sealed.

    What others sealed is left: it may be another team's, and its tokens end by themselves.

    Raises:
        StoreError: the server cannot be used, or does not allow it.
    """
    kept = read_all(store, seal)
    names = [name for name, entry in kept.entries.items() if belongs is None or belongs(entry)]
    removed = 0
    for start in range(0, len(names), _AT_ONCE):
        answers = store.get(*(("DEL", name) for name in names[start : start + _AT_ONCE]))
        removed += sum(answer == 1 for answer in answers)
    return removed, kept.sealed


def _pages(store: Store) -> Iterator[Sequence[str]]:
    """Give the names of all entries, some at a time, each once."""
    seen: set[str] = set()
    for page in store.names(f"{PREFIX}*"):
        found = {name.decode("latin-1") for name in page}
        names = sorted(name for name in found - seen if name.endswith("}"))  # the others are locks
        seen.update(names)
        for start in range(0, len(names), _AT_ONCE):
            yield names[start : start + _AT_ONCE]


def _opened(seal: Seal, name: str, value: bytes) -> Entry | None:
    """Open a value; None if that cannot be done."""
    try:
        text = seal.open(name, value)
        own_name = parse_json_object(text).get("name")
        return cache_entry.read(own_name, text) if isinstance(own_name, str) else None
    except ValueError:
        return None
