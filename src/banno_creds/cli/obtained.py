"""A token as the options say, and what the same command line can be answered with the next time; see `recall`."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.cli.options import CONFIG_FILE, WARNED, credentials, session_store
from banno_creds.config import KEY_VARIABLE
from banno_creds.errors import BannoCredsError
from banno_creds.storage import own_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import click

    from banno_creds.cli.report import Report
    from banno_creds.config import ClientConfig
    from banno_creds.login.authorization_code import SignedIn
    from banno_creds.tokens.cache import TokenCache
    from banno_creds.tokens.response import TokenResponse


class Obtained(NamedTuple):
    """A token, and what the same command line can be answered with the next time."""

    response: TokenResponse
    recallable: Recallable | None

    def remember(self, arguments: Sequence[str], text: str) -> None:
        """Keep an answer with this token for `recall`, if it can be given again.

        Args:
            arguments: the command line, or as much of it as decides the answer.
            text: the answer.
        """
        if self.recallable is not None:
            self.recallable.remember(self.response, arguments, text)


def obtain(context: click.Context, values: Mapping[str, Any], report: Report) -> Obtained:
    """Obtain a token as the options say; see `flow.obtain_token`.

    Args:
        context: the command's context.
        values: the values of `cache_options`.
        report: where the steps are shown.

    Returns:
        The token.

    Raises:
        BannoCredsError: see `flow.obtain_token`.
    """
    from banno_creds.tokens.cache import open_cache
    from banno_creds.tokens.client_credentials import obtain_token

    config = credentials(context, values)
    looked = _look_at_files(context, values, config) if values["quiet"] and not values["force_refresh"] else None
    cache = None if values["no_cache"] else open_cache(report.step)
    options = {name: values[name] for name in ("min_ttl", "force_refresh")}
    response = obtain_token(config, cache, report.step, **options)
    # What was said on standard error would have to be said again.
    if cache is None or looked is None or report.warned or WARNED in context.meta:
        return Obtained(response, None)
    return Obtained(response, Recallable(config, cache, looked, values["min_ttl"]))


class _Looked(NamedTuple):
    """What `recall.look` said of the files that an answer depends on; None for one that it does not depend on."""

    profiles: str | None
    login: str | None
    key: str | None


def _look_at_files(
    context: click.Context, values: Mapping[str, Any], config: ClientConfig | SignedIn
) -> _Looked | None:
    """Look at the files that the answer depends on; None if they cannot be looked at again."""
    from banno_creds import recall
    from banno_creds.config import ClientConfig, find_config_file

    key = None
    if isinstance(config, ClientConfig):
        key = config.private_key.path
        if key is None and config.private_key.origin != KEY_VARIABLE:
            return None  # the key came by standard input, and would be another the next time
    # Without a profile on purpose, the file was not read.
    profiles = find_config_file(context.params["config"]) if CONFIG_FILE in context.meta else None
    login = own_files.state_folder()
    if login is not None and os.path.isdir(login):  # noqa: PTH112 - unlike Path's, it never raises
        store = session_store(context, values)
        login = None if store is None else store.path
    try:
        looked = _Looked(*(None if path is None else recall.look(str(path)) for path in (profiles, login, key)))
    except (OSError, ValueError):
        return None
    # It was read a moment ago, and what was looked at now may be newer than that.
    if profiles is not None and context.meta[CONFIG_FILE] != own_files.identity(profiles):
        return None
    return looked


class Recallable(NamedTuple):
    """What an answer with a token depends on, all of it looked at before the token was obtained."""

    config: ClientConfig | SignedIn
    cache: TokenCache
    looked: _Looked
    min_ttl: int

    def remember(self, response: TokenResponse, arguments: Sequence[str], text: str) -> None:
        """Keep an answer, if the entry of this very key or login has the token that was obtained.

        Args:
            response: the token.
            arguments: the command line, or as much of it as decides the answer.
            text: the answer.
        """
        from banno_creds import recall

        good_for = (response.expires_in or 0) - self.min_ttl
        if good_for <= 0:
            return
        try:
            name = self._entry_name()
            if name is None:
                return
            path = self.cache.path(name, own_files.ENTRY)
            identity = own_files.identity(path)
            entry = self.cache.read(name)
        except (OSError, ValueError, BannoCredsError):
            return
        if entry is not None and entry.access_token == response.access_token:
            life = recall.life_of(response.requested_at, good_for)
            files = [line for line in self.looked if line is not None]
            recall.remember(arguments, path, identity, life, files, text)

    def _entry_name(self) -> str | None:
        """The name of the cache's entry; None if what it depends on is another thing meanwhile."""
        from banno_creds.config import ClientConfig

        if not isinstance(self.config, ClientConfig):
            from banno_creds.login import authorization_code as login

            session = self.config.store.read()
            return None if session is None else login.request_of(session, self.config.client.client_id).name
        from banno_creds.tokens.cache import request_of

        source = self.config.private_key
        key = source.content if source.path is None else source.path.read_bytes()
        if key is None or (self.looked.key and not self.looked.key.startswith(sha256(key).hexdigest())):
            return None
        return request_of(self.config, key).name
