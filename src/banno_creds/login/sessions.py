"""Logins at rest: who signed in, and the tokens that came of it, one file for each profile or client.

The refresh token, which is good for long, rests in the operating system's keyring where the package keyring is
installed and finds one; else in the same file as the rest, which is its owner's alone. A lock is held while a refresh
token is in use, by the operating system, so that a killed process frees it: no two processes use one at a time.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.config import find_config_file
from banno_creds.errors import ConfigurationError, OutputError, TimedOutError, TokenError
from banno_creds.jose.encoding import parse_json_object
from banno_creds.steps import Run
from banno_creds.storage import own_files
from banno_creds.storage.lock import BusyError, Lock
from banno_creds.text import printable
from banno_creds.tokens.response import TokenResponse, token_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


SERVICE = "banno-creds"
"""The name under which the keyring shows our entries."""

_VERSION = 1
_LEAST_PRIORITY = 1  # what the package keyring recommends; below it are those that keep nothing, or keep it in clear


class Owner(NamedTuple):
    """Whose login it is: all that decides which one a command means."""

    profile: str | None
    config: str | None  # the file that the profile is in
    client_id: str
    token_endpoint: str | None
    issuer: str | None

    @property
    def name(self) -> str:
        """The name of its files: a SHA-256 in hexadecimal.

        A profile's is that of the profile, whatever its settings are: no login gets lost when they are changed.
        """
        by = (self.config, self.profile) if self.profile is not None else self
        return sha256(json.dumps([_VERSION, *by]).encode()).hexdigest()

    @property
    def words(self) -> str:
        """How a message names it."""
        return f"client {self.client_id}" if self.profile is None else f"profile {self.profile}"

    @property
    def login(self) -> str:
        """The command that signs in, as far as it is known."""
        return self._command("login")

    @property
    def logout(self) -> str:
        """The command that signs out, as far as it is known."""
        return self._command("logout")

    def _command(self, name: str) -> str:
        import shlex

        words = ["banno-creds", name]
        if self.profile is not None:
            words += ["--profile", self.profile]
            return shlex.join(
                words if self.config == find_config_file(None) else [*words, "--config", str(self.config)]
            )
        words += ["--client-id", self.client_id]
        return shlex.join(words if self.issuer is None else [*words, "--issuer", self.issuer])


class Provider(NamedTuple):
    """The part of a discovery document that a login keeps, because later requests use it."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    method: str
    algorithms: tuple[str, ...]
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    end_session_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One login.

    Attributes:
        id: another one for each login.
        provider: where it was.
        scope: what was asked for.
        claims: those of the id_token.
        response: the last token response, without the refresh token.
        requested_at: when it was asked for, in seconds since the epoch.
        up: the same by the clock that nobody sets; see `own_files.uptime`.
        signed_in_at: when the person signed in, in seconds since the epoch.
        renewals: how often the tokens were renewed.
        refresh_token: the refresh token, where it rests in the file.
        entry: the name of the keyring's entry, where it rests there.
        keyring: how that keyring is called.
        asked: whether a process was about to use the refresh token, and has kept no answer.
        ended: why the login is over although nobody logged out.
    """

    id: str
    provider: Provider
    scope: tuple[str, ...]
    claims: Mapping[str, Any] = field(repr=False)
    response: Mapping[str, Any] = field(repr=False)
    requested_at: int
    up: tuple[str, float]
    signed_in_at: int
    renewals: int = 0
    refresh_token: str | None = field(default=None, repr=False)
    entry: str | None = None
    keyring: str | None = None
    asked: bool = False
    ended: str | None = None

    @property
    def can_be_renewed(self) -> bool:
        """Whether a refresh token came with it."""
        return self.ended is None and (self.refresh_token is not None or self.entry is not None)

    @property
    def access_token(self) -> str | None:
        """The access token, good or not; None where the login is over."""
        token = self.response.get("access_token")
        return token if isinstance(token, str) else None

    @property
    def person(self) -> str:
        """How to call who signed in: the friendliest claim there is."""
        names = ("preferred_username", "name", "email", "sub")
        found = next((self.claims[name] for name in names if isinstance(self.claims.get(name), str)), "")
        return printable(found, 100) or "(no name)"

    def left(self, now: float) -> float | None:
        """How long the access token is still good, in seconds; None where that is not known."""
        age = own_files.age(now, self.requested_at, self.up)
        token = self._token()
        return None if age is None or token is None or token.expires_in is None else token.expires_in - age

    def token(self, now: float) -> TokenResponse | None:
        """The token response as its server would write it now; None where there is none, or it has ended."""
        token, left = self._token(), self.left(now)
        if token is None or token.expires_in is None:
            return token
        if left is None or left <= 0:
            return None
        # Whoever counts the token's life counts from now.
        return replace(
            token, expires_in=int(left), requested_at=int(now), raw={**self.response, "expires_in": int(left)}
        )

    def _token(self) -> TokenResponse | None:
        try:
            return token_response(self.response, self.requested_at)
        except ValueError:
            return None

    def places(self, path: str) -> tuple[str, ...]:
        """Where its tokens rest, in words.

        Args:
            path: its file.
        """
        if self.entry is not None:
            return (
                f"refresh token: in the keyring ({self.keyring})",
                f"the rest: in {path}, for you alone (mode 0600)",
            )
        return (f"tokens: in {path}, for you alone (mode 0600)",)


class SessionStore:
    """The login of one owner.

    Args:
        folder: the folder, which may be missing.
        owner: whose it is.
    """

    def __init__(self, folder: str, owner: Owner) -> None:
        self.owner = owner
        self.path = os.path.join(folder, owner.name + own_files.LOGIN)  # noqa: PTH118 - as in `own_files`
        self._folder = folder
        self._lock_path = self.path + own_files.LOCK

    def exists(self) -> bool:
        """Whether there is one, good or not. It costs one look at the disk."""
        return os.path.lexists(self.path)

    def read(self) -> Session | None:
        """Read it.

        Returns:
            The login; None where nobody is signed in.

        Raises:
            ConfigurationError: it cannot be read, or is broken.
        """
        if not self.exists():
            return None
        try:
            own_files.check_folder(self._folder)
            members = parse_json_object(own_files.read(self.path))
            self._check_owner(members["owner"])
            return _session(members)
        except FileNotFoundError:
            return None
        except OSError as failure:
            raise ConfigurationError(
                f"the login cannot be read: {own_files.words(failure)}",
                hint="BANNO_CREDS_STATE_DIR names another folder, one of your own",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"the login's file {self.path} is broken", hint=f"sign in again: {self.owner.login}"
            ) from None

    def read_any(self) -> tuple[Session, str] | None:
        """Read it though it was made with other settings than the profile has now, for whoever is to forget it.

        Returns:
            The login, and the client ID that it was made by; None if there is none that can be read.
        """
        try:
            own_files.check_folder(self._folder)
            members = parse_json_object(own_files.read(self.path))
            return _session(members), str(members["owner"]["client_id"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _check_owner(self, owner: Mapping[str, Any]) -> None:
        """Refuse a login that the profile had under other settings, which may be another bank's."""
        if owner == self.owner._asdict():
            return
        if self.owner.profile is None or owner["profile"] != self.owner.profile:
            raise ValueError
        raise ConfigurationError(
            f"the login of {self.owner.words} was made with other settings than the profile has now",
            details=(
                f"made by: client {printable(owner['client_id'], 80)} at {_where(owner)}",
                f"now: client {self.owner.client_id} at {_where(self.owner._asdict())}",
            ),
            hint=f"sign in again: {self.owner.login}; or forget the old one: {self.owner.logout} --only-here",
            rule="session.missing",
        )

    @contextmanager
    def locked(self, patience: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Keep every other process from using the refresh token.

        Args:
            patience: how long to wait for another process that does, in seconds.
            sleep: called with the seconds to pause.

        Raises:
            TimedOutError: another process has it for longer. It is never taken from it.
            ConfigurationError: there can be no lock, and so nothing may be done.
        """
        with Lock(self._lock_path, patience, sleep) as lock:
            try:
                self._make_folder()
                lock.wait()
            except BusyError:
                raise TimedOutError(
                    f"another process has been renewing this login for {patience:g} s",
                    hint="try again; if it stays so, end the other banno-creds",
                    rule="session.busy",
                ) from None
            except OSError as failure:
                raise ConfigurationError(
                    f"the login cannot be locked: {own_files.words(failure)}",
                    hint="BANNO_CREDS_STATE_DIR names another folder, one of your own",
                ) from None
            yield

    def refresh_token(self, session: Session) -> str:
        """The refresh token, from wherever it rests.

        Raises:
            ConfigurationError: the keyring does not give it.
        """
        if session.refresh_token is not None:
            return session.refresh_token
        fault = "the package keyring is not installed, or finds no keyring"
        backend = _keyring()
        if backend is not None:
            try:
                token = backend.get_password(SERVICE, str(session.entry))
            except Exception as failure:  # noqa: BLE001 - each keyring has its own
                token, fault = None, printable(failure, 200) or type(failure).__name__
            else:
                fault = "it has no such entry any more"
            if token:
                return str(token)
        raise ConfigurationError(
            f"the refresh token rests in the keyring ({session.keyring}), which does not give it: {fault}",
            hint=f"unlock the keyring, or sign in again: {self.owner.login}",
            rule="session.keyring",
        )

    def keep(self, session: Session, refresh_token: str | None, run: Run = Run()) -> Session:
        """Keep a login: the new refresh token before the old one is forgotten, whoever interrupts this and when.

        Args:
            session: the login. What it says of where a refresh token rests is that of the one before.
            refresh_token: the new one; None where there is none.
            run: told of a warning if there is a keyring that does not take it.

        Returns:
            The login as it was kept.

        Raises:
            OutputError: it could not be written; what was there before is there still.
        """
        # A keyring may ask somebody to unlock it, and never answer: until it has the token, the file has.
        entry = next(each for each in self._entries() if each != session.entry)
        session = replace(session, refresh_token=refresh_token, entry=None, keyring=None)
        self.write(session)
        backend = None if refresh_token is None else _keyring()
        if backend is not None:
            try:
                backend.set_password(SERVICE, entry, refresh_token)
                fault = "" if backend.get_password(SERVICE, entry) == refresh_token else "it does not give it back"
                if not fault:
                    in_keyring = replace(session, refresh_token=None, entry=entry, keyring=_name(backend))
                    self.write(in_keyring)
                    session = in_keyring
            except Exception as failure:  # noqa: BLE001 - each keyring has its own
                fault = printable(failure, 200) or type(failure).__name__
            if fault:
                run.warn(f"the keyring ({_name(backend)}) does not take the refresh token: {fault}")
        for each in self._entries():
            if each != session.entry:
                _remove(each)
        self._sweep()
        return session

    def _entries(self) -> tuple[str, str]:
        """The names of the keyring's entries, of which one is in use, and the other is the next one."""
        return (f"{self.owner.words} {self.owner.name[:12]} a", f"{self.owner.words} {self.owner.name[:12]} b")

    def _sweep(self) -> None:
        """Remove what a process that was killed while it wrote has left behind; whoever calls has the lock."""
        begin = os.path.basename(self.path) + "."  # noqa: PTH119 - as in `own_files`
        with suppress(OSError):
            for file in os.listdir(self._folder):  # noqa: PTH208
                if file.startswith(begin) and file.endswith(own_files.UNFINISHED):
                    os.unlink(os.path.join(self._folder, file))  # noqa: PTH108, PTH118

    def write(self, session: Session) -> None:
        """Write the file; OutputError where the system would not let us."""
        try:
            self._make_folder()
            own_files.write(self.path, json.dumps(_members(session, self.owner)).encode())
        except OSError as failure:
            raise OutputError(
                f"the login cannot be kept: {own_files.words(failure)}",
                hint="free some space there, or name another folder with BANNO_CREDS_STATE_DIR",
            ) from None

    def forget(self, run: Run = Run()) -> None:
        """Remove everything that is kept of it, here and in the keyring.

        Args:
            run: told of a warning if the keyring does not let go of its entry.

        Raises:
            OutputError: it could not be removed.
        """
        in_use = None
        with suppress(ConfigurationError):  # a broken one is forgotten too
            session = self.read()
            in_use = None if session is None else session.entry
        for entry in self._entries():
            fault = _remove(entry)
            if fault is not None and entry == in_use:
                message = f"the keyring does not let go of the refresh token: {fault}"
                run.warn(message, f"remove the entry {entry!r} of {SERVICE} from the keyring")
        self._sweep()
        try:
            with suppress(FileNotFoundError):
                os.unlink(self.path)  # noqa: PTH108 - as in `own_files`
        except OSError as failure:
            raise OutputError(
                f"the login cannot be removed: {own_files.words(failure)}", hint=f"remove {self.path}"
            ) from None

    def missing(self) -> TokenError:
        """The error for a command that needs a login where there is none."""
        return TokenError(
            f"nobody is signed in ({self.owner.words})", hint=f"sign in: {self.owner.login}", rule="session.missing"
        )

    def _make_folder(self) -> None:
        own_files.make_folder(self._folder)
        own_files.check_folder(self._folder)


def _where(owner: Mapping[str, Any]) -> str:
    return printable(owner["issuer"] or owner["token_endpoint"], 200)


def _keyring() -> Any:
    """The operating system's keyring; None where there is none to be relied on."""
    try:
        import keyring

        backend = keyring.get_keyring()
        is_reliable = backend.priority >= _LEAST_PRIORITY
    except Exception:  # noqa: BLE001 - not installed; and each keyring has its own way of not being there
        return None
    return backend if is_reliable else None


def _name(backend: Any) -> str:
    return printable(getattr(backend, "name", type(backend).__name__), 80)


def _remove(entry: str) -> str | None:
    """Remove an entry from the keyring.

    Returns:
        Why that could not be done, be it that there is none; None if it was.
    """
    backend = _keyring()
    if backend is None:
        return "the package keyring is not installed, or finds no keyring"
    try:
        backend.delete_password(SERVICE, entry)
    except Exception as failure:  # noqa: BLE001 - each keyring has its own
        return printable(failure, 200) or type(failure).__name__
    return None


def _members(session: Session, owner: Owner) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "owner": owner._asdict(),
        "provider": session.provider._asdict(),
        **{
            name: getattr(session, name)
            for name in (
                *("id", "scope", "claims", "response", "requested_at", "up", "signed_in_at", "renewals"),
                *("refresh_token", "entry", "keyring", "asked", "ended"),
            )
        },
    }


