"""The configuration of a run: the client, its key, the endpoint, the request. Plain values, checked once.

The command line, a profile or a Python program fills them in. `checks` has what no bound of a setting is needed for.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from banno_creds.checks import (
    check_aud,
    check_callable,
    check_claims,
    check_client_id,
    check_duration,
    check_kid,
    check_names,
    check_path,
    check_resource,
    check_scope,
    check_seconds,
    check_texts,
    check_type,
    check_url,
    is_loopback,
    not_seconds,
)
from banno_creds.errors import ConfigurationError
from banno_creds.key_uri import check_key_uri, is_key_uri
from banno_creds.storage import own_files
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    Location = str | os.PathLike[str]

KEY_VARIABLE = "BANNO_CREDS_PRIVATE_KEY_PEM"
"""The variable with the private key itself, which a CI job gets from a secret."""
SECRET_VARIABLE = "BANNO_CREDS_CLIENT_SECRET"  # noqa: S105 - a variable's name
"""The variable with the client secret itself."""

ENVIRONMENTS: Mapping[str, str] = {
    "production": "https://login.jackhenry.com/a/oidc-provider/api/v0/token",
    # Still documented by the vendor for older applications.
    "legacy": "https://banno.com/a/oidc-provider/api/v0/token",
}
"""The named token endpoints."""

ALGORITHMS = ("PS256", "RS256", "ES256")
"""The signature algorithms that the provider accepts."""

CLIENT_AUTHENTICATIONS: Mapping[str, str] = {
    "basic": "client_secret_basic",
    "post": "client_secret_post",
    **{name: name for name in ("private_key_jwt", "client_secret_basic", "client_secret_post")},
}
"""The ways in which a client proves who it is: how they may be given, and their names in the standard."""
WHOSE = ("application", "person")
"""Whose token a command may be asked for."""
REGISTRATIONS = ("pem", "jwks-uri")
"""How the bank has the public key: pasted as PEM, or at a URL that it fetches a JWK Set from."""

PIN_VARIABLE = "BANNO_CREDS_PKCS11_PIN"
"""The variable with the PIN of a PKCS #11 token."""

DEFAULT_ENVIRONMENT = "production"
DEFAULT_API_BASE = "https://banno.com"
DEFAULT_SCOPE = "openid"
DEFAULT_LOGIN_SCOPE = ("openid", "profile")
DEFAULT_REDIRECT_URI = "https://localhost:8080/auth/cb"  # the vendor's own example
MOST_MAX_AGE = 10 * 365 * 24 * 3600
DEFAULT_LIFETIME = 60
MOST_LIFETIME = 300  # the vendor's limit: exp at most 5 minutes ahead
DEFAULT_TIMEOUT = 30.0
MOST_TIMEOUT = 3600
DEFAULT_MIN_TTL = 60  # how long a token from the cache must still be good, in seconds
MOST_MIN_TTL = 24 * 3600
MOST_LEEWAY = 3600  # clocks do not differ by more
# How hard many clients may press one server together.
DEFAULT_JOBS = 8  # requests at a time
DEFAULT_RATE = 10.0  # requests a second
DEFAULT_GIVE_UP_AFTER = 5  # refusals in a row

