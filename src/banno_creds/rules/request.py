"""What a token endpoint asks of the token request around a client assertion, rule by rule."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from banno_creds.rules.assertion import judge, judge_form
from banno_creds.rules.findings import Finding, Rule
from banno_creds.rules.outcomes import Outcome, failed, judged, passed
from banno_creds.rules.presented import PRIVATE_KEY, ClientAssertion, TokenRequest, misspelt
from banno_creds.rules.shown import shown, without_secrets
from banno_creds.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from banno_creds.rules.known import Known

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_GRANT_TYPE = "client_credentials"


def judge_pasted(text: str, known: Known) -> Iterator[Finding]:
    """Judge pasted text by all rules: the assertion in it and, if it is a whole form, the form too."""
    assertion, request = ClientAssertion.find(text), TokenRequest.find(text)
    findings = judge(assertion, known)
    if request is None or assertion.instead == PRIVATE_KEY:
        yield from findings
        return
    yield from judge_authentication(request.parameters, authorization=request.authorization)
    yield from islice(findings, len(list(judge_form(assertion))))
    yield from judge_client_parameters(request.parameters, assertion.claims.get("sub"))
    yield from findings
    yield from judge_grant_type(request.parameters)


def judge_authentication(parameters: Mapping[str, Sequence[str]], *, authorization: bool) -> Iterator[Finding]:
    """Judge a token request by the rules that come before the assertion is read."""
    yield _judged(Rule.PARAMETER_REPEATED, _repeated(parameters))
    if "client_assertion" in parameters:
        missing = passed()
    else:
        # Names, never values: the misspelt parameter may be the secret.
        missing = failed(
            f"the parameters {shown(list(parameters))}" if parameters else "no parameters",
            "client_assertion and client_assertion_type, form-encoded in the body",
        )
    yield _judged(Rule.CLIENT_ASSERTION_MISSING, missing)
    several = passed()
    if "client_secret" in parameters or authorization:
        several = failed(
            "a client_assertion together with a client_secret or an Authorization header",
            "one of them (RFC 6749 section 2.3)",
        )
    yield _judged(Rule.CLIENT_AUTHENTICATION_SEVERAL, several)


def judge_client_parameters(parameters: Mapping[str, Sequence[str]], sub: object) -> Iterator[Finding]:
    """Judge the parameters beside the assertion, once that can be read."""
    name = "client_assertion_type"
    assertion_type = _first(parameters, name)
    missing = unsupported = passed()
    if assertion_type is None:
        alike = misspelt(name, parameters)
        missing = failed(f"no {name}" + (f", but {shown(alike)}" if alike else ""), _ASSERTION_TYPE)
    elif assertion_type == _ASSERTION_TYPE:
        unsupported = passed(assertion_type)
    else:
        unsupported = failed(f"{name} {shown(assertion_type)}", _ASSERTION_TYPE)
    yield _judged(Rule.CLIENT_ASSERTION_TYPE_MISSING, missing)
    yield _judged(Rule.CLIENT_ASSERTION_TYPE_UNSUPPORTED, unsupported)
    client_id = _first(parameters, "client_id")
    mismatch = passed()
    if client_id is not None and isinstance(sub, str) and client_id != sub:
        mismatch = failed(
            f'client_id {shown(client_id)} and an assertion with "sub" {shown(sub)}',
            "the same in both (RFC 7521 section 4.2)",
        )
    yield _judged(Rule.CLIENT_ID_MISMATCH, mismatch)


def judge_grant_type(parameters: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Judge the grant that a token request asks for, which a server looks at once the client is authenticated."""
    grant_type = _first(parameters, "grant_type")
    missing = unsupported = passed()
    if grant_type is None:
        missing = failed("no grant_type", f"grant_type={_GRANT_TYPE}")
    elif grant_type == _GRANT_TYPE:
        unsupported = passed(grant_type)
    else:
        unsupported = failed(f"grant_type {shown(grant_type)}", _GRANT_TYPE)
    yield _judged(Rule.GRANT_TYPE_MISSING, missing)
    yield _judged(Rule.GRANT_TYPE_UNSUPPORTED, unsupported)


def _repeated(parameters: Mapping[str, Sequence[str]]) -> Outcome:
    repeated = [name for name, values in parameters.items() if len(values) > 1 and name != "resource"]
    if not repeated:
        return passed()
    return failed(
        f"{without_secrets(printable(repeated[0], 80))} more than once", "each parameter once (RFC 6749 section 3.2)"
    )


def _first(parameters: Mapping[str, Sequence[str]], name: str) -> str | None:
    return next(iter(parameters.get(name, ())), None)


def _judged(rule: Rule, outcome: Outcome) -> Finding:
    return judged(rule, "request", outcome)
