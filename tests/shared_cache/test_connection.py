"""The connection and the store below the cache: what goes out, what may come back, and which connections are kept."""

from __future__ import annotations

import hmac
import os
import socket
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
import trustme
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from banno_creds.cache_address import read_cache_url
from banno_creds.errors import ConfigurationError
from banno_creds.http.trust import Trust
from banno_creds.shared_cache import connection, store
from banno_creds.shared_cache.faults import ServerError, SlowError, StoreError
from banno_creds.shared_cache.sealing import Seal
from banno_creds.shared_cache.store import Store
from tests.conftest import write_private
from tests.person import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.tls import Authority

OK = b"+OK\r\n"


class Peer:
    """In a socket's place: gives pieces of answers, in turn; None is a silence that lasts, b"" the end."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces = list(pieces)
        self.sent: list[bytes] = []
        self.is_closed = False

    def settimeout(self, seconds: float) -> None:
        assert 0 < seconds <= 2

    def sendall(self, content: bytes) -> None:
        self.sent.append(content)

    def recv(self, size: int) -> bytes:
        del size
        piece = self.pieces.pop(0) if self.pieces else None
        if piece is None:
            raise TimeoutError
        return piece

    def close(self) -> None:
        self.is_closed = True


class Peers:
    """Those that are connected to, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: list[Peer] = []
        self.met: list[Peer] = []
        monkeypatch.setattr(connection, "_connect", self._connect)

    def __call__(self, *pieces: bytes | None) -> Peer:
        self.waiting.append(Peer(*pieces))
        return self.waiting[-1]

    def _connect(self, *_: Any) -> Peer:
        self.met.append(self.waiting.pop(0))
        return self.met[-1]


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Peers:
    return Peers(monkeypatch)


def test_user_password_and_database_go_out_once_with_the_first_commands(peers: Peers) -> None:
    peer = peers(OK, OK, b"+PONG\r\n", b"+PONG\r\n")
    cache = Store("redis://app:se%2Fcret@cache.test/3")
    assert [cache.ask(("PING",)), cache.ask(("PING",))] == [[b"PONG"], [b"PONG"]]
    first = b"*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$7\r\nse/cret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n"
    assert peer.sent == [first, b"*1\r\n$4\r\nPING\r\n"]


def test_password_without_a_user(peers: Peers) -> None:
    peer = peers(OK, OK)
    Store("redis://:pw@cache.test").ask(("PING",))
    assert peer.sent[0].startswith(b"*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n*1")


def test_password_in_a_file_comes_before_that_in_the_url(peers: Peers, tmp_path: Path) -> None:
    peer = peers(OK, OK)
    Store("redis://:old@cache.test", write_private(tmp_path / "password", b"new\n")).ask(("PING",))
    assert b"$3\r\nnew\r\n" in peer.sent[0]
    assert b"old" not in peer.sent[0]


def test_password_may_have_bytes_that_are_no_text(peers: Peers, tmp_path: Path) -> None:
    peer = peers(OK, OK)
    Store("redis://cache.test", write_private(tmp_path / "password", b"p\xe4ss\n")).ask(("PING",))
    assert b"$4\r\np\xe4ss\r\n" in peer.sent[0]


def test_later_commands_have_a_time_of_their_own(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    peers(OK, OK, OK)
    cache = Store("redis://cache.test")
    cache.ask(("PING",))
    later = time.monotonic() + 100
    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: later))
    assert cache.ask(("PING",)) == [b"OK"]
    assert len(peers.met) == 1


