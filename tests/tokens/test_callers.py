"""The Python API under its callers: wrong types, pickles, forks, signals, hooks, odd processes."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

import banno_creds
from banno_creds import (
    BannoCredsError,
    BearerAuth,
    ClientConfig,
    ConfigurationError,
    KeySource,
    NetworkError,
    RefusedError,
    TokenResponse,
    TokenSource,
    Warned,
)
from tests.conftest import CLIENT_ID
from tests.servers.loopback import Says
from tests.servers.token_bank import CANARY, TokenBank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = KeySource.file("private.pem")
CONFIG = ClientConfig(CLIENT_ID, KEY)
RESPONSE = TokenResponse("a-token", "Bearer", 600, "openid", 1_795_000_000, {"access_token": "a-token"})
posix = pytest.mark.posix("processes fork, and SIGALRM interrupts them")


@pytest.fixture
def bank() -> Iterator[TokenBank]:
    with TokenBank() as running:
        yield running


def _source(bank: TokenBank, pem: Path, *, on_disk: bool = False, **more: Any) -> TokenSource:
    config = ClientConfig(CLIENT_ID, KeySource("the key", path=pem), token_endpoint=f"{bank.origin}/token")
    return TokenSource(config, on_disk=on_disk, emit=lambda _: None, **more)


# --- wrong types ---

WRONG: tuple[Any, ...] = (
    *(None, 5, 5.5, True, b"x", "x", "", Path("x"), [], (), {}, {1: 2}, {"a": object()}, {"a": float("nan")}),
    *([1], (("a",),), (("a", 1),), object(), lambda: None, "\ud800", 10**400, 10**5000, float("nan"), CONFIG, KEY),
)
MADE: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "ClientConfig": (ClientConfig, {f.name: None for f in dataclasses.fields(ClientConfig)}),
    "KeySource": (KeySource, {f.name: None for f in dataclasses.fields(KeySource)}),
    "ClientConfig.from_profile": (ClientConfig.from_profile, {"name": None, "file": None}),
    "KeySource.file": (KeySource.file, {"path": None}),
    "TokenSource": (TokenSource, dict.fromkeys(("config", "on_disk", "min_ttl", "emit", "clock", "sleep"))),
    "BearerAuth": (BearerAuth, dict.fromkeys(("source", "origin"))),
    "invalidate": (TokenSource(CONFIG).invalidate, {"access_token": None}),
    "TokenResponse": (TokenResponse, {f.name: None for f in dataclasses.fields(TokenResponse)}),
}
GOOD: dict[str, dict[str, Any]] = {
    "ClientConfig": {"client_id": CLIENT_ID, "private_key": KEY},
    "KeySource": {"origin": "a"},
    "ClientConfig.from_profile": {"name": "live"},
    "KeySource.file": {},
    "TokenSource": {"config": CONFIG},
    "BearerAuth": {"source": TokenSource(CONFIG)},
    "invalidate": {},
    "TokenResponse": {f.name: getattr(RESPONSE, f.name) for f in dataclasses.fields(RESPONSE)},
}


@pytest.mark.parametrize(("made", "name"), [(made, name) for made, (_, names) in MADE.items() for name in names])
def test_a_wrong_type_is_an_error_of_ours_or_none(made: str, name: str) -> None:
    make = MADE[made][0]
    for value in WRONG:
        with contextlib.suppress(ConfigurationError):
            make(**{**GOOD[made], name: value})


ERRORS = [
    kind
    for name in banno_creds.__all__
    if isinstance(kind := getattr(banno_creds, name), type) and issubclass(kind, BannoCredsError)
]


def _error(kind: type[BannoCredsError], **values: Any) -> BannoCredsError:
    more = {"error": "invalid_client", "status": 401} if kind is RefusedError else {}
    return kind(**{"message": "it failed", **more, **values})


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_can_be_made_of_anything(kind: type[BannoCredsError]) -> None:
    for name in ("message", "hint", "details"):
        for value in WRONG[:16]:
            error = _error(kind, **{name: value})
            assert (str(error), repr(error), error.hint, error.fields) is not None
            assert all(isinstance(line, str) for line in error.details)


NAMED: list[tuple[str, Callable[[], object], str]] = [
    ("client_id", lambda: ClientConfig(5, KEY), "client_id has to be str, not int"),  # type: ignore[arg-type]
    ("private_key", lambda: ClientConfig("a", b"PEM"), "private_key has to be KeySource, not bytes"),  # type: ignore[arg-type]
    ("private_key", lambda: ClientConfig("a", Path("k")), "private_key has to be KeySource, not PosixPath"),  # type: ignore[arg-type]
    ("passphrase", lambda: ClientConfig("a", KEY, passphrase="hunter2"), "passphrase has to be a function, not str"),  # type: ignore[arg-type]
    ("kid", lambda: ClientConfig("a", KEY, kid=5), "kid has to be str or None, not int"),  # type: ignore[arg-type]
    ("scope", lambda: ClientConfig("a", KEY, scope=None), "scope has to be tuple or list, not NoneType"),  # type: ignore[arg-type]
    ("scope", lambda: ClientConfig("a", KEY, scope=(b"a",)), "scope has to be str, not bytes"),  # type: ignore[arg-type]
    ("params", lambda: ClientConfig("a", KEY, params=(("a", 1),)), "params has to be pairs of texts"),  # type: ignore[arg-type]
    ("claims", lambda: ClientConfig("a", KEY, claims={"a": b"x"}), "claims cannot be JSON"),
    ("lifetime", lambda: ClientConfig("a", KEY, lifetime="60"), "lifetime has to be int, not str"),  # type: ignore[arg-type]
    ("timeout", lambda: ClientConfig("a", KEY, timeout="5"), "timeout has to be int or float, not str"),  # type: ignore[arg-type]
    ("ca_bundle", lambda: ClientConfig("a", KEY, ca_bundle="ca.pem"), "ca_bundle has to be Path or None, not str"),  # type: ignore[arg-type]
    ("path", lambda: KeySource("k", path="private.pem"), "path has to be Path or None, not str"),  # type: ignore[arg-type]
    ("content", lambda: KeySource("k", content="PEM"), "content has to be bytes or None, not str"),  # type: ignore[arg-type]
    ("config", lambda: TokenSource("a"), "config has to be ClientConfig, not str"),  # type: ignore[arg-type]
    ("min_ttl", lambda: TokenSource(CONFIG, min_ttl="60"), "min_ttl has to be int, not str"),  # type: ignore[arg-type]
    ("source", lambda: BearerAuth(CONFIG), "source is no TokenSource"),  # type: ignore[arg-type]
    ("origin", lambda: BearerAuth(TokenSource(CONFIG), origin=b"https://a"), "origin has to be str, not bytes"),  # type: ignore[arg-type]
    (
        "access_token",
        lambda: TokenSource(CONFIG).invalidate(RESPONSE),  # type: ignore[arg-type]
        "access_token has to be str, not TokenResponse",
    ),
    ("token_endpoint", lambda: ClientConfig("a", KEY, token_endpoint=None), "neither token_endpoint nor issuer"),
]


@pytest.mark.parametrize(("name", "make", "message"), NAMED, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(NAMED)])
def test_the_error_names_the_argument_and_not_its_value(name: str, make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert message.replace("PosixPath", type(Path()).__name__) in str(caught.value)
    assert name in str(caught.value)
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("given", ["a passphrase", 5, bytearray(b"abc")])
def test_a_passphrase_of_the_wrong_type_is_named(bank: TokenBank, encrypted: KeySource, given: Any) -> None:
    config = ClientConfig(CLIENT_ID, encrypted, passphrase=lambda: given, token_endpoint=f"{bank.origin}/token")
    with pytest.raises(
        ConfigurationError, match=rf"(?m)^passphrase has to be bytes or None, not {type(given).__name__}$"
    ):
        TokenSource(config, on_disk=False).token()


@pytest.fixture
def encrypted(ec_key: Any) -> KeySource:
    return KeySource("the store", content=ec_key.pem(b"opens it"))


# --- copies and pickles ---


def _passphrase() -> bytes:
    return b"opens it"


AS_LISTS: Any = {"scope": ["a", "b"], "params": [("a", "b")]}
LISTS = ClientConfig(CLIENT_ID, KEY, passphrase=_passphrase, claims={"a": [1]}, **AS_LISTS)
AGAIN = [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
again = pytest.mark.parametrize("again", AGAIN, ids=["copy", "deepcopy", "pickle"])


@again
@pytest.mark.parametrize(
    "value",
    [
        CONFIG,
        LISTS,
        KEY,
        KeySource("the store", content=b"a key"),
        RESPONSE,
        Warned("a", "b"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_equal_to_their_copies_and_have_a_hash(value: Any, again: Callable[[Any], Any]) -> None:
    other = again(value)
    assert other == value
    assert type(other) is type(value)
    assert hash(other) == hash(value)
    assert repr(other) == repr(value)


@again
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_keeps_its_fields(kind: type[BannoCredsError], again: Callable[[Any], Any]) -> None:
    more = {"retryable": True, "retry_after": 2.5} if issubclass(kind, NetworkError) else {}
    error = _error(kind, hint="look", details=("401",), rule="network.answer", **more)
    error.add_note("a note")
    other = again(error)
    assert type(other) is kind
    assert (str(other), vars(other), other.exit_code) == (str(error), vars(error), error.exit_code)


def test_a_traceback_shows_the_hint_and_a_programs_notes() -> None:
    error = ConfigurationError("it failed", hint="mend it")
    error.add_note("a note")
    changed = error.but(hint="look").without([]).but(hint="look again")
    for shown, notes in ((error, ["Next: mend it", "a note"]), (changed, ["Next: look again", "a note"])):
        assert traceback.format_exception_only(shown)[1:] == [f"{note}\n" for note in notes]
    with pytest.raises(ConfigurationError) as caught:
        ClientConfig(CLIENT_ID, KEY, scope="openid full")  # type: ignore[arg-type]
    assert 'Next: write scope=("…",)\n' in traceback.format_exception_only(caught.value)
    assert not BannoCredsError("no hint").__notes__


def test_a_configuration_is_not_changed_by_what_it_was_made_of() -> None:
    scope, claims = ["openid"], {"a": 1}
    config = ClientConfig(CLIENT_ID, KEY, scope=scope, claims=claims)  # type: ignore[arg-type]
    scope.append("b")
    claims["b"] = 2
    assert (config.scope, config.claims) == (("openid",), {"a": 1})


@again
def test_a_copied_source_has_the_settings_and_no_token(
    bank: TokenBank, ec_pem: Path, again: Callable[[Any], Any]
) -> None:
    config = ClientConfig(CLIENT_ID, KeySource("the key", path=ec_pem), token_endpoint=f"{bank.origin}/token")
    source = TokenSource(config, on_disk=False, min_ttl=700)
    source.token()
    assert CANARY.encode() not in pickle.dumps(source)
    auth = again(BearerAuth(source, origin=bank.origin))
    with httpx.Client(auth=auth) as client:
        client.get(f"{bank.origin}/things")
        client.get(f"{bank.origin}/things")
    assert bank.attempts == 3  # its tokens are never good for 700 s, as those of the first one
    assert isinstance(again(source), TokenSource)


def test_no_pickle_holds_what_a_passphrase_returns_or_what_a_request_sent(bank: TokenBank, ec_pem: Path) -> None:
    steps: list[Any] = []
    config = ClientConfig(CLIENT_ID, KeySource("k", path=ec_pem), _passphrase, token_endpoint=f"{bank.origin}/token")
    response = TokenSource(config, on_disk=False, emit=steps.append).token()
    [assertion] = [step.client_assertion for step in steps if hasattr(step, "client_assertion")]
    pickled = pickle.dumps([config, response])
    assert b"opens it" not in pickled
    assert assertion.rpartition(".")[2].encode() not in pickled


ANOTHER_PROCESS = """
import multiprocessing, sys
from banno_creds import ClientConfig, KeySource, TokenSource

