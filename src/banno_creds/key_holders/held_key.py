"""Open a key that is held elsewhere, and sign with it."""

from __future__ import annotations

import signal
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

from cryptography.hazmat.primitives import serialization

from banno_creds import streams
from banno_creds.config import ALGORITHMS
from banno_creds.errors import BannoCredsError, KeyLoadError, SigningError
from banno_creds.jose.keys import accepted
from banno_creds.key_holders.place import scheme_of
from banno_creds.key_holders.wrong_signature import explain, verifies
from banno_creds.key_uri import KEY_SCHEMES, SIGNERS, check_key_uri, plugged_in
from banno_creds.secrecy import Secret, harmless, without
from banno_creds.text import printable
from banno_creds.threads import no_fork
from banno_creds.times import LAST_INSTANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from importlib.metadata import EntryPoint

    from banno_creds.jose.keys import Passphrase, PublicKey
    from banno_creds.key_holders.protocol import MakeKey, OpenKey, SigningKey

_FITTING = {"RSA": ("PS256", "RS256"), "EC": ("ES256",)}
_MOST_CHARACTERS = 300
_MOST_ALGORITHMS = 50
_MOST_PAIRS = 20
_MOST_READ = 2000  # characters of what a holder tells

importing: Callable[[], AbstractContextManager[object]] = nullcontext
"""Gives what is held while a holder does something for the first time, and may import: see `tokens.token_source`."""
_done: set[tuple[str, object]] = set()


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A private key that its holder keeps; it has what `keys.PrivateKey` tells of a key, and nothing private.

    Attributes:
        origin: its URI, as messages name it.
        public: its public half.
        algorithms: those that its holder signs with and the provider accepts; the first is the default.
        signing_key: the holder's own.
        secrets: the PIN or passphrase that it was opened with, for no message to repeat it.
    """

    origin: str
    public: PublicKey
    algorithms: tuple[str, ...]
    signing_key: SigningKey = field(repr=False)
    secrets: Sequence[Secret] = field(default=(), repr=False, compare=False)

    jwk_alg: ClassVar[None] = None
    limited_by: ClassVar[str] = "its holder does no other"

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """A message and a hint for each thing that its holder warns about."""
        return self._pairs("warnings")

    @property
    def holder(self) -> str:
        """Who signs, in words."""
        holder = self._told("holder")
        if not isinstance(holder, str) or not holder:
            return "its holder"
        return printable(self._without(holder), _MOST_CHARACTERS)

    @property
    def exits(self) -> tuple[tuple[str, str], ...]:
        """A message and a hint for each way in which the private half may leave its holder."""
        return self._pairs("exits")

    @property
    def type(self) -> Literal["RSA", "EC"]:
        """The JWK key type (RFC 7518 section 6.1)."""
        return self.public.type

    @property
    def size(self) -> int:
        """Its size in bits."""
        return self.public.native.key_size

    @property
    def created(self) -> float | None:
        """When it was made, in seconds since the epoch, if its holder tells that."""
        created = self._told("created")
        return float(created) if isinstance(created, int | float) and 0 < created < LAST_INSTANT else None

    @property
    def description(self) -> str:
        """``RSA 2048`` or ``EC P-256``."""
        return self.public.description

    def _told(self, name: str) -> object:
        """Return a member that may be left out; one that fails counts as left out."""
        try:
            return getattr(self.signing_key, name, None)
        except BaseException as failure:  # noqa: BLE001 - another package's code
            _pass_on_the_end(failure)
            return None

    def _pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        found = self._told(name)
        pairs = found[:_MOST_PAIRS] if isinstance(found, tuple | list) else ()
        whole = [each for each in pairs if isinstance(each, tuple | list) and [*map(type, each)] == [str, str]]
        return tuple((self._without(message), self._without(hint)) for message, hint in whole)

    def _without(self, text: str) -> str:
        return without(text[:_MOST_READ], self.secrets)


@dataclass(frozen=True, slots=True)
class HeldSigner:
    """Signs with a held key, and verifies each signature."""

    key: HeldKey
    alg: str

    def sign(self, signing_input: bytes) -> bytes:
        """Have the JWS Signing Input signed, and verify the signature with the key's public half.

        Raises:
            SigningError: the holder did not sign, or its signature is not what JWS wants; the message says which.
        """
        with _calling(self.key.origin, SigningError, self.key.secrets):
            signature = self.key.signing_key.sign(self.alg, signing_input)
        if not isinstance(signature, bytes):
            raise SigningError(
                f"the holder of {self.key.origin} returned {type(signature).__name__} and no signature",
                hint="update the package that speaks to it",
            )
        native = self.key.public.native
        with no_fork():
            if not verifies(native, self.alg, signing_input, signature):
                raise explain(native, self.alg, signing_input, signature, self.key.origin)
        return signature


def open_key(uri: str, passphrase: Passphrase, timeout: float) -> HeldKey:
    """Find the key of a URI at its holder.

    Args:
        uri: the key's URI.
        passphrase: called for the PIN, if the holder wants one.
        timeout: the seconds that each request to the holder may take.

    Raises:
        KeyLoadError: there is no such key, its holder cannot be reached, or the provider does not accept its type.
        PassphraseError: the PIN is missing or wrong.
    """
    secrets: list[Secret] = []
    try:
        with _calling(uri, KeyLoadError, secrets):
            found = _opener(uri)(uri, passphrase=_noting(passphrase, uri, secrets), timeout=timeout)
            spki, offered = found.public_key, tuple(islice(found.algorithms, _MOST_ALGORITHMS))
            public = _accepted(spki, uri)
    except KeyLoadError as failure:
        scheme = scheme_of(uri)
        others = map(_package, plugged_in(scheme)) if scheme in KEY_SCHEMES else ()
        more = [f"{each} opens keys of {scheme}: too, and is not used" for each in others]
        raise failure.but(more=more) from failure.__cause__
    algorithms = tuple(alg for alg in offered if alg in _FITTING[public.type])
    if not algorithms:
        raise KeyLoadError(
            f"the holder of {uri} signs with this {public.description} key by none of {', '.join(ALGORITHMS)}",
            hint="allow one of them for the key, or use another key: " + " or ".join(_FITTING[public.type]),
        )
    return HeldKey(uri, public, algorithms, found, secrets)


def make_key(uri: str, name: str, passphrase: Passphrase, timeout: float) -> str:
    """Have the holder of a key make a new one of its type and size, and return the new key's URI.

    Args:
        uri: the old key's URI.
        name: the new key's name; a key that has it already is returned.
        passphrase: called for the PIN, if the holder wants one.
        timeout: the seconds that each request to the holder may take.

    Raises:
        KeyLoadError: the holder cannot make one, or does not let this client make one.
        PassphraseError: the PIN is missing or wrong.
    """
    secrets: list[Secret] = []
    with _calling(uri, KeyLoadError, secrets):
        maker: MakeKey | None = getattr(import_module(_opener(uri).__module__), "make_key", None)
        if maker is None:
            raise KeyLoadError(
                f"no key can be made from here at the holder of {uri}", hint="make one with the holder's own program"
            )
        made = maker(uri, name=name, passphrase=_noting(passphrase, uri, secrets), timeout=timeout)
        check_key_uri(made)
        if without(made, secrets) != made:  # it would be in the profile, and in the journal of the rotation
            raise KeyLoadError(
                f"the holder of {uri} made a key, and its URI repeats the passphrase (not shown)",
                hint="make one with the holder's own program; and update the package that speaks to it",
            )
        return made


def _noting(passphrase: Passphrase, uri: str, secrets: list[Secret]) -> Passphrase:
    """Return the function for a holder that asks for the PIN, and notes it: no message may repeat it."""

    def ask() -> bytes | None:
        secret = passphrase()
        if secret:
            secrets.append(Secret(secret.decode("utf-8", "replace"), "the passphrase", (uri,)))
        return secret

    return ask


def _opener(uri: str) -> OpenKey:
    """Return the function that opens the keys of a URI's scheme."""
    scheme = scheme_of(uri)
    if scheme in KEY_SCHEMES:
        module = import_module(f"banno_creds.key_holders.{scheme.replace('-', '_')}")
        opener: OpenKey = module.open_key
        return opener
    found = plugged_in(scheme)
    if not found:
        raise KeyLoadError(
            f"no package here opens keys of {scheme}:",
            hint=f"install one that has the entry point {SIGNERS}: {scheme}",
        )
    if len(found) > 1:
        names = ", ".join(sorted(map(_package, found)))
        raise KeyLoadError(
            f"several packages open keys of {scheme}: {names}", hint="uninstall all but the one you trust"
        )
    return _loaded(found[0], scheme)


