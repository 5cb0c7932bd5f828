"""The browser that `login` and `logout` open, and what is shown for the case that it does not open."""

from __future__ import annotations

import io
import socket
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from banno_creds.cli import browser, logout
from banno_creds.cli.report import Report
from tests.oidc import Tool, kept, one_line
from tests.person import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.openid_provider import OpenIdProvider


URL = "https://login.example/auth?state=known-to-the-browser-alone"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that were started to open a browser."""
    commands: list[list[str]] = []

    def start(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(stdout=io.BytesIO(b"found"))

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setenv("BROWSER", "true")
    return commands


@pytest.mark.parametrize("quiet", [False, True])
def test_opened_browser_is_no_promise_and_the_address_is_not_shown_for_it(
    quiet: bool, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert browser.show(URL, Report(quiet=quiet), opens=True)
    assert [command[4] for command in started] == [URL]
    shown = capsys.readouterr()
    said = "If no browser opens: Ctrl-C, then --no-browser shows the address.\n"
    assert (shown.out, shown.err) == ("", "" if quiet else said)


@pytest.mark.parametrize("show", [browser.show, logout.show])
def test_address_is_shown_where_none_is_opened_be_it_quiet_or_not(
    show: Callable[..., bool], started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not show(URL, Report(quiet=True), opens=False)
    assert started == []
    shown = capsys.readouterr()
    assert (shown.out, shown.err.splitlines()[1:]) == ("", [f"    {URL}"])


@pytest.mark.parametrize("quiet", [False, True])
def test_address_that_ends_the_login_is_shown_for_it_cannot_be_asked_for_again(
    quiet: bool, started: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert logout.show(URL, Report(quiet=quiet), opens=True)
    assert len(started) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count(URL), "Ctrl-C" in shown.err) == ("", int(not quiet), False)


@pytest.mark.parametrize("fault", ["elsewhere", "taken"])
def test_nobody_is_signed_out_where_the_browser_could_not_come_back(
    fault: str, tool: Tool, provider: OpenIdProvider
) -> None:
    port = free_port()
    uri = "https://app.example.com/out" if fault == "elsewhere" else f"http://localhost:{port}/out"
    with socket.create_server(("127.0.0.1", port)):
        result = tool.run("logout", "--post-logout-redirect-uri", uri)
    assert result.code == 2
    said = one_line(result.stderr)
    assert "nobody was signed out" in said
    assert "leave --post-logout-redirect-uri out" in said
    assert "--manual" not in said
    assert provider.asked("/revoke") == []
    assert (len(kept()), len(tool.browser.addresses)) == (1, 1)


def test_browser_that_does_not_come_back_from_the_logout_is_a_warning(
    tool: Tool, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banno_creds.cli.logout.show", lambda *_, **__: True)
    uri = urlsplit(tool.redirect_uri)._replace(path="/out").geturl()
    result = tool.run("logout", "--post-logout-redirect-uri", uri, "--wait", "1")
    assert result.code == 0
    said = one_line(result.stderr)
    assert "did not come back within 1 s" in said
    assert "nobody signed in" not in said
    assert kept() == []
    assert provider.asked("/revoke") != []
