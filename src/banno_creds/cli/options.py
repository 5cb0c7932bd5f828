"""The options that commands share.

Every option has an environment variable: ``BANNO_CREDS_`` and its name. An option of one command has the command's
name in its variable as well, so that a variable for one command never changes another. A profile comes after both, as
click's default map, and then the default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.parameters import (
    CONFIG_FILE,
    PROFILE,
    Declaration,
    F,
    NameValue,
    Option,
    Setting,
    complete_file,
    complete_profile,
    option,
)
from banno_creds.config import (
    ALGORITHMS,
    DEFAULT_ENVIRONMENT,
    DEFAULT_LIFETIME,
    DEFAULT_LOGIN_SCOPE,
    DEFAULT_MIN_TTL,
    DEFAULT_REDIRECT_URI,
    DEFAULT_SCOPE,
    DEFAULT_TIMEOUT,
    ENVIRONMENTS,
    KEY_VARIABLE,
    MOST_LIFETIME,
    MOST_MAX_AGE,
    MOST_MIN_TTL,
    SECRET_VARIABLE,
    find_config_file,
)
from banno_creds.errors import ConfigurationError
from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _use_profile(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Put a profile's settings behind options and variables, once both --profile and --config are known."""
    if value is None and parameter.name == "profile":
        value = os.environ.get(PROFILE_VARIABLE)  # one that is set to nothing means something, to us
    if value == "" and parameter.name == "config":
        raise ConfigurationError("--config names no file", hint="give a file's path, or leave it out")
    known: dict[str, str | None] = context.meta.setdefault(_CHOSEN, {})
    known[str(parameter.name)] = value
    if len(known) < 2 or context.resilient_parsing or known["profile"] == "":
        return value
    file = find_config_file(known["config"])
    context.meta[CONFIG_FILE] = "" if file is None else own_files.identity(file)
    if known["profile"] is None and known["config"] is None and not context.meta[CONFIG_FILE]:
        return value  # as most users have it: nothing more is imported
    from banno_creds.profiles.lookup import find_profile

    profile = find_profile(known["profile"], known["config"])
    if profile is not None:
        context.meta[PROFILE] = profile
        # A table comes to what the option that stands for it does: pairs.
        settings = profile.settings
        tables = {name: list(settings[name].items()) for name in ("claims", "params") if name in settings}
        context.default_map = {**settings, **tables}
    return value


