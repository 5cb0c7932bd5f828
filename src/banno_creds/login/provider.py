"""The OpenID provider that a person signs in at, as its discovery document describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from banno_creds.checks import check_url
from banno_creds.client_authentication.methods import advised
from banno_creds.config import ENVIRONMENTS
from banno_creds.errors import BannoCredsError, ConfigurationError, RefusedError
from banno_creds.http import discovery
from banno_creds.http.answers import read_object
from banno_creds.http.attempts import persistently
from banno_creds.login.session import Provider
from banno_creds.steps import EndpointDiscovered
from banno_creds.text import printable, setting
from banno_creds.tokens.response import without_echoes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.client_authentication.methods import Authentication, Client, Form
    from banno_creds.http.client import HttpClient
    from banno_creds.steps import Run

# The vendor documents the addresses of these documents, and not the issuer that they name.
DOCUMENTS: Mapping[str, str] = {
    ENVIRONMENTS["production"]: "https://login.jackhenry.com/.well-known/openid-configuration",
    ENVIRONMENTS["legacy"]: "https://banno.com/a/oidc-provider/api/v0/.well-known/openid-configuration",
}

_KEY_HINT = (
    f"check {setting('client_id')} and the key or secret; ask the administrator how the application was registered"
)
HINTS: Mapping[str, str] = {
    "invalid_client": _KEY_HINT,
    "invalid_grant": f"begin again: a code is good once, for a minute, with one {setting('redirect_uri')}",
    "unauthorized_client": "the application must be one for users' logins; ask the administrator",
    "unsupported_grant_type": "the server does not sign people in; check the issuer",
    "invalid_request": "look at the steps above; begin again",
    "invalid_scope": "ask the administrator which scopes the application was given, "
    f"and name them with {setting('scope')}",
    "invalid_target": f"leave {setting('resource')} out, or name one the application may use",
}
"""What to do about a refusal of a login's request, by its error code."""


def discover(client: Client, http: HttpClient, run: Run) -> tuple[dict[str, Any], str]:
    """Fetch the discovery document; return it, and its issuer."""
    if client.issuer is not None:
        issuer = client.issuer
        metadata = persistently(lambda _: discovery.fetch_metadata(issuer, http), http, run)
    else:
        url = DOCUMENTS.get(client.token_endpoint or "")
        if url is None:
            raise ConfigurationError(
                "a login needs the issuer, whose discovery document names the authorization endpoint",
                hint=f"give {setting('issuer')} URL in place of {setting('token_endpoint')}",
                rule="configuration.endpoint",
            )
        metadata = persistently(
            lambda _: discovery.fetch_json(url, http, "a discovery document", "discovery.missing"), http, run
        )
        issuer = check_url(str(metadata.get("issuer")), "the issuer that the discovery document names")
    endpoint = printable(metadata.get("authorization_endpoint"), 200)
    run.emit(EndpointDiscovered(issuer, "authorization_endpoint", endpoint))
    return metadata, issuer


def provider_of(metadata: dict[str, Any], issuer: str, run: Run) -> Provider:
    """Read the provider from its discovery document; its method is not chosen yet."""
    from banno_creds.login.id_token import algorithms_of

    algorithms = algorithms_of(metadata)
    if not algorithms:
        named = metadata.get("id_token_signing_alg_values_supported")
        raise ConfigurationError(
            f"the discovery document names no algorithm for id_tokens that is known here: {printable(named, 200)}",
            hint="tell the server's operator: RS256, PS256, ES256 or EdDSA is needed",
            rule="id_token.alg.unexpected",
        )

    def perhaps(name: str) -> str | None:
        if not metadata.get(name):
            return None
        try:
            return discovery.endpoint(metadata, name)
        except BannoCredsError as failure:
            run.warn(f"the provider's {name} is not used: {failure.marked.message}")
            return None

    def listed(name: str) -> tuple[str, ...] | None:
        values = metadata.get(name)
        return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else None

    return Provider(
        issuer=issuer,
        token_endpoint=discovery.endpoint(metadata, "token_endpoint"),
        jwks_uri=discovery.endpoint(metadata, "jwks_uri"),
        method="",
        algorithms=algorithms,
        userinfo_endpoint=perhaps("userinfo_endpoint"),
        revocation_endpoint=perhaps("revocation_endpoint"),
        end_session_endpoint=perhaps("end_session_endpoint"),
        revocation_methods=listed("revocation_endpoint_auth_methods_supported"),
        revocation_algs=listed("revocation_endpoint_auth_signing_alg_values_supported"),
    )


def warn_of_other_hosts(endpoint: str, provider: Provider, metadata: Mapping[str, Any], run: Run) -> None:
    """Warn if people sign in at one server, and the code goes to another.

    The author of such a document may be after the other server's codes (a mix-up, RFC 9700 section 4.4), unless the
    answer names its issuer.
    """
    there, here = (urlsplit(url).netloc.lower() for url in (endpoint, provider.token_endpoint))
    if there != here and metadata.get("authorization_response_iss_parameter_supported") is not True:
        run.warn(
            f"the discovery document has people sign in at {there}, and sends the code that they bring to {here}",
            f"go on only if both are servers of {provider.issuer}",
        )


def post(
    url: str,
    form: Form,
    authentication: Authentication,
    http: HttpClient,
    run: Run,
    endpoint: str,
    *,
    ignores_body: bool = False,
) -> dict[str, Any]:
    """Post a form to another endpoint than the token endpoint, and return the JSON object of the answer.

    With ``ignores_body`` a success is an empty object, whatever its body is.
    """

    def attempt(_: int) -> dict[str, Any]:
        proven = authentication.apply(form, run.silent(), elsewhere=True)
        try:
            answer = http.post_form(url, proven.form, proven.headers)
            if ignores_body and 200 <= answer.status < 300:
                return {}
            members: dict[str, Any] = without_echoes(read_object(answer, HINTS, endpoint), answer.secrets)
        except RefusedError as refusal:
            raise advised(refusal, authentication, proven.form) from None
        return members

    return persistently(attempt, http, run)
