"""Tokens at rest: which request a token is for, how long it is given, and that the server is asked once."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from banno_creds import errors
from banno_creds.config import ClientConfig, KeySource, Wanted
from banno_creds.errors import (
    BannoCredsError,
    ConfigurationError,
    NetworkError,
    RefusedError,
    SigningError,
    UnavailableError,
)
from banno_creds.steps import CacheAnswered, CacheSearched, Run, WaitingForAnother, Warned
from banno_creds.storage import lock as storage_lock
from banno_creds.storage import own_files
from banno_creds.storage.lock import Lock, remove_stale
from banno_creds.tokens import cache as token_cache
from banno_creds.tokens import cache_entry
from banno_creds.tokens.cache import TokenCache, open_cache
from banno_creds.tokens.cache_entry import Request, request_of
from banno_creds.tokens.client_credentials import ClientCredentials
from banno_creds.tokens.response import TokenResponse, token_response
from tests.conftest import CLIENT_ID, has_mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.steps import Step


def _names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


URL = "https://login.example/token"
CONFIG = ClientConfig(CLIENT_ID, KeySource("key", content=b"key"), token_endpoint=URL)
KEY = b"key"
REQUEST = request_of(CONFIG, KEY)


class _Crowd:
    """A place, and its lock, where each holder asks and keeps nothing."""

    waited, holder, holders = 0.0, None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def look(self) -> tuple[str, Callable[[], None]]:
        return "", lambda: None

    def lock(self, *_: object) -> Self:
        return self

    def take(self) -> bool:
        self.holders += 1
        assert self.holders < 20
        return False

    def remove_if_hung(self) -> bool:
        return False

    def pause(self) -> None:
        pass

    def write(self, _: object) -> None:
        pass


def test_who_comes_after_several_that_kept_nothing_waits_no_longer() -> None:
    place = _Crowd()
    got = TokenResponse("a.b.c", "Bearer", 600, None, int(time.time()), {})
    assert token_cache.search(place, REQUEST, lambda: got, Wanted(), Run(), patience=1000) is got  # type: ignore[arg-type]
    assert place.holders == 4


class Time:
    """A clock that people set, and one that nobody sets: the time since the machine was started."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.up = 5_000.0
        self.started = "this start"

    def __call__(self) -> float:
        return self.now

    def uptime(self) -> tuple[str, float]:
        return self.started, self.up if self.started else 0.0

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.up += seconds

    def is_set(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    time_ = Time()
    monkeypatch.setattr(own_files, "uptime", time_.uptime)
    return time_


@pytest.fixture
def cache(tmp_path: Path) -> TokenCache:
    folder = tmp_path / "cache"
    folder.mkdir(0o700)
    return TokenCache(str(folder))


class Asker:
    """Asks the cache, and is the server behind it: the n-th request is granted ``token-n``."""

    def __init__(self, cache: TokenCache, clock: Time) -> None:
        self.cache = cache
        self.clock = clock
        self.asked = 0
        self.expires_in: int | None = 600
        self.failure: BannoCredsError | None = None
        self.takes = 0.0
        self.steps: list[Step] = []

    def fetch(self) -> TokenResponse:
        self.asked += 1
        requested_at = int(self.clock())
        self.clock.passes(self.takes)
        if self.failure is not None:
            raise self.failure
        life = {} if self.expires_in is None else {"expires_in": self.expires_in}
        return token_response({"access_token": f"token-{self.asked}", "token_type": "Bearer", **life}, requested_at)

    def sleep(self, seconds: float) -> None:
        self.clock.passes(seconds)

    def __call__(self, request: Request = REQUEST, **options: Any) -> str:
        return self.response(request, **options).access_token

    def response(self, request: Request = REQUEST, **options: Any) -> TokenResponse:
        sleep, patience = options.pop("sleep", self.sleep), options.pop("patience", 30)
        self.steps.clear()
        run = Run(self.steps.append, options.pop("clock", self.clock), sleep)
        return self.cache.obtain(request, self.fetch, Wanted(**options), run, patience=patience)

    @property
    def warnings(self) -> list[str]:
        return [step.message for step in self.steps if isinstance(step, Warned)]

    @property
    def entry(self) -> Path:
        return Path(self.cache.path(REQUEST.name, ".json"))

    @property
    def lock(self) -> Path:
        return Path(self.cache.path(REQUEST.name, ".lock"))


@pytest.fixture
def ask(cache: TokenCache, clock: Time) -> Asker:
    return Asker(cache, clock)


def _refusal() -> RefusedError:
    return RefusedError(
        "the server refused the client: invalid_client",
        error="invalid_client",
        status=401,
        hint="check the client ID",
        details=("401 Unauthorized from the server",),
    )


# --- which request a token is for -----------------------------------------------------------------------------------

DIFFERENT: dict[str, Any] = {
    "the same": {},
    "client ID": {"client_id": "another"},
    "endpoint": {"token_endpoint": "https://login.example/token2"},
    "issuer": {"token_endpoint": None, "issuer": "https://login.example/token"},
    "alg": {"alg": "RS256"},
    "kid": {"kid": "RS256"},
    "aud": {"aud": URL},
    "lifetime": {"lifetime": 61},
    "iat": {"iat": True},
    "claim": {"claims": {"a": "1"}},
    "claim of another type": {"claims": {"a": 1}},
    "claim that is true": {"claims": {"a": True}},
    "claim of another name": {"claims": {"b": "1"}},
    "no scope": {"scope": ()},
    "scope": {"scope": ("openid", "full")},
    "scopes in another order": {"scope": ("full", "openid")},
    "one scope with a blank": {"scope": ("openid full",)},
    "resource": {"resource": ("https://a.example",)},
    "two resources": {"resource": ("https://a.example", "https://b.example")},
    "resources in another order": {"resource": ("https://b.example", "https://a.example")},
    "a resource twice": {"resource": ("https://a.example", "https://a.example")},
    "param": {"params": (("a", "1"),)},
    "client ID in the form": {"client_id_in_body": True},
    "param of another value": {"params": (("a", "2"),)},
    "param twice": {"params": (("a", "1"), ("a", "1"))},
    "params": {"params": (("a", "1"), ("b", "2"))},
    "params in another order": {"params": (("b", "2"), ("a", "1"))},
    "CA bundle": {"ca_bundle": Path("/ca.pem")},
}


def test_no_two_requests_that_differ_in_anything_share_a_token(ask: Asker) -> None:
    requests = {name: request_of(replace(CONFIG, **changes), KEY) for name, changes in DIFFERENT.items()}
    requests["key"] = request_of(CONFIG, b"another key")
    given = {name: ask(request) for name, request in requests.items()}
    assert len(set(given.values())) == len(requests) == ask.asked
    assert {name: ask(request) for name, request in requests.items()} == given


def test_every_part_of_a_configuration_is_a_part_of_the_request_or_changes_no_token() -> None:
    """Whoever adds a setting has to say here which of the two it is."""
    parts = {field.name for field in fields(Request)}
    settings = {field.name for field in fields(ClientConfig)}
    assert parts - settings == {"key", "way"}
    decides_none = {"private_key", "passphrase", "timeout", "allow_other_aud", "registration", "key_max_age"}
    decides_none |= {"cache_url", "cache_secret_file", "cache_password_file"}
    assert settings - parts == decides_none


def test_the_registration_decides_the_kid_and_nothing_else() -> None:
    by_registration = replace(CONFIG, registration="jwks-uri")
    assert request_of(by_registration, KEY).name == request_of(replace(CONFIG, kid="thumbprint"), KEY).name
    assert request_of(replace(CONFIG, registration="pem"), KEY).name == request_of(CONFIG, KEY).name


def test_where_the_key_is_and_how_long_one_waits_change_no_token(tmp_path: Path) -> None:
    source = KeySource("elsewhere", path=tmp_path / "elsewhere", allow_writable=True)
    other = replace(CONFIG, private_key=source, timeout=1, passphrase=lambda: b"x")
    assert request_of(other, KEY).name == request_of(CONFIG, KEY).name


def test_a_ca_bundle_is_the_same_wherever_it_is_named_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absolute = request_of(replace(CONFIG, ca_bundle=tmp_path / "ca.pem"), KEY)
    monkeypatch.chdir(tmp_path)
    assert request_of(replace(CONFIG, ca_bundle=Path("ca.pem")), KEY).name == absolute.name
    monkeypatch.chdir("/")
    assert request_of(replace(CONFIG, ca_bundle=Path("ca.pem")), KEY).name != absolute.name


@pytest.mark.posix("a folder that is in use can be removed")
def test_a_relative_ca_bundle_in_a_folder_that_is_gone_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigurationError, match="which was removed"):
        request_of(replace(CONFIG, ca_bundle=Path("ca.pem")), KEY)


