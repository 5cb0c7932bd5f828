"""The redirection endpoint, asked by browsers, strangers and attackers over real sockets."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pytest

from banno_creds.errors import ConfigurationError, TimedOutError
from banno_creds.redirection import endpoint as redirection_endpoint
from banno_creds.redirection import listeners, loopback_server, pages
from banno_creds.redirection.certificate import LocalhostCertificate, localhost_certificate
from banno_creds.redirection.endpoint import RedirectionEndpoint, parse_redirect_uri
from banno_creds.redirection.loopback_server import Answer, Request
from tests.person import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

T = TypeVar("T")

STATE = "af0ifjsldkj"
CODE = "SplxlOBeZQQYbYS6WxSbIA"
CALLBACK = f"/auth/cb?code={CODE}&state={STATE}"
PAGE = "<!DOCTYPE html><title>me</title>"
SECONDS = 20.0  # far more than anything here takes
MOST_HEAD = 16 * 1024


@pytest.fixture(autouse=True)
def _nothing_is_printed_or_logged(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ("", "")
    assert caplog.get_records("call") == []
    assert "loopback server" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> LocalhostCertificate:
    return localhost_certificate(str(tmp_path_factory.mktemp("state") / "banno-creds"))


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str
    raw: bytes


class Person:
    """A client that sends bytes and reads the answer."""

    def __init__(self, port: int, certificate: LocalhostCertificate | None, address: str = "127.0.0.1") -> None:
        self.port = port
        self.certificate = certificate
        self.address = address

    def connect(self) -> socket.socket:
        connection = socket.create_connection((self.address, self.port), SECONDS)
        if self.certificate is None:
            return connection
        context = ssl.create_default_context(cafile=self.certificate.path)
        return context.wrap_socket(connection, server_hostname="localhost")

    def sends(self, content: bytes) -> Reply | None:
        with self.connect() as connection:
            connection.sendall(content)
            # Over TLS the server lets such a client close first; it does so when it has the whole answer.
            closes_first = self.certificate is not None and (
                len(content) > MOST_HEAD or not content.startswith((b"GET ", b"HEAD "))
            )
            raw = everything(connection, is_whole if closes_first else lambda _: False)
        return parsed(raw) if raw else None

    def gets(self, target: str, *headers: str, method: str = "GET", host: str | None = None) -> Reply:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or f'localhost:{self.port}'}", *headers, "", ""]
        reply = self.sends("\r\n".join(lines).encode())
        assert reply is not None
        return reply


def everything(connection: socket.socket, enough: Callable[[bytes], bool] = lambda _: False) -> bytes:
    received = b""
    try:
        while not enough(received) and (piece := connection.recv(65536)):
            received += piece
    except ConnectionResetError:
        pass
    return received


def is_whole(raw: bytes) -> bool:
    head, end, body = raw.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


def parsed(raw: bytes) -> Reply:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = [line.split(": ", 1) for line in lines]
    names = [name.lower() for name, _ in headers]
    assert len(set(names)) == len(names)
    return Reply(int(status.split()[1]), {name.lower(): value for name, value in headers}, body.decode(), raw)


def in_the_background(act: Callable[[], T]) -> Future[T]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(act)
    pool.shutdown(wait=False)
    return future


class Open(NamedTuple):
    endpoint: RedirectionEndpoint
    person: Person

    def browser_comes_back(self) -> Future[Reply]:
        """The browser comes, and waits."""
        reply = in_the_background(lambda: self.person.gets(CALLBACK))
        assert self.endpoint.wait(SECONDS) == {"code": CODE, "state": STATE}
        return reply

    def finishes(self, path: str = "/me", **options: Any) -> Future[bool]:
        return in_the_background(lambda: self.endpoint.finish(PAGE, path, **{"seconds": SECONDS} | options))


@contextmanager
def opened(scheme: str, certificate: LocalhostCertificate, host: str = "localhost") -> Iterator[Open]:
    port = free_port()
    with RedirectionEndpoint(f"{scheme}://{host}:{port}/auth/cb", STATE, certificate=certificate) as endpoint:
        yield Open(endpoint, Person(port, certificate if scheme == "https" else None))


@pytest.fixture(params=["http", "https"])
def both(request: pytest.FixtureRequest, certificate: LocalhostCertificate) -> Iterator[Open]:
    """One over http, one over https."""
    with opened(request.param, certificate) as running:
        yield running


@pytest.fixture
def plain(certificate: LocalhostCertificate) -> Iterator[Open]:
    """One over http, where the transport makes no difference."""
    with opened("http", certificate) as running:
        yield running


# --- the redirect URI -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("redirect_uri", "parts"),
    [
        ("https://localhost:8080/auth/cb", ("https", "localhost", 8080, "/auth/cb")),
        ("http://localhost:8080/Auth/CB/", ("http", "localhost", 8080, "/Auth/CB/")),
        ("http://127.0.0.1:3000/a%2Fb", ("http", "127.0.0.1", 3000, "/a%2Fb")),
        ("https://[::1]:3000//x", ("https", "::1", 3000, "//x")),
        ("https://localhost", ("https", "localhost", 443, "/")),
        ("http://LOCALHOST/cb?tenant=1", ("http", "localhost", 80, "/cb")),
        ("http://localhost:1/a..b/.c", ("http", "localhost", 1, "/a..b/.c")),
    ],
)
def test_a_redirect_uri_is_taken_as_it_is_registered(redirect_uri: str, parts: tuple[object, ...]) -> None:
    assert parse_redirect_uri(redirect_uri) == parts


@pytest.mark.parametrize(
    ("redirect_uri", "faults"),
    [
        ("https://example.com/cb", ["neither localhost nor"]),
        ("https://0.0.0.0:8080/cb", ["neither localhost nor"]),
        ("https://127.0.0.2:8080/cb", ["neither localhost nor"]),
        ("https://localhost.:8080/cb", ["neither localhost nor"]),
        ("https://app.localhost:8080/cb", ["neither localhost nor"]),
        ("myapp://localhost:8080/cb", ["neither https:// nor http://"]),
        ("localhost:8080/cb", ["neither https:// nor http://"]),
        ("/auth/cb", ["neither https:// nor http://"]),
        ("https:///cb", ["names no host"]),
        ("https://localhost:0/cb", ["port 0"]),
        ("https://localhost:99999/cb", ["is no URL"]),
        ("https://localhost:8o80/cb", ["is no URL"]),
        ("https://[::1/cb", ["is no URL"]),
        ("https://localhost:8080/cb#x", ["fragment"]),
        ("https://localhost:8080/cb#", ["fragment"]),
        ("https://localhost:8080/a/../cb", ["would change its path"]),
        ("https://localhost:8080/%2e%2E", ["would change its path"]),
        ("https://localhost:8080/a\\b", ["would change its path"]),
        ("https://localhost:8080/c b", ["white space"]),
        ("https://example.com:0/é#x", ["neither localhost nor", "port 0", "outside ASCII", "fragment"]),
    ],
)
def test_a_redirect_uri_that_cannot_be_listened_on_is_refused_with_all_its_faults(
    redirect_uri: str, faults: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedirectionEndpoint(redirect_uri, STATE)
    assert caught.value.exit_code == 2
    assert [fault for fault in faults if fault not in caught.value.message] == []
    assert caught.value.hint


def test_a_redirect_uri_of_another_host_needs_pasting() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_redirect_uri("https://example.com/cb")
    assert caught.value.fields == ("manual",)


@pytest.mark.parametrize(
    "redirect_uri", ["https://me:hunter2@localhost:8080/cb", "https://me:hunter2@localhost:x/cb"]
)
def test_a_password_in_a_redirect_uri_is_refused_and_not_shown(redirect_uri: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_redirect_uri(redirect_uri)
    assert "hunter2" not in caught.value.message


# --- where it listens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "addresses"),
    [("localhost", ["127.0.0.1", "::1"]), ("127.0.0.1", ["127.0.0.1"]), ("[::1]", ["::1"])],
)
def test_it_listens_on_loopback_alone(
    host: str, addresses: list[str], certificate: LocalhostCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    def listen(host: str, port: int) -> list[socket.socket]:
        sockets = listeners.listen(host, port)
        seen.extend(each.getsockname()[:2] for each in sockets)
        return sockets

    monkeypatch.setattr(redirection_endpoint, "listen", listen)
    with opened("http", certificate, host) as (endpoint, person):
        assert seen == [(address, person.port) for address in addresses]
        assert endpoint.url == f"http://{host}:{person.port}/"
        for address in ("127.0.0.1", "::1"):
            somebody = Person(person.port, None, address)
            if address in addresses:
                assert somebody.gets("/", host=f"{host}:{person.port}").status == 404
            else:
                with pytest.raises(ConnectionRefusedError):
                    somebody.connect()


def test_a_browser_that_takes_ipv6_comes_back_too(both: Open) -> None:
    person = Person(both.person.port, both.person.certificate, "::1")
    reply = in_the_background(lambda: person.gets(CALLBACK))
    assert both.endpoint.wait(SECONDS)["code"] == CODE
    finished = both.finishes()
    cookie = reply.result(SECONDS).headers["set-cookie"].partition(";")[0]
    assert person.gets("/me", f"Cookie: {cookie}").body == PAGE
    assert finished.result(SECONDS)


HOLD = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family) as held:
    if family == socket.AF_INET6:
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, sys.argv[3] == "alone")
    if sys.platform != "win32":  # else a port is taken for a minute after its last connection; there, it never is
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((sys.argv[1], int(sys.argv[2])))
    held.listen()
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(address: str, port: int, alone: str = "alone") -> Iterator[int]:
    """Another process has the port; its process id."""
    command = [sys.executable, "-c", HOLD, address, str(port), alone]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline().split() == [b"held"]
            yield process.pid
        finally:
            process.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there the system tells who has a port")
@pytest.mark.parametrize(
    ("address", "alone", "named"),
    [
        ("127.0.0.1", "alone", "127.0.0.1"),
        ("::1", "alone", "[::1]"),
        ("0.0.0.0", "alone", "127.0.0.1"),
        ("::", "alone", "[::1]"),
        ("::", "both families", "127.0.0.1"),
    ],
)
def test_a_taken_port_is_an_error_that_names_who_has_it(address: str, alone: str, named: str) -> None:
    port = free_port()
    with held(address, port, alone) as pid:
        with pytest.raises(ConfigurationError) as caught:
            RedirectionEndpoint(f"http://localhost:{port}/cb", STATE)
        assert caught.value.message.startswith(f"port {port} on {named} is taken, by python")
        assert caught.value.message.endswith(f"(process {pid})")
        assert caught.value.fields == ("redirect_uri",)
        if named == "[::1]":  # what was had of it already is given back
            with socket.socket() as again:
                if sys.platform != "win32":  # as in `HOLD`
                    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                again.bind(("127.0.0.1", port))


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
def test_a_process_that_cannot_be_inspected_is_named_by_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> str:
        raise PermissionError(errno.EACCES, "no", str(path))

    port = free_port()
    monkeypatch.setattr(os, "readlink", refuse)
    with held("127.0.0.1", port), pytest.raises(ConfigurationError) as caught:
        RedirectionEndpoint(f"http://localhost:{port}/cb", STATE)
    assert caught.value.message.endswith(f"is taken, by a process of the user with the id {os.getuid()}")


def test_the_hint_says_how_to_find_the_program_if_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    platform, command = ("win32", "netstat -ano") if sys.platform == "win32" else ("darwin", f"lsof -nP -iTCP:{port}")
    with held("127.0.0.1", port):
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(ConfigurationError) as caught:
            RedirectionEndpoint(f"http://localhost:{port}/cb", STATE)
        monkeypatch.undo()
    assert caught.value.message == f"port {port} on 127.0.0.1 is taken"
    assert command in str(caught.value.hint)


def _sockets_that(fail: Callable[[socket.socket], None]) -> type[socket.socket]:
    class Fails(socket.socket):
        def bind(self, address: Any) -> None:
            fail(self)
            super().bind(address)

    return Fails


@pytest.mark.parametrize("reason", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv6_it_goes_on_with_ipv4(
    certificate: LocalhostCertificate, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    def fail(listener: socket.socket) -> None:
        if listener.family == socket.AF_INET6:
            raise OSError(reason, "no IPv6 here")

    port = free_port()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", _sockets_that(fail))
        endpoint = RedirectionEndpoint(f"http://localhost:{port}/auth/cb", STATE)
        with pytest.raises(ConfigurationError, match=r"cannot listen on \[::1\]"):
            RedirectionEndpoint(f"http://[::1]:{port}/auth/cb", STATE)
    with endpoint:
        assert Person(port, None).gets("/").status == 404


@pytest.mark.posix("tests/windows has the test for the ports that Windows forbids")
def test_a_forbidden_port_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(listener: socket.socket) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", _sockets_that(fail))
    with pytest.raises(ConfigurationError, match=r"port 443 on 127\.0\.0\.1 is not allowed") as caught:
        listeners.listen("localhost", 443)
    assert "1024" in str(caught.value.hint)


def test_the_port_of_a_login_that_just_ended_is_free_again(certificate: LocalhostCertificate) -> None:
    port = free_port()
    for _ in range(3):
        with RedirectionEndpoint(f"http://localhost:{port}/auth/cb", STATE):
            assert Person(port, None).gets("/").status == 404


# --- the answer that was waited for ---------------------------------------------------------------------------------


def test_the_browser_that_comes_back_is_sent_on_to_its_page(both: Open) -> None:
    reply = both.browser_comes_back()
    assert not reply.done()
    finished = both.finishes()
    redirect = reply.result(SECONDS)
    assert (redirect.status, redirect.headers["location"], redirect.body) == (303, "/me", "")
    cookie, *attributes = redirect.headers["set-cookie"].split("; ")
    assert {"Path=/me", "HttpOnly", "SameSite=Lax", "Max-Age=300"} <= set(attributes)
    assert ("Secure" in attributes) == (both.person.certificate is not None)
    assert CODE not in redirect.raw.decode()
    assert STATE not in redirect.raw.decode()
    page = both.person.gets("/me", f"Cookie: other=1; {cookie}")
    assert (page.status, page.body) == (200, PAGE)
    assert finished.result(SECONDS) is True
    # Looked at once more, it is still there.
    assert both.person.gets("/me", f"Cookie: {cookie}").body == PAGE


def test_nobody_else_sees_the_page(plain: Open) -> None:
    reply = plain.browser_comes_back()
    finished = plain.finishes()
    cookie = reply.result(SECONDS).headers["set-cookie"].partition(";")[0]
    for header in ("X-None: 1", "Cookie: banno_creds_login=x", f"Cookie: {cookie}x", f"Cookie: x{cookie}"):
        stranger = plain.person.gets("/me", header)
        assert (stranger.status, stranger.body) == (404, pages.not_found())
    assert plain.person.gets("/me/", f"Cookie: {cookie}").status == 404
    head = plain.person.gets("/me", f"Cookie: {cookie}", method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, "", str(len(PAGE)))
    assert plain.person.gets("/").status == 404  # whatever went before is over now
    assert not finished.done()
    assert plain.person.gets("/me", f"Cookie: {cookie}").status == 200
    assert finished.result(SECONDS) is True


def test_a_page_may_have_another_status(plain: Open) -> None:
    reply = plain.browser_comes_back()
    finished = plain.finishes("/failed", status=400)
    redirect = reply.result(SECONDS)
    assert (redirect.status, redirect.headers["location"]) == (303, "/failed")
    page = plain.person.gets("/failed", f"Cookie: {redirect.headers['set-cookie']}")
    assert (page.status, page.body) == (400, PAGE)
    assert finished.result(SECONDS) is True


def test_a_page_never_has_the_redirect_uris_own_path(plain: Open) -> None:
    reply = plain.browser_comes_back()
    finished = plain.finishes("/auth/cb")
    redirect = reply.result(SECONDS)
    assert redirect.headers["location"] == "/auth/cb/done"
    assert plain.person.gets("/auth/cb/done", f"Cookie: {redirect.headers['set-cookie']}").body == PAGE
    assert finished.result(SECONDS) is True


def test_finish_waits_no_longer_than_asked(plain: Open) -> None:
    reply = plain.browser_comes_back()
    assert plain.endpoint.finish(PAGE, "/me", seconds=0.05) is False
    assert reply.result(SECONDS).status == 303


def test_a_browser_that_hung_up_is_not_waited_for(both: Open) -> None:
    connection = both.person.connect()
    connection.sendall(f"GET {CALLBACK} HTTP/1.1\r\nHost: localhost:{both.person.port}\r\n\r\n".encode())
    assert both.endpoint.wait(SECONDS)["code"] == CODE
    connection.close()
    assert both.person.gets("/").status == 404  # by now it was noticed
    assert both.endpoint.finish(PAGE, "/me", seconds=1_000_000) is False


def test_finish_does_nothing_before_the_browser_came(plain: Open) -> None:
    assert plain.endpoint.finish(PAGE, "/me", seconds=1_000_000) is False


def test_an_error_is_an_answer_too_and_parameters_are_decoded(plain: Open) -> None:
    target = f"/auth/cb?error=access_denied&error_description=End-User+said%20no%C3%A9&empty=&state={STATE}"
    reply = in_the_background(lambda: plain.person.gets(target))
    expected = {"error": "access_denied", "error_description": "End-User said noé", "empty": "", "state": STATE}
    assert plain.endpoint.wait(SECONDS) == expected
    assert plain.endpoint.wait(SECONDS) == expected
    plain.endpoint.finish(PAGE, "/failed", seconds=0)
    assert reply.result(SECONDS).status == 303


def test_a_second_answer_is_told_so_and_changes_nothing(plain: Open) -> None:
    reply = plain.browser_comes_back()
    second = plain.person.gets(f"/auth/cb?code=other&state={STATE}")
    assert (second.status, second.body) == (409, pages.used())
    assert plain.endpoint.wait(SECONDS)["code"] == CODE
    plain.endpoint.finish(PAGE, "/me", seconds=0)
    assert reply.result(SECONDS).status == 303
    assert plain.person.gets(CALLBACK).status == 409


@pytest.mark.parametrize(
    "query", ["?code=x&state=other", "?code=x", "", "?", "?code=x&state=", f"?State={STATE}", "?state=é"]
)
def test_an_answer_with_another_state_is_counted_and_the_waiting_goes_on(plain: Open, query: str) -> None:
    told: list[str] = []
    reply = plain.person.gets("/auth/cb" + query.replace("é", "%C3%A9"))
    assert (reply.status, reply.body) == (400, pages.not_ours())
    assert plain.endpoint.strangers == 1
    ours = in_the_background(lambda: plain.person.gets(CALLBACK))
    assert plain.endpoint.wait(SECONDS, told.append)["code"] == CODE
    assert len(told) == 1
    plain.endpoint.finish(PAGE, "/me", seconds=0)
    assert ours.result(SECONDS).status == 303


def test_only_the_first_answer_with_another_state_is_reported_and_all_are_counted(plain: Open) -> None:
    told: list[str] = []
    for times in (1, 2):
        plain.person.gets("/auth/cb?state=other")
        plain.person.gets("/auth/cb?state=other")
        with pytest.raises(TimedOutError) as caught:
            plain.endpoint.wait(0, told.append)
        assert caught.value.details[1].startswith(f"{2 * times} answers of other logins came")
    assert [words[:39] for words in told] == ["an answer to another login came, and wa"]


@pytest.mark.parametrize(
    "target",
    [
        f"{CALLBACK}&state={STATE}",
        f"{CALLBACK}&state=other",
        f"{CALLBACK}&code=other",
        f"{CALLBACK}&%63ode=other",
        CALLBACK + "".join(f"&a{i}=1" for i in range(60)),
    ],
)
def test_an_answer_with_a_repeated_parameter_or_too_many_is_ignored(plain: Open, target: str) -> None:
    reply = plain.person.gets(target)
    assert reply.status == 400
    assert "was not used" in reply.body
    assert CODE not in reply.body
    with pytest.raises(TimedOutError):
        plain.endpoint.wait(0)
    ours = plain.browser_comes_back()
    plain.endpoint.finish(PAGE, "/me", seconds=0)
    assert ours.result(SECONDS).status == 303


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("error_description=f%FCr", "für"),
        ("error_description=f%C3%BCr", "für"),
        ("error_description=f%FCr%E2", "fürâ"),
    ],
)
def test_an_answer_in_latin_1_is_an_answer(query: str, words: str, plain: Open) -> None:
    reply = in_the_background(lambda: plain.person.gets(f"/auth/cb?error=access_denied&{query}&state={STATE}"))
    expected = {"error": "access_denied", "error_description": words, "state": STATE}
    assert plain.endpoint.wait(SECONDS) == expected
    plain.endpoint.finish(PAGE, "/failed", seconds=0)
    assert reply.result(SECONDS).status == 303


def refusals(running: Open) -> list[str]:
    """What the terminal is told of until now."""
    told: list[str] = []
    with pytest.raises(TimedOutError):
        running.endpoint.wait(0, told.append)
    return told


class Told(Exception):  # noqa: N818 - no error, but the end of the waiting
    pass


def next_refusal(running: Open) -> str:
    """What the terminal is told of next."""

    def tell(words: str) -> None:
        raise Told(words)

    with pytest.raises(Told) as told:
        running.endpoint.wait(SECONDS, tell)
    return str(told.value)


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("/auth/cb?code=x&state=other", {}, "an answer to another login came, and was not used: its state is not"),
        ("/auth/cb?code=x", {}, "an answer without state was not used"),
        ("/auth/cb?error=access_denied", {}, "an answer without state was not used"),
        ("/auth/cb", {}, "the browser came back without an answer"),
        (f"{CALLBACK}&state={STATE}", {}, "it has state twice"),
        (f"{CALLBACK}&code=other", {}, "it has code twice"),
        (f"{CALLBACK}&s3cret=1&s3cret=2", {}, "it has a parameter twice"),
        (CALLBACK + "".join(f"&a{i}=1" for i in range(60)), {}, "more than 50 parameters"),
        (CALLBACK, {"method": "POST"}, "a POST to /auth/cb was refused (response_mode form_post?)"),
        (CALLBACK, {"method": "PUT"}, "a PUT to /auth/cb was refused: only GET"),
        (
            CALLBACK,
            {"host": "evil.example"},
            "a request for the host evil.example was refused: it has to be localhost:",
        ),
        (CALLBACK, {"host": "127.0.0.1"}, "a request for the host 127.0.0.1 was refused"),
        (CALLBACK, {"host": " "}, "a request for the host (none) was refused"),
        (
            CALLBACK.replace("cb", "cb/"),
            {},
            "a request for /auth/cb/ was not used: the redirect URI's path is /auth/cb",
        ),
        (CALLBACK.replace("cb", "CB"), {}, "a request for /auth/CB was not used"),
        ("/" + "x" * 500, {}, "xxx…"),
    ],
)
def test_whatever_is_refused_is_told_at_once_and_once_without_a_secret(
    target: str, options: dict[str, Any], said: str, plain: Open
) -> None:
    for _ in range(3):
        assert plain.person.gets(target, **options).status >= 400
    [told] = refusals(plain)
    assert said in told
    assert told.isprintable()
    assert len(told) < 250
    assert not any(secret in told for secret in (CODE, STATE, "s3cret"))
    assert refusals(plain) == []


@pytest.mark.parametrize(
    "target",
    ["/favicon.ico", "/apple-touch-icon-precomposed.png", "/.well-known/appspecific/com.chrome.devtools.json"],
)
def test_what_a_browser_asks_for_by_itself_is_not_told(target: str, plain: Open) -> None:
    assert plain.person.gets(target).status == 404
    assert refusals(plain) == []


def test_a_flood_is_told_in_nine_lines(plain: Open) -> None:
    for number in range(30):
        plain.person.gets(f"/{number}")
    told = refusals(plain)
    assert len(told) == 9
    assert told[-1] == "more requests are refused, and nothing more is said of them"
    plain.browser_comes_back()
    plain.endpoint.finish(PAGE, "/me", seconds=0)


def test_https_where_http_is_registered_and_the_other_way_is_told(certificate: LocalhostCertificate) -> None:
    with opened("http", certificate) as running:
        with pytest.raises((ssl.SSLError, OSError)):
            Person(running.person.port, certificate).connect()
        assert next_refusal(running) == "a browser spoke https here, and the redirect URI begins with http://"
    with opened("https", certificate) as running:
        with socket.create_connection(("127.0.0.1", running.person.port), SECONDS) as connection:
            connection.sendall(b"GET /auth/cb HTTP/1.1\r\nHost: localhost\r\n\r\n")
            everything(connection)
        assert next_refusal(running) == "a browser spoke plain http here, and the redirect URI begins with https://"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", "a request was refused, because it cannot be read: it is no HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", "because it is too large: too many cookies"),
    ],
)
def test_an_unreadable_request_is_told(content: bytes, said: str, plain: Open) -> None:
    assert plain.person.sends(content) is not None
    [told] = refusals(plain)
    assert said in told


def test_it_gives_up_and_says_what_to_check(plain: Open) -> None:
    for _ in range(2):
        plain.person.gets("/auth/cb?state=other")
    with pytest.raises(TimedOutError, match="nobody signed in within 0 s") as caught:
        plain.endpoint.wait(0.05)
    assert caught.value.exit_code == 5
    assert caught.value.fields == ("wait",)
    assert caught.value.details[0].endswith(f"http://localhost:{plain.person.port}/auth/cb")
    assert caught.value.details[1].startswith("2 answers of other logins came")
    assert STATE not in f"{caught.value.message} {caught.value.hint} {caught.value.details}"


def test_no_secret_is_in_a_repr(plain: Open) -> None:
    reply = plain.browser_comes_back()
    assert STATE not in repr(plain.endpoint)
    assert CODE not in repr(plain.endpoint)
    plain.endpoint.finish(PAGE, "/me", seconds=0)
    reply.result(SECONDS)


# --- everything else ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/favicon.ico",
        "/me",
        "/auth",
        "/auth/cb/",
        "/AUTH/cb",
        "//auth/cb",
        "/auth//cb",
        "/auth%2Fcb",
        "/%61uth/cb",
        "/auth/./cb",
        "/auth/cb;x",
        "/auth/cb%3F",
        "auth/cb",
        "*",
        "http://localhost/auth/cb",
    ],
)
def test_every_other_path_is_not_found(plain: Open, target: str) -> None:
    reply = plain.person.gets(f"{target}?state={STATE}&code=x")
    assert (reply.status, reply.body) == (404, pages.not_found())
    with pytest.raises(TimedOutError):
        plain.endpoint.wait(0)
    assert plain.endpoint.strangers == 0


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("POST", CALLBACK, "GET"),
        ("HEAD", CALLBACK, "GET"),
        ("OPTIONS", CALLBACK, "GET"),
        ("get", CALLBACK, "GET"),
        ("DELETE", "/me", "GET, HEAD"),
    ],
)
def test_other_methods_are_not_allowed(plain: Open, method: str, target: str, allowed: str) -> None:
    reply = plain.person.gets(target, method=method)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    with pytest.raises(TimedOutError):
        plain.endpoint.wait(0)


def test_a_request_body_does_not_lose_the_answer(plain: Open) -> None:
    head = f"POST /auth/cb HTTP/1.1\r\nHost: localhost:{plain.person.port}\r\nContent-Length: 100000\r\n\r\n"
    reply = plain.person.sends(head.encode() + b"x" * 100_000)
    assert reply is not None
    assert reply.status == 405


@pytest.mark.parametrize(
    "headers",
    [
        "Host: evil.example:{port}",
        "Host: evil.example",
        "Host: localhost",
        "Host: localhost:1",
        "Host: localhost.:{port}",
        "Host: 127.0.0.1:{port}",
        "Host: localhost:{port}@evil.example",
        "Host:",
        "X-None: 1",
        "Host: localhost:{port}\r\nHost: localhost:{port}",
        "Host: localhost:{port}\r\nhost: evil.example",
    ],
)
def test_another_host_is_misdirected_and_learns_nothing(plain: Open, headers: str) -> None:
    """DNS rebinding: a page of evil.example whose name was made to mean 127.0.0.1."""
    for target in (CALLBACK, "/me", "/"):
        reply = plain.person.sends(
            f"GET {target} HTTP/1.1\r\n{headers.format(port=plain.person.port)}\r\n\r\n".encode()
        )
        assert reply is not None
        assert (reply.status, reply.headers["content-type"]) == (421, "text/plain; charset=utf-8")
        assert reply.body == "This is not the host that you asked for.\n"
    with pytest.raises(TimedOutError):
        plain.endpoint.wait(0)
    assert plain.endpoint.strangers == 0


def test_a_hosts_case_does_not_matter(plain: Open) -> None:
    assert plain.person.gets("/", host=f"LocalHost:{plain.person.port}").status == 404


@pytest.mark.parametrize(
    ("redirect_uri", "taken", "refused"),
    [
        ("https://localhost/cb", ["localhost", "localhost:443"], ["localhost:80", ""]),
        ("http://[::1]/cb", ["[::1]", "[::1]:80"], ["[", "::1", "[::1]:443"]),
    ],
)
def test_only_a_schemes_own_port_may_be_left_out(
    certificate: LocalhostCertificate,
    monkeypatch: pytest.MonkeyPatch,
    redirect_uri: str,
    taken: list[str],
    refused: list[str],
) -> None:
    monkeypatch.setattr(redirection_endpoint, "listen", lambda _host, _port: [])
    endpoint = RedirectionEndpoint(redirect_uri, STATE, certificate=certificate)
    with socket.socket() as connection:
        for status, hosts in ((404, taken), (421, refused)):
            for host in hosts:
                answer = endpoint._respond(Request("GET", "/", (("host", host),), connection))
                assert isinstance(answer, Answer)
                assert (host, answer.status) == (host, status)


def test_every_answer_forbids_what_it_does_not_need(plain: Open) -> None:
    reply = plain.browser_comes_back()
    finished = plain.finishes()
    redirect = reply.result(SECONDS)
    answers = [
        redirect,
        plain.person.gets("/me", f"Cookie: {redirect.headers['set-cookie']}"),
        plain.person.gets("/"),
        plain.person.gets("/", host="evil.example"),
        plain.person.gets("/", method="POST"),
        plain.person.gets(CALLBACK),
        plain.person.gets("/auth/cb"),
        plain.person.sends(b"x\r\n\r\n"),
    ]
    assert finished.result(SECONDS)
    for answer in answers:
        assert answer is not None
        headers = answer.headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["connection"] == "close"
        assert "server" not in headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy.pop("style-src").startswith("'sha256-")
        assert set(policy.values()) == {"'none'"}
        assert set(policy) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert [answer.status for answer in answers if answer] == [303, 200, 404, 421, 405, 409, 400, 400]
    assert answers[1] is not None
    assert answers[1].headers["content-type"] == "text/html; charset=utf-8"


# --- attacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"\r\n\r\n",
        b"\x00\xff\x16\x03\r\n\r\n",
        b"GET /auth/cb\r\n\r\n",
        b"GET /auth/cb HTTP/2.0\r\nHost: HOST\r\n\r\n",
        b"GET /auth/cb HTTP/1.1\r\nHost: HOST\r\n folded\r\n\r\n",
        b"GET /auth/cb HTTP/1.1\r\nHost : HOST\r\n\r\n",
        b"GET /auth/cb HTTP/1.1\r\nHost: HOST\nX: y\r\n\r\n",
        b"GET /auth/cb HTTP/1.1\r\nHost: HOST\r\nX: \x00\r\n\r\n",
        b"GET  /auth/cb HTTP/1.1\r\nHost: HOST\r\n\r\n",
        b"GET /auth/\xc3\xa9 HTTP/1.1\r\nHost: HOST\r\n\r\n",
    ],
)
def test_a_malformed_request_is_refused(both: Open, content: bytes) -> None:
    reply = both.person.sends(content.replace(b"HOST", f"localhost:{both.person.port}".encode()))
    assert reply is not None
    assert (reply.status, reply.body) == (400, "This request cannot be read.\n")


def test_a_head_that_is_too_large_is_refused(both: Open) -> None:
    most = MOST_HEAD
    head = f"GET / HTTP/1.1\r\nHost: localhost:{both.person.port}\r\nX: ".encode()
    for size, status in ((most, 404), (most + 1, 431), (10 * most, 431)):
        reply = both.person.sends(head + b"x" * (size - len(head) - 4) + b"\r\n\r\n")
        assert reply is not None
        assert reply.status == status


def test_a_client_without_tls_gets_nothing(certificate: LocalhostCertificate) -> None:
    with opened("https", certificate) as (_, person):
        for content in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\x00" * 100, os.urandom(100)):
            with socket.create_connection(("127.0.0.1", person.port), SECONDS) as connection:
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                assert b"HTTP" not in everything(connection)
        assert person.gets("/").status == 404


def test_tls_is_of_version_1_2_at_least(certificate: LocalhostCertificate) -> None:
    assert redirection_endpoint._tls(certificate).minimum_version == ssl.TLSVersion.TLSv1_2


def stalled(running: Open, sent: str) -> socket.socket:
    """A client that began a request, and does not continue."""
    person = Person(running.person.port, None) if sent == "nothing" else running.person
    connection = person.connect()
    if sent == "half a head":
        connection.sendall(b"GET /auth/cb HTTP/1.1\r\n")
    return connection


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("sent", ["nothing", "no request", "half a head", "a byte now and then"])
def test_a_request_that_stalls_is_closed_in_time(
    certificate: LocalhostCertificate, monkeypatch: pytest.MonkeyPatch, scheme: str, sent: str
) -> None:
    monkeypatch.setattr(loopback_server, "_REQUEST_SECONDS", 0.1 if scheme == "http" else 0.5)
    with opened(scheme, certificate) as running, stalled(running, sent) as connection:
        if sent == "a byte now and then":
            connection.settimeout(0.02)
        assert _dripped(connection) == b""


def test_stalled_requests_do_not_delay_others(both: Open) -> None:
    with ExitStack() as stack:
        for sent in ("nothing", "no request", "half a head"):
            stack.enter_context(stalled(both, sent))
        reply = both.browser_comes_back()
        both.endpoint.finish(PAGE, "/me", seconds=0)
        assert reply.result(SECONDS).status == 303


def _dripped(connection: socket.socket) -> bytes:
    while True:
        try:
            return connection.recv(1)
        except TimeoutError:
            try:
                connection.sendall(b"G")
            except OSError:
                return b""
        except ConnectionResetError:
            return b""


SERVE = """
import sys
from banno_creds.redirection import pages
from banno_creds.redirection.certificate import LocalhostCertificate
from banno_creds.redirection.endpoint import RedirectionEndpoint

