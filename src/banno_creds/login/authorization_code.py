"""The story of a person's login: from the authorization request to tokens, what follows it, and its end.

Each function is one command's work, as in `flow`. How the person is asked, by a browser or otherwise, is the
caller's: it is given the URL and gives back what the browser brought.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from banno_creds.client_authentication.methods import SIGNED_JWT, SignedJwt, choose, prepare
from banno_creds.config import DEFAULT_MIN_TTL, ENVIRONMENTS, check_url
from banno_creds.errors import (
    BannoCredsError,
    ConfigurationError,
    OutputError,
    RefusedError,
    TimedOutError,
    TokenError,
    UnusableAnswerError,
)
from banno_creds.http import discovery
from banno_creds.http.client import HttpClient, answer_skew
from banno_creds.login.authorization_request import read_code, with_query
from banno_creds.login.sessions import Provider, Session
from banno_creds.login.steps import (
    AuthorizationRequested,
    BrowserReturned,
    IdTokenVerified,
    LoginFound,
    LoginKept,
    RequestPushed,
    TokenRevoked,
)
from banno_creds.steps import EndpointDiscovered, TokenRequested, Warned, ignore
from banno_creds.storage import own_files
from banno_creds.text import printable, setting, without
from banno_creds.times import duration, utc
from banno_creds.tokens import response as token_endpoint
from banno_creds.tokens.client_credentials import (
    explain_refusal,
    granted,
    persistently,
    received,
    warn_of_a_short_life,
    warn_of_oddities,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.client_authentication.methods import Authenticated, Authentication, Client, Form
    from banno_creds.http.client import Answer
    from banno_creds.login.authorization_request import AuthorizationRequest
    from banno_creds.login.id_token import Expected
    from banno_creds.login.sessions import SessionStore
    from banno_creds.steps import AnswerReceived, Emit, Step
    from banno_creds.times import Clock
    from banno_creds.tokens.cache import Request, TokenCache
    from banno_creds.tokens.response import TokenResponse

    Ask = Callable[[str], Mapping[str, str]]
    Sleep = Callable[[float], None]

# The vendor documents where these documents are, and not which issuer they name.
_DOCUMENTS: Mapping[str, str] = {
    ENVIRONMENTS["production"]: "https://login.jackhenry.com/.well-known/openid-configuration",
    ENVIRONMENTS["legacy"]: "https://banno.com/a/oidc-provider/api/v0/.well-known/openid-configuration",
}

_KEY_HINT = "check --client-id and the key or secret; ask the administrator how the application was registered"
_CODE_HINTS: Mapping[str, str] = {
    "invalid_client": _KEY_HINT,
    "invalid_grant": "begin again: a code is good once, for a minute, and with its own --redirect-uri",
    "unauthorized_client": "the application must be one for users' logins; ask the administrator",
    "unsupported_grant_type": "the server does not sign people in; check the issuer",
    "invalid_request": "look at the steps above; begin again",
    "invalid_scope": "ask the administrator which scopes the application was given, and name them with --scope",
    "invalid_target": "leave --resource out, or name one the application may use",
}

# What stands in a form and no message may repeat.
_SECRETS = {
    "code": "the code",
    "code_verifier": "the verifier",
    "refresh_token": "the token",
    "token": "the token",
    "client_secret": "the client secret",
}


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a command needs that uses a person's token: the client, and where the login is kept."""

    client: Client
    store: SessionStore

    @property
    def timeout(self) -> float:
        """How long everything that is asked of the server may take together, in seconds."""
        return self.client.timeout

    @property
    def ca_bundle(self) -> Any:
        """What to trust instead of the operating system's store, if anything."""
        return self.client.ca_bundle


