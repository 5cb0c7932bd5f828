"""Connections that are kept open: used again, and replaced without a word when the server closed them."""

from __future__ import annotations

import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from banno_creds.config import ClientConfig, KeySource
from banno_creds.errors import NetworkError, TimedOutError, UntrustedServerError
from banno_creds.http import connections as connections_module
from banno_creds.http import trust
from banno_creds.http.client import HttpClient
from banno_creds.http.connections import Connections, Watch
from banno_creds.steps import Run, TryingAgain
from banno_creds.tokens.client_credentials import ClientCredentials
from tests.servers.many import Many
from tests.servers.raw import Proxy, RawServer, reply, request_from
from tests.servers.tls import make_authority

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path


def keeps_open(connection: socket.socket, request: bytes) -> None:
    """Echo each request's body as long as the client sends any."""
    while request:
        connection.sendall(reply(request.partition(b"\r\n\r\n")[2] or b"{}"))
        request = request_from(connection)


@pytest.fixture
def connections() -> Iterator[Connections]:
    shared = Connections()
    yield shared
    shared.close()


def post(url: str, connections: Connections, timeout: float = 20, **form: str) -> bytes:
    with HttpClient(timeout, connections=connections) as http:
        return http.post_form(url, list(form.items())).content


def test_a_connection_is_used_again(connections: Connections) -> None:
    with RawServer(keeps_open) as server:
        assert [post(server.url(), connections, n=str(number)) for number in range(5)] == [
            f"n={number}".encode() for number in range(5)
        ]
        assert server.connections == 1
        connections.close()


def test_without_shared_connections_each_request_has_its_own() -> None:
    with RawServer(keeps_open) as server:
        with HttpClient(20) as http:
            for _ in range(2):
                http.post_form(server.url(), [("a", "b")])
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"{}", "connection: close"),
        reply(b"{}", "Connection: Keep-Alive, Close"),
        reply(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["close", "among others", "HTTP/1.0"],
)
def test_a_connection_that_the_server_will_close_is_not_kept(connections: Connections, answer: bytes) -> None:
    def talk(connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(answer)
        connection.recv(1)  # until the client closes it

    with RawServer(talk) as server:
        for _ in range(2):
            assert post(server.url(), connections) == b"{}"
        assert server.connections == 2


@pytest.mark.parametrize("status", [b"408 Request Timeout", b"502 Bad Gateway"])
def test_an_answer_that_comes_of_its_own_accord_is_the_last_one(connections: Connections, status: bytes) -> None:
    """The next client would get the token of the one before it."""
    of_its_own = reply(b"{}").replace(b"200 OK", status)

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(reply(request.partition(b"\r\n\r\n")[2]))
        if request := request_from(connection):
            connection.sendall(of_its_own)
            time.sleep(0.05)  # or it would be seen that more came
            connection.sendall(reply(request.partition(b"\r\n\r\n")[2]))
            request_from(connection)

    with RawServer(talk) as server:
        said = [post(server.url(), connections, client=name) for name in ("first", "second", "third")]
        assert said == [b"client=first", b"{}", b"client=third"]
        assert server.connections == 2
        connections.close()


def test_a_header_of_blanks_takes_no_time(connections: Connections) -> None:
    """No time limit would end what a pattern needs for it: minutes in which no thread runs."""

    def talk(connection: socket.socket, request: bytes) -> None:
        while request:
            connection.sendall(reply(b"{}", "x-odd: x" + " " * 90_000 + "x"))
            request = request_from(connection)

    with RawServer(talk) as server:
        began = time.process_time()
        for _ in range(3):
            assert post(server.url(), connections) == b"{}"
        assert time.process_time() - began < 10
        assert server.connections == 1
        connections.close()


def test_an_answer_with_a_head_of_bare_line_feeds_is_not_read_for_ever(connections: Connections) -> None:
    """h11 takes such a head for whole, and so the data for what it is; whoever looks for CR LF finds other chunks."""
    data = b"{}\r\ntransfer-encoding: chunked\r\n\r\n-6\r\n"
    answer = b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)

    def talk(connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(answer)
        connection.recv(1)

    with RawServer(talk) as server:
        for _ in range(2):
            assert post(server.url(), connections) == data
        assert server.connections == 2


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "after", "connections_made"),
    [
        (reply(b"{}"), b"", 1),
        (reply(b"{}"), reply(b"another's"), 2),
        (reply(b"{}"), b"\r\n", 2),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + reply(b"{}"), b"", 1),
        (CHUNKED + b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n", b"", 1),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", CHUNKED + b"9\r\nanother's\r\n0\r\n\r\n", 2),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", reply(b"another's"), 2),
    ],
    ids=["length", "two", "a line", "early hints", "chunked", "two chunked", "chunked and another"],
)
@pytest.mark.parametrize("cut", [0, 30])
def test_what_follows_an_answer_is_nobodys_answer(
    connections: Connections, answer: bytes, after: bytes, connections_made: int, cut: int
) -> None:
    """A server, or what is before it, that says more than it was asked for gives nobody another client's token."""

    def talk(connection: socket.socket, request: bytes) -> None:
        while request:
            said = answer + after if len(server.requests) == 1 else answer
            connection.sendall(said[:cut])
            connection.sendall(said[cut:])
            server.requests.append(b"")
            request = request_from(connection)

    with RawServer(talk) as server:
        for _ in range(3):
            assert post(server.url(), connections) == b"{}"
        assert server.connections == connections_made
        connections.close()


