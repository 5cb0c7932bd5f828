"""The Python API: its names, the token source under threads, tasks and forks, and the auth for httpx."""

from __future__ import annotations

import ast
import asyncio
import copy
import dataclasses
import inspect
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import types
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import httpx
import pytest
import respx

import banno_creds
from banno_creds import (
    BannoCredsError,
    BearerAuth,
    ClientConfig,
    ConfigurationError,
    KeyLoadError,
    KeySource,
    NetworkError,
    RefusedError,
    TokenResponse,
    TokenSource,
    UnavailableError,
    UnusableAnswerError,
    Warned,
)
from banno_creds.sandbox import Client, Sandbox
from banno_creds.steps import CacheAnswered, TokenRequested
from banno_creds.storage import own_files
from banno_creds.tokens import token_source as token_source_module
from tests.conftest import CLIENT_ID, write_private
from tests.profiles.files import quoted, write
from tests.servers.loopback import LoopbackServer, Request, Says
from tests.servers.token_bank import CANARY, TokenBank

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from banno_creds import Step
    from banno_creds.jose.keys import PrivateKey

NOW = 1_795_000_000
ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "python.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", DOCS + README, re.MULTILINE | re.DOTALL)

BACKENDS = [
    "asyncio",
    pytest.param(
        "trio",
        marks=[
            pytest.mark.skipif(find_spec("trio") is None, reason="trio is not installed"),
            pytest.mark.no_wine("trio does not start: WinError 10045"),
        ],
    ),
]
on_each_backend = pytest.mark.parametrize("backend", BACKENDS)


INVALID_CLIENT = Says(401, b'{"error": "invalid_client"}')
UNAVAILABLE = Says(503, b"")


@pytest.fixture
def bank() -> Iterator[TokenBank]:
    with TokenBank() as running:
        yield running


