"""A client's own access token: the client credentials grant with a signed JWT (RFC 6749 section 4.4, RFC 7523).

Modules are imported only when the flow needs them: cryptography costs 30 ms of start-up time, httpx 50, and no
command pays for a module that it does not use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from banno_creds.config import check_audience
from banno_creds.steps import Run
from banno_creds.text import setting

if TYPE_CHECKING:
    from pathlib import Path

    from banno_creds.client_authentication.private_key import KeyRead
    from banno_creds.config import ClientConfig, Wanted
    from banno_creds.http.client import HttpClient
    from banno_creds.http.connections import Connections
    from banno_creds.tokens.endpoint import Grant
    from banno_creds.tokens.response import TokenResponse
    from banno_creds.tokens.shared import Cache

_HINTS = {
    "invalid_client": "find out which of its many reasons it has",
    "invalid_scope": "ask the administrator which scopes the application was given, "
    f"and name them with {setting('scope')}",
    "invalid_request": f"look at your {setting('params')} values, and compare the form with what "
    "banno-creds client-assertion --curl shows",
    "invalid_grant": "the application must be of the type Service account with Signed JWT; ask the administrator",
    "invalid_target": f"leave {setting('resource')} out, or name one the application may use",
    "access_denied": "ask the administrator what the server's policies let this application ask for, and from where",
    "unauthorized_client": "the application must be of the type Service account; ask the administrator",
    "unsupported_grant_type": f"check that {setting('token_endpoint')} is that of login.jackhenry.com, "
    "not a consumer API's",
}


class ClientCredentials:
    """The credentials of a client that acts for itself.

    Args:
        config: the client and the request.
        connections: connections that are kept open, and shared with other clients.

    Raises:
        ConfigurationError: the assertion would go to another server, see `config.check_audience`.
    """

    def __init__(self, config: ClientConfig, connections: Connections | None = None) -> None:
        if config.issuer is None:  # else discovery will name the endpoint
            check_audience(config.aud, [config.token_endpoint], allow_other=config.allow_other_aud)
        self.config = config
        self._connections = connections

    @property
    def timeout(self) -> float:
        """How long all requests may take together, in seconds."""
        return self.config.timeout

    @property
    def ca_bundle(self) -> Path | None:
        """The certificates to trust instead of the operating system's store."""
        return self.config.ca_bundle

    def files(self) -> tuple[str, ...] | None:
        """Return the files that a token depends on; None if the key cannot be read a second time."""
        from banno_creds.config import KEY_VARIABLE

        source = self.config.private_key
        if source.uri is not None:
            from banno_creds.key_holders.place import is_known

            return () if is_known(source.uri) else None
        if source.path is not None:
            return (str(source.path),)
        return () if source.origin == KEY_VARIABLE else None

    def entry_name(self) -> str | None:
        """Return the name of the cache's entry for this request.

        Raises:
            KeyLoadError: the key cannot be read.
        """
        from banno_creds.client_authentication.private_key import read_key
        from banno_creds.tokens.cache_entry import request_of

        return request_of(self.config, read_key(self.config.private_key).content).name

    def open_cache(
        self, run: Run = Run(), opened: dict[object, Cache | None] | None = None, *, on_disk: bool = True
    ) -> Cache | None:
        """Return where tokens are kept: the shared cache, if there is one, else this machine's.

        None, with a warning, if there can be none.

        Args:
            run: how the run goes.
            opened: what was opened for other clients; each cache is opened once.
            on_disk: whether tokens may be kept on this machine.

        Raises:
            ConfigurationError: see `shared.open_shared`.
        """
        config, opened = self.config, {} if opened is None else opened
        place = config.cache_url and (
            config.cache_url,
            config.cache_secret_file,
            config.cache_password_file,
            config.ca_bundle,
        )
        if place not in opened:
            from banno_creds.tokens.cache import open_cache

            open_local = open_cache if on_disk else _no_cache
            if place is None:
                cache: Cache | None = open_local(run)
            else:
                from banno_creds.tokens.shared import open_shared

                cache = open_shared(config, run, open_local)
            opened.setdefault(place, cache)  # of two threads, one
        return opened[place]

    def obtain(self, cache: Cache | None, wanted: Wanted, run: Run = Run()) -> TokenResponse:
        """Get an access token from the cache, else from the server: once, however many processes ask.

        Raises:
            RefusedError: the server refused, now or a moment ago (`cache_entry.REFUSAL_SECONDS`).
            BannoCredsError: see `fetch`.
        """
        if cache is None:
            return self.fetch(run)
        from banno_creds.client_authentication.private_key import read_key
        from banno_creds.tokens.cache_entry import request_of
        from banno_creds.tokens.response import announce, warn_of_a_short_life

        # The key that names the entry also signs: the file may change a moment later, and a pipe is read only once.
        read = read_key(self.config.private_key)
        cache.take_key(read.content, is_held=self.config.private_key.uri is not None)
        fetched = False

        def fetch() -> TokenResponse:
            nonlocal fetched
            fetched = True
            return self.fetch(run, read)

        response = cache.obtain(request_of(self.config, read.content), fetch, wanted, run, patience=self.timeout)
        if not fetched:
            # Say what would have been said if the server had been asked.
            for message, hint in read.warnings:
                run.warn(message, hint)
            announce(response, self.config.scope, run)
        warn_of_a_short_life(response, wanted.min_ttl, run)
        return response

    def fetch(self, run: Run = Run(), read: KeyRead | None = None) -> TokenResponse:
        """Ask the server for an access token; ``read`` is the key, where it was read before.

        Raises:
            KeyLoadError: the key cannot be read or used.
            SigningError: the key is damaged.
            ConfigurationError: a value is invalid, or contradicts another.
            RefusedError: the server refused; it is not asked again.
            NetworkError: no usable answer within the time allowed.
        """
        from banno_creds.client_authentication.methods import SignedJwt
        from banno_creds.client_authentication.private_key import load_signer
        from banno_creds.http.client import HttpClient
        from banno_creds.tokens.endpoint import send
        from banno_creds.tokens.response import announce

        signer = load_signer(self.config, run, read)
        with HttpClient(self.config.timeout, self.config.ca_bundle, connections=self._connections) as http:
            url = _find_token_endpoint(self.config, http, run)
            http.check(url)
            response = send(url, grant(self.config), SignedJwt(self.config, signer, url), http, run)
        announce(response, self.config.scope, run)
        return response


