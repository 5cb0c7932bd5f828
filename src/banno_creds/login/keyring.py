"""The operating system's keyring, where the refresh token rests if the package keyring is installed and finds one."""

from __future__ import annotations

from typing import Any

from banno_creds.child import SecretsPutAway
from banno_creds.secrecy import without
from banno_creds.text import printable

SERVICE = "banno-creds"
"""The name under which the keyring shows our entries."""

# The package keyring recommends this. Backends below it keep nothing, or keep it in clear.
_LEAST_PRIORITY = 1


class KeyringError(Exception):
    """There is no keyring, or it fails; the message says why."""


class Keyring:
    """A keyring that was found.

    Each backend fails with exceptions of its own, so each call turns any exception into a `KeyringError`. Some start
    programs.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.name = printable(getattr(backend, "name", type(backend).__name__), 80)

    def read(self, entry: str) -> str:
        """Return the secret of an entry."""
        try:
            with SecretsPutAway():
                secret = self._backend.get_password(SERVICE, entry)
        except Exception as failure:  # noqa: BLE001
            raise _error(failure) from None
        if not secret:
            raise KeyringError("it has no such entry any more")
        return str(secret)

    def keep(self, entry: str, secret: str) -> None:
        """Keep a secret, and read it again: some backends only seem to keep it."""
        try:
            with SecretsPutAway():
                self._backend.set_password(SERVICE, entry, secret)
                kept = self._backend.get_password(SERVICE, entry)
        except Exception as failure:  # noqa: BLE001
            raise _error(failure, secret) from None
        if kept != secret:
            raise KeyringError("it does not give it back")

    def remove(self, entry: str) -> None:
        """Remove an entry; it is an error if there is none."""
        try:
            with SecretsPutAway():
                self._backend.delete_password(SERVICE, entry)
        except Exception as failure:  # noqa: BLE001
            raise _error(failure) from None


def find_keyring() -> Keyring:
    """Return the operating system's keyring; KeyringError if there is no reliable one."""
    try:
        with SecretsPutAway():
            import keyring

            backend = keyring.get_keyring()
            if backend.priority >= _LEAST_PRIORITY:
                return Keyring(backend)
    except Exception:  # noqa: BLE001, S110 - not installed, or a backend without a priority
        pass
    raise KeyringError("the package keyring is not installed, or finds no keyring")


def _error(failure: Exception, secret: str = "") -> KeyringError:
    words = without(printable(failure, 200), [(secret, "the token")])
    return KeyringError(words or type(failure).__name__)
