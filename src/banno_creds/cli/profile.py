"""``banno-creds profile``: clients' settings under names, in the user's ``config.toml``."""

from __future__ import annotations

import os
from json import dumps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from banno_creds.checks import is_loopback
from banno_creds.cli.groups import Group
from banno_creds.cli.inputs import Argument, StandardInput, expand
from banno_creds.cli.many_options import TAG
from banno_creds.cli.options import CONFIG
from banno_creds.cli.parameters import Choice, Command, Option, complete_file, complete_profile, complete_tag, option
from banno_creds.cli.report import Report, write_result
from banno_creds.cli.setting_options import setting_options
from banno_creds.config import ENVIRONMENTS, absolute
from banno_creds.errors import ConfigurationError
from banno_creds.key_uri import is_key_uri
from banno_creds.profiles.lookup import command_on, list_profiles, no_default_in, show_profile
from banno_creds.profiles.settings import FILES, PATHS, SETTINGS, is_file, resolved
from banno_creds.storage import own_files
from banno_creds.storage.secret_files import read_file
from banno_creds.text import printable, spelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banno_creds.profiles.tables import Change

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


def _complete_setting(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    del context, parameter
    return [name for name in SETTINGS if name.startswith(incomplete)]


@click.group("profile", cls=Group)
def command() -> None:
    """Keep clients' settings under names, in config.toml.

    An option overrides what the profile says; so does a variable, unless --profile NAME stands on the command line.
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
    help="Replace an existing profile of this name completely; `profile set` changes one setting.",
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

    file, dropped = add_profile(name, settings, config, replace=force, default=make_default)
    if dropped:
        Report().warning(
            f"the profile {name} before had settings that were not given again, and are gone: {', '.join(dropped)}",
            f"another time: {command_on(file, f'set {name}')} changes a setting and keeps the others",
        )
    _warn_of_missing_files(settings)
    write_result(f"profile  {name}{' (the default)' if make_default else ''}\nfile     {file}")


def _warn_of_missing_files(settings: Mapping[str, Any]) -> None:
    for setting in PATHS:
        path = os.path.expanduser(settings[setting]) if is_file(setting, settings) else ""  # noqa: PTH111 - as it is read later
        if path and not os.path.exists(path):  # noqa: PTH110 - unlike Path's, it never raises
            shown = f": {path}" if setting == "private_key" else ""
            Report().warning(f"there is no file for --{setting.replace('_', '-')} yet{shown}")


@command.command("set", cls=Command, short_help="Change settings of profiles.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_profile)
@CONFIG
@setting_options
@click.option(
    "--unset",
    cls=Option,
    multiple=True,
    metavar="SETTING",
    section="Profile",
    shell_complete=_complete_setting,
    help="Take a setting out, such as kid. Repeatable.",
)
@click.option(
    "--untag",
    cls=Option,
    multiple=True,
    metavar="TAG",
    section="Profile",
    shell_complete=complete_tag,
    help="Take a tag away. Repeatable.",
)
@click.pass_context
def set_(
    context: click.Context,
    /,
    names: tuple[str, ...],
    config: str | None,
    *,
    unset: tuple[str, ...],
    untag: tuple[str, ...],
    **values: Any,
) -> None:
    """Change settings of profiles, of all that are named or of none; other settings, and your comments, stay.

    A setting is replaced as a whole, so --scope names all scopes; --claim, --param and --tag add or change one
    member. As with `add`, only what is typed is written.
    """
    settings = _settings(context, values)
    if not settings and not unset and not untag:
        raise ConfigurationError(
            "nothing was given to be changed", hint="add options such as --scope SCOPE, or --unset SETTING"
        )
    from banno_creds.profiles.edits import change_profiles

    words = [word.lstrip("-").replace("-", "_") for word in unset]
    out = [{"claim": "claims", "param": "params", "tag": "tags"}.get(word, word) for word in words]
    file, faults, no_tags = change_profiles(dict.fromkeys(names, (settings, out)), config, untag=untag)
    _warn_of_missing_files(settings)
    for name, fault in faults.items():
        which = "the profile" if len(names) == 1 else f"profile {name}"
        Report().warning(f"{which} cannot be used yet: {fault.message}", fault.hint)
    if no_tags:
        whose = f"profile {names[0]} did not have" if len(names) == 1 else "none of the profiles had"
        said = f"{whose} the {'tag' if len(no_tags) == 1 else 'tags'} {printable(', '.join(no_tags))}"
        Report().warning(said, f"see the tags of all: {command_on(file, 'list')}")
    words = [*settings, *(["tags"] if {*untag} - {*no_tags} and "tags" not in settings else [])]
    changed = [f"changed  {', '.join(words)}"] if words else []
    changed += [f"unset    {', '.join(dict.fromkeys(out))}"] if out else []
    write_result("\n".join((*(f"profile  {name}" for name in dict.fromkeys(names)), *changed, f"file     {file}")))


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
        elif name == "tags":
            settings[name] = list(dict.fromkeys(value))
        elif name in FILES:
            settings[name] = _whole(str(value))
        elif name == "timeout":
            settings[name] = int(value) if value.is_integer() else value
        else:
            settings[name] = list(value) if isinstance(value, tuple) else value
    return settings


def _whole(path: str) -> str:
    """Return a path that means the same from every folder."""
    return path if path == "-" or path.startswith("~") or is_key_uri(path) else absolute(path)


@command.command("list", cls=Command, short_help="List the profiles.")
@CONFIG
@TAG
@option(
    "--long",
    "-l",
    command="profile-list",
    is_flag=True,
    section="Output",
    help="Also show until when a token is in the cache, and the last check.",
)
@_OUTPUT
@click.pass_context
def list_(context: click.Context, /, config: str | None, tags: tuple[str, ...], output: str, *, long: bool) -> None:
    """List the profiles: client ID, key and its age, endpoint, tags; and why a profile cannot be used.

    For a script: banno-creds profile list -o json | jq -r ".profiles[].name"
    """
    from banno_creds.cli.profile_list import Seen, members, part

    listing = list_profiles(config, tags)
    now = context.find_root().obj.clock()
    seen = Seen(listing.file, listing.profiles, now) if long else None
    if output == "json":
        write_result(
            dumps({**listing._asdict(), "profiles": [members(each, now, seen) for each in listing.profiles]})
        )
        return
    report = Report()
    for profile in listing.profiles:
        report.part(part(profile, now, seen))
    if tags:
        if not listing.names:
            report.note(f"No profile has {'the tag' if len(tags) == 1 else 'all of the tags'} {', '.join(tags)}.")
    elif listing.default in listing.names:
        report.note(f"The default: {listing.default}")
    elif listing.default is not None:
        report.warning(f"the default, {listing.default}, is not among them", command_on(listing.file, "default NAME"))
    if not listing.names and not tags:
        report.note("No profiles yet. To write one:")
        report.verbatim(command_on(listing.file, "add NAME --client-id ID --private-key FILE"))


@command.command("import", cls=Command, short_help="Add and change many profiles at once.")
@click.argument(
    "file",
    cls=Argument,
    says="The profiles, as CSV, JSON or TOML; - for standard input.",
    metavar="FILE",
    shell_complete=complete_file,
)
@CONFIG
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--replace", is_flag=True, help="Of a profile in FILE, take out the settings that FILE does not give.")
@_OUTPUT
def import_(file: str, config: str | None, output: str, *, dry_run: bool, replace: bool) -> None:
    """Add the profiles in FILE, and change those that are there already; all of them, or none.

    In CSV, the first line names the columns: profile, and settings such as client_id. A setting that FILE gives
    replaces the one before; profiles that FILE does not name stay as they are. A relative path counts from FILE's
    folder. No key and no secret goes into the file, only its path.
    """
    from banno_creds.profiles.tables import MOST_BYTES, import_profiles, parse_profiles

    is_input = file == "-"
    content = StandardInput().read("profiles", MOST_BYTES) if is_input else read_file(expand(file), most=MOST_BYTES)
    rows = parse_profiles(content, "standard input" if is_input else file)
    folder = absolute(os.curdir if is_input else expand(file).parent)
    changed_file, changes = import_profiles(rows, folder, config, replace=replace, dry=dry_run)
    new = [name for name, change in changes.items() if change.before is None]
    same = [name for name in rows if name not in changes]
    changed = {name: _values(change) for name, change in changes.items() if name not in new}
    _warn_of_strangers(changes)
    if not dry_run:
        _warn_of_keys_not_there({name: change.after for name, change in changes.items()}, changed_file)
    if output == "json":
        facts = {"file": changed_file, "dry_run": dry_run, "new": new, "changed": changed, "same": same}
        write_result(dumps(facts))
        return
    lines = [line for name, change in changes.items() for line in _difference(name, change)] if dry_run else []
    counts = {"new": len(new), "changed": len(changed), "same": len(same), "file": changed_file}
    write_result("\n".join([*lines, *(f"{word:<7}  {count}" for word, count in counts.items())]))
    if dry_run:
        Report().note("Nothing was written: this is what would change.")


def _values(change: Change) -> dict[str, list[Any]]:
    return {key: [(change.before or {}).get(key), change.after.get(key)] for key in change.settings}


def _difference(name: str, change: Change) -> list[str]:
    """Show what changes of a profile, as a diff of its lines."""
    lines = [f"  [profiles.{name}]"]
    for key, values in _values(change).items():
        signs = zip("-+", values, strict=True)
        lines += [f"{sign} {key} = {_seen(value)}" for sign, value in signs if value is not None]
    return lines


def _seen(value: object) -> str:
    """Return a value in JSON, with escapes for what could make its line look like another."""
    text = dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def _warn_of_strangers(changes: Mapping[str, Change]) -> None:
    """Name the hosts that will be asked, and the profiles with a library of their own: FILE may be an enemy's."""
    known = {None, *(urlsplit(url).hostname for url in ENVIRONMENTS.values())}
    hosts: dict[str, None] = {}
    libraries = []
    for name, change in changes.items():
        for key in change.settings:
            value = str(change.after.get(key, ""))
            if key in _ASKED:
                host = urlsplit(value).hostname
                before = urlsplit(str((change.before or {}).get(key, ""))).hostname
                if host is not None and host not in (*known, before) and not is_loopback(host):
                    hosts[host] = None
            elif key == "private_key" and is_key_uri(value) and "module-path=" in value.lower():
                libraries.append(name)
    if hosts:
        Report().warning(
            f"these profiles ask hosts other than the vendor's: {_some(list(hosts))}",
            "import them only if you trust who made them: what is sent there is theirs",
        )
    if libraries:
        Report().warning(
            f"the key of {_some(libraries)} names a library (module-path), which runs with all your rights",
            "import it only if you trust who made it",
        )


_ASKED = ("token_endpoint", "issuer", "api_base", "cache_url")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return printable(", ".join(names[:_MOST_NAMES])) + more


def _warn_of_keys_not_there(profiles: Mapping[str, Mapping[str, Any]], file: str) -> None:
    """Name the first profiles whose key is in no file yet."""
    folder = os.path.dirname(file)  # noqa: PTH120 - as it is read later
    missing = [
        name
        for name, settings in profiles.items()
        if is_file("private_key", settings) and not os.path.exists(resolved(settings, folder)["private_key"])  # noqa: PTH110 - unlike Path's, it never raises
    ]
    if missing:
        Report().warning(f"there is no file for private_key yet in {_some(missing)}")


_MOST_NAMES = 5


@command.command("export", cls=Command, short_help="Write profiles as TOML, JSON or CSV.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_profile)
@CONFIG
@TAG
@option(
    "--output",
    "-o",
    command="profile-export",
    type=Choice(["toml", "json", "csv"]),
    default="toml",
    show_default=True,
    section="Output",
    help="The form of the profiles on standard output.",
)
def export(names: tuple[str, ...], config: str | None, tags: tuple[str, ...], output: str) -> None:
    """Write profiles so that `profile import` reads them; without NAME, all of them.

    Relative paths are written as full paths. No key and no secret is in the file, and so none is written.
    """
    from banno_creds.profiles.lookup import export_profiles
    from banno_creds.profiles.tables import format_profiles

    write_result(format_profiles(export_profiles(dict.fromkeys(names) or None, config, tags), output))


@command.command("show", cls=Command, short_help="Show what a profile says.")
@click.argument("name", required=False, shell_complete=complete_profile)
@CONFIG
@_OUTPUT
def show(name: str | None, config: str | None, output: str) -> None:
    """Show a profile with full paths, as TOML or as JSON. Without NAME, show the default profile.

    Of a profile with a fault, the settings without one are shown, and the fault is named on standard error.
    """
    found = show_profile(name, config)
    if found is None:
        raise no_default_in(list_profiles(config))
    profile, fault, place = found
    if fault is not None:
        message, hint = spelled(fault.message), spelled(fault.hint)
        Report().warning(f"profile {profile.name} cannot be used: {message}", f"{place}: {hint}")
    if output == "json":
        facts = {"name": profile.name, "file": profile.file, "default": profile.default}
        words = None if fault is None else spelled(fault.message)
        write_result(dumps({**facts, "settings": profile.settings, "fault": words}))
    else:
        from banno_creds.profiles.edits import profile_toml

        write_result(profile_toml(profile.name, profile.settings).removesuffix("\n"))


@command.command("default", cls=Command, short_help="Choose the default profile.")
@click.argument("name", required=False, shell_complete=complete_profile)
@click.option("--none", "no_default", is_flag=True, help="Have no default profile.")
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


@command.command("remove", cls=Command, short_help="Remove profiles.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_profile)
@CONFIG
def remove(names: tuple[str, ...], config: str | None) -> None:
    """Remove profiles from the file, each with the comment right above it; the keys' files stay where they are."""
    from banno_creds.login.session import Owner
    from banno_creds.login.session_store import SessionStore
    from banno_creds.profiles.edits import remove_profiles

    names = tuple(dict.fromkeys(names))
    file, default = remove_profiles(names, config)
    write_result("\n".join((*(f"removed  {name}" for name in names), f"file     {file}")))
    folder = own_files.state_folder()
    for name in names if folder is not None else ():
        store = SessionStore(folder or "", Owner(name, file, "", None, None))
        if store.exists():
            Report().warning(
                f"the login of profile {name} is kept still, and its tokens are good until they end",
                f"remove the file {store.path}; another time, sign out first",
            )
        else:
            store.forget_end()
    if default is not None:
        Report().note(
            "It was the default; there is none now."
            if len(names) == 1
            else f"{default} was the default; there is none now."
        )
