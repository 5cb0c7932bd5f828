"""The way to a server: a real double for each fault, named alike by `doctor`'s look and by a request's error."""

from __future__ import annotations

import ast
import contextlib
import copy
import gc
import json
import os
import pickle
import re
import socket
import ssl
import struct
import sys
import threading
import time
import types
import urllib.request
from datetime import UTC, datetime, timedelta
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

import banno_creds
from banno_creds.cli.report import as_option
from banno_creds.doctor import network
from banno_creds.doctor.findings import spelled
from banno_creds.doctor.network import examine
from banno_creds.errors import (
    BannoCredsError,
    NetworkError,
    RefusedError,
    TimedOutError,
    TokenError,
    UnavailableError,
    UnusableAnswerError,
)
from banno_creds.http import discovery, faults
from banno_creds.http.client import HttpClient
from banno_creds.http.faults import PROXY_HINT
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.secrecy import Secret
from banno_creds.times import utc
from banno_creds.tokens import response as token_endpoint
from tests.http.machine import Store, exchanges_that_stay, linux, own_address
from tests.patience import patient
from tests.servers.loopback import Says
from tests.servers.raw import Proxy, RawServer, reply, sends
from tests.servers.tls import Authority, make_authority, self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.scripted import ScriptedServer

BANK = "https://bank.example/token"
PASSWORD = "pr0xy-pa55word"
CONNECTION_HINT = "check the host, the firewall, and whether a proxy is needed (HTTPS_PROXY)"
TLS_HINT = (
    "check that the port speaks TLS (1.2 or later), and not plain http; and what stands between this machine and the "
    "server"
)

NO_PROXY_NAMED = Finding("network.proxy", Verdict.PASS, "proxy", "none")


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No thread; and no socket, for a ResourceWarning is an error and would come with the collection."""
    yield
    gc.collect()
    assert exchanges_that_stay() == []


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


@pytest.fixture
def bank(authority: Authority) -> Iterator[RawServer]:
    with RawServer(sends(reply()), authority.context("bank.example")) as server:
        yield server


def found(url: str, ca_bundle: Path | None = None, *, timeout: float = 20) -> list[Finding]:
    """What is found on the way; the findings but the last have passed, and nobody's password is in them."""
    with HttpClient(timeout, ca_bundle) as http:
        findings = [spelled(finding, as_option) for finding in examine(url, http)]
    assert {finding.verdict for finding in findings[:-1]} <= {Verdict.PASS}
    assert PASSWORD not in repr(findings)
    assert all(finding.received.isprintable() for finding in findings)
    return findings


def rule_of_request(url: str, ca_bundle: Path | None = None, *, timeout: float = 20) -> str | None:
    """The rule of the error that a request to the same URL ends with."""
    with HttpClient(timeout, ca_bundle) as http, pytest.raises(BannoCredsError) as failure:
        http.get(url)
    assert PASSWORD not in f"{failure.value!r} {vars(failure.value)}"
    return failure.value.rule


def fails(url: str, ca_bundle: Path | None = None, *, timeout: float = 20) -> Finding:
    """The finding that ends the way; a request ends with the same rule."""
    last = found(url, ca_bundle, timeout=timeout)[-1]
    assert last.verdict is Verdict.FAIL
    assert rule_of_request(url, ca_bundle, timeout=timeout) == last.rule
    return last


def says(looks_at: str, findings: list[Finding]) -> list[str]:
    return [finding.received for finding in findings if finding.looks_at == looks_at]


def closed_port(stack: contextlib.ExitStack) -> int:
    """A port that is bound and not listened at: nobody else can take it meanwhile."""
    bound = stack.enter_context(socket.socket())
    bound.bind(("127.0.0.1", 0))
    port: int = bound.getsockname()[1]
    return port


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Every name leads there."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: int) -> object:
        if host in {address for address, _ in addresses}:
            return real(host, port, *args)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# --- A way that is free ---


def test_the_way_to_plain_http_on_loopback_ends_with_the_connection(server: ScriptedServer) -> None:
    port = server.url.split(":")[2].removesuffix("/token")
    findings = found(server.url)
    assert findings[0] == NO_PROXY_NAMED
    assert findings[1] == Finding("network.dns", Verdict.PASS, "DNS", "127.0.0.1 is an address: nothing to resolve")
    assert findings[2][:3] == ("network.connection", Verdict.PASS, "connection")
    assert re.fullmatch(rf"127\.0\.0\.1:{port} · \d+ ms", findings[2].received)
    assert len(findings) == 3
    assert server.requests == []