def ask(source):
    return source.token().access_token

if __name__ == "__main__":
    key, endpoint, method = sys.argv[1:]
    source = TokenSource(ClientConfig("a", KeySource.file(key), token_endpoint=endpoint))
    with multiprocessing.get_context(method).Pool(1) as pool:
        print(pool.apply(ask, (source,)))
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_source_goes_to_other_processes(bank: TokenBank, ec_pem: Path, tmp_path: Path, method: str) -> None:
    """In a program of its own: a fork of the tests' process would have its threads' locks and signal handlers."""
    program = tmp_path / "program.py"
    program.write_text(ANOTHER_PROCESS)
    arguments = [sys.executable, "-W", "ignore", str(program), str(ec_pem), f"{bank.origin}/token", method]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(CANARY)


# --- forks ---

IMPORTS = """
import asyncio, os, signal, sys, threading
from pathlib import Path
from banno_creds import ClientConfig, KeySource, TokenSource

key, endpoint, how, at = sys.argv[1:]
importing, forking = threading.Event(), threading.Event()

class Watch:
    def find_spec(self, name, *_):
        if name == at and threading.current_thread() is not threading.main_thread():
            importing.set()
            forking.wait(0.3)  # the fork begins while this module is imported

sys.meta_path.insert(0, Watch())
source = TokenSource(ClientConfig("a", KeySource.file(key), token_endpoint=endpoint), on_disk=False)
ask = source.token if how == "token" else lambda: asyncio.run(source.async_token())
thread = threading.Thread(target=ask)
thread.start()
assert importing.wait(60), at
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if ask().access_token else 1)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@posix
@pytest.mark.parametrize(
    ("how", "module"),
    [
        *(("token", f"banno_creds.{name}") for name in ("http.client", "rules.diagnosis", "tokens.cache")),
        *(("token", name) for name in ("cryptography", "httpcore")),
        *(("async_token", name) for name in ("anyio.to_thread", "anyio._backends._asyncio")),
    ],
)
def test_a_fork_while_another_thread_imports_leaves_a_child_that_works(
    bank: TokenBank, ec_pem: Path, how: str, module: str
) -> None:
    program = [sys.executable, "-W", "ignore", "-c", IMPORTS, str(ec_pem), f"{bank.origin}/token", how, module]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


MISSED = """
import os, sys
from pathlib import Path
from banno_creds import BannoCredsError, ClientConfig, KeySource, TokenSource

