"""Checks of single values, whatever gave them. Their messages name a setting by its field, see `text.setting`."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from banno_creds.errors import ConfigurationError
from banno_creds.text import is_placeholder, printable, quoted, setting, unseen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def is_url(text: str) -> bool:
    """Return whether a value that may be a file or a URL is a URL."""
    return text.lower().startswith(("http://", "https://"))


def is_loopback(host: str) -> bool:
    """Return whether a host name means this machine: ``localhost``, 127.0.0.0/8 or ::1.

    Names under ``.localhost`` do not: some resolvers ask the network for them.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_type(name: str, value: object, *kinds: type | None, hint: str | None = None) -> None:
    """Check a value's type, and never show the value, which may be a secret.

    Args:
        name: the setting's name.
        value: the value that a program gave.
        kinds: the types that it may have; None for None itself. A bool is no number here.
        hint: what to write instead.

    Raises:
        ConfigurationError: it has another type.
    """
    if type(value) in kinds:  # as nearly always; this is quick
        return
    classes = tuple(type(None) if kind is None else kind for kind in kinds)
    if not isinstance(value, classes) or (isinstance(value, bool) and bool not in classes):
        names = " or ".join("None" if kind is None else kind.__name__ for kind in kinds)
        raise ConfigurationError(f"{setting(name)} has to be {names}, not {type(value).__name__}", hint=hint)


def check_path(name: str, path: object, hint: str | None = None) -> None:
    """Check that a file is named by a Path, or is None; see `check_type`."""
    if path is not None:
        from pathlib import Path

        check_type(name, path, Path, None, hint=hint or f'write {name}=Path("…")')


def check_callable(name: str, value: object) -> None:
    """Check that a value can be called; ConfigurationError if not."""
    if not callable(value):
        raise ConfigurationError(
            f"{setting(name)} has to be a function, not {type(value).__name__}", hint="give the function itself"
        )