def test_a_name_is_shown_with_its_addresses(server: ScriptedServer) -> None:
    (resolved,) = says("DNS", found(server.url.replace("127.0.0.1", "localhost")))
    assert re.fullmatch(r"localhost · (::1, )?127\.0\.0\.1(, ::1)?", resolved)


def test_no_more_than_four_addresses_are_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        port = closed_port(stack)
        leads_to(monkeypatch, *((f"127.0.0.{number}", port) for number in range(2, 9)), ("127.0.0.2", port))
        (resolved,) = says("DNS", found(f"https://bank.example:{port}/"))
    assert resolved == "bank.example · 127.0.0.2, 127.0.0.3, 127.0.0.4, 127.0.0.5, 3 more"


def test_a_certificate_that_is_trusted_is_shown_and_nothing_sent(secure: RawServer, authority: Authority) -> None:
    last = found(secure.url("localhost"), authority.file)[-1]
    assert last[:3] == ("network.tls.untrusted", Verdict.PASS, "TLS")
    version, subject, issuer, until, store = last.received.split(" · ")
    assert version == "TLSv1.3"
    assert subject == "certificate of localhost" or subject == "certificate of 127.0.0.1"
    assert issuer.startswith("issued by OU=Testing CA #")
    assert re.fullmatch(r"until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", until)
    assert store == f"vouched for by --ca-bundle {authority.file}"
    assert (last.expected, last.fix) == ("", "")
    assert secure.connections == 1
    assert secure.requests == []


@pytest.mark.parametrize(("variable", "form"), [("SSL_CERT_FILE", "file"), ("SSL_CERT_DIR", "folder")])
@linux
def test_the_trust_store_is_named_by_the_variable_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, secure: RawServer, authority: Authority, variable: str, form: str
) -> None:
    path = getattr(authority, form)
    monkeypatch.setenv(variable, str(path))
    last = found(secure.url())[-1]
    assert last.verdict is Verdict.PASS
    assert last.received.endswith(f" · vouched for by {variable} {path}")


@linux
def test_a_trust_store_that_is_named_and_not_there_is_said_so(
    monkeypatch: pytest.MonkeyPatch, secure: RawServer, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "corp.pem"))
    last = fails(secure.url())
    assert last.rule == "network.tls.untrusted"
    assert last.expected == f"one that is vouched for in SSL_CERT_FILE {tmp_path}/corp.pem (which is not there)"


