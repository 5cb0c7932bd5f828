"""The registered clients, and the public keys that verify their assertions."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OctKey, RSAKey

from banno_creds.checks import is_loopback
from banno_creds.errors import ConfigurationError
from banno_creds.jose.jwk import mended
from banno_creds.jose.libraries import UnreadableError, read_by
from banno_creds.jose.public_keys import NoPublicKeyError, read_public_keys
from banno_creds.rules.known import RegisteredKey
from banno_creds.text import printable

DEFAULT_SCOPES: Final = (
    "openid",
    "https://jackhenry.com/consumer-user-search",
    "https://jackhenry.com/consumer-users.read",
    "https://jackhenry.com/institution-users.read",
)

ID_TOKEN_ALGORITHMS: Final = ("RS256", "ES256", "PS256")
"""The algorithms of ID tokens; the first is the default (OpenID Connect Registration section 2)."""

DEFAULT_REDIRECT_URIS: Final = ("https://localhost:8080/auth/cb", "http://localhost:8080/auth/cb")
"""The redirect URI of the vendor's example, and the same without TLS."""

# Characters outside of RFC 3986 section 2: they could end the header, or mean something else to a browser.
_NOT_IN_A_URI: Final = re.compile(r"[^!#-;=?-Z_a-z~\[\]]")

# RFC 7518 sections 3.3 and 3.5 ask for 2048 bits or more of any RSA key that signs.
_LEAST_RSA_BITS: Final = 2048
_RSA_ALGORITHMS: Final = ("RS256", "PS256")
_EC_ALGORITHMS: Final = ("ES256",)
# joserfc allows 512 bytes, less than a header with a certificate chain in it.
_MOST_HEADER_CHARACTERS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Client:
    """An application as an administrator registers it: a *Service account*, or one that signs people in.

    It authenticates with a signed JWT, a client secret, or either. With a redirect URI it may sign people in.

    Attributes:
        client_id: the client identifier (RFC 6749 section 2.2).
        public_key: a public key or certificate as a file has it, in PEM, DER or JSON, as text or bytes; or a JWK or
            JWK Set (RFC 7517) as a mapping.
        scopes: the scopes it may ask for.
        name: the application's name, ``clientName`` in the access token.
        institution_id: ``institutionId`` in the access token; by default made from the client ID.
        account_id: ``accountId`` in the access token: the *Associated User*, whose permissions apply.
        alg: the one ``alg`` it may sign with, ``token_endpoint_auth_signing_alg`` (OpenID Connect Registration
            section 2); None allows all that fit the key.
        client_secret: the client secret (RFC 6749 section 2.3.1); None allows a signed JWT only.
        redirect_uris: where users are sent back to; compared exactly.
        post_logout_redirect_uris: where users may be sent after signing out (RP-Initiated Logout section 3.1).
        id_token_signed_response_alg: the algorithm of ID tokens (OpenID Connect Registration section 2).
        require_pushed_authorization_requests: whether it must push its authorization requests (RFC 9126 section 6).
    """

    client_id: str
    public_key: str | bytes | Mapping[str, Any] | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    name: str = "Test Application"
    institution_id: str = ""
    account_id: str = ""
    alg: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    id_token_signed_response_alg: str = ID_TOKEN_ALGORITHMS[0]
    require_pushed_authorization_requests: bool = False

    def __post_init__(self) -> None:
        """Make the ids that were not given."""
        for name in ("institution_id", "account_id"):
            made = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:banno-creds:sandbox:{name}:{self.client_id}")
            object.__setattr__(self, name, getattr(self, name) or str(made))


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A checked registration, without the client secret. Authlib asks it what the client may do."""

    client: Client
    keys: tuple[RegisteredKey, ...]
    secret_digest: bytes | None = field(default=None, repr=False)  # SHA-256

    @classmethod
    def register(cls, client: Client) -> RegisteredClient:
        """Check a registration, and read its keys."""
        if client.public_key is None and not client.client_secret:
            raise ConfigurationError(
                f"the client {client.client_id} has neither a public key nor a client secret",
                hint="give the public.pem that banno-creds keygen makes, or the file of a client secret",
            )
        for uri in (*client.redirect_uris, *client.post_logout_redirect_uris):
            _check_redirect_uri(client.client_id, uri)
        if client.id_token_signed_response_alg not in ID_TOKEN_ALGORITHMS:
            raise ConfigurationError(
                f"the client {client.client_id} has an unknown id_token_signed_response_alg",
                hint=f"it may be {' or '.join(ID_TOKEN_ALGORITHMS)}",
            )
        keys = () if client.public_key is None else _read_keys(client.client_id, client.public_key)
        if client.alg is not None and keys:
            keys = tuple(key._replace(algorithms=(client.alg,)) for key in keys if client.alg in key.algorithms)
            if not keys:
                raise _unusable(client.client_id, f"is not good for the registered alg {client.alg}")
        digest = _digest(client.client_secret) if client.client_secret else None
        return cls(replace(client, client_secret=None), keys, digest)

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the client may use a grant (RFC 6749 section 5.2, ``unauthorized_client``)."""
        return grant_type == "client_credentials" or bool(self.client.redirect_uris)

    def check_endpoint_auth_method(self, _method: str, endpoint: str) -> bool:
        """Tell Authlib that the method is allowed; `ClientAuthentication` has checked it already."""
        return endpoint == "token"

    def has_secret(self, client_secret: str) -> bool:
        """Return whether this is the client secret, in the same time for a wrong one as for the right one."""
        return self.secret_digest is not None and hmac.compare_digest(_digest(client_secret), self.secret_digest)