def test_a_connection_that_was_closed_meanwhile_is_not_used(connections: Connections) -> None:
    with RawServer(lambda connection, _: connection.sendall(reply(b"{}"))) as server:  # and hangs up
        for _ in range(3):
            assert post(server.url(), connections) == b"{}"
            time.sleep(0.02)  # for its end to arrive; if it did not, the request below is repeated
        assert len(server.requests) == server.connections == 3


def _token_of(server: RawServer, pem: Path, connections: Connections, steps: list[Any]) -> str:
    config = ClientConfig("c", KeySource("the key", path=pem), token_endpoint=server.url())
    run = Run(steps.append, sleep=lambda _: None)
    return ClientCredentials(config, connections).fetch(run).access_token


def _jti_of(request: bytes) -> str:
    return parse_qs(request.partition(b"\r\n\r\n")[2].decode())["client_assertion"][0]


def test_a_connection_closed_under_a_request_is_replaced_without_a_word(
    connections: Connections, ec_pem: Path
) -> None:
    seen: list[bytes] = []

    def talk(connection: socket.socket, request: bytes) -> None:
        seen.append(request)
        connection.sendall(reply())
        seen.append(request_from(connection))  # and hangs up without an answer

    steps: list[Any] = []
    with RawServer(talk) as server:
        for _ in range(2):
            assert _token_of(server, ec_pem, connections, steps) == "an-opaque-token"
        connections.close()
    assert server.connections == 2
    assert not [step for step in steps if isinstance(step, TryingAgain)]
    sent = [_jti_of(request) for request in seen if request]
    assert len(set(sent)) == 3  # an assertion is never sent twice