@linux
def test_the_operating_systems_whole_store_is_asked_after_its_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    secure: RawServer,
    authority: Authority,
    other_authority: Authority,
) -> None:
    store = Store(tmp_path, monkeypatch)
    store.fill(folder=other_authority, bundle=authority)
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", lambda c: c.load_verify_locations(store.bundle))
    last = found(secure.url())[-1]
    assert last.verdict is Verdict.PASS
    assert last.received.endswith(f" · vouched for by the operating system's trust store {store.file}")
    assert secure.connections == 2


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_a_trust_store_that_is_no_file_has_no_path(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert HttpClient(1).trust.name() == "the operating system's trust store"
    monkeypatch.setenv("SSL_CERT_FILE", "/corp.pem")  # it adds to it
    added = "the operating system's trust store and SSL_CERT_FILE /corp.pem (which is not there)"
    assert HttpClient(1).trust.name() == added


@pytest.mark.parametrize(("days", "verdict"), [(13, Verdict.WARN), (15, Verdict.PASS)])
def test_a_certificate_that_ends_soon_is_warned_of(authority: Authority, days: int, verdict: Verdict) -> None:
    ends = datetime.now(UTC) + timedelta(days=days, hours=1)
    with RawServer(sends(reply()), authority.context("127.0.0.1", not_after=ends)) as server:
        last = found(server.url(), authority.file)[-1]
    assert last.verdict is verdict
    assert f" · until {utc(int(ends.timestamp()))} · " in last.received
    if verdict is Verdict.WARN:
        assert last.rule == "network.tls.expired"
        assert last.expected == "a certificate that does not end within 14 days"
        assert last.fix.startswith("tell the server's operator: it ends in 13 days")


def test_the_end_of_a_certificate_is_compared_with_the_clock_it_is_given(
    secure: RawServer, authority: Authority
) -> None:
    with HttpClient(20, authority.file) as http:
        *_, last = examine(secure.url(), http, clock=lambda: 10.0**11)
    assert (last.rule, last.verdict) == ("network.tls.expired", Verdict.WARN)


def test_whose_certificate_it_is_is_said_by_its_common_name_and_organization(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.ca.issue_cert(
        "127.0.0.1", common_name="\x1b[2Jthe bank", organization_name="Bank \u202eInc."
    ).configure_cert(context)
    with RawServer(sends(reply()), context) as server:
        last = found(server.url(), authority.file)[-1]
    assert " · certificate of [2Jthe bank (Bank Inc.) · " in last.received


def test_a_certificate_that_only_openssl_can_read_is_trusted_nevertheless(
    monkeypatch: pytest.MonkeyPatch, secure: RawServer, authority: Authority
) -> None:
    monkeypatch.setattr(network._Certificate, "read", lambda _: bytes.fromhex("no certificate"))
    last = found(secure.url(), authority.file)[-1]
    assert last.verdict is Verdict.PASS
    assert last.received == (
        f"TLSv1.3 · a certificate that cannot be shown · vouched for by --ca-bundle {authority.file}"
    )


def test_what_is_no_certificate_is_told_by_a_value_error(authority: Authority) -> None:
    der = ssl.PEM_cert_to_DER_cert(authority.file.read_text("ascii"))
    third, sixth = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")
    assert third in der
    for faulty in (b"", der[:-9], der.replace(third, sixth, 1)):
        with pytest.raises(ValueError):  # noqa: PT011 - its words are the library's
            network._Certificate.read(faulty)


def test_the_next_address_is_tried_where_one_refuses(
    monkeypatch: pytest.MonkeyPatch, bank: RawServer, authority: Authority
) -> None:
    with contextlib.ExitStack() as stack:
        leads_to(monkeypatch, ("127.0.0.1", closed_port(stack)), ("127.0.0.1", bank.port))
        findings = found(BANK, authority.file)
    assert findings[-1].verdict is Verdict.PASS
    assert says("connection", findings)[0].startswith(f"127.0.0.1:{bank.port} · ")


def test_each_finding_is_there_as_soon_as_it_is_known(secure: RawServer, authority: Authority) -> None:
    with HttpClient(20, authority.file) as http:
        findings = examine(secure.url(), http)
        assert [next(findings).looks_at for _ in range(2)] == ["proxy", "DNS"]
        assert secure.connections == 0
        assert next(findings).looks_at == "connection"
        del findings  # whoever stops here leaves nothing open: see _nothing_is_left


# --- The proxy ---


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_working_proxy_is_gone_through_and_its_password_not_shown(
    monkeypatch: pytest.MonkeyPatch, bank: RawServer, authority: Authority, variable: str
) -> None:
    with Proxy(bank.port) as proxy:
        monkeypatch.setenv(variable, f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}")
        findings = found(BANK, authority.file)
    assert [finding.looks_at for finding in findings] == ["proxy", "DNS", "connection", "proxy", "TLS"]
    assert {finding.verdict for finding in findings} == {Verdict.PASS}
    where = f"http://127.0.0.1:{proxy.port}"
    named = variable.upper() if sys.platform == "win32" else variable
    assert findings[0].received == f"{where} · from {named} · with a user name and a password"
    assert findings[1].received == (
        "127.0.0.1 is an address: nothing to resolve · the server's name is the proxy's to resolve"
    )
    assert findings[2].received.startswith(f"127.0.0.1:{proxy.port} · ")
    assert findings[3].received == "connects to bank.example:443 · 200 Connection established"
    assert " · certificate of bank.example · " in findings[4].received
    assert bank.requests == []


def test_a_proxy_is_asked_in_the_words_of_a_request(
    monkeypatch: pytest.MonkeyPatch, bank: RawServer, authority: Authority
) -> None:
    with Proxy(bank.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://us%40er:{PASSWORD}@127.0.0.1:{proxy.port}")
        found(BANK, authority.file)
        with HttpClient(20, authority.file) as http:
            http.get(BANK)
    looked, asked = (set(request.split(b"\r\n")) for request in proxy.requests)
    assert looked == asked
    assert any(line.startswith(b"Proxy-Authorization: Basic ") for line in looked)


def test_the_systems_settings_are_said_to_name_the_proxy(
    monkeypatch: pytest.MonkeyPatch, bank: RawServer, authority: Authority
) -> None:
    with Proxy(bank.port) as proxy:
        monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": f"http://127.0.0.1:{proxy.port}"})
        findings = found(BANK, authority.file)
    assert findings[0].received == f"http://127.0.0.1:{proxy.port} · from the system's settings"


def test_a_proxy_that_no_proxy_excepts_is_not_gone_through(
    monkeypatch: pytest.MonkeyPatch, bank: RawServer, authority: Authority
) -> None:
    leads_to(monkeypatch, ("127.0.0.1", bank.port))
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", ".example")
    findings = found(BANK, authority.file)
    assert findings[0].received == "none · HTTPS_PROXY names one, but NO_PROXY excepts bank.example"
    assert findings[-1].verdict is Verdict.PASS


def test_loopback_is_not_reached_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, secure: RawServer, authority: Authority
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://user:{PASSWORD}@127.0.0.1:1")
    findings = found(secure.url(), authority.file)
    assert findings[0].received == "none · ALL_PROXY names one, but loopback is never asked through it"
    assert findings[-1].verdict is Verdict.PASS


def test_a_proxy_setting_that_cannot_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:12#{PASSWORD}@proxy.example:3128")
    assert fails(BANK) == Finding(
        "network.proxy",
        Verdict.FAIL,
        "proxy",
        "the proxy from the environment cannot be used: it is no URL like http://host:port",
        fix=f"{PROXY_HINT}; characters such as # / ? @ in its password have to be percent-encoded",
    )
    assert len(found(BANK)) == 1


def test_a_socks_proxy_without_what_speaks_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    last = fails(BANK)
    assert (last.rule, last.fix) == ("network.proxy", 'pip install "httpx[socks]"')


@pytest.mark.parametrize(("scheme", "kind"), [("https", "https"), ("socks5", "SOCKS")])
def test_what_is_behind_a_proxy_of_another_kind_is_not_known(
    monkeypatch: pytest.MonkeyPatch, scheme: str, kind: str
) -> None:
    socksio = types.ModuleType("socksio")
    socksio.__spec__ = ModuleSpec("socksio", None)
    monkeypatch.setitem(sys.modules, "socksio", socksio)
    with RawServer(sends(b"")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://user:{PASSWORD}@127.0.0.1:{proxy.port}")
        findings = found(BANK)
    assert [finding.looks_at for finding in findings] == ["proxy", "DNS", "connection", "proxy"]
    assert findings[0].received.startswith(f"{scheme}://127.0.0.1:{proxy.port} · ")
    assert findings[-1] == Finding(
        "network.proxy",
        Verdict.UNKNOWN,
        "proxy",
        f"{kind} proxy",
        reason=f"only a request goes through a proxy of this kind ({kind}): what is behind it was not looked at",
    )
    assert proxy.requests == []


@pytest.mark.parametrize(
    "status", ["407 Proxy Authentication Required", "403 Forbidden", "503 Service Unavailable", "302 Found"]
)
def test_a_proxy_that_says_no(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    with Proxy(1, status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}")
        assert fails(BANK) == Finding(
            "network.proxy",
            Verdict.FAIL,
            "proxy",
            f"the proxy would not connect to bank.example: {status}",
            fix=f"{PROXY_HINT}, and at the proxy's user name and password",
        )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "it hung up without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "what it answers is no HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "what it answers is no HTTP"),
        (b"HTTP/1.1 403 \x1b[2J\r\n\r\n", "403 [2J"),
        (b"HTTP/1.1 407\r\n\r\n", "407"),
    ],
    ids=["nothing", "another protocol", "cut off", "hostile", "no reason"],
)
def test_a_proxy_that_answers_what_is_no_answer(monkeypatch: pytest.MonkeyPatch, said: bytes, words: str) -> None:
    with RawServer(sends(said)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        last = fails(BANK)
    assert (last.rule, last.looks_at) == ("network.proxy", "proxy")
    assert last.received == f"the proxy would not connect to bank.example: {words}"


def test_a_proxy_that_never_comes_to_the_end_of_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000)
        proxy.stall(connection, request)

    proxy = RawServer(talk)
    with proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        last = fails(BANK)
    assert last.rule == "network.proxy"
    assert last.received == "the proxy would not connect to bank.example: what it answers is no HTTP"


@pytest.mark.no_wine("Wine sends no reset")
def test_a_proxy_that_resets_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(resets) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        last = fails(BANK)
    assert last.rule == "network.proxy"
    assert last.received == "the proxy would not connect to bank.example: Connection reset by peer"


@patient(0.5, 10)
def test_a_proxy_that_never_answers_ends_with_the_time_allowed(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    proxy = RawServer(lambda *talk: proxy.stall(*talk))
    with proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        last = fails(BANK, timeout=seconds)
    assert (last.rule, last.looks_at) == ("network.timeout", "proxy")
    assert last.received == f"no whole answer from bank.example within {seconds} s · the proxy had not connected yet"


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        port = closed_port(stack)
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:{port}")
        assert fails(BANK) == Finding(
            "network.connection",
            Verdict.FAIL,
            "connection",
            f"the proxy 127.0.0.1:{port} refused the connection: nothing listens there",
            fix=PROXY_HINT,
        )


def test_a_proxys_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    assert fails(BANK) == Finding(
        "network.dns",
        Verdict.FAIL,
        "DNS",
        "the proxy proxy.invalid:3128 cannot be resolved: Name or service not known",
        fix=PROXY_HINT,
    )


def test_a_certificate_inside_the_tunnel_is_looked_at_as_any_other(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, other_authority: Authority
) -> None:
    inspecting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca = trustme.CA(organization_name="Inspection Inc.", organization_unit_name="Zs Root")
    ca.issue_cert("bank.example").configure_cert(inspecting)
    with RawServer(sends(reply()), inspecting) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        last = fails(BANK, authority.file)
    assert last.rule == "network.tls.untrusted"
    assert " · certificate of bank.example · issued by OU=Zs Root,O=Inspection Inc. · valid " in last.received
    assert server.requests == []


class OnceOnly(Proxy):
    """A CONNECT proxy that has had enough after one."""

    def _relay(self, connection: socket.socket, request: bytes) -> None:
        if len(self.requests) > 1:
            self._status = "429 Too Many Requests"
        super()._relay(connection, request)


def test_a_certificate_that_the_proxy_lets_nobody_look_at_again(
    monkeypatch: pytest.MonkeyPatch, bank: RawServer, other_authority: Authority
) -> None:
    with OnceOnly(bank.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        last = found(BANK, other_authority.file)[-1]
    assert (last.rule, last.received) == ("network.tls.untrusted", "unable to get local issuer certificate")
    assert len(proxy.requests) == 2


# --- The name ---


def no_such_name(*_: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    assert fails("https://bank.invalid/token") == Finding(
        "network.dns",
        Verdict.FAIL,
        "DNS",
        "bank.invalid cannot be resolved: Name or service not known",
        fix=CONNECTION_HINT,
    )


def test_a_name_that_takes_for_ever_to_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def getaddrinfo(*_: object) -> None:
        over.wait(20)
        no_such_name()

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        last = found(BANK, timeout=0.3)[-1]
    finally:
        over.set()
    assert last[:3] == ("network.dns", Verdict.FAIL, "DNS")
    assert last.received == "bank.example could not be resolved in the time allowed"


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "xn--a.example"])
def test_a_host_that_cannot_be_one(host: str) -> None:
    assert fails(f"https://{host}/token") == Finding(
        "configuration.endpoint",
        Verdict.FAIL,
        "DNS",
        f"'{host}' cannot be a host's name",
        fix="check the URL's spelling",
    )


def test_localhost_that_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    address = own_address()
    with socket.create_server((address, 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        leads_to(monkeypatch, (address, port))
        last = fails(f"http://localhost:{port}/token")
    assert last.rule == "network.dns"
    assert last.received == f"localhost:{port} is not this machine: the name leads to {address}"


# --- The connection ---


def test_a_connection_refused() -> None:
    with contextlib.ExitStack() as stack:
        port = closed_port(stack)
        assert fails(f"https://127.0.0.1:{port}/token") == Finding(
            "network.connection",
            Verdict.FAIL,
            "connection",
            f"127.0.0.1:{port} refused the connection: nothing listens there",
            fix="check the host and the port, and whether the server is running",
        )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(101, "Network is unreachable"), "no connection to 127.0.0.1:1: Network is unreachable"),
        (TimeoutError("timed out"), "no connection to 127.0.0.1:1 within 10 s"),
    ],
)
def test_a_network_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, fault: OSError, words: str) -> None:
    def connect(*_: object, **__: object) -> socket.socket:
        raise fault

    monkeypatch.setattr(socket, "create_connection", connect)
    assert fails("https://127.0.0.1:1/token") == Finding(
        "network.connection", Verdict.FAIL, "connection", words, fix=CONNECTION_HINT
    )


def test_a_connection_that_is_never_accepted() -> None:
    with socket.socket() as listener, contextlib.ExitStack() as crowd:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):  # its queue is full now: a further SYN is dropped
            waiting = crowd.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        last = fails(f"https://127.0.0.1:{address[1]}/token", timeout=0.5)
    assert last.rule == "network.connection"
    assert last.received == (
        f"no whole answer from 127.0.0.1:{address[1]} within 0.5 s · there was no connection yet"
    )


