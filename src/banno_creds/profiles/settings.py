"""The settings that a profile may hold, and their checks.

The same checks are for a profile in a file and for one that `profile add` is about to write. Messages name a setting
by its field, see `text.setting`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.checks import (
    check_aud,
    check_client_id,
    check_duration,
    check_kid,
    check_origin,
    check_scope,
    check_url,
)
from banno_creds.config import (
    ALGORITHMS,
    CLIENT_AUTHENTICATIONS,
    ENVIRONMENTS,
    REGISTRATIONS,
    RESERVED_CLAIMS,
    RESERVED_PARAMS,
    WHOSE,
    check_lifetime,
    check_min_ttl,
    check_redirect_uri,
    check_timeout,
)
from banno_creds.errors import ConfigurationError
from banno_creds.key_uri import check_key_uri, is_key_uri
from banno_creds.profiles.names import nearest, quoted
from banno_creds.secrecy import is_private_key
from banno_creds.text import printable, setting, unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

PATHS = (
    *("private_key", "passphrase_file", "client_secret_file", "ca_bundle"),
    *("cache_secret_file", "cache_password_file"),
)
FILES = (*PATHS, "jwks_file")
"""The settings that are paths; the last one may name a file that is made later."""
SETTINGS = (
    *("client_id", "private_key", "passphrase_file", "client_secret_file", "client_auth", "client_id_in_body"),
    *("key_max_age", "registration", "jwks_file", "jwks_uri", "rotation_wait", "rotation_keep"),
    *("alg", "kid", "aud", "lifetime", "iat", "claims"),
    *("environment", "token_endpoint", "issuer", "timeout", "ca_bundle"),
    *("scope", "resource", "params", "min_ttl"),
    *("cache_url", "cache_secret_file", "cache_password_file"),
    *("as", "redirect_uri", "prompt", "api_base", "tags"),
)
"""The settings of a profile: the names of the long options, with underscores.

An option that switches a check off, or is for one run only, is no setting.
"""

_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "client_id": check_client_id,
    "private_key": check_key_uri,
    "jwks_uri": lambda url: check_url(url, setting("jwks_uri")),
    "rotation_wait": lambda text: check_duration("rotation_wait", text),
    "rotation_keep": lambda text: check_duration("rotation_keep", text),
    "key_max_age": lambda text: check_duration("key_max_age", text),
    "kid": check_kid,
    "aud": check_aud,
    "lifetime": check_lifetime,
    "timeout": check_timeout,
    "min_ttl": check_min_ttl,
    "token_endpoint": lambda url: check_url(url, setting("token_endpoint")),
    "issuer": lambda url: check_url(url, setting("issuer")),
    "redirect_uri": check_redirect_uri,
    "scope": lambda scope: check_scope(scope if isinstance(scope, list) else scope.split()),
    "api_base": lambda url: check_origin(url, setting("api_base")),
    "tags": lambda tags: check_tags([tags] if isinstance(tags, str) else tags),
    "cache_url": lambda url: _check_cache_url(url),
}


def _check_cache_url(url: str) -> None:
    from banno_creds.cache_address import check_cache_url  # few profiles have one

    check_cache_url(url)


_CHOICES: Mapping[str, Collection[str]] = {
    "alg": ALGORITHMS,
    "environment": ENVIRONMENTS,
    "client_auth": CLIENT_AUTHENTICATIONS,
    "as": WHOSE,
    "registration": REGISTRATIONS,
}
_EXAMPLES = {
    "lifetime": "60",
    "key_max_age": '"400d"',
    "min_ttl": "60",
    "timeout": "30",
    "iat": "true",
    "client_id_in_body": "true",
    "client_auth": '"post"',
    "scope": '["openid"]',
    "alg": '"PS256"',
    "environment": '"production"',
    "as": '"application"',
    "registration": '"jwks-uri"',
    "rotation_wait": '"1d"',
    "rotation_keep": '"7d"',
    "private_key": '"private.pem"',
    "tags": '["core"]',
    "cache_url": '"rediss://cache.bank.internal"',
}
TABLES = ("claims", "params")
"""The settings that are tables."""
LISTS = ("scope", "resource", "prompt", "tags")
"""The settings that are one text, or several."""
_ENDPOINTS = ("token_endpoint", "issuer", "environment")

# The types of numbers and switches, and their names; every other setting is text. To isinstance, true is a number.
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "iat": ((bool,), "true or false"),
    "client_id_in_body": ((bool,), "true or false"),
    "timeout": ((int, float), "a number of seconds"),
    "lifetime": ((int,), "a whole number of seconds"),
    "min_ttl": ((int,), "a whole number of seconds"),
}
_TYPE_NAMES: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "a table",
}
_MOST_NUMBER = 2**63  # TOML's own limit, which tomllib does not keep

# People write these next to the other settings. None belongs into a file that is copied and shared.
_INTO_A_FILE = "into a file that you alone can read, and name that file:"
_PASSPHRASE = f"put it {_INTO_A_FILE} {setting('passphrase_file')}"
SECRETS: Mapping[str, str] = {
    "passphrase": _PASSPHRASE,
    "private_key_passphrase": _PASSPHRASE,
    "password": _PASSPHRASE,
    "private_key_pem": f"name the file that holds the key: {setting('private_key')}",
    "client_secret": f"put it {_INTO_A_FILE} {setting('client_secret_file')}",
    "access_token": "take it out: banno-creds asks for a token when it needs one",
    "token": "take it out: banno-creds asks for a token when it needs one",
    "secret": "take it out",
    "cache_password": f"put it {_INTO_A_FILE} {setting('cache_password_file')}",
    "cache_secret": f"put it {_INTO_A_FILE} {setting('cache_secret_file')}",
}


class Fault(NamedTuple):
    """A fault in a profile: the setting that has it, a message, and what to do."""

    setting: str
    message: str
    hint: str


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check the settings of a profile that is about to be written."""
    fault = find_fault(settings)
    if fault is not None:
        raise ConfigurationError(fault.message, hint=fault.hint)


