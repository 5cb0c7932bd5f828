"""``api`` over real sockets: where the token goes, what is sent, what is passed on, and how it ends."""

from __future__ import annotations

import base64
import contextlib
import gc
import gzip
import io
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from banno_creds import config
from banno_creds.api import call as api
from banno_creds.api.body import Content
from banno_creds.api.request import ApiRequest, make_request
from banno_creds.cli.inputs import END_OF_INPUT
from banno_creds.config import Wanted
from banno_creds.errors import ConfigurationError, RefusedError, TimedOutError
from banno_creds.http import exchange
from banno_creds.http.client import HttpClient
from banno_creds.tokens import cache as token_cache
from banno_creds.tokens.client_credentials import ClientCredentials
from tests.conftest import CLIENT_ID, Cli, Result
from tests.patience import patient
from tests.processes import with_closed
from tests.servers.bank_api import INSTITUTION, Api, Reply, access_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.servers.loopback import Handler

USERS = "/a/consumer-user-search/api/v0/institutions/{institutionId}/users"


@pytest.fixture
def bank() -> Iterator[Api]:
    """The API."""
    with Api() as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No socket and no temporary file: a ResourceWarning is an error, and comes with the collection."""
    yield
    gc.collect()


def args_for(bank: Api, key: Path, *args: str | Path) -> list[str]:
    usual = {
        "--client-id": CLIENT_ID,
        "--private-key": str(key),
        "--token-endpoint": f"{bank.base}/token",
        "--api-base": bank.base,
    }
    client = [word for pair in usual.items() if pair[0] not in args for word in pair]  # an option is given once
    return ["api", *client, "--no-cache", *map(str, args)]


@pytest.fixture
def call(cli: Cli, bank: Api, ec_pem: Path) -> Callable[..., Result]:
    """The command, with the time that an answer took left out."""

    def run(*args: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        result = cli(*args_for(bank, ec_pem, *args), stdin=stdin, env=env)
        return Result(result.code, result.stdout, re.sub(r" in \d+ ms", " in N ms", result.stderr))

    return run


def configuration(bank: Api, key: Path, timeout: float = 10) -> config.ClientConfig:
    source = config.KeySource(str(key), path=key)
    return config.ClientConfig(CLIENT_ID, source, token_endpoint=f"{bank.base}/token", timeout=timeout)


OK = "200 OK in N ms · x-request-id 7c1e-4a\n"


# --- the answer ---


def test_the_body_goes_to_stdout_and_the_status_to_stderr(call: Callable[..., Result], bank: Api) -> None:
    assert call("/a/x?limit=1") == Result(0, '{"ok": true}', OK)
    [asked] = bank.asked
    assert (asked.method, asked.path, asked.body) == ("GET", "/a/x?limit=1", b"")
    assert asked.token == access_token(1)
    assert (asked.headers["accept"], asked.headers["accept-encoding"]) == ("*/*", "identity")
    assert asked.headers["host"] == f"127.0.0.1:{bank.port}"
    assert "content-type" not in asked.headers


def test_quiet_leaves_the_status_out_and_no_error(call: Callable[..., Result], bank: Api) -> None:
    assert call("-q", "/a/x").stderr == ""
    assert call("/a/x", env={"BANNO_CREDS_QUIET": "1"}).stderr == ""
    assert call("/a/x").stderr == OK
    bank.says(Reply(404, b"", reason="Not Found"))
    assert call("-q", "/a/x").stderr.startswith("✗   The API refused the request: 404 Not Found\n")


def test_verbose_shows_how_the_token_was_got(call: Callable[..., Result]) -> None:
    result = call("-v", "/a/x")
    assert result.stdout == '{"ok": true}'
    assert " 2  Private key\n" in result.stderr
    assert " Access token\n" in result.stderr
    assert result.stderr.endswith(OK)
    assert access_token(1).split(".")[2] not in result.stderr


def test_without_a_request_id_the_line_is_shorter(call: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(204, b"", {"x-request-id": ""}, reason=""))
    assert call("/a/x") == Result(0, "", "204 in N ms\n")


def test_what_is_not_text_comes_out_as_it_went_in(bank: Api, ec_pem: Path) -> None:
    every = bytes(range(256)) * 300
    bank.says(Reply(body=every, headers={"content-type": "application/pdf"}))
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a/statement.pdf")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, every)


def test_each_piece_is_written_when_it_comes(bank: Api, ec_pem: Path) -> None:
    seen = threading.Event()

    def talk(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "10")
        handler.end_headers()
        handler.wfile.write(b"first")
        if seen.wait(30):
            handler.wfile.write(b"after")

    bank.says(talk)
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a/x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"first"
        seen.set()
        assert process.stdout.read() == b"after"
    assert process.returncode == 0


def big(size: int, *headers: tuple[str, str], piece: bytes = bytes(64 * 1024)) -> Callable[[Handler], None]:
    def talk(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(size))
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        for _ in range(size // len(piece)):
            handler.wfile.write(piece)

    return talk


def test_a_large_body_is_not_held_in_memory(bank: Api, ec_pem: Path) -> None:
    size = 64 * 1024 * 1024
    bank.says(big(size))
    came = 0

    def count(piece: bytes) -> None:
        nonlocal came
        came += len(piece)

    tracemalloc.start()
    try:
        api.call(ClientCredentials(configuration(bank, ec_pem)), ApiRequest("/a/x", bank.base), write=count)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert came == size
    assert peak < 8 * 1024 * 1024


def test_include_shows_status_and_headers_before_the_body(call: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(201, b"body", {"content-type": "text/plain", "x-two": "b  c"}, reason="Made it"))
    status, *lines = call("-i", "-X", "POST", "/a/x").stdout.split("\r\n")
    assert status == "HTTP/1.1 201 Made it"
    assert "x-two: b  c" in lines
    assert lines[-2:] == ["", "body"]


def test_a_head_has_headers_and_no_body(call: Callable[..., Result], bank: Api) -> None:
    result = call("-i", "-X", "head", "/a/x", "-f", "a=b")
    assert result.stdout.startswith("HTTP/1.1 200 OK\r\n")
    assert result.stdout.endswith("\r\n\r\n")
    assert (bank.asked[0].method, bank.asked[0].path) == ("HEAD", "/a/x?a=b")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"x" * 500_000)),
        ("gzip", gzip.compress(b"x" * 250_000) + gzip.compress(b"x" * 250_000)),
        ("Deflate", zlib.compress(b"x" * 500_000)),
        ("identity", b"x" * 500_000),
    ],
    ids=["gzip", "two members", "deflate", "identity"],
)
def test_what_is_compressed_unasked_is_unfolded(
    call: Callable[..., Result], bank: Api, encoding: str, body: bytes
) -> None:
    bank.says(Reply(body=body, headers={"content-encoding": encoding}))
    result = call("-i", "/a/x")
    head, _, unfolded = result.stdout.partition("\r\n\r\n")
    assert unfolded == "x" * 500_000
    assert ("content-encoding" in head) == ("content-length" in head) == (encoding == "identity")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(os.urandom(1000))[:-9]), ("br", b"\x0b\x02\x80"), ("gzip", b"plain")],
    ids=["cut off", "unknown", "not compressed"],
)
def test_what_cannot_be_unfolded_is_said(call: Callable[..., Result], bank: Api, encoding: str, body: bytes) -> None:
    bank.says(Reply(body=body, headers={"content-encoding": encoding}))
    # Not through capsys: what came before the fault is not text.
    seen = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", io.TextIOWrapper(seen))
        result = call("/a/x")
        patch.setattr("sys.stdout", sys.__stdout__)
    assert result.code == 5
    assert result.stderr == (
        f"{OK}✗   The answer from 127.0.0.1:{bank.port} is compressed in a way that cannot be read\n"
        f"    200, content-encoding {encoding}\n"
        "    Next: look at what stands between this machine and the server: a proxy, a gateway\n"
        "    More: banno-creds explain network.answer\n"
    )


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_pieces_of_any_size_are_unfolded(bank: Api, ec_pem: Path, size: int) -> None:
    body = gzip.compress(b"x" * 200_000) + gzip.compress(b"y" * 65_536)

    def talk(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-encoding", "gzip")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for i in range(0, len(body), size):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(body[i : i + size]), body[i : i + size]))
        handler.wfile.write(b"0\r\n\r\n")

    bank.says(talk)
    came: list[bytes] = []
    api.call(ClientCredentials(configuration(bank, ec_pem)), ApiRequest("/a", bank.base), write=came.append)
    assert b"".join(came) == b"x" * 200_000 + b"y" * 65_536


def test_an_empty_answer_that_claims_to_be_compressed_is_empty(call: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(body=b"", headers={"content-encoding": "gzip"}))
    assert call("/a/x") == Result(0, "", OK)


def test_a_compression_bomb_is_unfolded_piece_by_piece(bank: Api, ec_pem: Path) -> None:
    deflate = zlib.compressobj(wbits=31)
    bomb = b"".join(deflate.compress(bytes(1024 * 1024)) for _ in range(24)) + deflate.flush()
    bank.says(Reply(body=bomb, headers={"content-encoding": "gzip"}))
    pieces: list[int] = []
    tracemalloc.start()
    try:
        request = ApiRequest("/a/x", bank.base)
        api.call(
            ClientCredentials(configuration(bank, ec_pem)), request, write=lambda piece: pieces.append(len(piece))
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(pieces) == 24 * 1024 * 1024
    assert max(pieces) <= 64 * 1024
    assert peak < 8 * 1024 * 1024


@pytest.mark.posix("/dev/full")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_of_the_output(bank: Api, ec_pem: Path) -> None:
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a/x")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().endswith(
        "✗   The answer could not be written to standard output: No space left on device\n"
        "    Next: check where standard output goes; the answer is not whole\n"
    )


def test_a_closed_stdout_is_an_error_of_the_output(bank: Api, ec_pem: Path) -> None:
    command = with_closed("stdout", *args_for(bank, ec_pem, "/a/x"))
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "✗   The answer could not be written to standard output: it is closed\n" in done.stderr.decode()


@pytest.mark.posix("a pseudo-terminal")
@pytest.mark.parametrize(("body", "end"), [(b"no line", "\r\n"), (b"a line\n", ""), (b"", "")])
def test_on_a_terminal_the_last_line_is_ended(bank: Api, ec_pem: Path, body: bytes, end: str) -> None:
    bank.says(Reply(body=body))
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a/x")]
    master, slave = os.openpty()
    subprocess.run(command, stdout=slave, stderr=subprocess.DEVNULL, timeout=60, check=True)
    os.write(slave, b"!")
    os.close(slave)
    seen = b""
    while not seen.endswith(b"!"):
        seen += os.read(master, 100)
    os.close(master)
    assert seen.decode() == body.decode().replace("\n", "\r\n") + end + "!"


@pytest.mark.parametrize(
    "place", [pytest.param("terminal", marks=pytest.mark.posix("a pseudo-terminal")), "file", "pipe"]
)
@pytest.mark.parametrize("args", [["/a"], ["/a", "--paginate"]], ids=["error", "warning"])
def test_where_both_go_to_one_place_what_is_said_begins_a_line(
    bank: Api, ec_pem: Path, tmp_path: Path, place: str, args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    bank.says(Reply(404 if len(args) == 1 else 200, b"no line"))
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, *args)]
    reader, writer = os.openpty() if place == "terminal" else os.pipe()
    if place == "file":
        os.close(writer)
        writer = os.open(tmp_path / "all", os.O_RDWR | os.O_CREAT)
    subprocess.run(command, stdout=writer, stderr=writer, timeout=60, check=False)
    if place == "file":
        os.lseek(writer, 0, os.SEEK_SET)
    said = os.read(writer if place == "file" else reader, 10_000).decode().replace("\r\n", "\n")
    os.close(reader)
    os.close(writer)
    assert re.search(r"\nno line\n[✗!]   The ", said)


def test_where_they_go_to_two_places_neither_gets_a_line_end(bank: Api, ec_pem: Path) -> None:
    bank.says(Reply(404, b"no line"))
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.stdout == b"no line"
    assert b"\n\n" not in done.stderr


def test_a_reader_that_has_gone_ends_it_as_a_shell_expects(bank: Api, ec_pem: Path) -> None:
    bank.says(big(64 * 1024 * 1024))
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a/x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 141
    assert re.sub(r" in \d+ ms", " in N ms", said) == "200 OK in N ms\n"


# --- where the token goes ---


NOT_OURS = "    Next: give only the path, such as /a/…, or its API with --api-base URL\n"


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/a/x",
        "//evil.example/a/x",
        "https://127.0.0.1:{port}/a/x",
        "http://127.0.0.1/a/x",
        "http://localhost:{port}/a/x",
        "http://127.0.0.1:{port}.evil.example/a/x",
        "http://user@127.0.0.1:{port}/a/x",
        "http://127.0.0.1:{port}@evil.example/a/x",
        "http://:{port}/a/x",
        "http://[::1/a/x",
        "http://127.0.0.1:99999999/a/x",
        "ftp://127.0.0.1:{port}/a/x",
        "///evil.example",
        "a@evil.example://x",
        "{{institutionId}}://x",
    ],
)
def test_the_token_goes_to_no_other_origin(call: Callable[..., Result], bank: Api, path: str) -> None:
    path = path.format(port=bank.port)
    shown = "This URL" if "@" in path else f"'{path}'"
    assert call(path) == Result(
        2, "", f"✗   {shown} is not of {bank.base}, and the token is only for that\n{NOT_OURS}"
    )
    assert (bank.asked, bank.granted) == ([], 0)


@pytest.mark.parametrize(
    "path",
    [
        "/\\evil.example",
        "\\\\evil.example",
        "/a/x\n",
        "/a\tb",
        "/ä",
        "/a/x y",
        "/a#b",
        "/a\x7f",
        "ht\ntp://x",
        "/a\x00",
    ],
)
def test_a_path_with_signs_that_no_url_has_is_refused(call: Callable[..., Result], bank: Api, path: str) -> None:
    assert call(path) == Result(
        2,
        "",
        "✗   The path has white space, a backslash, a # or characters outside ASCII in it\n"
        "    Next: percent-encode them, or give a query parameter as a field: --method GET --raw-field name=value\n",
    )
    assert (bank.asked, bank.granted) == ([], 0)


@pytest.mark.parametrize(
    "path", ["/a/../b", "/..", "/a/.", "/a/%2e%2E/b", "/a/.%2e", "/a/%2e%2e%2fb", "/a%5c..%5cb", "/{x}/../b"]
)
def test_a_path_is_what_it_looks_like(call: Callable[..., Result], bank: Api, path: str) -> None:
    result = call(path)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   The path '{path}' has a part that is . or ..\n")
    assert (bank.asked, bank.granted) == ([], 0)


@pytest.mark.parametrize(
    "path", ["/a/..b/.c./...", "/a?x=../../b", "/a//b", "/a/%2F%41?q=%20+%7B", "/", "/a?u=http://b"]
)
def test_a_path_arrives_as_it_was_written(call: Callable[..., Result], bank: Api, path: str) -> None:
    assert call(path).code == 0
    assert bank.asked[0].path == path


def test_a_path_needs_a_slash(call: Callable[..., Result], bank: Api) -> None:
    assert call("a/x") == Result(2, "", "✗   The path 'a/x' does not start with /\n    Next: write it as /a/…\n")


@pytest.mark.parametrize("path", ["A:/x", "C:/Program Files/Git/a/x", "c:\\a"])
def test_a_path_that_a_shell_rewrote_is_said_to_be_one(call: Callable[..., Result], bank: Api, path: str) -> None:
    assert call(path) == Result(
        2,
        "",
        f"✗   The path '{path}' is a path on this machine, not of the API\n"
        "    Next: Git Bash rewrites what starts with /: set MSYS_NO_PATHCONV=1, or give the whole URL\n",
    )


def test_a_whole_url_of_the_api_is_taken(call: Callable[..., Result], bank: Api) -> None:
    assert call(f"HTTP://127.0.0.1:{bank.port}/a/x?y=1", "--api-base", f"{bank.base}/").code == 0
    assert bank.asked[0].path == "/a/x?y=1"


@pytest.mark.parametrize(
    ("path", "base", "url"),
    [
        ("https://BANNO.com:443/a?b", "https://banno.com", "https://banno.com/a?b"),
        ("https://banno.com", "https://Banno.com:443/", "https://Banno.com:443/"),
        ("https://banno.com?b", "https://banno.com", "https://banno.com/?b"),
        ("http://[::1]:80/a", "http://[::1]", "http://[::1]/a"),
    ],
)
def test_origins_are_compared_as_browsers_do(path: str, base: str, url: str) -> None:
    assert ApiRequest(path, base).url("", None) == url


@pytest.mark.parametrize(
    "base",
    [
        "http://banno.com",
        "https://banno.com/a",
        "https://banno.com?x",
        "https://u:p@banno.com",
        "banno.com",
        "https://",
    ],
)
def test_the_api_base_is_an_origin_that_may_be_sent_a_token(
    call: Callable[..., Result], bank: Api, base: str
) -> None:
    result = call("/a/x", "--api-base", base)
    assert (result.code, result.stdout, bank.granted) == (2, "", 0)
    assert result.stderr.startswith("✗   The API base ")
    assert ":p@" not in result.stderr


def test_a_name_that_is_not_loopback_gets_no_token_over_plain_http(
    call: Callable[..., Result], bank: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "is_loopback", lambda _: False)  # as the connection is made, to the API too
    monkeypatch.setattr(ClientCredentials, "fetch", lambda *_: _response(access_token(1)))
    result = call("/a/x")
    assert result.code == 5
    assert "is not this machine: the name leads to 127.0.0.1" in result.stderr
    assert bank.asked == []


def _response(token: str) -> Any:
    from banno_creds.tokens.response import TokenResponse

    return TokenResponse(token, "Bearer", 600, None, 0, {})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/b?c=d", "b?c=d", "{base}/b?c=d#e"])
def test_a_redirect_within_the_api_is_followed(
    call: Callable[..., Result], bank: Api, status: int, path: str
) -> None:
    bank.says(Reply(status, b"moved", {"location": path.format(base=bank.base)}), Reply())
    assert call("/a", "-H", "x-mine: 1") == Result(0, '{"ok": true}', OK)
    assert [(asked.method, asked.path) for asked in bank.asked] == [("GET", "/a"), ("GET", "/b?c=d")]
    assert bank.asked[1].token == access_token(1)
    assert bank.asked[1].headers["x-mine"] == "1"


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/a",
        "//evil.example/a",
        "http://localhost:{port}/a",
        "https://127.0.0.1:{port}/a",
        "http://user@127.0.0.1:{port}/a",
        "\\\\evil.example",
        "/a b",
        "http://[::1/a",
        "javascript:alert(1)",
        "",
    ],
)
def test_a_redirect_elsewhere_is_refused(call: Callable[..., Result], bank: Api, location: str) -> None:
    location = location.format(port=bank.port)
    bank.says(Reply(302, b"moved", {"location": location}))
    result = call("/a")
    assert (result.code, result.stdout, len(bank.asked)) == (5, "", 1)
    assert result.stderr == (
        f"✗   The API redirects to {location or '(nowhere)'}, and the token is only for {bank.base}\n"
        f"    302 Found from {bank.base}/a · x-request-id 7c1e-4a\n"
        "    Next: check the path; a redirect often means a login page or a retired address\n"
    )


def test_the_host_of_a_refused_redirect_is_not_even_connected_to(call: Callable[..., Result], bank: Api) -> None:
    with Api() as other:
        bank.says(Reply(302, b"", {"location": f"{other.base}/a"}))
        assert call("/a").code == 5
        assert other.asked == []


@pytest.mark.parametrize("method", ["DELETE", "POST", "PATCH"])
def test_a_redirect_of_what_changes_something_is_not_followed(
    call: Callable[..., Result], bank: Api, method: str
) -> None:
    bank.says(Reply(307, b"moved", {"location": "/b"}))
    result = call("/a", "-X", method)
    assert (result.code, result.stdout, len(bank.asked)) == (5, "", 1)
    assert result.stderr == (
        f"✗   The API redirects to {bank.base}/b, and a {method} is not sent twice without being asked for\n"
        f"    307 Temporary Redirect from {bank.base}/a · x-request-id 7c1e-4a\n"
        "    Next: call that path, if it is the right one\n"
    )


def test_redirects_in_a_circle_come_to_an_end(call: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(302, b"", {"location": "/a"}))
    result = call("/a")
    assert (result.code, len(bank.asked)) == (5, api.MOST_REDIRECTS + 1)
    assert result.stderr.startswith("✗   The API redirects more than 3 times\n")


def test_another_3xx_is_no_redirect(call: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(304, b""))
    assert call("/a") == Result(0, "", "304 Not Modified in N ms · x-request-id 7c1e-4a\n")


# --- places ---


def test_places_are_filled_from_the_claims(call: Callable[..., Result], bank: Api) -> None:
    assert call(USERS + "?account={accountId}&rate={rate}").code == 0
    path = USERS.format(institutionId=INSTITUTION)
    assert bank.asked[0].path == f"{path}?account=4711&rate=1.5"


def test_a_claim_cannot_change_the_structure_of_the_path(call: Callable[..., Result], bank: Api) -> None:
    assert call("/a/{clientName}?x={clientName}").code == 0
    encoded = "A%20%26%20B%3Fd%3De%23f..%252e%252f"
    assert bank.asked[0].path == f"/a/{encoded}?x={encoded}"


@pytest.mark.parametrize("claim", [".", ".."])
def test_a_claim_cannot_lead_up(call: Callable[..., Result], bank: Api, claim: str) -> None:
    bank.token = lambda number: access_token(number, institutionId=claim)
    result = call("/a/{institutionId}/b")
    assert (result.code, bank.asked) == (2, [])
    assert "has a part that is . or ..\n" in result.stderr


@pytest.mark.parametrize("claim", ["a/b/admin", "../b", "a\\b", "/"])
def test_a_claim_is_one_part_of_the_path(call: Callable[..., Result], bank: Api, claim: str) -> None:
    bank.token = lambda number: access_token(number, institutionId=claim)
    assert call("/a/{institutionId}/b") == Result(
        2,
        "",
        "✗   The token's claim 'institutionId' has a slash in it, and would be several parts of the path\n"
        "    Next: write the value into the path, as the API's documentation shows it\n",
    )
    assert bank.asked == []
    assert call("/a?x={institutionId}").code == 0  # in the query it separates nothing


@pytest.mark.parametrize("path", ["/a/{aud", "/a/aud}", "/a/{}", "/a/{{institutionId}}", '/a?x={"n":{"m":1}}'])
def test_a_brace_that_is_no_place_is_said_to_be_none(call: Callable[..., Result], bank: Api, path: str) -> None:
    assert call(path) == Result(
        2,
        "",
        f"✗   The path '{path}' has a brace outside of places such as {{institutionId}}\n"
        "    Next: close it; for a literal { write %7B, for a } %7D\n",
    )
    assert (bank.asked, bank.granted) == ([], 0)


@pytest.mark.parametrize("value", [None, True, "", ["x"], {}])
def test_a_claim_that_cannot_stand_in_a_path_is_none(call: Callable[..., Result], bank: Api, value: object) -> None:
    bank.token = lambda number: access_token(number, institutionId=value)
    assert call("/a/{institutionId}") == Result(
        2,
        "",
        "✗   The token has no claim 'institutionId' to fill the path with\n"
        "    Next: its claims: accountId, rate, clientName, jti\n",
    )
    assert bank.asked == []


def test_a_claim_that_is_no_text_of_any_language_breaks_nothing(call: Callable[..., Result], bank: Api) -> None:
    bank.token = lambda number: access_token(number, institutionId="a\ud800")
    assert call("/a/{institutionId}").code in (0, 2)


def test_an_opaque_token_has_no_claims(call: Callable[..., Result], bank: Api) -> None:
    bank.token = lambda _: "opaque-token-without-any-dots"
    result = call("/a/{institutionId}")
    assert (result.code, bank.asked) == (2, [])
    assert result.stderr == (
        "✗   The places in the path cannot be filled, as the token has no claims to read: this is no JWT: it has no "
        "dots, so it may be an opaque token, which only the server can read\n"
        "    Next: write the values into the path\n"
    )
    assert call("/a/x") == Result(0, '{"ok": true}', OK)


# --- what is sent ---


def sent(bank: Api) -> tuple[str, str, object]:
    [asked] = bank.asked
    return asked.method, asked.path, json.loads(asked.body) if asked.body else None


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], ("GET", "/a?x=1", None)),
        (["-X", "delete"], ("DELETE", "/a?x=1", None)),
        (["-X", "POST"], ("POST", "/a?x=1", None)),
        (["-f", "n=007", "-f", "m=@x=y"], ("POST", "/a?x=1", {"n": "007", "m": "@x=y"})),
        (["-F", "n=7", "-F", "t=true", "-F", "f=false", "-F", "z=null", "-F", "s=1.5"],
         ("POST", "/a?x=1", {"n": 7, "t": True, "f": False, "z": None, "s": "1.5"})),
        (["-F", "a=007", "-F", "b=-3", "-F", "c=0", "-F", "d=-0", "-F", "e=+1", "-F", "f=1234567890123456789"],
         ("POST", "/a?x=1", {"a": "007", "b": -3, "c": 0, "d": "-0", "e": "+1", "f": "1234567890123456789"})),
        (["-X", "PATCH", "-f", "name=ä &"], ("PATCH", "/a?x=1", {"name": "ä &"})),
        (["-X", "GET", "-f", "q=ä &=", "-F", "n=7", "-F", "z=null", "-F", "t=true"],
         ("GET", "/a?x=1&q=%C3%A4+%26%3D&n=7&z=&t=true", None)),
        (["-X", "GET", "-f", "a[]=1", "-f", "a[]=2"], ("GET", "/a?x=1&a%5B%5D=1&a%5B%5D=2", None)),
        (["-f", "a[b][c]=1", "-F", "a[d]=2"], ("POST", "/a?x=1", {"a": {"b": {"c": "1"}, "d": 2}})),
        (["-f", "a[]=1", "-F", "a[]=2"], ("POST", "/a?x=1", {"a": ["1", 2]})),
        (["-f", "a[][n]=1", "-f", "a[][m]=2", "-f", "a[][n]=3"],
         ("POST", "/a?x=1", {"a": [{"n": "1", "m": "2"}, {"n": "3"}]})),
        (["-f", "a[]=0", "-f", "a[][n]=1"], ("POST", "/a?x=1", {"a": ["0", {"n": "1"}]})),
    ],
)  # fmt: skip
def test_method_and_fields(
    call: Callable[..., Result], bank: Api, args: list[str], expected: tuple[str, str, object]
) -> None:
    assert call("/a?x=1", *args) == Result(0, '{"ok": true}', OK)
    assert sent(bank) == expected
    if expected[2] is not None:
        assert bank.asked[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("fields", "name", "fault"),
    [
        (["a=1", "a=2"], "a", "is given more than once"),
        (["a[b]=1", "a[b]=2"], "a[b]", "is given more than once"),
        (["a=1", "a[b]=2"], "a[b]", "contradicts one before it"),
        (["a[]=1", "a[b]=2"], "a[b]", "contradicts one before it"),
        (["a[b]=1", "a[]=2"], "a[]", "contradicts one before it"),
        (["a[b=1"], "a[b", "cannot be read"),
        (["[a]=1"], "[a]", "cannot be read"),
        (["a[b]c=1"], "a[b]c", "cannot be read"),
        (["a[][]=1"], "a[][]", "cannot be read"),
    ],
)
def test_fields_that_cannot_be_meant(
    call: Callable[..., Result], bank: Api, fields: list[str], name: str, fault: str
) -> None:
    result = call("/a", *(word for text in fields for word in ("-f", text)))
    assert result == Result(
        2,
        "",
        f"✗   The field '{name}' {fault}\n"
        "    Next: write name=value, name[member]=value or name[]=value; for any other JSON give a file with "
        "--input\n",
    )
    assert bank.granted == 0


def test_a_field_s_value_from_a_file_and_from_standard_input(
    call: Callable[..., Result], bank: Api, tmp_path: Path
) -> None:
    (tmp_path / "text").write_bytes(b"12\n")
    assert call("/a", "-F", f"f=@{tmp_path / 'text'}", "-F", "s=@-", stdin="ä".encode()).code == 0
    assert sent(bank)[2] == {"f": "12\n", "s": "ä"}


@pytest.mark.parametrize(
    ("args", "stdin", "message"),
    [
        (["-F", "f=@/nowhere/at/all"], b"", "No such file: /nowhere/at/all"),
        (["-F", "f=@-"], b"\xff", "The content of @- is not text in UTF-8, and a field must be"),
        (["-f", "novalue"], b"", '--raw-field: write it as "name=value"'),
        (["-f", "=x"], b"", '--raw-field: write it as "name=value"'),
        (["-F", "x=\udcff"], b"", "--field: it is not text in UTF-8"),
        (["-H", "no colon"], b"", '--header: write it as "Name: value"'),
        (["-X", "TRACE"], b"", "The method 'TRACE' cannot be used"),
        (["-X", "CONNECT"], b"", "The method 'CONNECT' cannot be used"),
        (["-X", "G T"], b"", "The method 'G T' cannot be used"),
        (["--input", "/nowhere/at/all"], b"", "No such file: /nowhere/at/all"),
        (["--paginate", "-f", "limit=2"], b"", "--paginate is for GET, and this is a POST"),
        (["--input", "-", "-F", "x=@-"], b"", "Standard input cannot be both the body and the field x"),
        (["--input", "-", "--private-key", "-"], b"", "Standard input cannot be both the private key and the body"),
        (
            ["-F", "x=@-", "--passphrase-file", "-"],
            b"",
            "Standard input cannot be both the passphrase and the field x",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    call: Callable[..., Result], bank: Api, args: list[str], stdin: bytes, message: str
) -> None:
    result = call("/a", *args, stdin=stdin)
    assert (result.code, result.stdout) == (2, ""), result.stderr
    assert message in result.stderr.partition("\n")[0]
    assert "    Next: " in result.stderr
    assert (bank.asked, bank.granted) == ([], 0)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer x", "HOST: evil.example", "Connection: close", "Transfer-Encoding: chunked",
        "Content-Length: 3", "TE: trailers", "Upgrade: h2c", "Keep-Alive: 1", "Trailer: x", "Expect: 100-continue",
        "Proxy-Authorization: x", "Proxy-Connection: x", "Accept-Encoding: br",
        "x: a\r\nHost: b", "x y: a", ": a", "x: ä", "x: a\x00", "x\r\n: a",
    ],
)  # fmt: skip
def test_headers_that_are_not_the_users_are_refused(call: Callable[..., Result], bank: Api, header: str) -> None:
    result = call("/a", "-H", header)
    assert (result.code, result.stdout, bank.granted) == (2, "", 0)
    assert "-H" in result.stderr or "--header" in result.stderr


def test_headers_are_sent_and_stand_in_for_ours(call: Callable[..., Result], bank: Api) -> None:
    headers = ["Accept: text/csv", "User-Agent: mine", "X-A:1", "X-B:", "Content-Type: text/plain"]
    assert call("/a", *(word for text in headers for word in ("-H", text)), "--input", "-", stdin=b"x").code == 0
    got = bank.asked[0].headers
    assert (got["accept"], got["user-agent"], got["x-a"], got["x-b"]) == ("text/csv", "mine", "1", "")
    assert got["content-type"] == "text/plain"


def test_variables_stand_in_for_the_options(call: Callable[..., Result], bank: Api) -> None:
    env = {
        "BANNO_CREDS_API_METHOD": "PUT",
        "BANNO_CREDS_API_RAW_FIELD": "a=one two\nb=3",
        "BANNO_CREDS_API_FIELD": "c=4",
        "BANNO_CREDS_API_HEADER": "X-A: one two\nX-B: 3",
        "BANNO_CREDS_API_INCLUDE": "1",
    }
    result = call("/a", env=env)
    assert (result.code, result.stderr) == (0, OK)
    assert result.stdout.startswith("HTTP/1.1 200 OK\r\n")
    assert sent(bank) == ("PUT", "/a", {"a": "one two", "b": "3", "c": 4})
    assert (bank.asked[0].headers["x-a"], bank.asked[0].headers["x-b"]) == ("one two", "3")


def test_the_base_comes_from_its_variable(cli: Cli, bank: Api, ec_pem: Path) -> None:
    client = ["--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", f"{bank.base}/token"]
    result = cli("api", *client, "--no-cache", "/a", env={"BANNO_CREDS_API_BASE": bank.base})
    assert (result.code, result.stdout) == (0, '{"ok": true}')


# --- a body ---


def test_a_file_is_the_body_and_fields_go_into_the_query(
    call: Callable[..., Result], bank: Api, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(b"\x00\xff" * 300_000)
    assert call("/a", "--input", tmp_path / "body", "-f", "x=y").code == 0
    [asked] = bank.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/a?x=y", b"\x00\xff" * 300_000)
    assert (asked.headers["content-length"], asked.headers["content-type"]) == ("600000", "application/json")
    assert "transfer-encoding" not in asked.headers


@pytest.mark.posix("/proc")
@pytest.mark.skipif(not Path("/proc/version").exists(), reason="this system has no /proc")
def test_a_file_that_does_not_say_how_long_it_is(call: Callable[..., Result], bank: Api) -> None:
    assert call("/a", "--input", "/proc/version").code == 0
    assert bank.asked[0].body == Path("/proc/version").read_bytes()


def test_a_source_that_says_it_is_empty_is_read_nevertheless() -> None:
    class Terminal(io.BytesIO):
        def seek(self, position: int, whence: int = 0) -> int:
            return 0 if whence == io.SEEK_END else super().seek(position, whence)

    with contextlib.closing(Content(Terminal(b"typed"), "standard input")) as content:
        assert (content.length, b"".join(content.pieces())) == (5, b"typed")


def test_an_empty_file_is_an_empty_body(call: Callable[..., Result], bank: Api, tmp_path: Path) -> None:
    (tmp_path / "body").touch()
    assert call("/a", "--input", tmp_path / "body").code == 0
    assert (bank.asked[0].body, bank.asked[0].headers["content-length"]) == (b"", "0")


@pytest.mark.parametrize("size", [0, 5, 1024 * 1024, 3 * 1024 * 1024 + 1])
@pytest.mark.parametrize("refused", [False, True])
def test_a_pipe_is_the_body_also_of_the_second_attempt(bank: Api, ec_pem: Path, size: int, refused: bool) -> None:
    body = os.urandom(size)
    bank.says(Reply(401) if refused else Reply(), Reply())
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a", "--input", "-")]
    done = subprocess.run(command, input=body, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b'{"ok": true}'), done.stderr
    assert [asked.body == body for asked in bank.asked] == [True] * (1 + refused)
    known = [asked.headers.get("content-length") for asked in bank.asked]
    assert known[0] == (str(size) if size < 1024 * 1024 else None)


def test_standard_input_that_is_a_file_begins_where_it_stands(bank: Api, ec_pem: Path, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"line\n{}")
    bank.says(Reply(401), Reply())
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a", "--input", "-")]
    with (tmp_path / "body").open("rb", buffering=0) as file:
        file.read(5)
        subprocess.run(command, stdin=file, capture_output=True, timeout=60, check=True)
    assert [asked.body for asked in bank.asked] == [b"{}", b"{}"]


def test_a_pipe_is_sent_on_before_it_ends(bank: Api, ec_pem: Path) -> None:
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a", "--input", "-")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(bytes(2 * 1024 * 1024))
        process.stdin.flush()
        assert bank.came.wait(30)
        process.stdin.close()
        assert process.wait(30) == 0
    assert len(bank.asked[0].body) == 2 * 1024 * 1024


def test_a_large_body_refused_at_once_is_sent_again_whole(bank: Api, ec_pem: Path) -> None:
    """The API answers 401 before it has read the body, as gateways do."""

    class Pipe(io.RawIOBase):
        left = 16 * 1024 * 1024

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            piece = bytes(min(size, self.left))
            self.left -= len(piece)
            return piece

    def refuse(handler: Handler) -> None:
        Reply(401)(handler)
        bank.early = False

    bank.early = True
    bank.says(refuse, Reply())
    with contextlib.closing(Content(Pipe(), "a pipe")) as content:  # type: ignore[arg-type]
        assert content.length is None
        request = make_request("/a", base=bank.base, content=content)
        api.call(ClientCredentials(configuration(bank, ec_pem)), request, write=lambda _: None)
    assert len(bank.asked[1].body) == 16 * 1024 * 1024


def test_a_body_that_cannot_be_read_is_an_error_of_its_own(
    call: Callable[..., Result], bank: Api, tmp_path: Path
) -> None:
    result = call("/a", "--input", tmp_path)
    assert result == Result(2, "", f"✗   {tmp_path} is a directory\n    Next: name the file in it\n")


def test_a_body_that_breaks_off_while_it_is_sent_is_an_error_of_its_own(bank: Api, ec_pem: Path) -> None:
    class Broken(io.BytesIO):
        fails = False

        def read(self, size: int | None = -1) -> bytes:
            if self.fails and self.tell():
                raise OSError(5, "Input/output error")
            return super().read(size)

    source = Broken(b"x" * 10)
    content = Content(source, "the file")
    source.fails = True
    with pytest.raises(ConfigurationError, match="the file cannot be read: Input/output error"):
        api.call(
            ClientCredentials(configuration(bank, ec_pem)),
            make_request("/a", base=bank.base, content=content),
            write=print,
        )


def test_a_terminal_is_told_that_it_is_waited_for(
    call: Callable[..., Result], bank: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("tests.conftest.io.TextIOWrapper", Terminal)
    result = call("/a", "--input", "-", stdin=b"{}")
    assert (result.code, bank.asked[0].body) == (0, b"{}")
    assert result.stderr == f"Reading the body: paste it, then press {END_OF_INPUT}.\n{OK}"


def test_standard_input_that_is_closed_is_said(bank: Api, ec_pem: Path) -> None:
    command = with_closed("stdin", *args_for(bank, ec_pem, "/a", "--input", "-"))
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "standard input is closed" in done.stderr.decode().lower()


@pytest.mark.parametrize("how", ["--input", "-F"])
@pytest.mark.parametrize("way", ["file", "standard input"])
@pytest.mark.parametrize("kind", ["pem", "bags", "encrypted", "jwk", "jwks", "der", "base64 pem", "base64 der"])
def test_a_private_key_is_not_sent(
    call: Callable[..., Result], bank: Api, tmp_path: Path, rsa_key: Any, how: str, way: str, kind: str
) -> None:
    content = key_as(kind, rsa_key)
    (tmp_path / "file").write_bytes(content)
    name = str(tmp_path / "file") if way == "file" else "-"
    result = call("/a", how, name if how == "--input" else f"f=@{name}", stdin=content)
    assert result.stderr == (
        f"✗   There is a private key in {name if way == 'file' else way}, and nothing was sent\n"
        "    Next: name another file: the API never needs a private key\n"
    )
    assert (result.code, result.stdout, bank.asked, bank.granted) == (2, "", [], 0)


def key_as(kind: str, key: Any) -> bytes:
    pem: bytes = key.pem()
    der = base64.b64decode("".join(pem.decode().splitlines()[1:-1]))
    jwk = json.dumps({"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "c2VjcmV0" * 20}).encode()
    kinds: dict[str, bytes] = {
        "pem": pem,
        "bags": b"Bag Attributes\n    friendlyName: x\n" + pem,
        "encrypted": key.pem(b"a passphrase"),
        "jwk": jwk,
        "jwks": b'\xef\xbb\xbf {"keys": [' + jwk + b"]}",
        "der": der,
        "base64 pem": base64.encodebytes(pem),
        "base64 der": base64.b64encode(der),
    }
    return kinds[kind]


@pytest.mark.parametrize(
    "body",
    [
        b'{"d": "text"}',
        b'{"kty": "RSA", "n": "AQAB"}',
        json.dumps({"image": base64.b64encode(bytes(range(256)) * 200 + b"0\x82" * 99).decode()}).encode(),
        base64.b64encode(b"0\x82\x01\x010\x82" + bytes(400)),  # as a certificate begins
        b"0" * 500,
        b"an essay about -----BEGIN PUBLIC KEY-----",
    ],
    ids=range(6),
)
def test_what_is_no_private_key_is_sent(call: Callable[..., Result], bank: Api, body: bytes) -> None:
    assert call("/a", "--input", "-", stdin=body).code == 0
    assert bank.asked[0].body == body


# --- a refused token ---


def test_a_401_gets_another_token_and_one_more_try(call: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(401, b'{"error": "expired"}'), Reply())
    assert call("/a", "-f", "n=1") == Result(0, '{"ok": true}', OK)
    assert [asked.token for asked in bank.asked] == [access_token(1), access_token(2)]
    assert [asked.body for asked in bank.asked] == [b'{"n": "1"}'] * 2


def test_verbose_tells_of_the_second_try(call: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(401), Reply())
    said = "attempt 2 of 2, because the API answered 401 Unauthorized (x-request-id 7c1e-4a); now with another token"
    assert said in call("-v", "/a").stderr
    bank.asked.clear()
    bank.says(Reply(401, b"", {"x-request-id": ""}), Reply())
    assert "because the API answered 401 Unauthorized; now" in call("-v", "/a").stderr


def test_a_fresh_token_fills_the_places_anew(call: Callable[..., Result], bank: Api) -> None:
    bank.token = lambda number: access_token(number, institutionId=f"i{number}")
    bank.says(Reply(401), Reply())
    assert call("/a/{institutionId}").code == 0
    assert [asked.path for asked in bank.asked] == ["/a/i1", "/a/i2"]


def test_a_second_401_is_a_refusal(call: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(401, b'{"error": "nope"}', {"www-authenticate": 'Bearer error="invalid_token"'}))
    assert call("/a") == Result(
        4,
        '{"error": "nope"}',
        "401 Unauthorized in N ms · x-request-id 7c1e-4a\n"
        "✗   The API refused another token too: 401 Unauthorized\n"
        f"    client {CLIENT_ID}\n"
        f"    GET {bank.base}/a\n"
        "    the server says: nope\n"
        '    www-authenticate: Bearer error="invalid_token"\n'
        "    Next: check that --api-base and the token endpoint belong together, and what the token contains: "
        "banno-creds token | banno-creds decode\n",
    )
    assert (len(bank.asked), bank.granted) == (2, 2)


def test_a_passphrase_from_standard_input_is_read_once_for_both_tokens(
    call: Callable[..., Result], bank: Api, tmp_path: Path, ec_key: Any
) -> None:
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_bytes(ec_key.pem(b"a passphrase"))
    bank.says(Reply(401), Reply())
    args = ["--private-key", path, "--passphrase-file", "-"]
    assert call("/a", *args, stdin=b"a passphrase\n") == Result(0, '{"ok": true}', OK)
    assert bank.granted == 2


def test_the_cache_and_its_options_are_the_token_s(
    cli: Cli, bank: Api, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[object, ...]] = []

    def obtain(_: object, cache: object, wanted: Wanted, run: object) -> Any:
        seen.append((cache, wanted))
        return _response(access_token(len(seen)))

    the_cache = object()
    monkeypatch.setattr(ClientCredentials, "obtain", obtain)
    monkeypatch.setattr(token_cache, "open_cache", lambda _: the_cache)
    bank.says(Reply(401), Reply())
    args = [word for word in args_for(bank, ec_pem, "/a", "--min-ttl", "90") if word != "--no-cache"]
    assert cli(*args).code == 0
    assert cli(*args, "--force-refresh").code == 0
    assert cli(*args, "--no-cache").code == 0
    assert seen == [
        (the_cache, Wanted(90)),
        (the_cache, Wanted(90, not_token=access_token(1))),  # after the 401
        (the_cache, Wanted(90, force_refresh=True)),
        (None, Wanted(90)),
    ]


@pytest.fixture
def kept(cli: Cli, bank: Api, ec_pem: Path) -> Callable[..., Result]:
    """The command with the cache."""
    return lambda *args: cli(*(word for word in args_for(bank, ec_pem, *args) if word != "--no-cache"))


def test_where_there_is_no_other_token_the_401_stands(
    kept: Callable[..., Result], bank: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClientCredentials, "obtain", lambda *_: _response(access_token()))
    bank.says(Reply(401, b'{"error": "nope"}'))
    result = kept("/a")
    assert (result.code, result.stdout, len(bank.asked)) == (4, '{"error": "nope"}', 1)
    assert result.stderr.partition("\n")[2] == (
        "✗   The API refused the token, and there is no other at the moment: 401 Unauthorized\n"
        f"    client {CLIENT_ID}\n"
        f"    GET {bank.base}/a\n"
        "    the server says: nope\n"
        "    it was fetched a moment ago, after another 401, or the server gave the same one again\n"
        "    Next: check that --api-base and the token endpoint belong together, and what the token contains: "
        "banno-creds token | banno-creds decode\n"
    )


def test_runs_that_always_meet_a_401_ask_for_two_tokens_between_them(kept: Callable[..., Result], bank: Api) -> None:
    bank.says(Reply(401))
    assert [kept("/a").code for _ in range(6)] == [4] * 6
    assert (bank.granted, len(bank.asked)) == (2, 7)


def test_a_refused_client_with_a_revoked_token_is_asked_for_once(
    kept: Callable[..., Result], bank: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept("/a").code == 0
    bank.says(Reply(401))
    asked = 0

    def refuse(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise RefusedError("the server refused the client: invalid_client", error="invalid_client", status=401)

    monkeypatch.setattr(ClientCredentials, "fetch", refuse)
    results = [kept("/a") for _ in range(6)]
    assert {result.code for result in results} == {4}
    assert all("The server refused the client: invalid_client\n" in result.stderr for result in results)
    assert asked == 1


def test_a_token_that_is_no_bearer_token_is_not_sent(call: Callable[..., Result], bank: Api) -> None:
    bank.token_type = "DPoP"
    result = call("/a")
    assert (result.code, result.stdout, bank.asked) == (5, "", [])
    assert result.stderr.endswith(
        "✗   The token is of the type DPoP, which cannot be used as a Bearer token\n"
        "    Next: follow the specification of that type; banno-creds token -o json gives the whole answer\n"
        "    More: banno-creds explain token.type\n"
    )


# --- how it ends ---


SCOPE = "check that the token has the scope this call needs (--scope), and that the institution is the token's"
SUPPORT = "try again later; the vendor asks for the x-request-id, the date and the client ID in a support case"
LOOK = "look at what the API says on standard output, and at its documentation"


@pytest.mark.parametrize(
    ("reply", "code", "message", "more"),
    [
        (Reply(400, b'{"message": "no such field"}'), 4, "The API refused the request: 400 Bad Request",
         ["the server says: no such field", "Next: compare the fields with the API's documentation"]),
        (Reply(403, b'{"errorCode": 40}'), 4,
         "The Associated User of this application lacks the permission for this: 403 Forbidden",
         ["the server says: errorCode 40", "Next: ask the administrator to give it to that user in Users & Groups"]),
        (Reply(403, b'\xef\xbb\xbf{"errorCode": 40}'), 4,
         "The Associated User of this application lacks the permission for this: 403 Forbidden",
         ["the server says: errorCode 40", "Next: ask the administrator to give it to that user in Users & Groups"]),
        (Reply(403, b'{"errorCode": 41}'), 4, "The API refused the request: 403 Forbidden",
         ["the server says: errorCode 41", f"Next: {SCOPE}"]),
        (Reply(403, b"[40]", {"www-authenticate": "Bearer scope=a"}), 4, "The API refused the request: 403 Forbidden",
         ["www-authenticate: Bearer scope=a", f"Next: {SCOPE}"]),
        (Reply(404, b""), 4, "The API refused the request: 404 Not Found",
         ["Next: check the path, and that the institution in it is the token's"]),
        (Reply(405, b"{"), 4, "The API refused the request: 405 Method Not Allowed",
         ["Next: check the method (--method)"]),
        (Reply(415, b"[" * 5000), 4, "The API refused the request: 415 Unsupported Media Type",
         ['Next: name the type of the body: --header "Content-Type: …"']),
        (Reply(418, b"", reason=""), 4, "The API refused the request: 418", [f"Next: {LOOK}"]),
        (Reply(429, b"slow", {"retry-after": "30"}), 5,
         "The server asks to slow down: 429 Too Many Requests; it asks to wait 30 s",
         ["the server says: slow", "Next: try again later and less often",
          "More: banno-creds explain network.unavailable"]),
        (Reply(500, b"<title>Oh</title>", {"content-type": "text/html"}), 5,
         "The server cannot answer now: 500 Internal Server Error",
         ["the server says: Oh", f"Next: {SUPPORT}", "More: banno-creds explain network.unavailable"]),
        (Reply(503, b""), 5, "The server cannot answer now: 503 Service Unavailable",
         [f"Next: {SUPPORT}", "More: banno-creds explain network.unavailable"]),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)  # fmt: skip
def test_an_error_s_body_is_the_result_and_its_status_the_exit_code(
    call: Callable[..., Result], bank: Api, reply: Reply, code: int, message: str, more: list[str]
) -> None:
    bank.says(reply)
    result = call("/a")
    reason = message.partition(f"{reply.status}")[2].partition(";")[0]
    whose = f"    client {CLIENT_ID}\n" if code == 4 else ""
    assert result == Result(
        code,
        reply.body.decode(),
        f"{reply.status}{reason} in N ms · x-request-id 7c1e-4a\n"
        f"✗   {message}\n{whose}    GET {bank.base}/a\n" + "".join(f"    {line}\n" for line in more),
    )
    assert len(bank.asked) == 1


@pytest.mark.parametrize("option", ["-f", "-F"])
@pytest.mark.parametrize("status", [404, 405])
def test_where_a_field_made_it_a_post_the_hint_says_so(
    call: Callable[..., Result], bank: Api, option: str, status: int
) -> None:
    bank.says(Reply(status, b""))
    said = f"Next: {option} made this a POST; for a GET with a query, add -X GET\n"
    assert said in call("/a", option, "limit=2").stderr
    assert said not in call("/a", option, "limit=2", "-X", "POST").stderr
    assert said not in call("/a", option, "limit=2", "-X", "GET").stderr


@pytest.mark.parametrize(("scope", "has"), [("openid", "is 'openid'"), (None, "is not enough")])
def test_a_scope_that_is_not_enough_is_named(
    call: Callable[..., Result], bank: Api, monkeypatch: pytest.MonkeyPatch, scope: str | None, has: str
) -> None:
    token = replace(_response(access_token()), scope=scope)
    monkeypatch.setattr(ClientCredentials, "obtain", lambda *_: token)
    bank.says(Reply(403, b'{"error": "insufficient_scope"}'))
    result = call("/a")
    assert (result.code, result.stdout) == (4, '{"error": "insufficient_scope"}')
    assert f"Next: the token's scope {has}; name the one that this call needs too, with --scope\n" in result.stderr


def test_a_refusal_names_the_client_and_the_profile_first(
    call: Callable[..., Result], server: Any, tmp_path: Path
) -> None:
    from tests.servers.loopback import Says

    server.says(Says(401, b'{"error": "invalid_client"}'))
    file = tmp_path / "config.toml"
    file.write_text(f'[profiles.granite]\nclient_id = "granite-ap"\ntoken_endpoint = "{server.url}"\n')
    result = call("/a", "--config", file, "--profile", "granite", "--token-endpoint", server.url)
    assert result.stderr.splitlines()[1] == f"    profile granite, client {CLIENT_ID}"


def test_a_refusal_of_the_token_is_the_token_endpoint_s(call: Callable[..., Result], server: Any) -> None:
    from tests.servers.loopback import Says

    server.says(Says(401, b'{"error": "invalid_client"}'))
    result = call("/a", "--token-endpoint", server.url)
    assert (result.code, result.stdout) == (4, "")
    assert result.stderr.startswith("✗   The server refused the client: invalid_client\n")


def test_an_answer_that_breaks_off_is_an_error_after_what_came(call: Callable[..., Result], bank: Api) -> None:
    def talk(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")

    bank.says(talk)
    result = call("/a")
    assert (result.code, result.stdout) == (5, "half")
    assert f"✗   The connection to 127.0.0.1:{bank.port} broke before the whole answer was there: " in result.stderr


def test_no_answer_at_all(call: Callable[..., Result], bank: Api) -> None:
    bank.says(lambda _: None)
    result = call("/a")
    assert (result.code, result.stdout, len(bank.asked)) == (5, "", 1)
    assert "the server hung up without an answer" in result.stderr


def test_nobody_listens(call: Callable[..., Result], bank: Api) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{bound.getsockname()[1]}"
        result = call("/a", "--api-base", base)
    assert result.code == 5
    assert result.stderr.endswith(
        f"✗   {base.removeprefix('http://')} refused the connection: nothing listens there\n"
        "    Next: check the host and the port, and whether the server is running\n"
        "    More: banno-creds explain network.connection\n"
    )


# --- how long it may take ---


@pytest.fixture
def granted(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a token already: on a busy machine, one would not always be got in the time that these tests allow."""
    monkeypatch.setattr(ClientCredentials, "fetch", lambda *_: _response(access_token()))


