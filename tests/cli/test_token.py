"""``banno-creds token``: the token alone on standard output, from the cache where it can be."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from banno_creds import recall
from banno_creds.cli import forms
from banno_creds.cli.report import write_result
from banno_creds.config import Wanted
from banno_creds.profiles import lookup as profiles
from banno_creds.sandbox import Client, Sandbox
from banno_creds.storage import own_files
from banno_creds.tokens.client_credentials import ClientCredentials
from tests.conftest import CLIENT_ID, How, Result, instead, write_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli
    from tests.servers.issuer import Issuer

IS_NOT_ROOT = sys.platform != "win32" and os.geteuid() != 0
GO_ON = "    it goes on without a cache; BANNO_CREDS_CACHE_DIR names another folder, --no-cache uses none\n"


def _good(token: str) -> Result:
    return Result(0, f"{token}\n", "")


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


# --- what is said ---------------------------------------------------------------------------------------------------


def test_the_access_token_alone_is_on_stdout_and_nothing_on_stderr(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    assert cli(*ask) == _good("openid.1")
    assert cli(*ask) == _good("openid.1")
    assert len(issuer.forms) == 1


def test_the_sandbox_grants_a_token_as_the_first_command_gets_one(
    cli: Cli, folder: Path, rsa_pem: Path, rsa_key: PrivateKey
) -> None:
    with Sandbox([Client(CLIENT_ID, rsa_key.public.pem().decode())], log=lambda _: None) as sandbox:
        ask = ["--client-id", CLIENT_ID, "--private-key", str(rsa_pem), "--token-endpoint", sandbox.token_endpoint]
        first = cli("token", *ask)
        assert re.fullmatch(r"eyJ[\w-]+\.[\w-]+\.[\w-]+\n", first.stdout)
        assert cli("token", *ask) == first == Result(0, first.stdout, "")
        by_issuer = cli("token", *ask[:4], "--issuer", sandbox.issuer)
        assert by_issuer.code == 0
        assert by_issuer.stdout != first.stdout
        assert cli("token", *ask[:4], "--issuer", sandbox.issuer) == by_issuer


@pytest.mark.parametrize(("minutes", "lifetime"), [(-3.9, "60"), (3.9, "300")])
def test_a_servers_clock_that_is_wrong_changes_nothing(
    cli: Cli, folder: Path, rsa_pem: Path, rsa_key: PrivateKey, minutes: float, lifetime: str
) -> None:
    """An assertion is good within the server's tolerance; the token's life is counted by our clock all the same."""
    ask = ["token", "--client-id", CLIENT_ID, "--private-key", str(rsa_pem), "--lifetime", lifetime]
    with Sandbox(
        [Client(CLIENT_ID, rsa_key.public.pem().decode())],
        log=lambda _: None,
        clock=lambda: time.time() + 60 * minutes,
    ) as sandbox:
        ask += ["--token-endpoint", sandbox.token_endpoint]
        first = cli(*ask)
        assert (first.code, first.stderr) == (0, "")
        assert cli(*ask) == first
        expires_at = int(cli(*ask, "-o", "env").stdout.rpartition("=")[2])
        assert expires_at == pytest.approx(time.time() + 600, abs=30)


def test_verbose_shows_the_steps_and_whether_the_cache_answered(cli: Cli, ask: list[str]) -> None:
    first = cli(*ask, "-v")
    assert (first.code, first.stdout) == (0, "openid.1\n")
    titles = re.findall(r"^ *\d+  (.*)$", first.stderr, re.MULTILINE)
    assert titles == [
        *(
            "Whose token",
            "Cache",
            "Private key",
            "JWT payload",
            "Signed JWT",
            "Token request",
            "Token response",
            "Access token",
        ),
    ]
    whose = " 1  Whose token\n    the application's own · nobody is signed in\n"
    assert first.stderr.startswith(f"{whose} 2  Cache\n    it holds no token for this request\n")
    second = cli(*ask, "--verbose")
    assert second.stdout == "openid.1\n"
    assert re.fullmatch(
        whose
        + r""" 2  Cache
    it holds the token: asked for \d s ago, good for (600|59\d) s more
 3  Access token
    Bearer · 600 s, until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC
    \(not shown: it is short\)