# --- TLS ---


def resets(connection: socket.socket, request: bytes) -> None:
    """Hang up so that what was sent is answered with a reset."""
    if not request:
        connection.recv(1)
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.mark.no_wine("Wine trusts a partial chain")
def test_a_self_signed_certificate(tmp_path: Path) -> None:
    context, _ = self_signed(tmp_path, "CN=portal.local,O=Hotel")
    with RawServer(sends(reply()), context) as server:
        last = fails(server.url())
        assert server.requests == []
    assert (last.rule, last.looks_at) == ("network.tls.untrusted", "TLS")
    words, subject, issuer, valid, names = last.received.split(" · ")
    assert words == "self-signed certificate"
    assert (subject, issuer) == ("certificate of portal.local (Hotel)", "issued by itself")
    assert re.fullmatch(r"valid \d{4}-\d\d-\d\d [0-9:]{8} UTC to \d{4}-\d\d-\d\d [0-9:]{8} UTC", valid)
    assert names == "for no host at all"
    assert last.fix == "a self-signed certificate: name it with --ca-bundle FILE if you trust it"


def test_an_unknown_authority(secure: RawServer, other_authority: Authority) -> None:
    last = fails(secure.url(), other_authority.file)
    assert last.rule == "network.tls.untrusted"
    assert last.received.startswith("unable to get local issuer certificate · certificate of ")
    assert " · issued by OU=Testing CA #" in last.received
    assert last.received.endswith(" · for localhost, 127.0.0.1") or last.received.endswith("127.0.0.1, localhost")
    assert last.expected == f"one that is vouched for in --ca-bundle {other_authority.file}"
    assert last.fix.startswith("a certificate authority this machine does not know (an inspecting proxy?): ")
    assert secure.requests == []


