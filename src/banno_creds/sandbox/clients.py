"""Who may ask: the registered clients and the public keys that verify their assertions."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OctKey, RSAKey

from banno_creds.errors import ConfigurationError
from banno_creds.rules import RegisteredKey

DEFAULT_SCOPES: Final = (
    "openid",
    "https://jackhenry.com/consumer-user-search",
    "https://jackhenry.com/consumer-users.read",
    "https://jackhenry.com/institution-users.read",
)

# RFC 7518 sections 3.3 and 3.5 ask for 2048 bits or more of any RSA key that signs.
_LEAST_RSA_BITS: Final = 2048
_RSA_ALGORITHMS: Final = ("RS256", "PS256")
_EC_ALGORITHMS: Final = ("ES256",)
# joserfc allows 512 bytes, less than a header with a certificate chain in it.
_MOST_HEADER_CHARACTERS: Final = 16_384


def _fresh_uuid() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Client:
    """A *Service account* application with *Signed JWT*, as an administrator registers it.

    Attributes:
        client_id: the client identifier (RFC 6749 section 2.2).
        public_key: the public key as PEM text, or a JWK or JWK Set (RFC 7517) as a mapping or as JSON text.
        scopes: the scopes it may ask for.
        name: the application's name, ``clientName`` in the access token.
        institution_id: ``institutionId`` in the access token.
        account_id: ``accountId`` in the access token: whose permissions apply, the *Associated User*.
        alg: the one ``alg`` it may sign with, ``token_endpoint_auth_signing_alg`` (OpenID Connect Registration
            section 2); None leaves it to the key.
    """

    client_id: str
    public_key: str | Mapping[str, Any] = field(repr=False)
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    name: str = "Test Application"
    institution_id: str = field(default_factory=_fresh_uuid)
    account_id: str = field(default_factory=_fresh_uuid)
    alg: str | None = None


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client whose registration has been read; what Authlib asks a client is answered here.

    Attributes:
        client: the registration.
        keys: its public keys, at least one.
    """

    client: Client
    keys: tuple[RegisteredKey, ...]

    @classmethod
    def register(cls, client: Client) -> RegisteredClient:
        """Read a registration.

        Args:
            client: the registration.

        Returns:
            The client with its keys.

        Raises:
            ConfigurationError: the public key cannot be read, is private, or is of a sort that no client may use.
        """
        keys = _read_keys(client)
        if client.alg is not None:
            keys = tuple(replace(key, algorithms=(client.alg,)) for key in keys if client.alg in key.algorithms)
            if not keys:
                raise _unusable(client.client_id, f"is not good for the registered alg {client.alg}")
        return cls(client, keys)

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell Authlib whether the client may use a grant (RFC 6749 section 5.2, ``unauthorized_client``)."""
        return grant_type == "client_credentials"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Tell Authlib whether the client may authenticate so (RFC 7591 section 2)."""
        return method == "private_key_jwt" and endpoint == "token"


def _read_keys(client: Client) -> tuple[RegisteredKey, ...]:
    public_key = client.public_key
    if isinstance(public_key, str):
        if not public_key.lstrip().startswith("{"):
            return (_read_pem(client.client_id, public_key),)
        try:
            public_key = json.loads(public_key)
        except ValueError:
            raise _unusable(client.client_id, "is not valid JSON") from None
    jwks = public_key.get("keys", [public_key])
    if not isinstance(jwks, list) or not all(isinstance(jwk, Mapping) for jwk in jwks):
        raise _unusable(client.client_id, 'has "keys" that are not an array of JWKs')
    keys = tuple(key for jwk in jwks if (key := _read_jwk(client.client_id, jwk)) is not None)
    if not keys:
        raise _unusable(client.client_id, "holds no RSA or P-256 key for signatures")
    return keys


def _read_pem(client_id: str, pem: str) -> RegisteredKey:
    if "PRIVATE KEY" in pem:
        raise _private(client_id)
    try:
        public_key = load_pem_public_key(pem.encode())
    except ValueError:
        raise _unusable(client_id, "is not a public key in PEM") from None
    registered = _registered_key(client_id, public_key, kid=None, alg=None)
    if registered is None:
        raise _unusable(client_id, "is neither RSA nor P-256")
    return registered


def _read_jwk(client_id: str, jwk: Mapping[str, Any]) -> RegisteredKey | None:
    """Read one JWK; None where it is not for us: RFC 7517 section 5 has such keys of a set ignored."""
    if jwk.get("kty") not in {"RSA", "EC"} or jwk.get("use", "sig") != "sig":
        return None
    if "d" in jwk:
        raise _private(client_id)
    if isinstance(jwk.get("key_ops"), list) and "verify" not in jwk["key_ops"]:
        return None
    try:
        with warnings.catch_warnings():
            # Of a short key joserfc warns on stderr; it is refused below, in words of ours.
            warnings.simplefilter("ignore", SecurityWarning)
            key = JWKRegistry.import_key(dict(jwk))
    except (JoseError, ValueError, TypeError, KeyError):
        raise _unusable(client_id, "holds a JWK that cannot be read") from None
    if isinstance(key, OctKey):  # pragma: no cover - kty was checked; this tells the type checker
        return None
    kid = jwk.get("kid")
    return _registered_key(client_id, key.public_key, kid=kid, alg=jwk.get("alg"))


def _registered_key(client_id: str, public_key: object, *, kid: str | None, alg: str | None) -> RegisteredKey | None:
    key: RSAKey | ECKey
    algorithms: tuple[str, ...]
    # The keys are imported anew, without the JWK's other members: those have been dealt with here.
    if isinstance(public_key, RSAPublicKey):
        if public_key.key_size < _LEAST_RSA_BITS:
            raise _unusable(client_id, f"is RSA with {public_key.key_size} bits, fewer than {_LEAST_RSA_BITS}")
        key, algorithms = RSAKey.import_key(public_key), _RSA_ALGORITHMS
    elif isinstance(public_key, EllipticCurvePublicKey) and isinstance(public_key.curve, SECP256R1):
        key, algorithms = ECKey.import_key(public_key), _EC_ALGORITHMS
    else:
        return None
    if alg is not None:  # RFC 7517 section 4.4: a key may be meant for one algorithm alone
        algorithms = tuple(name for name in algorithms if name == alg)
    if not algorithms:
        return None
    return RegisteredKey("the registered public key", algorithms, partial(_verifies, key), kid)


def _verifies(key: RSAKey | ECKey, compact: str, alg: str) -> bool:
    """Whether a key made a signature. joserfc says it, and not the library that signs in this package."""
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    registry.max_header_length = _MOST_HEADER_CHARACTERS
    try:
        jws.deserialize_compact(compact, key, registry=registry)
    except (JoseError, ValueError):
        return False
    return True


def _private(client_id: str) -> ConfigurationError:
    return ConfigurationError(
        f"what is registered for {client_id} is a private key",
        hint="give the public half: banno-creds keygen --public-from FILE makes it",
    )


def _unusable(client_id: str, fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"the public key registered for {client_id} {fault}",
        hint="give the public.pem that banno-creds keygen makes, or its like as a JWK or JWK Set",
    )
