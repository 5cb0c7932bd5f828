"""A client assertion that other code made, judged by all rules; nothing of it is sent anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from banno_creds.config import is_url
from banno_creds.steps import Run

if TYPE_CHECKING:
    from banno_creds.rules.assertion import AssertionChecks
    from banno_creds.rules.findings import Finding
    from banno_creds.rules.registration import Registration


def lint_assertion(text: str, checks: AssertionChecks, run: Run = Run()) -> tuple[Finding, ...]:
    """Judge a client assertion by all rules.

    Args:
        text: the assertion, or the form that it is sent in; see `assertion.judge_pasted`.
        checks: what it is compared with.
        run: how the run goes.

    Returns:
        A finding for each rule: of the client ID and the registration where they are given, then of the assertion, in
        the server's order.

    Raises:
        ConfigurationError: a file cannot be read.
        NetworkError: the issuer's discovery document or the JWK Set cannot be fetched.
    """
    from banno_creds.rules import assertion as rules

    audiences: tuple[str, ...] | None = None
    if checks.issuer is not None:
        from banno_creds.http.client import HttpClient
        from banno_creds.http.discovery import find_endpoint

        with HttpClient(checks.timeout, checks.ca_bundle) as http:
            audiences = (find_endpoint(checks.issuer, "token_endpoint", http, run), checks.issuer)
    elif checks.token_endpoint is not None:
        audiences = (checks.token_endpoint,)
    findings: tuple[Finding, ...] = ()
    if checks.client_id is not None:
        findings += rules.judge_client_id(checks.client_id)
    registration = None
    registered = checks.jwks if checks.public_key is None else str(checks.public_key)
    if registered is not None:
        registration = load_registration(registered, checks.timeout, checks.ca_bundle, run)
        findings += registration.findings
    known = rules.Known(
        now=int(run.clock()),
        client_id=checks.client_id,
        audiences=audiences,
        keys=None if registration is None else registration.keys,
    )
    return findings + tuple(rules.judge_pasted(text, known))


def load_registration(registered: str, timeout: float, ca_bundle: Path | None, run: Run = Run()) -> Registration:
    """Read the public key that the bank has, or the JWK Set that it fetches.

    Args:
        registered: its file or URL.
        timeout: how long fetching it may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.
        run: how the run goes.

    Returns:
        The registration.

    Raises:
        ConfigurationError: the file cannot be read.
        NetworkError: it cannot be fetched.
    """
    from banno_creds.rules.registration import read_registration

    if not is_url(registered):
        from banno_creds.storage.secret_files import read_file

        return read_registration(read_file(Path(registered)), registered)
    from json import dumps

    from banno_creds.http import discovery
    from banno_creds.http.attempts import persistently
    from banno_creds.http.client import HttpClient

    with HttpClient(timeout, ca_bundle) as http:
        jwks = persistently(
            lambda _: discovery.fetch_json(registered, http, "a JWK Set", "registration.unreachable"), http, run
        )
    return read_registration(dumps(jwks).encode(), registered)
