"""click's classes as this program needs them: options with a variable and a section, commands, completion."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from click.core import ParameterSource

from banno_creds.cli.groups import SPEAKER, Helpful
from banno_creds.cli.report import Report, as_option
from banno_creds.config import ENVIRONMENTS, KEY_VARIABLE, SECRET_VARIABLE, absolute
from banno_creds.errors import ConfigurationError
from banno_creds.key_uri import KEY_SCHEMES, check_key_uri, has_pin
from banno_creds.secrecy import is_private_key
from banno_creds.text import printable, quoted, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from click.shell_completion import CompletionItem


VERIFICATION = "Verification"
# Keys of a context's meta: the identity of the file with the profiles before it was read, the profile in use,
# whether it was named on the command line, the options whose variables it overrules, whether a variable was warned
# of, whether the variables were checked, and whether many profiles were named, so that none is in use.
CONFIG_FILE = "banno_creds.config_file"
PROFILE = "banno_creds.profile"
NAMED = "banno_creds.named"
OVERRULED = "banno_creds.overruled"
WARNED = "banno_creds.warned"
VARIABLES_CHECKED = "banno_creds.variables"
MANY = "banno_creds.many"

F = TypeVar("F", bound="Callable[..., Any]")


# Settings that only mean something together: whoever says one of them says which server, or who the client is.
_ENDPOINT = ("token_endpoint", "issuer", "environment")
_PROOF = ("private_key", "client_secret_file")
_PATHS = (*_PROOF, "passphrase_file", "ca_bundle", "cache_secret_file", "cache_password_file")

# From the nearest to the user to the farthest, unless a profile is named on the command line: see `overrules`.
GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


class Option(click.Option):
    """An option that stands under a heading in the help, and refuses a private key as its value."""

    def __init__(self, *args: Any, section: str = "Options", setting_help: str = "", **kwargs: Any) -> None:
        del setting_help  # only a `Setting` uses it
        super().__init__(*args, **kwargs)
        self.section = section

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Have the parser keep all values that were typed: click itself would drop all but the last in silence."""
        if self.multiple:
            super().add_to_parser(parser, ctx)
        elif not self.is_flag:
            parser.add_option(obj=self, opts=self.opts, dest=self.name, action="append", nargs=self.nargs)
        else:
            for names, const in ((self.opts, True), (self.secondary_opts, False)):
                if names:
                    parser.add_option(obj=self, opts=names, dest=self.name, action="append_const", const=const)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Take the value; one that was typed twice is refused, unless it is the same flag."""
        typed = opts.get(str(self.name))
        if isinstance(typed, list) and not self.multiple:
            if len(typed) > 1 and (not self.is_flag or len(set(typed)) > 1) and not ctx.resilient_parsing:
                names = " and ".join((*self.opts[:1], *self.secondary_opts[:1]))
                what = f"{names} exclude each other" if self.is_flag else f"{names} is given more than once"
                raise ConfigurationError(what, hint="leave one of them")
            opts = {**opts, str(self.name): typed[-1]}
        if not ctx.resilient_parsing and isinstance(typed, list) and self.name != "unset":  # its values are settings
            self._refuse_options(ctx, typed)
        return super().consume_value(ctx, opts)

    def _refuse_options(self, ctx: click.Context, typed: list[Any]) -> None:
        """Refuse another option in the place of a forgotten value: click would take it in silence."""
        words = {text for text in typed if isinstance(text, str) and text[:1] == "-" and len(text) > 1}
        if words and any(words & {*each.opts, *each.secondary_opts} for each in ctx.command.get_params(ctx)):
            raise ConfigurationError(
                f"{self.opts[0]} has no value: an option follows it", hint=f"{self.opts[0]} {self.metavar or '…'}"
            )

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """Read the variable, unless a profile that was named on the command line overrules it."""
        value = super().value_from_envvar(ctx)
        if value is None or not overrules(ctx, str(self.name)):
            return value
        self.note_overruled(ctx, value)
        return None

    def note_overruled(self, ctx: click.Context, value: Any) -> None:
        """Note that the profile overrules the variable's value, unless that means the same."""
        if not self._says_the_same(ctx, value):
            ctx.meta.setdefault(OVERRULED, []).append(self)

    def _says_the_same(self, ctx: click.Context, value: Any) -> bool:
        """Return whether a variable's value means the same as the profile's."""
        settings, name = ctx.meta[PROFILE].settings, str(self.name)
        if name in ("token_endpoint", "environment"):
            named = settings.get("token_endpoint", settings.get("environment"))
            return ENVIRONMENTS.get(value, str(value)) == ENVIRONMENTS.get(named, str(named))
        if name not in settings:
            return False
        theirs: Any = ctx.lookup_default(name)
        if name in _PATHS:
            return absolute(os.path.expanduser(value)) == str(theirs)  # noqa: PTH111 - see `config`
        if name == "scope":
            return " ".join(value).split() == " ".join(theirs).split()
        try:
            return bool(self.type_cast_value(ctx, value) == self.type_cast_value(ctx, theirs))
        except click.UsageError:
            return False

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Read the variable; an empty one must not switch a check off."""
        value = super().resolve_envvar_value(ctx)
        if value is None and self.section == VERIFICATION and str(self.envvar) in os.environ:
            raise ConfigurationError(
                f"{self.envvar} is set to nothing, and so would check nothing", hint="unset it, or give it its value"
            )
        return value

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Leave out what the text says anyway, and "required": a profile may have it."""
        extra = super().get_help_extra(ctx)
        extra.pop("required", None)
        extra.pop("range", None)
        return extra

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Refuse a private key before anything can show it, such as the message "no such file"."""
        texts = value if isinstance(value, tuple | list) else [value]
        if any(isinstance(text, str) and is_private_key(text) for text in texts):
            raise _key_in_the_wrong_place(self, ctx)
        for text in texts:
            if isinstance(text, str) and has_pin(text):
                check_key_uri(text)
            # The client ID is judged by a rule of its own, for programs and the doctor too.
            if isinstance(text, str) and not text.isascii() and self.name != "client_id":
                from banno_creds.cli.mistakes import check_value

                check_value(_given_by(self, ctx), text)
        if self.required and MANY in ctx.meta and self.value_is_missing(value):
            return None  # each of the profiles has its own
        return super().process_value(ctx, value)


class Setting(Option):
    """The same option where a profile is written: only what was typed, with no variable and no default."""

    def __init__(self, *args: Any, setting_help: str = "", **kwargs: Any) -> None:
        kwargs["help"] = setting_help or kwargs["help"]
        kwargs |= {"envvar": None, "show_envvar": False, "required": False, "default": None, "show_default": False}
        super().__init__(*args, **kwargs)


def _given_by(option: click.Option, context: click.Context) -> str:
    """Name the option, the variable or the profile's setting that gave an option's value."""
    source = context.get_parameter_source(str(option.name))
    if source is ParameterSource.ENVIRONMENT:
        return str(option.envvar)
    return f"{option.name} in the profile" if source is ParameterSource.DEFAULT_MAP else option.opts[0]


def _key_in_the_wrong_place(option: Option, context: click.Context) -> ConfigurationError:
    if context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE:
        from banno_creds.cli.mistakes import key_as_argument

        return key_as_argument(f"{option.opts[0]} was given what")
    return _key_in_variable(str(option.envvar))


def _key_in_variable(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} holds what looks like a private key (not shown here)", hint=f"move it to the variable {KEY_VARIABLE}"
    )


class Command(Helpful):
    """A command with options, which messages name as this command line spells them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and let messages spell the settings as this command line does."""
        ctx.meta[SPEAKER] = ctx
        # Before anything splits, reads or shows one of them, whatever it is for.
        for name, value in os.environ.items():
            is_ours = name.startswith("BANNO_CREDS_") and name not in (KEY_VARIABLE, SECRET_VARIABLE)
            if is_ours and is_private_key(value):
                raise _key_in_variable(name)
            if name in _FOLDERS and value and (value[0] in "<$%{" or unseen(value)):
                odd = unseen(value) or "it was not filled in"
                raise ConfigurationError(
                    f"{name} names no folder: {quoted(value)}: {odd}", hint="give it a folder's path"
                )
        rest = super().parse_args(ctx, args)
        if NAMED in ctx.meta and not ctx.resilient_parsing:
            _name_overruled_variables(ctx)
        return rest


_FOLDERS = ("BANNO_CREDS_CACHE_DIR", "BANNO_CREDS_STATE_DIR")


def overrules(context: click.Context, name: str) -> bool:
    """Return whether a profile named on the command line says what a setting's variable would say.

    Where an endpoint is named in several ways, and a client proves who it is by one of several means, one of them in
    the profile overrules the variables of all: half of one client must not join half of another.
    """
    if NAMED not in context.meta:
        return False
    return any(each in context.meta[PROFILE].settings for each in _together(name))


def _together(name: str) -> tuple[str, ...]:
    """Return the settings that say the same as this one in another way, with itself."""
    if name == "client_auth":  # how a key or a secret is shown: it belongs to the profile's, and a secret not to it
        return (*_PROOF, name)
    return next((group for group in (_ENDPOINT, _PROOF) if name in group), (name,))


def held(context: click.Context, variable: str) -> str:
    """Return the key or the secret that a variable holds itself; nothing if the profile overrules it."""
    return "" if overrules(context, "private_key") else os.environ.get(variable, "")


def _name_overruled_variables(context: click.Context) -> None:
    """Name each variable that is set and not used, in one line."""
    if names := overruled_variables(context):
        verb = "is" if len(names) == 1 else "are"
        named = f"--profile {context.meta[PROFILE].name} comes before variables"
        warn(context, f"{', '.join(names)} {verb} set and not used: {named}")


def overruled_variables(context: click.Context) -> list[str]:
    """Return the variables that the profile overrules; an option on the command line overrules them as well."""

    def typed(group: tuple[str, ...]) -> bool:
        return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in group)

    names = [
        str(option.envvar) for option in context.meta.get(OVERRULED, ()) if not typed(_together(str(option.name)))
    ]
    if overrules(context, "private_key") and not typed(_PROOF):
        has = {str(parameter.name) for parameter in context.command.params}
        pairs = zip(_PROOF, (KEY_VARIABLE, SECRET_VARIABLE), strict=True)
        names += [variable for option, variable in pairs if option in has and os.environ.get(variable)]
    return names


def warn(context: click.Context, message: str, hint: str | None = None) -> None:
    """Warn, and note that: a run that warns is not given again from memory."""
    Report().warning(message, hint)
    context.meta[WARNED] = True


def spelling(context: click.Context | None) -> Callable[[str], str]:
    """Return how messages spell a setting: as the option, the variable or the profile's key that gave its value."""
    parameters = {} if context is None else {str(parameter.name): parameter for parameter in context.command.params}

    of_each: Collection[str] = ()
    if context is not None and MANY in context.meta:
        from banno_creds.profiles.settings import SETTINGS as of_each  # noqa: N811 - an option would be for all of them

    def spell(name: str) -> str:
        parameter = parameters.get(name)
        if context is None or not isinstance(parameter, click.Option):
            return as_option(name)
        source = context.get_parameter_source(name)
        if source is ParameterSource.ENVIRONMENT:
            return str(parameter.envvar)
        if source is ParameterSource.DEFAULT_MAP or (source is ParameterSource.DEFAULT and name in of_each):
            return f"{name} in the profile"
        return next(opt for opt in parameter.opts if opt.startswith("--"))

    return spell