# Claims and form parameters that banno-creds sends itself, each with the field that sets it, if there is one.
RESERVED_CLAIMS: Mapping[str, str] = {
    "iss": "client_id",
    "sub": "client_id",
    "aud": "aud",
    "exp": "lifetime",
    "iat": "iat",
    "jti": "",
}
RESERVED_PARAMS: Mapping[str, str] = {
    "grant_type": "",
    "client_assertion": "",
    "client_assertion_type": "",
    "client_secret": "",  # a secret has no place in an argument
    "scope": "scope",
    "resource": "resource",
}


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the private key is: a file's path, its content if it was read already, or a held key's URI.

    A key that is held elsewhere (an HSM, a KMS) signs there, and never enters this process.
    """

    origin: str
    path: Path | None = None
    content: bytes | None = field(default=None, repr=False)
    allow_writable: bool = False
    uri: str | None = None

    def __post_init__(self) -> None:
        """Check the types: the key is read much later, where nobody would know which value was wrong."""
        check_type("origin", self.origin, str)
        check_path("path", self.path, 'KeySource.file("…") takes text')
        check_type("content", self.content, bytes, None, hint="encode the text: content=pem.encode()")
        check_type("allow_writable", self.allow_writable, bool)
        check_type("uri", self.uri, str, None)
        if self.uri is not None:
            check_key_uri(self.uri)

    @classmethod
    def at(cls, place: str | Path) -> KeySource:
        """A key in a file, or one that is held elsewhere.

        Args:
            place: the file's path, or a URI such as ``vault:transit/banno``, ``awskms:alias/banno``,
                ``pkcs11:token=banno;object=signing`` (RFC 7512) or ``ssh-agent:SHA256:…``.

        Returns:
            The source; messages call it by its path or URI.

        Raises:
            ConfigurationError: the URI has a secret in it.
        """
        if isinstance(place, str) and is_key_uri(place):
            return cls(place, uri=place)
        return cls.file(place)

    @classmethod
    def file(cls, path: str | Path) -> KeySource:
        """A key in a file.

        Args:
            path: the file; a relative path counts from the current folder.

        Returns:
            The source; messages call it by its path.
        """
        from pathlib import Path

        check_type("path", path, str, Path)
        return cls(str(path), path=Path(path))


class TypedSecret(bytes):
    """A PIN or passphrase that a person typed for this run: a token's last tries are for such a one."""


def no_passphrase() -> None:
    """Give no passphrase; a function with a name, so that a configuration can be pickled."""


