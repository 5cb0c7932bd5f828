"""The options that commands share.

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

from banno_creds.cli.inputs import Argument
from banno_creds.cli.parameters import (
    CONFIG_FILE,
    MANY,
    NAMED,
    PROFILE,
    Choice,
    Declaration,
    F,
    NameValue,
    Option,
    Setting,
    complete_file,
    complete_profile,
    complete_tag,
    option,
    warn,
)
from banno_creds.config import (
    ALGORITHMS,
    CLIENT_AUTHENTICATIONS,
    DEFAULT_ENVIRONMENT,
    DEFAULT_GIVE_UP_AFTER,
    DEFAULT_JOBS,
    DEFAULT_LIFETIME,
    DEFAULT_LOGIN_SCOPE,
    DEFAULT_MIN_TTL,
    DEFAULT_RATE,
    DEFAULT_REDIRECT_URI,
    DEFAULT_SCOPE,
    DEFAULT_TIMEOUT,
    ENVIRONMENTS,
    KEY_VARIABLE,
    MOST_LIFETIME,
    MOST_MAX_AGE,
    MOST_MIN_TTL,
    REGISTRATIONS,
    SECRET_VARIABLE,
    WHOSE,
    find_config_file,
)
from banno_creds.errors import ConfigurationError
from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


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
_KEY = (
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
        shell_complete=complete_file,
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
_, _PRIVATE_KEY, PASSPHRASE_FILE = _KEY
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
_ASSERTION = (
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
_ENDPOINT = (
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
_NETWORK = (_timeout(), _CA_BUNDLE)
_NETWORK_AND_CACHE = (
    _timeout("; waiting for another process that asks for the same token may take as long again"),
    _CA_BUNDLE,
)


def _scope(default: Sequence[str]) -> Declaration:
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


def _param(what: str) -> Declaration:
    return option(
        "--param",
        "params",
        type=_PARAM,
        multiple=True,
        section="Request",
        help=f"{what}. Repeatable; in the variable, one per line.",
        setting_help=f"{what}. Repeatable.",
    )


_RESOURCE = option(
    "--resource", multiple=True, metavar="URI", section="Request", help="A resource indicator. Repeatable."
)
_REQUEST = (_scope([DEFAULT_SCOPE]), _RESOURCE, _param("A further form parameter"))
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
_SHARED_CACHE = (
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
TAG = option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    section="Profiles",
    shell_complete=complete_tag,
    help="Only profiles with this tag; given twice, those with both.",
    setting_help="A tag to choose profiles by, such as nightly; it is added to those that are there. Repeatable.",
)
_API_BASE = option("--api-base", metavar="URL", section="API", help="The API's scheme, host and port.")
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


_CLIENT = (*_PROFILES, *_KEY, KEY_MAX_AGE, _ALLOW_WRITABLE_KEY, *_ASSERTION, _ALLOW_OTHER_AUD, *_ENDPOINT)
_PROOF = (_SECRET, _CLIENT_AUTH, _CLIENT_ID_IN_BODY)
_PERSONS_CLIENT = (
    *_PROFILES,
    *_KEY,
    KEY_MAX_AGE,
    _ALLOW_WRITABLE_KEY,
    *_PROOF,
    *_ASSERTION,
    _ALLOW_OTHER_AUD,
    *_ENDPOINT,
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


def rotation_options(function: F) -> F:
    """The options about the set that a rotation changes; a profile may hold them."""
    return _add(function, *_ROTATION)


def key_options(function: F) -> F:
    """The options of a command that makes an assertion."""
    return _add(function, *_CLIENT, *_NETWORK)


def request_options(function: F) -> F:
    """The options of a command that asks for a token as well."""
    return _add(function, _CLIENT_ID_IN_BODY, *_REQUEST)


def kept_options(function: F) -> F:
    """The options that say where the shared cache is, and what seals it; a profile may hold them."""
    return _add(function, _PRIVATE_KEY, _CA_BUNDLE, *_SHARED_CACHE)


def shared_cache_options(function: F) -> F:
    """The options about the cache that machines share."""
    return _add(function, *_SHARED_CACHE)


def network_options(function: F) -> F:
    """The options of a command that fetches something."""
    return _add(function, *_NETWORK)


def cache_options(function: F) -> F:
    """The options of a command that takes a token from the cache if possible; it shows steps on request."""
    return _add(function, *_PERSONS_CLIENT, AS, *_NETWORK_AND_CACHE, *_REQUEST, *_CACHE, *_SHARED_CACHE, *_VERBOSE)


def _note_many(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Note that profiles were named, before the default one is looked up."""
    del parameter
    if value:
        context.meta[MANY] = True
    return value


