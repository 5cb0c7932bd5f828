"""PKCS #11 modules and their tokens: a module is loaded once, and a token has one session, in each process.

python-pkcs11 initialises a module for one thread at a time, so everything here happens behind the module's lock.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event, RLock, Thread
from typing import TYPE_CHECKING, TypeVar, cast

import pkcs11
from pkcs11 import Attribute, PKCS11Error, TokenFlag
from pkcs11.attributes import AttributeMapper

from banno_creds.config import PIN_VARIABLE, TypedSecret
from banno_creds.errors import ConfigurationError, KeyLoadError, PassphraseError
from banno_creds.shells import join
from banno_creds.storage.own_files import MODES_MEAN_SOMETHING
from banno_creds.text import printable, quoted, setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkcs11._pkcs11 import lib

    from banno_creds.jose.keys import Passphrase
    from banno_creds.key_holders.pkcs11_uri import KeyUri

    T = TypeVar("T")
    Name = tuple[object, ...]

# What is said when a session, its token or its objects are no longer there: a new session may do. A wrong PIN leads
# to none of these.
_GONE = (
    *(pkcs11.SessionHandleInvalid, pkcs11.SessionClosed, pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised),
    *(pkcs11.DeviceRemoved, pkcs11.SlotIDInvalid),
)
ENDED = (
    *(*_GONE, pkcs11.UserNotLoggedIn, pkcs11.OperationActive),
    *(pkcs11.KeyHandleInvalid, pkcs11.ObjectHandleInvalid),
)
# After one of these a module may say it for ever, until it is initialised again.
BROKEN = (pkcs11.DeviceError, pkcs11.GeneralError, pkcs11.FunctionFailed)
_WRONG_PIN = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange)
_TRIED_WRONGLY = TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.USER_PIN_FINAL_TRY
_MOST_NAMED = 6
_UNLOCK = "have its security officer (SO) set a new PIN: pkcs11-tool --init-pin, or the tool of the token's maker"


class NotAnsweringError(Exception):
    """A module did not come back within the time allowed."""


def words_of(failure: Exception) -> str:
    """Return what a module said; python-pkcs11 has a class for each code, and seldom words."""
    return printable(": ".join(filter(None, (type(failure).__name__, str(failure)))), 200)


class Module:
    """A PKCS #11 module, with the sessions of its tokens; `module_at` returns the one of a path.

    Attributes:
        path: its file.
        lock: held by whoever uses it, also while a person types the PIN.
        sessions: one for each token; logged in, where the token wants that.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = RLock()
        self.sessions: dict[Name, pkcs11.Session] = {}
        self._library: lib | None = None
        self._parents: lib | None = None  # kept: without it, the module would be unloaded
        self._ended = False
        self._works: SimpleQueue[_Call] | None = None
        self._last: _Call | None = None

    def __str__(self) -> str:
        library = self._library
        words = library and "({} {}.{})".format(library.manufacturer_id, *library.library_version)
        return printable(f"{self.path} {words or ''}", 200)

    def run(self, work: Callable[[], T], timeout: float | None) -> T:
        """Do something with the module, in the thread that it has: one that hangs in C would keep Ctrl-C waiting.

        A thread for each call would not do. OpenSSL, which modules use, cleans up when a thread ends, behind a lock:
        a process that is forked at that moment has this lock held for ever.

        Raises:
            NotAnsweringError: it takes longer than ``timeout``, or what was begun before still does.
        """
        if self._last is not None and not self._last.done.wait(timeout):
            raise NotAnsweringError  # and it is not begun later, when nobody waits for it
        if self._works is None:
            self._works = SimpleQueue()
            Thread(target=_serve, args=(self._works,), name="banno-creds PKCS #11", daemon=True).start()
        call = _Call(work)
        self._works.put(call)
        self._last = call
        if not call.done.wait(timeout):
            raise NotAnsweringError
        if call.failure is not None:
            raise call.failure
        return cast("T", call.result)

    def library(self) -> lib:
        """Load the module, or initialise it again in a process that was forked (PKCS #11 section 5.4).

        Raises:
            KeyLoadError: it cannot be loaded.
        """
        if self._library is None:
            self._library = self._loaded()
        elif self._ended:
            self._library = self._initialised_again(self._library)
        self._ended = False
        return self._library

    def _loaded(self) -> lib:
        with suppress(OSError):
            if MODES_MEAN_SOMETHING and Path(self.path).stat().st_mode & stat.S_IWOTH:
                raise KeyLoadError(
                    f"everybody can write the PKCS #11 module {printable(self.path, 200)}, which is told the PIN",
                    hint=f"install it again if it may have been changed; then: {join(['chmod', 'o-w', self.path])}",
                )
        try:
            return pkcs11.lib(self.path)
        except (PKCS11Error, OSError) as failure:
            words = str(failure)
            name = printable(self.path, 200)
            if not os.path.exists(self.path):  # noqa: PTH110 - it never raises
                raise KeyLoadError(
                    f"the PKCS #11 module {name} does not exist", hint="correct its path, or install it"
                ) from failure
            if "ELF class" in words or "architecture" in words or "Win32" in words or "error code 193" in words:
                raise KeyLoadError(
                    f"the PKCS #11 module {name} is for another processor or word size than this Python",
                    hint="install the one for this machine, or a Python that fits it",
                    details=(printable(words, 300),),
                ) from failure
            if isinstance(failure, PKCS11Error) and "loading" not in words:
                raise KeyLoadError(
                    f"the PKCS #11 module {name} does not start: {words_of(failure)}",
                    hint="look at its own settings and log; BANNO_CREDS_DEBUG=1 shows where it failed",
                ) from failure
            raise KeyLoadError(
                f"the file {name} cannot be loaded as a PKCS #11 module",
                hint="name the library that the maker of the token calls its PKCS #11 module",
                details=(printable(words, 300),),
            ) from failure

    def _initialised_again(self, before: lib) -> lib:
        """Initialise the module once more; in a child process, whose parent goes on with what both share."""
        if self._parents is before:
            from pkcs11 import _pkcs11

            # A module that knows of forks begins anew, and leaves the parent's connections alone.
            with suppress(PKCS11Error):  # it is initialised already: it does not know
                pkcs11._loaded[self.path] = own = _pkcs11.lib(self.path)  # noqa: SLF001 - else the program would get the parent's
                return own
        with suppress(PKCS11Error):
            before.finalize()
        before.initialize()
        return before

    def forget(self, name: Name | None) -> None:
        """Close the session of a token; called in the thread that `run` starts."""
        session = self.sessions.pop(name, None) if name is not None else None
        if session is not None:
            with suppress(PKCS11Error):
                session.close()

    def begin_anew(self) -> None:
        """Initialise the module again at its next use: it, or this process, began anew."""
        self.sessions.clear()
        self._ended = True

    def forked(self) -> None:
        """Forget what the parent's threads hold, which are not in this process."""
        self.lock, self._works, self._last, self._parents = RLock(), None, None, self._library
        self.begin_anew()