class Wanted(NamedTuple):
    """Which access token will do.

    Attributes:
        min_ttl: how long a token from the cache must still be good, in seconds.
        force_refresh: take no token, and no refusal, that was there before this call.
        not_token: an access token that an API refused (401): any other will do. If the cache has none, one new token
            is fetched, however many ask. It is given all the same if it replaced a refused one less than
            `cache_entry.REFUSAL_SECONDS` ago: such an API does not mind the token.
    """

    min_ttl: int = DEFAULT_MIN_TTL
    force_refresh: bool = False
    not_token: str | None = None

    def __repr__(self) -> str:
        return f"Wanted(min_ttl={self.min_ttl!r}, force_refresh={self.force_refresh!r})"


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """One client and one token request.

    Attributes:
        client_id: the client ID that Users & Groups shows.
        private_key: where the key is.
        passphrase: called if the key is encrypted; None means there is no passphrase.
        token_endpoint: its exact URL; None means that the issuer's discovery document names it.
        issuer: the issuer whose discovery document names the token endpoint.
        alg: PS256, RS256 or ES256; None means the one that fits the key.
        kid: a key ID for the JOSE header; ``thumbprint`` means the key's own (RFC 7638). None means the one that
            suits ``registration``.
        registration: ``pem`` or ``jwks-uri``, as the bank has the public key. With a JWKS URI the key's thumbprint
            is sent as ``kid``; with a PEM, and if it is not known, none.
        aud: the audience; None means the token endpoint's URL.
        lifetime: how long the assertion is valid, in seconds, 1 to 300.
        iat: whether to send the claim ``iat``.
        claims: further claims.
        scope: the requested scope values; none means to send no ``scope``.
        resource: resource indicators (RFC 8707).
        params: further form parameters.
        client_id_in_body: whether to send ``client_id`` beside the assertion (RFC 7521 section 4.2).
        timeout: how long the whole exchange may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.
        key_max_age: how old the key may get, such as ``400d``, ``57w`` or ``36h``; an older one is warned of.
        allow_other_aud: whether an assertion may go to another server than the one that ``aud`` names.
        cache_url: the Redis or Valkey server that many machines share tokens by: ``rediss://…``, ``redis://…`` or
            ``unix://…``; None for this machine's own cache. It may have the server's password in it.
        cache_secret_file: a file with the secret that all those machines have, which seals what the server keeps.
            None for the private key, if that is a file without a passphrase.
        cache_password_file: a file with the server's password.

    Raises:
        ConfigurationError: a value is invalid, or contradicts another.
    """

    client_id: str
    private_key: KeySource
    passphrase: Callable[[], bytes | None] = no_passphrase
    token_endpoint: str | None = ENVIRONMENTS[DEFAULT_ENVIRONMENT]
    issuer: str | None = None
    alg: str | None = None
    kid: str | None = None
    aud: str | None = None
    lifetime: int = DEFAULT_LIFETIME
    iat: bool = False
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    scope: tuple[str, ...] = (DEFAULT_SCOPE,)
    resource: tuple[str, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    timeout: float = DEFAULT_TIMEOUT
    ca_bundle: Path | None = None
    client_id_in_body: bool = False
    allow_other_aud: bool = False
    registration: str | None = None
    key_max_age: str | None = None
    cache_url: str | None = field(default=None, repr=False)
    cache_secret_file: Path | None = None
    cache_password_file: Path | None = None

    @classmethod
    def from_profile(cls, name: str, file: Location | None = None) -> ClientConfig:
        """The client and request of a profile; no environment variable is read.

        Args:
            name: the profile's name.
            file: the file with the profiles; None for the user's own ``config.toml``.

        Returns:
            The configuration. Its key is read when it is needed.

        Raises:
            ConfigurationError: there is no such profile, it has a fault, no client ID or no private key, or is meant
                for a person's token.
        """
        from banno_creds.profiles.client import read_client

        check_type("name", name, str)
        check_type("file", file, str, os.PathLike, None)
        return read_client(name, file)

    @property
    def key_id(self) -> str | None:
        """The key ID to send: ``thumbprint`` means the key's own; None means none."""
        return self.kid or ("thumbprint" if self.registration == "jwks-uri" else None)

    def __post_init__(self) -> None:
        """Check the values here, because the server would refuse them later and less clearly."""
        self._check_types()
        check_client_id(self.client_id)
        check_lifetime(self.lifetime)
        check_timeout(self.timeout)
        if self.key_max_age is not None:
            check_duration("key_max_age", self.key_max_age)
        check_kid(self.kid)
        check_aud(self.aud)
        check_scope(self.scope)
        check_resource(self.resource)
        check_texts("params", [text for pair in self.params for text in pair], whole=False)
        check_names("claims", self.claims, RESERVED_CLAIMS)
        check_names("params", [name for name, _ in self.params], RESERVED_PARAMS)
        if self.token_endpoint is None and self.issuer is None:
            raise ConfigurationError(
                f"there is neither {setting('token_endpoint')} nor {setting('issuer')}", hint="give one of them"
            )
        if self.token_endpoint is not None:
            check_url(self.token_endpoint, "the token endpoint")
        if self.issuer is not None:
            check_url(self.issuer, "the issuer")
        if self.cache_url is not None:
            from banno_creds.cache_address import read_cache_url

            read_cache_url(self.cache_url)

    def _check_types(self) -> None:
        from collections.abc import Mapping

        check_type("private_key", self.private_key, KeySource, hint='write KeySource.file("private.pem")')
        if self.registration is not None and self.registration not in REGISTRATIONS:
            raise ConfigurationError(
                f"{setting('registration')} is none of {', '.join(REGISTRATIONS)}", hint="write jwks-uri or pem"
            )
        check_callable("passphrase", self.passphrase)
        check_type("client_id", self.client_id, str)
        for name in ("token_endpoint", "issuer", "alg", "kid", "aud", "cache_url"):
            check_type(name, getattr(self, name), str, None)
        check_type("iat", self.iat, bool)
        check_type("allow_other_aud", self.allow_other_aud, bool)
        for name in ("ca_bundle", "cache_secret_file", "cache_password_file"):
            check_path(name, getattr(self, name))
        for name in ("scope", "resource", "params"):
            given = getattr(self, name)
            if isinstance(given, str):  # which is a sequence of texts too, a letter each
                raise ConfigurationError(
                    f"{name} is one text, and has to be a tuple of texts", hint=f'write {name}=("…",)'
                )
            check_type(name, given, tuple, list)
            object.__setattr__(self, name, tuple(given))  # a list could change later, and has no hash
        for name in ("scope", "resource"):
            for text in getattr(self, name):
                check_type(name, text, str)
        pairs: tuple[object, ...] = self.params
        if not all(isinstance(pair, tuple | list) and [*map(type, pair)] == [str, str] for pair in pairs):
            raise ConfigurationError(
                f"{setting('params')} has to be pairs of texts", hint='write params=(("name", "value"),)'
            )
        check_type("claims", self.claims, Mapping)
        check_claims(self.claims)
        object.__setattr__(self, "claims", dict(self.claims))


def find_config_file(named: Location | None) -> str | None:
    """Return the path of the configuration file, whether it exists or not; None if there is no home.

    Unless one was ``named``, it is the one in the user's own folder.

    Raises:
        ConfigurationError: see `absolute`.
    """
    if named is not None:
        return absolute(os.path.expanduser(named))  # noqa: PTH111 - pathlib would slow down every run
    folder = own_files.config_folder()
    return None if folder is None else os.path.join(folder, "config.toml")  # noqa: PTH118


def absolute(path: Location) -> str:
    """Return an absolute path: a relative one counts from the current folder, and links in it are kept.

    Raises:
        ConfigurationError: it is relative, and the current folder was removed.
    """
    try:
        return os.path.abspath(path)  # noqa: PTH100
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} counts from the current folder, which was removed", hint="cd to an existing folder"
        ) from None