def stalls(before: bytes = b"") -> tuple[Callable[[Handler], None], threading.Event]:
    over = threading.Event()

    def talk(handler: Handler) -> None:
        handler.wfile.write(before)
        handler.wfile.flush()
        over.wait(30)

    return talk, over


@pytest.mark.usefixtures("granted")
@patient(0.5, 10)
def test_the_time_is_how_long_an_answer_may_take_to_begin(bank: Api, ec_pem: Path, seconds: float) -> None:
    talk, over = stalls(b"HTTP/1.1 200 OK\r\n")
    bank.says(talk)
    with pytest.raises(TimedOutError) as caught:
        api.call(ClientCredentials(configuration(bank, ec_pem, seconds)), ApiRequest("/a", bank.base), write=print)
    over.set()
    assert str(caught.value) == f"no whole answer from 127.0.0.1:{bank.port} within {seconds} s"
    assert caught.value.details == ("the server had not begun to answer",)


@pytest.mark.usefixtures("granted")
@pytest.mark.parametrize("content", [None, b"a body"])
@patient(0.5, 10)
def test_an_answer_that_begins_byte_by_byte_is_none(
    bank: Api, ec_pem: Path, content: bytes | None, seconds: float
) -> None:
    over = threading.Event()

    def talk(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.1):
            handler.wfile.write(b"x: y\r\n")

    bank.says(talk)
    body = None if content is None else Content(io.BytesIO(content), "the body")
    with pytest.raises(TimedOutError) as caught:
        api.call(
            ClientCredentials(configuration(bank, ec_pem, seconds)),
            make_request("/a", base=bank.base, content=body),
            write=print,
        )
    over.set()
    assert caught.value.details == ("the server had not begun to answer",)


