"""The access token of a person who signed in: from the cache, from the login, or renewed (RFC 6749 section 6)."""

from __future__ import annotations

import re
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from banno_creds.client_authentication.methods import (
    BASIC,
    POST,
    SIGNED_JWT,
    choose,
    prepare,
    with_alg_of,
)
from banno_creds.errors import (
    BannoCredsError,
    ConfigurationError,
    OutputError,
    RefusedError,
    TimedOutError,
    TokenError,
)
from banno_creds.http.client import HttpClient
from banno_creds.login.authorization_request import OFFLINE
from banno_creds.login.id_token import Expected, verified_claims
from banno_creds.login.provider import HINTS
from banno_creds.login.steps import LoginFound
from banno_creds.steps import Run
from banno_creds.storage import own_files
from banno_creds.text import setting
from banno_creds.times import duration, utc
from banno_creds.tokens.endpoint import Grant, send
from banno_creds.tokens.response import announce, warn_of_a_short_life

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from banno_creds.client_authentication.methods import Authentication, Client
    from banno_creds.config import Wanted
    from banno_creds.http.connections import Turn
    from banno_creds.login.session import Provider, Session
    from banno_creds.login.session_store import SessionStore
    from banno_creds.tokens.cache import TokenCache
    from banno_creds.tokens.cache_entry import Request
    from banno_creds.tokens.response import TokenResponse
    from banno_creds.tokens.shared import Cache

# RFC 6749 appendix A.17: VSCHAR. A token with anything else in it could not be sent back.
_MOST_CACHES = 20
_REFRESH_TOKEN = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The credentials of a person who signed in: the client, and where the login is kept.

    ``turn`` holds each renewal back until its turn comes, where many clients ask one server.
    """

    client: Client
    store: SessionStore
    turn: Turn | None = None

    @property
    def timeout(self) -> float:
        """How long all requests may take together, in seconds."""
        return self.client.timeout

    @property
    def ca_bundle(self) -> Path | None:
        """The certificates to trust instead of the operating system's store."""
        return self.client.ca_bundle

    def files(self) -> tuple[str, ...] | None:
        """Return the files that a token depends on, besides the login's own."""
        return ()

    def open_cache(self, run: Run = Run()) -> TokenCache | None:
        """Return where the person's tokens are kept: this machine's cache; see `cache.open_cache`."""
        from banno_creds.tokens.cache import open_cache

        return open_cache(run)

    def entry_name(self) -> str | None:
        """Return the name of the cache's entry for this login; None if nobody is signed in."""
        session = self.store.read()
        return None if session is None else request_of(session, self.client.client_id).name

    def obtain(self, cache: Cache | None, wanted: Wanted, run: Run = Run()) -> TokenResponse:
        """Return the person's token response, renewed if necessary, and without the refresh token.

        Raises:
            TokenError: nobody is signed in, or the login has ended.
            RefusedError: the server refused to renew it.
            BannoCredsError: see `authorization_code.log_in`.
        """
        session = self.found()
        run.emit(LoginFound(session.person, self.store.owner.words, None))
        if session.ended is not None:  # although the cache may still have its token
            raise ended(self.store, session, run.clock())
        fetched = False

        def fetch() -> TokenResponse:
            nonlocal fetched
            fetched = True
            return _renewed(self, session, wanted, run)

        local = None if cache is None else cache.local(run)  # what a person may do is not shared
        if local is not None and local.folder not in session.caches:
            local = self._noted(local, run)
        if local is None:
            response = fetch()
        else:
            request = request_of(session, self.client.client_id)
            response = local.obtain(request, fetch, wanted, run, patience=self.timeout)
        announce(response, but_offline(session.scope), run)
        if session.can_be_renewed:
            warn_of_a_short_life(response, wanted.min_ttl, run)
        elif fetched and wanted.force_refresh:
            run.warn("the token cannot be renewed: no refresh token came with the login", _why_none(session.scope)[1])
        return response

    def _noted(self, cache: TokenCache, run: Run) -> TokenCache | None:
        """Note which cache will have the tokens, so that `logout` finds them; None if that is not possible."""
        try:
            with self.store.locked(self.timeout, run.sleep):
                session = self.found()
                # The longest known is forgotten first, so that there is no end to them.
                known = (*session.caches, cache.folder)
                if len(known) > _MOST_CACHES:
                    oldest = replace(session, caches=known[:1])
                    forget_in(None, (oldest, self.client.client_id), run)
                self.store.write(replace(session, caches=known[-_MOST_CACHES:]))
        except (ConfigurationError, TimedOutError) as failure:
            run.warn(f"the token is not put into the cache: {failure.marked.message}", failure.marked.hint)
            return None
        return cache

    def found(self) -> Session:
        """Return the login.

        Raises:
            TokenError: nobody is signed in.
            ConfigurationError: it cannot be read, or is broken.
        """
        session = self.store.read()
        if session is None:
            raise self.store.missing()
        return session

    def authentication(self, provider: Provider, run: Run, *, revokes: bool = False) -> Authentication:
        """Prove who the client is as at the login, or as the revocation endpoint takes it.

        Raises:
            ConfigurationError: a key is given and there was a secret, or the other way round.
        """
        if provider.method == SIGNED_JWT and self.client.signed_jwt is None and self.client.secret is None:
            raise ConfigurationError(
                "at the login the client proved who it is by a signed JWT, and its private key is not given now",
                hint=f"add {setting('private_key')} FILE, as at the login",
            )
        proof = prepare(self.client, run)
        if isinstance(proof, str) == (provider.method == SIGNED_JWT):
            before = "a signed JWT" if provider.method == SIGNED_JWT else "the client secret"
            raise ConfigurationError(
                f"at the login the client proved who it is by {before}, and something else is given now",
                hint="give the same as at the login, or sign in again",
            )
        methods = [provider.method]
        if revokes and not isinstance(proof, str):
            proof = with_alg_of(proof, provider.revocation_algs)
        elif (
            revokes and provider.revocation_methods is not None and provider.method not in provider.revocation_methods
        ):
            methods = [each for each in provider.revocation_methods if each in (BASIC, POST)] or methods
        return choose(self.client, proof, methods, provider.issuer, provider.token_endpoint, run)


