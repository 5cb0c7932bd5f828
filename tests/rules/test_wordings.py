"""What servers say, and which rule it is about: their own sentences."""

from __future__ import annotations

import pytest

from banno_creds.rules.wordings import meaning_of

pytestmark = pytest.mark.once

UNKNOWN = "client.unknown"
KEY = "registration.key.mismatch"
AUD = "assertion.aud.mismatch"
METHOD = "registration.auth_method"
TYPE = "registration.application_type"
ELSEWHERE = "network.answer"
SCOPE = "request.scope.not_allowed"

NAMED = {
    # Entra ID
    "AADSTS700016: Application with identifier '199e6f35' was not found in the directory. Trace ID: 2": UNKNOWN,
    "AADSTS700027: Client assertion failed signature validation.": KEY,
    "AADSTS700027: The certificate used to sign the client assertion is not registered on application. "
    "[Reason - The key was not found., Thumbprint of key used by client: 'AB12']": "assertion.kid.unknown",
    "AADSTS700024: Client assertion is not within its valid time range. Current time: 2026": "assertion.exp.past",
    "AADSTS7000222: The provided client secret keys for app 'x' are expired.": "client.secret",
    "AADSTS7000215: Invalid client secret provided.": METHOD,
    "AADSTS7000112: Application 'x'(bank) is disabled.": "client.disabled",
    "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'.": (
        "request.client_assertion.missing"
    ),
    "AADSTS70011: The provided value for the input parameter 'scope' isn't valid.": "request.scope.not_allowed",
    # Okta
    "The audience claim for client_assertion must be the endpoint invoked for the request.": AUD,
    "The client_assertion JWT kid is invalid.": "assertion.kid.unknown",
    "The client_assertion signature is invalid.": KEY,
    "The client_assertion token is expired.": "assertion.exp.past",
    "The client_assertion token has an expiration too far into the future.": "assertion.exp.too_far",
    "The client_assertion token must contain a unique jti; this jti has already been used": "assertion.jti.replayed",
    "Invalid value for 'client_id' parameter.": UNKNOWN,
    "The client is not active.": "client.disabled",
    "Client Credentials requests to the Org Authorization Server must use the private_key_jwt "
    "token_endpoint_auth_method.": METHOD,
    "Access denied: the IP address is not in an allowed network zone": "client.address",
    # Auth0
    "'exp' claim must specify a time that is no more than 5 minutes after 'iat'": "assertion.exp.too_far",
    "Grant type 'client_credentials' not allowed for the client.": TYPE,
    # Keycloak
    "Token audience doesn't match domain. Expected audience is any of [x]": AUD,
    "Client authentication with signed JWT failed: Invalid token audience": AUD,
    "Signature on JWT token failed validation": KEY,
    "Unable to load public key": KEY,
    "Token reuse detected": "assertion.jti.replayed",
    "Token is not active": "assertion.exp.past",
    "Client not enabled to retrieve service account": TYPE,
    "Client secret not provided in request": METHOD,
    "Client is not allowed to initiate browser login with given grant_type": TYPE,
    # Ory Hydra
    "Client authentication failed (e.g., unknown client, no client authentication included, or unsupported "
    "authentication method). The requested OAuth 2.0 Client does not exist.": UNKNOWN,
    "Unable to verify the integrity of the 'client_assertion' value.": KEY,
    "Claim 'audience' from 'client_assertion' must match the authorization server's token endpoint": AUD,
    "The JSON Web Token uses signing key with kid 'a', which could not be found.": "assertion.kid.unknown",
    "Claim 'jti' from 'client_assertion' MUST only be used once.": "assertion.jti.replayed",
    "The OAuth 2.0 Client supports client authentication method 'client_secret_basic', but method 'private_key_jwt' "
    "was requested.": METHOD,
    # NHS
    "Invalid 'iss'/'sub' claims in client_assertion JWT": "assertion.iss.mismatch",
    "Invalid ‘iss’/‘sub’ claims in client_assertion JWT": "assertion.iss.mismatch",
    "Missing or invalid 'aud' claim in client_assertion JWT": AUD,
    "Missing 'kid' header in client_assertion JWT": "assertion.kid.unknown",
    "JWT signature verification failed": KEY,
    "The JWKS endpoint, for your client_assertion can't be reached": "registration.unreachable",
    "You need to register a public key to use this authentication method - please contact support to configure": KEY,
    "Malformed JWT in client_assertion": "assertion.malformed",
    "Non-unique 'jti' claim in client_assertion JWT": "assertion.jti.replayed",
    "Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future": "assertion.exp.too_far",
    "Invalid 'alg' header in client_assertion JWT - unsupported JWT algorithm - must be 'RS512'": "registration.alg",
    # Spring Authorization Server
    "Client authentication failed: client_id": UNKNOWN,
    "Client authentication failed: authentication_method": METHOD,
    "Client authentication failed: client_secret_expires_at": "client.secret",
    # node-oidc-provider
    "client_id mismatch": "request.client_id.mismatch",
    "no client authentication mechanism provided": "request.client_assertion.missing",
    "client_assertion_type must be provided": "request.client_assertion_type.missing",
    "client_assertion_type must have value urn:ietf:params:oauth:client-assertion-type:jwt-bearer": (
        "request.client_assertion_type.unsupported"
    ),
    "client authentication must only be provided using one mechanism": "request.client_authentication.several",
    "missing required parameter 'grant_type'": "request.grant_type.missing",
    "requested grant type is not allowed for this client": TYPE,
    "aud (JWT audience) must equal the issuer identifier url, token endpoint url, or endpoint url": AUD,
    "client assertion tokens must only be used once": "assertion.jti.replayed",
    "alg mismatch": "registration.alg",
    "expiration must be specified in the client_assertion JWT": "assertion.exp.past",
    "unique jti (JWT ID) must be provided in the client_assertion JWT": "assertion.jti.missing",
    # What stands before a server
    "Missing Authentication Token": ELSEWHERE,
    "No API key found in request": ELSEWHERE,
    "Access denied due to missing subscription key. Make sure to include subscription key when making requests": (
        ELSEWHERE
    ),
    "no Route matched with those values": ELSEWHERE,
    "Resource not found": ELSEWHERE,
    "User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:x": ELSEWHERE,
    "Method doesn't allow unregistered callers. Please use API Key or other form of API consumer identity": ELSEWHERE,
    "RBAC: access denied": ELSEWHERE,
    "Jwt is missing": ELSEWHERE,
    "Jwt issuer is not configured": ELSEWHERE,
    "Authorization field missing": ELSEWHERE,
    "error code: 1020": ELSEWHERE,
    "Request unsuccessful. Incapsula incident ID: 443000270071337-1234": ELSEWHERE,
    "Sorry, you have been blocked. You are unable to access bank.example": ELSEWHERE,
    # Another tenant, a policy
    "Realm does not exist": ELSEWHERE,
    "AADSTS90002: Tenant 'bank.example' not found. Check to make sure you have the correct tenant ID": ELSEWHERE,
    "Unable to find environment with ID: '1'": ELSEWHERE,
    "HTTPS required": ELSEWHERE,
    "AADSTS53003: Access has been blocked by Conditional Access policies. The access policy does not allow token "
    "issuance.": SCOPE,
    "Policy evaluation failed for this request, please check the policy configurations.": SCOPE,
    'Client is not authorized to access "https://api". You might want a "client-grant" for this API.': SCOPE,
    "user is not admin approved to access this app": SCOPE,
    # Others
    "AADSTS7000216: 'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant "
    "type.": "request.client_assertion.missing",
    "AADSTS700030: Invalid certificate - subject name in certificate is not authorized": KEY,
    "Required param : grant_type": "request.grant_type.missing",
    "Errors.AuthNKey.NotFound": KEY,
    "unknown client": UNKNOWN,
    "Client not found": UNKNOWN,
    "No client with requested id: bank": UNKNOWN,
    "Client 199e6f35 does not exist": UNKNOWN,
    "client is unknown or not registered; unregistered client": UNKNOWN,
    "A valid OAuth client could not be found for client_id: 199e6f35": UNKNOWN,
    "Non existing client ID": UNKNOWN,
    "ClientId is Invalid: invalid client identifier": UNKNOWN,
    "Errors.App.NotFound": UNKNOWN,
    "The client is disabled": "client.disabled",
    "client suspended": "client.disabled",
    "signature verification failed": KEY,
    "invalid signature": KEY,
    "JWT audience is not valid": AUD,
    "unsupported signing algorithm": "registration.alg",
    "assertion has expired": "assertion.exp.past",
    "JWT expired at 2026-11-28T12:00:00Z": "assertion.exp.past",
    "the assertion was issued in the future": "clock.skew",
    "token used too early, not before 2026": "clock.skew",
    "jti was already used": "assertion.jti.replayed",
    "replay detected": "assertion.jti.replayed",
    "no matching key found for kid": "assertion.kid.unknown",
    "No suitable key found to verify the assertion": KEY,
    "The client is not authorized to request a token using client_credentials": TYPE,
    "the iat claim is required": "assertion.iat.missing",
    "Request from IP 10.0.0.1 is not allowed": "client.address",
    "Your IP address is blocked": "client.address",
    "Rate limit exceeded": "network.unavailable",
    "Too many failed attempts": "network.unavailable",
    "Missing parameter: client_id": "request.client_id.missing",
    "client_id is required": "request.client_id.missing",
    "The client secret has expired": "client.secret",
    "requested scope is not allowed": "request.scope.not_allowed",
}