def test_a_certificate_that_has_expired(authority: Authority) -> None:
    past = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    began = past - timedelta(days=9)
    context = authority.context("127.0.0.1", not_before=began, not_after=past)
    with RawServer(sends(reply()), context) as server:
        last = fails(server.url(), authority.file)
    assert last.rule == "network.tls.expired"
    assert last.received.startswith("certificate has expired · certificate of 127.0.0.1 · issued by ")
    assert f" · valid {utc(began.timestamp())} to {utc(past.timestamp())} · " in last.received
    assert re.fullmatch(r"one that is valid now, .* UTC by this machine's clock", last.expected)
    assert last.fix.startswith("the server's certificate has expired: check this machine's clock")
    assert server.requests == []


def test_a_certificate_that_is_not_valid_yet(authority: Authority) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with RawServer(sends(reply()), authority.context("127.0.0.1", not_before=tomorrow)) as server:
        last = fails(server.url(), authority.file)
    assert last.rule == "network.tls.expired"
    assert last.received.startswith("certificate is not yet valid · certificate of 127.0.0.1 · ")
    assert last.fix == "the server's certificate is not valid yet: check this machine's clock"


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", "localhost"), ("localhost", "bank.example")])
def test_a_certificate_for_another_host(authority: Authority, host: str, name: str) -> None:
    with RawServer(sends(reply()), authority.context(name)) as server:
        last = fails(server.url(host), authority.file)
    assert last.rule == "network.tls.host"
    assert f" · certificate of {name} · " in last.received
    assert last.received.endswith(f" · for {name}")
    assert last.expected == f"one for {host}"
    assert last.fix == "the certificate is for another host: check the URL"


