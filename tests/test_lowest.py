"""What `make test-lowest` installs."""

from __future__ import annotations

import re

import pytest

from tests import lowest

pytestmark = pytest.mark.once


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def test_every_package_that_is_named_has_one_floor_and_a_pin_that_is_not_below_it() -> None:
    pins = dict(re.findall(r"^([\w-]+)==([^\s;]+)", (lowest.ROOT / "constraints.txt").read_text(), re.MULTILINE))
    floors = lowest.floors()

    assert {name for name, floor in floors.items() if _version(floor) > _version(pins[name])} == set()
    chosen = re.findall(r"^([\w-]+)==([^\s;]+)", lowest.constraints(), re.MULTILINE)
    assert dict(chosen) == pins | floors
    assert len(chosen) == len(pins)
