"""Whose tokens the endpoint gives: a client of it is a profile, or the one client that a command was started for."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from banno_creds.config import ClientConfig, find_config_file
from banno_creds.errors import ConfigurationError
from banno_creds.profiles.lookup import profile_names
from banno_creds.profiles.names import is_name
from banno_creds.storage import own_files
from banno_creds.tokens.token_source import TokenSource

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
    """

    scope: tuple[str, ...]
    resource: tuple[str, ...]
    obtain: Callable[[], TokenResponse]


class Clients(Protocol):
    """Finds a client by the client ID that a program of this machine gives."""

    def find(self, name: str) -> Client | None:
        """Return the client of this name; None if there is none. Called in several threads.

        Raises:
            BannoCredsError: it cannot be used.
        """


@dataclass(frozen=True)
class OneClient:
    """One client, under one name."""

    name: str
    client: Client

    def find(self, name: str) -> Client | None:
        """Return the client, if that is its name."""
        return self.client if name == self.name else None


class Profiles:
    """The profiles of a file, as they are there at the moment: a changed file is read again.

    Args:
        file: the file with the profiles; None for the user's own.
        names: the profiles to serve; none means all.
        make_source: makes the source of a profile's tokens.
    """

    def __init__(
        self,
        file: Location | None,
        names: Collection[str] = (),
        make_source: Callable[[ClientConfig], TokenSource] = TokenSource,
    ) -> None:
        self._file = file
        self._names = frozenset(names)
        self._make_source = make_source
        self._identity = ""
        self._known: dict[str, Client] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Client | None:
        """Return the profile's client; see `Clients`."""
        # The names are a profile's before anything is looked up: a client ID may be anything.
        if not is_name(name or "-") or (self._names and name not in self._names):
            return None
        path = find_config_file(self._file)
        identity = "" if path is None else own_files.identity(path)
        with self._lock:
            if identity != self._identity:
                self._known, self._identity = {}, identity
            known = self._known.get(name)
        if known is not None:
            return known
        try:
            config = ClientConfig.from_profile(name, self._file)
        except ConfigurationError:
            if name not in profile_names(self._file):
                return None
            raise
        client = Client(config.scope, config.resource, self._make_source(config).token)
        with self._lock:
            # Of two threads, one source: it is what makes one request of many.
            return self._known.setdefault(name, client) if identity == self._identity else client