class _Call:
    """Something to do with a module, and what came of it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.done = Event()
        self.result: object = None
        self.failure: BaseException | None = None


def _serve(works: SimpleQueue[_Call]) -> None:
    while True:
        call = works.get()
        try:
            call.result = call.work()
        except BaseException as failure:  # noqa: BLE001 - it is raised where it is waited for
            call.failure = failure
        call.done.set()
        del call  # its work may have a PIN in it


_modules: dict[str, Module] = {}


def module_at(path: str) -> Module:
    """Return the module of a path; nothing is loaded yet."""
    return _modules.setdefault(path, Module(path))  # one step, whatever other threads do


def _before_fork() -> None:
    # Not in the middle of a call: the child's copy of the module would be in the middle of it for ever. But a module
    # that hangs does not stop its program from forking.
    for module in list(_modules.values()):
        module.lock.acquire(timeout=5)


def _after_fork() -> None:
    for module in list(_modules.values()):
        with suppress(RuntimeError):  # it was not to be had
            module.lock.release()


def _in_child() -> None:
    for module in _modules.values():
        module.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)


# --- Tokens ---------------------------------------------------------------------------------------------------------


def find_token(library: lib, uri: KeyUri) -> pkcs11.Token:
    """Return the one token that a URI means.

    Raises:
        KeyLoadError: it is not there, or several are.
        PKCS11Error: the module does not tell.
    """
    here: list[pkcs11.Token] = []
    for slot in library.get_slots(token_present=True):
        with suppress(PKCS11Error):  # empty, or of a reader that is none of ours
            here.append(slot.get_token())
    # SoftHSM always has an empty one, for the next token to make.
    here = [token for token in here if token.label or token.flags & TokenFlag.TOKEN_INITIALIZED]
    wanted = uri.of_token
    fitting = [token for token in here if all(_told(library, token)[name] == wanted[name] for name in wanted)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"no token here is what {uri.short} names" if wanted else f"{uri.short} names no token, and none is here"
    if fitting:
        raise KeyLoadError(
            f"{uri.short} names {len(fitting)} tokens",
            hint="add one of these to the URI: " + _named(fitting, serial=True),
        )
    raise KeyLoadError(
        what,
        hint=f"correct the URI; the tokens here are {_named(here)}"
        if here
        else "insert the token, or look at the settings of the PKCS #11 module: it knows of no token",
        details=(f"PKCS #11 module: {printable(library.so, 200)}",),
    )


def _told(library: lib, token: pkcs11.Token) -> dict[str, str]:
    """Return what a token, its slot and its module say of themselves, under the names of RFC 7512 section 2.3."""
    slot = token.slot
    return {
        "token": token.label,
        "manufacturer": token.manufacturer_id,
        "serial": token.serial.decode("utf-8", "replace").rstrip("\0 "),
        "model": token.model,
        "slot-id": str(slot.slot_id),
        "slot-description": slot.slot_description,
        "slot-manufacturer": slot.manufacturer_id,
        "library-manufacturer": library.manufacturer_id,
        "library-description": library.library_description,
        "library-version": "{}.{}".format(*library.library_version),
    }


def _named(tokens: list[pkcs11.Token], *, serial: bool = False) -> str:
    """Name a few tokens."""
    names = [
        f"serial={printable(token.serial.decode('utf-8', 'replace'), 32)}"
        if serial
        else quoted(printable(token.label, 32))
        for token in tokens[:_MOST_NAMED]
    ]
    more = len(tokens) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def name_of(token: pkcs11.Token) -> Name:
    """Return what tells a token from others of its module, also when it was taken out and another put in."""
    return (token.slot.slot_id, token.label, token.serial, token.manufacturer_id, token.model)


def attribute_of(thing: pkcs11.Object, attribute: Attribute) -> object:
    """Return an attribute of an object on a token, None if there is none or it makes no sense."""
    try:
        return thing[attribute]
    except (*_GONE, pkcs11.DeviceError):
        raise
    except Exception:  # noqa: BLE001 - what a token has there is anybody's guess: `struct.error`, `ValueError`, …
        return None


def attribute_mapper() -> AttributeMapper:
    """Read and write attributes as python-pkcs11 does, and two in which it fails: odd labels, lists of mechanisms."""
    mapper = AttributeMapper()
    mapper.register_handler(
        Attribute.LABEL,
        lambda text: text if isinstance(text, bytes) else text.encode(),
        lambda content: content.decode("utf-8", "replace"),
    )
    mapper.register_handler(Attribute.ALLOWED_MECHANISMS, bytes, lambda content: list(memoryview(content).cast("L")))
    return mapper


# --- PINs -----------------------------------------------------------------------------------------------------------

_refused: set[tuple[object, ...]] = set()
_SALT = secrets.token_bytes(32)


class Pin:
    """The PIN of a token, asked for at its first use and once at the most; a wrong one is given to no token twice."""

    def __init__(self, uri: KeyUri, passphrase: Passphrase) -> None:
        self._file = uri.pin_file
        self._passphrase = passphrase
        self._text: str | None = None
        self._asked = False
        self._typed = False
        self.in_doubt = False  # a login failed for another reason, or for one that was not told
        self.warnings: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return "Pin()"

    def is_for_reader(self, token: pkcs11.Token) -> bool:
        """Return whether a person types the PIN on the keys of the token's reader: nobody is asked for it here."""
        return self._file is None and bool(token.flags & TokenFlag.PROTECTED_AUTHENTICATION_PATH)

    def get(self, token: pkcs11.Token) -> str | None:
        """Return the PIN, None if there is none.

        Raises:
            PassphraseError: it should not be tried, or its file cannot be read.
        """
        flags = token.flags
        label = quoted(printable(token.label, 32))
        if flags & TokenFlag.USER_PIN_LOCKED:
            raise _locked(label)
        if self.is_for_reader(token):
            return None
        if not self._asked:
            secret = self._passphrase() if self._file is None else self._read(self._file)
            self._asked, self._typed = True, isinstance(secret, TypedSecret)
            try:
                self._text = secret.decode("utf-8") if secret else None
            except UnicodeError:
                raise PassphraseError("the PIN is not text in UTF-8", hint="write it in UTF-8") from None
        if self._text is None:
            return None
        if self._mark(token) in _refused:
            raise PassphraseError(
                f"the token {label} refused this PIN before, and it is not tried again", hint="correct the PIN"
            )
        if flags & _TRIED_WRONGLY and (self.in_doubt or not self._typed):
            left = "one more locks it" if flags & TokenFlag.USER_PIN_FINAL_TRY else "a few lock it"
            raise PassphraseError(
                f"the token {label} was given a wrong PIN ({left}), so none from a file or variable is tried",
                hint="make sure that you have the right PIN, and type it once at a terminal; that ends this state",
            )
        return self._text

    def refused(self, token: pkcs11.Token) -> None:
        """Remember that a token does not accept the PIN."""
        _refused.add(self._mark(token))

    def _mark(self, token: pkcs11.Token) -> tuple[object, ...]:
        digest = hashlib.blake2b((self._text or "").encode(), key=_SALT).digest()
        return (token.label, token.serial, token.manufacturer_id, token.model, digest)

    def _read(self, path: str) -> bytes:
        from banno_creds.storage.secret_files import read_private_file, secret_line

        file = read_private_file(Path(path), what="PIN file", error=PassphraseError)
        self.warnings = file.warnings
        try:
            return secret_line(file.content, "PIN")
        except ConfigurationError as failure:
            raise PassphraseError(f"the PIN file {path}: {failure.message}", hint=failure.hint) from None


