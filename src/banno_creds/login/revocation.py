"""The end of a login: revoke (RFC 7009) and forget its tokens, and end the provider's own login in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from banno_creds.errors import BannoCredsError, ConfigurationError, RefusedError
from banno_creds.http.client import HttpClient
from banno_creds.login.authorization_request import with_query
from banno_creds.login.provider import post
from banno_creds.login.refresh_token import forget_in
from banno_creds.login.steps import TokenRevoked
from banno_creds.steps import Run
from banno_creds.text import setting

if TYPE_CHECKING:
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.login.session import Provider, Session
    from banno_creds.tokens.cache import TokenCache


def log_out(
    signed_in: SignedIn, cache: TokenCache | None, run: Run = Run(), *, only_here: bool = False
) -> Provider | None:
    """Revoke the tokens at the server, and forget them.

    Args:
        signed_in: the login.
        cache: where its access tokens are kept too; None if they are not.
        run: how the run goes.
        only_here: only forget them, and tell no server.

    Returns:
        The provider, for the end of its own login in the browser; None if the login cannot be read any more.

    Raises:
        TokenError: nobody is signed in.
        BannoCredsError: the server was not told; the login is kept, so that it can be told later.
    """
    store = signed_in.store
    with store.locked(signed_in.timeout, run.sleep):
        earlier = store.read_any()
        try:
            session = store.read()
        except ConfigurationError:
            if not only_here:
                raise
            store.forget(run)
            forget_in(cache, earlier)
            return None
        if session is None:
            raise store.missing()
        if not only_here and session.ended is None:
            try:
                _revoke(signed_in, session, run)
            except BannoCredsError as failure:
                raise failure.but(
                    more=("nothing was forgotten, so that it can be tried again",),
                    hint=f"{failure.marked.hint}; {setting('only_here')} forgets them without telling the server",
                ) from None
        store.forget(run)
        forget_in(cache, earlier)
    return session.provider


def end_session_url(provider: Provider, client_id: str, redirect_uri: str | None, state: str) -> str | None:
    """Return where the browser ends its own login (OpenID Connect RP-Initiated Logout 1.0 section 2).

    Args:
        provider: where the login was.
        client_id: the client. An ``id_token_hint`` would stay in the browser's history.
        redirect_uri: where the browser comes back to, exactly as it was registered; None for nowhere.
        state: the value that it brings back.

    Returns:
        The URL; None if the provider has none.
    """
    if provider.end_session_endpoint is None:
        return None
    parameters = [("client_id", client_id)]
    if redirect_uri is not None:
        parameters += [("post_logout_redirect_uri", redirect_uri), ("state", state)]
    return with_query(provider.end_session_endpoint, tuple(parameters))


def _revoke(signed_in: SignedIn, session: Session, run: Run) -> None:
    """Revoke the refresh token, and the access token, which a server may or may not end with it."""
    url = session.provider.revocation_endpoint
    if url is None:
        run.warn("the provider names no revocation endpoint: the tokens stay good until they end")
        return
    tokens = [("refresh_token", signed_in.store.refresh_token(session))] if session.can_be_renewed else []
    if session.access_token is not None and session.token(run.clock()) is not None:
        tokens.append(("access_token", session.access_token))
    if not tokens:
        return
    authentication = signed_in.authentication(session.provider, run)
    with HttpClient(signed_in.timeout, signed_in.ca_bundle) as http:
        for name, token in tokens:
            form = (("token", token), ("token_type_hint", name))
            try:
                post(url, form, authentication, http, run, "revocation endpoint", ignores_body=True)
            except RefusedError as refusal:
                # A server need not revoke access tokens (section 2.2.1).
                if name != "access_token" or refusal.error != "unsupported_token_type":
                    raise
                run.warn("the server does not revoke access tokens: this one stays good until it ends")
            else:
                run.emit(TokenRevoked(url, name))
