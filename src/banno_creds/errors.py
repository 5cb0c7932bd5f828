"""Everything that can go wrong, as one tree; each branch knows its exit code.

BannoCredsError
├── ConfigurationError            2  a setting or an endpoint is invalid, or contradicts another
│   └── OutputError               2  the result could not be written where it was asked for
├── KeyLoadError                  3  the private key cannot be read, found or used
│   └── PassphraseError           3  its passphrase or PIN is missing or wrong
├── SigningError                  3  its holder does not sign, or its signature does not verify
├── RefusedError                  4  the server understood and said no; never tried again
├── NotAskedError                 4  not asked, because the server had refused too many in a row
├── NetworkError                  5  no usable answer; may work later
│   ├── TimedOutError             5  … within the time allowed
│   ├── UntrustedServerError      5  … because TLS could not be trusted
│   ├── UnavailableError          5  … because the server said 429 or 5xx
│   └── UnusableAnswerError       5  … because the answer is not what such a server sends
├── TokenError                    6  a token is malformed, expired or not verified
├── CommandNotExecutableError   126  the command of `exec` exists and cannot be run
└── CommandNotFoundError        127  the command of `exec` does not exist

An error says what failed, gives the server's own words if there are any, and one hint: the next thing to do.
Nothing here prints or exits; the command line turns an error into text once.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self, TypeVar

from banno_creds.secrecy import without
from banno_creds.text import fields, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from banno_creds.secrecy import Secret


E = TypeVar("E", bound="BannoCredsError")
_NEXT = "Next: "


class Words(NamedTuple):
    """An error in words, with each setting spelled for its reader."""

    message: str
    hint: str | None
    details: tuple[str, ...]


class BannoCredsError(Exception):
    """The root of the tree.

    An error is complete when it is raised, and does not change while it rises; `but` makes another one of it.

    Args:
        message: what failed, one sentence without a full stop; never a secret. A setting is named by `text.setting`.
        hint: the one next thing to do, one sentence.
        details: further lines worth knowing: the server's words, a status, a request id.
        rule: the id under which the fault is explained, one of `findings.Rule`; of a refusal, the OAuth error code,
            unless more is known.

    Attributes:
        marked: the words with the settings still marked, see `text.setting`.
        doctor_can_tell: whether ``banno-creds doctor`` can find out more; the hint then leads to it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, hint: str | None = None, details: tuple[str, ...] = (), rule: str | None = None
    ) -> None:
        message, hint = str(message), None if hint is None else str(hint)
        super().__init__(spelled(message))
        self.marked = Words(message, hint, _lines(details))
        self.rule = rule
        self.doctor_can_tell = False
        _note(self)

    @property
    def message(self) -> str:
        """What failed."""
        return spelled(self.marked.message)

    @property
    def hint(self) -> str | None:
        """The next thing to do."""
        hint = self.words().hint
        return f"{hint}: banno-creds doctor" if hint is not None and self.doctor_can_tell else hint

    @property
    def details(self) -> tuple[str, ...]:
        """Further lines: the server's words, a status, a request id."""
        return self.words().details

    @property
    def fields(self) -> tuple[str, ...]:
        """The settings that the error is about, such as ``kid``."""
        return fields(" ".join((self.marked.message, self.marked.hint or "", *self.marked.details)))

    def words(self, spell: Callable[[str], str] = str) -> Words:
        """Put the error into words: the message, the hint and the details; ``spell`` writes the names of settings."""
        message, hint, details = self.marked
        return Words(
            spelled(message, spell),
            None if hint is None else spelled(hint, spell),
            tuple(spelled(detail, spell) for detail in details),
        )

    def but(
        self,
        *,
        message: str | None = None,
        hint: str | None = None,
        details: tuple[str, ...] | None = None,
        more: Iterable[str] = (),
        rule: str | None = None,
        doctor_can_tell: bool | None = None,
    ) -> Self:
        """Make the same error with something else in it; ``more`` are details to add at the end."""
        other = _rebuilt(type(self), self.args, vars(self))
        before = self.marked
        other.marked = Words(
            before.message if message is None else message,
            before.hint if hint is None else hint,
            (before.details if details is None else details) + tuple(more),
        )
        other.args = (other.message,)
        other.rule = self.rule if rule is None else rule
        other.doctor_can_tell = self.doctor_can_tell if doctor_can_tell is None else doctor_can_tell
        _note(other)
        other.__cause__, other.__context__ = self.__cause__, self.__context__
        other.__suppress_context__ = self.__suppress_context__
        return other.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive being copied, and the way from one process to another, whatever a branch's constructor wants."""
        return _rebuilt, (type(self), self.args, vars(self))

    def without(self, secrets: Iterable[Secret]) -> Self:
        """Make the same error without the words in which somebody echoes a secret; see `secrecy.without`."""
        secrets = tuple(secrets)
        message, hint, details = self.marked
        return self.but(
            message=without(message, secrets),
            hint=None if hint is None else without(hint, secrets),
            details=tuple(without(detail, secrets) for detail in details),
        )


