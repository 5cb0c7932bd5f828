"""Listen on loopback; name the program that holds a taken port; tell whose program is at the other end."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.errors import ConfigurationError
from banno_creds.storage.lock import Lock
from banno_creds.text import printable, setting, system_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BACKLOG = 1024  # with a shorter queue, a flood could drop the browser's connection, which retries a second later
ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "localhost": ("127.0.0.1", "::1"),
    "127.0.0.1": ("127.0.0.1",),
    "::1": ("::1",),
}
"""The addresses of each host that a redirect URI may have (RFC 8252 section 7.3)."""

# The machine has no IPv6, or no IPv6 address.
_ABSENT = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp
_ESTABLISHED = 1  # TCP_ESTABLISHED in TCP_INFO
_LOOKS = 3  # the kernel lists its sockets in pieces, and may omit one while others come and go
_ROOT = 0
_PROBE_SECONDS = 1.0
_LOCK_SECONDS = 3.0
# linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, _ALL = 4, 20, 1, 0xFFFFFFFF
_DIAG = struct.Struct("=4xH10x64xII")  # of an answer: its type; the socket's owner and inode
_CREDENTIALS = struct.Struct("3i")  # Linux' struct ucred: process, user, group
RESERVED_PORTS = "netsh int ipv4 show excludedportrange protocol=tcp"
"""The command that lists the ports that Windows keeps for itself; Hyper-V, WSL and Docker have it reserve many."""

_LIST_COMMANDS = {
    "linux": "ss -ltnp 'sport = :{}'",
    "darwin": "lsof -nP -iTCP:{} -sTCP:LISTEN",
    "win32": "netstat -ano | findstr :{}",
}


def listen(host: str, port: int, instead: str | None = None) -> list[socket.socket]:
    """Listen on loopback only (RFC 8252 section 8.3), with one non-blocking socket for each address of the host.

    If the port is not available, the error names the program that holds it, on Linux. Its hint says what else can be
    done: ``instead``; by default what a login can do.
    """
    # A browser uses whichever address answers: another program on one of them could receive the code.
    listeners: list[socket.socket] = []
    failed = None
    for address in ADDRESSES[host]:
        try:
            listeners.append(_listener(address, port))
        except OSError as failure:
            failed = _unavailable(address, port, failure, instead)
            if failure.errno not in _ABSENT:
                break
    else:
        if listeners:
            return listeners
    for listener in listeners:
        listener.close()
    raise failed or ConfigurationError(f"there is no loopback address for {host}")


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        be_its_only_owner(listener)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.settimeout(0)
    except BaseException:
        listener.close()
        raise
    return listener


def be_its_only_owner(listener: socket.socket) -> None:
    """Let a socket that is not bound yet share its port with no other."""
    if sys.platform == "win32":  # here SO_REUSEADDR would let another program take over the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:  # connections of a server that has just ended may linger
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def is_reserved(failure: OSError) -> bool:
    """Return whether Windows may keep a port for itself; it says the same of one that another user's program has."""
    return sys.platform == "win32" and failure.errno == errno.EACCES


def _unavailable(address: str, port: int, failure: OSError, instead: str | None) -> ConfigurationError:
    shown = f"[{address}]" if ":" in address else address
    elsewhere = instead or f"register a redirect URI with another port and give it with {setting('redirect_uri')}"
    if failure.errno == errno.EADDRINUSE:
        holder = _holder(address, port)
        by = f", by {holder}" if holder else ""
        command = _LIST_COMMANDS.get(sys.platform, _LIST_COMMANDS["darwin"]).format(port)
        stop = "stop that program" if holder else f"find the program with `{command}` and stop it"
        return ConfigurationError(f"port {port} on {shown} is taken{by}", hint=f"{stop}, or {elsewhere}")
    if is_reserved(failure):
        return ConfigurationError(
            f"port {port} on {shown} is reserved by Windows, or taken by a program of another user",
            hint=f"see `{RESERVED_PORTS}`, or {elsewhere}",
        )
    if failure.errno == errno.EACCES:
        return ConfigurationError(
            f"port {port} on {shown} is not allowed: ports below 1024 are often reserved for the system",
            hint=instead
            or f"register a redirect URI with a port of 1024 or more, and give it with {setting('redirect_uri')}",
        )
    return ConfigurationError(
        f"cannot listen on {shown}, port {port}: {system_words(failure)}",
        hint=instead or f"sign in with {setting('manual')}, and paste the address at which the browser ends",
    )