class Clock:
    """The wall's clock, which a test can set."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    # The disk's own clock, which nobody sets, goes with it: what these tests let pass is time.
    monkeypatch.setattr(own_files, "uptime", lambda: ("this start", clock.now))
    return clock


class Make(Protocol):
    """Makes token sources for the bank; without a disk, unless it is asked for."""

    def __call__(
        self, *, on_disk: bool = False, emit: Callable[[Step], None] | None = ..., **more: Any
    ) -> TokenSource: ...


@pytest.fixture
def config(bank: TokenBank, ec_pem: Path) -> ClientConfig:
    return ClientConfig(CLIENT_ID, KeySource("the key", path=ec_pem), token_endpoint=f"{bank.origin}/token")


@pytest.fixture
def make(config: ClientConfig, clock: Clock) -> Make:
    def made(*, on_disk: bool = False, emit: Any = lambda _: None, **more: Any) -> TokenSource:
        return TokenSource(config, on_disk=on_disk, emit=emit, clock=clock, sleep=lambda _: None, **more)

    return made


def _together(number: int, work: Callable[[], Any]) -> list[Any]:
    """Do something in so many threads at once; what each returned or raised."""
    ready = threading.Barrier(number)

    def one(_: int) -> Any:
        ready.wait(60)
        try:
            return work()
        except BannoCredsError as failure:
            return failure

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def _waiting_for_their_turn() -> int:
    """How many threads are in `TokenSource._ask` and no further: all but the one that asks."""
    return sum(frame.f_code.co_name == "_ask" for frame in sys._current_frames().values())


def _wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what other threads are about to do, though not for ever."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)


def _open_when_waiting(bank: TokenBank, number: int) -> None:
    """Let the bank answer once so many wait for the one that asks; or at once, where more than one asks."""
    _wait_for(lambda: _waiting_for_their_turn() >= number or bank.attempts > 1)
    bank.gate.set()


# --- the names ---


def _run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


SIGNATURES = {
    "BannoCredsError": "(message: 'str', *, hint: 'str | None' = None, details: 'tuple[str, ...]' = (), "
    "rule: 'str | None' = None) -> 'None'",
    "BearerAuth": "(source: 'TokenSource', *, origin: 'str' = 'https://banno.com') -> 'None'",
    "ClientConfig": "(client_id: 'str', private_key: 'KeySource', passphrase: 'Callable[[], bytes | None]' = F, "
    "token_endpoint: 'str | None' = 'https://login.jackhenry.com/a/oidc-provider/api/v0/token', "
    "issuer: 'str | None' = None, alg: 'str | None' = None, kid: 'str | None' = None, aud: 'str | None' = None, "
    "lifetime: 'int' = 60, iat: 'bool' = False, claims: 'Mapping[str, Any]' = <factory>, "
    "scope: 'tuple[str, ...]' = ('openid',), resource: 'tuple[str, ...]' = (), "
    "params: 'tuple[tuple[str, str], ...]' = (), timeout: 'float' = 30.0, ca_bundle: 'Path | None' = None, "
    "client_id_in_body: 'bool' = False, allow_other_aud: 'bool' = False, "
    "registration: 'str | None' = None, key_max_age: 'str | None' = None, cache_url: 'str | None' = None, "
    "cache_secret_file: 'Path | None' = None, cache_password_file: 'Path | None' = None) -> None",
    "KeySource": "(origin: 'str', path: 'Path | None' = None, content: 'bytes | None' = None, "
    "allow_writable: 'bool' = False, uri: 'str | None' = None) -> None",
    "KeySource.at": "(place: 'str | Path') -> 'KeySource'",
    "KeySource.file": "(path: 'str | Path') -> 'KeySource'",
    "NetworkError": "(message: 'str', *, retryable: 'bool' = False, retry_after: 'float | None' = None, "
    "hint: 'str | None' = None, details: 'tuple[str, ...]' = (), rule: 'str | None' = None) -> 'None'",
    "RefusedError": "(message: 'str', *, error: 'str | None', status: 'int', description: 'str' = '', "
    "hint: 'str | None' = None, "
    "details: 'tuple[str, ...]' = (), rule: 'str | None' = None) -> 'None'",
    "TokenPool": "(clients: 'Iterable[str] | Mapping[str, ClientConfig] | None' = None, *, "
    "tags: 'Iterable[str]' = (), file: 'Location | None' = None, jobs: 'int' = 8, rate: 'float' = 10.0, "
    "give_up_after: 'int' = 5, on_disk: 'bool' = True, min_ttl: 'int' = 60, emit: 'Emit | None' = None, "
    "clock: 'Clock' = F, sleep: 'Callable[[float], None]' = F) -> 'None'",
    "TokenPool.close": "(self) -> 'None'",
    "TokenPool.names": "property",
    "TokenPool.source": "(self, name: 'str') -> 'TokenSource'",
    "TokenResponse": "(access_token: 'str', token_type: 'str', expires_in: 'int | None', scope: 'str | None', "
    "requested_at: 'int', raw: 'Mapping[str, Any]', secrets: 'Secrets' = ()) -> None",
    "TokenResponse.expires_at": "property",
    "TokenResponse.members": "property",
    "TokenSource": "(config: 'ClientConfig', *, on_disk: 'bool' = True, min_ttl: 'int' = 60, "
    "emit: 'Emit | None' = None, clock: 'Clock' = F, sleep: 'Callable[[float], None]' = F) -> 'None'",
    "TokenSource.async_token": "(self, *, force_refresh: 'bool' = False) -> 'TokenResponse'",
    "TokenSource.invalidate": "(self, access_token: 'str') -> 'None'",
    "TokenSource.token": "(self, *, force_refresh: 'bool' = False) -> 'TokenResponse'",
    "Warned": "(message: 'str', hint: 'str | None' = None)",
}
FOR_HTTPX = ("BearerAuth.auth_flow", "BearerAuth.sync_auth_flow", "BearerAuth.async_auth_flow")
LIKE_THEIR_BASE = {
    "BannoCredsError": ("ConfigurationError", "KeyLoadError", "NotAskedError", "PassphraseError", "SigningError"),
    "NetworkError": ("TimedOutError", "UnavailableError", "UntrustedServerError", "UnusableAnswerError"),
}


def _signature(value: Any) -> str:
    if isinstance(value, property):
        return "property"
    text = re.sub(r"ForwardRef\((.*?)\)", r"\1", str(inspect.signature(value)))  # a named tuple's annotation
    return re.sub(r"<(function .*? at \w+|built-in function \w+)>", "F", text)


def test_the_public_names_and_their_signatures_are_these() -> None:
    found = {}
    for name in set(banno_creds.__all__) - {"Step", "__version__"}:
        value = getattr(banno_creds, name)
        found[name] = _signature(value)
        if name in ("BearerAuth", "KeySource", "TokenPool", "TokenResponse", "TokenSource"):
            for member in vars(value):
                it = getattr(value, member)  # a class method as it is called
                if not member.startswith("_") and (callable(it) or isinstance(it, property)):
                    found[f"{name}.{member}"] = _signature(it)
    for name in FOR_HTTPX:
        assert found.pop(name).startswith("(self, request: 'httpx.Request')")
    expected = dict(SIGNATURES)
    for base, branches in LIKE_THEIR_BASE.items():
        expected |= dict.fromkeys(branches, SIGNATURES[base])
    assert found == expected
    assert isinstance(banno_creds.Step, types.UnionType)


def test_every_public_name_can_be_seen_and_is_documented() -> None:
    assert banno_creds.__all__ == sorted(banno_creds.__all__, key=lambda name: (name == "__version__", name))
    assert banno_creds.__all__ == eval(_run("import banno_creds as b; print([n for n in b.__all__ if n in dir(b)])"))
    namespace: dict[str, Any] = {}
    exec("from banno_creds import *", namespace)
    assert set(banno_creds.__all__) <= set(namespace)
    for name in set(banno_creds.__all__) - {"Step", "__version__"}:
        assert len(inspect.getdoc(getattr(banno_creds, name)) or "") > 30, name


def test_type_checkers_see_the_very_same_names() -> None:
    package = Path(banno_creds.__file__).parent
    assert (package / "py.typed").is_file()
    tree = ast.parse((package / "__init__.py").read_text("utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {(node.module, alias.name) for node in imports for alias in node.names}
    assert {name for _, name in seen} == set(banno_creds.__all__) - {"__version__"}
    for module, name in seen:
        assert getattr(sys.modules[str(module)], name) is getattr(banno_creds, name)


def test_an_unknown_name_is_an_attribute_error_as_anywhere() -> None:
    with pytest.raises(AttributeError, match=r"^module 'banno_creds' has no attribute 'TokenSauce'$"):
        _ = banno_creds.TokenSauce  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="TokenSauce"):
        exec("from banno_creds import TokenSauce")
    exec("from banno_creds import times")  # a module of the package is none of these names, and found


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys; before = {*sys.modules}; import banno_creds; print({*sys.modules} - before)"
    assert _run(program) == "{'banno_creds'}\n"


def test_the_names_load_nothing_heavy_before_there_is_something_to_do() -> None:
    names = sorted(set(banno_creds.__all__) - {"BearerAuth", "TokenResponse"})
    heavy = ("anyio", "click", "cryptography", "httpx", "jwt", "rich")
    program = (
        f"import sys\nfrom banno_creds import {', '.join(names)}\nfrom pathlib import Path\n"
        "TokenSource(ClientConfig('a', KeySource('k', path=Path('k'))))\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert _run(program) == "[]\n"


# --- one token, for as long as it is good ---


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
@pytest.mark.parametrize(
    ("later", "min_ttl", "requests"),
    [(0, 60, 1), (540, 60, 1), (541, 60, 2), (599, 0, 1), (600, 0, 2), (300, 300, 1), (301, 300, 2)],
)
def test_a_token_is_given_again_while_it_has_min_ttl_left(
    bank: TokenBank, make: Make, clock: Clock, on_disk: bool, later: int, min_ttl: int, requests: int
) -> None:
    source = make(on_disk=on_disk, min_ttl=min_ttl)
    first = source.token()
    clock.now += later
    second = source.token()
    assert bank.attempts == requests
    assert (second.access_token == first.access_token) == (requests == 1)
    assert (first.requested_at, first.expires_at) == (NOW, NOW + 600)
    assert second.access_token == bank.tokens[-1]


def test_another_source_finds_the_token_on_disk(bank: TokenBank, make: Make, clock: Clock) -> None:
    first = make(on_disk=True).token()
    clock.now += 100
    assert make(on_disk=True).token().access_token == first.access_token
    assert bank.attempts == 1


def test_without_the_disk_nothing_is_kept_there(bank: TokenBank, make: Make, tmp_path: Path) -> None:
    home = Path(os.environ["HOME"])
    before = sorted(home.rglob("*"))
    make().token()
    make().token()
    assert bank.attempts == 2
    assert sorted(home.rglob("*")) == before


def test_a_cache_that_cannot_be_is_warned_of_once_and_done_without(
    bank: TokenBank, make: Make, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "file"))
    steps: list[Step] = []
    source = make(on_disk=True, emit=steps.append)
    source.token()
    clock.now += 1000
    source.token()
    assert bank.attempts == 2
    assert len([step for step in steps if isinstance(step, Warned) and "cache" in step.message]) == 1


def test_a_clock_that_was_set_back_makes_the_token_in_memory_unusable(
    bank: TokenBank, make: Make, clock: Clock
) -> None:
    source = make()
    source.token()
    clock.now -= 1
    source.token()
    assert bank.attempts == 2


def test_a_clock_that_was_set_back_by_less_than_the_age_does_not_lengthen_life(
    bank: TokenBank, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = [1000.0]
    monkeypatch.setattr(token_source_module, "time", types.SimpleNamespace(monotonic=lambda: steady[0]))
    source = make()
    source.token()
    steady[0] += 540
    clock.now += 100  # and was set back by 440 s
    source.token()
    assert bank.attempts == 1
    steady[0] += 1
    source.token()
    assert bank.attempts == 2


def test_a_token_of_unknown_life_is_not_kept(bank: TokenBank, make: Make) -> None:
    bank.expires_in = None
    source = make()
    assert source.token().expires_at is None
    source.token()
    assert bank.attempts == 2


@pytest.mark.parametrize("min_ttl", [-1, 24 * 3600 + 1])
def test_a_min_ttl_that_cannot_be_meant_is_refused(make: Make, min_ttl: int) -> None:
    with pytest.raises(ConfigurationError, match=f"(?m)^min_ttl must be 0 to 86400 s, not {min_ttl} s$"):
        make(min_ttl=min_ttl)


# --- many callers, one request ---


def test_fifty_threads_make_one_request(bank: TokenBank, make: Make) -> None:
    source = make()
    bank.gate.clear()
    with ThreadPoolExecutor(1) as opener:
        opener.submit(_open_when_waiting, bank, 49)
        responses = _together(50, source.token)
    assert {response.access_token for response in responses} == {bank.tokens[0]}
    assert bank.attempts == 1


@pytest.mark.parametrize(
    ("answer", "error", "attempts"), [(INVALID_CLIENT, RefusedError, 1), (UNAVAILABLE, UnavailableError, 3)]
)
def test_a_failure_is_that_of_all_who_waited_for_it(
    bank: TokenBank, make: Make, answer: Says, error: type[BannoCredsError], attempts: int
) -> None:
    source = make()
    bank.refusals = [answer] * 60
    bank.gate.clear()
    with ThreadPoolExecutor(1) as opener:
        opener.submit(_open_when_waiting, bank, 19)
        failures = _together(20, source.token)
    assert bank.attempts == attempts
    assert {type(failure) for failure in failures} == {error}
    assert len({(failure.message, failure.hint, failure.details, str(failure)) for failure in failures}) == 1
    assert len({id(failure) for failure in failures}) == 20  # each with a traceback of its own
    bank.refusals.clear()
    assert source.token(force_refresh=True).access_token == bank.tokens[0]


def test_a_failure_of_the_network_is_nobodys_who_comes_later(bank: TokenBank, config: ClientConfig) -> None:
    pauses: list[float] = []
    source = TokenSource(config, on_disk=False, sleep=pauses.append)
    bank.refusals = [UNAVAILABLE] * 3
    with pytest.raises(UnavailableError):
        source.token()
    assert len(pauses) == 2
    assert source.token().access_token == bank.tokens[0]


def test_an_interrupted_caller_leaves_the_asking_to_those_who_wait(bank: TokenBank, make: Make) -> None:
    interrupt = [True]
    outcomes: list[object] = []

    def emit(step: Step) -> None:
        if isinstance(step, TokenRequested) and interrupt:
            interrupt.clear()
            _wait_for(lambda: _waiting_for_their_turn() == 1)
            raise KeyboardInterrupt

    source = make(emit=emit)

    def work() -> None:
        try:
            outcomes.append(source.token().access_token)
        except KeyboardInterrupt:
            outcomes.append(None)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes == [None, bank.tokens[0]]
    assert bank.attempts == 1


def test_a_key_that_cannot_be_read_is_an_error_and_no_request(bank: TokenBank, make: Make, ec_pem: Path) -> None:
    ec_pem.unlink()
    with pytest.raises(KeyLoadError):
        make().token()
    assert bank.attempts == 0


FORK = """
import os, sys, threading
from pathlib import Path
from banno_creds import ClientConfig, KeySource, TokenSource

