"""What a token endpoint asks of a client assertion (RFC 7523 section 3), rule by rule.

Each rule is one function here, and `lint-assertion`, `doctor` and the sandbox all judge by it. They stand in the
order in which node-oidc-provider asks, which the vendor's server is taken to be: the first rule that fails is the
reason which the server's operator would read, and which the client is never told.

Whose signature it is, is asked of the registered keys themselves, so that the sandbox can verify with another
library than the one that the rest of this package uses.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard
from urllib.parse import urlsplit

from banno_creds.config import (
    ALGORITHMS,
    DEFAULT_ENVIRONMENT,
    DEFAULT_TIMEOUT,
    ENVIRONMENTS,
    MOST_LIFETIME,
    check_timeout,
    check_url,
    is_url,
)
from banno_creds.errors import ConfigurationError
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import NO_ASSERTION, Finding, Rule, Verdict, shown, without_secrets
from banno_creds.rules.presented import (
    IN_JSON,
    LINE_END,
    PRIVATE_KEY,
    QUOTES,
    ClientAssertion,
    TokenRequest,
    misspelt,
    what_is_wrong,
)
from banno_creds.text import printable
from banno_creds.times import duration, looks_like_milliseconds, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    Judge = Callable[["ClientAssertion", "Known"], "_Outcome"]

CLOCK_TOLERANCE = 15
"""How many seconds the clocks of client and server may be apart, either way."""

CLOCK_WARNS = 10
"""From so many seconds of difference between the clocks on there is a warning."""

_DOCUMENTED_CLAIMS = frozenset(("iss", "sub", "aud", "exp", "jti", "iat", "nbf"))
# What the tokens of this provider say, and no assertion does.
_TOKENS_CLAIMS = ("authType", "scope", "scp", "azp", "client_id", "at_hash", "nonce", "token_use")
_TOKENS_TYPES = ("at+jwt", "application/at+jwt", "id+jwt", "logout+jwt")

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_GRANT_TYPE = "client_credentials"

# What no time is, and the lifetime of something may be: up to a day, in seconds.
_LONGEST_DURATION = 86400
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"<.*>|\[.*\]|\{+.*\}+|\$\{?\w+\}?|%\w+%"
    r"|(?:(?:your|the|my|some|example|test)[-_ ]?)?(?:client|app)[-_ ]?id(?:[-_ ]?here)?"
    r"|your[-_ ](?:client|app(?:lication)?)|change[-_ ]?me|todo|placeholder|example|undefined|null|none|nil"
    r"|x{3,}|(?:x+-)+x+|0{8}(?:-0{4}){3}-0{12}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """One public key that the bank has for the client.

    Attributes:
        description: what it is and where it came from.
        algorithms: the ``alg`` values it may verify.
        verifies: whether it made the signature of a compact JWS with such an ``alg``.
        kid: the key ID that the registration gives it (RFC 7517 section 4.5); a PEM has none.
        explains: of a signature that it does not verify, in which wrong form its private half made it all the same,
            and what to do; None if it did not, or if nobody can tell.
    """

    description: str
    algorithms: tuple[str, ...]
    verifies: Callable[[str, str], bool] = field(repr=False)
    kid: str | None = None
    explains: Callable[[str, str], tuple[str, str] | None] = field(default=lambda *_: None, repr=False)


@dataclass(frozen=True, slots=True)
class AssertionChecks:
    """What a client assertion is to be held against, as far as its maker knows it; `Known` is what comes of it.

    Attributes:
        client_id: the client ID.
        token_endpoint: the token endpoint's exact URL; None means to ask the issuer's discovery document.
        issuer: the issuer whose discovery document names the token endpoint.
        public_key: a file with the public key, certificate, JWK or JWK Set that is registered.
        jwks: the file or URL of the JWK Set that is registered.
        timeout: how long fetching may take, in seconds.
        ca_bundle: a PEM file or hashed folder to trust instead of the operating system's store.

    Raises:
        ConfigurationError: the values do not go together.
    """

    client_id: str | None = None
    token_endpoint: str | None = ENVIRONMENTS[DEFAULT_ENVIRONMENT]
    issuer: str | None = None
    public_key: Path | None = None
    jwks: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.public_key is not None and self.jwks is not None:
            raise ConfigurationError(
                "--public-key and --jwks exclude each other", hint="give what is registered at the bank"
            )
        check_timeout(self.timeout)
        if self.jwks is not None and is_url(self.jwks):
            check_url(self.jwks, "the JWK Set's URL")
        if self.token_endpoint is not None:
            check_url(self.token_endpoint, "the token endpoint")
        if self.issuer is not None:
            check_url(self.issuer, "the issuer")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the assertion; None is not known.

    Attributes:
        now: the server's time, or what is taken for it, in seconds since the epoch.
        client_id: the client ID.
        audiences: the ``aud`` values that mean this server, the token endpoint first.
        keys: the public keys that are registered.
        use_jti: uses a ``jti`` up; False where it was used before.
    """

    now: int
    client_id: str | None = None
    audiences: tuple[str, ...] | None = None
    keys: Sequence[RegisteredKey] | None = None
    use_jti: Callable[[Mapping[str, Any]], bool] | None = None