def doctor_for(context: click.Context, profile: str | None = None) -> str:
    """Return the doctor's command line for the same set-up, with the options that were typed.

    ``profile`` is the profile, where no option named it.
    """
    return same_client(context, "doctor", _SETUP_SECTIONS, profile)


def same_client(
    context: click.Context,
    command: str,
    sections: tuple[str, ...] = ("Client", "Server"),
    profile: str | None = None,
) -> str:
    """Return a command line for the same client, with the options of these sections that were typed."""
    from banno_creds.shells import join

    words = ["banno-creds", command, *(() if profile is None else ("--profile", profile))]
    for parameter in context.command.params:
        name = str(parameter.name)
        if getattr(parameter, "section", "") not in sections or name not in context.params:
            continue
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value, option = context.params[name], parameter.opts[0]
        if value is True:
            words.append(option)
            continue
        for one in value if parameter.multiple else (value,):
            words += [option, _typed(one)]
    return join(words)


def _typed(value: Any) -> str:
    # Only the name of a claim or parameter: errors end in logs, and its value may be secret.
    return f"{value[0]}=…" if isinstance(value, tuple) else str(value)


_SETUP_SECTIONS = ("Client", "Assertion", "Server", "Request")


_TEMPLATES = ("${", "{{", "$(")
_QUOTES = ('"', "'", "`")


