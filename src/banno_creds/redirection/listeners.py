"""Sockets that listen on loopback, who holds a port that is taken, and whose program knocked."""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.errors import ConfigurationError
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_BACKLOG = 1024  # with fewer, a crowd has the browser's own knock dropped, and tried again a second later
ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "localhost": ("127.0.0.1", "::1"),
    "127.0.0.1": ("127.0.0.1",),
    "::1": ("::1",),
}
"""What each host of a redirect URI means (RFC 8252 section 7.3)."""

# A machine without IPv6, or with IPv6 and none of its addresses.
_ABSENT = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
# Windows calls a port that another program has for itself alone forbidden.
_TAKEN = (errno.EADDRINUSE, errno.EACCES) if sys.platform == "win32" else (errno.EADDRINUSE,)
_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp writes it
_ESTABLISHED = 1  # TCP_ESTABLISHED, as TCP_INFO has it
_LOOKS = 3  # the kernel lists its sockets piece by piece, and may leave one out while others come and go
_ROOT = 0
_WHO = {
    "linux": "ss -ltnp 'sport = :{}'",
    "darwin": "lsof -nP -iTCP:{} -sTCP:LISTEN",
    "win32": "netstat -ano | findstr :{}",
}


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on loopback alone (RFC 8252 section 8.3).

    Args:
        host: ``localhost``, which means both 127.0.0.1 and ::1 as far as the machine has them, or one of these.
        port: the port.

    Returns:
        The sockets, one an address, which do not block.

    Raises:
        ConfigurationError: the port is not to be had; on Linux it says who has it.
    """
    # A browser takes whichever address answers: with one of them left to somebody else, the code could go there.
    listeners: list[socket.socket] = []
    failed = None
    for address in ADDRESSES[host]:
        try:
            listeners.append(_listener(address, port))
        except OSError as failure:
            failed = _unavailable(address, port, failure)
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
        if sys.platform == "win32":  # there SO_REUSEADDR would let another program take the port from us
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # the connections of a login that ended just now still linger
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.settimeout(0)
    except BaseException:
        listener.close()
        raise
    return listener


def _unavailable(address: str, port: int, failure: OSError) -> ConfigurationError:
    shown = f"[{address}]" if ":" in address else address
    elsewhere = "or register a redirect URI with another port and give it with --redirect-uri"
    if failure.errno in _TAKEN:
        holder = _holder(address, port)
        by = f", by {holder}" if holder else ""
        look = f"see who has it with `{_WHO.get(sys.platform, _WHO['darwin']).format(port)}` and stop it"
        return ConfigurationError(
            f"port {port} on {shown} is taken{by}", hint=f"{'stop that program' if holder else look}, {elsewhere}"
        )
    if failure.errno == errno.EACCES:
        return ConfigurationError(
            f"port {port} on {shown} is not allowed: ports below 1024 are often for the system alone",
            hint="register a redirect URI with a port of 1024 or more, and give it with --redirect-uri",
        )
    return ConfigurationError(
        f"cannot listen on {shown}, port {port}: {printable(failure.strerror or failure)}",
        hint="sign in with --manual, and paste the address that the browser ended on",
    )


class _Socket(NamedTuple):
    """A listening socket, as the kernel lists it."""

    inode: str
    owner: int


def _holder(address: str, port: int) -> str:
    """The process that listens there, in words; empty where the system does not tell."""
    if sys.platform != "linux":
        return ""
    found = [each for table in ("tcp", "tcp6") for each in _listening(table, address, port)]
    inodes = {f"socket:[{each.inode}]" for each in found}
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # another user's, or it has ended
            if any(os.readlink(each) in inodes for each in (process / "fd").iterdir()):  # noqa: PTH115 - it is no path
                name = (process / "comm").read_text("utf-8", "replace")
                return f"{printable(name, 40)} (process {process.name})"
    return f"a process of the user with the id {found[0].owner}"


def is_of_another_user(connection: socket.socket) -> bool:
    """Whether the program at the other end of a connection on this machine is another user's.

    Root's is nobody else's: root can do as any user anyway, and forwards ports for others (WSL). Whoever hung up
    already has nobody's name any more, and counts as another.

    Args:
        connection: a TCP connection that was accepted.

    Returns:
        Whether it is. False where the system does not tell: elsewhere than on Linux, without /proc, and where the
        other end is outside of what this process sees of the network, as with some containers.
    """
    if sys.platform != "linux":
        return False
    try:
        near, far = connection.getsockname()[:2], connection.getpeername()[:2]
        for _ in range(_LOOKS):
            found = _other_end(near, far)
            if found is not None:
                # Of a socket that its program has closed the kernel says that it is root's, with no inode.
                return found.inode == "0" or found.owner not in _ours()
        # Asked last: as long as the other end is not closed, it was listed, if it is ever listed here.
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED
    except OSError:  # it was reset
        return True


def _ours() -> set[int]:
    users = {_ROOT, os.geteuid()}
    behind = os.environ.get("SUDO_UID", "")
    if os.geteuid() == _ROOT and behind.isascii() and behind.isdigit():  # whose screen and browser it is
        users.add(int(behind))
    return users


def _other_end(near: tuple[str, int], far: tuple[str, int]) -> _Socket | None:
    """The other end of a connection, as the kernel lists it: its remote address is ours."""
    # A program may speak IPv4 by a socket for IPv6.
    for prefix, table in (("", "tcp"), ("", "tcp6"), ("::ffff:", "tcp6")):
        local, remote = (f"{_as_listed(prefix + address)}:{port:04X}" for address, port in (far, near))
        try:
            lines = Path("/proc/net", table).read_text("ascii").splitlines()
        except OSError:
            continue
        # Looked for as text, for there may be tens of thousands of others.
        for fields in (line.split() for line in lines if f" {local} {remote} " in line):
            return _Socket(fields[9], int(fields[7]))
    return None


def _listening(table: str, address: str, port: int) -> list[_Socket]:
    # Whoever has all addresses of its family, or of both, has this one.
    forms = {_as_listed(each) for each in (address, "0.0.0.0", "::", "::ffff:0.0.0.0", f"::ffff:{address}")}  # noqa: S104
    try:
        lines = Path("/proc/net", table).read_text("ascii").splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        # Its number, the local and the remote address, the state, …, the user's id, …, the inode.
        fields = line.split()
        local, _, hexadecimal = fields[1].partition(":")
        if fields[3] == _LISTENING and int(hexadecimal, 16) == port and local in forms:
            found.append(_Socket(fields[9], int(fields[7])))
    return found


def _as_listed(address: str) -> str:
    """An address as /proc/net/tcp has it: words of 32 bits, each in this machine's own order."""
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except OSError:  # there is no IPv6 address that holds another
        return ""
    words = (packed[i : i + 4] for i in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
