"""The token request: one form post, whatever the grant is (RFC 6749 section 3.2).

Client credentials, an authorization code, a refresh token and the doctor's request all go through one `attempt`: the
client proves who it is, the form is posted, the answer is read or raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from banno_creds.client_authentication.methods import SignedJwt, advised
from banno_creds.config import ENVIRONMENTS
from banno_creds.errors import RefusedError
from banno_creds.http.answers import is_page
from banno_creds.http.attempts import persistently
from banno_creds.http.exchange import answer_skew
from banno_creds.steps import AnswerReceived, TokenRequested
from banno_creds.tokens.response import read_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from banno_creds.client_authentication.methods import Authenticated, Authentication, Form
    from banno_creds.client_authentication.private_key import Signer
    from banno_creds.config import ClientConfig
    from banno_creds.http.client import HttpClient
    from banno_creds.http.exchange import Answer
    from banno_creds.steps import Run
    from banno_creds.tokens.response import TokenResponse


class Grant(NamedTuple):
    """A form that asks for a token, without the client's proof of who it is.

    Attributes:
        form: names and values, in the order they are sent.
        hints: what to do about a refusal, by its error code.
        is_good_once: the server uses up what is sent, such as a code.
        after_login: it is about a person who signed in, not about the client itself.
    """

    form: Form
    hints: Mapping[str, str]
    is_good_once: bool = False
    after_login: bool = False


class Sent(NamedTuple):
    """A token request that was answered."""

    proven: Authenticated
    requested_at: int
    answer: Answer


def send(url: str, grant: Grant, authentication: Authentication, http: HttpClient, run: Run) -> TokenResponse:
    """Ask for a token, in several attempts if that may help; the client proves who it is afresh for each.

    Raises:
        RefusedError: the server refused, and is not asked again. The error says what is known here of the reason.
        NetworkError: no usable answer within the time allowed.
        SigningError: the key is damaged.
    """

    def one(number: int) -> TokenResponse:
        answered: list[Sent] = []
        try:
            # Its turn comes before it is signed: an assertion must not expire while it waits.
            with http.turn(url):
                return attempt(url, grant, authentication, http, run, answered.append, number)
        except RefusedError as refusal:
            if not answered or not isinstance(authentication, SignedJwt):
                raise
            # A code or a refresh token may be at fault as well, and then nothing is known of the client.
            if grant.after_login and refusal.error != "invalid_client":
                raise
            raise _explained(refusal, url, grant, authentication, answered[0], run) from None

    return persistently(one, http, run, is_good_once=grant.is_good_once)


def attempt(
    url: str,
    grant: Grant,
    authentication: Authentication,
    http: HttpClient,
    run: Run,
    answered: Callable[[Sent], None],
    number: int = 1,
) -> TokenResponse:
    """Make one attempt, and return the token response.

    Args:
        url: the token endpoint.
        grant: what is asked for.
        authentication: how the client proves who it is.
        http: the client that sends the request.
        run: how the run goes.
        answered: called with the answer before it is read.
        number: the number of the attempt; the steps of the proof are emitted for the first one only.

    Raises:
        BannoCredsError: see `send`; with no secret in it that was sent.
    """
    # A fresh jti and signature each time: the server may have seen the last one although no answer came.
    proven = authentication.apply(grant.form, run if number == 1 else run.silent())
    requested_at = int(run.clock())
    run.emit(TokenRequested(url, proven.form, number, authorization=bool(proven.headers)))
    answer = http.post_form(url, proven.form, proven.headers)
    run.emit(received(answer))
    answered(Sent(proven, requested_at, answer))
    try:
        return read_answer(answer, requested_at, grant.hints)
    except RefusedError as refusal:
        raise advised(refusal, authentication, proven.form) from None


def received(answer: Answer, what: str = "Token response") -> AnswerReceived:
    """Return the step for an answer."""
    return AnswerReceived(answer.status, answer.reason, answer.seconds, answer.request_id, what)


def facts_of(config: ClientConfig, signer: Signer) -> dict[str, str]:
    """Return the facts that the questions to the bank's administrator name; see `diagnosis.diagnose`."""
    return {
        "client_id": config.client_id,
        "fingerprint": signer.key.public.fingerprint(),
        "alg": signer.alg,
        "scope": " ".join(config.scope),
    }


def _explained(
    refusal: RefusedError, url: str, grant: Grant, authentication: SignedJwt, sent: Sent, run: Run
) -> RefusedError:
    """Add to a refusal what is known here of its reason; nobody is asked again."""
    from banno_creds.rules import diagnosis
    from banno_creds.rules.known import Known
    from banno_creds.rules.presented import ClientAssertion

    config = authentication.config
    audiences = (url,) if config.issuer is None else (url, config.issuer)
    known = Known(sent.requested_at, config.client_id, audiences, use_jti=lambda _: True)  # its jti is fresh
    circumstances = diagnosis.Circumstances(
        facts_of(config, authentication.signer),
        endpoint_confirmed=config.issuer is not None or url in ENVIRONMENTS.values(),
        after_login=grant.after_login,
        is_page=is_page(sent.answer),
        sends_client_id="client_id" in dict(sent.proven.form),
    )
    skew = answer_skew(sent.answer.headers, run.clock(), sent.answer.seconds)
    if not grant.after_login and diagnosis.may_be_the_client(refusal.error, refusal.description):
        refusal = refusal.but(doctor_can_tell=True)
    assertion = ClientAssertion.read(dict(sent.proven.form)["client_assertion"])
    return diagnosis.explain_refusal(refusal, assertion, known, skew, circumstances)
