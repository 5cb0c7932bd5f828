"""From the place of a private key to its signer: read from a file, or held elsewhere (`key_holders`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from banno_creds.checks import check_type
from banno_creds.config import DEFAULT_TIMEOUT
from banno_creds.errors import KeyLoadError
from banno_creds.steps import KeyLoaded, Run

if TYPE_CHECKING:
    from banno_creds.client_authentication.signer import KeySigner
    from banno_creds.config import ClientConfig, KeySource
    from banno_creds.jose.keys import Passphrase, PrivateKey
    from banno_creds.key_holders.held_key import HeldKey, HeldSigner

    Signer = KeySigner | HeldSigner


class KeyRead(NamedTuple):
    """The bytes of a private key, and a message and a hint for each warning about its file.

    Of a key that is held elsewhere, the bytes name the key and its holder.
    """

    content: bytes
    warnings: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return "KeyRead()"


def load_signer(config: ClientConfig, run: Run = Run(), read: KeyRead | None = None) -> Signer:
    """Read the private key, choose the algorithm it signs with, and return the signer.

    Args:
        config: where the key is, and the algorithm asked for.
        run: how the run goes.
        read: the key's bytes, if they were read before.

    Raises:
        KeyLoadError: the key cannot be read or used.
        ConfigurationError: ``alg`` does not fit the key.
    """
    key = load_key(config.private_key, config.passphrase, run, read, timeout=config.timeout)
    signer = signer_of(key, config.alg)
    if config.key_max_age is not None:
        from banno_creds.client_authentication.key_age import warn_of_age

        warn_of_age(config, config.key_max_age, key, run)
    run.emit(KeyLoaded(key.origin, key.description, signer.alg, key.public.fingerprint()))
    return signer


def signer_of(key: PrivateKey | HeldKey, alg: str | None) -> Signer:
    """Return the signer for a key; the algorithm must fit the key."""
    from banno_creds.client_authentication.signer import KeySigner, choose_alg
    from banno_creds.jose.keys import PrivateKey

    chosen = choose_alg(key, alg)
    if isinstance(key, PrivateKey):
        return KeySigner(key, chosen)
    from banno_creds.key_holders.held_key import HeldSigner

    return HeldSigner(key, chosen)


def load_key(
    source: KeySource,
    passphrase: Passphrase,
    run: Run = Run(),
    read: KeyRead | None = None,
    *,
    thorough: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
) -> PrivateKey | HeldKey:
    """Return a private key from where it is; see `keys.load_private_key` and `held_key.open_key`.

    Args:
        source: where the key is.
        passphrase: called if the key is encrypted, or its holder wants a PIN.
        run: gets a warning if others can read the key's file, or that of a holder's token.
        read: the key's bytes, if they were read before.
        thorough: whether to check an RSA key's primes.
        timeout: the seconds that each request to a key's holder may take.

    Raises:
        KeyLoadError: it cannot be read or used.
    """
    raised: list[Exception] = []

    def ask() -> bytes | None:
        try:
            secret = passphrase()
        except Exception as failure:
            raised.append(failure)
            raise
        check_type("passphrase", secret, bytes, None, hint="let the function return bytes, such as text.encode()")
        return secret

    key: PrivateKey | HeldKey
    warnings: tuple[tuple[str, str], ...] = ()
    try:
        if source.uri is not None:
            from banno_creds.key_holders.held_key import open_key

            key = held = open_key(source.uri, ask, timeout)
            warnings = held.warnings
        else:
            from banno_creds.jose.keys import load_private_key

            content, warnings = read or read_key(source)
            key = load_private_key(content, source.origin, ask, thorough=thorough)
    except KeyLoadError:
        if raised:  # what a program's own function raises is not the key's fault, even if it is a ValueError
            raise raised[0] from None
        raise
    # Only after the key was read: if another file was named by mistake, nobody should change its mode.
    for message, hint in warnings:
        run.warn(message, hint)
    return key


def read_key(source: KeySource) -> KeyRead:
    """Read the bytes of a private key, and the warnings about its file; KeyLoadError if it cannot be read."""
    if source.uri is not None:
        from banno_creds.key_holders.place import name_of

        return KeyRead(name_of(source.uri))
    from banno_creds.storage.secret_files import read_private_file

    if source.path is None:
        return KeyRead(source.content or b"")
    file = read_private_file(source.path, allow_writable=source.allow_writable)
    return KeyRead(file.content, file.warnings)
