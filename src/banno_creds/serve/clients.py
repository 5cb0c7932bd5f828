"""Whose tokens the endpoint gives: a client of it is a profile, or the one client that a command was started for."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from banno_creds.config import ClientConfig, find_config_file
from banno_creds.errors import ConfigurationError
from banno_creds.many.pacing import Limits
from banno_creds.many.sources import Shares, SharingSource
from banno_creds.profiles.client import read_clients
from banno_creds.profiles.lookup import profile_names
from banno_creds.profiles.names import is_name
from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from banno_creds.config import Location
    from banno_creds.tokens.response import TokenResponse


class Client(NamedTuple):
    """A client of the bank, as the endpoint needs it.

    Attributes:
        scope: what its tokens are asked for with.
        resource: the resource indicators that they are asked for with.
        obtain: gives a token, from memory, from the cache or from the bank; called in a thread.
        doctor: the command line that finds out why the bank refuses it.
    """

    scope: tuple[str, ...]
    resource: tuple[str, ...]
    obtain: Callable[[], TokenResponse]
    doctor: str = "banno-creds doctor"


class Clients(Protocol):
    """Finds a client by the client ID that a program of this machine gives; called in several threads."""

    def version(self) -> str:
        """Return what is another one when the clients may have changed."""

    def find(self, name: str) -> Client | None:
        """Return the client of this name; None if there is none.

        Raises:
            BannoCredsError: it cannot be used.
        """


@dataclass(frozen=True)
class OneClient:
    """One client, under one name."""

    name: str
    client: Client

    def version(self) -> str:
        """Return the one version that there is."""
        return ""

    def find(self, name: str) -> Client | None:
        """Return the client, if that is its name."""
        return self.client if name == self.name else None


class Profiles:
    """The profiles of a file, as they are there at the moment: a changed file is read again.

    Their sources share connections, and ask a bank gently: so many at once, so many a second, and hardly any more
    after so many refusals in a row.

    Args:
        file: the file with the profiles; None for the user's own.
        names: the profiles to serve; none means all.
        tags: only profiles that have all of these tags.
        limits: how gently a bank is asked.
        prepare: changes a profile's client before it is used.
        doctor: returns `Client.doctor` of a profile.
        how: further arguments of each `TokenSource`.
    """

    def __init__(
        self,
        file: Location | None,
        names: Collection[str] = (),
        tags: Collection[str] = (),
        *,
        limits: Limits = Limits(),
        prepare: Callable[[ClientConfig], ClientConfig] = lambda config: config,
        doctor: Callable[[str], str] = "banno-creds doctor --profile {}".format,
        **how: Any,
    ) -> None:
        self._file = file
        self._names = frozenset(names)
        self._tags = tags
        self._prepare = prepare
        self._doctor = doctor
        self._how = how
        self._shares = Shares(limits)
        self._known: tuple[str, dict[str, Client]] = ("", {})  # by the version of the file
        self._lock = threading.Lock()

    def version(self) -> str:
        """Return what is another one when the file was changed."""
        path = find_config_file(self._file)
        return "" if path is None else own_files.identity(path)

    def find(self, name: str) -> Client | None:
        """Return the profile's client; see `Clients`."""
        # The names are a profile's before anything is looked up: a client ID may be anything.
        if not name or not is_name(name) or (self._names and name not in self._names):
            return None
        version = self.version()
        with self._lock:
            if version != self._known[0]:
                self._known, self._shares.caches = (version, {}), {}
            clients = self._known[1]
        if name not in clients and (config := self._read(name)) is not None:
            source = SharingSource(self._prepare(config), self._shares, **self._how)
            # Of two threads, one source: it is what makes one request of many.
            clients.setdefault(name, Client(config.scope, config.resource, source.token, self._doctor(name)))
        return clients.get(name)

    def _read(self, name: str) -> ClientConfig | None:
        """Read a profile; None if there is none, or none with these tags."""
        try:
            if not self._tags:  # then the other profiles need not be parsed
                return ClientConfig.from_profile(name, self._file)
            found = read_clients([name], self._file, self._tags).get(name)
            if isinstance(found, ConfigurationError):
                raise found
        except ConfigurationError:
            if name in profile_names(self._file):
                raise
            return None
        return found
