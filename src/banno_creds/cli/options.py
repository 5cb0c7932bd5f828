"""The options that commands share: of the client and its request, of the server, the caches and the output.

`many_options` has those for many profiles, `setting_options` those that a profile can hold.

Every option has an environment variable: ``BANNO_CREDS_`` and its name. An option of one command has the command's
name in its variable as well, so that a variable for one command never changes another. A profile comes after both, as
click's default map, and then the default; one that is named on the command line comes before the variables.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.cli.parameters import (
    CONFIG_FILE,
    MANY,
    NAMED,
    PROFILE,
    Choice,
    Declaration,
    F,
    NameValue,
    add_options,
    complete_file,
    complete_key,
    complete_profile,
    option,
    warn,
)
from banno_creds.config import (
    ALGORITHMS,
    CLIENT_AUTHENTICATIONS,
    DEFAULT_ENVIRONMENT,
    DEFAULT_LIFETIME,
    DEFAULT_MIN_TTL,
    DEFAULT_SCOPE,
    DEFAULT_TIMEOUT,
    ENVIRONMENTS,
    KEY_VARIABLE,
    MOST_LIFETIME,
    MOST_MIN_TTL,
    REGISTRATIONS,
    SECRET_VARIABLE,
    WHOSE,
    find_config_file,
)
from banno_creds.errors import ConfigurationError
from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def use_profile(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Put a profile's settings behind options and variables, once both --profile and --config are known."""
    if value is None and parameter.name == "profile":
        value = os.environ.get(PROFILE_VARIABLE)  # an empty variable counts: it means no profile
    if value == "" and parameter.name == "config":
        raise ConfigurationError("--config names no file", hint="give a file's path, or leave it out")
    known: dict[str, str | None] = context.meta.setdefault(_CHOSEN, {})
    known[str(parameter.name)] = value
    if len(known) < 2 or context.resilient_parsing or known["profile"] == "" or MANY in context.meta:
        return value
    file = find_config_file(known["config"])
    context.meta[CONFIG_FILE] = "" if file is None else own_files.identity(file)
    if known["profile"] is None and known["config"] is None and not context.meta[CONFIG_FILE]:
        return value  # most users have no profiles: nothing more is imported
    from banno_creds.profiles.lookup import find_profile

    profile = find_profile(known["profile"], known["config"])
    if profile is not None:
        context.meta[PROFILE] = profile
        for message, hint in profile.warnings:
            warn(context, message, hint)
        if context.get_parameter_source("profile") is ParameterSource.COMMANDLINE:
            context.meta[NAMED] = True
        context.default_map = defaults_of(profile.settings)
    return value


