"""The proxy that a request goes through, as the environment names it (on macOS and Windows, the system too).

Requests to loopback never go through a proxy: it would read what plain http carries.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import httpx

from banno_creds.config import is_loopback
from banno_creds.errors import ConfigurationError
from banno_creds.http.faults import PROXY_HINT


def proxy_for(url: str) -> httpx.Proxy | None:
    """Return the proxy for a URL; see `HttpClient.proxy_for`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    from importlib.util import find_spec
    from urllib.request import proxy_bypass

    _, chosen = _configured()
    if not chosen or proxy_bypass(host) or proxy_bypass(parts.netloc):
        return None
    # Any part of it may be a password: the error quotes none of it.
    try:
        proxy = httpx.Proxy(chosen if "://" in chosen else f"http://{chosen}")
    except (ValueError, httpx.InvalidURL):
        proxy = None
    if proxy is None or not proxy.url.raw_host or proxy.url.raw_path not in (b"", b"/") or proxy.url.fragment:
        raise ConfigurationError(
            "the proxy from the environment cannot be used: it is no URL like http://host:port",
            hint=f"{PROXY_HINT}; characters such as # / ? @ in its password have to be percent-encoded",
            rule="network.proxy",
        )
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            "the proxy from the environment is a SOCKS proxy, and what speaks to one is not installed",
            hint="pip install 'httpx[socks]'",
            rule="network.proxy",
        )
    return proxy


def named_by() -> str | None:
    """Return the variable that names a proxy for https, even if no URL goes through it; None if there is none."""
    return _configured()[0]


def _configured() -> tuple[str | None, str | None]:
    """Return the name of the setting, and its value, which may contain a password."""
    from urllib.request import getproxies

    proxies = getproxies()
    for variable in ("https_proxy", "all_proxy"):
        if chosen := proxies.get(variable.removesuffix("_proxy")):
            spellings = (variable, *(name for name in os.environ if name.lower() == variable))
            named = (name for name in spellings if os.environ.get(name) == chosen)
            return next(named, "the system's settings"), chosen
    return None, None
