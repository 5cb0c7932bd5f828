"""The set-up that is examined, and what is known of it so far. The stages share one `Case`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from banno_creds.client_authentication.client_assertion import make_assertion
from banno_creds.config import ENVIRONMENTS
from banno_creds.doctor.findings import spelled
from banno_creds.errors import RefusedError
from banno_creds.http.client import HttpClient
from banno_creds.http.exchange import answer_skew
from banno_creds.rules.assertion import judge
from banno_creds.rules.clock import judge_clock
from banno_creds.rules.findings import Finding, Part, Rule, Verdict
from banno_creds.rules.known import Known
from banno_creds.rules.outcomes import of_error, with_fix
from banno_creds.rules.presented import ClientAssertion
from banno_creds.steps import Run
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from banno_creds.client_authentication.private_key import Signer
    from banno_creds.config import ClientConfig
    from banno_creds.errors import BannoCredsError
    from banno_creds.http.exchange import Answer
    from banno_creds.rules.diagnosis import Diagnosis
    from banno_creds.rules.registration import Registration

# The exit code of a fault, by the area of its rule; a fault in any other area would be refused by the server.
_EXIT_CODES = {"configuration": 2, "client_id": 2, "clock": 2, "key": 3, "network": 5, "discovery": 5, "token": 5}

CONFIGURATION = "Configuration"
KEY = "Private key"
REGISTRATION = "Registration"
ASSERTION = "Client assertion"
CACHE = "Shared cache"
WAY = "Way to the server"
SERVER = "Server"
REQUEST = "Token request"


class Setting(NamedTuple):
    """One setting: its name, its value as far as it may be shown, and where it came from."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Setup:
    """The set-up to examine.

    Attributes:
        config: the client and the request.
        settings: the settings that `config` was made of.
        registered: the file or URL of the public key or JWK Set that the bank has, if it is known.
        offline: whether to stay off the network.
        probe: called after a refusal with the number of further requests, if those are wanted; returns whether to
            make them.
        compares: whether to compare the key with the registered one, and nothing else: the client is not known.
        noted: by the thumbprints of keys, when each was there already, as rotations noted it.
        spell: how findings name a setting (see `text.setting`); by default as in Python.
    """

    config: ClientConfig
    settings: tuple[Setting, ...] = ()
    registered: str | None = None
    offline: bool = False
    probe: Callable[[int], bool] | None = None
    spell: Callable[[str], str] = str
    compares: bool = False
    noted: Mapping[str, float] = field(default_factory=dict)


class Exchange(NamedTuple):
    """One token request, as a support case names it.

    Attributes:
        varied: what was varied in it; empty for the first.
        accepted: whether a token was granted.
        at: when it was sent, in seconds since the epoch.
        request_id: the server's ``x-request-id``.
        status: the HTTP status; 0 if there was no answer.
        error: the OAuth error code, or the message of another error; empty if a token was granted.
    """

    varied: str
    accepted: bool
    at: int
    request_id: str | None
    status: int
    error: str


class Examination(NamedTuple):
    """The result of an examination.

    Attributes:
        findings: in the order in which they were found.
        requests: the token requests that were made.
        diagnosis: the causes of a refusal, or what would be refused; None if nothing is wrong.
        exit_code: that of the first fault: 2 configuration and clock, 3 key, 4 what is or would be refused,
            5 network; 0 if there is none.
        is_page: whether the server answered with a page for people.
        public_key: the public half of the key, as PEM; empty if the key cannot be used.
    """

    findings: tuple[Finding, ...]
    requests: tuple[Exchange, ...]
    diagnosis: Diagnosis | None
    exit_code: int
    is_page: bool = False
    public_key: str = ""


class StopError(Exception):
    """The examination cannot go on."""