def check_claims(claims: Mapping[str, Any]) -> None:
    """Check that further claims can be sent as JSON; ConfigurationError if not."""
    if not claims:
        return
    from json import dumps

    try:
        dumps(claims := dict(claims), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as fault:
        raise ConfigurationError(f"{setting('claims')} cannot be JSON: {printable(fault, 80)}") from None
    for name in claims:
        check_type("claims", name, str, hint="name each claim by a text")


# OpenID Connect Discovery 1.0 section 4 puts it behind the issuer's path, RFC 8414 section 3 before it.
_DISCOVERY_DOCUMENT = (
    r"(?P<host>https?://[^/?]+)(?P<path>[^?]*?)/\.well-known/(?:openid-configuration|oauth-authorization-server)"
    r"(?P<after>/[^?]+?)?/?(?:\?.*)?"
)


def check_url(url: str, what: str) -> str:
    """Check that credentials may be sent to a URL: https, or plain http to this machine; return it.

    Messages call it ``what``.

    Raises:
        ConfigurationError: it names all faults at once.
    """
    odd = unseen(url)
    faults = [odd] if odd else []
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        shown = "(not shown)" if "@" in url else ascii(url)
        odd = f": {faults[0]}" if faults else ""
        raise ConfigurationError(f"{what} {shown} is no URL{odd}", hint="write it as https://host/path") from None
    if re.search(r"[^\x21-\x7e]", url):
        faults.append("it has white space or characters outside ASCII in it")
    if parts.scheme not in ("http", "https"):
        faults.append("it does not start with https://")
    elif not host:
        faults.append("it names no host")
    elif parts.scheme == "http" and not is_loopback(host):
        faults.append("plain http is for loopback only; others could read on the way what is sent there")
    if host and _is_no_host(host):
        faults.append(f"its host {host!a} is a placeholder")
    if parts.username is not None or parts.password is not None:
        faults.append("it carries a user name or password")
    if parts.fragment or url.endswith("#"):
        faults.append("it has a fragment (#…)")
    if faults:
        shown = url if parts.username is None and parts.password is None else "(not shown)"
        raise ConfigurationError(
            f"{what} {shown!a} cannot be used: {'; '.join(faults)}",
            hint="write it as the provider documents it, with https://; http:// is for localhost alone",
        )
    document = re.fullmatch(_DISCOVERY_DOCUMENT, url) if "/.well-known/" in url else None
    if document is not None:
        issuer = document["host"] + document["path"] + (document["after"] or "")
        raise ConfigurationError(
            f"{what} is given by the address of a discovery document: {url}",
            hint=f"give the issuer alone: {setting('issuer')} {issuer}",
            rule="discovery.issuer",
        )
    return url


def _is_no_host(host: str) -> bool:
    """Return whether an example's host was never replaced: see RFC 2606 for the names that no server has."""
    return (
        bool(set(host) & set("<>{}$*()"))
        or host.strip("%[]") != host
        or host.startswith(("your-", "your.", "your_", "yourserver", "yourhost", "yourdomain", "yourbank"))
        or f".{host}".endswith((".example.com", ".example.net", ".example.org"))
    )


def check_origin(url: str, what: str) -> str:
    """Check that a URL is an origin (RFC 6454 section 4) for credentials; return it without a slash at its end.

    Raises:
        ConfigurationError: it cannot be used, or has a path.
    """
    check_url(url, what)
    if urlsplit(url).path not in ("", "/") or "?" in url:
        raise ConfigurationError(
            f"{what} {url!a} has more in it than scheme, host and port",
            hint="write it as https://host; the path belongs to each request",
        )
    return url.rstrip("/")


def check_duration(name: str, text: str) -> int:
    """Return a duration such as ``7d`` in seconds; ConfigurationError if it is none."""
    from banno_creds.times import seconds_of

    check_type(name, text, str, hint=f'write {name}="7d"')
    try:
        return seconds_of(text)
    except ValueError as fault:
        raise ConfigurationError(f"{setting(name)} {quoted(text)} is no duration", hint=str(fault)) from None


def check_seconds(name: str, seconds: int, least: int, most: int, default: int) -> None:
    """Refuse a number of seconds outside its bounds, with a ConfigurationError that names the setting."""
    check_type(name, seconds, int)
    if not least <= seconds <= most:
        raise not_seconds(name, str(max(-(10**9), min(seconds, 10**9))), f"{least} to {most} s", default)


def not_seconds(name: str, seconds: str, range_: str, default: float) -> ConfigurationError:
    """Return the fault of a setting whose seconds are out of range."""
    return ConfigurationError(
        f"{setting(name)} must be {range_}, not {seconds} s", hint=f"leave {setting(name)} out for {default:g} s"
    )


CLIENT_ID_NAMES = r"(?:oauth[-_ ]?)?(?:client|app|application)[-_ ]?id(?:entifier)?|uuid|guid"
"""What examples have in the place of a client ID, for `text.is_placeholder`."""


def check_client_id(client_id: str) -> None:
    """Check that a client ID is complete, and nothing else was copied with it; ConfigurationError if not."""
    if not client_id:
        raise ConfigurationError(
            "the client ID is empty", hint="Users & Groups shows it after the application was saved"
        )
    # RFC 6749 appendix A.1: VSCHAR. White space around it is a line end that was copied by mistake.
    odd = unseen(client_id)
    if odd is not None or not re.fullmatch(r"[\x20-\x7e]+", client_id):
        around = odd is not None and not odd.startswith("it has a")
        words = "white space or quotation marks around it" if around else "characters outside ASCII in it"
        raise ConfigurationError(
            f"the client ID {client_id!a} has {words}" + (f": {odd}" if odd else ""),
            hint="copy it again from Users & Groups; in CI, look at the secret's last character",
        )
    if is_placeholder(client_id, CLIENT_ID_NAMES):
        raise ConfigurationError(
            f"the client ID {client_id!a} is a placeholder: somebody, or a CI job, did not fill it in",
            hint="give the one that Users & Groups shows; in CI, check how the variable is filled in",
            rule="client_id.placeholder",
        )


def check_scope(scope: Iterable[str]) -> None:
    """Check scope values (RFC 6749 section 3.3).

    Raises:
        ConfigurationError: one cannot be sent, is a placeholder, or is a list with commas.
    """
    scope = tuple(scope)
    check_texts("scope", scope)
    for value in scope:
        if "," in value:
            from banno_creds.shells import quote

            words = " ".join(" ".join(scope).replace(",", " ").split())
            raise ConfigurationError(
                f"{setting('scope')} {value!a} has a comma in it, and scopes are separated by blanks",
                hint=f"write {setting('scope')} {quote(words)}",
            )
    _check_filled_in("scope", scope, "scopes?", "name a scope that the application was given")


def check_resource(resource: Iterable[str]) -> None:
    """Check resource indicators (RFC 8707); ConfigurationError if one cannot be sent, or is a placeholder."""
    resource = tuple(resource)
    check_texts("resource", resource)
    _check_filled_in("resource", resource, "resources?", "give the API's URI, or leave it out")


def check_kid(kid: str | None) -> None:
    """Check a key ID; ConfigurationError if it cannot be sent, or is a placeholder."""
    check_texts("kid", [kid])
    if kid != "thumbprint":
        _check_filled_in("kid", [kid], "kid|key[-_ ]?id", f"leave {setting('kid')} out, or give the key's")


def check_aud(aud: str | None) -> None:
    """Check an audience; ConfigurationError if it cannot be sent, or is a placeholder."""
    check_texts("aud", [aud])
    _check_filled_in("aud", [aud], "aud(?:ience)?", f"leave {setting('aud')} out for the token endpoint")


def _check_filled_in(name: str, texts: Iterable[str | None], what: str, hint: str) -> None:
    for text in texts:
        if text is not None and is_placeholder(text, what):
            raise ConfigurationError(f"{setting(name)} {text!a} is a placeholder", hint=hint)


_AROUND = " \"'"


def check_texts(name: str, texts: Iterable[str | None], *, whole: bool = True) -> None:
    """Check that the texts of a setting can be sent.

    Args:
        name: the setting's name.
        texts: its texts.
        whole: whether blanks and quotation marks around a text were copied with it by mistake.

    Raises:
        ConfigurationError: one has a control character in it, or something around it.
    """
    for text in texts:
        if text is not None and not text.isprintable():
            raise ConfigurationError(
                f"{setting(name)} has a control character in it, such as a line end: {unseen(text)}",
                hint="take it out; in CI, look at the last character of a variable",
            )
        if text and whole and (text[0] in _AROUND or text[-1] in _AROUND):
            raise ConfigurationError(
                f"{setting(name)} {text!a} cannot be right: {unseen(text)}",
                hint="take that out; env-files and Windows' cmd keep quotation marks in a value",
            )


def check_names(name: str, names: Iterable[str], reserved: Mapping[str, str]) -> None:
    """Check that further claims or parameters contradict nothing that banno-creds sends itself.

    ConfigurationError if one does. ``reserved`` has the names that are not allowed, each with the field that sets it,
    if there is one.
    """
    for each in names:
        if each in reserved:
            raise ConfigurationError(
                f"{setting(name)} {each}=… would contradict what banno-creds sends itself",
                hint=f"use {setting(reserved[each])}" if reserved[each] else "leave it out",
            )