def request_of(session: Session, client_id: str) -> Request:
    """Return the request under which the cache keeps a login's access tokens: another one for each login."""
    from banno_creds.tokens.cache_entry import Request

    return Request(
        client_id=client_id,
        token_endpoint=session.provider.token_endpoint,
        issuer=session.provider.issuer,
        key=sha256(session.id.encode()).hexdigest(),
        alg=None,
        kid=None,
        aud=None,
        ca_bundle=None,
        lifetime=0,
        iat=False,
        claims={},
        scope=session.scope,
        resource=(),
        params=(),
    )


def forget_in(cache: TokenCache | None, earlier: tuple[Session, str] | None, run: Run = Run()) -> None:
    """Remove the access tokens of a login from every cache that has them; warn of one that cannot be reached."""
    if earlier is None:
        return
    from banno_creds.tokens.cache import TokenCache

    session, client_id = earlier
    here = () if cache is None else (cache.folder,)
    for folder in dict.fromkeys((*here, *session.caches)):
        other = TokenCache(folder)
        other.forget(request_of(session, client_id).name)
        if other.has(request_of(session, client_id).name):
            run.warn(f"an access token of this login stays in {folder}", "remove it: banno-creds cache clear")


def ended(store: SessionStore, session: Session, now: float) -> BannoCredsError:
    """Return the error for a login whose tokens can no longer be used."""
    hint = f"sign in again: {store.owner.login}"
    if session.ended is not None:
        return TokenError(f"the login has ended: {session.ended}", hint=hint, rule="session.ended")
    left = session.left(now)
    when = "has ended" if left is None or left > 0 else f"ended {duration(-left)} ago"
    return TokenError(
        f"the login of {session.person} {when}, and no refresh token came with it",
        details=(f"signed in at {utc(session.signed_in_at)}",),
        hint=hint,
        rule="session.ended",
    )


def without_refresh_token(response: TokenResponse) -> dict[str, Any]:
    """Return the members of a token response without the refresh token, and without those that say nothing."""
    return {name: value for name, value in response.members.items() if name != "refresh_token"}


def refresh_token_of(response: TokenResponse) -> str | None:
    """Return the refresh token that came with a response; None if there is none that can be used."""
    token = response.members.get("refresh_token")
    return token if isinstance(token, str) and _REFRESH_TOKEN.fullmatch(token) else None


def warn_of_no_refresh_token(
    response: TokenResponse, scope: tuple[str, ...], prompts: tuple[str, ...], run: Run
) -> None:
    """Warn if a scope asked for a refresh token and none came, and say why as far as it is known."""
    if refresh_token_of(response) is None and any(map(_is_offline, scope)):
        token = response.raw.get("refresh_token")
        if token:
            run.warn(
                "the refresh token that came cannot be used: it is not a text, or has characters that no token has",
                "tell the server's operator",
            )
            return
        run.warn(*_why_none(scope, response.scope, prompts))


