"""The values of options, variables and profiles, put together to what a command is to do."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.cli.inputs import StandardInput, client_secret, expand, key_source, passphrase
from banno_creds.cli.parameters import GIVEN, MANY, PROFILE, VARIABLES_CHECKED, held, overrules, spelling, warn
from banno_creds.cli.report import Report
from banno_creds.config import (
    CLIENT_AUTHENTICATIONS,
    ENVIRONMENTS,
    KEY_VARIABLE,
    PIN_VARIABLE,
    SECRET_VARIABLE,
    ClientConfig,
    Wanted,
)
from banno_creds.errors import ConfigurationError, KeyLoadError, TokenError
from banno_creds.key_uri import is_key_uri
from banno_creds.steps import Run, TokenChosen
from banno_creds.storage import own_files
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from banno_creds.cli.groups import Invocation
    from banno_creds.client_authentication.methods import Client
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.login.session_store import SessionStore
    from banno_creds.profiles.lookup import Profile
    from banno_creds.tokens.client_credentials import ClientCredentials


def _from_profile(context: click.Context, name: str) -> Profile | None:
    """Return the profile that gave an option's value; None if it came from elsewhere."""
    profile: Profile | None = context.meta.get(PROFILE)
    return profile if context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP else None


def client_config(
    context: click.Context, values: Mapping[str, Any], stdin: StandardInput | None = None
) -> ClientConfig:
    """Return the client's configuration, checked."""
    warn_of_variables(context)
    token_endpoint, issuer = endpoint(context, values)
    _check_paths(context, values)
    stdin = stdin or StandardInput()
    repeated = _repeated([name for name, _ in values["claims"]])
    if repeated:
        raise ConfigurationError(f"--claim {repeated} is given more than once", hint="leave one")
    return ClientConfig(
        client_id=values["client_id"],
        private_key=key_source(context, values["private_key"], stdin, allow_writable=values["allow_writable"]),
        passphrase=passphrase(
            values["passphrase_file"],
            stdin,
            _from_profile(context, "passphrase_file"),
            pin=(values["private_key"] or "").lower().startswith("pkcs11:"),
            asks=MANY not in context.meta,
        ),
        token_endpoint=token_endpoint,
        issuer=issuer,
        alg=values["alg"],
        kid=values["kid"],
        registration=values["registration"],
        aud=values["aud"],
        lifetime=values["lifetime"],
        iat=values["iat"],
        claims=dict(values["claims"]),
        scope=tuple(dict.fromkeys(" ".join(values.get("scope", ())).split())),
        resource=tuple(values.get("resource", ())),
        params=tuple(values.get("params", ())),
        timeout=values["timeout"],
        ca_bundle=None if values["ca_bundle"] is None else expand(values["ca_bundle"]),
        client_id_in_body=values.get("client_id_in_body", False),
        allow_other_aud=values["allow_other_aud"],
        key_max_age=values["key_max_age"],
        **shared_cache(context, values),
    )


SHARED_CACHE = ("cache_url", "cache_secret_file", "cache_password_file")


