"""What keeps a fork out of the middle of OpenSSL's work, and does not keep it out for long."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds import ClientConfig, KeySource, TokenPool, threads
from banno_creds.errors import NetworkError
from banno_creds.http.client import HttpClient
from banno_creds.shared_cache.sealing import Seal
from banno_creds.threads import no_fork
from banno_creds.tokens import token_source
from tests.conftest import CLIENT_ID
from tests.servers.loopback import LoopbackServer, says_json
from tests.servers.tls import make_authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.posix("processes fork")

# What lets other threads go on meanwhile, of Python's OpenSSL and of cryptography's.
CALLS = {
    *("SSLContext._wrap_socket", "SSLContext.load_verify_locations"),
    *("_SSLSocket.do_handshake", "_SSLSocket.read", "_SSLSocket.write", "hmac_digest"),
    *("AESGCM.encrypt", "AESGCM.decrypt", "RSAPrivateKey.sign", "RSAPublicKey.verify", "load_der_private_key"),
    *("ECPrivateKey.sign", "ECPublicKey.verify"),
}


@contextmanager
def forking() -> Iterator[None]:
    """As in another thread that forks: between what comes before, and what comes after in the parent."""
    before = threading.Thread(target=threads._before_fork)
    before.start()
    before.join(60)
    try:
        yield
    finally:
        threads._after_fork()


def test_a_fork_waits_for_what_is_under_way_and_the_next_waits_for_the_fork() -> None:
    inside, leave, has_forked = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        with no_fork(), no_fork():
            inside.set()
            leave.wait(60)
            assert not has_forked.is_set()

    def fork() -> None:
        threads._before_fork()
        has_forked.set()

    under_way = threading.Thread(target=call)
    under_way.start()
    assert inside.wait(60)
    forks = threading.Thread(target=fork)
    forks.start()
    assert not has_forked.wait(0.1)
    leave.set()
    assert has_forked.wait(60)
    under_way.join(60)

    again = threading.Thread(target=call)
    inside.clear()
    has_forked.clear()
    again.start()
    assert not inside.wait(0.1)
    threads._after_fork()
    assert inside.wait(60)
    again.join(60)


def test_what_hangs_keeps_no_fork_out_and_nobody_waits_for_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    with no_fork():
        began = time.monotonic()
        threads._before_fork()
        threads._after_fork()
        assert time.monotonic() - began < 2
        monkeypatch.setattr(threads, "_MOST_SECONDS", 0.05)
        with forking():
            pass


def test_a_fork_waits_until_a_thread_that_ends_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.13, join returns while OpenSSL still puts away what it had for the thread."""

    def work() -> int:
        with no_fork():
            return threading.get_native_id()

    number = threads.run(work, lambda: 60, "banno-creds exchange")
    looks = []

    def is_there(each: int) -> bool:
        looks.append(each)
        return looks.count(number) < 4

    monkeypatch.setattr(threads, "_is_there", is_there)
    with forking():
        pass
    assert looks.count(number) == 4
    with forking():
        pass
    assert looks.count(number) == 4


def test_no_thread_that_used_openssl_ends_during_a_fork() -> None:
    go_on = threading.Event()

    def work() -> None:
        with no_fork():
            pass
        go_on.wait(60)

    runs = threading.Thread(target=lambda: threads.run(work, lambda: 60, "banno-creds exchange"))
    runs.start()
    with forking():
        go_on.set()
        runs.join(60)  # its result is not kept back
        assert "banno-creds exchange" in {each.name for each in threading.enumerate()}


def test_few_threads_are_remembered() -> None:
    def use() -> None:
        with no_fork():
            pass

    for _ in range(threads._MOST_KNOWN + 20):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert len(threads._known) <= threads._MOST_KNOWN


def test_a_fork_waits_for_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/token"

        def ask() -> None:
            with HttpClient(3) as http, pytest.raises(NetworkError):
                http.get(url)

        asking = threading.Thread(target=ask)
        asking.start()
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)  # the handshake has begun
            began = time.monotonic()
            with forking():
                assert asking.is_alive()
                assert time.monotonic() - began < threads._MOST_SECONDS / 2
            asking.join(60)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_openssl_is_called_only_where_no_fork_comes(
    kind: str, rsa_pem: Path, ec_pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "cache"))
    token_source._load()  # behind a bar of its own
    authority = make_authority(tmp_path / "ca")
    called: set[str] = set()
    outside: set[str] = set()

    def note(frame: Any, event: str, what: Any) -> None:
        del frame
        name = getattr(what, "__qualname__", "") if event == "c_call" else ""
        # Not the server's threads, which are in this process too.
        if name in CALLS and threading.current_thread().name.startswith(("MainThread", "banno-creds")):
            (called if threading.get_ident() in threads._busy else outside).add(name)

    with LoopbackServer(
        lambda _: says_json(access_token="t", token_type="Bearer", expires_in=600),
        authority.context("127.0.0.1"),
    ) as bank:
        key = KeySource.file(rsa_pem if kind == "rsa" else ec_pem)
        config = ClientConfig(CLIENT_ID, key, token_endpoint=bank.url, ca_bundle=authority.file)
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            with TokenPool({"bank": config}) as pool:
                pool.source("bank").token()
            seal = Seal(b"a secret")
            assert seal.open(seal.name("a"), seal.close(seal.name("a"), b"{}"))
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    assert outside == set()
    assert called >= {name for name in CALLS if name.startswith("_SSLSocket")}, "what is watched has these names"