class _Outcome(NamedTuple):
    verdict: Verdict
    received: str = ""
    expected: str = ""
    fix: str = ""
    reason: str = ""


def _passed(received: str = "") -> _Outcome:
    return _Outcome(Verdict.PASS, received)


def _failed(received: str, expected: str, fix: str = "") -> _Outcome:
    return _Outcome(Verdict.FAIL, received, expected, fix)


def _odd(received: str, expected: str, fix: str = "") -> _Outcome:
    return _Outcome(Verdict.WARN, received, expected, fix)


def _unknown(reason: str, received: str = "") -> _Outcome:
    return _Outcome(Verdict.UNKNOWN, received, reason=reason)


class _Entry(NamedTuple):
    rule: Rule
    looks_at: str
    after: tuple[Rule, ...]  # where one of these failed, this one cannot be told
    judge: Judge


_FORM: list[_Entry] = []
_CLAIMS: list[_Entry] = []
_UNREADABLE = (Rule.ASSERTION_PRIVATE_KEY, Rule.ASSERTION_MALFORMED, Rule.ASSERTION_TOKEN)


def _rule(rule: Rule, looks_at: str, *after: Rule, of: list[_Entry] = _CLAIMS) -> Callable[[Judge], Judge]:
    """Declare a function to be a rule. The order of the declarations is the contract; see the module's docstring."""

    def declare(judge: Judge) -> Judge:
        earlier = tuple(blocking for blocking in _UNREADABLE if blocking != rule)
        of.append(_Entry(rule, looks_at, earlier + after, judge))
        return judge

    return declare


def judge_form(assertion: ClientAssertion) -> Iterator[Finding]:
    """Judge what has to hold before the client can be looked up: that it is an assertion, and names its subject.

    Args:
        assertion: the assertion.

    Yields:
        A finding for each rule, in the server's order.
    """
    return _judge(_FORM, assertion, Known(now=0))


def judge(assertion: ClientAssertion, known: Known) -> Iterator[Finding]:
    """Judge an assertion by all rules.

    Nothing is judged before it is asked for: whoever stops at the first failure, as a server does, uses up no
    ``jti``.

    Args:
        assertion: the assertion.
        known: what is known beside it.

    Yields:
        A finding for each rule, in the server's order.
    """
    return _judge([*_FORM, *_CLAIMS], assertion, known)


def judge_pasted(text: str, known: Known) -> Iterator[Finding]:
    """Judge what was pasted by all rules: the assertion in it and, where it is a whole form, that too.

    Args:
        text: what was pasted; see `ClientAssertion.find`.
        known: what is known beside it.

    Yields:
        A finding for each rule, in the server's order.
    """
    assertion, request = ClientAssertion.find(text), TokenRequest.find(text)
    if request is None or assertion.instead == PRIVATE_KEY:
        yield from judge(assertion, known)
        return
    parameters = request.parameters
    yield from judge_authentication(parameters, authorization=request.authorization)
    findings = list(judge(assertion, known))
    yield from findings[: len(_FORM)]
    yield from judge_client_parameters(parameters, assertion.claims.get("sub"))
    yield from findings[len(_FORM) :]
    yield from judge_grant_type(parameters)


def judge_authentication(parameters: Mapping[str, Sequence[str]], *, authorization: bool) -> Iterator[Finding]:
    """Judge what has to hold of a token request before the assertion is read.

    Args:
        parameters: the values by the parameters' names, without those that are empty.
        authorization: whether there is an ``Authorization`` header.

    Yields:
        A finding for each rule, in the server's order.
    """
    repeated = [name for name, values in parameters.items() if len(values) > 1 and name != "resource"]
    yield _of_request(
        Rule.PARAMETER_REPEATED,
        _failed(
            f"{without_secrets(printable(repeated[0], 80))} more than once",
            "each parameter once (RFC 6749 section 3.2)",
        )
        if repeated
        else _passed(),
    )
    yield _of_request(
        Rule.CLIENT_ASSERTION_MISSING,
        _passed()
        if "client_assertion" in parameters
        # Names, never values: what is misspelt may be the secret.
        else _failed(
            f"the parameters {shown(list(parameters))}" if parameters else "no parameters",
            "client_assertion and client_assertion_type, form-encoded in the body",
        ),
    )
    yield _of_request(
        Rule.CLIENT_AUTHENTICATION_SEVERAL,
        _failed(
            "a client_assertion together with a client_secret or an Authorization header",
            "one of them (RFC 6749 section 2.3)",
        )
        if "client_secret" in parameters or authorization
        else _passed(),
    )


