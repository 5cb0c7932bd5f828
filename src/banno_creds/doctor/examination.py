"""Examine a client's whole set-up, in the order in which it is used.

First the stages on this machine, then the server. The server is asked for a token once, and only if nothing was found
that it would refuse: a bank blocks addresses that fail often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from banno_creds.doctor import machine, request, server
from banno_creds.doctor.case import ASSERTION, CONFIGURATION, REQUEST, Case, Examination, StopError
from banno_creds.doctor.conclusion import diagnose, diagnosis_of
from banno_creds.doctor.findings import spelled, unknown
from banno_creds.errors import BannoCredsError, KeyLoadError, OutputError, SigningError
from banno_creds.rules.client_id import judge_client_id
from banno_creds.rules.findings import Part, Rule, Verdict
from banno_creds.rules.outcomes import of_error, with_fix
from banno_creds.steps import Run
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.doctor.case import Setting, Setup


def examine(setup: Setup, tell: Callable[[Part], None], run: Run = Run()) -> Examination:
    """Examine a set-up, and return the result.

    Args:
        setup: the set-up.
        tell: called with each part as soon as it is known; parts of one title belong together.
        run: the clock, and the pauses between requests; its steps are not emitted.
    """
    case = Case(setup, tell, run.silent())
    try:
        if not setup.compares:
            machine.look_at_configuration(case)
        machine.look_at_key(case)
        machine.look_at_registration(case)
        if setup.compares:
            raise StopError  # noqa: TRY301 - as where nothing more can be looked at
        if case.token_endpoint is not None:
            machine.look_at_assertion(case)
        if setup.config.cache_url is not None:
            from banno_creds.doctor import shared_cache  # which needs an extra

            shared_cache.look_at_cache(case)
        if setup.offline:
            _say_what_is_left_out(case)
        else:
            server.look_at_way(case, case.token_endpoint or case.issuer or "")
            server.look_at_server(case)
            if setup.config.issuer is not None:
                machine.look_at_assertion(case)
            request.ask_for_token(case)
    except StopError:
        pass
    except OutputError:
        raise  # nobody reads what `tell` writes
    except BannoCredsError as failure:
        rule = Rule.KEY_UNUSABLE if isinstance(failure, SigningError) else Rule.CONFIGURATION_INVALID
        case.find_error(REQUEST, failure, rule, "request")
    public_key = "" if case.signer is None else case.signer.key.public.pem().decode()
    findings, requests = tuple(case.findings), tuple(case.requests)
    return Examination(findings, requests, diagnose(case), case.exit_code, case.is_page, public_key)


def invalid(
    client_id: str,
    settings: tuple[Setting, ...],
    failure: BannoCredsError,
    tell: Callable[[Part], None],
    spell: Callable[[str], str] = str,
) -> Examination:
    """Examine settings of which no configuration can be made, and return the result.

    Args:
        client_id: the client ID as it was given.
        settings: the settings.
        failure: why no configuration can be made of them.
        tell: see `examine`.
        spell: see `Setup`.
    """
    tell(machine.settings_part(settings))
    findings = judge_client_id(client_id)
    if not any(finding.verdict is Verdict.FAIL for finding in findings):
        rule = Rule.KEY_UNUSABLE if isinstance(failure, KeyLoadError) else Rule.CONFIGURATION_INVALID
        findings = (*findings, of_error(failure, rule, "settings"))
    explained = tuple(spelled(with_fix(finding), spell) for finding in findings)
    tell(Part(CONFIGURATION, explained))
    return Examination(explained, (), diagnosis_of(explained), failure.exit_code)


def _say_what_is_left_out(case: Case) -> None:
    if case.token_endpoint is None:
        reason = "only the issuer's discovery document names its aud"
        case.find(ASSERTION, unknown(Rule.AUD_MISMATCH, "aud", reason))
    with case.http() as http:
        http.check(case.token_endpoint or case.issuer or "")  # the proxy's settings, the CA bundle
    reason = f"the network was not used ({setting('offline')})"
    case.find(REQUEST, unknown(Rule.TOKEN_REQUEST, "request", reason))