def test_an_entry_in_the_place_of_another_is_not_believed(ask: Asker) -> None:
    ask()
    other = request_of(replace(CONFIG, scope=("full",)), KEY)
    Path(ask.cache.path(other.name, ".json")).write_bytes(ask.entry.read_bytes())
    assert ask(other) == "token-2"
    assert ask.warnings == [f"the cache's file {other.name[:8]}….json is broken: it is another request's"]


def test_no_repr_has_a_secret_in_it(ask: Asker) -> None:
    ask()
    entry = ask.cache.read(REQUEST.name)
    assert "token-1" not in f"{entry!r} {ask.cache!r} {REQUEST!r}"
    assert REQUEST.key not in repr(REQUEST)
    assert "token-1" not in "".join(map(repr, ask.steps))


# --- for how long ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("min_ttl", "age", "asked"),
    [
        (60, 0, 1),
        (60, 540, 1),
        (60, 541, 2),
        (0, 599, 1),
        (0, 600, 2),
        (599, 1, 1),
        (600, 0, 1),
        (600, 1, 2),
        (601, 1, 2),
    ],
)
def test_a_token_is_given_while_it_is_good_for_min_ttl(
    ask: Asker, clock: Time, min_ttl: int, age: int, asked: int
) -> None:
    ask()
    clock.passes(age)
    ask(min_ttl=min_ttl)
    assert ask.asked == asked


def test_life_is_counted_from_the_request_and_not_from_the_answer(ask: Asker, clock: Time) -> None:
    ask.takes = 25
    ask()
    clock.passes(515)
    ask()
    assert ask.asked == 1
    clock.passes(1)
    ask()
    assert ask.asked == 2


def test_what_the_cache_gives_tells_how_long_it_is_still_good(ask: Asker, clock: Time) -> None:
    first = ask.response()
    clock.passes(100.5)
    second = ask.response()
    assert second.access_token == first.access_token
    assert second.expires_at == first.expires_at
    assert (first.raw["expires_in"], second.raw["expires_in"]) == (600, 499)
    assert ask.steps == [CacheAnswered(100, 499)]


@pytest.mark.parametrize("seconds", [-3600, -61, 61, 400])
def test_a_clock_that_is_set_changes_nothing_about_how_long_a_token_is_given_too_long(
    ask: Asker, clock: Time, seconds: int
) -> None:
    ask()
    clock.is_set(seconds)
    clock.passes(541)
    ask()
    assert ask.asked == 2
    assert ask.warnings == []