def test_encrypted_key_of_the_clients_certificate_is_an_error_and_nobody_is_asked(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("runner")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    secret = BestAvailableEncryption(b"hunter2")
    write_private(tmp_path / "key.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    (tmp_path / "cert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    files = f"ssl_certfile={tmp_path}/cert.pem&ssl_keyfile={tmp_path}/key.pem"
    with socket.socket() as open_, pytest.raises(ConfigurationError, match="is encrypted"):
        connection._secured(open_, read_cache_url(f"rediss://cache.test?{files}"), Trust(None))


def test_nothing_is_taken_for_an_answer_if_the_password_is_refused(peers: Peers) -> None:
    peers(b"-WRONGPASS no\r\n$1\r\nx\r\n")
    with pytest.raises(ServerError, match="WRONGPASS") as caught:
        Store("redis://:pw@cache.test").ask(("GET", "a"))
    assert caught.value.rule == "cache.password"


REFUSED = b"-WRONGPASS no\r\n$1\r\nx\r\n"


def test_changed_password_is_read_again_once_where_the_old_one_is_refused(peers: Peers, tmp_path: Path) -> None:
    file = write_private(tmp_path / "password", b"first\n")
    cache = Store("redis://cache.test", file)
    file.write_bytes(b"second\n")
    peers(REFUSED)
    peer = peers(OK, OK, b"+PONG\r\n")
    assert cache.ask(("PING",)) == [b"OK"]
    assert b"$6\r\nsecond\r\n" in peer.sent[0]
    assert cache.ask(("PING",)) == [b"PONG"]
    assert len(peers.met) == 2


@pytest.mark.parametrize(
    "change",
    [
        "none",
        "another wrong one",
        "gone",
        "empty",
        "out of reach",
        pytest.param("a pipe", marks=pytest.mark.posix("a pipe with a name")),
    ],
)
def test_refused_password_is_the_servers_word_whatever_became_of_its_file(
    change: str, peers: Peers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_private(tmp_path / "password", b"first\n")
    cache = Store("redis://cache.test", file)
    if change == "another wrong one":
        file.write_bytes(b"second\n")
    elif change == "empty":
        file.write_bytes(b"")
    elif change == "out of reach":  # its folder is, to a process that has given up its rights
        monkeypatch.setattr(type(file), "is_file", Mock(side_effect=PermissionError))
    elif change != "none":
        file.unlink()
    if change == "a pipe":
        os.mkfifo(file)  # whose writer has gone: to open it would last for ever
    peers(REFUSED)
    peers(REFUSED)
    with pytest.raises(ServerError, match="WRONGPASS"):
        cache.ask(("GET", "a"))
    assert len(peers.met) == 1 + (change == "another wrong one")


def test_password_that_another_thread_has_read_again_is_used(peers: Peers, tmp_path: Path) -> None:
    file = write_private(tmp_path / "password", b"first\n")
    cache = Store("redis://cache.test", file)
    refusing = peers(REFUSED)

    def meanwhile(size: int) -> bytes:
        del size
        file.write_bytes(b"second\n")
        assert cache.ask(("PING",)) == [b"OK"]
        return REFUSED

    refusing.recv = meanwhile  # type: ignore[method-assign]
    peers(REFUSED)
    others = peers(OK, OK, OK)
    assert cache.ask(("PING",)) == [b"OK"]
    assert [len(peers.met), len(others.sent)] == [3, 2]


@pytest.mark.parametrize(
    "pieces",
    [
        (b"$5000000\r\n", *[b"x" * 65536] * 100),
        (b"*1000000\r\n",),
        (b"*1000", b"000\r\n"),
        (b"+OK\r\n*", b"1000000\r", b"\n"),
        (b"*2\r\n*", b"99999\r\n"),
    ],
    ids=["bytes", "array", "cut array", "cut after a star", "array in an array"],
)
def test_answer_without_a_bound_is_left(peers: Peers, pieces: tuple[bytes, ...]) -> None:
    peer = peers(*pieces)
    with pytest.raises(StoreError, match="too large") as caught:
        Store("redis://cache.test").ask(("GET", "a"), ("GET", "b"))
    assert caught.value.rule == "cache.answer"
    assert peer.is_closed


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "closed the connection"),
        (b"-LOADING wait", "closed"),
        (b"-ERR max number of clients reached\r\n", "max"),
    ],
)
def test_server_that_hangs_up_is_told_in_its_words(peers: Peers, said: bytes, words: str) -> None:
    for _ in range(3):
        peers(*([said] if said else []), b"")
    with pytest.raises(StoreError, match=words):
        Store("redis://cache.test").ask(("GET", "a"), ("GET", "b"))
    assert len(peers.met) == (1 if said.endswith(b"\n") else 3)  # a server that has said why is not asked again


