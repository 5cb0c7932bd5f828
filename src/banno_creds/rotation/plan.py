"""The next step of a rotation, from what is seen. Nothing here looks or acts.

Whatever cut the last run off, and if its journal is lost: what is seen decides, and a step that was done is not due.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Step(StrEnum):
    """What is to be done next; the last ones wait for something, or are the end."""

    MAKE_KEY = "make-key"
    WRITE_SET = "write-set"
    LOOK = "look-at-url"
    TRY_KEY = "try-key"
    SWITCH = "switch"
    REMOVE_OLD = "remove-old"
    ARCHIVE = "archive"

    PUBLISH = "publish"
    WAIT_FOR_CACHES = "wait-for-caches"
    REFUSED = "refused"
    WENT_BACK = "went-back"
    KEEP_OLD = "keep-old"
    STILL_USED = "still-used"
    DONE = "done"


ENDS = frozenset(
    (Step.PUBLISH, Step.WAIT_FOR_CACHES, Step.REFUSED, Step.WENT_BACK, Step.KEEP_OLD, Step.STILL_USED, Step.DONE)
)
"""The steps after which a run ends: nothing can be done now."""


class Wish(NamedTuple):
    """How a rotation is to go on.

    Attributes:
        again: after a refusal or after going back, go on; after the end, begin another one.
        at_once: do not wait for caches before the new key is tried.
        is_compromised: the old key leaves first.
        partial: leave other profiles with the same key as they are.
    """

    again: bool = False
    at_once: bool = False
    is_compromised: bool = False
    partial: bool = False


class Has(NamedTuple):
    """Which of the two keys a set has, each under the ``kid`` that is sent with it."""

    old: bool
    new: bool


class Facts(NamedTuple):
    """What is seen of a rotation, and when things were seen first.

    Attributes:
        now: the time.
        is_made: the new key is there.
        in_file: the keys in the set's file.
        published: the keys in the set at its URL; None if nobody has looked since the file was changed.
        both_since: since when the URL was seen with both; None if it was not.
        cached: how long caches may keep a set, by the longest time that its URL has named.
        is_tried: the server has granted a token for each profile with the new key.
        is_refused: it has refused the new key, and nobody said to try again.
        went_back: somebody went back to the old key, and nobody said to go on.
        is_switched: all profiles use the new key.
        switched_at: when they were switched.
        still_used: other profiles use the old key.
        is_archived: the old key's file has its archive name, or there is no such file.
        is_compromised: the old key must not be trusted any more.
        wait: the least time between both keys being published and the new one being used.
        keep: how long the old key stays in the set afterwards.
    """

    now: float
    is_made: bool
    in_file: Has
    published: Has | None
    both_since: float | None = None
    cached: float = 0
    is_tried: bool = False
    is_refused: bool = False
    went_back: bool = False
    is_switched: bool = False
    switched_at: float | None = None
    still_used: bool = False
    is_archived: bool = False
    is_compromised: bool = False
    wait: float = 0
    keep: float = 0

    @property
    def caches_until(self) -> float:
        """When no cache has a set without the new key any more."""
        since = self.now if self.both_since is None else min(self.both_since, self.now)
        return since + max(self.wait, self.cached)

    @property
    def keep_until(self) -> float:
        """When the old key may leave the set."""
        since = self.now if self.switched_at is None else min(self.switched_at, self.now)
        return since + self.keep


def next_step(facts: Facts) -> Step:
    """Return the next step."""
    if facts.is_compromised:
        return _next_if_compromised(facts)
    return _next_after_switch(facts) if facts.is_switched else _next_before_switch(facts)


def _next_before_switch(facts: Facts) -> Step:
    """Both keys are to be in the set, everywhere, before the new one is used."""
    if facts.went_back:
        return Step.WENT_BACK
    if not facts.is_made:
        return Step.MAKE_KEY
    if not all(facts.in_file):
        return Step.WRITE_SET
    if facts.published is None:
        return Step.LOOK
    if not all(facts.published):
        return Step.PUBLISH
    if facts.now < facts.caches_until:
        return Step.WAIT_FOR_CACHES
    if facts.is_refused:
        return Step.REFUSED
    return Step.SWITCH if facts.is_tried else Step.TRY_KEY


def _next_after_switch(facts: Facts) -> Step:
    """The old key leaves when nobody signs with it any more; the new one, which is in use, has to be in the set."""
    if not facts.in_file.new:
        return Step.WRITE_SET
    if facts.published is None:
        return Step.LOOK
    if not facts.published.new:
        return Step.PUBLISH
    if facts.in_file.old:
        if facts.still_used:
            return Step.STILL_USED
        return Step.KEEP_OLD if facts.now < facts.keep_until else Step.REMOVE_OLD
    if facts.published.old:
        return Step.PUBLISH
    if facts.is_archived:
        return Step.DONE
    return Step.STILL_USED if facts.still_used else Step.ARCHIVE


def _next_if_compromised(facts: Facts) -> Step:
    """The old key leaves at once: whoever has it gets tokens until the server has fetched the set again."""
    if not facts.is_made:
        return Step.MAKE_KEY
    if not facts.in_file.new or facts.in_file.old:
        return Step.WRITE_SET
    if facts.published is None:
        return Step.LOOK
    if not facts.published.new or facts.published.old:
        return Step.PUBLISH
    if not facts.is_switched:
        return Step.SWITCH
    return Step.DONE if facts.is_archived else Step.ARCHIVE
