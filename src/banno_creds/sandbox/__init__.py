"""A local authorization server, to try and to test programs against.

It takes the place of the vendor's server: the same paths, the same checks in the same order, the same answers. Unlike
that server it logs why it refused a request, and what to do about it. It can also be made to fail on demand. It needs
the ``sandbox`` extra (Authlib, Flask, joserfc).

It judges by the shared rules (`banno_creds.rules`), but shares no code with what signs: another library verifies, on
purpose.

Rooms, from the bottom up:

- `users`, `clients`: test users and registered clients; `files` reads both from TOML.
- `refusals`, `faults`: the reason for a refusal; the faults on demand.
- `exchange`: the current request: its time, faults, parameters and log lines. `memory`: all that is remembered.
- `tokens`, `client_authentication`: what the sandbox signs; how a client proves who it is.
- `settings`: how a sandbox behaves, as one value, and the state that the endpoints share.
- One room for each endpoint, or group of them: `token_endpoint`; `authorization_endpoint` (with
  `authorization_request`) and `end_session`, which users visit (with `browsers` and `pages`); `back_channel`.
- `user_search`: an API to call with the tokens; `home`: the first page.
- `app` puts them together, `server` serves them on a port.

Other wings import from this package itself, and the names of test users from `users`.
"""

from __future__ import annotations

from banno_creds.rules.findings import Rule
from banno_creds.sandbox.app import create_app
from banno_creds.sandbox.clients import DEFAULT_REDIRECT_URIS, DEFAULT_SCOPES, ID_TOKEN_ALGORITHMS, Client
from banno_creds.sandbox.faults import Faults
from banno_creds.sandbox.files import read_client_secret, read_clients, read_users
from banno_creds.sandbox.refusals import RefusalError
from banno_creds.sandbox.server import ISSUER_PATH, Sandbox
from banno_creds.sandbox.settings import Settings
from banno_creds.sandbox.users import DEFAULT_USERS, Institution, User

__all__ = [
    "DEFAULT_REDIRECT_URIS",
    "DEFAULT_SCOPES",
    "DEFAULT_USERS",
    "ID_TOKEN_ALGORITHMS",
    "ISSUER_PATH",
    "Client",
    "Faults",
    "Institution",
    "RefusalError",
    "Rule",
    "Sandbox",
    "Settings",
    "User",
    "create_app",
    "read_client_secret",
    "read_clients",
    "read_users",
]
