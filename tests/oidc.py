"""An OpenID provider on loopback for the tests of the login: it signs one person in without a question.

What it says can be changed for each test; what it was asked, and how often each refresh token was used, it tells.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from banno_creds.storage import own_files
from banno_creds.storage.lock import Lock

from .conftest import CLIENT_ID
from .person import Person, Visit, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pytest

    from .conftest import Cli, Result
    from .servers.openid_provider import Claims, OpenIdProvider


NO_HOME = dict.fromkeys(("LOCALAPPDATA", "USERPROFILE") if sys.platform == "win32" else ("HOME",), "")
"""Variables of somebody who has no place for a login."""


@dataclass
class Browser:
    """In the place of the browser: it opens what it is given, and goes on to where that leads.

    Attributes:
        addresses: what it was given.
        pages: where it ended, and what stood there.
        before: called with the answer's address before it is opened: what an attacker does then.
        person: who signs in, where the provider asks.
    """

    addresses: list[str] = field(default_factory=list)
    pages: list[httpx.Response] = field(default_factory=list)
    before: Callable[[str], object] = lambda _: None
    person: Person | None = None
    _threads: list[threading.Thread] = field(default_factory=list)

    def show(self, url: str, report: object, *, opens: bool) -> bool:
        """As `cli.browser.show`; it opens the address however it is told."""
        del report, opens
        self.addresses.append(url)
        self._threads.append(threading.Thread(target=self._open, args=(url,)))
        self._threads[-1].start()
        return True

    def _open(self, url: str) -> None:
        if self.person is not None:
            with Visit(self.person) as visit:
                self.pages.append(visit.follow(visit.sign_in(url)))
            return
        with httpx.Client(trust_env=False, timeout=30) as http:
            answer = http.get(url)
            if "location" in answer.headers:
                self.before(answer.headers["location"])
                answer = http.get(answer.headers["location"], follow_redirects=True)
            self.pages.append(answer)

    def done(self) -> httpx.Response | None:
        """Wait for it; the last page, if there was one."""
        for thread in self._threads:
            thread.join(30)
        return self.pages[-1] if self.pages else None

    @property
    def request(self) -> dict[str, str]:
        """The parameters of the last authorization request."""
        return dict(parse_qsl(urlsplit(self.addresses[-1]).query, keep_blank_values=True))


def answer_to(url: str) -> str:
    """Where a browser that opens an authorization request ends, without opening that."""
    return str(httpx.get(url, trust_env=False).headers["location"])


@dataclass
class Tool:
    """The command line as a person uses it with one client of the provider, in this process."""

    cli: Cli
    provider: OpenIdProvider
    browser: Browser
    client: list[str]
    redirect_uri: str
    issuer: str

    @property
    def options(self) -> list[str]:
        """What names the client, its key or secret, and the provider."""
        return [*self.client, "--issuer", self.issuer]

    def log_in(self, *more: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        """Sign in."""
        redirect = [] if "--redirect-uri" in more else ["--redirect-uri", self.redirect_uri]
        options = [*self.options, *redirect, *more]
        result = self.cli("login", *options, stdin=stdin, env=env)
        self.browser.done()
        return result

    def run(self, command: str, *more: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Result:
        """Run another command for the same client."""
        result = self.cli(command, *self.options, *more, stdin=stdin, env=env)
        self.browser.done()
        return result


def tool_for(
    cli: Cli, provider: OpenIdProvider, pem: Path, monkeypatch: pytest.MonkeyPatch, browser: Browser | None = None
) -> Tool:
    """The tool, whose browser is ours."""
    browser = browser or Browser()
    monkeypatch.setattr("banno_creds.cli.login.show", browser.show)
    monkeypatch.setattr("banno_creds.cli.logout.show", browser.show)
    client = ["--client-id", CLIENT_ID, "--private-key", str(pem)]
    return Tool(cli, provider, browser, client, f"http://localhost:{free_port()}/auth/cb", provider.issuer)


def kept() -> list[Path]:
    """The files of logins."""
    from pathlib import Path

    folder = own_files.state_folder()
    assert folder is not None
    return sorted(Path(folder).glob("*.login"))


def lock() -> Lock:
    """The lock of the one login there is; take it, as another process would."""
    return Lock(f"{kept()[0]}{own_files.LOCK}")


def session() -> Claims:
    """What the one login's file holds."""
    [file] = kept()
    members: Claims = json.loads(file.read_bytes())
    return members


def change_session(**members: Any) -> None:
    """Change what the one login's file holds."""
    [file] = kept()
    file.write_text(json.dumps(session() | members))


def grow_older(seconds: int) -> None:
    """As if the tokens had been asked for so much earlier."""
    change_session(requested_at=session()["requested_at"] - seconds)


def one_line(text: str) -> str:
    """Text without the line ends that fit it to a terminal."""
    return " ".join(text.split())