key, origin = sys.argv[1:]
missed = []

class Watch:
    def find_spec(self, name, *_):
        frame, names = sys._getframe(1), []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        if "_load" not in names:
            missed.append(name)

def ask(on_disk=False, **more):
    settings = {"private_key": KeySource.file(key), "token_endpoint": f"{origin}/token", **more}
    try:
        TokenSource(ClientConfig("a", **settings), on_disk=on_disk, emit=lambda _: None, sleep=lambda _: None).token()
    except BannoCredsError as error:
        print(type(error).__name__)
    else:
        print("a token")

sys.meta_path.insert(0, Watch())
ask()
ask(on_disk=True)
ask(on_disk=True)
for path in ("refused", "scope", "unavailable", "html", "latin"):
    ask(token_endpoint=f"{origin}/{path}")
ask(token_endpoint=None, issuer=origin)
ask(token_endpoint="https://localhost:1/token")
ask(token_endpoint="https://nobody.invalid/token", timeout=5)
os.environ["HTTPS_PROXY"] = "http://127.0.0.1:1"
ask(token_endpoint="https://bank.example/token")
ask(private_key=KeySource("k", content=b""), ca_bundle=Path("nowhere"))
ask(alg="ES256", kid="thumbprint", claims={"a": 1}, iat=True, ca_bundle=Path(key))
print("imported:", *missed)
"""


def test_nothing_is_imported_outside_the_place_that_forks_wait_for(bank: TokenBank, ec_pem: Path) -> None:
    class Faulty(TokenBank):
        def api(self, request: Any) -> Says:
            return {
                "/refused": Says(401, b'{"error": "invalid_client"}'),
                "/scope": Says(400, b'{"error": "invalid_scope"}'),
                "/unavailable": Says(503, b"", headers={"retry-after": "Sat, 28 Nov 2026 19:00:00 GMT"}),
                "/html": Says(200, b"<title>Sign in &amp; go on</title>", headers={"content-type": "text/html"}),
                "/latin": Says(400, b'{"error": "invalid_scope", "error_description": "\xfc"}'),
            }.get(request.path, Says(404))

    with Faulty() as bank:
        program = [sys.executable, "-c", MISSED, str(ec_pem), bank.origin]
        done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    *outcomes, last = done.stdout.splitlines()
    assert (outcomes[:4], len(outcomes)) == (["a token", "a token", "a token", "RefusedError"], 14)
    assert last == "imported:"


# --- what a caller raises itself ---


class OwnError(Exception):
    """A program's own."""


