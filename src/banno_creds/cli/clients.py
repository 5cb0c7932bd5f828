"""The clients of many profiles, each as ``token --profile NAME`` on the same command line would have it.

The command line is parsed once, without a profile; then each profile's settings take their place between what was
typed and the variables. A thousand command lines would cost more than the tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.checks import check_url
from banno_creds.cli.options import defaults_of
from banno_creds.cli.parameters import (
    MANY,
    NAMED,
    PROFILE,
    VARIABLES_CHECKED,
    Option,
    doctor_for,
    held,
    overruled_variables,
    overrules,
    spelling,
    warn,
)
from banno_creds.cli.report import Report
from banno_creds.cli.settings import credentials, endpoint, session_store, warn_of_variables
from banno_creds.config import KEY_VARIABLE, SECRET_VARIABLE
from banno_creds.errors import ConfigurationError
from banno_creds.profiles.lookup import command_on
from banno_creds.text import setting

if TYPE_CHECKING:
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.profiles.lookup import Profile
    from banno_creds.tokens.client_credentials import ClientCredentials


class Clients:
    """Makes the clients of profiles.

    Args:
        context: of a command with `options.cache_options`, or with `options.many_options`.
    """

    def __init__(self, context: click.Context) -> None:
        self._context = context
        self._options = [each for each in context.command.params if isinstance(each, Option)]
        self._by_name = {str(option.name): option for option in self._options}
        self._sources = {name: context.get_parameter_source(name) for name in self._by_name}
        self._bare = click.Context(context.command, info_name=context.info_name)
        self._bare.meta[MANY] = True
        self._values = dict(context.params)
        self._variables = {
            name: click.Option.value_from_envvar(self._by_name[name], context)
            for name, source in self._sources.items()
            if source is ParameterSource.ENVIRONMENT
        }
        for name in ("private_key", "passphrase_file", "client_secret_file"):
            if self._values[name] == "-":
                raise ConfigurationError(
                    f"{setting(name)} is standard input, which is read once, and many profiles are meant",
                    hint="name a file",
                )
        self._report = Report(quiet=True)
        self._overruled: dict[str, None] = {}
        self._warned: set[tuple[str, str]] = set()
        warn_of_variables(context)

    def credentials(self, profile: Profile) -> ClientCredentials | SignedIn:
        """Return whose token it is.

        Raises:
            BannoCredsError: a setting is invalid, or missing.
        """
        for warning in profile.warnings:  # of the file, and so of all its profiles
            if warning not in self._warned:
                self._warned.add(warning)
                warn(self._context, *warning)
        try:
            context = self._of(profile)
        except click.UsageError as error:
            raise ConfigurationError(error.format_message().rstrip("."), details=(profile.where,)) from None
        self._overruled |= dict.fromkeys(overruled_variables(context))
        values = context.params
        if not values["client_id"]:
            raise _without(profile, "client_id", "--client-id ID")
        has_proof = values["private_key"] or values["client_secret_file"]
        has_proof = has_proof or any(held(context, name) for name in (KEY_VARIABLE, SECRET_VARIABLE))
        if not has_proof and values["as"] != "person":
            store = session_store(context, values)
            if store is None or not store.exists():
                raise _without(profile, "private_key", "--private-key FILE")
        return credentials(context, values, self._report)

    def about(self, profile: Profile) -> tuple[str | None, str | None]:
        """Return the client ID and the server of a profile whose client cannot be made, as far as they are known."""
        try:
            context = self._of(profile)
            token_endpoint, issuer = endpoint(context, context.params)
            server = check_url(issuer or token_endpoint or "", "the server")  # a variable's may have a password in it
        except (click.UsageError, ConfigurationError):
            return profile.settings.get("client_id"), None
        return context.params["client_id"], server

    def spelling(self, profile: Profile) -> Any:
        """Return how messages about a profile spell a setting; see `parameters.spelling`."""
        return spelling(self._of(profile))

    def doctor(self, profile: Profile) -> str:
        """Return the doctor's command line for a profile, with the options that were typed."""
        return doctor_for(self._of(profile), profile.name)

    def warn_of_overruled(self) -> None:
        """Name each variable that is set, and that a profile came before; in one line for all profiles."""
        if self._overruled:
            verb = "is" if len(self._overruled) == 1 else "are"
            names = ", ".join(self._overruled)
            warn(self._context, f"{names} {verb} set and not used: profiles come before variables")

    def _default(self, name: str) -> Any:
        option = self._by_name[name]
        default = option.get_default(self._bare)
        return option.process_value(self._bare, None if option.value_is_missing(default) else default)

    def _of(self, profile: Profile) -> click.Context:
        """Return the context that the command line of one profile would have."""
        settings = profile.settings
        context = click.Context(self._context.command, info_name=self._context.info_name)
        context.meta.update({PROFILE: profile, NAMED: True, VARIABLES_CHECKED: True, MANY: True})
        context.default_map = defaults_of(settings)
        params, sources = dict(self._values), dict(self._sources)
        for name, option in self._by_name.items():
            is_overruled = sources[name] is ParameterSource.ENVIRONMENT and overrules(context, name)
            if is_overruled:
                option.note_overruled(context, self._variables[name])
            if name in settings and (is_overruled or sources[name] is ParameterSource.DEFAULT):
                params[name] = option.process_value(context, context.default_map[name])
                sources[name] = ParameterSource.DEFAULT_MAP
            elif is_overruled:
                params[name], sources[name] = self._default(name), ParameterSource.DEFAULT
        context.params = params
        for name, source in sources.items():
            if source is not None:
                context.set_parameter_source(name, source)
        return context


def _without(profile: Profile, name: str, option: str) -> ConfigurationError:
    return ConfigurationError(
        f"profile {profile.name} has no {name}",
        hint=f"add it: {command_on(profile.file, f'set {profile.name} {option}')}",
        details=(profile.where,),
    )
