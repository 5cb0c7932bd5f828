"""A client's whole set-up, looked at in the order in which it is used, and why the server refuses it if it does.

Everything that can be looked at on this machine comes first. The server is asked for a token once, and only if
nothing was found that it would have to refuse: an address that fails often is blocked. `flow` tells the same story
without looking left or right.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from banno_creds.client_authentication.client_assertion import make_assertion
from banno_creds.client_authentication.methods import SignedJwt
from banno_creds.client_authentication.private_key import read_key
from banno_creds.client_authentication.signer import KeySigner, choose_alg
from banno_creds.config import DEFAULT_ENVIRONMENT, ENVIRONMENTS, is_loopback, is_url
from banno_creds.doctor import network
from banno_creds.errors import BannoCredsError, KeyLoadError, NetworkError, OutputError, RefusedError, SigningError
from banno_creds.http import discovery
from banno_creds.http.client import HttpClient, answer_skew
from banno_creds.jose.keys import form_of, load_private_key
from banno_creds.rules.assertion import judge
from banno_creds.rules.client_id import judge_client_id
from banno_creds.rules.clock import judge_clock
from banno_creds.rules.diagnosis import Cause, Circumstances, Diagnosis, causes_found, diagnose
from banno_creds.rules.explanations import EXPLANATIONS
from banno_creds.rules.findings import Finding, Part, Rule, Verdict
from banno_creds.rules.known import Known
from banno_creds.rules.lint import load_registration
from banno_creds.rules.outcomes import with_fix
from banno_creds.rules.presented import ClientAssertion
from banno_creds.rules.registration import judge_key
from banno_creds.rules.shown import shown
from banno_creds.steps import Run
from banno_creds.storage.own_files import MODES_MEAN_SOMETHING
from banno_creds.text import without
from banno_creds.tokens.client_credentials import grant
from banno_creds.tokens.endpoint import Sent, attempt, facts_of, received, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from banno_creds.config import ClientConfig
    from banno_creds.http.client import Answer
    from banno_creds.rules.registration import Registration
    from banno_creds.times import Clock

MOST_REQUESTS = 4
"""How many token requests a probe makes, the first one included."""

PROBE_PAUSE = 5.0
"""How many seconds lie between two of them."""

NEXT = "What to do next"
"""The part of the conclusion that is for whoever runs it, and for nobody else."""

CULPRIT = "culprit"
"""What the finding looks at that a probe made sure of."""

# Of an institution's own server, which knows people alone and no client credentials.
_CONSUMER_API = "/a/consumer/"

# With these a server refuses what is asked for, once it knows who asks.
_AFTER_AUTHENTICATION = ("invalid_scope", "invalid_target", "unauthorized_client", "unsupported_grant_type")

# What the first fault's area makes of the exit code; all others would be refused.
_EXIT_CODES = {"configuration": 2, "client_id": 2, "clock": 2, "key": 3, "network": 5, "discovery": 5, "token": 5}

_CONFIGURATION = "Configuration"
_KEY = "Private key"
_REGISTRATION = "Registration"
_ASSERTION = "Client assertion"
_WAY = "Way to the server"
_SERVER = "Server"
_REQUEST = "Token request"


class Setting(NamedTuple):
    """One setting: its name, its value as far as it may be shown, and where it came from."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be looked at.

    Attributes:
        config: the client and the request.
        settings: what it was made of.
        registered: the file or URL of the public key or JWK Set that the bank has, if it is known.
        offline: whether to leave the network alone.
        probe: called after a refusal with the number of further requests, where those are wanted, and says whether
            to make them.
    """

    config: ClientConfig
    settings: tuple[Setting, ...] = ()
    registered: str | None = None
    offline: bool = False
    probe: Callable[[int], bool] | None = None


class Exchange(NamedTuple):
    """One token request, as a support case names it.

    Attributes:
        varied: what was varied in it; empty for the first.
        accepted: whether a token was granted.
        at: when it was sent, in seconds since the epoch.
        request_id: the server's ``x-request-id``.
        status: the HTTP status; 0 where there was no answer.
        error: the OAuth error code, or the words for what went wrong; empty where a token was granted.
    """

    varied: str
    accepted: bool
    at: int
    request_id: str | None
    status: int
    error: str


class Examination(NamedTuple):
    """All that was found.

    Attributes:
        findings: in the order in which they were found.
        requests: the token requests that were made.
        diagnosis: what a refusal comes from, or what would be refused; None where nothing is wrong.
        exit_code: that of the first fault: 2 configuration and clock, 3 key, 4 what is or would be refused,
            5 network; 0 where there is none.
    """

    findings: tuple[Finding, ...]
    requests: tuple[Exchange, ...]
    diagnosis: Diagnosis | None
    exit_code: int


def examine(
    setup: Setup,
    tell: Callable[[Part], None],
    *,
    clock: Clock = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Examination:
    """Look at a set-up.

    Args:
        setup: what is to be looked at.
        tell: called with each part of it as soon as it is known; parts of one title belong together.
        clock: the time, in seconds since the epoch.
        sleep: called with the seconds to pause before another request.

    Returns:
        All that was found.
    """
    return _Examination(setup, tell, clock, sleep).run()


def invalid(
    client_id: str, settings: tuple[Setting, ...], failure: BannoCredsError, tell: Callable[[Part], None]
) -> Examination:
    """The examination of settings that come to no configuration.

    Args:
        client_id: the client ID as it was given.
        settings: what was given.
        failure: why they come to none.
        tell: as for `examine`.

    Returns:
        What was found.
    """
    tell(_settings_part(settings))
    findings = tuple(with_fix(finding) for finding in judge_client_id(client_id))
    if not any(finding.verdict is Verdict.FAIL for finding in findings):
        rule = Rule.KEY_UNUSABLE if isinstance(failure, KeyLoadError) else Rule.CONFIGURATION_INVALID
        findings += (_of_error(failure, rule, "settings"),)
    tell(Part(_CONFIGURATION, findings))
    return Examination(findings, (), _diagnosis_of(findings), failure.exit_code)


def conclusion(examination: Examination) -> list[Part]:
    """What came of it, for people.

    Args:
        examination: what was found.

    Returns:
        Parts without findings.
    """
    diagnosis = examination.diagnosis
    if diagnosis is None:
        return [Part("Conclusion", notes=tuple(_all_is_well(examination)))]
    mend = tuple(cause for cause in diagnosis.causes if cause.fix and diagnosis.certain)
    others = tuple(cause for cause in diagnosis.causes if cause not in mend)
    parts = []
    if mend:
        parts.append(Part("What to mend", notes=tuple(_to_mend(mend))))
    if others:
        title = "What it comes from"
        if mend:
            title = "Should it not be that"
        elif len(others) > 1:
            title = "What it may come from: the likeliest first, and not to be told apart from outside"
        parts.append(Part(title, notes=tuple(_numbered(others))))
    if not diagnosis.causes:
        parts.append(Part("What it comes from", notes=tuple(_what_the_server_says(examination))))
    if diagnosis.ruled_out:
        ruled_out = tuple(f"{one.title}: {one.how}" for one in diagnosis.ruled_out)
        parts.append(Part("What it does not come from", notes=ruled_out))
    if diagnosis.questions:
        notes = tuple(f"{number}. {question}" for number, question in enumerate(diagnosis.questions, 1))
        parts.append(Part("What to ask the bank's administrator", notes=notes))
        parts.append(Part(NEXT, notes=tuple(_next(examination))))
    return parts


def _next(examination: Examination) -> Iterable[str]:
    unknown = {finding.rule for finding in examination.findings if finding.verdict is Verdict.UNKNOWN}
    if Rule.REGISTRATION_KEY_MISMATCH in unknown:
        yield "doctor once more with --registered FILE|URL, the public key or JWKS URI that the bank was given"
    if examination.diagnosis is not None and examination.diagnosis.error == "invalid_client":
        if len(examination.requests) == 1:
            yield "doctor once more with --probe, if up to three more refusals are no harm"
        yield "doctor once more with --bundle FILE, for what to attach when you ask the bank"


def _to_mend(causes: Iterable[Cause]) -> Iterable[str]:
    for cause in causes:
        yield f"{cause.rule}: {cause.fix}"
        yield f"  banno-creds explain {cause.rule}"


def _what_the_server_says(examination: Examination) -> Iterable[str]:
    for finding in examination.findings:
        if finding.verdict is Verdict.FAIL:
            yield finding.received
            if finding.fix:
                yield finding.fix


def _numbered(causes: Iterable[Cause]) -> Iterable[str]:
    for number, cause in enumerate(causes, 1):
        fix = f": {cause.fix}" if cause.fix else ""
        yield f"{number}. {cause.rule}: {cause.title} ({cause.why}){fix}"


def _all_is_well(examination: Examination) -> Iterable[str]:
    warned = [finding.rule for finding in examination.findings if finding.verdict is Verdict.WARN]
    if warned:
        yield f"Nothing that would be refused; look at the warnings: {', '.join(dict.fromkeys(warned))}."
    else:
        yield "Nothing wrong was found."
    if not examination.requests:
        yield "No token was asked for: whether the server grants one is not known."


def _settings_part(settings: tuple[Setting, ...]) -> Part:
    width = max((len(setting.name) for setting in settings), default=0)
    notes = tuple(f"{name:<{width}}  {value}  ({source})" for name, value, source in settings)
    return Part(_CONFIGURATION, notes=notes)


def _diagnosis_of(findings: Iterable[Finding], error: str = "") -> Diagnosis | None:
    """What was found to be at fault, where something was."""
    causes = causes_found(findings)
    return Diagnosis(error, causes, (), certain=True) if causes else None


class _StopError(Exception):
    """What follows cannot be looked at."""


class _Examination:
    """The examination under way."""

    def __init__(
        self, setup: Setup, tell: Callable[[Part], None], clock: Clock, sleep: Callable[[float], None]
    ) -> None:
        self._setup = setup
        self._config = setup.config
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._findings: list[Finding] = []
        self._requests: list[Exchange] = []
        self._signer: KeySigner | None = None
        self._registration: Registration | None = None
        self._token_endpoint = setup.config.token_endpoint
        self._issuer = setup.config.issuer
        self._skew: float | None = None  # how many seconds this machine's clock is ahead of the server's
        self._refusal: RefusedError | None = None
        self._tried: dict[str, str] = {}  # by rule, the variations that were refused as well
        self._culprit: Finding | None = None
        # Whether the endpoint is the server's own name for it: by discovery, or as the vendor documents it.
        self._confirmed = setup.config.issuer is not None or setup.config.token_endpoint in ENVIRONMENTS.values()
        self._exit_code = 0

    def run(self) -> Examination:
        try:
            self._look_at_configuration()
            self._look_at_key()
            self._look_at_registration()
            if self._token_endpoint is not None:
                self._look_at_assertion()
            if self._setup.offline:
                self._say_what_was_left_out()
            else:
                self._look_at_way(self._token_endpoint or self._issuer or "")
                self._look_at_server()
                if self._config.issuer is not None:
                    self._look_at_assertion()
                self._request()
        except _StopError:
            pass
        except OutputError:
            raise  # it is the reader's of all this
        except BannoCredsError as failure:
            rule = Rule.KEY_UNUSABLE if isinstance(failure, SigningError) else Rule.CONFIGURATION_INVALID
            self._find_error(_REQUEST, failure, rule, "request")
        return Examination(tuple(self._findings), tuple(self._requests), self._diagnose(), self._exit_code)

    def _say_what_was_left_out(self) -> None:
        if self._token_endpoint is None:
            reason = "only the issuer's discovery document names its aud"
            self._find(_ASSERTION, _unknown(Rule.AUD_MISMATCH, "aud", reason))
        with self._http() as http:
            http.check(self._token_endpoint or self._issuer or "")  # the proxy's settings, the CA bundle
        self._find(_REQUEST, _unknown(Rule.TOKEN_REQUEST, "request", "the network was left alone (--offline)"))

    # --- On this machine ---

    def _look_at_configuration(self) -> None:
        self._tell(_settings_part(self._setup.settings))
        self._find(_CONFIGURATION, *judge_client_id(self._config.client_id), self._judge_endpoint())

    def _judge_endpoint(self) -> Finding:
        looks_at, url = "endpoint", self._token_endpoint
        if url is None:
            return _passed(Rule.CONFIGURATION_ENDPOINT, looks_at, f"the one that {self._issuer} names")
        named = next((name for name, known in ENVIRONMENTS.items() if known == url), None)
        host = urlsplit(url).hostname or ""
        if named is not None:
            return _passed(Rule.CONFIGURATION_ENDPOINT, looks_at, f"the environment {named}")
        if is_loopback(host):
            return _passed(Rule.CONFIGURATION_ENDPOINT, looks_at, "on this machine")
        path = urlsplit(url).path
        near = next((known for known in ENVIRONMENTS.values() if urlsplit(known).hostname == host.lower()), None)
        if near is None and path.endswith("/token") and _CONSUMER_API not in path:
            return _passed(Rule.CONFIGURATION_ENDPOINT, looks_at, f"{url}, which no environment has")
        expected = near or "the URL of a token endpoint, such as " + ENVIRONMENTS[DEFAULT_ENVIRONMENT]
        return Finding(Rule.CONFIGURATION_ENDPOINT, Verdict.WARN, looks_at, url, expected)

    def _look_at_key(self) -> None:
        source, looks_at = self._config.private_key, "private key"
        try:
            content, warnings = read_key(source)
            # Checked thoroughly: what takes too long for each run is just right here.
            key = load_private_key(content, source.origin, self._config.passphrase, thorough=True)
            # What was looked at is what signs: a pipe can be read but once.
            self._config = replace(self._config, private_key=replace(source, path=None, content=content))
            self._signer = KeySigner(key, choose_alg(key, self._config.alg))
        except BannoCredsError as failure:
            self._find_error(_KEY, failure, Rule.KEY_UNUSABLE, looks_at)
            return
        facts = [source.origin, key.description, form_of(content), *self._mode_of_key()]
        self._find(
            _KEY,
            _passed(Rule.KEY_UNUSABLE, looks_at, " · ".join(facts)),
            _passed(Rule.KEY_UNUSABLE, "public half", key.public.fingerprint()),
        )
        for message, hint in warnings:
            self._find(
                _KEY, Finding(Rule.KEY_PERMISSIONS, Verdict.WARN, "permissions", message, "its owner's alone", hint)
            )

    def _mode_of_key(self) -> list[str]:
        path = self._setup.config.private_key.path
        if path is None or not MODES_MEAN_SOMETHING or not path.is_file():
            return []
        return [f"mode {path.stat().st_mode & 0o777:04o}"]

    def _look_at_registration(self) -> None:
        """Hold the key against the one that the bank has."""
        registered, looks_at = self._setup.registered, "registered key"
        if self._signer is None:
            return
        if registered is None:
            reason = "whether the bank has this key: --registered FILE|URL names what it has"
            self._find(_REGISTRATION, _unknown(Rule.REGISTRATION_KEY_MISMATCH, looks_at, reason))
            return
        if is_url(registered) and self._setup.offline:
            reason = "the JWK Set is not fetched with --offline"
            self._find(_REGISTRATION, _unknown(Rule.REGISTRATION_KEY_MISMATCH, looks_at, reason))
            return
        try:
            registration = load_registration(
                registered, self._config.timeout, self._config.ca_bundle, Run(sleep=self._sleep)
            )
        except BannoCredsError as failure:
            if not is_url(registered):
                self._find_error(_REGISTRATION, failure, Rule.REGISTRATION_UNREADABLE, looks_at)
                return
            # The bank fetches it as well; but from where it stands it may get it.
            self._find(_REGISTRATION, _warning_of(failure, Rule.REGISTRATION_UNREACHABLE, looks_at))
            return
        findings = registration.findings
        if registration.keys:
            self._registration = registration
            mine = judge_key(registration, self._signer.key.public)
            # It names the key and the place itself.
            findings = (
                *(finding._replace(received="") if _is_passed(finding) else finding for finding in findings),
                mine,
            )
        self._find(_REGISTRATION, *findings)

    def _look_at_assertion(self) -> None:
        if self._signer is not None:
            self._find(_ASSERTION, *self._judge_assertion())

    def _judge_assertion(self, skew: float = 0.0) -> Iterator[Finding]:
        """Judge the assertion that would be sent now, by a clock that is so much behind; it stays here."""
        url, now = self._the_endpoint(), int(self._clock())
        compact = make_assertion(self._config, self._the_signer(), url, Run(clock=lambda: now))
        return judge(ClientAssertion.read(compact), self._known(url, int(now - skew)))

    def _known(self, url: str, now: int) -> Known:
        return Known(
            now=now,
            client_id=self._config.client_id,
            audiences=(url,) if self._issuer is None else (url, self._issuer),
            keys=None if self._registration is None else self._registration.keys,
            use_jti=lambda _: True,  # it was made just now
        )

    # --- On the network ---

    def _look_at_way(self, url: str) -> None:
        with self._http() as http:
            for finding in network.examine(url, http, clock=self._clock):
                self._find(_WAY, finding)
                if finding.verdict is Verdict.FAIL:
                    raise _StopError

    def _look_at_server(self) -> None:
        """Look at what the server says of itself, and at its clock."""
        try:
            with self._http() as http:
                metadata = self._fetch_metadata(http)
                if metadata is None:
                    return
                if self._config.issuer is not None:
                    discovery.check_issuer(metadata, self._config.issuer, discovery.url_of(self._config.issuer))
                    self._token_endpoint = discovery.endpoint(metadata, "token_endpoint")
                self._find(_SERVER, *self._judge_metadata(metadata))
                self._find(_SERVER, self._judge_jwks(metadata, http))
        except OutputError:
            raise
        except BannoCredsError as failure:
            self._find_error(_SERVER, failure, Rule.DISCOVERY_MISSING, "discovery")
            raise _StopError from None
        if self._config.issuer is not None and not _same_origin(self._config.issuer, self._the_endpoint()):
            self._look_at_way(self._the_endpoint())
        if any(
            finding.rule == Rule.AUD_MISMATCH and finding.verdict is Verdict.UNKNOWN for finding in self._findings
        ):
            self._look_at_aud_again()

    def _look_at_aud_again(self) -> None:
        """Judge the audience once more, now that the issuer is known, or that nobody names one."""
        for finding in self._judge_assertion():
            if finding.rule == Rule.AUD_MISMATCH and finding.verdict is not Verdict.UNKNOWN:
                self._findings = [earlier for earlier in self._findings if earlier.rule != Rule.AUD_MISMATCH]
                self._find(_SERVER, finding)

    def _places(self) -> list[str]:
        """Whose discovery document may be the server's; the vendor has it at the root and under the path."""
        if self._config.issuer is not None:
            return [self._config.issuer]
        parts = urlsplit(self._token_endpoint or "")
        root = f"{parts.scheme}://{parts.netloc}"
        # A server may take a slash at the end and capitals for the same address, and its audience is still another.
        path = re.sub(r"/token/?$|/$", "", parts.path, flags=re.IGNORECASE)
        return list(dict.fromkeys((root, root + path)))

    def _fetch_metadata(self, http: HttpClient) -> dict[str, Any] | None:
        """Fetch the discovery document, of several the one that names the endpoint."""
        found, reasons = [], []
        for place in self._places():
            answer = http.get(discovery.url_of(place))
            try:
                metadata = discovery.read_json(answer, "a discovery document", Rule.DISCOVERY_MISSING)
            except NetworkError as failure:
                if self._config.issuer is not None:
                    raise
                # Who names the endpoint can do without: a page for people may stand there.
                reasons.append(failure.message)
                continue
            self._look_at_clock(answer)
            found.append(metadata)
            if metadata.get("token_endpoint") == self._token_endpoint:
                return metadata
        if not found:
            self._find(_SERVER, _unknown(Rule.DISCOVERY_MISSING, "discovery", "; ".join(dict.fromkeys(reasons))))
            return None
        return found[0]

    def _look_at_clock(self, answer: Answer) -> None:
        """Compare the clocks, if an answer says what time it is."""
        if self._skew is None:
            self._skew = answer_skew(answer.headers, self._clock(), answer.seconds)
            if self._skew is not None:
                self._find(_SERVER, judge_clock(self._skew))

    def _judge_metadata(self, metadata: Mapping[str, Any]) -> Iterable[Finding]:
        """Judge what the server says that it takes."""
        issuer, token_endpoint = metadata.get("issuer"), metadata.get("token_endpoint")
        if token_endpoint != self._token_endpoint:
            yield Finding(
                Rule.DISCOVERY_TOKEN_ENDPOINT,
                Verdict.WARN,
                "discovery",
                f"the token endpoint {self._token_endpoint}",
                f"{shown(token_endpoint)}, says the discovery document of {shown(issuer)}",
            )
            return  # it speaks of another one
        self._confirmed = True
        # An assertion for another server's issuer is not made, whatever this one says.
        if isinstance(issuer, str) and _same_origin(issuer, self._the_endpoint()):
            self._issuer = issuer
        named = f"the issuer {shown(issuer)} names this endpoint"
        yield _passed(Rule.DISCOVERY_TOKEN_ENDPOINT, "discovery", named)
        alg = [] if self._signer is None else [self._signer.alg]
        listed = (
            (Rule.DISCOVERY_AUTH_METHOD, "signed JWT", "token_endpoint_auth_methods_supported", ["private_key_jwt"]),
            (Rule.DISCOVERY_ALG, "server's alg", "token_endpoint_auth_signing_alg_values_supported", alg),
            (Rule.DISCOVERY_GRANT_TYPE, "grant type", "grant_types_supported", ["client_credentials"]),
            (Rule.DISCOVERY_SCOPE, "scope", "scopes_supported", list(self._config.scope)),
        )
        for rule, looks_at, name, wanted in listed:
            values = metadata.get(name)
            if not isinstance(values, list):
                yield _unknown(rule, looks_at, f"the discovery document has no {name}")
            elif missing := [value for value in wanted if value not in values]:
                # A warning: what a server takes, and what it says that it takes, are kept in two places.
                yield Finding(rule, Verdict.WARN, looks_at, " ".join(missing), f"one of {name}: {shown(values)}")
            else:
                yield _passed(rule, looks_at, " ".join(wanted))

    def _judge_jwks(self, metadata: Mapping[str, Any], http: HttpClient) -> Finding:
        looks_at = "server's keys"
        try:
            url = discovery.endpoint(dict(metadata), "jwks_uri")
            keys = discovery.fetch_json(url, http, "a JWK Set").get("keys")
        except BannoCredsError as failure:
            # Only who verifies the tokens needs them.
            return _warning_of(failure, Rule.DISCOVERY_JWKS, looks_at)
        count = len(keys) if isinstance(keys, list) else 0
        if count == 0:
            return Finding(Rule.DISCOVERY_JWKS, Verdict.WARN, looks_at, "none", "a JWK Set with the server's keys")
        return _passed(Rule.DISCOVERY_JWKS, looks_at, f"{count} at {url}")

    # --- The request ---

    def _request(self) -> None:
        """Ask for a token once, if nothing stands against it."""
        reason = self._reason_against()
        if reason is not None:
            reason = f"no token was asked for, which would be refused: {reason}"
            self._find(_REQUEST, _unknown(Rule.TOKEN_REQUEST, "request", reason))
            return
        self._refusal = self._ask(self._config, "")
        refused = self._refusal is not None and self._refusal.error == "invalid_client"
        if refused and self._setup.probe is not None:
            with suppress(_StopError):  # what was found before stays found
                self._probe(self._setup.probe)

    def _reason_against(self) -> str | None:
        """Why the server would refuse; the clock alone is none, for an assertion has some seconds to spare."""
        for finding in self._findings:
            if finding.verdict is Verdict.FAIL and finding.rule != Rule.CLOCK_SKEW:
                return finding.rule
        rule = self._out_of_time()
        return f"by the server's clock {rule}" if rule else None

    def _out_of_time(self) -> str | None:
        """The rule that is broken by the server's clock, where one is and that clock is known."""
        if self._skew is None:
            return None
        judged = self._judge_assertion(self._skew)
        return next((finding.rule for finding in judged if finding.verdict is Verdict.FAIL), None)

    def _ask(self, config: ClientConfig, varied: str) -> RefusedError | None:
        """Make one request, never a second one by itself; the refusal, if it was one."""
        url = self._the_endpoint()
        signer = KeySigner(self._the_signer().key, config.alg or self._the_signer().alg)
        asked_at, sent = int(self._clock()), None

        def answered(one: Sent) -> None:
            nonlocal sent
            sent = one
            self._look_at_clock(one.answer)

        with self._http() as http:
            http.check(url)
            try:
                proof = SignedJwt(config, signer, url)
                response = attempt(url, grant(config), proof, http, Run(clock=self._clock), answered)
            except OutputError:
                raise
            except BannoCredsError as failure:
                at, status, request_id = _facts_of(sent, asked_at)
                refusal = failure if isinstance(failure, RefusedError) else None
                self._requests.append(
                    Exchange(
                        varied, accepted=False, at=at, request_id=request_id, status=status, error=_words_of(failure)
                    )
                )
                if refusal is None or refusal.error is None:
                    self._find_error(_REQUEST, failure, Rule.TOKEN_REQUEST, varied or "request")
                    raise _StopError from None
                if varied:
                    received = (
                        f"refused{' all the same' if refusal.error == 'invalid_client' else ''}: {refusal.error}"
                    )
                    self._find(_REQUEST, Finding(Rule.TOKEN_REQUEST, Verdict.UNKNOWN, varied, received))
                else:
                    self._find(_REQUEST, _of_refusal(refusal, request_id), exit_code=refusal.exit_code)
                return refusal
        at, status, request_id = _facts_of(sent, asked_at)
        self._requests.append(Exchange(varied, accepted=True, at=at, request_id=request_id, status=status, error=""))
        life = "" if response.expires_in is None else f", good for {response.expires_in} s"
        granted = (
            f"a {response.token_type or 'token'} token was granted{life}, scope {response.scope or '(not said)'}"
        )
        for secret, name in (*(secrets_of(sent.proven) if sent else ()), (response.access_token, "the token")):
            granted = without(granted, secret, name)
        self._find(_REQUEST, _passed(Rule.TOKEN_REQUEST, varied or "request", f"{granted}; it was not kept"))
        return None

    def _probe(self, wanted: Callable[[int], bool]) -> None:
        """Vary one thing at a time, until one variation is accepted."""
        variations = self._variations()[: MOST_REQUESTS - 1]
        if not variations or not wanted(len(variations)):
            return
        for rule, varied, option, config in variations:
            self._tell(Part(_REQUEST, notes=(f"in {PROBE_PAUSE:g} s once more, {varied}",)))
            self._sleep(PROBE_PAUSE)
            refusal = self._ask(config, varied)
            if refusal is None or refusal.error in _AFTER_AUTHENTICATION:
                received = f"refused as it is configured, accepted {varied}"
                self._culprit = with_fix(Finding(rule, Verdict.FAIL, CULPRIT, received, varied, option))
                self._find(_REQUEST, self._culprit)
                return
            if refusal.error != "invalid_client":
                return  # somebody else answers now
            self._tried[rule] = f"refused {varied} as well: that alone it is not"

    def _variations(self) -> list[tuple[Rule, str, str, ClientConfig]]:
        """What may be meant instead: the rule that the first request broke then, the words, the fix, the client."""
        config, alg = self._config, self._the_signer().alg
        found = []
        if config.kid is not None:
            found.append((Rule.KID_UNEXPECTED, "without kid", "leave --kid out", replace(config, kid=None)))
        other = {"PS256": "RS256", "RS256": "PS256"}.get(alg)
        if other is not None:
            found.append((Rule.REGISTRATION_ALG, f"with {other}", f"add --alg {other}", replace(config, alg=other)))
        if config.kid is None:
            with_kid = replace(config, kid="thumbprint")
            found.append((Rule.KID_MISSING, "with kid", "add --kid thumbprint", with_kid))
        if config.aud is not None:
            found.append((Rule.AUD_MISMATCH, "with another aud", "leave --aud out", replace(config, aud=None)))
        elif self._issuer is not None:
            with_issuer = replace(config, aud=self._issuer)
            found.append((Rule.AUD_MISMATCH, "with issuer aud", f"add --aud {quote(self._issuer)}", with_issuer))
        return found

    # --- What came of it ---

    def _diagnose(self) -> Diagnosis | None:
        if self._refusal is None:
            return _diagnosis_of(self._findings)
        error = self._refusal.error or "(no error)"
        if self._culprit is not None:
            return _diagnosis_of((self._culprit,), error)
        registered = self._setup.registered
        circumstances = Circumstances(
            facts_of(self._config, self._the_signer()),
            said=self._refusal.message,
            endpoint_confirmed=self._confirmed,
            # The clock may have been told by the refusal itself.
            timely=self._skew is not None and self._out_of_time() is None,
            registration_confirmed=registered is not None and is_url(registered),
            tried=self._tried,
        )
        findings = [finding for finding in self._findings if finding.looks_at != "request"]
        if self._skew is None:
            findings.append(judge_clock(None))
        return diagnose(error, findings, circumstances)

    def _find(self, title: str, *findings: Finding, exit_code: int | None = None) -> None:
        explained = tuple(with_fix(finding) for finding in findings)
        failed = next((finding for finding in explained if finding.verdict is Verdict.FAIL), None)
        if failed is not None and not self._exit_code:
            self._exit_code = exit_code or _EXIT_CODES.get(failed.rule.partition(".")[0], RefusedError.exit_code)
        self._findings.extend(explained)
        self._tell(Part(title, explained))

    def _find_error(self, title: str, failure: BannoCredsError, rule: str, looks_at: str) -> None:
        self._find(title, _of_error(failure, rule, looks_at), exit_code=failure.exit_code)

    def _http(self) -> HttpClient:
        return HttpClient(self._config.timeout, self._config.ca_bundle)

    def _the_endpoint(self) -> str:
        assert self._token_endpoint is not None  # noqa: S101 - with an issuer, discovery came before this
        return self._token_endpoint

    def _the_signer(self) -> KeySigner:
        assert self._signer is not None  # noqa: S101 - without one nothing that follows is looked at
        return self._signer