def find_fault(settings: Mapping[str, Any]) -> Fault | None:
    """Return the first fault in a profile's settings; None if there is none."""
    # Secrets first, so that no other fault can show one.
    for name, value in settings.items():
        if name in SECRETS:
            return Fault(name, f"{name} is a secret, and has no place in this file (not shown here)", SECRETS[name])
        if _holds_key(name) or _holds_key(value):
            shown = setting(name) if name in SETTINGS else quoted(name)
            hint = f"put the key {_INTO_A_FILE} {setting('private_key')}"
            return Fault(name, f"{shown} holds what looks like a private key (not shown here)", hint)
    for name, value in settings.items():
        if name not in SETTINGS:
            near = nearest(name, SETTINGS)
            hint = f"did you mean {near}?" if near else f"the settings are {', '.join(SETTINGS)}"
            return Fault(name, f"there is no setting {quoted(name)}", hint)
        fault = _find_fault_in(name, value)
        if fault is not None:
            return Fault(name, *fault)
    if {"private_key", "client_secret_file"} <= settings.keys():
        words = f"{setting('private_key')} and {setting('client_secret_file')} exclude each other"
        return Fault("client_secret_file", words, "leave one of them out; a signed JWT is the safer one")
    given = [name for name in _ENDPOINTS if name in settings]
    if len(given) > 1:
        words = f"{' and '.join(map(setting, given))} exclude each other: only one of them can name the endpoint"
        return Fault(given[1], words, "leave one of them out")
    return None


def check_tags(tags: Iterable[str]) -> None:
    """Check the tags of a profile; ConfigurationError if one could not be typed, or told from two."""
    for tag in tags:
        if tag.split() != [tag] or tag.startswith("-") or "," in tag:
            raise ConfigurationError(
                f"{quoted(tag)} cannot be a tag",
                hint="a tag is one word without a blank or a comma, and does not start with -",
            )


def _holds_key(value: object) -> bool:
    if isinstance(value, str):
        return is_private_key(value)
    if isinstance(value, dict):
        return {"kty", "d"} <= value.keys() or any(_holds_key(part) for pair in value.items() for part in pair)
    if isinstance(value, list):  # also one that was split at its white space
        return any(map(_holds_key, value)) or is_private_key(
            " ".join(part for part in value if isinstance(part, str))
        )
    return False


