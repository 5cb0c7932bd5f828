"""What a run is to do: the client, its key, the endpoint, the request. Plain values, checked once.

The command line and a profile fill these in; the flow reads them and decides nothing twice.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from banno_creds.errors import ConfigurationError
from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Location = str | os.PathLike[str]

CONFIG_VARIABLE = "BANNO_CREDS_CONFIG"
KEY_VARIABLE = "BANNO_CREDS_PRIVATE_KEY_PEM"
"""The variable that holds a private key itself, as a CI job has it from a secret."""
SECRET_VARIABLE = "BANNO_CREDS_CLIENT_SECRET"  # noqa: S105 - a variable's name
"""The variable that holds a client secret itself."""

ENVIRONMENTS: Mapping[str, str] = {
    "production": "https://login.jackhenry.com/a/oidc-provider/api/v0/token",
    # Still documented by the vendor for older applications.
    "legacy": "https://banno.com/a/oidc-provider/api/v0/token",
}
"""The named token endpoints."""

ALGORITHMS = ("PS256", "RS256", "ES256")
"""What the provider takes a signature of."""

DEFAULT_ENVIRONMENT = "production"
DEFAULT_API_BASE = "https://banno.com"
DEFAULT_SCOPE = "openid"
DEFAULT_LOGIN_SCOPE = ("openid", "profile")
DEFAULT_REDIRECT_URI = "https://localhost:8080/auth/cb"  # that of the vendor's own example
MOST_MAX_AGE = 10 * 365 * 24 * 3600
DEFAULT_LIFETIME = 60
MOST_LIFETIME = 300  # the vendor's limit: exp at most 5 minutes ahead
DEFAULT_TIMEOUT = 30.0
MOST_TIMEOUT = 3600
DEFAULT_MIN_TTL = 60  # how long a token from the cache must still be good, in seconds
MOST_MIN_TTL = 24 * 3600
MOST_LEEWAY = 3600  # more would no longer be a difference between clocks

# What the assertion and the request say by themselves, and the option for it where there is one; a --claim or
# --param of the same name would contradict.
RESERVED_CLAIMS: Mapping[str, str] = {
    "iss": "--client-id",
    "sub": "--client-id",
    "aud": "--aud",
    "exp": "--lifetime",
    "iat": "--iat",
    "jti": "",
}
RESERVED_PARAMS: Mapping[str, str] = {
    "grant_type": "",
    "client_assertion": "",
    "client_assertion_type": "",
    "client_secret": "",  # a secret has no place in an argument
    "scope": "--scope",
    "resource": "--resource",
}


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the private key is: a file's path, or what was read from elsewhere already."""

    origin: str
    path: Path | None = None
    content: bytes | None = field(default=None, repr=False)
    allow_writable: bool = False

    @classmethod
    def file(cls, path: str | Path) -> KeySource:
        """A key in a file.

        Args:
            path: the file; a relative path counts from the current folder.

        Returns:
            The key's source, named by its path in messages.
        """
        from pathlib import Path

        return cls(str(path), path=Path(path))


class Wanted(NamedTuple):
    """Which access token will do.

    Attributes:
        min_ttl: how long a token from the cache must still be good, in seconds.
        force_refresh: take no token, and no refusal, that was there before this call.
        not_token: an access token that an API refused (401): any other will do. If the cache has none, one new token
            is fetched, however many ask. It is given all the same if it replaced a refused one less than
            `cache.REFUSAL_SECONDS` ago: such an API does not mind the token.
    """

    min_ttl: int = DEFAULT_MIN_TTL
    force_refresh: bool = False
    not_token: str | None = None

    def __repr__(self) -> str:
        return f"Wanted(min_ttl={self.min_ttl!r}, force_refresh={self.force_refresh!r})"


