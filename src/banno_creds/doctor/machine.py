"""The stages on this machine: configuration, private key, registration, client assertion."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from banno_creds.checks import is_loopback, is_url
from banno_creds.client_authentication.key_age import Since, since_when
from banno_creds.client_authentication.private_key import load_key, read_key, signer_of
from banno_creds.config import DEFAULT_ENVIRONMENT, ENVIRONMENTS
from banno_creds.doctor.case import ASSERTION, CONFIGURATION, KEY, REGISTRATION
from banno_creds.doctor.findings import passed, unknown, warning_of
from banno_creds.errors import BannoCredsError
from banno_creds.jose.keys import load_private_key
from banno_creds.jose.private_keys import form_of
from banno_creds.rules.client_id import judge_client_id
from banno_creds.rules.findings import Finding, Part, Rule, Verdict
from banno_creds.rules.jwks_uri import judge_address, judge_answer
from banno_creds.rules.key_age import judge_age
from banno_creds.rules.key_set import judge_key_set
from banno_creds.rules.lint import fetch_registered, load_registration
from banno_creds.rules.registration import judge_form, judge_key, read_registration
from banno_creds.storage.secret_files import described, read_file
from banno_creds.text import printable, setting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from banno_creds.config import KeySource
    from banno_creds.doctor.case import Case, Setting
    from banno_creds.jose.keys import PrivateKey
    from banno_creds.key_holders.held_key import HeldKey
    from banno_creds.rules.registration import Registration

# The path of an institution's own server, which signs people in and knows no client credentials.
_CONSUMER_API = "/a/consumer/"


def look_at_configuration(case: Case) -> None:
    """Tell the settings, and judge the client ID and the endpoint."""
    case.tell(settings_part(case.setup.settings))
    case.find(CONFIGURATION, *judge_client_id(case.config.client_id), _judge_endpoint(case))


def settings_part(settings: Iterable[Setting]) -> Part:
    """Return the settings as lines, in columns."""
    width = max((len(setting.name) for setting in settings), default=0)
    notes = tuple(f"{name:<{width}}  {value}  ({source})" for name, value, source in settings)
    return Part(CONFIGURATION, notes=notes)


def _judge_endpoint(case: Case) -> Finding:
    rule, looks_at, url = Rule.CONFIGURATION_ENDPOINT, "endpoint", case.token_endpoint
    if url is None:
        return passed(rule, looks_at, f"the one that {case.issuer} names")
    named = next((name for name, known in ENVIRONMENTS.items() if known == url), None)
    if named is not None:
        return passed(rule, looks_at, f"the environment {named}")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return passed(rule, looks_at, "on this machine")
    near = next((known for known in ENVIRONMENTS.values() if urlsplit(known).hostname == host.lower()), None)
    if near is None and parts.path.endswith("/token") and _CONSUMER_API not in parts.path:
        return passed(rule, looks_at, f"{url}, which no environment has")
    expected = near or "the URL of a token endpoint, such as " + ENVIRONMENTS[DEFAULT_ENVIRONMENT]
    return Finding(rule, Verdict.WARN, looks_at, url, expected)


def look_at_key(case: Case) -> None:
    """Read the private key, and check it thoroughly; other commands leave that out because it takes long."""
    source, looks_at = case.config.private_key, "private key"
    if source.uri is not None:
        _look_at_held_key(case, source)
        return
    try:
        content, warnings = read_key(source)
        key = load_private_key(content, source.origin, case.config.passphrase, thorough=True)
        # The key that was examined is the one that signs: a pipe can be read only once.
        case.config = replace(case.config, private_key=replace(source, path=None, content=content))
        case.signer = signer_of(key, case.config.alg)
    except BannoCredsError as failure:
        case.find_error(KEY, failure, Rule.KEY_UNUSABLE, looks_at)
        return
    readable_by = _who_can_read_it(case)
    case.find(
        KEY,
        passed(Rule.KEY_UNUSABLE, looks_at, source.origin, key.description, form_of(content), readable_by or ""),
        passed(Rule.KEY_UNUSABLE, "public half", key.public.fingerprint()),
        _judge_age(case, source, key),
    )
    if readable_by is None:
        reason = "who can read the file is not known: its drive keeps no access rights, or another machine has it"
        case.find(KEY, unknown(Rule.KEY_PERMISSIONS, "permissions", reason))
    for message, hint in warnings:
        case.find(KEY, Finding(Rule.KEY_PERMISSIONS, Verdict.WARN, "permissions", message, "its owner's alone", hint))


def _look_at_held_key(case: Case, source: KeySource) -> None:
    """Find the key at its holder, and have it sign once: only that shows whether it may."""
    looks_at = "private key"
    try:
        key = load_key(source, case.config.passphrase, case.run, timeout=case.config.timeout)
        case.signer = signer_of(key, case.config.alg)
        case.signer.sign(b"banno-creds doctor")
    except BannoCredsError as failure:
        case.signer = None
        case.find_error(KEY, failure, Rule.KEY_UNUSABLE, looks_at)
        return
    exits = getattr(key, "exits", ())  # of a held key alone
    held = f"{getattr(key, 'holder', 'its holder')} signs" + ("" if exits else ", and keeps it")
    case.find(
        KEY,
        passed(Rule.KEY_UNUSABLE, looks_at, source.origin, key.description, held),
        passed(Rule.KEY_UNUSABLE, "public half", key.public.fingerprint()),
        _judge_age(case, source, key),
    )
    for message, hint in exits:
        expected = "it cannot leave its holder"
        case.find(KEY, Finding(Rule.KEY_PERMISSIONS, Verdict.WARN, "permissions", message, expected, hint))


def _judge_age(case: Case, source: KeySource, key: PrivateKey | HeldKey) -> Finding:
    since, noted = since_when(source, key), case.setup.noted.get(key.public.thumbprint())
    if noted is not None:
        since = Since(noted, "rotation").or_since(since)
    return judge_age(since, case.run.clock(), case.config.key_max_age)


def _who_can_read_it(case: Case) -> str | None:
    """Return the key file's mode, on Windows its owner and readers; empty if it is no file, None if nobody knows."""
    path = case.setup.config.private_key.path
    if path is None or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return described(file.fileno())
    except OSError:  # it has gone since it was read, or a virus scanner holds it
        return None


