"""Where the system starts no further thread: an error that says so, and never a bug."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from banno_creds.config import ClientConfig, KeySource
from banno_creds.errors import NetworkError
from banno_creds.sandbox import Client, Sandbox
from banno_creds.tokens.token_source import TokenSource
from tests.conftest import CLIENT_ID
from tests.oidc import Tool, kept, one_line, session

if TYPE_CHECKING:
    from banno_creds.jose.keys import PrivateKey

OURS = ("banno-creds", "loopback server", "AnyIO worker", "sandbox")


def start_none(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...] = OURS) -> None:
    """Have the system start no thread of ours, and still those of the tests' servers."""
    start = threading.Thread.start

    def fails(thread: threading.Thread) -> None:
        if thread.name.startswith(names):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fails)


@pytest.mark.parametrize(
    "words",
    [
        ["login", "--manual"],
        ["token", "--no-cache", "--force-refresh"],
        ["whoami", "--userinfo"],
        ["logout"],
        ["api", "/x", "--api-base", "http://127.0.0.1:9"],
        ["client-assertion"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_command_says_so_and_ends_with_5(words: list[str], tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = session()
    start_none(monkeypatch)
    result = tool.run(*words)
    said = one_line(result.stdout + result.stderr)
    assert result.code == 5, said
    assert "he system starts no further thread for this user" in said
    assert "end some of the user's programs" in said
    assert ("ulimit -u" in said) == (sys.platform != "win32")  # what Windows has no word for
    assert "bug" not in said
    assert len(kept()) == 1
    assert {**session(), "caches": before.get("caches")} == before, "but for where its copies are"


def test_login_that_listens_says_so_and_frees_its_port(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        start_none(patch, ("loopback server",))
        result = tool.log_in()
        assert (result.code, result.stdout) == (5, "")
        assert "starts no further thread" in one_line(result.stderr)
    assert tool.log_in("-q").code == 0


def config(rsa_key: PrivateKey, url: str) -> ClientConfig:
    return ClientConfig(CLIENT_ID, KeySource("here", content=rsa_key.pem()), token_endpoint=url)


def test_token_source_raises_it_too(rsa_key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    source = TokenSource(config(rsa_key, "http://127.0.0.1:9/token"))
    with pytest.raises(NetworkError, match="no further thread"):
        source.token()
    with pytest.raises(NetworkError, match="thread"):
        asyncio.run(source.async_token())


def test_sandbox_answers_one_request_after_the_other(rsa_key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = [Client(CLIENT_ID, rsa_key.public.pem().decode())]
    with Sandbox(clients, log=lambda _: None) as running:
        start_none(monkeypatch, ("Thread-",))
        for _ in range(2):
            answer = httpx.get(f"{running.issuer}/.well-known/openid-configuration", trust_env=False)
            assert answer.status_code == 200
    start_none(monkeypatch)
    with pytest.raises(NetworkError, match="no further thread"), Sandbox(clients, log=lambda _: None):
        pass
