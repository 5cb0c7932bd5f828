"""The sandbox as a process of its own: its options, its end, its memory, and what docs/sandbox.md says of it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from banno_creds.sandbox import DEFAULT_USERS, read_clients, read_users
from banno_creds.sandbox.faults import FAULTS
from tests.conftest import CLIENT_ID
from tests.person import free_port
from tests.servers.sandbox_process import running_sandbox

if TYPE_CHECKING:
    from banno_creds.jose.keys import PrivateKey
    from tests.conftest import Cli

pytestmark = pytest.mark.measured

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# The scripts that start one, of both pages.
STARTING = re.findall(
    r"^```sh\n((?:(?!```).*\n)*?.*banno-creds sandbox (?:(?!```).*\n)*)```$", PAGE + README, re.MULTILINE
)


@pytest.fixture
def public_pem(tmp_path: Path, ec_key: PrivateKey) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(ec_key.public.pem())
    return path


# --- Options ---


def test_options_reach_the_server(cli: Cli, tmp_path: Path, public_pem: Path, ec_pem: Path) -> None:
    log = tmp_path / "log"
    options: list[str | Path] = [
        "--client-id",
        CLIENT_ID,
        "--public-key",
        public_pem,
        "--explain",
        "--once",
        "--token-lifetime",
        "42",
    ]
    with running_sandbox(*options, "--fault", "invalid_scope", "--fault", "slow=0", log=log) as (_, token_endpoint):
        ask = ["client-assertion", "-q", "--client-id", CLIENT_ID, "--private-key", str(ec_pem)]
        ask += ["--token-endpoint", token_endpoint]
        first = cli(*ask)
        assert first.code == 4
        assert "invalid_scope — fault invalid_scope, asked for by --fault" in first.stderr
        second = cli(*ask)
        assert json.loads(second.stdout)["expires_in"] == 42
        third = cli(*ask, "--aud", "https://elsewhere.example", "--allow-other-aud")
        assert third.code == 4
        assert "assertion.aud.mismatch: received 'aud' 'https://elsewhere.example'" in third.stderr
    words = [line.split(" ")[1] for line in log.read_text("utf-8").splitlines()]
    assert words == ["test", "commands", "fault", "issued", "refused"]


def test_clients_come_from_a_file(cli: Cli, tmp_path: Path, public_pem: Path, ec_pem: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(f"[clients.a]\npublic_key = '{public_pem.name}'\n[clients.b]\npublic_key = '{public_pem.name}'\n")
    with running_sandbox("--clients", file, log=tmp_path / "log") as (_, token_endpoint):
        results = [
            cli(
                "client-assertion",
                "-q",
                "--client-id",
                name,
                "--private-key",
                ec_pem,
                "--token-endpoint",
                token_endpoint,
            )
            for name in ("a", "b", "sandbox-client")
        ]
    assert [result.code for result in results] == [0, 0, 4]
    assert json.loads(results[0].stdout)["expires_in"] == 600


@pytest.mark.parametrize(
    ("args", "env", "message", "hint"),
    [
        (["--fault", "invalid-client"], {}, "There is no fault 'invalid-client'", "did you mean invalid_client?"),
        (["--fault", "status=99"], {}, "The fault status cannot be '99'", "status=N: an HTTP status from 400 to 599"),
        (["--once"], {}, "--once needs a fault, and there is no --fault", "add --fault NAME"),
        (
            ["--clients", "x.toml", "--client-id", "a"],
            {},
            "--clients and --client-id exclude each other",
            "give one of them: the file has these settings for each client",
        ),
        (
            ["--clients", "x.toml", "--public-key", "a"],
            {},
            "--clients and --public-key exclude each other",
            "give one of them: the file has these settings for each client",
        ),
        (
            ["--clients", "x.toml", "--scope", "a"],
            {},
            "--clients and --scope exclude each other",
            "give one of them: the file has these settings for each client",
        ),
        (
            [],
            {"BANNO_CREDS_SANDBOX_CLIENTS": "x.toml", "BANNO_CREDS_SANDBOX_CLIENT_ID": "a"},
            "BANNO_CREDS_SANDBOX_CLIENTS and BANNO_CREDS_SANDBOX_CLIENT_ID exclude each other",
            "give one of them: the file has these settings for each client",
        ),
    ],
)
def test_invalid_options_are_usage_errors(
    cli: Cli, args: list[str], env: dict[str, str], message: str, hint: str
) -> None:
    result = cli("sandbox", *args, env=env)
    assert (result.code, result.stdout) == (2, "")
    assert message.lower() in result.stderr.lower()
    assert f"Next: {hint}" in result.stderr


@pytest.mark.parametrize(
    ("args", "env", "read"),
    [
        (["--clients", "x.toml"], {"BANNO_CREDS_SANDBOX_CLIENT_ID": "a"}, "x.toml"),
        (["--public-key", "x.pem"], {"BANNO_CREDS_SANDBOX_CLIENTS": "x.toml"}, "x.pem"),
        ([], {"BANNO_CREDS_SANDBOX_CLIENTS": "x.toml"}, "x.toml"),
    ],
)
def test_the_command_line_wins_over_variables_about_clients(
    cli: Cli, args: list[str], env: dict[str, str], read: str
) -> None:
    result = cli("sandbox", *args, env=env)
    assert result.code == 2
    assert read in result.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "x"])
def test_token_lifetime_is_a_number_of_seconds(cli: Cli, public_pem: Path, seconds: str) -> None:
    assert cli("sandbox", "--public-key", public_pem, "--token-lifetime", seconds).code == 2


HELP = """\
Usage: banno-creds sandbox [OPTIONS]