def test_a_port_that_speaks_plain_http(server: ScriptedServer) -> None:
    last = fails(server.url.replace("http:", "https:"))
    assert (last.rule, last.looks_at) == ("network.tls.handshake", "TLS")
    assert re.fullmatch(r"TLS with 127\.0\.0\.1:\d+ failed: [A-Z_]+", last.received)
    assert (last.expected, last.fix) == ("TLS 1.2 or later", TLS_HINT)
    assert server.requests == []


@pytest.mark.no_wine("Wine sends no reset")
def test_a_firewall_that_resets_the_handshake() -> None:
    with RawServer(resets, at_once=True) as server:
        last = fails(f"https://127.0.0.1:{server.port}/token")
    assert last.rule == "network.tls.handshake"
    assert last.received == f"TLS with 127.0.0.1:{server.port} failed: Connection reset by peer"


@patient(0.5, 10)
def test_a_handshake_that_never_ends(seconds: float) -> None:
    server = RawServer(lambda *talk: server.stall(*talk), at_once=True)
    with server:
        last = fails(f"https://127.0.0.1:{server.port}/token", timeout=seconds)
    assert (last.rule, last.looks_at) == ("network.timeout", "TLS")
    assert (
        last.received
        == f"no whole answer from 127.0.0.1:{server.port} within {seconds} s · TLS was not agreed on yet"
    )