def _note(error: BannoCredsError) -> None:
    """Have a traceback show the hint, before the notes that a program added."""
    own = [note for note in vars(error).get("__notes__", ()) if not str(note).startswith(_NEXT)]
    if error.hint is not None:
        own.insert(0, _NEXT + error.hint)
    error.__notes__ = own


def _lines(details: object) -> tuple[str, ...]:
    """Return lines in whatever form a program gave them: no error ends in another one."""
    lines = details if isinstance(details, tuple | list) else () if details is None else (details,)
    return tuple(map(str, lines))


def _rebuilt(kind: type[E], args: tuple[object, ...], members: dict[str, object]) -> E:
    error = kind.__new__(kind, *args)
    vars(error).update(members)
    return error


class ConfigurationError(BannoCredsError):
    """A setting or an endpoint is invalid, or contradicts another."""

    exit_code = 2


class OutputError(ConfigurationError):
    """The result could not be written where it was asked for."""


class KeyLoadError(BannoCredsError):
    """The private key cannot be read, its holder does not find it, or the provider does not take its type."""

    exit_code = 3


class PassphraseError(KeyLoadError):
    """The private key is encrypted or wants a PIN, and the passphrase or PIN is missing or wrong."""


class SigningError(BannoCredsError):
    """The key's holder does not sign, or a signature does not verify with the key's own public half."""

    exit_code = 3


class RefusedError(BannoCredsError):
    """The server understood the request and refused it (RFC 6749 section 5.2).

    Args:
        message: see `BannoCredsError`.
        error: the OAuth error code, such as ``invalid_client``; None where the answer named none.
        status: the HTTP status.
        description: the server's words beside the code, such as ``error_description``; they are in the message or the
            details too.
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
        description: str = "",
        hint: str | None = None,
        details: tuple[str, ...] = (),
        rule: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, details=details, rule=rule)
        self.error = error
        self.status = status
        self.description = description

    def without(self, secrets: Iterable[Secret]) -> Self:
        """Leave out the error code too, where it is the echo; see `BannoCredsError.without`."""
        secrets = tuple(secrets)
        other = super().without(secrets)
        other.description = without(other.description, secrets)
        if other.error is not None and (left := without(other.error, secrets)) != other.error:
            other.error, other.rule = left, None
        return other


class NotAskedError(BannoCredsError):
    """The server was not asked: it had refused too many requests in a row, and banks block addresses that fail."""

    exit_code = 4


class NetworkError(BannoCredsError):
    """No usable answer came from the server.

    Args:
        message: see `BannoCredsError`.
        retryable: whether the same request may succeed a moment later.
        retry_after: how many seconds the server asked to wait, if it did.
        hint: see `BannoCredsError`.
        details: see `BannoCredsError`.
        rule: see `BannoCredsError`.

    Attributes:
        sent: whether the server may have received the request: then nothing that is good only once is sent again.
        on_closed_connection: whether the server closed a kept connection without a word to the request on it: another
            one, on a new connection, is no further attempt.
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
        self.on_closed_connection = False


class TimedOutError(NetworkError):
    """No answer, or no whole answer, within the time allowed."""


class UntrustedServerError(NetworkError):
    """The server's certificate could not be trusted, or TLS could not be agreed on."""


class UnavailableError(NetworkError):
    """The server said 429 or 5xx: it cannot answer now."""


class UnusableAnswerError(NetworkError):
    """An unusable answer: HTML, a redirect, broken or missing JSON."""


def no_thread() -> NetworkError:
    """Return the error for a system that starts no further thread for this user; nothing was sent."""
    error = NetworkError(
        "the system starts no further thread for this user",
        hint="end some of the user's programs"
        + ("" if sys.platform == "win32" else ", or raise the limit: ulimit -u, or a container's limit of processes"),
    )
    error.sent = False
    return error


class TokenError(BannoCredsError):
    """A token is malformed, expired or not verified."""

    exit_code = 6


class CommandNotExecutableError(BannoCredsError):
    """The command of `exec` exists and cannot be run; the exit code is a shell's."""

    exit_code = 126


class CommandNotFoundError(BannoCredsError):
    """The command of `exec` does not exist; the exit code is a shell's."""

    exit_code = 127