""",
        second.stderr,
    ), second.stderr


@pytest.mark.posix("modes")
def test_warnings_about_the_key_are_given_each_time(cli: Cli, ask: list[str], ec_pem: Path) -> None:
    ec_pem.chmod(0o644)
    warning = f"!   Others can read {ec_pem} (mode 0644)\n    chmod 600 {ec_pem}\n"
    assert [cli(*ask) for _ in range(3)] == [Result(0, "openid.1\n", warning)] * 3


@pytest.mark.posix("modes")
def test_a_key_that_others_can_write_is_refused_though_a_token_is_there(
    cli: Cli, ask: list[str], ec_pem: Path
) -> None:
    cli(*ask)
    ec_pem.chmod(0o666)
    assert cli(*ask).code == 3
    assert cli(*ask, "--allow-writable-key").stdout == "openid.1\n"


# --- forms ----------------------------------------------------------------------------------------------------------


def test_the_forms_are_those_of_client_assertion_and_tell_what_is_left(
    cli: Cli, ask: list[str], how: How, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    assert json.loads(cli(*ask, "-o", "json").stdout) == {
        "access_token": "openid.1",
        "token_type": "Bearer",
        "expires_in": 600,
    }
    header = Result(0, "Authorization: Bearer openid.1\n", "")
    assert [cli(*ask, "-o", "header") for _ in range(2)] == [header] * 2
    env = [cli(*ask, "-o", "env").stdout for _ in range(2)]
    found = re.fullmatch(
        r"export BANNO_ACCESS_TOKEN=openid.1 BANNO_TOKEN_TYPE=Bearer BANNO_TOKEN_EXPIRES_AT=(\d+)\n", env[0]
    )
    assert found
    assert began + 599 < int(found[1]) <= time.time() + 600
    assert env[0] == env[1]
    clock = time.time
    monkeypatch.setattr(own_files, "uptime", lambda: ("", 0.0))
    how.clock = lambda: clock() + 100
    left = [json.loads(cli(*ask, "-o", "json").stdout)["expires_in"] for _ in range(2)]
    assert left == [pytest.approx(500, abs=5)] * 2


@pytest.mark.posix("a POSIX shell")
def test_a_shell_can_eval_the_env_form(ask: list[str]) -> None:
    command = shlex.join([sys.executable, "-m", "banno_creds", *ask, "-o", "env"])
    script = f'vars=$({command}); eval "$vars"; sh -c \'printf %s "$BANNO_ACCESS_TOKEN"\''
    done = subprocess.run(["sh", "-euc", script], capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("openid.1", "")


def test_github_masks_the_token_before_anything_else_and_writes_both_files(
    cli: Cli, ask: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    files = {"GITHUB_ENV": tmp_path / "env", "GITHUB_OUTPUT": tmp_path / "output"}
    files["GITHUB_ENV"].write_text("BEFORE=1\n")
    append = forms._append

    def write(text: str) -> None:
        seen.append(("stdout", text))
        write_result(text)

    def append_too(file: str, lines: str) -> None:
        if lines:  # without any, it is looked whether the file can be written
            seen.append((file, lines))
        append(file, lines)

    monkeypatch.setattr(forms, "write_result", write)
    monkeypatch.setattr(forms, "_append", append_too)
    env = {name: str(path) for name, path in files.items()}
    for _ in range(2):  # the second time from the cache
        assert cli(*ask, "-o", "github", env=env) == Result(0, "::add-mask::openid.1\n", "")
    assert [place for place, _ in seen[:3]] == ["stdout", str(files["GITHUB_ENV"]), str(files["GITHUB_OUTPUT"])]
    assert re.fullmatch(
        r"BEFORE=1\n(BANNO_ACCESS_TOKEN=openid.1\nBANNO_TOKEN_TYPE=Bearer\nBANNO_TOKEN_EXPIRES_AT=\d{10}\n){2}",
        files["GITHUB_ENV"].read_text(),
    )
    assert re.fullmatch(
        r"(access_token=openid.1\ntoken_type=Bearer\nexpires_at=\d{10}\n){2}", files["GITHUB_OUTPUT"].read_text()
    )


@pytest.mark.parametrize("name", ["GITHUB_ENV", "GITHUB_OUTPUT"])
def test_github_does_with_one_of_its_files(cli: Cli, ask: list[str], tmp_path: Path, name: str) -> None:
    assert cli(*ask, "-o", "github", env={name: str(tmp_path / "file")}).code == 0
    assert "openid.1" in (tmp_path / "file").read_text()


def test_github_outside_a_job_is_an_error_that_shows_no_token(cli: Cli, ask: list[str]) -> None:
    assert cli(*ask, "-o", "github", env={"GITHUB_ENV": ""}) == Result(
        2,
        "",
        "✗   --output github needs GITHUB_ENV or GITHUB_OUTPUT, and neither is set\n"
        "    Next: use it in a job of GitHub Actions; elsewhere take another form\n",
    )


def test_a_file_of_github_that_cannot_be_written_is_an_error_before_the_request(
    cli: Cli, ask: list[str], issuer: Issuer, tmp_path: Path
) -> None:
    folder = cli(*ask, "-o", "github", env={"GITHUB_OUTPUT": str(tmp_path)})
    assert (folder.code, folder.stdout, issuer.forms) == (2, "", [])
    words = os.strerror(errno.EACCES if sys.platform == "win32" else errno.EISDIR)
    assert folder.stderr.startswith(f"✗   The token could not be written to {tmp_path}: {words}\n    Next: ")


@pytest.mark.posix("/dev/full")
def test_a_file_of_github_that_is_full_is_an_error_after_the_mask(cli: Cli, ask: list[str]) -> None:
    full = cli(*ask, "-o", "github", env={"GITHUB_OUTPUT": "/dev/full"})
    assert (full.code, full.stdout) == (2, "::add-mask::openid.1\n")
    assert full.stderr.startswith(
        "✗   The token could not be written to /dev/full: No space left on device\n    Next: "
    )


# --- which token ----------------------------------------------------------------------------------------------------

DIFFERENT: dict[str, list[str]] = {
    "alg": ["--alg", "ES256"],
    "kid": ["--kid", "thumbprint"],
    "aud": ["--aud", "URL"],
    "lifetime": ["--lifetime", "61"],
    "iat": ["--iat"],
    "claim": ["--claim", "a=1"],
    "typed claim": ["--claim", "a:=1"],
    "scope": ["--scope", "openid full"],
    "another order": ["--scope", "full openid"],
    "resource": ["--resource", "https://a.example"],
    "resources": ["--resource", "https://a.example", "--resource", "https://b.example"],
    "the other order": ["--resource", "https://b.example", "--resource", "https://a.example"],
    "param": ["--param", "a=1"],
    "CA bundle": ["--ca-bundle", "BUNDLE"],
}


def test_a_run_that_differs_in_anything_is_given_a_token_of_its_own(
    cli: Cli, ask: list[str], issuer: Issuer, rsa_pem: Path, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    places = {"URL": issuer.url, "BUNDLE": str(tmp_path / "ca.pem")}
    runs = {name: [*ask, *(places.get(word, word) for word in more)] for name, more in DIFFERENT.items()}
    runs["client ID"] = instead(ask, "--client-id", "another")
    runs["endpoint"] = instead(ask, "--token-endpoint", f"{issuer.url}?")
    runs["nothing"] = ask
    runs["key"] = instead(ask, "--private-key", rsa_pem)
    given = {name: cli(*run).stdout for name, run in runs.items()}
    assert len(set(given.values())) == len(runs) == len(issuer.forms)
    assert {name: cli(*run).stdout for name, run in runs.items()} == given
    assert len(issuer.forms) == len(runs)


def test_the_same_key_by_another_way_is_given_the_same_token(
    cli: Cli, ask: list[str], issuer: Issuer, ec_pem: Path, tmp_path: Path
) -> None:
    first = cli(*ask)
    assert cli(*instead(ask, "--private-key", write_private(tmp_path / "copy", ec_pem.read_bytes()))) == first
    assert cli(*instead(ask, "--private-key", "-"), stdin=ec_pem.read_bytes()) == first
    without = [*ask[:3], *ask[5:]]
    assert cli(*without, env={"BANNO_CREDS_PRIVATE_KEY_PEM": ec_pem.read_text()}) == first
    assert len(issuer.forms) == 1


@pytest.mark.posix("/dev/fd")
def test_a_key_in_a_pipe_is_read_once(ask: list[str], ec_pem: Path) -> None:
    """As a shell gives the output of a vault: ``--private-key <(vault read …)``."""
    for _ in range(2):
        reading, writing = os.pipe()
        os.write(writing, ec_pem.read_bytes())
        os.close(writing)
        done = subprocess.run(
            [sys.executable, "-m", "banno_creds", *instead(ask, "--private-key", f"/dev/fd/{reading}")],
            pass_fds=[reading],
            capture_output=True,
            timeout=60,
            check=False,
        )
        os.close(reading)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"openid.1\n", b"")


@pytest.mark.posix("a pipe with a path")
def test_a_key_in_a_named_pipe_is_read_once(cli: Cli, ask: list[str], ec_pem: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for _ in range(2):
        writer = threading.Thread(target=pipe.write_bytes, args=(ec_pem.read_bytes(),))
        writer.start()
        assert cli(*instead(ask, "--private-key", pipe)) == _good("openid.1")
        writer.join(10)


def test_a_key_that_is_replaced_while_the_server_is_asked_is_not_taken_for_the_first(
    process: Cli, ask: list[str], issuer: Issuer, ec_pem: Path, rsa_pem: Path, folder: Path
) -> None:
    """What a later run with either key is given is the token of that key."""
    ec, rsa = ec_pem.read_bytes(), rsa_pem.read_bytes()
    env = {"BANNO_CREDS_CACHE_DIR": str(folder)}
    issuer.gate.clear()
    with subprocess.Popen([sys.executable, "-m", "banno_creds", *ask], stdout=subprocess.PIPE) as running:
        issuer.wait_for(1)
        ec_pem.write_bytes(rsa)
        issuer.gate.set()
        assert running.communicate(timeout=30)[0] == b"openid.1\n"
    assert [process(*ask, env=env) for _ in range(2)] == [_good("openid.2")] * 2
    ec_pem.write_bytes(ec)
    assert [process(*ask, env=env) for _ in range(2)] == [_good("openid.1")] * 2


# --- options of the cache -------------------------------------------------------------------------------------------


def test_min_ttl_is_how_long_the_token_must_be_good(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    issuer.expires_in = 500
    assert cli(*ask) == _good("openid.1")
    assert cli(*ask, "--min-ttl", "400") == _good("openid.1")
    too_long = _short_life(500, 500)
    assert cli(*ask, "--min-ttl", "500") == Result(0, "openid.2\n", too_long)
    assert cli(*ask, env={"BANNO_CREDS_MIN_TTL": "500"}) == Result(
        0, "openid.3\n", too_long.replace("--min-ttl", "BANNO_CREDS_MIN_TTL")
    )
    assert cli(*ask, "--min-ttl", "0") == _good("openid.3")


def _short_life(life: int, min_ttl: int) -> str:
    return (
        f"!   The token lives {life} s, and --min-ttl asks for {min_ttl}: nothing can come from the cache\n"
        f"    lower --min-ttl below {life}\n"
    )


@pytest.mark.parametrize("value", ["-1", "86401", "soon", "1.5", ""])
def test_a_min_ttl_that_cannot_be_is_an_error(cli: Cli, ask: list[str], issuer: Issuer, value: str) -> None:
    result = cli(*ask, "--min-ttl", value)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("✗   --min-ttl: ")
    assert issuer.forms == []


def test_a_token_that_lives_for_less_than_min_ttl_is_given_all_the_same_and_told_of_each_time(
    cli: Cli, ask: list[str], issuer: Issuer
) -> None:
    issuer.expires_in = 30
    assert cli(*ask) == Result(0, "openid.1\n", _short_life(30, 60))
    assert cli(*ask) == Result(0, "openid.2\n", _short_life(30, 60))
    assert cli(*ask, "--min-ttl", "10") == _good("openid.2")
    assert cli(*ask, "--no-cache") == _good("openid.3")
    issuer.expires_in = 0
    warning, _, hint = cli(*ask, "--min-ttl", "31").stderr.partition("\n")
    assert warning == "!   The token lives 0 s, and --min-ttl asks for 31: nothing can come from the cache"
    assert hint == ""


def test_force_refresh_asks_the_server_and_what_came_is_everybodys(cli: Cli, ask: list[str]) -> None:
    assert cli(*ask) == _good("openid.1")
    assert cli(*ask, "--force-refresh") == _good("openid.2")
    assert cli(*ask) == _good("openid.2")
    assert cli(*ask, env={"BANNO_CREDS_FORCE_REFRESH": "1"}) == _good("openid.3")


def test_no_cache_neither_reads_nor_writes_one(cli: Cli, ask: list[str], folder: Path) -> None:
    assert cli(*ask, "--no-cache") == _good("openid.1")
    assert not folder.exists()
    assert cli(*ask) == _good("openid.2")
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    assert cli(*ask, "--no-cache") == _good("openid.3")
    assert cli(*ask, env={"BANNO_CREDS_NO_CACHE": "1"}) == _good("openid.4")
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())] == before
    assert cli(*ask) == _good("openid.2")


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSED = r"""✗   The server refused the client: invalid_client — client authentication failed
    client \S+
    401 Unauthorized from {url} · application/json
    this answer hides the reason; ruled out here: \S.*
    left: \S.*
