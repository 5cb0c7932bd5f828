"""The next step of a rotation, for every state that one can be in."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from banno_creds.rotation.plan import ENDS, Facts, Has, Step, next_step

pytestmark = pytest.mark.once

OLD, BOTH, NEW, NONE = Has(old=True, new=False), Has(old=True, new=True), Has(old=False, new=True), Has(False, False)
AT = 1_000_000.0
MADE = {"is_made": True}
WRITTEN: dict[str, Any] = {"is_made": True, "in_file": BOTH}
PUBLISHED = {**WRITTEN, "published": BOTH, "both_since": AT}
WAITED = {**PUBLISHED, "both_since": AT - 100}
SWITCHED = {**WRITTEN, "is_switched": True, "switched_at": AT - 10, "published": BOTH}
KEPT = {**SWITCHED, "switched_at": AT - 1000}
REMOVED = {**KEPT, "in_file": NEW}
GONE = {**REMOVED, "published": NEW}
LEAKED: dict[str, Any] = {"is_compromised": True, "is_made": True, "in_file": NEW}


def facts(**members: Any) -> Facts:
    given = {"is_made": False, "in_file": OLD, "published": None, "now": AT, "wait": 100, "keep": 1000}
    return Facts(**{**given, **members})


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        ({}, Step.MAKE_KEY),
        ({"in_file": NONE}, Step.MAKE_KEY),
        ({"went_back": True}, Step.WENT_BACK),
        (MADE, Step.WRITE_SET),
        ({**MADE, "in_file": NEW}, Step.WRITE_SET),
        (WRITTEN, Step.LOOK),
        ({**WRITTEN, "published": OLD}, Step.PUBLISH),
        ({**WRITTEN, "published": NEW}, Step.PUBLISH),
        ({**WRITTEN, "published": NONE}, Step.PUBLISH),
        (PUBLISHED, Step.WAIT_FOR_CACHES),
        ({**PUBLISHED, "both_since": None}, Step.WAIT_FOR_CACHES),
        ({**PUBLISHED, "both_since": AT - 99}, Step.WAIT_FOR_CACHES),
        ({**WAITED, "cached": 101}, Step.WAIT_FOR_CACHES),
        ({**WAITED, "both_since": AT + 5000}, Step.WAIT_FOR_CACHES),
        (WAITED, Step.TRY_KEY),
        ({**WAITED, "is_refused": True}, Step.REFUSED),
        ({**WAITED, "is_refused": True, "is_tried": True}, Step.REFUSED),
        ({**WAITED, "is_tried": True}, Step.SWITCH),
        ({**WAITED, "is_tried": True, "went_back": True}, Step.WENT_BACK),
        (SWITCHED, Step.KEEP_OLD),
        ({**SWITCHED, "switched_at": None}, Step.KEEP_OLD),
        ({**SWITCHED, "published": None}, Step.LOOK),
        ({**SWITCHED, "in_file": OLD}, Step.WRITE_SET),
        ({**SWITCHED, "published": OLD}, Step.PUBLISH),
        ({**KEPT, "published": OLD}, Step.PUBLISH),
        (KEPT, Step.REMOVE_OLD),
        ({**KEPT, "still_used": True}, Step.STILL_USED),
        (REMOVED, Step.PUBLISH),
        ({**REMOVED, "published": None}, Step.LOOK),
        (GONE, Step.ARCHIVE),
        ({**GONE, "still_used": True}, Step.STILL_USED),
        ({**GONE, "is_archived": True}, Step.DONE),
        ({**GONE, "is_archived": True, "published": None}, Step.LOOK),
        ({"is_compromised": True}, Step.MAKE_KEY),
        ({"is_compromised": True, "is_made": True, "in_file": BOTH}, Step.WRITE_SET),
        (LEAKED, Step.LOOK),
        ({**LEAKED, "published": BOTH}, Step.PUBLISH),
        ({**LEAKED, "published": OLD}, Step.PUBLISH),
        ({**LEAKED, "published": NEW}, Step.SWITCH),
        ({**LEAKED, "published": NEW, "is_switched": True}, Step.ARCHIVE),
        ({**LEAKED, "published": NEW, "is_switched": True, "is_archived": True}, Step.DONE),
    ],
)
def test_the_next_step(seen: dict[str, Any], step: Step) -> None:
    assert next_step(facts(**seen)) is step


SETS = (OLD, BOTH, NEW, NONE)


def every_state() -> list[Facts]:
    flags = ("is_made", "is_tried", "is_refused", "went_back", "is_switched", "still_used", "is_archived")
    return [
        facts(
            in_file=in_file,
            published=published,
            both_since=since,
            switched_at=since,
            **dict(zip(flags, on, strict=True)),
        )
        for in_file, published, since in product(SETS, (None, *SETS), (None, AT - 50, AT - 5000))
        for on in product((False, True), repeat=len(flags))
    ]


def test_no_state_leads_to_a_key_that_the_published_set_lacks() -> None:
    """Whatever is seen: the profiles switch if both keys are published; the old one leaves if nobody needs it."""
    for seen in every_state():
        step = next_step(seen)
        if step in (Step.TRY_KEY, Step.SWITCH):
            assert seen.published == BOTH
            assert seen.in_file == BOTH
            assert seen.now >= seen.caches_until
        if step is Step.SWITCH:
            assert seen.is_tried
            assert not seen.is_refused
        if step is Step.REMOVE_OLD:
            assert seen.is_switched
            assert seen.published is not None
            assert seen.published.new
            assert not seen.still_used
            assert seen.now >= seen.keep_until
        if step is Step.ARCHIVE:
            assert seen.published == NEW
            assert not seen.still_used


def test_each_step_leads_to_the_end() -> None:
    """Done one after the other, with everything published and time passing, the steps end."""
    for start in every_state():
        seen, steps = start._replace(went_back=False, is_refused=False, still_used=False), []
        for _ in range(20):
            step = next_step(seen)
            if step is Step.DONE:
                break
            steps.append(step)
            seen = after(seen, step)
        else:
            pytest.fail(f"{start}: {steps}")


def after(seen: Facts, step: Step) -> Facts:
    """What is seen when a step was done, or what it waits for has come."""
    is_both = seen.in_file == BOTH
    changes: dict[Step, dict[str, Any]] = {
        Step.MAKE_KEY: {"is_made": True},
        Step.WRITE_SET: {"in_file": Has(seen.in_file.old or not seen.is_switched, True), "published": None},
        Step.LOOK: {"published": seen.in_file, "both_since": (seen.both_since or AT) if is_both else None},
        Step.PUBLISH: {"published": seen.in_file, "both_since": (seen.both_since or AT) if is_both else None},
        Step.WAIT_FOR_CACHES: {"now": seen.caches_until, "both_since": seen.both_since or seen.now},
        Step.TRY_KEY: {"is_tried": True},
        Step.SWITCH: {"is_switched": True, "switched_at": seen.now},
        Step.KEEP_OLD: {"now": seen.keep_until, "switched_at": seen.switched_at or seen.now},
        Step.REMOVE_OLD: {"in_file": NEW, "published": None},
        Step.ARCHIVE: {"is_archived": True},
    }
    return seen._replace(**changes[step])


def test_a_run_ends_only_where_nothing_can_be_done() -> None:
    assert {step for step in Step if step not in ENDS} == {
        *(Step.MAKE_KEY, Step.WRITE_SET, Step.LOOK, Step.TRY_KEY, Step.SWITCH, Step.REMOVE_OLD, Step.ARCHIVE)
    }