OWN = [TimeoutError, OSError, ValueError, TypeError, KeyError, RuntimeError, KeyboardInterrupt, OwnError]


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("where", ["emit", "clock", "sleep", "passphrase"])
def test_what_a_callback_raises_passes_through_and_the_source_goes_on(
    bank: TokenBank, encrypted: KeySource, where: str, kind: type[BaseException]
) -> None:
    raising = True
    own = kind("the caller's own")

    def callback(*_: object) -> Any:
        if raising:
            raise own
        return {"clock": 1_795_000_000.0, "passphrase": b"opens it"}.get(where)

    config = ClientConfig(
        CLIENT_ID,
        encrypted,
        passphrase=callback if where == "passphrase" else _passphrase,
        token_endpoint=f"{bank.origin}/token",
    )
    more: dict[str, Any] = {} if where == "passphrase" else {where: callback}
    source = TokenSource(config, on_disk=False, **more)
    bank.refusals = [Says(503)] if where == "sleep" else []
    with pytest.raises(kind) as caught:
        source.token()
    assert caught.value is own
    raising = False
    assert source.token().access_token.startswith(CANARY)


@posix
@pytest.mark.parametrize("kind", [TimeoutError, OwnError, KeyboardInterrupt], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
def test_an_alarm_while_the_server_is_silent_passes_through(
    bank: TokenBank, ec_pem: Path, kind: type[BaseException], on_disk: bool
) -> None:
    own = kind("the caller's own")

    def ring(*_: object) -> None:
        raise own

    source = _source(bank, ec_pem, on_disk=on_disk)
    bank.gate.clear()
    with _alarm(ring, 0.3), pytest.raises(kind) as caught:
        source.token()
    assert caught.value is own
    bank.gate.set()
    assert source.token().access_token.startswith(CANARY)


class _alarm:  # noqa: N801 - it is used as a function
    def __init__(self, ring: Callable[..., None], seconds: float) -> None:
        self.ring, self.seconds = ring, seconds

    def __enter__(self) -> None:
        self.before = signal.signal(signal.SIGALRM, self.ring)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)