def test_a_handshake_that_takes_its_own_time_although_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(network, "CONNECT_SECONDS", 0.3)
    server = RawServer(lambda *talk: server.stall(*talk), at_once=True)
    with server:
        last = fails(f"https://127.0.0.1:{server.port}/token")
    assert last.rule == "network.timeout"
    assert last.received == f"no TLS with 127.0.0.1:{server.port} within 0.3 s"


def test_a_certificate_that_nobody_shows_a_second_time(
    monkeypatch: pytest.MonkeyPatch, secure: RawServer, other_authority: Authority
) -> None:
    def reach(_: object) -> socket.socket:
        raise ConnectionResetError

    monkeypatch.setattr(network, "_reach", reach)
    last = fails(secure.url(), other_authority.file)
    assert (last.rule, last.received) == ("network.tls.untrusted", "unable to get local issuer certificate")


def test_a_ca_bundle_that_cannot_be_read(secure: RawServer, tmp_path: Path) -> None:
    last = fails(secure.url(), tmp_path / "missing.pem")
    assert (last.rule, last.looks_at) == ("configuration.invalid", "TLS")
    assert last.received == f"the CA bundle {tmp_path / 'missing.pem'} cannot be read: No such file or directory"


def test_nothing_is_begun_when_the_time_is_over(server: ScriptedServer) -> None:
    assert found(server.url, timeout=1e-9)[-1].verdict is Verdict.FAIL
    assert server.requests == []


# --- What answers in the server's place, and what the server answers ---


PORTAL = Says(200, b"<html><title>Hotel Wi-Fi</title>Sign in</html>", {"content-type": "text/html"})
REDIRECT = Says(302, b"", {"location": "http://portal.example/login", "content-type": "text/html"})


@pytest.mark.parametrize("answer", [PORTAL, REDIRECT, Says(200, b""), Says(200, b'{"a": 1}'), Says(404, b"<p>No")])
def test_a_captive_portal_in_the_token_endpoints_place(server: ScriptedServer, answer: Says) -> None:
    server.says(answer)
    with HttpClient(20) as http, pytest.raises((UnusableAnswerError, RefusedError)) as failure:
        token_endpoint.read_answer(http.post_form(server.url, []), 0, {})
    assert failure.value.rule == "network.answer"


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (PORTAL, "network.answer"),
        (REDIRECT, "network.answer"),
        (Says(200, b'{"issuer": "https://other.example"}'), "discovery.issuer"),
        (Says(404), "discovery.missing"),
        (Says(503), "network.unavailable"),
        (Says(429), "network.unavailable"),
    ],
)
def test_what_answers_in_the_discovery_documents_place(server: ScriptedServer, answer: Says, rule: str) -> None:
    server.says(answer)
    with HttpClient(20) as http, pytest.raises(BannoCredsError) as failure:
        discovery.fetch_metadata(server.url.removesuffix("/token"), http)
    assert failure.value.rule == rule


@pytest.mark.parametrize(("answer", "rule"), [(PORTAL, "network.answer"), (Says(404), "discovery.jwks")])
def test_what_answers_in_a_jwk_sets_place(server: ScriptedServer, answer: Says, rule: str) -> None:
    server.says(answer)
    with HttpClient(20) as http, pytest.raises(BannoCredsError) as failure:
        discovery.fetch_json(server.url, http, "a JWK Set")
    assert failure.value.rule == rule


@pytest.mark.parametrize("url", [None, "/relative", "http://127.0.0.1/plain"])
@pytest.mark.parametrize(
    ("name", "rule"), [("token_endpoint", "discovery.token_endpoint"), ("jwks_uri", "discovery.jwks")]
)
def test_an_endpoint_that_discovery_does_not_name(name: str, rule: str, url: str | None) -> None:
    with pytest.raises(BannoCredsError) as failure:
        discovery.endpoint({"issuer": "https://bank.example", name: url}, name)
    assert failure.value.rule == rule


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_cannot_answer_now(server: ScriptedServer, status: int) -> None:
    server.says(Says(status))
    with HttpClient(20) as http, pytest.raises(UnavailableError) as failure:
        token_endpoint.read_answer(http.post_form(server.url, []), 0, {})
    assert failure.value.rule == "network.unavailable"