def test_connection_that_is_closed_twice_costs_nothing(peers: Peers) -> None:
    """A server that restarts, or somebody who closes the connections of all clients."""
    cache = Store("redis://cache.test")
    for pieces in ((b"$1\r\na\r\n", b""), (b"",), (b"$1\r\nb\r\n",)):
        peers(*pieces)
    assert [cache.ask(("GET", "a")), cache.ask(("GET", "a"))] == [[b"a"], [b"b"]]


def test_connection_that_is_closed_in_the_middle_of_tls_is_tried_again(authority: Authority) -> None:
    """Somebody closes the connections of all clients, and TLS takes a while."""
    met = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def hang_up() -> None:
            for number in range(3):
                open_, _ = server.accept()
                met.append(number)
                with open_:
                    open_.recv(1000)

        thread = threading.Thread(target=hang_up)
        thread.start()
        cache = Store(f"rediss://127.0.0.1:{server.getsockname()[1]}", ca_bundle=authority.file)
        with pytest.raises(StoreError, match="TLS failed") as caught:
            cache.ask(("PING",))
        thread.join(20)
    assert caught.value.rule == "cache.tls"
    assert met == [0, 1, 2]


def test_connection_that_is_closed_late_is_not_tried_again(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    peers(b"")
    monkeypatch.setattr(store, "_TRIED_FOR", -1.0)
    with pytest.raises(StoreError, match="closed the connection"):
        Store("redis://cache.test").ask(("GET", "a"))


def test_kept_connection_that_was_closed_is_met_by_a_fresh_one(peers: Peers) -> None:
    cache = Store("redis://cache.test")
    old, fresh = peers(b"$1\r\na\r\n", b""), peers(b"$1\r\nb\r\n")
    assert [cache.ask(("GET", "a")), cache.ask(("GET", "a"))] == [[b"a"], [b"b"]]
    assert (old.is_closed, fresh.is_closed) == (True, False)


def test_slow_server_is_not_waited_for_twice(peers: Peers) -> None:
    cache = Store("redis://cache.test")
    peers(OK)
    peers(OK)
    cache.ask(("PING",))
    with pytest.raises(SlowError):
        cache.ask(("PING",))
    assert len(peers.met) == 1


def test_where_one_kept_connection_was_closed_the_others_are_left_too(peers: Peers) -> None:
    cache = Store("redis://cache.test")
    kept = [peers(OK, b"") for _ in range(5)]  # more than it tries one after the other
    with ExitStack() as stack:
        for connection_, _ in [stack.enter_context(cache._connection()) for _ in kept]:
            connection_.ask(("PING",))
    peers(OK, OK)
    cache.ask(("PING",))
    cache.ask(("PING",))
    assert [each.is_closed for each in kept] == [True] * 5
    assert len(peers.met) == 6


def test_a_clients_certificate_is_read_into_what_no_other_thread_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    trusts: list[object] = []

    def take(_address: object, trust: object, _ends: float) -> Peer:
        trusts.append(trust)
        return Peer(OK)

    monkeypatch.setattr(connection, "_connect", take)
    for query, many in (("?ssl_certfile=c.pem", 2), ("", 1)):
        trusts.clear()
        cache = Store(f"rediss://cache.test{query}")
        with cache._connection(), cache._connection():
            assert len(set(map(id, trusts))) == many


def test_connection_that_failed_is_not_kept(peers: Peers) -> None:
    cache = Store("redis://cache.test")
    failed, fresh = peers(b"?\r\n"), peers(OK)
    with pytest.raises(StoreError):
        cache.ask(("PING",))
    assert cache.ask(("PING",)) == [b"OK"]
    assert (failed.is_closed, fresh.is_closed) == (True, False)


def test_forked_child_leaves_its_parents_connections_alone(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Store("redis://cache.test")
    parents, own = peers(OK), peers(OK)
    cache.ask(("PING",))
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert cache.ask(("PING",)) == [b"OK"]
    assert (len(parents.sent), len(own.sent)) == (1, 1)


def test_system_that_starts_no_thread_is_a_fault_of_the_cache_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fails)
    with pytest.raises(StoreError, match="no further thread"):
        Store("redis://cache.test").ask(("PING",))


def test_next_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ports = (free_port(), listener.getsockname()[1])
        places = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(connection, "_resolve", lambda *_: places)
        connection.Connection(read_cache_url("redis://cache.test"), "", None).close()


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("NOAUTH no", "cache.password"),
        ("WRONGPASS no", "cache.password"),
        ("NOPERM no", "cache.permission"),
        ("OOM no", "cache.full"),
        ("READONLY no", "cache.replica"),
        ("MASTERDOWN no", "cache.replica"),
        ("MOVED 3999 127.0.0.1:6381", "cache.cluster"),
        ("ASK 3999 127.0.0.1:6381", "cache.cluster"),
        ("CROSSSLOT no", "cache.cluster"),
        ("ERR no", "cache.refused"),
    ],
)
def test_what_a_server_refuses_has_its_rule(said: str, rule: str) -> None:
    assert ServerError(said).rule == rule