@posix
def test_an_alarm_while_a_pipe_with_the_key_is_silent_passes_through(bank: TokenBank, tmp_path: Path) -> None:
    own = TimeoutError("the caller's own")

    def ring(*_: object) -> None:
        raise own

    os.mkfifo(tmp_path / "key.pem")
    with _alarm(ring, 0.2), pytest.raises(TimeoutError) as caught:
        _source(bank, tmp_path / "key.pem").token()
    assert caught.value is own


def test_limits_of_asyncio_and_anyio_are_theirs(bank: TokenBank, ec_pem: Path) -> None:
    async def main() -> None:
        source = _source(bank, ec_pem)
        bank.gate.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.async_token(), 0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await source.async_token()
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await source.async_token()
        with anyio.move_on_after(0.05) as scope:
            await source.async_token()
        assert scope.cancelled_caught
        bank.gate.set()
        assert (await source.async_token()).access_token.startswith(CANARY)
        assert source.token().access_token.startswith(CANARY)  # inside the running loop

    asyncio.run(main())


# --- hooks of httpx ---


def _check(response: httpx.Response) -> None:
    response.raise_for_status()


def _own(response: httpx.Response) -> None:
    if response.is_error:
        raise OwnError


def _retold(response: httpx.Response) -> None:
    try:
        response.raise_for_status()
    except httpx.HTTPStatusError:
        raise OwnError from None


HOOKS = {"raise_for_status": _check, "its own": _own, "retold": _retold}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_response_hook_that_raises_does_not_hide_the_401(
    bank: TokenBank, ec_pem: Path, hook: str, kind: str
) -> None:
    source = _source(bank, ec_pem)
    auth = BearerAuth(source, origin=bank.origin)
    refused = source.token().access_token
    bank.is_taken = lambda token: token != refused
    statuses: list[int | str] = []

    def note(call: Callable[[], httpx.Response]) -> None:
        try:
            statuses.append(call().status_code)
        except (httpx.HTTPStatusError, OwnError):
            statuses.append("raised")

    async def hook_async(response: httpx.Response) -> None:
        HOOKS[hook](response)

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(auth=auth, event_hooks={"response": [hook_async]}) as client:
            return await client.get(f"{bank.origin}/things")

    with httpx.Client(auth=auth, event_hooks={"response": [HOOKS[hook]]}) as client:
        for _ in range(3):
            note((lambda: asyncio.run(once())) if kind == "async" else (lambda: client.get(f"{bank.origin}/things")))
    assert statuses == ["raised", 200, 200]
    assert bank.attempts == 2


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_raises_for_another_reason_renews_nothing(bank: TokenBank, ec_pem: Path, hook: str) -> None:
    auth = BearerAuth(_source(bank, ec_pem), origin=bank.origin)
    app = httpx.MockTransport(lambda _: httpx.Response(404))
    with httpx.Client(auth=auth, transport=app, event_hooks={"response": [HOOKS[hook]]}) as client:
        for _ in range(2):
            with pytest.raises((httpx.HTTPStatusError, OwnError)):
                client.get(f"{bank.origin}/things")
    assert bank.attempts == 1


