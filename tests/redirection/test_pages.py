"""What the browser shows after signing in: everything escaped, nothing from elsewhere, no secret."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from banno_creds.redirection import pages

CLAIMS: dict[str, object] = {
    "sub": "9c7f1f5e",
    "name": "Riley Smith",
    "preferred_username": "riley",
    "at_hash": "Zk2hK0Jr0vY2y0m2dXb1Aw",
    "aud": "client",
    "exp": 1795276861,
    "iat": 1795273261,
    "auth_time": 1795273260,
    "nonce": "only-for-this-login",
    "address": {"locality": "Springfield"},
    "email_verified": True,
}
ALL = {
    "me": pages.me(CLAIMS),
    "failed": pages.failed("it failed", ["the server's words"], "do this"),
    "failed shortly": pages.failed("it failed"),
    "signed out": pages.signed_out(),
    "not found": pages.not_found(),
    "not ours": pages.not_ours(),
    "used": pages.used(),
}
ATTACK = "</dd><script>alert(1)</script><img src=//evil.example onerror=alert(1)>\"'&"
VOID = {"meta", "link", "img", "br", "hr", "input", "base"}


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.unclosed: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.unclosed):
            self.texts[tag][-1] += data

    def claims(self) -> dict[str, str]:
        return dict(zip(self.texts["dt"], self.texts["dd"], strict=True))


# --- every page -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("html", ALL.values(), ids=ALL)
def test_a_page_is_well_formed_and_says_its_language_title_and_width(html: str) -> None:
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.unclosed == []
    assert page.elements[0] == ("html", {"lang": "en"})
    assert page.texts["title"][0].endswith("banno-creds")
    metas = [attributes for tag, attributes in page.elements if tag == "meta"]
    assert {"charset": "utf-8"} in metas
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert {"name": "referrer", "content": "no-referrer"} in metas


@pytest.mark.parametrize("html", [*ALL.values(), pages.me({"name": ATTACK, ATTACK: ATTACK})], ids=[*ALL, "attack"])
def test_a_page_has_no_script_and_nothing_from_elsewhere(html: str) -> None:
    page = Page(html)
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "div",
        "h1",
        "h2",
        "p",
        "bdi",
        "dl",
    }
    allowed |= {"dt", "dd", "span", "ul", "li", "footer"}
    assert {tag for tag, _ in page.elements} <= allowed
    attributes = {name for _, each in page.elements for name in each}
    assert attributes <= {"lang", "charset", "name", "content", "class", "aria-hidden", "dir"}
    assert "url(" not in html
    assert "@import" not in html


@pytest.mark.parametrize("html", ALL.values(), ids=ALL)
def test_the_style_of_a_page_is_the_one_that_the_policy_names(html: str) -> None:
    assert Page(html).texts["style"] == [pages.STYLE]


def test_the_style_knows_dark_screens_and_narrow_ones() -> None:
    assert "prefers-color-scheme: dark" in pages.STYLE
    assert "max-width: 34rem" in pages.STYLE
    assert pages.STYLE.isascii()


# --- after a login --------------------------------------------------------------------------------------------------


def test_me_says_who_is_signed_in_and_that_the_window_may_be_closed() -> None:
    page = Page(ALL["me"])
    assert page.texts["h1"] == ["You are signed in"]
    assert page.texts["bdi"] == ["Riley Smith"]
    assert "You may close this window: the terminal goes on" in page.texts["main"][0]


@pytest.mark.parametrize(
    ("claims", "shown"),
    [
        ({"sub": "s", "email": "e@example.com", "preferred_username": "p", "name": "n"}, ["n"]),
        ({"sub": "s", "email": "e@example.com", "preferred_username": "p", "name": ""}, ["p"]),
        ({"sub": "s", "email": "e@example.com", "name": 5}, ["e@example.com"]),
        ({"sub": "s"}, ["s"]),
        ({}, []),
    ],
)
def test_me_calls_a_person_by_the_best_name_there_is(claims: dict[str, object], shown: list[str]) -> None:
    assert Page(pages.me({"aud": "client"} | claims)).texts.get("bdi", []) == shown


def test_me_shows_the_claims_whole_but_the_nonce() -> None:
    claims = Page(ALL["me"]).claims()
    assert list(claims) == [name for name in CLAIMS if name != "nonce"]
    assert claims["sub"] == "9c7f1f5e"
    assert claims["at_hash"] == "Zk2hK0Jr0vY2y0m2dXb1Aw"
    assert claims["address"] == '{"locality": "Springfield"}'
    assert claims["email_verified"] == "true"
    assert "only-for-this-login" not in ALL["me"]


def test_times_are_readable_too() -> None:
    claims = Page(ALL["me"]).claims()
    assert claims["exp"] == "1795276861 2026-11-21 16:01:01 UTC"
    assert claims["iat"] == "1795273261 2026-11-21 15:01:01 UTC"
    assert claims["auth_time"] == "1795273260 2026-11-21 15:01:00 UTC"


@pytest.mark.parametrize("value", ["1795276861", True, None, 10**30, float("nan"), float("inf"), [1]])
def test_a_time_that_is_none_breaks_nothing(value: object) -> None:
    assert "UTC" not in Page(pages.me({"exp": value})).claims()["exp"]


def test_a_script_in_a_claim_stays_text() -> None:
    page = Page(pages.me({"name": ATTACK, ATTACK[:50]: [ATTACK]}))
    assert page.claims()["name"] == ATTACK
    assert ATTACK[:50] in page.claims()
    assert "<script" not in pages.me({"name": ATTACK})
    assert "<img" not in pages.me({"name": ATTACK})


def test_characters_that_hide_or_reorder_are_made_visible() -> None:
    claims = Page(pages.me({"name": "a\u202eb\u200bc\nd\x1b[0m\ud800", "nested": ["\u2066"]})).claims()
    assert claims["name"] == "a\\u202eb\\u200bc\\nd\\u001b[0m\\ud800"
    assert claims["nested"] == '["\\u2066"]'
    assert Page(pages.me({"a\u202eb": 1})).claims() == {"a\\u202eb": "1"}


def test_names_in_other_scripts_are_left_as_they_are() -> None:
    assert Page(pages.me({"name": "Zoë 山田 عمر"})).claims()["name"] == "Zoë 山田 عمر"


def test_what_is_long_is_shortened_and_of_many_claims_some_are_counted() -> None:
    html = pages.me({"long": "x" * 1_000_000, "y" * 1000: 1, "z": {"deep": ["w" * 100_000]}})
    assert len(html) < 10_000
    assert Page(html).claims()["long"] == "x" * 300 + "… (shortened)"
    page = Page(pages.me({f"claim{i}": i for i in range(60)} | {"nonce": "n"}))
    assert len(page.claims()) == 50
    assert "… and 10 more." in page.texts["p"]
    assert "more." not in pages.me({f"claim{i}": i for i in range(50)})


def test_a_token_in_a_claim_is_not_shown() -> None:
    token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    assert token not in pages.me({"token": token, "nested": {"token": token}})


# --- when it came to nothing ----------------------------------------------------------------------------------------


def test_a_failure_is_told_with_the_servers_words_and_the_next_step() -> None:
    page = Page(ALL["failed"])
    assert page.texts["h1"] == ["You are not signed in"]
    assert page.texts["li"] == ["the server's words"]
    assert "It failed" in page.texts["p"]
    assert "Next: do this" in page.texts["p"]
    assert "Next" not in Page(ALL["failed shortly"]).texts["main"][0]
    assert "ul" not in Page(ALL["failed shortly"]).texts


def test_a_failure_begins_as_it_does_in_the_terminal() -> None:
    shown = {
        message: Page(pages.failed(message)).texts["p"][0] for message in ("the server refused", "iss is", "key")
    }
    assert shown == {"the server refused": "The server refused", "iss is": "iss is", "key": "key"}


def test_what_a_server_says_of_a_failure_stays_text() -> None:
    page = Page(pages.failed(ATTACK, [ATTACK, "a\u202eb"], ATTACK))
    assert page.texts["li"] == [ATTACK, "a b"]
    assert not {"script", "img"} & {tag for tag, _ in page.elements}


def test_the_other_pages_say_what_to_do() -> None:
    assert "newest tab" in Page(ALL["not ours"]).texts["main"][0]
    assert "answered already" in Page(ALL["used"]).texts["h1"][0]
    assert "signed out" in Page(ALL["signed out"]).texts["h1"][0]
    assert "nothing here" in Page(ALL["not found"]).texts["h1"][0]
    # These pages must not say that the login failed: it may still go on.
    assert not re.search("not signed in", ALL["not ours"] + ALL["used"] + ALL["not found"])
