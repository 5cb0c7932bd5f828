"""Client authentication, by a signed JWT (RFC 7523 section 2.2) or by a secret (RFC 6749 section 2.3.1)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from flask import request

from banno_creds.rules.assertion import judge, judge_form
from banno_creds.rules.clock import CLOCK_TOLERANCE
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.known import Known
from banno_creds.rules.presented import ClientAssertion
from banno_creds.rules.request import judge_authentication, judge_client_parameters
from banno_creds.rules.shown import shown
from banno_creds.sandbox.exchange import body_parameters, machine_now, now, reject_repeated
from banno_creds.sandbox.memory import UsedJtis
from banno_creds.sandbox.refusals import LoginError, RefusalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from werkzeug.datastructures import Headers, MultiDict

    from banno_creds.sandbox.clients import RegisteredClient

_PARAMETERS: Final = ("client_id", "client_assertion", "client_assertion_type", "client_secret")


class ClientAuthentication:
    """Authenticates the clients of all endpoints.

    At every endpoint the ``aud`` of an assertion may be one of `audiences`.
    """

    def __init__(self, clients: Mapping[str, RegisteredClient], audiences: tuple[str, ...]) -> None:
        self._clients = clients
        self._audiences = audiences
        self.used_jtis: Final = UsedJtis()
        by_key = [client for client in clients.values() if client.keys]
        by_secret = [client for client in clients.values() if client.secret_digest]
        self.methods: Final = (
            *(["private_key_jwt"] if by_key or not by_secret else []),
            *(["client_secret_basic", "client_secret_post"] if by_secret else []),
        )
        self._takes_secrets = bool(by_secret)

    def at(self, endpoint: str | None) -> RegisteredClient:
        """Return the client of the current request, authenticated."""
        parameters, headers = body_parameters(), request.headers
        reject_repeated(parameters, _PARAMETERS)
        has_secret = "client_secret" in parameters or "Authorization" in headers
        if self._takes_secrets and has_secret and "client_assertion" not in parameters:
            return self._by_secret(parameters, headers.get("Authorization"))
        return self._by_assertion(parameters, headers, endpoint)

    def _by_assertion(
        self, parameters: MultiDict[str, str], headers: Headers, endpoint: str | None
    ) -> RegisteredClient:
        compact = parameters.get("client_assertion")
        if compact is None:
            raise RefusalError(
                Rule.CLIENT_ASSERTION_MISSING,
                _instead_of_an_assertion(parameters, headers),
                "client_assertion and client_assertion_type, form-encoded in the body",
            )
        sent = parameters.to_dict(flat=False)
        authenticating = {name: values for name, values in sent.items() if name in _PARAMETERS}
        refuse_the_first(judge_authentication(authenticating, authorization="Authorization" in headers))
        assertion = ClientAssertion.read(compact)
        refuse_the_first(judge_form(assertion))
        sub: str = assertion.claims["sub"]
        refuse_the_first(judge_client_parameters(sent, sub))
        client = self._clients.get(sub)
        if client is None:
            raise RefusalError(Rule.CLIENT_UNKNOWN, f'"sub" {shown(sub)}', "the client ID of a registered client")
        if not client.keys:
            raise RefusalError(
                Rule.REGISTRATION_AUTH_METHOD,
                "a client assertion",
                "the client secret: no public key is registered for this client",
            )
        known = Known(
            now=now(),
            client_id=client.client.client_id,
            audiences=(*self._audiences, endpoint) if endpoint else self._audiences,
            keys=client.keys,
            use_jti=self._use_jti,
        )
        refuse_the_first(judge(assertion, known))
        return client

    def _use_jti(self, claims: Mapping[str, Any]) -> bool:
        until = claims["exp"] + CLOCK_TOLERANCE - (now() - machine_now())
        return self.used_jtis.use(claims["iss"], claims["jti"], until=until, now=machine_now())

    def _by_secret(self, parameters: MultiDict[str, str], authorization: str | None) -> RegisteredClient:
        client_id, client_secret = parameters.get("client_id"), parameters.get("client_secret")
        method = "client_secret_post"
        if authorization is not None:
            if client_secret is not None:
                raise RefusalError(
                    Rule.CLIENT_AUTHENTICATION_SEVERAL,
                    "a client_secret together with an Authorization header",
                    "one of them (RFC 6749 section 2.3)",
                )
            method = "client_secret_basic"
            named = client_id
            client_id, client_secret = _basic(authorization)
            if named not in {None, client_id}:
                raise RefusalError(
                    Rule.CLIENT_ID_MISMATCH, f"client_id {shown(named)}", "the user name of the Authorization header"
                )
        client = self._clients.get(client_id or "")
        if client is None:
            raise RefusalError(
                Rule.CLIENT_UNKNOWN,
                f"client_id {shown(client_id)}" if client_id else "no client_id",
                "the client ID of a registered client",
            )
        if client.secret_digest is None:
            raise RefusalError(
                Rule.REGISTRATION_AUTH_METHOD,
                f"a client secret, as {method}",
                "a client assertion: this client is registered with a public key",
            )
        if not client.has_secret(client_secret or ""):
            raise LoginError(
                "client authentication failed",
                f"{method} with another secret for {shown(client.client.client_id)}",
                "the secret that is registered",
                error="invalid_client",
                fix="compare the two files, blanks and line ends too; in the header each part is URL-encoded",
                status_code=401,
            )
        return client


def _basic(authorization: str) -> tuple[str, str]:
    """Return the client ID and secret of HTTP Basic; both are form-encoded (RFC 6749 section 2.3.1)."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        user, colon, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
    except ValueError:
        user = colon = password = ""
    if scheme.lower() != "basic" or not colon:
        raise LoginError(
            "invalid authorization header value format",
            "an Authorization header that is not HTTP Basic",
            "Basic and the base64 of client_id:client_secret, each URL-encoded",
            fix="let the HTTP library make the header",
        )
    return unquote_plus(user), unquote_plus(password)


def refuse_the_first(findings: Iterable[Finding]) -> None:
    """Raise `RefusalError` for the first broken rule; the rules after it are not judged."""
    for finding in findings:
        if finding.verdict is Verdict.FAIL:
            raise RefusalError(Rule(finding.rule), finding.received, finding.expected, finding.fix)


def _instead_of_an_assertion(parameters: MultiDict[str, str], headers: Headers) -> str:
    content_type = headers.get("Content-Type", "")
    if not content_type.lower().startswith("application/x-www-form-urlencoded"):
        return f"a body of type {shown(content_type)}, which is not read"
    # Names, never values: a misspelt parameter may hold the secret.
    came = f"the parameters {shown(list(parameters))}" if parameters else "no parameters"
    return f"{came} and an Authorization header" if "Authorization" in headers else came
