"""The lock in a shared cache: who has lost it takes nothing from who came after, and writes nothing over it."""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds import ClientConfig, KeySource
from banno_creds.config import Wanted
from banno_creds.errors import RefusedError, TokenError
from banno_creds.shared_cache.faults import ServerError, SlowError, StoreError
from banno_creds.shared_cache.sealing import Seal
from banno_creds.steps import Run, Warned
from banno_creds.tokens import cache_entry, shared
from banno_creds.tokens.cache_entry import Entry, KeptFailure, KeptToken, Times, request_of
from banno_creds.tokens.response import TokenResponse
from banno_creds.tokens.shared_entries import clear, read_all
from tests.conftest import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.redis import Redis

RESPONSE = TokenResponse("a.b.c", "Bearer", 600, None, 0, {"access_token": "a.b.c", "expires_in": 600})
ENDPOINT = "https://bank.test/token"


class Someone:
    """A client of the shared cache, with what it was warned of."""

    def __init__(self, url: str, key: Path) -> None:
        self.warned: list[str] = []
        self.run = Run(lambda step: self.warned.append(step.message) if isinstance(step, Warned) else None)
        config = ClientConfig(CLIENT_ID, KeySource.file(key), token_endpoint=ENDPOINT, cache_url=url)
        self.cache = shared.open_shared(config, self.run, lambda _: None)
        self.cache.take_key(key.read_bytes(), is_held=False)
        self.request = request_of(config, key.read_bytes())

    def asks(self, fetch: Callable[[], TokenResponse], wanted: Wanted = Wanted()) -> str:
        return self.cache.obtain(self.request, fetch, wanted, self.run, patience=5).access_token

    def gets(self) -> TokenResponse:
        return RESPONSE

    @property
    def names(self) -> tuple[str, str]:
        """The names of the entry and of its lock."""
        name = self.cache.seal_of(self.request).name(self.request.name)
        return name, f"{name}:lock"


class Replies:
    """A server in the store's place, which answers by a command's first word."""

    shown = "redis://cache.test"

    def __init__(self, **answers: Any) -> None:
        self.answers = {"TIME": [b"1000", b"0"], "GET": None, "SET": None, "DEL": 1, "EVAL": 1, **answers}
        self.asked: list[str] = []
        self.times = 0

    def ask(self, *commands: Any) -> list[Any]:
        self.times += 1
        self.asked += [command[0] for command in commands]
        found = [self.answers[command[0]] for command in commands]
        return [
            answer(command) if callable(answer) else answer for answer, command in zip(found, commands, strict=True)
        ]

    get = ask

    def lets_lock(self) -> None:
        """From now on a lock can be taken; there is no entry."""
        held: list[bytes] = []

        def take(command: Any) -> bytes:
            held[:] = [str(command[2]).encode()]
            return b"OK"

        self.answers |= {"SET": take, "GET": lambda command: held[0] if command[1].endswith(":lock") else None}

    def names(self, pattern: str) -> Any:
        del pattern
        return self.answers["pages"]


@pytest.fixture
def someone(redis: Redis, ec_pem: Path) -> Someone:
    return Someone(redis.url, ec_pem)


@pytest.fixture
def alone(ec_pem: Path) -> Someone:
    """One whose server is `Replies`."""
    return Someone("redis://cache.test", ec_pem)


def test_a_lock_ends_by_itself_and_an_entry_with_its_token(someone: Someone, redis: Redis) -> None:
    entry, lock = someone.names

    def fetch() -> TokenResponse:
        assert 5_000 < int(redis("PTTL", lock)) <= 10_000
        return RESPONSE

    someone.asks(fetch)
    assert redis.keys() == [entry]
    assert 590_000 < int(redis("PTTL", entry)) <= 600_000


