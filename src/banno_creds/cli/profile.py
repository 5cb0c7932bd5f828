"""``banno-creds profile``: clients' settings under names, in the user's ``config.toml``."""

from __future__ import annotations

import os
from json import dumps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.cli.groups import Group
from banno_creds.cli.options import CONFIG, setting_options
from banno_creds.cli.parameters import Choice, Command, Option, complete_profile, option
from banno_creds.cli.report import Report, write_result
from banno_creds.config import absolute
from banno_creds.errors import ConfigurationError
from banno_creds.profiles.lookup import command_on, find_profile, list_profiles, no_default_in
from banno_creds.profiles.settings import PATHS, SETTINGS
from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Mapping

_OUTPUT = option(
    "--output",
    "-o",
    command="profile",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    section="Output",
    help="The form of the result on standard output.",
)


@click.group("profile", cls=Group)
def command() -> None:
    """Keep clients' settings under names, in config.toml.

    An option or a variable overrides what the profile says.
    """


@command.command("add", cls=Command, short_help="Write a profile, or replace one.")
@click.argument("name")
@CONFIG
@setting_options
@click.option(
    "--default",
    "make_default",
    cls=Option,
    is_flag=True,
    section="Profile",
    help="Use it if no profile is named.",
)
@click.option(
    "--force",
    cls=Option,
    is_flag=True,
    section="Profile",
    help="Replace an existing profile of this name completely.",
)
@click.pass_context
def add(
    context: click.Context, /, name: str, config: str | None, *, make_default: bool, force: bool, **values: Any
) -> None:
    """Write a profile with the settings given as options, which mean the same as in other commands.

    NAME has letters, digits and . _ - in it. Only the options are written: no variable is read. A relative path
    counts from the current folder, and is written as a full path. No key and no passphrase goes into the file, only
    its path.
    """
    settings = _settings(context, values)
    if not settings:
        raise ConfigurationError(
            "nothing was given to be kept", hint="add options such as --client-id ID and --private-key FILE"
        )
    from banno_creds.profiles.edits import add_profile

    file = add_profile(name, settings, config, replace=force, default=make_default)
    report = Report()
    for setting in PATHS:
        path = os.path.expanduser(settings.get(setting, ""))  # noqa: PTH111 - as it is read later
        if path and not os.path.exists(path):  # noqa: PTH110 - unlike Path's, it never raises
            shown = f": {path}" if setting == "private_key" else ""
            report.warning(f"there is no file for --{setting.replace('_', '-')} yet{shown}")
    write_result(f"profile  {name}{' (the default)' if make_default else ''}\nfile     {file}")


def _settings(context: click.Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed, as the file has it."""
    settings: dict[str, Any] = {}
    for name in SETTINGS:
        value = values[name]
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if name in ("claims", "params"):
            settings[name] = dict(value)
            if len(settings[name]) < len(value):
                raise ConfigurationError(f"--{name[:-1]} names the same twice", hint="leave one")
        elif name == "scope":
            settings[name] = list(dict.fromkeys(" ".join(value).split()))
        elif name in PATHS:
            settings[name] = _whole(str(value))
        elif name == "timeout":
            settings[name] = int(value) if value.is_integer() else value
        else:
            settings[name] = list(value) if isinstance(value, tuple) else value
    return settings


def _whole(path: str) -> str:
    """Return a path that means the same from every folder."""
    return path if path == "-" or path.startswith("~") else absolute(path)


@command.command("list", cls=Command, short_help="List the profiles.")
@CONFIG
@_OUTPUT
def list_(config: str | None, output: str) -> None:
    """List the profiles, one per line; the default is named on standard error.

    JSON also has each profile's client ID and endpoint, or the reason why the profile cannot be used.
    """
    listing = list_profiles(config)
    if output == "json":
        write_result(dumps({**listing._asdict(), "profiles": [profile._asdict() for profile in listing.profiles]}))
        return
    if listing.names:
        write_result("\n".join(listing.names))
    report = Report()
    if listing.default in listing.names:
        report.note(f"The default: {listing.default}")
    elif listing.default is not None:
        report.warning(f"the default, {listing.default}, is not among them", command_on(listing.file, "default NAME"))
    if not listing.names:
        report.note("No profiles yet. To write one:")
        report.verbatim(command_on(listing.file, "add NAME --client-id ID --private-key FILE"))


@command.command("show", cls=Command, short_help="Show what a profile says.")
@click.argument("name", required=False, shell_complete=complete_profile)
@CONFIG
@_OUTPUT
def show(name: str | None, config: str | None, output: str) -> None:
    """Show a profile with full paths, as TOML or as JSON. Without NAME, show the default profile."""
    profile = find_profile(name, config)
    if profile is None:
        raise no_default_in(list_profiles(config))
    if output == "json":
        facts = {"name": profile.name, "file": profile.file, "default": profile.default}
        write_result(dumps({**facts, "settings": profile.settings}))
    else:
        from banno_creds.profiles.edits import profile_toml

        write_result(profile_toml(profile.name, profile.settings).removesuffix("\n"))


@command.command("default", cls=Command, short_help="Choose the default profile.")
@click.argument("name", required=False, shell_complete=complete_profile)
@click.option("--none", "no_default", is_flag=True, help="Use no default.")
@CONFIG
def default_(name: str | None, config: str | None, *, no_default: bool) -> None:
    """Choose the profile that is used if none is named."""
    if bool(name) == no_default:
        raise ConfigurationError(
            "NAME and --none exclude each other" if name else "no profile was named, to be the default",
            hint="leave one of them" if name else "name one, or add --none to have no default",
        )
    from banno_creds.profiles.edits import set_default

    file = set_default(name or None, config)
    write_result(f"default  {name or '(none)'}\nfile     {file}")


@command.command("remove", cls=Command, short_help="Remove a profile.")
@click.argument("name", shell_complete=complete_profile)
@CONFIG
def remove(name: str, config: str | None) -> None:
    """Remove a profile from the file, with the comment right above it. The key's file stays where it is."""
    from banno_creds.login.session import Owner
    from banno_creds.login.session_store import SessionStore
    from banno_creds.profiles.edits import remove_profile

    file, was_default = remove_profile(name, config)
    write_result(f"removed  {name}\nfile     {file}")
    folder = own_files.state_folder()
    store = None if folder is None else SessionStore(folder, Owner(name, file, "", None, None))
    if store is not None and store.exists():
        Report().warning(
            f"the login of profile {name} is kept still, and its tokens are good until they end",
            f"remove the file {store.path}; another time, sign out first",
        )
    if was_default:
        Report().note("It was the default; there is none now.")