def _digest(client_secret: str) -> bytes:
    return hashlib.sha256(client_secret.encode("utf-8", "surrogatepass")).digest()


def _check_redirect_uri(client_id: str, uri: str) -> None:
    """Refuse an unusable redirect URI (RFC 6749 section 3.1.2), and plain http to another machine."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if (
        not host
        or parts.scheme not in {"http", "https"}
        or (parts.scheme == "http" and not is_loopback(host))
        or parts.fragment
        or "#" in uri
        or _NOT_IN_A_URI.search(uri)
    ):
        raise ConfigurationError(
            f"the client {client_id} has an invalid redirect URI: '{printable(uri, 200)}'",
            hint="it is an absolute https URL without a fragment, or http on localhost",
        )


def _read_keys(client_id: str, public_key: str | bytes | Mapping[str, Any]) -> tuple[RegisteredKey, ...]:
    if isinstance(public_key, Mapping):
        return _read_jwks(client_id, public_key if "keys" in public_key else {"keys": [public_key]})
    try:
        read = read_public_keys(public_key.encode("utf-8", "replace") if isinstance(public_key, str) else public_key)
    except NoPublicKeyError as failure:
        if failure.is_private:
            raise _private(client_id) from None
        raise _unusable(client_id, str(failure) or "is not a public key in PEM", failure.hint) from None
    if read.is_private:
        raise _private(client_id)
    if read.jwks is not None:
        return _read_jwks(client_id, read.jwks)
    registered = [_registered_key(client_id, found.native, kid=None, alg=None) for found in read.found]
    keys = tuple(key for key in registered if key is not None)
    if not keys:
        raise _unusable(client_id, "is neither RSA nor P-256")
    return keys


def _read_jwks(client_id: str, registered: Mapping[str, Any]) -> tuple[RegisteredKey, ...]:
    jwks = registered["keys"]
    if not isinstance(jwks, list) or not all(isinstance(jwk, Mapping) for jwk in jwks):
        raise _unusable(client_id, 'has "keys" that are not an array of JWKs')
    keys = tuple(key for jwk in jwks if (key := _read_jwk(client_id, jwk)) is not None)
    if not keys:
        raise _unusable(client_id, "holds no RSA or P-256 key for signatures")
    return keys


def _read_jwk(client_id: str, jwk: Mapping[str, Any]) -> RegisteredKey | None:
    """Return the key; None if it has another use: RFC 7517 section 5 says to ignore such keys."""
    if jwk.get("kty") not in ("RSA", "EC") or jwk.get("use") not in ("sig", None):
        return None
    if jwk.get("d"):
        raise _private(client_id)
    if isinstance(jwk.get("key_ops"), list) and "verify" not in jwk["key_ops"]:
        return None
    try:
        with warnings.catch_warnings():
            # joserfc warns of a short key on stderr; it is refused below, in our own words.
            warnings.simplefilter("ignore", SecurityWarning)
            key = read_by(lambda: JWKRegistry.import_key(mended(jwk)))
    except UnreadableError:
        raise _unusable(client_id, "holds a JWK that cannot be read") from None
    if isinstance(key, OctKey):  # pragma: no cover - kty was checked; this tells the type checker
        return None
    kid = jwk.get("kid")
    return _registered_key(client_id, key.public_key, kid=kid if isinstance(kid, str) else None, alg=jwk.get("alg"))


def _registered_key(client_id: str, public_key: object, *, kid: str | None, alg: str | None) -> RegisteredKey | None:
    key: RSAKey | ECKey
    algorithms: tuple[str, ...]
    # The keys are imported again without the JWK's other members, which were checked above.
    if isinstance(public_key, RSAPublicKey):
        if public_key.key_size < _LEAST_RSA_BITS:
            raise _unusable(client_id, f"is RSA with {public_key.key_size} bits, fewer than {_LEAST_RSA_BITS}")
        key, algorithms = RSAKey.import_key(public_key), _RSA_ALGORITHMS
    elif isinstance(public_key, EllipticCurvePublicKey) and isinstance(public_key.curve, SECP256R1):
        key, algorithms = ECKey.import_key(public_key), _EC_ALGORITHMS
    else:
        return None
    if alg is not None:  # RFC 7517 section 4.4: a key may be for one algorithm only
        algorithms = tuple(name for name in algorithms if name == alg)
    if not algorithms:
        return None
    return RegisteredKey("the registered public key", algorithms, partial(_verifies, key), kid)


def _verifies(key: RSAKey | ECKey, compact: str, alg: str) -> bool:
    """Return whether this key made the signature; joserfc checks it, not the library that signs in this package."""
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    registry.max_header_length = _MOST_HEADER_CHARACTERS
    try:
        jws.deserialize_compact(compact, key, registry=registry)
    except (JoseError, ValueError):
        return False
    return True


def _private(client_id: str) -> ConfigurationError:
    return ConfigurationError(
        f"the key registered for {client_id} is a private key",
        hint="give the public half: banno-creds keygen --public-from FILE makes it",
    )


def _unusable(client_id: str, fault: str, hint: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        f"the public key registered for {client_id} {fault}",
        hint=hint or "give the public.pem that banno-creds keygen makes, or the public key as JWK or JWK Set",
    )
