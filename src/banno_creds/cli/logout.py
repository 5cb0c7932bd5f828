"""``banno-creds logout``: have a login's tokens revoked, forget them, and end the login in the browser."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.browser import open_browser
from banno_creds.cli.options import person_options, steps_options
from banno_creds.cli.parameters import Command, option
from banno_creds.cli.settings import report_for, run_for, signed_in, tell_whose
from banno_creds.errors import ConfigurationError, TimedOutError

if TYPE_CHECKING:
    from banno_creds.cli.report import Report
    from banno_creds.redirection.endpoint import RedirectionEndpoint


@click.command("logout", cls=Command)
@person_options
@option(
    "--only-here",
    command="logout",
    is_flag=True,
    section="Logout",
    help="Only forget the tokens on this machine, and do not revoke them: they stay valid until they expire.",
)
@option(
    "--post-logout-redirect-uri",
    command="logout",
    metavar="URL",
    section="Logout",
    help="Where the browser comes back to, on localhost, exactly as it is registered.",
)
@option(
    "--wait",
    command="logout",
    type=click.IntRange(1, 3600),
    metavar="SECONDS",
    default=60,
    show_default=True,
    section="Logout",
    help="How long to wait for the browser to come back.",
)
@option(
    "--no-browser",
    command="logout",
    is_flag=True,
    section="Logout",
    help="Show the address that ends the server's own login, and open no browser.",
)
@steps_options
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    only_here: bool,
    post_logout_redirect_uri: str | None,
    wait: int,
    no_browser: bool,
    **values: Any,
) -> None:
    """Sign out: revoke the tokens, forget them, and end the server's own login in the browser.

    If the tokens cannot be revoked, they are kept, so that you can try again.
    """
    from banno_creds.login.revocation import end_session_url, log_out
    from banno_creds.tokens.cache import open_cache

    report = report_for(values)
    login, run = signed_in(context, values), run_for(context, report)
    state = secrets.token_urlsafe(32)
    with ExitStack() as stack:
        endpoint = None
        if post_logout_redirect_uri is not None and not only_here:
            # Before anything is revoked: if the port is in use, the command can be tried again.
            endpoint = stack.enter_context(_endpoint(post_logout_redirect_uri, state))
        provider = log_out(login, open_cache(run), run, only_here=only_here)
        done = "Forgotten on this machine, and nobody was told" if only_here else "Signed out"
        if not report.quiet:
            report.note(f"{done}: the tokens of {login.store.owner.words}.")
            tell_whose(context, values, login.store, report)
        if provider is None or only_here:
            return
        # The provider's own login would sign the same person in again without a question.
        url = end_session_url(provider, values["client_id"], post_logout_redirect_uri, state)
        if url is not None:
            show(url, report, opens=not no_browser)
            if endpoint is not None:
                _wait_for_browser(endpoint, wait, report)


def show(url: str, report: Report, *, opens: bool) -> bool:
    """End the provider's login in the browser, and show the address: this command works only once."""
    opened = opens and open_browser(url)
    if not opened:
        report.note("Open this address in a browser, to end the login there too:")
        report.verbatim(url)
    elif not report.quiet:
        report.note("The browser was opened to end the login there too. If it was not, open this address:")
        report.verbatim(url)
    return opened


def _endpoint(redirect_uri: str, state: str) -> RedirectionEndpoint:
    from banno_creds.cli.login import certificate_for
    from banno_creds.redirection.endpoint import RedirectionEndpoint

    try:
        return RedirectionEndpoint(redirect_uri, state, certificate=certificate_for(redirect_uri))
    except ConfigurationError as failure:  # its hint is for a login
        raise ConfigurationError(
            failure.message,
            details=(*failure.details, "nobody was signed out"),
            hint="leave --post-logout-redirect-uri out: the browser then stays at the provider; or give one as it is "
            "registered, on a port of localhost that is free",
        ) from None


def _wait_for_browser(endpoint: RedirectionEndpoint, wait: int, report: Report) -> None:
    from banno_creds.redirection import pages

    try:
        endpoint.wait(wait, report.warning)
    except TimedOutError:
        report.warning(
            f"the browser did not come back within {wait} s; the tokens are forgotten all the same",
            "look at what the browser shows: --post-logout-redirect-uri must be registered exactly so",
        )
        return
    endpoint.finish(pages.signed_out(), "/signed-out")