@pytest.mark.parametrize(("seconds", "asked"), [(-3600, 1), (-10, 1), (10, 1), (600, 2)])
def test_a_clock_that_is_set_back_costs_no_request_and_one_set_forward_at_the_most_one(
    ask: Asker, clock: Time, seconds: int, asked: int
) -> None:
    first = ask.response()
    clock.is_set(seconds)
    clock.passes(5)
    second = ask.response()
    assert ask.asked == asked
    if asked == 1:
        # By the clock as it now is: what is left is what counts.
        assert second.access_token == first.access_token
        assert second.expires_at == int(clock.now) + (595 if seconds < 0 else 585)


def test_without_another_clock_a_clock_set_back_makes_a_token_one_of_unknown_age(ask: Asker, clock: Time) -> None:
    clock.started = ""
    ask()
    clock.is_set(-10)
    assert ask() == "token-2"
    assert [step.reason for step in ask.steps if isinstance(step, CacheSearched)] == [
        "the clock was set back, and nobody knows how long the token is good"
    ]
    clock.passes(100)
    assert ask() == "token-2"


def test_a_restart_of_the_machine_leaves_the_clock_to_count_by(ask: Asker, clock: Time) -> None:
    ask()
    clock.started, clock.up = "another start", 3.0
    clock.is_set(539)
    assert ask() == "token-1"
    clock.is_set(2)
    assert ask() == "token-2"


def test_a_fresh_token_can_be_asked_for(ask: Asker, clock: Time) -> None:
    ask()
    clock.passes(1)
    assert ask(force_refresh=True) == "token-2"
    assert ask.steps == [CacheSearched("a fresh token was asked for")]
    clock.passes(1)
    assert ask() == "token-2"


def test_why_the_cache_does_not_answer_is_said(ask: Asker, clock: Time) -> None:
    def reason() -> list[Step]:
        ask()
        return ask.steps

    assert reason() == [CacheSearched("it holds no token for this request")]
    clock.passes(570)
    assert reason() == [CacheSearched("the token ends in 30 s")]
    clock.passes(700)
    assert reason() == [CacheSearched("the token has ended")]


def test_a_token_of_unknown_life_is_given_once(ask: Asker, clock: Time) -> None:
    ask.expires_in = None
    assert ask() == "token-1"
    clock.passes(0.1)
    assert ask() == "token-2"
    assert ask.steps == [CacheSearched("nobody knows how long the token is good")]


# --- refusals -------------------------------------------------------------------------------------------------------


def test_a_refusal_is_over_at_the_end_of_its_30_s() -> None:
    kept = cache_entry.KeptFailure(cache_entry.Times(1000.0, ("", 0.0), 0.0), _refusal())
    entry = cache_entry.Entry({}, failure=kept)
    assert entry.refused(1029.9) is not None
    assert entry.refused(1030.0) is None


def test_a_refusal_is_remembered_for_30_s_in_the_same_words(ask: Asker, clock: Time) -> None:
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask()
    for passed in (0.5, 19.5, 9.9):
        clock.passes(passed)
        with pytest.raises(RefusedError) as caught:
            ask()
        assert ask.asked == 1
    again, first = caught.value, _refusal()
    assert (again.message, again.hint, again.error, again.status, again.exit_code) == (
        *(first.message, first.hint, first.error, first.status),
        4,
    )
    assert again.details == (
        "401 Unauthorized from the server",
        "that was 29 s ago; not asked again, for a bank blocks addresses that fail too often",
        "to ask at once: force_refresh; otherwise wait 1 s",
    )
    clock.passes(0.2)
    ask.failure = None
    assert ask() == "token-2"


def test_a_refusal_is_counted_from_the_answer(ask: Asker, clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: clock.up)
    ask.failure, ask.takes = _refusal(), 28
    with pytest.raises(RefusedError):
        ask()
    clock.passes(29)
    with pytest.raises(RefusedError, match="invalid_client") as caught:
        ask()
    assert "that was 29 s ago" in caught.value.details[1]
    assert ask.asked == 1


def test_a_refusal_concerns_one_request_alone(ask: Asker, clock: Time) -> None:
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask()
    ask.failure = None
    assert ask(request_of(CONFIG, b"another key")) == "token-2"
    assert ask(request_of(replace(CONFIG, scope=("full",)), KEY)) == "token-3"


def test_a_fresh_token_can_be_asked_for_after_a_refusal_and_ends_its_memory(ask: Asker, clock: Time) -> None:
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask()
    ask.failure = None
    clock.passes(1)
    assert ask(force_refresh=True) == "token-2"
    assert ask() == "token-2"
    entry = ask.cache.read(REQUEST.name)
    assert entry is not None
    assert entry.failure is None


def test_a_token_that_is_still_good_survives_a_refusal(ask: Asker, clock: Time) -> None:
    ask()
    clock.passes(1)
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask(force_refresh=True)
    assert ask() == "token-1"
    assert ask.asked == 2


@pytest.mark.parametrize("seconds", [-3600, -5, 29, 31, 3600])
def test_a_clock_that_is_set_neither_prolongs_nor_ends_the_memory_of_a_refusal(
    ask: Asker, clock: Time, seconds: int
) -> None:
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask()
    clock.is_set(seconds)
    with pytest.raises(RefusedError):
        ask()
    assert ask.asked == 1
    clock.passes(30.1)
    with pytest.raises(RefusedError):
        ask()
    assert ask.asked == 2


