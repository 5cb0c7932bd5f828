"""A real browser: headless Chromium, driven by playwright, with a new profile each time.

As a program it is a browser for `$BROWSER`: it signs a person in, ends where our program sends it, looks at
everything there, and tells what it saw. It accepts one self-made certificate, by its key, and reaches loopback alone.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from .person import browser_main

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Response

REQUIRE_BROWSER = "BANNO_CREDS_REQUIRE_BROWSER"
MILLISECONDS = 20_000  # also on a machine on which every core is busy with other tests
FORMS = 12
# Of a visit in Chromium's own records: the last of a chain of redirects, which is what its history shows.
CHAIN_END = 0x20000000


# --- whether to run at all ---


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the tests with a browser, and why."""

    action: Literal["run", "skip", "fail"]
    reason: str = ""


def chromium_path() -> str | None:
    """Chromium's program, as Debian and others name it."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def decide(*, chromium: str | None, playwright_installed: bool, required: bool) -> Decision:
    """A missing browser skips the tests, unless somebody relies on their having run."""
    if chromium is None:
        missing = "Chromium is not installed: install the package `chromium`"
    elif not playwright_installed:
        missing = "playwright is not installed: run `make test`"
    else:
        return Decision("run")
    if required:
        return Decision("fail", f"{missing} ({REQUIRE_BROWSER}=1 forbids skipping)")
    return Decision("skip", missing)


def decide_here() -> Decision:
    """Decide for this machine."""
    return decide(
        chromium=chromium_path(),
        playwright_installed=importlib.util.find_spec("playwright") is not None,
        required=os.environ.get(REQUIRE_BROWSER) == "1",
    )


# --- the browser ---


@contextmanager
def chromium(profile: Path, *, spki: str | None = None) -> Iterator[BrowserContext]:
    """Chromium with a profile of its own.

    Args:
        profile: The folder of the profile; it has the history when the browser has ended.
        spki: The SHA-256 of the one public key whose certificate is accepted without a certificate authority, base64.
    """
    from playwright.sync_api import sync_playwright

    flags = [
        "--no-sandbox",  # Chromium refuses to run as root with it
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        # Whatever a page asks of elsewhere fails, and is seen to.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ]
    if spki is not None:
        flags.append(f"--ignore-certificate-errors-spki-list={spki}")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium_path(), args=flags, viewport={"width": 900, "height": 900}
        )
        context.set_default_timeout(MILLISECONDS)
        try:
            yield context
        finally:
            context.close()


def history(profile: Path) -> list[dict[str, Any]]:
    """Every address in the browser's own records; `shown` are those that its history has, not a redirect's way."""
    query = "SELECT urls.url, visits.transition FROM visits JOIN urls ON visits.url = urls.id ORDER BY visits.id"
    with closing(sqlite3.connect(profile / "Default" / "History")) as records:
        return [{"url": url, "shown": bool(how & CHAIN_END)} for url, how in records.execute(query)]


def left_behind(seen: Mapping[str, Any]) -> str:
    """All that a report of `$BROWSER` has of what stays: the page, what back and forward lead to, the history."""
    shown = [visit["url"] for visit in seen["history"] if visit["shown"]]
    return repr((seen["url"], seen["html"], seen["storage"], seen["entries"], shown))


# --- as $BROWSER ---


def _sign_in(page: Page, plan: dict[str, Any]) -> None:
    """Fill in what the provider asks, until the page is no longer the provider's."""
    provider = urlsplit(page.url).netloc
    for _ in range(FORMS):
        if urlsplit(page.url).netloc != provider:
            return
        password = page.locator("input[type=password]")
        if password.count():
            page.locator("input[name=login], input[name=username]").fill(plan["login"])
            password.fill(plan["password"])
        institutions = page.locator("input[type=radio][name=institution]")
        if institutions.count():
            chosen = plan.get("institution")
            (institutions.first if chosen is None else page.locator(f"input[value='{chosen}']")).check()
        denying = "[value=cancel], [value=deny]"
        buttons = page.locator("button, input[type=submit]")
        if plan.get("answer") == "cancel" and page.locator(denying).count():
            button = page.locator(denying).first
        else:
            button = buttons.first
        # A click returns when the navigation that it began has committed, redirects and all.
        with page.expect_navigation(wait_until="load"):
            button.click()
    raise AssertionError(f"still at {page.url}: {page.inner_text('body')}")


def _seen(page: Page) -> dict[str, Any]:
    return {
        "url": page.url,
        "title": page.title(),
        "text": page.inner_text("body"),
        "html": page.content(),
        "storage": page.evaluate("[Object.entries(localStorage), Object.entries(sessionStorage), document.cookie]"),
    }


def _drive(plan: dict[str, Any], url: str) -> dict[str, Any]:
    console: list[dict[str, str]] = []
    requests: list[str] = []
    responses: list[Response] = []
    failures: list[str] = []

    def said(message: ConsoleMessage) -> None:
        console.append({"type": message.type, "text": message.text, "url": message.location["url"]})

    def asked(dialog: Dialog) -> None:
        console.append({"type": "dialog", "text": dialog.message})
        dialog.dismiss()

    with TemporaryDirectory(prefix="chromium-") as folder:
        profile = Path(folder)
        with chromium(profile, spki=plan.get("spki")) as context:
            page = context.pages[0]
            page.on("console", said)
            page.on("pageerror", lambda error: console.append({"type": "exception", "text": str(error)}))
            page.on("dialog", asked)
            page.on("request", lambda request: requests.append(request.url))
            page.on("requestfailed", lambda request: failures.append(f"{request.url} {request.failure}"))
            # Their headers are asked for when all is over: within an event nothing may wait.
            page.on("response", lambda response: responses.append(response))
            page.goto(url)
            _sign_in(page, plan)
            report = {
                "authorization_url": url,
                **_seen(page),
                "entries": _entries(context, page),
                "requests": requests,
                "responses": [
                    {"url": response.url, "status": response.status, "headers": response.all_headers()}
                    for response in responses
                ],
            }
            if plan.get("screenshot"):
                _take_pictures(page, Path(plan["screenshot"]))
        report["history"] = history(profile)
    return {**report, "console": console, "failures": failures}


def _take_pictures(page: Page, path: Path) -> None:
    """One for each of the two ways in which a person may have set up their desktop."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=path.with_stem(f"{path.stem}-{scheme}"), full_page=True)


def _entries(context: BrowserContext, page: Page) -> list[str]:
    """The addresses that back and forward lead to, and the one that is shown."""
    session = context.new_cdp_session(page)
    entries = [entry["url"] for entry in session.send("Page.getNavigationHistory")["entries"]]
    session.detach()
    return entries


if __name__ == "__main__":
    browser_main(_drive)