def test_the_rule_of_a_refusal_is_its_oauth_error_unless_that_echoes_a_secret(server: ScriptedServer) -> None:
    server.says(Says(401, json.dumps({"error": "invalid_client"}).encode()))
    with HttpClient(20) as http, pytest.raises(RefusedError) as failure:
        token_endpoint.read_answer(http.post_form(server.url, []), 0, {})
    assert failure.value.rule == "invalid_client"
    error = failure.value
    error = error.without([Secret("a-signature-that-is-not-there", "the assertion")])
    assert vars(error)["rule"] == "invalid_client"
    error = error.without([Secret("invalid_client", "the assertion")])
    assert (vars(error)["rule"], error.error) == (None, "(left out: the server echoes the assertion)")


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (b"", "network.connection"),
        (reply(b"a", length=9), "network.connection"),
        (reply(b"", length=2**40)[:-1] + b"\n" + b"a" * 2**21, "network.answer"),
        (reply(b"\x8b\x01\x80x\x03", "content-encoding: br"), "network.answer"),
    ],
    ids=["hung up", "cut off", "endless", "compressed"],
)
def test_an_answer_that_cannot_be_read(said: bytes, rule: str) -> None:
    with RawServer(sends(said)) as server:
        assert rule_of_request(server.url()) == rule


def test_an_answer_that_breaks_off_behind_a_proxy_is_not_the_proxys_fault(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    with RawServer(sends(b""), authority.context("bank.example")) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert rule_of_request(BANK, authority.file) == "network.connection"
        assert found(BANK, authority.file)[-1].verdict is Verdict.PASS


def test_a_slow_answer() -> None:
    server = RawServer(lambda *talk: server.stall(*talk))
    with server:
        assert rule_of_request(server.url(), timeout=0.5) == "network.timeout"


def test_a_pause_in_a_streamed_answer() -> None:
    def talk(connection: socket.socket, request: bytes) -> None:
        connection.sendall(reply(b"a", length=9))
        server.stall(connection, request)

    server = RawServer(talk)
    with server, HttpClient(0.5) as http, http.stream("GET", server.url(), []) as answer:
        with pytest.raises(TimedOutError) as failure:
            list(answer.chunks())
        assert failure.value.rule == "network.timeout"


# --- Errors and their rules ---


@pytest.mark.parametrize(
    "error",
    [
        TokenError("no", rule="network.answer"),
        NetworkError("no", rule="network.answer", retryable=True),
        RefusedError("no", error="invalid_client", status=401, rule="network.answer"),
    ],
)
def test_a_rule_survives_the_way_to_another_process(error: BannoCredsError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert again.rule == "network.answer"
        assert vars(again) == vars(error)


def test_an_error_has_no_rule_unless_it_is_given_one() -> None:
    assert BannoCredsError("no").rule is None
    assert RefusedError("no", error="invalid_client", status=401).rule is None


def rules_in(module: str) -> set[str]:
    """The strings of a module that look like a rule's id."""
    source = (Path(banno_creds.__file__).parent / f"{module}.py").read_text("utf-8")
    strings = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    families = "|".join({rule.partition(".")[0] for rule in Rule})
    return {text for text in strings if isinstance(text, str) and re.fullmatch(rf"(?:{families})(\.[a-z_]+)+", text)}


def test_each_rule_that_an_error_names_is_one() -> None:
    rooms = ("client", "faults", "answers", "proxies", "trust", "discovery")
    named = set().union(*(rules_in(f"http/{room}") for room in rooms), rules_in("doctor/network"))
    assert named <= set(Rule)
    assert {rule for rule in Rule if rule.startswith("network.")} <= named


@pytest.mark.posix("Windows does not list a process's descriptors")
def test_no_descriptor_is_left(
    monkeypatch: pytest.MonkeyPatch, secure: RawServer, authority: Authority, other_authority: Authority
) -> None:
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - iterdir would keep one open

    found(secure.url(), authority.file)
    before = descriptors()
    for _ in range(5):
        found(secure.url(), authority.file)
        found(secure.url(), other_authority.file)
        found(secure.url().replace("https", "http"))
    gc.collect()
    for _ in range(250):  # the server's side closes a moment later
        if descriptors() <= before:
            break
        time.sleep(0.02)
    assert descriptors() <= before
