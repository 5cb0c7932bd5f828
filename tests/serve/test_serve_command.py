"""``banno-creds serve`` and ``exec --serve`` as processes: ready line, secret, log, signals, and their end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from banno_creds import shells
from banno_creds.cli import serve
from banno_creds.cli.report import Report
from banno_creds.errors import ConfigurationError
from banno_creds.steps import CacheSearched, Warned
from tests.conftest import CLIENT_ID, write_private
from tests.programs import ENVIRONMENT, NOTHING, python
from tests.terminal import at_terminal

if sys.platform != "win32":
    import fcntl
    import pty
    import termios

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer

pytestmark = pytest.mark.measured

SECRET = "a-secret-of-this-test-alone"
PROGRAM = (sys.executable, "-m", "banno_creds")
VARIABLES = ("BANNO_TOKEN_URL", "BANNO_TOKEN_CLIENT_ID", "BANNO_TOKEN_CLIENT_SECRET")


@pytest.fixture
def config(tmp_path: Path, issuer: Issuer, ec_pem: Path) -> Path:
    settings = f"client_id = '{CLIENT_ID}'\nprivate_key = '{ec_pem}'\ntoken_endpoint = '{issuer.url}'\n"
    content = f"[profiles.garden]\n{settings}[profiles.granite]\n{settings}scope = ['full']\n"
    return write_private(tmp_path / "config.toml", content.encode())


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    return write_private(tmp_path / "serve.secret", SECRET.encode() + b"\n")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"BANNO_CREDS_CACHE_DIR": str(tmp_path / "cache")}


class Serving(NamedTuple):
    process: subprocess.Popen[str]
    line: str
    log: Path

    @property
    def url(self) -> str:
        return self.line.split()[-1]


@contextmanager
def serving(config: Path, secret_file: Path, env: dict[str, str], *args: str) -> Iterator[Serving]:
    log = config.parent / "serve.log"
    typed = ["serve", "--port", "0", "--config", str(config), "--client-secret-file", str(secret_file), *args]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [*PROGRAM, *typed],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **env},
            encoding="utf-8",
        ) as running,
    ):
        try:
            assert running.stdout is not None
            yield Serving(running, running.stdout.readline(), log)
        finally:
            running.kill()


def ask(url: str, client_id: str = "garden", secret: str = SECRET) -> dict[str, Any]:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    try:
        with urllib.request.urlopen(url, urlencode(form).encode(), timeout=60) as answer:
            members: dict[str, Any] = json.load(answer)
    except HTTPError as refused:
        with refused:
            members = json.load(refused)
    return members


def test_one_line_ends_with_the_endpoint_and_the_tokens_are_those_of_the_commands(
    config: Path, secret_file: Path, env: dict[str, str], issuer: Issuer, process: Cli
) -> None:
    token = process("token", "--profile", "garden", "--config", config, env=env).stdout.strip()
    with serving(config, secret_file, env) as running:
        assert re.fullmatch(r"serve ready: http://127\.0\.0\.1:\d+/token\n", running.line)
        assert ask(running.url)["access_token"] == token
        assert ask(running.url, "granite")["access_token"] == "full.2"
        assert ask(running.url, secret="wrong")["error"] == "invalid_client"
        if sys.platform != "win32":
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(60) == 0
            assert running.process.stdout is not None
            assert running.process.stdout.read() == ""
    log = running.log.read_text("utf-8")
    assert len(issuer.forms) == 2
    assert [re.sub(r"\d+ s$", "N s", line.split(" ", 1)[1]) for line in log.splitlines()] == [
        "garden: a token, good for N s",
        "granite: a token, good for N s",
        "a request was refused: invalid_client: the client_secret is not the one of this endpoint",
    ]
    assert SECRET not in log
    assert token not in log
    assert process("token", "--profile", "granite", "--config", config, env=env).stdout == "full.2\n"


@pytest.mark.posix("signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_and_those_who_wait_get_their_token(
    name: str, config: Path, secret_file: Path, env: dict[str, str], issuer: Issuer
) -> None:
    issuer.gate.clear()
    with serving(config, secret_file, env, "-q", "garden") as running, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, running.url)
        issuer.wait_for(1)
        running.process.send_signal(signal.Signals[name])
        issuer.gate.set()
        assert asked.result()["access_token"] == "openid.1"
        assert running.process.wait(60) == 0
    assert running.log.read_bytes() == b""


@pytest.mark.posix("Unix sockets")
def test_at_a_socket_the_line_names_it_and_it_is_gone_at_the_end(
    config: Path, secret_file: Path, env: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "banno.sock"
    with serving(config, secret_file, env, "--socket", str(path)) as running:
        assert running.line == f"serve ready at the socket {path}: http://localhost/token\n"
        asked = ["curl", "-s", "--unix-socket", str(path), "-u", f"garden:{SECRET}", running.url]
        done = subprocess.run([*asked, "-d", "grant_type=client_credentials"], capture_output=True, check=True)
        assert json.loads(done.stdout)["access_token"] == "openid.1"
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
    assert not path.exists()


@pytest.mark.posix("Unix sockets")
def test_a_socket_that_others_can_replace_is_warned_of_and_theirs_is_left(
    config: Path, secret_file: Path, env: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "of all"
    folder.mkdir()
    folder.chmod(0o777)
    path = folder / "s"
    with serving(config, secret_file, env, "--quiet", "--socket", str(path)) as running:
        path.unlink()
        path.write_text("somebody else's")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
    assert path.read_text() == "somebody else's"
    said = " ".join(running.log.read_text().split())
    assert f"thers can put a socket of their own in the place of {path}: everybody" in said
    assert f"chmod o-w '{folder}'" in said


@pytest.mark.posix("a real terminal")
def test_the_secret_of_a_run_is_made_and_shown_at_the_terminal_alone(
    config: Path, env: dict[str, str], process: Cli
) -> None:
    code = (
        "import os, signal; from banno_creds.cli import serve; wait_for = serve.wait_for;"
        "serve.wait_for = lambda *args: (os.kill(os.getpid(), signal.SIGTERM), wait_for(*args));"
        "from banno_creds.__main__ import main; main()"
    )
    seen = at_terminal("-c", code, "serve", "--port", "0", "--config", str(config), env=env)
    assert seen.code == 0
    assert seen.stdout.startswith("serve ready: ")
    title, secret, *_ = seen.lines
    assert title == "The client_secret of this run; the client_id is a profile's name:"
    assert re.fullmatch(r" {4}[A-Za-z0-9_-]{43}", secret)
    result = process("serve", "--port", "0", "--config", config, env=env)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("✗   Nobody would learn the client secret of this run")
    assert "--client-secret-file FILE" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"short", "✗   The client secret has less than 16 characters"),
        (b"sixteen or more but\twith a tab", "others than visible ASCII"),
        (b"", "✗   The client secret is empty"),
        (b"two-lines-of-text\nanother-line\n", "has more than one line"),
    ],
)
def test_a_secret_that_is_none_is_refused(
    content: bytes, said: str, cli: Cli, config: Path, secret_file: Path
) -> None:
    secret_file.write_bytes(content)
    result = cli("serve", "--port", "0", "--config", config, "--client-secret-file", secret_file)
    assert (result.code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(content) < 6 or content.decode()[:6] not in result.stderr


def test_what_cannot_be_served_is_told_before_it_listens(cli: Cli, config: Path, secret_file: Path) -> None:
    common = ("--config", config, "--client-secret-file", secret_file, "--port", "0")
    result = cli("serve", "gardn", *common)
    assert (result.code, result.stdout) == (2, "")
    assert "did you mean garden?" in result.stderr
    result = cli("serve", "garden", "--tag", "eu", *common)
    assert result.stderr.startswith(f"✗   No profile that is named has the tag eu in {config}\n")
    result = cli("serve", "--tag", "live", "--tag", "eu", *common)
    assert (result.code, result.stdout) == (2, "")
    said = f"✗   No profile has the tags live and eu in {config}\n    Next: see the tags of all: banno-creds profile"
    assert result.stderr.startswith(said)
    config.write_text("")
    result = cli("serve", *common)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"✗   There is no profile in {config}\n    Next: banno-creds profile add NAME")
    config.unlink()
    result = cli("serve", "--client-secret-file", secret_file, "--port", "0")
    assert "There is no profile: there is no file" in result.stderr


def test_a_token_is_as_good_as_was_asked_for(
    cli: Cli, config: Path, secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def note(*_: object, **how: Any) -> None:
        given.update(how)
        raise ConfigurationError("enough")

    monkeypatch.setattr("banno_creds.serve.clients.Profiles", note)
    assert cli("serve", "--config", config, "--client-secret-file", secret_file, "--min-ttl", "99").code == 2
    assert given["min_ttl"] == 99


@pytest.mark.posix("signals")
def test_a_second_signal_ends_it_as_always_and_one_that_is_ignored_stays_so() -> None:
    before, usual = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
    try:
        with serve.UntilStopped() as stopped:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGTERM)
            assert stopped.is_set()
            assert signal.getsignal(signal.SIGTERM) is usual
    finally:
        signal.signal(signal.SIGHUP, before)


def test_of_the_steps_the_warnings_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    serve.tell_warnings(Report(), Warned("the cache is gone", "look for it"))
    serve.tell_warnings(Report(), CacheSearched("x"))
    assert capsys.readouterr().err == "!   The cache is gone\n    look for it\n"


def test_a_taken_port_is_a_configuration_error(cli: Cli, config: Path, secret_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = cli("serve", "--port", port, "--config", config, "--client-secret-file", secret_file)
    assert (result.code, result.stdout) == (2, "")
    assert f"port {port} on 127.0.0.1 is taken" in result.stderr.lower()
    assert "--port 0" in result.stderr


@pytest.mark.once
@pytest.mark.timeout(600)
@pytest.mark.posix("/proc")
def test_ten_thousand_requests_leave_it_as_it_was(
    config: Path, secret_file: Path, env: dict[str, str], issuer: Issuer
) -> None:
    with serving(config, secret_file, env, "-q") as running:
        host, _, port = running.url.split("/")[2].partition(":")
        form = urlencode({"grant_type": "client_credentials", "client_id": "garden", "client_secret": SECRET})
        request = (
            f"POST /token HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(form)}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}"
        ).encode()

        def ask_once(_: int) -> bool:
            answer = b""
            with socket.create_connection((host, int(port)), 60) as connection:
                connection.sendall(request)
                while piece := connection.recv(65536):
                    answer += piece
            return answer.startswith(b"HTTP/1.1 200 OK\r\n")

        def many(count: int) -> None:
            with ThreadPoolExecutor(4) as pool:
                assert all(pool.map(ask_once, range(count)))

        def size() -> int:
            return int(Path(f"/proc/{running.process.pid}/statm").read_text("ascii").split()[1]) * 4

        many(1000)
        open_files = Path(f"/proc/{running.process.pid}/fd")
        before, files = size(), len(list(open_files.iterdir()))
        many(10_000)
        assert size() - before < 2048  # KiB
        assert len(list(open_files.iterdir())) <= files + 4
    assert len(issuer.forms) == 1


# --- exec --serve ---------------------------------------------------------------------------------------------------

ASK = """
import json, urllib.request, urllib.parse
url, name, secret = (os.environ[each] for each in sys.argv[1:4])
form = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
tokens = []
for _ in range(2):
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:
        tokens.append(json.load(answer)["access_token"])
