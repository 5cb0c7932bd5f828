"""From the place of a private key to its signer: read from a file, or held elsewhere (`key_holders`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from banno_creds.config import DEFAULT_TIMEOUT, check_type
from banno_creds.errors import KeyLoadError
from banno_creds.steps import KeyLoaded, Run
from banno_creds.text import setting

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


_EARLIEST = 946_684_800  # the year 2000: archives, images and stores that can be made again set files to 1970 or 1980


class Since(NamedTuple):
    """An instant, in seconds since the epoch, at which a key was there already; it may be older.

    ``source`` says what tells it: ``file`` is the last change of its file, ``certificate`` the beginning of its
    certificate's validity, ``holder`` what its holder says, and ``rotation`` what was noted when it was rotated.
    """

    at: float
    source: Literal["file", "certificate", "holder", "rotation"]

    def or_since(self, other: Since | None) -> Since:
        """Return the earlier one of two."""
        return other if other is not None and _EARLIEST <= other.at < self.at else self

    def age(self, now: float) -> float | None:
        """Return the key's age in seconds; None if the instant can be none of a key's."""
        return now - self.at if _EARLIEST <= self.at <= now else None

    def told(self, now: float) -> str:
        """Return the key's age in words."""
        from banno_creds.times import duration, utc

        by = {
            "file": "by the time of its file",
            "certificate": "by its certificate's notBefore",
            "holder": "as its holder says",
            "rotation": "by the journal of rotations",
        }[self.source]
        age = self.age(now)
        if age is None:
            return f"not known: {by}, {utc(self.at)}, " + (
                "which lies ahead" if self.at > now else "which is no key's"
            )
        more = "" if self.source == "holder" else " or more"
        return f"{duration(age)}{more}, {by} ({utc(self.at)[:10]})"


def since_when(source: KeySource, key: PrivateKey | HeldKey | None = None) -> Since | None:
    """Return when a key was there already; None if that is not known."""
    created = None if key is None else getattr(key, "created", None)
    if created is not None:
        return Since(created, "holder")
    if source.path is None:
        return None
    import stat

    try:
        status = source.path.stat()
    except (OSError, ValueError):
        return None
    return Since(status.st_mtime, "file") if stat.S_ISREG(status.st_mode) else None


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
        _warn_of_age(config, config.key_max_age, key, run)
    run.emit(KeyLoaded(key.origin, key.description, signer.alg, key.public.fingerprint()))
    return signer


def _warn_of_age(config: ClientConfig, limit: str, key: PrivateKey | HeldKey, run: Run) -> None:
    from banno_creds.config import check_duration

    since, now = since_when(config.private_key, key), run.clock()
    age = None if since is None else since.age(now)
    if since is not None and age is not None and age > check_duration("key_max_age", limit):
        message = f"the private key {key.origin} is older than {limit} ({setting('key_max_age')}): {since.told(now)}"
        run.warn(message, "plan a new key: banno-creds explain key.age")


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
