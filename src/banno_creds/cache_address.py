"""Where a shared cache is: the URL of a Redis or Valkey server, taken apart and checked."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from banno_creds.errors import ConfigurationError
from banno_creds.text import quoted, setting, unseen

_PORT = 6379
_MOST_DATABASE = 10_000  # Redis has 16 by itself
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")  # as redis-py calls them in a URL
_ESCAPES = "%40 for @, %3A for :, %2F for /, %3F for ? and %23 for #"
_FORMS = "write it as rediss://HOST:PORT/0, redis://HOST:PORT/0 or unix:///PATH?db=0"


class CacheAddress(NamedTuple):
    """The parts of a shared cache's URL.

    ``path`` is that of a Unix socket, and empty for a server with a ``host``. ``authorities`` is a file to trust,
    ``certificate`` and ``key`` are files of the client's own certificate, all of them empty in most cases.
    """

    scheme: str
    host: str
    port: int
    path: str
    database: int
    user: str
    password: str
    authorities: str = ""
    certificate: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return f"CacheAddress({self.shown!r})"

    @property
    def shown(self) -> str:
        """The place without user and password, for messages."""
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def read_cache_url(url: str) -> CacheAddress:
    """Take a shared cache's URL apart; what it names is not looked at.

    Raises:
        ConfigurationError: it cannot be used. The message never has its password.
    """
    if odd := unseen(url):
        raise _unusable(f"cannot be used: {odd}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _unusable("is no URL", f"{_FORMS}; in a password, write {_ESCAPES}") from None
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("redis", "rediss", "unix"):
        shown = f" begins with {quoted(scheme)}, and" if scheme and "://" in url else ""
        raise _unusable(f"{shown.strip()} names no Redis or Valkey server".strip())
    if parts.fragment or url.endswith("#"):
        raise _unusable("has a fragment (#…)", f"in a password, write {_ESCAPES}")
    path = ""
    database = options.pop("db", "")
    if scheme == "unix":
        path = unquote(f"{host}{parts.path}" if host in ("", ".") else "")
        if not path.startswith(("/", "./")) or path.endswith("/") or not path.isprintable():
            raise _unusable("names no Unix socket: its path begins after unix://, with a third /")
        host = ""
    else:
        if not host or not re.fullmatch(r"[A-Za-z0-9._:%-]+", host):
            raise _unusable("names no host")
        database = parts.path.strip("/") or database
    if not re.fullmatch(r"[0-9]{0,5}", database, re.ASCII) or int(database or 0) > _MOST_DATABASE:
        raise _unusable("names no database: it is a number, such as /0")
    files = [options.pop(name, "") for name in _FILES]
    if options:
        # A password with a question mark would be here, and no message shows it.
        names = [name for name in options if re.fullmatch("[a-z_]{1,40}", name) and "@" not in parts.query]
        what = f"the option {names[0]}" if names else "an option"
        raise _unusable(
            f"has {what} in it, which means nothing here", f"take it out; in a password, write {_ESCAPES}"
        )
    if any(files) and scheme != "rediss":
        raise _unusable("names certificates, and uses no TLS", "write it with rediss://")
    if bool(files[2]) > bool(files[1]):
        raise _unusable("names ssl_keyfile without ssl_certfile", "name the client's certificate too")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return CacheAddress(
        scheme, host, _PORT if port is None else port, path, int(database or 0), user, password, *files
    )


def check_cache_url(url: str) -> None:
    """Check a URL that others may read, as that of an option or a profile.

    Raises:
        ConfigurationError: it cannot be used, or has a password in it.
    """
    if read_cache_url(url).password:
        raise ConfigurationError(
            f"{setting('cache_url')} has a password in it (not shown here), and others can read it there",
            hint=f"put it into a file, and name that with {setting('cache_password_file')}; "
            "or give the whole URL in BANNO_CREDS_CACHE_URL",
        )


def _unusable(fault: str, hint: str = _FORMS) -> ConfigurationError:
    return ConfigurationError(f"{setting('cache_url')} {fault}", hint=hint)