def look_at_registration(case: Case) -> None:
    """Compare the key with the one that the bank has."""
    if case.signer is None:
        return
    registered, looks_at = case.setup.registered, "registered key"
    if registered is None:
        reason = f"give the key that the bank has with {setting('registered')} FILE|URL, to compare the two"
        case.find(REGISTRATION, unknown(Rule.REGISTRATION_KEY_MISMATCH, looks_at, reason))
        return
    if is_url(registered) and case.setup.offline:
        reason = f"the JWK Set is not fetched with {setting('offline')}"
        case.find(REGISTRATION, unknown(Rule.REGISTRATION_KEY_MISMATCH, looks_at, reason))
        return
    try:
        registration, health = _read_registration(case, registered)
    except BannoCredsError as failure:
        if not is_url(registered):
            case.find_error(REGISTRATION, failure, Rule.REGISTRATION_UNREADABLE, looks_at)
            return
        # The bank fetches it too, and may be able to reach it.
        case.find(REGISTRATION, warning_of(failure, Rule.REGISTRATION_UNREACHABLE, looks_at))
        return
    findings = registration.findings
    if registration.keys:
        case.registration = registration
        mine = judge_key(registration, case.signer.key.public)
        other = None if mine.verdict is Verdict.PASS else _in_same_folder(case, registration)
        if other is not None:
            mine = mine._replace(fix=f"sign with {other}: it has the private key whose public half is registered")
        # That finding names the key and its place; the others need not.
        findings = (*(_without_received(finding) for finding in findings), mine)
        if case.config.registration is not None:
            findings = (*findings, judge_form(registration, case.config.registration))
    case.find(REGISTRATION, *findings, *health)


def _read_registration(case: Case, registered: str) -> tuple[Registration, tuple[Finding, ...]]:
    """Return what is registered, and what was found about the JWK Set that the bank fetches, if it is one."""
    config = case.config
    if not is_url(registered):
        return load_registration(registered, config.timeout, config.ca_bundle, case.run), ()
    content, answer = fetch_registered(registered, config.timeout, config.ca_bundle, case.run)
    found = [*judge_answer(answer, case.run.clock()), *judge_key_set(answer.content, registered).findings]
    if not is_loopback(urlsplit(case.token_endpoint or case.issuer or "").hostname or ""):
        found.insert(0, judge_address(registered))
    # What the bank's keys are is judged by the rules of the registration; and how long caches keep them is told.
    health = tuple(
        each
        for each in found
        if each.rule.startswith("jwks.") and (each.verdict is not Verdict.PASS or each.rule == Rule.JWKS_CACHING)
    )
    return read_registration(content, registered), health


def _in_same_folder(case: Case, registration: Registration) -> str | None:
    """Return the file beside the private key that has the registered one; no passphrase is asked for."""
    mine = case.setup.config.private_key.path
    if mine is None:
        return None
    with suppress(OSError):
        beside = sorted(path for path in mine.parent.iterdir() if path.suffix in (".pem", ".key") and path.is_file())
        for path in beside[:_MOST_BESIDE]:
            with suppress(OSError, BannoCredsError):
                key = load_private_key(read_file(path), "", lambda: None)
                if key.public.fingerprint() in registration.fingerprints:
                    return printable(path, 200)
    return None


_MOST_BESIDE = 20


def _without_received(finding: Finding) -> Finding:
    return finding._replace(received="") if finding.verdict is Verdict.PASS else finding


def look_at_assertion(case: Case) -> None:
    """Judge the assertion that would be sent now."""
    if case.signer is not None:
        case.find(ASSERTION, *case.judge_assertion())