def log_in(
    client: Client,
    request: AuthorizationRequest,
    ask: Ask,
    store: SessionStore | None,
    cache: TokenCache | None = None,
    emit: Emit = ignore,
    *,
    pushes: bool = False,
    clock: Clock = time.time,
    sleep: Sleep = time.sleep,
) -> tuple[Session, TokenResponse]:
    """Sign a person in: the authorization code grant with PKCE (RFC 6749 section 4.1, RFC 7636).

    Args:
        client: the client.
        request: what is asked for.
        ask: given the authorization URL, it has a person sign in there, and gives the answer's parameters, whose
            ``state`` it has compared (see `authorization.AuthorizationRequest.is_answered_by`).
        store: where the login is kept; None to keep nothing.
        cache: where the access tokens of the one before it may be, which are forgotten.
        emit: called with each step.
        pushes: whether to push the request (RFC 9126), though discovery does not ask for it.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause before another attempt.

    Returns:
        The login, and the whole token response.

    Raises:
        KeyLoadError: the key cannot be read or used.
        ConfigurationError: something in the configuration cannot be meant.
        RefusedError: the server or the person refused.
        NetworkError: no usable answer within the time allowed.
        TokenError: the answer or the id_token is not what it has to be; nothing is kept.
    """
    proof = prepare(client, emit)
    if store is not None:
        with store.locked(client.timeout, sleep):
            pass  # that it can be kept is made sure of before anybody signs in
    with HttpClient(client.timeout, client.ca_bundle) as http:
        metadata, issuer = _discover(client, http, emit, sleep)
        endpoint = discovery.endpoint(metadata, "authorization_endpoint")
        provider = _provider(metadata, issuer)
        _warn_of_other_hosts(endpoint, provider, metadata, emit)
        authentication = choose(client, proof, metadata, provider, clock, emit)
        provider = provider._replace(method=authentication.method)
        http.check(provider.token_endpoint)
        parameters = request.parameters()
        url = with_query(endpoint, parameters)
        if pushes or metadata.get("require_pushed_authorization_requests") is True:
            url = _push(metadata, endpoint, parameters, authentication, http, emit, sleep)
        emit(AuthorizationRequested(endpoint, parameters, url))
    answer = ask(url)
    emit(BrowserReturned(tuple(answer), answer.get("iss")))
    names_issuer = metadata.get("authorization_response_iss_parameter_supported") is True
    form = request.token_form(read_code(answer, issuer, names_issuer=names_issuer))
    # The time that the person took is not the server's.
    with HttpClient(client.timeout, client.ca_bundle) as http:
        up = own_files.uptime()
        response = _ask_token(provider.token_endpoint, form, authentication, http, emit, clock, sleep)
        emit(granted(response))
        from banno_creds.login.id_token import Expected

        expected = Expected(issuer, client.client_id, request.nonce, max_age=request.max_age)
        claims = _verified(response, expected, provider, http, emit, clock, sleep)
    warn_of_oddities(request.scope, response, emit)
    session = Session(
        id=secrets.token_hex(16),
        provider=provider,
        scope=request.scope,
        claims=claims,
        response=_without_refresh_token(response),
        requested_at=response.requested_at,
        up=up,
        signed_in_at=int(clock()),
    )
    if store is not None:
        try:
            session = _keep_first(store, session, response, client, cache, emit, sleep)
        except (ConfigurationError, TimedOutError) as failure:
            # The code is used up, and the tokens were asked for: they are given, if not kept.
            words = failure.message
            emit(
                Warned(words if isinstance(failure, OutputError) else f"the login is not kept: {words}", failure.hint)
            )
    return session, response


def _warn_of_other_hosts(endpoint: str, provider: Provider, metadata: Mapping[str, Any], emit: Emit) -> None:
    """Say of a discovery document that it sends a person to one server, and the code to another.

    Whoever wrote it may be after the other server's codes (a mix-up, RFC 9700 section 4.4), unless the answer says
    whose it is.
    """
    there, here = (urlsplit(url).netloc.lower() for url in (endpoint, provider.token_endpoint))
    if there != here and metadata.get("authorization_response_iss_parameter_supported") is not True:
        emit(
            Warned(
                f"the discovery document has people sign in at {there}, and sends the code that they bring to {here}",
                hint=f"go on only if both are servers of {provider.issuer}",
            )
        )