class NameValue(click.ParamType[tuple[str, Any]]):
    """``name=value``, and where ``typed`` also ``name:=JSON``."""

    name = "name=value"
    # In a variable: one a line, since values may have blanks.
    envvar_list_splitter = "\n"

    def __init__(self, *, typed: bool = False) -> None:
        self.typed = typed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Split at the first equals sign; a profile has it split already."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if self.typed and name.endswith(":"):
            from banno_creds.jose.encoding import parse_json

            try:
                return name[:-1], parse_json(text)
            except ValueError:
                self.fail(f"what follows {name}= is not JSON", param, ctx)
        if name[:1] in _QUOTES:
            self.fail(f"it begins with a quotation mark; write it as {name[1:]}=…", param, ctx)
        if self.typed and any(character < " " for character in text) and (odd := unseen(text)):
            self.fail(f"what follows {name}= is not clean: {odd}", param, ctx)
        if param is not None and param.name in ("claims", "params") and any(mark in text for mark in _TEMPLATES):
            self.fail(f"the value of {name} was not filled in: {printable(text, 60)}", param, ctx)
        if not equals or not name.strip():
            self.fail(f"write it as name=value{' or name:=JSON' if self.typed else ''}", param, ctx)
        return name, text


class Choice(click.Choice[str]):
    """One of a few words, in any case."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Find the word; a word that begins or looks like the value is the hint of the error."""
        found = next((word for word in self.choices if str(value).lower() == word.lower()), None)
        if found is None:
            raise NoSuchChoiceError(
                self.get_invalid_choice_message(value, ctx), ctx=ctx, param=param, near=self._near(str(value))
            )
        return found

    def meant(self, value: str) -> str | None:
        """Return the word of this meaning, whatever its case."""
        from banno_creds.cli.synonyms import VALUES

        wanted = value.lower()
        same = next((word for word in self.choices if word.lower() == wanted), None)
        return same or next(
            (word for word, others in VALUES.items() if word in self.choices and wanted in others.split()), None
        )

    def _near(self, value: str) -> str | None:
        from difflib import get_close_matches

        lower = {word.lower(): word for word in self.choices}
        beginning = [word for word in lower if value and word.startswith(value.lower())]
        near = beginning or get_close_matches(value.lower(), lower, 1)
        return self.meant(value) or (lower[near[0]] if near else None)