class Case:
    """A set-up under examination.

    Attributes:
        setup: the set-up as it was given.
        config: the client and the request; with the key's content as soon as it was read.
        run: the clock and the pauses.
        tell: called with each part as soon as it is known.
        token_endpoint: its URL; None until discovery names it.
        issuer: the server's issuer, as configured or as discovery names it.
        confirmed: whether the endpoint's URL is right: named by discovery, or documented by the vendor.
        signer: the key; None if it cannot be used.
        registration: the keys that the bank has, if they are known.
        skew: how many seconds this machine's clock is ahead of the server's, if that is known.
        unlisted: warnings about what the discovery document does not list, until the request shows what is true.
        refusal: the server's refusal of the first request.
        is_page: whether the last answer was a page for people.
        tried: by rule, the variations that were refused as well.
        culprit: the fault that a probe proved.
        findings: what was found so far.
        requests: the token requests that were made so far.
        exit_code: that of the first fault.
    """

    def __init__(self, setup: Setup, tell: Callable[[Part], None], run: Run) -> None:
        self.setup = setup
        self.config = setup.config
        self.run = run
        self.tell = tell
        self.token_endpoint = setup.config.token_endpoint
        self.issuer = setup.config.issuer
        self.confirmed = setup.config.issuer is not None or setup.config.token_endpoint in ENVIRONMENTS.values()
        self.signer: Signer | None = None
        self.registration: Registration | None = None
        self.skew: float | None = None
        self.unlisted: list[Finding] = []
        self.refusal: RefusedError | None = None
        self.is_page = False
        self.tried: dict[str, str] = {}
        self.culprit: Finding | None = None
        self.findings: list[Finding] = []
        self.requests: list[Exchange] = []
        self.exit_code = 0

    def explain(self, finding: Finding) -> Finding:
        """Add the rule's fix to a finding, and spell its settings."""
        return spelled(with_fix(finding), self.setup.spell)

    def find(self, title: str, *findings: Finding, exit_code: int | None = None) -> None:
        """Keep findings, and tell them."""
        explained = tuple(map(self.explain, findings))
        failed = next((finding for finding in explained if finding.verdict is Verdict.FAIL), None)
        if failed is not None and not self.exit_code:
            self.exit_code = exit_code or _EXIT_CODES.get(failed.rule.partition(".")[0], RefusedError.exit_code)
        self.findings.extend(explained)
        self.tell(Part(title, explained))

    def find_error(self, title: str, failure: BannoCredsError, rule: str, looks_at: str) -> None:
        """Keep and tell an error as a finding."""
        self.find(title, of_error(failure, rule, looks_at), exit_code=failure.exit_code)

    def http(self) -> HttpClient:
        """Return a new HTTP client, with the whole time allowed."""
        return HttpClient(self.config.timeout, self.config.ca_bundle)

    def known_endpoint(self) -> str:
        """Return the token endpoint; only where it is known."""
        assert self.token_endpoint is not None  # noqa: S101 - with an issuer, discovery comes before this
        return self.token_endpoint

    def known_signer(self) -> Signer:
        """Return the signer; only where the key can be used."""
        assert self.signer is not None  # noqa: S101 - without one, no stage that needs it is entered
        return self.signer

    def judge_assertion(self, skew: float = 0.0) -> Iterator[Finding]:
        """Judge an assertion made now, by a clock that is ``skew`` seconds behind; it is not sent."""
        url, now = self.known_endpoint(), int(self.run.clock())
        compact = make_assertion(self.config, self.known_signer(), url, Run(clock=lambda: now))
        allowed = self.config.aud if self.config.allow_other_aud else None
        known = Known(
            now=int(now - skew),
            client_id=self.config.client_id,
            audiences=tuple(each for each in (url, self.issuer, allowed) if each is not None),
            keys=None if self.registration is None else self.registration.keys,
            use_jti=lambda _: True,  # its jti is fresh
        )
        return map(self._with_fix, judge(ClientAssertion.read(compact), known))

    def _with_fix(self, finding: Finding) -> Finding:
        """Name the setting that sends a kid, where nobody asked for the kid itself."""
        by_registration = self.config.kid is None and finding.rule is Rule.KID_UNEXPECTED
        if not by_registration or finding.verdict is not Verdict.FAIL:
            return finding
        pem, uri = setting("registration"), setting("registered")
        return finding._replace(fix=f"set {pem} to pem; if the bank has a JWKS URI, give it with {uri}")

    def out_of_time(self) -> str | None:
        """Return the rule that an assertion breaks by the server's clock; None if none, or the clock is unknown."""
        if self.skew is None:
            return None
        judged = self.judge_assertion(self.skew)
        return next((finding.rule for finding in judged if finding.verdict is Verdict.FAIL), None)

    def compare_clocks(self, answer: Answer) -> None:
        """Compare this machine's clock with the server's, if the answer has a date and none had before."""
        if self.skew is None:
            self.skew = answer_skew(answer.headers, self.run.clock(), answer.seconds)
            if self.skew is not None:
                self.find(SERVER, judge_clock(self.skew))
