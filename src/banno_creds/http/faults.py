"""What breaks on the way to a server, as errors with rules; a request and the doctor say it in the same words."""

from __future__ import annotations

import re
import socket
import ssl
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from banno_creds.errors import (
    ConfigurationError,
    NetworkError,
    TimedOutError,
    UntrustedServerError,
    UnusableAnswerError,
)
from banno_creds.text import printable, setting, system_words

if TYPE_CHECKING:
    from banno_creds.errors import BannoCredsError
    from banno_creds.http.trust import Trust

# A dropped SYN is noticed only by waiting; waiting longer than this seldom helps.
CONNECT_SECONDS = 10.0

# How far an exchange was when it failed.
NOT_BEGUN = "it had not begun"
NO_CONNECTION = "there was no connection yet"
NO_TLS = "TLS was not agreed on yet"
NOT_SENT = "the request was not sent yet"
NO_ANSWER = "the server had not begun to answer"
PART_OF_ANSWER = "the answer had begun, and was not whole"
_BEFORE_THE_REQUEST = (NOT_BEGUN, NO_CONNECTION, NO_TLS)

_UNKNOWN_AUTHORITY = (
    "a certificate authority this machine does not know (an inspecting proxy?): add it to the operating "
    f"system's trust store, or name it with {setting('ca_bundle')} FILE"
)
_WRONG_HOST = "the certificate is for another host: check the URL"
_CERTIFICATE_HINTS = {  # OpenSSL's verify codes
    9: "the server's certificate is not valid yet: check this machine's clock",
    10: "the server's certificate has expired: check this machine's clock, then tell the server's operator",
    18: f"a self-signed certificate: name it with {setting('ca_bundle')} FILE if you trust it",
    62: _WRONG_HOST,
    64: _WRONG_HOST,
}
_CERTIFICATE_RULES = {
    9: "network.tls.expired",  # or not valid yet
    10: "network.tls.expired",
    62: "network.tls.host",
    64: "network.tls.host",
}

_MOST_VERIFY_CODE = 200  # OpenSSL's are below it; those of Windows and macOS are negative or much larger
_OF_OTHER_STORES = {  # OpenSSL's code for theirs
    0x800B0101: 10,  # Windows: CERT_E_EXPIRED, which is also said of one that is not valid yet
    0x800B010F: 62,  # CERT_E_CN_NO_MATCH
    0x800B0109: 19,  # CERT_E_UNTRUSTEDROOT
    0x800B010A: 20,  # CERT_E_CHAINING
    0x800B0112: 20,  # CERT_E_UNTRUSTEDCA
    -67818: 10,  # macOS: errSecCertificateExpired
    -67602: 62,  # errSecHostNameMismatch
    -67843: 20,  # errSecNotTrusted
}
_VERDICTS = {  # in OpenSSL's words
    10: "certificate has expired or is not yet valid",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    62: "hostname mismatch",
}

# The registered ones (RFC 9110 section 16.6), and what some gateways say.
_ENCODINGS = frozenset(("gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd", "dcb", "dcz", "exi"))

PROXY_HINT = "look at HTTPS_PROXY, ALL_PROXY and NO_PROXY"
if sys.platform in ("win32", "darwin"):
    PROXY_HINT += ", and at the system's proxy settings"
_BETWEEN_HINT = "look at what stands between this machine and the server: a proxy, a gateway"


def explain(
    failure: httpx.HTTPError,
    url: str,
    proxy: httpx.Proxy | None,
    phase: str,
    *,
    tls_begun: bool,
    trust: Trust | None = None,
    in_tunnel: bool = True,
) -> BannoCredsError:
    """Return the error for an exchange that broke while there was time left.

    ``in_tunnel`` says that TLS with a proxy that speaks it was agreed on, so that the peer is the server.
    """
    cause = cause_of(failure)
    words = _in_our_words(failure, cause)
    if isinstance(failure, httpx.TimeoutException):
        error = unconnected(TimeoutError(), url, proxy, "")
        return error.but(rule="network.timeout") if phase == NO_TLS else error
    if isinstance(failure, httpx.ProxyError):
        return refused_by_proxy(url, words)
    if isinstance(cause, ssl.SSLError):
        if proxy is not None and proxy.url.scheme == "https" and not in_tunnel:
            return _untrusted_proxy(cause, proxy, trust)
        return untrusted(cause, urlsplit(url).netloc, trust)
    if isinstance(cause, (socket.gaierror, ConnectionRefusedError)) or isinstance(failure, httpx.ConnectError):
        error = unconnected(cause, url, proxy, words)
        # Reset during the handshake: some firewalls read the host's name in it.
        return error.but(rule="network.tls.handshake") if phase == NO_TLS else error
    # Through a proxy, the proxy is the only peer until TLS begins.
    return broken(url, words, "network.connection" if proxy is None or tls_begun else "network.proxy")


