"""A token endpoint on loopback: each request is granted a token of its own; it can be told to wait and to fail."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs


class Issuer:
    """The n-th request, of all, is granted ``SCOPE.n`` (blanks in the scope are left out).

    Attributes:
        forms: what it was sent, one form a request.
        expires_in: how long its tokens live; None leaves the member out.
        failure: a status and members to answer with instead of a token.
        gate: no request is answered while it is closed (cleared).
    """

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.expires_in: int | None = 600
        self.failure: tuple[int, dict[str, Any]] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status, members = outer._answer(self.rfile.read(int(self.headers["content-length"])).decode())
                body = json.dumps(members).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that was killed is part of some tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def refuse(self) -> None:
        """Refuse the client from now on."""
        self.failure = 401, {"error": "invalid_client", "error_description": "client authentication failed"}

    def wait_for(self, requests: int) -> None:
        """Wait until so many requests have come."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.forms) >= requests, timeout=60)

    def _answer(self, body: str) -> tuple[int, dict[str, Any]]:
        form = parse_qs(body)
        with self._arrived:
            self.forms.append(form)
            number = len(self.forms)
            self._arrived.notify_all()
        self.gate.wait(60)
        if self.failure is not None:
            return self.failure
        token = f"{''.join(form.get('scope', [''])[0].split())}.{number}"
        life = {} if self.expires_in is None else {"expires_in": self.expires_in}
        return 200, {"access_token": token, "token_type": "Bearer", **life}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
