"""One HTTP exchange at a time: bounded in time and size, never redirected, each fault named.

The time allowed covers everything a client does with it, retries included. Requests to loopback never go
through a proxy: a proxy would read what plain http carries.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from banno_creds import __version__
from banno_creds.config import is_loopback
from banno_creds.errors import (
    ConfigurationError,
    NetworkError,
    TimedOutError,
    UntrustedServerError,
    UnusableAnswerError,
    printable,
)

# httpx imports its own command line where click and rich are installed: 45 ms and 6 MiB for something we never
# call. Said to be missing, it is left out; that is httpx's own way of doing without.
_without_command_line = "httpx" not in sys.modules and "httpx._main" not in sys.modules
if _without_command_line:
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
import httpx  # noqa: E402

if _without_command_line:
    del sys.modules["httpx._main"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

# A token response has a few kilobytes, a JWK Set rarely more than twenty.
MOST_ANSWER_BYTES = 1024 * 1024

# A SYN that is dropped on the way is noticed only by waiting; waiting longer than this seldom helps.
_CONNECT_SECONDS = 10.0

_CERTIFICATE_HINTS = {  # OpenSSL's verify codes
    9: "the server's certificate is not valid yet: check this machine's clock",
    10: "the server's certificate has expired: check this machine's clock, then tell the server's operator",
    18: "a self-signed certificate: name it with --ca-bundle FILE if you trust it",
    19: "a certificate authority this machine does not know (an inspecting proxy?): add it to the operating "
    "system's trust store, or name it with --ca-bundle FILE",
    62: "the certificate is for another host: check the URL",
}
_CERTIFICATE_HINTS[20] = _CERTIFICATE_HINTS[21] = _CERTIFICATE_HINTS[19]
_CERTIFICATE_HINTS[64] = _CERTIFICATE_HINTS[62]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, the headers, the whole body, and how long it took."""

    url: str
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    seconds: float

    @property
    def request_id(self) -> str | None:
        """The vendor's name for this exchange, for a support case."""
        value = self.headers.get("x-request-id")
        return printable(value, 80) if value else None

    @property
    def media_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return printable(self.headers.get("content-type", "").partition(";")[0].lower(), 80)