def _locked(label: str) -> PassphraseError:
    return PassphraseError(f"the token {label} is locked: too many wrong PINs were given", hint=_UNLOCK)


def open_session(module: Module, token: pkcs11.Token, pin: Pin, timeout: float) -> pkcs11.Session:
    """Open a session on a token, and log in if the token wants that; called with the module's lock.

    Raises:
        PassphraseError: the PIN is missing, wrong, expired, or not to be tried.
        PKCS11Error: the token does not open a session.
    """
    mapper = attribute_mapper()

    def anonymous() -> pkcs11.Session:
        return token.open(attribute_mapper=mapper)

    if not token.flags & TokenFlag.LOGIN_REQUIRED:
        return module.run(anonymous, timeout)
    secret: object = pin.get(token)
    limit: float | None = timeout
    if pin.is_for_reader(token):
        secret, limit = pkcs11.types.PROTECTED_AUTH, None  # it takes a person's time
    elif secret is None:
        raise PassphraseError(
            f"the token {quoted(printable(token.label, 32))} wants a PIN",
            hint=f"name a file with it by {setting('passphrase_file')}, or by ?pin-source=/PATH in the URI; or "
            f"set {PIN_VARIABLE}; at a terminal you are asked",
        )
    try:
        return module.run(lambda: attempt_login(token, secret, mapper), limit)
    except BROKEN:
        # SoftHSM says so if another process logs in at the same moment. Before the PIN is given again, `Pin.get`
        # looks if the token counted it as a wrong one.
        pin.in_doubt = True
        raise
    except pkcs11.UserAlreadyLoggedIn:  # by the program that this is a part of
        return module.run(anonymous, timeout)
    except _GONE:
        raise
    except PKCS11Error as failure:
        raise refusal(module, token, pin, failure, timeout) from failure