"""
HINT = r"""    Next: find out which of its many reasons it has:
    banno-creds doctor --client-id \S+ --private-key .*
    More: banno-creds explain invalid_client
"""


def test_a_refusal_is_remembered_and_says_how_long_ago_and_how_to_try_anyway(
    cli: Cli, ask: list[str], issuer: Issuer, rsa_pem: Path
) -> None:
    issuer.refuse()
    refused = REFUSED.format(url=re.escape(issuer.url))
    first = cli(*ask)
    assert (first.code, first.stdout) == (4, "")
    assert re.fullmatch(refused + HINT, first.stderr), first.stderr
    again = cli(*ask)
    assert (again.code, again.stdout) == (4, "")
    assert re.fullmatch(
        refused
        + r"""    that was \d s ago; not asked again, for a bank blocks addresses that fail too often
    to ask at once: --force-refresh; otherwise wait (30|2\d) s
"""
        + HINT,
        again.stderr,
    ), again.stderr
    assert cli(*ask, "-v").code == 4
    assert len(issuer.forms) == 1
    assert cli(*instead(ask, "--private-key", rsa_pem)).code == 4
    assert cli(*ask, "--scope", "full").code == 4
    assert len(issuer.forms) == 3
    issuer.failure = None
    assert cli(*ask).code == 4
    assert cli(*ask, "--force-refresh") == _good("openid.4")
    assert cli(*ask) == _good("openid.4")


def test_a_token_that_is_good_survives_a_refusal(cli: Cli, ask: list[str], issuer: Issuer) -> None:
    assert cli(*ask) == _good("openid.1")
    issuer.refuse()
    assert cli(*ask, "--force-refresh").code == 4
    assert cli(*ask) == _good("openid.1")


def test_a_server_that_is_down_is_asked_again_by_the_next_run(
    cli: Cli, ask: list[str], issuer: Issuer, how: How
) -> None:
    how.sleep = lambda _: None
    issuer.failure = 503, {}
    for _ in range(2):
        result = cli(*ask)
        assert result.code == 5
        assert "s ago" not in result.stderr
    assert len(issuer.forms) == 6
    issuer.failure = None
    assert cli(*ask) == _good("openid.7")


# --- the folder and its files ---------------------------------------------------------------------------------------


@pytest.mark.posix("modes")
def test_the_folder_and_its_files_are_ours_alone_whatever_the_umask(ask: list[str], folder: Path) -> None:
    """Each file's mode is that which it was made with: nothing is tightened afterwards."""
    watch = (
        "import os, sys\n"
        "made, os_open, os_mkdir = [], os.open, os.mkdir\n"
        "def open_(path, flags, mode=0o777, **more):\n"
        "    descriptor = os_open(path, flags, mode, **more)\n"
        "    made.append(('open', os.fstat(descriptor).st_mode & 0o777)) if 'cache' in str(path) else None\n"
        "    return descriptor\n"
        "def mkdir(path, mode=0o777):\n"
        "    os_mkdir(path, mode)\n"
        "    made.append(('mkdir', os.stat(path).st_mode & 0o777))\n"
        "os.open, os.mkdir = open_, mkdir\n"
        "from banno_creds.__main__ import main\n"
        "os._exit, end = lambda code: (print(sorted(set(made)), file=sys.stderr), end(code)), os._exit\n"
        "main()\n"
    )
    script = f"umask 0; exec {shlex.join([sys.executable, '-c', watch, *ask])}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "openid.1\n")
    assert done.stderr == f"[('mkdir', {0o700}), ('open', {0o600})]\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert {path.suffix for path in folder.iterdir()} == {".json", ".answer"}


