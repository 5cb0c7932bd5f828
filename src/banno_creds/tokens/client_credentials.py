"""The story, from a private key to an access token, and back from a token to what it says.

Each function here is one command's work. It emits a step for everything that happens, to a callable that by
default does nothing; it neither prints nor exits. Clock and pause are arguments, so that tests need no waiting.

Each room is imported where the story enters it: cryptography costs 30 ms of start-up time and httpx 50, and no
command pays for a room it does not enter.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from banno_creds.config import DEFAULT_MIN_TTL, ENVIRONMENTS, ClientConfig, is_url
from banno_creds.errors import BannoCredsError, ConfigurationError, NetworkError, RefusedError, TokenError
from banno_creds.steps import (
    AnswerReceived,
    AssertionBuilt,
    AssertionSigned,
    EndpointDiscovered,
    KeyLoaded,
    NothingVerified,
    SignatureVerified,
    TokenDecoded,
    TokenReceived,
    TokenRejected,
    TokenRequested,
    TryingAgain,
    Warned,
    ignore,
)
from banno_creds.text import without

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.client_authentication.signer import KeySigner
    from banno_creds.config import KeySource, TokenChecks
    from banno_creds.http.client import Answer, HttpClient
    from banno_creds.jose import keys
    from banno_creds.jose.decode import DecodedToken
    from banno_creds.login.authorization_code import SignedIn
    from banno_creds.rules.assertion import AssertionChecks
    from banno_creds.rules.findings import Finding
    from banno_creds.rules.registration import Registration
    from banno_creds.steps import Emit, Step
    from banno_creds.times import Clock
    from banno_creds.tokens.cache import TokenCache
    from banno_creds.tokens.response import TokenResponse

    T = TypeVar("T")

MOST_ATTEMPTS = 3
_FIRST_PAUSE = 0.5  # seconds; doubled each time


@dataclass(frozen=True, slots=True)
class InspectedToken:
    """A token taken apart; ``verified_by`` describes the key that proved its signature, None if none did."""

    token: DecodedToken
    verified_by: str | None


def sign_jwt(
    config: ClientConfig,
    emit: Emit = ignore,
    *,
    clock: Clock = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Make one client assertion, without sending it anywhere.

    Args:
        config: the client; its token endpoint, or ``aud``, is the audience.
        emit: called with each step.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause before another attempt to find the issuer's token endpoint.

    Returns:
        The signed client assertion (RFC 7523), a compact JWS.

    Raises:
        KeyLoadError: the key cannot be read or used.
        SigningError: the key is damaged.
        ConfigurationError: ``alg`` does not go with the key.
        NetworkError: the issuer's discovery document cannot be fetched.
    """
    signer = load_signer(config, emit)
    url = config.token_endpoint or ""
    if config.issuer is not None:
        from banno_creds.http.client import HttpClient

        with HttpClient(config.timeout, config.ca_bundle) as http:
            url = _find_token_endpoint(config, http, emit, sleep)
    return make_assertion(config, signer, url, emit, clock)