def _keep_first(
    store: SessionStore,
    session: Session,
    response: TokenResponse,
    client: Client,
    cache: TokenCache | None,
    emit: Emit,
    sleep: Sleep,
) -> Session:
    """Keep a new login in the place of the one before it."""
    with store.locked(client.timeout, sleep):
        before, earlier = None, store.read_any()
        try:
            before = store.read()
        except ConfigurationError:
            emit(Warned("the login that was kept before is another one or broken, and is replaced"))
        session = store.keep(session, _refresh_token(response), emit)
    _forget_in(cache, earlier)
    if before is not None and before.can_be_renewed:
        # Not revoked: a server may take the new tokens for a part of the same grant.
        message = "the login before this one was replaced, and its tokens stay good at the server until they end"
        emit(Warned(message, hint=f"another time, sign out first: {store.owner.logout}"))
    emit(LoginKept(store.owner.words, session.places(store.path)))
    return session


def obtain_token(
    signed_in: SignedIn,
    cache: TokenCache | None,
    emit: Emit = ignore,
    *,
    min_ttl: int = DEFAULT_MIN_TTL,
    force_refresh: bool = False,
    not_token: str | None = None,
    clock: Clock = time.time,
    sleep: Sleep = time.sleep,
) -> TokenResponse:
    """Get the person's access token, renewed by the refresh token where it has to be; see `flow.obtain_token`.

    Args:
        signed_in: the login.
        cache: where tokens are kept; None to do without.
        emit: called with each step.
        min_ttl: how long the token must still be good, in seconds, if it is not renewed.
        force_refresh: renew it in any case.
        not_token: an access token that an API refused.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause.

    Returns:
        The token response, without a refresh token.

    Raises:
        TokenError: nobody is signed in, or the login has ended.
        RefusedError: the server refused to renew it.
        BannoCredsError: see `log_in`.
    """
    session = _found(signed_in.store)
    emit(LoginFound(session.person, signed_in.store.owner.words, None))
    if session.ended is not None:  # whatever the cache still holds of it
        raise _over(signed_in.store, session, clock())
    fetched = False

    def fetch() -> TokenResponse:
        nonlocal fetched
        fetched = True
        return _renewed(signed_in, session, min_ttl, not_token, emit, clock, sleep, force=force_refresh)

    if cache is None:
        response = fetch()
    else:
        response = cache.obtain(
            request_of(session, signed_in.client.client_id),
            fetch,
            emit,
            min_ttl=min_ttl,
            force_refresh=force_refresh,
            not_token=not_token,
            patience=signed_in.timeout,
            clock=clock,
            sleep=sleep,
        )
    emit(granted(response))
    warn_of_oddities(session.scope, response, emit)
    if session.can_be_renewed:
        warn_of_a_short_life(response, min_ttl, emit)
    elif fetched and force_refresh:
        emit(Warned("the token cannot be renewed: no refresh token came with the login", _OFFLINE_HINT))
    return response


_OFFLINE_HINT = "ask for one with a scope such as offline_access, if the application was given it"


def request_of(session: Session, client_id: str) -> Request:
    """What the cache keeps a login's access tokens under: another one for each login."""
    from banno_creds.tokens.cache import Request

    return Request(
        client_id=client_id,
        token_endpoint=session.provider.token_endpoint,
        issuer=session.provider.issuer,
        key=sha256(session.id.encode()).hexdigest(),
        **dict.fromkeys(("alg", "kid", "aud", "ca_bundle")),
        lifetime=0,
        iat=False,
        claims={},
        scope=session.scope,
        resource=(),
        params=(),
    )


def who_is_it(signed_in: SignedIn, emit: Emit = ignore, *, clock: Clock = time.time) -> Session:
    """Tell who is signed in.

    Args:
        signed_in: the login.
        emit: called with each step.
        clock: the time, in seconds since the epoch.

    Returns:
        The login.

    Raises:
        TokenError: nobody is, or the login has ended.
    """
    session = _found(signed_in.store)
    emit(LoginFound(session.person, signed_in.store.owner.words, session.signed_in_at))
    emit(LoginKept(signed_in.store.owner.words, session.places(signed_in.store.path)))
    if not session.can_be_renewed and session.token(clock()) is None:
        raise _over(signed_in.store, session, clock())
    return session