def judge_client_parameters(parameters: Mapping[str, Sequence[str]], sub: object) -> Iterator[Finding]:
    """Judge the parameters that stand beside the assertion, once that can be read.

    Args:
        parameters: the values by the parameters' names, without those that are empty.
        sub: the assertion's claim ``sub``, whatever it is.

    Yields:
        A finding for each rule, in the server's order.
    """
    name = "client_assertion_type"
    assertion_type = next(iter(parameters.get(name, ())), None)
    missing = _passed()
    if assertion_type is None:
        alike = misspelt(name, parameters)
        missing = _failed(f"no {name}" + (f", but {shown(alike)}" if alike else ""), _ASSERTION_TYPE)
    yield _of_request(Rule.CLIENT_ASSERTION_TYPE_MISSING, missing)
    yield _of_request(
        Rule.CLIENT_ASSERTION_TYPE_UNSUPPORTED,
        _passed(assertion_type or "")
        if assertion_type in (None, _ASSERTION_TYPE)
        else _failed(f"{name} {shown(assertion_type)}", _ASSERTION_TYPE),
    )
    client_id = next(iter(parameters.get("client_id", ())), None)
    yield _of_request(
        Rule.CLIENT_ID_MISMATCH,
        _failed(
            f'client_id {shown(client_id)} and an assertion with "sub" {shown(sub)}',
            "the same in both (RFC 7521 section 4.2)",
        )
        if client_id is not None and isinstance(sub, str) and client_id != sub
        else _passed(),
    )