@dataclass(frozen=True, slots=True)
class TokenChecks:
    """What to make sure of when a token is decoded; by default nothing.

    Attributes:
        public_key: a file with the public key, certificate, JWK or JWK Set that may have signed it.
        jwks: a JWK Set's file or URL.
        issuer: what ``iss`` must be; without a key, also whose discovery document names the JWK Set.
        audience: what ``aud`` must be or contain.
        expiry: whether it must be in its time. A verified token always must.
        leeway: by how many seconds the clocks may differ.
        timeout: how long fetching keys may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.

    Raises:
        ConfigurationError: the values do not go together.
    """

    public_key: Path | None = None
    jwks: str | None = None
    issuer: str | None = None
    audience: str | None = None
    expiry: bool = False
    leeway: int = 0
    timeout: float = DEFAULT_TIMEOUT
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.public_key is not None and self.jwks is not None:
            raise ConfigurationError(
                "--public-key and --jwks exclude each other", hint="give the one that holds the issuer's key"
            )
        if self.audience is not None and not self.signature:
            raise ConfigurationError(
                "--audience alone proves nothing: without a key anybody can have written the token",
                hint="add --issuer URL, --jwks FILE|URL or --public-key FILE",
            )
        if not 0 <= self.leeway <= MOST_LEEWAY:
            raise ConfigurationError(
                f"a leeway of {self.leeway} s cannot be: 0 to {MOST_LEEWAY} s", hint="leave --leeway out for 0 s"
            )
        check_timeout(self.timeout)
        if self.jwks is not None and is_url(self.jwks):
            check_url(self.jwks, "the JWK Set's URL")
        if self.issuer is not None:
            check_url(self.issuer, "the issuer")

    @property
    def signature(self) -> bool:
        """Whether the signature is to be verified."""
        return self.public_key is not None or self.jwks is not None or self.issuer is not None


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """One client and one token request.

    Attributes:
        client_id: as Users & Groups gave it.
        private_key: where the key is.
        passphrase: called if the key is encrypted; None means there is none.
        token_endpoint: its exact URL; None means to ask the issuer's discovery document.
        issuer: the issuer whose discovery document names the token endpoint.
        alg: PS256, RS256 or ES256; None means what fits the key.
        kid: a key ID for the JOSE header; ``thumbprint`` means the key's own (RFC 7638).
        aud: the audience; None means the token endpoint's URL.
        lifetime: how long the assertion is good, in seconds, 1 to 300.
        iat: whether to send the claim ``iat``.
        claims: further claims.
        scope: the scope values asked for; none means to send no ``scope``.
        resource: resource indicators (RFC 8707).
        params: further form parameters.
        timeout: how long the whole exchange may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.

    Raises:
        ConfigurationError: a value cannot be meant.
    """

    client_id: str
    private_key: KeySource
    passphrase: Callable[[], bytes | None] = lambda: None
    token_endpoint: str | None = ENVIRONMENTS[DEFAULT_ENVIRONMENT]
    issuer: str | None = None
    alg: str | None = None
    kid: str | None = None
    aud: str | None = None
    lifetime: int = DEFAULT_LIFETIME
    iat: bool = False
    claims: Mapping[str, Any] = field(default_factory=dict)
    scope: tuple[str, ...] = (DEFAULT_SCOPE,)
    resource: tuple[str, ...] = ()
    params: tuple[tuple[str, str], ...] = ()
    timeout: float = DEFAULT_TIMEOUT
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what could only be refused later, less clearly, by the server."""
        check_client_id(self.client_id)
        if not isinstance(self.private_key, KeySource):
            raise ConfigurationError(
                "private_key is no KeySource", hint='write private_key=KeySource.file("private.pem")'
            )
        check_lifetime(self.lifetime)
        check_timeout(self.timeout)
        for name in ("scope", "resource"):
            if isinstance(getattr(self, name), str):  # which is a sequence of texts too, a letter each
                raise ConfigurationError(
                    f"{name} is one text, and has to be a tuple of texts", hint=f'write {name}=("…",)'
                )
        texts = (self.kid, self.aud, *self.scope, *self.resource, *(text for pair in self.params for text in pair))
        if any(text is not None and not text.isprintable() for text in texts):
            raise ConfigurationError(
                "a control character, such as a line end, is in --kid, --aud, --scope, --resource or --param",
                hint="take it out; in CI, look at the last character of a variable",
            )
        _check_names("claim", self.claims, RESERVED_CLAIMS)
        _check_names("param", [name for name, _ in self.params], RESERVED_PARAMS)
        if self.token_endpoint is not None:
            check_url(self.token_endpoint, "the token endpoint")
        if self.issuer is not None:
            check_url(self.issuer, "the issuer")


def find_config_file(named: Location | None) -> str | None:
    """Return the path of the configuration file, whether it exists or not.

    Args:
        named: the file that the user named; None for the one in the user's own folder.

    Returns:
        The path; None if there is no home.

    Raises:
        ConfigurationError: see `absolute`.
    """
    if named is not None:
        return absolute(os.path.expanduser(named))  # noqa: PTH111 - pathlib would slow down every run
    folder = own_files.config_folder()
    return None if folder is None else os.path.join(folder, "config.toml")  # noqa: PTH118


def absolute(path: Location) -> str:
    """A path that means the same from every folder.

    Args:
        path: the path; a relative one counts from the current folder. Links in it are kept.

    Returns:
        The whole path.

    Raises:
        ConfigurationError: it is relative, and the current folder is gone.
    """
    try:
        return os.path.abspath(path)  # noqa: PTH100
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} counts from the current folder, and that is gone", hint="cd to a folder that is there"
        ) from None


def check_url(url: str, what: str) -> str:
    """Make sure that a URL may be sent credentials: https, or plain http to this very machine.

    Args:
        url: the URL.
        what: how the message names it.

    Returns:
        The same URL.

    Raises:
        ConfigurationError: naming all its faults at once.
    """
    faults = []
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        shown = "(not shown)" if "@" in url else ascii(url)
        raise ConfigurationError(f"{what} {shown} is no URL", hint="write it as https://host/path") from None
    if re.search(r"[^\x21-\x7e]", url):
        faults.append("it has white space or characters outside ASCII in it")
    if parts.scheme not in ("http", "https"):
        faults.append("it does not start with https://")
    elif not host:
        faults.append("it names no host")
    elif parts.scheme == "http" and not is_loopback(host):
        faults.append("plain http is for loopback only; what is sent there could be read on the way")
    if parts.username is not None or parts.password is not None:
        faults.append("it carries a user name or password")
    if parts.fragment or url.endswith("#"):
        faults.append("it has a fragment (#…)")
    if faults:
        shown = url if parts.username is None and parts.password is None else "(not shown)"
        raise ConfigurationError(
            f"{what} {shown!a} cannot be used: {'; '.join(faults)}",
            hint="write it as the provider documents it, with https://; http:// is for localhost alone",
        )
    return url


def check_origin(url: str, what: str) -> str:
    """Make sure that a URL names no more than where a token may go: scheme, host and port (RFC 6454 section 4).

    Args:
        url: the URL.
        what: how the message names it.

    Returns:
        The same without a slash at its end.

    Raises:
        ConfigurationError: it cannot be used, or has a path.
    """
    check_url(url, what)
    if urlsplit(url).path not in ("", "/") or "?" in url:
        raise ConfigurationError(
            f"{what} {url!a} has more in it than scheme, host and port",
            hint="write it as https://host; the path belongs to each request",
        )
    return url.rstrip("/")


def check_redirect_uri(url: str) -> str:
    """Make sure that a redirect URI is absolute, and has no fragment (RFC 6749 section 3.1.2).

    Args:
        url: as it was registered.

    Returns:
        The same.

    Raises:
        ConfigurationError: it cannot be one.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+", url) or "#" in url:
        raise ConfigurationError(
            f"the redirect URI {url!a} is no absolute URI without a fragment",
            hint=f"give it exactly as it is registered, such as {DEFAULT_REDIRECT_URI}",
        )
    return url