PROFILE_VARIABLE = "BANNO_CREDS_PROFILE"
_CHOSEN = "banno_creds.chosen"
_CONFIG: Mapping[str, Any] = {
    "metavar": "FILE",
    "section": "Client",
    "shell_complete": complete_file,
    "help": "The file with the profiles.  [default: config.toml in your own folder for settings]",
}
CONFIG = option("--config", **_CONFIG)
_PROFILES = (
    option(
        "--profile",
        metavar="NAME",
        section="Client",
        is_eager=True,
        callback=_use_profile,
        shell_complete=complete_profile,
        help="Take what is not given from this profile; '' for none, though there is a default one.",
    ),
    option("--config", is_eager=True, callback=_use_profile, **_CONFIG),
)
_KEY = (
    option(
        "--client-id",
        required=True,
        metavar="ID",
        section="Client",
        help="The client ID from Users & Groups. Needed, here or in a profile.",
        setting_help="The client ID from Users & Groups.",
    ),
    option(
        "--private-key",
        metavar="FILE",
        section="Client",
        shell_complete=complete_file,
        help="The private key's file, - for standard input. A CI job may give the key itself (PEM, PEM with "
        f"\\n for line ends, base64 of PEM, or a JWK) in the variable {KEY_VARIABLE}.",
        setting_help="The private key's file.",
    ),
    option(
        "--passphrase-file",
        metavar="FILE",
        section="Client",
        shell_complete=complete_file,
        help="A file with the key's passphrase, - for standard input. Without it you are asked, at a terminal.",
        setting_help="A file with the key's passphrase.",
    ),
)
_SECRET = option(
    "--client-secret-file",
    metavar="FILE",
    section="Client",
    shell_complete=complete_file,
    help="A file with the client secret, - for standard input, of an application that people sign in to and that has "
    f"no key. A CI job may give the secret itself in the variable {SECRET_VARIABLE}.",
    setting_help="A file with the client secret, of an application that people sign in to and that has no key.",
)
_CLIENT_ID_IF_KNOWN = option(
    "--client-id",
    metavar="ID",
    section="Client",
    help="The client ID from Users & Groups, which iss and sub must be.",
)
_ALLOW_WRITABLE_KEY = option(
    "--allow-writable-key",
    "allow_writable",
    is_flag=True,
    section="Client",
    help="Take a key file that others can write.",
)
_ASSERTION = (
    option(
        "--alg",
        type=click.Choice(ALGORITHMS),
        section="Assertion",
        help="The signature algorithm.  [default: PS256 for RSA, ES256 for EC]",
    ),
    option(
        "--kid",
        metavar="VALUE|thumbprint",
        section="Assertion",
        help="Send a key ID; thumbprint means the key's own (RFC 7638). Right with a JWKS URI; with a pasted PEM "
        "the server refuses any.",
    ),
    option("--aud", metavar="URL", section="Assertion", help="The audience.  [default: the token endpoint]"),
    option(
        "--lifetime",
        type=int,
        metavar="SECONDS",
        default=DEFAULT_LIFETIME,
        show_default=True,
        section="Assertion",
        help=f"How long the assertion is good, {MOST_LIFETIME} at the most.",
    ),
    option("--iat", is_flag=True, section="Assertion", help="Say in the assertion when it was made."),
    option(
        "--claim",
        "claims",
        type=NameValue(typed=True),
        multiple=True,
        section="Assertion",
        help="A further claim; name:=JSON for other than text. Repeatable; in the variable one a line.",
        setting_help="A further claim; name:=JSON for other than text. Repeatable.",
    ),
)
_ENDPOINT = (
    option(
        "--environment",
        type=click.Choice(list(ENVIRONMENTS)),
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
        help=f"How long everything together may take, further attempts included{more}.",
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
        help="What to ask for; repeatable, or several separated by blanks.",
    )


_PARAM = NameValue()


def _param(what: str) -> Declaration:
    return option(
        "--param",
        "params",
        type=_PARAM,
        multiple=True,
        section="Request",
        help=f"{what}. Repeatable; in the variable one a line.",
        setting_help=f"{what}. Repeatable.",
    )


_RESOURCE = option(
    "--resource", multiple=True, metavar="URI", section="Request", help="A resource indicator. Repeatable."
)
_REQUEST = (_scope([DEFAULT_SCOPE]), _RESOURCE, _param("A further form parameter"))
_MIN_TTL = option(
    "--min-ttl",
    type=click.IntRange(0, MOST_MIN_TTL),
    metavar="SECONDS",
    default=DEFAULT_MIN_TTL,
    show_default=True,
    section="Cache",
    help="How long a token from the cache must still be good.",
)
_CACHE = (
    _MIN_TTL,
    option(
        "--force-refresh",
        is_flag=True,
        section="Cache",
        help="Ask the server, whatever the cache holds, a refusal it remembers included.",
    ),
    option("--no-cache", is_flag=True, section="Cache", help="Neither read nor write the cache."),
)
_REDIRECT_URI = option(
    "--redirect-uri",
    metavar="URL",
    default=DEFAULT_REDIRECT_URI,
    show_default=True,
    section="Login",
    help="Where the browser comes back to, to the character as it was registered: https or http, on localhost unless "
    "--manual is given.",
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
        help="A claim that the id_token is to have. Repeatable.",
    ),
    option(
        "--prompt",
        command="login",
        metavar="VALUE",
        section="Login",
        help="login to sign in anew, consent, select_account, or none to be asked nothing.",
    ),
    option("--login-hint", metavar="NAME", section="Login", help="Whom the login page suggests."),
    option(
        "--max-age",
        command="login",
        type=click.IntRange(0, MOST_MAX_AGE),
        metavar="SECONDS",
        section="Login",
        help="How long ago the person may have signed in; 0 to sign in anew.",
    ),
)
_API_BASE = option("--api-base", metavar="URL", section="API", help="The API's scheme, host and port.")
_SHOW_SECRETS = option(
    "--show-secrets", is_flag=True, section="Output", help="Show assertion and token whole in the steps."
)
_STEPS = (
    option("--quiet", "-q", is_flag=True, section="Output", help="Leave the steps out; errors are still shown."),
    _SHOW_SECRETS,
)
_VERBOSE = (
    option(
        "--quiet/--verbose",
        "-q/-v",
        default=True,
        section="Output",
        help="Leave the steps out, or show them, and whether the cache answered.  [default: quiet]",
    ),
    _SHOW_SECRETS,
)