def _no_cache(run: Run) -> None:
    del run


def grant(config: ClientConfig) -> Grant:
    """Return the form of a client credentials request, and the hints for its refusals."""
    from banno_creds.tokens.endpoint import Grant

    form: list[tuple[str, str]] = [("grant_type", "client_credentials")]
    if config.scope:
        form.append(("scope", " ".join(config.scope)))
    form += (("resource", resource) for resource in config.resource)
    return Grant((*form, *config.params), _HINTS)


def sign_jwt(config: ClientConfig, run: Run = Run()) -> str:
    """Make one client assertion, a compact JWS (RFC 7523), without sending it anywhere.

    Raises:
        KeyLoadError: the key cannot be read or used.
        SigningError: the key is damaged.
        ConfigurationError: ``alg`` does not fit the key.
        NetworkError: the issuer's discovery document cannot be fetched.
    """
    from banno_creds.client_authentication.client_assertion import make_assertion
    from banno_creds.client_authentication.private_key import load_signer

    signer = load_signer(config, run)
    url = config.token_endpoint or ""
    if config.issuer is not None:
        from banno_creds.http.client import HttpClient

        with HttpClient(config.timeout, config.ca_bundle) as http:
            url = _find_token_endpoint(config, http, run)
    return make_assertion(config, signer, url, run)


def _find_token_endpoint(config: ClientConfig, http: HttpClient, run: Run) -> str:
    if config.issuer is None:
        return config.token_endpoint or ""
    from banno_creds.http.discovery import find_endpoint

    url = find_endpoint(config.issuer, "token_endpoint", http, run)
    check_audience(config.aud, [url, config.issuer], allow_other=config.allow_other_aud)
    return url
