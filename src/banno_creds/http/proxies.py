"""The proxy that a request goes through, as the environment names it (on macOS and Windows, the system too).

Requests to loopback never go through a proxy: it would read what plain http carries.
"""

from __future__ import annotations

import os
import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from banno_creds.config import is_loopback
from banno_creds.errors import ConfigurationError
from banno_creds.http.faults import PROXY_HINT

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


def proxy_for(url: str) -> httpx.Proxy | None:
    """Return the proxy for a URL; see `HttpClient.proxy_for`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    from importlib.util import find_spec

    _, chosen = _configured()
    if not chosen or _is_excepted(url):
        return None
    chosen = chosen.strip(" \t\r\n\"'")
    if re.match(r"socks(?:4a?)?://", chosen, re.IGNORECASE):
        raise ConfigurationError(
            "the proxy from the environment is a SOCKS proxy of a version that is not spoken here",
            hint="write socks5:// if it speaks SOCKS 5",
            rule="network.proxy",
        )
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


def _is_excepted(url: str) -> bool:
    """Return whether NO_PROXY, or the system's settings where no variable names a proxy, except a URL."""
    from urllib.request import getproxies_environment, proxy_bypass

    parts = urlsplit(url)
    if not getproxies_environment():
        return bool(proxy_bypass(parts.hostname or ""))
    return any(_excepts(entry, url) for entry in _entries())


def _entries() -> list[str]:
    """Return the entries of NO_PROXY, which commas separate; some write blanks or semicolons."""
    from urllib.request import getproxies_environment

    return [entry for entry in re.split(r"[\s,;]+", getproxies_environment().get("no", "")) if entry]


def _excepts(entry: str, url: str) -> bool:
    """Return whether an entry of NO_PROXY excepts a URL, by all the forms that curl, Go or requests know.

    ``*``, a name with its subdomains, with a dot or an asterisk before it or a dot behind it, an address, a range of
    addresses, each but the last with a port or a scheme.
    """
    if entry == "*":
        return True
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)
    address = _address(host)
    if "/" in entry and (network := _network(entry)) is not None:
        return address is not None and address in network
    entry = re.sub(r"\A[a-z][a-z0-9+.-]*://", "", entry.lower()).partition("/")[0]
    name, _, its_port = entry.rpartition(":")
    if not its_port.isdecimal() or (":" in name and not name.endswith("]")):  # such as an IPv6 address
        name, its_port = entry, ""
    if its_port and int(its_port) != port:
        return False
    name = name.lstrip("*").strip(".[]")
    if address is not None or not name:
        return address is not None and address == _address(name)
    return host == name or host.endswith(f".{name}")


_PORTS = {"https": 443, "http": 80}


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None


def without_effect(url: str) -> list[str]:
    """Return the entries of NO_PROXY that look as if they were meant for a URL, and do not except it."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    labels = host.split(".")
    domain = ".".join(labels[:2] if _address(host) is not None else labels[-2:])
    return [entry for entry in _entries() if domain in entry.lower() and not _excepts(entry, url)]


def other_spelling() -> tuple[str, str] | None:
    """Return the variable in use, and its spelling in the other case if that names another proxy."""
    name, chosen = _configured()
    others = (each for each in os.environ if each.lower() == (name or "").lower() and os.environ[each] != chosen)
    other = next((each for each in others if os.environ[each]), None)
    return None if name is None or other is None else (name, other)


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
