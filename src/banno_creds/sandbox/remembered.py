"""A memory for what is handed out: bounded in time and in number, and without the secrets themselves."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """Values by a secret that somebody holds, such as a code or a cookie; each for the same time.

    What is kept of the secret is a digest. Where there are too many, the oldest is forgotten early.

    Args:
        lifetime: how long a value is remembered, in seconds.
        most: the most values to remember.
    """

    def __init__(self, lifetime: int, most: int) -> None:
        self._lifetime = lifetime
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, tuple[float, V]] = OrderedDict()  # what ends first is first

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, secret: str, value: V, now: float) -> None:
        """Remember a value from now on.

        Args:
            secret: what it is found by.
            value: the value.
            now: the time, in seconds.
        """
        key = _digest(secret)
        with self._lock:
            self._forget(now)
            self._values.pop(key, None)
            if len(self._values) >= self._most:
                self._values.popitem(last=False)
            self._values[key] = (now + self._lifetime, value)

    def find(self, secret: str, now: float) -> V | None:
        """Find a value.

        Args:
            secret: what it was kept by.
            now: the time, in seconds.

        Returns:
            The value; None where there is none, or no longer.
        """
        with self._lock:
            self._forget(now)
            kept = self._values.get(_digest(secret))
        return None if kept is None else kept[1]

    def take(self, secret: str, now: float) -> V | None:
        """Find a value and forget it, in one step: of two threads that try, one succeeds.

        Args:
            secret: what it was kept by.
            now: the time, in seconds.

        Returns:
            The value; None where there is none, or no longer.
        """
        with self._lock:
            self._forget(now)
            kept = self._values.pop(_digest(secret), None)
        return None if kept is None else kept[1]

    def _forget(self, now: float) -> None:
        while self._values and next(iter(self._values.values()))[0] <= now:
            self._values.popitem(last=False)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