def user_info(
    signed_in: SignedIn,
    cache: TokenCache | None,
    emit: Emit = ignore,
    *,
    clock: Clock = time.time,
    sleep: Sleep = time.sleep,
) -> Mapping[str, Any]:
    """Ask the provider what it says of the person now (OpenID Connect Core 1.0 section 5.3).

    Args:
        signed_in: the login.
        cache: see `obtain_token`.
        emit: called with each step.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause.

    Returns:
        The claims.

    Raises:
        TokenError: they are another person's, or nobody is signed in.
        ConfigurationError: the provider has no userinfo endpoint.
        BannoCredsError: see `obtain_token`.
    """
    session = _found(signed_in.store)
    emit = _without_the_login(emit)
    url = session.provider.userinfo_endpoint
    if url is None:
        raise ConfigurationError(
            "the provider names no userinfo endpoint", hint="whoami without --userinfo shows the id_token's claims"
        )
    token = obtain_token(signed_in, cache, emit, clock=clock, sleep=sleep).access_token
    with HttpClient(signed_in.timeout, signed_in.ca_bundle) as http:
        for attempt in (1, 2):
            answer = http.get(url, (("authorization", f"Bearer {token}"),))
            emit(received(answer, token, "the token")._replace(what="Userinfo response"))
            if answer.status != 401 or attempt == 2:
                break
            another = obtain_token(signed_in, cache, emit, not_token=token, clock=clock, sleep=sleep).access_token
            if another == token:
                break
            token = another
    try:
        claims = token_endpoint.read_object(
            answer, {"invalid_token": f"sign in again: {signed_in.store.owner.login}"}
        )
    except BannoCredsError as failure:
        raise failure.without([(token, "the token")]) from None
    if claims.get("sub") != session.claims.get("sub"):
        raise TokenError(
            "what the userinfo endpoint says is of another person than the one who signed in",
            hint="do not rely on it; tell the server's operator",
            rule="id_token.sub.unexpected",
        )
    return claims


def _without_the_login(emit: Emit) -> Emit:
    """What passes on every step but the one that says who is signed in: it was said."""

    def passes_on(step: Step) -> None:
        if not isinstance(step, LoginFound):
            emit(step)

    return passes_on


def log_out(
    signed_in: SignedIn,
    cache: TokenCache | None,
    emit: Emit = ignore,
    *,
    only_here: bool = False,
    clock: Clock = time.time,
    sleep: Sleep = time.sleep,
) -> Provider | None:
    """Have the server revoke the tokens (RFC 7009), and forget them.

    Args:
        signed_in: the login.
        cache: where its access tokens are kept too; None if they are not.
        emit: called with each step.
        only_here: ask nobody, forget them only.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause before another attempt.

    Returns:
        Where the login was, for its end in the browser; None if that cannot be read any more.

    Raises:
        TokenError: nobody is signed in.
        BannoCredsError: the server could not be told; the login is kept, so that it can be told later.
    """
    store = signed_in.store
    with store.locked(signed_in.timeout, sleep):
        earlier = store.read_any()
        try:
            session = store.read()
        except ConfigurationError:
            if not only_here:
                raise
            store.forget(emit)
            _forget_in(cache, earlier)
            return None
        if session is None:
            raise store.missing()
        if not only_here and session.ended is None:
            try:
                _revoke(signed_in, session, emit, clock, sleep)
            except BannoCredsError as failure:
                raise failure.but(
                    more=("nothing was forgotten, so that it can be tried again",),
                    hint=f"{failure.marked.hint}; {setting('only_here')} forgets them without telling the server",
                ) from None
        store.forget(emit)
        _forget_in(cache, earlier)
    return session.provider


