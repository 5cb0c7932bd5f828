"""How a sandbox behaves, as one value, and the state that its endpoints share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from banno_creds.errors import ConfigurationError
from banno_creds.sandbox.client_authentication import ClientAuthentication
from banno_creds.sandbox.clients import RegisteredClient
from banno_creds.sandbox.faults import NO_FAULTS, Faults, FaultsOnDemand
from banno_creds.sandbox.memory import Authorizations
from banno_creds.sandbox.tokens import SigningKeys, Tokens
from banno_creds.sandbox.users import DEFAULT_USERS, User

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from banno_creds.sandbox.clients import Client

Clock = Callable[[], float]
Sleep = Callable[[float], object]
Log = Callable[[str], None]

TOKEN_LIFETIME: Final = 600


def stamped(line: str) -> str:
    """Return a line of the log with the time before it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}"


def log_to_stderr(line: str) -> None:
    """Write a line of the log to standard error."""
    sys.stderr.write(f"{stamped(line)}\n")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a sandbox behaves.

    Attributes:
        faults: the faults of all requests.
        once: whether only the first token request meets them.
        explain: whether the client is told which rule it broke, as the log is.
        token_lifetime: how long an access token lives, in seconds.
        users: the users who may sign in.
        require_pushed_authorization_requests: whether every client must push them (RFC 9126 section 5).
        clock: gives the time in seconds since 1970.
        sleep: waits for so many seconds, for the fault ``slow``.
        log: takes one line for each event. No line holds a token, a code, a password or an assertion.
    """

    faults: Faults = NO_FAULTS
    once: bool = False
    explain: bool = False
    token_lifetime: int = TOKEN_LIFETIME
    users: Sequence[User] = DEFAULT_USERS
    require_pushed_authorization_requests: bool = False
    clock: Clock = time.time
    sleep: Sleep = time.sleep
    log: Log = log_to_stderr


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the endpoints share. It holds no client secrets, only their digests."""

    issuer: str
    settings: Settings
    clients: Mapping[str, RegisteredClient]
    faults: FaultsOnDemand
    authentication: ClientAuthentication
    authorizations: Authorizations
    keys: SigningKeys
    tokens: Tokens

    @classmethod
    def new(cls, clients: Mapping[str, RegisteredClient], issuer: str, settings: Settings) -> Self:
        """Make the state of a sandbox that has served nothing yet."""
        keys = SigningKeys(entry.client.id_token_signed_response_alg for entry in clients.values())
        return cls(
            issuer=issuer,
            settings=settings,
            clients=clients,
            faults=FaultsOnDemand(settings.faults, once=settings.once),
            authentication=ClientAuthentication(clients, (f"{issuer}/token", issuer)),
            authorizations=Authorizations(settings.token_lifetime),
            keys=keys,
            tokens=Tokens(issuer, settings.token_lifetime, keys),
        )


def register(clients: Iterable[Client]) -> dict[str, RegisteredClient]:
    """Check the registrations, and return them by client ID.

    Raises:
        ConfigurationError: a client cannot be registered, or a client ID is there twice.
    """
    registered: dict[str, RegisteredClient] = {}
    for client in clients:
        if client.client_id in registered:
            raise ConfigurationError(
                f"the client {client.client_id} is registered twice", hint="give each client a client ID of its own"
            )
        registered[client.client_id] = RegisteredClient.register(client)
    return registered