def many_options(command: str) -> Callable[[F], F]:
    """The options of a command that takes many profiles, and how hard they may press their servers.

    They, and the argument with the profiles' names, come before all others: then no profile is in use.
    """
    profiles, pacing = ("Profiles", "Pacing") if command == "check" else ("Many profiles", "Many profiles")
    options = (
        option(
            "--all",
            "every",
            command=command,
            is_flag=True,
            is_eager=True,
            callback=_note_many,
            section=profiles,
            help="All profiles.",
        ),
        option(
            "--tag",
            "with_tags",  # `tags` is a setting of profiles
            command=command,
            multiple=True,
            metavar="TAG",
            is_eager=True,
            callback=_note_many,
            shell_complete=complete_tag,
            section=profiles,
            help="All profiles with this tag. Repeatable: then those that have all of the tags.",
        ),
        option(
            "--jobs",
            command=command,
            type=int,
            metavar="NUMBER",
            default=DEFAULT_JOBS,
            show_default=True,
            section=pacing,
            help="How many requests each server gets at a time.",
        ),
        option(
            "--rate",
            command=command,
            type=float,
            metavar="NUMBER",
            default=DEFAULT_RATE,
            show_default=True,
            section=pacing,
            help="How many requests each server gets in a second; 0 for as many as it answers.",
        ),
        option(
            "--give-up-after",
            command=command,
            type=int,
            metavar="NUMBER",
            default=DEFAULT_GIVE_UP_AFTER,
            show_default=True,
            section=pacing,
            help="Ask a server no more after so many refusals in a row, for a bank blocks addresses that fail often; "
            "0 for never.",
        ),
    )

    def declare(function: F) -> F:
        named = click.argument(
            "names",
            cls=Argument,
            section=profiles,
            nargs=-1,
            metavar="[PROFILE]...",
            is_eager=True,
            callback=_note_many,
            shell_complete=complete_profile if command == "check" else None,
            says="The profiles' names." if command == "check" else "The names of many profiles, with --output jsonl.",
        )
        return named(_add(function, *options))

    return declare


def check_options(function: F) -> F:
    """The options of the command that checks many profiles: those of `token`, but for its profile and its wishes."""
    client = (CONFIG, *_KEY, KEY_MAX_AGE, _ALLOW_WRITABLE_KEY, *_PROOF, *_ASSERTION, _ALLOW_OTHER_AUD, *_ENDPOINT)
    return _add(function, *client, AS, *_NETWORK, *_REQUEST, *_SHARED_CACHE)


def login_options(function: F) -> F:
    """The options of the command that signs a person in."""
    request = (_scope(DEFAULT_LOGIN_SCOPE), _RESOURCE, _param("A further parameter of the authorization request"))
    return _add(function, *_PERSONS_CLIENT, *_NETWORK, *request, *_LOGIN)


def person_options(function: F) -> F:
    """The options of a command about an existing login."""
    return _add(function, *_PERSONS_CLIENT, *_NETWORK)


def lint_options(function: F) -> F:
    """The options of a command that looks at another program's assertion; the client ID is optional."""
    return _add(function, *_PROFILES, _CLIENT_ID_IF_KNOWN, *_ENDPOINT, *_NETWORK)


def setting_options(function: F) -> F:
    """The options of the command that writes a profile: all that a profile can hold."""
    client = (*_KEY, KEY_MAX_AGE, *_PROOF, *_ASSERTION, *_ENDPOINT, *_NETWORK)
    settings = (*client, *_ROTATION, *_REQUEST, MIN_TTL, *_SHARED_CACHE, AS, _REDIRECT_URI, _PROMPT, _API_BASE, TAG)
    return _add(function, *settings, cls=Setting)


def steps_options(function: F) -> F:
    """The options about the steps."""
    return _add(function, *_STEPS)


def _add(function: F, *options: Declaration, cls: type[Option] = Option) -> F:
    for declare in reversed(options):
        function = declare(function, cls)
    return function
