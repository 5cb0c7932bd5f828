"""``banno-creds token``: the access token for a script, from the cache where it can be."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from banno_creds import cache_files
from banno_creds.cli.forms import FORMS, FORMS_HELP, write_token
from banno_creds.cli.options import CONFIG_FILE, WARNED, Command, cache_options, client_config, option, report_for
from banno_creds.config import KEY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from banno_creds.config import ClientConfig
    from banno_creds.report import Report
    from banno_creds.token_cache import TokenCache
    from banno_creds.token_endpoint import TokenResponse


@click.command("token", cls=Command)
@cache_options
@option(
    "--output",
    "-o",
    command="token",
    type=click.Choice(FORMS),
    default="token",
    show_default=True,
    section="Output",
    help=FORMS_HELP,
)
@click.pass_context
def command(context: click.Context, /, output: str, **values: Any) -> None:
    """Print an access token, and nothing else: from the cache while it is good for another minute, else a new one.

    \b
    curl -H "Authorization: Bearer $(banno-creds token)" https://banno.com/…

    However many ask at once, the server is asked once. A refusal is remembered for 30 s, so that a loop does not get
    this address blocked.
    """  # noqa: D301 - click knows a paragraph that it must not wrap by this character
    report = report_for(values)
    obtained = obtain(context, values, report)
    report.end()
    text = write_token(obtained.response, output)
    if output not in ("github", "json"):  # the one writes files as well, the other tells how long the token lives
        obtained.remember(context.find_root().obj, text + "\n")


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
    from banno_creds.flow import obtain_token
    from banno_creds.token_cache import open_cache

    config = client_config(context, values)
    files = _look_at_files(context, config) if values["quiet"] and not values["force_refresh"] else None
    cache = None if values["no_cache"] else open_cache(report.step)
    options = {name: values[name] for name in ("min_ttl", "force_refresh")}
    response = obtain_token(config, cache, report.step, **options)
    # What was said on standard error would have to be said again.
    if cache is None or files is None or report.warned or WARNED in context.meta:
        return Obtained(response, None)
    return Obtained(response, Recallable(config, cache, files, values["min_ttl"]))


def _look_at_files(context: click.Context, config: ClientConfig) -> list[str] | None:
    """Look at the files that the answer depends on; None if they cannot be looked at again."""
    from banno_creds import recall
    from banno_creds.config import find_config_file

    source = config.private_key
    if source.path is None and source.origin != KEY_VARIABLE:
        return None  # the key came by standard input, and would be another the next time
    # Without a profile on purpose, the file was not read.
    profiles = find_config_file(context.params["config"]) if CONFIG_FILE in context.meta else None
    try:
        files = [recall.look(str(path)) for path in (profiles, source.path) if path is not None]
    except (OSError, ValueError):
        return None
    # It was read a moment ago, and what was looked at now may be newer than that.
    if profiles is not None and context.meta[CONFIG_FILE] != cache_files.identity(profiles):
        return None
    return files


class Recallable(NamedTuple):
    """What an answer with a token depends on, all of it looked at before the token was obtained."""

    config: ClientConfig
    cache: TokenCache
    files: Sequence[str]
    min_ttl: int

    def remember(self, response: TokenResponse, arguments: Sequence[str], text: str) -> None:
        """Keep an answer, if the entry of this very key has the token that was obtained.

        Args:
            response: the token.
            arguments: the command line, or as much of it as decides the answer.
            text: the answer.
        """
        from banno_creds import recall
        from banno_creds.token_cache import request_of

        good_for = (response.expires_in or 0) - self.min_ttl
        if good_for <= 0:
            return
        source = self.config.private_key
        try:
            key = source.content if source.path is None else source.path.read_bytes()
            if key is None or (source.path is not None and not self.files[-1].startswith(sha256(key).hexdigest())):
                return  # it is another one meanwhile
            path = self.cache.path(request_of(self.config, key).name, cache_files.ENTRY)
            identity = cache_files.identity(path)
            entry = self.cache.read(request_of(self.config, key).name)
        except (OSError, ValueError):
            return
        if entry is not None and entry.access_token == response.access_token:
            life = recall.life_of(response.requested_at, good_for)
            recall.remember(arguments, path, identity, life, self.files, text)