def test_an_auth_that_delegates_sends_the_token_and_renews_it(bank: TokenBank, ec_pem: Path) -> None:
    class Traced(httpx.Auth):
        def __init__(self, inner: httpx.Auth) -> None:
            self.inner = inner

        def auth_flow(self, request: httpx.Request) -> Any:
            request.headers["x-trace"] = "1"
            yield from self.inner.auth_flow(request)

    source = _source(bank, ec_pem)
    refused = source.token().access_token
    bank.is_taken = lambda token: token != refused
    with httpx.Client(auth=Traced(BearerAuth(source, origin=bank.origin))) as client:
        assert client.get(f"{bank.origin}/things").status_code == 200
    assert bank.attempts == 2


def test_a_connection_that_fails_renews_nothing(bank: TokenBank, ec_pem: Path) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("away")

    with httpx.Client(
        auth=BearerAuth(_source(bank, ec_pem), origin=bank.origin), transport=httpx.MockTransport(broken)
    ) as client:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                client.get(f"{bank.origin}/things")
    assert bank.attempts == 1


# --- odd processes ---

ODD = """
import asyncio, atexit, sys, threading
from banno_creds import ClientConfig, KeySource, TokenSource

key, endpoint, how = sys.argv[1:]
source = TokenSource(ClientConfig("a", KeySource.file(key), token_endpoint=endpoint), on_disk=False)
out = sys.stdout

def ask():
    out.write(source.token().access_token + "\\n")
    out.flush()

if how == "no streams":  # as under pythonw
    sys.stdin = sys.stdout = sys.stderr = sys.__stdin__ = sys.__stdout__ = sys.__stderr__ = None
    ask()
elif how == "the last thread":
    threading.Timer(0.2, ask).start()
elif how == "a loop":
    async def main():
        out.write((await source.async_token()).access_token + "\\n")
    asyncio.run(main())
else:
    ask()
"""


@pytest.mark.parametrize(
    ("flags", "how"),
    [
        (("-W", "error"), "no streams"),
        # Python 3.12.0 and 3.12.1 start no thread once the main one has ended.
        *([] if (3, 12) <= sys.version_info < (3, 12, 2) else [(("-W", "error"), "the last thread")]),
        (("-O",), "plain"),
        (("-X", "dev", "-W", "error"), "a loop"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_it_works_in_odd_processes(bank: TokenBank, ec_pem: Path, flags: tuple[str, ...], how: str) -> None:
    program = [sys.executable, *flags, "-c", ODD, str(ec_pem), f"{bank.origin}/token", how]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{CANARY}-1\n"), done.stderr


def test_a_package_that_cannot_be_imported_is_an_error_of_ours(ec_pem: Path) -> None:
    program = """
import sys
sys.modules["cryptography"] = None  # as in a subinterpreter, or a broken installation
from banno_creds import ClientConfig, ConfigurationError, KeySource, TokenSource
try:
    TokenSource(ClientConfig("a", KeySource.file(sys.argv[1]))).token()
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, str(ec_pem)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("a package that banno-creds needs cannot be imported: "), done.stderr


def test_where_no_thread_can_be_started_the_error_is_ours(
    bank: TokenBank, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(bank, ec_pem)

    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(NetworkError, match="starts no further thread"):
                await source.async_token()
        assert (await source.async_token()).access_token.startswith(CANARY)

    asyncio.run(main())


def test_the_libraries_logs_show_no_secret(bank: TokenBank, ec_pem: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    steps: list[Any] = []
    config = ClientConfig(CLIENT_ID, KeySource("the key", path=ec_pem), token_endpoint=f"{bank.origin}/token")
    with httpx.Client(auth=BearerAuth(TokenSource(config, emit=steps.append), origin=bank.origin)) as client:
        client.get(f"{bank.origin}/things")
    [assertion] = [step.client_assertion for step in steps if hasattr(step, "client_assertion")]
    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}
    secrets = [assertion.rpartition(".")[2], CANARY, ec_pem.read_text().splitlines()[1]]
    assert not [secret for secret in secrets if secret in caplog.text]
