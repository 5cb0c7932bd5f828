"""The last stage: one token request, and after a refusal a probe, which varies one thing at a time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.client_authentication.methods import SignedJwt
from banno_creds.client_authentication.private_key import signer_of
from banno_creds.doctor.case import REQUEST, SERVER, Exchange, StopError
from banno_creds.doctor.findings import passed, unknown
from banno_creds.doctor.server import UNLISTED
from banno_creds.errors import BannoCredsError, OutputError, RefusedError
from banno_creds.http.answers import is_page
from banno_creds.rules.diagnosis import may_be_elsewhere, may_be_the_client, words_of
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Finding, Part, Rule, Verdict
from banno_creds.shells import quote
from banno_creds.text import setting
from banno_creds.tokens.client_credentials import grant
from banno_creds.tokens.endpoint import attempt, received
from banno_creds.tokens.response import is_bearer, not_granted

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.config import ClientConfig
    from banno_creds.doctor.case import Case
    from banno_creds.tokens.endpoint import Sent
    from banno_creds.tokens.response import TokenResponse

MOST_REQUESTS = 4
"""How many token requests a probe makes, the first one included."""

PROBE_PAUSE = 5.0
"""The pause between two of them, in seconds."""

# A server checks these only after it has authenticated the client.
_AFTER_AUTHENTICATION = ("invalid_scope", "invalid_target", "unauthorized_client", "unsupported_grant_type")


def ask_for_token(case: Case) -> None:
    """Ask for a token once, unless the request would be refused; and probe, if the set-up says so."""
    reason = _reason_against(case)
    if reason is not None:
        reason = f"no token was requested, because it would be refused: {reason}"
        case.find(SERVER, *case.unlisted)
        case.find(REQUEST, unknown(Rule.TOKEN_REQUEST, "request", reason))
        return
    case.refusal = refusal = _ask(case, case.config, "")
    if refusal is None or case.setup.probe is None or case.is_page:  # a page comes from somebody else
        return
    if not may_be_the_client(refusal.error, words_of(refusal)):
        return
    with suppress(StopError):  # the findings so far are kept
        _probe(case, case.setup.probe, refusal)


def _reason_against(case: Case) -> str | None:
    """Return why the server would refuse; a wrong clock alone may not matter, if the assertion has time to spare."""
    for finding in case.findings:
        if finding.verdict is Verdict.FAIL and finding.rule != Rule.CLOCK_SKEW:
            return finding.rule
    rule = case.out_of_time()
    return f"by the server's clock {rule}" if rule else None


def _ask(case: Case, config: ClientConfig, varied: str) -> RefusedError | None:
    """Make one request, and never a second one; return the refusal, if it was refused."""
    started_at = int(case.run.clock())
    sent, outcome = _send(case, config)
    at, status, request_id = started_at, 0, None
    if sent is not None:
        step = received(sent.answer)
        at, status, request_id = sent.requested_at, step.status, step.request_id
        case.is_page = is_page(sent.answer)
    if not isinstance(outcome, BannoCredsError):
        case.requests.append(Exchange(varied, accepted=True, at=at, request_id=request_id, status=status, error=""))
        _settle_warnings(case, outcome)
        case.find(REQUEST, passed(Rule.TOKEN_REQUEST, varied or "request", _granted(outcome)))
        if not is_bearer(outcome):
            case.find(REQUEST, Finding(Rule.TOKEN_TYPE, Verdict.WARN, "token type", outcome.token_type, "Bearer"))
        return None
    error = (isinstance(outcome, RefusedError) and outcome.error) or outcome.words(case.setup.spell).message
    case.requests.append(Exchange(varied, accepted=False, at=at, request_id=request_id, status=status, error=error))
    _settle_warnings(case, outcome)
    if not isinstance(outcome, RefusedError):
        case.find_error(REQUEST, outcome, Rule.TOKEN_REQUEST, varied or "request")
        raise StopError
    if varied:
        case.find(REQUEST, Finding(Rule.TOKEN_REQUEST, Verdict.UNKNOWN, varied, f"refused: {error}"))
    else:
        case.find(REQUEST, _of_refusal(case, outcome, request_id), exit_code=outcome.exit_code)
    return outcome


def _send(case: Case, config: ClientConfig) -> tuple[Sent | None, TokenResponse | BannoCredsError]:
    """Send one token request; return what was sent, if it was answered, and the outcome."""
    url, signer = case.known_endpoint(), case.known_signer()
    proof = SignedJwt(config, signer_of(signer.key, config.alg or signer.alg), url)
    answered: list[Sent] = []

    def note(sent: Sent) -> None:
        answered.append(sent)
        case.compare_clocks(sent.answer)

    outcome: TokenResponse | BannoCredsError
    with case.http() as http:
        http.check(url)
        try:
            outcome = attempt(url, grant(config), proof, http, case.run, note)
        except OutputError:
            raise
        except BannoCredsError as failure:
            outcome = failure
    return (answered[0] if answered else None), outcome


def _granted(response: TokenResponse) -> str:
    life = "" if response.expires_in is None else f", good for {response.expires_in} s"
    kind, scope = response.token_type or "token", response.scope or "(not said)"
    return f"a {kind} token was granted{life}, scope {scope}; it was not kept"


def _of_refusal(case: Case, refusal: RefusedError, request_id: str | None) -> Finding:
    """Return a refusal as a finding under its OAuth error; one that may mean the client has no fix of its own."""
    named = f", x-request-id {request_id}" if request_id else ""
    # The server chooses the code; it must not be taken for the id of a rule.
    known = refusal.error is not None and "." not in refusal.error and refusal.error in EXPLANATIONS
    message, hint, details = refusal.marked
    hides = may_be_the_client(refusal.error, words_of(refusal)) and "client_id_in_body" not in refusal.fields
    fix = "" if hides else hint or ""
    words = f"{message} ({refusal.status}{named})"
    rule = str(refusal.error) if known else Rule.TOKEN_REQUEST
    if refusal.error is None:  # its words are not in the message
        words = "; ".join((words, *details))
        rule = Rule.NETWORK_ANSWER if may_be_elsewhere(refusal.status, refusal.error, is_page=case.is_page) else rule
    return Finding(rule, Verdict.FAIL, "request", words, "", fix)


def _settle_warnings(case: Case, outcome: TokenResponse | BannoCredsError) -> None:
    """Tell the warnings about what discovery does not list, unless the request has shown that all is well."""
    disproved: frozenset[Rule] = frozenset()
    if not isinstance(outcome, BannoCredsError):
        disproved = frozenset(UNLISTED)
        if not_granted(outcome, case.config.scope):
            disproved -= {Rule.DISCOVERY_SCOPE}
    elif isinstance(outcome, RefusedError) and outcome.error in _AFTER_AUTHENTICATION:
        disproved = frozenset((Rule.DISCOVERY_AUTH_METHOD, Rule.DISCOVERY_ALG))
    warnings, case.unlisted = case.unlisted, []
    for warning in warnings:
        if warning.rule in disproved:
            words = f"{warning.received}, which discovery does not list, and the server takes"
            warning = passed(warning.rule, warning.looks_at, words)
        case.find(SERVER, warning)
    for finding in () if isinstance(outcome, BannoCredsError) else case.findings:
        if finding.rule == Rule.AUD_MISMATCH and finding.verdict is Verdict.UNKNOWN:
            case.findings = [each for each in case.findings if each is not finding]
            case.find(SERVER, passed(finding.rule, finding.looks_at, f"{finding.received}, which the server takes"))


# --- The probe ---


class _Variation(NamedTuple):
    """A change that may make the server accept the client; ``rule`` is the one that was broken if it does."""

    rule: Rule
    words: str
    fix: str
    config: ClientConfig


def _probe(case: Case, wanted: Callable[[int], bool], first: RefusedError) -> None:
    """Try one variation after another, until one is accepted."""
    variations = _variations(case)[: MOST_REQUESTS - 1]
    if not variations or not wanted(len(variations)):
        return
    for rule, varied, fix, config in variations:
        case.tell(Part(REQUEST, notes=(f"in {PROBE_PAUSE:g} s once more, {varied}",)))
        case.run.sleep(PROBE_PAUSE)
        refusal = _ask(case, config, varied)
        if refusal is None or refusal.error in _AFTER_AUTHENTICATION:
            words = f"refused as it is configured, accepted {varied}"
            case.culprit = case.explain(Finding(rule, Verdict.FAIL, "culprit", words, varied, fix))
            case.find(REQUEST, case.culprit)
            return
        if (refusal.error, refusal.status) != (first.error, first.status):
            return  # something else answers now
        case.tried[rule] = f"refused {varied} as well: that alone it is not"


def _variations(case: Case) -> list[_Variation]:
    config, alg = case.config, case.known_signer().alg
    kid, aud = setting("kid"), setting("aud")
    found = []
    if config.key_id is not None:
        fix = f"leave {kid} out" if config.kid is not None else f"set {setting('registration')} to pem"
        without = replace(config, kid=None, registration=None)
        found.append(_Variation(Rule.KID_UNEXPECTED, "without kid", fix, without))
    other = {"PS256": "RS256", "RS256": "PS256"}.get(alg)
    if other is not None:
        fix = f"add {setting('alg')} {other}"
        found.append(_Variation(Rule.REGISTRATION_ALG, f"with {other}", fix, replace(config, alg=other)))
    if config.key_id is None:
        with_kid = replace(config, kid="thumbprint")
        found.append(_Variation(Rule.KID_MISSING, "with kid", f"add {kid} thumbprint", with_kid))
    if config.aud is not None:
        fix = f"leave {aud} out"
        found.append(_Variation(Rule.AUD_MISMATCH, "with another aud", fix, replace(config, aud=None)))
    elif case.issuer is not None:
        fix, with_issuer = f"add {aud} {quote(case.issuer)}", replace(config, aud=case.issuer)
        found.append(_Variation(Rule.AUD_MISMATCH, "with issuer aud", fix, with_issuer))
    return found