def defaults_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile's settings as click's default map: a table becomes pairs, as the option gives them."""
    tables = {name: list(settings[name].items()) for name in ("claims", "params") if name in settings}
    return {**settings, **tables}


PROFILE_VARIABLE = "BANNO_CREDS_PROFILE"
_CHOSEN = "banno_creds.chosen"
CONFIG_FILE_OPTION: Mapping[str, Any] = {
    "metavar": "FILE",
    "section": "Client",
    "shell_complete": complete_file,
    "help": "The file with the profiles.  [default: config.toml in your configuration folder]",
}
CONFIG = option("--config", **CONFIG_FILE_OPTION)
_PROFILES = (
    option(
        "--profile",
        metavar="NAME",
        section="Client",
        is_eager=True,
        callback=use_profile,
        shell_complete=complete_profile,
        help="Use this profile for all settings not given otherwise; --profile= means none, not even the default.",
    ),
    option("--config", is_eager=True, callback=use_profile, **CONFIG_FILE_OPTION),
)
KEY = (
    option(
        "--client-id",
        required=True,
        metavar="ID",
        section="Client",
        help="The client ID from Users & Groups; required, here or in a profile.",
        setting_help="The client ID from Users & Groups.",
    ),
    option(
        "--private-key",
        metavar="FILE|URI",
        section="Client",
        shell_complete=complete_key,
        help="The private key's file, - for standard input; or the URI of a key that its holder keeps (pkcs11:, "
        "awskms:, vault:, ssh-agent:; see docs/keys.md). A CI job may give the key itself (PEM, PEM with "
        f"\\n for line ends, base64 of PEM, or a JWK) in the variable {KEY_VARIABLE}.",
        setting_help="The private key's file, or the URI of a key that its holder keeps.",
    ),
    option(
        "--passphrase-file",
        metavar="FILE",
        section="Client",
        shell_complete=complete_file,
        help="A file with the key's passphrase or the token's PIN, - for standard input. Without it, you are "
        "asked at a terminal.",
        setting_help="A file with the key's passphrase or the token's PIN.",
    ),
)
_, _PRIVATE_KEY, PASSPHRASE_FILE = KEY
KEY_MAX_AGE = option(
    "--key-max-age",
    metavar="AGE",
    section="Client",
    help="Warn of a key that is older than this, such as 400d, 57w or 36h.",
)
_SECRET = option(
    "--client-secret-file",
    metavar="FILE",
    section="Client",
    shell_complete=complete_file,
    help="A file with the client secret, - for standard input, if the application that people sign in to has no key. "
    f"A CI job may give the secret itself in the variable {SECRET_VARIABLE}.",
    setting_help="A file with the client secret, if the application that people sign in to has no key.",
)
_CLIENT_AUTH = option(
    "--client-auth",
    type=Choice(list(CLIENT_AUTHENTICATIONS)),
    metavar="basic|post|private_key_jwt",
    section="Client",
    help="How the client proves who it is at a login: the secret in a header or in the form, or a signed JWT.  "
    "[default: what discovery names]",
)
_CLIENT_ID_IN_BODY = option(
    "--client-id-in-body",
    is_flag=True,
    section="Client",
    help="Send client_id beside the assertion too: a few servers ask for it (RFC 7521 section 4.2).",
)
_CLIENT_ID_IF_KNOWN = option(
    "--client-id",
    metavar="ID",
    section="Client",
    help="The client ID from Users & Groups; iss and sub must equal it.",
)
_ALLOW_WRITABLE_KEY = option(
    "--allow-writable-key",
    "allow_writable",
    is_flag=True,
    section="Client",
    help="Accept a key file that others can write.",
)
_ALLOW_OTHER_AUD = option(
    "--allow-other-aud",
    is_flag=True,
    section="Assertion",
    help="Send the assertion although --aud names another server than the one that it goes to.",
)
ASSERTION = (
    option(
        "--registration",
        type=Choice(REGISTRATIONS),
        section="Assertion",
        help="How the bank has the public key: pasted as PEM, or at a JWKS URI. With a JWKS URI, the key's "
        "thumbprint is sent as key ID.",
    ),
    option(
        "--alg",
        type=Choice(ALGORITHMS),
        section="Assertion",
        help="The signature algorithm.  [default: PS256 for RSA, ES256 for EC]",
    ),
    option(
        "--kid",
        metavar="VALUE|thumbprint",
        section="Assertion",
        help="Send this key ID; thumbprint means the key's own (RFC 7638). Use it with a JWKS URI only; with a "
        "pasted PEM the server refuses every key ID.",
    ),
    option("--aud", metavar="URL", section="Assertion", help="The audience.  [default: the token endpoint]"),
    option(
        "--lifetime",
        type=int,
        metavar="SECONDS",
        default=DEFAULT_LIFETIME,
        show_default=True,
        section="Assertion",
        help=f"How long the assertion is valid, at most {MOST_LIFETIME}.",
    ),
    option("--iat", is_flag=True, section="Assertion", help="Add iat to the assertion: the time when it was made."),
    option(
        "--claim",
        "claims",
        type=NameValue(typed=True),
        multiple=True,
        section="Assertion",
        help="A further claim; name:=JSON if the value is not text. Repeatable; in the variable, one per line.",
        setting_help="A further claim; name:=JSON if the value is not text. Repeatable.",
    ),
)
ENDPOINT = (
    option(
        "--environment",
        type=Choice(list(ENVIRONMENTS)),
        default=DEFAULT_ENVIRONMENT,
        show_default=True,
        section="Server",
        help="A token endpoint by name.",
    ),
    option("--token-endpoint", metavar="URL", section="Server", help="The token endpoint's exact URL."),
    option(
        "--issuer",
        metavar="URL",
        section="Server",
        help="Find the token endpoint in this issuer's discovery document.",
    ),
)


def _timeout(more: str = "") -> Declaration:
    return option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        default=DEFAULT_TIMEOUT,
        show_default=True,
        section="Server",
        help=f"How long everything together may take, including further attempts{more}.",
    )


_CA_BUNDLE = option(
    "--ca-bundle",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    section="Server",
    help="Trust these certificates instead of the operating system's store.",
)
NETWORK = (_timeout(), _CA_BUNDLE)
_NETWORK_AND_CACHE = (
    _timeout("; waiting for another process that asks for the same token may take as long again"),
    _CA_BUNDLE,
)


def scope_option(default: Sequence[str]) -> Declaration:
    """The scopes to ask for, with a command's own default."""
    return option(
        "--scope",
        multiple=True,
        default=default,
        show_default=True,
        metavar="SCOPE",
        section="Request",
        help="A scope to ask for, or several in quotes, separated by blanks. Repeatable.",
    )


_PARAM = NameValue()


def param_option(what: str) -> Declaration:
    """The further parameters of a request; the help calls them ``what``."""
    return option(
        "--param",
        "params",
        type=_PARAM,
        multiple=True,
        section="Request",
        help=f"{what}. Repeatable; in the variable, one per line.",
        setting_help=f"{what}. Repeatable.",
    )