@pytest.mark.posix("modes")
def test_looser_modes_are_tightened_without_a_word(process: Cli, ask: list[str], folder: Path) -> None:
    env = {"BANNO_CREDS_CACHE_DIR": str(folder)}
    assert process(*ask, env=env) == _good("openid.1")
    for args in (ask, [*ask, "--timeout", "29"]):  # recalled, and read
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o666)
        assert process(*args, env=env) == _good("openid.1")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.json")} == {0o600}


@pytest.mark.posix("modes")
@pytest.mark.parametrize("mode", [0o1777, 0o777])
def test_a_shared_folder_is_not_taken_away_from_the_others(
    cli: Cli, ask: list[str], tmp_path: Path, mode: int
) -> None:
    """Such as /tmp, named by somebody who is root; it may be empty just then."""
    shared = tmp_path / "shared"
    shared.mkdir()
    why = "sticky, as shared folders are"
    if mode == 0o777:
        (shared / "somebody's").touch()
        why = "holds other files than ours"
    shared.chmod(mode)
    result = cli(*ask, env={"BANNO_CREDS_CACHE_DIR": str(shared)})
    warning = f"!   The cache cannot be used: {shared} is open to others, and {why}\n{GO_ON}"
    assert result == Result(0, "openid.1\n", warning)
    assert shared.stat().st_mode & 0o7777 == mode


