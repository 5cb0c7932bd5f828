"""The options that commands share, and what they come to: a `ClientConfig`.

Every option has an environment variable: ``BANNO_CREDS_`` and its name. Those that belong to one command alone
have the command's name in it as well, so that a variable set for one never changes another. Behind both stands a
profile, as click's default map, and behind that the default.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from click.core import ParameterSource

from banno_creds import cache_files
from banno_creds.config import (
    ALGORITHMS,
    DEFAULT_ENVIRONMENT,
    DEFAULT_LIFETIME,
    DEFAULT_MIN_TTL,
    DEFAULT_SCOPE,
    DEFAULT_TIMEOUT,
    ENVIRONMENTS,
    KEY_VARIABLE,
    MOST_LIFETIME,
    MOST_MIN_TTL,
    ClientConfig,
    KeySource,
    find_config_file,
    is_url,
)
from banno_creds.errors import ConfigurationError, KeyLoadError, is_private_key
from banno_creds.files import MOST_BYTES, read_private_file
from banno_creds.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from banno_creds.profiles import Profile

VERIFICATION = "Verification"
# What a context's meta tells of: what the file with the profiles was like before it was read, the profile in use, and
# that a variable was warned of.
CONFIG_FILE = "banno_creds.config_file"
PROFILE = "banno_creds.profile"
WARNED = "banno_creds.warned"

F = TypeVar("F", bound="Callable[..., Any]")


# From the nearest to the user to the farthest.
_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


class Option(click.Option):
    """An option that stands under a heading in the help, and that takes no private key for its value."""

    def __init__(self, *args: Any, section: str = "Options", setting_help: str = "", **kwargs: Any) -> None:
        del setting_help  # what it says as a `Setting`
        super().__init__(*args, **kwargs)
        self.section = section

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Take the variable; one that is set to nothing must not switch a check off."""
        value = super().resolve_envvar_value(ctx)
        if value is None and self.section == VERIFICATION and str(self.envvar) in os.environ:
            raise ConfigurationError(
                f"{self.envvar} is set to nothing, and so would check nothing", hint="unset it, or give it its value"
            )
        return value

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Refuse a private key before anything can show it, such as the message that there is no such file."""
        texts = value if isinstance(value, tuple | list) else [value]
        if any(isinstance(text, str) and is_private_key(text) for text in texts):
            raise _key_in_the_wrong_place(self, ctx)
        return super().process_value(ctx, value)


class Setting(Option):
    """The same option where a profile is written: what was typed, with no variable and no default behind it."""

    def __init__(self, *args: Any, setting_help: str = "", **kwargs: Any) -> None:
        kwargs["help"] = setting_help or kwargs["help"]
        kwargs |= {"envvar": None, "show_envvar": False, "required": False, "default": None, "show_default": False}
        super().__init__(*args, **kwargs)


def _key_in_the_wrong_place(option: Option, context: click.Context) -> ConfigurationError:
    if context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE:
        return ConfigurationError(
            f"{option.opts[0]} was given what looks like a private key (not shown here)",
            hint="an argument can be seen by everybody on the machine: treat this key as leaked, and give the next "
            "one as a file",
        )
    return ConfigurationError(
        f"{option.envvar} holds what looks like a private key (not shown here)",
        hint=f"move it to the variable {KEY_VARIABLE}",
    )


class Command(click.Command):
    """A command whose help lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each section in the order of its first option."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class NameValue(click.ParamType[tuple[str, Any]]):
    """``name=value``, and where ``typed`` also ``name:=JSON``."""

    name = "name=value"
    # In a variable: one a line, for values may hold blanks.
    envvar_list_splitter = "\n"

    def __init__(self, *, typed: bool = False) -> None:
        self.typed = typed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        """Split at the first equals sign; a profile has it split already."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if self.typed and name.endswith(":"):
            from banno_creds.jose import parse_json

            try:
                return name[:-1], parse_json(text)
            except ValueError:
                self.fail(f"what follows {name}= is not JSON", param, ctx)
        if not equals or not name.strip():
            self.fail(f"write it as name=value{' or name:=JSON' if self.typed else ''}", param, ctx)
        return name, text


class Declaration(Protocol):
    """Adds an option to a command's function."""

    def __call__(self, function: F, cls: type[Option] = ..., /) -> F:
        """Add it, as an instance of ``cls``."""


