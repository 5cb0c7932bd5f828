"""A local authorization server, for trying and testing on loopback.

It stands where the vendor's server stands in the flow — token request in, token response or error out — and speaks
as that one does: same paths, same checks in the same order, same words. It differs in one thing: what the vendor's
server tells nobody, why a client assertion was refused, this one says in its log, by the name of a rule.

Needs the ``sandbox`` extra (Authlib, Flask, joserfc). It shares no code with what signs: the verifying is done by
another library on purpose.
"""

from __future__ import annotations

from banno_creds.sandbox.clients import DEFAULT_SCOPES, Client
from banno_creds.sandbox.refusals import RefusalError, Rule
from banno_creds.sandbox.server import ISSUER_PATH, Sandbox, create_app

__all__ = ["DEFAULT_SCOPES", "ISSUER_PATH", "Client", "RefusalError", "Rule", "Sandbox", "create_app"]