def check_redirect_uri(url: str) -> str:
    """Return a redirect URI; ConfigurationError if it is relative or has a fragment (RFC 6749 section 3.1.2)."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+", url) or "#" in url:
        raise ConfigurationError(
            f"the redirect URI {url!a} is no absolute URI without a fragment",
            hint=f"give it exactly as it is registered, such as {DEFAULT_REDIRECT_URI}",
        )
    return url


def check_timeout(timeout: float) -> None:
    """Check the seconds that an exchange may take; ConfigurationError if they are no time, or have no end."""
    check_type("timeout", timeout, int, float)
    if not 0 < timeout <= MOST_TIMEOUT:  # also refuses NaN
        raise not_seconds(
            "timeout", f"{min(timeout, 1e9):g}", f"more than 0 s and at most {MOST_TIMEOUT} s", DEFAULT_TIMEOUT
        )


def check_lifetime(lifetime: int) -> None:
    """Check an assertion's lifetime in seconds; ConfigurationError if the provider would not accept it."""
    check_seconds("lifetime", lifetime, 1, MOST_LIFETIME, DEFAULT_LIFETIME)


def check_min_ttl(min_ttl: int) -> None:
    """Check how long a token must still be good, in seconds; ConfigurationError if no token is good for so long."""
    check_seconds("min_ttl", min_ttl, 0, MOST_MIN_TTL, DEFAULT_MIN_TTL)


def check_audience(aud: str | None, endpoints: Iterable[str | None], *, allow_other: bool) -> None:
    """Refuse to send an assertion to another server than the one that it is for.

    Anybody who gets hold of an assertion can use it at its audience, until it expires.

    Args:
        aud: the configured audience; None for the endpoint itself.
        endpoints: where it would go, and what is known to belong to that server: its issuer.
        allow_other: whether the user said that the two belong together.

    Raises:
        ConfigurationError: the hosts differ, and nothing says that they belong together.
    """
    if aud is None or allow_other:
        return
    theirs = [endpoint for endpoint in endpoints if endpoint]
    host, hosts = _host(aud), {_host(endpoint) for endpoint in theirs}
    # An audience without a host, such as a URN, is no other server's address.
    if host is None or host in hosts:
        return
    if {host, *hosts} <= _VENDOR or all(map(is_loopback, {host, *map(str, hosts)})):
        return
    raise ConfigurationError(
        f"an assertion for {aud} would go to another server, {theirs[0]}",
        hint=f"leave {setting('aud')} out; if both belong together, say so with {setting('allow_other_aud')}",
        rule="assertion.aud.mismatch",
    )


# The hosts of the named environments; the issuer of the older one stands under www.
_VENDOR = {*(urlsplit(url).hostname for url in ENVIRONMENTS.values()), "www.banno.com"}


def _host(url: str) -> str | None:
    try:
        host = urlsplit(url.strip()).hostname
    except ValueError:
        return url  # it is nobody's
    return None if host is None else host.rstrip(".")
