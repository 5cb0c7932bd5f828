"""The way to a server, step by step, without a request: the proxy, the name, the connection, TLS.

Each step does what a request of `HttpClient` does, with the same trust, and names a fault in the same words and under
the same rule. It adds what a request cannot tell: who issued a certificate that is not trusted, and that the name's
resolver never answered.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
import warnings
from base64 import b64encode
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import httpx

from banno_creds.checks import is_loopback
from banno_creds.doctor.findings import joined, passed
from banno_creds.errors import BannoCredsError, TimedOutError
from banno_creds.http import proxies
from banno_creds.http.exchange import resolve, secrets_sent, shown
from banno_creds.http.faults import (
    CONNECT_SECONDS,
    NO_CONNECTION,
    NO_TLS,
    no_host,
    not_this_machine,
    refused_by_proxy,
    unconnected,
    untrusted,
    verdict_of,
)
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.steps import awaiting
from banno_creds.text import printable, setting, system_words
from banno_creds.threads import OutOfTimeError
from banno_creds.times import duration, utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509

    from banno_creds.http.client import HttpClient
    from banno_creds.times import Clock

# Certificates that machines renew are renewed earlier than this.
SOON_DAYS = 14

_MOST_CHARACTERS = 70  # of one fact
_MOST_NAMES = 4
_MOST_HEAD_BYTES = 64 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?\r?\n")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_PORTS = {"http": 80, "https": 443}  # and for SOCKS, 1080


def examine(url: str, http: HttpClient, clock: Clock = time.time) -> Iterator[Finding]:
    """Go the way to a server without a request; yield a finding for each step: proxy, name, connection, TLS.

    The first fault is the last finding. ``http`` is the client that would send the request: its proxy, its trust and
    its remaining time are used.
    """
    looks_at = "DNS"
    try:
        host, port = _host_and_port(url)

        looks_at = "proxy"
        proxy = http.proxy_for(url)
        yield passed(Rule.NETWORK_PROXY, looks_at, *_proxy_facts(host, proxy))
        yield from _proxy_warnings(url, proxy)

        looks_at = "DNS"
        with awaiting(host):
            addresses = _addresses(url, http, (host, port), proxy)
        way = _Way(url, http, clock, host, port, proxy, addresses)
        yield passed(Rule.NETWORK_DNS, looks_at, *_address_facts(way))

        looks_at = "connection"
        started = time.monotonic()
        with awaiting(host):
            connection, address = _connect(way)
        with connection:
            milliseconds = (time.monotonic() - started) * 1000
            yield passed(Rule.NETWORK_CONNECTION, looks_at, _at(*address), f"{milliseconds:.0f} ms")

            if urlsplit(url).scheme != "https":
                return
            if proxy is not None:
                looks_at = "proxy"
                if proxy.url.scheme != "http":
                    yield _beyond(proxy)
                    return
                with awaiting(host):
                    words = _tunnel(connection, way, proxy)
                yield passed(Rule.NETWORK_PROXY, looks_at, f"connects to {_at(host, port)}", words)
            looks_at = "TLS"
            with awaiting(host):
                finding = _tls(connection, way)
            yield finding
    except BannoCredsError as failure:
        yield _failed(failure, looks_at)


class _Way(NamedTuple):
    url: str
    http: HttpClient
    clock: Clock
    host: str
    port: int
    proxy: httpx.Proxy | None
    addresses: list[tuple[str, int]]  # the proxy's, where there is one


def _failed(failure: BannoCredsError, looks_at: str) -> Finding:
    message, hint, details = failure.marked
    return Finding(
        failure.rule or Rule.NETWORK_CONNECTION, Verdict.FAIL, looks_at, joined(message, *details), fix=hint or ""
    )


def _host_and_port(url: str) -> tuple[str, int]:
    """Return both as httpx reads them: the host without the brackets of IPv6, the port by default the scheme's."""
    try:
        parsed = httpx.Request("GET", url).url
    except (httpx.InvalidURL, UnicodeError):
        raise no_host(url) from None
    return parsed.raw_host.decode("ascii"), parsed.port or _PORTS[parsed.scheme]


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _left(way: _Way, phase: str) -> float:
    left = way.http.remaining()
    if left <= 0:
        raise way.http.timed_out(way.url, phase)
    return left