def option(*names: str, command: str = "", **attributes: Any) -> Declaration:
    """An option with its environment variable, shown in the help.

    Args:
        names: as for `click.option`.
        command: the command it belongs to, where it belongs to one alone.
        attributes: as for `click.option`, and ``section``.

    Returns:
        The decorator.
    """
    long = next(name for name in names if name.startswith("--")).partition("/")[0]
    words = [word for word in (command, long.removeprefix("--")) if word]
    variable = "BANNO_CREDS_" + "_".join(words).replace("-", "_").upper()
    attributes = {"envvar": variable, "show_envvar": True, **attributes}

    def declare(function: F, cls: type[Option] = Option, /) -> F:
        return click.option(*names, cls=cls, **attributes)(function)

    return declare


def complete_profile(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete a profile's name.

    Args:
        context: the command line so far.
        parameter: what is completed.
        incomplete: what was typed of it.

    Returns:
        The names that begin so.
    """
    del parameter
    from banno_creds.profiles import profile_names

    return [name for name in profile_names(context.params.get("config")) if name.startswith(incomplete)]


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
    context.meta[CONFIG_FILE] = "" if file is None else cache_files.identity(file)
    if known["profile"] is None and known["config"] is None and not context.meta[CONFIG_FILE]:
        return value  # as most users have it: nothing more is imported
    from banno_creds.profiles import find_profile

    profile = find_profile(known["profile"], known["config"])
    if profile is not None:
        context.meta[PROFILE] = profile
        # A table comes to what the option that stands for it does: pairs.
        settings = profile.settings
        tables = {name: list(settings[name].items()) for name in ("claims", "params") if name in settings}
        context.default_map = {**settings, **tables}
    return value


def _from_profile(context: click.Context, name: str) -> Profile | None:
    """The profile that an option's value came from; None where it came from elsewhere."""
    profile: Profile | None = context.meta.get(PROFILE)
    return profile if context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP else None


PROFILE_VARIABLE = "BANNO_CREDS_PROFILE"
_CHOSEN = "banno_creds.chosen"
_CONFIG: Mapping[str, Any] = {
    "metavar": "FILE",
    "section": "Client",
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
    option("--client-id", required=True, metavar="ID", section="Client", help="The client ID from Users & Groups."),
    option(
        "--private-key",
        metavar="FILE",
        section="Client",
        help="The private key's file, - for standard input. A CI job may give the key itself (PEM, PEM with "
        f"\\n for line ends, base64 of PEM, or a JWK) in the variable {KEY_VARIABLE}.",
        setting_help="The private key's file.",
    ),
    option(
        "--passphrase-file",
        metavar="FILE",
        section="Client",
        help="A file with the key's passphrase, - for standard input. Without it you are asked, at a terminal.",
        setting_help="A file with the key's passphrase.",
    ),
)
_ALLOW_WRITABLE_KEY = option(
    "--allow-writable-key", is_flag=True, section="Client", help="Take a key file that others can write."
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
_NETWORK = (
    option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        default=DEFAULT_TIMEOUT,
        show_default=True,
        section="Server",
        help="How long everything together may take, further attempts included; for api, how long an answer may take "
        "to begin and to pause.",
    ),
    option(
        "--ca-bundle",
        type=click.Path(path_type=Path),
        metavar="FILE|FOLDER",
        section="Server",
        help="Trust these certificates instead of the operating system's store.",
    ),
)
_REQUEST = (
    option(
        "--scope",
        multiple=True,
        default=[DEFAULT_SCOPE],
        show_default=True,
        metavar="SCOPE",
        section="Request",
        help="What to ask for; repeatable, or several separated by blanks.",
    ),
    option("--resource", multiple=True, metavar="URI", section="Request", help="A resource indicator. Repeatable."),
    option(
        "--param",
        "params",
        type=NameValue(),
        multiple=True,
        section="Request",
        help="A further form parameter. Repeatable; in the variable one a line.",
        setting_help="A further form parameter. Repeatable.",
    ),
)
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


def key_options(function: F) -> F:
    """The options of a command that makes an assertion."""
    return _add(function, *_PROFILES, *_KEY, _ALLOW_WRITABLE_KEY, *_ASSERTION, *_ENDPOINT, *_NETWORK)


def request_options(function: F) -> F:
    """The options of a command that asks for a token as well."""
    return _add(function, *_REQUEST)


def network_options(function: F) -> F:
    """The options of a command that fetches something."""
    return _add(function, *_NETWORK)


def cache_options(function: F) -> F:
    """The options of a command that takes a token from the cache where it can; its steps are shown on request."""
    return key_options(request_options(_add(function, *_CACHE, *_VERBOSE)))


def setting_options(function: F) -> F:
    """The options for what a profile can hold, of the command that writes one."""
    settings = (*_KEY, *_ASSERTION, *_ENDPOINT, *_NETWORK, *_REQUEST, _MIN_TTL, _API_BASE)
    return _add(function, *settings, cls=Setting)


def steps_options(function: F) -> F:
    """How the steps are shown."""
    return _add(function, *_STEPS)


def _add(function: F, *options: Declaration, cls: type[Option] = Option) -> F:
    for declare in reversed(options):
        function = declare(function, cls)
    return function


def client_config(context: click.Context, values: Mapping[str, Any]) -> ClientConfig:
    """What the shared options come to.

    Args:
        context: the command's context, which knows where each value came from.
        values: the options' values by name; those of `request_options` may be missing.

    Returns:
        The configuration.

    Raises:
        ConfigurationError: the values contradict each other or cannot be meant.
    """
    _warn_of_unknown_variables(context)
    token_endpoint, issuer = _endpoint(context, values)
    _check_paths(context, values)
    stdin = StandardInput()
    repeated = _repeated([name for name, _ in values["claims"]])
    if repeated:
        raise ConfigurationError(f"--claim {repeated} is given more than once", hint="leave one")
    return ClientConfig(
        client_id=values["client_id"],
        private_key=key_source(context, values["private_key"], stdin, allow_writable=values["allow_writable_key"]),
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
        ca_bundle=values["ca_bundle"],
    )


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
    known = {str(parameter.envvar) for parameter in context.command.params} | _OTHER_VARIABLES
    others = tuple(prefix for prefix in _OTHER_COMMANDS if prefix != _prefix(context.command))
    own = [name for name in os.environ if name.startswith("BANNO_CREDS_") and not name.startswith(others)]
    for name in sorted(set(own) - known):
        from difflib import get_close_matches

        near = get_close_matches(name, known, 1)
        Report().warning(f"{name} means nothing here", f"did you mean {near[0]}?" if near else None)
        context.meta[WARNED] = True


def _prefix(command: click.Command) -> str:
    """What the variables of one command's own options begin with."""
    return f"BANNO_CREDS_{str(command.name).replace('-', '_').upper()}_"


_OTHER_COMMANDS = tuple(f"BANNO_CREDS_{name}_" for name in ("KEYGEN", "DECODE", "SANDBOX", "API", "REQUIRE"))
_OTHER_VARIABLES = {
    KEY_VARIABLE,
    *(
        f"BANNO_CREDS_{name}"
        for name in (
            *("DEBUG", "OUTPUT", "CURL", "SCOPE", "RESOURCE", "PARAM", "QUIET", "SHOW_SECRETS"),
            *("CACHE_DIR", "TOKEN_OUTPUT", "MIN_TTL", "FORCE_REFRESH", "NO_CACHE", "VERBOSE"),
            *("PROFILE", "CONFIG", "PROFILE_OUTPUT", "API_BASE"),
        )
    ),
}


def _endpoint(context: click.Context, values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The token endpoint or the issuer: the one that was given nearest to the user."""
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


class StandardInput:
    """Standard input, which can be asked for one thing only."""

    def __init__(self) -> None:
        self._taken_for: str | None = None

    def read(self, what: str) -> bytes:
        """Read all of it.

        Args:
            what: what it is read for.

        Returns:
            What came, of bounded size.

        Raises:
            ConfigurationError: it was asked for before, or there is none.
        """
        if self._taken_for is not None:
            raise ConfigurationError(
                f"standard input cannot be both {self._taken_for} and {what}", hint="give one of them as a file"
            )
        self._taken_for = what
        if sys.stdin is None:
            raise ConfigurationError(f"{what} should come from standard input, which is closed", hint="give a file")
        if sys.stdin.isatty():
            Report().note(f"Reading {what}: paste it, then press Ctrl-D.")
        return sys.stdin.buffer.read(MOST_BYTES + 1)


def key_source(
    context: click.Context, private_key: str | None, stdin: StandardInput, *, allow_writable: bool
) -> KeySource:
    """Where the private key is: option, else environment, else profile.

    Args:
        context: the command's context.
        private_key: the value of ``--private-key``.
        stdin: standard input.
        allow_writable: whether a file that others can write is taken.

    Returns:
        The key's source.

    Raises:
        ConfigurationError: there is none, or two.
    """
    source = context.get_parameter_source("private_key")
    in_variable = "" if source is ParameterSource.COMMANDLINE else os.environ.get(KEY_VARIABLE, "")
    if private_key and in_variable and source is ParameterSource.ENVIRONMENT:
        raise ConfigurationError(
            f"BANNO_CREDS_PRIVATE_KEY and {KEY_VARIABLE} are both set, and only one key can sign",
            hint="unset one of them, or say --private-key FILE",
        )
    if in_variable:
        return KeySource(KEY_VARIABLE, content=in_variable.encode("utf-8", "surrogateescape"))
    if not private_key:
        raise ConfigurationError(
            "no private key was given",
            hint="add --private-key FILE, or set BANNO_CREDS_PRIVATE_KEY to its path or "
            f"{KEY_VARIABLE} to the key itself",
        )
    if private_key == "-":
        return KeySource("standard input", content=stdin.read("the private key"))
    return KeySource(private_key, path=expand(private_key), allow_writable=allow_writable)


def passphrase(file: str | None, stdin: StandardInput, profile: Profile | None = None) -> Callable[[], bytes | None]:
    """How to come by the passphrase, if the key needs one.

    Args:
        file: the value of ``--passphrase-file``.
        stdin: standard input.
        profile: the profile that names the file, where one does.

    Returns:
        What `keys.load_private_key` may call: it reads the file, or asks at a terminal.
    """

    def ask() -> bytes | None:
        if file is not None and profile is not None and not os.path.exists(file):  # noqa: PTH110 - as above
            raise ConfigurationError(
                "the passphrase file does not exist (its name is not shown: it might be the passphrase)",
                hint="passphrase_file names a file, counted from the folder of config.toml, and never the passphrase",
                details=(profile.where,),
            )
        if file is not None:
            return read_passphrase(file, stdin)
        if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
            return prompt("Passphrase of the private key")
        return None

    return ask


def prompt(question: str, again: str | None = None) -> bytes:
    """Ask for a passphrase at the terminal, without showing what is typed.

    Args:
        question: what is asked.
        again: what is asked the second time, if it is to be typed twice.

    Returns:
        The passphrase.

    Raises:
        ConfigurationError: it is not text as this terminal should send it.
    """
    try:
        answer: str = click.prompt(question, hide_input=True, confirmation_prompt=again or False, err=True)
        return answer.encode("utf-8")
    except UnicodeError:
        raise ConfigurationError(
            "the passphrase typed is not text as this terminal should send it (UTF-8)",
            hint="check the terminal's encoding, or give --passphrase-file FILE",
        ) from None


def expand(path: str | Path) -> Path:
    """A path with ``~`` resolved. Unlike Path's own method it takes an unknown user's ``~name`` as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def read_passphrase(file: str, stdin: StandardInput) -> bytes:
    """Read a passphrase from a file or, for ``-``, standard input.

    Args:
        file: the file's path, or ``-``.
        stdin: standard input.

    Returns:
        Its first and only line, without the line end.

    Raises:
        ConfigurationError: it cannot be read, or is empty.
    """
    if file == "-":
        secret = stdin.read("the passphrase")
    elif not os.path.exists(expand(file)):  # noqa: PTH110 - unlike Path's, it never raises
        raise ConfigurationError(
            "the passphrase file does not exist (its name is not shown: it might be the passphrase)",
            hint="--passphrase-file wants a file's path, or - for standard input; never the passphrase itself",
        )
    else:
        found = read_private_file(expand(file), allow_writable=True)
        for message, hint in found.warnings:
            Report().warning(message, hint)
        secret = found.content
    secret = secret.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        raise ConfigurationError("the passphrase is empty", hint="put it into the file, on one line")
    if b"\n" in secret:
        raise ConfigurationError(
            "the passphrase has more than one line",
            hint="put it into the file on one line; OpenSSL reads the first line only",
        )
    return secret


def report_for(values: Mapping[str, Any]) -> Report:
    """The report that `steps_options` ask for."""
    return Report(quiet=values["quiet"], show_secrets=values["show_secrets"])


def check_file_or_url(value: str) -> str:
    """Make sure that a file which is named exists; URLs are checked elsewhere."""
    if not is_url(value) and not os.path.exists(value):  # noqa: PTH110 - unlike Path's, it never raises
        raise ConfigurationError(f"no such file: {value}", hint="give a file's path, or a URL with https://")
    return value


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)
