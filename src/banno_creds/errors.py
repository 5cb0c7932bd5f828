"""Everything that can go wrong, as one tree; each branch knows its exit code.

BannoCredsError
├── ConfigurationError            2  an option, a setting or an endpoint that cannot be meant
│   └── OutputError               2  the result could not be written where it was asked for
├── KeyLoadError                  3  the private key cannot be read or is of the wrong sort
│   └── PassphraseError           3  the passphrase is missing or wrong
├── SigningError                  3  the key was read and does not sign as its public half expects
├── RefusedError                  4  the server understood and said no; never tried again
├── NetworkError                  5  nothing usable came back; may work later
│   ├── TimedOutError             5  … within the time allowed
│   ├── UntrustedServerError      5  … because TLS could not be trusted
│   ├── UnavailableError          5  … because the server said 429 or 5xx
│   └── UnusableAnswerError       5  … because the answer is not what such a server sends
├── TokenError                    6  a token is malformed, expired or not verified
├── CommandNotExecutableError   126  what `exec` should run is there and cannot be run
└── CommandNotFoundError        127  what `exec` should run is not there

An error is what failed, the server's own words where there are any, and one hint: the next thing to do.
Nothing here prints or exits; the command line turns an error into text once.
"""

from __future__ import annotations

import re
from typing import ClassVar

# Longer words of a server help nobody; a log line that long hurts.
_MOST_CHARACTERS = 500

# A server may echo what it was sent. A JWT is never shown in its words.
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}")