def fetch_token(
    config: ClientConfig,
    emit: Emit = ignore,
    *,
    clock: Clock = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> TokenResponse:
    """Get an access token: the client credentials grant with a signed JWT (RFC 6749 section 4.4, RFC 7523).

    Args:
        config: the client and the request.
        emit: called with each step.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause before another attempt.

    Returns:
        The token response.

    Raises:
        KeyLoadError: the key cannot be read or used.
        SigningError: the key is damaged.
        ConfigurationError: something in the configuration cannot be meant.
        RefusedError: the server refused; it is not asked again.
        NetworkError: no usable answer within the time allowed, after at most `MOST_ATTEMPTS` attempts.
    """
    from banno_creds.http.client import HttpClient, answer_skew
    from banno_creds.tokens import response as token_endpoint

    signer = load_signer(config, emit)
    with HttpClient(config.timeout, config.ca_bundle) as http:
        url = _find_token_endpoint(config, http, emit, sleep)
        http.check(url)

        def attempt(number: int) -> TokenResponse:
            # A fresh jti and signature each time: the server may have seen the last one although we saw no answer.
            client_assertion = make_assertion(config, signer, url, emit if number == 1 else ignore, clock)
            signature = client_assertion.rpartition(".")[2]
            form = token_endpoint.build_form(config, client_assertion)
            requested_at = int(clock())
            emit(TokenRequested(url, form, number))
            answer = http.post_form(url, form)
            emit(received(answer, signature))
            try:
                return token_endpoint.read_answer(answer, requested_at)
            except BannoCredsError as echoing:
                failure = echoing.without([(signature, "the assertion")])
                if isinstance(failure, RefusedError) and failure.error == "invalid_client":
                    skew = answer_skew(answer.headers, clock(), answer.seconds)
                    failure = explain_refusal(failure, config, signer, url, client_assertion, requested_at, skew)
                raise failure from None

        response = persistently(attempt, http, emit, sleep)
    emit(granted(response))
    warn_of_oddities(config.scope, response, emit)
    return response


def explain_refusal(
    refusal: RefusedError,
    config: ClientConfig,
    signer: KeySigner,
    url: str,
    client_assertion: str,
    now: int,
    skew: float | None,
    *,
    after_login: bool = False,
) -> RefusedError:
    """Say of a refusal that hides its reason what can be told here; nobody is asked again.

    Args:
        refusal: the refusal.
        config: the client.
        signer: what signed.
        url: the token endpoint.
        client_assertion: what was refused.
        now: when it was sent, in seconds since the epoch.
        skew: see `http_client.answer_skew`.
        after_login: see `diagnosis.Circumstances`.

    Returns:
        The refusal, with what can be told of it.
    """
    from banno_creds.rules import diagnosis
    from banno_creds.rules.assertion import Known
    from banno_creds.rules.presented import ClientAssertion

    audiences = (url,) if config.issuer is None else (url, config.issuer)
    known = Known(now, config.client_id, audiences, use_jti=lambda _: True)  # it was made just now
    confirmed = config.issuer is not None or url in ENVIRONMENTS.values()
    circumstances = diagnosis.Circumstances(
        facts_of(config, signer), endpoint_confirmed=confirmed, after_login=after_login
    )
    return diagnosis.explain_refusal(refusal, ClientAssertion.read(client_assertion), known, skew, circumstances)


def facts_of(config: ClientConfig, signer: KeySigner) -> dict[str, str]:
    """What the questions to the bank's administrator name; see `diagnosis.diagnose`."""
    return {
        "client_id": config.client_id,
        "fingerprint": signer.key.public.fingerprint(),
        "alg": signer.alg,
        "scope": " ".join(config.scope),
    }


def obtain_token(
    config: ClientConfig | SignedIn,
    cache: TokenCache | None,
    emit: Emit = ignore,
    *,
    min_ttl: int = DEFAULT_MIN_TTL,
    force_refresh: bool = False,
    not_token: str | None = None,
    clock: Clock = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> TokenResponse:
    """Get an access token from the cache, or else from the server: once, however many ask at the same time.

    Args:
        config: the client and the request; or the login, and then the token is the person's.
        cache: where tokens are kept; None to ask the server in any case.
        emit: called with each step.
        min_ttl: how long a token from the cache must still be good, in seconds.
        force_refresh: take no token, and no refusal, that was there before this call.
        not_token: an access token that an API refused (401): any other will do, and if the cache has none, one new
            token is fetched, however many ask. It is given all the same where it came itself in the place of a
            refused one a moment ago (`REFUSAL_SECONDS`): such an API does not mind the token.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause, before another attempt or for another process.

    Returns:
        The token response.

    Raises:
        RefusedError: the server refused, now or a moment ago (`REFUSAL_SECONDS`).
        BannoCredsError: see `fetch_token`.
    """
    if not isinstance(config, ClientConfig):
        from banno_creds.login import authorization_code as login

        return login.obtain_token(
            config,
            cache,
            emit,
            min_ttl=min_ttl,
            force_refresh=force_refresh,
            not_token=not_token,
            clock=clock,
            sleep=sleep,
        )
    if cache is None:
        return fetch_token(config, emit, clock=clock, sleep=sleep)
    from banno_creds.tokens.cache import request_of

    key, warnings = read_key(config.private_key)
    # What was looked up is what signs: a file may be another one a moment later, and a pipe can be read but once.
    source = replace(config.private_key, path=None, content=key)
    fetched = False

    def warn() -> None:
        for message, hint in warnings:
            emit(Warned(message, hint))

    def emit_and_warn(step: Step) -> None:
        if isinstance(step, KeyLoaded):
            warn()
        emit(step)

    def fetch() -> TokenResponse:
        nonlocal fetched
        fetched = True
        return fetch_token(replace(config, private_key=source), emit_and_warn, clock=clock, sleep=sleep)

    response = cache.obtain(
        request_of(config, key),
        fetch,
        emit,
        min_ttl=min_ttl,
        force_refresh=force_refresh,
        not_token=not_token,
        patience=config.timeout,
        clock=clock,
        sleep=sleep,
    )
    if not fetched:
        # What would have been said, had the server been asked.
        warn()
        emit(granted(response))
        warn_of_oddities(config.scope, response, emit)
    warn_of_a_short_life(response, min_ttl, emit)
    return response


def inspect_token(
    text: str,
    checks: TokenChecks,
    emit: Emit = ignore,
    *,
    clock: Clock = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> InspectedToken:
    """Take a token apart, and make sure of what was asked.

    Args:
        text: what was pasted; see `decode.decode`.
        checks: what to make sure of.
        emit: called with each step.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause before another attempt to fetch keys.

    Returns:
        The token and what is known of its signature.

    Raises:
        TokenError: it is no JWT, or a check failed.
        ConfigurationError: there is no key to verify with.
        NetworkError: the keys cannot be fetched.
    """
    from banno_creds.jose.decode import check_claims, check_expiry, decode

    token = decode(text)
    now = int(clock())
    emit(TokenDecoded(token.header, token.payload, now))
    try:
        verified_by = _verify(token, checks, emit, sleep) if checks.signature else None
        check_claims(token.payload, checks.issuer, checks.audience)
        if checks.expiry or checks.signature:
            check_expiry(token.payload, now, checks.leeway)
    except TokenError:
        emit(TokenRejected(token.payload))
        raise
    if verified_by is None:
        emit(NothingVerified())
    else:
        asked = (("iss", checks.issuer), ("aud", checks.audience))
        checked = tuple(f"{name} {value}" for name, value in asked if value is not None)
        emit(SignatureVerified(str(token.header["alg"]), verified_by, checked))
    return InspectedToken(token, verified_by)


def _verify(token: DecodedToken, checks: TokenChecks, emit: Emit, sleep: Callable[[float], None]) -> str:
    from banno_creds.jose import verify
    from banno_creds.storage.secret_files import read_file

    if checks.public_key is not None:
        found = verify.load_public_key(read_file(checks.public_key), str(checks.public_key))
    elif checks.jwks is not None and not is_url(checks.jwks):
        found = verify.load_public_key(read_file(Path(checks.jwks)), checks.jwks)
    else:
        url, jwks = _fetch_jwks(checks, emit, sleep)
        found = verify.keys_of(jwks, url)
    return verify.verify_signature(token, found).description


def _fetch_jwks(checks: TokenChecks, emit: Emit, sleep: Callable[[float], None]) -> tuple[str, dict[str, Any]]:
    from banno_creds.http import discovery
    from banno_creds.http.client import HttpClient

    with HttpClient(checks.timeout, checks.ca_bundle) as http:
        url = checks.jwks or _discover(checks.issuer or "", "jwks_uri", http, emit, sleep)
        return url, persistently(lambda _: discovery.fetch_json(url, http, "a JWK Set"), http, emit, sleep)


def lint_assertion(
    text: str,
    checks: AssertionChecks,
    emit: Emit = ignore,
    *,
    clock: Clock = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Finding, ...]:
    """Judge a client assertion that somebody else's code made, by all rules.

    Args:
        text: what was pasted: the assertion, or the form that it is sent in; see `rules.judge_pasted`.
        checks: what it is held against.
        emit: called with each step.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause before another attempt to fetch something.

    Returns:
        A finding for each rule: of the client ID and the registration where they are given, then of the assertion, in
        the server's order.

    Raises:
        ConfigurationError: a file cannot be read.
        NetworkError: the issuer's discovery document or the JWK Set cannot be fetched.
    """
    from banno_creds.rules import assertion as rules

    audiences: tuple[str, ...] | None = None
    if checks.issuer is not None:
        from banno_creds.http.client import HttpClient

        with HttpClient(checks.timeout, checks.ca_bundle) as http:
            audiences = (_discover(checks.issuer, "token_endpoint", http, emit, sleep), checks.issuer)
    elif checks.token_endpoint is not None:
        audiences = (checks.token_endpoint,)
    findings: tuple[Finding, ...] = ()
    if checks.client_id is not None:
        findings += rules.judge_client_id(checks.client_id)
    registration = None
    registered = checks.jwks if checks.public_key is None else str(checks.public_key)
    if registered is not None:
        registration = load_registration(registered, checks.timeout, checks.ca_bundle, emit, sleep)
        findings += registration.findings
    known = rules.Known(
        now=int(clock()),
        client_id=checks.client_id,
        audiences=audiences,
        keys=None if registration is None else registration.keys,
    )
    return findings + tuple(rules.judge_pasted(text, known))


def load_registration(
    registered: str,
    timeout: float,
    ca_bundle: Path | None,
    emit: Emit = ignore,
    sleep: Callable[[float], None] = time.sleep,
) -> Registration:
    """Read the public key that the bank has, or the JWK Set that it fetches.

    Args:
        registered: its file or URL.
        timeout: how long fetching it may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.
        emit: called with each step.
        sleep: called with the seconds to pause before another attempt to fetch it.

    Returns:
        The registration.

    Raises:
        ConfigurationError: the file cannot be read.
        NetworkError: it cannot be fetched.
    """
    from banno_creds.rules.registration import read_registration

    if not is_url(registered):
        from banno_creds.storage.secret_files import read_file

        return read_registration(read_file(Path(registered)), registered)
    from json import dumps

    from banno_creds.http import discovery
    from banno_creds.http.client import HttpClient

    with HttpClient(timeout, ca_bundle) as http:
        jwks = persistently(
            lambda _: discovery.fetch_json(registered, http, "a JWK Set", "registration.unreachable"),
            http,
            emit,
            sleep,
        )
    return read_registration(dumps(jwks).encode(), registered)


def load_signer(config: ClientConfig, emit: Emit = ignore) -> KeySigner:
    """Read the private key, and settle with which algorithm it signs.

    Args:
        config: where the key is, and the algorithm asked for.
        emit: called with each step.

    Returns:
        What signs.

    Raises:
        KeyLoadError: the key cannot be read or used.
        ConfigurationError: ``alg`` does not go with the key.
    """
    from banno_creds.client_authentication.signer import KeySigner, choose_alg

    key = load_key(config.private_key, config.passphrase, emit)
    signer = KeySigner(key, choose_alg(key, config.alg))
    emit(KeyLoaded(key.origin, key.description, signer.alg, key.public.fingerprint()))
    return signer


def load_key(
    source: KeySource, passphrase: keys.Passphrase, emit: Emit = ignore, *, thorough: bool = False
) -> keys.PrivateKey:
    """Read a private key from where it is; see `keys.load_private_key`.

    Args:
        source: where the key is.
        passphrase: called if it is encrypted.
        emit: called with a warning if others can read the key's file.
        thorough: whether to check an RSA key's primes.

    Returns:
        The key.

    Raises:
        KeyLoadError: it cannot be read or used.
    """
    from banno_creds.jose.keys import load_private_key

    content, warnings = read_key(source)
    key = load_private_key(content, source.origin, passphrase, thorough=thorough)
    # Only now: whoever names another file by mistake is not told to change its mode.
    for message, hint in warnings:
        emit(Warned(message, hint))
    return key


def read_key(source: KeySource) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A private key as it is kept, and what is not as it should be with its file.

    Args:
        source: where the key is.

    Returns:
        What is there, and a message and a hint for each thing to warn of.

    Raises:
        KeyLoadError: it cannot be read.
    """
    from banno_creds.storage.secret_files import read_private_file

    if source.path is None:
        return source.content or b"", ()
    file = read_private_file(source.path, allow_writable=source.allow_writable)
    return file.content, file.warnings


def _find_token_endpoint(config: ClientConfig, http: HttpClient, emit: Emit, sleep: Callable[[float], None]) -> str:
    if config.issuer is None:
        return config.token_endpoint or ""
    issuer = config.issuer
    url = _discover(issuer, "token_endpoint", http, emit, sleep)
    if config.aud not in (None, issuer, url):
        # An assertion is good for its audience, whoever comes by it.
        raise ConfigurationError(
            f"an assertion for {config.aud} would go to another server, the one that {issuer} names",
            hint="leave --aud out, or name the endpoint with --token-endpoint",
        )
    return url


def _discover(issuer: str, name: str, http: HttpClient, emit: Emit, sleep: Callable[[float], None]) -> str:
    """One of an issuer's endpoints, from its discovery document."""
    from banno_creds.http import discovery

    metadata = persistently(lambda _: discovery.fetch_metadata(issuer, http), http, emit, sleep)
    url = discovery.endpoint(metadata, name)
    emit(EndpointDiscovered(issuer, name, url))
    return url


def make_assertion(config: ClientConfig, signer: KeySigner, audience: str, emit: Emit, clock: Clock) -> str:
    """Build and sign one client assertion.

    Args:
        config: the client.
        signer: what signs.
        audience: the token endpoint's exact URL.
        emit: called with each step.
        clock: the time, in seconds since the epoch.

    Returns:
        The compact JWS.

    Raises:
        SigningError: the key is damaged.
    """
    from banno_creds.client_authentication import client_assertion as assertion

    now = int(clock())
    claims = assertion.build_claims(config, audience, now)
    emit(AssertionBuilt(claims, now))
    header = assertion.build_header(config, signer.alg, signer.key)
    client_assertion = assertion.sign(header, claims, signer)
    emit(AssertionSigned(header, client_assertion))
    return client_assertion


def persistently(
    attempt: Callable[[int], T],
    http: HttpClient,
    emit: Emit,
    sleep: Callable[[float], None],
    *,
    is_good_once: bool = False,
) -> T:
    """Try what may succeed a moment later; never what was refused.

    Args:
        attempt: tries; it is given the number of the attempt, from 1.
        http: what sends the request, and knows how much time is left.
        emit: called with each step.
        sleep: called with the seconds to pause.
        is_good_once: whether what is sent is used up by the server when it has come.

    Returns:
        What the attempt that succeeded gave.

    Raises:
        NetworkError: the last one failed too.
    """
    number, before = 1, ""
    while True:
        try:
            return attempt(number)
        except NetworkError as failure:
            pause = _pause_after(failure, number)
            may_be_used_up = is_good_once and failure.sent
            is_last = number == MOST_ATTEMPTS or pause >= http.remaining()
            if not failure.retryable or may_be_used_up or is_last:
                more = [f"that was attempt {number} of {MOST_ATTEMPTS}"] if number > 1 else []
                if before not in ("", failure.message):
                    more.append(f"the attempt before it: {before}")
                raise failure.but(more=more) from None
            number, before = number + 1, failure.message
            emit(TryingAgain(failure.message, pause, number, MOST_ATTEMPTS))
        sleep(pause)


def _pause_after(failure: NetworkError, number: int) -> float:
    """What the server asked for; else longer each time, and by chance, so that many jobs do not come at once."""
    if failure.retry_after is not None:
        return failure.retry_after
    from random import uniform

    return _FIRST_PAUSE * float(2 ** (number - 1)) * uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing


def received(answer: Answer, secret: str, what: str = "the assertion") -> AnswerReceived:
    """The step for an answer, without a secret that its words echo; see `errors.without`."""
    reason = without(answer.reason, secret, what)
    request_id = answer.request_id and without(answer.request_id, secret, what)
    return AnswerReceived(answer.status, reason, answer.seconds, request_id)


def warn_of_a_short_life(response: TokenResponse, min_ttl: int, emit: Emit) -> None:
    """Say that a token does not live as long as it should, so that the next one is asked for each time."""
    life = response.expires_in
    if life is not None and life <= min_ttl:
        message = f"the token lives {life} s, and --min-ttl asks for {min_ttl}: nothing can come from the cache"
        emit(Warned(message, f"lower --min-ttl below {life}" if life > 0 else None))


def granted(response: TokenResponse) -> TokenReceived:
    """The step for a token response."""
    return TokenReceived(
        token_type=response.token_type,
        expires_in=response.expires_in,
        expires_at=response.expires_at,
        scope=response.scope,
        claims=_claims_of(response.access_token),
        access_token=response.access_token,
        beside=tuple(
            (name, value)
            for name in ("refresh_token", "id_token")
            if isinstance(value := response.raw.get(name), str)
        ),
    )


def _claims_of(access_token: str) -> Mapping[str, object]:
    """The claims of an access token that is a JWT; it may as well be opaque, and that is no fault."""
    from banno_creds.jose.decode import decode

    try:
        return decode(access_token).payload
    except TokenError:
        return {}


def warn_of_oddities(asked: tuple[str, ...], response: TokenResponse, emit: Emit) -> None:
    """Say what a person should know of a token response.

    Args:
        asked: the scope that was asked for.
        response: the answer.
        emit: called with each warning.
    """
    scope = response.scope
    if scope is not None and (less := [each for each in asked if each not in scope.split()]):
        # Scopes that a server does not know it may drop without a word (RFC 6749 section 3.3).
        emit(
            Warned(
                f"the server granted less than was asked for: not {' '.join(less)}",
                hint="check the spelling, and ask the administrator which scopes the application was given",
            )
        )
    if response.token_type.lower() != "bearer":
        named = f"the type {response.token_type}" if response.token_type else "no token_type"
        emit(Warned(f"the answer names {named}, and Bearer was expected"))
    if response.expires_in is None:
        emit(Warned("the answer does not say in expires_in how long the token lives"))