def test_a_refusal_of_unknown_age_costs_one_more_request(ask: Asker, clock: Time) -> None:
    clock.started = ""
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask()
    clock.is_set(-100)
    for _ in range(3):
        with pytest.raises(RefusedError):
            ask()
        clock.passes(1)
    assert ask.asked == 2


def test_a_failure_that_may_pass_is_not_remembered(ask: Asker, clock: Time) -> None:
    ask.failure = UnavailableError("the server cannot answer now", retryable=True, retry_after=7)
    with pytest.raises(UnavailableError):
        ask()
    clock.passes(0.1)
    with pytest.raises(UnavailableError):
        ask()
    assert ask.asked == 2


def test_every_failure_that_is_kept_can_be_read_again(ask: Asker, clock: Time) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NetworkError)]
    assert len(kinds) == 5
    for kind in kinds:
        ask.failure = kind("it failed", details=("one",))
        with pytest.raises(kind):
            ask()
        entry = ask.cache.read(REQUEST.name)
        assert entry is not None
        assert entry.failure is not None
        assert type(entry.failure.error) is kind
        clock.passes(1)


@pytest.mark.parametrize(
    ("member", "value"), [("details", "text"), ("class", "SigningError"), ("class", "printable")]
)
def test_a_failure_of_another_kind_is_no_failure(ask: Asker, member: str, value: str) -> None:
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask()
    whole = json.loads(ask.entry.read_bytes())
    ask.entry.write_text(json.dumps(_changed(whole, ("failure", member), value)))
    with pytest.raises(ValueError, match="another kind"):
        ask.cache.read(REQUEST.name)


def test_a_fault_of_ours_is_nobody_elses(ask: Asker) -> None:
    ask.failure = SigningError("the key is damaged")
    with pytest.raises(SigningError):
        ask()
    assert _names(ask.cache.folder) == []


# --- a token that an API refused ------------------------------------------------------------------------------------


def test_a_token_that_an_api_refused_is_replaced_once(ask: Asker, clock: Time) -> None:
    assert ask() == "token-1"
    clock.passes(1)
    assert ask(not_token="token-1") == "token-2"
    assert ask.steps == [CacheSearched("an API refused the token")]
    # Who comes with the old one later has the new one at once, and so has everybody else.
    clock.passes(100)
    assert ask(not_token="token-1") == ask() == "token-2"
    assert ask.asked == 2


def test_any_other_token_that_is_good_will_do(ask: Asker) -> None:
    ask()
    assert ask(not_token="another") == "token-1"


def test_an_api_that_refuses_every_token_costs_one_request_in_30_s(ask: Asker, clock: Time) -> None:
    token = ask()
    for asked in (2, 2, 2, 3, 3, 3, 4):
        token = ask(not_token=token)
        assert ask.asked == asked
        assert ask(not_token=token) == token
        clock.passes(10.1)


def test_what_is_given_again_tells_how_long_it_is_still_good(ask: Asker, clock: Time) -> None:
    ask()
    ask(not_token="token-1")
    clock.passes(20)
    assert ask.response(not_token="token-2").raw["expires_in"] == 580
    assert ask.steps == [CacheAnswered(20, 580)]


@pytest.mark.parametrize("expires_in", [None, 30])
def test_a_renewed_token_is_given_again_though_it_lives_but_shortly(
    ask: Asker, clock: Time, expires_in: int | None
) -> None:
    ask.expires_in = expires_in
    token = ask(not_token="old")
    clock.passes(5)
    assert ask(not_token=token) == token
    assert ask.asked == 1


def test_a_renewed_token_that_has_ended_is_not_given_again(ask: Asker, clock: Time) -> None:
    ask.expires_in = 5
    token = ask(not_token="old")
    clock.passes(6)
    assert ask(not_token=token) == "token-2"


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_set_does_not_change_when_a_token_was_renewed(ask: Asker, clock: Time, seconds: int) -> None:
    ask.expires_in = 9000
    token = ask(not_token="old")
    clock.is_set(seconds)
    clock.passes(29)
    assert ask(not_token=token) == token
    clock.passes(2)
    assert ask(not_token=token) == "token-2"


def test_a_refused_token_is_not_asked_for_again_while_the_server_refuses(ask: Asker, clock: Time) -> None:
    ask()
    clock.passes(1)
    ask.failure = _refusal()
    for asked in (2, 2, 2, 3):
        with pytest.raises(RefusedError):
            ask(not_token="token-1")
        assert ask.asked == asked
        # Whoever has not heard of it is given the token, and hears it from the API.
        assert ask() == "token-1"
        clock.passes(10.1)


def test_a_refusal_comes_before_a_token_that_was_renewed_a_moment_ago(ask: Asker, clock: Time) -> None:
    token = ask(not_token="old")
    clock.passes(1)
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask(force_refresh=True)
    clock.passes(1)
    with pytest.raises(RefusedError, match="invalid_client"):
        ask(not_token=token)
    assert ask.asked == 2


def test_a_fresh_token_that_is_asked_for_is_fresh_whatever_was_renewed(ask: Asker, clock: Time) -> None:
    token = ask(not_token="old")
    clock.passes(1)
    assert ask(not_token=token, force_refresh=True) == "token-2"


def test_whoever_waits_with_a_refused_token_is_given_the_one_that_another_fetched(ask: Asker, clock: Time) -> None:
    ask()
    holder = Other(ask)
    theirs = Asker(ask.cache, clock)
    theirs.asked = 1

    def renews() -> None:
        holder.ends(lambda: theirs(not_token="token-1"))

    clock.passes(1)
    assert ask(not_token="token-1", sleep=_asks_too(ask, renews)) == "token-2"
    assert (ask.asked, theirs.asked) == (1, 2)