@pytest.mark.parametrize("begun", [b"HTTP/1.1 2", reply()[:-5]], ids=["status line", "body"])
def test_a_connection_closed_within_an_answer_is_a_failed_attempt(
    connections: Connections, ec_pem: Path, begun: bytes
) -> None:
    def talk(connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(reply())
        if request_from(connection):
            connection.sendall(begun)

    steps: list[Any] = []
    with RawServer(talk) as server:
        for _ in range(2):
            assert _token_of(server, ec_pem, connections, steps) == "an-opaque-token"
        connections.close()
    assert len([step for step in steps if isinstance(step, TryingAgain)]) == 1


def test_a_server_that_only_hangs_up_is_asked_three_times(connections: Connections, ec_pem: Path) -> None:
    answers = iter([reply()])

    def talk(connection: socket.socket, request: bytes) -> None:
        del request
        for answer in answers:
            connection.sendall(answer)
            request_from(connection)

    with RawServer(talk) as server:
        _token_of(server, ec_pem, connections, [])
        with pytest.raises(NetworkError, match="hung up without an answer"):
            _token_of(server, ec_pem, connections, [])
        assert server.connections == 4  # the first one, and three attempts


def _drips(connection: socket.socket, closing: threading.Event) -> None:
    for byte in reply(b"{}")[:-1]:
        connection.sendall(bytes([byte]))
        if closing.wait(0.05):
            return


@pytest.mark.parametrize("drips", [False, True], ids=["silent", "a byte at a time"])
def test_time_is_bounded_on_a_kept_connection_too(connections: Connections, drips: bool) -> None:
    def talk(connection: socket.socket, request: bytes) -> None:
        del request
        connection.sendall(reply(b"{}"))
        request_from(connection)
        if drips:
            _drips(connection, server.closing)
        server.closing.wait(10)

    with RawServer(talk) as server:
        post(server.url(), connections)
        began = time.monotonic()
        with pytest.raises(TimedOutError):
            post(server.url(), connections, timeout=0.3)
        assert time.monotonic() - began < 5
        server.closing.set()


def test_each_thread_gets_its_own_answer(connections: Connections) -> None:
    with RawServer(keeps_open) as server:
        with ThreadPoolExecutor(16) as pool:
            bodies = list(pool.map(lambda n: post(server.url(), connections, n=str(n)), range(200)))
        assert bodies == [f"n={number}".encode() for number in range(200)]
        assert server.connections <= 16
        connections.close()


@pytest.mark.posix("all of 127.0.0.0/8 is this machine")
def test_of_many_servers_few_connections_are_kept(connections: Connections) -> None:
    with Many("0.0.0.0") as server:
        for number in range(1, 101):
            url = server.url.replace("127.0.0.1", f"127.0.0.{number}")
            post(url, connections, client_id="c")
        assert server.connections == 100
        assert server.open <= 65  # the last one that was closed may not know it yet
        connections.close()


def test_over_tls_a_connection_serves_only_those_who_trust_the_same(connections: Connections, tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "ca")
    with RawServer(keeps_open, authority.context("127.0.0.1")) as server:
        for _ in range(3):
            with HttpClient(20, authority.file, connections=connections) as http:
                assert http.get(server.url()).status == 200
        assert server.connections == 1
        with HttpClient(20, connections=connections) as http, pytest.raises(UntrustedServerError):
            http.get(server.url())
        before = server.connections
        copy = tmp_path / "copy.pem"
        copy.write_bytes(authority.file.read_bytes())
        with HttpClient(20, copy, connections=connections) as http:
            assert http.get(server.url()).status == 200
        assert server.connections == before + 1
        connections.close()


def test_a_proxys_tunnel_is_kept_too_and_another_proxy_gets_its_own(
    connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = make_authority(tmp_path / "ca")
    with RawServer(keeps_open, authority.context("bank.test")) as server:
        proxies = [Proxy(server.port) for _ in range(2)]
        with proxies[0].server, proxies[1].server:
            for proxy in (*proxies, proxies[0]):
                monkeypatch.setenv("HTTPS_PROXY", f"http://user:word@127.0.0.1:{proxy.port}")
                with HttpClient(20, authority.file, connections=connections) as http:
                    assert http.get("https://bank.test/a").status == 200
            assert [proxy.server.connections for proxy in proxies] == [1, 1]
            connections.close()


def test_authorities_and_documents_are_read_anew_after_a_while(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = connections.trust(None)
    connections.keep_document("https://bank.test", first, {"a": 1})
    assert connections.trust(None) is first
    assert connections.document("https://bank.test", first) == {"a": 1}
    monkeypatch.setattr(connections_module, "_FRESH_SECONDS", 0)
    assert connections.trust(None) is not first
    assert connections.document("https://bank.test", first) is None


def test_authorities_that_are_read_need_no_lock(connections: Connections) -> None:
    """Another thread's lock is held for ever in a child that was forked just then."""
    trust = connections.trust(None)
    context = trust.context()
    with ThreadPoolExecutor(1) as threads, trust._lock:
        assert threads.submit(trust.context).result(20) is context


def test_document_is_only_for_those_who_trust_the_same_authorities(connections: Connections, tmp_path: Path) -> None:
    own, others = connections.trust(tmp_path / "ca.pem"), connections.trust(None)
    connections.keep_document("https://bank.test", own, {"token_endpoint": "https://elsewhere.test"})
    assert connections.document("https://bank.test", others) is None
    assert connections.document("https://bank.test", own) is not None


def test_of_those_who_trust_a_part_of_the_store_each_tries_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    part, whole = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
    monkeypatch.setattr(trust, "system_store", lambda: (part, True))
    monkeypatch.setattr(trust, "_whole_store", lambda: whole)
    shared = trust.Trust(None)
    assert shared.context() is part
    assert [shared.widen(part), shared.widen(part), shared.widen(whole)] == [True, True, False]
    assert shared.context() is whole


def test_a_watch_calls_in_time_and_only_what_was_not_called_off() -> None:
    watch, called = Watch(), threading.Event()
    off: list[str] = []
    with watch.until(time.monotonic() + 60, lambda: off.append("late")), watch.until(time.monotonic(), called.set):
        assert called.wait(10)
    with watch.until(time.monotonic() + 60, lambda: off.append("called off")):
        pass
    assert off == []