def _in_our_words(failure: httpx.HTTPError, cause: BaseException) -> str:
    """Say what broke, by its kind: a library's own words may quote what the server sent, and that the request."""
    if isinstance(failure, httpx.ProxyError):
        status = re.match(r"[1-5][0-9]{2}\b", str(failure))
        return _status(int(status[0])) if status else "it refused, or what it answers is not of its kind"
    if isinstance(cause, OSError) and (cause.strerror or cause.errno):
        return system_words(cause)
    if isinstance(failure, httpx.LocalProtocolError):
        return "the request cannot be written as HTTP"
    if isinstance(failure, httpx.RemoteProtocolError):
        return _ended(str(failure))
    return type(failure).__name__


def _ended(words: str) -> str:
    """Return how an answer ended, by h11's words for it; of these only numbers are taken over."""
    if words.startswith("Server disconnected"):
        return "the server hung up without an answer"
    if words.startswith("peer closed"):
        count = re.search(r"\(received ([0-9]+) bytes, expected ([0-9]+)\)", words)
        return f"the server hung up after {count[1]} of {count[2]} bytes" if count else "the server hung up"
    return "what the server sends is not HTTP"


def _status(code: int) -> str:
    """Return a status with the words that the standard has for it, and none of the server's."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def cause_of(failure: BaseException) -> BaseException:
    """Return the operating system's or OpenSSL's own exception beneath httpx's and httpcore's."""
    while True:
        deeper = failure.__cause__ or failure.__context__
        if deeper is None:
            return failure
        failure = deeper


def may_have_been_sent(phase: str) -> bool:
    """Return whether the server may have received the request."""
    return phase not in _BEFORE_THE_REQUEST


def broken(url: str, words: str, rule: str) -> NetworkError:
    """Return the error for a connection that broke before the answer was complete."""
    return NetworkError(
        f"the connection to {urlsplit(url).netloc} broke before the whole answer was there: {words}",
        retryable=True,
        hint="try again; if it stays so, look at what stands between this machine and the server",
        rule=rule,
    )


def timed_out(url: str, seconds: float, phase: str) -> TimedOutError:
    """Return the error for an exchange that was not over within the time allowed."""
    return TimedOutError(
        f"no whole answer from {urlsplit(url).netloc} within {seconds:g} s",
        hint=f"try again later, or allow more with {setting('timeout')} SECONDS",
        details=(phase,),
        rule="network.connection" if phase == NO_CONNECTION else "network.timeout",
    )


def paused(url: str, seconds: float) -> TimedOutError:
    """Return the error for an answer that paused for longer than the time allowed."""
    return TimedOutError(
        f"nothing more of the answer from {urlsplit(url).netloc} came for {seconds:g} s",
        hint=f"try again later, or allow longer pauses with {setting('timeout')} SECONDS",
        details=(PART_OF_ANSWER,),
        rule="network.timeout",
    )


def unconnected(cause: BaseException, url: str, proxy: httpx.Proxy | None, words: str) -> NetworkError:
    """Return the error for a connection that was not made; ``words`` are for a cause that has none of its own."""
    peer, look = urlsplit(url).netloc, "check the host, the firewall, and whether a proxy is needed (HTTPS_PROXY)"
    if proxy is not None:
        peer, look = f"the proxy {proxy.url.netloc.decode()}", PROXY_HINT
    rule = "network.connection"
    if isinstance(cause, TimeoutError) and cause.errno is None:  # one with a number is the operating system's
        message = f"no connection to {peer} within {CONNECT_SECONDS:g} s"
        return TimedOutError(message, retryable=True, hint=look, rule=rule)
    if isinstance(cause, socket.gaierror):
        message = f"{peer} cannot be resolved: {system_words(cause)}"
        return NetworkError(message, retryable=True, hint=look, rule="network.dns")
    if isinstance(cause, ConnectionRefusedError):
        return NetworkError(
            f"{peer} refused the connection: nothing listens there",
            retryable=True,
            hint=PROXY_HINT if proxy else "check the host and the port, and whether the server is running",
            rule=rule,
        )
    if isinstance(cause, OSError) and (cause.strerror or cause.errno):
        words = system_words(cause)
    return NetworkError(f"no connection to {peer}: {words}", retryable=True, hint=look, rule=rule)


def refused_by_proxy(url: str, words: str) -> NetworkError:
    """Return the error for a proxy that does not connect to the server; ``words`` are its status and its reason."""
    return NetworkError(
        f"the proxy would not connect to {urlsplit(url).netloc}: {words}",
        retryable=words.startswith("5"),  # such as 503: it could not reach the host just now
        hint=f"{PROXY_HINT}, and at the proxy's user name and password",
        rule="network.proxy",
    )


def not_this_machine(named: str, address: str) -> NetworkError:
    """Return the error for plain http to a loopback name that leads to another machine."""
    return NetworkError(
        f"{named} is not this machine: the name leads to {address}",
        hint="look at the hosts file and the resolver; nothing was sent, for plain http is for loopback only",
        rule="network.dns",
    )


def no_host(url: str) -> ConfigurationError:
    """Return the error for a URL whose host is not a valid name."""
    return ConfigurationError(
        f"{urlsplit(url).netloc!a} cannot be a host's name",
        hint="check the URL's spelling",
        rule="configuration.endpoint",
    )


def _untrusted_proxy(cause: ssl.SSLError, proxy: httpx.Proxy, trust: Trust | None) -> UntrustedServerError:
    """Return the error for TLS with a proxy that failed: most speak plain http."""
    error = untrusted(cause, f"the proxy {proxy.url.netloc.decode()}", trust)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return error
    hint = "if the proxy speaks plain http, as most do, write http:// before its host"
    return error.but(hint=hint, rule="network.proxy")


def untrusted(cause: OSError, host: str, trust: Trust | None = None) -> UntrustedServerError:
    """Return the error for TLS that failed, with the authorities that were trusted, if they are known."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        code = _code_of(cause)
        return UntrustedServerError(
            f"the certificate of {host} is not trusted: {verdict_of(cause)}",
            hint=(trust and trust.advice(code)) or _CERTIFICATE_HINTS.get(code, _UNKNOWN_AUTHORITY),
            rule=_CERTIFICATE_RULES.get(code, "network.tls.untrusted"),
        )
    return UntrustedServerError(
        f"TLS with {host} failed: {_reason_of(cause)}",
        hint="check that the port speaks TLS (1.2 or later), and not plain http; and what stands between this "
        "machine and the server",
        rule="network.tls.handshake",
    )


