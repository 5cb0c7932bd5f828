"""The methods by which a client proves who it is: a signed JWT, or a client secret.

OpenID Connect Core 1.0 section 9 has the names: ``private_key_jwt``, ``client_secret_basic``, ``client_secret_post``.
"""

from __future__ import annotations

import re
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote_plus

from banno_creds.checks import check_client_id, check_url
from banno_creds.client_authentication.client_assertion import CLIENT_ASSERTION_TYPE, make_assertion
from banno_creds.config import CLIENT_AUTHENTICATIONS, DEFAULT_TIMEOUT, check_audience, check_timeout
from banno_creds.errors import ConfigurationError, RefusedError
from banno_creds.steps import Run, SecretRead
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from banno_creds.client_authentication.private_key import Signer
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
        method: how the client proves who it is, such as ``client_secret_post``; None for what discovery names.
        client_id_in_body: whether to send ``client_id`` in each form, even where it is known without it.

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
    method: str | None = None
    client_id_in_body: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        check_client_id(self.client_id)
        if self.method is not None and self.method not in CLIENT_AUTHENTICATIONS.values():
            raise ConfigurationError(
                f"{setting('client_auth')} is no known method", hint="give basic, post or private_key_jwt"
            )
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
    signer: Signer


class SignedJwt:
    """A client assertion (RFC 7523 section 2.2), a fresh one for each request.

    Args:
        config: the client; its ``aud``, or the token endpoint, is the audience.
        signer: the signer.
        token_endpoint: the token endpoint's exact URL.
        issuer: the server's issuer: the audience at its other endpoints.
    """

    method = SIGNED_JWT

    def __init__(self, config: ClientConfig, signer: Signer, token_endpoint: str, issuer: str = "") -> None:
        self.config = config
        self.signer = signer
        self._token_endpoint = token_endpoint
        self._issuer = issuer

    def apply(self, form: Form, run: Run, *, elsewhere: bool = False) -> Authenticated:
        """Add a client assertion to a form; return the form and headers to send.

        Args:
            form: the parameters without it.
            run: how the run goes.
            elsewhere: whether it goes to another endpoint than the token endpoint. Its audience is the issuer then
                (RFC 9126 section 2): a discovery document may name endpoints on any host, and such a host could use
                an assertion for the token endpoint there.

        Raises:
            SigningError: the key is damaged.
        """
        config = replace(self.config, aud=None) if elsewhere else self.config
        audience = self._issuer if elsewhere else self._token_endpoint
        client_assertion = make_assertion(config, self.signer, audience, run)
        if self.config.client_id_in_body:
            form = _with_client_id(form, self.config.client_id)
        added = (("client_assertion_type", CLIENT_ASSERTION_TYPE), ("client_assertion", client_assertion))
        return Authenticated((*form, *added), ())


class ClientSecret:
    """A client secret (RFC 6749 section 2.3.1).

    Args:
        client_id: the client ID.
        secret: the secret.
        method: how it is sent.
        other: the other way, if the server takes it too.
        client_id_in_body: whether the form has the client ID with every method.
    """

    def __init__(
        self, client_id: str, secret: str, method: str, other: str | None = None, *, client_id_in_body: bool = False
    ) -> None:
        self.method = method
        self.other = other
        self._client_id = client_id
        self._secret = secret
        self._client_id_in_body = client_id_in_body

    def __repr__(self) -> str:
        return f"ClientSecret(client_id={self._client_id!r}, method={self.method!r})"

    def apply(self, form: Form, run: Run, *, elsewhere: bool = False) -> Authenticated:
        """Add the secret to a form, or to the headers that go with it; see `SignedJwt.apply`."""
        del run, elsewhere
        if self.method == POST or self._client_id_in_body:
            form = _with_client_id(form, self._client_id)
        if self.method == POST:
            return Authenticated((*form, ("client_secret", self._secret)), ())
        # Each is form-encoded first: a colon or a percent sign in them would otherwise mean something else.
        pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret)}"
        credentials = b64encode(pair.encode("ascii")).decode("ascii")
        return Authenticated(tuple(form), (("authorization", f"Basic {credentials}"),))

    @property
    def is_written_otherwise(self) -> bool:
        """Whether form-encoding changes the secret, which not every server undoes in Basic."""
        return quote_plus(self._secret) != self._secret


def _with_client_id(form: Form, client_id: str) -> Form:
    return form if any(name == "client_id" for name, _ in form) else (*form, ("client_id", client_id))


Authentication = SignedJwt | ClientSecret


