"""A real Redis, which listens on TCP, TLS and a Unix socket at once; a Sentinel; and a proxy that spoils answers."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

import hiredis

from tests.person import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.servers.tls import Authority

START_TIMEOUT = 30.0  # covers a machine on which every core is busy with other tests


class RedisError(Exception):
    """Redis answered with an error."""


def asked(
    port: int,
    *words: str | bytes | int,
    user: str = "default",
    password: str | None = None,
    encoding: str | None = "utf-8",
) -> Any:
    """Send one command over a connection of its own, and return the answer; as bytes without an encoding.

    Raises:
        RedisError: it is an error.
        OSError: there is nobody, or no answer within 20 s.
    """
    commands: list[tuple[Any, ...]] = [words] if password is None else [("AUTH", user, password), words]
    reader = hiredis.Reader(encoding=encoding, errors="surrogateescape")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"".join(hiredis.pack_command(command) for command in commands))
        for _ in commands:
            while (answer := reader.gets()) is False:
                received = connection.recv(65536)
                if not received:
                    raise ConnectionResetError("Redis closed the connection")
                reader.feed(received)
    if isinstance(answer, hiredis.ReplyError):
        raise RedisError(str(answer))
    return answer


class Redis:
    """One server, without a file at rest unless `dump` is called.

    Attributes:
        port: of TCP.
        tls_port: of TLS; its certificate is for ``localhost`` and 127.0.0.1.
        socket: the Unix socket.
    """

    def __init__(self, folder: Path, authority: Authority | None = None, options: Sequence[str] = ()) -> None:
        self._folder = folder
        self._authority = authority
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.tls_port = 0 if authority is None else free_port()
        self.socket = folder / "redis.sock"
        if authority is not None:
            certificate = authority.ca.issue_cert("localhost", "127.0.0.1")
            certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")

    @property
    def url(self) -> str:
        """The address over TCP."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """The address over TLS."""
        return f"rediss://localhost:{self.tls_port}"

    @property
    def unix_url(self) -> str:
        """The address of the Unix socket."""
        return f"unix://{self.socket}"

    def _settings(self) -> Iterator[tuple[str, object]]:
        yield from (("port", self.port), ("bind", "127.0.0.1 -127.0.0.2"), ("dir", self._folder))
        yield from (("unixsocket", self.socket), ("unixsocketperm", 700), ("loglevel", "warning"))
        # A dump that is searched for secrets must not be compressed.
        yield from (("save", '""'), ("appendonly", "no"), ("rdbcompression", "no"), ("repl-diskless-sync-delay", 0))
        if self._authority is not None:
            pem = self._folder / "server.pem"
            yield from (("tls-port", self.tls_port), ("tls-cert-file", pem), ("tls-key-file", pem))
            yield from (("tls-ca-cert-file", self._authority.file), ("tls-auth-clients", "no"))

    def start(self) -> None:
        """Start it, again on the same ports after `kill`; return when it answers."""
        text = "".join(f"{name} {value}\n" for name, value in self._settings())
        configuration = self._folder / "redis.conf"
        configuration.write_text(text + "".join(f"{option}\n" for option in self._options))
        with (self._folder / "redis.log").open("ab") as log:
            command = ["redis-server", str(configuration)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _wait_until(lambda: self("PING") == "PONG", self._process, self._folder / "redis.log")

    def __call__(self, *words: str | bytes | int) -> Any:
        """Send a command as its administrator; raises `RedisError`."""
        return asked(self.port, *words)

    def raw(self, *words: str | bytes | int) -> bytes:
        """Send a command, and return its answer as bytes."""
        answer: bytes = asked(self.port, *words, encoding=None)
        return answer

    def reset(self) -> None:
        """Forget keys, users, statistics, limits and whom to follow."""
        if self._process is None:
            self.start()
        for user in self("ACL", "USERS"):
            if user != "default":
                self("ACL", "DELUSER", user)
        self("REPLICAOF", "NO", "ONE")
        self._limit("0", "noeviction")
        self("FLUSHALL")
        self("CONFIG", "RESETSTAT")

    def user(self, name: str, *rules: str) -> str:
        """Make a user with these rules of its access list, and return its password."""
        password = secrets.token_urlsafe(24)
        self("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules)
        return password

    def pause(self) -> None:
        """Let it hang: connections are accepted by the system, and never answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would; `start` brings it back, empty."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def fill(self, policy: str = "noeviction") -> None:
        """Leave no memory for another byte, and say what it is to do then; `reset` undoes it."""
        self._limit("1", policy)

    def _limit(self, memory: str, policy: str) -> None:
        self("CONFIG", "SET", "maxmemory-policy", policy)  # Redis 6 sets one at a time
        self("CONFIG", "SET", "maxmemory", memory)

    def follow(self, leader: Redis) -> None:
        """Become a replica, which takes no writes; return when it has all that its leader has."""
        self("REPLICAOF", "127.0.0.1", leader.port)
        _wait_until(lambda: "master_link_status:up" in self("INFO", "replication"))

    def promote(self) -> None:
        """Be a leader again."""
        self("REPLICAOF", "NO", "ONE")

    def wait_for_replicas(self, count: int = 1) -> None:
        """Return when so many replicas have all writes."""
        assert self("WAIT", count, 20_000) >= count

    def keys(self) -> list[str]:
        """Return the names of all keys."""
        return sorted(self("KEYS", "*"))

    def calls(self) -> dict[str, int]:
        """Return how often each command was called since `reset`, in lower case."""
        found = re.findall(r"cmdstat_(\S+?):calls=(\d+)", self("INFO", "commandstats"))
        return {name: int(count) for name, count in found}

    def dump(self) -> bytes:
        """Return what it would keep on a disk: all names and values, uncompressed."""
        self("SAVE")
        return (self._folder / "dump.rdb").read_bytes()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _wait_until(
    is_so: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        with contextlib.suppress(OSError, RedisError):
            if is_so():
                return
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise RuntimeError("Redis did not start" + (f":\n{log.read_text(errors='replace')}" if log else ""))
        time.sleep(0.01)


class Sentinel:
    """It watches a leader, and promotes its replica where the leader is gone."""

    def __init__(self, port: int) -> None:
        self.port = port

    def leader(self) -> int:
        """Return the port of who is the leader."""
        return int(asked(self.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "tokens")[1])

    def wait_for(self, leader: Redis) -> None:
        """Return when this one is the leader."""
        _wait_until(lambda: self.leader() == leader.port and "role:master" in leader("INFO", "replication"))


@contextmanager
def running_sentinel(folder: Path, leader: Redis) -> Iterator[Sentinel]:
    """Run a Sentinel until the end of the block; gives it when it knows the leader's replica."""
    port = free_port()
    configuration, log = folder / "sentinel.conf", folder / "sentinel.log"
    options = ("down-after-milliseconds tokens 300", "failover-timeout tokens 2000")
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"sentinel monitor tokens 127.0.0.1 {leader.port} 1"]
    configuration.write_text("\n".join([*lines, *(f"sentinel {option}" for option in options), ""]))
    with log.open("wb") as output:
        command = ["redis-server", str(configuration), "--sentinel"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_until(lambda: len(asked(port, "SENTINEL", "REPLICAS", "tokens")) > 0, process, log)
        yield Sentinel(port)
    finally:
        process.kill()
        process.wait()


# --- What is between ---


class Between:
    """A proxy before a Redis, which spoils what it says.

    Attributes:
        target: the port that it leads to; another one after a failover, as an address that moves.
        spoil: makes what a client gets of what Redis said, in pieces as they came; None hangs up. By default it is
            passed on as it is.
        take: the same for what clients send, which is in `sent`; None hangs up before Redis has it.
        cut: after so many bytes of an answer it hangs up.
        connections: how many there were.
        open: how many there are.
    """

    def __init__(self, target: int, context: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.spoil: Callable[[bytes], bytes | None] = lambda said: said
        self.take: Callable[[bytes], bytes | None] = lambda said: said
        self.cut: int | None = None
        self.sent: list[bytes] = []
        self.connections = self.open = 0
        self._context = context
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(0.05)
        self._threads = [threading.Thread(target=self._accept)]
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}" if self._context is None else f"rediss://localhost:{self.port}"

    def swallow(self) -> None:
        """Take what clients send, and answer nothing."""
        self.take = lambda _: b""

    def says(self, answer: bytes) -> None:
        """Answer whatever is sent with these bytes, in place of Redis' own."""
        self.spoil = lambda _: answer

    def delay(self, seconds: float) -> None:
        """Let each piece of an answer come so late."""

        def spoil(said: bytes) -> bytes:
            self._closing.wait(seconds)
            return said

        self.spoil = spoil

    def set_clock(self, seconds: float) -> None:
        """Let the answers of TIME differ by so many seconds."""
        self.spoil = lambda said: re.sub(
            rb"\*2\r\n\$10\r\n(\d{10})\r\n",
            lambda found: b"*2\r\n$10\r\n%010d\r\n" % (int(found[1]) + int(seconds)),
            said,
        )

    def _accept(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), ExitStack() as stack:
            stack.enter_context(connection)
            connection.settimeout(20)
            if self._context is not None:
                connection = stack.enter_context(self._context.wrap_socket(connection, server_side=True))
            with self._lock:
                self.open += 1
            stack.callback(self._one_less)
            target = stack.enter_context(socket.create_connection(("127.0.0.1", self.target), timeout=20))
            while not self._closing.is_set():
                held = isinstance(connection, ssl.SSLSocket) and connection.pending()
                ready = [connection] if held else select.select([connection, target], [], [], 0.05)[0]
                steps = [self._ask if source is connection else self._answer for source in ready]
                if not all(step(connection, target) for step in steps):
                    return

    def _one_less(self) -> None:
        with self._lock:
            self.open -= 1

    def _ask(self, client: socket.socket, redis: socket.socket) -> bool:
        """Pass on what a client said; False if the connection is to end."""
        said = client.recv(1 << 20)
        self.sent.append(said)
        passed = self.take(said) if said else None
        if passed is not None:
            redis.sendall(passed)
        return passed is not None

    def _answer(self, client: socket.socket, redis: socket.socket) -> bool:
        """Pass on what Redis said; False if the connection is to end."""
        said = redis.recv(1 << 20)
        passed = self.spoil(said) if said else None
        if passed is not None:
            client.sendall(passed[: self.cut])
        return passed is not None and self.cut is None

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(20)
        self._listener.close()