class HttpClient:
    """Sends requests within one budget of time.

    Args:
        timeout: how long everything together may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.
    """

    def __init__(self, timeout: float, ca_bundle: Path | None = None) -> None:
        self._timeout = timeout
        self._ends = time.monotonic() + timeout
        self._ca_bundle = ca_bundle
        self._clients: dict[tuple[bool, bool], httpx.Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self._clients.values():
            client.close()

    def remaining(self) -> float:
        """How much of the time is left, in seconds."""
        return self._ends - time.monotonic()

    def get(self, url: str) -> Answer:
        """Fetch a JSON document; see `_send` for what it raises."""
        return self._send("GET", url)

    def post_form(self, url: str, form: Sequence[tuple[str, str]]) -> Answer:
        """Post a form (RFC 6749 section 4.4.2); see `_send` for what it raises."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self._send("POST", url, headers=headers, content=urlencode(form).encode("ascii"))

    def _send(self, method: str, url: str, **request: Any) -> Answer:
        """Send one request and read the whole answer.

        Returns:
            The answer, whatever its status.

        Raises:
            ConfigurationError: the proxy's settings cannot be meant.
            NetworkError: no whole answer came back; which of its branches says why.
        """
        client = self._client_for(url)
        started = time.monotonic()
        left = self.remaining()
        watchdog = _Watchdog(left)
        try:
            with (
                watchdog,
                client.stream(
                    method,
                    url,
                    timeout=httpx.Timeout(max(left, 0.001), connect=max(min(left, _CONNECT_SECONDS), 0.001)),
                    extensions={"trace": watchdog.trace},
                    **request,
                ) as response,
            ):
                content = self._read(response, url)
        except httpx.HTTPError as failure:
            raise self._explain(failure, url, expired=watchdog.expired) from None
        return Answer(
            url=url,
            status=response.status_code,
            reason=printable(response.reason_phrase, 80),
            headers=response.headers,
            content=content,
            seconds=time.monotonic() - started,
        )

    def _read(self, response: httpx.Response, url: str) -> bytes:
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MOST_ANSWER_BYTES:
                raise UnusableAnswerError(
                    f"the answer from {url} is larger than {MOST_ANSWER_BYTES // 1024} KiB and was not read further",
                    hint="check the URL: such an endpoint answers with a few kilobytes",
                    details=(f"{response.status_code} {printable(response.reason_phrase, 80)}",),
                )
        return bytes(content)

    def _client_for(self, url: str) -> httpx.Client:
        parts = urlsplit(url)
        # The URL was checked before; what is plain http is loopback.
        key = (parts.scheme == "https", is_loopback(parts.hostname or ""))
        if key not in self._clients:
            secure, loopback = key
            try:
                self._clients[key] = httpx.Client(
                    verify=self._trust() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                    trust_env=not loopback,
                    follow_redirects=False,
                    headers={
                        "accept": "application/json",
                        "accept-encoding": "identity",
                        "user-agent": f"banno-creds/{__version__}",
                    },
                )
            except (ValueError, ImportError, httpx.InvalidURL) as failure:
                raise ConfigurationError(
                    f"the proxy from the environment cannot be used: {printable(_without_credentials(failure))}",
                    hint="look at HTTPS_PROXY, ALL_PROXY and NO_PROXY; for a SOCKS proxy: pip install 'httpx[socks]'",
                ) from None
        return self._clients[key]

    def _trust(self) -> ssl.SSLContext:
        """Whom to trust: the CA bundle that was named, else the operating system's store."""
        if self._ca_bundle is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            folder = self._ca_bundle.is_dir()
            try:
                context.load_verify_locations(
                    cafile=None if folder else str(self._ca_bundle),
                    capath=str(self._ca_bundle) if folder else None,
                )
            except OSError as failure:  # ssl.SSLError is one
                words = failure.strerror if failure.errno and not isinstance(failure, ssl.SSLError) else None
                raise ConfigurationError(
                    f"the CA bundle {self._ca_bundle} cannot be read: {words or 'it holds no PEM certificate'}",
                    hint="name a file of PEM certificates, or a folder made by: openssl rehash",
                ) from None
        else:
            context = _system_trust()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _explain(self, failure: httpx.HTTPError, url: str, *, expired: bool) -> NetworkError:
        host = urlsplit(url).netloc
        if expired or self.remaining() <= 0:
            return TimedOutError(
                f"no whole answer from {host} within {self._timeout:g} s",
                hint="try again later, or allow more with --timeout SECONDS",
            )
        if isinstance(failure, httpx.TimeoutException):
            return TimedOutError(
                f"no connection to {host} within {_CONNECT_SECONDS:g} s",
                retryable=True,
                hint="check the host, the firewall, and whether a proxy is needed (HTTPS_PROXY)",
            )
        if isinstance(failure, httpx.ProxyError):
            return NetworkError(
                f"the proxy would not connect to {host}: {printable(failure)}",
                hint="look at HTTPS_PROXY and NO_PROXY, and at the proxy's user name and password",
            )
        if isinstance(failure, httpx.DecodingError):
            return UnusableAnswerError(
                f"the answer from {host} is compressed in a way that cannot be read",
                hint="look at what stands between this machine and the server: a proxy, a gateway",
            )
        cause = _cause(failure)
        if isinstance(cause, ssl.SSLError):
            return _untrusted(cause, host)
        if isinstance(cause, socket.gaierror):
            return NetworkError(
                f"the host name {host} cannot be resolved: {cause.strerror}",
                retryable=True,
                hint="check the host's spelling, this machine's DNS, and whether a proxy is needed (HTTPS_PROXY)",
            )
        if isinstance(cause, ConnectionRefusedError):
            return NetworkError(
                f"{host} refused the connection: nothing listens there",
                retryable=True,
                hint="check the host and the port, and whether the server is running",
            )
        words = printable(failure) or type(failure).__name__
        return NetworkError(
            f"the connection to {host} broke before the whole answer was there: {words}",
            retryable=True,
            hint="try again; if it stays so, look at what stands between this machine and the server",
        )


class _Watchdog:
    """Ends an exchange that would outlast its time, however slowly bytes keep trickling in.

    httpx bounds each single read; a server that sends one byte a second passes every such bound.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(max(seconds, 0), self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._socket = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of the socket when a connection is made; httpx calls this."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")

    def _expire(self) -> None:
        self.expired = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it may have ended by itself just now
                # Not SSLSocket.shutdown, which turns the socket into a plain one while it is in use.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _system_trust() -> ssl.SSLContext:
    """The operating system's trust store.

    On Linux a hashed folder of certificates is preferred to the one large file, because it is read on demand:
    the file costs about 30 ms at every start. Elsewhere, and where there is no such folder, truststore knows.
    """
    paths = ssl.get_default_verify_paths()
    if sys.platform == "linux" and paths.capath and not os.environ.get(paths.openssl_cafile_env):
        with os.scandir(paths.capath) as entries:
            hashed = any(entry.name.endswith(".0") for entry in entries)
        if hashed:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(capath=paths.capath)
            return context
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _untrusted(cause: ssl.SSLError, host: str) -> UntrustedServerError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UntrustedServerError(
            f"the certificate of {host} is not trusted: {printable(cause.verify_message)}",
            hint=_CERTIFICATE_HINTS.get(cause.verify_code, _CERTIFICATE_HINTS[19]),
        )
    return UntrustedServerError(
        f"TLS with {host} failed: {printable(cause.reason or cause)}",
        hint="check that the port speaks TLS (1.2 or later), and what stands between this machine and the server",
    )


def _cause(failure: BaseException) -> BaseException:
    """The operating system's or OpenSSL's own exception beneath httpx's and httpcore's."""
    while True:
        deeper = failure.__cause__ or failure.__context__
        if deeper is None:
            return failure
        failure = deeper


def _without_credentials(failure: Exception) -> str:
    """A message that may quote a proxy's URL, without the user name and password in it."""
    words = str(failure)
    return words.rpartition("@")[2] if "@" in words else words
