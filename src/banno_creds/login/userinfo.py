"""Who is signed in: by the id_token, or asked of the provider now (OpenID Connect Core 1.0 section 5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from banno_creds.config import Wanted
from banno_creds.errors import ConfigurationError, TokenError
from banno_creds.http.answers import read_object
from banno_creds.http.client import HttpClient
from banno_creds.login.refresh_token import ended
from banno_creds.login.steps import LoginFound, LoginKept
from banno_creds.steps import Run
from banno_creds.text import setting
from banno_creds.tokens.endpoint import received
from banno_creds.tokens.response import without_echoes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.http.exchange import Answer
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.login.session import Session
    from banno_creds.tokens.cache import TokenCache


def who_is_it(signed_in: SignedIn, run: Run = Run()) -> Session:
    """Return the login of the person who is signed in.

    Raises:
        TokenError: nobody is signed in, or the login has ended.
    """
    session, store = signed_in.found(), signed_in.store
    run.emit(LoginFound(session.person, store.owner.words, session.signed_in_at))
    run.emit(LoginKept(store.owner.words, session.places(store.path)))
    if not session.can_be_renewed and session.token(run.clock()) is None:
        raise ended(store, session, run.clock())
    return session


def user_info(signed_in: SignedIn, cache: TokenCache | None, run: Run = Run()) -> Mapping[str, Any]:
    """Ask the provider for the person's claims as they are now, and return them.

    The step that names the person is left out, since `who_is_it` emits it.

    Raises:
        TokenError: the claims are another person's, or nobody is signed in.
        ConfigurationError: the provider has no userinfo endpoint.
        BannoCredsError: see `refresh_token.SignedIn.obtain`.
    """
    session = signed_in.found()
    url = session.provider.userinfo_endpoint
    if url is None:
        raise ConfigurationError(
            "the provider names no userinfo endpoint",
            hint=f"whoami without {setting('userinfo')} shows the id_token's claims",
        )

    def emit(step: object) -> None:
        if not isinstance(step, LoginFound):
            run.emit(step)

    quieter = run._replace(emit=emit)
    token = signed_in.obtain(cache, Wanted(), quieter).access_token
    with HttpClient(signed_in.timeout, signed_in.ca_bundle) as http:
        for attempt in (1, 2):
            answer = http.get(url, (("authorization", f"Bearer {token}"),))
            run.emit(received(answer, "Userinfo response"))
            if answer.status != 401 or attempt == 2:
                break
            another = signed_in.obtain(cache, Wanted(not_token=token), quieter).access_token
            if another == token:
                break
            token = another
        if answer.status == 200 and (answer.media_type == "application/jwt" or answer.content.startswith(b"eyJ")):
            claims = _signed_claims(answer, session, signed_in.client.client_id, http, quieter)
        else:
            hints = {
                "invalid_token": f"sign in again: {signed_in.store.owner.login}",
                "insufficient_scope": f"sign in with {setting('scope')} openid and more, such as profile",
            }
            claims = read_object(answer, hints, "userinfo endpoint")
    if claims.get("sub") != session.claims.get("sub"):
        raise TokenError(
            "the userinfo endpoint's answer is about another person than the one who signed in"
            if claims.get("sub")
            else "the userinfo endpoint's answer does not say whom it is about: it has no sub",
            hint="do not rely on it; tell the server's operator",
            rule="id_token.sub.unexpected",
        )
    shown: Mapping[str, Any] = without_echoes(claims, answer.secrets)
    return shown


def _signed_claims(answer: Answer, session: Session, client_id: str, http: HttpClient, run: Run) -> Mapping[str, Any]:
    """Verify the claims that came as a signed JWT (OpenID Connect Core 1.0 section 5.3.2), and return them."""
    from banno_creds.login.id_token import verified_userinfo

    compact = answer.content.decode("ascii", "replace").strip()
    if compact.count(".") == 4:
        raise TokenError(
            "the userinfo endpoint's answer is encrypted, which is not read here",
            hint=f"whoami without {setting('userinfo')} shows the id_token's claims",
            rule="id_token.signature.unverified",
        )
    try:
        return verified_userinfo(compact, session.provider, client_id, http, run)
    except TokenError as failure:
        failure = failure.without(answer.secrets)
        raise TokenError(
            "the userinfo endpoint's answer is a signed JWT that is not to be relied on",
            details=(failure.marked.message, *failure.marked.details),
            hint="tell the server's operator",
            rule="id_token.signature.unverified",
        ) from None