def _loaded(entry: EntryPoint, scheme: str) -> OpenKey:
    """Import another package's function."""
    streams.make_whole()  # it may need what the command line does without
    try:
        function = entry.load()
    except BaseException as failure:
        _pass_on_the_end(failure)
        raise KeyLoadError(
            f"{_package(entry)}, which opens keys of {scheme}:, cannot be loaded: {_words_of(failure)}",
            hint="install it again, with what it needs, into the same Python as banno-creds",
        ) from failure
    if not callable(function):
        raise KeyLoadError(
            f"{_package(entry)} opens no keys of {scheme}: its {entry.value} is no function",
            hint=f"have its entry point of {SIGNERS} name a function such as open_key",
        )
    opener: OpenKey = function
    return opener


def _package(entry: EntryPoint) -> str:
    """Name the package that an entry point is from."""
    return printable(entry.value if entry.dist is None else f"{entry.dist.name} {entry.dist.version}", 100)


def _accepted(spki: bytes, origin: str) -> PublicKey:
    """Return the public key if the provider accepts its type and size."""
    if not isinstance(spki, bytes):
        raise KeyLoadError(
            f"the holder of {origin} gives {type(spki).__name__} as the public key, and no bytes",
            hint="update the package that speaks to it",
        )
    load = (
        serialization.load_pem_public_key
        if spki.lstrip().startswith(b"-----BEGIN")
        else serialization.load_der_public_key
    )
    with no_fork():
        native = load(spki)
    try:
        return accepted(native, origin)
    except KeyLoadError as failure:
        raise failure.but(hint=_ANOTHER) from None