# --- The proxy ---


def _proxy_at(proxy: httpx.Proxy) -> tuple[str, int]:
    return proxy.url.raw_host.decode("ascii"), proxy.url.port or _PORTS.get(proxy.url.scheme, 1080)


def _proxy_facts(host: str, proxy: httpx.Proxy | None) -> tuple[str, ...]:
    named_by = proxies.named_by()
    if proxy is not None:
        # Not its URL, which may contain a user name and a password.
        named = "with a user name and a password" if proxy.raw_auth else ""
        return f"{proxy.url.scheme}://{_at(*_proxy_at(proxy))}", f"from {named_by}", named
    if named_by is None and proxies.script():
        return "none", "Windows' script (PAC) is not read: if a proxy is needed, name it with HTTPS_PROXY"
    if named_by is None:
        return ("none",)
    excepts = "NO_PROXY or the system's settings" if named_by == proxies.SYSTEM else "NO_PROXY"
    why = "loopback is never asked through it" if is_loopback(host) else f"{excepts} excepts {host}"
    return "none", f"{named_by} names one, but {printable(why, _MOST_CHARACTERS)}"


def _proxy_warnings(url: str, proxy: httpx.Proxy | None) -> Iterator[Finding]:
    """Name the settings that look meant and have no effect."""
    if proxy is None:
        return
    host = urlsplit(url).netloc
    if entries := [printable(entry, _MOST_CHARACTERS) for entry in proxies.without_effect(url)[:_MOST_NAMES]]:
        words = f"NO_PROXY has {', '.join(entries)}, which does not except {printable(host, _MOST_CHARACTERS)}"
        fix = f"write {urlsplit(url).hostname} there if it is to be asked without the proxy"
        yield Finding(Rule.NETWORK_PROXY, Verdict.WARN, "NO_PROXY", words, fix=fix)
    if (spellings := proxies.other_spelling()) is not None:
        used, other = spellings
        words = f"{used} is used, and {other} names another proxy"
        yield Finding(Rule.NETWORK_PROXY, Verdict.WARN, "proxy", words, fix="set both alike, or unset one")


def _beyond(proxy: httpx.Proxy) -> Finding:
    kind = "SOCKS" if proxy.url.scheme.startswith("socks") else "https"
    reason = f"only a request goes through a proxy of this kind ({kind}): what is behind it was not looked at"
    return Finding(Rule.NETWORK_PROXY, Verdict.UNKNOWN, "proxy", f"{kind} proxy", reason=reason)