def is_url(text: str) -> bool:
    """Whether a value that may be a file or a URL is a URL."""
    return text.lower().startswith(("http://", "https://"))


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine: ``localhost``, 127.0.0.0/8 or ::1.

    Names under ``.localhost`` are not taken: some resolvers ask the network for them.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_timeout(timeout: float) -> None:
    """Make sure that an exchange can have so many seconds.

    Args:
        timeout: the seconds.

    Raises:
        ConfigurationError: nothing could be done in them, or they are without an end.
    """
    if not 0 < timeout <= MOST_TIMEOUT:  # a NaN is not, either
        raise ConfigurationError(
            f"a time-out of {timeout:g} s cannot be: more than 0 and at most {MOST_TIMEOUT} s",
            hint=f"leave --timeout out for {DEFAULT_TIMEOUT:g} s",
        )


def check_lifetime(lifetime: int) -> None:
    """Make sure that the provider takes an assertion which is good so long.

    Args:
        lifetime: the seconds.

    Raises:
        ConfigurationError: it does not.
    """
    if not 1 <= lifetime <= MOST_LIFETIME:
        raise ConfigurationError(
            f"a lifetime of {lifetime} s cannot be: the provider takes 1 to {MOST_LIFETIME} s",
            hint=f"leave --lifetime out for {DEFAULT_LIFETIME} s",
        )


def check_min_ttl(min_ttl: int) -> None:
    """Make sure that a token can be asked to be good for so long.

    Args:
        min_ttl: the seconds.

    Raises:
        ConfigurationError: no token is.
    """
    if not 0 <= min_ttl <= MOST_MIN_TTL:
        raise ConfigurationError(
            f"a token that is good for another {min_ttl} s cannot be asked for: 0 to {MOST_MIN_TTL} s",
            hint=f"leave --min-ttl out for {DEFAULT_MIN_TTL} s",
        )


def check_client_id(client_id: str) -> None:
    """Make sure that a client ID is one as it was copied.

    Args:
        client_id: the client ID.

    Raises:
        ConfigurationError: it is empty, or has something in it that Users & Groups never shows.
    """
    if not client_id:
        raise ConfigurationError(
            "the client ID is empty", hint="Users & Groups shows it after the application was saved"
        )
    # RFC 6749 appendix A.1: VSCHAR. White space around it is a copied line end, never meant.
    if client_id != client_id.strip(" \t\r\n\"'`") or not re.fullmatch(r"[\x20-\x7e]+", client_id):
        raise ConfigurationError(
            f"the client ID {client_id!a} has white space or quotation marks around it, or characters outside ASCII "
            "in it",
            hint="copy it again from Users & Groups; in CI, look at the secret's last character",
        )


def _check_names(option: str, names: Mapping[str, Any] | list[str], reserved: Mapping[str, str]) -> None:
    for name in names:
        if name in reserved:
            raise ConfigurationError(
                f"--{option} {name}=… would contradict what this tool sends itself",
                hint=f"use {reserved[name]}" if reserved[name] else "leave it out",
            )