def _forget_in(cache: TokenCache | None, earlier: tuple[Session, str] | None) -> None:
    """Forget the access tokens that the cache has of a login."""
    if cache is not None and earlier is not None:
        cache.forget(request_of(*earlier).name)


def end_session_url(provider: Provider, client_id: str, redirect_uri: str | None, state: str) -> str | None:
    """Where the browser ends its own login at the provider (OpenID Connect RP-Initiated Logout 1.0 section 2).

    Args:
        provider: where the login was.
        client_id: whose logout it is. An ``id_token_hint`` would stay in the browser's history.
        redirect_uri: where the browser is to come back to, to the character as it was registered; None for nowhere.
        state: what it is to bring back.

    Returns:
        The URL; None where the provider has none.
    """
    if provider.end_session_endpoint is None:
        return None
    parameters = [("client_id", client_id)]
    if redirect_uri is not None:
        parameters += [("post_logout_redirect_uri", redirect_uri), ("state", state)]
    return with_query(provider.end_session_endpoint, tuple(parameters))


def _found(store: SessionStore) -> Session:
    session = store.read()
    if session is None:
        raise store.missing()
    return session


def _over(store: SessionStore, session: Session, now: float) -> BannoCredsError:
    """The error for a login whose tokens are good for nothing any more."""
    hint = f"sign in again: {store.owner.login}"
    if session.ended is not None:
        return TokenError(f"the login has ended: {session.ended}", hint=hint, rule="session.ended")
    left = session.left(now)
    ended = "has ended" if left is None or left > 0 else f"ended {duration(-left)} ago"
    return TokenError(
        f"the login of {session.person} {ended}, and no refresh token came with it",
        details=(f"signed in at {utc(session.signed_in_at)}",),
        hint=hint,
        rule="session.ended",
    )


# --- Renewing -------------------------------------------------------------------------------------------------------


def _renewed(
    signed_in: SignedIn,
    seen: Session,
    min_ttl: int,
    not_token: str | None,
    emit: Emit,
    clock: Clock,
    sleep: Sleep,
    *,
    force: bool,
) -> TokenResponse:
    """The access token that is kept if it will do, else a new one; of all processes, one at a time."""
    store = signed_in.store
    with store.locked(signed_in.timeout, sleep):
        session = _found(store)
        if session.ended is not None:
            raise _over(store, session, clock())
        now = clock()
        token, left = session.token(now), session.left(now)
        if token is not None and token.access_token != not_token:
            # What another process renewed, or a new login brought, while this one waited is new enough.
            is_new = session.renewals > seen.renewals or session.id != seen.id
            if is_new or (not force and left is not None and left >= min_ttl):
                return token
        if not session.can_be_renewed:
            if token is None:
                raise _over(store, session, now)
            return token
        return _refresh(signed_in, session, emit, clock, sleep)


def _refresh(signed_in: SignedIn, session: Session, emit: Emit, clock: Clock, sleep: Sleep) -> TokenResponse:
    """Use the refresh token (RFC 6749 section 6), once; whoever calls has the lock."""
    store, client, provider = signed_in.store, signed_in.client, session.provider
    refresh_token = store.refresh_token(session)
    authentication = _authentication(client, provider, clock, emit)
    if session.asked:
        emit(
            Warned(
                "the refresh token was used before, and no answer to that was kept: it is tried once more",
                hint="if the server has taken it for used up, sign in again",
            )
        )
    # Tells whoever comes after us, if we are killed; and that there is room for what comes.
    store.write(replace(session, asked=True))
    form: Form = (("grant_type", "refresh_token"), ("refresh_token", refresh_token))
    with HttpClient(client.timeout, client.ca_bundle) as http:
        up = own_files.uptime()
        try:
            response = _ask_token(provider.token_endpoint, form, authentication, http, emit, clock, sleep)
        except RefusedError as refusal:
            if refusal.error == "invalid_grant":
                _end(store, session, f"the server refused to renew it at {utc(int(clock()))} ({refusal.error})")
                raise refusal.but(hint=f"sign in again: {store.owner.login}", rule="session.ended") from None
            store.write(session)
            raise
        except BannoCredsError as failure:
            if not getattr(failure, "sent", True):
                store.write(session)
            raise
        # Before anything else is looked at, and alone: the old one may be good for nothing now, and whether the rest
        # is to be relied on is not known yet.
        kept = replace(session, asked=False)
        kept = store.keep(kept, _refresh_token(response) or refresh_token, emit)
        claims = session.claims
        if "id_token" in response.raw:
            claims = _new_claims(store, kept, response, client, http, emit, clock, sleep)
    renewed = replace(
        kept,
        claims=claims,
        response={**_kept_members(session), **_without_refresh_token(response)},
        requested_at=response.requested_at,
        up=up,
        renewals=session.renewals + 1,
    )
    store.write(renewed)
    return replace(response, raw=renewed.response)


