"""Runs `banno-creds sandbox` in this process, sends it requests, and prints what they left behind, as JSON.

Arguments: the client ID, the private key's file, and the options of the sandbox.
"""

from __future__ import annotations

import gc
import http.client
import json
import os
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import jwt
from jwt.algorithms import ECAlgorithm

import banno_creds.sandbox
from banno_creds import __main__ as program
from banno_creds.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterable

    from banno_creds.sandbox import Client

CLIENT_ID, PRIVATE_KEY, *OPTIONS = sys.argv[1:]
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
WARM_UP, MEASURED = 200, 160
DESCRIPTORS = Path("/proc/self/fd")
STATUSES = (401, 400, 200, 200)


class Clock:
    """Twenty seconds pass with each request, so that every used jti is forgotten soon."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def ask(token_endpoint: str, number: int) -> int:
    """Send a request: one of four is refused for its assertion, one for having none, and two get a token."""
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "exp": int(CLOCK.now) + 60, "jti": str(number)}
    if number % 4:
        claims["aud"] = token_endpoint
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE}
    if number % 4 != 1:
        form["client_assertion"] = jwt.encode(claims, KEY, algorithm="ES256")
    address = urlsplit(token_endpoint)
    connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=60)
    try:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", address.path, urlencode(form), headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def held(threads: int, descriptors: int) -> tuple[int, int, int]:
    """Return the bytes, threads and descriptors in use, once the last answer's thread has ended."""
    until = time.monotonic() + 30
    while True:
        now = (threading.active_count(), len(list(DESCRIPTORS.iterdir())))
        if now == (threads, descriptors) or time.monotonic() > until:
            break
        time.sleep(0.02)
    gc.collect()
    return tracemalloc.get_traced_memory()[0], *now


def probe(sandbox: Sandbox) -> None:
    """Send the requests, print what was found, and end the process."""
    collecting = gc.isenabled()
    idle = (threading.active_count(), len(list(DESCRIPTORS.iterdir())))
    wrong, kept = [], []
    for number in range(WARM_UP + MEASURED):
        if number == WARM_UP:
            kept.append(held(*idle))
        status = ask(sandbox.token_endpoint, number)
        if status != STATUSES[number % 4]:
            wrong.append((number, status))
        CLOCK.now += 20
    kept.append(held(*idle))
    found = {
        "collecting": collecting,
        "wrong": wrong,
        "bytes_each": (kept[1][0] - kept[0][0]) / MEASURED,
        "threads": kept[1][1] - idle[0],
        "descriptors": kept[1][2] - idle[1],
    }
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)


class ProbedSandbox(Sandbox):
    """A sandbox that is probed while it serves."""

    def __init__(self, clients: Iterable[Client], **settings: Any) -> None:
        super().__init__(clients, clock=CLOCK, **settings)

    def serve_forever(self) -> None:
        threading.Thread(target=probe, args=(self,), daemon=True).start()
        super().serve_forever()


CLOCK = Clock()
KEY: Any = ECAlgorithm(ECAlgorithm.SHA256).prepare_key(Path(PRIVATE_KEY).read_bytes())
vars(banno_creds.sandbox)["Sandbox"] = ProbedSandbox
tracemalloc.start()
sys.argv[1:] = ["sandbox", "--port", "0", "--client-id", CLIENT_ID, *OPTIONS]
program.main()