def test_a_refresh_token_that_comes_with_a_token_stays_here(someone: Someone) -> None:
    raw = {**RESPONSE.raw, "scope": "a", "refresh_token": "for-a-year", "id_token": "of.a.person"}
    given = replace(RESPONSE, raw=raw, scope="a")

    def gets() -> TokenResponse:
        return someone.cache.obtain(someone.request, lambda: given, Wanted(), someone.run, patience=5)

    assert gets().raw == raw
    assert gets().raw.keys() == {"access_token", "expires_in", "scope"}


def test_no_entry_is_kept_for_longer_than_a_week(someone: Someone, redis: Redis) -> None:
    someone.asks(lambda: replace(RESPONSE, expires_in=10**8))
    assert int(redis("PTTL", someone.names[0])) <= 7 * 86_400_000


@pytest.mark.parametrize("lock", ["lost", "another's"])
def test_who_lost_the_lock_keeps_the_token_where_nobody_kept_another(
    someone: Someone, redis: Redis, lock: str
) -> None:
    """It was evicted, or the server was emptied: those who wait need not ask again."""
    entry, held = someone.names

    def fetch() -> TokenResponse:
        redis("FLUSHALL")
        if lock == "another's":
            redis("SET", held, "another", "PX", 60_000)
        return RESPONSE

    assert someone.asks(fetch) == "a.b.c"
    assert 590_000 < int(redis("PTTL", entry)) <= 600_000
    assert redis("GET", held) == (None if lock == "lost" else "another")


@pytest.mark.parametrize("lock", ["lost", "another's"])
def test_who_lost_the_lock_writes_over_nothing(someone: Someone, redis: Redis, lock: str) -> None:
    entry, held = someone.names

    def fetch() -> TokenResponse:
        redis("SET", entry, "kept since")
        redis(*(("DEL", held) if lock == "lost" else ("SET", held, "another", "PX", 60_000)))
        return RESPONSE

    assert someone.asks(fetch) == "a.b.c"
    assert redis("GET", entry) == "kept since"
    assert redis("GET", held) == (None if lock == "lost" else "another")


def test_who_lost_the_lock_does_not_free_it(someone: Someone, redis: Redis) -> None:
    def fetch() -> TokenResponse:
        redis("SET", someone.names[1], "another", "PX", 60_000)
        raise TokenError("no token")

    with pytest.raises(TokenError):
        someone.asks(fetch)
    assert redis("GET", someone.names[1]) == "another"


def test_a_lock_is_freed_if_nothing_is_kept(someone: Someone, redis: Redis) -> None:
    def fetch() -> TokenResponse:
        raise TokenError("no token")

    with pytest.raises(TokenError):
        someone.asks(fetch)
    assert redis.keys() == []


def test_what_else_stands_in_its_place_is_replaced(someone: Someone, redis: Redis) -> None:
    for name in someone.names:
        redis("RPUSH", name, "x")
    someone.asks(someone.gets)
    assert redis.keys() == [someone.names[0]]
    assert redis("TYPE", someone.names[0]) == "string"


