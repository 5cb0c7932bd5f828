"""One exchange over real sockets: what breaks it, how long it may take, whom it trusts, and through whom it goes."""

from __future__ import annotations

import _thread
import contextlib
import functools
import gc
import gzip
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from banno_creds.errors import ConfigurationError, NetworkError, TimedOutError, UnusableAnswerError
from banno_creds.http import proxies, trust
from banno_creds.http.client import HttpClient
from banno_creds.http.exchange import MOST_ANSWER_BYTES, answer_skew
from banno_creds.http.faults import PROXY_HINT
from tests.conftest import CLIENT_ID, Cli, Result
from tests.http.machine import Store, exchanges_that_stay, linux, own_address
from tests.patience import patient
from tests.servers.loopback import Says
from tests.servers.raw import GRANTED, Proxy, RawServer, reply, sends
from tests.servers.tls import Authority, make_authority, self_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.servers.raw import Talk
    from tests.servers.scripted import ScriptedServer

pytestmark = pytest.mark.usefixtures("pauses")

hashed_folder = pytest.param("folder", marks=pytest.mark.posix("openssl rehash makes it"))
SECRET = "c4nary-t0ken-that-nobody-may-see"
PASSWORD = "pr0xy-pa55word"


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No thread; and no socket, for a ResourceWarning is an error and would come with the collection."""
    yield
    gc.collect()
    assert exchanges_that_stay() == []


@pytest.fixture
def ask(cli: Cli, ec_pem: Path) -> Callable[..., Result]:
    def run(url: str, *args: str | Path, env: Mapping[str, str] | None = None) -> Result:
        where = ("--client-id", CLIENT_ID, "--private-key", ec_pem, "--token-endpoint", url)
        return cli("client-assertion", "-q", "-o", "token", *where, *args, env=env)

    return run


TOKEN = Result(0, "an-opaque-token\n", "")


def failed(message: str, *details: str, hint: str, rule: str, attempts: int = 3, code: int = 5) -> Result:
    if attempts > 1:
        details += (f"that was attempt {attempts} of 3",)
    lines = (message, *details, f"Next: {hint}", f"More: banno-creds explain {rule}")
    return Result(code, "", "✗   " + "\n    ".join(lines) + "\n")


# --- What breaks ---


BROKEN_HINT = "try again; if it stays so, look at what stands between this machine and the server"
PART = f'{{"access_token": "{SECRET}'.encode()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            reply(PART, length=9000),
            f"the server hung up after {len(PART)} of 9000 bytes",
        ),
        (
            reply(b"%x\r\n%s\r\n" % (len(PART), PART), "transfer-encoding: chunked", length=-1),
            "the server hung up",
        ),
        (b"", "the server hung up without an answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-len", "the server hung up without an answer"),
    ],
)
def test_an_answer_cut_off_is_tried_again_and_none_of_it_shown(
    ask: Callable[..., Result], said: bytes, words: str, pauses: list[float]
) -> None:
    with RawServer(sends(said)) as server:
        result = ask(server.url())
    message = f"The connection to 127.0.0.1:{server.port} broke before the whole answer was there: {words}"
    assert result == failed(message, hint=BROKEN_HINT, rule="network.connection")
    assert len(server.requests) == 3
    assert len(pauses) == 2


@pytest.mark.parametrize(
    "said",
    [
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000,
        reply(b"", "content-length: 1, 2"),
    ],
)
def test_what_is_no_http_is_said_on_one_line(ask: Callable[..., Result], said: bytes) -> None:
    with RawServer(sends(said)) as server:
        result = ask(server.url())
    assert (result.code, result.stdout) == (5, "")
    assert result.stderr.startswith(f"✗   The connection to 127.0.0.1:{server.port} broke before")
    assert len(result.stderr) < 1000
    assert result.stderr.isprintable() or set(result.stderr) - {"\n"}
    assert not set(map(chr, range(32))) - {"\n"} & set(result.stderr)


def test_a_hostile_status_line_and_headers_are_neutralised(ask: Callable[..., Result]) -> None:
    jwt = "eyJhbGciOiJQUzI1NiJ9.eyJqdGkiOiJ4In0.c2lnbmF0dXJl"
    said = (
        f"HTTP/1.1 403 No \x9b2J[red]{jwt}\r\nx-request-id: \x9b31m{jwt}\r\n"
        f"content-type: te\x9bxt/{jwt};x\r\ncontent-length: 0\r\n\r\n"
    )
    with RawServer(sends(said.encode("latin-1"))) as server:
        result = ask(server.url())
    assert result.code == 4
    assert "\x9b" not in result.stderr
    for part in jwt.lower().split("."):
        assert part not in result.stderr.lower()


def test_a_media_type_is_compared_in_lower_case_and_without_parameters() -> None:
    said = sends(b"HTTP/1.1 204 No\r\ncontent-type: Text/HTML; Charset=UTF-8\r\n\r\n")
    with RawServer(said) as server, HttpClient(10) as http:
        assert http.get(server.url()).media_type == "text/html"


DATE = "Tue, 10 Nov 2026 10:00:00 GMT"
AT = datetime(2026, 11, 10, 10, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        ({}, 0),
        ({"age": "0"}, 0),
        ({"age": " 7 "}, 7),
        ({"age": "999999999"}, 999_999_999),
        # None of these is an Age, and what is none says nothing.
        *(({"age": text}, 0) for text in ("", "-7", "7.5", "seven", "7, 7", "\u0667", "9" * 10, "9" * 5000)),
    ],
    ids=str,
)
def test_by_how_much_a_clock_is_off_is_told_by_the_date_of_an_answer_and_its_age(
    age: Mapping[str, str], kept: int
) -> None:
    # Two seconds under way: made one second before it came, within the second that it names.
    skew = answer_skew({"date": DATE} | dict(age), AT + 1.5 + 40, 2.0)
    assert skew == pytest.approx(40 - kept)


@pytest.mark.parametrize(
    "headers", [{}, {"date": ""}, {"date": "soon"}, {"date": str(int(AT))}, {"age": "7"}], ids=str
)
def test_an_answer_without_a_date_tells_nothing_of_the_clock(headers: Mapping[str, str]) -> None:
    assert answer_skew(headers, AT, 0.1) is None


def test_fifty_mebibytes_are_not_read_nor_kept(ask: Callable[..., Result]) -> None:
    sent = 0

    def talk(connection: socket.socket, request: bytes) -> None:
        nonlocal sent
        connection.sendall(reply(b"", length=50 * 1024 * 1024))
        for _ in range(50):
            connection.sendall(b'{"a": "' + b"a" * (1024 * 1024 - 7))
            sent += 1

    tracemalloc.start()
    try:
        with RawServer(talk) as server:
            result = ask(server.url())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    message = f"The answer from {server.url()} is larger than 1024 KiB and was not read further"
    hint = "check the URL: such an endpoint answers with a few kilobytes"
    assert result == failed(message, "200 OK", hint=hint, rule="network.answer", attempts=1)
    assert sent < 50
    assert peak < 12 * 1024 * 1024
    assert len(server.requests) == 1


@pytest.mark.parametrize("length", [MOST_ANSWER_BYTES, MOST_ANSWER_BYTES + 1])
def test_the_largest_answer(length: int) -> None:
    body = b"a" * length
    with RawServer(sends(reply(body))) as server, HttpClient(10) as http:
        if length == MOST_ANSWER_BYTES:
            assert http.get(server.url()).content == body
        else:
            with pytest.raises(UnusableAnswerError, match="larger than 1024 KiB"):
                http.get(server.url())


def bomb() -> bytes:
    deflate = zlib.compressobj(wbits=31)
    return b"".join(deflate.compress(bytes(1024 * 1024)) for _ in range(40)) + deflate.flush()


def test_a_compression_bomb_does_not_unfold(ask: Callable[..., Result]) -> None:
    body = bomb()
    assert len(body) < MOST_ANSWER_BYTES
    tracemalloc.start()
    try:
        with RawServer(sends(reply(body, "content-encoding: gzip"))) as server:
            result = ask(server.url())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.code == 5
    assert "is larger than 1024 KiB and was not read further" in result.stderr
    assert peak < 12 * 1024 * 1024


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_an_answer_compressed_unasked_is_read(
    ask: Callable[..., Result], encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(json.dumps(GRANTED).encode())
    with RawServer(sends(reply(body, f"content-encoding: {encoding}"))) as server:
        assert ask(server.url()) == TOKEN
    assert b"\r\naccept-encoding: identity\r\n" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(json.dumps(GRANTED).encode())[:-9]), ("br", b"\x0b\x02"), ("gzip", PART)],
    ids=["cut off", "unknown", "not compressed at all"],  # not the bytes: gzip writes the time into them
)
def test_an_answer_compressed_beyond_reading(ask: Callable[..., Result], encoding: str, body: bytes) -> None:
    with RawServer(sends(reply(body, f"content-encoding: {encoding}"))) as server:
        result = ask(server.url())
    assert result == failed(
        f"The answer from 127.0.0.1:{server.port} is compressed in a way that cannot be read",
        f"200, content-encoding {encoding}",
        hint="look at what stands between this machine and the server: a proxy, a gateway",
        rule="network.answer",
        attempts=1,
    )


def test_a_connection_refused(ask: Callable[..., Result], pauses: list[float]) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can take the port meanwhile
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        result = ask(f"http://127.0.0.1:{port}/token")
    assert result == failed(
        f"127.0.0.1:{port} refused the connection: nothing listens there",
        hint="check the host and the port, and whether the server is running",
        rule="network.connection",
    )
    assert len(pauses) == 2


def test_a_network_that_cannot_be_reached(ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> socket.socket:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", connect)
    assert ask("https://bank.example/token") == failed(
        "No connection to bank.example: Network is unreachable",
        hint="check the host, the firewall, and whether a proxy is needed (HTTPS_PROXY)",
        rule="network.connection",
    )


def test_a_connection_that_cannot_be_set_up_for_reasons_without_words(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> socket.socket:
        raise OSError

    monkeypatch.setattr(socket, "create_connection", connect)
    assert ask("https://bank.example/token").stderr.startswith("✗   No connection to bank.example: ConnectError\n")


def test_a_name_that_cannot_be_resolved(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    def getaddrinfo(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert ask("https://bank.invalid/token") == failed(
        "bank.invalid cannot be resolved: Name or service not known",
        hint="check the host, the firewall, and whether a proxy is needed (HTTPS_PROXY)",
        rule="network.dns",
    )
    assert len(pauses) == 2


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "xn--a.example", "300.1.1.1"])
def test_a_host_that_cannot_be_one_is_a_mistake_in_the_configuration(ask: Callable[..., Result], host: str) -> None:
    result = ask(f"https://{host}/token")
    assert result.code in (2, 5)
    if result.code == 2:
        message = f"'{host}' cannot be a host's name"
        rule = "configuration.endpoint"
        assert result == failed(message, hint="check the URL's spelling", rule=rule, attempts=1, code=2)
    assert "bug" not in result.stderr


def test_connecting_in_vain_is_tried_again(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    allowed = []

    def connect(address: object, timeout: float, **_: object) -> socket.socket:
        allowed.append(timeout)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    assert ask("https://bank.example/token") == failed(
        "No connection to bank.example within 10 s",
        hint="check the host, the firewall, and whether a proxy is needed (HTTPS_PROXY)",
        rule="network.connection",
    )
    assert allowed == [10.0, 10.0, 10.0]
    assert len(pauses) == 2


# --- How long it may take ---


def too_late(peer: str, seconds: str, phase: str, rule: str = "network.timeout") -> Result:
    return failed(
        f"No whole answer from {peer} within {seconds} s",
        phase,
        hint="try again later, or allow more with --timeout SECONDS",
        rule=rule,
        attempts=1,
    )


def trickle(start: bytes, drop: bytes, server: Callable[[], RawServer]) -> Talk:
    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(start)
        while not server().closing.wait(0.1):
            connection.sendall(drop)

    return talk


@pytest.mark.parametrize(
    ("start", "drop", "phase"),
    [
        (b"", b"", "the server had not begun to answer"),
        (b"HTTP/1.1 200 OK\r\nx-slow: ", b"a", "the server had not begun to answer"),
        (reply(length=9000), b"", "the answer had begun, and was not whole"),
        (reply(PART, length=9000), b"a", "the answer had begun, and was not whole"),
    ],
)
@patient(1, 10)
def test_a_slow_answer_ends_with_the_time_allowed_however_it_trickles(
    ask: Callable[..., Result], start: bytes, drop: bytes, phase: str, pauses: list[float], seconds: float
) -> None:
    server = RawServer(trickle(start, drop, lambda: server))
    with server:
        result = ask(server.url(), "--timeout", f"{seconds}")
        assert exchanges_that_stay() == []
        assert not server.closing.is_set()  # it still trickles: the time ended it, not the server
    assert result == too_late(f"127.0.0.1:{server.port}", "1", phase)
    assert server.connections == 1
    assert pauses == []


@patient(1, 10)
def test_a_slow_answer_over_tls_ends_with_the_time_allowed(
    ask: Callable[..., Result], authority: Authority, seconds: float
) -> None:
    server = RawServer(trickle(reply(PART, length=9000), b"a", lambda: server), authority.context("127.0.0.1"))
    with server:
        result = ask(server.url(), "--timeout", f"{seconds}", "--ca-bundle", authority.file)
        assert exchanges_that_stay() == []
        assert not server.closing.is_set()
    assert result == too_late(f"127.0.0.1:{server.port}", f"{seconds}", "the answer had begun, and was not whole")


@patient(0.5, 10)
def test_a_server_that_accepts_and_says_nothing_of_tls(ask: Callable[..., Result], seconds: float) -> None:
    server = RawServer(lambda *talk: server.stall(*talk), at_once=True)
    with server:
        result = ask(f"https://127.0.0.1:{server.port}/token", "--timeout", f"{seconds}")
    assert result == too_late(f"127.0.0.1:{server.port}", f"{seconds}", "TLS was not agreed on yet")


def test_a_connection_that_is_never_accepted(ask: Callable[..., Result]) -> None:
    with socket.socket() as listener, contextlib.ExitStack() as crowd:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):  # its queue is full now: a further SYN is dropped
            waiting = crowd.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        result = ask(f"http://127.0.0.1:{address[1]}/token", "--timeout", "0.5")
    peer = f"127.0.0.1:{address[1]}"
    assert result == too_late(peer, "0.5", "there was no connection yet", "network.connection")


@patient(0.3, 10)
def test_a_name_that_takes_for_ever_to_resolve_is_left(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    resolving, found = threading.Event(), threading.Event()
    accepted = socket.create_server(("127.0.0.1", 0))
    real = socket.create_connection

    def connect(address: tuple[str, int], timeout: float, **_: object) -> socket.socket:
        resolving.set()
        assert found.wait(20)
        return real(accepted.getsockname(), timeout)

    monkeypatch.setattr(socket, "create_connection", connect)
    with accepted:
        result = ask("https://bank.example/token", "--timeout", f"{seconds}")
        assert resolving.is_set()
        found.set()  # too late: what comes of it is closed at once
        peer, _ = accepted.accept()
        with peer:
            assert peer.recv(1) == b""
        assert exchanges_that_stay() == []
    assert result == too_late("bank.example", f"{seconds}", "there was no connection yet", "network.connection")


def test_no_request_goes_out_when_the_time_is_over(server: ScriptedServer) -> None:
    server.says(Says())
    with HttpClient(0) as http, pytest.raises(TimedOutError) as failure:
        http.get(server.url)
    assert failure.value.details == ("there was no time left to ask",)
    assert server.requests == []


@patient(1.2, 10)
def test_all_attempts_share_the_time_allowed(ask: Callable[..., Result], seconds: float) -> None:
    def talk(connection: socket.socket, request: bytes) -> None:
        if len(server.requests) < 2:
            connection.sendall(b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n")
        else:
            server.stall(connection, request)

    server = RawServer(talk)
    with server:
        result = ask(server.url(), "--timeout", f"{seconds}")
    assert len(server.requests) == 2
    assert (result.code, result.stdout) == (5, "")
    assert f"within {seconds} s\n" in result.stderr
    assert (
        "    that was attempt 2 of 3\n    the attempt before it: the server cannot answer now: 503 Busy; "
        "it asks to wait 0 s\n"
    ) in result.stderr


def _hear_ctrl_c() -> None:
    """A shell starts what runs in its background, such as this suite, deaf to Ctrl-C; children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.posix("to a process on Windows no Ctrl-C can be sent alone")
