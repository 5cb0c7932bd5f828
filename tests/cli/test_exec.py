"""``banno-creds exec``: a command with a token in its environment, and no key; it ends as it would by itself."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import Result, write_private
from tests.programs import CAT, ENVIRONMENT, NOTHING, echo, python, variable, write_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cli
    from tests.servers.issuer import Issuer

pytestmark = pytest.mark.measured

SCRIPT = "sync.cmd" if sys.platform == "win32" else "./sync.sh"
POSIX_SHELL = pytest.mark.posix("the hint is for a POSIX shell")
VARIABLES = ("BANNO_ACCESS_TOKEN", "BANNO_TOKEN_TYPE", "BANNO_TOKEN_EXPIRES_AT")


@pytest.fixture
def execute(process: Cli, env: dict[str, str]) -> Cli:
    def call(*args: str | Path, stdin: bytes = b"", env: dict[str, str] = env) -> Result:
        return process("exec", *args, stdin=stdin, env=env)

    return call  # type: ignore[return-value]


def test_the_command_has_the_token_in_its_environment_and_nothing_is_said(execute: Cli, issuer: Issuer) -> None:
    show = python("print(*(os.environ[name] for name in sys.argv[1:]))", *VARIABLES)
    began = time.time()
    first = execute("--", *show)
    found = re.fullmatch(r"openid\.1 Bearer (\d+)\n", first.stdout)
    assert found
    assert began + 599 < int(found[1]) <= time.time() + 600
    assert (first.code, first.stderr) == (0, "")
    assert execute("--", *show) == first
    assert len(issuer.forms) == 1


def test_an_earlier_token_in_the_environment_is_replaced_whole(
    execute: Cli, env: dict[str, str], issuer: Issuer
) -> None:
    issuer.expires_in = None
    old = {"BANNO_ACCESS_TOKEN": "old", "BANNO_TOKEN_TYPE": "old", "BANNO_TOKEN_EXPIRES_AT": "1"}
    show = python("print([os.environ.get(name) for name in sys.argv[1:]])", *VARIABLES)
    result = execute(*show, env=env | old)
    assert (result.code, result.stdout) == (0, "['openid.1', 'Bearer', '']\n")


def test_neither_key_nor_passphrase_is_left_in_the_environment(
    execute: Cli, env: dict[str, str], ec_pem: Path, tmp_path: Path
) -> None:
    passphrase = write_private(tmp_path / "passphrase", b"secret\n")
    in_variable = {name: value for name, value in env.items() if name != "BANNO_CREDS_PRIVATE_KEY"} | {
        "BANNO_CREDS_PRIVATE_KEY_PEM": ec_pem.read_text(),
        "BANNO_CREDS_PASSPHRASE_FILE": str(passphrase),
    }
    token = {"BANNO_CREDS_PKCS11_PIN": "470815", "BANNO_CREDS_PKCS11_MODULE": "/lib/module.so"}
    for variables in (env | {"BANNO_CREDS_PASSPHRASE_FILE": str(passphrase)}, in_variable):
        result = execute("--", *ENVIRONMENT, env=variables | token)
        assert result.code == 0
        assert "BANNO_ACCESS_TOKEN=openid.1\n" in result.stdout
        assert "BANNO_CREDS_CLIENT_ID" in result.stdout
        assert "BANNO_CREDS_PKCS11_MODULE" in result.stdout
        for secret in ("PRIVATE", "PASSPHRASE", "PIN=", "470815", str(ec_pem), str(passphrase)):
            assert secret not in result.stdout


@pytest.mark.posix("exec replaces a process")
def test_the_command_takes_the_place_of_the_program(execute: Cli, env: dict[str, str]) -> None:
    """The same process: nobody stands between the command and who sends it signals; and no file stays open."""
    with subprocess.Popen(
        [sys.executable, "-m", "banno_creds", "exec", "--", "sh", "-c", "echo $$; ls -l /proc/self/fd"],
        stdout=subprocess.PIPE,
        env={**os.environ, **env},
    ) as running:
        out, _ = running.communicate(timeout=60)
    pid, _, files = out.decode().partition("\n")
    assert int(pid) == running.pid
    assert env["BANNO_CREDS_CACHE_DIR"] not in files
    assert "socket" not in files


def test_standard_input_is_the_commands(execute: Cli) -> None:
    assert execute("--", *CAT, stdin=b"\0binary\xc3\xa9").stdout == "\0binaryé"


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_the_exit_status_is_the_commands(execute: Cli, status: int) -> None:
    command = python(f"print('out'); print('err', file=sys.stderr); sys.exit({status})")
    assert execute("--", *command) == Result(status, "out\n", "err\n")


@pytest.mark.posix("programs end by signals there")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT", "SIGPIPE"])
def test_a_shell_sees_the_signal_that_ended_the_command(env: dict[str, str], name: str) -> None:
    number = signal.Signals[name].value
    run = shlex.join([sys.executable, "-m", "banno_creds", "exec", "--", "sh", "-c", f"kill -{number} $$"])
    done = subprocess.run(
        ["sh", "-c", f"{run}; echo $?"], capture_output=True, encoding="utf-8", env={**os.environ, **env}, check=False
    )
    assert done.stdout == f"{128 + number}\n"


_OF_PROGRAMS = 0x7FFFFFFF  # signals 1 to 31; two of those above are the C library's own


@pytest.mark.posix("SIGPIPE")
def test_a_command_ends_with_its_pipe_as_it_does_without_us(execute: Cli) -> None:
    """Python ignores SIGPIPE, and a child that inherits that writes on and complains."""
    assert execute("--", "sh", "-c", "yes | head -1") == Result(0, "y\n", "")
    look = ["grep", "SigIgn", "/proc/self/status"]
    plain = subprocess.run(look, capture_output=True, encoding="utf-8", check=True)
    with_us, without_us = (int(out.split()[1], 16) for out in (execute("--", *look).stdout, plain.stdout))
    assert with_us & _OF_PROGRAMS == without_us & _OF_PROGRAMS


@pytest.mark.parametrize("before", [["--"], [], ["-q", "--"]], ids=" ".join)
def test_what_follows_the_command_is_the_commands(execute: Cli, before: list[str]) -> None:
    assert execute(*before, *echo("--client-id", "x", "-v")) == Result(0, "--client-id x -v\n", "")


def test_a_second_pair_of_dashes_is_the_commands(execute: Cli) -> None:
    assert execute("--", *python("print(sys.argv[1:])", "a", "--", "", "b c")).stdout == "['a', '--', '', 'b c']\n"


def test_steps_are_shown_on_request(execute: Cli) -> None:
    execute("--", *NOTHING)
    result = execute("-v", "--", *echo("done"))
    assert (result.code, result.stdout) == (0, "done\n")
    assert result.stderr.startswith(" 1  Whose token\n")


def _not_executable(folder: Path) -> str:
    path = folder / "script"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    return f"{str(path)!a} cannot be run: Permission denied"


def _a_folder(folder: Path) -> str:
    (folder / "script").mkdir()
    return f"{str(folder / 'script')!a} cannot be run: it is a folder"


def _without_interpreter(folder: Path) -> str:
    path = folder / "script"
    path.write_text("echo hello\n")
    path.chmod(0o755)
    return f"{str(path)!a} cannot be run: Exec format error"


def _empty(folder: Path) -> str:
    (folder / "script").touch(mode=0o755)
    return f"{str(folder / 'script')!a} cannot be run: Exec format error"


def _with_an_interpreter_that_is_not_there(folder: Path) -> str:
    path = folder / "script"
    path.write_text("#! /no/such/python -u\n")
    path.chmod(0o755)
    return f"{str(path)!a} cannot be run: its first line names '/no/such/python', which is not there"


def _from_windows(folder: Path) -> str:
    path = folder / "script"
    path.write_bytes(b"#!/bin/sh\r\necho\r\n")
    path.chmod(0o755)
    return f"{str(path)!a} cannot be run: its lines end as on Windows, and the system takes the line end for a letter"


@pytest.mark.posix("modes, and scripts that name their interpreter")
@pytest.mark.parametrize(
    "make",
    [
        *(_not_executable, _a_folder, _without_interpreter, _empty),
        *(_with_an_interpreter_that_is_not_there, _from_windows),
    ],
)
def test_what_cannot_be_run_is_126_and_nothing_is_asked_for(
    execute: Cli, env: dict[str, str], issuer: Issuer, tmp_path: Path, make: Any
) -> None:
    message = make(tmp_path)
    on_path = execute("--", "script", env=env | {"PATH": str(tmp_path)})
    assert on_path.code == (127 if make is _a_folder else 126)
    assert issuer.forms == []
    assert not (tmp_path / "cache").exists()
    assert execute("--", tmp_path / "script") == Result(
        126,
        "",
        f"✗   {message}\n"
        "    Next: check that it is a program and executable (chmod +x), and that a script begins with #!\n",
    )


@pytest.mark.parametrize(
    "name", ["no-such-command", "./no-such-command", "/dev/null/no-such-command", "no\nsuch", "<no-such>"]
)
def test_what_is_not_there_is_127_and_nothing_is_asked_for(execute: Cli, issuer: Issuer, name: str) -> None:
    assert execute("--", name) == Result(
        127, "", f"✗   There is no command {name!a}\n    Next: check its spelling, and PATH\n"
    )
    assert issuer.forms == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["client-id", "x", "--", "true"], "did you mean the option --client-id? Options stand before the command"),
        (["client_id=x"], "did you mean the option --client-id? Options stand before the command"),
        pytest.param(["--", "cd", "/"], "it is a shell's own: banno-creds exec -- sh -c 'cd …'", marks=POSIX_SHELL),
        pytest.param(
            ["--", "echo hello"],
            "give each word by itself, or the line to a shell: banno-creds exec -- sh -c '…'",
            marks=POSIX_SHELL,
        ),
        pytest.param(
            ["--", "here.sh"],
            "it is in this folder, which is not in PATH: write ./ before its name",
            marks=POSIX_SHELL,
        ),
    ],
)
def test_what_was_meant_by_a_command_that_is_not_there_is_told(
    cli: Cli,
    env: dict[str, str],
    issuer: Issuer,
    words: list[str],
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here.sh").touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    result = cli("exec", *words, env=env)
    assert (result.code, result.stdout, issuer.forms) == (127, "", [])
    assert result.stderr.endswith(f"\n    Next: {hint}\n")


def test_without_a_path_only_paths_are_commands(
    cli: Cli, env: dict[str, str], issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("exec", "--", "sh", env=env | {"PATH": ""})
    assert (result.code, issuer.forms) == (127, [])
    assert result.stderr.endswith("    Next: PATH is empty: give the command's whole path\n")


@pytest.mark.posix("modes")
def test_a_command_that_may_be_run_and_not_read_is_run(execute: Cli, tmp_path: Path) -> None:
    """Nothing is refused that the system would run: a program of another format, a link, a relative path."""
    (tmp_path / "link").symlink_to("/bin/echo")
    assert execute("--", tmp_path / "link", "a") == Result(0, "a\n", "")
    assert execute("--", os.path.relpath("/bin/echo"), "b") == Result(0, "b\n", "")


def test_a_command_that_has_gone_since_the_last_run_is_told_without_the_server(
    execute: Cli, issuer: Issuer, tmp_path: Path
) -> None:
    script = write_program(tmp_path, "script", "")
    assert execute("--", script).code == 0
    script.unlink()
    assert execute("--", script).code == 127
    assert execute("--force-refresh", "--", script).code == 127
    assert len(issuer.forms) == 1


def test_a_command_is_looked_for_in_path(execute: Cli, env: dict[str, str], tmp_path: Path) -> None:
    write_program(tmp_path, "mine", "print('mine', *sys.argv[1:])")
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert execute("--", "mine", "own", env=env | path) == Result(0, "mine own\n", "")


def test_without_a_command_nothing_is_asked_for(execute: Cli, issuer: Issuer) -> None:
    result = execute()
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == (
        "✗   Missing argument '-- COMMAND [ARGUMENT]...'\n"
        f"    Next: such as: banno-creds exec --profile garden -- {SCRIPT}\n"
    )
    assert issuer.forms == []


def test_without_a_token_nothing_is_run(execute: Cli, issuer: Issuer, tmp_path: Path) -> None:
    issuer.refuse()
    for _ in range(2):
        result = execute("--", *python("open(sys.argv[1], 'w')", str(tmp_path / "run")))
        assert (result.code, result.stdout) == (4, "")
    assert not (tmp_path / "run").exists()
    assert len(issuer.forms) == 1


def test_a_token_of_another_type_is_not_passed_off_as_bearer(cli: Cli, env: dict[str, str], issuer: Issuer) -> None:
    issuer.failure = 200, {"access_token": "a.token", "token_type": "DPoP", "expires_in": 600}
    for _ in range(2):
        result = cli("exec", "--", *NOTHING, env=env)
        assert (result.code, result.stdout) == (5, "")
        assert "✗   The token is of the type DPoP, which cannot be used as a Bearer token\n" in result.stderr
        assert "a.token" not in result.stderr


def test_a_command_with_two_dashes_of_its_own_is_the_same_each_time(execute: Cli, tmp_path: Path) -> None:
    """What is kept for the next run must not take them for ours."""
    wrapper = write_program(tmp_path, "wrapper", "print('wrapper', *sys.argv[1:])")
    for before in ((), ("--",)):
        for _ in range(3):
            assert execute(*before, wrapper, "ssh", "host", "--", "echo", "local").stdout == (
                "wrapper ssh host -- echo local\n"
            )


def test_two_dashes_that_a_file_is_named_by_end_no_options(execute: Cli, issuer: Issuer) -> None:
    for _ in range(2):
        show = variable("BANNO_ACCESS_TOKEN")
        assert execute("--passphrase-file", "--", "--scope", "full", *show).stdout == "full.1\n"
        assert execute("--passphrase-file", "--", *show).stdout == "openid.2\n"
    assert len(issuer.forms) == 2


def test_an_empty_command_is_one_that_is_not_there(execute: Cli) -> None:
    for _ in range(2):
        assert execute("--", "") == Result(
            127, "", "✗   There is no command ''\n    Next: check its spelling, and PATH\n"
        )


def test_a_token_command_inside_is_told_whose_token_there_is(execute: Cli, env: dict[str, str]) -> None:
    inner = [sys.executable, "-m", "banno_creds", "token", "--no-cache"]
    result = execute("--", *inner)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == (
        "✗   No private key was given, but there is a token in BANNO_ACCESS_TOKEN\n"
        "    Next: use that one; `banno-creds exec` takes the key's variables away from its command on purpose\n"
    )


def test_the_whole_environment_is_handed_over(env: dict[str, str]) -> None:
    def environment(*before: str) -> Any:
        look = python("import json; print(json.dumps(dict(os.environ)))")
        done = subprocess.run(
            [*before, *look], stdout=subprocess.PIPE, env={**os.environ, **env, "A": "1"}, check=True
        )
        return json.loads(done.stdout)

    without_us, with_us = environment(), environment(sys.executable, "-m", "banno_creds", "exec", "--")
    del without_us["BANNO_CREDS_PRIVATE_KEY"]
    expires_at = with_us.pop("BANNO_TOKEN_EXPIRES_AT")
    assert with_us == without_us | {"BANNO_ACCESS_TOKEN": "openid.1", "BANNO_TOKEN_TYPE": "Bearer"}
    assert int(expires_at) > time.time()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("A=1", "a variable is set by env: banno-creds exec -- env A=… COMMAND", marks=POSIX_SHELL),
        ("~/bin/sync", "a shell would have replaced its beginning"),
        ("$HOME/bin/sync", "a shell would have replaced its beginning"),
        ("-c", "the command's name stands first"),
        ("if", "it is a shell's own"),
    ],
)
def test_what_only_a_shell_would_run_is_told(execute: Cli, issuer: Issuer, name: str, hint: str) -> None:
    result = execute("--", name, "x")
    assert (result.code, issuer.forms) == (127, [])
    assert f"Next: {hint}" in result.stderr


def test_an_option_behind_the_command_is_told_to_be_the_commands(cli: Cli) -> None:
    result = cli("exec", "echo", "hi", "--client-id", "x")
    assert (result.code, result.stdout) == (2, "")
    assert "what stands behind the command belongs to it" in result.stderr
