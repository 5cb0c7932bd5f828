"""The stages on the network before the request: the way to the server, its discovery document, clock and keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from banno_creds.doctor import network
from banno_creds.doctor.case import SERVER, WAY, StopError
from banno_creds.doctor.findings import passed, unknown, warning_of
from banno_creds.errors import BannoCredsError, NetworkError, OutputError, UnusableAnswerError
from banno_creds.http import discovery
from banno_creds.rules.findings import Finding, Rule, Verdict
from banno_creds.rules.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from banno_creds.doctor.case import Case
    from banno_creds.http.client import HttpClient


UNLISTED = (Rule.DISCOVERY_AUTH_METHOD, Rule.DISCOVERY_ALG, Rule.DISCOVERY_GRANT_TYPE, Rule.DISCOVERY_SCOPE)
"""The warnings that a token request may show to be idle: a server may take more than its document lists."""


def look_at_way(case: Case, url: str) -> None:
    """Go the way to the server, as far as TLS."""
    with case.http() as http:
        for finding in network.examine(url, http, case.run.clock):
            case.find(WAY, finding)
            if finding.verdict is Verdict.FAIL:
                raise StopError


def look_at_server(case: Case) -> None:
    """Look at the server's discovery document, its clock and its keys."""
    issuer = case.config.issuer
    try:
        with case.http() as http:
            metadata = _fetch_metadata(case, http)
            if metadata is None:
                return
            if issuer is not None:
                discovery.check_issuer(metadata, issuer, discovery.url_of(issuer))
                case.token_endpoint = discovery.endpoint(metadata, "token_endpoint")
            findings = tuple(_judge_metadata(case, metadata))
            case.unlisted = [each for each in findings if each.verdict is Verdict.WARN and each.rule in UNLISTED]
            case.find(SERVER, *(each for each in findings if each not in case.unlisted))
            case.find(SERVER, _judge_jwks(metadata, http))
    except OutputError:
        raise
    except BannoCredsError as failure:
        case.find_error(SERVER, failure, Rule.DISCOVERY_MISSING, "discovery")
        raise StopError from None
    if issuer is not None and not _same_origin(issuer, case.known_endpoint()):
        look_at_way(case, case.known_endpoint())
    if any(finding.rule == Rule.AUD_MISMATCH and finding.verdict is Verdict.UNKNOWN for finding in case.findings):
        _look_at_aud_again(case)


def _look_at_aud_again(case: Case) -> None:
    """Judge the audience again, now that the issuer is known or it is clear that none is named."""
    for finding in case.judge_assertion():
        if finding.rule == Rule.AUD_MISMATCH and case.explain(finding) not in case.findings:
            case.findings = [earlier for earlier in case.findings if earlier.rule != Rule.AUD_MISMATCH]
            case.find(SERVER, finding)


def _fetch_metadata(case: Case, http: HttpClient) -> dict[str, Any] | None:
    """Fetch the discovery document; if there are several, the one that names the endpoint."""
    found, reasons = [], []
    for place in _places(case):
        answer = http.get(discovery.url_of(place))
        try:
            metadata = discovery.read_json(answer, "a discovery document", Rule.DISCOVERY_MISSING)
        except NetworkError as failure:
            if case.config.issuer is not None and isinstance(failure, UnusableAnswerError):
                raise discovery.meant(failure, case.config.issuer) from None
            if case.config.issuer is not None:
                raise
            # With a configured endpoint, no document is needed: there may be a page for people in its place.
            reasons.append(failure.marked.message)
            continue
        case.compare_clocks(answer)
        found.append(metadata)
        if metadata.get("token_endpoint") == case.token_endpoint:
            return metadata
    if not found:
        case.find(SERVER, unknown(Rule.DISCOVERY_MISSING, "discovery", "; ".join(dict.fromkeys(reasons))))
        return None
    return found[0]


def _places(case: Case) -> list[str]:
    """Return the issuers whose discovery document to try; the vendor has it at the root and under the path."""
    if case.config.issuer is not None:
        return [case.config.issuer]
    parts = urlsplit(case.token_endpoint or "")
    root = f"{parts.scheme}://{parts.netloc}"
    # A server may accept a slash at the end, or capitals, and expect another audience all the same.
    path = re.sub(r"/token/?$|/$", "", parts.path, flags=re.IGNORECASE)
    return list(dict.fromkeys((root, root + path)))


def _judge_metadata(case: Case, metadata: Mapping[str, Any]) -> Iterable[Finding]:
    """Judge what the server says that it supports."""
    issuer, token_endpoint = metadata.get("issuer"), metadata.get("token_endpoint")
    if token_endpoint != case.token_endpoint:
        yield Finding(
            Rule.DISCOVERY_TOKEN_ENDPOINT,
            Verdict.WARN,
            "discovery",
            f"the token endpoint {case.token_endpoint}",
            f"{shown(token_endpoint)}, says the discovery document of {shown(issuer)}",
        )
        return  # the rest is about that other endpoint
    case.confirmed = True
    # No assertion is ever made for an issuer on another server.
    if isinstance(issuer, str) and _same_origin(issuer, case.known_endpoint()):
        case.issuer = issuer
    yield passed(Rule.DISCOVERY_TOKEN_ENDPOINT, "discovery", f"the issuer {shown(issuer)} names this endpoint")
    alg = [] if case.signer is None else [case.signer.alg]
    listed = (
        (Rule.DISCOVERY_AUTH_METHOD, "signed JWT", "token_endpoint_auth_methods_supported", ["private_key_jwt"]),
        (Rule.DISCOVERY_ALG, "server's alg", "token_endpoint_auth_signing_alg_values_supported", alg),
        (Rule.DISCOVERY_GRANT_TYPE, "grant type", "grant_types_supported", ["client_credentials"]),
        (Rule.DISCOVERY_SCOPE, "scope", "scopes_supported", list(case.config.scope)),
    )
    for rule, looks_at, name, wanted in listed:
        values = metadata.get(name)
        if not isinstance(values, list):
            yield unknown(rule, looks_at, f"the discovery document has no list {name}")
        elif missing := [value for value in wanted if value not in values]:
            yield Finding(rule, Verdict.WARN, looks_at, " ".join(missing), f"one of {name}: {shown(values)}")
        else:
            yield passed(rule, looks_at, " ".join(wanted))


def _judge_jwks(metadata: Mapping[str, Any], http: HttpClient) -> Finding:
    """Judge the server's keys; only those who verify its tokens need them, so that a fault is a warning."""
    looks_at = "server's keys"
    try:
        url = discovery.endpoint(dict(metadata), "jwks_uri")
        keys = discovery.fetch_json(url, http, "a JWK Set").get("keys")
    except BannoCredsError as failure:
        return warning_of(failure, Rule.DISCOVERY_JWKS, looks_at)
    count = len(keys) if isinstance(keys, list) else 0
    if count == 0:
        return Finding(Rule.DISCOVERY_JWKS, Verdict.WARN, looks_at, "none", "a JWK Set with the server's keys")
    return passed(Rule.DISCOVERY_JWKS, looks_at, f"{count} at {url}")


def _same_origin(url: str, other: str) -> bool:
    """Return whether two URLs have the same scheme, host and port (RFC 6454 section 4)."""
    try:
        ours, theirs = urlsplit(url), urlsplit(other)
    except ValueError:
        return False
    return (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)
