"""The operating system's keyring, where the refresh token rests if the package keyring is installed and finds one.

A keyring that is locked asks somebody, and one whose service hangs never answers: each use has a bound.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from banno_creds.child import SecretsPutAway
from banno_creds.secrecy import Secret, without
from banno_creds.steps import awaiting
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.steps import Run

T = TypeVar("T")


def service(entry: str) -> str:
    """Return the name under which the keyring shows an entry.

    On Windows each has a name of its own: of two processes that keep entries of one name at a time, the package
    keyring lets one overwrite the other's.
    """
    return f"banno-creds {entry}" if sys.platform == "win32" else "banno-creds"


# The package keyring recommends this. Backends below it keep nothing, or keep it in clear.
_LEAST_PRIORITY = 1

_SILENT_SECONDS = 2.0
_MOST_SECONDS = 30.0
_SLICE_SECONDS = 0.2  # Windows notices Ctrl-C only between two waits
_LATE = threading.Event()  # set once it did not answer: it is not waited for a second time in this process


class KeyringError(Exception):
    """There is no keyring, or it fails; the message says why."""


class TooLongError(KeyringError):
    """The keyring takes no secret of this length."""


class Keyring:
    """A keyring that was found.

    Each backend fails with exceptions of its own, so each call turns any exception into a `KeyringError`. Some start
    programs.
    """

    def __init__(self, backend: Any, run: Run) -> None:
        self._backend = backend
        self._run = run
        self.name = printable(getattr(backend, "name", type(backend).__name__), 80)

    def read(self, entry: str) -> str:
        """Return the secret of an entry."""
        secret = _bounded(lambda: self._backend.get_password(service(entry), entry), self._run)
        if not secret:
            raise KeyringError("it has no such entry any more")
        return str(secret)

    def keep(self, entry: str, secret: str) -> None:
        """Keep a secret, and read it again: some backends only seem to keep it."""

        def act() -> Any:
            self._backend.set_password(service(entry), entry, secret)
            return self._backend.get_password(service(entry), entry)

        if _bounded(act, self._run, secret) != secret:
            raise KeyringError("it does not give it back")

    def remove(self, entry: str) -> None:
        """Remove an entry; it is an error if there is none."""
        _bounded(lambda: self._backend.delete_password(service(entry), entry), self._run)


class LateError(KeyringError):
    """The keyring did not answer in time."""


def find_keyring(run: Run) -> Keyring:
    """Return the operating system's keyring; KeyringError if there is no reliable one."""

    def find() -> Any:
        import keyring

        backend = keyring.get_keyring()
        return backend if backend.priority >= _LEAST_PRIORITY else None

    try:
        backend = _bounded(find, run)
    except LateError:
        raise
    except KeyringError:  # not installed, or a backend without a priority
        backend = None
    if backend is None:
        raise KeyringError("the package keyring is not installed, or finds no keyring")
    return Keyring(backend, run)


def _bounded(act: Callable[[], T], run: Run, secret: str = "") -> T:
    """Do something with the keyring, in a thread, and wait for it with a bound and with a word.

    What is given up goes on in its thread: a token that it keeps late rests in the file too, and the next one's
    keeping removes it.
    """
    if _LATE.is_set():
        raise LateError(f"it did not answer within {_MOST_SECONDS:g} s")
    done = threading.Event()
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(act())
        except BaseException as failure:  # noqa: BLE001 - told below
            failures.append(failure)
        done.set()

    with SecretsPutAway():
        try:
            threading.Thread(target=work, name="banno-creds keyring", daemon=True).start()
        except RuntimeError:  # the system starts no thread: nobody bounds it then
            work()
        _wait(done, run)
    for failure in failures:
        if not isinstance(failure, Exception):
            raise failure
        # Each backend has exceptions of its own.
        number = getattr(failure, "winerror", None)
        if number == _TOO_LONG and secret:
            raise TooLongError(f"{len(secret)} characters are too long for it")
        words = without(printable(failure, 200), [Secret(secret, "the token")])
        raise KeyringError(_WINDOWS_WORDS.get(number) or words or type(failure).__name__)
    return results[0]


# Windows' Credential Manager takes 2,560 bytes (CRED_MAX_CREDENTIAL_BLOB_SIZE), which are 1,280 characters for the
# package keyring. Of more, and of nothing else that we send, it says "The stub received bad data".
_TOO_LONG = 1783  # RPC_X_BAD_STUB_DATA
_WINDOWS_WORDS: dict[Any, str] = {  # of the others that people meet; Windows says them in its user's language
    5: "Windows does not allow it",
    1312: "there is none in this kind of logon session, such as a service's or one over the network",
}


def _wait(done: threading.Event, run: Run) -> None:
    began = time.monotonic()
    if _is_set(done, began + _SILENT_SECONDS):
        return
    run.warn(f"waiting for the keyring, at most {_MOST_SECONDS:g} s", "does it ask to be unlocked?")
    with awaiting("the keyring"):
        if _is_set(done, began + _MOST_SECONDS):
            return
    _LATE.set()
    raise LateError(f"it did not answer within {_MOST_SECONDS:g} s")


def _is_set(done: threading.Event, end: float) -> bool:
    """Wait until something is done or the time is over."""
    while (left := end - time.monotonic()) > 0:
        if done.wait(min(left, _SLICE_SECONDS)):
            return True
    return done.is_set()