def _find_fault_in(name: str, value: Any) -> tuple[str, str] | None:
    """Return the message and the hint for the first fault in a setting's value."""
    if name in TABLES:
        return _find_fault_in_table(name, value)
    fault = _find_fault_in_number(name, value) if name in _TYPES else _find_fault_in_text(name, value)
    if fault is not None:
        return fault
    choices = _CHOICES.get(name)
    if choices is not None and value not in choices:
        near = nearest(value, choices)
        words = f"{setting(name)} cannot be {quoted(value)}: it is one of {', '.join(choices)}"
        return words, f"did you mean {near}?" if near else "choose one of them"
    if name in FILES and value == "-":
        words = f"{setting(name)} is -, and a profile cannot hold what comes from standard input"
        return words, "name a file; or leave it out of the profile, and give - on the command line"
    try:
        if name in _CHECKS:
            _CHECKS[name](value)
    except ConfigurationError as error:
        return error.marked.message, error.marked.hint or "correct it"
    return None


def _find_fault_in_number(name: str, value: Any) -> tuple[str, str] | None:
    types, words = _TYPES[name]
    if type(value) not in types:
        return f"{setting(name)} must be {words}, and is {_type_of(value)}", _example(name)
    if abs(value) >= _MOST_NUMBER:
        return f"{setting(name)} is too large a number", f"leave {setting(name)} out for its default"
    return None


def _find_fault_in_text(name: str, value: object) -> tuple[str, str] | None:
    is_list = name in LISTS
    texts: list[Any] = value if is_list and isinstance(value, list) else [value]
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        words = "text in quotes" + (" or an array of such" if is_list else "")
        return f"{setting(name)} must be {words}, and is {_type_of(wrong)}", _example(name)
    odd = next((text for text in texts if name != "client_id" and not text.isprintable()), None)
    if odd is not None:
        return f"{setting(name)} has a control character in it, such as a line end: {unseen(odd)}", "take it out"
    if name not in ("client_id", "scope", "prompt") and not all(texts):
        return f"{setting(name)} is empty", f"give {setting(name)} a value, or leave it out"
    return None


def _find_fault_in_table(name: str, value: object) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return f"{name} must be a table, and is {_type_of(value)}", f"write it under [profiles.NAME.{name}]"
    reserved = RESERVED_CLAIMS if name == "claims" else RESERVED_PARAMS
    for key, member in value.items():
        shown = f"{setting(name)} {printable(key, 60)}"
        if key in reserved:
            hint = f"use {setting(reserved[key])}" if reserved[key] else "leave it out"
            return f"{shown} would contradict what banno-creds sends itself", hint
        if name == "params":
            if key in SECRETS:
                return f"{shown} is a secret, and has no place in this file (not shown here)", "take it out"
            if not isinstance(member, str):
                return f"{shown} must be text in quotes, and is {_type_of(member)}", "put it in quotes"
            if not f"{key}{member}".isprintable():
                return f"{shown} has a control character in it, such as a line end", "take it out"
        if not _is_utf8(key) or not _is_json(member):
            return f"{shown} has a value in it that JSON and TOML do not share", "write it as text"
    return None


def _example(name: str) -> str:
    value = _EXAMPLES.get(name, '"…"')
    return f"for example: {name} = {value}"


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, int | float):
        return abs(value) < _MOST_NUMBER  # neither infinite nor a NaN
    return isinstance(value, str) and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    """Return whether a text can be written to a file; a command line may hold bytes that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _type_of(value: object) -> str:
    return _TYPE_NAMES.get(type(value), "a date or time")


def is_file(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a setting of `PATHS` names a file: a private key may be held elsewhere."""
    return name in settings and not (name == "private_key" and is_key_uri(settings[name]))


def type_of(name: str) -> type | None:
    """Return the type of a setting that is a number or a switch: bool, int or float; None for another."""
    return _TYPES[name][0][-1] if name in _TYPES else None


def portable(settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return settings without a fault that mean the same in another folder: with full paths, but ``~`` stays."""
    result = dict(settings)
    for name in FILES:
        if is_file(name, settings) and not settings[name].startswith("~"):
            result[name] = os.path.normpath(os.path.join(folder, settings[name].replace("/", os.sep)))
    return result


def resolved(settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return settings with absolute paths, counted from the file's folder, and lists where several are allowed."""
    result = dict(settings)
    for name in FILES:
        if is_file(name, settings):
            result[name] = os.path.join(folder, os.path.expanduser(settings[name]).replace("/", os.sep))
    for name in LISTS:
        if isinstance(settings.get(name), str):
            result[name] = [settings[name]]
    return result
