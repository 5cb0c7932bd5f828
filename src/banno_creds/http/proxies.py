"""The proxy that a request goes through, as the environment names it (on macOS and Windows, the system too).

Requests to loopback never go through a proxy: it would read what plain http carries.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from banno_creds.checks import is_loopback
from banno_creds.errors import ConfigurationError
from banno_creds.http.faults import PROXY_HINT

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


SYSTEM = "the system's settings"
"""What names a proxy if no variable does."""


def proxy_for(url: str) -> httpx.Proxy | None:
    """Return the proxy for a URL; see `HttpClient.proxy_for`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    from importlib.util import find_spec

    named_by, chosen = _configured()
    if not chosen or _is_excepted(url):
        return None
    origin = named_by if named_by == SYSTEM else "the environment"
    chosen = chosen.strip(" \t\r\n\"'")
    if re.match(r"socks(?:4a?)?://", chosen, re.IGNORECASE):
        raise ConfigurationError(
            f"the proxy from {origin} is a SOCKS proxy of a version that is not spoken here",
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
            f"the proxy from {origin} cannot be used: it is no URL like http://host:port",
            hint=f"{PROXY_HINT}; characters such as # / ? @ in its password have to be percent-encoded",
            rule="network.proxy",
        )
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            f"the proxy from {origin} is a SOCKS proxy, and what speaks to one is not installed",
            hint='pip install "httpx[socks]"',
            rule="network.proxy",
        )
    return proxy


def _is_excepted(url: str) -> bool:
    """Return whether NO_PROXY, or the system's settings where they name the proxy, except a URL."""
    if any(_excepts(entry, url) for entry in _entries()):
        return True
    if sys.platform == "win32":
        return not _named_by_variables() and any(_system_excepts(entry, url) for entry in _system_entries())
    from urllib.request import getproxies_environment, proxy_bypass

    return not getproxies_environment() and bool(proxy_bypass(urlsplit(url).hostname or ""))


def _named_by_variables() -> dict[str, str]:
    from urllib.request import getproxies_environment

    return {scheme: proxy for scheme, proxy in getproxies_environment().items() if scheme != "no"}


def _system_entries() -> list[str]:
    """Return the entries of Windows' own exceptions."""
    return [entry for entry in re.split(r"[\s;]+", _windows_setting("ProxyOverride")) if entry]


def _system_excepts(entry: str, url: str) -> bool:
    """Return whether an entry of Windows' exceptions excepts a URL: a pattern, with a scheme or a port perhaps.

    urllib's own function asks the resolver too, without a bound, and reads an entry as a regular expression.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if entry.lower() == "<local>":
        return "." not in host and _address(host) is None
    scheme, _, rest = entry.lower().rpartition("://")
    name, _, port = rest.partition("/")[0].rpartition(":")
    if not port.isdecimal() or (":" in name and not name.endswith("]")):
        name, port = rest.partition("/")[0], ""
    if (scheme and scheme != parts.scheme) or (port and int(port) != (parts.port or _PORTS.get(parts.scheme))):
        return False
    pattern = re.escape(name.strip("[]")).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(pattern, host) is not None


def script() -> bool:
    """Return whether Windows finds its proxy by a script (PAC), which is not read here."""
    return sys.platform == "win32" and bool(_windows_setting("AutoConfigURL"))


def _windows_setting(name: str) -> str:
    """Return a text of Windows' proxy settings; empty if there is none."""
    if sys.platform == "win32":
        import winreg

        with suppress(OSError), winreg.OpenKey(winreg.HKEY_CURRENT_USER, _WINDOWS_SETTINGS) as key:
            return str(winreg.QueryValueEx(key, name)[0])
    return ""


_WINDOWS_SETTINGS = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"


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
    import urllib.request

    proxies = urllib.request.getproxies()
    if sys.platform == "win32" and proxies.keys() == {"no"}:  # NO_PROXY alone names none
        proxies = urllib.request.getproxies_registry()  # type: ignore[attr-defined]
    for variable in ("https_proxy", "all_proxy"):
        if chosen := proxies.get(variable.removesuffix("_proxy")):
            in_use = [name for name in os.environ if name.lower() == variable]
            # On Windows any case will do, and so the first would always be found.
            spellings = (*in_use, variable) if sys.platform == "win32" else (variable, *in_use)
            named = (name for name in spellings if os.environ.get(name) == chosen)
            return next(named, SYSTEM), chosen
    return None, None