def _tunnel(connection: socket.socket, way: _Way, proxy: httpx.Proxy) -> str:
    """Have a proxy connect to the server (RFC 9110 section 9.3.6), as httpx does; return its status."""
    target = _at(way.host, way.port)
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nAccept: */*\r\n".encode("ascii")
    if proxy.raw_auth is not None:
        head += b"Proxy-Authorization: Basic %b\r\n" % b64encode(b":".join(proxy.raw_auth))
    received = b""
    try:
        connection.settimeout(_left(way, _NO_TUNNEL))
        connection.sendall(head + b"\r\n")
        while (ended := _END_OF_HEAD.search(received)) is None and len(received) < _MOST_HEAD_BYTES:
            connection.settimeout(_left(way, _NO_TUNNEL))
            received += (more := connection.recv(4096))
            if not more:
                break
    except TimeoutError:
        raise way.http.timed_out(way.url, _NO_TUNNEL) from None
    except OSError as failure:
        raise refused_by_proxy(way.url, system_words(failure)) from None
    said = _STATUS_LINE.match(received)
    if ended is None or said is None:
        words = "what it answers is no HTTP" if received else "it hung up without an answer"
        raise refused_by_proxy(way.url, words)
    reason = (said[2] or b"").decode("ascii", "replace")
    words = f"{said[1].decode()} {shown(reason, secrets_sent((), (), proxy), _MOST_CHARACTERS)}".strip()
    if not words.startswith("2"):
        raise refused_by_proxy(way.url, words)
    return words


_NO_TUNNEL = "the proxy had not connected yet"


# --- The name and the connection ---


def _addresses(
    url: str, http: HttpClient, server: tuple[str, int], proxy: httpx.Proxy | None
) -> list[tuple[str, int]]:
    host, port = server if proxy is None else _proxy_at(proxy)
    try:
        return resolve(host, port, http.remaining())
    except OutOfTimeError:
        raise TimedOutError(
            f"{host} could not be resolved in the time allowed",
            retryable=True,
            hint=f"check this machine's name servers, or allow more with {setting('timeout')} SECONDS",
            rule="network.dns",
        ) from None
    except OSError as failure:
        raise unconnected(failure, url, proxy, type(failure).__name__) from None
    except UnicodeError:
        raise no_host(url) from None


def _address_facts(way: _Way) -> tuple[str, ...]:
    name = way.host if way.proxy is None else _proxy_at(way.proxy)[0]
    facts = [f"{name} is an address: nothing to resolve"]
    if not _is_address(name):
        facts = [printable(name, _MOST_CHARACTERS), _listed([address for address, _ in way.addresses])]
    if way.proxy is not None and not _is_address(way.host):
        facts.append("the server's name is the proxy's to resolve")
    return tuple(facts)


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([printable(name, _MOST_CHARACTERS) for name in names[:_MOST_NAMES]] + more)


def _connect(way: _Way) -> tuple[socket.socket, tuple[str, int]]:
    """Connect to the first address that accepts the connection."""
    failure = OSError(0, "it has no address")
    for address in way.addresses:
        try:
            connection = socket.create_connection(address, timeout=min(_left(way, NO_CONNECTION), CONNECT_SECONDS))
        except OSError as fault:
            failure = fault
            continue
        if urlsplit(way.url).scheme != "https" and not is_loopback(address[0]):
            connection.close()
            raise not_this_machine(urlsplit(way.url).netloc, address[0])
        return connection, address
    _left(way, NO_CONNECTION)
    raise unconnected(failure, way.url, way.proxy, type(failure).__name__) from None


# --- TLS ---


def _tls(connection: socket.socket, way: _Way) -> Finding:
    """Agree on TLS with the usual trust, and send nothing after that."""
    try:
        try:
            secured = _handshake(connection, way, way.http.trust.context())
        except ssl.SSLCertVerificationError:
            if not way.http.trust.widen():
                raise
            with _reach(way) as again:
                secured = _handshake(again, way, way.http.trust.context())
    except TimeoutError:
        raise _tls_timed_out(way) from None
    except OSError as failure:  # OpenSSL's own among them
        return _untrusted(way, failure)
    vouched = f"vouched for by {way.http.trust.name()}"
    try:
        whose = _Certificate.read(secured.certificate)
    except ValueError:  # OpenSSL accepts what cryptography does not
        return passed(
            Rule.NETWORK_TLS_UNTRUSTED, "TLS", secured.version, "a certificate that cannot be shown", vouched
        )
    facts = [secured.version, *whose.names(), f"until {utc(whose.not_after)}", vouched]
    left = whose.not_after - way.clock()
    if left >= SOON_DAYS * 86400:
        return passed(Rule.NETWORK_TLS_UNTRUSTED, "TLS", *facts)
    return Finding(
        Rule.NETWORK_TLS_EXPIRED,
        Verdict.WARN,
        "TLS",
        joined(*facts),
        f"a certificate that does not end within {SOON_DAYS} days",
        f"tell the server's operator: it ends in {duration(left)}",
    )


def _untrusted(way: _Way, failure: OSError) -> Finding:
    """Return the fault, with the certificate's issuer: that shows an inspecting proxy or a captive portal."""
    error = untrusted(failure, urlsplit(way.url).netloc, way.http.trust)
    rule = error.rule or ""
    if not isinstance(failure, ssl.SSLCertVerificationError):
        return _failed(error, "TLS")._replace(expected="TLS 1.2 or later")
    expected = {
        Rule.NETWORK_TLS_EXPIRED: f"one that is valid now, {utc(way.clock())} by this machine's clock",
        Rule.NETWORK_TLS_HOST: f"one for {way.host}",
    }.get(Rule(rule), f"one that is vouched for in {way.http.trust.name()}")
    facts = [verdict_of(failure)]
    shown = _shown_certificate(way)
    if shown is not None:
        facts += [*shown.names(), f"valid {utc(shown.not_before)} to {utc(shown.not_after)}"]
        facts += [f"for {_listed(shown.hosts)}" if shown.hosts else "for no host at all"]
    return Finding(rule, Verdict.FAIL, "TLS", joined(*facts), expected, error.marked.hint or "")


class _Secured(NamedTuple):
    version: str
    certificate: bytes


def _reach(way: _Way) -> socket.socket:
    """Go the same way again, as far as TLS."""
    connection, _ = _connect(way)
    try:
        if way.proxy is not None:
            _tunnel(connection, way, way.proxy)
    except BaseException:
        connection.close()
        raise
    return connection


def _handshake(connection: socket.socket, way: _Way, context: ssl.SSLContext) -> _Secured:
    """Agree on TLS, and hang up."""
    context.set_alpn_protocols(["http/1.1"])  # as httpx does: a firewall may look at it
    # One bound for the whole handshake, even if it comes byte by byte.
    connection.settimeout(min(_left(way, NO_TLS), CONNECT_SECONDS))
    with context.wrap_socket(connection, server_hostname=way.host) as secured:
        return _Secured(secured.version() or "", secured.getpeercert(binary_form=True) or b"")


def _tls_timed_out(way: _Way) -> TimedOutError:
    _left(way, NO_TLS)
    return TimedOutError(
        f"no TLS with {urlsplit(way.url).netloc} within {CONNECT_SECONDS:g} s",
        retryable=True,
        hint="check what stands between this machine and the server: a firewall, a proxy",
        rule="network.timeout",
    )


def _shown_certificate(way: _Way) -> _Certificate | None:
    """Return the certificate that is not trusted; nothing else is done with such a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        with _reach(way) as connection:
            return _Certificate.read(_handshake(connection, way, context).certificate)
    except (OSError, ValueError, BannoCredsError):
        return None


class _Certificate(NamedTuple):
    """The facts of a certificate that people need; its words come from outside."""

    subject: str
    issuer: str
    hosts: list[str]
    not_before: float
    not_after: float

    @classmethod
    def read(cls, der: bytes) -> _Certificate:
        """Read a certificate; raise a ValueError if it is none, or breaks RFC 5280."""
        from cryptography import x509

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about outdated features: it is only shown here
            try:
                certificate = x509.load_der_x509_certificate(der)
            except x509.InvalidVersion as fault:
                raise ValueError(str(fault)) from None
            subject, issuer = certificate.subject, certificate.issuer
            try:
                names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
            except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
                names = []
        hosts = [str(name.value) for name in names if isinstance(name, (x509.DNSName, x509.IPAddress))]
        return cls(
            _called(subject) or (hosts[0] if hosts else subject.rfc4514_string() or "nobody"),
            "itself" if issuer == subject else _called(issuer) or issuer.rfc4514_string() or "nobody",
            hosts,
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )

    def names(self) -> tuple[str, str]:
        return (
            f"certificate of {printable(self.subject, _MOST_CHARACTERS)}",
            f"issued by {printable(self.issuer, _MOST_CHARACTERS)}",
        )


def _called(name: x509.Name) -> str:
    """Return the common name with its organization; empty if there is none."""
    from cryptography.x509.oid import NameOID

    common, organization = (
        str(found[0].value) if (found := name.get_attributes_for_oid(oid)) else ""
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    )
    return f"{common} ({organization})" if common and organization not in ("", common) else common
