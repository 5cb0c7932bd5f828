"""Keys of an ssh-agent: ``ssh-agent:SHA256:…`` or ``ssh-agent:COMMENT``.

The protocol is draft-ietf-sshm-ssh-agent. It has no RSASSA-PSS, so RSA keys sign RS256 alone; P-256 keys sign ES256.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import sys
import time
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from banno_creds import threads
from banno_creds.errors import KeyLoadError, SigningError
from banno_creds.text import printable, system_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Failure = type[KeyLoadError | SigningError]

_LIST, _LISTED, _SIGN, _SIGNED, _FAILED = 11, 12, 13, 14, 5
_RSA_SHA2_256 = 2  # the flag
_MOST_BYTES = 256 * 1024  # as in OpenSSH
_MOST_SHOWN = 10
_MOST_CHARACTERS = 80
# By the type of the key: the form of the signature to expect.
_SIGNATURES = {"ssh-rsa": "rsa-sha2-256", "ecdsa-sha2-nistp256": "ecdsa-sha2-nistp256"}
_PIPE = r"\\.\pipe\openssh-ssh-agent"
_START = (
    "start it: Start-Service ssh-agent; then: ssh-add FILE"
    if sys.platform == "win32"
    else 'start one: eval "$(ssh-agent)"; then: ssh-add FILE'
)


def open_key(uri: str, *, passphrase: Callable[[], bytes | None], timeout: float) -> AgentKey:
    """Find a key among those that the agent has; see `protocol.OpenKey`."""
    del passphrase  # it was given to the agent with the key
    wanted = uri.partition(":")[2]
    if not wanted:
        raise KeyLoadError(
            f"{uri} names no key of an ssh-agent",
            hint="write ssh-agent:SHA256:…, as `ssh-add -l` shows it, or ssh-agent: and the key's comment",
        )
    there = _identities(_ask(bytes([_LIST]), _LISTED, timeout, KeyLoadError))
    found = _chosen(there, wanted, uri)
    if found.spki is None:
        raise KeyLoadError(
            f"{uri} is a key of the type {found.kind}; the provider takes RSA and EC P-256 keys",
            hint="make one with: banno-creds keygen; then: ssh-add private.pem",
        )
    return AgentKey(uri, found, found.spki, timeout)


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A key that an agent has; see `protocol.SigningKey`."""

    uri: str
    identity: _Identity = field(repr=False)
    public_key: bytes
    timeout: float

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The one that the protocol has for its type."""
        return ("RS256",) if self.identity.kind == "ssh-rsa" else ("ES256",)

    def sign(self, alg: str, signing_input: bytes) -> bytes:
        """Have the agent sign; see `protocol.SigningKey`."""
        flags = _RSA_SHA2_256 if alg == "RS256" else 0
        request = bytes([_SIGN]) + _packed(self.identity.blob) + _packed(signing_input) + flags.to_bytes(4, "big")
        answer = _ask(request, _SIGNED, self.timeout, SigningError, self.uri)
        try:
            form, rest = _string(_string(answer)[0])
            signature = _string(rest)[0]
        except ValueError:
            raise _unreadable(SigningError) from None
        expected = _SIGNATURES[self.identity.kind]
        if form != expected.encode():
            made = printable(form.decode("ascii", "replace"), 40)
            sha1 = ", which is SHA-1" if form == b"ssh-rsa" else ""
            raise SigningError(
                f"the ssh-agent signed with {self.uri} by {made}{sha1}; {alg} wants {expected}",
                hint="use an agent that knows RSA with SHA-2, such as OpenSSH's since 7.2",
            )
        return self._of_es256(signature) if alg == "ES256" else signature.rjust((self.identity.bits + 7) // 8, b"\0")

    def _of_es256(self, signature: bytes) -> bytes:
        """Return r and s in 64 bytes (RFC 7518 section 3.4); what they are not is told where they are verified."""
        with suppress(ValueError, OverflowError):
            r, rest = _string(signature)
            s = _string(rest)[0]
            return b"".join(int.from_bytes(number, "big").to_bytes(32, "big") for number in (r, s))
        return signature


class _Identity(NamedTuple):
    """A key that the agent lists; of one that cannot be used here, there is no SubjectPublicKeyInfo."""

    blob: bytes
    comment: str
    kind: str
    bits: int = 0
    spki: bytes | None = None

    @property
    def fingerprint(self) -> str:
        """As ssh-add -l shows it."""
        return _fingerprint(self.blob)

    @classmethod
    def of(cls, blob: bytes, comment: bytes) -> _Identity:
        """Read a public key in the form of RFC 4253 section 6.6."""
        kind = printable(_string(blob)[0].decode("ascii", "replace"), 60)
        words = comment.decode("utf-8", "replace")
        if kind not in _SIGNATURES:
            return cls(blob, words, kind)
        try:
            native = load_ssh_public_key(kind.encode() + b" " + b64encode(blob))
        except (ValueError, UnsupportedAlgorithm):  # a broken key is none of those that can be used
            return cls(blob, words, f"{kind} (broken)")
        spki = native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(blob, words, kind, native.key_size if isinstance(native, RSAPublicKey) else 256, spki)


def _identities(answer: bytes) -> list[_Identity]:
    """Read the list of keys, each of them once."""
    number, rest, found = int.from_bytes(answer[:4], "big"), answer[4:], {}
    if len(answer) < 4:
        raise _unreadable(KeyLoadError)
    try:
        for _ in range(number):
            blob, rest = _string(rest)
            comment, rest = _string(rest)
            found[blob] = _Identity.of(blob, comment)
    except ValueError:
        raise _unreadable(KeyLoadError) from None
    return list(found.values())


def _chosen(there: Sequence[_Identity], wanted: str, uri: str) -> _Identity:
    """Return the one key that is meant."""
    if wanted.startswith("SHA256:"):
        name = wanted.rstrip("=")
        found = [each for each in there if name in (each.fingerprint, each.spki and _fingerprint(each.spki))]
    else:
        # A certificate has the comment of its key, beside which it is.
        found = [each for each in there if each.comment == wanted and "-cert-" not in each.kind] or [
            each for each in there if each.comment == wanted
        ]
    if len(found) == 1:
        return found[0]
    if found:
        raise KeyLoadError(
            f"{uri} is the comment of {len(found)} keys of the ssh-agent:",
            hint=f"name one by its fingerprint: ssh-agent:{found[0].fingerprint}",
            details=_shown(found),
        )
    if not there:
        raise KeyLoadError(
            f"the ssh-agent has no key {uri}, and no other: it is empty or locked",
            hint="add the key: ssh-add FILE; or unlock the agent: ssh-add -X",
        )
    raise KeyLoadError(
        f"the ssh-agent has no key {uri}; it has these:",
        hint="add it: ssh-add FILE; or name one of these",
        details=_shown(there),
    )


def _shown(keys: Sequence[_Identity]) -> tuple[str, ...]:
    """Return lines about keys, as ssh-add -l has them, and not too many."""
    lines = [
        f"{each.fingerprint} {each.kind} {printable(each.comment, _MOST_CHARACTERS)}" for each in keys[:_MOST_SHOWN]
    ]
    more = len(keys) - _MOST_SHOWN
    return (*lines, f"and {more} more") if more > 0 else tuple(lines)


def _fingerprint(content: bytes) -> str:
    return "SHA256:" + b64encode(hashlib.sha256(content).digest()).decode("ascii").rstrip("=")


# --- The protocol ---------------------------------------------------------------------------------------------------


def _packed(content: bytes) -> bytes:
    """Return a string of RFC 4251 section 5."""
    return len(content).to_bytes(4, "big") + content


def _string(content: bytes) -> tuple[bytes, bytes]:
    """Split a string off, and return it and the rest; ValueError if it is cut off."""
    end = 4 + int.from_bytes(content[:4], "big")
    if len(content) < end:
        raise ValueError
    return content[4:end], content[end:]


def _unreadable(kind: Failure) -> KeyLoadError | SigningError:
    return kind(
        "the ssh-agent gave an answer that cannot be read",
        hint="look at what SSH_AUTH_SOCK names: `ssh-add -l` asks the same",
    )


def _ask(request: bytes, expected: int, timeout: float, kind: Failure, uri: str = "") -> bytes:
    """Send one message to the agent, over a connection of its own, and return the answer without its type."""
    place = _place(kind)
    try:
        answer = _exchange(place, _packed(request), timeout)
    except TimeoutError:
        raise kind(
            f"the ssh-agent did not answer within {timeout:g} s",
            hint="it may wait for a confirmation (ssh-add -c), a touch or a PIN; else start it again",
        ) from None
    except OSError as failure:
        where = f"the ssh-agent at {printable(place)} (SSH_AUTH_SOCK)"
        raise kind(f"{where} does not answer: {system_words(failure)}", hint=_START) from None
    except ValueError:
        raise _unreadable(kind) from None
    if answer[:1] == bytes([_FAILED]):
        raise kind(
            f"the ssh-agent refused to sign with {uri}" if uri else "the ssh-agent refused to list its keys",
            hint="`ssh-add -l` shows if it still has the key, or is locked; a key of ssh-add -c wants a confirmation",
        )
    if answer[:1] != bytes([expected]):
        raise _unreadable(kind)
    return answer[1:]


def _place(kind: Failure) -> str:
    """Return where the agent is."""
    place = os.environ.get("SSH_AUTH_SOCK") or (_PIPE if sys.platform == "win32" else "")
    if not place:
        raise kind("there is no ssh-agent: SSH_AUTH_SOCK is not set", hint=_START)
    # Whatever else it names would be written to: some shells have a file there that only their programs understand.
    if sys.platform == "win32" and not place.replace("/", "\\").startswith("\\\\.\\pipe\\"):
        raise kind(
            f"SSH_AUTH_SOCK names {printable(place)}, which is no pipe of Windows",
            hint="unset it for the agent of Windows, or let it name the agent's pipe",
        )
    return place


def _by_pipe(place: str, message: bytes, timeout: float) -> bytes:
    """Exchange messages over a pipe of Windows. There, only a thread can be left waiting."""
    ends = time.monotonic() + timeout

    def exchange() -> bytes:
        with open(place, "r+b", buffering=0) as pipe:  # noqa: PTH123 - its name is no path
            pipe.write(message)
            return _received(pipe.read)

    try:
        return threads.run(exchange, lambda: ends - time.monotonic(), "banno-creds ssh-agent")
    except threads.OutOfTimeError:
        raise TimeoutError from None


def _received(receive: Callable[[int], bytes]) -> bytes:
    """Read one message without its length; ValueError if it is too long or empty."""

    def read(size: int) -> bytes:
        content = b""
        while len(content) < size:
            if not (piece := receive(size - len(content))):
                raise ConnectionResetError(errno.ECONNRESET, "it closed the connection")
            content += piece
        return content

    size = int.from_bytes(read(4), "big")
    if not 0 < size <= _MOST_BYTES:
        raise ValueError
    return read(size)


if sys.platform == "win32":
    _exchange = _by_pipe
else:

    def _exchange(place: str, message: bytes, timeout: float) -> bytes:
        """Exchange messages over a socket; all of it within the timeout."""
        deadline = time.monotonic() + timeout
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:

            def within() -> socket.socket:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                connection.settimeout(left)
                return connection

            within().connect(place)
            within().sendall(message)
            return _received(lambda most: within().recv(most))
