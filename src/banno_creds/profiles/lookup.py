"""Which profile applies, and which profiles there are.

Every run looks a profile up. Without a file that costs one look at the disk. Only the profile in question is checked:
a mistake in another one stops nobody.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.config import DEFAULT_ENVIRONMENT, ENVIRONMENTS, find_config_file
from banno_creds.errors import BannoCredsError, ConfigurationError
from banno_creds.profiles.file import ConfigFile, read
from banno_creds.profiles.names import check_name, nearest
from banno_creds.profiles.settings import PATHS, Fault, find_fault, is_file, portable, resolved
from banno_creds.text import setting, spelled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from banno_creds.config import Location


class Profile(NamedTuple):
    """One client's settings, checked and with absolute paths.

    ``default`` if it is the file's default profile; ``warnings`` say who else can change the file, each what to do.
    """

    name: str
    file: str
    settings: Mapping[str, Any]
    default: bool
    warnings: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> str:
        """The place of a value, for a message about it."""
        return f"in profile {self.name} of {self.file}"


class Summary(NamedTuple):
    """A profile in a list: its client, its key or client secret's file, its endpoint, and its fault if it has one.

    ``key_modified`` is when the key's file was last changed, in seconds since the epoch; ``has_shared_cache`` says
    whether it names a cache that many machines share.
    """

    name: str
    client_id: str | None = None
    token_endpoint: str | None = None
    issuer: str | None = None
    fault: str | None = None
    private_key: str | None = None
    client_secret_file: str | None = None
    key_modified: float | None = None
    key_max_age: str | None = None
    tags: tuple[str, ...] = ()
    has_shared_cache: bool = False


class Listing(NamedTuple):
    """The profiles of a file, in their order."""

    file: str | None
    profiles: tuple[Summary, ...]
    default: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The profiles' names."""
        return tuple(profile.name for profile in self.profiles)


def find_profile(name: str | None, config: Location | None = None) -> Profile | None:
    """Look a profile up, or the default one, in the file that was named or the user's own; None if none was named.

    Raises:
        ConfigurationError: there is no such profile, or it or the file has a fault.
    """
    found = _find(name, config)
    if found is None:
        return None
    return _profile(*found[:3], default=found[3])


def find_profiles(
    names: Iterable[str] | None = None, config: Location | None = None, tags: Collection[str] = ()
) -> dict[str, Profile | ConfigurationError]:
    """Look many profiles up at once: the file is read and parsed once.

    Args:
        names: the profiles' names; None for all, in the file's order.
        config: the file with the profiles; None for the user's own.
        tags: only profiles that have all of these tags, and those that cannot be read.

    Returns:
        The profiles by their names; for one that is not there, or has a fault, its error.

    Raises:
        ConfigurationError: there is no file, or it has a fault outside the profiles.
    """
    file = _read_named(names, config)
    default, profiles = file.parse_each()
    found: dict[str, Profile | ConfigurationError] = {}
    for name in profiles if names is None else names:
        try:
            settings = _settings_of(name, profiles, file.path)
            if has_tags(settings, tags):
                found[name] = _profile(file, name, settings, default=name == default)
        except ConfigurationError as error:
            found[name] = error
    return found