def shared_cache(context: click.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the shared cache; nothing if there is none, as for most."""
    url = values.get("cache_url")
    if not url:
        return {}
    check_shared_cache(context, values)
    return dict.fromkeys(SHARED_CACHE) | given_shared_cache(values)


def given_shared_cache(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings of the shared cache that have a value."""
    given = {name: values[name] for name in SHARED_CACHE if values.get(name)}
    return {name: value if name == "cache_url" else expand(value) for name, value in given.items()}


def fill_shared_cache(config: ClientConfig, given: Mapping[str, Any], typed: Collection[str] = ()) -> ClientConfig:
    """Give a profile's client the settings of the shared cache that were typed, and those that it has not itself."""
    own = {name: value for name, value in given.items() if name in typed or getattr(config, name) is None}
    return replace(config, **own)


def check_shared_cache(context: click.Context, values: Mapping[str, Any]) -> None:
    """Refuse a URL with a password in it, unless a variable has it; ConfigurationError if it cannot be used."""
    if values["cache_url"] and context.get_parameter_source("cache_url") is not ParameterSource.ENVIRONMENT:
        from banno_creds.cache_address import check_cache_url

        check_cache_url(values["cache_url"])


def credentials(context: click.Context, values: Mapping[str, Any], report: Report) -> ClientCredentials | SignedIn:
    """Return whose token a command uses: as it was asked for, else a person's while one is signed in."""
    folder, asked = own_files.state_folder(), values["as"]
    # Most users have no such folder, and should not pay for looking into it.
    has_folder = folder is not None and os.path.isdir(folder)  # noqa: PTH112 - unlike Path's, it never raises
    store = session_store(context, values) if has_folder or asked == "person" else None
    if asked == "person" and (store is None or not store.exists()):
        raise _nobody(store)
    if asked == "application" or store is None or not store.exists():
        chosen = _clients_own(context, values)
        why = "asked for (as)" if asked else "nobody is signed in"
        if not asked and store is not None and (ended := store.signed_out_at()) is not None:
            _warn_of_the_end(context, store, ended)
        report.step(TokenChosen("the application's own", why))
        return chosen
    report.step(TokenChosen("the person's", "asked for (as)" if asked else "somebody is signed in"))
    from banno_creds.login.refresh_token import SignedIn

    session = store.read()
    for name in ("scope", "resource", "params", "claims"):
        source = context.get_parameter_source(name)
        if name not in values or source not in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
            continue
        if name == "scope" and session is not None and set(" ".join(values[name]).split()) == set(session.scope):
            continue  # the same value as at the login
        option = next(parameter for parameter in context.command.params if parameter.name == name)
        warn(
            context,
            f"{option.opts[0] if source is ParameterSource.COMMANDLINE else option.envvar} has no effect here: the "
            "token is that of a login",
            f"sign in again with it, or sign out first: {store.owner.logout}",
        )
    return SignedIn(persons_client(context, values, store), store)


def _nobody(store: SessionStore | None) -> TokenError:
    if store is not None:
        return store.missing()
    return TokenError(
        "nobody is signed in: there is no home folder that a login could be in",
        hint="name a folder with BANNO_CREDS_STATE_DIR, and sign in",
        rule="session.missing",
    )


def _warn_of_the_end(context: click.Context, store: SessionStore, ended: int) -> None:
    """Warn whoever had a person's token, and would now get another one without a word."""
    from banno_creds.times import utc

    profile = store.owner.profile
    keep = "set BANNO_CREDS_AS" if profile is None else f"banno-creds profile set {profile} --as …"
    warn(
        context,
        f"this is the application's own token: the login of {store.owner.words} ended at {utc(ended)}",
        f"say which is meant: --as application or --as person; for good: {keep}",
    )


def tell_whose(context: click.Context, values: Mapping[str, Any], store: SessionStore, report: Report) -> None:
    """Say whose token `token`, `exec` and `api` give now, and what decides it."""
    if report.quiet:
        return
    profile: Profile | None = context.meta.get(PROFILE)
    variable = "" if overrules(context, "as") else os.environ.get("BANNO_CREDS_AS", "")
    asked = variable or ("" if profile is None else profile.settings.get("as", ""))
    by = f"by BANNO_CREDS_AS={asked}" if variable else f"by the profile: as = {asked}"
    commands, signed_in = "token, exec and api", store.exists()
    if asked == "person" and not signed_in:
        report.note(f"{commands} give no token now: a person's is asked for {by}.")
    elif not signed_in and not (values["private_key"] or held(context, KEY_VARIABLE)):
        report.note(f"{commands} give no token now: nobody is signed in, and no private key is given.")
    elif asked:
        whose = "the person's" if asked == "person" else "the application's own"
        report.note(f"{commands} give {whose} token: it is asked for {by}.")
    elif signed_in:
        more = ["--as application asks for the application's own."]
        report.note(f"{commands} give the person's token, while somebody is signed in.", *more)
    else:
        more = [] if store.signed_out_at() is None else ["They warn of it until --as says which is meant."]
        report.note(f"{commands} give the application's own token, since nobody is signed in.", *more)


def _clients_own(context: click.Context, values: Mapping[str, Any]) -> ClientCredentials:
    """Return the client's own credentials; a client with a secret alone has a token only if somebody signs in."""
    has_key = values["private_key"] or held(context, KEY_VARIABLE)
    by_secret = CLIENT_AUTHENTICATIONS.get(values["client_auth"] or "private_key_jwt") != "private_key_jwt"
    if by_secret or (not has_key and (values["client_secret_file"] or held(context, SECRET_VARIABLE))):
        if values["as"] == "application":
            raise TokenError(
                "the application has no token of its own: it has a client secret and no private key",
                hint=f"give its key with {setting('private_key')}; or ask for the token of who signs in: --as person",
            )
        store = session_store(context, values)
        if store is not None:
            raise store.missing()
    from banno_creds.tokens.client_credentials import ClientCredentials

    return ClientCredentials(client_config(context, values))


def signed_in(context: click.Context, values: Mapping[str, Any]) -> SignedIn:
    """Return the login of this profile or client, whether or not there is one."""
    from banno_creds.login.refresh_token import SignedIn

    store = session_store(context, values)
    if store is None:
        raise ConfigurationError(
            "there is no home folder, and so no login", hint="name a folder with BANNO_CREDS_STATE_DIR"
        )
    return SignedIn(persons_client(context, values, store), store)


def session_store(context: click.Context, values: Mapping[str, Any]) -> SessionStore | None:
    """Return where the login of this profile or client is kept; None if there is no home folder."""
    folder = own_files.state_folder()
    if folder is None:
        return None
    from banno_creds.login.session import Owner
    from banno_creds.login.session_store import SessionStore

    profile: Profile | None = context.meta.get(PROFILE)
    token_endpoint, issuer = endpoint(context, values)
    name, file = (None, None) if profile is None else (profile.name, profile.file)
    return SessionStore(folder, Owner(name, file, values["client_id"], token_endpoint, issuer))


def persons_client(context: click.Context, values: Mapping[str, Any], store: SessionStore | None = None) -> Client:
    """Return the client that people sign in to, with the key or the secret that was given nearer to the user.

    Its secret is asked for at a terminal only if the login in ``store`` was made with one.
    """
    from banno_creds.client_authentication.methods import Client

    warn_of_variables(context)
    token_endpoint, issuer = endpoint(context, values)
    key_rank = _rank(context, "private_key", values["private_key"], KEY_VARIABLE)
    secret_rank = _rank(context, "client_secret_file", values["client_secret_file"], SECRET_VARIABLE)
    has_key = key_rank < len(GIVEN)
    method = CLIENT_AUTHENTICATIONS.get(values["client_auth"] or "")
    by_secret = secret_rank < key_rank or not has_key
    if method is not None and _rank(context, "client_auth", method, "") <= min(key_rank, secret_rank):
        by_secret = method != "private_key_jwt" or not has_key  # it was said which of the two is meant
    elif has_key and key_rank == secret_rank:
        raise ConfigurationError(
            "a private key and a client secret are given, and a client proves who it is in one way",
            hint="leave one of them, or say which with --client-auth; a signed JWT is the safer one",
        )
    stdin = StandardInput()
    secret = None
    if by_secret:
        file = values["client_secret_file"]
        in_variable = held(context, SECRET_VARIABLE) and context.get_parameter_source("client_secret_file") not in (
            *(ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT),
        )
        asks = (method is not None or not has_key) and not _was_made_by_key(store) and MANY not in context.meta
        secret = client_secret(None if in_variable else file, stdin, asks=asks)
    settings = {name: value for name, value in values.items() if name not in ("scope", "resource", "params")}
    return Client(
        client_id=values["client_id"],
        token_endpoint=token_endpoint,
        issuer=issuer,
        signed_jwt=None if secret is not None or not has_key else lambda: client_config(context, settings, stdin),
        secret=secret,
        timeout=values["timeout"],
        ca_bundle=None if values["ca_bundle"] is None else expand(values["ca_bundle"]),
        method=method,
        client_id_in_body=values["client_id_in_body"],
    )


def _was_made_by_key(store: SessionStore | None) -> bool:
    """Return whether the client proved who it is by a signed JWT at a login."""
    kept = None if store is None or not store.exists() else store.read_any()
    return kept is not None and kept[0].provider.method == "private_key_jwt"


def _rank(context: click.Context, name: str, value: str | None, variable: str) -> int:
    """Return how near to the user a value was given, by its option or by a variable that holds it: 0 is nearest."""
    ranks = [GIVEN.index(ParameterSource.ENVIRONMENT)] if held(context, variable) else []
    source = context.get_parameter_source(name)
    if value and source in GIVEN:
        ranks.append(GIVEN.index(source))
    return min(ranks, default=len(GIVEN))


def _check_paths(context: click.Context, values: Mapping[str, Any]) -> None:
    """Name the profile of a path that does not exist: nobody typed it, and it counts from another folder."""
    for name, what, error in (
        ("private_key", "private key", KeyLoadError),
        ("ca_bundle", "CA bundle", ConfigurationError),
    ):
        profile = _from_profile(context, name)
        if name == "private_key" and held(context, KEY_VARIABLE):
            continue  # the variable with the key itself comes first
        if name == "private_key" and is_key_uri(values[name] or ""):
            continue
        if profile is not None and not os.path.exists(values[name]):  # noqa: PTH110 - unlike Path's, it never raises
            from banno_creds.storage.secret_files import scheme_in

            hint = f"check {name} there; a relative path counts from the folder of config.toml"
            if error is KeyLoadError and (scheme := scheme_in(values[name])):
                hint = f"check {name} there; if it is a URI: no package here opens keys of {scheme}:"
            raise error(f"there is no {what} {values[name]}", hint=hint, details=(profile.where,))


def warn_of_variables(context: click.Context) -> None:
    """Warn of a misspelt variable: it would be ignored in silence, and the assertion might go to another server.

    An empty one is named too. Each command does this once.
    """
    if VARIABLES_CHECKED in context.meta:  # a login's key is configured in a second step
        return
    context.meta[VARIABLES_CHECKED] = True
    known = {str(parameter.envvar) for parameter in context.command.params} | _OWN_VARIABLES
    unknown = {name for name in os.environ if name.startswith(_PREFIX)} - known
    if unknown:
        # Only now, since it imports all commands: a variable of another command is no mistake.
        known |= _variables_of(context.find_root())
    _warn_of_empty_variables(context)
    for name in sorted(unknown - known):
        from difflib import get_close_matches

        # Without the common prefix, which would make any two look alike.
        word = name.removeprefix(_PREFIX)
        near = get_close_matches(word, [other.removeprefix(_PREFIX) for other in known], 1, 0.7)
        meant = _MEANT.get(word) or next(iter(near), None)
        warn(context, f"{name} means nothing here", f"did you mean {_PREFIX}{meant}?" if meant else None)


def _warn_of_empty_variables(context: click.Context) -> None:
    """Name the variables that are set to nothing, as by a misspelt CI secret: a default counts then, unasked."""
    unasked = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    options = {str(option.name): str(option.envvar) for option in context.command.params if _takes_text(option)}
    variables = [*options.items(), ("private_key", KEY_VARIABLE), ("client_secret_file", SECRET_VARIABLE)]
    empty = [
        variable
        for name, variable in variables
        if os.environ.get(variable) == "" and name in options and context.get_parameter_source(name) in unasked
        # Without any key the error says it.
        if name != "private_key" or context.params.get(name) or held(context, KEY_VARIABLE)
    ]
    if empty:
        verb = "is" if len(empty) == 1 else "are"
        said = f"{', '.join(empty)} {verb} set, but empty: as if not set"
        warn(context, said, "unset it, or give it its value")


def _takes_text(option: click.Parameter) -> bool:
    """Return whether an option has a value, and an empty variable means nothing of its own."""
    return not getattr(option, "is_flag", False) and option.name not in ("profile", "prompt")


_PREFIX = "BANNO_CREDS_"
# The names that other tools use, where the most similar name would mean something else.
_MEANT = {
    **dict.fromkeys(("KEY", "KEY_FILE", "KEY_PATH", "PRIVATE_KEY_FILE", "PRIVATE_KEY_PATH"), "PRIVATE_KEY"),
    **dict.fromkeys(("PEM", "KEY_PEM"), "PRIVATE_KEY_PEM"),
    **dict.fromkeys(("URL", "TOKEN_URL"), "TOKEN_ENDPOINT"),
    **dict.fromkeys(("PASSWORD", "PASSPHRASE"), "PASSPHRASE_FILE"),
}
# Variables without an option.
_OWN_VARIABLES = {
    *(PIN_VARIABLE, "BANNO_CREDS_PKCS11_MODULE"),
    *(KEY_VARIABLE, SECRET_VARIABLE, "BANNO_CREDS_CACHE_DIR", "BANNO_CREDS_STATE_DIR", "BANNO_CREDS_DEBUG"),
    *("BANNO_CREDS_REQUIRE_INTEROP", "BANNO_CREDS_REQUIRE_BROWSER"),
}


def _variables_of(context: click.Context) -> set[str]:
    """Return the variables of a group's commands, and of their commands."""
    group, found = context.command, set()
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None:
                found |= {str(parameter.envvar) for parameter in command.params}
                found |= _variables_of(click.Context(command, parent=context))
    return found


def endpoint(context: click.Context, values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return token endpoint and issuer, one of them None: the one that was given nearest to the user counts."""
    names = [name for name in ("token_endpoint", "issuer", "environment") if name in values]
    for source in GIVEN:
        given = [name for name in names if context.get_parameter_source(name) == source]
        if len(given) > 1:  # two in a profile were refused when it was read
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
    """Return the report that `steps_options` ask for."""
    context = click.get_current_context()
    # Where steps are left out by default, nobody asked for silence.
    silent = values["quiet"] and context.get_parameter_source("quiet") is not ParameterSource.DEFAULT
    spell = spelling(context)
    return Report(quiet=values["quiet"], silent=silent, show_secrets=values["show_secrets"], spell=spell)


def run_for(context: click.Context, report: Report) -> Run:
    """Return how this command's run goes: its steps are shown by the report."""
    if not report.silent and sys.stderr is not None and sys.stderr.isatty():
        from banno_creds.cli.waiting import watch

        watch()
    invocation: Invocation = context.find_root().obj
    return Run(report.step, invocation.clock, invocation.sleep)


def noted_rotations(config_file: str | None) -> Mapping[str, float]:
    """Return when keys were there already, by their thumbprints, as `rotate` noted it for a file of profiles."""
    folder = own_files.state_folder()
    if folder is None or config_file is None or not os.path.isdir(folder):  # noqa: PTH112 - as above
        return {}
    from banno_creds.rotation.journal import Journal

    try:
        return Journal(folder, config_file).known_since()
    except ConfigurationError:  # then it is not known
        return {}


def wanted(values: Mapping[str, Any]) -> Wanted:
    """Return which token will do, as `cache_options` say."""
    return Wanted(values["min_ttl"], values["force_refresh"])


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)