print(name, *tokens)
sys.exit(7)
"""


REFUSED = """
import json, urllib.error, urllib.request, urllib.parse
url, name, secret = (os.environ[each] for each in sys.argv[1:4])
form = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
try:
    urllib.request.urlopen(url, urllib.parse.urlencode(form).encode())
except urllib.error.HTTPError as refused:
    print(json.load(refused)["error_description"])
"""


def test_a_command_finds_an_endpoint_for_its_life(
    process: Cli, config: Path, env: dict[str, str], issuer: Issuer
) -> None:
    options = ("--profile", "granite", "--config", config)
    result = process("exec", "--serve", *options, "--", *python(ASK, *VARIABLES), env=env)
    assert (result.code, result.stdout, result.stderr) == (7, "granite full.1 full.1\n", "")
    assert len(issuer.forms) == 1


def test_it_has_no_token_and_no_key_in_its_environment(
    process: Cli, config: Path, env: dict[str, str], ec_pem: Path
) -> None:
    given = env | {"BANNO_CREDS_PRIVATE_KEY_PEM": ec_pem.read_text(), "BANNO_TOKEN_CLIENT_SECRET": "of another"}
    result = process("exec", "--serve", "--profile", "garden", "--config", config, *ENVIRONMENT, env=given)
    assert result.code == 0
    found = dict(line.split("=", 1) for line in result.stdout.splitlines() if line.startswith("BANNO_TOKEN"))
    assert sorted(found) == sorted(VARIABLES)
    assert found["BANNO_TOKEN_CLIENT_ID"] == "garden"
    assert len(found["BANNO_TOKEN_CLIENT_SECRET"]) == 43
    assert "BANNO_ACCESS_TOKEN" not in result.stdout
    assert "PRIVATE" not in result.stdout
    again = process("exec", "--profile", "garden", "--config", config, *ENVIRONMENT, env=env | found)
    assert "BANNO_ACCESS_TOKEN=openid.1\n" in again.stdout
    assert "BANNO_TOKEN_CLIENT_SECRET" not in again.stdout


def test_without_a_profile_its_name_is_the_client_id(
    process: Cli, env: dict[str, str], ec_pem: Path, issuer: Issuer
) -> None:
    options = ("--client-id", CLIENT_ID, "--private-key", ec_pem, "--token-endpoint", issuer.url)
    result = process("exec", "--serve", *options, "--", *python(ASK, *VARIABLES), env=env)
    assert result.stdout == f"{CLIENT_ID} openid.1 openid.1\n"
    result = process("exec", "--serve", "--no-cache", *options, "--", *python(ASK, *VARIABLES), env=env)
    assert result.stdout == f"{CLIENT_ID} openid.2 openid.2\n"


def test_a_refusal_names_the_doctor_for_the_options_that_were_typed(
    process: Cli, config: Path, secret_file: Path, env: dict[str, str], ec_pem: Path, issuer: Issuer
) -> None:
    issuer.expires_in = 30  # less than a kept token has to live, so the next program asks again
    issuer.on_request = lambda: issuer.refuse() if len(issuer.forms) > 1 else None
    # An error_description has no backslash.
    options = ("--client-id", CLIENT_ID, "--private-key", ec_pem.as_posix(), "--token-endpoint", issuer.url)
    result = process("exec", "--serve", "--no-cache", *options, "--", *python(REFUSED, *VARIABLES), env=env)
    assert result.stdout.startswith(f"{CLIENT_ID}: the server refused the client")
    assert result.stdout.endswith(f"next: banno-creds doctor {shells.join(options)}\n")
    with serving(config, secret_file, env) as running:
        said = ask(running.url)["error_description"]
    assert said.endswith(f"next: banno-creds doctor --profile garden --config {shells.quote(config.as_posix())}")


def test_the_command_does_not_start_without_a_token(
    process: Cli, config: Path, env: dict[str, str], issuer: Issuer
) -> None:
    options = ("--profile", "garden", "--config", config)
    issuer.refuse()
    result = process("exec", "--serve", *options, "--", *python("print('started')"), env=env)
    assert (result.code, result.stdout) == (4, "")
    issuer.failure = None
    assert process("exec", "--serve", *options, "--force-refresh", "--", *NOTHING, env=env).code == 0
    assert len(issuer.forms) == 2
    assert process("exec", "--serve", *options, "--", "no-such-command", env=env).code == 127
    assert len(issuer.forms) == 2


@pytest.mark.posix("signals")
def test_signals_reach_the_command_and_its_end_is_a_shells(config: Path, env: dict[str, str], issuer: Issuer) -> None:
    code = "import signal, time\nprint('here', flush=True)\ntime.sleep(60)"
    typed = ["exec", "--serve", "--profile", "garden", "--config", str(config), "--", *python(code)]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with subprocess.Popen(
            [*PROGRAM, *typed],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **env},
            start_new_session=True,  # no terminal of whoever runs the tests sends it signals as well
        ) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == b"here\n"
            running.send_signal(number)
            # Python itself ends by SIGINT after KeyboardInterrupt.
            assert running.wait(60) == 128 + number
    assert len(issuer.forms) == 1


@pytest.mark.posix("signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_that_comes_while_the_command_is_being_started_reaches_it(name: str) -> None:
    code = f"""