_CLIENT = (*_PROFILES, *_KEY, _ALLOW_WRITABLE_KEY, *_ASSERTION, *_ENDPOINT)
_PERSONS_CLIENT = (*_PROFILES, *_KEY, _ALLOW_WRITABLE_KEY, _SECRET, *_ASSERTION, *_ENDPOINT)


def key_options(function: F) -> F:
    """The options of a command that makes an assertion."""
    return _add(function, *_CLIENT, *_NETWORK)


def request_options(function: F) -> F:
    """The options of a command that asks for a token as well."""
    return _add(function, *_REQUEST)


def network_options(function: F) -> F:
    """The options of a command that fetches something."""
    return _add(function, *_NETWORK)


def cache_options(function: F) -> F:
    """The options of a command that takes a token from the cache where it can; its steps are shown on request."""
    return _add(function, *_PERSONS_CLIENT, *_NETWORK_AND_CACHE, *_REQUEST, *_CACHE, *_VERBOSE)


def login_options(function: F) -> F:
    """The options of the command that signs a person in."""
    request = (_scope(DEFAULT_LOGIN_SCOPE), _RESOURCE, _param("A further parameter of the authorization request"))
    return _add(function, *_PERSONS_CLIENT, *_NETWORK, *request, *_LOGIN)


def person_options(function: F) -> F:
    """The options of a command that is about a login which was made before."""
    return _add(function, *_PERSONS_CLIENT, *_NETWORK)


def lint_options(function: F) -> F:
    """The options of a command that looks at somebody else's assertion: a client ID is of use, and not needed."""
    return _add(function, *_PROFILES, _CLIENT_ID_IF_KNOWN, *_ENDPOINT, *_NETWORK)


def setting_options(function: F) -> F:
    """The options for what a profile can hold, of the command that writes one."""
    client = (*_KEY, _SECRET, *_ASSERTION, *_ENDPOINT, *_NETWORK)
    settings = (*client, *_REQUEST, _MIN_TTL, _REDIRECT_URI, _API_BASE)
    return _add(function, *settings, cls=Setting)


def steps_options(function: F) -> F:
    """How the steps are shown."""
    return _add(function, *_STEPS)


def _add(function: F, *options: Declaration, cls: type[Option] = Option) -> F:
    for declare in reversed(options):
        function = declare(function, cls)
    return function
<<<<<<< HEAD