_, redirect_uri, state, path, descriptors = sys.argv
if int(descriptors) and sys.platform != "win32":
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (int(descriptors),) * 2)
certificate = LocalhostCertificate(path, "", "", False)
try:
    with RedirectionEndpoint(redirect_uri, state, certificate=certificate) as endpoint:
        print("ready", flush=True)
        print("came:", *endpoint.wait(60), flush=True)
        print("fetched:", endpoint.finish(pages.me({"name": "Riley"}), "/me", seconds=60), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""
FLOOD = """
import socket, sys
opened = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30) for _ in range(int(sys.argv[2]))]
print("open", flush=True)
sys.stdin.read()
for each in opened:
    each.close()
"""


def start(program: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", program, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


@pytest.mark.parametrize(("scheme", "descriptors"), [("http", 128), ("https", 128), ("https", 40)])
def test_hundreds_of_connections_held_open_do_not_keep_the_browser_out(
    certificate: LocalhostCertificate, scheme: str, descriptors: int
) -> None:
    """Nor do they need more descriptors than a process may have: here, a tenth of the usual limit."""
    port = free_port()
    person = Person(port, certificate if scheme == "https" else None)
    redirect_uri = f"{scheme}://localhost:{port}/auth/cb"
    with start(SERVE, redirect_uri, STATE, certificate.path, str(descriptors)) as server:
        assert line(server) == "ready"
        with start(FLOOD, str(port), "300") as flood:
            assert line(flood) == "open"
            reply = in_the_background(lambda: person.gets(CALLBACK))
            assert line(server) == "came: code state"
            cookie = reply.result(SECONDS).headers["set-cookie"]
            assert "Riley" in person.gets("/me", f"Cookie: {cookie}").body
            assert line(server) == "fetched: True"
            assert flood.communicate() == ("", "")
        assert server.communicate() == ("", "")
    assert (server.returncode, flood.returncode) == (0, 0)


def test_a_crowd_does_not_close_the_browser_that_waits(both: Open) -> None:
    reply = both.browser_comes_back()
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", both.person.port), SECONDS))
        assert both.person.gets("/").status == 404
        finished = both.finishes()
        redirect = reply.result(SECONDS)
        assert both.person.gets("/me", f"Cookie: {redirect.headers['set-cookie']}").body == PAGE
        assert finished.result(SECONDS) is True


def test_the_oldest_silent_connection_is_closed_first(plain: Open) -> None:
    with ExitStack() as stack:
        address = ("127.0.0.1", plain.person.port)
        crowd = [stack.enter_context(socket.create_connection(address, SECONDS)) for _ in range(64)]
        assert plain.person.gets("/").status == 404
        assert crowd[0].recv(1) == b""
        crowd[1].setblocking(False)
        with pytest.raises(BlockingIOError):
            crowd[1].recv(1)


def answered(running: Open, stack: ExitStack) -> socket.socket:
    """A client that has its answer, and keeps the connection."""
    connection = stack.enter_context(running.person.connect())
    connection.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{running.person.port}\r\n\r\n".encode())
    assert connection.recv(1) == b"H"
    return connection


def test_silent_connections_are_closed_before_answered_ones_and_the_browser_never(
    plain: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_REQUEST_SECONDS", "_ANSWER_SECONDS", "_CLOSING_SECONDS"):
        monkeypatch.setattr(loopback_server, name, 60.0)
    reply = plain.browser_comes_back()
    with ExitStack() as stack:
        answered(plain, stack)
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", plain.person.port), SECONDS))
        for _ in range(62):
            answered(plain, stack)
        # Sixty-five: the silent one goes, though it is not the oldest.
        assert silent.recv(1) == b""
        # One more, and none is silent: another connection is closed, but not the browser's.
        answered(plain, stack)
        plain.endpoint.finish(PAGE, "/me", seconds=0)
        assert reply.result(SECONDS).status == 303


def test_a_bug_is_not_printed_by_the_thread(
    certificate: LocalhostCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: Request) -> Answer:
        raise ZeroDivisionError

    with opened("http", certificate) as running:
        monkeypatch.setattr(running.endpoint._server, "_respond", fail)
        assert running.person.sends(b"GET / HTTP/1.1\r\n\r\n") is None
        assert running.person.sends(b"GET / HTTP/1.1\r\n\r\n") is None
    gc.collect()


# --- another user of this machine ---

ATTACK = """
import os, socket, ssl, struct, sys
_, family, address, port, target, how, cafile = sys.argv
context = ssl.create_default_context(cafile=cafile) if cafile else None
"localhost".encode("idna")  # loaded while Python's own files can be read
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
connection = socket.socket(getattr(socket, family))
connection.settimeout(20)
connection.connect((address, int(port)))
if context:
    connection = context.wrap_socket(connection, server_hostname="localhost")
connection.sendall(f"GET {target} HTTP/1.1\\r\\nHost: localhost:{port}\\r\\n\\r\\n".encode())
if how == "reads":
    print(connection.recv(65536).decode().splitlines()[0])
if how == "speaks no more":
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(65536).decode().splitlines()[0])
if how == "resets":
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
connection.close()
"""
FORBIDDEN = "HTTP/1.1 403 Forbidden\n"
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only there the system tells whose a connection is")


@only_linux
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("scheme", "family", "address", "how", "said"),
    [
        ("http", "AF_INET", "127.0.0.1", "reads", FORBIDDEN),
        ("http", "AF_INET6", "::1", "reads", FORBIDDEN),
        ("http", "AF_INET6", "::ffff:127.0.0.1", "reads", FORBIDDEN),
        ("http", "AF_INET", "127.0.0.1", "speaks no more", FORBIDDEN),
        ("http", "AF_INET", "127.0.0.1", "hangs up", ""),
        ("http", "AF_INET", "127.0.0.1", "resets", ""),
        ("https", "AF_INET", "127.0.0.1", "reads", FORBIDDEN),
    ],
)
def test_another_users_answer_with_our_state_is_not_taken(
    certificate: LocalhostCertificate,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    family: str,
    address: str,
    how: str,
    said: str,
) -> None:
    """The other user saw the authorization request in the list of processes, and used an account of his own."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)  # that user can write no measurements into our folder
    with opened(scheme, certificate) as running:
        target = f"/auth/cb?code=his-own&state={STATE}"
        cafile = certificate.path if scheme == "https" else ""
        port = str(running.person.port)
        with start(ATTACK, family, address, port, target, how, cafile) as attacker:
            assert attacker.communicate(timeout=SECONDS) == (said, "")
        assert running.person.gets("/").status == 404  # whatever went before is over now
        with pytest.raises(TimedOutError) as caught:
            running.endpoint.wait(0)
        assert (running.endpoint.strangers, len(caught.value.details)) == (0, 1)
        reply = running.browser_comes_back()
        running.endpoint.finish(PAGE, "/me", seconds=0)
        assert reply.result(SECONDS).status == 303


@only_linux
@pytest.mark.parametrize(
    ("family", "address", "to"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_the_other_end_is_found_as_the_kernel_lists_it(family: socket.AddressFamily, address: str, to: str) -> None:
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET) as client:
            client.connect((to, port))
            connection, _ = server.accept()
            with connection:
                ends = connection.getsockname()[:2], connection.getpeername()[:2]
                expected = (str(os.fstat(client.fileno()).st_ino), os.geteuid())
                assert listeners._asked_for(*ends) == listeners._in_the_list(*ends) == expected
                assert not listeners.is_of_another_user(connection)


@only_linux
def test_the_kernels_list_is_read_where_it_answers_no_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in some containers; the end of another connection is not taken for it."""
    monkeypatch.setattr(listeners, "_NETLINK_SOCK_DIAG", 31)  # there is no such family
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        connection, _ = server.accept()
        with connection:
            ends = connection.getsockname()[:2], connection.getpeername()[:2]
            assert listeners._asked_for(*ends) is None
            assert listeners._other_end(*ends) == (str(os.fstat(client.fileno()).st_ino), os.geteuid())
            assert listeners._other_end(ends[0], ("127.0.0.1", 1)) is None
    monkeypatch.undo()
    assert listeners._asked_for(ends[0], ("127.0.0.1", 1)) is None


@only_linux
@pytest.mark.parametrize(
    ("found", "is_another"),
    [(("7", 4242), False), (("7", 0), False), (("7", 4243), True), (("0", 0), True), (None, False)],
    ids=["ours", "root's", "another's", "closed", "not told"],
)
def test_an_answer_is_accepted_only_from_the_users_own_programs(
    plain: Open, monkeypatch: pytest.MonkeyPatch, found: tuple[str, int] | None, is_another: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 4242)
        patch.setattr(listeners, "_other_end", lambda *_: found and listeners._Socket(*found))
        if not is_another:
            reply = plain.browser_comes_back()
            plain.endpoint.finish(PAGE, "/me", seconds=0)
            assert reply.result(SECONDS).status == 303
            return
        refusal = plain.person.gets(CALLBACK)
    assert (refusal.status, refusal.headers["content-type"]) == (403, "text/plain; charset=utf-8")
    assert "another user" in refusal.body
    with pytest.raises(TimedOutError):
        plain.endpoint.wait(0)


@only_linux
@pytest.mark.parametrize("how", [socket.SHUT_WR, None])
def test_a_closed_end_that_is_not_listed_counts_as_another_users(
    monkeypatch: pytest.MonkeyPatch, how: int | None
) -> None:
    monkeypatch.setattr(listeners, "_other_end", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        connection, _ = server.accept()
        with connection, client:
            if how is None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            else:
                client.shutdown(how)
            assert listeners.is_of_another_user(connection)


@only_linux
def test_an_end_that_has_closed_does_not_count_as_roots() -> None:
    """The kernel lists it as root's: a request can still be read when nobody knows any more whose it was."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        connection, _ = server.accept()
        with connection:
            client.sendall(b"GET")
            client.close()
            assert connection.recv(3) == b"GET"
            found = listeners._other_end(connection.getsockname()[:2], connection.getpeername()[:2])
            assert found is None or found == ("0", 0)
            assert listeners.is_of_another_user(connection)


@only_linux
def test_root_by_sudo_uses_the_browser_of_the_user_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert listeners._ours() == {0, 1000}
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    assert listeners._ours() == {0, 1001}


def test_an_answer_is_accepted_if_the_system_does_not_tell_whose_it_is(
    plain: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        reply = plain.browser_comes_back()
    plain.endpoint.finish(PAGE, "/me", seconds=0)
    assert reply.result(SECONDS).status == 303


# --- the end --------------------------------------------------------------------------------------------------------


def test_a_browser_that_still_waits_at_the_end_gets_a_page(certificate: LocalhostCertificate) -> None:
    for scheme in ("http", "https"):
        with opened(scheme, certificate) as running:
            reply = running.browser_comes_back()
        page = reply.result(SECONDS)
        assert page.status == 503
        assert "was stopped" in page.body
        assert CODE not in page.body
        with pytest.raises(ConnectionRefusedError):
            running.person.connect()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_connection_is_closed_at_the_end(certificate: LocalhostCertificate, scheme: str) -> None:
    with ExitStack() as stack:
        with opened(scheme, certificate) as running:
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", running.person.port), SECONDS))
            speaking = stack.enter_context(running.person.connect())
            speaking.sendall(b"GET / HTTP/1.1\r\n")
            assert running.person.gets("/").status == 404
        assert everything(silent) == b""
        assert everything(speaking) == b""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
def test_ctrl_c_ends_the_waiting(certificate: LocalhostCertificate) -> None:
    redirect_uri = f"https://localhost:{free_port()}/auth/cb"
    with start(SERVE, redirect_uri, STATE, certificate.path, "0") as server:
        assert line(server) == "ready"
        server.send_signal(signal.SIGINT)
        assert server.communicate(timeout=SECONDS) == ("interrupted\n", "")
    assert server.returncode == 130


def test_an_exception_that_ends_the_thread_is_raised_to_its_caller(
    certificate: LocalhostCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(main: Coroutine[None, None, None], **_: object) -> None:
        main.close()
        raise OSError(errno.EMFILE, "Too many open files")

    with opened("http", certificate) as running:
        running.endpoint._server.failure = OSError("gone")
        with pytest.raises(OSError, match="gone"):
            running.endpoint.wait(SECONDS)
    monkeypatch.setattr(asyncio, "run", fail)
    with pytest.raises(OSError, match="Too many open files"), opened("http", certificate):
        pass


def test_https_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="needs a certificate"):
        RedirectionEndpoint(f"https://localhost:{free_port()}/cb", STATE)


def test_an_unusable_certificate_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "localhost.pem"
    path.write_text("broken")
    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        RedirectionEndpoint(
            f"https://localhost:{free_port()}/cb",
            STATE,
            certificate=LocalhostCertificate(str(path), "", "", made=False),
        )
    assert "remove that file" in str(caught.value.hint)