import os, signal, subprocess, sys
from banno_creds import child

class Started(subprocess.Popen):
    def __init__(self, *args, **how):
        os.kill(os.getpid(), signal.{name})
        super().__init__(*args, **how)

subprocess.Popen = Started
sys.exit(child.run_beside([sys.executable, "-c", "import time; time.sleep(60)"], {{}}))
"""
    done = subprocess.run([sys.executable, "-c", code], start_new_session=True, timeout=50, check=False)
    assert done.returncode == 128 + getattr(signal, name)


@pytest.mark.posix("a real terminal")
def test_ctrl_c_reaches_the_command_once(config: Path, env: dict[str, str], issuer: Issuer, tmp_path: Path) -> None:
    """The terminal sends it to both; the command may need a moment to end well."""
    count = tmp_path / "count"
    code = f"""
import signal, time
def note(*_):
    open({str(count)!r}, "a").write("x")
signal.signal(signal.SIGINT, note)
print("here", flush=True)
while not os.path.exists({str(count)!r}):
    time.sleep(0.01)
time.sleep(0.3)
sys.exit(5)
"""
    typed = ["exec", "--serve", "--profile", "garden", "--config", str(config), "--", *python(code)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *typed],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **env},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0),
    ) as running:
        os.close(theirs)
        shown = b""
        while b"here" not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, b"\x03")
        assert running.wait(60) == 5
    os.close(ours)
    assert count.read_text() == "x"
    assert len(issuer.forms) == 1


@pytest.mark.posix("core dumps, and open files")
def test_the_command_has_the_limits_and_files_that_it_had_without_us(
    config: Path, env: dict[str, str], tmp_path: Path
) -> None:
    look = "ulimit -Sc; cat /proc/self/coredump_filter; grep SigIgn /proc/self/status; cat <&9"
    (tmp_path / "nine").write_text("from nine\n")
    ours = f"{PROGRAM[0]} -m banno_creds exec --serve --profile garden --config {config} --"
    seen = [
        subprocess.run(
            ["sh", "-c", f"ulimit -Sc 100; exec 9<{tmp_path}/nine; {before} sh -c '{look}'"],
            env={**os.environ, **env},
            capture_output=True,
            check=True,
        )
        for before in ("exec", ours)
    ]
    assert seen[0].stdout == seen[1].stdout
    assert b"from nine" in seen[0].stdout