def judge_grant_type(parameters: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Judge which grant a token request asks for, which is looked at once the client is authenticated.

    Args:
        parameters: the values by the parameters' names, without those that are empty.

    Yields:
        A finding for each rule, in the server's order.
    """
    grant_type = next(iter(parameters.get("grant_type", ())), None)
    yield _of_request(
        Rule.GRANT_TYPE_MISSING,
        _failed("no grant_type", f"grant_type={_GRANT_TYPE}") if grant_type is None else _passed(),
    )
    yield _of_request(
        Rule.GRANT_TYPE_UNSUPPORTED,
        _passed(grant_type or "")
        if grant_type in (None, _GRANT_TYPE)
        else _failed(f"grant_type {shown(grant_type)}", _GRANT_TYPE),
    )


def _of_request(rule: Rule, outcome: _Outcome) -> Finding:
    return _finding(rule, "request", outcome)


def _judge(entries: Sequence[_Entry], assertion: ClientAssertion, known: Known) -> Iterator[Finding]:
    failed: set[Rule] = set()
    for rule, looks_at, after, judge_one in entries:
        blocking = next((earlier for earlier in after if earlier in failed), None)
        if blocking is None:
            outcome = judge_one(assertion, known)
        else:
            outcome = _unknown(NO_ASSERTION if failed.intersection(_UNREADABLE) else f"{blocking} comes before it")
        if outcome.verdict is Verdict.FAIL or blocking is not None:
            failed.add(rule)
        yield _finding(rule, looks_at, outcome)


def _finding(rule: Rule, looks_at: str, outcome: _Outcome) -> Finding:
    return with_fix(Finding(rule, outcome.verdict, looks_at, *outcome[1:]))


def with_fix(finding: Finding) -> Finding:
    """A finding that says what to do: a fault without a fix of its own is given that of the rule's explanation."""
    if finding.fix or finding.verdict not in (Verdict.FAIL, Verdict.WARN) or not isinstance(finding.rule, Rule):
        return finding
    return finding._replace(fix=EXPLANATIONS[finding.rule].fix)


def judge_client_id(client_id: str) -> tuple[Finding, ...]:
    """Judge a client ID by itself: what is copied along with it, and what was never filled in.

    Args:
        client_id: as it was configured, before anything is taken off it.

    Returns:
        A finding for each rule.
    """
    expected = "the client ID as Users & Groups shows it"
    bare = client_id.strip().strip(QUOTES).strip()
    malformed = _passed(shown(client_id))
    if client_id != bare or not re.fullmatch(r"[\x20-\x7e]+", client_id):
        what = (
            "it is empty"
            if not bare
            else "white space around it"
            if client_id.strip() != client_id
            else "quotation marks around it"
            if client_id != bare
            else "characters outside ASCII in it"
        )
        malformed = _failed(f"{without_secrets(client_id)[:200]!a}: {what}", expected)
    placeholder = _passed()
    if _PLACEHOLDER.fullmatch(bare):
        placeholder = _failed(f"{shown(client_id)}, which looks like a placeholder", expected)
    case = _passed()
    if _UUID.fullmatch(bare) and bare != bare.lower():
        case = _odd(f"{shown(client_id)}, with capital letters", f"probably {shown(bare.lower())}: case matters")
    return (
        _finding(Rule.CLIENT_ID_MALFORMED, "client ID", malformed),
        _finding(Rule.CLIENT_ID_PLACEHOLDER, "client ID", placeholder),
        _finding(Rule.CLIENT_ID_CASE, "client ID", case),
    )


def judge_clock(skew: float | None) -> Finding:
    """Judge by how much this machine's clock differs from the server's.

    Args:
        skew: how many seconds it is ahead; None if that is not known.

    Returns:
        The finding.
    """
    if skew is None:
        return _finding(Rule.CLOCK_SKEW, "clock", _unknown("the server's answer has no Date"))
    apart = round(abs(skew))
    if apart < CLOCK_WARNS:
        return _finding(Rule.CLOCK_SKEW, "clock", _passed(f"{apart} s from the server's"))
    received = f"{duration(apart)} {'ahead of' if skew > 0 else 'behind'} the server's"
    expected = f"less than {CLOCK_WARNS} s; the server allows {CLOCK_TOLERANCE} s"
    outcome = _failed(received, expected) if apart > CLOCK_TOLERANCE else _odd(received, expected)
    return _finding(Rule.CLOCK_SKEW, "clock", outcome)


# --- What has to hold before the client can be looked up ---


@_rule(Rule.ASSERTION_PRIVATE_KEY, "form", of=_FORM)
def _private_key(assertion: ClientAssertion, _: Known) -> _Outcome:
    if assertion.instead == PRIVATE_KEY:
        return _failed("a private key (not shown)", "a client assertion, which is a JWT")
    return _passed()


@_rule(Rule.ASSERTION_MALFORMED, "form", of=_FORM)
def _malformed(assertion: ClientAssertion, _: Known) -> _Outcome:
    if assertion.fault is None:
        readable, around = "a JWS with a header and a payload in JSON", assertion.around
        if around in ((), (LINE_END,)):
            return _passed(f"{readable}, and {LINE_END}, which is not to be sent" if around else readable)
        return _odd(
            f"{readable}, with {' and '.join(around)}",
            "the JWS alone",
            "send client_assertion and the other parameters form-encoded in the body, not as JSON"
            if IN_JSON in around
            else "send the JWT alone and on one line: nothing before it, after it or inside it",
        )
    if assertion.instead:
        return _failed(f"{assertion.instead} (not shown)", _COMPACT)
    received, fix = what_is_wrong(assertion.compact) or (assertion.fault, "")
    return _failed(without_secrets(printable(received, 300)), _COMPACT, fix)


@_rule(Rule.ASSERTION_TOKEN, "form", of=_FORM)
def _token(assertion: ClientAssertion, _: Known) -> _Outcome:
    """Known by what only tokens say, where iss is not sub: an assertion with a claim too many is still one."""
    claims, typ = assertion.claims, assertion.header.get("typ")
    telling = [name for name in _TOKENS_CLAIMS if name in claims]
    if isinstance(typ, str) and typ.lower() in _TOKENS_TYPES:
        telling.insert(0, f"typ {typ.lower()}")
    if telling and ("sub" not in claims or str(claims.get("iss")).startswith(("https://", "http://"))):
        return _failed(
            f"a token that a server issued ({', '.join(telling[:3])})",
            "the assertion that the client signs to ask for one",
        )
    return _passed()


@_rule(Rule.SUB_MISSING, "sub", of=_FORM)
def _sub_missing(assertion: ClientAssertion, _: Known) -> _Outcome:
    return _present(assertion, "sub", 'a "sub" claim with the client ID')


@_rule(Rule.SUB_MALFORMED, "sub", Rule.SUB_MISSING, of=_FORM)
def _sub_malformed(assertion: ClientAssertion, _: Known) -> _Outcome:
    sub = assertion.claims["sub"]
    return _passed() if isinstance(sub, str) else _failed(_claim(assertion, "sub"), "the client ID, a string")


# --- What is held against the registration ---


@_rule(Rule.SUB_MISMATCH, "sub", Rule.SUB_MISSING, Rule.SUB_MALFORMED)
def _sub_mismatch(assertion: ClientAssertion, known: Known) -> _Outcome:
    if known.client_id is None:
        return _unknown("the client ID was not given", shown(assertion.claims["sub"]))
    return _same(assertion, "sub", known.client_id, "the client ID")


@_rule(Rule.ALG_UNSUPPORTED, "alg")
def _alg_unsupported(assertion: ClientAssertion, _: Known) -> _Outcome:
    alg = assertion.header.get("alg")
    if alg in ALGORITHMS:  # "none" and HMAC with the public key as the secret are not
        return _passed(str(alg))
    return _failed(f"alg {shown(alg)}" if "alg" in assertion.header else "no alg", " or ".join(ALGORITHMS))


@_rule(Rule.ALG_KEY_MISMATCH, "signature", Rule.ALG_UNSUPPORTED)
def _alg_key_mismatch(assertion: ClientAssertion, known: Known) -> _Outcome:
    alg = assertion.header["alg"]
    if not known.keys:
        return _no_keys(known)
    fitting = sorted({name for key in known.keys for name in key.algorithms})
    if alg in fitting:
        return _passed()
    good_for = " or ".join(fitting) or "none that the provider takes"
    expected = f"{good_for}, which is what the registered public key may verify"
    mine, theirs = _key_type(alg), {_key_type(name) for name in fitting}
    if not fitting:
        return _failed(
            f"alg {alg}", expected, f"have alg taken out of the registered JWK, or set to {alg}; no other alg will do"
        )
    if mine in theirs:
        return _failed(f"alg {alg}", expected, f"sign with {good_for}: the registered JWK is meant for nothing else")
    other = " or ".join(sorted(theirs))
    return _failed(
        f"alg {alg}, which {mine} keys sign with; the registered key is {other}",
        expected,
        f"the types differ: sign with the {other} key whose public half is registered, or have your {mine} key "
        "registered",
    )


def _key_type(alg: str) -> str:
    return "EC" if alg.startswith("ES") else "RSA"


def _no_keys(known: Known, received: str = "") -> _Outcome:
    if known.keys is None:
        return _unknown("which public key the bank has was not given", received)
    return _unknown("no registered key can be used", received)


@_rule(Rule.EXP_MISSING, "exp")
def _exp_missing(assertion: ClientAssertion, _: Known) -> _Outcome:
    return _present(assertion, "exp", f'an "exp" claim, at most {MOST_LIFETIME} seconds ahead')


@_rule(Rule.JTI_MISSING, "jti")
def _jti_missing(assertion: ClientAssertion, _: Known) -> _Outcome:
    return _present(assertion, "jti", "a fresh unique string")


@_rule(Rule.ISS_MISSING, "iss")
def _iss_missing(assertion: ClientAssertion, _: Known) -> _Outcome:
    return _present(assertion, "iss", 'an "iss" claim with the client ID, as in "sub"')


@_rule(Rule.ISS_MISMATCH, "iss", Rule.ISS_MISSING)
def _iss_mismatch(assertion: ClientAssertion, known: Known) -> _Outcome:
    client_id = known.client_id if known.client_id is not None else assertion.claims.get("sub")
    if not isinstance(client_id, str) or not client_id:
        return _unknown("neither the client ID nor a sub is there to compare it with", _claim(assertion, "iss"))
    return _same(assertion, "iss", client_id, "the client ID, which is also the sub")


@_rule(Rule.AUD_MISSING, "aud")
def _aud_missing(assertion: ClientAssertion, known: Known) -> _Outcome:
    return _present(assertion, "aud", _audience(known))


def _audience(known: Known) -> str:
    return f"{shown(known.audiences[0])}, to the character" if known.audiences else "the token endpoint's exact URL"


@_rule(Rule.AUD_MISMATCH, "aud", Rule.AUD_MISSING)
def _aud_mismatch(assertion: ClientAssertion, known: Known) -> _Outcome:
    aud = assertion.claims["aud"]
    if not known.audiences:
        return _unknown("the token endpoint is not known", _claim(assertion, "aud"))
    values = aud if isinstance(aud, list) else [aud]
    if any(audience in values for audience in known.audiences):
        return _passed(shown(aud))
    texts = [value for value in values if isinstance(value, str)]
    endpoint = known.audiences[0]
    difference = next((words for text in texts if (words := _url_difference(text, endpoint))), "")
    received = _claim(assertion, "aud") + (f": {difference}" if difference else "")
    if len(known.audiences) == 1 and any(_may_be_issuer(text, endpoint) for text in texts):
        # The server takes its issuer as well, and whether this is its issuer only discovery can tell.
        return _unknown(
            "it may be the issuer, which the server takes too; discovery names it", _claim(assertion, "aud")
        )
    return _failed(received, _audience(known))


@_rule(Rule.AUD_ARRAY, "aud", Rule.AUD_MISSING)
def _aud_array(assertion: ClientAssertion, known: Known) -> _Outcome:
    if isinstance(assertion.claims["aud"], list):
        return _odd(_claim(assertion, "aud"), f"one string, as the vendor documents it: {_audience(known)}")
    return _passed()


@_rule(Rule.KID_UNEXPECTED, "kid")
def _kid_unexpected(assertion: ClientAssertion, known: Known) -> _Outcome:
    if "kid" not in assertion.header:
        return _passed("none is sent")
    kid = f"kid {shown(assertion.header['kid'])}"
    if _kid(assertion) is None:
        # RFC 7515 section 4.1.4 wants a string; node-oidc-provider passes over what is none.
        return _odd(kid, "a string, or no kid")
    if known.keys is None:
        return _unknown("right with a JWKS URI, refused with a pasted PEM, and which it is was not given", kid)
    if not known.keys:
        return _no_keys(known, kid)
    if any(key.kid is not None for key in known.keys):
        return _passed(kid)
    return _failed(kid, "no kid: the registered public key has none")


@_rule(Rule.KID_UNKNOWN, "kid", Rule.KID_UNEXPECTED, Rule.ALG_UNSUPPORTED, Rule.ALG_KEY_MISMATCH)
def _kid_unknown(assertion: ClientAssertion, known: Known) -> _Outcome:
    kid, alg = _kid(assertion), assertion.header["alg"]
    if kid is None:
        return _passed()
    if not known.keys:
        return _no_keys(known)
    if any(key.kid == kid and alg in key.algorithms for key in known.keys):
        return _passed()
    kids = [key.kid for key in known.keys if key.kid is not None]
    return _failed(
        f"kid {shown(kid)} with alg {alg}", f"the kid of a key that fits the alg; registered: {shown(kids)}"
    )


@_rule(Rule.CRIT_UNSUPPORTED, "crit")
def _crit(assertion: ClientAssertion, _: Known) -> _Outcome:
    # RFC 7515 section 4.1.11: an extension that is critical and not understood makes the JWS invalid.
    if "crit" in assertion.header:
        return _failed(f"crit {shown(assertion.header['crit'])}", "a header without crit")
    return _passed()


@_rule(Rule.KID_OTHER_KEY, "kid", Rule.KID_UNEXPECTED, Rule.ALG_UNSUPPORTED, Rule.ALG_KEY_MISMATCH, Rule.KID_UNKNOWN)
def _kid_other_key(assertion: ClientAssertion, known: Known) -> _Outcome:
    kid = _kid(assertion)
    if kid is None:
        return _passed()
    if not known.keys:
        return _no_keys(known)
    makers = [key for key in _makers(assertion, known) if key.kid != kid]
    if _makers(assertion, known, kid) or not makers:
        return _passed()
    named = f"kid {shown(makers[0].kid)}" if makers[0].kid is not None else "no kid"
    return _failed(
        f"kid {shown(kid)}, and a signature by the key with {named}", f"{named}, or the other key's signature"
    )


@_rule(
    Rule.SIGNATURE_INVALID,
    "signature",
    *(Rule.ALG_UNSUPPORTED, Rule.ALG_KEY_MISMATCH, Rule.CRIT_UNSUPPORTED),
    *(Rule.KID_UNEXPECTED, Rule.KID_UNKNOWN, Rule.KID_OTHER_KEY),
)
def _signature(assertion: ClientAssertion, known: Known) -> _Outcome:
    if not known.keys:
        return _no_keys(known)
    makers = _makers(assertion, known, _kid(assertion))
    if makers:
        return _passed(f"verified with {makers[0].description}")
    alg = assertion.header["alg"]
    expected = "one by the private key that belongs to it, over this very header and payload"
    if assertion.compact.endswith("."):
        return _failed(
            f"an empty signature, with alg {alg}",
            expected,
            "sign header.payload, and append the signature in base64url",
        )
    for key in _fitting(assertion, known, _kid(assertion)):
        if (explained := key.explains(assertion.compact, alg)) is not None:
            form, fix = explained
            return _failed(f"a signature ({alg}) by the right key, {form}", _SIGNATURE_FORMS[alg], fix)
    return _failed(f"a signature ({alg}) that does not verify with the registered public key", expected)


def _kid(assertion: ClientAssertion) -> str | None:
    kid = assertion.header.get("kid")
    return kid if isinstance(kid, str) else None


def _makers(assertion: ClientAssertion, known: Known, kid: str | None = None) -> list[RegisteredKey]:
    """The registered keys that made the signature; with a kid, of those that have it."""
    return [
        key for key in _fitting(assertion, known, kid) if key.verifies(assertion.compact, assertion.header["alg"])
    ]


def _fitting(assertion: ClientAssertion, known: Known, kid: str | None) -> list[RegisteredKey]:
    alg = assertion.header["alg"]
    return [key for key in known.keys or () if alg in key.algorithms and (kid is None or key.kid == kid)]


_SIGNATURE_FORMS = {
    "ES256": "the 64 bytes R and S, in base64url (RFC 7518 section 3.4)",
    "PS256": "RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes, in base64url (RFC 7518 section 3.5)",
    "RS256": "RSASSA-PKCS1-v1_5 with SHA-256, in base64url (RFC 7518 section 3.3)",
}


# --- What is held against the clock ---


@_rule(Rule.NBF_MALFORMED, "nbf")
def _nbf_malformed(assertion: ClientAssertion, known: Known) -> _Outcome:
    return _no_duration(assertion, "nbf", known) or _numeric(assertion, "nbf")


@_rule(Rule.NBF_FUTURE, "nbf", Rule.NBF_MALFORMED)
def _nbf_future(assertion: ClientAssertion, known: Known) -> _Outcome:
    return (
        _failed(*ahead) if (ahead := _ahead(assertion, "nbf", known)) else _passed(_instant(assertion, "nbf", known))
    )


@_rule(Rule.IAT_MALFORMED, "iat")
def _iat_malformed(assertion: ClientAssertion, known: Known) -> _Outcome:
    return _no_duration(assertion, "iat", known) or _numeric(assertion, "iat")


@_rule(Rule.IAT_FUTURE, "iat", Rule.IAT_MALFORMED)
def _iat_future(assertion: ClientAssertion, known: Known) -> _Outcome:
    # Only a warning: node-oidc-provider takes it as long as there is an exp. It tells of a clock all the same.
    ahead = _ahead(assertion, "iat", known)
    return _odd(*ahead) if ahead else _passed(_instant(assertion, "iat", known))


@_rule(Rule.EXP_MALFORMED, "exp", Rule.EXP_MISSING)
def _exp_malformed(assertion: ClientAssertion, _: Known) -> _Outcome:
    return _numeric(assertion, "exp")


@_rule(Rule.EXP_MILLISECONDS, "exp", Rule.EXP_MISSING, Rule.EXP_MALFORMED)
def _exp_milliseconds(assertion: ClientAssertion, _: Known) -> _Outcome:
    exp = assertion.claims["exp"]
    if exp > 0 and looks_like_milliseconds(exp):
        return _failed(
            f"{_claim(assertion, 'exp')}, which is a time in milliseconds",
            "seconds (RFC 7519 section 2, NumericDate)",
        )
    return _passed()


@_rule(Rule.EXP_PAST, "exp", Rule.EXP_MISSING, Rule.EXP_MALFORMED, Rule.EXP_MILLISECONDS)
def _exp_past(assertion: ClientAssertion, known: Known) -> _Outcome:
    exp, now = assertion.claims["exp"], known.now
    if 0 < exp <= min(_LONGEST_DURATION, now - CLOCK_TOLERANCE):
        return _failed(
            f"{_claim(assertion, 'exp')}{_NO_TIME}",
            f"a time in the future; this clock says {now}",
            "add it to the current time: exp is a point in time, now + 60, in seconds since 1970 UTC",
        )
    if exp <= now - CLOCK_TOLERANCE:
        return _failed(
            f"{_claim(assertion, 'exp')}, {_apart(exp, now)} ago by this clock",
            f"a time in the future; this clock says {now}",
        )
    return _passed(_instant(assertion, "exp", known))


@_rule(Rule.EXP_TOO_FAR, "exp", Rule.EXP_MISSING, Rule.EXP_MALFORMED, Rule.EXP_MILLISECONDS)
def _exp_too_far(assertion: ClientAssertion, known: Known) -> _Outcome:
    exp, now = assertion.claims["exp"], known.now
    if exp > now + MOST_LIFETIME + CLOCK_TOLERANCE:
        return _failed(
            f"{_claim(assertion, 'exp')}, {duration(exp - now)} ahead by this clock",
            f"at most {MOST_LIFETIME} s ahead; this clock says {now}",
        )
    return _passed()


# --- What is used once ---


@_rule(Rule.JTI_MALFORMED, "jti", Rule.JTI_MISSING)
def _jti_malformed(assertion: ClientAssertion, _: Known) -> _Outcome:
    jti = assertion.claims["jti"]
    return _passed(shown(jti)) if isinstance(jti, str) else _failed(_claim(assertion, "jti"), "a fresh unique string")


@_rule(Rule.AUD_MALFORMED, "aud", Rule.AUD_MISSING, Rule.AUD_MISMATCH)
def _aud_malformed(assertion: ClientAssertion, _: Known) -> _Outcome:
    # Only of an array that holds the right one as well: what does not is a mismatch.
    aud = assertion.claims["aud"]
    if isinstance(aud, list) and not all(isinstance(value, str) for value in aud):
        return _failed(_claim(assertion, "aud"), "strings alone (RFC 7519 section 4.1.3)")
    return _passed()


@_rule(Rule.JTI_REPLAYED, "jti", Rule.JTI_MISSING, Rule.JTI_MALFORMED, Rule.EXP_MISSING, Rule.EXP_MALFORMED)
def _jti_replayed(assertion: ClientAssertion, known: Known) -> _Outcome:
    if known.use_jti is None:
        return _unknown("only the server knows whether it was used before", shown(assertion.claims["jti"]))
    # The last rule that can fail, so that a refused assertion costs its jti nothing.
    if known.use_jti(assertion.claims):
        return _passed("not used before")
    return _failed(
        f"{_claim(assertion, 'jti')}, which was used before",
        "a jti that is fresh in every request, retries included",
    )


@_rule(Rule.CLAIMS_UNEXPECTED, "claims")
def _claims_unexpected(assertion: ClientAssertion, _: Known) -> _Outcome:
    unexpected = [name for name in assertion.claims if name not in _DOCUMENTED_CLAIMS]
    if unexpected:
        return _odd(f"{shown(unexpected)}, which nobody asks for", "iss, sub, aud, exp and jti alone")
    return _passed("the documented ones")


# --- Words ---

_COMPACT = "a compact JWS: header, payload and signature in base64url, joined by dots"
_NO_TIME = ", which looks like a duration and not a time"


def _claim(assertion: ClientAssertion, name: str) -> str:
    return f'"{name}" {shown(assertion.claims[name])}'


def _present(assertion: ClientAssertion, name: str, expected: str) -> _Outcome:
    # As node-oidc-provider asks: what JavaScript takes for false is not there, and an empty array is.
    if assertion.claims.get(name) is None:
        return _failed(f'no "{name}" claim', expected)
    if assertion.claims[name] in ("", 0):  # False too
        return _failed(f"an empty {_claim(assertion, name)}", expected)
    return _passed()


def _same(assertion: ClientAssertion, name: str, client_id: str, what: str) -> _Outcome:
    value = assertion.claims[name]
    if value == client_id:
        return _passed(shown(value))
    difference = ""
    if isinstance(value, str):
        if value.strip().strip(QUOTES).strip() == client_id:
            difference = ": white space or quotation marks are around it"
        elif client_id.strip().strip(QUOTES).strip() == value:
            difference = ": without the white space or quotation marks that are around the client ID"
        elif value.lower() == client_id.lower():
            difference = ": capital letters differ, and case matters"
        elif not value.isascii():
            difference = ": characters outside ASCII are in it"
    return _failed(f"{_claim(assertion, name)}{difference}", f"{shown(client_id)}, {what}")


def _url_difference(url: str, endpoint: str) -> str:
    """How a URL differs from the one that is meant, where that can be said in words."""
    if url.strip() == endpoint:
        return "white space is around it"
    if url.rstrip("/") == endpoint:
        return "a slash too many at its end"
    if url == endpoint.rstrip("/"):
        return "the slash at its end is missing"
    if url.lower() == endpoint.lower():
        return "capital letters differ, and case matters"
    if not url.isascii():
        return "characters outside ASCII are in it"
    try:
        ours, theirs = urlsplit(url), urlsplit(endpoint)
    except ValueError:
        return ""
    if ours._replace(scheme=theirs.scheme) == theirs:
        return f"{ours.scheme or 'no scheme'} for {theirs.scheme}"
    named = [name for name, known in ENVIRONMENTS.items() if known == url]
    if named:
        return f"the token endpoint of the environment {named[0]}"
    if ours.netloc != theirs.netloc and ours.path == theirs.path:
        return "another host"
    if ours.netloc == theirs.netloc and ours.path != theirs.path:
        return "another path on the same host"
    return ""


def _may_be_issuer(url: str, endpoint: str) -> bool:
    """Whether a URL stands above the endpoint, as an issuer does; without a slash at its end, as the vendor's."""
    return endpoint.startswith(f"{url}/") and endpoint != f"{url}/" and url.count("/") >= 2


def _numeric(assertion: ClientAssertion, name: str) -> _Outcome:
    if name not in assertion.claims or _is_numeric_date(assertion.claims[name]):
        return _passed()
    return _failed(_claim(assertion, name), "a JSON number of seconds (RFC 7519 section 2)")


def _no_duration(assertion: ClientAssertion, name: str, known: Known) -> _Outcome | None:
    """A warning where a time looks like a duration: nobody is refused for it, and it is not what was meant."""
    value = assertion.claims.get(name)
    if not _is_numeric_date(value) or not 0 < value <= min(_LONGEST_DURATION, known.now - _LONGEST_DURATION):
        return None
    return _odd(
        f"{_claim(assertion, name)}{_NO_TIME}",
        "a time in seconds since 1970",
        f"leave {name} out, or set it to the current time in UTC seconds",
    )


def _ahead(assertion: ClientAssertion, name: str, known: Known) -> tuple[str, str] | None:
    """What was received and expected, where a time has not come yet."""
    value = assertion.claims.get(name)
    if value is None or value <= known.now + CLOCK_TOLERANCE:
        return None
    received = f"{_claim(assertion, name)}, {duration(value - known.now)} ahead by this clock"
    if looks_like_milliseconds(value):
        received = f"{_claim(assertion, name)}, which is a time in milliseconds"
    return received, f"a time that has come; this clock says {known.now}"


def _instant(assertion: ClientAssertion, name: str, known: Known) -> str:
    value = assertion.claims.get(name)
    if value is None:
        return ""
    return f"{shown(value)}, {_apart(value, known.now)} {'ahead' if value >= known.now else 'ago'}, {utc(value)}"


def _apart(instant: float, now: int) -> str:
    # A JSON number may have thousands of digits.
    return printable(duration(instant - now), most=40)


def _is_numeric_date(value: object) -> TypeGuard[int | float]:
    """Whether a value is a NumericDate (RFC 7519 section 2)."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
