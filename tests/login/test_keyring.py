"""A keyring that does not answer: it is waited for with a word and a bound, and no refresh token is lost."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import pytest

from banno_creds.login import keyring
from tests.oidc import Tool, kept, one_line, session, tool_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.openid_provider import OpenIdProvider

FOUND, SET, GET, REMOVE = "found", "set", "get", "remove"


class WindowsFaultError(Exception):
    """As pywin32-ctypes raises it: a number, a function, and words in the user's language."""

    def __init__(self, winerror: int, funcname: str, strerror: str) -> None:
        super().__init__(winerror, funcname, strerror)
        self.winerror = winerror


class Backend:
    """A keyring that hangs in some of its calls until the test ends.

    Attributes:
        hangs: the calls that do.
        entries: what it holds.
        calls: what it was asked.
        most_bytes: how long a secret may be, in UTF-16; Windows takes 2,560 bytes.
        fault: what it says when it is to keep something.
    """

    priority, name = 9, "a keyring of this test"

    def __init__(self) -> None:
        self.hangs: set[str] = set()
        self.entries: dict[tuple[str, str], str] = {}
        self.calls: list[str] = []
        self.most_bytes: float = math.inf
        self.fault: Exception | None = None
        self.over = threading.Event()

    def asked(self, call: str) -> None:
        self.calls.append(call)
        if call in self.hangs:
            self.over.wait(60)
            raise RuntimeError("the test is over")

    def found(self) -> Backend:
        self.asked(FOUND)
        return self

    def set_password(self, service: str, user: str, password: str) -> None:
        self.asked(SET)
        if len(password.encode("utf-16-le")) > self.most_bytes:
            raise WindowsFaultError(1783, "CredWrite", "Der Stub erhielt falsche Daten")
        if self.fault is not None:
            raise self.fault
        self.entries[service, user] = password

    def get_password(self, service: str, user: str) -> str | None:
        self.asked(GET)
        return self.entries.get((service, user))

    def delete_password(self, service: str, user: str) -> None:
        self.asked(REMOVE)
        del self.entries[service, user]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    made = Backend()
    monkeypatch.setattr("keyring.get_keyring", made.found)
    monkeypatch.setattr(keyring, "_SILENT_SECONDS", 0.05)
    monkeypatch.setattr(keyring, "_MOST_SECONDS", 0.3)
    monkeypatch.setattr(keyring, "_SLICE_SECONDS", 0.02)
    monkeypatch.setattr(keyring, "_LATE", threading.Event())
    yield made
    made.over.set()