RESOURCE = option(
    "--resource", multiple=True, metavar="URI", section="Request", help="A resource indicator. Repeatable."
)
REQUEST = (scope_option([DEFAULT_SCOPE]), RESOURCE, param_option("A further form parameter"))
MIN_TTL = option(
    "--min-ttl",
    type=click.IntRange(0, MOST_MIN_TTL),
    metavar="SECONDS",
    default=DEFAULT_MIN_TTL,
    show_default=True,
    section="Cache",
    help="How long a token from the cache must still be valid.",
)
AS = option(
    "--as",
    type=Choice(WHOSE),
    section="Client",
    help="Whose token: the application's own, or the person's who signed in by `login`.  [default: the person's "
    "while somebody is signed in]",
    setting_help="Whose token `token`, `exec` and `api` give: the application's own, or that of who signed in.",
)
_CACHE = (
    MIN_TTL,
    option(
        "--force-refresh",
        is_flag=True,
        section="Cache",
        help="Ask the server, even if the cache has a token or remembers a refusal.",
    ),
    option("--no-cache", is_flag=True, section="Cache", help="Neither read nor write the cache."),
)
SHARED_CACHE = (
    option(
        "--cache-url",
        metavar="URL",
        section="Cache",
        help="Share tokens with other machines by a Redis or Valkey server: rediss://HOST, redis://HOST or "
        "unix:///PATH. Only the variable may have a password in it. See docs/shared-cache.md.",
        setting_help="A Redis or Valkey server that many machines share tokens by, without a password.",
    ),
    option(
        "--cache-secret-file",
        metavar="FILE",
        section="Cache",
        shell_complete=complete_file,
        help="A file with the secret that seals what is in the shared cache, the same on all machines.  [default: "
        "made of the private key, if that is a file without a passphrase]",
        setting_help="A file with the secret that seals what is in the shared cache.",
    ),
    option(
        "--cache-password-file",
        metavar="FILE",
        section="Cache",
        shell_complete=complete_file,
        help="A file with the password of the shared cache's server.",
    ),
)
_SHOW_SECRETS = option(
    "--show-secrets", is_flag=True, section="Output", help="Show the whole assertion and token in the steps."
)
_STEPS = (
    option("--quiet", "-q", is_flag=True, section="Output", help="Do not show the steps; errors are still shown."),
    _SHOW_SECRETS,
)
_VERBOSE = (
    option(
        "--quiet/--verbose",
        "-q/-v",
        default=True,
        section="Output",
        help="Do not show the steps, or show them and whether the cache answered.  [default: quiet]",
    ),
    _SHOW_SECRETS,
)


_CLIENT = (*_PROFILES, *KEY, KEY_MAX_AGE, _ALLOW_WRITABLE_KEY, *ASSERTION, _ALLOW_OTHER_AUD, *ENDPOINT)
PROOF = (_SECRET, _CLIENT_AUTH, _CLIENT_ID_IN_BODY)
_PERSONS_KEY = (*KEY, KEY_MAX_AGE, _ALLOW_WRITABLE_KEY, *PROOF, *ASSERTION, _ALLOW_OTHER_AUD, *ENDPOINT)
PERSONS_CLIENT = (*_PROFILES, *_PERSONS_KEY)


def key_options(function: F) -> F:
    """The options of a command that makes an assertion."""
    return add_options(function, *_CLIENT, *NETWORK)


def request_options(function: F) -> F:
    """The options of a command that asks for a token as well."""
    return add_options(function, _CLIENT_ID_IN_BODY, *REQUEST)


def kept_options(function: F) -> F:
    """The options that say where the shared cache is, and what seals it; a profile may hold them."""
    return add_options(function, _PRIVATE_KEY, _CA_BUNDLE, *SHARED_CACHE)


def shared_cache_options(function: F) -> F:
    """The options about the cache that machines share."""
    return add_options(function, *SHARED_CACHE)


def network_options(function: F) -> F:
    """The options of a command that fetches something."""
    return add_options(function, *NETWORK)


def cache_options(function: F) -> F:
    """The options of a command that takes a token from the cache if possible; it shows steps on request."""
    return add_options(
        function, *PERSONS_CLIENT, AS, *_NETWORK_AND_CACHE, *REQUEST, *_CACHE, *SHARED_CACHE, *_VERBOSE
    )


def person_options(function: F) -> F:
    """The options of a command about an existing login."""
    return add_options(function, *PERSONS_CLIENT, *NETWORK)


def check_options(function: F) -> F:
    """The options of the command that checks many profiles: those of `token`, without its profile and its cache."""
    return add_options(function, CONFIG, *_PERSONS_KEY, AS, *NETWORK, *REQUEST, *SHARED_CACHE)


def lint_options(function: F) -> F:
    """The options of a command that looks at another program's assertion; the client ID is optional."""
    return add_options(function, *_PROFILES, _CLIENT_ID_IF_KNOWN, *ENDPOINT, *NETWORK)


def steps_options(function: F) -> F:
    """The options about the steps."""
    return add_options(function, *_STEPS)
