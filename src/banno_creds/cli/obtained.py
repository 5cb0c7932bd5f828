"""A token as the options say, and the answer that is kept for the same command line; see `recall`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.cli.parameters import CONFIG_FILE, WARNED, doctor_for
from banno_creds.cli.settings import credentials, run_for, session_store, wanted
from banno_creds.errors import BannoCredsError, ConfigurationError
from banno_creds.storage import own_files
from banno_creds.text import setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import click

    from banno_creds.cli.report import Report
    from banno_creds.login.refresh_token import SignedIn
    from banno_creds.serve.clients import Client
    from banno_creds.tokens.cache import TokenCache
    from banno_creds.tokens.client_credentials import ClientCredentials
    from banno_creds.tokens.response import TokenResponse


class Obtained(NamedTuple):
    """A token, and what its answer depends on; None if the answer cannot be kept."""

    response: TokenResponse
    recallable: Recallable | None

    def remember(self, arguments: Sequence[str], text: str) -> None:
        """Keep an answer with this token for the arguments that decide it."""
        if self.recallable is not None:
            self.recallable.remember(self.response, arguments, text)


def obtain(context: click.Context, values: Mapping[str, Any], report: Report) -> Obtained:
    """Obtain a token as the options say."""
    whose, run = credentials(context, values, report), run_for(context, report)
    looked = _look_at_files(context, values, whose) if values["quiet"] and not values["force_refresh"] else None
    cache = None if values["no_cache"] else whose.open_cache(run)
    response = whose.obtain(cache, wanted(values), run)
    from banno_creds.tokens.cache import TokenCache

    # A kept answer could not repeat the warning on standard error; and others may change what a shared cache has.
    if not isinstance(cache, TokenCache) or looked is None or report.warned or WARNED in context.meta:
        return Obtained(response, None)
    return Obtained(response, Recallable(whose, cache, looked, values["min_ttl"]))


def client_beside(context: click.Context, values: Mapping[str, Any], report: Report) -> Client:
    """Return the client that the options say, for an endpoint that runs beside a command."""
    from banno_creds.serve.clients import Client
    from banno_creds.tokens.client_credentials import ClientCredentials
    from banno_creds.tokens.token_source import TokenSource

    whose, run = credentials(context, values, report), run_for(context, report)
    if isinstance(whose, ClientCredentials):
        config = whose.config
        how: dict[str, Any] = {"on_disk": not values["no_cache"], "min_ttl": values["min_ttl"]}
        source = TokenSource(config, **how, emit=run.emit, clock=run.clock, sleep=run.sleep)
        if values["force_refresh"]:
            source.token(force_refresh=True)
        return Client(config.scope, config.resource, source.token, doctor_for(context))
    cache = None if values["no_cache"] else whose.open_cache(run)
    if cache is None:
        raise ConfigurationError(
            "a person's token is renewed for each request if it is not kept, and there is no cache",
            hint=f"leave {setting('no_cache')} out, or ask for the application's own token: --as application",
        )
    return Client(whose.found().scope, (), lambda: whose.obtain(cache, wanted(values), run), doctor_for(context))


def _look_at_files(
    context: click.Context, values: Mapping[str, Any], whose: ClientCredentials | SignedIn
) -> tuple[str, ...] | None:
    """Look at the files that the answer depends on (`recall.look`); return None if one cannot be looked at again."""
    from banno_creds import recall
    from banno_creds.config import find_config_file

    files = whose.files()
    if files is None:
        return None
    # If no profile was asked for, the file was not read.
    profiles = find_config_file(context.params["config"]) if CONFIG_FILE in context.meta else None
    folder = own_files.state_folder()
    logins = [] if folder is None else [folder]
    if folder is not None and os.path.isdir(folder):  # noqa: PTH112 - unlike Path's, it never raises
        store = session_store(context, values)
        logins = [] if store is None else [store.path, store.end_path]
    try:
        looked = tuple(recall.look(path) for path in (profiles, *logins, *files) if path is not None)
    except (OSError, ValueError):
        return None
    # The profiles were read a moment ago, and may have changed since.
    if profiles is not None and context.meta[CONFIG_FILE] != own_files.identity(profiles):
        return None
    return looked


class Recallable(NamedTuple):
    """What an answer with a token depends on, looked at before the token was obtained."""

    credentials: ClientCredentials | SignedIn
    cache: TokenCache
    looked: tuple[str, ...]
    min_ttl: int

    def remember(self, response: TokenResponse, arguments: Sequence[str], text: str) -> None:
        """Keep an answer, if the cache's entry of this key or login has the token that was obtained."""
        from banno_creds import recall

        good_for = (response.expires_in or 0) - self.min_ttl
        if good_for <= 0:
            return
        try:
            name = self.credentials.entry_name()
            if name is None or any(recall.look(line.partition(" ")[2]) != line for line in self.looked):
                return
            path = self.cache.path(name, own_files.ENTRY)
            identity = own_files.identity(path)
            entry = self.cache.read(name)
        except (OSError, ValueError, BannoCredsError):
            return
        if entry is not None and entry.access_token == response.access_token:
            life = recall.life_of(response.requested_at, good_for)
            recall.remember(arguments, path, identity, life, self.looked, text)