def verdict_of(failure: ssl.SSLCertVerificationError) -> str:
    """Return OpenSSL's words for why a certificate is not trusted; another store's may quote the certificate."""
    if 0 < failure.verify_code < _MOST_VERIFY_CODE:
        return printable(failure.verify_message, 200)
    return _VERDICTS.get(_code_of(failure), f"the operating system does not accept it ({failure.verify_code:#x})")


def _code_of(failure: ssl.SSLCertVerificationError) -> int:
    """Return OpenSSL's code for why a certificate is not trusted; another store's own if OpenSSL has none for it."""
    return _OF_OTHER_STORES.get(failure.verify_code, failure.verify_code)


def _reason_of(failure: OSError) -> str:
    """Return OpenSSL's name for what failed, such as WRONG_VERSION_NUMBER, or the operating system's words."""
    reason = getattr(failure, "reason", None)
    if isinstance(reason, str) and re.fullmatch("[A-Z0-9_]{1,80}", reason):
        return reason
    if isinstance(failure, ssl.SSLError):
        return "the other side hung up" if failure.errno == ssl.SSL_ERROR_EOF else "the handshake broke off"
    return system_words(failure)


def unreadable(url: str, status: int, encoding: str) -> UnusableAnswerError:
    """Return the error for an answer that cannot be decompressed; ``encoding`` is shown if it is a known one."""
    named = encoding if _ENCODINGS.issuperset(encoding.split(", ")) else "(no name of one)"
    return UnusableAnswerError(
        f"the answer from {urlsplit(url).netloc} is compressed in a way that cannot be read",
        hint=_BETWEEN_HINT,
        details=(f"{status}, content-encoding {named}",),
        rule="network.answer",
    )


def too_large(url: str, status: int, most: int) -> UnusableAnswerError:
    """Return the error for an answer of more than ``most`` bytes."""
    return UnusableAnswerError(
        f"the answer from {url} is larger than {most // 1024} KiB and was not read further",
        hint="check the URL: such an endpoint answers with a few kilobytes",
        details=(_status(status),),
        rule="network.answer",
    )