def _words_of(failure: BannoCredsError) -> str:
    return (isinstance(failure, RefusedError) and failure.error) or failure.message


def _of_refusal(refusal: RefusedError, request_id: str | None) -> Finding:
    """A refusal as a finding, under its OAuth error; `invalid_client` tells nothing to be mended."""
    named = f", x-request-id {request_id}" if request_id else ""
    # The server chooses the code: none of our rules' ids is to be taken from it.
    known = refusal.error is not None and "." not in refusal.error and refusal.error in EXPLANATIONS
    fix = "" if refusal.error == "invalid_client" else refusal.hint or ""
    received = f"{refusal.message} ({refusal.status}{named})"
    return Finding(str(refusal.error) if known else Rule.TOKEN_REQUEST, Verdict.FAIL, "request", received, "", fix)


def _same_origin(url: str, other: str) -> bool:
    """Whether two URLs have scheme, host and port in common (RFC 6454 section 4)."""
    try:
        ours, theirs = urlsplit(url), urlsplit(other)
    except ValueError:
        return False
    return (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)


def _passed(rule: str, looks_at: str, received: str) -> Finding:
    return Finding(rule, Verdict.PASS, looks_at, received)


def _is_passed(finding: Finding) -> bool:
    return finding.verdict is Verdict.PASS


def _unknown(rule: str, looks_at: str, reason: str) -> Finding:
    return Finding(rule, Verdict.UNKNOWN, looks_at, reason=reason)


def _of_error(failure: BannoCredsError, rule: str, looks_at: str) -> Finding:
    """An error as a finding: its own rule where it has one, its words, its hint."""
    details = f" ({'; '.join(failure.details)})" if failure.details else ""
    # Of a refusal with an OAuth error, the rule is the server's word.
    own = failure.rule if not isinstance(failure, RefusedError) or failure.error is None else None
    return Finding(own or rule, Verdict.FAIL, looks_at, failure.message + details, "", failure.hint or "")


def _warning_of(failure: BannoCredsError, rule: str, looks_at: str) -> Finding:
    """An error that stops nothing, under the rule of what it was met at."""
    return _of_error(failure, rule, looks_at)._replace(rule=rule, verdict=Verdict.WARN)


def _facts_of(sent: Sent | None, asked_at: int) -> tuple[int, int, str | None]:
    """Return when a request went out, its status and the answer's request id; 0 and None if there was no answer."""
    if sent is None:
        return asked_at, 0, None
    step = received(sent.answer, secrets_of(sent.proven))
    return sent.requested_at, step.status, step.request_id