def client_config(
    context: click.Context, values: Mapping[str, Any], stdin: StandardInput | None = None
) -> ClientConfig:
    """What the shared options come to.

    Args:
        context: the command's context, which knows where each value came from.
        values: the options' values by name; those of `request_options` may be missing.
        stdin: standard input, where something else may come from it too.

    Returns:
        The configuration.

    Raises:
        ConfigurationError: the values contradict each other or cannot be meant.
    """
    _warn_of_unknown_variables(context)
    token_endpoint, issuer = endpoint(context, values)
    _check_paths(context, values)
    stdin = stdin or StandardInput()
    repeated = _repeated([name for name, _ in values["claims"]])
    if repeated:
        raise ConfigurationError(f"--claim {repeated} is given more than once", hint="leave one")
    return ClientConfig(
        client_id=values["client_id"],
        private_key=key_source(context, values["private_key"], stdin, allow_writable=values["allow_writable"]),
        passphrase=passphrase(values["passphrase_file"], stdin, _from_profile(context, "passphrase_file")),
        token_endpoint=token_endpoint,
        issuer=issuer,
        alg=values["alg"],
        kid=values["kid"],
        aud=values["aud"],
        lifetime=values["lifetime"],
        iat=values["iat"],
        claims=dict(values["claims"]),
        scope=tuple(dict.fromkeys(" ".join(values.get("scope", ())).split())),
        resource=tuple(values.get("resource", ())),
        params=tuple(values.get("params", ())),
        timeout=values["timeout"],
        ca_bundle=None if values["ca_bundle"] is None else expand(values["ca_bundle"]),
    )


def credentials(context: click.Context, values: Mapping[str, Any]) -> ClientCredentials | SignedIn:
    """Whose token a command uses: a person's, where somebody signed in to this profile or client, else the client's.

    Args:
        context: the command's context.
        values: the values of `cache_options`.

    Returns:
        The login, or the client's own.

    Raises:
        ConfigurationError: see `client_config`.
    """
    folder = own_files.state_folder()
    # Most users have no such folder, and are not to pay for what looks into it.
    if folder is None or not os.path.isdir(folder):  # noqa: PTH112 - unlike Path's, it never raises
        return _clients_own(context, values)
    store = session_store(context, values)
    if store is None or not store.exists():
        return _clients_own(context, values)
    from banno_creds.login.refresh_token import SignedIn

    session = store.read()
    for name in ("scope", "resource", "params", "claims"):
        source = context.get_parameter_source(name)
        if name not in values or source not in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
            continue
        if name == "scope" and session is not None and set(" ".join(values[name]).split()) == set(session.scope):
            continue  # a variable that was there at the login too
        option = next(parameter for parameter in context.command.params if parameter.name == name)
        Report().warning(
            f"{option.opts[0] if source is ParameterSource.COMMANDLINE else option.envvar} has no effect here: the "
            "token is that of a login",
            f"sign in again with it, or sign out first: {store.owner.logout}",
        )
        context.meta[WARNED] = True
    return SignedIn(persons_client(context, values), store)


def _clients_own(context: click.Context, values: Mapping[str, Any]) -> ClientCredentials:
    """The client's own credentials, unless it is one that has a token only where somebody signs in."""
    has_key = values["private_key"] or os.environ.get(KEY_VARIABLE)
    if not has_key and (values["client_secret_file"] or os.environ.get(SECRET_VARIABLE)):
        store = session_store(context, values)
        if store is not None:
            raise store.missing()
    from banno_creds.tokens.client_credentials import ClientCredentials

    return ClientCredentials(client_config(context, values))


def signed_in(context: click.Context, values: Mapping[str, Any]) -> SignedIn:
    """The login of this profile or client, whether or not there is one.

    Args:
        context: the command's context.
        values: the values of `person_options`.

    Returns:
        The login.

    Raises:
        ConfigurationError: there is no home, and so none can be kept; or see `persons_client`.
    """
    from banno_creds.login.refresh_token import SignedIn

    store = session_store(context, values)
    if store is None:
        raise ConfigurationError(
            "there is no home folder, and so no login", hint="name a folder with BANNO_CREDS_STATE_DIR"
        )
    return SignedIn(persons_client(context, values), store)