HIDES = [
    "",
    "client authentication failed",
    "Client authentication failed.",
    "Invalid client",
    "Invalid client or Invalid client credentials",
    "Invalid client credentials",
    "Bad client credentials",
    "Unauthorized",
    "Forbidden",
    "Access Denied",
    "Authentication failed",
    "Bad Request",
    "The client_id or client_secret is invalid",
    (
        "Client authentication failed (e.g., unknown client, no client authentication included, or unsupported "
        "authentication method)"
    ),
    (
        "Client authentication failed due to unknown client, no client authentication included, or unsupported "
        "authentication method."
    ),
    (
        "The request is missing a required parameter, includes an unsupported parameter value (other than grant "
        "type), "
        "repeats a parameter, includes multiple credentials, utilizes more than one mechanism for authenticating the "
        "client, or is otherwise malformed."
    ),
    "Trace ID: 255d1aef-8c98 Correlation ID: fb3d2015 Timestamp: 2026-11-28 12:00:00Z",
    "code 401",
]


@pytest.mark.parametrize(("words", "rule"), NAMED.items())
def test_the_cause_that_a_servers_words_name_comes_first(words: str, rule: str) -> None:
    meaning = meaning_of(words)
    assert meaning.rules[:1] == (rule,)
    assert not meaning.hides
    assert meaning_of(words.upper()).rules[:1] == (rule,)


@pytest.mark.parametrize("words", HIDES)
def test_words_that_name_nothing_hide_the_reason(words: str) -> None:
    assert meaning_of(words) == ((), True)


@pytest.mark.parametrize("words", ["JWT is not valid", "Le jeton est périmé", "E4711", "something strange happened"])
def test_words_that_are_not_known_name_nothing_and_are_not_said_to_hide_it(words: str) -> None:
    assert meaning_of(words) == ((), False)


def test_a_client_id_and_a_url_mean_nothing() -> None:
    assert meaning_of("unknown client audience-expired", "audience-expired").rules == (UNKNOWN,)
    assert meaning_of("failed, see https://bank.example/audience/expired?kid=1") == ((), False)


def test_words_of_any_length_are_quickly_read() -> None:
    assert meaning_of("client is the " * 100_000).rules == ()