@pytest.mark.usefixtures("granted")
@patient(0.8, 10)
def test_the_time_is_how_long_an_answer_may_pause(bank: Api, ec_pem: Path, seconds: float) -> None:
    talk, over = stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    bank.says(talk)
    came: list[bytes] = []
    with pytest.raises(TimedOutError) as caught:
        api.call(
            ClientCredentials(configuration(bank, ec_pem, seconds)), ApiRequest("/a", bank.base), write=came.append
        )
    over.set()
    assert came == [b"half"]
    assert str(caught.value) == f"nothing more of the answer from 127.0.0.1:{bank.port} came for {seconds} s"


@pytest.mark.usefixtures("granted")
@patient(0.8, 10)
def test_the_whole_may_take_longer(bank: Api, ec_pem: Path, seconds: float) -> None:
    """A body that is given slowly, and one that comes in pieces that take more than the time together."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():  # before its end is told
                threading.Event().wait(1.25 * seconds)
            return super().read(size)

    def talk(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(6):
            threading.Event().wait(seconds / 4)
            handler.wfile.write(b"x")

    bank.says(talk)
    came: list[bytes] = []
    request = make_request("/a", base=bank.base, content=Content(Slow(bytes(600)), "slow"))
    api.call(ClientCredentials(configuration(bank, ec_pem, seconds)), request, write=came.append)
    assert (bank.asked[-1].body, b"".join(came)) == (bytes(600), b"x" * 6)


@pytest.mark.usefixtures("granted")
def test_the_time_stands_still_while_a_piece_is_read_however_soon_that_begins(
    bank: Api, ec_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, the thread of the request may be at the body before the one that waits goes on."""
    sent, reading, start = threading.Event(), threading.Event(), threading.Thread.start

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if sent.is_set():
                reading.set()
                threading.Event().wait(2)
            return super().read(size)

    def start_and_let_it_come_first(thread: threading.Thread) -> None:
        start(thread)
        if threading.current_thread() is threading.main_thread():
            sent.set()
            reading.wait(10)

    bank.says(Reply(200, b"done"))
    request = make_request("/a", base=bank.base, content=Content(Slow(bytes(600)), "slow"))
    came: list[bytes] = []
    monkeypatch.setattr(threading.Thread, "start", start_and_let_it_come_first)
    api.call(ClientCredentials(configuration(bank, ec_pem, 1.5)), request, write=came.append)
    assert b"".join(came) == b"done"


