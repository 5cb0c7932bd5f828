"""The memory against replay: each ``jti`` is good once (RFC 7523 section 3)."""

from __future__ import annotations

import hashlib
import heapq
import json
import threading


class UsedJtis:
    """The memory of the ``jti`` values that were used: each until its assertion has expired.

    Nothing need be remembered longer, since an expired assertion is refused anyway; so the memory is bounded by how
    many assertions can be verified in five minutes. `most` bounds it besides, whatever happens: beyond that the one
    that expires first is forgotten early. What is kept is a digest, so that a long ``jti`` costs no more than a short
    one.

    Args:
        most: the most values to remember.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._used: set[bytes] = set()
        self._by_end: list[tuple[float, bytes]] = []  # a heap: what ends first is first

    def __len__(self) -> int:
        return len(self._used)

    def use(self, issuer: str, jti: str, *, until: float, now: float) -> bool:
        """Use a ``jti`` up, in one step: of two threads that try, one succeeds.

        Args:
            issuer: the ``iss`` claim: a ``jti`` is unique per issuer (RFC 7519 section 4.1.7).
            jti: the ``jti`` claim.
            until: when it may be forgotten, in seconds.
            now: the time, in seconds.

        Returns:
            False where it was used before.
        """
        # JSON keeps ("a", "bc") and ("ab", "c") apart, and takes the lone surrogates that UTF-8 does not.
        digest = hashlib.sha256(json.dumps([issuer, jti]).encode()).digest()
        with self._lock:
            while self._by_end and self._by_end[0][0] <= now:
                self._used.discard(heapq.heappop(self._by_end)[1])
            if digest in self._used:
                return False
            if len(self._used) >= self._most:
                self._used.discard(heapq.heappop(self._by_end)[1])
            self._used.add(digest)
            heapq.heappush(self._by_end, (until, digest))
            return True
