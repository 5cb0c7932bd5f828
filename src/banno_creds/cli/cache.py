"""``banno-creds cache``: see and clear what `token`, `exec` and `api` keep. A token is never shown."""

from __future__ import annotations

import time
from contextlib import contextmanager
from json import dumps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from banno_creds.cli.groups import Group
from banno_creds.cli.inputs import StandardInput, expand, key_source
from banno_creds.cli.options import CONFIG_FILE_OPTION, kept_options, use_profile
from banno_creds.cli.parameters import Choice, Command, F, add_options, complete_profile, held, option, warn
from banno_creds.cli.report import Report, write_result
from banno_creds.cli.settings import shared_cache
from banno_creds.config import KEY_VARIABLE
from banno_creds.errors import ConfigurationError, NetworkError, OutputError
from banno_creds.storage import own_files
from banno_creds.text import printable
from banno_creds.times import duration, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from banno_creds.shared_cache.sealing import Seal
    from banno_creds.shared_cache.store import Store
    from banno_creds.tokens.cache import TokenCache
    from banno_creds.tokens.cache_entry import Entry


def _use_profile(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Use a profile's settings; if nobody typed its name, one that cannot be read keeps nobody from this cache."""
    try:
        return use_profile(context, parameter, value)
    except ConfigurationError as failure:
        typed = (context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ("profile", "config"))
        if any(typed):
            raise
        warn(context, failure.message, "a shared cache that is named there is left out")
        return value


def _place_options(profile: str, command: str = "") -> Callable[[F], F]:
    """The options that say where the caches are; ``profile`` is the help of the one that names a profile."""
    eager: dict[str, Any] = {"is_eager": True, "callback": _use_profile}
    named = option(
        "--profile",
        metavar="NAME",
        section="Client",
        command=command,
        shell_complete=complete_profile,
        help=profile,
        **eager,
    )
    config = option("--config", **CONFIG_FILE_OPTION, **eager)
    return lambda function: add_options(kept_options(function), named, config)


@click.group("cache", cls=Group)
def command() -> None:
    """Show or clear the cache of tokens.

    It is in your cache folder, or in the one that BANNO_CREDS_CACHE_DIR names; nobody else can read the folder or its
    files. Where many machines share a cache (--cache-url, its variable, or a profile), that one is shown and cleared
    too.
    """


@command.command("list", cls=Command, short_help="List what is in the cache; never a token.")
@option(
    "--output",
    "-o",
    command="cache",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text for people, or a JSON array of objects.",
)
@_place_options("Look into the shared cache that this profile names.")
@click.pass_context
def list_entries(context: click.Context, /, output: str, **values: Any) -> None:
    """List what is in the cache: for which client, from which server, how long it is valid. Never a token."""
    entries = _entries()
    now = time.time()
    described = [_describe(name, entry, now) for name, entry in entries.items()]
    shared, others = _describe_shared(context, values, now)
    if output == "json":
        write_result(dumps([*described, *shared], indent=2))
        return
    if described or shared:
        write_result("\n".join(_text(members) for members in (*described, *shared)))
    elif not others:
        Report().note("The cache is empty.")
    if others:
        Report().note(others)


@command.command("clear", cls=Command, short_help="Remove everything, or one profile's tokens, from the cache.")
# BANNO_CREDS_PROFILE, which is for the other commands, must not leave the rest behind.
@_place_options("Remove only the tokens of this profile's client.", command="cache-clear")
@click.pass_context
def clear(context: click.Context, /, profile: str | None, config: str | None, **values: Any) -> None:
    """Remove everything from the cache. The tokens themselves stay valid until they expire.

    In a shared cache that is what your secret sealed; what others sealed is theirs, and is left.
    """
    named = context.get_parameter_source("profile") in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    belongs = _of_profile(profile, config) if named and profile is not None else None
    with _shared(context, values) as (store, seal):  # a mistake ends the run before anything is removed
        cache = _open()
        try:
            removed = cache.clear(belongs) if cache is not None else 0
        except OSError as failure:
            raise OutputError(
                f"the cache could not be cleared: {own_files.words(failure)}",
                hint=own_files.hint_for(failure, "check who owns it and who may write it"),
            ) from None
        Report().note(f"Removed {_counted(removed)} from the cache.")
        if store is not None:
            from banno_creds.tokens import shared_entries

            removed, sealed = shared_entries.clear(store, seal, belongs)
            more = _others(sealed, seal) if belongs is None else ""
            Report().note(f"Removed {_counted(removed)} from the shared cache {store.shown}.", *filter(None, (more,)))


def _counted(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _others(sealed: int, seal: Seal | None) -> str:
    """Say how many entries of the shared cache stayed closed; nothing if none did."""
    are = "is one entry" if sealed == 1 else f"are {sealed} entries"
    if not sealed:
        return ""
    if seal is None:
        return f"In the shared cache {are} that a secret opens: --cache-secret-file FILE, or --profile NAME."
    return f"In the shared cache {are} that this secret does not open."


@contextmanager
def _shared(context: click.Context, values: Mapping[str, Any]) -> Iterator[tuple[Store | None, Seal | None]]:
    """Give the shared cache's server and seal; None for what there is not. Its faults become errors."""
    settings = shared_cache(context, values)
    if not settings:
        yield None, None
        return
    from banno_creds.shared_cache.faults import StoreError
    from banno_creds.shared_cache.store import Store

    ca_bundle = None if values["ca_bundle"] is None else expand(values["ca_bundle"])
    store = Store(settings["cache_url"], settings["cache_password_file"], ca_bundle)
    try:
        yield store, _seal(context, values, settings["cache_secret_file"])
    except StoreError as failure:
        from banno_creds.rules.explanations import EXPLANATIONS

        raise NetworkError(
            f"the shared cache {store.shown} cannot be used: {failure.words}",
            hint=EXPLANATIONS[failure.rule].fix,
            rule=failure.rule,
        ) from None


def _seal(context: click.Context, values: Mapping[str, Any], file: Path | None) -> Seal | None:
    """Return what seals the shared cache: the secret, else the private key; None if neither is given."""
    from banno_creds.shared_cache import sealing

    if file is not None:
        return sealing.Seal(sealing.read_secret(file)[0])
    if not (values["private_key"] or held(context, KEY_VARIABLE)):
        return None
    from banno_creds.client_authentication.private_key import read_key

    source = key_source(context, values["private_key"], StandardInput(), allow_writable=False)
    return sealing.seal_of_key(read_key(source).content, is_held=source.uri is not None)


def _describe_shared(
    context: click.Context, values: Mapping[str, Any], now: float
) -> tuple[list[dict[str, Any]], str]:
    """Return what is in the shared cache, and what to say of the entries that stayed closed."""
    with _shared(context, values) as (store, seal):
        if store is None:
            return [], ""
        from banno_creds.tokens import shared_entries

        kept = shared_entries.read_all(store, seal)
        where = store.shown
    return [{"server": where, "key": name, **_members(entry, now)} for name, entry in kept.entries.items()], _others(
        kept.sealed, seal
    )


def _of_profile(name: str, config: str | None) -> Callable[[Entry], bool]:
    """Return what tells the entries of a profile's client, its application's and its person's tokens alike."""
    from banno_creds.config import DEFAULT_ENVIRONMENT, ENVIRONMENTS
    from banno_creds.profiles.lookup import find_profile

    profile = find_profile(name, config)
    settings = {} if profile is None else profile.settings
    if "client_id" not in settings:
        raise ConfigurationError(f"profile {name} has no client_id, and so no tokens of its own in the cache")
    environment = ENVIRONMENTS[settings.get("environment", DEFAULT_ENVIRONMENT)]
    issuer = settings.get("issuer")
    endpoint = settings.get("token_endpoint", environment) if issuer is None else None

    def belongs(entry: Entry) -> bool:
        about = entry.about
        where = (about.get("issuer") == issuer) if issuer is not None else (about.get("token_endpoint") == endpoint)
        return about.get("client_id") == settings["client_id"] and where

    return belongs


def kept_entries() -> dict[str, Entry]:
    """Return the entries in the cache that can be read, by their names.

    Raises:
        ConfigurationError: the cache itself cannot be read.
    """
    return {name: entry for name, entry in _entries().items() if entry is not None and not isinstance(entry, OSError)}


def _entries() -> dict[str, Entry | OSError | None]:
    cache = _open()
    try:
        return {} if cache is None else cache.entries()
    except OSError as failure:
        raise _not_read(failure) from None


def _open() -> TokenCache | None:
    """Return the cache if there is one; looking at it makes none."""
    from banno_creds.tokens.cache import TokenCache

    folder = own_files.cache_folder()
    if folder is None:
        return None
    try:
        own_files.check_folder(folder)
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise _not_read(failure) from None
    return TokenCache(folder)


def _not_read(failure: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the cache cannot be read: {own_files.words(failure)}",
        hint=own_files.hint_for(failure, "name another folder in BANNO_CREDS_CACHE_DIR"),
    )


def _describe(name: str, entry: Entry | OSError | None, now: float) -> dict[str, Any]:
    if isinstance(entry, OSError):
        fault = printable(entry.strerror or entry)
        return {"file": name + own_files.ENTRY, "state": "unreadable", "failure": fault}
    if entry is None:
        return {"file": name + own_files.ENTRY, "state": "broken"}
    return {"file": name + own_files.ENTRY, **_members(entry, now)}


def _members(entry: Entry, now: float) -> dict[str, Any]:
    members: dict[str, Any] = {**entry.about, "state": "ended"}
    if entry.token is None:
        members["state"] = "none"
        if entry.failure is not None:
            members["failure"] = entry.failure.error.message
    left = entry.left(now)
    if left is not None and left > 0:
        members |= {"state": "good", "seconds_left": int(left), "expires_at": int(now + left)}
    refused = entry.refused(now)
    if refused is not None:
        failure, age = refused
        members |= {"refused": failure.message, "refused_seconds_ago": int(age)}
    return members


def _text(members: dict[str, Any]) -> str:
    if members["state"] == "broken":
        return f"{members['file']}\n    broken: it will be replaced by the next request"
    if members["state"] == "unreadable":
        return f"{members['file']}\n    cannot be read: {members['failure']}"
    state = "ended"
    if members["state"] == "good":
        state = f"good for {duration(members['seconds_left'])}, until {utc(members['expires_at'])}"
    elif members["state"] == "none":
        state = "no token" + (f": {printable(members['failure'])}" if "failure" in members else "")
    lines = [
        printable(members["client_id"]),
        f"    {printable(members['token_endpoint'] or 'issuer ' + str(members['issuer']))}",
        f"    scope {printable(' '.join(members['scope'])) or '(none)'}"
        + "".join(f" · resource {printable(resource)}" for resource in members["resource"]),
        f"    {state}",
    ]
    if "server" in members:
        lines.insert(1, f"    shared, in {members['server']}")
    if "refused" in members:
        words = "that was" if "failure" in members else f"{printable(members['refused'])},"
        lines.append(f"    {words} {duration(members['refused_seconds_ago'])} ago")
    return "\n".join(lines)