def _kept_members(session: Session) -> dict[str, Any]:
    """What stays as it was where the answer leaves it out: the id_token, and the scope (RFC 6749 section 5.1)."""
    return {name: session.response[name] for name in ("id_token", "scope") if name in session.response}


def _new_claims(
    store: SessionStore,
    session: Session,
    response: TokenResponse,
    client: Client,
    http: HttpClient,
    emit: Emit,
    clock: Clock,
    sleep: Sleep,
) -> Mapping[str, Any]:
    """Verify the id_token that came with new tokens (OpenID Connect Core 1.0 section 12.2)."""
    from banno_creds.login.id_token import Expected

    expected = Expected(session.provider.issuer, client.client_id, None, subject=str(session.claims.get("sub")))
    try:
        return _verified(response, expected, session.provider, http, emit, clock, sleep)
    except TokenError:
        _end(store, session, "an id_token came with its new tokens that is not to be relied on")
        raise


def _end(store: SessionStore, session: Session, why: str) -> None:
    """Keep nothing of a login but why it is over."""
    with suppress(OutputError, ConfigurationError):  # why it is over is what has to be said
        current = store.read()
        # Whoever removed our lock may have let another process renew it meanwhile: that one's is good.
        if current is None or (current.id, current.renewals) == (session.id, session.renewals):
            store.keep(replace(session, response={}, asked=False, ended=why), None)


def _authentication(client: Client, provider: Provider, clock: Clock, emit: Emit) -> Authentication:
    """What proves who the client is, as at the login."""
    proof = prepare(client, emit)
    if isinstance(proof, str) == (provider.method == SIGNED_JWT):
        wanted = "a signed JWT" if provider.method == SIGNED_JWT else "the client secret"
        raise ConfigurationError(
            f"at the login the client proved who it is by {wanted}, and something else is given now",
            hint="give the same as at the login, or sign in again",
        )
    return choose(client, proof, {"token_endpoint_auth_methods_supported": [provider.method]}, provider, clock, emit)


def _without_refresh_token(response: TokenResponse) -> dict[str, Any]:
    return {name: value for name, value in response.raw.items() if name != "refresh_token"}


def _refresh_token(response: TokenResponse) -> str | None:
    token = response.raw.get("refresh_token")
    return token if isinstance(token, str) and _REFRESH_TOKEN.fullmatch(token) else None


# RFC 6749 appendix A.17: VSCHAR. One with anything else in it could not be sent back.
_REFRESH_TOKEN = re.compile(r"[\x20-\x7e]+")


# --- Asking ---------------------------------------------------------------------------------------------------------