# Nor is a private key, which people give where something else belongs: PEM, the member d of a JWK, or the base64 of
# PEM, of DER or of a JWK.
_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)"
    r"|\"d\"\s*:\s*\"[^\"]*\"?"
    r"|(?:LS0tLS1CRUdJTi|MI[A-P]|MH[Y-d]|eyJ)[A-Za-z0-9+/_=\s-]{100,}",
    re.DOTALL,
)
_KEY_FILE = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|\A\s*[\[{](?=.*\"kty\"\s*:)(?=.*\"d\"\s*:\s*\")"
    rb"|\A\s*PuTTY-User-Key-File-[0-9]+:",
    re.DOTALL,
)
# An ASN.1 sequence that begins with a version: PKCS #8 (RFC 5958), PKCS #1 (RFC 8017), SEC 1 (RFC 5915).
_DER_KEY = re.compile(rb"0(?:[\x00-\x7f]|\x81.|\x82..)\x02\x01[\x00\x01][\x02\x040]", re.DOTALL)
# One that is encrypted begins with how: by PBES1, PBES2 (RFC 8018) or a scheme of PKCS #12. A PKCS #12 (RFC 7292), of
# version 3, begins with whether it is authenticated by a password or signed; its lengths may be left open, too.
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...)"
_DER_CONTAINER = re.compile(
    rb"0"
    + _LENGTH
    + rb"0"
    + _LENGTH
    + rb"\x06[\x09\x0a]\x2a\x86\x48\x86\xf7\x0d\x01(?:\x05[\x01-\x0e]|\x0c\x01[\x01-\x06])"
    rb"|0" + _LENGTH + rb"\x02\x01\x030" + _LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07[\x01\x02]",
    re.DOTALL,
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{100,}={0,2}")

_ECHOED = 16  # so many characters of a secret in a row are no accident


def is_private_key(text: str) -> bool:
    """Whether a text that should be something else, such as a path, looks like a private key."""
    return _KEY.search(_JWT.sub("", text)) is not None


def is_private_key_file(head: bytes) -> bool:
    """Whether a file is a private key: PEM, DER, PKCS #12, PuTTY's form, a JWK or JWK Set, or the base64 of one.

    More exact than `is_private_key`, for any data may be in a file, and some looks like a key's.

    Args:
        head: its beginning.
    """
    if _KEY_FILE.search(head.removeprefix(b"\xef\xbb\xbf")) or _DER_KEY.match(head) or _DER_CONTAINER.match(head):
        return True
    packed = b"".join(head.removeprefix(b"\xef\xbb\xbf").split()).strip(b"\"'")
    if not _BASE64.fullmatch(packed):
        return False
    from base64 import urlsafe_b64decode

    packed = packed.rstrip(b"=").translate(bytes.maketrans(b"+/", b"-_"))
    return is_private_key_file(urlsafe_b64decode(packed[: len(packed) // 4 * 4]))


def without(text: str, secret: str, what: str) -> str:
    """Drop words in which somebody echoes a secret, wrapped to lines, shortened or not.

    Args:
        text: the words.
        secret: such as the signature of an assertion.
        what: what stands in the place of those words calls it.

    Returns:
        The text, or what stands in its place.
    """
    squeezed = "".join(text.split())
    runs = [secret[i : i + _ECHOED] for i in range(0, max(1, len(secret) - _ECHOED + 1), _ECHOED)]
    return f"(left out: the server echoes {what})" if any(run in squeezed for run in runs) else text


def printable(text: object, most: int = _MOST_CHARACTERS) -> str:
    """Make text that came from outside fit to be shown on one line of a terminal or a log.

    Args:
        text: anything; it is turned into ``str`` first.
        most: the most characters to keep; what was cut is said.

    Returns:
        The text with each run of control characters and white space folded into one space, JWTs and private keys
        left out.
    """
    # A little more than is kept is looked at, so that a 50 MiB answer costs nothing.
    source = _KEY.sub("(a key)", _JWT.sub("(a JWT)", str(text)[: most * 4 + 4096]))
    # What can move a cursor, reorder a line or break an encoder is not printable: controls, format characters
    # (bidirectional overrides among them), surrogates, line and paragraph separators.
    shown = " ".join("".join(c if c.isprintable() else " " for c in source).split())
    return shown if len(shown) <= most else f"{shown[:most]}… (shortened)"


class BannoCredsError(Exception):
    """The root of the tree.

    Args:
        message: what failed, one sentence without a full stop; never a secret.
        hint: the one next thing to do, one sentence.
        details: further lines worth knowing: the server's words, a status, a request id.
        rule: the id under which the fault is explained, one of `findings.Rule`; of a refusal, the OAuth error code,
            unless more is known.

    Attributes:
        command: the command that the hint ends with, where the command line knows it; it is never wrapped.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, hint: str | None = None, details: tuple[str, ...] = (), rule: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
        self.rule = rule
        self.command: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Survive being copied, and the way from one process to another, whatever a branch's constructor wants."""
        return _rebuilt, (type(self), self.args, vars(self))

    def leave_out(self, secret: str, what: str = "the assertion") -> None:
        """Drop the words in which somebody echoes a secret; see `without`.

        Args:
            secret: see there.
            what: see there.
        """
        self.message = without(self.message, secret, what)
        self.details = tuple(without(detail, secret, what) for detail in self.details)
        self.args = (self.message,)


def _rebuilt(kind: type[BannoCredsError], args: tuple[object, ...], members: dict[str, object]) -> BannoCredsError:
    error = kind.__new__(kind, *args)
    vars(error).update(members)
    return error


class ConfigurationError(BannoCredsError):
    """An option, a setting or an endpoint that cannot be meant."""

    exit_code = 2


class OutputError(ConfigurationError):
    """The result could not be written where it was asked for."""


class KeyLoadError(BannoCredsError):
    """The private key cannot be read, or is of a sort this provider does not take."""

    exit_code = 3


class PassphraseError(KeyLoadError):
    """The private key is encrypted, and its passphrase is missing or wrong."""


class SigningError(BannoCredsError):
    """The key was read, and what it signs does not verify with its own public half."""

    exit_code = 3


class RefusedError(BannoCredsError):
    """The server understood the request and refused it (RFC 6749 section 5.2).

    Args:
        message: see `BannoCredsError`.
        error: the OAuth error code, such as ``invalid_client``; None where the answer named none.
        status: the HTTP status.
        hint: see `BannoCredsError`.
        details: see `BannoCredsError`.
        rule: see `BannoCredsError`.
    """

    exit_code = 4

    def __init__(
        self,
        message: str,
        *,
        error: str | None,
        status: int,
        hint: str | None = None,
        details: tuple[str, ...] = (),
        rule: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, details=details, rule=rule)
        self.error = error
        self.status = status

    def leave_out(self, secret: str, what: str = "the assertion") -> None:
        """Drop the error code too, where it is the echo; see `BannoCredsError.leave_out`."""
        super().leave_out(secret, what)
        if self.error is not None and (left := without(self.error, secret, what)) != self.error:
            self.error, self.rule = left, None


class NetworkError(BannoCredsError):
    """Nothing usable came back from the server.

    Args:
        message: see `BannoCredsError`.
        retryable: whether the very same request may succeed a moment later.
        retry_after: how many seconds the server asked to be left alone, where it did.
        hint: see `BannoCredsError`.
        details: see `BannoCredsError`.
        rule: see `BannoCredsError`.

    Attributes:
        sent: whether the server may have had the request: what is good only once is then not sent again.
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        hint: str | None = None,
        details: tuple[str, ...] = (),
        rule: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, details=details, rule=rule)
        self.retryable = retryable
        self.retry_after = retry_after
        self.sent = True


class TimedOutError(NetworkError):
    """No answer, or no whole answer, within the time allowed."""


class UntrustedServerError(NetworkError):
    """The server's certificate could not be trusted, or TLS could not be agreed on."""


class UnavailableError(NetworkError):
    """The server said 429 or 5xx: it cannot answer now."""


class UnusableAnswerError(NetworkError):
    """What came back is not what such a server sends: HTML, a redirect, broken or missing JSON."""


class TokenError(BannoCredsError):
    """A token is malformed, expired or not verified."""

    exit_code = 6


class CommandNotExecutableError(BannoCredsError):
    """What should be run with a token is there and cannot be run; the exit code is a shell's."""

    exit_code = 126


class CommandNotFoundError(BannoCredsError):
    """What should be run with a token is not there; the exit code is a shell's."""

    exit_code = 127