def test_ctrl_c_while_waiting_for_the_answer_is_130_and_silent(ec_pem: Path) -> None:
    asked = threading.Event()

    def talk(connection: socket.socket, request: bytes) -> None:
        asked.set()
        server.stall(connection, request)

    server = RawServer(talk)
    with server:
        where = ["--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", server.url()]
        command = [sys.executable, "-m", "banno_creds", "client-assertion", "-q", *where]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, preexec_fn=_hear_ctrl_c) as running:
            assert asked.wait(60)
            running.send_signal(signal.SIGINT)
            assert (*running.communicate(timeout=60), running.returncode) == (b"", b"", 130)


def test_an_interrupted_wait_ends_the_exchange(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(functools.partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    _hear_ctrl_c()

    def talk(connection: socket.socket, request: bytes) -> None:
        if sys.platform == "win32":
            _thread.interrupt_main()  # as Ctrl-C in a console; os.kill would end the process
        else:
            os.kill(os.getpid(), signal.SIGINT)
        server.stall(connection, request)

    server = RawServer(talk)
    with server:
        with HttpClient(600) as http, pytest.raises(KeyboardInterrupt):
            http.get(server.url())
        if sys.platform != "win32":  # where its thread ends with the answer, or its time
            assert exchanges_that_stay() == []
        assert not server.closing.is_set()


def test_an_interrupt_while_the_exchange_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, the request may be on its way before the thread that asks for it goes on."""
    asked, start = threading.Event(), threading.Thread.start

    def talk(connection: socket.socket, request: bytes) -> None:
        asked.set()
        server.stall(connection, request)

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "banno-creds exchange":
            assert asked.wait(60)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    server = RawServer(talk)
    with server, HttpClient(600) as http:
        with pytest.raises(KeyboardInterrupt):
            http.get(server.url())
        assert exchanges_that_stay() == []
        assert not server.closing.is_set()


@pytest.mark.posix("Windows does not list a process's descriptors")
def test_no_thread_socket_or_descriptor_is_left(server: ScriptedServer) -> None:
    server.says(Says(200, b"{}"))

    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - iterdir would keep one open

    with HttpClient(20) as http:
        http.get(server.url)
        before = descriptors()
        for _ in range(20):
            http.get(server.url)
            http.post_form(server.url, [("a", "b")])
    gc.collect()
    for _ in range(250):  # the server's side closes a moment later
        if descriptors() <= before:
            break
        time.sleep(0.02)
    assert descriptors() <= before


def test_one_client_serves_several_threads(server: ScriptedServer) -> None:
    server.says(Says(200, b"{}"))
    statuses = []
    with HttpClient(20) as http:
        threads = [threading.Thread(target=lambda: statuses.append(http.get(server.url).status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 8


# --- Whom it trusts ---


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "other")


@pytest.fixture
def secure(authority: Authority) -> Iterator[RawServer]:
    """A TLS server that the authority vouches for, and nobody else."""
    with RawServer(sends(reply()), authority.context("127.0.0.1", "localhost")) as server:
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("form", ["file", hashed_folder])
def test_a_ca_bundle_is_a_file_or_a_hashed_folder(
    ask: Callable[..., Result], secure: RawServer, authority: Authority, form: str, host: str
) -> None:
    assert ask(secure.url(host), "--ca-bundle", getattr(authority, form)) == TOKEN


@pytest.mark.parametrize(
    ("variable", "form"),
    [
        pytest.param(
            "SSL_CERT_FILE", "file", marks=pytest.mark.no_wine("Wine finds no address in a certificate's names")
        ),
        pytest.param("SSL_CERT_DIR", "folder", marks=pytest.mark.posix("Windows' own store has no folder")),
    ],
)
def test_the_systems_store_is_where_openssl_says_it_is(
    ask: Callable[..., Result], secure: RawServer, authority: Authority, variable: str, form: str
) -> None:
    assert ask(secure.url(), env={variable: str(getattr(authority, form))}) == TOKEN


@pytest.mark.posix("Windows' own store has no folder")
def test_several_folders_in_ssl_cert_dir(
    ask: Callable[..., Result], secure: RawServer, authority: Authority, other_authority: Authority
) -> None:
    both = os.pathsep.join(map(str, (other_authority.folder, authority.folder)))
    assert ask(secure.url(), env={"SSL_CERT_DIR": both}) == TOKEN


def test_a_ca_bundle_is_trusted_instead_of_the_systems_store(
    ask: Callable[..., Result], secure: RawServer, authority: Authority, other_authority: Authority
) -> None:
    result = ask(secure.url(), "--ca-bundle", other_authority.file, env={"SSL_CERT_FILE": str(authority.file)})
    assert result.code == 5


UNKNOWN = (
    "a certificate authority this machine does not know (an inspecting proxy?): add it to the operating system's "
    "trust store, or name it with --ca-bundle FILE"
)


@pytest.mark.no_wine("Wine trusts a partial chain")
def test_an_unknown_authority(ask: Callable[..., Result], secure: RawServer, pauses: list[float]) -> None:
    assert ask(secure.url()) == failed(
        f"The certificate of 127.0.0.1:{secure.port} is not trusted: unable to get local issuer certificate",
        hint=UNKNOWN,
        rule="network.tls.untrusted",
        attempts=1,
    )
    assert secure.requests == []
    assert pauses == []


def test_a_certificate_that_has_expired(ask: Callable[..., Result], authority: Authority) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    context = authority.context("127.0.0.1", not_before=past - timedelta(days=9), not_after=past)
    with RawServer(sends(reply()), context) as server:
        result = ask(server.url(), "--ca-bundle", authority.file)
    assert result == failed(
        f"The certificate of 127.0.0.1:{server.port} is not trusted: certificate has expired",
        hint="the server's certificate has expired: check this machine's clock, then tell the server's operator",
        rule="network.tls.expired",
        attempts=1,
    )
    assert server.requests == []


def test_a_certificate_that_is_not_valid_yet(ask: Callable[..., Result], authority: Authority) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with RawServer(sends(reply()), authority.context("127.0.0.1", not_before=tomorrow)) as server:
        result = ask(server.url(), "--ca-bundle", authority.file)
    assert result.code == 5
    assert result.stderr.endswith(
        "    Next: the server's certificate is not valid yet: check this machine's clock\n"
        "    More: banno-creds explain network.tls.expired\n"
    )
    assert server.requests == []


@pytest.mark.parametrize(("host", "names"), [("127.0.0.1", ["localhost"]), ("localhost", ["bank.example"])])
def test_a_certificate_for_another_host(
    ask: Callable[..., Result], authority: Authority, host: str, names: list[str]
) -> None:
    with RawServer(sends(reply()), authority.context(*names)) as server:
        result = ask(server.url(host), "--ca-bundle", authority.file)
    assert result.code == 5
    assert f"✗   The certificate of {host}:{server.port} is not trusted: " in result.stderr
    assert result.stderr.endswith(
        "    Next: the certificate is for another host: check the URL\n"
        "    More: banno-creds explain network.tls.host\n"
    )
    assert server.requests == []


@pytest.mark.no_wine("Wine trusts a partial chain")
def test_a_self_signed_certificate(ask: Callable[..., Result], tmp_path: Path) -> None:
    context, certificate = self_signed(tmp_path, "CN=here", "127.0.0.1")
    with RawServer(sends(reply()), context) as server:
        refused = ask(server.url())
        assert server.requests == []
        assert ask(server.url(), "--ca-bundle", certificate) == TOKEN
    assert refused == failed(
        f"The certificate of 127.0.0.1:{server.port} is not trusted: self-signed certificate",
        hint="a self-signed certificate: name it with --ca-bundle FILE if you trust it",
        rule="network.tls.untrusted",
        attempts=1,
    )


def test_tls_to_a_port_that_speaks_plain_http(ask: Callable[..., Result], server: ScriptedServer) -> None:
    result = ask(server.url.replace("http:", "https:"))
    assert (result.code, result.stdout) == (5, "")
    assert result.stderr.startswith("✗   TLS with 127.0.0.1:")
    assert result.stderr.endswith("    More: banno-creds explain network.tls.handshake\n")
    assert "check that the port speaks TLS (1.2 or later)" in result.stderr
    assert server.requests == []


def test_tls_before_1_2_is_not_spoken(ask: Callable[..., Result], authority: Authority) -> None:
    context = authority.context("127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with RawServer(sends(reply()), context) as server:
        result = ask(server.url(), "--ca-bundle", authority.file)
    assert result.code == 5
    assert "✗   TLS with 127.0.0.1:" in result.stderr
    assert server.requests == []


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "unhashed folder", "empty folder"])
def test_a_ca_bundle_that_cannot_be_used(
    ask: Callable[..., Result], tmp_path: Path, authority: Authority, kind: str
) -> None:
    path = tmp_path / "bundle"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("no certificate")
    elif "folder" in kind:
        path.mkdir()
        if kind.startswith("unhashed"):
            shutil.copy(authority.file, path / "ca.pem")
    fault = {
        "missing": "No such file or directory",
        "empty": "it holds no PEM certificate",
        "text": "it holds no PEM certificate",
    }.get(kind, "it is a folder without hashed certificates")
    assert ask("https://127.0.0.1:1/token", "--ca-bundle", path) == Result(
        2,
        "",
        f"✗   The CA bundle {path} cannot be read: {fault}\n"
        "    Next: name a file of PEM certificates, or a folder made by: openssl rehash\n"
        "    More: banno-creds explain configuration.invalid\n",
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/token", "https://bank.example/token"])
def test_a_missing_ca_bundle_is_found_before_anything_is_asked(url: str, tmp_path: Path) -> None:
    with HttpClient(5, tmp_path / "missing") as http:
        with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
            http.check(url)
        with pytest.raises(ConfigurationError, match="the CA bundle"):
            http.get(url)


@pytest.mark.parametrize("proxy", ["ftp://x", "socks5://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_found_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with HttpClient(5) as http:
        http.check("http://127.0.0.1/token")
        with pytest.raises(ConfigurationError, match="the proxy from the environment"):
            http.check(BANK)


def test_what_was_checked_is_not_found_out_again(
    monkeypatch: pytest.MonkeyPatch, secure: RawServer, authority: Authority
) -> None:
    built: list[object] = []

    def watch(module: object, name: str) -> None:
        real = getattr(module, name)

        def build(of: object) -> object:
            built.append(of)
            return real(of)

        monkeypatch.setattr(module, name, build)

    watch(trust, "read_bundle")
    watch(proxies, "proxy_for")
    with HttpClient(20, authority.file) as http:
        http.check(secure.url())
        assert secure.connections == 0
        http.get(secure.url())
        http.get(secure.url())
    assert sorted(map(str, built)) == sorted([secure.url(), str(authority.file)])


def test_nothing_is_loaded_for_plain_http(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> None:
    monkeypatch.delattr(trust, "system_store")
    server.says(Says(200, b"{}"))
    with HttpClient(20) as http:
        http.check(server.url)
        assert http.get(server.url).status == 200


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(tmp_path, monkeypatch)


def whole_store(found: tuple[ssl.SSLContext, bool]) -> bool:
    """Whether it is truststore that decides, and knows that it is all there is."""
    context, is_part = found
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert is_part != hasattr(context, "_ctx")  # what truststore asks by
    return not is_part


@linux
def test_a_systems_folder_is_read_on_demand(
    ask: Callable[..., Result], store: Store, secure: RawServer, authority: Authority
) -> None:
    store.fill(folder=authority, bundle=authority)
    found = trust.system_store()
    assert not whole_store(found)
    assert found[0].cert_store_stats()["x509"] == 0
    assert ask(secure.url()) == TOKEN


@linux
@pytest.mark.parametrize("age", [-10, 10])
def test_an_authority_that_the_bundle_alone_has_is_trusted_too(
    ask: Callable[..., Result],
    store: Store,
    secure: RawServer,
    authority: Authority,
    other_authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    age: int,
) -> None:
    store.fill(folder=other_authority, bundle=authority)
    changed = store.folder.stat().st_mtime + age
    os.utime(store.bundle, (changed, changed))
    assert not whole_store(trust.system_store())
    # OpenSSL was built with other places than these: truststore asks it, not Python.
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", lambda c: c.load_verify_locations(store.bundle))
    assert ask(secure.url()) == TOKEN
    assert secure.connections == 2
    with HttpClient(20) as http:  # the second request knows already
        assert http.get(secure.url()).status == http.get(secure.url()).status == 200
    assert secure.connections == 5


@linux
def test_an_authority_that_neither_has_is_not_trusted_and_asked_about_once_more(
    ask: Callable[..., Result], store: Store, secure: RawServer, other_authority: Authority
) -> None:
    store.fill(folder=other_authority, bundle=other_authority)
    assert ask(secure.url()).stderr.startswith(f"✗   The certificate of 127.0.0.1:{secure.port} is not trusted: ")
    assert secure.connections == 2
    assert secure.requests == []


@linux
@pytest.mark.parametrize("name", ["ca-certificates.crt", "corp.pem"])
def test_a_bundle_that_the_environment_names_inside_a_hashed_folder_is_trusted(
    ask: Callable[..., Result],
    secure: RawServer,
    tmp_path: Path,
    authority: Authority,
    other_authority: Authority,
    name: str,
) -> None:
    folder = tmp_path / "certs"
    shutil.copytree(other_authority.folder, folder, symlinks=True)
    shutil.copy(authority.file, folder / name)
    os.utime(folder / name, (1, 1))
    assert ask(secure.url(), env={"SSL_CERT_DIR": str(folder), "SSL_CERT_FILE": str(folder / name)}) == TOKEN
    assert ask(secure.url(), env={"SSL_CERT_FILE": str(folder / name)}) == TOKEN
    assert secure.connections == 2


@linux
def test_a_folder_that_is_not_that_of_the_bundle_is_not_taken_for_the_whole_store(
    store: Store, tmp_path: Path, authority: Authority, other_authority: Authority
) -> None:
    store.fill(folder=other_authority, bundle=authority)
    store.bundle.rename(tmp_path / "tls-ca-bundle.pem")
    store.file.unlink()
    store.file.symlink_to(tmp_path / "tls-ca-bundle.pem")
    assert whole_store(trust.system_store())


@linux
def test_a_folder_without_hashes_and_another_system_are_left_to_truststore(
    store: Store, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(authority.file, store.bundle)
    store.file.symlink_to(store.bundle)
    assert whole_store(trust.system_store())
    shutil.copy(authority.file, store.folder / "0a1b2c3d.0")
    monkeypatch.setattr(sys, "platform", "aix")
    assert whole_store(trust.system_store())


# --- Plain http ---


def test_localhost_that_leads_elsewhere_is_sent_nothing(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    address = own_address()
    with socket.create_server((address, 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        result = ask(f"http://localhost:{port}/token")
        elsewhere.settimeout(20)
        peer, _ = elsewhere.accept()
        with peer:
            peer.settimeout(20)
            assert peer.recv(1) == b""
    assert result == failed(
        f"localhost:{port} is not this machine: the name leads to {address}",
        hint="look at the hosts file and the resolver; nothing was sent, for plain http is for loopback only",
        rule="network.dns",
        attempts=1,
    )
    assert pauses == []


def test_plain_http_goes_to_localhost_where_that_is_this_machine(
    ask: Callable[..., Result], server: ScriptedServer
) -> None:
    server.says(Says(200, json.dumps(GRANTED).encode()))
    assert ask(server.url.replace("127.0.0.1", "localhost")) == TOKEN


# --- Through whom it goes ---


BANK = "https://bank.example/token"


@pytest.fixture
def bank(authority: Authority) -> Iterator[RawServer]:
    with RawServer(sends(reply()), authority.context("bank.example")) as server:
        yield server


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_request_goes_through_the_proxy(
    ask: Callable[..., Result], bank: RawServer, authority: Authority, variable: str, scheme: str
) -> None:
    with Proxy(bank.port) as proxy:
        env = {variable: f"{scheme}127.0.0.1:{proxy.port}"}
        assert ask(BANK, "--ca-bundle", authority.file, env=env) == TOKEN
    assert len(bank.requests) == 1
    (connect,) = proxy.requests
    assert connect.startswith(b"CONNECT bank.example:443 HTTP/1.1\r\n")
    assert b"client_assertion" not in connect


def test_the_proxys_user_and_password_go_to_the_proxy_alone(
    ask: Callable[..., Result], bank: RawServer, authority: Authority
) -> None:
    with Proxy(bank.port) as proxy:
        env = {"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}/"}
        assert ask(BANK, "--ca-bundle", authority.file, env=env) == TOKEN
    assert b"\r\nProxy-Authorization: Basic " in proxy.requests[0]
    assert b"authorization" not in bank.requests[0].lower()


def test_an_https_proxy_is_trusted_as_the_server_is(
    ask: Callable[..., Result], bank: RawServer, authority: Authority
) -> None:
    with Proxy(bank.port, context=authority.context("127.0.0.1")) as proxy:
        env = {"HTTPS_PROXY": f"https://127.0.0.1:{proxy.port}"}
        assert ask(BANK, "--ca-bundle", authority.file, env=env) == TOKEN
        assert ask(BANK, env=env).code == 5
    assert len(bank.requests) == 1


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        *((no_proxy, BANK) for no_proxy in ("bank.example", ".example", "example", "*", "a.example, bank.example")),
        ("bank.example:8443", "https://bank.example:8443/token"),
        ("2001:db8::1", "https://[2001:db8::1]/token"),
    ],
)
def test_no_proxy_is_honoured(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str
) -> None:
    asked = []

    def getaddrinfo(host: str, *_: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Proxy(1) as proxy:
        env = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": no_proxy}
        result = ask(url, env=env)
    assert result.code == 5
    assert set(asked) == {urlsplit(url).hostname}
    assert proxy.requests == []


@pytest.mark.parametrize("secured", [False, True])
def test_loopback_is_never_reached_through_a_proxy(
    ask: Callable[..., Result], server: ScriptedServer, secure: RawServer, authority: Authority, secured: bool
) -> None:
    server.says(Says(200, json.dumps(GRANTED).encode()))
    with Proxy(1) as proxy:
        named = f"http://127.0.0.1:{proxy.port}"
        env = {"HTTP_PROXY": named, "HTTPS_PROXY": named, "ALL_PROXY": named, "http_proxy": named}
        url = secure.url("localhost") if secured else server.url
        assert ask(url, "--ca-bundle", authority.file, env=env) == TOKEN
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("status", "asked"),
    [("407 Proxy Authentication Required", 1), ("403 Forbidden", 1), ("503 Service Unavailable", 3)],
)
def test_a_proxy_that_says_no(ask: Callable[..., Result], status: str, asked: int, pauses: list[float]) -> None:
    with Proxy(1, status) as proxy:
        result = ask(BANK, env={"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}"})
    assert result == failed(
        f"The proxy would not connect to bank.example: {status}",
        hint=f"{PROXY_HINT}, and at the proxy's user name and password",
        rule="network.proxy",
        attempts=asked,
    )
    assert len(proxy.requests) == asked
    assert len(pauses) == asked - 1


def test_a_proxy_that_is_not_there_is_named(ask: Callable[..., Result]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        result = ask(BANK, env={"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:{port}"})
    message = f"The proxy 127.0.0.1:{port} refused the connection: nothing listens there"
    assert result == failed(message, hint=PROXY_HINT, rule="network.connection")


def test_a_proxy_whose_name_cannot_be_resolved_is_named(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    result = ask(BANK, env={"HTTPS_PROXY": "http://proxy.invalid:3128"})
    message = "The proxy proxy.invalid:3128 cannot be resolved: Temporary failure in name resolution"
    assert result == failed(message, hint=PROXY_HINT, rule="network.dns")


def test_a_proxy_that_hangs_up(ask: Callable[..., Result]) -> None:
    with RawServer(sends(b"")) as proxy:
        result = ask(BANK, env={"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})
    assert result.code == 5
    assert result.stderr.endswith("    More: banno-creds explain network.proxy\n")
    assert len(proxy.requests) == 3


@pytest.mark.parametrize(
    "proxy",
    [
        f"http://user:{PASSWORD}#x@proxy.example:3128",
        f"http://user:12#{PASSWORD}@proxy.example:3128",
        f"http://user:12/{PASSWORD}@proxy.example:3128",
        f"http://user:12?{PASSWORD}@proxy.example:3128",
        f"{PASSWORD}://proxy.example:3128",
        f"ftp://user:{PASSWORD}@proxy.example:3128",
        f"user:{PASSWORD}@proxy.example:port",
        "http://",
    ],
)
def test_a_proxy_that_is_no_url_is_said_without_its_words(ask: Callable[..., Result], proxy: str) -> None:
    assert ask(BANK, env={"HTTPS_PROXY": proxy}) == Result(
        2,
        "",
        "✗   The proxy from the environment cannot be used: it is no URL like http://host:port\n"
        f"    Next: {PROXY_HINT}; characters such as # / ? @ in its password have to be percent-encoded\n"
        "    More: banno-creds explain network.proxy\n",
    )


def test_a_socks_proxy_without_what_speaks_to_one(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    assert ask(BANK, env={"ALL_PROXY": f"socks5://user:{PASSWORD}@127.0.0.1:1080"}) == Result(
        2,
        "",
        "✗   The proxy from the environment is a SOCKS proxy, and what speaks to one is not installed\n"
        '    Next: pip install "httpx[socks]"\n'
        "    More: banno-creds explain network.proxy\n",
    )


def test_a_broken_proxy_that_is_not_used_breaks_nothing(ask: Callable[..., Result], server: ScriptedServer) -> None:
    server.says(Says(200, json.dumps(GRANTED).encode()))
    assert ask(server.url, env={"HTTPS_PROXY": "ftp://x", "ALL_PROXY": "socks5://x", "HTTP_PROXY": "::"}) == TOKEN


def test_errors_have_their_place_in_the_tree() -> None:
    with HttpClient(5) as http, pytest.raises(ConfigurationError):
        http.get(f"https://{'a' * 64}.example/")
    with HttpClient(5) as http, pytest.raises(NetworkError):
        http.get("http://127.0.0.1:1/")
