"""The smoke list: every command once, as a process on Windows, one after the other as a person would run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from banno_creds.sandbox import DEFAULT_USERS
from tests.conftest import Result
from tests.person import Person, Visit, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = (
    *(
        "keygen",
        "key",
        "rotate",
        "client-assertion",
        "token",
        "check",
        "exec",
        "serve",
        "api",
        "sign-jwt",
        "login",
        "whoami",
        "logout",
        "doctor",
    ),
    *("lint-assertion", "decode", "explain", "jwks", "profile", "cache", "completion", "demo", "sandbox"),
)
JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+\n")
USERS = "/a/consumer-user-search/api/v0/institutions/{institutionId}/users?limit=1"


@dataclass(frozen=True)
class Desk:
    """A person's folder and environment, and the sandbox that runs beside them."""

    folder: Path
    env: dict[str, str]

    def start(self, *args: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start the command line, with pipes for what it says."""
        command = [sys.executable, "-m", "banno_creds", *args]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=self.env, stdin=stdin, stdout=pipe, stderr=pipe)

    def run(self, *args: str, stdin: bytes = b"") -> Result:
        """Run the command line; what it writes must be UTF-8, with plain line ends."""
        with self.start(*args, stdin=subprocess.PIPE) as running:
            out, err = running.communicate(stdin, timeout=400)
        assert b"Traceback" not in err
        assert b"\r" not in out
        return Result(running.returncode, out.decode(), err.decode().replace("\r\n", "\n"))

    def result(self, *args: str, code: int = 0, stdin: bytes = b"") -> str:
        """Run a command that ends with this exit code, and return its standard output."""
        done = self.run(*args, stdin=stdin)
        assert done.code == code, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def redirect_uri() -> str:
    """Where the browser comes back to."""
    return f"http://localhost:{free_port()}/auth/cb"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk with nothing on it, in a folder with a blank and an umlaut."""
    folder = tmp_path_factory.mktemp("smoke") / "Jörg Ä"
    folder.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.upper().startswith(("BANNO_", "COV_"))}
    env["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    for name, place in (("USERPROFILE", ""), ("APPDATA", "Roaming"), ("LOCALAPPDATA", "Local")):
        env[name] = str(folder / "home" / place)
    return Desk(folder, env)


@pytest.fixture(scope="module")
def desk(alone: Desk, redirect_uri: str) -> Iterator[Desk]:
    """The desk with a key pair, a sandbox that knows it, and a profile called sandbox."""
    alone.result("keygen")
    with alone.start("sandbox", "--port", "0", "--redirect-uri", redirect_uri) as running:
        try:
            assert running.stdout is not None
            assert running.stderr is not None
            ready = running.stdout.readline().decode()
            threading.Thread(target=running.stderr.read, daemon=True).start()  # or its log would fill the pipe
            assert ready.startswith("sandbox ready: "), ready
            endpoint = ready.split()[-1]
            base, issuer = endpoint.partition("/a/")[0], endpoint.removesuffix("/token")
            scope = "openid https://jackhenry.com/consumer-user-search"
            added = ("--client-id", "sandbox-client", "--private-key", "private.pem", "--issuer", issuer)
            alone.result("profile", "add", "sandbox", *added, "--scope", scope, "--api-base", base)
            yield Desk(alone.folder, alone.env | {"BANNO_CREDS_PROFILE": "sandbox"})
        finally:
            running.kill()


def test_version(alone: Desk) -> None:
    assert re.fullmatch(r"banno-creds [\d.]+\n", alone.result("--version"))


def test_help_of_each_command(alone: Desk) -> None:
    with ThreadPoolExecutor(4) as pool:
        for command, said in zip(
            COMMANDS, pool.map(lambda command: alone.result(command, "-h"), COMMANDS), strict=True
        ):
            assert said.startswith(f"Usage: banno-creds {command} ")
            assert re.search(f"All (options|commands): banno-creds {command} --help", said)
    assert alone.result("help", "token").startswith("Usage: banno-creds token ")


ASK = """
import json, os, sys, urllib.parse, urllib.request
names = ("BANNO_TOKEN_URL", "BANNO_TOKEN_CLIENT_ID", "BANNO_TOKEN_CLIENT_SECRET")
url, name, secret = sys.argv[1:] or [os.environ[each] for each in names]
form = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:
    print(json.load(answer)["token_type"], end="")
"""


def test_exec_gives_its_command_an_endpoint(desk: Desk) -> None:
    (desk.folder / "ask.py").write_text(ASK)
    assert desk.result("exec", "--serve", "--", sys.executable, "ask.py") == "Bearer"


def test_serve_gives_a_token(desk: Desk) -> None:
    (desk.folder / "ask.py").write_text(ASK)
    secret = "a-secret-of-this-test-alone"
    with desk.start("serve", "--port", "0", "--client-secret-file", "-", stdin=subprocess.PIPE) as running:
        try:
            assert running.stdin is not None
            assert running.stdout is not None
            running.stdin.write(secret.encode() + b"\r\n")
            running.stdin.close()
            url = running.stdout.readline().decode().split()[-1]
            asked = [sys.executable, "ask.py", url, "sandbox", secret]
            assert subprocess.run(asked, cwd=desk.folder, stdout=subprocess.PIPE, check=True).stdout == b"Bearer"
        finally:
            running.kill()


def test_check_tells_which_profiles_get_a_token(desk: Desk) -> None:
    assert desk.result("check", "--all").endswith("1 profile: 1 good\n")
    assert '"ok": true' in desk.result("check", "sandbox", "-o", "jsonl", "-q")
    assert '"access_token": "eyJ' in desk.result("token", "--all", "-q")


def test_keygen_makes_a_pair_and_never_replaces_it(desk: Desk) -> None:
    assert (desk.folder / "private.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert (desk.folder / "public.pem").read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----\n")
    before = (desk.folder / "private.pem").read_bytes()
    assert "already" in desk.run("keygen").stderr
    assert desk.run("keygen").code == 2
    assert (desk.folder / "private.pem").read_bytes() == before


def test_sign_jwt_and_lint_assertion(desk: Desk) -> None:
    made = desk.result("sign-jwt", "-q", "--lifetime", "120")
    assert JWT.fullmatch(made)
    judged = desk.run("lint-assertion", "-", "--public-key", "public.pem", stdin=made.encode())
    assert judged.code == 0, judged.stderr


def test_client_assertion(desk: Desk) -> None:
    done = desk.run("client-assertion")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["token_type"] == "Bearer"
    assert "…" in done.stderr  # the steps, in UTF-8


def test_token_comes_from_the_cache_the_second_time(desk: Desk) -> None:
    desk.result("cache", "clear")
    first, second = desk.result("token", "-q"), desk.result("token", "-q")
    assert JWT.fullmatch(first)
    assert second == first
    assert len(json.loads(desk.result("cache", "list", "-o", "json"))) == 1


def test_token_as_variables_for_the_shells(desk: Desk) -> None:
    token = desk.result("token", "-q").strip()
    assert token in desk.result("token", "-q", "-o", "powershell")
    assert token in desk.result("token", "-q", "-o", "cmd")


def test_decode(desk: Desk) -> None:
    said = json.loads(desk.result("decode", "-q", "-", stdin=desk.result("token", "-q").encode()))
    assert said["clientName"]


def test_exec_gives_the_token_and_passes_the_exit_code(desk: Desk) -> None:
    code = "import os, sys; print(os.environ['BANNO_ACCESS_TOKEN'][:3], end=''); sys.exit(7)"
    done = desk.run("exec", "--", sys.executable, "-c", code)
    assert (done.code, done.stdout.splitlines()) == (7, ["eyJ"])


def test_api(desk: Desk) -> None:
    assert desk.result("api", USERS).startswith("{")
    assert desk.run("api", "/a/none/of/it").code == 4


def test_doctor(desk: Desk) -> None:
    done = desk.run("doctor")
    assert done.code == 0, done.stdout + done.stderr


def test_doctor_finds_the_wrong_key(desk: Desk) -> None:
    desk.result("keygen", "--private-key", "other.pem", "--public-key", "other-public.pem")
    done = desk.run("doctor", "--private-key", "other.pem")
    assert done.code == 4
    assert "registration.key.mismatch" in done.stdout + done.stderr


def test_rotate_makes_a_key_and_writes_the_set(desk: Desk) -> None:
    client = ("--client-id", "x", "--private-key", "private.pem", "--registration", "jwks-uri")
    made = ("--jwks-file", "jwks.json", "--jwks-uri", f"http://127.0.0.1:{free_port()}/jwks.json")
    desk.result("profile", "add", "rotated", *client, *made)
    assert desk.run("rotate", "--profile", "rotated", "--partial").code == 5
    assert "publish" not in desk.result("rotate", "--profile", "rotated", "--status")
    assert (desk.folder / "jwks.json").read_text("utf-8").count('"kid"') == 2
    desk.result("profile", "remove", "rotated")


def test_explain(alone: Desk) -> None:
    assert "aud" in alone.result("explain", "assertion.aud.mismatch")
    assert alone.run("explain", "nothing.of.that.name").code == 2


def test_key_sets(desk: Desk) -> None:
    (desk.folder / "jwks.json").write_bytes(desk.result("jwks", "build", "public.pem").encode())
    assert desk.run("jwks", "check", "jwks.json", "private.pem").code == 0
    desk.result("keygen", "-q", "--private-key", "next.pem", "--public-key", "next-public.pem")
    assert "added: next.pem" in desk.result("jwks", "add", "jwks.json", "next.pem")
    desk.result("jwks", "remove", "jwks.json", "public.pem")
    assert desk.run("jwks", "check", "jwks.json", "private.pem").code == 4


def test_profiles(desk: Desk) -> None:
    client = ("--client-id", "x", "--private-key", "private.pem")
    desk.result("profile", "add", "second", *client)
    listed = json.loads(desk.result("profile", "list", "-o", "json"))["profiles"]
    assert [each["name"] for each in listed] == ["sandbox", "second"]
    desk.result("profile", "set", "second", "--client-id", "y")
    (desk.folder / "banks.csv").write_text(desk.result("profile", "export", "second", "-o", "csv"), "utf-8")
    assert desk.result("profile", "import", "banks.csv").startswith("new      0\nchanged  0\nsame     1\n")
    shown = json.loads(desk.result("profile", "show", "second", "-o", "json"))
    assert shown["settings"]["client_id"] == "y"
    desk.result("profile", "remove", "second")
    assert (desk.folder / "home" / "Roaming" / "banno-creds" / "config.toml").is_file()
    assert not list(desk.folder.rglob("*.lock"))


def test_login_whoami_and_logout(desk: Desk, redirect_uri: str) -> None:
    tester = DEFAULT_USERS[0]
    person = Person(tester.username, tester.password, {})
    with desk.start("login", "--no-browser", "--redirect-uri", redirect_uri, "--scope", "openid profile") as running:
        assert running.stderr is not None
        address = None
        while address is None and (line := running.stderr.readline().decode()):
            address = re.search(r"http://\S+/auth\?\S+", line)
        assert address is not None
        with Visit(person) as visit:
            assert visit.follow(visit.sign_in(address[0])).status_code == 200
        _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err.decode()
    assert tester.claims["name"] in desk.result("whoami")
    assert JWT.fullmatch(desk.result("token", "-q"))
    desk.result("logout", "--no-browser")
    assert desk.run("whoami").code == 6


def test_completion(alone: Desk) -> None:
    assert "Register-ArgumentCompleter" in alone.result("completion", "powershell")


def test_demo(alone: Desk) -> None:
    done = alone.run("demo")
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["client-assertion", "--lifetime", "9999"], 2),
        (["token", "--private-key", "missing.pem"], 3),
        (["token", "--client-id", "unknown", "--no-cache"], 4),
        (["token", "--token-endpoint", "http://127.0.0.1:9/token", "--no-cache"], 5),
        (["decode", "not.a.token"], 6),
        (["exec", "--", "no-such-program"], 127),
    ],
)
def test_the_exit_code_of_a_failure(desk: Desk, args: list[str], code: int) -> None:
    done = desk.run(*args)
    assert (done.code, done.stdout) == (code, ""), done.stderr
    assert done.stderr