def test_an_answer_that_begins_as_the_time_ends_is_closed(bank: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(under_way: exchange.Exchange[Any]) -> None:
        under_way._broken_off = True  # but its connection is not cut, and its answer comes now
        over.set()

    monkeypatch.setattr(exchange.Exchange, "_break_off", late)
    over = threading.Event()

    def talk(handler: Handler) -> None:
        over.wait(60)
        Reply()(handler)

    bank.says(talk)
    monkeypatch.setattr(exchange, "make_request", _patient(exchange.make_request))
    with HttpClient(0.2) as http, pytest.raises(TimedOutError):
        http.stream("GET", f"{bank.base}/a", [])


def _patient(request: Callable[..., Any]) -> Callable[..., Any]:
    def patient(method: str, url: str, content: Any, seconds: float, *rest: Any) -> Any:
        return request(method, url, content, 10, *rest)

    return patient


# --- pages ---


def pages(total: object, size: int = 2, **more: object) -> Callable[[Handler], None]:
    """As the vendor's user search has it: limit and offset asked, totalCount answered."""

    def talk(handler: Handler) -> None:
        found = re.search(r"[?&]offset=(\d+)", handler.path)
        offset = int(found[1]) if found else 0
        users = [{"n": n} for n in range(offset, min(offset + size, int(str(total))))]
        Reply(body=json.dumps({"users": users, "totalCount": total, **more}).encode())(handler)

    return talk


def numbers(stdout: str) -> list[int]:
    return [user["n"] for line in stdout.splitlines() for user in json.loads(line)["users"]]


@pytest.mark.parametrize(
    ("path", "args", "asked"),
    [
        ("/a", [], ["/a", "/a?offset=2", "/a?offset=4"]),
        ("/a?q=%C3%A4", [], ["/a?q=%C3%A4", "/a?q=%C3%A4&offset=2", "/a?q=%C3%A4&offset=4"]),
        ("/a?offset=1&x", [], ["/a?offset=1&x", "/a?x&offset=3"]),
        ("/a?offset=x", [], ["/a?offset=x", "/a?offset=2", "/a?offset=4"]),
        ("/a", ["-X", "GET", "-F", "limit=2", "-F", "offset=3"], ["/a?limit=2&offset=3"]),
    ],
)  # fmt: skip
def test_all_pages_are_asked_for(
    call: Callable[..., Result], bank: Api, path: str, args: list[str], asked: list[str]
) -> None:
    bank.says(pages(5))
    result = call("--paginate", path, *args)
    assert (result.code, result.stderr) == (0, OK * len(asked))
    assert [request.path for request in bank.asked] == asked
    found = re.search(r"offset=(\d)", asked[0])
    assert numbers(result.stdout) == list(range(int(found[1]) if found else 0, 5))


def test_without_paginate_there_is_one_page(call: Callable[..., Result], bank: Api) -> None:
    bank.says(pages(5))
    assert numbers(call("/a").stdout) == [0, 1]


def test_pages_that_end_their_line_get_no_empty_one_between(call: Callable[..., Result], bank: Api) -> None:
    body = b'{"users": [1], "totalCount": 2}\n'
    bank.says(Reply(body=body))
    assert call("--paginate", "/a").stdout == body.decode() * 2


NO_SIGN = (
    "!   The answer does not say whether there are further pages: it has no totalCount beside one list\n"
    "    this call may have no pages; look it up in the API's documentation\n"
)


@pytest.mark.parametrize(
    "body",
    [
        b"[1, 2]", b"text", b"", b'{"users": [1]}', b'{"users": [1], "totalCount": "9"}',
        b'{"users": [1], "totalCount": true}', b'{"totalCount": 9}', b'{"a": [1], "b": [2], "totalCount": 9}',
        b"[" * 100_000,
    ],
    ids=range(9),
)  # fmt: skip
def test_where_nothing_speaks_of_pages_that_is_said(call: Callable[..., Result], bank: Api, body: bytes) -> None:
    bank.says(Reply(body=body))
    assert call("--paginate", "/a") == Result(0, body.decode(), OK + NO_SIGN)
    assert len(bank.asked) == 1


def test_a_page_too_large_to_look_at_is_passed_on_and_said(
    call: Callable[..., Result], bank: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_PAGE_BYTES", 30)
    bank.says(pages(5))
    result = call("--paginate", "/a")
    assert (numbers(result.stdout), result.stderr) == ([0, 1], OK + NO_SIGN)


def test_an_empty_page_before_the_end_is_an_error(call: Callable[..., Result], bank: Api) -> None:
    bank.says(pages(5), pages(5, size=0))
    result = call("--paginate", "/a")
    assert (result.code, len(bank.asked)) == (5, 2)
    assert result.stderr == (
        f"{OK}{OK}✗   The page with offset=2 is empty, although its totalCount is 5\n"
        "    Next: check limit and offset; the pages before it were passed on\n"
    )


def redirects(to: str) -> Callable[[Handler], None]:
    """As a server does that moved a path: with ``to``, and with the query where that ends with a question mark."""

    def talk(handler: Handler) -> None:
        query = handler.path.partition("?")[2] if to.endswith("?") else ""
        if handler.path.startswith("/start"):
            Reply(302, b"", {"location": to + query})(handler)
        else:
            pages(6)(handler)

    return talk


@pytest.mark.parametrize("to", ["/list", "/list?offset=0", "/list?limit=2"])
@pytest.mark.parametrize(("path", "asked"), [("/start?offset=4", 1), ("/start", 3)])
def test_a_redirect_that_loses_the_offset_is_an_error(
    call: Callable[..., Result], bank: Api, path: str, asked: int, to: str
) -> None:
    bank.says(redirects(to))
    result = call("--paginate", path)
    assert (result.code, len(bank.asked)) == (5, asked)
    assert f"✗   The API redirects to {bank.base}{to}, without the offset that was asked for\n" in result.stderr


def test_a_redirect_that_keeps_the_offset_is_followed_for_each_page(call: Callable[..., Result], bank: Api) -> None:
    bank.says(redirects("/list?"))
    assert numbers(call("--paginate", "/start?offset=1").stdout) == [1, 2, 3, 4, 5]


def test_pages_are_bounded_whatever_the_count_says(
    call: Callable[..., Result], bank: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_PAGES", 3)
    bank.says(pages(10**17))
    result = call("--paginate", "/a?offset=999999999999999998")
    assert (result.code, len(bank.asked)) == (0, 1)  # beyond the count: it was the last
    bank.says(pages(10**25))
    result = call("--paginate", "/a?offset=999999999999999998")
    assert [asked.path.partition("=")[2] for asked in bank.asked[2:]] == ["1" + "0" * 18, "1" + "0" * 17 + "2"]
    assert result.code == 5
    assert result.stderr == (
        f"{OK * 3}✗   There are more than 3 pages\n"
        "    Next: ask for larger pages with limit, or go on with offset=1000000000000000004\n"
    )


def test_a_token_that_ends_between_pages_is_renewed(call: Callable[..., Result], bank: Api) -> None:
    bank.says(pages(6), Reply(401), pages(6))
    result = call("--paginate", "/a")
    assert (result.code, numbers(result.stdout)) == (0, list(range(6)))
    assert [asked.token for asked in bank.asked] == [access_token(n) for n in (1, 1, 2, 2)]


def test_for_all_pages_one_other_token_is_asked_for(call: Callable[..., Result], bank: Api) -> None:
    bank.says(pages(8), Reply(401), pages(8), Reply(401))
    result = call("--paginate", "/a")
    assert (result.code, bank.granted, len(bank.asked)) == (4, 2, 4)
    assert "✗   The API refused another token too: 401 Unauthorized\n" in result.stderr


def test_an_error_on_a_later_page_ends_it(call: Callable[..., Result], bank: Api) -> None:
    bank.says(pages(6), Reply(500, b"oops"))
    result = call("--paginate", "/a")
    assert (result.code, result.stdout.splitlines()[1:]) == (5, ["oops"])


# --- secrets ---


OPAQUE = "an-opaque-canary-token-of-some-length"


@pytest.mark.parametrize("token", [OPAQUE, "".join(map(str, range(1000, 1200))), access_token(1), "short"])
@pytest.mark.parametrize("status", [200, 302, 401, 404, 503])
def test_an_api_that_echoes_the_token_does_not_make_us_show_it(
    call: Callable[..., Result], bank: Api, token: str, status: int
) -> None:
    bank.token = lambda _: token
    echo = json.dumps({"message": f"you sent {token}"}).encode()
    headers = {"x-request-id": token, "location": f"https://evil.example/{token}", "www-authenticate": token}
    bank.says(Reply(status, echo, headers, reason=f"No {token}"))
    result = call("-v", "/a")
    if token == "short":  # only where it stands alone
        assert "No short" not in result.stderr
        return
    assert token not in result.stderr
    assert not any(token[i : i + 20] in result.stderr for i in range(40, len(token) - 20))
    assert result.stdout == ("" if status == 302 else echo.decode())  # the result is whole


def test_no_repr_tells_a_secret(bank: Api) -> None:
    content = Content(io.BytesIO(b"canary-body"), "the body")
    request = make_request(
        "/a", base=bank.base, content=content, headers=[("x", "canary-header")], fields=[("y", "canary-field")]
    )
    bank.says(Reply(headers={"set-cookie": OPAQUE}))
    with HttpClient(10) as http, http.stream("GET", f"{bank.base}/a", [("authorization", OPAQUE)]) as answer:
        said = repr([request, content, http, answer])
    assert "canary" not in said


def test_a_traceback_tells_no_secret(bank: Api, ec_pem: Path, process: Cli) -> None:
    bank.token = lambda _: OPAQUE
    bank.says(Reply(404, OPAQUE.encode()))
    result = process(*args_for(bank, ec_pem, "/a"), env={"BANNO_CREDS_DEBUG": "1"})
    assert "Traceback" in result.stderr
    assert OPAQUE not in result.stderr


# --- TLS and start-up ---


def test_over_tls_the_server_has_to_be_trusted(bank: Api, ec_pem: Path, cli: Cli, tmp_path: Path) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Api(context) as secure:
        args = args_for(bank, ec_pem, "/a", "--api-base", secure.base)
        distrusted = cli(*args)
        assert (distrusted.code, distrusted.stdout, secure.asked) == (5, "", [])
        assert f"The certificate of 127.0.0.1:{secure.port} is not trusted" in distrusted.stderr
        assert cli(*args, "--ca-bundle", bundle).stdout == '{"ok": true}'


def test_a_ca_bundle_that_cannot_be_read_costs_no_token(call: Callable[..., Result], bank: Api) -> None:
    result = call("/a", "--ca-bundle", "/nowhere/at/all")
    assert (result.code, bank.granted) == (2, 0)


def test_the_help_explains_the_argument(cli: Cli) -> None:
    assert "PATH                       The path to call, such as /a/…," in cli("api", "--help").stdout


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, banno_creds.cli.main as c, banno_creds.cli.api\n"
        "sys.exit([m for m in ('httpx', 'rich', 'cryptography', 'jwt') if m in sys.modules] or 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0


@pytest.mark.posix("SIGINT for one process")
def test_an_interrupt_ends_a_download_at_once(bank: Api, ec_pem: Path) -> None:
    talk, over = stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
    bank.says(talk)
    command = [sys.executable, "-m", "banno_creds", *args_for(bank, ec_pem, "/a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert os.read(process.stdout.fileno(), 100) == b"half"
        process.send_signal(2)
        said = process.stderr.read().decode()
    over.set()
    assert process.returncode == 130
    assert "Traceback" not in said
