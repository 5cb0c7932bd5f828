"""The first page: what this is, the commands to try, the users, the endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from banno_creds.sandbox.pages import page
from banno_creds.sandbox.user_search import USER_SEARCH_PATH, USER_SEARCH_SCOPE
from banno_creds.sandbox.users import shared_password
from banno_creds.shells import quote

if TYPE_CHECKING:
    from flask import Response

    from banno_creds.sandbox.settings import State


def home(state: State) -> Response:
    """Show the first page."""
    issuer, users = state.issuer, state.settings.users
    address = urlsplit(issuer)
    return page(
        "home",
        tries=commands(state),
        users=users,
        password=shared_password(users),
        endpoints=[
            ("Discovery", f"{issuer}/.well-known/openid-configuration", True),
            ("Token", f"{issuer}/token", False),
            ("Login", f"{issuer}/auth", False),
            ("JWK Set", f"{issuer}/jwks", True),
            ("User search", f"{address.scheme}://{address.netloc}{USER_SEARCH_PATH}", False),
        ],
    )


def commands(state: State) -> list[tuple[str, str, list[str]]]:
    """Return headings, what is to be known, and commands for the registered clients, the same in every shell."""
    address, tries = urlsplit(state.issuer), []
    api_base = f"{address.scheme}://{address.netloc}"
    clients = [(entry.client, bool(entry.keys)) for entry in state.clients.values()]
    service = next((client for client, has_key in clients if has_key and USER_SEARCH_SCOPE in client.scopes), None)
    if service is not None:
        scope = " ".join(each for each in ("openid", USER_SEARCH_SCOPE) if each in service.scopes)
        add = (
            f"banno-creds profile add sandbox --client-id {quote(service.client_id)} --private-key private.pem "
            f'--issuer {state.issuer} --scope "{scope}" --api-base {api_base}'
        )
        call = f'banno-creds api --profile sandbox "{USER_SEARCH_PATH}?limit=1"'
        lead = f"{service.client_id} is registered here. private.pem is the other half of its public key."
        tries.append(("A token, and a call of the API", lead, [add, "banno-creds token --profile sandbox", call]))
    web = next(((client, has_key) for client, has_key in clients if client.redirect_uris), None)
    if web is not None:
        client, has_key = web
        proof = "--private-key private.pem" if has_key else "--client-secret-file client-secret.txt"
        who = f"--issuer {state.issuer} --client-id {quote(client.client_id)} {proof}"
        lead = "Sign in as one of the test users below, then see who is signed in."
        tries.append(("A person's login", lead, [f"banno-creds login {who}", f"banno-creds whoami {who}"]))
    return tries