def _discover(client: Client, http: HttpClient, emit: Emit, sleep: Sleep) -> tuple[dict[str, Any], str]:
    """The discovery document, and whose it is."""
    if client.issuer is not None:
        issuer = client.issuer
        metadata = persistently(lambda _: discovery.fetch_metadata(issuer, http), http, emit, sleep)
    else:
        url = _DOCUMENTS.get(client.token_endpoint or "")
        if url is None:
            raise ConfigurationError(
                "a login needs the issuer, whose discovery document names the authorization endpoint",
                hint="give --issuer URL in place of --token-endpoint",
                rule="configuration.endpoint",
            )
        # Where it is, the vendor documents; whose it is, it says itself.
        metadata = persistently(
            lambda _: discovery.fetch_json(url, http, "a discovery document", "discovery.missing"), http, emit, sleep
        )
        issuer = check_url(str(metadata.get("issuer")), "the issuer that the discovery document names")
    emit(EndpointDiscovered(issuer, "authorization_endpoint", printable(metadata.get("authorization_endpoint"), 200)))
    return metadata, issuer


def _provider(metadata: dict[str, Any], issuer: str) -> Provider:
    from banno_creds.login.id_token import algorithms_of

    algorithms = algorithms_of(metadata)
    if not algorithms:
        named = metadata.get("id_token_signing_alg_values_supported")
        raise ConfigurationError(
            f"the discovery document names no algorithm for id_tokens that is known here: {printable(named, 200)}",
            hint="tell the server's operator: RS256, PS256 or ES256 is needed",
            rule="id_token.alg.unexpected",
        )

    def perhaps(name: str) -> str | None:
        return discovery.endpoint(metadata, name) if metadata.get(name) is not None else None

    return Provider(
        issuer=issuer,
        token_endpoint=discovery.endpoint(metadata, "token_endpoint"),
        jwks_uri=discovery.endpoint(metadata, "jwks_uri"),
        method="",
        algorithms=algorithms,
        userinfo_endpoint=perhaps("userinfo_endpoint"),
        revocation_endpoint=perhaps("revocation_endpoint"),
        end_session_endpoint=perhaps("end_session_endpoint"),
    )


def _push(
    metadata: dict[str, Any],
    endpoint: str,
    parameters: Form,
    authentication: Authentication,
    http: HttpClient,
    emit: Emit,
    sleep: Sleep,
) -> str:
    """Give the request to the server itself (RFC 9126); what the browser is given then only names it."""
    url = discovery.endpoint(metadata, "pushed_authorization_request_endpoint")

    def attempt(_: int) -> dict[str, Any]:
        whole = authentication.apply(parameters, elsewhere=True)
        answer = http.post_form(url, whole.form, whole.headers)
        try:
            return token_endpoint.read_object(answer, _CODE_HINTS)
        except BannoCredsError as failure:
            raise failure.without(_hidden(whole)) from None

    pushed = persistently(attempt, http, emit, sleep)
    request_uri, expires_in = pushed.get("request_uri"), pushed.get("expires_in")
    if not (isinstance(request_uri, str) and request_uri and request_uri.isascii() and request_uri.isprintable()):
        raise UnusableAnswerError(
            "the answer to the pushed authorization request names no request_uri",
            hint="tell the server's operator",
            rule="network.answer",
        )
    emit(RequestPushed(url, expires_in if type(expires_in) is int else None))
    client_id = next(value for name, value in parameters if name == "client_id")
    return with_query(endpoint, (("client_id", client_id), ("request_uri", request_uri)))


def _ask_token(
    url: str, form: Form, authentication: Authentication, http: HttpClient, emit: Emit, clock: Clock, sleep: Sleep
) -> TokenResponse:
    """One token request with something that is good only once: never sent again if the server may have had it."""

    def attempt(number: int) -> TokenResponse:
        whole = authentication.apply(form, emit if number == 1 else ignore)
        requested_at = int(clock())
        emit(TokenRequested(url, whole.form, number, authorization=bool(whole.headers)))
        answer = http.post_form(url, whole.form, whole.headers)
        emit(_received(answer, whole))
        try:
            return token_endpoint.read_answer(answer, requested_at, _CODE_HINTS)
        except BannoCredsError as echoing:
            failure = echoing.without(_hidden(whole))
            if isinstance(failure, RefusedError) and isinstance(authentication, SignedJwt):
                failure = _explain(failure, authentication, url, whole.form, requested_at, answer, clock)
            raise failure from None

    return persistently(attempt, http, emit, sleep, is_good_once=True)


