"""`api` sends no private key and no file with a secret of ours, in whatever form and by whatever way."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from banno_creds.jose import keys
from tests.conftest import CLIENT_ID, write_private
from tests.servers.loopback import Says, says_json

from .dressings import files, texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Cli, Result
    from tests.servers.scripted import ScriptedServer

pytestmark = pytest.mark.once

KEY = keys.generate("ec")
FILES, TEXTS = files(KEY), texts(KEY)
REFUSED = "and nothing was sent"


@pytest.fixture
def api(cli: Cli, server: ScriptedServer, ec_pem: Path, folder: Path) -> Callable[..., Result]:
    """Call the API of a server that also grants the token."""
    server.says(says_json(access_token="an-opaque-token", token_type="Bearer", expires_in=600))
    base = server.url.removesuffix("/token")

    def call(*args: str | Path, stdin: bytes = b"") -> Result:
        ask = ["--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", server.url]
        return cli("api", *ask, "--api-base", base, *args, stdin=stdin)

    return call


@pytest.mark.parametrize("name", FILES)
def test_a_key_is_not_sent_as_a_body(
    api: Callable[..., Result], server: ScriptedServer, tmp_path: Path, name: str
) -> None:
    file = write_private(tmp_path / "body", FILES[name])
    for args, stdin in ((["--input", file], b""), (["--input", "-"], FILES[name]), (["-F", f"x=@{file}"], b"")):
        if len(FILES[name]) > 1024 * 1024 and args[0] != "--input":
            continue  # a field is never so long
        result = api("/a", *args, stdin=stdin)
        assert (result.code, result.stdout) == (2, "")
        assert f"there is a private key in {'standard input' if stdin else file}" in result.stderr.replace(
            "There", "there"
        )
    assert server.requests == []


@pytest.mark.parametrize("name", TEXTS)
def test_a_key_is_not_sent_in_a_path_a_field_or_a_header(
    api: Callable[..., Result], server: ScriptedServer, name: str
) -> None:
    text = TEXTS[name]
    for args in (
        [f"/a/{text}"],
        [f"/a?key={text}"],
        ["/a", "-X", "GET", "-f", f"key={text}"],
        ["/a", "-f", f"key={text}"],
        ["/a", "-F", f"key={text}"],
        ["/a", "-H", f"X-Key: {text}"],
        [text],
    ):
        result = api(*args)
        assert (result.code, result.stdout) == (2, "")
        assert "private key" in result.stderr
    assert server.requests == []


def test_a_key_far_behind_in_a_pipe_breaks_the_request_off(
    server: ScriptedServer, ec_pem: Path, folder: Path
) -> None:
    """What a pipe says later is not known before the request has begun."""
    server.says(says_json(access_token="an-opaque-token", token_type="Bearer", expires_in=600))
    ask = ["--client-id", CLIENT_ID, "--private-key", str(ec_pem), "--token-endpoint", server.url]
    base = server.url.removesuffix("/token")
    done = subprocess.run(
        [sys.executable, "-m", "banno_creds", "api", *ask, "--api-base", base, "/a", "--input", "-"],
        input=b"some text\n" * 300_000 + KEY.pem(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"private key in standard input, and the request was broken off" in done.stderr
    assert not any(b"PRIVATE" in request.body for request in server.requests)


@pytest.mark.parametrize(
    ("whose", "way"),
    [
        *(("key", way) for way in ("path", "hard link", "stdin")),
        pytest.param("key", "link", marks=pytest.mark.posix("everybody may make a symbolic link")),
        pytest.param("key", "descriptor", marks=pytest.mark.posix("an open file has a path")),
        *((whose, "path") for whose in ("passphrase", "secret", "login", "cache")),
    ],
)
def test_our_own_files_are_not_sent(
    server: ScriptedServer, ec_pem: Path, tmp_path: Path, folder: Path, whose: str, way: str
) -> None:
    passphrase, secret = (write_private(tmp_path / name, b"correct horse") for name in ("passphrase", "secret"))
    state = tmp_path / "state"
    for place in (state, folder):
        place.mkdir(mode=0o700)
    login = write_private(state / f"{'a' * 64}.login", b'{"refresh_token": "abc"}')
    entry = write_private(folder / f"{'b' * 64}.json", b'{"token": "abc"}')
    file = {"key": ec_pem, "passphrase": passphrase, "secret": secret, "login": login, "cache": entry}[whose]
    other = tmp_path / "other"
    if way == "link":
        other.symlink_to(file)
    elif way == "hard link":
        os.link(file, other)
    given = {"path": str(file), "stdin": "-", "descriptor": "/dev/fd/0"}.get(way, str(other))
    ask = ["--client-id", CLIENT_ID, "--token-endpoint", server.url, "--passphrase-file", str(passphrase)]
    ask += ["--client-secret-file", str(secret), "--private-key", str(ec_pem)]
    for how in (["--input", given], ["-F", f"x=@{given}"]):
        if way in ("hard link", "link") and how[0] == "-F":
            continue
        with file.open("rb") as stdin:
            done = subprocess.run(
                [sys.executable, "-m", "banno_creds", "api", *ask, "/a", *how],
                stdin=stdin,
                capture_output=True,
                text=True,
                env={**os.environ, "BANNO_CREDS_STATE_DIR": str(state)},
                timeout=60,
                check=False,
            )
        assert (done.returncode, done.stdout) == (2, "")
        assert "is a file with a secret of yours, and nothing was sent" in done.stderr
    assert server.requests == []


def test_other_bodies_are_sent_byte_for_byte(
    api: Callable[..., Result], server: ScriptedServer, tmp_path: Path
) -> None:
    granted = says_json(access_token="an-opaque-token", token_type="Bearer", expires_in=600)
    for body in (b"", KEY.public.pem(), b"\xff\xfea\0", os.urandom(3 * 1024 * 1024), b'{"d": "Monday"}'):
        server.says(granted, Says(200, b"done"))
        result = api("/a", "--input", write_private(tmp_path / "body", body))
        assert (result.code, result.stdout) == (0, "done")
        assert server.requests[-1].body == body
        (tmp_path / "body").unlink()