@pytest.fixture
def tool(cli: Cli, provider: OpenIdProvider, ec_pem: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return tool_for(cli, provider, ec_pem, monkeypatch)


@pytest.mark.parametrize("hangs", [FOUND, SET, GET])
def test_login_goes_on_with_the_file_and_says_so(
    hangs: str, tool: Tool, provider: OpenIdProvider, backend: Backend
) -> None:
    backend.hangs = {hangs}
    result = tool.log_in("-q")
    assert result.code == 0, result.stderr
    said = one_line(result.stderr)
    assert said.lower().count("waiting for the keyring, at most 0.3 s") == 1
    assert "the file has " in said
    assert "it did not answer within 0.3 s" in said
    assert session()["refresh_token"] == provider.refresh_tokens[0]
    assert backend.calls.count(hangs) == 1, "it is waited for once"


def test_renewal_whose_token_the_keyring_holds_fails_with_a_next_step_and_uses_up_nothing(
    tool: Tool, provider: OpenIdProvider, backend: Backend
) -> None:
    assert tool.log_in("-q").code == 0
    before = session()
    assert before["refresh_token"] is None
    backend.hangs = {GET}
    result = tool.run("token", "--no-cache", "--force-refresh")
    assert (result.code, result.stdout) == (2, "")
    said = one_line(result.stderr)
    assert "waiting for the keyring" in said.lower()
    assert "which does not give it: it did not answer within 0.3 s" in said
    assert "unlock the keyring, or sign in again: banno-creds login" in said
    assert session() == before
    assert provider.forms("refresh_token") == []


@pytest.mark.parametrize("hangs", [SET, REMOVE])
def test_renewed_token_is_never_lost(hangs: str, tool: Tool, provider: OpenIdProvider, backend: Backend) -> None:
    assert tool.log_in("-q").code == 0
    provider.renews_id_token = True
    backend.hangs = {hangs}
    assert tool.run("token", "--no-cache", "--force-refresh", "--timeout", "5").code == 0
    last = provider.refresh_tokens[-1]
    assert session()["refresh_token"] == last or last in backend.entries.values()


def test_logout_ends_although_the_keyring_does_not_remove_its_entry(
    tool: Tool, provider: OpenIdProvider, backend: Backend
) -> None:
    assert tool.log_in("-q").code == 0
    backend.hangs = {REMOVE}
    result = tool.run("logout")
    assert result.code == 0, result.stderr
    assert "he keyring does not remove the refresh token" in one_line(result.stderr)
    assert [each.values["token_type_hint"] for each in provider.asked("/revoke")] == ["refresh_token", "access_token"]
    assert kept() == []


def test_keyring_that_answers_is_not_spoken_of(tool: Tool, backend: Backend) -> None:
    result = tool.log_in("-q")
    assert (result.code, result.stderr, len(backend.entries)) == (0, "", 1)


def test_keyring_is_used_where_no_thread_can_be_started(
    tool: Tool, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def fails(thread: threading.Thread) -> None:
        if thread.name == "banno-creds keyring":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fails)
    assert tool.log_in("-q").code == 0
    assert len(backend.entries) == 1


# --- Windows' Credential Manager ---

LONG = [f"{number}{'r' * 1280}" for number in range(3)]
SHORT = "s" * 1280
TOO_LONG = "he keyring (a keyring of this test) does not take the refresh token: 1281 characters are too long for it"


def renewed(tool: Tool) -> str:
    result = tool.run("token", "--no-cache", "--force-refresh")
    assert result.code == 0, result.stderr
    return one_line(result.stderr)


def test_token_that_is_too_long_for_the_keyring_goes_to_the_file_and_that_is_said_once(
    tool: Tool, provider: OpenIdProvider, backend: Backend
) -> None:
    backend.most_bytes = 2560
    provider.renews_id_token = True
    provider.next_refresh_tokens = [*LONG[:2], SHORT, LONG[2]]
    said = one_line(tool.log_in("-q").stderr)
    assert said.count(TOO_LONG) == 1
    assert "the file has it" in said
    assert (session()["refresh_token"], backend.entries) == (LONG[0], {})
    assert "too long for the keyring (a keyring of this test)" in one_line(tool.run("whoami").stderr)
    assert TOO_LONG not in renewed(tool)
    assert session()["refresh_token"] == LONG[1]
    # A shorter one goes to the keyring, and leaves the file.
    assert TOO_LONG not in renewed(tool)
    assert session()["refresh_token"] is None
    assert list(backend.entries.values()) == [SHORT]
    # A longer one goes back, and leaves the keyring.
    assert renewed(tool).count(TOO_LONG) == 1
    assert (session()["refresh_token"], backend.entries) == (LONG[2], {})
    assert tool.run("logout", "--no-browser").code == 0
    assert (kept(), backend.entries) == ([], {})


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            WindowsFaultError(1312, "CredWrite", "Eine Anmeldesitzung ist nicht vorhanden"),
            "there is none in this kind",
        ),
        (WindowsFaultError(5, "CredWrite", "Zugriff verweigert"), "Windows does not allow it"),
        (WindowsFaultError(9, "CredWrite", ""), "(9, 'CredWrite', '')"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_what_the_keyring_says_is_told_in_plain_words(
    tool: Tool, provider: OpenIdProvider, backend: Backend, fault: Exception, words: str
) -> None:
    backend.fault = fault
    said = one_line(tool.log_in("-q").stderr)
    assert f"does not take the refresh token: {words}" in said
    assert session()["refresh_token"] == provider.refresh_tokens[0]


def test_each_entry_has_a_name_of_its_own_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that are kept under one name at a time, the package keyring lets one overwrite the other there."""
    for platform, names in (("win32", {"banno-creds a", "banno-creds b"}), ("linux", {"banno-creds"})):
        monkeypatch.setattr("sys.platform", platform)
        assert {keyring.service(entry) for entry in "ab"} == names
