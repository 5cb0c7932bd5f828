"""The picture in the README: one screen, and drawn so that every renderer shows it alike."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PICTURE = ET.fromstring((Path(__file__).parents[2] / "docs" / "demo.svg").read_text("utf-8"))
TEXTS = PICTURE.findall("{http://www.w3.org/2000/svg}text")


def test_it_is_one_screen_high() -> None:
    assert float(PICTURE.attrib["height"]) <= 900
    assert float(PICTURE.attrib["width"]) <= 900


def test_each_run_of_words_has_its_own_place_and_length() -> None:
    """Renderers treat blanks at the ends of text, and widths of fonts, in ways of their own."""
    assert len(TEXTS) > 40
    for each in TEXTS:
        assert each.text
        assert each.text == each.text.strip()
        assert "  " not in each.text
        assert {"x", "y", "textLength"} <= set(each.attrib)


def test_it_loads_nothing_from_elsewhere() -> None:
    text = ET.tostring(PICTURE, "unicode")
    assert re.findall(r"href|url\(|@import|<style|<script|<image", text) == []


def test_it_ends_with_the_doctor_naming_the_cause_of_a_refusal() -> None:
    words = [each.text or "" for each in TEXTS]
    refused = next(number for number, text in enumerate(words) if "client authentication failed" in text)
    asked = next(number for number, text in enumerate(words) if "banno-creds doctor" in text)
    assert refused < asked
    assert "registration.key.mismatch" in words[asked:]
