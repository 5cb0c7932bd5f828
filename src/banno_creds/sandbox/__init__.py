"""A local authorization server, for trying and testing on loopback.

It stands where the vendor's server stands in the flow — token request in, token response or error out; and a user's
login before that, where there is a user — and speaks as that one does: same paths, same checks in the same order,
same words. It differs in one thing: what the vendor's server tells nobody, why a request was refused, this one says
in its log, with what to do about it. And it can be made to fail on demand, for whoever tests a program of their own
against it.

Needs the ``sandbox`` extra (Authlib, Flask, joserfc). It judges by the rules that everybody here judges by (`rules`)
and shares no code with what signs: the verifying is done by another library on purpose.
"""

from __future__ import annotations

from banno_creds.rules.findings import Rule
from banno_creds.sandbox.clients import DEFAULT_REDIRECT_URIS, DEFAULT_SCOPES, ID_TOKEN_ALGORITHMS, Client
from banno_creds.sandbox.clients_file import read_client_secret, read_clients
from banno_creds.sandbox.faults import Faults
from banno_creds.sandbox.refusals import RefusalError
from banno_creds.sandbox.server import ISSUER_PATH, Sandbox, create_app
from banno_creds.sandbox.users import DEFAULT_USERS, Institution, User, read_users

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
    "User",
    "create_app",
    "read_client_secret",
    "read_clients",
    "read_users",
]