def attempt_login(token: pkcs11.Token, pin: object, mapper: AttributeMapper) -> pkcs11.Session:
    """Give a PIN to a token, which counts the wrong ones; nothing else here does."""
    return token.open(user_pin=pin, attribute_mapper=mapper)


def refusal(
    module: Module, token: pkcs11.Token, pin: Pin, failure: PKCS11Error, timeout: float
) -> PassphraseError | KeyLoadError:
    """Return the error for a login that failed; a wrong PIN is remembered."""
    label = quoted(printable(token.label, 32))
    if isinstance(failure, _WRONG_PIN):
        pin.refused(token)
        flags = TokenFlag(0)
        with suppress(PKCS11Error, NotAnsweringError):
            flags = module.run(lambda: token.slot.get_token().flags, timeout)
        if flags & TokenFlag.USER_PIN_LOCKED:
            return _locked(label)
        last = "; one wrong PIN more locks it" if flags & TokenFlag.USER_PIN_FINAL_TRY else ""
        return PassphraseError(
            f"the PIN of the token {label} is wrong{last}",
            hint="correct the PIN; it was tried once, since tokens lock",
        )
    if isinstance(failure, pkcs11.PinLocked):
        return _locked(label)
    if isinstance(failure, pkcs11.PinExpired):
        return PassphraseError(
            f"the PIN of the token {label} has expired", hint="set a new one: pkcs11-tool --login --change-pin"
        )
    if isinstance(failure, pkcs11.UserPinNotInitialized):
        return PassphraseError(f"the token {label} has no PIN yet", hint=_UNLOCK.replace("a new", "its first"))
    return KeyLoadError(
        f"the token {label} let nobody log in: {words_of(failure)}",
        hint="look at the settings and the log of the PKCS #11 module",
        details=(f"PKCS #11 module: {module}",),
    )