config = ClientConfig("a", KeySource("k", path=Path(sys.argv[1])), token_endpoint=sys.argv[2])
source = TokenSource(config, on_disk=sys.argv[3] == "disk")
threading.Thread(target=source.token, daemon=True).start()
sys.stdin.readline()  # the thread has the lock, and waits for the server
child = os.fork()
if child == 0:
    print("forked", flush=True)
    print(source.token().access_token, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.posix("processes fork")
@pytest.mark.parametrize(("kept", "requests"), [("in memory", 2), ("disk", 1)])
def test_a_forked_child_does_not_wait_for_its_parents_thread(
    bank: TokenBank, ec_pem: Path, kept: str, requests: int
) -> None:
    bank.gate.clear()
    arguments = [sys.executable, "-W", "ignore", "-c", FORK, str(ec_pem), f"{bank.origin}/token", kept]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert bank.arrived.wait(60)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("fork\n")
            process.stdin.flush()
            assert process.stdout.readline() == "forked\n"
            bank.gate.set()
            stdout, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert stdout.startswith(CANARY)
    assert process.returncode == 0
    assert bank.attempts == requests


# --- refusals, and tokens that an API refused ---


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_a_refusal_is_remembered_for_30_seconds(bank: TokenBank, make: Make, clock: Clock, on_disk: bool) -> None:
    source = make(on_disk=on_disk)
    bank.refusals = [INVALID_CLIENT]
    with pytest.raises(RefusedError) as first:
        source.token()
    clock.now += 12
    with pytest.raises(RefusedError) as again:
        source.token()
    assert again.value.message == first.value.message
    assert again.value.hint == first.value.hint
    assert (again.value.error, again.value.status) == ("invalid_client", 401)
    assert again.value.details == (
        *first.value.details,
        "that was 12 s ago; not asked again, for a bank blocks addresses that fail too often",
        "to ask at once: force_refresh=True; otherwise wait 18 s",
    )
    clock.now += 17.5
    with pytest.raises(RefusedError):
        source.token()
    assert bank.attempts == 1
    clock.now += 1.5 if on_disk else 0.5  # the disk counts from the answer, by a clock that nobody sets too
    assert source.token().access_token == bank.tokens[0]


def test_a_clock_that_was_set_back_forgets_the_refusal(bank: TokenBank, make: Make, clock: Clock) -> None:
    source = make()
    bank.refusals = [INVALID_CLIENT]
    with pytest.raises(RefusedError):
        source.token()
    clock.now -= 1
    assert source.token().access_token == bank.tokens[0]


def test_a_refusal_of_another_process_is_not_remembered_for_longer_than_there(
    bank: TokenBank, make: Make, clock: Clock
) -> None:
    bank.refusals = [INVALID_CLIENT]
    with pytest.raises(RefusedError):
        make(on_disk=True).token()
    source = make(on_disk=True)
    clock.now += 29
    with pytest.raises(RefusedError):
        source.token()
    clock.now += 2
    assert source.token().access_token == bank.tokens[0]


@pytest.mark.parametrize("how", ["token", "async_token"])
def test_force_refresh_is_not_content_with_what_another_thread_finds_on_disk(
    bank: TokenBank, make: Make, clock: Clock, how: str
) -> None:
    make(on_disk=True).token()
    clock.now += 1
    started = threading.Event()

    def emit(step: Step) -> None:
        if isinstance(step, CacheAnswered):
            started.set()
            _wait_for(lambda: _waiting_for_their_turn() == 1)

    source = make(on_disk=True, emit=emit)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(source.token)
        assert started.wait(60)
        if how == "token":
            forced = source.token(force_refresh=True)
        else:
            forced = anyio.run(lambda: source.async_token(force_refresh=True))
    assert [other.result().access_token, forced.access_token] == bank.tokens
    assert len(bank.tokens) == 2


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_force_refresh_asks_in_spite_of_a_refusal_and_of_a_token(
    bank: TokenBank, make: Make, clock: Clock, on_disk: bool
) -> None:
    source = make(on_disk=on_disk)
    bank.refusals = [INVALID_CLIENT]
    with pytest.raises(RefusedError):
        source.token()
    clock.now += 1
    assert source.token(force_refresh=True).access_token == bank.tokens[0]
    clock.now += 1
    assert source.token(force_refresh=True).access_token == bank.tokens[1]
    assert source.token().access_token == bank.tokens[1]


def test_a_forced_refresh_that_fails_takes_no_token_away(bank: TokenBank, make: Make) -> None:
    source = make()
    first = source.token()
    bank.refusals = [INVALID_CLIENT]
    with pytest.raises(RefusedError):
        source.token(force_refresh=True)
    assert source.token() == first


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_an_invalidated_token_is_replaced_once_whoever_reports_it(
    bank: TokenBank, make: Make, clock: Clock, on_disk: bool
) -> None:
    source = make(on_disk=on_disk)
    old = source.token().access_token
    clock.now += 1
    new = set()
    for _ in range(50):
        source.invalidate(old)
        new.add(source.token().access_token)
    assert new == {bank.tokens[1]}
    assert bank.attempts == 2


def test_a_newer_token_of_another_process_replaces_an_invalidated_one(
    bank: TokenBank, make: Make, clock: Clock
) -> None:
    source, other = make(on_disk=True), make(on_disk=True)
    old = source.token().access_token
    assert other.token().access_token == old
    clock.now += 1
    for each in (source, other):
        each.invalidate(old)
        assert each.token().access_token == bank.tokens[1]
    assert bank.attempts == 2


def test_sources_of_two_processes_replace_one_token_for_one_another_once(
    bank: TokenBank, make: Make, clock: Clock
) -> None:
    sources = [make(on_disk=True) for _ in range(3)]
    for _ in range(2):
        for each in sources:  # an API that refuses every token
            each.invalidate(each.token().access_token)
            each.token()
    assert bank.attempts == 2
    clock.now += 31
    for each in sources:
        each.invalidate(each.token().access_token)
        each.token()
    assert bank.attempts == 3


def test_a_refused_replacement_is_remembered_in_other_processes_too(
    bank: TokenBank, make: Make, clock: Clock
) -> None:
    sources = [make(on_disk=True) for _ in range(3)]
    tokens = {each.token().access_token for each in sources}
    clock.now += 1
    bank.refusals = [INVALID_CLIENT] * 9
    for each in sources:
        each.invalidate(*tokens)
        with pytest.raises(RefusedError, match="invalid_client"):
            each.token()
    assert bank.attempts == 2


def test_a_replacement_is_not_replaced_for_30_seconds(bank: TokenBank, make: Make, clock: Clock) -> None:
    source = make()
    source.invalidate("before there is any")
    source.invalidate(source.token().access_token)
    replacement = source.token()
    for _ in range(3):
        source.invalidate(replacement.access_token)
        assert source.token() == replacement
    clock.now += 30
    source.invalidate(replacement.access_token)
    assert source.token() != replacement
    assert bank.attempts == 3


def test_a_server_that_gives_the_refused_token_again_is_not_asked_for_ever(bank: TokenBank, make: Make) -> None:
    bank.same_token = True
    source = make()
    for _ in range(5):
        source.invalidate(source.token().access_token)
    assert bank.attempts == 2


def test_an_old_tokens_late_refusal_changes_nothing(bank: TokenBank, make: Make) -> None:
    source = make()
    old = source.token().access_token
    source.token(force_refresh=True)
    source.invalidate(old)
    latest = source.token(force_refresh=True)
    source.invalidate(latest.access_token)  # counts, for what it refuses is no replacement
    assert source.token() != latest
    assert bank.attempts == 4


def test_a_refusal_is_forgotten_once_there_was_a_token(bank: TokenBank, make: Make) -> None:
    source = make()
    bank.refusals = [INVALID_CLIENT]
    with pytest.raises(RefusedError):
        source.token()
    source.invalidate(source.token(force_refresh=True).access_token)
    assert source.token().access_token == bank.tokens[1]


def test_a_failed_replacement_does_not_bring_the_refused_token_back(
    bank: TokenBank, make: Make, clock: Clock
) -> None:
    source = make(on_disk=True)
    source.invalidate(source.token().access_token)
    clock.now += 1
    bank.refusals = [UNAVAILABLE] * 3
    with pytest.raises(UnavailableError):
        source.token()
    clock.now += 1
    assert source.token().access_token == bank.tokens[1]


# --- tasks ---


async def _arrival(bank: TokenBank) -> None:
    """Wait for a token request in the event loop: were it blocked, it would learn of none."""
    with anyio.fail_after(30):
        while not bank.arrived.is_set():  # noqa: ASYNC110 - set in another thread
            await anyio.sleep(0.001)


@on_each_backend
def test_many_tasks_make_one_request_and_the_loop_goes_on(bank: TokenBank, make: Make, backend: str) -> None:
    source = make()
    bank.gate.clear()
    responses: list[TokenResponse] = []

    async def ask() -> None:
        responses.append(await source.async_token())

    async def open_gate() -> None:
        await _arrival(bank)
        bank.gate.set()

    async def main() -> None:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(200):
                    group.start_soon(ask)
                group.start_soon(open_gate)

    anyio.run(main, backend=backend)
    assert Counter(response.access_token for response in responses) == {bank.tokens[0]: 200}
    assert bank.attempts == 1


@on_each_backend
def test_a_hundred_tasks_take_one_thread(make: Make, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make()
    threads = 0
    run_sync = anyio.to_thread.run_sync

    async def counted(*args: Any, **more: Any) -> Any:
        nonlocal threads
        threads += 1
        return await run_sync(*args, **more)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(source.async_token)

    monkeypatch.setattr("anyio.to_thread.run_sync", counted)
    anyio.run(main, backend=backend)
    assert threads == 1


@on_each_backend
def test_the_token_in_memory_takes_no_thread(make: Make, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make()
    expected = source.token()
    monkeypatch.setattr("anyio.to_thread.run_sync", None)
    assert anyio.run(source.async_token, backend=backend) == expected


@on_each_backend
def test_force_refresh_and_failures_are_the_same_for_tasks(bank: TokenBank, make: Make, backend: str) -> None:
    source = make()
    bank.gate.clear()
    bank.refusals = [UNAVAILABLE] * 60
    failures: list[BannoCredsError] = []

    async def ask() -> None:
        try:
            await source.async_token(force_refresh=True)
        except UnavailableError as failure:
            failures.append(failure)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask)
            await anyio.to_thread.run_sync(bank.arrived.wait, 30)
            bank.gate.set()

    anyio.run(main, backend=backend)
    assert bank.attempts == 3
    assert len({id(failure) for failure in failures}) == 20

    bank.refusals.clear()
    source.token()

    async def forced() -> TokenResponse:
        return await source.async_token(force_refresh=True)

    assert anyio.run(forced, backend=backend).access_token == bank.tokens[1]


@on_each_backend
@pytest.mark.parametrize("cancelled", ["the one that asks", "one that waits"])
def test_cancelling_one_task_takes_nothing_from_the_others(
    bank: TokenBank, make: Make, backend: str, cancelled: str
) -> None:
    source = make()
    bank.gate.clear()
    responses: list[TokenResponse] = []
    scopes: list[anyio.CancelScope] = []

    async def ask() -> None:
        responses.append(await source.async_token())

    async def ask_and_be_cancelled() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await ask()

    async def main() -> None:
        tasks = [ask_and_be_cancelled, ask, ask]
        if cancelled == "one that waits":
            tasks.reverse()
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for task in tasks:
                    group.start_soon(task)
                    await anyio.wait_all_tasks_blocked()
                await _arrival(bank)
                scopes[0].cancel()
                await anyio.wait_all_tasks_blocked()
                bank.gate.set()

    anyio.run(main, backend=backend)
    assert scopes[0].cancelled_caught
    assert Counter(response.access_token for response in responses) == {bank.tokens[0]: 2}
    assert bank.attempts == 1


@on_each_backend
def test_several_loops_and_threads_share_one_request(bank: TokenBank, make: Make, backend: str) -> None:
    source = make()
    bank.gate.clear()
    numbers = iter(range(10))

    async def five() -> set[str]:
        tokens: set[str] = set()

        async def ask() -> None:
            tokens.add((await source.async_token()).access_token)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        return tokens

    def work() -> set[str]:
        if next(numbers) % 2:
            return anyio.run(five, backend=backend)
        return {source.token().access_token}

    with ThreadPoolExecutor(1) as opener:
        opener.submit(_open_when_waiting, bank, 9)
        results = _together(10, work)
    assert all(tokens == {bank.tokens[0]} for tokens in results)
    assert bank.attempts == 1


def test_asyncio_cancels_its_tasks_at_its_own_end_too(bank: TokenBank, make: Make) -> None:
    source = make()
    bank.gate.clear()

    async def main() -> None:
        task = asyncio.create_task(source.async_token())
        await asyncio.to_thread(bank.arrived.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        bank.gate.set()

    asyncio.run(main())
    assert source.token().access_token == bank.tokens[0]
    assert bank.attempts == 1


# --- httpx ---


class Send(Protocol):
    """Sends one request with an auth, by one of httpx's clients."""

    def __call__(self, auth: httpx.Auth, method: str, url: str, **more: Any) -> httpx.Response: ...


@pytest.fixture(params=["sync", *BACKENDS])
def send(request: pytest.FixtureRequest) -> Send:
    backend: str = request.param

    def sync(auth: httpx.Auth, method: str, url: str, **more: Any) -> httpx.Response:
        with httpx.Client(auth=auth, verify=False) as client:
            return client.request(method, url, **more)

    def by_tasks(auth: httpx.Auth, method: str, url: str, **more: Any) -> httpx.Response:
        async def main() -> httpx.Response:
            async with httpx.AsyncClient(auth=auth, verify=False) as client:
                return await client.request(method, url, **more)

        return anyio.run(main, backend=backend)

    return sync if backend == "sync" else by_tasks


@pytest.fixture
def elsewhere() -> Iterator[respx.MockRouter]:
    """Servers under any name, in this process; those on loopback are real."""
    with respx.mock as router:
        router.route(host="127.0.0.1").pass_through()
        yield router


def _authorizations(bank: TokenBank) -> list[str | None]:
    return [authorization for _, _, authorization, _ in bank.calls]


def test_requests_carry_the_token_and_a_new_one_before_it_ends(
    bank: TokenBank, make: Make, clock: Clock, send: Send
) -> None:
    auth = BearerAuth(make(), origin=bank.origin)
    for later in (0, 540, 1):
        clock.now += later
        assert send(auth, "GET", f"{bank.origin}/users").status_code == 200
    assert _authorizations(bank) == [f"Bearer {bank.tokens[number]}" for number in (0, 0, 1)]
    assert bank.attempts == 2


@pytest.mark.parametrize(
    "body",
    [{}, {"json": {"a": 1}}, {"content": b"bytes"}, {"data": {"a": "1"}}],
    ids=["none", "json", "bytes", "form"],
)
def test_after_a_401_the_very_same_request_is_sent_once_more(
    bank: TokenBank, make: Make, send: Send, body: dict[str, Any]
) -> None:
    source = make()
    auth = BearerAuth(source, origin=bank.origin)
    old = source.token().access_token
    bank.is_taken = lambda token: token != old
    assert send(auth, "POST", f"{bank.origin}/transfers", **body).status_code == 200
    first, second = bank.calls
    assert (first[:2], first[3]) == (second[:2], second[3]) == (("POST", "/transfers"), first[3])
    assert bool(first[3]) == bool(body)
    assert _authorizations(bank) == [f"Bearer {old}", f"Bearer {bank.tokens[1]}"]
    assert bank.attempts == 2


def test_a_second_401_is_the_answer_and_the_next_one_takes_no_new_token(
    bank: TokenBank, make: Make, clock: Clock, send: Send
) -> None:
    bank.is_taken = lambda _: False
    auth = BearerAuth(make(), origin=bank.origin)
    assert send(auth, "GET", f"{bank.origin}/users").status_code == 401
    assert (len(bank.calls), bank.attempts) == (2, 2)
    assert send(auth, "GET", f"{bank.origin}/users").status_code == 401
    assert (len(bank.calls), bank.attempts) == (3, 2)
    clock.now += 31
    assert send(auth, "GET", f"{bank.origin}/users").status_code == 401
    assert (len(bank.calls), bank.attempts) == (5, 3)


def test_other_errors_of_the_api_are_left_alone(
    bank: TokenBank, make: Make, send: Send, elsewhere: respx.MockRouter
) -> None:
    users = elsewhere.get("https://api.example/users").respond(403, json={"errorCode": 40})
    assert (
        send(BearerAuth(make(), origin="https://api.example"), "GET", "https://api.example/users").status_code == 403
    )
    assert (users.call_count, bank.attempts) == (1, 1)


@pytest.mark.parametrize("kind", ["sync", *BACKENDS])
def test_fifty_requests_that_meet_the_same_401_take_one_new_token(bank: TokenBank, make: Make, kind: str) -> None:
    source = make()
    auth = BearerAuth(source, origin=bank.origin)
    old = source.token().access_token
    everybody = threading.Barrier(50)
    taken_back = bank.api

    def api(request: Request) -> Says:
        if request.token == old:
            everybody.wait(60)  # all have the old token before the first learns that it is refused
        return taken_back(request)

    bank.api = api  # type: ignore[method-assign]
    bank.is_taken = lambda token: token != old
    statuses: list[int] = []
    if kind == "sync":
        with httpx.Client(auth=auth, limits=httpx.Limits(max_connections=50)) as client:
            statuses += [each.status_code for each in _together(50, lambda: client.get(f"{bank.origin}/users"))]
    else:

        async def main() -> None:
            async with httpx.AsyncClient(auth=auth, limits=httpx.Limits(max_connections=50)) as client:

                async def get() -> None:
                    statuses.append((await client.get(f"{bank.origin}/users")).status_code)

                async with anyio.create_task_group() as group:
                    for _ in range(50):
                        group.start_soon(get)

        anyio.run(main, backend=kind)
    assert statuses == [200] * 50
    assert Counter(_authorizations(bank)) == {f"Bearer {old}": 50, f"Bearer {bank.tokens[1]}": 50}
    assert bank.attempts == 2


@on_each_backend
def test_the_loop_goes_on_while_a_request_waits_for_its_token(bank: TokenBank, make: Make, backend: str) -> None:
    auth = BearerAuth(make(), origin=bank.origin)
    bank.gate.clear()
    bank.is_taken = lambda token: token == f"{CANARY}-2"
    statuses: list[int] = []

    async def get() -> None:
        async with httpx.AsyncClient(auth=auth) as client:
            statuses.append((await client.get(f"{bank.origin}/users")).status_code)

    async def open_gate_twice() -> None:
        for number in (1, 2):
            await _arrival(bank)
            bank.arrived.clear()
            bank.gate.set()
            with anyio.fail_after(30):
                while len(bank.tokens) < number:  # noqa: ASYNC110 - set in another thread
                    await anyio.sleep(0.001)
            bank.gate.clear()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(get)
            group.start_soon(open_gate_twice)

    anyio.run(main, backend=backend)
    assert statuses == [200]
    assert bank.attempts == 2


def _generator() -> Iterator[bytes]:
    yield b"once"


async def _async_generator() -> AsyncIterator[bytes]:
    yield b"once"


@pytest.mark.parametrize("body", ["generator", "file", "multipart"])
def test_a_body_that_can_be_read_once_is_sent_once(
    bank: TokenBank, make: Make, send: Send, tmp_path: Path, body: str, request: pytest.FixtureRequest
) -> None:
    source = make()
    auth = BearerAuth(source, origin=bank.origin)
    old = source.token().access_token
    bank.is_taken = lambda token: token != old
    is_sync = "sync" in request.node.callspec.params["send"][:4]
    (tmp_path / "body").write_bytes(b"once")
    with (tmp_path / "body").open("rb") as file:
        generator: Any = _generator() if is_sync else _async_generator()
        more: dict[str, Any] = {"content": generator}
        if body == "multipart":
            more = {"files": {"a": file}}
        elif body == "file" and is_sync:  # httpx has no asynchronous files
            more = {"content": file}
        assert send(auth, "POST", f"{bank.origin}/upload", **more).status_code == 401
    [(*_, sent)] = bank.calls
    assert b"once" in sent
    assert send(auth, "GET", f"{bank.origin}/users").status_code == 200
    assert _authorizations(bank) == [f"Bearer {old}", f"Bearer {bank.tokens[1]}"]


def test_a_stream_that_was_read_beforehand_is_sent_again(bank: TokenBank, make: Make) -> None:
    source = make()
    old = source.token().access_token
    bank.is_taken = lambda token: token != old
    with httpx.Client(auth=BearerAuth(source, origin=bank.origin)) as client:
        request = client.build_request("POST", f"{bank.origin}/upload", content=_generator())
        request.read()
        assert client.send(request).status_code == 200
    assert [body for *_, body in bank.calls] == [b"once", b"once"]


@pytest.mark.parametrize(
    ("origin", "url", "named"),
    [
        (None, "https://banno.com.example/", "https://banno.com.example"),
        (None, "https://www.banno.com/", "https://www.banno.com"),
        (None, "http://banno.com/", "http://banno.com"),
        (None, "https://banno.com:8443/", "https://banno.com:8443"),
        (None, "https://banno.com@elsewhere.example/", "https://elsewhere.example"),
        (None, "http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("http://[::1]:1", "http://[::1]:2/", "http://[::1]:2"),
        ("https://BANNO.com:443/", "https://banno.co/", "https://banno.co"),
    ],
)
def test_a_request_to_another_origin_is_an_error_and_nothing_is_sent(
    bank: TokenBank, make: Make, send: Send, origin: str | None, url: str, named: str
) -> None:
    auth = BearerAuth(make()) if origin is None else BearerAuth(make(), origin=origin)
    with pytest.raises(ConfigurationError) as caught:
        send(auth, "GET", url)
    ours = "http://[::1]:1" if origin == "http://[::1]:1" else "https://banno.com"
    assert caught.value.message == f"the token is only for {ours}, and the request goes to {named}"
    assert caught.value.hint is not None
    assert (bank.attempts, bank.calls) == (0, [])


@pytest.mark.parametrize("url", ["https://banno.com/a", "https://BANNO.COM:443/a", "https://banno.com"])
def test_the_same_origin_may_be_written_otherwise(bank: TokenBank, make: Make, url: str) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200)

    with httpx.Client(auth=BearerAuth(make()), transport=httpx.MockTransport(answer)) as client:
        client.get(url)
    assert seen == [f"Bearer {bank.tokens[0]}"]


@pytest.mark.parametrize(
    "origin",
    [
        "http://banno.com",
        "banno.com",
        "https://banno.com/a",
        "https://banno.com?a",
        "https://banno.com/?",
        "https://user:canary@banno.com",
        "https://1.2.3.999",
        "ftp://banno.com",
        "",
    ],
)
def test_an_origin_that_cannot_be_meant_is_refused(make: Make, origin: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BearerAuth(make(), origin=origin)
    assert caught.value.message.startswith("the API's origin ")
    assert caught.value.hint
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 401])
def test_a_redirect_elsewhere_goes_without_the_token(
    bank: TokenBank, make: Make, send: Send, elsewhere: respx.MockRouter, status: int
) -> None:
    bank.location = "https://elsewhere.example/here"
    other = elsewhere.get(bank.location).respond(status)
    auth = BearerAuth(make(), origin=bank.origin)
    response = send(auth, "GET", f"{bank.origin}/elsewhere", follow_redirects=True)
    assert (response.status_code, str(response.url)) == (status, bank.location)
    [call] = other.calls
    assert not any(CANARY in value for value in call.request.headers.values())
    assert "authorization" not in call.request.headers
    assert bank.attempts == 1  # another server's 401 says nothing of the token


def test_a_redirect_within_the_origin_keeps_the_token(bank: TokenBank, make: Make, send: Send) -> None:
    bank.location = "/here"
    auth = BearerAuth(make(), origin=bank.origin)
    assert send(auth, "GET", f"{bank.origin}/elsewhere", follow_redirects=True).status_code == 200
    assert _authorizations(bank) == [f"Bearer {bank.tokens[0]}"] * 2


def test_a_token_of_another_type_is_not_sent_as_bearer(bank: TokenBank, make: Make, send: Send) -> None:
    bank.token_type = "DPoP"
    with pytest.raises(UnusableAnswerError, match="of the type DPoP"):
        send(BearerAuth(make(), origin=bank.origin), "GET", f"{bank.origin}/users")
    assert bank.calls == []


def test_a_refusal_comes_out_of_the_request(bank: TokenBank, make: Make, send: Send) -> None:
    bank.refusals = [INVALID_CLIENT]
    auth = BearerAuth(make(), origin=bank.origin)
    for _ in range(3):
        with pytest.raises(RefusedError):
            send(auth, "GET", f"{bank.origin}/users")
    assert (bank.attempts, bank.calls) == (1, [])


# --- what is logged, and what never is ---


def _logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    records = [record for record in caplog.records if record.name == "banno_creds"]
    assert {record.levelno for record in records} <= {logging.DEBUG, logging.WARNING}
    return [record.getMessage() for record in records if record.levelno == level]


def test_warnings_are_logged_and_nothing_is_printed(
    bank: TokenBank,
    config: ClientConfig,
    ec_pem: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ec_pem.write_bytes(b"\n" + ec_pem.read_bytes())
    bank.token_type = ""
    bank.expires_in = None
    caplog.set_level(logging.WARNING)
    TokenSource(dataclasses.replace(config, scope=("openid",))).token()
    assert _logged(caplog, logging.WARNING) == [
        "the answer names no token_type, and Bearer was expected",
        "the answer does not say in expires_in how long the token lives",
    ]
    assert _logged(caplog, logging.DEBUG) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.posix("a mode says who may do what")
def test_a_warning_is_logged_with_its_hint(
    config: ClientConfig, ec_pem: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ec_pem.chmod(0o644)
    TokenSource(config).token()
    [warning] = _logged(caplog, logging.WARNING)
    assert warning == f"others can read {ec_pem} (mode 0644); chmod 600 {ec_pem}"


def test_a_server_that_echoes_the_signature_does_not_get_it_logged(
    config: ClientConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "banno_creds")
    signatures: list[str] = []

    def echo(request: Request) -> Says:
        """Refuse in words that hold the assertion's signature."""
        signature = request.body.decode().rpartition(".")[2]
        signatures.append(signature)
        body = json.dumps({"error": signature, "error_description": signature}).encode()
        return Says(400, body, {"x-request-id": signature}, reason=f"No {signature}")

    with LoopbackServer(echo) as server, pytest.raises(RefusedError) as caught:
        TokenSource(dataclasses.replace(config, token_endpoint=server.url), on_disk=False).token()
    [signature] = signatures
    left_out = "(left out: the server echoes the assertion)"
    assert f"reason='{left_out}'" in caplog.text
    assert f"request_id='{left_out}'" in caplog.text
    assert caught.value.error == left_out
    assert not any(signature[i : i + 16] in caplog.text + str(vars(caught.value)) for i in range(len(signature) - 15))


def test_steps_are_logged_for_who_wants_them_without_claims_and_forms(
    bank: TokenBank, config: ClientConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    TokenSource(config, on_disk=False, clock=lambda: NOW).token()
    steps = [re.sub(r"seconds=[\d.e-]+", "seconds=N", step) for step in _logged(caplog, logging.DEBUG)]
    assert steps == [
        "KeyLoaded(origin='the key', alg='ES256')",
        "AssertionBuilt()",
        "AssertionSigned()",
        f"TokenRequested(url='{bank.origin}/token', attempt=1)",
        "AnswerReceived(status=200, reason='OK', seconds=N, request_id=None)",
        f"TokenReceived(expires_at={NOW + 600}, scope=None)",
    ]


def test_no_repr_log_or_error_shows_a_token(
    bank: TokenBank, config: ClientConfig, caplog: pytest.LogCaptureFixture, send: Send
) -> None:
    caplog.set_level(0)  # httpx and httpcore at DEBUG too
    source = TokenSource(config, on_disk=True, sleep=lambda _: None)
    auth = BearerAuth(source, origin=bank.origin)
    bank.is_taken = lambda _: False
    response = send(auth, "POST", f"{bank.origin}/users", json={})
    token = source.token()
    bank.refusals = [Says(401, json.dumps({"error": "invalid_client", "error_description": "no"}).encode())]
    with pytest.raises(RefusedError) as refused:
        source.token(force_refresh=True)
    with pytest.raises(ConfigurationError) as elsewhere:
        send(auth, "GET", "https://elsewhere.example/")
    shown = [
        repr(each) for each in (source, auth, token, config, response, response.request, response.request.headers)
    ]
    shown += [repr(error.value) + str(vars(error.value)) for error in (refused, elsewhere)]
    shown += [record.getMessage() + repr(record.args) for record in caplog.records]
    assert len(shown) > 20
    assert len(bank.tokens) == 2
    for text in shown:
        assert CANARY not in text
        assert "eyJ" not in text  # nor an assertion


# --- the documentation is true ---


def test_the_documentation_is_a_session_that_runs(
    bank: TokenBank,
    rsa_key: PrivateKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocks = [block for block in BLOCKS if "def test_" not in block]
    assert len(blocks) == len(BLOCKS) - 1 == 7
    private_pem = write_private(tmp_path / "private.pem", rsa_key.pem())
    profile = f'[profiles.live]\nclient_id = "{CLIENT_ID}"\nprivate_key = {quoted(private_pem)}\n'
    monkeypatch.chdir(tmp_path)
    client = Client(
        CLIENT_ID, rsa_key.public.pem().decode(), ("openid", "https://jackhenry.com/consumer-user-search")
    )
    bank.is_taken = lambda token: token.count(".") == 2
    namespace: dict[str, Any] = {}
    with Sandbox([client], log=lambda _: None) as sandbox:
        write(f'{profile}token_endpoint = "{sandbox.token_endpoint}"\n')
        for block in blocks:
            program = block.replace("private_key=", f"token_endpoint={sandbox.token_endpoint!r}, private_key=")
            program = re.sub(r"BearerAuth\((.*?)\)\) as", rf"BearerAuth(\1, origin={bank.origin!r})) as", program)
            exec(compile(program.replace("https://banno.com", bank.origin), "docs/python.md", "exec"), namespace)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"openid https://jackhenry.com/consumer-user-search {namespace['response'].expires_at}",
        "live openid",
        "Bearer",
        "200",
        "200",
    ]
    [(method, path, authorization, _), (_, readmes_path, _, _)] = bank.calls
    assert readmes_path == "/a/example/api/v0/things"
    assert (method, path.endswith("/users?limit=1")) == ("GET", True)
    assert authorization == f"Bearer {namespace['response'].access_token}"


def test_the_test_of_the_documentation_passes_and_sees_the_token() -> None:
    [block] = [block for block in BLOCKS if "def test_" in block]
    namespace: dict[str, Any] = {}
    exec(compile(block, "docs/python.md", "exec"), namespace)
    namespace["test_first_user"]()
    # It would notice a request without the token.
    namespace["BearerAuth"] = lambda _: None
    with pytest.raises(KeyError, match="authorization"):
        namespace["test_first_user"]()


def test_every_class_that_the_documentation_names_is_public() -> None:
    named = set(re.findall(r"\b[A-Z]\w+Error\b|\bTokenSource\b|\bBearerAuth\b|\bWarned\b", DOCS))
    assert named <= set(banno_creds.__all__)
    errors = {name for name in banno_creds.__all__ if name.endswith("Error")}
    assert errors <= named


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("cannot be meant", hint="change it", details=("a line",)),
        RefusedError("refused", error="invalid_client", status=401, hint="look", details=("401",)),
        NetworkError("away", retryable=True, retry_after=2.0),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
    "again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"]
)
def test_an_error_can_be_copied_and_sent_to_another_process(
    error: BannoCredsError, again: Callable[[BannoCredsError], BannoCredsError]
) -> None:
    other = again(error)
    assert other is not error
    assert type(other) is type(error)
    assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize("name", ["scope", "resource"])
def test_one_text_where_several_belong_is_not_taken_for_its_letters(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"(?m)^{name} is one text, and has to be a tuple of texts$"):
        ClientConfig(CLIENT_ID, KeySource.file("private.pem"), **{name: "openid"})  # type: ignore[arg-type]