def _hidden(whole: Authenticated) -> list[tuple[str, str]]:
    """What was sent that no message may repeat, and what to call it."""
    fields = [(value, _SECRETS[name]) for name, value in whole.form if name in _SECRETS]
    return [*((secret, whole.what) for secret in whole.secrets), *fields]


def _received(answer: Answer, whole: Authenticated) -> AnswerReceived:
    """The step for an answer, without anything secret that its words echo."""
    step = received(answer, *_hidden(whole)[0])
    for secret, what in _hidden(whole):
        request_id = step.request_id and without(step.request_id, secret, what)
        step = step._replace(reason=without(step.reason, secret, what), request_id=request_id)
    return step


def _explain(
    refusal: RefusedError,
    authentication: SignedJwt,
    url: str,
    form: Form,
    requested_at: int,
    answer: Any,
    clock: Clock,
) -> RefusedError:
    if refusal.error != "invalid_client":
        return refusal
    skew = answer_skew(answer.headers, clock(), answer.seconds)
    client_assertion = dict(form)["client_assertion"]
    return explain_refusal(
        *(refusal, authentication.config, authentication.signer, url, client_assertion, requested_at, skew),
        after_login=True,
    )


def _verified(
    response: TokenResponse,
    expected: Expected,
    provider: Provider,
    http: HttpClient,
    emit: Emit,
    clock: Clock,
    sleep: Sleep,
) -> Mapping[str, Any]:
    """The id_token's claims, all of them made sure of."""
    from banno_creds.jose.verify import keys_of
    from banno_creds.login import id_token

    compact = response.raw.get("id_token")
    id_token.check_header(id_token.read(compact), provider.algorithms)
    jwks = persistently(lambda _: discovery.fetch_json(provider.jwks_uri, http, "a JWK Set"), http, emit, sleep)
    try:
        keys = keys_of(jwks, provider.jwks_uri)
    except ConfigurationError as failure:
        raise TokenError(
            f"the id_token cannot be verified: {failure.message}",
            hint="nothing was kept; tell the server's operator",
            rule="id_token.signature.unverified",
        ) from None
    token, key = id_token.verify(str(compact), keys)
    now = int(clock())
    id_token.check(token, expected, response.access_token, now)
    emit(IdTokenVerified(str(token.header["alg"]), key.description, token.payload, now))
    return token.payload


def _revoke(signed_in: SignedIn, session: Session, emit: Emit, clock: Clock, sleep: Sleep) -> None:
    """Have the refresh token revoked, and the access token, whether or not the one includes the other."""
    url = session.provider.revocation_endpoint
    if url is None:
        emit(Warned("the provider names no revocation endpoint: the tokens stay good until they end"))
        return
    tokens = [("refresh_token", signed_in.store.refresh_token(session))] if session.can_be_renewed else []
    if session.access_token is not None and session.token(clock()) is not None:
        tokens.append(("access_token", session.access_token))
    if not tokens:
        return
    authentication = _authentication(signed_in.client, session.provider, clock, emit)
    with HttpClient(signed_in.timeout, signed_in.ca_bundle) as http:
        for name, token in tokens:
            form: Form = (("token", token), ("token_type_hint", name))

            def attempt(_: int, form: Form = form) -> None:
                whole = authentication.apply(form, elsewhere=True)
                answer = http.post_form(url, whole.form, whole.headers)
                if 200 <= answer.status < 300:  # whatever the body is (section 2.2)
                    return
                try:
                    token_endpoint.read_object(answer, _CODE_HINTS)
                except BannoCredsError as failure:
                    raise failure.without(_hidden(whole)) from None

            try:
                persistently(attempt, http, emit, sleep)
            except RefusedError as refusal:
                # A server need not revoke access tokens (section 2.2.1).
                if name != "access_token" or refusal.error != "unsupported_token_type":
                    raise
                emit(Warned("the server does not revoke access tokens: this one stays good until it ends"))
            else:
                emit(TokenRevoked(url, name))