Run a local authorization server, to try things and to test programs.

Examples:
  banno-creds sandbox --client-id 199e6f35 --public-key public.pem
  banno-creds sandbox --port 0 --explain --fault slow=3

It checks a client assertion as the vendor's server does, and tells the client
as little. Its log, on standard error, has the reason of each refusal and what
to do. It also has a login page for test users, and a small API to call with the
tokens. When it is ready, it prints one line that ends with the token endpoint.
Ctrl-C stops it.

Needs: pip install "banno-creds[sandbox]"

"""


def test_help_fits_80_columns_and_lists_every_fault(process: Cli) -> None:
    result = process("sandbox", "--help", env={"COLUMNS": "80"})
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.startswith(HELP)
    assert max(map(len, result.stdout.splitlines())) <= 80
    epilog = result.stdout.partition("Faults that are the whole answer")[2]
    named = set(re.findall(r"[a-z0-9]+(?:[-_][a-z]+)*", epilog))
    assert set(FAULTS) <= named
    assert {name for sort in FAULTS.values() for name in getattr(sort.value, "names", ())} <= named
    headings = re.findall(r"^[A-Z][\w ]*:$", result.stdout.partition("\n\nTest users")[0], re.MULTILINE)
    assert headings == ["Examples:", "Clients:", "Signing people in:", "Faults on demand:", "Options:"]


# --- Its end ---


@pytest.mark.posix("to a process on Windows no Ctrl-C can be sent alone")
def test_ctrl_c_stops_it_at_once_though_an_answer_is_slow(tmp_path: Path, public_pem: Path) -> None:
    log = tmp_path / "log"
    with running_sandbox("--public-key", public_pem, "--fault", "slow=300", log=log) as (running, token_endpoint):
        address = urlsplit(token_endpoint)
        connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=60)
        try:
            connection.request("POST", address.path)
            while "fault slow=300" not in log.read_text("utf-8"):
                time.sleep(0.01)
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=30) == 0
        finally:
            connection.close()


# --- Its memory ---


@pytest.mark.posix("Windows does not list a process's descriptors")
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc to count descriptors in")
def test_requests_leave_nothing_behind(public_pem: Path, ec_pem: Path) -> None:
    # Not measured: coverage keeps a tracer of every thread that ever was.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    probe = [
        sys.executable,
        "-m",
        "tests.sandbox.leak_probe",
        CLIENT_ID,
        str(ec_pem),
        "--public-key",
        str(public_pem),
    ]
    done = subprocess.run(probe, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    bytes_each = found.pop("bytes_each")
    assert found == {"collecting": True, "wrong": [], "threads": 0, "descriptors": 0}
    # A request that leaves its own objects behind leaves a kilobyte; noise is a tenth of that.
    assert bytes_each < 200


# --- docs/sandbox.md ---


def _blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


@pytest.fixture(name="free_port")
def _free_port() -> int:
    return free_port()


def _run(folder: Path, port: int, script: str) -> subprocess.CompletedProcess[str]:
    shims = folder / "bin"
    shims.mkdir(exist_ok=True)
    program = shims / "banno-creds"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m banno_creds "$@"\n')
    program.chmod(0o755)
    return subprocess.run(
        ["sh", "-euc", script],
        cwd=folder,
        env={
            "PATH": f"{shims}:{os.environ['PATH']}",
            "HOME": str(folder),
            "BANNO_CREDS_SANDBOX_PORT": str(port),
        },
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


@pytest.mark.posix("the page's commands are for a POSIX shell")
def test_page_first_token_and_first_call(tmp_path: Path, free_port: int) -> None:
    first, then = _blocks("sh")[:2]
    first = first.replace("banno-creds sandbox\n", "banno-creds sandbox > sandbox.out 2> sandbox.log &\n")
    wait = "until grep -q ready sandbox.out; do kill -0 $sandbox; sleep 0.1; done\n"
    script = f"{first}sandbox=$!\ntrap 'kill $sandbox' EXIT\n{wait}{then}"
    done = _run(tmp_path, free_port, script.replace("9400", str(free_port)))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout[done.stdout.index('{"totalCount"') :])
    assert answer["totalCount"] == 250
    assert [user["email"] for user in answer["users"]] == ["sample.person.1@example.com"]
    log = (tmp_path / "sandbox.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S", line) for line in log)
    assert "eyJ" not in "".join(log)


@pytest.mark.posix("the page's commands are for a POSIX shell")
def test_page_starting_it(tmp_path: Path, free_port: int) -> None:
    done = _run(tmp_path, free_port, _blocks("sh")[2])
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "token.json").read_text())["token_type"] == "Bearer"


@pytest.mark.posix("the page's commands are for a POSIX shell")
def test_page_why_it_refused(tmp_path: Path, free_port: int) -> None:
    [text] = _blocks("console")
    command, _, shown = text.removeprefix("$ ").partition("\n")
    # The page's first script, with the --aud that the page speaks of.
    more = "--aud https://login.jackhenry.com/ --allow-other-aud"
    first = _blocks("sh")[2].replace(" > token.json\n", f" {more} > token.json || true\n")
    done = _run(tmp_path, free_port, f"{{\n{first}}} > first.out 2>&1\n{command}")
    said = done.stdout.replace(str(free_port), "9400")
    varying = re.compile(r"x-request-id [0-9a-f]{32}|^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.MULTILINE)
    assert varying.sub("ID", said) == varying.sub("ID", shown)
    assert len(varying.findall(said)) == 2


@pytest.mark.posix("the page's commands are for a POSIX shell")
def test_page_signing_people_in(tmp_path: Path, free_port: int) -> None:
    done = _run(tmp_path, free_port, _blocks("sh")[3])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]
    issuer = f"http://127.0.0.1:{free_port}/a/oidc-provider/api/v0"
    named = re.findall(r"`(/[a-z/]+)`", PAGE.partition("- **Endpoints**")[2].partition("- **")[0])
    told = [url for name, url in document.items() if name.endswith("_endpoint")]
    assert {f"{issuer}{path}" for path in named} == set(told)


def test_page_users(tmp_path: Path) -> None:
    file = tmp_path / "users.toml"
    file.write_text(_blocks("toml")[0])
    [user] = read_users(file)
    assert (user.username, user.has_password("sandbox"), len(user.institutions)) == ("jordan", True, 2)
    assert user.claims["name"] == "Jordan Lee"
    assert user.claims["birthdate"] == "1990-01-01"


def test_page_and_help_name_the_built_in_users_and_their_password(process: Cli) -> None:
    page = PAGE.partition("| user name |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [user.username for user in DEFAULT_USERS]
    assert [len(user.institutions) for user in DEFAULT_USERS] == [1, 3, 0]
    assert "the password of each is `sandbox`" in PAGE
    assert all(user.has_password("sandbox") for user in DEFAULT_USERS)
    shown = process("sandbox", "--help", env={"COLUMNS": "80"}).stdout
    assert 'all with the password "sandbox":\n  riley (one institution), casey (three), robin (none)' in shown


@pytest.mark.posix("the page's commands are for a POSIX shell")
def test_page_trying_again_after_a_fault_that_comes_once(tmp_path: Path, free_port: int) -> None:
    done = _run(tmp_path, free_port, _blocks("sh")[4])
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "token.json").read_text())["token_type"] == "Bearer"
    log = (tmp_path / "sandbox.log").read_text().splitlines()
    assert len(log) == 4
    assert "Z fault status=503, retry-after=0, asked for by --fault " in log[2]
    assert "Z issued an access token " in log[3]


@pytest.mark.posix("the page's commands are for a POSIX shell")
def test_page_fault_by_a_header(tmp_path: Path, free_port: int) -> None:
    done = _run(tmp_path, free_port, _blocks("sh")[5])
    assert done.returncode == 0, done.stderr
    assert "429 TOO MANY REQUESTS" in done.stdout
    assert "Retry-After: 30" in done.stdout


@pytest.mark.parametrize("script", STARTING)
@pytest.mark.posix("the page's commands are for a POSIX shell")
def test_page_no_sandbox_is_left_where_a_step_fails(
    tmp_path: Path, free_port: int, script: str, public_pem: Path
) -> None:
    del public_pem
    start, ready, steps = script.removeprefix("banno-creds keygen\n").partition("sleep 0.1; done\n")
    assert steps
    done = _run(tmp_path, free_port, f"{start}{ready}(exit 7)\n{steps}")
    assert (done.returncode, done.stdout) == (7, "")
    for _ in range(600):  # it was told to end, and does so in its own time
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", free_port)) != 0:
                return
        time.sleep(0.05)
    pytest.fail("it is still there")


@pytest.mark.parametrize("script", STARTING)
@pytest.mark.posix("the page's commands are for a POSIX shell")
def test_page_a_sandbox_that_does_not_start_says_why_and_an_earlier_ones_line_is_not_taken_for_its_own(
    tmp_path: Path, script: str, public_pem: Path
) -> None:
    del public_pem
    (tmp_path / "sandbox.out").write_text("ready\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = _run(tmp_path, port, script.removeprefix("banno-creds keygen\n"))
    assert done.returncode != 0
    assert done.stdout.startswith("✗   ")
    assert str(port) in done.stdout


def test_page_clients(tmp_path: Path, public_pem: Path, rsa_key: PrivateKey) -> None:
    public_pem.write_bytes(rsa_key.public.pem())
    (tmp_path / "client-secret.txt").write_text("s3cret\n")
    file = tmp_path / "clients.toml"
    file.write_text(_blocks("toml")[1])
    first, second, third = read_clients(file)
    assert (third.public_key, third.client_secret, third.id_token_signed_response_alg) == (None, "s3cret", "ES256")
    assert third.require_pushed_authorization_requests
    assert (first.redirect_uris, third.redirect_uris) == ((), ("https://localhost:8080/auth/cb",))
    assert (first.client_id, first.alg, first.name) == (CLIENT_ID, "PS256", "Garden")
    assert (second.client_id, second.alg) == ("granite", None)


def test_page_python(tmp_path: Path, public_pem: Path) -> None:
    del public_pem
    [program] = _blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/a/oidc-provider/api/v0/token\n", done.stdout)


def test_page_lists_every_fault() -> None:
    table = PAGE.partition("| fault |")[2].partition("\n\n")[0]
    named = re.findall(r"`([a-z_-]+)(?:=[^`]*)?`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert set(named) | {"retry-after"} == set(FAULTS)
    words = {name: set(getattr(sort.value, "names", ())) for name, sort in FAULTS.items()}
    for name, values in ((name, values) for name, values in words.items() if values):
        [row] = [row for row in table.splitlines() if f"`{name}=" in row]
        assert set(re.findall(r"`([a-z0-9-]+)`", row.split("|")[2])) - {"alg", "aud", "iss"} == values
    everywhere = PAGE.partition("As in a\nreal outage,")[2].partition("also affect")[0]
    assert set(re.findall(r"`([a-z-]+)`", everywhere)) | {"retry-after"} == {
        name for name, sort in FAULTS.items() if sort.everywhere
    }