_ANOTHER = "name another key of this holder, or have it make one: RSA of 2048 bits or more, or EC P-256"


@contextmanager
def _calling(origin: str, kind: Callable[..., BannoCredsError], secrets: Sequence[Secret]) -> Iterator[None]:
    """Keep what a holder's code prints away from results, and turn its errors into ours, without secrets."""
    try:
        with _first_time(scheme_of(origin), kind), streams.prints_nothing():
            yield
    except MemoryError:
        raise
    except BannoCredsError as failure:
        raise failure.without(secrets) from harmless(failure.__cause__, secrets)
    except BaseException as failure:  # noqa: BLE001 - `harmless` may leave it out as the cause
        _pass_on_the_end(failure)
        words = _words_of(failure)
        said = printable(_said_by(failure))  # more of it than is shown: the cut may be in the middle of a secret
        if without(said, secrets) != said:
            words = f"{type(failure).__name__} (its words repeat the passphrase, and are left out)"
        raise kind(
            f"the holder of {origin} failed: {words}",
            hint="look at its own log; BANNO_CREDS_DEBUG=1 shows where it failed",
        ) from harmless(failure, secrets)


@contextmanager
def _first_time(scheme: str, kind: object) -> Iterator[None]:
    if (scheme, kind) in _done:
        yield
        return
    with importing():
        yield
    _done.add((scheme, kind))


def _pass_on_the_end(failure: BaseException) -> None:
    """Let through what ends the program or a task of it, such as SIGTERM, which the command line turns into an exit.

    A package's own exit is its fault, and so is a panic of one in Rust, whose exception is no `Exception`.
    """
    is_exit = isinstance(failure, SystemExit) and failure.code != 128 + signal.SIGTERM
    if not (is_exit or isinstance(failure, Exception) or type(failure).__module__ == "pyo3_runtime"):
        raise failure


def _words_of(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {printable(_said_by(failure), _MOST_CHARACTERS) or 'no words'}"


def _said_by(failure: BaseException) -> str:
    """Return what an exception of another package says, which may fail in its turn."""
    try:
        return str(failure)
    except Exception:  # noqa: BLE001
        return ""
