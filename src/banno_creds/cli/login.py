"""``banno-creds login``: sign a person in, in the browser, and keep the tokens."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.browser import show
from banno_creds.cli.forms import FORMS, FORMS_HELP, check_form, warn_of_readers, write_token
from banno_creds.cli.inputs import expand
from banno_creds.cli.options import steps_options
from banno_creds.cli.parameters import Choice, Command, option, same_client, spelling
from banno_creds.cli.setting_options import login_options
from banno_creds.cli.settings import persons_client, report_for, run_for, session_store, tell_whose
from banno_creds.errors import BannoCredsError, ConfigurationError, TokenError
from banno_creds.storage import own_files
from banno_creds.storage.secret_files import read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.cli.report import Report
    from banno_creds.login.authorization_request import AuthorizationRequest
    from banno_creds.redirection.certificate import LocalhostCertificate
    from banno_creds.redirection.endpoint import RedirectionEndpoint

DEFAULT_WAIT = 300
MOST_WAIT = 3600


@click.command("login", cls=Command)
@login_options
@option(
    "--wait",
    command="login",
    type=click.IntRange(1, MOST_WAIT),
    metavar="SECONDS",
    default=DEFAULT_WAIT,
    show_default=True,
    section="Login",
    help="How long to wait for the browser.",
)
@option(
    "--no-browser",
    command="login",
    is_flag=True,
    section="Login",
    help="Do not open a browser; show the address to open. This is the default without a screen.",
)
@option(
    "--par",
    command="login",
    is_flag=True,
    section="Login",
    help="Push the request to the server first (RFC 9126), so that the address holds only a reference to it. Always "
    "done if discovery requires it.",
)
@option(
    "--manual",
    command="login",
    is_flag=True,
    section="Login",
    help="Paste the address that the browser ended on, instead of waiting for it. For a redirect URI elsewhere, or "
    "a browser on another machine.",
)
@option(
    "--output",
    "-o",
    command="login",
    type=Choice(FORMS),
    default="json",
    show_default=True,
    section="Output",
    help=FORMS_HELP,
)
@steps_options
@click.pass_context
def command(
    context: click.Context, /, output: str, *, wait: int, no_browser: bool, par: bool, manual: bool, **values: Any
) -> None:
    """Sign a person in, in the browser, and get their tokens (authorization code with PKCE).

    The redirect URI must be exactly the registered one. With https, a certificate for localhost is made; the browser
    warns about it once. Afterwards token, exec and api use the person's token for the same profile or client, and
    renew it if there is a refresh token. whoami shows who is signed in; logout ends the login.
    """
    from banno_creds.login.authorization_code import log_in
    from banno_creds.tokens.cache import open_cache

    report = report_for(values)
    run = run_for(context, report)
    client = persons_client(context, values)
    request = _request(values)
    check_form(output, report)
    warn_of_readers(report)
    store = session_store(context, values)
    if store is None:
        report.warning(
            "there is no home folder, and so the login is not kept", "name a folder with BANNO_CREDS_STATE_DIR"
        )
    if manual and "-" in (values["private_key"], values["passphrase_file"], values["client_secret_file"]):
        raise ConfigurationError(
            "standard input cannot be both a key or secret and, with --manual, the address that is pasted",
            hint="give the key or the secret as a file",
        )
    with ExitStack() as stack:
        endpoint, certificate = None, None
        if not manual:
            # First of all: a port that is in use is known at once.
            from banno_creds.redirection.endpoint import RedirectionEndpoint

            certificate = certificate_for(request.redirect_uri)
            listener = RedirectionEndpoint(request.redirect_uri, request.state, certificate=certificate)
            endpoint = stack.enter_context(listener)

        def ask(url: str) -> Mapping[str, str]:
            if endpoint is None:
                return _ask_for_address(url, request, report, opens=not no_browser)
            return _wait_for_browser(url, request, endpoint, certificate, report, opens=not no_browser, wait=wait)

        try:
            session, response = log_in(client, request, ask, store, open_cache(run), run, pushes=par)
        except BannoCredsError as failure:
            if endpoint is not None:
                from banno_creds.redirection import pages

                said = failure.words(spelling(context))
                page = pages.failed(said.message, said.details, said.hint)
                endpoint.finish(page, "/failed", status=400)
            raise
        if endpoint is not None:
            from banno_creds.redirection import pages

            endpoint.finish(pages.me(session.claims), "/me")
    if store is not None:
        tell_whose(context, values, store, report)
        if not report.quiet:
            report.note("Next:")
            for then in ("whoami", "token", "logout"):
                report.verbatim(same_client(context, then))
    report.end()
    write_token(response, output)


def _request(values: Mapping[str, Any]) -> AuthorizationRequest:
    from banno_creds.login.authorization_request import AuthorizationRequest, claims_parameter

    file = values["claims_file"]
    content = None if file is None else read_file(Path(expand(file)))
    return AuthorizationRequest(
        client_id=values["client_id"],
        redirect_uri=values["redirect_uri"],
        scope=tuple(dict.fromkeys(" ".join(values["scope"]).split())),
        resource=tuple(values["resource"]),
        params=tuple(values["params"]),
        claims=claims_parameter(content, tuple(values["claim_requests"]), str(file)),
        prompt=" ".join(values["prompt"]) if values["prompt"] else None,
        login_hint=values["login_hint"],
        max_age=values["max_age"],
    )


def certificate_for(redirect_uri: str) -> LocalhostCertificate | None:
    """Return the certificate for localhost, made if there was none; None if the redirect URI is not https."""
    from banno_creds.redirection.endpoint import parse_redirect_uri

    if parse_redirect_uri(redirect_uri).scheme != "https":
        return None
    from banno_creds.redirection.certificate import localhost_certificate

    folder = own_files.state_folder()
    if folder is None:
        raise ConfigurationError(
            "there is no home folder to keep the certificate for localhost in",
            hint="name a folder with BANNO_CREDS_STATE_DIR, or use a redirect URI with http://localhost",
        )
    return localhost_certificate(folder)


def _wait_for_browser(
    url: str,
    request: AuthorizationRequest,
    endpoint: RedirectionEndpoint,
    certificate: LocalhostCertificate | None,
    report: Report,
    *,
    opens: bool,
    wait: int,
) -> Mapping[str, str]:
    from banno_creds.login.steps import BrowserAwaited

    fingerprint, made = (None, False) if certificate is None else (certificate.fingerprint, certificate.made)
    report.step(BrowserAwaited(request.redirect_uri, wait, fingerprint, made))
    if not show(url, report, opens=opens):
        report.note("If that browser is on another machine: end this with Ctrl-C, and sign in with --manual.")
    return endpoint.wait(wait, report.warning)


def _ask_for_address(url: str, request: AuthorizationRequest, report: Report, *, opens: bool) -> Mapping[str, str]:
    from banno_creds.login.authorization_request import read_address

    show(url, report, opens=opens)
    report.note(
        "Sign in there. Then paste the whole address that the browser ended on, and press Enter:",
        f"it begins with {request.redirect_uri}, and the page may well be an error",
    )
    while True:
        address = "" if sys.stdin is None else sys.stdin.readline(_MOST_ADDRESS)
        if not address.strip():
            raise ConfigurationError(
                "no address was pasted", hint="run it again, and paste the address that the browser ended on"
            )
        try:
            return read_address(address, request)
        except TokenError as failure:
            if not sys.stdin.isatty():
                raise
            # At a terminal it can be pasted again: the login is still under way.
            report.warning(failure.message, "paste the address of this login, or press Ctrl-C")


_MOST_ADDRESS = 64 * 1024