def _link(folder: Path) -> str:
    (folder.parent / "elsewhere").mkdir(0o700)
    folder.symlink_to(folder.parent / "elsewhere")
    return f"The cache cannot be used: {folder} is a link"


def _dangling_link(folder: Path) -> str:
    folder.symlink_to(folder.parent / "nowhere")
    return f"The cache cannot be used: {folder} is a link"


def _file(folder: Path) -> str:
    folder.touch()
    return f"The cache cannot be used: {folder} is no folder"


LINKS = pytest.mark.posix("a symbolic link")


@pytest.mark.parametrize("make", [pytest.param(_link, marks=LINKS), pytest.param(_dangling_link, marks=LINKS), _file])
def test_a_folder_that_cannot_be_ours_is_a_warning_each_time(
    cli: Cli, ask: list[str], folder: Path, make: Callable[[Path], str]
) -> None:
    warning = f"!   {make(folder)}\n{GO_ON}"
    assert [cli(*ask) for _ in range(2)] == [Result(0, f"openid.{n}\n", warning) for n in (1, 2)]
    assert not list(folder.parent.glob("elsewhere/*"))
    assert not (folder.parent / "nowhere").exists()


@pytest.mark.posix("another user's folder")
def test_a_folder_of_another_user_is_a_warning(
    cli: Cli, ask: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(0o700)
    if not IS_NOT_ROOT:
        os.chown(folder, 54321, 54321)
    else:
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
        monkeypatch.setattr("banno_creds.storage.secret_files._refuse_what_others_write", lambda *_: None)
    assert cli(*ask) == Result(
        0, "openid.1\n", f"!   The cache cannot be used: {folder} belongs to another user\n{GO_ON}"
    )
    assert list(folder.iterdir()) == []


def test_a_broken_entry_is_a_warning_and_a_fresh_token_and_mended(process: Cli, ask: list[str], folder: Path) -> None:
    env = {"BANNO_CREDS_CACHE_DIR": str(folder)}
    process(*ask, env=env)
    [entry] = _entries(folder)
    entry.write_bytes(entry.read_bytes()[:-5])
    broken = process(*ask, env=env)
    assert (broken.code, broken.stdout) == (0, "openid.2\n")
    assert re.fullmatch(
        rf"""!   The cache's file {entry.name[:8]}…\.json is broken: it is not JSON \(.*\)
    a fresh token is asked for, and the file is replaced
""",
        broken.stderr,
    )
    assert process(*ask, env=env) == _good("openid.2")


def test_a_home_that_is_set_to_nothing_is_none(cli: Cli, ask: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANNO_CREDS_CACHE_DIR")
    warning = f"!   There is no home folder, and so no cache\n{GO_ON}"
    nothing = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA"), "")
    assert cli(*ask, env=nothing) == Result(0, "openid.1\n", warning)


@pytest.mark.posix("another user's folder")
@pytest.mark.skipif(IS_NOT_ROOT, reason="only root can be in another user's way so")
def test_root_makes_no_cache_in_another_users_home(process: Cli, ask: list[str], tmp_path: Path) -> None:
    """As in a container of a job of GitHub Actions."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1001, 1001)
    warning = (
        f"!   The cache cannot be used: {home} belongs to another user, and root's cache would be in the way\n"
        "    it goes on without a cache; use sudo -H for root's own home, or set "
        "BANNO_CREDS_CACHE_DIR to a folder of root's own, such as /root/.cache/banno-creds\n"
    )
    assert process(*ask, env={"HOME": str(home), "SUDO_UID": "1001"}) == Result(0, "openid.1\n", warning)
    assert list(home.iterdir()) == []
    own = {"HOME": str(home), "BANNO_CREDS_CACHE_DIR": str(tmp_path / "own")}
    assert [process(*ask, env=own) for _ in range(2)] == [_good("openid.2")] * 2


@pytest.mark.posix("the current folder can be removed")
def test_a_relative_folder_in_a_folder_that_is_gone_is_a_warning(
    cli: Cli, ask: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    warning = f"!   The cache cannot be used: cache: No such file or directory\n{GO_ON}"
    assert cli(*ask, env={"BANNO_CREDS_CACHE_DIR": "cache"}) == Result(0, "openid.1\n", warning)


@pytest.mark.posix("a user who is in no list")
def test_without_a_home_it_goes_on_with_a_warning(ask: list[str], issuer: Issuer) -> None:
    """HOME is not set, and the user is in no list of users."""
    drop = "" if IS_NOT_ROOT else "os.setgroups([]); os.setgid(54321); os.setuid(54321)"
    lie = "" if drop else "os.path.expanduser = lambda path: path"
    # Once before, for another user may not be able to import anything.
    code = f"""
import contextlib, io, os, sys
from banno_creds.__main__ import main
from banno_creds.cli.main import run
os.environ['BANNO_CREDS_CACHE_DIR'] = '/dev/null'
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    assert run(sys.argv[1:]) == 0
del os.environ['HOME'], os.environ['BANNO_CREDS_CACHE_DIR']
{drop}
{lie}
main()
"""
    warning = f"!   There is no home folder, and so no cache\n{GO_ON}"
    assert _run_code(code, ask, ec_from=ask[4]) == Result(0, "openid.2\n", warning)


def _run_code(code: str, ask: list[str], ec_from: str) -> Result:
    """The command line after some Python has prepared its process; the key comes by a variable, for any user."""
    done = subprocess.run(
        [sys.executable, "-c", code, *ask[:3], *ask[5:]],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        env={**os.environ, "BANNO_CREDS_PRIVATE_KEY_PEM": Path(ec_from).read_text(), "COVERAGE_PROCESS_START": ""},
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.posix("modes and mounts")
def test_a_home_that_can_only_be_read_is_a_warning_and_a_token_in_it_is_good(
    cli: Cli, ask: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli(*ask) == _good("openid.1")
    with _read_only(folder):
        assert cli(*ask, "--timeout", "29") == _good("openid.1")
        result = cli(*ask, "--force-refresh")
        assert (result.code, result.stdout) == (0, "openid.2\n")
        assert re.match(
            r"!   The cache cannot be locked: \S+: (Read-only file system|Permission denied)\n", result.stderr
        )
        assert result.stderr.count("\n") == 2
        monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(folder / "below"))
        result = cli(*ask)
        assert (result.code, result.stdout) == (0, "openid.3\n")
        assert re.match(
            r"!   The cache cannot be used: \S+: (Read-only file system|Permission denied)\n", result.stderr
        )
    monkeypatch.setenv("BANNO_CREDS_CACHE_DIR", str(folder))
    assert cli(*ask) == _good("openid.1")


class _read_only:  # noqa: N801 - reads as a statement
    """Makes a folder one that can only be read: by its mode, and for root by a mount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounted = False

    def __enter__(self) -> None:
        if IS_NOT_ROOT:
            self._folder.chmod(0o500)
            return
        for options in (["--bind", str(self._folder)], ["-o", "remount,ro,bind"]):
            mount = ["mount", *options, str(self._folder)]
            done = subprocess.run(mount, capture_output=True, check=False)
            self._mounted |= done.returncode == 0
            if done.returncode != 0:
                break
        else:
            return
        # A container whose root may not mount: what is immutable cannot be written either.
        done = subprocess.run(["chattr", "+i", str(self._folder)], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip("root may neither mount nor chattr here, and no mode stops root")

    def __exit__(self, *_: object) -> None:
        if IS_NOT_ROOT:
            self._folder.chmod(0o700)
        elif self._mounted:
            subprocess.run(["umount", str(self._folder)], capture_output=True, check=True)
        else:
            subprocess.run(["chattr", "-i", str(self._folder)], capture_output=True, check=True)


@pytest.mark.posix("a limit of a file's size")
def test_a_disk_that_is_full_is_a_warning_and_leaves_nothing_half_written(
    cli: Cli, ask: list[str], folder: Path, issuer: Issuer
) -> None:
    """Here by the limit of a process on the size of files, which every user can set."""
    assert cli(*ask) == _good("openid.1")
    [entry] = _entries(folder)
    before = entry.read_bytes()
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from banno_creds.__main__ import main\nmain()"
    )
    result = _run_code(code, [*ask, "--force-refresh"], ec_from=ask[4])
    assert result == Result(0, "openid.2\n", f"!   The cache cannot be written: File too large\n{GO_ON}")
    assert entry.read_bytes() == before
    assert _entries(folder) == [entry]
    assert list(folder.glob("*.tmp")) == list(folder.glob("*.lock")) == []
    assert cli(*ask) == _good("openid.1")


@pytest.mark.posix("a small disk")
@pytest.mark.skipif(IS_NOT_ROOT, reason="only root can mount a disk; the test above is anybody's")
def test_a_small_disk_that_is_full_is_a_warning(cli: Cli, ask: list[str], folder: Path) -> None:
    folder.mkdir(0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("root may not mount here; the test above needs no mount")
    try:
        _fill(folder / "filler")
        for number in (1, 2):
            result = cli(*ask)
            assert (result.code, result.stdout) == (0, f"openid.{number}\n")
            assert re.match(r"!   The cache cannot be (locked|written): .*No space left on device\n", result.stderr)
            assert result.stderr.count("!   ") == 1
        (folder / "filler").unlink()
        assert cli(*ask) == _good("openid.3")
        assert cli(*ask) == _good("openid.3")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


# --- what is kept for the same command line -------------------------------------------------------------------------


def _key_is_replaced(ec_pem: Path, rsa_pem: Path, *_: object) -> None:
    ec_pem.write_bytes(rsa_pem.read_bytes())


def _key_is_removed(ec_pem: Path, *_: object) -> None:
    ec_pem.unlink()


def _token_is_renewed(_: Path, __: Path, again: Callable[[], object]) -> None:
    again()


@pytest.mark.parametrize("happens", [_key_is_replaced, _key_is_removed, _token_is_renewed])
def test_an_answer_is_not_kept_if_anything_changed_while_it_was_given(
    cli: Cli,
    ask: list[str],
    folder: Path,
    ec_pem: Path,
    rsa_pem: Path,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[..., None],
) -> None:
    obtain = ClientCredentials.obtain

    def obtain_and_more(self: ClientCredentials, cache: Any, wanted: Wanted, run: Any) -> Any:
        outcome = obtain(self, cache, wanted, run)
        happens(ec_pem, rsa_pem, lambda: obtain(self, cache, Wanted(force_refresh=True), run))
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(ClientCredentials, "obtain", obtain_and_more)
        assert cli(*ask) == _good("openid.1")
    assert list(folder.glob("*.answer")) == []


def test_an_answer_is_not_kept_for_a_key_that_was_there_before(
    cli: Cli, ask: list[str], folder: Path, ec_pem: Path, rsa_pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    obtain = ClientCredentials.obtain

    def replace_and_obtain(*args: Any) -> Any:
        ec_pem.write_bytes(rsa_pem.read_bytes())
        return obtain(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ClientCredentials, "obtain", replace_and_obtain)
        assert cli(*ask) == _good("openid.1")
    assert list(folder.glob("*.answer")) == []


def test_an_answer_is_not_kept_if_the_profiles_changed_after_they_were_read(
    cli: Cli, ask: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[profiles.a]\nscope = "openid"\n')
    find = profiles.find_profile

    def find_and_change(*args: Any) -> Any:
        found = find(*args)
        config.write_text('[profiles.a]\nscope = "full"\n')
        return found

    with monkeypatch.context() as patch:
        patch.setattr(profiles, "find_profile", find_and_change)
        assert cli(*ask, "--config", config, "--profile", "a") == _good("openid.1")
    assert list(folder.glob("*.answer")) == []
    assert cli(*ask, "--config", config, "--profile", "a") == _good("full.2")
    assert len(list(folder.glob("*.answer"))) == 1


def test_an_answer_is_kept_if_nothing_changed(cli: Cli, ask: list[str], folder: Path, ec_pem: Path) -> None:
    assert cli(*ask) == _good("openid.1")
    assert len(list(folder.glob("*.answer"))) == 1
    # The key in a variable is a part of the question itself.
    without = [*ask[:3], *ask[5:]]
    assert cli(*without, env={"BANNO_CREDS_PRIVATE_KEY_PEM": ec_pem.read_text()}) == _good("openid.1")
    assert len(list(folder.glob("*.answer"))) == 2
    [answer] = {path for path in folder.glob("*.answer") if str(ec_pem).encode() not in path.read_bytes()}
    assert b"PRIVATE KEY" not in answer.read_bytes()


def test_an_answer_of_another_command_line_is_not_given_under_its_name(
    process: Cli, ask: list[str], folder: Path
) -> None:
    env = {"BANNO_CREDS_CACHE_DIR": str(folder)}
    assert process(*ask, env=env) == _good("openid.1")
    [first] = folder.glob("*.answer")
    assert process(*ask, "--scope", "full", env=env) == _good("full.2")
    [second] = set(folder.glob("*.answer")) - {first}
    first.replace(second)
    assert process(*ask, "--scope", "full", env=env) == _good("full.2")


@pytest.mark.posix("modes")
def test_a_keys_folder_that_everybody_can_write_is_told_of_though_the_answer_is_known(
    process: Cli, ask: list[str], folder: Path, ec_pem: Path
) -> None:
    env = {"BANNO_CREDS_CACHE_DIR": str(folder)}
    assert [process(*ask, env=env).stderr for _ in range(2)] == [""] * 2
    ec_pem.parent.chmod(0o777)
    said = [process(*ask, env=env).stderr for _ in range(2)]
    assert all(words.startswith(f"!   Others can put another file in the place of {ec_pem}") for words in said)


def test_an_answer_whose_files_cannot_be_looked_at_is_not_kept(
    cli: Cli, ask: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> str:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(recall, "look", fail)
    assert cli(*ask) == _good("openid.1")
    assert list(folder.glob("*.answer")) == []