def test_without_a_cache_a_token_that_an_api_refused_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = token_response({"access_token": "fresh", "token_type": "Bearer"}, 0)
    monkeypatch.setattr(ClientCredentials, "fetch", lambda *_: fresh)
    assert ClientCredentials(CONFIG).obtain(None, Wanted(not_token="old")) is fresh


def test_the_flow_hands_on_which_token_an_api_refused(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientCredentials, "fetch", lambda *_: ask.fetch())
    run = Run(clock=ask.clock)
    tokens = [
        ClientCredentials(CONFIG).obtain(ask.cache, Wanted(not_token=old), run).access_token
        for old in (None, "token-1", "token-1", "token-2")
    ]
    assert tokens == ["token-1", "token-2", "token-2", "token-2"]


# --- one request ----------------------------------------------------------------------------------------------------


def _kill(lock: Lock) -> None:
    """Let go of a lock as the system does for a killed process: its file stays, but on Windows."""
    if lock._descriptor is not None:
        os.close(lock._descriptor)
        lock._descriptor = None


class Other:
    """Another process that is asking: it holds the lock until told otherwise."""

    def __init__(self, ask: Asker) -> None:
        self.ask = ask
        self.lock = Lock(str(ask.lock))
        assert self.lock.take()
        self.looks = 0

    @property
    def holds_it(self) -> bool:
        return self.lock._descriptor is not None

    def ends(self, outcome: Callable[[], object] | None = None) -> None:
        """Keep an outcome as another caller would, and end."""
        if self.holds_it:
            self.lock.free()
            if outcome is not None:
                outcome()

    def is_killed(self) -> None:
        _kill(self.lock)


@pytest.fixture
def other(ask: Asker) -> Other:
    return Other(ask)