def but_offline(scope: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scope values that an answer is to name: not every server names the one for a refresh token."""
    return tuple(each for each in scope if not _is_offline(each))


def _is_offline(scope: str) -> bool:
    return scope.rpartition("/")[2] == OFFLINE


def _why_none(
    asked: tuple[str, ...], granted: str | None = None, prompts: tuple[str, ...] | None = None
) -> tuple[str, str]:
    """Return why a login has no refresh token, and what to do; ``prompts`` is None if it is not known any more."""
    offline = next(filter(_is_offline, asked), None)
    if offline is None:
        return (
            "no refresh token came",
            f"sign in with {setting('scope')} 'openid profile offline_access', if the application has that scope",
        )
    if granted is not None and offline not in granted.split():
        why, hint = f"the server did not grant {offline}", "ask the administrator to give the application that scope"
    else:
        why = f"the server took {offline}, and sent none"
        hint = "ask the administrator whether the application may have refresh tokens (grant type refresh_token)"
    if offline == OFFLINE and prompts is not None and "consent" not in prompts:
        # OpenID Connect Core 1.0 section 11
        why = "offline_access is ignored where nobody is asked to consent"
        hint = f"leave {setting('prompt')} out, or add consent to it"
    return f"no refresh token came, and the login ends with its access token: {why}", hint


def _renewed(signed_in: SignedIn, seen: Session, wanted: Wanted, run: Run) -> TokenResponse:
    """Return the kept access token if it will do, else a new one; one process at a time."""
    store = signed_in.store
    with store.locked(signed_in.timeout, run.sleep):
        session = signed_in.found()
        now = run.clock()
        if session.ended is not None:
            raise ended(store, session, now)
        token, left = session.token(now), session.left(now)
        if token is not None and token.access_token != wanted.not_token:
            # New enough: another process renewed it, or somebody signed in, while this one waited.
            is_new = session.renewals > seen.renewals or session.id != seen.id
            if is_new or (not wanted.force_refresh and left is not None and left >= wanted.min_ttl):
                return token
        if session.can_be_renewed:
            return _refresh(signed_in, session, run)
        if token is None:
            raise ended(store, session, now)
        return token


def _refresh(signed_in: SignedIn, session: Session, run: Run) -> TokenResponse:
    """Use the refresh token, once; the caller holds the lock."""
    store, client, provider = signed_in.store, signed_in.client, session.provider
    refresh_token = store.refresh_token(session, run)
    authentication = signed_in.authentication(provider, run)
    if session.asked:
        run.warn(
            "the refresh token was used before, and no answer to that was kept: it is tried once more",
            "if the server says that it is used up, sign in again",
        )
    form = (("grant_type", "refresh_token"), ("refresh_token", refresh_token))
    turn = nullcontext() if signed_in.turn is None else signed_in.turn(provider.token_endpoint)
    with turn, HttpClient(client.timeout, client.ca_bundle) as http:
        # If this process is killed, the next one is told; and it shows that there is room for the answer.
        store.write(replace(session, asked=True))
        up = own_files.uptime()
        try:
            grant = Grant(form, HINTS, is_good_once=True, after_login=True)
            response = send(provider.token_endpoint, grant, authentication, http, run)
        except RefusedError as refusal:
            if refusal.error == "invalid_grant":
                _end(store, session, f"the server refused to renew it at {utc(int(run.clock()))} ({refusal.error})")
                raise refusal.but(hint=f"sign in again: {store.owner.login}", rule="session.ended") from None
            store.write(session)
            raise
        except BannoCredsError as failure:
            if not getattr(failure, "sent", True):
                store.write(session)
            raise
        # Keep the new token first, and alone: the old one may be used up, and the rest is not verified yet.
        kept = replace(session, asked=False)
        kept = store.keep(kept, refresh_token_of(response) or refresh_token, run)
    # A new client, because the time that a keyring took does not count.
    with HttpClient(client.timeout, client.ca_bundle) as http:
        claims = session.claims
        if "id_token" in response.members:
            claims = _new_claims(store, kept, response, client, http, run)
    renewed = replace(
        kept,
        claims=claims,
        response={**_kept_members(session), **without_refresh_token(response)},
        requested_at=response.requested_at,
        up=up,
        renewals=session.renewals + 1,
    )
    store.write(renewed)
    return replace(response, raw=renewed.response)


def _kept_members(session: Session) -> dict[str, Any]:
    """Return what stays the same if an answer leaves it out: id_token and scope (RFC 6749 section 5.1)."""
    return {name: session.response[name] for name in ("id_token", "scope") if name in session.response}


def _new_claims(
    store: SessionStore, session: Session, response: TokenResponse, client: Client, http: HttpClient, run: Run
) -> Mapping[str, Any]:
    """Verify the id_token that came with new tokens (OpenID Connect Core 1.0 section 12.2)."""
    expected = Expected(session.provider.issuer, client.client_id, None, subject=str(session.claims.get("sub")))
    try:
        return verified_claims(response, expected, session.provider, http, run)
    except TokenError:
        _end(store, session, "the id_token that came with its new tokens is not to be relied on")
        raise


def _end(store: SessionStore, session: Session, why: str) -> None:
    """Keep only the reason why a login is over."""
    with suppress(OutputError, ConfigurationError):  # the reason itself is the error to tell
        current = store.read()
        # If somebody removed our lock, another process may have renewed the login: that one stays.
        if current is None or (current.id, current.renewals) == (session.id, session.renewals):
            store.keep(replace(session, response={}, asked=False, ended=why), None)
