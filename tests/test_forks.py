"""What keeps a fork out of the middle of OpenSSL's work, and does not keep it out for long."""

from __future__ import annotations

import _thread
import os
import re
import socket
import ssl
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from banno_creds import ClientConfig, KeySource, TokenPool, threads
from banno_creds.errors import NetworkError
from banno_creds.http.client import HttpClient
from banno_creds.http.trust import Trust
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
    *("SSLContext._wrap_socket", "SSLContext._wrap_bio", "SSLContext.load_verify_locations"),
    *("SSLContext.set_default_verify_paths", "SSLContext.load_cert_chain"),
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
        assert not threads._busy, "the next fork does not wait for it again"
        with no_fork(), no_fork():
            pass
    assert not threads._busy


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which threads are there")
def test_threads_that_python_did_not_start_are_forgotten_too() -> None:
    def use(done: _thread.LockType) -> None:
        with no_fork():
            done.release()

    for _ in range(2 * threads._MOST_KNOWN):
        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(use, (done,))
        done.acquire()
    assert len(threads._known) <= threads._MOST_KNOWN


def test_a_fork_that_never_says_that_it_ended_is_not_waited_for_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python passes over what a signal's handler raises there, Ctrl-C too."""
    monkeypatch.setattr(threads, "_MOST_SECONDS", 0.1)
    threads._before_fork()
    time.sleep(0.25)
    began = time.monotonic()
    for _ in range(100):
        with no_fork():
            pass
    assert time.monotonic() - began < 5
    with forking():
        assert threads._forks == 1
    assert threads._forks == 0


def test_a_child_does_not_wait_for_a_handshake_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The context of the system's store has a lock, which is held during a handshake, and by a child for ever."""
    authority = make_authority(tmp_path / "ca")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    store, bundle = Trust(None), Trust(authority.file)
    before = store.context(), bundle.context()
    assert (store.context(), bundle.context()) == before
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert store.context() is store.context() is not before[0]
    assert bundle.context() is before[1]  # it may be a pipe, which can be read once


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


@contextmanager
def watched() -> Iterator[tuple[set[str], set[str]]]:
    """Give the names of what is called where no fork comes, and of what is called elsewhere."""
    called: set[str] = set()
    outside: set[str] = set()

    def note(frame: Any, event: str, what: Any) -> None:
        del frame
        name = getattr(what, "__qualname__", "") if event == "c_call" else ""
        name = re.sub(r"\A\w*Context\.", "SSLContext.", name)
        # Not the server's threads, which are in this process too.
        if name in CALLS and threading.current_thread().name.startswith(("MainThread", "banno-creds")):
            (called if threading.get_ident() in threads._busy else outside).add(name)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield called, outside
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def test_files_of_certificates_are_read_and_tls_in_tls_is_spoken_only_where_no_fork_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path / "ca")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    authority.ca.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    context = Trust(None).context()
    with watched() as (called, outside):
        context.set_default_verify_paths()  # as truststore does on Linux for each connection
        context.load_cert_chain(tmp_path / "client.pem")
        tls = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
    assert outside == set()
    assert called >= {"SSLContext.set_default_verify_paths", "SSLContext.load_cert_chain", "SSLContext._wrap_bio"}


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_openssl_is_called_only_where_no_fork_comes(
    kind: str, rsa_pem: Path, ec_pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(tmp_path / "cache"))
    token_source._load()  # behind a bar of its own
    authority = make_authority(tmp_path / "ca")
    with LoopbackServer(
        lambda _: says_json(access_token="t", token_type="Bearer", expires_in=600),
        authority.context("127.0.0.1"),
    ) as bank:
        key = KeySource.file(rsa_pem if kind == "rsa" else ec_pem)
        config = ClientConfig(CLIENT_ID, key, token_endpoint=bank.url, ca_bundle=authority.file)
        with watched() as (called, outside):
            with TokenPool({"bank": config}) as pool:
                pool.source("bank").token()
            seal = Seal(b"a secret")
            assert seal.open(seal.name("a"), seal.close(seal.name("a"), b"{}"))
    assert outside == set()
    assert called >= {"SSLContext._wrap_socket", "SSLContext.load_verify_locations"}
    assert called >= {name for name in CALLS if name.startswith("_SSLSocket")}, "what is watched has these names"
