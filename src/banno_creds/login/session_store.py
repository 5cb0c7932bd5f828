"""Logins at rest: one file for each profile or client, and the keyring's entry for its refresh token.

The refresh token, which is good for long, rests in the operating system's keyring if there is one; else in the file,
which is its owner's alone. The operating system holds a lock while a refresh token is in use, and frees it when the
process is killed: no two processes use one refresh token at a time.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from banno_creds.errors import ConfigurationError, OutputError, TimedOutError, TokenError
from banno_creds.jose.encoding import parse_json_object
from banno_creds.login import session as at_rest
from banno_creds.login.keyring import KeyringError, LateError, TooLongError, find_keyring, service
from banno_creds.login.session import Owner
from banno_creds.steps import Run, awaiting
from banno_creds.storage import own_files
from banno_creds.storage.lock import BusyError, Lock
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from banno_creds.login.session import Session

_OTHER_FOLDER = "BANNO_CREDS_STATE_DIR names another folder, one of your own"


class SessionStore:
    """The login of one owner, in a folder that may be missing."""

    def __init__(self, folder: str, owner: Owner) -> None:
        self.owner = owner
        self.path = os.path.join(folder, owner.name + own_files.LOGIN)  # noqa: PTH118 - as in `own_files`
        self._folder = folder

    @property
    def end_path(self) -> str:
        """A file that remembers that somebody signed out: whose token it is must not change in silence."""
        return f"{self.path}.ended"

    def signed_out_at(self) -> int | None:
        """Return when somebody signed out, in seconds since the epoch; None if nobody did since the last login."""
        try:
            return int(os.stat(self.end_path).st_mtime)  # noqa: PTH116 - as in `own_files`
        except OSError:
            return None

    def exists(self) -> bool:
        """Return whether there is a login, good or not. It costs one look at the disk."""
        return os.path.lexists(self.path)

    def read(self) -> Session | None:
        """Read the login; None if nobody is signed in.

        Raises:
            ConfigurationError: it cannot be read, or is broken.
        """
        if not self.exists():
            return None
        try:
            members = self._members()
            self._check_owner(members["owner"])
            return at_rest.read(members)
        except FileNotFoundError:
            return None
        except OSError as failure:
            raise ConfigurationError(
                f"the login cannot be read: {own_files.words(failure)}",
                hint=own_files.hint_for(failure, _OTHER_FOLDER),
            ) from None
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"the login's file {self.path} is broken", hint=f"sign in again: {self.owner.login}"
            ) from None

    def read_any(self) -> tuple[Session, str] | None:
        """Read the login and the client ID that it was made by, even if the profile has other settings now.

        Used to forget it. None if there is no login, or it cannot be read.
        """
        try:
            members = self._members()
            return at_rest.read(members), str(members["owner"]["client_id"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _members(self) -> dict[str, Any]:
        own_files.check_folder(self._folder)
        return parse_json_object(own_files.read(self.path))

    def _check_owner(self, owner: Mapping[str, Any]) -> None:
        """Refuse a login that was made with other settings of the profile, perhaps at another bank."""
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
        """Keep every other process from using the refresh token; wait ``patience`` seconds for one that uses it.

        Raises:
            TimedOutError: another process uses it for longer. The lock is never taken from it.
            ConfigurationError: there can be no lock, and so nothing may be done.
        """
        with Lock(self.path + own_files.LOCK, patience, sleep) as lock:
            try:
                self._make_folder()
                with awaiting("another process that uses this login"):
                    lock.wait()
            except BusyError:
                raise TimedOutError(
                    f"another process has been renewing this login for {patience:g} s",
                    hint="try again; if it stays so, end the other banno-creds",
                    rule="session.busy",
                ) from None
            except OSError as failure:
                raise ConfigurationError(
                    f"the login cannot be locked: {own_files.words(failure)}", hint=_OTHER_FOLDER
                ) from None
            yield

    def refresh_token(self, session: Session, run: Run = Run()) -> str:
        """Return the refresh token, from the file or the keyring.

        Raises:
            ConfigurationError: the keyring does not give it.
        """
        if session.refresh_token is not None:
            return session.refresh_token
        try:
            return find_keyring(run).read(str(session.entry))
        except KeyringError as fault:
            raise ConfigurationError(
                f"the refresh token rests in the keyring ({session.keyring}), which does not give it: {fault}",
                hint=f"unlock the keyring, or sign in again: {self.owner.login}",
                rule="session.keyring",
            ) from None

    def keep(self, session: Session, refresh_token: str | None, run: Run = Run()) -> Session:
        """Keep a login, and return it as it was kept; warn if there is a keyring that does not take its token.

        The new refresh token is kept before the old one is forgotten, wherever this is interrupted. ``session`` still
        says where the old one rests; ``refresh_token`` is the new one, None if there is none.

        Raises:
            OutputError: it could not be written; the login before it is still there.
        """
        # A keyring may ask somebody to unlock it, and never answer: until it has the token, the file has it.
        entry = next(each for each in self._entries() if each != session.entry)
        told = session.keyring if session.entry is None else None
        session = replace(session, refresh_token=refresh_token, entry=None, keyring=None)
        self.write(session)
        if refresh_token is not None:
            session = self._moved_to_keyring(session, refresh_token, entry, run, told)
        for each in self._entries():
            if each != session.entry:
                with suppress(KeyringError):
                    find_keyring(run).remove(each)
        self._sweep()
        self.forget_end()
        return session

    def forget_end(self) -> None:
        """Forget that somebody signed out, as far as the system allows."""
        with suppress(OSError):
            own_files.remove(self.end_path)

    def _moved_to_keyring(
        self, session: Session, refresh_token: str, entry: str, run: Run, told: str | None
    ) -> Session:
        """Move the refresh token from the file to the keyring, if there is one.

        ``told`` is a keyring whose user knows that it takes no token of such a length.
        """
        try:
            keyring = find_keyring(run)
        except LateError as fault:
            run.warn(f"the keyring is not used: {fault}", "the file has the refresh token")
            return session
        except KeyringError:
            return session
        moved = replace(session, refresh_token=None, entry=entry, keyring=keyring.name)
        try:
            keyring.keep(entry, refresh_token)
            self.write(moved)
        except (KeyringError, OutputError) as fault:
            is_too_long = isinstance(fault, TooLongError)
            if not is_too_long or told != keyring.name:
                run.warn(f"the keyring ({keyring.name}) does not take the refresh token: {fault}", "the file has it")
            if is_too_long:
                session = replace(session, keyring=keyring.name)
                with suppress(OutputError):  # only that this was told is forgotten then
                    self.write(session)
            return session
        return moved

    def _entries(self) -> tuple[str, str]:
        """Return the names of the keyring's two entries: one is in use, the other is for the next refresh token."""
        return (f"{self.owner.words} {self.owner.name[:12]} a", f"{self.owner.words} {self.owner.name[:12]} b")

    def _sweep(self) -> None:
        """Remove the files of a process that was killed while it wrote; the caller holds the lock."""
        begin = os.path.basename(self.path) + "."  # noqa: PTH119 - as in `own_files`
        with suppress(OSError):
            for file in os.listdir(self._folder):  # noqa: PTH208
                if file.startswith(begin) and file.endswith(own_files.UNFINISHED):
                    own_files.remove(os.path.join(self._folder, file))  # noqa: PTH118

    def write(self, session: Session) -> None:
        """Write the file; OutputError if the system does not allow it."""
        try:
            self._make_folder()
            own_files.write(self.path, at_rest.write(session, self.owner))
        except OSError as failure:
            raise OutputError(
                f"the login cannot be kept: {own_files.words(failure)}",
                hint=own_files.hint_for(
                    failure, "free some space there, or name another folder with BANNO_CREDS_STATE_DIR"
                ),
            ) from None

    def forget(self, run: Run = Run()) -> None:
        """Remove the login, here and in the keyring; warn if the keyring does not remove the entry in use.

        Raises:
            OutputError: it could not be removed.
        """
        in_use = None
        with suppress(ConfigurationError):  # a broken one is forgotten too
            session = self.read()
            in_use = None if session is None else session.entry
        for entry in self._entries():
            try:
                find_keyring(run).remove(entry)
            except KeyringError as fault:
                if entry == in_use:
                    message = f"the keyring does not remove the refresh token: {fault}"
                    run.warn(message, f"remove the entry {entry!r} of {service(entry)} from the keyring")
        self._sweep()
        try:
            with suppress(FileNotFoundError):
                own_files.remove(self.path)
                own_files.write(self.end_path, b"")
        except OSError as failure:
            raise OutputError(
                f"the login cannot be removed: {own_files.words(failure)}",
                hint=own_files.hint_for(failure, f"remove {self.path}"),
            ) from None

    def missing(self) -> TokenError:
        """Return the error for a command that needs a login if there is none."""
        others = ", ".join(owner.words for owner in logins(self._folder))
        return TokenError(
            f"nobody is signed in ({self.owner.words})",
            details=(f"there is a login of: {others}",) if others else (),
            hint=f"sign in: {self.owner.login}",
            rule="session.missing",
        )

    def _make_folder(self) -> None:
        own_files.make_folder(self._folder)
        own_files.check_folder(self._folder)


def logins(folder: str | None) -> list[Owner]:
    """Return whose logins are in the folder, as far as they can be read; at most eight."""
    found: list[Owner] = []
    with suppress(OSError):
        files = sorted(os.listdir(str(folder))) if folder is not None else []  # noqa: PTH208 - as in `own_files`
        for file in [file for file in files if file.endswith(own_files.LOGIN)][:_MOST_LOGINS]:
            with suppress(OSError, ValueError, KeyError, TypeError):
                own_files.check_folder(str(folder))
                members = parse_json_object(own_files.read(os.path.join(str(folder), file)))["owner"]  # noqa: PTH118
                texts: dict[str, Any] = {name: value and printable(value, 100) for name, value in members.items()}
                found.append(Owner(**texts))
    return found


_MOST_LOGINS = 8


def _where(owner: Mapping[str, Any]) -> str:
    return printable(owner["issuer"] or owner["token_endpoint"], 200)