def export_profiles(
    names: Iterable[str] | None = None, config: Location | None = None, tags: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the settings of profiles as another file may have them: see `settings.portable`, and `find_profiles`.

    Raises:
        ConfigurationError: there is none, or not one of these, or one of them or the file has a fault.
    """
    file = _read_named(names, config)
    _, profiles = file.parse_each()
    found: dict[str, dict[str, Any]] = {}
    for name in profiles if names is None else names:
        settings = _settings_of(name, profiles, file.path)
        if has_tags(settings, tags):
            _profile(file, name, settings, default=False)
            found[name] = portable(settings, os.path.dirname(file.path))
    if not found:
        raise none_chosen(file.path, names, tags)
    return found


def _read_named(names: Iterable[str] | None, config: Location | None) -> ConfigFile:
    """Read the file in which there must be profiles: these, or any."""
    file = read(config)
    if file is None:
        raise no_file_for(next(iter(names or ()), ""), find_config_file(config))
    return file


def _settings_of(
    name: str, profiles: Mapping[str, Mapping[str, Any] | ConfigurationError], file: str
) -> Mapping[str, Any]:
    """Return a profile's settings as the file has them."""
    check_name(name)
    settings = profiles.get(name)
    if settings is None:
        raise unknown_profile(name, file, profiles)
    if isinstance(settings, ConfigurationError):
        raise settings
    return settings


def has_tags(settings: Mapping[str, Any], tags: Collection[str]) -> bool:
    """Return whether a profile's settings, as the file has them, have all of these tags."""
    own = settings.get("tags", ())
    return all(tag == own if isinstance(own, str) else isinstance(own, list) and tag in own for tag in tags)


def _profile(file: ConfigFile, name: str, settings: Mapping[str, Any], *, default: bool) -> Profile:
    """Check a profile's settings."""
    fault = find_fault(settings)
    if fault is not None:
        # Spelled as the file has it: what this command line calls the setting does not matter here.
        place = file.place_of(fault.setting, name)
        raise ConfigurationError(spelled(fault.message), hint=spelled(fault.hint), details=(place,))
    return Profile(name, file.path, resolved(settings, os.path.dirname(file.path)), default, file.warnings)


def show_profile(name: str | None, config: Location | None = None) -> tuple[Profile, Fault | None, str] | None:
    """Look a profile up, as `find_profile` does, to show it, whether it can be used or not.

    Return the profile with those settings that may be shown, its fault, and where that stands. A setting with a fault
    is left out, because it may be a secret in the wrong place.

    Raises:
        ConfigurationError: there is no such profile, or the file has a fault.
    """
    found = _find(name, config)
    if found is None:
        return None
    file, wanted, settings, default = found
    fault = find_fault(settings)
    sound = {key: value for key, value in settings.items() if find_fault({key: value}) is None}
    place = "" if fault is None else file.place_of(fault.setting, wanted)
    own = resolved(sound, os.path.dirname(file.path))
    return Profile(wanted, file.path, own, default, file.warnings), fault, place


def _find(name: str | None, config: Location | None) -> tuple[ConfigFile, str, Mapping[str, Any], bool] | None:
    """Return the file, and a profile's name, its settings as they stand there, and whether it is the default."""
    if name is not None:
        check_name(name)
    file = read(config)
    if file is None:
        if name is not None:
            raise no_file_for(name, find_config_file(config))
        return None
    data = file.load(name)
    default, profiles = data.get("default"), data.get("profiles", {})
    wanted = default if name is None else name
    if wanted is None:
        return None
    if wanted not in profiles:
        raise unknown_profile(wanted, file.path, profiles, by_default=name is None)
    return file, wanted, profiles[wanted], wanted == default


def list_profiles(config: Location | None = None, tags: Collection[str] = ()) -> Listing:
    """List the profiles that have all of these tags, in the file's order; a fault in one stops nobody.

    Raises:
        ConfigurationError: the file cannot be read, or has a fault outside the profiles.
    """
    file = read(config)
    if file is None:
        return Listing(find_config_file(config), (), None)
    data = file.parse()
    profiles = data.get("profiles", {})
    folder = os.path.dirname(file.path)
    chosen = [name for name in profiles if has_tags(profiles[name], tags)]
    summaries = tuple(_summary(name, profiles[name], folder) for name in chosen)
    return Listing(file.path, summaries, data.get("default"))


def _summary(name: str, settings: Mapping[str, Any], folder: str) -> Summary:
    # Of a profile with a fault nothing is shown: it might be a secret in the wrong place.
    fault = find_fault(settings)
    if fault is not None:
        return Summary(name, fault=spelled(fault.message))
    environment = ENVIRONMENTS[settings.get("environment", DEFAULT_ENVIRONMENT)]
    issuer = settings.get("issuer")
    endpoint = settings.get("token_endpoint", environment) if issuer is None else None
    files = {key: value for key, value in resolved(settings, folder).items() if key in PATHS}
    times = {key: _modified(files[key]) for key in files if is_file(key, files)}
    missing = next((key for key, time in times.items() if time is None), None)
    # What stands there may be the passphrase or the secret by mistake.
    shown = f": {files[missing]}" if missing in ("private_key", "ca_bundle") else ""
    words = None if missing is None else f"there is no file for {missing}{shown}"
    proof = (files.get("private_key"), files.get("client_secret_file") if missing != "client_secret_file" else None)
    age = (times.get("private_key"), settings.get("key_max_age"))
    own = settings.get("tags", ())
    tags = (own,) if isinstance(own, str) else tuple(own)
    is_shared = "cache_url" in settings
    return Summary(name, settings.get("client_id"), endpoint, issuer, words, *proof, *age, tags, is_shared)


def _modified(path: str) -> float | None:
    """Return when a file was last changed; None if it is not there."""
    try:
        return os.stat(path).st_mtime
    except (OSError, ValueError):
        return None


def profile_names(config: Location | None = None) -> list[str]:
    """Return the profiles' names in the file's order, for a shell's completion; none if anything is wrong."""
    try:
        file = read(config)
        return [] if file is None else file.names()
    except (BannoCredsError, OSError, ValueError):
        return []


def profile_tags(config: Location | None = None) -> list[str]:
    """Return the tags of all profiles, for a shell's completion; none if anything is wrong."""
    try:
        return sorted({tag for profile in list_profiles(config).profiles for tag in profile.tags})
    except (BannoCredsError, OSError, ValueError):
        return []


# --- Errors ---------------------------------------------------------------------------------------------------------


def command_on(file: str | None, words: str, command: str = "profile") -> str:
    """Return a line ``banno-creds profile …`` for a hint; it names the file unless that is the user's own."""
    from banno_creds.shells import quote

    named = "" if file is None or file == find_config_file(None) else f" --config {quote(file)}"
    return f"banno-creds {command} {words}{named}"


def none_chosen(file: str | None, names: Iterable[str] | None, tags: Collection[str]) -> ConfigurationError:
    """Return the error for many profiles that were chosen, and are none: by their names and tags, or all."""
    if file is None or not os.path.lexists(file):
        return no_file_for("", file)
    if not tags:
        return ConfigurationError(f"there is no profile in {file}", hint=_to_add("", file))
    whose = "no profile that is named" if names else "no profile"
    words = f"{whose} has the {'tag' if len(tags) == 1 else 'tags'} {' and '.join(tags)}"
    return ConfigurationError(f"{words} in {file}", hint=f"see the tags of all: {command_on(file, 'list')}")


def no_file_for(name: str | None, file: str | None) -> ConfigurationError:
    """Return the error for a wanted profile while there is no file: None is the default one, an empty name any."""
    what = "there is no default profile" if name is None else f"there is no profile {name}".rstrip()
    if file is None:
        return ConfigurationError(
            f"{what}: there is no home folder to keep one in", hint=f"name the file: {setting('config')} FILE"
        )
    return ConfigurationError(f"{what}: there is no file {file}", hint=_to_add(name, file))


def no_passphrase_file(*place: str) -> ConfigurationError:
    """Return the error for a profile's ``passphrase_file`` that is not there."""
    return ConfigurationError(
        "the passphrase file does not exist (its name is not shown: it might be the passphrase)",
        hint="passphrase_file names a file, counted from the folder of config.toml, and never the passphrase",
        details=place,
    )


def no_default_in(listing: Listing) -> ConfigurationError:
    """Return the error for a file that names no default profile."""
    if listing.file is None or not os.path.lexists(listing.file):
        return no_file_for(None, listing.file)
    hint = command_on(listing.file, "default NAME") if listing.names else _to_add(None, listing.file)
    return ConfigurationError(f"there is no default profile in {listing.file}", hint=hint)


def _to_add(name: str | None, file: str) -> str:
    words = "--client-id ID --private-key FILE"
    if name == "":
        return f"{command_on(file, f'add NAME {words}')}; or many at once: {command_on(file, 'import FILE')}"
    return command_on(file, f"add NAME {words} --default" if name is None else f"add {name} {words}")


def unknown_profile(name: str, file: str, names: Collection[str], *, by_default: bool = False) -> ConfigurationError:
    """Return the error for a profile that is not in the file."""
    near = nearest(name, names)
    if near is not None:
        hint = f"did you mean: {command_on(file, f'default {near}')}" if by_default else f"did you mean {near}?"
    else:
        hint = command_on(file, "list") if names else _to_add(name, file)
    words = f"the default profile {name} is not in {file}" if by_default else f"there is no profile {name} in {file}"
    return ConfigurationError(words, hint=hint)