@pytest.mark.posix("rights")
def test_what_a_server_says_is_some_words_fit_to_be_shown() -> None:
    words = ServerError("ERR " + "x\x1b[2J" * 2000).words
    assert len(words) < 130
    assert words.isprintable()


def test_password_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    file = write_private(tmp_path / "password", b"hunter2\n")
    assert Store("redis://cache.test", file).warnings == ()
    file.chmod(0o644)
    assert len(Store("redis://cache.test", file).warnings) == 1


def test_few_connections_are_kept(peers: Peers) -> None:
    cache = Store("redis://cache.test")
    for _ in range(12):
        peers(OK)
    taken = [cache._connection() for _ in range(12)]
    for each in taken:
        each.__enter__()
    for each in taken:
        each.__exit__(None, None, None)
    assert sum(not peer.is_closed for peer in peers.met) == store._MOST_KEPT


def test_only_names_of_the_pattern_are_asked_for(peers: Peers) -> None:
    peer = peers(b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n")
    assert list(Store("redis://cache.test").names("ours:*")) == [[b"a"]]
    assert b"$5\r\nMATCH\r\n$6\r\nours:*\r\n" in peer.sent[0]


def test_names_that_have_no_end_are_an_error(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_MOST_PAGES", 3)
    peers(*[b"*2\r\n$1\r\n7\r\n*0\r\n"] * 10)
    with pytest.raises(StoreError, match="no Redis"):
        list(Store("redis://cache.test").names("*"))


@pytest.mark.parametrize(
    "page", [b"*2\r\n:0\r\n*0\r\n", b"*2\r\n$1\r\n0\r\n*1\r\n:1\r\n", b"*1\r\n*0\r\n", b":1\r\n"]
)
def test_names_that_are_none_are_an_error(peers: Peers, page: bytes) -> None:
    peers(page)
    with pytest.raises(StoreError, match="no Redis"):
        list(Store("redis://cache.test").names("*"))


# --- The seal -------------------------------------------------------------------------------------------------------


def _key(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, b"banno-creds shared cache 1", purpose).derive(secret)


def test_names_and_values_have_keys_of_their_own_by_hkdf() -> None:
    """Machines with different versions read each other's values."""
    secret = b"a secret of sixteen bytes or more"
    seal = Seal(secret)
    name = seal.name("request")
    assert name == f"banno-creds:{{{hmac.digest(_key(secret, b'names'), b'request', 'sha256').hex()}}}"
    sealed = seal.close(name, b"{}")
    opened = AESGCM(_key(secret, b"values")).decrypt(sealed[1:13], sealed[13:], b"\x01" + name.encode())
    assert opened == b"{}".ljust(1024)


def test_each_value_has_a_nonce_of_its_own_and_no_length_of_its_own() -> None:
    seal = Seal(b"a secret of sixteen bytes or more")
    sealed = [seal.close("name", b"x" * length) for length in (0, 1, 500, 1024)]
    assert len({each[1:13] for each in sealed}) == 4
    assert {len(each) for each in sealed[1:]} == {1 + 12 + 1024 + 16}


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(12), b"\x02" + bytes(60), b"\x01" + bytes(60)])
def test_value_that_nobody_sealed_is_none(sealed: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        Seal(b"a secret of sixteen bytes or more").open("name", sealed)