def _asks_too(ask: Asker, after: Callable[[], object]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        ask.clock.passes(seconds)
        after()

    return sleep


@pytest.mark.parametrize("force_refresh", [False, True])
@pytest.mark.parametrize("expires_in", [600, 20, 0, None])
def test_whoever_waits_is_given_what_another_fetched_meanwhile(
    ask: Asker, other: Other, clock: Time, expires_in: int | None, *, force_refresh: bool
) -> None:
    """A token that lives for less than --min-ttl, or nobody knows how long, would not be newer if fetched again."""
    theirs = Asker(ask.cache, clock)
    theirs.expires_in = expires_in
    token = ask(sleep=_asks_too(ask, lambda: other.ends(theirs)), force_refresh=force_refresh)
    assert (token, ask.asked, theirs.asked) == ("token-1", 0, 1)
    assert WaitingForAnother(30) in ask.steps
    assert not ask.lock.exists()


@pytest.mark.parametrize("failure", [_refusal(), UnavailableError("the server cannot answer now", details=("503",))])
@pytest.mark.parametrize("force_refresh", [False, True])
def test_whoever_waits_fails_as_the_other_did(
    ask: Asker, other: Other, clock: Time, failure: BannoCredsError, *, force_refresh: bool
) -> None:
    theirs = Asker(ask.cache, clock)
    theirs.failure = failure

    def fails() -> None:
        with suppress(BannoCredsError):
            theirs()

    with pytest.raises(type(failure)) as caught:
        ask(sleep=_asks_too(ask, lambda: other.ends(fails)), force_refresh=force_refresh)
    assert vars(caught.value) == vars(failure)
    assert (ask.asked, theirs.asked) == (0, 1)


def test_a_killed_holder_frees_the_lock(ask: Asker, other: Other) -> None:
    assert ask(sleep=_asks_too(ask, other.is_killed)) == "token-1"
    assert ask.warnings == []
    assert not ask.lock.exists()


def test_a_hung_holder_gives_way_after_the_time_allowed(ask: Asker, other: Other, clock: Time) -> None:
    began = clock.now
    assert ask(patience=5) == "token-1"
    assert clock.now - began == pytest.approx(5, abs=0.1)
    assert ask.warnings == ["a process has been asking for this token for 5 s: no longer waiting for it"]
    assert not ask.lock.exists()
    other.is_killed()
    assert _names(ask.cache.folder) == [ask.entry.name]


def test_a_hung_holder_that_wakes_up_takes_no_others_lock_away(ask: Asker, other: Other) -> None:
    storage_lock.remove(str(ask.lock))  # somebody found it hung
    new = Other(ask)
    other.lock.free()
    assert ask.lock.exists()
    assert not Lock(str(ask.lock)).take()
    new.is_killed()


def test_whoever_follows_a_killed_holder_is_given_the_whole_time(ask: Asker, other: Other, clock: Time) -> None:
    """The lock file is the same, and its holder another."""
    os.utime(ask.lock, (1, 1))
    began = clock.now

    def another_follows() -> None:
        if other.holds_it and clock.now - began > 4:
            other.is_killed()
            other.lock.take()

    waits = iter([another_follows])

    def sleep(seconds: float) -> None:
        clock.passes(seconds)
        if clock.now - began > 4:
            next(waits, lambda: None)()

    ask(patience=5, sleep=sleep)
    assert clock.now - began == pytest.approx(9, abs=0.2)
    other.is_killed()


def test_of_all_who_find_a_holder_hung_one_takes_its_lock_away(ask: Asker, other: Other) -> None:
    path, hung = str(ask.lock), own_files.identity(str(ask.lock))
    assert remove_stale(path, hung)
    new = Other(ask)
    # The second one looked before, and comes too late.
    assert not remove_stale(path, hung)
    assert ask.lock.exists()
    new.is_killed()
    other.is_killed()
    assert _names(ask.cache.folder) == ([] if sys.platform == "win32" else [ask.lock.name])


def test_a_lock_that_cannot_be_taken_away_is_waited_for_twice_the_time_at_the_most(
    ask: Asker, other: Other, clock: Time
) -> None:
    turn = Lock(f"{ask.lock}.tmp")  # of a process that was stopped at the worst moment
    assert turn.take()
    began = clock.now
    assert ask(patience=5) == "token-1"
    assert clock.now - began == pytest.approx(10, abs=0.1)
    assert ask.lock.exists()
    _kill(turn)
    other.is_killed()


def _followed(ask: Asker, other: Other, seconds: float) -> Callable[[float], None]:
    """A sleep meanwhile each holder ends after so many seconds, leaves nothing behind, and is followed by another."""
    began = ask.clock.now

    def sleep(pause: float) -> None:
        nonlocal began
        ask.clock.passes(pause)
        if ask.clock.now - began >= seconds:
            began = ask.clock.now
            other.ends()
            other.lock.take()

    return sleep


@pytest.mark.parametrize(("seconds", "expected"), [(1, 3), (4, 10)])
def test_whoever_waits_for_many_that_leave_nothing_behind_asks_without_a_lock(
    ask: Asker, other: Other, clock: Time, seconds: float, expected: float
) -> None:
    """A disk may be full. Each would wait for all before it: for a few, and for twice the time, at the most."""
    began = clock.now
    assert ask(patience=5, sleep=_followed(ask, other, seconds)) == "token-1"
    assert clock.now - began == pytest.approx(expected, abs=0.2)
    assert ask.warnings == []
    other.is_killed()


def test_what_came_while_one_waited_for_the_last_time_is_taken(ask: Asker, other: Other, clock: Time) -> None:
    turn = Lock(f"{ask.lock}.tmp")
    assert turn.take()
    began = clock.now
    theirs = Asker(ask.cache, clock)

    def sleep(seconds: float) -> None:
        clock.passes(seconds)
        if clock.now - began >= 10:
            other.lock.free()
            theirs()
            other.lock.take()

    assert ask(patience=5, sleep=sleep) == "token-1"
    assert (ask.asked, theirs.asked) == (0, 1)
    _kill(turn)
    other.is_killed()


@pytest.mark.posix("flock takes an open file")
def test_a_lock_that_was_given_up_between_opening_and_locking_it_is_nobodys(
    ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may lock a new file of that name by now."""
    import fcntl

    lock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        ask.lock.unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert not Lock(str(ask.lock)).take()


def test_a_lock_is_freed_whatever_happens(ask: Asker) -> None:
    ask.failure = SigningError("the key is damaged")
    with pytest.raises(SigningError):
        ask()
    ask.failure = None
    assert ask() == "token-2"
    assert not any(isinstance(step, WaitingForAnother) for step in ask.steps)


@pytest.mark.posix("flock takes an open file")
def test_a_fault_while_locking_leaves_no_descriptor_open(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def fails(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fails)
    before = _names("/dev/fd")
    assert ask() == "token-1"
    assert _names("/dev/fd") == before
    assert ask.warnings == ["the cache cannot be locked: No locks available"]
    assert ask() == "token-1"  # it was written all the same


# --- what is broken -------------------------------------------------------------------------------------------------


def _with(**members: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | members).encode()


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "it is not JSON"),
    "cut off": (lambda content: content[: len(content) // 2], "it is not JSON"),
    "zeros, as after a power cut": (lambda content: b"\0" * len(content), "it is not JSON"),
    "an array": (lambda _: b"[]", "it is JSON, but an array"),
    "null": (lambda _: b"null", "it is JSON, but null"),
    "not UTF-8": (lambda content: content + b"\xff", "it is not UTF-8 text"),
    "huge": (lambda content: content + b" " * 5_000_000 + b"x", ""),
    "nested": (lambda _: b"[" * 100_000, ""),
    "other JSON": (lambda _: b'{"version": 2}', "it is JSON of another kind"),
    "of nobody": (_with(name=None), "it is another request's"),
}


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "huge"])
def test_a_broken_entry_is_a_warning_and_a_fresh_request_and_mended(ask: Asker, name: str) -> None:
    ask()
    make, words = BROKEN[name]
    ask.entry.write_bytes(make(ask.entry.read_bytes()))
    assert ask() == "token-2"
    [warning] = ask.warnings
    assert warning.startswith(f"the cache's file {REQUEST.name[:8]}….json is broken: {words}")
    assert ask() == "token-2"
    assert ask.warnings == []


def test_of_a_huge_entry_no_more_is_read_than_can_be_one(ask: Asker) -> None:
    ask()
    ask.entry.write_bytes(b" " * 5_000_000 + ask.entry.read_bytes())
    assert len(own_files.read(str(ask.entry))) == 4 * 1024 * 1024
    assert ask() == "token-2"
    assert len(ask.warnings) == 1


@pytest.mark.parametrize("rest", [b"", b"\0"], ids=["nothing", "zeros"])
def test_an_entry_cut_off_anywhere_is_broken(ask: Asker, monkeypatch: pytest.MonkeyPatch, rest: bytes) -> None:
    """A power cut can leave either, as nobody waits until an entry is on the disk."""
    ask()
    content = ask.entry.read_bytes()
    for length in range(len(content)):
        left = content[:length] + rest * (len(content) - length)
        monkeypatch.setattr(own_files, "read", lambda _, left=left: left)
        with pytest.raises(ValueError, match="JSON"):
            ask.cache.read(REQUEST.name)


def test_an_entry_of_another_version_is_as_none(ask: Asker) -> None:
    ask()
    ask.entry.write_bytes(_with(version=3, token="of another kind")(ask.entry.read_bytes()))
    assert ask() == "token-2"
    assert ask.warnings == []


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in _places(child, (*path, key)))]


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _changed(value[path[0]], path[1:], new)
    return copy


STRANGE: tuple[Any, ...] = (
    None,
    True,
    "nan",
    "",
    -1,
    1.5,
    10**400,
    1e308,
    [],
    ["x"],
    {},
    {"x": None},
    "re",
    "SigningError",
)


def test_an_entry_with_anything_strange_in_any_place_breaks_nothing(ask: Asker, clock: Time) -> None:
    """A token comes out all the same, and never one for longer than it lives."""
    ask()
    clock.passes(1)
    ask.failure = _refusal()
    with suppress(RefusedError):
        ask(force_refresh=True)
    ask.failure = None
    whole = json.loads(ask.entry.read_bytes())
    assert whole["token"]
    assert whole["failure"]
    clock.passes(100)
    broken, believed = [], []
    for place in _places(whole):
        for new in STRANGE:
            content = json.dumps(_changed(whole, place, new)).encode()
            try:
                entry = cache_entry.read(REQUEST.name, content)
            except ValueError:
                broken.append(content)
            else:
                assert entry is None or all(isinstance(text, str) for text in entry.about["scope"])
                believed.append(content)
    assert len(broken) + len(believed) > 300
    # A broken entry is replaced, whatever is wrong with it: a few of them are enough.
    for content in (*believed, *broken[::20]):
        ask.entry.write_bytes(content)
        with suppress(RefusedError):
            response = ask.response()
            assert response.access_token
            assert response.expires_in is None or response.raw["expires_in"] >= 60


@pytest.mark.parametrize("place", [("token", "began"), ("token", "up", 1), ("token", "took"), ("failure", "began")])
def test_a_number_that_is_none_is_no_time(ask: Asker, place: tuple[Any, ...]) -> None:
    """``float("nan")`` is greater than nothing and less than nothing: such a token would be good for ever."""
    ask()
    whole = json.loads(ask.entry.read_bytes())
    whole["failure"] = whole["failure"] or whole["token"] | {
        "class": "NetworkError",
        "message": "m",
        "hint": None,
        "details": [],
    }
    ask.entry.write_text(json.dumps(_changed(whole, place, "nan")))
    with pytest.raises(ValueError, match="another kind"):
        ask.cache.read(REQUEST.name)


def test_an_entry_from_the_future_is_not_good_for_longer_than_a_token(ask: Asker, clock: Time) -> None:
    ask()
    whole = json.loads(ask.entry.read_bytes())
    whole["token"] |= {"began": clock.now + 1e9, "up": [clock.started, clock.up + 1e9]}
    ask.entry.write_text(json.dumps(whole))
    assert ask() == "token-2"


NOT_FILES = pytest.mark.posix("links are made by everybody, and pipes have names")


@pytest.mark.parametrize(
    "what",
    [*(pytest.param(each, marks=NOT_FILES) for each in ("link", "dangling link", "FIFO")), "folder"],
)
@pytest.mark.parametrize("of", ["entry", "lock"])
def test_what_is_no_file_of_ours_is_a_warning_and_hangs_nobody(
    ask: Asker, tmp_path: Path, what: str, of: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    if what != "dangling link":
        ask()
        elsewhere.write_bytes(ask.entry.read_bytes())
        ask.entry.unlink()
    path = ask.entry if of == "entry" else ask.lock
    before = elsewhere.read_bytes() if elsewhere.exists() else None
    if what == "FIFO":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(elsewhere)
    asked = ask.asked
    assert ask() == f"token-{asked + 1}"
    [warning] = ask.warnings
    on_windows = sys.platform == "win32"
    words = {
        ("folder", "entry"): "Permission denied" if on_windows else "no file",
        ("folder", "lock"): "denied" if on_windows else "Is a directory",
        ("FIFO", "entry"): "no file",
        ("FIFO", "lock"): "no file",
    }
    assert str(path) in warning
    assert words.get((what, of), "is a link") in warning
    assert (elsewhere.read_bytes() if elsewhere.exists() else None) == before
    if what != "folder":
        # A link or a pipe is replaced by what belongs there.
        ask()
        assert ask.asked == asked + 1


@pytest.mark.posix("a file's owner is a number")
@pytest.mark.parametrize("of", ["entry", "lock"])
def test_what_another_user_owns_is_refused(ask: Asker, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    ask()
    path = ask.entry if of == "entry" else ask.lock
    if of == "lock":
        ask.entry.unlink()
        path.touch(0o600)
    if os.geteuid() == 0:
        os.chown(path, 54321, 54321)
    else:
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert ask() == "token-2"
    assert ask.warnings[0].endswith(f"{path} belongs to another user")


@pytest.mark.posix("a mode says who may do what")
@pytest.mark.parametrize("of", ["entry", "lock"])
def test_a_looser_mode_is_tightened(ask: Asker, of: str) -> None:
    other = Other(ask)
    other.is_killed()
    ask()
    ask.entry.chmod(0o666)
    if of == "lock":
        ask.lock.touch()
        ask.lock.chmod(0o644)
        ask.entry.unlink()
        modes: list[int] = []

        def fetch() -> TokenResponse:
            modes.append(ask.lock.stat().st_mode & 0o777)
            return ask.fetch()

        ask.cache.obtain(REQUEST, fetch, Wanted(), Run(clock=ask.clock), patience=30)
        assert modes == [0o600]
    else:
        assert ask() == "token-1"
    assert ask.entry.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_behind_for_ever(ask: Asker, clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", clock)
    folder, other = Path(ask.cache.folder), "0" * 64

    def left(name: str, age: float) -> Path:
        path = folder / name
        path.touch()
        os.utime(path, (clock.now - age,) * 2)
        return path

    unfinished = ".1.0123456789ab.tmp"
    temporary = [left(f"{other}.json{unfinished}", 3601), left(f"{other}.answer{unfinished}", -3700)]
    broken = left(f"{other[1:]}a.answer", 0)
    ended = [left(f"{other}.lock", 3601), left(f"{other}.answer", 3601), left(f"{other}.json", 3601)]
    young = [left(f"{'1' * 64}{suffix}", 3000) for suffix in (".lock", f".json{unfinished}")]
    foreign = [left(name, 9999) for name in ("notes.json", "x.tmp", f"{other[1:]}.json", f"{other}.foo.json")]
    ask.expires_in = 5000
    long_lived = request_of(replace(CONFIG, scope=("long",)), KEY)
    ask(long_lived)
    os.utime(ask.cache.path(long_lived.name, ".json"), (clock.now - 3601,) * 2)
    ask.cache = TokenCache(str(folder))  # another run's
    ask()
    assert [path for path in (*temporary, *ended, broken) if path.exists()] == []
    assert [path for path in (*young, *foreign) if not path.exists()] == []
    assert ask(long_lived) == "token-1"


def test_many_tokens_in_a_row_do_not_look_at_each_others_files_each_time(
    ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    listdir = os.listdir

    def counting(folder: str) -> list[str]:
        looks.append(folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", counting)
    for number in range(20):
        ask(request_of(replace(CONFIG, scope=(f"number-{number}",)), KEY))
    once = len(looks)
    assert once <= 3
    started = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: started + 11)  # a process that goes on for long looks again
    ask()
    assert once < len(looks) <= 2 * once


# --- where it is ----------------------------------------------------------------------------------------------------


def test_the_cache_is_opened_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "a" / "b"))
    cache = open_cache()
    assert cache is not None
    assert cache.folder == str(tmp_path / "a" / "b")
    assert all(has_mode(path, 0o700) for path in (tmp_path / "a", tmp_path / "a" / "b"))


def test_without_a_home_there_is_no_cache_and_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "cache_folder", lambda: None)
    steps: list[Step] = []
    assert open_cache(Run(steps.append)) is None
    assert steps == [Warned("there is no home folder, and so no cache", token_cache._GO_ON)]


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "file" / "cache"))
    steps: list[Step] = []
    assert open_cache(Run(steps.append)) is None
    [warning] = steps
    assert isinstance(warning, Warned)
    assert warning.message.startswith(f"the cache cannot be used: {tmp_path / 'file'}")


@pytest.mark.posix("a folder that is in use can be removed")
def test_a_relative_folder_in_a_folder_that_is_gone_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", "cache")
    steps: list[Step] = []
    assert open_cache(Run(steps.append)) is None
    message = "the cache cannot be used: cache: No such file or directory"
    assert steps == [Warned(message, token_cache._GO_ON)]


def test_root_in_another_users_home_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise own_files.OthersHomeError(None, f"{tmp_path} belongs to another user")

    monkeypatch.setattr(own_files, "make_folder", refuse)
    steps: list[Step] = []
    assert open_cache(Run(steps.append)) is None
    message = f"the cache cannot be used: {tmp_path} belongs to another user"
    assert steps == [Warned(message, token_cache._GO_ON_AS_ROOT)]


def test_what_cannot_be_written_is_a_warning(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert ask() == "token-1"
    assert ask.warnings == ["the cache cannot be written: No space left on device"]
    assert _names(ask.cache.folder) == []


def test_no_caller_waits_until_an_entry_is_on_the_disk(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(_: int) -> None:
        raise OSError(5, "the disk was waited for")

    monkeypatch.setattr(os, "fsync", waits)
    assert ask() == "token-1"
    assert ask.warnings == []


# --- list and clear -------------------------------------------------------------------------------------------------


def test_entries_are_the_caches_own_alone(ask: Asker) -> None:
    ask()
    folder = Path(ask.cache.folder)
    (folder / "package.json").write_text("{}")
    (folder / f"{'0' * 64}.json").write_text("{}")
    assert {name: entry is not None for name, entry in ask.cache.entries().items()} == {
        "0" * 64: False,
        REQUEST.name: True,
    }


def test_clear_removes_what_is_the_caches_and_nothing_else(ask: Asker) -> None:
    ask()
    folder = Path(ask.cache.folder)
    for name in ("package.json", f"{'0' * 64}.answer", f"{'0' * 64}.lock", f"{'0' * 64}.json.1.{'a' * 12}.tmp"):
        (folder / name).touch()
    assert ask.cache.clear() == 1
    assert _names(folder) == ["package.json"]
    assert ask() == "token-2"


def test_clear_does_not_mind_that_another_was_quicker(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", lambda _: [f"{'0' * 64}.json"])
    assert ask.cache.clear() == 0


def test_a_failure_that_an_older_version_kept_is_given_again(ask: Asker, clock: Time) -> None:
    """It had a hint with the doctor's command in it, and did not say that the doctor can tell."""
    ask.failure = _refusal()
    with pytest.raises(RefusedError):
        ask()
    members = json.loads(ask.entry.read_bytes())
    del members["failure"]["doctor_can_tell"]
    members["failure"]["hint"] = "find out: banno-creds doctor"
    ask.entry.write_text(json.dumps(members))
    clock.passes(1)
    with pytest.raises(RefusedError) as caught:
        ask()
    assert (ask.asked, caught.value.hint) == (1, "find out: banno-creds doctor")