def test_a_server_that_failed_is_left_alone_for_a_while_and_each_outage_is_news(
    alone: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Replies()

    def gone(command: Any) -> None:
        raise StoreError("gone")

    alone.cache.store = lines  # type: ignore[assignment]
    lines.answers |= {"GET": gone}
    alone.asks(alone.gets)
    alone.asks(alone.gets)
    assert lines.asked == ["GET", "TIME"]
    monkeypatch.setattr(shared, "_OUT", (0.0, 0.0))
    monkeypatch.setattr(alone.cache, "_out_until", 0.0)
    alone.asks(alone.gets)
    assert len(alone.warned) == 1
    lines.lets_lock()
    alone.asks(alone.gets)
    lines.answers |= {"GET": gone}
    alone.asks(alone.gets)
    assert len(alone.warned) == 2


def test_a_server_that_comes_and_goes_is_told_of_once_in_a_while(
    alone: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each token from the bank would bring a warning: one that is full answers those who only read."""
    kept, full = Replies(), ServerError("OOM no memory")
    kept.answers |= {"SET": full}
    alone.cache.store = kept  # type: ignore[assignment]
    monkeypatch.setattr(shared, "_OUT", (0.0, 30.0))
    for _ in range(5):
        alone.asks(alone.gets)
        monkeypatch.setattr(alone.cache, "_out_until", None)  # a hit of another client
    assert len(alone.warned) == 1
    monkeypatch.setattr(alone.cache, "_told_at", alone.cache._told_at - 30)
    alone.asks(alone.gets)
    assert len(alone.warned) == 2


def test_a_token_of_the_bank_costs_four_round_trips_and_a_wait_one_each_time(alone: Someone) -> None:
    """The server may be far away."""
    lines = Replies()
    lines.lets_lock()
    alone.cache.store = lines  # type: ignore[assignment]
    alone.asks(alone.gets)
    assert lines.times == 4
    lines = Replies(GET=lambda command: b"another" if command[1].endswith(":lock") else None, SET=None)
    alone.cache.store = lines  # type: ignore[assignment]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 5:
            lines.lets_lock()

    alone.run = alone.run._replace(sleep=sleep)
    alone.asks(alone.gets)
    assert lines.times == 1 + 5 + 3


@pytest.mark.parametrize(("took", "seconds"), [(0.0, 3), (0.01, 3), (1.0, 20), (1.5, 30), (9.0, 30)])
def test_a_server_that_costs_time_is_left_alone_for_longer(alone: Someone, took: float, seconds: int) -> None:
    """One that refuses at once may be failing over, and twenty machines would ask the bank meanwhile."""
    alone.cache.note_failure(took)
    assert alone.cache._out_until is not None
    assert seconds - 1 < alone.cache._out_until - time.monotonic() <= seconds


def test_a_failure_is_remembered_though_who_began_before_it_ends_well(alone: Someone) -> None:
    lines = Replies()
    lines.lets_lock()
    alone.cache.store = lines  # type: ignore[assignment]

    def fetch() -> TokenResponse:
        alone.cache.note_failure(0.0)  # another thread's
        return RESPONSE

    alone.asks(fetch)
    lines.asked.clear()
    alone.asks(alone.gets)
    assert lines.asked == []


@pytest.mark.parametrize(
    ("failure", "freed"), [(StoreError("gone"), ["EVAL"]), (SlowError("no answer in time"), [])], ids=["gone", "slow"]
)
def test_who_will_keep_nothing_lets_nobody_wait(alone: Someone, failure: StoreError, freed: list[str]) -> None:
    """A server that hangs is not waited for once more."""
    lines = Replies()
    lines.lets_lock()
    answer = lines.answers["GET"]

    def get(command: Any) -> Any:
        if "SET" in lines.asked and not command[1].endswith(":lock"):
            raise failure
        return answer(command)

    def fetch() -> TokenResponse:
        lines.asked.append("the bank")
        return RESPONSE

    lines.answers["GET"] = get
    alone.cache.store = lines  # type: ignore[assignment]
    alone.asks(fetch)
    assert lines.asked == ["GET", "TIME", "SET", "GET", "EVAL", "GET", "TIME", *freed, "the bank"]


def test_who_may_run_no_scripts_lets_nobody_wait(someone: Someone, redis: Redis, ec_pem: Path) -> None:
    """Its lock could not be freed: of twenty machines, each would wait for those before it."""
    password = redis.user("app", "~*", "+get", "+set", "+time")
    url = f"redis://app:{password}@127.0.0.1:{redis.port}"
    first, second = Someone(url, ec_pem), Someone(url, ec_pem)
    slept: list[float] = []
    second.run = second.run._replace(sleep=slept.append)

    def fetch() -> TokenResponse:
        second.asks(second.gets)
        return RESPONSE

    first.asks(fetch)
    assert slept == []
    assert [len(each.warned) for each in (first, second)] == [1, 1]
    assert "NOPERM" in second.warned[0]


def test_programs_of_two_versions_leave_each_other_alone(
    someone: Someone, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While twenty machines are brought up to date, none of them asks for a token each time."""
    asked: list[int] = []

    def fetch() -> TokenResponse:
        asked.append(version)
        return RESPONSE

    for version in (1, 2, 1, 2):
        monkeypatch.setattr(cache_entry, "_VERSION", version)
        someone.asks(fetch)
    assert asked == [1, 2]
    assert len(redis.keys()) == 2
    assert someone.warned == []


def test_who_waits_gets_the_fresh_token_that_takes_the_place_of_an_old_one(
    someone: Someone, redis: Redis, ec_pem: Path
) -> None:
    other = Someone(redis.url, ec_pem)
    assert someone.asks(someone.gets) == "a.b.c"
    redis("SET", someone.names[1], "another", "PX", 60_000)

    def sleep(_: float) -> None:
        redis("DEL", someone.names[1])
        raw = {**RESPONSE.raw, "access_token": "d.e.f"}
        other.asks(lambda: replace(RESPONSE, access_token="d.e.f", raw=raw), Wanted(force_refresh=True))

    someone.run = someone.run._replace(sleep=sleep)
    assert someone.asks(someone.gets, Wanted(force_refresh=True)) == "d.e.f"


def test_the_secret_seals_and_else_the_private_key(alone: Someone, ec_pem: Path) -> None:
    secret = Seal(b"a secret of sixteen bytes or more")
    for given, used in ((secret, secret), (None, Seal(ec_pem.read_bytes()))):
        cache = shared.SharedCache(alone.cache.store, given, lambda _: None)
        cache.take_key(ec_pem.read_bytes(), is_held=False)
        assert cache.seal_of(alone.request).name("x") == used.name("x")


def test_the_hash_of_a_private_key_opens_nothing(someone: Someone, redis: Redis, ec_pem: Path) -> None:
    """A kept answer names its key by that hash, and a cache folder may be copied where no key may."""
    someone.asks(someone.gets)
    [name] = redis.keys()
    key = sha256(ec_pem.read_bytes())
    assert name not in [Seal(each).name(someone.request.name) for each in (key.digest(), key.hexdigest().encode())]


def test_a_holder_is_counted_once_and_pauses_do_not_grow_for_ever() -> None:
    """Whoever counted a holder at each look would soon ask the bank beside it."""
    holders = [*["first"] * 9, *["second"] * 9]
    pauses: list[float] = []
    place = SimpleNamespace(take_lock=lambda: (False, holders.pop(0)), free_lock=lambda: None)
    turn = shared._Turn(place, pauses.append)  # type: ignore[arg-type]
    while holders:
        assert not turn.take()
        turn.remove_if_hung()
        turn.pause()
    assert turn.holders == 2
    assert pauses == sorted(pauses)
    assert max(pauses) == 0.25
    assert turn.waited >= sum(pauses)


def test_a_refusal_is_as_old_as_the_servers_clock_says_on_machines_that_differ_a_little() -> None:
    failure = KeptFailure(Times(1000.0, ("", 5000.0), 0.0), RefusedError("no", error="invalid_client", status=401))
    for now, age in ((5010.0, 10), (5060.0, 10), (5100.0, 100), (4000.0, 10)):
        found = shared.as_here(Entry({}, None, failure), 1010.0, now).failure
        assert found is not None
        assert now - found.times.began == age
    assert shared.as_here(Entry({}, None, failure), 999.0, 5010.0).failure is None


def test_what_was_asked_for_some_seconds_after_its_turn_began_still_was() -> None:
    """A request may wait for its turn; its token lives from when it was sent."""
    token = KeptToken(Times(1000.0, ("", 5000.0), 8.0), replace(RESPONSE, requested_at=5007))
    found = shared.as_here(Entry({}, token, None), 1010.0, 5009.0).token
    assert found is not None
    assert (found.times.began, found.response.requested_at) == (4999.0, 5006)


def test_the_servers_clock_counts_in_what_is_kept(alone: Someone) -> None:
    now = [5000.0]
    kept: list[bytes] = []
    entry, lock = alone.names
    owner: list[bytes] = []

    def take(command: Any) -> bytes:
        owner[:] = [str(command[2]).encode()]
        return b"OK"

    def fetch() -> TokenResponse:
        now[0] += 50
        return replace(RESPONSE, requested_at=5000)

    alone.cache.store = Replies(  # type: ignore[assignment]
        SET=take,
        GET=lambda command: owner[0] if command[1] == lock else None,
        EVAL=lambda command: kept.append(command[6]) if command[2] == 2 else 1,
    )
    alone.run = alone.run._replace(clock=lambda: now[0])
    alone.asks(fetch)
    content = alone.cache.seal_of(alone.request).open(entry, kept[0])
    found = cache_entry.read(alone.request.name, content)
    assert found is not None
    assert found.token is not None
    assert 949 <= found.token.times.began <= 950
    here = shared.as_here(found, 1010.0, 7000.0).token
    assert here is not None
    assert 7000 - here.times.began >= 1900  # this machine's clock is ahead, and nobody knows which one is wrong
    here = shared.as_here(found, 1010.0, 5060.0).token
    assert here is not None
    assert (here.times.began, here.response.requested_at) == (5000.0, 5000)
    assert shared.as_here(found, 940.0, 5060.0).token is None


@pytest.mark.parametrize(
    "answers",
    [
        {},  # the lock is neither taken nor anybody's, for ever
        {"SET": b"OK", "GET": lambda command: b"another" if command[1].endswith(":lock") else None},
        {"SET": 7},
        {"GET": 7},
        {"GET": [b"a"]},
        {"TIME": [b"1"], "GET": b"a"},
        {"TIME": [b"x", b"y"], "GET": b"a"},
        {"TIME": 7, "GET": b"a"},
    ],
    ids=["nobody's", "another's", "lock", "number", "list", "short time", "no time", "no list"],
)
def test_a_server_that_makes_no_sense_is_left_after_a_few_answers(alone: Someone, answers: dict[str, Any]) -> None:
    alone.cache.store = lines = Replies(**answers)  # type: ignore[assignment]
    fetched: list[TokenResponse] = []
    pauses: list[float] = []
    alone.run = alone.run._replace(sleep=pauses.append)

    def fetch() -> TokenResponse:
        fetched.append(RESPONSE)
        return RESPONSE

    assert alone.asks(fetch) == "a.b.c"
    assert len(fetched) == len(alone.warned) == 1
    assert len(lines.asked) < 40
    assert len(pauses) < 10


# --- The commands that list and clear -------------------------------------------------------------------------------


def _told(value: Any) -> tuple[Replies, Seal, str]:
    seal = Seal(b"a secret of sixteen bytes or more")
    name = seal.name("x")
    return Replies(pages=[[name.encode()]], GET=value), seal, name


def test_a_value_that_ends_while_all_are_read_is_none() -> None:
    lines, seal, _ = _told(None)
    assert read_all(lines, seal) == ({}, 0)  # type: ignore[arg-type]


def test_a_value_that_cannot_be_opened_is_counted_and_stays() -> None:
    lines, seal, _ = _told(b"\x01" + bytes(100))
    assert clear(lines, seal) == (0, 1)  # type: ignore[arg-type]
    assert "DEL" not in lines.asked


def test_each_name_is_read_once_and_all_of_them() -> None:
    seal = Seal(b"a secret of sixteen bytes or more")
    names = [seal.name(str(number)).encode() for number in range(250)]
    lines = Replies(pages=[names, [*names[:5], names[0] + b":lock"], []], GET=b"?")
    assert read_all(lines, seal) == ({}, 250)  # type: ignore[arg-type]


def test_a_server_that_refuses_its_clock_is_an_error() -> None:
    lines, seal, _ = _told(b"?")
    lines.answers["TIME"] = ServerError("NOPERM no")
    with pytest.raises(ServerError):
        read_all(lines, seal)  # type: ignore[arg-type]
