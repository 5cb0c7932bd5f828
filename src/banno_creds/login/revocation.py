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
    from collections.abc import Callable

    from banno_creds.client_authentication.methods import Authentication
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.login.session import Provider, Session
    from banno_creds.tokens.cache import TokenCache

# RFC 7009 section 2.2 has 200 for a token that the server does not know. Some servers answer one of these.
_GONE = ("invalid_token", "invalid_grant")


def log_out(
    signed_in: SignedIn, cache: TokenCache | None, run: Run = Run(), *, only_here: bool = False
) -> Provider | None:
    """Revoke the tokens at the server, and forget them; return the provider if the login can still be read.

    Once the first of them is revoked, which is the refresh token if there is one, the login is forgotten; what fails
    after that is a warning.

    Args:
        signed_in: the login.
        cache: where its access tokens are kept too; None if they are not.
        run: how the run goes.
        only_here: only forget them, and tell no server.

    Raises:
        TokenError: nobody is signed in.
        BannoCredsError: the server was not told; the login is kept, so that it can be told later.
    """
    store = signed_in.store
    with store.locked(signed_in.timeout, run.sleep):
        earlier = store.read_any()

        def forget() -> None:
            store.forget(run)
            forget_in(cache, earlier, run)

        try:
            session = store.read()
        except ConfigurationError:
            if not only_here:
                raise
            forget()
            return None
        if session is None:
            raise store.missing()
        if only_here or session.ended is not None:
            forget()
        else:
            _revoke_all(signed_in, session, forget, run)
    return session.provider


def _revoke_all(signed_in: SignedIn, session: Session, forget: Callable[[], None], run: Run) -> None:
    """Revoke the tokens, and forget the login as soon as the first of them is revoked."""
    try:
        url, tokens = _to_revoke(signed_in, session, run)
        authentication = signed_in.authentication(session.provider, run, revokes=True) if tokens else None
    except BannoCredsError as failure:
        raise _kept(failure) from None
    if authentication is None:
        forget()
        return
    with HttpClient(signed_in.timeout, signed_in.ca_bundle) as http:
        try:
            _revoke(url, *tokens[0], authentication, http, run)
        except BannoCredsError as failure:
            methods = session.provider.revocation_methods
            if not isinstance(failure, RefusedError) or methods is None or authentication.method in methods:
                raise _kept(failure) from None
            # Nobody who has this client's proof can revoke it, now or later.
            run.warn(
                f"the tokens stay good until they end: the server revokes them by {', '.join(methods)} alone",
                f"it refused {authentication.method}: {failure.marked.message}",
            )
            tokens = tokens[:1]
        # Now: if the rest is interrupted, no login stays that cannot be renewed.
        try:
            forget()
        finally:
            for name, token in tokens[1:]:
                try:
                    _revoke(url, name, token, authentication, http, run)
                except BannoCredsError as failure:
                    run.warn(f"the access token may stay good until it ends: {failure.marked.message}")


def _kept(failure: BannoCredsError) -> BannoCredsError:
    return failure.but(
        more=("nothing was forgotten, so that it can be tried again",),
        hint=f"{failure.marked.hint}; {setting('only_here')} forgets them without telling the server",
    )


def end_session_url(provider: Provider, client_id: str, redirect_uri: str | None, state: str) -> str | None:
    """Return where the browser ends its own login, if anywhere (OpenID Connect RP-Initiated Logout section 2).

    The browser comes back to ``redirect_uri``, exactly as it was registered, and brings the state. The client is
    named by its ID: an ``id_token_hint`` would stay in the browser's history.
    """
    if provider.end_session_endpoint is None:
        return None
    parameters = [("client_id", client_id)]
    if redirect_uri is not None:
        parameters += [("post_logout_redirect_uri", redirect_uri), ("state", state)]
    return with_query(provider.end_session_endpoint, tuple(parameters))


def _to_revoke(signed_in: SignedIn, session: Session, run: Run) -> tuple[str, list[tuple[str, str]]]:
    """Return the revocation endpoint, and the tokens: the refresh token first, which may end the access token too."""
    url = session.provider.revocation_endpoint
    if url is None:
        run.warn("the provider names no revocation endpoint: the tokens stay good until they end")
        return "", []
    tokens = [("refresh_token", signed_in.store.refresh_token(session, run))] if session.can_be_renewed else []
    if session.access_token is not None and session.token(run.clock()) is not None:
        tokens.append(("access_token", session.access_token))
    return url, tokens


def _revoke(url: str, name: str, token: str, authentication: Authentication, http: HttpClient, run: Run) -> None:
    """Revoke a token; warn if the server does not know it any more, or revokes no access tokens."""
    form = (("token", token), ("token_type_hint", name))
    try:
        post(url, form, authentication, http, run, "revocation endpoint", ignores_body=True)
    except RefusedError as refusal:
        # A server need not revoke access tokens (section 2.2.1).
        if name == "access_token" and refusal.error == "unsupported_token_type":
            run.warn("the server does not revoke access tokens: this one stays good until it ends")
        elif refusal.error in _GONE:
            run.warn(f"the server does not know the {name.replace('_', ' ')} any more ({refusal.error})")
        else:
            raise
    else:
        run.emit(TokenRevoked(url, name))
