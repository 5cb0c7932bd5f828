"""What a holder of private keys has to offer; docs/keys.md has a worked example.

A package adds a holder by an entry point of the group ``banno_creds.signers``. Its name is the scheme of the URIs, in
lower case, and it leads to a function such as `OpenKey`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class SigningKey(Protocol):
    """A private key that is held elsewhere, and signs there.

    It may have more members. Two are sequences of pairs of a message and a hint: ``warnings``, which each use shows,
    such as for a file that others can read; and ``exits``, ways in which the private half may leave its holder, of
    which the doctor tells. ``holder`` is who signs, in words for the doctor; ``created`` is when the key was made, in
    seconds since the epoch, or None.
    """

    @property
    def public_key(self) -> bytes:
        """The public half: a SubjectPublicKeyInfo (RFC 5280 section 4.1) in DER or PEM."""

    @property
    def algorithms(self) -> Sequence[str]:
        """Those of PS256, RS256 and ES256 (RFC 7518 section 3.1) that it can sign with, the best first."""

    def sign(self, alg: str, signing_input: bytes) -> bytes:
        """Sign the JWS Signing Input, which is not hashed yet.

        Args:
            alg: one of ``algorithms``. The salt of PS256 has 32 bytes.
            signing_input: at most a few KiB.

        Returns:
            The signature as JWS has it: of ES256 the 64 bytes of r and s (RFC 7518 section 3.4).

        Raises:
            SigningError: the holder did not sign; any other error is shown as one, too.
        """


class OpenKey(Protocol):
    """Opens a key: the function that an entry point leads to."""

    def __call__(self, uri: str, *, passphrase: Callable[[], bytes | None], timeout: float) -> SigningKey:
        """Find the key of a URI, and return it.

        Args:
            uri: the whole URI, its scheme included.
            passphrase: called for the PIN or passphrase if the holder wants one, once at the most; None if there is
                none.
            timeout: the seconds that each request to the holder may take.

        Raises:
            KeyLoadError: there is no such key, or it cannot be used; with a hint that says what to do.
            PassphraseError: the PIN is missing or wrong.
        """


class MakeKey(Protocol):
    """Makes a key: a function ``make_key`` beside ``open_key``, in the modules of holders that can make one."""

    def __call__(self, uri: str, *, name: str, passphrase: Callable[[], bytes | None], timeout: float) -> str:
        """Make a new key beside that of a URI: of its type and size, at the same holder; the old one stays as it is.

        Args:
            uri: the old key's URI.
            name: the new key's name.
            passphrase: as for `OpenKey`.
            timeout: as for `OpenKey`.

        Returns:
            The new key's URI. If a key of this name is there already, its URI is returned and nothing is made: the
            caller was cut off.

        Raises:
            KeyLoadError: the holder cannot make one, or does not let this client make one.
        """
