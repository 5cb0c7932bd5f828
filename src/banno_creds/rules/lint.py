"""Judge a client assertion that other code made, by all rules. Nothing of it is sent anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from banno_creds.checks import check_url, is_url
from banno_creds.config import DEFAULT_ENVIRONMENT, DEFAULT_TIMEOUT, ENVIRONMENTS, check_timeout
from banno_creds.errors import ConfigurationError
from banno_creds.rules.findings import Rule, Verdict
from banno_creds.rules.outcomes import with_fix
from banno_creds.rules.shown import shown
from banno_creds.steps import Run
from banno_creds.text import setting

if TYPE_CHECKING:
    from banno_creds.http.exchange import Answer
    from banno_creds.rules.findings import Finding
    from banno_creds.rules.known import Known
    from banno_creds.rules.registration import Registration


@dataclass(frozen=True, slots=True)
class AssertionChecks:
    """The values that the user wants an assertion held against; its files and URLs are read when it is judged.

    Attributes:
        client_id: the client ID.
        token_endpoint: the token endpoint's exact URL; None means to ask the issuer's discovery document.
        issuer: the issuer whose discovery document names the token endpoint.
        public_key: a file with the public key, certificate, JWK or JWK Set that is registered.
        jwks: the file or URL of the JWK Set that is registered.
        timeout: how long fetching may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.
        at: the time to judge it at, in seconds since the epoch; None for now.

    Raises:
        ConfigurationError: a value is invalid, or contradicts another.
    """

    client_id: str | None = None
    token_endpoint: str | None = ENVIRONMENTS[DEFAULT_ENVIRONMENT]
    issuer: str | None = None
    public_key: Path | None = None
    jwks: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    ca_bundle: Path | None = None
    at: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that are invalid or contradict each other."""
        if self.public_key is not None and self.jwks is not None:
            raise ConfigurationError(
                f"{setting('public_key')} and {setting('jwks')} exclude each other",
                hint="give what is registered at the bank",
            )
        check_timeout(self.timeout)
        if self.jwks is not None and is_url(self.jwks):
            check_url(self.jwks, "the JWK Set's URL")
        if self.token_endpoint is not None:
            check_url(self.token_endpoint, "the token endpoint")
        if self.issuer is not None:
            check_url(self.issuer, "the issuer")


def lint_assertion(text: str, checks: AssertionChecks, run: Run = Run()) -> tuple[Finding, ...]:
    """Judge a client assertion, or the form that it is sent in (see `judge_pasted`), by all rules.

    Return a finding for each rule: of the client ID and the registration if they are given, then of the assertion, in
    the server's order.

    Raises:
        ConfigurationError: a file cannot be read.
        NetworkError: the issuer's discovery document or the JWK Set cannot be fetched.
    """
    from banno_creds.rules.client_id import judge_client_id
    from banno_creds.rules.known import Known
    from banno_creds.rules.request import judge_pasted

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
        findings += judge_client_id(checks.client_id)
    keys = None
    registered = checks.jwks if checks.public_key is None else str(checks.public_key)
    if registered is not None:
        registration = load_registration(registered, checks.timeout, checks.ca_bundle, run)
        findings += registration.findings
        keys = registration.keys
    now = int(run.clock()) if checks.at is None else checks.at
    known = Known(now, checks.client_id, audiences, keys, is_now=checks.at is None)
    return findings + tuple(_of_issuer(finding, known) for finding in judge_pasted(text, known))


def _of_issuer(finding: Finding, known: Known) -> Finding:
    """Warn of an issuer as aud: whether this server takes it is not known, and the token endpoint is always right."""
    if finding.rule != Rule.AUD_MISMATCH or not known.audiences or not finding.received or not finding.reason:
        return finding
    return with_fix(
        finding._replace(
            verdict=Verdict.WARN,
            received=f"{finding.received}: {finding.reason}",
            expected=f"{shown(known.audiences[0])}, which every server takes",
            reason="",
        )
    )


def read_registered(registered: str, timeout: float, ca_bundle: Path | None, run: Run = Run()) -> bytes:
    """Return what is registered, from a file, or as JSON from a URL; see `load_registration` for the errors."""
    if not is_url(registered):
        from banno_creds.storage.secret_files import read_file

        return read_file(Path(registered))
    return fetch_registered(registered, timeout, ca_bundle, run)[0]


def fetch_registered(url: str, timeout: float, ca_bundle: Path | None, run: Run = Run()) -> tuple[bytes, Answer]:
    """Return a registered JWK Set as JSON, and the answer that it came in; NetworkError if it cannot be fetched."""
    from json import dumps

    from banno_creds.http import discovery
    from banno_creds.http.attempts import persistently
    from banno_creds.http.client import HttpClient

    def fetch(_: object) -> tuple[bytes, Answer]:
        answer = http.get(url)
        return dumps(discovery.read_json(answer, "a JWK Set", "registration.unreachable")).encode(), answer

    with HttpClient(timeout, ca_bundle) as http:
        return persistently(fetch, http, run)


def load_registration(registered: str, timeout: float, ca_bundle: Path | None, run: Run = Run()) -> Registration:
    """Read the public key that the bank has, or the JWK Set that it fetches, from a file or a URL.

    Raises:
        ConfigurationError: the file cannot be read.
        NetworkError: it cannot be fetched.
    """
    from banno_creds.rules.key_set import faults_beside
    from banno_creds.rules.registration import read_registration

    content = read_registered(registered, timeout, ca_bundle, run)
    return read_registration(content, registered).beside(faults_beside(content))