def _session(members: Mapping[str, Any]) -> Session:
    """The login that a file holds; ValueError, KeyError or TypeError if it is another thing."""
    if members["version"] != _VERSION:
        raise ValueError
    provider = members["provider"]
    started, seconds = members["up"]
    texts = (members["id"], started, *members["scope"], *provider["algorithms"])
    texts += tuple(provider[name] for name in ("issuer", "token_endpoint", "jwks_uri", "method"))
    perhaps = [members[name] for name in ("refresh_token", "entry", "keyring", "ended")]
    perhaps += [provider[name] for name in ("userinfo_endpoint", "revocation_endpoint", "end_session_endpoint")]
    numbers = [members[name] for name in ("requested_at", "signed_in_at", "renewals")]
    if (
        not all(isinstance(text, str) for text in texts)
        or not all(isinstance(text, str | None) for text in perhaps)
        or not all(type(number) is int for number in numbers)
        or not isinstance(members["claims"], dict)
        or not isinstance(members["response"], dict)
        or type(members["asked"]) is not bool
    ):
        raise TypeError
    return Session(
        id=members["id"],
        provider=Provider(**{**provider, "algorithms": tuple(provider["algorithms"])}),
        scope=tuple(members["scope"]),
        claims=members["claims"],
        response=members["response"],
        requested_at=members["requested_at"],
        up=(started, float(seconds)),
        signed_in_at=members["signed_in_at"],
        renewals=members["renewals"],
        refresh_token=members["refresh_token"],
        entry=members["entry"],
        keyring=members["keyring"],
        asked=members["asked"],
        ended=members["ended"],
    )
