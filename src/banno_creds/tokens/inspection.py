"""An access token is taken apart, and verified if that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banno_creds.checks import check_seconds, check_url, is_url
from banno_creds.config import DEFAULT_TIMEOUT, MOST_LEEWAY, check_timeout
from banno_creds.errors import ConfigurationError, TokenError
from banno_creds.steps import NothingVerified, Run, SignatureVerified, TokenDecoded, TokenRejected
from banno_creds.text import setting

if TYPE_CHECKING:
    from banno_creds.jose.decode import DecodedToken


@dataclass(frozen=True, slots=True)
class TokenChecks:
    """The checks of a token that is decoded; by default none.

    Attributes:
        public_key: a file with the issuer's public key, certificate, JWK or JWK Set.
        jwks: a JWK Set's file or URL.
        issuer: the expected ``iss``; without a key, its discovery document names the JWK Set.
        audience: the value that ``aud`` must be or contain.
        expiry: whether to refuse an expired token. One whose signature is verified is always refused.
        leeway: the seconds by which clocks may differ.
        timeout: the seconds that fetching keys may take.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.

    Raises:
        ConfigurationError: a value is invalid, or contradicts another.
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
        """Check the values."""
        if self.public_key is not None and self.jwks is not None:
            raise ConfigurationError(
                f"{setting('public_key')} and {setting('jwks')} exclude each other",
                hint="give the one that holds the issuer's key",
            )
        if self.audience is not None and not self.signature:
            raise ConfigurationError(
                f"{setting('audience')} alone proves nothing: without a key anybody can have written the token",
                hint=f"add {setting('issuer')}, {setting('jwks')} or {setting('public_key')}",
            )
        check_seconds("leeway", self.leeway, 0, MOST_LEEWAY, 0)
        check_timeout(self.timeout)
        if self.jwks is not None and is_url(self.jwks):
            check_url(self.jwks, "the JWK Set's URL")
        if self.issuer is not None:
            check_url(self.issuer, "the issuer")

    @property
    def signature(self) -> bool:
        """Whether to verify the signature."""
        return self.public_key is not None or self.jwks is not None or self.issuer is not None


@dataclass(frozen=True, slots=True)
class InspectedToken:
    """A token taken apart; ``verified_by`` describes the key that verified its signature, None if none did."""

    token: DecodedToken
    verified_by: str | None


def inspect_token(text: str, checks: TokenChecks, run: Run = Run()) -> InspectedToken:
    """Take a pasted token apart (see `decode.decode`), and make the checks; return it, and the key that signed it.

    Raises:
        TokenError: it is not a JWT, or a check failed.
        ConfigurationError: there is no key to verify with.
        NetworkError: the keys cannot be fetched.
    """
    from banno_creds.jose.decode import check_claims, check_expiry, decode

    token = decode(text)
    now = int(run.clock())
    run.emit(TokenDecoded(token.header, token.payload, now))
    try:
        verified_by = _verify(token, checks, run) if checks.signature else None
        check_claims(token.payload, checks.issuer, checks.audience)
        if checks.expiry or checks.signature:
            check_expiry(token.payload, now, checks.leeway)
    except TokenError:
        run.emit(TokenRejected(token.payload))
        raise
    if verified_by is None:
        run.emit(NothingVerified())
    else:
        asked = (("iss", checks.issuer), ("aud", checks.audience))
        checked = tuple(f"{name} {value}" for name, value in asked if value is not None)
        run.emit(SignatureVerified(str(token.header["alg"]), verified_by, checked))
    return InspectedToken(token, verified_by)


def _verify(token: DecodedToken, checks: TokenChecks, run: Run) -> str:
    from banno_creds.jose.jwks import keys_of, load_public_key
    from banno_creds.jose.verify import verify_signature
    from banno_creds.storage.secret_files import read_file

    if checks.public_key is not None:
        found = load_public_key(read_file(checks.public_key), str(checks.public_key))
    elif checks.jwks is not None and not is_url(checks.jwks):
        found = load_public_key(read_file(Path(checks.jwks)), checks.jwks)
    else:
        url, jwks = _fetch_jwks(checks, run)
        found = keys_of(jwks, url)
    return verify_signature(token, found).description


def _fetch_jwks(checks: TokenChecks, run: Run) -> tuple[str, dict[str, Any]]:
    from banno_creds.http import discovery
    from banno_creds.http.attempts import persistently
    from banno_creds.http.client import HttpClient

    with HttpClient(checks.timeout, checks.ca_bundle) as http:
        url = checks.jwks or discovery.find_endpoint(checks.issuer or "", "jwks_uri", http, run)
        return url, persistently(lambda _: discovery.fetch_json(url, http, "a JWK Set"), http, run)