def session_store(context: click.Context, values: Mapping[str, Any]) -> SessionStore | None:
    """Where the login of this profile or client is kept, whether or not there is one; None where there is no home."""
    folder = own_files.state_folder()
    if folder is None:
        return None
    from banno_creds.login.sessions import Owner, SessionStore

    profile: Profile | None = context.meta.get(PROFILE)
    token_endpoint, issuer = endpoint(context, values)
    name, file = (None, None) if profile is None else (profile.name, profile.file)
    return SessionStore(folder, Owner(name, file, values["client_id"], token_endpoint, issuer))


def persons_client(context: click.Context, values: Mapping[str, Any]) -> Client:
    """The client that people sign in to, and what proves who it is: the nearest to the user of key and secret.

    Args:
        context: the command's context, which knows where each value came from.
        values: the options' values by name.

    Returns:
        The client. Neither key nor secret is read yet.

    Raises:
        ConfigurationError: the values contradict each other or cannot be meant.
    """
    from banno_creds.client_authentication.methods import Client

    _warn_of_unknown_variables(context)
    token_endpoint, issuer = endpoint(context, values)
    key_rank = _rank(context, "private_key", values["private_key"], KEY_VARIABLE)
    secret_rank = _rank(context, "client_secret_file", values["client_secret_file"], SECRET_VARIABLE)
    has_key = key_rank < len(_GIVEN)
    if has_key and key_rank == secret_rank:
        raise ConfigurationError(
            "a private key and a client secret are given, and a client proves who it is in one way",
            hint="leave one of them; a signed JWT, made with the key, is the safer one",
        )
    stdin = StandardInput()
    secret = None
    if secret_rank < key_rank or not has_key:
        file = values["client_secret_file"]
        in_variable = os.environ.get(SECRET_VARIABLE) and context.get_parameter_source("client_secret_file") not in (
            *(ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT),
        )
        secret = client_secret(None if in_variable else file, stdin, asks=not has_key)
    settings = {name: value for name, value in values.items() if name not in ("scope", "resource", "params")}
    return Client(
        client_id=values["client_id"],
        token_endpoint=token_endpoint,
        issuer=issuer,
        signed_jwt=None if secret is not None or not has_key else lambda: client_config(context, settings, stdin),
        secret=secret,
        timeout=values["timeout"],
        ca_bundle=None if values["ca_bundle"] is None else expand(values["ca_bundle"]),
    )


def _rank(context: click.Context, name: str, value: str | None, variable: str) -> int:
    """How near to the user something was given that may be a file or a variable: 0 is nearest."""
    ranks = [_GIVEN.index(ParameterSource.ENVIRONMENT)] if os.environ.get(variable) else []
    source = context.get_parameter_source(name)
    if value and source in _GIVEN:
        ranks.append(_GIVEN.index(source))
    return min(ranks, default=len(_GIVEN))


def _check_paths(context: click.Context, values: Mapping[str, Any]) -> None:
    """Say where a path comes from that leads nowhere: nobody typed it, and it counts from another folder."""
    for name, what, error in (
        ("private_key", "private key", KeyLoadError),
        ("ca_bundle", "CA bundle", ConfigurationError),
    ):
        profile = _from_profile(context, name)
        if name == "private_key" and os.environ.get(KEY_VARIABLE):
            continue  # that comes before it
        if profile is not None and not os.path.exists(values[name]):  # noqa: PTH110 - unlike Path's, it never raises
            raise error(
                f"there is no {what} {values[name]}",
                hint=f"check {name} there; a relative path counts from the folder of config.toml",
                details=(profile.where,),
            )