def advised(refusal: RefusedError, authentication: Authentication, form: Form) -> RefusedError:
    """Return a refusal of the client with another hint, if the server's words or discovery suggest another proof."""
    sent = dict(form)
    if "client_id" not in sent:
        add = f"add {setting('client_id_in_body')}:"
        if re.search(_MISSING_CLIENT_ID, " ".join((refusal.marked.message, *refusal.marked.details))):
            return refusal.but(hint=f"{add} this server wants the client ID in the form too")
        if refusal.error is None and refusal.status == 400 and "code" in sent:
            return refusal.but(hint=f"{refusal.marked.hint}; or {add} a few servers want the client ID beside a code")
    if refusal.error not in (None, "invalid_client", "unauthorized_client") or refusal.status not in (400, 401, 403):
        return refusal
    if not isinstance(authentication, ClientSecret) or authentication.other is None:
        return refusal
    name = {BASIC: "basic", POST: "post"}[authentication.other]
    why = "discovery names it too, and the application may be registered for it alone"
    if authentication.method == BASIC and authentication.is_written_otherwise:
        why = "the secret has characters that some servers read otherwise in basic"
    return refusal.but(hint=f"check the client ID and the secret, or add {setting('client_auth')} {name}: {why}")


# Words such as "client_id is missing", "Missing required parameter: client_id" or "no client_id".
_MISSING_CLIENT_ID = (
    r"(?i)\b(?:missing|required|requires|must (?:have|include|contain|provide))\b.{0,40}\bclient[_ ]?id\b"
    r"|\b(?:no|without)(?: an?| the)? client[_ ]?id\b(?! matches| with)"
    r"|\bclient[_ ]?id\b.{0,40}\b(?:missing|required|not (?:given|present|provided|specified|set|sent)|absent|empty"
    r"|must be (?:given|present|provided|specified|sent))\b"
)


def prepare(client: Client, run: Run) -> Key | str:
    """Read and return the client's key or secret, so that a fault in it is found before anybody signs in.

    Raises:
        KeyLoadError: the key cannot be read or used.
        ConfigurationError: the secret cannot be read, or there is neither.
    """
    if client.signed_jwt is not None:
        from banno_creds.client_authentication.private_key import load_signer

        _check_method(client, "a private key", (SIGNED_JWT,))
        config = client.signed_jwt()
        return Key(config, load_signer(config, run))
    if client.secret is not None:
        _check_method(client, "a client secret", (BASIC, POST))
        return client.secret.read()
    raise ConfigurationError(
        "there is neither a key nor a secret that proves who the client is",
        hint=f"add {setting('private_key')} FILE for a signed JWT, which is recommended, "
        f"or {setting('client_secret_file')} FILE",
    )


def with_alg_of(key: Key, algs: Sequence[str] | None) -> Key:
    """Return the key, signing with one of an endpoint's algorithms, unless the user named one or none are known."""
    from banno_creds.client_authentication.private_key import signer_of

    if not algs or key.signer.alg in algs or key.config.alg is not None or key.signer.key.jwk_alg is not None:
        return key
    for alg in algs:
        with suppress(ConfigurationError):  # it does not fit the key
            return key._replace(signer=signer_of(key.signer.key, alg))
    return key


def _check_method(client: Client, given: str, suits: tuple[str, ...]) -> None:
    if client.method not in (None, *suits):
        needs = "a private key" if client.method == SIGNED_JWT else "a client secret"
        raise ConfigurationError(
            f"{setting('client_auth')} is {client.method}, which needs {needs}, and {given} is given",
            hint=f"leave {setting('client_auth')} out, or give {needs}",
        )


def choose(
    client: Client, proof: Key | str, offered: object, issuer: str, token_endpoint: str, run: Run
) -> Authentication:
    """Choose and return one of the methods that the server offers.

    Args:
        client: the client.
        proof: what `prepare` returned.
        offered: ``token_endpoint_auth_methods_supported`` of the discovery document; None if it is missing.
        issuer: the server's issuer.
        token_endpoint: its token endpoint.
        run: how the run goes.

    Raises:
        ConfigurationError: the server takes no client secret, or the assertion would be good elsewhere.
    """
    # Without the member it is client_secret_basic alone (OpenID Connect Discovery 1.0 section 3).
    methods = offered if isinstance(offered, list) else [BASIC]
    if not isinstance(proof, str):
        if SIGNED_JWT not in methods and client.method is None:
            run.warn(
                f"discovery does not name {SIGNED_JWT} among the methods of client authentication",
                "if the client is refused: ask the administrator whether it was registered for a signed JWT",
            )
        check_audience(proof.config.aud, [token_endpoint, issuer], allow_other=proof.config.allow_other_aud)
        config = replace(proof.config, token_endpoint=token_endpoint, issuer=issuer, scope=(), resource=(), params=())
        return SignedJwt(config, proof.signer, token_endpoint, issuer)
    named = [method for method in (BASIC, POST) if method in methods]
    method = client.method or next(iter(named), None)
    if method is None:
        raise ConfigurationError(
            "the server takes no client secret: its discovery document names neither client_secret_basic nor "
            "client_secret_post",
            hint=f"use {setting('private_key')} FILE, with an application that is registered for a signed JWT",
            rule="discovery.auth_method",
        )
    run.emit(SecretRead("" if client.secret is None else client.secret.origin, method))
    other = next((other for other in named if other != method), None)
    return ClientSecret(client.client_id, proof, method, other, client_id_in_body=client.client_id_in_body)
