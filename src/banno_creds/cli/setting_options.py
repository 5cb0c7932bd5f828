"""The options of `login` and of a rotation, and of the commands that write a profile: all that a profile can hold."""

from __future__ import annotations

import click

from banno_creds.cli.many_options import TAG
from banno_creds.cli.options import (
    AS,
    ASSERTION,
    ENDPOINT,
    KEY,
    KEY_MAX_AGE,
    MIN_TTL,
    NETWORK,
    PERSONS_CLIENT,
    PROOF,
    REQUEST,
    RESOURCE,
    SHARED_CACHE,
    param_option,
    scope_option,
)
from banno_creds.cli.parameters import F, Setting, add_options, complete_file, option
from banno_creds.config import DEFAULT_LOGIN_SCOPE, DEFAULT_REDIRECT_URI, MOST_MAX_AGE

_REDIRECT_URI = option(
    "--redirect-uri",
    metavar="URL",
    default=DEFAULT_REDIRECT_URI,
    show_default=True,
    section="Login",
    help="The redirect URI, exactly as it is registered: https or http, on localhost unless --manual is given.",
)
_PROMPT = option(
    "--prompt",
    command="login",
    multiple=True,
    metavar="VALUE",
    section="Login",
    help="login to sign in again, consent, select_account, or none to fail if the server has to ask; '' to send "
    "nothing. Repeatable, or several separated by blanks.  [default: consent for offline_access]",
)
_LOGIN = (
    _REDIRECT_URI,
    option(
        "--claims",
        "claims_file",
        command="login",
        metavar="FILE",
        shell_complete=complete_file,
        section="Login",
        help="The request's claims parameter, a JSON object (OpenID Connect Core section 5.5).",
    ),
    option(
        "--claim-request",
        "claim_requests",
        command="login",
        multiple=True,
        metavar="NAME",
        section="Login",
        help="A claim to request for the id_token. Repeatable.",
    ),
    _PROMPT,
    option("--login-hint", metavar="NAME", section="Login", help="The user name that the login page suggests."),
    option(
        "--max-age",
        command="login",
        type=click.IntRange(0, MOST_MAX_AGE),
        metavar="SECONDS",
        section="Login",
        help="How long ago the person may have signed in; 0 to sign in again.",
    ),
)
_ROTATION = (
    option(
        "--jwks-file",
        metavar="FILE",
        section="Rotation",
        shell_complete=complete_file,
        help="The file of the JWK Set that you publish; it is changed here, and made if it is missing.",
    ),
    option("--jwks-uri", metavar="URL", section="Rotation", help="The URL that the bank fetches the JWK Set from."),
    option(
        "--rotation-wait",
        metavar="DURATION",
        section="Rotation",
        help="How long both keys are published before the new one is used, such as 36h or 2d; longer if caches may "
        "keep the old set for longer.  [default: 1d]",
    ),
    option(
        "--rotation-keep",
        metavar="DURATION",
        section="Rotation",
        help="How long the old key stays in the set after that.  [default: 7d]",
    ),
)
_API_BASE = option("--api-base", metavar="URL", section="API", help="The API's scheme, host and port.")


def rotation_options(function: F) -> F:
    """The options about the set that a rotation changes; a profile may hold them."""
    return add_options(function, *_ROTATION)


def login_options(function: F) -> F:
    """The options of the command that signs a person in."""
    request = (
        scope_option(DEFAULT_LOGIN_SCOPE),
        RESOURCE,
        param_option("A further parameter of the authorization request"),
    )
    return add_options(function, *PERSONS_CLIENT, *NETWORK, *request, *_LOGIN)


def setting_options(function: F) -> F:
    """The options of the command that writes a profile: all that a profile can hold."""
    client = (*KEY, KEY_MAX_AGE, *PROOF, *ASSERTION, *ENDPOINT, *NETWORK)
    login = (AS, _REDIRECT_URI, _PROMPT)
    return add_options(
        function, *client, *_ROTATION, *REQUEST, MIN_TTL, *SHARED_CACHE, *login, _API_BASE, TAG, cls=Setting
    )