def _warn_of_unknown_variables(context: click.Context) -> None:
    """Name a misspelt variable: it would be ignored in silence, and the assertion might go to another server."""
    if _VARIABLES in context.meta:  # a login is looked at as such, and its key once more
        return
    context.meta[_VARIABLES] = True
    known = {str(parameter.envvar) for parameter in context.command.params} | _OWN_VARIABLES
    unknown = {name for name in os.environ if name.startswith(_PREFIX)} - known
    if unknown:
        # Only now, for it means to import them all: what is another command's is no mistake.
        known |= _variables_of(context.find_root())
    for name in sorted(unknown - known):
        from difflib import get_close_matches

        # Without what all of them begin with, which would make any two of them look alike.
        word = name.removeprefix(_PREFIX)
        near = get_close_matches(word, [other.removeprefix(_PREFIX) for other in known], 1, 0.7)
        meant = _MEANT.get(word) or next(iter(near), None)
        Report().warning(f"{name} means nothing here", f"did you mean {_PREFIX}{meant}?" if meant else None)
        context.meta[WARNED] = True


_PREFIX = "BANNO_CREDS_"
# What other tools call it, where a word alike would be another thing.
_MEANT = {
    **dict.fromkeys(("KEY", "KEY_FILE", "KEY_PATH", "PRIVATE_KEY_FILE", "PRIVATE_KEY_PATH"), "PRIVATE_KEY"),
    **dict.fromkeys(("PEM", "KEY_PEM"), "PRIVATE_KEY_PEM"),
    **dict.fromkeys(("URL", "TOKEN_URL"), "TOKEN_ENDPOINT"),
    **dict.fromkeys(("PASSWORD", "PASSPHRASE"), "PASSPHRASE_FILE"),
}
# Those that stand for no option.
_OWN_VARIABLES = {
    *(KEY_VARIABLE, SECRET_VARIABLE, "BANNO_CREDS_CACHE_DIR", "BANNO_CREDS_STATE_DIR", "BANNO_CREDS_DEBUG"),
    *("BANNO_CREDS_REQUIRE_INTEROP", "BANNO_CREDS_REQUIRE_BROWSER"),
}


def _variables_of(context: click.Context) -> set[str]:
    """The variables of a group's commands, and of theirs."""
    group, found = context.command, set()
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None:
                found |= {str(parameter.envvar) for parameter in command.params}
                found |= _variables_of(click.Context(command, parent=context))
    return found


def endpoint(context: click.Context, values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The token endpoint or the issuer: the one that was given nearest to the user.

    Args:
        context: the command's context, which knows where each value came from.
        values: the options' values by name.

    Returns:
        The token endpoint and the issuer, of which one is None.

    Raises:
        ConfigurationError: several were given.
    """
    names = [name for name in ("token_endpoint", "issuer", "environment") if name in values]
    for source in _GIVEN:
        given = [name for name in names if context.get_parameter_source(name) == source]
        if len(given) > 1:  # in a profile it was found before
            if source is ParameterSource.COMMANDLINE:
                options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
                raise ConfigurationError(f"{options} exclude each other", hint="give one of them")
            variables = " and ".join(f"BANNO_CREDS_{name.upper()}" for name in given)
            raise ConfigurationError(
                f"{variables} are set, and only one of them can name the endpoint", hint="unset all but one"
            )
        if given == ["token_endpoint"]:
            return values["token_endpoint"], None
        if given == ["issuer"]:
            return None, values["issuer"]
        if given:
            break
    return ENVIRONMENTS[values["environment"]], None


def report_for(values: Mapping[str, Any]) -> Report:
    """The report that `steps_options` ask for."""
    spell = spelling(click.get_current_context(silent=True))
    return Report(quiet=values["quiet"], show_secrets=values["show_secrets"], spell=spell)


def run_for(context: click.Context, report: Report) -> Run:
    """Return how this command's run goes: its steps are shown by the report."""
    invocation: Invocation = context.find_root().obj
    return Run(report.step, invocation.clock, invocation.sleep)


def wanted(values: Mapping[str, Any]) -> Wanted:
    """Return which token will do, as `cache_options` say."""
    return Wanted(values["min_ttl"], values["force_refresh"])


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)
=======
>>>>>>> 2298ef6 (Tell click's classes, the options and what they come to apart)
