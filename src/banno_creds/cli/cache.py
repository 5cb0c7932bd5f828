"""``banno-creds cache``: see and clear what `token`, `exec` and `api` keep. A token is never shown."""

from __future__ import annotations

import time
from json import dumps
from typing import TYPE_CHECKING, Any

import click

from banno_creds.cli.groups import Group
from banno_creds.cli.options import CONFIG
from banno_creds.cli.parameters import Choice, Command, complete_profile, option
from banno_creds.cli.report import Report, write_result
from banno_creds.errors import ConfigurationError, OutputError
from banno_creds.storage import own_files
from banno_creds.text import printable
from banno_creds.times import duration, utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.tokens.cache import TokenCache
    from banno_creds.tokens.cache_entry import Entry


@click.group("cache", cls=Group)
def command() -> None:
    """Show or clear the cache of tokens.

    It is in your cache folder, or in the one that BANNO_CREDS_CACHE_DIR names; nobody else can read the folder or its
    files.
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
def list_entries(output: str) -> None:
    """List what is in the cache: for which client, from which server, how long it is valid. Never a token."""
    entries = _entries()
    now = time.time()
    described = [_describe(name, entry, now) for name, entry in entries.items()]
    if output == "json":
        write_result(dumps(described, indent=2))
    elif described:
        write_result("\n".join(_text(members) for members in described))
    else:
        Report().note("The cache is empty.")


@command.command("clear", cls=Command, short_help="Remove everything, or one profile's tokens, from the cache.")
@option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profile,
    command="cache-clear",  # BANNO_CREDS_PROFILE, which is for the other commands, must not leave the rest behind
    help="Remove only the tokens of this profile's client.",
)
@CONFIG
def clear(profile: str | None, config: str | None) -> None:
    """Remove everything from the cache. The tokens themselves stay valid until they expire."""
    belongs = None if profile is None else _of_profile(profile, config)
    cache = _open()
    try:
        removed = cache.clear(belongs) if cache is not None else 0
    except OSError as failure:
        raise OutputError(
            f"the cache could not be cleared: {own_files.words(failure)}",
            hint=own_files.hint_for(failure, "check who owns it and who may write it"),
        ) from None
    Report().note(f"Removed {removed} {'entry' if removed == 1 else 'entries'} from the cache.")


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
    members: dict[str, Any] = {"file": name + own_files.ENTRY, **entry.about, "state": "ended"}
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
    if "refused" in members:
        words = "that was" if "failure" in members else f"{printable(members['refused'])},"
        lines.append(f"    {words} {duration(members['refused_seconds_ago'])} ago")
    return "\n".join(lines)
