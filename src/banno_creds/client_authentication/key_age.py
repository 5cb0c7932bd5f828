"""Since when a private key is there, and whether it is older than its owner wants."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Literal, NamedTuple

from banno_creds.checks import check_duration
from banno_creds.text import setting
from banno_creds.times import duration, utc

if TYPE_CHECKING:
    from banno_creds.config import ClientConfig, KeySource
    from banno_creds.jose.keys import PrivateKey
    from banno_creds.key_holders.held_key import HeldKey
    from banno_creds.steps import Run

_EARLIEST = 946_684_800  # the year 2000: archives, images and stores that can be made again set files to 1970 or 1980


class Since(NamedTuple):
    """An instant, in seconds since the epoch, at which a key was there already; it may be older.

    ``source`` says what tells it: ``file`` is the last change of its file, ``certificate`` the beginning of its
    certificate's validity, ``holder`` what its holder says, and ``rotation`` what was noted when it was rotated.
    """

    at: float
    source: Literal["file", "certificate", "holder", "rotation"]

    def or_since(self, other: Since | None) -> Since:
        """Return the earlier one of two."""
        return other if other is not None and _EARLIEST <= other.at < self.at else self

    def age(self, now: float) -> float | None:
        """Return the key's age in seconds; None if the instant can be none of a key's."""
        return now - self.at if _EARLIEST <= self.at <= now else None

    def told(self, now: float) -> str:
        """Return the key's age in words."""
        by = {
            "file": "by the time of its file",
            "certificate": "by its certificate's notBefore",
            "holder": "as its holder says",
            "rotation": "by the journal of rotations",
        }[self.source]
        age = self.age(now)
        if age is None:
            return f"not known: {by}, {utc(self.at)}, " + (
                "which lies ahead" if self.at > now else "which is no key's"
            )
        more = "" if self.source == "holder" else " or more"
        return f"{duration(age)}{more}, {by} ({utc(self.at)[:10]})"


def since_when(source: KeySource, key: PrivateKey | HeldKey | None = None) -> Since | None:
    """Return when a key was there already; None if that is not known."""
    created = None if key is None else getattr(key, "created", None)
    if created is not None:
        return Since(created, "holder")
    if source.path is None:
        return None
    try:
        status = source.path.stat()
    except (OSError, ValueError):
        return None
    return Since(status.st_mtime, "file") if stat.S_ISREG(status.st_mode) else None


def warn_of_age(config: ClientConfig, limit: str, key: PrivateKey | HeldKey, run: Run) -> None:
    """Warn of a key that is older than ``limit``, such as ``400d``."""
    since, now = since_when(config.private_key, key), run.clock()
    age = None if since is None else since.age(now)
    if since is not None and age is not None and age > check_duration("key_max_age", limit):
        message = f"the private key {key.origin} is older than {limit} ({setting('key_max_age')}): {since.told(now)}"
        run.warn(message, "plan a new key: banno-creds explain key.age")
