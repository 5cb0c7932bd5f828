"""The client that a profile describes, for a Python program: its settings as a `ClientConfig`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banno_creds.config import ENVIRONMENTS, ClientConfig, KeySource
from banno_creds.errors import ConfigurationError
from banno_creds.profiles.lookup import find_profile, find_profiles, no_passphrase_file
from banno_creds.storage.secret_files import read_private_file, secret_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from banno_creds.config import Location
    from banno_creds.profiles.lookup import Profile


def _read_passphrase(file: Path) -> bytes:
    if not file.exists():
        raise no_passphrase_file()
    return secret_line(
        read_private_file(file, what="passphrase file", error=ConfigurationError).content, "passphrase"
    )


_SAME = (
    *("client_id", "client_id_in_body", "key_max_age", "registration", "alg", "kid", "aud"),
    *("lifetime", "iat", "claims", "timeout", "cache_url"),
)
_TUPLES = ("scope", "resource")
_FILES = ("ca_bundle", "cache_secret_file", "cache_password_file")


def read_client(name: str, file: Location | None) -> ClientConfig:
    """Return a profile's client and request; see `ClientConfig.from_profile`."""
    profile = find_profile(name, file)
    assert profile is not None  # noqa: S101 - it was named
    return _client(profile)


def read_clients(
    names: Iterable[str] | None = None, file: Location | None = None, tags: Collection[str] = ()
) -> dict[str, ClientConfig | ConfigurationError]:
    """Return the clients and requests of many profiles, or of each its error; see `lookup.find_profiles`."""
    found: dict[str, ClientConfig | ConfigurationError] = {}
    for name, profile in find_profiles(names, file, tags).items():
        try:
            found[name] = profile if isinstance(profile, ConfigurationError) else _client(profile)
        except ConfigurationError as error:
            found[name] = error
    return found


def _client(profile: Profile) -> ClientConfig:
    name, settings, missing = profile.name, profile.settings, "client_id"
    if settings.get("as") == "person":
        raise ConfigurationError(
            f"profile {name} wants a person's token (as), and a program gets the client's own",
            hint="name a profile of an application, or call `banno-creds token`",
            details=(profile.where,),
        )
    if "client_id" not in settings or "private_key" not in settings:
        missing = "private_key" if "client_id" in settings else missing
        raise ConfigurationError(
            f"profile {name} has no {missing}",
            hint=f"add it: banno-creds profile set {name}",
            details=(profile.where,),
        )
    endpoint: dict[str, Any] = {key: settings[key] for key in ("token_endpoint", "issuer") if key in settings}
    if "issuer" in endpoint:
        endpoint["token_endpoint"] = None
    if "environment" in settings:
        endpoint["token_endpoint"] = ENVIRONMENTS[settings["environment"]]
    more: dict[str, Any] = {key: settings[key] for key in _SAME if key in settings}
    more |= {key: tuple(" ".join(settings[key]).split()) for key in _TUPLES if key in settings}
    if "params" in settings:
        more["params"] = tuple(settings["params"].items())
    more |= {key: Path(settings[key]) for key in _FILES if key in settings}
    if "passphrase_file" in settings:
        more["passphrase"] = partial(_read_passphrase, Path(settings["passphrase_file"]))
    return ClientConfig(private_key=KeySource.at(settings["private_key"]), **endpoint, **more)
