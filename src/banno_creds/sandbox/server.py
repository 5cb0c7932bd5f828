"""The sandbox as a server on a port of the loopback interface."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from socketserver import BaseServer
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from banno_creds.errors import ConfigurationError, no_thread
from banno_creds.redirection.listeners import RESERVED_PORTS, be_its_only_owner, is_reserved
from banno_creds.sandbox.app import app_of
from banno_creds.sandbox.home import commands
from banno_creds.sandbox.settings import Clock, Log, Settings, State, register
from banno_creds.text import system_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from banno_creds.sandbox.clients import Client
    from banno_creds.sandbox.faults import Faults
    from banno_creds.sandbox.users import User

ISSUER_PATH: Final = "/a/oidc-provider/api/v0"

_HOST: Final = "127.0.0.1"
_SOCKET_TIMEOUT: Final = 30
_BACKLOG: Final = 128


class _Given(TypedDict, total=False):
    """The settings that `Sandbox` takes by name."""

    faults: Faults
    once: bool
    explain: bool
    token_lifetime: int
    users: Sequence[User]
    require_pushed_authorization_requests: bool
    clock: Clock
    log: Log


class _QuietRequestHandler(WSGIRequestHandler):
    """Werkzeug's handler, HTTP/1.1, without its access log: the sandbox has its own log."""

    protocol_version = "HTTP/1.1"
    # A silent connection must not hold its thread for ever.
    timeout = _SOCKET_TIMEOUT

    def send_response(self, code: int, message: str | None = None) -> None:
        """Leave ``Date`` to the application, which has a clock of its own."""
        self.send_response_only(code, message)
        self.send_header("Server", self.version_string())

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name is Werkzeug's
        """Write no log."""


class Sandbox:
    """The authorization server on a port of the loopback interface.

    The port is bound at once, so that its number is known; connections wait until the server runs. Call
    `serve_forever`, or use it as a context manager, which serves in a thread of its own.

    Args:
        clients: the registered clients.
        port: the port; 0 for any free one.
        settings: the fields of `Settings`, by name.

    Raises:
        ConfigurationError: a client cannot be registered, or the port cannot be used.
    """

    def __init__(self, clients: Iterable[Client], *, port: int = 0, **settings: Unpack[_Given]) -> None:
        registered = register(clients)
        # Werkzeug would print and exit if the port is taken; so it gets a socket that is bound already.
        with closing(_bind(port)) as listener:
            self.port: int = listener.getsockname()[1]
            self.issuer = f"http://{_HOST}:{self.port}{ISSUER_PATH}"
            self.token_endpoint = f"{self.issuer}/token"
            self.home = f"http://{_HOST}:{self.port}/"
            # The waiting of the fault `slow` ends when the server stops.
            self._stopping = threading.Event()
            behaviour = Settings(sleep=self._stopping.wait, **settings)
            state = State.new(registered, self.issuer, behaviour)
            self.tries = commands(state)
            self.app = app_of(state)
            self._server = make_server(
                _HOST,
                self.port,
                self.app,
                threaded=True,
                request_handler=_QuietRequestHandler,
                fd=listener.fileno(),  # Werkzeug duplicates it
            )
        _serve_without_threads_too(self._server)
        self._serving = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Sandbox(issuer={self.issuer!r})"

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self.serve_forever, name="sandbox", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self.shutdown()
            raise no_thread() from None
        self._serving, self._thread = True, thread
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def serve_forever(self) -> None:
        """Serve until `shutdown` is called from another thread or the user presses Ctrl-C; then close the port."""
        self._serving = True
        try:
            self._server.serve_forever(poll_interval=0.05)
        finally:
            self._serving = False

    def shutdown(self) -> None:
        """Stop serving and close the port. It may be called again, but not from inside a request."""
        self._stopping.set()
        # Werkzeug's shutdown waits for the end of the loop, and would wait for ever if it never began.
        if self._serving:
            self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join()


def _serve_without_threads_too(server: BaseWSGIServer) -> None:
    """Have a server answer one request after the other where the system starts no further thread."""
    in_a_thread = server.process_request

    def process(request: Any, address: Any) -> None:
        try:
            in_a_thread(request, address)
        except RuntimeError:
            BaseServer.process_request(server, request, address)

    server.process_request = process  # type: ignore[method-assign, assignment]


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        be_its_only_owner(listener)
        listener.bind((_HOST, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason, first = "not a port number", "stop what uses it, such as another sandbox"
        if isinstance(error, OSError):
            reason = system_words(error)
            first = f"see `{RESERVED_PORTS}`" if is_reserved(error) else first
        raise ConfigurationError(
            f"the port {port} on {_HOST} cannot be used: {reason}",
            hint=f"{first}, or give --port 0, which takes any free port",
        ) from error
    return listener