class NoSuchChoiceError(click.BadParameter):
    """A value is none of the words that there are; ``near`` is the one that may be meant."""

    def __init__(self, *args: Any, near: str | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.near = near


class Declaration(Protocol):
    """Adds an option to a command's function."""

    def __call__(self, function: F, cls: type[Option] = ..., /) -> F:
        """Add it, as an instance of ``cls``."""


def option(*names: str, command: str = "", **attributes: Any) -> Declaration:
    """Declare an option with its environment variable; with ``command``, the variable is of that command alone."""
    long = next(name for name in names if name.startswith("--")).partition("/")[0]
    words = [word for word in (command, long.removeprefix("--")) if word]
    variable = "BANNO_CREDS_" + "_".join(words).replace("-", "_").upper()
    attributes = {"envvar": variable, "show_envvar": True, **attributes}

    def declare(function: F, cls: type[Option] = Option, /) -> F:
        return click.option(*names, cls=cls, **attributes)(function)

    return declare


def add_options(function: F, *options: Declaration, cls: type[Option] = Option) -> F:
    """Give a command's function options, in this order."""
    for declare in reversed(options):
        function = declare(function, cls)
    return function


def complete_file(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell to complete a file."""
    del context, parameter
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_key(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem] | list[str]:
    """Complete the scheme of a held key's URI where no file begins like it, else a file."""
    begun = [f"{scheme}:" for scheme in KEY_SCHEMES if incomplete and scheme.startswith(incomplete.lower())]
    try:
        has_file = bool(begun) and any(name.startswith(incomplete) for name in os.listdir())  # noqa: PTH208 - a start-up
    except OSError:
        has_file = False
    return begun if begun and not has_file else complete_file(context, parameter, incomplete)


def complete_profile(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete a profile's name."""
    del parameter
    from banno_creds.profiles.lookup import profile_names

    return [name for name in profile_names(context.params.get("config")) if name.startswith(incomplete)]


def complete_tag(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete a tag that some profile has."""
    del parameter
    from banno_creds.profiles.lookup import profile_tags

    return [tag for tag in profile_tags(context.params.get("config")) if tag.startswith(incomplete)]
