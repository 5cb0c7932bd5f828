"""The profiles that change their key together: their settings, and who else uses that key."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from banno_creds.errors import BannoCredsError, ConfigurationError
from banno_creds.key_uri import is_key_uri
from banno_creds.profiles.file import read
from banno_creds.profiles.lookup import command_on
from banno_creds.profiles.settings import find_fault, resolved
from banno_creds.rotation.key_pair import open_key
from banno_creds.rotation.published import Named
from banno_creds.shells import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from banno_creds.config import ClientConfig
    from banno_creds.jose.keys import PublicKey

DAY = 24 * 3600
DEFAULT_WAIT = DAY  # nobody has said how often the provider fetches the set again
DEFAULT_KEEP = 7 * DAY
_MOST_NAMED = 20


class Member(NamedTuple):
    """A profile whose key is changed: its name, its settings as they stand in the file, and its client."""

    name: str
    settings: Mapping[str, Any]
    config: ClientConfig

    @property
    def place(self) -> str:
        """The file or URI of the key that it uses."""
        source = self.config.private_key
        return source.uri if source.uri is not None else str(source.path)

    def named(self, key: PublicKey, alg: str | None = None) -> Named:
        """Return a key with the ``kid`` that this profile would send with it."""
        kid = self.config.key_id
        return Named(key, key.thumbprint() if kid is not None else None, alg)


class Subject(NamedTuple):
    """What is rotated.

    Attributes:
        file: the configuration file.
        members: the profiles.
        jwks_file: the file of the set; None if it was not named.
        jwks_uri: the URL that it is published at; None if it was not named.
        wait: see `plan.Facts`.
        keep: see there.
        new_key: the file or URI of a new key that was made by hand.
    """

    file: str
    members: tuple[Member, ...]
    jwks_file: Path | None
    jwks_uri: str | None
    wait: int = DEFAULT_WAIT
    keep: int = DEFAULT_KEEP
    new_key: str | None = None

    def command(self, names: Iterable[str], more: str = "") -> str:
        """Return a line ``banno-creds rotate …`` about some profiles, which use the key in use, for a hint."""
        named = [f"--profile {quote(name)}" for name in names]
        options = " ".join(named)
        if len(named) > _MOST_NAMED:  # nobody types them, and a message is cut
            users = command_on(self.file, f"show {quote(self.first.place)} -o json", "key")
            options = f"""$({users} | jq -r '.keys[0].profiles[] | "--profile " + .')"""
        return command_on(self.file, f"{options} {more}".rstrip(), "rotate")

    @property
    def names(self) -> list[str]:
        """The names of the profiles."""
        return [member.name for member in self.members]

    @property
    def first(self) -> Member:
        """The first profile: its passphrase and its network settings are used for what is done once."""
        return self.members[0]


def check_registration(subject: Subject) -> tuple[Path, str]:
    """Return the set's file and its URL.

    Raises:
        ConfigurationError: the bank has a PEM, or it is not known where the set is.
    """
    letter = subject.command(subject.names, "--letter FILE")
    for member in subject.members:
        if member.settings.get("registration") == "pem":
            raise ConfigurationError(
                f"the bank has the key of profile {member.name} as PEM, and only the bank can replace that: "
                "allow 60 to 90 days",
                hint=f"make a new key, and the letter to the administrator: {letter}",
                rule="rotation.pem",
            )
        if member.settings.get("registration") != "jwks-uri":
            raise ConfigurationError(
                f"profile {member.name} does not say that the bank has a JWKS URI, so that no key ID is sent, and "
                "of two keys the server might try the wrong one",
                hint=f"if it has: {command_on(subject.file, f'set {quote(member.name)} --registration jwks-uri')}",
                details=(f"If it has a pasted PEM, only the bank can change it: {letter}",),
                rule="rotation.pem",
            )
    if subject.jwks_file is None or subject.jwks_uri is None:
        missing = {
            "--jwks-file FILE": None if subject.jwks_file else "the file of the JWK Set",
            "--jwks-uri URL": None if subject.jwks_uri else "the URL that the JWK Set is published at",
        }
        words = [each for each in missing.values() if each is not None]
        options = " ".join(option for option, each in missing.items() if each is not None)
        raise ConfigurationError(
            f"{' and '.join(words)} {'is' if len(words) == 1 else 'are'} not known",
            hint=command_on(subject.file, f"set {quote(subject.first.name)} {options}"),
        )
    return subject.jwks_file, subject.jwks_uri


def raw_profiles(config: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of all profiles, as they stand in the file."""
    file = read(config)
    profiles: Mapping[str, Mapping[str, Any]] = {} if file is None else file.parse().get("profiles", {})
    return profiles


def users_of(config: str, key: PublicKey, places: Collection[str]) -> list[str]:
    """Return the profiles that use a key: by its place, or by a copy of its file that is not encrypted."""
    wanted = {_real(place) for place in places}
    found: dict[str, bool] = {}
    names = []
    for name, settings in raw_profiles(config).items():
        if "private_key" not in settings or find_fault(settings) is not None:
            continue
        place = resolved(settings, os.path.dirname(config))["private_key"]
        if place not in found:
            found[place] = _real(place) in wanted or _is(place, key)
        if found[place]:
            names.append(name)
    return names


def _real(place: str) -> str:
    return place if is_key_uri(place) else os.path.normcase(os.path.realpath(place))


def _is(place: str, key: PublicKey) -> bool:
    """Return whether a key's file has a certain key; nobody is asked for a passphrase or a PIN."""
    if is_key_uri(place):
        return False
    with suppress(BannoCredsError, OSError, ValueError):
        return open_key(place, lambda: None, 1).key.public.thumbprint() == key.thumbprint()
    return False


def as_written(member: Member, place: str) -> str:
    """Return a key's place as the profile's file is to have it: relative if the old one is, and if it can be."""
    before = str(member.settings["private_key"])
    is_beside = not is_key_uri(place) and os.path.dirname(place) == os.path.dirname(member.place)
    if not is_beside or os.path.isabs(before):
        return place
    return os.path.join(os.path.dirname(before), os.path.basename(place)).replace(os.sep, "/")
