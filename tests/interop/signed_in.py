"""The command line as a person uses it with one client of a provider, in this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.conftest import Cli, Result

    from .conftest import LoginClient


@dataclass
class Browser:
    """In the place of the browser: the person signs in where it leads, and it goes on to where that ends."""

    sign_in: Callable[[str], str]
    addresses: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def show(self, url: str, report: object, *, opens: bool) -> bool:
        """As `cli.browser.show`; it opens the address however it is told."""
        del report, opens
        self.addresses.append(url)
        # An authorization request comes back; what ends the login at the provider does not.
        if "redirect_uri=" in url or "request_uri=" in url:
            self._threads.append(threading.Thread(target=self._open, args=(url,)))
            self._threads[-1].start()
        return True

    def _open(self, url: str) -> None:
        try:
            httpx.get(self.sign_in(url), trust_env=False, timeout=30, follow_redirects=True)
        except Exception as failure:  # noqa: BLE001 - told in the test's own thread
            self.failures.append(failure)

    def done(self) -> None:
        """Wait for it."""
        for thread in self._threads:
            thread.join(30)


@dataclass
class Tool:
    """The command line with one client of a provider."""

    cli: Cli
    issuer: str
    client: LoginClient
    redirect_uri: str
    browser: Browser

    def log_in(self, *more: str) -> Result:
        """Sign the person in."""
        result = self.run("login", "--redirect-uri", self.redirect_uri, *more)
        assert not self.browser.failures, (self.browser.failures, result)
        return result

    def run(self, command: str, *more: str) -> Result:
        """Run a command for the client."""
        result = self.cli(command, "--issuer", self.issuer, *self.client.options, *more)
        self.browser.done()
        return result


def tool_for(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    issuer: str,
    client: LoginClient,
    redirect_uri: str,
    sign_in: Callable[[str], str],
) -> Tool:
    browser = Browser(sign_in)
    for command in ("login", "logout"):
        monkeypatch.setattr(f"banno_creds.cli.{command}.show", browser.show)
    return Tool(cli, issuer, client, redirect_uri, browser)