def listen_at(path: str) -> socket.socket:
    """Listen at a Unix socket that only this user can connect to; one that a dead program left behind is replaced.

    Raises:
        ConfigurationError: there is something else in the place, or the system does not allow it.
    """
    if sys.platform == "win32":
        raise ConfigurationError(
            "Python has no Unix sockets on Windows", hint=f"leave {setting('socket')} out: a port is taken then"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Another program may be about to listen there, or to remove the same dead socket.
        with _only_one(Path(path).parent):
            _remove_dead_socket(path)
            # From the moment when it is there: a later chmod would leave a gap.
            before = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(before)
            listener.listen(_BACKLOG)
        listener.settimeout(0)
    except ConfigurationError:
        listener.close()
        raise
    except (OSError, ValueError) as failure:
        listener.close()
        words = system_words(failure) if isinstance(failure, OSError) and failure.errno else str(failure)
        raise ConfigurationError(
            f"cannot listen at the socket {printable(path)}: {words}",
            hint="name a path of less than 100 characters in a folder of your own",
        ) from None
    return listener


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Wait until no other program of ours makes a socket in a folder; not for long, and not where nothing locks."""
    with Lock(os.path.realpath(folder), _LOCK_SECONDS, is_folder=True) as lock:
        with suppress(OSError, ValueError):  # anybody who can read it can lock it
            lock.wait()
        yield


def _remove_dead_socket(path: str) -> None:
    """Remove a socket at which nobody listens any more; ConfigurationError if it is anything else."""
    if sys.platform == "win32":
        return  # `listen_at` has refused it
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return
    shown = printable(path)
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError(f"{shown} is there, and is no socket", hint="choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with suppress(OSError):
                Path(path).unlink()
            return
        except OSError:
            pass  # busy, or another user's
    raise ConfigurationError(f"another program listens at the socket {shown}", hint="stop it, or choose another path")


class _Socket(NamedTuple):
    """A socket in the kernel's list."""

    inode: str
    owner: int


def _holder(address: str, port: int) -> str:
    """Name the process that listens there; empty if the system does not tell."""
    if sys.platform != "linux":
        return ""
    found = [each for table in ("tcp", "tcp6") for each in _listening(table, address, port)]
    inodes = {f"socket:[{each.inode}]" for each in found}
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # another user's process, or it has ended
            if any(os.readlink(each) in inodes for each in (process / "fd").iterdir()):  # noqa: PTH115 - not a path
                name = (process / "comm").read_text("utf-8", "replace")
                return f"{printable(name, 40)} (process {process.name})"
    return f"a process of the user with the id {found[0].owner}"


def is_of_another_user(connection: socket.socket) -> bool:
    """Check whether another user's program is at the other end of a connection from this machine.

    Root does not count as another user: root can act as any user, and forwards ports for others (WSL). A program that
    has already closed its end can no longer be identified, and counts as another user's. False if the system does not
    tell: on other systems than Linux, without /proc, and if this process cannot see the other end, as in some
    containers.
    """
    if sys.platform != "linux":
        return False
    try:
        if connection.family == socket.AF_UNIX:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            return _CREDENTIALS.unpack(credentials)[1] not in _ours()
        near, far = connection.getsockname()[:2], connection.getpeername()[:2]
        for _ in range(_LOOKS):
            found = _other_end(near, far)
            if found is not None:
                # The kernel lists a socket that its program has closed as root's, with the inode 0.
                return found.inode == "0" or found.owner not in _ours()
        # This comes last: if the other end is still open now, it was open before, and the list does not have it.
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED
    except OSError:  # the connection was reset
        return True


def _ours() -> set[int]:
    if sys.platform == "win32":
        return set()
    users = {_ROOT, os.geteuid()}
    behind = os.environ.get("SUDO_UID", "")
    if os.geteuid() == _ROOT and behind.isascii() and behind.isdigit():  # the screen and the browser are that user's
        users.add(int(behind))
    return users


def _other_end(near: tuple[str, int], far: tuple[str, int]) -> _Socket | None:
    """Find the other end of a connection among the kernel's sockets; its remote address is our local one."""
    return _asked_for(near, far) or _in_the_list(near, far)


def _asked_for(near: tuple[str, int], far: tuple[str, int]) -> _Socket | None:
    """Ask the kernel for one socket (sock_diag(7)); None if it has none, or does not answer such questions.

    The list has each connection of the last minute, and is read as slowly as it is long.
    """
    if sys.platform != "linux":
        return None
    family = socket.AF_INET6 if ":" in far[0] else socket.AF_INET
    ports = struct.pack("!HH", far[1], near[1])
    addresses = b"".join(socket.inet_pton(family, address).ljust(16, b"\0") for address in (far[0], near[0]))
    asked = struct.pack("=4BI", family, socket.IPPROTO_TCP, 0, 0, _ALL) + ports + addresses
    asked += struct.pack("=3I", 0, _ALL, _ALL)  # on any interface, and no cookie
    head = struct.pack("=IHHII", 16 + len(asked), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(_PROBE_SECONDS)
            kernel.sendto(head + asked, (0, 0))
            answer = kernel.recv(4096)
    except OSError:
        return None
    if len(answer) < _DIAG.size or _DIAG.unpack_from(answer)[0] != _SOCK_DIAG_BY_FAMILY:
        return None
    _, owner, inode = _DIAG.unpack_from(answer)
    return _Socket(str(inode), owner)


def _in_the_list(near: tuple[str, int], far: tuple[str, int]) -> _Socket | None:
    """Find it in /proc/net/tcp, which some containers have instead."""
    # A program may use an IPv6 socket for IPv4.
    for prefix, table in (("", "tcp"), ("", "tcp6"), ("::ffff:", "tcp6")):
        local, remote = (f"{_as_listed(prefix + address)}:{port:04X}" for address, port in (far, near))
        try:
            lines = Path("/proc/net", table).read_text("ascii").splitlines()
        except OSError:
            continue
        # This searches text, because there may be tens of thousands of lines.
        for fields in (line.split() for line in lines if f" {local} {remote} " in line):
            return _Socket(fields[9], int(fields[7]))
    return None


def _listening(table: str, address: str, port: int) -> list[_Socket]:
    # A socket for all addresses of its family, or of both families, has this address too.
    forms = {_as_listed(each) for each in (address, "0.0.0.0", "::", "::ffff:0.0.0.0", f"::ffff:{address}")}  # noqa: S104
    try:
        lines = Path("/proc/net", table).read_text("ascii").splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        # The fields: number, local address, remote address, state, …, user id, …, inode.
        fields = line.split()
        local, _, hexadecimal = fields[1].partition(":")
        if fields[3] == _LISTENING and int(hexadecimal, 16) == port and local in forms:
            found.append(_Socket(fields[9], int(fields[7])))
    return found


def _as_listed(address: str) -> str:
    """Write an address as /proc/net/tcp does: 32-bit words, each in this machine's byte order."""
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except OSError:  # such as an IPv6 address inside an IPv6 address
        return ""
    words = (packed[i : i + 4] for i in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
