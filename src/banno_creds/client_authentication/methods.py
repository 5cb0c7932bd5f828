"""The methods by which a client proves who it is: a signed JWT, or a client secret.

OpenID Connect Core 1.0 section 9 has the names: ``private_key_jwt``, ``client_secret_basic``, ``client_secret_post``.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote_plus

from banno_creds.client_authentication.client_assertion import CLIENT_ASSERTION_TYPE, make_assertion
from banno_creds.config import DEFAULT_TIMEOUT, check_client_id, check_timeout, check_url
from banno_creds.errors import ConfigurationError
from banno_creds.steps import Run, SecretRead
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from banno_creds.client_authentication.signer import KeySigner
    from banno_creds.config import ClientConfig

SIGNED_JWT = "private_key_jwt"
BASIC = "client_secret_basic"
POST = "client_secret_post"

Form = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SecretSource:
    """The place of a client secret, which is read when it is needed, and kept nowhere."""

    origin: str
    read: Callable[[], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Client:
    """A client that people sign in to.

    Attributes:
        client_id: the client ID.
        token_endpoint: that of a named environment; None if the issuer names it.
        issuer: the issuer; None if the named environment has one.
        signed_jwt: called for the configuration of a client assertion; None if the client has a secret, or neither.
        secret: where the client secret is; None if the client has a key.
        timeout: how long all requests may take together, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.

    Raises:
        ConfigurationError: a value is invalid.
    """

    client_id: str
    token_endpoint: str | None = None
    issuer: str | None = None
    signed_jwt: Callable[[], ClientConfig] | None = None
    secret: SecretSource | None = None
    timeout: float = DEFAULT_TIMEOUT
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        check_client_id(self.client_id)
        check_timeout(self.timeout)
        if self.issuer is not None:
            check_url(self.issuer, "the issuer")


class Authenticated(NamedTuple):
    """A form and headers that prove who the client is."""

    form: Form
    headers: Form

    def __repr__(self) -> str:
        return f"Authenticated({', '.join(name for name, _ in (*self.form, *self.headers))})"


class Key(NamedTuple):
    """The signer of client assertions, and their configuration."""

    config: ClientConfig
    signer: KeySigner


class SignedJwt:
    """A client assertion (RFC 7523 section 2.2), a fresh one for each request.

    Args:
        config: the client; its ``aud``, or the token endpoint, is the audience.
        signer: the signer.
        token_endpoint: the token endpoint's exact URL.
        issuer: the server's issuer: the audience at its other endpoints.
    """

    method = SIGNED_JWT

    def __init__(self, config: ClientConfig, signer: KeySigner, token_endpoint: str, issuer: str = "") -> None:
        self.config = config
        self.signer = signer
        self._token_endpoint = token_endpoint
        self._issuer = issuer

    def apply(self, form: Form, run: Run, *, elsewhere: bool = False) -> Authenticated:
        """Add a client assertion to a form.

        Args:
            form: the parameters without it.
            run: how the run goes.
            elsewhere: whether it goes to another endpoint than the token endpoint. Its audience is the issuer then
                (RFC 9126 section 2): a discovery document may name endpoints on any host, and such a host could use
                an assertion for the token endpoint there.

        Returns:
            The form and headers to send.

        Raises:
            SigningError: the key is damaged.
        """
        config = replace(self.config, aud=None) if elsewhere else self.config
        audience = self._issuer if elsewhere else self._token_endpoint
        client_assertion = make_assertion(config, self.signer, audience, run)
        added = (("client_assertion_type", CLIENT_ASSERTION_TYPE), ("client_assertion", client_assertion))
        return Authenticated((*form, *added), ())


class ClientSecret:
    """A client secret (RFC 6749 section 2.3.1)."""

    def __init__(self, client_id: str, secret: str, method: str) -> None:
        self.method = method
        self._client_id = client_id
        self._secret = secret

    def __repr__(self) -> str:
        return f"ClientSecret(client_id={self._client_id!r}, method={self.method!r})"

    def apply(self, form: Form, run: Run, *, elsewhere: bool = False) -> Authenticated:
        """Add the secret to a form, or to the headers that go with it; see `SignedJwt.apply`."""
        del run, elsewhere
        if self.method == POST:
            named = [] if any(name == "client_id" for name, _ in form) else [("client_id", self._client_id)]
            return Authenticated((*form, *named, ("client_secret", self._secret)), ())
        # Each is form-encoded first: a colon or a percent sign in them would otherwise mean something else.
        pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret)}"
        credentials = b64encode(pair.encode("ascii")).decode("ascii")
        return Authenticated(tuple(form), (("authorization", f"Basic {credentials}"),))


Authentication = SignedJwt | ClientSecret


def prepare(client: Client, run: Run) -> Key | str:
    """Read the client's key or secret, so that a fault in it is found before anybody signs in.

    Args:
        client: the client.
        run: how the run goes.

    Returns:
        The key, or the secret.

    Raises:
        KeyLoadError: the key cannot be read or used.
        ConfigurationError: the secret cannot be read, or there is neither.
    """
    if client.signed_jwt is not None:
        from banno_creds.client_authentication.private_key import load_signer

        config = client.signed_jwt()
        return Key(config, load_signer(config, run))
    if client.secret is not None:
        return client.secret.read()
    raise ConfigurationError(
        "there is neither a key nor a secret that proves who the client is",
        hint=f"add {setting('private_key')} FILE for a signed JWT, which is recommended, "
        f"or {setting('client_secret_file')} FILE",
    )


def choose(
    client: Client, proof: Key | str, offered: object, issuer: str, token_endpoint: str, run: Run
) -> Authentication:
    """Choose one of the methods that the server offers.

    Args:
        client: the client.
        proof: what `prepare` returned.
        offered: ``token_endpoint_auth_methods_supported`` of the discovery document; None if it is missing.
        issuer: the server's issuer.
        token_endpoint: its token endpoint.
        run: how the run goes.

    Returns:
        The method.

    Raises:
        ConfigurationError: the server takes no client secret, or the assertion would be good elsewhere.
    """
    # Without the member it is client_secret_basic alone (OpenID Connect Discovery 1.0 section 3).
    methods = offered if isinstance(offered, list) else [BASIC]
    if not isinstance(proof, str):
        if SIGNED_JWT not in methods:
            run.warn(
                f"discovery does not name {SIGNED_JWT} among the methods of client authentication",
                "if the client is refused: ask the administrator whether it was registered for a signed JWT",
            )
        if proof.config.aud not in (None, issuer, token_endpoint):
            # Anybody who gets hold of an assertion can use it at its audience.
            raise ConfigurationError(
                f"an assertion for {proof.config.aud} would go to another server, {token_endpoint}",
                hint=f"leave {setting('aud')} out",
            )
        config = replace(proof.config, token_endpoint=token_endpoint, issuer=issuer, scope=(), resource=(), params=())
        return SignedJwt(config, proof.signer, token_endpoint, issuer)
    method = next((method for method in (BASIC, POST) if method in methods), None)
    if method is None:
        raise ConfigurationError(
            "the server takes no client secret: its discovery document names neither client_secret_basic nor "
            "client_secret_post",
            hint=f"use {setting('private_key')} FILE, with an application that is registered for a signed JWT",
            rule="discovery.auth_method",
        )
    run.emit(SecretRead("" if client.secret is None else client.secret.origin, method))
    return ClientSecret(client.client_id, proof, method)
