"""The one place that meets what libraries raise while they read a key.

They raise much besides ValueError: ``x509.InvalidVersion`` and ``UnsupportedAlgorithm`` are plain exceptions, and a
panic in Rust is a BaseException. To a user all of it is one thing: this key cannot be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm

from banno_creds.threads import no_fork

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_LIBRARIES = {"cryptography", "jwt", "joserfc", "pyo3_runtime"}
_FAULTS_OF_DATA = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


class UnreadableError(ValueError):
    """A library could not read it; ``cause`` is what the library raised."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause

    @property
    def unknown(self) -> bool:
        """Whether the library knows no such algorithm."""
        return isinstance(self.cause, UnsupportedAlgorithm)


def read_by(load: Callable[[], T]) -> T:
    """Let a library read a key, and return what it reads.

    Raises:
        UnreadableError: it could not read it, for any reason. An exception that is not about the data passes, such as
            one from a signal's handler.
    """
    try:
        with no_fork():
            return load()
    except BaseException as failure:
        library = type(failure).__module__.partition(".")[0]
        if not isinstance(failure, _FAULTS_OF_DATA) and library not in _LIBRARIES:
            raise
        raise UnreadableError(failure) from None
